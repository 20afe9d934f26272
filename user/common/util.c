// SPDX-License-Identifier: GPL-2.0-only
/*
 * util.c - small things every module needs
 */
#include <time.h>

#include "common/util.h"

/**
 * now_ns() - read the monotonic clock
 *
 * Return: nanoseconds since some fixed point; never goes backwards.
 */
uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}
