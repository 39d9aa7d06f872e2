/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The configuration (libconfuse): a file, the drop-ins beside it (in conf.d, by name
 * and ending in .conf), and what jvpn-ip was told (JV_TOLD in the state directory).
 * They are one text: names are unique across all of it. It is read and checked whole,
 * keys in the files it names included, before anything is applied; the table that
 * reads it writes it, too. Loop thread.
 */
#ifndef JV_CONFIG_H
#define JV_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "log.h"
#include "node.h"

enum { JV_CONFIG_PATH = 256 };

#define JV_DEFAULT_STATE "/var/lib/jvpn"
#define JV_TOLD		 "jvpn-ip.conf"

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

/* What every section with a name begins with. */
#define JV_CONFIG_TITLE						\
	char name[JV_NAME_MAX + 1];				\
	char *place;		/* FILE:LINE; NULL: told */	\
	bool told		/* by jvpn-ip */

struct jv_config_title {
	JV_CONFIG_TITLE;
};

/* A key, and the file that it stands in; "" if it came by the control socket. */
struct jv_config_key {
	uint8_t key[32];
	char path[JV_CONFIG_PATH];
};

struct jv_config_link {
	JV_CONFIG_TITLE;
	unsigned int keyed;
	struct jv_config_key private_key;
	unsigned int listening;
	union jv_addr listen;
	uint32_t mtu, mark, table;
	unsigned int addresses;
	struct jv_prefix address[JV_LINK_ADDRESSES];
};

struct jv_config_peer {
	JV_CONFIG_TITLE;
	char link[IFNAMSIZ];
	char policy[JV_NAME_MAX + 1];
	unsigned int keyed;
	uint8_t public_key[32];
	unsigned int endpoints, prefixes;
	union jv_addr endpoint[JV_PEER_ENDPOINTS];
	struct jv_prefix prefix[JV_PEER_PREFIXES];
	unsigned int has_psk;
	struct jv_config_key psk;
};

struct jv_config_transport {
	JV_CONFIG_TITLE;
	char link[IFNAMSIZ];
	char match[JV_NAME_MAX + 1];
	unsigned int preferred;		/* it was given */
	uint32_t preference;
	bool metered;
};

struct jv_config_policy {
	JV_CONFIG_TITLE;
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
	uint8_t told_hash[32];		/* of that file as it was read; zero: there is none */
};

/* Where a configuration is read from. */
struct jv_config_source {
	const char *file;		/* with its drop-ins; NULL: nothing */
	bool optional;			/* it need not be there */
	bool told;			/* what jvpn-ip was told as well */
	const char *state_dir;		/* where that is; NULL: as the file says */
};

/*
 * Parse and check. On failure NULL, and one line in @complaints: FILE:LINE: what is
 * wrong with which value, and what is allowed.
 */
struct jv_config *jv_config_load(const struct jv_config_source *source, FILE *complaints);

/* What @node runs with, secrets included; the rest is empty. NULL: no memory. */
struct jv_config *jv_config_of_node(const struct jv_node *node);

/* Wipes the keys. NULL is fine. */
void jv_config_free(struct jv_config *config);

/*
 * As text that parses again. A key is named by its file; one that came by the
 * control socket is left out, and a comment says so.
 */
void jv_config_write(const struct jv_config *config, FILE *out);

/* Drop what files say, and what cannot be written: a peer whose preshared key is in no file. */
void jv_config_keep_told(struct jv_config *config);

/* The first setting of daemon or log, but for the level, that differs, or NULL. */
const char *jv_config_differs(const struct jv_config *a, const struct jv_config *b);

/* A key from its file: 0, or -1 and a sentence. */
int jv_config_read_key(const char *path, uint8_t key[32], char *why, size_t size);

#endif /* JV_CONFIG_H */
