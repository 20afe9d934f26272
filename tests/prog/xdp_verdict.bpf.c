// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp_verdict.bpf.c - the two emptiest XDP programs
 *
 * veth takes live frames, and counts per queue, only with native XDP attached;
 * xdp_drop is the most that any receiver could get.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

SEC("xdp")
int xdp_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
