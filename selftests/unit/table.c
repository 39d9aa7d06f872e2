// SPDX-License-Identifier: GPL-2.0
/* The hash table against an array that is searched. */
#include "unit.h"

#include <sodium.h>

#include "table.h"

enum { ITEMS = 3000, ROUNDS = 40000 };

struct item {
	struct jv_entry entry;
	uint8_t key[8];
};

static struct item items[ITEMS];

static void make_keys(uint64_t *dice)
{
	/* Few different bytes: keys that look alike. */
	for (unsigned int i = 0; i < ITEMS; i++) {
		memset(items[i].key, unit_random(dice) % 3, sizeof(items[i].key));
		memcpy(items[i].key, &i, sizeof(i));
	}
}

TEST(is_the_set_that_it_should_be)
{
	uint64_t dice = unit_seed("is_the_set_that_it_should_be");
	struct jv_table t;
	size_t in = 0;

	ASSERT_GE(sodium_init(), 0);
	ASSERT_EQ(0, jv_table_init(&t, sizeof(items[0].key)));
	make_keys(&dice);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct item *item = &items[unit_random(&dice) % ITEMS];
		struct jv_entry *found = jv_table_find(&t, item->key);

		ASSERT_EQ(item->entry.in ? &item->entry : NULL, found);
		if (unit_random(&dice) % 3) {
			ASSERT_EQ(!found, jv_table_add(&t, &item->entry, item->key));
			in += !found;
		} else {
			jv_table_del(&t, &item->entry);
			in -= !!found;
		}
		ASSERT_EQ(in, t.count);
	}
	for (unsigned int i = 0; i < ITEMS; i++)
		EXPECT_EQ(items[i].entry.in ? &items[i].entry : NULL, jv_table_find(&t, items[i].key));
	jv_table_free(&t);
}

TEST(refuses_a_second_of_the_same_key)
{
	struct item one = { .key = "same" }, two = { .key = "same" };
	struct jv_table t;

	ASSERT_GE(sodium_init(), 0);
	ASSERT_EQ(0, jv_table_init(&t, sizeof(one.key)));
	EXPECT_TRUE(jv_table_add(&t, &one.entry, one.key));
	EXPECT_FALSE(jv_table_add(&t, &two.entry, two.key));
	EXPECT_EQ(&one.entry, jv_table_find(&t, two.key));
	jv_table_del(&t, &two.entry);
	EXPECT_EQ(1, t.count);
	jv_table_del(&t, &one.entry);
	jv_table_del(&t, &one.entry);
	EXPECT_EQ(NULL, jv_table_find(&t, one.key));
	jv_table_free(&t);
}

TEST_HARNESS_MAIN
