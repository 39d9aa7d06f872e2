// SPDX-License-Identifier: GPL-2.0
/* What the kernel reads before anything is proven: datagram shapes, control frames, rates. */
#include "unit.h"

#include "../../kernel/bucket.h"
#include "../../kernel/datagram.h"
#include "../../kernel/frame.h"

#define SECOND 1000000000ULL

/* Written down from PROTOCOL.md, apart from the table under test. */
static const struct form {
	const char *name;
	uint8_t type;
	int min, max, versioned, suite_at;
	const char *zero;	/* "at-last at-last": reserved bytes */
	uint8_t receiver;
} forms[] = {
	{ "INIT", 0x01, 512, 512, 1, 3, "4-7", JVPN_FOR_GATEWAY },
	{ "INIT_RESP", 0x02, 176, 512, 1, 3, "2-2 4-7", JVPN_FOR_CLIENT },
	{ "RETRY", 0x03, 32, 32, 1, 0, "2-7", JVPN_FOR_CLIENT },
	{ "REATTACH_RESP", 0x04, 160, 160, 1, 3, "2-2 4-7", JVPN_FOR_CLIENT },
	{ "DENY", 0x05, 32, 32, 1, 0, "3-7", JVPN_FOR_CLIENT },
	{ "SWITCH_RESP", 0x06, 96, 96, 1, 0, "2-7", JVPN_FOR_CLIENT },
	{ "DATA", 0x81, 32, 65507, 0, 0, "", JVPN_FOR_BOTH },
	{ "REATTACH", 0x82, 208, 208, 1, 3, "4-7 68-71", JVPN_FOR_GATEWAY },
	{ "SWITCH", 0x83, 128, 128, 1, 0, "3-7", JVPN_FOR_GATEWAY },
};

static bool reserved(const struct form *f, int at)
{
	int from, to, used;

	for (const char *p = f->zero; sscanf(p, " %d-%d%n", &from, &to, &used) == 2; p += used)
		if (at >= from && at <= to)
			return true;
	return false;
}

/* A heap block of exactly this length, so that the sanitizer sees any byte read beyond. */
static enum jvpn_shape_error shape_of(const uint8_t *bytes, size_t len)
{
	const struct jvpn_shape *shape;
	uint8_t *exact = malloc(len);
	enum jvpn_shape_error error;

	if (len)
		memcpy(exact, bytes, len);
	error = jvpn_datagram_check(exact, len, &shape);
	free(exact);
	return error;
}

static void good(const struct form *f, uint8_t *bytes)
{
	memset(bytes, 0xa5, 512);
	for (int i = 0; i < 512; i++)
		if (reserved(f, i))
			bytes[i] = 0;
	bytes[0] = f->type;
	if (f->versioned)
		bytes[1] = 1;
	if (f->suite_at)
		bytes[f->suite_at] = 1;
}

TEST(every_type_and_length)
{
	uint8_t bytes[600] = { 0 };

	for (int type = 0; type < 256; type++) {
		const struct form *f = NULL;

		for (size_t i = 0; i < ARRAY_LEN(forms); i++)
			if (forms[i].type == type)
				f = &forms[i];
		if (f)
			good(f, bytes);
		bytes[0] = type;
		EXPECT_EQ(JVPN_SHAPE_LENGTH, shape_of(bytes, 0));
		for (int len = 1; len < 600; len++) {
			enum jvpn_shape_error want = !f ? JVPN_SHAPE_TYPE :
				len < f->min || len > f->max ? JVPN_SHAPE_LENGTH : JVPN_SHAPE_OK;

			ASSERT_EQ(want, shape_of(bytes, len)) {
				TH_LOG("type 0x%02x, %d bytes", type, len);
			}
		}
	}
}

TEST(every_byte_of_every_type)
{
	uint8_t bytes[512];

	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct form *f = &forms[i];

		for (int at = 1; at < f->min; at++) {
			enum jvpn_shape_error want = JVPN_SHAPE_OK;

			good(f, bytes);
			bytes[at] ^= 0x40;
			if (f->versioned && at == 1)
				want = JVPN_SHAPE_VERSION;
			else if ((f->suite_at && at == f->suite_at) || reserved(f, at))
				want = JVPN_SHAPE_RESERVED;
			ASSERT_EQ(want, shape_of(bytes, f->min)) {
				TH_LOG("%s byte %d", f->name, at);
			}
		}
	}
}

/* The order in which faults are told is the order of the validation table. */
TEST(first_fault_is_told)
{
	uint8_t bytes[512];

	good(&forms[0], bytes);
	bytes[1] = 2;
	bytes[4] = 1;
	EXPECT_EQ(JVPN_SHAPE_LENGTH, shape_of(bytes, 511));
	EXPECT_EQ(JVPN_SHAPE_VERSION, shape_of(bytes, 512));
	bytes[1] = 1;
	EXPECT_EQ(JVPN_SHAPE_RESERVED, shape_of(bytes, 512));
	bytes[0] = 0x7f;
	EXPECT_EQ(JVPN_SHAPE_TYPE, shape_of(bytes, 511));
}

TEST(table_agrees_with_layouts)
{
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const struct jvpn_shape *shape = jvpn_shape_of(forms[i].type);

		ASSERT_NE(NULL, shape);
		EXPECT_EQ(forms[i].receiver, shape->receiver);
		/* What is read after the check lies inside the shortest datagram. */
		EXPECT_LE(shape->tag ? shape->tag + 8 : 0, shape->min);
		EXPECT_LE(shape->cookie ? shape->cookie + 16 : 0, shape->min);
		EXPECT_LE(shape->req_id ? shape->req_id + 8 : 0, shape->min);
		EXPECT_LE(shape->cid ? shape->cid + 8 : 0, shape->min);
		/* The tag is last: nothing is left uncovered. */
		if (shape->tag)
			EXPECT_EQ(shape->min, shape->tag + 8);
		/* A RETRY is smaller than whatever it answers. */
		if (shape->request)
			EXPECT_GT(shape->min, sizeof(struct jvpn_retry));
	}
}

static int frame_of(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len);
	int type;

	memcpy(exact, bytes, len);
	type = jvpn_frame_check(exact, len);
	free(exact);
	return type;
}

TEST(frames)
{
	uint8_t frame[1500] = { JVPN_F_PROBE };

	for (size_t len = 1; len < sizeof(frame); len++) {
		frame[0] = JVPN_F_PROBE;
		ASSERT_EQ(len < 64 ? -EBADMSG : JVPN_F_PROBE, frame_of(frame, len));
		frame[0] = JVPN_F_PROBE_ACK;
		ASSERT_EQ(len < 64 ? -EBADMSG : JVPN_F_PROBE_ACK, frame_of(frame, len));
		frame[0] = JVPN_F_CLOSE;
		ASSERT_EQ(len != 32 ? -EBADMSG : JVPN_F_CLOSE, frame_of(frame, len));
		frame[0] = JVPN_F_NOTICE;
		frame[1] = JVPN_NOTICE_DRAIN;
		ASSERT_EQ(len < 4 || len > 4 + JVPN_NOTICE_MAX ? -EBADMSG : JVPN_F_NOTICE,
			  frame_of(frame, len));
		frame[1] = 0;
		ASSERT_EQ(-EBADMSG, frame_of(frame, len));	/* of no kind */
	}
	for (int type = 5; type < 16; type++) {
		frame[0] = type;
		EXPECT_EQ(0, frame_of(frame, 64));
	}
	frame[0] = 0;
	EXPECT_EQ(0, frame_of(frame, 1));
}

TEST(every_byte_of_every_frame)
{
	for (int at = 1; at < 100; at++) {
		uint8_t probe[100] = { JVPN_F_PROBE }, ack[100] = { JVPN_F_PROBE_ACK };
		uint8_t close[32] = { JVPN_F_CLOSE }, notice[32] = { JVPN_F_NOTICE, 1 };
		bool fixed = at < 4;

		probe[at] = ack[at] = 0x80;
		EXPECT_EQ(fixed || at >= 48 ? -EBADMSG : JVPN_F_PROBE, frame_of(probe, 100)) {
			TH_LOG("byte %d", at);
		}
		EXPECT_EQ(fixed || at >= 64 ? -EBADMSG : JVPN_F_PROBE_ACK, frame_of(ack, 100)) {
			TH_LOG("byte %d", at);
		}
		if (at >= 32)
			continue;
		close[at] = 0x80;
		EXPECT_EQ((at >= 2 && at < 8) || at >= 24 ? -EBADMSG : JVPN_F_CLOSE,
			  frame_of(close, 32)) {
			TH_LOG("byte %d", at);
		}
		notice[at] = 0x80;
		EXPECT_EQ(at == 2 || at == 3 ? -EBADMSG : JVPN_F_NOTICE, frame_of(notice, 32)) {
			TH_LOG("byte %d", at);
		}
	}
}

TEST(probe_fields)
{
	uint8_t frame[64] = { JVPN_F_PROBE };

	for (int flags = 0; flags < 256; flags++) {
		frame[1] = flags;
		EXPECT_EQ(flags < 8 ? JVPN_F_PROBE : -EBADMSG, frame_of(frame, 64));
	}
	frame[1] = 0;
	for (int path = 0; path < 256; path++) {
		frame[2] = path;
		EXPECT_EQ(path < 16 ? JVPN_F_PROBE : -EBADMSG, frame_of(frame, 64));
	}
}

TEST(bucket)
{
	static const struct jvpn_rate rate = JVPN_RATE(100, 200);
	uint64_t now = 5 * SECOND, full = 0, taken = 0;

	/* A full one gives its burst at once, and then nothing. */
	while ((full = jvpn_bucket_take(full, &rate, now)))
		if (++taken > 1000)
			break;
	EXPECT_EQ(200, taken);
	full = now + 2 * SECOND;
	/* A refusal uses nothing up: the next token is there when it is due. */
	for (int i = 0; i < 1000; i++)
		EXPECT_EQ(0, jvpn_bucket_take(full, &rate, now + SECOND / 100 - 1));
	EXPECT_NE(0, jvpn_bucket_take(full, &rate, now + SECOND / 100));
	/* Long rest makes it full, not fuller. */
	now += 3600 * SECOND;
	for (taken = 0; (full = jvpn_bucket_take(full, &rate, now)); taken++)
		;
	EXPECT_EQ(200, taken);
}

/* Whatever the arrivals: never more than burst + rate * time. */
TEST(bucket_bound)
{
	uint64_t state = unit_seed("bucket_bound");

	for (int round = 0; round < 200; round++) {
		struct jvpn_rate rate = JVPN_RATE(1 + unit_random(&state) % 200000,
						  1 + unit_random(&state) % 3000);
		uint64_t from = 1 + unit_random(&state) % SECOND, now = from, full = 0, taken = 0;

		for (int i = 0; i < 5000; i++) {
			uint64_t next = jvpn_bucket_take(full, &rate, now);

			if (next) {
				full = next;
				taken++;
			}
			now += unit_random(&state) % (2 * (uint64_t)rate.interval_ns);
			ASSERT_LE(taken, rate.burst + (now - from) / rate.interval_ns + 1);
		}
		/* and it does let that much through: one in two arrivals on average */
		ASSERT_GE(taken, 2000);
	}
}

TEST(meter)
{
	uint64_t word = 0;

	for (uint32_t i = 1; i <= 1500; i++) {
		word = jvpn_meter_add(word, 7);
		ASSERT_EQ(i, (uint32_t)word);
	}
	word = jvpn_meter_add(word, 8);
	EXPECT_EQ(1, (uint32_t)word);
	EXPECT_EQ(8, word >> 32);
	word |= 0xffffffff;
	EXPECT_EQ(word, jvpn_meter_add(word, 8));
}

TEST_HARNESS_MAIN
