// SPDX-License-Identifier: GPL-2.0
/*
 * Counters: per device and CPU, per session, and every drop with its reason.
 */

#include <linux/netdevice.h>
#include <net/netlink.h>
#include <net/sock.h>

#include "../uapi/linux/jvpn.h"
#include "device.h"
#include "session.h"
#include "stats.h"

static const char *const jvpn_drop_names[JVPN_DROP_MAX] = {
#define JVPN_DROP_NAME(value, name, text) \
	[value] = text,
	JVPN_DROPS(JVPN_DROP_NAME)
#undef JVPN_DROP_NAME
};

/**
 * jvpn_drop() - count a packet that goes no further
 * @device: where
 * @session: whose it was, or NULL if that is not known
 * @reason: why
 *
 * Freeing it is the caller's.
 *
 * Context: any.
 */
void jvpn_drop(struct jvpn_device *device, struct jvpn_session *session,
	       enum jvpn_drop_reason reason)
{
	struct jvpn_stats *stats;
	unsigned long flags;

	stats = get_cpu_ptr(device->stats);
	flags = u64_stats_update_begin_irqsave(&stats->syncp);
	u64_stats_inc(&stats->drop[reason]);
	u64_stats_update_end_irqrestore(&stats->syncp, flags);
	put_cpu_ptr(device->stats);

	if (reason < JVPN_DROP_RX_MALFORMED)
		DEV_STATS_INC(device->dev, tx_dropped);
	else if (reason < JVPN_DROP_CTL_VERSION)
		DEV_STATS_INC(device->dev, rx_dropped);
	if (!session) {
		net_dbg_ratelimited("%s: dropped: %s\n", device->dev->name,
				    jvpn_drop_names[reason]);
		return;
	}
	atomic_inc(&session->stats.drop[reason]);
	net_dbg_ratelimited("%s: %*phN: dropped: %s\n", device->dev->name,
			    JVPN_SID_LEN, session->sid, jvpn_drop_names[reason]);
}

/**
 * jvpn_count() - count something that is no drop
 * @device: where
 * @what: which counter
 *
 * Context: any.
 */
void jvpn_count(struct jvpn_device *device, enum jvpn_count what)
{
	struct jvpn_stats *stats = get_cpu_ptr(device->stats);
	unsigned long flags = u64_stats_update_begin_irqsave(&stats->syncp);

	u64_stats_inc(&stats->count[what]);
	u64_stats_update_end_irqrestore(&stats->syncp, flags);
	put_cpu_ptr(device->stats);
}

/* @offset of a counter in struct jvpn_stats, over all CPUs. */
static u64 jvpn_stats_sum(const struct jvpn_device *device, size_t offset)
{
	const struct jvpn_stats *stats;
	unsigned int start;
	u64 sum = 0, part;
	int cpu;

	for_each_possible_cpu(cpu) {
		stats = per_cpu_ptr(device->stats, cpu);
		do {
			start = u64_stats_fetch_begin(&stats->syncp);
			part = u64_stats_read((const void *)stats + offset);
		} while (u64_stats_fetch_retry(&stats->syncp, start));
		sum += part;
	}
	return sum;
}

/**
 * jvpn_stats_count() - read a counter of a device
 * @device: whose
 * @what: which
 *
 * Return: the sum over all CPUs.
 */
u64 jvpn_stats_count(const struct jvpn_device *device, enum jvpn_count what)
{
	return jvpn_stats_sum(device, offsetof(struct jvpn_stats, count[what]));
}

static int jvpn_stats_fill_drop(struct sk_buff *skb, int attr, u32 reason, u64 count)
{
	struct nlattr *nest;

	if (!count)
		return 0;
	nest = nla_nest_start(skb, attr);
	if (!nest)
		return -EMSGSIZE;
	if (nla_put_u32(skb, JVPN_DROP_A_REASON, reason) ||
	    nla_put(skb, JVPN_DROP_A_COUNT, sizeof(count), &count)) {
		nla_nest_cancel(skb, nest);
		return -EMSGSIZE;
	}
	nla_nest_end(skb, nest);
	return 0;
}

/**
 * jvpn_stats_fill_device() - put the drops of a device into a message
 * @skb: the message
 * @device: whose
 * @attr: type of the nests, one for every reason that has occurred
 *
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_stats_fill_device(struct sk_buff *skb, const struct jvpn_device *device,
			   int attr)
{
	unsigned int i;
	u64 count;

	for (i = 0; i < JVPN_DROP_MAX; i++) {
		count = jvpn_stats_sum(device, offsetof(struct jvpn_stats, drop[i]));
		if (jvpn_stats_fill_drop(skb, attr, i, count))
			return -EMSGSIZE;
	}
	return 0;
}

/**
 * jvpn_stats_fill_session() - put the drops of a session into a message
 * @skb: the message
 * @session: whose
 * @attr: type of the nests, one for every reason that has occurred
 *
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_stats_fill_session(struct sk_buff *skb, const struct jvpn_session *session,
			    int attr)
{
	unsigned int i;
	u32 count;

	for (i = 0; i < JVPN_DROP_MAX; i++) {
		count = atomic_read(&session->stats.drop[i]);
		if (jvpn_stats_fill_drop(skb, attr, i, count))
			return -EMSGSIZE;
	}
	return 0;
}
