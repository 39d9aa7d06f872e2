/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The client side of a link: its paths, and for every peer with an endpoint one
 * session that is begun, kept attached to the best path, and begun anew when it has
 * ended for a reason that permits it (PROTOCOL.md 9.1).
 *
 *   client.c    life: begin, confirm, signals, what each transition entails
 *   attempt.c   requests in flight: what is sent when and where
 *   answer.c    what comes back, and what follows from it
 *   wish.c      what an operator asks for
 *   standby.c   which paths are kept warm, and which is the best
 *   tunnel.c    the inner side: addresses, MTU, routes
 *
 * When a transport dies, one kernel request and one datagram come before anything
 * else. Loop thread.
 */
#ifndef JV_CLIENT_H
#define JV_CLIENT_H

#include "handshake.h"
#include "path.h"
#include "reattach.h"
#include "request.h"
#include "session.h"
#include "shard.h"

enum {
	JV_CONFIRM_MS = 250,		/* between CONFIRM probes */
	JV_WISH_MS = 5000,		/* an operator waits for a switch no longer */
	JV_WISH_TRIES = 5,		/* datagrams on the wanted path, then we stay */
	JV_START_MS = 1000,		/* between two sessions, doubled up to the cap */
	JV_START_CAP_MS = 60000,
	JV_RETRY_MS = 1000,		/* from DEGRADED without transport, likewise */
	JV_RETRY_CAP_MS = 10000,
	JV_STANDBY_MS = 20000,		/* between probes of a standby path */
	JV_PROBE_MAX_MS = 60000,	/* what a gateway may ask for, and the kernel takes */
	JV_KEEPALIVE_MAX_MS = 600000,
};

/* What is known of a path that this session could use. */
struct jv_standby {
	bool listed;			/* the kernel probes it for us */
	enum jvpn_path_state state;
	uint32_t srtt_us;
	uint64_t seen_ms;		/* last sign of life, 0: none */
	uint64_t cookie_ms;		/* when the last cookie came, 0: none */
};

enum jv_wish_kind { JV_WISH_SWITCH, JV_WISH_REATTACH, JV_WISH_REKEY };

/* What an operator asked for. */
struct jv_wish {
	enum jv_wish_kind kind;
	jv_shard_done done;		/* NULL: nobody waits */
	void *arg;
	bool active;
	uint32_t generation;		/* of the path */
	uint64_t since_us;
	uint64_t until_ms;
};

/* What opens the answer to a datagram in flight, and where it left. */
struct jv_sent {
	uint32_t generation;		/* of the path */
	struct jv_init_sent init;
	struct jv_reattach_sent reattach;
	uint8_t cid[8];			/* REATTACH: ours, of the epoch it asks for */
	uint8_t sw_g[32];		/* SWITCH */
};

struct jv_clients;

struct jv_client {
	struct jv_client *next;
	struct jv_clients *clients;
	struct jv_peer *peer;
	struct jv_session *session;	/* NULL between two */
	unsigned int endpoint;		/* of the peer, in use */
	uint8_t tag1_key[16];

	/* between sessions */
	struct jv_timer start;
	uint64_t start_ms;		/* not before; JV_NEVER: not by itself */
	uint32_t start_wait_ms;

	/* BIRTH */
	uint8_t cid[8];			/* ours */
	struct jv_init_answer terms;	/* of the gateway */
	uint8_t birth_path;
	uint64_t confirm_ms;		/* next CONFIRM; JV_NEVER: not waiting */
	uint64_t confirm_until_ms;

	/* requests */
	struct jv_request request;
	struct jv_sent sent[JV_OUTSTANDING_MAX];
	bool preferred;			/* the next datagram's path was chosen, not its turn */
	bool expects;			/* the gateway named a version: @expect */
	struct jv_version expect;
	struct jv_version heard;	/* told by a probe, not adopted yet */
	uint64_t retry_ms;		/* DEGRADED without transport; JV_NEVER: not waiting */
	uint32_t retry_wait_ms;
	struct jv_wish wish;

	/* keys */
	uint8_t locator[JVPN_LOCATOR_LEN];
	uint64_t rekey_ms;		/* when the next is due; JV_NEVER: no session */
	enum jv_detail rekey_reason;

	/* paths */
	struct jv_standby standby[JVPN_PATH_MAX];
	struct jv_path *target;		/* of the step under way */
	struct jv_path *bound;		/* NULL: none */
	uint32_t bound_generation;	/* of the last binding */

	/* inner side */
	bool routed;
	bool has4, has6;
	struct jv_prefix inner4, inner6;
};

/* The client side of one link. */
struct jv_clients {
	struct jv_env *env;
	struct jv_sessions *sessions;
	struct jv_link *link;
	struct jv_paths paths;
	struct jv_client *first;
};

/* NULL: no memory. */
struct jv_clients *jv_clients_new(struct jv_env *env, struct jv_sessions *sessions,
				  struct jv_link *link);
/* With its clients gone. @gone: the device has been removed already. */
void jv_clients_free(struct jv_clients *clients, bool gone);

/* A peer with an endpoint: begin. 0 or -errno. */
int jv_client_add(struct jv_clients *clients, struct jv_peer *peer, struct jv_error *err);
/* End its session, tell the gateway, take the inner side back, forget it. */
void jv_client_remove(struct jv_client *c, enum jv_detail detail);

void jv_client_signal(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms);
void jv_client_resync(struct jv_client *c, uint64_t now_ms);

/* The policy has changed: new figures. */
void jv_client_figures(struct jv_client *c);

/* Operator: switch to @path. @done is called now or later. */
void jv_client_switch(struct jv_client *c, struct jv_path *path, jv_shard_done done, void *arg,
		      uint64_t now_ms);
/* Operator: new keys, or the binding as well with new keys. Likewise. */
void jv_client_renew(struct jv_client *c, enum jv_wish_kind kind, jv_shard_done done, void *arg,
		     uint64_t now_ms);
void jv_client_forget(struct jv_client *c, void *arg);

/* --- attempt.c --- */

void jv_attempt_reset(struct jv_client *c);
void jv_attempt_init(struct jv_client *c, struct jv_path *path, uint64_t now_ms);
/* Begin an attempt, or begin it anew; its first datagram is due. */
void jv_attempt_begin(struct jv_client *c, enum jv_form form, uint8_t path_id,
		      enum jv_detail reason, bool slow, uint64_t now_ms);
/*
 * The same with its first datagram sent: SWITCH to @path, or REATTACH if no key is left
 * (@slow: the pace of a degraded session); REATTACH; REKEY where we are bound.
 */
void jv_attempt_switch(struct jv_client *c, struct jv_path *path, enum jv_detail reason,
		       bool slow, uint64_t now_ms);
void jv_attempt_reattach(struct jv_client *c, struct jv_path *path, enum jv_detail reason,
			 uint64_t now_ms);
void jv_attempt_rekey(struct jv_client *c, enum jv_detail reason, uint64_t now_ms);
/* Another path has become the better one to try. */
void jv_attempt_prefer(struct jv_client *c, struct jv_path *path, uint64_t now_ms);
/* Stay where we are; the last word is sent there. */
void jv_attempt_stay(struct jv_client *c, uint64_t now_ms);
/* Send what is due. May step the session. */
void jv_attempt_run(struct jv_client *c, uint64_t now_ms);
/* What would open the answers. */
void jv_attempt_forget(struct jv_client *c);

/* --- answer.c --- */

/* True if the datagram answers something of this client. */
bool jv_answer_datagram(struct jv_client *c, struct jv_path *path,
			const struct jv_datagram *dgram, uint64_t now_ms);

/* --- wish.c --- */

/* The operator's wish came true or not. @reason: JV_REASON_NONE for success. */
void jv_wish_over(struct jv_client *c, int error, enum jv_reason reason, const char *text);

/* --- standby.c --- */

/* The best path to switch to, not @except if there is another. NULL: none at all. */
struct jv_path *jv_standby_best(const struct jv_client *c, const struct jv_path *except,
				uint64_t now_ms);
/* The next to try after @path did not answer. */
struct jv_path *jv_standby_next(const struct jv_client *c, uint8_t path_id);
/* Bring the kernel's list of candidates up to date. */
void jv_standby_refresh(struct jv_client *c, uint64_t now_ms);
void jv_standby_forget(struct jv_client *c, uint8_t path_id);

/* --- tunnel.c --- */

/* What the gateway has granted becomes the inner side of the device. */
void jv_tunnel_up(struct jv_client *c);
void jv_tunnel_down(struct jv_client *c);

/* --- client.c, for attempt.c and answer.c --- */

/* INIT_RESP said yes: keys to the kernel, CONFIRM until the gateway shows itself. */
void jv_client_born(struct jv_client *c, struct jv_path *path, struct jv_birth *birth,
		    uint64_t now_ms);
/* The gateway cannot be spoken to like this: the session ends, another follows. */
void jv_client_fail(struct jv_client *c, enum jv_detail detail, uint32_t retry_after_ms,
		    uint64_t now_ms);
const union jv_addr *jv_client_gateway(const struct jv_client *c);
/* New keys have come: when the next are due. */
void jv_client_rekey_later(struct jv_client *c, uint64_t now_ms);
/* A CONFIRM probe under the newest keys. */
void jv_client_confirm(struct jv_client *c);

#endif /* JV_CLIENT_H */
