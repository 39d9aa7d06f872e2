/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All sessions of a shard: by id, and on a gateway by the receiver id that a SWITCH
 * names and by the INIT that a handshake in progress began with. What ended stays
 * for tombstone-ttl, without keys and bounded, so that expired can be told from
 * unknown. Loop thread.
 */
#ifndef JV_SESSIONS_H
#define JV_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "audit.h"
#include "env.h"
#include "table.h"

enum {
	JV_HALF_OPEN_MAX = 4096,
	JV_HALF_OPEN_MS = 5000,
	JV_TOMBSTONES_MAX = 1024,
};

struct jv_epoch;
struct jv_session;
struct jv_link;

struct jv_sessions {
	struct jv_env *env;
	struct jv_session *first;	/* all of them, newest first */
	struct jv_table by_sid;
	struct jv_table by_cid;		/* epochs */
	struct jv_table by_init;	/* half-open ones, by their ephemeral key */
	struct jv_session *tomb_oldest, *tomb_newest;
	uint32_t tombs;
	uint64_t state[8];		/* how many, by enum jv_state */
	uint64_t transitions;
};

/* 0 or -1 (no memory). */
int jv_sessions_init(struct jv_sessions *all, struct jv_env *env);
/* Frees what is left, without a word to anybody. */
void jv_sessions_free(struct jv_sessions *all);

struct jv_session *jv_sessions_by_sid(const struct jv_sessions *all, const uint8_t sid[16]);
struct jv_epoch *jv_sessions_by_cid(const struct jv_sessions *all, const uint8_t cid[8]);
struct jv_session *jv_sessions_by_init(const struct jv_sessions *all, const uint8_t e[32]);

/*
 * A refusal: counted exactly, told to the audit stream sampled. What is known of
 * session, link and sender goes into the record; each may be NULL.
 */
void jv_sessions_refuse(struct jv_sessions *all, enum jv_reason reason,
			const struct jv_session *session, const struct jv_link *link,
			const union jv_addr *from);

#endif /* JV_SESSIONS_H */
