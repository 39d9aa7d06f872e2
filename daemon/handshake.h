/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Birth of a session: INIT and INIT_RESP, both roles (PROTOCOL.md 3.3, 3.4).
 *
 *   client                              gateway
 *   jv_init_build            INIT ->    jv_init_identify   who is it, psk?
 *                                       jv_init_open       what does it want?
 *                                       jv_init_accept     session id
 *   jv_init_resp_open   <- INIT_RESP    jv_init_resp_build keys
 *
 * Nothing here allocates; a struct that is given up is wiped with its _wipe().
 */
#ifndef JV_HANDSHAKE_H
#define JV_HANDSHAKE_H

#include "noise.h"
#include "tlv.h"
#include "wire.h"

/* What a client asks for. */
struct jv_init_request {
	uint8_t cid[8];			/* the client's, random */
	uint8_t aead_mask;		/* JVPN_AEAD_BIT()s, not 0 */
	uint8_t path_id;		/* 0..15 */
	uint16_t mtu;			/* of the link, bytes */
	struct jv_options opt;
};

/* What the gateway answers. With a status other than OK only retry_after_ms counts. */
struct jv_init_answer {
	uint8_t status;			/* enum jv_status */
	uint8_t aead;			/* enum jvpn_aead */
	uint32_t retry_after_ms;
	uint8_t cid[8];			/* the gateway's; bytes 0..1 are the shard */
	struct jv_version version;
	uint8_t locator[JVPN_LOCATOR_LEN];
	uint32_t rekey_after_s;
	uint32_t session_max_s;
	uint32_t loss_ttl_ms;
	uint16_t keepalive_s;
	uint16_t probe_ms;
	uint16_t mtu;			/* inner */
	struct jv_options opt;
};

/* What birth gives both sides. Wipe after use. */
struct jv_birth {
	uint8_t sid[JVPN_SID_LEN];
	uint8_t rs[32];
	struct jv_epoch_keys keys;
};

/* One INIT in flight, client side. */
struct jv_init_sent {
	struct jv_noise noise;
	uint8_t req_id[8];
	uint8_t aead_mask;
};

/* One INIT being answered, gateway side. */
struct jv_init_received {
	struct jv_noise noise;		/* noise.rs: the client's public key */
	uint8_t req_id[8];
	struct jv_init_request request;
};

/*
 * Build an INIT. @cookie is zero or from a RETRY; @e is fresh for every one
 * (two INITs may not share it). Returns 0, or -1 if the options do not fit or
 * a key is bad.
 */
int jv_init_build(struct jv_init_sent *sent, uint8_t out[sizeof(struct jvpn_init)],
		  const struct jv_keypair *client, const uint8_t gateway_public[32],
		  const uint8_t psk[32], uint8_t kid, const uint8_t req_id[8],
		  const uint8_t cookie[16], const struct jv_keypair *e,
		  const struct jv_init_request *request);

/*
 * Open an INIT_RESP. @sent is not consumed and not changed, whatever comes in:
 * a forged answer does not spoil the genuine one. On JV_REASON_NONE @answer is
 * filled, and @birth if answer->status is OK. Else MALFORMED or AUTH_FAIL.
 */
enum jv_reason jv_init_resp_open(const struct jv_init_sent *sent, const void *dgram, size_t len,
				 struct jv_init_answer *answer, struct jv_birth *birth);

/*
 * Gateway, step 1: check the INIT and learn the client's public key
 * (rx->noise.rs), not yet proven. One DH. MALFORMED or AUTH_FAIL. tag1 is
 * checked by the kernel, and here by jv_tag1_ok() where there is none.
 */
enum jv_reason jv_init_identify(struct jv_init_received *rx, const struct jv_keypair *gateway,
				const void *dgram, size_t len);

/* Step 2: prove the client and read its request. One DH, of step 1's datagram. */
enum jv_reason jv_init_open(struct jv_init_received *rx, const void *dgram, size_t len);

/* Step 3: mix in @e and @psk; gives the session id. 0 or -1 (bad key). */
int jv_init_accept(struct jv_init_received *rx, const uint8_t psk[32],
		   const struct jv_keypair *e, uint8_t sid[JVPN_SID_LEN]);

/*
 * Step 4: write the INIT_RESP, at most JV_DATAGRAM_MAX bytes. @birth is filled
 * if answer->status is OK. Returns the length, or -1 if the options do not fit;
 * @rx is wiped either way.
 */
int jv_init_resp_build(struct jv_init_received *rx, const struct jv_init_answer *answer,
		       uint8_t out[JV_DATAGRAM_MAX], struct jv_birth *birth);

void jv_init_sent_wipe(struct jv_init_sent *sent);
void jv_init_received_wipe(struct jv_init_received *rx);
void jv_birth_wipe(struct jv_birth *birth);

#endif /* JV_HANDSHAKE_H */
