// SPDX-License-Identifier: GPL-2.0-only
/*
 * classify-cost.c - what the XDP program costs a frame
 *
 * BPF_PROG_TEST_RUN runs a program many times. It tells nanoseconds per run, but whole
 * ones, so the programs look at the clock themselves, in their 1,000th and last run. The
 * measure is the ratio to the least that any XSKMAP program must do, an
 * unconditional redirect, taken in the same run: rounds alternate between the
 * cases and the median of each counts. Both programs (bpf/bench.bpf.c) write a
 * new random destination into the frame before each run, so that a table of
 * 65,536 filters is hit all over.
 *
 * --rss measures hashing instead, 4,096 filters of one queue: with one pair nothing
 * is hashed, with four each frame is another flow, or has nothing to hash.
 *
 * A call costs some 40 ms whatever its repeat (the kernel puts the program into
 * the XDP dispatcher and waits for a grace period), so there are few calls.
 *
 * classify-cost [--rss] [--json] [--quick]; root. Works in a network namespace of its own.
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
#include "adapter/rss.h"
#include "adapter/rss_words.h"
#include "common/util.h"
#include "bench.skel.h"
#include "vmq/abi.h"

#define ROUNDS		5
#define SLOT		1
#define VLAN		100
#define FRAME_LEN	80	/* IPv6 and TCP */
#define PAIRS		4
#define QUEUE		1
#define MAC_BASE	0x525400000000ULL
#define MISS_BASE	0x020000000000ULL
#define MAP_BYTES	(sizeof(struct vmq_fib_bucket) * 2 * VMQ_FIB_BUCKETS)

enum layout { UNTAGGED, TAGGED, QINQ, TCP4, TCP6, NO_HASH };

/* What stands in a frame behind its addresses, and where its ports are. */
static const struct {
	uint8_t bytes[16];
	uint32_t vlan, ports;
} layouts[] = {
	[UNTAGGED] = { .bytes = { 0x08, 0x00 } },
	[TAGGED] = { .bytes = { 0x81, 0x00, 0x00, VLAN, 0x08, 0x00 }, .vlan = VLAN },
	[QINQ] = { .bytes = { 0x81, 0x00, 0x00, VLAN, 0x81, 0x00, 0x00, 7, 0x08, 0x00 },
		   .vlan = VLAN },
	/* version and length, total length, TTL and protocol */
	[TCP4] = { .bytes = { 0x08, 0x00, 0x45, 0, 0, 66, 0, 0, 0, 0, 64, 6 }, .ports = 34 },
	[TCP6] = { .bytes = { 0x86, 0xdd, 0x60, 0, 0, 0, 0, 26, 6, 64 }, .ports = 54 },
	[NO_HASH] = { .bytes = { 0x08, 0x06 }, .ports = 34 },
};

/*
 * One thing that is measured. @filters 0: the peer. @load: a bare array load instead of
 * the program. @pairs 0: one, without RSS.
 */
struct cost_case {
	const char *name;
	bool load;
	uint32_t filters, pairs;
	enum layout layout;
	bool miss;
	double ns[ROUNDS];
};

static struct cost_case classify_cases[] = {
	{ .name = "redirect", .filters = 0 },
	{ .name = "hit-1", .filters = 1 },
	{ .name = "hit-64", .filters = 64 },
	{ .name = "load-4096", .filters = 4096, .load = true },
	{ .name = "hit-4096", .filters = 4096 },
	{ .name = "hit-4096-tagged", .filters = 4096, .layout = TAGGED },
	{ .name = "hit-4096-qinq", .filters = 4096, .layout = QINQ },
	{ .name = "miss-4096", .filters = 4096, .miss = true },
	{ .name = "load-65536", .filters = 65536, .load = true },
	{ .name = "hit-65536", .filters = 65536 },
};

static struct cost_case rss_cases[] = {
	{ .name = "redirect", .filters = 0, .layout = TCP4 },
	{ .name = "1-pair-tcp4", .filters = 4096, .layout = TCP4 },
	{ .name = "4-pairs-tcp4", .filters = 4096, .pairs = PAIRS, .layout = TCP4 },
	{ .name = "4-pairs-tcp6", .filters = 4096, .pairs = PAIRS, .layout = TCP6 },
	{ .name = "4-pairs-no-hash", .filters = 4096, .pairs = PAIRS, .layout = NO_HASH },
};

static struct {
	struct cost_case *cases;
	size_t n_cases;
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

/* All hash types, a table of 128 entries over the slots of all pairs. */
static int fill_rss(void)
{
	struct vmq_rss_params params = {
		.types = RSS_TYPES_ALL, .mask = VMQ_RSS_ENTRIES_MAX - 1, .fallback = SLOT,
	};
	static struct vmq_toeplitz toeplitz;
	static struct vmq_rss rss;
	uint8_t key[VMQ_RSS_KEY_LEN];
	uint32_t id = QUEUE;
	int rc, i;

	for (i = 0; i < VMQ_RSS_ENTRIES_MAX; i++)
		params.table[i] = SLOT + i % PAIRS;
	rc = rss_random_key(key, NULL);
	if (rc)
		return rc;
	rss_update(&rss, &toeplitz, &params, key);
	rc = bpf_map_update_elem(bpf_map__fd(b.skel->maps.rss), &id, &rss, 0);
	return rc ? rc : bpf_map_update_elem(bpf_map__fd(b.skel->maps.toeplitz), &id, &toeplitz, 0);
}

static int load_programs(void)
{
	uint32_t key;
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
	/* Slot 0 is the peer's. */
	for (key = 0; key < SLOT + PAIRS; key++)
		if (bpf_map_update_elem(bpf_map__fd(b.skel->maps.xsks), &key, &xsk, 0))
			return -errno;
	rc = fill_rss();
	if (rc)
		return rc;

	b.map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     bpf_map__fd(b.skel->maps.fib), 0);
	return b.map == MAP_FAILED ? -errno : 0;
}

/* Its filters exactly, in the VLAN that its frames belong to. */
static int fill_fib(const struct cost_case *c)
{
	uint32_t value = c->pairs ? VMQ_FIB_VALUE(VMQ_TARGET_RSS, 0, QUEUE, 0) :
				    VMQ_FIB_VALUE(VMQ_TARGET_SLOT, 0, QUEUE, SLOT);
	uint16_t rule = (uint16_t)layouts[c->layout].vlan;
	uint32_t i;
	int rc;

	/* A transaction copies what is there: begin with an empty table instead. */
	fib_close(b.fib);
	b.fib = NULL;
	memset(b.map, 0, MAP_BYTES);
	rc = fib_open(&b.fib, b.map, (uint64_t *)&b.skel->bss->vmq_fib_ctl, no_grace, NULL);
	for (i = 0; !rc && i < c->filters; i++)
		rc = fib_set(b.fib, VMQ_FIB_KEY(MAC_BASE + i, rule), value);
	return rc;
}

static void make_frame(uint8_t *frame, enum layout layout)
{
	memset(frame, 0, FRAME_LEN);
	memcpy(frame + 12, layouts[layout].bytes, sizeof(layouts[layout].bytes));
}

/* Nanoseconds per frame; negative errno on failure. */
static double measure(const struct cost_case *c)
{
	struct bpf_program *prog = c->load ? b.skel->progs.bench_load :
				   c->filters ? b.skel->progs.bench_vmq :
						b.skel->progs.bench_redirect;
	uint8_t frame[FRAME_LEN];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = (int)b.repeat);

	make_frame(frame, c->layout);
	b.skel->bss->bench_base = c->miss ? MISS_BASE : MAC_BASE;
	b.skel->bss->bench_mask = c->filters ? c->filters - 1 : 0;
	b.skel->bss->bench_ports = layouts[c->layout].ports;
	b.skel->bss->bench_frames = 0;
	b.skel->bss->bench_last = b.repeat;
	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &opts))
		return -errno;
	if (opts.retval != (c->miss ? XDP_PASS : XDP_REDIRECT))
		return -EBADMSG;
	return (double)(b.skel->bss->bench_ended - b.skel->bss->bench_began) / (b.repeat - 1000);
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
	double peer = median(&b.cases[0]);
	size_t i;

	if (json)
		printf("{\"version\":1,\"name\":\"classify-cost\",\"unit\":\"ns\"");
	else
		printf("%-18s %9s %7s\n", "case", "ns/frame", "ratio");
	for (i = 0; i < b.n_cases; i++) {
		double ns = i ? median(&b.cases[i]) : peer;

		printf(json ? ",\"%s\":{\"ns\":%.1f,\"ratio\":%.3f}" : "%-18s %9.1f %7.2f\n",
		       b.cases[i].name, ns, ns / peer);
	}
	if (json)
		printf("}\n");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "quick", no_argument, NULL, 'q' },
		{ "rss", no_argument, NULL, 'r' }, { 0 },
	};
	bool json = false;
	int round, opt, rc;
	size_t i;

	b.repeat = 5000000;
	b.cases = classify_cases;
	b.n_cases = ARRAY_SIZE(classify_cases);
	while ((opt = getopt_long(argc, argv, "jqr", options, NULL)) != -1) {
		if (opt == 'j')
			json = true;
		else if (opt == 'q')
			b.repeat = 500000;
		else if (opt == 'r')
			b.cases = rss_cases, b.n_cases = ARRAY_SIZE(rss_cases);
		else
			return 2;
	}
	if (unshare(CLONE_NEWNET)) {
		perror("classify-cost: needs root (own network namespace)");
		return 1;
	}
	rc = load_programs();
	for (round = 0; !rc && round < ROUNDS; round++) {
		for (i = 0; !rc && i < b.n_cases; i++) {
			struct cost_case *c = &b.cases[i];

			if (c->filters)
				rc = fill_fib(c);
			if (rc)
				break;
			c->ns[round] = measure(c);
			if (c->ns[round] < 0)
				rc = (int)c->ns[round];
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
