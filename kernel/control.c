// SPDX-License-Identifier: GPL-2.0
/*
 * The control filter. A datagram that is not DATA passes these steps, cheapest
 * first, before it may wake the daemon (PROTOCOL.md, "Validation order"):
 *
 *   shape -> role, daemon -> tag1 -> SWITCH: a live key -> cookie, else RETRY
 *   -> source prefix -> upcall rate -> the daemon's socket
 *
 * Until the daemon has it nothing is allocated but the RETRY itself and nothing
 * changes but counters and buckets. What is refused gets no answer, except RETRY,
 * which only a sender that knows the gateway's public key can provoke.
 */
#include <linux/atomic.h>
#include <linux/once.h>
#include <linux/random.h>
#include <linux/seqlock.h>
#include <linux/siphash.h>
#include <linux/slab.h>

#include "bucket.h"
#include "compat.h"
#include "control.h"
#include "datagram.h"
#include "device.h"
#include "endpoint.h"
#include "epoch.h"
#include "path.h"
#include "session.h"
#include "stats.h"
#include "xmit.h"

/* A cookie lives one to two slots. */
#define JVPN_COOKIE_SLOT_S 30
#define JVPN_COOKIE_RENEW_NS (600 * (u64)NSEC_PER_SEC)
#define JVPN_COOKIE_KEEP_NS (60 * (u64)NSEC_PER_SEC)

/* With init-retry auto, more INITs than this in a second need a cookie. */
#define JVPN_INIT_FREE 1000

/* Rates of the node: all devices share them, as they share its processors. */
static const struct jvpn_rate jvpn_rate_retry = JVPN_RATE(200000, 20000);
static const struct jvpn_rate jvpn_rate_upcall = JVPN_RATE(50000, 5000);
static const struct jvpn_rate jvpn_rate_switch = JVPN_RATE(200000, 20000);
static const struct jvpn_rate jvpn_rate_prefix = JVPN_RATE(100, 200);
static const struct jvpn_rate jvpn_rate_prefix_switch = JVPN_RATE(1000, 2000);

static atomic64_t jvpn_bucket_retry;
static atomic64_t jvpn_bucket_upcall;
static atomic64_t jvpn_bucket_switch;

/*
 * Buckets of source prefixes: a fixed table, one cache line a set. A prefix that
 * is not there replaces the one that is nearest to full and inherits what is left
 * in its bucket: collisions only make a limit stricter, and however many sources
 * are made up, the whole table lets through no more than its size times the rate.
 */
#define JVPN_PREFIX_WAYS 4
#define JVPN_PREFIX_SETS (65536 / JVPN_PREFIX_WAYS)

struct jvpn_prefix_bucket {
	atomic64_t name;	/* keyed hash of prefix and class */
	atomic64_t full;	/* see bucket.h */
};

static struct jvpn_prefix_bucket
jvpn_prefix_buckets[JVPN_PREFIX_SETS][JVPN_PREFIX_WAYS] ____cacheline_aligned;

/* The two halves of a cookie have a key each. */
struct jvpn_cookie_keys {
	siphash_key_t a, b;
};

/**
 * struct jvpn_tags - keys of tag1
 * @rcu: freed by it
 * @n: how many
 * @tag: the keys
 * @tag.kid: key id
 * @tag.key: the key
 */
struct jvpn_tags {
	struct rcu_head rcu;
	unsigned int n;
	struct {
		u8 kid;
		siphash_key_t key;
	} tag[];
};

/**
 * struct jvpn_control - the filter of a device
 * @tags: keys of tag1, NULL before the daemon named any: nothing verifies
 * @lock: for the cookie keys, which softirq renews as well
 * @keys: cookie keys in use
 * @before: those before them
 * @before_until_ns: when @before ends
 * @renew_ns: when @keys end
 * @inits: meter of INITs, see bucket.h
 * @busy_second: last second with too many of them
 * @responses: bucket of what a client hands up
 */
struct jvpn_control {
	struct jvpn_tags __rcu *tags;
	seqlock_t lock;
	struct jvpn_cookie_keys keys, before;
	u64 before_until_ns, renew_ns;
	atomic64_t inits;
	u32 busy_second;
	atomic64_t responses;
};

/* What a cookie proves to be able to receive at, and when. */
struct jvpn_cookie_input {
	u8 addr[16];
	__be16 port;
	__be16 zero;
	__le32 slot;
} __packed;

static void jvpn_cookie_input(struct jvpn_cookie_input *in,
			      const struct jvpn_endpoint *source)
{
	BUILD_BUG_ON(sizeof(*in) != 24);
	memset(in, 0, sizeof(*in));
	if (source->sa.sa_family == AF_INET6) {
		memcpy(in->addr, &source->in6.sin6_addr, 16);
		in->port = source->in6.sin6_port;
	} else {
		in->addr[10] = 0xff;
		in->addr[11] = 0xff;
		memcpy(in->addr + 12, &source->in.sin_addr, 4);
		in->port = source->in.sin_port;
	}
}

static void jvpn_cookie_hash(const struct jvpn_cookie_keys *keys,
			     struct jvpn_cookie_input *in, u32 slot,
			     __le64 cookie[2])
{
	in->slot = cpu_to_le32(slot);
	cookie[0] = cpu_to_le64(siphash(in, sizeof(*in), &keys->a));
	cookie[1] = cpu_to_le64(siphash(in, sizeof(*in), &keys->b));
}

static void jvpn_cookie_renew(struct jvpn_control *control, u64 now, bool keep)
{
	struct jvpn_cookie_keys fresh;

	get_random_bytes(&fresh, sizeof(fresh));
	write_seqlock_bh(&control->lock);
	/* Another CPU may have come first; its keys are as good. */
	if (!keep || now >= control->renew_ns) {
		control->before = control->keys;
		control->before_until_ns = keep ? now + JVPN_COOKIE_KEEP_NS : 0;
		control->keys = fresh;
		WRITE_ONCE(control->renew_ns, now + JVPN_COOKIE_RENEW_NS);
	}
	write_sequnlock_bh(&control->lock);
	memzero_explicit(&fresh, sizeof(fresh));
}

static u32 jvpn_cookie_slot(struct jvpn_control *control, u64 now)
{
	/* Renewed by use: keys that nobody uses need no timer. */
	if (unlikely(now >= READ_ONCE(control->renew_ns)))
		jvpn_cookie_renew(control, now, true);
	return (u32)div_u64(now, NSEC_PER_SEC) / JVPN_COOKIE_SLOT_S;
}

/**
 * jvpn_control_cookie() - make a cookie
 * @device: whose keys to use
 * @source: the address that it proves to be able to receive at
 * @cookie: set to it
 *
 * Context: any but hard interrupts.
 */
void jvpn_control_cookie(struct jvpn_device *device,
			 const struct jvpn_endpoint *source,
			 u8 cookie[JVPN_COOKIE_LEN])
{
	struct jvpn_control *control = device->control;
	u32 slot = jvpn_cookie_slot(control, jvpn_now());
	struct jvpn_cookie_input in;
	__le64 made[2];
	unsigned int seq;

	jvpn_cookie_input(&in, source);
	do {
		seq = read_seqbegin(&control->lock);
		jvpn_cookie_hash(&control->keys, &in, slot, made);
	} while (read_seqretry(&control->lock, seq));
	memcpy(cookie, made, sizeof(made));
}

static bool jvpn_cookie_matches(const struct jvpn_cookie_keys *keys,
				struct jvpn_cookie_input *in, u32 slot,
				const __le64 cookie[2])
{
	__le64 made[2];

	jvpn_cookie_hash(keys, in, slot, made);
	return !((__force u64)(made[0] ^ cookie[0]) |
		 (__force u64)(made[1] ^ cookie[1]));
}

static bool jvpn_cookie_valid(struct jvpn_control *control,
			      const struct jvpn_endpoint *source,
			      const u8 *bytes, u64 now)
{
	u32 slot = jvpn_cookie_slot(control, now);
	struct jvpn_cookie_input in;
	__le64 cookie[2];
	unsigned int seq;
	bool valid;

	memcpy(cookie, bytes, sizeof(cookie));
	/* All zero says "I have none", whatever the hash may yield. */
	if (!(cookie[0] | cookie[1]))
		return false;
	jvpn_cookie_input(&in, source);
	do {
		seq = read_seqbegin(&control->lock);
		valid = jvpn_cookie_matches(&control->keys, &in, slot, cookie) ||
			jvpn_cookie_matches(&control->keys, &in, slot - 1, cookie);
		if (!valid && now < control->before_until_ns)
			valid = jvpn_cookie_matches(&control->before, &in, slot,
						    cookie) ||
				jvpn_cookie_matches(&control->before, &in,
						    slot - 1, cookie);
	} while (read_seqretry(&control->lock, seq));
	return valid;
}

static bool jvpn_take(atomic64_t *full, const struct jvpn_rate *rate, u64 now)
{
	s64 old = atomic64_read(full);
	u64 new;

	do {
		new = jvpn_bucket_take(old, rate, now);
		if (!new)
			return false;
	} while (!atomic64_try_cmpxchg(full, &old, new));
	return true;
}

/*
 * Two CPUs may take the same way for two prefixes, or one may take it while the
 * other draws from it: both then draw from one bucket, which is only stricter.
 */
static atomic64_t *jvpn_prefix_bucket(u64 name)
{
	struct jvpn_prefix_bucket *set = jvpn_prefix_buckets[name % JVPN_PREFIX_SETS];
	struct jvpn_prefix_bucket *oldest = set;
	unsigned int i;

	for (i = 0; i < JVPN_PREFIX_WAYS; i++) {
		if (atomic64_read(&set[i].name) == (s64)name)
			return &set[i].full;
		if (atomic64_read(&set[i].full) < atomic64_read(&oldest->full))
			oldest = &set[i];
	}
	atomic64_set(&oldest->name, name);
	return &oldest->full;
}

static bool jvpn_prefix_take(const struct jvpn_endpoint *source, bool is_switch,
			     u64 now)
{
	static siphash_key_t key __read_mostly;
	u64 prefix;

	get_random_once(&key, sizeof(key));
	if (source->sa.sa_family == AF_INET6)	/* a /56 */
		prefix = be64_to_cpup((__be64 *)&source->in6.sin6_addr) >> 8;
	else					/* a /24 */
		prefix = ntohl(source->in.sin_addr.s_addr) >> 8;
	return jvpn_take(jvpn_prefix_bucket(siphash_3u64(prefix, is_switch,
							 source->sa.sa_family,
							 &key)),
			 is_switch ? &jvpn_rate_prefix_switch : &jvpn_rate_prefix,
			 now);
}

static enum jvpn_control_verdict jvpn_refuse_datagram(struct jvpn_device *device,
						      enum jvpn_drop_reason why)
{
	jvpn_drop(device, NULL, why);
	return JVPN_CONTROL_DROP;
}

static enum jvpn_control_verdict jvpn_deliver(struct jvpn_device *device)
{
	jvpn_count(device, JVPN_COUNT_UPCALLS);
	return JVPN_CONTROL_DELIVER;
}

/*
 * Answer with a cookie, or refuse for the reason given. 32 bytes, less than any
 * request. The source is not proven: the global rate bounds what a third party
 * can be made to receive.
 */
static enum jvpn_control_verdict
jvpn_retry(struct jvpn_path *path, const struct jvpn_endpoint *source,
	   const u8 *req_id, u64 now, enum jvpn_drop_reason otherwise)
{
	struct jvpn_retry retry = {
		.type = JVPN_T_RETRY,
		.version = JVPN_WIRE_VERSION,
	};

	if (!jvpn_device_holds(path->device))
		return jvpn_refuse_datagram(path->device, JVPN_DROP_RX_LEASE_EXPIRED);
	if (!jvpn_take(&jvpn_bucket_retry, &jvpn_rate_retry, now))
		return jvpn_refuse_datagram(path->device, otherwise);
	memcpy(retry.req_id, req_id, sizeof(retry.req_id));
	jvpn_control_cookie(path->device, source, retry.cookie);
	if (jvpn_xmit_raw(path, source, &retry, sizeof(retry)))
		return jvpn_refuse_datagram(path->device, otherwise);
	jvpn_count(path->device, JVPN_COUNT_RETRIES);
	return JVPN_CONTROL_DROP;
}

static bool jvpn_tag_valid(struct jvpn_control *control,
			   const struct jvpn_shape *shape, const u8 *data)
{
	const struct jvpn_tags *tags = rcu_dereference(control->tags);
	u64 tag = get_unaligned_le64(data + shape->tag);
	unsigned int i;

	for (i = 0; tags && i < tags->n; i++)
		if (tags->tag[i].kid == data[shape->kid])
			return siphash(data, shape->tag, &tags->tag[i].key) == tag;
	return false;
}

/* A SWITCH keeps the keys, so it must name some, and of this owner's term. */
static bool jvpn_names_live_key(struct jvpn_device *device, const u8 *cid)
{
	const struct jvpn_epoch *epoch = jvpn_epoch_lookup(device, cid);

	return epoch && epoch->term == READ_ONCE(device->term) &&
	       !READ_ONCE(epoch->session->dead) &&
	       READ_ONCE(epoch->session->state) != JVPN_STATE_TERMINATED;
}

/* Every INIT counts, so that a flood cannot buy itself a free second. */
static bool jvpn_needs_cookie(struct jvpn_device *device,
			      const struct jvpn_shape *shape, u64 now)
{
	struct jvpn_control *control = device->control;
	u32 second = div_u64(now, NSEC_PER_SEC);
	s64 old;
	u64 new;

	if (shape->request != JVPN_REQ_INIT)
		return true;
	old = atomic64_read(&control->inits);
	do {
		new = jvpn_meter_add(old, second);
	} while (!atomic64_try_cmpxchg(&control->inits, &old, new));
	if ((u32)new > JVPN_INIT_FREE)
		WRITE_ONCE(control->busy_second, second);
	return READ_ONCE(device->init_retry) == JVPN_INIT_RETRY_ALWAYS ||
	       second - READ_ONCE(control->busy_second) <= 1;
}

static enum jvpn_control_verdict
jvpn_request(struct jvpn_path *path, const struct jvpn_shape *shape,
	     const u8 *data, const struct jvpn_endpoint *source)
{
	struct jvpn_device *device = path->device;
	bool is_switch = shape->request == JVPN_REQ_SWITCH;
	const u8 *req_id = data + shape->req_id;
	u64 now = jvpn_now();

	if (!jvpn_tag_valid(device->control, shape, data))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_TAG);
	if (is_switch && !jvpn_names_live_key(device, data + shape->cid))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_EPOCH);
	if (jvpn_needs_cookie(device, shape, now) &&
	    !jvpn_cookie_valid(device->control, source, data + shape->cookie, now))
		return jvpn_retry(path, source, req_id, now, JVPN_DROP_CTL_COOKIE);
	if (!jvpn_prefix_take(source, is_switch, now))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_PREFIX_RATE);
	/* A busy gateway asks for another SWITCH: silence would cost it a DH. */
	if (is_switch && !jvpn_take(&jvpn_bucket_switch, &jvpn_rate_switch, now))
		return jvpn_retry(path, source, req_id, now,
				  JVPN_DROP_CTL_UPCALL_RATE);
	if (!is_switch && !jvpn_take(&jvpn_bucket_upcall, &jvpn_rate_upcall, now))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_UPCALL_RATE);
	return jvpn_deliver(device);
}

/* Who answers cannot be told from the outside: the daemon has the req_id. */
static enum jvpn_control_verdict jvpn_response(struct jvpn_device *device)
{
	if (!jvpn_take(&device->control->responses, &jvpn_rate_upcall, jvpn_now()))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_UPCALL_RATE);
	return jvpn_deliver(device);
}

static enum jvpn_drop_reason jvpn_shape_drop(enum jvpn_shape_error error)
{
	switch (error) {
	case JVPN_SHAPE_TYPE:
		return JVPN_DROP_RX_UNKNOWN_TYPE;
	case JVPN_SHAPE_VERSION:
		return JVPN_DROP_CTL_VERSION;
	default:
		return JVPN_DROP_RX_MALFORMED;
	}
}

/**
 * jvpn_control_rcv() - filter a datagram that is not DATA
 * @path: where it came in
 * @skb: one datagram, as encap_rcv gets it; its head may be reallocated
 *
 * Context: softirq, RCU read side.
 * Return: what to do with it; a drop is counted.
 */
enum jvpn_control_verdict jvpn_control_rcv(struct jvpn_path *path,
					   struct sk_buff *skb)
{
	unsigned int offset = skb_transport_offset(skb) + sizeof(struct udphdr);
	struct jvpn_device *device = path->device;
	u8 role = READ_ONCE(device->role);
	const struct jvpn_shape *shape;
	struct jvpn_endpoint source;
	enum jvpn_shape_error error;
	size_t len;

	if (skb->len < offset)
		return jvpn_refuse_datagram(device, JVPN_DROP_RX_MALFORMED);
	len = skb->len - offset;
	/* No control datagram is longer than an INIT: the check reads no further. */
	if (!pskb_may_pull(skb, offset + min(len, sizeof(struct jvpn_init))))
		return jvpn_refuse_datagram(device, JVPN_DROP_RX_NOMEM);

	error = jvpn_datagram_check(skb->data + offset, len, &shape);
	if (error)
		return jvpn_refuse_datagram(device, jvpn_shape_drop(error));
	if (role == JVPN_ROLE_NONE || !jvpn_device_has_daemon(device))
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_NO_DAEMON);
	if (role == JVPN_ROLE_CLIENT && shape->receiver == JVPN_FOR_CLIENT)
		return jvpn_response(device);
	if (role != JVPN_ROLE_GATEWAY || shape->receiver != JVPN_FOR_GATEWAY)
		return jvpn_refuse_datagram(device, JVPN_DROP_CTL_ROLE);
	jvpn_endpoint_source(&source, skb);
	return jvpn_request(path, shape, skb->data + offset, &source);
}

static int jvpn_control_set_tags(struct jvpn_device *device,
				 const struct jvpn_control_config *c,
				 struct jvpn_verdict *v)
{
	struct jvpn_control *control = device->control;
	struct jvpn_tags *tags;
	unsigned int i, j;

	for (i = 0; i < c->n_keys; i++)
		for (j = 0; j < i; j++)
			if (c->keys[i].kid == c->keys[j].kid)
				return jvpn_refuse(v, -EINVAL,
						   "tag key id %u is named twice",
						   c->keys[i].kid);
	tags = kzalloc(struct_size(tags, tag, c->n_keys), GFP_KERNEL);
	if (!tags)
		return jvpn_refuse(v, -ENOMEM, "no memory for %u tag keys",
				   c->n_keys);
	tags->n = c->n_keys;
	for (i = 0; i < c->n_keys; i++) {
		tags->tag[i].kid = c->keys[i].kid;
		tags->tag[i].key.key[0] = get_unaligned_le64(c->keys[i].key);
		tags->tag[i].key.key[1] = get_unaligned_le64(c->keys[i].key + 8);
	}
	tags = rcu_replace_pointer(control->tags, tags,
				   lockdep_is_held(&device->lock));
	kfree_rcu(tags, rcu);
	return 0;
}

/**
 * jvpn_control_configure() - a daemon registered, or says more
 * @device: the device
 * @c: what it said
 * @v: filled in on refusal
 *
 * Of a new owner cookie keys are renewed without keeping the old ones: it knows
 * nothing of the requests that the old cookies were good for.
 *
 * Context: process, device->lock held.
 * Return: 0, or a negative errno with nothing changed.
 */
int jvpn_control_configure(struct jvpn_device *device,
			   const struct jvpn_control_config *c,
			   struct jvpn_verdict *v)
{
	int err = 0;

	lockdep_assert_held(&device->lock);
	if (c->has_keys)
		err = jvpn_control_set_tags(device, c, v);
	if (!err && c->fresh)
		jvpn_cookie_renew(device->control, jvpn_now(), false);
	return err;
}

/**
 * jvpn_control_init() - give a device its filter
 * @device: a new device
 *
 * It lets nothing through before jvpn_control_configure().
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int jvpn_control_init(struct jvpn_device *device)
{
	struct jvpn_control *control = kzalloc(sizeof(*control), GFP_KERNEL);

	BUILD_BUG_ON(sizeof(jvpn_prefix_buckets) != 65536 * 16);
	if (!control)
		return -ENOMEM;
	seqlock_init(&control->lock);
	/* The second before the first is not a busy one. */
	control->busy_second = div_u64(jvpn_now(), NSEC_PER_SEC) - 2;
	device->control = control;
	jvpn_cookie_renew(control, jvpn_now(), false);
	return 0;
}

/**
 * jvpn_control_exit() - end the filter of a device
 * @device: a device that receives nothing any more, a grace period ago
 *
 * Context: process.
 */
void jvpn_control_exit(struct jvpn_device *device)
{
	if (!device->control)
		return;
	kfree(rcu_dereference_protected(device->control->tags, true));
	kfree_sensitive(device->control);
	device->control = NULL;
}
