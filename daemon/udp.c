// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "udp.h"
#include "wire.h"

enum {
	PER_WAKEUP = 64,		/* then others have their turn */
	RECEIVE_BYTES = 4 << 20,	/* room for a storm of reattaches */
};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

static int refuse(int fd, const struct jv_udp_options *o, const char *what, struct jv_error *err)
{
	int code = errno;
	char text[JV_ADDR_TEXT];

	close(fd);
	return jv_error_set(err, code, "udp socket %s%s%s: %s: %s",
			    jv_addr_format(&o->local, text), o->device ? " on " : "",
			    o->device ? o->device : "", what, strerror(code));
}

static int open_socket(const struct jv_udp_options *o, struct jv_error *err)
{
	int fd = socket(o->local.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return jv_error_set(err, errno, "udp socket: %s", strerror(errno));
	if (o->shared && set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1))
		return refuse(fd, o, "sharing the port", err);
	if (o->ifindex && set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, o->ifindex))
		return refuse(fd, o, "binding to the interface", err);
	if (o->mark && set_int(fd, SOL_SOCKET, SO_MARK, (int)o->mark))
		return refuse(fd, o, "setting the mark", err);
	/* A new address is told of before it can be bound to; and a gateway's may come later. */
	if (set_int(fd, IPPROTO_IP, IP_FREEBIND, 1))
		return refuse(fd, o, "binding early", err);
	if (set_int(fd, IPPROTO_IP, IP_PKTINFO, 1))
		return refuse(fd, o, "asking for addresses", err);
	/* Best effort: the default is enough for all but a storm. */
	set_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
	if (bind(fd, &o->local.sa, jv_addr_len(&o->local)))
		return refuse(fd, o, "binding to the address", err);
	return fd;
}

static void take_addresses(struct msghdr *msg, struct jv_datagram *dgram)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct in_pktinfo info;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&info, CMSG_DATA(c), sizeof(info));
		dgram->to = info.ipi_spec_dst;
	}
}

static void readable(void *arg, uint32_t events)
{
	struct jv_udp *udp = arg;

	(void)events;
	for (int i = 0; i < PER_WAKEUP && udp->fd >= 0; i++) {
		uint8_t data[JV_DATAGRAM_MAX];
		uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct jv_datagram dgram = { .data = data };
		struct iovec iov = { data, sizeof(data) };
		struct msghdr msg = {
			.msg_name = &dgram.from, .msg_namelen = sizeof(dgram.from),
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(udp->fd, &msg, 0);

		/* An ICMP error of an earlier send is told here once; the next call reads on. */
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0 || (msg.msg_flags & MSG_TRUNC))
			continue;
		dgram.len = n;
		take_addresses(&msg, &dgram);
		udp->fn(udp->arg, &dgram);
	}
}

int jv_udp_open(struct jv_udp *udp, struct jv_loop *loop, const struct jv_udp_options *options,
		void (*fn)(void *arg, const struct jv_datagram *dgram), void *arg,
		struct jv_error *err)
{
	int fd = open_socket(options, err), r;

	*udp = (struct jv_udp){ .fd = -1, .fn = fn, .arg = arg };
	if (fd < 0)
		return fd;
	r = jv_io_add(loop, &udp->io, fd, EPOLLIN, JV_PRIO_DATAGRAM, readable, udp);
	if (r < 0) {
		close(fd);
		return jv_error_set(err, -r, "udp socket: event loop: %s", strerror(-r));
	}
	udp->fd = fd;
	return 0;
}

int jv_udp_check(const struct jv_udp_options *options, struct jv_error *err)
{
	int fd = open_socket(options, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

void jv_udp_close(struct jv_udp *udp)
{
	if (udp->fd < 0)
		return;
	jv_io_del(&udp->io);
	close(udp->fd);
	udp->fd = -1;
}

union jv_addr jv_udp_local(const struct jv_udp *udp)
{
	union jv_addr local = { 0 };
	socklen_t len = sizeof(local);

	if (udp->fd < 0 || getsockname(udp->fd, &local.sa, &len))
		memset(&local, 0, sizeof(local));
	return local;
}

int jv_udp_send(const struct jv_udp *udp, const void *data, size_t len, const union jv_addr *to,
		const struct in_addr *from)
{
	struct in_pktinfo info = { 0 };
	uint8_t control[CMSG_SPACE(sizeof(info))] = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = {
		.msg_name = (void *)to, .msg_namelen = jv_addr_len(to),
		.msg_iov = &iov, .msg_iovlen = 1,
	};
	struct cmsghdr *c;

	if (from && from->s_addr) {
		info.ipi_spec_dst = *from;
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
	return sendmsg(udp->fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}
