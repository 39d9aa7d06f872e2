// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include <sodium.h>

#include "locator.h"

#define LABEL_LEN (sizeof(JVPN_LABEL_LOC) - 1)

enum { HEADER = 4, SEALED = JVPN_SID_LEN + JVPN_TAG_LEN };	/* shard, zero */

static_assert(HEADER + JV_LOCATOR_NONCE + SEALED == JVPN_LOCATOR_LEN, "locator");

void jv_locator_key(uint8_t key[32], const uint8_t gateway_secret[32], uint8_t kid)
{
	uint8_t in[LABEL_LEN + 1];

	memcpy(in, JVPN_LABEL_LOC, LABEL_LEN);
	in[LABEL_LEN] = kid;
	crypto_auth_hmacsha256(key, in, sizeof(in), gateway_secret);
}

static void associate(uint8_t ad[LABEL_LEN + 2 + HEADER], uint8_t kid, const uint8_t *header)
{
	memcpy(ad, JVPN_LABEL_LOC, LABEL_LEN);
	ad[LABEL_LEN] = JVPN_WIRE_VERSION;
	ad[LABEL_LEN + 1] = kid;
	memcpy(ad + LABEL_LEN + 2, header, HEADER);
}

void jv_locator_seal(uint8_t out[JVPN_LOCATOR_LEN], const uint8_t key[32], uint8_t kid,
		     uint16_t shard, const uint8_t nonce[JV_LOCATOR_NONCE],
		     const uint8_t sid[JVPN_SID_LEN])
{
	uint8_t ad[LABEL_LEN + 2 + HEADER];

	out[0] = shard & 0xff;
	out[1] = shard >> 8;
	out[2] = 0;
	out[3] = 0;
	memcpy(out + HEADER, nonce, JV_LOCATOR_NONCE);
	associate(ad, kid, out);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + HEADER + JV_LOCATOR_NONCE, NULL, sid,
						   JVPN_SID_LEN, ad, sizeof(ad), NULL, nonce, key);
}

int jv_locator_open(const uint8_t locator[JVPN_LOCATOR_LEN], const uint8_t key[32], uint8_t kid,
		    uint16_t *shard, uint8_t sid[JVPN_SID_LEN])
{
	uint8_t ad[LABEL_LEN + 2 + HEADER], plain[JVPN_SID_LEN];

	if (locator[2] || locator[3])
		return -1;
	associate(ad, kid, locator);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL,
						       locator + HEADER + JV_LOCATOR_NONCE, SEALED,
						       ad, sizeof(ad), locator + HEADER, key))
		return -1;
	*shard = jv_locator_shard(locator);
	memcpy(sid, plain, JVPN_SID_LEN);
	return 0;
}

uint16_t jv_locator_shard(const uint8_t locator[JVPN_LOCATOR_LEN])
{
	return locator[0] | locator[1] << 8;
}
