// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>

#include "reattach.h"

enum { HEADER = 96 };			/* bytes bound by the prologue */

#define LABEL_LEN (sizeof(JVPN_LABEL_REATTACH) - 1)
#define PROLOGUE_LEN (LABEL_LEN + JVPN_SID_LEN + HEADER)

/* The sealed part of REATTACH and of its answer. */
struct request_payload {
	__le64 rseq, exp_term, exp_bver;
	__u8 cid[8];
	__u8 op, reason, path_id, aead_mask;
	__le32 flags;
	__le64 rx_highest;
	__u8 zero[8];
} __attribute__((packed));

struct answer_payload {
	__u8 status, aead;
	__le16 flags;
	__le32 retry_after_ms;
	__u8 cid[8];
	__le64 term, bver;
	__u8 locator[60];
	__u8 zero[4];
} __attribute__((packed));

static_assert(sizeof(struct request_payload) == 56, "REATTACH payload");
static_assert(sizeof(struct answer_payload) == 96, "REATTACH_RESP payload");

static void prologue(uint8_t out[PROLOGUE_LEN], const uint8_t sid[JVPN_SID_LEN],
		     const struct jvpn_reattach *msg)
{
	memcpy(out, JVPN_LABEL_REATTACH, LABEL_LEN);
	memcpy(out + LABEL_LEN, sid, JVPN_SID_LEN);
	memcpy(out + LABEL_LEN + JVPN_SID_LEN, msg, HEADER);
}

void jv_reattach_sent_wipe(struct jv_reattach_sent *sent)
{
	jv_noise_wipe(&sent->noise);
}

void jv_reattach_received_wipe(struct jv_reattach_received *rx)
{
	jv_noise_wipe(&rx->noise);
}

static void put_header(struct jvpn_reattach *msg, uint8_t kid, const uint8_t *locator,
		       const uint8_t *req_id)
{
	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_REATTACH;
	msg->version = JVPN_WIRE_VERSION;
	msg->kid = kid;
	msg->suite = JVPN_SUITE_X25519;
	memcpy(msg->locator, locator, sizeof(msg->locator));
	memcpy(msg->req_id, req_id, sizeof(msg->req_id));
}

static void put_tag1(uint8_t *out, const uint8_t gateway_public[32])
{
	uint8_t key[16];

	jv_tag1_key(key, gateway_public);
	jv_tag1_put(key, out, sizeof(struct jvpn_reattach));
}

int jv_reattach_build(struct jv_reattach_sent *sent, uint8_t out[sizeof(struct jvpn_reattach)],
		      const uint8_t gateway_public[32], uint8_t kid,
		      const uint8_t sid[JVPN_SID_LEN], const uint8_t rs[32],
		      const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t req_id[8],
		      const uint8_t cookie[16], const struct jv_keypair *e,
		      const struct jv_reattach_request *request)
{
	struct jvpn_reattach *msg = (struct jvpn_reattach *)out;
	struct request_payload payload = {
		.rseq = htole64(request->rseq),
		.exp_term = htole64(request->expect.term),
		.exp_bver = htole64(request->expect.bver),
		.op = request->op,
		.reason = request->reason,
		.path_id = request->path_id,
		.aead_mask = request->aead_mask,
		.rx_highest = htole64(request->rx_highest),
	};
	uint8_t pro[PROLOGUE_LEN];

	memcpy(payload.cid, request->cid, sizeof(payload.cid));
	put_header(msg, kid, locator, req_id);
	memcpy(msg->cookie, cookie, sizeof(msg->cookie));
	prologue(pro, sid, msg);
	memcpy(sent->req_id, req_id, sizeof(sent->req_id));
	memcpy(sent->gateway_public, gateway_public, sizeof(sent->gateway_public));
	sent->rseq = request->rseq;
	sent->aead_mask = request->aead_mask;
	jv_noise_start_nn(&sent->noise, true, rs, pro, sizeof(pro));
	if (jv_noise_write_head(&sent->noise, e, msg->e) ||
	    jv_noise_write_payload(&sent->noise, &payload, sizeof(payload), msg->payload))
		return -1;
	put_tag1(out, gateway_public);
	crypto_hash_sha256(sent->digest, out, sizeof(*msg));
	return 0;
}

void jv_reattach_build_cold(uint8_t out[sizeof(struct jvpn_reattach)],
			    const uint8_t gateway_public[32], uint8_t kid,
			    const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t req_id[8],
			    const uint8_t filler[104])
{
	struct jvpn_reattach *msg = (struct jvpn_reattach *)out;

	put_header(msg, kid, locator, req_id);
	memcpy(msg->e, filler, sizeof(msg->e));
	memcpy(msg->payload, filler + sizeof(msg->e), sizeof(msg->payload));
	put_tag1(out, gateway_public);
}

static enum jv_reason get_request(struct jv_reattach_request *request,
				  const struct request_payload *p)
{
	if (p->flags || !jv_is_zero(p->zero, sizeof(p->zero)) || p->op > JV_REATTACH_REKEY ||
	    !p->rseq || p->path_id >= JVPN_PATH_MAX || !p->aead_mask)
		return JV_REASON_MALFORMED;
	*request = (struct jv_reattach_request){
		.rseq = le64toh(p->rseq),
		.expect = { le64toh(p->exp_term), le64toh(p->exp_bver) },
		.op = p->op,
		.reason = p->reason,
		.path_id = p->path_id,
		.aead_mask = p->aead_mask,
		.rx_highest = le64toh(p->rx_highest),
	};
	memcpy(request->cid, p->cid, sizeof(request->cid));
	return JV_REASON_NONE;
}

enum jv_reason jv_reattach_open(struct jv_reattach_received *rx, const uint8_t sid[JVPN_SID_LEN],
				const uint8_t rs[32], const void *dgram, size_t len)
{
	const struct jvpn_reattach *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	uint8_t pro[PROLOGUE_LEN];
	struct request_payload payload;

	if (reason)
		return reason;
	if (msg->type != JVPN_T_REATTACH || jv_is_zero(msg->cookie, sizeof(msg->cookie)))
		return JV_REASON_MALFORMED;
	memcpy(rx->req_id, msg->req_id, sizeof(rx->req_id));
	prologue(pro, sid, msg);
	jv_noise_start_nn(&rx->noise, false, rs, pro, sizeof(pro));
	if (jv_noise_read_head(&rx->noise, msg->e) ||
	    jv_noise_read_payload(&rx->noise, msg->payload, sizeof(msg->payload), &payload))
		return JV_REASON_AUTH_FAIL;
	reason = get_request(&rx->request, &payload);
	if (reason)
		jv_reattach_received_wipe(rx);
	return reason;
}

static void put_answer(struct answer_payload *p, const struct jv_reattach_answer *answer)
{
	*p = (struct answer_payload){
		.status = answer->status,
		.retry_after_ms = htole32(answer->retry_after_ms),
		.term = htole64(answer->version.term),
		.bver = htole64(answer->version.bver),
	};
	if (answer->status != JV_STATUS_OK)
		return;
	p->aead = answer->aead;
	memcpy(p->cid, answer->cid, sizeof(p->cid));
	memcpy(p->locator, answer->locator, sizeof(p->locator));
}

int jv_reattach_resp_build(struct jv_reattach_received *rx, const struct jv_keypair *e,
			   const struct jv_reattach_answer *answer,
			   uint8_t out[sizeof(struct jvpn_reattach_resp)],
			   struct jv_epoch_keys *keys)
{
	struct jvpn_reattach_resp *msg = (struct jvpn_reattach_resp *)out;
	struct answer_payload payload;
	int rc;

	put_answer(&payload, answer);
	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_REATTACH_RESP;
	msg->version = JVPN_WIRE_VERSION;
	msg->suite = JVPN_SUITE_X25519;
	memcpy(msg->req_id, rx->req_id, sizeof(msg->req_id));
	rc = jv_noise_write_head(&rx->noise, e, msg->e) ||
	     jv_noise_write_payload(&rx->noise, &payload, sizeof(payload), msg->payload) ||
	     jv_noise_finish(&rx->noise, keys, NULL);
	if (rc || answer->status != JV_STATUS_OK)
		sodium_memzero(keys, sizeof(*keys));
	jv_reattach_received_wipe(rx);
	return rc ? -1 : 0;
}

static enum jv_reason get_answer(struct jv_reattach_answer *answer, const struct answer_payload *p,
				 uint8_t aead_mask)
{
	bool ok = p->status == JV_STATUS_OK;

	if (p->flags || !jv_is_zero(p->zero, sizeof(p->zero)))
		return JV_REASON_MALFORMED;
	if (ok && (p->aead > 7 || !(aead_mask & JVPN_AEAD_BIT(p->aead))))
		return JV_REASON_MALFORMED;
	if (!ok && (p->aead || !jv_is_zero(p->cid, sizeof(p->cid)) ||
		    !jv_is_zero(p->locator, sizeof(p->locator))))
		return JV_REASON_MALFORMED;
	*answer = (struct jv_reattach_answer){
		.status = p->status,
		.aead = p->aead,
		.retry_after_ms = le32toh(p->retry_after_ms),
		.version = { le64toh(p->term), le64toh(p->bver) },
	};
	memcpy(answer->cid, p->cid, sizeof(answer->cid));
	memcpy(answer->locator, p->locator, sizeof(answer->locator));
	return JV_REASON_NONE;
}

enum jv_reason jv_reattach_resp_open(const struct jv_reattach_sent *sent, const void *dgram,
				     size_t len, struct jv_reattach_answer *answer,
				     struct jv_epoch_keys *keys)
{
	const struct jvpn_reattach_resp *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	struct answer_payload payload;
	struct jv_noise noise;

	if (reason)
		return reason;
	if (msg->type != JVPN_T_REATTACH_RESP ||
	    memcmp(msg->req_id, sent->req_id, sizeof(msg->req_id)))
		return JV_REASON_MALFORMED;
	noise = sent->noise;
	if (jv_noise_read_head(&noise, msg->e) ||
	    jv_noise_read_payload(&noise, msg->payload, sizeof(msg->payload), &payload))
		return JV_REASON_AUTH_FAIL;
	reason = get_answer(answer, &payload, sent->aead_mask);
	if (!reason && answer->status == JV_STATUS_OK && jv_noise_finish(&noise, keys, NULL))
		reason = JV_REASON_AUTH_FAIL;
	jv_noise_wipe(&noise);
	return reason;
}

/* The tag needs the Diffie-Hellman that only the gateway and this client can make. */
static int deny_tag(uint8_t tag[16], const uint8_t secret[32], const uint8_t public[32],
		    const struct jvpn_deny *msg, const uint8_t digest[32])
{
	uint8_t dh[32], key[32], in[16 + 32], full[32];
	int bad;

	bad = crypto_scalarmult(dh, secret, public) || sodium_is_zero(dh, sizeof(dh));
	if (!bad) {
		crypto_auth_hmacsha256(key, (const uint8_t *)JVPN_LABEL_DENY,
				       sizeof(JVPN_LABEL_DENY) - 1, dh);
		memcpy(in, msg, 16);
		memcpy(in + 16, digest, 32);
		crypto_auth_hmacsha256(full, in, sizeof(in), key);
		memcpy(tag, full, 16);
		sodium_memzero(key, sizeof(key));
		sodium_memzero(full, sizeof(full));
	}
	sodium_memzero(dh, sizeof(dh));
	return bad ? -1 : 0;
}

int jv_deny_build(uint8_t out[sizeof(struct jvpn_deny)], const struct jv_keypair *gateway,
		  const void *dgram, enum jv_deny_reason reason)
{
	const struct jvpn_reattach *request = dgram;
	struct jvpn_deny *msg = (struct jvpn_deny *)out;
	uint8_t digest[32];

	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_DENY;
	msg->version = JVPN_WIRE_VERSION;
	msg->reason = reason;
	memcpy(msg->req_id, request->req_id, sizeof(msg->req_id));
	crypto_hash_sha256(digest, dgram, sizeof(*request));
	return deny_tag(msg->tag, gateway->secret, request->e, msg, digest);
}

enum jv_reason jv_deny_open(const struct jv_reattach_sent *sent, const void *dgram, size_t len,
			    enum jv_deny_reason *reason)
{
	const struct jvpn_deny *msg = dgram;
	enum jv_reason bad = jv_wire_check(dgram, len);
	uint8_t tag[16];

	if (bad)
		return bad;
	if (msg->type != JVPN_T_DENY || msg->reason < JV_DENY_UNKNOWN_SESSION ||
	    msg->reason > JV_DENY_TERMINATED ||
	    memcmp(msg->req_id, sent->req_id, sizeof(msg->req_id)))
		return JV_REASON_MALFORMED;
	if (deny_tag(tag, sent->noise.e.secret, sent->gateway_public, msg, sent->digest) ||
	    sodium_memcmp(tag, msg->tag, sizeof(tag)))
		return JV_REASON_AUTH_FAIL;
	*reason = msg->reason;
	return JV_REASON_NONE;
}
