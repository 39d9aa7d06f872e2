// SPDX-License-Identifier: GPL-2.0
/*
 * Epochs: the traffic keys of one handshake, with their counters.
 */

#include <linux/slab.h>

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

static void jvpn_epoch_free_rcu(struct rcu_head *rcu)
{
	struct jvpn_epoch *epoch = container_of(rcu, struct jvpn_epoch, rcu);

	jvpn_session_put(epoch->session);
	kfree_sensitive(epoch);
}

static int jvpn_epoch_check(struct jvpn_session *session,
			    const struct jvpn_epoch_config *c, struct jvpn_verdict *v)
{
	if (c->aead != JVPN_AEAD_CHACHA20_POLY1305)
		return jvpn_refuse(v, -EOPNOTSUPP,
				   "aead %u is not available, only 0 (ChaCha20-Poly1305)",
				   c->aead);
	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (session->n_epochs >= JVPN_MAX_EPOCHS)
		return jvpn_refuse(v, -ENOSPC, "session %*phN has %u epochs already",
				   JVPN_SID_LEN, session->sid, session->n_epochs);
	return 0;
}

static struct jvpn_epoch *jvpn_epoch_create(struct jvpn_session *session,
					    const struct jvpn_epoch_config *c)
{
	struct jvpn_epoch *epoch = kzalloc(sizeof(*epoch), GFP_KERNEL);

	if (!epoch)
		return NULL;
	memcpy(epoch->rx_cid, c->rx_cid, JVPN_CID_LEN);
	memcpy(epoch->tx_cid, c->tx_cid, JVPN_CID_LEN);
	memcpy(epoch->rx_key, c->rx_key, JVPN_KEY_LEN);
	memcpy(epoch->tx_key, c->tx_key, JVPN_KEY_LEN);
	epoch->term = c->term;
	epoch->bver = c->bver;
	epoch->born_ns = jvpn_now();
	epoch->serial = session->next_serial;
	spin_lock_init(&epoch->replay.lock);
	kref_get(&session->ref);
	epoch->session = session;
	return epoch;
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
	epoch = jvpn_epoch_create(session, c);
	if (!epoch)
		return jvpn_refuse(v, -ENOMEM, "out of memory for an epoch");

	err = rhashtable_lookup_insert_fast(&device->epochs, &epoch->node,
					    jvpn_epoch_params);
	if (err) {
		jvpn_session_put(session);
		kfree_sensitive(epoch);
		if (err == -EEXIST)
			return jvpn_refuse(v, err, "receiver id %*phN is in use",
					   JVPN_CID_LEN, c->rx_cid);
		return jvpn_refuse(v, err, "no room for receiver id %*phN",
				   JVPN_CID_LEN, c->rx_cid);
	}
	list_add_tail(&epoch->list, &session->epochs);
	session->n_epochs++;
	session->next_serial++;
	device->n_epochs++;

	if (c->transmit) {
		spin_lock_bh(&session->lock);
		rcu_assign_pointer(session->transmit, epoch);
		spin_unlock_bh(&session->lock);
	}
	return 0;
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

	rhashtable_remove_fast(&session->device->epochs, &epoch->node,
			       jvpn_epoch_params);
	list_del(&epoch->list);
	session->n_epochs--;
	session->device->n_epochs--;

	/* jvpn_epoch_confirm() looks under the same lock, so it cannot come back. */
	spin_lock_bh(&session->lock);
	set_bit(JVPN_EPOCH_UNLINKED, &epoch->flags);
	if (rcu_access_pointer(session->transmit) == epoch)
		RCU_INIT_POINTER(session->transmit, NULL);
	spin_unlock_bh(&session->lock);
	call_rcu(&epoch->rcu, jvpn_epoch_free_rcu);
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

/* Sending on an older epoch never resumes. */
static void jvpn_epoch_take_over(struct jvpn_epoch *epoch)
{
	struct jvpn_session *session = epoch->session;
	struct jvpn_epoch *now;

	spin_lock_bh(&session->lock);
	now = rcu_dereference_protected(session->transmit,
					lockdep_is_held(&session->lock));
	if (!test_bit(JVPN_EPOCH_UNLINKED, &epoch->flags) &&
	    (!now || (s32)(epoch->serial - now->serial) > 0))
		rcu_assign_pointer(session->transmit, epoch);
	spin_unlock_bh(&session->lock);
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
	jvpn_epoch_take_over(epoch);
	jvpn_session_saw(epoch->session, epoch->term, epoch->bver);
	return true;
}

/* Told once. */
static void jvpn_epoch_exhausted(struct jvpn_epoch *epoch)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_EXHAUSTED,
		.device = epoch->session->device,
		.session = epoch->session,
		.path = -1,
		.cid = epoch->rx_cid,
	};

	if (!test_and_set_bit(JVPN_EPOCH_EXHAUSTED, &epoch->flags))
		jvpn_netlink_signal(&signal);
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
	if (likely(*counter < JVPN_COUNTER_LIMIT))
		return true;
	jvpn_epoch_exhausted(epoch);
	return false;
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
	return likely(atomic64_read(&epoch->auth_failures) < JVPN_AUTH_FAIL_LIMIT);
}

/**
 * jvpn_epoch_forged() - a datagram did not open
 * @epoch: keys
 *
 * Context: softirq, under RCU.
 */
void jvpn_epoch_forged(struct jvpn_epoch *epoch)
{
	if (atomic64_inc_return(&epoch->auth_failures) == JVPN_AUTH_FAIL_LIMIT)
		jvpn_epoch_exhausted(epoch);
}
