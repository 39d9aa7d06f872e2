// SPDX-License-Identifier: GPL-2.0
/* The store: a term for every start, one daemon at a time, and no trust in what is damaged. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <sched.h>
#include <unistd.h>

#include "unit.h"

#include "store.h"

static int answers, last_error;
static char last_why[512];

FIXTURE(store)
{
	char dir[32], db[64], key[64];
	struct jv_loop *loop;
	struct jv_error err;
};

FIXTURE_SETUP(store)
{
	strcpy(self->dir, "/tmp/jvpn-store-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->db, sizeof(self->db), "%s/jvpnd.db", self->dir);
	snprintf(self->key, sizeof(self->key), "%s/store.key", self->dir);
	ASSERT_LE(0, sodium_init());
	self->loop = jv_loop_new();
	answers = 0;
}

FIXTURE_TEARDOWN(store)
{
	static const char *const files[] = { "jvpnd.db", "jvpnd.db-wal", "jvpnd.db-shm", "jvpnd.pid",
				     "store.key", "store.key.new" };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", self->dir, files[i]);
		unlink(path);
	}
	jv_loop_free(self->loop);
	rmdir(self->dir);
}

static void sql(const char *db, const char *text)
{
	sqlite3 *handle;

	sqlite3_open(db, &handle);
	sqlite3_exec(handle, text, NULL, NULL, NULL);
	sqlite3_close(handle);
}

TEST_F(store, term_rises_by_one)
{
	uint8_t key[32];

	for (uint64_t term = 1; term <= 5; term++) {
		struct jv_store *store = jv_store_open(self->dir, &self->err);

		ASSERT_NE(NULL, store) TH_LOG("%s", self->err.text);
		EXPECT_EQ(term, jv_store_term(store));
		if (term == 1)
			memcpy(key, jv_store_pseudonym_key(store), sizeof(key));
		EXPECT_EQ(0, memcmp(key, jv_store_pseudonym_key(store), sizeof(key)));
		EXPECT_FALSE(sodium_is_zero(key, sizeof(key)));
		jv_store_close(store, 1000);
	}
}

/* Killed right after it had its term: that term is used up. */
TEST_F(store, term_survives_a_kill)
{
	struct jv_store *store;
	int status;
	pid_t pid = fork();

	if (!pid) {
		jv_store_open(self->dir, &self->err);
		raise(SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store) TH_LOG("%s", self->err.text);
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store, 1000);
}

TEST_F(store, second_instance)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);
	char expected[256];

	ASSERT_NE(NULL, store);
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBUSY, self->err.code);
	snprintf(expected, sizeof(expected), "another jvpnd, pid %d, uses %s: stop it, or give this "
		 "one its own --state-dir", getpid(), self->dir);
	EXPECT_STREQ(expected, self->err.text);
	jv_store_close(store, 1000);
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store, 1000);
}

TEST_F(store, only_the_owner_reads_it)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);
	struct stat st;

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, stat(self->db, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	jv_store_close(store, 1000);
}

TEST_F(store, damaged)
{
	static const char garbage[8192] = "this is not a database";
	struct jv_store *store = jv_store_open(self->dir, &self->err);
	int fd;

	ASSERT_NE(NULL, store);
	jv_store_close(store, 1000);
	fd = open(self->db, O_WRONLY | O_TRUNC);
	ASSERT_EQ((ssize_t)sizeof(garbage), write(fd, garbage, sizeof(garbage)));
	close(fd);
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
	EXPECT_NE(NULL, strstr(self->err.text, self->db));
}

TEST_F(store, another_layout)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);

	ASSERT_NE(NULL, store);
	jv_store_close(store, 1000);
	sql(self->db, "UPDATE meta SET value = 99 WHERE name = 'version'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
	/* Nothing was changed: with its own layout it goes on from term 1. */
	sql(self->db, "UPDATE meta SET value = 2 WHERE name = 'version'");
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store, 1000);
}

TEST_F(store, impossible_term)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);

	ASSERT_NE(NULL, store);
	jv_store_close(store, 1000);
	sql(self->db, "UPDATE meta SET value = 9223372036854775807 WHERE name = 'term'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	sql(self->db, "UPDATE meta SET value = 'seven' WHERE name = 'term'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
}

/* --- somebody else's, or from another time --- */

TEST_F(store, somebody_elses_database)
{
	sqlite3 *db;
	sqlite3_stmt *query;

	sql(self->db, "CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
	EXPECT_NE(NULL, strstr(self->err.text, "is a database, and not a store of jvpnd"))
		TH_LOG("%s", self->err.text);
	sqlite3_open(self->db, &db);
	sqlite3_prepare_v2(db, "SELECT count(*) FROM sqlite_schema", -1, &query, NULL);
	ASSERT_EQ(SQLITE_ROW, sqlite3_step(query));
	EXPECT_EQ(1, sqlite3_column_int(query, 0));
	sqlite3_finalize(query);
	sqlite3_close(db);
}

TEST_F(store, an_older_layout_is_taken_over)
{
	struct jv_store *store;

	sql(self->db, "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	    "INSERT INTO meta VALUES ('version', 1), ('term', 41)");
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store) TH_LOG("%s", self->err.text);
	EXPECT_EQ(42, jv_store_term(store));
	jv_store_close(store, 1000);
}

/* --- records --- */

static struct jv_record record_of(uint8_t byte)
{
	struct jv_record r = {
		.created_s = 1700000000 + byte, .max_s = 86400, .kid = 3, .aead_mask = 3,
		.policy = "carrier", .prefixes = 2,
		.prefix = { { .family = AF_INET, .len = 32, .addr = { 10, 0, 0, byte } },
			    { .family = AF_INET6, .len = 128, .addr = { 0xfd, byte } } },
	};

	memset(r.sid, byte, sizeof(r.sid));
	memset(r.rs, byte + 1, sizeof(r.rs));
	memset(r.client_key, byte + 2, sizeof(r.client_key));
	return r;
}

static void on_answer(void *arg, int error, const char *why)
{
	answers++;
	last_error = error;
	snprintf(last_why, sizeof(last_why), "%s", why ? why : "");
}

/* Turns of the loop, whose first member is sd-event's, until @n were answered in all. */
static void await(FIXTURE_DATA(store) *self, int n)
{
	while (answers < n)
		if (sd_event_run(*(sd_event **)self->loop, 10000000) <= 0)
			abort();
}

static struct jv_store *begin(FIXTURE_DATA(store) *self)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);

	if (!store || jv_store_start(store, self->loop, &self->err)) {
		fprintf(stderr, "# %s\n", self->err.text);
		abort();
	}
	return store;
}

static unsigned int seen;
static struct jv_record seen_record;

static void see(void *arg, const struct jv_record *record)
{
	seen++;
	seen_record = *record;
}

static uint64_t look(FIXTURE_DATA(store) *self, struct jv_store **store)
{
	uint64_t bad = 0;

	*store = jv_store_open(self->dir, &self->err);
	seen = 0;
	if (!*store || jv_store_each(*store, 0, see, NULL, &bad, &self->err)) {
		fprintf(stderr, "# %s\n", self->err.text);
		abort();
	}
	return bad;
}

TEST_F(store, records_are_there_again)
{
	struct jv_record one = record_of(1), two = record_of(2);
	struct jv_store *store = begin(self);
	struct stat st;

	ASSERT_EQ(0, jv_store_put(store, 0, &one, on_answer, self));
	ASSERT_EQ(0, jv_store_put(store, 0, &two, on_answer, self));
	ASSERT_EQ(0, jv_store_del(store, 0, one.sid, on_answer, self));
	await(self, 3);
	EXPECT_EQ(0, last_error) TH_LOG("%s", last_why);
	jv_store_close(store, 1000);
	ASSERT_EQ(0, stat(self->key, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(0, look(self, &store));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(0, memcmp(&two, &seen_record, sizeof(two)));
	jv_store_close(store, 1000);
}

/* Answered means on the disk: a kill right after it takes nothing away. */
TEST_F(store, what_was_answered_survives_a_kill)
{
	struct jv_store *store;
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct jv_record r;

		self->loop = jv_loop_new();	/* sd-event's does not outlive a fork */
		store = begin(self);
		for (int i = 0; i < 100; i++) {
			r = record_of(i);
			jv_store_put(store, 0, &r, on_answer, self);
		}
		await(self, 100);
		for (int i = 0; i < 100; i++) {	/* not waited for */
			r = record_of(100 + i);
			jv_store_put(store, 0, &r, on_answer, self);
		}
		raise(SIGKILL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, look(self, &store));
	EXPECT_LE(100, seen);
	jv_store_close(store, 1000);
}

TEST_F(store, nothing_is_readable_without_the_key)
{
	struct jv_record r = record_of(7);
	struct jv_store *store = begin(self);
	char command[160];

	memset(r.rs, 'R', sizeof(r.rs));
	ASSERT_EQ(0, jv_store_put(store, 0, &r, on_answer, self));
	await(self, 1);
	jv_store_close(store, 1000);
	snprintf(command, sizeof(command), "cat %s/jvpnd.db* | grep -aq RRRRRRRR", self->dir);
	EXPECT_NE(0, system(command));
	snprintf(command, sizeof(command), "cat %s/jvpnd.db* | grep -aq carrier", self->dir);
	EXPECT_NE(0, system(command));
}

TEST_F(store, another_key_continues_no_session)
{
	struct jv_record r = record_of(7);
	struct jv_store *store = begin(self);

	ASSERT_EQ(0, jv_store_put(store, 0, &r, on_answer, self));
	await(self, 1);
	jv_store_close(store, 1000);
	ASSERT_EQ(0, unlink(self->key));
	EXPECT_EQ(0, look(self, &store));
	EXPECT_EQ(0, seen);
	ASSERT_NE(NULL, jv_store_trouble(store));
	EXPECT_NE(NULL, strstr(jv_store_trouble(store), "store.key is not the key that the store was "
			       "written with: 1 sessions are not continued"));
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store, 1000);
	store = jv_store_open(self->dir, &self->err);
	EXPECT_EQ(NULL, jv_store_trouble(store));
	jv_store_close(store, 1000);
}

TEST_F(store, a_bad_key_file)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);

	ASSERT_NE(NULL, store);
	jv_store_close(store, 1000);
	ASSERT_EQ(0, chmod(self->key, 0640));
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "(mode 0640): chmod 600 it")) TH_LOG("%s", self->err.text);
	ASSERT_EQ(0, chmod(self->key, 0600));
	ASSERT_EQ(0, truncate(self->key, 31));
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "is not a key of 32 bytes")) TH_LOG("%s", self->err.text);
}

/* A record in another's place, or with one bit changed anywhere, is no record. */
TEST_F(store, a_moved_or_changed_record)
{
	uint8_t key[JV_RECORD_KEY], sealed[JV_RECORD_SEALED_MAX];
	struct jv_record r = record_of(7), out;
	size_t len;

	randombytes_buf(key, sizeof(key));
	len = jv_record_seal(&r, 5, key, sealed);
	EXPECT_EQ(0, jv_record_open(&out, r.sid, 5, key, sealed, len));
	EXPECT_EQ(0, memcmp(&r, &out, sizeof(r)));
	EXPECT_EQ(-1, jv_record_open(&out, r.sid, 6, key, sealed, len));
	EXPECT_TRUE(sodium_is_zero((uint8_t *)&out, sizeof(out)));
	EXPECT_EQ(-1, jv_record_open(&out, record_of(8).sid, 5, key, sealed, len));
	for (size_t n = 0; n < len; n++)
		EXPECT_EQ(-1, jv_record_open(&out, r.sid, 5, key, sealed, n));
	for (size_t bit = 0; bit < 8 * len; bit++) {
		sealed[bit / 8] ^= 1 << bit % 8;
		EXPECT_EQ(-1, jv_record_open(&out, r.sid, 5, key, sealed, len));
		sealed[bit / 8] ^= 1 << bit % 8;
	}
}

TEST_F(store, a_changed_record_in_the_store)
{
	struct jv_record one = record_of(1), two = record_of(2);
	struct jv_store *store = begin(self);

	jv_store_put(store, 0, &one, on_answer, self);
	jv_store_put(store, 0, &two, on_answer, self);
	await(self, 2);
	jv_store_close(store, 1000);
	sql(self->db, "UPDATE rec SET sealed = (SELECT sealed FROM rec WHERE hex(sid) LIKE '01%') "
	    "WHERE hex(sid) LIKE '02%'");
	EXPECT_EQ(1, look(self, &store));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(0, memcmp(&one, &seen_record, sizeof(one)));
	jv_store_close(store, 1000);
}

TEST_F(store, a_later_incarnation_has_the_store)
{
	struct jv_record r = record_of(1);
	struct jv_store *store = begin(self);

	sql(self->db, "UPDATE meta SET value = value + 1 WHERE name = 'term'");
	jv_store_put(store, 0, &r, on_answer, self);
	await(self, 1);
	EXPECT_EQ(-ESTALE, last_error);
	EXPECT_STREQ("the store has been taken over by another jvpnd", last_why);
	EXPECT_NE(NULL, jv_store_trouble(store));
	jv_store_close(store, 1000);
	EXPECT_EQ(0, look(self, &store));
	EXPECT_EQ(0, seen);
	jv_store_close(store, 1000);
}

/* Fewer commits than changes, or 2000 of them would take as many fsyncs. */
TEST_F(store, changes_share_commits)
{
	struct jv_store *store = begin(self);

	for (int i = 0; i < 2000; i++) {
		struct jv_record r = record_of(i);

		memcpy(r.sid, &i, sizeof(i));
		ASSERT_EQ(0, jv_store_put(store, 0, &r, on_answer, self));
	}
	await(self, 2000);
	EXPECT_EQ(0, last_error) TH_LOG("%s", last_why);
	jv_store_close(store, 1000);
	EXPECT_EQ(0, look(self, &store));
	EXPECT_EQ(2000, seen);
	jv_store_close(store, 1000);
}

TEST_F(store, the_forgotten_are_not_called)
{
	struct jv_record r = record_of(1);
	struct jv_store *store = begin(self);

	jv_store_put(store, 0, &r, on_answer, store);
	jv_store_put(store, 0, &r, on_answer, self);
	jv_store_forget(store, store);
	await(self, 1);
	EXPECT_EQ(1, answers);
	jv_store_close(store, 1000);
}

static bool full_disk(FIXTURE_DATA(store) *self)
{
	return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", self->dir, "tmpfs", 0, "size=192k");
}

static void fill(FIXTURE_DATA(store) *self, const char *name)
{
	char path[64], block[1024] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", self->dir, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	close(fd);
}

TEST_F(store, a_full_disk)
{
	struct jv_store *store;
	int n;

	if (!full_disk(self))
		SKIP(return, "needs a mount namespace");
	store = begin(self);
	fill(self, "fill");
	for (n = 0; !n || (!last_error && n < 1000); n++) {
		struct jv_record r = record_of(n);

		memcpy(r.sid, &n, sizeof(n));
		jv_store_put(store, 0, &r, on_answer, self);
		await(self, n + 1);
	}
	EXPECT_NE(0, last_error);
	EXPECT_NE(NULL, strstr(last_why, "the store cannot be written: ")) TH_LOG("%s", last_why);
	EXPECT_NE(NULL, jv_store_trouble(store));
	/* Room again, and it goes on by itself. */
	{
		char path[64];
		struct jv_record r = record_of(1);

		snprintf(path, sizeof(path), "%s/fill", self->dir);
		unlink(path);
		jv_store_put(store, 0, &r, on_answer, self);
		await(self, n + 1);
		EXPECT_EQ(0, last_error) TH_LOG("%s", last_why);
		EXPECT_EQ(NULL, jv_store_trouble(store));
	}
	jv_store_close(store, 1000);
	umount2(self->dir, MNT_DETACH);
}

TEST_F(store, a_full_disk_at_the_start)
{
	if (!full_disk(self))
		SKIP(return, "needs a mount namespace");
	fill(self, "fill");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "cannot ")) TH_LOG("%s", self->err.text);
	EXPECT_NE(NULL, strstr(self->err.text, self->dir));
	umount2(self->dir, MNT_DETACH);
}

TEST_F(store, no_directory)
{
	EXPECT_EQ(NULL, jv_store_open("/proc/none", &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "/proc/none"));
}

TEST_HARNESS_MAIN
