// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "session.h"

enum { CLOSE_COPIES = 3, EXPIRE_STEPS = 4 };

/* --- life --- */

static void on_timer(void *arg)
{
	struct jv_session *s = arg;
	uint64_t now_ms = jv_now_ms();

	if (jv_session_ended(s)) {
		jv_session_free(s);
		return;
	}
	if (jv_session_expire(s, now_ms) && s->ops->due)
		s->ops->due(s, now_ms);
	jv_session_rearm(s);
}

struct jv_session *jv_session_new(struct jv_sessions *all, const struct jv_session_ops *ops,
				  void *role, struct jv_link *link, struct jv_peer *peer,
				  enum jv_role side, uint64_t half_open_ms, uint64_t now_ms)
{
	struct jv_session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (jv_timer_add(all->env->loop, &s->timer, JV_PRIO_TIMER, on_timer, s) < 0) {
		free(s);
		return NULL;
	}
	s->all = all;
	s->ops = ops;
	s->role = role;
	s->link = link;
	s->peer = peer;
	s->policy = peer->policy;
	jv_fsm_init(&s->fsm, side, now_ms, half_open_ms);
	s->next = all->first;
	s->prev = &all->first;
	if (s->next)
		s->next->prev = &s->next;
	all->first = s;
	all->state[JV_STATE_BIRTH]++;
	return s;
}

static void leave_tombs(struct jv_session *s)
{
	struct jv_sessions *all = s->all;

	if (!s->tomb_prev && all->tomb_oldest != s)
		return;
	*(s->tomb_prev ? &s->tomb_prev->tomb_next : &all->tomb_oldest) = s->tomb_next;
	*(s->tomb_next ? &s->tomb_next->tomb_prev : &all->tomb_newest) = s->tomb_prev;
	s->tomb_next = s->tomb_prev = NULL;
	all->tombs--;
}

static void enter_tombs(struct jv_session *s)
{
	struct jv_sessions *all = s->all;

	if (all->tombs == JV_TOMBSTONES_MAX) {
		/* By its timer: somebody may be walking the list. */
		jv_timer_set(&all->tomb_oldest->timer, 0);
		leave_tombs(all->tomb_oldest);
	}
	s->tomb_prev = all->tomb_newest;
	*(s->tomb_prev ? &s->tomb_prev->tomb_next : &all->tomb_oldest) = s;
	all->tomb_newest = s;
	all->tombs++;
}

void jv_session_free(struct jv_session *s)
{
	struct jv_sessions *all = s->all;

	leave_tombs(s);
	jv_table_del(&all->by_sid, &s->by_sid);
	jv_epoch_wipe_all(s);
	jv_table_del(&all->by_init, &s->by_init);
	jv_timer_del(&s->timer);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	all->state[s->fsm.state]--;
	sodium_memzero(s, sizeof(*s));
	free(s);
}

void jv_session_rearm(struct jv_session *s)
{
	uint64_t at, role;

	if (jv_session_ended(s))
		return;
	at = jv_fsm_next_deadline(&s->fsm, jv_session_policy(s));
	role = s->ops->deadline ? s->ops->deadline(s) : JV_NEVER;
	jv_timer_set(&s->timer, role < at ? role : at);
}

static int install_kernel(struct jv_session *s, const struct jv_kernel_figures *figures,
			  bool prefixes, struct jv_error *err)
{
	struct jv_kernel_session new = {
		.role = s->fsm.role == JV_CLIENT ? JVPN_ROLE_CLIENT : JVPN_ROLE_GATEWAY,
		.label = s->peer->name,
		.state = JV_STATE_BIRTH,
		.prefixes = prefixes ? s->peer->prefixes : 0,
		.prefix = s->peer->prefix,
		.figures = *figures,
	};

	memcpy(new.sid, s->sid, sizeof(new.sid));
	return jv_kernel_session_new(s->all->env->kernel, s->link->ifindex, &new, err);
}

int jv_session_install(struct jv_session *s, const struct jv_birth *birth,
		       const struct jv_kernel_epoch *epoch,
		       const struct jv_kernel_figures *figures, bool prefixes,
		       struct jv_error *err)
{
	struct jv_sessions *all = s->all;
	struct jv_audit_record record;
	int r;

	if (jv_table_find(&all->by_sid, birth->sid))
		return jv_error_set(err, EEXIST, "a session with this id exists already");
	memcpy(s->sid, birth->sid, sizeof(s->sid));
	r = install_kernel(s, figures, prefixes, err);
	if (r)
		return r;
	r = jv_epoch_add(s, epoch, &birth->keys, err);
	if (r) {
		jv_kernel_session_del(all->env->kernel, s->link->ifindex, s->sid, NULL);
		return r;
	}
	memcpy(s->rs, birth->rs, sizeof(s->rs));
	s->has_sid = true;
	s->in_kernel = true;
	s->version = (struct jv_version){ epoch->version.term, 0 };
	jv_table_add(&all->by_sid, &s->by_sid, s->sid);
	jv_session_record(s, &record, JV_AUDIT_SESSION_CREATED);
	jv_audit_push(all->env->audit, &record);
	return 0;
}

/* --- what others are told --- */

void jv_session_record(const struct jv_session *s, struct jv_audit_record *record,
		       enum jv_audit_event event)
{
	*record = (struct jv_audit_record){
		.event = event,
		.has_sid = s->has_sid,
		.gateway = s->fsm.role == JV_GATEWAY,
		.policy_version = s->policy->version,
		.state_version = s->fsm.state_version,
		.version = s->version,
	};
	memcpy(record->sid, s->sid, sizeof(record->sid));
	snprintf(record->link, sizeof(record->link), "%s", s->link->name);
	if (s->peer)
		snprintf(record->peer, sizeof(record->peer), "%s", s->peer->name);
}

/* What the session was before the step. */
struct before {
	bool bound;
	struct jv_version version;
	union jv_addr remote;
	char transport[JV_NAME_MAX + 1];
	uint64_t lost_us, lost_ms;
};

static void tell_transport(const struct jv_session *s, const struct before *before,
			   const struct jv_transition *t, bool moves, uint64_t latency_us)
{
	struct jv_audit_record record;
	enum jv_audit_event event;

	if (t->edge == JV_EDGE_T9)
		event = moves ? JV_AUDIT_TRANSPORT_SWITCH : JV_AUDIT_TRANSPORT_ATTACHED;
	else if (t->edge == JV_EDGE_T1)
		event = JV_AUDIT_TRANSPORT_ATTACHED;
	else if (t->reason == JV_REASON_TRANSPORT_DEAD &&
		 jv_switch_kind(t->detail) == JV_SWITCH_FORCED)
		event = JV_AUDIT_TRANSPORT_DEAD;	/* not a live one that was left */
	else
		return;
	jv_session_record(s, &record, event);
	record.reason = t->reason;
	record.detail = t->detail;
	record.state_version = t->state_version;
	if (event == JV_AUDIT_TRANSPORT_DEAD)
		record.version = before->version;
	if (event != JV_AUDIT_TRANSPORT_ATTACHED) {
		snprintf(record.old_transport, sizeof(record.old_transport), "%.31s",
			 before->transport);
		record.old_remote = before->remote;
	}
	if (event != JV_AUDIT_TRANSPORT_DEAD) {
		snprintf(record.new_transport, sizeof(record.new_transport), "%.31s", s->transport);
		record.new_remote = s->remote;
		record.latency_us = latency_us;
	}
	jv_audit_push(s->all->env->audit, &record);
}

static void tell_end(const struct jv_session *s, const struct before *before,
		     const struct jv_transition *t, uint64_t now_ms)
{
	struct jv_audit_record record;
	uint64_t lost_ms = before->lost_ms == JV_NEVER ? 0 : now_ms - before->lost_ms;

	if (t->reason == JV_REASON_TTL_TRANSPORT_LOSS_EXPIRED ||
	    t->reason == JV_REASON_TTL_SESSION_EXPIRED) {
		jv_session_record(s, &record, JV_AUDIT_TTL_EXPIRED);
		record.reason = t->reason;
		record.transportless_ms = lost_ms;
		jv_audit_push(s->all->env->audit, &record);
	}
	jv_session_record(s, &record, JV_AUDIT_TERMINATION_EVENT);
	record.reason = t->reason;
	record.detail = t->detail;
	record.lifetime_ms = now_ms - s->fsm.born_ms;
	record.transportless_ms = lost_ms;
	record.switches = s->fsm.ring.count;
	jv_audit_push(s->all->env->audit, &record);
}

static void tell(const struct jv_session *s, const struct before *before,
		 const struct jv_step *step, bool moves, uint64_t since_us, uint64_t now_ms)
{
	uint64_t latency_us = since_us ? jv_now_ns() / 1000 - since_us : 0;

	for (unsigned int i = 0; i < step->count; i++) {
		const struct jv_transition *t = &step->transition[i];
		struct jv_audit_record record;

		jv_session_record(s, &record, JV_AUDIT_STATE_CHANGE);
		record.edge = t->edge;
		record.from = t->from;
		record.to = t->to;
		record.reason = t->reason;
		record.detail = t->detail;
		record.state_version = t->state_version;
		if (i + 1 < step->count)
			record.version = before->version;
		jv_audit_push(s->all->env->audit, &record);
		tell_transport(s, before, t, moves, latency_us);
		if (t->to == JV_STATE_TERMINATED)
			tell_end(s, before, t, now_ms);
	}
}

/* --- the commit --- */

static bool binds(const struct jv_transition *t)
{
	return t->edge == JV_EDGE_T1 || t->edge == JV_EDGE_T9;
}

static struct jv_kernel_transition as_kernel(const struct jv_transition *t)
{
	return (struct jv_kernel_transition){ t->to, t->reason, t->detail, t->state_version };
}

static struct jv_kernel_binding change(const struct jv_session *s, enum jvpn_binding_op op)
{
	struct jv_kernel_binding b = { .op = op };

	memcpy(b.sid, s->sid, sizeof(b.sid));
	return b;
}

static struct jv_kernel_binding change_set(const struct jv_session *s,
					   const struct jv_move *move, bool switched)
{
	struct jv_kernel_binding b = change(s, JVPN_BINDING_OP_SET);

	b.expect = s->version;
	b.has_exp_bver = move->has_exp_bver;
	b.exp_bver = move->exp_bver;
	b.version = move->version;
	b.path = move->path;
	b.remote = move->remote;
	b.switched = switched;
	b.has_cid = move->cid;
	if (move->cid)
		memcpy(b.cid, move->cid, sizeof(b.cid));
	return b;
}

static bool goes_ahead(const struct jv_step *step, const struct jv_move *move)
{
	return move && move->ahead && step->next.state == JV_STATE_RECOVERING &&
	       !step->next.bound;
}

/* The step as changes of the transmit pointer, in order. Returns how many. */
static size_t plan(const struct jv_session *s, const struct jv_step *step,
		   const struct jv_move *move, bool moves, struct jv_kernel_binding b[3])
{
	size_t n = 0;

	for (unsigned int i = 0; i < step->count; i++) {
		const struct jv_transition *t = &step->transition[i];

		if (binds(t)) {
			b[n] = change_set(s, move, moves);
			if (i)
				b[n].via = as_kernel(t - 1);
		} else if (i + 1 < step->count && binds(t + 1)) {
			continue;
		} else {
			b[n] = change(s, JVPN_BINDING_OP_CLEAR);
		}
		b[n++].transition = as_kernel(t);
	}
	return n;
}

/* Everything the step means for the data plane, in one request. */
static int commit(struct jv_session *s, const struct jv_step *step, const struct jv_move *move,
		  bool moves, struct jv_error *err)
{
	struct jv_kernel *kernel = s->all->env->kernel;
	const struct jv_transition *t = &step->transition[0];
	struct jv_kernel_transition only = as_kernel(t);
	struct jv_kernel_result result[3];
	struct jv_kernel_binding b[3];
	size_t n;
	int r;

	if (!s->in_kernel)
		return 0;
	if (t->to == JV_STATE_TERMINATED ||
	    (step->count == 1 && !binds(t) && t->bound == s->fsm.bound))
		return jv_kernel_session_set(kernel, s->link->ifindex, s->sid, &only, NULL, err);
	n = plan(s, step, move, moves, b);
	if (goes_ahead(step, move)) {
		b[n] = change(s, JVPN_BINDING_OP_MOVE);
		b[n].path = move->path;
		b[n++].remote = move->remote;
	}
	r = jv_kernel_binding_set(kernel, s->link->ifindex, b, n, result, err);
	/* To go ahead is a favour: without it the data waits for the answer. */
	if (r && goes_ahead(step, move) && result[n - 1].error == r && !result[0].error)
		r = 0;
	return r;
}

static void adopt(struct jv_session *s, const struct jv_step *step, const struct jv_move *move)
{
	const struct jv_transition *last = &step->transition[step->count - 1];
	enum jv_state from = s->fsm.state;

	s->all->state[from]--;
	s->all->state[last->to]++;
	s->all->transitions += step->count;
	s->fsm = step->next;
	if (binds(last)) {
		if (move->version.term > s->version.term)
			jv_epoch_wipe_below(s, move->version.term);
		s->version = move->version;
		s->path = move->path;
		s->remote = move->remote;
		s->bound_ns = jv_now_ns();
		s->lost_us = 0;
		snprintf(s->transport, sizeof(s->transport), "%s",
			 move->transport ? move->transport : "");
		jv_table_del(&s->all->by_init, &s->by_init);
	} else if (!s->fsm.bound && !s->lost_us && from != JV_STATE_BIRTH) {
		s->lost_us = jv_now_ns() / 1000;
	}
}

/* Nothing is left but the tombstone. */
static void bury(struct jv_session *s, uint64_t now_ms)
{
	jv_epoch_wipe_all(s);
	sodium_memzero(s->rs, sizeof(s->rs));
	jv_table_del(&s->all->by_init, &s->by_init);
	if (s->in_kernel)
		jv_kernel_session_del(s->all->env->kernel, s->link->ifindex, s->sid, NULL);
	s->in_kernel = false;
	jv_timer_set(&s->timer, s->has_sid ? now_ms + jv_session_policy(s)->tombstone_ttl
					   : now_ms);
	if (s->has_sid)
		enter_tombs(s);
}

static enum jv_reason force(struct jv_session *s, enum jv_event_kind kind, uint64_t now_ms)
{
	struct jv_event event = { .kind = kind, .detail = JV_DETAIL_INTERNAL };

	return jv_session_step(s, &event, NULL, now_ms);
}

/* The peer did not ask for it and cannot see it. An operator's end is told by who asks for it. */
static bool is_told(enum jv_reason reason)
{
	switch (reason) {
	case JV_REASON_TTL_SESSION_EXPIRED:
	case JV_REASON_POLICY_TERMINATION:
	case JV_REASON_SECURITY_FAILURE:
	case JV_REASON_INVARIANT_VIOLATION:
	case JV_REASON_VERSION_EXHAUSTED:
	case JV_REASON_KEY_EXPIRED:
		return true;
	default:
		return false;
	}
}

static enum jv_reason apply(struct jv_session *s, const struct jv_step *step,
			    const struct jv_move *move, bool moves, uint64_t now_ms)
{
	bool ends = step->next.state == JV_STATE_TERMINATED;
	const char *breach = ends ? NULL : jv_fsm_check(&step->next);
	struct before before = {
		s->fsm.bound, s->version, s->remote, "", s->lost_us, s->fsm.transport_lost_ms,
	};
	uint64_t since_us = before.lost_us ? before.lost_us : move ? move->since_us : 0;
	struct jv_error err = { 0 };
	int r;

	if (breach) {
		jv_err("session of %s: invariant %s would break, terminated", s->peer->name,
		       breach);
		return force(s, JV_EVENT_INVARIANT_VIOLATION, now_ms);
	}
	memcpy(before.transport, s->transport, sizeof(before.transport));
	if (ends && is_told(step->transition[step->count - 1].reason))
		jv_session_close(s, JV_DETAIL_SESSION_EXPIRED);
	r = commit(s, step, move, moves, &err);
	if (r == -ESTALE && binds(&step->transition[step->count - 1]))
		return JV_REASON_CAS_CONFLICT;
	if (r && !ends) {
		jv_err("session of %s: the kernel refuses a transition: %s", s->peer->name,
		       err.text);
		jv_session_lost(s, r == -ENOENT || r == -ENODEV ? JV_EVENT_OPERATOR_TERMINATE
								: JV_EVENT_INVARIANT_VIOLATION,
				now_ms);
		return JV_REASON_INVARIANT_VIOLATION;
	}
	adopt(s, step, move);
	if (s->ops->committed)
		s->ops->committed(s, step, now_ms);
	tell(s, &before, step, moves, since_us, now_ms);
	if (step->transition[0].edge == JV_EDGE_T1)
		jv_session_limits(s, now_ms);
	if (ends)
		bury(s, now_ms);
	else
		jv_session_rearm(s);
	if (s->ops->settled)
		s->ops->settled(s, step, now_ms);
	return JV_REASON_NONE;
}

enum jv_reason jv_session_step(struct jv_session *s, const struct jv_event *event,
			       const struct jv_move *move, uint64_t now_ms)
{
	struct jv_step step;
	enum jv_reason verdict, applied;

	jv_fsm_step(&s->fsm, jv_session_policy(s), event, now_ms, &step);
	verdict = step.verdict;
	if (!step.count)
		return verdict;
	applied = apply(s, &step, verdict ? NULL : move, !verdict && event->moves, now_ms);
	return applied ? applied : verdict;
}

enum jv_reason jv_session_event(struct jv_session *s, enum jv_event_kind kind,
				enum jv_detail detail, uint64_t now_ms)
{
	struct jv_event event = { .kind = kind, .detail = detail };

	return jv_session_step(s, &event, NULL, now_ms);
}

bool jv_session_expire(struct jv_session *s, uint64_t now_ms)
{
	for (int i = 0; i < EXPIRE_STEPS && !jv_session_ended(s); i++) {
		if (jv_fsm_next_deadline(&s->fsm, jv_session_policy(s)) > now_ms)
			break;
		jv_session_event(s, JV_EVENT_TICK, JV_DETAIL_NONE, now_ms);
	}
	return !jv_session_ended(s);
}

void jv_session_limits(struct jv_session *s, uint64_t now_ms)
{
	const struct jv_policy *policy = jv_session_policy(s);
	uint64_t end_ms = s->fsm.born_ms + policy->session_max_lifetime;
	struct jv_kernel_limits limits = {
		.deadline_ms = end_ms > now_ms ? end_ms - now_ms : 1,
		.lost_ttl_ms = policy->transport_lost_ttl,
		.strict_source = policy->strict_source && s->fsm.role == JV_GATEWAY,
	};
	struct jv_error err = { 0 };

	if (s->in_kernel &&
	    jv_kernel_session_limits(s->all->env->kernel, s->link->ifindex, s->sid, &limits, &err))
		jv_warn("session of %s: its limits: %s", s->peer->name, err.text);
}

void jv_session_expired(struct jv_session *s, enum jv_reason reason, uint64_t now_ms)
{
	enum jv_event_kind kind = reason == JV_REASON_TTL_SESSION_EXPIRED ? JV_EVENT_SESSION_TTL
									  : JV_EVENT_TRANSPORT_TTL;

	/* Nothing is left there to commit to; the kernel's clock need not be ours to the ms. */
	if (jv_kernel_session_del(s->all->env->kernel, s->link->ifindex, s->sid, NULL))
		jv_debug("session of %s: gone already", s->peer->name);
	s->in_kernel = false;
	if (jv_session_event(s, kind, JV_DETAIL_SESSION_EXPIRED, now_ms) && !jv_session_ended(s))
		jv_session_lost(s, JV_EVENT_OWNER_LOST, now_ms);
}

void jv_session_lost(struct jv_session *s, enum jv_event_kind kind, uint64_t now_ms)
{
	s->in_kernel = false;
	if (!jv_session_ended(s))
		force(s, kind, now_ms);
}

int jv_session_learn(struct jv_session *s, struct jv_version version)
{
	struct jv_move move = { .version = version, .path = s->path, .remote = s->remote };
	struct jv_kernel_binding b = change_set(s, &move, false);
	int r = jv_kernel_binding_set(s->all->env->kernel, s->link->ifindex, &b, 1, NULL, NULL);

	if (!r)
		s->version = version;
	return r;
}

void jv_session_attempt(struct jv_session *s)
{
	jv_fsm_attempt(&s->fsm);
}

void jv_session_close(struct jv_session *s, enum jv_detail detail)
{
	struct jv_kernel_frame frame = { .type = JVPN_F_CLOSE, .reason = detail };

	if (!s->in_kernel || !s->fsm.bound)
		return;
	memcpy(frame.sid, s->sid, sizeof(frame.sid));
	for (int i = 0; i < CLOSE_COPIES; i++)
		jv_kernel_frame_send(s->all->env->kernel, s->link->ifindex, &frame, NULL);
}
