// SPDX-License-Identifier: GPL-2.0
/*
 * Three passes. The text is scanned for what libconfuse 3.3 gets wrong: it counts
 * the lines of comments twice and takes the end of the file for any brace that is
 * missing. libconfuse then parses it; every value is tried where it stands. Last,
 * the sections are read out and put together in a node that nothing hangs on: the
 * rules between them are the node's own.
 */
#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"

enum { FILE_MAX = 4 * 1024 * 1024, WHY = 256 };

__attribute__((format(printf, 3, 4)))
static int complain(const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, line ? "%s:%d: " : "%s: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

/* --- values: one reader each; -1 if the text is not allowed, @why if there is more to say --- */

static int read_name(const char *text, void *out, char *why)
{
	(void)why;
	if (!*text || strlen(text) > JV_NAME_MAX)
		return -1;
	strcpy(out, text);
	return 0;
}

static int read_ifname(const char *text, void *out, char *why)
{
	(void)why;
	if (!*text || strlen(text) >= IFNAMSIZ)
		return -1;
	strcpy(out, text);
	return 0;
}

static int read_path(const char *text, void *out, char *why)
{
	(void)why;
	if (*text != '/' || strlen(text) >= JV_CONFIG_PATH)
		return -1;
	strcpy(out, text);
	return 0;
}

static int read_level(const char *text, void *out, char *why)
{
	int level = jv_log_level_parse(text);

	(void)why;
	if (level < 0)
		return -1;
	*(enum jv_log_level *)out = level;
	return 0;
}

static int read_session_id(const char *text, void *out, char *why)
{
	(void)why;
	*(bool *)out = !strcmp(text, "clear");
	return *(bool *)out || !strcmp(text, "pseudonym") ? 0 : -1;
}

static int read_flag(const char *text, void *out, char *why)
{
	(void)why;
	*(bool *)out = !strcmp(text, "true");
	return *(bool *)out || !strcmp(text, "false") ? 0 : -1;
}

static int read_number(const char *text, void *out, char *why)
{
	(void)why;
	return jv_u32_parse(text, out);
}

static int read_addr(const char *text, void *out, char *why)
{
	(void)why;
	return jv_addr_parse(out, text);
}

static int read_prefix(const char *text, void *out, char *why)
{
	(void)why;
	return jv_prefix_parse(out, text, false);
}

static int read_address(const char *text, void *out, char *why)
{
	(void)why;
	return jv_prefix_parse(out, text, true);
}

static int read_key(const char *text, void *out, char *why)
{
	(void)why;
	return jv_key_parse(out, text);
}

/* The only place where a secret is read from a file. */
static int read_secret(int fd, const char *path, uint8_t key[32], char *why)
{
	char text[JV_KEY_TEXT + 2] = "";
	struct stat st;
	ssize_t len;
	int ret = -1;

	if (fstat(fd, &st) || (st.st_mode & S_IRWXO)) {
		snprintf(why, WHY, "everybody may read \"%s\" (mode %04o): chmod 600 it", path,
			 st.st_mode & 07777);
		return -1;
	}
	len = read(fd, text, sizeof(text) - 1);
	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len < 0 || jv_key_parse(key, text))
		snprintf(why, WHY, "\"%s\" does not hold a key: 44 characters of base64, as "
			 "jvpn-ip key gen writes", path);
	else
		ret = 0;
	sodium_memzero(text, sizeof(text));
	return ret;
}

static int read_key_file(const char *text, void *out, char *why)
{
	const char *path = text + strlen("file:");
	int fd, ret;

	if (strncmp(text, "file:", strlen("file:")))
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		snprintf(why, WHY, "cannot read \"%s\": %s", path, strerror(errno));
		return -1;
	}
	ret = read_secret(fd, path, out, why);
	close(fd);
	return ret;
}

/* --- the grammar as data --- */

struct key {
	const char *name;
	int (*read)(const char *text, void *out, char *why);
	const char *takes;		/* what is allowed */
	size_t offset;			/* of the value in the section's entry */
	size_t size;			/* of one value */
	size_t count;			/* offset of how many were read; 0: not counted */
	unsigned int max;		/* 1: a single value */
};

struct section {
	const char *name;
	bool titled;
	const struct key *keys;
	size_t n;
};

#define SINGLE(type, key, read, member, takes) \
	{ key, read, takes, offsetof(type, member), sizeof(((type *)0)->member), 0, 1 }
#define COUNTED(type, key, read, member, counter, takes) \
	{ key, read, takes, offsetof(type, member), sizeof(((type *)0)->member), \
	  offsetof(type, counter), 1 }
#define LIST(type, key, read, member, counter, limit, takes) \
	{ key, read, takes, offsetof(type, member), sizeof(((type *)0)->member[0]), \
	  offsetof(type, counter), limit }

#define TAKES_NAME   "a name of 1 to 63 characters"
#define TAKES_IFNAME "the name of an interface"
#define TAKES_PATH   "a path that starts with a slash"
#define TAKES_FILE   "\"file:PATH\": keys stand in files of their own"
#define TAKES_ADDR   "an IPv4 ADDRESS:PORT"
#define TAKES_KEY    "a key: 44 characters of base64"

static const struct key daemon_keys[] = {
	SINGLE(struct jv_config_daemon, "node-id", read_name, node_id, TAKES_NAME),
	SINGLE(struct jv_config_daemon, "control-socket", read_path, control_socket, TAKES_PATH),
	SINGLE(struct jv_config_daemon, "control-group", read_name, control_group,
	       "the name of a group"),
	SINGLE(struct jv_config_daemon, "state-dir", read_path, state_dir, TAKES_PATH),
};

static const struct key log_keys[] = {
	SINGLE(struct jv_config_log, "audit", read_path, audit, TAKES_PATH),
	SINGLE(struct jv_config_log, "level", read_level, level,
	       "one of: err, warn, info, debug"),
	SINGLE(struct jv_config_log, "session-id", read_session_id, clear_ids,
	       "one of: pseudonym, clear"),
};

static const struct key link_keys[] = {
	COUNTED(struct jv_config_link, "private-key", read_key_file, private_key, keyed,
		TAKES_FILE),
	COUNTED(struct jv_config_link, "listen", read_addr, listen, listening, TAKES_ADDR),
	SINGLE(struct jv_config_link, "mtu", read_number, mtu, "a number from 576 to 65475"),
	SINGLE(struct jv_config_link, "fwmark", read_number, mark,
	       "a number from 1 to 4294967295, also as 0x..."),
	SINGLE(struct jv_config_link, "table", read_number, table,
	       "a number from 1 to 4294967295 but 253, 254 and 255"),
	LIST(struct jv_config_link, "addresses", read_address, address, addresses,
	     JV_LINK_ADDRESSES, "ADDRESS/LENGTH"),
};

static const struct key peer_keys[] = {
	SINGLE(struct jv_config_peer, "interface", read_ifname, link, TAKES_IFNAME),
	COUNTED(struct jv_config_peer, "public-key", read_key, public_key, keyed, TAKES_KEY),
	LIST(struct jv_config_peer, "endpoint", read_addr, endpoint, endpoints,
	     JV_PEER_ENDPOINTS, TAKES_ADDR),
	LIST(struct jv_config_peer, "allowed-ips", read_prefix, prefix, prefixes,
	     JV_PEER_PREFIXES, "ADDRESS/LENGTH without bits behind the length"),
	COUNTED(struct jv_config_peer, "preshared", read_key_file, psk, has_psk, TAKES_FILE),
	SINGLE(struct jv_config_peer, "policy", read_name, policy, "the name of a policy"),
};

static const struct key transport_keys[] = {
	SINGLE(struct jv_config_transport, "interface", read_ifname, link, TAKES_IFNAME),
	SINGLE(struct jv_config_transport, "match", read_name, match,
	       "a pattern of interface names"),
	SINGLE(struct jv_config_transport, "preference", read_number, preference,
	       "a number from 0 to 1000"),
	SINGLE(struct jv_config_transport, "metered", read_flag, metered,
	       "one of: true, false"),
};

#define SECTION(name, titled, keys) { name, titled, keys, sizeof(keys) / sizeof((keys)[0]) }

static const struct section sections[] = {
	SECTION("daemon", false, daemon_keys),
	SECTION("log", false, log_keys),
	SECTION("interface", true, link_keys),
	SECTION("peer", true, peer_keys),
	SECTION("transport", true, transport_keys),
	{ "policy", true, NULL, 0 },	/* its keys are policy.h's knobs */
};

enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

static const struct key *find_key(const char *section, const char *name)
{
	for (size_t i = 0; i < SECTIONS; i++)
		for (size_t j = 0; !strcmp(sections[i].name, section) && j < sections[i].n; j++)
			if (!strcmp(sections[i].keys[j].name, name))
				return &sections[i].keys[j];
	return NULL;
}

static int read_value(const struct key *key, const char *text, void *out, char *why)
{
	char more[WHY] = "";

	if (!key->read(text, out, more))
		return 0;
	if (*more)
		snprintf(why, WHY, "%s: %s", key->name, more);
	else
		snprintf(why, WHY, "%s: \"%s\" is not allowed, it takes %s", key->name, text,
			 key->takes);
	return -1;
}

/* --- first pass --- */

struct text {
	const char *file;
	char *data;			/* comments blanked */
	size_t len;
	int *opened;			/* by line on which a section ends: where it starts */
	int lines;
};

struct scan {
	char *p;
	int line, depth, opened;
};

static char *skip_line(char *p)
{
	while (*p && *p != '\n')
		*p++ = ' ';
	return p;
}

static int skip_comment(const struct text *text, struct scan *s)
{
	int start = s->line;

	while (strncmp(s->p, "*/", 2)) {
		if (!*s->p)
			return complain(text->file, start, "this comment is not closed");
		if (*s->p == '\n')
			s->line++;
		else
			*s->p = ' ';
		s->p++;
	}
	memset(s->p, ' ', 2);
	s->p += 2;
	return 0;
}

static int skip_string(const struct text *text, struct scan *s)
{
	int start = s->line;
	char quote = *s->p++;

	for (; *s->p != quote; s->p++) {
		if (*s->p == '\\' && s->p[1])
			s->p++;
		if (!*s->p)
			return complain(text->file, start, "this string is not closed");
		s->line += *s->p == '\n';
	}
	s->p++;
	return 0;
}

static int brace(const struct text *text, struct scan *s)
{
	if (*s->p++ == '{') {
		if (!s->depth++)
			s->opened = s->line;
		return 0;
	}
	if (!s->depth--)
		return complain(text->file, s->line, "this closing brace closes nothing");
	if (!s->depth)
		text->opened[s->line] = s->opened;
	return 0;
}

static int scan(const struct text *text)
{
	struct scan s = { text->data, 1, 0, 0 };
	int ret = 0;

	while (*s.p && !ret) {
		if (*s.p == '"' || *s.p == '\'')
			ret = skip_string(text, &s);
		else if (*s.p == '#' || !strncmp(s.p, "//", 2))
			s.p = skip_line(s.p);
		else if (!strncmp(s.p, "/*", 2))
			ret = skip_comment(text, &s);
		else if (*s.p == '{' || *s.p == '}')
			ret = brace(text, &s);
		else
			s.line += *s.p++ == '\n';
	}
	if (!ret && s.depth)
		ret = complain(text->file, s.opened, "this section is not closed");
	return ret;
}

static int slurp(struct text *text)
{
	int fd = open(text->file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0 || fstat(fd, &st)) {
		complain(text->file, 0, "cannot be read: %s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		complain(text->file, 0, "is not a file of at most %d bytes", FILE_MAX);
		goto out;
	}
	text->data = calloc(1, st.st_size + 2);
	n = text->data ? read(fd, text->data, st.st_size) : -1;
	if (n < 0) {
		complain(text->file, 0, "cannot be read: %s", strerror(errno));
		goto out;
	}
	/* Never empty: fmemopen(3) may refuse that. */
	text->data[n] = '\n';
	text->len = n + 1;
	if (memchr(text->data, '\0', n)) {
		n = complain(text->file, 0, "holds a zero byte: a text is needed");
		goto out;
	}
	text->lines = 1;
	for (size_t i = 0; i < text->len; i++)
		text->lines += text->data[i] == '\n';
	text->opened = calloc(text->lines + 1, sizeof(*text->opened));
	if (!text->opened)
		n = complain(text->file, 0, "out of memory");
out:
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

/* --- second pass: libconfuse calls back --- */

union any {
	struct jv_config_daemon daemon;
	struct jv_config_log log;
	struct jv_config_link link;
	struct jv_config_peer peer;
	struct jv_config_transport transport;
};

/* libconfuse lets a later assignment replace an earlier one: a flag that it does not use tells. */
static int try_once(cfg_t *cfg, cfg_opt_t *opt)
{
	const cfg_flag_t taken = 1 << 24;

	if (opt->flags & taken && opt->nvalues == 1) {
		cfg_error(cfg, "%s is given twice in this section", opt->name);
		return -1;
	}
	opt->flags |= taken;
	return 0;
}

static int try_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct key *key = find_key(cfg->name, opt->name);
	char why[WHY] = "";
	union any scratch;
	int ret;

	if (try_once(cfg, opt))
		return -1;
	ret = read_value(key, text, &scratch, why);
	sodium_memzero(&scratch, sizeof(scratch));
	if (!ret && opt->nvalues > key->max) {
		snprintf(why, sizeof(why), "%s: \"%s\" is one too many, %u are allowed", opt->name,
			 text, key->max);
		ret = -1;
	}
	if (ret) {
		cfg_error(cfg, "%s", why);
		return -1;
	}
	*(const char **)result = text;
	return 0;
}

static int try_knob(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	struct jv_policy policy;
	char why[WHY];

	if (try_once(cfg, opt))
		return -1;
	jv_policy_init(&policy);
	if (jv_policy_set(&policy, opt->name, text, why, sizeof(why))) {
		cfg_error(cfg, "%s", why);
		return -1;
	}
	*(const char **)result = text;
	return 0;
}

static void list_options(const cfg_t *cfg)
{
	for (const cfg_opt_t *opt = cfg->opts; opt->name; opt++)
		if (strcmp(opt->name, "__unknown"))
			fprintf(stderr, "%s%s", opt == cfg->opts ? "" : ", ", opt->name);
}

/* Where libconfuse says only what is wrong, say what is allowed. */
static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	bool root = !strcmp(cfg->name, "root");

	fprintf(stderr, "%s:%d: ", cfg->filename, cfg->line);
	if (!strcmp(fmt, "no such option '%s'")) {
		fprintf(stderr, "%s \"%s\" is not allowed%s%s, these are: ",
			root ? "section" : "option", va_arg(ap, const char *),
			root ? "" : " in section ", root ? "" : cfg->name);
		list_options(cfg);
	} else if (!strcmp(fmt, "found duplicate title '%s'")) {
		fprintf(stderr, "a second section of this kind with the name \"%s\" is not "
			"allowed, names are unique", va_arg(ap, const char *));
	} else {
		vfprintf(stderr, fmt, ap);
	}
	fputc('\n', stderr);
}

static void section_options(const struct section *section, cfg_opt_t *opts)
{
	size_t n = 0;

	for (size_t i = 0; i < section->n; i++) {
		const struct key *key = &section->keys[i];

		if (key->max == 1)
			opts[n++] = (cfg_opt_t)CFG_STR_CB(key->name, NULL, CFGF_NODEFAULT,
							  try_value);
		else
			opts[n++] = (cfg_opt_t)CFG_STR_LIST_CB(key->name, NULL, CFGF_NODEFAULT,
							       try_value);
	}
	for (size_t i = 0; !section->keys && i < jv_knobs_count; i++)
		opts[n++] = (cfg_opt_t)CFG_STR_CB(jv_knobs[i].name, NULL, CFGF_NODEFAULT,
						  try_knob);
	opts[n] = (cfg_opt_t)CFG_END();
}

static cfg_t *parse(const struct text *text)
{
	/* libconfuse copies the options. */
	cfg_opt_t opts[SECTIONS][40], root[SECTIONS + 1];
	cfg_t *cfg;
	FILE *in;
	int ret;

	for (size_t i = 0; i < SECTIONS; i++) {
		cfg_flag_t flags = CFGF_MULTI;

		if (sections[i].titled)
			flags |= CFGF_TITLE | CFGF_NO_TITLE_DUPES;
		section_options(&sections[i], opts[i]);
		root[i] = (cfg_opt_t)CFG_SEC(sections[i].name, opts[i], flags);
	}
	root[SECTIONS] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(root, CFGF_NONE);
	in = fmemopen(text->data, text->len, "r");
	if (!cfg || !in) {
		complain(text->file, 0, "out of memory");
		if (cfg)
			cfg_free(cfg);
		if (in)
			fclose(in);
		return NULL;
	}
	cfg_set_error_function(cfg, on_error);
	cfg->filename = strdup(text->file);
	ret = cfg_parse_fp(cfg, in);
	fclose(in);
	if (ret == CFG_SUCCESS)
		return cfg;
	cfg_free(cfg);
	return NULL;
}

/* --- third pass --- */

/* All values of a section into its entry. A key file that changed meanwhile is an error, too. */
static int read_section(const struct text *text, const struct section *section, cfg_t *from,
			void *entry)
{
	char why[WHY];

	for (size_t i = 0; i < section->n; i++) {
		const struct key *key = &section->keys[i];
		unsigned int *count = key->count ? (void *)((char *)entry + key->count) : NULL;

		for (unsigned int j = 0; j < cfg_size(from, key->name); j++) {
			const char *value = cfg_getnstr(from, key->name, j);
			char *out = (char *)entry + key->offset + j * key->size;

			if (!value)
				continue;
			if (read_value(key, value, out, why))
				return complain(text->file, text->opened[from->line], "%s", why);
			if (count)
				*count = j + 1;
		}
	}
	return 0;
}

static int read_knobs(const struct text *text, cfg_t *from, struct jv_policy *policy)
{
	char why[WHY];

	jv_policy_init(policy);
	for (size_t i = 0; i < jv_knobs_count; i++) {
		const char *value = cfg_getstr(from, jv_knobs[i].name);

		if (value && jv_policy_set(policy, jv_knobs[i].name, value, why, sizeof(why)))
			return complain(text->file, text->opened[from->line], "%s", why);
	}
	return 0;
}

/* The one section of its kind. */
static int read_single(const struct text *text, cfg_t *cfg, const char *name, void *entry)
{
	const struct section *section = sections;

	while (strcmp(section->name, name))
		section++;
	if (cfg_size(cfg, name) > 1)
		return complain(text->file, text->opened[cfg_getnsec(cfg, name, 1)->line],
				"a second section \"%s\" is not allowed", name);
	return cfg_size(cfg, name) ? read_section(text, section, cfg_getnsec(cfg, name, 0), entry)
				   : 0;
}

/* All sections of one kind, each with its title as the first member of its entry. */
static int read_titled(const struct text *text, cfg_t *cfg, const char *name, size_t size,
		       void **entries, size_t *n)
{
	const struct section *section = sections;

	while (strcmp(section->name, name))
		section++;
	*n = cfg_size(cfg, name);
	*entries = calloc(*n ? *n : 1, size);
	if (!*entries)
		return complain(text->file, 0, "out of memory");
	for (size_t i = 0; i < *n; i++) {
		cfg_t *from = cfg_getnsec(cfg, name, i);
		char *entry = (char *)*entries + i * size;

		if (strlen(cfg_title(from)) > JV_NAME_MAX)
			return complain(text->file, text->opened[from->line], "name \"%s\" is too "
					"long: %d characters are allowed", cfg_title(from),
					JV_NAME_MAX);
		strcpy(entry, cfg_title(from));
		if (section->keys && read_section(text, section, from, entry))
			return -1;
	}
	return 0;
}

/* With one interface there is no need to name it. */
static int default_link(const struct text *text, cfg_t *from, const struct jv_config *config,
			char link[IFNAMSIZ])
{
	if (*link)
		return 0;
	if (config->links != 1)
		return complain(text->file, text->opened[from->line], "interface is missing: with "
				"%zu interfaces the file must say which", config->links);
	if (strlen(config->link[0].name) < IFNAMSIZ)
		strcpy(link, config->link[0].name);
	return 0;
}

static int read_sections(const struct text *text, cfg_t *cfg, struct jv_config *config)
{
	if (read_single(text, cfg, "daemon", &config->daemon) ||
	    read_single(text, cfg, "log", &config->log) ||
	    read_titled(text, cfg, "interface", sizeof(*config->link),
			(void **)&config->link, &config->links) ||
	    read_titled(text, cfg, "peer", sizeof(*config->peer),
			(void **)&config->peer, &config->peers) ||
	    read_titled(text, cfg, "transport", sizeof(*config->transport),
			(void **)&config->transport, &config->transports) ||
	    read_titled(text, cfg, "policy", sizeof(*config->policy),
			(void **)&config->policy, &config->policies))
		return -1;
	for (size_t i = 0; i < config->policies; i++)
		if (read_knobs(text, cfg_getnsec(cfg, "policy", i), &config->policy[i].policy))
			return -1;
	for (size_t i = 0; i < config->transports; i++) {
		cfg_t *from = cfg_getnsec(cfg, "transport", i);

		if (default_link(text, from, config, config->transport[i].link))
			return -1;
		if (!cfg_getstr(from, "preference"))
			config->transport[i].preference = JV_DEFAULT_PREFERENCE;
	}
	for (size_t i = 0; i < config->peers; i++) {
		cfg_t *from = cfg_getnsec(cfg, "peer", i);

		if (default_link(text, from, config, config->peer[i].link))
			return -1;
		if (!config->peer[i].keyed)
			return complain(text->file, text->opened[from->line],
					"public-key is missing, it takes " TAKES_KEY);
	}
	return 0;
}

/* One entry of @whole as a configuration of its own. */
static struct jv_config part(const struct jv_config *whole, const char *kind, size_t i)
{
	struct jv_config one = { 0 };

	if (!strcmp(kind, "policy"))
		one = (struct jv_config){ .policies = 1, .policy = &whole->policy[i] };
	else if (!strcmp(kind, "interface"))
		one = (struct jv_config){ .links = 1, .link = &whole->link[i] };
	else if (!strcmp(kind, "transport"))
		one = (struct jv_config){ .transports = 1, .transport = &whole->transport[i] };
	else
		one = (struct jv_config){ .peers = 1, .peer = &whole->peer[i] };
	return one;
}

/* Put it together where nothing hangs on it, section by section to know which one is wrong. */
static int rehearse(const struct text *text, cfg_t *cfg, const struct jv_config *config)
{
	static const char *const order[] = { "policy", "interface", "transport", "peer" };
	struct jv_node *node = jv_node_new(NULL, NULL, NULL);
	struct jv_error err;
	int ret = node ? 0 : complain(text->file, 0, "out of memory");

	for (size_t k = 0; k < sizeof(order) / sizeof(order[0]) && !ret; k++) {
		for (size_t i = 0; i < cfg_size(cfg, order[k]) && !ret; i++) {
			cfg_t *from = cfg_getnsec(cfg, order[k], i);
			struct jv_config one = part(config, order[k], i);

			if (jv_node_apply(node, &one, &err))
				ret = complain(text->file, text->opened[from->line], "%s",
					       err.text);
		}
	}
	jv_node_free(node);
	return ret;
}

struct jv_config *jv_config_empty(void)
{
	return calloc(1, sizeof(struct jv_config));
}

struct jv_config *jv_config_load(const char *file)
{
	struct jv_config *config = jv_config_empty();
	struct text text = { .file = file };
	cfg_t *cfg = NULL;
	int ret = -1;

	if (!config)
		complain(file, 0, "out of memory");
	else if (!slurp(&text) && !scan(&text))
		cfg = parse(&text);
	if (cfg) {
		ret = read_sections(&text, cfg, config);
		if (!ret)
			ret = rehearse(&text, cfg, config);
		cfg_free(cfg);
	}
	free(text.data);
	free(text.opened);
	if (!ret)
		return config;
	jv_config_free(config);
	return NULL;
}

void jv_config_free(struct jv_config *config)
{
	if (!config)
		return;
	if (config->link)
		sodium_memzero(config->link, config->links * sizeof(*config->link));
	if (config->peer)
		sodium_memzero(config->peer, config->peers * sizeof(*config->peer));
	free(config->link);
	free(config->peer);
	free(config->transport);
	free(config->policy);
	free(config);
}
