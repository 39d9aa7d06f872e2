/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One session and the one setter of its state: jv_session_step(). It asks the state
 * machine, checks the invariants, commits to the kernel, and only then believes it;
 * then it audits, counts and tells the role. A commit that the kernel refuses has
 * changed nothing. Loop thread.
 */
#ifndef JV_SESSION_H
#define JV_SESSION_H

#include "epoch.h"
#include "fsm.h"
#include "handshake.h"
#include "kernel.h"
#include "limiter.h"
#include "node.h"
#include "sessions.h"

struct jv_session_ops {
	/*
	 * A step was committed; nothing was audited yet. Only for what must not wait:
	 * may send, must not step.
	 */
	void (*committed)(struct jv_session *s, const struct jv_step *step, uint64_t now_ms);
	/* The step is complete. May step again. */
	void (*settled)(struct jv_session *s, const struct jv_step *step, uint64_t now_ms);
	/* The role's own deadlines: when, and what to do. */
	uint64_t (*deadline)(const struct jv_session *s);
	void (*due)(struct jv_session *s, uint64_t now_ms);
};

/* A gateway asks whether another address has become the client's (PROTOCOL.md 6.6). */
struct jv_challenge {
	uint64_t until_ms;		/* 0: none runs */
	bool proven;			/* the new source has answered */
	uint64_t bver;			/* of the binding; a commit voids the challenge */
	uint64_t since_ns;		/* when the packet came that began it */
	union jv_addr source;
	uint8_t new_nonce[8], old_nonce[8];
	union jv_addr shunned;
	uint64_t shunned_until_ms;
};

struct jv_session {
	struct jv_sessions *all;
	struct jv_session *next, **prev;
	struct jv_session *tomb_next, *tomb_prev;
	const struct jv_session_ops *ops;
	void *role;			/* struct jv_client; a gateway needs none */

	struct jv_link *link;
	struct jv_peer *peer;		/* NULL: removed since */
	const struct jv_named_policy *policy;
	bool has_sid;
	bool in_kernel;
	uint8_t sid[JVPN_SID_LEN];
	struct jv_entry by_sid, by_init;
	struct jv_timer timer;

	struct jv_fsm fsm;
	struct jv_version version;	/* of the binding; bver 0: none yet */
	struct jv_epoch epoch[JV_EPOCHS];
	uint64_t epochs_made;
	uint8_t rs[32];			/* reattach secret, for the session's life */
	uint64_t rekeyed_ms;		/* when the last new keys came; 0: never. A gateway counts
					 * those that were confirmed
					 */

	/* the binding, or the last one */
	uint8_t path;
	union jv_addr remote;
	char transport[JV_NAME_MAX + 1];	/* its name, on a client */
	uint64_t lost_us;		/* when it was lost, CLOCK_BOOTTIME; 0: it was not */
	uint64_t bound_ns;		/* when it was committed: older signals are history */

	/* gateway */
	uint64_t last_rseq;
	uint64_t bver_c;		/* a lower bound of the kernel's */
	struct jv_bucket rate;		/* reattach-rate: after the proof only */
	struct jv_bucket rejects;	/* refusals that cost a Diffie-Hellman */
	uint32_t rekey_after_s;		/* as granted */
	struct jv_challenge challenge;
	uint8_t init_e[32];
	struct in_addr local;		/* the address of ours that the client speaks to */
};

enum { JV_REKEY_PAUSE_MS = 5000 };	/* between two rekeys that were confirmed */

/* What a step does to the transmit pointer. */
struct jv_move {
	struct jv_version version;	/* T1, T9: the new one */
	bool has_exp_bver;		/* gateway: what the request named */
	uint64_t exp_bver;
	const uint8_t *cid;		/* ours, of the epoch that goes with it; NULL: none */
	uint8_t path;
	union jv_addr remote;
	const char *transport;		/* client: name of the path */
	uint64_t since_us;		/* when the switch was decided, if nothing was lost before */
	bool ahead;			/* transport lost: uplink data goes to path and remote at
					 * once, unconfirmed, unless the step ends degraded
					 */
};

/* A session in BIRTH, not in the kernel, without id. NULL: no memory. */
struct jv_session *jv_session_new(struct jv_sessions *all, const struct jv_session_ops *ops,
				  void *role, struct jv_link *link, struct jv_peer *peer,
				  enum jv_role side, uint64_t half_open_ms, uint64_t now_ms);

/*
 * Its id and keys are known: take it into the tables and the kernel. Wipes nothing
 * of the caller's. @prefixes: give it the peer's inner addresses at once. 0, or
 * -errno with the kernel's sentence; it is then as before.
 */
int jv_session_install(struct jv_session *s, const struct jv_birth *birth,
		       const struct jv_kernel_epoch *epoch,
		       const struct jv_kernel_figures *figures, bool prefixes,
		       struct jv_error *err);

/*
 * One event. Returns JV_REASON_NONE if it took effect, else why not: the state
 * machine's verdict, or CAS_CONFLICT if the kernel holds another version. A
 * stronger deadline that was over has then been taken instead. A transition that
 * ends the session cannot fail. @move may be NULL where nothing is bound.
 */
enum jv_reason jv_session_step(struct jv_session *s, const struct jv_event *event,
			       const struct jv_move *move, uint64_t now_ms);

/* Shorthand for an event without a move. */
enum jv_reason jv_session_event(struct jv_session *s, enum jv_event_kind kind,
				enum jv_detail detail, uint64_t now_ms);

/* Take what is due by time, before anything else is looked at. False: it has ended. */
bool jv_session_expire(struct jv_session *s, uint64_t now_ms);

/* Its limits, to the kernel: they hold there without us. After birth and a new policy. */
void jv_session_limits(struct jv_session *s, uint64_t now_ms);

/* The kernel has ended it at such a limit. */
void jv_session_expired(struct jv_session *s, enum jv_reason reason, uint64_t now_ms);

/* The kernel has lost it (device gone, operator): end it without asking the kernel. */
void jv_session_lost(struct jv_session *s, enum jv_event_kind kind, uint64_t now_ms);

/* The peer holds a newer version of the same binding: adopt it. 0 or -errno. */
int jv_session_learn(struct jv_session *s, struct jv_version version);

/* Count one recovery attempt. */
void jv_session_attempt(struct jv_session *s);

/* The role's deadline may have changed. */
void jv_session_rearm(struct jv_session *s);

/* CLOSE to the peer, if there is a binding: authentic, unacknowledged, three times. */
void jv_session_close(struct jv_session *s, enum jv_detail detail);

/* Free a TERMINATED one before its tombstone is over. */
void jv_session_free(struct jv_session *s);

static inline bool jv_session_ended(const struct jv_session *s)
{
	return s->fsm.state == JV_STATE_TERMINATED;
}

static inline const struct jv_policy *jv_session_policy(const struct jv_session *s)
{
	return &s->policy->policy;
}

/* A record with what every event of this session carries. */
void jv_session_record(const struct jv_session *s, struct jv_audit_record *record,
		       enum jv_audit_event event);

#endif /* JV_SESSION_H */
