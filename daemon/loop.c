// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <systemd/sd-event.h>
#include <time.h>

#include "loop.h"

struct jv_loop {
	sd_event *event;
	void (*hangup)(void *arg);	/* NULL: not wanted */
	void *hangup_arg;
};

uint64_t jv_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

uint64_t jv_now_ms(void)
{
	return jv_now_ns() / 1000000;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	(void)source;
	(void)si;
	jv_loop_quit(arg, 0);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	struct jv_loop *loop = arg;

	(void)source;
	(void)si;
	if (loop->hangup)
		loop->hangup(loop->hangup_arg);
	return 0;
}

struct jv_loop *jv_loop_new(void)
{
	struct jv_loop *loop = calloc(1, sizeof(*loop));
	sigset_t mask;
	int ret;

	if (!loop)
		return NULL;
	/* sd-event wants them blocked; threads started later inherit that. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = sd_event_new(&loop->event);
	if (ret >= 0)
		ret = sd_event_add_signal(loop->event, NULL, SIGTERM, on_signal, loop);
	if (ret >= 0)
		ret = sd_event_add_signal(loop->event, NULL, SIGINT, on_signal, loop);
	if (ret >= 0)
		ret = sd_event_add_signal(loop->event, NULL, SIGHUP, on_hangup, loop);
	if (ret >= 0)
		return loop;
	jv_loop_free(loop);
	errno = -ret;
	return NULL;
}

void jv_loop_free(struct jv_loop *loop)
{
	if (!loop)
		return;
	sd_event_unref(loop->event);
	free(loop);
}

int jv_loop_run(struct jv_loop *loop)
{
	int ret = sd_event_loop(loop->event);

	return ret < 0 ? 1 : ret;
}

void jv_loop_quit(struct jv_loop *loop, int code)
{
	sd_event_exit(loop->event, code);
}

void jv_loop_on_hangup(struct jv_loop *loop, void (*fn)(void *arg), void *arg)
{
	loop->hangup = fn;
	loop->hangup_arg = arg;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct jv_io *io = arg;

	(void)source;
	(void)fd;
	io->fn(io->arg, events);
	return 0;
}

int jv_io_add(struct jv_loop *loop, struct jv_io *io, int fd, uint32_t events,
	      enum jv_priority priority, void (*fn)(void *arg, uint32_t events), void *arg)
{
	int ret = sd_event_add_io(loop->event, &io->source, fd, events, on_io, io);

	if (ret < 0)
		return ret;
	io->fn = fn;
	io->arg = arg;
	return sd_event_source_set_priority(io->source, priority);
}

void jv_io_events(struct jv_io *io, uint32_t events)
{
	sd_event_source_set_io_events(io->source, events);
}

void jv_io_del(struct jv_io *io)
{
	io->source = sd_event_source_disable_unref(io->source);
}

static int on_time(sd_event_source *source, uint64_t usec, void *arg)
{
	struct jv_timer *timer = arg;

	(void)source;
	(void)usec;
	timer->at_ms = JV_NEVER;
	timer->fn(timer->arg);
	return 0;
}

int jv_timer_add(struct jv_loop *loop, struct jv_timer *timer, enum jv_priority priority,
		 void (*fn)(void *arg), void *arg)
{
	/* An accuracy of 0 would mean sd-event's 250 ms. */
	int ret = sd_event_add_time(loop->event, &timer->source, CLOCK_BOOTTIME, 0, 1,
				    on_time, timer);

	if (ret < 0)
		return ret;
	timer->fn = fn;
	timer->arg = arg;
	timer->at_ms = JV_NEVER;
	sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
	return sd_event_source_set_priority(timer->source, priority);
}

void jv_timer_set(struct jv_timer *timer, uint64_t at_ms)
{
	if (at_ms == timer->at_ms)
		return;
	timer->at_ms = at_ms;
	if (at_ms == JV_NEVER) {
		sd_event_source_set_enabled(timer->source, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(timer->source, at_ms > UINT64_MAX / 1000 - 1 ? UINT64_MAX - 1
									     : at_ms * 1000);
	sd_event_source_set_enabled(timer->source, SD_EVENT_ONESHOT);
}

void jv_timer_del(struct jv_timer *timer)
{
	timer->source = sd_event_source_disable_unref(timer->source);
	timer->at_ms = JV_NEVER;
}

static int on_deferred(sd_event_source *source, void *arg)
{
	struct jv_deferred *deferred = arg;

	(void)source;
	deferred->fn(deferred->arg);
	return 0;
}

int jv_deferred_add(struct jv_loop *loop, struct jv_deferred *deferred,
		    enum jv_priority priority, void (*fn)(void *arg), void *arg)
{
	int ret = sd_event_add_defer(loop->event, &deferred->source, on_deferred, deferred);

	if (ret < 0)
		return ret;
	deferred->fn = fn;
	deferred->arg = arg;
	sd_event_source_set_enabled(deferred->source, SD_EVENT_OFF);
	return sd_event_source_set_priority(deferred->source, priority);
}

void jv_deferred_kick(struct jv_deferred *deferred)
{
	sd_event_source_set_enabled(deferred->source, SD_EVENT_ONESHOT);
}

void jv_deferred_del(struct jv_deferred *deferred)
{
	deferred->source = sd_event_source_disable_unref(deferred->source);
}
