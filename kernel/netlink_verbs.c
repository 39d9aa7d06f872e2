// SPDX-License-Identifier: GPL-2.0
/*
 * What the verbs of the netlink family do to one object: read the attributes, refuse
 * what makes no sense with a sentence that names it, and call the noun's own file.
 *
 * Everything here runs with jvpn_device.lock held.
 */

#include <linux/inet.h>
#include <linux/random.h>

#include "../uapi/linux/jvpn.h"
#include "binding.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "netlink_fill.h"
#include "netlink_gen.h"
#include "netlink_verbs.h"
#include "path.h"
#include "prefix.h"
#include "probe.h"
#include "session.h"
#include "xmit.h"

/* What a session does until it is told otherwise (PROTOCOL.md, "Default figures"). */
static const struct jvpn_figures jvpn_figures_default = {
	.probe_interval_ms = 40,
	.probe_misses = 2,
	.probe_rto_min_ms = 20,
	.standby_interval_ms = 20000,
	.keepalive_ms = 25000,
	.dead_idle_ms = 80000,
	.dead_busy_ms = 10000,
};

static u8 jvpn_get_u8(struct nlattr **tb, int attr, u8 otherwise)
{
	return tb[attr] ? nla_get_u8(tb[attr]) : otherwise;
}

static u32 jvpn_get_u32(struct nlattr **tb, int attr, u32 otherwise)
{
	return tb[attr] ? nla_get_u32(tb[attr]) : otherwise;
}

static u64 jvpn_get_u64(struct nlattr **tb, int attr, u64 otherwise)
{
	return tb[attr] ? nla_get_u64(tb[attr]) : otherwise;
}

/* Longer than anything lasts, and far from an overflow. */
#define JVPN_DURATION_MAX_MS BIT_ULL(40)

/* ms as ns, 0 if it was left out. */
static int jvpn_get_duration(struct nlattr **tb, int attr, const char *name, u64 *ns,
			     struct jvpn_verdict *v)
{
	u64 ms = jvpn_get_u64(tb, attr, 0);

	if (ms > JVPN_DURATION_MAX_MS)
		return jvpn_refuse(v, -ERANGE, "%s %llu is above %llu", name, ms,
				   JVPN_DURATION_MAX_MS);
	*ns = ms * NSEC_PER_MSEC;
	return 0;
}

/**
 * struct jvpn_need - an attribute that must be there
 * @attr: its number
 * @name: what people call it
 */
struct jvpn_need {
	int attr;
	const char *name;
};

static int jvpn_need_all(struct nlattr **tb, const struct jvpn_need *need, size_t n,
			 struct jvpn_verdict *v)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!tb[need[i].attr])
			return jvpn_refuse(v, -EINVAL, "%s is missing", need[i].name);
	return 0;
}

/* The session that @sid names; its versions go into the answer. */
static struct jvpn_session *jvpn_session_of(struct jvpn_device *device,
					    const struct nlattr *sid,
					    struct jvpn_verdict *v)
{
	struct jvpn_session *session;

	if (!sid) {
		jvpn_refuse(v, -EINVAL, "sid is missing");
		return NULL;
	}
	session = jvpn_session_lookup(device, nla_data(sid));
	if (!session) {
		jvpn_refuse(v, -ENOENT, "no session %*phN", JVPN_SID_LEN, nla_data(sid));
		return NULL;
	}
	jvpn_session_verdict(session, v);
	return session;
}

static int jvpn_parse_remote(const struct nlattr *attr, struct jvpn_endpoint *e,
			     struct jvpn_verdict *v)
{
	memset(e, 0, sizeof(*e));
	if (nla_len(attr) < sizeof(e->in))
		return jvpn_refuse(v, -EINVAL, "remote of %d bytes is no address", nla_len(attr));
	nla_memcpy(&e->in, attr, sizeof(e->in));
	memset(e->in.sin_zero, 0, sizeof(e->in.sin_zero));
	if (e->sa.sa_family != AF_INET)
		return jvpn_refuse(v, -EAFNOSUPPORT,
				   "remote of address family %u, only %u (IPv4) is possible",
				   e->sa.sa_family, AF_INET);
	if (!e->in.sin_port)
		return jvpn_refuse(v, -EINVAL, "remote %pISpc has no port", &e->sa);
	if (ipv4_is_zeronet(e->in.sin_addr.s_addr) ||
	    ipv4_is_multicast(e->in.sin_addr.s_addr) ||
	    ipv4_is_lbcast(e->in.sin_addr.s_addr))
		return jvpn_refuse(v, -EINVAL, "remote %pISpc is not one host", &e->sa);
	return 0;
}

/* --- device --- */

static int jvpn_parse_tag_key(const struct nlattr *attr, struct jvpn_control_config *c,
			      struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_KEY_A_MAX + 1];
	struct jvpn_tag_key *key;

	if (nla_parse_nested(tb, JVPN_KEY_A_MAX, attr, jvpn_key_nl_policy, NULL) ||
	    !tb[JVPN_KEY_A_KID] || !tb[JVPN_KEY_A_TAG_KEY])
		return jvpn_refuse(v, -EINVAL, "a key needs kid and tag-key");
	if (c->n_keys == JVPN_MAX_TAG_KEYS)
		return jvpn_refuse(v, -E2BIG, "more than %u keys", JVPN_MAX_TAG_KEYS);
	key = &c->keys[c->n_keys++];
	key->kid = nla_get_u8(tb[JVPN_KEY_A_KID]);
	memcpy(key->key, nla_data(tb[JVPN_KEY_A_TAG_KEY]), sizeof(key->key));
	return 0;
}

static int jvpn_parse_lease(struct nlattr **tb, const struct jvpn_device *device,
			    struct jvpn_device_config *c, struct jvpn_verdict *v)
{
	u64 ns;

	c->lease_ns = device->lease_ns;
	if (!tb[JVPN_DEV_A_LEASE_MS])
		return 0;
	if (jvpn_get_duration(tb, JVPN_DEV_A_LEASE_MS, "lease-ms", &ns, v))
		return v->error;
	c->lease_ns = ns ? jvpn_now() + ns : JVPN_NEVER;
	return 0;
}

/**
 * jvpn_nl_parse_device() - read dev-set
 * @attr: the device of the request
 * @device: for what the request leaves out
 * @c: filled in; holds keys
 * @v: the sentence, if it is refused
 *
 * Return: 0 or a negative errno.
 */
int jvpn_nl_parse_device(const struct nlattr *attr, const struct jvpn_device *device,
			 struct jvpn_device_config *c, struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_DEV_A_MAX + 1];
	const struct nlattr *key;
	int rest;

	memset(c, 0, sizeof(*c));
	if (nla_parse_nested(tb, JVPN_DEV_A_MAX, attr, jvpn_device_nl_policy, NULL))
		return jvpn_refuse(v, -EINVAL, "malformed device");
	c->role = jvpn_get_u8(tb, JVPN_DEV_A_ROLE, device->role);
	c->term = jvpn_get_u64(tb, JVPN_DEV_A_TERM, device->term);
	c->init_retry = jvpn_get_u8(tb, JVPN_DEV_A_INIT_RETRY, device->init_retry);
	c->daemon_grace_ms = jvpn_get_u32(tb, JVPN_DEV_A_DAEMON_GRACE_MS,
					  device->daemon_grace_ms);
	if (jvpn_parse_lease(tb, device, c, v))
		return v->error;
	/* The term fences sessions; without any it protects nothing. */
	if (c->term < device->term && device->n_sessions)
		return jvpn_refuse(v, -ESTALE, "term %llu is below the device's, %llu",
				   c->term, device->term);
	nla_for_each_nested(key, attr, rest) {
		if (nla_type(key) != JVPN_DEV_A_KEY)
			continue;
		c->control.has_keys = true;
		if (jvpn_parse_tag_key(key, &c->control, v))
			return v->error;
	}
	return 0;
}

/* --- paths --- */

static int jvpn_verb_path_set(struct jvpn_nl_batch *batch, const struct nlattr *object,
			      struct nlattr **tb, struct jvpn_verdict *v)
{
	static const struct jvpn_need need[] = {
		{ JVPN_PATH_A_ID, "id" },
		{ JVPN_PATH_A_FD, "fd" },
	};
	struct jvpn_path_config c;

	if (jvpn_need_all(tb, need, ARRAY_SIZE(need), v))
		return v->error;
	c.id = nla_get_u8(tb[JVPN_PATH_A_ID]);
	c.fd = nla_get_u32(tb[JVPN_PATH_A_FD]);
	c.oif = jvpn_get_u32(tb, JVPN_PATH_A_OIF, 0);
	c.mark = jvpn_get_u32(tb, JVPN_PATH_A_MARK, 0);
	return jvpn_path_set(batch->device, &c, &batch->paths, v);
}

static int jvpn_verb_path_del(struct jvpn_nl_batch *batch, const struct nlattr *object,
			      struct nlattr **tb, struct jvpn_verdict *v)
{
	if (!tb[JVPN_PATH_A_ID])
		return jvpn_refuse(v, -EINVAL, "id is missing");
	return jvpn_path_del(batch->device, nla_get_u8(tb[JVPN_PATH_A_ID]), &batch->paths, v);
}

/**
 * jvpn_nl_find_path() - the path that a request names
 * @device: where
 * @attr: the path of the request, or NULL
 * @v: the sentence, if there is none
 *
 * Return: the path or NULL.
 */
struct jvpn_path *jvpn_nl_find_path(struct jvpn_device *device, const struct nlattr *attr,
				    struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_PATH_A_MAX + 1];
	struct jvpn_path *path;
	u8 id;

	if (!attr || nla_parse_nested(tb, JVPN_PATH_A_MAX, attr, jvpn_path_nl_policy, NULL) ||
	    !tb[JVPN_PATH_A_ID]) {
		jvpn_refuse(v, -EINVAL, "the id of the path is missing");
		return NULL;
	}
	id = nla_get_u8(tb[JVPN_PATH_A_ID]);
	path = rcu_dereference_protected(device->paths[id], lockdep_is_held(&device->lock));
	if (!path)
		jvpn_refuse(v, -ENOENT, "no path %u", id);
	return path;
}

/* --- sessions --- */

/* Limits that do not fit a policy of every kernel. */
static int jvpn_check_figures(struct nlattr **tb, struct jvpn_verdict *v)
{
	static const struct {
		int attr;
		const char *name;
		u32 max;
	} limit[] = {
		{ JVPN_SESSION_A_PROBE_INTERVAL_MS, "probe-interval-ms", 60000 },
		{ JVPN_SESSION_A_STANDBY_INTERVAL_MS, "standby-interval-ms", 600000 },
		{ JVPN_SESSION_A_KEEPALIVE_MS, "keepalive-ms", 600000 },
		{ JVPN_SESSION_A_DEAD_IDLE_MS, "dead-idle-ms", 86400000 },
		{ JVPN_SESSION_A_DEAD_BUSY_MS, "dead-busy-ms", 86400000 },
	};
	unsigned int i;
	u64 ns;

	for (i = 0; i < ARRAY_SIZE(limit); i++)
		if (jvpn_get_u32(tb, limit[i].attr, 0) > limit[i].max)
			return jvpn_refuse(v, -ERANGE, "%s %u is above %u", limit[i].name,
					   nla_get_u32(tb[limit[i].attr]), limit[i].max);
	return jvpn_get_duration(tb, JVPN_SESSION_A_DEADLINE_MS, "deadline-ms", &ns, v);
}

static void jvpn_parse_figures(struct nlattr **tb, struct jvpn_figures *f)
{
	WRITE_ONCE(f->probe_interval_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_PROBE_INTERVAL_MS, f->probe_interval_ms));
	WRITE_ONCE(f->probe_misses,
		   jvpn_get_u8(tb, JVPN_SESSION_A_PROBE_MISSES, f->probe_misses));
	WRITE_ONCE(f->probe_rto_min_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_PROBE_RTO_MIN_MS, f->probe_rto_min_ms));
	WRITE_ONCE(f->standby_interval_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_STANDBY_INTERVAL_MS,
				f->standby_interval_ms));
	WRITE_ONCE(f->keepalive_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_KEEPALIVE_MS, f->keepalive_ms));
	WRITE_ONCE(f->dead_idle_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_DEAD_IDLE_MS, f->dead_idle_ms));
	WRITE_ONCE(f->dead_busy_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_DEAD_BUSY_MS, f->dead_busy_ms));
	WRITE_ONCE(f->lost_ttl_ms,
		   jvpn_get_u32(tb, JVPN_SESSION_A_LOST_TTL_MS, f->lost_ttl_ms));
	WRITE_ONCE(f->strict_source,
		   jvpn_get_u8(tb, JVPN_SESSION_A_STRICT_SOURCE, f->strict_source));
	if (tb[JVPN_SESSION_A_DEADLINE_MS])
		WRITE_ONCE(f->deadline_ns, jvpn_now() + NSEC_PER_MSEC *
			   nla_get_u64(tb[JVPN_SESSION_A_DEADLINE_MS]));
}

static bool jvpn_has_figures(struct nlattr **tb)
{
	return tb[JVPN_SESSION_A_PROBE_INTERVAL_MS] || tb[JVPN_SESSION_A_PROBE_MISSES] ||
	       tb[JVPN_SESSION_A_PROBE_RTO_MIN_MS] ||
	       tb[JVPN_SESSION_A_STANDBY_INTERVAL_MS] || tb[JVPN_SESSION_A_KEEPALIVE_MS] ||
	       tb[JVPN_SESSION_A_DEAD_IDLE_MS] || tb[JVPN_SESSION_A_DEAD_BUSY_MS] ||
	       tb[JVPN_SESSION_A_DEADLINE_MS] || tb[JVPN_SESSION_A_LOST_TTL_MS] ||
	       tb[JVPN_SESSION_A_STRICT_SOURCE];
}

static int jvpn_parse_prefix(const struct nlattr *attr, struct jvpn_prefix_list *list,
			     struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_PREFIX_A_MAX + 1];
	struct jvpn_prefix *prefix;
	unsigned int size, len;

	if (nla_parse_nested(tb, JVPN_PREFIX_A_MAX, attr, jvpn_prefix_nl_policy, NULL) ||
	    !tb[JVPN_PREFIX_A_ADDR] || !tb[JVPN_PREFIX_A_LEN])
		return jvpn_refuse(v, -EINVAL, "a prefix needs addr and len");
	size = nla_len(tb[JVPN_PREFIX_A_ADDR]);
	len = nla_get_u8(tb[JVPN_PREFIX_A_LEN]);
	if (size != 4 && size != 16)
		return jvpn_refuse(v, -EINVAL, "prefix address of %u bytes, not 4 or 16", size);
	if (len > size * 8)
		return jvpn_refuse(v, -EINVAL, "prefix length %u is above %u", len, size * 8);
	if (list->n == JVPN_MAX_PREFIXES)
		return jvpn_refuse(v, -E2BIG, "more than %u prefixes", JVPN_MAX_PREFIXES);
	prefix = jvpn_prefix_alloc(size == 4 ? AF_INET : AF_INET6,
				   nla_data(tb[JVPN_PREFIX_A_ADDR]), len);
	if (!prefix)
		return jvpn_refuse(v, -ENOMEM, "out of memory for a prefix");
	list->prefix[list->n++] = prefix;
	return 0;
}

static void jvpn_free_prefixes(struct jvpn_prefix_list *list)
{
	while (list->n)
		kfree(list->prefix[--list->n]);
}

/* On failure @list is empty. */
static int jvpn_parse_prefixes(const struct nlattr *object, struct jvpn_prefix_list *list,
			       struct jvpn_verdict *v)
{
	const struct nlattr *attr;
	int rest;

	list->n = 0;
	nla_for_each_nested(attr, object, rest) {
		if (nla_type(attr) == JVPN_SESSION_A_PREFIX &&
		    jvpn_parse_prefix(attr, list, v)) {
			jvpn_free_prefixes(list);
			return v->error;
		}
	}
	return 0;
}

static int jvpn_verb_session_new(struct jvpn_nl_batch *batch, const struct nlattr *object,
				 struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_session_config c = { .figures = jvpn_figures_default };
	struct jvpn_session *session;
	char label[JVPN_LABEL_LEN + 1];

	if (!tb[JVPN_SESSION_A_SID])
		return jvpn_refuse(v, -EINVAL, "sid is missing");
	c.sid = nla_data(tb[JVPN_SESSION_A_SID]);
	c.role = jvpn_get_u8(tb, JVPN_SESSION_A_ROLE, batch->device->role);
	c.state = jvpn_get_u8(tb, JVPN_SESSION_A_STATE, JVPN_STATE_BIRTH);
	c.state_version = jvpn_get_u64(tb, JVPN_SESSION_A_STATE_VERSION, 0);
	c.term = jvpn_get_u64(tb, JVPN_SESSION_A_TERM, 0);
	c.bver = jvpn_get_u64(tb, JVPN_SESSION_A_BVER, 0);
	c.bver_seen = jvpn_get_u64(tb, JVPN_SESSION_A_BVER_SEEN, 0);
	if (c.bver_seen > c.bver)
		return jvpn_refuse(v, -EINVAL, "bver-seen %llu is above bver %llu",
				   c.bver_seen, c.bver);
	if (tb[JVPN_SESSION_A_LABEL]) {
		nla_strscpy(label, tb[JVPN_SESSION_A_LABEL], sizeof(label));
		c.label = label;
	}
	if (jvpn_check_figures(tb, v) || jvpn_parse_prefixes(object, &c.prefixes, v))
		return v->error;
	jvpn_parse_figures(tb, &c.figures);

	session = jvpn_session_new(batch->device, &c, v);
	jvpn_free_prefixes(&c.prefixes);
	if (!session)
		return v->error;
	jvpn_session_verdict(session, v);
	jvpn_netlink_session_changed(session, NULL);
	return 0;
}

static int jvpn_session_set_check(struct jvpn_session *session, struct nlattr **tb,
				  struct jvpn_transition *t, struct jvpn_verdict *v)
{
	int err;

	if (!tb[JVPN_SESSION_A_STATE] && !tb[JVPN_SESSION_A_PREFIX] && !jvpn_has_figures(tb))
		return jvpn_refuse(v, -EINVAL, "neither state nor prefix nor figure to set");
	if (jvpn_check_figures(tb, v))
		return v->error;
	if (!tb[JVPN_SESSION_A_STATE])
		return 0;
	if (!tb[JVPN_SESSION_A_STATE_VERSION])
		return jvpn_refuse(v, -EINVAL, "state-version is missing");
	t->state = nla_get_u8(tb[JVPN_SESSION_A_STATE]);
	t->version = nla_get_u64(tb[JVPN_SESSION_A_STATE_VERSION]);
	t->reason = jvpn_get_u8(tb, JVPN_SESSION_A_REASON, 0);
	t->detail = jvpn_get_u8(tb, JVPN_SESSION_A_DETAIL, 0);
	spin_lock_bh(&session->lock);
	err = jvpn_session_check_transition(session, t, v);
	spin_unlock_bh(&session->lock);
	return err;
}

static int jvpn_session_set_prefixes(struct jvpn_session *session,
				     const struct nlattr *object, struct jvpn_verdict *v)
{
	struct jvpn_prefix_list list;

	if (jvpn_parse_prefixes(object, &list, v))
		return v->error;
	jvpn_session_give(session, &list, v);
	jvpn_free_prefixes(&list);
	return v->error;
}

/* Whatever can fail is done first; state changes only under the lock we hold. */
static int jvpn_verb_session_set(struct jvpn_nl_batch *batch, const struct nlattr *object,
				 struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_transition t = { };
	struct jvpn_session *session;

	session = jvpn_session_of(batch->device, tb[JVPN_SESSION_A_SID], v);
	if (!session || jvpn_session_set_check(session, tb, &t, v))
		return v->error;
	if (tb[JVPN_SESSION_A_PREFIX] && jvpn_session_set_prefixes(session, object, v))
		return v->error;
	if (jvpn_has_figures(tb)) {
		jvpn_parse_figures(tb, &session->figures);
		jvpn_probe_changed(session);
	}
	if (t.state)
		jvpn_session_transition(session, &t, v);
	jvpn_session_verdict(session, v);
	jvpn_netlink_session_changed(session, NULL);
	return v->error;
}

static int jvpn_verb_session_del(struct jvpn_nl_batch *batch, const struct nlattr *object,
				 struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_session *session;

	session = jvpn_session_of(batch->device, tb[JVPN_SESSION_A_SID], v);
	if (!session)
		return v->error;
	jvpn_session_unlink(session, &batch->sessions);
	return 0;
}

/**
 * jvpn_nl_find_session() - the session that a request names
 * @device: where
 * @attr: the session of the request, or NULL
 * @v: the sentence, if there is none
 *
 * Return: the session or NULL.
 */
struct jvpn_session *jvpn_nl_find_session(struct jvpn_device *device,
					  const struct nlattr *attr,
					  struct jvpn_verdict *v)
{
	struct nlattr *tb[JVPN_SESSION_A_MAX + 1];

	if (!attr ||
	    nla_parse_nested(tb, JVPN_SESSION_A_MAX, attr, jvpn_session_nl_policy, NULL)) {
		jvpn_refuse(v, -EINVAL, "no session in the request");
		return NULL;
	}
	return jvpn_session_of(device, tb[JVPN_SESSION_A_SID], v);
}

/* --- epochs --- */

static int jvpn_epoch_from(struct jvpn_session *session, struct nlattr **tb,
			   struct jvpn_verdict *v)
{
	static const struct jvpn_need need[] = {
		{ JVPN_EPOCH_A_RX_CID, "rx-cid" },
		{ JVPN_EPOCH_A_TX_CID, "tx-cid" },
		{ JVPN_EPOCH_A_RX_KEY, "rx-key" },
		{ JVPN_EPOCH_A_TX_KEY, "tx-key" },
	};
	struct jvpn_epoch_config c;

	if (jvpn_need_all(tb, need, ARRAY_SIZE(need), v))
		return v->error;
	c.rx_cid = nla_data(tb[JVPN_EPOCH_A_RX_CID]);
	c.tx_cid = nla_data(tb[JVPN_EPOCH_A_TX_CID]);
	c.rx_key = nla_data(tb[JVPN_EPOCH_A_RX_KEY]);
	c.tx_key = nla_data(tb[JVPN_EPOCH_A_TX_KEY]);
	c.aead = jvpn_get_u8(tb, JVPN_EPOCH_A_AEAD, JVPN_AEAD_CHACHA20_POLY1305);
	c.term = jvpn_get_u64(tb, JVPN_EPOCH_A_TERM, 0);
	c.bver = jvpn_get_u64(tb, JVPN_EPOCH_A_BVER, 0);
	c.tx_counter = jvpn_get_u64(tb, JVPN_EPOCH_A_TX_COUNTER, 0);
	if (jvpn_get_duration(tb, JVPN_EPOCH_A_LIFETIME_MS, "lifetime-ms", &c.lifetime_ns, v))
		return v->error;
	c.transmit = jvpn_get_u8(tb, JVPN_EPOCH_A_TRANSMIT, 0);
	return jvpn_epoch_new(session, &c, v);
}

static int jvpn_verb_epoch_new(struct jvpn_nl_batch *batch, const struct nlattr *object,
			       struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_session *session;

	session = jvpn_session_of(batch->device, tb[JVPN_EPOCH_A_SID], v);
	if (session)
		jvpn_epoch_from(session, tb, v);
	return v->error;
}

/* The request is quoted in an error, and its memory is given back as it is. */
static void jvpn_wipe_keys(struct genl_info *info)
{
	struct nlattr *object, *attr;
	int rest, inner;

	nlmsg_for_each_attr(object, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(object) != JVPN_A_EPOCH)
			continue;
		nla_for_each_nested(attr, object, inner)
			if (nla_type(attr) == JVPN_EPOCH_A_RX_KEY ||
			    nla_type(attr) == JVPN_EPOCH_A_TX_KEY)
				memzero_explicit(nla_data(attr), nla_len(attr));
	}
}

static int jvpn_verb_epoch_del(struct jvpn_nl_batch *batch, const struct nlattr *object,
			       struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_epoch *epoch;
	const u8 *cid;

	if (!tb[JVPN_EPOCH_A_RX_CID])
		return jvpn_refuse(v, -EINVAL, "rx-cid is missing");
	cid = nla_data(tb[JVPN_EPOCH_A_RX_CID]);
	epoch = jvpn_epoch_lookup(batch->device, cid);
	if (!epoch)
		return jvpn_refuse(v, -ENOENT, "no epoch with receiver id %*phN",
				   JVPN_CID_LEN, cid);
	jvpn_session_verdict(epoch->session, v);
	jvpn_epoch_unlink(epoch);
	return 0;
}

/* --- bindings --- */

static int jvpn_parse_steps(struct nlattr **tb, struct jvpn_binding_request *r,
			    struct jvpn_verdict *v)
{
	r->has_transition = tb[JVPN_BINDING_A_STATE];
	r->has_via = tb[JVPN_BINDING_A_VIA_STATE];
	if (r->has_via && (!r->has_transition || r->op != JVPN_BINDING_OP_SET))
		return jvpn_refuse(v, -EINVAL, "via-state goes with op set and a state");
	if (!r->has_transition)
		return 0;
	if (!tb[JVPN_BINDING_A_STATE_VERSION])
		return jvpn_refuse(v, -EINVAL, "state-version is missing");
	r->t.state = nla_get_u8(tb[JVPN_BINDING_A_STATE]);
	r->t.version = nla_get_u64(tb[JVPN_BINDING_A_STATE_VERSION]);
	r->t.reason = jvpn_get_u8(tb, JVPN_BINDING_A_REASON, 0);
	r->t.detail = jvpn_get_u8(tb, JVPN_BINDING_A_DETAIL, 0);
	r->via.state = jvpn_get_u8(tb, JVPN_BINDING_A_VIA_STATE, 0);
	r->via.version = r->t.version - 1;
	r->via.reason = jvpn_get_u8(tb, JVPN_BINDING_A_VIA_REASON, 0);
	r->via.detail = jvpn_get_u8(tb, JVPN_BINDING_A_VIA_DETAIL, 0);
	return 0;
}

static int jvpn_parse_set(struct nlattr **tb, struct jvpn_binding_request *r,
			  struct jvpn_verdict *v)
{
	static const struct jvpn_need need[] = {
		{ JVPN_BINDING_A_EXPECT_TERM, "expect-term" },
		{ JVPN_BINDING_A_EXPECT_BVER, "expect-bver" },
		{ JVPN_BINDING_A_TERM, "term" },
		{ JVPN_BINDING_A_BVER, "bver" },
	};

	if (jvpn_need_all(tb, need, ARRAY_SIZE(need), v))
		return v->error;
	r->expect_term = nla_get_u64(tb[JVPN_BINDING_A_EXPECT_TERM]);
	r->expect_bver = nla_get_u64(tb[JVPN_BINDING_A_EXPECT_BVER]);
	r->has_exp = tb[JVPN_BINDING_A_EXP_BVER];
	r->exp_bver = jvpn_get_u64(tb, JVPN_BINDING_A_EXP_BVER, 0);
	r->term = nla_get_u64(tb[JVPN_BINDING_A_TERM]);
	r->bver = nla_get_u64(tb[JVPN_BINDING_A_BVER]);
	r->confirmed = jvpn_get_u8(tb, JVPN_BINDING_A_CONFIRMED, 1);
	r->switched = nla_get_flag(tb[JVPN_BINDING_A_SWITCHED]);
	if (tb[JVPN_BINDING_A_CID])
		r->cid = nla_data(tb[JVPN_BINDING_A_CID]);
	return 0;
}

static int jvpn_parse_binding(struct nlattr **tb, struct jvpn_binding_request *r,
			      struct jvpn_verdict *v)
{
	static const struct jvpn_need need[] = {
		{ JVPN_BINDING_A_PATH, "path" },
		{ JVPN_BINDING_A_REMOTE, "remote" },
	};

	memset(r, 0, sizeof(*r));
	if (!tb[JVPN_BINDING_A_OP])
		return jvpn_refuse(v, -EINVAL, "op is missing");
	r->op = nla_get_u8(tb[JVPN_BINDING_A_OP]);
	if (jvpn_parse_steps(tb, r, v))
		return v->error;
	if (r->op == JVPN_BINDING_OP_CLEAR)
		return 0;
	if (jvpn_need_all(tb, need, ARRAY_SIZE(need), v) ||
	    jvpn_parse_remote(tb[JVPN_BINDING_A_REMOTE], &r->remote, v))
		return v->error;
	r->path = nla_get_u8(tb[JVPN_BINDING_A_PATH]);
	return r->op == JVPN_BINDING_OP_SET ? jvpn_parse_set(tb, r, v) : 0;
}

static int jvpn_verb_binding_set(struct jvpn_nl_batch *batch, const struct nlattr *object,
				 struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_binding_request r;
	struct jvpn_session *session;
	struct jvpn_step passed;

	session = jvpn_session_of(batch->device, tb[JVPN_BINDING_A_SID], v);
	if (!session || jvpn_parse_binding(tb, &r, v))
		return v->error;
	passed = (struct jvpn_step){
		.previous = session->state,
		.state = r.via.state,
		.reason = r.via.reason,
		.detail = r.via.detail,
		.version = r.via.version,
	};
	if (jvpn_binding_commit(session, &r, v)) {
		jvpn_session_verdict(session, v);
		return v->error;
	}
	jvpn_session_verdict(session, v);
	if (r.has_via)
		jvpn_netlink_session_changed(session, &passed);
	jvpn_netlink_session_changed(session, NULL);
	return 0;
}

/* --- candidates and frames --- */

static int jvpn_verb_candidate_set(struct jvpn_nl_batch *batch, const struct nlattr *object,
				   struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_session *session;
	struct jvpn_endpoint remote;
	u8 path;

	session = jvpn_session_of(batch->device, tb[JVPN_CANDIDATE_A_SID], v);
	if (!session)
		return v->error;
	if (session->role != JVPN_ROLE_CLIENT)
		return jvpn_refuse(v, -EINVAL, "only a client keeps paths warm");
	if (!tb[JVPN_CANDIDATE_A_PATH])
		return jvpn_refuse(v, -EINVAL, "path is missing");
	path = nla_get_u8(tb[JVPN_CANDIDATE_A_PATH]);
	if (nla_get_flag(tb[JVPN_CANDIDATE_A_REMOVE]))
		return jvpn_probe_candidate_remove(session, path, v);
	if (!tb[JVPN_CANDIDATE_A_REMOTE])
		return jvpn_refuse(v, -EINVAL, "remote is missing");
	if (session->state == JVPN_STATE_TERMINATED)
		return jvpn_refuse(v, -EINVAL, "session %*phN is TERMINATED",
				   JVPN_SID_LEN, session->sid);
	if (jvpn_parse_remote(tb[JVPN_CANDIDATE_A_REMOTE], &remote, v))
		return v->error;
	return jvpn_probe_candidate_set(session, path, &remote, v);
}

/**
 * struct jvpn_frame_request - what frame-send asks for
 * @session: to whom
 * @epoch: keys
 * @path: way out
 * @remote: where to
 * @tb: the rest
 */
struct jvpn_frame_request {
	struct jvpn_session *session;
	struct jvpn_epoch *epoch;
	struct jvpn_path *path;
	struct jvpn_endpoint remote;
	struct nlattr **tb;
};

static int jvpn_frame_way(struct jvpn_frame_request *f, struct jvpn_verdict *v)
{
	const struct nlattr *path = f->tb[JVPN_FRAME_A_PATH];
	const struct nlattr *remote = f->tb[JVPN_FRAME_A_REMOTE];
	const struct jvpn_binding *binding;

	if (!path != !remote)
		return jvpn_refuse(v, -EINVAL, "path and remote go together");
	if (path) {
		f->path = jvpn_path_get(f->session->device, nla_get_u8(path));
		if (!f->path)
			return jvpn_refuse(v, -ENOENT, "no path %u", nla_get_u8(path));
		return jvpn_parse_remote(remote, &f->remote, v);
	}
	binding = rcu_dereference(f->session->binding);
	if (!binding)
		return jvpn_refuse(v, -ENETUNREACH, "session %*phN has no transport",
				   JVPN_SID_LEN, f->session->sid);
	f->path = jvpn_path_get(f->session->device, binding->path);
	if (!f->path)
		return jvpn_refuse(v, -ENOENT, "no path %u", binding->path);
	f->remote = binding->remote;
	return 0;
}

static int jvpn_frame_keys(struct jvpn_frame_request *f, struct jvpn_verdict *v)
{
	const struct nlattr *cid = f->tb[JVPN_FRAME_A_CID];

	if (!cid) {
		f->epoch = rcu_dereference(f->session->transmit);
		if (!f->epoch)
			return jvpn_refuse(v, -ENOKEY, "session %*phN has no key to send with",
					   JVPN_SID_LEN, f->session->sid);
		return 0;
	}
	f->epoch = jvpn_epoch_lookup(f->session->device, nla_data(cid));
	if (!f->epoch || f->epoch->session != f->session)
		return jvpn_refuse(v, -ENOENT, "session %*phN has no receiver id %*phN",
				   JVPN_SID_LEN, f->session->sid, JVPN_CID_LEN,
				   nla_data(cid));
	return 0;
}

static int jvpn_frame_notice(struct jvpn_frame_request *f, struct jvpn_verdict *v)
{
	const struct nlattr *data = f->tb[JVPN_FRAME_A_DATA];
	u8 kind = jvpn_get_u8(f->tb, JVPN_FRAME_A_NOTICE, 0);

	if (f->session->role != JVPN_ROLE_GATEWAY)
		return jvpn_refuse(v, -EINVAL, "only a gateway sends NOTICE");
	if (!kind)
		return jvpn_refuse(v, -EINVAL, "notice is missing");
	if (data && nla_len(data) > JVPN_NOTICE_MAX)
		return jvpn_refuse(v, -E2BIG, "data of %d bytes, at most %u are allowed",
				   nla_len(data), JVPN_NOTICE_MAX);
	return jvpn_probe_notice(f->session, f->epoch, f->path, &f->remote, kind,
				 data ? nla_data(data) : NULL, data ? nla_len(data) : 0);
}

static int jvpn_frame_dispatch(struct jvpn_frame_request *f, struct jvpn_verdict *v)
{
	u8 type = jvpn_get_u8(f->tb, JVPN_FRAME_A_TYPE, 0);
	u8 flags = jvpn_get_u8(f->tb, JVPN_FRAME_A_FLAGS, 0);
	u8 nonce[JVPN_NONCE_LEN];

	switch (type) {
	case 0:
		return jvpn_xmit_frame(f->session, f->epoch, f->path, &f->remote, NULL, 0);
	case JVPN_F_PROBE:
		if (flags & ~(JVPN_PROBE_CANDIDATE | JVPN_PROBE_NAT_CHECK |
			      JVPN_PROBE_CONFIRM))
			return jvpn_refuse(v, -EINVAL, "PROBE flags 0x%02x are unknown",
					   flags);
		if (f->tb[JVPN_FRAME_A_NONCE])
			nla_memcpy(nonce, f->tb[JVPN_FRAME_A_NONCE], sizeof(nonce));
		else
			get_random_bytes(nonce, sizeof(nonce));
		return jvpn_probe_send(f->session, f->epoch, f->path, &f->remote, flags,
				       nonce, f->tb[JVPN_FRAME_A_NONCE]);
	case JVPN_F_CLOSE:
		return jvpn_probe_close(f->session, f->epoch, f->path, &f->remote,
					jvpn_get_u8(f->tb, JVPN_FRAME_A_REASON, 0));
	case JVPN_F_NOTICE:
		return jvpn_frame_notice(f, v);
	default:
		return jvpn_refuse(v, -EINVAL,
				   "frame type %u, allowed are 0 (keepalive), 1 (PROBE), 3 (CLOSE), 4 (NOTICE)",
				   type);
	}
}

static int jvpn_frame_failed(int err, struct jvpn_verdict *v)
{
	if (err == -EKEYEXPIRED)
		return jvpn_refuse(v, err, "the key is used up");
	if (err == -ESTALE)
		return jvpn_refuse(v, err, "the lease of the device is over");
	return jvpn_refuse(v, err, "sending failed with error %d", err);
}

static int jvpn_verb_frame_send(struct jvpn_nl_batch *batch, const struct nlattr *object,
				struct nlattr **tb, struct jvpn_verdict *v)
{
	struct jvpn_frame_request f = { .tb = tb };
	int err;

	f.session = jvpn_session_of(batch->device, tb[JVPN_FRAME_A_SID], v);
	if (!f.session)
		return v->error;
	rcu_read_lock();
	err = jvpn_frame_way(&f, v);
	if (!err)
		err = jvpn_frame_keys(&f, v);
	if (!err)
		err = jvpn_frame_dispatch(&f, v);
	rcu_read_unlock();
	return err && !v->error ? jvpn_frame_failed(err, v) : err;
}

#define JVPN_NL_VERB(noun_, attr_, max_, policy_, apply_)		       \
	.noun = noun_, .type = attr_, .maxattr = max_, .policy = policy_,      \
	.apply = apply_

const struct jvpn_nl_verb jvpn_nl_path_set = {
	JVPN_NL_VERB("path", JVPN_A_PATH, JVPN_PATH_A_MAX, jvpn_path_nl_policy,
		     jvpn_verb_path_set)
};

const struct jvpn_nl_verb jvpn_nl_path_del = {
	JVPN_NL_VERB("path", JVPN_A_PATH, JVPN_PATH_A_MAX, jvpn_path_nl_policy,
		     jvpn_verb_path_del)
};

const struct jvpn_nl_verb jvpn_nl_session_new = {
	JVPN_NL_VERB("session", JVPN_A_SESSION, JVPN_SESSION_A_MAX, jvpn_session_nl_policy,
		     jvpn_verb_session_new)
};

const struct jvpn_nl_verb jvpn_nl_session_set = {
	JVPN_NL_VERB("session", JVPN_A_SESSION, JVPN_SESSION_A_MAX, jvpn_session_nl_policy,
		     jvpn_verb_session_set)
};

/* An operator may end a session when the daemon cannot. */
const struct jvpn_nl_verb jvpn_nl_session_del = {
	JVPN_NL_VERB("session", JVPN_A_SESSION, JVPN_SESSION_A_MAX, jvpn_session_nl_policy,
		     jvpn_verb_session_del),
	.anyone = true,
};

const struct jvpn_nl_verb jvpn_nl_epoch_new = {
	JVPN_NL_VERB("epoch", JVPN_A_EPOCH, JVPN_EPOCH_A_MAX, jvpn_epoch_nl_policy,
		     jvpn_verb_epoch_new),
	.wipe = jvpn_wipe_keys,
};

const struct jvpn_nl_verb jvpn_nl_epoch_del = {
	JVPN_NL_VERB("epoch", JVPN_A_EPOCH, JVPN_EPOCH_A_MAX, jvpn_epoch_nl_policy,
		     jvpn_verb_epoch_del)
};

const struct jvpn_nl_verb jvpn_nl_binding_set = {
	JVPN_NL_VERB("binding", JVPN_A_BINDING, JVPN_BINDING_A_MAX, jvpn_binding_nl_policy,
		     jvpn_verb_binding_set)
};

const struct jvpn_nl_verb jvpn_nl_candidate_set = {
	JVPN_NL_VERB("candidate", JVPN_A_CANDIDATE, JVPN_CANDIDATE_A_MAX,
		     jvpn_candidate_nl_policy, jvpn_verb_candidate_set)
};

const struct jvpn_nl_verb jvpn_nl_frame_send = {
	JVPN_NL_VERB("frame", JVPN_A_FRAME, JVPN_FRAME_A_MAX, jvpn_frame_nl_policy,
		     jvpn_verb_frame_send)
};
