// SPDX-License-Identifier: GPL-2.0-only
/*
 * grace.c - how long the kernel's grace periods take: the floor of every teardown
 *
 *	grace COUNT
 *
 * Waits for COUNT of them by membarrier(), as user/adapter/barrier.c does, one after
 * another. Prints {"p50_ms":…,"p99_ms":…}. Status 77 where the kernel does not offer it.
 */
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/util.h"

static int time_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	long n = argc == 2 ? atol(argv[1]) : 0;
	uint64_t *took;
	long p50, p99;

	if (n < 1 || n > 100000) {
		fprintf(stderr, "usage: grace COUNT\n");
		return 2;
	}
	took = calloc((size_t)n, sizeof(*took));
	if (!took)
		return 1;
	for (long i = 0; i < n; i++) {
		uint64_t begin = now_ns();

		if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)) {
			perror("grace: membarrier");
			free(took);
			return 77;
		}
		took[i] = now_ns() - begin;
	}
	qsort(took, (size_t)n, sizeof(*took), time_order);
	p50 = (n - 1) / 2;
	p99 = (n * 99 + 99) / 100 - 1;
	printf("{\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", (double)took[p50] / 1e6,
	       (double)took[p99] / 1e6);
	free(took);
	return 0;
}
