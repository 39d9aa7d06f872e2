// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "../../uapi/wire.h"
#include "control.h"
#include "object.h"
#include "objects.h"
#include "out.h"
#include "rtnl.h"
#include "transport.h"

struct link_args {
	const char *type;
	uint64_t mtu, fwmark, table;
	struct endpoint listen;
	struct key_text private_key;
	struct prefix_list addresses;
	bool up, down;
};

enum { TYPE, MTU, FWMARK, TABLE, LISTEN, PRIVATE_KEY, ADDRESS, UP, DOWN };

/* What only the daemon can do; all else is rtnetlink's, and the daemon is told to keep it. */
#define DAEMONS (1 << FWMARK | 1 << TABLE | 1 << LISTEN | 1 << PRIVATE_KEY)

static void value_type(const struct param *param, const char *text, void *to)
{
	if (strcmp(text, "jvpn"))
		wrong(text, "not a type of device made here", "jvpn");
	value_text(param, text, to);
}

static void value_address_of(const struct param *param, const char *text, void *to)
{
	struct prefix_list *list = to;

	if (list->count == LIST_MAX)
		wrong(text, "too many addresses", "32 at most");
	value_prefix(param, text, &list->at[list->count++]);
}

static const struct param set_params[] = {
	[TYPE] = PARAM("type", value_type, struct link_args, type),
	[MTU] = PARAM_NUMBER("mtu", struct link_args, mtu, MTU_MIN, 65535 - JVPN_OVERHEAD),
	[FWMARK] = PARAM_NUMBER("fwmark", struct link_args, fwmark, 1, UINT32_MAX),
	[TABLE] = PARAM_NUMBER("table", struct link_args, table, 1, UINT32_MAX),
	[LISTEN] = PARAM("listen", value_endpoint, struct link_args, listen),
	[PRIVATE_KEY] = PARAM("private-key", value_key_file, struct link_args, private_key),
	[ADDRESS] = PARAM_LIST("address", value_address_of, struct link_args, addresses),
	[UP] = PARAM("up", NULL, struct link_args, up),
	[DOWN] = PARAM("down", NULL, struct link_args, down),
};

static const char *device_word(struct words *words)
{
	const char *name;

	words_value(words, "a device name", value_device, &name);
	return name;
}

static uint32_t link_args_take(struct words *words, struct link_args *args)
{
	uint32_t given;

	memset(args, 0, sizeof(*args));
	given = params_take(words, set_params, COUNT(set_params), args);
	if (args->up && args->down)
		wrong("down", "contradicts \"up\"", NULL);
	return given;
}

static json_t *set_call(const char *name, uint32_t given, struct link_args *args)
{
	json_t *call = json_pack("{s:s}", "ifname", name), *addresses = json_array();
	char text[ADDRESS_TEXT];

	if (given & 1 << MTU)
		json_put_number(call, "mtu", args->mtu);
	if (given & 1 << FWMARK)
		json_put_number(call, "fwmark", args->fwmark);
	if (given & 1 << TABLE)
		json_put_number(call, "table", args->table);
	if (given & 1 << LISTEN)
		json_put_text(call, "listen", endpoint_format(&args->listen, text));
	for (size_t i = 0; i < args->addresses.count; i++)
		json_array_append_new(addresses,
				      json_string(prefix_format(&args->addresses.at[i], text)));
	json_object_set_new(call, "addresses", addresses);
	if (given & 1 << PRIVATE_KEY)
		json_put_text(call, "private_key", args->private_key.text);
	if (*args->private_key.path)
		json_put_text(call, "private_key_file", args->private_key.path);
	sodium_memzero(&args->private_key, sizeof(args->private_key));
	return call;
}

/* Where the daemon is not needed it may as well not be there. */
static int tell_daemon(const char *name, uint32_t given, struct link_args *args)
{
	json_t *call = set_call(name, given, args);

	if (given & DAEMONS)
		return control_call("LinkSet", call, NULL);
	json_decref(control_facts("LinkSet", call));
	return EXIT_OK;
}

/*
 * Everything or nothing: the steps that can be taken back come first, and the
 * daemon, which takes a change whole or not at all, has the last word.
 */
static int change(struct netlink *netlink, const struct link *link, uint32_t given,
		  struct link_args *args)
{
	const struct link_change wanted = { .mtu = args->mtu, .up = args->up, .down = args->down };
	const struct link_change before = { .mtu = link->mtu, .up = link->up, .down = !link->up };
	bool set = wanted.mtu || wanted.up || wanted.down;
	size_t added = 0;
	int ret = EXIT_OK;

	if (set)
		ret = rtnl_set(netlink, link, &wanted);
	if (ret)
		return ret;
	while (!ret && added < args->addresses.count) {
		ret = rtnl_address_add(netlink, link, &args->addresses.at[added]);
		added += !ret;
	}
	if (!ret)
		ret = tell_daemon(link->name, given, args);
	if (!ret)
		return EXIT_OK;
	while (added--)
		rtnl_address_del(netlink, link, &args->addresses.at[added]);
	if (set)
		rtnl_set(netlink, link, &before);
	return ret;
}

static int run_add(struct words *words)
{
	const char *name = device_word(words);
	const struct link_change plain = { 0 };
	struct netlink netlink;
	struct link_args args;
	struct link link = { 0 };
	uint32_t given = link_args_take(words, &args);
	int ret = given & DAEMONS ? control_open() : EXIT_OK;

	if (ret)
		return ret;
	ret = rtnl_open(&netlink);
	if (ret)
		return ret;
	ret = rtnl_add(&netlink, name, &plain);
	if (!ret) {
		ret = rtnl_find(&netlink, name, &link);
		if (!ret)
			ret = change(&netlink, &link, given, &args);
		if (ret && link.ifindex)
			rtnl_del(&netlink, &link);
	}
	netlink_close(&netlink);
	return ret;
}

static int run_set(struct words *words)
{
	const char *name = device_word(words);
	struct netlink netlink;
	struct link_args args;
	struct link link;
	uint32_t given = link_args_take(words, &args);
	int ret;

	if (!given)
		words_take(words, "what to set", "mtu, listen, private-key, fwmark, table, "
			   "address, up, down");
	ret = given & DAEMONS ? control_open() : EXIT_OK;
	if (ret)
		return ret;
	ret = rtnl_open(&netlink);
	if (ret)
		return ret;
	ret = rtnl_find(&netlink, name, &link);
	if (!ret)
		ret = change(&netlink, &link, given, &args);
	netlink_close(&netlink);
	return ret;
}

/* The device goes whether or not a daemon is there to forget it. */
static int run_del(struct words *words)
{
	const char *name = device_word(words);
	struct netlink netlink;
	struct link link;
	json_t *facts;
	int ret;

	words_end(words);
	ret = rtnl_open(&netlink);
	if (ret)
		return ret;
	ret = rtnl_find(&netlink, name, &link);
	if (!ret) {
		facts = control_facts("LinkForget", json_pack("{s:s}", "ifname", name));
		ret = rtnl_del(&netlink, &link);
		if (!ret && json_object_get(facts, "note"))
			note(json_text(facts, "note", ""));
		json_decref(facts);
	}
	netlink_close(&netlink);
	return ret;
}

/* What "link show" brings together: rtnetlink, the module, the daemon. */
struct show {
	const char *name;
	struct genl genl;
	json_t *links;
	struct libscols_table *table;
	size_t shown;
	int ret;
};

static void keep_device(const struct nlmsghdr *message, void *context)
{
	device_decode(message, context);
}

static json_t *facts_of(json_t *links, const char *name)
{
	json_t *link;
	size_t i;

	json_array_foreach(links, i, link)
		if (!strcmp(json_text(link, "ifname", ""), name))
			return link;
	return NULL;
}

static json_t *link_json(const struct link *link, const struct device *device, const json_t *facts)
{
	static const char *const from_daemon[] = { "public_key", "listen", "fwmark", "table" };
	json_t *object = json_object();

	json_put_text(object, "ifname", link->name);
	json_put_number(object, "ifindex", link->ifindex);
	json_object_set_new(object, "up", json_boolean(link->up));
	json_put_number(object, "mtu", link->mtu);
	json_put_text(object, "role", role_name(device->role));
	json_put_number(object, "term", device->term);
	json_put_number(object, "sessions", device->sessions);
	json_put_number(object, "epochs", device->epochs);
	json_object_set_new(object, "daemon",
			    json_boolean(HAS(device, JVPN_DEV_A_DAEMON_PORT) &&
					 !HAS(device, JVPN_DEV_A_DAEMON_GONE_MS)));
	if (HAS(device, JVPN_DEV_A_DAEMON_GONE_MS))
		json_put_number(object, "daemon_gone_ms", device->daemon_gone_ms);
	for (size_t i = 0; i < COUNT(from_daemon); i++)
		json_take(object, facts, from_daemon[i]);
	return object;
}

static const char *daemon_text(const struct device *device, char buf[FIGURE_TEXT])
{
	if (HAS(device, JVPN_DEV_A_DAEMON_GONE_MS))
		return out_time(device->daemon_gone_ms, buf);
	return HAS(device, JVPN_DEV_A_DAEMON_PORT) ? NULL : "never";
}

static void print_link(const struct link *link, const struct device *device, const json_t *facts)
{
	char buf[FIGURE_TEXT];
	const char *gone = daemon_text(device, buf);
	const json_t *number;

	printf("%u: %s: <%s> mtu %u role %s term %" PRIu64 " sessions %" PRIu64 " keys %" PRIu64,
	       link->ifindex, link->name, link->up ? "UP" : "DOWN", link->mtu,
	       role_name(device->role), device->term, device->sessions, device->epochs);
	if (gone)
		printf(" no daemon%s%s", HAS(device, JVPN_DEV_A_DAEMON_GONE_MS) ? " since " : "",
		       HAS(device, JVPN_DEV_A_DAEMON_GONE_MS) ? gone : "");
	if (facts)
		printf("%s    public-key %s listen %s", out_break(),
		       json_text(facts, "public_key", "-"), json_text(facts, "listen", "-"));
	number = json_object_get(facts, "fwmark");
	if (json_is_integer(number))
		printf(" fwmark 0x%" PRIx64, (uint64_t)json_integer_value(number));
	number = json_object_get(facts, "table");
	if (json_is_integer(number))
		printf(" table %" PRIu64, (uint64_t)json_integer_value(number));
	if (opt.stats)
		printf("%s    RX: bytes %" PRIu64 " packets %" PRIu64 "%s    TX: bytes %" PRIu64
		       " packets %" PRIu64, out_break(), device->rx_bytes, device->rx_packets,
		       out_break(), device->tx_bytes, device->tx_packets);
	putchar('\n');
}

static void show_link(const struct link *link, void *context)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct show *show = context;
	struct netlink_error error;
	struct nlmsghdr *message;
	struct device device = { 0 };
	struct libscols_line *line;
	json_t *facts;

	if (show->ret || (show->name && strcmp(show->name, link->name)))
		return;
	message = genl_message(&show->genl, buf, JVPN_CMD_DEV_GET, 0, link->ifindex);
	if (netlink_talk(&show->genl.netlink, message, keep_device, &device, &error)) {
		if (error.code != ENODEV)	/* it went away meanwhile */
			show->ret = netlink_fail(&error, link->name);
		return;
	}
	facts = facts_of(show->links, link->name);
	show->shown++;
	if (opt.json) {
		out_object(link_json(link, &device, facts));
	} else if (opt.brief) {
		line = out_line(show->table);
		out_cell(line, 0, "%s", link->name);
		out_cell(line, 1, "%s", link->up ? "UP" : "DOWN");
		out_cell(line, 2, "%s", role_name(device.role));
		out_cell(line, 3, "%s", json_text(facts, "listen", "-"));
		out_cell(line, 4, "%" PRIu64, device.sessions);
	} else {
		print_link(link, &device, facts);
	}
}

static int run_show(struct words *words)
{
	static const char *const headings[] = { "DEVICE", "LINK", "ROLE", "LISTEN", "SESSIONS" };
	struct show show = { .name = words_left(words) ? device_word(words) : NULL };
	struct netlink netlink;
	json_t *facts;
	int ret;

	words_end(words);
	ret = genl_open(&show.genl);
	if (ret)
		return ret;
	ret = rtnl_open(&netlink);
	if (ret) {
		genl_close(&show.genl);
		return ret;
	}
	facts = control_facts("LinkShow", NULL);
	show.links = json_object_get(facts, "links");
	if (opt.brief && !opt.json)
		show.table = out_table(headings, COUNT(headings));
	ret = rtnl_each(&netlink, show_link, &show);
	if (!ret)
		ret = show.ret;
	if (show.table)
		out_table_end(show.table);
	if (!ret && show.name && !show.shown)
		ret = fail(EXIT_NOT_FOUND, "jvpn: there is no device \"%s\" of kind jvpn.",
			   show.name);
	json_decref(facts);
	netlink_close(&netlink);
	genl_close(&show.genl);
	return ret;
}

#define SET_USAGE								\
	"[ mtu N ] [ listen ADDRESS:PORT ] [ private-key FILE|- ] [ fwmark N ] [ table N ] " \
	"[ address PREFIX ]... [ up | down ]"

static const struct command commands[] = {
	{ { "add", NULL }, run_add, "NAME [ type jvpn ] " SET_USAGE },
	{ { "show", "s" }, run_show, "[ NAME ]" },
	{ { "set", NULL }, run_set, "NAME " SET_USAGE },
	{ { "del", NULL }, run_del, "NAME" },
};

const struct object link_object = {
	{ "link", "l" }, "devices of kind jvpn",
	commands, COUNT(commands), &commands[1],
};
