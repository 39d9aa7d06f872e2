/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The paths of a client's link: one socket per transport that stands on an
 * interface which is up and has an IPv4 address, bound to both. A path whose
 * interface, carrier or address went is gone at once, and nothing that was sent or
 * promised on it counts for the one that may come after it. The kernel lets go of a
 * socket only after a grace period, for which the loop would stand still: that is
 * done later, when the switch is over. Loop thread.
 */
#ifndef JV_PATH_H
#define JV_PATH_H

#include "env.h"
#include "node.h"
#include "rtnl.h"
#include "udp.h"
#include "wire.h"

struct jv_paths;

struct jv_path {
	struct jv_paths *paths;
	uint8_t id;
	bool usable;
	bool open;			/* its socket is; a while longer than usable */
	uint32_t generation;		/* differs for every path there ever was; 0: none yet */
	const struct jv_transport *transport;
	int ifindex;
	char dev[IFNAMSIZ];
	uint32_t mtu;
	union jv_addr local;
	struct jv_udp udp;
};

struct jv_paths_ops {
	void (*up)(void *arg, struct jv_path *path);
	/* It is not usable any more. */
	void (*down)(void *arg, struct jv_path *path);
	void (*datagram)(void *arg, struct jv_path *path, const struct jv_datagram *dgram);
};

struct jv_paths {
	struct jv_env *env;
	struct jv_link *link;
	const struct jv_paths_ops *ops;
	void *arg;
	uint32_t generation;
	struct jv_timer reap;
	struct jv_path path[JVPN_PATH_MAX];
};

/* 0 or -errno. */
int jv_paths_init(struct jv_paths *paths, struct jv_env *env, struct jv_link *link,
		  const struct jv_paths_ops *ops, void *arg);

/* Close all without a word: nobody is left who wants them. @gone: so is the device. */
void jv_paths_stop(struct jv_paths *paths, bool gone);

/* An interface changed or went. */
void jv_paths_iface(struct jv_paths *paths, const struct jv_iface *iface, bool gone);

/* Find interfaces for transports that have none. */
void jv_paths_settle(struct jv_paths *paths);

/* A transport is not wanted any more. */
void jv_paths_withdraw(struct jv_paths *paths, const struct jv_transport *transport);

unsigned int jv_paths_count(const struct jv_paths *paths);
struct jv_path *jv_paths_of(struct jv_paths *paths, const struct jv_transport *transport);

#endif /* JV_PATH_H */
