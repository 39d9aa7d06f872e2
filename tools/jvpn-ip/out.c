// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "out.h"

static size_t objects;

static size_t json_flags(void)
{
	return opt.pretty ? JSON_INDENT(4) : JSON_COMPACT;
}

void out_object(json_t *object)
{
	fputs(objects++ ? "," : "[", stdout);
	json_dumpf(object, stdout, json_flags());
	json_decref(object);
}

void out_end(void)
{
	if (opt.json)
		puts(objects ? "]" : "[]");
}

void out_event(json_t *object)
{
	json_dumpf(object, stdout, json_flags());
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

const char *out_break(void)
{
	return opt.oneline ? "\\" : "\n";
}

_Noreturn static void no_memory(void)
{
	exit(fail(EXIT_ERROR, "out of memory."));
}

struct libscols_table *out_table(const char *const *headings, size_t count)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		no_memory();
	for (size_t i = 0; i < count; i++)
		if (!scols_table_new_column(table, headings[i], 0, 0))
			no_memory();
	scols_table_enable_noheadings(table, opt.brief);
	return table;
}

struct libscols_line *out_line(struct libscols_table *table)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);

	if (!line)
		no_memory();
	return line;
}

void out_cell(struct libscols_line *line, size_t column, const char *format, ...)
{
	char *text;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		no_memory();
	va_end(ap);
	if (scols_line_refer_data(line, column, text))
		no_memory();
}

void out_table_end(struct libscols_table *table)
{
	scols_print_table(table);
	scols_unref_table(table);
}

const char *out_time(uint64_t ms, char buf[FIGURE_TEXT])
{
	uint64_t s = ms / 1000;

	if (s < 1)
		snprintf(buf, FIGURE_TEXT, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(buf, FIGURE_TEXT, "%" PRIu64 ".%" PRIu64 "s", s, ms % 1000 / 100);
	else if (s < 3600)
		snprintf(buf, FIGURE_TEXT, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, FIGURE_TEXT, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s % 3600 / 60);
	else
		snprintf(buf, FIGURE_TEXT, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s % 86400 / 3600);
	return buf;
}

const char *out_hex(const unsigned char *bytes, size_t size, char *buf)
{
	return sodium_bin2hex(buf, 2 * size + 1, bytes, size);
}

const char *out_lower(const char *word, char buf[FIGURE_TEXT])
{
	size_t i;

	for (i = 0; word[i] && i < FIGURE_TEXT - 1; i++)
		buf[i] = tolower((unsigned char)word[i]);
	buf[i] = '\0';
	return buf;
}

void json_put_number(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, json_integer((json_int_t)value));
}

void json_put_text(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, json_string(value));
}

void json_put_word(json_t *object, const char *key, const char *word)
{
	char lower[FIGURE_TEXT];

	json_put_text(object, key, out_lower(word, lower));
}

void json_put_hex(json_t *object, const char *key, const unsigned char *bytes, size_t size)
{
	char hex[2 * 64 + 1];

	if (size <= 64)
		json_put_text(object, key, out_hex(bytes, size, hex));
}

void json_put_address(json_t *object, const char *key, const struct address *address)
{
	char text[ADDRESS_TEXT];

	json_put_text(object, key, address_format(address, text));
}

void json_put_endpoint(json_t *object, const char *key, const char *port_key,
		       const struct endpoint *endpoint)
{
	json_put_address(object, key, &endpoint->address);
	json_put_number(object, port_key, endpoint->port);
}

json_t *json_lower_keys(const json_t *object)
{
	json_t *lower = json_object(), *value;
	char key[FIGURE_TEXT];
	const char *name;

	json_object_foreach((json_t *)object, name, value)
		json_object_set(lower, out_lower(name, key), value);
	return lower;
}

void json_take(json_t *object, const json_t *from, const char *key)
{
	json_t *value = json_object_get(from, key);

	if (value && !json_is_null(value))
		json_object_set(object, key, value);
}

const char *json_text(const json_t *object, const char *key, const char *none)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : none;
}
