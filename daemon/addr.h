/* SPDX-License-Identifier: GPL-2.0 */
/* Addresses, prefixes, keys and numbers as people write them. Pure. */
#ifndef JV_ADDR_H
#define JV_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

union jv_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct jv_prefix {
	uint8_t family;			/* AF_INET, AF_INET6 */
	uint8_t len;			/* bits */
	uint8_t addr[16];		/* network order, 4 or 16 bytes used */
};

enum {
	JV_ADDR_TEXT = 56,		/* "[IPv6]:port" and the end */
	JV_PREFIX_TEXT = 52,
	JV_KEY_TEXT = 45,		/* base64 of 32 bytes and the end */
	JV_FINGERPRINT_TEXT = 24,	/* "SHA256:", 16 digits and the end */
};

/* Bytes of the address that @a holds, for netlink; 0 if it holds none. */
socklen_t jv_addr_len(const union jv_addr *a);

/* Same family, address and port. */
bool jv_addr_equal(const union jv_addr *a, const union jv_addr *b);

/* "192.0.2.1:51820", "[2001:db8::1]:51820"; port 1..65535, numeric only. 0 or -1. */
int jv_addr_parse(union jv_addr *a, const char *text);

/* The reverse; "-" for none. Returns @buf. */
const char *jv_addr_format(const union jv_addr *a, char buf[JV_ADDR_TEXT]);

/*
 * "10.0.0.0/8", "2001:db8::/32", a bare address is a whole host. Bits behind the
 * prefix are refused unless @host_bits (an interface's own address). 0 or -1.
 */
int jv_prefix_parse(struct jv_prefix *p, const char *text, bool host_bits);
const char *jv_prefix_format(const struct jv_prefix *p, char buf[JV_PREFIX_TEXT]);
bool jv_prefix_equal(const struct jv_prefix *a, const struct jv_prefix *b);

/* Bytes of an address of this family: 4 or 16. */
size_t jv_prefix_bytes(const struct jv_prefix *p);

/* 44 characters of base64 for 32 bytes. 0 or -1; constant time in the value. */
int jv_key_parse(uint8_t key[32], const char *text);
const char *jv_key_format(const uint8_t key[32], char buf[JV_KEY_TEXT]);

/* What stands for a public key in logs and complaints: the first bytes of its SHA-256. */
const char *jv_key_fingerprint(const uint8_t key[32], char buf[JV_FINGERPRINT_TEXT]);

/* "51820" or "0xca6c", 0 to 2^32 - 1. 0 or -1. */
int jv_u32_parse(const char *text, uint32_t *value);

/* Lowercase hex of @len bytes and the end: 2 * len + 1. Returns @buf. */
char *jv_hex(const void *data, size_t len, char *buf);

#endif /* JV_ADDR_H */
