// SPDX-License-Identifier: GPL-2.0
#include "client.h"
#include "select.h"

/* How ready a path is to take over, best first. */
enum readiness { WARM, ALIVE, UNTRIED, DOUBTFUL, READINESSES };

static enum readiness readiness(const struct jv_standby *s, uint64_t now_ms)
{
	if (s->state == JVPN_PATH_STATE_DEAD)
		return DOUBTFUL;
	if (s->state != JVPN_PATH_STATE_ALIVE)
		return UNTRIED;
	return s->cookie_ms && now_ms - s->cookie_ms <= JV_COOKIE_LIFE_MS ? WARM : ALIVE;
}

static struct jv_candidate describe(const struct jv_path *path, const struct jv_standby *s)
{
	return (struct jv_candidate){
		.id = path->id,
		.usable = path->usable,
		.preference = path->transport ? path->transport->preference : 0,
		.srtt_us = s->srtt_us,
		.seen_ms = s->seen_ms,
	};
}

static struct jv_path *best_of(const struct jv_client *c, const struct jv_path *except,
			       enum readiness want, uint64_t now_ms)
{
	struct jv_paths *paths = &c->clients->paths;
	struct jv_candidate set[JVPN_PATH_MAX];
	int best;

	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		set[i] = describe(&paths->path[i], &c->standby[i]);
		set[i].usable &= readiness(&c->standby[i], now_ms) == want;
	}
	best = jv_select_best(set, JVPN_PATH_MAX, &c->peer->policy->policy,
			      except ? except->id : -1, now_ms);
	return best < 0 ? NULL : &paths->path[set[best].id];
}

struct jv_path *jv_standby_best(const struct jv_client *c, const struct jv_path *except,
				uint64_t now_ms)
{
	struct jv_path *path;

	for (unsigned int want = WARM; want < READINESSES; want++) {
		path = best_of(c, except, want, now_ms);
		if (path)
			return path;
	}
	/* What was declared dead is still better than nothing. */
	return except && except->usable ? (struct jv_path *)except : NULL;
}

struct jv_path *jv_standby_next(const struct jv_client *c, uint8_t path_id)
{
	struct jv_paths *paths = &c->clients->paths;
	struct jv_path *doubtful = NULL;

	for (unsigned int i = 1; i <= JVPN_PATH_MAX; i++) {
		struct jv_path *path = &paths->path[(path_id + i) % JVPN_PATH_MAX];

		if (!path->usable)
			continue;
		if (c->standby[path->id].state != JVPN_PATH_STATE_DEAD)
			return path;
		if (!doubtful)
			doubtful = path;
	}
	return doubtful;
}

/* The ids that would be one too many for the policy. */
static uint32_t surplus(const struct jv_client *c, uint64_t now_ms)
{
	const struct jv_paths *paths = &c->clients->paths;
	struct jv_candidate set[JVPN_PATH_MAX];
	uint8_t evict[JVPN_PATH_MAX];
	uint32_t mask = 0;
	size_t n = 0, out;

	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++)
		if (paths->path[i].usable)
			set[n++] = describe(&paths->path[i], &c->standby[i]);
	out = jv_select_evict(set, n, &c->peer->policy->policy, c->bound ? c->bound->id : -1,
			      now_ms, evict);
	while (out--)
		mask |= 1u << evict[out];
	return mask;
}

void jv_standby_refresh(struct jv_client *c, uint64_t now_ms)
{
	struct jv_kernel *kernel = c->clients->env->kernel;
	int ifindex = c->clients->link->ifindex;
	uint32_t out = surplus(c, now_ms);
	struct jv_error err;

	for (unsigned int i = 0; i < JVPN_PATH_MAX; i++) {
		bool want = c->clients->paths.path[i].usable && !(out & 1u << i);

		if (want == c->standby[i].listed)
			continue;
		if (!want)
			jv_kernel_candidate_del(kernel, ifindex, c->session->sid, i, NULL);
		else if (jv_kernel_candidate_set(kernel, ifindex, c->session->sid, i,
						 jv_client_gateway(c), &err))
			continue;
		c->standby[i].listed = want;
	}
}

void jv_standby_forget(struct jv_client *c, uint8_t path_id)
{
	if (c->standby[path_id].listed && c->session)
		jv_kernel_candidate_del(c->clients->env->kernel, c->clients->link->ifindex,
					c->session->sid, path_id, NULL);
	c->standby[path_id] = (struct jv_standby){ 0 };
	jv_request_path_gone(&c->request, path_id);
}
