// SPDX-License-Identifier: GPL-2.0
/* A configuration as text, and what runs as a configuration. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "grammar.h"

/* --- what runs --- */

static void title_of(void *entry, const char *name, const struct jv_origin *origin)
{
	struct jv_config_title *title = entry;

	snprintf(title->name, sizeof(title->name), "%s", name);
	title->place = origin->place ? strdup(origin->place) : NULL;
	title->told = origin->told;
}

static void key_of(struct jv_config_key *to, const uint8_t key[32], const char *file)
{
	memcpy(to->key, key, sizeof(to->key));
	snprintf(to->path, sizeof(to->path), "%s", file ? file : "");
}

static void take_link(struct jv_config_link *c, const struct jv_link *link)
{
	title_of(c, link->name, &link->origin);
	c->keyed = link->keyed;
	if (link->keyed)
		key_of(&c->private_key, link->key->secret, link->key_file);
	c->listening = link->listening;
	if (link->listening)
		c->listen = link->listen;
	c->mtu = link->mtu;
	c->mark = link->mark;
	c->table = link->table;
	c->addresses = link->addresses;
	memcpy(c->address, link->address, sizeof(c->address));
}

static void take_peer(struct jv_config_peer *c, const struct jv_peer *peer)
{
	title_of(c, peer->name, &peer->origin);
	snprintf(c->link, sizeof(c->link), "%s", peer->link->name);
	snprintf(c->policy, sizeof(c->policy), "%s", peer->policy->name);
	c->keyed = 1;
	memcpy(c->public_key, peer->public_key, sizeof(c->public_key));
	c->endpoints = peer->endpoints;
	memcpy(c->endpoint, peer->endpoint, sizeof(c->endpoint));
	c->prefixes = peer->prefixes;
	memcpy(c->prefix, peer->prefix, sizeof(c->prefix));
	c->has_psk = peer->has_psk;
	if (peer->has_psk)
		key_of(&c->psk, peer->psk, peer->psk_file);
}

static void take_transport(struct jv_config_transport *c, const struct jv_transport *t)
{
	title_of(c, t->name, &t->origin);
	snprintf(c->link, sizeof(c->link), "%s", t->link->name);
	snprintf(c->match, sizeof(c->match), "%s", t->match);
	c->preferred = 1;
	c->preference = t->preference;
	c->metered = t->metered;
}

static bool make_room(struct jv_config *config, const struct jv_node *node)
{
	for (struct jv_link *link = jv_node_links(node); link; link = link->next) {
		config->links++;
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			config->peers++;
		for (struct jv_transport *t = link->transports; t; t = t->next)
			config->transports++;
	}
	for (const struct jv_named_policy *p = jv_node_policies(node); p; p = p->next)
		config->policies += p->origin.place || p->origin.told;
	config->link = calloc(config->links + 1, sizeof(*config->link));
	config->peer = calloc(config->peers + 1, sizeof(*config->peer));
	config->transport = calloc(config->transports + 1, sizeof(*config->transport));
	config->policy = calloc(config->policies + 1, sizeof(*config->policy));
	return config->link && config->peer && config->transport && config->policy;
}

static void take_node(struct jv_config *config, const struct jv_node *node)
{
	size_t links = 0, peers = 0, transports = 0, policies = 0;

	for (struct jv_link *link = jv_node_links(node); link; link = link->next) {
		take_link(&config->link[links++], link);
		for (struct jv_peer *peer = link->peers; peer; peer = peer->next)
			take_peer(&config->peer[peers++], peer);
		for (struct jv_transport *t = link->transports; t; t = t->next)
			take_transport(&config->transport[transports++], t);
	}
	for (const struct jv_named_policy *p = jv_node_policies(node); p; p = p->next) {
		if (!p->origin.place && !p->origin.told)
			continue;
		title_of(&config->policy[policies], p->name, &p->origin);
		config->policy[policies++].policy = p->policy;
	}
}

struct jv_config *jv_config_of_node(const struct jv_node *node)
{
	struct jv_config *config = calloc(1, sizeof(*config));

	if (config && make_room(config, node)) {
		take_node(config, node);
		return config;
	}
	jv_config_free(config);
	return NULL;
}

/* --- as text --- */

/* What differs from the defaults; knobs that follow from others are not said. */
static void write_knobs(const struct jv_policy *policy, FILE *out)
{
	char text[32], err[256];
	struct jv_policy read;

	jv_policy_init(&read);
	for (size_t i = 0; i < jv_knobs_count; i++) {
		const struct jv_knob *knob = &jv_knobs[i];
		uint64_t value = jv_knob_get(policy, knob);

		if (value == jv_knob_get(&read, knob) && !(policy->given & 1u << i))
			continue;
		jv_knob_format(knob, value, text, sizeof(text));
		jv_policy_set(&read, knob->name, text, err, sizeof(err));
		fprintf(out, "\t%s = \"%s\"\n", knob->name, text);
	}
}

static void write_title(const char *kind, const struct jv_config_title *title, FILE *out)
{
	if (title->place && !title->told)
		fprintf(out, "# %s\n", title->place);
	fprintf(out, "%s ", kind);
	jv_quote_write(out, title->name);
	fputs(" {\n", out);
}

static void write_titled(const char *kind, const void *entry, FILE *out)
{
	write_title(kind, entry, out);
	jv_section_write(jv_section_find(kind), entry, out);
	fputs("}\n", out);
}

static void write_single(const char *kind, const void *entry, size_t size, FILE *out)
{
	if (sodium_is_zero(entry, size))
		return;
	fprintf(out, "%s {\n", kind);
	jv_section_write(jv_section_find(kind), entry, out);
	fputs("}\n", out);
}

void jv_config_write(const struct jv_config *config, FILE *out)
{
	write_single("daemon", &config->daemon, sizeof(config->daemon), out);
	write_single("log", &config->log, sizeof(config->log), out);
	for (size_t i = 0; i < config->policies; i++) {
		write_title("policy", (const struct jv_config_title *)&config->policy[i], out);
		write_knobs(&config->policy[i].policy, out);
		fputs("}\n", out);
	}
	for (size_t i = 0; i < config->links; i++)
		write_titled("interface", &config->link[i], out);
	for (size_t i = 0; i < config->transports; i++)
		write_titled("transport", &config->transport[i], out);
	for (size_t i = 0; i < config->peers; i++)
		write_titled("peer", &config->peer[i], out);
}

/* --- what jvpn-ip was told --- */

/* Of @n entries those that @fits; the others are wiped. Returns how many are left. */
static size_t keep(void *entries, size_t n, size_t size, bool (*fits)(const void *entry))
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		char *entry = (char *)entries + i * size, *to = (char *)entries + kept * size;

		if (fits(entry)) {
			if (to != entry)
				memcpy(to, entry, size);
			kept++;
		} else {
			free(((struct jv_config_title *)entry)->place);
		}
	}
	sodium_memzero((char *)entries + kept * size, (n - kept) * size);
	return kept;
}

static bool told(const void *entry)
{
	return ((const struct jv_config_title *)entry)->told;
}

/* Without its key a peer would be another one, and a weaker. */
static bool told_peer(const void *entry)
{
	const struct jv_config_peer *c = entry;

	return c->told && (!c->has_psk || *c->psk.path);
}

void jv_config_keep_told(struct jv_config *c)
{
	c->links = keep(c->link, c->links, sizeof(*c->link), told);
	c->peers = keep(c->peer, c->peers, sizeof(*c->peer), told_peer);
	c->transports = keep(c->transport, c->transports, sizeof(*c->transport), told);
	c->policies = keep(c->policy, c->policies, sizeof(*c->policy), told);
}

/* --- what cannot change live --- */

static const char *section_differs(const char *name, const void *a, const void *b)
{
	const struct jv_section *section = jv_section_find(name);

	for (size_t i = 0; i < section->n; i++) {
		const struct jv_setting *s = &section->settings[i];

		if (strcmp(s->name, "level") &&
		    memcmp((const char *)a + s->offset, (const char *)b + s->offset, s->size))
			return s->name;
	}
	return NULL;
}

const char *jv_config_differs(const struct jv_config *a, const struct jv_config *b)
{
	const char *what = section_differs("daemon", &a->daemon, &b->daemon);

	return what ? what : section_differs("log", &a->log, &b->log);
}
