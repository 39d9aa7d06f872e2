/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the unit tests: the kselftest harness, the known answers, and
 * reproducible randomness.
 */
#ifndef UNIT_H
#define UNIT_H

#include "kselftest_harness.h"

#include <stdint.h>
#include <time.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Known answers: generated from vectors.txt. */
struct unit_vector { const char *name, *hex; };

static const struct unit_vector unit_vectors[] = {
#include "vectors.inc"
};

static inline size_t unit_unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n && i < size; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return 0;
		out[i] = byte;
	}
	return n;
}

/* Copy the vector @name to @out. Returns its length; a missing one ends the test program. */
static inline size_t unit_vector(const char *name, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(unit_vectors); i++) {
		size_t n;

		if (strcmp(unit_vectors[i].name, name))
			continue;
		n = unit_unhex(unit_vectors[i].hex, out, size);
		if (n && n <= size)
			return n;
	}
	fprintf(stderr, "# vectors.txt: no usable %s\n", name);
	exit(1);
}

/* First @n bytes counting up from @from, as the vectors use them. */
static inline void unit_count_up(uint8_t *out, unsigned int from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = from + i;
}

/* splitmix64: small, and good enough to drive tests. */
static inline uint64_t unit_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline void unit_random_bytes(uint64_t *state, void *out, size_t n)
{
	uint8_t *b = out;

	for (size_t i = 0; i < n; i++)
		b[i] = unit_random(state);
}

/* From $SEED, else from the clock; printed, so that a failure can be repeated. */
static inline uint64_t unit_seed(const char *test)
{
	const char *text = getenv("SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
	fprintf(stderr, "# %s: SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}

/* From $NAME, else @def: how often a random test repeats. */
static inline uint64_t unit_rounds(const char *name, uint64_t def)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : def;
}

/* Compare bytes with an expected vector; true if equal, else both are printed. */
static inline bool unit_same(const char *what, const void *got, size_t got_len, const void *want,
			     size_t want_len)
{
	if (got_len == want_len && !memcmp(got, want, want_len))
		return true;
	fprintf(stderr, "# %s: got  ", what);
	for (size_t i = 0; i < got_len; i++)
		fprintf(stderr, "%02x", ((const uint8_t *)got)[i]);
	fprintf(stderr, "\n# %s: want ", what);
	for (size_t i = 0; i < want_len; i++)
		fprintf(stderr, "%02x", ((const uint8_t *)want)[i]);
	fprintf(stderr, "\n");
	return false;
}

static inline bool unit_is_vector(const char *name, const void *got, size_t got_len)
{
	uint8_t want[1024];
	size_t n = unit_vector(name, want, sizeof(want));

	return unit_same(name, got, got_len, want, n);
}

#endif /* UNIT_H */
