// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

enum { SLOTS_FIRST = 256 };

static uint64_t hash_of(const struct jv_table *t, const void *key)
{
	uint64_t h;

	crypto_shorthash((uint8_t *)&h, key, t->key_len, t->secret);
	return h;
}

int jv_table_init(struct jv_table *t, size_t key_len)
{
	*t = (struct jv_table){ .key_len = key_len, .slots = SLOTS_FIRST };
	randombytes_buf(t->secret, sizeof(t->secret));
	t->slot = calloc(t->slots, sizeof(*t->slot));
	return t->slot ? 0 : -1;
}

void jv_table_free(struct jv_table *t)
{
	free(t->slot);
	*t = (struct jv_table){ 0 };
}

static struct jv_entry **place(const struct jv_table *t, uint64_t hash)
{
	return &t->slot[hash & (t->slots - 1)];
}

/* Without memory the chains just get longer. */
static void grow(struct jv_table *t)
{
	struct jv_table big = *t;

	big.slots *= 2;
	big.slot = calloc(big.slots, sizeof(*big.slot));
	if (!big.slot)
		return;
	for (size_t i = 0; i < t->slots; i++) {
		struct jv_entry *e, *next;

		for (e = t->slot[i]; e; e = next) {
			struct jv_entry **p = place(&big, e->hash);

			next = e->next;
			e->next = *p;
			*p = e;
		}
	}
	free(t->slot);
	*t = big;
}

struct jv_entry *jv_table_find(const struct jv_table *t, const void *key)
{
	uint64_t hash = hash_of(t, key);
	struct jv_entry *e = *place(t, hash);

	while (e && (e->hash != hash || memcmp(e->key, key, t->key_len)))
		e = e->next;
	return e;
}

bool jv_table_add(struct jv_table *t, struct jv_entry *e, const void *key)
{
	struct jv_entry **p;

	if (jv_table_find(t, key))
		return false;
	if (t->count >= t->slots)
		grow(t);
	e->key = key;
	e->hash = hash_of(t, key);
	e->in = true;
	p = place(t, e->hash);
	e->next = *p;
	*p = e;
	t->count++;
	return true;
}

void jv_table_del(struct jv_table *t, struct jv_entry *e)
{
	struct jv_entry **p;

	if (!e->in)
		return;
	for (p = place(t, e->hash); *p != e; p = &(*p)->next)
		;
	*p = e->next;
	e->in = false;
	t->count--;
}
