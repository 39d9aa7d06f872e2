// SPDX-License-Identifier: GPL-2.0
/*
 * The way in. A datagram: receiver id -> epoch -> opened into a fresh linear skb ->
 * replay window -> control frame, or inner packet whose source the session owns.
 *
 * Nothing that is not authenticated changes anything but a counter.
 */

#include <linux/tcp.h>
#include <net/gro_cells.h>
#include <net/inet_ecn.h>
#include <net/ip6_checksum.h>
#include <net/ip_tunnels.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/udp.h>

#include "binding.h"
#include "compat.h"
#include "control.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "path.h"
#include "probe.h"
#include "recv.h"
#include "session.h"

#define JVPN_SOURCE_SIGNAL_NS (200 * NSEC_PER_MSEC)

/**
 * struct jvpn_arrival - a DATA datagram on its way in
 * @device: where
 * @path: by which socket
 * @epoch: once it is found
 * @session: likewise; for counting
 * @source: where from
 * @counter: its counter
 * @highest: no higher counter came before; once it is authenticated
 * @flags: its flags
 * @tos: of the outer packet
 * @header: its header, the AEAD's associated data
 */
struct jvpn_arrival {
	struct jvpn_device *device;
	struct jvpn_path *path;
	struct jvpn_epoch *epoch;
	struct jvpn_session *session;
	struct jvpn_endpoint source;
	u64 counter;
	bool highest;
	u8 flags;
	u8 tos;
	struct jvpn_data header;
};

/* 0 is no reason here: it is TX_NO_SESSION, which nothing that arrives can be. */
#define JVPN_TAKEN 0

static int jvpn_recv_parse(struct jvpn_arrival *a, const struct sk_buff *skb)
{
	u64 word;

	if (skb->len < sizeof(struct udphdr) + sizeof(a->header) + JVPN_TAG_LEN)
		return JVPN_DROP_RX_MALFORMED;
	skb_copy_bits(skb, sizeof(struct udphdr), &a->header, sizeof(a->header));
	word = le64_to_cpu(a->header.word);
	a->flags = word >> 8;
	a->counter = word >> 16;
	if (a->flags & ~JVPN_DATA_CSUM_PARTIAL)
		return JVPN_DROP_RX_MALFORMED;
	a->epoch = jvpn_epoch_lookup(a->device, a->header.cid);
	if (!a->epoch)
		return JVPN_DROP_RX_UNKNOWN_CID;
	a->session = a->epoch->session;
	if (!jvpn_device_holds(a->device))
		return JVPN_DROP_RX_LEASE_EXPIRED;
	jvpn_endpoint_source(&a->source, skb);
	a->tos = ip_hdr(skb)->tos;
	return JVPN_TAKEN;
}

static int jvpn_recv_replay(enum jvpn_replay_verdict verdict)
{
	switch (verdict) {
	case JVPN_REPLAY_NEW:
		return JVPN_TAKEN;
	case JVPN_REPLAY_SEEN:
		return JVPN_DROP_RX_REPLAY;
	default:
		return JVPN_DROP_RX_WINDOW;
	}
}

/* Cheap, before the cipher; changes nothing. */
static int jvpn_recv_check(struct jvpn_arrival *a)
{
	struct jvpn_replay *replay = &a->epoch->replay;
	enum jvpn_replay_verdict verdict;

	spin_lock(&replay->lock);
	verdict = jvpn_replay_check(replay, a->counter);
	spin_unlock(&replay->lock);
	return jvpn_recv_replay(verdict);
}

static int jvpn_recv_commit(struct jvpn_arrival *a)
{
	struct jvpn_replay *replay = &a->epoch->replay;
	enum jvpn_replay_verdict verdict;

	spin_lock(&replay->lock);
	a->highest = a->counter >= replay->next;
	verdict = jvpn_replay_commit(replay, a->counter);
	spin_unlock(&replay->lock);
	return jvpn_recv_replay(verdict);
}

/*
 * Open @skb into a fresh skb, as its bytes may be pages that others read: a capture,
 * another socket, a file's page cache.
 */
static int jvpn_recv_open(struct jvpn_arrival *a, const struct sk_buff *skb,
			  struct sk_buff **opened)
{
	unsigned int offset = sizeof(struct udphdr) + sizeof(a->header);
	unsigned int sealed = skb->len - offset;
	struct sk_buff *new;
	const u8 *source;
	u8 *plain;
	bool ok;

	if (!jvpn_epoch_may_open(a->epoch))
		return JVPN_DROP_RX_AUTH;
	new = alloc_skb(NET_SKB_PAD + NET_IP_ALIGN + sealed, GFP_ATOMIC | __GFP_NOWARN);
	if (!new)
		return JVPN_DROP_RX_NOMEM;
	skb_reserve(new, NET_SKB_PAD + NET_IP_ALIGN);
	plain = skb_put(new, sealed);
	source = skb->data + offset;
	if (skb_headlen(skb) < skb->len) {
		skb_copy_bits(skb, offset, plain, sealed);
		source = plain;
	}
	ok = jvpn_key_open(&a->epoch->rx_key, &a->header, plain, source, sealed,
			   a->counter);
	if (!ok) {
		kfree_skb(new);
		jvpn_epoch_forged(a->epoch);
		return JVPN_DROP_RX_AUTH;
	}
	__skb_trim(new, sealed - JVPN_TAG_LEN);
	*opened = new;
	return JVPN_TAKEN;
}

static void jvpn_recv_confirmed(struct jvpn_arrival *a)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_CONFIRMED,
		.device = a->device,
		.session = a->session,
		.path = a->path->id,
		.remote = &a->source,
		.cid = a->epoch->rx_cid,
		.has_version = true,
		.term = a->epoch->term,
		.bver = a->epoch->bver,
	};

	jvpn_netlink_signal(&signal);
}

static void jvpn_recv_authenticated(struct jvpn_arrival *a)
{
	u64 now = jvpn_now();

	atomic64_inc(&a->epoch->rx_packets);
	jvpn_epoch_received(a->epoch, a->counter);
	WRITE_ONCE(a->session->last_rx_ns, now);
	/*
	 * In BIRTH every packet is told: the daemon waits for the one that comes from
	 * where it answered to, and somebody may have relayed the first.
	 */
	if (jvpn_epoch_confirm(a->epoch) ||
	    READ_ONCE(a->session->state) == JVPN_STATE_BIRTH)
		jvpn_recv_confirmed(a);
	jvpn_probe_rx(a->session, a->path, now);
}

static bool jvpn_recv_from_binding(const struct jvpn_arrival *a)
{
	const struct jvpn_binding *binding = rcu_dereference(a->session->binding);

	return binding && binding->path == a->path->id &&
	       jvpn_endpoint_equal(&binding->remote, &a->source);
}

/*
 * The peer may have been given a new address by a NAT. That moves nothing here: the
 * daemon is told, rarely, and challenges it.
 */
static void jvpn_recv_source_changed(struct jvpn_arrival *a)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_SOURCE_CHANGED,
		.device = a->device,
		.session = a->session,
		.path = a->path->id,
		.remote = &a->source,
		.cid = a->epoch->rx_cid,
	};
	u64 last = READ_ONCE(a->session->last_source_ns);
	u64 now;

	if (a->session->role != JVPN_ROLE_GATEWAY || !a->highest ||
	    !rcu_access_pointer(a->session->binding))
		return;
	if (jvpn_recv_from_binding(a)) {
		WRITE_ONCE(a->session->last_bound_ns, READ_ONCE(a->session->last_rx_ns));
		return;
	}
	now = jvpn_now();
	if (last && now - last < JVPN_SOURCE_SIGNAL_NS)
		return;
	if (cmpxchg64(&a->session->last_source_ns, last, now) == last)
		jvpn_netlink_signal(&signal);
}

static bool jvpn_frame_tries_path(const struct sk_buff *skb)
{
	return skb->len > 1 &&
	       (skb->data[0] == JVPN_F_PROBE || skb->data[0] == JVPN_F_PROBE_ACK) &&
	       skb->data[1] & JVPN_PROBE_CANDIDATE;
}

/* What a challenge and the choice of a path need is taken from anywhere. */
static bool jvpn_frame_from_anywhere(const struct sk_buff *skb)
{
	return skb->len > 1 &&
	       (skb->data[0] == JVPN_F_PROBE_ACK ||
		(skb->data[0] == JVPN_F_PROBE &&
		 skb->data[1] & (JVPN_PROBE_CANDIDATE | JVPN_PROBE_NAT_CHECK)));
}

/* A session without binding has yet to prove itself by a frame; from where is open. */
static bool jvpn_frame_allowed(const struct jvpn_arrival *a, const struct sk_buff *skb)
{
	return likely(!READ_ONCE(a->session->figures.strict_source)) ||
	       !rcu_access_pointer(a->session->binding) ||
	       jvpn_recv_from_binding(a) || jvpn_frame_from_anywhere(skb);
}

static int jvpn_recv_frame(struct jvpn_arrival *a, struct sk_buff *skb)
{
	if (!jvpn_frame_tries_path(skb))
		jvpn_recv_source_changed(a);
	if (!jvpn_frame_allowed(a, skb))
		return JVPN_DROP_RX_STRICT_SOURCE;
	jvpn_probe_rcv(a->session, a->epoch, a->path, &a->source, skb->data, skb->len);
	consume_skb(skb);
	return JVPN_TAKEN;
}

/* An IPv4 packet with a sane header; what link layers pad is cut off. */
static bool jvpn_inner_ip4(struct sk_buff *skb)
{
	const struct iphdr *ip;
	unsigned int len;

	if (skb->len < sizeof(*ip))
		return false;
	ip = ip_hdr(skb);
	len = ntohs(ip->tot_len);
	if (ip->ihl < 5 || len < ip->ihl * 4 || len > skb->len)
		return false;
	__skb_trim(skb, len);
	skb->protocol = htons(ETH_P_IP);
	return true;
}

static bool jvpn_inner_ip6(struct sk_buff *skb)
{
	unsigned int len;

	if (skb->len < sizeof(struct ipv6hdr))
		return false;
	len = sizeof(struct ipv6hdr) + ntohs(ipv6_hdr(skb)->payload_len);
	if (len > skb->len)
		return false;
	__skb_trim(skb, len);
	skb->protocol = htons(ETH_P_IPV6);
	return true;
}

static bool jvpn_inner_parse(struct sk_buff *skb)
{
	skb_reset_network_header(skb);
	switch (skb->data[0] >> 4) {
	case 4:
		return jvpn_inner_ip4(skb);
	case 6:
		return jvpn_inner_ip6(skb);
	default:
		return false;
	}
}

static bool jvpn_inner_owned(struct jvpn_arrival *a, const struct sk_buff *skb)
{
	struct jvpn_prefixes *p = &a->device->prefixes;
	struct jvpn_session *owner;

	if (skb->protocol == htons(ETH_P_IP))
		owner = jvpn_prefix_lookup4(p, ip_hdr(skb)->saddr);
	else
		owner = jvpn_prefix_lookup6(p, &ipv6_hdr(skb)->saddr);
	return owner == a->session;
}

/* TCP or UDP right behind the IP header of an unfragmented packet: its number. */
static int jvpn_inner_transport(const struct sk_buff *skb, unsigned int *start)
{
	if (skb->protocol == htons(ETH_P_IPV6)) {
		*start = sizeof(struct ipv6hdr);
		return ipv6_hdr(skb)->nexthdr;
	}
	*start = ip_hdrlen(skb);
	return ip_is_fragment(ip_hdr(skb)) ? 0 : ip_hdr(skb)->protocol;
}

/* What the sum of the pseudo header has to be, folded and not inverted. */
static __sum16 jvpn_inner_pseudo(const struct sk_buff *skb, unsigned int len, u8 protocol)
{
	if (skb->protocol == htons(ETH_P_IPV6))
		return ~csum_ipv6_magic(&ipv6_hdr(skb)->saddr, &ipv6_hdr(skb)->daddr, len,
					protocol, 0);
	return ~csum_tcpudp_magic(ip_hdr(skb)->saddr, ip_hdr(skb)->daddr, len, protocol, 0);
}

static bool jvpn_inner_tcp(const struct sk_buff *skb, unsigned int start, unsigned int len,
			   unsigned int *offset)
{
	const struct tcphdr *tcp = (const struct tcphdr *)(skb->data + start);

	*offset = offsetof(struct tcphdr, check);
	return len >= sizeof(*tcp) && tcp->doff * 4 >= sizeof(*tcp) && tcp->doff * 4 <= len &&
	       tcp->check == jvpn_inner_pseudo(skb, len, IPPROTO_TCP);
}

static bool jvpn_inner_udp(const struct sk_buff *skb, unsigned int start, unsigned int len,
			   unsigned int *offset)
{
	const struct udphdr *udp = (const struct udphdr *)(skb->data + start);

	*offset = offsetof(struct udphdr, check);
	return len >= sizeof(*udp) && ntohs(udp->len) == len &&
	       udp->check == jvpn_inner_pseudo(skb, len, IPPROTO_UDP);
}

/*
 * The sender left the transport checksum to us. The wire says only that; where it is
 * comes from the headers, and they are not trusted to be long enough.
 */
static bool jvpn_inner_checksum(struct sk_buff *skb)
{
	unsigned int start, offset;
	bool ok = false;

	switch (jvpn_inner_transport(skb, &start)) {
	case IPPROTO_TCP:
		ok = jvpn_inner_tcp(skb, start, skb->len - start, &offset);
		break;
	case IPPROTO_UDP:
		ok = jvpn_inner_udp(skb, start, skb->len - start, &offset);
		break;
	}
	return ok && skb_partial_csum_set(skb, start, offset);
}

/* RFC 6040: congestion marked on the way is the inner packet's. */
static bool jvpn_inner_ecn(struct sk_buff *skb, u8 outer)
{
	u8 inner = skb->protocol == htons(ETH_P_IP) ? ip_hdr(skb)->tos :
						       ipv6_get_dsfield(ipv6_hdr(skb));

	return INET_ECN_decapsulate(skb, outer, inner) <= 1;
}

static int jvpn_recv_inner(struct jvpn_arrival *a, struct sk_buff *skb)
{
	unsigned int len;

	if (!jvpn_session_carries(a->session))
		return JVPN_DROP_RX_STATE;
	if (READ_ONCE(a->session->figures.strict_source) && !jvpn_recv_from_binding(a))
		return JVPN_DROP_RX_STRICT_SOURCE;
	if (!jvpn_inner_parse(skb))
		return JVPN_DROP_RX_INNER;
	if (!jvpn_inner_owned(a, skb))
		return JVPN_DROP_RX_SOURCE;
	if (a->flags & JVPN_DATA_CSUM_PARTIAL && !jvpn_inner_checksum(skb))
		return JVPN_DROP_RX_CSUM;
	if (!jvpn_inner_ecn(skb, a->tos))
		return JVPN_DROP_RX_INNER;
	if (!(READ_ONCE(a->device->dev->flags) & IFF_UP))
		return JVPN_DROP_RX_DEVICE_DOWN;

	len = skb->len;
	skb->dev = a->device->dev;
	skb_reset_mac_header(skb);
	if (gro_cells_receive(&a->device->cells, skb) == NET_RX_SUCCESS) {
		dev_sw_netstats_rx_add(a->device->dev, len);
		atomic64_inc(&a->session->stats.rx_packets);
		atomic64_add(len, &a->session->stats.rx_bytes);
		jvpn_probe_inner(a->session, READ_ONCE(a->session->last_rx_ns));
	} else {
		jvpn_drop(a->device, a->session, JVPN_DROP_RX_BACKLOG);
	}
	return JVPN_TAKEN;
}

/* What was opened is new: nothing before it, nothing in it, a frame or a packet. */
static int jvpn_recv_opened(struct jvpn_arrival *a, struct sk_buff *skb)
{
	int reason;

	jvpn_recv_authenticated(a);
	if (!skb->len || !(skb->data[0] >> 4)) {
		if (a->flags & JVPN_DATA_CSUM_PARTIAL)
			return JVPN_DROP_RX_CSUM;
		return jvpn_recv_frame(a, skb);
	}
	reason = jvpn_recv_inner(a, skb);
	if (!reason || reason == JVPN_DROP_RX_STRICT_SOURCE)
		jvpn_recv_source_changed(a);
	return reason;
}

/* Returns JVPN_TAKEN or why the datagram is dropped; it is the caller's to free. */
static int jvpn_recv_data(struct jvpn_arrival *a, const struct sk_buff *skb)
{
	struct sk_buff *opened;
	int reason;

	reason = jvpn_recv_parse(a, skb);
	if (!reason)
		reason = jvpn_recv_check(a);
	if (!reason)
		reason = jvpn_recv_open(a, skb, &opened);
	if (reason)
		return reason;
	reason = jvpn_recv_commit(a);
	if (!reason)
		reason = jvpn_recv_opened(a, opened);
	if (reason)
		kfree_skb(opened);
	return reason;
}

/**
 * jvpn_recv() - encap_rcv of a path's socket
 * @sk: the socket
 * @skb: a datagram, at its UDP header, its outer checksum verified
 *
 * Context: softirq, under RCU.
 * Return: 0 if the datagram is gone, 1 if it goes on to the socket.
 */
int jvpn_recv(struct sock *sk, struct sk_buff *skb)
{
	struct jvpn_path *path = rcu_dereference_sk_user_data(sk);
	struct jvpn_arrival a = { };
	int reason;

	/* Detached a moment ago: the daemon's alone again. */
	if (!path)
		return 1;
	atomic64_inc(&path->rx_packets);
	if (!pskb_may_pull(skb, sizeof(struct udphdr) + 1) ||
	    skb->data[sizeof(struct udphdr)] != JVPN_T_DATA) {
		if (jvpn_control_rcv(path, skb) == JVPN_CONTROL_DELIVER)
			return 1;
		kfree_skb(skb);
		return 0;
	}
	a.path = path;
	a.device = path->device;
	reason = jvpn_recv_data(&a, skb);
	if (reason) {
		jvpn_drop(a.device, a.session, reason);
		kfree_skb(skb);
	} else {
		consume_skb(skb);
	}
	return 0;
}
