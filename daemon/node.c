// SPDX-License-Identifier: GPL-2.0
/*
 * A change is checked whole against a copy or against everything that is there,
 * then made, then told; if the sessions' side refuses, it is unmade.
 */
#include <errno.h>
#include <fnmatch.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "node.h"
#include "rtnl.h"
#include "udp.h"

enum { MTU_MIN = 576, MTU_MAX = 65535 - 60, PREFERENCE_MAX = 1000 };

struct jv_node {
	const struct jv_node_ops *ops;
	void *arg;
	struct jv_rtnl *rtnl;
	struct jv_link *links;
	struct jv_named_policy *policies;
};

static const struct jv_node_ops no_ops;

/* --- names --- */

static bool good_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789._-");

	return len >= 1 && len <= JV_NAME_MAX && !name[len];
}

static int check_name(const char *parameter, const char *name, struct jv_error *err)
{
	return good_name(name) ? 0 :
	       jv_error_param(err, parameter, "name \"%s\" is not allowed: 1 to %d letters, "
			      "digits, dots, dashes and underscores are", name, JV_NAME_MAX);
}

static int check_ifname(const char *name, struct jv_error *err)
{
	size_t len = strlen(name);

	if (len >= 1 && len < IFNAMSIZ && !strpbrk(name, "/: \t\n") && strcmp(name, ".") &&
	    strcmp(name, ".."))
		return 0;
	return jv_error_param(err, "ifname", "\"%s\" cannot be the name of an interface: 1 to %d "
			      "characters without slash, colon and space are allowed", name,
			      IFNAMSIZ - 1);
}

/* --- who said so --- */

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

/* What a file says now stands there; what jvpn-ip changes still does. */
void jv_origin_take(struct jv_origin *origin, const struct jv_origin *from, bool fresh)
{
	if (!from->place && !fresh)
		return;
	free(origin->place);
	origin->place = copy(from->place);
	origin->told = from->place ? from->told : true;
}

/* --- looking --- */

struct jv_link *jv_node_links(const struct jv_node *node)
{
	return node->links;
}

struct jv_link *jv_node_link(const struct jv_node *node, const char *ifname)
{
	for (struct jv_link *link = node->links; link; link = link->next)
		if (!strcmp(link->name, ifname))
			return link;
	return NULL;
}

struct jv_link *jv_node_link_by_index(const struct jv_node *node, int ifindex)
{
	for (struct jv_link *link = node->links; link; link = link->next)
		if (link->ifindex == ifindex)
			return link;
	return NULL;
}

/* Every one is compared, so that the time tells nothing about the keys we know. */
struct jv_peer *jv_node_peer_by_key(const struct jv_link *link, const uint8_t public_key[32])
{
	struct jv_peer *found = NULL;

	for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
		if (!sodium_memcmp(peer->public_key, public_key, 32))
			found = peer;
	return found;
}

struct jv_peer *jv_node_peer(const struct jv_node *node, const char *name_or_key)
{
	uint8_t key[32];
	bool is_key = !jv_key_parse(key, name_or_key);

	for (struct jv_link *link = node->links; link; link = link->next) {
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			if (!strcmp(peer->name, name_or_key) ||
			    (is_key && !memcmp(peer->public_key, key, sizeof(key))))
				return peer;
	}
	return NULL;
}

struct jv_transport *jv_node_transport(const struct jv_node *node, const char *name)
{
	for (struct jv_link *link = node->links; link; link = link->next)
		for (struct jv_transport *t = link->transports; t; t = t->next)
			if (!strcmp(t->name, name))
				return t;
	return NULL;
}

/* Of equal ones the first by name: the same on every machine. */
struct jv_transport *jv_node_transport_match(const struct jv_link *link, const char *ifname)
{
	struct jv_transport *best = NULL;

	for (struct jv_transport *t = link->transports; t; t = t->next) {
		if (fnmatch(t->match, ifname, 0))
			continue;
		if (!best || t->preference > best->preference ||
		    (t->preference == best->preference && strcmp(t->name, best->name) < 0))
			best = t;
	}
	return best;
}

const struct jv_named_policy *jv_node_policies(const struct jv_node *node)
{
	return node->policies;
}

static struct jv_named_policy *find_policy(const struct jv_node *node, const char *name)
{
	for (struct jv_named_policy *p = node->policies; p; p = p->next)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

const struct jv_named_policy *jv_node_policy(const struct jv_node *node, const char *name)
{
	return find_policy(node, name);
}

/* --- taking into use, and out of it --- */

static int peer_up(struct jv_node *node, struct jv_peer *peer, struct jv_error *err)
{
	int ret = node->ops->peer_up ? node->ops->peer_up(node->arg, peer, err) : 0;

	peer->up = !ret;
	return ret;
}

static void peer_down(struct jv_node *node, struct jv_peer *peer)
{
	if (peer->up && node->ops->peer_down)
		node->ops->peer_down(node->arg, peer);
	peer->up = false;
}

static int transport_up(struct jv_node *node, struct jv_transport *t, struct jv_error *err)
{
	int ret;

	if (t->blocked_until_ms)
		return 0;
	ret = node->ops->transport_up ? node->ops->transport_up(node->arg, t, err) : 0;
	t->up = !ret;
	return ret;
}

static void transport_down(struct jv_node *node, struct jv_transport *t)
{
	if (t->up && node->ops->transport_down)
		node->ops->transport_down(node->arg, t);
	t->up = false;
}

static void link_stop(struct jv_node *node, struct jv_link *link, bool gone)
{
	for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
		peer_down(node, peer);
	for (struct jv_transport *t = link->transports; t; t = t->next)
		transport_down(node, t);
	if (link->up && node->ops->link_down)
		node->ops->link_down(node->arg, link, gone);
	link->up = false;
	if (node->rtnl && link->ifindex && !gone)
		jv_rtnl_undo(node->rtnl, link->ifindex, false);
}

/* What of the device itself was asked for. */
static int set_device(struct jv_node *node, struct jv_link *link, struct jv_error *err)
{
	int ret = 0;

	if (!node->rtnl)
		return 0;
	if (link->mtu)
		ret = jv_rtnl_mtu(node->rtnl, link->ifindex, link->mtu, err);
	for (unsigned int i = 0; !ret && i < link->addresses; i++)
		ret = jv_rtnl_addr_add(node->rtnl, link->ifindex, &link->address[i], err);
	if (!ret && link->created)
		ret = jv_rtnl_up(node->rtnl, link->ifindex, err);
	return ret;
}

/* With a device and a key there is something to run; without, nothing is wrong. */
static int link_start(struct jv_node *node, struct jv_link *link, struct jv_error *err)
{
	int ret;

	if (!link->ifindex || !link->keyed)
		return 0;
	ret = node->ops->link_up ? node->ops->link_up(node->arg, link, err) : 0;
	link->up = !ret;
	if (!ret)
		ret = set_device(node, link, err);
	for (struct jv_transport *t = link->transports; t && !ret; t = t->next)
		ret = transport_up(node, t, err);
	for (struct jv_peer *peer = link->peers; peer && !ret; peer = peer->next)
		ret = peer_up(node, peer, err);
	if (ret)
		link_stop(node, link, false);
	return ret;
}

/* --- links --- */

static struct jv_link *link_new(const char *name)
{
	struct jv_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->key = sodium_malloc(sizeof(*link->key));
	if (!link->key) {
		free(link);
		return NULL;
	}
	sodium_memzero(link->key, sizeof(*link->key));
	snprintf(link->name, sizeof(link->name), "%s", name);
	link->mark = JV_DEFAULT_MARK;
	link->table = JV_DEFAULT_TABLE;
	return link;
}

static void peer_free(struct jv_peer *peer)
{
	sodium_free(peer->psk);
	free(peer->psk_file);
	free(peer->origin.place);
	free(peer);
}

static void transport_free(struct jv_transport *t)
{
	jv_timer_del(&t->unblock);
	free(t->origin.place);
	free(t);
}

static void link_free(struct jv_link *link)
{
	struct jv_transport *t;
	struct jv_peer *peer;

	while ((peer = link->peers)) {
		link->peers = peer->next;
		peer_free(peer);
	}
	while ((t = link->transports)) {
		link->transports = t->next;
		transport_free(t);
	}
	sodium_free(link->key);
	free(link->key_file);
	free(link->origin.place);
	free(link);
}

static bool dials(const struct jv_link *link)
{
	for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
		if (peer->endpoints)
			return true;
	return false;
}

static int check_ipv4(const char *parameter, const union jv_addr *addr, struct jv_error *err)
{
	char text[JV_ADDR_TEXT];

	return addr->sa.sa_family == AF_INET ? 0 :
	       jv_error_param(err, parameter, "\"%s\" is not allowed: outside the tunnel an IPv4 "
			      "ADDRESS:PORT is needed", jv_addr_format(addr, text));
}

static int check_link_values(const struct jv_link_change *change, struct jv_error *err)
{
	if (change->mtu && (*change->mtu < MTU_MIN || *change->mtu > MTU_MAX))
		return jv_error_param(err, "mtu", "mtu %u is not allowed: %d to %d are",
				      *change->mtu, MTU_MIN, MTU_MAX);
	if (change->mark && !*change->mark)
		return jv_error_param(err, "fwmark", "fwmark 0 is not allowed: it is what every "
				      "other packet carries");
	if (change->table && (!*change->table || (*change->table >= 253 && *change->table <= 255)))
		return jv_error_param(err, "table", "table %u is not allowed: 1 to 4294967295 but "
				      "the system's 253, 254 and 255 are", *change->table);
	if (change->addresses > JV_LINK_ADDRESSES)
		return jv_error_param(err, "addresses", "%u addresses are too many: %d are allowed",
				      change->addresses, JV_LINK_ADDRESSES);
	return change->listen ? check_ipv4("listen", change->listen, err) : 0;
}

/* What sessions stand on, and would end with, or NULL. */
static const char *changed_foundation(const struct jv_link *link,
				      const struct jv_link_change *change)
{
	uint32_t mark = change->mark ? *change->mark : change->whole ? JV_DEFAULT_MARK : link->mark;
	uint32_t table = change->table ? *change->table :
			 change->whole ? JV_DEFAULT_TABLE : link->table;
	struct jv_keypair key;
	bool same = true;

	if (change->private_key) {
		jv_keypair_from_secret(&key, change->private_key);
		same = link->keyed && !memcmp(key.public, link->key->public, sizeof(key.public));
		sodium_memzero(&key, sizeof(key));
	} else if (change->whole) {
		same = !link->key_file;
	}
	if (!same)
		return "private-key";
	if (change->listen ? !link->listening || !jv_addr_equal(change->listen, &link->listen)
			   : change->whole && link->listening)
		return "listen";
	if (mark != link->mark)
		return "fwmark";
	return table != link->table ? "table" : NULL;
}

static int check_link_change(const struct jv_node *node, const char *ifname,
			     const struct jv_link_change *change, struct jv_error *err)
{
	const struct jv_link *link = jv_node_link(node, ifname);
	const char *what = link && change->whole && link->up ? changed_foundation(link, change)
							     : NULL;
	int ret = check_link_values(change, err);

	if (ret)
		return ret;
	if (change->listen && link && dials(link) && !change->whole)
		return jv_error_param(err, "listen", "\"%s\" is the client of its peers' endpoints: "
				      "a gateway needs an interface of its own", ifname);
	if (what)
		return jv_error_set(err, EBUSY, "interface %s: %s cannot change while it runs, its "
				    "sessions would end: restart jvpnd", ifname, what);
	return 0;
}

int jv_node_link_check(const struct jv_node *node, const char *ifname,
		       const struct jv_link_change *change, struct jv_error *err)
{
	int ret = check_ifname(ifname, err);

	return ret ? ret : check_link_change(node, ifname, change, err);
}

/* The device behind the name, made if that was asked for. 0 and *ifindex. */
static int find_device(struct jv_node *node, const char *name, bool create, int *ifindex,
		       bool *created, struct jv_error *err)
{
	const struct jv_iface *iface;

	*ifindex = 0;
	if (!node->rtnl)
		return 0;
	iface = jv_rtnl_by_name(node->rtnl, name);
	if (!iface)
		iface = jv_rtnl_refresh(node->rtnl, name);
	if (!iface && create) {
		*created = true;
		return jv_rtnl_create(node->rtnl, name, ifindex, err);
	}
	if (!iface)
		return jv_error_set(err, ENODEV, "there is no interface \"%s\": jvpn-ip link add %s",
				    name, name);
	if (strcmp(iface->kind, "jvpn"))
		return jv_error_param(err, "ifname", "interface \"%s\" is not of kind jvpn", name);
	*ifindex = iface->ifindex;
	return 0;
}

static void set_addresses(struct jv_link *link, const struct jv_link_change *change)
{
	if (!change->addresses && !change->whole)
		return;
	link->addresses = change->addresses;
	if (change->addresses)
		memcpy(link->address, change->address,
		       change->addresses * sizeof(*change->address));
}

static void set_key(struct jv_link *link, const struct jv_link_change *change)
{
	if (!change->private_key)
		return;
	jv_keypair_from_secret(link->key, change->private_key);
	link->keyed = true;
	free(link->key_file);
	link->key_file = copy(change->key_file);
}

static void set_fields(struct jv_link *link, const struct jv_link_change *change)
{
	set_key(link, change);
	set_addresses(link, change);
	if (change->whole) {
		link->listening = false;
		link->mtu = 0;
		link->mark = JV_DEFAULT_MARK;
		link->table = JV_DEFAULT_TABLE;
	}
	if (change->listen) {
		link->listen = *change->listen;
		link->listening = true;
	}
	if (change->mtu)
		link->mtu = *change->mtu;
	if (change->mark)
		link->mark = *change->mark;
	if (change->table)
		link->table = *change->table;
}

/* Back to what it was before set_fields(). */
static void restore_fields(struct jv_link *link, const struct jv_link *old,
			   const struct jv_keypair *old_key)
{
	*link->key = *old_key;
	link->keyed = old->keyed;
	link->listening = old->listening;
	link->listen = old->listen;
	link->mtu = old->mtu;
	link->mark = old->mark;
	link->table = old->table;
	link->addresses = old->addresses;
	memcpy(link->address, old->address, sizeof(old->address));
}

static int restart_link(struct jv_node *node, struct jv_link *link,
			const struct jv_link_change *change, struct jv_error *err)
{
	struct jv_keypair *old_key = sodium_malloc(sizeof(*old_key));
	struct jv_link old = *link;
	int ret;

	if (!old_key)
		return jv_error_set(err, ENOMEM, "out of memory");
	*old_key = *link->key;
	old.key_file = copy(link->key_file);
	link_stop(node, link, false);
	set_fields(link, change);
	ret = link_start(node, link, err);
	if (ret) {
		restore_fields(link, &old, old_key);
		free(link->key_file);
		link->key_file = old.key_file;
		link_start(node, link, NULL);
	} else {
		free(old.key_file);
	}
	sodium_free(old_key);
	return ret;
}

/* A new address is tried before anything is given up for it: sessions do not come back. */
static int try_listen(const struct jv_node *node, const struct jv_link *link,
		      const struct jv_link_change *change, struct jv_error *err)
{
	struct jv_udp_options options = { .mark = link->mark, .shared = true };

	if (!node->rtnl || !change->listen || !link->up ||
	    (link->listening && jv_addr_equal(change->listen, &link->listen)))
		return 0;
	options.local = *change->listen;
	return jv_udp_check(&options, err);
}

static bool has_address(unsigned int n, const struct jv_prefix *list, const struct jv_prefix *one)
{
	for (unsigned int i = 0; i < n; i++)
		if (jv_prefix_equal(&list[i], one))
			return true;
	return false;
}

/* The new ones first: they may be refused, and nothing has changed then. */
static int change_addresses(struct jv_node *node, const struct jv_link *link,
			    const struct jv_link_change *change, struct jv_error *err)
{
	unsigned int added;
	int ret = 0;

	if (!node->rtnl || (!change->addresses && !change->whole))
		return 0;
	for (added = 0; added < change->addresses && !ret; added++)
		ret = jv_rtnl_addr_add(node->rtnl, link->ifindex, &change->address[added], err);
	for (unsigned int i = 0; ret && i + 1 < added; i++)
		if (!has_address(link->addresses, link->address, &change->address[i]))
			jv_rtnl_addr_del(node->rtnl, link->ifindex, &change->address[i], NULL);
	for (unsigned int i = 0; !ret && i < link->addresses; i++)
		if (!has_address(change->addresses, change->address, &link->address[i]))
			jv_rtnl_addr_del(node->rtnl, link->ifindex, &link->address[i], NULL);
	return ret;
}

/* Sessions end only if what they stand on is another one. */
static int change_link(struct jv_node *node, struct jv_link *link,
		       const struct jv_link_change *change, struct jv_error *err)
{
	int ret = try_listen(node, link, change, err);

	if (ret)
		return ret;
	if (!link->up || changed_foundation(link, change))
		return restart_link(node, link, change, err);
	if (change->mtu && node->rtnl)
		ret = jv_rtnl_mtu(node->rtnl, link->ifindex, *change->mtu, err);
	if (!ret)
		ret = change_addresses(node, link, change, err);
	if (!ret)
		set_fields(link, change);
	return ret;
}

static void link_remove(struct jv_node *node, struct jv_link *link)
{
	struct jv_link **at = &node->links;

	link_stop(node, link, false);
	if (node->rtnl && link->created)
		jv_rtnl_undo(node->rtnl, link->ifindex, true);
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	link_free(link);
}

int jv_node_link_set(struct jv_node *node, const char *ifname,
		     const struct jv_link_change *change, struct jv_error *err)
{
	struct jv_link *link = jv_node_link(node, ifname), **at = &node->links;
	bool created = false;
	int ifindex, ret;

	ret = jv_node_link_check(node, ifname, change, err);
	if (!ret && link)
		ret = change_link(node, link, change, err);
	if (!ret && link)
		jv_origin_take(&link->origin, &change->origin, false);
	if (ret || link)
		return ret;
	ret = find_device(node, ifname, change->create, &ifindex, &created, err);
	if (ret)
		return ret;
	link = link_new(ifname);
	if (!link)
		return jv_error_set(err, ENOMEM, "out of memory");
	link->ifindex = ifindex;
	link->created = created;
	while (*at)
		at = &(*at)->next;
	*at = link;
	jv_origin_take(&link->origin, &change->origin, true);
	set_fields(link, change);
	ret = link_start(node, link, err);
	if (ret)
		link_remove(node, link);
	return ret;
}

static int no_link(const char *ifname, struct jv_error *err)
{
	return jv_error_set(err, ENOENT, "interface \"%s\" is not known here: "
			    "jvpn-ip link set %s private-key FILE", ifname, ifname);
}

int jv_node_link_forget(struct jv_node *node, const char *ifname, struct jv_error *err)
{
	struct jv_link *link = jv_node_link(node, ifname);

	if (!link)
		return no_link(ifname, err);
	link_remove(node, link);
	return 0;
}

void jv_node_iface(struct jv_node *node, const struct jv_iface *iface, bool gone)
{
	struct jv_link *link = jv_node_link_by_index(node, iface->ifindex);
	struct jv_error err;

	if (link && gone) {
		link_stop(node, link, true);
		link->ifindex = 0;
		link->created = false;
		return;
	}
	if (gone)
		return;
	if (link) {			/* it may have been renamed */
		snprintf(link->name, sizeof(link->name), "%s", iface->name);
		return;
	}
	link = jv_node_link(node, iface->name);
	if (!link || link->ifindex || strcmp(iface->kind, "jvpn"))
		return;
	link->ifindex = iface->ifindex;
	if (link_start(node, link, &err))
		jv_err("interface %s came back and cannot be used: %s", link->name, err.text);
}

/* --- peers --- */

static int check_peer_keys(const struct jv_node *node, const struct jv_link *link,
			   const struct jv_peer_spec *spec, struct jv_error *err)
{
	char text[JV_FINGERPRINT_TEXT];
	struct jv_peer *same;

	if (sodium_is_zero(spec->public_key, 32))
		return jv_error_param(err, "public_key", "a public key of zeros belongs to nobody");
	if (link->keyed && !memcmp(spec->public_key, link->key->public, 32))
		return jv_error_param(err, "public_key", "the key %s is that of %s itself",
				      jv_key_fingerprint(spec->public_key, text), link->name);
	same = jv_node_peer_by_key(link, spec->public_key);
	if (same)
		return jv_error_param(err, "public_key", "the key %s is that of peer %s already",
				      jv_key_fingerprint(spec->public_key, text), same->name);
	same = spec->name ? jv_node_peer(node, spec->name) : NULL;
	return same ? jv_error_param(err, "name", "there is a peer \"%s\" on %s already",
				     same->name, same->link->name) : 0;
}

static int check_peer_prefixes(const struct jv_link *link, const struct jv_peer_spec *spec,
			       struct jv_error *err)
{
	char text[JV_PREFIX_TEXT];

	if (!spec->prefixes || spec->prefixes > JV_PEER_PREFIXES)
		return jv_error_param(err, "allowed_ips", "%u allowed-ips given: 1 to %d are "
				      "allowed", spec->prefixes, JV_PEER_PREFIXES);
	for (unsigned int i = 0; i < spec->prefixes; i++)
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			for (unsigned int j = 0; j < peer->prefixes; j++)
				if (jv_prefix_equal(&spec->prefix[i], &peer->prefix[j]))
					return jv_error_param(err, "allowed_ips", "%s belongs to "
						"peer %s already",
						jv_prefix_format(&spec->prefix[i], text),
						peer->name);
	return 0;
}

static int check_peer_endpoints(const struct jv_link *link, const struct jv_peer_spec *spec,
				struct jv_error *err)
{
	if (spec->endpoints > JV_PEER_ENDPOINTS)
		return jv_error_param(err, "endpoint", "%u endpoints are too many: %d are allowed",
				      spec->endpoints, JV_PEER_ENDPOINTS);
	for (unsigned int i = 0; i < spec->endpoints; i++)
		if (check_ipv4("endpoint", &spec->endpoint[i], err))
			return -EINVAL;
	if (spec->endpoints && link->listening)
		return jv_error_param(err, "endpoint", "%s listens, it is a gateway: to be a client "
				      "of others takes an interface of its own", link->name);
	return 0;
}

static int check_peer(const struct jv_node *node, const struct jv_link *link,
		      const struct jv_peer_spec *spec, struct jv_error *err)
{
	int ret = spec->name ? check_name("name", spec->name, err) : 0;

	if (!ret)
		ret = check_peer_keys(node, link, spec, err);
	if (!ret)
		ret = check_peer_prefixes(link, spec, err);
	if (!ret)
		ret = check_peer_endpoints(link, spec, err);
	if (!ret && spec->policy && !find_policy(node, spec->policy))
		ret = jv_error_set(err, ENOENT, "there is no policy \"%s\"", spec->policy);
	return ret;
}

static struct jv_peer *peer_new(const struct jv_node *node, struct jv_link *link,
				const struct jv_peer_spec *spec)
{
	struct jv_peer *peer = calloc(1, sizeof(*peer));
	char hex[17];

	if (!peer)
		return NULL;
	peer->psk = sodium_malloc(32);
	if (!peer->psk) {
		free(peer);
		return NULL;
	}
	sodium_memzero(peer->psk, 32);
	peer->has_psk = spec->psk;
	if (spec->psk)
		memcpy(peer->psk, spec->psk, 32);
	peer->psk_file = copy(spec->psk_file);
	jv_origin_take(&peer->origin, &spec->origin, true);
	peer->link = link;
	snprintf(peer->name, sizeof(peer->name), "%s",
		 spec->name ? spec->name : jv_hex(spec->public_key, 8, hex));
	memcpy(peer->public_key, spec->public_key, 32);
	peer->endpoints = spec->endpoints;
	for (unsigned int i = 0; i < spec->endpoints; i++)
		peer->endpoint[i] = spec->endpoint[i];
	peer->prefixes = spec->prefixes;
	memcpy(peer->prefix, spec->prefix, spec->prefixes * sizeof(*spec->prefix));
	peer->policy = find_policy(node, spec->policy ? spec->policy : jv_policy_profiles[0]);
	return peer;
}

static void peer_remove(struct jv_node *node, struct jv_peer *peer)
{
	struct jv_peer **at = &peer->link->peers;

	peer_down(node, peer);
	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	peer_free(peer);
}

int jv_node_peer_add(struct jv_node *node, const char *ifname, const struct jv_peer_spec *spec,
		     struct jv_error *err)
{
	struct jv_link *link = jv_node_link(node, ifname);
	struct jv_peer *peer, **at;
	int ret;

	if (!link)
		return no_link(ifname, err);
	ret = check_peer(node, link, spec, err);
	if (ret)
		return ret;
	peer = peer_new(node, link, spec);
	if (!peer)
		return jv_error_set(err, ENOMEM, "out of memory");
	for (at = &link->peers; *at; at = &(*at)->next)
		;
	*at = peer;
	ret = link->up ? peer_up(node, peer, err) : 0;
	if (ret)
		peer_remove(node, peer);
	return ret;
}

int jv_node_peer_del(struct jv_node *node, const char *name, struct jv_error *err)
{
	struct jv_peer *peer = jv_node_peer(node, name);

	if (!peer)
		return jv_error_set(err, ENOENT, "there is no peer \"%s\"", name);
	peer_remove(node, peer);
	return 0;
}

/* --- transports --- */

static void transport_remove(struct jv_node *node, struct jv_transport *t)
{
	struct jv_transport **at = &t->link->transports;

	transport_down(node, t);
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	transport_free(t);
}

static int check_transport(const struct jv_node *node, const struct jv_transport_spec *spec,
			   const char *match, struct jv_error *err)
{
	const struct jv_transport *same = jv_node_transport(node, spec->name);

	if (!*match || strlen(match) >= sizeof(same->match))
		return jv_error_param(err, "match", "match \"%s\" is not allowed: a pattern of 1 to "
				      "%zu characters is", match, sizeof(same->match) - 1);
	if (spec->preference > PREFERENCE_MAX)
		return jv_error_param(err, "preference", "preference %u is not allowed: 0 to %d "
				      "are", spec->preference, PREFERENCE_MAX);
	return same ? jv_error_param(err, "name", "there is a transport \"%s\" on %s already",
				     spec->name, same->link->name) : 0;
}

int jv_node_transport_add(struct jv_node *node, const char *ifname,
			  const struct jv_transport_spec *spec, struct jv_error *err)
{
	const char *match = spec->match ? spec->match : spec->name;
	struct jv_link *link = jv_node_link(node, ifname);
	int ret = check_name("name", spec->name, err);
	struct jv_transport *t, **at;

	if (ret)
		return ret;
	if (!link)
		return no_link(ifname, err);
	ret = check_transport(node, spec, match, err);
	if (ret)
		return ret;
	t = calloc(1, sizeof(*t));
	if (!t)
		return jv_error_set(err, ENOMEM, "out of memory");
	t->node = node;
	t->link = link;
	jv_origin_take(&t->origin, &spec->origin, true);
	snprintf(t->name, sizeof(t->name), "%s", spec->name);
	snprintf(t->match, sizeof(t->match), "%s", match);
	t->preference = spec->preference;
	t->metered = spec->metered;
	for (at = &link->transports; *at; at = &(*at)->next)
		;
	*at = t;
	ret = link->up ? transport_up(node, t, err) : 0;
	if (ret)
		transport_remove(node, t);
	return ret;
}

int jv_node_transport_del(struct jv_node *node, const char *name, struct jv_error *err)
{
	struct jv_transport *t = jv_node_transport(node, name);

	if (!t)
		return jv_error_set(err, ENOENT, "there is no transport \"%s\"", name);
	transport_remove(node, t);
	return 0;
}

static int no_transport(const char *name, struct jv_error *err)
{
	return jv_error_set(err, ENOENT, "there is no transport \"%s\"", name);
}

/* What is chosen from now on is chosen by it; no session moves for it. */
int jv_node_transport_prefer(struct jv_node *node, const char *name, uint32_t preference,
			     struct jv_error *err)
{
	struct jv_transport *t = jv_node_transport(node, name);

	if (!t)
		return no_transport(name, err);
	if (preference > PREFERENCE_MAX)
		return jv_error_param(err, "preference", "preference %u is not allowed: 0 to %d "
				      "are", preference, PREFERENCE_MAX);
	t->preference = preference;
	return 0;
}

static void on_unblock(void *arg)
{
	struct jv_transport *t = arg;
	struct jv_error err;

	t->blocked_until_ms = 0;
	if (t->link->up && !t->up && transport_up(t->node, t, &err))
		jv_err("transport %s: %s", t->name, err.text);
}

int jv_node_transport_block(struct jv_node *node, struct jv_loop *loop, const char *name,
			    uint64_t until_ms, struct jv_error *err)
{
	struct jv_transport *t = jv_node_transport(node, name);

	if (!t)
		return no_transport(name, err);
	if (!t->unblock.source &&
	    jv_timer_add(loop, &t->unblock, JV_PRIO_CONTROL, on_unblock, t))
		return jv_error_set(err, ENOMEM, "out of memory");
	jv_timer_set(&t->unblock, until_ms ? until_ms : JV_NEVER);
	t->blocked_until_ms = until_ms;
	if (until_ms)
		transport_down(node, t);
	else
		on_unblock(t);
	return 0;
}

/* --- policies --- */

static struct jv_named_policy *policy_new(struct jv_node *node, const char *name,
					  const struct jv_policy *policy)
{
	struct jv_named_policy *p = calloc(1, sizeof(*p)), **at;

	if (!p)
		return NULL;
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->version = 1;
	p->policy = *policy;
	for (at = &node->policies; *at; at = &(*at)->next)
		;
	*at = p;
	return p;
}

static bool same_policy(const struct jv_policy *a, const struct jv_policy *b)
{
	for (size_t i = 0; i < jv_knobs_count; i++)
		if (jv_knob_get(a, &jv_knobs[i]) != jv_knob_get(b, &jv_knobs[i]))
			return false;
	return true;
}

static void policy_replace(struct jv_node *node, struct jv_named_policy *p,
			   const struct jv_policy *policy)
{
	bool same = same_policy(&p->policy, policy);

	p->policy = *policy;
	if (same)
		return;
	p->version++;
	if (node->ops->policy_changed)
		node->ops->policy_changed(node->arg, p);
}

int jv_node_policy_store(struct jv_node *node, const char *name, const struct jv_policy *policy,
			const struct jv_origin *origin, struct jv_error *err)
{
	struct jv_named_policy *p = find_policy(node, name);
	char why[sizeof(err->text)];

	if (jv_policy_check(policy, why, sizeof(why)))
		return jv_error_param(err, "value", "policy %s: %s", name, why);
	if (p)
		policy_replace(node, p, policy);
	else
		p = policy_new(node, name, policy);
	if (!p)
		return jv_error_set(err, ENOMEM, "out of memory");
	jv_origin_take(&p->origin, origin, !p->origin.place);
	return 0;
}

/* Nobody uses it any more, or it is a profile. */
void jv_node_policy_reset(struct jv_node *node, const char *name)
{
	struct jv_named_policy *p, **at = &node->policies;
	struct jv_policy profile;

	while (*at && strcmp((*at)->name, name))
		at = &(*at)->next;
	p = *at;
	if (!p)
		return;
	free(p->origin.place);
	p->origin = (struct jv_origin){ 0 };
	if (!jv_policy_profile(&profile, name)) {
		policy_replace(node, p, &profile);
		return;
	}
	*at = p->next;
	free(p);
}

int jv_node_policy_set(struct jv_node *node, const char *name, const char *knob,
		       const char *value, struct jv_error *err)
{
	struct jv_named_policy *p = find_policy(node, name);
	char why[sizeof(err->text)];
	struct jv_policy policy;
	int ret = check_name("name", name, err);

	if (ret)
		return ret;
	if (p)
		policy = p->policy;
	else
		jv_policy_init(&policy);
	if (jv_policy_set(&policy, knob, value, why, sizeof(why)))
		return jv_error_param(err, jv_knob_find(knob) ? "value" : "knob", "%s", why);
	return jv_node_policy_store(node, name, &policy, &(struct jv_origin){ .told = true }, err);
}

/* --- life --- */

struct jv_node *jv_node_new(const struct jv_node_ops *ops, void *arg, struct jv_rtnl *rtnl)
{
	struct jv_node *node = calloc(1, sizeof(*node));
	struct jv_policy policy;

	if (!node)
		return NULL;
	node->ops = ops ? ops : &no_ops;
	node->arg = arg;
	node->rtnl = rtnl;
	for (size_t i = 0; jv_policy_profiles[i]; i++) {
		if (jv_policy_profile(&policy, jv_policy_profiles[i]) ||
		    !policy_new(node, jv_policy_profiles[i], &policy)) {
			jv_node_free(node);
			return NULL;
		}
	}
	return node;
}

void jv_node_free(struct jv_node *node)
{
	struct jv_named_policy *p;

	if (!node)
		return;
	while (node->links)
		link_remove(node, node->links);
	while ((p = node->policies)) {
		node->policies = p->next;
		free(p->origin.place);
		free(p);
	}
	free(node);
}
