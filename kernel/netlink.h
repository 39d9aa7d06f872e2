/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The generic netlink family: verbs, dumps, notifications and signals.
 */
#ifndef JVPN_NETLINK_H
#define JVPN_NETLINK_H

#include "../uapi/linux/jvpn.h"
#include "endpoint.h"

struct jvpn_device;
struct jvpn_session;
struct jvpn_step;

/**
 * struct jvpn_signal - something the data plane noticed
 * @kind: enum jvpn_signal_kind
 * @device: required
 * @session: or NULL
 * @path: path id, negative if there is none to name
 * @remote: or NULL
 * @cookie: JVPN_COOKIE_LEN bytes or NULL; goes to the daemon alone
 * @cid: our receiver id or NULL
 * @has_version: @term and @bver mean something
 * @term: binding version
 * @bver: see @term
 * @srtt_us: 0 if unknown
 * @silent_ms: 0 if it does not apply
 * @reason: of a CLOSE, a number of JVPN_DETAILS; of a session that has expired, of
 *	    JVPN_REASONS
 * @nonce: JVPN_NONCE_LEN bytes or NULL
 * @notice: kind of a NOTICE, 0 for other signals
 * @data: options of a NOTICE
 * @data_len: their length
 */
struct jvpn_signal {
	u8 kind;
	struct jvpn_device *device;
	struct jvpn_session *session;
	int path;
	const struct jvpn_endpoint *remote;
	const u8 *cookie;
	const u8 *cid;
	bool has_version;
	u64 term;
	u64 bver;
	u32 srtt_us;
	u32 silent_ms;
	u8 reason;
	const u8 *nonce;
	u8 notice;
	const u8 *data;
	size_t data_len;
};

void jvpn_netlink_signal(const struct jvpn_signal *s);
void jvpn_netlink_session_changed(struct jvpn_session *session,
				  const struct jvpn_step *passed);
void jvpn_netlink_session_ended(struct jvpn_session *session);
void jvpn_netlink_devices_changed(void);
int jvpn_netlink_init(void);
void jvpn_netlink_exit(void);

#endif /* JVPN_NETLINK_H */
