// SPDX-License-Identifier: GPL-2.0
/* The store: a term for every start, one daemon at a time, and no trust in what is damaged. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "store.h"

FIXTURE(store)
{
	char dir[32], db[64];
	struct jv_error err;
};

FIXTURE_SETUP(store)
{
	strcpy(self->dir, "/tmp/jvpn-store-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->db, sizeof(self->db), "%s/jvpnd.db", self->dir);
	ASSERT_LE(0, sodium_init());
}

FIXTURE_TEARDOWN(store)
{
	static const char *const files[] = { "jvpnd.db", "jvpnd.db-wal", "jvpnd.db-shm", "jvpnd.pid" };
	char path[64];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", self->dir, files[i]);
		unlink(path);
	}
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
		jv_store_close(store);
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
	jv_store_close(store);
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
	jv_store_close(store);
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store);
}

TEST_F(store, only_the_owner_reads_it)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);
	struct stat st;

	ASSERT_NE(NULL, store);
	ASSERT_EQ(0, stat(self->db, &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	jv_store_close(store);
}

TEST_F(store, damaged)
{
	static const char garbage[8192] = "this is not a database";
	struct jv_store *store = jv_store_open(self->dir, &self->err);
	int fd;

	ASSERT_NE(NULL, store);
	jv_store_close(store);
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
	jv_store_close(store);
	sql(self->db, "UPDATE meta SET value = 2 WHERE name = 'version'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
	/* Nothing was changed: with its own layout it goes on from term 1. */
	sql(self->db, "UPDATE meta SET value = 1 WHERE name = 'version'");
	store = jv_store_open(self->dir, &self->err);
	ASSERT_NE(NULL, store);
	EXPECT_EQ(2, jv_store_term(store));
	jv_store_close(store);
}

TEST_F(store, impossible_term)
{
	struct jv_store *store = jv_store_open(self->dir, &self->err);

	ASSERT_NE(NULL, store);
	jv_store_close(store);
	sql(self->db, "UPDATE meta SET value = 9223372036854775807 WHERE name = 'term'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	sql(self->db, "UPDATE meta SET value = 'seven' WHERE name = 'term'");
	EXPECT_EQ(NULL, jv_store_open(self->dir, &self->err));
	EXPECT_EQ(EBADMSG, self->err.code);
}

TEST_F(store, no_directory)
{
	EXPECT_EQ(NULL, jv_store_open("/proc/none", &self->err));
	EXPECT_NE(NULL, strstr(self->err.text, "/proc/none"));
}

TEST_HARNESS_MAIN
