/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Rates. A bucket is one u64, the time at which it would be full again (the
 * "theoretical arrival time" of the generic cell rate algorithm): no refill, no
 * rounding, and a forgotten bucket (0) is a full one.
 */
#ifndef JVPN_BUCKET_H
#define JVPN_BUCKET_H

#include "pure.h"

/**
 * struct jvpn_rate - a rate with a burst
 * @interval_ns: time that one token takes to come back
 * @burst: tokens of a full bucket, at least 1
 */
struct jvpn_rate {
	u32 interval_ns;
	u32 burst;
};

#define JVPN_RATE(per_second, burst_) \
	{ .interval_ns = 1000000000U / (per_second), .burst = (burst_) }

/**
 * jvpn_bucket_take() - take a token
 * @full_ns: when the bucket is full again
 * @rate: its rate
 * @now_ns: the time
 *
 * Return: the new @full_ns, or 0 if there is no token; nothing is used up then.
 */
static inline u64 jvpn_bucket_take(u64 full_ns, const struct jvpn_rate *rate,
				   u64 now_ns)
{
	if (full_ns < now_ns)
		full_ns = now_ns;
	if (full_ns - now_ns > (u64)(rate->burst - 1) * rate->interval_ns)
		return 0;
	return full_ns + rate->interval_ns;
}

/*
 * A meter tells whether more than @limit things happened within a second, and
 * keeps saying so until a whole second has passed below. Word: second << 32 |
 * count. Counts past 2^32 - 1 stay there.
 */
static inline u64 jvpn_meter_add(u64 word, u32 second)
{
	if ((u32)(word >> 32) != second)
		return (u64)second << 32 | 1;
	return (u32)word == (u32)-1 ? word : word + 1;
}

#endif /* JVPN_BUCKET_H */
