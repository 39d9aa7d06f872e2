// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum { LINE = 512 };			/* below PIPE_BUF: POLLOUT of a pipe promises as much */

static const struct {
	const char *name;
	enum jv_log_level level;
} levels[] = {
	{ "err", JV_LOG_ERR }, { "warn", JV_LOG_WARN },
	{ "info", JV_LOG_INFO }, { "debug", JV_LOG_DEBUG },
};

static _Atomic enum jv_log_level threshold = JV_LOG_INFO;
static atomic_uint_fast64_t dropped;

int jv_log_level_parse(const char *name)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (!strcmp(levels[i].name, name))
			return levels[i].level;
	return -1;
}

const char *jv_log_level_name(enum jv_log_level level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "?";
}

void jv_log_set_level(enum jv_log_level level)
{
	threshold = level;
}

enum jv_log_level jv_log_get_level(void)
{
	return threshold;
}

uint64_t jv_log_dropped(void)
{
	return dropped;
}

/* The journal's stream is a socket, else it is a file, a terminal or a pipe. */
static bool put(const char *line, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (send(STDERR_FILENO, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return true;
	if (errno != ENOTSOCK)
		return false;
	return poll(&out, 1, 0) == 1 && out.revents & POLLOUT &&
	       write(STDERR_FILENO, line, len) >= 0;
}

void jv_log(enum jv_log_level level, const char *fmt, ...)
{
	char line[LINE];
	int saved = errno;
	int len = 0;
	va_list ap;

	if (level > threshold)
		return;
	/* The journal takes the level from the line's head. */
	if (getenv("JOURNAL_STREAM"))
		len = snprintf(line, sizeof(line), "<%d>", level);
	else
		len = snprintf(line, sizeof(line), "jvpnd: ");
	va_start(ap, fmt);
	len += vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
	if (len > LINE - 2)
		len = LINE - 2;
	for (int i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = '?';
	line[len++] = '\n';
	if (!put(line, len))
		dropped++;
	errno = saved;
}
