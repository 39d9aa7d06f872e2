/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	uapi/jvpn.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_JVPN_GEN_H
#define _LINUX_JVPN_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/jvpn.h>

/* Common nested types */
extern const struct nla_policy jvpn_binding_nl_policy[JVPN_BINDING_A_CID + 1];
extern const struct nla_policy jvpn_candidate_nl_policy[JVPN_CANDIDATE_A_COOKIE_MS + 1];
extern const struct nla_policy jvpn_device_nl_policy[JVPN_DEV_A_LEASE_MS + 1];
extern const struct nla_policy jvpn_drop_nl_policy[JVPN_DROP_A_COUNT + 1];
extern const struct nla_policy jvpn_epoch_nl_policy[JVPN_EPOCH_A_LIFETIME_MS + 1];
extern const struct nla_policy jvpn_frame_nl_policy[JVPN_FRAME_A_DATA + 1];
extern const struct nla_policy jvpn_key_nl_policy[JVPN_KEY_A_TAG_KEY + 1];
extern const struct nla_policy jvpn_path_nl_policy[JVPN_PATH_A_TX_PACKETS + 1];
extern const struct nla_policy jvpn_prefix_nl_policy[JVPN_PREFIX_A_LEN + 1];
extern const struct nla_policy jvpn_session_nl_policy[JVPN_SESSION_A_STRICT_SOURCE + 1];

extern const struct nla_policy jvpn_dev_get_nl_policy[JVPN_A_IFINDEX + 1];

extern const struct nla_policy jvpn_dev_set_nl_policy[JVPN_A_DEVICE + 1];

extern const struct nla_policy jvpn_path_get_nl_policy[JVPN_A_PATH + 1];

extern const struct nla_policy jvpn_path_set_nl_policy[JVPN_A_PATH + 1];

extern const struct nla_policy jvpn_path_del_nl_policy[JVPN_A_PATH + 1];

extern const struct nla_policy jvpn_session_get_nl_policy[JVPN_A_SESSION + 1];

extern const struct nla_policy jvpn_session_new_nl_policy[JVPN_A_SESSION + 1];

extern const struct nla_policy jvpn_session_set_nl_policy[JVPN_A_SESSION + 1];

extern const struct nla_policy jvpn_session_del_nl_policy[JVPN_A_SESSION + 1];

extern const struct nla_policy jvpn_epoch_new_nl_policy[JVPN_A_EPOCH + 1];

extern const struct nla_policy jvpn_epoch_del_nl_policy[JVPN_A_EPOCH + 1];

extern const struct nla_policy jvpn_binding_set_nl_policy[JVPN_A_BINDING + 1];

extern const struct nla_policy jvpn_candidate_set_nl_policy[JVPN_A_CANDIDATE + 1];

extern const struct nla_policy jvpn_frame_send_nl_policy[JVPN_A_FRAME + 1];

/* Ops table for jvpn */
extern const struct genl_ops jvpn_nl_ops[14];

int jvpn_nl_dev_get_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_dev_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int jvpn_nl_dev_set_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_path_get_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_path_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int jvpn_nl_path_set_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_path_del_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_session_get_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_session_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int jvpn_nl_session_new_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_session_set_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_session_del_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_epoch_new_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_epoch_del_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_binding_set_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_candidate_set_doit(struct sk_buff *skb, struct genl_info *info);
int jvpn_nl_frame_send_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	JVPN_NLGRP_SESSION,
	JVPN_NLGRP_SIGNAL,
};

#endif /* _LINUX_JVPN_GEN_H */
