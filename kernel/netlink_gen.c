// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	uapi/jvpn.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink_gen.h"

#include <uapi/linux/jvpn.h>

/* Common nested types */
const struct nla_policy jvpn_binding_nl_policy[JVPN_BINDING_A_CID + 1] = {
	[JVPN_BINDING_A_SID] = NLA_POLICY_EXACT_LEN(16),
	[JVPN_BINDING_A_OP] = NLA_POLICY_MAX(NLA_U8, 2),
	[JVPN_BINDING_A_EXPECT_TERM] = { .type = NLA_U64, },
	[JVPN_BINDING_A_EXPECT_BVER] = { .type = NLA_U64, },
	[JVPN_BINDING_A_EXP_BVER] = { .type = NLA_U64, },
	[JVPN_BINDING_A_TERM] = { .type = NLA_U64, },
	[JVPN_BINDING_A_BVER] = { .type = NLA_U64, },
	[JVPN_BINDING_A_PATH] = NLA_POLICY_MAX(NLA_U8, 15),
	[JVPN_BINDING_A_REMOTE] = { .type = NLA_BINARY, },
	[JVPN_BINDING_A_CONFIRMED] = { .type = NLA_U8, },
	[JVPN_BINDING_A_SWITCHED] = { .type = NLA_FLAG, },
	[JVPN_BINDING_A_STATE] = { .type = NLA_U8, },
	[JVPN_BINDING_A_STATE_VERSION] = { .type = NLA_U64, },
	[JVPN_BINDING_A_REASON] = { .type = NLA_U8, },
	[JVPN_BINDING_A_DETAIL] = { .type = NLA_U8, },
	[JVPN_BINDING_A_AGE_MS] = { .type = NLA_U64, },
	[JVPN_BINDING_A_VIA_STATE] = { .type = NLA_U8, },
	[JVPN_BINDING_A_VIA_REASON] = { .type = NLA_U8, },
	[JVPN_BINDING_A_VIA_DETAIL] = { .type = NLA_U8, },
	[JVPN_BINDING_A_CID] = NLA_POLICY_EXACT_LEN(8),
};

const struct nla_policy jvpn_candidate_nl_policy[JVPN_CANDIDATE_A_COOKIE_MS + 1] = {
	[JVPN_CANDIDATE_A_SID] = NLA_POLICY_EXACT_LEN(16),
	[JVPN_CANDIDATE_A_PATH] = NLA_POLICY_MAX(NLA_U8, 15),
	[JVPN_CANDIDATE_A_REMOTE] = { .type = NLA_BINARY, },
	[JVPN_CANDIDATE_A_REMOVE] = { .type = NLA_FLAG, },
	[JVPN_CANDIDATE_A_STATE] = NLA_POLICY_MAX(NLA_U8, 3),
	[JVPN_CANDIDATE_A_SRTT_US] = { .type = NLA_U32, },
	[JVPN_CANDIDATE_A_RTTVAR_US] = { .type = NLA_U32, },
	[JVPN_CANDIDATE_A_LOSS_PERMILLE] = { .type = NLA_U32, },
	[JVPN_CANDIDATE_A_PROBES] = { .type = NLA_U64, },
	[JVPN_CANDIDATE_A_ACKS] = { .type = NLA_U64, },
	[JVPN_CANDIDATE_A_LAST_RX_MS] = { .type = NLA_U64, },
	[JVPN_CANDIDATE_A_COOKIE_MS] = { .type = NLA_U64, },
};

const struct nla_policy jvpn_device_nl_policy[JVPN_DEV_A_LEASE_MS + 1] = {
	[JVPN_DEV_A_IFNAME] = { .type = NLA_NUL_STRING, },
	[JVPN_DEV_A_ROLE] = NLA_POLICY_MAX(NLA_U8, 2),
	[JVPN_DEV_A_TERM] = { .type = NLA_U64, },
	[JVPN_DEV_A_KEY] = NLA_POLICY_NESTED(jvpn_key_nl_policy),
	[JVPN_DEV_A_INIT_RETRY] = NLA_POLICY_MAX(NLA_U8, 1),
	[JVPN_DEV_A_DAEMON_GRACE_MS] = NLA_POLICY_MIN(NLA_U32, 100),
	[JVPN_DEV_A_DAEMON_PORT] = { .type = NLA_U32, },
	[JVPN_DEV_A_DAEMON_GONE_MS] = { .type = NLA_U64, },
	[JVPN_DEV_A_SESSIONS] = { .type = NLA_U32, },
	[JVPN_DEV_A_EPOCHS] = { .type = NLA_U32, },
	[JVPN_DEV_A_RX_PACKETS] = { .type = NLA_U64, },
	[JVPN_DEV_A_RX_BYTES] = { .type = NLA_U64, },
	[JVPN_DEV_A_TX_PACKETS] = { .type = NLA_U64, },
	[JVPN_DEV_A_TX_BYTES] = { .type = NLA_U64, },
	[JVPN_DEV_A_DROP] = NLA_POLICY_NESTED(jvpn_drop_nl_policy),
	[JVPN_DEV_A_RETRIES] = { .type = NLA_U64, },
	[JVPN_DEV_A_UPCALLS] = { .type = NLA_U64, },
	[JVPN_DEV_A_BUILD] = { .type = NLA_NUL_STRING, },
	[JVPN_DEV_A_LEASE_MS] = { .type = NLA_U64, },
};

const struct nla_policy jvpn_drop_nl_policy[JVPN_DROP_A_COUNT + 1] = {
	[JVPN_DROP_A_REASON] = { .type = NLA_U32, },
	[JVPN_DROP_A_COUNT] = { .type = NLA_U64, },
};

const struct nla_policy jvpn_epoch_nl_policy[JVPN_EPOCH_A_LIFETIME_MS + 1] = {
	[JVPN_EPOCH_A_SID] = NLA_POLICY_EXACT_LEN(16),
	[JVPN_EPOCH_A_RX_CID] = NLA_POLICY_EXACT_LEN(8),
	[JVPN_EPOCH_A_TX_CID] = NLA_POLICY_EXACT_LEN(8),
	[JVPN_EPOCH_A_AEAD] = NLA_POLICY_MAX(NLA_U8, 1),
	[JVPN_EPOCH_A_RX_KEY] = NLA_POLICY_EXACT_LEN(32),
	[JVPN_EPOCH_A_TX_KEY] = NLA_POLICY_EXACT_LEN(32),
	[JVPN_EPOCH_A_TERM] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_BVER] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_TRANSMIT] = NLA_POLICY_MAX(NLA_U8, 1),
	[JVPN_EPOCH_A_CONFIRMED] = { .type = NLA_U8, },
	[JVPN_EPOCH_A_TX_COUNTER] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_RX_HIGHEST] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_RX_PACKETS] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_AGE_MS] = { .type = NLA_U64, },
	[JVPN_EPOCH_A_LIFETIME_MS] = { .type = NLA_U64, },
};

const struct nla_policy jvpn_frame_nl_policy[JVPN_FRAME_A_DATA + 1] = {
	[JVPN_FRAME_A_SID] = NLA_POLICY_EXACT_LEN(16),
	[JVPN_FRAME_A_TYPE] = { .type = NLA_U8, },
	[JVPN_FRAME_A_FLAGS] = { .type = NLA_U8, },
	[JVPN_FRAME_A_PATH] = NLA_POLICY_MAX(NLA_U8, 15),
	[JVPN_FRAME_A_REMOTE] = { .type = NLA_BINARY, },
	[JVPN_FRAME_A_NONCE] = NLA_POLICY_EXACT_LEN(8),
	[JVPN_FRAME_A_CID] = NLA_POLICY_EXACT_LEN(8),
	[JVPN_FRAME_A_REASON] = { .type = NLA_U8, },
	[JVPN_FRAME_A_NOTICE] = { .type = NLA_U8, },
	[JVPN_FRAME_A_DATA] = { .type = NLA_BINARY, },
};

const struct nla_policy jvpn_key_nl_policy[JVPN_KEY_A_TAG_KEY + 1] = {
	[JVPN_KEY_A_KID] = { .type = NLA_U8, },
	[JVPN_KEY_A_TAG_KEY] = NLA_POLICY_EXACT_LEN(16),
};

const struct nla_policy jvpn_path_nl_policy[JVPN_PATH_A_TX_PACKETS + 1] = {
	[JVPN_PATH_A_ID] = NLA_POLICY_MAX(NLA_U8, 15),
	[JVPN_PATH_A_FD] = { .type = NLA_U32, },
	[JVPN_PATH_A_OIF] = { .type = NLA_U32, },
	[JVPN_PATH_A_MARK] = { .type = NLA_U32, },
	[JVPN_PATH_A_LOCAL] = { .type = NLA_BINARY, },
	[JVPN_PATH_A_RX_PACKETS] = { .type = NLA_U64, },
	[JVPN_PATH_A_TX_PACKETS] = { .type = NLA_U64, },
};

const struct nla_policy jvpn_prefix_nl_policy[JVPN_PREFIX_A_LEN + 1] = {
	[JVPN_PREFIX_A_ADDR] = { .type = NLA_BINARY, },
	[JVPN_PREFIX_A_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
};

const struct nla_policy jvpn_session_nl_policy[JVPN_SESSION_A_STRICT_SOURCE + 1] = {
	[JVPN_SESSION_A_SID] = NLA_POLICY_EXACT_LEN(16),
	[JVPN_SESSION_A_ROLE] = NLA_POLICY_MAX(NLA_U8, 2),
	[JVPN_SESSION_A_LABEL] = { .type = NLA_NUL_STRING, .len = 63, },
	[JVPN_SESSION_A_STATE] = { .type = NLA_U8, },
	[JVPN_SESSION_A_STATE_VERSION] = { .type = NLA_U64, },
	[JVPN_SESSION_A_PREVIOUS] = { .type = NLA_U8, },
	[JVPN_SESSION_A_REASON] = { .type = NLA_U8, },
	[JVPN_SESSION_A_DETAIL] = { .type = NLA_U8, },
	[JVPN_SESSION_A_TERM] = { .type = NLA_U64, },
	[JVPN_SESSION_A_BVER] = { .type = NLA_U64, },
	[JVPN_SESSION_A_BVER_SEEN] = { .type = NLA_U64, },
	[JVPN_SESSION_A_PREFIX] = NLA_POLICY_NESTED(jvpn_prefix_nl_policy),
	[JVPN_SESSION_A_BINDING] = NLA_POLICY_NESTED(jvpn_binding_nl_policy),
	[JVPN_SESSION_A_EPOCH] = NLA_POLICY_NESTED(jvpn_epoch_nl_policy),
	[JVPN_SESSION_A_CANDIDATE] = NLA_POLICY_NESTED(jvpn_candidate_nl_policy),
	[JVPN_SESSION_A_PROBE_INTERVAL_MS] = NLA_POLICY_MIN(NLA_U32, 5),
	[JVPN_SESSION_A_PROBE_MISSES] = NLA_POLICY_RANGE(NLA_U8, 1, 50),
	[JVPN_SESSION_A_PROBE_RTO_MIN_MS] = NLA_POLICY_RANGE(NLA_U32, 1, 10000),
	[JVPN_SESSION_A_STANDBY_INTERVAL_MS] = NLA_POLICY_MIN(NLA_U32, 100),
	[JVPN_SESSION_A_KEEPALIVE_MS] = { .type = NLA_U32, },
	[JVPN_SESSION_A_DEAD_IDLE_MS] = { .type = NLA_U32, },
	[JVPN_SESSION_A_DEAD_BUSY_MS] = { .type = NLA_U32, },
	[JVPN_SESSION_A_RX_PACKETS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_RX_BYTES] = { .type = NLA_U64, },
	[JVPN_SESSION_A_TX_PACKETS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_TX_BYTES] = { .type = NLA_U64, },
	[JVPN_SESSION_A_DROP] = NLA_POLICY_NESTED(jvpn_drop_nl_policy),
	[JVPN_SESSION_A_AGE_MS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_LAST_RX_MS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_LAST_TX_MS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_SWITCHES] = { .type = NLA_BINARY, },
	[JVPN_SESSION_A_CHANGED_MS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_DEADLINE_MS] = { .type = NLA_U64, },
	[JVPN_SESSION_A_LOST_TTL_MS] = { .type = NLA_U32, },
	[JVPN_SESSION_A_STRICT_SOURCE] = NLA_POLICY_MAX(NLA_U8, 1),
};

/* JVPN_CMD_DEV_GET - do */
const struct nla_policy jvpn_dev_get_nl_policy[JVPN_A_IFINDEX + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* JVPN_CMD_DEV_SET - do */
const struct nla_policy jvpn_dev_set_nl_policy[JVPN_A_DEVICE + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_DEVICE] = NLA_POLICY_NESTED(jvpn_device_nl_policy),
};

/* JVPN_CMD_PATH_GET - do */
const struct nla_policy jvpn_path_get_nl_policy[JVPN_A_PATH + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_PATH] = NLA_POLICY_NESTED(jvpn_path_nl_policy),
};

/* JVPN_CMD_PATH_SET - do */
const struct nla_policy jvpn_path_set_nl_policy[JVPN_A_PATH + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_PATH] = NLA_POLICY_NESTED(jvpn_path_nl_policy),
};

/* JVPN_CMD_PATH_DEL - do */
const struct nla_policy jvpn_path_del_nl_policy[JVPN_A_PATH + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_PATH] = NLA_POLICY_NESTED(jvpn_path_nl_policy),
};

/* JVPN_CMD_SESSION_GET - do */
const struct nla_policy jvpn_session_get_nl_policy[JVPN_A_SESSION + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_SESSION] = NLA_POLICY_NESTED(jvpn_session_nl_policy),
};

/* JVPN_CMD_SESSION_NEW - do */
const struct nla_policy jvpn_session_new_nl_policy[JVPN_A_SESSION + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_SESSION] = NLA_POLICY_NESTED(jvpn_session_nl_policy),
};

/* JVPN_CMD_SESSION_SET - do */
const struct nla_policy jvpn_session_set_nl_policy[JVPN_A_SESSION + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_SESSION] = NLA_POLICY_NESTED(jvpn_session_nl_policy),
};

/* JVPN_CMD_SESSION_DEL - do */
const struct nla_policy jvpn_session_del_nl_policy[JVPN_A_SESSION + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_SESSION] = NLA_POLICY_NESTED(jvpn_session_nl_policy),
};

/* JVPN_CMD_EPOCH_NEW - do */
const struct nla_policy jvpn_epoch_new_nl_policy[JVPN_A_EPOCH + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_EPOCH] = NLA_POLICY_NESTED(jvpn_epoch_nl_policy),
};

/* JVPN_CMD_EPOCH_DEL - do */
const struct nla_policy jvpn_epoch_del_nl_policy[JVPN_A_EPOCH + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_EPOCH] = NLA_POLICY_NESTED(jvpn_epoch_nl_policy),
};

/* JVPN_CMD_BINDING_SET - do */
const struct nla_policy jvpn_binding_set_nl_policy[JVPN_A_BINDING + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_BINDING] = NLA_POLICY_NESTED(jvpn_binding_nl_policy),
};

/* JVPN_CMD_CANDIDATE_SET - do */
const struct nla_policy jvpn_candidate_set_nl_policy[JVPN_A_CANDIDATE + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_CANDIDATE] = NLA_POLICY_NESTED(jvpn_candidate_nl_policy),
};

/* JVPN_CMD_FRAME_SEND - do */
const struct nla_policy jvpn_frame_send_nl_policy[JVPN_A_FRAME + 1] = {
	[JVPN_A_IFINDEX] = NLA_POLICY_MIN(NLA_U32, 1),
	[JVPN_A_FRAME] = NLA_POLICY_NESTED(jvpn_frame_nl_policy),
};

/* Ops table for jvpn */
const struct genl_ops jvpn_nl_ops[14] = {
	{
		.cmd		= JVPN_CMD_DEV_GET,
		.doit		= jvpn_nl_dev_get_doit,
		.dumpit		= jvpn_nl_dev_get_dumpit,
		.policy		= jvpn_dev_get_nl_policy,
		.maxattr	= JVPN_A_IFINDEX,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_DEV_SET,
		.doit		= jvpn_nl_dev_set_doit,
		.policy		= jvpn_dev_set_nl_policy,
		.maxattr	= JVPN_A_DEVICE,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_PATH_GET,
		.doit		= jvpn_nl_path_get_doit,
		.dumpit		= jvpn_nl_path_get_dumpit,
		.policy		= jvpn_path_get_nl_policy,
		.maxattr	= JVPN_A_PATH,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_PATH_SET,
		.doit		= jvpn_nl_path_set_doit,
		.policy		= jvpn_path_set_nl_policy,
		.maxattr	= JVPN_A_PATH,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_PATH_DEL,
		.doit		= jvpn_nl_path_del_doit,
		.policy		= jvpn_path_del_nl_policy,
		.maxattr	= JVPN_A_PATH,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_SESSION_GET,
		.doit		= jvpn_nl_session_get_doit,
		.dumpit		= jvpn_nl_session_get_dumpit,
		.policy		= jvpn_session_get_nl_policy,
		.maxattr	= JVPN_A_SESSION,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_SESSION_NEW,
		.doit		= jvpn_nl_session_new_doit,
		.policy		= jvpn_session_new_nl_policy,
		.maxattr	= JVPN_A_SESSION,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_SESSION_SET,
		.doit		= jvpn_nl_session_set_doit,
		.policy		= jvpn_session_set_nl_policy,
		.maxattr	= JVPN_A_SESSION,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_SESSION_DEL,
		.doit		= jvpn_nl_session_del_doit,
		.policy		= jvpn_session_del_nl_policy,
		.maxattr	= JVPN_A_SESSION,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_EPOCH_NEW,
		.doit		= jvpn_nl_epoch_new_doit,
		.policy		= jvpn_epoch_new_nl_policy,
		.maxattr	= JVPN_A_EPOCH,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_EPOCH_DEL,
		.doit		= jvpn_nl_epoch_del_doit,
		.policy		= jvpn_epoch_del_nl_policy,
		.maxattr	= JVPN_A_EPOCH,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_BINDING_SET,
		.doit		= jvpn_nl_binding_set_doit,
		.policy		= jvpn_binding_set_nl_policy,
		.maxattr	= JVPN_A_BINDING,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_CANDIDATE_SET,
		.doit		= jvpn_nl_candidate_set_doit,
		.policy		= jvpn_candidate_set_nl_policy,
		.maxattr	= JVPN_A_CANDIDATE,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
	{
		.cmd		= JVPN_CMD_FRAME_SEND,
		.doit		= jvpn_nl_frame_send_doit,
		.policy		= jvpn_frame_send_nl_policy,
		.maxattr	= JVPN_A_FRAME,
		.flags		= GENL_UNS_ADMIN_PERM,
	},
};
