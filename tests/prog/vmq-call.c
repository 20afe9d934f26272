// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmq-call.c - call a method of a running service by its own words
 *
 *	vmq-call METHOD [PARAMS]
 *
 * For what vmqctl has no words for. Prints the result; an error's sentence goes to
 * stderr, and its code to the exit status as vmqctl has it. With --repeat N calls
 * in turn the lines of standard input, each METHOD and PARAMS, N times all of them,
 * on one connection, and prints how many calls failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "vmq/vmq.h"

#define LINES 256

static int fail(const struct vmq *v, int rc)
{
	fprintf(stderr, "vmq-call: %s\n", vmq_error(v));
	return vmq_err_exit(rc);
}

static int repeat(struct vmq *v, long times)
{
	char *line[LINES], *params, *result;
	unsigned long calls = 0, failed = 0;
	size_t size = 0;
	int n = 0;

	for (; n < LINES; n++, size = 0) {
		line[n] = NULL;
		if (getline(&line[n], &size, stdin) <= 0 || !strchr(line[n], ' '))
			break;
		line[n][strcspn(line[n], "\n")] = '\0';
	}
	if (n < LINES)
		free(line[n]);
	for (; times > 0; times--) {
		for (int i = 0; i < n; i++, calls++) {
			params = strchr(line[i], ' ');
			*params = '\0';
			if (vmq_call(v, line[i], params + 1, &result) < 0) {
				if (!failed++)
					fail(v, -1);
			} else {
				free(result);
			}
			*params = ' ';
		}
	}
	while (n)
		free(line[--n]);
	printf("{\"calls\":%lu,\"failed\":%lu}\n", calls, failed);
	return failed != 0;
}

int main(int argc, char **argv)
{
	struct vmq *v = NULL;
	char *result = NULL;
	int rc;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: vmq-call METHOD [PARAMS] | --repeat N\n");
		return 2;
	}
	rc = vmq_open(&v, NULL, NULL);
	if (rc < 0) {
		rc = fail(v, rc);
	} else if (!strcmp(argv[1], "--repeat")) {
		rc = repeat(v, argc == 3 ? strtol(argv[2], NULL, 10) : 1);
	} else {
		rc = vmq_call(v, argv[1], argc == 3 ? argv[2] : "{}", &result);
		if (rc < 0)
			rc = fail(v, rc);
		else
			puts(result);
		free(result);
	}
	vmq_close(v);
	return rc;
}
