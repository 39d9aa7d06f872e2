/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one loop of the deciding thread, over sd-event. Everything declared here is
 * called from that thread only. The clock is CLOCK_BOOTTIME: what slept has aged.
 */
#ifndef JV_LOOP_H
#define JV_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "policy.h"			/* JV_NEVER */

struct sd_event_source;
struct jv_loop;

/* Who goes first when several are ready. */
enum jv_priority {
	JV_PRIO_LINK = -100,		/* an uplink died: nothing is more urgent */
	JV_PRIO_KERNEL = -80,		/* signals of the data plane */
	JV_PRIO_TIMER = -50,		/* deadlines of sessions */
	JV_PRIO_DATAGRAM = 0,		/* control datagrams */
	JV_PRIO_CONTROL = 50,		/* people */
	JV_PRIO_IDLE = 100,
};

uint64_t jv_now_ms(void);		/* CLOCK_BOOTTIME */
uint64_t jv_now_ns(void);

/* NULL and errno on failure. SIGTERM and SIGINT end jv_loop_run(). */
struct jv_loop *jv_loop_new(void);
void jv_loop_free(struct jv_loop *loop);

/* Run until jv_loop_quit() or a signal. Returns the exit code. */
int jv_loop_run(struct jv_loop *loop);
void jv_loop_quit(struct jv_loop *loop, int code);

/* Call @fn on SIGHUP, once the present callback has returned. */
void jv_loop_on_hangup(struct jv_loop *loop, void (*fn)(void *arg), void *arg);

/* A descriptor that is watched. Embed it, zeroed; owned by the embedder. */
struct jv_io {
	struct sd_event_source *source;
	void (*fn)(void *arg, uint32_t events);
	void *arg;
};

/* @events as in epoll. 0 or -errno. The descriptor stays the caller's. */
int jv_io_add(struct jv_loop *loop, struct jv_io *io, int fd, uint32_t events,
	      enum jv_priority priority, void (*fn)(void *arg, uint32_t events), void *arg);
void jv_io_events(struct jv_io *io, uint32_t events);
void jv_io_del(struct jv_io *io);	/* harmless on a zeroed one; safe inside its callback */

/* One deadline. Embed it, zeroed. */
struct jv_timer {
	struct sd_event_source *source;
	uint64_t at_ms;			/* JV_NEVER: not armed */
	void (*fn)(void *arg);
	void *arg;
};

/* Prepare, not armed. 0 or -errno. */
int jv_timer_add(struct jv_loop *loop, struct jv_timer *timer, enum jv_priority priority,
		 void (*fn)(void *arg), void *arg);
/* Fire once at @at_ms (past: at once), or never with JV_NEVER. Rearming is cheap. */
void jv_timer_set(struct jv_timer *timer, uint64_t at_ms);
void jv_timer_del(struct jv_timer *timer);	/* as jv_io_del() */

/* Something to be done as soon as the present callback has returned. Embed it, zeroed. */
struct jv_deferred {
	struct sd_event_source *source;
	void (*fn)(void *arg);
	void *arg;
};

int jv_deferred_add(struct jv_loop *loop, struct jv_deferred *deferred,
		    enum jv_priority priority, void (*fn)(void *arg), void *arg);
void jv_deferred_kick(struct jv_deferred *deferred);	/* runs once */
void jv_deferred_del(struct jv_deferred *deferred);

#endif /* JV_LOOP_H */
