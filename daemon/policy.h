/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The knobs of a session's behaviour: one const table serves the config parser,
 * `policy show`, the manual and the check. Durations are milliseconds.
 */
#ifndef JV_POLICY_H
#define JV_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A time that does not run. */
#define JV_NEVER UINT64_MAX

enum jv_unit {
	JV_UNIT_MS,		/* duration; text: 250ms, 2s, 5m, 24h */
	JV_UNIT_PERCENT,
	JV_UNIT_COUNT,
	JV_UNIT_PER_SECOND,
	JV_UNIT_WORD,		/* index into jv_knob.words */
};

enum { JV_EXHAUSTED_DEGRADE, JV_EXHAUSTED_TERMINATE };
enum { JV_LIVENESS_STANDARD, JV_LIVENESS_AGGRESSIVE, JV_LIVENESS_FRUGAL };
enum { JV_NAT_CHALLENGE, JV_NAT_OFF };
enum { JV_CIPHER_CHACHA20_POLY1305, JV_CIPHER_AES_256_GCM };
enum { JV_SWITCHES_MAX = 32 };	/* upper end of max-switches */

struct jv_policy {
	uint64_t session_max_lifetime;
	uint64_t transport_lost_ttl;
	uint64_t recovery_window;
	uint64_t max_recovery_attempts;
	uint64_t on_recovery_exhausted;
	uint64_t degraded_max;		/* 4 x transport_lost_ttl unless given */
	uint64_t liveness;
	uint64_t loss_window;
	uint64_t loss_threshold;
	uint64_t max_consecutive_drops;
	uint64_t latency_threshold;
	uint64_t jitter_threshold;
	uint64_t volatility_timeout;
	uint64_t stability_window;
	uint64_t volatile_to_degraded;
	uint64_t max_switches;
	uint64_t switch_window;
	uint64_t switch_cooldown;
	uint64_t switch_improvement;
	uint64_t max_candidates;
	uint64_t candidate_ttl;
	uint64_t reattach_rate;
	uint64_t reattach_burst;
	uint64_t tombstone_ttl;
	uint64_t rekey_after;
	uint64_t cipher;
	uint64_t nat_rebind;
	uint64_t strict_source;
	uint32_t given;			/* bit i: knob i was set explicitly */
};

struct jv_knob {
	const char *name;		/* kebab-case */
	enum jv_unit unit;
	size_t offset;			/* of the uint64_t in struct jv_policy */
	uint64_t def, min, max;
	const char *const *words;	/* NULL-terminated; JV_UNIT_WORD only */
	const char *help;		/* one line: what it protects */
};

extern const struct jv_knob jv_knobs[];
extern const size_t jv_knobs_count;

/* A figure set of liveness and retransmission (PROTOCOL.md 8). Milliseconds. */
struct jv_liveness {
	uint32_t probe_interval;
	uint32_t misses_alternate;	/* dead after so many, if another local path exists */
	uint32_t misses_only;		/* if none does */
	uint32_t probe_rto_floor;
	uint32_t request_margin;	/* timer = max(SRTT + margin, floor), x2, cap */
	uint32_t request_floor;
	uint32_t request_cap;
};

const struct jv_liveness *jv_liveness(const struct jv_policy *policy);

/* All defaults. */
void jv_policy_init(struct jv_policy *policy);

/* Load a named profile (carrier, mobile, fintech, iot) over the defaults. -1: no such one. */
int jv_policy_profile(struct jv_policy *policy, const char *name);

/* NULL-terminated names of the profiles. */
extern const char *const jv_policy_profiles[];

const struct jv_knob *jv_knob_find(const char *name);
uint64_t jv_knob_get(const struct jv_policy *policy, const struct jv_knob *knob);

/*
 * Set one knob from text. Returns 0, or -1 with a sentence in @err naming knob,
 * value and allowed range; the policy is then unchanged.
 */
int jv_policy_set(struct jv_policy *policy, const char *name, const char *text,
		  char *err, size_t err_size);

/* Check the whole: ranges and the rules between knobs. 0, or -1 and a sentence. */
int jv_policy_check(const struct jv_policy *policy, char *err, size_t err_size);

/* A value as people write it ("250ms", "20%", "degrade"). Returns @buf. */
const char *jv_knob_format(const struct jv_knob *knob, uint64_t value, char *buf, size_t size);

#endif /* JV_POLICY_H */
