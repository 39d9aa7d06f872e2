// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "rtnl.h"

#define KIND "jvpn"

int rtnl_open(struct netlink *netlink)
{
	return netlink_open(netlink, NETLINK_ROUTE);
}

static void put_kind(struct nlmsghdr *message)
{
	struct nlattr *nest = mnl_attr_nest_start(message, IFLA_LINKINFO);

	mnl_attr_put_strz(message, IFLA_INFO_KIND, KIND);
	mnl_attr_nest_end(message, nest);
}

static struct nlmsghdr *link_message(struct netlink *netlink, void *buf, uint16_t type,
				     uint16_t flags, const struct link_change *change)
{
	struct nlmsghdr *message = netlink_message(netlink, buf, type, flags);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));

	if (change && (change->up || change->down)) {
		info->ifi_change = IFF_UP;
		info->ifi_flags = change->up ? IFF_UP : 0;
	}
	if (change && change->mtu)
		mnl_attr_put_u32(message, IFLA_MTU, change->mtu);
	return message;
}

static bool has_kind(const struct nlattr *nest)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest)
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			return !strcmp(mnl_attr_get_str(attr), KIND);
	return false;
}

/* False for a device of another kind. */
static bool link_decode(const struct nlmsghdr *message, struct link *link)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	bool ours = false;

	memset(link, 0, sizeof(*link));
	if (message->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(*info))
		return false;
	link->ifindex = info->ifi_index;
	link->up = info->ifi_flags & IFF_UP;
	mnl_attr_for_each(attr, message, sizeof(*info)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_MTU:
			link->mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_LINKINFO:
			ours = has_kind(attr);
			break;
		}
	}
	return ours;
}

struct walk {
	void (*each)(const struct link *link, void *context);
	void *context;
};

static void walk_link(const struct nlmsghdr *message, void *context)
{
	const struct walk *walk = context;
	struct link link;

	if (link_decode(message, &link))
		walk->each(&link, walk->context);
}

int rtnl_each(struct netlink *netlink, void (*each)(const struct link *link, void *context),
	      void *context)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct walk walk = { .each = each, .context = context };
	struct netlink_error error;
	struct nlmsghdr *message;

	message = link_message(netlink, buf, RTM_GETLINK, NLM_F_DUMP, NULL);
	put_kind(message);
	if (!netlink_talk(netlink, message, walk_link, &walk, &error))
		return EXIT_OK;
	/* Without the module the kernel knows no such kind to list. */
	return error.code == EOPNOTSUPP ? module_missing() : netlink_fail(&error, "list of devices");
}

struct find {
	const char *name;
	struct link *link;
	size_t count;
};

static void find_link(const struct link *link, void *context)
{
	struct find *find = context;

	if (find->name && strcmp(find->name, link->name))
		return;
	*find->link = *link;
	find->count++;
}

int rtnl_find(struct netlink *netlink, const char *name, struct link *link)
{
	struct find find = { .name = name, .link = link };
	int ret = rtnl_each(netlink, find_link, &find);

	if (ret || find.count == 1)
		return ret;
	if (name)
		return fail(EXIT_NOT_FOUND, "jvpn: there is no device \"%s\" of kind " KIND ".", name);
	if (!find.count)
		return fail(EXIT_NOT_FOUND, "jvpn: there is no device of kind " KIND
			    ": make one with \"jvpn-ip link add\".");
	return fail(EXIT_SYNTAX, "jvpn: there are %zu devices of kind " KIND
		    ": say which with \"dev NAME\".", find.count);
}

int rtnl_add(struct netlink *netlink, const char *name, const struct link_change *change)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct netlink_error error;
	struct nlmsghdr *message;

	message = link_message(netlink, buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, change);
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	put_kind(message);
	if (!netlink_talk(netlink, message, NULL, NULL, &error))
		return EXIT_OK;
	if (error.code == EOPNOTSUPP)
		return module_missing();
	if (error.code == EEXIST)
		return fail(EXIT_ERROR, "jvpn: a device \"%s\" exists already.", name);
	return netlink_fail(&error, name);
}

int rtnl_set(struct netlink *netlink, const struct link *link, const struct link_change *change)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct netlink_error error;
	struct nlmsghdr *message = link_message(netlink, buf, RTM_NEWLINK, 0, change);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

	info->ifi_index = link->ifindex;
	if (!netlink_talk(netlink, message, NULL, NULL, &error))
		return EXIT_OK;
	return netlink_fail(&error, link->name);
}

int rtnl_del(struct netlink *netlink, const struct link *link)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct netlink_error error;
	struct nlmsghdr *message = link_message(netlink, buf, RTM_DELLINK, 0, NULL);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

	info->ifi_index = link->ifindex;
	if (!netlink_talk(netlink, message, NULL, NULL, &error))
		return EXIT_OK;
	return netlink_fail(&error, link->name);
}

static int change_address(struct netlink *netlink, uint16_t type, uint16_t flags,
			  const struct link *link, const struct prefix *address)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct nlmsghdr *message = netlink_message(netlink, buf, type, flags);
	struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	size_t size = address->address.family == AF_INET ? 4 : 16;
	struct netlink_error error;
	char text[ADDRESS_TEXT];

	info->ifa_family = address->address.family;
	info->ifa_prefixlen = address->length;
	info->ifa_index = link->ifindex;
	mnl_attr_put(message, IFA_LOCAL, size, address->address.bytes);
	mnl_attr_put(message, IFA_ADDRESS, size, address->address.bytes);
	if (!netlink_talk(netlink, message, NULL, NULL, &error))
		return EXIT_OK;
	return netlink_fail(&error, prefix_format(address, text));
}

int rtnl_address_add(struct netlink *netlink, const struct link *link,
		     const struct prefix *address)
{
	return change_address(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, address);
}

int rtnl_address_del(struct netlink *netlink, const struct link *link,
		     const struct prefix *address)
{
	return change_address(netlink, RTM_DELADDR, 0, link, address);
}
