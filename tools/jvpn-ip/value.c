// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../daemon/names.h"
#include "value.h"

#define NAME_ALLOWED	"1 to 63 letters, digits, dots, dashes and underscores"
#define DEVICE_ALLOWED	"1 to 15 characters without \"/\", \":\" or space"
#define KEY_ALLOWED	"32 bytes as 44 characters of base64"
#define ENDPOINT_ALLOWED "ADDRESS:PORT, as 192.0.2.1:51820 or [2001:db8::1]:51820"
#define PREFIX_ALLOWED	"ADDRESS/LENGTH, as 10.1.0.0/16 or 2001:db8::/64"
#define ADDRESS_ALLOWED	"IPv4 or IPv6, as 192.0.2.1 or 2001:db8::1"
#define TIME_ALLOWED	"a whole number with ms, s, m, h or d, as 250ms"
#define SID_ALLOWED	"16 or 32 hex digits"
#define FILE_ALLOWED	"FILE, or - for standard input"
#define PEER_ALLOWED	"its name or its public key"

void value_text(const struct param *param, const char *text, void *to)
{
	if (!*text)
		wrong(text, "empty", NULL);
	*(const char **)to = text;
	(void)param;
}

static bool is_name(const char *text)
{
	size_t length = strlen(text);

	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return length >= 1 && length <= 63 && *text != '-';
}

void value_word(const struct param *param, const char *text, void *to)
{
	if (!is_name(text))
		wrong(text, "not a name", NAME_ALLOWED);
	*(const char **)to = text;
	(void)param;
}

/* The kernel's own rule (dev_valid_name), less "%", which is a template there. */
void value_device(const struct param *param, const char *text, void *to)
{
	size_t length = strlen(text);

	if (!length || length >= IF_NAMESIZE || !strcmp(text, ".") || !strcmp(text, ".."))
		wrong(text, "not a device name", DEVICE_ALLOWED);
	for (const char *p = text; *p; p++)
		if (strchr("/:%", *p) || isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
			wrong(text, "not a device name", DEVICE_ALLOWED);
	*(const char **)to = text;
	(void)param;
}

void value_number(const struct param *param, const char *text, void *to)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (isdigit((unsigned char)*text) && !*end && !errno &&
	    value >= param->min && value <= param->max) {
		*(uint64_t *)to = value;
		return;
	}
	wrong(text, isdigit((unsigned char)*text) && !*end ? "out of range" : "not a number",
	      value_allowed(param));
}

void value_time(const struct param *param, const char *text, void *to)
{
	static const struct {
		const char *suffix;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 },
		      { "d", 86400000 } };
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	for (size_t i = 0; isdigit((unsigned char)*text) && !errno && i < COUNT(units); i++) {
		if (strcmp(end, units[i].suffix) || value > UINT64_MAX / units[i].ms)
			continue;
		*(uint64_t *)to = value * units[i].ms;
		return;
	}
	wrong(text, "not a time", TIME_ALLOWED);
	(void)param;
}

static bool address_parse(const char *text, struct address *address)
{
	memset(address, 0, sizeof(*address));
	address->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(address->family, text, address->bytes) == 1;
}

void value_address(const struct param *param, const char *text, void *to)
{
	if (!address_parse(text, to))
		wrong(text, "not an address", ADDRESS_ALLOWED);
	(void)param;
}

static unsigned int address_bits(const struct address *address)
{
	return address->family == AF_INET ? 32 : 128;
}

/* Decimal digits alone, at most @max. */
static bool small_number(const char *text, unsigned int max, unsigned int *value)
{
	*value = 0;
	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		*value = *value * 10 + (*text - '0');
	}
	return *value <= max;
}

/* Without a length the prefix is the one address. */
static bool prefix_parse(const char *text, struct prefix *prefix)
{
	char copy[ADDRESS_TEXT], *slash;

	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	if (!address_parse(copy, &prefix->address))
		return false;
	prefix->length = address_bits(&prefix->address);
	return !slash || small_number(slash, prefix->length, &prefix->length);
}

void value_prefix(const struct param *param, const char *text, void *to)
{
	if (!prefix_parse(text, to))
		wrong(text, "not a prefix", PREFIX_ALLOWED);
	(void)param;
}

static bool has_host_bits(const struct prefix *prefix)
{
	for (unsigned int bit = prefix->length; bit < address_bits(&prefix->address); bit++)
		if (prefix->address.bytes[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

/* Prefixes separated by commas; the word may also come again. */
void value_prefixes(const struct param *param, const char *text, void *to)
{
	struct prefix_list *list = to;
	char one[ADDRESS_TEXT];
	size_t length;

	do {
		length = strcspn(text, ",");
		if (length >= sizeof(one))
			wrong(text, "not a prefix", PREFIX_ALLOWED);
		memcpy(one, text, length);
		one[length] = '\0';
		if (list->count == LIST_MAX)
			wrong(one, "too many prefixes", "32 at most");
		if (!prefix_parse(one, &list->at[list->count]))
			wrong(one, "not a prefix", PREFIX_ALLOWED);
		if (has_host_bits(&list->at[list->count]))
			wrong(one, "bits are set behind the prefix length", PREFIX_ALLOWED);
		list->count++;
		text += length;
	} while (*text++);
	(void)param;
}

/* ADDRESS:PORT or [ADDRESS]:PORT; the address alone leaves the port 0. */
static bool endpoint_parse(const char *text, struct endpoint *endpoint)
{
	char copy[ADDRESS_TEXT], *address = copy, *port = NULL, *end;

	endpoint->port = 0;
	if (strlen(text) >= sizeof(copy))
		return false;
	strcpy(copy, text);
	if (*copy == '[') {
		end = strchr(++address, ']');
		if (!end || (end[1] && end[1] != ':') || !strchr(address, ':'))
			return false;
		port = end[1] ? end + 2 : NULL;
		*end = '\0';
	} else if (strchr(copy, ':') == strrchr(copy, ':') && strchr(copy, ':')) {
		port = strchr(copy, ':');
		*port++ = '\0';
	}
	if (port && (!small_number(port, 65535, &endpoint->port) || !endpoint->port))
		return false;
	return address_parse(address, &endpoint->address);
}

void value_endpoint(const struct param *param, const char *text, void *to)
{
	struct endpoint *endpoint = to;

	if (!endpoint_parse(text, endpoint) || !endpoint->port)
		wrong(text, "not an address with a port", ENDPOINT_ALLOWED);
	(void)param;
}

void value_remote(const struct param *param, const char *text, void *to)
{
	if (!endpoint_parse(text, to))
		wrong(text, "not an address", ENDPOINT_ALLOWED);
	(void)param;
}

void value_sid(const struct param *param, const char *text, void *to)
{
	struct sid *sid = to;

	memset(sid, 0, sizeof(*sid));
	sid->digits = strlen(text);
	if ((sid->digits != 2 * SID_BRIEF && sid->digits != 2 * SID_LEN) ||
	    sodium_hex2bin(sid->bytes, sizeof(sid->bytes), text, sid->digits, NULL, NULL, NULL))
		wrong(text, "not a session id", SID_ALLOWED);
	(void)param;
}

static bool key_parse(const char *text, unsigned char key[KEY_LEN])
{
	const char *end;
	size_t length;

	return !sodium_base642bin(key, KEY_LEN, text, strlen(text), NULL, &length, &end,
				  sodium_base64_VARIANT_ORIGINAL) &&
	       length == KEY_LEN && !*end;
}

bool is_key(const char *text)
{
	unsigned char key[KEY_LEN];
	bool good = key_parse(text, key);

	sodium_memzero(key, sizeof(key));
	return good;
}

void value_public_key(const struct param *param, const char *text, void *to)
{
	if (!is_key(text))
		wrong(text, "not a key", KEY_ALLOWED);
	*(const char **)to = text;
	(void)param;
}

const char *peer_word(struct words *words)
{
	const char *text = words_take(words, "a peer", PEER_ALLOWED);

	if (!is_name(text) && !is_key(text))
		wrong(text, "not a peer", PEER_ALLOWED);
	return text;
}

bool key_read(FILE *stream, unsigned char key[KEY_LEN])
{
	char text[256];
	size_t length, begin = 0;
	bool good;

	/* Unbuffered: no copy of the key stays in the stream. */
	setvbuf(stream, NULL, _IONBF, 0);
	length = fread(text, 1, sizeof(text) - 1, stream);
	good = !ferror(stream) && length < sizeof(text) - 1;
	while (length && isspace((unsigned char)text[length - 1]))
		length--;
	text[length] = '\0';
	while (isspace((unsigned char)text[begin]))
		begin++;
	good = good && strlen(text) == length && key_parse(text + begin, key);
	sodium_memzero(text, sizeof(text));
	return good;
}

/*
 * The complaint must not repeat the argument where it is a key itself, given
 * in the place of a file.
 */
void value_key_file(const struct param *param, const char *text, void *to)
{
	struct key_text *key = to;
	unsigned char bytes[KEY_LEN];
	FILE *stream;
	bool good;

	if (is_key(text))
		wrong(param->name.word, "a key does not belong on the command line", FILE_ALLOWED);
	stream = strcmp(text, "-") ? fopen(text, "re") : stdin;
	if (!stream)
		wrong(text, strerror(errno), FILE_ALLOWED);
	good = key_read(stream, bytes);
	if (stream == stdin || !realpath(text, key->path))
		key->path[0] = '\0';
	if (stream != stdin)
		fclose(stream);
	if (good)
		sodium_bin2base64(key->text, sizeof(key->text), bytes, sizeof(bytes),
				  sodium_base64_VARIANT_ORIGINAL);
	sodium_memzero(bytes, sizeof(bytes));
	if (!good)
		wrong(text, "holds no key", KEY_ALLOWED);
}

#define STATE_ROW(value, name, meaning) { { #name, NULL }, value },
static const struct {
	struct name name;
	uint64_t value;
} states[] = { JVPN_STATES(STATE_ROW) };

void value_state(const struct param *param, const char *text, void *to)
{
	for (size_t i = 0; i < COUNT(states); i++) {
		if (strcasecmp(text, states[i].name.word))
			continue;
		*(uint64_t *)to = states[i].value;
		return;
	}
	wrong(text, "unknown state", value_allowed(param));
}

const char *value_allowed(const struct param *param)
{
	static const struct {
		void (*parse)(const struct param *param, const char *text, void *to);
		const char *allowed;
	} rows[] = {
		{ value_word, NAME_ALLOWED }, { value_device, DEVICE_ALLOWED },
		{ value_time, TIME_ALLOWED }, { value_address, ADDRESS_ALLOWED },
		{ value_prefix, PREFIX_ALLOWED }, { value_prefixes, PREFIX_ALLOWED },
		{ value_endpoint, ENDPOINT_ALLOWED }, { value_remote, ENDPOINT_ALLOWED },
		{ value_sid, SID_ALLOWED }, { value_public_key, KEY_ALLOWED },
		{ value_key_file, FILE_ALLOWED },
	};
	static char text[128];

	if (param->parse == value_number) {
		snprintf(text, sizeof(text), "%" PRIu64 " to %" PRIu64, param->min, param->max);
		return text;
	}
	if (param->parse == value_state) {
		name_list(states, COUNT(states), sizeof(*states), NULL, text, sizeof(text));
		return text;
	}
	for (size_t i = 0; i < COUNT(rows); i++)
		if (rows[i].parse == param->parse)
			return rows[i].allowed;
	return NULL;
}

const char *address_format(const struct address *address, char *buf)
{
	if (!address->family || !inet_ntop(address->family, address->bytes, buf, ADDRESS_TEXT))
		strcpy(buf, "-");
	return buf;
}

const char *prefix_format(const struct prefix *prefix, char *buf)
{
	size_t used = strlen(address_format(&prefix->address, buf));

	snprintf(buf + used, ADDRESS_TEXT - used, "/%u", prefix->length);
	return buf;
}

const char *endpoint_format(const struct endpoint *endpoint, char *buf)
{
	char address[ADDRESS_TEXT];
	bool brackets = endpoint->address.family == AF_INET6;

	address_format(&endpoint->address, address);
	snprintf(buf, ADDRESS_TEXT, "%s%.45s%s:%u", brackets ? "[" : "", address,
		 brackets ? "]" : "", endpoint->port);
	return buf;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool prefix_holds(const struct prefix *prefix, const struct address *address)
{
	struct prefix inside = { .address = *address, .length = prefix->length };
	const unsigned char *a = inside.address.bytes, *b = prefix->address.bytes;
	unsigned int whole = prefix->length / 8, rest = prefix->length % 8;

	if (address->family != prefix->address.family || memcmp(a, b, whole))
		return false;
	return !rest || !((a[whole] ^ b[whole]) & 0xff << (8 - rest) & 0xff);
}
