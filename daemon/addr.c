// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

socklen_t jv_addr_len(const union jv_addr *a)
{
	switch (a->sa.sa_family) {
	case AF_INET:
		return sizeof(a->in);
	case AF_INET6:
		return sizeof(a->in6);
	default:
		return 0;
	}
}

bool jv_addr_equal(const union jv_addr *a, const union jv_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr &&
		       a->in.sin_port == b->in.sin_port;
	case AF_INET6:
		return !memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) &&
		       a->in6.sin6_port == b->in6.sin6_port;
	default:
		return true;
	}
}

/* A decimal number of 1 to 5 digits without sign or leading zero, 0..@max. -1: not one. */
static long number(const char *text, long max)
{
	long value = 0;
	size_t len = strlen(text);

	if (len < 1 || len > 5 || (len > 1 && *text == '0'))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		value = value * 10 + (*text - '0');
	}
	return value <= max ? value : -1;
}

int jv_addr_parse(union jv_addr *a, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	union jv_addr out = { .sa.sa_family = AF_UNSPEC };
	bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
	long port = colon ? number(colon + 1, UINT16_MAX) : -1;

	if (port < 1)
		return -1;
	if (brackets) {
		text++;
		len -= 2;
	}
	if (!len || len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (brackets) {
		if (inet_pton(AF_INET6, host, &out.in6.sin6_addr) != 1)
			return -1;
		out.in6.sin6_family = AF_INET6;
		out.in6.sin6_port = htons(port);
	} else {
		if (inet_pton(AF_INET, host, &out.in.sin_addr) != 1)
			return -1;
		out.in.sin_family = AF_INET;
		out.in.sin_port = htons(port);
	}
	*a = out;
	return 0;
}

const char *jv_addr_format(const union jv_addr *a, char buf[JV_ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	switch (a->sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(buf, JV_ADDR_TEXT, "%s:%u", host, ntohs(a->in.sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		snprintf(buf, JV_ADDR_TEXT, "[%s]:%u", host, ntohs(a->in6.sin6_port));
		break;
	default:
		snprintf(buf, JV_ADDR_TEXT, "-");
	}
	return buf;
}

size_t jv_prefix_bytes(const struct jv_prefix *p)
{
	return p->family == AF_INET ? 4 : 16;
}

static bool host_bits_set(const struct jv_prefix *p)
{
	for (size_t bit = p->len; bit < jv_prefix_bytes(p) * 8; bit++)
		if (p->addr[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

int jv_prefix_parse(struct jv_prefix *p, const char *text, bool host_bits)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	struct jv_prefix out = { .family = AF_INET };
	long bits;

	if (!len || len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (memchr(host, ':', len))
		out.family = AF_INET6;
	if (inet_pton(out.family, host, out.addr) != 1)
		return -1;
	bits = jv_prefix_bytes(&out) * 8;
	if (slash)
		bits = number(slash + 1, bits);
	if (bits < 0)
		return -1;
	out.len = bits;
	if (!host_bits && host_bits_set(&out))
		return -1;
	*p = out;
	return 0;
}

const char *jv_prefix_format(const struct jv_prefix *p, char buf[JV_PREFIX_TEXT])
{
	char host[INET6_ADDRSTRLEN];

	inet_ntop(p->family, p->addr, host, sizeof(host));
	snprintf(buf, JV_PREFIX_TEXT, "%s/%u", host, p->len);
	return buf;
}

bool jv_prefix_equal(const struct jv_prefix *a, const struct jv_prefix *b)
{
	return a->family == b->family && a->len == b->len &&
	       !memcmp(a->addr, b->addr, jv_prefix_bytes(a));
}

int jv_key_parse(uint8_t key[32], const char *text)
{
	uint8_t out[32];
	size_t len;
	int ret = -1;

	if (strlen(text) == JV_KEY_TEXT - 1 &&
	    !sodium_base642bin(out, sizeof(out), text, JV_KEY_TEXT - 1, NULL, &len, NULL,
			       sodium_base64_VARIANT_ORIGINAL) && len == sizeof(out)) {
		memcpy(key, out, sizeof(out));
		ret = 0;
	}
	sodium_memzero(out, sizeof(out));
	return ret;
}

const char *jv_key_format(const uint8_t key[32], char buf[JV_KEY_TEXT])
{
	return sodium_bin2base64(buf, JV_KEY_TEXT, key, 32, sodium_base64_VARIANT_ORIGINAL);
}

const char *jv_key_fingerprint(const uint8_t key[32], char buf[JV_FINGERPRINT_TEXT])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	char hex[17];

	crypto_hash_sha256(hash, key, 32);
	snprintf(buf, JV_FINGERPRINT_TEXT, "SHA256:%s", jv_hex(hash, 8, hex));
	return buf;
}

int jv_u32_parse(const char *text, uint32_t *value)
{
	bool hex = text[0] == '0' && text[1] == 'x';
	const char *digits = hex ? text + 2 : text;
	size_t len = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long long n;

	if (!len || len > 10 || digits[len])
		return -1;
	n = strtoull(digits, NULL, hex ? 16 : 10);
	if (n > UINT32_MAX)
		return -1;
	*value = n;
	return 0;
}

char *jv_hex(const void *data, size_t len, char *buf)
{
	return sodium_bin2hex(buf, 2 * len + 1, data, len);
}
