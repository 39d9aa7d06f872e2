/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What both netlink neighbours share: a synchronous request on a socket that may
 * also receive events. The kernel handles a request inside our send(): when that
 * returns, every message it caused is in our queue. So a request never waits, and
 * an empty queue without an acknowledgement means that the queue overflowed.
 * Loop thread.
 */
#ifndef JV_NETLINK_H
#define JV_NETLINK_H

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdbool.h>
#include <stdint.h>

#include "error.h"

struct jv_netlink {
	struct nl_sock *sock;
	int fd;
	uint32_t port, seq;
	/* A message that answers no request of ours. Copy what is to be kept. */
	void (*event)(void *arg, struct nlmsghdr *nlh);
	/* Messages were lost. */
	void (*overrun)(void *arg);
	void *arg;
	uint8_t buf[64 * 1024];		/* larger than what the kernel puts into one datagram */
};

/* Connect nl->sock, which is allocated and may have been set up; @rcvbuf bytes of queue. */
int jv_netlink_open(struct jv_netlink *nl, int protocol, int rcvbuf, struct jv_error *err);

/* Hand every message that is there to nl->event. Never blocks. */
void jv_netlink_drain(struct jv_netlink *nl);

/*
 * Send @msg, complete but for sequence number, port and flags; it is wiped and
 * freed. NULL stands for one that could not be built. @fn (may be NULL) gets each
 * message of the answer. Returns 0 or -errno and the kernel's sentence. *@torn (may
 * be NULL) is set if a dump is inconsistent.
 */
int jv_netlink_request(struct jv_netlink *nl, struct nl_msg *msg, int flags,
		       void (*fn)(void *arg, struct nlmsghdr *nlh), void *arg, bool *torn,
		       struct jv_error *err);

/* Wipe and free a message that is not sent. NULL is fine. */
void jv_netlink_discard(struct nl_msg *msg);

#endif /* JV_NETLINK_H */
