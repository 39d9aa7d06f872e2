/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The network device: it owns paths, sessions, epochs and prefixes.
 */
#ifndef JVPN_DEVICE_H
#define JVPN_DEVICE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rhashtable.h>
#include <linux/xarray.h>
#include <net/gro_cells.h>

#include "../uapi/linux/jvpn.h"
#include "../uapi/wire.h"
#include "prefix.h"
#include "pure.h"
#include "stats.h"

struct jvpn_control;
struct jvpn_deadline;
struct jvpn_path;

/**
 * struct jvpn_owner - the daemon that manages a device
 * @net: namespace of its netlink socket, which pins it: a reader that found this
 *	 object under RCU may use it as long
 * @port: its netlink port
 * @ifindex: the name it registered the device by; still its name for it when the
 *	     device has moved to another namespace
 * @rcu: freed by it
 */
struct jvpn_owner {
	struct net *net;
	u32 port;
	int ifindex;
	struct rcu_head rcu;
};

/**
 * struct jvpn_device - private part of the network device
 * @dev: the network device this is the private part of
 * @list: in jvpn_devices, under jvpn_devices_lock
 * @lock: serialises every change of what the device owns. Sleeps. Order:
 *	  RTNL, jvpn_devices_lock, @lock, jvpn_session.lock. Never held while
 *	  waiting for a grace period.
 * @gone: set under @lock when the device is unregistered: nothing may be added
 * @role: enum jvpn_role; written under @lock, read with READ_ONCE()
 * @init_retry: enum jvpn_init_retry; as @role
 * @term: fencing token of the owner; as @role
 * @daemon_grace_ms: sockets and sessions end so long after the daemon; as @role
 * @lease_ns: ownership ends then, JVPN_NEVER without a lease; as @role
 * @owner: the daemon, or NULL; written under @lock, read under RCU
 * @daemon_gone_ns: when the last daemon went, 0 if one is here or none ever came;
 *		    under @lock
 * @paths: by path id; written under @lock, read under RCU
 * @path_generation: number of the last path object; under @lock
 * @sessions: by session id; read under RCU
 * @epochs: by our receiver id; read under RCU
 * @prefixes: inner addresses of the peers
 * @index: all sessions by a small number, so that a dump can resume; under @lock
 * @next_index: where the search for a free number begins; under @lock
 * @n_sessions: sessions in @index; under @lock
 * @n_epochs: epochs in @epochs; under @lock
 * @cells: hands decrypted packets to the stack
 * @stats: drops and counts
 * @control: control.c's own, from jvpn_control_init() to jvpn_control_exit()
 * @deadline: deadline.c's own, likewise
 */
struct jvpn_device {
	struct net_device *dev;
	struct list_head list;
	struct mutex lock; /* every change of what the device owns */
	bool gone;
	u8 role;
	u8 init_retry;
	u64 term;
	u32 daemon_grace_ms;
	u64 lease_ns;
	struct jvpn_owner __rcu *owner;
	u64 daemon_gone_ns;
	struct jvpn_path __rcu *paths[JVPN_PATH_MAX];
	u32 path_generation;
	struct rhashtable sessions;
	struct rhashtable epochs;
	struct jvpn_prefixes prefixes;
	struct xarray index;
	u32 next_index;
	u32 n_sessions;
	u32 n_epochs;
	struct gro_cells cells;
	struct jvpn_stats __percpu *stats;
	struct jvpn_control *control;
	struct jvpn_deadline *deadline;
};

extern struct list_head jvpn_devices;
extern struct mutex jvpn_devices_lock;

bool jvpn_device_is(const struct net_device *dev);
void jvpn_device_disown(struct jvpn_device *device);
void jvpn_device_abandon(struct jvpn_device *device);
int jvpn_device_init(void);
void jvpn_device_exit(void);

/* There is a daemon to tell, at this moment. */
static inline bool jvpn_device_has_daemon(const struct jvpn_device *device)
{
	return rcu_access_pointer(device->owner);
}

/* Nanoseconds of CLOCK_BOOTTIME: the only clock of this module. */
static inline u64 jvpn_now(void)
{
	return ktime_get_boottime_ns();
}

/*
 * The sessions are ours to serve, at this moment. A clock that is late by a tick is
 * good enough for a lease of seconds.
 */
static inline bool jvpn_device_holds(const struct jvpn_device *device)
{
	u64 lease_ns = READ_ONCE(device->lease_ns);

	return likely(lease_ns == JVPN_NEVER) ||
	       ktime_get_coarse_boottime_ns() < lease_ns;
}

#endif /* JVPN_DEVICE_H */
