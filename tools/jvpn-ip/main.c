// SPDX-License-Identifier: GPL-2.0
/* jvpn-ip: options, then an object, its command and its parameters. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "batch.h"
#include "control.h"
#include "objects.h"
#include "out.h"

struct options opt = {
	.socket = "/run/jvpn/control.sock",
	.wait_ms = 5000,
};

/* In the order in which help lists them. */
static const struct object *const objects[] = {
	&link_object, &session_object, &peer_object, &transport_object, &route_object,
	&policy_object, &stats_object, &monitor_object, &audit_object, &key_object, &conf_object, &daemon_object,
	&version_object,
};

static void usage(FILE *stream)
{
	fputs("Usage: jvpn-ip [ OPTIONS ] OBJECT { COMMAND | help }\n\nOBJECT\n", stream);
	for (size_t i = 0; i < COUNT(objects); i++)
		fprintf(stream, "  %-12s%s\n", objects[i]->name.word, objects[i]->help);
	fputs("\nOPTIONS\n"
	      "  -j, -json           JSON: an array of objects; monitor: an object per line\n"
	      "  -p, -pretty         JSON for people\n"
	      "  -br, -brief         one line per object, no headings\n"
	      "  -o, -oneline        the lines of one object joined by backslashes\n"
	      "  -s, -stats          counters as well\n"
	      "  -d, -details        everything there is\n"
	      "  -t, -timestamp      monitor: begin each line with the time\n"
	      "  -b, -batch FILE     run the commands of a file, or of - for standard input\n"
	      "  -f, -force          batch: go on after a command that failed\n"
	      "  -n, -netns NETNS    work in a network namespace: its name, or a path\n"
	      "  -K, -kernel         leave jvpnd out\n"
	      "  -S, -socket PATH    control socket of jvpnd [/run/jvpn/control.sock]\n"
	      "  -w, -wait SECONDS   wait for jvpnd to start and to answer [5, for the answer alone]\n"
	      "  -V, -Version        version\n"
	      "  -h, -help           this text\n", stream);
}

static void enter_netns(const char *name)
{
	char path[PATH_MAX];
	int fd;

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		exit(fail(EXIT_NOT_FOUND, "there is no network namespace \"%s\".", name));
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		exit(fail(EXIT_ERROR, errno == EPERM ?
			  "entering the network namespace \"%s\" needs the capability "
			  "CAP_SYS_ADMIN: run it as root." :
			  "the network namespace \"%s\" cannot be entered.", name));
	close(fd);
}

static void set_wait(const char *text)
{
	static const struct param seconds = {
		.parse = value_number, .min = 1, .max = 3600,
	};
	uint64_t value;

	value_number(&seconds, text, &value);
	opt.wait_ms = value * 1000;
	opt.patient = true;
}

static const char *batch;
static bool force;

static void set_batch(const char *text)
{
	batch = text;
}

static void set_socket(const char *text)
{
	opt.socket = text;
}

static void show_version(void)
{
	puts("jvpn-ip " JVPN_VERSION);
	exit(EXIT_OK);
}

static void show_help(void)
{
	usage(stdout);
	exit(EXIT_OK);
}

static const struct option_row {
	struct name name;
	bool *flag;
	void (*value)(const char *text);
	void (*act)(void);
} options[] = {
	{ { "json", "j" }, &opt.json, NULL, NULL },
	{ { "pretty", "p" }, &opt.pretty, NULL, NULL },
	{ { "brief", "br" }, &opt.brief, NULL, NULL },
	{ { "oneline", "o" }, &opt.oneline, NULL, NULL },
	{ { "stats", "s" }, &opt.stats, NULL, NULL },
	{ { "details", "d" }, &opt.details, NULL, NULL },
	{ { "timestamp", "t" }, &opt.timestamp, NULL, NULL },
	{ { "batch", "b" }, NULL, set_batch, NULL },
	{ { "force", "f" }, &force, NULL, NULL },
	{ { "netns", "n" }, NULL, enter_netns, NULL },
	{ { "kernel", "K" }, &opt.kernel_only, NULL, NULL },
	{ { "socket", "S" }, NULL, set_socket, NULL },
	{ { "wait", "w" }, NULL, set_wait, NULL },
	{ { "Version", "V" }, NULL, NULL, show_version },
	{ { "help", "h" }, NULL, NULL, show_help },
};

/* An option is written in full or as its letter, with one dash or two. */
static const struct option_row *option_of(const char *text)
{
	const char *word = text + 1 + (text[1] == '-');
	char list[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < COUNT(options); i++)
		if (!strcmp(word, options[i].name.word) || !strcmp(word, options[i].name.brief))
			return &options[i];
	for (size_t i = 0; i < COUNT(options); i++)
		used += snprintf(list + used, sizeof(list) - used, "%s-%s", i ? ", " : "",
				 options[i].name.brief);
	wrong(text, "unknown option", list);
}

static void take_options(struct words *words)
{
	while (words_left(words) && **words->at == '-') {
		const struct option_row *option = option_of(words_take(words, "an option", NULL));

		if (option->act)
			option->act();
		else if (option->flag)
			*option->flag = true;
		else
			option->value(words_take(words, "a value", NULL));
	}
}

static const struct object *take_object(struct words *words)
{
	struct name names[COUNT(objects) + 1];
	size_t i;

	for (i = 0; i < COUNT(objects); i++)
		names[i] = objects[i]->name;
	names[i] = (struct name){ "help", NULL };
	i = PICK(words_take(words, "an object", NULL), names, "object");
	return i < COUNT(objects) ? objects[i] : NULL;
}

static int run(struct words *words)
{
	const struct object *object = take_object(words);
	int ret;

	if (!object)
		show_help();
	ret = object_run(object, words);
	if (!ret)
		out_end();
	return ret;
}

int main(int argc, char **argv)
{
	struct words words = { .at = argv + 1, .end = argv + argc, .last = argv[0] };
	int ret;

	/* Keys pass through memory: no core file, no debugger. */
	prctl(PR_SET_DUMPABLE, 0);
	if (sodium_init() < 0)
		return fail(EXIT_ERROR, "there is no source of randomness.");
	control_init();
	take_options(&words);
	if (batch) {
		words_end(&words);
		return batch_run(batch, force, run);
	}
	if (!words_left(&words)) {
		usage(stderr);
		return EXIT_SYNTAX;
	}
	ret = run(&words);
	if (fflush(stdout) || ferror(stdout))
		return fail(EXIT_ERROR, "the output cannot be written.");
	return ret;
}
