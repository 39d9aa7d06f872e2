/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The gateway side of a link: the listening socket, handshakes in progress, and the
 * validation of every SWITCH in the one order there is (PROTOCOL.md 7, 8.3). What is
 * not proven changes nothing, allocates nothing and is answered by nothing. Loop
 * thread.
 */
#ifndef JV_GATEWAY_H
#define JV_GATEWAY_H

#include "session.h"
#include "udp.h"

enum {
	JV_PEER_SESSIONS = 4,		/* live ones of one client */
	JV_PEER_HALF_OPEN = 4,		/* handshakes in progress of one client */
	JV_SHARD = 0,			/* a single node has one */
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

#endif /* JV_GATEWAY_H */
