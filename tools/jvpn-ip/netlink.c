// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netlink.h"

enum {
	RECEIVE_SIZE = 64 * 1024,
	DUMP_TRIES = 20,
};

int netlink_open(struct netlink *netlink, int protocol)
{
	int on = 1;

	netlink->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!netlink->socket)
		return fail(EXIT_ERROR, "no netlink socket can be opened: %s.", strerror(errno));
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		netlink_close(netlink);
		return fail(EXIT_ERROR, "no netlink socket can be bound: %s.", strerror(errno));
	}
	/* Older kernels lack some of these; without them only sentences are missing. */
	mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	netlink->port = mnl_socket_get_portid(netlink->socket);
	netlink->sequence = time(NULL);
	return EXIT_OK;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

struct nlmsghdr *netlink_message(struct netlink *netlink, void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buf);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	if ((flags & NLM_F_DUMP) != NLM_F_DUMP)
		message->nlmsg_flags |= NLM_F_ACK;
	message->nlmsg_seq = ++netlink->sequence;
	return message;
}

/* The messages of an answer, kept until it is complete. */
struct answer {
	char *data;
	size_t size, room;
	bool interrupted;
	bool done;
};

static void answer_add(struct answer *answer, const struct nlmsghdr *message)
{
	size_t size = NLMSG_ALIGN(message->nlmsg_len);

	if (answer->room - answer->size < size) {
		answer->room = 2 * answer->room + size;
		answer->data = realloc(answer->data, answer->room);
		if (!answer->data)
			abort();
	}
	memcpy(answer->data + answer->size, message, message->nlmsg_len);
	memset(answer->data + answer->size + message->nlmsg_len, 0, size - message->nlmsg_len);
	answer->size += size;
}

/*
 * The error that ends an answer. DONE carries a number, ERROR a number and the
 * header of the request; both may be followed by attributes with the sentence.
 */
static void read_error(const struct nlmsghdr *message, struct netlink_error *error)
{
	size_t skip = message->nlmsg_type == NLMSG_ERROR ? sizeof(struct nlmsgerr) : sizeof(int);
	const struct nlattr *attr;
	int code = 0;

	if (mnl_nlmsg_get_payload_len(message) >= skip)
		memcpy(&code, mnl_nlmsg_get_payload(message), sizeof(code));
	error->code = code < 0 ? -code : 0;
	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS) || mnl_nlmsg_get_payload_len(message) < skip)
		return;
	if (message->nlmsg_type == NLMSG_ERROR && !(message->nlmsg_flags & NLM_F_CAPPED)) {
		const struct nlmsgerr *full = mnl_nlmsg_get_payload(message);

		skip += MNL_ALIGN(full->msg.nlmsg_len) - sizeof(full->msg);
		if (mnl_nlmsg_get_payload_len(message) < skip)
			return;
	}
	mnl_attr_for_each(attr, message, skip)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			snprintf(error->text, sizeof(error->text), "%s", mnl_attr_get_str(attr));
}

/* One datagram of an answer. */
static void read_messages(const struct nlmsghdr *request, const void *data, int size,
			  struct answer *answer, struct netlink_error *error)
{
	const struct nlmsghdr *message;

	for (message = data; mnl_nlmsg_ok(message, size); message = mnl_nlmsg_next(message, &size)) {
		if (message->nlmsg_seq != request->nlmsg_seq)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			answer->interrupted = true;
		if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
			read_error(message, error);
			answer->done = true;
		} else if (message->nlmsg_type >= NLMSG_MIN_TYPE) {
			answer_add(answer, message);
		}
	}
}

static int ask(struct netlink *netlink, const struct nlmsghdr *request, struct answer *answer,
	       struct netlink_error *error)
{
	static _Alignas(struct nlmsghdr) char buf[RECEIVE_SIZE];

	memset(error, 0, sizeof(*error));
	answer->size = 0;
	answer->interrupted = answer->done = false;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0) {
		error->code = errno;
		return -1;
	}
	while (!answer->done) {
		ssize_t size = mnl_socket_recvfrom(netlink->socket, buf, sizeof(buf));

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0) {
			error->code = errno;
			return -1;
		}
		read_messages(request, buf, size, answer, error);
	}
	return error->code ? -1 : 0;
}

static void walk(const struct answer *answer, netlink_each each, void *context)
{
	for (size_t at = 0; each && at < answer->size;) {
		const struct nlmsghdr *message = (const void *)(answer->data + at);

		each(message, context);
		at += NLMSG_ALIGN(message->nlmsg_len);
	}
}

int netlink_talk(struct netlink *netlink, struct nlmsghdr *message, netlink_each each,
		 void *context, struct netlink_error *error)
{
	struct answer answer = { .data = NULL };
	int ret;

	for (int tries = 0; tries < DUMP_TRIES; tries++) {
		ret = ask(netlink, message, &answer, error);
		if (ret || !answer.interrupted)
			break;
		message->nlmsg_seq = ++netlink->sequence;
		ret = -1;
		error->code = EAGAIN;
		strcpy(error->text, "the objects change faster than they can be listed");
	}
	if (!ret)
		walk(&answer, each, context);
	free(answer.data);
	return ret;
}

static enum exit_code exit_code_of(int code)
{
	switch (code) {
	case ENOENT:
	case ENODEV:
	case ESRCH:
		return EXIT_NOT_FOUND;
	case ESTALE:
		return EXIT_CONFLICT;
	default:
		return EXIT_ERROR;
	}
}

int netlink_fail(const struct netlink_error *error, const char *what)
{
	size_t length = strlen(error->text);

	if (length)
		return fail(exit_code_of(error->code), "jvpn: %s%s", error->text,
			    error->text[length - 1] == '.' ? "" : ".");
	if (error->code == EPERM || error->code == EACCES)
		return fail(EXIT_ERROR, "this needs the capability CAP_NET_ADMIN: run it as root.");
	return fail(exit_code_of(error->code), "jvpn: %s: %s.", what, strerror(error->code));
}

int module_missing(void)
{
	return fail(EXIT_ERROR, "the kernel module jvpn is not loaded: run \"modprobe jvpn\".");
}
