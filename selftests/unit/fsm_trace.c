// SPDX-License-Identifier: GPL-2.0
/*
 * A million random lives of a session, both roles, random policies, random
 * events at random times, checked after every step against a bookkeeping of
 * the test's own. SEED repeats a run, TRACES sets how many lives.
 */
#include "fsm_util.h"

/* What an onlooker knows who sees the transitions only. */
struct onlooker {
	enum jv_state state;
	bool bound;
	uint64_t version;
	uint64_t born_ms;
	uint64_t unbound_ms;		/* JV_NEVER while bound */
	uint64_t recovering_ms;		/* entry of the present RECOVERING */
	uint64_t moved_ms[64];
	unsigned int moves;
};

/* Which states may follow which, in one step, as the behaviour text has it. */
static bool may_follow(enum jv_state from, enum jv_state to)
{
	switch (from) {
	case JV_STATE_BIRTH:
		return to == JV_STATE_ATTACHED || to == JV_STATE_TERMINATED;
	case JV_STATE_ATTACHED:
		return to == JV_STATE_VOLATILE || to == JV_STATE_RECOVERING ||
		       to == JV_STATE_TERMINATED;
	case JV_STATE_VOLATILE:
		return to == JV_STATE_ATTACHED || to == JV_STATE_RECOVERING ||
		       to == JV_STATE_DEGRADED || to == JV_STATE_TERMINATED;
	case JV_STATE_RECOVERING:
		return to != JV_STATE_BIRTH;	/* itself: a new owner, T24 */
	case JV_STATE_DEGRADED:
		return to == JV_STATE_ATTACHED || to == JV_STATE_RECOVERING ||
		       to == JV_STATE_TERMINATED;
	default:
		return false;
	}
}

static const char *see(struct onlooker *o, const struct jv_transition *t, uint64_t now)
{
	if (t->from != o->state || t->state_version != ++o->version)
		return "I5: transitions do not chain";
	if (!may_follow(t->from, t->to))
		return "I9: no such step";
	if (t->from == JV_STATE_RECOVERING && t->to == JV_STATE_ATTACHED &&
	    t->reason != JV_REASON_REATTACH_SUCCESS)
		return "recovered without a reattach";
	if (t->from == JV_STATE_RECOVERING && t->to == JV_STATE_VOLATILE && !o->bound)
		return "RECOVERING(0) became VOLATILE";
	if (t->from == JV_STATE_DEGRADED && t->to == JV_STATE_ATTACHED && !o->bound)
		return "DEGRADED(0) became ATTACHED";
	if (!o->bound && t->bound && t->to != JV_STATE_ATTACHED)
		return "I22: bound without a handshake or reattach";
	if (t->reason == JV_REASON_NONE || t->edge == JV_EDGE_NONE)
		return "I11: a transition without reason";

	if (o->state == JV_STATE_BIRTH && t->to == JV_STATE_ATTACHED)
		o->born_ms = now;
	if (t->to == JV_STATE_RECOVERING)
		o->recovering_ms = now;
	if (t->bound)
		o->unbound_ms = JV_NEVER;
	else if (o->bound)
		o->unbound_ms = now;
	else if (o->unbound_ms == JV_NEVER)
		o->unbound_ms = now;
	o->state = t->to;
	o->bound = t->bound;
	return NULL;
}

/* After all deadlines up to @now were served. */
static const char *check_clocks(const struct onlooker *o, const struct jv_policy *p, uint64_t now)
{
	bool live = o->state != JV_STATE_BIRTH && o->state != JV_STATE_TERMINATED;

	if (!live)
		return NULL;
	if (now - o->born_ms > p->session_max_lifetime)
		return "I16: too old";
	if (!o->bound && now - o->unbound_ms > p->transport_lost_ttl)
		return "I15: too long without transport";
	if (o->state == JV_STATE_RECOVERING && now - o->recovering_ms > p->recovery_window)
		return "I14: recovering for too long";
	return NULL;
}

/* A commit of the gateway that moved the transport at @now. */
static const char *check_move(struct onlooker *o, const struct jv_policy *p,
			      enum jv_detail reason, uint64_t now)
{
	unsigned int within = 1;

	for (unsigned int i = 0; i < o->moves && i < ARRAY_LEN(o->moved_ms); i++)
		within += now - o->moved_ms[i] <= p->switch_window;
	if (within > p->max_switches)
		return "I17: one switch too many";
	if (o->moves && jv_switch_kind(reason) != JV_SWITCH_FORCED &&
	    now - o->moved_ms[(o->moves - 1) % ARRAY_LEN(o->moved_ms)] <= p->switch_cooldown)
		return "I18: voluntary switch inside the cooldown";
	o->moved_ms[o->moves++ % ARRAY_LEN(o->moved_ms)] = now;
	return NULL;
}

static uint64_t between(uint64_t *seed, uint64_t low, uint64_t high)
{
	return low + unit_random(seed) % (high - low + 1);
}

static void random_policy(uint64_t *seed, struct jv_policy *p)
{
	char err[256];

	do {
		jv_policy_init(p);
		p->switch_cooldown = between(seed, 100, 3000);
		p->recovery_window = between(seed, 200, 10000);
		p->transport_lost_ttl = between(seed, 1000, 60000);
		p->session_max_lifetime = between(seed, 60000, 400000);
		p->degraded_max = between(seed, 1000, 100000);
		p->volatile_to_degraded = between(seed, 100, 10000);
		p->stability_window = between(seed, 100, 5000);
		p->max_switches = between(seed, 1, JV_SWITCHES_MAX);
		p->switch_window = between(seed, 1000, 100000);
		p->on_recovery_exhausted = unit_random(seed) % 2;
		p->max_recovery_attempts = between(seed, 1, 16);
	} while (jv_policy_check(p, err, sizeof(err)));
}

/* Terminating events are rare, or no life would be long enough to be interesting. */
static enum jv_event_kind random_kind(uint64_t *seed)
{
	unsigned int kind = 1 + unit_random(seed) % 29;	/* one too many: unknown */

	if (kind >= JV_EVENT_PEER_CLOSE && kind <= JV_EVENT_KEY_EXPIRED && unit_random(seed) % 16)
		kind = JV_EVENT_REATTACH_OK;
	if (kind == JV_EVENT_HANDSHAKE_FAIL && unit_random(seed) % 4)
		kind = JV_EVENT_TRANSPORT_DEAD;
	return kind;
}

static uint64_t random_pause(uint64_t *seed)
{
	static const uint64_t scale[] = { 1, 50, 1000, 5000, 20000 };

	return unit_random(seed) % (2 * scale[unit_random(seed) % ARRAY_LEN(scale)]);
}

/* One call of the machine: twice for determinism, then everything it says is checked. */
static const char *one_step(struct jv_fsm *f, struct onlooker *o, const struct jv_policy *p,
			    const struct jv_event *event, uint64_t now)
{
	enum jv_state before = o->state;
	struct jv_step step, again;
	const char *wrong;

	jv_fsm_step(f, p, event, now, &step);
	jv_fsm_step(f, p, event, now, &again);
	if (!same_step(&step, &again))
		return "I9: not a function";
	if (step.count > 2)
		return "more than two transitions";
	if (before == JV_STATE_TERMINATED && step.count)
		return "I10: left TERMINATED";
	if (!step.count && !same_fsm(f, &step.next))
		return "I27: refused, but changed";
	for (unsigned int i = 0; i < step.count; i++) {
		wrong = see(o, &step.transition[i], now);
		if (wrong)
			return wrong;
	}
	if (step.next.state != o->state || step.next.bound != o->bound ||
	    step.next.state_version != o->version)
		return "I8: the context is not what the transitions say";
	wrong = jv_fsm_check(&step.next);
	if (wrong)
		return wrong;
	if (event->kind == JV_EVENT_REATTACH_OK && event->moves && !step.verdict &&
	    f->role == JV_GATEWAY) {
		wrong = check_move(o, p, event->detail, now);
		if (wrong)
			return wrong;
	}
	*f = step.next;
	return NULL;
}

/* Serve all deadlines up to @now, each exactly when it is due and not one millisecond earlier. */
static const char *serve(struct jv_fsm *f, struct onlooker *o, const struct jv_policy *p,
			 uint64_t now)
{
	const struct jv_event tick = { .kind = JV_EVENT_TICK };
	unsigned int rounds = 0;
	uint64_t due, version;
	const char *wrong;

	while ((due = jv_fsm_next_deadline(f, p)) <= now) {
		if (rounds++ > 8)
			return "deadlines do not end";
		version = o->version;
		wrong = one_step(f, o, p, &tick, due - 1);
		if (wrong)
			return wrong;
		if (o->version != version)
			return "a deadline came early";
		wrong = one_step(f, o, p, &tick, due);
		if (wrong)
			return wrong;
		if (o->version == version)
			return "a deadline did nothing";
	}
	return check_clocks(o, p, now);
}

static const char *live_once(uint64_t *seed)
{
	static const enum jv_detail details[] = {
		JV_DETAIL_LINK_DOWN, JV_DETAIL_TRANSPORT_DEAD, JV_DETAIL_QUALITY, JV_DETAIL_ADMIN,
	};
	unsigned int events = 4 + unit_random(seed) % 40;
	uint64_t now = T0 + unit_random(seed) % 100000;
	struct onlooker o = { .state = JV_STATE_BIRTH, .born_ms = now, .unbound_ms = JV_NEVER };
	struct jv_policy p;
	struct jv_fsm f;
	const char *wrong;

	random_policy(seed, &p);
	jv_fsm_init(&f, unit_random(seed) % 2, now, 1 + unit_random(seed) % 6000);
	for (unsigned int i = 0; i < events; i++) {
		struct jv_event event = {
			.kind = i || unit_random(seed) % 8 ? random_kind(seed) : JV_EVENT_START,
			.detail = details[unit_random(seed) % ARRAY_LEN(details)],
			.moves = unit_random(seed) % 4,
			.keep = unit_random(seed) % 2,
		};

		if (i == 0 && unit_random(seed) % 8)
			event.kind = JV_EVENT_HANDSHAKE_OK;
		now += random_pause(seed);
		/* Sometimes the runtime is late with its ticks: the event must not profit. */
		if (unit_random(seed) % 4) {
			wrong = serve(&f, &o, &p, now);
			if (wrong)
				return wrong;
		}
		wrong = one_step(&f, &o, &p, &event, now);
		if (wrong)
			return wrong;
		if (unit_random(seed) % 3 == 0)
			jv_fsm_attempt(&f);
	}
	/* Left alone, every session ends (I37). */
	for (unsigned int i = 0; f.state != JV_STATE_TERMINATED; i++) {
		uint64_t due = jv_fsm_next_deadline(&f, &p);

		if (i > 16 || due == JV_NEVER)
			return "I37: a dead end that is not TERMINATED";
		now = due > now ? due : now;
		wrong = serve(&f, &o, &p, now);
		if (wrong)
			return wrong;
	}
	return NULL;
}

FIXTURE(trace) {
	int unused;
};

FIXTURE_SETUP(trace)
{
}

FIXTURE_TEARDOWN(trace)
{
}

TEST_F_TIMEOUT(trace, a_million_lives, 600)
{
	uint64_t base = unit_seed("a_million_lives"), lives = unit_rounds("TRACES", 1000000);

	for (uint64_t i = 0; i < lives; i++) {
		uint64_t seed = base + i;
		const char *wrong = live_once(&seed);

		ASSERT_EQ(NULL, wrong) {
			TH_LOG("%s; repeat with SEED=%llu TRACES=1", wrong,
			       (unsigned long long)(base + i));
		}
	}
}

/*
 * The traces are only worth something if they go everywhere: every edge of the
 * table is taken in a few thousand lives.
 */
TEST_F_TIMEOUT(trace, every_edge_is_taken, 120)
{
	uint64_t seed = unit_seed("every_edge_is_taken");
	uint32_t taken = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t now = T0;
		struct jv_policy p;
		struct jv_fsm f;

		random_policy(&seed, &p);
		jv_fsm_init(&f, unit_random(&seed) % 2, now, 5000);
		for (int k = 0; k < 30; k++) {
			struct jv_event event = {
				.kind = k ? random_kind(&seed) : JV_EVENT_HANDSHAKE_OK,
				.keep = unit_random(&seed) % 2, .moves = true,
				.detail = JV_DETAIL_LINK_DOWN,
			};
			struct jv_step step;

			now += random_pause(&seed);
			jv_fsm_step(&f, &p, &event, now, &step);
			for (unsigned int n = 0; n < step.count; n++)
				taken |= 1u << step.transition[n].edge;
			f = step.next;
		}
	}
	for (int edge = JV_EDGE_T1; edge <= JV_EDGE_T24; edge++) {
		EXPECT_TRUE(taken & 1u << edge) {
			TH_LOG("%s was never taken", jv_edge_name(edge));
		}
	}
}

TEST_HARNESS_MAIN
