/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The configuration file (libconfuse). It is read and checked whole, keys in the
 * files it names included, before anything is applied. Loop thread, at start.
 */
#ifndef JV_CONFIG_H
#define JV_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "node.h"

enum { JV_CONFIG_PATH = 256 };

/* Numbers of 0 and empty strings: the file does not say. */
struct jv_config_daemon {
	char node_id[JV_NAME_MAX + 1];
	char control_socket[JV_CONFIG_PATH];
	char control_group[JV_NAME_MAX + 1];
	char state_dir[JV_CONFIG_PATH];
};

struct jv_config_log {
	char audit[JV_CONFIG_PATH];
	enum jv_log_level level;
	bool clear_ids;			/* session ids as they are, not as pseudonyms */
};

struct jv_config_link {
	char name[JV_NAME_MAX + 1];
	unsigned int keyed;
	uint8_t private_key[32];
	unsigned int listening;
	union jv_addr listen;
	uint32_t mtu, mark, table;
	unsigned int addresses;
	struct jv_prefix address[JV_LINK_ADDRESSES];
};

struct jv_config_peer {
	char name[JV_NAME_MAX + 1];
	char link[IFNAMSIZ];
	char policy[JV_NAME_MAX + 1];
	unsigned int keyed;
	uint8_t public_key[32];
	unsigned int endpoints, prefixes;
	union jv_addr endpoint[JV_PEER_ENDPOINTS];
	struct jv_prefix prefix[JV_PEER_PREFIXES];
	unsigned int has_psk;
	uint8_t psk[32];
};

struct jv_config_transport {
	char name[JV_NAME_MAX + 1];
	char link[IFNAMSIZ];
	char match[JV_NAME_MAX + 1];
	uint32_t preference;
	bool metered;
};

struct jv_config_policy {
	char name[JV_NAME_MAX + 1];
	struct jv_policy policy;
};

struct jv_config {
	struct jv_config_daemon daemon;
	struct jv_config_log log;
	size_t links, peers, transports, policies;
	struct jv_config_link *link;
	struct jv_config_peer *peer;
	struct jv_config_transport *transport;
	struct jv_config_policy *policy;
};

/*
 * Parse @file. On failure NULL, and one line on standard error: FILE:LINE: what is
 * wrong with which value, and what is allowed.
 */
struct jv_config *jv_config_load(const char *file);

/* An empty configuration. NULL: no memory. */
struct jv_config *jv_config_empty(void);

/* Wipes the keys. NULL is fine. */
void jv_config_free(struct jv_config *config);

#endif /* JV_CONFIG_H */
