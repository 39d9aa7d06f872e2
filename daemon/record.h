/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What of a session outlives the daemon, and its sealed form: XChaCha20-Poly1305
 * under the store's key, bound to shard and session, so that a record cannot stand in
 * for another. No traffic keys, counters, transports, versions or request numbers:
 * those end with the incarnation. Pure.
 */
#ifndef JV_RECORD_H
#define JV_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "node.h"
#include "wire.h"

struct jv_record {
	uint8_t sid[JVPN_SID_LEN];
	uint8_t rs[32];			/* reattach secret */
	uint8_t client_key[32];		/* public */
	uint64_t created_s;		/* wall clock: for the age alone, never for freshness */
	uint32_t max_s;			/* it may grow so old */
	uint8_t kid;			/* of the gateway's key */
	uint8_t aead_mask;		/* what the client offered */
	uint8_t psk_id[16];		/* zero: none */
	char policy[JV_NAME_MAX + 1];
	unsigned int prefixes;		/* inner addresses */
	struct jv_prefix prefix[JV_PEER_PREFIXES];
};

enum {
	JV_RECORD_KEY = 32,
	JV_RECORD_PLAIN_MAX = 1 + JVPN_SID_LEN + 32 + 32 + 8 + 4 + 2 + 16 + 1 + JV_NAME_MAX + 1 +
			      JV_PEER_PREFIXES * 18,
	JV_RECORD_SEALED_MAX = 24 + JV_RECORD_PLAIN_MAX + 16,
};

/* Returns the length of what is in @out. */
size_t jv_record_seal(const struct jv_record *record, uint16_t shard,
		      const uint8_t key[JV_RECORD_KEY], uint8_t out[JV_RECORD_SEALED_MAX]);

/* 0, or -1: not sealed with this key for this session, or of an unknown form. Wipes @record then. */
int jv_record_open(struct jv_record *record, const uint8_t sid[JVPN_SID_LEN], uint16_t shard,
		   const uint8_t key[JV_RECORD_KEY], const uint8_t *sealed, size_t len);

#endif /* JV_RECORD_H */
