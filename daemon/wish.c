// SPDX-License-Identifier: GPL-2.0
/* What an operator asks of a client's session, from the question to the answer. */
#include <errno.h>

#include "client.h"

static const struct jv_policy *policy(const struct jv_client *c)
{
	return &c->peer->policy->policy;
}

void jv_wish_over(struct jv_client *c, int error, enum jv_reason reason, const char *text)
{
	struct jv_wish wish = c->wish;
	struct jv_command_result result = { .reason = reason };
	struct jv_audit_record record;
	struct jv_error err = { 0 };

	if (!wish.active)
		return;
	c->wish = (struct jv_wish){ .until_ms = JV_NEVER };
	if (c->session) {
		result.version = c->session->version;
		result.state_version = c->session->fsm.state_version;
	}
	if (error && c->session && wish.kind == JV_WISH_SWITCH) {
		jv_session_record(c->session, &record, error == -EPERM
				  ? JV_AUDIT_TRANSPORT_SWITCH_DENIED
				  : JV_AUDIT_TRANSPORT_SWITCH_FAILED);
		record.reason = reason;
		record.detail = JV_DETAIL_ADMIN;
		jv_audit_push(c->clients->env->audit, &record);
	}
	if (error)
		jv_error_set(&err, -error, "%s", text);
	if (wish.done)
		wish.done(wish.arg, error, &result, &err);
}

/* --- what is not even tried --- */

static const char *not_now(const struct jv_client *c, int *error, enum jv_reason *reason)
{
	const struct jv_session *s = c->session;

	*error = -EPERM;
	*reason = JV_REASON_INVALID_STATE_FOR_REATTACH;
	if (s->fsm.state == JV_STATE_BIRTH || jv_session_ended(s))
		return "the session is not attached";
	if (!s->fsm.bound || !c->bound)
		return "the session has lost its transport and is recovering by itself";
	if (c->wish.active)
		return "another command is under way";
	return NULL;
}

static const char *no_switch(const struct jv_client *c, const struct jv_path *path,
			     uint64_t now_ms, int *error, enum jv_reason *reason)
{
	const char *refused = not_now(c, error, reason);
	uint32_t wait_ms;

	if (refused)
		return refused;
	if (c->bound == path) {
		*error = -EINVAL;
		return "the session uses that transport already";
	}
	*reason = jv_fsm_may_switch(&c->session->fsm, policy(c), JV_SWITCH_OPERATOR, now_ms,
				    &wait_ms);
	return *reason ? jv_reason_text(*reason) : NULL;
}

static const char *no_renewal(const struct jv_client *c, enum jv_wish_kind kind, uint64_t now_ms,
			      int *error, enum jv_reason *reason)
{
	const char *refused = not_now(c, error, reason);

	if (refused || kind != JV_WISH_REKEY || !c->session->rekeyed_ms ||
	    now_ms - c->session->rekeyed_ms >= JV_REKEY_PAUSE_MS)
		return refused;
	*reason = JV_REASON_RATE_LIMITED;
	return "the keys are new, a gateway replaces them once in 5 s";
}

/* Answer a wish that was never begun; the one under way, if any, goes on. */
static void decline(struct jv_client *c, const struct jv_wish *wish, int error,
		    enum jv_reason reason, const char *text)
{
	struct jv_wish under_way = c->wish;

	c->wish = *wish;
	jv_wish_over(c, error, reason, text);
	c->wish = under_way;
}

static struct jv_wish make(enum jv_wish_kind kind, const struct jv_path *path, jv_shard_done done,
			   void *arg, uint64_t now_ms)
{
	return (struct jv_wish){
		.kind = kind, .done = done, .arg = arg, .active = true,
		.generation = path ? path->generation : 0,
		.since_us = jv_now_ns() / 1000, .until_ms = now_ms + JV_WISH_MS,
	};
}

void jv_client_switch(struct jv_client *c, struct jv_path *path, jv_shard_done done, void *arg,
		      uint64_t now_ms)
{
	struct jv_wish wish = make(JV_WISH_SWITCH, path, done, arg, now_ms);
	enum jv_reason reason;
	const char *refused;
	int error;

	refused = no_switch(c, path, now_ms, &error, &reason);
	if (refused) {
		decline(c, &wish, error, reason, refused);
		return;
	}
	c->wish = wish;
	jv_attempt_switch(c, path, JV_DETAIL_ADMIN, false, now_ms);
	jv_session_rearm(c->session);
}

void jv_client_renew(struct jv_client *c, enum jv_wish_kind kind, jv_shard_done done, void *arg,
		     uint64_t now_ms)
{
	struct jv_wish wish = make(kind, c->bound, done, arg, now_ms);
	enum jv_reason reason;
	const char *refused;
	int error;

	refused = no_renewal(c, kind, now_ms, &error, &reason);
	if (refused) {
		decline(c, &wish, error, reason, refused);
		return;
	}
	c->wish = wish;
	if (kind == JV_WISH_REKEY)
		jv_attempt_rekey(c, JV_DETAIL_ADMIN, now_ms);
	else
		jv_attempt_reattach(c, c->bound, JV_DETAIL_ADMIN, now_ms);
	jv_session_rearm(c->session);
}

void jv_client_forget(struct jv_client *c, void *arg)
{
	if (c->wish.active && c->wish.arg == arg)
		c->wish.done = NULL;
}
