// SPDX-License-Identifier: GPL-2.0
/*
 * Each line has a process of its own: a complaint ends it, as it ends the tool, and
 * nothing is carried over to the next.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch.h"

enum { WORDS = 128 };

/* The end of the word at @p, which is unquoted in place; NULL: a quote is not closed. */
static char *take_word(char *p, char **next)
{
	char *to = p, quote = 0;

	for (; *p && (quote || !isspace((unsigned char)*p)); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else
			*to++ = *p;
	}
	*next = *p ? p + 1 : p;
	*to = '\0';
	return quote ? NULL : to;
}

/* The words of @line, which is cut up. */
static size_t split(char *line, char *words[WORDS])
{
	size_t n = 0;

	for (;;) {
		while (isspace((unsigned char)*line))
			line++;
		if (!*line || *line == '#')
			return n;
		if (n == WORDS)
			wrong(line, "too many words", NULL);
		words[n] = line;
		if (!take_word(line, &line))
			wrong(words[n], "a quote is not closed", NULL);
		n++;
	}
}

static _Noreturn void run_line(char *line, int (*run)(struct words *words))
{
	char *list[WORDS];
	struct words words = { .at = list, .last = "" };
	int input = open("/dev/null", O_RDONLY | O_CLOEXEC), ret;

	/* What is left of a batch on standard input is nobody's key. */
	dup2(input, STDIN_FILENO);
	words.end = list + split(line, list);
	ret = words_left(&words) ? run(&words) : EXIT_OK;
	if (fflush(stdout) || ferror(stdout))
		ret = fail(EXIT_ERROR, "the output cannot be written.");
	_exit(ret);
}

static int run_apart(char *line, int (*run)(struct words *words))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		run_line(line, run);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return fail(EXIT_ERROR, "no process for the line: %s.", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_ERROR;
}

/* Whole, before anything runs: no line's process may move where we read. */
static char *read_all(FILE *in)
{
	char *text = NULL;
	size_t size = 0;

	if (getdelim(&text, &size, '\0', in) < 0 && ferror(in)) {
		free(text);
		return NULL;
	}
	return text;
}

int batch_run(const char *file, bool force, int (*run)(struct words *words))
{
	bool input = !strcmp(file, "-");
	FILE *in = input ? stdin : fopen(file, "re");
	char *text = in ? read_all(in) : NULL, *rest = text, *line, place[512];
	int ret = EXIT_OK, number = 0;

	if (!in || ferror(in))
		return fail(EXIT_ERROR, "the batch %s cannot be read: %s.", file, strerror(errno));
	while ((line = strsep(&rest, "\n")) && (!ret || force)) {
		int failed;

		snprintf(place, sizeof(place), "%s:%d: ", input ? "standard input" : file, ++number);
		complaint_place = place;
		failed = run_apart(line, run);
		if (!ret)
			ret = failed;
	}
	free(text);
	if (!input)
		fclose(in);
	return ret;
}
