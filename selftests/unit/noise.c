// SPDX-License-Identifier: GPL-2.0
/* The Noise engine against the published vectors of both patterns, and misused. */
#include "unit.h"

#include <sodium.h>

#include "noise.h"

struct sides {
	struct jv_keypair init_s, resp_s, init_e, resp_e;
	uint8_t prologue[64], psk[32];
	size_t prologue_len;
	struct jv_noise init, resp;
};

static void load_key(struct jv_keypair *kp, const char *name)
{
	uint8_t secret[32];

	unit_vector(name, secret, sizeof(secret));
	jv_keypair_from_secret(kp, secret);
}

static void load(struct sides *s, bool ik)
{
	load_key(&s->init_s, "noise_init_static");
	load_key(&s->resp_s, "noise_resp_static");
	load_key(&s->init_e, "noise_init_ephemeral");
	load_key(&s->resp_e, "noise_resp_ephemeral");
	s->prologue_len = unit_vector("noise_prologue", s->prologue, sizeof(s->prologue));
	unit_vector("noise_psk", s->psk, sizeof(s->psk));
	if (ik) {
		jv_noise_start_ik(&s->init, true, &s->init_s, s->resp_s.public, s->prologue,
				  s->prologue_len);
		jv_noise_start_ik(&s->resp, false, &s->resp_s, NULL, s->prologue,
				  s->prologue_len);
		jv_noise_set_psk(&s->init, s->psk);
		jv_noise_set_psk(&s->resp, s->psk);
	} else {
		jv_noise_start_nn(&s->init, true, s->psk, s->prologue, s->prologue_len);
		jv_noise_start_nn(&s->resp, false, s->psk, s->prologue, s->prologue_len);
	}
}

/* One message from @tx to @rx, compared with its vector on the way. */
static bool exchange(struct jv_noise *tx, struct jv_noise *rx, const struct jv_keypair *e,
		     size_t head, const char *payload_name, const char *message_name)
{
	uint8_t payload[64], message[512], got[64];
	size_t n = unit_vector(payload_name, payload, sizeof(payload));
	size_t len = head + n + JV_NOISE_TAG;

	return !jv_noise_write_head(tx, e, message) &&
	       !jv_noise_write_payload(tx, payload, n, message + head) &&
	       unit_is_vector(message_name, message, len) &&
	       !jv_noise_read_head(rx, message) &&
	       !jv_noise_read_payload(rx, message + head, len - head, got) &&
	       unit_same(payload_name, got, n, payload, n);
}

/* The published transport messages prove the chaining key: Split() is HKDF(ck, ""). */
static bool transport(const struct jv_noise *n, unsigned int which, const char *payload_name,
		      const char *message_name)
{
	uint8_t prk[32], key[33], nonce[12] = { 0 }, payload[64], out[128];
	size_t len = unit_vector(payload_name, payload, sizeof(payload));

	crypto_auth_hmacsha256(prk, NULL, 0, n->ck);
	key[0] = 1;
	crypto_auth_hmacsha256(key, key, 1, prk);
	if (which == 2) {
		key[32] = 2;
		crypto_auth_hmacsha256(key, key, 33, prk);
	}
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, payload, len, NULL, 0, NULL, nonce,
						  key);
	return unit_is_vector(message_name, out, len + JV_NOISE_TAG);
}

TEST(ikpsk2_published)
{
	struct sides s;

	load(&s, true);
	ASSERT_TRUE(unit_is_vector("noise_resp_static_public", s.resp_s.public, 32));
	ASSERT_TRUE(exchange(&s.init, &s.resp, &s.init_e, JV_NOISE_HEAD_IK1, "noise_payload1",
			     "ikpsk2_message1"));
	ASSERT_EQ(0, memcmp(s.resp.rs, s.init_s.public, 32));
	ASSERT_TRUE(exchange(&s.resp, &s.init, &s.resp_e, JV_NOISE_HEAD, "noise_payload2",
			     "ikpsk2_message2"));
	ASSERT_TRUE(transport(&s.init, 1, "noise_payload3", "ikpsk2_message3"));
	ASSERT_TRUE(transport(&s.resp, 2, "noise_payload4", "ikpsk2_message4"));
	ASSERT_EQ(0, memcmp(s.init.sid, s.resp.sid, 16));
}

TEST(nnpsk0_published)
{
	struct sides s;

	load(&s, false);
	ASSERT_TRUE(exchange(&s.init, &s.resp, &s.init_e, JV_NOISE_HEAD, "noise_payload1",
			     "nnpsk0_message1"));
	ASSERT_TRUE(exchange(&s.resp, &s.init, &s.resp_e, JV_NOISE_HEAD, "noise_payload2",
			     "nnpsk0_message2"));
	ASSERT_TRUE(transport(&s.init, 1, "noise_payload3", "nnpsk0_message3"));
	ASSERT_TRUE(transport(&s.resp, 2, "noise_payload4", "nnpsk0_message4"));
}

static bool is_wiped(const struct jv_noise *n)
{
	struct jv_noise wiped;

	memset(&wiped, 0, sizeof(wiped));
	jv_noise_wipe(&wiped);
	return !memcmp(n, &wiped, sizeof(wiped));
}

/* Both ends get the same four keys and RS, all different, and nothing stays behind. */
TEST(key_schedule)
{
	struct jv_epoch_keys a, b;
	uint8_t rs_a[32], rs_b[32];
	struct sides s;

	load(&s, true);
	ASSERT_TRUE(exchange(&s.init, &s.resp, &s.init_e, JV_NOISE_HEAD_IK1, "noise_payload1",
			     "ikpsk2_message1"));
	ASSERT_TRUE(exchange(&s.resp, &s.init, &s.resp_e, JV_NOISE_HEAD, "noise_payload2",
			     "ikpsk2_message2"));
	ASSERT_EQ(0, jv_noise_finish(&s.init, &a, rs_a));
	ASSERT_EQ(0, jv_noise_finish(&s.resp, &b, rs_b));
	EXPECT_EQ(0, memcmp(&a, &b, sizeof(a)));
	EXPECT_EQ(0, memcmp(rs_a, rs_b, 32));
	EXPECT_NE(0, memcmp(a.c2g, a.g2c, 32));
	EXPECT_NE(0, memcmp(a.sw_c, a.sw_g, 32));
	EXPECT_NE(0, memcmp(a.c2g, a.sw_c, 32));
	EXPECT_NE(0, memcmp(a.c2g, rs_a, 32));
	EXPECT_TRUE(is_wiped(&s.init));
	EXPECT_TRUE(is_wiped(&s.resp));
}

/* Points of small order would give a secret that everybody knows. */
TEST(low_order_points_abort)
{
	static const uint8_t points[][32] = {
		{ 0 },
		{ 1 },
		{ 0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
		  0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
		  0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00 },
		{ 0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
	};
	uint8_t message[128];
	struct sides s;

	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		load(&s, true);
		memset(message, 0, sizeof(message));
		memcpy(message, points[i], 32);
		EXPECT_EQ(-1, jv_noise_read_head(&s.resp, message));
		EXPECT_TRUE(is_wiped(&s.resp));

		jv_noise_start_ik(&s.init, true, &s.init_s, points[i], "", 0);
		EXPECT_EQ(-1, jv_noise_write_head(&s.init, &s.init_e, message));

		load(&s, false);
		ASSERT_EQ(0, jv_noise_write_head(&s.init, &s.init_e, message));
		ASSERT_EQ(0, jv_noise_write_payload(&s.init, "", 0, message + 32));
		memcpy(message, points[i], 32);
		EXPECT_EQ(-1, jv_noise_read_head(&s.init, message));
	}
}

/* A different psk, prologue, static key or a flipped bit: no handshake. */
TEST(mismatch_fails)
{
	uint8_t message[512], payload[64];
	struct sides s;

	load(&s, true);
	ASSERT_EQ(0, jv_noise_write_head(&s.init, &s.init_e, message));
	ASSERT_EQ(0, jv_noise_write_payload(&s.init, "x", 1, message + JV_NOISE_HEAD_IK1));
	jv_noise_start_ik(&s.resp, false, &s.resp_s, NULL, "other", 5);
	EXPECT_EQ(-1, jv_noise_read_head(&s.resp, message));
	jv_noise_start_ik(&s.resp, false, &s.init_s, NULL, s.prologue, s.prologue_len);
	EXPECT_EQ(-1, jv_noise_read_head(&s.resp, message));

	/* The psk enters in the second message: the initiator finds out. */
	jv_noise_start_ik(&s.resp, false, &s.resp_s, NULL, s.prologue, s.prologue_len);
	ASSERT_EQ(0, jv_noise_read_head(&s.resp, message));
	ASSERT_EQ(0, jv_noise_read_payload(&s.resp, message + JV_NOISE_HEAD_IK1,
					   1 + JV_NOISE_TAG, payload));
	s.psk[0] ^= 1;
	jv_noise_set_psk(&s.resp, s.psk);
	ASSERT_EQ(0, jv_noise_write_head(&s.resp, &s.resp_e, message));
	ASSERT_EQ(0, jv_noise_write_payload(&s.resp, "y", 1, message + JV_NOISE_HEAD));
	ASSERT_EQ(0, jv_noise_read_head(&s.init, message));
	EXPECT_EQ(-1, jv_noise_read_payload(&s.init, message + JV_NOISE_HEAD, 1 + JV_NOISE_TAG,
					    payload));
	EXPECT_TRUE(is_wiped(&s.init));
}

TEST(order_is_enforced)
{
	struct jv_epoch_keys keys;
	uint8_t message[512];
	struct sides s;

	load(&s, true);
	EXPECT_EQ(-1, jv_noise_read_head(&s.init, message));
	EXPECT_EQ(-1, jv_noise_write_head(&s.init, &s.init_e, message)); /* dead now */
	load(&s, true);
	EXPECT_EQ(-1, jv_noise_write_payload(&s.init, "", 0, message));
	load(&s, true);
	EXPECT_EQ(-1, jv_noise_write_head(&s.resp, &s.resp_e, message));
	load(&s, true);
	ASSERT_EQ(0, jv_noise_write_head(&s.init, &s.init_e, message));
	EXPECT_EQ(-1, jv_noise_finish(&s.init, &keys, NULL));
	EXPECT_TRUE(is_wiped(&s.init));
}

TEST_HARNESS_MAIN
