/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Output: JSON objects in one array, tables, and the few ways a figure is
 * written for people.
 */
#ifndef JVPN_IP_OUT_H
#define JVPN_IP_OUT_H

#include <jansson.h>
#include <libsmartcols/libsmartcols.h>

#include "value.h"

/* Space for any figure that is formatted here. */
enum { FIGURE_TEXT = 48 };

/* Print one object of the answer, and let go of it. Only with -j. */
void out_object(json_t *object);

/* End the answer: with -j, close the array. */
void out_end(void);

/* One object of an event stream: on a line of its own, at once. Takes it over. */
void out_event(json_t *object);

/* What stands between the lines of one object: a newline, or a backslash with -o. */
const char *out_break(void);

/* A table with these headings, shown unless -br. Ends the program if there is no memory. */
struct libscols_table *out_table(const char *const *headings, size_t count);

/* A new line of a table. */
struct libscols_line *out_line(struct libscols_table *table);

/* Fill a cell. */
void out_cell(struct libscols_line *line, size_t column, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Print and free. */
void out_table_end(struct libscols_table *table);

/* Milliseconds as "312ms", "41.2s", "12m05s", "2h13m", "12d3h". Returns @buf. */
const char *out_time(uint64_t ms, char buf[FIGURE_TEXT]);

/* Bytes in hex. Returns @buf of 2 * @size + 1. */
const char *out_hex(const unsigned char *bytes, size_t size, char *buf);

/* A word of the vocabulary in lower case, as JSON has it. Returns @buf. */
const char *out_lower(const char *word, char buf[FIGURE_TEXT]);

/* Add to a JSON object. */
void json_put_number(json_t *object, const char *key, uint64_t value);
void json_put_text(json_t *object, const char *key, const char *value);
void json_put_word(json_t *object, const char *key, const char *word);
void json_put_hex(json_t *object, const char *key, const unsigned char *bytes, size_t size);
void json_put_address(json_t *object, const char *key, const struct address *address);

/* Add the address under @key, and the port under @port_key. */
void json_put_endpoint(json_t *object, const char *key, const char *port_key,
		       const struct endpoint *endpoint);

/* The same object, its keys in lower case. The caller lets go of both. */
json_t *json_lower_keys(const json_t *object);

/* Take the value of @key over from @from, unless it is absent or null there. */
void json_take(json_t *object, const json_t *from, const char *key);

/* Read from one: the value, or what stands for none. */
const char *json_text(const json_t *object, const char *key, const char *none);

#endif /* JVPN_IP_OUT_H */
