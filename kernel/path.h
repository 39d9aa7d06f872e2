/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A path: one UDP socket of the daemon, and how packets leave by it.
 */
#ifndef JVPN_PATH_H
#define JVPN_PATH_H

#include <linux/net.h>
#include <linux/rcupdate.h>

#include "device.h"
#include "endpoint.h"
#include "verdict.h"

/**
 * struct jvpn_path - one way out and in
 * @device: whose it is
 * @sock: the daemon's socket; the file reference taken by jvpn_path_set() keeps
 *	  it, so that packets flow on when the daemon is gone
 * @id: index in jvpn_device.paths
 * @generation: differs for every path object of a device: a route that was cached
 *		for another one is seen to be stale
 * @oif: interface to leave by, 0 leaves it to routing
 * @mark: for routing and filtering
 * @rx_packets: datagrams received, of whatever type
 * @tx_packets: datagrams sent
 * @doomed: list of jvpn_path_release_all()
 *
 * All but the counters is constant. Readers reach it by jvpn_device.paths or by
 * the socket's sk_user_data, under RCU; it is freed a grace period after both
 * have let go of it (jvpn_path_release_all()).
 */
struct jvpn_path {
	struct jvpn_device *device;
	struct socket *sock;
	u8 id;
	u32 generation;
	int oif;
	u32 mark;
	atomic64_t rx_packets;
	atomic64_t tx_packets;
	struct list_head doomed;
};

/* The path with this id, or NULL. Under rcu_read_lock(). */
static inline struct jvpn_path *jvpn_path_get(const struct jvpn_device *device,
					      unsigned int id)
{
	return id < JVPN_PATH_MAX ? rcu_dereference(device->paths[id]) : NULL;
}

/**
 * struct jvpn_path_config - what the daemon says of a path
 * @id: path id
 * @fd: the socket, of the calling task
 * @oif: interface to leave by, 0 leaves it to routing
 * @mark: for routing and filtering
 */
struct jvpn_path_config {
	u8 id;
	int fd;
	int oif;
	u32 mark;
};

int jvpn_path_set(struct jvpn_device *device, const struct jvpn_path_config *c,
		  struct list_head *doomed, struct jvpn_verdict *v);
int jvpn_path_del(struct jvpn_device *device, u8 id, struct list_head *doomed,
		  struct jvpn_verdict *v);
void jvpn_path_del_all(struct jvpn_device *device, struct list_head *doomed);
void jvpn_path_release_all(struct list_head *doomed);
void jvpn_path_local(const struct jvpn_path *path, struct jvpn_endpoint *local);

#endif /* JVPN_PATH_H */
