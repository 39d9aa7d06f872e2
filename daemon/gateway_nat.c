// SPDX-License-Identifier: GPL-2.0
/*
 * A source that is not the binding (PROTOCOL.md 6.6): a NAT on the way may have given
 * the client another address, or somebody relays its packets. Both addresses are
 * asked. What was asked of the bound one and is answered, from wherever, has reached
 * the client there, and a packet from there that is newer than what began this was
 * sent there: the binding lives and stays. If only the new source answers, it becomes
 * the binding, under the limits of every other move.
 */
#include <sodium.h>

#include "gateway.h"
#include "log.h"

enum {
	CHALLENGE_MS = 1000,		/* for the answer of the new source */
	GRACE_MS = 20,			/* then for that of the old one */
	SHUN_MS = 5000,			/* a source that had no right to it */
	OLD_COPIES = 2,			/* a loss there would speak for the new source */
};

static void ask(const struct jv_gateway *g, const struct jv_session *s,
		const union jv_addr *where, const uint8_t nonce[8])
{
	struct jv_kernel_frame frame = {
		.type = JVPN_F_PROBE, .flags = JVPN_PROBE_NAT_CHECK,
		.has_path = true, .path = JV_GATEWAY_PATH, .remote = *where, .has_nonce = true,
	};

	memcpy(frame.sid, s->sid, sizeof(frame.sid));
	memcpy(frame.nonce, nonce, sizeof(frame.nonce));
	jv_kernel_frame_send(g->env->kernel, g->link->ifindex, &frame, NULL);
}

/*
 * Not while the client may still wait for the answer to a request: what it sends where
 * it was must not pull the binding back. Its first packet of this version ends that.
 */
static bool may_challenge(const struct jv_gateway *g, const struct jv_session *s,
			  const union jv_addr *source, uint64_t now_ms)
{
	const struct jv_challenge *c = &s->challenge;

	if (jv_session_policy(s)->nat_rebind != JV_NAT_CHALLENGE || !s->fsm.bound ||
	    s->fsm.frozen || s->version.term != g->env->term || s->bver_c != s->version.bver)
		return false;
	if (!source->sa.sa_family || jv_addr_equal(source, &s->remote) || c->until_ms)
		return false;
	return now_ms >= c->shunned_until_ms || !jv_addr_equal(source, &c->shunned);
}

void jv_gateway_source(struct jv_gateway *g, struct jv_session *s,
		       const struct jv_signal *signal, uint64_t now_ms)
{
	struct jv_challenge *c = &s->challenge;

	if (!may_challenge(g, s, &signal->remote, now_ms))
		return;
	c->source = signal->remote;
	c->proven = false;
	c->until_ms = now_ms + CHALLENGE_MS;
	c->bver = s->version.bver;
	c->since_ns = signal->time_ns;
	randombytes_buf(c->new_nonce, sizeof(c->new_nonce));
	randombytes_buf(c->old_nonce, sizeof(c->old_nonce));
	ask(g, s, &c->source, c->new_nonce);
	for (int i = 0; i < OLD_COPIES; i++)
		ask(g, s, &s->remote, c->old_nonce);
	jv_session_rearm(s);
}

static void stop(struct jv_challenge *c)
{
	c->until_ms = 0;
	sodium_memzero(c->new_nonce, sizeof(c->new_nonce));
	sodium_memzero(c->old_nonce, sizeof(c->old_nonce));
}

/* The bound address lives: whoever is at the other one is kept away for a while. */
static void shun(struct jv_gateway *g, struct jv_session *s, uint64_t now_ms)
{
	struct jv_challenge *c = &s->challenge;

	c->shunned = c->source;
	c->shunned_until_ms = now_ms + SHUN_MS;
	stop(c);
	jv_sessions_refuse(g->sessions, JV_REASON_INVALID_TRANSPORT_CANDIDATE, s, g->link,
			   &c->shunned);
}

/* Has anything newer than what began this come from the bound address since? */
static bool old_lives(const struct jv_challenge *c, const struct jv_signal *signal)
{
	return signal->time_ns > c->since_ns + (signal->silent_ms + 1ULL) * 1000000;
}

void jv_gateway_acked(struct jv_gateway *g, struct jv_session *s, const struct jv_signal *signal,
		      uint64_t now_ms)
{
	struct jv_challenge *c = &s->challenge;

	if (!c->until_ms || c->bver != s->version.bver)
		return;
	if (!sodium_memcmp(signal->nonce, c->old_nonce, sizeof(c->old_nonce))) {
		shun(g, s, now_ms);
	} else if (jv_addr_equal(&signal->remote, &c->source) &&
		   !sodium_memcmp(signal->nonce, c->new_nonce, sizeof(c->new_nonce))) {
		if (old_lives(c, signal)) {
			shun(g, s, now_ms);
			return;
		}
		c->proven = true;
		c->until_ms = now_ms + GRACE_MS;
		jv_session_rearm(s);
	}
}

/* G10: a move like any other, only that nobody asked for it. */
static enum jv_reason rebind(struct jv_session *s, uint64_t now_ms)
{
	struct jv_event event = {
		.kind = JV_EVENT_REATTACH_OK, .detail = JV_DETAIL_NAT_REBIND, .moves = true,
	};
	struct jv_move move = {
		.version = { s->version.term, s->version.bver + 1 },
		.path = JV_GATEWAY_PATH,
		.remote = s->challenge.source,
	};
	enum jv_reason reason;
	uint32_t wait_ms;

	reason = jv_fsm_admit_policy(&s->fsm, jv_session_policy(s), JV_SWITCH_FORCED, true,
				     now_ms, &wait_ms);
	return reason ? reason : jv_session_step(s, &event, &move, now_ms);
}

uint64_t jv_gateway_deadline(const struct jv_session *s)
{
	return s->challenge.until_ms ? s->challenge.until_ms : JV_NEVER;
}

void jv_gateway_due(struct jv_session *s, uint64_t now_ms)
{
	struct jv_challenge *c = &s->challenge;
	struct jv_gateway *g = s->link->shard;
	bool proven = c->proven && c->bver == s->version.bver && s->fsm.bound;
	enum jv_reason reason;

	if (!c->until_ms || now_ms < c->until_ms)
		return;
	stop(c);
	reason = proven ? rebind(s, now_ms) : JV_REASON_NONE;
	if (reason)
		jv_sessions_refuse(g->sessions, reason, s, g->link, &c->source);
}
