// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <netlink/attr.h>
#include <sodium.h>
#include <string.h>
#include <sys/socket.h>

#include "netlink.h"

int jv_netlink_open(struct jv_netlink *nl, int protocol, int rcvbuf, struct jv_error *err)
{
	int on = 1, ret;

	if (!nl->sock)
		return jv_error_set(err, ENOMEM, "out of memory");
	ret = nl_connect(nl->sock, protocol);
	if (ret)
		return jv_error_set(err, EIO, "cannot open a netlink socket: %s",
				    nl_geterror(ret));
	nl->fd = nl_socket_get_fd(nl->sock);
	nl->port = nl_socket_get_local_port(nl->sock);
	/* Forced where we may, else as much as the system allows. */
	if (setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof(rcvbuf)))
		setsockopt(nl->fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)) ||
	    setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)))
		return jv_error_set(err, errno, "cannot set up a netlink socket: %s",
				    strerror(errno));
	return 0;
}

void jv_netlink_discard(struct nl_msg *msg)
{
	if (!msg)
		return;
	sodium_memzero(nlmsg_hdr(msg), nlmsg_get_max_size(msg));
	nlmsg_free(msg);
}

/* Fill nl->buf from the kernel. Bytes, or -errno (-EAGAIN: nothing there). */
static ssize_t receive(struct jv_netlink *nl)
{
	struct sockaddr_nl from;
	socklen_t len = sizeof(from);
	ssize_t n;

	do {
		n = recvfrom(nl->fd, nl->buf, sizeof(nl->buf), MSG_DONTWAIT | MSG_TRUNC,
			     (struct sockaddr *)&from, &len);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid));
	if (n > (ssize_t)sizeof(nl->buf))
		return -ENOBUFS;
	return n < 0 ? -errno : n;
}

void jv_netlink_drain(struct jv_netlink *nl)
{
	ssize_t n;

	while ((n = receive(nl)) != -EAGAIN) {
		int left = n;

		if (n < 0) {
			nl->overrun(nl->arg);
			if (n != -ENOBUFS)
				return;
			continue;
		}
		for (struct nlmsghdr *nlh = (void *)nl->buf; nlmsg_ok(nlh, left);
		     nlh = nlmsg_next(nlh, &left))
			nl->event(nl->arg, nlh);
	}
}

/* The sentence that came with an error, or strerror's. */
static int take_error(struct nlmsghdr *nlh, struct jv_error *err)
{
	struct nlmsgerr *e = NLMSG_DATA(nlh);
	struct nlattr *text = NULL;
	size_t skip = sizeof(*e);

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
		return jv_error_set(err, EPROTO, "the kernel's answer is too short");
	if (!e->error)
		return 0;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += NLMSG_ALIGN(e->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS && nlh->nlmsg_len > NLMSG_LENGTH(skip))
		text = nla_find((struct nlattr *)((char *)e + skip),
				nlh->nlmsg_len - NLMSG_LENGTH(skip), NLMSGERR_ATTR_MSG);
	if (!text || nla_len(text) < 1)
		return jv_error_set(err, -e->error, "%s", strerror(-e->error));
	return jv_error_set(err, -e->error, "%.*s", nla_len(text), (char *)nla_data(text));
}

struct answer {
	void (*fn)(void *arg, struct nlmsghdr *nlh);
	void *arg;
	bool torn, last;
	int ret;
	struct jv_error *err;
};

static void take(struct jv_netlink *nl, struct nlmsghdr *nlh, struct answer *answer)
{
	int code = 0;

	if (nlh->nlmsg_seq != nl->seq || nlh->nlmsg_pid != nl->port) {
		nl->event(nl->arg, nlh);
		return;
	}
	answer->torn |= !!(nlh->nlmsg_flags & NLM_F_DUMP_INTR);
	switch (nlh->nlmsg_type) {
	case NLMSG_ERROR:
		answer->ret = take_error(nlh, answer->err);
		answer->last = true;
		break;
	case NLMSG_DONE:
		if (nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
			code = *(int *)NLMSG_DATA(nlh);
		if (code < 0)
			answer->ret = jv_error_set(answer->err, -code, "%s", strerror(-code));
		answer->last = true;
		break;
	default:
		if (answer->fn)
			answer->fn(answer->arg, nlh);
	}
}

static int await(struct jv_netlink *nl, struct answer *answer)
{
	while (!answer->last) {
		ssize_t n = receive(nl);
		int left = n;

		if (n == -ENOBUFS) {
			nl->overrun(nl->arg);
			continue;
		}
		if (n < 0)
			return jv_error_set(answer->err, ENOBUFS, "the kernel's answer was lost");
		for (struct nlmsghdr *nlh = (void *)nl->buf; nlmsg_ok(nlh, left);
		     nlh = nlmsg_next(nlh, &left))
			take(nl, nlh, answer);
	}
	return answer->ret;
}

int jv_netlink_request(struct jv_netlink *nl, struct nl_msg *msg, int flags,
		       void (*fn)(void *arg, struct nlmsghdr *nlh), void *arg, bool *torn,
		       struct jv_error *err)
{
	struct sockaddr_nl to = { .nl_family = AF_NETLINK };
	struct answer answer = { .fn = fn, .arg = arg, .err = err };
	struct nlmsghdr *nlh;
	int ret = 0;

	if (!msg)
		return jv_error_set(err, ENOBUFS, "the request does not fit into a message");
	nlh = nlmsg_hdr(msg);
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK | flags;
	nlh->nlmsg_pid = nl->port;
	nlh->nlmsg_seq = ++nl->seq;
	if (sendto(nl->fd, nlh, nlh->nlmsg_len, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		ret = jv_error_set(err, errno, "cannot talk to the kernel: %s", strerror(errno));
	jv_netlink_discard(msg);
	if (!ret)
		ret = await(nl, &answer);
	if (torn)
		*torn = answer.torn;
	return ret;
}
