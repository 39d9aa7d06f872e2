// SPDX-License-Identifier: GPL-2.0
/* What comes back to a client: which question it answers, and what follows from it. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "client.h"
#include "log.h"
#include "switch.h"

/* An authentic answer to SWITCH or REATTACH. */
struct answer {
	struct jv_outstanding was;	/* what it answers */
	uint32_t generation;		/* of the path that left by */
	bool ended;			/* the attempt: it was the last word */
	enum jv_status status;
	uint32_t retry_after_ms;
	struct jv_version version;
	/* of a REATTACH that is granted */
	uint8_t aead;
	uint8_t rx_cid[8], tx_cid[8];
	uint8_t locator[JVPN_LOCATOR_LEN];
	struct jv_epoch_keys keys;
};

static const struct jv_policy *policy(const struct jv_client *c)
{
	return &c->peer->policy->policy;
}

static enum jv_state state(const struct jv_client *c)
{
	return c->session->fsm.state;
}

static bool on_retry(struct jv_client *c, const struct jv_datagram *dgram, uint64_t now_ms)
{
	uint8_t req_id[8], cookie[16];

	if (jv_retry_open(dgram->data, dgram->len, req_id, cookie) ||
	    !jv_request_retry(&c->request, req_id, cookie, now_ms))
		return false;
	jv_attempt_run(c, now_ms);
	return true;
}

static void refuse(struct jv_client *c, enum jv_reason reason, const struct jv_datagram *dgram)
{
	jv_sessions_refuse(c->clients->sessions, reason, c->session, c->clients->link,
			   &dgram->from);
}

/* What the gateway grants must make sense before keys are installed under it. */
static bool answer_sane(const struct jv_init_answer *a)
{
	return a->version.term && a->version.bver == 1 && a->rekey_after_s &&
	       !a->opt.unknown_critical &&
	       (!a->mtu || a->mtu >= 576);
}

static void init_answered(struct jv_client *c, struct jv_path *path,
			  const struct jv_init_answer *answer, struct jv_birth *birth,
			  uint64_t now_ms)
{
	jv_attempt_forget(c);
	if (answer->status != JV_STATUS_OK) {
		jv_info("%s: %s refuses the session: %s", c->clients->link->name, c->peer->name,
			jv_status_name(answer->status));
		jv_client_fail(c, JV_DETAIL_HANDSHAKE_REJECT, answer->retry_after_ms, now_ms);
	} else if (!answer_sane(answer)) {
		jv_warn("%s: %s grants what is not acceptable", c->clients->link->name,
			c->peer->name);
		jv_client_fail(c, JV_DETAIL_HANDSHAKE_REJECT, 0, now_ms);
	} else {
		c->terms = *answer;
		jv_client_born(c, path, birth, now_ms);
	}
}

static bool on_init_resp(struct jv_client *c, struct jv_path *path,
			const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_init_resp *msg = (const void *)dgram->data;
	struct jv_init_answer answer;
	struct jv_birth birth = { 0 };
	enum jv_reason reason;
	int slot;

	slot = jv_request_find(&c->request, JV_FORM_INIT, msg->req_id, now_ms);
	if (slot < 0 || state(c) != JV_STATE_BIRTH)
		return false;
	reason = jv_init_resp_open(&c->sent[slot].init, dgram->data, dgram->len, &answer, &birth);
	if (reason) {
		refuse(c, reason, dgram);
		return true;
	}
	jv_request_answered(&c->request, slot, answer.status, now_ms);
	init_answered(c, path, &answer, &birth, now_ms);
	jv_birth_wipe(&birth);
	return true;
}

/* --- a refusal --- */

/* Another attempt after a refusal, not before @at_ms. */
static void again(struct jv_client *c, enum jv_form form, uint8_t path_id, uint64_t at_ms,
		  uint64_t now_ms)
{
	bool slow = c->request.rto_cap_ms > jv_liveness(policy(c))->request_cap;

	jv_attempt_begin(c, form, path_id, c->request.reason, slow, now_ms);
	jv_request_defer(&c->request, at_ms);
}

/* Who is not served, or not by the owner, asks for the binding with new keys next time. */
static enum jv_form next_form(const struct answer *a)
{
	if (a->status == JV_STATUS_UNAVAILABLE || a->status == JV_STATUS_STALE_OWNER)
		return JV_FORM_REATTACH;
	return a->was.form == JV_FORM_REKEY ? JV_FORM_SWITCH : a->was.form;
}

/*
 * Refused while something is bound. A gateway that names a newer version has followed
 * a request that we gave up and sends elsewhere: the last word is still to be said
 * (PROTOCOL.md 6.4).
 */
static void stay_after(struct jv_client *c, const struct answer *a, uint64_t at_ms,
		       uint64_t now_ms)
{
	if (!a->ended)
		jv_attempt_stay(c, now_ms);
	else if (c->bound && jv_version_cmp(a->version, c->session->version) > 0)
		again(c, next_form(a), c->bound->id, at_ms, now_ms);
}

static void put_off(struct jv_client *c, const struct answer *a, uint64_t now_ms)
{
	uint64_t at_ms = now_ms + a->retry_after_ms;
	char text[96];

	if (state(c) == JV_STATE_RECOVERING) {
		if (a->ended)
			again(c, next_form(a), a->was.path_id, at_ms, now_ms);
		return;
	}
	snprintf(text, sizeof(text), "the gateway refuses: %s, try again in %u ms",
		 jv_status_name(a->status), a->retry_after_ms);
	jv_wish_over(c, -EPERM, JV_REASON_RATE_LIMITED, text);
	stay_after(c, a, at_ms, now_ms);
}

/* A SWITCH never changes the term; whoever meets a higher one by REKEY comes back by BIND. */
static bool may_expect(const struct jv_client *c, const struct answer *a)
{
	const struct jv_version own = c->session->version;

	if (c->expects || jv_version_cmp(a->version, own) < 0)
		return false;
	return a->was.form != JV_FORM_SWITCH || a->version.term == own.term;
}

static void mismatch(struct jv_client *c, const struct answer *a, uint64_t now_ms)
{
	bool same_term = a->version.term == c->session->version.term;

	if (!a->ended)
		return;
	if (may_expect(c, a)) {
		again(c, same_term ? a->was.form : JV_FORM_REATTACH, a->was.path_id, now_ms,
		      now_ms);
		c->expects = true;
		c->expect = a->version;
		return;
	}
	c->expects = false;
	if (state(c) == JV_STATE_RECOVERING) {
		again(c, next_form(a), a->was.path_id, now_ms + c->request.rto_ms, now_ms);
		return;
	}
	jv_wish_over(c, -EPERM, JV_REASON_STALE_STATE_VERSION,
		     "the gateway holds another version of the binding");
	stay_after(c, a, now_ms + c->request.rto_ms, now_ms);
}

static void refused(struct jv_client *c, const struct answer *a, uint64_t now_ms)
{
	switch (a->status) {
	case JV_STATUS_VERSION_MISMATCH:
		mismatch(c, a, now_ms);
		break;
	case JV_STATUS_POLICY:
	case JV_STATUS_TERMINATED:
		jv_session_event(c->session, JV_EVENT_PEER_CLOSE,
				 a->status == JV_STATUS_POLICY ? JV_DETAIL_POLICY
							       : JV_DETAIL_SESSION_EXPIRED,
				 now_ms);
		break;
	default:
		put_off(c, a, now_ms);
	}
}

/* --- an OK --- */

/* The gateway receives under the new keys already: we send with them from now on. */
static struct jv_epoch *install(struct jv_client *c, const struct answer *a)
{
	struct jv_session *s = c->session;
	struct jv_kernel_epoch epoch = {
		.aead = a->aead,
		.rx_key = a->keys.g2c,
		.tx_key = a->keys.c2g,
		.version = a->version,
		.transmit = true,
		.lifetime_ms = jv_key_lifetime_ms(c->terms.rekey_after_s),
	};
	struct jv_error err = { 0 };

	memcpy(epoch.sid, s->sid, sizeof(epoch.sid));
	memcpy(epoch.rx_cid, a->rx_cid, sizeof(epoch.rx_cid));
	memcpy(epoch.tx_cid, a->tx_cid, sizeof(epoch.tx_cid));
	if (jv_epoch_add(s, &epoch, &a->keys, &err)) {
		jv_warn("%s: new keys for %s: %s", c->clients->link->name, c->peer->name,
			err.text);
		return NULL;
	}
	memcpy(c->locator, a->locator, sizeof(c->locator));
	s->rekeyed_ms = jv_now_ms();
	jv_client_rekey_later(c, s->rekeyed_ms);
	return jv_epoch_find(s, a->rx_cid);
}

static void rekeyed(struct jv_client *c, const struct answer *a)
{
	struct jv_session *s = c->session;
	struct jv_audit_record record;

	c->expects = false;
	if (!install(c, a))
		return;
	if (jv_version_cmp(a->version, s->version) > 0)
		jv_session_learn(s, a->version);
	jv_client_confirm(c);
	jv_session_record(s, &record, JV_AUDIT_KEY_ROTATED);
	record.detail = c->request.reason;
	jv_audit_push(c->clients->env->audit, &record);
	if (c->wish.active && c->wish.kind == JV_WISH_REKEY)
		jv_wish_over(c, 0, JV_REASON_NONE, "");
}

/* The epoch first: the binding names it. If the step is refused it goes again. */
static enum jv_reason move_to(struct jv_client *c, const struct answer *a, struct jv_path *path,
			      uint64_t now_ms)
{
	struct jv_event event = {
		.kind = JV_EVENT_REATTACH_OK,
		.detail = c->request.reason,
		.moves = path->generation != c->bound_generation,
	};
	struct jv_move move = {
		.version = a->version, .path = path->id, .remote = *jv_client_gateway(c),
		.transport = path->transport->name,
		.since_us = c->wish.active ? c->wish.since_us : 0,
	};
	uint64_t term = c->session->version.term;
	struct jv_epoch *epoch = NULL;
	enum jv_reason verdict;

	if (a->was.form == JV_FORM_REATTACH) {
		epoch = install(c, a);
		if (!epoch)
			return JV_REASON_KEY_EXPIRED;
		move.cid = a->rx_cid;
	}
	c->target = path;
	verdict = jv_session_step(c->session, &event, &move, now_ms);
	c->target = NULL;
	if (!c->session)
		return verdict;
	if (verdict && epoch && epoch->session)
		jv_epoch_del(epoch);
	/* What was asked under a lower term cannot be answered any more. */
	if (!verdict && a->version.term > term)
		jv_request_reset(&c->request);
	return verdict;
}

static void accepted(struct jv_client *c, const struct answer *a, uint64_t now_ms)
{
	struct jv_path *path = &c->clients->paths.path[a->was.path_id];
	enum jv_reason verdict;

	if (!path->usable || path->generation != a->generation) {
		if (a->ended && state(c) == JV_STATE_RECOVERING)
			again(c, a->was.form, a->was.path_id, now_ms, now_ms);
		return;
	}
	c->expects = false;
	verdict = move_to(c, a, path, now_ms);
	if (verdict)
		jv_warn("%s: a switch to %s was granted, but: %s", c->clients->link->name,
			path->dev, jv_reason_text(verdict));
}

/* --- what came --- */

static void tell_result(const struct jv_client *c, const struct answer *a, uint64_t now_ms)
{
	struct jv_audit_record record;
	const struct jv_path *path = &c->clients->paths.path[a->was.path_id];

	jv_session_record(c->session, &record, JV_AUDIT_REATTACH_RESULT);
	record.status = a->status + 1;
	record.detail = c->request.reason;
	record.version = a->version;
	record.rtt_us = (now_ms - a->was.sent_ms) * 1000;
	if (path->transport)
		snprintf(record.new_transport, sizeof(record.new_transport), "%.31s",
			 path->transport->name);
	jv_audit_push(c->clients->env->audit, &record);
}

/*
 * Only what is newer than what we hold is an OK; what is not, is no answer at all. New
 * keys are of use only while there is a binding that they belong to.
 */
static enum jv_reason acceptable(const struct jv_client *c, const struct answer *a)
{
	if (a->status != JV_STATUS_OK)
		return JV_REASON_NONE;
	if (!jv_request_newer(a->was.form, a->version, c->session->version))
		return JV_REASON_STALE_STATE_VERSION;
	if (a->was.form == JV_FORM_REKEY && !c->session->fsm.bound)
		return JV_REASON_INVALID_STATE_FOR_REATTACH;
	return JV_REASON_NONE;
}

static void answered(struct jv_client *c, int slot, struct answer *a,
		     const struct jv_datagram *dgram, uint64_t now_ms)
{
	enum jv_reason reason;

	a->was = c->request.slot[slot];
	a->generation = c->sent[slot].generation;
	reason = acceptable(c, a);
	if (reason) {
		refuse(c, reason, dgram);
		return;
	}
	a->ended = jv_request_answered(&c->request, slot, a->status, now_ms) == JV_ATTEMPT_ENDED;
	tell_result(c, a, now_ms);
	if (a->status != JV_STATUS_OK)
		refused(c, a, now_ms);
	else if (a->was.form == JV_FORM_REKEY)
		rekeyed(c, a);
	else
		accepted(c, a, now_ms);
	jv_attempt_run(c, now_ms);
}

static bool on_switch_resp(struct jv_client *c, const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_switch_resp *msg = (const void *)dgram->data;
	struct jv_switch_answer fields;
	struct answer a = { 0 };
	enum jv_reason reason;
	int slot;

	slot = jv_request_find(&c->request, JV_FORM_SWITCH, msg->req_id, now_ms);
	if (slot < 0)
		return false;
	reason = jv_switch_resp_open(c->sent[slot].sw_g, msg->req_id,
				     c->request.slot[slot].rseq, dgram->data, dgram->len, &fields);
	if (reason) {
		refuse(c, reason, dgram);
		return true;
	}
	a.status = fields.status;
	a.retry_after_ms = fields.retry_after_ms;
	a.version = fields.version;
	answered(c, slot, &a, dgram, now_ms);
	return true;
}

/* The REATTACH, of either kind, that carried @req_id, or -1. */
static int find_reattach(const struct jv_client *c, const uint8_t req_id[8], uint64_t now_ms)
{
	int slot = jv_request_find(&c->request, JV_FORM_REATTACH, req_id, now_ms);

	return slot < 0 ? jv_request_find(&c->request, JV_FORM_REKEY, req_id, now_ms) : slot;
}

static bool on_reattach_resp(struct jv_client *c, const struct jv_datagram *dgram,
			     uint64_t now_ms)
{
	const struct jvpn_reattach_resp *msg = (const void *)dgram->data;
	int slot = find_reattach(c, msg->req_id, now_ms);
	struct jv_reattach_answer fields;
	struct answer a = { 0 };
	enum jv_reason reason;

	if (slot < 0)
		return false;
	reason = jv_reattach_resp_open(&c->sent[slot].reattach, dgram->data, dgram->len, &fields,
				       &a.keys);
	if (reason) {
		refuse(c, reason, dgram);
		return true;
	}
	a.status = fields.status;
	a.retry_after_ms = fields.retry_after_ms;
	a.version = fields.version;
	a.aead = fields.aead;
	memcpy(a.rx_cid, c->sent[slot].cid, sizeof(a.rx_cid));
	memcpy(a.tx_cid, fields.cid, sizeof(a.tx_cid));
	memcpy(a.locator, fields.locator, sizeof(a.locator));
	answered(c, slot, &a, dgram, now_ms);
	sodium_memzero(&a.keys, sizeof(a.keys));
	return true;
}

/* Only who holds the gateway's secret key can say that there is no such session. */
static bool on_deny(struct jv_client *c, const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_deny *msg = (const void *)dgram->data;
	int slot = find_reattach(c, msg->req_id, now_ms);
	enum jv_deny_reason why;
	enum jv_reason reason;

	if (slot < 0)
		return false;
	reason = jv_deny_open(&c->sent[slot].reattach, dgram->data, dgram->len, &why);
	if (reason)
		refuse(c, reason, dgram);
	else
		jv_session_event(c->session, JV_EVENT_PEER_CLOSE,
				 why == JV_DENY_TERMINATED ? JV_DETAIL_SESSION_EXPIRED
							   : JV_DETAIL_SESSION_NOT_FOUND,
				 now_ms);
	return true;
}

bool jv_answer_datagram(struct jv_client *c, struct jv_path *path,
			const struct jv_datagram *dgram, uint64_t now_ms)
{
	bool ours = false;

	if (!c->session || !jv_session_expire(c->session, now_ms))
		return false;
	switch (dgram->data[0]) {
	case JVPN_T_RETRY:
		ours = on_retry(c, dgram, now_ms);
		break;
	case JVPN_T_INIT_RESP:
		ours = on_init_resp(c, path, dgram, now_ms);
		break;
	case JVPN_T_SWITCH_RESP:
		ours = on_switch_resp(c, dgram, now_ms);
		break;
	case JVPN_T_REATTACH_RESP:
		ours = on_reattach_resp(c, dgram, now_ms);
		break;
	case JVPN_T_DENY:
		ours = on_deny(c, dgram, now_ms);
		break;
	}
	if (c->session)
		jv_session_rearm(c->session);
	return ours;
}
