/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests over a netlink socket, whichever the family: an answer is walked
 * only when all of it has come, and came from one state of the kernel.
 */
#ifndef JVPN_IP_NETLINK_H
#define JVPN_IP_NETLINK_H

#include <libmnl/libmnl.h>

#include "grammar.h"

/* Large enough for any request of ours. */
enum { REQUEST_SIZE = 4096 };

struct netlink {
	struct mnl_socket *socket;
	unsigned int port;
	uint32_t sequence;
};

/* What the kernel had against a request. */
struct netlink_error {
	int code;		/* positive errno */
	char text[256];		/* the kernel's sentence, or empty */
};

/* Called with each message of an answer. */
typedef void (*netlink_each)(const struct nlmsghdr *message, void *context);

/* Open a socket of @protocol. Returns the exit code, having told why. */
int netlink_open(struct netlink *netlink, int protocol);
void netlink_close(struct netlink *netlink);

/* Begin a request in @buf of REQUEST_SIZE bytes. */
struct nlmsghdr *netlink_message(struct netlink *netlink, void *buf, uint16_t type, uint16_t flags);

/*
 * Send @message and walk the answer with @each, which may be NULL. Returns 0, or
 * -1 with @error. An interrupted dump is asked for again.
 */
int netlink_talk(struct netlink *netlink, struct nlmsghdr *message, netlink_each each,
		 void *context, struct netlink_error *error);

/*
 * Tell of @error in one line; @what names what was asked for, where the kernel
 * gave no sentence. Returns the exit code that stands for it.
 */
int netlink_fail(const struct netlink_error *error, const char *what);

/* The sentence for a kernel without the module. Returns the exit code. */
int module_missing(void);

#endif /* JVPN_IP_NETLINK_H */
