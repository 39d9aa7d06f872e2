/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which transport to use. Integers only and no ties: the same input gives the
 * same choice on every machine.
 */
#ifndef JV_SELECT_H
#define JV_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy.h"

struct jv_candidate {
	uint8_t id;			/* path id */
	bool usable;			/* link up, address there, not refused */
	uint16_t preference;		/* the operator's; higher is better */
	uint32_t loss_permille;		/* 0..1000 */
	uint32_t srtt_us;		/* 0: not measured yet */
	uint64_t seen_ms;		/* last sign of life, monotonic */
};

/* Cost of using it, microseconds: what loss and delay amount to. */
uint64_t jv_select_cost(const struct jv_candidate *c);

/*
 * The best usable candidate other than path @except (-1: any), by preference, loss, srtt, id.
 * Stale ones (candidate-ttl) come last but are not excluded: after a death any
 * path beats none. Returns an index into @set, or -1.
 */
int jv_select_best(const struct jv_candidate *set, size_t n, const struct jv_policy *policy,
		   int except, uint64_t now_ms);

/* Is @c better than @active by the hysteresis margin, and fresh? For voluntary switches. */
bool jv_select_better(const struct jv_candidate *c, const struct jv_candidate *active,
		      const struct jv_policy *policy, uint64_t now_ms);

/*
 * Bound the set to max-candidates: the ids to evict are written to @evict (room
 * for @n), path @keep never among them. Returns how many.
 */
size_t jv_select_evict(const struct jv_candidate *set, size_t n, const struct jv_policy *policy,
		       int keep, uint64_t now_ms, uint8_t *evict);

#endif /* JV_SELECT_H */
