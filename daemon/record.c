// SPDX-License-Identifier: GPL-2.0
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>

#include "record.h"

enum { FORM = 1, NONCE = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
       TAG = crypto_aead_xchacha20poly1305_ietf_ABYTES };

/* The one cell of a node that stands alone. */
static const uint8_t cell[8];

struct bound {
	uint8_t label[11];
	uint8_t cell[8];
	uint8_t shard[2];
	uint8_t sid[JVPN_SID_LEN];
};

static void bind_to(struct bound *b, uint16_t shard, const uint8_t sid[JVPN_SID_LEN])
{
	memcpy(b->label, "jvpn1 store", sizeof(b->label));
	memcpy(b->cell, cell, sizeof(b->cell));
	b->shard[0] = shard;
	b->shard[1] = shard >> 8;
	memcpy(b->sid, sid, sizeof(b->sid));
}

/* --- the form: one list of fields, walked in either direction --- */

struct walk {
	uint8_t *at, *end;
	bool reading, failed;
};

static void bytes(struct walk *w, void *field, size_t len)
{
	if ((size_t)(w->end - w->at) < len)
		w->failed = true;
	if (w->failed)
		return;
	if (w->reading)
		memcpy(field, w->at, len);
	else
		memcpy(w->at, field, len);
	w->at += len;
}

static uint64_t number(struct walk *w, uint64_t value, size_t len)
{
	uint8_t le[8];

	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = value >> 8 * i;
	bytes(w, le, len);
	value = 0;
	for (size_t i = 0; i < len; i++)
		value |= (uint64_t)le[i] << 8 * i;
	return value;
}

static void prefix(struct walk *w, struct jv_prefix *p)
{
	p->family = number(w, p->family, 1);
	p->len = number(w, p->len, 1);
	bytes(w, p->addr, sizeof(p->addr));
	if ((p->family != AF_INET && p->family != AF_INET6) || p->len > 8 * jv_prefix_bytes(p))
		w->failed = true;
}

static void walk(struct walk *w, struct jv_record *r)
{
	size_t len = strlen(r->policy);

	if (number(w, FORM, 1) != FORM)
		w->failed = true;
	bytes(w, r->sid, sizeof(r->sid));
	bytes(w, r->rs, sizeof(r->rs));
	bytes(w, r->client_key, sizeof(r->client_key));
	r->created_s = number(w, r->created_s, 8);
	r->max_s = number(w, r->max_s, 4);
	r->kid = number(w, r->kid, 1);
	r->aead_mask = number(w, r->aead_mask, 1);
	bytes(w, r->psk_id, sizeof(r->psk_id));
	len = number(w, len, 1);
	if (len > JV_NAME_MAX)
		w->failed = true;
	else
		bytes(w, r->policy, len);
	r->prefixes = number(w, r->prefixes, 1);
	if (r->prefixes > JV_PEER_PREFIXES)
		w->failed = true;
	for (unsigned int i = 0; i < r->prefixes && !w->failed; i++)
		prefix(w, &r->prefix[i]);
}

/* --- the seal --- */

size_t jv_record_seal(const struct jv_record *record, uint16_t shard,
		      const uint8_t key[JV_RECORD_KEY], uint8_t out[JV_RECORD_SEALED_MAX])
{
	uint8_t plain[JV_RECORD_PLAIN_MAX];
	struct walk w = { .at = plain, .end = plain + sizeof(plain) };
	struct jv_record copy = *record;
	unsigned long long len;
	struct bound b;

	walk(&w, &copy);
	bind_to(&b, shard, record->sid);
	randombytes_buf(out, NONCE);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + NONCE, &len, plain, w.at - plain,
						   (const uint8_t *)&b, sizeof(b), NULL, out, key);
	sodium_memzero(plain, sizeof(plain));
	sodium_memzero(&copy, sizeof(copy));
	return NONCE + len;
}

int jv_record_open(struct jv_record *record, const uint8_t sid[JVPN_SID_LEN], uint16_t shard,
		   const uint8_t key[JV_RECORD_KEY], const uint8_t *sealed, size_t len)
{
	uint8_t plain[JV_RECORD_PLAIN_MAX];
	struct walk w = { .at = plain, .reading = true };
	unsigned long long plain_len;
	struct bound b;
	int ret = -1;

	*record = (struct jv_record){ 0 };
	bind_to(&b, shard, sid);
	if (len < NONCE + TAG || len > JV_RECORD_SEALED_MAX)
		return -1;
	if (!crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &plain_len, NULL, sealed + NONCE,
							len - NONCE, (const uint8_t *)&b,
							sizeof(b), sealed, key)) {
		w.end = plain + plain_len;
		walk(&w, record);
		if (!w.failed && w.at == w.end && !memcmp(record->sid, sid, sizeof(record->sid)))
			ret = 0;
	}
	sodium_memzero(plain, sizeof(plain));
	if (ret)
		sodium_memzero(record, sizeof(*record));
	return ret;
}
