// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "client.h"
#include "log.h"
#include "switch.h"

static const struct jv_policy *policy(const struct jv_client *c)
{
	return &c->peer->policy->policy;
}

static enum jv_state state(const struct jv_client *c)
{
	return c->session->fsm.state;
}

/* --- sending --- */

static void forget_init(struct jv_client *c)
{
	for (unsigned int i = 0; i < JV_OUTSTANDING_MAX; i++)
		jv_init_sent_wipe(&c->init[i]);
}

void jv_attempt_reset(struct jv_client *c)
{
	jv_request_init(&c->request);
	forget_init(c);
	c->expects = false;
	c->retry_ms = JV_NEVER;
	c->retry_wait_ms = JV_RETRY_MS;
}

static int build_init(struct jv_client *c, const struct jv_path *path, const struct jv_send *send,
		      uint8_t *out)
{
	struct jv_init_request request = {
		.aead_mask = JVPN_AEAD_BIT(JVPN_AEAD_CHACHA20_POLY1305),
		.path_id = path->id,
		.mtu = path->mtu > UINT16_MAX ? UINT16_MAX : path->mtu,
	};
	struct jv_keypair e;
	uint8_t secret[32];
	int r;

	randombytes_buf(secret, sizeof(secret));
	jv_keypair_from_secret(&e, secret);
	/* One receiver id per session, whichever of the datagrams is answered. */
	memcpy(request.cid, c->session->epoch.rx_cid, sizeof(request.cid));
	r = jv_init_build(&c->init[send->slot], out, c->clients->link->key, c->peer->public_key,
			  c->peer->psk, 0, send->req_id, send->cookie, &e, &request);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(&e, sizeof(e));
	return r ? r : (int)sizeof(struct jvpn_init);
}

static int build_switch(struct jv_client *c, const struct jv_path *path,
			const struct jv_send *send, uint8_t *out)
{
	const struct jv_epoch *epoch = &c->session->epoch;
	struct jv_switch_request request = {
		.expect = c->expects ? c->expect : c->session->version,
		.reason = send->reason,
		.path_id = path->id,
	};
	uint8_t filler[72];

	if (send->cold) {
		randombytes_buf(filler, sizeof(filler));
		jv_switch_build_cold(out, c->tag1_key, 0, epoch->tx_cid, send->req_id, filler);
	} else {
		jv_switch_seal(out, c->tag1_key, epoch->sw_c, 0, epoch->tx_cid, send->req_id,
			       send->cookie, send->rseq, &request);
	}
	return sizeof(struct jvpn_switch);
}

/* An rseq is spent whether or not the datagram gets away. */
static void transmit(struct jv_client *c, const struct jv_send *send)
{
	struct jv_path *path = &c->clients->paths.path[send->path_id];
	uint8_t out[JV_DATAGRAM_MAX];
	int len, r;

	c->sent_generation[send->slot] = path->generation;
	if (!path->usable)
		return;
	len = send->form == JV_FORM_INIT ? build_init(c, path, send, out)
					 : build_switch(c, path, send, out);
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

static void begin_switch(struct jv_client *c, uint8_t path_id, enum jv_detail reason, bool slow,
			 uint64_t now_ms)
{
	jv_request_start(&c->request, JV_FORM_SWITCH, path_id, reason,
			 slow ? NULL : jv_liveness(policy(c)),
			 c->standby[path_id].srtt_us / 1000, false, now_ms);
}

void jv_attempt_switch(struct jv_client *c, struct jv_path *path, enum jv_detail reason,
		       bool slow, uint64_t now_ms)
{
	c->expects = false;
	c->preferred = false;
	begin_switch(c, path->id, reason, slow, now_ms);
	if (send_one(c, now_ms))
		jv_session_attempt(c->session);
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
	begin_switch(c, c->bound->id, c->request.reason, false, now_ms);
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
	if (!c->bound || c->request.path_id == c->bound->id ||
	    c->request.tries < JV_WISH_TRIES)
		return;
	jv_attempt_wish_over(c, -ETIMEDOUT, JV_REASON_NO_CANDIDATE,
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
		return true;
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

/* --- answers --- */

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
	return a->version.term && a->version.bver == 1 &&
	       a->aead == JVPN_AEAD_CHACHA20_POLY1305 && !a->opt.unknown_critical &&
	       (!a->mtu || a->mtu >= 576);
}

static void init_answered(struct jv_client *c, struct jv_path *path,
			  const struct jv_init_answer *answer, struct jv_birth *birth,
			  uint64_t now_ms)
{
	forget_init(c);
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
	reason = jv_init_resp_open(&c->init[slot], dgram->data, dgram->len, &answer, &birth);
	if (reason) {
		refuse(c, reason, dgram);
		return true;
	}
	jv_request_answered(&c->request, slot, answer.status, now_ms);
	init_answered(c, path, &answer, &birth, now_ms);
	jv_birth_wipe(&birth);
	return true;
}

/* Another attempt after a refusal, not before @at_ms. */
static void again(struct jv_client *c, uint8_t path_id, uint64_t at_ms, uint64_t now_ms)
{
	bool slow = c->request.rto_cap_ms > jv_liveness(policy(c))->request_cap;

	begin_switch(c, path_id, c->request.reason, slow, now_ms);
	jv_request_defer(&c->request, at_ms);
}

/*
 * Refused while something is bound. A gateway that names a newer version has followed
 * a request that we gave up and sends elsewhere: the last word is still to be said
 * (PROTOCOL.md 6.4).
 */
static void stay_after(struct jv_client *c, bool ended, struct jv_version gateway,
		       uint64_t at_ms, uint64_t now_ms)
{
	if (!ended)
		jv_attempt_stay(c, now_ms);
	else if (c->bound && jv_version_cmp(gateway, c->session->version) > 0)
		again(c, c->bound->id, at_ms, now_ms);
}

static void put_off(struct jv_client *c, const struct jv_outstanding *was, bool ended,
		    const struct jv_switch_answer *answer, uint64_t now_ms)
{
	char text[96];

	if (state(c) == JV_STATE_RECOVERING && ended) {
		again(c, was->path_id, now_ms + answer->retry_after_ms, now_ms);
		return;
	}
	if (state(c) == JV_STATE_RECOVERING)
		return;
	snprintf(text, sizeof(text), "the gateway refuses the switch: %s, try again in %u ms",
		 jv_status_name(answer->status), answer->retry_after_ms);
	jv_attempt_wish_over(c, -EPERM, JV_REASON_RATE_LIMITED, text);
	stay_after(c, ended, answer->version, now_ms + answer->retry_after_ms, now_ms);
}

static void mismatch(struct jv_client *c, const struct jv_outstanding *was, bool ended,
		     const struct jv_switch_answer *answer, uint64_t now_ms)
{
	const struct jv_session *s = c->session;

	if (!ended)
		return;
	if (!c->expects && answer->version.term == s->version.term &&
	    jv_version_cmp(answer->version, s->version) >= 0) {
		again(c, was->path_id, now_ms, now_ms);
		c->expects = true;
		c->expect = answer->version;
		return;
	}
	c->expects = false;
	if (state(c) == JV_STATE_RECOVERING) {
		again(c, was->path_id, now_ms + c->request.rto_ms, now_ms);
		return;
	}
	jv_attempt_wish_over(c, -EPERM, JV_REASON_STALE_STATE_VERSION,
			     "the gateway holds another version of the binding");
	stay_after(c, true, answer->version, now_ms + c->request.rto_ms, now_ms);
}

static void accepted(struct jv_client *c, const struct jv_outstanding *was, uint32_t generation,
		     bool ended, const struct jv_switch_answer *answer, uint64_t now_ms)
{
	struct jv_path *path = &c->clients->paths.path[was->path_id];
	struct jv_event event = {
		.kind = JV_EVENT_REATTACH_OK,
		.detail = c->request.reason,
		.moves = path->generation != c->bound_generation,
	};
	struct jv_move move = {
		.version = answer->version, .path = path->id, .remote = *jv_client_gateway(c),
		.since_us = c->wish.active ? c->wish.since_us : 0,
	};
	enum jv_reason verdict;

	if (!path->usable || path->generation != generation) {
		if (ended && state(c) == JV_STATE_RECOVERING)
			again(c, was->path_id, now_ms, now_ms);
		return;
	}
	move.transport = path->transport->name;
	c->expects = false;
	c->target = path;
	verdict = jv_session_step(c->session, &event, &move, now_ms);
	c->target = NULL;
	if (verdict)
		jv_warn("%s: a switch to %s was granted, but: %s", c->clients->link->name,
			path->dev, jv_reason_text(verdict));
}

static void tell_result(const struct jv_client *c, const struct jv_outstanding *was,
			const struct jv_switch_answer *answer, uint64_t now_ms)
{
	struct jv_audit_record record;
	const struct jv_path *path = &c->clients->paths.path[was->path_id];

	jv_session_record(c->session, &record, JV_AUDIT_REATTACH_RESULT);
	record.status = answer->status + 1;
	record.detail = c->request.reason;
	record.version = answer->version;
	record.rtt_us = (now_ms - was->sent_ms) * 1000;
	if (path->transport)
		snprintf(record.new_transport, sizeof(record.new_transport), "%.31s",
			 path->transport->name);
	jv_audit_push(c->clients->env->audit, &record);
}

static void switch_answered(struct jv_client *c, int slot, const struct jv_switch_answer *answer,
			    uint64_t now_ms)
{
	struct jv_outstanding was = c->request.slot[slot];
	uint32_t generation = c->sent_generation[slot];
	bool ended = jv_request_answered(&c->request, slot, answer->status, now_ms) ==
		     JV_ATTEMPT_ENDED;

	tell_result(c, &was, answer, now_ms);
	switch (answer->status) {
	case JV_STATUS_OK:
		accepted(c, &was, generation, ended, answer, now_ms);
		break;
	case JV_STATUS_VERSION_MISMATCH:
		mismatch(c, &was, ended, answer, now_ms);
		break;
	case JV_STATUS_POLICY:
	case JV_STATUS_TERMINATED:
		jv_session_event(c->session, JV_EVENT_PEER_CLOSE,
				 answer->status == JV_STATUS_POLICY ? JV_DETAIL_POLICY
								    : JV_DETAIL_SESSION_EXPIRED,
				 now_ms);
		break;
	default:
		put_off(c, &was, ended, answer, now_ms);
	}
	jv_attempt_run(c, now_ms);
}

static bool on_switch_resp(struct jv_client *c, const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_switch_resp *msg = (const void *)dgram->data;
	struct jv_switch_answer answer;
	enum jv_reason reason;
	int slot;

	slot = jv_request_find(&c->request, JV_FORM_SWITCH, msg->req_id, now_ms);
	if (slot < 0 || !c->session->epoch.live)
		return false;
	reason = jv_switch_resp_open(c->session->epoch.sw_g, msg->req_id,
				     c->request.slot[slot].rseq, dgram->data, dgram->len, &answer);
	/* Only what is newer than what we hold is an OK; what is not, is no answer at all. */
	if (!reason && answer.status == JV_STATUS_OK &&
	    !jv_request_newer(JV_FORM_SWITCH, answer.version, c->session->version))
		reason = JV_REASON_STALE_STATE_VERSION;
	if (reason)
		refuse(c, reason, dgram);
	else
		switch_answered(c, slot, &answer, now_ms);
	return true;
}

bool jv_attempt_datagram(struct jv_client *c, struct jv_path *path,
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
	}
	if (c->session)
		jv_session_rearm(c->session);
	return ours;
}

/* --- the operator's wish --- */

void jv_attempt_wish_over(struct jv_client *c, int error, enum jv_reason reason, const char *text)
{
	struct jv_wish wish = c->wish;
	struct jv_command_result result = { .reason = reason };
	struct jv_audit_record record;
	struct jv_error err = { 0 };

	if (!wish.active)
		return;
	c->wish = (struct jv_wish){ .until_ms = JV_NEVER };
	if (c->session) {
		result.version = c->session->version;
		result.state_version = c->session->fsm.state_version;
	}
	if (error && c->session) {
		jv_session_record(c->session, &record, error == -EPERM
				  ? JV_AUDIT_TRANSPORT_SWITCH_DENIED
				  : JV_AUDIT_TRANSPORT_SWITCH_FAILED);
		record.reason = reason;
		record.detail = JV_DETAIL_ADMIN;
		jv_audit_push(c->clients->env->audit, &record);
	}
	if (error)
		jv_error_set(&err, -error, "%s", text);
	if (wish.done)
		wish.done(wish.arg, error, &result, &err);
}
