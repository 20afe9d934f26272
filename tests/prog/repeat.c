// SPDX-License-Identifier: GPL-2.0-only
/*
 * repeat.c - the same calls of a service in turn, many times, as fast as it answers
 *
 *	repeat [--any] COUNT METHOD PARAMS [METHOD PARAMS]...
 *
 * Prints {"calls":…,"failed":…,"seconds":…}. A call that fails ends it, unless
 * --any says that some are to fail.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "vmq/vmq.h"

int main(int argc, char **argv)
{
	int any = argc > 1 && !strcmp(argv[1], "--any");
	long count, calls, failed = 0;
	char **turn = argv + any + 2;
	int turns = (argc - any - 2) / 2, rc;
	struct vmq *v = NULL;
	uint64_t begin;

	if (turns < 1 || (argc - any) % 2 || (count = atol(argv[any + 1])) < 1) {
		fprintf(stderr, "usage: repeat [--any] COUNT METHOD PARAMS [METHOD PARAMS]...\n");
		return 2;
	}
	rc = vmq_open(&v, NULL, NULL);
	begin = now_ns();
	for (calls = 0; calls < count && !rc; calls++) {
		char **call = turn + 2 * (calls % turns);

		rc = vmq_call(v, call[0], call[1], NULL);
		if (rc && any) {
			failed++;
			rc = 0;
		}
	}
	if (rc)
		fprintf(stderr, "repeat: call %ld: %s\n", calls, vmq_error(v));
	else
		printf("{\"calls\":%ld,\"failed\":%ld,\"seconds\":%.3f}\n", calls, failed,
		       (double)(now_ns() - begin) / 1e9);
	vmq_close(v);
	return rc ? 1 : 0;
}
