// SPDX-License-Identifier: GPL-2.0
/*
 * Inner addresses: which session owns one, by longest prefix.
 *
 * One hash table holds the prefixes of every length. A bitmap tells which lengths
 * occur, so a device whose sessions have host addresses, the common case, needs one
 * look-up per packet.
 */

#include <linux/slab.h>
#include <net/ipv6.h>

#include "prefix.h"
#include "session.h"

static const struct rhashtable_params jvpn_prefix_params = {
	.key_len = sizeof(struct jvpn_prefix_key),
	.key_offset = offsetof(struct jvpn_prefix, key),
	.head_offset = offsetof(struct jvpn_prefix, node),
	.automatic_shrinking = true,
};

/**
 * jvpn_prefixes_init() - make an empty table
 * @p: zeroed
 *
 * Return: 0 or a negative errno.
 */
int jvpn_prefixes_init(struct jvpn_prefixes *p)
{
	BUILD_BUG_ON(sizeof(struct jvpn_prefix_key) % sizeof(u32));
	return rhashtable_init(&p->table, &jvpn_prefix_params);
}

/**
 * jvpn_prefixes_exit() - free an empty table
 * @p: no reader is left
 */
void jvpn_prefixes_exit(struct jvpn_prefixes *p)
{
	WARN_ON(atomic_read(&p->table.nelems));
	rhashtable_destroy(&p->table);
}

/* Keep the first @len bits. */
static void jvpn_prefix_mask(struct jvpn_prefix_key *key, unsigned int len)
{
	unsigned int i, bits;

	for (i = 0; i < ARRAY_SIZE(key->addr); i++) {
		bits = clamp_t(int, (int)len - 32 * (int)i, 0, 32);
		key->addr[i] &= bits ? htonl(~0U << (32 - bits)) : 0;
	}
	key->len = len;
}

/**
 * jvpn_prefix_alloc() - make a prefix that is in no table
 * @family: AF_INET or AF_INET6
 * @addr: 4 or 16 bytes; what is behind the length is cleared
 * @len: at most 32 or 128
 *
 * Return: the prefix, to be given to a session or to kfree(), or NULL.
 */
struct jvpn_prefix *jvpn_prefix_alloc(u16 family, const void *addr, u8 len)
{
	struct jvpn_prefix *prefix = kzalloc(sizeof(*prefix), GFP_KERNEL);

	if (!prefix)
		return NULL;
	prefix->key.family = family;
	memcpy(prefix->key.addr, addr, family == AF_INET ? 4 : 16);
	jvpn_prefix_mask(&prefix->key, len);
	return prefix;
}

static u32 *jvpn_prefix_use(struct jvpn_prefixes *p, const struct jvpn_prefix_key *key,
			    unsigned long **lengths)
{
	*lengths = key->family == AF_INET ? p->lengths4 : p->lengths6;
	return key->family == AF_INET ? &p->count4[key->len] : &p->count6[key->len];
}

/**
 * jvpn_prefix_owner() - who has exactly this prefix?
 * @p: table
 * @key: prefix
 *
 * Context: jvpn_device.lock held, or under RCU.
 * Return: the session or NULL.
 */
struct jvpn_session *jvpn_prefix_owner(struct jvpn_prefixes *p,
				       const struct jvpn_prefix_key *key)
{
	struct jvpn_session *session = NULL;
	struct jvpn_prefix *prefix;

	rcu_read_lock();
	prefix = rhashtable_lookup(&p->table, key, jvpn_prefix_params);
	if (prefix)
		session = READ_ONCE(prefix->session);
	rcu_read_unlock();
	return session;
}

/**
 * jvpn_prefix_insert() - let packets find a prefix
 * @p: table
 * @prefix: in no table
 * @session: owner, complete: packets see it from here on
 *
 * Context: jvpn_device.lock held.
 * Return: 0, -EEXIST or another negative errno.
 */
int jvpn_prefix_insert(struct jvpn_prefixes *p, struct jvpn_prefix *prefix,
		       struct jvpn_session *session)
{
	unsigned long *lengths;
	u32 *use = jvpn_prefix_use(p, &prefix->key, &lengths);
	int err;

	set_bit(prefix->key.len, lengths);
	prefix->session = session;
	err = rhashtable_lookup_insert_fast(&p->table, &prefix->node,
					    jvpn_prefix_params);
	if (!err) {
		++*use;
		return 0;
	}
	prefix->session = NULL;
	if (!*use)
		clear_bit(prefix->key.len, lengths);
	return err;
}

/**
 * jvpn_prefix_remove() - let packets find a prefix no more
 * @p: table
 * @prefix: may be out already; its memory is the session's
 *
 * Context: jvpn_device.lock held.
 */
void jvpn_prefix_remove(struct jvpn_prefixes *p, struct jvpn_prefix *prefix)
{
	unsigned long *lengths;
	u32 *use = jvpn_prefix_use(p, &prefix->key, &lengths);

	if (!prefix->session)
		return;
	rhashtable_remove_fast(&p->table, &prefix->node, jvpn_prefix_params);
	WRITE_ONCE(prefix->session, NULL);
	if (!--*use)
		clear_bit(prefix->key.len, lengths);
}

/* @addr is complete; masking only ever shortens it, so one key serves all lengths. */
static struct jvpn_session *jvpn_prefix_lookup(struct jvpn_prefixes *p,
					       struct jvpn_prefix_key *key,
					       const unsigned long *lengths,
					       unsigned int bits)
{
	struct jvpn_prefix *prefix;
	unsigned int len = bits + 1;

	for (;;) {
		/* find_last_bit() returns its size if there is none */
		bits = find_last_bit(lengths, len);
		if (bits >= len)
			return NULL;
		len = bits;
		jvpn_prefix_mask(key, len);
		prefix = rhashtable_lookup(&p->table, key, jvpn_prefix_params);
		if (prefix)
			return READ_ONCE(prefix->session);
	}
}

/**
 * jvpn_prefix_lookup4() - whose address is this?
 * @p: table
 * @addr: IPv4 address
 *
 * Context: under RCU.
 * Return: the session with the longest prefix that holds it, or NULL.
 */
struct jvpn_session *jvpn_prefix_lookup4(struct jvpn_prefixes *p, __be32 addr)
{
	struct jvpn_prefix_key key = { .family = AF_INET, .addr = { addr } };

	return jvpn_prefix_lookup(p, &key, p->lengths4, 32);
}

/**
 * jvpn_prefix_lookup6() - whose address is this?
 * @p: table
 * @addr: IPv6 address
 *
 * Context: under RCU.
 * Return: the session with the longest prefix that holds it, or NULL.
 */
struct jvpn_session *jvpn_prefix_lookup6(struct jvpn_prefixes *p,
					 const struct in6_addr *addr)
{
	struct jvpn_prefix_key key = { .family = AF_INET6 };

	memcpy(key.addr, addr, sizeof(key.addr));
	return jvpn_prefix_lookup(p, &key, p->lengths6, 128);
}

/**
 * jvpn_prefix_format() - write a prefix for people
 * @buf: where to
 * @size: room in @buf, 64 is enough
 * @key: prefix
 */
void jvpn_prefix_format(char *buf, size_t size, const struct jvpn_prefix_key *key)
{
	if (key->family == AF_INET)
		snprintf(buf, size, "%pI4/%u", key->addr, key->len);
	else
		snprintf(buf, size, "%pI6c/%u", key->addr, key->len);
}
