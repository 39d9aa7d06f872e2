// SPDX-License-Identifier: GPL-2.0
/*
 * The two ciphers of DATA. ChaCha20-Poly1305 is a function of the kernel's library.
 * AES-256-GCM has to be asked for by a request, whose memory may not be on the stack:
 * each CPU has one, in use only while bottom halves are off.
 */

#include <crypto/aead.h>
#include <crypto/chacha20poly1305.h>
#include <linux/percpu.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "aead.h"
#include "compat.h"

#define JVPN_IV_LEN 12
/* What a cipher may need for itself beside the request; ours need about half. */
#define JVPN_REQUEST_ROOM 1024

/**
 * struct jvpn_request - a request of one CPU
 * @iv: the nonce
 * @sg: the one piece that header, text and tag are
 * @aead: the request; JVPN_REQUEST_ROOM bytes follow
 */
struct jvpn_request {
	u8 iv[JVPN_IV_LEN];
	struct scatterlist sg;
	struct aead_request aead;
};

static DEFINE_PER_CPU(struct jvpn_request *, jvpn_requests);

/* @len bytes behind the header at @data, the tag included if there is one to check. */
static int jvpn_gcm(const struct jvpn_key *key, struct jvpn_data *data, size_t len,
		    u64 counter, bool seal)
{
	size_t room = len + (seal ? JVPN_TAG_LEN : 0);
	struct jvpn_request *r;
	int err;

	local_bh_disable();
	r = this_cpu_read(jvpn_requests);
	memset(r->iv, 0, sizeof(r->iv));
	put_unaligned_le64(counter, r->iv + JVPN_IV_LEN - sizeof(counter));
	sg_init_one(&r->sg, data, sizeof(*data) + room);
	aead_request_set_tfm(&r->aead, key->gcm);
	aead_request_set_callback(&r->aead, 0, NULL, NULL);
	aead_request_set_crypt(&r->aead, &r->sg, &r->sg, len, r->iv);
	aead_request_set_ad(&r->aead, sizeof(*data));
	err = seal ? crypto_aead_encrypt(&r->aead) : crypto_aead_decrypt(&r->aead);
	memzero_explicit(r->aead.__ctx, crypto_aead_reqsize(key->gcm));
	local_bh_enable();
	return err;
}

/**
 * jvpn_key_seal() - seal in place
 * @key: which
 * @data: header, @len bytes of text, room for the tag: one piece of linear memory
 * @len: length of the text
 * @counter: never used before with this key
 *
 * Context: any but hard interrupt.
 * Return: false if it could not be done; then nothing of @data may be sent.
 */
bool jvpn_key_seal(const struct jvpn_key *key, struct jvpn_data *data, size_t len,
		   u64 counter)
{
	if (unlikely(key->gcm))
		return !jvpn_gcm(key, data, len, counter, true);
	chacha20poly1305_encrypt(data->payload, data->payload, len, (u8 *)data,
				 sizeof(*data), counter, key->bytes);
	return true;
}

/**
 * jvpn_key_open() - open
 * @key: which
 * @header: of the datagram
 * @plain: room for @len bytes, linear, with as many before it as a header has
 * @sealed: text and tag; may be @plain
 * @len: length of both
 * @counter: of the header
 *
 * Context: any but hard interrupt.
 * Return: whether it is authentic; if not, what is at @plain means nothing.
 */
bool jvpn_key_open(const struct jvpn_key *key, const struct jvpn_data *header,
		   u8 *plain, const u8 *sealed, size_t len, u64 counter)
{
	if (likely(!key->gcm))
		return chacha20poly1305_decrypt(plain, sealed, len, (const u8 *)header,
						sizeof(*header), counter, key->bytes);
	if (plain != sealed)
		memcpy(plain, sealed, len);
	memcpy(plain - sizeof(*header), header, sizeof(*header));
	return !jvpn_gcm(key, (struct jvpn_data *)(plain - sizeof(*header)), len,
			 counter, false);
}

static int jvpn_gcm_set(struct jvpn_key *key, const u8 *bytes)
{
	struct crypto_aead *gcm = crypto_alloc_aead("gcm(aes)", 0, CRYPTO_ALG_ASYNC);
	int err;

	if (IS_ERR(gcm))
		return PTR_ERR(gcm);
	err = crypto_aead_reqsize(gcm) > JVPN_REQUEST_ROOM ? -EOVERFLOW : 0;
	if (!err)
		err = crypto_aead_setauthsize(gcm, JVPN_TAG_LEN);
	if (!err)
		err = crypto_aead_setkey(gcm, bytes, JVPN_KEY_LEN);
	if (err)
		crypto_free_aead(gcm);
	else
		key->gcm = gcm;
	return err;
}

/**
 * jvpn_key_set() - make a key
 * @key: zeroed
 * @aead: enum jvpn_aead
 * @bytes: the key; not kept by reference
 *
 * Context: process, may sleep and load modules.
 * Return: 0 or a negative errno: the kernel has no such cipher, or no memory.
 */
int jvpn_key_set(struct jvpn_key *key, u8 aead, const u8 bytes[JVPN_KEY_LEN])
{
	if (aead == JVPN_AEAD_AES_256_GCM)
		return jvpn_gcm_set(key, bytes);
	memcpy(key->bytes, bytes, sizeof(key->bytes));
	return 0;
}

/**
 * jvpn_key_wipe() - end a key
 * @key: unused by any CPU, perhaps never set
 *
 * Context: any but hard interrupt.
 */
void jvpn_key_wipe(struct jvpn_key *key)
{
	if (key->gcm)
		crypto_free_aead(key->gcm);
	memzero_explicit(key, sizeof(*key));
}

/**
 * jvpn_aead_init() - give every CPU its request
 *
 * Return: 0 or -ENOMEM.
 */
int __init jvpn_aead_init(void)
{
	struct jvpn_request *r;
	int cpu;

	for_each_possible_cpu(cpu) {
		r = kzalloc_node(sizeof(*r) + JVPN_REQUEST_ROOM, GFP_KERNEL,
				 cpu_to_node(cpu));
		if (!r) {
			jvpn_aead_exit();
			return -ENOMEM;
		}
		per_cpu(jvpn_requests, cpu) = r;
	}
	return 0;
}

/**
 * jvpn_aead_exit() - take the requests back
 *
 * There is no key any more.
 */
void jvpn_aead_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(per_cpu(jvpn_requests, cpu));
}
