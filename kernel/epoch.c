// SPDX-License-Identifier: GPL-2.0
/*
 * Epochs: the traffic keys of one handshake, with their counters.
 */

#include <linux/slab.h>

#include "deadline.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "session.h"

const struct rhashtable_params jvpn_epoch_params = {
	.key_len = JVPN_CID_LEN,
	.key_offset = offsetof(struct jvpn_epoch, rx_cid),
	.head_offset = offsetof(struct jvpn_epoch, node),
	.automatic_shrinking = true,
};

/**
 * jvpn_epoch_lookup() - find an epoch by our receiver id
 * @device: where
 * @cid: receiver id
 *
 * Context: under RCU, or jvpn_device.lock held.
 * Return: the epoch or NULL.
 */
struct jvpn_epoch *jvpn_epoch_lookup(struct jvpn_device *device,
				     const u8 cid[JVPN_CID_LEN])
{
	return rhashtable_lookup_fast(&device->epochs, cid, jvpn_epoch_params);
}

static void jvpn_epoch_free(struct jvpn_epoch *epoch)
{
	jvpn_key_wipe(&epoch->tx_key);
	jvpn_key_wipe(&epoch->rx_key);
	kfree_sensitive(epoch);
}

static void jvpn_epoch_free_rcu(struct rcu_head *rcu)
{
	struct jvpn_epoch *epoch = container_of(rcu, struct jvpn_epoch, rcu);

	jvpn_session_put(epoch->session);
	jvpn_epoch_free(epoch);
}

/* Longest frame that these keys may have to seal. */
static u32 jvpn_epoch_frame(const struct jvpn_device *device)
{
	return READ_ONCE(device->dev->mtu) + sizeof(struct jvpn_data) + JVPN_TAG_LEN;
}

static int jvpn_epoch_check(struct jvpn_session *session,
			    const struct jvpn_epoch_config *c, struct jvpn_verdict *v)
{
	u64 hard = jvpn_key_limits_of(c->aead, jvpn_epoch_frame(session->device)).hard;

	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (session->n_epochs >= JVPN_MAX_EPOCHS)
		return jvpn_refuse(v, -ENOSPC, "session %*phN has %u epochs already",
				   JVPN_SID_LEN, session->sid, session->n_epochs);
	if (c->tx_counter > hard)
		return jvpn_refuse(v, -ERANGE, "tx-counter %llu is above %llu",
				   c->tx_counter, hard);
	return 0;
}

/* Counting starts where it was told to: from a higher number no nonce repeats either. */
static void jvpn_epoch_limit(struct jvpn_epoch *epoch, struct jvpn_session *session,
			     const struct jvpn_epoch_config *c)
{
	epoch->limits = jvpn_key_limits_of(c->aead, jvpn_epoch_frame(session->device));
	epoch->tx_limit = epoch->limits.hard;
	epoch->tx_notice = epoch->limits.soft;
	atomic64_set(&epoch->tx_counter, c->tx_counter);
	epoch->born_ns = jvpn_now();
	epoch->expires_ns = c->lifetime_ns ? epoch->born_ns + c->lifetime_ns : JVPN_NEVER;
}

static int jvpn_epoch_set_keys(struct jvpn_epoch *epoch,
			       const struct jvpn_epoch_config *c, struct jvpn_verdict *v)
{
	int err;

	err = jvpn_key_set(&epoch->tx_key, c->aead, c->tx_key);
	if (!err)
		err = jvpn_key_set(&epoch->rx_key, c->aead, c->rx_key);
	if (!err || err == -ENOMEM)
		return err;
	return jvpn_refuse(v, -EOPNOTSUPP,
			   "aead %u is not to be had from this kernel (error %d): gcm(aes) is missing",
			   c->aead, -err);
}

static struct jvpn_epoch *jvpn_epoch_create(struct jvpn_session *session,
					    const struct jvpn_epoch_config *c,
					    struct jvpn_verdict *v)
{
	struct jvpn_epoch *epoch = kzalloc(sizeof(*epoch), GFP_KERNEL);

	if (!epoch || jvpn_epoch_set_keys(epoch, c, v))
		goto err_free;
	memcpy(epoch->rx_cid, c->rx_cid, JVPN_CID_LEN);
	memcpy(epoch->tx_cid, c->tx_cid, JVPN_CID_LEN);
	epoch->aead = c->aead;
	epoch->term = c->term;
	epoch->bver = c->bver;
	jvpn_epoch_limit(epoch, session, c);
	epoch->serial = session->last_serial + 1;
	spin_lock_init(&epoch->replay.lock);
	kref_get(&session->ref);
	epoch->session = session;
	return epoch;

err_free:
	if (epoch)
		jvpn_epoch_free(epoch);
	if (!v->error)
		jvpn_refuse(v, -ENOMEM, "out of memory for an epoch");
	return NULL;
}

/* Sending on an older epoch never resumes, even when the newer one is gone. */
static void jvpn_epoch_take_over(struct jvpn_epoch *epoch)
{
	struct jvpn_session *session = epoch->session;

	lockdep_assert_held(&session->lock);
	if (test_bit(JVPN_EPOCH_UNLINKED, &epoch->flags) ||
	    epoch->serial <= session->sent_serial)
		return;
	session->sent_serial = epoch->serial;
	rcu_assign_pointer(session->transmit, epoch);
}

/**
 * jvpn_epoch_new() - install keys
 * @session: whose
 * @c: what the daemon said
 * @v: the sentence, if it is refused
 *
 * A receiver id that is in use is refused: keys never return, so no counter starts
 * again under them.
 *
 * Context: process, jvpn_device.lock held.
 * Return: 0 or a negative errno.
 */
int jvpn_epoch_new(struct jvpn_session *session, const struct jvpn_epoch_config *c,
		   struct jvpn_verdict *v)
{
	struct jvpn_device *device = session->device;
	struct jvpn_epoch *epoch;
	int err;

	if (jvpn_epoch_check(session, c, v))
		return v->error;
	epoch = jvpn_epoch_create(session, c, v);
	if (!epoch)
		return v->error;

	err = rhashtable_lookup_insert_fast(&device->epochs, &epoch->node,
					    jvpn_epoch_params);
	if (err) {
		jvpn_session_put(session);
		jvpn_epoch_free(epoch);
		if (err == -EEXIST)
			return jvpn_refuse(v, err, "receiver id %*phN is in use",
					   JVPN_CID_LEN, c->rx_cid);
		return jvpn_refuse(v, err, "no room for receiver id %*phN",
				   JVPN_CID_LEN, c->rx_cid);
	}
	list_add_tail(&epoch->list, &session->epochs);
	session->n_epochs++;
	session->last_serial++;
	device->n_epochs++;

	spin_lock_bh(&session->lock);
	if (c->transmit)
		jvpn_epoch_take_over(epoch);
	spin_unlock_bh(&session->lock);
	jvpn_deadline_session_add(session);
	return 0;
}

static void jvpn_epoch_unlink_locked(struct jvpn_epoch *epoch)
{
	struct jvpn_session *session = epoch->session;

	lockdep_assert_held(&session->lock);
	rhashtable_remove_fast(&session->device->epochs, &epoch->node,
			       jvpn_epoch_params);
	list_del(&epoch->list);
	session->n_epochs--;
	session->device->n_epochs--;
	/* Whoever makes an epoch the one to send with looks under the same lock. */
	set_bit(JVPN_EPOCH_UNLINKED, &epoch->flags);
	if (rcu_access_pointer(session->transmit) == epoch)
		RCU_INIT_POINTER(session->transmit, NULL);
	call_rcu(&epoch->rcu, jvpn_epoch_free_rcu);
}

/**
 * jvpn_epoch_unlink() - take keys out of use and wipe them
 * @epoch: of a session; gone for the caller
 *
 * Packets that use it at this moment finish; it is wiped a grace period later.
 *
 * Context: jvpn_device.lock held.
 */
void jvpn_epoch_unlink(struct jvpn_epoch *epoch)
{
	struct jvpn_session *session = epoch->session;

	spin_lock_bh(&session->lock);
	jvpn_epoch_unlink_locked(epoch);
	spin_unlock_bh(&session->lock);
}

/**
 * jvpn_epoch_unlink_all() - take all keys of a session out of use
 * @session: whose
 *
 * Context: jvpn_device.lock held.
 */
void jvpn_epoch_unlink_all(struct jvpn_session *session)
{
	struct jvpn_epoch *epoch, *next;

	list_for_each_entry_safe(epoch, next, &session->epochs, list)
		jvpn_epoch_unlink(epoch);
}

static void jvpn_epoch_tell(struct jvpn_epoch *epoch, u8 kind)
{
	struct jvpn_signal signal = {
		.kind = kind,
		.device = epoch->session->device,
		.session = epoch->session,
		.path = -1,
		.cid = epoch->rx_cid,
	};

	jvpn_netlink_signal(&signal);
}

/* Told once. */
static void jvpn_epoch_exhausted(struct jvpn_epoch *epoch)
{
	if (!test_and_set_bit(JVPN_EPOCH_EXHAUSTED, &epoch->flags))
		jvpn_epoch_tell(epoch, JVPN_SIGNAL_KIND_EXHAUSTED);
}

static void jvpn_epoch_retire(struct jvpn_epoch *epoch)
{
	jvpn_epoch_tell(epoch, JVPN_SIGNAL_KIND_RETIRED);
	jvpn_epoch_unlink_locked(epoch);
}

/**
 * jvpn_epoch_succeed() - a commit was made with these keys
 * @epoch: of the commit's term
 *
 * Keys of lower terms are another owner's or an earlier incarnation's and end here,
 * older ones that were never confirmed belong to an answer that was lost. If none is
 * left to send with, these are used at once; else the peer decides when.
 *
 * Context: jvpn_device.lock and jvpn_session.lock held.
 */
void jvpn_epoch_succeed(struct jvpn_epoch *epoch)
{
	struct jvpn_session *session = epoch->session;
	struct jvpn_epoch *other, *next;

	list_for_each_entry_safe(other, next, &session->epochs, list) {
		if (other == epoch)
			continue;
		if (other->term < epoch->term ||
		    (other->serial < epoch->serial &&
		     !test_bit(JVPN_EPOCH_CONFIRMED, &other->flags)))
			jvpn_epoch_retire(other);
	}
	if (!rcu_access_pointer(session->transmit))
		jvpn_epoch_take_over(epoch);
}

static unsigned int jvpn_epoch_lifespans(struct jvpn_session *session,
					 struct jvpn_lifespan *keys)
{
	struct jvpn_epoch *epoch;
	unsigned int n = 0;

	list_for_each_entry(epoch, &session->epochs, list)
		keys[n++] = (struct jvpn_lifespan){
			.born_ns = epoch->born_ns,
			.confirmed_ns = READ_ONCE(epoch->confirmed_ns),
			.sends = rcu_access_pointer(session->transmit) == epoch,
		};
	return n;
}

/* Too old to send: both limits are 0, so that the next counter is above them. */
static void jvpn_epoch_expire(struct jvpn_epoch *epoch)
{
	WRITE_ONCE(epoch->tx_limit, 0);
	WRITE_ONCE(epoch->tx_notice, 0);
	if (rcu_access_pointer(epoch->session->transmit) == epoch)
		jvpn_epoch_exhausted(epoch);
}

/**
 * jvpn_epoch_look() - end the keys of a session whose time is over
 * @session: whose
 * @now: the time
 *
 * Context: process, jvpn_device.lock held.
 * Return: when to look again, or JVPN_NEVER.
 */
u64 jvpn_epoch_look(struct jvpn_session *session, u64 now)
{
	struct jvpn_lifespan keys[JVPN_MAX_EPOCHS];
	struct jvpn_epoch *epoch, *next;
	u64 end_ns, due_ns = JVPN_NEVER;
	unsigned int n, i = 0;

	/* One of them may be confirmed now; it takes over after this, or is gone. */
	spin_lock_bh(&session->lock);
	n = jvpn_epoch_lifespans(session, keys);
	list_for_each_entry_safe(epoch, next, &session->epochs, list) {
		end_ns = jvpn_lifespan_end(keys, n, i++);
		if (epoch->expires_ns <= now && epoch->tx_limit)
			jvpn_epoch_expire(epoch);
		if (epoch->tx_limit)
			due_ns = min(due_ns, epoch->expires_ns);
		if (end_ns <= now)
			jvpn_epoch_retire(epoch);
		else
			due_ns = min(due_ns, end_ns);
	}
	spin_unlock_bh(&session->lock);
	return due_ns;
}

/**
 * jvpn_epoch_confirm() - the peer has proved to hold the keys
 * @epoch: an authenticated datagram has come for it
 *
 * The first time, it becomes the epoch to send with, unless a newer one is.
 *
 * Context: softirq, under RCU.
 * Return: true the first time.
 */
bool jvpn_epoch_confirm(struct jvpn_epoch *epoch)
{
	if (likely(test_bit(JVPN_EPOCH_CONFIRMED, &epoch->flags)) ||
	    test_and_set_bit(JVPN_EPOCH_CONFIRMED, &epoch->flags))
		return false;
	WRITE_ONCE(epoch->confirmed_ns, jvpn_now());
	spin_lock_bh(&epoch->session->lock);
	jvpn_epoch_take_over(epoch);
	spin_unlock_bh(&epoch->session->lock);
	jvpn_session_saw(epoch->session, epoch->term, epoch->bver);
	/* The end of older ones is nearer now. */
	jvpn_deadline_session_add(epoch->session);
	return true;
}

/**
 * jvpn_epoch_worn() - the keys are to be replaced
 * @epoch: keys; told once
 *
 * Context: any, under RCU.
 */
void jvpn_epoch_worn(struct jvpn_epoch *epoch)
{
	if (!test_bit(JVPN_EPOCH_WORN, &epoch->flags) &&
	    !test_and_set_bit(JVPN_EPOCH_WORN, &epoch->flags))
		jvpn_epoch_tell(epoch, JVPN_SIGNAL_KIND_REKEY_DUE);
}

/* Beyond the soft limit, or beyond everything. */
static bool jvpn_epoch_count_late(struct jvpn_epoch *epoch, u64 counter)
{
	if (counter >= READ_ONCE(epoch->tx_limit)) {
		jvpn_epoch_exhausted(epoch);
		return false;
	}
	jvpn_epoch_worn(epoch);
	/* Of two that change the notice, jvpn_epoch_expire() wins. */
	cmpxchg64(&epoch->tx_notice, epoch->limits.soft, epoch->limits.hard);
	return true;
}

/**
 * jvpn_epoch_count() - take a counter to send with
 * @epoch: keys
 * @counter: the counter, no other packet has it
 *
 * Context: any, under RCU.
 * Return: false if the keys are used up, for good: every later call fails as well,
 *	   and it takes more calls than there is time to wrap the 64 bits.
 */
bool jvpn_epoch_count(struct jvpn_epoch *epoch, u64 *counter)
{
	*counter = atomic64_fetch_inc(&epoch->tx_counter);
	return likely(*counter < READ_ONCE(epoch->tx_notice)) ||
	       jvpn_epoch_count_late(epoch, *counter);
}

/**
 * jvpn_epoch_may_open() - have there been too many forgeries?
 * @epoch: keys
 *
 * Return: false if so many datagrams failed to open that the key must not be tried
 *	   any more.
 */
bool jvpn_epoch_may_open(const struct jvpn_epoch *epoch)
{
	return likely((u64)atomic64_read(&epoch->auth_failures) < epoch->limits.forged);
}

/**
 * jvpn_epoch_forged() - a datagram did not open
 * @epoch: keys
 *
 * Context: softirq, under RCU.
 */
void jvpn_epoch_forged(struct jvpn_epoch *epoch)
{
	if ((u64)atomic64_inc_return(&epoch->auth_failures) == epoch->limits.forged)
		jvpn_epoch_exhausted(epoch);
}
