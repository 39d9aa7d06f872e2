// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads. The loop thread owns head and the sampling table and only ever
 * stores into the ring; the writer owns tail, the file and the hash chain. A slot
 * that is overwritten while it is copied out shows a changed sequence number
 * afterwards and counts as lost: the reader never makes the producer wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "log.h"
#include "loop.h"

enum {
	SCHEMA = 1,
	RING = 16384,
	BATCH = 256,			/* records per write and per hash */
	LINE = 3072,			/* longest line: every field escaped at its longest */
	HASH = 32,
	RETRY_MS = 1000,		/* after a failed write */
	SAMPLE_MS = 1000,
	WORDS = (sizeof(struct jv_audit_record) + 7) / 8,
};

struct slot {
	atomic_uint_fast64_t seq;	/* position + 1; 0: being written */
	atomic_uint_fast64_t word[WORDS];
};

struct sample {
	uint64_t last_ms, suppressed;
};

struct jv_audit {
	/* loop thread */
	uint64_t next_seq;
	struct sample sample[JV_AUDIT_EVENTS_LOST + 1][256];
	/* shared */
	struct slot *ring;
	uint64_t mask;
	atomic_uint_fast64_t head;	/* records ever pushed */
	atomic_uint_fast64_t tail;	/* records ever taken */
	atomic_uint_fast64_t written, lost;
	atomic_bool stop;
	int event_fd;
	/* writer thread */
	pthread_t thread;
	bool started;
	int fd;
	off_t size;
	char *path, *node_id;
	bool pseudonyms;
	uint8_t pseudonym_key[32];
	uint8_t hash[HASH];		/* of the last batch in the file */
	uint64_t told_lost;		/* EVENTS_LOST covers this many */
	char *batch;
};

static const char *const event_names[] = {
#define X(name) [JV_AUDIT_##name] = #name,
	JV_AUDIT_EVENTS(X)
#undef X
};

const char *jv_audit_event_name(enum jv_audit_event event)
{
	return event < sizeof(event_names) / sizeof(event_names[0]) ? event_names[event] : "?";
}

/* --- the loop thread's side --- */

static void ring_store(struct jv_audit *audit, const struct jv_audit_record *record)
{
	uint64_t words[WORDS] = { 0 };
	uint64_t head = atomic_load_explicit(&audit->head, memory_order_relaxed);
	struct slot *slot = &audit->ring[head & audit->mask];

	memcpy(words, record, sizeof(*record));
	atomic_store_explicit(&slot->seq, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (size_t i = 0; i < WORDS; i++)
		atomic_store_explicit(&slot->word[i], words[i], memory_order_relaxed);
	atomic_store_explicit(&slot->seq, head + 1, memory_order_release);
	atomic_store_explicit(&audit->head, head + 1, memory_order_release);
}

void jv_audit_push(struct jv_audit *audit, const struct jv_audit_record *record)
{
	struct jv_audit_record copy;
	struct timespec now;
	ssize_t ignored;

	if (!audit)
		return;
	copy = *record;
	clock_gettime(CLOCK_REALTIME, &now);
	copy.ts_ms = now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
	copy.mono_ns = jv_now_ns();
	copy.seq = audit->next_seq++;
	ring_store(audit, &copy);
	/* Nonblocking; a full counter means that the writer is awake already. */
	ignored = write(audit->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
	(void)ignored;
}

void jv_audit_push_sampled(struct jv_audit *audit, const struct jv_audit_record *record)
{
	struct jv_audit_record copy;
	struct sample *sample;
	uint64_t now_ms = jv_now_ms();

	if (!audit)
		return;
	sample = &audit->sample[record->event][record->reason];
	if (sample->last_ms && now_ms - sample->last_ms < SAMPLE_MS) {
		sample->suppressed++;
		return;
	}
	copy = *record;
	copy.count = sample->suppressed + 1;
	sample->last_ms = now_ms;
	sample->suppressed = 0;
	jv_audit_push(audit, &copy);
}

uint64_t jv_audit_written(const struct jv_audit *audit)
{
	return audit ? audit->written : 0;
}

uint64_t jv_audit_dropped(const struct jv_audit *audit)
{
	uint64_t behind;

	if (!audit)
		return 0;
	behind = audit->head - audit->tail;
	return audit->lost + (behind > audit->mask + 1 ? behind - (audit->mask + 1) : 0);
}

/* --- formatting: one table of fields, one set of them per event --- */

enum kind {
	KIND_U64, KIND_U32, KIND_TEXT, KIND_ADDR,
	KIND_STATE, KIND_EDGE, KIND_REASON, KIND_DETAIL, KIND_STATUS,
};

/* X(bit, JSON name, kind, member) */
#define FIELDS(X)							\
	X(EDGE,	       edge,		  KIND_EDGE,   edge)		\
	X(FROM,	       previous_state,	  KIND_STATE,  from)		\
	X(TO,	       new_state,	  KIND_STATE,  to)		\
	X(REASON,      reason,		  KIND_REASON, reason)		\
	X(DETAIL,      detail,		  KIND_DETAIL, detail)		\
	X(STATUS,      status,		  KIND_STATUS, status)		\
	X(PEER,	       peer,		  KIND_TEXT,   peer)		\
	X(LINK,	       link,		  KIND_TEXT,   link)		\
	X(POLICY,      policy_version,	  KIND_U32,    policy_version)	\
	X(VERSION,     state_version,	  KIND_U64,    state_version)	\
	X(BVER,	       binding_version,	  KIND_U64,    version.bver)	\
	X(TERM,	       owner_epoch,	  KIND_U64,    version.term)	\
	X(OLD,	       old_transport,	  KIND_TEXT,   old_transport)	\
	X(NEW,	       new_transport,	  KIND_TEXT,   new_transport)	\
	X(OLD_REMOTE,  old_remote,	  KIND_ADDR,   old_remote)	\
	X(NEW_REMOTE,  new_remote,	  KIND_ADDR,   new_remote)	\
	X(LATENCY,     switch_latency_us, KIND_U64,    latency_us)	\
	X(RTT,	       rtt_us,		  KIND_U32,    rtt_us)		\
	X(LIFETIME,    lifetime_ms,	  KIND_U64,    lifetime_ms)	\
	X(LOST,	       transportless_ms,  KIND_U64,    transportless_ms)	\
	X(SWITCHES,    switches,	  KIND_U32,    switches)	\
	X(COUNT,       count,		  KIND_U64,    count)		\
	X(TEXT,	       text,		  KIND_TEXT,   text)

enum field_bit {
#define X(bit, json, kind, member) BIT_##bit,
	FIELDS(X)
#undef X
};

enum {
#define X(bit, json, kind, member) F_##bit = 1 << BIT_##bit,
	FIELDS(X)
#undef X
};

static const struct field {
	const char *name;
	enum kind kind;
	size_t offset;
} fields[] = {
#define X(bit, json, kind, member) \
	[BIT_##bit] = { #json, kind, offsetof(struct jv_audit_record, member) },
	FIELDS(X)
#undef X
};

/* Written even if zero; every other field is written where it is not. */
static const uint32_t always[] = {
	[JV_AUDIT_SESSION_CREATED] = F_VERSION | F_REASON,
	[JV_AUDIT_STATE_CHANGE] = F_EDGE | F_FROM | F_TO | F_REASON | F_VERSION,
	[JV_AUDIT_TRANSPORT_SWITCH] = F_REASON | F_LATENCY,
	[JV_AUDIT_TRANSPORT_SWITCH_DENIED] = F_REASON,
	[JV_AUDIT_TRANSPORT_SWITCH_FAILED] = F_REASON,
	[JV_AUDIT_TRANSPORT_DEAD] = F_REASON,
	[JV_AUDIT_REATTACH_ATTEMPT] = F_REASON,
	[JV_AUDIT_REATTACH_RESULT] = F_REASON,
	[JV_AUDIT_SECURITY_EVENT] = F_REASON | F_COUNT,
	[JV_AUDIT_RATE_LIMIT_EVENT] = F_REASON | F_COUNT,
	[JV_AUDIT_TTL_EXPIRED] = F_REASON,
	[JV_AUDIT_TERMINATION_EVENT] = F_REASON | F_LIFETIME | F_LOST | F_SWITCHES,
	[JV_AUDIT_EVENTS_LOST] = F_COUNT,
};

struct text {
	char *at, *end;
};

__attribute__((format(printf, 2, 3)))
static void put(struct text *out, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(out->at, out->end - out->at, fmt, ap);
	va_end(ap);
	out->at += len < out->end - out->at ? len : out->end - out->at - 1;
}

/* Names are ASCII by their own rules; an interface may be called anything. */
static void put_string(struct text *out, const char *string)
{
	put(out, "\"");
	for (const unsigned char *p = (const unsigned char *)string; *p; p++) {
		if (*p == '"' || *p == '\\')
			put(out, "\\%c", *p);
		else if (*p < 0x20 || *p >= 0x7f)
			put(out, "\\u%04x", *p);
		else
			put(out, "%c", *p);
	}
	put(out, "\"");
}

/* The value as text to quote, or NULL and the number. */
static const char *value_of(const struct field *field, const void *p, char *buf, uint64_t *number)
{
	const uint8_t *byte = p;

	switch (field->kind) {
	case KIND_U64:
		memcpy(number, p, sizeof(*number));
		return NULL;
	case KIND_U32:
		*number = *(const uint32_t *)p;
		return NULL;
	case KIND_TEXT:
		*number = *byte;
		return p;
	case KIND_ADDR:
		*number = ((const union jv_addr *)p)->sa.sa_family;
		return jv_addr_format(p, buf);
	case KIND_STATE:
		*number = *byte;
		return jv_state_name(*byte);
	case KIND_EDGE:
		*number = *byte;
		return jv_edge_name(*byte);
	case KIND_REASON:
		*number = *byte;
		return jv_reason_name(*byte);
	case KIND_DETAIL:
		*number = *byte;
		return jv_detail_name(*byte);
	case KIND_STATUS:
		*number = *byte;
		return jv_status_name(*byte - 1);
	}
	return NULL;
}

static void put_field(struct text *out, const struct field *field,
		      const struct jv_audit_record *record, bool must)
{
	char buf[JV_ADDR_TEXT];
	uint64_t number = 0;
	const char *text = value_of(field, (const char *)record + field->offset, buf, &number);

	if (!number && !must)
		return;
	put(out, ",\"%s\":", field->name);
	if (text)
		put_string(out, text);
	else
		put(out, "%" PRIu64, number);
}

const char *jv_audit_path(const struct jv_audit *audit)
{
	return audit->path;
}

const char *jv_audit_session(const struct jv_audit *audit, const uint8_t sid[JVPN_SID_LEN],
			     char hex[2 * JVPN_SID_LEN + 1])
{
	uint8_t pseudonym[JVPN_SID_LEN];

	if (audit->pseudonyms)
		crypto_generichash(pseudonym, sizeof(pseudonym), sid, JVPN_SID_LEN,
				   audit->pseudonym_key, sizeof(audit->pseudonym_key));
	else
		memcpy(pseudonym, sid, sizeof(pseudonym));
	return jv_hex(pseudonym, sizeof(pseudonym), hex);
}

static void put_session(const struct jv_audit *audit, struct text *out, const uint8_t *sid)
{
	char hex[2 * JVPN_SID_LEN + 1];

	put(out, ",\"session_id\":\"%s\"", jv_audit_session(audit, sid, hex));
}

/* One line. @chain: it opens a batch and carries the hash of the one before. */
static void put_record(const struct jv_audit *audit, struct text *out,
		       const struct jv_audit_record *record, bool chain)
{
	char hex[2 * HASH + 1];

	put(out, "{\"schema\":%d,\"seq\":%" PRIu64 ",\"ts_ms\":%" PRIu64 ",\"mono_ns\":%" PRIu64
	    ",\"event_type\":\"%s\",\"node\":", SCHEMA, record->seq, record->ts_ms,
	    record->mono_ns, jv_audit_event_name(record->event));
	put_string(out, audit->node_id);
	if (record->has_sid) {
		put_session(audit, out, record->sid);
		put(out, ",\"role\":\"%s\"", record->gateway ? "gateway" : "client");
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		put_field(out, &fields[i], record, always[record->event] & 1u << i);
	if (chain)
		put(out, ",\"prev_hash\":\"%s\"", jv_hex(audit->hash, HASH, hex));
	put(out, "}\n");
}

/* --- the writer's side --- */

/* The next record. False: none. Records that were overwritten are counted and skipped. */
static bool ring_take(struct jv_audit *audit, struct jv_audit_record *record)
{
	uint64_t words[WORDS];

	for (;;) {
		uint64_t tail = atomic_load_explicit(&audit->tail, memory_order_relaxed);
		uint64_t head = atomic_load_explicit(&audit->head, memory_order_acquire);
		uint64_t oldest = head > audit->mask ? head - (audit->mask + 1) : 0;
		struct slot *slot = &audit->ring[tail & audit->mask];
		bool ok;

		if (tail == head)
			return false;
		if (tail < oldest) {
			audit->lost += oldest - tail;
			audit->tail = oldest;
			continue;
		}
		ok = atomic_load_explicit(&slot->seq, memory_order_acquire) == tail + 1;
		for (size_t i = 0; i < WORDS; i++)
			words[i] = atomic_load_explicit(&slot->word[i], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		ok = ok && atomic_load_explicit(&slot->seq, memory_order_relaxed) == tail + 1;
		audit->tail = tail + 1;
		if (!ok) {
			audit->lost++;
			continue;
		}
		memcpy(record, words, sizeof(*record));
		return true;
	}
}

/*
 * What is lost is told in front of the first record after the gap, under the last
 * lost record's number: the gap in seq ends there.
 */
static void put_lost(struct jv_audit *audit, struct text *out,
		     const struct jv_audit_record *next, bool chain)
{
	struct jv_audit_record record = {
		.event = JV_AUDIT_EVENTS_LOST,
		.count = audit->lost - audit->told_lost,
		.seq = next->seq - 1, .ts_ms = next->ts_ms, .mono_ns = next->mono_ns,
	};

	put_record(audit, out, &record, chain);
	audit->told_lost = audit->lost;
}

/* Format up to BATCH records. Returns how many; *@len bytes are in audit->batch. */
static unsigned int gather(struct jv_audit *audit, size_t *len)
{
	struct text out = { audit->batch, audit->batch + (BATCH + 1) * LINE };
	struct jv_audit_record record;
	unsigned int n = 0;

	while (n < BATCH - 1 && ring_take(audit, &record)) {
		if (audit->lost != audit->told_lost)
			put_lost(audit, &out, &record, !n++);
		put_record(audit, &out, &record, !n++);
	}
	*len = out.at - audit->batch;
	return n;
}

/* All or nothing: half a batch would break the chain. */
static bool append(struct jv_audit *audit, size_t len)
{
	ssize_t ret = write(audit->fd, audit->batch, len);

	if (ret == (ssize_t)len) {
		audit->size += len;
		return true;
	}
	if (ret >= 0)
		errno = ENOSPC;
	jv_err("cannot write %s: %s; events wait in a ring of %" PRIu64, audit->path,
	       strerror(errno), audit->mask + 1);
	if (ret > 0 && ftruncate(audit->fd, audit->size))
		jv_err("cannot cut %s back to its last whole batch: %s", audit->path,
		       strerror(errno));
	return false;
}

static void wait_ms(int ms)
{
	poll(NULL, 0, ms);
}

/* Keep trying: the ring takes what happens meanwhile. False: we were told to stop. */
static bool store_batch(struct jv_audit *audit, size_t len, unsigned int n)
{
	while (!append(audit, len)) {
		if (audit->stop) {
			audit->lost += n;
			return false;
		}
		wait_ms(RETRY_MS);
	}
	crypto_generichash(audit->hash, HASH, (uint8_t *)audit->batch, len, NULL, 0);
	audit->written += n;
	return true;
}

static void *writer(void *arg)
{
	struct jv_audit *audit = arg;
	struct pollfd wake = { .fd = audit->event_fd, .events = POLLIN };
	unsigned int n;
	uint64_t count;
	size_t len;

	for (;;) {
		/* Read before looking: what comes after is told by another wake-up. */
		if (read(audit->event_fd, &count, sizeof(count)) < 0)
			count = 0;
		while ((n = gather(audit, &len)))
			if (!store_batch(audit, len, n))
				return NULL;
		if (audit->stop)
			return NULL;
		poll(&wake, 1, -1);
	}
}

/* --- opening: pick up the chain where the file ends --- */

static const char *find_last(const char *text, size_t len, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = len >= n ? len - n + 1 : 0; i-- > 0;)
		if (!memcmp(text + i, what, n))
			return text + i;
	return NULL;
}

static const char *line_start(const char *text, const char *at)
{
	while (at > text && at[-1] != '\n')
		at--;
	return at;
}

/* The end of the file: at most one batch, and what a crash left of another. */
static void resume(struct jv_audit *audit, const char *tail, size_t len)
{
	const char *opening, *seq;

	while (len && tail[len - 1] != '\n') {
		len--;
		audit->size--;
	}
	opening = find_last(tail, len, ",\"prev_hash\":\"");
	if (opening) {
		opening = line_start(tail, opening);
		crypto_generichash(audit->hash, HASH, (const uint8_t *)opening,
				   tail + len - opening, NULL, 0);
	}
	seq = find_last(tail, len, "\"seq\":");
	if (seq)
		audit->next_seq = strtoull(seq + strlen("\"seq\":"), NULL, 10) + 1;
}

static int open_file(struct jv_audit *audit, struct jv_error *err)
{
	size_t room = 2 * (BATCH + 1) * LINE, len;
	struct stat st;
	char *tail;
	ssize_t ret;

	audit->fd = open(audit->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (audit->fd < 0 || fstat(audit->fd, &st))
		return jv_error_set(err, errno, "cannot open the audit file %s: %s", audit->path,
				    strerror(errno));
	audit->size = st.st_size;
	if (!S_ISREG(st.st_mode))	/* a pipe or a device has no past */
		return 0;
	len = (size_t)st.st_size < room ? (size_t)st.st_size : room;
	tail = malloc(len + 1);
	if (!tail)
		return jv_error_set(err, ENOMEM, "out of memory");
	ret = pread(audit->fd, tail, len, st.st_size - len);
	if (ret == (ssize_t)len) {
		resume(audit, tail, len);
		if (audit->size != st.st_size && ftruncate(audit->fd, audit->size))
			ret = -1;
	}
	free(tail);
	return ret == (ssize_t)len ? 0 :
	       jv_error_set(err, EIO, "cannot read the audit file %s", audit->path);
}

static int make_directory(const char *path, struct jv_error *err)
{
	char dir[512];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0750) && errno != EEXIST)
		return jv_error_set(err, errno, "cannot make the directory %s: %s", dir,
				    strerror(errno));
	return 0;
}

static int prepare(struct jv_audit *audit, const struct jv_audit_options *options,
		   struct jv_error *err)
{
	uint32_t records = options->ring ? options->ring : RING;

	if (records & (records - 1))
		return jv_error_set(err, EINVAL, "ring of %u records: a power of two is needed",
				    records);
	audit->mask = records - 1;
	audit->ring = calloc(records, sizeof(*audit->ring));
	audit->batch = malloc((BATCH + 1) * LINE);
	audit->path = strdup(options->path);
	audit->node_id = strdup(options->node_id ? options->node_id : "");
	audit->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!audit->ring || !audit->batch || !audit->path || !audit->node_id ||
	    audit->event_fd < 0)
		return jv_error_set(err, ENOMEM, "out of memory for the audit ring");
	audit->pseudonyms = options->pseudonym_key;
	if (audit->pseudonyms)
		memcpy(audit->pseudonym_key, options->pseudonym_key, sizeof(audit->pseudonym_key));
	return 0;
}

struct jv_audit *jv_audit_open(const struct jv_audit_options *options, struct jv_error *err)
{
	struct jv_audit *audit = calloc(1, sizeof(*audit));

	if (!audit) {
		jv_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	audit->fd = -1;
	audit->event_fd = -1;
	audit->next_seq = 1;
	if (!prepare(audit, options, err) && !make_directory(options->path, err) &&
	    !open_file(audit, err))
		return audit;
	jv_audit_close(audit, 0);
	return NULL;
}

int jv_audit_start(struct jv_audit *audit, struct jv_error *err)
{
	int ret = pthread_create(&audit->thread, NULL, writer, audit);

	if (ret)
		return jv_error_set(err, ret, "cannot start the audit writer: %s", strerror(ret));
	pthread_setname_np(audit->thread, "jvpnd-audit");
	audit->started = true;
	return 0;
}

/* True if the writer has ended within @ms. */
static bool join(struct jv_audit *audit, uint32_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	return !pthread_timedjoin_np(audit->thread, NULL, &until);
}

void jv_audit_close(struct jv_audit *audit, uint32_t drain_ms)
{
	ssize_t ignored;

	if (!audit)
		return;
	if (audit->started) {
		audit->stop = true;
		ignored = write(audit->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
		(void)ignored;
		/* A writer stuck in the kernel keeps its memory: we are about to exit. */
		if (!join(audit, drain_ms))
			return;
	}
	if (audit->fd >= 0)
		close(audit->fd);
	if (audit->event_fd >= 0)
		close(audit->event_fd);
	free(audit->ring);
	free(audit->batch);
	free(audit->path);
	free(audit->node_id);
	sodium_memzero(audit, sizeof(*audit));
	free(audit);
}
