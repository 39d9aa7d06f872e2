/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A shard owns the sessions: there is no global one. It is the sessions' side of
 * node.h, rtnl.h, kernel.h and control.h. Loop thread.
 */
#ifndef JV_SHARD_H
#define JV_SHARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env.h"
#include "error.h"
#include "kernel.h"
#include "node.h"
#include "rtnl.h"

struct jv_shard;

/* NULL: no memory. @env outlives it. */
struct jv_shard *jv_shard_new(struct jv_env *env);
/* After jv_shard_stop() or with nothing up. */
void jv_shard_free(struct jv_shard *shard);

/* Orderly end: every session terminated, told to the peer, audited; sockets returned. */
void jv_shard_stop(struct jv_shard *shard);

/* What node, rtnl and kernel call; @arg is the shard. */
extern const struct jv_node_ops jv_shard_node_ops;
void jv_shard_iface(struct jv_shard *shard, const struct jv_iface *iface, bool gone);
void jv_shard_signal(struct jv_shard *shard, const struct jv_signal *signal);
void jv_shard_session_gone(struct jv_shard *shard, int ifindex,
			   const uint8_t sid[JVPN_SID_LEN]);
void jv_shard_resync(struct jv_shard *shard);

/* --- for control.h --- */

enum { JV_SESSION_CANDIDATES = 16 };

/* One session as shown to people. */
struct jv_session_info {
	uint8_t sid[JVPN_SID_LEN];
	const struct jv_peer *peer;
	bool gateway;
	uint8_t state;			/* enum jv_state */
	uint64_t state_version;
	struct jv_version version;
	const char *policy;		/* name */
	const char *transport;		/* name on a client; NULL: none */
	union jv_addr remote;		/* sa_family 0: unbound */
	unsigned int inner_count;
	struct jv_prefix inner[JV_PEER_PREFIXES];
	uint32_t switches_used, switches_max;
	uint64_t cooldown_left_ms;
	bool recovering;
	uint64_t recovery_left_ms;
	bool transport_lost;
	uint64_t transport_lost_ms;	/* since when, as a duration */
	unsigned int candidates;
	const char *candidate[JV_SESSION_CANDIDATES];	/* names of transports */
};

/* Where a transport stands now. */
struct jv_transport_info {
	bool up;			/* a socket is open on it */
	char dev[IFNAMSIZ];		/* "" : no interface */
	int path;			/* -1: none */
	union jv_addr local;
};

/*
 * Call @fn for every session whose id starts with the hex digits @id (NULL: all).
 * -ENOENT if @id was given and nothing matched.
 */
int jv_shard_session_show(struct jv_shard *shard, const char *id,
			  void (*fn)(void *arg, const struct jv_session_info *info), void *arg,
			  struct jv_error *err);

/* Sessions by enum jv_state. */
void jv_shard_session_count(const struct jv_shard *shard, uint64_t by_state[8]);

void jv_shard_transport_info(const struct jv_shard *shard, const struct jv_transport *transport,
			     struct jv_transport_info *info);

/* Outcome of an operator's command. */
struct jv_command_result {
	struct jv_version version;
	uint64_t state_version;		/* now */
	uint8_t reason;			/* enum jv_reason, for -EPERM */
};

/*
 * Switch a client session to @transport (name or interface). @if_version: expected
 * state version or NULL. @done is called exactly once, now or later: with 0;
 * -ENOENT; -ESTALE (if_version); -EPERM (policy: result->reason); -EINVAL;
 * -ETIMEDOUT; and a sentence. @done must not call back into the shard.
 */
typedef void (*jv_shard_done)(void *arg, int error, const struct jv_command_result *result,
			      const struct jv_error *err);
void jv_shard_session_switch(struct jv_shard *shard, const char *id, const char *transport,
			     const uint64_t *if_version, const char *reason,
			     jv_shard_done done, void *arg);

/*
 * Likewise: new keys for the session, or the binding once more with new keys. A gateway
 * cannot begin that: it gives its client the hint and is done.
 */
enum jv_renewal { JV_RENEW_KEYS, JV_RENEW_BINDING };
void jv_shard_session_renew(struct jv_shard *shard, const char *id, enum jv_renewal what,
			    const uint64_t *if_version, const char *reason,
			    jv_shard_done done, void *arg);

/* The caller of a pending command went away: @done is not called any more. */
void jv_shard_session_forget(struct jv_shard *shard, void *arg);

/* As above, but done when it returns. */
int jv_shard_session_terminate(struct jv_shard *shard, const char *id,
			       const uint64_t *if_version, const char *reason,
			       struct jv_command_result *result, struct jv_error *err);

#endif /* JV_SHARD_H */
