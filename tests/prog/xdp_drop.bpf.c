// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp_drop.bpf.c - the most that any receiver could get: for the benches
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
