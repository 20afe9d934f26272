// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp_pass.bpf.c - the emptiest XDP program
 *
 * veth takes live frames, and counts per queue, only with native XDP attached.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
