// SPDX-License-Identifier: GPL-2.0
/*
 * The audit stream: what a line holds, how the batches are chained, and that
 * neither a reader that stalls nor a full disk reaches who reports events.
 */
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "audit.h"
#include "loop.h"

enum { RING = 1024, STREAM_MAX = 32 << 20 };

static const uint8_t pseudonym_key[32] = { 1, 2, 3 };

static struct jv_audit *open_audit(const char *path, const uint8_t *key)
{
	const struct jv_audit_options options = {
		.path = path, .node_id = "unit", .pseudonym_key = key, .ring = RING,
	};
	struct jv_error err = { 0 };
	struct jv_audit *audit = jv_audit_open(&options, &err);

	if (audit && !jv_audit_start(audit, &err))
		return audit;
	fprintf(stderr, "# %s\n", err.text);
	jv_audit_close(audit, 0);
	return NULL;
}

static struct jv_audit_record change(uint64_t state_version)
{
	struct jv_audit_record record = {
		.event = JV_AUDIT_STATE_CHANGE, .has_sid = true, .edge = JV_EDGE_T4,
		.from = JV_STATE_ATTACHED, .to = JV_STATE_RECOVERING,
		.reason = JV_REASON_TRANSPORT_DEAD, .detail = JV_DETAIL_LINK_DOWN,
		.state_version = state_version, .version = { 3, 7 },
	};

	memset(record.sid, 0xab, sizeof(record.sid));
	return record;
}

/* What a stream says about itself. */
struct stream {
	unsigned int lines, lost_lines, batches;
	uint64_t first, last, lost, gaps;
	bool chained;			/* every prev_hash is that of the batch before it */
	bool sound;			/* every line is an object and seq only grows */
};

static struct stream read_stream(const char *text)
{
	struct stream s = { .chained = true, .sound = true };
	const char *batch = text;

	for (const char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		json_t *object = json_loadb(line, end - line, JSON_REJECT_DUPLICATES, NULL);
		const char *prev = json_string_value(json_object_get(object, "prev_hash"));
		const char *event = json_string_value(json_object_get(object, "event_type"));
		uint64_t seq = json_integer_value(json_object_get(object, "seq"));
		uint64_t count = json_integer_value(json_object_get(object, "count"));
		char hex[65] = "";
		uint8_t hash[32] = { 0 };

		if (prev) {
			if (s.lines)
				crypto_generichash(hash, 32, (const uint8_t *)batch, line - batch,
						   NULL, 0);
			s.chained &= !strcmp(prev, jv_hex(hash, 32, hex));
			batch = line;
			s.batches++;
		}
		s.sound &= json_is_object(object) && event && (!s.lines || seq > s.last);
		if (event && !strcmp(event, "EVENTS_LOST")) {
			s.lost_lines++;
			s.lost += count;
			s.gaps += seq - s.last;	/* it bears the number of the last one lost */
		} else if (s.lines) {
			s.gaps += seq - s.last - 1;
		}
		if (!s.lines++)
			s.first = seq;
		s.last = seq;
		json_decref(object);
	}
	return s;
}

static char *slurp(const char *path)
{
	char *text = calloc(1, STREAM_MAX);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, STREAM_MAX - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

FIXTURE(audit)
{
	char dir[32], path[64];
};

FIXTURE_SETUP(audit)
{
	strcpy(self->dir, "/tmp/jvpn-audit-XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/a.jsonl", self->dir);
	ASSERT_LE(0, sodium_init());
}

FIXTURE_TEARDOWN(audit)
{
	unlink(self->path);
	rmdir(self->dir);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "(none)";
}

TEST_F(audit, line)
{
	struct jv_audit *audit = open_audit(self->path, pseudonym_key);
	struct jv_audit_record record = change(5);
	char *text;
	json_t *o;

	ASSERT_NE(NULL, audit);
	strcpy(record.peer, "a\"b\\c\n\x80");
	strcpy(record.old_transport, "wifi");
	jv_audit_push(audit, &record);
	jv_audit_close(audit, 5000);
	text = slurp(self->path);
	o = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, NULL);
	ASSERT_TRUE(json_is_object(o));
	EXPECT_EQ(1, json_integer_value(json_object_get(o, "schema")));
	EXPECT_EQ(1, json_integer_value(json_object_get(o, "seq")));
	EXPECT_STREQ("STATE_CHANGE", text_of(o, "event_type"));
	EXPECT_STREQ("unit", text_of(o, "node"));
	EXPECT_STREQ("T4", text_of(o, "edge"));
	EXPECT_STREQ("ATTACHED", text_of(o, "previous_state"));
	EXPECT_STREQ("RECOVERING", text_of(o, "new_state"));
	EXPECT_STREQ("TRANSPORT_DEAD", text_of(o, "reason"));
	EXPECT_STREQ("LINK_DOWN", text_of(o, "detail"));
	EXPECT_STREQ("wifi", text_of(o, "old_transport"));
	EXPECT_STREQ("a\"b\\c\n\xc2\x80", text_of(o, "peer"));
	EXPECT_EQ(5, json_integer_value(json_object_get(o, "state_version")));
	EXPECT_EQ(3, json_integer_value(json_object_get(o, "owner_epoch")));
	EXPECT_EQ(7, json_integer_value(json_object_get(o, "binding_version")));
	EXPECT_EQ(NULL, json_object_get(o, "new_transport"));
	EXPECT_EQ(NULL, json_object_get(o, "switch_latency_us"));
	/* The id is a pseudonym: not the one that kernel and peer know. */
	EXPECT_EQ(32, strlen(text_of(o, "session_id")));
	EXPECT_STRNE("abababababababababababababababab", text_of(o, "session_id"));
	json_decref(o);
	free(text);
}

TEST_F(audit, clear_id_if_configured)
{
	struct jv_audit *audit = open_audit(self->path, NULL);
	struct jv_audit_record record = change(1);
	char *text;

	ASSERT_NE(NULL, audit);
	jv_audit_push(audit, &record);
	jv_audit_close(audit, 5000);
	text = slurp(self->path);
	EXPECT_NE(NULL, strstr(text, "\"session_id\":\"abababababababababababababababab\""));
	free(text);
}

/* A file goes on where it ended, even if a crash left half a line. */
TEST_F(audit, chain_over_restarts)
{
	uint64_t n = 0;
	struct stream s;
	char *text;

	for (int run = 0; run < 4; run++) {
		struct jv_audit *audit = open_audit(self->path, pseudonym_key);
		int fd;

		ASSERT_NE(NULL, audit);
		for (int i = 0; i < 600; i++) {
			struct jv_audit_record record = change(++n);

			jv_audit_push(audit, &record);
		}
		jv_audit_close(audit, 5000);
		fd = open(self->path, O_WRONLY | O_APPEND);
		ASSERT_EQ(7, write(fd, "{\"half\"", run == 2 ? 7 : 0) + (run == 2 ? 0 : 7));
		close(fd);
	}
	text = slurp(self->path);
	s = read_stream(text);
	EXPECT_TRUE(s.sound);
	EXPECT_TRUE(s.chained);
	EXPECT_EQ(2400, s.lines);
	EXPECT_EQ(1, s.first);
	EXPECT_EQ(2400, s.last);
	EXPECT_LE(4, s.batches);
	/* One byte changed in the middle, and it does not hold any more. */
	*strstr(text + strlen(text) / 2, "RECOVERING") = 'X';
	EXPECT_FALSE(read_stream(text).chained);
	free(text);
}

struct reader {
	int fd;
	char *text;
	size_t len;
};

static void *drain(void *arg)
{
	struct reader *r = arg;
	ssize_t n;

	while ((n = read(r->fd, r->text + r->len, STREAM_MAX - 1 - r->len)) > 0)
		r->len += n;
	return NULL;
}

/* Nobody reads: nothing waits, the oldest go, and all that is lost is told. */
TEST_F(audit, stalled_reader)
{
	const unsigned int pushed = 20 * RING;
	struct jv_audit *audit;
	struct reader reader = { 0 };
	pthread_t thread;
	uint64_t start;
	struct stream s;

	ASSERT_EQ(0, mkfifo(self->path, 0600));
	reader.fd = open(self->path, O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, reader.fd);
	ASSERT_EQ(0, fcntl(reader.fd, F_SETFL, 0));
	audit = open_audit(self->path, pseudonym_key);
	ASSERT_NE(NULL, audit);
	start = jv_now_ms();
	for (unsigned int i = 0; i < pushed; i++) {
		struct jv_audit_record record = change(i + 1);

		jv_audit_push(audit, &record);
	}
	/* Some microseconds each, even under sanitizers; a wait for the reader would be for ever. */
	EXPECT_GT(10000, jv_now_ms() - start);
	EXPECT_LE(pushed - RING - 1024, jv_audit_dropped(audit));

	reader.text = calloc(1, STREAM_MAX);
	ASSERT_EQ(0, pthread_create(&thread, NULL, drain, &reader));
	while (jv_audit_written(audit) + jv_audit_dropped(audit) < pushed &&
	       jv_now_ms() - start < 20000)
		usleep(1000);
	s.lost = jv_audit_dropped(audit);
	jv_audit_close(audit, 5000);
	pthread_join(thread, NULL);
	close(reader.fd);
	reader.text[reader.len] = '\0';

	const uint64_t dropped = s.lost;

	s = read_stream(reader.text);
	EXPECT_TRUE(s.sound);
	EXPECT_TRUE(s.chained);
	EXPECT_LT(0, s.lost_lines);
	EXPECT_EQ(dropped, s.lost);
	EXPECT_EQ(s.gaps, s.lost);
	EXPECT_EQ(pushed, s.last);
	EXPECT_EQ(pushed, s.lines - s.lost_lines + s.lost);
	free(reader.text);
}

TEST_F(audit, full_disk)
{
	struct jv_audit *audit = open_audit("/dev/full", pseudonym_key);
	uint64_t start = jv_now_ms();

	ASSERT_NE(NULL, audit);
	for (unsigned int i = 0; i < 5 * RING; i++) {
		struct jv_audit_record record = change(i + 1);

		jv_audit_push(audit, &record);
	}
	EXPECT_GT(10000, jv_now_ms() - start);
	EXPECT_EQ(0, jv_audit_written(audit));
	EXPECT_LE(3 * RING, jv_audit_dropped(audit));
	jv_audit_close(audit, 5000);
}

TEST_F(audit, sampled_noise)
{
	struct jv_audit *audit = open_audit(self->path, pseudonym_key);
	struct jv_audit_record record = {
		.event = JV_AUDIT_SECURITY_EVENT, .reason = JV_REASON_REPLAY_DETECTED,
	};
	uint64_t start = jv_now_ms(), counted = 0;
	unsigned int lines = 0;
	char *text;

	ASSERT_NE(NULL, audit);
	for (unsigned int i = 0; i < 5000; i++)
		jv_audit_push_sampled(audit, &record);
	record.reason = JV_REASON_AUTH_FAIL;
	jv_audit_push_sampled(audit, &record);
	record.reason = JV_REASON_REPLAY_DETECTED;
	while (jv_now_ms() - start < 2100)
		usleep(10000);
	jv_audit_push_sampled(audit, &record);
	jv_audit_close(audit, 5000);
	text = slurp(self->path);
	for (const char *p = text; (p = strstr(p, "\"REPLAY_DETECTED\"")); p++, lines++)
		counted += strtoull(strstr(p, "\"count\":") + 8, NULL, 10);
	/* One a second, and none is missing from the counts. */
	EXPECT_LE(2, lines);
	EXPECT_GE(4, lines);
	EXPECT_EQ(5001, counted);
	EXPECT_NE(NULL, strstr(text, "\"AUTH_FAIL\""));
	free(text);
}

TEST_HARNESS_MAIN
