// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "gateway.h"
#include "locator.h"
#include "log.h"

/* --- for all its files --- */

void jv_gateway_refuse(struct jv_gateway *g, enum jv_reason reason, const struct jv_session *s,
		       const struct jv_datagram *dgram)
{
	jv_sessions_refuse(g->sessions, reason, s, g->link, &dgram->from);
}

void jv_gateway_reply(const struct jv_gateway *g, const struct jv_datagram *dgram,
		      const void *data, size_t len)
{
	int r = jv_udp_send(&g->udp, data, len, &dgram->from, &dgram->to);

	if (r)
		jv_debug("%s: answering: %s", g->link->name, strerror(-r));
}

void jv_gateway_cid(const struct jv_gateway *g, uint8_t cid[8])
{
	do {
		randombytes_buf(cid, 8);
		cid[0] = JV_SHARD & 0xff;
		cid[1] = JV_SHARD >> 8;
	} while (jv_table_find(&g->sessions->by_cid, cid));
}

void jv_gateway_locator(const struct jv_gateway *g, const uint8_t sid[JVPN_SID_LEN],
			uint8_t locator[JVPN_LOCATOR_LEN])
{
	uint8_t nonce[JV_LOCATOR_NONCE];

	randombytes_buf(nonce, sizeof(nonce));
	jv_locator_seal(locator, g->locator_key, JV_KID, JV_SHARD, nonce, sid);
}

void jv_gateway_epoch(const struct jv_session *s, const uint8_t sid[JVPN_SID_LEN], uint8_t aead,
		      const struct jv_epoch_keys *keys, struct jv_version version,
		      struct jv_kernel_epoch *epoch)
{
	*epoch = (struct jv_kernel_epoch){
		.aead = aead,
		.rx_key = keys->c2g,
		.tx_key = keys->g2c,
		.version = version,
		.lifetime_ms = jv_key_lifetime_ms(s->rekey_after_s),
	};
	memcpy(epoch->sid, sid, sizeof(epoch->sid));
}

/* --- the socket --- */

static void datagram(void *arg, const struct jv_datagram *dgram)
{
	enum jv_reason reason = jv_wire_check(dgram->data, dgram->len);
	uint8_t type = dgram->len ? dgram->data[0] : 0;
	struct jv_gateway *g = arg;
	uint64_t now_ms = jv_now_ms();

	if (!reason && type == JVPN_T_INIT)
		jv_gateway_init(g, dgram, now_ms);
	else if (!reason && type == JVPN_T_SWITCH)
		jv_gateway_switch(g, dgram, now_ms);
	else if (!reason && type == JVPN_T_REATTACH)
		jv_gateway_reattach(g, dgram, now_ms);
	else
		jv_gateway_refuse(g, reason ? reason : JV_REASON_UNKNOWN_TYPE, NULL, dgram);
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
	if (jv_session_ended(s))
		jv_gateway_vacate(s);
}

const struct jv_session_ops jv_gateway_session_ops = {
	.committed = committed,
	.settled = settled,
	.deadline = jv_gateway_deadline,
	.due = jv_gateway_due,
};

/* --- signals of the data plane --- */

/* The client has provably seen this version. */
static void shown(struct jv_session *s, struct jv_version v)
{
	if (v.term == s->version.term && v.bver > s->bver_c && v.bver <= s->version.bver)
		s->bver_c = v.bver;
}

/* The client holds the keys of an epoch: the first time it is a birth, then a rotation. */
static void confirmed(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		      uint64_t now_ms)
{
	struct jv_epoch *e = jv_epoch_find(s, signal->cid);

	if (e) {
		e->confirmed = true;
		shown(s, e->version);
	}
	if (s->fsm.state == JV_STATE_BIRTH)
		jv_gateway_born(g, s, signal, now_ms);
	else
		s->rekeyed_ms = now_ms;
}

/* There is nothing left to send with: only a REATTACH brings keys (C22). */
static void exhausted(struct jv_session *s, const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_epoch *e = jv_epoch_find(s, signal->cid);

	if (!e)
		return;
	e->spent = true;
	if (e == jv_epoch_sending(s) && s->fsm.bound)
		jv_session_event(s, JV_EVENT_TRANSPORT_DEAD, JV_DETAIL_KEY_EXHAUSTED, now_ms);
}

void jv_gateway_signal(struct jv_gateway *g, struct jv_session *s,
		       const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_epoch *e;

	switch (signal->kind) {
	case JVPN_SIGNAL_KIND_CONFIRMED:
		confirmed(g, s, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_VERSION:
		shown(s, signal->version);
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
		exhausted(s, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_SOURCE_CHANGED:
		jv_gateway_source(g, s, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_PROBE_ACKED:
		jv_gateway_acked(g, s, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_RETIRED:
		e = jv_epoch_find(s, signal->cid);
		if (e)
			jv_epoch_wipe(e);
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
	jv_locator_key(g->locator_key, link->key->secret, JV_KID);
	if (jv_udp_open(&g->udp, env->loop, &options, datagram, g, err)) {
		free(g);
		return NULL;
	}
	if (jv_kernel_path_set(env->kernel, link->ifindex, JV_GATEWAY_PATH, g->udp.fd, 0, link->mark, err)) {
		jv_udp_close(&g->udp);
		free(g);
		return NULL;
	}
	return g;
}

void jv_gateway_free(struct jv_gateway *g, bool gone)
{
	if (!gone)
		jv_kernel_path_del(g->env->kernel, g->link->ifindex, JV_GATEWAY_PATH, NULL);
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
