// SPDX-License-Identifier: GPL-2.0
#include <sodium.h>

#include "handshake.h"

enum {
	HEADER = 32,			/* INIT: bytes bound by the prologue */
	FIXED = sizeof(struct jvpn_init_resp_payload),
	TLV_MAX = JV_DATAGRAM_MAX - sizeof(struct jvpn_init_resp) - FIXED - JVPN_TAG_LEN,
};

#define LABEL_LEN (sizeof(JVPN_LABEL_INIT) - 1)

static void prologue(uint8_t out[LABEL_LEN + HEADER], const struct jvpn_init *msg)
{
	memcpy(out, JVPN_LABEL_INIT, LABEL_LEN);
	memcpy(out + LABEL_LEN, msg, HEADER);
}

void jv_init_sent_wipe(struct jv_init_sent *sent)
{
	jv_noise_wipe(&sent->noise);
}

void jv_init_received_wipe(struct jv_init_received *rx)
{
	jv_noise_wipe(&rx->noise);
}

void jv_birth_wipe(struct jv_birth *birth)
{
	sodium_memzero(birth, sizeof(*birth));
}

static int put_request(struct jvpn_init_payload *p, const struct jv_init_request *request)
{
	int tlv_len;

	memset(p, 0, sizeof(*p));
	memcpy(p->cid, request->cid, sizeof(p->cid));
	p->aead_mask = request->aead_mask;
	p->path_id = request->path_id;
	p->mtu = htole16(request->mtu);
	tlv_len = jv_tlv_put(&request->opt, p->tlv, sizeof(p->tlv));
	if (tlv_len < 0)
		return -1;
	p->tlv_len = htole16(tlv_len);
	return 0;
}

static enum jv_reason get_request(struct jv_init_request *request,
				  const struct jvpn_init_payload *p)
{
	size_t tlv_len = le16toh(p->tlv_len);

	if (p->flags || p->zero || !p->aead_mask || p->path_id >= JVPN_PATH_MAX ||
	    tlv_len > sizeof(p->tlv) ||
	    !jv_is_zero(p->tlv + tlv_len, sizeof(p->tlv) - tlv_len))
		return JV_REASON_MALFORMED;
	memcpy(request->cid, p->cid, sizeof(request->cid));
	request->aead_mask = p->aead_mask;
	request->path_id = p->path_id;
	request->mtu = le16toh(p->mtu);
	return jv_tlv_get(&request->opt, p->tlv, tlv_len);
}

int jv_init_build(struct jv_init_sent *sent, uint8_t out[sizeof(struct jvpn_init)],
		  const struct jv_keypair *client, const uint8_t gateway_public[32],
		  const uint8_t psk[32], uint8_t kid, const uint8_t req_id[8],
		  const uint8_t cookie[16], const struct jv_keypair *e,
		  const struct jv_init_request *request)
{
	struct jvpn_init *msg = (struct jvpn_init *)out;
	uint8_t pro[LABEL_LEN + HEADER], tag1_key[16];
	struct jvpn_init_payload payload;

	if (put_request(&payload, request))
		return -1;
	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_INIT;
	msg->version = JVPN_WIRE_VERSION;
	msg->kid = kid;
	msg->suite = JVPN_SUITE_X25519;
	memcpy(msg->req_id, req_id, sizeof(msg->req_id));
	memcpy(msg->cookie, cookie, sizeof(msg->cookie));
	prologue(pro, msg);

	memcpy(sent->req_id, req_id, sizeof(sent->req_id));
	sent->aead_mask = request->aead_mask;
	jv_noise_start_ik(&sent->noise, true, client, gateway_public, pro, sizeof(pro));
	jv_noise_set_psk(&sent->noise, psk);
	/* The head fills e and s, which lie side by side. */
	if (jv_noise_write_head(&sent->noise, e, msg->e) ||
	    jv_noise_write_payload(&sent->noise, &payload, sizeof(payload), msg->payload))
		return -1;
	jv_tag1_key(tag1_key, gateway_public);
	jv_tag1_put(tag1_key, out, sizeof(*msg));
	return 0;
}

enum jv_reason jv_init_identify(struct jv_init_received *rx, const struct jv_keypair *gateway,
				const void *dgram, size_t len)
{
	const struct jvpn_init *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	uint8_t pro[LABEL_LEN + HEADER];

	if (reason)
		return reason;
	if (msg->type != JVPN_T_INIT)
		return JV_REASON_MALFORMED;
	memset(&rx->request, 0, sizeof(rx->request));
	memcpy(rx->req_id, msg->req_id, sizeof(rx->req_id));
	prologue(pro, msg);
	jv_noise_start_ik(&rx->noise, false, gateway, NULL, pro, sizeof(pro));
	if (jv_noise_read_head(&rx->noise, msg->e))
		return JV_REASON_AUTH_FAIL;
	return JV_REASON_NONE;
}

enum jv_reason jv_init_open(struct jv_init_received *rx, const void *dgram, size_t len)
{
	const struct jvpn_init *msg = dgram;
	struct jvpn_init_payload payload;
	enum jv_reason reason;

	if (len != sizeof(*msg) || memcmp(msg->e, rx->noise.re, sizeof(msg->e)))
		return JV_REASON_MALFORMED;
	if (jv_noise_read_payload(&rx->noise, msg->payload, sizeof(msg->payload), &payload))
		return JV_REASON_AUTH_FAIL;
	reason = get_request(&rx->request, &payload);
	if (reason)
		jv_init_received_wipe(rx);
	return reason;
}

int jv_init_accept(struct jv_init_received *rx, const uint8_t psk[32],
		   const struct jv_keypair *e, uint8_t sid[JVPN_SID_LEN])
{
	uint8_t head[JV_NOISE_HEAD];

	jv_noise_set_psk(&rx->noise, psk);
	/* The head is the ephemeral key alone: it is read back from the handshake when sending. */
	if (jv_noise_write_head(&rx->noise, e, head))
		return -1;
	memcpy(sid, rx->noise.sid, JVPN_SID_LEN);
	return 0;
}

static void put_answer(struct jvpn_init_resp_payload *p, const struct jv_init_answer *answer,
		       size_t tlv_len)
{
	memset(p, 0, sizeof(*p));
	p->status = answer->status;
	p->aead = answer->aead;
	p->retry_after_ms = htole32(answer->retry_after_ms);
	if (answer->status != JV_STATUS_OK) {
		p->aead = 0;
		return;
	}
	memcpy(p->cid, answer->cid, sizeof(p->cid));
	p->term = htole64(answer->version.term);
	p->bver = htole64(answer->version.bver);
	memcpy(p->locator, answer->locator, sizeof(p->locator));
	p->rekey_after_s = htole32(answer->rekey_after_s);
	p->session_max_s = htole32(answer->session_max_s);
	p->loss_ttl_ms = htole32(answer->loss_ttl_ms);
	p->keepalive_s = htole16(answer->keepalive_s);
	p->probe_ms = htole16(answer->probe_ms);
	p->mtu = htole16(answer->mtu);
	p->tlv_len = htole16(tlv_len);
}

int jv_init_resp_build(struct jv_init_received *rx, const struct jv_init_answer *answer,
		       uint8_t out[JV_DATAGRAM_MAX], struct jv_birth *birth)
{
	struct jvpn_init_resp *msg = (struct jvpn_init_resp *)out;
	uint8_t plain[FIXED + TLV_MAX];
	int tlv_len = 0, len = -1;

	if (answer->status == JV_STATUS_OK)
		tlv_len = jv_tlv_put(&answer->opt, plain + FIXED, TLV_MAX);
	if (tlv_len < 0)
		goto out;
	put_answer((struct jvpn_init_resp_payload *)plain, answer, tlv_len);
	memset(msg, 0, sizeof(*msg));
	msg->type = JVPN_T_INIT_RESP;
	msg->version = JVPN_WIRE_VERSION;
	msg->suite = JVPN_SUITE_X25519;
	memcpy(msg->req_id, rx->req_id, sizeof(msg->req_id));
	memcpy(msg->e, rx->noise.e.public, sizeof(msg->e));
	memcpy(birth->sid, rx->noise.sid, sizeof(birth->sid));
	if (jv_noise_write_payload(&rx->noise, plain, FIXED + tlv_len, msg->payload) ||
	    jv_noise_finish(&rx->noise, &birth->keys, birth->rs))
		goto out;
	len = sizeof(*msg) + FIXED + tlv_len + JVPN_TAG_LEN;
out:
	if (len < 0 || answer->status != JV_STATUS_OK)
		jv_birth_wipe(birth);
	jv_init_received_wipe(rx);
	return len;
}

/* A refusal carries nothing but its status and the time to wait. */
static bool is_bare(const struct jvpn_init_resp_payload *p, size_t tlv_len)
{
	return !p->aead && !tlv_len &&
	       jv_is_zero(p->cid, sizeof(*p) - offsetof(struct jvpn_init_resp_payload, cid));
}

static enum jv_reason get_answer(struct jv_init_answer *answer, const uint8_t *plain, size_t len,
				 uint8_t aead_mask)
{
	const struct jvpn_init_resp_payload *p = (const void *)plain;
	size_t tlv_len = le16toh(p->tlv_len);

	memset(answer, 0, sizeof(*answer));
	if (p->flags || tlv_len != len - FIXED)
		return JV_REASON_MALFORMED;
	answer->status = p->status;
	answer->retry_after_ms = le32toh(p->retry_after_ms);
	if (p->status != JV_STATUS_OK)
		return is_bare(p, tlv_len) ? JV_REASON_NONE : JV_REASON_MALFORMED;
	if (p->aead > 7 || !(aead_mask & JVPN_AEAD_BIT(p->aead)))
		return JV_REASON_MALFORMED;
	answer->aead = p->aead;
	memcpy(answer->cid, p->cid, sizeof(answer->cid));
	answer->version.term = le64toh(p->term);
	answer->version.bver = le64toh(p->bver);
	memcpy(answer->locator, p->locator, sizeof(answer->locator));
	answer->rekey_after_s = le32toh(p->rekey_after_s);
	answer->session_max_s = le32toh(p->session_max_s);
	answer->loss_ttl_ms = le32toh(p->loss_ttl_ms);
	answer->keepalive_s = le16toh(p->keepalive_s);
	answer->probe_ms = le16toh(p->probe_ms);
	answer->mtu = le16toh(p->mtu);
	return jv_tlv_get(&answer->opt, plain + FIXED, tlv_len);
}

enum jv_reason jv_init_resp_open(const struct jv_init_sent *sent, const void *dgram, size_t len,
				 struct jv_init_answer *answer, struct jv_birth *birth)
{
	const struct jvpn_init_resp *msg = dgram;
	enum jv_reason reason = jv_wire_check(dgram, len);
	uint8_t plain[FIXED + TLV_MAX];
	struct jv_noise noise;
	size_t sealed;

	if (reason)
		return reason;
	if (msg->type != JVPN_T_INIT_RESP ||
	    memcmp(msg->req_id, sent->req_id, sizeof(msg->req_id)))
		return JV_REASON_MALFORMED;
	sealed = len - sizeof(*msg);
	noise = sent->noise;
	if (jv_noise_read_head(&noise, msg->e) ||
	    jv_noise_read_payload(&noise, msg->payload, sealed, plain))
		return JV_REASON_AUTH_FAIL;
	reason = get_answer(answer, plain, sealed - JVPN_TAG_LEN, sent->aead_mask);
	if (!reason && answer->status == JV_STATUS_OK) {
		memcpy(birth->sid, noise.sid, sizeof(birth->sid));
		if (jv_noise_finish(&noise, &birth->keys, birth->rs))
			reason = JV_REASON_AUTH_FAIL;
	}
	jv_noise_wipe(&noise);
	return reason;
}
