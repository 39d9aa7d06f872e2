/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long keys live and how far they count. No clock, no lock: times and counters
 * come in, ends go out. Times are CLOCK_BOOTTIME ns.
 */
#ifndef JVPN_LIFESPAN_H
#define JVPN_LIFESPAN_H

#include "pure.h"
#include "../uapi/wire.h"

/* Packets on the way when the peer took to newer keys may still come for so long. */
#define JVPN_KEYS_OVERLAP_NS (3000 * JVPN_NS_PER_MS)
/* Even if the peer is never heard under the newer ones that we send with. */
#define JVPN_KEYS_OVERLAP_MAX_NS (10000 * JVPN_NS_PER_MS)
/* The peer has so long to prove that it holds newer keys. */
#define JVPN_KEYS_PROOF_NS (5000 * JVPN_NS_PER_MS)

/**
 * struct jvpn_lifespan - what decides on the end of one set of keys
 * @born_ns: when they were installed
 * @confirmed_ns: when the peer proved to hold them, 0: not yet
 * @sends: they are the ones we send with
 */
struct jvpn_lifespan {
	u64 born_ns, confirmed_ns;
	bool sends;
};

static inline u64 jvpn_earlier(u64 a, u64 b)
{
	return a < b ? a : b;
}

/**
 * jvpn_lifespan_end() - when keys are to be wiped
 * @keys: all keys of a session, oldest first
 * @n: how many
 * @i: which of them
 *
 * The last keys of a session have no end of their own.
 *
 * Return: a time, perhaps past, or JVPN_NEVER.
 */
static inline u64 jvpn_lifespan_end(const struct jvpn_lifespan *keys, unsigned int n,
				    unsigned int i)
{
	const struct jvpn_lifespan *newer;
	u64 end_ns = JVPN_NEVER;

	for (newer = keys + i + 1; newer < keys + n; newer++) {
		if (newer->confirmed_ns)
			end_ns = jvpn_earlier(end_ns, newer->confirmed_ns +
					      JVPN_KEYS_OVERLAP_NS);
		if (newer->sends)
			end_ns = jvpn_earlier(end_ns, newer->born_ns +
					      JVPN_KEYS_OVERLAP_MAX_NS);
	}
	if (n > 1 && !keys[i].confirmed_ns && !keys[i].sends)
		end_ns = jvpn_earlier(end_ns, keys[i].born_ns + JVPN_KEYS_PROOF_NS);
	return end_ns;
}

/**
 * struct jvpn_key_limits - how much a key may do (PROTOCOL.md, "Limits")
 * @soft: packets in one direction after which it is to be replaced
 * @hard: packets it may send
 * @forged: failed opens that end it
 */
struct jvpn_key_limits {
	u64 soft, hard, forged;
};

/* Frames up to this size have the limits of short ones. */
#define JVPN_FRAME_SHORT 2048

/**
 * jvpn_key_limits_of() - limits of a cipher
 * @aead: enum jvpn_aead
 * @frame: longest frame, bytes
 *
 * Return: the limits.
 */
static inline struct jvpn_key_limits jvpn_key_limits_of(u8 aead, u32 frame)
{
	struct jvpn_key_limits l = { 1ULL << 40, JVPN_COUNTER_LIMIT, 1ULL << 35 };

	if (aead != JVPN_AEAD_AES_256_GCM)
		return l;
	l.soft = frame > JVPN_FRAME_SHORT ? 1ULL << 23 : 1ULL << 25;
	l.hard = l.soft << 2;
	l.forged = 1ULL << 50;
	return l;
}

#endif /* JVPN_LIFESPAN_H */
