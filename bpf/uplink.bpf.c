// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * uplink.bpf.c - which of queue 0's frames the switch gets to see
 *
 * A socket filter for the switch's packet socket (user/datapath/uplink.c). The
 * host's own unicast traffic ends here, before it is queued or copied: only
 * group-addressed frames and those for an address of a VM pass, and nothing
 * while there is no VM. The VLAN is the switch's business: the kernel has taken
 * the tag out by now (skb_vlan_untag() in __netif_receive_skb_core()), and a
 * filter that looked for it in the bytes would see a tagged frame as untagged.
 *
 * The frame is read from its Ethernet header on: packet_rcv() pushes that back
 * for SOCK_RAW before it runs the filter.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>

#include <bpf/bpf_helpers.h>

#include "vmq/abi.h"

#define DROP	0
#define WHOLE	0xffffffff	/* bytes to keep: all of them */

struct uplink_mac {
	__u8 mac[ETH_ALEN];
};

/*
 * The VMs' addresses: those of filters, and those of ports that have no filter. User
 * space writes it, frames read it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VMQ_FILTERS_MAX + VMQ_QUEUES_MAX * VMQ_MACS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct uplink_mac);
	__type(value, __u8);
} uplink_macs SEC(".maps");

/* Is there any VM? Written by user space. */
volatile __u32 uplink_open;

SEC("socket")
int uplink_filter(struct __sk_buff *skb)
{
	struct uplink_mac to;

	if (!uplink_open || bpf_skb_load_bytes(skb, 0, &to, sizeof(to)))
		return DROP;
	if (to.mac[0] & 1 || bpf_map_lookup_elem(&uplink_macs, &to))
		return WHOLE;
	return DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
