// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * bench.bpf.c - the path of a frame, with another destination every run
 *
 * For tests/prog/classify-cost.c alone; never attached. BPF_PROG_TEST_RUN runs
 * one frame again and again, so that all look-ups after the first would hit warm
 * cache lines. These programs write a new pseudo-random destination into the
 * frame before each run, and ports where flows are wanted. The peer does the same
 * and then only redirects, so the difference between the two is what vmq does.
 */
#include "vmq.bpf.c"

/* Destinations are base ... base + mask; set by user space. */
__u64 bench_base;
__u32 bench_mask;
__u32 bench_state;
/* Where the frame has its ports, which then change as well; 0: they stay. */
__u32 bench_ports;
/* Frames of the run; when its 1,000th and its last began. */
__u32 bench_frames, bench_last;
__u64 bench_began, bench_ended;

static __always_inline bool next_destination(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 ports = bench_ports & 63;

	if (data + ETH_HLEN > end)
		return false;
	if (++bench_frames == 1000)
		bench_began = bpf_ktime_get_ns();
	else if (bench_frames == bench_last)
		bench_ended = bpf_ktime_get_ns();
	bench_state = bench_state * 1664525 + 1013904223;
	/* One store as wide as the load it is read with, or the CPU stalls on it. */
	*(__be64 *)data = bpf_cpu_to_be64((bench_base + (bench_state >> 12 & bench_mask)) << 16);
	if (ports && data + ports + 4 <= end)
		*(__u32 *)(data + ports) = bench_state;
	return true;
}

/* The least that a program with an XSKMAP does. */
SEC("xdp.frags")
int bench_redirect(struct xdp_md *ctx)
{
	if (!next_destination(ctx))
		return XDP_ABORTED;
	return bpf_redirect_map(&xsks, 0, XDP_PASS);
}

/* That and one load from the FIB's array, somewhere in what as many filters take. */
SEC("xdp.frags")
int bench_load(struct xdp_md *ctx)
{
	const struct vmq_fib_bucket *b;
	__u32 index;

	if (!next_destination(ctx))
		return XDP_ABORTED;
	index = bench_state >> 12 & bench_mask & (VMQ_FIB_BUCKETS - 1);
	b = bpf_map_lookup_elem(&fib, &index);
	if (!b)
		return XDP_ABORTED;
	/* The slot is 0 whatever was loaded, but the CPU has to know that first. */
	return bpf_redirect_map(&xsks, READ_ONCE(b->slot[0].key) == VMQ_FIB_TOMB, XDP_PASS);
}

SEC("xdp.frags")
int bench_vmq(struct xdp_md *ctx)
{
	if (!next_destination(ctx))
		return XDP_ABORTED;
	return receive(ctx, (struct nic_tag){}, false);
}
