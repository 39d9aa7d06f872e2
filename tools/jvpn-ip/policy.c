// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "../../daemon/policy.h"
#include "control.h"
#include "objects.h"
#include "out.h"

static const char *name_word(struct words *words, const char *what)
{
	const char *name;

	words_value(words, what, value_word, &name);
	return name;
}

static void print_policy(const json_t *policy)
{
	static const char *const headings[] = { "KNOB", "VALUE", "WHAT IT IS FOR" };
	const json_t *knobs = json_object_get(policy, "knobs");
	struct libscols_table *table = out_table(headings, COUNT(headings));

	printf("policy %s version %" JSON_INTEGER_FORMAT "\n", json_text(policy, "name", "-"),
	       json_integer_value(json_object_get(policy, "version")));
	for (size_t i = 0; i < jv_knobs_count; i++) {
		struct libscols_line *line = out_line(table);

		out_cell(line, 0, "%s", jv_knobs[i].name);
		out_cell(line, 1, "%s", json_text(knobs, jv_knobs[i].name, "-"));
		out_cell(line, 2, "%s", jv_knobs[i].help);
	}
	out_table_end(table);
}

/*
 * The daemon has figures as people write them. JSON has numbers, their unit in
 * the key: "recovery-window": "5s" becomes "recovery_window_ms": 5000.
 */
static json_t *policy_json(const json_t *policy)
{
	static const char *const units[] = {
		[JV_UNIT_MS] = "_ms", [JV_UNIT_PERCENT] = "_percent", [JV_UNIT_COUNT] = "",
		[JV_UNIT_PER_SECOND] = "_per_second", [JV_UNIT_WORD] = "",
	};
	const json_t *knobs = json_object_get(policy, "knobs");
	json_t *object = json_object(), *list = json_object();
	char key[64], err[256];

	json_take(object, policy, "name");
	json_take(object, policy, "version");
	json_object_set_new(object, "knobs", list);
	for (size_t i = 0; i < jv_knobs_count; i++) {
		const struct jv_knob *knob = &jv_knobs[i];
		const char *text = json_text(knobs, knob->name, NULL);
		struct jv_policy read;

		jv_policy_init(&read);
		if (!text || jv_policy_set(&read, knob->name, text, err, sizeof(err)))
			continue;
		snprintf(key, sizeof(key), "%s%s", knob->name, units[knob->unit]);
		for (char *p = key; *p; p++)
			*p = *p == '-' ? '_' : *p;
		if (knob->unit == JV_UNIT_WORD)
			json_put_text(list, key, text);
		else
			json_put_number(list, key, jv_knob_get(&read, knob));
	}
	return object;
}

static int run_show(struct words *words)
{
	json_t *call = json_object(), *reply, *policy;
	size_t i;
	int ret;

	if (words_left(words))
		json_put_text(call, "name", name_word(words, "a policy's name"));
	words_end(words);
	ret = control_call("PolicyShow", call, &reply);
	if (ret)
		return ret;
	json_array_foreach(json_object_get(reply, "policies"), i, policy) {
		if (opt.json)
			out_object(policy_json(policy));
		else
			print_policy(policy);
	}
	json_decref(reply);
	return EXIT_OK;
}

struct set_args {
	uint64_t if_version;
};

static const struct param set_params[] = {
	PARAM_NUMBER("if-version", struct set_args, if_version, 0, INT64_MAX),
};

/* The daemon's own table refuses a bad value here, before anything is sent. */
static int run_set(struct words *words)
{
	const char *name = name_word(words, "a policy's name");
	const char *knob = words_take(words, "a knob", NULL);
	const char *value;
	struct set_args args = { 0 };
	struct jv_policy policy;
	char text[1024];
	size_t used = 0;
	json_t *call;
	uint32_t given;

	for (size_t i = 0; i < jv_knobs_count && !jv_knob_find(knob); i++)
		used += snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "",
				 jv_knobs[i].name);
	if (!jv_knob_find(knob))
		wrong(knob, "unknown knob", text);
	value = words_take(words, "its value", NULL);
	given = params_take(words, set_params, COUNT(set_params), &args);
	jv_policy_init(&policy);
	if (jv_policy_set(&policy, knob, value, text, sizeof(text)))
		wrong(value, text, NULL);
	call = json_pack("{s:s, s:s, s:s}", "name", name, "knob", knob, "value", value);
	if (given)
		json_put_number(call, "if_version", args.if_version);
	return control_call("PolicySet", call, NULL);
}

static const struct command commands[] = {
	{ { "show", "s" }, run_show, "[ NAME ]" },
	{ { "set", NULL }, run_set, "NAME KNOB VALUE [ if-version N ]" },
};

const struct object policy_object = {
	{ "policy", "po" }, "when a session switches, waits and ends",
	commands, COUNT(commands), &commands[0],
};
