/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What outlives the process (SQLite, WAL, synchronous FULL): the term, and the key
 * of the pseudonyms in the audit stream. One daemon per state directory.
 * Loop thread, at start only.
 */
#ifndef JV_STORE_H
#define JV_STORE_H

#include <stdint.h>

#include "error.h"

enum { JV_STORE_VERSION = 1 };

struct jv_store;

/*
 * Open or create @dir/jvpnd.db (directory 0700). Refused with EBUSY and a sentence
 * that names the pid if another daemon holds it, with EBADMSG if it is corrupt or
 * of a newer layout: a store that cannot be trusted rejects everything.
 * The term is raised by one and committed before this returns.
 */
struct jv_store *jv_store_open(const char *dir, struct jv_error *err);
void jv_store_close(struct jv_store *store);

/* Of this incarnation; at least 1. */
uint64_t jv_store_term(const struct jv_store *store);

/* 32 bytes, made once per store; the same for its whole life. */
const uint8_t *jv_store_pseudonym_key(const struct jv_store *store);

#endif /* JV_STORE_H */
