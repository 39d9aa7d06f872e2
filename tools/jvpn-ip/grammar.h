/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The grammar as data: tables of objects, commands and parameters, one way to
 * look a word up in any of them, one form for every complaint.
 */
#ifndef JVPN_IP_GRAMMAR_H
#define JVPN_IP_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Exit codes: part of the interface, see jvpn-ip(8). */
enum exit_code {
	EXIT_OK,
	EXIT_SYNTAX,		/* the command line or a value on it */
	EXIT_ERROR,		/* the kernel or the daemon reported an error */
	EXIT_UNREACHABLE,	/* no daemon */
	EXIT_CONFLICT,		/* if-version does not hold any more */
	EXIT_NOT_FOUND,
	EXIT_REFUSED,		/* by policy */
};

/* The options of the command line. */
struct options {
	bool json, pretty, stats, details, brief, oneline, timestamp;
	bool kernel_only;
	const char *socket;
	unsigned int wait_ms;
	bool patient;		/* wait for the daemon to start, too */
};

extern struct options opt;

/*
 * What every table starts its rows with. @brief is the one abbreviation that
 * wins where prefixes are ambiguous, or NULL.
 */
struct name {
	const char *word;
	const char *brief;
};

/* The words of the command line that are still to be read. */
struct words {
	char **at;
	char **end;
	const char *last;	/* the word read last: what a complaint quotes at the end */
};

struct command {
	struct name name;
	int (*run)(struct words *words);
	const char *usage;	/* what follows the words of object and command */
};

struct object {
	struct name name;
	const char *help;
	const struct command *commands;
	size_t count;
	const struct command *standard;	/* without a command; NULL: one is needed */
};

/*
 * A parameter of a command: WORD VALUE, or WORD alone where @parse is NULL and
 * @at is a bool. @min and @max bound numbers.
 */
struct param {
	struct name name;
	void (*parse)(const struct param *param, const char *text, void *to);
	size_t at;
	uint64_t min, max;
	bool repeats;		/* @parse appends */
};

#define PARAM(text, parser, type, member) \
	{ .name = { .word = text }, .parse = parser, .at = offsetof(type, member) }
#define PARAM_NUMBER(text, type, member, least, most)				\
	{ .name = { .word = text }, .parse = value_number, .at = offsetof(type, member), \
	  .min = least, .max = most }
#define PARAM_LIST(text, parser, type, member)					\
	{ .name = { .word = text }, .parse = parser, .at = offsetof(type, member), \
	  .repeats = true }

/* What every complaint begins with, "FILE:LINE: " of a batch. */
extern const char *complaint_place;

/* End with `Error: argument "@text" is wrong: @why (allowed: @allowed)`, @allowed may be NULL. */
_Noreturn void wrong(const char *text, const char *why, const char *allowed);

/* Print `Error: ` and one line; return @code. Control characters do not get through. */
int fail(enum exit_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print `Note: ` and one line: what was asked for is done, but there is more to know. */
void note(const char *text);

/*
 * The row of @table that @text means: the word itself, its @brief, or a prefix
 * that fits no other row. Anything else ends in wrong(), calling it @what.
 */
size_t pick(const char *text, const void *table, size_t count, size_t stride, const char *what);

#define PICK(text, table, what) pick(text, table, COUNT(table), sizeof((table)[0]), what)

/* The words of a table, as "a, b, c"; only those that @prefix begins, unless it is NULL. */
void name_list(const void *table, size_t count, size_t stride, const char *prefix,
	       char *buf, size_t size);

static inline bool words_left(const struct words *words)
{
	return words->at < words->end;
}

/* The next word; wrong() saying that @what must follow if there is none. */
const char *words_take(struct words *words, const char *what, const char *allowed);

/* The next word, read by @parse into @to. */
void words_value(struct words *words, const char *what,
		 void (*parse)(const struct param *param, const char *text, void *to), void *to);

/* wrong() if a word is left. */
void words_end(const struct words *words);

/*
 * Read all words left as parameters of @table into the struct at @to. Returns
 * the set of parameters given, bit i for row i.
 */
uint32_t params_take(struct words *words, const struct param *table, size_t count, void *to);

/* wrong() unless all parameters of @needed were @given. */
void params_need(const struct words *words, const struct param *table, size_t count,
		 uint32_t given, uint32_t needed);

/* Run the command that @words say. Returns the exit code. */
int object_run(const struct object *object, struct words *words);

/* One usage line per command. */
void object_usage(const struct object *object);

#endif /* JVPN_IP_GRAMMAR_H */
