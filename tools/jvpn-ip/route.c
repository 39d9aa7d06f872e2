// SPDX-License-Identifier: GPL-2.0
/* Which session an inner address belongs to: the kernel's own table, by way of its sessions. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../../daemon/names.h"
#include "objects.h"
#include "out.h"
#include "session.h"

struct route_args {
	const char *dev;
};

static const struct param params[] = { PARAM("dev", value_device, struct route_args, dev) };

struct route {
	uint32_t ifindex;
	struct prefix prefix;
	struct session session;
};

struct routes {
	struct route *at;
	size_t count, room;
	const struct address *address;		/* only what holds it; NULL: all */
};

static void add(struct routes *routes, const struct session *session, const struct prefix *prefix)
{
	if (routes->address && !prefix_holds(prefix, routes->address))
		return;
	if (routes->count == routes->room) {
		routes->room = 2 * routes->room + 16;
		routes->at = realloc(routes->at, routes->room * sizeof(*routes->at));
		if (!routes->at)
			abort();
	}
	routes->at[routes->count++] = (struct route){
		.ifindex = session->ifindex, .prefix = *prefix, .session = *session,
	};
}

static void add_session(const struct nlmsghdr *message, void *context)
{
	struct session session;

	if (!session_decode(message, &session))
		return;
	for (size_t i = 0; i < session.prefixes; i++)
		add(context, &session, &session.prefix[i]);
}

/* By family and address, the longer prefix first where one holds the other. */
static int compare(const void *a, const void *b)
{
	const struct prefix *x = &((const struct route *)a)->prefix;
	const struct prefix *y = &((const struct route *)b)->prefix;
	int order = x->address.family - y->address.family;

	if (!order)
		order = memcmp(x->address.bytes, y->address.bytes, sizeof(x->address.bytes));
	return order ? order : (int)y->length - (int)x->length;
}

static int longer_first(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	return (int)y->prefix.length - (int)x->prefix.length;
}

static int load(struct routes *routes, const char *dev)
{
	struct genl genl;
	uint32_t ifindex;
	int ret = device_index(dev, &ifindex);

	if (!ret)
		ret = genl_open(&genl);
	if (ret)
		return ret;
	ret = genl_dump(&genl, JVPN_CMD_SESSION_GET, ifindex, add_session, routes);
	genl_close(&genl);
	return ret;
}

static void show(struct libscols_table *table, const struct route *route)
{
	char name[IF_NAMESIZE], prefix[ADDRESS_TEXT], id[SID_TEXT], state[FIGURE_TEXT];
	struct libscols_line *line;

	prefix_format(&route->prefix, prefix);
	session_id(&route->session, id);
	device_name(route->ifindex, name);
	out_lower(jv_state_name(route->session.state), state);
	if (opt.json) {
		out_object(json_pack("{s:s, s:s, s:s, s:s, s:s}", "prefix", prefix, "ifname", name,
				     "peer", route->session.label, "id", id, "state", state));
		return;
	}
	line = out_line(table);
	out_cell(line, 0, "%s", prefix);
	out_cell(line, 1, "%s", name);
	out_cell(line, 2, "%s", route->session.label);
	out_cell(line, 3, "%s", id);
	out_cell(line, 4, "%s", jv_state_name(route->session.state));
}

static void show_routes(const struct routes *routes, size_t count)
{
	static const char *const headings[] = { "PREFIX", "DEVICE", "PEER", "SESSION", "STATE" };
	struct libscols_table *table = opt.json ? NULL : out_table(headings, COUNT(headings));

	for (size_t i = 0; i < count; i++)
		show(table, &routes->at[i]);
	if (table)
		out_table_end(table);
}

static int run_show(struct words *words)
{
	struct routes routes = { 0 };
	struct route_args args = { 0 };
	int ret;

	params_take(words, params, COUNT(params), &args);
	ret = load(&routes, args.dev);
	if (!ret) {
		qsort(routes.at, routes.count, sizeof(*routes.at), compare);
		show_routes(&routes, routes.count);
	}
	free(routes.at);
	return ret;
}

/* The longest prefix wins, as in the kernel. */
static int run_get(struct words *words)
{
	struct routes routes = { 0 };
	struct route_args args = { 0 };
	char text[ADDRESS_TEXT];
	struct address address;
	int ret;

	words_value(words, "an inner address", value_address, &address);
	params_take(words, params, COUNT(params), &args);
	routes.address = &address;
	ret = load(&routes, args.dev);
	if (!ret && !routes.count)
		ret = fail(EXIT_NOT_FOUND, "jvpn: no session owns %s: packets to it are dropped.",
			   address_format(&address, text));
	if (!ret) {
		qsort(routes.at, routes.count, sizeof(*routes.at), longer_first);
		show_routes(&routes, 1);
	}
	free(routes.at);
	return ret;
}

static const struct command commands[] = {
	{ { "show", "s" }, run_show, "[ dev DEVICE ]" },
	{ { "get", NULL }, run_get, "ADDRESS [ dev DEVICE ]" },
};

const struct object route_object = {
	{ "route", "r" }, "which session an inner address belongs to",
	commands, COUNT(commands), &commands[0],
};
