// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway.h"
#include "handshake.h"
#include "locator.h"
#include "log.h"
#include "switch.h"

enum {
	PATH = 0,			/* a gateway has one socket per link */
	KID = 0,
	KEEPALIVE_S = 25,
	DEAD_IDLE_MS = 80000,
	DEAD_BUSY_MS = 10000,
	TRY_AGAIN_MS = 5000,
};

static const struct jv_session_ops gateway_ops;

static void refuse(struct jv_gateway *g, enum jv_reason reason, const struct jv_session *s,
		   const struct jv_datagram *dgram)
{
	jv_sessions_refuse(g->sessions, reason, s, g->link, &dgram->from);
}

static void reply(const struct jv_gateway *g, const struct jv_datagram *dgram, const void *data,
		  size_t len)
{
	int r = jv_udp_send(&g->udp, data, len, &dgram->from, &dgram->to);

	if (r)
		jv_debug("%s: answering: %s", g->link->name, strerror(-r));
}

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

/* --- INIT --- */

/* Sessions with fixed inner addresses cannot share them, so such a client has one. */
static bool full(const struct jv_peer *peer)
{
	return count(peer->shard, false) >= (peer->prefixes ? 1 : JV_PEER_SESSIONS);
}

static enum jv_status judge_init(const struct jv_peer *peer, const struct jv_init_request *request)
{
	if (request->opt.unknown_critical ||
	    !(request->aead_mask & JVPN_AEAD_BIT(JVPN_AEAD_CHACHA20_POLY1305)))
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

static void make_cid(const struct jv_gateway *g, uint8_t cid[8])
{
	do {
		randombytes_buf(cid, 8);
		cid[0] = JV_SHARD & 0xff;
		cid[1] = JV_SHARD >> 8;
	} while (jv_table_find(&g->sessions->by_cid, cid));
}

/* There is no rekey within a session yet: its keys live as long as it does. */
static void grant(const struct jv_gateway *g, const struct jv_peer *peer,
		  const uint8_t sid[JVPN_SID_LEN], struct jv_init_answer *answer)
{
	const struct jv_policy *policy = &peer->policy->policy;
	uint8_t nonce[JV_LOCATOR_NONCE];

	*answer = (struct jv_init_answer){
		.status = JV_STATUS_OK,
		.aead = JVPN_AEAD_CHACHA20_POLY1305,
		.version = { g->env->term, 1 },
		.rekey_after_s = policy->session_max_lifetime / 1000,
		.session_max_s = policy->session_max_lifetime / 1000,
		.loss_ttl_ms = policy->transport_lost_ttl,
		.keepalive_s = KEEPALIVE_S,
		.probe_ms = jv_liveness(policy)->probe_interval,
		.mtu = g->link->mtu ? g->link->mtu : JV_DEFAULT_MTU,
	};
	make_cid(g, answer->cid);
	randombytes_buf(nonce, sizeof(nonce));
	jv_locator_seal(answer->locator, g->locator_key, KID, JV_SHARD, nonce, sid);
	grant_addresses(peer, &answer->opt);
}

static int install(struct jv_session *s, const uint8_t *sid, const struct jv_init_answer *answer,
		   const uint8_t *client_cid, const struct jv_birth *birth, struct jv_error *err)
{
	struct jv_kernel_figures figures = { .dead_idle = DEAD_IDLE_MS, .dead_busy = DEAD_BUSY_MS };
	struct jv_kernel_epoch epoch = {
		.aead = answer->aead,
		.rx_key = birth->keys.c2g,
		.tx_key = birth->keys.g2c,
		.version = answer->version,
	};

	memcpy(epoch.sid, sid, sizeof(epoch.sid));
	memcpy(epoch.rx_cid, answer->cid, sizeof(epoch.rx_cid));
	memcpy(epoch.tx_cid, client_cid, sizeof(epoch.tx_cid));
	return jv_session_install(s, sid, &epoch, birth->keys.sw_c, birth->keys.sw_g, &figures,
				  false, err);
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
	s = jv_session_new(g->sessions, &gateway_ops, g, g->link, peer, JV_GATEWAY,
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
	grant(g, peer, sid, &answer);
	len = jv_init_resp_build(rx, &answer, out, &birth);
	s = len > 0 ? half_open(g, peer, dgram, now_ms) : NULL;
	if (s && install(s, sid, &answer, client_cid, &birth, &err)) {
		jv_warn("%s: session of %s: %s", g->link->name, peer->name, err.text);
		jv_session_event(s, JV_EVENT_HANDSHAKE_FAIL, JV_DETAIL_INTERNAL, now_ms);
		s = NULL;
	}
	jv_birth_wipe(&birth);
	if (!s)
		return;
	jv_session_rearm(s);
	reply(g, dgram, out, len);
}

static void reject_init(struct jv_gateway *g, enum jv_status status, struct jv_init_received *rx,
			const struct jv_datagram *dgram)
{
	struct jv_init_answer answer = { .status = status, .retry_after_ms = TRY_AGAIN_MS };
	uint8_t out[JV_DATAGRAM_MAX];
	struct jv_birth birth;
	int len = jv_init_resp_build(rx, &answer, out, &birth);

	refuse(g, JV_REASON_POLICY_DENY, NULL, dgram);
	if (len > 0)
		reply(g, dgram, out, len);
}

/* The client is proven; nothing was allocated so far. */
static void answer_init(struct jv_gateway *g, struct jv_peer *peer, struct jv_init_received *rx,
			const struct jv_datagram *dgram, uint64_t now_ms)
{
	enum jv_status status = judge_init(peer, &rx->request);
	uint8_t secret[32], sid[JVPN_SID_LEN];
	struct jv_keypair e;
	int r;

	randombytes_buf(secret, sizeof(secret));
	jv_keypair_from_secret(&e, secret);
	r = jv_init_accept(rx, peer->psk, &e, sid);
	sodium_memzero(secret, sizeof(secret));
	sodium_memzero(&e, sizeof(e));
	if (r)
		refuse(g, JV_REASON_AUTH_FAIL, NULL, dgram);
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
	if (msg->kid != KID)
		return JV_REASON_AUTH_FAIL;
	if (jv_sessions_by_init(g->sessions, msg->e))
		return JV_REASON_REPLAY_DETECTED;
	return JV_REASON_NONE;
}

static void on_init(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms)
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
		refuse(g, reason, NULL, dgram);
	else
		answer_init(g, peer, &rx, dgram, now_ms);
	jv_init_received_wipe(&rx);
}

/* G2, G3: the first authenticated packet, from where the INIT_RESP went. */
static void confirmed(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		      uint64_t now_ms)
{
	struct jv_event event = { .kind = JV_EVENT_HANDSHAKE_OK, .detail = JV_DETAIL_CONFIRMED };
	struct jv_move move = { .version = s->epoch.version, .path = PATH, .remote = s->remote };
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
	jv_session_step(s, &event, &move, now_ms);
}

/* --- SWITCH --- */

struct verdict {
	enum jv_reason reason;
	enum jv_status status;
	uint32_t retry_after_ms;
	bool moves;
};

static enum jv_status status_of(enum jv_reason reason)
{
	switch (reason) {
	case JV_REASON_NONE:
		return JV_STATUS_OK;
	case JV_REASON_STALE_STATE_VERSION:
	case JV_REASON_VERSION_FUTURE_REJECTED:
	case JV_REASON_CAS_CONFLICT:
		return JV_STATUS_VERSION_MISMATCH;
	case JV_REASON_RATE_LIMITED:
	case JV_REASON_POLICY_FLAP_LIMIT:
	case JV_REASON_POLICY_COOLDOWN_ACTIVE:
	case JV_REASON_RECOVERY_BOUNDS_EXCEEDED:
		return JV_STATUS_RATE_LIMITED;
	default:
		return JV_STATUS_POLICY;
	}
}

/* S5 and S6: everything up to the proof. A request that fails here gets no answer. */
static enum jv_reason prove(struct jv_gateway *g, struct jv_session *s,
			    const struct jv_datagram *dgram, struct jv_switch_request *request,
			    uint64_t now_ms)
{
	uint64_t rseq = jv_switch_rseq(dgram->data);
	enum jv_reason reason;

	if (!s || s->link != g->link)
		return JV_REASON_SESSION_NOT_FOUND;
	if (jv_session_ended(s) || !jv_session_expire(s, now_ms))
		return JV_REASON_SESSION_EXPIRED;
	reason = jv_fsm_admit_state(&s->fsm, jv_session_policy(s), now_ms);
	if (reason)
		return reason;
	if (rseq <= s->last_rseq)
		return rseq == s->last_rseq ? JV_REASON_REPLAY_DETECTED : JV_REASON_NONCE_STALE;
	reason = jv_switch_open(s->epoch.sw_c, dgram->data, dgram->len, request);
	if (reason)
		return reason;
	/* A SWITCH never changes the term. */
	if (request->expect.term != s->epoch.version.term)
		return JV_REASON_AUTH_FAIL;
	s->last_rseq = rseq;
	return JV_REASON_NONE;
}

/* S7: what a proven request may be refused for, in this order. */
static enum jv_reason permit(struct jv_session *s, const struct jv_switch_request *request,
			     const union jv_addr *from, uint64_t now_ms, struct verdict *v)
{
	const struct jv_policy *policy = jv_session_policy(s);
	bool token = jv_bucket_take(&s->rate, policy->reattach_rate, policy->reattach_burst,
				    now_ms, &v->retry_after_ms);

	if (jv_version_check(request->expect, s->version, s->bver_c, false))
		return jv_version_cmp(request->expect, s->version) > 0 ?
		       JV_REASON_VERSION_FUTURE_REJECTED : JV_REASON_STALE_STATE_VERSION;
	if (!token)
		return JV_REASON_RATE_LIMITED;
	v->moves = !jv_addr_equal(from, &s->remote);
	return jv_fsm_admit_policy(&s->fsm, policy, jv_switch_kind(request->reason), v->moves,
				   now_ms, &v->retry_after_ms);
}

/* S8: all or nothing. */
static enum jv_reason commit(struct jv_session *s, const struct jv_switch_request *request,
			     const struct jv_datagram *dgram, bool moves, uint64_t now_ms)
{
	struct jv_event event = {
		.kind = JV_EVENT_REATTACH_OK, .detail = request->reason, .moves = moves,
	};
	struct jv_move move = {
		.version = { s->version.term, s->version.bver + 1 },
		.has_exp_bver = true,
		.exp_bver = request->expect.bver,
		.path = PATH,
		.remote = dgram->from,
	};
	enum jv_reason reason = jv_session_step(s, &event, &move, now_ms);

	if (!reason) {
		s->bver_c = request->expect.bver;
		s->local = dgram->to;
	}
	return reason;
}

static void tell(struct jv_gateway *g, const struct jv_session *s, const struct verdict *v,
		 const struct jv_switch_request *request, const struct jv_datagram *dgram)
{
	struct jv_audit_record record;

	jv_session_record(s, &record, JV_AUDIT_REATTACH_RESULT);
	record.reason = v->reason ? v->reason : JV_REASON_REATTACH_SUCCESS;
	record.detail = request->reason;
	record.status = v->status + 1;
	record.new_remote = dgram->from;
	if (!v->reason) {
		jv_audit_push(g->env->audit, &record);
		return;
	}
	g->env->refusals[v->reason]++;
	jv_audit_push_sampled(g->env->audit, &record);
	if (v->status == JV_STATUS_RATE_LIMITED) {
		record.event = JV_AUDIT_TRANSPORT_SWITCH_DENIED;
		jv_audit_push_sampled(g->env->audit, &record);
	}
}

/* S9. Without its keys, which end with the session, there is nothing to answer with. */
static void answer_switch(struct jv_gateway *g, const struct jv_session *s,
			  const struct verdict *v, const struct jv_datagram *dgram)
{
	const struct jvpn_switch *msg = (const void *)dgram->data;
	struct jv_switch_answer answer = {
		.status = v->status,
		.retry_after_ms = v->status == JV_STATUS_RATE_LIMITED ? v->retry_after_ms : 0,
		.version = s->version,
	};
	uint8_t out[sizeof(struct jvpn_switch_resp)];

	if (!s->epoch.live)
		return;
	jv_switch_resp_seal(out, s->epoch.sw_g, msg->req_id, s->last_rseq, &answer);
	reply(g, dgram, out, sizeof(out));
}

static void on_switch(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms)
{
	const struct jvpn_switch *msg = (const void *)dgram->data;
	struct jv_session *s = jv_sessions_by_cid(g->sessions, msg->cid);
	struct jv_switch_request request;
	struct verdict v = { 0 };
	enum jv_reason unproven;

	if (jv_limiter_request(g->env->limiter, &dgram->from, now_ms) != JV_LIMIT_OK) {
		refuse(g, JV_REASON_RATE_LIMITED, NULL, dgram);
		return;
	}
	unproven = prove(g, s, dgram, &request, now_ms);
	if (unproven) {
		refuse(g, unproven, s, dgram);
		return;
	}
	v.reason = permit(s, &request, &dgram->from, now_ms, &v);
	if (!v.reason)
		v.reason = commit(s, &request, dgram, v.moves, now_ms);
	v.status = status_of(v.reason);
	tell(g, s, &v, &request, dgram);
	answer_switch(g, s, &v, dgram);
}

/* --- the socket --- */

static void datagram(void *arg, const struct jv_datagram *dgram)
{
	enum jv_reason reason = jv_wire_check(dgram->data, dgram->len);
	struct jv_gateway *g = arg;
	uint64_t now_ms = jv_now_ms();

	if (!reason && dgram->data[0] == JVPN_T_INIT)
		on_init(g, dgram, now_ms);
	else if (!reason && dgram->data[0] == JVPN_T_SWITCH)
		on_switch(g, dgram, now_ms);
	else
		refuse(g, reason ? reason : JV_REASON_UNKNOWN_TYPE, NULL, dgram);
}

/* --- what steps entail --- */

/* The client's first authenticated packet: it waits for it to begin. */
static void committed(struct jv_session *s, const struct jv_step *step, uint64_t now_ms)
{
	struct jv_kernel_frame frame = { .type = JV_FRAME_KEEPALIVE };

	(void)now_ms;
	if (step->transition[0].edge != JV_EDGE_T1)
		return;
	memcpy(frame.sid, s->sid, sizeof(frame.sid));
	jv_kernel_frame_send(s->all->env->kernel, s->link->ifindex, &frame, NULL);
}

static void settled(struct jv_session *s, const struct jv_step *step, uint64_t now_ms)
{
	(void)step;
	(void)now_ms;
	if (jv_session_ended(s) && s->peer->shard)
		replace(s->peer->shard, s, NULL);
}

static const struct jv_session_ops gateway_ops = {
	.committed = committed,
	.settled = settled,
};

void jv_gateway_signal(struct jv_gateway *g, struct jv_session *s,
		       const struct jv_signal *signal, uint64_t now_ms)
{
	switch (signal->kind) {
	case JVPN_SIGNAL_KIND_CONFIRMED:
		confirmed(g, s, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_VERSION:
		if (signal->version.term == s->version.term && signal->version.bver > s->bver_c)
			s->bver_c = signal->version.bver;
		break;
	case JVPN_SIGNAL_KIND_SILENT:
		/* Said of this binding, not of an earlier one? */
		if (s->fsm.bound && signal->time_ns >= s->bound_ns)
			jv_session_event(s, JV_EVENT_TRANSPORT_DEAD, JV_DETAIL_RX_SILENT, now_ms);
		break;
	case JVPN_SIGNAL_KIND_CLOSED:
		jv_session_event(s, JV_EVENT_PEER_CLOSE, JV_DETAIL_PEER_CLOSED, now_ms);
		break;
	case JVPN_SIGNAL_KIND_EXHAUSTED:
		jv_session_event(s, JV_EVENT_KEY_EXPIRED, JV_DETAIL_KEY_EXHAUSTED, now_ms);
		break;
	default:
		break;
	}
}

/* --- life --- */

struct jv_gateway *jv_gateway_new(struct jv_env *env, struct jv_sessions *sessions,
				  struct jv_link *link, struct jv_error *err)
{
	struct jv_udp_options options = {
		.local = link->listen, .mark = link->mark, .shared = true,
	};
	struct jv_gateway *g = calloc(1, sizeof(*g));

	if (!g) {
		jv_error_set(err, ENOMEM, "no memory for link %s", link->name);
		return NULL;
	}
	g->env = env;
	g->sessions = sessions;
	g->link = link;
	jv_locator_key(g->locator_key, link->key->secret, KID);
	if (jv_udp_open(&g->udp, env->loop, &options, datagram, g, err)) {
		free(g);
		return NULL;
	}
	if (jv_kernel_path_set(env->kernel, link->ifindex, PATH, g->udp.fd, 0, link->mark, err)) {
		jv_udp_close(&g->udp);
		free(g);
		return NULL;
	}
	return g;
}

void jv_gateway_free(struct jv_gateway *g, bool gone)
{
	if (!gone)
		jv_kernel_path_del(g->env->kernel, g->link->ifindex, PATH, NULL);
	jv_udp_close(&g->udp);
	sodium_memzero(g, sizeof(*g));
	free(g);
}

int jv_gateway_peer_add(struct jv_peer *peer, struct jv_error *err)
{
	peer->shard = calloc(1, sizeof(struct jv_tenant));
	return peer->shard ? 0 : jv_error_set(err, ENOMEM, "no memory for peer %s", peer->name);
}

void jv_gateway_peer_remove(struct jv_peer *peer, enum jv_detail detail)
{
	struct jv_tenant *t = peer->shard;

	if (!t)
		return;
	for (size_t i = 0; i < sizeof(t->session) / sizeof(t->session[0]); i++) {
		struct jv_session *s = t->session[i];

		if (!s)
			continue;
		jv_session_close(s, detail);
		jv_session_event(s, JV_EVENT_OPERATOR_TERMINATE, detail, jv_now_ms());
	}
	peer->shard = NULL;
	free(t);
}
