// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "refusals.h"

struct jv_refusals {
	struct jv_refusal peer[JV_REFUSED_PEERS];
	struct jv_refusal unknown[JV_REFUSED_UNKNOWN];
};

struct jv_refusals *jv_refusals_new(void)
{
	return calloc(1, sizeof(struct jv_refusals));
}

void jv_refusals_free(struct jv_refusals *refusals)
{
	free(refusals);
}

/* Ports are a flooder's to choose. */
static bool same_host(const union jv_addr *a, const union jv_addr *b)
{
	union jv_addr x = *a, y = *b;

	if (x.sa.sa_family == AF_INET)
		x.in.sin_port = y.in.sin_port;
	if (x.sa.sa_family == AF_INET6)
		x.in6.sin6_port = y.in6.sin6_port;
	return jv_addr_equal(&x, &y);
}

static bool same(const struct jv_refusal *r, const char *peer, const union jv_addr *from)
{
	return peer ? !strcmp(r->peer, peer) : same_host(&r->from, from);
}

/* Its row, else a free one, else the one that is the oldest. */
static struct jv_refusal *find(struct jv_refusal *rows, size_t n, const char *peer,
			       const union jv_addr *from)
{
	struct jv_refusal *oldest = rows;

	for (size_t i = 0; i < n; i++) {
		if (!rows[i].reason)
			return &rows[i];
		if (same(&rows[i], peer, from))
			return &rows[i];
		if (rows[i].at_ms < oldest->at_ms)
			oldest = &rows[i];
	}
	oldest->reason = JV_REASON_NONE;
	return oldest;
}

void jv_refusals_note(struct jv_refusals *refusals, const char *peer, const union jv_addr *from,
		      enum jv_reason reason, enum jv_detail detail, uint64_t now_ms)
{
	static const union jv_addr nowhere;
	struct jv_refusal *r;

	if (!refusals || reason == JV_REASON_NONE)
		return;
	if (!from)
		from = &nowhere;
	r = peer ? find(refusals->peer, JV_REFUSED_PEERS, peer, from)
		 : find(refusals->unknown, JV_REFUSED_UNKNOWN, NULL, from);
	r->count = r->reason == reason ? r->count + 1 : 1;
	r->reason = reason;
	r->detail = detail;
	r->from = *from;
	r->at_ms = now_ms;
	snprintf(r->peer, sizeof(r->peer), "%s", peer ? peer : "");
}

static void each(const struct jv_refusal *rows, size_t n,
		 void (*fn)(void *arg, const struct jv_refusal *refusal), void *arg)
{
	for (size_t i = 0; i < n && rows[i].reason; i++)
		fn(arg, &rows[i]);
}

void jv_refusals_each(const struct jv_refusals *refusals,
		      void (*fn)(void *arg, const struct jv_refusal *refusal), void *arg)
{
	each(refusals->peer, JV_REFUSED_PEERS, fn, arg);
	each(refusals->unknown, JV_REFUSED_UNKNOWN, fn, arg);
}
