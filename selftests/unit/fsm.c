// SPDX-License-Identifier: GPL-2.0
/*
 * The state machine, state by event, against a table written from the behaviour
 * text and not from the edge table; then its clocks, limits and priorities.
 */
#include "fsm_util.h"

#define LEN 160

/* What every live session does on these, by the edge's name. */
#define ALL_LIVE(edge, reason)							\
	{ "T2 X0 " reason, edge " X0 " reason, edge " X0 " reason, edge " X0 " reason,	\
	  edge " X0 " reason, edge " X0 " reason, edge " X0 " reason, "!" }

#define EXHAUSTED "RECOVERY_BOUNDS_EXCEEDED"
#define DEAD	  "TRANSPORT_DEAD"
#define DONE	  "REATTACH_SUCCESS"
#define OWNER	  "OWNERSHIP_TRANSFERRED"
#define TTL	  "TTL_TRANSPORT_LOSS_EXPIRED"

/*
 * "-": refused and nothing changes. "!": the tombstone answers. "": accepted,
 * nothing to do. @after: when the event comes, ms after the state was entered.
 */
static const struct {
	enum jv_event_kind event;
	uint64_t after;
	const char *want[PLACES];
} table[] = {
	/*				 birth attached volatile recovering(1) recovering(0) degraded(1) degraded(0) terminated */
	{ JV_EVENT_START, 2500,		 { "-", "-", "-", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_HANDSHAKE_OK, 2500,	 { "T1 A1 HANDSHAKE_OK", "-", "-", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_HANDSHAKE_FAIL, 2500, { "T2 X0 HANDSHAKE_FAIL", "-", "-", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_QUALITY_BAD, 2500,	 { "-", "T3 V1 VOLATILITY_SIGNAL", "-", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_QUALITY_GOOD, 2500,	 { "-", "-", "T5 A1 HEALTH_RECOVERED", "-", "-",
					   "T13 A1 EXIT_DEGRADED_MODE", "-", "!" } },
	{ JV_EVENT_TRANSPORT_DEAD, 2500, { "-", "T4 R0 " DEAD, "T6 R0 " DEAD, "-", "-", "T15 R0 " DEAD, "-", "!" } },
	{ JV_EVENT_SWITCH_PLANNED, 2500, { "-", "-", "T7 R1 RECOVERY_START", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_SWITCH_DENIED, 2500,	 { "-", "-", "T8 D1 POLICY_FLAP_LIMIT", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_NO_CANDIDATE, 2500,	 { "-", "-", "T8 D1 NO_CANDIDATE", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_VOLATILE_TOO_LONG, 4001,
					 { "-", "-", "T8 D1 QUALITY_FLOOR_VIOLATION", "-", "-", "-", "-", "!" } },
	{ JV_EVENT_REATTACH_OK, 2500,	 { "-", "T4 R0 " DEAD ", T9 A1 " DONE, "T6 R0 " DEAD ", T9 A1 " DONE,
					   "T9 A1 " DONE, "T9 A1 " DONE, "T15 R0 " DEAD ", T9 A1 " DONE,
					   "T14 R0 RECOVERY_RETRY, T9 A1 " DONE, "!" } },
	{ JV_EVENT_REATTACH_ABANDONED, 2500,
					 { "-", "-", "-", "T10 V1 REATTACH_REJECT", "-", "-", "-", "!" } },
	{ JV_EVENT_RECOVERY_EXHAUSTED, 5001,
					 { "-", "-", "-", "T11 D1 " EXHAUSTED, "T11 D0 " EXHAUSTED, "-", "-", "!" } },
	{ JV_EVENT_RECOVERY_FLAP, 2500,	 { "-", "-", "-", "T11 D1 POLICY_FLAP_LIMIT", "T11 D0 POLICY_FLAP_LIMIT",
					   "-", "-", "!" } },
	{ JV_EVENT_RECOVERY_RETRY, 2500, { "-", "-", "-", "-", "-", "T14 R1 RECOVERY_RETRY",
					   "T14 R0 RECOVERY_RETRY", "!" } },
	{ JV_EVENT_DEGRADED_TOO_LONG, 480001,	/* without transport its own clock was over long before */
					 { "T2 X0 HANDSHAKE_FAIL", "-", "-", "T11 D1 " EXHAUSTED, "T17 X0 " TTL,
					   "T16 X0 POLICY_TERMINATION", "T17 X0 " TTL, "!" } },
	{ JV_EVENT_TRANSPORT_TTL, 120001, { "-", "-", "-", "-", "T17 X0 " TTL, "-", "T17 X0 " TTL, "!" } },
	{ JV_EVENT_SESSION_TTL, 86400001, ALL_LIVE("T18", "TTL_SESSION_EXPIRED") },
	{ JV_EVENT_PEER_CLOSE, 2500,	 ALL_LIVE("T19", "PEER_TERMINATED") },
	{ JV_EVENT_OPERATOR_TERMINATE, 2500, ALL_LIVE("T19", "OPERATOR_TERMINATED") },
	{ JV_EVENT_SECURITY_FAILURE, 2500, ALL_LIVE("T20", "SECURITY_FAILURE") },
	{ JV_EVENT_OWNERSHIP_CONFLICT, 2500, ALL_LIVE("T21", "OWNERSHIP_CONFLICT") },
	{ JV_EVENT_OWNER_LOST, 2500,	 ALL_LIVE("T21", "OWNER_LOST") },
	{ JV_EVENT_INVARIANT_VIOLATION, 2500, ALL_LIVE("T22", "INVARIANT_VIOLATION") },
	{ JV_EVENT_VERSION_EXHAUSTED, 2500, ALL_LIVE("T22", "VERSION_EXHAUSTED") },
	{ JV_EVENT_KEY_EXPIRED, 2500,	 ALL_LIVE("T23", "KEY_EXPIRED") },
	{ JV_EVENT_OWNER_ACQUIRED, 2500, { "-", "T24 R1 " OWNER, "T24 R1 " OWNER, "T24 R1 " OWNER, "T24 R0 " OWNER,
					   "T24 R1 " OWNER, "T24 R0 " OWNER, "!" } },
	{ JV_EVENT_TICK, 2500,		 { "", "", "", "", "", "", "", "!" } },
};

FIXTURE(fsm) {
	struct jv_policy policy;
	char text[LEN];
};

FIXTURE_SETUP(fsm)
{
	jv_policy_init(&self->policy);
}

FIXTURE_TEARDOWN(fsm)
{
}

#define COUNT_EVENT(value, name, text) + 1

TEST_F(fsm, table_names_every_event)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		seen |= 1u << table[i].event;
	EXPECT_EQ(0 JVPN_EVENTS(COUNT_EVENT), (int)ARRAY_LEN(table));
	EXPECT_EQ((1u << (ARRAY_LEN(table) + 1)) - 2, seen);
}

TEST_F(fsm, state_by_event)
{
	const struct jv_policy *p = &self->policy;

	for (int role = JV_CLIENT; role <= JV_GATEWAY; role++)
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
	for (int place = 0; place < PLACES; place++) {
		const char *want = table[i].want[place];
		struct jv_fsm before = at_place(place, role, p), after = before;
		struct jv_step step = apply(&after, p, table[i].event, T0 + table[i].after);
		bool refused = *want == '-' || *want == '!';

		EXPECT_STREQ(refused ? "" : want, describe(&step, self->text, LEN)) {
			TH_LOG("%s in place %d", jv_event_name(table[i].event), place);
		}
		if (*want == '-')
			EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION, step.verdict);
		if (*want == '!')
			EXPECT_EQ(JV_REASON_SESSION_EXPIRED, step.verdict);
		if (refused || !*want)
			EXPECT_TRUE(same_fsm(&before, &after));
		for (unsigned int n = 0; n < step.count; n++)
			EXPECT_EQ(before.state_version + n + 1, step.transition[n].state_version);
		EXPECT_EQ(before.state_version + step.count, after.state_version);
		EXPECT_EQ(NULL, jv_fsm_check(&after));
	}
}

/* One event that has no number. */
TEST_F(fsm, unknown_event_is_refused)
{
	for (int place = 0; place < IN_TERMINATED; place++) {
		struct jv_fsm f = at_place(place, JV_GATEWAY, &self->policy);
		struct jv_step step = apply(&f, &self->policy, 99, T0 + 1);

		EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION, step.verdict);
		EXPECT_EQ(0, step.count);
	}
}

TEST_F(fsm, exhausted_may_terminate)
{
	struct jv_policy *p = &self->policy;
	struct jv_fsm f;
	struct jv_step step;

	p->on_recovery_exhausted = JV_EXHAUSTED_TERMINATE;
	f = at_place(IN_RECOVERING_0, JV_CLIENT, p);
	step = apply(&f, p, JV_EVENT_TICK, T0 + 5001);
	EXPECT_STREQ("T12 X0 " EXHAUSTED, describe(&step, self->text, LEN));
	/* The switch limit degrades, whatever that knob says. */
	f = at_place(IN_RECOVERING_0, JV_CLIENT, p);
	step = apply(&f, p, JV_EVENT_RECOVERY_FLAP, T0 + 1);
	EXPECT_STREQ("T11 D0 POLICY_FLAP_LIMIT", describe(&step, self->text, LEN));
}

/* Expiry is strict: at the limit nothing, one millisecond later everything. */
TEST_F(fsm, deadlines_are_strict)
{
	static const struct { enum place place; uint64_t limit; const char *want; } cases[] = {
		{ IN_BIRTH, 5000, "T2 X0 HANDSHAKE_FAIL" },
		{ IN_ATTACHED, 86400000, "T18 X0 TTL_SESSION_EXPIRED" },
		{ IN_VOLATILE, 4000, "T8 D1 QUALITY_FLOOR_VIOLATION" },
		{ IN_RECOVERING_0, 5000, "T11 D0 " EXHAUSTED },
		{ IN_RECOVERING_1, 5000, "T11 D1 " EXHAUSTED },
		{ IN_DEGRADED_1, 480000, "T16 X0 POLICY_TERMINATION" },
		{ IN_DEGRADED_0, 120000, "T17 X0 " TTL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jv_fsm f = at_place(cases[i].place, JV_CLIENT, &self->policy);
		struct jv_step step;

		EXPECT_EQ(T0 + cases[i].limit + 1, jv_fsm_next_deadline(&f, &self->policy));
		step = apply(&f, &self->policy, JV_EVENT_TICK, T0 + cases[i].limit);
		EXPECT_EQ(0, step.count);
		step = apply(&f, &self->policy, JV_EVENT_TICK, T0 + cases[i].limit + 1);
		EXPECT_STREQ(cases[i].want, describe(&step, self->text, LEN));
	}
}

/* Several triggers at once: the strongest is taken, a late event never beats its deadline. */
TEST_F(fsm, strongest_first)
{
	static const struct {
		enum place place;
		uint64_t after;
		enum jv_event_kind event;
		const char *want;
	} cases[] = {
		{ IN_RECOVERING_0, 86400001, JV_EVENT_OPERATOR_TERMINATE, "T18 X0 TTL_SESSION_EXPIRED" },
		{ IN_RECOVERING_0, 86400001, JV_EVENT_TICK, "T18 X0 TTL_SESSION_EXPIRED" },
		{ IN_RECOVERING_0, 120001, JV_EVENT_OPERATOR_TERMINATE, "T19 X0 OPERATOR_TERMINATED" },
		{ IN_RECOVERING_0, 120001, JV_EVENT_SECURITY_FAILURE, "T20 X0 SECURITY_FAILURE" },
		{ IN_RECOVERING_0, 120001, JV_EVENT_OWNER_LOST, "T21 X0 OWNER_LOST" },
		{ IN_RECOVERING_0, 120001, JV_EVENT_REATTACH_OK, "T17 X0 " TTL },
		{ IN_RECOVERING_0, 120001, JV_EVENT_TICK, "T17 X0 " TTL },
		{ IN_RECOVERING_0, 5001, JV_EVENT_REATTACH_OK, "T11 D0 " EXHAUSTED },
		{ IN_RECOVERING_1, 5001, JV_EVENT_REATTACH_ABANDONED, "T11 D1 " EXHAUSTED },
		{ IN_VOLATILE, 4001, JV_EVENT_TRANSPORT_DEAD, "T6 R0 " DEAD },
		{ IN_VOLATILE, 4001, JV_EVENT_REATTACH_OK, "T6 R0 " DEAD ", T9 A1 " DONE },
		{ IN_VOLATILE, 4001, JV_EVENT_NO_CANDIDATE, "T8 D1 NO_CANDIDATE" },
		{ IN_VOLATILE, 4001, JV_EVENT_QUALITY_GOOD, "T8 D1 QUALITY_FLOOR_VIOLATION" },
		{ IN_DEGRADED_1, 480001, JV_EVENT_TRANSPORT_DEAD, "T15 R0 " DEAD },
		{ IN_DEGRADED_1, 480001, JV_EVENT_QUALITY_GOOD, "T16 X0 POLICY_TERMINATION" },
		{ IN_BIRTH, 5001, JV_EVENT_HANDSHAKE_OK, "T2 X0 HANDSHAKE_FAIL" },
		{ IN_BIRTH, 5001, JV_EVENT_PEER_CLOSE, "T2 X0 PEER_TERMINATED" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct jv_fsm f = at_place(cases[i].place, JV_GATEWAY, &self->policy);
		struct jv_step step = apply(&f, &self->policy, cases[i].event, T0 + cases[i].after);

		EXPECT_STREQ(cases[i].want, describe(&step, self->text, LEN)) {
			TH_LOG("case %zu", i);
		}
		if (cases[i].event != JV_EVENT_TICK && step.count == 1 &&
		    cases[i].event != JV_EVENT_TRANSPORT_DEAD)
			EXPECT_TRUE(step.verdict == JV_REASON_NONE ||
				    step.verdict == step.transition[0].reason);
	}
}

/* Recovering and degraded may take turns; the clock of the lost transport does not care. */
TEST_F(fsm, lost_clock_survives_bouncing)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_RECOVERING_0, JV_CLIENT, p);
	uint64_t now = T0;
	struct jv_step step;

	while (f.state != JV_STATE_TERMINATED && now < T0 + 300000) {
		now = jv_fsm_next_deadline(&f, p);
		if (f.state == JV_STATE_DEGRADED && now > f.degraded_since_ms + 1000)
			now = f.degraded_since_ms + 1000;
		step = apply(&f, p, f.state == JV_STATE_DEGRADED ? JV_EVENT_RECOVERY_RETRY
								  : JV_EVENT_TICK, now);
		ASSERT_LT(0, step.count);
		if (f.state != JV_STATE_TERMINATED)
			ASSERT_EQ(T0, f.transport_lost_ms);
		f.degraded_since_ms = f.state == JV_STATE_DEGRADED ? now : f.degraded_since_ms;
	}
	EXPECT_EQ(T0 + 120001, now);
	EXPECT_STREQ("T17 X0 " TTL, describe(&step, self->text, LEN));
}

/* Nor does it for a new owner who finds the session without transport. */
TEST_F(fsm, lost_clock_survives_a_new_owner)
{
	struct jv_fsm f = at_place(IN_DEGRADED_0, JV_GATEWAY, &self->policy);

	apply_event(&f, &self->policy, (struct jv_event){ .kind = JV_EVENT_OWNER_ACQUIRED },
		    T0 + 60000);
	EXPECT_EQ(JV_STATE_RECOVERING, f.state);
	EXPECT_EQ(T0, f.transport_lost_ms);
}

/* A late retry gets what is left of the transport's time, not a window of its own. */
TEST_F(fsm, retry_window_ends_with_the_ttl)
{
	struct jv_fsm f = at_place(IN_DEGRADED_0, JV_CLIENT, &self->policy);

	apply(&f, &self->policy, JV_EVENT_RECOVERY_RETRY, T0 + 118000);
	ASSERT_EQ(JV_STATE_RECOVERING, f.state);
	EXPECT_EQ(T0 + 120000, f.recovery_until_ms);
}

TEST_F(fsm, attempts_are_bounded_and_extend_nothing)
{
	struct jv_fsm f = at_place(IN_RECOVERING_0, JV_CLIENT, &self->policy);
	uint64_t until = f.recovery_until_ms;
	struct jv_step step;

	step = apply(&f, &self->policy, JV_EVENT_RECOVERY_EXHAUSTED, T0 + 100);
	EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION, step.verdict);
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(JV_REASON_NONE, jv_fsm_may_attempt(&f, &self->policy, T0 + 100));
		jv_fsm_attempt(&f);
		EXPECT_EQ(until, f.recovery_until_ms);
	}
	EXPECT_EQ(JV_REASON_RECOVERY_BOUNDS_EXCEEDED,
		  jv_fsm_may_attempt(&f, &self->policy, T0 + 100));
	step = apply(&f, &self->policy, JV_EVENT_RECOVERY_EXHAUSTED, T0 + 100);
	EXPECT_STREQ("T11 D0 " EXHAUSTED, describe(&step, self->text, LEN));
	EXPECT_EQ(0, f.attempts);
	jv_fsm_attempt(&f);
	EXPECT_EQ(0, f.attempts);	/* counts in RECOVERING only */
}

TEST_F(fsm, stability_needs_its_window)
{
	struct jv_fsm f = at_place(IN_VOLATILE, JV_CLIENT, &self->policy);

	EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION,
		  apply(&f, &self->policy, JV_EVENT_QUALITY_GOOD, T0 + 1999).verdict);
	EXPECT_EQ(1, apply(&f, &self->policy, JV_EVENT_QUALITY_GOOD, T0 + 2000).count);
	EXPECT_EQ(JV_STATE_ATTACHED, f.state);
}

TEST_F(fsm, stabilizing_after_a_switch_only)
{
	struct jv_fsm f = at_place(IN_ATTACHED, JV_CLIENT, &self->policy);

	EXPECT_FALSE(jv_fsm_stabilizing(&f, T0));
	apply(&f, &self->policy, JV_EVENT_TRANSPORT_DEAD, T0 + 10);
	move(&f, &self->policy, JV_DETAIL_LINK_DOWN, T0 + 20);
	EXPECT_TRUE(jv_fsm_stabilizing(&f, T0 + 2020));
	EXPECT_FALSE(jv_fsm_stabilizing(&f, T0 + 2021));
}

/* N allowed, the next one denied, until the first has left the window. */
TEST_F(fsm, ring_is_exact)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	uint32_t wait;

	for (int i = 0; i < 8; i++) {
		EXPECT_EQ(JV_REASON_NONE, move(&f, p, JV_DETAIL_LINK_DOWN, T0 + 1000 * i).verdict);
		EXPECT_EQ(JV_STATE_ATTACHED, f.state);
	}
	for (uint64_t at = T0 + 7001; at <= T0 + 60000; at += 52999) {
		struct jv_fsm before = f;

		EXPECT_EQ(JV_REASON_POLICY_FLAP_LIMIT,
			  jv_fsm_may_switch(&f, p, JV_SWITCH_FORCED, at, &wait));
		EXPECT_EQ(T0 + 60001 - at, wait);
		EXPECT_EQ(JV_REASON_POLICY_FLAP_LIMIT,
			  move(&f, p, JV_DETAIL_LINK_DOWN, at).verdict);
		EXPECT_TRUE(same_fsm(&before, &f));
	}
	EXPECT_EQ(JV_REASON_NONE, jv_fsm_may_switch(&f, p, JV_SWITCH_FORCED, T0 + 60001, &wait));
	EXPECT_EQ(0, wait);
	EXPECT_EQ(JV_REASON_NONE, move(&f, p, JV_DETAIL_LINK_DOWN, T0 + 60001).verdict);
	EXPECT_EQ(JV_REASON_POLICY_FLAP_LIMIT,
		  move(&f, p, JV_DETAIL_LINK_DOWN, T0 + 60002).verdict);
}

/* The ring against a list that is never forgotten, for every limit it can have. */
TEST_F(fsm, ring_against_a_list)
{
	uint64_t seed = unit_seed("ring_against_a_list");
	struct jv_policy *p = &self->policy;
	static uint64_t list[4000];

	for (p->max_switches = 1; p->max_switches <= JV_SWITCHES_MAX; p->max_switches++) {
		struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, p);
		uint64_t now = T0;
		size_t n = 0;

		p->switch_window = 1000 + unit_random(&seed) % 9000;
		for (int i = 0; i < 4000; i++) {
			size_t within = 0;
			bool allowed;

			now += unit_random(&seed) % (2 * p->switch_window / p->max_switches);
			for (size_t k = 0; k < n; k++)
				within += now - list[k] <= p->switch_window;
			allowed = within < p->max_switches;
			ASSERT_EQ(allowed, !move(&f, p, JV_DETAIL_LINK_DOWN, now).verdict);
			if (allowed)
				list[n++] = now;
		}
	}
}

/* A repeat on the same transport after a lost answer costs nothing. */
TEST_F(fsm, repeats_take_no_token)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_RECOVERING_0, JV_GATEWAY, p);
	uint32_t wait;

	for (int i = 0; i < 20; i++) {
		EXPECT_EQ(JV_REASON_NONE, apply(&f, p, JV_EVENT_REATTACH_OK, T0 + i).verdict);
		EXPECT_EQ(JV_STATE_ATTACHED, f.state);
	}
	EXPECT_EQ(0, f.ring.count);
	EXPECT_EQ(JV_REASON_NONE, jv_fsm_may_switch(&f, p, JV_SWITCH_QUALITY, T0 + 20, &wait));
}

TEST_F(fsm, cooldown_binds_voluntary_switches)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	uint32_t wait;

	move(&f, p, JV_DETAIL_LINK_DOWN, T0);
	EXPECT_EQ(JV_REASON_POLICY_COOLDOWN_ACTIVE, move(&f, p, JV_DETAIL_QUALITY, T0 + 1).verdict);
	EXPECT_EQ(JV_REASON_POLICY_COOLDOWN_ACTIVE, move(&f, p, JV_DETAIL_ADMIN, T0 + 1500).verdict);
	EXPECT_EQ(JV_REASON_POLICY_COOLDOWN_ACTIVE,
		  jv_fsm_admit_policy(&f, p, JV_SWITCH_OPERATOR, true, T0 + 1000, &wait));
	EXPECT_EQ(501, wait);
	EXPECT_EQ(JV_REASON_NONE,
		  jv_fsm_admit_policy(&f, p, JV_SWITCH_OPERATOR, false, T0 + 1000, &wait));
	EXPECT_EQ(JV_REASON_NONE, move(&f, p, JV_DETAIL_TRANSPORT_DEAD, T0 + 2).verdict);
	EXPECT_EQ(JV_REASON_NONE, move(&f, p, JV_DETAIL_ADMIN, T0 + 1503).verdict);
}

TEST_F(fsm, planned_switch_obeys_limits)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_CLIENT, p);

	move(&f, p, JV_DETAIL_LINK_DOWN, T0);
	apply(&f, p, JV_EVENT_QUALITY_BAD, T0 + 300);
	EXPECT_EQ(JV_REASON_POLICY_COOLDOWN_ACTIVE,
		  apply(&f, p, JV_EVENT_SWITCH_PLANNED, T0 + 1500).verdict);
	EXPECT_EQ(JV_STATE_VOLATILE, f.state);
	EXPECT_EQ(1, apply(&f, p, JV_EVENT_SWITCH_PLANNED, T0 + 1501).count);
}

/* The client's own pause between quality switches: doubled, capped, halved when quiet. */
TEST_F(fsm, quality_cooldown)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_CLIENT, p);
	uint64_t now = T0, want[] = { 1500, 3000, 6000, 12000, 24000, 48000, 60000 };
	uint32_t wait;

	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		move(&f, p, JV_DETAIL_QUALITY, now);
		EXPECT_EQ(want[i], f.quality_cooldown_ms);
		EXPECT_EQ(JV_REASON_POLICY_COOLDOWN_ACTIVE,
			  jv_fsm_may_switch(&f, p, JV_SWITCH_QUALITY, now + want[i], &wait));
		EXPECT_EQ(JV_REASON_NONE,
			  jv_fsm_may_switch(&f, p, JV_SWITCH_OPERATOR, now + 1501, &wait));
		now += want[i] + 1;
	}
	/* 60001 ms after the last one a whole minute was quiet. */
	move(&f, p, JV_DETAIL_QUALITY, now);
	EXPECT_EQ(30000, f.quality_cooldown_ms);
	move(&f, p, JV_DETAIL_QUALITY, now += 3 * 60000 + 1);
	EXPECT_EQ(3750, f.quality_cooldown_ms);
	move(&f, p, JV_DETAIL_QUALITY, now += 3600000);
	EXPECT_EQ(1500, f.quality_cooldown_ms);

	/* Forced switches do not count, and the gateway keeps no such pause. */
	move(&f, p, JV_DETAIL_LINK_DOWN, now + 1);
	EXPECT_EQ(1500, f.quality_cooldown_ms);
	f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	move(&f, p, JV_DETAIL_QUALITY, T0);
	EXPECT_EQ(JV_NEVER, f.quality_until_ms);
}

/* No switch left inside the window: the client goes on to DEGRADED in the same instant. */
TEST_F(fsm, death_without_a_token)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f, gateway;
	struct jv_step step;

	f = at_place(IN_ATTACHED, JV_CLIENT, p);
	gateway = at_place(IN_ATTACHED, JV_GATEWAY, p);
	for (int i = 0; i < 8; i++) {
		move(&f, p, JV_DETAIL_LINK_DOWN, T0 + i);
		move(&gateway, p, JV_DETAIL_LINK_DOWN, T0 + i);
	}
	step = apply(&f, p, JV_EVENT_TRANSPORT_DEAD, T0 + 1000);
	EXPECT_STREQ("T4 R0 " DEAD ", T11 D0 POLICY_FLAP_LIMIT", describe(&step, self->text, LEN));
	EXPECT_EQ(T0 + 1000, f.transport_lost_ms);
	/* The gateway only hears of attempts; it waits. */
	step = apply(&gateway, p, JV_EVENT_TRANSPORT_DEAD, T0 + 1000);
	EXPECT_STREQ("T4 R0 " DEAD, describe(&step, self->text, LEN));
	/* The retry waits for the token, and then comes. */
	EXPECT_EQ(JV_REASON_POLICY_FLAP_LIMIT,
		  apply(&f, p, JV_EVENT_RECOVERY_RETRY, T0 + 60000).verdict);
	EXPECT_EQ(1, apply(&f, p, JV_EVENT_RECOVERY_RETRY, T0 + 60001).count);

	/* A token that comes inside the window is waited for. */
	f = at_place(IN_ATTACHED, JV_CLIENT, p);
	for (int i = 0; i < 8; i++)
		move(&f, p, JV_DETAIL_LINK_DOWN, T0 + i);
	step = apply(&f, p, JV_EVENT_TRANSPORT_DEAD, T0 + 55001);
	EXPECT_STREQ("T4 R0 " DEAD, describe(&step, self->text, LEN));
	f = at_place(IN_ATTACHED, JV_CLIENT, p);
	for (int i = 0; i < 8; i++)
		move(&f, p, JV_DETAIL_LINK_DOWN, T0 + i);
	step = apply(&f, p, JV_EVENT_TRANSPORT_DEAD, T0 + 55000);
	EXPECT_EQ(2, step.count);
}

/* A binding that a new incarnation kept is frozen: only a reattach or its end frees it. */
TEST_F(fsm, kept_binding_is_frozen)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, p), other;
	struct jv_step step;

	apply(&f, p, JV_EVENT_OWNER_ACQUIRED, T0 + 1);
	EXPECT_TRUE(f.frozen && f.bound);
	EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION,
		  apply(&f, p, JV_EVENT_REATTACH_ABANDONED, T0 + 2).verdict);
	step = apply(&f, p, JV_EVENT_TICK, T0 + 5002);
	EXPECT_STREQ("T11 D1 " EXHAUSTED, describe(&step, self->text, LEN));
	EXPECT_EQ(JV_REASON_INVALID_STATE_TRANSITION,
		  apply(&f, p, JV_EVENT_QUALITY_GOOD, T0 + 9000).verdict);
	other = f;
	apply(&other, p, JV_EVENT_TRANSPORT_DEAD, T0 + 9000);
	EXPECT_FALSE(other.frozen);
	step = apply(&f, p, JV_EVENT_REATTACH_OK, T0 + 9000);
	EXPECT_STREQ("T15 R0 " DEAD ", T9 A1 " DONE, describe(&step, self->text, LEN));
	EXPECT_FALSE(f.frozen);

	/* Taken over by another node, nothing is kept and the clock starts. */
	f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	step = apply_event(&f, p, (struct jv_event){ .kind = JV_EVENT_OWNER_ACQUIRED }, T0 + 7);
	EXPECT_STREQ("T24 R0 " OWNER, describe(&step, self->text, LEN));
	EXPECT_EQ(T0 + 7, f.transport_lost_ms);
}

TEST_F(fsm, planned_switch_given_up_keeps_its_clocks)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_VOLATILE, JV_CLIENT, p);
	struct jv_step step;

	apply(&f, p, JV_EVENT_SWITCH_PLANNED, T0 + 3000);
	apply(&f, p, JV_EVENT_REATTACH_ABANDONED, T0 + 3500);
	EXPECT_EQ(T0, f.volatile_since_ms);
	step = apply(&f, p, JV_EVENT_TICK, T0 + 4001);
	EXPECT_STREQ("T8 D1 QUALITY_FLOOR_VIOLATION", describe(&step, self->text, LEN));
}

TEST_F(fsm, handshake_failure_names_its_cause)
{
	struct jv_fsm f = at_place(IN_BIRTH, JV_GATEWAY, &self->policy);
	struct jv_step step;

	step = apply_event(&f, &self->policy,
			   (struct jv_event){ .kind = JV_EVENT_HANDSHAKE_FAIL,
					      .cause = JV_REASON_AUTH_FAIL,
					      .detail = JV_DETAIL_HANDSHAKE_REJECT }, T0 + 1);
	EXPECT_STREQ("T2 X0 AUTH_FAIL", describe(&step, self->text, LEN));
	EXPECT_EQ(JV_DETAIL_HANDSHAKE_REJECT, step.transition[0].detail);
}

TEST_F(fsm, versions_never_wrap)
{
	struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, &self->policy);
	struct jv_step step;

	f.state_version = UINT64_MAX - 3;
	step = apply(&f, &self->policy, JV_EVENT_QUALITY_BAD, T0 + 1);
	EXPECT_STREQ("T3 V1 VOLATILITY_SIGNAL", describe(&step, self->text, LEN));
	step = apply(&f, &self->policy, JV_EVENT_REATTACH_OK, T0 + 2);
	EXPECT_STREQ("T22 X0 VERSION_EXHAUSTED", describe(&step, self->text, LEN));
	EXPECT_EQ(JV_REASON_VERSION_EXHAUSTED, step.verdict);
	EXPECT_EQ(UINT64_MAX - 1, f.state_version);
}

/* What the gateway asks before it looks at the proof, and after. */
TEST_F(fsm, admission)
{
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_BIRTH, JV_GATEWAY, p);
	uint32_t wait;

	EXPECT_EQ(JV_REASON_INVALID_STATE_FOR_REATTACH, jv_fsm_admit_state(&f, p, T0));
	f = at_place(IN_TERMINATED, JV_GATEWAY, p);
	EXPECT_EQ(JV_REASON_SESSION_EXPIRED, jv_fsm_admit_state(&f, p, T0));
	f = at_place(IN_RECOVERING_0, JV_GATEWAY, p);
	EXPECT_EQ(JV_REASON_NONE, jv_fsm_admit_state(&f, p, T0 + 120000));
	EXPECT_EQ(JV_REASON_TTL_TRANSPORT_LOSS_EXPIRED, jv_fsm_admit_state(&f, p, T0 + 120001));
	EXPECT_EQ(JV_REASON_TTL_SESSION_EXPIRED, jv_fsm_admit_state(&f, p, T0 + 86400001));
	EXPECT_EQ(JV_REASON_NONE,
		  jv_fsm_admit_policy(&f, p, JV_SWITCH_FORCED, true, T0 + 5000, &wait));
	EXPECT_EQ(JV_REASON_RECOVERY_BOUNDS_EXCEEDED,
		  jv_fsm_admit_policy(&f, p, JV_SWITCH_FORCED, true, T0 + 5001, &wait));
	f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	EXPECT_EQ(JV_REASON_NONE, jv_fsm_admit_state(&f, p, T0 + 86400000));
}

/* What admission allows, the commit allows too: nothing is bound in the kernel and then refused. */
TEST_F(fsm, admission_agrees_with_the_commit)
{
	uint64_t seed = unit_seed("admission_agrees_with_the_commit");
	const struct jv_policy *p = &self->policy;
	struct jv_fsm f = at_place(IN_ATTACHED, JV_GATEWAY, p);
	static const enum jv_detail reasons[] = { JV_DETAIL_LINK_DOWN, JV_DETAIL_QUALITY,
						  JV_DETAIL_ADMIN, JV_DETAIL_NONE };
	unsigned int allowed = 0, refused = 0;
	uint64_t now = T0;

	for (int i = 0; i < 100000 && f.state != JV_STATE_TERMINATED; i++) {
		enum jv_detail reason = reasons[unit_random(&seed) % ARRAY_LEN(reasons)];
		bool moves = unit_random(&seed) % 4;
		struct jv_event event = { .kind = JV_EVENT_REATTACH_OK, .detail = reason,
					  .moves = moves };
		enum jv_reason admitted;
		uint32_t wait;

		now += unit_random(&seed) % 4000;
		f.born_ms = now;
		if (unit_random(&seed) % 3 == 0)
			apply(&f, p, JV_EVENT_TRANSPORT_DEAD, now);
		while (jv_fsm_next_deadline(&f, p) <= now)
			apply(&f, p, JV_EVENT_TICK, now);
		admitted = jv_fsm_admit_state(&f, p, now);
		if (!admitted)
			admitted = jv_fsm_admit_policy(&f, p, jv_switch_kind(reason), moves, now,
						       &wait);
		ASSERT_EQ(admitted, apply_event(&f, p, event, now).verdict);
		if (admitted)
			refused++;
		else
			allowed++;
	}
	EXPECT_LT(1000, allowed);
	EXPECT_LT(1000, refused);
}

TEST_F(fsm, names)
{
	EXPECT_STREQ("RECOVERING", jv_state_name(JV_STATE_RECOVERING));
	EXPECT_STREQ("QUALITY_BAD", jv_event_name(JV_EVENT_QUALITY_BAD));
	EXPECT_STREQ("CAS_CONFLICT", jv_reason_name(JV_REASON_CAS_CONFLICT));
	EXPECT_STREQ("another commit was first", jv_reason_text(JV_REASON_CAS_CONFLICT));
	EXPECT_STREQ("LINK_DOWN", jv_detail_name(2));
	EXPECT_STREQ("VERSION_MISMATCH", jv_status_name(1));
	EXPECT_STREQ("TX_NO_SESSION", jv_drop_name(0));
	EXPECT_STREQ("T24", jv_edge_name(JV_EDGE_T24));
	EXPECT_STREQ("?", jv_state_name(0));
	EXPECT_STREQ("?", jv_edge_name(25));
}

TEST_HARNESS_MAIN
