/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Why it does not work: the last refusal of every peer, and of the last few senders
 * that nobody knows. The table is bounded and made once: who floods us with refusals
 * changes 32 rows. Loop thread.
 */
#ifndef JV_REFUSALS_H
#define JV_REFUSALS_H

#include "addr.h"
#include "names.h"
#include "node.h"

enum {
	JV_REFUSED_PEERS = 1024,
	JV_REFUSED_UNKNOWN = 32,
};

struct jv_refusal {
	char peer[JV_NAME_MAX + 1];	/* "": nobody knows whom it is from */
	union jv_addr from;		/* sa_family 0: it came from nowhere */
	enum jv_reason reason;		/* JV_REASON_NONE: the row is free */
	enum jv_detail detail;
	uint64_t at_ms;			/* CLOCK_BOOTTIME */
	uint64_t count;			/* with this reason, one after the other */
};

struct jv_refusals;

struct jv_refusals *jv_refusals_new(void);
void jv_refusals_free(struct jv_refusals *refusals);

/* @peer may be NULL; so may @from, and @refusals (tests): then nothing happens. */
void jv_refusals_note(struct jv_refusals *refusals, const char *peer, const union jv_addr *from,
		      enum jv_reason reason, enum jv_detail detail, uint64_t now_ms);

/* Every row, peers first. */
void jv_refusals_each(const struct jv_refusals *refusals,
		      void (*fn)(void *arg, const struct jv_refusal *refusal), void *arg);

#endif /* JV_REFUSALS_H */
