/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What all datagrams have in common: little-endian integers, the first strict
 * check, tag1, RETRY. Layouts: uapi/wire.h. Text: uapi/PROTOCOL.md.
 */
#ifndef JV_WIRE_H
#define JV_WIRE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../uapi/wire.h"
#include "names.h"

enum {
	JV_TAG1_LEN = 8,
	JV_REQ_ID_LEN = 8,
	JV_DATAGRAM_MAX = 512,		/* largest control datagram */
};

/* The version of a binding (PROTOCOL.md 6.3): compared lexicographically. */
struct jv_version {
	uint64_t term;
	uint64_t bver;
};

/* Less than, equal to or greater than 0, as memcmp(). */
static inline int jv_version_cmp(struct jv_version a, struct jv_version b)
{
	if (a.term != b.term)
		return a.term < b.term ? -1 : 1;
	return a.bver < b.bver ? -1 : a.bver > b.bver;
}

/*
 * The gateway's version rule (PROTOCOL.md 6.3). @exp is what the request
 * names, @cur the binding's version, @bver_c the highest bver of this term the
 * client provably saw, @rebind whether the request is a REATTACH op=BIND.
 * Returns JV_STATUS_OK, _VERSION_MISMATCH or _STALE_OWNER.
 */
enum jv_status jv_version_check(struct jv_version exp, struct jv_version cur,
				uint64_t bver_c, bool rebind);

/*
 * First check of any control datagram (PROTOCOL.md 3): type, version, exact
 * length, suite, reserved bytes in clear. Returns JV_REASON_NONE, or MALFORMED,
 * UNKNOWN_TYPE, PROTOCOL_VERSION_UNSUPPORTED. DATA is the kernel's and is an
 * UNKNOWN_TYPE here.
 */
enum jv_reason jv_wire_check(const void *dgram, size_t len);

/* True if all @len bytes at @p are zero. Not constant time: for public bytes. */
bool jv_is_zero(const void *p, size_t len);

/* Key of tag1 from the gateway's public key (PROTOCOL.md 3.2). */
void jv_tag1_key(uint8_t key[16], const uint8_t gateway_public[32]);

/* Write tag1 into the last 8 bytes of the @len byte datagram. */
void jv_tag1_put(const uint8_t key[16], void *dgram, size_t len);

/* True if the last 8 bytes of the @len byte datagram are its tag1. Constant time. */
bool jv_tag1_ok(const uint8_t key[16], const void *dgram, size_t len);

/* RETRY (PROTOCOL.md 3.5). Building is the kernel's; this one serves tests and tools. */
void jv_retry_build(struct jvpn_retry *out, const uint8_t req_id[8],
		    const uint8_t cookie[16]);

/* Check a RETRY and copy out its fields. Returns JV_REASON_NONE or MALFORMED
 * (also for a zero cookie, which is never valid).
 */
enum jv_reason jv_retry_open(const void *dgram, size_t len, uint8_t req_id[8],
			     uint8_t cookie[16]);

#endif /* JV_WIRE_H */
