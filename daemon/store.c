// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads, one after the other: the loop thread until the writer runs, then the
 * writer alone has the database. Between them two lists under a lock: what is to be
 * changed, and what became of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "store.h"

enum { TROUBLE = 512, KEY_ID = 32 };

/* Records are sealed before they are queued: no secret waits in here. */
struct change {
	struct change *next;
	jv_store_done done;
	void *arg;
	int error;
	uint16_t shard;
	uint8_t sid[JVPN_SID_LEN];
	size_t len;			/* 0: delete */
	uint8_t sealed[];
};

struct list {
	struct change *first, **last;
	size_t n;
};

struct jv_store {
	int lock_fd;
	sqlite3 *db;
	uint64_t term;
	uint8_t pseudonym_key[32];
	uint8_t *key;			/* of the records, in locked memory */
	char trouble[TROUBLE];

	int event_fd;
	struct jv_io io;
	struct list answered;		/* the loop thread's, while it answers */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	struct list queued, writing, done;
	char why[TROUBLE];		/* of the last commit; "": good */
	bool stop;
};

static const char meta_schema[] =
	"CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;";
static const char schema[] =
	"CREATE TABLE IF NOT EXISTS rec (shard INTEGER, sid BLOB, sealed BLOB, "
	"PRIMARY KEY (shard, sid)) WITHOUT ROWID;";

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

/* A disk that takes no more is no reason to distrust what is on it. */
static int failed(struct jv_store *store, const char *dir, struct jv_error *err)
{
	switch (sqlite3_errcode(store->db)) {
	case SQLITE_FULL:
		return jv_error_set(err, ENOSPC, "cannot write the store %s/jvpnd.db: %s", dir,
				    sqlite3_errmsg(store->db));
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		return jv_error_set(err, EACCES, "cannot write the store %s/jvpnd.db: %s", dir,
				    sqlite3_errmsg(store->db));
	}
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

/* The number that @query yields, or -1. */
static sqlite3_int64 count(struct jv_store *store, const char *text)
{
	sqlite3_int64 n = -1;
	sqlite3_stmt *query;

	if (sqlite3_prepare_v2(store->db, text, -1, &query, NULL) == SQLITE_OK &&
	    sqlite3_step(query) == SQLITE_ROW)
		n = sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	return n;
}

/* Nothing is written before this: a database of somebody else stays as it is. */
static int check_ours(struct jv_store *store, const char *dir, struct jv_error *err)
{
	sqlite3_int64 tables = count(store, "SELECT count(*) FROM sqlite_schema");
	sqlite3_int64 meta = count(store, "SELECT count(*) FROM sqlite_schema WHERE name = 'meta' "
				   "AND sql LIKE '%(name TEXT PRIMARY KEY, value)%'");

	if (tables < 0 || meta < 0)
		return failed(store, dir, err);
	return tables && !meta ? jv_error_set(err, EBADMSG, "%s/jvpnd.db is a database, and not a "
					      "store of jvpnd", dir) : 0;
}

/* A newer layout is not ours to change; an older one lacks tables only. */
static int check_version(struct jv_store *store, const char *dir, struct jv_error *err)
{
	const sqlite3_int64 ours = JV_STORE_VERSION;
	sqlite3_int64 version = ours;
	int found = meta_get(store, "version", &version, NULL);

	if (found < 0)
		return failed(store, dir, err);
	if (version < 1 || version > ours)
		return jv_error_set(err, EBADMSG, "%s/jvpnd.db has layout %lld, this jvpnd knows %d",
				    dir, (long long)version, JV_STORE_VERSION);
	if (sql(store, schema) ||
	    ((!found || version < ours) && meta_put(store, "version", &ours, NULL)))
		return failed(store, dir, err);
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

/* Records can be told by the key's fingerprint to be under another. */
static int check_key(struct jv_store *store, const char *dir, struct jv_error *err)
{
	uint8_t id[KEY_ID], was[KEY_ID];
	sqlite3_int64 records = count(store, "SELECT count(*) FROM rec");
	int found = meta_get(store, "key-id", NULL, was);

	crypto_generichash(id, sizeof(id), (const uint8_t *)"jvpn1 store key", 15, store->key,
			   JV_RECORD_KEY);
	if (found < 0 || records < 0)
		return failed(store, dir, err);
	if (found && !memcmp(id, was, sizeof(id)))
		return 0;
	if (records)
		snprintf(store->trouble, TROUBLE, "%s/store.key is not the key that the store was "
			 "written with: %lld sessions are not continued", dir, (long long)records);
	if (sql(store, "DELETE FROM rec") || meta_put(store, "key-id", NULL, id))
		return failed(store, dir, err);
	return 0;
}

/* One transaction: either this incarnation has its term for good, or it does not serve. */
static int begin(struct jv_store *store, const char *dir, struct jv_error *err)
{
	int ret;

	ret = check_ours(store, dir, err);
	if (ret)
		return ret;
	if (sql(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;") ||
	    sql(store, "BEGIN IMMEDIATE") || sql(store, meta_schema))
		return failed(store, dir, err);
	ret = check_version(store, dir, err);
	if (!ret)
		ret = check_key(store, dir, err);
	if (!ret)
		ret = next_term(store, dir, err);
	if (!ret)
		ret = pseudonym(store, dir, err);
	if (!ret && sql(store, "COMMIT"))
		ret = failed(store, dir, err);
	return ret;
}

/* --- the key of the records --- */

/* Made whole and on the disk before it is used, or not at all. */
static int make_key(struct jv_store *store, const char *dir, const char *path,
		    struct jv_error *err)
{
	char draft[512];
	int fd, ret = -1;

	snprintf(draft, sizeof(draft), "%s/store.key.new", dir);
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	randombytes_buf(store->key, JV_RECORD_KEY);
	if (fd >= 0 && write(fd, store->key, JV_RECORD_KEY) == JV_RECORD_KEY && !fsync(fd) &&
	    !rename(draft, path))
		ret = 0;
	if (ret)
		ret = jv_error_set(err, errno ? errno : EIO, "cannot make the key file %s: %s",
				   path, strerror(errno ? errno : ENOSPC));
	if (fd >= 0)
		close(fd);
	return ret;
}

static int load_key(struct jv_store *store, const char *dir, struct jv_error *err)
{
	char path[512];
	struct stat st;
	int fd, ret = 0;

	store->key = sodium_malloc(JV_RECORD_KEY);
	if (!store->key)
		return jv_error_set(err, ENOMEM, "out of memory");
	snprintf(path, sizeof(path), "%s/store.key", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return make_key(store, dir, path, err);
	if (fd < 0 || fstat(fd, &st))
		ret = jv_error_set(err, errno, "cannot read %s: %s", path, strerror(errno));
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		ret = jv_error_set(err, EBADMSG, "others may read %s (mode %04o): chmod 600 it",
				   path, st.st_mode & 07777);
	else if (st.st_size != JV_RECORD_KEY || read(fd, store->key, JV_RECORD_KEY) != JV_RECORD_KEY)
		ret = jv_error_set(err, EBADMSG, "%s is not a key of %d bytes: without it no session "
				   "is continued; remove it to begin anew", path, JV_RECORD_KEY);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* --- the writer's side --- */

static void list_init(struct list *list)
{
	*list = (struct list){ .last = &list->first };
}

static void list_add(struct list *list, struct change *change)
{
	change->next = NULL;
	*list->last = change;
	list->last = &change->next;
	list->n++;
}

/* All of @from goes to the end of @to. */
static void list_move(struct list *to, struct list *from)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	to->n += from->n;
	list_init(from);
}

static void list_free(struct list *list)
{
	struct change *c;

	while ((c = list->first)) {
		list->first = c->next;
		free(c);
	}
	list_init(list);
}

static int write_change(sqlite3_stmt *put, sqlite3_stmt *del, const struct change *c)
{
	sqlite3_stmt *statement = c->len ? put : del;
	int ret;

	sqlite3_bind_int(statement, 1, c->shard);
	sqlite3_bind_blob(statement, 2, c->sid, sizeof(c->sid), SQLITE_STATIC);
	if (c->len)
		sqlite3_bind_blob(statement, 3, c->sealed, c->len, SQLITE_STATIC);
	ret = sqlite3_step(statement) == SQLITE_DONE ? 0 : -1;
	sqlite3_reset(statement);
	return ret;
}

/* Who has raised the term since has the store. */
static int write_group(struct jv_store *store, const struct list *group)
{
	sqlite3_stmt *put = NULL, *del = NULL;
	sqlite3_int64 term = 0;
	int ret = -EIO;

	if (sqlite3_prepare_v2(store->db, "INSERT OR REPLACE INTO rec VALUES (?, ?, ?)", -1, &put,
			       NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(store->db, "DELETE FROM rec WHERE shard = ? AND sid = ?", -1, &del,
			       NULL) == SQLITE_OK)
		ret = 0;
	if (!ret && meta_get(store, "term", &term, NULL) != 1)
		ret = -EIO;
	if (!ret && (uint64_t)term != store->term)
		ret = -ESTALE;
	for (const struct change *c = group->first; c && !ret; c = c->next)
		ret = write_change(put, del, c) ? -EIO : 0;
	sqlite3_finalize(put);
	sqlite3_finalize(del);
	return ret;
}

/* All of them or none; what became of it goes into @why. */
static int commit_group(struct jv_store *store, const struct list *group, char why[TROUBLE])
{
	int ret = sql(store, "BEGIN IMMEDIATE") ? -EIO : write_group(store, group);

	if (!ret && sql(store, "COMMIT"))
		ret = -EIO;
	*why = '\0';
	if (ret == -ESTALE)
		snprintf(why, TROUBLE, "the store has been taken over by another jvpnd");
	else if (ret)
		snprintf(why, TROUBLE, "the store cannot be written: %s", sqlite3_errmsg(store->db));
	if (ret == -EIO && sqlite3_errcode(store->db) == SQLITE_FULL)
		ret = -ENOSPC;
	if (ret && !sqlite3_get_autocommit(store->db))
		sql(store, "ROLLBACK");
	return ret;
}

/* Others that come now share the disk's effort. */
static void await_group(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = JV_STORE_GROUP_MS * 1000000L }, NULL);
}

static void *writer(void *arg)
{
	struct jv_store *store = arg;
	char why[TROUBLE];
	ssize_t ignored;
	int error;

	pthread_mutex_lock(&store->lock);
	while (store->queued.n || !store->stop) {
		if (!store->queued.n) {
			pthread_cond_wait(&store->wake, &store->lock);
			continue;
		}
		pthread_mutex_unlock(&store->lock);
		await_group();
		pthread_mutex_lock(&store->lock);
		list_move(&store->writing, &store->queued);
		pthread_mutex_unlock(&store->lock);
		error = commit_group(store, &store->writing, why);
		pthread_mutex_lock(&store->lock);
		for (struct change *c = store->writing.first; c; c = c->next)
			c->error = error;
		strcpy(store->why, why);
		list_move(&store->done, &store->writing);
		ignored = write(store->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
		(void)ignored;
	}
	pthread_mutex_unlock(&store->lock);
	return NULL;
}

/* --- the loop thread's side --- */

static void on_done(void *arg, uint32_t events)
{
	struct jv_store *store = arg;
	char why[TROUBLE];
	struct change *c;
	uint64_t n;

	(void)events;
	if (read(store->event_fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&store->lock);
	list_move(&store->answered, &store->done);
	strcpy(why, store->why);
	pthread_mutex_unlock(&store->lock);
	if (*why && strcmp(why, store->trouble))
		jv_err("%s: sessions go on, what changes is not kept", why);
	strcpy(store->trouble, why);
	/* A callback may forget others. */
	while ((c = store->answered.first)) {
		store->answered.first = c->next;
		store->answered.n--;
		if (!c->next)
			store->answered.last = &store->answered.first;
		if (c->done)
			c->done(c->arg, c->error, c->error ? why : NULL);
		free(c);
	}
}

static int enqueue(struct jv_store *store, struct change *c)
{
	int ret = 0;

	pthread_mutex_lock(&store->lock);
	if (store->queued.n + store->writing.n + store->done.n >= JV_STORE_QUEUE)
		ret = -ENOBUFS;
	else
		list_add(&store->queued, c);
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	if (ret)
		free(c);
	return ret;
}

static struct change *change_new(uint16_t shard, const uint8_t sid[JVPN_SID_LEN], size_t len,
				 jv_store_done done, void *arg)
{
	struct change *c = calloc(1, sizeof(*c) + len);

	if (!c)
		return NULL;
	c->done = done;
	c->arg = arg;
	c->shard = shard;
	memcpy(c->sid, sid, sizeof(c->sid));
	c->len = len;
	return c;
}

int jv_store_put(struct jv_store *store, uint16_t shard, const struct jv_record *record,
		 jv_store_done done, void *arg)
{
	uint8_t sealed[JV_RECORD_SEALED_MAX];
	size_t len = jv_record_seal(record, shard, store->key, sealed);
	struct change *c = change_new(shard, record->sid, len, done, arg);

	if (!c)
		return -ENOBUFS;
	memcpy(c->sealed, sealed, len);
	return enqueue(store, c);
}

int jv_store_del(struct jv_store *store, uint16_t shard, const uint8_t sid[JVPN_SID_LEN],
		 jv_store_done done, void *arg)
{
	struct change *c = change_new(shard, sid, 0, done, arg);

	return c ? enqueue(store, c) : -ENOBUFS;
}

static void forget_in(struct list *list, const void *arg)
{
	for (struct change *c = list->first; c; c = c->next)
		if (c->arg == arg)
			c->done = NULL;
}

/* The writer looks neither at done nor at arg, and links changes under the lock. */
void jv_store_forget(struct jv_store *store, const void *arg)
{
	pthread_mutex_lock(&store->lock);
	forget_in(&store->queued, arg);
	forget_in(&store->writing, arg);
	forget_in(&store->done, arg);
	pthread_mutex_unlock(&store->lock);
	forget_in(&store->answered, arg);
}

int jv_store_each(struct jv_store *store, uint16_t shard,
		  void (*fn)(void *arg, const struct jv_record *record), void *arg,
		  uint64_t *bad, struct jv_error *err)
{
	struct jv_record record;
	sqlite3_stmt *query;
	int step;

	*bad = 0;
	if (sqlite3_prepare_v2(store->db, "SELECT sid, sealed FROM rec WHERE shard = ?", -1, &query,
			       NULL) != SQLITE_OK)
		return jv_error_set(err, EBADMSG, "cannot trust the store: %s",
				    sqlite3_errmsg(store->db));
	sqlite3_bind_int(query, 1, shard);
	while ((step = sqlite3_step(query)) == SQLITE_ROW) {
		const void *sid = sqlite3_column_blob(query, 0);
		const void *sealed = sqlite3_column_blob(query, 1);

		if (sqlite3_column_bytes(query, 0) == JVPN_SID_LEN &&
		    !jv_record_open(&record, sid, shard, store->key, sealed,
				    sqlite3_column_bytes(query, 1)))
			fn(arg, &record);
		else
			(*bad)++;
	}
	sodium_memzero(&record, sizeof(record));
	sqlite3_finalize(query);
	return step == SQLITE_DONE ? 0 : jv_error_set(err, EBADMSG, "cannot trust the store: %s",
						      sqlite3_errmsg(store->db));
}

const char *jv_store_trouble(const struct jv_store *store)
{
	return *store->trouble ? store->trouble : NULL;
}

/* --- life --- */

struct jv_store *jv_store_open(const char *dir, struct jv_error *err)
{
	struct jv_store *store = calloc(1, sizeof(*store));
	char path[512];

	if (!store) {
		jv_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	store->lock_fd = -1;
	store->event_fd = -1;
	list_init(&store->queued);
	list_init(&store->writing);
	list_init(&store->done);
	list_init(&store->answered);
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->wake, NULL);
	if (mkdir(dir, 0700) && errno != EEXIST) {
		jv_error_set(err, errno, "cannot make the state directory %s: %s", dir,
			     strerror(errno));
		goto err;
	}
	if (lock(store, dir, err) || load_key(store, dir, err))
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
	jv_store_close(store, 0);
	return NULL;
}

int jv_store_start(struct jv_store *store, struct jv_loop *loop, struct jv_error *err)
{
	int ret;

	store->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (store->event_fd < 0 || jv_io_add(loop, &store->io, store->event_fd, EPOLLIN,
					     JV_PRIO_TIMER, on_done, store))
		return jv_error_set(err, ENOMEM, "cannot watch the store's writer");
	ret = pthread_create(&store->thread, NULL, writer, store);
	if (ret)
		return jv_error_set(err, ret, "cannot start the store's writer: %s", strerror(ret));
	pthread_setname_np(store->thread, "jvpnd-store");
	store->started = true;
	return 0;
}

/* True if the writer has ended within @ms. */
static bool join(struct jv_store *store, uint32_t ms)
{
	struct timespec until;

	pthread_mutex_lock(&store->lock);
	store->stop = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000 + 1;
	return !pthread_timedjoin_np(store->thread, NULL, &until);
}

void jv_store_close(struct jv_store *store, uint32_t drain_ms)
{
	if (!store)
		return;
	jv_io_del(&store->io);
	/* A writer stuck in the kernel keeps its memory: we are about to exit. */
	if (store->started && !join(store, drain_ms))
		return;
	sqlite3_close(store->db);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	if (store->event_fd >= 0)
		close(store->event_fd);
	list_free(&store->queued);
	list_free(&store->writing);
	list_free(&store->done);
	list_free(&store->answered);
	sodium_free(store->key);
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
