/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way in: what a path's socket receives.
 */
#ifndef JVPN_RECV_H
#define JVPN_RECV_H

struct sk_buff;
struct sock;

int jvpn_recv(struct sock *sk, struct sk_buff *skb);

#endif /* JVPN_RECV_H */
