/* SPDX-License-Identifier: GPL-2.0 */
/* Walking the state machine, for its tests. */
#ifndef FSM_UTIL_H
#define FSM_UTIL_H

#include "unit.h"

#include "fsm.h"

enum { T0 = 1000000 };	/* when sessions are born, ms */

static inline bool same_ring(const struct jv_switch_ring *a, const struct jv_switch_ring *b)
{
	return a->head == b->head && a->count == b->count &&
	       !memcmp(a->at_ms, b->at_ms, sizeof(a->at_ms));
}

/* Field by field: padding means nothing. */
static inline bool same_fsm(const struct jv_fsm *a, const struct jv_fsm *b)
{
	return a->role == b->role && a->state == b->state && a->bound == b->bound &&
	       a->frozen == b->frozen && a->state_version == b->state_version &&
	       a->half_open_ms == b->half_open_ms && a->born_ms == b->born_ms &&
	       a->transport_lost_ms == b->transport_lost_ms &&
	       a->recovery_until_ms == b->recovery_until_ms && a->attempts == b->attempts &&
	       a->volatile_since_ms == b->volatile_since_ms &&
	       a->degraded_since_ms == b->degraded_since_ms &&
	       a->stability_since_ms == b->stability_since_ms &&
	       a->stabilizing_until_ms == b->stabilizing_until_ms &&
	       a->cooldown_until_ms == b->cooldown_until_ms &&
	       a->quality_until_ms == b->quality_until_ms &&
	       a->quality_cooldown_ms == b->quality_cooldown_ms &&
	       a->quality_last_ms == b->quality_last_ms && same_ring(&a->ring, &b->ring);
}

static inline bool same_step(const struct jv_step *a, const struct jv_step *b)
{
	if (a->count != b->count || a->verdict != b->verdict || !same_fsm(&a->next, &b->next))
		return false;
	for (unsigned int i = 0; i < a->count; i++) {
		const struct jv_transition *s = &a->transition[i], *t = &b->transition[i];

		if (s->edge != t->edge || s->from != t->from || s->to != t->to ||
		    s->reason != t->reason || s->detail != t->detail || s->bound != t->bound ||
		    s->state_version != t->state_version)
			return false;
	}
	return true;
}

/* "T4 R0 TRANSPORT_DEAD, T9 A1 REATTACH_SUCCESS": what a step did, in words. */
static inline const char *describe(const struct jv_step *step, char *buf, size_t size)
{
	static const char letters[] = "?BAVRDX";
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < step->count; i++) {
		const struct jv_transition *t = &step->transition[i];

		at += snprintf(buf + at, size - at, "%s%s %c%d %s", i ? ", " : "",
			       jv_edge_name(t->edge), letters[t->to], t->bound,
			       jv_reason_name(t->reason));
	}
	return buf;
}

/* Apply one event in place. */
static inline struct jv_step apply_event(struct jv_fsm *f, const struct jv_policy *p,
					 struct jv_event event, uint64_t now)
{
	struct jv_step step;

	jv_fsm_step(f, p, &event, now, &step);
	*f = step.next;
	return step;
}

static inline struct jv_step apply(struct jv_fsm *f, const struct jv_policy *p,
				   enum jv_event_kind kind, uint64_t now)
{
	return apply_event(f, p, (struct jv_event){ .kind = kind, .keep = true }, now);
}

/* A commit that moves the transport, for @reason. */
static inline struct jv_step move(struct jv_fsm *f, const struct jv_policy *p,
				  enum jv_detail reason, uint64_t now)
{
	return apply_event(f, p, (struct jv_event){ .kind = JV_EVENT_REATTACH_OK,
						    .detail = reason, .moves = true }, now);
}

/* The eight places a session can be in, reached by real events, at T0. */
enum place { IN_BIRTH, IN_ATTACHED, IN_VOLATILE, IN_RECOVERING_1, IN_RECOVERING_0,
	     IN_DEGRADED_1, IN_DEGRADED_0, IN_TERMINATED, PLACES };

static inline struct jv_fsm at_place(enum place place, enum jv_role role,
				     const struct jv_policy *p)
{
	struct jv_policy degrade = *p;
	struct jv_fsm f;

	degrade.on_recovery_exhausted = JV_EXHAUSTED_DEGRADE;
	jv_fsm_init(&f, role, T0, 5000);
	if (place == IN_TERMINATED) {
		apply(&f, p, JV_EVENT_OPERATOR_TERMINATE, T0);
		return f;
	}
	if (place != IN_BIRTH)
		apply(&f, p, JV_EVENT_HANDSHAKE_OK, T0);
	if (place == IN_VOLATILE || place == IN_RECOVERING_1 || place == IN_DEGRADED_1)
		apply(&f, p, JV_EVENT_QUALITY_BAD, T0);
	if (place == IN_RECOVERING_1)
		apply(&f, p, JV_EVENT_SWITCH_PLANNED, T0);
	if (place == IN_DEGRADED_1)
		apply(&f, p, JV_EVENT_NO_CANDIDATE, T0);
	if (place == IN_RECOVERING_0 || place == IN_DEGRADED_0)
		apply(&f, p, JV_EVENT_TRANSPORT_DEAD, T0);
	if (place == IN_DEGRADED_0)
		apply(&f, &degrade, JV_EVENT_RECOVERY_FLAP, T0);
	return f;
}

#endif /* FSM_UTIL_H */
