/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The words of the configuration as data: for every setting one reader, one writer
 * and what it takes. Pure but for the key files, which a reader opens.
 */
#ifndef JV_GRAMMAR_H
#define JV_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { JV_WHY = 768 };

struct jv_setting {
	const char *name;
	/* -1 if the text is not allowed, @why if there is more to say than what it takes. */
	int (*read)(const char *text, void *out, char *why);
	void (*write)(FILE *out, const void *value);
	const char *takes;		/* what is allowed */
	size_t offset;			/* of the value in the section's entry */
	size_t size;			/* of one value */
	size_t count;			/* offset of how many were read; 0: not counted */
	unsigned int max;		/* 1: a single value */
};

struct jv_section {
	const char *name;
	bool titled;
	const struct jv_setting *settings;	/* NULL: policy.h's knobs */
	size_t n;
};

enum { JV_SECTIONS = 6 };

extern const struct jv_section jv_sections[JV_SECTIONS];

const struct jv_section *jv_section_find(const char *name);
const struct jv_setting *jv_setting_find(const char *section, const char *name);

/* One value from text. -1 and a sentence in @why of JV_WHY bytes. */
int jv_setting_read(const struct jv_setting *setting, const char *text, void *out, char *why);

/* All that @entry says in this section: a line each. What was not given is left out. */
void jv_section_write(const struct jv_section *section, const void *entry, FILE *out);

/* A string in quotes, as the parser reads it back. */
void jv_quote_write(FILE *out, const char *text);

#endif /* JV_GRAMMAR_H */
