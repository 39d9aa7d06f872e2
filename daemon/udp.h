/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A UDP socket for control datagrams. The kernel module holds it too and keeps
 * what is its own: DATA never gets here. Loop thread.
 */
#ifndef JV_UDP_H
#define JV_UDP_H

#include "addr.h"
#include "error.h"
#include "loop.h"

struct jv_datagram {
	const uint8_t *data;
	size_t len;			/* at most JV_DATAGRAM_MAX */
	union jv_addr from;
	struct in_addr to;		/* the address of ours that it was sent to */
};

struct jv_udp {
	int fd;				/* -1: closed */
	struct jv_io io;
	void (*fn)(void *arg, const struct jv_datagram *dgram);
	void *arg;
};

struct jv_udp_options {
	union jv_addr local;		/* port 0: any */
	int ifindex;			/* bound to this interface; 0: to none */
	uint32_t mark;			/* 0: none */
	bool shared;			/* a successor may bind the same port */
	const char *device;		/* its name, for the sentence */
};

/*
 * Open, bind and watch. @fn is called for each datagram and may close the socket.
 * 0, or -errno and a sentence.
 */
int jv_udp_open(struct jv_udp *udp, struct jv_loop *loop, const struct jv_udp_options *options,
		void (*fn)(void *arg, const struct jv_datagram *dgram), void *arg,
		struct jv_error *err);
/* Could it be opened? Not for an address in use by us: datagrams could go astray. As above. */
int jv_udp_check(const struct jv_udp_options *options, struct jv_error *err);
void jv_udp_close(struct jv_udp *udp);	/* harmless on a closed one */

/* The address it is bound to. */
union jv_addr jv_udp_local(const struct jv_udp *udp);

/*
 * Send, from address @from if that is not NULL. A datagram that cannot go is lost,
 * as on the wire: 0 or -errno, for a debug line.
 */
int jv_udp_send(const struct jv_udp *udp, const void *data, size_t len, const union jv_addr *to,
		const struct in_addr *from);

#endif /* JV_UDP_H */
