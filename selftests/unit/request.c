// SPDX-License-Identifier: GPL-2.0
/*
 * The client's requests: timers, cookies, RETRY, rseq, the last word; and at the
 * end client and gateway over a hostile network, which must agree on the binding.
 */
#include "unit.h"

#include "request.h"

static const uint8_t cookie_a[16] = { 0xaa }, cookie_b[16] = { 0xbb }, zero[16];

FIXTURE(request) {
	struct jv_request r;
	struct jv_policy policy;
	const struct jv_liveness *standard;
	uint64_t ids;
	struct jv_send sent;
};

FIXTURE_SETUP(request)
{
	jv_request_init(&self->r);
	jv_policy_init(&self->policy);
	self->standard = jv_liveness(&self->policy);
}

FIXTURE_TEARDOWN(request)
{
}

/* A fresh req_id for every datagram. */
static bool poll_at(struct jv_request *r, uint64_t now, uint64_t *ids, struct jv_send *sent)
{
	uint8_t random[8];
	uint64_t id = ++*ids;

	memcpy(random, &id, 8);
	return jv_request_poll(r, now, random, sent);
}

#define POLL(now) poll_at(&self->r, now, &self->ids, &self->sent)

static void start_switch(struct jv_request *r, const struct jv_liveness *l, uint8_t path,
			 uint64_t now)
{
	jv_request_start(r, JV_FORM_SWITCH, path, 2, l, 0, false, now);
}

TEST_F(request, warm)
{
	struct jv_request *r = &self->r;

	jv_request_cookie(r, 3, cookie_a, 90);
	start_switch(r, self->standard, 3, 100);
	ASSERT_TRUE(POLL(100));
	EXPECT_EQ(JV_FORM_SWITCH, self->sent.form);
	EXPECT_EQ(3, self->sent.path_id);
	EXPECT_FALSE(self->sent.cold);
	EXPECT_EQ(1, self->sent.rseq);
	EXPECT_EQ(0, memcmp(self->sent.cookie, cookie_a, 16));
	EXPECT_FALSE(POLL(149));
	EXPECT_EQ(self->sent.slot, jv_request_find(r, JV_FORM_SWITCH, self->sent.req_id, 149));
	EXPECT_EQ(-1, jv_request_find(r, JV_FORM_INIT, self->sent.req_id, 149));
	EXPECT_EQ(-1, jv_request_find(r, JV_FORM_SWITCH, zero, 149));
	EXPECT_EQ(JV_ATTEMPT_ENDED, jv_request_answered(r, self->sent.slot, JV_STATUS_OK, 149));
	EXPECT_FALSE(jv_request_busy(r, 149));
	EXPECT_EQ(JV_NEVER, jv_request_deadline(r));
}

/* max(SRTT + 20 ms, 50 ms), doubled, up to 1 s. */
TEST_F(request, timer)
{
	uint64_t want[] = { 50, 100, 200, 400, 800, 1000, 1000 }, now = 1000;
	struct jv_request *r = &self->r;

	jv_request_cookie(r, 0, cookie_a, now);
	start_switch(r, self->standard, 0, now);
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		ASSERT_TRUE(POLL(now));
		EXPECT_EQ(i + 1, self->sent.rseq);
		EXPECT_EQ(now + want[i], jv_request_deadline(r));
		EXPECT_FALSE(POLL(now + want[i] - 1));
		now += want[i];
	}
	jv_request_start(r, JV_FORM_SWITCH, 0, 0, self->standard, 200, false, now);
	ASSERT_TRUE(POLL(now));
	EXPECT_EQ(now + 220, jv_request_deadline(r));
	jv_request_start(r, JV_FORM_SWITCH, 0, 0, self->standard, 4000000000u, false, now);
	ASSERT_TRUE(POLL(now));
	EXPECT_EQ(now + 1000, jv_request_deadline(r));
	/* Degraded without transport: 1 s, doubled, up to 10 s. */
	jv_request_start(r, JV_FORM_REATTACH, 0, 0, NULL, 0, true, now);
	for (uint64_t rto = 1000, i = 0; i < 6; i++) {
		ASSERT_TRUE(POLL(now));
		EXPECT_EQ(now + rto, jv_request_deadline(r));
		now += rto;
		rto = rto * 2 > 10000 ? 10000 : rto * 2;
	}
}

TEST_F(request, init_gives_up)
{
	struct jv_request *r = &self->r;
	uint64_t now = 0;

	jv_request_start(r, JV_FORM_INIT, 0, 0, self->standard, 0, false, now);
	for (uint64_t i = 0, rto = 1000; i < JV_INIT_TRIES; i++, rto *= 2) {
		ASSERT_TRUE(POLL(now));
		EXPECT_TRUE(self->sent.cold);
		EXPECT_EQ(0, self->sent.rseq);
		EXPECT_FALSE(jv_request_failed(r, now));
		now += rto;
	}
	EXPECT_EQ(31000, now);
	EXPECT_FALSE(POLL(now));
	EXPECT_TRUE(jv_request_failed(r, now));
}

/* Cold: asks for a cookie without spending rseq; RETRY repeats at once, three times at most. */
TEST_F(request, cold_and_retry)
{
	struct jv_request *r = &self->r;
	uint8_t first[8];

	start_switch(r, self->standard, 1, 0);
	ASSERT_TRUE(POLL(0));
	EXPECT_TRUE(self->sent.cold);
	EXPECT_EQ(0, self->sent.rseq);
	/* Nothing but RETRY can answer it. */
	EXPECT_EQ(-1, jv_request_find(r, JV_FORM_SWITCH, self->sent.req_id, 1));
	memcpy(first, self->sent.req_id, 8);
	EXPECT_FALSE(jv_request_retry(r, cookie_a, cookie_a, 10));	/* unknown req_id */
	EXPECT_FALSE(jv_request_retry(r, first, zero, 10));
	EXPECT_TRUE(jv_request_retry(r, first, cookie_a, 10));
	EXPECT_FALSE(jv_request_retry(r, first, cookie_b, 10));	/* one RETRY per req_id */
	ASSERT_TRUE(POLL(10));
	EXPECT_FALSE(self->sent.cold);
	EXPECT_EQ(1, self->sent.rseq);
	EXPECT_EQ(0, memcmp(self->sent.cookie, cookie_a, 16));
	EXPECT_NE(0, memcmp(first, self->sent.req_id, 8));
	EXPECT_EQ(60, jv_request_deadline(r));	/* the timer starts anew, not doubled */
}

/* A RETRY to a datagram that had a cookie waits for the timer: it may be forged. */
TEST_F(request, retry_with_cookie_waits)
{
	struct jv_request *r = &self->r;

	jv_request_cookie(r, 1, cookie_a, 0);
	start_switch(r, self->standard, 1, 0);
	ASSERT_TRUE(POLL(0));
	EXPECT_TRUE(jv_request_retry(r, self->sent.req_id, cookie_b, 5));
	EXPECT_FALSE(jv_request_retry(r, self->sent.req_id, cookie_a, 6));	/* one per req_id */
	EXPECT_EQ(50, jv_request_deadline(r));
	EXPECT_FALSE(POLL(49));
	/* The genuine answer still fits. */
	EXPECT_LE(0, jv_request_find(r, JV_FORM_SWITCH, self->sent.req_id, 49));
	ASSERT_TRUE(POLL(50));
	EXPECT_EQ(0, memcmp(self->sent.cookie, cookie_b, 16));
	EXPECT_EQ(2, self->sent.rseq);
}

TEST_F(request, forged_retries_are_bounded)
{
	struct jv_request *r = &self->r;
	unsigned int sent = 0;

	jv_request_start(r, JV_FORM_INIT, 0, 0, self->standard, 0, false, 0);
	/* Each repeat carries a cookie, so only the first RETRY acts at once ... */
	for (uint64_t now = 0; now < 900; now++)
		while (POLL(now)) {
			sent++;
			jv_request_retry(r, self->sent.req_id, cookie_a, now);
		}
	EXPECT_EQ(2, sent);
	/* ... and if the cookies are too old to be used, three do. */
	jv_request_reset(r);
	jv_request_path_gone(r, 0);
	sent = 0;
	jv_request_start(r, JV_FORM_INIT, 0, 0, self->standard, 0, false, 1000);
	for (uint64_t now = 1000; now < 1900; now++)
		while (POLL(now)) {
			sent++;
			jv_request_retry(r, self->sent.req_id, cookie_a, now);
			jv_request_path_gone(r, 0);
		}
	EXPECT_EQ(1 + JV_REPEATS_MAX, sent);
}

TEST_F(request, old_cookies_are_not_used)
{
	struct jv_request *r = &self->r;

	jv_request_cookie(r, 0, cookie_a, 0);
	start_switch(r, self->standard, 0, JV_COOKIE_LIFE_MS);
	ASSERT_TRUE(POLL(JV_COOKIE_LIFE_MS));
	EXPECT_FALSE(self->sent.cold);
	jv_request_reset(r);
	start_switch(r, self->standard, 0, JV_COOKIE_LIFE_MS + 1);
	ASSERT_TRUE(POLL(JV_COOKIE_LIFE_MS + 1));
	EXPECT_TRUE(self->sent.cold);
	/* Another path's cookie is no cookie here. */
	jv_request_cookie(r, 1, cookie_a, JV_COOKIE_LIFE_MS + 1);
	ASSERT_TRUE(POLL(JV_COOKIE_LIFE_MS + 100));
	EXPECT_TRUE(self->sent.cold);
}

/* Silence after a SWITCH means REATTACH; a RETRY means SWITCH again. */
TEST_F(request, falls_back_to_reattach)
{
	struct jv_request *r = &self->r;

	jv_request_cookie(r, 0, cookie_a, 0);
	jv_request_start(r, JV_FORM_SWITCH, 0, 0, self->standard, 0, true, 0);
	ASSERT_TRUE(POLL(0));
	EXPECT_TRUE(jv_request_retry(r, self->sent.req_id, cookie_b, 1));
	ASSERT_TRUE(POLL(50));
	EXPECT_EQ(JV_FORM_SWITCH, self->sent.form);
	ASSERT_TRUE(POLL(150));
	EXPECT_EQ(JV_FORM_REATTACH, self->sent.form);
	EXPECT_EQ(3, self->sent.rseq);		/* one sequence for both forms */
}

/* At most four are remembered; the oldest gives way. */
TEST_F(request, four_outstanding)
{
	uint8_t ids[6][8];
	struct jv_request *r = &self->r;
	uint64_t now = 0;

	jv_request_cookie(r, 0, cookie_a, 0);
	start_switch(r, self->standard, 0, 0);
	for (int i = 0; i < 6; i++) {
		now = jv_request_deadline(r);
		ASSERT_TRUE(POLL(now));
		memcpy(ids[i], self->sent.req_id, 8);
	}
	for (int i = 0; i < 6; i++)
		EXPECT_EQ(i >= 2, jv_request_find(r, JV_FORM_SWITCH, ids[i], now) >= 0);
	/* And not for ever. */
	EXPECT_EQ(-1, jv_request_find(r, JV_FORM_SWITCH, ids[5], now + JV_ANSWER_LIFE_MS + 1));
}

/*
 * An answer to a lower rseq is acted on, but the highest keeps its timer, and its
 * retransmission goes to the path settled on, with the cookie that was accepted.
 */
TEST_F(request, last_word)
{
	struct jv_request *r = &self->r;
	int slot;
	uint8_t first[8];

	jv_request_cookie(r, 0, cookie_a, 0);
	jv_request_cookie(r, 1, cookie_b, 0);
	start_switch(r, self->standard, 0, 0);
	ASSERT_TRUE(POLL(0));
	memcpy(first, self->sent.req_id, 8);
	jv_request_move(r, 1);
	ASSERT_TRUE(POLL(50));
	EXPECT_EQ(1, self->sent.path_id);
	jv_request_retry(r, first, cookie_b, 51);	/* late RETRY, perhaps forged */
	slot = jv_request_find(r, JV_FORM_SWITCH, first, 60);
	ASSERT_LE(0, slot);
	EXPECT_EQ(JV_ATTEMPT_RUNS, jv_request_answered(r, slot, JV_STATUS_OK, 60));
	EXPECT_TRUE(jv_request_busy(r, 60));
	EXPECT_EQ(150, jv_request_deadline(r));
	ASSERT_TRUE(POLL(150));
	EXPECT_EQ(0, self->sent.path_id);
	EXPECT_EQ(3, self->sent.rseq);
	EXPECT_EQ(0, memcmp(self->sent.cookie, cookie_a, 16));
	EXPECT_EQ(JV_ATTEMPT_ENDED,
		  jv_request_answered(r, self->sent.slot, JV_STATUS_OK, 160));
	EXPECT_FALSE(jv_request_busy(r, 160));
}

/* A reject of a lower one moves nothing. */
TEST_F(request, reject_does_not_settle)
{
	struct jv_request *r = &self->r;
	uint8_t slot;

	jv_request_cookie(r, 0, cookie_a, 0);
	jv_request_cookie(r, 1, cookie_b, 0);
	start_switch(r, self->standard, 0, 0);
	ASSERT_TRUE(POLL(0));
	slot = self->sent.slot;
	jv_request_move(r, 1);
	ASSERT_TRUE(POLL(50));
	EXPECT_EQ(JV_ATTEMPT_RUNS,
		  jv_request_answered(r, slot, JV_STATUS_VERSION_MISMATCH, 60));
	ASSERT_TRUE(POLL(150));
	EXPECT_EQ(1, self->sent.path_id);
}

/* What an earlier attempt left behind neither ends nor diverts the present one. */
TEST_F(request, earlier_attempt)
{
	struct jv_request *r = &self->r;
	uint8_t slot;

	jv_request_cookie(r, 0, cookie_a, 0);
	start_switch(r, self->standard, 0, 0);
	ASSERT_TRUE(POLL(0));
	slot = self->sent.slot;
	start_switch(r, self->standard, 1, 20);	/* that path died: on to the next, cold */
	ASSERT_TRUE(POLL(20));
	EXPECT_TRUE(self->sent.cold);
	EXPECT_EQ(JV_ATTEMPT_RUNS, jv_request_answered(r, slot, JV_STATUS_OK, 30));
	EXPECT_EQ(1, r->path_id);
	EXPECT_TRUE(jv_request_retry(r, self->sent.req_id, cookie_b, 40));
	ASSERT_TRUE(POLL(40));
	EXPECT_EQ(1, self->sent.path_id);
	EXPECT_EQ(2, self->sent.rseq);
}

TEST_F(request, newer)
{
	struct jv_version own = { 5, 5 };

	EXPECT_TRUE(jv_request_newer(JV_FORM_SWITCH, (struct jv_version){ 5, 6 }, own));
	EXPECT_FALSE(jv_request_newer(JV_FORM_SWITCH, (struct jv_version){ 5, 5 }, own));
	EXPECT_FALSE(jv_request_newer(JV_FORM_SWITCH, (struct jv_version){ 5, 4 }, own));
	EXPECT_FALSE(jv_request_newer(JV_FORM_SWITCH, (struct jv_version){ 6, 9 }, own));
	EXPECT_TRUE(jv_request_newer(JV_FORM_REATTACH, (struct jv_version){ 6, 0 }, own));
	EXPECT_FALSE(jv_request_newer(JV_FORM_REATTACH, (struct jv_version){ 4, 9 }, own));
}

/*
 * Client and gateway over a network that loses, delays, reorders and duplicates.
 * The gateway is the version rule and nothing else. However it goes: no rseq is
 * sealed twice, the client's version only rises, and after the last word both
 * name the same path.
 */
struct model {
	uint64_t last_rseq, bver, seen;
	int path;
};

struct packet {
	bool used, answer;
	struct jv_send sent;		/* request */
	uint64_t expect;
	enum jv_status status;		/* answer */
	uint64_t bver;
};

static bool serve(struct model *g, const struct packet *in, struct packet *out)
{
	struct jv_version exp = { 1, in->expect }, cur = { 1, g->bver };

	if (in->sent.cold || in->sent.rseq <= g->last_rseq)
		return false;
	g->last_rseq = in->sent.rseq;
	*out = *in;
	out->answer = true;
	out->status = jv_version_check(exp, cur, g->seen, false);
	if (!out->status) {
		g->bver++;
		g->path = in->sent.path_id;
		if (in->expect > g->seen)
			g->seen = in->expect;
	}
	out->bver = g->bver;
	return true;
}

TEST_F(request, hostile_network)
{
	uint64_t seed = unit_seed("hostile_network"), rounds = unit_rounds("ROUNDS", 20000);
	uint64_t ended = 0;

	for (uint64_t round = 0; round < rounds; round++) {
		struct jv_request *r = &self->r;
		struct model g = { .bver = 1, .seen = 1, .path = 0 };
		struct packet air[64] = { 0 };
		uint64_t now = 1000, own = 1, rseq_seen = 0;
		int bound = 0;

		jv_request_init(r);
		for (int path = 0; path < 3; path++)
			jv_request_cookie(r, path, cookie_a, now);
		start_switch(r, self->standard, 1, now);
		for (int step = 0; r->form && step < 400; step++) {
			struct packet *free_slot = &air[unit_random(&seed) % ARRAY_LEN(air)];
			struct packet *p = &air[unit_random(&seed) % ARRAY_LEN(air)], out;

			for (int tries = 0; !p->used && tries < 100; tries++)
				p = &air[unit_random(&seed) % ARRAY_LEN(air)];
			for (int path = 0; path < 3; path++)
				jv_request_cookie(r, path, cookie_a, now);
			now += unit_random(&seed) % 60;
			if (step < 100 && unit_random(&seed) % 30 == 0 && !r->settled)
				jv_request_move(r, unit_random(&seed) % 3);
			if (POLL(now)) {
				ASSERT_LT(rseq_seen, self->sent.rseq);
				rseq_seen = self->sent.rseq;
				*free_slot = (struct packet){ .used = true, .sent = self->sent,
							      .expect = own };
			}
			if (!p->used)
				continue;
			p->used = unit_random(&seed) % 4 == 0;	/* sometimes it comes again */
			if (!p->answer) {
				if (serve(&g, p, &out) && (step > 300 || unit_random(&seed) % 3))
					air[unit_random(&seed) % ARRAY_LEN(air)] = out;
				continue;
			}
			int slot = jv_request_find(r, JV_FORM_SWITCH, p->sent.req_id, now);

			if (slot < 0)
				continue;
			if (!p->status && p->bver > own) {
				own = p->bver;
				bound = p->sent.path_id;
			}
			if (jv_request_answered(r, slot, p->status, now) == JV_ATTEMPT_ENDED &&
			    p->status == JV_STATUS_VERSION_MISMATCH) {
				own = p->bver > own ? p->bver : own;
				start_switch(r, self->standard, bound, now);
			}
		}
		if (r->form)
			continue;	/* the network never let the last word through */
		ASSERT_EQ(g.path, bound);
		ASSERT_EQ(g.bver, own);
		ended++;
	}
	EXPECT_LT(rounds / 2, ended);
}

TEST_HARNESS_MAIN
