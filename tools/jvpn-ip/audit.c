// SPDX-License-Identifier: GPL-2.0
/*
 * The daemon says where the stream is and how it calls a session; the file is read
 * here, so that nobody's long file keeps the daemon.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "control.h"
#include "objects.h"
#include "out.h"

struct tail_args {
	bool follow;
	struct sid id;
	uint64_t since_ms, last;
};

enum { FOLLOW, ID, SINCE, LAST };

static const struct param tail_params[] = {
	[FOLLOW] = PARAM("follow", NULL, struct tail_args, follow),
	[ID] = PARAM("id", value_sid, struct tail_args, id),
	[SINCE] = PARAM("since", value_time, struct tail_args, since_ms),
	[LAST] = PARAM_NUMBER("last", struct tail_args, last, 1, 1000000),
};

/* What of the stream is wanted, and the newest of it. */
struct stream {
	json_t *where;			/* the daemon's: path, session_id */
	const char *session;		/* as events call it; NULL: any */
	const char *type;		/* of event; NULL: any */
	uint64_t since;			/* ts_ms */
	uint64_t last;			/* so many; 0: all */
	json_t *kept;			/* a window of @last, from @kept_at on */
};

static int stream_open(struct stream *stream, const struct sid *sid)
{
	json_t *call = json_object();
	char id[2 * SID_LEN + 1];
	int ret;

	if (sid)
		json_put_text(call, "id", out_hex(sid->bytes, sid->digits / 2, id));
	ret = control_call("AuditWhere", call, &stream->where);
	if (!ret)
		stream->session = json_text(stream->where, "session_id", NULL);
	stream->kept = json_array();
	return ret;
}

static void stream_close(struct stream *stream)
{
	json_decref(stream->kept);
	json_decref(stream->where);
}

static uint64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool wanted(const struct stream *stream, const json_t *event)
{
	if (stream->session && strcmp(json_text(event, "session_id", ""), stream->session))
		return false;
	if (stream->type && strcmp(json_text(event, "event_type", ""), stream->type))
		return false;
	return number(event, "ts_ms") >= stream->since;
}

/* Every event of a line that ends; the beginning of another waits for its end. */
static void stream_read(struct stream *stream, FILE *file, void (*each)(struct stream *stream,
									  json_t *event))
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, file)) > 0) {
		json_t *event;

		if (line[len - 1] != '\n') {
			fseek(file, -len, SEEK_CUR);
			break;
		}
		event = json_loads(line, 0, NULL);
		if (json_is_object(event) && wanted(stream, event))
			each(stream, event);
		json_decref(event);
	}
	clearerr(file);
	free(line);
}

static void keep(struct stream *stream, json_t *event)
{
	json_array_append(stream->kept, event);
	if (stream->last && json_array_size(stream->kept) > stream->last)
		json_array_remove(stream->kept, 0);
}

/* --- for people --- */

static void print_time(const json_t *event)
{
	uint64_t ms = number(event, "ts_ms");
	time_t s = ms / 1000;
	struct tm tm;
	char text[32];

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	printf("%s.%03uZ", text, (unsigned int)(ms % 1000));
}

/* The fields that every event has are told by the line's beginning. */
static void print_event(const json_t *event)
{
	static const char *const told[] = {
		"schema", "seq", "ts_ms", "mono_ns", "event_type", "node", "session_id", "prev_hash",
	};
	const char *key;
	json_t *value;

	print_time(event);
	printf(" %s", json_text(event, "event_type", "?"));
	if (json_object_get(event, "session_id"))
		printf(" %.16s", json_text(event, "session_id", ""));
	json_object_foreach((json_t *)event, key, value) {
		size_t i = 0;

		while (i < COUNT(told) && strcmp(key, told[i]))
			i++;
		if (i < COUNT(told))
			continue;
		if (json_is_string(value))
			printf(" %s=%s", key, json_string_value(value));
		else
			printf(" %s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
	}
	putchar('\n');
}

static void tell(struct stream *stream, json_t *event)
{
	(void)stream;
	if (opt.json)
		out_event(json_incref(event));
	else
		print_event(event);
	fflush(stdout);
}

static FILE *file_open(const struct stream *stream, int *ret)
{
	const char *path = json_text(stream->where, "path", "");
	FILE *file = fopen(path, "re");

	if (!file)
		*ret = fail(EXIT_ERROR, "the stream of events %s cannot be read: %s.", path,
			    strerror(errno));
	return file;
}

/* What is written from now on, until we are ended. */
static int follow(struct stream *stream, FILE *file)
{
	char events[4096];
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 || inotify_add_watch(fd, json_text(stream->where, "path", ""), IN_MODIFY) < 0)
		return fail(EXIT_ERROR, "the stream of events cannot be watched: %s.",
			    strerror(errno));
	do
		stream_read(stream, file, tell);
	while (read(fd, events, sizeof(events)) > 0);
	close(fd);
	return EXIT_OK;
}

static uint64_t ago(uint64_t ms)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000 - ms;
}

static int run_tail(struct words *words)
{
	struct tail_args args = { .last = 20 };
	uint32_t given = params_take(words, tail_params, COUNT(tail_params), &args);
	struct stream stream = { 0 };
	json_t *event;
	FILE *file;
	size_t i;
	int ret = stream_open(&stream, given & 1 << ID ? &args.id : NULL);

	if (given & 1 << SINCE)
		stream.since = ago(args.since_ms);
	if (!(given & 1 << SINCE) || given & 1 << LAST)
		stream.last = args.last;
	file = ret ? NULL : file_open(&stream, &ret);
	if (file) {
		stream_read(&stream, file, keep);
		json_array_foreach(stream.kept, i, event) {
			if (opt.json && !args.follow)
				out_object(json_incref(event));
			else
				tell(&stream, event);
		}
		if (args.follow)
			ret = follow(&stream, file);
		fclose(file);
	}
	stream_close(&stream);
	return ret;
}

/* --- history of a session --- */

static void print_change(struct libscols_table *table, const json_t *event)
{
	struct libscols_line *line = out_line(table);
	char detail[64] = "";

	if (json_object_get(event, "detail"))
		snprintf(detail, sizeof(detail), ", %s", json_text(event, "detail", ""));
	out_cell(line, 0, "v%" PRIu64, number(event, "state_version"));
	out_cell(line, 1, "%s", json_text(event, "edge", "-"));
	out_cell(line, 2, "%s -> %s", json_text(event, "previous_state", "?"),
		 json_text(event, "new_state", "?"));
	out_cell(line, 3, "%s%s", json_text(event, "reason", "-"), detail);
	out_cell(line, 4, "%" PRIu64 ".%03" PRIu64, number(event, "ts_ms") / 1000,
		 number(event, "ts_ms") % 1000);
}

static void show_changes(const json_t *events)
{
	static const char *const headings[] = { "VERSION", "EDGE", "CHANGE", "REASON", "TIME" };
	struct libscols_table *table = opt.json ? NULL : out_table(headings, COUNT(headings));
	json_t *event;
	size_t i;

	json_array_foreach((json_t *)events, i, event) {
		if (opt.json)
			out_object(json_incref(event));
		else
			print_change(table, event);
	}
	if (table)
		out_table_end(table);
}

int audit_history(const struct sid *sid, uint64_t last)
{
	struct stream stream = { .type = "STATE_CHANGE", .last = last };
	int ret = stream_open(&stream, sid);
	FILE *file = ret ? NULL : file_open(&stream, &ret);

	if (file) {
		stream_read(&stream, file, keep);
		fclose(file);
		show_changes(stream.kept);
	}
	stream_close(&stream);
	return ret;
}

static const struct command commands[] = {
	{ { "tail", NULL }, run_tail, "[ follow ] [ id HEX ] [ since TIME ] [ last N ]" },
};

const struct object audit_object = {
	{ "audit", "a" }, "what the daemon has recorded",
	commands, COUNT(commands), &commands[0],
};
