/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * prog.h - the real XDP program under BPF_PROG_TEST_RUN
 *
 * The program is loaded as the service loads it, in a network namespace of the
 * test's own. TEST_RUN does not carry a redirect out; the verdict, the frame and
 * the metadata that come back are what is looked at. So an unbound AF_XDP socket
 * in the XSKMAP will do for a redirect to be accepted.
 */
#ifndef VMQ_TEST_PROG_H
#define VMQ_TEST_PROG_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_xdp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "adapter/fib.h"
#include "adapter/rss.h"
#include "unit.h"
#include "vmq.skel.h"
#include "vmq/abi.h"

#define PROG_SLOTS	64
#define PROG_ROOM	10000	/* longest frame and metadata, together */

struct prog {
	struct vmq_bpf *skel;
	struct fib *fib;
	struct vmq_rss *rss;		/* mapped, by queue id */
	struct vmq_toeplitz *toeplitz;	/* mapped, by queue id */
	uint32_t stride;
};

/* One run. */
struct prog_run {
	/* in */
	const uint8_t *frame;
	uint32_t len;
	uint32_t meta;		/* bytes of metadata that a sender left: 0xff each */
	uint32_t ifindex;	/* 0: RX queue 0 of lo */
	uint32_t rxq;
	/* out */
	uint32_t verdict;
	uint32_t meta_out;	/* bytes of metadata */
	struct vmq_oob oob;	/* of those, the first 16 */
	bool	 same;		/* the frame came back unchanged */
};

static int prog_no_grace(void *arg)
{
	(void)arg;
	return 0;	/* nothing runs while a test changes filters */
}

static inline void *prog_map(struct bpf_map *map)
{
	size_t value = (bpf_map__value_size(map) + 7) & ~7UL;
	size_t len = (value * bpf_map__max_entries(map) + 4095) & ~4095UL;
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

static inline int prog_quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

/*
 * Own namespaces, before the first prog_open(). Return: NULL, or why the test
 * cannot be made here.
 */
static inline const char *prog_setup(void)
{
	libbpf_set_print(prog_quiet);
	if (unshare(CLONE_NEWNET))
		return "needs root (a network namespace of its own)";
	return NULL;
}

/* Return: 0 or -errno. */
static inline int prog_open(struct prog *p, uint32_t stride, uint32_t max_frame)
{
	struct vmq_fib_bucket *table;
	int rc;

	memset(p, 0, sizeof(*p));
	p->stride = stride;
	p->skel = vmq_bpf__open();
	if (!p->skel)
		return -errno;
	bpf_program__set_autoload(p->skel->progs.vmq_rx_kfunc, false);
	p->skel->rodata->vmq_stride = stride;
	p->skel->rodata->vmq_max_frame = max_frame;
	bpf_map__set_max_entries(p->skel->maps.xsks, PROG_SLOTS * stride);
	bpf_map__set_max_entries(p->skel->maps.slot_stats, PROG_SLOTS);
	bpf_map__set_max_entries(p->skel->maps.cpus, (uint32_t)libbpf_num_possible_cpus());
	bpf_map__set_max_entries(p->skel->maps.cpu_stats, (uint32_t)libbpf_num_possible_cpus());
	rc = vmq_bpf__load(p->skel);
	if (rc)
		return rc;
	table = prog_map(p->skel->maps.fib);
	p->rss = prog_map(p->skel->maps.rss);
	p->toeplitz = prog_map(p->skel->maps.toeplitz);
	if (!table || !p->rss || !p->toeplitz)
		return -errno;
	return fib_open(&p->fib, table, (uint64_t *)&p->skel->bss->vmq_fib_ctl,
			prog_no_grace, NULL);
}

static inline void prog_close(struct prog *p)
{
	fib_close(p->fib);
	vmq_bpf__destroy(p->skel);
}

/* A socket for (@slot, @rxq); it lives as long as the test. */
static inline int prog_socket(struct prog *p, uint32_t slot, uint32_t rxq)
{
	uint32_t key = slot * p->stride + rxq;
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int entries = 64;

	/* A socket without a ring is not taken by every kernel (7.2: ENOBUFS). */
	if (fd < 0 || setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)))
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(p->skel->maps.xsks), &key, &fd, 0) ? -errno : 0;
}

/* Return: 0, or -errno if the kernel did not run the program. */
static inline int prog_run(struct prog *p, struct prog_run *r)
{
	static uint8_t in[PROG_ROOM], out[PROG_ROOM];
	struct xdp_md ctx_in = {
		.data = r->meta, .data_end = r->meta + r->len,
		.ingress_ifindex = r->ifindex, .rx_queue_index = r->rxq,
	};
	struct xdp_md ctx_out = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts,
		.data_in = in, .data_size_in = r->meta + r->len,
		.data_out = out, .data_size_out = sizeof(out),
		.ctx_in = &ctx_in, .ctx_size_in = sizeof(ctx_in),
		.ctx_out = &ctx_out, .ctx_size_out = sizeof(ctx_out), .repeat = 1);

	memset(in, 0xff, r->meta);
	memcpy(in + r->meta, r->frame, r->len);
	if (bpf_prog_test_run_opts(bpf_program__fd(p->skel->progs.vmq_rx), &opts))
		return -errno;
	r->verdict = opts.retval;
	r->meta_out = ctx_out.data;
	memset(&r->oob, 0, sizeof(r->oob));
	if (r->meta_out == sizeof(r->oob))
		memcpy(&r->oob, out, sizeof(r->oob));
	r->same = opts.data_size_out == r->meta_out + r->len &&
		  !memcmp(out + r->meta_out, r->frame, r->len);
	return 0;
}

/* Counters, summed over CPUs. */
static inline void prog_sum(struct bpf_map *map, uint32_t key, uint64_t *out, size_t size)
{
	static uint64_t v[1024 * sizeof(struct vmq_rss_stats) / 8];
	int n = libbpf_num_possible_cpus(), i;
	size_t j;

	memset(out, 0, size);
	if (bpf_map_lookup_elem(bpf_map__fd(map), &key, v))
		return;
	for (i = 0; i < n; i++) {
		for (j = 0; j < size / sizeof(*out); j++)
			out[j] += v[(size_t)i * (size / sizeof(*out)) + j];
	}
}

#endif /* VMQ_TEST_PROG_H */
