// SPDX-License-Identifier: GPL-2.0
/* The kernel's replay window: a table of cases, and against a set that forgets nothing. */
#include "unit.h"

#include "../../kernel/replay.h"

enum { W = JVPN_REPLAY_WINDOW };

#define MAX48 ((1ULL << 48) - 1)

static const enum jvpn_replay_verdict NEW = JVPN_REPLAY_NEW, SEEN = JVPN_REPLAY_SEEN,
				      OLD = JVPN_REPLAY_OLD;

TEST(cases)
{
	static const struct { uint64_t counter; enum jvpn_replay_verdict want; } cases[] = {
		{ 0, JVPN_REPLAY_NEW }, { 0, JVPN_REPLAY_SEEN },
		{ 1, JVPN_REPLAY_NEW }, { 1, JVPN_REPLAY_SEEN }, { 0, JVPN_REPLAY_SEEN },
		{ 9, JVPN_REPLAY_NEW }, { 8, JVPN_REPLAY_NEW }, { 7, JVPN_REPLAY_NEW },
		{ 7, JVPN_REPLAY_SEEN }, { 9, JVPN_REPLAY_SEEN }, { 2, JVPN_REPLAY_NEW },
		/* the far end of the window */
		{ W - 1, JVPN_REPLAY_NEW }, { 3, JVPN_REPLAY_NEW }, { 0, JVPN_REPLAY_SEEN },
		{ W, JVPN_REPLAY_NEW }, { 0, JVPN_REPLAY_OLD }, { 1, JVPN_REPLAY_SEEN },
		{ W + 1, JVPN_REPLAY_NEW }, { 1, JVPN_REPLAY_OLD }, { 4, JVPN_REPLAY_NEW },
		/* one window ahead: nothing of the old one is left, and nothing is made up */
		{ 2 * W + 1, JVPN_REPLAY_NEW }, { W + 1, JVPN_REPLAY_OLD },
		{ W + 2, JVPN_REPLAY_NEW }, { W + 2, JVPN_REPLAY_SEEN },
		{ 2 * W, JVPN_REPLAY_NEW },
		/* far ahead */
		{ 1ULL << 40, JVPN_REPLAY_NEW }, { (1ULL << 40) - W, JVPN_REPLAY_OLD },
		{ (1ULL << 40) - W + 1, JVPN_REPLAY_NEW }, { (1ULL << 40) - W + 1, JVPN_REPLAY_SEEN },
		{ 2 * W + 1, JVPN_REPLAY_OLD },
		/* the last counter there is */
		{ MAX48, JVPN_REPLAY_NEW }, { MAX48, JVPN_REPLAY_SEEN },
		{ MAX48 - 1, JVPN_REPLAY_NEW }, { MAX48 - W + 1, JVPN_REPLAY_NEW },
		{ MAX48 - W, JVPN_REPLAY_OLD }, { 0, JVPN_REPLAY_OLD },
	};
	struct jvpn_replay r;

	memset(&r, 0, sizeof(r));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jvpn_replay before = r;

		EXPECT_EQ(cases[i].want, jvpn_replay_check(&r, cases[i].counter)) {
			TH_LOG("case %zu", i);
		}
		EXPECT_EQ(0, memcmp(&before, &r, sizeof(r)));	/* a check changes nothing */
		EXPECT_EQ(cases[i].want, jvpn_replay_commit(&r, cases[i].counter)) {
			TH_LOG("case %zu", i);
		}
		if (cases[i].want != NEW)
			EXPECT_EQ(0, memcmp(&before, &r, sizeof(r)));
	}
}

/* Whole windows, upwards, downwards and with every stride. */
TEST(sweeps)
{
	struct jvpn_replay r;

	memset(&r, 0, sizeof(r));
	for (uint64_t c = 0; c < 3 * W; c++)
		ASSERT_EQ(NEW, jvpn_replay_commit(&r, c));
	for (uint64_t c = 0; c < 3 * W; c++)
		ASSERT_EQ(c < 2 * W ? OLD : SEEN, jvpn_replay_commit(&r, c));

	memset(&r, 0, sizeof(r));
	ASSERT_EQ(NEW, jvpn_replay_commit(&r, 2 * W));
	for (uint64_t c = 2 * W - 1; c > W; c--)
		ASSERT_EQ(NEW, jvpn_replay_commit(&r, c));
	ASSERT_EQ(OLD, jvpn_replay_commit(&r, W));

	for (uint64_t stride = 1; stride <= 2 * W; stride += 13) {
		memset(&r, 0, sizeof(r));
		for (uint64_t c = 0; c < 8 * W; c += stride) {
			ASSERT_EQ(NEW, jvpn_replay_commit(&r, c));
			ASSERT_EQ(SEEN, jvpn_replay_commit(&r, c));
			/* what the stride left out is still open */
			if (stride > 1 && c)
				ASSERT_EQ(NEW, jvpn_replay_check(&r, c - 1));
		}
	}
}

/* The naive set: a byte per counter. */
enum { SPAN = 1 << 18 };

static enum jvpn_replay_verdict naive(const uint8_t *seen, int64_t highest, uint64_t base,
				      uint64_t counter)
{
	if (highest >= 0 && (int64_t)counter <= highest - W)
		return OLD;
	return seen[counter - base] ? SEEN : NEW;
}

TEST(against_a_set)
{
	uint64_t seed = unit_seed("against_a_set");
	uint8_t *seen = malloc(SPAN);

	for (uint64_t round = 0; round < unit_rounds("ROUNDS", 60); round++) {
		uint64_t base = round % 3 == 0 ? 0 : round % 3 == 1 ? MAX48 - SPAN + 1 :
				unit_random(&seed) & (MAX48 >> 1);
		uint64_t reach = 1 + unit_random(&seed) % (3 * W);
		unsigned int counts[3] = { 0 };
		int64_t highest = -1;
		struct jvpn_replay r;
		uint64_t at = base;

		memset(&r, 0, sizeof(r));
		memset(seen, 0, SPAN);
		while (at < base + SPAN - reach) {
			uint64_t back = unit_random(&seed) % (W + W / 2);
			uint64_t counter = unit_random(&seed) % 3 ? at : at - base > back ? at - back
									       : base;
			enum jvpn_replay_verdict want = naive(seen, highest, base, counter);

			/* A base of its own has no past: nothing below it was ever there. */
			ASSERT_EQ(want, jvpn_replay_check(&r, counter));
			ASSERT_EQ(want, jvpn_replay_commit(&r, counter));
			counts[want]++;
			seen[counter - base] = 1;
			if ((int64_t)counter > highest)
				highest = counter;
			if (unit_random(&seed) % 2)
				at += unit_random(&seed) % 8 ? 1 : unit_random(&seed) % reach;
		}
		EXPECT_LT(0, counts[NEW]);
		EXPECT_LT(0, counts[SEEN]);
		EXPECT_LT(0, counts[OLD]);
	}
	free(seen);
}

TEST_HARNESS_MAIN
