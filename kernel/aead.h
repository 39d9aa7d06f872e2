/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The two ciphers of DATA, as one: a key of one direction seals and opens.
 */
#ifndef JVPN_AEAD_H
#define JVPN_AEAD_H

#include <linux/types.h>

#include "../uapi/wire.h"

struct crypto_aead;

/**
 * struct jvpn_key - a traffic key of one direction
 * @bytes: of ChaCha20-Poly1305
 * @gcm: AES-256-GCM with its key, NULL for the other cipher
 *
 * Constant from jvpn_key_set() to jvpn_key_wipe(); any number of CPUs may use it.
 */
struct jvpn_key {
	u8 bytes[JVPN_KEY_LEN];
	struct crypto_aead *gcm;
};

int jvpn_key_set(struct jvpn_key *key, u8 aead, const u8 bytes[JVPN_KEY_LEN]);
void jvpn_key_wipe(struct jvpn_key *key);
bool jvpn_key_seal(const struct jvpn_key *key, struct jvpn_data *data, size_t len,
		   u64 counter);
bool jvpn_key_open(const struct jvpn_key *key, const struct jvpn_data *header,
		   u8 *plain, const u8 *sealed, size_t len, u64 counter);
int jvpn_aead_init(void);
void jvpn_aead_exit(void);

#endif /* JVPN_AEAD_H */
