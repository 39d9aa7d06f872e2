/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control filter: what is not DATA is checked here before the daemon sees it.
 */
#ifndef JVPN_CONTROL_H
#define JVPN_CONTROL_H

#include <linux/types.h>

#include "../uapi/wire.h"

struct jvpn_device;
struct jvpn_endpoint;
struct jvpn_path;
struct jvpn_verdict;
struct sk_buff;

/**
 * enum jvpn_control_verdict - what becomes of a control datagram
 * @JVPN_CONTROL_DELIVER: to the daemon's socket
 * @JVPN_CONTROL_DROP: it was counted, the caller frees it
 */
enum jvpn_control_verdict {
	JVPN_CONTROL_DELIVER,
	JVPN_CONTROL_DROP,
};

/**
 * struct jvpn_tag_key - key of tag1, by key id
 */
struct jvpn_tag_key {
	u8 kid;
	u8 key[16];
};

#define JVPN_MAX_TAG_KEYS 8

/**
 * struct jvpn_control_config - what dev-set says to the filter
 * @keys: tag keys, by key id
 * @n_keys: how many; none leaves the keys as they are
 * @has_keys: the request named keys
 * @fresh: ownership begins; cookies made before are void
 */
struct jvpn_control_config {
	bool has_keys;
	bool fresh;
	unsigned int n_keys;
	struct jvpn_tag_key keys[JVPN_MAX_TAG_KEYS];
};

int jvpn_control_init(struct jvpn_device *device);
void jvpn_control_exit(struct jvpn_device *device);
int jvpn_control_configure(struct jvpn_device *device,
			   const struct jvpn_control_config *c,
			   struct jvpn_verdict *v);
enum jvpn_control_verdict jvpn_control_rcv(struct jvpn_path *path,
					   struct sk_buff *skb);
void jvpn_control_cookie(struct jvpn_device *device,
			 const struct jvpn_endpoint *source,
			 u8 cookie[JVPN_COOKIE_LEN]);

#endif /* JVPN_CONTROL_H */
