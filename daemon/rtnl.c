// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <net/if.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "netlink.h"
#include "rtnl.h"

enum {
	RCVBUF = 1024 * 1024,
	MESSAGE = 1024,
	DUMP_TRIES = 5,
	/* Ahead of what others let the kernel choose, which counts down from 32766. */
	PRIORITY_MAIN = 32500,
	PRIORITY_TABLE = 32501,
};

enum undo_kind { UNDO_DEVICE, UNDO_UP, UNDO_MTU, UNDO_ADDR, UNDO_ROUTE, UNDO_RULES };

struct undo {
	struct undo *next;		/* the one before */
	enum undo_kind kind;
	int ifindex;
	uint32_t mtu;			/* MTU: the old one */
	struct jv_prefix prefix;	/* ADDR, ROUTE; RULES: the family */
	uint32_t table, mark;		/* ROUTE, RULES */
};

struct jv_rtnl {
	struct jv_netlink events, requests;
	struct jv_io io;
	const struct jv_rtnl_ops *ops;
	void *arg;
	struct jv_iface *ifaces;
	struct undo *undo;
	bool quiet;			/* the first reading: nobody is told */
	bool lost;			/* events were lost, read everything again */
};

static void device_gone(struct jv_rtnl *rtnl, int ifindex);

/* --- the table --- */

static struct jv_iface **find(struct jv_rtnl *rtnl, int ifindex)
{
	struct jv_iface **at = &rtnl->ifaces;

	while (*at && (*at)->ifindex != ifindex)
		at = &(*at)->next;
	return at;
}

const struct jv_iface *jv_rtnl_ifaces(const struct jv_rtnl *rtnl)
{
	return rtnl->ifaces;
}

const struct jv_iface *jv_rtnl_by_index(const struct jv_rtnl *rtnl, int ifindex)
{
	return *find((struct jv_rtnl *)rtnl, ifindex);
}

const struct jv_iface *jv_rtnl_by_name(const struct jv_rtnl *rtnl, const char *name)
{
	for (const struct jv_iface *iface = rtnl->ifaces; iface; iface = iface->next)
		if (!strcmp(iface->name, name))
			return iface;
	return NULL;
}

const struct jv_prefix *jv_iface_addr(const struct jv_iface *iface, int family)
{
	for (unsigned int i = 0; i < iface->addrs; i++)
		if (iface->addr[i].family == family)
			return &iface->addr[i];
	return NULL;
}

static void tell(struct jv_rtnl *rtnl, const struct jv_iface *iface, bool gone)
{
	if (!rtnl->quiet)
		rtnl->ops->iface(rtnl->arg, iface, gone);
}

static void remove_iface(struct jv_rtnl *rtnl, struct jv_iface **at)
{
	struct jv_iface *iface = *at;

	*at = iface->next;
	device_gone(rtnl, iface->ifindex);
	tell(rtnl, iface, true);
	free(iface);
}

/* --- links --- */

static void copy_name(char to[IFNAMSIZ], struct nlattr *attr)
{
	if (attr)
		strncpy(to, nla_data(attr), IFNAMSIZ - 1);
}

static void parse_link(struct jv_iface *iface, struct nlmsghdr *nlh)
{
	struct ifinfomsg *ifi = NLMSG_DATA(nlh);
	struct nlattr *info = nlmsg_find_attr(nlh, sizeof(*ifi), IFLA_LINKINFO);
	struct nlattr *mtu = nlmsg_find_attr(nlh, sizeof(*ifi), IFLA_MTU);

	iface->ifindex = ifi->ifi_index;
	iface->flags = ifi->ifi_flags;
	iface->up = ifi->ifi_flags & IFF_UP && ifi->ifi_flags & IFF_RUNNING &&
		    ifi->ifi_flags & IFF_LOWER_UP;
	copy_name(iface->name, nlmsg_find_attr(nlh, sizeof(*ifi), IFLA_IFNAME));
	if (mtu)
		iface->mtu = nla_get_u32(mtu);
	if (info)
		copy_name(iface->kind, nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND));
}

static bool is_link(struct nlmsghdr *nlh)
{
	struct ifinfomsg *ifi = NLMSG_DATA(nlh);

	/* Other families speak of the port of a bridge, not of the link. */
	return nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(*ifi)) && ifi->ifi_family == AF_UNSPEC;
}

static void new_link(struct jv_rtnl *rtnl, struct nlmsghdr *nlh)
{
	struct jv_iface seen = { 0 }, **at, *iface;
	bool changed;

	if (!is_link(nlh))
		return;
	parse_link(&seen, nlh);
	at = find(rtnl, seen.ifindex);
	iface = *at;
	if (!iface) {
		iface = calloc(1, sizeof(*iface));
		if (!iface) {
			rtnl->lost = true;
			return;
		}
		*at = iface;
	}
	changed = !iface->ifindex || iface->up != seen.up || iface->mtu != seen.mtu ||
		  strcmp(iface->name, seen.name);
	iface->ifindex = seen.ifindex;
	iface->stale = false;
	iface->flags = seen.flags;
	iface->up = seen.up;
	iface->mtu = seen.mtu;
	strcpy(iface->name, seen.name);
	strcpy(iface->kind, seen.kind);
	if (changed)
		tell(rtnl, iface, false);
}

static void del_link(struct jv_rtnl *rtnl, struct nlmsghdr *nlh)
{
	struct ifinfomsg *ifi = NLMSG_DATA(nlh);
	struct jv_iface **at;

	if (!is_link(nlh))
		return;
	at = find(rtnl, ifi->ifi_index);
	if (*at)
		remove_iface(rtnl, at);
}

/* --- addresses --- */

/* 0: @prefix is usable; 1: it is not (any more); -1: nothing for us. */
static int parse_addr(struct jv_prefix *prefix, struct nlmsghdr *nlh)
{
	struct ifaddrmsg *ifa = NLMSG_DATA(nlh);
	struct nlattr *addr, *flags;
	uint32_t bits;

	if (nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*ifa)) ||
	    (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return -1;
	*prefix = (struct jv_prefix){ .family = ifa->ifa_family, .len = ifa->ifa_prefixlen };
	addr = nlmsg_find_attr(nlh, sizeof(*ifa), IFA_LOCAL);
	if (!addr)
		addr = nlmsg_find_attr(nlh, sizeof(*ifa), IFA_ADDRESS);
	if (!addr || (size_t)nla_len(addr) != jv_prefix_bytes(prefix))
		return -1;
	memcpy(prefix->addr, nla_data(addr), nla_len(addr));
	if (ifa->ifa_family == AF_INET6 && ifa->ifa_scope != RT_SCOPE_UNIVERSE)
		return -1;
	flags = nlmsg_find_attr(nlh, sizeof(*ifa), IFA_FLAGS);
	bits = flags ? nla_get_u32(flags) : ifa->ifa_flags;
	return bits & (IFA_F_TENTATIVE | IFA_F_DADFAILED) ? 1 : 0;
}

static unsigned int find_addr(const struct jv_iface *iface, const struct jv_prefix *prefix)
{
	unsigned int i = 0;

	while (i < iface->addrs && !jv_prefix_equal(&iface->addr[i], prefix))
		i++;
	return i;
}

static void change_addr(struct jv_rtnl *rtnl, struct nlmsghdr *nlh, bool added)
{
	struct ifaddrmsg *ifa = NLMSG_DATA(nlh);
	struct jv_prefix prefix;
	struct jv_iface *iface;
	int usable = parse_addr(&prefix, nlh);
	unsigned int i;

	if (usable < 0)
		return;
	iface = *find(rtnl, ifa->ifa_index);
	if (!iface)
		return;
	i = find_addr(iface, &prefix);
	if (added && !usable) {
		if (i < iface->addrs || i == JV_IFACE_ADDRS)
			return;
		iface->addr[iface->addrs++] = prefix;
	} else {
		if (i == iface->addrs)
			return;
		memmove(&iface->addr[i], &iface->addr[i + 1],
			(--iface->addrs - i) * sizeof(prefix));
	}
	tell(rtnl, iface, false);
}

static void on_event(void *arg, struct nlmsghdr *nlh)
{
	struct jv_rtnl *rtnl = arg;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
		new_link(rtnl, nlh);
		break;
	case RTM_DELLINK:
		del_link(rtnl, nlh);
		break;
	case RTM_NEWADDR:
		change_addr(rtnl, nlh, true);
		break;
	case RTM_DELADDR:
		change_addr(rtnl, nlh, false);
		break;
	}
}

static void on_overrun(void *arg)
{
	((struct jv_rtnl *)arg)->lost = true;
}

/* --- requests --- */

static struct nl_msg *message(int type, const void *header, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_size(MESSAGE);

	if (!msg)
		return NULL;
	if (!nlmsg_put(msg, 0, 0, type, 0, 0) || nlmsg_append(msg, (void *)header, len,
							      NLMSG_ALIGNTO)) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static int command(struct jv_rtnl *rtnl, struct nl_msg *msg, int flags, struct jv_error *err)
{
	return jv_netlink_request(&rtnl->requests, msg, flags, NULL, NULL, NULL, err);
}

static int dump(struct jv_rtnl *rtnl, int type, struct jv_error *err)
{
	struct ifinfomsg all = { .ifi_family = AF_UNSPEC };	/* ifaddrmsg starts alike */

	for (int i = 0; i < DUMP_TRIES; i++) {
		bool torn = false;
		int ret = jv_netlink_request(&rtnl->requests, message(type, &all, sizeof(all)),
					     NLM_F_DUMP, on_event, rtnl, &torn, err);

		if (ret || !torn)
			return ret;
	}
	return jv_error_set(err, EINTR, "interfaces changed faster than they could be read");
}

/* Read everything, and tell everything: what was missed is among it. */
static int read_all(struct jv_rtnl *rtnl, struct jv_error *err)
{
	bool quiet = rtnl->quiet;
	int ret;

	rtnl->lost = false;
	for (struct jv_iface *iface = rtnl->ifaces; iface; iface = iface->next) {
		iface->stale = true;
		iface->addrs = 0;
	}
	rtnl->quiet = true;
	ret = dump(rtnl, RTM_GETLINK, err);
	if (!ret)
		ret = dump(rtnl, RTM_GETADDR, err);
	rtnl->quiet = quiet;
	for (struct jv_iface **at = &rtnl->ifaces; !ret && *at;) {
		struct jv_iface *iface = *at;

		if (iface->stale) {
			remove_iface(rtnl, at);
		} else {
			tell(rtnl, iface, false);
			at = &iface->next;
		}
	}
	return ret;
}

static void on_readable(void *arg, uint32_t events)
{
	struct jv_rtnl *rtnl = arg;
	struct jv_error err;

	(void)events;
	jv_netlink_drain(&rtnl->events);
	if (rtnl->lost) {
		jv_warn("messages about links were lost: reading them again");
		if (read_all(rtnl, &err))
			jv_err("cannot read the interfaces: %s", err.text);
	}
}

/* --- opening --- */

static int subscribe(struct jv_rtnl *rtnl, struct jv_error *err)
{
	int ret = nl_socket_add_memberships(rtnl->events.sock, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
					    RTNLGRP_IPV6_IFADDR, 0);

	return ret ? jv_error_set(err, EIO, "cannot listen to links and addresses: %s",
				  nl_geterror(ret)) : 0;
}

/* Events first, then the reading: nothing falls between the two. */
static int start(struct jv_rtnl *rtnl, struct jv_loop *loop, struct jv_error *err)
{
	int ret = jv_netlink_open(&rtnl->events, NETLINK_ROUTE, RCVBUF, err);

	if (!ret)
		ret = jv_netlink_open(&rtnl->requests, NETLINK_ROUTE, RCVBUF, err);
	if (!ret)
		ret = subscribe(rtnl, err);
	if (!ret)
		ret = read_all(rtnl, err);
	if (ret)
		return ret;
	ret = jv_io_add(loop, &rtnl->io, rtnl->events.fd, EPOLLIN, JV_PRIO_LINK, on_readable,
			rtnl);
	return ret ? jv_error_set(err, -ret, "cannot watch a netlink socket: %s",
				  strerror(-ret)) : 0;
}

int jv_rtnl_open(struct jv_rtnl **out, struct jv_loop *loop, const struct jv_rtnl_ops *ops,
		 void *arg, struct jv_error *err)
{
	struct jv_rtnl *rtnl = calloc(1, sizeof(*rtnl));
	int ret;

	if (!rtnl)
		return jv_error_set(err, ENOMEM, "out of memory");
	rtnl->ops = ops;
	rtnl->arg = arg;
	rtnl->events = (struct jv_netlink){ .sock = nl_socket_alloc(), .event = on_event,
					    .overrun = on_overrun, .arg = rtnl };
	rtnl->requests = (struct jv_netlink){ .sock = nl_socket_alloc(), .event = on_event,
					      .overrun = on_overrun, .arg = rtnl };
	rtnl->quiet = true;
	ret = start(rtnl, loop, err);
	rtnl->quiet = false;
	if (ret) {
		jv_rtnl_close(rtnl);
		return ret;
	}
	*out = rtnl;
	return 0;
}

/* --- setters, each with what takes it back --- */

static void remember(struct jv_rtnl *rtnl, const struct undo *what)
{
	struct undo *u = malloc(sizeof(*u));

	if (!u) {
		jv_err("out of memory: what was set on an interface will stay after the end");
		return;
	}
	*u = *what;
	u->next = rtnl->undo;
	rtnl->undo = u;
}

static int set_link(struct jv_rtnl *rtnl, int ifindex, unsigned int flags, unsigned int change,
		    uint32_t mtu, struct jv_error *err)
{
	struct ifinfomsg ifi = { .ifi_index = ifindex, .ifi_flags = flags, .ifi_change = change };
	struct nl_msg *msg = message(RTM_NEWLINK, &ifi, sizeof(ifi));

	if (msg && mtu && nla_put_u32(msg, IFLA_MTU, mtu)) {
		jv_netlink_discard(msg);
		msg = NULL;
	}
	return command(rtnl, msg, 0, err);
}

static int del_device(struct jv_rtnl *rtnl, int ifindex, struct jv_error *err)
{
	struct ifinfomsg ifi = { .ifi_index = ifindex };

	return command(rtnl, message(RTM_DELLINK, &ifi, sizeof(ifi)), 0, err);
}

const struct jv_iface *jv_rtnl_refresh(struct jv_rtnl *rtnl, const char *name)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_GETLINK, &ifi, sizeof(ifi));

	if (msg && nla_put_string(msg, IFLA_IFNAME, name)) {
		jv_netlink_discard(msg);
		msg = NULL;
	}
	if (jv_netlink_request(&rtnl->requests, msg, 0, on_event, rtnl, NULL, NULL))
		return NULL;
	return jv_rtnl_by_name(rtnl, name);
}

int jv_rtnl_create(struct jv_rtnl *rtnl, const char *name, int *ifindex, struct jv_error *err)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
	struct nl_msg *msg = message(RTM_NEWLINK, &ifi, sizeof(ifi));
	const struct jv_iface *iface;
	struct nlattr *info;
	int ret;

	if (!msg)
		return command(rtnl, NULL, 0, err);
	NLA_PUT_STRING(msg, IFLA_IFNAME, name);
	info = nla_nest_start(msg, IFLA_LINKINFO);
	if (!info)
		goto nla_put_failure;
	NLA_PUT_STRING(msg, IFLA_INFO_KIND, "jvpn");
	nla_nest_end(msg, info);
	ret = command(rtnl, msg, NLM_F_CREATE | NLM_F_EXCL, err);
	if (ret)
		return ret;
	iface = jv_rtnl_refresh(rtnl, name);
	if (!iface)
		return jv_error_set(err, ENODEV, "device \"%s\" was made and is gone", name);
	*ifindex = iface->ifindex;
	remember(rtnl, &(struct undo){ .kind = UNDO_DEVICE, .ifindex = *ifindex });
	return 0;
nla_put_failure:
	jv_netlink_discard(msg);
	return command(rtnl, NULL, 0, err);
}

int jv_rtnl_up(struct jv_rtnl *rtnl, int ifindex, struct jv_error *err)
{
	const struct jv_iface *iface = jv_rtnl_by_index(rtnl, ifindex);
	int ret;

	if (iface && iface->flags & IFF_UP)
		return 0;
	ret = set_link(rtnl, ifindex, IFF_UP, IFF_UP, 0, err);
	if (!ret)
		remember(rtnl, &(struct undo){ .kind = UNDO_UP, .ifindex = ifindex });
	return ret;
}

int jv_rtnl_mtu(struct jv_rtnl *rtnl, int ifindex, uint32_t mtu, struct jv_error *err)
{
	const struct jv_iface *iface = jv_rtnl_by_index(rtnl, ifindex);
	struct undo undo = { .kind = UNDO_MTU, .ifindex = ifindex };
	int ret;

	if (iface && iface->mtu == mtu)
		return 0;
	undo.mtu = iface ? iface->mtu : 0;
	ret = set_link(rtnl, ifindex, 0, 0, mtu, err);
	if (!ret && undo.mtu)
		remember(rtnl, &undo);
	return ret;
}

static struct nl_msg *addr_message(int type, int ifindex, const struct jv_prefix *addr)
{
	struct ifaddrmsg ifa = {
		.ifa_family = addr->family, .ifa_prefixlen = addr->len, .ifa_index = ifindex,
	};
	struct nl_msg *msg = message(type, &ifa, sizeof(ifa));

	if (!msg)
		return NULL;
	NLA_PUT(msg, IFA_LOCAL, jv_prefix_bytes(addr), addr->addr);
	NLA_PUT(msg, IFA_ADDRESS, jv_prefix_bytes(addr), addr->addr);
	/* Usable at once: nobody else can have it inside the tunnel. */
	if (addr->family == AF_INET6)
		NLA_PUT_U32(msg, IFA_FLAGS, IFA_F_NODAD);
	return msg;
nla_put_failure:
	jv_netlink_discard(msg);
	return NULL;
}

int jv_rtnl_addr_add(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	int ret = command(rtnl, addr_message(RTM_NEWADDR, ifindex, addr),
			  NLM_F_CREATE | NLM_F_EXCL, err);

	if (ret == -EEXIST)
		return 0;
	if (!ret)
		remember(rtnl, &(struct undo){ .kind = UNDO_ADDR, .ifindex = ifindex,
					       .prefix = *addr });
	return ret;
}

int jv_rtnl_addr_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *addr,
		     struct jv_error *err)
{
	for (struct undo **at = &rtnl->undo, *u; (u = *at); at = &u->next) {
		if (u->kind != UNDO_ADDR || u->ifindex != ifindex ||
		    !jv_prefix_equal(&u->prefix, addr))
			continue;
		*at = u->next;
		free(u);
		break;
	}
	return command(rtnl, addr_message(RTM_DELADDR, ifindex, addr), 0, err);
}

static struct nl_msg *route_message(int type, const struct undo *route)
{
	struct rtmsg rtm = {
		.rtm_family = route->prefix.family, .rtm_dst_len = route->prefix.len,
		.rtm_table = RT_TABLE_UNSPEC, .rtm_protocol = RTPROT_STATIC,
		.rtm_scope = route->prefix.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct nl_msg *msg = message(type, &rtm, sizeof(rtm));

	if (!msg)
		return NULL;
	NLA_PUT(msg, RTA_DST, jv_prefix_bytes(&route->prefix), route->prefix.addr);
	NLA_PUT_U32(msg, RTA_OIF, route->ifindex);
	NLA_PUT_U32(msg, RTA_TABLE, route->table);
	return msg;
nla_put_failure:
	jv_netlink_discard(msg);
	return NULL;
}

/* Main without its default routes, for everybody. */
static struct nl_msg *main_rule(int type, int family)
{
	struct fib_rule_hdr frh = { .family = family, .action = FR_ACT_TO_TBL };
	struct nl_msg *msg = message(type, &frh, sizeof(frh));

	if (!msg)
		return NULL;
	NLA_PUT_U32(msg, FRA_PRIORITY, PRIORITY_MAIN);
	NLA_PUT_U32(msg, FRA_TABLE, RT_TABLE_MAIN);
	NLA_PUT_U32(msg, FRA_SUPPRESS_PREFIXLEN, 0);
	return msg;
nla_put_failure:
	jv_netlink_discard(msg);
	return NULL;
}

/* What is not an outer packet of ours looks into our table. */
static struct nl_msg *table_rule(int type, const struct undo *rule)
{
	struct fib_rule_hdr frh = {
		.family = rule->prefix.family, .action = FR_ACT_TO_TBL, .flags = FIB_RULE_INVERT,
	};
	struct nl_msg *msg = message(type, &frh, sizeof(frh));

	if (!msg)
		return NULL;
	NLA_PUT_U32(msg, FRA_PRIORITY, PRIORITY_TABLE);
	NLA_PUT_U32(msg, FRA_TABLE, rule->table);
	NLA_PUT_U32(msg, FRA_FWMARK, rule->mark);
	return msg;
nla_put_failure:
	jv_netlink_discard(msg);
	return NULL;
}

static bool same_rules(const struct undo *a, const struct undo *b)
{
	return a->kind == UNDO_RULES && b->kind == UNDO_RULES &&
	       a->prefix.family == b->prefix.family && a->table == b->table && a->mark == b->mark;
}

/* Rules of one table are shared by the devices that use it: the last one takes them away. */
static void del_rules(struct jv_rtnl *rtnl, const struct undo *rules)
{
	bool table = false, family = false;

	for (const struct undo *u = rtnl->undo; u; u = u->next) {
		table |= same_rules(u, rules);
		family |= u->kind == UNDO_RULES && u->prefix.family == rules->prefix.family;
	}
	if (!table)
		command(rtnl, table_rule(RTM_DELRULE, rules), 0, NULL);
	if (!family)
		command(rtnl, main_rule(RTM_DELRULE, rules->prefix.family), 0, NULL);
}

static int add_rules(struct jv_rtnl *rtnl, const struct undo *rules, struct jv_error *err)
{
	int ret;

	for (const struct undo *u = rtnl->undo; u; u = u->next)
		if (same_rules(u, rules) && u->ifindex == rules->ifindex)
			return 0;
	/* A rule that a killed daemon left behind is ours from now on: our priorities tell. */
	ret = command(rtnl, main_rule(RTM_NEWRULE, rules->prefix.family),
		      NLM_F_CREATE | NLM_F_EXCL, err);
	if (ret && ret != -EEXIST)
		return ret;
	ret = command(rtnl, table_rule(RTM_NEWRULE, rules), NLM_F_CREATE | NLM_F_EXCL, err);
	if (ret && ret != -EEXIST) {
		del_rules(rtnl, rules);
		return ret;
	}
	remember(rtnl, rules);
	return 0;
}

int jv_rtnl_routes_add(struct jv_rtnl *rtnl, int ifindex, uint32_t table, uint32_t mark,
		       const struct jv_prefix *prefix, size_t n, struct jv_error *err)
{
	for (size_t i = 0; i < n; i++) {
		struct undo what = { .kind = UNDO_RULES, .ifindex = ifindex, .prefix = prefix[i],
				     .table = table, .mark = mark };
		int ret = add_rules(rtnl, &what, err);

		what.kind = UNDO_ROUTE;
		if (!ret)
			ret = command(rtnl, route_message(RTM_NEWROUTE, &what),
				      NLM_F_CREATE | NLM_F_REPLACE, err);
		if (ret) {
			jv_rtnl_routes_del(rtnl, ifindex, prefix, n);
			return ret;
		}
		remember(rtnl, &what);
	}
	return 0;
}

/* Errors mean that somebody else, or the end of the device, was first. */
static void take_back(struct jv_rtnl *rtnl, const struct undo *u)
{
	switch (u->kind) {
	case UNDO_DEVICE:
		del_device(rtnl, u->ifindex, NULL);
		break;
	case UNDO_UP:
		set_link(rtnl, u->ifindex, 0, IFF_UP, 0, NULL);
		break;
	case UNDO_MTU:
		set_link(rtnl, u->ifindex, 0, 0, u->mtu, NULL);
		break;
	case UNDO_ADDR:
		command(rtnl, addr_message(RTM_DELADDR, u->ifindex, &u->prefix), 0, NULL);
		break;
	case UNDO_ROUTE:
		command(rtnl, route_message(RTM_DELROUTE, u), 0, NULL);
		break;
	case UNDO_RULES:
		del_rules(rtnl, u);
		break;
	}
}

void jv_rtnl_routes_del(struct jv_rtnl *rtnl, int ifindex, const struct jv_prefix *prefix,
			size_t n)
{
	for (struct undo **at = &rtnl->undo, *u; (u = *at);) {
		bool match = false;

		for (size_t i = 0; i < n && u->kind == UNDO_ROUTE && u->ifindex == ifindex; i++)
			match |= jv_prefix_equal(&u->prefix, &prefix[i]);
		if (!match) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		take_back(rtnl, u);
		free(u);
	}
}

/*
 * What was set on it went with it; only rules did not. Its index may come back on
 * another device, from which nothing is to be taken.
 */
static void device_gone(struct jv_rtnl *rtnl, int ifindex)
{
	for (struct undo **at = &rtnl->undo, *u; (u = *at);) {
		if (u->ifindex != ifindex) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		if (u->kind == UNDO_RULES)
			take_back(rtnl, u);
		free(u);
	}
}

void jv_rtnl_undo(struct jv_rtnl *rtnl, int ifindex, bool device)
{
	for (struct undo **at = &rtnl->undo, *u; (u = *at);) {
		if (u->ifindex != ifindex || (u->kind == UNDO_DEVICE && !device)) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		take_back(rtnl, u);
		free(u);
	}
}

void jv_rtnl_close(struct jv_rtnl *rtnl)
{
	if (!rtnl)
		return;
	jv_io_del(&rtnl->io);
	while (rtnl->undo)
		jv_rtnl_undo(rtnl, rtnl->undo->ifindex, true);
	while (rtnl->ifaces) {
		struct jv_iface *iface = rtnl->ifaces;

		rtnl->ifaces = iface->next;
		free(iface);
	}
	nl_socket_free(rtnl->events.sock);
	nl_socket_free(rtnl->requests.sock);
	free(rtnl);
}
