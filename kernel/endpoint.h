/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An address and port outside the tunnel.
 */
#ifndef JVPN_ENDPOINT_H
#define JVPN_ENDPOINT_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/skbuff.h>
#include <linux/string.h>
#include <linux/udp.h>

/**
 * struct jvpn_endpoint - one end of a datagram's way
 * @sa: for the family, and for %pISpfsc
 * @in: when @sa.sa_family is AF_INET
 * @in6: when @sa.sa_family is AF_INET6
 *
 * Bytes that the family does not use are zero, so that two endpoints are equal
 * exactly if their bytes are.
 */
struct jvpn_endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

static inline bool jvpn_endpoint_equal(const struct jvpn_endpoint *a,
				       const struct jvpn_endpoint *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static inline size_t jvpn_endpoint_size(const struct jvpn_endpoint *e)
{
	return e->sa.sa_family == AF_INET6 ? sizeof(e->in6) : sizeof(e->in);
}

/**
 * jvpn_endpoint_source() - where a datagram came from
 * @e: filled in
 * @skb: a UDP datagram over IPv4, as encap_rcv gets it
 */
static inline void jvpn_endpoint_source(struct jvpn_endpoint *e,
					const struct sk_buff *skb)
{
	memset(e, 0, sizeof(*e));
	e->in.sin_family = AF_INET;
	e->in.sin_addr.s_addr = ip_hdr(skb)->saddr;
	e->in.sin_port = udp_hdr(skb)->source;
}

#endif /* JVPN_ENDPOINT_H */
