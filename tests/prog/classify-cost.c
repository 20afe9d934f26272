// SPDX-License-Identifier: GPL-2.0-only
/*
 * classify-cost.c - what the XDP program costs a frame
 *
 * BPF_PROG_TEST_RUN runs a program many times and tells nanoseconds per run. The
 * measure is the ratio to the least that any XSKMAP program must do, an
 * unconditional redirect, taken in the same run: rounds alternate between the
 * cases and the median of each counts. Both programs (bpf/bench.bpf.c) write a
 * new random destination into the frame before each run, so that a table of
 * 65,536 filters is hit all over.
 *
 * A call costs some 40 ms whatever its repeat (the kernel puts the program into
 * the XDP dispatcher and waits for a grace period), so there are few calls.
 *
 * classify-cost [--json] [--quick]; root. Works in a network namespace of its own.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/fib.h"
#include "common/util.h"
#include "bench.skel.h"
#include "vmq/abi.h"

#define ROUNDS		5
#define SLOT		1
#define VLAN		100
#define FRAME_LEN	64
#define MAC_BASE	0x525400000000ULL
#define MISS_BASE	0x020000000000ULL
#define MAP_BYTES	(sizeof(struct vmq_fib_bucket) * 2 * VMQ_FIB_BUCKETS)

enum layout { UNTAGGED, TAGGED, QINQ };

/* One thing that is measured. @filters 0: the peer. */
struct cost_case {
	const char *name;
	uint32_t filters;
	enum layout layout;
	bool miss;
	double ns[ROUNDS];
};

static struct cost_case cases[] = {
	{ .name = "redirect", .filters = 0 },
	{ .name = "hit-1", .filters = 1 },
	{ .name = "hit-64", .filters = 64 },
	{ .name = "hit-4096", .filters = 4096 },
	{ .name = "hit-4096-tagged", .filters = 4096, .layout = TAGGED },
	{ .name = "hit-4096-qinq", .filters = 4096, .layout = QINQ },
	{ .name = "miss-4096", .filters = 4096, .miss = true },
	{ .name = "hit-65536", .filters = 65536 },
};

static struct {
	struct bench_bpf *skel;
	struct fib *fib;
	void *map;		/* of the FIB's array */
	uint32_t repeat;
} b;

static int no_grace(void *arg)
{
	(void)arg;
	return 0;	/* no program runs while filters change here */
}

static int load_programs(void)
{
	uint32_t key = 0;
	int xsk, rc;

	b.skel = bench_bpf__open();
	if (!b.skel)
		return -errno;
	bpf_program__set_autoload(b.skel->progs.vmq_rx, false);
	bpf_program__set_autoload(b.skel->progs.vmq_rx_kfunc, false);
	bpf_map__set_max_entries(b.skel->maps.xsks, 2 * VMQ_SLOTS_MAX);
	rc = bench_bpf__load(b.skel);
	if (rc)
		return rc;

	/* An unbound socket will do: nothing is redirected, only the verdict counts. */
	xsk = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (xsk < 0)
		return -errno;
	if (bpf_map_update_elem(bpf_map__fd(b.skel->maps.xsks), &key, &xsk, 0))
		return -errno;
	key = SLOT;
	if (bpf_map_update_elem(bpf_map__fd(b.skel->maps.xsks), &key, &xsk, 0))
		return -errno;

	b.map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(b.skel->maps.fib), 0);
	return b.map == MAP_FAILED ? -errno : 0;
}

/* Exactly @filters filters, in the VLAN that frames of @layout belong to. */
static int fill_fib(uint32_t filters, enum layout layout)
{
	uint16_t rule = layout == UNTAGGED ? VMQ_RULE_UNTAGGED : VLAN;
	uint32_t i;
	int rc;

	/* A transaction copies what is there: begin with an empty table instead. */
	fib_close(b.fib);
	b.fib = NULL;
	memset(b.map, 0, MAP_BYTES);
	rc = fib_open(&b.fib, b.map, (uint64_t *)&b.skel->bss->vmq_fib_ctl, no_grace, NULL);
	for (i = 0; !rc && i < filters; i++)
		rc = fib_set(b.fib, VMQ_FIB_KEY(MAC_BASE + i, rule),
			     VMQ_FIB_VALUE(VMQ_TARGET_SLOT, 0, 1, SLOT));
	return rc;
}

static void make_frame(uint8_t *frame, enum layout layout)
{
	static const uint8_t tags[] = { 0x81, 0x00, 0x00, VLAN, 0x81, 0x00, 0x00, 7 };
	uint32_t n = layout == UNTAGGED ? 0 : layout == TAGGED ? 4 : 8;

	memset(frame, 0, FRAME_LEN);
	memcpy(frame + 12, tags, n);
	frame[12 + n] = 0x08;
}

/* Nanoseconds per frame; negative errno on failure. */
static double measure(const struct cost_case *c)
{
	struct bpf_program *prog = c->filters ? b.skel->progs.bench_vmq :
						b.skel->progs.bench_redirect;
	uint8_t frame[FRAME_LEN];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = (int)b.repeat);

	make_frame(frame, c->layout);
	b.skel->bss->bench_base = c->miss ? MISS_BASE : MAC_BASE;
	b.skel->bss->bench_mask = c->filters ? c->filters - 1 : 0;
	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -errno;
	if (opts.retval != (c->miss ? XDP_PASS : XDP_REDIRECT))
		return -EBADMSG;
	return opts.duration;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, d = *(const double *)y;

	return a < d ? -1 : a > d;
}

static double median(struct cost_case *c)
{
	qsort(c->ns, ROUNDS, sizeof(c->ns[0]), by_value);
	return c->ns[ROUNDS / 2];
}

static void report(bool json)
{
	double peer = median(&cases[0]);
	size_t i;

	if (json)
		printf("{\"version\":1,\"name\":\"classify-cost\",\"unit\":\"ns\"");
	else
		printf("%-18s %9s %7s\n", "case", "ns/frame", "ratio");
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		double ns = i ? median(&cases[i]) : peer;

		printf(json ? ",\"%s\":{\"ns\":%.1f,\"ratio\":%.3f}" : "%-18s %9.1f %7.2f\n",
		       cases[i].name, ns, ns / peer);
	}
	if (json)
		printf("}\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' }, { 0 },
	};
	bool json = false;
	int round, opt, rc;
	size_t i;

	b.repeat = 5000000;
	while ((opt = getopt_long(argc, argv, "jq", options, NULL)) != -1) {
		if (opt == 'j')
			json = true;
		else if (opt == 'q')
			b.repeat = 500000;
		else
			return 2;
	}
	if (unshare(CLONE_NEWNET)) {
		perror("classify-cost: needs root (own network namespace)");
		return 1;
	}
	rc = load_programs();
	for (round = 0; !rc && round < ROUNDS; round++) {
		for (i = 0; !rc && i < ARRAY_SIZE(cases); i++) {
			if (cases[i].filters)
				rc = fill_fib(cases[i].filters, cases[i].layout);
			if (rc)
				break;
			cases[i].ns[round] = measure(&cases[i]);
			if (cases[i].ns[round] < 0)
				rc = (int)cases[i].ns[round];
		}
	}
	if (rc) {
		fprintf(stderr, "classify-cost: %s\n", strerror(-rc));
		return 1;
	}
	report(json);
	fib_close(b.fib);
	bench_bpf__destroy(b.skel);
	return 0;
}
