/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One parse function per kind of value, all with the shape that struct param
 * wants. What is not allowed ends in wrong(), which quotes it.
 */
#ifndef JVPN_IP_VALUE_H
#define JVPN_IP_VALUE_H

#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

#include <sodium.h>

#include "grammar.h"

enum {
	KEY_LEN = 32,
	KEY_TEXT = sodium_base64_ENCODED_LEN(KEY_LEN, sodium_base64_VARIANT_ORIGINAL),
	SID_LEN = 16,
	SID_BRIEF = 8,		/* so many bytes are shown, and are enough to name one */
	MTU_MIN = 576,
	LIST_MAX = 32,
};

/* Space for an address, a slash or colon, and a number. */
enum { ADDRESS_TEXT = 64 };

struct address {
	int family;
	unsigned char bytes[16];
};

struct prefix {
	struct address address;
	unsigned int length;
};

/* An address, and a port, which is 0 if none was given. */
struct endpoint {
	struct address address;
	unsigned int port;
};

struct sid {
	unsigned char bytes[SID_LEN];
	size_t digits;		/* 16 or 32 hex digits were given */
};

struct prefix_list {
	struct prefix at[LIST_MAX];
	size_t count;
};

/* A key on its way from a file to the daemon. */
struct key_text {
	char text[KEY_TEXT];
	char path[PATH_MAX];	/* of the file, from the root; "" : standard input */
};

void value_text(const struct param *param, const char *text, void *to);	/* const char * */
void value_word(const struct param *param, const char *text, void *to);	/* const char *: a name */
void value_device(const struct param *param, const char *text, void *to);	/* const char * */
void value_number(const struct param *param, const char *text, void *to);	/* uint64_t */
void value_time(const struct param *param, const char *text, void *to);	/* uint64_t, ms */
void value_address(const struct param *param, const char *text, void *to);	/* struct address */
void value_prefix(const struct param *param, const char *text, void *to);	/* struct prefix */
void value_prefixes(const struct param *param, const char *text, void *to); /* prefix_list */
void value_endpoint(const struct param *param, const char *text, void *to);	/* port needed */
void value_remote(const struct param *param, const char *text, void *to);	/* port optional */
void value_sid(const struct param *param, const char *text, void *to);	/* struct sid */
void value_public_key(const struct param *param, const char *text, void *to); /* const char * */
void value_key_file(const struct param *param, const char *text, void *to);	/* key_text */
void value_state(const struct param *param, const char *text, void *to);	/* uint64_t */

/* What the parser of @param takes, for people; NULL if there is nothing to say. */
const char *value_allowed(const struct param *param);

/* Whether @text is 32 bytes in base64. */
bool is_key(const char *text);

/* A public key, or a peer's name. */
const char *peer_word(struct words *words);

/*
 * Read a key in base64 from @stream, white space around it allowed. False if
 * there is anything else. The caller wipes @key.
 */
bool key_read(FILE *stream, unsigned char key[KEY_LEN]);

/* Each formats into @buf of ADDRESS_TEXT bytes and returns it. */
const char *address_format(const struct address *address, char *buf);
const char *prefix_format(const struct prefix *prefix, char *buf);
const char *endpoint_format(const struct endpoint *endpoint, char *buf);

bool address_equal(const struct address *a, const struct address *b);

/* Whether @prefix contains @address. */
bool prefix_holds(const struct prefix *prefix, const struct address *address);

#endif /* JVPN_IP_VALUE_H */
