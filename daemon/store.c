// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

struct jv_store {
	int lock_fd;
	sqlite3 *db;
	uint64_t term;
	uint8_t pseudonym_key[32];
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;";

/* The pid that the holder of the lock wrote, or 0. */
static long holder(int fd)
{
	char text[16] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

static int lock(struct jv_store *store, const char *dir, struct jv_error *err)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/jvpnd.pid", dir);
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd < 0)
		return jv_error_set(err, errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB))
		return jv_error_set(err, EBUSY, "another jvpnd, pid %ld, uses %s: stop it, or give "
				    "this one its own --state-dir", holder(store->lock_fd), dir);
	if (ftruncate(store->lock_fd, 0) ||
	    dprintf(store->lock_fd, "%ld\n", (long)getpid()) < 0)
		return jv_error_set(err, errno, "cannot write %s: %s", path, strerror(errno));
	return 0;
}

static int failed(struct jv_store *store, const char *dir, struct jv_error *err)
{
	return jv_error_set(err, EBADMSG, "cannot trust the store %s/jvpnd.db: %s", dir,
			    sqlite3_errmsg(store->db));
}

static int sql(struct jv_store *store, const char *text)
{
	return sqlite3_exec(store->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* One value of meta as an integer or blob. 1: there, 0: not there, -1: error. */
static int meta_get(struct jv_store *store, const char *name, sqlite3_int64 *number,
		    uint8_t blob[32])
{
	sqlite3_stmt *query;
	int ret = -1;

	if (sqlite3_prepare_v2(store->db, "SELECT value FROM meta WHERE name = ?", -1, &query,
			       NULL) != SQLITE_OK)
		return -1;
	sqlite3_bind_text(query, 1, name, -1, SQLITE_STATIC);
	switch (sqlite3_step(query)) {
	case SQLITE_DONE:
		ret = 0;
		break;
	case SQLITE_ROW:
		if (number && sqlite3_column_type(query, 0) == SQLITE_INTEGER) {
			*number = sqlite3_column_int64(query, 0);
			ret = 1;
		} else if (blob && sqlite3_column_bytes(query, 0) == 32) {
			memcpy(blob, sqlite3_column_blob(query, 0), 32);
			ret = 1;
		}
		break;
	}
	sqlite3_finalize(query);
	return ret;
}

static int meta_put(struct jv_store *store, const char *name, const sqlite3_int64 *number,
		    const uint8_t blob[32])
{
	sqlite3_stmt *query;
	int ret;

	if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO meta VALUES (?, ?)", -1, &query,
			       NULL) != SQLITE_OK)
		return -1;
	sqlite3_bind_text(query, 1, name, -1, SQLITE_STATIC);
	if (number)
		sqlite3_bind_int64(query, 2, *number);
	else
		sqlite3_bind_blob(query, 2, blob, 32, SQLITE_STATIC);
	ret = sqlite3_step(query) == SQLITE_DONE ? 0 : -1;
	sqlite3_finalize(query);
	return ret;
}

/* A layout we do not know is not ours to change. */
static int check_version(struct jv_store *store, const char *dir, struct jv_error *err)
{
	sqlite3_int64 version = JV_STORE_VERSION;
	int found = meta_get(store, "version", &version, NULL);

	if (found < 0 || (!found && meta_put(store, "version", &version, NULL)))
		return failed(store, dir, err);
	if (version != JV_STORE_VERSION)
		return jv_error_set(err, EBADMSG, "%s/jvpnd.db has layout %lld, this jvpnd knows %d",
				    dir, (long long)version, JV_STORE_VERSION);
	return 0;
}

static int next_term(struct jv_store *store, const char *dir, struct jv_error *err)
{
	sqlite3_int64 term = 0;

	if (meta_get(store, "term", &term, NULL) < 0)
		return failed(store, dir, err);
	if (term < 0 || term == INT64_MAX)
		return jv_error_set(err, EBADMSG, "%s/jvpnd.db: term %lld is not possible", dir,
				    (long long)term);
	term++;
	if (meta_put(store, "term", &term, NULL))
		return failed(store, dir, err);
	store->term = term;
	return 0;
}

static int pseudonym(struct jv_store *store, const char *dir, struct jv_error *err)
{
	int found = meta_get(store, "pseudonym-key", NULL, store->pseudonym_key);

	if (!found)
		randombytes_buf(store->pseudonym_key, sizeof(store->pseudonym_key));
	if (found < 0 || (!found && meta_put(store, "pseudonym-key", NULL, store->pseudonym_key)))
		return failed(store, dir, err);
	return 0;
}

/* One transaction: either this incarnation has its term for good, or it does not serve. */
static int begin(struct jv_store *store, const char *dir, struct jv_error *err)
{
	int ret;

	if (sql(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;") ||
	    sql(store, "BEGIN IMMEDIATE") || sql(store, schema))
		return failed(store, dir, err);
	ret = check_version(store, dir, err);
	if (!ret)
		ret = next_term(store, dir, err);
	if (!ret)
		ret = pseudonym(store, dir, err);
	if (!ret && sql(store, "COMMIT"))
		ret = failed(store, dir, err);
	return ret;
}

struct jv_store *jv_store_open(const char *dir, struct jv_error *err)
{
	struct jv_store *store = calloc(1, sizeof(*store));
	char path[512];

	if (!store) {
		jv_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	store->lock_fd = -1;
	if (mkdir(dir, 0700) && errno != EEXIST) {
		jv_error_set(err, errno, "cannot make the state directory %s: %s", dir,
			     strerror(errno));
		goto err;
	}
	if (lock(store, dir, err))
		goto err;
	snprintf(path, sizeof(path), "%s/jvpnd.db", dir);
	if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
			    SQLITE_OPEN_NOFOLLOW, NULL) != SQLITE_OK) {
		failed(store, dir, err);
		goto err;
	}
	chmod(path, 0600);
	if (!begin(store, dir, err))
		return store;
err:
	jv_store_close(store);
	return NULL;
}

void jv_store_close(struct jv_store *store)
{
	if (!store)
		return;
	sqlite3_close(store->db);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	sodium_memzero(store, sizeof(*store));
	free(store);
}

uint64_t jv_store_term(const struct jv_store *store)
{
	return store->term;
}

const uint8_t *jv_store_pseudonym_key(const struct jv_store *store)
{
	return store->pseudonym_key;
}
