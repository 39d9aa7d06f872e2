// SPDX-License-Identifier: GPL-2.0
/* Token buckets against a naive count, and sources that cannot harm each other. */
#include <arpa/inet.h>
#include <sodium.h>

#include "unit.h"

#include "limiter.h"

/*
 * In any window of T seconds at most burst + rate * T are admitted, and who asks
 * steadily at the rate is never refused.
 */
TEST(bucket_bounds)
{
	uint64_t seed = unit_seed("limiter");

	for (int round = 0; round < 200; round++) {
		uint32_t rate = 1 + unit_random(&seed) % 100, burst = 1 + unit_random(&seed) % 50;
		uint64_t now = 1000000 + unit_random(&seed) % 1000, start = now, taken = 0;
		struct jv_bucket bucket = { 0 };

		for (int i = 0; i < 2000; i++) {
			now += unit_random(&seed) % 30;
			taken += jv_bucket_take(&bucket, rate, burst, now, NULL);
			ASSERT_LE(taken, burst + rate * (now - start) / 1000 + 1);
		}
		/* Asked more often than it refills and never full, it gave everything. */
		if (rate < 30 && burst >= 10) {
			ASSERT_LE(rate * (now - start) / 1000, taken + 1);
		}
	}
}

TEST(bucket_steady)
{
	struct jv_bucket bucket = { 0 };

	for (uint64_t now = 5000; now < 105000; now += 500)
		ASSERT_TRUE(jv_bucket_take(&bucket, 2, 1, now, NULL));
}

TEST(bucket_burst_and_wait)
{
	struct jv_bucket bucket = { 0 };
	uint32_t wait = 0;

	for (int i = 0; i < 5; i++)
		EXPECT_TRUE(jv_bucket_take(&bucket, 2, 5, 1000, NULL));
	EXPECT_FALSE(jv_bucket_take(&bucket, 2, 5, 1000, &wait));
	EXPECT_EQ(500, wait);
	EXPECT_FALSE(jv_bucket_take(&bucket, 2, 5, 1499, &wait));
	EXPECT_EQ(1, wait);
	EXPECT_TRUE(jv_bucket_take(&bucket, 2, 5, 1500, NULL));
	EXPECT_FALSE(jv_bucket_take(&bucket, 2, 5, 1500, NULL));
	/* However long it rests, it is full and no more. */
	for (int i = 0; i < 5; i++)
		EXPECT_TRUE(jv_bucket_take(&bucket, 2, 5, 10000000, NULL));
	EXPECT_FALSE(jv_bucket_take(&bucket, 2, 5, 10000000, NULL));
}

static union jv_addr source(uint32_t host)
{
	return (union jv_addr){ .in = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + host),
		.sin_port = htons(host),
	} };
}

/* One source floods: it is held, its port does not help, and others hardly notice. */
TEST(sources)
{
	struct jv_limiter *limiter = jv_limiter_new();
	union jv_addr flood = source(1);
	unsigned int admitted = 0, refused = 0;

	ASSERT_NE(NULL, limiter);
	for (int i = 0; i < 10000; i++) {
		flood.in.sin_port = htons(1024 + i);
		admitted += jv_limiter_init(limiter, &flood, 1000) == JV_LIMIT_OK;
	}
	EXPECT_LT(0, admitted);
	EXPECT_GE(100, admitted);
	EXPECT_EQ(JV_LIMIT_SOURCE, jv_limiter_init(limiter, &flood, 1000));
	/* A slot is shared by chance only: of a hundred others, one at most. */
	for (uint32_t host = 100; host < 200; host++) {
		union jv_addr other = source(host);

		refused += jv_limiter_init(limiter, &other, 1000) != JV_LIMIT_OK;
	}
	EXPECT_GE(1, refused);
	/* Requests have buckets of their own. */
	EXPECT_EQ(JV_LIMIT_OK, jv_limiter_request(limiter, &flood, 1000));
	jv_limiter_free(limiter);
}

TEST(global)
{
	struct jv_limiter *limiter = jv_limiter_new();
	unsigned int count[3] = { 0 };

	ASSERT_NE(NULL, limiter);
	for (uint32_t host = 0; host < 100000; host++) {
		union jv_addr addr = source(host);

		count[jv_limiter_init(limiter, &addr, 1000)]++;
	}
	EXPECT_LT(0, count[JV_LIMIT_OK]);
	EXPECT_GE(10000, count[JV_LIMIT_OK]);
	EXPECT_LT(0, count[JV_LIMIT_GLOBAL]);
	jv_limiter_free(limiter);
}

TEST_HARNESS_MAIN
