/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What this daemon was told, by configuration or control socket: links, peers,
 * transports, policies. It owns them, checks every change whole before it takes
 * effect, and tells the sessions' side through struct jv_node_ops. Loop thread.
 * Pointers handed out live until the matching _down() has returned.
 */
#ifndef JV_NODE_H
#define JV_NODE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "error.h"
#include "loop.h"
#include "noise.h"
#include "policy.h"

enum {
	JV_NAME_MAX = 63,		/* bytes of a name: letters, digits, . _ - */
	JV_PEER_PREFIXES = 32,		/* JVPN_MAX_PREFIXES */
	JV_PEER_ENDPOINTS = 4,
	JV_LINK_ADDRESSES = 8,
	JV_DEFAULT_MARK = 0x4a56,
	JV_DEFAULT_TABLE = 51820,
	JV_DEFAULT_MTU = 1420,
	JV_DEFAULT_PREFERENCE = 100,
};

struct jv_node;

/* Who said so. */
struct jv_origin {
	char *place;			/* FILE:LINE; NULL: no file does */
	bool told;			/* jvpn-ip, and the state directory keeps it */
};

/* @fresh: of a new object. What a file says now stands there; what jvpn-ip changes still does. */
void jv_origin_take(struct jv_origin *origin, const struct jv_origin *from, bool fresh);

struct jv_named_policy {
	struct jv_named_policy *next;
	char name[JV_NAME_MAX + 1];
	struct jv_origin origin;	/* neither: one of the profiles */
	uint32_t version;		/* +1 with every change; from 1 */
	struct jv_policy policy;	/* valid as a whole, always */
};

/* One jvpn device. It may be known before the device exists. */
struct jv_link {
	struct jv_link *next;
	char name[IFNAMSIZ];
	struct jv_origin origin;
	int ifindex;			/* 0: no such device now */
	bool created;			/* by us */
	bool keyed;
	struct jv_keypair *key;		/* in locked memory */
	char *key_file;			/* NULL: it came by the control socket */
	bool listening;			/* a gateway; else the client of its peers' endpoints */
	union jv_addr listen;
	uint32_t mtu;			/* 0: not set, the default */
	uint32_t mark;
	uint32_t table;
	unsigned int addresses;
	struct jv_prefix address[JV_LINK_ADDRESSES];	/* ours, set on the device */
	struct jv_peer *peers;
	struct jv_transport *transports;
	bool up;			/* link_up() was called and went well */
	void *shard;			/* the sessions' side */
};

struct jv_peer {
	struct jv_peer *next;
	struct jv_link *link;
	char name[JV_NAME_MAX + 1];	/* unique in the node */
	struct jv_origin origin;
	uint8_t public_key[32];
	unsigned int endpoints;		/* we are its client if there is one */
	union jv_addr endpoint[JV_PEER_ENDPOINTS];
	unsigned int prefixes;		/* allowed-ips */
	struct jv_prefix prefix[JV_PEER_PREFIXES];
	bool has_psk;
	uint8_t *psk;			/* 32 bytes in locked memory; zero without one */
	char *psk_file;			/* NULL: it came by the control socket */
	const struct jv_named_policy *policy;
	bool up;
	void *shard;
};

struct jv_transport {
	struct jv_transport *next;
	struct jv_link *link;
	char name[JV_NAME_MAX + 1];	/* unique in the node */
	struct jv_origin origin;
	char match[IFNAMSIZ + 16];	/* fnmatch(3) over interface names */
	uint16_t preference;		/* higher is better; 0..1000, default 100 */
	bool metered;
	uint64_t blocked_until_ms;	/* by an operator; 0: not, JV_NEVER: until further notice */
	struct jv_timer unblock;
	struct jv_node *node;
	bool up;
	void *shard;
};

/*
 * What the node asks of the sessions' side. _up: take it into use; an error
 * refuses the change. _down: end everything that stands on it, now. The order is
 * link, then its transports and peers, and the reverse.
 */
struct jv_node_ops {
	/* It has a device and a key. Register (dev-set), open the listening socket. */
	int (*link_up)(void *arg, struct jv_link *link, struct jv_error *err);
	/* @gone: the device has been removed already. */
	void (*link_down)(void *arg, struct jv_link *link, bool gone);
	int (*peer_up)(void *arg, struct jv_peer *peer, struct jv_error *err);
	void (*peer_down)(void *arg, struct jv_peer *peer);
	int (*transport_up)(void *arg, struct jv_transport *transport, struct jv_error *err);
	void (*transport_down)(void *arg, struct jv_transport *transport);
	/* policy->policy has changed; valid as a whole. */
	void (*policy_changed)(void *arg, const struct jv_named_policy *policy);
};

struct jv_rtnl;
struct jv_iface;

/* @rtnl may be NULL (tests): links then never get a device. Has the four profiles. */
struct jv_node *jv_node_new(const struct jv_node_ops *ops, void *arg, struct jv_rtnl *rtnl);
/* Takes everything down first. */
void jv_node_free(struct jv_node *node);


/* An interface came or went: links find or lose their device. Call it before the shard. */
void jv_node_iface(struct jv_node *node, const struct jv_iface *iface, bool gone);

/* --- changes; 0, or -errno with a sentence and nothing changed --- */

/* In all of them: a place says that a file has this now; without one jvpn-ip was told. */

struct jv_link_change {
	struct jv_origin origin;
	const uint8_t *private_key;	/* 32 bytes; NULL: as it is */
	const char *key_file;		/* that it stands in, or NULL */
	const union jv_addr *listen;
	const uint32_t *mtu, *mark, *table;
	unsigned int addresses;		/* 0: as they are */
	const struct jv_prefix *address;	/* all of them */
	bool whole;			/* what is not given is not wanted; no session may end */
	bool create;			/* make the device if there is none */
};

/* Could it be changed like this? */
int jv_node_link_check(const struct jv_node *node, const char *ifname,
		       const struct jv_link_change *change, struct jv_error *err);
/* -ENODEV: no such device. Restarts the link (its sessions end) if what it stands on changed. */
int jv_node_link_set(struct jv_node *node, const char *ifname,
		     const struct jv_link_change *change, struct jv_error *err);
int jv_node_link_forget(struct jv_node *node, const char *ifname, struct jv_error *err);

struct jv_peer_spec {
	struct jv_origin origin;
	const char *name;		/* NULL: made from the key */
	const uint8_t *public_key;
	unsigned int endpoints;
	const union jv_addr *endpoint;
	unsigned int prefixes;
	const struct jv_prefix *prefix;
	const uint8_t *psk;		/* NULL: none */
	const char *psk_file;		/* that it stands in, or NULL */
	const char *policy;		/* NULL: "carrier" */
};

int jv_node_peer_add(struct jv_node *node, const char *ifname, const struct jv_peer_spec *spec,
		     struct jv_error *err);
/* @peer: name or public key. */
int jv_node_peer_del(struct jv_node *node, const char *peer, struct jv_error *err);

struct jv_transport_spec {
	struct jv_origin origin;
	const char *name;
	const char *match;		/* NULL: the name */
	uint32_t preference;
	bool metered;
};

int jv_node_transport_add(struct jv_node *node, const char *ifname,
			  const struct jv_transport_spec *spec, struct jv_error *err);
int jv_node_transport_del(struct jv_node *node, const char *name, struct jv_error *err);

int jv_node_transport_prefer(struct jv_node *node, const char *name, uint32_t preference,
			     struct jv_error *err);
/* Out of use until then; 0: into use again. It is not kept: a start takes all into use. */
int jv_node_transport_block(struct jv_node *node, struct jv_loop *loop, const char *name,
			    uint64_t until_ms, struct jv_error *err);

/* One knob of a policy; a new name starts from the defaults. Checked as a whole. */
int jv_node_policy_set(struct jv_node *node, const char *name, const char *knob,
		       const char *value, struct jv_error *err);

/* All of it at once. */
int jv_node_policy_store(struct jv_node *node, const char *name, const struct jv_policy *policy,
			 const struct jv_origin *origin, struct jv_error *err);

/* As it was without jvpn-ip and files: a profile has its figures again, another is gone. */
void jv_node_policy_reset(struct jv_node *node, const char *name);

/* --- looking --- */

struct jv_link *jv_node_links(const struct jv_node *node);
struct jv_link *jv_node_link(const struct jv_node *node, const char *ifname);
struct jv_link *jv_node_link_by_index(const struct jv_node *node, int ifindex);
struct jv_peer *jv_node_peer(const struct jv_node *node, const char *name_or_key);
/* Gateway, for an INIT: constant time in the key. NULL: unknown. */
struct jv_peer *jv_node_peer_by_key(const struct jv_link *link, const uint8_t public_key[32]);
struct jv_transport *jv_node_transport(const struct jv_node *node, const char *name);
/* The transport of @link that an interface of this name belongs to: the most preferred match. */
struct jv_transport *jv_node_transport_match(const struct jv_link *link, const char *ifname);
const struct jv_named_policy *jv_node_policies(const struct jv_node *node);
const struct jv_named_policy *jv_node_policy(const struct jv_node *node, const char *name);

#endif /* JV_NODE_H */
