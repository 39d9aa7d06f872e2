// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

const char *complaint_place = "";

/*
 * What is quoted may come from anywhere, a terminal escape included; and a
 * complaint is one line, whatever was given.
 */
static void print_clean(const char *text)
{
	for (; *text; text++)
		fputc(iscntrl((unsigned char)*text) ? '?' : *text, stderr);
}

_Noreturn void wrong(const char *text, const char *why, const char *allowed)
{
	print_clean(complaint_place);
	fputs("Error: argument \"", stderr);
	print_clean(text);
	fputs("\" is wrong: ", stderr);
	print_clean(why);
	if (allowed) {
		fputs(" (allowed: ", stderr);
		print_clean(allowed);
		fputc(')', stderr);
	}
	fputc('\n', stderr);
	exit(EXIT_SYNTAX);
}

int fail(enum exit_code code, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	print_clean(complaint_place);
	fputs("Error: ", stderr);
	print_clean(line);
	fputc('\n', stderr);
	return code;
}

void note(const char *text)
{
	print_clean(complaint_place);
	fputs("Note: ", stderr);
	print_clean(text);
	fputs(".\n", stderr);
}

static const struct name *row(const void *table, size_t i, size_t stride)
{
	return (const struct name *)((const char *)table + i * stride);
}

void name_list(const void *table, size_t count, size_t stride, const char *prefix,
	       char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < count && used < size; i++) {
		const char *word = row(table, i, stride)->word;

		if (!prefix || !strncmp(word, prefix, strlen(prefix)))
			used += snprintf(buf + used, size - used, "%s%s", used ? ", " : "", word);
	}
}

size_t pick(const char *text, const void *table, size_t count, size_t stride, const char *what)
{
	size_t length = strlen(text), found = 0, hits = 0;
	char list[1024], why[64];

	for (size_t i = 0; i < count; i++) {
		const struct name *name = row(table, i, stride);

		if (!strcmp(text, name->word) || (name->brief && !strcmp(text, name->brief)))
			return i;
		if (length && !strncmp(text, name->word, length)) {
			found = i;
			hits++;
		}
	}
	if (hits == 1)
		return found;
	name_list(table, count, stride, hits ? text : NULL, list, sizeof(list));
	snprintf(why, sizeof(why), "%s %s", hits ? "ambiguous" : "unknown", what);
	wrong(text, why, list);
}

const char *words_take(struct words *words, const char *what, const char *allowed)
{
	char why[128];

	if (words_left(words))
		return words->last = *words->at++;
	snprintf(why, sizeof(why), "%s must follow", what);
	wrong(words->last, why, allowed);
}

void words_value(struct words *words, const char *what,
		 void (*parse)(const struct param *param, const char *text, void *to), void *to)
{
	const struct param param = { .parse = parse };

	parse(&param, words_take(words, what, value_allowed(&param)), to);
}

void words_end(const struct words *words)
{
	if (words_left(words))
		wrong(*words->at, "nothing more is taken here", NULL);
}

uint32_t params_take(struct words *words, const struct param *table, size_t count, void *to)
{
	uint32_t given = 0;

	while (words_left(words)) {
		const char *word = words_take(words, "a parameter", NULL);
		size_t i = pick(word, table, count, sizeof(*table), "parameter");
		const struct param *param = &table[i];
		void *at = (char *)to + param->at;

		if (given & 1u << i && !param->repeats)
			wrong(word, "given twice", NULL);
		given |= 1u << i;
		if (param->parse)
			param->parse(param, words_take(words, "a value", value_allowed(param)), at);
		else
			*(bool *)at = true;
	}
	return given;
}

void params_need(const struct words *words, const struct param *table, size_t count,
		 uint32_t given, uint32_t needed)
{
	char why[128];

	for (size_t i = 0; i < count; i++) {
		if (!(needed & ~given & 1u << i))
			continue;
		snprintf(why, sizeof(why), "\"%s\" with its value must follow", table[i].name.word);
		wrong(words->last, why, value_allowed(&table[i]));
	}
}

static void command_usage(const struct object *object, const struct command *command)
{
	printf("jvpn-ip %s %s%s%s\n", object->name.word, command->name.word,
	       *command->usage ? " " : "", command->usage);
}

void object_usage(const struct object *object)
{
	for (size_t i = 0; i < object->count; i++)
		command_usage(object, &object->commands[i]);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "help") || !strcmp(word, "-h") || !strcmp(word, "--help");
}

int object_run(const struct object *object, struct words *words)
{
	const struct command *command = object->standard;
	char list[256];

	if (words_left(words)) {
		const char *word = words_take(words, "a command", NULL);

		if (is_help(word)) {
			object_usage(object);
			return EXIT_OK;
		}
		command = &object->commands[pick(word, object->commands, object->count,
						 sizeof(*command), "command")];
	} else if (!command) {
		name_list(object->commands, object->count, sizeof(*command), NULL,
			  list, sizeof(list));
		wrong(words->last, "a command must follow", list);
	}
	if (words_left(words) && is_help(*words->at)) {
		command_usage(object, command);
		return EXIT_OK;
	}
	return command->run(words);
}
