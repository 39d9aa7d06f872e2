/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Counters: per device and CPU, per session, and every drop with its reason.
 */
#ifndef JVPN_STATS_H
#define JVPN_STATS_H

#include <linux/atomic.h>
#include <linux/skbuff.h>
#include <linux/u64_stats_sync.h>

#include "../uapi/states.h"

struct jvpn_device;
struct jvpn_session;

/**
 * enum jvpn_drop_reason - JVPN_DROP_* of states.h
 */
enum jvpn_drop_reason {
#define JVPN_DROP_ENUM(value, name, text) JVPN_DROP_##name = (value),
	JVPN_DROPS(JVPN_DROP_ENUM)
#undef JVPN_DROP_ENUM
};

/**
 * enum jvpn_state - JVPN_STATE_* of states.h
 */
enum jvpn_state {
#define JVPN_STATE_ENUM(value, name, text) JVPN_STATE_##name = (value),
	JVPN_STATES(JVPN_STATE_ENUM)
#undef JVPN_STATE_ENUM
};

/**
 * enum jvpn_reason - JVPN_REASON_* of states.h
 */
enum jvpn_reason {
#define JVPN_REASON_ENUM(value, name, text) JVPN_REASON_##name = (value),
	JVPN_REASONS(JVPN_REASON_ENUM)
#undef JVPN_REASON_ENUM
};

/**
 * enum jvpn_count - what a device counts beside packets and drops
 * @JVPN_COUNT_RETRIES: RETRY datagrams answered
 * @JVPN_COUNT_UPCALLS: control datagrams given to the daemon
 */
enum jvpn_count {
	JVPN_COUNT_RETRIES,
	JVPN_COUNT_UPCALLS,
	JVPN_COUNT_MAX,
};

/**
 * struct jvpn_stats - a device's counters, one copy per CPU
 * @syncp: for 32-bit readers
 * @drop: by enum jvpn_drop_reason
 * @count: by enum jvpn_count
 */
struct jvpn_stats {
	struct u64_stats_sync syncp;
	u64_stats_t drop[JVPN_DROP_MAX];
	u64_stats_t count[JVPN_COUNT_MAX];
};

/**
 * struct jvpn_session_stats - a session's counters
 * @rx_packets: inner packets handed to the stack
 * @rx_bytes: of these
 * @tx_packets: inner packets sent
 * @tx_bytes: of these
 * @drop: by enum jvpn_drop_reason
 *
 * Not per CPU: a session costs hundreds of bytes, not thousands per CPU.
 */
struct jvpn_session_stats {
	atomic64_t rx_packets;
	atomic64_t rx_bytes;
	atomic64_t tx_packets;
	atomic64_t tx_bytes;
	atomic_t drop[JVPN_DROP_MAX];
};

void jvpn_drop(struct jvpn_device *device, struct jvpn_session *session,
	       enum jvpn_drop_reason reason);
void jvpn_count(struct jvpn_device *device, enum jvpn_count what);
u64 jvpn_stats_count(const struct jvpn_device *device, enum jvpn_count what);
int jvpn_stats_fill_device(struct sk_buff *skb,
			   const struct jvpn_device *device, int attr);
int jvpn_stats_fill_session(struct sk_buff *skb,
			    const struct jvpn_session *session, int attr);

#endif /* JVPN_STATS_H */
