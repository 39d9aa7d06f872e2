/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Objects as netlink attributes: one function each, for replies, dumps and events.
 */
#ifndef JVPN_NETLINK_FILL_H
#define JVPN_NETLINK_FILL_H

#include <linux/types.h>

struct jvpn_device;
struct jvpn_path;
struct jvpn_session;
struct jvpn_signal;
struct jvpn_verdict;
struct sk_buff;

/**
 * struct jvpn_step - a transition, as it is told
 * @previous: state before
 * @state: state after
 * @reason: number of JVPN_REASONS
 * @detail: number of JVPN_DETAILS
 * @version: state version after
 */
struct jvpn_step {
	u8 previous;
	u8 state;
	u8 reason;
	u8 detail;
	u64 version;
};

int jvpn_fill_device(struct sk_buff *skb, struct jvpn_device *device);
int jvpn_fill_path(struct sk_buff *skb, const struct jvpn_path *path);
int jvpn_fill_session(struct sk_buff *skb, struct jvpn_session *session,
		      const struct jvpn_step *passed);
int jvpn_fill_signal(struct sk_buff *skb, const struct jvpn_signal *s,
		     bool with_cookie);
int jvpn_fill_result(struct sk_buff *skb, const struct jvpn_verdict *v);

#endif /* JVPN_NETLINK_FILL_H */
