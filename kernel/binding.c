// SPDX-License-Identifier: GPL-2.0
/*
 * Bindings: the one place where a session's packets go to, and how it moves.
 */

#include <linux/slab.h>

#include "binding.h"
#include "device.h"
#include "epoch.h"
#include "path.h"

static void jvpn_binding_free_rcu(struct rcu_head *rcu)
{
	struct jvpn_binding *binding = container_of(rcu, struct jvpn_binding, rcu);
	struct jvpn_route *route = rcu_dereference_protected(binding->route, true);

	if (route) {
		dst_release(route->dst);
		kfree(route);
	}
	kfree(binding);
}

/**
 * jvpn_binding_free() - let go of a binding that no session points to any more
 * @binding: may be NULL; freed when the packets that use it have left
 */
void jvpn_binding_free(struct jvpn_binding *binding)
{
	if (binding)
		call_rcu(&binding->rcu, jvpn_binding_free_rcu);
}

/**
 * jvpn_binding_detach() - leave a session without transport
 * @session: whose
 *
 * Context: jvpn_session.lock held.
 * Return: the binding it had, for jvpn_binding_free(), or NULL.
 */
struct jvpn_binding *jvpn_binding_detach(struct jvpn_session *session)
{
	return rcu_replace_pointer(session->binding, NULL,
				   lockdep_is_held(&session->lock));
}

/**
 * struct jvpn_version - what a commit is compared with
 * @term: current term, seen from the commit's
 * @bver: current version in it; a binding of an older term counts as 0
 * @seen: what the peer provably saw in it; likewise
 */
struct jvpn_version {
	u64 term;
	u64 bver;
	u64 seen;
};

static struct jvpn_version jvpn_binding_current(const struct jvpn_session *session,
						u64 term)
{
	if (term > session->term)
		return (struct jvpn_version){ .term = term };
	return (struct jvpn_version){
		.term = session->term,
		.bver = session->bver,
		.seen = session->bver_seen,
	};
}

static bool jvpn_binding_expected(const struct jvpn_session *session,
				  const struct jvpn_version *now,
				  const struct jvpn_binding_request *r)
{
	return (r->expect_term == session->term && r->expect_bver == session->bver) ||
	       (r->expect_term == now->term && r->expect_bver == now->bver);
}

/* Compare: every way to lose is -ESTALE and leaves everything as it was. */
static int jvpn_binding_compare(const struct jvpn_session *session,
				const struct jvpn_binding_request *r,
				struct jvpn_verdict *v)
{
	struct jvpn_version now = jvpn_binding_current(session, r->term);
	u64 owner = READ_ONCE(session->device->term);

	if (session->role == JVPN_ROLE_GATEWAY && owner && r->term != owner)
		return jvpn_refuse(v, -ESTALE, "term %llu is not the owner's, %llu",
				   r->term, owner);
	if (!jvpn_binding_expected(session, &now, r))
		return jvpn_refuse(v, -ESTALE,
				   "expected version %llu.%llu, the current one is %llu.%llu",
				   r->expect_term, r->expect_bver, session->term,
				   session->bver);
	if (r->term < now.term || r->bver <= now.bver)
		return jvpn_refuse(v, -ESTALE,
				   "version %llu.%llu is not above the current %llu.%llu",
				   r->term, r->bver, session->term, session->bver);
	if (r->has_exp && (r->exp_bver < now.seen || r->exp_bver > now.bver))
		return jvpn_refuse(v, -ESTALE,
				   "the request names version %llu.%llu, acceptable are %llu to %llu",
				   r->term, r->exp_bver, now.seen, now.bver);
	return 0;
}

static int jvpn_binding_check_steps(struct jvpn_session *session,
				    const struct jvpn_binding_request *r,
				    struct jvpn_verdict *v)
{
	const struct jvpn_transition *first = r->has_via ? &r->via : &r->t;

	if (!r->has_transition)
		return 0;
	if (r->op != JVPN_BINDING_OP_CLEAR && r->t.state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "TERMINATED has no transport");
	if (r->has_via && (r->via.state <= JVPN_STATE_BIRTH ||
			   r->via.state >= JVPN_STATE_TERMINATED))
		return jvpn_refuse(v, -EINVAL, "state %u cannot be passed through",
				   r->via.state);
	if (jvpn_session_check_transition(session, first, v))
		return v->error;
	if (r->t.state <= JVPN_STATE_BIRTH || r->t.state > JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "no step leads to state %u", r->t.state);
	return 0;
}

/* The keys that come with the commit; they may have ended while it was on its way. */
static int jvpn_binding_check_epoch(struct jvpn_session *session,
				    const struct jvpn_binding_request *r,
				    struct jvpn_verdict *v)
{
	const struct jvpn_epoch *epoch;

	if (!r->cid)
		return 0;
	epoch = jvpn_epoch_lookup(session->device, r->cid);
	if (!epoch || epoch->session != session)
		return jvpn_refuse(v, -ENOENT, "session %*phN has no receiver id %*phN",
				   JVPN_SID_LEN, session->sid, JVPN_CID_LEN, r->cid);
	if (epoch->term != r->term)
		return jvpn_refuse(v, -EINVAL,
				   "receiver id %*phN is of term %llu, the commit of %llu",
				   JVPN_CID_LEN, r->cid, epoch->term, r->term);
	return 0;
}

static int jvpn_binding_check(struct jvpn_session *session,
			      const struct jvpn_binding_request *r,
			      struct jvpn_verdict *v)
{
	u8 state = r->has_transition ? r->t.state : session->state;

	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (r->op != JVPN_BINDING_OP_CLEAR && state == JVPN_STATE_BIRTH)
		return jvpn_refuse(v, -EINVAL, "session %*phN is in BIRTH, it has no transport",
				   JVPN_SID_LEN, session->sid);
	if (r->op == JVPN_BINDING_OP_MOVE && session->role != JVPN_ROLE_CLIENT)
		return jvpn_refuse(v, -EINVAL,
				   "only a client sends ahead of its binding (op move)");
	if (r->op == JVPN_BINDING_OP_SET &&
	    (jvpn_binding_compare(session, r, v) ||
	     jvpn_binding_check_epoch(session, r, v)))
		return v->error;
	return jvpn_binding_check_steps(session, r, v);
}

/* And swap. */
static struct jvpn_binding *jvpn_binding_swap(struct jvpn_session *session,
					      const struct jvpn_binding_request *r,
					      struct jvpn_binding *binding)
{
	if (r->op == JVPN_BINDING_OP_SET) {
		session->bver_seen = jvpn_binding_current(session, r->term).seen;
		if (r->has_exp)
			session->bver_seen = r->exp_bver;
		session->term = r->term;
		session->bver = r->bver;
		if (r->switched)
			session->switches[session->n_switches++ % JVPN_RING_LEN] =
				div_u64(jvpn_now(), NSEC_PER_MSEC);
	}
	if (binding) {
		binding->term = session->term;
		binding->bver = session->bver;
	}
	/* What is sent ahead of a binding is no transport yet. */
	if (binding && binding->confirmed)
		session->lost_ns = 0;
	else if (!session->lost_ns)
		session->lost_ns = jvpn_now();
	if (r->cid)
		jvpn_epoch_succeed(jvpn_epoch_lookup(session->device, r->cid));
	if (r->has_via)
		jvpn_session_take_transition(session, &r->via);
	if (r->has_transition)
		jvpn_session_take_transition(session, &r->t);
	return rcu_replace_pointer(session->binding, binding,
				   lockdep_is_held(&session->lock));
}

static struct jvpn_binding *jvpn_binding_create(struct jvpn_session *session,
						const struct jvpn_binding_request *r,
						struct jvpn_verdict *v)
{
	struct jvpn_binding *binding;

	if (r->path >= JVPN_PATH_MAX ||
	    !rcu_access_pointer(session->device->paths[r->path])) {
		jvpn_refuse(v, -ENOENT, "no path %u", r->path);
		return NULL;
	}
	binding = kzalloc(sizeof(*binding), GFP_KERNEL);
	if (!binding) {
		jvpn_refuse(v, -ENOMEM, "out of memory for a binding");
		return NULL;
	}
	binding->path = r->path;
	binding->remote = r->remote;
	binding->confirmed = r->op == JVPN_BINDING_OP_SET && r->confirmed;
	binding->since_ns = jvpn_now();
	return binding;
}

/**
 * jvpn_binding_commit() - change where a session's packets go
 * @session: whose
 * @r: what the daemon asked for
 * @v: the sentence, if it is refused
 *
 * Either all of it happens, the steps of the state machine included, or nothing. A
 * packet sees the old binding or the new one: the swap is one store.
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0, -ESTALE if the comparison failed, or another negative errno.
 */
int jvpn_binding_commit(struct jvpn_session *session,
			const struct jvpn_binding_request *r, struct jvpn_verdict *v)
{
	struct jvpn_binding *binding = NULL, *old;
	int err;

	if (r->op != JVPN_BINDING_OP_CLEAR) {
		binding = jvpn_binding_create(session, r, v);
		if (!binding)
			return v->error;
	}
	spin_lock_bh(&session->lock);
	err = jvpn_binding_check(session, r, v);
	if (!err)
		old = jvpn_binding_swap(session, r, binding);
	spin_unlock_bh(&session->lock);
	if (err) {
		kfree(binding);
		return err;
	}
	jvpn_binding_free(old);
	jvpn_session_settle(session);
	return 0;
}
