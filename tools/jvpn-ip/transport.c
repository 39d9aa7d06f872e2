// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "objects.h"
#include "out.h"
#include "rtnl.h"
#include "transport.h"

static void add_path(const struct nlmsghdr *message, void *context)
{
	struct paths *paths = context;
	struct path path;

	if (!path_decode(message, &path))
		return;
	if (paths->count == paths->room) {
		paths->room = 2 * paths->room + 16;
		paths->at = realloc(paths->at, paths->room * sizeof(*paths->at));
		if (!paths->at)
			abort();
	}
	paths->at[paths->count++] = path;
}

int paths_load(struct paths *paths, struct genl *genl)
{
	paths->count = 0;
	return genl_dump(genl, JVPN_CMD_PATH_GET, 0, add_path, paths);
}

void paths_free(struct paths *paths)
{
	free(paths->at);
	memset(paths, 0, sizeof(*paths));
}

const struct path *paths_find(const struct paths *paths, uint32_t ifindex, uint64_t id)
{
	for (size_t i = 0; i < paths->count; i++)
		if (paths->at[i].ifindex == ifindex && paths->at[i].id == id)
			return &paths->at[i];
	return NULL;
}

const char *device_name(uint32_t ifindex, char buf[IF_NAMESIZE])
{
	if (!if_indextoname(ifindex, buf))
		snprintf(buf, IF_NAMESIZE, "if%" PRIu32, ifindex);
	return buf;
}

const char *paths_device(const struct paths *paths, uint32_t ifindex, uint64_t id,
			 char buf[IF_NAMESIZE])
{
	const struct path *path = paths_find(paths, ifindex, id);

	if (path && path->oif)
		return device_name(path->oif, buf);
	return strcpy(buf, "-");
}

int device_index(const char *name, uint32_t *ifindex)
{
	*ifindex = name ? if_nametoindex(name) : 0;
	if (name && !*ifindex)
		return fail(EXIT_NOT_FOUND, "jvpn: there is no device \"%s\".", name);
	return EXIT_OK;
}

struct transport_args {
	const char *dev, *match;
	uint64_t preference;
	bool metered;
};

enum { ADD_DEV, ADD_MATCH, ADD_PREFERENCE, ADD_METERED };

static const struct param add_params[] = {
	[ADD_DEV] = PARAM("dev", value_device, struct transport_args, dev),
	[ADD_MATCH] = PARAM("match", value_text, struct transport_args, match),
	[ADD_PREFERENCE] = PARAM_NUMBER("preference", struct transport_args, preference, 0, 1000),
	[ADD_METERED] = PARAM("metered", NULL, struct transport_args, metered),
};

static const struct param show_params[] = {
	PARAM("dev", value_device, struct transport_args, dev),
};

static const char *transport_word(struct words *words)
{
	const char *name;

	words_value(words, "a transport's name", value_word, &name);
	return name;
}

static int run_add(struct words *words)
{
	struct transport_args args = { 0 };
	const char *name = transport_word(words);
	uint32_t given = params_take(words, add_params, COUNT(add_params), &args);
	struct netlink netlink;
	struct link link;
	json_t *call;
	int ret = rtnl_open(&netlink);

	if (ret)
		return ret;
	ret = rtnl_find(&netlink, args.dev, &link);
	netlink_close(&netlink);
	if (ret)
		return ret;
	call = json_pack("{s:s, s:s}", "ifname", link.name, "name", name);
	if (given & 1 << ADD_MATCH)
		json_put_text(call, "match", args.match);
	if (given & 1 << ADD_PREFERENCE)
		json_put_number(call, "preference", args.preference);
	if (given & 1 << ADD_METERED)
		json_object_set_new(call, "metered", json_true());
	return control_call("TransportAdd", call, NULL);
}

static int run_del(struct words *words)
{
	const char *name = transport_word(words);

	words_end(words);
	return control_call("TransportDel", json_pack("{s:s}", "name", name), NULL);
}

/* --- prefer: first in line from now on, and sessions go there --- */

enum { PREFERENCE_MAX = 1000 };

static json_t *find_transport(const json_t *facts, const char *name)
{
	json_t *transport;
	size_t i;

	json_array_foreach(json_object_get(facts, "transports"), i, transport)
		if (!strcmp(json_text(transport, "name", ""), name))
			return transport;
	return NULL;
}

static json_int_t preference_of(const json_t *transport)
{
	return json_integer_value(json_object_get(transport, "preference"));
}

/* More than any other of the same device, or what it is if that is so already. */
static json_int_t top_preference(const json_t *facts, const json_t *wanted)
{
	const char *ifname = json_text(wanted, "ifname", "");
	json_int_t top = preference_of(wanted);
	json_t *other;
	size_t i;

	json_array_foreach(json_object_get(facts, "transports"), i, other)
		if (other != wanted && !strcmp(json_text(other, "ifname", ""), ifname) &&
		    preference_of(other) >= top)
			top = preference_of(other) + 1;
	return top;
}

static int move_sessions(const char *name, const char *ifname)
{
	json_t *reply, *session;
	int ret = control_call("SessionShow", NULL, &reply);
	size_t i;

	if (ret)
		return ret;
	json_array_foreach(json_object_get(reply, "sessions"), i, session) {
		if (ret || strcmp(json_text(session, "ifname", ""), ifname) ||
		    !strcmp(json_text(session, "transport", name), name))
			continue;
		ret = control_call("SessionSwitch",
				   json_pack("{s:s, s:s}", "id", json_text(session, "id", ""),
					     "transport", name), NULL);
	}
	json_decref(reply);
	return ret;
}

static int run_prefer(struct words *words)
{
	const char *name = transport_word(words);
	json_t *facts, *wanted;
	json_int_t top;
	int ret;

	words_end(words);
	ret = control_call("TransportShow", NULL, &facts);
	if (ret)
		return ret;
	wanted = find_transport(facts, name);
	top = wanted ? top_preference(facts, wanted) : 0;
	if (!wanted)
		ret = fail(EXIT_NOT_FOUND, "jvpn: there is no transport \"%s\".", name);
	else if (top > PREFERENCE_MAX)
		ret = fail(EXIT_ERROR, "jvpn: another transport has the highest preference, %d: "
			   "give it less.", PREFERENCE_MAX);
	else if (top != preference_of(wanted))
		ret = control_call("TransportPrefer", json_pack("{s:s, s:I}", "name", name,
								"preference", top), NULL);
	if (!ret)
		ret = move_sessions(name, json_text(wanted, "ifname", ""));
	json_decref(facts);
	return ret;
}

struct block_args {
	uint64_t for_ms;
};

static const struct param block_params[] = {
	PARAM("for", value_time, struct block_args, for_ms),
};

static int run_block(struct words *words)
{
	const char *name = transport_word(words);
	struct block_args args = { 0 };
	json_t *call;

	params_take(words, block_params, COUNT(block_params), &args);
	call = json_pack("{s:s}", "name", name);
	if (args.for_ms)
		json_put_number(call, "for_ms", args.for_ms);
	return control_call("TransportBlock", call, NULL);
}

static int run_unblock(struct words *words)
{
	const char *name = transport_word(words);

	words_end(words);
	return control_call("TransportUnblock", json_pack("{s:s}", "name", name), NULL);
}

/* What is shown of a transport: the kernel's path, the daemon's facts, or both. */
static json_t *transport_json(const struct path *path, json_t *facts)
{
	static const char *const same[] = {
		"name", "match", "preference", "metered", "up", "blocked", "blocked_ms",
	};
	json_t *object = json_object();
	char name[IF_NAMESIZE];

	json_put_text(object, "ifname", path ? device_name(path->ifindex, name)
					     : json_text(facts, "ifname", "-"));
	for (size_t i = 0; i < COUNT(same); i++)
		json_take(object, facts, same[i]);
	if (!path)
		return object;
	json_put_number(object, "path", path->id);
	if (path->oif)
		json_put_text(object, "dev", device_name(path->oif, name));
	if (HAS(path, JVPN_PATH_A_LOCAL))
		json_put_endpoint(object, "local", "local_port", &path->local);
	if (HAS(path, JVPN_PATH_A_MARK))
		json_put_number(object, "mark", path->mark);
	json_put_number(object, "rx_packets", path->rx_packets);
	json_put_number(object, "tx_packets", path->tx_packets);
	return object;
}

static void number_cell(struct libscols_line *line, size_t column, const json_t *object,
			const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (value)
		out_cell(line, column, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		out_cell(line, column, "-");
}

static const char *const headings[] = {
	"NAME", "DEVICE", "PATH", "ON", "LOCAL", "PREFERENCE", "METERED", "RX-PACKETS", "TX-PACKETS",
};

/* Takes @object over. */
static void transport_show(struct libscols_table *table, const struct path *path, json_t *object)
{
	struct libscols_line *line;
	char local[ADDRESS_TEXT];

	if (opt.json) {
		out_object(object);
		return;
	}
	line = out_line(table);
	out_cell(line, 0, "%s", json_text(object, "name", "-"));
	out_cell(line, 1, "%s", json_text(object, "ifname", "-"));
	number_cell(line, 2, object, "path");
	out_cell(line, 3, "%s", json_text(object, "dev", path ? "-" :
		 json_object_get(object, "blocked") ? "blocked" : "down"));
	out_cell(line, 4, "%s", path ? endpoint_format(&path->local, local) : "-");
	number_cell(line, 5, object, "preference");
	out_cell(line, 6, "%s", !json_object_get(object, "metered") ? "-" :
		 json_is_true(json_object_get(object, "metered")) ? "yes" : "no");
	number_cell(line, 7, object, "rx_packets");
	number_cell(line, 8, object, "tx_packets");
	json_decref(object);
}

static const struct path *path_of(const struct paths *paths, const json_t *facts)
{
	const json_t *id = json_object_get(facts, "path");

	if (!json_is_integer(id))
		return NULL;
	return paths_find(paths, if_nametoindex(json_text(facts, "ifname", "")),
			  json_integer_value(id));
}

/* Every path of the kernel, then what the daemon has that stands on none now. */
static void show_all(const struct paths *paths, uint32_t ifindex, json_t *facts)
{
	struct libscols_table *table = opt.json ? NULL : out_table(headings, COUNT(headings));
	json_t *transports = json_object_get(facts, "transports"), *transport;
	size_t i, index;

	for (i = 0; i < paths->count; i++) {
		const struct path *path = &paths->at[i];
		json_t *found = NULL;

		if (ifindex && path->ifindex != ifindex)
			continue;
		json_array_foreach(transports, index, transport)
			if (path_of(paths, transport) == path)
				found = transport;
		transport_show(table, path, transport_json(path, found));
	}
	json_array_foreach(transports, index, transport)
		if (!path_of(paths, transport) &&
		    (!ifindex || if_nametoindex(json_text(transport, "ifname", "")) == ifindex))
			transport_show(table, NULL, transport_json(NULL, transport));
	if (table)
		out_table_end(table);
}

static int run_show(struct words *words)
{
	struct transport_args args = { 0 };
	struct paths paths = { 0 };
	struct genl genl;
	uint32_t ifindex;
	json_t *facts;
	int ret;

	params_take(words, show_params, COUNT(show_params), &args);
	ret = device_index(args.dev, &ifindex);
	if (ret)
		return ret;
	ret = genl_open(&genl);
	if (ret)
		return ret;
	ret = paths_load(&paths, &genl);
	genl_close(&genl);
	if (!ret) {
		facts = control_facts("TransportShow", NULL);
		show_all(&paths, ifindex, facts);
		json_decref(facts);
	}
	paths_free(&paths);
	return ret;
}

static const struct command commands[] = {
	{ { "add", NULL }, run_add,
	  "NAME [ dev DEVICE ] [ match GLOB ] [ preference N ] [ metered ]" },
	{ { "del", NULL }, run_del, "NAME" },
	{ { "prefer", NULL }, run_prefer, "NAME" },
	{ { "block", NULL }, run_block, "NAME [ for TIME ]" },
	{ { "unblock", NULL }, run_unblock, "NAME" },
	{ { "show", "s" }, run_show, "[ dev DEVICE ]" },
};

const struct object transport_object = {
	{ "transport", "t" }, "what sessions of a client may run over",
	commands, COUNT(commands), &commands[5],
};
