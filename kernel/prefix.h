/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inner addresses: which session owns one, by longest prefix.
 */
#ifndef JVPN_PREFIX_H
#define JVPN_PREFIX_H

#include <linux/bitmap.h>
#include <linux/in6.h>
#include <linux/rcupdate.h>
#include <linux/rhashtable.h>

struct jvpn_session;

/**
 * struct jvpn_prefix_key - a prefix; bits behind the length are zero
 * @addr: IPv4 in the first word, the others zero
 * @family: AF_INET or AF_INET6
 * @len: bits
 */
struct jvpn_prefix_key {
	__be32 addr[4];
	u16 family;
	u16 len;
};

/**
 * struct jvpn_prefix - prefix of a session
 * @node: in jvpn_prefixes.table
 * @key: constant
 * @session: the owner while it is in the table, else NULL; no reference, since a
 *	     prefix is taken out before its session goes
 * @list: in jvpn_session.prefixes
 * @rcu: freed by it
 */
struct jvpn_prefix {
	struct rhash_head node;
	struct jvpn_prefix_key key;
	struct jvpn_session *session;
	struct list_head list;
	struct rcu_head rcu;
};

/**
 * struct jvpn_prefixes - the prefixes of a device
 * @table: one hash table of all lengths
 * @lengths4: lengths in use, IPv4, by length; 128 sessions with host addresses
 *	      need one look-up, not 33. Set before the first prefix of a length is
 *	      inserted, cleared after the last is gone, so a reader may look in
 *	      vain but misses nothing.
 * @lengths6: the same for IPv6
 * @count4: prefixes by length; under jvpn_device.lock
 * @count6: the same for IPv6
 */
struct jvpn_prefixes {
	struct rhashtable table;
	DECLARE_BITMAP(lengths4, 33);
	DECLARE_BITMAP(lengths6, 129);
	u32 count4[33];
	u32 count6[129];
};

int jvpn_prefixes_init(struct jvpn_prefixes *p);
void jvpn_prefixes_exit(struct jvpn_prefixes *p);
struct jvpn_prefix *jvpn_prefix_alloc(u16 family, const void *addr, u8 len);
struct jvpn_session *jvpn_prefix_owner(struct jvpn_prefixes *p,
				       const struct jvpn_prefix_key *key);
int jvpn_prefix_insert(struct jvpn_prefixes *p, struct jvpn_prefix *prefix,
		       struct jvpn_session *session);
void jvpn_prefix_remove(struct jvpn_prefixes *p, struct jvpn_prefix *prefix);
void jvpn_prefix_format(char *buf, size_t size,
			const struct jvpn_prefix_key *key);
struct jvpn_session *jvpn_prefix_lookup4(struct jvpn_prefixes *p, __be32 addr);
struct jvpn_session *jvpn_prefix_lookup6(struct jvpn_prefixes *p,
					 const struct in6_addr *addr);

#endif /* JVPN_PREFIX_H */
