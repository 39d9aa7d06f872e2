// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>

#include "control.h"
#include "objects.h"
#include "out.h"

static void print_counts(const char *what, const json_t *counts)
{
	json_t *count;
	const char *key;

	printf("    %s", what);
	if (!json_object_size(counts))
		printf(" none");
	json_object_foreach((json_t *)counts, key, count)
		printf(" %s %" JSON_INTEGER_FORMAT, key, json_integer_value(count));
}

static uint64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void print_status(const json_t *status)
{
	char up[FIGURE_TEXT];

	printf("jvpnd %s pid %" PRIu64 " term %" PRIu64 " up %s%s",
	       json_text(status, "version", "-"), number(status, "pid"), number(status, "term"),
	       out_time(number(status, "uptime_ms"), up), out_break());
	printf("    links %" PRIu64 " peers %" PRIu64 " audit written %" PRIu64 " dropped %" PRIu64
	       "%s", number(status, "links"), number(status, "peers"),
	       number(status, "audit_written"), number(status, "audit_dropped"), out_break());
	print_counts("sessions", json_object_get(status, "sessions"));
	fputs(out_break(), stdout);
	print_counts("refused", json_object_get(status, "refusals"));
	if (json_object_get(status, "trouble"))
		printf("%s    %s", out_break(), json_text(status, "trouble", ""));
	putchar('\n');
}

/* As "conf apply": the name that other daemons' tools give it. */
static int run_reload(struct words *words)
{
	words_end(words);
	return control_call("ConfApply", NULL, NULL);
}

static void print_refusals(const json_t *refusals)
{
	static const char *const headings[] = {
		"PEER", "FROM", "AGO", "TIMES", "REASON", "WHAT IT MEANS",
	};
	struct libscols_table *table = out_table(headings, COUNT(headings));
	struct libscols_line *line;
	char ago[FIGURE_TEXT];
	json_t *refusal;
	size_t i;

	json_array_foreach((json_t *)refusals, i, refusal) {
		line = out_line(table);
		out_cell(line, 0, "%s", json_text(refusal, "peer", "-"));
		out_cell(line, 1, "%s", json_text(refusal, "from", "-"));
		out_cell(line, 2, "%s", out_time(number(refusal, "age_ms"), ago));
		out_cell(line, 3, "%" PRIu64, number(refusal, "count"));
		out_cell(line, 4, "%s%s%s", json_text(refusal, "reason", "-"),
			 json_object_get(refusal, "detail") ? ", " : "",
			 json_text(refusal, "detail", ""));
		out_cell(line, 5, "%s", json_text(refusal, "text", ""));
	}
	out_table_end(table);
}

/* The last refusal of everybody. */
static int show_why(void)
{
	json_t *reply, *refusal;
	size_t i;
	int ret = control_call("Refusals", NULL, &reply);

	if (ret)
		return ret;
	if (!opt.json)
		print_refusals(json_object_get(reply, "refusals"));
	else
		json_array_foreach(json_object_get(reply, "refusals"), i, refusal)
			out_object(json_incref(refusal));
	json_decref(reply);
	return EXIT_OK;
}

struct status_args {
	bool why;
};

static const struct param status_params[] = {
	PARAM("why", NULL, struct status_args, why), PARAM("--why", NULL, struct status_args, why),
};

static int run_status(struct words *words)
{
	struct status_args args = { 0 };
	json_t *status, *refusals;
	int ret;

	params_take(words, status_params, COUNT(status_params), &args);
	if (args.why)
		return show_why();
	ret = control_call("Status", NULL, &status);
	if (ret)
		return ret;
	refusals = json_lower_keys(json_object_get(status, "refusals"));
	json_object_set_new(status, "refusals", refusals);
	if (opt.json) {
		out_object(status);
		return EXIT_OK;
	}
	print_status(status);
	json_decref(status);
	return EXIT_OK;
}

static const struct command commands[] = {
	{ { "status", NULL }, run_status, "[ why ]" },
	{ { "reload", NULL }, run_reload, "" },
};

const struct object daemon_object = {
	{ "daemon", "d" }, "jvpnd itself",
	commands, COUNT(commands), &commands[0],
};
