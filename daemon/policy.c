// SPDX-License-Identifier: GPL-2.0
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <linux/jvpn.h>

#include "policy.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

#define DAY (24ULL * HOUR)

static const char *const exhausted_words[] = {
	[JV_EXHAUSTED_DEGRADE] = "degrade", [JV_EXHAUSTED_TERMINATE] = "terminate", NULL,
};

static const char *const liveness_words[] = {
	[JV_LIVENESS_STANDARD] = "standard", [JV_LIVENESS_AGGRESSIVE] = "aggressive",
	[JV_LIVENESS_FRUGAL] = "frugal", NULL,
};

static const char *const cipher_words[] = {
	[JV_CIPHER_CHACHA20_POLY1305] = "chacha20-poly1305",
	[JV_CIPHER_AES_256_GCM] = "aes-256-gcm", NULL,
};

static const char *const nat_words[] = {
	[JV_NAT_CHALLENGE] = "challenge", [JV_NAT_OFF] = "off", NULL,
};

static const char *const no_yes_words[] = { "no", "yes", NULL };

#define KNOB(knob, field, unit, def, min, max, words, help) \
	{ knob, unit, offsetof(struct jv_policy, field), def, min, max, words, help }
#define MS(knob, field, def, min, max, help) \
	KNOB(knob, field, JV_UNIT_MS, def, min, max, NULL, help)
#define PERCENT(knob, field, def, min, max, help) \
	KNOB(knob, field, JV_UNIT_PERCENT, def, min, max, NULL, help)
#define COUNT(knob, field, def, min, max, help) \
	KNOB(knob, field, JV_UNIT_COUNT, def, min, max, NULL, help)
#define WORD(knob, field, def, max, words, help) \
	KNOB(knob, field, JV_UNIT_WORD, def, 0, max, words, help)

const struct jv_knob jv_knobs[] = {
	MS("session-max-lifetime", session_max_lifetime, DAY, MINUTE, 30 * DAY,
	   "a session ends at this age, whatever happens"),
	MS("transport-lost-ttl", transport_lost_ttl, 120 * SECOND, SECOND, DAY,
	   "a session without transport ends after this time"),
	MS("recovery-window", recovery_window, 5 * SECOND, 100, 10 * MINUTE,
	   "one recovery takes no longer"),
	COUNT("max-recovery-attempts", max_recovery_attempts, 16, 1, 1000,
	      "one recovery takes no more requests"),
	WORD("on-recovery-exhausted", on_recovery_exhausted, JV_EXHAUSTED_DEGRADE,
	     JV_EXHAUSTED_TERMINATE, exhausted_words, "what a failed recovery leads to"),
	MS("degraded-max", degraded_max, 480 * SECOND, SECOND, 4 * DAY,
	   "a bound session is degraded no longer; 4 x transport-lost-ttl unless given"),
	WORD("liveness", liveness, JV_LIVENESS_STANDARD, JV_LIVENESS_FRUGAL, liveness_words,
	     "how fast a dead path is found, against how many probes"),
	MS("loss-window", loss_window, 2 * SECOND, 100, MINUTE,
	   "loss is measured over this time"),
	PERCENT("loss-threshold", loss_threshold, 20, 1, 100,
		"more loss than this makes a path volatile"),
	COUNT("max-consecutive-drops", max_consecutive_drops, 3, 3, 7,
	      "more packets lost in a row make a path volatile"),
	MS("latency-threshold", latency_threshold, 300, 1, MINUTE,
	   "a longer round trip makes a path volatile"),
	MS("jitter-threshold", jitter_threshold, 80, 1, MINUTE,
	   "more variation of the round trip makes a path volatile"),
	MS("volatility-timeout", volatility_timeout, 250, 10, MINUTE,
	   "a violated threshold must persist for this long"),
	MS("stability-window", stability_window, 2 * SECOND, 100, 10 * MINUTE,
	   "a path must be good for this long to count as recovered"),
	MS("volatile-to-degraded", volatile_to_degraded, 4 * SECOND, 100, 10 * MINUTE,
	   "a session is volatile no longer, then degraded"),
	COUNT("max-switches", max_switches, 8, 1, JV_SWITCHES_MAX,
	      "no more switches in any switch-window"),
	MS("switch-window", switch_window, 60 * SECOND, SECOND, HOUR,
	   "the sliding window of max-switches"),
	MS("switch-cooldown", switch_cooldown, 1500, 100, MINUTE,
	   "no voluntary switch this soon after the last one"),
	PERCENT("switch-improvement", switch_improvement, 10, 1, 90,
		"a voluntary switch needs a path cheaper by this much"),
	COUNT("max-candidates", max_candidates, 4, 1, JVPN_MAX_CANDIDATES, "no more transports are kept"),
	MS("candidate-ttl", candidate_ttl, 15 * SECOND, SECOND, HOUR,
	   "a transport not heard of for this long is stale"),
	KNOB("reattach-rate", reattach_rate, JV_UNIT_PER_SECOND, 2, 1, 100, NULL,
	     "authentic requests of one session"),
	COUNT("reattach-burst", reattach_burst, 5, 1, 100,
	      "authentic requests of one session at once"),
	MS("tombstone-ttl", tombstone_ttl, 60 * SECOND, SECOND, HOUR,
	   "an ended session is remembered for this long"),
	MS("rekey-after", rekey_after, 600 * SECOND, 10 * SECOND, DAY,
	   "keys are replaced at this age; at one and a half times it they stop"),
	WORD("cipher", cipher, JV_CIPHER_CHACHA20_POLY1305, JV_CIPHER_AES_256_GCM, cipher_words,
	     "what a gateway prefers out of what the client has"),
	WORD("nat-rebind", nat_rebind, JV_NAT_CHALLENGE, JV_NAT_OFF, nat_words,
	     "whether a gateway follows a client whose address a NAT changes"),
	WORD("strict-source", strict_source, 0, 1, no_yes_words,
	     "whether a gateway takes data from the bound address alone"),
};

const size_t jv_knobs_count = sizeof(jv_knobs) / sizeof(jv_knobs[0]);

static_assert(sizeof(jv_knobs) / sizeof(jv_knobs[0]) <= 32, "jv_policy.given has a bit for each");

/* Profiles, as differences from the defaults. */
static const struct setting {
	const char *profile, *knob, *value;
} settings[] = {
	{ "mobile", "recovery-window", "10s" },
	{ "mobile", "max-switches", "10" },
	{ "mobile", "switch-cooldown", "500ms" },
	{ "mobile", "switch-improvement", "20%" },
	{ "fintech", "transport-lost-ttl", "30s" },
	{ "fintech", "recovery-window", "3s" },
	{ "fintech", "session-max-lifetime", "8h" },
	{ "fintech", "liveness", "aggressive" },
	{ "fintech", "latency-threshold", "100ms" },
	{ "fintech", "jitter-threshold", "30ms" },
	{ "iot", "liveness", "frugal" },
	{ "iot", "transport-lost-ttl", "15m" },
	{ "iot", "recovery-window", "30s" },
	{ "iot", "session-max-lifetime", "7d" },
	{ "iot", "loss-window", "20s" },
	{ "iot", "latency-threshold", "2s" },
	{ "iot", "jitter-threshold", "1s" },
	{ "iot", "volatility-timeout", "3s" },
	{ "iot", "stability-window", "10s" },
	{ "iot", "volatile-to-degraded", "30s" },
	{ "iot", "switch-cooldown", "10s" },
	{ "iot", "candidate-ttl", "2m" },
};

const char *const jv_policy_profiles[] = { "carrier", "mobile", "fintech", "iot", NULL };

/* PROTOCOL.md 8. */
static const struct jv_liveness figures[] = {
	[JV_LIVENESS_STANDARD] = {
		.probe_interval = 40, .misses_alternate = 2, .misses_only = 10,
		.probe_rto_floor = 20,
		.request_margin = 20, .request_floor = 50, .request_cap = 1000,
	},
	[JV_LIVENESS_AGGRESSIVE] = {
		.probe_interval = 10, .misses_alternate = 2, .misses_only = 20,
		.probe_rto_floor = 5,
		.request_margin = 5, .request_floor = 30, .request_cap = 1000,
	},
	[JV_LIVENESS_FRUGAL] = {
		.probe_interval = 500, .misses_alternate = 2, .misses_only = 4,
		.probe_rto_floor = 20,
		.request_margin = 20, .request_floor = 50, .request_cap = 1000,
	},
};

const struct jv_liveness *jv_liveness(const struct jv_policy *policy)
{
	return &figures[policy->liveness <= JV_LIVENESS_FRUGAL ? policy->liveness
							       : JV_LIVENESS_STANDARD];
}

static uint64_t *slot(struct jv_policy *policy, const struct jv_knob *knob)
{
	return (uint64_t *)((char *)policy + knob->offset);
}

uint64_t jv_knob_get(const struct jv_policy *policy, const struct jv_knob *knob)
{
	return *(const uint64_t *)((const char *)policy + knob->offset);
}

const struct jv_knob *jv_knob_find(const char *name)
{
	for (size_t i = 0; i < jv_knobs_count; i++)
		if (!strcmp(jv_knobs[i].name, name))
			return &jv_knobs[i];
	return NULL;
}

void jv_policy_init(struct jv_policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	for (size_t i = 0; i < jv_knobs_count; i++)
		*slot(policy, &jv_knobs[i]) = jv_knobs[i].def;
}

static const struct duration_unit {
	const char *suffix;
	uint64_t ms;
} duration_units[] = {
	{ "d", DAY }, { "h", HOUR }, { "m", MINUTE }, { "s", SECOND }, { "ms", 1 },
};

const char *jv_knob_format(const struct jv_knob *knob, uint64_t value, char *buf, size_t size)
{
	switch (knob->unit) {
	case JV_UNIT_MS:
		for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
			const struct duration_unit *u = &duration_units[i];

			if (value % u->ms || (value < u->ms && u->ms > 1))
				continue;
			snprintf(buf, size, "%" PRIu64 "%s", value / u->ms, u->suffix);
			break;
		}
		break;
	case JV_UNIT_PERCENT:
		snprintf(buf, size, "%" PRIu64 "%%", value);
		break;
	case JV_UNIT_COUNT:
		snprintf(buf, size, "%" PRIu64, value);
		break;
	case JV_UNIT_PER_SECOND:
		snprintf(buf, size, "%" PRIu64 "/s", value);
		break;
	case JV_UNIT_WORD:
		snprintf(buf, size, "%s", value <= knob->max ? knob->words[value] : "?");
		break;
	}
	return buf;
}

/* Digits up to 15 of them, so that no later product overflows. Returns what follows, or NULL. */
static const char *digits(const char *text, uint64_t *value)
{
	const char *p = text;

	for (*value = 0; *p >= '0' && *p <= '9'; p++)
		*value = *value * 10 + (*p - '0');
	return p == text || p - text > 15 ? NULL : p;
}

static int parse_duration(const char *suffix, uint64_t *value)
{
	for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
		const struct duration_unit *u = &duration_units[i];

		if (strcmp(suffix, u->suffix))
			continue;
		if (*value > UINT64_MAX / u->ms)
			return -1;
		*value *= u->ms;
		return 0;
	}
	return -1;
}

static int parse_word(const struct jv_knob *knob, const char *text, uint64_t *value)
{
	for (uint64_t i = 0; knob->words[i]; i++) {
		if (!strcmp(knob->words[i], text)) {
			*value = i;
			return 0;
		}
	}
	return -1;
}

static int parse(const struct jv_knob *knob, const char *text, uint64_t *value)
{
	const char *suffix;

	if (knob->unit == JV_UNIT_WORD)
		return parse_word(knob, text, value);
	suffix = digits(text, value);
	if (!suffix)
		return -1;
	if (knob->unit == JV_UNIT_MS)
		return parse_duration(suffix, value);
	if (!*suffix)
		return 0;
	if (knob->unit == JV_UNIT_PERCENT)
		return strcmp(suffix, "%") ? -1 : 0;
	if (knob->unit == JV_UNIT_PER_SECOND)
		return strcmp(suffix, "/s") ? -1 : 0;
	return -1;
}

static const char *kind(const struct jv_knob *knob)
{
	switch (knob->unit) {
	case JV_UNIT_MS:
		return "a duration ";
	case JV_UNIT_PERCENT:
		return "a percentage ";
	case JV_UNIT_PER_SECOND:
		return "a rate ";
	default:
		return "a number ";
	}
}

/* What a knob takes: "a duration from 100ms to 10m", or the words. */
static void allowed(const struct jv_knob *knob, char *buf, size_t size)
{
	char min[32], max[32];
	size_t at = 0;

	if (knob->unit != JV_UNIT_WORD) {
		snprintf(buf, size, "%sfrom %s to %s", kind(knob),
			 jv_knob_format(knob, knob->min, min, sizeof(min)),
			 jv_knob_format(knob, knob->max, max, sizeof(max)));
		return;
	}
	buf[0] = '\0';
	for (size_t i = 0; knob->words[i] && at < size; i++)
		at += snprintf(buf + at, size - at, "%s%s", i ? ", " : "one of: ", knob->words[i]);
}

static bool in_range(const struct jv_knob *knob, uint64_t value)
{
	return value >= knob->min && value <= knob->max;
}

/* The default of degraded-max hangs on transport-lost-ttl. */
static void derive(struct jv_policy *policy)
{
	const struct jv_knob *knob = jv_knob_find("degraded-max");

	if (!(policy->given & 1u << (knob - jv_knobs)))
		policy->degraded_max = 4 * policy->transport_lost_ttl;
}

int jv_policy_set(struct jv_policy *policy, const char *name, const char *text,
		  char *err, size_t err_size)
{
	const struct jv_knob *knob = jv_knob_find(name);
	char range[96];
	uint64_t value;

	if (!knob) {
		snprintf(err, err_size, "\"%s\" is not a policy knob", name);
		return -1;
	}
	if (parse(knob, text, &value) || !in_range(knob, value)) {
		allowed(knob, range, sizeof(range));
		snprintf(err, err_size, "%s: \"%s\" is not allowed, it takes %s", name, text,
			 range);
		return -1;
	}
	*slot(policy, knob) = value;
	policy->given |= 1u << (knob - jv_knobs);
	derive(policy);
	return 0;
}

int jv_policy_profile(struct jv_policy *policy, const char *name)
{
	struct jv_policy p;
	char err[256];
	size_t i;

	for (i = 0; jv_policy_profiles[i] && strcmp(jv_policy_profiles[i], name); i++)
		;
	if (!jv_policy_profiles[i])
		return -1;
	jv_policy_init(&p);
	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		if (!strcmp(settings[i].profile, name) &&
		    jv_policy_set(&p, settings[i].knob, settings[i].value, err, sizeof(err)))
			return -1;
	p.given = 0;			/* a profile is a set of defaults */
	*policy = p;
	return 0;
}

/* Each must be less than the next. */
static const struct {
	const char *less, *more;
} order[] = {
	{ "switch-cooldown", "recovery-window" },
	{ "recovery-window", "transport-lost-ttl" },
	{ "recovery-window", "rekey-after" },
	{ "transport-lost-ttl", "session-max-lifetime" },
};

static int check_range(const struct jv_policy *policy, const struct jv_knob *knob,
		       char *err, size_t err_size)
{
	uint64_t value = jv_knob_get(policy, knob);
	char text[32], range[96];

	if (in_range(knob, value))
		return 0;
	allowed(knob, range, sizeof(range));
	snprintf(err, err_size, "%s: %s is not allowed, it takes %s", knob->name,
		 jv_knob_format(knob, value, text, sizeof(text)), range);
	return -1;
}

int jv_policy_check(const struct jv_policy *policy, char *err, size_t err_size)
{
	char less_text[32], more_text[32];

	for (size_t i = 0; i < jv_knobs_count; i++)
		if (check_range(policy, &jv_knobs[i], err, err_size))
			return -1;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		const struct jv_knob *less = jv_knob_find(order[i].less);
		const struct jv_knob *more = jv_knob_find(order[i].more);
		uint64_t a = jv_knob_get(policy, less), b = jv_knob_get(policy, more);

		if (a < b)
			continue;
		snprintf(err, err_size, "%s: %s is not allowed, it must be less than %s (%s)",
			 less->name, jv_knob_format(less, a, less_text, sizeof(less_text)),
			 more->name, jv_knob_format(more, b, more_text, sizeof(more_text)));
		return -1;
	}
	return 0;
}
