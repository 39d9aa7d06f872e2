// SPDX-License-Identifier: GPL-2.0
#include "fsm.h"

enum { QUIET_MS = 60000 };	/* the quality cooldown doubles and halves by this, and ends here */

/* Near the end of the 64 bits: room is kept for the two versions of one step. */
#define VERSION_LAST (UINT64_MAX - 2)

enum where { WHERE_ANY, WHERE_YES, WHERE_NO };
enum after { AFTER_BIND, AFTER_KEEP, AFTER_DROP };
enum { JV_STATE_ANYLIVE = 0 };

#define ROW(edge, from, event, where, to, reason, after)			\
	{ JV_EDGE_##edge, JV_STATE_##from, JV_EVENT_##event, WHERE_##where,	\
	  JV_STATE_##to, JV_REASON_##reason, AFTER_##after },

static const struct row {
	uint8_t edge, from, event, where, to, reason, after;
} rows[] = { JVPN_EDGES(ROW) };

/* Simultaneous triggers, strongest first; what is not named is the weakest. */
static unsigned int rank(enum jv_event_kind kind)
{
	switch (kind) {
	case JV_EVENT_SESSION_TTL:
		return 1;
	case JV_EVENT_PEER_CLOSE:
	case JV_EVENT_OPERATOR_TERMINATE:
		return 2;
	case JV_EVENT_SECURITY_FAILURE:
	case JV_EVENT_INVARIANT_VIOLATION:
	case JV_EVENT_VERSION_EXHAUSTED:
	case JV_EVENT_KEY_EXPIRED:
		return 3;
	case JV_EVENT_OWNERSHIP_CONFLICT:
	case JV_EVENT_OWNER_LOST:
	case JV_EVENT_OWNER_ACQUIRED:
		return 4;
	case JV_EVENT_TRANSPORT_TTL:
		return 5;
	case JV_EVENT_RECOVERY_EXHAUSTED:
	case JV_EVENT_HANDSHAKE_FAIL:
		return 6;
	case JV_EVENT_TRANSPORT_DEAD:
		return 7;
	case JV_EVENT_REATTACH_OK:
	case JV_EVENT_HANDSHAKE_OK:
		return 8;
	case JV_EVENT_DEGRADED_TOO_LONG:
	case JV_EVENT_SWITCH_PLANNED:
	case JV_EVENT_SWITCH_DENIED:
	case JV_EVENT_NO_CANDIDATE:
	case JV_EVENT_REATTACH_ABANDONED:
	case JV_EVENT_RECOVERY_FLAP:
	case JV_EVENT_RECOVERY_RETRY:
		return 9;
	case JV_EVENT_VOLATILE_TOO_LONG:
	case JV_EVENT_QUALITY_BAD:
		return 10;
	case JV_EVENT_QUALITY_GOOD:
		return 11;
	default:
		return 12;
	}
}

static uint64_t add(uint64_t ms, uint64_t delta)
{
	return ms > JV_NEVER - delta ? JV_NEVER : ms + delta;
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Strictly more than @limit since @since. A clock that stepped back expires nothing. */
static bool over(uint64_t since, uint64_t limit, uint64_t now_ms)
{
	return since != JV_NEVER && now_ms > since && now_ms - since > limit;
}

/* The moment at which over() becomes true. */
static uint64_t over_at(uint64_t since, uint64_t limit)
{
	return since == JV_NEVER ? JV_NEVER : add(add(since, limit), 1);
}

enum jv_switch_kind jv_switch_kind(enum jv_detail reason)
{
	switch (reason) {
	case JV_DETAIL_TRANSPORT_DEAD:
	case JV_DETAIL_LINK_DOWN:
	case JV_DETAIL_KEY_AGE:
	case JV_DETAIL_KEY_EXHAUSTED:
	case JV_DETAIL_NAT_REBIND:
	case JV_DETAIL_NAT_CHECK:
	case JV_DETAIL_DRAIN:
	case JV_DETAIL_OWNER_CHANGED:
	case JV_DETAIL_OWNERSHIP_LOST:
	case JV_DETAIL_NOT_OWNER:
	case JV_DETAIL_UNAVAILABLE:
	case JV_DETAIL_RECOVERY_SLOW:
	case JV_DETAIL_RX_SILENT:
		return JV_SWITCH_FORCED;
	case JV_DETAIL_ADMIN:
		return JV_SWITCH_OPERATOR;
	default:
		return JV_SWITCH_QUALITY;
	}
}

void jv_fsm_init(struct jv_fsm *fsm, enum jv_role role, uint64_t now_ms, uint64_t half_open_ms)
{
	*fsm = (struct jv_fsm){
		.role = role,
		.state = JV_STATE_BIRTH,
		.half_open_ms = add(now_ms, half_open_ms),
		.born_ms = now_ms,
		.transport_lost_ms = JV_NEVER,
		.recovery_until_ms = JV_NEVER,
		.volatile_since_ms = JV_NEVER,
		.degraded_since_ms = JV_NEVER,
		.stability_since_ms = JV_NEVER,
		.stabilizing_until_ms = JV_NEVER,
		.cooldown_until_ms = JV_NEVER,
		.quality_until_ms = JV_NEVER,
		.quality_last_ms = JV_NEVER,
	};
}

/* The switch ring. A switch counts while it is not over(): N in any window, closed at both ends. */

static void ring_push(struct jv_switch_ring *ring, uint64_t now_ms)
{
	ring->at_ms[ring->head] = now_ms;
	ring->head = (ring->head + 1) % JV_SWITCHES_MAX;
	if (ring->count < JV_SWITCHES_MAX)
		ring->count++;
}

/* When the next switch is allowed: @now_ms, or when the Nth last one leaves the window. */
static uint64_t ring_free_at(const struct jv_switch_ring *ring, const struct jv_policy *policy,
			     uint64_t now_ms)
{
	unsigned int n = policy->max_switches, at;

	if (ring->count < n)
		return now_ms;
	at = (ring->head + JV_SWITCHES_MAX - n) % JV_SWITCHES_MAX;
	if (over(ring->at_ms[at], policy->switch_window, now_ms))
		return now_ms;
	return over_at(ring->at_ms[at], policy->switch_window);
}

static uint32_t wait_ms(uint64_t until, uint64_t now_ms)
{
	return min(until - now_ms, UINT32_MAX);
}

enum jv_reason jv_fsm_may_switch(const struct jv_fsm *fsm, const struct jv_policy *policy,
				 enum jv_switch_kind kind, uint64_t now_ms,
				 uint32_t *retry_after_ms)
{
	uint64_t free_at = ring_free_at(&fsm->ring, policy, now_ms);
	uint64_t until = 0;

	*retry_after_ms = 0;
	if (free_at > now_ms) {
		*retry_after_ms = wait_ms(free_at, now_ms);
		return JV_REASON_POLICY_FLAP_LIMIT;
	}
	if (kind == JV_SWITCH_FORCED)
		return JV_REASON_NONE;
	if (fsm->cooldown_until_ms != JV_NEVER)
		until = fsm->cooldown_until_ms;
	if (kind == JV_SWITCH_QUALITY && fsm->quality_until_ms != JV_NEVER &&
	    fsm->quality_until_ms > until)
		until = fsm->quality_until_ms;
	if (until < now_ms || !until)
		return JV_REASON_NONE;
	*retry_after_ms = wait_ms(add(until, 1), now_ms);
	return JV_REASON_POLICY_COOLDOWN_ACTIVE;
}

/*
 * The client restrains its own quality switches: each within a minute of the
 * last doubles the pause, each quiet minute halves it.
 */
static void restrain_quality(struct jv_fsm *f, const struct jv_policy *policy, uint64_t now_ms)
{
	uint64_t pause = f->quality_cooldown_ms, quiet = 0;

	if (f->quality_last_ms == JV_NEVER) {
		pause = policy->switch_cooldown;
	} else if (!over(f->quality_last_ms, QUIET_MS, now_ms)) {
		pause = min(2 * pause, QUIET_MS);
	} else {
		quiet = (now_ms - f->quality_last_ms) / QUIET_MS;
		pause >>= min(quiet, 63);
	}
	if (pause < policy->switch_cooldown)
		pause = policy->switch_cooldown;
	f->quality_cooldown_ms = pause;
	f->quality_last_ms = now_ms;
	f->quality_until_ms = add(now_ms, pause);
}

static void record_switch(struct jv_fsm *f, const struct jv_policy *policy,
			  enum jv_detail detail, uint64_t now_ms)
{
	ring_push(&f->ring, now_ms);
	f->cooldown_until_ms = add(now_ms, policy->switch_cooldown);
	if (f->role == JV_CLIENT && jv_switch_kind(detail) == JV_SWITCH_QUALITY)
		restrain_quality(f, policy, now_ms);
}

static void bind(struct jv_fsm *f)
{
	f->bound = true;
	f->frozen = false;
	f->transport_lost_ms = JV_NEVER;
}

/* The clock of a lost transport starts once and runs until something is bound again. */
static void unbind(struct jv_fsm *f, uint64_t now_ms)
{
	f->bound = false;
	f->frozen = false;
	f->volatile_since_ms = JV_NEVER;
	if (f->transport_lost_ms == JV_NEVER)
		f->transport_lost_ms = now_ms;
}

static void start_recovery(struct jv_fsm *f, const struct jv_policy *policy, uint64_t now_ms)
{
	f->attempts = 0;
	f->recovery_until_ms = add(now_ms, policy->recovery_window);
	if (!f->bound)
		f->recovery_until_ms = min(f->recovery_until_ms,
					   add(f->transport_lost_ms, policy->transport_lost_ttl));
}

static void stop_clocks(struct jv_fsm *f)
{
	f->transport_lost_ms = JV_NEVER;
	f->volatile_since_ms = JV_NEVER;
	f->degraded_since_ms = JV_NEVER;
	f->stability_since_ms = JV_NEVER;
	f->stabilizing_until_ms = JV_NEVER;
	f->cooldown_until_ms = JV_NEVER;
	f->quality_until_ms = JV_NEVER;
}

/* The clocks of the state that is entered. A clock that runs already is not reset by a bounce. */
static void enter(struct jv_fsm *f, const struct jv_policy *policy, enum jv_edge edge,
		  uint64_t now_ms)
{
	f->half_open_ms = JV_NEVER;
	f->recovery_until_ms = JV_NEVER;
	f->attempts = 0;
	switch (f->state) {
	case JV_STATE_ATTACHED:
		f->volatile_since_ms = JV_NEVER;
		f->degraded_since_ms = JV_NEVER;
		f->stability_since_ms = now_ms;
		f->stabilizing_until_ms = edge == JV_EDGE_T9 ?
					  add(now_ms, policy->stability_window) : JV_NEVER;
		break;
	case JV_STATE_VOLATILE:
		if (f->volatile_since_ms == JV_NEVER)
			f->volatile_since_ms = now_ms;
		if (edge == JV_EDGE_T3)
			f->stability_since_ms = now_ms;
		break;
	case JV_STATE_RECOVERING:
		start_recovery(f, policy, now_ms);
		break;
	case JV_STATE_DEGRADED:
		f->volatile_since_ms = JV_NEVER;
		if (f->degraded_since_ms == JV_NEVER)
			f->degraded_since_ms = now_ms;
		break;
	default:
		stop_clocks(f);
		break;
	}
}

static const struct row *find(const struct jv_fsm *f, const struct jv_policy *policy,
			      enum jv_event_kind kind)
{
	bool terminate = policy->on_recovery_exhausted == JV_EXHAUSTED_TERMINATE;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		if (row->event != kind || (row->from && row->from != f->state))
			continue;
		if (row->where != WHERE_ANY && f->bound != (row->where == WHERE_YES))
			continue;
		if (f->state == JV_STATE_BIRTH &&
		    (row->edge == JV_EDGE_T17 || row->edge == JV_EDGE_T24))
			continue;
		if (kind == JV_EVENT_RECOVERY_EXHAUSTED && terminate != (row->edge == JV_EDGE_T12))
			continue;
		return row;
	}
	return NULL;
}

/* Commit one edge: the only place where a state or a version changes. */
static void take(struct jv_step *out, const struct row *row, const struct jv_policy *policy,
		 const struct jv_event *event, enum jv_detail detail, uint64_t now_ms)
{
	struct jv_transition *t = &out->transition[out->count++];
	struct jv_fsm *f = &out->next;
	bool birth = f->state == JV_STATE_BIRTH;

	t->from = f->state;
	t->to = row->to;
	t->edge = birth && row->to == JV_STATE_TERMINATED ? JV_EDGE_T2 : row->edge;
	t->reason = row->reason;
	if (row->event == JV_EVENT_HANDSHAKE_FAIL && event->cause)
		t->reason = event->cause;
	t->detail = detail;

	if (row->after == AFTER_BIND)
		bind(f);
	else if (row->after == AFTER_DROP)
		unbind(f, now_ms);
	else if (row->edge == JV_EDGE_T24 && f->bound && event->keep)
		f->frozen = true;
	else if (row->edge == JV_EDGE_T24)
		unbind(f, now_ms);
	if (t->edge == JV_EDGE_T1)
		f->born_ms = now_ms;
	f->state = row->to;
	f->state_version++;
	enter(f, policy, t->edge, now_ms);

	t->bound = f->bound;
	t->state_version = f->state_version;
}

/* What the row's condition in the behaviour table asks for beyond state and binding. */
static enum jv_reason guard(const struct jv_fsm *f, const struct jv_policy *policy,
			    const struct row *row, uint64_t now_ms)
{
	bool ok = true;
	uint32_t wait;

	switch (row->event) {
	case JV_EVENT_SWITCH_PLANNED:
		return jv_fsm_may_switch(f, policy, JV_SWITCH_QUALITY, now_ms, &wait);
	case JV_EVENT_RECOVERY_RETRY:
		return jv_fsm_may_switch(f, policy,
					 f->bound ? JV_SWITCH_QUALITY : JV_SWITCH_FORCED,
					 now_ms, &wait);
	case JV_EVENT_REATTACH_ABANDONED:
		ok = !f->frozen;
		break;
	case JV_EVENT_QUALITY_GOOD:
		ok = !f->frozen && now_ms >= add(f->stability_since_ms, policy->stability_window);
		break;
	case JV_EVENT_RECOVERY_EXHAUSTED:
		ok = jv_fsm_may_attempt(f, policy, now_ms) != JV_REASON_NONE;
		break;
	case JV_EVENT_VOLATILE_TOO_LONG:
		ok = over(f->volatile_since_ms, policy->volatile_to_degraded, now_ms);
		break;
	case JV_EVENT_DEGRADED_TOO_LONG:
		ok = over(f->degraded_since_ms, policy->degraded_max, now_ms);
		break;
	case JV_EVENT_TRANSPORT_TTL:
		ok = over(f->transport_lost_ms, policy->transport_lost_ttl, now_ms);
		break;
	case JV_EVENT_SESSION_TTL:
		ok = over(f->born_ms, policy->session_max_lifetime, now_ms);
		break;
	}
	return ok ? JV_REASON_NONE : JV_REASON_INVALID_STATE_TRANSITION;
}

static void step_one(struct jv_step *out, const struct jv_policy *policy,
		     const struct jv_event *event, enum jv_event_kind kind,
		     enum jv_detail detail, uint64_t now_ms)
{
	const struct row *row = find(&out->next, policy, kind);

	if (!row) {
		out->verdict = JV_REASON_INVALID_STATE_TRANSITION;
		return;
	}
	out->verdict = guard(&out->next, policy, row, now_ms);
	if (!out->verdict)
		take(out, row, policy, event, detail, now_ms);
}

/* A client that may not switch before its window closes does not pretend to recover. */
static void step_dead(struct jv_step *out, const struct jv_policy *policy,
		      const struct jv_event *event, uint64_t now_ms)
{
	struct jv_fsm *f = &out->next;

	step_one(out, policy, event, JV_EVENT_TRANSPORT_DEAD, event->detail, now_ms);
	if (out->verdict || f->role != JV_CLIENT)
		return;
	if (ring_free_at(&f->ring, policy, now_ms) > f->recovery_until_ms)
		step_one(out, policy, event, JV_EVENT_RECOVERY_FLAP, JV_DETAIL_FLAP_LIMIT, now_ms);
}

/*
 * The commit of a reattach, with the step this side had missed in front. The
 * gateway asked jv_fsm_admit_policy() before it committed and gets the same
 * answer here; the client follows what the gateway has committed.
 */
static void step_reattach(struct jv_step *out, const struct jv_policy *policy,
			  const struct jv_event *event, uint64_t now_ms)
{
	struct jv_fsm *f = &out->next;
	const struct row *missing = NULL;
	uint32_t wait;

	if (f->role == JV_GATEWAY && event->moves)
		out->verdict = jv_fsm_may_switch(f, policy, jv_switch_kind(event->detail),
						 now_ms, &wait);
	if (out->verdict)
		return;
	if (f->state == JV_STATE_DEGRADED && !f->bound)
		missing = find(f, policy, JV_EVENT_RECOVERY_RETRY);
	else if (f->state != JV_STATE_RECOVERING)
		missing = find(f, policy, JV_EVENT_TRANSPORT_DEAD);
	if (missing)
		take(out, missing, policy, event, event->detail, now_ms);
	step_one(out, policy, event, JV_EVENT_REATTACH_OK, event->detail, now_ms);
	if (!out->verdict && event->moves)
		record_switch(f, policy, event->detail, now_ms);
}

/* The strongest deadline that is over, or 0. */
static enum jv_event_kind strongest_due(const struct jv_fsm *f, const struct jv_policy *policy,
					uint64_t now_ms)
{
	if (over(f->born_ms, policy->session_max_lifetime, now_ms))
		return JV_EVENT_SESSION_TTL;
	if (f->state == JV_STATE_BIRTH)
		return over(f->half_open_ms, 0, now_ms) ? JV_EVENT_HANDSHAKE_FAIL : 0;
	if (over(f->transport_lost_ms, policy->transport_lost_ttl, now_ms))
		return JV_EVENT_TRANSPORT_TTL;
	if (f->state == JV_STATE_RECOVERING && over(f->recovery_until_ms, 0, now_ms))
		return JV_EVENT_RECOVERY_EXHAUSTED;
	if (f->state == JV_STATE_DEGRADED && f->bound &&
	    over(f->degraded_since_ms, policy->degraded_max, now_ms))
		return JV_EVENT_DEGRADED_TOO_LONG;
	if (f->state == JV_STATE_VOLATILE &&
	    over(f->volatile_since_ms, policy->volatile_to_degraded, now_ms))
		return JV_EVENT_VOLATILE_TOO_LONG;
	return 0;
}

uint64_t jv_fsm_next_deadline(const struct jv_fsm *fsm, const struct jv_policy *policy)
{
	uint64_t at;

	if (fsm->state == JV_STATE_TERMINATED)
		return JV_NEVER;
	at = over_at(fsm->born_ms, policy->session_max_lifetime);
	if (fsm->state == JV_STATE_BIRTH)
		return min(at, over_at(fsm->half_open_ms, 0));
	at = min(at, over_at(fsm->transport_lost_ms, policy->transport_lost_ttl));
	if (fsm->state == JV_STATE_RECOVERING)
		at = min(at, over_at(fsm->recovery_until_ms, 0));
	if (fsm->state == JV_STATE_DEGRADED && fsm->bound)
		at = min(at, over_at(fsm->degraded_since_ms, policy->degraded_max));
	if (fsm->state == JV_STATE_VOLATILE)
		at = min(at, over_at(fsm->volatile_since_ms, policy->volatile_to_degraded));
	return at;
}

static void step_due(struct jv_step *out, const struct jv_policy *policy,
		     enum jv_event_kind due, uint64_t now_ms)
{
	const struct jv_event event = {
		.kind = due,
		.detail = due == JV_EVENT_HANDSHAKE_FAIL ? JV_DETAIL_HANDSHAKE_TIMEOUT
							 : JV_DETAIL_NONE,
	};

	step_one(out, policy, &event, due, event.detail, now_ms);
}

void jv_fsm_step(const struct jv_fsm *fsm, const struct jv_policy *policy,
		 const struct jv_event *event, uint64_t now_ms, struct jv_step *out)
{
	enum jv_event_kind due;

	*out = (struct jv_step){ .next = *fsm, .verdict = JV_REASON_NONE };
	if (fsm->state == JV_STATE_TERMINATED) {
		out->verdict = JV_REASON_SESSION_EXPIRED;
		return;
	}
	if (fsm->state_version >= VERSION_LAST) {
		step_due(out, policy, JV_EVENT_VERSION_EXHAUSTED, now_ms);
		out->verdict = JV_REASON_VERSION_EXHAUSTED;
		return;
	}
	due = strongest_due(fsm, policy, now_ms);
	if (event->kind == JV_EVENT_TICK) {
		if (due)
			step_due(out, policy, due, now_ms);
	} else if (due && rank(due) < rank(event->kind)) {
		step_due(out, policy, due, now_ms);
		if (!out->verdict)
			out->verdict = out->transition[0].reason;
	} else if (event->kind == JV_EVENT_TRANSPORT_DEAD) {
		step_dead(out, policy, event, now_ms);
	} else if (event->kind == JV_EVENT_REATTACH_OK) {
		step_reattach(out, policy, event, now_ms);
	} else {
		step_one(out, policy, event, event->kind, event->detail, now_ms);
	}
}

bool jv_fsm_stabilizing(const struct jv_fsm *fsm, uint64_t now_ms)
{
	return fsm->state == JV_STATE_ATTACHED && fsm->stabilizing_until_ms != JV_NEVER &&
	       now_ms <= fsm->stabilizing_until_ms;
}

void jv_fsm_attempt(struct jv_fsm *fsm)
{
	if (fsm->state == JV_STATE_RECOVERING && fsm->attempts < UINT32_MAX)
		fsm->attempts++;
}

enum jv_reason jv_fsm_may_attempt(const struct jv_fsm *fsm, const struct jv_policy *policy,
				  uint64_t now_ms)
{
	if (over(fsm->recovery_until_ms, 0, now_ms) ||
	    fsm->attempts >= policy->max_recovery_attempts)
		return JV_REASON_RECOVERY_BOUNDS_EXCEEDED;
	return JV_REASON_NONE;
}

enum jv_reason jv_fsm_admit_state(const struct jv_fsm *fsm, const struct jv_policy *policy,
				  uint64_t now_ms)
{
	if (fsm->state == JV_STATE_TERMINATED)
		return JV_REASON_SESSION_EXPIRED;
	if (fsm->state == JV_STATE_BIRTH)
		return JV_REASON_INVALID_STATE_FOR_REATTACH;
	if (over(fsm->born_ms, policy->session_max_lifetime, now_ms))
		return JV_REASON_TTL_SESSION_EXPIRED;
	if (over(fsm->transport_lost_ms, policy->transport_lost_ttl, now_ms))
		return JV_REASON_TTL_TRANSPORT_LOSS_EXPIRED;
	return JV_REASON_NONE;
}

enum jv_reason jv_fsm_admit_policy(const struct jv_fsm *fsm, const struct jv_policy *policy,
				   enum jv_switch_kind kind, bool moves, uint64_t now_ms,
				   uint32_t *retry_after_ms)
{
	*retry_after_ms = 0;
	if (fsm->state == JV_STATE_RECOVERING && over(fsm->recovery_until_ms, 0, now_ms))
		return JV_REASON_RECOVERY_BOUNDS_EXCEEDED;
	if (!moves)
		return JV_REASON_NONE;
	return jv_fsm_may_switch(fsm, policy, kind, now_ms, retry_after_ms);
}

const char *jv_fsm_check(const struct jv_fsm *fsm)
{
	bool live = fsm->state != JV_STATE_BIRTH && fsm->state != JV_STATE_TERMINATED;
	bool must = fsm->state == JV_STATE_ATTACHED || fsm->state == JV_STATE_VOLATILE;

	if (fsm->state < JV_STATE_BIRTH || fsm->state > JV_STATE_TERMINATED)
		return "I9";
	if ((fsm->bound && !live) || (must && !fsm->bound) || (must && fsm->frozen))
		return "I2";
	if ((fsm->state == JV_STATE_BIRTH) != !fsm->state_version)
		return "I5";
	if (fsm->state_version == UINT64_MAX)
		return "I7";
	if ((fsm->state == JV_STATE_RECOVERING) != (fsm->recovery_until_ms != JV_NEVER))
		return "I14";
	if (live && fsm->bound != (fsm->transport_lost_ms == JV_NEVER))
		return "I15";
	if (fsm->ring.count > JV_SWITCHES_MAX || fsm->ring.head >= JV_SWITCHES_MAX)
		return "I32";
	return NULL;
}
