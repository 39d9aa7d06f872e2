// SPDX-License-Identifier: GPL-2.0
/*
 * Objects as netlink attributes: one function each, for replies, dumps and events.
 *
 * Keys are not among them.
 */

#include <linux/module.h>
#include <net/netlink.h>

#include "../uapi/linux/jvpn.h"
#include "binding.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "netlink_fill.h"
#include "path.h"
#include "prefix.h"
#include "probe.h"
#include "session.h"
#include "verdict.h"

static int jvpn_put_u64(struct sk_buff *skb, int attr, u64 value)
{
	return nla_put(skb, attr, sizeof(value), &value);
}

static int jvpn_put_ms(struct sk_buff *skb, int attr, u64 ns)
{
	return jvpn_put_u64(skb, attr, div_u64(ns, NSEC_PER_MSEC));
}

/* Time since @then, if it ever was. */
static int jvpn_put_since(struct sk_buff *skb, int attr, u64 then)
{
	u64 now = jvpn_now();

	if (!then)
		return 0;
	return jvpn_put_ms(skb, attr, now > then ? now - then : 0);
}

/* Time until @then; 0 if it is past. */
static int jvpn_put_left(struct sk_buff *skb, int attr, u64 then)
{
	u64 now = jvpn_now();

	return jvpn_put_ms(skb, attr, then > now ? then - now : 0);
}

static int jvpn_put_endpoint(struct sk_buff *skb, int attr, const struct jvpn_endpoint *e)
{
	return nla_put(skb, attr, jvpn_endpoint_size(e), e);
}

/* Close @nest, or take it back if something did not fit. */
static int jvpn_nest_end(struct sk_buff *skb, struct nlattr *nest, bool failed)
{
	if (failed) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

static bool jvpn_device_daemon_misfit(struct sk_buff *skb, struct jvpn_device *device)
{
	const struct jvpn_owner *owner;
	u32 port;

	rcu_read_lock();
	owner = rcu_dereference(device->owner);
	port = owner ? owner->port : 0;
	rcu_read_unlock();
	if (port)
		return nla_put_u32(skb, JVPN_DEV_A_DAEMON_PORT, port);
	return jvpn_put_since(skb, JVPN_DEV_A_DAEMON_GONE_MS, device->daemon_gone_ns);
}

static bool jvpn_device_counters_misfit(struct sk_buff *skb, struct jvpn_device *device)
{
	struct rtnl_link_stats64 stats = { };

	dev_get_tstats64(device->dev, &stats);
	return jvpn_put_u64(skb, JVPN_DEV_A_RX_PACKETS, stats.rx_packets) ||
	       jvpn_put_u64(skb, JVPN_DEV_A_RX_BYTES, stats.rx_bytes) ||
	       jvpn_put_u64(skb, JVPN_DEV_A_TX_PACKETS, stats.tx_packets) ||
	       jvpn_put_u64(skb, JVPN_DEV_A_TX_BYTES, stats.tx_bytes) ||
	       jvpn_stats_fill_device(skb, device, JVPN_DEV_A_DROP) ||
	       jvpn_put_u64(skb, JVPN_DEV_A_RETRIES,
			    jvpn_stats_count(device, JVPN_COUNT_RETRIES)) ||
	       jvpn_put_u64(skb, JVPN_DEV_A_UPCALLS,
			    jvpn_stats_count(device, JVPN_COUNT_UPCALLS));
}

/**
 * jvpn_fill_device() - put a device into a message
 * @skb: the message
 * @device: what to put
 *
 * Context: jvpn_device.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_fill_device(struct sk_buff *skb, struct jvpn_device *device)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_A_DEVICE);

	if (!nest)
		return -EMSGSIZE;
	return jvpn_nest_end(skb, nest,
			     nla_put_string(skb, JVPN_DEV_A_IFNAME, device->dev->name) ||
			     nla_put_u8(skb, JVPN_DEV_A_ROLE, device->role) ||
			     jvpn_put_u64(skb, JVPN_DEV_A_TERM, device->term) ||
			     nla_put_u8(skb, JVPN_DEV_A_INIT_RETRY, device->init_retry) ||
			     nla_put_u32(skb, JVPN_DEV_A_DAEMON_GRACE_MS,
					 device->daemon_grace_ms) ||
			     (device->lease_ns != JVPN_NEVER &&
			      jvpn_put_left(skb, JVPN_DEV_A_LEASE_MS,
					    device->lease_ns)) ||
			     jvpn_device_daemon_misfit(skb, device) ||
			     nla_put_u32(skb, JVPN_DEV_A_SESSIONS, device->n_sessions) ||
			     nla_put_u32(skb, JVPN_DEV_A_EPOCHS, device->n_epochs) ||
			     jvpn_device_counters_misfit(skb, device) ||
			     nla_put_string(skb, JVPN_DEV_A_BUILD, THIS_MODULE->version));
}

/**
 * jvpn_fill_path() - put a path into a message
 * @skb: the message
 * @path: what to put
 *
 * Context: jvpn_device.lock held.
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_fill_path(struct sk_buff *skb, const struct jvpn_path *path)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_A_PATH);
	struct jvpn_endpoint local;

	if (!nest)
		return -EMSGSIZE;
	jvpn_path_local(path, &local);
	return jvpn_nest_end(skb, nest,
			     nla_put_u8(skb, JVPN_PATH_A_ID, path->id) ||
			     nla_put_u32(skb, JVPN_PATH_A_OIF, path->oif) ||
			     nla_put_u32(skb, JVPN_PATH_A_MARK, path->mark) ||
			     jvpn_put_endpoint(skb, JVPN_PATH_A_LOCAL, &local) ||
			     jvpn_put_u64(skb, JVPN_PATH_A_RX_PACKETS,
					  atomic64_read(&path->rx_packets)) ||
			     jvpn_put_u64(skb, JVPN_PATH_A_TX_PACKETS,
					  atomic64_read(&path->tx_packets)));
}

static int jvpn_fill_prefix(struct sk_buff *skb, const struct jvpn_prefix *prefix)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_SESSION_A_PREFIX);
	size_t size = prefix->key.family == AF_INET ? 4 : 16;

	if (!nest)
		return -EMSGSIZE;
	return jvpn_nest_end(skb, nest,
			     nla_put(skb, JVPN_PREFIX_A_ADDR, size, prefix->key.addr) ||
			     nla_put_u8(skb, JVPN_PREFIX_A_LEN, prefix->key.len));
}

static int jvpn_fill_binding(struct sk_buff *skb, const struct jvpn_binding *binding)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_SESSION_A_BINDING);

	if (!nest)
		return -EMSGSIZE;
	return jvpn_nest_end(skb, nest,
			     nla_put_u8(skb, JVPN_BINDING_A_PATH, binding->path) ||
			     jvpn_put_endpoint(skb, JVPN_BINDING_A_REMOTE,
					       &binding->remote) ||
			     nla_put_u8(skb, JVPN_BINDING_A_CONFIRMED,
					binding->confirmed) ||
			     jvpn_put_u64(skb, JVPN_BINDING_A_TERM, binding->term) ||
			     jvpn_put_u64(skb, JVPN_BINDING_A_BVER, binding->bver) ||
			     jvpn_put_since(skb, JVPN_BINDING_A_AGE_MS,
					    binding->since_ns));
}

static u64 jvpn_epoch_highest(struct jvpn_epoch *epoch)
{
	u64 next;

	spin_lock_bh(&epoch->replay.lock);
	next = epoch->replay.next;
	spin_unlock_bh(&epoch->replay.lock);
	return next ? next - 1 : 0;
}

static int jvpn_fill_epoch(struct sk_buff *skb, struct jvpn_epoch *epoch)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_SESSION_A_EPOCH);
	bool transmit;

	if (!nest)
		return -EMSGSIZE;
	transmit = rcu_access_pointer(epoch->session->transmit) == epoch;
	return jvpn_nest_end(skb, nest,
			     nla_put(skb, JVPN_EPOCH_A_RX_CID, JVPN_CID_LEN,
				     epoch->rx_cid) ||
			     nla_put(skb, JVPN_EPOCH_A_TX_CID, JVPN_CID_LEN,
				     epoch->tx_cid) ||
			     nla_put_u8(skb, JVPN_EPOCH_A_AEAD, epoch->aead) ||
			     jvpn_put_u64(skb, JVPN_EPOCH_A_TERM, epoch->term) ||
			     jvpn_put_u64(skb, JVPN_EPOCH_A_BVER, epoch->bver) ||
			     nla_put_u8(skb, JVPN_EPOCH_A_TRANSMIT, transmit) ||
			     nla_put_u8(skb, JVPN_EPOCH_A_CONFIRMED,
					test_bit(JVPN_EPOCH_CONFIRMED, &epoch->flags)) ||
			     jvpn_put_u64(skb, JVPN_EPOCH_A_TX_COUNTER,
					  atomic64_read(&epoch->tx_counter)) ||
			     jvpn_put_u64(skb, JVPN_EPOCH_A_RX_HIGHEST,
					  jvpn_epoch_highest(epoch)) ||
			     jvpn_put_u64(skb, JVPN_EPOCH_A_RX_PACKETS,
					  atomic64_read(&epoch->rx_packets)) ||
			     jvpn_put_since(skb, JVPN_EPOCH_A_AGE_MS, epoch->born_ns) ||
			     (epoch->expires_ns != JVPN_NEVER &&
			      jvpn_put_ms(skb, JVPN_EPOCH_A_LIFETIME_MS,
					  epoch->expires_ns - epoch->born_ns)));
}

static bool jvpn_step_misfits(struct sk_buff *skb, const struct jvpn_step *step)
{
	return nla_put_u8(skb, JVPN_SESSION_A_STATE, step->state) ||
	       jvpn_put_u64(skb, JVPN_SESSION_A_STATE_VERSION, step->version) ||
	       nla_put_u8(skb, JVPN_SESSION_A_PREVIOUS, step->previous) ||
	       nla_put_u8(skb, JVPN_SESSION_A_REASON, step->reason) ||
	       nla_put_u8(skb, JVPN_SESSION_A_DETAIL, step->detail);
}

static bool jvpn_figures_misfit(struct sk_buff *skb, const struct jvpn_figures *f)
{
	return nla_put_u32(skb, JVPN_SESSION_A_PROBE_INTERVAL_MS, f->probe_interval_ms) ||
	       nla_put_u8(skb, JVPN_SESSION_A_PROBE_MISSES, f->probe_misses) ||
	       nla_put_u32(skb, JVPN_SESSION_A_PROBE_RTO_MIN_MS, f->probe_rto_min_ms) ||
	       nla_put_u32(skb, JVPN_SESSION_A_STANDBY_INTERVAL_MS,
			   f->standby_interval_ms) ||
	       nla_put_u32(skb, JVPN_SESSION_A_KEEPALIVE_MS, f->keepalive_ms) ||
	       nla_put_u32(skb, JVPN_SESSION_A_DEAD_IDLE_MS, f->dead_idle_ms) ||
	       nla_put_u32(skb, JVPN_SESSION_A_DEAD_BUSY_MS, f->dead_busy_ms) ||
	       nla_put_u32(skb, JVPN_SESSION_A_LOST_TTL_MS, f->lost_ttl_ms) ||
	       nla_put_u8(skb, JVPN_SESSION_A_STRICT_SOURCE, f->strict_source) ||
	       (f->deadline_ns &&
		jvpn_put_left(skb, JVPN_SESSION_A_DEADLINE_MS, f->deadline_ns));
}

static bool jvpn_counters_misfit(struct sk_buff *skb, const struct jvpn_session *session)
{
	const struct jvpn_session_stats *stats = &session->stats;

	return jvpn_put_u64(skb, JVPN_SESSION_A_RX_PACKETS,
			    atomic64_read(&stats->rx_packets)) ||
	       jvpn_put_u64(skb, JVPN_SESSION_A_RX_BYTES,
			    atomic64_read(&stats->rx_bytes)) ||
	       jvpn_put_u64(skb, JVPN_SESSION_A_TX_PACKETS,
			    atomic64_read(&stats->tx_packets)) ||
	       jvpn_put_u64(skb, JVPN_SESSION_A_TX_BYTES,
			    atomic64_read(&stats->tx_bytes)) ||
	       jvpn_stats_fill_session(skb, session, JVPN_SESSION_A_DROP);
}

static bool jvpn_times_misfit(struct sk_buff *skb, const struct jvpn_session *session)
{
	return jvpn_put_since(skb, JVPN_SESSION_A_AGE_MS, session->born_ns) ||
	       jvpn_put_since(skb, JVPN_SESSION_A_LAST_RX_MS,
			      READ_ONCE(session->last_rx_ns)) ||
	       jvpn_put_since(skb, JVPN_SESSION_A_LAST_TX_MS,
			      READ_ONCE(session->last_tx_ns)) ||
	       jvpn_put_since(skb, JVPN_SESSION_A_CHANGED_MS, session->changed_ns);
}

/* Oldest first. */
static int jvpn_fill_switches(struct sk_buff *skb, const struct jvpn_session *session)
{
	unsigned int n = min_t(u32, session->n_switches, JVPN_RING_LEN);
	unsigned int first = session->n_switches - n, i;
	struct nlattr *attr;
	u32 *ring;

	if (!n)
		return 0;
	attr = nla_reserve(skb, JVPN_SESSION_A_SWITCHES, n * sizeof(u32));
	if (!attr)
		return -EMSGSIZE;
	ring = nla_data(attr);
	for (i = 0; i < n; i++)
		ring[i] = session->switches[(first + i) % JVPN_RING_LEN];
	return 0;
}

static bool jvpn_parts_misfit(struct sk_buff *skb, struct jvpn_session *session)
{
	struct jvpn_binding *binding;
	struct jvpn_prefix *prefix;
	struct jvpn_epoch *epoch;
	bool misfit;

	list_for_each_entry(prefix, &session->prefixes, list)
		if (jvpn_fill_prefix(skb, prefix))
			return true;
	list_for_each_entry(epoch, &session->epochs, list)
		if (jvpn_fill_epoch(skb, epoch))
			return true;
	rcu_read_lock();
	binding = rcu_dereference(session->binding);
	misfit = binding && jvpn_fill_binding(skb, binding);
	rcu_read_unlock();
	return misfit || jvpn_probe_fill(session, skb);
}

/**
 * jvpn_fill_session() - put a session into a message
 * @skb: the message
 * @session: what to put
 * @passed: an earlier step than the last one, which is told now; the binding then is
 *	    not the one that belonged to it, and left out. NULL for the session as it
 *	    is.
 *
 * Context: jvpn_device.lock held, which every transition and commit takes.
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_fill_session(struct sk_buff *skb, struct jvpn_session *session,
		      const struct jvpn_step *passed)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_A_SESSION);
	struct jvpn_step step = {
		.previous = session->previous,
		.state = session->state,
		.reason = session->reason,
		.detail = session->detail,
		.version = session->state_version,
	};

	if (!nest)
		return -EMSGSIZE;
	return jvpn_nest_end(skb, nest,
			     nla_put(skb, JVPN_SESSION_A_SID, JVPN_SID_LEN,
				     session->sid) ||
			     nla_put_u8(skb, JVPN_SESSION_A_ROLE, session->role) ||
			     nla_put_string(skb, JVPN_SESSION_A_LABEL, session->label) ||
			     jvpn_step_misfits(skb, passed ?: &step) ||
			     jvpn_put_u64(skb, JVPN_SESSION_A_TERM, session->term) ||
			     jvpn_put_u64(skb, JVPN_SESSION_A_BVER, session->bver) ||
			     jvpn_put_u64(skb, JVPN_SESSION_A_BVER_SEEN,
					  READ_ONCE(session->bver_seen)) ||
			     jvpn_figures_misfit(skb, &session->figures) ||
			     jvpn_counters_misfit(skb, session) ||
			     jvpn_times_misfit(skb, session) ||
			     jvpn_fill_switches(skb, session) ||
			     (!passed && jvpn_parts_misfit(skb, session)));
}

/**
 * jvpn_fill_signal() - put a signal into a message
 * @skb: the message
 * @s: what to put
 * @with_cookie: it goes to the daemon alone
 *
 * Context: any, under RCU.
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_fill_signal(struct sk_buff *skb, const struct jvpn_signal *s, bool with_cookie)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_A_SIGNAL);
	bool misfit;

	if (!nest)
		return -EMSGSIZE;
	misfit = nla_put_u8(skb, JVPN_SIGNAL_A_KIND, s->kind) ||
		 jvpn_put_u64(skb, JVPN_SIGNAL_A_TIME_NS, jvpn_now());
	if (s->session)
		misfit |= !!nla_put(skb, JVPN_SIGNAL_A_SID, JVPN_SID_LEN, s->session->sid);
	if (s->path >= 0)
		misfit |= !!nla_put_u8(skb, JVPN_SIGNAL_A_PATH, s->path);
	if (s->remote)
		misfit |= !!jvpn_put_endpoint(skb, JVPN_SIGNAL_A_REMOTE, s->remote);
	if (s->cookie && with_cookie)
		misfit |= !!nla_put(skb, JVPN_SIGNAL_A_COOKIE, JVPN_COOKIE_LEN, s->cookie);
	if (s->cid)
		misfit |= !!nla_put(skb, JVPN_SIGNAL_A_CID, JVPN_CID_LEN, s->cid);
	if (s->has_version)
		misfit |= jvpn_put_u64(skb, JVPN_SIGNAL_A_TERM, s->term) ||
			  jvpn_put_u64(skb, JVPN_SIGNAL_A_BVER, s->bver);
	if (s->srtt_us)
		misfit |= !!nla_put_u32(skb, JVPN_SIGNAL_A_SRTT_US, s->srtt_us);
	if (s->silent_ms)
		misfit |= !!nla_put_u32(skb, JVPN_SIGNAL_A_SILENT_MS, s->silent_ms);
	if (s->nonce)
		misfit |= !!nla_put(skb, JVPN_SIGNAL_A_NONCE, JVPN_NONCE_LEN, s->nonce);
	if (s->notice)
		misfit |= nla_put_u8(skb, JVPN_SIGNAL_A_NOTICE, s->notice) ||
			  nla_put(skb, JVPN_SIGNAL_A_DATA, s->data_len, s->data);
	if (s->kind == JVPN_SIGNAL_KIND_CLOSED || s->kind == JVPN_SIGNAL_KIND_EXPIRED)
		misfit |= !!nla_put_u8(skb, JVPN_SIGNAL_A_REASON, s->reason);
	return jvpn_nest_end(skb, nest, misfit);
}

/**
 * jvpn_fill_result() - put the answer for one object into a message
 * @skb: the message
 * @v: the answer
 *
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_fill_result(struct sk_buff *skb, const struct jvpn_verdict *v)
{
	struct nlattr *nest = nla_nest_start(skb, JVPN_A_RESULT);

	if (!nest)
		return -EMSGSIZE;
	return jvpn_nest_end(skb, nest,
			     nla_put_s32(skb, JVPN_RESULT_A_ERROR, v->error) ||
			     jvpn_put_u64(skb, JVPN_RESULT_A_TERM, v->term) ||
			     jvpn_put_u64(skb, JVPN_RESULT_A_BVER, v->bver) ||
			     jvpn_put_u64(skb, JVPN_RESULT_A_STATE_VERSION,
					  v->state_version) ||
			     (v->error && nla_put_string(skb, JVPN_RESULT_A_MESSAGE,
							 v->message)));
}
