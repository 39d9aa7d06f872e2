// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>

#include "session.h"

uint8_t jv_epoch_aeads(const struct jv_env *env)
{
	return (JVPN_AEAD_BIT(JVPN_AEAD_CHACHA20_POLY1305) |
		JVPN_AEAD_BIT(JVPN_AEAD_AES_256_GCM)) & ~env->no_aead;
}

int jv_epoch_choose(const struct jv_env *env, const struct jv_policy *policy, uint8_t mask)
{
	bool aes_first = policy->cipher == JV_CIPHER_AES_256_GCM;
	int first = aes_first ? JVPN_AEAD_AES_256_GCM : JVPN_AEAD_CHACHA20_POLY1305;
	int other = aes_first ? JVPN_AEAD_CHACHA20_POLY1305 : JVPN_AEAD_AES_256_GCM;

	mask &= jv_epoch_aeads(env);
	if (mask & JVPN_AEAD_BIT(first))
		return first;
	return mask & JVPN_AEAD_BIT(other) ? other : -1;
}

struct jv_epoch *jv_epoch_find(struct jv_session *s, const uint8_t rx_cid[8])
{
	for (int i = 0; i < JV_EPOCHS; i++)
		if (s->epoch[i].session && !memcmp(s->epoch[i].rx_cid, rx_cid, 8))
			return &s->epoch[i];
	return NULL;
}

static struct jv_epoch *newest(struct jv_session *s, bool confirmed)
{
	struct jv_epoch *found = NULL;

	for (int i = 0; i < JV_EPOCHS; i++) {
		struct jv_epoch *e = &s->epoch[i];

		if (e->session && (e->confirmed || !confirmed) &&
		    (!found || e->serial > found->serial))
			found = e;
	}
	return found;
}

struct jv_epoch *jv_epoch_newest(struct jv_session *s)
{
	return newest(s, false);
}

struct jv_epoch *jv_epoch_sending(struct jv_session *s)
{
	return newest(s, true);
}

struct jv_epoch *jv_epoch_usable(struct jv_session *s)
{
	struct jv_epoch *e = newest(s, false);

	if (!e || e->serial != s->epochs_made || e->spent)
		return NULL;
	return e->version.term == s->version.term ? e : NULL;
}

void jv_epoch_wipe(struct jv_epoch *e)
{
	if (!e->session)
		return;
	jv_table_del(&e->session->all->by_cid, &e->by_cid);
	sodium_memzero(e, sizeof(*e));
}

void jv_epoch_wipe_below(struct jv_session *s, uint64_t term)
{
	for (int i = 0; i < JV_EPOCHS; i++)
		if (s->epoch[i].version.term < term)
			jv_epoch_wipe(&s->epoch[i]);
}

void jv_epoch_wipe_all(struct jv_session *s)
{
	for (int i = 0; i < JV_EPOCHS; i++)
		jv_epoch_wipe(&s->epoch[i]);
}

void jv_epoch_del(struct jv_epoch *e)
{
	struct jv_session *s = e->session;

	jv_kernel_epoch_del(s->all->env->kernel, s->link->ifindex, e->rx_cid, NULL);
	jv_epoch_wipe(e);
}

/* The oldest, but not what the peer may be sent to with at this moment. */
static struct jv_epoch *least_needed(struct jv_session *s)
{
	const struct jv_epoch *keep = jv_epoch_sending(s);
	struct jv_epoch *found = NULL;

	for (int i = 0; i < JV_EPOCHS; i++) {
		struct jv_epoch *e = &s->epoch[i];

		if (e != keep && (!found || e->serial < found->serial))
			found = e;
	}
	return found;
}

static struct jv_epoch *place(struct jv_session *s)
{
	struct jv_epoch *e;

	for (int i = 0; i < JV_EPOCHS; i++)
		if (!s->epoch[i].session)
			return &s->epoch[i];
	e = least_needed(s);
	jv_epoch_del(e);
	return e;
}

int jv_epoch_add(struct jv_session *s, const struct jv_kernel_epoch *epoch,
		 const struct jv_epoch_keys *keys, struct jv_error *err)
{
	struct jv_epoch *e;
	int r;

	if (jv_table_find(&s->all->by_cid, epoch->rx_cid))
		return jv_error_set(err, EEXIST, "a receiver id was drawn twice");
	e = place(s);
	r = jv_kernel_epoch_new(s->all->env->kernel, s->link->ifindex, epoch, err);
	if (r == -EOPNOTSUPP)
		s->all->env->no_aead |= JVPN_AEAD_BIT(epoch->aead);
	if (r)
		return r;
	*e = (struct jv_epoch){
		.session = s, .serial = ++s->epochs_made, .version = epoch->version,
	};
	memcpy(e->rx_cid, epoch->rx_cid, sizeof(e->rx_cid));
	memcpy(e->tx_cid, epoch->tx_cid, sizeof(e->tx_cid));
	memcpy(e->sw_c, keys->sw_c, sizeof(e->sw_c));
	memcpy(e->sw_g, keys->sw_g, sizeof(e->sw_g));
	jv_table_add(&s->all->by_cid, &e->by_cid, e->rx_cid);
	return 0;
}
