// SPDX-License-Identifier: GPL-2.0-only
/*
 * vlan_access.bpf.c - the tc programs of vlan-access
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u16 vlan;
const volatile __u32 access_ifindex;
const volatile __u32 trunk_ifindex;

/* On the access device, inbound: what the hosts there send gets the tag. */
SEC("tc")
int to_trunk(struct __sk_buff *skb)
{
	if (bpf_skb_vlan_push(skb, bpf_htons(0x8100), vlan) < 0)
		return TC_ACT_SHOT;
	return (int)bpf_redirect(trunk_ifindex, 0);
}

/* On the trunk, outbound: everything gets the tag. */
SEC("tc")
int push(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, bpf_htons(0x8100), vlan) < 0 ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

/*
 * On the trunk, inbound: the VLAN's frames lose the tag. The kernel has taken it
 * out of the data already (skb_vlan_untag() comes before tc).
 */
SEC("tc")
int to_access(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != vlan)
		return TC_ACT_UNSPEC;
	if (bpf_skb_vlan_pop(skb) < 0)
		return TC_ACT_SHOT;
	return (int)bpf_redirect(access_ifindex, 0);
}

char _license[] SEC("license") = "GPL";
