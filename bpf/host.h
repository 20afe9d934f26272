/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * host.h - frames for queue 0, the host
 *
 * Usually they are passed to the network stack here and now. With RSS of queue 0
 * on, a unicast frame that no VM wants goes by its hash to a CPU of the table: the
 * kernel queues it in a CPUMAP, and a kthread there makes an skb of it and gives it
 * to the stack. What the NIC knew about the frame (checksum, hash, timestamp, a tag
 * it took out) does not go along; the frame itself does.
 *
 * A CPUMAP's queue can overflow, which the kernel tells only to a tracepoint. So
 * frames are counted here and once more by a program where they arrive.
 */
#ifndef VMQ_BPF_HOST_H
#define VMQ_BPF_HOST_H

/* To the host, without metadata: it would be taken for a program's own. */
static __always_inline int pass(struct xdp_md *ctx)
{
	oob_clear(ctx);
	return XDP_PASS;
}

/**
 * vmq_host() - the same by way of the CPU that a frame's hash chooses
 * @ctx: a frame that no queue wants
 *
 * Out of line, and with a parse of its own, like vmq_rest().
 *
 * Return: verdict; XDP_PASS where that CPU is not there.
 */
__noinline __u32 vmq_host(struct xdp_md *ctx)
{
	struct vmq_cpu_stats *stats;
	struct frame f;
	__u32 cpu;

	oob_clear(ctx);
	if (!frame_parse(&f, (void *)(long)ctx->data, (void *)(long)ctx->data_end,
			 (struct nic_tag){}))
		return XDP_PASS;	/* never: it was parsed before */
	cpu = RSS_SLOT(vmq_rss(ctx, 0, f.l3, f.proto, 0));
	stats = bpf_map_lookup_elem(&cpu_stats, &cpu);
	if (!stats || bpf_redirect_map(&cpus, cpu, XDP_PASS) != XDP_REDIRECT)
		return XDP_PASS;
	stats->handed++;
	return XDP_REDIRECT;
}

/* Runs where a frame has arrived. */
SEC("xdp.frags/cpumap")
int vmq_cpu(struct xdp_md *ctx)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct vmq_cpu_stats *stats;

	(void)ctx;
	stats = bpf_map_lookup_elem(&cpu_stats, &cpu);
	if (stats)
		stats->taken++;
	return XDP_PASS;
}

#endif /* VMQ_BPF_HOST_H */
