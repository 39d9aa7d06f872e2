// SPDX-License-Identifier: GPL-2.0
#include "client.h"
#include "log.h"

static void put_addr(struct jv_client *c, const struct jv_prefix *addr)
{
	struct jv_link *link = c->clients->link;
	struct jv_error err;

	if (jv_rtnl_addr_add(c->clients->env->rtnl, link->ifindex, addr, &err))
		jv_warn("%s: inner address granted by %s: %s", link->name, c->peer->name, err.text);
}

/* The address that is granted now, in place of the one before. */
static void set_addr(struct jv_client *c, bool *has, struct jv_prefix *have, bool granted,
		     const struct jv_prefix *grant)
{
	struct jv_link *link = c->clients->link;

	if (*has && (!granted || !jv_prefix_equal(have, grant))) {
		jv_rtnl_addr_del(c->clients->env->rtnl, link->ifindex, have, NULL);
		*has = false;
	}
	if (!granted || *has)
		return;
	put_addr(c, grant);
	*have = *grant;
	*has = true;
}

static void set_addrs(struct jv_client *c)
{
	const struct jv_options *opt = &c->terms.opt;
	/* An address, no network: what the tunnel leads to is for allowed-ips to say. */
	struct jv_prefix grant4 = { .family = AF_INET, .len = 32 };
	struct jv_prefix grant6 = { .family = AF_INET6, .len = 128 };

	memcpy(grant4.addr, opt->inner4, sizeof(opt->inner4));
	memcpy(grant6.addr, opt->inner6, sizeof(opt->inner6));
	set_addr(c, &c->has4, &c->inner4, opt->has4, &grant4);
	set_addr(c, &c->has6, &c->inner6, opt->has6, &grant6);
}

/*
 * The routes stay from session to session: while there is none, what should be
 * inside the tunnel is dropped and does not go out in clear.
 */
static void set_routes(struct jv_client *c)
{
	struct jv_link *link = c->clients->link;
	struct jv_error err;

	if (c->routed)
		return;
	if (jv_rtnl_routes_add(c->clients->env->rtnl, link->ifindex, link->table, link->mark,
			       c->peer->prefix, c->peer->prefixes, &err))
		jv_warn("%s: routes to %s: %s", link->name, c->peer->name, err.text);
	else
		c->routed = true;
}

void jv_tunnel_up(struct jv_client *c)
{
	struct jv_rtnl *rtnl = c->clients->env->rtnl;
	struct jv_link *link = c->clients->link;
	struct jv_error err;

	if (!link->mtu && c->terms.mtu &&
	    jv_rtnl_mtu(rtnl, link->ifindex, c->terms.mtu, &err))
		jv_warn("%s: MTU granted by %s: %s", link->name, c->peer->name, err.text);
	set_addrs(c);
	if (jv_rtnl_up(rtnl, link->ifindex, &err))
		jv_warn("%s: %s", link->name, err.text);
	set_routes(c);
}

void jv_tunnel_down(struct jv_client *c)
{
	struct jv_rtnl *rtnl = c->clients->env->rtnl;
	struct jv_link *link = c->clients->link;

	if (c->has4)
		jv_rtnl_addr_del(rtnl, link->ifindex, &c->inner4, NULL);
	if (c->has6)
		jv_rtnl_addr_del(rtnl, link->ifindex, &c->inner6, NULL);
	if (c->routed)
		jv_rtnl_routes_del(rtnl, link->ifindex, c->peer->prefix, c->peer->prefixes);
	c->has4 = c->has6 = c->routed = false;
}
