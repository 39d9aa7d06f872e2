/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gateway side of a link: the listening socket, and the validation of what comes
 * through it in the one order there is (PROTOCOL.md 7). What is not proven changes
 * nothing, allocates nothing and is answered by nothing. Loop thread.
 *
 *   gateway.c            life, the socket, signals of the data plane
 *   gateway_init.c       INIT: birth
 *   gateway_switch.c     SWITCH
 *   gateway_reattach.c   REATTACH and DENY
 *   gateway_move.c       what the two before have in common
 *   gateway_nat.c        another source: the challenge
 */
#ifndef JV_GATEWAY_H
#define JV_GATEWAY_H

#include "session.h"
#include "udp.h"

enum {
	JV_PEER_SESSIONS = 4,		/* live ones of one client */
	JV_PEER_HALF_OPEN = 4,		/* handshakes in progress of one client */
	JV_SHARD = 0,			/* a single node has one */
	JV_KID = 0,
	JV_GATEWAY_PATH = 0,		/* a gateway has one socket per link */
};

/* What a gateway keeps for a peer. */
struct jv_tenant {
	struct jv_session *session[JV_PEER_SESSIONS + JV_PEER_HALF_OPEN];
};

struct jv_gateway {
	struct jv_env *env;
	struct jv_sessions *sessions;
	struct jv_link *link;
	struct jv_udp udp;
	uint8_t locator_key[32];
	struct jv_bucket denies;
};

/* Open the socket and hand it to the kernel. NULL and a sentence. */
struct jv_gateway *jv_gateway_new(struct jv_env *env, struct jv_sessions *sessions,
				  struct jv_link *link, struct jv_error *err);
/* With its sessions ended. @gone: the device has been removed already. */
void jv_gateway_free(struct jv_gateway *g, bool gone);

/* 0 or -errno. */
int jv_gateway_peer_add(struct jv_peer *peer, struct jv_error *err);
/* End its sessions, tell it. */
void jv_gateway_peer_remove(struct jv_peer *peer, enum jv_detail detail);

void jv_gateway_signal(struct jv_gateway *g, struct jv_session *s,
		       const struct jv_signal *signal, uint64_t now_ms);

/* --- between its files --- */

extern const struct jv_session_ops jv_gateway_session_ops;

void jv_gateway_refuse(struct jv_gateway *g, enum jv_reason reason, const struct jv_session *s,
		       const struct jv_datagram *dgram);
void jv_gateway_reply(const struct jv_gateway *g, const struct jv_datagram *dgram,
		      const void *data, size_t len);
void jv_gateway_cid(const struct jv_gateway *g, uint8_t cid[8]);
void jv_gateway_locator(const struct jv_gateway *g, const uint8_t sid[JVPN_SID_LEN],
			uint8_t locator[JVPN_LOCATOR_LEN]);
/* All of an epoch but its receiver ids. */
void jv_gateway_epoch(const struct jv_session *s, const uint8_t sid[JVPN_SID_LEN], uint8_t aead,
		      const struct jv_epoch_keys *keys, struct jv_version version,
		      struct jv_kernel_epoch *epoch);

void jv_gateway_init(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms);
void jv_gateway_switch(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms);
void jv_gateway_reattach(struct jv_gateway *g, const struct jv_datagram *dgram, uint64_t now_ms);

/* G2, G3: the first authenticated packet of a half-open session. */
void jv_gateway_born(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		     uint64_t now_ms);
/* The session has ended: its client may have another. */
void jv_gateway_vacate(struct jv_session *s);

/* The challenge: a source that is not the binding; an answer; its end. */
void jv_gateway_source(struct jv_gateway *g, struct jv_session *s,
		       const struct jv_signal *signal, uint64_t now_ms);
void jv_gateway_acked(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		      uint64_t now_ms);
uint64_t jv_gateway_deadline(const struct jv_session *s);
void jv_gateway_due(struct jv_session *s, uint64_t now_ms);

/* A proven SWITCH or REATTACH. */
struct jv_claim {
	struct jv_version expect;
	enum jv_detail reason;
	bool rebind;			/* REATTACH op=BIND: may name an earlier term */
	bool rekey;			/* REATTACH op=REKEY: leaves the binding as it is */
};

struct jv_verdict {
	enum jv_reason reason;		/* NONE: so far it is allowed */
	enum jv_status status;
	uint32_t retry_after_ms;
	bool moves;			/* the source is not the binding */
};

/* The version of the binding, of this incarnation's term. */
struct jv_version jv_gateway_version(const struct jv_gateway *g, const struct jv_session *s);
/* May it be done? Uses up the session's rate. */
void jv_gateway_permit(const struct jv_gateway *g, struct jv_session *s,
		       const struct jv_claim *claim, const struct jv_datagram *dgram,
		       uint64_t now_ms, struct jv_verdict *v);
/* @reason NONE: it was done. */
void jv_gateway_refused(struct jv_verdict *v, enum jv_reason reason);
/* Move the binding, all or nothing; @cid: with this epoch, or NULL. */
enum jv_reason jv_gateway_commit(const struct jv_gateway *g, struct jv_session *s,
				 const struct jv_claim *claim, const struct jv_datagram *dgram,
				 bool moves, const uint8_t *cid, uint64_t now_ms);
void jv_gateway_tell(struct jv_gateway *g, const struct jv_session *s,
		     const struct jv_claim *claim, const struct jv_verdict *v,
		     const struct jv_datagram *dgram);

#endif /* JV_GATEWAY_H */
