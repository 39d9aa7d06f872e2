/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An epoch: the traffic keys of one handshake, with their counters.
 */
#ifndef JVPN_EPOCH_H
#define JVPN_EPOCH_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>

#include "../uapi/wire.h"
#include "aead.h"
#include "lifespan.h"
#include "replay.h"
#include "verdict.h"

struct jvpn_device;
struct jvpn_session;

/**
 * enum jvpn_epoch_flag - bits of jvpn_epoch.flags
 * @JVPN_EPOCH_CONFIRMED: the peer has proved to hold the keys
 * @JVPN_EPOCH_EXHAUSTED: its end was signalled
 * @JVPN_EPOCH_WORN: that it is to be replaced was signalled
 * @JVPN_EPOCH_UNLINKED: it must not become the transmit epoch any more
 */
enum jvpn_epoch_flag {
	JVPN_EPOCH_CONFIRMED,
	JVPN_EPOCH_EXHAUSTED,
	JVPN_EPOCH_WORN,
	JVPN_EPOCH_UNLINKED,
};

/**
 * struct jvpn_epoch - keys of a session
 * @node: in jvpn_device.epochs
 * @rx_cid: our receiver id, the key of that table; constant
 * @tx_cid: the peer's receiver id; constant
 * @session: whose it is; holds a reference
 * @term: owner's term it was made in; constant
 * @bver: binding version its first packet proves to have been seen; constant
 * @aead: enum jvpn_aead; constant
 * @tx_key: constant, wiped with the object
 * @rx_key: likewise
 * @limits: of the cipher; constant
 * @tx_counter: next counter; the only one for these keys, so no nonce repeats
 * @tx_limit: no counter from here on is sent; only ever lowered, to 0
 * @tx_notice: the next counter that needs a second look; at most @tx_limit
 * @flags: enum jvpn_epoch_flag
 * @replay: window of the counters received
 * @rx_packets: authenticated datagrams
 * @auth_failures: datagrams that did not open
 * @serial: order of creation in the session; constant
 * @born_ns: constant
 * @expires_ns: nothing is sent from then on, or JVPN_NEVER; constant
 * @confirmed_ns: when JVPN_EPOCH_CONFIRMED was set, 0 before; WRITE_ONCE() by receive
 * @list: in jvpn_session.epochs, under jvpn_device.lock
 * @rcu: for jvpn_epoch_unlink()
 *
 * Reached under RCU, by receiver id or as a session's transmit epoch; wiped and
 * freed a grace period after it was unlinked. An epoch seen under RCU has a valid
 * @session for as long.
 */
struct jvpn_epoch {
	struct rhash_head node;
	u8 rx_cid[JVPN_CID_LEN];
	u8 tx_cid[JVPN_CID_LEN];
	struct jvpn_session *session;
	u64 term;
	u64 bver;
	u8 aead;
	struct jvpn_key tx_key;
	struct jvpn_key rx_key;
	struct jvpn_key_limits limits;
	atomic64_t tx_counter;
	u64 tx_limit;
	u64 tx_notice;
	unsigned long flags;
	struct jvpn_replay replay;
	atomic64_t rx_packets;
	atomic64_t auth_failures;
	u64 serial;
	u64 born_ns;
	u64 expires_ns;
	u64 confirmed_ns;
	struct list_head list;
	struct rcu_head rcu;
};

/**
 * struct jvpn_epoch_config - what the daemon says of a new epoch
 * @rx_cid: our receiver id
 * @tx_cid: the peer's receiver id
 * @rx_key: JVPN_KEY_LEN bytes
 * @tx_key: JVPN_KEY_LEN bytes
 * @aead: enum jvpn_aead
 * @term: owner's term it was made in
 * @bver: binding version that its first packet proves
 * @tx_counter: number of the first packet
 * @lifetime_ns: nothing is sent when they are older, 0: no such end
 * @transmit: send with it at once, not only when the peer has confirmed it
 */
struct jvpn_epoch_config {
	const u8 *rx_cid, *tx_cid;
	const u8 *rx_key, *tx_key;
	u8 aead;
	u64 term;
	u64 bver;
	u64 tx_counter;
	u64 lifetime_ns;
	bool transmit;
};

extern const struct rhashtable_params jvpn_epoch_params;

struct jvpn_epoch *jvpn_epoch_lookup(struct jvpn_device *device,
				     const u8 cid[JVPN_CID_LEN]);
int jvpn_epoch_new(struct jvpn_session *session,
		   const struct jvpn_epoch_config *c, struct jvpn_verdict *v);
void jvpn_epoch_unlink(struct jvpn_epoch *epoch);
void jvpn_epoch_unlink_all(struct jvpn_session *session);
void jvpn_epoch_succeed(struct jvpn_epoch *epoch);
u64 jvpn_epoch_look(struct jvpn_session *session, u64 now);
bool jvpn_epoch_confirm(struct jvpn_epoch *epoch);
bool jvpn_epoch_count(struct jvpn_epoch *epoch, u64 *counter);
bool jvpn_epoch_may_open(const struct jvpn_epoch *epoch);
void jvpn_epoch_forged(struct jvpn_epoch *epoch);
void jvpn_epoch_worn(struct jvpn_epoch *epoch);

/* The peer has sent so much that the keys are to be replaced. */
static inline void jvpn_epoch_received(struct jvpn_epoch *epoch, u64 counter)
{
	if (unlikely(counter >= epoch->limits.soft))
		jvpn_epoch_worn(epoch);
}

#endif /* JVPN_EPOCH_H */
