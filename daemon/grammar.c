// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "grammar.h"

/* --- values: a reader each --- */

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
static int read_secret(int fd, const char *path, uint8_t key[32], char *why, size_t size)
{
	char text[JV_KEY_TEXT + 2] = "";
	struct stat st;
	ssize_t len;
	int ret = -1;

	if (fstat(fd, &st) || (st.st_mode & S_IRWXO)) {
		snprintf(why, size, "everybody may read \"%s\" (mode %04o): chmod 600 it", path,
			 st.st_mode & 07777);
		return -1;
	}
	len = read(fd, text, sizeof(text) - 1);
	if (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	if (len < 0 || jv_key_parse(key, text))
		snprintf(why, size, "\"%s\" does not hold a key: 44 characters of base64, as "
			 "jvpn-ip key gen writes", path);
	else
		ret = 0;
	sodium_memzero(text, sizeof(text));
	return ret;
}

int jv_config_read_key(const char *path, uint8_t key[32], char *why, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;

	if (fd < 0) {
		snprintf(why, size, "cannot read \"%s\": %s", path, strerror(errno));
		return -1;
	}
	ret = read_secret(fd, path, key, why, size);
	close(fd);
	return ret;
}

static int read_key_file(const char *text, void *out, char *why)
{
	const char *path = text + strlen("file:");
	struct jv_config_key *key = out;

	if (strncmp(text, "file:", strlen("file:")) || strlen(path) >= sizeof(key->path))
		return -1;
	strcpy(key->path, path);
	return jv_config_read_key(path, key->key, why, JV_WHY);
}

/* --- and a writer --- */

void jv_quote_write(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		/* A dollar would begin the name of an environment variable. */
		if (strchr("\"\\$", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void write_text(FILE *out, const void *value)
{
	jv_quote_write(out, value);
}

static void write_level(FILE *out, const void *value)
{
	fputs(jv_log_level_name(*(const enum jv_log_level *)value), out);
}

static void write_session_id(FILE *out, const void *value)
{
	fputs(*(const bool *)value ? "clear" : "pseudonym", out);
}

static void write_flag(FILE *out, const void *value)
{
	fputs(*(const bool *)value ? "true" : "false", out);
}

static void write_number(FILE *out, const void *value)
{
	fprintf(out, "%u", *(const uint32_t *)value);
}

static void write_hex(FILE *out, const void *value)
{
	fprintf(out, "0x%x", *(const uint32_t *)value);
}

static void write_addr(FILE *out, const void *value)
{
	char text[JV_ADDR_TEXT];

	jv_quote_write(out, jv_addr_format(value, text));
}

static void write_prefix(FILE *out, const void *value)
{
	char text[JV_PREFIX_TEXT];

	jv_quote_write(out, jv_prefix_format(value, text));
}

static void write_key(FILE *out, const void *value)
{
	char text[JV_KEY_TEXT];

	jv_quote_write(out, jv_key_format(value, text));
}

static void write_key_file(FILE *out, const void *value)
{
	char text[sizeof("file:") + JV_CONFIG_PATH];

	snprintf(text, sizeof(text), "file:%s", ((const struct jv_config_key *)value)->path);
	jv_quote_write(out, text);
}

/* --- the grammar as data --- */

#define SINGLE(type, key, kind, member, takes)				\
	{ key, read_##kind, write_##kind, takes, offsetof(type, member), \
	  sizeof(((type *)0)->member), 0, 1 }
#define COUNTED(type, key, kind, member, counter, takes)			\
	{ key, read_##kind, write_##kind, takes, offsetof(type, member), \
	  sizeof(((type *)0)->member), offsetof(type, counter), 1 }
#define LIST(type, key, kind, member, counter, limit, takes)		\
	{ key, read_##kind, write_##kind, takes, offsetof(type, member), \
	  sizeof(((type *)0)->member[0]), offsetof(type, counter), limit }

#define write_name	write_text
#define write_ifname	write_text
#define write_path	write_text
#define write_address	write_prefix
#define read_hex	read_number

#define TAKES_NAME   "a name of 1 to 63 characters"
#define TAKES_IFNAME "the name of an interface"
#define TAKES_PATH   "a path that starts with a slash"
#define TAKES_FILE   "\"file:PATH\": keys stand in files of their own"
#define TAKES_ADDR   "an IPv4 ADDRESS:PORT"
#define TAKES_KEY    "a key: 44 characters of base64"

static const struct jv_setting daemon_keys[] = {
	SINGLE(struct jv_config_daemon, "node-id", name, node_id, TAKES_NAME),
	SINGLE(struct jv_config_daemon, "control-socket", path, control_socket, TAKES_PATH),
	SINGLE(struct jv_config_daemon, "control-group", name, control_group,
	       "the name of a group"),
	SINGLE(struct jv_config_daemon, "state-dir", path, state_dir, TAKES_PATH),
};

static const struct jv_setting log_keys[] = {
	SINGLE(struct jv_config_log, "audit", path, audit, TAKES_PATH),
	SINGLE(struct jv_config_log, "level", level, level,
	       "one of: err, warn, info, debug"),
	SINGLE(struct jv_config_log, "session-id", session_id, clear_ids,
	       "one of: pseudonym, clear"),
};

static const struct jv_setting link_keys[] = {
	COUNTED(struct jv_config_link, "private-key", key_file, private_key, keyed,
		TAKES_FILE),
	COUNTED(struct jv_config_link, "listen", addr, listen, listening, TAKES_ADDR),
	SINGLE(struct jv_config_link, "mtu", number, mtu, "a number from 576 to 65475"),
	SINGLE(struct jv_config_link, "fwmark", hex, mark,
	       "a number from 1 to 4294967295, also as 0x..."),
	SINGLE(struct jv_config_link, "table", number, table,
	       "a number from 1 to 4294967295 but 253, 254 and 255"),
	LIST(struct jv_config_link, "addresses", address, address, addresses,
	     JV_LINK_ADDRESSES, "ADDRESS/LENGTH"),
};

static const struct jv_setting peer_keys[] = {
	SINGLE(struct jv_config_peer, "interface", ifname, link, TAKES_IFNAME),
	COUNTED(struct jv_config_peer, "public-key", key, public_key, keyed, TAKES_KEY),
	LIST(struct jv_config_peer, "endpoint", addr, endpoint, endpoints,
	     JV_PEER_ENDPOINTS, TAKES_ADDR),
	LIST(struct jv_config_peer, "allowed-ips", prefix, prefix, prefixes,
	     JV_PEER_PREFIXES, "ADDRESS/LENGTH without bits behind the length"),
	COUNTED(struct jv_config_peer, "preshared", key_file, psk, has_psk, TAKES_FILE),
	SINGLE(struct jv_config_peer, "policy", name, policy, "the name of a policy"),
};

static const struct jv_setting transport_keys[] = {
	SINGLE(struct jv_config_transport, "interface", ifname, link, TAKES_IFNAME),
	SINGLE(struct jv_config_transport, "match", name, match,
	       "a pattern of interface names"),
	COUNTED(struct jv_config_transport, "preference", number, preference, preferred,
		"a number from 0 to 1000"),
	SINGLE(struct jv_config_transport, "metered", flag, metered,
	       "one of: true, false"),
};

#define SECTION(name, titled, keys) { name, titled, keys, sizeof(keys) / sizeof((keys)[0]) }

const struct jv_section jv_sections[JV_SECTIONS] = {
	SECTION("daemon", false, daemon_keys),
	SECTION("log", false, log_keys),
	SECTION("interface", true, link_keys),
	SECTION("peer", true, peer_keys),
	SECTION("transport", true, transport_keys),
	{ "policy", true, NULL, 0 },
};

const struct jv_section *jv_section_find(const char *name)
{
	for (size_t i = 0; i < JV_SECTIONS; i++)
		if (!strcmp(jv_sections[i].name, name))
			return &jv_sections[i];
	return NULL;
}

const struct jv_setting *jv_setting_find(const char *section, const char *name)
{
	const struct jv_section *s = jv_section_find(section);

	for (size_t i = 0; s && i < s->n; i++)
		if (!strcmp(s->settings[i].name, name))
			return &s->settings[i];
	return NULL;
}

int jv_setting_read(const struct jv_setting *setting, const char *text, void *out, char *why)
{
	char more[JV_WHY] = "";

	if (!setting->read(text, out, more))
		return 0;
	if (*more)
		snprintf(why, JV_WHY, "%s: %.*s", setting->name, JV_WHY - 64, more);
	else
		snprintf(why, JV_WHY, "%s: \"%s\" is not allowed, it takes %s", setting->name, text,
			 setting->takes);
	return -1;
}

static unsigned int values_of(const struct jv_setting *setting, const char *entry)
{
	if (setting->count)
		return *(const unsigned int *)(entry + setting->count);
	return !sodium_is_zero((const unsigned char *)entry + setting->offset, setting->size);
}

static bool has_file(const struct jv_setting *setting, const char *entry)
{
	return *((const struct jv_config_key *)(entry + setting->offset))->path;
}

void jv_section_write(const struct jv_section *section, const void *entry, FILE *out)
{
	for (size_t i = 0; i < section->n; i++) {
		const struct jv_setting *setting = &section->settings[i];
		unsigned int n = values_of(setting, entry);

		if (!n)
			continue;
		if (setting->write == write_key_file && !has_file(setting, entry)) {
			fprintf(out, "\t# %s: jvpn-ip gave it, and named no file\n", setting->name);
			continue;
		}
		fprintf(out, "\t%s = %s", setting->name, setting->max > 1 ? "{ " : "");
		for (unsigned int j = 0; j < n; j++) {
			fputs(j ? ", " : "", out);
			setting->write(out, (const char *)entry + setting->offset + j * setting->size);
		}
		fputs(setting->max > 1 ? " }\n" : "\n", out);
	}
}
