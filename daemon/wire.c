// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>

#include "wire.h"

bool jv_is_zero(const void *p, size_t len)
{
	const uint8_t *b = p;

	while (len--)
		if (*b++)
			return false;
	return true;
}

enum jv_status jv_version_check(struct jv_version exp, struct jv_version cur,
				uint64_t bver_c, bool rebind)
{
	if (exp.term > cur.term)
		return JV_STATUS_STALE_OWNER;
	if (exp.term == cur.term && bver_c <= exp.bver && exp.bver <= cur.bver)
		return JV_STATUS_OK;
	/* The first binding after a takeover or restart: nothing of this term was seen yet. */
	if (exp.term < cur.term && rebind && !bver_c)
		return JV_STATUS_OK;
	return JV_STATUS_VERSION_MISMATCH;
}

/* One row per control datagram: lengths, and the reserved bytes in clear. */
static const struct shape {
	uint8_t type;
	uint16_t min, max;
	struct { uint8_t at, len; } zero[2];
	uint8_t suite_at;		/* 0: has none */
} shapes[] = {
	{ JVPN_T_INIT, 512, 512, { { 4, 4 } }, 3 },
	{ JVPN_T_INIT_RESP, 176, JV_DATAGRAM_MAX, { { 2, 1 }, { 4, 4 } }, 3 },
	{ JVPN_T_RETRY, 32, 32, { { 2, 6 } }, 0 },
	{ JVPN_T_REATTACH, 208, 208, { { 4, 4 }, { 68, 4 } }, 3 },
	{ JVPN_T_REATTACH_RESP, 160, 160, { { 2, 1 }, { 4, 4 } }, 3 },
	{ JVPN_T_DENY, 32, 32, { { 3, 5 } }, 0 },
	{ JVPN_T_SWITCH, 128, 128, { { 3, 5 } }, 0 },
	{ JVPN_T_SWITCH_RESP, 96, 96, { { 2, 6 } }, 0 },
};

static const struct shape *shape_of(uint8_t type)
{
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].type == type)
			return &shapes[i];
	return NULL;
}

enum jv_reason jv_wire_check(const void *dgram, size_t len)
{
	const uint8_t *b = dgram;
	const struct shape *shape;

	if (len < 2)
		return JV_REASON_MALFORMED;
	shape = shape_of(b[0]);
	if (!shape)
		return JV_REASON_UNKNOWN_TYPE;
	if (b[1] != JVPN_WIRE_VERSION)
		return JV_REASON_PROTOCOL_VERSION_UNSUPPORTED;
	if (len < shape->min || len > shape->max)
		return JV_REASON_MALFORMED;
	for (size_t i = 0; i < 2; i++)
		if (!jv_is_zero(b + shape->zero[i].at, shape->zero[i].len))
			return JV_REASON_MALFORMED;
	if (shape->suite_at && b[shape->suite_at] != JVPN_SUITE_X25519)
		return JV_REASON_MALFORMED;
	return JV_REASON_NONE;
}

void jv_tag1_key(uint8_t key[16], const uint8_t gateway_public[32])
{
	uint8_t in[sizeof(JVPN_LABEL_TAG1) - 1 + 32], hash[32];

	memcpy(in, JVPN_LABEL_TAG1, sizeof(JVPN_LABEL_TAG1) - 1);
	memcpy(in + sizeof(JVPN_LABEL_TAG1) - 1, gateway_public, 32);
	crypto_hash_sha256(hash, in, sizeof(in));
	memcpy(key, hash, 16);
}

void jv_tag1_put(const uint8_t key[16], void *dgram, size_t len)
{
	uint8_t *b = dgram;

	crypto_shorthash(b + len - JV_TAG1_LEN, b, len - JV_TAG1_LEN, key);
}

bool jv_tag1_ok(const uint8_t key[16], const void *dgram, size_t len)
{
	const uint8_t *b = dgram;
	uint8_t tag[JV_TAG1_LEN];

	if (len < JV_TAG1_LEN)
		return false;
	crypto_shorthash(tag, b, len - JV_TAG1_LEN, key);
	return !sodium_memcmp(tag, b + len - JV_TAG1_LEN, JV_TAG1_LEN);
}

void jv_retry_build(struct jvpn_retry *out, const uint8_t req_id[8], const uint8_t cookie[16])
{
	*out = (struct jvpn_retry){ .type = JVPN_T_RETRY, .version = JVPN_WIRE_VERSION };
	memcpy(out->req_id, req_id, sizeof(out->req_id));
	memcpy(out->cookie, cookie, sizeof(out->cookie));
}

enum jv_reason jv_retry_open(const void *dgram, size_t len, uint8_t req_id[8], uint8_t cookie[16])
{
	const struct jvpn_retry *retry = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);

	if (reason)
		return reason;
	if (retry->type != JVPN_T_RETRY || jv_is_zero(retry->cookie, sizeof(retry->cookie)))
		return JV_REASON_MALFORMED;
	memcpy(req_id, retry->req_id, sizeof(retry->req_id));
	memcpy(cookie, retry->cookie, sizeof(retry->cookie));
	return JV_REASON_NONE;
}
