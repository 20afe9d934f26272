// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_nic_hash.bpf.c - the hash of a frame whose NIC says what a test wants
 *
 * vmq_rss() as it is in the program, of queue 1, without a device: a program that asks a
 * real driver is bound to it, and BPF_PROG_TEST_RUN does not run such a one.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "vmq/abi.h"

#include "maps.h"
#include "parse.h"
#include "rss.h"

char LICENSE[] SEC("license") = "GPL";

__u32 nic_hash, nic_type;	/* what the driver says */
__u64 result;

SEC("xdp.frags")
int test_nic_hash(struct xdp_md *ctx)
{
	struct frame f;

	if (!frame_parse(&f, (void *)(long)ctx->data, (void *)(long)ctx->data_end,
			 (struct nic_tag){}))
		return XDP_ABORTED;
	result = vmq_rss(ctx, 1, f.l3, f.proto, NIC_HASH(nic_hash, nic_type));
	return XDP_PASS;
}
