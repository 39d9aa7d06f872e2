// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads. The loop thread renders the text and leaves it under the lock; the
 * writer takes the newest, so that a burst of changes is one write. Nobody is told
 * that a change is kept before it has reached the disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "apply.h"
#include "settings.h"

enum { HASH = 32, TROUBLE = 512, FILE_MAX = 4 * 1024 * 1024 };

struct waiter {
	struct waiter *next;
	uint64_t number;		/* of the text that must be written */
	void (*done)(void *arg, const char *why);
	void *arg;
};

struct jv_settings {
	struct jv_node *node;
	struct jv_config_source source;
	struct jv_config_daemon daemon, effective_daemon;
	struct jv_config_log log, effective_log;
	char *path, *draft;
	int event_fd;
	struct jv_io io;
	struct waiter *waiters;
	uint64_t taken;			/* number of the last text handed over */
	char trouble[TROUBLE];
	bool edited;			/* that is the trouble: reading it anew helps */

	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	char *text;			/* to be written, or NULL */
	uint64_t number, written;	/* of it; of the last one that was tried */
	uint8_t hash[HASH];		/* of the file as we know it; zero: there was none */
	char result[TROUBLE];		/* of that; "": good */
	bool result_edited, stop;
};

/* --- the writer's side --- */

static void hash_of(const char *text, size_t len, uint8_t hash[HASH])
{
	crypto_generichash(hash, HASH, (const uint8_t *)text, len, NULL, 0);
}

/* True if the file is there and is not what we read or wrote last. */
static bool was_edited(const struct jv_settings *s, const uint8_t known[HASH])
{
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	uint8_t hash[HASH];
	ssize_t len = -1;
	char *text;

	if (fd < 0)
		return false;
	text = malloc(FILE_MAX);
	if (text)
		len = read(fd, text, FILE_MAX);
	close(fd);
	if (len >= 0)
		hash_of(text, len, hash);
	free(text);
	return len < 0 || memcmp(hash, known, HASH);
}

static int write_draft(const struct jv_settings *s, const char *text, size_t len)
{
	int fd = open(s->draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t ret;
	int error;

	if (fd < 0)
		return errno;
	ret = write(fd, text, len);
	error = ret < 0 ? errno : (size_t)ret < len ? ENOSPC : 0;
	if (!error && fsync(fd))
		error = errno;
	close(fd);
	return error;
}

/* The name, too, must be on the disk. */
static int sync_directory(const char *path)
{
	char *dir = strdup(path);
	int fd, ret = 0;

	if (!dir)
		return ENOMEM;
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		ret = errno;
	if (fd >= 0)
		close(fd);
	free(dir);
	return ret;
}

/* The old file or the new one, whatever happens on the way. */
static int replace_file(const struct jv_settings *s, const char *text, size_t len)
{
	int error = write_draft(s, text, len);

	if (!error && rename(s->draft, s->path))
		error = errno;
	if (error)
		unlink(s->draft);
	return error ? error : sync_directory(s->path);
}

/* Called with the lock held, lets go of it meanwhile. */
static void write_text(struct jv_settings *s)
{
	char *text = s->text;
	uint64_t number = s->number;
	size_t len = strlen(text);
	uint8_t known[HASH];
	bool edited;
	int error = 0;

	s->text = NULL;
	memcpy(known, s->hash, HASH);
	pthread_mutex_unlock(&s->lock);
	edited = was_edited(s, known);
	if (!edited)
		error = replace_file(s, text, len);
	pthread_mutex_lock(&s->lock);
	s->written = number;
	s->result_edited = edited;
	*s->result = '\0';
	if (edited)
		snprintf(s->result, TROUBLE, "not saved: %s was edited meanwhile, have it read "
			 "first: jvpn-ip conf apply", s->path);
	else if (error)
		snprintf(s->result, TROUBLE, "not saved: %s cannot be written: %s", s->path,
			 strerror(error));
	else
		hash_of(text, len, s->hash);
	free(text);
}

static void *writer(void *arg)
{
	struct jv_settings *s = arg;
	ssize_t ignored;

	pthread_mutex_lock(&s->lock);
	while (s->text || !s->stop) {
		if (!s->text) {
			pthread_cond_wait(&s->wake, &s->lock);
			continue;
		}
		write_text(s);
		ignored = write(s->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
		(void)ignored;
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- the loop thread's side --- */

static struct waiter *next_done(struct jv_settings *s, uint64_t written)
{
	struct waiter *w = s->waiters;

	if (!w || w->number > written)
		return NULL;
	s->waiters = w->next;
	return w;
}

static void on_written(void *arg, uint32_t events)
{
	struct jv_settings *s = arg;
	char trouble[TROUBLE];
	uint64_t count, written;
	struct waiter *w;

	(void)events;
	if (read(s->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	written = s->written;
	strcpy(trouble, s->result);
	s->edited = s->result_edited;
	pthread_mutex_unlock(&s->lock);
	if (strcmp(trouble, s->trouble))
		jv_warn("what jvpn-ip was told is %s", *trouble ? trouble : "saved again");
	strcpy(s->trouble, trouble);
	while ((w = next_done(s, written))) {
		if (w->done)
			w->done(w->arg, *trouble ? trouble : NULL);
		free(w);
	}
}

static char *told_text(const struct jv_settings *s)
{
	struct jv_config *config = jv_config_of_node(s->node);
	char *text = NULL;
	size_t size;
	FILE *out = config ? open_memstream(&text, &size) : NULL;

	if (out) {
		jv_config_keep_told(config);
		fputs("# What jvpn-ip was told; jvpnd writes it anew with every change.\n"
		      "# Edit it as any other, then: jvpn-ip conf apply\n", out);
		jv_config_write(config, out);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	jv_config_free(config);
	return text;
}

void jv_settings_save(struct jv_settings *s, void (*done)(void *arg, const char *why), void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w)), **at;
	char *text = told_text(s);

	if (!w || !text) {
		free(w);
		free(text);
		done(arg, "not saved: out of memory");
		return;
	}
	*w = (struct waiter){ .number = ++s->taken, .done = done, .arg = arg };
	for (at = &s->waiters; *at; at = &(*at)->next)
		;
	*at = w;
	pthread_mutex_lock(&s->lock);
	free(s->text);
	s->text = text;
	s->number = w->number;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void jv_settings_forget(struct jv_settings *s, const void *arg)
{
	for (struct waiter *w = s->waiters; w; w = w->next)
		if (w->arg == arg)
			w->done = NULL;
}

const char *jv_settings_trouble(const struct jv_settings *s)
{
	return *s->trouble ? s->trouble : NULL;
}

const char *jv_settings_path(const struct jv_settings *s)
{
	return s->path;
}

/* --- reading anew --- */

static int complain(FILE *complaints, const char *text)
{
	fprintf(complaints, "%s\n", text);
	return -1;
}

static int apply(struct jv_settings *s, const struct jv_config *config, FILE *complaints)
{
	const struct jv_config now = { .daemon = s->daemon, .log = s->log };
	const char *what = jv_config_differs(&now, config);
	struct jv_error err;

	if (what) {
		fprintf(complaints, "%s cannot change while jvpnd runs: restart it\n", what);
		return -1;
	}
	return jv_apply_whole(s->node, config, &err) ? complain(complaints, err.text) : 0;
}

static void adopt(struct jv_settings *s, const struct jv_config *config)
{
	if (config->log.level != s->log.level) {
		s->effective_log.level = config->log.level ? config->log.level : JV_LOG_INFO;
		jv_log_set_level(s->effective_log.level);
	}
	s->log.level = config->log.level;
	*s->trouble = '\0';
	pthread_mutex_lock(&s->lock);
	memcpy(s->hash, config->told_hash, HASH);
	pthread_mutex_unlock(&s->lock);
}

/* What is told but not in the file would be lost by reading it. */
int jv_settings_reload(struct jv_settings *s, FILE *complaints)
{
	struct jv_config *config;
	int ret;

	if (s->waiters)
		return complain(complaints, "what jvpn-ip was told is still being saved: try again");
	if (*s->trouble && !s->edited) {
		fprintf(complaints, "what jvpn-ip was told is %s\n", s->trouble);
		return -1;
	}
	config = jv_config_load(&s->source, complaints);
	if (!config)
		return -1;
	ret = apply(s, config, complaints);
	if (!ret)
		adopt(s, config);
	jv_config_free(config);
	return ret;
}

char *jv_settings_text(const struct jv_settings *s)
{
	struct jv_config *config = jv_config_of_node(s->node);
	char *text = NULL;
	size_t size;
	FILE *out = config ? open_memstream(&text, &size) : NULL;

	if (out) {
		config->daemon = s->effective_daemon;
		config->log = s->effective_log;
		jv_config_write(config, out);
		if (fclose(out)) {
			free(text);
			text = NULL;
		}
	}
	jv_config_free(config);
	return text;
}

/* --- life --- */

static int prepare(struct jv_settings *s, struct jv_loop *loop, struct jv_error *err)
{
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (asprintf(&s->path, "%s/" JV_TOLD, s->effective_daemon.state_dir) < 0)
		s->path = NULL;
	if (!s->path || asprintf(&s->draft, "%s.new", s->path) < 0)
		s->draft = NULL;
	if (s->event_fd < 0 || !s->draft ||
	    jv_io_add(loop, &s->io, s->event_fd, EPOLLIN, JV_PRIO_CONTROL, on_written, s))
		return jv_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	return 0;
}

int jv_settings_start(struct jv_settings *s, struct jv_error *err)
{
	int ret = pthread_create(&s->thread, NULL, writer, s);

	if (ret)
		return jv_error_set(err, ret, "cannot start the writer of settings: %s",
				    strerror(ret));
	pthread_setname_np(s->thread, "jvpnd-settings");
	s->started = true;
	return 0;
}

struct jv_settings *jv_settings_new(struct jv_loop *loop, struct jv_node *node,
				    const struct jv_config_source *source,
				    const struct jv_config *config,
				    const struct jv_config *effective, struct jv_error *err)
{
	struct jv_settings *s = calloc(1, sizeof(*s));

	if (!s) {
		jv_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	s->node = node;
	s->source = *source;
	s->daemon = config->daemon;
	s->log = config->log;
	s->effective_daemon = effective->daemon;
	s->effective_log = effective->log;
	memcpy(s->hash, config->told_hash, HASH);
	if (!prepare(s, loop, err))
		return s;
	jv_settings_free(s, 0);
	return NULL;
}

/* True if the writer has ended within @ms. */
static bool join(struct jv_settings *s, uint32_t ms)
{
	struct timespec until;

	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000 + 1;
	return !pthread_timedjoin_np(s->thread, NULL, &until);
}

void jv_settings_free(struct jv_settings *s, uint32_t drain_ms)
{
	struct waiter *w;

	if (!s)
		return;
	jv_io_del(&s->io);
	/* A writer stuck in the kernel keeps its memory: we are about to exit. */
	if (s->started && !join(s, drain_ms))
		return;
	while ((w = s->waiters)) {
		s->waiters = w->next;
		free(w);
	}
	if (s->event_fd >= 0)
		close(s->event_fd);
	free(s->text);
	free(s->path);
	free(s->draft);
	free(s);
}
