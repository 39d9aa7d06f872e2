// SPDX-License-Identifier: GPL-2.0
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audit.h"
#include "methods.h"
#include "node.h"
#include "refusals.h"
#include "settings.h"
#include "shard.h"

#define INTERFACE "io.jvpn.Control"

struct result {
	struct jv_error err;
	struct jv_command_result command;
	char note[512];			/* what people should know of a success, or "" */
};

enum type { TYPE_STRING, TYPE_INT, TYPE_BOOL, TYPE_STRINGS };

struct parameter {
	const char *name;
	enum type type;
	bool required;
};

enum { PARAMETERS = 8 };

struct method {
	const char *name;
	/* 0, 1 (the reply comes later), or -errno and @result. */
	int (*run)(struct jv_call *call, const json_t *in, json_t *out, struct result *result);
	const char *what;		/* it acts on, for NotFound */
	enum { READS, CHANGES, CHANGES_POLICY } effect;	/* a change is audited, here or there, and kept */
	struct parameter parameters[PARAMETERS + 1];
};

static void wiping_free(void *p)
{
	if (p)
		sodium_memzero(p, malloc_usable_size(p));
	free(p);
}

void jv_methods_setup(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

/* --- small things --- */

static const char *text_of(const json_t *in, const char *name)
{
	return json_string_value(json_object_get(in, name));
}

static int u32_of(const json_t *in, const char *name, uint32_t *value, const uint32_t **given,
		  struct jv_error *err)
{
	const json_t *item = json_object_get(in, name);
	json_int_t number = json_integer_value(item);

	if (!item || json_is_null(item))
		return 0;
	if (number < 0 || number > UINT32_MAX)
		return jv_error_param(err, name, "%" JSON_INTEGER_FORMAT " is not allowed, it takes "
				      "a number from 0 to %u", number, UINT32_MAX);
	*value = number;
	if (given)
		*given = value;
	return 0;
}

static int addr_of(const json_t *in, const char *name, union jv_addr *addr,
		   const union jv_addr **given, struct jv_error *err)
{
	const char *text = text_of(in, name);

	if (!text)
		return 0;
	if (jv_addr_parse(addr, text))
		return jv_error_param(err, name, "\"%s\" is not allowed, it takes an IPv4 "
				      "ADDRESS:PORT", text);
	*given = addr;
	return 0;
}

/* Never quotes what was given. */
static int key_of(const json_t *in, const char *name, uint8_t key[32], const uint8_t **given,
		  struct jv_error *err)
{
	const char *text = text_of(in, name);

	if (!text)
		return 0;
	if (jv_key_parse(key, text))
		return jv_error_param(err, name, "this is not a key: 44 characters of base64 are "
				      "needed");
	*given = key;
	return 0;
}

/* The file wins when it is read again. */
static void note_place(struct result *result, const char *what, const char *name,
		       const struct jv_origin *origin)
{
	if (origin->place && !origin->told)
		snprintf(result->note, sizeof(result->note), "%s %s stands in %s: this lasts until "
			 "the configuration is read again, change it there as well", what, name,
			 origin->place);
}

/*
 * The file a key came from, if it may stand in our place for the key, which is never
 * copied. Else NULL, and @what is not kept.
 */
static const char *key_file_of(const json_t *in, const char *name, const uint8_t *key,
			       const char *what, struct result *result)
{
	const char *path = text_of(in, name);
	char why[JV_CONFIG_PATH + 128] = "it came from no file";
	uint8_t read[32] = { 0 };

	if (!key)
		return NULL;
	if (path && !jv_config_read_key(path, read, why, sizeof(why))) {
		if (!sodium_memcmp(read, key, sizeof(read)) && *path == '/' &&
		    strlen(path) < JV_CONFIG_PATH) {
			sodium_memzero(read, sizeof(read));
			return path;
		}
		snprintf(why, sizeof(why), "\"%.200s\" is no whole path, or holds another", path);
	}
	sodium_memzero(read, sizeof(read));
	snprintf(result->note, sizeof(result->note), "%s is not kept for the next start: %s", what,
		 why);
	return NULL;
}

static void put(json_t *object, const char *key, json_t *value)
{
	json_object_set_new(object, key, value);
}

static void put_text(json_t *object, const char *key, const char *text)
{
	put(object, key, json_string(text));
}

static void put_number(json_t *object, const char *key, uint64_t number)
{
	put(object, key, json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number));
}

/* States as JSON has them everywhere: in lower case. */
static const char *state_text(unsigned int state, char buf[16])
{
	const char *name = jv_state_name(state);
	size_t i;

	for (i = 0; name[i] && i < 15; i++)
		buf[i] = tolower((unsigned char)name[i]);
	buf[i] = '\0';
	return buf;
}

/* --- status --- */

static int run_status(struct jv_call *call, const json_t *in, json_t *out, struct result *result)
{
	struct jv_env *env = call->env;
	uint64_t by_state[8] = { 0 };
	json_t *sessions = json_object(), *refusals = json_object();
	unsigned int links = 0, peers = 0;
	char buf[16];

	(void)in;
	(void)result;
	for (struct jv_link *link = jv_node_links(env->node); link; link = link->next) {
		links++;
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			peers++;
	}
	jv_shard_session_count(call->shard, by_state);
	for (unsigned int i = 1; i < 8; i++)
		if (by_state[i])
			put_number(sessions, state_text(i, buf), by_state[i]);
	for (unsigned int i = 0; i < 256; i++)
		if (env->refusals[i])
			put_number(refusals, jv_reason_name(i), env->refusals[i]);
	put_text(out, "version", JVPN_VERSION);
	put_number(out, "pid", getpid());
	put_number(out, "term", env->term);
	put_number(out, "uptime_ms", jv_now_ms() - call->started_ms);
	put_number(out, "links", links);
	put_number(out, "peers", peers);
	put(out, "sessions", sessions);
	put_number(out, "audit_written", jv_audit_written(env->audit));
	put_number(out, "audit_dropped", jv_audit_dropped(env->audit));
	put(out, "refusals", refusals);
	put_text(out, "kept_in", jv_settings_path(env->settings));
	if (jv_settings_trouble(env->settings))
		put_text(out, "trouble", jv_settings_trouble(env->settings));
	return 0;
}

static void add_refusal(void *arg, const struct jv_refusal *refusal)
{
	json_t *object = json_object();
	char addr[JV_ADDR_TEXT];

	if (*refusal->peer)
		put_text(object, "peer", refusal->peer);
	if (refusal->from.sa.sa_family)
		put_text(object, "from", jv_addr_format(&refusal->from, addr));
	put_text(object, "reason", jv_reason_name(refusal->reason));
	if (refusal->detail)
		put_text(object, "detail", jv_detail_name(refusal->detail));
	put_text(object, "text", jv_reason_text(refusal->reason));
	put_number(object, "count", refusal->count);
	put_number(object, "age_ms", jv_now_ms() - refusal->at_ms);
	json_array_append_new(arg, object);
}

static int run_refusals(struct jv_call *call, const json_t *in, json_t *out,
			struct result *result)
{
	json_t *list = json_array();

	(void)in;
	(void)result;
	put(out, "refusals", list);
	jv_refusals_each(call->env->refused, add_refusal, list);
	return 0;
}

/* A session that has ended is known by its whole id alone. */
static void take_sid(void *arg, const struct jv_session_info *info)
{
	memcpy(arg, info->sid, JVPN_SID_LEN);
}

static int run_audit_where(struct jv_call *call, const json_t *in, json_t *out,
			   struct result *result)
{
	const char *id = text_of(in, "id");
	char hex[2 * JVPN_SID_LEN + 1];
	uint8_t sid[JVPN_SID_LEN];
	int ret = 0;

	put_text(out, "path", jv_audit_path(call->env->audit));
	if (!id)
		return 0;
	if (strlen(id) != 2 * sizeof(sid) ||
	    sodium_hex2bin(sid, sizeof(sid), id, 2 * sizeof(sid), NULL, NULL, NULL))
		ret = jv_shard_session_show(call->shard, id, take_sid, sid, &result->err);
	if (!ret)
		put_text(out, "session_id", jv_audit_session(call->env->audit, sid, hex));
	return ret;
}

/* --- links --- */

static int prefixes_of(const json_t *in, const char *name, bool host_bits, unsigned int max,
		       struct jv_prefix *prefix, unsigned int *n, struct jv_error *err)
{
	const json_t *list = json_object_get(in, name), *item;
	size_t i;

	if (json_array_size(list) > max)
		return jv_error_param(err, name, "%zu are too many: 1 to %u are allowed",
				      json_array_size(list), max);
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		if (jv_prefix_parse(&prefix[i], text, host_bits))
			return jv_error_param(err, name, "\"%s\" is not allowed, it takes "
					      "ADDRESS/LENGTH%s", text,
					      host_bits ? "" : " without bits behind the length");
		*n = i + 1;
	}
	return 0;
}

/* What is given comes on top of what the link has. */
static int addresses_of(const json_t *in, const struct jv_link *link,
			struct jv_prefix address[2 * JV_LINK_ADDRESSES],
			struct jv_link_change *change, struct jv_error *err)
{
	struct jv_prefix given[JV_LINK_ADDRESSES];
	unsigned int n = 0, have = link ? link->addresses : 0;
	int ret = prefixes_of(in, "addresses", true, JV_LINK_ADDRESSES, given, &n, err);

	if (ret || !n)
		return ret;
	if (have)
		memcpy(address, link->address, have * sizeof(*address));
	for (unsigned int i = 0; i < n; i++) {
		unsigned int j = 0;

		while (j < have && !jv_prefix_equal(&address[j], &given[i]))
			j++;
		address[j] = given[i];
		have += j == have;
	}
	change->addresses = have;
	change->address = address;
	return 0;
}

static int run_link_set(struct jv_call *call, const json_t *in, json_t *out,
			struct result *result)
{
	const char *ifname = text_of(in, "ifname");
	const struct jv_link *link = jv_node_link(call->env->node, ifname);
	struct jv_prefix address[2 * JV_LINK_ADDRESSES];
	struct jv_link_change change = { 0 };
	uint32_t mtu, mark, table;
	union jv_addr listen;
	uint8_t key[32];
	int ret;

	(void)out;
	ret = key_of(in, "private_key", key, &change.private_key, &result->err);
	if (!ret)
		ret = addr_of(in, "listen", &listen, &change.listen, &result->err);
	if (!ret)
		ret = u32_of(in, "mtu", &mtu, &change.mtu, &result->err);
	if (!ret)
		ret = u32_of(in, "fwmark", &mark, &change.mark, &result->err);
	if (!ret)
		ret = u32_of(in, "table", &table, &change.table, &result->err);
	if (!ret)
		ret = addresses_of(in, link, address, &change, &result->err);
	change.key_file = key_file_of(in, "private_key_file", change.private_key,
				      "the private key", result);
	if (link)
		note_place(result, "interface", ifname, &link->origin);
	if (!ret)
		ret = jv_node_link_set(call->env->node, ifname, &change, &result->err);
	sodium_memzero(key, sizeof(key));
	return ret;
}

static int run_link_forget(struct jv_call *call, const json_t *in, json_t *out,
			   struct result *result)
{
	const char *ifname = text_of(in, "ifname");
	const struct jv_link *link = jv_node_link(call->env->node, ifname);

	(void)out;
	if (link)
		note_place(result, "interface", ifname, &link->origin);
	return jv_node_link_forget(call->env->node, ifname, &result->err);
}

static bool dials(const struct jv_link *link)
{
	for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
		if (peer->endpoints)
			return true;
	return false;
}

static json_t *prefix_list(unsigned int n, const struct jv_prefix *prefix)
{
	json_t *list = json_array();
	char text[JV_PREFIX_TEXT];

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(list, json_string(jv_prefix_format(&prefix[i], text)));
	return list;
}

static json_t *link_object(const struct jv_link *link)
{
	char key[JV_KEY_TEXT], addr[JV_ADDR_TEXT];
	json_t *object = json_object();

	put_text(object, "ifname", link->name);
	put_text(object, "role", link->listening ? "gateway" : dials(link) ? "client" : "none");
	if (link->keyed)
		put_text(object, "public_key", jv_key_format(link->key->public, key));
	if (link->listening)
		put_text(object, "listen", jv_addr_format(&link->listen, addr));
	put_number(object, "table", link->table);
	put_number(object, "fwmark", link->mark);
	if (link->mtu)
		put_number(object, "mtu", link->mtu);
	put(object, "addresses", prefix_list(link->addresses, link->address));
	return object;
}

static int run_link_show(struct jv_call *call, const json_t *in, json_t *out,
			 struct result *result)
{
	const char *ifname = text_of(in, "ifname");
	json_t *links = json_array();

	put(out, "links", links);
	for (struct jv_link *link = jv_node_links(call->env->node); link; link = link->next)
		if (!ifname || !strcmp(ifname, link->name))
			json_array_append_new(links, link_object(link));
	if (ifname && !json_array_size(links))
		return jv_error_set(&result->err, ENOENT, "interface \"%s\" is not known here",
				    ifname);
	return 0;
}

/* --- peers --- */

static int run_peer_add(struct jv_call *call, const json_t *in, json_t *out,
			struct result *result)
{
	struct jv_prefix prefix[JV_PEER_PREFIXES];
	struct jv_peer_spec spec = {
		.name = text_of(in, "name"), .policy = text_of(in, "policy"), .prefix = prefix,
	};
	uint8_t public_key[32], psk[32];
	union jv_addr endpoint;
	int ret;

	(void)out;
	ret = key_of(in, "public_key", public_key, &spec.public_key, &result->err);
	if (!ret)
		ret = key_of(in, "preshared_key", psk, &spec.psk, &result->err);
	if (!ret)
		ret = addr_of(in, "endpoint", &endpoint, &spec.endpoint, &result->err);
	spec.endpoints = spec.endpoint ? 1 : 0;
	if (!ret)
		ret = prefixes_of(in, "allowed_ips", false, JV_PEER_PREFIXES, prefix,
				  &spec.prefixes, &result->err);
	spec.psk_file = key_file_of(in, "preshared_key_file", spec.psk, "this peer, by its "
				    "preshared key,", result);
	if (!ret)
		ret = jv_node_peer_add(call->env->node, text_of(in, "ifname"), &spec,
				       &result->err);
	sodium_memzero(psk, sizeof(psk));
	return ret;
}

static int run_peer_del(struct jv_call *call, const json_t *in, json_t *out,
			struct result *result)
{
	const struct jv_peer *peer = jv_node_peer(call->env->node, text_of(in, "peer"));

	(void)out;
	if (peer)
		note_place(result, "peer", peer->name, &peer->origin);
	return jv_node_peer_del(call->env->node, text_of(in, "peer"), &result->err);
}

static json_t *peer_object(const struct jv_peer *peer)
{
	char key[JV_KEY_TEXT], fingerprint[JV_FINGERPRINT_TEXT], addr[JV_ADDR_TEXT];
	json_t *object = json_object();

	put_text(object, "name", peer->name);
	put_text(object, "ifname", peer->link->name);
	put_text(object, "public_key", jv_key_format(peer->public_key, key));
	put_text(object, "fingerprint", jv_key_fingerprint(peer->public_key, fingerprint));
	if (peer->endpoints)
		put_text(object, "endpoint", jv_addr_format(&peer->endpoint[0], addr));
	put(object, "allowed_ips", prefix_list(peer->prefixes, peer->prefix));
	put(object, "preshared", json_boolean(peer->has_psk));
	put_text(object, "policy", peer->policy->name);
	return object;
}

static int run_peer_show(struct jv_call *call, const json_t *in, json_t *out,
			 struct result *result)
{
	const char *name = text_of(in, "peer");
	json_t *peers = json_array();
	struct jv_peer *only = name ? jv_node_peer(call->env->node, name) : NULL;

	put(out, "peers", peers);
	if (name && !only)
		return jv_error_set(&result->err, ENOENT, "there is no peer \"%s\"", name);
	for (struct jv_link *link = jv_node_links(call->env->node); link; link = link->next)
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			if (!only || peer == only)
				json_array_append_new(peers, peer_object(peer));
	return 0;
}

/* --- transports --- */

static int run_transport_add(struct jv_call *call, const json_t *in, json_t *out,
			     struct result *result)
{
	struct jv_transport_spec spec = {
		.name = text_of(in, "name"), .match = text_of(in, "match"),
		.preference = JV_DEFAULT_PREFERENCE,
		.metered = json_is_true(json_object_get(in, "metered")),
	};
	int ret = u32_of(in, "preference", &spec.preference, NULL, &result->err);

	(void)out;
	return ret ? ret : jv_node_transport_add(call->env->node, text_of(in, "ifname"), &spec,
						 &result->err);
}

static int run_transport_del(struct jv_call *call, const json_t *in, json_t *out,
			     struct result *result)
{
	const struct jv_transport *t = jv_node_transport(call->env->node, text_of(in, "name"));

	(void)out;
	if (t)
		note_place(result, "transport", t->name, &t->origin);
	return jv_node_transport_del(call->env->node, text_of(in, "name"), &result->err);
}

static int run_transport_prefer(struct jv_call *call, const json_t *in, json_t *out,
				struct result *result)
{
	const char *name = text_of(in, "name");
	const struct jv_transport *t = jv_node_transport(call->env->node, name);
	uint32_t preference = 0;
	int ret = u32_of(in, "preference", &preference, NULL, &result->err);

	(void)out;
	if (t)
		note_place(result, "transport", name, &t->origin);
	return ret ? ret : jv_node_transport_prefer(call->env->node, name, preference,
						    &result->err);
}

/* For no time: until it is unblocked. */
static int run_transport_block(struct jv_call *call, const json_t *in, json_t *out,
			       struct result *result)
{
	json_int_t ms = json_integer_value(json_object_get(in, "for_ms"));
	uint64_t until_ms = ms > 0 ? jv_now_ms() + ms : JV_NEVER;

	(void)out;
	return jv_node_transport_block(call->env->node, call->env->loop, text_of(in, "name"),
				       until_ms, &result->err);
}

static int run_transport_unblock(struct jv_call *call, const json_t *in, json_t *out,
				 struct result *result)
{
	(void)out;
	return jv_node_transport_block(call->env->node, call->env->loop, text_of(in, "name"), 0,
				       &result->err);
}

static json_t *transport_object(const struct jv_call *call, const struct jv_transport *t)
{
	struct jv_transport_info info = { .path = -1 };
	json_t *object = json_object();
	char addr[JV_ADDR_TEXT];

	jv_shard_transport_info(call->shard, t, &info);
	put_text(object, "name", t->name);
	put_text(object, "ifname", t->link->name);
	put_text(object, "match", t->match);
	put_number(object, "preference", t->preference);
	put(object, "metered", json_boolean(t->metered));
	if (*info.dev)
		put_text(object, "dev", info.dev);
	if (info.path >= 0)
		put_number(object, "path", info.path);
	put(object, "up", json_boolean(info.up));
	if (t->blocked_until_ms)
		put(object, "blocked", json_true());
	if (t->blocked_until_ms && t->blocked_until_ms != JV_NEVER)
		put_number(object, "blocked_ms", t->blocked_until_ms > jv_now_ms() ?
			   t->blocked_until_ms - jv_now_ms() : 0);
	if (info.local.sa.sa_family)
		put_text(object, "local", jv_addr_format(&info.local, addr));
	return object;
}

static int run_transport_show(struct jv_call *call, const json_t *in, json_t *out,
			      struct result *result)
{
	const char *name = text_of(in, "name");
	json_t *transports = json_array();

	put(out, "transports", transports);
	for (struct jv_link *link = jv_node_links(call->env->node); link; link = link->next)
		for (struct jv_transport *t = link->transports; t; t = t->next)
			if (!name || !strcmp(name, t->name))
				json_array_append_new(transports, transport_object(call, t));
	if (name && !json_array_size(transports))
		return jv_error_set(&result->err, ENOENT, "there is no transport \"%s\"", name);
	return 0;
}

/* --- policies --- */

static json_t *policy_object(const struct jv_named_policy *policy)
{
	json_t *object = json_object(), *knobs = json_object();
	char text[32];

	for (size_t i = 0; i < jv_knobs_count; i++)
		put_text(knobs, jv_knobs[i].name,
			 jv_knob_format(&jv_knobs[i], jv_knob_get(&policy->policy, &jv_knobs[i]),
					text, sizeof(text)));
	put_text(object, "name", policy->name);
	put_number(object, "version", policy->version);
	put(object, "knobs", knobs);
	return object;
}

static int run_policy_show(struct jv_call *call, const json_t *in, json_t *out,
			   struct result *result)
{
	const char *name = text_of(in, "name");
	json_t *policies = json_array();

	put(out, "policies", policies);
	for (const struct jv_named_policy *p = jv_node_policies(call->env->node); p; p = p->next)
		if (!name || !strcmp(name, p->name))
			json_array_append_new(policies, policy_object(p));
	if (name && !json_array_size(policies))
		return jv_error_set(&result->err, ENOENT, "there is no policy \"%s\"", name);
	return 0;
}

static const uint64_t *version_of(const json_t *in, uint64_t *version)
{
	const json_t *item = json_object_get(in, "if_version");

	if (!json_is_integer(item))
		return NULL;
	*version = json_integer_value(item);
	return version;
}

/* @name is at version @at: is that what whoever changes it has seen? */
static int check_version(const json_t *in, const char *name, uint64_t at, struct result *result)
{
	uint64_t version;

	if (!version_of(in, &version) || version == at)
		return 0;
	result->command.state_version = at;
	return jv_error_set(&result->err, ESTALE, "policy %s is at version %" PRIu64 ", you gave %"
			    PRIu64, name, at, version);
}

static int run_policy_set(struct jv_call *call, const json_t *in, json_t *out,
			  struct result *result)
{
	const char *name = text_of(in, "name");
	const struct jv_named_policy *policy = jv_node_policy(call->env->node, name);
	struct jv_audit_record record = { .event = JV_AUDIT_POLICY_LOADED };
	int ret = check_version(in, name, policy ? policy->version : 0, result);

	(void)out;
	if (!ret)
		ret = jv_node_policy_set(call->env->node, name, text_of(in, "knob"),
					 text_of(in, "value"), &result->err);
	policy = jv_node_policy(call->env->node, name);
	if (policy)
		record.policy_version = policy->version;
	if (ret)
		record.event = JV_AUDIT_POLICY_REJECTED;
	if (policy)
		note_place(result, "policy", name, &policy->origin);
	snprintf(record.text, sizeof(record.text), "%s: %s = %s", name, text_of(in, "knob"),
		 text_of(in, "value"));
	jv_audit_push(call->env->audit, &record);
	return ret;
}

/* --- the configuration as a whole --- */

static int run_conf_show(struct jv_call *call, const json_t *in, json_t *out,
			 struct result *result)
{
	char *text = jv_settings_text(call->env->settings);

	(void)in;
	if (!text)
		return jv_error_set(&result->err, ENOMEM, "out of memory");
	put_text(out, "text", text);
	free(text);
	return 0;
}

/* One complaint comes at a time; it has no newline of its own. */
static int run_conf_apply(struct jv_call *call, const json_t *in, json_t *out,
			  struct result *result)
{
	struct jv_audit_record record = { .event = JV_AUDIT_CONFIG_CHANGED, .text = "ConfApply" };
	char *said = NULL;
	size_t size;
	FILE *complaints = open_memstream(&said, &size);
	int ret;

	(void)in;
	if (!complaints)
		return jv_error_set(&result->err, ENOMEM, "out of memory");
	ret = jv_settings_reload(call->env->settings, complaints);
	fclose(complaints);
	if (ret) {
		said[strcspn(said, "\n")] = '\0';
		put_text(out, "said", said);
		ret = jv_error_set(&result->err, EKEYREJECTED, "refused");
	} else {
		jv_audit_push(call->env->audit, &record);
	}
	free(said);
	return ret;
}

/* --- sessions --- */

static void add_session(void *arg, const struct jv_session_info *info)
{
	char hex[2 * JVPN_SID_LEN + 1], state[16], addr[JV_ADDR_TEXT], prefix[JV_PREFIX_TEXT];
	json_t *object = json_object(), *inner = json_array(), *candidates = json_array();

	put_text(object, "id", jv_hex(info->sid, sizeof(info->sid), hex));
	put_text(object, "ifname", info->peer->link->name);
	put_text(object, "peer", info->peer->name);
	put_text(object, "role", info->gateway ? "gateway" : "client");
	put_text(object, "state", state_text(info->state, state));
	put_number(object, "state_version", info->state_version);
	put_number(object, "term", info->version.term);
	put_number(object, "bver", info->version.bver);
	put_text(object, "policy", info->policy);
	if (info->transport)
		put_text(object, "transport", info->transport);
	if (info->remote.sa.sa_family)
		put_text(object, "remote", jv_addr_format(&info->remote, addr));
	for (unsigned int i = 0; i < info->inner_count; i++)
		json_array_append_new(inner, json_string(jv_prefix_format(&info->inner[i],
									  prefix)));
	put(object, "inner", inner);
	put_number(object, "switches_used", info->switches_used);
	put_number(object, "switches_max", info->switches_max);
	put_number(object, "cooldown_left_ms", info->cooldown_left_ms);
	if (info->recovering)
		put_number(object, "recovery_left_ms", info->recovery_left_ms);
	if (info->transport_lost)
		put_number(object, "transport_lost_ms", info->transport_lost_ms);
	for (unsigned int i = 0; i < info->candidates; i++)
		json_array_append_new(candidates, json_string(info->candidate[i]));
	put(object, "candidates", candidates);
	json_array_append_new(arg, object);
}

static int run_session_show(struct jv_call *call, const json_t *in, json_t *out,
			    struct result *result)
{
	json_t *sessions = json_array();

	put(out, "sessions", sessions);
	return jv_shard_session_show(call->shard, text_of(in, "id"), add_session, sessions,
				     &result->err);
}

static json_t *reply_of(int ret, const char *what, json_t *out, const struct result *result);

/* A command on a session is over: its versions now. */
static void commanded(void *arg, int error, const struct jv_command_result *command,
		      const struct jv_error *err)
{
	struct result result = { 0 };
	struct jv_call *call = arg;
	json_t *out = json_object();

	if (command)
		result.command = *command;
	if (err)
		result.err = *err;
	if (!error) {
		put_number(out, "version", result.command.state_version);
		put_number(out, "bver", result.command.version.bver);
	}
	call->pending = false;
	call->finish(call, reply_of(error, "session", out, &result));
}

static int run_session_switch(struct jv_call *call, const json_t *in, json_t *out,
			      struct result *result)
{
	uint64_t version;

	(void)out;
	(void)result;
	call->pending = true;
	jv_shard_session_switch(call->shard, text_of(in, "id"), text_of(in, "transport"),
				version_of(in, &version), text_of(in, "reason"), commanded, call);
	return 1;
}

static int renew(struct jv_call *call, const json_t *in, enum jv_renewal what)
{
	uint64_t version;

	call->pending = true;
	jv_shard_session_renew(call->shard, text_of(in, "id"), what, version_of(in, &version),
			       text_of(in, "reason"), commanded, call);
	return 1;
}

static int run_session_rekey(struct jv_call *call, const json_t *in, json_t *out,
			     struct result *result)
{
	(void)out;
	(void)result;
	return renew(call, in, JV_RENEW_KEYS);
}

static int run_session_reattach(struct jv_call *call, const json_t *in, json_t *out,
				struct result *result)
{
	(void)out;
	(void)result;
	return renew(call, in, JV_RENEW_BINDING);
}

static int run_session_terminate(struct jv_call *call, const json_t *in, json_t *out,
				 struct result *result)
{
	uint64_t version;

	(void)out;
	return jv_shard_session_terminate(call->shard, text_of(in, "id"),
					  version_of(in, &version), text_of(in, "reason"),
					  &result->command, &result->err);
}

/* --- the table --- */

#define REQUIRED(name, type) { name, TYPE_##type, true }
#define OPTIONAL(name, type) { name, TYPE_##type, false }

static const struct method methods[] = {
	{ "Status", run_status, "", READS, { { 0 } } },
	{ "Refusals", run_refusals, "", READS, { { 0 } } },
	{ "AuditWhere", run_audit_where, "session", READS, { OPTIONAL("id", STRING) } },
	{ "LinkSet", run_link_set, "link", CHANGES, {
		REQUIRED("ifname", STRING), OPTIONAL("private_key", STRING),
		OPTIONAL("private_key_file", STRING), OPTIONAL("listen", STRING),
		OPTIONAL("mtu", INT), OPTIONAL("fwmark", INT), OPTIONAL("table", INT),
		OPTIONAL("addresses", STRINGS) } },
	{ "LinkForget", run_link_forget, "link", CHANGES, { REQUIRED("ifname", STRING) } },
	{ "LinkShow", run_link_show, "link", READS, { OPTIONAL("ifname", STRING) } },
	{ "PeerAdd", run_peer_add, "peer", CHANGES, {
		REQUIRED("ifname", STRING), REQUIRED("public_key", STRING),
		OPTIONAL("name", STRING), OPTIONAL("endpoint", STRING),
		REQUIRED("allowed_ips", STRINGS), OPTIONAL("preshared_key", STRING),
		OPTIONAL("preshared_key_file", STRING), OPTIONAL("policy", STRING) } },
	{ "PeerDel", run_peer_del, "peer", CHANGES, { REQUIRED("peer", STRING) } },
	{ "PeerShow", run_peer_show, "peer", READS, { OPTIONAL("peer", STRING) } },
	{ "TransportAdd", run_transport_add, "transport", CHANGES, {
		REQUIRED("ifname", STRING), REQUIRED("name", STRING), OPTIONAL("match", STRING),
		OPTIONAL("preference", INT), OPTIONAL("metered", BOOL) } },
	{ "TransportDel", run_transport_del, "transport", CHANGES, { REQUIRED("name", STRING) } },
	{ "TransportPrefer", run_transport_prefer, "transport", CHANGES, {
		REQUIRED("name", STRING), REQUIRED("preference", INT) } },
	{ "TransportBlock", run_transport_block, "transport", CHANGES, {
		REQUIRED("name", STRING), OPTIONAL("for_ms", INT) } },
	{ "TransportUnblock", run_transport_unblock, "transport", CHANGES, {
		REQUIRED("name", STRING) } },
	{ "TransportShow", run_transport_show, "transport", READS, {
		OPTIONAL("name", STRING) } },
	{ "PolicyShow", run_policy_show, "policy", READS, { OPTIONAL("name", STRING) } },
	{ "PolicySet", run_policy_set, "policy", CHANGES_POLICY, {
		REQUIRED("name", STRING), REQUIRED("knob", STRING), REQUIRED("value", STRING),
		OPTIONAL("if_version", INT) } },
	{ "ConfShow", run_conf_show, "", READS, { { 0 } } },
	{ "ConfApply", run_conf_apply, "", READS, { { 0 } } },
	{ "SessionShow", run_session_show, "session", READS, { OPTIONAL("id", STRING) } },
	{ "SessionSwitch", run_session_switch, "session", READS, {
		REQUIRED("id", STRING), REQUIRED("transport", STRING),
		OPTIONAL("if_version", INT), OPTIONAL("reason", STRING) } },
	{ "SessionRekey", run_session_rekey, "session", READS, {
		REQUIRED("id", STRING), OPTIONAL("if_version", INT),
		OPTIONAL("reason", STRING) } },
	{ "SessionReattach", run_session_reattach, "session", READS, {
		REQUIRED("id", STRING), OPTIONAL("if_version", INT),
		OPTIONAL("reason", STRING) } },
	{ "SessionTerminate", run_session_terminate, "session", READS, {
		REQUIRED("id", STRING), OPTIONAL("if_version", INT),
		OPTIONAL("reason", STRING) } },
};

static bool fits(enum type type, const json_t *value)
{
	const json_t *item;
	size_t i;

	switch (type) {
	case TYPE_STRING:
		return json_is_string(value);
	case TYPE_INT:
		return json_is_integer(value);
	case TYPE_BOOL:
		return json_is_boolean(value);
	case TYPE_STRINGS:
		json_array_foreach(value, i, item)
			if (!json_is_string(item))
				return false;
		return json_is_array(value);
	}
	return false;
}

/* The name of the first parameter that is unknown, missing or of the wrong type, or NULL. */
static const char *wrong_parameter(const struct method *method, const json_t *in)
{
	const struct parameter *p;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)in, name, value) {
		for (p = method->parameters; p->name && strcmp(p->name, name); p++)
			;
		if (!p->name)
			return name;
	}
	for (p = method->parameters; p->name; p++) {
		value = json_object_get(in, p->name);
		if (!value || json_is_null(value)) {
			if (p->required)
				return p->name;
		} else if (!fits(p->type, value)) {
			return p->name;
		}
	}
	return NULL;
}

/* --- replies --- */

json_t *jv_method_error(const char *error, const char *key, const char *name)
{
	json_t *parameters = json_object();

	if (key)
		put_text(parameters, key, name);
	return json_pack("{s:s+, s:o}", "error", "org.varlink.service.", error, "parameters",
			 parameters);
}

/* @out is taken over. */
static json_t *reply_of(int ret, const char *what, json_t *out, const struct result *result)
{
	const char *error;

	if (!ret)
		return json_pack("{s:o}", "parameters", out);
	if (ret == -EKEYREJECTED) {
		put_text(out, "message", text_of(out, "said"));
		json_object_del(out, "said");
		return json_pack("{s:s, s:o}", "error", INTERFACE ".ConfigRejected", "parameters",
				 out);
	}
	json_object_clear(out);
	switch (ret) {
	case -ENOENT:
	case -ENODEV:
		error = "NotFound";
		put_text(out, "what", what);
		break;
	case -EINVAL:
		error = "InvalidParameter";
		put_text(out, "parameter", result->err.parameter);
		break;
	case -ESTALE:
		error = "VersionConflict";
		put_number(out, "version", result->command.state_version);
		break;
	case -EPERM:
		if (result->command.reason) {
			error = "PolicyRefused";
			put_text(out, "reason", jv_reason_name(result->command.reason));
			break;
		}
		/* fall through */
	default:
		error = "SystemError";
		put_number(out, "errno", -ret);
	}
	put_text(out, "message", result->err.text);
	return json_pack("{s:s+, s:o}", "error", INTERFACE ".", error, "parameters", out);
}

static void audit_change(const struct jv_call *call, const struct method *method,
			 const json_t *in)
{
	struct jv_audit_record record = { .event = JV_AUDIT_CONFIG_CHANGED };
	const char *name = text_of(in, "name"), *peer = text_of(in, "peer");
	const char *ifname = text_of(in, "ifname");

	snprintf(record.text, sizeof(record.text), "%s", method->name);
	if (ifname)
		snprintf(record.link, sizeof(record.link), "%s", ifname);
	if (peer || !strcmp(method->what, "peer"))
		snprintf(record.peer, sizeof(record.peer), "%s", peer ? peer : name ? name : "");
	else if (name)
		snprintf(record.new_transport, sizeof(record.new_transport), "%s", name);
	jv_audit_push(call->env->audit, &record);
}

/* The change is made; this is whether it will be there after the next start, too. */
static void kept(void *arg, const char *why)
{
	struct jv_call *call = arg;
	json_t *reply = call->reply, *out = json_object_get(reply, "parameters");

	call->pending = false;
	call->reply = NULL;
	if (why && !json_object_get(out, "note"))
		put_text(out, "note", why);
	call->finish(call, reply);
}

static void keep(struct jv_call *call, json_t *reply)
{
	call->pending = true;
	call->reply = reply;
	jv_settings_save(call->env->settings, kept, call);
}

static void run(struct jv_call *call, const struct method *method, const json_t *in)
{
	const char *wrong = wrong_parameter(method, in);
	struct result result = { 0 };
	json_t *out;
	int ret;

	if (wrong) {
		call->finish(call, jv_method_error("InvalidParameter", "parameter", wrong));
		return;
	}
	out = json_object();
	ret = method->run(call, in, out, &result);
	if (ret > 0) {
		json_decref(out);
		return;
	}
	if (!ret && method->effect == CHANGES)
		audit_change(call, method, in);
	if (!ret && *result.note)
		put_text(out, "note", result.note);
	out = reply_of(ret, method->what, out, &result);
	if (!ret && method->effect != READS)
		keep(call, out);
	else
		call->finish(call, out);
}

void jv_method_call(struct jv_call *call, const json_t *request)
{
	const char *name = text_of(request, "method"), *dot = name ? strrchr(name, '.') : NULL;
	json_t *in = json_object_get(request, "parameters");
	char interface[64];

	if (!dot || (in && !json_is_object(in) && !json_is_null(in))) {
		call->finish(call, jv_method_error("InvalidParameter", "parameter",
						   dot ? "parameters" : "method"));
		return;
	}
	snprintf(interface, sizeof(interface), "%.*s", (int)(dot - name), name);
	if (strcmp(interface, INTERFACE)) {
		call->finish(call, jv_method_error("InterfaceNotFound", "interface", interface));
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (!strcmp(methods[i].name, dot + 1)) {
			run(call, &methods[i], json_is_object(in) ? in : NULL);
			return;
		}
	}
	call->finish(call, jv_method_error("MethodNotFound", "method", name));
}

void jv_method_forget(struct jv_call *call)
{
	if (call->reply)
		jv_settings_forget(call->env->settings, call);
	else if (call->pending)
		jv_shard_session_forget(call->shard, call);
	json_decref(call->reply);
	call->reply = NULL;
	call->pending = false;
}
