// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>

#include "genl.h"

static void read_group(const struct nlattr *group, struct genl *genl)
{
	const struct nlattr *attr;
	const char *name = "";
	uint32_t id = 0;

	mnl_attr_for_each_nested(attr, group) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			id = mnl_attr_get_u32(attr);
	}
	if (!strcmp(name, JVPN_MCGRP_SESSION))
		genl->session_group = id;
	if (!strcmp(name, JVPN_MCGRP_SIGNAL))
		genl->signal_group = id;
}

static void read_family(const struct nlmsghdr *message, void *context)
{
	struct genl *genl = context;
	const struct nlattr *attr, *group;

	mnl_attr_for_each(attr, message, GENL_HDRLEN) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
			genl->family = mnl_attr_get_u16(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(group, attr)
				read_group(group, genl);
	}
}

static struct nlmsghdr *message_of(struct genl *genl, void *buf, uint16_t type, uint8_t cmd,
				   uint8_t version, uint16_t flags)
{
	struct nlmsghdr *message = netlink_message(&genl->netlink, buf, type, flags);
	struct genlmsghdr *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	header->cmd = cmd;
	header->version = version;
	return message;
}

int genl_open(struct genl *genl)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct netlink_error error;
	struct nlmsghdr *message;
	int ret;

	memset(genl, 0, sizeof(*genl));
	ret = netlink_open(&genl->netlink, NETLINK_GENERIC);
	if (ret)
		return ret;
	message = message_of(genl, buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, 0);
	mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, JVPN_GENL_NAME);
	if (!netlink_talk(&genl->netlink, message, read_family, genl, &error))
		return EXIT_OK;
	genl_close(genl);
	return error.code == ENOENT ? module_missing() : netlink_fail(&error, "family lookup");
}

void genl_close(struct genl *genl)
{
	netlink_close(&genl->netlink);
}

struct nlmsghdr *genl_message(struct genl *genl, void *buf, uint8_t cmd, uint16_t flags,
			      uint32_t ifindex)
{
	struct nlmsghdr *message;

	message = message_of(genl, buf, genl->family, cmd, JVPN_GENL_VERSION, flags);
	if (ifindex)
		mnl_attr_put_u32(message, JVPN_A_IFINDEX, ifindex);
	return message;
}

int genl_dump(struct genl *genl, uint8_t cmd, uint32_t ifindex, netlink_each each, void *context)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct netlink_error error;
	struct nlmsghdr *message = genl_message(genl, buf, cmd, NLM_F_DUMP, ifindex);

	if (!netlink_talk(&genl->netlink, message, each, context, &error))
		return EXIT_OK;
	return netlink_fail(&error, "list");
}

int genl_join(struct genl *genl, uint32_t group)
{
	int id = group;

	if (!mnl_socket_setsockopt(genl->netlink.socket, NETLINK_ADD_MEMBERSHIP, &id, sizeof(id)))
		return EXIT_OK;
	return fail(EXIT_ERROR, "jvpn: the events cannot be received: %s.", strerror(errno));
}
