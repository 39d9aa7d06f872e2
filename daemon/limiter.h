/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Token buckets: per source prefix and global before any proof, per session after
 * it. Fixed memory, no allocation per source, keyed hash: a source can only fill
 * the slot it shares. Loop thread.
 */
#ifndef JV_LIMITER_H
#define JV_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"

/* One bucket; zeroed is full. */
struct jv_bucket {
	uint64_t full_ns;		/* when it will be full again */
};

/*
 * Take one token at @now_ms: @rate per second, @burst at once (both at least 1).
 * False: none left; *@retry_after_ms (may be NULL) says when there will be one.
 */
bool jv_bucket_take(struct jv_bucket *bucket, uint32_t rate, uint32_t burst, uint64_t now_ms,
		    uint32_t *retry_after_ms);

struct jv_limiter;

enum jv_limit {
	JV_LIMIT_OK,
	JV_LIMIT_SOURCE,		/* this source prefix: /32, or /56 of IPv6 */
	JV_LIMIT_GLOBAL,
};

/* NULL: no memory. */
struct jv_limiter *jv_limiter_new(void);
void jv_limiter_free(struct jv_limiter *limiter);

/* May an INIT of @source be looked at? Counts it. */
enum jv_limit jv_limiter_init(struct jv_limiter *limiter, const union jv_addr *source,
			      uint64_t now_ms);

/* May a SWITCH or REATTACH of @source be opened? Counts it. */
enum jv_limit jv_limiter_request(struct jv_limiter *limiter, const union jv_addr *source,
				 uint64_t now_ms);

#endif /* JV_LIMITER_H */
