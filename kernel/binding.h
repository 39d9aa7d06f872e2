/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A binding: where a session's packets go. Moved by compare and swap.
 */
#ifndef JVPN_BINDING_H
#define JVPN_BINDING_H

#include <linux/rcupdate.h>
#include <net/dst.h>

#include "endpoint.h"
#include "session.h"
#include "verdict.h"

/**
 * struct jvpn_route - a way that was looked up, kept for the next packet
 * @dst: valid while dst_check() says so; holds a reference
 * @saddr: source address that belongs to it
 * @generation: jvpn_path.generation it was looked up for
 * @rcu: freed by it
 */
struct jvpn_route {
	struct dst_entry *dst;
	__be32 saddr;
	u32 generation;
	struct rcu_head rcu;
};

/**
 * struct jvpn_binding - the transmit pointer's target
 * @path: id of the path; the path itself is looked up per packet, so a socket can
 *	  be replaced without touching the bindings
 * @confirmed: validated by an exchange; if not, a client sends ahead of it
 * @remote: where to
 * @term: the version this binding was committed with
 * @bver: see @term
 * @since_ns: when it was committed
 * @route: cached, replaced by cmpxchg
 * @rcu: freed by it, with the route
 *
 * Constant but for @route. Read under RCU by jvpn_session.binding.
 */
struct jvpn_binding {
	u8 path;
	bool confirmed;
	struct jvpn_endpoint remote;
	u64 term;
	u64 bver;
	u64 since_ns;
	struct jvpn_route __rcu *route;
	struct rcu_head rcu;
};

/**
 * struct jvpn_binding_request - one change, as asked for by the daemon
 * @op: enum jvpn_binding_op
 * @confirmed: for set
 * @switched: for set, the transport moved: remember when
 * @has_exp: @exp_bver was given
 * @has_transition: @t was given
 * @has_via: @via was given, for set
 * @cid: receiver id of the epoch that the peer's request has made, or NULL; for set
 * @path: for set and move
 * @remote: for set and move
 * @expect_term: version that must be the current one
 * @expect_bver: see @expect_term
 * @exp_bver: version that the peer's request named
 * @term: new version
 * @bver: see @term
 * @via: state that is passed through on the way to @t, one version earlier
 * @t: transition in the same critical section
 */
struct jvpn_binding_request {
	u8 op;
	bool confirmed;
	bool switched;
	bool has_exp;
	bool has_transition;
	bool has_via;
	const u8 *cid;
	u8 path;
	struct jvpn_endpoint remote;
	u64 expect_term;
	u64 expect_bver;
	u64 exp_bver;
	u64 term;
	u64 bver;
	struct jvpn_transition via;
	struct jvpn_transition t;
};

int jvpn_binding_commit(struct jvpn_session *session,
			const struct jvpn_binding_request *r,
			struct jvpn_verdict *v);
struct jvpn_binding *jvpn_binding_detach(struct jvpn_session *session);
void jvpn_binding_free(struct jvpn_binding *binding);

#endif /* JVPN_BINDING_H */
