/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * parse.h - destination, tags and VLAN of a frame
 *
 * At most two tags are looked at, the one the NIC took out included: two decide
 * what VLAN a frame belongs to, and a third would only be of use to RSS.
 */
#ifndef VMQ_BPF_PARSE_H
#define VMQ_BPF_PARSE_H

#define VLAN_TAG_LEN	4
#define VLAN_VID_MASK	0xfff

/* The tag that the NIC took out of the frame, as the driver tells it. */
struct nic_tag {
	__be16 proto;		/* 0: none */
	__u16  tci;
};

struct frame {
	__u64  mac;		/* destination, in the upper 48 bits: a FIB key, rule 0 */
	__u32  l3;		/* offset of what follows the tags */
	__be16 proto;		/* of that */
	__u16  rule;		/* VLAN, or VMQ_RULE_ANY: of no single VLAN */
	__u16  tci;		/* of the outermost tag */
	__u8   oob_flags;	/* VMQ_OOB_F_VLAN, _AD and _STRIPPED */
	__u8   q_tag;		/* bytes of an outermost 802.1Q tag in the frame: 0 or 4 */
};

static __always_inline bool is_tag(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* The VLAN whose filters a frame may match, by its outermost tag (M-6). */
static __always_inline __u16 frame_rule(__be16 proto, __u16 tci, bool second)
{
	__u16 vid = tci & VLAN_VID_MASK;

	if (proto != bpf_htons(ETH_P_8021Q) || (!vid && second))
		return VMQ_RULE_ANY;
	return vid;	/* a priority tag alone: 0 is VMQ_RULE_UNTAGGED */
}

/*
 * Return: false if the frame ends within its Ethernet header or tags.
 *
 * The packet is read with wide unaligned loads, which the verifier allows where
 * the machine has them (x86-64, arm64).
 */
static __always_inline bool frame_parse(struct frame *f, const __u8 *data, const __u8 *end,
					struct nic_tag nic)
{
	const __u8 *next = data + ETH_HLEN;
	__be16 outer = nic.proto;
	bool second;

	if (next > end)
		return false;
	/* Six bytes of destination and two of source; the rule replaces those. */
	f->mac = bpf_be64_to_cpu(*(const __be64 *)data) & ~0xffffULL;
	f->proto = *(const __be16 *)(data + 12);
	f->rule = VMQ_RULE_UNTAGGED;
	f->l3 = ETH_HLEN;
	f->tci = nic.tci;
	f->oob_flags = 0;
	f->q_tag = 0;

	if (outer) {
		f->oob_flags = VMQ_OOB_F_STRIPPED;
	} else if (is_tag(f->proto)) {
		if (data + ETH_HLEN + VLAN_TAG_LEN > end)
			return false;
		outer = f->proto;
		f->tci = bpf_ntohs(*(const __be16 *)(data + ETH_HLEN));
		f->proto = *(const __be16 *)(data + ETH_HLEN + 2);
		f->l3 = ETH_HLEN + VLAN_TAG_LEN;
		if (outer == bpf_htons(ETH_P_8021Q))
			f->q_tag = VLAN_TAG_LEN;
	} else {
		return true;
	}

	second = is_tag(f->proto);
	if (second) {
		next = data + f->l3;
		if (next + VLAN_TAG_LEN > end)
			return false;
		f->proto = *(const __be16 *)(next + 2);
		f->l3 += VLAN_TAG_LEN;
	}
	f->rule = frame_rule(outer, f->tci, second);
	f->oob_flags |= VMQ_OOB_F_VLAN;
	if (outer == bpf_htons(ETH_P_8021AD))
		f->oob_flags |= VMQ_OOB_F_AD;
	return true;
}

static __always_inline bool frame_is_multicast(const struct frame *f)
{
	return f->mac >> 56 & 1;
}

#endif /* VMQ_BPF_PARSE_H */
