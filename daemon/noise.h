/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The Noise engine: IKpsk2 and NNpsk0 over X25519, ChaCha20-Poly1305, SHA-256,
 * both roles, and the key schedule on top (PROTOCOL.md 4). Pure: no I/O, no
 * randomness; ephemeral keys are handed in.
 *
 * A message is written or read in two halves, its tokens ("head") and its
 * payload, because both sides need something from between them: the gateway
 * learns who speaks before it spends more, and the session id exists after the
 * second head and is needed inside the second payload.
 */
#ifndef JV_NOISE_H
#define JV_NOISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jv_noise_pattern { JV_NOISE_IKPSK2, JV_NOISE_NNPSK0 };

enum {
	JV_NOISE_TAG = 16,
	JV_NOISE_HEAD_IK1 = 32 + 48,	/* e, encrypted s */
	JV_NOISE_HEAD = 32,		/* e: every other message */
};

struct jv_keypair {
	uint8_t secret[32];
	uint8_t public[32];
};

/* One handshake in progress. Opaque to callers but for rs and sid. */
struct jv_noise {
	enum jv_noise_pattern pattern;
	bool initiator;
	bool has_key;
	uint8_t step;			/* heads and payloads done: 0..4 */
	uint64_t n;
	uint8_t ck[32];
	uint8_t h[32];
	uint8_t k[32];
	uint8_t psk[32];
	struct jv_keypair s;
	struct jv_keypair e;
	uint8_t rs[32];			/* IKpsk2: static public key of the peer */
	uint8_t re[32];
	uint8_t sid[16];		/* valid after the head of message 2 */
};

/* Keys of one epoch (PROTOCOL.md 4.2). */
struct jv_epoch_keys {
	uint8_t c2g[32];
	uint8_t g2c[32];
	uint8_t sw_c[32];
	uint8_t sw_g[32];
};

/* Fill @kp from a secret key. Clamping is X25519's own. */
void jv_keypair_from_secret(struct jv_keypair *kp, const uint8_t secret[32]);

/*
 * Start IKpsk2. The initiator gives the peer's static public key @rs; the
 * responder gives NULL and finds it in n->rs after the first head.
 */
void jv_noise_start_ik(struct jv_noise *n, bool initiator,
		       const struct jv_keypair *s, const uint8_t *rs,
		       const void *prologue, size_t prologue_len);

/* Start NNpsk0: the psk is mixed in at once. */
void jv_noise_start_nn(struct jv_noise *n, bool initiator, const uint8_t psk[32],
		       const void *prologue, size_t prologue_len);

/* IKpsk2: the pre-shared key, zero if there is none; before the head of message 2. */
void jv_noise_set_psk(struct jv_noise *n, const uint8_t psk[32]);

/*
 * Write or read the tokens of the next message: JV_NOISE_HEAD_IK1 or
 * JV_NOISE_HEAD bytes. Return 0, or -1 on a failed decryption, an all-zero
 * Diffie-Hellman result or a call out of order; the handshake is then wiped.
 */
int jv_noise_write_head(struct jv_noise *n, const struct jv_keypair *e, uint8_t *out);
int jv_noise_read_head(struct jv_noise *n, const uint8_t *in);

/*
 * Write @len bytes of payload as @len + JV_NOISE_TAG, or read @len bytes of
 * ciphertext (at least JV_NOISE_TAG) as @len - JV_NOISE_TAG. Results as above.
 */
int jv_noise_write_payload(struct jv_noise *n, const void *payload, size_t len, uint8_t *out);
int jv_noise_read_payload(struct jv_noise *n, const uint8_t *in, size_t len, void *out);

/*
 * After the last message: derive the epoch's keys, and RS if @rs is not NULL
 * (birth only). Wipes @n. Returns 0, or -1 if the handshake is not complete.
 */
int jv_noise_finish(struct jv_noise *n, struct jv_epoch_keys *keys, uint8_t *rs);

/* Wipe everything; harmless on a wiped one. */
void jv_noise_wipe(struct jv_noise *n);

#endif /* JV_NOISE_H */
