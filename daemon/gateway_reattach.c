// SPDX-License-Identifier: GPL-2.0
/*
 * REATTACH at the gateway (PROTOCOL.md 3.6 to 3.8, 7.2): a new epoch, and with op=BIND
 * the binding. The order of the checks is the point: what costs little and shows
 * nothing comes first, and nothing changes before the proof.
 */
#include <sodium.h>

#include "gateway.h"
#include "locator.h"
#include "log.h"
#include "reattach.h"

enum {
	REJECTS_RATE = 1,		/* per second and session: each costs a Diffie-Hellman */
	DENY_RATE = 500, DENY_BURST = 500,	/* likewise, of all */
};

/*
 * The one visible difference between a session that is unknown and a proof that is
 * wrong, for the sender of an authentic locator and, as the kernel has checked, a valid
 * cookie. All sessions of a single node are loaded from its start.
 */
static void deny(struct jv_gateway *g, const struct jv_datagram *dgram,
		 enum jv_deny_reason reason, uint64_t now_ms)
{
	uint8_t out[sizeof(struct jvpn_deny)];

	if (!jv_bucket_take(&g->denies, DENY_RATE, DENY_BURST, now_ms, NULL))
		return;
	if (!jv_deny_build(out, g->link->key, dgram->data, reason))
		jv_gateway_reply(g, dgram, out, sizeof(out));
}

/* Whose is it, and may it still be reattached at all? */
static enum jv_reason find(struct jv_gateway *g, const struct jv_datagram *dgram,
			   struct jv_session **found, uint64_t now_ms)
{
	const struct jvpn_reattach *msg = (const void *)dgram->data;
	uint8_t sid[JVPN_SID_LEN];
	struct jv_session *s;
	uint16_t shard;

	if (msg->kid != JV_KID ||
	    jv_locator_open(msg->locator, g->locator_key, msg->kid, &shard, sid))
		return JV_REASON_AUTH_FAIL;
	if (shard != JV_SHARD)
		return JV_REASON_NOT_AUTHORITATIVE_OWNER;
	s = jv_sessions_by_sid(g->sessions, sid);
	if (!s || s->link != g->link) {
		deny(g, dgram, JV_DENY_UNKNOWN_SESSION, now_ms);
		return JV_REASON_SESSION_NOT_FOUND;
	}
	*found = s;
	if (jv_session_ended(s) || !jv_session_expire(s, now_ms)) {
		deny(g, dgram, JV_DENY_TERMINATED, now_ms);
		return JV_REASON_SESSION_EXPIRED;
	}
	return jv_fsm_admit_state(&s->fsm, jv_session_policy(s), now_ms);
}

/* Possession and freshness. From here on the number is spent, whatever the verdict. */
static enum jv_reason prove(struct jv_session *s, struct jv_reattach_received *rx,
			    const struct jv_datagram *dgram)
{
	enum jv_reason reason = jv_reattach_open(rx, s->sid, s->rs, dgram->data, dgram->len);
	uint64_t rseq = rx->request.rseq;

	if (reason)
		return reason;
	if (rseq <= s->last_rseq)
		return rseq == s->last_rseq ? JV_REASON_REPLAY_DETECTED : JV_REASON_NONCE_STALE;
	s->last_rseq = rseq;
	return JV_REASON_NONE;
}

/*
 * A rekey belongs to the bound path, and there is a pause between two. One that does
 * not fit is not answered; one of another term gets its answer from the version.
 */
static enum jv_reason rekey_fits(const struct jv_gateway *g, const struct jv_session *s,
				 const struct jv_reattach_request *request,
				 const union jv_addr *from, uint64_t now_ms)
{
	if (request->op != JV_REATTACH_REKEY || request->expect.term != g->env->term)
		return JV_REASON_NONE;
	if (!s->fsm.bound || s->fsm.frozen || s->version.term != g->env->term)
		return JV_REASON_INVALID_STATE_FOR_REATTACH;
	if (!jv_addr_equal(from, &s->remote))
		return JV_REASON_INVALID_TRANSPORT_CANDIDATE;
	if (s->rekeyed_ms && now_ms - s->rekeyed_ms < JV_REKEY_PAUSE_MS)
		return JV_REASON_RATE_LIMITED;
	return JV_REASON_NONE;
}

static void fresh_keypair(struct jv_keypair *e)
{
	uint8_t secret[32];

	randombytes_buf(secret, sizeof(secret));
	jv_keypair_from_secret(e, secret);
	sodium_memzero(secret, sizeof(secret));
}

/* What a proven request is about. */
struct request {
	struct jv_session *s;
	struct jv_reattach_received *rx;
	struct jv_claim claim;
	const struct jv_datagram *dgram;
	uint64_t now_ms;
};

static int build(const struct request *q, const struct jv_reattach_answer *answer,
		 uint8_t out[sizeof(struct jvpn_reattach_resp)], struct jv_epoch_keys *keys)
{
	struct jv_keypair e;
	int r;

	fresh_keypair(&e);
	r = jv_reattach_resp_build(q->rx, &e, answer, out, keys);
	sodium_memzero(&e, sizeof(e));
	return r;
}

/* The epoch, and with op=BIND the binding: all or nothing. */
static enum jv_reason install(const struct jv_gateway *g, const struct request *q,
			      const struct jv_reattach_answer *answer,
			      const struct jv_epoch_keys *keys, bool moves)
{
	struct jv_session *s = q->s;
	struct jv_kernel_epoch epoch;
	enum jv_reason reason = JV_REASON_NONE;
	struct jv_error err = { 0 };
	struct jv_epoch *e;

	jv_gateway_epoch(s, s->sid, answer->aead, keys, answer->version, &epoch);
	memcpy(epoch.rx_cid, answer->cid, sizeof(epoch.rx_cid));
	memcpy(epoch.tx_cid, q->rx->request.cid, sizeof(epoch.tx_cid));
	if (jv_epoch_add(s, &epoch, keys, &err)) {
		jv_warn("%s: new keys for %s: %s", g->link->name, s->peer->name, err.text);
		return JV_REASON_STORE_UNAVAILABLE;
	}
	if (!q->claim.rekey)
		reason = jv_gateway_commit(g, s, &q->claim, q->dgram, moves, epoch.rx_cid,
					   q->now_ms);
	e = jv_epoch_find(s, epoch.rx_cid);
	if (reason && e)
		jv_epoch_del(e);
	return reason;
}

/*
 * The answer is in the transcript, so it is sealed first; if the kernel then holds
 * another version it is destroyed unsent, and the refusal has an ephemeral key of its own.
 */
static enum jv_reason grant(const struct jv_gateway *g, const struct request *q, bool moves,
			    uint8_t out[sizeof(struct jvpn_reattach_resp)])
{
	int aead = jv_epoch_choose(g->env, jv_session_policy(q->s), q->rx->request.aead_mask);
	struct jv_version now = jv_gateway_version(g, q->s);
	struct jv_reattach_received spare = *q->rx;
	struct jv_reattach_answer answer = {
		.status = JV_STATUS_OK,
		.version = { now.term, now.bver + !q->claim.rekey },
	};
	struct jv_epoch_keys keys;
	enum jv_reason reason;

	if (aead < 0)
		return JV_REASON_POLICY_DENY;
	answer.aead = aead;
	jv_gateway_cid(g, answer.cid);
	jv_gateway_locator(g, q->s->sid, answer.locator);
	reason = build(q, &answer, out, &keys) ? JV_REASON_AUTH_FAIL
					       : install(g, q, &answer, &keys, moves);
	if (reason)
		*q->rx = spare;
	sodium_memzero(&keys, sizeof(keys));
	jv_reattach_received_wipe(&spare);
	return reason;
}

/* A kernel that lacks the cipher says so the first time; then there is another. */
static enum jv_reason grant_any(const struct jv_gateway *g, const struct request *q, bool moves,
				uint8_t out[sizeof(struct jvpn_reattach_resp)])
{
	uint8_t lacked = g->env->no_aead;
	enum jv_reason reason = grant(g, q, moves, out);

	return reason && g->env->no_aead != lacked ? grant(g, q, moves, out) : reason;
}

static bool reject(const struct jv_gateway *g, const struct request *q, const struct jv_verdict *v,
		   uint8_t out[sizeof(struct jvpn_reattach_resp)])
{
	struct jv_reattach_answer answer = {
		.status = v->status,
		.retry_after_ms = v->retry_after_ms,
		.version = jv_gateway_version(g, q->s),
	};
	struct jv_epoch_keys none;

	return jv_bucket_take(&q->s->rejects, REJECTS_RATE, REJECTS_RATE, q->now_ms, NULL) &&
	       !build(q, &answer, out, &none);
}

static void rotated(const struct request *q)
{
	struct jv_audit_record record;

	jv_session_record(q->s, &record, JV_AUDIT_KEY_ROTATED);
	record.detail = q->claim.reason;
	jv_audit_push(q->s->all->env->audit, &record);
}

static void decide(struct jv_gateway *g, const struct request *q)
{
	uint8_t out[sizeof(struct jvpn_reattach_resp)];
	struct jv_verdict v;
	bool answers = true;

	jv_gateway_permit(g, q->s, &q->claim, q->dgram, q->now_ms, &v);
	if (!v.reason)
		jv_gateway_refused(&v, grant_any(g, q, v.moves, out));
	jv_gateway_tell(g, q->s, &q->claim, &v, q->dgram);
	if (v.reason)
		answers = reject(g, q, &v, out);
	else if (q->claim.rekey)
		rotated(q);
	if (answers)
		jv_gateway_reply(g, q->dgram, out, sizeof(out));
}

void jv_gateway_reattach(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms)
{
	struct jv_reattach_received rx = { 0 };
	struct jv_session *s = NULL;
	enum jv_reason unproven = JV_REASON_NONE;

	if (jv_limiter_request(g->env->limiter, &dgram->from, now_ms) != JV_LIMIT_OK)
		unproven = JV_REASON_RATE_LIMITED;
	if (!unproven)
		unproven = find(g, dgram, &s, now_ms);
	if (!unproven)
		unproven = prove(s, &rx, dgram);
	if (!unproven)
		unproven = rekey_fits(g, s, &rx.request, &dgram->from, now_ms);
	if (unproven) {
		jv_gateway_refuse(g, unproven, s, dgram);
	} else {
		bool rekey = rx.request.op == JV_REATTACH_REKEY;
		struct request q = {
			.s = s, .rx = &rx, .dgram = dgram, .now_ms = now_ms,
			.claim = {
				.expect = rx.request.expect, .reason = rx.request.reason,
				.rebind = !rekey, .rekey = rekey,
			},
		};

		decide(g, &q);
	}
	jv_reattach_received_wipe(&rx);
}
