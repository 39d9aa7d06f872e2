// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "client.h"
#include "log.h"
#include "switch.h"

enum { REKEY_TRIES = 5 };		/* datagrams; then it is tried again later */

static const struct jv_policy *policy(const struct jv_client *c)
{
	return &c->peer->policy->policy;
}

static enum jv_state state(const struct jv_client *c)
{
	return c->session->fsm.state;
}

/* --- sending --- */

void jv_attempt_forget(struct jv_client *c)
{
	sodium_memzero(c->sent, sizeof(c->sent));
}

void jv_attempt_reset(struct jv_client *c)
{
	jv_request_init(&c->request);
	jv_attempt_forget(c);
	c->expects = false;
	c->retry_ms = JV_NEVER;
	c->retry_wait_ms = JV_RETRY_MS;
}

static void fresh_keypair(struct jv_keypair *e)
{
	uint8_t secret[32];

	randombytes_buf(secret, sizeof(secret));
	jv_keypair_from_secret(e, secret);
	sodium_memzero(secret, sizeof(secret));
}

static int build_init(struct jv_client *c, const struct jv_path *path, const struct jv_send *send,
		      uint8_t *out)
{
	struct jv_init_request request = {
		.aead_mask = jv_epoch_aeads(c->clients->env),
		.path_id = path->id,
		.mtu = path->mtu > UINT16_MAX ? UINT16_MAX : path->mtu,
	};
	struct jv_keypair e;
	int r;

	fresh_keypair(&e);
	/* One receiver id per session, whichever of the datagrams is answered. */
	memcpy(request.cid, c->cid, sizeof(request.cid));
	r = jv_init_build(&c->sent[send->slot].init, out, c->clients->link->key,
			  c->peer->public_key, c->peer->psk, 0, send->req_id, send->cookie, &e,
			  &request);
	sodium_memzero(&e, sizeof(e));
	return r ? r : (int)sizeof(struct jvpn_init);
}

static struct jv_version expected(const struct jv_client *c)
{
	return c->expects ? c->expect : c->session->version;
}

/* The key of the answer is kept with the question: a rekey in between does no harm. */
static int build_switch(struct jv_client *c, const struct jv_path *path,
			const struct jv_send *send, uint8_t *out)
{
	const struct jv_epoch *epoch = jv_epoch_usable(c->session);
	struct jv_switch_request request = {
		.expect = expected(c), .reason = send->reason, .path_id = path->id,
	};
	uint8_t filler[72];

	if (send->cold) {
		randombytes_buf(filler, sizeof(filler));
		jv_switch_build_cold(out, c->tag1_key, 0, epoch->tx_cid, send->req_id, filler);
	} else {
		jv_switch_seal(out, c->tag1_key, epoch->sw_c, 0, epoch->tx_cid, send->req_id,
			       send->cookie, send->rseq, &request);
		memcpy(c->sent[send->slot].sw_g, epoch->sw_g, sizeof(epoch->sw_g));
	}
	return sizeof(struct jvpn_switch);
}

static int build_reattach(struct jv_client *c, const struct jv_path *path,
			  const struct jv_send *send, uint8_t *out)
{
	struct jv_sent *sent = &c->sent[send->slot];
	struct jv_reattach_request request = {
		.rseq = send->rseq,
		.expect = expected(c),
		.op = send->form == JV_FORM_REKEY ? JV_REATTACH_REKEY : JV_REATTACH_BIND,
		.reason = send->reason,
		.path_id = path->id,
		.aead_mask = jv_epoch_aeads(c->clients->env),
	};
	struct jv_keypair e;
	uint8_t filler[104];
	int r;

	if (send->cold) {
		randombytes_buf(filler, sizeof(filler));
		jv_reattach_build_cold(out, c->peer->public_key, 0, c->locator, send->req_id,
				       filler);
		return sizeof(struct jvpn_reattach);
	}
	randombytes_buf(sent->cid, sizeof(sent->cid));
	memcpy(request.cid, sent->cid, sizeof(request.cid));
	fresh_keypair(&e);
	r = jv_reattach_build(&sent->reattach, out, c->peer->public_key, 0, c->session->sid,
			      c->session->rs, c->locator, send->req_id, send->cookie, &e,
			      &request);
	sodium_memzero(&e, sizeof(e));
	return r ? r : (int)sizeof(struct jvpn_reattach);
}

static int build(struct jv_client *c, const struct jv_path *path, const struct jv_send *send,
		 uint8_t *out)
{
	switch (send->form) {
	case JV_FORM_INIT:
		return build_init(c, path, send, out);
	case JV_FORM_SWITCH:
		return build_switch(c, path, send, out);
	default:
		return build_reattach(c, path, send, out);
	}
}

/* An rseq is spent whether or not the datagram gets away. */
static void transmit(struct jv_client *c, const struct jv_send *send)
{
	struct jv_path *path = &c->clients->paths.path[send->path_id];
	uint8_t out[JV_DATAGRAM_MAX];
	int len, r;

	sodium_memzero(&c->sent[send->slot], sizeof(c->sent[send->slot]));
	c->sent[send->slot].generation = path->generation;
	if (!path->usable)
		return;
	len = build(c, path, send, out);
	if (len < 0)
		return;
	r = jv_udp_send(&path->udp, out, len, jv_client_gateway(c), NULL);
	if (r)
		jv_debug("%s: sending on %s: %s", c->clients->link->name, path->dev, strerror(-r));
}

static bool send_one(struct jv_client *c, uint64_t now_ms)
{
	uint8_t random[JV_REQ_ID_LEN];
	struct jv_send send;

	if (!jv_epoch_usable(c->session))
		jv_request_reattach(&c->request);
	randombytes_buf(random, sizeof(random));
	if (!jv_request_poll(&c->request, now_ms, random, &send))
		return false;
	transmit(c, &send);
	return true;
}

void jv_attempt_init(struct jv_client *c, struct jv_path *path, uint64_t now_ms)
{
	jv_request_start(&c->request, JV_FORM_INIT, path->id, JV_DETAIL_START, NULL, 0, false,
			 now_ms);
	send_one(c, now_ms);
}

void jv_attempt_begin(struct jv_client *c, enum jv_form form, uint8_t path_id,
		      enum jv_detail reason, bool slow, uint64_t now_ms)
{
	jv_request_start(&c->request, form, path_id, reason,
			 slow ? NULL : jv_liveness(policy(c)),
			 c->standby[path_id].srtt_us / 1000, true, now_ms);
}

static void first(struct jv_client *c, enum jv_form form, struct jv_path *path,
		  enum jv_detail reason, bool slow, uint64_t now_ms)
{
	c->expects = false;
	c->preferred = false;
	jv_attempt_begin(c, form, path->id, reason, slow, now_ms);
	if (send_one(c, now_ms))
		jv_session_attempt(c->session);
}

void jv_attempt_switch(struct jv_client *c, struct jv_path *path, enum jv_detail reason,
		       bool slow, uint64_t now_ms)
{
	first(c, JV_FORM_SWITCH, path, reason, slow, now_ms);
}

void jv_attempt_reattach(struct jv_client *c, struct jv_path *path, enum jv_detail reason,
			 uint64_t now_ms)
{
	first(c, JV_FORM_REATTACH, path, reason, false, now_ms);
}

void jv_attempt_rekey(struct jv_client *c, enum jv_detail reason, uint64_t now_ms)
{
	first(c, JV_FORM_REKEY, c->bound, reason, false, now_ms);
}

void jv_attempt_prefer(struct jv_client *c, struct jv_path *path, uint64_t now_ms)
{
	if (!c->request.form || c->request.settled || c->request.path_id == path->id)
		return;
	jv_request_move(&c->request, path->id);
	jv_request_defer(&c->request, now_ms);
	c->preferred = true;
}

void jv_attempt_stay(struct jv_client *c, uint64_t now_ms)
{
	if (!c->request.form || !c->bound)
		return;
	if (c->request.form == JV_FORM_REKEY) {
		jv_request_stop(&c->request);	/* it never was to leave */
		return;
	}
	jv_attempt_begin(c, JV_FORM_SWITCH, c->bound->id, c->request.reason, false, now_ms);
}

/* --- what the timer may still send --- */

/* Bounded recovery: window and attempts. False: they are over, and the session has moved on. */
static bool recovery_allows(struct jv_client *c, uint64_t now_ms)
{
	if (!jv_fsm_may_attempt(&c->session->fsm, policy(c), now_ms))
		return true;
	jv_session_event(c->session, JV_EVENT_RECOVERY_EXHAUSTED,
			 JV_DETAIL_RECOVERY_BOUNDS_EXCEEDED, now_ms);
	return false;
}

/*
 * While something is bound a switch is given up after a while. Its last word, on the
 * path where we stay, is not: only its answer tells what the gateway holds, and if
 * there is none the path is found dead.
 */
static void give_up(struct jv_client *c, uint64_t now_ms)
{
	if (c->request.form == JV_FORM_REKEY && c->request.tries >= REKEY_TRIES) {
		jv_request_stop(&c->request);
		jv_wish_over(c, -ETIMEDOUT, JV_REASON_REATTACH_REJECT,
				     "the gateway does not answer; the keys stay as they are");
		return;
	}
	if (!c->bound || c->request.path_id == c->bound->id ||
	    c->request.tries < JV_WISH_TRIES)
		return;
	jv_wish_over(c, -ETIMEDOUT, JV_REASON_NO_CANDIDATE,
			     "no answer on that transport; the session stays where it is");
	jv_attempt_stay(c, now_ms);
}

static bool may_send(struct jv_client *c, uint64_t now_ms)
{
	switch (state(c)) {
	case JV_STATE_BIRTH:
		if (!jv_request_failed(&c->request, now_ms))
			return true;
		jv_client_fail(c, JV_DETAIL_HANDSHAKE_TIMEOUT, 0, now_ms);
		return false;
	case JV_STATE_RECOVERING:
		return recovery_allows(c, now_ms);
	case JV_STATE_TERMINATED:
		return false;
	default:
		give_up(c, now_ms);
		return c->request.form;
	}
}

/* No answer: the next datagram goes another way, unless one was wanted or settled on. */
static void alternate(struct jv_client *c)
{
	bool preferred = c->preferred;
	struct jv_path *next;

	c->preferred = false;
	if (preferred || !c->request.tries || c->request.repeat || c->request.settled)
		return;
	if (state(c) != JV_STATE_BIRTH && state(c) != JV_STATE_RECOVERING)
		return;
	next = jv_standby_next(c, c->request.path_id);
	if (next)
		jv_request_move(&c->request, next->id);
}

void jv_attempt_run(struct jv_client *c, uint64_t now_ms)
{
	while (c->session && jv_request_deadline(&c->request) <= now_ms) {
		if (!may_send(c, now_ms))
			return;
		alternate(c);
		if (!send_one(c, now_ms))
			return;
		jv_session_attempt(c->session);
	}
}
