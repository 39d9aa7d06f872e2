// SPDX-License-Identifier: GPL-2.0
/* Which transport wins: order, margin, staleness, eviction; the order of the input never matters. */
#include "unit.h"

#include "select.h"

enum { NOW = 1000000 };

static struct jv_candidate candidate(uint8_t id, uint16_t preference, uint32_t loss, uint32_t srtt)
{
	return (struct jv_candidate){ .id = id, .usable = true, .preference = preference,
				      .loss_permille = loss, .srtt_us = srtt, .seen_ms = NOW };
}

static int best_id(const struct jv_candidate *set, size_t n, int except)
{
	struct jv_policy p;
	int at;

	jv_policy_init(&p);
	at = jv_select_best(set, n, &p, except, NOW);
	return at < 0 ? -1 : set[at].id;
}

TEST(order)
{
	struct jv_candidate set[4] = {
		candidate(3, 50, 0, 1000), candidate(1, 100, 10, 20000),
		candidate(2, 100, 10, 10000), candidate(0, 100, 20, 100),
	};

	EXPECT_EQ(2, best_id(set, 4, -1));	/* preference, then loss, then srtt */
	EXPECT_EQ(1, best_id(set, 4, 2));
	set[1].usable = false;
	set[2].usable = false;
	EXPECT_EQ(0, best_id(set, 4, -1));
	set[3].srtt_us = 0;
	set[0] = set[3];
	set[0].id = 7;
	EXPECT_EQ(0, best_id(set, 4, -1));	/* all equal: the lower id */
	set[0].usable = set[3].usable = false;
	EXPECT_EQ(-1, best_id(set, 4, -1));
	EXPECT_EQ(-1, best_id(set, 0, -1));
}

/* Stale comes last, but better than nothing; not measured is worse than any measurement. */
TEST(stale_and_unmeasured)
{
	struct jv_candidate set[2] = { candidate(0, 100, 0, 100), candidate(1, 1, 500, 900000) };

	set[0].seen_ms = NOW - 15000;
	EXPECT_EQ(0, best_id(set, 2, -1));
	set[0].seen_ms = NOW - 15001;
	EXPECT_EQ(1, best_id(set, 2, -1));
	EXPECT_EQ(0, best_id(set, 2, 1));
	set[0] = candidate(0, 5, 0, 0);
	set[1] = candidate(1, 5, 0, 4000000);
	EXPECT_EQ(1, best_id(set, 2, -1));
}

TEST(margin)
{
	struct jv_candidate active = candidate(0, 1, 100, 100000), c = candidate(1, 1, 0, 0);
	uint64_t cost = jv_select_cost(&active);	/* 100 ms + 100 * 2 ms */
	struct jv_policy p;

	jv_policy_init(&p);
	EXPECT_EQ(300000, cost);
	c.srtt_us = 270000;
	EXPECT_TRUE(jv_select_better(&c, &active, &p, NOW));
	c.srtt_us = 270001;
	EXPECT_FALSE(jv_select_better(&c, &active, &p, NOW));
	c.srtt_us = 1;
	c.seen_ms = NOW - 15001;
	EXPECT_FALSE(jv_select_better(&c, &active, &p, NOW));
	c.seen_ms = NOW;
	c.usable = false;
	EXPECT_FALSE(jv_select_better(&c, &active, &p, NOW));
	c = candidate(1, 1, 0, 0);
	EXPECT_FALSE(jv_select_better(&c, &active, &p, NOW));	/* marginal: never measured */
	c = active;
	c.srtt_us = 1;
	EXPECT_FALSE(jv_select_better(&c, &active, &p, NOW));	/* itself */
	active.loss_permille = 1000;
	active.srtt_us = UINT32_MAX;
	c = candidate(1, 1, 0, 1);
	EXPECT_TRUE(jv_select_better(&c, &active, &p, NOW));	/* no overflow */
}

TEST(eviction)
{
	struct jv_candidate set[6];
	struct jv_policy p;
	uint8_t evict[6];

	jv_policy_init(&p);
	for (int i = 0; i < 6; i++)
		set[i] = candidate(i, 10, 10 * i, 1000);
	set[1].usable = false;
	set[2].seen_ms = NOW - 20000;
	ASSERT_EQ(2, jv_select_evict(set, 6, &p, 1, NOW, evict));
	EXPECT_EQ(2, evict[0]);		/* 1 is in use: the stale one goes, then the lossiest */
	EXPECT_EQ(5, evict[1]);
	ASSERT_EQ(2, jv_select_evict(set, 6, &p, -1, NOW, evict));
	EXPECT_EQ(1, evict[0]);
	EXPECT_EQ(2, evict[1]);
	EXPECT_EQ(0, jv_select_evict(set, 4, &p, -1, NOW, evict));
}

/* The choice is a function of the set, and it is at least as good as all others. */
TEST(independent_of_order)
{
	uint64_t seed = unit_seed("independent_of_order");

	for (uint64_t round = 0; round < unit_rounds("ROUNDS", 100000); round++) {
		struct jv_candidate set[6], other[6];
		size_t n = 1 + unit_random(&seed) % 6;
		int best;

		for (size_t i = 0; i < n; i++) {
			set[i] = candidate(i, unit_random(&seed) % 3, unit_random(&seed) % 3,
					   unit_random(&seed) % 3);
			set[i].usable = unit_random(&seed) % 4;
			set[i].seen_ms = NOW - 15000 * (unit_random(&seed) % 3);
			other[i] = set[i];
		}
		best = best_id(set, n, -1);
		for (size_t i = n - 1; i > 0; i--) {
			size_t k = unit_random(&seed) % (i + 1);
			struct jv_candidate swap = other[i];

			other[i] = other[k];
			other[k] = swap;
		}
		ASSERT_EQ(best, best_id(other, n, -1));
		for (size_t i = 0; i < n; i++) {
			bool stale_best = best >= 0 && NOW - set[best].seen_ms > 15000;

			if (!set[i].usable)
				continue;
			ASSERT_LE(0, best);
			if (stale_best) {
				ASSERT_LT(15000, NOW - set[i].seen_ms);
			} else if (NOW - set[i].seen_ms <= 15000) {
				ASSERT_GE(set[best].preference, set[i].preference);
			}
		}
	}
}

TEST_HARNESS_MAIN
