/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A session: the identity that outlives its transports.
 */
#ifndef JVPN_SESSION_H
#define JVPN_SESSION_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>
#include <linux/spinlock.h>

#include "../uapi/linux/jvpn.h"
#include "../uapi/wire.h"
#include "stats.h"
#include "verdict.h"

/* PROBEs of the daemon that may be unanswered: a challenge needs two. */
#define JVPN_MAX_ASKED 4

struct jvpn_binding;
struct jvpn_device;
struct jvpn_epoch;
struct jvpn_liveness;
struct jvpn_prefix;

/**
 * struct jvpn_figures - figures set by the daemon
 * @deadline_ns: the session ends then, 0: never
 * @lost_ttl_ms: it ends when it was without transport for so long, 0: never
 * @strict_source: DATA is taken from the address that is bound alone
 *
 * The others say when something is detected. Written under jvpn_device.lock, one by
 * one; read with READ_ONCE().
 */
struct jvpn_figures {
	u32 probe_interval_ms;
	u32 probe_rto_min_ms;
	u32 standby_interval_ms;
	u32 keepalive_ms;
	u32 dead_idle_ms;
	u32 dead_busy_ms;
	u32 lost_ttl_ms;
	u64 deadline_ns;
	u8 probe_misses;
	u8 strict_source;
};

/**
 * struct jvpn_transition - one step of the state machine, as decided by the daemon
 * @state: state after it
 * @reason: number of JVPN_REASONS
 * @detail: number of JVPN_DETAILS
 * @version: state version after it, one above the current one
 */
struct jvpn_transition {
	u8 state;
	u8 reason;
	u8 detail;
	u64 version;
};

/**
 * struct jvpn_wheel_entry - a session's place in the wheel of deadline.c
 * @node: in a slot, or empty; under the wheel's lock
 * @due_s: second of that slot; likewise
 * @unanswered_ns: first inner packet sent after the last one received, as far as
 *		   known; stored by transmit
 * @patient: its next visit is too late for a session that sends
 * @told_ns: when silence was told last; of the wheel's work
 */
struct jvpn_wheel_entry {
	struct hlist_node node;
	u64 due_s;
	u64 unanswered_ns;
	u64 told_ns;
	bool patient;
};

/**
 * struct jvpn_session - one peer
 * @device: whose it is; constant. The device ends them all, and waits for a grace
 *	    period, before it goes; what remains then is only memory.
 * @binding: the transmit pointer, or NULL without transport; written under @lock
 *	     by binding.c, read under RCU
 * @transmit: the epoch to send with, or NULL; written under @lock by epoch.c, read
 *	      under RCU
 * @probe: probe.c's own if @role is client, else NULL; constant from before the
 *	   session is published until jvpn_probe_session_exit(), a grace period
 *	   after it was unlinked
 * @role: enum jvpn_role; constant
 * @state: enum jvpn_state; written under @lock, read with READ_ONCE()
 * @dead: unlinked, nothing may be attached to it any more; as @state
 * @figures: see there
 * @last_rx_ns: last authenticated packet, 0 for none; WRITE_ONCE() by receive
 * @last_tx_ns: last inner packet sent, 0 for none; WRITE_ONCE() by transmit
 * @last_source_ns: last "source-changed" signal; by cmpxchg()
 * @last_bound_ns: last authenticated packet from the binding that was newer than all
 *		   before, 0 for none; WRITE_ONCE() by receive, of a gateway only
 * @stats: counters
 * @lock: serialises what a packet does not read: state and binding version.
 *	  Taken from softirq as well, hence spin_lock_bh().
 * @term: binding version, survives the binding being cleared; under @lock
 * @bver: see @term
 * @bver_seen: highest bver the peer provably saw in @term; under @lock
 * @state_version: gapless; under @lock
 * @previous: state before the last transition; under @lock
 * @reason: of the last transition; under @lock
 * @detail: of the last transition; under @lock
 * @changed_ns: time of the last transition; under @lock
 * @lost_ns: since when it has had no confirmed binding, 0 with one; under @lock
 * @asked: nonces of the daemon's last PROBEs that were not answered, 0 for none;
 *	   written under @lock
 * @n_asked: nonces ever written to @asked; under @lock
 * @switches: when the last commits moved the transport, CLOCK_BOOTTIME in
 *	      milliseconds; a ring, under @lock
 * @n_switches: entries ever written to @switches; under @lock
 * @born_ns: constant
 * @wheel: deadline.c's
 * @sid: constant
 * @sid_node: in jvpn_device.sessions
 * @index: number in jvpn_device.index
 * @doomed: in the list of the sessions that are being removed
 * @epochs: its epochs, newest last; under jvpn_device.lock
 * @n_epochs: length of @epochs; under jvpn_device.lock
 * @last_serial: of the last epoch; under jvpn_device.lock
 * @sent_serial: of the newest epoch that was ever sent with; under @lock
 * @prefixes: inner addresses of the peer; under jvpn_device.lock
 * @ref: one by the tables, one by each epoch
 * @rcu: for the last put
 * @label: the peer's name, for people; constant
 *
 * Life: created by jvpn_session_new() under jvpn_device.lock. Ended in three steps:
 * jvpn_session_unlink() under that lock takes it out of every table and sets @dead;
 * jvpn_session_release_all(), without the lock, waits one grace period for a whole
 * batch, after which no packet can see it any more, stops its timers and drops the
 * tables' reference.
 */
struct jvpn_session {
	struct jvpn_device *device;
	struct jvpn_binding __rcu *binding;
	struct jvpn_epoch __rcu *transmit;
	struct jvpn_liveness *probe;
	u8 role;
	u8 state;
	bool dead;
	struct jvpn_figures figures;
	u64 last_rx_ns;
	u64 last_tx_ns;
	u64 last_source_ns;
	u64 last_bound_ns;
	struct jvpn_session_stats stats;

	spinlock_t lock; /* state and versions */
	u64 term;
	u64 bver;
	u64 bver_seen;
	u64 state_version;
	u8 previous;
	u8 reason;
	u8 detail;
	u64 changed_ns;
	u64 lost_ns;
	u64 asked[JVPN_MAX_ASKED];
	u32 n_asked;
	u32 switches[JVPN_RING_LEN];
	u32 n_switches;

	u64 born_ns;
	struct jvpn_wheel_entry wheel;
	u8 sid[JVPN_SID_LEN];
	struct rhash_head sid_node;
	u32 index;
	struct list_head doomed;
	struct list_head epochs;
	unsigned int n_epochs;
	u64 last_serial;
	u64 sent_serial;
	struct list_head prefixes;
	struct kref ref;
	struct rcu_head rcu;
	char label[JVPN_LABEL_LEN + 1];
};

/**
 * struct jvpn_prefix_list - prefixes that are not yet a session's
 * @n: how many
 * @prefix: each allocated; who takes them over sets @n to 0
 */
struct jvpn_prefix_list {
	unsigned int n;
	struct jvpn_prefix *prefix[JVPN_MAX_PREFIXES];
};

/**
 * struct jvpn_session_config - what the daemon says of a new session
 * @sid: session id
 * @role: enum jvpn_role
 * @state: enum jvpn_state, not TERMINATED
 * @state_version: of that state
 * @label: the peer's name, or NULL
 * @figures: see there
 * @term: binding version
 * @bver: see @term
 * @bver_seen: highest bver the peer provably saw in @term
 * @prefixes: inner addresses of the peer
 */
struct jvpn_session_config {
	const u8 *sid;
	u8 role;
	u8 state;
	u64 state_version;
	const char *label;
	struct jvpn_figures figures;
	u64 term;
	u64 bver;
	u64 bver_seen;
	struct jvpn_prefix_list prefixes;
};

extern const struct rhashtable_params jvpn_session_params;

struct jvpn_session *jvpn_session_lookup(struct jvpn_device *device,
					 const u8 sid[JVPN_SID_LEN]);
void jvpn_session_put(struct jvpn_session *session);
struct jvpn_session *jvpn_session_new(struct jvpn_device *device,
				      struct jvpn_session_config *c,
				      struct jvpn_verdict *v);
int jvpn_session_give(struct jvpn_session *session, struct jvpn_prefix_list *list,
		      struct jvpn_verdict *v);
int jvpn_session_check_transition(const struct jvpn_session *session,
				  const struct jvpn_transition *t,
				  struct jvpn_verdict *v);
void jvpn_session_take_transition(struct jvpn_session *session,
				  const struct jvpn_transition *t);
void jvpn_session_settle(struct jvpn_session *session);
u64 jvpn_session_look(struct jvpn_session *session, u64 now);
int jvpn_session_transition(struct jvpn_session *session,
			    const struct jvpn_transition *t,
			    struct jvpn_verdict *v);
void jvpn_session_unlink(struct jvpn_session *session, struct list_head *doomed);
void jvpn_session_release_all(struct list_head *doomed);
void jvpn_session_version(struct jvpn_session *session, u64 *term, u64 *bver);
bool jvpn_session_saw(struct jvpn_session *session, u64 term, u64 bver);
void jvpn_session_verdict(struct jvpn_session *session, struct jvpn_verdict *v);

/* Inner packets pass, both ways. */
static inline bool jvpn_session_carries(const struct jvpn_session *session)
{
	u8 state = READ_ONCE(session->state);

	return state != JVPN_STATE_BIRTH && state != JVPN_STATE_TERMINATED &&
	       !READ_ONCE(session->dead);
}

#endif /* JVPN_SESSION_H */
