// SPDX-License-Identifier: GPL-2.0
/*
 * What SWITCH and REATTACH have in common once they are proven: what they may be
 * refused for, in the one order there is, the commit, and what is told of it
 * (PROTOCOL.md 6.3, 7).
 */
#include <stdio.h>

#include "gateway.h"
#include "refusals.h"

enum { UNAVAILABLE_MS = 1000 };

static enum jv_status status_of(enum jv_reason reason)
{
	switch (reason) {
	case JV_REASON_NONE:
		return JV_STATUS_OK;
	case JV_REASON_STALE_STATE_VERSION:
	case JV_REASON_VERSION_FUTURE_REJECTED:
	case JV_REASON_CAS_CONFLICT:
		return JV_STATUS_VERSION_MISMATCH;
	case JV_REASON_NOT_AUTHORITATIVE_OWNER:
		return JV_STATUS_STALE_OWNER;
	case JV_REASON_STORE_UNAVAILABLE:
	case JV_REASON_KEY_EXPIRED:
		return JV_STATUS_UNAVAILABLE;
	case JV_REASON_SESSION_EXPIRED:
	case JV_REASON_TTL_SESSION_EXPIRED:
	case JV_REASON_TTL_TRANSPORT_LOSS_EXPIRED:
		return JV_STATUS_TERMINATED;
	case JV_REASON_RATE_LIMITED:
	case JV_REASON_POLICY_FLAP_LIMIT:
	case JV_REASON_POLICY_COOLDOWN_ACTIVE:
	case JV_REASON_RECOVERY_BOUNDS_EXCEEDED:
		return JV_STATUS_RATE_LIMITED;
	default:
		return JV_STATUS_POLICY;
	}
}

/* A binding that was made in an earlier term counts as none in ours. */
struct jv_version jv_gateway_version(const struct jv_gateway *g, const struct jv_session *s)
{
	return s->version.term == g->env->term ? s->version
					       : (struct jv_version){ g->env->term, 0 };
}

static uint64_t seen(const struct jv_gateway *g, const struct jv_session *s)
{
	return s->version.term == g->env->term ? s->bver_c : 0;
}

static enum jv_reason check_version(const struct jv_gateway *g, const struct jv_session *s,
				    const struct jv_claim *claim)
{
	struct jv_version now = jv_gateway_version(g, s);

	switch (jv_version_check(claim->expect, now, seen(g, s), claim->rebind)) {
	case JV_STATUS_OK:
		return JV_REASON_NONE;
	case JV_STATUS_STALE_OWNER:
		return JV_REASON_NOT_AUTHORITATIVE_OWNER;
	default:
		return jv_version_cmp(claim->expect, now) > 0 ? JV_REASON_VERSION_FUTURE_REJECTED
							      : JV_REASON_STALE_STATE_VERSION;
	}
}

static enum jv_reason permit(const struct jv_gateway *g, struct jv_session *s,
			     const struct jv_claim *claim, const union jv_addr *from,
			     uint64_t now_ms, struct jv_verdict *v)
{
	const struct jv_policy *policy = jv_session_policy(s);
	bool token = jv_bucket_take(&s->rate, policy->reattach_rate, policy->reattach_burst,
				    now_ms, &v->retry_after_ms);
	enum jv_reason reason = check_version(g, s, claim);

	if (reason)
		return reason;
	if (!token)
		return JV_REASON_RATE_LIMITED;
	v->moves = !claim->rekey && !jv_addr_equal(from, &s->remote);
	return jv_fsm_admit_policy(&s->fsm, policy, jv_switch_kind(claim->reason), v->moves,
				   now_ms, &v->retry_after_ms);
}

void jv_gateway_permit(const struct jv_gateway *g, struct jv_session *s,
		       const struct jv_claim *claim, const struct jv_datagram *dgram,
		       uint64_t now_ms, struct jv_verdict *v)
{
	*v = (struct jv_verdict){ 0 };
	jv_gateway_refused(v, permit(g, s, claim, &dgram->from, now_ms, v));
}

void jv_gateway_refused(struct jv_verdict *v, enum jv_reason reason)
{
	v->reason = reason;
	v->status = status_of(reason);
	if (v->status == JV_STATUS_UNAVAILABLE)
		v->retry_after_ms = UNAVAILABLE_MS;
	else if (v->status != JV_STATUS_RATE_LIMITED)
		v->retry_after_ms = 0;
}

enum jv_reason jv_gateway_commit(const struct jv_gateway *g, struct jv_session *s,
				 const struct jv_claim *claim, const struct jv_datagram *dgram,
				 bool moves, const uint8_t *cid, uint64_t now_ms)
{
	struct jv_version now = jv_gateway_version(g, s);
	struct jv_event event = {
		.kind = JV_EVENT_REATTACH_OK, .detail = claim->reason, .moves = moves,
	};
	struct jv_move move = {
		.version = { now.term, now.bver + 1 },
		.has_exp_bver = true,
		.exp_bver = claim->expect.term == now.term ? claim->expect.bver : 0,
		.cid = cid,
		.path = JV_GATEWAY_PATH,
		.remote = dgram->from,
	};
	enum jv_reason reason = jv_session_step(s, &event, &move, now_ms);

	if (!reason) {
		s->bver_c = move.exp_bver;
		s->local = dgram->to;
	}
	return reason;
}

void jv_gateway_tell(struct jv_gateway *g, const struct jv_session *s, const struct jv_claim *claim,
		     const struct jv_verdict *v, const struct jv_datagram *dgram)
{
	struct jv_audit_record record;

	jv_session_record(s, &record, JV_AUDIT_REATTACH_RESULT);
	record.reason = v->reason ? v->reason : JV_REASON_REATTACH_SUCCESS;
	record.detail = claim->reason;
	record.status = v->status + 1;
	record.new_remote = dgram->from;
	if (!v->reason) {
		jv_audit_push(g->env->audit, &record);
		return;
	}
	g->env->refusals[v->reason]++;
	jv_refusals_note(g->env->refused, s->peer ? s->peer->name : NULL, &dgram->from, v->reason,
			 claim->reason, jv_now_ms());
	jv_audit_push_sampled(g->env->audit, &record);
	if (v->status == JV_STATUS_RATE_LIMITED) {
		record.event = JV_AUDIT_TRANSPORT_SWITCH_DENIED;
		jv_audit_push_sampled(g->env->audit, &record);
	}
}
