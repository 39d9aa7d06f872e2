// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../daemon/policy.h"
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

/* A key pair for the peer: it gets the private half, which nobody keeps here. */
static const char *generate(char private_text[KEY_TEXT], char public_text[KEY_TEXT])
{
	unsigned char key[KEY_LEN], public_key[KEY_LEN];

	randombytes_buf(key, sizeof(key));
	key[0] &= 248;
	key[31] = (key[31] & 127) | 64;
	if (crypto_scalarmult_base(public_key, key))
		abort();
	sodium_bin2base64(private_text, KEY_TEXT, key, sizeof(key),
			  sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2base64(public_text, KEY_TEXT, public_key, sizeof(public_key),
			  sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(key, sizeof(key));
	return public_text;
}

static int add(const char *key, uint32_t given, struct peer_args *args)
{
	struct netlink netlink;
	struct link link;
	int ret = rtnl_open(&netlink);

	if (ret)
		return ret;
	ret = rtnl_find(&netlink, args->dev, &link);
	netlink_close(&netlink);
	return ret ? ret : control_call("PeerAdd", add_call(link.name, key, given, args), NULL);
}

static int run_add(struct words *words)
{
	char private_text[KEY_TEXT] = "", public_text[KEY_TEXT];
	struct peer_args args = { 0 };
	const char *key;
	uint32_t given;
	int ret;

	if (words_left(words) && !strcmp(*words->at, "generate-key")) {
		words_take(words, "generate-key", NULL);
		key = generate(private_text, public_text);
	} else {
		words_value(words, "the peer's public key", value_public_key, &key);
	}
	given = params_take(words, add_params, COUNT(add_params), &args);
	params_need(words, add_params, COUNT(add_params), given, 1 << ALLOWED_IPS);
	ret = add(key, given, &args);
	if (!ret && *private_text && opt.json)
		out_object(json_pack("{s:s, s:s}", "private_key", private_text, "public_key", key));
	else if (!ret && *private_text)
		puts(private_text);
	sodium_memzero(private_text, sizeof(private_text));
	return ret;
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

/* --- export: what the peer needs, as its own configuration file --- */

struct export_args {
	struct endpoint endpoint;
	struct prefix_list allowed_ips;
	const char *name;
};

enum { EXPORT_ENDPOINT, EXPORT_ALLOWED_IPS, EXPORT_AS };

static const struct param export_params[] = {
	[EXPORT_ENDPOINT] = PARAM("endpoint", value_endpoint, struct export_args, endpoint),
	[EXPORT_ALLOWED_IPS] = PARAM_LIST("allowed-ips", value_prefixes, struct export_args,
					  allowed_ips),
	[EXPORT_AS] = PARAM("as", value_word, struct export_args, name),
};

static const char export_form[] =
	"# Configuration of %s, for /etc/jvpn/jvpnd.conf on that machine.\n"
	"# Its private key goes into the file that private-key names, with mode 0600.\n"
	"interface \"%s\" {\n"
	"\tprivate-key = \"file:/etc/jvpn/%s.key\"\n"
	"}\n"
	"# What it may use; the names of interfaces may be others there.\n"
	"transport \"wired\" {\n\tmatch = \"e*\"\n\tpreference = 200\n}\n"
	"transport \"wifi\" {\n\tmatch = \"wl*\"\n\tpreference = 100\n}\n"
	"transport \"lte\" {\n\tmatch = \"ww*\"\n\tpreference = 50\n\tmetered = true\n}\n"
	"peer \"%s\" {\n"
	"\tpublic-key = \"%s\"\n"
	"\tendpoint = \"%s\"\n"
	"\tallowed-ips = { %s }\n";

/* The network that an address stands in. */
static struct prefix network_of(struct prefix address)
{
	size_t size = address.address.family == AF_INET ? 4 : 16;

	for (size_t i = 0; i < size; i++) {
		unsigned int bits = address.length > 8 * i ? address.length - 8 * i : 0;

		if (bits < 8)
			address.address.bytes[i] &= 0xff00 >> bits;
	}
	return address;
}

static void add_prefix(char *list, size_t size, const struct prefix *prefix)
{
	size_t used = strlen(list);
	char text[ADDRESS_TEXT];

	snprintf(list + used, size - used, "%s\"%s\"", used ? ", " : "",
		 prefix_format(prefix, text));
}

/* As given, else the networks that the gateway itself has addresses in. */
static int export_prefixes(const struct export_args *args, const json_t *link, char *list,
			   size_t size)
{
	static const struct param param = { .name = { .word = "address" } };
	json_t *address;
	size_t i;

	for (i = 0; i < args->allowed_ips.count; i++)
		add_prefix(list, size, &args->allowed_ips.at[i]);
	if (*list)
		return EXIT_OK;
	json_array_foreach(json_object_get(link, "addresses"), i, address) {
		struct prefix prefix;

		value_prefix(&param, json_string_value(address), &prefix);
		prefix = network_of(prefix);
		add_prefix(list, size, &prefix);
	}
	return *list ? EXIT_OK :
	       fail(EXIT_SYNTAX, "jvpn: %s has no address that says what is behind it: say "
		    "allowed-ips PREFIX.", json_text(link, "ifname", "-"));
}

/* Where it listens, unless that is everywhere. */
static int export_endpoint(const struct export_args *args, uint32_t given, const json_t *link,
			   char text[ADDRESS_TEXT])
{
	const char *listen = json_text(link, "listen", "");

	if (given & 1 << EXPORT_ENDPOINT) {
		endpoint_format(&args->endpoint, text);
		return EXIT_OK;
	}
	if (!*listen)
		return fail(EXIT_SYNTAX, "jvpn: %s does not listen, it is no gateway.",
			    json_text(link, "ifname", "-"));
	if (!strncmp(listen, "0.0.0.0:", 8) || !strncmp(listen, "[::]:", 5))
		return fail(EXIT_SYNTAX, "jvpn: %s listens at %s, which is no address to send to: "
			    "say endpoint ADDRESS:PORT.", json_text(link, "ifname", "-"), listen);
	snprintf(text, ADDRESS_TEXT, "%s", listen);
	return EXIT_OK;
}

static void print_export(const struct export_args *args, const json_t *peer, const json_t *link,
			 const char *endpoint, const char *prefixes)
{
	const char *name = json_text(peer, "name", "-"), *policy = json_text(peer, "policy", "");
	char host[65] = "gateway";
	json_t *address;
	size_t i;

	if (!args->name && gethostname(host, sizeof(host) - 1))
		strcpy(host, "gateway");
	printf(export_form, name, json_text(link, "ifname", "-"), name,
	       args->name ? args->name : host, json_text(link, "public_key", "-"), endpoint,
	       prefixes);
	if (json_is_true(json_object_get(peer, "preshared")))
		printf("\tpreshared = \"file:/etc/jvpn/%s.psk\"	# the key that the gateway has\n",
		       name);
	for (i = 0; jv_policy_profiles[i]; i++)
		if (!strcmp(policy, jv_policy_profiles[i]))
			printf("\tpolicy = \"%s\"\n", policy);
	puts("}\n# It gets, from the gateway:");
	json_array_foreach(json_object_get(peer, "allowed_ips"), i, address)
		printf("#\t%s\n", json_string_value(address));
}

static int export(const struct export_args *args, uint32_t given, const json_t *peer,
		  const json_t *link)
{
	char endpoint[ADDRESS_TEXT], prefixes[LIST_MAX * (ADDRESS_TEXT + 4)] = "";
	int ret = export_endpoint(args, given, link, endpoint);

	if (!ret)
		ret = export_prefixes(args, link, prefixes, sizeof(prefixes));
	if (!ret)
		print_export(args, peer, link, endpoint, prefixes);
	return ret;
}

static int run_export(struct words *words)
{
	const char *name = peer_word(words);
	struct export_args args = { 0 };
	uint32_t given = params_take(words, export_params, COUNT(export_params), &args);
	json_t *peers = NULL, *links = NULL, *peer;
	int ret = control_call("PeerShow", json_pack("{s:s}", "peer", name), &peers);

	if (ret)
		return ret;
	peer = json_array_get(json_object_get(peers, "peers"), 0);
	ret = control_call("LinkShow", json_pack("{s:s}", "ifname", json_text(peer, "ifname", "")),
			   &links);
	if (!ret)
		ret = export(&args, given, peer,
			     json_array_get(json_object_get(links, "links"), 0));
	json_decref(links);
	json_decref(peers);
	return ret;
}

static const struct command commands[] = {
	{ { "add", NULL }, run_add,
	  "PUBLIC-KEY|generate-key allowed-ips PREFIX[,PREFIX]... [ name NAME ] [ endpoint ADDRESS:PORT ] "
	  "[ preshared FILE|- ] [ policy NAME ] [ dev DEVICE ]" },
	{ { "show", "s" }, run_show, "[ dev DEVICE ]" },
	{ { "del", NULL }, run_del, "NAME|PUBLIC-KEY" },
	{ { "export", NULL }, run_export,
	  "NAME|PUBLIC-KEY [ endpoint ADDRESS:PORT ] [ allowed-ips PREFIX[,PREFIX]... ] [ as NAME ]" },
};

const struct object peer_object = {
	{ "peer", "p" }, "who may have sessions with us",
	commands, COUNT(commands), &commands[1],
};
