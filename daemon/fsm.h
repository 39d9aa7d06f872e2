/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The session state machine: one pure function over the edge table of
 * uapi/states.h. No clock, no I/O, no randomness, no memory of its own; the
 * caller owns the context and passes the time. Times are monotonic milliseconds.
 *
 * The daemon calls it from one place only, session.c, which commits, audits and
 * notifies; tests and the policy simulator call it directly.
 */
#ifndef JV_FSM_H
#define JV_FSM_H

#include <stdbool.h>
#include <stdint.h>

#include "names.h"
#include "policy.h"

enum jv_role { JV_CLIENT, JV_GATEWAY };

/* Why a switch happens: cooldown binds all but the forced ones. */
enum jv_switch_kind { JV_SWITCH_FORCED, JV_SWITCH_OPERATOR, JV_SWITCH_QUALITY };

/* The kind that a reason byte of SWITCH or REATTACH stands for; unknown ones are voluntary. */
enum jv_switch_kind jv_switch_kind(enum jv_detail reason);

/* The last commits that moved the transport: exact, sliding, fixed size. */
struct jv_switch_ring {
	uint64_t at_ms[JV_SWITCHES_MAX];
	uint8_t head;			/* where the next one goes */
	uint8_t count;
};

/* Everything the decision depends on. A time that does not run is JV_NEVER. */
struct jv_fsm {
	enum jv_role role;
	enum jv_state state;
	bool bound;
	bool frozen;			/* T24 kept a binding of an older term */
	uint64_t state_version;
	uint64_t half_open_ms;		/* BIRTH ends after this time */
	uint64_t born_ms;		/* session-max-lifetime counts from here */
	uint64_t transport_lost_ms;	/* set on unbinding, cleared by binding only */
	uint64_t recovery_until_ms;	/* RECOVERING; attempts do not move it */
	uint32_t attempts;		/* in this RECOVERING */
	uint64_t volatile_since_ms;
	uint64_t degraded_since_ms;
	uint64_t stability_since_ms;	/* QUALITY_GOOD counts from here at the earliest */
	uint64_t stabilizing_until_ms;
	uint64_t cooldown_until_ms;	/* voluntary switches */
	uint64_t quality_until_ms;	/* the client's own, for quality switches */
	uint64_t quality_cooldown_ms;	/* its present length: doubled and halved */
	uint64_t quality_last_ms;
	struct jv_switch_ring ring;
};

struct jv_event {
	enum jv_event_kind kind;
	enum jv_detail detail;		/* goes into the transition */
	enum jv_reason cause;		/* HANDSHAKE_FAIL: the reason, if not NONE */
	bool moves;			/* REATTACH_OK: to another transport, no mere repeat */
	bool keep;			/* OWNER_ACQUIRED: our kernel still holds the binding */
};

struct jv_transition {
	enum jv_edge edge;
	enum jv_state from, to;
	enum jv_reason reason;
	enum jv_detail detail;
	bool bound;			/* afterwards */
	uint64_t state_version;		/* afterwards */
};

struct jv_step {
	struct jv_fsm next;		/* the input, if count is 0 */
	unsigned int count;		/* 0..2 transitions, in order */
	struct jv_transition transition[2];
	enum jv_reason verdict;		/* why the event itself changed nothing, or NONE */
};

/* A session in BIRTH at @now_ms, half-open until @now_ms + @half_open_ms. */
void jv_fsm_init(struct jv_fsm *fsm, enum jv_role role, uint64_t now_ms, uint64_t half_open_ms);

/*
 * One event. TICK takes the strongest deadline that is over, at most one: call
 * again while jv_fsm_next_deadline() is not in the future. Any other event gives
 * way to a stronger deadline that is over: that transition is taken, and the
 * verdict is its reason. REATTACH_OK commits the missing step first (T4, T6, T15,
 * T14), TRANSPORT_DEAD of a client without a switch left goes on to T11. A
 * planned switch has no edge for the death of the old path: whoever saw it says so
 * again after the next transition.
 */
void jv_fsm_step(const struct jv_fsm *fsm, const struct jv_policy *policy,
		 const struct jv_event *event, uint64_t now_ms, struct jv_step *out);

/* When TICK has something to do, or JV_NEVER. May be in the past. */
uint64_t jv_fsm_next_deadline(const struct jv_fsm *fsm, const struct jv_policy *policy);

/* True while ATTACHED is younger than stability-window. */
bool jv_fsm_stabilizing(const struct jv_fsm *fsm, uint64_t now_ms);

/* Count one recovery attempt (sent request); no transition. */
void jv_fsm_attempt(struct jv_fsm *fsm);

/* May RECOVERING send another request? NONE or RECOVERY_BOUNDS_EXCEEDED. */
enum jv_reason jv_fsm_may_attempt(const struct jv_fsm *fsm, const struct jv_policy *policy,
				  uint64_t now_ms);

/*
 * May the transport be switched now (client, before sending; gateway, step 9)?
 * NONE, POLICY_FLAP_LIMIT or POLICY_COOLDOWN_ACTIVE, and how long to wait.
 */
enum jv_reason jv_fsm_may_switch(const struct jv_fsm *fsm, const struct jv_policy *policy,
				 enum jv_switch_kind kind, uint64_t now_ms,
				 uint32_t *retry_after_ms);

/*
 * Gateway: validation step 3, before the proof: does state and age allow a
 * reattach? NONE, SESSION_EXPIRED, INVALID_STATE_FOR_REATTACH, TTL_*.
 */
enum jv_reason jv_fsm_admit_state(const struct jv_fsm *fsm, const struct jv_policy *policy,
				  uint64_t now_ms);

/*
 * Gateway: validation step 9, after proof, freshness and version: recovery
 * window, switch ring, cooldown. @moves is false if the source already is the
 * binding. NONE, RECOVERY_BOUNDS_EXCEEDED or as jv_fsm_may_switch().
 */
enum jv_reason jv_fsm_admit_policy(const struct jv_fsm *fsm, const struct jv_policy *policy,
				   enum jv_switch_kind kind, bool moves, uint64_t now_ms,
				   uint32_t *retry_after_ms);

/* The id of the invariant that @fsm breaches ("I2"), or NULL. */
const char *jv_fsm_check(const struct jv_fsm *fsm);

#endif /* JV_FSM_H */
