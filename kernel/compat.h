/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels we build for: 6.1 and 6.12. The only place with
 * version conditions.
 */
#ifndef JVPN_COMPAT_H
#define JVPN_COMPAT_H

#include <linux/netdevice.h>
#include <linux/version.h>
#include <net/genetlink.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>

static inline void jvpn_compat_lltx(struct net_device *dev)
{
	dev->lltx = true;
}

static inline struct nlattr **jvpn_compat_dump_attrs(struct netlink_callback *cb)
{
	return genl_info_dump(cb)->attrs;
}
#else
#include <asm/unaligned.h>

static inline void jvpn_compat_lltx(struct net_device *dev)
{
	dev->features |= NETIF_F_LLTX;
}

static inline struct nlattr **jvpn_compat_dump_attrs(struct netlink_callback *cb)
{
	return genl_dumpit_info(cb)->attrs;
}
#endif

#endif /* JVPN_COMPAT_H */
