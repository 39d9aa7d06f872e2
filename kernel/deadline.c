// SPDX-License-Identifier: GPL-2.0
/*
 * What time ends. A gateway has too many sessions for a timer each, and no packet
 * may touch one: a wheel of one-second slots visits a session about when it would
 * have been silent for too long had nothing come, and looks then at what did come.
 */
#include <linux/list.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "binding.h"
#include "deadline.h"
#include "device.h"
#include "netlink.h"
#include "session.h"

#define JVPN_WHEEL_SLOTS 128
#define JVPN_WHEEL_NS (JVPN_WHEEL_SLOTS * (u64)NSEC_PER_SEC)
#define JVPN_WHEEL_NEVER (~0ULL)

/**
 * struct jvpn_deadline - the clockwork of a device
 * @device: whose
 * @lock: for the wheel and jvpn_wheel_entry.node of its sessions; taken by
 *	  transmit, hence spin_lock_bh()
 * @visited_s: second up to which slots were visited; under @lock
 * @entries: sessions on the wheel; the tick runs while there are any; under @lock
 * @slot: by second, modulo their number; under @lock
 * @tick: visits the slots
 * @grace: ends a device without daemon
 */
struct jvpn_deadline {
	struct jvpn_device *device;
	spinlock_t lock; /* wheel */
	u64 visited_s;
	unsigned int entries;
	struct hlist_head slot[JVPN_WHEEL_SLOTS];
	struct delayed_work tick;
	struct delayed_work grace;
};

static u64 jvpn_second(u64 ns)
{
	return div_u64(ns, NSEC_PER_SEC);
}

/* Too far ahead for the wheel is no harm: the visit finds it too early. */
static void jvpn_wheel_place(struct jvpn_deadline *d,
			     struct jvpn_wheel_entry *entry, u64 due_ns)
{
	u64 due_s = jvpn_second(due_ns) + 1;

	lockdep_assert_held(&d->lock);
	if (hlist_unhashed(&entry->node) && !d->entries++) {
		d->visited_s = jvpn_second(jvpn_now());
		queue_delayed_work(system_power_efficient_wq, &d->tick, HZ);
	}
	due_s = clamp(due_s, d->visited_s + 1, d->visited_s + JVPN_WHEEL_SLOTS - 1);
	hlist_del_init(&entry->node);
	hlist_add_head(&entry->node, &d->slot[due_s % JVPN_WHEEL_SLOTS]);
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
	u64 due_ns = JVPN_WHEEL_NEVER;

	if (!binding || !jvpn_session_carries(session))
		return JVPN_WHEEL_NEVER;
	*alive_ns = max(heard_ns, binding->since_ns);
	if (busy_ns && unanswered_ns > heard_ns)
		due_ns = max(unanswered_ns, binding->since_ns) + busy_ns;
	if (idle_ns)
		due_ns = min(due_ns, *alive_ns + idle_ns);
	return due_ns;
}

/*
 * Look at a session and put it where it is due next. Return: for how long it has
 * been silent, ms, if that is to be told now, else 0.
 */
static u32 jvpn_wheel_visit(struct jvpn_deadline *d, struct jvpn_session *session,
			    u64 now)
{
	struct jvpn_wheel_entry *entry = &session->wheel;
	u64 idle_ns = jvpn_figure_ns(&session->figures.dead_idle_ms);
	u64 busy_ns = jvpn_figure_ns(&session->figures.dead_busy_ms);
	u64 alive_ns = 0, due_ns;
	bool tell;

	/*
	 * Before the look: a packet sent after it finds the flag and comes for the
	 * lock, one sent before it is seen by the look.
	 */
	WRITE_ONCE(entry->patient, true);
	smp_mb(); /* pairs with jvpn_deadline_tx() */
	due_ns = jvpn_silent_due(session, &alive_ns);
	tell = due_ns <= now && entry->told_ns < alive_ns;
	if (tell)
		entry->told_ns = now;
	if (due_ns <= now)
		due_ns = now + min_not_zero(idle_ns, busy_ns);
	/* What is sent from now on could not be due before that. */
	if (due_ns - now <= busy_ns)
		WRITE_ONCE(entry->patient, false);
	jvpn_wheel_place(d, entry, min(due_ns, now + JVPN_WHEEL_NS));
	return tell ? max(1ULL, div_u64(now - alive_ns, NSEC_PER_MSEC)) : 0;
}

/* Under RCU: a session taken off the wheel meanwhile is still there to be named. */
static void jvpn_wheel_tell(struct jvpn_session *session, u32 silent_ms)
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

static struct jvpn_session *jvpn_wheel_first(struct jvpn_deadline *d, u64 second)
{
	struct jvpn_wheel_entry *entry =
		hlist_entry_safe(d->slot[second % JVPN_WHEEL_SLOTS].first,
				 struct jvpn_wheel_entry, node);

	return entry ? container_of(entry, struct jvpn_session, wheel) : NULL;
}

static void jvpn_wheel_tick(struct work_struct *work)
{
	struct jvpn_deadline *d = container_of(to_delayed_work(work),
					       struct jvpn_deadline, tick);
	u64 now = jvpn_now();
	u64 now_s = jvpn_second(now);
	struct jvpn_session *session;
	u32 silent_ms;

	rcu_read_lock();
	spin_lock_bh(&d->lock);
	/* After a suspend once around is enough: that is every slot. */
	if (now_s - d->visited_s > JVPN_WHEEL_SLOTS)
		d->visited_s = now_s - JVPN_WHEEL_SLOTS;
	while (d->visited_s < now_s) {
		d->visited_s++;
		/* A visit never puts a session back into this very slot. */
		while ((session = jvpn_wheel_first(d, d->visited_s))) {
			silent_ms = jvpn_wheel_visit(d, session, now);
			spin_unlock_bh(&d->lock);
			if (silent_ms)
				jvpn_wheel_tell(session, silent_ms);
			spin_lock_bh(&d->lock);
		}
	}
	if (d->entries)
		queue_delayed_work(system_power_efficient_wq, &d->tick, HZ);
	spin_unlock_bh(&d->lock);
	rcu_read_unlock();
}

/**
 * jvpn_deadline_session_add() - watch a session, or look at it soon again
 * @session: a session that is not unlinked yet
 *
 * For whatever makes its deadline earlier: a new binding, a state, a figure. Does
 * nothing for a session of a client, which has probes.
 *
 * Context: process or softirq.
 */
void jvpn_deadline_session_add(struct jvpn_session *session)
{
	struct jvpn_deadline *d = session->device->deadline;

	if (session->role != JVPN_ROLE_GATEWAY)
		return;
	spin_lock_bh(&d->lock);
	if (!READ_ONCE(session->dead) &&
	    READ_ONCE(session->state) != JVPN_STATE_TERMINATED)
		jvpn_wheel_place(d, &session->wheel, 0);
	spin_unlock_bh(&d->lock);
}

/**
 * jvpn_deadline_session_del() - watch a session no more
 * @session: a session, marked dead
 *
 * Context: process or softirq.
 */
void jvpn_deadline_session_del(struct jvpn_session *session)
{
	struct jvpn_deadline *d = session->device->deadline;

	spin_lock_bh(&d->lock);
	if (!hlist_unhashed(&session->wheel.node)) {
		hlist_del_init(&session->wheel.node);
		d->entries--;
	}
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
	if (entry->patient && !hlist_unhashed(&entry->node)) {
		WRITE_ONCE(entry->patient, false);
		jvpn_wheel_place(d, entry, now +
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
	INIT_DELAYED_WORK(&d->tick, jvpn_wheel_tick);
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
	cancel_delayed_work_sync(&device->deadline->tick);
	kfree(device->deadline);
	device->deadline = NULL;
}
