// SPDX-License-Identifier: GPL-2.0
/* SWITCH at the gateway (PROTOCOL.md 6.5, 7.1); S5 to S9 are the steps of its validation. */
#include "gateway.h"
#include "switch.h"

/* S5 and S6: everything up to the proof. A request that fails here gets no answer. */
static enum jv_reason prove(const struct jv_gateway *g, const struct jv_epoch *e,
			    const struct jv_datagram *dgram, struct jv_switch_request *request,
			    uint64_t now_ms)
{
	uint64_t rseq = jv_switch_rseq(dgram->data);
	struct jv_session *s = e ? e->session : NULL;
	enum jv_reason reason;

	if (!s || s->link != g->link)
		return JV_REASON_SESSION_NOT_FOUND;
	if (!jv_session_expire(s, now_ms))
		return JV_REASON_SESSION_EXPIRED;
	reason = jv_fsm_admit_state(&s->fsm, jv_session_policy(s), now_ms);
	if (reason)
		return reason;
	if (rseq <= s->last_rseq)
		return rseq == s->last_rseq ? JV_REASON_REPLAY_DETECTED : JV_REASON_NONCE_STALE;
	reason = jv_switch_open(e->sw_c, dgram->data, dgram->len, request);
	if (reason)
		return reason;
	/* A SWITCH never changes the term. */
	if (request->expect.term != e->version.term || e->version.term != g->env->term)
		return JV_REASON_AUTH_FAIL;
	s->last_rseq = rseq;
	return JV_REASON_NONE;
}

/* S7 and S8. Without keys to send with there would be a binding and no traffic. */
static void decide(const struct jv_gateway *g, struct jv_session *s, const struct jv_claim *claim,
		   const struct jv_datagram *dgram, uint64_t now_ms, struct jv_verdict *v)
{
	const struct jv_epoch *sending = jv_epoch_sending(s);

	jv_gateway_permit(g, s, claim, dgram, now_ms, v);
	if (!v->reason && (!sending || sending->spent))
		jv_gateway_refused(v, JV_REASON_KEY_EXPIRED);
	if (!v->reason)
		jv_gateway_refused(v, jv_gateway_commit(g, s, claim, dgram, v->moves, NULL,
							now_ms));
}

/* S9. Without its keys, which end with the session, there is nothing to answer with. */
static void answer(struct jv_gateway *g, const struct jv_epoch *e, const struct jv_verdict *v,
		   const struct jv_datagram *dgram)
{
	const struct jvpn_switch *msg = (const void *)dgram->data;
	struct jv_switch_answer fields = {
		.status = v->status, .retry_after_ms = v->retry_after_ms,
	};
	uint8_t out[sizeof(struct jvpn_switch_resp)];

	if (!e->session)
		return;
	fields.version = e->session->version;
	jv_switch_resp_seal(out, e->sw_g, msg->req_id, e->session->last_rseq, &fields);
	jv_gateway_reply(g, dgram, out, sizeof(out));
}

void jv_gateway_switch(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_switch *msg = (const void *)dgram->data;
	struct jv_epoch *e = jv_sessions_by_cid(g->sessions, msg->cid);
	struct jv_session *s = e ? e->session : NULL;
	struct jv_switch_request request;
	struct jv_claim claim = { 0 };
	struct jv_verdict v;
	enum jv_reason unproven;

	if (jv_limiter_request(g->env->limiter, &dgram->from, now_ms) != JV_LIMIT_OK) {
		jv_gateway_refuse(g, JV_REASON_RATE_LIMITED, NULL, dgram);
		return;
	}
	unproven = prove(g, e, dgram, &request, now_ms);
	if (unproven) {
		jv_gateway_refuse(g, unproven, s, dgram);
		return;
	}
	claim.expect = request.expect;
	claim.reason = request.reason;
	decide(g, s, &claim, dgram, now_ms, &v);
	jv_gateway_tell(g, s, &claim, &v, dgram);
	answer(g, e, &v, dgram);
}
