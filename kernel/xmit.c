// SPDX-License-Identifier: GPL-2.0
/*
 * The way out. An inner packet: destination -> session -> binding and epoch -> a
 * fresh linear skb, sealed -> the path's socket. Nothing here takes a lock.
 */

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <net/dst.h>
#include <net/icmp.h>
#include <net/inet_ecn.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/route.h>
#include <net/sock.h>
#include <net/udp_tunnel.h>

#include "binding.h"
#include "compat.h"
#include "device.h"
#include "epoch.h"
#include "path.h"
#include "probe.h"
#include "session.h"
#include "xmit.h"

#define JVPN_HEADROOM (LL_MAX_HEADER + sizeof(struct iphdr) + sizeof(struct udphdr))

/**
 * struct jvpn_way - how a datagram leaves
 * @path: by which socket
 * @remote: where to
 * @rt: the route, holding a reference
 * @saddr: source address
 */
struct jvpn_way {
	struct jvpn_path *path;
	const struct jvpn_endpoint *remote;
	struct rtable *rt;
	__be32 saddr;
};

static int jvpn_way_look_up(struct jvpn_way *way)
{
	struct sock *sk = way->path->sock->sk;
	struct flowi4 fl = {
		.flowi4_oif = way->path->oif ?: READ_ONCE(sk->sk_bound_dev_if),
		.flowi4_mark = way->path->mark,
		.flowi4_proto = IPPROTO_UDP,
		.daddr = way->remote->in.sin_addr.s_addr,
		.saddr = inet_sk(sk)->inet_saddr,
		.fl4_dport = way->remote->in.sin_port,
		.fl4_sport = inet_sk(sk)->inet_sport,
	};

	security_sk_classify_flow(sk, flowi4_to_flowi_common(&fl));
	way->rt = ip_route_output_flow(sock_net(sk), &fl, sk);
	if (IS_ERR(way->rt))
		return PTR_ERR(way->rt);
	if (way->rt->dst.dev == way->path->device->dev) {
		ip_rt_put(way->rt);
		return -ELOOP;
	}
	way->saddr = fl.saddr;
	return 0;
}

static void jvpn_route_free_rcu(struct rcu_head *rcu)
{
	struct jvpn_route *route = container_of(rcu, struct jvpn_route, rcu);

	dst_release(route->dst);
	kfree(route);
}

static bool jvpn_route_valid(const struct jvpn_route *route, const struct jvpn_way *way)
{
	return route && route->generation == way->path->generation &&
	       dst_check(route->dst, 0);
}

/* Remember @way; of several CPUs that try, one does. */
static void jvpn_route_keep(struct jvpn_binding *binding, struct jvpn_route *old,
			    const struct jvpn_way *way)
{
	struct jvpn_route *route = kmalloc(sizeof(*route), GFP_ATOMIC);

	if (!route)
		return;
	dst_hold(&way->rt->dst);
	route->dst = &way->rt->dst;
	route->saddr = way->saddr;
	route->generation = way->path->generation;
	if (unrcu_pointer(cmpxchg(&binding->route, RCU_INITIALIZER(old),
				  RCU_INITIALIZER(route))) != old)
		old = route;
	if (old)
		call_rcu(&old->rcu, jvpn_route_free_rcu);
}

static int jvpn_way_by_binding(struct jvpn_way *way, struct jvpn_binding *binding)
{
	struct jvpn_route *route = rcu_dereference(binding->route);
	int err;

	if (jvpn_route_valid(route, way) && dst_hold_safe(route->dst)) {
		way->rt = (struct rtable *)route->dst;
		way->saddr = route->saddr;
		return 0;
	}
	err = jvpn_way_look_up(way);
	if (!err)
		jvpn_route_keep(binding, route, way);
	return err;
}

static void jvpn_way_send(struct jvpn_way *way, struct sk_buff *skb, u8 ecn)
{
	struct sock *sk = way->path->sock->sk;

	/* Nothing of the inner packet's context is in it, so there is no scrubbing. */
	skb->mark = way->path->mark;
	skb->protocol = htons(ETH_P_IP);
	skb_set_inner_network_header(skb, 0);
	skb->ip_summed = CHECKSUM_NONE;
	skb->ignore_df = 1;
	atomic64_inc(&way->path->tx_packets);
	udp_tunnel_xmit_skb(way->rt, sk, skb, way->saddr,
			    way->remote->in.sin_addr.s_addr, ecn,
			    ip4_dst_hoplimit(&way->rt->dst), 0,
			    inet_sk(sk)->inet_sport, way->remote->in.sin_port, false,
			    false);
}

/* Room for @len bytes behind a DATA header, and a tag behind those. */
static struct sk_buff *jvpn_data_alloc(size_t len)
{
	struct sk_buff *skb;

	skb = alloc_skb(JVPN_HEADROOM + sizeof(struct jvpn_data) + len + JVPN_TAG_LEN,
			GFP_ATOMIC | __GFP_NOWARN);
	if (skb)
		skb_reserve(skb, JVPN_HEADROOM + sizeof(struct jvpn_data));
	return skb;
}

/*
 * The plaintext of @inner into @skb. A checksum that the stack left to the device is
 * made here, in the copy, where nobody else's bytes have to be moved for it.
 */
static bool jvpn_data_copy(struct sk_buff *skb, const struct sk_buff *inner)
{
	unsigned int start, at;
	__wsum sum;

	if (skb_copy_bits(inner, 0, skb_put(skb, inner->len), inner->len))
		return false;
	if (inner->ip_summed != CHECKSUM_PARTIAL)
		return true;
	start = skb_checksum_start_offset(inner);
	at = start + inner->csum_offset;
	if (at + sizeof(__sum16) > skb->len)
		return false;
	sum = csum_partial(skb->data + start, skb->len - start, 0);
	*(__sum16 *)(skb->data + at) = csum_fold(sum) ?: CSUM_MANGLED_0;
	return true;
}

/* Seal what is in @skb, which is ours alone, and put the header before it. */
static int jvpn_data_seal(struct sk_buff *skb, struct jvpn_epoch *epoch)
{
	struct jvpn_data *data;
	size_t len = skb->len;
	u64 counter;

	if (!jvpn_epoch_count(epoch, &counter))
		return -EKEYEXPIRED;
	data = skb_push(skb, sizeof(*data));
	skb_put(skb, JVPN_TAG_LEN);
	data->word = cpu_to_le64(JVPN_T_DATA | counter << 16);
	memcpy(data->cid, epoch->tx_cid, JVPN_CID_LEN);
	return jvpn_key_seal(&epoch->tx_key, data, len, counter) ? 0 : -EIO;
}

static enum jvpn_drop_reason jvpn_seal_reason(int err)
{
	return err == -EKEYEXPIRED ? JVPN_DROP_TX_EXHAUSTED : JVPN_DROP_TX_NOMEM;
}

static enum jvpn_drop_reason jvpn_route_reason(int err)
{
	return err == -ELOOP ? JVPN_DROP_TX_LOOP : JVPN_DROP_TX_ROUTE;
}

/* An inner packet that belongs to @session. Returns 0 or the reason it is dropped. */
static int jvpn_xmit_inner(struct jvpn_session *session, struct sk_buff *inner, u8 tos,
			   enum jvpn_drop_reason *reason)
{
	struct jvpn_binding *binding = rcu_dereference(session->binding);
	struct jvpn_epoch *epoch = rcu_dereference(session->transmit);
	struct jvpn_way way;
	struct sk_buff *skb;
	int err;

	*reason = JVPN_DROP_TX_LEASE_EXPIRED;
	if (!jvpn_device_holds(session->device))
		return -ESTALE;
	*reason = JVPN_DROP_TX_NO_TRANSPORT;
	if (!jvpn_session_carries(session) || !binding)
		return -ENETUNREACH;
	way.path = jvpn_path_get(session->device, binding->path);
	if (!way.path)
		return -ENETUNREACH;
	way.remote = &binding->remote;
	*reason = JVPN_DROP_TX_NO_KEY;
	if (!epoch)
		return -ENOKEY;

	*reason = JVPN_DROP_TX_NOMEM;
	skb = jvpn_data_alloc(inner->len);
	if (!skb)
		return -ENOMEM;
	if (!jvpn_data_copy(skb, inner)) {
		*reason = JVPN_DROP_TX_MALFORMED;
		err = -EINVAL;
		goto err_free;
	}
	err = jvpn_way_by_binding(&way, binding);
	if (err) {
		*reason = jvpn_route_reason(err);
		goto err_free;
	}
	err = jvpn_data_seal(skb, epoch);
	if (err) {
		*reason = jvpn_seal_reason(err);
		goto err_route;
	}
	jvpn_way_send(&way, skb, INET_ECN_encapsulate(0, tos));
	return 0;

err_route:
	ip_rt_put(way.rt);
err_free:
	kfree_skb(skb);
	return err;
}

static void jvpn_xmit_sent(struct jvpn_session *session, const struct sk_buff *inner)
{
	u64 now = jvpn_now();

	atomic64_inc(&session->stats.tx_packets);
	atomic64_add(inner->len, &session->stats.tx_bytes);
	dev_sw_netstats_tx_add(session->device->dev, 1, inner->len);
	WRITE_ONCE(session->last_tx_ns, now);
	jvpn_probe_tx(session, now);
}

static void jvpn_icmp_unreachable(struct sk_buff *skb)
{
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
	else
		icmpv6_ndo_send(skb, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH, 0);
}

static void jvpn_icmp_too_big(struct sk_buff *skb, unsigned int mtu)
{
	if (skb->protocol == htons(ETH_P_IP))
		icmp_ndo_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
	else
		icmpv6_ndo_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
}

/* Whole, with the header it says it has, in the linear part. */
static bool jvpn_inner_well_formed(struct sk_buff *skb)
{
	__be16 protocol = ip_tunnel_parse_protocol(skb);

	if (!protocol || protocol != skb->protocol || skb_network_offset(skb))
		return false;
	return pskb_may_pull(skb, protocol == htons(ETH_P_IP) ? sizeof(struct iphdr) :
								sizeof(struct ipv6hdr));
}

static struct jvpn_session *jvpn_inner_session(struct jvpn_device *device,
					       const struct sk_buff *skb, u8 *tos)
{
	if (skb->protocol == htons(ETH_P_IP)) {
		*tos = ip_hdr(skb)->tos;
		return jvpn_prefix_lookup4(&device->prefixes, ip_hdr(skb)->daddr);
	}
	*tos = ipv6_get_dsfield(ipv6_hdr(skb));
	return jvpn_prefix_lookup6(&device->prefixes, &ipv6_hdr(skb)->daddr);
}

/**
 * jvpn_xmit() - ndo_start_xmit
 * @skb: an inner packet, gone for the caller
 * @dev: the device
 *
 * Return: NETDEV_TX_OK, always.
 */
netdev_tx_t jvpn_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct jvpn_device *device = netdev_priv(dev);
	struct jvpn_session *session = NULL;
	enum jvpn_drop_reason reason;
	u8 tos;

	rcu_read_lock();
	reason = JVPN_DROP_TX_MALFORMED;
	if (!jvpn_inner_well_formed(skb))
		goto drop;
	reason = JVPN_DROP_TX_NO_SESSION;
	session = jvpn_inner_session(device, skb, &tos);
	if (!session)
		goto unreachable;
	reason = JVPN_DROP_TX_TOO_BIG;
	if (skb->len > READ_ONCE(dev->mtu)) {
		jvpn_icmp_too_big(skb, READ_ONCE(dev->mtu));
		goto drop;
	}
	if (jvpn_xmit_inner(session, skb, tos, &reason)) {
		if (reason == JVPN_DROP_TX_NO_TRANSPORT || reason == JVPN_DROP_TX_ROUTE)
			goto unreachable;
		goto drop;
	}
	jvpn_xmit_sent(session, skb);
	consume_skb(skb);
	rcu_read_unlock();
	return NETDEV_TX_OK;

unreachable:
	jvpn_icmp_unreachable(skb);
drop:
	jvpn_drop(device, session, reason);
	kfree_skb(skb);
	rcu_read_unlock();
	return NETDEV_TX_OK;
}

/* By @path to @remote, or by the binding if @path is NULL. */
static int jvpn_xmit_frame_way(struct jvpn_session *session, struct jvpn_way *way)
{
	struct jvpn_binding *binding;

	if (way->path)
		return jvpn_way_look_up(way);
	binding = rcu_dereference(session->binding);
	if (!binding)
		return -ENETUNREACH;
	way->path = jvpn_path_get(session->device, binding->path);
	way->remote = &binding->remote;
	return way->path ? jvpn_way_by_binding(way, binding) : -ENETUNREACH;
}

/**
 * jvpn_xmit_frame() - send an authenticated control frame, or a keepalive
 * @session: to whom
 * @epoch: keys to use, NULL for those the session sends with
 * @path: way out, NULL for the binding
 * @remote: where to; NULL exactly if @path is
 * @frame: its bytes; not kept
 * @len: their number; 0 is a keepalive
 *
 * Works in every state that has keys. Counts no inner packet, and drops of its own
 * in the session.
 *
 * Context: softirq or process, under RCU.
 * Return: 0 or a negative errno: -ENETUNREACH without transport, -ENOKEY without
 *	   keys, -EKEYEXPIRED when they are used up, -ESTALE when the lease is over,
 *	   or what routing said.
 */
int jvpn_xmit_frame(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *remote,
		    const void *frame, size_t len)
{
	struct jvpn_way way = { .path = path, .remote = remote };
	enum jvpn_drop_reason reason;
	struct sk_buff *skb;
	int err;

	reason = JVPN_DROP_TX_LEASE_EXPIRED;
	err = -ESTALE;
	if (!jvpn_device_holds(session->device))
		goto err_drop;
	if (!epoch)
		epoch = rcu_dereference(session->transmit);
	reason = JVPN_DROP_TX_NO_KEY;
	err = -ENOKEY;
	if (!epoch)
		goto err_drop;
	err = jvpn_xmit_frame_way(session, &way);
	reason = way.path ? jvpn_route_reason(err) : JVPN_DROP_TX_NO_TRANSPORT;
	if (err)
		goto err_drop;

	reason = JVPN_DROP_TX_NOMEM;
	err = -ENOMEM;
	skb = jvpn_data_alloc(len);
	if (!skb)
		goto err_route;
	skb_put_data(skb, frame, len);
	err = jvpn_data_seal(skb, epoch);
	reason = jvpn_seal_reason(err);
	if (err)
		goto err_free;
	local_bh_disable();
	jvpn_way_send(&way, skb, 0);
	local_bh_enable();
	return 0;

err_free:
	kfree_skb(skb);
err_route:
	ip_rt_put(way.rt);
err_drop:
	jvpn_drop(session->device, session, reason);
	return err;
}

/**
 * jvpn_xmit_raw() - send a datagram as it is
 * @path: by which socket
 * @remote: where to
 * @data: payload; not kept
 * @len: its length
 *
 * Context: softirq or process, under RCU.
 * Return: 0 or a negative errno.
 */
int jvpn_xmit_raw(struct jvpn_path *path, const struct jvpn_endpoint *remote,
		  const void *data, size_t len)
{
	struct jvpn_way way = { .path = path, .remote = remote };
	struct sk_buff *skb;
	int err;

	err = jvpn_way_look_up(&way);
	if (err)
		return err;
	skb = alloc_skb(JVPN_HEADROOM + len, GFP_ATOMIC | __GFP_NOWARN);
	if (!skb) {
		ip_rt_put(way.rt);
		return -ENOMEM;
	}
	skb_reserve(skb, JVPN_HEADROOM);
	skb_put_data(skb, data, len);
	local_bh_disable();
	jvpn_way_send(&way, skb, 0);
	local_bh_enable();
	return 0;
}
