/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SWITCH and its answer: moving the binding by symmetric proof of possession
 * only (PROTOCOL.md 3.10, 6.5). Both roles, no state: rseq and the last one seen
 * are the caller's, and must never be used twice with one key.
 */
#ifndef JV_SWITCH_H
#define JV_SWITCH_H

#include "wire.h"

struct jv_switch_request {
	struct jv_version expect;
	uint8_t reason;			/* enum jv_detail */
	uint8_t path_id;		/* 0..15 */
	uint64_t rx_highest;		/* telemetry */
};

struct jv_switch_answer {
	uint8_t status;			/* enum jv_status */
	uint32_t retry_after_ms;
	struct jv_version version;
};

/* Seal a SWITCH. @rseq is greater than 0 and new for @sw_c; @cookie is not zero. */
void jv_switch_seal(uint8_t out[sizeof(struct jvpn_switch)], const uint8_t tag1_key[16],
		    const uint8_t sw_c[32], uint8_t kid, const uint8_t cid[8],
		    const uint8_t req_id[8], const uint8_t cookie[16], uint64_t rseq,
		    const struct jv_switch_request *request);

/* The same without a cookie: @filler is random, rseq 0; only RETRY answers it. */
void jv_switch_build_cold(uint8_t out[sizeof(struct jvpn_switch)], const uint8_t tag1_key[16],
			  uint8_t kid, const uint8_t cid[8], const uint8_t req_id[8],
			  const uint8_t filler[72]);

/* rseq in clear, to be compared before opening; the datagram was jv_wire_check()ed. */
uint64_t jv_switch_rseq(const void *dgram);

/* Gateway: open. JV_REASON_NONE, MALFORMED (also without cookie) or AUTH_FAIL. */
enum jv_reason jv_switch_open(const uint8_t sw_c[32], const void *dgram, size_t len,
			      struct jv_switch_request *request);

/* Gateway: seal the one answer @rseq ever gets. */
void jv_switch_resp_seal(uint8_t out[sizeof(struct jvpn_switch_resp)], const uint8_t sw_g[32],
			 const uint8_t req_id[8], uint64_t rseq,
			 const struct jv_switch_answer *answer);

/* Client: open the answer to the request (@req_id, @rseq). As jv_switch_open(). */
enum jv_reason jv_switch_resp_open(const uint8_t sw_g[32], const uint8_t req_id[8], uint64_t rseq,
				   const void *dgram, size_t len,
				   struct jv_switch_answer *answer);

#endif /* JV_SWITCH_H */
