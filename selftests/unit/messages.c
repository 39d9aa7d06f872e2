// SPDX-License-Identifier: GPL-2.0
/* Every control message: byte for byte as the known answers, and opened again. */
#include "vectors.h"

#include <sodium.h>

FIXTURE(messages) {
	struct world w;
};

FIXTURE_SETUP(messages)
{
	ASSERT_TRUE(world_make(&self->w));
}

FIXTURE_TEARDOWN(messages)
{
}

TEST_F(messages, keys)
{
	struct world *w = &self->w;

	EXPECT_TRUE(unit_is_vector("client_public", w->client.public, 32));
	EXPECT_TRUE(unit_is_vector("gateway_public", w->gateway.public, 32));
	EXPECT_TRUE(unit_is_vector("client_e_public", w->client_e.public, 32));
	EXPECT_TRUE(unit_is_vector("gateway_e_public", w->gateway_e.public, 32));
	EXPECT_TRUE(unit_is_vector("sid", w->birth.sid, 16));
	EXPECT_TRUE(unit_is_vector("rs", w->birth.rs, 32));
	EXPECT_TRUE(unit_is_vector("c2g", w->birth.keys.c2g, 32));
	EXPECT_TRUE(unit_is_vector("g2c", w->birth.keys.g2c, 32));
	EXPECT_TRUE(unit_is_vector("reattach_c2g", w->re_keys.c2g, 32));
	EXPECT_TRUE(unit_is_vector("reattach_g2c", w->re_keys.g2c, 32));
	EXPECT_TRUE(unit_is_vector("reattach_sw_c", w->re_keys.sw_c, 32));
	EXPECT_TRUE(unit_is_vector("reattach_sw_g", w->re_keys.sw_g, 32));
}

/* ck and h after the handshake: taken from a copy, as finishing wipes them. */
TEST_F(messages, transcript)
{
	struct world *w = &self->w;
	struct jv_noise n = w->init_sent.noise;
	const struct jvpn_init_resp *resp = (void *)w->init_resp;
	uint8_t plain[512];

	ASSERT_EQ(0, jv_noise_read_head(&n, resp->e));
	ASSERT_EQ(0, jv_noise_read_payload(&n, resp->payload,
					   w->init_resp_len - sizeof(*resp), plain));
	EXPECT_TRUE(unit_is_vector("h", n.h, 32));
	EXPECT_TRUE(unit_is_vector("ck", n.ck, 32));

	n = w->re_sent.noise;
	ASSERT_EQ(0, jv_noise_read_head(&n, w->reattach_resp + 16));
	ASSERT_EQ(0, jv_noise_read_payload(&n, w->reattach_resp + 48, 112, plain));
	EXPECT_TRUE(unit_is_vector("reattach_h", n.h, 32));
}

TEST_F(messages, datagrams)
{
	struct world *w = &self->w;
	uint8_t hash[32];

	crypto_hash_sha256(hash, w->init, sizeof(w->init));
	EXPECT_TRUE(unit_is_vector("init_head", w->init, 128));
	EXPECT_TRUE(unit_is_vector("init_sha256", hash, 32));
	EXPECT_TRUE(unit_is_vector("init_tag1", w->init + 504, 8));
	EXPECT_TRUE(unit_is_vector("init_resp", w->init_resp, w->init_resp_len));
	EXPECT_TRUE(unit_is_vector("locator", w->init_answer.locator, 60));
	EXPECT_TRUE(unit_is_vector("reattach", w->reattach, sizeof(w->reattach)));
	EXPECT_TRUE(unit_is_vector("reattach_resp", w->reattach_resp, sizeof(w->reattach_resp)));
	EXPECT_TRUE(unit_is_vector("deny", w->deny, sizeof(w->deny)));
	EXPECT_TRUE(unit_is_vector("switch", w->sw, sizeof(w->sw)));
	EXPECT_TRUE(unit_is_vector("switch_resp", w->sw_resp, sizeof(w->sw_resp)));
}

/* DATA is the kernel's: here only that header, AD and nonce are what the vectors say. */
TEST_F(messages, data_layout)
{
	struct jvpn_data *msg;
	uint8_t out[52], nonce[12] = { 0 }, inner[20];

	msg = (void *)out;
	msg->word = htole64(JVPN_T_DATA | 5ull << 16);
	unit_count_up(msg->cid, 0xd0, 8);
	unit_count_up(inner, 0x45, 20);
	nonce[4] = 5;
	crypto_aead_chacha20poly1305_ietf_encrypt(msg->payload, NULL, inner, 20, out, 16, NULL,
						  nonce, self->w.birth.keys.c2g);
	EXPECT_TRUE(unit_is_vector("data_chacha", out, sizeof(out)));
	if (crypto_aead_aes256gcm_is_available()) {
		crypto_aead_aes256gcm_encrypt(msg->payload, NULL, inner, 20, out, 16, NULL, nonce,
					      self->w.birth.keys.c2g);
		EXPECT_TRUE(unit_is_vector("data_aesgcm", out, sizeof(out)));
	}
}

TEST_F(messages, client_opens_birth)
{
	struct world *w = &self->w;
	struct jv_init_answer answer;
	struct jv_birth birth;

	/* Twice: opening does not use up what was sent. */
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(JV_REASON_NONE,
			  jv_init_resp_open(&w->init_sent, w->init_resp, w->init_resp_len,
					    &answer, &birth));
		EXPECT_EQ(0, memcmp(&birth, &w->birth, sizeof(birth)));
		EXPECT_EQ(JV_STATUS_OK, answer.status);
		EXPECT_EQ(1, answer.aead);
		EXPECT_EQ(7, answer.version.term);
		EXPECT_EQ(1, answer.version.bver);
		EXPECT_EQ(600, answer.rekey_after_s);
		EXPECT_EQ(86400, answer.session_max_s);
		EXPECT_EQ(30000, answer.loss_ttl_ms);
		EXPECT_EQ(25, answer.keepalive_s);
		EXPECT_EQ(40, answer.probe_ms);
		EXPECT_EQ(1420, answer.mtu);
		EXPECT_EQ(0, memcmp(answer.cid, w->init_answer.cid, 8));
		EXPECT_EQ(0, memcmp(answer.locator, w->init_answer.locator, 60));
	}
}

static void build_init(struct world *w, struct jv_init_sent *sent, uint8_t *out,
		       const struct jv_init_request *request)
{
	uint8_t req_id[8] = { 1 };

	jv_init_build(sent, out, &w->client, w->gateway.public, w->psk, 0, req_id, w->cookie,
		      &w->client_e, request);
}

TEST_F(messages, options_travel_both_ways)
{
	struct world *w = &self->w;
	struct jv_init_request request = w->init_request;
	struct jv_init_answer answer = w->init_answer, got;
	uint8_t init[512], resp[JV_DATAGRAM_MAX], sid[16];
	struct jv_init_received rx;
	struct jv_init_sent sent;
	struct jv_birth a, b;
	int len;

	request.opt = (struct jv_options){
		.has4 = true, .plen4 = 32, .inner4 = { 10, 9, 8, 7 },
		.has_psk_id = true, .psk_id = { 5, 6 },
	};
	build_init(w, &sent, init, &request);
	ASSERT_EQ(JV_REASON_NONE, jv_init_identify(&rx, &w->gateway, init, sizeof(init)));
	ASSERT_EQ(JV_REASON_NONE, jv_init_open(&rx, init, sizeof(init)));
	EXPECT_EQ(0, memcmp(rx.request.opt.inner4, request.opt.inner4, 4));
	EXPECT_EQ(32, rx.request.opt.plen4);
	EXPECT_EQ(0, memcmp(rx.request.opt.psk_id, request.opt.psk_id, 16));
	EXPECT_FALSE(rx.request.opt.has6);

	answer.opt = (struct jv_options){
		.has4 = true, .plen4 = 24, .inner4 = { 10, 9, 8, 1 },
		.has6 = true, .plen6 = 64, .inner6 = { 0xfd, 1 },
		.gateways = 2, .gateway = { { { 1 }, 51820 }, { { 2 }, 443 } },
	};
	ASSERT_EQ(0, jv_init_accept(&rx, w->psk, &w->gateway_e, sid));
	len = jv_init_resp_build(&rx, &answer, resp, &a);
	ASSERT_EQ(176 + 7 + 19 + 2 * 20, len);
	ASSERT_EQ(JV_REASON_NONE, jv_init_resp_open(&sent, resp, len, &got, &b));
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	EXPECT_EQ(24, got.opt.plen4);
	EXPECT_EQ(64, got.opt.plen6);
	EXPECT_EQ(0, memcmp(got.opt.inner6, answer.opt.inner6, 16));
	EXPECT_EQ(2, got.opt.gateways);
	EXPECT_EQ(443, got.opt.gateway[1].port);
}

/* A refusal makes no keys, and carries nothing. */
TEST_F(messages, refused_birth)
{
	struct world *w = &self->w;
	struct jv_init_answer answer = w->init_answer, got;
	uint8_t init[512], resp[JV_DATAGRAM_MAX], sid[16];
	struct jv_init_received rx;
	struct jv_init_sent sent;
	struct jv_birth birth;
	int len;

	build_init(w, &sent, init, &w->init_request);
	ASSERT_EQ(JV_REASON_NONE, jv_init_identify(&rx, &w->gateway, init, sizeof(init)));
	ASSERT_EQ(JV_REASON_NONE, jv_init_open(&rx, init, sizeof(init)));
	ASSERT_EQ(0, jv_init_accept(&rx, w->psk, &w->gateway_e, sid));
	answer.status = JV_STATUS_POLICY;
	answer.retry_after_ms = 1234;
	len = jv_init_resp_build(&rx, &answer, resp, &birth);
	ASSERT_EQ(176, len);
	EXPECT_TRUE(jv_is_zero(&birth, sizeof(birth)));
	ASSERT_EQ(JV_REASON_NONE, jv_init_resp_open(&sent, resp, len, &got, &birth));
	EXPECT_EQ(JV_STATUS_POLICY, got.status);
	EXPECT_EQ(1234, got.retry_after_ms);
	EXPECT_TRUE(jv_is_zero(got.cid, 8));
	EXPECT_EQ(0, got.version.term);
	EXPECT_TRUE(jv_is_zero(&birth, sizeof(birth)));
}

/* The gateway may only choose out of what the client offered. */
TEST_F(messages, aead_not_offered)
{
	struct world *w = &self->w;
	struct jv_init_request request = w->init_request;
	struct jv_init_answer got;
	uint8_t init[512], resp[JV_DATAGRAM_MAX], sid[16];
	struct jv_init_received rx;
	struct jv_init_sent sent;
	struct jv_birth birth;
	int len;

	request.aead_mask = JVPN_AEAD_BIT(JVPN_AEAD_CHACHA20_POLY1305);
	build_init(w, &sent, init, &request);
	ASSERT_EQ(JV_REASON_NONE, jv_init_identify(&rx, &w->gateway, init, sizeof(init)));
	ASSERT_EQ(JV_REASON_NONE, jv_init_open(&rx, init, sizeof(init)));
	ASSERT_EQ(0, jv_init_accept(&rx, w->psk, &w->gateway_e, sid));
	len = jv_init_resp_build(&rx, &w->init_answer, resp, &birth);
	EXPECT_EQ(JV_REASON_MALFORMED, jv_init_resp_open(&sent, resp, len, &got, &birth));
}

TEST_F(messages, another_answer_does_not_fit)
{
	struct world *w = &self->w;
	struct jv_init_sent sent;
	struct jv_init_answer answer;
	struct jv_birth birth;
	uint8_t init[512], req_id[8];
	struct jv_keypair e;

	/* Same req_id, other ephemeral: the answer is for another run. */
	world_key(&e, 0x77);
	unit_count_up(req_id, 0xa0, 8);
	ASSERT_EQ(0, jv_init_build(&sent, init, &w->client, w->gateway.public, w->psk, 0, req_id,
				   w->zero, &e, &w->init_request));
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_init_resp_open(&sent, w->init_resp, w->init_resp_len, &answer, &birth));
	sent = w->init_sent;
	sent.req_id[0] ^= 1;
	EXPECT_EQ(JV_REASON_MALFORMED,
		  jv_init_resp_open(&sent, w->init_resp, w->init_resp_len, &answer, &birth));
}

TEST_F(messages, psk_mismatch)
{
	struct world *w = &self->w;
	uint8_t other[32] = { 9 }, resp[JV_DATAGRAM_MAX], sid[16];
	struct jv_init_received rx;
	struct jv_init_answer answer;
	struct jv_birth birth;
	int len;

	ASSERT_EQ(JV_REASON_NONE, jv_init_identify(&rx, &w->gateway, w->init, sizeof(w->init)));
	ASSERT_EQ(JV_REASON_NONE, jv_init_open(&rx, w->init, sizeof(w->init)));
	ASSERT_EQ(0, jv_init_accept(&rx, other, &w->gateway_e, sid));
	len = jv_init_resp_build(&rx, &w->init_answer, resp, &birth);
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_init_resp_open(&w->init_sent, resp, len, &answer, &birth));
}

TEST_F(messages, client_opens_reattach)
{
	struct world *w = &self->w;
	struct jv_reattach_answer answer;
	struct jv_epoch_keys keys;
	enum jv_deny_reason reason;

	ASSERT_EQ(JV_REASON_NONE,
		  jv_reattach_resp_open(&w->re_sent, w->reattach_resp, sizeof(w->reattach_resp),
					&answer, &keys));
	EXPECT_EQ(0, memcmp(&keys, &w->re_keys, sizeof(keys)));
	EXPECT_EQ(7, answer.version.term);
	EXPECT_EQ(2, answer.version.bver);
	EXPECT_EQ(0, memcmp(answer.cid, w->re_answer.cid, 8));
	ASSERT_EQ(JV_REASON_NONE,
		  jv_deny_open(&w->re_sent, w->deny, sizeof(w->deny), &reason));
	EXPECT_EQ(JV_DENY_UNKNOWN_SESSION, reason);
}

/* REATTACH proves possession of RS for this session id, and nothing less. */
TEST_F(messages, reattach_needs_rs_and_sid)
{
	struct world *w = &self->w;
	struct jv_reattach_received rx;
	uint8_t rs[32], sid[16];

	memcpy(rs, w->birth.rs, 32);
	memcpy(sid, w->birth.sid, 16);
	rs[31] ^= 0x80;
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_reattach_open(&rx, sid, rs, w->reattach, sizeof(w->reattach)));
	rs[31] ^= 0x80;
	sid[0] ^= 1;
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_reattach_open(&rx, sid, rs, w->reattach, sizeof(w->reattach)));
	sid[0] ^= 1;
	EXPECT_EQ(JV_REASON_NONE,
		  jv_reattach_open(&rx, sid, rs, w->reattach, sizeof(w->reattach)));
}

TEST_F(messages, switch_opens)
{
	struct world *w = &self->w;
	struct jv_switch_request request;
	struct jv_switch_answer answer;
	uint8_t req_id[8];

	unit_count_up(req_id, 0xa8, 8);
	EXPECT_EQ(2, jv_switch_rseq(w->sw));
	ASSERT_EQ(JV_REASON_NONE,
		  jv_switch_open(w->re_keys.sw_c, w->sw, sizeof(w->sw), &request));
	EXPECT_TRUE(same_switch(&request, &w->sw_request));
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_switch_open(w->re_keys.sw_g, w->sw, sizeof(w->sw), &request));
	EXPECT_EQ(JV_REASON_AUTH_FAIL,
		  jv_switch_open(w->birth.keys.sw_c, w->sw, sizeof(w->sw), &request));

	ASSERT_EQ(JV_REASON_NONE,
		  jv_switch_resp_open(w->re_keys.sw_g, req_id, 2, w->sw_resp,
				      sizeof(w->sw_resp), &answer));
	EXPECT_EQ(JV_STATUS_OK, answer.status);
	EXPECT_EQ(3, answer.version.bver);
	EXPECT_EQ(JV_REASON_MALFORMED,
		  jv_switch_resp_open(w->re_keys.sw_g, req_id, 3, w->sw_resp,
				      sizeof(w->sw_resp), &answer));
	req_id[0] ^= 1;
	EXPECT_EQ(JV_REASON_MALFORMED,
		  jv_switch_resp_open(w->re_keys.sw_g, req_id, 2, w->sw_resp,
				      sizeof(w->sw_resp), &answer));
}

/* Without a cookie a request is only a question for one: it opens nowhere. */
TEST_F(messages, cold_forms)
{
	struct world *w = &self->w;
	uint8_t filler[104], out[208], req_id[8] = { 3 };
	struct jv_reattach_received rx;
	struct jv_switch_request request;

	unit_count_up(filler, 1, sizeof(filler));
	jv_switch_build_cold(out, w->tag1_key, 0, w->re_answer.cid, req_id, filler);
	EXPECT_EQ(JV_REASON_NONE, jv_wire_check(out, 128));
	EXPECT_TRUE(jv_tag1_ok(w->tag1_key, out, 128));
	EXPECT_EQ(0, jv_switch_rseq(out));
	EXPECT_EQ(JV_REASON_MALFORMED, jv_switch_open(w->re_keys.sw_c, out, 128, &request));

	jv_reattach_build_cold(out, w->gateway.public, 0, w->init_answer.locator, req_id, filler);
	EXPECT_EQ(JV_REASON_NONE, jv_wire_check(out, 208));
	EXPECT_TRUE(jv_tag1_ok(w->tag1_key, out, 208));
	EXPECT_EQ(JV_REASON_MALFORMED,
		  jv_reattach_open(&rx, w->birth.sid, w->birth.rs, out, 208));
}

TEST_F(messages, retry)
{
	uint8_t req_id[8], cookie[16];
	struct jvpn_retry retry;

	jv_retry_build(&retry, (const uint8_t *)"12345678", self->w.cookie);
	ASSERT_EQ(JV_REASON_NONE, jv_retry_open(&retry, sizeof(retry), req_id, cookie));
	EXPECT_EQ(0, memcmp(req_id, "12345678", 8));
	EXPECT_EQ(0, memcmp(cookie, self->w.cookie, 16));
	jv_retry_build(&retry, req_id, self->w.zero);
	EXPECT_EQ(JV_REASON_MALFORMED, jv_retry_open(&retry, sizeof(retry), req_id, cookie));
}

TEST_F(messages, locator)
{
	struct world *w = &self->w;
	uint8_t key[32], sid[16];
	uint16_t shard;

	ASSERT_EQ(0, jv_locator_open(w->init_answer.locator, w->k_loc, 0, &shard, sid));
	EXPECT_EQ(SHARD, shard);
	EXPECT_EQ(0, memcmp(sid, w->birth.sid, 16));
	EXPECT_EQ(-1, jv_locator_open(w->init_answer.locator, w->k_loc, 1, &shard, sid));
	jv_locator_key(key, w->gateway.secret, 1);
	EXPECT_EQ(-1, jv_locator_open(w->init_answer.locator, key, 0, &shard, sid));
}

/* The version rule, exhaustively over small numbers, against its own words. */
TEST(version_rule)
{
	for (uint64_t term = 1; term < 4; term++)
	for (uint64_t bver = 0; bver < 4; bver++)
	for (uint64_t seen = 0; seen <= bver; seen++)
	for (uint64_t et = 0; et < 5; et++)
	for (uint64_t eb = 0; eb < 5; eb++)
	for (int rebind = 0; rebind < 2; rebind++) {
		bool in_range = et == term && seen <= eb && eb <= bver;
		bool first = rebind && et < term && seen == 0;
		enum jv_status want = et > term ? JV_STATUS_STALE_OWNER :
				      in_range || first ? JV_STATUS_OK :
				      JV_STATUS_VERSION_MISMATCH;

		EXPECT_EQ(want, jv_version_check((struct jv_version){ et, eb },
						 (struct jv_version){ term, bver }, seen,
						 rebind));
	}
}

TEST_HARNESS_MAIN
