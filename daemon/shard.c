// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "gateway.h"
#include "log.h"
#include "shard.h"

struct jv_shard {
	struct jv_env *env;
	struct jv_sessions sessions;
};

struct jv_shard *jv_shard_new(struct jv_env *env)
{
	struct jv_shard *shard = calloc(1, sizeof(*shard));

	if (!shard)
		return NULL;
	shard->env = env;
	if (jv_sessions_init(&shard->sessions, env)) {
		free(shard);
		return NULL;
	}
	return shard;
}

void jv_shard_free(struct jv_shard *shard)
{
	jv_sessions_free(&shard->sessions);
	free(shard);
}

/* --- links --- */

/* Sessions that a former daemon left in the kernel. */
struct leftovers {
	size_t n, room;
	struct jv_kernel_session_state *state;
};

static void collect(void *arg, const struct jv_kernel_session_state *state)
{
	struct leftovers *l = arg;
	void *more;

	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		more = reallocarray(l->state, l->room, sizeof(*l->state));
		if (!more) {
			l->room = l->n;
			return;
		}
		l->state = more;
	}
	l->state[l->n++] = *state;
}

static void end_leftover(struct jv_shard *shard, const struct jv_link *link,
			 const struct jv_kernel_session_state *state)
{
	struct jv_kernel_frame close = { .type = JVPN_F_CLOSE, .reason = JV_DETAIL_OWNER_CHANGED };
	struct jv_audit_record record = {
		.event = JV_AUDIT_TERMINATION_EVENT, .has_sid = true,
		.reason = JV_REASON_OWNER_LOST, .detail = JV_DETAIL_OWNER_CHANGED,
		.gateway = state->role == JVPN_ROLE_GATEWAY,
		.state_version = state->state_version, .version = state->version,
		.lifetime_ms = state->age_ms,
	};

	memcpy(close.sid, state->sid, sizeof(close.sid));
	memcpy(record.sid, state->sid, sizeof(record.sid));
	snprintf(record.peer, sizeof(record.peer), "%s", state->label);
	snprintf(record.link, sizeof(record.link), "%s", link->name);
	for (int i = 0; i < 3 && state->bound; i++)
		jv_kernel_frame_send(shard->env->kernel, link->ifindex, &close, NULL);
	jv_kernel_session_del(shard->env->kernel, link->ifindex, state->sid, NULL);
	jv_audit_push(shard->env->audit, &record);
}

/*
 * The keys that move a binding died with the former daemon, so its sessions cannot
 * be taken over. Their peers are told by what still can, the session's own keys,
 * and come back at once with a new handshake.
 */
static int end_leftovers(struct jv_shard *shard, const struct jv_link *link, struct jv_error *err)
{
	struct leftovers l = { 0 };
	int r = jv_kernel_session_dump(shard->env->kernel, link->ifindex, collect, &l, err);

	for (size_t i = 0; i < l.n; i++)
		end_leftover(shard, link, &l.state[i]);
	if (l.n)
		jv_info("%s: ended %zu sessions of a former daemon", link->name, l.n);
	free(l.state);
	return r;
}

static int take_device(struct jv_shard *shard, const struct jv_link *link, struct jv_error *err)
{
	struct jv_kernel_device device = { .role = JVPN_ROLE_CLIENT };

	if (link->listening) {
		device.role = JVPN_ROLE_GATEWAY;
		device.term = shard->env->term;
		device.keys = 1;
		jv_tag1_key(device.key[0].tag_key, link->key->public);
	}
	return jv_kernel_dev_set(shard->env->kernel, link->ifindex, &device, err);
}

static int link_up(void *arg, struct jv_link *link, struct jv_error *err)
{
	struct jv_shard *shard = arg;
	struct jv_error up;
	int r = take_device(shard, link, err);

	if (!r)
		r = end_leftovers(shard, link, err);
	if (r)
		return r;
	if (link->listening) {
		link->shard = jv_gateway_new(shard->env, &shard->sessions, link, err);
	} else {
		link->shard = jv_clients_new(shard->env, &shard->sessions, link);
		if (!link->shard)
			jv_error_set(err, ENOMEM, "no memory for link %s", link->name);
	}
	if (!link->shard)
		return err && err->code ? -err->code : -EIO;
	if (link->listening && jv_rtnl_up(shard->env->rtnl, link->ifindex, &up))
		jv_warn("%s: %s", link->name, up.text);
	return 0;
}

/* Everything of @link or @peer has ended by now; tombstones must not outlive their names. */
static void forget(struct jv_shard *shard, const struct jv_link *link, const struct jv_peer *peer)
{
	struct jv_session *s, *next;

	for (s = shard->sessions.first; s; s = next) {
		next = s->next;
		if (jv_session_ended(s) && (s->link == link || s->peer == peer))
			jv_session_free(s);
	}
}

static void link_down(void *arg, struct jv_link *link, bool gone)
{
	struct jv_shard *shard = arg;

	if (!link->shard)
		return;
	if (link->listening)
		jv_gateway_free(link->shard, gone);
	else
		jv_clients_free(link->shard, gone);
	link->shard = NULL;
	forget(shard, link, NULL);
}

/* --- peers --- */

static int peer_up(void *arg, struct jv_peer *peer, struct jv_error *err)
{
	(void)arg;
	if (peer->link->listening)
		return jv_gateway_peer_add(peer, err);
	return peer->endpoints ? jv_client_add(peer->link->shard, peer, err) : 0;
}

static void peer_down(void *arg, struct jv_peer *peer)
{
	struct jv_shard *shard = arg;

	if (peer->shard && peer->link->listening)
		jv_gateway_peer_remove(peer, JV_DETAIL_AUTH_WITHDRAWN);
	else if (peer->shard)
		jv_client_remove(peer->shard, JV_DETAIL_LOCAL_CLOSED);
	forget(shard, NULL, peer);
}

/* --- transports and interfaces --- */

static struct jv_clients *clients_of(const struct jv_link *link)
{
	return link->up && !link->listening ? link->shard : NULL;
}

static int transport_up(void *arg, struct jv_transport *transport, struct jv_error *err)
{
	struct jv_clients *clients = transport->link->listening ? NULL : transport->link->shard;

	(void)arg;
	(void)err;
	transport->up = true;
	if (clients)
		jv_paths_settle(&clients->paths);
	return 0;
}

static void transport_down(void *arg, struct jv_transport *transport)
{
	struct jv_clients *clients = transport->link->listening ? NULL : transport->link->shard;

	(void)arg;
	transport->up = false;
	if (clients)
		jv_paths_withdraw(&clients->paths, transport);
}

void jv_shard_iface(struct jv_shard *shard, const struct jv_iface *iface, bool gone)
{
	struct jv_link *link;

	for (link = jv_node_links(shard->env->node); link; link = link->next)
		if (clients_of(link))
			jv_paths_iface(&clients_of(link)->paths, iface, gone);
}

void jv_shard_transport_info(const struct jv_shard *shard, const struct jv_transport *transport,
			     struct jv_transport_info *info)
{
	struct jv_clients *clients = clients_of(transport->link);
	struct jv_path *path = clients ? jv_paths_of(&clients->paths, transport) : NULL;

	(void)shard;
	*info = (struct jv_transport_info){ .path = -1 };
	if (!path)
		return;
	info->up = true;
	info->path = path->id;
	info->local = path->local;
	memcpy(info->dev, path->dev, sizeof(info->dev));
}

/* --- policies --- */

static void policy_changed(void *arg, const struct jv_named_policy *policy)
{
	struct jv_shard *shard = arg;
	struct jv_session *s;

	for (s = shard->sessions.first; s; s = s->next) {
		if (s->policy != policy || jv_session_ended(s))
			continue;
		if (s->fsm.role == JV_CLIENT)
			jv_client_figures(s->role);
		if (s->fsm.state != JV_STATE_BIRTH)
			jv_session_limits(s, jv_now_ms());
		jv_session_rearm(s);
	}
}

const struct jv_node_ops jv_shard_node_ops = {
	.link_up = link_up,
	.link_down = link_down,
	.peer_up = peer_up,
	.peer_down = peer_down,
	.transport_up = transport_up,
	.transport_down = transport_down,
	.policy_changed = policy_changed,
};

/* --- the data plane --- */

void jv_shard_signal(struct jv_shard *shard, const struct jv_signal *signal)
{
	struct jv_session *s;
	uint64_t now_ms = jv_now_ms();

	s = signal->has_sid ? jv_sessions_by_sid(&shard->sessions, signal->sid) : NULL;
	if (!s || jv_session_ended(s) || s->link->ifindex != signal->ifindex)
		return;
	if (!jv_session_expire(s, now_ms))
		return;
	if (signal->kind == JVPN_SIGNAL_KIND_EXPIRED) {
		jv_session_expired(s, signal->reason, now_ms);
		return;
	}
	if (s->fsm.role == JV_GATEWAY)
		jv_gateway_signal(s->link->shard, s, signal, now_ms);
	else
		jv_client_signal(s->role, signal, now_ms);
}

void jv_shard_session_gone(struct jv_shard *shard, int ifindex, const uint8_t sid[JVPN_SID_LEN])
{
	struct jv_session *s = jv_sessions_by_sid(&shard->sessions, sid);

	if (s && !jv_session_ended(s) && s->link->ifindex == ifindex)
		jv_session_lost(s, JV_EVENT_OPERATOR_TERMINATE, jv_now_ms());
}

/* One session that may have changed while nobody listened. */
static void resync_one(struct jv_shard *shard, struct jv_session *s, uint64_t now_ms)
{
	struct jv_kernel_session_state state;
	int r = jv_kernel_session_get(shard->env->kernel, s->link->ifindex, s->sid, &state, NULL);

	if (r == -ENOENT)
		jv_session_lost(s, JV_EVENT_OPERATOR_TERMINATE, now_ms);
	else if (!r && s->fsm.role == JV_CLIENT)
		jv_client_resync(s->role, now_ms);
	else if (!r && state.bver_seen > s->bver_c && state.version.term == s->version.term)
		s->bver_c = state.bver_seen;
}

void jv_shard_resync(struct jv_shard *shard)
{
	struct jv_session *s, *next;
	uint64_t now_ms = jv_now_ms();

	for (s = shard->sessions.first; s; s = next) {
		next = s->next;
		if (!jv_session_ended(s) && s->in_kernel)
			resync_one(shard, s, now_ms);
	}
}

/* --- for people --- */

static bool id_matches(const struct jv_session *s, const char *id)
{
	char hex[2 * JVPN_SID_LEN + 1];

	if (!s->has_sid)
		return !id;
	return !id || !strncasecmp(jv_hex(s->sid, sizeof(s->sid), hex), id, strlen(id));
}

static void describe_transports(const struct jv_session *s, struct jv_session_info *info)
{
	struct jv_client *c = s->role;
	struct jv_paths *paths;

	if (s->fsm.role != JV_CLIENT || !c)
		return;
	paths = &c->clients->paths;
	if (s->fsm.bound)
		info->transport = s->transport;
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (paths->path[i].usable && &paths->path[i] != c->bound)
			info->candidate[info->candidates++] = paths->path[i].transport->name;
}

static void describe_inner(const struct jv_session *s, struct jv_session_info *info)
{
	const struct jv_client *c = s->role;

	if (s->fsm.role == JV_GATEWAY) {
		info->inner_count = s->peer->prefixes;
		memcpy(info->inner, s->peer->prefix,
		       s->peer->prefixes * sizeof(info->inner[0]));
		return;
	}
	if (c && c->has4)
		info->inner[info->inner_count++] = c->inner4;
	if (c && c->has6)
		info->inner[info->inner_count++] = c->inner6;
}

static void describe(const struct jv_session *s, struct jv_session_info *info, uint64_t now_ms)
{
	const struct jv_policy *policy = jv_session_policy(s);
	const struct jv_fsm *f = &s->fsm;

	*info = (struct jv_session_info){
		.peer = s->peer,
		.gateway = f->role == JV_GATEWAY,
		.state = f->state,
		.state_version = f->state_version,
		.version = s->version,
		.policy = s->policy->name,
		.switches_max = policy->max_switches,
	};
	memcpy(info->sid, s->sid, sizeof(info->sid));
	if (f->bound)
		info->remote = s->remote;
	for (unsigned int i = 0; i < f->ring.count; i++)
		if (now_ms - f->ring.at_ms[i] <= policy->switch_window)
			info->switches_used++;
	if (f->cooldown_until_ms != JV_NEVER && f->cooldown_until_ms > now_ms)
		info->cooldown_left_ms = f->cooldown_until_ms - now_ms;
	info->recovering = f->recovery_until_ms != JV_NEVER;
	if (info->recovering && f->recovery_until_ms > now_ms)
		info->recovery_left_ms = f->recovery_until_ms - now_ms;
	info->transport_lost = f->transport_lost_ms != JV_NEVER;
	if (info->transport_lost)
		info->transport_lost_ms = now_ms - f->transport_lost_ms;
	describe_transports(s, info);
	describe_inner(s, info);
}

int jv_shard_session_show(struct jv_shard *shard, const char *id,
			  void (*fn)(void *arg, const struct jv_session_info *info), void *arg,
			  struct jv_error *err)
{
	struct jv_session_info info;
	const struct jv_session *s;
	uint64_t now_ms = jv_now_ms();
	bool found = false;

	for (s = shard->sessions.first; s; s = s->next) {
		if (!id_matches(s, id))
			continue;
		found = true;
		describe(s, &info, now_ms);
		fn(arg, &info);
	}
	if (!found && id)
		return jv_error_set(err, ENOENT, "no session's id begins with \"%s\"", id);
	return 0;
}

void jv_shard_session_count(const struct jv_shard *shard, uint64_t by_state[8])
{
	memcpy(by_state, shard->sessions.state, sizeof(shard->sessions.state));
}

/* The one live session that @id means. */
static struct jv_session *find(struct jv_shard *shard, const char *id, struct jv_error *err)
{
	struct jv_session *s, *found = NULL;

	for (s = shard->sessions.first; s; s = s->next) {
		if (!s->has_sid || jv_session_ended(s) || !id_matches(s, id))
			continue;
		if (found) {
			jv_error_param(err, "id", "\"%s\" begins more than one session's id", id);
			return NULL;
		}
		found = s;
	}
	if (!found)
		jv_error_set(err, ENOENT, "no session's id begins with \"%s\"", id);
	return found;
}

/* 0, or -ESTALE: the session is not at the version that was named. */
static int check_version(const struct jv_session *s, const uint64_t *if_version,
			 struct jv_command_result *result, struct jv_error *err)
{
	result->version = s->version;
	result->state_version = s->fsm.state_version;
	if (!if_version || *if_version == s->fsm.state_version)
		return 0;
	return jv_error_set(err, ESTALE, "the session is at version %llu, not at %llu",
			    (unsigned long long)s->fsm.state_version,
			    (unsigned long long)*if_version);
}

static struct jv_path *find_path(const struct jv_session *s, const char *transport,
				 struct jv_error *err)
{
	struct jv_client *c = s->role;
	struct jv_path *path;

	if (s->fsm.role != JV_CLIENT) {
		jv_error_param(err, "id", "the session is a client's of ours: the client decides "
			       "which transport it uses");
		return NULL;
	}
	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		path = &c->clients->paths.path[i];
		if (path->usable && (!strcmp(path->transport->name, transport) ||
				     !strcmp(path->dev, transport)))
			return path;
	}
	jv_error_set(err, ENOENT, "no transport or interface \"%s\" is up", transport);
	return NULL;
}

void jv_shard_session_switch(struct jv_shard *shard, const char *id, const char *transport,
			     const uint64_t *if_version, const char *reason,
			     jv_shard_done done, void *arg)
{
	struct jv_command_result result = { 0 };
	struct jv_error err = { 0 };
	struct jv_session *s = find(shard, id, &err);
	struct jv_path *path = s ? find_path(s, transport, &err) : NULL;

	if (path && !check_version(s, if_version, &result, &err)) {
		if (reason)
			jv_info("%s: operator switches to %s: %s", s->link->name, transport,
				reason);
		jv_client_switch(s->role, path, done, arg, jv_now_ms());
		return;
	}
	done(arg, -err.code, &result, &err);
}

/* NOTICE to the client: it decides. */
static int hint(const struct jv_session *s, enum jv_renewal what, struct jv_error *err)
{
	struct jv_kernel_frame frame = {
		.type = JVPN_F_NOTICE,
		.notice = what == JV_RENEW_KEYS ? JVPN_NOTICE_REKEY_NOW : JVPN_NOTICE_DRAIN,
	};

	if (!s->fsm.bound)
		return jv_error_set(err, EPERM, "the session has no transport: its client "
				    "comes back by itself");
	memcpy(frame.sid, s->sid, sizeof(frame.sid));
	return jv_kernel_frame_send(s->all->env->kernel, s->link->ifindex, &frame, err);
}

void jv_shard_session_renew(struct jv_shard *shard, const char *id, enum jv_renewal what,
			    const uint64_t *if_version, const char *reason,
			    jv_shard_done done, void *arg)
{
	struct jv_command_result result = { .reason = JV_REASON_INVALID_STATE_FOR_REATTACH };
	struct jv_error err = { 0 };
	struct jv_session *s = find(shard, id, &err);

	if (!s || check_version(s, if_version, &result, &err)) {
		done(arg, -err.code, &result, &err);
		return;
	}
	if (reason)
		jv_info("%s: operator renews %s of %s: %s", s->link->name,
			what == JV_RENEW_KEYS ? "the keys" : "the binding", s->peer->name, reason);
	if (s->fsm.role == JV_CLIENT) {
		jv_client_renew(s->role, what == JV_RENEW_KEYS ? JV_WISH_REKEY : JV_WISH_REATTACH,
				done, arg, jv_now_ms());
		return;
	}
	done(arg, hint(s, what, &err), &result, &err);
}

void jv_shard_session_forget(struct jv_shard *shard, void *arg)
{
	struct jv_session *s;

	for (s = shard->sessions.first; s; s = s->next)
		if (s->fsm.role == JV_CLIENT && s->role)
			jv_client_forget(s->role, arg);
}

int jv_shard_session_terminate(struct jv_shard *shard, const char *id,
			       const uint64_t *if_version, const char *reason,
			       struct jv_command_result *result, struct jv_error *err)
{
	struct jv_session *s;
	int r;

	*result = (struct jv_command_result){ 0 };
	s = find(shard, id, err);
	if (!s)
		return -err->code;
	r = check_version(s, if_version, result, err);
	if (r)
		return r;
	if (reason)
		jv_info("%s: operator ends the session of %s: %s", s->link->name, s->peer->name,
			reason);
	jv_session_close(s, JV_DETAIL_ADMIN);
	jv_session_event(s, JV_EVENT_OPERATOR_TERMINATE, JV_DETAIL_ADMIN, jv_now_ms());
	result->version = s->version;
	result->state_version = s->fsm.state_version;
	return 0;
}

/* --- the end --- */

void jv_shard_stop(struct jv_shard *shard)
{
	struct jv_session *s, *next;
	uint64_t now_ms = jv_now_ms();

	for (s = shard->sessions.first; s; s = next) {
		next = s->next;
		if (jv_session_ended(s))
			continue;
		jv_session_close(s, JV_DETAIL_LOCAL_CLOSED);
		jv_session_event(s, JV_EVENT_OPERATOR_TERMINATE, JV_DETAIL_LOCAL_CLOSED, now_ms);
	}
}
