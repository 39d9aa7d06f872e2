// SPDX-License-Identifier: GPL-2.0
/* The knobs: defaults, text, ranges, the rules between them, and what the errors say. */
#include "unit.h"

#include "policy.h"

static int set(struct jv_policy *p, const char *name, const char *text, char *err)
{
	return jv_policy_set(p, name, text, err, 256);
}

/* The defaults as the behaviour text gives them. */
TEST(defaults)
{
	static const struct { const char *name, *text; } want[] = {
		{ "session-max-lifetime", "1d" }, { "transport-lost-ttl", "2m" },
		{ "recovery-window", "5s" }, { "max-recovery-attempts", "16" },
		{ "on-recovery-exhausted", "degrade" }, { "degraded-max", "8m" },
		{ "liveness", "standard" }, { "loss-window", "2s" }, { "loss-threshold", "20%" },
		{ "max-consecutive-drops", "3" }, { "latency-threshold", "300ms" },
		{ "jitter-threshold", "80ms" }, { "volatility-timeout", "250ms" },
		{ "stability-window", "2s" }, { "volatile-to-degraded", "4s" },
		{ "max-switches", "8" }, { "switch-window", "1m" }, { "switch-cooldown", "1500ms" },
		{ "switch-improvement", "10%" }, { "max-candidates", "4" },
		{ "candidate-ttl", "15s" }, { "reattach-rate", "2/s" }, { "reattach-burst", "5" },
		{ "tombstone-ttl", "1m" }, { "rekey-after", "10m" },
		{ "cipher", "chacha20-poly1305" }, { "nat-rebind", "challenge" },
		{ "strict-source", "no" },
	};
	struct jv_policy p;
	char buf[32], err[256];

	jv_policy_init(&p);
	EXPECT_EQ(ARRAY_LEN(want), jv_knobs_count);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		const struct jv_knob *k = jv_knob_find(want[i].name);

		ASSERT_NE(NULL, k) { TH_LOG("no knob %s", want[i].name); }
		EXPECT_STREQ(want[i].text, jv_knob_format(k, jv_knob_get(&p, k), buf, sizeof(buf)));
	}
	EXPECT_EQ(0, jv_policy_check(&p, err, sizeof(err)));
}

/* What is written is read back as the same value, at both ends of every range. */
TEST(text_round_trip)
{
	struct jv_policy p;
	char buf[32], err[256];

	for (size_t i = 0; i < jv_knobs_count; i++) {
		const struct jv_knob *k = &jv_knobs[i];
		uint64_t values[] = { k->min, k->def, k->max };

		for (size_t v = 0; v < ARRAY_LEN(values); v++) {
			jv_policy_init(&p);
			jv_knob_format(k, values[v], buf, sizeof(buf));
			EXPECT_EQ(0, set(&p, k->name, buf, err)) { TH_LOG("%s", err); }
			EXPECT_EQ(values[v], jv_knob_get(&p, k)) { TH_LOG("%s %s", k->name, buf); }
		}
		EXPECT_LE(k->min, k->def);
		EXPECT_LE(k->def, k->max);
		EXPECT_LT(10, strlen(k->help));
	}
}

TEST(durations)
{
	static const struct { const char *text; uint64_t ms; } good[] = {
		{ "300ms", 300 }, { "2s", 2000 }, { "5m", 300000 }, { "90s", 90000 },
	};
	struct jv_policy p;
	char err[256];

	jv_policy_init(&p);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		EXPECT_EQ(0, set(&p, "recovery-window", good[i].text, err)) { TH_LOG("%s", err); }
		EXPECT_EQ(good[i].ms, p.recovery_window);
	}
}

/* Every refusal names knob, value and range, and leaves the policy as it was. */
TEST(refusals)
{
	static const struct { const char *name, *text, *err; } bad[] = {
		{ "recovery-windw", "5s", "\"recovery-windw\" is not a policy knob" },
		{ "recovery-window", "5", "recovery-window: \"5\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "", "recovery-window: \"\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "-5s", "recovery-window: \"-5s\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "5 s", "recovery-window: \"5 s\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "5sec", "recovery-window: \"5sec\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "99ms", "recovery-window: \"99ms\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "recovery-window", "11m", "recovery-window: \"11m\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "session-max-lifetime", "99999999999999999999d",
		  "session-max-lifetime: \"99999999999999999999d\" is not allowed, it takes a duration from 1m to 30d" },
		{ "session-max-lifetime", "999999999999999d",
		  "session-max-lifetime: \"999999999999999d\" is not allowed, it takes a duration from 1m to 30d" },
		{ "recovery-window", "18446744073709551621s",
		  "recovery-window: \"18446744073709551621s\" is not allowed, it takes a duration from 100ms to 10m" },
		{ "loss-threshold", "0", "loss-threshold: \"0\" is not allowed, it takes a percentage from 1% to 100%" },
		{ "loss-threshold", "101%", "loss-threshold: \"101%\" is not allowed, it takes a percentage from 1% to 100%" },
		{ "max-consecutive-drops", "8", "max-consecutive-drops: \"8\" is not allowed, it takes a number from 3 to 7" },
		{ "max-switches", "33", "max-switches: \"33\" is not allowed, it takes a number from 1 to 32" },
		{ "max-switches", "0", "max-switches: \"0\" is not allowed, it takes a number from 1 to 32" },
		{ "reattach-rate", "2/m", "reattach-rate: \"2/m\" is not allowed, it takes a rate from 1/s to 100/s" },
		{ "liveness", "fast", "liveness: \"fast\" is not allowed, it takes one of: standard, aggressive, frugal" },
		{ "on-recovery-exhausted", "", "on-recovery-exhausted: \"\" is not allowed, it takes one of: degrade, terminate" },
	};
	struct jv_policy p, before;
	char err[256];

	jv_policy_init(&p);
	before = p;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(-1, set(&p, bad[i].name, bad[i].text, err));
		EXPECT_STREQ(bad[i].err, err);
		EXPECT_EQ(0, memcmp(&p, &before, sizeof(p)));
	}
}

TEST(rules_between_knobs)
{
	static const struct { const char *name, *text, *err; } bad[] = {
		{ "switch-cooldown", "5s", "switch-cooldown: 5s is not allowed, it must be less than recovery-window (5s)" },
		{ "recovery-window", "2m", "recovery-window: 2m is not allowed, it must be less than transport-lost-ttl (2m)" },
		{ "session-max-lifetime", "1m", "transport-lost-ttl: 2m is not allowed, it must be less than session-max-lifetime (1m)" },
	};
	struct jv_policy p;
	char err[256];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		jv_policy_init(&p);
		EXPECT_EQ(0, set(&p, bad[i].name, bad[i].text, err));
		EXPECT_EQ(-1, jv_policy_check(&p, err, sizeof(err)));
		EXPECT_STREQ(bad[i].err, err);
	}
	/* A value that never went through text is looked at as well. */
	jv_policy_init(&p);
	p.max_switches = 0;
	EXPECT_EQ(-1, jv_policy_check(&p, err, sizeof(err)));
	EXPECT_STREQ("max-switches: 0 is not allowed, it takes a number from 1 to 32", err);
	jv_policy_init(&p);
	p.liveness = 77;
	EXPECT_EQ(-1, jv_policy_check(&p, err, sizeof(err)));
	EXPECT_STREQ("liveness: ? is not allowed, it takes one of: standard, aggressive, frugal", err);
	EXPECT_EQ(40, jv_liveness(&p)->probe_interval);
}

/* No setting of one knob by itself can lift a bound or make a lifetime infinite. */
TEST(nothing_is_unbounded)
{
	char huge[32], err[256];
	struct jv_policy p;

	for (size_t i = 0; i < jv_knobs_count; i++) {
		const struct jv_knob *k = &jv_knobs[i];

		if (k->unit == JV_UNIT_WORD)
			continue;
		jv_policy_init(&p);
		snprintf(huge, sizeof(huge), "%llu%s", (unsigned long long)k->max + 1,
			 k->unit == JV_UNIT_MS ? "ms" : "");
		EXPECT_EQ(-1, set(&p, k->name, huge, err)) { TH_LOG("%s %s", k->name, huge); }
		snprintf(huge, sizeof(huge), "%llu%s", (unsigned long long)k->min - 1,
			 k->unit == JV_UNIT_MS ? "ms" : "");
		EXPECT_EQ(-1, set(&p, k->name, huge, err)) { TH_LOG("%s %s", k->name, huge); }
		EXPECT_LT(0, k->min);
	}
}

TEST(degraded_max_follows)
{
	struct jv_policy p;
	char err[256];

	jv_policy_init(&p);
	EXPECT_EQ(0, set(&p, "transport-lost-ttl", "30s", err));
	EXPECT_EQ(120000, p.degraded_max);
	EXPECT_EQ(0, set(&p, "degraded-max", "77s", err));
	EXPECT_EQ(0, set(&p, "transport-lost-ttl", "1m", err));
	EXPECT_EQ(77000, p.degraded_max);
}

TEST(profiles)
{
	struct jv_policy p, carrier;
	char err[256];

	jv_policy_init(&carrier);
	for (size_t i = 0; jv_policy_profiles[i]; i++) {
		EXPECT_EQ(0, jv_policy_profile(&p, jv_policy_profiles[i]));
		EXPECT_EQ(0, jv_policy_check(&p, err, sizeof(err))) {
			TH_LOG("%s: %s", jv_policy_profiles[i], err);
		}
	}
	EXPECT_EQ(0, jv_policy_profile(&p, "carrier"));
	EXPECT_EQ(0, memcmp(&p, &carrier, sizeof(p)));
	EXPECT_EQ(0, jv_policy_profile(&p, "fintech"));
	EXPECT_EQ(30000, p.transport_lost_ttl);
	EXPECT_EQ(120000, p.degraded_max);
	EXPECT_EQ(10, jv_liveness(&p)->probe_interval);
	carrier = p;
	EXPECT_EQ(-1, jv_policy_profile(&p, "bank"));
	EXPECT_EQ(0, memcmp(&p, &carrier, sizeof(p)));
}

TEST_HARNESS_MAIN
