/* SPDX-License-Identifier: GPL-2.0 */
/* Which sessions are meant: words that all must fit. */
#ifndef JVPN_IP_SELECTOR_H
#define JVPN_IP_SELECTOR_H

#include "object.h"
#include "transport.h"

enum {
	SELECT_DEV = 1 << 0,
	SELECT_ID = 1 << 1,
	SELECT_PEER = 1 << 2,
	SELECT_INNER = 1 << 3,
	SELECT_OUTER = 1 << 4,
	SELECT_STATE = 1 << 5,
	SELECT_VIA = 1 << 6,
	SELECT_OLDER = 1 << 7,
	SELECT_ALL = (1 << 8) - 1,
	SELECT_COUNT = 8,
};

struct selector {
	uint32_t given;		/* SELECT_ */
	const char *dev, *peer, *via;
	struct sid id;
	struct address inner;
	struct endpoint outer;
	uint64_t state, older_ms;
	uint32_t ifindex;	/* of dev */
};

/*
 * The rows for a parameter table: its first ones, so that bits and SELECT_ agree.
 * @in is "selector." where @type has one, and nothing where it is one.
 */
#define SELECTOR_PARAMS(type, in)					\
	PARAM("dev", value_device, type, in dev), \
	PARAM("id", value_sid, type, in id), \
	PARAM("peer", value_word, type, in peer), \
	PARAM("inner", value_address, type, in inner), \
	PARAM("outer", value_remote, type, in outer), \
	PARAM("state", value_state, type, in state), \
	PARAM("via", value_word, type, in via), \
	PARAM("older", value_time, type, in older_ms)

#define SELECTOR_USAGE								\
	"[ dev NAME ] [ id HEX ] [ peer NAME ] [ inner ADDRESS ] [ outer ADDRESS[:PORT] ] " \
	"[ state STATE ] [ via IFNAME|TRANSPORT ] [ older TIME ]"

/* Keep what was @given, and look the device up. Returns the exit code. */
int selector_init(struct selector *selector, uint32_t given);

/* Whether the session fits. @transport is the daemon's name of its transport, or NULL. */
bool selector_fits(const struct selector *selector, const struct session *session,
		   const struct paths *paths, const char *transport);

#endif /* JVPN_IP_SELECTOR_H */
