// SPDX-License-Identifier: GPL-2.0
#include <endian.h>
#include <string.h>

#include <sodium.h>

#include "../uapi/wire.h"
#include "noise.h"

/* Where a handshake stands: message 1 is written by the initiator, 2 by the responder. */
enum { START, HEAD1, MESSAGE1, HEAD2, COMPLETE, DEAD };

static const char *const names[] = {
	[JV_NOISE_IKPSK2] = JVPN_NOISE_IK,
	[JV_NOISE_NNPSK0] = JVPN_NOISE_NN,
};

void jv_keypair_from_secret(struct jv_keypair *kp, const uint8_t secret[32])
{
	if (kp->secret != secret)
		memcpy(kp->secret, secret, sizeof(kp->secret));
	crypto_scalarmult_base(kp->public, kp->secret);
}

void jv_noise_wipe(struct jv_noise *n)
{
	sodium_memzero(n, sizeof(*n));
	n->step = DEAD;
}

static int fail(struct jv_noise *n)
{
	jv_noise_wipe(n);
	return -1;
}

static void mix_hash(struct jv_noise *n, const void *data, size_t len)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, n->h, sizeof(n->h));
	crypto_hash_sha256_update(&st, data, len);
	crypto_hash_sha256_final(&st, n->h);
	sodium_memzero(&st, sizeof(st));
}

/* RFC 5869 with salt ck and no info: 2 or 3 outputs of 32 bytes. */
static void hkdf(const uint8_t ck[32], const uint8_t ikm[32], uint8_t out[][32], unsigned int count)
{
	uint8_t prk[32], block[33];
	size_t len = 0;

	crypto_auth_hmacsha256(prk, ikm, 32, ck);
	for (unsigned int i = 0; i < count; i++) {
		block[len] = i + 1;
		crypto_auth_hmacsha256(out[i], block, len + 1, prk);
		memcpy(block, out[i], 32);
		len = 32;
	}
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(block, sizeof(block));
}

static void mix_key(struct jv_noise *n, const uint8_t ikm[32])
{
	uint8_t out[2][32];

	hkdf(n->ck, ikm, out, 2);
	memcpy(n->ck, out[0], 32);
	memcpy(n->k, out[1], 32);
	n->has_key = true;
	n->n = 0;
	sodium_memzero(out, sizeof(out));
}

static void mix_key_and_hash(struct jv_noise *n, const uint8_t ikm[32])
{
	uint8_t out[3][32];

	hkdf(n->ck, ikm, out, 3);
	memcpy(n->ck, out[0], 32);
	mix_hash(n, out[1], 32);
	memcpy(n->k, out[2], 32);
	n->has_key = true;
	n->n = 0;
	sodium_memzero(out, sizeof(out));
}

/* A low-order public key would make the result known to everybody: refuse it. */
static int mix_dh(struct jv_noise *n, const uint8_t secret[32], const uint8_t public[32])
{
	uint8_t dh[32];
	int bad;

	bad = crypto_scalarmult(dh, secret, public) || sodium_is_zero(dh, sizeof(dh));
	if (!bad)
		mix_key(n, dh);
	sodium_memzero(dh, sizeof(dh));
	return bad ? -1 : 0;
}

static void nonce_of(struct jv_noise *n, uint8_t nonce[12])
{
	uint64_t le = htole64(n->n++);

	memset(nonce, 0, 4);
	memcpy(nonce + 4, &le, 8);
}

static void encrypt_and_hash(struct jv_noise *n, const void *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	nonce_of(n, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, n->h, sizeof(n->h),
						  NULL, nonce, n->k);
	mix_hash(n, out, len + JV_NOISE_TAG);
}

static int decrypt_and_hash(struct jv_noise *n, const uint8_t *in, size_t len, void *out)
{
	uint8_t nonce[12];

	nonce_of(n, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, in, len, n->h,
						      sizeof(n->h), nonce, n->k))
		return -1;
	mix_hash(n, in, len);
	return 0;
}

/* The e token; in a psk handshake e goes into the key as well. */
static void mix_e(struct jv_noise *n, const uint8_t public[32])
{
	mix_hash(n, public, 32);
	mix_key(n, public);
}

static void start(struct jv_noise *n, enum jv_noise_pattern pattern, bool initiator,
		  const void *prologue, size_t prologue_len)
{
	const char *name = names[pattern];
	size_t len = strlen(name);

	sodium_memzero(n, sizeof(*n));
	n->pattern = pattern;
	n->initiator = initiator;
	if (len <= sizeof(n->h))
		memcpy(n->h, name, len);
	else
		crypto_hash_sha256(n->h, (const uint8_t *)name, len);
	memcpy(n->ck, n->h, sizeof(n->ck));
	mix_hash(n, prologue, prologue_len);
}

void jv_noise_start_ik(struct jv_noise *n, bool initiator, const struct jv_keypair *s,
		       const uint8_t *rs, const void *prologue, size_t prologue_len)
{
	start(n, JV_NOISE_IKPSK2, initiator, prologue, prologue_len);
	n->s = *s;
	if (initiator)
		memcpy(n->rs, rs, sizeof(n->rs));
	mix_hash(n, initiator ? n->rs : n->s.public, 32);
}

void jv_noise_start_nn(struct jv_noise *n, bool initiator, const uint8_t psk[32],
		       const void *prologue, size_t prologue_len)
{
	start(n, JV_NOISE_NNPSK0, initiator, prologue, prologue_len);
	mix_key_and_hash(n, psk);
}

void jv_noise_set_psk(struct jv_noise *n, const uint8_t psk[32])
{
	memcpy(n->psk, psk, sizeof(n->psk));
}

/*
 * ee, se, psk of IKpsk2's second message, or ee of NNpsk0's, both directions:
 * @se_secret with @se_public is se seen from this side.
 */
static int second_tokens(struct jv_noise *n, const uint8_t *se_secret, const uint8_t *se_public)
{
	uint8_t in[sizeof(JVPN_LABEL_SID) - 1 + 32], sid[32];

	if (mix_dh(n, n->e.secret, n->re))
		return -1;
	if (n->pattern == JV_NOISE_NNPSK0)
		return 0;
	if (mix_dh(n, se_secret, se_public))
		return -1;
	mix_key_and_hash(n, n->psk);

	memcpy(in, JVPN_LABEL_SID, sizeof(JVPN_LABEL_SID) - 1);
	memcpy(in + sizeof(JVPN_LABEL_SID) - 1, n->h, 32);
	crypto_auth_hmacsha256(sid, in, sizeof(in), n->ck);
	memcpy(n->sid, sid, sizeof(n->sid));
	sodium_memzero(sid, sizeof(sid));
	return 0;
}

int jv_noise_write_head(struct jv_noise *n, const struct jv_keypair *e, uint8_t *out)
{
	if (n->step != (n->initiator ? START : MESSAGE1))
		return fail(n);
	n->e = *e;
	memcpy(out, n->e.public, 32);
	mix_e(n, n->e.public);
	if (!n->initiator) {
		if (second_tokens(n, n->e.secret, n->rs))
			return fail(n);
	} else if (n->pattern == JV_NOISE_IKPSK2) {
		if (mix_dh(n, n->e.secret, n->rs))
			return fail(n);
		encrypt_and_hash(n, n->s.public, 32, out + 32);
	}
	n->step++;
	return 0;
}

int jv_noise_read_head(struct jv_noise *n, const uint8_t *in)
{
	if (n->step != (n->initiator ? MESSAGE1 : START))
		return fail(n);
	memcpy(n->re, in, 32);
	mix_e(n, n->re);
	if (n->initiator) {
		if (second_tokens(n, n->s.secret, n->re))
			return fail(n);
	} else if (n->pattern == JV_NOISE_IKPSK2) {
		if (mix_dh(n, n->s.secret, n->re) || decrypt_and_hash(n, in + 32, 48, n->rs))
			return fail(n);
	}
	n->step++;
	return 0;
}

/* ss of IKpsk2 stands between the head and the payload of message 1. */
static int before_payload(struct jv_noise *n, bool writing)
{
	bool first = n->initiator == writing;

	if (n->step != (first ? HEAD1 : HEAD2))
		return -1;
	if (first && n->pattern == JV_NOISE_IKPSK2)
		return mix_dh(n, n->s.secret, n->rs);
	return 0;
}

int jv_noise_write_payload(struct jv_noise *n, const void *payload, size_t len, uint8_t *out)
{
	if (before_payload(n, true))
		return fail(n);
	encrypt_and_hash(n, payload, len, out);
	n->step++;
	return 0;
}

int jv_noise_read_payload(struct jv_noise *n, const uint8_t *in, size_t len, void *out)
{
	if (len < JV_NOISE_TAG || before_payload(n, false) || decrypt_and_hash(n, in, len, out))
		return fail(n);
	n->step++;
	return 0;
}

static void export(const uint8_t prk[32], const char *label, uint8_t out[32])
{
	uint8_t in[16];
	size_t len = strlen(label);

	memcpy(in, label, len);
	in[len] = 1;
	crypto_auth_hmacsha256(out, in, len + 1, prk);
}

int jv_noise_finish(struct jv_noise *n, struct jv_epoch_keys *keys, uint8_t *rs)
{
	uint8_t in[sizeof(JVPN_LABEL_PRK) - 1 + 32], prk[32];

	if (n->step != COMPLETE)
		return fail(n);
	memcpy(in, JVPN_LABEL_PRK, sizeof(JVPN_LABEL_PRK) - 1);
	memcpy(in + sizeof(JVPN_LABEL_PRK) - 1, n->h, 32);
	crypto_auth_hmacsha256(prk, in, sizeof(in), n->ck);
	export(prk, JVPN_LABEL_C2G, keys->c2g);
	export(prk, JVPN_LABEL_G2C, keys->g2c);
	export(prk, JVPN_LABEL_SWC, keys->sw_c);
	export(prk, JVPN_LABEL_SWG, keys->sw_g);
	if (rs)
		export(prk, JVPN_LABEL_RS, rs);
	sodium_memzero(prk, sizeof(prk));
	jv_noise_wipe(n);
	return 0;
}
