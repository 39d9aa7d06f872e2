/* SPDX-License-Identifier: GPL-2.0 */
/*
 * REATTACH, its answer and DENY: a new epoch by a fresh Diffie-Hellman under
 * the session's reattach secret RS (PROTOCOL.md 3.6, 3.7, 3.8). Building blocks of both
 * roles; who sends them when is not decided here.
 */
#ifndef JV_REATTACH_H
#define JV_REATTACH_H

#include "noise.h"
#include "wire.h"

enum jv_reattach_op { JV_REATTACH_BIND = 0, JV_REATTACH_REKEY = 1 };
enum jv_deny_reason { JV_DENY_UNKNOWN_SESSION = 1, JV_DENY_TERMINATED = 2 };

struct jv_reattach_request {
	uint64_t rseq;
	struct jv_version expect;
	uint8_t cid[8];
	uint8_t op;			/* enum jv_reattach_op */
	uint8_t reason;			/* enum jv_detail */
	uint8_t path_id;
	uint8_t aead_mask;
	uint64_t rx_highest;		/* telemetry */
};

struct jv_reattach_answer {
	uint8_t status;
	uint8_t aead;
	uint32_t retry_after_ms;
	uint8_t cid[8];			/* zero unless OK */
	struct jv_version version;
	uint8_t locator[JVPN_LOCATOR_LEN];	/* zero unless OK */
};

/* One REATTACH in flight, client side: enough to open the answer or a DENY. */
struct jv_reattach_sent {
	struct jv_noise noise;
	uint8_t req_id[8];
	uint64_t rseq;
	uint8_t gateway_public[32];
	uint8_t aead_mask;
	uint8_t digest[32];		/* SHA-256 of the datagram, for DENY */
};

struct jv_reattach_received {
	struct jv_noise noise;
	uint8_t req_id[8];
	struct jv_reattach_request request;
};

/* Build a REATTACH with a cookie. 0 or -1 (bad key). */
int jv_reattach_build(struct jv_reattach_sent *sent, uint8_t out[sizeof(struct jvpn_reattach)],
		      const uint8_t gateway_public[32], uint8_t kid,
		      const uint8_t sid[JVPN_SID_LEN], const uint8_t rs[32],
		      const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t req_id[8],
		      const uint8_t cookie[16], const struct jv_keypair *e,
		      const struct jv_reattach_request *request);

/* The same without a cookie: @filler is random, no rseq is spent; only RETRY answers it. */
void jv_reattach_build_cold(uint8_t out[sizeof(struct jvpn_reattach)],
			    const uint8_t gateway_public[32], uint8_t kid,
			    const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t req_id[8],
			    const uint8_t filler[104]);

/* Gateway: open with the session its locator names. MALFORMED or AUTH_FAIL. */
enum jv_reason jv_reattach_open(struct jv_reattach_received *rx, const uint8_t sid[JVPN_SID_LEN],
				const uint8_t rs[32], const void *dgram, size_t len);

/* Gateway: answer; @keys is filled if the status is OK. Wipes @rx. 0 or -1. */
int jv_reattach_resp_build(struct jv_reattach_received *rx, const struct jv_keypair *e,
			   const struct jv_reattach_answer *answer,
			   uint8_t out[sizeof(struct jvpn_reattach_resp)],
			   struct jv_epoch_keys *keys);

/* Client: open the answer; @sent is not changed. MALFORMED or AUTH_FAIL. */
enum jv_reason jv_reattach_resp_open(const struct jv_reattach_sent *sent,
				     const void *dgram, size_t len,
				     struct jv_reattach_answer *answer,
				     struct jv_epoch_keys *keys);

/* DENY for @dgram, a checked REATTACH. 0 or -1 (bad key in it). */
int jv_deny_build(uint8_t out[sizeof(struct jvpn_deny)], const struct jv_keypair *gateway,
		  const void *dgram, enum jv_deny_reason reason);

/* Client: verify a DENY. Returns JV_REASON_NONE and *reason, MALFORMED or AUTH_FAIL. */
enum jv_reason jv_deny_open(const struct jv_reattach_sent *sent, const void *dgram, size_t len,
			    enum jv_deny_reason *reason);

void jv_reattach_sent_wipe(struct jv_reattach_sent *sent);
void jv_reattach_received_wipe(struct jv_reattach_received *rx);

#endif /* JV_REATTACH_H */
