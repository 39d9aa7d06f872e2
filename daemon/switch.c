// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>

#include "switch.h"

enum {
	REQUEST_AD = offsetof(struct jvpn_switch, payload),
	ANSWER_AD = offsetof(struct jvpn_switch_resp, payload),
};

static void nonce_of(uint8_t nonce[12], uint64_t rseq)
{
	uint64_t le = htole64(rseq);

	memset(nonce, 0, 4);
	memcpy(nonce + 4, &le, 8);
}

static void put_header(struct jvpn_switch *msg, uint8_t kid, const uint8_t *cid,
		       const uint8_t *req_id)
{
	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_SWITCH;
	msg->version = JVPN_WIRE_VERSION;
	msg->kid = kid;
	memcpy(msg->cid, cid, sizeof(msg->cid));
	memcpy(msg->req_id, req_id, sizeof(msg->req_id));
}

void jv_switch_seal(uint8_t out[sizeof(struct jvpn_switch)], const uint8_t tag1_key[16],
		    const uint8_t sw_c[32], uint8_t kid, const uint8_t cid[8],
		    const uint8_t req_id[8], const uint8_t cookie[16], uint64_t rseq,
		    const struct jv_switch_request *request)
{
	struct jvpn_switch *msg = (struct jvpn_switch *)out;
	struct jvpn_switch_payload payload = {
		.exp_term = htole64(request->expect.term),
		.exp_bver = htole64(request->expect.bver),
		.reason = request->reason,
		.path_id = request->path_id,
		.rx_highest = htole64(request->rx_highest),
	};
	uint8_t nonce[12];

	put_header(msg, kid, cid, req_id);
	memcpy(msg->cookie, cookie, sizeof(msg->cookie));
	msg->rseq = htole64(rseq);
	nonce_of(nonce, rseq);
	crypto_aead_chacha20poly1305_ietf_encrypt(msg->payload, NULL, (const uint8_t *)&payload,
						  sizeof(payload), out, REQUEST_AD, NULL, nonce,
						  sw_c);
	jv_tag1_put(tag1_key, out, sizeof(*msg));
}

void jv_switch_build_cold(uint8_t out[sizeof(struct jvpn_switch)], const uint8_t tag1_key[16],
			  uint8_t kid, const uint8_t cid[8], const uint8_t req_id[8],
			  const uint8_t filler[72])
{
	struct jvpn_switch *msg = (struct jvpn_switch *)out;

	put_header(msg, kid, cid, req_id);
	memcpy(msg->payload, filler, sizeof(msg->payload));
	jv_tag1_put(tag1_key, out, sizeof(*msg));
}

uint64_t jv_switch_rseq(const void *dgram)
{
	const struct jvpn_switch *msg = dgram;

	return le64toh(msg->rseq);
}

static enum jv_reason get_request(struct jv_switch_request *request,
				  const struct jvpn_switch_payload *p)
{
	if (p->flags || !jv_is_zero(p->zero4, sizeof(p->zero4)) ||
	    !jv_is_zero(p->zero, sizeof(p->zero)) || p->path_id >= JVPN_PATH_MAX)
		return JV_REASON_MALFORMED;
	*request = (struct jv_switch_request){
		.expect = { le64toh(p->exp_term), le64toh(p->exp_bver) },
		.reason = p->reason,
		.path_id = p->path_id,
		.rx_highest = le64toh(p->rx_highest),
	};
	return JV_REASON_NONE;
}

enum jv_reason jv_switch_open(const uint8_t sw_c[32], const void *dgram, size_t len,
			      struct jv_switch_request *request)
{
	const struct jvpn_switch *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	struct jvpn_switch_payload payload;
	uint8_t nonce[12];

	if (reason)
		return reason;
	if (msg->type != JVPN_T_SWITCH || !msg->rseq ||
	    jv_is_zero(msg->cookie, sizeof(msg->cookie)))
		return JV_REASON_MALFORMED;
	nonce_of(nonce, le64toh(msg->rseq));
	if (crypto_aead_chacha20poly1305_ietf_decrypt((uint8_t *)&payload, NULL, NULL,
						      msg->payload, sizeof(msg->payload),
						      dgram, REQUEST_AD, nonce, sw_c))
		return JV_REASON_AUTH_FAIL;
	return get_request(request, &payload);
}

void jv_switch_resp_seal(uint8_t out[sizeof(struct jvpn_switch_resp)], const uint8_t sw_g[32],
			 const uint8_t req_id[8], uint64_t rseq,
			 const struct jv_switch_answer *answer)
{
	struct jvpn_switch_resp *msg = (struct jvpn_switch_resp *)out;
	struct jvpn_switch_resp_payload payload = {
		.status = answer->status,
		.retry_after_ms = htole32(answer->retry_after_ms),
		.term = htole64(answer->version.term),
		.bver = htole64(answer->version.bver),
	};
	uint8_t nonce[12];

	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_SWITCH_RESP;
	msg->version = JVPN_WIRE_VERSION;
	memcpy(msg->req_id, req_id, sizeof(msg->req_id));
	msg->rseq = htole64(rseq);
	nonce_of(nonce, rseq);
	crypto_aead_chacha20poly1305_ietf_encrypt(msg->payload, NULL, (const uint8_t *)&payload,
						  sizeof(payload), out, ANSWER_AD, NULL, nonce,
						  sw_g);
}

enum jv_reason jv_switch_resp_open(const uint8_t sw_g[32], const uint8_t req_id[8], uint64_t rseq,
				   const void *dgram, size_t len, struct jv_switch_answer *answer)
{
	const struct jvpn_switch_resp *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	struct jvpn_switch_resp_payload p;
	uint8_t nonce[12];

	if (reason)
		return reason;
	if (msg->type != JVPN_T_SWITCH_RESP || le64toh(msg->rseq) != rseq ||
	    memcmp(msg->req_id, req_id, sizeof(msg->req_id)))
		return JV_REASON_MALFORMED;
	nonce_of(nonce, rseq);
	if (crypto_aead_chacha20poly1305_ietf_decrypt((uint8_t *)&p, NULL, NULL, msg->payload,
						      sizeof(msg->payload), dgram, ANSWER_AD,
						      nonce, sw_g))
		return JV_REASON_AUTH_FAIL;
	if (p.zero1 || p.flags || !jv_is_zero(p.zero, sizeof(p.zero)))
		return JV_REASON_MALFORMED;
	*answer = (struct jv_switch_answer){
		.status = p.status,
		.retry_after_ms = le32toh(p.retry_after_ms),
		.version = { le64toh(p.term), le64toh(p.bver) },
	};
	return JV_REASON_NONE;
}
