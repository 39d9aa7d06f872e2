// SPDX-License-Identifier: GPL-2.0
/* Birth at the gateway: who may begin a session, and what it is granted (PROTOCOL.md 3.3, 3.4). */
#include <errno.h>
#include <sodium.h>

#include "gateway.h"
#include "handshake.h"
#include "locator.h"
#include "log.h"
#include "refusals.h"

enum {
	KEEPALIVE_S = 25,
	DEAD_IDLE_MS = 80000,
	DEAD_BUSY_MS = 10000,
	TRY_AGAIN_MS = 5000,
};

/* --- who has how many --- */

static unsigned int count(const struct jv_tenant *t, bool half_open)
{
	unsigned int n = 0;

	for (size_t i = 0; i < sizeof(t->session) / sizeof(t->session[0]); i++)
		n += t->session[i] &&
		     (t->session[i]->fsm.state == JV_STATE_BIRTH) == half_open;
	return n;
}

static struct jv_session *oldest_half_open(const struct jv_tenant *t)
{
	struct jv_session *oldest = NULL;

	for (size_t i = 0; i < sizeof(t->session) / sizeof(t->session[0]); i++) {
		struct jv_session *s = t->session[i];

		if (s && s->fsm.state == JV_STATE_BIRTH &&
		    (!oldest || s->fsm.born_ms < oldest->fsm.born_ms))
			oldest = s;
	}
	return oldest;
}

/* Put @now where @was is; NULL is a free place. */
static bool replace(struct jv_tenant *t, const struct jv_session *was, struct jv_session *now)
{
	for (size_t i = 0; i < sizeof(t->session) / sizeof(t->session[0]); i++) {
		if (t->session[i] != was)
			continue;
		t->session[i] = now;
		return true;
	}
	return false;
}

/* Sessions with fixed inner addresses cannot share them, so such a client has one. */
static bool full(const struct jv_peer *peer)
{
	return count(peer->shard, false) >= (peer->prefixes ? 1 : JV_PEER_SESSIONS);
}

static enum jv_status judge_init(const struct jv_gateway *g, const struct jv_peer *peer,
				 const struct jv_init_request *request)
{
	if (request->opt.unknown_critical ||
	    jv_epoch_choose(g->env, &peer->policy->policy, request->aead_mask) < 0)
		return JV_STATUS_POLICY;
	return full(peer) ? JV_STATUS_POLICY : JV_STATUS_OK;
}

/* The first whole host of each family is the client's own address. */
static void grant_addresses(const struct jv_peer *peer, struct jv_options *opt)
{
	for (unsigned int i = 0; i < peer->prefixes; i++) {
		const struct jv_prefix *p = &peer->prefix[i];

		if (p->family == AF_INET && p->len == 32 && !opt->has4) {
			opt->has4 = true;
			opt->plen4 = 32;
			memcpy(opt->inner4, p->addr, sizeof(opt->inner4));
		} else if (p->family == AF_INET6 && p->len == 128 && !opt->has6) {
			opt->has6 = true;
			opt->plen6 = 128;
			memcpy(opt->inner6, p->addr, sizeof(opt->inner6));
		}
	}
}

static void grant(const struct jv_gateway *g, const struct jv_peer *peer,
		  const uint8_t sid[JVPN_SID_LEN], uint8_t aead_mask,
		  struct jv_init_answer *answer)
{
	const struct jv_policy *policy = &peer->policy->policy;

	*answer = (struct jv_init_answer){
		.status = JV_STATUS_OK,
		.aead = jv_epoch_choose(g->env, policy, aead_mask),
		.version = { g->env->term, 1 },
		.rekey_after_s = policy->rekey_after / 1000,
		.session_max_s = policy->session_max_lifetime / 1000,
		.loss_ttl_ms = policy->transport_lost_ttl,
		.keepalive_s = KEEPALIVE_S,
		.probe_ms = jv_liveness(policy)->probe_interval,
		.mtu = g->link->mtu ? g->link->mtu : JV_DEFAULT_MTU,
	};
	jv_gateway_cid(g, answer->cid);
	jv_gateway_locator(g, sid, answer->locator);
	grant_addresses(peer, &answer->opt);
}

static int install(struct jv_session *s, const struct jv_init_answer *answer,
		   const uint8_t *client_cid, const struct jv_birth *birth, struct jv_error *err)
{
	struct jv_kernel_figures figures = { .dead_idle = DEAD_IDLE_MS, .dead_busy = DEAD_BUSY_MS };
	struct jv_kernel_epoch epoch;

	s->rekey_after_s = answer->rekey_after_s;
	jv_gateway_epoch(s, birth->sid, answer->aead, &birth->keys, answer->version, &epoch);
	memcpy(epoch.rx_cid, answer->cid, sizeof(epoch.rx_cid));
	memcpy(epoch.tx_cid, client_cid, sizeof(epoch.tx_cid));
	return jv_session_install(s, birth, &epoch, &figures, false, err);
}

/* One more handshake in progress; of one client the oldest gives way. */
static struct jv_session *half_open(struct jv_gateway *g, struct jv_peer *peer,
				    const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_init *msg = (const void *)dgram->data;
	struct jv_session *s;

	if (count(peer->shard, true) == JV_PEER_HALF_OPEN)
		jv_session_event(oldest_half_open(peer->shard), JV_EVENT_HANDSHAKE_FAIL,
				 JV_DETAIL_RATE_LIMITED, now_ms);
	s = jv_session_new(g->sessions, &jv_gateway_session_ops, g, g->link, peer, JV_GATEWAY,
			   JV_HALF_OPEN_MS, now_ms);
	if (!s)
		return NULL;
	replace(peer->shard, NULL, s);
	s->remote = dgram->from;
	s->local = dgram->to;
	memcpy(s->init_e, msg->e, sizeof(s->init_e));
	jv_table_add(&g->sessions->by_init, &s->by_init, s->init_e);
	return s;
}

/* Keys, a half-open session, the answer. */
static void accept_init(struct jv_gateway *g, struct jv_peer *peer, struct jv_init_received *rx,
			const uint8_t *sid, const struct jv_datagram *dgram, uint64_t now_ms)
{
	uint8_t out[JV_DATAGRAM_MAX], client_cid[8];
	struct jv_birth birth = { 0 };
	struct jv_init_answer answer;
	struct jv_session *s;
	struct jv_error err = { 0 };
	int len;

	memcpy(client_cid, rx->request.cid, sizeof(client_cid));
	grant(g, peer, sid, rx->request.aead_mask, &answer);
	len = jv_init_resp_build(rx, &answer, out, &birth);
	s = len > 0 ? half_open(g, peer, dgram, now_ms) : NULL;
	if (s && install(s, &answer, client_cid, &birth, &err)) {
		jv_warn("%s: session of %s: %s", g->link->name, peer->name, err.text);
		jv_session_event(s, JV_EVENT_HANDSHAKE_FAIL, JV_DETAIL_INTERNAL, now_ms);
		s = NULL;
	}
	jv_birth_wipe(&birth);
	if (!s)
		return;
	jv_session_rearm(s);
	jv_gateway_reply(g, dgram, out, len);
}

static void reject_init(struct jv_gateway *g, enum jv_status status, struct jv_init_received *rx,
			const struct jv_datagram *dgram)
{
	struct jv_init_answer answer = { .status = status, .retry_after_ms = TRY_AGAIN_MS };
	uint8_t out[JV_DATAGRAM_MAX];
	struct jv_birth birth;
	int len = jv_init_resp_build(rx, &answer, out, &birth);

	jv_gateway_refuse(g, JV_REASON_POLICY_DENY, NULL, dgram);
	if (len > 0)
		jv_gateway_reply(g, dgram, out, len);
}

/* The client is proven; nothing was allocated so far. */
static void answer_init(struct jv_gateway *g, struct jv_peer *peer, struct jv_init_received *rx,
			const struct jv_datagram *dgram, uint64_t now_ms)
{
	enum jv_status status = judge_init(g, peer, &rx->request);
	uint8_t secret[32], sid[JVPN_SID_LEN];
	struct jv_keypair e;
	int r;

	randombytes_buf(secret, sizeof(secret));
	jv_keypair_from_secret(&e, secret);
	r = jv_init_accept(rx, peer->psk, &e, sid);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(&e, sizeof(e));
	if (r || status)
		jv_refusals_note(g->env->refused, peer->name, &dgram->from,
				 r ? JV_REASON_AUTH_FAIL : JV_REASON_POLICY_DENY, JV_DETAIL_NONE,
				 now_ms);
	if (r)
		jv_gateway_refuse(g, JV_REASON_AUTH_FAIL, NULL, dgram);
	else if (status)
		reject_init(g, status, rx, dgram);
	else
		accept_init(g, peer, rx, sid, dgram, now_ms);
}

/* What costs little, in front of what costs a Diffie-Hellman. */
static enum jv_reason admit_init(struct jv_gateway *g, const struct jv_datagram *dgram,
				 uint64_t now_ms)
{
	const struct jvpn_init *msg = (const void *)dgram->data;

	if (jv_limiter_init(g->env->limiter, &dgram->from, now_ms) != JV_LIMIT_OK ||
	    g->sessions->state[JV_STATE_BIRTH] >= JV_HALF_OPEN_MAX)
		return JV_REASON_RATE_LIMITED;
	if (msg->kid != JV_KID)
		return JV_REASON_AUTH_FAIL;
	if (jv_sessions_by_init(g->sessions, msg->e))
		return JV_REASON_REPLAY_DETECTED;
	return JV_REASON_NONE;
}

void jv_gateway_init(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms)
{
	enum jv_reason reason = admit_init(g, dgram, now_ms);
	struct jv_init_received rx = { 0 };
	struct jv_peer *peer = NULL;

	if (!reason)
		reason = jv_init_identify(&rx, g->link->key, dgram->data, dgram->len);
	if (!reason)
		peer = jv_node_peer_by_key(g->link, rx.noise.rs);
	if (!reason && (!peer || !peer->shard))
		reason = JV_REASON_AUTH_FAIL;
	if (!reason)
		reason = jv_init_open(&rx, dgram->data, dgram->len);
	if (reason)
		jv_gateway_refuse(g, reason, NULL, dgram);
	else
		answer_init(g, peer, &rx, dgram, now_ms);
	jv_init_received_wipe(&rx);
}

/* G2, G3: the first authenticated packet, from where the INIT_RESP went. */
void jv_gateway_born(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		     uint64_t now_ms)
{
	struct jv_event event = { .kind = JV_EVENT_HANDSHAKE_OK, .detail = JV_DETAIL_CONFIRMED };
	struct jv_move move = { .version = { g->env->term, 1 }, .path = JV_GATEWAY_PATH,
				.remote = s->remote };
	struct jv_error err = { 0 };

	if (s->fsm.state != JV_STATE_BIRTH || !jv_addr_equal(&signal->remote, &s->remote))
		return;
	if (!jv_session_expire(s, now_ms))
		return;
	if (full(s->peer) ||
	    (s->peer->prefixes &&
	     jv_kernel_session_prefixes(g->env->kernel, g->link->ifindex, s->sid, s->peer->prefix,
				       s->peer->prefixes, &err))) {
		jv_warn("%s: %s: %s", g->link->name, s->peer->name,
			err.code ? err.text : "another session of it was first");
		event.kind = JV_EVENT_HANDSHAKE_FAIL;
		event.cause = JV_REASON_POLICY_DENY;
		event.detail = JV_DETAIL_POLICY;
	}
	/* It answers to an INIT_RESP, so it has seen what that named. */
	if (!jv_session_step(s, &event, &move, now_ms))
		s->bver_c = move.version.bver;
}

void jv_gateway_vacate(struct jv_session *s)
{
	if (s->peer->shard)
		replace(s->peer->shard, s, NULL);
}
