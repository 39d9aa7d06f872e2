/* SPDX-License-Identifier: GPL-2.0 */
/* The generic netlink family of the module. */
#ifndef JVPN_IP_GENL_H
#define JVPN_IP_GENL_H

#include "../../uapi/linux/jvpn.h"
#include "netlink.h"

struct genl {
	struct netlink netlink;
	uint16_t family;
	uint32_t session_group, signal_group;
};

/* Open a socket and find the family. Returns the exit code, having told why. */
int genl_open(struct genl *genl);
void genl_close(struct genl *genl);

/* Begin a request of the family in @buf of REQUEST_SIZE bytes, for @ifindex unless that is 0. */
struct nlmsghdr *genl_message(struct genl *genl, void *buf, uint8_t cmd, uint16_t flags,
			      uint32_t ifindex);

/* Walk all objects that @cmd dumps, of the device or, with 0, of all. Returns the exit code. */
int genl_dump(struct genl *genl, uint8_t cmd, uint32_t ifindex, netlink_each each, void *context);

/* Receive the events of a multicast group from now on. Returns the exit code. */
int genl_join(struct genl *genl, uint32_t group);

#endif /* JVPN_IP_GENL_H */
