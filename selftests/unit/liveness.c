// SPDX-License-Identifier: GPL-2.0
/* When a path is probed, suspected and dead: the kernel's rules against a simulated path. */
#include "unit.h"

#include "../../kernel/liveness.h"

#define MS JVPN_NS_PER_MS
#define START (1000 * MS)

static const struct jvpn_pace standard = {
	.interval_ns = 40 * MS, .standby_ns = 20000 * MS, .rto_min_ns = 20 * MS, .misses = 2,
};
static const struct jvpn_pace aggressive = {
	.interval_ns = 10 * MS, .standby_ns = 20000 * MS, .rto_min_ns = 5 * MS, .misses = 2,
};
static const struct jvpn_pace frugal = {
	.interval_ns = 500 * MS, .standby_ns = 20000 * MS, .rto_min_ns = 20 * MS, .misses = 4,
};

/* A path with its peer: answers a probe one round trip later, until it dies. */
struct path {
	struct jvpn_track track;
	const struct jvpn_pace *pace;
	enum jvpn_eagerness eagerness;
	uint64_t since, now, dies;
	uint64_t rtt, jitter, *seed;
	uint64_t answer[64];
	unsigned int answers;	/* in flight */
	uint64_t alive, suspect, dead;	/* when it was told last */
	unsigned int probes, n_alive, n_suspect, n_dead;
};

static void probe(struct path *p)
{
	uint64_t rtt = p->rtt + (p->jitter ? unit_random(p->seed) % p->jitter : 0);

	jvpn_track_probed(&p->track, p->pace, p->now);
	p->probes++;
	if (p->now + rtt < p->dies && p->answers < ARRAY_LEN(p->answer))
		p->answer[p->answers++] = p->now << 20 | rtt / 1000;
}

static uint64_t answer_at(uint64_t answer)
{
	return (answer >> 20) + (answer & 0xfffff) * 1000;
}

static void answers(struct path *p)
{
	for (unsigned int i = 0; i < p->answers;) {
		if (answer_at(p->answer[i]) > p->now) {
			i++;
			continue;
		}
		jvpn_track_sample(&p->track, p->answer[i] & 0xfffff);
		p->track.heard_ns = p->now;
		p->answer[i] = p->answer[--p->answers];
	}
}

/* One look, as probe.c does it. Returns when to look again. */
static uint64_t look(struct path *p)
{
	unsigned int found;
	uint64_t due, judge;

	answers(p);
	found = jvpn_track_judge(&p->track, p->pace, p->now);
	if (found & JVPN_FOUND_ALIVE)
		p->alive = p->now, p->n_alive++;
	if (found & JVPN_FOUND_SUSPECT)
		p->suspect = p->now, p->n_suspect++;
	if (found & JVPN_FOUND_DEAD)
		p->dead = p->now, p->n_dead++;
	due = jvpn_track_probe_due(&p->track, p->pace, p->eagerness, p->since);
	if (due <= p->now) {
		probe(p);
		due = jvpn_track_probe_due(&p->track, p->pace, p->eagerness, p->since);
	}
	judge = jvpn_track_judge_due(&p->track, p->pace);
	return due < judge ? due : judge;
}

static void run(struct path *p, uint64_t until)
{
	while (p->now < until) {
		uint64_t next = look(p);

		for (unsigned int i = 0; i < p->answers; i++)
			if (answer_at(p->answer[i]) < next)
				next = answer_at(p->answer[i]);
		/* Time never stands still: a due time in the past would be a busy loop. */
		if (next <= p->now)
			abort();
		p->now = next < until ? next : until;
	}
}

static struct path path(const struct jvpn_pace *pace, enum jvpn_eagerness eagerness, uint64_t rtt)
{
	return (struct path){ .pace = pace, .eagerness = eagerness, .rtt = rtt, .dies = JVPN_NEVER,
			      .now = START, .since = START };
}

TEST(death_is_told_in_time)
{
	static const struct jvpn_pace *const paces[] = { &standard, &aggressive, &frugal };
	uint64_t seed = unit_seed("death_is_told_in_time");

	for (int round = 0; round < 3000; round++) {
		struct path p = path(paces[round % 3], JVPN_PROBE_FAST,
				     unit_random(&seed) % (300 * MS));
		uint64_t bound, dies = START + 3000 * MS + unit_random(&seed) % (20000 * MS);

		p.seed = &seed;
		p.dies = dies;
		run(&p, dies);
		ASSERT_EQ(1, p.n_alive);
		ASSERT_EQ(0, p.n_dead);
		/* N * I after what was heard last, and the RTO as it was then */
		bound = dies + p.pace->misses * p.pace->interval_ns +
			jvpn_track_rto(&p.track, p.pace);
		run(&p, bound + 1000 * MS);
		ASSERT_EQ(1, p.n_dead);
		ASSERT_EQ(1, p.n_suspect);
		ASSERT_LE(p.dead, bound) {
			TH_LOG("interval %llu ms, round trip %llu us: %llu us late",
			       p.pace->interval_ns / MS, p.rtt / 1000, (p.dead - bound) / 1000);
		}
		ASSERT_GE(p.dead, p.track.heard_ns + p.pace->misses * p.pace->interval_ns);
		ASSERT_LE(p.suspect, p.dead);
		ASSERT_LE(p.suspect, p.dead - (p.pace->misses - 1) * p.pace->interval_ns);
	}
}

/* The figures of the protocol: 100 ms + SRTT, 25 ms + SRTT. */
TEST(bounds_of_the_protocol)
{
	struct path p = path(&standard, JVPN_PROBE_FAST, 15 * MS);

	p.dies = START + 10000 * MS;
	run(&p, p.dies + 1000 * MS);
	EXPECT_EQ(1, p.n_dead);
	EXPECT_LE(p.dead - p.dies, (100 + 15) * MS);
	p = path(&aggressive, JVPN_PROBE_FAST, 15 * MS);
	p.dies = START + 10000 * MS;
	run(&p, p.dies + 1000 * MS);
	EXPECT_EQ(1, p.n_dead);
	EXPECT_LE(p.dead - p.dies, (25 + 15) * MS);
}

TEST(steady_path_is_never_suspected)
{
	struct path p = path(&standard, JVPN_PROBE_FAST, 200 * MS);

	run(&p, START + 600000 * MS);
	EXPECT_EQ(1, p.n_alive);
	EXPECT_EQ(0, p.n_suspect);
	EXPECT_GT(p.probes, 1000);
}

/* Whatever the jitter, a path whose answers come is not declared dead within a round trip. */
TEST(jitter_does_not_kill)
{
	uint64_t seed = unit_seed("jitter_does_not_kill");
	struct path p = path(&standard, JVPN_PROBE_FAST, 20 * MS);

	p.seed = &seed;
	p.jitter = 60 * MS;
	run(&p, START + 600000 * MS);
	EXPECT_EQ(0, p.n_dead);
	EXPECT_GT(p.track.rttvar_us, 1000);
}

TEST(answered_traffic_needs_no_probe)
{
	struct path p = path(&standard, JVPN_PROBE_FAST, 10 * MS);
	unsigned int before;

	run(&p, START + 100 * MS);
	EXPECT_NE(0, p.track.srtt_us);
	before = p.probes;
	for (int i = 0; i < 1500; i++) {	/* something comes every 10 ms for 15 s */
		p.track.heard_ns = p.now;
		run(&p, p.now + 10 * MS);
	}
	EXPECT_EQ(before, p.probes);
	for (int i = 0; i < 1500; i++) {	/* and one per standby interval refreshes */
		p.track.heard_ns = p.now;
		run(&p, p.now + 10 * MS);
	}
	EXPECT_EQ(before + 1, p.probes);
}

/* A path nobody has measured is probed at once, though answers to data come. */
TEST(first_sample_is_sought)
{
	struct path p = path(&standard, JVPN_PROBE_FAST, 30 * MS);

	for (int i = 0; i < 100; i++) {
		p.track.heard_ns = p.now;
		run(&p, p.now + MS);
	}
	EXPECT_NE(0, p.track.srtt_us);
	EXPECT_EQ(1, p.probes);
	/* Nor does it rest when only that probe was lost. */
	p = path(&standard, JVPN_PROBE_FAST, 30 * MS);
	p.dies = START;
	for (int i = 0; i < 100; i++) {
		p.track.heard_ns = p.now;
		run(&p, p.now + MS);
		p.dies = JVPN_NEVER;
	}
	EXPECT_NE(0, p.track.srtt_us);
	EXPECT_EQ(2, p.probes);
}

TEST(idle_path_is_silent)
{
	struct path p = path(&standard, JVPN_PROBE_NOT, 10 * MS);

	EXPECT_EQ(JVPN_NEVER, look(&p));
	EXPECT_EQ(0, p.probes);
	/* What was begun is finished: a miss becomes a verdict though the traffic ceased. */
	p = path(&standard, JVPN_PROBE_FAST, 10 * MS);
	run(&p, START + 500 * MS);
	p.dies = p.now;
	p.answers = 0;
	run(&p, p.now + 45 * MS);
	p.eagerness = JVPN_PROBE_NOT;
	run(&p, p.now + 1000 * MS);
	EXPECT_EQ(1, p.n_dead);
	EXPECT_EQ(JVPN_NEVER, look(&p));
	EXPECT_LE(p.probes, 20);
}

TEST(standby)
{
	struct path p = path(&standard, JVPN_PROBE_STANDBY, 10 * MS);

	run(&p, START + 1);
	EXPECT_EQ(1, p.probes);			/* at once */
	run(&p, START + 100000 * MS);
	EXPECT_EQ(5, p.probes);			/* then every 20 s */
	EXPECT_EQ(1, p.n_alive);
	p.dies = p.now;
	run(&p, p.now + 25000 * MS);
	EXPECT_EQ(1, p.n_suspect);		/* a miss is followed up at once */
	EXPECT_EQ(1, p.n_dead);
	EXPECT_LE(p.dead - p.suspect, 2 * standard.interval_ns + jvpn_track_rto(&p.track, &standard));
	p.dies = JVPN_NEVER;
	run(&p, p.now + 41000 * MS);
	EXPECT_EQ(2, p.n_alive);
	EXPECT_EQ(1, p.n_dead);
}

/* Dead is told once, and alive again as soon as anything is heard. */
TEST(revival)
{
	struct path p = path(&standard, JVPN_PROBE_FAST, 10 * MS);
	uint64_t back;

	p.dies = START + 500 * MS;
	run(&p, START + 60000 * MS);
	EXPECT_EQ(1, p.n_dead);
	EXPECT_EQ(1, p.n_suspect);
	back = p.now;
	p.dies = JVPN_NEVER;
	run(&p, back + 1000 * MS);
	EXPECT_EQ(2, p.n_alive);
	EXPECT_LE(p.alive - back, standard.interval_ns + p.rtt);
	EXPECT_EQ(JVPN_TRACK_ALIVE, p.track.state);
}

/* The daemon may change its mind about N while probes are out. */
TEST(misses_lowered)
{
	struct jvpn_pace pace = standard;
	struct path p = path(&pace, JVPN_PROBE_FAST, 10 * MS);

	pace.misses = 50;
	p.dies = START + 500 * MS;
	run(&p, START + 1000 * MS);
	EXPECT_EQ(0, p.n_dead);
	pace.misses = 2;
	run(&p, p.now + pace.interval_ns + jvpn_track_rto(&p.track, &pace) + MS);
	EXPECT_EQ(1, p.n_dead);
}

/* RFC 6298, section 2, with the numbers worked out by hand. */
TEST(round_trip)
{
	struct jvpn_track t = { 0 };

	EXPECT_EQ(1000 * MS, jvpn_track_rto(&t, &standard));
	jvpn_track_sample(&t, 8000);
	EXPECT_EQ(8000, t.srtt_us);
	EXPECT_EQ(4000, t.rttvar_us);
	EXPECT_EQ(28 * MS, jvpn_track_rto(&t, &standard));
	jvpn_track_sample(&t, 16000);
	EXPECT_EQ(5000, t.rttvar_us);	/* 3/4 * 4000 + 1/4 * 8000 */
	EXPECT_EQ(9000, t.srtt_us);	/* 7/8 * 8000 + 1/8 * 16000 */
	EXPECT_EQ(29 * MS, jvpn_track_rto(&t, &standard));
	/* What cannot be one is none. */
	jvpn_track_sample(&t, 0xffffffff);
	jvpn_track_sample(&t, JVPN_RTT_MAX_US + 1);
	EXPECT_EQ(9000, t.srtt_us);
}

TEST(round_trip_of_anything)
{
	uint64_t seed = unit_seed("round_trip_of_anything");
	struct jvpn_track t = { 0 };

	for (int i = 0; i < 1000000; i++) {
		uint32_t rtt = unit_random(&seed) >> (32 + unit_random(&seed) % 32);

		jvpn_track_sample(&t, rtt);
		ASSERT_LE(t.srtt_us, JVPN_RTT_MAX_US);
		ASSERT_LE(t.rttvar_us, JVPN_RTT_MAX_US);
	}
	EXPECT_NE(0, t.srtt_us);
}

TEST(loss)
{
	struct jvpn_loss l = { 0 };

	/* The first report is where counting begins. */
	jvpn_loss_report(&l, 1, &(struct jvpn_count_pair){ 100, 10 },
			 &(struct jvpn_count_pair){ 100, 100 });
	EXPECT_EQ(0, l.permille);
	/* Too few packets to say anything; they are not forgotten. */
	jvpn_loss_report(&l, 1, &(struct jvpn_count_pair){ 120, 20 },
			 &(struct jvpn_count_pair){ 110, 110 });
	EXPECT_EQ(0, l.permille);
	/* 100 sent, 60 came: 400, smoothed by a quarter; the worse direction counts. */
	jvpn_loss_report(&l, 1, &(struct jvpn_count_pair){ 200, 70 },
			 &(struct jvpn_count_pair){ 200, 200 });
	EXPECT_EQ(100, l.permille);
	jvpn_loss_report(&l, 1, &(struct jvpn_count_pair){ 300, 170 },
			 &(struct jvpn_count_pair){ 300, 200 });
	EXPECT_EQ((3 * 100 + 1000) / 4, l.permille);
	/* More than was sent is no loss. */
	l.permille = 0;
	jvpn_loss_report(&l, 1, &(struct jvpn_count_pair){ 400, 370 },
			 &(struct jvpn_count_pair){ 400, 500 });
	EXPECT_EQ(0, l.permille);
	/* Another epoch, or counters that go back, begin anew. */
	jvpn_loss_report(&l, 2, &(struct jvpn_count_pair){ 1000, 370 },
			 &(struct jvpn_count_pair){ 1000, 500 });
	EXPECT_EQ(0, l.permille);
	jvpn_loss_report(&l, 2, &(struct jvpn_count_pair){ 10, 10 },
			 &(struct jvpn_count_pair){ 1100, 600 });
	EXPECT_EQ(0, l.permille);
	EXPECT_EQ(10, l.up.highest);
}

TEST(loss_of_anything)
{
	uint64_t seed = unit_seed("loss_of_anything");
	struct jvpn_loss l = { 0 };

	for (int i = 0; i < 200000; i++) {
		struct jvpn_count_pair up = { unit_random(&seed) >> unit_random(&seed) % 64,
					      unit_random(&seed) >> unit_random(&seed) % 64 };
		struct jvpn_count_pair down = { unit_random(&seed) >> unit_random(&seed) % 64,
						unit_random(&seed) >> unit_random(&seed) % 64 };

		jvpn_loss_report(&l, unit_random(&seed) % 2, &up, &down);
		ASSERT_LE(l.permille, 1000);
	}
}

TEST_HARNESS_MAIN
