// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "control.h"
#include "object.h"
#include "objects.h"
#include "out.h"
#include "rtnl.h"
#include "session.h"

struct peer_args {
	const char *dev, *name, *policy;
	struct endpoint endpoint;
	struct prefix_list allowed_ips;
	struct key_text preshared;
};

enum { DEV, NAME, ENDPOINT, ALLOWED_IPS, PRESHARED, POLICY };

static const struct param add_params[] = {
	[DEV] = PARAM("dev", value_device, struct peer_args, dev),
	[NAME] = PARAM("name", value_word, struct peer_args, name),
	[ENDPOINT] = PARAM("endpoint", value_endpoint, struct peer_args, endpoint),
	[ALLOWED_IPS] = PARAM_LIST("allowed-ips", value_prefixes, struct peer_args, allowed_ips),
	[PRESHARED] = PARAM("preshared", value_key_file, struct peer_args, preshared),
	[POLICY] = PARAM("policy", value_word, struct peer_args, policy),
};

static const struct param show_params[] = {
	PARAM("dev", value_device, struct peer_args, dev),
};

static json_t *add_call(const char *ifname, const char *key, uint32_t given,
			struct peer_args *args)
{
	json_t *call = json_pack("{s:s, s:s}", "ifname", ifname, "public_key", key);
	json_t *prefixes = json_array();
	char text[ADDRESS_TEXT];

	if (given & 1 << NAME)
		json_put_text(call, "name", args->name);
	if (given & 1 << ENDPOINT)
		json_put_text(call, "endpoint", endpoint_format(&args->endpoint, text));
	for (size_t i = 0; i < args->allowed_ips.count; i++)
		json_array_append_new(prefixes,
				      json_string(prefix_format(&args->allowed_ips.at[i], text)));
	json_object_set_new(call, "allowed_ips", prefixes);
	if (given & 1 << PRESHARED)
		json_put_text(call, "preshared_key", args->preshared.text);
	if (*args->preshared.path)
		json_put_text(call, "preshared_key_file", args->preshared.path);
	sodium_memzero(&args->preshared, sizeof(args->preshared));
	if (given & 1 << POLICY)
		json_put_text(call, "policy", args->policy);
	return call;
}

static int run_add(struct words *words)
{
	struct peer_args args = { 0 };
	struct netlink netlink;
	struct link link;
	const char *key;
	uint32_t given;
	int ret;

	words_value(words, "the peer's public key", value_public_key, &key);
	given = params_take(words, add_params, COUNT(add_params), &args);
	params_need(words, add_params, COUNT(add_params), given, 1 << ALLOWED_IPS);
	ret = rtnl_open(&netlink);
	if (ret)
		return ret;
	ret = rtnl_find(&netlink, args.dev, &link);
	netlink_close(&netlink);
	if (ret)
		return ret;
	return control_call("PeerAdd", add_call(link.name, key, given, &args), NULL);
}

static int run_del(struct words *words)
{
	const char *peer = peer_word(words);

	words_end(words);
	return control_call("PeerDel", json_pack("{s:s}", "peer", peer), NULL);
}

/*
 * What is shown of the peers, by device and name: the daemon's facts where it
 * answers, and whoever the kernel has sessions with.
 */
struct show {
	json_t *peers;			/* by "IFNAME NAME", in order of appearance */
	bool from_kernel;		/* no daemon: addresses are those of the sessions */
};

static json_t *peer_at(struct show *show, const char *ifname, const char *name)
{
	char key[IF_NAMESIZE + JVPN_LABEL_LEN + 2];
	json_t *peer;

	snprintf(key, sizeof(key), "%s %s", ifname, name);
	peer = json_object_get(show->peers, key);
	if (peer)
		return peer;
	peer = json_pack("{s:s, s:s, s:[], s:[]}", "name", name, "ifname", ifname,
			 "allowed_ips", "sessions");
	json_object_set_new(show->peers, key, peer);
	return peer;
}

static void add_facts(struct show *show, const json_t *facts)
{
	static const char *const keys[] = {
		"public_key", "endpoint", "allowed_ips", "preshared", "policy",
	};
	json_t *peers = json_object_get(facts, "peers"), *peer;
	size_t i;

	json_array_foreach(peers, i, peer) {
		json_t *object = peer_at(show, json_text(peer, "ifname", "-"),
					 json_text(peer, "name", "-"));

		for (size_t k = 0; k < COUNT(keys); k++)
			json_take(object, peer, keys[k]);
	}
}

static void add_session(const struct nlmsghdr *message, void *context)
{
	struct show *show = context;
	char ifname[IF_NAMESIZE], id[2 * SID_LEN + 1], text[ADDRESS_TEXT];
	struct session session;
	json_t *peer, *prefixes;

	if (!session_decode(message, &session))
		return;
	peer = peer_at(show, device_name(session.ifindex, ifname), session.label);
	json_array_append_new(json_object_get(peer, "sessions"),
			      json_string(out_hex(session.sid, sizeof(session.sid), id)));
	if (!show->from_kernel)
		return;
	prefixes = json_array();
	for (size_t i = 0; i < session.prefixes; i++)
		json_array_append_new(prefixes,
				      json_string(prefix_format(&session.prefix[i], text)));
	json_object_set_new(peer, "allowed_ips", prefixes);
}

static void print_peers(const struct show *show)
{
	static const char *const headings[] = {
		"NAME", "DEVICE", "PUBLIC-KEY", "ENDPOINT", "ALLOWED-IPS", "POLICY", "SESSIONS",
	};
	struct libscols_table *table = out_table(headings, COUNT(headings));
	struct libscols_line *line;
	json_t *peer, *list;
	const char *key;

	json_object_foreach(show->peers, key, peer) {
		list = json_object_get(peer, "allowed_ips");
		line = out_line(table);
		out_cell(line, 0, "%s", json_text(peer, "name", "-"));
		out_cell(line, 1, "%s", json_text(peer, "ifname", "-"));
		out_cell(line, 2, "%s", json_text(peer, "public_key", "-"));
		out_cell(line, 3, "%s", json_text(peer, "endpoint", "-"));
		out_cell(line, 4, "%s%s", json_array_size(list) ?
			 json_string_value(json_array_get(list, 0)) : "-",
			 json_array_size(list) > 1 ? ",..." : "");
		out_cell(line, 5, "%s", json_text(peer, "policy", "-"));
		out_cell(line, 6, "%zu", json_array_size(json_object_get(peer, "sessions")));
	}
	out_table_end(table);
}

static int run_show(struct words *words)
{
	struct show show = { .peers = json_object() };
	struct peer_args args = { 0 };
	struct genl genl;
	uint32_t ifindex;
	json_t *facts, *peer;
	const char *key;
	int ret;

	params_take(words, show_params, COUNT(show_params), &args);
	ret = device_index(args.dev, &ifindex);
	if (ret)
		return ret;
	ret = genl_open(&genl);
	if (ret)
		return ret;
	facts = control_facts("PeerShow", NULL);
	show.from_kernel = !facts;
	add_facts(&show, facts);
	json_decref(facts);
	ret = genl_dump(&genl, JVPN_CMD_SESSION_GET, ifindex, add_session, &show);
	genl_close(&genl);
	if (!ret && opt.json)
		json_object_foreach(show.peers, key, peer)
			out_object(json_incref(peer));
	else if (!ret)
		print_peers(&show);
	json_decref(show.peers);
	return ret;
}

static const struct command commands[] = {
	{ { "add", NULL }, run_add,
	  "PUBLIC-KEY allowed-ips PREFIX[,PREFIX]... [ name NAME ] [ endpoint ADDRESS:PORT ] "
	  "[ preshared FILE|- ] [ policy NAME ] [ dev DEVICE ]" },
	{ { "show", "s" }, run_show, "[ dev DEVICE ]" },
	{ { "del", NULL }, run_del, "NAME|PUBLIC-KEY" },
};

const struct object peer_object = {
	{ "peer", "p" }, "who may have sessions with us",
	commands, COUNT(commands), &commands[1],
};
