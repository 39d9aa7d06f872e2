// SPDX-License-Identifier: GPL-2.0
#include "request.h"

enum { INIT_RTO_MS = 1000, INIT_CAP_MS = 16000, SLOW_RTO_MS = 1000, SLOW_CAP_MS = 10000 };

void jv_request_init(struct jv_request *r)
{
	*r = (struct jv_request){ .next_rseq = 1, .send_ms = JV_NEVER };
}

static bool fresh(const struct jv_cookie *c, uint64_t now_ms)
{
	return c->held && now_ms - c->got_ms <= JV_COOKIE_LIFE_MS;
}

static void hold(struct jv_cookie *c, const uint8_t bytes[16], uint64_t got_ms)
{
	memcpy(c->bytes, bytes, sizeof(c->bytes));
	c->got_ms = got_ms;
	c->held = true;
}

void jv_request_cookie(struct jv_request *r, uint8_t path_id, const uint8_t cookie[16],
		       uint64_t now_ms)
{
	if (path_id < JVPN_PATH_MAX && !jv_is_zero(cookie, 16))
		hold(&r->path[path_id].proven, cookie, now_ms);
}

void jv_request_path_gone(struct jv_request *r, uint8_t path_id)
{
	if (path_id < JVPN_PATH_MAX)
		r->path[path_id] = (struct jv_cookies){ 0 };
}

/*
 * A RETRY says that the cookie in hand is not wanted, so its newer one is used;
 * but the last word of an attempt must arrive, and there what the gateway has
 * accepted counts for more than what anybody may have sent.
 */
static const struct jv_cookie *choose(const struct jv_request *r, uint64_t now_ms)
{
	const struct jv_cookies *have = &r->path[r->path_id];
	bool proven = fresh(&have->proven, now_ms), hearsay = fresh(&have->hearsay, now_ms);

	if (proven && hearsay && !r->settled)
		return have->hearsay.got_ms >= have->proven.got_ms ? &have->hearsay
								   : &have->proven;
	return proven ? &have->proven : hearsay ? &have->hearsay : NULL;
}

void jv_request_start(struct jv_request *r, enum jv_form form, uint8_t path_id, uint8_t reason,
		      const struct jv_liveness *figures, uint32_t srtt_ms, bool can_reattach,
		      uint64_t now_ms)
{
	r->form = form;
	r->path_id = path_id;
	r->reason = reason;
	r->can_reattach = can_reattach;
	r->heard_retry = false;
	r->repeat = false;
	r->settled = false;
	r->tries = 0;
	r->max_tries = 0;
	r->repeats = 0;
	r->first_rseq = r->next_rseq;
	r->highest_rseq = 0;
	r->send_ms = now_ms;
	if (form == JV_FORM_INIT) {
		r->rto_ms = INIT_RTO_MS;
		r->rto_cap_ms = INIT_CAP_MS;
		r->max_tries = JV_INIT_TRIES;
	} else if (!figures) {
		r->rto_ms = SLOW_RTO_MS;
		r->rto_cap_ms = SLOW_CAP_MS;
	} else {
		r->rto_cap_ms = figures->request_cap;
		r->rto_ms = srtt_ms < r->rto_cap_ms ? srtt_ms + figures->request_margin
						    : r->rto_cap_ms;
		if (r->rto_ms < figures->request_floor)
			r->rto_ms = figures->request_floor;
		if (r->rto_ms > r->rto_cap_ms)
			r->rto_ms = r->rto_cap_ms;
	}
}

uint64_t jv_request_deadline(const struct jv_request *r)
{
	return r->form ? r->send_ms : JV_NEVER;
}

bool jv_request_failed(const struct jv_request *r, uint64_t now_ms)
{
	return r->form && r->max_tries && r->tries >= r->max_tries && !r->repeat &&
	       now_ms >= r->send_ms;
}

/* A free slot, or else the one that has waited longest. */
static unsigned int take_slot(struct jv_request *r)
{
	unsigned int oldest = 0;

	for (unsigned int i = 0; i < JV_OUTSTANDING_MAX; i++) {
		if (!r->slot[i].form)
			return i;
		if (r->slot[i].sent_ms < r->slot[oldest].sent_ms)
			oldest = i;
	}
	return oldest;
}

/* The timer ran out: wait longer next time; silence after a SWITCH means REATTACH. */
static void timer_ran_out(struct jv_request *r)
{
	if (r->form == JV_FORM_SWITCH && !r->heard_retry && r->can_reattach)
		r->form = JV_FORM_REATTACH;
	r->rto_ms = r->rto_ms > r->rto_cap_ms / 2 ? r->rto_cap_ms : 2 * r->rto_ms;
}

bool jv_request_poll(struct jv_request *r, uint64_t now_ms, const uint8_t random[8],
		     struct jv_send *out)
{
	const struct jv_cookie *cookie;
	struct jv_outstanding *slot;
	unsigned int at;

	if (!r->form || now_ms < r->send_ms || jv_request_failed(r, now_ms))
		return false;
	if (!r->repeat) {
		if (r->tries)
			timer_ran_out(r);
		r->tries++;
	}
	r->repeat = false;
	r->heard_retry = false;
	r->send_ms = now_ms + r->rto_ms;

	at = take_slot(r);
	slot = &r->slot[at];
	cookie = choose(r, now_ms);
	*slot = (struct jv_outstanding){
		.form = r->form, .path_id = r->path_id, .cold = !cookie, .sent_ms = now_ms,
	};
	memcpy(slot->req_id, random, sizeof(slot->req_id));
	if (cookie) {
		memcpy(slot->cookie, cookie->bytes, sizeof(slot->cookie));
		slot->cookie_ms = cookie->got_ms;
	}
	if (cookie && r->form != JV_FORM_INIT) {
		slot->rseq = r->next_rseq++;
		r->highest_rseq = slot->rseq;
	}
	*out = (struct jv_send){
		.form = slot->form, .slot = at, .path_id = slot->path_id, .reason = r->reason,
		.cold = slot->cold, .rseq = slot->rseq,
	};
	memcpy(out->req_id, slot->req_id, sizeof(out->req_id));
	memcpy(out->cookie, slot->cookie, sizeof(out->cookie));
	return true;
}

void jv_request_move(struct jv_request *r, uint8_t path_id)
{
	r->path_id = path_id;
}

static bool waiting(const struct jv_outstanding *slot, uint64_t now_ms)
{
	return slot->form && now_ms - slot->sent_ms <= JV_ANSWER_LIFE_MS;
}

int jv_request_find(const struct jv_request *r, enum jv_form form, const uint8_t req_id[8],
		    uint64_t now_ms)
{
	for (int i = 0; i < JV_OUTSTANDING_MAX; i++) {
		const struct jv_outstanding *slot = &r->slot[i];

		/* What carried no cookie proves nothing; only an INIT can be answered like that. */
		if (slot->form != form || (slot->cold && form != JV_FORM_INIT))
			continue;
		if (waiting(slot, now_ms) && !memcmp(slot->req_id, req_id, sizeof(slot->req_id)))
			return i;
	}
	return -1;
}

static struct jv_outstanding *find_any(struct jv_request *r, const uint8_t req_id[8],
				       uint64_t now_ms)
{
	for (int i = 0; i < JV_OUTSTANDING_MAX; i++)
		if (waiting(&r->slot[i], now_ms) &&
		    !memcmp(r->slot[i].req_id, req_id, sizeof(r->slot[i].req_id)))
			return &r->slot[i];
	return NULL;
}

bool jv_request_retry(struct jv_request *r, const uint8_t req_id[8], const uint8_t cookie[16],
		      uint64_t now_ms)
{
	struct jv_outstanding *slot = find_any(r, req_id, now_ms);

	if (!slot || slot->retried || jv_is_zero(cookie, 16))
		return false;
	slot->retried = true;
	hold(&r->path[slot->path_id].hearsay, cookie, now_ms);
	if (!r->form || slot->path_id != r->path_id)
		return true;
	r->heard_retry = true;
	if (!slot->cold || r->repeats == JV_REPEATS_MAX)
		return true;
	r->repeats++;
	r->repeat = true;
	r->send_ms = now_ms;
	if (slot->form != JV_FORM_INIT)
		*slot = (struct jv_outstanding){ 0 };
	return true;
}

static void forget_outstanding(struct jv_request *r)
{
	for (int i = 0; i < JV_OUTSTANDING_MAX; i++)
		r->slot[i] = (struct jv_outstanding){ 0 };
}

/* New keys are there, or none will come of it: other answers to REKEY are too late. */
static enum jv_request_end rekey_answered(struct jv_request *r, const struct jv_outstanding *answered,
					  enum jv_status status)
{
	bool last = r->highest_rseq && answered->rseq >= r->highest_rseq;

	if (status != JV_STATUS_OK && !(last && r->form == JV_FORM_REKEY))
		return JV_ATTEMPT_RUNS;
	for (int i = 0; i < JV_OUTSTANDING_MAX; i++)
		if (r->slot[i].form == JV_FORM_REKEY)
			r->slot[i] = (struct jv_outstanding){ 0 };
	if (r->form == JV_FORM_REKEY)
		jv_request_stop(r);
	return JV_ATTEMPT_ENDED;
}

enum jv_request_end jv_request_answered(struct jv_request *r, unsigned int slot,
					enum jv_status status, uint64_t now_ms)
{
	struct jv_outstanding answered = r->slot[slot];
	struct jv_cookie *proven = &r->path[answered.path_id].proven;

	r->slot[slot] = (struct jv_outstanding){ 0 };
	if (!answered.cold && (!fresh(proven, now_ms) || proven->got_ms < answered.cookie_ms))
		hold(proven, answered.cookie, answered.cookie_ms);
	if (answered.form == JV_FORM_REKEY)
		return rekey_answered(r, &answered, status);
	if (!r->form)
		return JV_ATTEMPT_ENDED;
	if (r->form == JV_FORM_INIT || (r->highest_rseq && answered.rseq >= r->highest_rseq)) {
		jv_request_reset(r);
		return JV_ATTEMPT_ENDED;
	}
	if (status == JV_STATUS_OK && answered.rseq >= r->first_rseq) {
		r->settled = true;
		r->path_id = answered.path_id;
	}
	return JV_ATTEMPT_RUNS;
}

bool jv_request_newer(enum jv_form form, struct jv_version version, struct jv_version own)
{
	if (form != JV_FORM_REATTACH && version.term != own.term)
		return false;
	if (form == JV_FORM_REKEY)
		return version.bver >= own.bver;
	return jv_version_cmp(version, own) > 0;
}

void jv_request_defer(struct jv_request *r, uint64_t at_ms)
{
	if (r->form)
		r->send_ms = at_ms;
}

void jv_request_reattach(struct jv_request *r)
{
	if (r->form == JV_FORM_SWITCH)
		r->form = JV_FORM_REATTACH;
}

void jv_request_stop(struct jv_request *r)
{
	r->form = JV_FORM_NONE;
	r->send_ms = JV_NEVER;
	r->repeat = false;
}

void jv_request_reset(struct jv_request *r)
{
	jv_request_stop(r);
	forget_outstanding(r);
}

bool jv_request_busy(const struct jv_request *r, uint64_t now_ms)
{
	if (r->form)
		return true;
	for (int i = 0; i < JV_OUTSTANDING_MAX; i++)
		if (waiting(&r->slot[i], now_ms))
			return true;
	return false;
}
