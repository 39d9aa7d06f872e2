// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "objects.h"
#include "out.h"

#define DAEMON "jvpnd"

/* The daemon that was built or installed together with this tool. */
static const char *beside(char path[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - sizeof(DAEMON) - 1);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash ? slash + 1 : path, DAEMON);
	return path;
}

/* The daemon reads its own files: it tells what is wrong with them, and its exit code is ours. */
static int run_check(struct words *words)
{
	const char *file = words_left(words) ? words_take(words, "a file", NULL) : NULL;
	const char *arguments[] = { DAEMON, file ? "--check-config" : "--check", file, NULL };
	char path[PATH_MAX];

	words_end(words);
	fflush(stdout);
	execv(beside(path), (char **)arguments);
	execvp(DAEMON, (char **)arguments);
	return fail(EXIT_ERROR, "the file cannot be checked without " DAEMON
		    " beside jvpn-ip or in PATH: %s.", strerror(errno));
}

static int run_show(struct words *words)
{
	json_t *reply;
	int ret;

	words_end(words);
	ret = control_call("ConfShow", NULL, &reply);
	if (ret)
		return ret;
	if (opt.json) {
		out_object(reply);
		return EXIT_OK;
	}
	fputs(json_text(reply, "text", ""), stdout);
	json_decref(reply);
	return EXIT_OK;
}

static int run_apply(struct words *words)
{
	words_end(words);
	return control_call("ConfApply", NULL, NULL);
}

static const struct command commands[] = {
	{ { "check", NULL }, run_check, "[ FILE ]" },
	{ { "show", NULL }, run_show, "" },
	{ { "apply", NULL }, run_apply, "" },
};

const struct object conf_object = {
	{ "conf", "c" }, "the configuration: of files, and of what runs",
	commands, COUNT(commands), NULL,
};
