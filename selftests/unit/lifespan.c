// SPDX-License-Identifier: GPL-2.0
/* When keys end and how far they count: the kernel's rules, as tables. */
#include "unit.h"

#include "../../kernel/lifespan.h"

#define S (1000 * JVPN_NS_PER_MS)
/* Seconds: born, confirmed or 0; and whether they are sent with. */
#define KEYS(born, confirmed, sends) { (born) * S, (confirmed) * S, sends }

TEST(ends)
{
	static const struct {
		const char *what;
		unsigned int n;
		struct jvpn_lifespan keys[3];	/* born, confirmed, sends */
		uint64_t want[3];
	} cases[] = {
		{ "the only keys never end", 1,
		  { KEYS(1, 2, true) }, { JVPN_NEVER } },
		{ "nor if they were never confirmed", 1,
		  { KEYS(1, 0, false) }, { JVPN_NEVER } },
		{ "new ones have 5 s for their proof, the old ones stay", 2,
		  { KEYS(1, 2, true), KEYS(100, 0, false) }, { JVPN_NEVER, 105 * S } },
		{ "the old ones end 3 s after the proof", 2,
		  { KEYS(1, 2, false), KEYS(100, 104, true) }, { 107 * S, JVPN_NEVER } },
		{ "a client's old ones end when the new ones are 10 s old", 2,
		  { KEYS(1, 2, false), KEYS(100, 0, true) }, { 110 * S, JVPN_NEVER } },
		{ "at the latest, however late the proof", 2,
		  { KEYS(1, 2, false), KEYS(100, 109, true) }, { 110 * S, JVPN_NEVER } },
		{ "old ones that were never confirmed end by whichever comes first", 2,
		  { KEYS(99, 0, false), KEYS(100, 100, true) }, { 103 * S, JVPN_NEVER } },
		{ "old ones that were never confirmed, beside others that are not", 2,
		  { KEYS(99, 0, false), KEYS(101, 0, false) }, { 104 * S, 106 * S } },
		{ "keys in use have no end of their own, confirmed or not", 3,
		  { KEYS(1, 2, false), KEYS(50, 0, true), KEYS(57, 0, false) },
		  { 60 * S, JVPN_NEVER, 62 * S } },
		{ "the first of several newer ones decides", 3,
		  { KEYS(1, 2, false), KEYS(50, 51, false), KEYS(52, 53, true) },
		  { 54 * S, 56 * S, JVPN_NEVER } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (unsigned int k = 0; k < cases[i].n; k++) {
			EXPECT_EQ(cases[i].want[k],
				  jvpn_lifespan_end(cases[i].keys, cases[i].n, k)) {
				TH_LOG("%s: keys %u", cases[i].what, k);
			}
		}
	}
}

/* Whatever happens, at least one set of keys stays, and of those that are sent with the newest. */
TEST(somebody_stays)
{
	uint64_t seed = unit_seed("somebody_stays");

	for (int round = 0; round < 100000; round++) {
		unsigned int n = 1 + unit_random(&seed) % 3, sends = unit_random(&seed) % (n + 1);
		struct jvpn_lifespan keys[3] = { };
		unsigned int stay = 0;

		for (unsigned int i = 0; i < n; i++) {
			keys[i].born_ns = (i ? keys[i - 1].born_ns : 0) + unit_random(&seed) % (5 * S);
			if (unit_random(&seed) % 2)
				keys[i].confirmed_ns = keys[i].born_ns + 1 + unit_random(&seed) % (9 * S);
			/* What is confirmed and newer than what is sent with becomes that. */
			if (keys[i].confirmed_ns && i > sends)
				sends = i;
		}
		if (sends < n)
			keys[sends].sends = true;
		for (unsigned int i = 0; i < n; i++)
			stay += jvpn_lifespan_end(keys, n, i) == JVPN_NEVER;
		if (sends < n)
			ASSERT_EQ(JVPN_NEVER, jvpn_lifespan_end(keys, n, sends));
		if (sends < n || n == 1)
			ASSERT_LE(1, stay);
	}
}

TEST(limits)
{
	static const struct {
		uint8_t aead;
		uint32_t frame;
		unsigned int soft, hard, forged;
	} cases[] = {
		{ JVPN_AEAD_CHACHA20_POLY1305, 1452, 40, 46, 35 },
		{ JVPN_AEAD_CHACHA20_POLY1305, 9000, 40, 46, 35 },
		{ JVPN_AEAD_AES_256_GCM, 1452, 25, 27, 50 },
		{ JVPN_AEAD_AES_256_GCM, 2048, 25, 27, 50 },
		{ JVPN_AEAD_AES_256_GCM, 2049, 23, 25, 50 },
		{ JVPN_AEAD_AES_256_GCM, 9200, 23, 25, 50 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jvpn_key_limits l = jvpn_key_limits_of(cases[i].aead, cases[i].frame);

		EXPECT_EQ(1ULL << cases[i].soft, l.soft);
		EXPECT_EQ(1ULL << cases[i].hard, l.hard);
		EXPECT_EQ(1ULL << cases[i].forged, l.forged);
		EXPECT_LT(l.hard, 1ULL << JVPN_COUNTER_BITS);
	}
}

TEST_HARNESS_MAIN
