// SPDX-License-Identifier: GPL-2.0-only
/*
 * repeat.c - the same calls of a service in turn, many times, as fast as it answers
 *
 *	repeat [--any] COUNT[/MS] METHOD PARAMS [METHOD PARAMS]...
 *
 * COUNT calls altogether, spread over MS milliseconds: fewer if they take longer. Prints {"calls":…,"failed":…,"seconds":…,"turns":[…]}, with
 * {"method":…,"calls":…,"seconds":…,"p50_ms":…,"p99_ms":…} for each METHOD of the turn.
 * A call that fails ends it, unless --any says that some are to fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/util.h"
#include "vmq/vmq.h"

static int time_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* @took: nanoseconds of @calls calls. Every @turns'th is of one METHOD; @v: room for those. */
static void print_turn(const char *method, const uint64_t *took, long calls, int turns, uint64_t *v)
{
	long n = 0, p50, p99;
	uint64_t sum = 0;

	for (long i = 0; i < calls; i += turns)
		sum += v[n++] = took[i];
	qsort(v, (size_t)n, sizeof(*v), time_order);
	p50 = (n - 1) / 2;
	p99 = (n * 99 + 99) / 100 - 1;
	printf("{\"method\":\"%s\",\"calls\":%ld,\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}",
	       method, n, (double)sum / 1e9, (double)v[p50] / 1e6,
	       (double)v[p99] / 1e6);
}

static void sleep_until(uint64_t ns)
{
	const struct timespec ts = {
		.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000),
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

int main(int argc, char **argv)
{
	int any = argc > 1 && !strcmp(argv[1], "--any");
	long count, calls, failed = 0;
	char **turn = argv + any + 2;
	int turns = (argc - any - 2) / 2, rc = 0;
	uint64_t begin, before, span, *took;
	struct vmq *v = NULL;
	const char *ms;

	if (turns < 1 || (argc - any) % 2 || (count = atol(argv[any + 1])) < 1) {
		fprintf(stderr, "usage: repeat [--any] COUNT[/MS] METHOD PARAMS "
			"[METHOD PARAMS]...\n");
		return 2;
	}
	ms = strchr(argv[any + 1], '/');
	span = ms ? (uint64_t)atol(ms + 1) * 1000000 : 0;
	took = calloc((size_t)count * 2, sizeof(*took));	/* and room to sort them */
	if (!took)
		return 1;
	rc = vmq_open(&v, NULL, NULL);
	begin = before = now_ns();
	for (calls = 0; calls < count && !rc && (!span || before < begin + span); calls++) {
		char **call = turn + 2 * (calls % turns);

		if (span) {
			sleep_until(begin + span / (uint64_t)count * (uint64_t)calls);
			before = now_ns();
		}
		rc = vmq_call(v, call[0], call[1], NULL);
		took[calls] = now_ns() - before;
		before += took[calls];
		if (rc && any) {
			failed++;
			rc = 0;
		}
	}
	if (rc) {
		fprintf(stderr, "repeat: call %ld: %s\n", calls, vmq_error(v));
		goto out;
	}
	printf("{\"calls\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"turns\":[", calls, failed,
	       (double)(before - begin) / 1e9);
	for (int i = 0; i < turns && i < calls; i++) {
		printf("%s", i ? "," : "");
		print_turn(turn[2 * i], took + i, calls - i, turns, took + count);
	}
	printf("]}\n");
out:
	free(took);
	vmq_close(v);
	return rc ? 1 : 0;
}
