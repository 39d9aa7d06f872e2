/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What headers without side effects need, so that tests and fuzzers can compile
 * the very code that reads hostile input in the kernel.
 */
#ifndef JVPN_PURE_H
#define JVPN_PURE_H

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/types.h>
#else
#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define READ_ONCE(x)	 __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

static inline u64 div_u64(u64 dividend, u32 divisor)
{
	return dividend / divisor;
}

static inline const void *memchr_inv(const void *start, int c, size_t len)
{
	const u8 *p = start;

	for (; len; p++, len--)
		if (*p != (u8)c)
			return p;
	return NULL;
}
#endif

/* Times are CLOCK_BOOTTIME ns. */
#define JVPN_NEVER (~0ULL)
#define JVPN_NS_PER_US 1000ULL
#define JVPN_NS_PER_MS 1000000ULL

#endif /* JVPN_PURE_H */
