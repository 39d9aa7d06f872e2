/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The event stream (one JSON object per line). The loop thread writes a fixed-size
 * record into a bounded ring and is done; a writer thread formats, chains hashes
 * per batch and writes. If the ring is full the oldest records go, counted and
 * reported by EVENTS_LOST. Nothing here ever blocks or fails the caller.
 */
#ifndef JV_AUDIT_H
#define JV_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "error.h"
#include "names.h"
#include "wire.h"

/* X(NAME) with the fields that each carries: audit.c. */
#define JV_AUDIT_EVENTS(X)						       \
	X(SESSION_CREATED) X(STATE_CHANGE) X(TRANSPORT_ATTACHED)	       \
	X(TRANSPORT_SWITCH) X(TRANSPORT_SWITCH_DENIED)			       \
	X(TRANSPORT_SWITCH_FAILED) X(TRANSPORT_DEAD) X(REATTACH_ATTEMPT)       \
	X(REATTACH_RESULT) X(SECURITY_EVENT) X(POLICY_EVENT)		       \
	X(RATE_LIMIT_EVENT) X(TTL_EXPIRED) X(TERMINATION_EVENT)		       \
	X(KEY_ROTATED) X(SESSION_OWNER_ACQUIRED) X(SESSION_OWNER_TRANSFERRED)  \
	X(SESSION_OWNER_REJECTED) X(SESSION_OWNER_CONFLICT) X(POLICY_LOADED)   \
	X(POLICY_REJECTED) X(CONFIG_CHANGED) X(EVENTS_LOST)

enum jv_audit_event {
#define X(name) JV_AUDIT_##name,
	JV_AUDIT_EVENTS(X)
#undef X
};

const char *jv_audit_event_name(enum jv_audit_event event);

/*
 * One event. Zero what does not apply: empty strings, absent addresses and
 * unset sids are left out of the JSON. Copied by jv_audit_push().
 */
struct jv_audit_record {
	enum jv_audit_event event;
	bool has_sid;
	uint8_t sid[JVPN_SID_LEN];	/* written as a keyed pseudonym */
	uint8_t edge;			/* enum jv_edge; STATE_CHANGE */
	uint8_t from, to;		/* enum jv_state; STATE_CHANGE */
	uint8_t reason;			/* enum jv_reason */
	uint8_t detail;			/* enum jv_detail */
	uint8_t status;			/* enum jv_status + 1; 0: none. REATTACH_RESULT */
	bool gateway;			/* our role in the session */
	uint32_t policy_version;
	uint64_t state_version;
	struct jv_version version;	/* owner_epoch, binding_version; term 0: none */
	char peer[64];
	char link[16];
	char old_transport[32], new_transport[32];
	union jv_addr old_remote, new_remote;
	uint64_t latency_us;		/* TRANSPORT_SWITCH: death (or decision) to commit */
	uint64_t lifetime_ms;		/* TERMINATION_EVENT */
	uint64_t transportless_ms;	/* TERMINATION_EVENT, TTL_EXPIRED */
	uint32_t switches;		/* TERMINATION_EVENT */
	uint32_t rtt_us;		/* REATTACH_RESULT */
	uint64_t count;			/* sampled events: how many since the last one */
	char text[96];			/* policy, file or limit it is about */
	/* set by jv_audit_push() */
	uint64_t seq, ts_ms, mono_ns;
};

struct jv_audit_options {
	const char *path;		/* created 0640, appended to */
	const char *node_id;
	const uint8_t *pseudonym_key;	/* 32 bytes; NULL: session ids in clear */
	uint32_t ring;			/* records, a power of two; 0: 16384 */
};

struct jv_audit;

/*
 * Open the file and find the end of its hash chain. What is pushed from now on waits
 * for the writer. NULL and @err.
 */
struct jv_audit *jv_audit_open(const struct jv_audit_options *options, struct jv_error *err);

/*
 * Start the writer, a thread with the privileges that the caller has now. Once.
 * 0 or -errno.
 */
int jv_audit_start(struct jv_audit *audit, struct jv_error *err);

/* Give the writer at most @drain_ms for what is in the ring, then end it. */
void jv_audit_close(struct jv_audit *audit, uint32_t drain_ms);

/* Never blocks, never fails. @audit may be NULL (tests): then nothing happens. */
void jv_audit_push(struct jv_audit *audit, const struct jv_audit_record *record);

/*
 * Security noise: at most one record per (event, reason) and second, the rest is
 * counted and told by the next one's "count". Exact counters are the caller's.
 */
void jv_audit_push_sampled(struct jv_audit *audit, const struct jv_audit_record *record);

/* Where it goes. */
const char *jv_audit_path(const struct jv_audit *audit);

/* What events call a session. Returns @hex. */
const char *jv_audit_session(const struct jv_audit *audit, const uint8_t sid[JVPN_SID_LEN],
			     char hex[2 * JVPN_SID_LEN + 1]);

uint64_t jv_audit_written(const struct jv_audit *audit);
uint64_t jv_audit_dropped(const struct jv_audit *audit);

#endif /* JV_AUDIT_H */
