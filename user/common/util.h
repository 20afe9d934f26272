/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * util.h - small things every module needs
 */
#ifndef VMQ_UTIL_H
#define VMQ_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	((a) < (b) ? (a) : (b))
#define MAX(a, b)	((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

/* Words that another thread reads or writes without a lock. */
#define load_relaxed(p)		__atomic_load_n(p, __ATOMIC_RELAXED)
#define load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_relaxed(p, v)	__atomic_store_n(p, v, __ATOMIC_RELAXED)
#define store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/*
 * A counter with one writer thread and any number of readers: the add needs no
 * locked instruction, the reader sees no torn value.
 */
static inline void counter_add(uint64_t *c, uint64_t n)
{
	store_relaxed(c, *c + n);
}

static inline uint32_t roundup_pow2(uint32_t v)
{
	return v <= 1 ? 1 : 1U << (32 - __builtin_clz(v - 1));
}

/* Monotonic clock in nanoseconds. */
uint64_t now_ns(void);

#endif /* VMQ_UTIL_H */
