/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The locator: a session id sealed by the gateway for itself (PROTOCOL.md 2.3).
 * A made-up session dies at this one open, before any table or authority.
 */
#ifndef JV_LOCATOR_H
#define JV_LOCATOR_H

#include <stdint.h>

#include "../uapi/wire.h"

enum { JV_LOCATOR_NONCE = 24 };

/* K_loc of the gateway key @kid. */
void jv_locator_key(uint8_t key[32], const uint8_t gateway_secret[32], uint8_t kid);

/* Seal @sid; @nonce must be random and fresh. */
void jv_locator_seal(uint8_t out[JVPN_LOCATOR_LEN], const uint8_t key[32], uint8_t kid,
		     uint16_t shard, const uint8_t nonce[JV_LOCATOR_NONCE],
		     const uint8_t sid[JVPN_SID_LEN]);

/* Open a locator. Returns 0, or -1 if it is not ours; outputs are then untouched. */
int jv_locator_open(const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t key[32],
		    uint8_t kid, uint16_t *shard, uint8_t sid[JVPN_SID_LEN]);

/* The shard in clear, for routing. */
uint16_t jv_locator_shard(const uint8_t locator[JVPN_LOCATOR_LEN]);

#endif /* JV_LOCATOR_H */
