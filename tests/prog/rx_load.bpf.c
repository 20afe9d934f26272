// SPDX-License-Identifier: GPL-2.0-only
/*
 * rx_load.bpf.c - every frame to a socket, chosen by the end of its address
 *
 * The least that a program can do for a receiver of many sockets: what xsk-bare
 * and rx-path are measured with, so that the two differ in user space alone. The
 * last two bytes of the destination are the slot.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 stride = 1;	/* RX queues */

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);		/* the loader's: slots * stride */
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

SEC("xdp")
int rx_load(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	__u32 slot;

	if (data + 14 > (void *)(long)ctx->data_end)
		return XDP_PASS;
	slot = bpf_ntohs(*(__be16 *)(data + 4));
	return (int)bpf_redirect_map(&xsks, slot * stride + ctx->rx_queue_index, XDP_PASS);
}

char LICENSE[] SEC("license") = "GPL";
