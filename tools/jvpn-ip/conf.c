// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "objects.h"

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
	const char *file = words_take(words, "a file", NULL);
	const char *arguments[] = { DAEMON, "--check-config", file, NULL };
	char path[PATH_MAX];

	words_end(words);
	fflush(stdout);
	execv(beside(path), (char **)arguments);
	execvp(DAEMON, (char **)arguments);
	return fail(EXIT_ERROR, "the file cannot be checked without " DAEMON
		    " beside jvpn-ip or in PATH: %s.", strerror(errno));
}

static const struct command commands[] = {
	{ { "check", NULL }, run_check, "FILE" },
};

const struct object conf_object = {
	{ "conf", "c" }, "configuration files of jvpnd",
	commands, COUNT(commands), NULL,
};
