/* SPDX-License-Identifier: GPL-2.0 */
/* What belongs to rtnetlink: making, changing, removing and listing devices of kind "jvpn". */
#ifndef JVPN_IP_RTNL_H
#define JVPN_IP_RTNL_H

#include "netlink.h"
#include "value.h"

/* A device of ours. */
struct link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	uint32_t mtu;
	bool up;
};

/* What to make or change; zero leaves alone. */
struct link_change {
	uint32_t mtu;
	bool up, down;
};

/* Open the socket. Returns the exit code. */
int rtnl_open(struct netlink *netlink);

/*
 * Each returns the exit code, having told why. rtnl_find() refuses what is not
 * of our kind; with @name NULL it wants exactly one device of it.
 */
int rtnl_find(struct netlink *netlink, const char *name, struct link *link);
int rtnl_each(struct netlink *netlink, void (*each)(const struct link *link, void *context),
	      void *context);
int rtnl_add(struct netlink *netlink, const char *name, const struct link_change *change);
int rtnl_set(struct netlink *netlink, const struct link *link, const struct link_change *change);
int rtnl_del(struct netlink *netlink, const struct link *link);
int rtnl_address_add(struct netlink *netlink, const struct link *link,
		     const struct prefix *address);
int rtnl_address_del(struct netlink *netlink, const struct link *link,
		     const struct prefix *address);

#endif /* JVPN_IP_RTNL_H */
