/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What probes say of one path: when the next one is due, when it is overdue, and
 * when the path is dead. No clock, no lock, no packet: time comes in, verdicts
 * go out. Times are CLOCK_BOOTTIME ns; 0 means never.
 */
#ifndef JVPN_LIVENESS_H
#define JVPN_LIVENESS_H

#include "pure.h"

/* Without a sample a round trip may take this long (RFC 6298, 2.1). */
#define JVPN_RTO_FIRST_NS (1000 * JVPN_NS_PER_MS)
/* A longer round trip is not a sample: the path was away, or time jumped. */
#define JVPN_RTT_MAX_US (60 * 1000 * 1000)

/* How eagerly a path is probed. */
enum jvpn_eagerness {
	JVPN_PROBE_NOT,		/* only what was begun is finished */
	JVPN_PROBE_STANDBY,	/* one now and then: round trip, cookie, NAT */
	JVPN_PROBE_FAST,	/* one per interval in which nothing was heard */
};

enum jvpn_track_state {		/* the values of enum jvpn_path_state */
	JVPN_TRACK_UNKNOWN,
	JVPN_TRACK_ALIVE,
	JVPN_TRACK_SUSPECT,
	JVPN_TRACK_DEAD,
};

/* What jvpn_track_judge() found new. */
enum {
	JVPN_FOUND_ALIVE   = 0x01,
	JVPN_FOUND_SUSPECT = 0x02,
	JVPN_FOUND_DEAD	   = 0x04,
};

/**
 * struct jvpn_pace - figures of a session
 * @interval_ns: between fast probes
 * @standby_ns: between standby probes
 * @rto_min_ns: least margin over the smoothed round trip
 * @misses: unanswered probes that make a path dead, at least 1
 */
struct jvpn_pace {
	u64 interval_ns, standby_ns, rto_min_ns;
	u32 misses;
};

/**
 * struct jvpn_track - liveness of one path
 * @heard_ns: last authenticated packet; stored without a lock by receivers
 * @probed_ns: last probe
 * @first_ns: oldest probe since which nothing was heard
 * @fatal_ns: the probe that was the misses-th of those, 0: not sent yet
 * @changed_ns: when @state was entered
 * @unanswered: probes since which nothing was heard
 * @srtt_us: smoothed round trip, 0: no sample
 * @rttvar_us: its variation
 * @state: &enum jvpn_track_state
 */
struct jvpn_track {
	u64 heard_ns, probed_ns, first_ns, fatal_ns, changed_ns;
	u32 unanswered, srtt_us, rttvar_us;
	u8 state;
};

/**
 * jvpn_track_rto() - how long an answer may take
 * @track: the path
 * @pace: figures
 *
 * Return: SRTT + max(4 * RTTVAR, minimum) in ns.
 */
static inline u64 jvpn_track_rto(const struct jvpn_track *track,
				 const struct jvpn_pace *pace)
{
	u64 margin = 4 * (u64)track->rttvar_us * JVPN_NS_PER_US;

	if (!track->srtt_us)
		return JVPN_RTO_FIRST_NS;
	if (margin < pace->rto_min_ns)
		margin = pace->rto_min_ns;
	return track->srtt_us * JVPN_NS_PER_US + margin;
}

/**
 * jvpn_track_sample() - a round trip was measured (RFC 6298, 2.2 and 2.3)
 * @track: the path
 * @rtt_us: the round trip; the peer had it in hand, so anything
 */
static inline void jvpn_track_sample(struct jvpn_track *track, u32 rtt_us)
{
	u32 off;

	if (rtt_us > JVPN_RTT_MAX_US)
		return;
	if (!rtt_us)
		rtt_us = 1;
	if (!track->srtt_us) {
		track->srtt_us = rtt_us;
		track->rttvar_us = rtt_us / 2;
		return;
	}
	off = track->srtt_us > rtt_us ? track->srtt_us - rtt_us :
					rtt_us - track->srtt_us;
	track->rttvar_us += off / 4 - track->rttvar_us / 4;
	track->srtt_us += rtt_us / 8 - track->srtt_us / 8;
	if (!track->srtt_us)
		track->srtt_us = 1;
}

/**
 * jvpn_track_probed() - a probe goes out
 * @track: the path
 * @pace: figures
 * @now_ns: the time
 */
static inline void jvpn_track_probed(struct jvpn_track *track,
				     const struct jvpn_pace *pace, u64 now_ns)
{
	if (!track->unanswered) {
		track->first_ns = now_ns;
		track->fatal_ns = 0;
	}
	if (track->unanswered < pace->misses || !track->fatal_ns)
		track->unanswered++;
	/* >=: the figure may have been lowered while probes were out. */
	if (track->unanswered >= pace->misses && !track->fatal_ns)
		track->fatal_ns = now_ns;
	track->probed_ns = now_ns;
}

static inline void jvpn_track_enter(struct jvpn_track *track, u8 state,
				    u64 now_ns)
{
	track->state = state;
	track->changed_ns = now_ns;
}

/**
 * jvpn_track_acquit() - the path was bound, whatever was thought of it
 * @track: the path
 * @now_ns: the time
 *
 * Its death was told once; if it is not true any more, or true again, that is to be
 * found out anew.
 */
static inline void jvpn_track_acquit(struct jvpn_track *track, u64 now_ns)
{
	if (track->state != JVPN_TRACK_DEAD)
		return;
	track->unanswered = 0;
	jvpn_track_enter(track, JVPN_TRACK_UNKNOWN, now_ns);
}

/**
 * jvpn_track_judge() - draw the conclusions
 * @track: the path
 * @pace: figures
 * @now_ns: the time
 *
 * Return: JVPN_FOUND_* bits of the states entered now, in that order.
 */
static inline unsigned int jvpn_track_judge(struct jvpn_track *track,
					    const struct jvpn_pace *pace,
					    u64 now_ns)
{
	u64 heard_ns = READ_ONCE(track->heard_ns);
	u64 rto_ns = jvpn_track_rto(track, pace);
	unsigned int found = 0;

	/* Anything heard since the oldest probe answers all of them. */
	if (track->unanswered && heard_ns >= track->first_ns)
		track->unanswered = 0;
	if (track->state != JVPN_TRACK_ALIVE && heard_ns &&
	    heard_ns >= track->changed_ns) {
		jvpn_track_enter(track, JVPN_TRACK_ALIVE, now_ns);
		found |= JVPN_FOUND_ALIVE;
	}
	if (!track->unanswered || track->state == JVPN_TRACK_DEAD)
		return found;
	if (track->state != JVPN_TRACK_SUSPECT &&
	    now_ns >= track->first_ns + rto_ns) {
		jvpn_track_enter(track, JVPN_TRACK_SUSPECT, now_ns);
		found |= JVPN_FOUND_SUSPECT;
	}
	if (track->unanswered >= pace->misses && track->fatal_ns &&
	    now_ns >= track->fatal_ns + rto_ns) {
		jvpn_track_enter(track, JVPN_TRACK_DEAD, now_ns);
		found |= JVPN_FOUND_DEAD;
	}
	return found;
}

/*
 * Traffic that is answered in time needs no probe to show that the path is alive,
 * but it shows neither the round trip, without which a first miss is told late,
 * nor a cookie: hence one at first and one per standby interval.
 */
static inline u64 jvpn_track_fast_due(const struct jvpn_track *track,
				      const struct jvpn_pace *pace, u64 since_ns)
{
	u64 from_ns = READ_ONCE(track->heard_ns);
	u64 refresh_ns = track->probed_ns + pace->standby_ns;

	if (!track->probed_ns)
		return since_ns;
	if (!track->srtt_us || from_ns < track->probed_ns)
		from_ns = track->probed_ns;
	if (from_ns < since_ns)
		from_ns = since_ns;
	from_ns += pace->interval_ns;
	return from_ns < refresh_ns ? from_ns : refresh_ns;
}

/**
 * jvpn_track_probe_due() - when to send the next probe
 * @track: the path, just judged
 * @pace: figures
 * @eagerness: &enum jvpn_eagerness
 * @since_ns: since when it has been probed so eagerly
 *
 * Return: a time, perhaps past, or JVPN_NEVER.
 */
static inline u64 jvpn_track_probe_due(const struct jvpn_track *track,
				       const struct jvpn_pace *pace,
				       enum jvpn_eagerness eagerness, u64 since_ns)
{
	/* Suspicion is settled at full pace, also after the traffic ceased. */
	if (track->unanswered && track->state != JVPN_TRACK_DEAD &&
	    (track->state == JVPN_TRACK_SUSPECT || eagerness == JVPN_PROBE_NOT))
		return track->probed_ns + pace->interval_ns;
	switch (eagerness) {
	case JVPN_PROBE_FAST:
		return jvpn_track_fast_due(track, pace, since_ns);
	case JVPN_PROBE_STANDBY:
		return track->probed_ns ? track->probed_ns + pace->standby_ns : 0;
	default:
		return JVPN_NEVER;
	}
}

/**
 * jvpn_track_judge_due() - when a probe will be overdue
 * @track: the path, just judged
 * @pace: figures
 *
 * Return: a time, or JVPN_NEVER.
 */
static inline u64 jvpn_track_judge_due(const struct jvpn_track *track,
				       const struct jvpn_pace *pace)
{
	u64 rto_ns = jvpn_track_rto(track, pace);

	if (!track->unanswered || track->state == JVPN_TRACK_DEAD)
		return JVPN_NEVER;
	if (track->state != JVPN_TRACK_SUSPECT)
		return track->first_ns + rto_ns;
	return track->fatal_ns ? track->fatal_ns + rto_ns : JVPN_NEVER;
}

/* Fewer packets than this say nothing about loss. */
#define JVPN_LOSS_SAMPLE 32

/**
 * struct jvpn_count_pair - what one side received of an epoch
 * @highest: highest counter, which the sender counts up from 0
 * @packets: packets
 */
struct jvpn_count_pair {
	u64 highest, packets;
};

/**
 * struct jvpn_loss - loss of a path, from counters that the frames carry anyway
 * @epoch: what the counters belong to
 * @up: as of the last sample, told by the peer
 * @down: as of the last sample, counted here
 * @permille: smoothed
 */
struct jvpn_loss {
	u64 epoch;
	struct jvpn_count_pair up, down;
	u32 permille;
};

static inline void jvpn_loss_add(struct jvpn_loss *loss, u32 permille)
{
	loss->permille = (3 * loss->permille + permille) / 4;
}

/* Return: loss between two reports, negative if they cannot be compared. */
static inline int jvpn_loss_between(const struct jvpn_count_pair *old,
				    const struct jvpn_count_pair *new)
{
	u64 sent = new->highest - old->highest;
	u64 got = new->packets - old->packets;

	/* The peer says so, so it may say anything; 32 bits cannot overflow. */
	if (new->highest < old->highest || new->packets < old->packets || sent >> 32)
		return -1;
	return got >= sent ? 0 : div_u64((sent - got) * 1000, (u32)sent);
}

/**
 * jvpn_loss_report() - an answer brought the peer's counters
 * @loss: of the path in use
 * @epoch: names the epoch the counters belong to
 * @up: what the peer received
 * @down: what we received
 */
static inline void jvpn_loss_report(struct jvpn_loss *loss, u64 epoch,
				    const struct jvpn_count_pair *up,
				    const struct jvpn_count_pair *down)
{
	int lost_up = jvpn_loss_between(&loss->up, up);
	int lost_down = jvpn_loss_between(&loss->down, down);

	if (loss->epoch == epoch && lost_up >= 0 && lost_down >= 0) {
		if (up->highest - loss->up.highest < JVPN_LOSS_SAMPLE &&
		    down->highest - loss->down.highest < JVPN_LOSS_SAMPLE)
			return;
		jvpn_loss_add(loss, lost_up > lost_down ? lost_up : lost_down);
	}
	loss->epoch = epoch;
	loss->up = *up;
	loss->down = *down;
}

#endif /* JVPN_LIVENESS_H */
