// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "log.h"
#include "netlink.h"

enum {
	MESSAGE = 4096,			/* any single object */
	BINDING = 256,			/* one of a batch */
	RCVBUF = 4 * 1024 * 1024,
	DUMP_TRIES = 5,
};

/* A message that came while we were waiting for another. */
struct pending {
	struct pending *next;
	struct nlmsghdr nlh[];
};

struct jv_kernel {
	struct jv_netlink nl;
	int family;
	const struct jv_kernel_ops *ops;
	void *arg;
	struct jv_io io;
	struct jv_deferred dispatch;
	struct pending *first, **last;
	bool overrun;
	const uint8_t *deleting;	/* sid of a session-del under way */
};

/* --- parsing --- */

static void get_bytes(void *to, size_t size, struct nlattr *attr)
{
	if (attr && (size_t)nla_len(attr) >= size)
		memcpy(to, nla_data(attr), size);
}

static uint64_t get_u64(struct nlattr *attr)
{
	return attr && nla_len(attr) >= 8 ? nla_get_u64(attr) : 0;
}

static uint32_t get_u32(struct nlattr *attr)
{
	return attr && nla_len(attr) >= 4 ? nla_get_u32(attr) : 0;
}

static uint8_t get_u8(struct nlattr *attr)
{
	return attr && nla_len(attr) >= 1 ? nla_get_u8(attr) : 0;
}

static void get_addr(union jv_addr *to, struct nlattr *attr)
{
	size_t len = attr ? nla_len(attr) : 0;

	if (len >= sizeof(to->in))
		memcpy(to, nla_data(attr), len < sizeof(*to) ? len : sizeof(*to));
	if (len < jv_addr_len(to))
		to->sa.sa_family = AF_UNSPEC;
}

static void get_text(char *to, size_t size, struct nlattr *attr)
{
	size_t len = attr ? nla_len(attr) : 0;

	if (len >= size)
		len = size - 1;
	if (len)
		memcpy(to, nla_data(attr), len);
	to[len] = '\0';
}

static struct nlattr *find(struct nlmsghdr *nlh, int type)
{
	return nlmsg_find_attr(nlh, GENL_HDRLEN, type);
}

static void get_data(struct jv_signal *signal, struct nlattr *attr)
{
	size_t len = attr ? nla_len(attr) : 0;

	if (!len || len > sizeof(signal->data))
		return;
	memcpy(signal->data, nla_data(attr), len);
	signal->data_len = len;
}

static void parse_signal(struct jv_signal *signal, struct nlmsghdr *nlh)
{
	struct nlattr *tb[JVPN_SIGNAL_A_MAX + 1] = { NULL };
	struct nlattr *nest = find(nlh, JVPN_A_SIGNAL);

	*signal = (struct jv_signal){ .ifindex = get_u32(find(nlh, JVPN_A_IFINDEX)) };
	if (!nest || nla_parse_nested(tb, JVPN_SIGNAL_A_MAX, nest, NULL))
		return;
	signal->kind = get_u8(tb[JVPN_SIGNAL_A_KIND]);
	signal->has_sid = tb[JVPN_SIGNAL_A_SID];
	get_bytes(signal->sid, sizeof(signal->sid), tb[JVPN_SIGNAL_A_SID]);
	signal->has_path = tb[JVPN_SIGNAL_A_PATH];
	signal->path = get_u8(tb[JVPN_SIGNAL_A_PATH]);
	get_addr(&signal->remote, tb[JVPN_SIGNAL_A_REMOTE]);
	get_bytes(signal->cookie, sizeof(signal->cookie), tb[JVPN_SIGNAL_A_COOKIE]);
	get_bytes(signal->cid, sizeof(signal->cid), tb[JVPN_SIGNAL_A_CID]);
	signal->version.term = get_u64(tb[JVPN_SIGNAL_A_TERM]);
	signal->version.bver = get_u64(tb[JVPN_SIGNAL_A_BVER]);
	signal->srtt_us = get_u32(tb[JVPN_SIGNAL_A_SRTT_US]);
	signal->silent_ms = get_u32(tb[JVPN_SIGNAL_A_SILENT_MS]);
	signal->reason = get_u8(tb[JVPN_SIGNAL_A_REASON]);
	get_bytes(signal->nonce, sizeof(signal->nonce), tb[JVPN_SIGNAL_A_NONCE]);
	signal->notice = get_u8(tb[JVPN_SIGNAL_A_NOTICE]);
	get_data(signal, tb[JVPN_SIGNAL_A_DATA]);
	signal->time_ns = get_u64(tb[JVPN_SIGNAL_A_TIME_NS]);
}

static void parse_binding(struct jv_kernel_session_state *state, struct nlattr *nest)
{
	struct nlattr *tb[JVPN_BINDING_A_MAX + 1] = { NULL };

	if (!nest || nla_parse_nested(tb, JVPN_BINDING_A_MAX, nest, NULL))
		return;
	state->bound = tb[JVPN_BINDING_A_PATH] || tb[JVPN_BINDING_A_REMOTE];
	state->confirmed = get_u8(tb[JVPN_BINDING_A_CONFIRMED]);
	state->path = get_u8(tb[JVPN_BINDING_A_PATH]);
	get_addr(&state->remote, tb[JVPN_BINDING_A_REMOTE]);
}

static int parse_session(struct jv_kernel_session_state *state, struct nlmsghdr *nlh)
{
	struct nlattr *tb[JVPN_SESSION_A_MAX + 1] = { NULL };
	struct nlattr *nest = find(nlh, JVPN_A_SESSION);

	*state = (struct jv_kernel_session_state){
		.ifindex = get_u32(find(nlh, JVPN_A_IFINDEX)),
		.last_rx_ms = UINT64_MAX,
	};
	if (!nest || nla_parse_nested(tb, JVPN_SESSION_A_MAX, nest, NULL) ||
	    !tb[JVPN_SESSION_A_SID])
		return -1;
	get_bytes(state->sid, sizeof(state->sid), tb[JVPN_SESSION_A_SID]);
	state->role = get_u8(tb[JVPN_SESSION_A_ROLE]);
	get_text(state->label, sizeof(state->label), tb[JVPN_SESSION_A_LABEL]);
	state->state = get_u8(tb[JVPN_SESSION_A_STATE]);
	state->state_version = get_u64(tb[JVPN_SESSION_A_STATE_VERSION]);
	state->version.term = get_u64(tb[JVPN_SESSION_A_TERM]);
	state->version.bver = get_u64(tb[JVPN_SESSION_A_BVER]);
	state->bver_seen = get_u64(tb[JVPN_SESSION_A_BVER_SEEN]);
	state->age_ms = get_u64(tb[JVPN_SESSION_A_AGE_MS]);
	if (tb[JVPN_SESSION_A_LAST_RX_MS])
		state->last_rx_ms = get_u64(tb[JVPN_SESSION_A_LAST_RX_MS]);
	parse_binding(state, tb[JVPN_SESSION_A_BINDING]);
	return 0;
}

/* --- signals --- */

static bool wanted(const struct jv_kernel *k, struct nlmsghdr *nlh)
{
	struct jv_kernel_session_state state;

	if (nlh->nlmsg_type != k->family || nlh->nlmsg_len < NLMSG_LENGTH(GENL_HDRLEN))
		return false;
	switch (((struct genlmsghdr *)NLMSG_DATA(nlh))->cmd) {
	case JVPN_CMD_SIGNAL:
		return true;
	case JVPN_CMD_SESSION_DEL_NTF:
		/* The echo of our own is no news. */
		return !parse_session(&state, nlh) &&
		       !(k->deleting && !memcmp(k->deleting, state.sid, sizeof(state.sid)));
	default:
		return false;
	}
}

static void on_event(void *arg, struct nlmsghdr *nlh)
{
	struct jv_kernel *k = arg;
	struct pending *p;

	if (!wanted(k, nlh))
		return;
	p = malloc(sizeof(*p) + nlh->nlmsg_len);
	if (!p) {
		k->overrun = true;	/* as if the socket had dropped it */
	} else {
		p->next = NULL;
		memcpy(p->nlh, nlh, nlh->nlmsg_len);
		*k->last = p;
		k->last = &p->next;
	}
	jv_deferred_kick(&k->dispatch);
}

static void deliver(struct jv_kernel *k, struct nlmsghdr *nlh)
{
	struct jv_kernel_session_state state;
	struct jv_signal signal;

	if (((struct genlmsghdr *)NLMSG_DATA(nlh))->cmd == JVPN_CMD_SIGNAL) {
		parse_signal(&signal, nlh);
		k->ops->signal(k->arg, &signal);
		sodium_memzero(signal.cookie, sizeof(signal.cookie));
	} else if (!parse_session(&state, nlh)) {
		k->ops->session_gone(k->arg, state.ifindex, state.sid);
	}
}

static void on_overrun(void *arg)
{
	struct jv_kernel *k = arg;

	k->overrun = true;
	jv_deferred_kick(&k->dispatch);
}

/* Handlers make requests, and those postpone more: take one at a time, in order. */
static void on_dispatch(void *arg)
{
	struct jv_kernel *k = arg;
	struct pending *p;

	while ((p = k->first)) {
		k->first = p->next;
		if (!k->first)
			k->last = &k->first;
		deliver(k, p->nlh);
		sodium_memzero(p->nlh, p->nlh->nlmsg_len);
		free(p);
	}
	if (k->overrun) {
		k->overrun = false;
		jv_warn("messages of the data plane were lost: looking at every session again");
		k->ops->resync(k->arg);
	}
}

static void on_readable(void *arg, uint32_t events)
{
	struct jv_kernel *k = arg;

	(void)events;
	jv_netlink_drain(&k->nl);
	on_dispatch(k);
}

/* --- requests --- */

static struct nl_msg *sized_request(struct jv_kernel *k, size_t size, uint8_t cmd, int ifindex)
{
	struct nl_msg *msg = nlmsg_alloc_size(size);

	if (msg && genlmsg_put(msg, 0, 0, k->family, 0, 0, cmd, JVPN_GENL_VERSION) &&
	    !(ifindex && nla_put_u32(msg, JVPN_A_IFINDEX, ifindex)))
		return msg;
	jv_netlink_discard(msg);
	return NULL;
}

static struct nl_msg *request(struct jv_kernel *k, uint8_t cmd, int ifindex)
{
	return sized_request(k, MESSAGE, cmd, ifindex);
}

/* A write without interest in its results: the sentence of a failure says enough. */
static int command(struct jv_kernel *k, struct nl_msg *msg, struct jv_error *err)
{
	return jv_netlink_request(&k->nl, msg, 0, NULL, NULL, NULL, err);
}

static int no_room(struct jv_error *err)
{
	return jv_netlink_request(NULL, NULL, 0, NULL, NULL, NULL, err);
}

struct results {
	struct jv_kernel_result *result;
	size_t n, seen;
};

static void take_results(void *arg, struct nlmsghdr *nlh)
{
	struct results *results = arg;
	struct nlattr *attr;
	int left;

	nlmsg_for_each_attr(attr, nlh, GENL_HDRLEN, left) {
		struct nlattr *tb[JVPN_RESULT_A_MAX + 1] = { NULL };
		struct jv_kernel_result *r = results->result + results->seen;

		if (nla_type(attr) != JVPN_A_RESULT || results->seen >= results->n ||
		    nla_parse_nested(tb, JVPN_RESULT_A_MAX, attr, NULL))
			continue;
		r->error = (int)get_u32(tb[JVPN_RESULT_A_ERROR]);
		r->version.term = get_u64(tb[JVPN_RESULT_A_TERM]);
		r->version.bver = get_u64(tb[JVPN_RESULT_A_BVER]);
		r->state_version = get_u64(tb[JVPN_RESULT_A_STATE_VERSION]);
		get_text(r->message, sizeof(r->message), tb[JVPN_RESULT_A_MESSAGE]);
		results->seen++;
	}
}

/* --- opening --- */

static int connect_family(struct jv_kernel *k, struct jv_error *err)
{
	int ret = jv_netlink_open(&k->nl, NETLINK_GENERIC, RCVBUF, err);
	int group;

	if (ret)
		return ret;
	/* This asks for the module, too: it is loaded if it is installed. */
	k->family = genl_ctrl_resolve(k->nl.sock, JVPN_GENL_NAME);
	if (k->family < 0)
		return jv_error_set(err, ENOENT, "the kernel module jvpn is not loaded: "
				    "modprobe jvpn");
	group = genl_ctrl_resolve_grp(k->nl.sock, JVPN_GENL_NAME, JVPN_MCGRP_SESSION);
	if (group < 0 || nl_socket_add_membership(k->nl.sock, group))
		return jv_error_set(err, EIO, "cannot listen to the sessions of the module");
	return 0;
}

int jv_kernel_open(struct jv_kernel **out, struct jv_loop *loop,
		   const struct jv_kernel_ops *ops, void *arg, struct jv_error *err)
{
	struct jv_kernel *k = calloc(1, sizeof(*k));
	int ret;

	if (!k)
		return jv_error_set(err, ENOMEM, "out of memory");
	k->ops = ops;
	k->arg = arg;
	k->last = &k->first;
	k->nl = (struct jv_netlink){
		.sock = nl_socket_alloc(), .event = on_event, .overrun = on_overrun, .arg = k,
	};
	ret = connect_family(k, err);
	if (!ret) {
		ret = jv_deferred_add(loop, &k->dispatch, JV_PRIO_KERNEL, on_dispatch, k);
		if (!ret)
			ret = jv_io_add(loop, &k->io, k->nl.fd, EPOLLIN, JV_PRIO_KERNEL,
					on_readable, k);
		if (ret)
			jv_error_set(err, -ret, "cannot watch a netlink socket: %s",
				     strerror(-ret));
	}
	if (ret) {
		jv_kernel_close(k);
		return ret;
	}
	*out = k;
	return 0;
}

void jv_kernel_close(struct jv_kernel *k)
{
	struct pending *p;

	if (!k)
		return;
	jv_io_del(&k->io);
	jv_deferred_del(&k->dispatch);
	nl_socket_free(k->nl.sock);
	while ((p = k->first)) {
		k->first = p->next;
		free(p);
	}
	sodium_memzero(k, sizeof(*k));
	free(k);
}

/* --- verbs --- */

/* libnl's NLA_PUT jumps to nla_put_failure when the message is full. */

int jv_kernel_dev_set(struct jv_kernel *k, int ifindex,
		      const struct jv_kernel_device *device, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_DEV_SET, ifindex);
	struct nlattr *nest, *key;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_DEVICE);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT_U8(msg, JVPN_DEV_A_ROLE, device->role);
	NLA_PUT_U8(msg, JVPN_DEV_A_INIT_RETRY, device->init_retry);
	if (device->term)
		NLA_PUT_U64(msg, JVPN_DEV_A_TERM, device->term);
	if (device->daemon_grace_ms)
		NLA_PUT_U32(msg, JVPN_DEV_A_DAEMON_GRACE_MS, device->daemon_grace_ms);
	for (size_t i = 0; i < device->keys; i++) {
		key = nla_nest_start(msg, JVPN_DEV_A_KEY);
		if (!key)
			goto nla_put_failure;
		NLA_PUT_U8(msg, JVPN_KEY_A_KID, device->key[i].kid);
		NLA_PUT(msg, JVPN_KEY_A_TAG_KEY, sizeof(device->key[i].tag_key),
			device->key[i].tag_key);
		nla_nest_end(msg, key);
	}
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

static void take_device(void *arg, struct nlmsghdr *nlh)
{
	struct nlattr *tb[JVPN_DEV_A_MAX + 1] = { NULL };
	struct nlattr *nest = find(nlh, JVPN_A_DEVICE);
	struct jv_kernel_device_state *state = arg;

	if (!nest || nla_parse_nested(tb, JVPN_DEV_A_MAX, nest, NULL))
		return;
	state->ifindex = get_u32(find(nlh, JVPN_A_IFINDEX));
	get_text(state->ifname, sizeof(state->ifname), tb[JVPN_DEV_A_IFNAME]);
	state->role = get_u8(tb[JVPN_DEV_A_ROLE]);
	state->daemon_port = get_u32(tb[JVPN_DEV_A_DAEMON_PORT]);
	state->sessions = get_u32(tb[JVPN_DEV_A_SESSIONS]);
	get_text(state->build, sizeof(state->build), tb[JVPN_DEV_A_BUILD]);
}

int jv_kernel_dev_get(struct jv_kernel *k, int ifindex,
		      struct jv_kernel_device_state *state, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_DEV_GET, ifindex);

	*state = (struct jv_kernel_device_state){ 0 };
	return jv_netlink_request(&k->nl, msg, 0, take_device, state, NULL, err);
}

int jv_kernel_path_set(struct jv_kernel *k, int ifindex, uint8_t path, int fd,
		       int oif, uint32_t mark, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_PATH_SET, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_PATH);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT_U8(msg, JVPN_PATH_A_ID, path);
	NLA_PUT_U32(msg, JVPN_PATH_A_FD, fd);
	if (oif)
		NLA_PUT_U32(msg, JVPN_PATH_A_OIF, oif);
	if (mark)
		NLA_PUT_U32(msg, JVPN_PATH_A_MARK, mark);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_path_del(struct jv_kernel *k, int ifindex, uint8_t path, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_PATH_DEL, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_PATH);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT_U8(msg, JVPN_PATH_A_ID, path);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

static int put_figures(struct nl_msg *msg, const struct jv_kernel_figures *f)
{
	const struct {
		int type;
		uint32_t value;
	} figures[] = {
		{ JVPN_SESSION_A_PROBE_INTERVAL_MS, f->probe_interval },
		{ JVPN_SESSION_A_PROBE_RTO_MIN_MS, f->probe_rto_min },
		{ JVPN_SESSION_A_STANDBY_INTERVAL_MS, f->standby_interval },
		{ JVPN_SESSION_A_KEEPALIVE_MS, f->keepalive },
		{ JVPN_SESSION_A_DEAD_IDLE_MS, f->dead_idle },
		{ JVPN_SESSION_A_DEAD_BUSY_MS, f->dead_busy },
	};

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		if (figures[i].value)
			NLA_PUT_U32(msg, figures[i].type, figures[i].value);
	if (f->probe_misses)
		NLA_PUT_U8(msg, JVPN_SESSION_A_PROBE_MISSES, f->probe_misses);
	return 0;
nla_put_failure:
	return -1;
}

static int put_prefixes(struct nl_msg *msg, const struct jv_prefix *prefix, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct nlattr *nest = nla_nest_start(msg, JVPN_SESSION_A_PREFIX);

		if (!nest)
			return -1;
		NLA_PUT(msg, JVPN_PREFIX_A_ADDR, jv_prefix_bytes(&prefix[i]), prefix[i].addr);
		NLA_PUT_U8(msg, JVPN_PREFIX_A_LEN, prefix[i].len);
		nla_nest_end(msg, nest);
	}
	return 0;
nla_put_failure:
	return -1;
}

int jv_kernel_session_new(struct jv_kernel *k, int ifindex,
			  const struct jv_kernel_session *session, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_SESSION_NEW, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_SESSION);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_SESSION_A_SID, sizeof(session->sid), session->sid);
	NLA_PUT_U8(msg, JVPN_SESSION_A_ROLE, session->role);
	if (session->label)
		NLA_PUT_STRING(msg, JVPN_SESSION_A_LABEL, session->label);
	NLA_PUT_U8(msg, JVPN_SESSION_A_STATE, session->state);
	NLA_PUT_U64(msg, JVPN_SESSION_A_STATE_VERSION, session->state_version);
	if (put_figures(msg, &session->figures) ||
	    put_prefixes(msg, session->prefix, session->prefixes))
		goto nla_put_failure;
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_session_set(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  const struct jv_kernel_transition *transition,
			  const struct jv_kernel_figures *figures, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_SESSION_SET, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_SESSION);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_SESSION_A_SID, JVPN_SID_LEN, sid);
	if (transition && transition->state) {
		NLA_PUT_U8(msg, JVPN_SESSION_A_STATE, transition->state);
		NLA_PUT_U64(msg, JVPN_SESSION_A_STATE_VERSION, transition->state_version);
		NLA_PUT_U8(msg, JVPN_SESSION_A_REASON, transition->reason);
		NLA_PUT_U8(msg, JVPN_SESSION_A_DETAIL, transition->detail);
	}
	if (figures && put_figures(msg, figures))
		goto nla_put_failure;
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_session_prefixes(struct jv_kernel *k, int ifindex,
			       const uint8_t sid[JVPN_SID_LEN],
			       const struct jv_prefix *prefix, size_t n, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_SESSION_SET, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_SESSION);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_SESSION_A_SID, JVPN_SID_LEN, sid);
	if (put_prefixes(msg, prefix, n))
		goto nla_put_failure;
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_session_limits(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			     const struct jv_kernel_limits *limits, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_SESSION_SET, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_SESSION);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_SESSION_A_SID, JVPN_SID_LEN, sid);
	NLA_PUT_U64(msg, JVPN_SESSION_A_DEADLINE_MS, limits->deadline_ms);
	NLA_PUT_U32(msg, JVPN_SESSION_A_LOST_TTL_MS, limits->lost_ttl_ms);
	NLA_PUT_U8(msg, JVPN_SESSION_A_STRICT_SOURCE, limits->strict_source);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

/* A request about the session @sid and nothing else. */
static struct nl_msg *about_session(struct jv_kernel *k, uint8_t cmd, int ifindex,
				    const uint8_t sid[JVPN_SID_LEN])
{
	struct nl_msg *msg = request(k, cmd, ifindex);
	struct nlattr *nest = msg ? nla_nest_start(msg, JVPN_A_SESSION) : NULL;

	if (nest && !nla_put(msg, JVPN_SESSION_A_SID, JVPN_SID_LEN, sid)) {
		nla_nest_end(msg, nest);
		return msg;
	}
	nlmsg_free(msg);
	return NULL;
}

int jv_kernel_session_del(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  struct jv_error *err)
{
	struct nl_msg *msg = about_session(k, JVPN_CMD_SESSION_DEL, ifindex, sid);
	int ret;

	if (!msg)
		return no_room(err);
	k->deleting = sid;
	ret = command(k, msg, err);
	k->deleting = NULL;
	return ret;
}

struct session_reply {
	void (*fn)(void *arg, const struct jv_kernel_session_state *state);
	void *arg;
};

static void take_session(void *arg, struct nlmsghdr *nlh)
{
	struct jv_kernel_session_state state;
	struct session_reply *to = arg;

	if (!parse_session(&state, nlh))
		to->fn(to->arg, &state);
}

/* A torn dump is repeated; @fn may see a session twice. */
int jv_kernel_session_dump(struct jv_kernel *k, int ifindex,
			   void (*fn)(void *arg, const struct jv_kernel_session_state *state),
			   void *arg, struct jv_error *err)
{
	struct session_reply to = { fn, arg };

	for (int i = 0; i < DUMP_TRIES; i++) {
		struct nl_msg *msg = request(k, JVPN_CMD_SESSION_GET, ifindex);
		bool torn = false;
		int ret = jv_netlink_request(&k->nl, msg, NLM_F_DUMP, take_session, &to, &torn,
					     err);

		if (ret || !torn)
			return ret;
	}
	return jv_error_set(err, EINTR, "the sessions changed faster than they could be read");
}

static void keep_session(void *arg, const struct jv_kernel_session_state *state)
{
	*(struct jv_kernel_session_state *)arg = *state;
}

int jv_kernel_session_get(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			  struct jv_kernel_session_state *state, struct jv_error *err)
{
	struct nl_msg *msg = about_session(k, JVPN_CMD_SESSION_GET, ifindex, sid);
	struct session_reply to = { keep_session, state };

	return jv_netlink_request(&k->nl, msg, 0, take_session, &to, NULL, err);
}

int jv_kernel_epoch_new(struct jv_kernel *k, int ifindex, const struct jv_kernel_epoch *epoch,
			struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_EPOCH_NEW, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_EPOCH);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_EPOCH_A_SID, sizeof(epoch->sid), epoch->sid);
	NLA_PUT(msg, JVPN_EPOCH_A_RX_CID, sizeof(epoch->rx_cid), epoch->rx_cid);
	NLA_PUT(msg, JVPN_EPOCH_A_TX_CID, sizeof(epoch->tx_cid), epoch->tx_cid);
	NLA_PUT_U8(msg, JVPN_EPOCH_A_AEAD, epoch->aead);
	NLA_PUT(msg, JVPN_EPOCH_A_RX_KEY, JVPN_KEY_LEN, epoch->rx_key);
	NLA_PUT(msg, JVPN_EPOCH_A_TX_KEY, JVPN_KEY_LEN, epoch->tx_key);
	NLA_PUT_U64(msg, JVPN_EPOCH_A_TERM, epoch->version.term);
	NLA_PUT_U64(msg, JVPN_EPOCH_A_BVER, epoch->version.bver);
	NLA_PUT_U8(msg, JVPN_EPOCH_A_TRANSMIT, epoch->transmit);
	if (epoch->lifetime_ms)
		NLA_PUT_U64(msg, JVPN_EPOCH_A_LIFETIME_MS, epoch->lifetime_ms);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_epoch_del(struct jv_kernel *k, int ifindex, const uint8_t rx_cid[JVPN_CID_LEN],
			struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_EPOCH_DEL, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_EPOCH);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_EPOCH_A_RX_CID, JVPN_CID_LEN, rx_cid);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

static int put_transition(struct nl_msg *msg, const struct jv_kernel_transition *t,
			  const struct jv_kernel_transition *via)
{
	if (!t->state)
		return 0;
	NLA_PUT_U8(msg, JVPN_BINDING_A_STATE, t->state);
	NLA_PUT_U64(msg, JVPN_BINDING_A_STATE_VERSION, t->state_version);
	NLA_PUT_U8(msg, JVPN_BINDING_A_REASON, t->reason);
	NLA_PUT_U8(msg, JVPN_BINDING_A_DETAIL, t->detail);
	if (!via->state)
		return 0;
	NLA_PUT_U8(msg, JVPN_BINDING_A_VIA_STATE, via->state);
	NLA_PUT_U8(msg, JVPN_BINDING_A_VIA_REASON, via->reason);
	NLA_PUT_U8(msg, JVPN_BINDING_A_VIA_DETAIL, via->detail);
	return 0;
nla_put_failure:
	return -1;
}

static int put_binding(struct nl_msg *msg, const struct jv_kernel_binding *b)
{
	struct nlattr *nest = nla_nest_start(msg, JVPN_A_BINDING);

	if (!nest)
		return -1;
	NLA_PUT(msg, JVPN_BINDING_A_SID, sizeof(b->sid), b->sid);
	NLA_PUT_U8(msg, JVPN_BINDING_A_OP, b->op);
	if (b->op == JVPN_BINDING_OP_SET) {
		NLA_PUT_U64(msg, JVPN_BINDING_A_EXPECT_TERM, b->expect.term);
		NLA_PUT_U64(msg, JVPN_BINDING_A_EXPECT_BVER, b->expect.bver);
		if (b->has_exp_bver)
			NLA_PUT_U64(msg, JVPN_BINDING_A_EXP_BVER, b->exp_bver);
		NLA_PUT_U64(msg, JVPN_BINDING_A_TERM, b->version.term);
		NLA_PUT_U64(msg, JVPN_BINDING_A_BVER, b->version.bver);
		NLA_PUT_U8(msg, JVPN_BINDING_A_CONFIRMED, 1);
		if (b->switched)
			NLA_PUT_FLAG(msg, JVPN_BINDING_A_SWITCHED);
		if (b->has_cid)
			NLA_PUT(msg, JVPN_BINDING_A_CID, sizeof(b->cid), b->cid);
	}
	if (b->op != JVPN_BINDING_OP_CLEAR) {
		NLA_PUT_U8(msg, JVPN_BINDING_A_PATH, b->path);
		NLA_PUT(msg, JVPN_BINDING_A_REMOTE, jv_addr_len(&b->remote), &b->remote);
	}
	if (put_transition(msg, &b->transition, &b->via))
		goto nla_put_failure;
	nla_nest_end(msg, nest);
	return 0;
nla_put_failure:
	return -1;
}

int jv_kernel_binding_set(struct jv_kernel *k, int ifindex,
			  const struct jv_kernel_binding *binding, size_t n,
			  struct jv_kernel_result *results, struct jv_error *err)
{
	struct nl_msg *msg = sized_request(k, (n + 1) * BINDING, JVPN_CMD_BINDING_SET, ifindex);
	struct results to = { results, results ? n : 0, 0 };

	if (!msg)
		return no_room(err);
	for (size_t i = 0; i < to.n; i++)
		results[i] = (struct jv_kernel_result){ .error = -ECANCELED };
	for (size_t i = 0; i < n; i++) {
		if (!put_binding(msg, &binding[i]))
			continue;
		jv_netlink_discard(msg);
		return no_room(err);
	}
	return jv_netlink_request(&k->nl, msg, 0, take_results, &to, NULL, err);
}

static int candidate(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
		     uint8_t path, const union jv_addr *remote, struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_CANDIDATE_SET, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_CANDIDATE);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_CANDIDATE_A_SID, JVPN_SID_LEN, sid);
	NLA_PUT_U8(msg, JVPN_CANDIDATE_A_PATH, path);
	if (remote)
		NLA_PUT(msg, JVPN_CANDIDATE_A_REMOTE, jv_addr_len(remote), remote);
	else
		NLA_PUT_FLAG(msg, JVPN_CANDIDATE_A_REMOVE);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}

int jv_kernel_candidate_set(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			    uint8_t path, const union jv_addr *remote, struct jv_error *err)
{
	return candidate(k, ifindex, sid, path, remote, err);
}

int jv_kernel_candidate_del(struct jv_kernel *k, int ifindex, const uint8_t sid[JVPN_SID_LEN],
			    uint8_t path, struct jv_error *err)
{
	return candidate(k, ifindex, sid, path, NULL, err);
}

int jv_kernel_frame_send(struct jv_kernel *k, int ifindex, const struct jv_kernel_frame *frame,
			 struct jv_error *err)
{
	struct nl_msg *msg = request(k, JVPN_CMD_FRAME_SEND, ifindex);
	struct nlattr *nest;

	if (!msg)
		return no_room(err);
	nest = nla_nest_start(msg, JVPN_A_FRAME);
	if (!nest)
		goto nla_put_failure;
	NLA_PUT(msg, JVPN_FRAME_A_SID, sizeof(frame->sid), frame->sid);
	NLA_PUT_U8(msg, JVPN_FRAME_A_TYPE, frame->type);
	if (frame->flags)
		NLA_PUT_U8(msg, JVPN_FRAME_A_FLAGS, frame->flags);
	if (frame->reason)
		NLA_PUT_U8(msg, JVPN_FRAME_A_REASON, frame->reason);
	if (frame->has_path) {
		NLA_PUT_U8(msg, JVPN_FRAME_A_PATH, frame->path);
		NLA_PUT(msg, JVPN_FRAME_A_REMOTE, jv_addr_len(&frame->remote), &frame->remote);
	}
	if (frame->has_nonce)
		NLA_PUT(msg, JVPN_FRAME_A_NONCE, sizeof(frame->nonce), frame->nonce);
	if (frame->has_cid)
		NLA_PUT(msg, JVPN_FRAME_A_CID, sizeof(frame->cid), frame->cid);
	if (frame->notice)
		NLA_PUT_U8(msg, JVPN_FRAME_A_NOTICE, frame->notice);
	if (frame->data_len)
		NLA_PUT(msg, JVPN_FRAME_A_DATA, frame->data_len, frame->data);
	nla_nest_end(msg, nest);
	return command(k, msg, err);
nla_put_failure:
	jv_netlink_discard(msg);
	return no_room(err);
}
