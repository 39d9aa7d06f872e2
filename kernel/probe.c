// SPDX-License-Identifier: GPL-2.0
/*
 * Control frames inside DATA, and the liveness of a client's paths.
 *
 * Only sessions of a client own what is declared here: one timer, armed only while
 * something is due, and a slot for every path id (about 4 KiB). The rules are in
 * liveness.h; this file brings time and packets to them.
 *
 * Receive stores times without a lock. All else is under jvpn_liveness.lock, which
 * is never held while a frame or a signal is sent: what was decided is copied out
 * and acted on afterwards. jvpn_session.lock is taken before it or not at all.
 */
#include <linux/hrtimer.h>
#include <linux/random.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <net/netlink.h>

#include "binding.h"
#include "control.h"
#include "deadline.h"
#include "device.h"
#include "epoch.h"
#include "frame.h"
#include "liveness.h"
#include "netlink.h"
#include "path.h"
#include "probe.h"
#include "session.h"
#include "stats.h"
#include "xmit.h"

/* Probes are this long until path MTU is probed for as well. */
#define JVPN_PROBE_SIZE 64

/* Data sent so recently asks for the full pace. */
#define JVPN_BUSY_NS ((u64)NSEC_PER_SEC)
/*
 * Data that came in and was not answered by any is acknowledged so late by a
 * keepalive; else a gateway that only sends would take its client for dead.
 */
#define JVPN_OWED_NS ((u64)NSEC_PER_SEC)
/* A cookie that a standby probe confirms is told again, one of every fast probe is not. */
#define JVPN_COOKIE_TELL_NS (10 * (u64)NSEC_PER_SEC)
/* A version that the daemon has not adopted is told again so late. */
#define JVPN_TELL_NS ((u64)NSEC_PER_SEC)

#define JVPN_NO_PATH -1

/**
 * struct jvpn_candidate - a path of a client session
 * @remote: where its probes go
 * @used: the slot means something
 * @listed: the daemon asked for it; else it is here because it is bound
 * @eagerness: enum jvpn_eagerness
 * @number: differs for every use of a slot, so that a late answer to an earlier
 *	    use is no sample of this one
 * @eager_ns: since when @eagerness
 * @track: liveness
 * @loss: loss
 * @probes: sent
 * @acks: answers to them
 * @cookie_ns: when @cookie came, 0: never
 * @cookie: the last one
 */
struct jvpn_candidate {
	struct jvpn_endpoint remote;
	bool used;
	bool listed;
	u8 eagerness;
	u32 number;
	u64 eager_ns;
	struct jvpn_track track;
	struct jvpn_loss loss;
	u64 probes, acks;
	u64 cookie_ns;
	u8 cookie[JVPN_COOKIE_LEN];
};

/**
 * struct jvpn_liveness - what a client session knows of its paths
 * @session: whose
 * @lock: for what follows
 * @timer: for @armed_ns
 * @armed_ns: when the next look is due, JVPN_NEVER if the timer is not armed
 * @stopped: the timer may not be armed again
 * @busy: data is sent; read by transmit without the lock, so that it need not
 *	  take it. A packet that races with the end of this may not be noticed;
 *	  the next one is.
 * @busy_ns: since when
 * @sent_ns: last frame sent to the binding
 * @owed_ns: data came in then and nothing was sent since, 0: not so; set by
 *	     receive without the lock
 * @told_term: last version told to the daemon
 * @told_bver: see @told_term
 * @told_ns: when
 * @active: path of the transmit pointer, or JVPN_NO_PATH
 * @followed_ns: jvpn_binding.since_ns of the pointer that was seen last
 * @numbers: last jvpn_candidate.number
 * @key: makes nonces, so that an answer proves what it says without a table of
 *	 questions
 * @candidate: by path id
 */
struct jvpn_liveness {
	struct jvpn_session *session;
	spinlock_t lock; /* all but the times that receive stores */
	struct hrtimer timer;
	u64 armed_ns;
	bool stopped;
	bool busy;
	u64 busy_ns;
	u64 sent_ns;
	u64 owed_ns;
	u64 told_term, told_bver, told_ns;
	int active;
	u64 followed_ns;
	u32 numbers;
	siphash_key_t key;
	struct jvpn_candidate candidate[JVPN_PATH_MAX];
};

/**
 * struct jvpn_decision - what a look at a path led to
 * @found: JVPN_FOUND_* bits
 * @due_ns: when to look again
 * @probe: a probe is to be sent
 * @flags: of it
 * @time_us: of it
 * @nonce: of it
 * @remote: of the path
 * @srtt_us: of the path
 * @silent_ms: how long nothing was heard of it
 */
struct jvpn_decision {
	unsigned int found;
	u64 due_ns;
	bool probe;
	u8 flags;
	u32 time_us;
	__le64 nonce;
	struct jvpn_endpoint remote;
	u32 srtt_us;
	u32 silent_ms;
};

static u32 jvpn_us(u64 ns)
{
	return lower_32_bits(div_u64(ns, NSEC_PER_USEC));
}

/* A figure that was never set must not mean "without pause". */
static void jvpn_pace(const struct jvpn_session *session, struct jvpn_pace *pace)
{
	const struct jvpn_figures *f = &session->figures;

	pace->interval_ns = (READ_ONCE(f->probe_interval_ms) ?: 40) *
			    (u64)NSEC_PER_MSEC;
	pace->standby_ns = (READ_ONCE(f->standby_interval_ms) ?: 20000) *
			   (u64)NSEC_PER_MSEC;
	pace->rto_min_ns = (READ_ONCE(f->probe_rto_min_ms) ?: 20) *
			   (u64)NSEC_PER_MSEC;
	pace->misses = READ_ONCE(f->probe_misses) ?: 2;
}

static __le64 jvpn_nonce(const struct jvpn_liveness *l, int id, u32 time_us)
{
	return cpu_to_le64(siphash_3u32(l->candidate[id].number, id, time_us,
					&l->key));
}

/* Look at the paths no later than at @at_ns. */
static void jvpn_liveness_wake_locked(struct jvpn_liveness *l, u64 at_ns)
{
	lockdep_assert_held(&l->lock);
	if (l->stopped || at_ns >= l->armed_ns)
		return;
	l->armed_ns = at_ns;
	hrtimer_start(&l->timer, ns_to_ktime(at_ns), HRTIMER_MODE_ABS_SOFT);
}

static void jvpn_liveness_wake(struct jvpn_liveness *l, u64 at_ns)
{
	spin_lock_bh(&l->lock);
	jvpn_liveness_wake_locked(l, at_ns);
	spin_unlock_bh(&l->lock);
}

static void jvpn_candidate_start(struct jvpn_liveness *l, int id,
				 const struct jvpn_endpoint *remote, bool listed)
{
	struct jvpn_candidate *c = &l->candidate[id];

	memset(c, 0, sizeof(*c));
	c->remote = *remote;
	c->listed = listed;
	c->number = ++l->numbers;
	WRITE_ONCE(c->used, true);
}

/* The transmit pointer's path is watched whether or not it was listed. */
static void jvpn_liveness_follow(struct jvpn_liveness *l,
				 const struct jvpn_binding *binding)
{
	int id = binding ? binding->path : JVPN_NO_PATH;
	struct jvpn_candidate *c;

	lockdep_assert_held(&l->lock);
	if (l->active != id && l->active != JVPN_NO_PATH &&
	    !l->candidate[l->active].listed)
		WRITE_ONCE(l->candidate[l->active].used, false);
	l->active = id;
	if (!binding)
		return;
	c = &l->candidate[id];
	if (!c->used || !jvpn_endpoint_equal(&c->remote, &binding->remote))
		jvpn_candidate_start(l, id, &binding->remote, c->used && c->listed);
	if (l->followed_ns != binding->since_ns)
		jvpn_track_acquit(&c->track, jvpn_now());
	l->followed_ns = binding->since_ns;
}

static void jvpn_liveness_settle(struct jvpn_liveness *l, u64 now)
{
	u64 sent_ns = READ_ONCE(l->session->last_tx_ns);

	if (l->busy && now > max(sent_ns, l->busy_ns) + JVPN_BUSY_NS)
		WRITE_ONCE(l->busy, false);
}

/* The daemon will need another path, or a fresh cookie: all are probed. */
static bool jvpn_liveness_hunts(const struct jvpn_liveness *l)
{
	u8 state = READ_ONCE(l->session->state);
	u8 active;

	if (state == JVPN_STATE_VOLATILE || state == JVPN_STATE_RECOVERING)
		return true;
	if (l->active == JVPN_NO_PATH)
		return false;
	active = l->candidate[l->active].track.state;
	return active == JVPN_TRACK_SUSPECT ||
	       (active == JVPN_TRACK_DEAD && l->busy);
}

static void jvpn_candidate_choose_eagerness(struct jvpn_liveness *l, int id,
					    const struct jvpn_pace *pace, u64 now)
{
	struct jvpn_candidate *c = &l->candidate[id];
	u8 eagerness;

	if (id == l->active)
		eagerness = l->busy ? JVPN_PROBE_FAST : JVPN_PROBE_NOT;
	else
		eagerness = jvpn_liveness_hunts(l) ? JVPN_PROBE_FAST :
						     JVPN_PROBE_STANDBY;
	if (c->eagerness == eagerness)
		return;
	c->eagerness = eagerness;
	/* Data may yet be answered in time; a hunt begins at once. */
	c->eager_ns = id == l->active ? now : now - pace->interval_ns;
}

static void jvpn_candidate_probe(struct jvpn_liveness *l, int id,
				 const struct jvpn_pace *pace, u64 now,
				 struct jvpn_decision *d)
{
	struct jvpn_candidate *c = &l->candidate[id];

	jvpn_track_probed(&c->track, pace, now);
	c->probes++;
	d->probe = true;
	d->flags = id == l->active ? 0 : JVPN_PROBE_CANDIDATE;
	d->time_us = jvpn_us(now);
	d->nonce = jvpn_nonce(l, id, d->time_us);
	if (id == l->active)
		l->sent_ns = now;
}

static void jvpn_candidate_decide(struct jvpn_liveness *l, int id,
				  const struct jvpn_pace *pace, u64 now,
				  struct jvpn_decision *d)
{
	struct jvpn_candidate *c = &l->candidate[id];
	struct jvpn_track *track = &c->track;
	u64 heard_ns;
	u64 due_ns;

	d->found = jvpn_track_judge(track, pace, now);
	if (d->found & (JVPN_FOUND_SUSPECT | JVPN_FOUND_DEAD))
		jvpn_loss_add(&c->loss, 1000);
	jvpn_candidate_choose_eagerness(l, id, pace, now);
	due_ns = jvpn_track_probe_due(track, pace, c->eagerness, c->eager_ns);
	if (due_ns <= now) {
		jvpn_candidate_probe(l, id, pace, now, d);
		due_ns = jvpn_track_probe_due(track, pace, c->eagerness,
					      c->eager_ns);
	}
	d->due_ns = min(due_ns, jvpn_track_judge_due(track, pace));
	d->remote = c->remote;
	d->srtt_us = track->srtt_us;
	heard_ns = READ_ONCE(track->heard_ns) ?: track->first_ns;
	d->silent_ms = div_u64(now - min(heard_ns, now), NSEC_PER_MSEC);
}

static void jvpn_candidate_tell(struct jvpn_liveness *l, int id, u8 kind,
				const struct jvpn_decision *d)
{
	struct jvpn_signal signal = {
		.kind = kind,
		.device = l->session->device,
		.session = l->session,
		.path = id,
		.remote = &d->remote,
		.srtt_us = d->srtt_us,
	};

	if (kind != JVPN_SIGNAL_KIND_PATH_ALIVE)
		signal.silent_ms = d->silent_ms;
	jvpn_netlink_signal(&signal);
}

static void jvpn_probe_header(struct jvpn_session *session,
			      struct jvpn_epoch *epoch, struct jvpn_probe *probe)
{
	u64 term, bver, next = READ_ONCE(epoch->replay.next);

	jvpn_session_version(session, &term, &bver);
	probe->term = cpu_to_le64(term);
	probe->bver = cpu_to_le64(bver);
	probe->rx_highest = cpu_to_le64(next ? next - 1 : 0);
	probe->rx_packets = cpu_to_le64(atomic64_read(&epoch->rx_packets));
}

/* Without @path and @remote it goes to the binding, as jvpn_xmit_frame() does it. */
static int jvpn_probe_out(struct jvpn_session *session, struct jvpn_epoch *epoch,
			  struct jvpn_path *path,
			  const struct jvpn_endpoint *remote, u8 flags, u32 time_us,
			  const void *nonce)
{
	const struct jvpn_binding *binding = rcu_dereference(session->binding);
	u8 frame[JVPN_PROBE_SIZE] = { };
	struct jvpn_probe *probe = (struct jvpn_probe *)frame;

	BUILD_BUG_ON(sizeof(frame) < sizeof(*probe));
	probe->type = JVPN_F_PROBE;
	probe->flags = flags;
	if (path)
		probe->path_id = path->id;
	else if (binding)
		probe->path_id = binding->path;
	probe->time_us = cpu_to_le32(time_us);
	memcpy(probe->nonce, nonce, sizeof(probe->nonce));
	jvpn_probe_header(session, epoch, probe);
	return jvpn_xmit_frame(session, epoch, path, remote, frame, sizeof(frame));
}

/* A probe that cannot even leave is one that is not answered. Under RCU. */
static void jvpn_candidate_send(struct jvpn_liveness *l, int id,
				const struct jvpn_decision *d)
{
	struct jvpn_epoch *epoch = rcu_dereference(l->session->transmit);
	struct jvpn_path *path = jvpn_path_get(l->session->device, id);

	if (epoch && path)
		jvpn_probe_out(l->session, epoch, path, &d->remote, d->flags,
			       d->time_us, &d->nonce);
}

/* Look at one path. Return: when to look again. Under RCU. */
static u64 jvpn_candidate_look(struct jvpn_liveness *l, int id,
			       const struct jvpn_pace *pace, u64 now)
{
	struct jvpn_decision d = { .due_ns = JVPN_NEVER };

	if (!READ_ONCE(l->candidate[id].used))
		return JVPN_NEVER;
	spin_lock_bh(&l->lock);
	if (l->candidate[id].used)
		jvpn_candidate_decide(l, id, pace, now, &d);
	spin_unlock_bh(&l->lock);

	if (d.found & JVPN_FOUND_ALIVE)
		jvpn_candidate_tell(l, id, JVPN_SIGNAL_KIND_PATH_ALIVE, &d);
	if (d.found & JVPN_FOUND_SUSPECT)
		jvpn_candidate_tell(l, id, JVPN_SIGNAL_KIND_PATH_SUSPECT, &d);
	if (d.found & JVPN_FOUND_DEAD)
		jvpn_candidate_tell(l, id, JVPN_SIGNAL_KIND_PATH_DEAD, &d);
	if (d.probe)
		jvpn_candidate_send(l, id, &d);
	return d.due_ns;
}

/* Return: when the next keepalive is due; one is if that is past. */
static u64 jvpn_keepalive_due(const struct jvpn_liveness *l,
			      const struct jvpn_binding *binding)
{
	const struct jvpn_session *session = l->session;
	u64 idle_ns = READ_ONCE(session->figures.keepalive_ms) *
		      (u64)NSEC_PER_MSEC;
	u64 sent_ns = max3(READ_ONCE(session->last_tx_ns), READ_ONCE(l->sent_ns),
			   binding->since_ns);
	u64 owed_ns = READ_ONCE(l->owed_ns);
	u64 due_ns = idle_ns ? sent_ns + idle_ns : JVPN_NEVER;

	if (owed_ns > sent_ns)
		due_ns = min(due_ns, owed_ns + JVPN_OWED_NS);
	return due_ns;
}

/* Under RCU. Return: when to come again. */
static u64 jvpn_keepalive(struct jvpn_liveness *l,
			  const struct jvpn_binding *binding, u64 now)
{
	struct jvpn_session *session = l->session;
	u64 due_ns = jvpn_keepalive_due(l, binding);
	u64 owed_ns = READ_ONCE(l->owed_ns);
	struct jvpn_epoch *epoch;
	struct jvpn_path *path;

	if (due_ns <= now) {
		epoch = rcu_dereference(session->transmit);
		path = jvpn_path_get(session->device, binding->path);
		/* Tried is as good as sent: the next one has its own time. */
		WRITE_ONCE(l->sent_ns, now);
		if (epoch && path)
			jvpn_xmit_frame(session, epoch, path, &binding->remote,
					NULL, 0);
		due_ns = jvpn_keepalive_due(l, binding);
	}
	/* Receive sets it again when more comes in. */
	if (owed_ns && now >= owed_ns + JVPN_OWED_NS)
		WRITE_ONCE(l->owed_ns, 0);
	return due_ns;
}

static void jvpn_liveness_look(struct jvpn_liveness *l)
{
	struct jvpn_session *session = l->session;
	const struct jvpn_binding *binding;
	u64 now = jvpn_now();
	u64 due_ns = JVPN_NEVER;
	struct jvpn_pace pace;
	int active, id;

	rcu_read_lock();
	binding = rcu_dereference(session->binding);
	jvpn_pace(session, &pace);
	spin_lock_bh(&l->lock);
	l->armed_ns = JVPN_NEVER;
	jvpn_liveness_follow(l, binding);
	jvpn_liveness_settle(l, now);
	active = l->active;
	spin_unlock_bh(&l->lock);

	if (!jvpn_session_carries(session))
		goto out;
	/* The active path first: what it shows decides how the others are probed. */
	if (binding)
		due_ns = min(jvpn_candidate_look(l, active, &pace, now),
			     jvpn_keepalive(l, binding, now));
	for (id = 0; id < JVPN_PATH_MAX; id++)
		if (id != active)
			due_ns = min(due_ns,
				     jvpn_candidate_look(l, id, &pace, now));
	jvpn_liveness_wake(l, due_ns);
out:
	rcu_read_unlock();
}

static enum hrtimer_restart jvpn_liveness_timer(struct hrtimer *timer)
{
	/* The look arms it again if there is anything to come back for. */
	jvpn_liveness_look(container_of(timer, struct jvpn_liveness, timer));
	return HRTIMER_NORESTART;
}

static void jvpn_liveness_begin(struct jvpn_liveness *l, u64 now)
{
	spin_lock_bh(&l->lock);
	if (!l->busy) {
		l->busy_ns = now;
		WRITE_ONCE(l->busy, true);
		jvpn_liveness_wake_locked(l, now);
	}
	spin_unlock_bh(&l->lock);
}

/**
 * jvpn_probe_tx() - an inner packet was sent
 * @session: the session
 * @now: the time, which is its last_tx_ns
 *
 * Two loads for most packets.
 *
 * Context: softirq, RCU read side.
 */
void jvpn_probe_tx(struct jvpn_session *session, u64 now)
{
	struct jvpn_liveness *l = session->probe;

	if (!l)
		jvpn_deadline_tx(session, now);
	else if (unlikely(!READ_ONCE(l->busy)))
		jvpn_liveness_begin(l, now);
}

/**
 * jvpn_probe_rx() - an authenticated packet came in
 * @session: the session
 * @path: by this path
 * @now: the time
 *
 * Context: softirq, RCU read side.
 */
void jvpn_probe_rx(struct jvpn_session *session, struct jvpn_path *path, u64 now)
{
	struct jvpn_liveness *l = session->probe;
	struct jvpn_candidate *c;

	if (!l)
		return;
	c = &l->candidate[path->id];
	/* Of an unused slot, or of one just given to another remote: no harm. */
	WRITE_ONCE(c->track.heard_ns, now);
	if (unlikely(READ_ONCE(c->used) &&
		     READ_ONCE(c->track.state) != JVPN_TRACK_ALIVE))
		jvpn_liveness_wake(l, now);
}

/**
 * jvpn_probe_inner() - an inner packet came in
 * @session: the session
 * @now: the time
 *
 * Context: softirq, RCU read side.
 */
void jvpn_probe_inner(struct jvpn_session *session, u64 now)
{
	struct jvpn_liveness *l = session->probe;

	if (!l || READ_ONCE(l->owed_ns))
		return;
	WRITE_ONCE(l->owed_ns, now);
	jvpn_liveness_wake(l, now + JVPN_OWED_NS);
}

/**
 * jvpn_probe_changed() - binding, state or figures of a session changed
 * @session: the session
 *
 * Context: any, also under session->lock.
 */
void jvpn_probe_changed(struct jvpn_session *session)
{
	/* Not looked at here, but by the timer, which holds no lock. */
	if (session->probe)
		jvpn_liveness_wake(session->probe, jvpn_now());
	jvpn_deadline_session_add(session);
}

static void jvpn_version_tell(struct jvpn_session *session, u64 term, u64 bver)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_VERSION,
		.device = session->device,
		.session = session,
		.path = -1,
		.has_version = true,
		.term = term,
		.bver = bver,
	};

	jvpn_netlink_signal(&signal);
}

/* Return: the daemon has not been told just now. */
static bool jvpn_version_untold(struct jvpn_liveness *l, u64 term, u64 bver, u64 now)
{
	lockdep_assert_held(&l->lock);
	if (l->told_term == term && l->told_bver == bver &&
	    now - l->told_ns <= JVPN_TELL_NS)
		return false;
	l->told_term = term;
	l->told_bver = bver;
	l->told_ns = now;
	return true;
}

/* The gateway is ahead, and the daemon does not know. */
static bool jvpn_version_is_news(struct jvpn_liveness *l, u64 term, u64 bver)
{
	u64 ours, our_bver;
	bool news;

	jvpn_session_version(l->session, &ours, &our_bver);
	if (term != ours || bver <= our_bver)
		return false;
	spin_lock_bh(&l->lock);
	news = jvpn_version_untold(l, term, bver, jvpn_now());
	spin_unlock_bh(&l->lock);
	return news;
}

static void jvpn_version_seen(struct jvpn_session *session,
			      const struct jvpn_probe *frame)
{
	u64 term = le64_to_cpu(frame->term);
	u64 bver = le64_to_cpu(frame->bver);

	if (session->probe ? jvpn_version_is_news(session->probe, term, bver) :
			     jvpn_session_saw(session, term, bver))
		jvpn_version_tell(session, term, bver);
}

/*
 * A client agrees to be rebound where it is bound, and nowhere else: packets it
 * sent ahead on another path must not make the gateway move there by itself.
 */
static bool jvpn_nat_check_allowed(const struct jvpn_session *session,
				   const struct jvpn_path *path)
{
	const struct jvpn_binding *binding = rcu_dereference(session->binding);

	return binding && binding->confirmed && binding->path == path->id;
}

/* The answer is as long as the question and goes back the way it came. */
static void jvpn_probe_answer(struct jvpn_session *session,
			      struct jvpn_epoch *epoch, struct jvpn_path *path,
			      const struct jvpn_endpoint *source,
			      const struct jvpn_probe *probe, size_t len)
{
	struct jvpn_epoch *transmit = rcu_dereference(session->transmit);
	struct jvpn_probe *ack;

	if (!transmit || !jvpn_session_carries(session))
		return;
	if (session->role == JVPN_ROLE_CLIENT &&
	    (probe->flags & JVPN_PROBE_NAT_CHECK) &&
	    !jvpn_nat_check_allowed(session, path))
		return;
	ack = kzalloc(len, GFP_ATOMIC);
	if (!ack)
		return;
	ack->type = JVPN_F_PROBE_ACK;
	ack->path_id = probe->path_id;
	ack->time_us = probe->time_us;
	memcpy(ack->nonce, probe->nonce, sizeof(ack->nonce));
	jvpn_probe_header(session, epoch, ack);
	if (session->role == JVPN_ROLE_GATEWAY) {
		/* A client that believes to be bound must learn that it is not. */
		if (!rcu_access_pointer(session->binding))
			ack->bver = 0;
		jvpn_control_cookie(session->device, source, ack->cookie);
	}
	jvpn_xmit_frame(session, transmit, path, source, ack, len);
	kfree(ack);
}

static void jvpn_ack_measure(struct jvpn_liveness *l, int id,
			     const struct jvpn_epoch *epoch,
			     const struct jvpn_probe *ack, u64 now)
{
	struct jvpn_candidate *c = &l->candidate[id];
	struct jvpn_count_pair up = {
		.highest = le64_to_cpu(ack->rx_highest),
		.packets = le64_to_cpu(ack->rx_packets),
	};
	struct jvpn_count_pair down = {
		.highest = READ_ONCE(epoch->replay.next),
		.packets = atomic64_read(&epoch->rx_packets),
	};
	u64 name;

	c->acks++;
	jvpn_track_sample(&c->track, jvpn_us(now) - le32_to_cpu(ack->time_us));
	memcpy(&name, epoch->rx_cid, sizeof(name));
	if (id == l->active)
		jvpn_loss_report(&c->loss, name, &up, &down);
	else
		jvpn_loss_add(&c->loss, 0);
}

/*
 * Return: this is a cookie for the path, and a new one, or it is told again because
 * the daemon counts its age from when it heard of it.
 */
static bool jvpn_cookie_take(struct jvpn_candidate *c, const u8 *cookie, u64 now)
{
	bool fresh = memcmp(c->cookie, cookie, JVPN_COOKIE_LEN) ||
		     now - c->cookie_ns > JVPN_COOKIE_TELL_NS;

	if (!memchr_inv(cookie, 0, JVPN_COOKIE_LEN))
		return false;
	memcpy(c->cookie, cookie, JVPN_COOKIE_LEN);
	c->cookie_ns = now;
	return fresh;
}

/*
 * The gateway has no binding, and had none when the one we hold was made: that was
 * before the question. It has heard nothing of us for too long, while we were idle.
 */
static bool jvpn_ack_disowns(const struct jvpn_liveness *l,
			     const struct jvpn_probe *ack, u64 now)
{
	const struct jvpn_binding *binding = rcu_dereference(l->session->binding);
	u32 age_us = jvpn_us(now) - le32_to_cpu(ack->time_us);

	return !ack->bver && binding && binding->confirmed &&
	       le64_to_cpu(ack->term) == binding->term &&
	       now - age_us * (u64)NSEC_PER_USEC > binding->since_ns;
}

static void jvpn_ack_rcv(struct jvpn_liveness *l, const struct jvpn_epoch *epoch,
			 const struct jvpn_path *path,
			 const struct jvpn_endpoint *source,
			 const struct jvpn_probe *ack)
{
	struct jvpn_candidate *c = &l->candidate[path->id];
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_COOKIE,
		.device = l->session->device,
		.session = l->session,
		.path = path->id,
		.remote = source,
		.cookie = ack->cookie,
	};
	u64 now = jvpn_now();
	bool ours, fresh = false, disowned = false;
	__le64 nonce;

	spin_lock_bh(&l->lock);
	if (c->used && jvpn_endpoint_equal(&c->remote, source)) {
		nonce = jvpn_nonce(l, path->id, le32_to_cpu(ack->time_us));
		ours = !memcmp(&nonce, ack->nonce, sizeof(nonce));
		/* An answer to a probe of the daemon brings a cookie all the same. */
		if (ours)
			jvpn_ack_measure(l, path->id, epoch, ack, now);
		disowned = ours && jvpn_ack_disowns(l, ack, now) &&
			   jvpn_version_untold(l, le64_to_cpu(ack->term), 0, now);
		fresh = jvpn_cookie_take(c, ack->cookie, now);
		signal.srtt_us = c->track.srtt_us;
	}
	spin_unlock_bh(&l->lock);
	if (fresh)
		jvpn_netlink_signal(&signal);
	if (disowned)
		jvpn_version_tell(l->session, le64_to_cpu(ack->term), 0);
}

static void jvpn_close_rcv(struct jvpn_session *session, struct jvpn_path *path,
			   const struct jvpn_endpoint *source,
			   const struct jvpn_close *close)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_CLOSED,
		.device = session->device,
		.session = session,
		.path = path->id,
		.remote = source,
		.has_version = true,
		.term = le64_to_cpu(close->term),
		.bver = le64_to_cpu(close->bver),
		.reason = close->reason,
	};

	jvpn_netlink_signal(&signal);
}

/*
 * The daemon asked with a nonce of its own, which proves what the answer says. Most
 * answers are to others: no lock is taken for them.
 */
static bool jvpn_question_answered(struct jvpn_session *session, u64 nonce)
{
	bool ours = false;
	unsigned int i;

	for (i = 0; i < JVPN_MAX_ASKED; i++)
		ours |= READ_ONCE(session->asked[i]) == nonce;
	if (!ours || !nonce)
		return false;
	ours = false;
	spin_lock_bh(&session->lock);
	for (i = 0; i < JVPN_MAX_ASKED && !ours; i++) {
		ours = session->asked[i] == nonce;
		if (ours)
			WRITE_ONCE(session->asked[i], 0);
	}
	spin_unlock_bh(&session->lock);
	return ours;
}

/* How long no news has come from the binding: has it died, or is another ahead of it? */
static u32 jvpn_bound_silence(const struct jvpn_session *session)
{
	u64 last_ns = READ_ONCE(session->last_bound_ns) ?: session->born_ns;
	u64 now = jvpn_now();

	return max(1ULL, div_u64(now - min(last_ns, now), NSEC_PER_MSEC));
}

static void jvpn_question_rcv(struct jvpn_session *session, struct jvpn_path *path,
			      const struct jvpn_endpoint *source,
			      const struct jvpn_probe *ack)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_PROBE_ACKED,
		.device = session->device,
		.session = session,
		.path = path->id,
		.remote = source,
		.nonce = ack->nonce,
	};
	u64 nonce;

	memcpy(&nonce, ack->nonce, sizeof(nonce));
	if (!jvpn_question_answered(session, nonce))
		return;
	if (session->role == JVPN_ROLE_GATEWAY)
		signal.silent_ms = jvpn_bound_silence(session);
	jvpn_netlink_signal(&signal);
}

static void jvpn_notice_rcv(struct jvpn_session *session, struct jvpn_path *path,
			    const struct jvpn_endpoint *source,
			    const struct jvpn_notice *notice, size_t len)
{
	struct jvpn_signal signal = {
		.kind = JVPN_SIGNAL_KIND_NOTICE,
		.device = session->device,
		.session = session,
		.path = path->id,
		.remote = source,
		.notice = notice->kind,
		.data = notice->tlv,
		.data_len = len - sizeof(*notice),
	};

	/* A hint for who decides; that is the client. */
	if (session->role == JVPN_ROLE_CLIENT)
		jvpn_netlink_signal(&signal);
}

/**
 * jvpn_probe_rcv() - a control frame came in
 * @session: authenticated as coming from its peer
 * @epoch: it came under
 * @path: it came in by
 * @source: it came from
 * @frame: the plaintext
 * @len: its length
 *
 * jvpn_probe_rx() was called for it before.
 *
 * Context: softirq, RCU read side.
 */
void jvpn_probe_rcv(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *source,
		    const u8 *frame, size_t len)
{
	const struct jvpn_probe *probe = (const struct jvpn_probe *)frame;

	/* A keepalive: it has done its work by being authentic. */
	if (!len)
		return;
	switch (jvpn_frame_check(frame, len)) {
	case JVPN_F_PROBE:
		jvpn_version_seen(session, probe);
		jvpn_probe_answer(session, epoch, path, source, probe, len);
		break;
	case JVPN_F_PROBE_ACK:
		jvpn_version_seen(session, probe);
		if (session->probe)
			jvpn_ack_rcv(session->probe, epoch, path, source, probe);
		jvpn_question_rcv(session, path, source, probe);
		break;
	case JVPN_F_CLOSE:
		jvpn_close_rcv(session, path, source,
			       (const struct jvpn_close *)frame);
		break;
	case JVPN_F_NOTICE:
		jvpn_notice_rcv(session, path, source,
				(const struct jvpn_notice *)frame, len);
		break;
	case -EBADMSG:
		jvpn_drop(session->device, session, JVPN_DROP_RX_FRAME);
		break;
	}
}

static void jvpn_question_ask(struct jvpn_session *session,
			      const u8 nonce[JVPN_NONCE_LEN])
{
	u64 asked;

	memcpy(&asked, nonce, sizeof(asked));
	spin_lock_bh(&session->lock);
	WRITE_ONCE(session->asked[session->n_asked++ % JVPN_MAX_ASKED], asked);
	spin_unlock_bh(&session->lock);
}

/**
 * jvpn_probe_send() - send a PROBE for the daemon
 * @session: to its peer
 * @epoch: under these keys, NULL for those the session sends with
 * @path: by this path, NULL for the binding
 * @remote: to this address; NULL exactly if @path is
 * @flags: JVPN_PROBE_*
 * @nonce: of the PROBE; not zero if @tell
 * @tell: tell of its answer; of more than JVPN_MAX_ASKED only the last
 *
 * Context: RCU read side.
 * Return: 0 or a negative errno.
 */
int jvpn_probe_send(struct jvpn_session *session, struct jvpn_epoch *epoch,
		    struct jvpn_path *path, const struct jvpn_endpoint *remote,
		    u8 flags, const u8 nonce[JVPN_NONCE_LEN], bool tell)
{
	epoch = epoch ?: rcu_dereference(session->transmit);
	if (!epoch)
		return -ENOKEY;
	/* Before it leaves: the answer may be here before we are back. */
	if (tell)
		jvpn_question_ask(session, nonce);
	return jvpn_probe_out(session, epoch, path, remote, flags,
			      jvpn_us(jvpn_now()), nonce);
}

/**
 * jvpn_probe_close() - send a CLOSE
 * @session: to its peer
 * @epoch: as for jvpn_probe_send()
 * @path: likewise
 * @remote: likewise
 * @reason: number of JVPN_DETAILS
 *
 * Context: RCU read side.
 * Return: 0 or a negative errno.
 */
int jvpn_probe_close(struct jvpn_session *session, struct jvpn_epoch *epoch,
		     struct jvpn_path *path, const struct jvpn_endpoint *remote,
		     u8 reason)
{
	struct jvpn_close close = {
		.type = JVPN_F_CLOSE,
		.reason = reason,
	};
	u64 term, bver;

	jvpn_session_version(session, &term, &bver);
	close.term = cpu_to_le64(term);
	close.bver = cpu_to_le64(bver);
	return jvpn_xmit_frame(session, epoch, path, remote, &close, sizeof(close));
}

/**
 * jvpn_probe_notice() - send a NOTICE
 * @session: of a gateway
 * @epoch: as for jvpn_probe_send()
 * @path: likewise
 * @remote: likewise
 * @kind: JVPN_NOTICE_*
 * @tlv: its options
 * @len: of these, at most JVPN_NOTICE_MAX
 *
 * Context: RCU read side.
 * Return: 0 or a negative errno.
 */
int jvpn_probe_notice(struct jvpn_session *session, struct jvpn_epoch *epoch,
		      struct jvpn_path *path, const struct jvpn_endpoint *remote,
		      u8 kind, const u8 *tlv, size_t len)
{
	u8 frame[sizeof(struct jvpn_notice) + JVPN_NOTICE_MAX] = { };
	struct jvpn_notice *notice = (struct jvpn_notice *)frame;

	notice->type = JVPN_F_NOTICE;
	notice->kind = kind;
	memcpy(frame + sizeof(*notice), tlv, len);
	return jvpn_xmit_frame(session, epoch, path, remote, frame,
			       sizeof(*notice) + len);
}

static unsigned int jvpn_candidates(const struct jvpn_liveness *l)
{
	unsigned int n = 0;
	int id;

	for (id = 0; id < JVPN_PATH_MAX; id++)
		n += l->candidate[id].used && l->candidate[id].listed;
	return n;
}

static int jvpn_candidate_list(struct jvpn_liveness *l, u8 id,
			       const struct jvpn_endpoint *remote,
			       struct jvpn_verdict *v)
{
	struct jvpn_candidate *c = &l->candidate[id];
	bool bound = l->active == id;

	lockdep_assert_held(&l->lock);
	if (bound && c->used && !jvpn_endpoint_equal(&c->remote, remote))
		return jvpn_refuse(v, -EBUSY,
				   "path %u is bound to %pISpc, not to %pISpc", id,
				   &c->remote.sa, &remote->sa);
	if (!(c->used && c->listed) && jvpn_candidates(l) >= JVPN_MAX_CANDIDATES)
		return jvpn_refuse(v, -ENOSPC,
				   "path %u: the session has %u candidates already",
				   id, JVPN_MAX_CANDIDATES);
	if (!c->used || !jvpn_endpoint_equal(&c->remote, remote))
		jvpn_candidate_start(l, id, remote, true);
	c->listed = true;
	jvpn_liveness_wake_locked(l, jvpn_now());
	return 0;
}

/**
 * jvpn_probe_candidate_set() - keep a path warm
 * @session: of a client
 * @path: id of the path
 * @remote: where its probes go
 * @v: filled in on refusal
 *
 * The same again changes nothing; another remote starts from nothing.
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int jvpn_probe_candidate_set(struct jvpn_session *session, u8 path,
			     const struct jvpn_endpoint *remote,
			     struct jvpn_verdict *v)
{
	struct jvpn_liveness *l = session->probe;
	int err;

	if (!l)
		return jvpn_refuse(v, -EOPNOTSUPP,
				   "path %u: only sessions of a client have candidates",
				   path);
	spin_lock_bh(&l->lock);
	err = jvpn_candidate_list(l, path, remote, v);
	spin_unlock_bh(&l->lock);
	return err;
}

/**
 * jvpn_probe_candidate_remove() - keep a path warm no more
 * @session: of a client
 * @path: id of the path
 * @v: filled in on refusal
 *
 * It stays watched while it is bound.
 *
 * Context: process.
 * Return: 0 or a negative errno.
 */
int jvpn_probe_candidate_remove(struct jvpn_session *session, u8 path,
				struct jvpn_verdict *v)
{
	struct jvpn_liveness *l = session->probe;
	struct jvpn_candidate *c;
	bool known = false;

	if (l) {
		c = &l->candidate[path];
		spin_lock_bh(&l->lock);
		known = c->used && c->listed;
		c->listed = false;
		if (l->active != path)
			WRITE_ONCE(c->used, false);
		spin_unlock_bh(&l->lock);
	}
	return known ? 0 : jvpn_refuse(v, -ENOENT, "path %u is no candidate", path);
}

static bool jvpn_candidate_fill(struct sk_buff *skb, int id,
				const struct jvpn_candidate *c, u64 now)
{
	u64 heard_ns = READ_ONCE(c->track.heard_ns);

	return nla_put_u8(skb, JVPN_CANDIDATE_A_PATH, id) ||
	       nla_put(skb, JVPN_CANDIDATE_A_REMOTE,
		       jvpn_endpoint_size(&c->remote), &c->remote) ||
	       nla_put_u8(skb, JVPN_CANDIDATE_A_STATE, c->track.state) ||
	       nla_put_u32(skb, JVPN_CANDIDATE_A_SRTT_US, c->track.srtt_us) ||
	       nla_put_u32(skb, JVPN_CANDIDATE_A_RTTVAR_US, c->track.rttvar_us) ||
	       nla_put_u32(skb, JVPN_CANDIDATE_A_LOSS_PERMILLE, c->loss.permille) ||
	       nla_put_u64_64bit(skb, JVPN_CANDIDATE_A_PROBES, c->probes, 0) ||
	       nla_put_u64_64bit(skb, JVPN_CANDIDATE_A_ACKS, c->acks, 0) ||
	       (heard_ns &&
		nla_put_u64_64bit(skb, JVPN_CANDIDATE_A_LAST_RX_MS,
				  div_u64(now - min(now, heard_ns),
					  NSEC_PER_MSEC), 0)) ||
	       (c->cookie_ns &&
		nla_put_u64_64bit(skb, JVPN_CANDIDATE_A_COOKIE_MS,
				  div_u64(now - min(now, c->cookie_ns),
					  NSEC_PER_MSEC), 0));
}

/**
 * jvpn_probe_fill() - describe the paths of a session
 * @session: the session
 * @skb: gets one JVPN_SESSION_A_CANDIDATE for each
 *
 * Context: any but hard interrupts.
 * Return: 0 or -EMSGSIZE.
 */
int jvpn_probe_fill(struct jvpn_session *session, struct sk_buff *skb)
{
	struct jvpn_liveness *l = session->probe;
	u64 now = jvpn_now();
	struct nlattr *nest;
	bool full = false;
	int id;

	if (!l)
		return 0;
	spin_lock_bh(&l->lock);
	for (id = 0; id < JVPN_PATH_MAX && !full; id++) {
		if (!l->candidate[id].used)
			continue;
		nest = nla_nest_start(skb, JVPN_SESSION_A_CANDIDATE);
		full = !nest || jvpn_candidate_fill(skb, id, &l->candidate[id], now);
		if (!full)
			nla_nest_end(skb, nest);
	}
	spin_unlock_bh(&l->lock);
	return full ? -EMSGSIZE : 0;
}

/**
 * jvpn_probe_session_init() - give a client's session its liveness
 * @session: not published yet
 *
 * Context: process.
 * Return: 0 or -ENOMEM.
 */
int jvpn_probe_session_init(struct jvpn_session *session)
{
	struct jvpn_liveness *l;

	if (session->role != JVPN_ROLE_CLIENT)
		return 0;
	l = kzalloc(sizeof(*l), GFP_KERNEL);
	if (!l)
		return -ENOMEM;
	l->session = session;
	spin_lock_init(&l->lock);
	hrtimer_init(&l->timer, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_SOFT);
	l->timer.function = jvpn_liveness_timer;
	l->armed_ns = JVPN_NEVER;
	l->active = JVPN_NO_PATH;
	get_random_bytes(&l->key, sizeof(l->key));
	session->probe = l;
	return 0;
}

/**
 * jvpn_probe_session_exit() - end the liveness of a session
 * @session: unlinked a grace period ago, or never published
 *
 * Context: process.
 */
void jvpn_probe_session_exit(struct jvpn_session *session)
{
	struct jvpn_liveness *l = session->probe;

	if (!l)
		return;
	/* A running timer finds that it may not come back. */
	spin_lock_bh(&l->lock);
	l->stopped = true;
	spin_unlock_bh(&l->lock);
	hrtimer_cancel(&l->timer);
	session->probe = NULL;
	kfree_sensitive(l);
}
