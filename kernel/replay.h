/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The replay window: which counters were received. A pure file; userspace includes
 * it for its test and provides the locking by not needing any.
 */
#ifndef JVPN_REPLAY_H
#define JVPN_REPLAY_H

#include "pure.h"

#ifdef __KERNEL__
#include <linux/spinlock.h>
#endif

#define JVPN_REPLAY_WINDOW 2048
#define JVPN_REPLAY_WORDS (JVPN_REPLAY_WINDOW / 64)

/**
 * enum jvpn_replay_verdict - what the window says of a counter
 * @JVPN_REPLAY_NEW: not seen, and inside the window or above it
 * @JVPN_REPLAY_SEEN: seen
 * @JVPN_REPLAY_OLD: below the window, so nobody knows
 */
enum jvpn_replay_verdict {
	JVPN_REPLAY_NEW,
	JVPN_REPLAY_SEEN,
	JVPN_REPLAY_OLD,
};

/**
 * struct jvpn_replay - the last JVPN_REPLAY_WINDOW counters
 * @lock: the kernel's; serialises everything else
 * @next: one above the highest counter committed, 0 at first
 * @seen: bit (counter % JVPN_REPLAY_WINDOW)
 */
struct jvpn_replay {
#ifdef __KERNEL__
	spinlock_t lock; /* the rest */
#endif
	u64 next;
	u64 seen[JVPN_REPLAY_WORDS];
};

/**
 * jvpn_replay_check() - may this counter be new?
 * @r: the window
 * @counter: from a datagram that need not be authentic
 *
 * Changes nothing: what is not authenticated yet must not.
 *
 * Context: @r->lock held.
 * Return: the verdict.
 */
static inline enum jvpn_replay_verdict
jvpn_replay_check(const struct jvpn_replay *r, u64 counter)
{
	unsigned int bit = counter % JVPN_REPLAY_WINDOW;

	if (counter >= r->next)
		return JVPN_REPLAY_NEW;
	if (r->next - counter > JVPN_REPLAY_WINDOW)
		return JVPN_REPLAY_OLD;
	return r->seen[bit / 64] >> (bit % 64) & 1 ? JVPN_REPLAY_SEEN :
						     JVPN_REPLAY_NEW;
}

/*
 * Forget the counters from @r->next to @counter: their bits still tell of counters
 * that are a whole window older.
 */
static inline void jvpn_replay_advance(struct jvpn_replay *r, u64 counter)
{
	u64 c;

	if (counter - r->next >= JVPN_REPLAY_WINDOW) {
		memset(r->seen, 0, sizeof(r->seen));
	} else {
		for (c = r->next; c <= counter; c++) {
			unsigned int bit = c % JVPN_REPLAY_WINDOW;

			r->seen[bit / 64] &= ~(1ULL << (bit % 64));
		}
	}
	r->next = counter + 1;
}

/**
 * jvpn_replay_commit() - take an authenticated counter
 * @r: the window
 * @counter: below 2^48
 *
 * Checks once more, as another CPU may have been first since jvpn_replay_check().
 *
 * Context: @r->lock held.
 * Return: the verdict; JVPN_REPLAY_NEW exactly once for each counter.
 */
static inline enum jvpn_replay_verdict
jvpn_replay_commit(struct jvpn_replay *r, u64 counter)
{
	enum jvpn_replay_verdict verdict = jvpn_replay_check(r, counter);
	unsigned int bit = counter % JVPN_REPLAY_WINDOW;

	if (verdict != JVPN_REPLAY_NEW)
		return verdict;
	if (counter >= r->next)
		jvpn_replay_advance(r, counter);
	r->seen[bit / 64] |= 1ULL << (bit % 64);
	return JVPN_REPLAY_NEW;
}

#endif /* JVPN_REPLAY_H */
