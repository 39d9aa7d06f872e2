/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client's requests: which datagram to send next, on which path, when, with
 * which cookie and rseq, and what an answer means for the attempt (PROTOCOL.md
 * 3.5, 6.4, 8.2). Pure: time and random bytes are arguments. One object per
 * session; rseq outlives attempts and never goes back.
 */
#ifndef JV_REQUEST_H
#define JV_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "policy.h"
#include "wire.h"

enum {
	JV_OUTSTANDING_MAX = 4,
	JV_REPEATS_MAX = 3,		/* immediate repeats after RETRY, per attempt */
	JV_INIT_TRIES = 5,
	JV_COOKIE_LIFE_MS = 30000,	/* a cookie is good for at least this long */
	JV_ANSWER_LIFE_MS = 5000,	/* an answer is waited for this long */
};

/* REATTACH is op=BIND, REKEY the same message with op=REKEY. */
enum jv_form { JV_FORM_NONE, JV_FORM_INIT, JV_FORM_SWITCH, JV_FORM_REATTACH, JV_FORM_REKEY };

/* A datagram that was sent and may still be answered. */
struct jv_outstanding {
	enum jv_form form;		/* NONE: free slot */
	uint8_t path_id;
	bool cold;			/* it carried no cookie; rseq is 0 */
	bool retried;			/* its one RETRY was taken */
	uint8_t req_id[8];
	uint8_t cookie[16];
	uint64_t cookie_ms;		/* when that cookie came */
	uint64_t rseq;			/* 0 for INIT and for cold ones */
	uint64_t sent_ms;
};

struct jv_cookie {
	bool held;
	uint8_t bytes[16];
	uint64_t got_ms;
};

/* What is known of one path: a cookie that a PROBE_ACK brought or the gateway
 * accepted, and one that a RETRY brought, which anybody may have sent.
 */
struct jv_cookies {
	struct jv_cookie proven;
	struct jv_cookie hearsay;
};

struct jv_request {
	uint64_t next_rseq;
	struct jv_outstanding slot[JV_OUTSTANDING_MAX];
	struct jv_cookies path[JVPN_PATH_MAX];
	/* the attempt */
	enum jv_form form;		/* NONE: none in progress */
	uint8_t path_id;
	uint8_t reason;			/* enum jv_detail */
	bool can_reattach;
	bool heard_retry;		/* since the last datagram */
	bool repeat;			/* the next datagram is an immediate repeat */
	bool settled;			/* an OK was accepted, the last word is outstanding */
	uint32_t rto_ms;
	uint32_t rto_cap_ms;
	uint32_t tries;			/* datagrams sent by the timer */
	uint32_t max_tries;		/* 0: the caller bounds the attempt */
	uint32_t repeats;
	uint64_t first_rseq;		/* lower ones belong to earlier attempts */
	uint64_t highest_rseq;		/* of this attempt, 0: none yet */
	uint64_t send_ms;		/* next datagram is due; JV_NEVER: none */
};

/* A datagram to send now. The caller seals it and hands it to the path's socket. */
struct jv_send {
	enum jv_form form;
	uint8_t slot;			/* where the caller keeps what opens the answer */
	uint8_t path_id;
	uint8_t reason;
	bool cold;			/* no cookie: the filler form, rseq 0 */
	uint8_t req_id[8];
	uint8_t cookie[16];
	uint64_t rseq;			/* spent even if sending fails */
};

enum jv_request_end {
	JV_ATTEMPT_RUNS,		/* the timer runs on */
	JV_ATTEMPT_ENDED,		/* last word: answer to the highest rseq */
};

void jv_request_init(struct jv_request *r);

/* A cookie for @path_id, out of a PROBE_ACK. */
void jv_request_cookie(struct jv_request *r, uint8_t path_id, const uint8_t cookie[16],
		       uint64_t now_ms);

/* Forget the cookies of a path that is gone or whose address changed. */
void jv_request_path_gone(struct jv_request *r, uint8_t path_id);

/*
 * Begin an attempt, due at once. @form is INIT, SWITCH, REATTACH (if the epoch is
 * unusable) or REKEY. A running attempt is replaced, its datagrams stay
 * outstanding. @figures NULL: the slow retry of a degraded session without
 * transport. @srtt_ms is of that path, 0 if unknown. @can_reattach: a SWITCH that
 * stays unanswered is followed by a REATTACH.
 */
void jv_request_start(struct jv_request *r, enum jv_form form, uint8_t path_id, uint8_t reason,
		      const struct jv_liveness *figures, uint32_t srtt_ms, bool can_reattach,
		      uint64_t now_ms);

/* When jv_request_poll() has something to do, or JV_NEVER. */
uint64_t jv_request_deadline(const struct jv_request *r);

/*
 * If a datagram is due, allocate it: true and @out. @random becomes its req_id.
 * The oldest outstanding one gives way if all slots are taken (out->slot).
 * When the tries of an INIT are over: false, and jv_request_failed() is true.
 */
bool jv_request_poll(struct jv_request *r, uint64_t now_ms, const uint8_t random[8],
		     struct jv_send *out);
bool jv_request_failed(const struct jv_request *r, uint64_t now_ms);

/* Send the next one on another path (alternate, or the one settled on). */
void jv_request_move(struct jv_request *r, uint8_t path_id);

/*
 * A RETRY came. True if it was taken: then jv_request_deadline() is now, or
 * that of the timer if its datagram had carried a cookie.
 */
bool jv_request_retry(struct jv_request *r, const uint8_t req_id[8], const uint8_t cookie[16],
		      uint64_t now_ms);

/* The slot an answer belongs to, or -1: it answers nothing that we sent. */
int jv_request_find(const struct jv_request *r, enum jv_form form, const uint8_t req_id[8],
		    uint64_t now_ms);

/*
 * The answer of @slot was opened and is authentic. Frees the slot and proves its
 * cookie. If it answers the highest rseq (INIT: any), the attempt ended and every
 * slot is free. Else the timer of the highest runs on, after an OK on that path. A
 * REKEY moves nothing, so it needs no last word: any OK ends it.
 */
enum jv_request_end jv_request_answered(struct jv_request *r, unsigned int slot,
					enum jv_status status, uint64_t now_ms);

/* May the client accept OK with @version, holding @own (PROTOCOL.md 6.4)? */
bool jv_request_newer(enum jv_form form, struct jv_version version, struct jv_version own);

/* Send again at @at_ms instead (retry_after, VERSION_MISMATCH: now). */
void jv_request_defer(struct jv_request *r, uint64_t at_ms);

/* There is no key left for a SWITCH: the attempt goes on by REATTACH. */
void jv_request_reattach(struct jv_request *r);

/* End the attempt; outstanding datagrams may still be answered. */
void jv_request_stop(struct jv_request *r);

/* End the attempt and forget every outstanding datagram (higher term, session over). */
void jv_request_reset(struct jv_request *r);

/* Is an attempt in progress or a datagram outstanding? */
bool jv_request_busy(const struct jv_request *r, uint64_t now_ms);

#endif /* JV_REQUEST_H */
