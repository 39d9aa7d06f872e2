// SPDX-License-Identifier: GPL-2.0
/*
 * Hostile input: every message cut to every length, with every bit flipped, with
 * every reserved byte set, and random. Nothing of it may open; the sanitizers
 * watch every read.
 */
#include "vectors.h"

#include <sodium.h>

#include "../../kernel/datagram.h"

/* One parser, as a function of a datagram: true if it accepted. */
typedef bool (*opener)(struct world *w, const void *dgram, size_t len);

static bool open_init(struct world *w, const void *dgram, size_t len)
{
	struct jv_init_received rx;

	return !jv_init_identify(&rx, &w->gateway, dgram, len) && !jv_init_open(&rx, dgram, len);
}

/* As the kernel filters in front of the daemon. */
static bool open_tagged_init(struct world *w, const void *dgram, size_t len)
{
	return !jv_wire_check(dgram, len) && jv_tag1_ok(w->tag1_key, dgram, len) &&
	       open_init(w, dgram, len);
}

static bool open_init_resp(struct world *w, const void *dgram, size_t len)
{
	struct jv_init_answer answer;
	struct jv_birth birth;

	return !jv_init_resp_open(&w->init_sent, dgram, len, &answer, &birth);
}

static bool open_reattach(struct world *w, const void *dgram, size_t len)
{
	struct jv_reattach_received rx;

	return !jv_wire_check(dgram, len) && jv_tag1_ok(w->tag1_key, dgram, len) &&
	       !jv_reattach_open(&rx, w->birth.sid, w->birth.rs, dgram, len);
}

static bool open_reattach_resp(struct world *w, const void *dgram, size_t len)
{
	struct jv_reattach_answer answer;
	struct jv_epoch_keys keys;

	return !jv_reattach_resp_open(&w->re_sent, dgram, len, &answer, &keys);
}

static bool open_deny(struct world *w, const void *dgram, size_t len)
{
	enum jv_deny_reason reason;

	return !jv_deny_open(&w->re_sent, dgram, len, &reason);
}

static bool open_switch(struct world *w, const void *dgram, size_t len)
{
	struct jv_switch_request request;

	return !jv_wire_check(dgram, len) && jv_tag1_ok(w->tag1_key, dgram, len) &&
	       !jv_switch_open(w->re_keys.sw_c, dgram, len, &request);
}

static bool open_switch_resp(struct world *w, const void *dgram, size_t len)
{
	struct jv_switch_answer answer;
	uint8_t req_id[8];

	unit_count_up(req_id, 0xa8, 8);
	return !jv_switch_resp_open(w->re_keys.sw_g, req_id, 2, dgram, len, &answer);
}

static bool open_locator(struct world *w, const void *locator, size_t len)
{
	uint8_t sid[16];
	uint16_t shard;

	return len == JVPN_LOCATOR_LEN && !jv_locator_open(locator, w->k_loc, 0, &shard, sid);
}

/* A copy of exactly @len bytes on the heap, so that reading beyond is caught. */
static uint8_t *exact(const void *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, data, len);
	return copy;
}

static unsigned int count_accepted(struct world *w, opener open, const void *msg, size_t len)
{
	unsigned int accepted = 0;

	for (size_t n = 0; n < len; n++) {	/* cut */
		uint8_t *copy = exact(msg, n);

		accepted += open(w, copy, n);
		free(copy);
	}
	for (size_t extra = 1; extra < 40; extra++) {	/* too long */
		uint8_t *copy = calloc(1, len + extra);

		memcpy(copy, msg, len);
		accepted += open(w, copy, len + extra);
		free(copy);
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {	/* flipped */
		uint8_t *copy = exact(msg, len);

		copy[bit / 8] ^= 1 << bit % 8;
		accepted += open(w, copy, len);
		free(copy);
	}
	return accepted;
}

FIXTURE(parsers) {
	struct world w;
};

FIXTURE_SETUP(parsers)
{
	ASSERT_TRUE(world_make(&self->w));
}

FIXTURE_TEARDOWN(parsers)
{
}

#define REFUSES_ALL(name, open, msg, len)					\
TEST_F_TIMEOUT(parsers, name, 120)						\
{										\
	struct world *w = &self->w;						\
										\
	ASSERT_TRUE(open(w, msg, len));						\
	EXPECT_EQ(0, count_accepted(w, open, msg, len));			\
	ASSERT_TRUE(open(w, msg, len));						\
}

REFUSES_ALL(init, open_tagged_init, w->init, sizeof(w->init))
REFUSES_ALL(init_resp, open_init_resp, w->init_resp, w->init_resp_len)
REFUSES_ALL(reattach, open_reattach, w->reattach, sizeof(w->reattach))
REFUSES_ALL(reattach_resp, open_reattach_resp, w->reattach_resp, sizeof(w->reattach_resp))
REFUSES_ALL(deny, open_deny, w->deny, sizeof(w->deny))
REFUSES_ALL(sw, open_switch, w->sw, sizeof(w->sw))
REFUSES_ALL(switch_resp, open_switch_resp, w->sw_resp, sizeof(w->sw_resp))
REFUSES_ALL(locator, open_locator, w->init_answer.locator, JVPN_LOCATOR_LEN)

/* The proof itself, without tag1 in front: every bit but tag1's own is bound. */
TEST_F_TIMEOUT(parsers, init_proof_binds_every_byte, 120)
{
	struct world *w = &self->w;

	for (size_t at = 0; at < sizeof(w->init); at++) {
		uint8_t *copy = exact(w->init, sizeof(w->init));

		copy[at] ^= 0x40;
		EXPECT_EQ(at >= 504, open_init(w, copy, sizeof(w->init))) {
			TH_LOG("byte %zu", at);
		}
		free(copy);
	}
}

/* Reserved bytes in clear are refused before any cryptography; flips there name the reason. */
TEST_F(parsers, first_check)
{
	struct { const uint8_t *msg; size_t len; const uint8_t zero[8]; } cases[] = {
		{ self->w.init, 512, { 4, 5, 6, 7 } },
		{ self->w.init_resp, 176, { 2, 4, 5, 6, 7 } },
		{ self->w.reattach, 208, { 4, 5, 6, 7, 68, 69, 70, 71 } },
		{ self->w.reattach_resp, 160, { 2, 4, 5, 6, 7 } },
		{ self->w.deny, 32, { 3, 4, 5, 6, 7 } },
		{ self->w.sw, 128, { 3, 4, 5, 6, 7 } },
		{ self->w.sw_resp, 96, { 2, 3, 4, 5, 6, 7 } },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint8_t *copy = exact(cases[i].msg, cases[i].len);

		EXPECT_EQ(JV_REASON_NONE, jv_wire_check(copy, cases[i].len));
		EXPECT_EQ(JV_REASON_MALFORMED, jv_wire_check(copy, cases[i].len - 1));
		for (size_t z = 0; z < 8 && cases[i].zero[z]; z++) {
			copy[cases[i].zero[z]] = 1;
			EXPECT_EQ(JV_REASON_MALFORMED, jv_wire_check(copy, cases[i].len)) {
				TH_LOG("case %zu byte %u", i, cases[i].zero[z]);
			}
			copy[cases[i].zero[z]] = 0;
		}
		copy[1] = 2;
		EXPECT_EQ(JV_REASON_PROTOCOL_VERSION_UNSUPPORTED,
			  jv_wire_check(copy, cases[i].len));
		copy[1] = 1;
		copy[0] = 0x7f;
		EXPECT_EQ(JV_REASON_UNKNOWN_TYPE, jv_wire_check(copy, cases[i].len));
		free(copy);
	}
}

/* Seal @plain as the genuine peer would: what an authentic but wrong peer can send. */
static void seal_switch(struct world *w, uint8_t out[128], const uint8_t plain[56])
{
	uint8_t nonce[12] = { 0 };

	memcpy(out, w->sw, 128);
	memcpy(nonce + 4, out + 40, 8);
	crypto_aead_chacha20poly1305_ietf_encrypt(out + 48, NULL, plain, 56, out, 48, NULL, nonce,
						  w->re_keys.sw_c);
	jv_tag1_put(w->tag1_key, out, 128);
}

static void seal_switch_resp(struct world *w, uint8_t out[96], const uint8_t plain[56])
{
	uint8_t nonce[12] = { 0 };

	memcpy(out, w->sw_resp, 96);
	memcpy(nonce + 4, out + 16, 8);
	crypto_aead_chacha20poly1305_ietf_encrypt(out + 24, NULL, plain, 56, out, 24, NULL, nonce,
						  w->re_keys.sw_g);
}

/* An authentic payload with a reserved byte set is malformed; the others are values. */
TEST_F(parsers, reserved_bytes_inside)
{
	struct world *w = &self->w;
	uint8_t out[128];

	for (size_t at = 0; at < 56; at++) {
		uint8_t plain[56] = { 0 };
		bool reserved = (at >= 18 && at < 24) || at >= 32;

		plain[at] = 1;
		seal_switch(w, out, plain);
		EXPECT_EQ(!reserved, open_switch(w, out, 128)) { TH_LOG("byte %zu", at); }

		reserved = (at >= 1 && at < 4) || at >= 24;
		seal_switch_resp(w, out, plain);
		EXPECT_EQ(!reserved, open_switch_resp(w, out, 96)) { TH_LOG("byte %zu", at); }
	}
}

TEST_F(parsers, path_id_range)
{
	struct world *w = &self->w;
	uint8_t out[128], plain[56] = { 0 };

	for (unsigned int id = 0; id < 256; id++) {
		plain[17] = id;
		seal_switch(w, out, plain);
		EXPECT_EQ(id < JVPN_PATH_MAX, open_switch(w, out, 128));
	}
}

/* An INIT payload at will, authentic. */
static bool init_with(struct world *w, const struct jvpn_init_payload *payload)
{
	struct jvpn_init *msg = (void *)w->init;
	struct jv_noise n;
	uint8_t pro[10 + 32], out[512];

	memcpy(pro, JVPN_LABEL_INIT, 10);
	memcpy(pro + 10, msg, 32);
	memcpy(out, w->init, sizeof(out));
	msg = (void *)out;
	jv_noise_start_ik(&n, true, &w->client, w->gateway.public, pro, sizeof(pro));
	if (jv_noise_write_head(&n, &w->client_e, msg->e) ||
	    jv_noise_write_payload(&n, payload, sizeof(*payload), msg->payload))
		return false;
	return open_init(w, out, sizeof(out));
}

TEST_F(parsers, init_payload)
{
	struct jvpn_init_payload good = { .aead_mask = 1 }, p;
	struct world *w = &self->w;

	ASSERT_TRUE(init_with(w, &good));
	p = good; p.aead_mask = 0;	EXPECT_FALSE(init_with(w, &p));
	p = good; p.flags = 1;		EXPECT_FALSE(init_with(w, &p));
	p = good; p.zero = 1;		EXPECT_FALSE(init_with(w, &p));
	p = good; p.path_id = 16;	EXPECT_FALSE(init_with(w, &p));
	p = good; p.tlv_len = htole16(361);	EXPECT_FALSE(init_with(w, &p));
	p = good; p.tlv_len = htole16(0xffff);	EXPECT_FALSE(init_with(w, &p));
	p = good; p.tlv_len = htole16(1);	EXPECT_FALSE(init_with(w, &p));
	p = good; p.tlv[359] = 1;	EXPECT_FALSE(init_with(w, &p));
	p = good; p.tlv_len = htole16(360);	EXPECT_TRUE(init_with(w, &p));
}

/* An INIT_RESP payload at will, authentic. */
static bool init_resp_with(struct world *w, const void *payload, size_t len)
{
	struct jv_init_received rx;
	struct jvpn_init_resp *msg;
	uint8_t out[512], sid[16];

	memcpy(out, w->init_resp, sizeof(*msg));
	msg = (void *)out;
	if (jv_init_identify(&rx, &w->gateway, w->init, sizeof(w->init)) ||
	    jv_init_open(&rx, w->init, sizeof(w->init)) ||
	    jv_init_accept(&rx, w->psk, &w->gateway_e, sid) ||
	    jv_noise_write_payload(&rx.noise, payload, len, msg->payload))
		return false;
	return open_init_resp(w, out, sizeof(*msg) + len + JVPN_TAG_LEN);
}

TEST_F(parsers, init_resp_payload)
{
	struct world *w = &self->w;
	struct { struct jvpn_init_resp_payload p; uint8_t tlv[8]; } good = { 0 }, m;

	ASSERT_TRUE(init_resp_with(w, &good, 112));
	m = good; m.p.flags = 1;		EXPECT_FALSE(init_resp_with(w, &m, 112));
	m = good; m.p.aead = 2;			EXPECT_FALSE(init_resp_with(w, &m, 112));
	m = good; m.p.aead = 255;		EXPECT_FALSE(init_resp_with(w, &m, 112));
	m = good; m.p.tlv_len = htole16(1);	EXPECT_FALSE(init_resp_with(w, &m, 112));
	m = good; m.p.tlv_len = htole16(0xffff);	EXPECT_FALSE(init_resp_with(w, &m, 112));
	m = good;				EXPECT_FALSE(init_resp_with(w, &m, 114));
	m = good; m.p.tlv_len = htole16(2);	EXPECT_TRUE(init_resp_with(w, &m, 114));
	m.tlv[0] = JVPN_TLV_INNER4;		EXPECT_FALSE(init_resp_with(w, &m, 114));
	/* A refusal carries its status and the time to wait, nothing else. */
	m = good; m.p.status = JV_STATUS_POLICY;
	m.p.retry_after_ms = htole32(5);	EXPECT_TRUE(init_resp_with(w, &m, 112));
	m.p.aead = 1;				EXPECT_FALSE(init_resp_with(w, &m, 112));
	for (size_t at = 8; at < 112; at++) {
		m = good;
		m.p.status = JV_STATUS_POLICY;
		((uint8_t *)&m)[at] = 1;
		EXPECT_FALSE(init_resp_with(w, &m, 112)) { TH_LOG("byte %zu", at); }
	}
}

/* REATTACH and its answer with payloads at will, authentic. */
static bool reattach_with(struct world *w, const uint8_t payload[56])
{
	struct jvpn_reattach *msg;
	uint8_t pro[14 + 16 + 96], out[208];
	struct jv_noise n;

	memcpy(out, w->reattach, sizeof(out));
	msg = (void *)out;
	memcpy(pro, JVPN_LABEL_REATTACH, 14);
	memcpy(pro + 14, w->birth.sid, 16);
	memcpy(pro + 30, out, 96);
	jv_noise_start_nn(&n, true, w->birth.rs, pro, sizeof(pro));
	if (jv_noise_write_head(&n, &w->client_e2, msg->e) ||
	    jv_noise_write_payload(&n, payload, 56, msg->payload))
		return false;
	jv_tag1_put(w->tag1_key, out, sizeof(out));
	return open_reattach(w, out, sizeof(out));
}

static bool reattach_resp_with(struct world *w, const uint8_t payload[96])
{
	struct jv_reattach_received rx;
	uint8_t out[160];

	memcpy(out, w->reattach_resp, sizeof(out));
	if (jv_reattach_open(&rx, w->birth.sid, w->birth.rs, w->reattach, sizeof(w->reattach)) ||
	    jv_noise_write_head(&rx.noise, &w->gateway_e2, out + 16) ||
	    jv_noise_write_payload(&rx.noise, payload, 96, out + 48))
		return false;
	return open_reattach_resp(w, out, sizeof(out));
}

TEST_F(parsers, reattach_payloads)
{
	struct world *w = &self->w;

	for (size_t at = 0; at < 56; at++) {
		uint8_t p[56] = { [0] = 1, [35] = 1 };	/* rseq, aead_mask */

		EXPECT_TRUE(reattach_with(w, p));
		p[at] = 2;
		EXPECT_EQ(at != 32 && (at < 36 || (at >= 40 && at < 48)), reattach_with(w, p)) {
			TH_LOG("byte %zu", at);
		}
		p[at] = 0;
		EXPECT_EQ(at != 0 && at != 35, reattach_with(w, p)) { TH_LOG("byte %zu", at); }
	}
	for (size_t at = 1; at < 96; at++) {
		uint8_t p[96] = { 0 };
		bool reserved = (at >= 2 && at < 4) || at >= 92;
		bool bare = (at >= 4 && at < 8) || (at >= 16 && at < 32);

		p[at] = 1;
		EXPECT_EQ(!reserved, reattach_resp_with(w, p)) { TH_LOG("byte %zu", at); }
		p[0] = JV_STATUS_VERSION_MISMATCH;
		EXPECT_EQ(bare, reattach_resp_with(w, p)) { TH_LOG("byte %zu", at); }
	}
}

/* The kernel's filter and the daemon's first check are two readings of one text: they agree. */
TEST(kernel_and_daemon_agree)
{
	static const uint8_t types[] = { 1, 2, 3, 4, 5, 6, 0x82, 0x83, 0, 7, 0x80, 0x84, 0xff };
	static const uint16_t lengths[] = { 0, 1, 2, 31, 32, 33, 95, 96, 97, 127, 128, 129, 159,
					    160, 161, 175, 176, 177, 207, 208, 209, 511, 512, 513 };
	uint64_t seed = unit_seed("kernel_and_daemon_agree");
	unsigned int accepted = 0;

	for (uint64_t round = 0; round < unit_rounds("ROUNDS", 300000); round++) {
		size_t len = lengths[unit_random(&seed) % ARRAY_LEN(lengths)];
		uint8_t *dgram = calloc(1, len ? len : 1);
		const struct jvpn_shape *shape;
		bool kernel, daemon;

		if (len)
			dgram[0] = types[unit_random(&seed) % ARRAY_LEN(types)];
		if (len > 1)
			dgram[1] = unit_random(&seed) % 16 ? 1 : unit_random(&seed);
		if (len > 3)
			dgram[3] = unit_random(&seed) % 2;
		if (len && unit_random(&seed) % 4 == 0)
			dgram[unit_random(&seed) % len] = unit_random(&seed);
		kernel = !jvpn_datagram_check(dgram, len, &shape);
		daemon = !jv_wire_check(dgram, len);
		if (len && dgram[0] == JVPN_T_DATA)
			kernel = false;		/* not the daemon's */
		ASSERT_EQ(kernel, daemon) {
			TH_LOG("type %02x, %zu bytes", len ? dgram[0] : 0, len);
		}
		accepted += daemon;
		free(dgram);
	}
	EXPECT_LT(1000, accepted);
}

TEST(options)
{
	static const struct { const char *hex; enum jv_reason want; bool critical; } cases[] = {
		{ "", JV_REASON_NONE, false },
		{ "01050a00000120", JV_REASON_NONE, false },
		{ "01050a00000121", JV_REASON_MALFORMED, false },	/* prefix length 33 */
		{ "01040a000001", JV_REASON_MALFORMED, false },	/* wrong length */
		{ "01050a000001", JV_REASON_MALFORMED, false },	/* cut */
		{ "01050a0000012001050a00000220", JV_REASON_MALFORMED, false },	/* twice */
		{ "81050a00000120", JV_REASON_NONE, false },	/* critical, known */
		{ "7f00", JV_REASON_NONE, false },
		{ "7f0301", JV_REASON_MALFORMED, false },
		{ "ff00", JV_REASON_NONE, true },
		{ "ff", JV_REASON_MALFORMED, false },
		{ "0211000102030405060708090a0b0c0d0e0f81", JV_REASON_MALFORMED, false },
		{ "0211000102030405060708090a0b0c0d0e0f80", JV_REASON_NONE, false },
	};
	struct jv_options opt;
	uint8_t in[64];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = unit_unhex(cases[i].hex, in, sizeof(in));
		uint8_t *copy = exact(in, len);

		EXPECT_EQ(cases[i].want, jv_tlv_get(&opt, copy, len)) {
			TH_LOG("options %s", cases[i].hex);
		}
		EXPECT_EQ(cases[i].critical, opt.unknown_critical);
		free(copy);
	}
}

/* Whatever bytes are accepted as options are written again the same way. */
TEST(options_random)
{
	uint64_t seed = unit_seed("options_random");
	unsigned int accepted = 0;

	for (uint64_t round = 0; round < unit_rounds("ROUNDS", 200000); round++) {
		uint8_t in[48], out[512], *copy;
		size_t len = unit_random(&seed) % sizeof(in);
		struct jv_options opt, again;
		int n;

		for (size_t i = 0; i < len; i++)	/* small numbers: plausible types and lengths */
			in[i] = unit_random(&seed) % 20;
		copy = exact(in, len);
		if (!jv_tlv_get(&opt, copy, len)) {
			accepted++;
			n = jv_tlv_put(&opt, out, sizeof(out));
			ASSERT_LE(0, n);
			ASSERT_EQ(JV_REASON_NONE, jv_tlv_get(&again, out, n));
			opt.unknown_critical = false;
			ASSERT_EQ(0, memcmp(&opt, &again, sizeof(opt)));
		}
		free(copy);
	}
	EXPECT_LT(1000, accepted);
}

TEST(options_do_not_overflow)
{
	struct jv_options opt = { .has4 = true, .has6 = true, .has_psk_id = true, .gateways = 4 };
	uint8_t *out;
	int full = jv_tlv_put(&opt, (uint8_t[512]){ 0 }, 512);

	ASSERT_EQ(7 + 19 + 4 * 20 + 18, full);
	for (int size = 0; size < full; size++) {
		out = malloc(size ? size : 1);
		EXPECT_EQ(-1, jv_tlv_put(&opt, out, size));
		free(out);
	}
	out = malloc(full);
	EXPECT_EQ(full, jv_tlv_put(&opt, out, full));
	free(out);
}

/* Random datagrams with plausible headers reach every parser; none accepts. */
TEST_F_TIMEOUT(parsers, random, 240)
{
	static const struct { uint8_t type; uint16_t len; opener open; } all[] = {
		{ JVPN_T_INIT, 512, open_init },
		{ JVPN_T_INIT_RESP, 176, open_init_resp },
		{ JVPN_T_REATTACH, 208, open_reattach },
		{ JVPN_T_REATTACH_RESP, 160, open_reattach_resp },
		{ JVPN_T_DENY, 32, open_deny },
		{ JVPN_T_SWITCH, 128, open_switch },
		{ JVPN_T_SWITCH_RESP, 96, open_switch_resp },
	};
	uint64_t seed = unit_seed("random");

	for (uint64_t round = 0; round < unit_rounds("ROUNDS", 5000); round++) {
		size_t which = unit_random(&seed) % ARRAY_LEN(all);
		size_t len = all[which].len;
		uint8_t *dgram = malloc(len);

		unit_random_bytes(&seed, dgram, len);
		dgram[0] = all[which].type;
		dgram[1] = JVPN_WIRE_VERSION;
		memset(dgram + 2, 0, 6);
		if (which < 2 || which == 3 || which == 2)
			dgram[3] = JVPN_SUITE_X25519;
		if (which == 2)
			memset(dgram + 68, 0, 4);
		if (which == 2 || which == 5)
			jv_tag1_put(self->w.tag1_key, dgram, len);
		memcpy(dgram + 8, which == 5 ? self->w.sw + 8 : self->w.reattach + 72, 8);
		ASSERT_FALSE(all[which].open(&self->w, dgram, len)) {
			TH_LOG("type %02x accepted", all[which].type);
		}
		free(dgram);
	}
}

TEST_HARNESS_MAIN
