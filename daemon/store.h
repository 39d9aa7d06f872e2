/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What outlives the process (SQLite, WAL, synchronous FULL): the term, the key of the
 * pseudonyms in the audit stream, and the sessions' records, sealed under a key that
 * stands in a file beside it. One daemon per state directory.
 *
 * The loop thread opens and reads at start. From jv_store_start() on the database is
 * the writer thread's: changes are queued, committed in groups, and answered on the
 * loop thread when they are on the disk. A disk that is slow or full holds up nobody;
 * who asked is told.
 */
#ifndef JV_STORE_H
#define JV_STORE_H

#include <stdint.h>

#include "error.h"
#include "loop.h"
#include "record.h"

enum {
	JV_STORE_VERSION = 2,
	JV_STORE_GROUP_MS = 5,		/* changes that come so close share a commit */
	JV_STORE_QUEUE = 65536,		/* changes waiting */
};

struct jv_store;

/*
 * Open or create @dir/jvpnd.db (directory 0700) and @dir/store.key (0600). Refused
 * with EBUSY and a sentence that names the pid if another daemon holds it, with
 * EBADMSG if it is corrupt, foreign or of a newer layout: a store that cannot be
 * trusted rejects everything. The term is raised by one and committed before this
 * returns. Records under another key are gone, and jv_store_trouble() says so.
 */
struct jv_store *jv_store_open(const char *dir, struct jv_error *err);

/* Start the writer: it has the capabilities that its caller has left. */
int jv_store_start(struct jv_store *store, struct jv_loop *loop, struct jv_error *err);

/* What is queued is given @drain_ms; nobody is answered any more. NULL is fine. */
void jv_store_close(struct jv_store *store, uint32_t drain_ms);

/* Of this incarnation; at least 1. */
uint64_t jv_store_term(const struct jv_store *store);

/* 32 bytes, made once per store; the same for its whole life. */
const uint8_t *jv_store_pseudonym_key(const struct jv_store *store);

/* What is wrong with it now, or NULL. */
const char *jv_store_trouble(const struct jv_store *store);

/* --- records of sessions --- */

/*
 * All of @shard, before jv_store_start(). One that does not open is skipped and counted
 * in @bad: its session is not continued. 0, or -EBADMSG and a sentence.
 */
int jv_store_each(struct jv_store *store, uint16_t shard,
		  void (*fn)(void *arg, const struct jv_record *record), void *arg,
		  uint64_t *bad, struct jv_error *err);

/*
 * It is on the disk, with @error 0; or it is not: -ESTALE if a later incarnation has
 * the store, else what the system said, in @why. On the loop thread, in the order of
 * the calls.
 */
typedef void (*jv_store_done)(void *arg, int error, const char *why);

/* Queue a change; @done (may be NULL) is called once, later. -ENOBUFS: too many wait. */
int jv_store_put(struct jv_store *store, uint16_t shard, const struct jv_record *record,
		 jv_store_done done, void *arg);
int jv_store_del(struct jv_store *store, uint16_t shard, const uint8_t sid[JVPN_SID_LEN],
		 jv_store_done done, void *arg);
/* @done is not called any more for @arg; the changes are made. */
void jv_store_forget(struct jv_store *store, const void *arg);

#endif /* JV_STORE_H */
