// SPDX-License-Identifier: GPL-2.0
/*
 * What time ends. There are too many sessions for a timer each, and no packet may
 * touch one: a wheel of one-second slots visits a session about when something of it
 * would be over had nothing come, and looks then at what did come. Nothing happens in
 * between: one timer of the device waits for the next slot that is not empty.
 *
 * A visit holds jvpn_device.lock, so it may end what it finds overdue, with or without
 * a daemon.
 */
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "binding.h"
#include "deadline.h"
#include "device.h"
#include "epoch.h"
#include "netlink.h"
#include "session.h"

#define JVPN_WHEEL_SLOTS 128
#define JVPN_WHEEL_NS (JVPN_WHEEL_SLOTS * (u64)NSEC_PER_SEC)

/**
 * struct jvpn_deadline - the clockwork of a device
 * @device: whose
 * @lock: for the wheel and jvpn_wheel_entry of its sessions; taken by transmit,
 *	  hence spin_lock_bh(). Inside jvpn_session.lock.
 * @visited_s: second up to which slots were visited; under @lock
 * @armed_s: second that @timer waits for, JVPN_NEVER if it is not armed; under @lock
 * @slot: by second, modulo their number; under @lock
 * @timer: starts @tick; of CLOCK_BOOTTIME, so it is due at once after a suspend
 * @tick: visits the slots
 * @grace: ends a device without daemon
 */
struct jvpn_deadline {
	struct jvpn_device *device;
	spinlock_t lock; /* wheel */
	u64 visited_s;
	u64 armed_s;
	struct hlist_head slot[JVPN_WHEEL_SLOTS];
	struct hrtimer timer;
	struct work_struct tick;
	struct delayed_work grace;
};

static u64 jvpn_second(u64 ns)
{
	return div_u64(ns, NSEC_PER_SEC);
}

static void jvpn_wheel_arm(struct jvpn_deadline *d, u64 due_s)
{
	lockdep_assert_held(&d->lock);
	if (due_s >= d->armed_s)
		return;
	d->armed_s = due_s;
	hrtimer_start(&d->timer, ns_to_ktime(due_s * NSEC_PER_SEC), HRTIMER_MODE_ABS_SOFT);
}

static enum hrtimer_restart jvpn_wheel_timer(struct hrtimer *timer)
{
	struct jvpn_deadline *d = container_of(timer, struct jvpn_deadline, timer);

	queue_work(system_power_efficient_wq, &d->tick);
	return HRTIMER_NORESTART;
}

/*
 * Visit a session at @due_ns, or earlier if that was planned. Too far ahead for the
 * wheel, or for a wheel that stood still, is no harm: the visit finds it too early.
 */
static void jvpn_wheel_place(struct jvpn_deadline *d, struct jvpn_session *session,
			     u64 due_ns)
{
	struct jvpn_wheel_entry *entry = &session->wheel;
	u64 due_s = jvpn_second(due_ns) + 1;

	lockdep_assert_held(&d->lock);
	if (READ_ONCE(session->dead) ||
	    READ_ONCE(session->state) == JVPN_STATE_TERMINATED)
		return;
	due_s = clamp(due_s, d->visited_s + 1, d->visited_s + JVPN_WHEEL_SLOTS - 1);
	if (!hlist_unhashed(&entry->node)) {
		if (entry->due_s <= due_s)
			return;
		hlist_del_init(&entry->node);
	}
	entry->due_s = due_s;
	hlist_add_head(&entry->node, &d->slot[due_s % JVPN_WHEEL_SLOTS]);
	jvpn_wheel_arm(d, due_s);
}

static u64 jvpn_figure_ns(const u32 *ms)
{
	return READ_ONCE(*ms) * (u64)NSEC_PER_MSEC;
}

/*
 * When the session counts as silent if nothing comes any more, and its last sign of
 * life. A new transport starts afresh. Under RCU.
 */
static u64 jvpn_silent_due(const struct jvpn_session *session, u64 *alive_ns)
{
	const struct jvpn_binding *binding = rcu_dereference(session->binding);
	u64 idle_ns = jvpn_figure_ns(&session->figures.dead_idle_ms);
	u64 busy_ns = jvpn_figure_ns(&session->figures.dead_busy_ms);
	u64 unanswered_ns = READ_ONCE(session->wheel.unanswered_ns);
	u64 heard_ns = READ_ONCE(session->last_rx_ns);
	u64 due_ns = JVPN_NEVER;

	/* A client has probes. */
	if (session->role != JVPN_ROLE_GATEWAY || !binding ||
	    !jvpn_session_carries(session))
		return JVPN_NEVER;
	*alive_ns = max(heard_ns, binding->since_ns);
	if (busy_ns && unanswered_ns > heard_ns)
		due_ns = max(unanswered_ns, binding->since_ns) + busy_ns;
	if (idle_ns)
		due_ns = min(due_ns, *alive_ns + idle_ns);
	return due_ns;
}

/*
 * Look at the silence of a session and place it for the next visit. Return: for how
 * long it has been silent, ms, if that is to be told now, else 0.
 */
static u32 jvpn_silence_look(struct jvpn_deadline *d, struct jvpn_session *session,
			     u64 now, u64 due_ns)
{
	struct jvpn_wheel_entry *entry = &session->wheel;
	u64 idle_ns = jvpn_figure_ns(&session->figures.dead_idle_ms);
	u64 busy_ns = jvpn_figure_ns(&session->figures.dead_busy_ms);
	u64 alive_ns = 0, silent_ns;
	bool tell;

	/*
	 * Before the look: a packet sent after it finds the flag and comes for the
	 * lock, one sent before it is seen by the look.
	 */
	WRITE_ONCE(entry->patient, true);
	smp_mb(); /* pairs with jvpn_deadline_tx() */
	silent_ns = jvpn_silent_due(session, &alive_ns);
	tell = silent_ns <= now && entry->told_ns < alive_ns;
	if (tell)
		entry->told_ns = now;
	if (silent_ns <= now)
		silent_ns = now + min_not_zero(idle_ns, busy_ns);
	due_ns = min(due_ns, silent_ns);
	/* What is sent from now on could not be due before that. */
	if (due_ns - now <= busy_ns)
		WRITE_ONCE(entry->patient, false);
	jvpn_wheel_place(d, session, min(due_ns, now + JVPN_WHEEL_NS));
	return tell ? max(1ULL, div_u64(now - alive_ns, NSEC_PER_MSEC)) : 0;
}

static void jvpn_silence_tell(struct jvpn_session *session, u32 silent_ms)
{
	const struct jvpn_binding *binding = rcu_dereference(session->binding);
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_SILENT,
		.device = session->device,
		.session = session,
		.path = binding ? binding->path : -1,
		.remote = binding ? &binding->remote : NULL,
		.silent_ms = silent_ms,
	};

	jvpn_netlink_signal(&signal);
}

/* Off the wheel, until the visit or somebody meanwhile places it again. */
static struct jvpn_session *jvpn_wheel_take(struct jvpn_deadline *d, u64 second)
{
	struct jvpn_wheel_entry *entry =
		hlist_entry_safe(d->slot[second % JVPN_WHEEL_SLOTS].first,
				 struct jvpn_wheel_entry, node);

	if (!entry)
		return NULL;
	hlist_del_init(&entry->node);
	return container_of(entry, struct jvpn_session, wheel);
}

static void jvpn_wheel_visit(struct jvpn_deadline *d, struct jvpn_session *session,
			     u64 now)
{
	u64 due_ns = jvpn_session_look(session, now);
	u32 silent_ms;

	due_ns = min(due_ns, jvpn_epoch_look(session, now));
	rcu_read_lock();
	spin_lock_bh(&d->lock);
	silent_ms = jvpn_silence_look(d, session, now, due_ns);
	spin_unlock_bh(&d->lock);
	if (silent_ms)
		jvpn_silence_tell(session, silent_ms);
	rcu_read_unlock();
}

static void jvpn_wheel_rearm(struct jvpn_deadline *d)
{
	unsigned int ahead;

	d->armed_s = JVPN_NEVER;
	for (ahead = 1; ahead < JVPN_WHEEL_SLOTS; ahead++) {
		if (hlist_empty(&d->slot[(d->visited_s + ahead) % JVPN_WHEEL_SLOTS]))
			continue;
		jvpn_wheel_arm(d, d->visited_s + ahead);
		return;
	}
}

static void jvpn_wheel_tick(struct work_struct *work)
{
	struct jvpn_deadline *d = container_of(work, struct jvpn_deadline, tick);
	struct jvpn_session *session;
	u64 now, now_s;

	mutex_lock(&d->device->lock);
	now = jvpn_now();
	now_s = jvpn_second(now);
	spin_lock_bh(&d->lock);
	/* After a suspend once around is enough: that is every slot. */
	if (now_s > d->visited_s + JVPN_WHEEL_SLOTS)
		d->visited_s = now_s - JVPN_WHEEL_SLOTS;
	while (d->visited_s < now_s) {
		d->visited_s++;
		/* A visit never puts a session back into this very slot. */
		while ((session = jvpn_wheel_take(d, d->visited_s))) {
			spin_unlock_bh(&d->lock);
			jvpn_wheel_visit(d, session, now);
			spin_lock_bh(&d->lock);
		}
	}
	jvpn_wheel_rearm(d);
	spin_unlock_bh(&d->lock);
	mutex_unlock(&d->device->lock);
}

/**
 * jvpn_deadline_session_add() - watch a session, or look at it soon again
 * @session: a session that is not unlinked yet
 *
 * For whatever makes a deadline of it earlier: a new binding, a state, a figure,
 * keys. Does nothing for one that has ended.
 *
 * Context: process or softirq, also under jvpn_session.lock.
 */
void jvpn_deadline_session_add(struct jvpn_session *session)
{
	struct jvpn_deadline *d = session->device->deadline;

	spin_lock_bh(&d->lock);
	jvpn_wheel_place(d, session, jvpn_now());
	spin_unlock_bh(&d->lock);
}

/**
 * jvpn_deadline_session_del() - watch a session no more
 * @session: a session, marked dead or TERMINATED
 *
 * Context: process or softirq.
 */
void jvpn_deadline_session_del(struct jvpn_session *session)
{
	struct jvpn_deadline *d = session->device->deadline;

	spin_lock_bh(&d->lock);
	hlist_del_init(&session->wheel.node);
	spin_unlock_bh(&d->lock);
}

/**
 * jvpn_deadline_tx() - an inner packet is sent to the peer
 * @session: a session without probes
 * @now: the time
 *
 * Two loads for most packets; a store for the first after one that came in.
 *
 * Context: softirq, RCU read side.
 */
void jvpn_deadline_tx(struct jvpn_session *session, u64 now)
{
	struct jvpn_wheel_entry *entry = &session->wheel;
	struct jvpn_deadline *d = session->device->deadline;

	if (READ_ONCE(entry->unanswered_ns) <= READ_ONCE(session->last_rx_ns)) {
		WRITE_ONCE(entry->unanswered_ns, now);
		smp_mb(); /* pairs with jvpn_wheel_visit() */
	}
	if (likely(!READ_ONCE(entry->patient)))
		return;
	spin_lock_bh(&d->lock);
	if (entry->patient) {
		WRITE_ONCE(entry->patient, false);
		jvpn_wheel_place(d, session, now +
				 jvpn_figure_ns(&session->figures.dead_busy_ms));
	}
	spin_unlock_bh(&d->lock);
}

static void jvpn_grace_over(struct work_struct *work)
{
	struct jvpn_deadline *d = container_of(to_delayed_work(work),
					       struct jvpn_deadline, grace);

	jvpn_device_abandon(d->device);
}

/**
 * jvpn_deadline_daemon_gone() - the daemon's netlink socket was closed
 * @device: the device
 *
 * Context: any.
 */
void jvpn_deadline_daemon_gone(struct jvpn_device *device)
{
	mod_delayed_work(system_wq, &device->deadline->grace,
			 msecs_to_jiffies(READ_ONCE(device->daemon_grace_ms)));
}

/**
 * jvpn_deadline_daemon_here() - a daemon has registered
 * @device: the device; device->owner names the daemon already
 *
 * Does not wait for work that has begun: that looks at the owner once more, under
 * device->lock.
 *
 * Context: any.
 */
void jvpn_deadline_daemon_here(struct jvpn_device *device)
{
	cancel_delayed_work(&device->deadline->grace);
}

/**
 * jvpn_deadline_init() - give a device its clockwork
 * @device: a new device
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int jvpn_deadline_init(struct jvpn_device *device)
{
	struct jvpn_deadline *d = kzalloc(sizeof(*d), GFP_KERNEL);

	if (!d)
		return -ENOMEM;
	d->device = device;
	spin_lock_init(&d->lock);
	d->armed_s = JVPN_NEVER;
	hrtimer_init(&d->timer, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_SOFT);
	d->timer.function = jvpn_wheel_timer;
	INIT_WORK(&d->tick, jvpn_wheel_tick);
	INIT_DELAYED_WORK(&d->grace, jvpn_grace_over);
	device->deadline = d;
	return 0;
}

/**
 * jvpn_deadline_exit() - stop the clockwork of a device
 * @device: a device without sessions, that has seen its last daemon
 *
 * Context: process, device->lock not held: the grace work takes it.
 */
void jvpn_deadline_exit(struct jvpn_device *device)
{
	if (!device->deadline)
		return;
	cancel_delayed_work_sync(&device->deadline->grace);
	/* Without sessions the tick does not arm the timer again. */
	hrtimer_cancel(&device->deadline->timer);
	cancel_work_sync(&device->deadline->tick);
	kfree(device->deadline);
	device->deadline = NULL;
}
