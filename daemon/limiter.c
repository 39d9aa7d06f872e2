// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "limiter.h"

/*
 * Figures per node. The kernel's filter, in front of this, has its own per prefix
 * and per upcall; these bound what an admitted source can make us compute.
 */
enum {
	SLOTS = 4096,			/* a power of two */
	INIT_RATE = 20, INIT_BURST = 40,
	INIT_RATE_ALL = 2000, INIT_BURST_ALL = 4000,
	REQUEST_RATE = 50, REQUEST_BURST = 100,
	REQUEST_RATE_ALL = 20000, REQUEST_BURST_ALL = 40000,
};

struct jv_limiter {
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
	struct jv_bucket init_all, request_all;
	struct jv_bucket init[SLOTS], request[SLOTS];
};

bool jv_bucket_take(struct jv_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms,
		    uint32_t *retry_after_ms)
{
	uint64_t now_ns = now_ms * 1000000, each_ns = 1000000000ULL / rate;
	uint64_t full_ns = bucket->full_ns > now_ns ? bucket->full_ns : now_ns;

	/* @burst tokens refill in burst * each; one more than that is missing. */
	if (full_ns - now_ns + each_ns > burst * each_ns) {
		if (retry_after_ms)
			*retry_after_ms = (full_ns - now_ns + each_ns - burst * each_ns +
					   999999) / 1000000;
		return false;
	}
	bucket->full_ns = full_ns + each_ns;
	return true;
}

struct jv_limiter *jv_limiter_new(void)
{
	struct jv_limiter *limiter = calloc(1, sizeof(*limiter));

	if (limiter)
		randombytes_buf(limiter->hash_key, sizeof(limiter->hash_key));
	return limiter;
}

void jv_limiter_free(struct jv_limiter *limiter)
{
	free(limiter);
}

static uint32_t slot_of(const struct jv_limiter *limiter, const union jv_addr *source)
{
	uint8_t in[8] = { 0 };
	uint64_t out;

	if (source->sa.sa_family == AF_INET6) {
		in[0] = 1;
		memcpy(in + 1, &source->in6.sin6_addr, 7);
	} else {
		memcpy(in + 1, &source->in.sin_addr, 4);
	}
	crypto_shorthash((uint8_t *)&out, in, sizeof(in), limiter->hash_key);
	return out & (SLOTS - 1);
}

/* The source's bucket goes first: what one source is refused costs the others nothing. */
static enum jv_limit take(struct jv_bucket *source, uint32_t rate, uint32_t burst,
			  struct jv_bucket *all, uint32_t rate_all, uint32_t burst_all,
			  uint64_t now_ms)
{
	if (!jv_bucket_take(source, rate, burst, now_ms, NULL))
		return JV_LIMIT_SOURCE;
	if (!jv_bucket_take(all, rate_all, burst_all, now_ms, NULL))
		return JV_LIMIT_GLOBAL;
	return JV_LIMIT_OK;
}

enum jv_limit jv_limiter_init(struct jv_limiter *limiter, const union jv_addr *source,
			      uint64_t now_ms)
{
	return take(&limiter->init[slot_of(limiter, source)], INIT_RATE, INIT_BURST,
		    &limiter->init_all, INIT_RATE_ALL, INIT_BURST_ALL, now_ms);
}

enum jv_limit jv_limiter_request(struct jv_limiter *limiter, const union jv_addr *source,
				 uint64_t now_ms)
{
	return take(&limiter->request[slot_of(limiter, source)], REQUEST_RATE, REQUEST_BURST,
		    &limiter->request_all, REQUEST_RATE_ALL, REQUEST_BURST_ALL, now_ms);
}
