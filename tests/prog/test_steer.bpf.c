// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_steer.bpf.c - an XDP program that does what a test's frame tells it
 *
 * Test frames (Ethernet type 0x88b5, possibly behind one tag) are redirected to
 * the socket at slot * stride + RX queue, the slot being the last byte of the
 * destination, and counted by slot after the redirect. Byte 20 says what OOB
 * record the frame gets. All else passes.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "vmq/abi.h"

#define SLOTS		16
#define TYPE_TEST	0x88b5
#define LENGTH_MIN	32	/* of a test frame */
#define MODE_OFFSET	20

enum { OOB_NONE, OOB_PLAIN, OOB_STRIP, OOB_STRIPPED, OOB_STRIPPED_AD, OOB_FOREIGN };

const volatile __u32 stride = 1;

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, SLOTS * 256);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

__u64 redirected[SLOTS];
__u64 to_host[SLOTS];

SEC("xdp")
int test_steer(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct vmq_oob *oob;
	__u32 slot, mode;
	__be16 type;

	if ((void *)data + LENGTH_MIN > end)
		return XDP_PASS;
	type = *(__be16 *)(data + 12);
	if (type == bpf_htons(ETH_P_8021Q))
		type = *(__be16 *)(data + 16);
	slot = data[5];
	mode = data[MODE_OFFSET];
	if (type != bpf_htons(TYPE_TEST) || slot >= SLOTS)
		return XDP_PASS;

	if (mode != OOB_NONE) {
		if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*oob)))
			return XDP_ABORTED;
		oob = (void *)(long)ctx->data_meta;
		if ((void *)(oob + 1) > (void *)(long)ctx->data)
			return XDP_ABORTED;
		__builtin_memset(oob, 0, sizeof(*oob));
		oob->version = VMQ_OOB_VERSION;
		oob->pair_slot = mode == OOB_FOREIGN ? slot + 1 : slot;
		oob->strip = mode == OOB_STRIP || mode == OOB_FOREIGN ? 4 : 0;
		oob->vlan_tci = 0x6064;
		if (mode == OOB_STRIPPED)
			oob->flags = VMQ_OOB_F_VLAN | VMQ_OOB_F_STRIPPED;
		if (mode == OOB_STRIPPED_AD)
			oob->flags = VMQ_OOB_F_VLAN | VMQ_OOB_F_STRIPPED | VMQ_OOB_F_AD;
	}

	if (bpf_redirect_map(&xsks, slot * stride + ctx->rx_queue_index, XDP_PASS) !=
	    XDP_REDIRECT) {
		__sync_fetch_and_add(&to_host[slot], 1);
		return XDP_PASS;
	}
	__sync_fetch_and_add(&redirected[slot], 1);
	return XDP_REDIRECT;
}

char LICENSE[] SEC("license") = "GPL";
