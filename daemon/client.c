// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "log.h"
#include "refusals.h"

/* INIT and its repeats take 31 s, CONFIRM as long as the gateway waits. */
enum { BIRTH_MS = 40000 };

/* A rekey that was not answered is tried again so much later. */
enum { REKEY_AGAIN_MS = 3000 };

static void begin(struct jv_client *c, uint64_t now_ms);

static const struct jv_policy *policy(const struct jv_client *c)
{
	return &c->peer->policy->policy;
}

const union jv_addr *jv_client_gateway(const struct jv_client *c)
{
	return &c->peer->endpoint[c->endpoint];
}

static struct jv_kernel_figures figures(const struct jv_client *c)
{
	const struct jv_liveness *l = jv_liveness(policy(c));
	bool alternate = jv_paths_count(&c->clients->paths) > 1;
	uint32_t interval = l->probe_interval, keepalive = c->terms.keepalive_s * 1000;

	/* A gateway may slow its clients down, not speed them up. */
	if (c->terms.probe_ms > interval)
		interval = c->terms.probe_ms;
	if (interval > JV_PROBE_MAX_MS)
		interval = JV_PROBE_MAX_MS;
	if (keepalive > JV_KEEPALIVE_MAX_MS)
		keepalive = JV_KEEPALIVE_MAX_MS;
	return (struct jv_kernel_figures){
		.probe_interval = interval,
		.probe_rto_min = l->probe_rto_floor,
		.probe_misses = alternate ? l->misses_alternate : l->misses_only,
		.standby_interval = JV_STANDBY_MS,
		.keepalive = keepalive,
	};
}

void jv_client_figures(struct jv_client *c)
{
	struct jv_kernel_figures f = figures(c);

	if (c->session && c->session->in_kernel)
		jv_kernel_session_set(c->clients->env->kernel, c->clients->link->ifindex,
				      c->session->sid, NULL, &f, NULL);
}

/* --- BIRTH --- */

void jv_client_confirm(struct jv_client *c)
{
	struct jv_session *s = c->session;
	struct jv_kernel_frame frame = { .type = JVPN_F_PROBE, .flags = JVPN_PROBE_CONFIRM };

	memcpy(frame.sid, s->sid, sizeof(frame.sid));
	if (s->fsm.state == JV_STATE_BIRTH) {
		frame.has_path = true;
		frame.path = c->birth_path;
		frame.remote = *jv_client_gateway(c);
	}
	jv_kernel_frame_send(c->clients->env->kernel, c->clients->link->ifindex, &frame, NULL);
}

void jv_client_fail(struct jv_client *c, enum jv_detail detail, uint32_t retry_after_ms,
		    uint64_t now_ms)
{
	c->start_ms = now_ms + retry_after_ms;
	c->endpoint = (c->endpoint + 1) % c->peer->endpoints;
	jv_session_event(c->session, JV_EVENT_HANDSHAKE_FAIL, detail, now_ms);
}

static int install(struct jv_client *c, struct jv_birth *birth, struct jv_error *err)
{
	struct jv_session *s = c->session;
	struct jv_kernel_figures f = figures(c);
	struct jv_kernel_epoch epoch = {
		.aead = c->terms.aead,
		.rx_key = birth->keys.g2c,
		.tx_key = birth->keys.c2g,
		.version = c->terms.version,
		.transmit = true,
		.lifetime_ms = jv_key_lifetime_ms(c->terms.rekey_after_s),
	};

	memcpy(epoch.sid, birth->sid, sizeof(epoch.sid));
	memcpy(epoch.rx_cid, c->cid, sizeof(epoch.rx_cid));
	memcpy(epoch.tx_cid, c->terms.cid, sizeof(epoch.tx_cid));
	memcpy(c->locator, c->terms.locator, sizeof(c->locator));
	return jv_session_install(s, birth, &epoch, &f, true, err);
}

void jv_client_born(struct jv_client *c, struct jv_path *path, struct jv_birth *birth,
		    uint64_t now_ms)
{
	struct jv_error err;

	if (install(c, birth, &err)) {
		jv_err("%s: session with %s: %s", c->clients->link->name, c->peer->name, err.text);
		jv_client_fail(c, JV_DETAIL_INTERNAL, 0, now_ms);
		return;
	}
	c->birth_path = path->id;
	c->confirm_ms = now_ms + JV_CONFIRM_MS;
	c->confirm_until_ms = now_ms + JV_HALF_OPEN_MS;
	jv_client_confirm(c);
}

static void confirm_due(struct jv_client *c, uint64_t now_ms)
{
	if (now_ms < c->confirm_ms)
		return;
	if (now_ms >= c->confirm_until_ms) {
		jv_client_fail(c, JV_DETAIL_HANDSHAKE_TIMEOUT, 0, now_ms);
		return;
	}
	c->confirm_ms = now_ms + JV_CONFIRM_MS;
	jv_client_confirm(c);
}

/* The gateway has shown itself under the new keys: C4. */
static void confirmed(struct jv_client *c, uint64_t now_ms)
{
	struct jv_path *path = &c->clients->paths.path[c->birth_path];
	struct jv_event event = { .kind = JV_EVENT_HANDSHAKE_OK, .detail = JV_DETAIL_CONFIRMED };
	struct jv_move move = {
		.version = c->terms.version, .path = path->id, .remote = *jv_client_gateway(c),
	};

	if (c->session->fsm.state != JV_STATE_BIRTH || c->confirm_ms == JV_NEVER || !path->usable)
		return;
	move.transport = path->transport->name;
	c->target = path;
	jv_session_step(c->session, &event, &move, now_ms);
	c->target = NULL;
}

/* --- keys --- */

void jv_client_rekey_later(struct jv_client *c, uint64_t now_ms)
{
	uint64_t granted_ms = c->terms.rekey_after_s * 1000ULL;
	uint64_t after_ms = policy(c)->rekey_after;

	if (granted_ms < after_ms)
		after_ms = granted_ms;
	/* So that many clients do not come at once: 10 % more or less. */
	c->rekey_ms = now_ms + after_ms * 9 / 10 + randombytes_uniform(after_ms / 5 + 1);
	c->rekey_reason = JV_DETAIL_KEY_AGE;
}

static bool rekey_waits(const struct jv_client *c)
{
	return !c->bound || c->request.form || !jv_epoch_usable(c->session);
}

static void rekey_due(struct jv_client *c, uint64_t now_ms)
{
	if (now_ms < c->rekey_ms || rekey_waits(c))
		return;
	c->rekey_ms = now_ms + REKEY_AGAIN_MS;
	jv_attempt_rekey(c, c->rekey_reason, now_ms);
}

static void rekey_now(struct jv_client *c, enum jv_detail reason, uint64_t now_ms)
{
	uint64_t last_ms = c->session->rekeyed_ms;

	/* Earlier the gateway would not answer. */
	c->rekey_ms = last_ms ? last_ms + JV_REKEY_PAUSE_MS : now_ms;
	c->rekey_reason = reason;
	rekey_due(c, now_ms);
}

/* --- a transport is lost, a transport comes --- */

/* C7. What must be fast happens in committed(). */
static void transport_dead(struct jv_client *c, enum jv_detail detail, uint64_t now_ms)
{
	struct jv_event event = { .kind = JV_EVENT_TRANSPORT_DEAD, .detail = detail };
	struct jv_move move = { .remote = *jv_client_gateway(c) };

	bool path_good = detail == JV_DETAIL_RX_SILENT || detail == JV_DETAIL_KEY_EXHAUSTED;

	c->target = path_good ? c->bound : jv_standby_best(c, c->bound, now_ms);
	c->bound = NULL;
	if (c->request.form == JV_FORM_REKEY)
		jv_request_stop(&c->request);
	if (c->target) {
		move.ahead = true;
		move.path = c->target->id;
	}
	jv_session_step(c->session, &event, &move, now_ms);
	c->target = NULL;
}

/* Is an attempt under way on a path that there is no reason to give up? */
static bool tries_well(const struct jv_client *c)
{
	uint8_t id = c->request.path_id;

	return c->request.form && c->clients->paths.path[id].usable &&
	       c->standby[id].state == JVPN_PATH_STATE_ALIVE;
}

/* Something to try has come while nothing is bound. */
static void try_path(struct jv_client *c, struct jv_path *path, uint64_t now_ms)
{
	struct jv_session *s = c->session;
	struct jv_kernel_binding ahead = {
		.op = JVPN_BINDING_OP_MOVE, .path = path->id, .remote = *jv_client_gateway(c),
	};

	if (s->fsm.bound)
		return;
	if (s->fsm.state == JV_STATE_DEGRADED && c->retry_ms > now_ms)
		c->retry_ms = now_ms;
	if (s->fsm.state != JV_STATE_RECOVERING || tries_well(c))
		return;
	memcpy(ahead.sid, s->sid, sizeof(ahead.sid));
	jv_kernel_binding_set(c->clients->env->kernel, c->clients->link->ifindex, &ahead, 1,
			      NULL, NULL);
	if (c->request.form)
		jv_attempt_prefer(c, path, now_ms);
	else
		jv_attempt_switch(c, path, JV_DETAIL_TRANSPORT_DEAD, false, now_ms);
	jv_attempt_run(c, now_ms);
}

/* T14: bounded by the switch limit, paced by retry_wait. */
static void retry_due(struct jv_client *c, uint64_t now_ms)
{
	struct jv_session *s = c->session;
	uint32_t wait_ms;

	if (now_ms < c->retry_ms)
		return;
	c->retry_ms = JV_NEVER;
	if (s->fsm.state != JV_STATE_DEGRADED || s->fsm.bound)
		return;
	c->target = jv_standby_best(c, NULL, now_ms);
	if (!c->target)
		return;
	if (jv_fsm_may_switch(&s->fsm, policy(c), JV_SWITCH_FORCED, now_ms, &wait_ms))
		c->retry_ms = now_ms + wait_ms;
	else
		jv_session_event(s, JV_EVENT_RECOVERY_RETRY, JV_DETAIL_RECOVERY_SLOW, now_ms);
	c->target = NULL;
}

static void degraded(struct jv_client *c, uint64_t now_ms)
{
	uint32_t wait_ms;

	jv_request_stop(&c->request);
	if (!jv_fsm_may_switch(&c->session->fsm, policy(c), JV_SWITCH_FORCED, now_ms, &wait_ms))
		wait_ms = c->retry_wait_ms;
	c->retry_ms = now_ms + wait_ms;
	c->retry_wait_ms = c->retry_wait_ms > JV_RETRY_CAP_MS / 2 ? JV_RETRY_CAP_MS
								  : 2 * c->retry_wait_ms;
}

/* --- what a step entails --- */

static void bound(struct jv_client *c)
{
	c->bound = c->target;
	c->bound_generation = c->target->generation;
}

static void committed(struct jv_session *s, const struct jv_step *step, uint64_t now_ms)
{
	const struct jv_transition *t = &step->transition[step->count - 1];
	struct jv_client *c = s->role;

	if (t->edge == JV_EDGE_T1 || t->edge == JV_EDGE_T9)
		bound(c);
	if (t->edge == JV_EDGE_T9)
		jv_client_confirm(c);
	if (t->to == JV_STATE_RECOVERING && !t->bound && c->target)
		jv_attempt_switch(c, c->target,
				  t->detail ? t->detail : JV_DETAIL_TRANSPORT_DEAD,
				  t->edge == JV_EDGE_T14, now_ms);
}

/* Attached by whatever request: does that do what the operator asked for? */
static bool came_true(const struct jv_client *c)
{
	if (c->wish.kind == JV_WISH_REKEY)
		return c->session->rekeyed_ms >= c->wish.since_us / 1000;
	return c->bound_generation == c->wish.generation;
}

static void attached(struct jv_client *c, enum jv_edge edge, uint64_t now_ms)
{
	c->confirm_ms = JV_NEVER;
	c->retry_ms = JV_NEVER;
	c->retry_wait_ms = JV_RETRY_MS;
	if (edge == JV_EDGE_T1) {
		jv_client_rekey_later(c, now_ms);
		c->start_wait_ms = JV_START_MS;
		jv_tunnel_up(c);
		jv_info("%s: session with %s attached by %s", c->clients->link->name,
			c->peer->name, c->bound->transport->name);
	}
	jv_standby_refresh(c, now_ms);
	if (!c->wish.active)
		return;
	if (came_true(c))
		jv_wish_over(c, 0, JV_REASON_NONE, "");
	else
		jv_wish_over(c, -ETIMEDOUT, JV_REASON_NO_CANDIDATE,
				     "another transport had to be taken meanwhile");
}

/* When the next session may begin. One that people ended does not come back by itself. */
static void schedule(struct jv_client *c, enum jv_reason reason, uint64_t now_ms)
{
	uint64_t at = now_ms + c->start_wait_ms;

	if (reason == JV_REASON_OPERATOR_TERMINATED) {
		c->start_ms = JV_NEVER;
		return;
	}
	if (c->start_ms < at)
		c->start_ms = at;
	c->start_wait_ms = c->start_wait_ms > JV_START_CAP_MS / 2 ? JV_START_CAP_MS
								  : 2 * c->start_wait_ms;
	jv_timer_set(&c->start, c->start_ms);
}

static void ended(struct jv_client *c, enum jv_reason reason, uint64_t now_ms)
{
	jv_wish_over(c, -EPERM, reason, "the session has ended");
	jv_info("%s: session with %s ended: %s", c->clients->link->name, c->peer->name,
		jv_reason_text(reason));
	jv_refusals_note(c->clients->env->refused, c->peer->name, jv_client_gateway(c), reason,
			 JV_DETAIL_NONE, now_ms);
	c->session->role = NULL;
	c->session = NULL;
	c->bound = NULL;
	c->confirm_ms = JV_NEVER;
	c->rekey_ms = JV_NEVER;
	jv_attempt_reset(c);
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		c->standby[i].listed = false;
	schedule(c, reason, now_ms);
}

static void settled(struct jv_session *s, const struct jv_step *step, uint64_t now_ms)
{
	const struct jv_transition *t = &step->transition[step->count - 1];
	struct jv_client *c = s->role;

	if (t->to == JV_STATE_TERMINATED)
		ended(c, t->reason, now_ms);
	else if (t->to == JV_STATE_ATTACHED)
		attached(c, t->edge, now_ms);
	else if (t->to == JV_STATE_DEGRADED && !t->bound)
		degraded(c, now_ms);
	if (c->session)
		jv_session_rearm(s);
}

/* --- deadlines --- */

/* C21: what a probe has shown, when no answer can show it any more. */
static void learn(struct jv_client *c, uint64_t now_ms)
{
	struct jv_session *s = c->session;

	if (!s->fsm.bound || c->heard.term != s->version.term ||
	    jv_version_cmp(c->heard, s->version) <= 0 || jv_request_busy(&c->request, now_ms))
		return;
	if (!jv_session_learn(s, c->heard))
		jv_debug("%s: learnt version %llu.%llu", c->clients->link->name,
			 (unsigned long long)c->heard.term, (unsigned long long)c->heard.bver);
}

static uint64_t deadline(const struct jv_session *s)
{
	const struct jv_client *c = s->role;
	uint64_t at = jv_request_deadline(&c->request);

	if (c->confirm_ms < at)
		at = c->confirm_ms;
	if (c->retry_ms < at)
		at = c->retry_ms;
	if (c->rekey_ms < at && !rekey_waits(c))
		at = c->rekey_ms;
	if (c->wish.active && c->wish.until_ms < at)
		at = c->wish.until_ms;
	return at;
}

static void due(struct jv_session *s, uint64_t now_ms)
{
	struct jv_client *c = s->role;

	if (c->session && c->wish.active && now_ms >= c->wish.until_ms)
		jv_wish_over(c, -ETIMEDOUT, JV_REASON_NO_CANDIDATE,
				     "the gateway has not answered in time");
	if (c->session)
		confirm_due(c, now_ms);
	if (c->session)
		retry_due(c, now_ms);
	jv_attempt_run(c, now_ms);
	if (c->session)
		learn(c, now_ms);
	if (c->session)
		rekey_due(c, now_ms);
}

static const struct jv_session_ops client_ops = {
	.committed = committed,
	.settled = settled,
	.deadline = deadline,
	.due = due,
};

/* --- signals of the data plane --- */

static void alive(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_path *path = &c->clients->paths.path[signal->path];
	struct jv_standby *s = &c->standby[signal->path];
	bool news = s->state != JVPN_PATH_STATE_ALIVE;

	s->state = JVPN_PATH_STATE_ALIVE;
	s->seen_ms = now_ms;
	if (signal->srtt_us)
		s->srtt_us = signal->srtt_us;
	if (news && path->usable)
		try_path(c, path, now_ms);
}

static void cookie(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	jv_request_cookie(&c->request, signal->path, signal->cookie, now_ms);
	c->standby[signal->path].cookie_ms = now_ms;
	alive(c, signal, now_ms);
}

static void dead(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_path *other;

	c->standby[signal->path].state = JVPN_PATH_STATE_DEAD;
	if (c->bound && c->bound->id == signal->path) {
		/* Said of this binding, not of an earlier one on the same path? */
		if (signal->time_ns >= c->session->bound_ns)
			transport_dead(c, JV_DETAIL_TRANSPORT_DEAD, now_ms);
		return;
	}
	if (c->session->fsm.bound || c->request.path_id != signal->path)
		return;
	other = jv_standby_next(c, signal->path);
	if (other && other->id != signal->path)
		try_path(c, other, now_ms);
}

static bool names_path(const struct jv_signal *signal)
{
	return signal->has_path && signal->path < JVPN_PATH_MAX;
}

static void path_signal(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	/* About a path that left meanwhile, or an earlier one with its number. */
	if (!names_path(signal) || !c->clients->paths.path[signal->path].usable)
		return;
	switch (signal->kind) {
	case JVPN_SIGNAL_KIND_PATH_DEAD:
		dead(c, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_PATH_SUSPECT:
		c->standby[signal->path].state = JVPN_PATH_STATE_SUSPECT;
		break;
	case JVPN_SIGNAL_KIND_PATH_ALIVE:
		alive(c, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_COOKIE:
		cookie(c, signal, now_ms);
		break;
	default:
		break;
	}
}

/*
 * The gateway answers, but holds no binding: it heard nothing of us for so long
 * that it gave up the transport, and we were too idle to notice. The path is good.
 */
static void disowned(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	const struct jv_session *s = c->session;

	if (c->bound && signal->version.term == s->version.term &&
	    signal->time_ns >= s->bound_ns && !jv_request_busy(&c->request, now_ms))
		transport_dead(c, JV_DETAIL_RX_SILENT, now_ms);
}

/* C22: no key is left to send with. The path is good; new keys come by REATTACH. */
static void keys_over(struct jv_client *c, uint64_t now_ms)
{
	if (!jv_epoch_usable(c->session) && c->bound)
		transport_dead(c, JV_DETAIL_KEY_EXHAUSTED, now_ms);
}

static void key_signal(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_epoch *e = jv_epoch_find(c->session, signal->cid);

	if (!e)
		return;
	switch (signal->kind) {
	case JVPN_SIGNAL_KIND_CONFIRMED:
		e->confirmed = true;
		confirmed(c, now_ms);
		break;
	case JVPN_SIGNAL_KIND_REKEY_DUE:
		if (e == jv_epoch_usable(c->session))
			rekey_now(c, JV_DETAIL_KEY_EXHAUSTED, now_ms);
		break;
	case JVPN_SIGNAL_KIND_EXHAUSTED:
		e->spent = true;
		keys_over(c, now_ms);
		break;
	default:
		jv_epoch_wipe(e);
		keys_over(c, now_ms);
	}
}

static void notice(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	if (signal->notice == JVPN_NOTICE_REKEY_NOW)
		rekey_now(c, JV_DETAIL_ADMIN, now_ms);
	else if (signal->notice == JVPN_NOTICE_DRAIN && c->bound && !c->request.form)
		jv_attempt_reattach(c, c->bound, JV_DETAIL_DRAIN, now_ms);
}

void jv_client_signal(struct jv_client *c, const struct jv_signal *signal, uint64_t now_ms)
{
	switch (signal->kind) {
	case JVPN_SIGNAL_KIND_CONFIRMED:
	case JVPN_SIGNAL_KIND_REKEY_DUE:
	case JVPN_SIGNAL_KIND_EXHAUSTED:
	case JVPN_SIGNAL_KIND_RETIRED:
		key_signal(c, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_NOTICE:
		notice(c, signal, now_ms);
		break;
	case JVPN_SIGNAL_KIND_VERSION:
		if (!signal->version.bver) {
			disowned(c, signal, now_ms);
			break;
		}
		c->heard = signal->version;
		learn(c, now_ms);
		break;
	case JVPN_SIGNAL_KIND_CLOSED:
		jv_session_event(c->session, JV_EVENT_PEER_CLOSE, JV_DETAIL_PEER_CLOSED, now_ms);
		break;
	default:
		path_signal(c, signal, now_ms);
	}
	if (c->session)
		jv_session_rearm(c->session);
}

/* Signals were lost. Starting the candidates anew makes the kernel say again what it sees. */
void jv_client_resync(struct jv_client *c, uint64_t now_ms)
{
	if (!c->session || !c->session->in_kernel || c->session->fsm.state == JV_STATE_BIRTH)
		return;
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		if (!c->standby[i].listed)
			continue;
		jv_kernel_candidate_del(c->clients->env->kernel, c->clients->link->ifindex,
					c->session->sid, i, NULL);
		c->standby[i].listed = false;
	}
	jv_standby_refresh(c, now_ms);
}

/* --- paths --- */

static void path_up(void *arg, struct jv_path *path)
{
	struct jv_clients *clients = arg;
	uint64_t now_ms = jv_now_ms();

	for (struct jv_client *c = clients->first; c; c = c->next) {
		c->standby[path->id] = (struct jv_standby){ 0 };
		if (!c->session) {
			begin(c, now_ms);
			continue;
		}
		if (c->session->fsm.state == JV_STATE_BIRTH)
			continue;
		jv_standby_refresh(c, now_ms);
		jv_client_figures(c);
		try_path(c, path, now_ms);
		if (c->session)
			jv_session_rearm(c->session);
	}
}

static void birth_path_down(struct jv_client *c, const struct jv_path *path, uint64_t now_ms)
{
	struct jv_path *other = jv_standby_best(c, path, now_ms);

	if (c->confirm_ms != JV_NEVER) {
		if (c->birth_path == path->id)
			jv_client_fail(c, JV_DETAIL_LINK_DOWN, 0, now_ms);
		return;
	}
	if (other && c->request.path_id == path->id)
		jv_attempt_prefer(c, other, now_ms);
	jv_attempt_run(c, now_ms);
}

static void path_down_for(struct jv_client *c, struct jv_path *path, uint64_t now_ms)
{
	struct jv_path *other;

	if (c->session->fsm.state == JV_STATE_BIRTH) {
		birth_path_down(c, path, now_ms);
		return;
	}
	if (c->bound == path) {
		transport_dead(c, JV_DETAIL_LINK_DOWN, now_ms);
	} else if (!c->session->fsm.bound && c->request.path_id == path->id) {
		other = jv_standby_best(c, path, now_ms);
		if (other)
			try_path(c, other, now_ms);
	} else if (c->wish.active && c->wish.generation == path->generation) {
		jv_wish_over(c, -ENOENT, JV_REASON_NO_CANDIDATE, "the transport is gone");
		jv_attempt_stay(c, now_ms);
	}
	if (!c->session)
		return;
	jv_standby_forget(c, path->id);
	jv_standby_refresh(c, now_ms);
	jv_client_figures(c);
}

static void path_down(void *arg, struct jv_path *path)
{
	struct jv_clients *clients = arg;
	uint64_t now_ms = jv_now_ms();

	for (struct jv_client *c = clients->first; c; c = c->next) {
		if (c->session)
			path_down_for(c, path, now_ms);
		if (c->session)
			jv_session_rearm(c->session);
	}
}

static void path_datagram(void *arg, struct jv_path *path, const struct jv_datagram *dgram)
{
	struct jv_clients *clients = arg;
	enum jv_reason reason = jv_wire_check(dgram->data, dgram->len);
	uint64_t now_ms = jv_now_ms();

	for (struct jv_client *c = clients->first; c && !reason && path->usable; c = c->next)
		if (jv_answer_datagram(c, path, dgram, now_ms))
			return;
	/* Well-formed, but it answers nothing that is outstanding. */
	jv_sessions_refuse(clients->sessions, reason ? reason : JV_REASON_NONCE_STALE, NULL,
			   clients->link, &dgram->from);
}

static const struct jv_paths_ops paths_ops = {
	.up = path_up,
	.down = path_down,
	.datagram = path_datagram,
};

/* --- life --- */

static void begin(struct jv_client *c, uint64_t now_ms)
{
	struct jv_path *path = jv_standby_best(c, NULL, now_ms);

	if (c->session || !path || c->start_ms == JV_NEVER)
		return;
	if (now_ms < c->start_ms) {
		jv_timer_set(&c->start, c->start_ms);
		return;
	}
	jv_attempt_reset(c);
	c->bound_generation = 0;
	c->heard = (struct jv_version){ 0 };
	c->terms = (struct jv_init_answer){ 0 };
	c->session = jv_session_new(c->clients->sessions, &client_ops, c, c->clients->link,
				    c->peer, JV_CLIENT, BIRTH_MS, now_ms);
	if (!c->session) {
		c->start_ms = now_ms + JV_START_CAP_MS;
		jv_timer_set(&c->start, c->start_ms);
		return;
	}
	randombytes_buf(c->cid, sizeof(c->cid));
	jv_attempt_init(c, path, now_ms);
	jv_session_rearm(c->session);
}

static void on_start(void *arg)
{
	begin(arg, jv_now_ms());
}

int jv_client_add(struct jv_clients *clients, struct jv_peer *peer, struct jv_error *err)
{
	struct jv_client *c = calloc(1, sizeof(*c)), **last;

	if (!c)
		return jv_error_set(err, ENOMEM, "no memory for peer %s", peer->name);
	if (jv_timer_add(clients->env->loop, &c->start, JV_PRIO_TIMER, on_start, c) < 0) {
		free(c);
		return jv_error_set(err, ENOMEM, "no timer for peer %s", peer->name);
	}
	c->clients = clients;
	c->peer = peer;
	c->start_wait_ms = JV_START_MS;
	c->confirm_ms = JV_NEVER;
	c->rekey_ms = JV_NEVER;
	jv_tag1_key(c->tag1_key, peer->public_key);
	jv_attempt_reset(c);
	for (last = &clients->first; *last; last = &(*last)->next)
		;
	*last = c;
	peer->shard = c;
	begin(c, jv_now_ms());
	return 0;
}

void jv_client_remove(struct jv_client *c, enum jv_detail detail)
{
	struct jv_client **at = &c->clients->first;

	if (c->session) {
		jv_session_close(c->session, detail);
		jv_session_event(c->session, JV_EVENT_OPERATOR_TERMINATE, detail, jv_now_ms());
	}
	jv_tunnel_down(c);
	jv_timer_del(&c->start);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->peer->shard = NULL;
	jv_attempt_reset(c);
	sodium_memzero(c, sizeof(*c));
	free(c);
}

struct jv_clients *jv_clients_new(struct jv_env *env, struct jv_sessions *sessions,
				  struct jv_link *link)
{
	struct jv_clients *clients = calloc(1, sizeof(*clients));

	if (!clients)
		return NULL;
	clients->env = env;
	clients->sessions = sessions;
	clients->link = link;
	if (jv_paths_init(&clients->paths, env, link, &paths_ops, clients) < 0) {
		free(clients);
		return NULL;
	}
	return clients;
}

void jv_clients_free(struct jv_clients *clients, bool gone)
{
	while (clients->first)
		jv_client_remove(clients->first, JV_DETAIL_LOCAL_CLOSED);
	jv_paths_stop(&clients->paths, gone);
	free(clients);
}
