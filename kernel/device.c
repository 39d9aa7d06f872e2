// SPDX-License-Identifier: GPL-2.0
/*
 * The network device: a rtnetlink kind without attributes of its own.
 */

#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/inetdevice.h>
#include <linux/module.h>
#include <net/addrconf.h>
#include <net/ip_tunnels.h>
#include <net/rtnetlink.h>

#include "compat.h"
#include "control.h"
#include "deadline.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "path.h"
#include "session.h"
#include "xmit.h"

#define JVPN_MTU_DEFAULT 1420
#define JVPN_MTU_MIN 576
#define JVPN_DAEMON_GRACE_MS (300 * MSEC_PER_SEC)

/* A packet is copied once, into the datagram: it may come in pieces, without checksum. */
#define JVPN_FEATURES \
	(NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HIGHDMA | NETIF_F_HW_CSUM)

LIST_HEAD(jvpn_devices);
/* Guards the list of devices; a device on it has its init behind and its uninit before it. */
DEFINE_MUTEX(jvpn_devices_lock);

/* Take everything out that packets use; the caller lets it go without the lock. */
static void jvpn_device_unlink_all(struct jvpn_device *device,
				   struct list_head *sessions, struct list_head *paths)
{
	struct jvpn_session *session;
	unsigned long index;

	xa_for_each(&device->index, index, session)
		jvpn_session_unlink(session, sessions);
	jvpn_path_del_all(device, paths);
}

static void jvpn_device_end(struct jvpn_device *device, bool for_good)
{
	LIST_HEAD(sessions);
	LIST_HEAD(paths);

	mutex_lock(&device->lock);
	/* A daemon may have come while we waited for the lock. */
	if (for_good || !rcu_access_pointer(device->owner))
		jvpn_device_unlink_all(device, &sessions, &paths);
	if (for_good)
		device->gone = true;
	mutex_unlock(&device->lock);
	jvpn_session_release_all(&sessions);
	jvpn_path_release_all(&paths);
}

/**
 * jvpn_device_disown() - the daemon is gone, or the device goes
 * @device: has no owner afterwards
 *
 * Context: jvpn_device.lock held, or nobody else can reach the device.
 */
void jvpn_device_disown(struct jvpn_device *device)
{
	struct jvpn_owner *owner;

	owner = rcu_replace_pointer(device->owner, NULL, true);
	if (owner)
		kfree_rcu(owner, rcu);
}

/**
 * jvpn_device_abandon() - the daemon has not come back in time
 * @device: loses its sockets and sessions, unless a daemon came after all
 *
 * Context: process, may sleep; jvpn_device.lock not held.
 */
void jvpn_device_abandon(struct jvpn_device *device)
{
	jvpn_device_end(device, false);
}

static int jvpn_device_tables_init(struct jvpn_device *device)
{
	int err;

	xa_init_flags(&device->index, XA_FLAGS_ALLOC1);
	err = rhashtable_init(&device->sessions, &jvpn_session_params);
	if (err)
		return err;
	err = rhashtable_init(&device->epochs, &jvpn_epoch_params);
	if (err)
		goto err_sessions;
	err = jvpn_prefixes_init(&device->prefixes);
	if (err)
		goto err_epochs;
	return 0;

err_epochs:
	rhashtable_destroy(&device->epochs);
err_sessions:
	rhashtable_destroy(&device->sessions);
	return err;
}

static void jvpn_device_tables_exit(struct jvpn_device *device)
{
	jvpn_prefixes_exit(&device->prefixes);
	rhashtable_destroy(&device->epochs);
	rhashtable_destroy(&device->sessions);
	xa_destroy(&device->index);
}

static int jvpn_dev_init(struct net_device *dev)
{
	struct jvpn_device *device = netdev_priv(dev);
	int err;

	device->dev = dev;
	device->daemon_grace_ms = JVPN_DAEMON_GRACE_MS;
	device->lease_ns = JVPN_NEVER;
	mutex_init(&device->lock);
	device->stats = netdev_alloc_pcpu_stats(struct jvpn_stats);
	if (!device->stats)
		return -ENOMEM;
	err = jvpn_device_tables_init(device);
	if (err)
		goto err_stats;
	err = gro_cells_init(&device->cells, dev);
	if (err)
		goto err_tables;
	err = jvpn_control_init(device);
	if (err)
		goto err_cells;
	err = jvpn_deadline_init(device);
	if (err)
		goto err_control;

	INIT_LIST_HEAD(&device->list);
	return 0;

err_control:
	jvpn_control_exit(device);
err_cells:
	gro_cells_destroy(&device->cells);
err_tables:
	jvpn_device_tables_exit(device);
err_stats:
	free_percpu(device->stats);
	return err;
}

/*
 * The device is down, so the stack sends nothing any more; requests cannot find it
 * once it is out of the list, and those that have see @gone. When the sessions and
 * sockets have ended, nothing is left that could use what is freed here.
 */
static void jvpn_dev_uninit(struct net_device *dev)
{
	struct jvpn_device *device = netdev_priv(dev);

	mutex_lock(&jvpn_devices_lock);
	list_del(&device->list);
	jvpn_netlink_devices_changed();
	mutex_unlock(&jvpn_devices_lock);
	jvpn_device_end(device, true);
	/* A request that has unlinked the last path may still wait for its packets. */
	synchronize_net();
	jvpn_deadline_exit(device);
	jvpn_control_exit(device);
	jvpn_device_disown(device);
	gro_cells_destroy(&device->cells);
	jvpn_device_tables_exit(device);
	free_percpu(device->stats);
}

/*
 * The device has no link layer and no link-local address: it sends nothing of its
 * own accord, and does not tell hosts behind it to go round it.
 */
static int jvpn_dev_open(struct net_device *dev)
{
	struct in_device *in_dev = __in_dev_get_rtnl(dev);
	struct inet6_dev *in6_dev = __in6_dev_get(dev);

	if (in_dev) {
		IN_DEV_CONF_SET(in_dev, SEND_REDIRECTS, false);
		IPV4_DEVCONF_ALL(dev_net(dev), SEND_REDIRECTS) = false;
	}
	if (in6_dev)
		in6_dev->cnf.addr_gen_mode = IN6_ADDR_GEN_MODE_NONE;
	return 0;
}

static const struct net_device_ops jvpn_netdev_ops = {
	.ndo_init = jvpn_dev_init,
	.ndo_uninit = jvpn_dev_uninit,
	.ndo_open = jvpn_dev_open,
	.ndo_start_xmit = jvpn_xmit,
	.ndo_get_stats64 = dev_get_tstats64,
};

static void jvpn_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	strscpy(info->version, THIS_MODULE->version, sizeof(info->version));
}

static const struct ethtool_ops jvpn_ethtool_ops = {
	.get_link = ethtool_op_get_link,
	.get_drvinfo = jvpn_get_drvinfo,
};

static void jvpn_device_setup(struct net_device *dev)
{
	dev->netdev_ops = &jvpn_netdev_ops;
	dev->ethtool_ops = &jvpn_ethtool_ops;
	dev->header_ops = &ip_tunnel_header_ops;
	dev->type = ARPHRD_NONE;
	dev->flags = IFF_POINTOPOINT | IFF_NOARP;
	dev->priv_flags |= IFF_NO_QUEUE;
	dev->needs_free_netdev = true;
	dev->mtu = JVPN_MTU_DEFAULT;
	dev->min_mtu = JVPN_MTU_MIN;
	dev->max_mtu = IP_MAX_MTU - JVPN_OVERHEAD;
	dev->features |= JVPN_FEATURES;
	dev->hw_features |= JVPN_FEATURES;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	jvpn_compat_lltx(dev);
	netif_keep_dst(dev);
}

/* Requests find it from here on: what is registered goes by jvpn_dev_uninit() only. */
static int jvpn_newlink(struct net *src_net, struct net_device *dev, struct nlattr *tb[],
			struct nlattr *data[], struct netlink_ext_ack *extack)
{
	struct jvpn_device *device = netdev_priv(dev);
	int err = register_netdevice(dev);

	if (err)
		return err;
	mutex_lock(&jvpn_devices_lock);
	list_add_tail(&device->list, &jvpn_devices);
	jvpn_netlink_devices_changed();
	mutex_unlock(&jvpn_devices_lock);
	return 0;
}

static struct rtnl_link_ops jvpn_link_ops __read_mostly = {
	.kind = "jvpn",
	.priv_size = sizeof(struct jvpn_device),
	.setup = jvpn_device_setup,
	.newlink = jvpn_newlink,
};

/**
 * jvpn_device_is() - is this network device one of ours?
 * @dev: any
 *
 * Return: whether netdev_priv() is a struct jvpn_device.
 */
bool jvpn_device_is(const struct net_device *dev)
{
	return dev->netdev_ops == &jvpn_netdev_ops;
}

/**
 * jvpn_device_init() - offer the kind
 *
 * Return: 0 or a negative errno.
 */
int __init jvpn_device_init(void)
{
	return rtnl_link_register(&jvpn_link_ops);
}

/**
 * jvpn_device_exit() - remove every device in every namespace
 */
void jvpn_device_exit(void)
{
	rtnl_link_unregister(&jvpn_link_ops);
}
