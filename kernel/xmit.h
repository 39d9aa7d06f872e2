/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The way out: inner packets, authenticated frames, raw datagrams.
 */
#ifndef JVPN_XMIT_H
#define JVPN_XMIT_H

#include <linux/netdevice.h>

struct jvpn_endpoint;
struct jvpn_epoch;
struct jvpn_path;
struct jvpn_session;

netdev_tx_t jvpn_xmit(struct sk_buff *skb, struct net_device *dev);
int jvpn_xmit_frame(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *remote,
		    const void *frame, size_t len);
int jvpn_xmit_raw(struct jvpn_path *path, const struct jvpn_endpoint *remote,
		  const void *data, size_t len);

#endif /* JVPN_XMIT_H */
