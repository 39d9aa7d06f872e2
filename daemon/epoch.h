/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The epochs of a session as far as they are the daemon's: receiver ids and switch
 * keys (PROTOCOL.md 4). Traffic keys pass through to the kernel, which decides when an
 * epoch's time is over and says so; its switch keys go with it. Loop thread.
 */
#ifndef JV_EPOCH_H
#define JV_EPOCH_H

#include "env.h"
#include "kernel.h"
#include "noise.h"
#include "policy.h"
#include "table.h"

enum { JV_EPOCHS = 3 };			/* of a session, at most, as in the kernel */

struct jv_session;

struct jv_epoch {
	struct jv_session *session;	/* NULL: a free place */
	struct jv_entry by_cid;
	uint64_t serial;		/* the higher, the newer */
	bool confirmed;			/* the peer has shown that it holds the keys */
	bool spent;			/* the kernel sends nothing more with them */
	uint8_t rx_cid[8];		/* ours */
	uint8_t tx_cid[8];		/* the peer's */
	uint8_t sw_c[32], sw_g[32];
	struct jv_version version;	/* what its first packet proves; made in this term */
};

/*
 * One more, in the kernel and here. Of more than JV_EPOCHS the one that is least
 * needed gives way. Wipes nothing of the caller's. 0 or -errno; then nothing changed
 * but what gave way.
 */
int jv_epoch_add(struct jv_session *s, const struct jv_kernel_epoch *epoch,
		 const struct jv_epoch_keys *keys, struct jv_error *err);

/* Out of use, in the kernel as well. */
void jv_epoch_del(struct jv_epoch *e);

/* The kernel holds it no more: forget ids and keys. */
void jv_epoch_wipe(struct jv_epoch *e);
void jv_epoch_wipe_below(struct jv_session *s, uint64_t term);
void jv_epoch_wipe_all(struct jv_session *s);

/* The ciphers for DATA, JVPN_AEAD_BIT()s, that the kernel may be asked for. */
uint8_t jv_epoch_aeads(const struct jv_env *env);
/* The one that a gateway takes out of a client's @mask, or -1: none. */
int jv_epoch_choose(const struct jv_env *env, const struct jv_policy *policy, uint8_t mask);

/* NULL: the session has no such epoch, or none at all. */
struct jv_epoch *jv_epoch_find(struct jv_session *s, const uint8_t rx_cid[8]);
struct jv_epoch *jv_epoch_newest(struct jv_session *s);

/*
 * The client's to send and ask with: the last that was made, if it still lives, is of
 * the binding's term and not spent. Nothing ever goes back to an older one.
 */
struct jv_epoch *jv_epoch_usable(struct jv_session *s);

/* The gateway's to send with: the newest that the client has confirmed. */
struct jv_epoch *jv_epoch_sending(struct jv_session *s);

/* The age at which a key must not be sent with any more (PROTOCOL.md 4.4). */
static inline uint64_t jv_key_lifetime_ms(uint32_t rekey_after_s)
{
	return rekey_after_s * 1500ULL;
}

#endif /* JV_EPOCH_H */
