// SPDX-License-Identifier: GPL-2.0
#include "select.h"

enum {
	LOSS_COST_US = 2000,		/* one lost packet in a thousand weighs 2 ms */
	UNMEASURED_US = 1000000,	/* nobody knows: rather not, but better than none */
};

uint64_t jv_select_cost(const struct jv_candidate *c)
{
	uint64_t srtt = c->srtt_us ? c->srtt_us : UNMEASURED_US;

	return srtt + (uint64_t)c->loss_permille * LOSS_COST_US;
}

static bool fresh(const struct jv_candidate *c, const struct jv_policy *policy, uint64_t now_ms)
{
	return c->seen_ms <= now_ms && now_ms - c->seen_ms <= policy->candidate_ttl;
}

/* Three-way, lower is better; ids are unique, so there are no ties. */
static int compare(const struct jv_candidate *a, const struct jv_candidate *b,
		   const struct jv_policy *policy, uint64_t now_ms)
{
	bool fa = fresh(a, policy, now_ms), fb = fresh(b, policy, now_ms);
	uint32_t sa = a->srtt_us ? a->srtt_us : UINT32_MAX;
	uint32_t sb = b->srtt_us ? b->srtt_us : UINT32_MAX;

	if (fa != fb)
		return fa ? -1 : 1;
	if (a->preference != b->preference)
		return a->preference > b->preference ? -1 : 1;
	if (a->loss_permille != b->loss_permille)
		return a->loss_permille < b->loss_permille ? -1 : 1;
	if (sa != sb)
		return sa < sb ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

int jv_select_best(const struct jv_candidate *set, size_t n, const struct jv_policy *policy,
		   int except, uint64_t now_ms)
{
	int best = -1;

	for (size_t i = 0; i < n; i++) {
		if (!set[i].usable || set[i].id == except)
			continue;
		if (best < 0 || compare(&set[i], &set[best], policy, now_ms) < 0)
			best = i;
	}
	return best;
}

bool jv_select_better(const struct jv_candidate *c, const struct jv_candidate *active,
		      const struct jv_policy *policy, uint64_t now_ms)
{
	if (!c->usable || !c->srtt_us || c->id == active->id || !fresh(c, policy, now_ms))
		return false;
	return jv_select_cost(c) * 100 <=
	       jv_select_cost(active) * (100 - policy->switch_improvement);
}

/* Worst first in the order of eviction: unusable, then as compare() has it. */
static bool evicts(const struct jv_candidate *a, const struct jv_candidate *b,
		   const struct jv_policy *policy, uint64_t now_ms)
{
	if (a->usable != b->usable)
		return !a->usable;
	return compare(a, b, policy, now_ms) > 0;
}

static bool listed(const uint8_t *ids, size_t n, uint8_t id)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i] == id)
			return true;
	return false;
}

size_t jv_select_evict(const struct jv_candidate *set, size_t n, const struct jv_policy *policy,
		       int keep, uint64_t now_ms, uint8_t *evict)
{
	size_t count = 0;

	while (n - count > policy->max_candidates) {
		int worst = -1;

		for (size_t i = 0; i < n; i++) {
			if (set[i].id == keep || listed(evict, count, set[i].id))
				continue;
			if (worst < 0 || evicts(&set[i], &set[worst], policy, now_ms))
				worst = i;
		}
		if (worst < 0)
			break;
		evict[count++] = set[worst].id;
	}
	return count;
}
