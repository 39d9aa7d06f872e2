// SPDX-License-Identifier: GPL-2.0
/*
 * One change of everything. What cannot change live is found before anything is
 * touched; what the system may refuse (devices, addresses, sockets) comes first, what
 * cannot be taken back (sessions of peers that go) after it, and devices go last. If
 * a step fails all the same, the way back is the way there: to what ran before.
 */
#include <errno.h>
#include <string.h>

#include "apply.h"
#include "log.h"

static struct jv_origin origin_of(const void *entry)
{
	const struct jv_config_title *title = entry;

	return (struct jv_origin){ .place = title->place, .told = title->told };
}

/* --- from one form into the other --- */

static struct jv_link_change change_of(const struct jv_config_link *c)
{
	return (struct jv_link_change){
		.origin = origin_of(c),
		.private_key = c->keyed ? c->private_key.key : NULL,
		.key_file = *c->private_key.path ? c->private_key.path : NULL,
		.listen = c->listening ? &c->listen : NULL,
		.mtu = c->mtu ? &c->mtu : NULL,
		.mark = c->mark ? &c->mark : NULL,
		.table = c->table ? &c->table : NULL,
		.addresses = c->addresses, .address = c->address,
		.create = true,
	};
}

static int apply_link(struct jv_node *node, const struct jv_config_link *c, bool whole,
		      struct jv_error *err)
{
	struct jv_link_change change = change_of(c);

	change.whole = whole;
	return jv_node_link_set(node, c->name, &change, err);
}

static int apply_peer(struct jv_node *node, const struct jv_config_peer *c, struct jv_error *err)
{
	struct jv_peer_spec spec = {
		.origin = origin_of(c),
		.name = c->name, .public_key = c->public_key,
		.endpoints = c->endpoints, .endpoint = c->endpoint,
		.prefixes = c->prefixes, .prefix = c->prefix,
		.psk = c->has_psk ? c->psk.key : NULL,
		.psk_file = *c->psk.path ? c->psk.path : NULL,
		.policy = *c->policy ? c->policy : NULL,
	};

	return jv_node_peer_add(node, c->link, &spec, err);
}

static int apply_transport(struct jv_node *node, const struct jv_config_transport *c,
			   struct jv_error *err)
{
	struct jv_transport_spec spec = {
		.origin = origin_of(c),
		.name = c->name, .match = *c->match ? c->match : NULL,
		.preference = c->preference, .metered = c->metered,
	};

	return jv_node_transport_add(node, c->link, &spec, err);
}

static int apply_policy(struct jv_node *node, const struct jv_config_policy *c,
			struct jv_error *err)
{
	struct jv_origin origin = origin_of(c);

	return jv_node_policy_store(node, c->name, &c->policy, &origin, err);
}

int jv_apply(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->policies && !ret; i++)
		ret = apply_policy(node, &config->policy[i], err);
	for (size_t i = 0; i < config->links && !ret; i++)
		ret = apply_link(node, &config->link[i], false, err);
	for (size_t i = 0; i < config->transports && !ret; i++)
		ret = apply_transport(node, &config->transport[i], err);
	for (size_t i = 0; i < config->peers && !ret; i++)
		ret = apply_peer(node, &config->peer[i], err);
	return ret;
}

/* --- what is the same --- */

static bool same_addrs(unsigned int n, const union jv_addr *a, const union jv_addr *b)
{
	for (unsigned int i = 0; i < n; i++)
		if (!jv_addr_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool same_prefixes(unsigned int n, const struct jv_prefix *a, const struct jv_prefix *b)
{
	for (unsigned int i = 0; i < n; i++)
		if (!jv_prefix_equal(&a[i], &b[i]))
			return false;
	return true;
}

static bool same_peer(const struct jv_peer *peer, const struct jv_config_peer *c)
{
	const char *policy = *c->policy ? c->policy : jv_policy_profiles[0];

	return !strcmp(peer->link->name, c->link) &&
	       !memcmp(peer->public_key, c->public_key, sizeof(peer->public_key)) &&
	       peer->has_psk == !!c->has_psk &&
	       (!c->has_psk || !memcmp(peer->psk, c->psk.key, sizeof(c->psk.key))) &&
	       peer->endpoints == c->endpoints && peer->prefixes == c->prefixes &&
	       same_addrs(c->endpoints, peer->endpoint, c->endpoint) &&
	       same_prefixes(c->prefixes, peer->prefix, c->prefix) &&
	       !strcmp(peer->policy->name, policy);
}

static bool same_transport(const struct jv_transport *t, const struct jv_config_transport *c)
{
	return !strcmp(t->link->name, c->link) &&
	       !strcmp(t->match, *c->match ? c->match : c->name) &&
	       t->preference == c->preference && t->metered == c->metered;
}

/* --- finding --- */

static const void *find(const void *entries, size_t n, size_t size, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		const struct jv_config_title *title = (const void *)((const char *)entries + i * size);

		if (!strcmp(title->name, name))
			return title;
	}
	return NULL;
}

#define FIND(config, kind, name) \
	((const struct jv_config_##kind *)find((config)->kind, (config)->COUNT_##kind, \
					       sizeof(*(config)->kind), name))
#define COUNT_link	links
#define COUNT_peer	peers
#define COUNT_transport	transports
#define COUNT_policy	policies

/* --- the steps --- */

static int check_links(const struct jv_node *node, const struct jv_config *config,
		       struct jv_error *err)
{
	struct jv_error why;
	int ret = 0;

	for (size_t i = 0; i < config->links && !ret; i++) {
		struct jv_link_change change = change_of(&config->link[i]);

		change.whole = true;
		ret = jv_node_link_check(node, config->link[i].name, &change, &why);
		if (ret)
			jv_error_set(err, why.code, "%s: %s", config->link[i].place, why.text);
	}
	return ret;
}

static int set_policies(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->policies && !ret; i++)
		ret = apply_policy(node, &config->policy[i], err);
	return ret;
}

static int set_links(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->links && !ret; i++)
		ret = apply_link(node, &config->link[i], true, err);
	return ret;
}

static void drop_peers(struct jv_node *node, const struct jv_config *config, struct jv_link *link)
{
	struct jv_peer *peer, *next;

	for (peer = link->peers; peer; peer = next) {
		const struct jv_config_peer *c = FIND(config, peer, peer->name);

		next = peer->next;
		if (!c || !same_peer(peer, c))
			jv_node_peer_del(node, peer->name, NULL);
	}
}

static void drop_transports(struct jv_node *node, const struct jv_config *config,
			    struct jv_link *link)
{
	struct jv_transport *t, *next;

	for (t = link->transports; t; t = next) {
		const struct jv_config_transport *c = FIND(config, transport, t->name);

		next = t->next;
		if (!c || !same_transport(t, c))
			jv_node_transport_del(node, t->name, NULL);
	}
}

static int add_transports(struct jv_node *node, const struct jv_config *config,
			  struct jv_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->transports && !ret; i++) {
		const struct jv_config_transport *c = &config->transport[i];
		struct jv_transport *t = jv_node_transport(node, c->name);
		struct jv_origin origin = origin_of(c);

		if (t)
			jv_origin_take(&t->origin, &origin, false);
		else
			ret = apply_transport(node, c, err);
	}
	return ret;
}

static int add_peers(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < config->peers && !ret; i++) {
		const struct jv_config_peer *c = &config->peer[i];
		struct jv_peer *peer = jv_node_peer(node, c->name);
		struct jv_origin origin = origin_of(c);

		if (peer)
			jv_origin_take(&peer->origin, &origin, false);
		else
			ret = apply_peer(node, c, err);
	}
	return ret;
}

static void drop_links(struct jv_node *node, const struct jv_config *config)
{
	struct jv_link *link, *next;

	for (link = jv_node_links(node); link; link = next) {
		next = link->next;
		if (!FIND(config, link, link->name))
			jv_node_link_forget(node, link->name, NULL);
	}
}

/* No peer is left that goes by one of them. */
static void drop_policies(struct jv_node *node, const struct jv_config *config)
{
	const struct jv_named_policy *p, *next;

	for (p = jv_node_policies(node); p; p = next) {
		next = p->next;
		if ((p->origin.place || p->origin.told) && !FIND(config, policy, p->name))
			jv_node_policy_reset(node, p->name);
	}
}

static int become(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = set_policies(node, config, err);

	if (!ret)
		ret = set_links(node, config, err);
	if (ret)
		return ret;
	for (struct jv_link *link = jv_node_links(node); link; link = link->next) {
		drop_peers(node, config, link);
		drop_transports(node, config, link);
	}
	ret = add_transports(node, config, err);
	if (!ret)
		ret = add_peers(node, config, err);
	if (ret)
		return ret;
	drop_links(node, config);
	drop_policies(node, config);
	return 0;
}

int jv_apply_whole(struct jv_node *node, const struct jv_config *config, struct jv_error *err)
{
	int ret = check_links(node, config, err);
	struct jv_config *before;
	struct jv_error worse;

	if (ret)
		return ret;
	before = jv_config_of_node(node);
	if (!before)
		return jv_error_set(err, ENOMEM, "out of memory");
	ret = become(node, config, err);
	if (ret && become(node, before, &worse))
		jv_err("going back to the configuration before: %s", worse.text);
	jv_config_free(before);
	return ret;
}
