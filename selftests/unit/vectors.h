/* SPDX-License-Identifier: GPL-2.0 */
/* The world in which the known answers of vectors.txt were made. */
#ifndef VECTORS_H
#define VECTORS_H

#include "unit.h"

#include "handshake.h"
#include "locator.h"
#include "reattach.h"
#include "switch.h"

#define SHARD 0x1234

struct world {
	struct jv_keypair client, gateway, client_e, gateway_e, client_e2, gateway_e2;
	uint8_t psk[32], zero[16], cookie[16], tag1_key[16], k_loc[32];
	/* birth */
	struct jv_init_request init_request;
	struct jv_init_answer init_answer;
	struct jv_init_sent init_sent;
	uint8_t init[sizeof(struct jvpn_init)];
	uint8_t init_resp[JV_DATAGRAM_MAX];
	int init_resp_len;
	struct jv_birth birth;		/* as the gateway has it */
	/* reattach */
	struct jv_reattach_request re_request;
	struct jv_reattach_answer re_answer;
	struct jv_reattach_sent re_sent;
	uint8_t reattach[sizeof(struct jvpn_reattach)];
	uint8_t reattach_resp[sizeof(struct jvpn_reattach_resp)];
	uint8_t deny[sizeof(struct jvpn_deny)];
	struct jv_epoch_keys re_keys;
	/* switch */
	struct jv_switch_request sw_request;
	struct jv_switch_answer sw_answer;
	uint8_t sw[sizeof(struct jvpn_switch)];
	uint8_t sw_resp[sizeof(struct jvpn_switch_resp)];
};

static inline void world_key(struct jv_keypair *kp, uint8_t byte)
{
	uint8_t secret[32];

	memset(secret, byte, sizeof(secret));
	jv_keypair_from_secret(kp, secret);
}

/* What the opener found is what was built. */
static inline bool same_init(const struct jv_init_request *a, const struct jv_init_request *b)
{
	return !memcmp(a->cid, b->cid, 8) && a->aead_mask == b->aead_mask &&
	       a->path_id == b->path_id && a->mtu == b->mtu && a->opt.has4 == b->opt.has4 &&
	       a->opt.has6 == b->opt.has6;
}

static inline bool same_version(struct jv_version a, struct jv_version b)
{
	return !jv_version_cmp(a, b);
}

static inline bool same_reattach(const struct jv_reattach_request *a,
				 const struct jv_reattach_request *b)
{
	return a->rseq == b->rseq && same_version(a->expect, b->expect) &&
	       !memcmp(a->cid, b->cid, 8) && a->op == b->op && a->reason == b->reason &&
	       a->path_id == b->path_id && a->aead_mask == b->aead_mask &&
	       a->rx_highest == b->rx_highest;
}

static inline bool same_switch(const struct jv_switch_request *a,
			       const struct jv_switch_request *b)
{
	return same_version(a->expect, b->expect) && a->reason == b->reason &&
	       a->path_id == b->path_id && a->rx_highest == b->rx_highest;
}

static inline bool world_birth(struct world *w)
{
	uint8_t req_id[8], nonce[24], sid[16];
	struct jv_init_received rx;

	unit_count_up(req_id, 0xa0, 8);
	unit_count_up(w->init_request.cid, 0xc0, 8);
	w->init_request.aead_mask = 3;
	w->init_request.mtu = 1500;
	if (jv_init_build(&w->init_sent, w->init, &w->client, w->gateway.public, w->psk, 0,
			  req_id, w->zero, &w->client_e, &w->init_request))
		return false;
	if (jv_init_identify(&rx, &w->gateway, w->init, sizeof(w->init)) ||
	    memcmp(rx.noise.rs, w->client.public, 32) ||
	    jv_init_open(&rx, w->init, sizeof(w->init)) ||
	    !same_init(&rx.request, &w->init_request) ||
	    jv_init_accept(&rx, w->psk, &w->gateway_e, sid))
		return false;
	w->init_answer = (struct jv_init_answer){
		.aead = JVPN_AEAD_AES_256_GCM, .version = { 7, 1 }, .rekey_after_s = 600,
		.session_max_s = 86400, .loss_ttl_ms = 30000, .keepalive_s = 25, .probe_ms = 40,
		.mtu = 1420,
	};
	unit_count_up(w->init_answer.cid, 0xd0, 8);
	unit_count_up(nonce, 0x00, 24);
	jv_locator_seal(w->init_answer.locator, w->k_loc, 0, SHARD, nonce, sid);
	w->init_resp_len = jv_init_resp_build(&rx, &w->init_answer, w->init_resp, &w->birth);
	return w->init_resp_len > 0;
}

static inline bool world_reattach(struct world *w)
{
	struct jv_reattach_received rx;
	uint8_t req_id[8], nonce[24];

	unit_count_up(req_id, 0xb0, 8);
	w->re_request = (struct jv_reattach_request){
		.rseq = 1, .expect = { 7, 1 }, .op = JV_REATTACH_BIND, .reason = 1, .path_id = 1,
		.aead_mask = 3, .rx_highest = 5,
	};
	unit_count_up(w->re_request.cid, 0xc8, 8);
	if (jv_reattach_build(&w->re_sent, w->reattach, w->gateway.public, 0, w->birth.sid,
			      w->birth.rs, w->init_answer.locator, req_id, w->cookie,
			      &w->client_e2, &w->re_request))
		return false;
	if (jv_reattach_open(&rx, w->birth.sid, w->birth.rs, w->reattach, sizeof(w->reattach)) ||
	    !same_reattach(&rx.request, &w->re_request))
		return false;
	w->re_answer = (struct jv_reattach_answer){
		.aead = JVPN_AEAD_AES_256_GCM, .version = { 7, 2 },
	};
	unit_count_up(w->re_answer.cid, 0xd8, 8);
	unit_count_up(nonce, 0x18, 24);
	jv_locator_seal(w->re_answer.locator, w->k_loc, 0, SHARD, nonce, w->birth.sid);
	if (jv_reattach_resp_build(&rx, &w->gateway_e2, &w->re_answer, w->reattach_resp,
				   &w->re_keys))
		return false;
	return !jv_deny_build(w->deny, &w->gateway, w->reattach, JV_DENY_UNKNOWN_SESSION);
}

static inline void world_switch(struct world *w)
{
	uint8_t req_id[8];

	unit_count_up(req_id, 0xa8, 8);
	w->sw_request = (struct jv_switch_request){
		.expect = { 7, 2 }, .reason = 1, .path_id = 2, .rx_highest = 9,
	};
	jv_switch_seal(w->sw, w->tag1_key, w->re_keys.sw_c, 0, w->re_answer.cid, req_id,
		       w->cookie, 2, &w->sw_request);
	w->sw_answer = (struct jv_switch_answer){ .version = { 7, 3 } };
	jv_switch_resp_seal(w->sw_resp, w->re_keys.sw_g, req_id, 2, &w->sw_answer);
}

/* Everything of vectors.txt, made by our encoders. False if one of them refuses. */
static inline bool world_make(struct world *w)
{
	memset(w, 0, sizeof(*w));
	world_key(&w->client, 0x11);
	world_key(&w->gateway, 0x22);
	world_key(&w->client_e, 0x33);
	world_key(&w->gateway_e, 0x44);
	world_key(&w->client_e2, 0x55);
	world_key(&w->gateway_e2, 0x66);
	unit_count_up(w->cookie, 0xe0, 16);
	jv_tag1_key(w->tag1_key, w->gateway.public);
	jv_locator_key(w->k_loc, w->gateway.secret, 0);
	if (!world_birth(w) || !world_reattach(w))
		return false;
	world_switch(w);
	return true;
}

#endif /* VECTORS_H */
