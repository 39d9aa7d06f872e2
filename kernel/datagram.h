/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The outer shape of every datagram type: what can be refused without a key.
 * The table is the only place that knows where a type keeps its fields.
 */
#ifndef JVPN_DATAGRAM_H
#define JVPN_DATAGRAM_H

#include "pure.h"
#include "../uapi/wire.h"

/* Largest payload of a UDP datagram over IPv4. */
#define JVPN_DATAGRAM_MAX 65507

/* Who takes it. */
enum jvpn_receiver {
	JVPN_FOR_NOBODY,
	JVPN_FOR_CLIENT,
	JVPN_FOR_GATEWAY,
	JVPN_FOR_BOTH,
};

/* Which limits a request falls under. */
enum jvpn_request {
	JVPN_REQ_NONE,
	JVPN_REQ_INIT,
	JVPN_REQ_REATTACH,
	JVPN_REQ_SWITCH,
};

/**
 * struct jvpn_shape - outer shape of one datagram type
 * @min: shortest datagram, bytes
 * @max: longest datagram, bytes
 * @tag: offset of tag1, which covers every byte before it; 0: no tag
 * @receiver: &enum jvpn_receiver; JVPN_FOR_NOBODY marks an unknown type
 * @request: &enum jvpn_request
 * @suite: offset of the suite byte, 0: none
 * @kid: offset of the key id, 0: none
 * @req_id: offset of the request id, 0: none
 * @cookie: offset of the cookie, 0: none
 * @cid: offset of the gateway's receiver id, 0: none
 * @versioned: byte 1 is the protocol version
 * @zero: runs of reserved bytes
 */
struct jvpn_shape {
	u16 min, max, tag;
	u8 receiver, request;
	u8 suite, kid, req_id, cookie, cid;
	bool versioned;
	struct {
		u8 at, len;
	} zero[2];
};

/* Every type is 0x0t or 0x8t with t below 8; anything else has no slot. */
#define JVPN_SHAPE_SLOT(type) (((type) >> 4 & 8) | ((type) & 7))
#define JVPN_SHAPE_SLOTS 16

static const struct jvpn_shape jvpn_shapes[JVPN_SHAPE_SLOTS] = {
	[JVPN_SHAPE_SLOT(JVPN_T_INIT)] = {
		.min = sizeof(struct jvpn_init), .max = sizeof(struct jvpn_init),
		.receiver = JVPN_FOR_GATEWAY, .request = JVPN_REQ_INIT,
		.versioned = true,
		.kid = offsetof(struct jvpn_init, kid),
		.suite = offsetof(struct jvpn_init, suite),
		.zero = { { offsetof(struct jvpn_init, zero), 4 } },
		.req_id = offsetof(struct jvpn_init, req_id),
		.cookie = offsetof(struct jvpn_init, cookie),
		.tag = offsetof(struct jvpn_init, tag1),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_REATTACH)] = {
		.min = sizeof(struct jvpn_reattach),
		.max = sizeof(struct jvpn_reattach),
		.receiver = JVPN_FOR_GATEWAY, .request = JVPN_REQ_REATTACH,
		.versioned = true,
		.kid = offsetof(struct jvpn_reattach, kid),
		.suite = offsetof(struct jvpn_reattach, suite),
		.zero = { { offsetof(struct jvpn_reattach, zero4), 4 },
			  { offsetof(struct jvpn_reattach, zero), 4 } },
		.req_id = offsetof(struct jvpn_reattach, req_id),
		.cookie = offsetof(struct jvpn_reattach, cookie),
		.tag = offsetof(struct jvpn_reattach, tag1),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_SWITCH)] = {
		.min = sizeof(struct jvpn_switch),
		.max = sizeof(struct jvpn_switch),
		.receiver = JVPN_FOR_GATEWAY, .request = JVPN_REQ_SWITCH,
		.versioned = true,
		.kid = offsetof(struct jvpn_switch, kid),
		.zero = { { offsetof(struct jvpn_switch, zero), 5 } },
		.cid = offsetof(struct jvpn_switch, cid),
		.req_id = offsetof(struct jvpn_switch, req_id),
		.cookie = offsetof(struct jvpn_switch, cookie),
		.tag = offsetof(struct jvpn_switch, tag1),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_INIT_RESP)] = {
		.min = sizeof(struct jvpn_init_resp) + JVPN_TAG_LEN +
		       sizeof(struct jvpn_init_resp_payload),
		.max = sizeof(struct jvpn_init),
		.receiver = JVPN_FOR_CLIENT, .versioned = true,
		.suite = offsetof(struct jvpn_init_resp, suite),
		.zero = { { offsetof(struct jvpn_init_resp, zero1), 1 },
			  { offsetof(struct jvpn_init_resp, zero4), 4 } },
		.req_id = offsetof(struct jvpn_init_resp, req_id),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_RETRY)] = {
		.min = sizeof(struct jvpn_retry), .max = sizeof(struct jvpn_retry),
		.receiver = JVPN_FOR_CLIENT, .versioned = true,
		.zero = { { offsetof(struct jvpn_retry, zero), 6 } },
		.req_id = offsetof(struct jvpn_retry, req_id),
		.cookie = offsetof(struct jvpn_retry, cookie),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_REATTACH_RESP)] = {
		.min = sizeof(struct jvpn_reattach_resp),
		.max = sizeof(struct jvpn_reattach_resp),
		.receiver = JVPN_FOR_CLIENT, .versioned = true,
		.suite = offsetof(struct jvpn_reattach_resp, suite),
		.zero = { { offsetof(struct jvpn_reattach_resp, zero1), 1 },
			  { offsetof(struct jvpn_reattach_resp, zero4), 4 } },
		.req_id = offsetof(struct jvpn_reattach_resp, req_id),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_DENY)] = {
		.min = sizeof(struct jvpn_deny), .max = sizeof(struct jvpn_deny),
		.receiver = JVPN_FOR_CLIENT, .versioned = true,
		.zero = { { offsetof(struct jvpn_deny, zero), 5 } },
		.req_id = offsetof(struct jvpn_deny, req_id),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_SWITCH_RESP)] = {
		.min = sizeof(struct jvpn_switch_resp),
		.max = sizeof(struct jvpn_switch_resp),
		.receiver = JVPN_FOR_CLIENT, .versioned = true,
		.zero = { { offsetof(struct jvpn_switch_resp, zero), 6 } },
		.req_id = offsetof(struct jvpn_switch_resp, req_id),
	},
	[JVPN_SHAPE_SLOT(JVPN_T_DATA)] = {
		.min = sizeof(struct jvpn_data) + JVPN_TAG_LEN,
		.max = JVPN_DATAGRAM_MAX,
		.receiver = JVPN_FOR_BOTH,
		.cid = offsetof(struct jvpn_data, cid),
	},
};

/* Why a datagram is not even well-formed, in the order it is looked at. */
enum jvpn_shape_error {
	JVPN_SHAPE_OK,
	JVPN_SHAPE_LENGTH,
	JVPN_SHAPE_TYPE,
	JVPN_SHAPE_VERSION,
	JVPN_SHAPE_RESERVED,
};

/**
 * jvpn_shape_of() - the shape of a datagram type
 * @type: byte 0 of the datagram
 *
 * Return: the shape, NULL for a type that does not exist.
 */
static inline const struct jvpn_shape *jvpn_shape_of(u8 type)
{
	const struct jvpn_shape *shape = &jvpn_shapes[JVPN_SHAPE_SLOT(type)];

	if ((type & 0x78) || shape->receiver == JVPN_FOR_NOBODY)
		return NULL;
	return shape;
}

/**
 * jvpn_datagram_check() - look at everything that needs neither key nor state
 * @data: the datagram, @len bytes of it readable
 * @len: its length, bytes; may be anything
 * @shape: set to the shape of its type if that is known, else to NULL
 *
 * Return: JVPN_SHAPE_OK, or the first thing that is wrong.
 */
static inline enum jvpn_shape_error
jvpn_datagram_check(const u8 *data, size_t len, const struct jvpn_shape **shape)
{
	const struct jvpn_shape *s;
	unsigned int i;

	*shape = NULL;
	if (!len)
		return JVPN_SHAPE_LENGTH;
	s = jvpn_shape_of(data[0]);
	if (!s)
		return JVPN_SHAPE_TYPE;
	*shape = s;
	if (len < s->min || len > s->max)
		return JVPN_SHAPE_LENGTH;
	if (s->versioned && data[1] != JVPN_WIRE_VERSION)
		return JVPN_SHAPE_VERSION;
	if (s->suite && data[s->suite] != JVPN_SUITE_X25519)
		return JVPN_SHAPE_RESERVED;
	/* An unused run has length 0; every used one ends before s->min. */
	for (i = 0; i < 2; i++)
		if (memchr_inv(data + s->zero[i].at, 0, s->zero[i].len))
			return JVPN_SHAPE_RESERVED;
	return JVPN_SHAPE_OK;
}

#endif /* JVPN_DATAGRAM_H */
