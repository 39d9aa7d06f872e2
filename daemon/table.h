/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A hash table of things that embed their entry. The hash is keyed, so nobody who
 * chooses ids chooses collisions. Grows by doubling; nothing is allocated per entry.
 */
#ifndef JV_TABLE_H
#define JV_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embed it, zeroed. The key it points to stays valid and unchanged while it is in. */
struct jv_entry {
	struct jv_entry *next;
	const void *key;
	uint64_t hash;
	bool in;
};

struct jv_table {
	struct jv_entry **slot;
	size_t slots;			/* a power of two */
	size_t count;
	size_t key_len;
	uint8_t secret[16];
};

#define jv_container(entry, type, member) \
	((type *)((char *)(entry) - offsetof(type, member)))

/* An empty table of keys of @key_len bytes. 0 or -1 (no memory). */
int jv_table_init(struct jv_table *t, size_t key_len);
void jv_table_free(struct jv_table *t);

struct jv_entry *jv_table_find(const struct jv_table *t, const void *key);

/* False: there is one with this key already, @e stays out. */
bool jv_table_add(struct jv_table *t, struct jv_entry *e, const void *key);

/* Harmless for one that is not in. */
void jv_table_del(struct jv_table *t, struct jv_entry *e);

#endif /* JV_TABLE_H */
