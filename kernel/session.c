// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions: their life, their state, and the versions that guard it.
 */

#include <linux/slab.h>

#include "binding.h"
#include "deadline.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "prefix.h"
#include "probe.h"
#include "session.h"

const struct rhashtable_params jvpn_session_params = {
	.key_len = JVPN_SID_LEN,
	.key_offset = offsetof(struct jvpn_session, sid),
	.head_offset = offsetof(struct jvpn_session, sid_node),
	.automatic_shrinking = true,
};

static const char *const jvpn_state_names[] = {
#define JVPN_STATE_NAME(value, name, text) \
	[value] = #name,
	JVPN_STATES(JVPN_STATE_NAME)
#undef JVPN_STATE_NAME
};

static const char *jvpn_state_name(u8 state)
{
	return state >= JVPN_STATE_BIRTH && state < ARRAY_SIZE(jvpn_state_names) ?
		jvpn_state_names[state] : "unknown";
}

/**
 * jvpn_session_lookup() - find a session by its id
 * @device: where
 * @sid: session id
 *
 * Context: under RCU, or jvpn_device.lock held.
 * Return: the session or NULL.
 */
struct jvpn_session *jvpn_session_lookup(struct jvpn_device *device,
					 const u8 sid[JVPN_SID_LEN])
{
	return rhashtable_lookup_fast(&device->sessions, sid, jvpn_session_params);
}

static void jvpn_session_free_rcu(struct rcu_head *rcu)
{
	kfree_sensitive(container_of(rcu, struct jvpn_session, rcu));
}

static void jvpn_session_free(struct kref *ref)
{
	struct jvpn_session *session = container_of(ref, struct jvpn_session, ref);

	/* Receivers that hold an epoch under RCU may still look at it. */
	call_rcu(&session->rcu, jvpn_session_free_rcu);
}

/**
 * jvpn_session_put() - drop a reference
 * @session: gone for the caller
 *
 * Context: any.
 */
void jvpn_session_put(struct jvpn_session *session)
{
	kref_put(&session->ref, jvpn_session_free);
}

static bool jvpn_prefix_list_repeats(const struct jvpn_prefix_list *list, unsigned int i)
{
	unsigned int j;

	for (j = 0; j < i; j++)
		if (!memcmp(&list->prefix[i]->key, &list->prefix[j]->key,
			    sizeof(list->prefix[i]->key)))
			return true;
	return false;
}

static int jvpn_session_check_prefixes(struct jvpn_device *device, const u8 *sid,
				       const struct jvpn_prefix_list *list,
				       struct jvpn_verdict *v)
{
	struct jvpn_session *other;
	char name[64];
	unsigned int i;

	for (i = 0; i < list->n; i++) {
		jvpn_prefix_format(name, sizeof(name), &list->prefix[i]->key);
		if (jvpn_prefix_list_repeats(list, i))
			return jvpn_refuse(v, -EEXIST, "prefix %s is named twice", name);
		other = jvpn_prefix_owner(&device->prefixes, &list->prefix[i]->key);
		if (other)
			return jvpn_refuse(v, -EEXIST,
					   "prefix %s of session %*phN belongs to session %*phN",
					   name, JVPN_SID_LEN, sid, JVPN_SID_LEN,
					   other->sid);
	}
	return 0;
}

static int jvpn_session_check_new(struct jvpn_device *device,
				  const struct jvpn_session_config *c,
				  struct jvpn_verdict *v)
{
	if (c->role != JVPN_ROLE_CLIENT && c->role != JVPN_ROLE_GATEWAY)
		return jvpn_refuse(v, -EINVAL, "role %u is neither client nor gateway",
				   c->role);
	if (c->state < JVPN_STATE_BIRTH || c->state >= JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "no session begins in state %u (%s)",
				   c->state, jvpn_state_name(c->state));
	if (jvpn_session_lookup(device, c->sid))
		return jvpn_refuse(v, -EEXIST, "session %*phN exists",
				   JVPN_SID_LEN, c->sid);
	return jvpn_session_check_prefixes(device, c->sid, &c->prefixes, v);
}

static struct jvpn_session *jvpn_session_create(struct jvpn_device *device,
						const struct jvpn_session_config *c)
{
	struct jvpn_session *session = kzalloc(sizeof(*session), GFP_KERNEL);

	if (!session)
		return NULL;
	session->device = device;
	session->role = c->role;
	session->state = c->state;
	session->previous = c->state;
	session->state_version = c->state_version;
	session->figures = c->figures;
	session->term = c->term;
	session->bver = c->bver;
	session->bver_seen = c->bver_seen;
	session->born_ns = jvpn_now();
	session->changed_ns = session->born_ns;
	session->lost_ns = session->born_ns;
	spin_lock_init(&session->lock);
	INIT_LIST_HEAD(&session->epochs);
	INIT_LIST_HEAD(&session->prefixes);
	INIT_LIST_HEAD(&session->doomed);
	INIT_HLIST_NODE(&session->wheel.node);
	kref_init(&session->ref);
	memcpy(session->sid, c->sid, JVPN_SID_LEN);
	if (c->label)
		strscpy(session->label, c->label, sizeof(session->label));
	return session;
}

static void jvpn_session_remove_prefixes(struct jvpn_session *session)
{
	struct jvpn_prefix *prefix;

	list_for_each_entry(prefix, &session->prefixes, list)
		jvpn_prefix_remove(&session->device->prefixes, prefix);
}

static void jvpn_session_free_prefixes(struct jvpn_session *session)
{
	struct jvpn_prefix *prefix, *next;

	list_for_each_entry_safe(prefix, next, &session->prefixes, list) {
		list_del(&prefix->list);
		kfree_rcu(prefix, rcu);
	}
}

/* All or none, of prefixes that were checked. Takes them over if it succeeds. */
static int jvpn_session_take_prefixes(struct jvpn_session *session,
				      struct jvpn_prefix_list *list)
{
	struct jvpn_prefixes *table = &session->device->prefixes;
	unsigned int i;
	int err;

	for (i = 0; i < list->n; i++) {
		err = jvpn_prefix_insert(table, list->prefix[i], session);
		if (err)
			goto err_remove;
	}
	for (i = 0; i < list->n; i++)
		list_add_tail(&list->prefix[i]->list, &session->prefixes);
	list->n = 0;
	return 0;

err_remove:
	/* Packets may look at them still; the first that did not go in they never saw. */
	while (i--) {
		jvpn_prefix_remove(table, list->prefix[i]);
		kfree_rcu(list->prefix[i], rcu);
		list->prefix[i] = NULL;
	}
	return err;
}

static int jvpn_session_publish(struct jvpn_session *session,
				struct jvpn_prefix_list *list)
{
	struct jvpn_device *device = session->device;
	int err;

	err = xa_alloc_cyclic(&device->index, &session->index, session, xa_limit_31b,
			      &device->next_index, GFP_KERNEL);
	if (err < 0)
		return err;
	err = rhashtable_lookup_insert_fast(&device->sessions, &session->sid_node,
					    jvpn_session_params);
	if (err)
		goto err_index;
	err = jvpn_session_take_prefixes(session, list);
	if (err)
		goto err_sid;
	device->n_sessions++;
	return 0;

err_sid:
	rhashtable_remove_fast(&device->sessions, &session->sid_node,
			       jvpn_session_params);
err_index:
	xa_erase(&device->index, session->index);
	return err;
}

/**
 * jvpn_session_new() - create a session without binding or keys
 * @device: where
 * @c: what the daemon said; prefixes that were taken over are no longer in it
 * @v: the sentence, if it is refused
 *
 * Context: process, jvpn_device.lock held.
 * Return: the session, or NULL with @v filled in.
 */
struct jvpn_session *jvpn_session_new(struct jvpn_device *device,
				      struct jvpn_session_config *c,
				      struct jvpn_verdict *v)
{
	struct jvpn_session *session;

	if (jvpn_session_check_new(device, c, v))
		return NULL;
	session = jvpn_session_create(device, c);
	if (!session)
		goto err_nomem;
	if (jvpn_probe_session_init(session))
		goto err_put;
	if (jvpn_session_publish(session, &c->prefixes))
		goto err_probe;
	jvpn_deadline_session_add(session);
	return session;

err_probe:
	/* It had no epoch and no binding: no packet has made a timer of its run. */
	jvpn_probe_session_exit(session);
err_put:
	jvpn_session_put(session);
err_nomem:
	jvpn_refuse(v, -ENOMEM, "out of memory for a session");
	return NULL;
}

/**
 * jvpn_session_give() - give inner addresses to a session that has none
 * @session: whose
 * @list: the prefixes; those that were taken over are no longer in it
 * @v: the sentence, if it is refused
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0 or a negative errno; then the session still has none.
 */
int jvpn_session_give(struct jvpn_session *session, struct jvpn_prefix_list *list,
		      struct jvpn_verdict *v)
{
	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (!list_empty(&session->prefixes))
		return jvpn_refuse(v, -EEXIST, "session %*phN has prefixes already",
				   JVPN_SID_LEN, session->sid);
	if (jvpn_session_check_prefixes(session->device, session->sid, list, v))
		return v->error;
	if (jvpn_session_take_prefixes(session, list))
		return jvpn_refuse(v, -ENOMEM, "out of memory for prefixes");
	return 0;
}

/**
 * jvpn_session_check_transition() - may this step be taken?
 * @session: whose
 * @t: the step
 * @v: the sentence, if it is refused
 *
 * Which edges there are is the daemon's knowledge. That versions have no gap, that
 * nothing leaves TERMINATED and nothing returns to BIRTH holds whatever it says.
 *
 * Context: jvpn_session.lock held.
 * Return: 0 or a negative errno.
 */
int jvpn_session_check_transition(const struct jvpn_session *session,
				  const struct jvpn_transition *t,
				  struct jvpn_verdict *v)
{
	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (t->state <= JVPN_STATE_BIRTH || t->state > JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "no step leads to state %u (%s)", t->state,
				   jvpn_state_name(t->state));
	if (t->version - 1 != session->state_version || !t->version)
		return jvpn_refuse(v, -ESTALE,
				   "state version %llu does not follow the current %llu",
				   t->version, session->state_version);
	return 0;
}

/**
 * jvpn_session_take_transition() - take a step that was checked
 * @session: whose
 * @t: the step
 *
 * Context: jvpn_session.lock held.
 */
void jvpn_session_take_transition(struct jvpn_session *session,
				  const struct jvpn_transition *t)
{
	session->previous = session->state;
	session->reason = t->reason;
	session->detail = t->detail;
	session->state_version = t->version;
	session->changed_ns = jvpn_now();
	WRITE_ONCE(session->state, t->state);
}

/**
 * jvpn_session_settle() - what follows from a step that was taken
 * @session: its state or binding has changed
 *
 * A terminated session keeps nothing but its name and its figures.
 *
 * Context: process, jvpn_device.lock held, jvpn_session.lock not.
 */
void jvpn_session_settle(struct jvpn_session *session)
{
	struct jvpn_binding *binding;

	if (session->state == JVPN_STATE_TERMINATED) {
		spin_lock_bh(&session->lock);
		binding = jvpn_binding_detach(session);
		spin_unlock_bh(&session->lock);
		jvpn_binding_free(binding);
		jvpn_epoch_unlink_all(session);
		jvpn_session_remove_prefixes(session);
		jvpn_deadline_session_del(session);
	}
	jvpn_probe_changed(session);
}

/**
 * jvpn_session_transition() - take a step that leaves the binding alone
 * @session: whose
 * @t: the step
 * @v: the sentence, if it is refused
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0 or a negative errno.
 */
int jvpn_session_transition(struct jvpn_session *session,
			    const struct jvpn_transition *t, struct jvpn_verdict *v)
{
	int err;

	spin_lock_bh(&session->lock);
	err = jvpn_session_check_transition(session, t, v);
	if (!err)
		jvpn_session_take_transition(session, t);
	spin_unlock_bh(&session->lock);
	if (!err)
		jvpn_session_settle(session);
	return err;
}

/* A daemon that lives is first to end what is over. */
#define JVPN_SESSION_PATIENCE_NS ((u64)NSEC_PER_SEC)

static u64 jvpn_session_deadline(const struct jvpn_session *session)
{
	u64 deadline_ns = session->figures.deadline_ns;

	return deadline_ns ? deadline_ns + JVPN_SESSION_PATIENCE_NS : JVPN_NEVER;
}

/* A birth that fails is not the loss of a transport. */
static u64 jvpn_session_lost_deadline(const struct jvpn_session *session)
{
	u32 ttl_ms = session->figures.lost_ttl_ms;

	if (!ttl_ms || !session->lost_ns || session->state == JVPN_STATE_BIRTH)
		return JVPN_NEVER;
	return session->lost_ns + ttl_ms * (u64)NSEC_PER_MSEC + JVPN_SESSION_PATIENCE_NS;
}

static void jvpn_session_expire(struct jvpn_session *session, u8 reason)
{
	struct jvpn_transition t = {
		.state = JVPN_STATE_TERMINATED,
		.reason = reason,
		.version = session->state_version + 1,
	};
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_EXPIRED,
		.device = session->device,
		.session = session,
		.path = -1,
		.reason = reason,
	};
	struct jvpn_verdict v;

	/* Fails only behind the last of all versions. */
	if (jvpn_session_transition(session, &t, &v))
		return;
	jvpn_netlink_session_changed(session, NULL);
	jvpn_netlink_signal(&signal);
}

/**
 * jvpn_session_look() - end a session whose time is over
 * @session: which
 * @now: the time
 *
 * Context: process, jvpn_device.lock held, under which all that it looks at changes.
 * Return: when to look again, or JVPN_NEVER.
 */
u64 jvpn_session_look(struct jvpn_session *session, u64 now)
{
	u64 deadline_ns = jvpn_session_deadline(session);
	u64 lost_ns = jvpn_session_lost_deadline(session);

	if (min(deadline_ns, lost_ns) > now)
		return min(deadline_ns, lost_ns);
	jvpn_session_expire(session, deadline_ns <= now ?
			    JVPN_REASON_TTL_SESSION_EXPIRED :
			    JVPN_REASON_TTL_TRANSPORT_LOSS_EXPIRED);
	return JVPN_NEVER;
}

/**
 * jvpn_session_unlink() - first step of a session's end: nothing finds it any more
 * @session: gone for the caller
 * @doomed: receives it, for jvpn_session_release_all()
 *
 * Context: process, jvpn_device.lock held.
 */
void jvpn_session_unlink(struct jvpn_session *session, struct list_head *doomed)
{
	struct jvpn_device *device = session->device;
	struct jvpn_binding *binding;

	jvpn_netlink_session_ended(session);
	rhashtable_remove_fast(&device->sessions, &session->sid_node,
			       jvpn_session_params);
	xa_erase(&device->index, session->index);
	device->n_sessions--;

	spin_lock_bh(&session->lock);
	WRITE_ONCE(session->dead, true);
	binding = jvpn_binding_detach(session);
	spin_unlock_bh(&session->lock);
	jvpn_binding_free(binding);

	jvpn_session_remove_prefixes(session);
	jvpn_session_free_prefixes(session);
	jvpn_epoch_unlink_all(session);
	jvpn_deadline_session_del(session);
	list_add_tail(&session->doomed, doomed);
}

/**
 * jvpn_session_release_all() - second and third step of the end of sessions
 * @doomed: the sessions
 *
 * They are in no table and have neither binding nor keys, so after one grace period
 * no packet can start a timer of theirs; then the timers are stopped and the tables'
 * references dropped.
 *
 * Context: process, may sleep; jvpn_device.lock not held.
 */
void jvpn_session_release_all(struct list_head *doomed)
{
	struct jvpn_session *session, *next;

	if (list_empty(doomed))
		return;
	synchronize_net();
	list_for_each_entry_safe(session, next, doomed, doomed) {
		list_del_init(&session->doomed);
		jvpn_probe_session_exit(session);
		jvpn_session_put(session);
	}
}

/**
 * jvpn_session_version() - read the binding version
 * @session: whose
 * @term: filled in
 * @bver: filled in, belongs to @term
 *
 * Context: any but hard interrupt; jvpn_session.lock not held.
 */
void jvpn_session_version(struct jvpn_session *session, u64 *term, u64 *bver)
{
	spin_lock_bh(&session->lock);
	*term = session->term;
	*bver = session->bver;
	spin_unlock_bh(&session->lock);
}

/**
 * jvpn_session_saw() - the peer has proved to have seen a binding version
 * @session: of a gateway; on a client nothing happens
 * @term: of the version
 * @bver: of the version
 *
 * Context: any but hard interrupt; jvpn_session.lock not held.
 * Return: true if that was news.
 */
bool jvpn_session_saw(struct jvpn_session *session, u64 term, u64 bver)
{
	bool news = false;

	if (session->role != JVPN_ROLE_GATEWAY)
		return false;
	spin_lock_bh(&session->lock);
	if (term == session->term && bver <= session->bver && bver > session->bver_seen) {
		session->bver_seen = bver;
		news = true;
	}
	spin_unlock_bh(&session->lock);
	return news;
}

/**
 * jvpn_session_verdict() - put the current versions into an answer
 * @session: whose
 * @v: the answer
 *
 * Context: any but hard interrupt; jvpn_session.lock not held.
 */
void jvpn_session_verdict(struct jvpn_session *session, struct jvpn_verdict *v)
{
	spin_lock_bh(&session->lock);
	v->term = session->term;
	v->bver = session->bver;
	v->state_version = session->state_version;
	spin_unlock_bh(&session->lock);
}
