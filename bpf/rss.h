/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * rss.h - which pair of a queue: Toeplitz over what the hash types name
 *
 * A frame's transport type is taken if the queue has it on, else its plain IP
 * type, else there is no hash and the queue's default pair gets the frame (H-4).
 * Fragments hash addresses only, the first one too (H-5). IPv4 options and IPv6
 * extension headers are skipped; where that cannot be done within bounds, or a
 * header is cut off, there is no hash (H-6). The _EX types take the home address
 * for the source and the type 2 routing address for the destination where the
 * frame has them, and its plain addresses where it has not (H-7).
 *
 * The NIC's own hash (bpf_xdp_metadata_rx_hash(), since 6.3) saves the Toeplitz, not
 * the parse: what a frame's type is, is always decided here, and the NIC's value is
 * taken if it says that it hashed just that, and user space has found that it does so
 * with the queue's key and over the same fields (`nic_types`). So tags and fragments
 * need no second set of rules. Behind options and extension headers NICs find ports, and
 * addresses, where they do (QEMU 10 elsewhere than we in 1 of 200 random packets, with
 * the same type); such frames are hashed here.
 *
 * The functions are global ones: verified by themselves (since 5.6), once, and
 * shared by both entry programs.
 */
#ifndef VMQ_BPF_RSS_H
#define VMQ_BPF_RSS_H

#define IP_FRAG_MASK		0x3fff	/* more fragments, and the offset */
#define TCP_HLEN		20
#define UDP_HLEN		8
#define IPV6_EXT_MAX		6	/* extension headers walked */
#define IPV6_OPT_MAX		8	/* destination options looked at */
#define IPV6_OFF_MASK		0x3fff	/* bound for the verifier; beyond any chunk */

#define NH_HOP_BY_HOP		0
#define NH_ROUTING		43
#define NH_FRAGMENT		44
#define NH_AUTH			51
#define NH_DEST_OPTIONS		60
#define EXTENSIONS	(1ULL << NH_HOP_BY_HOP | 1ULL << NH_ROUTING | 1ULL << NH_FRAGMENT | \
			 1ULL << NH_AUTH | 1ULL << NH_DEST_OPTIONS)
#define ROUTING_TYPE2		2
#define OPT_PAD1		0
#define OPT_HOME_ADDRESS	0xc9

#define TYPES_IPV6_EX	(VMQ_HASH_IPV6_EX | VMQ_HASH_TCP_IPV6_EX | VMQ_HASH_UDP_IPV6_EX)

/* Input of the hash: addresses, then both ports; words in host order. */
struct tuple {
	__u32 words;		/* how many; 0: no hash */
	bool  bare;		/* no options, no extension headers */
	__u32 w[VMQ_TOEPLITZ_NIBBLES / 8];
};

/* Result of vmq_rss(): hash 32 bits, type 16 (0: no hash), slot 16. */
#define RSS_RESULT(hash, type, slot) \
	((__u64)(hash) | (__u64)(type) << 32 | (__u64)(slot) << 48)
#define RSS_HASH(r)	((__u32)(r))
#define RSS_TYPE(r)	((__u16)((r) >> 32))
#define RSS_SLOT(r)	((__u16)((r) >> 48))

/* What the driver said: hash 32 bits, type 32 (0: it has none). */
#define NIC_HASH(hash, type)	((__u64)(hash) | (__u64)(type) << 32)
#define NIC_HASH_VALUE(n)	((__u32)(n))
#define NIC_HASH_TYPE(n)	((__u32)((n) >> 32))

static __always_inline __u32 load_word(const void *p)
{
	return bpf_ntohl(*(const __be32 *)p);
}

static __always_inline void load_addr6(__u32 *w, const void *p)
{
	w[0] = load_word(p);
	w[1] = load_word(p + 4);
	w[2] = load_word(p + 8);
	w[3] = load_word(p + 12);
}

/* Both ports at @l4, if the whole transport header is there. */
static __always_inline bool load_ports(__u32 *w, const void *l4, const void *end, __u8 proto)
{
	if (proto == IPPROTO_TCP ? l4 + TCP_HLEN > end : l4 + UDP_HLEN > end)
		return false;
	*w = load_word(l4);
	return true;
}

static __always_inline __u16 rss_ipv4(struct tuple *in, const void *data, const void *end,
				      __u32 off, __u16 types)
{
	const struct iphdr *ip = data + off;
	__u16 type = 0;
	__u32 hlen;

	if ((void *)(ip + 1) > end || ip->version != 4)
		return 0;
	hlen = ip->ihl * 4;
	if (hlen < sizeof(*ip) || (void *)ip + hlen > end || bpf_ntohs(ip->tot_len) < hlen)
		return 0;
	in->w[0] = load_word(&ip->saddr);
	in->w[1] = load_word(&ip->daddr);
	in->words = 2;
	in->bare = hlen == sizeof(*ip);

	if (!(ip->frag_off & bpf_htons(IP_FRAG_MASK))) {
		if (ip->protocol == IPPROTO_TCP)
			type = types & VMQ_HASH_TCP_IPV4;
		else if (ip->protocol == IPPROTO_UDP)
			type = types & VMQ_HASH_UDP_IPV4;
	}
	if (!type)
		return types & VMQ_HASH_IPV4;
	in->words = 3;
	return load_ports(&in->w[2], (void *)ip + hlen, end, ip->protocol) ? type : 0;
}

/**
 * vmq_home_address() - find the home address in a destination options header
 * @ctx: the frame
 * @off: offset of the header
 * @len: its length
 *
 * Return: offset of the address; 0: none, or the options are broken or many.
 */
__noinline __u32 vmq_home_address(struct xdp_md *ctx, __u32 off, __u32 len)
{
	const void *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const __u8 *opt;
	__u32 i, last;

	off &= IPV6_OFF_MASK;
	last = off + (len & IPV6_OFF_MASK);
	off += 2;
	for (i = 0; i < IPV6_OPT_MAX; i++) {
		if (off + 2 > last)
			return 0;
		opt = data + off;
		if ((void *)(opt + 2) > end)
			return 0;
		if (opt[0] == OPT_HOME_ADDRESS)
			return opt[1] == 16 && off + 18 <= last ? off + 2 : 0;
		off += opt[0] == OPT_PAD1 ? 1 : 2 + opt[1];
		off &= IPV6_OFF_MASK;
	}
	return 0;
}

/* What the extension headers of an IPv6 packet lead to. */
struct ipv6_walk {
	__u32 l4;		/* offset of the transport header */
	__u32 home;		/* offset of the home address, or 0 */
	__u32 route;		/* offset of the type 2 routing address, or 0 */
	__u8  next;		/* transport protocol; NH_FRAGMENT: a piece of one */
};

static __always_inline bool is_extension(__u8 next)
{
	return next < 64 && 1ULL << next & EXTENSIONS;
}

/* Return: false if a header is cut off, or there are too many. */
static __always_inline bool ipv6_walk(struct ipv6_walk *walk, struct xdp_md *ctx, __u32 off,
				      __u8 next, bool ex)
{
	const void *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const __u8 *h;
	__u32 i, len;

	for (i = 0; i < IPV6_EXT_MAX && is_extension(next); i++) {
		h = data + off;
		if ((void *)(h + 8) > end)
			return false;
		if (next == NH_FRAGMENT) {
			/* What follows is a piece; an atomic fragment counts as one. */
			walk->next = next;
			return true;
		}
		len = next == NH_AUTH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		if ((void *)h + len > end)
			return false;
		if (ex && next == NH_DEST_OPTIONS && !walk->home)
			walk->home = vmq_home_address(ctx, off, len) & IPV6_OFF_MASK;
		if (ex && next == NH_ROUTING && h[1] == 2 && h[2] == ROUTING_TYPE2)
			walk->route = off + 8;
		next = h[0];
		off = (off + len) & IPV6_OFF_MASK;
	}
	walk->l4 = off;
	walk->next = next;
	return !is_extension(next);
}

/* The type that applies: the _EX one where it is on. */
static __always_inline __u16 ipv6_type(__u16 types, __u8 next)
{
	__u16 tcp = types & VMQ_HASH_TCP_IPV6_EX ?: types & VMQ_HASH_TCP_IPV6;
	__u16 udp = types & VMQ_HASH_UDP_IPV6_EX ?: types & VMQ_HASH_UDP_IPV6;

	return next == IPPROTO_TCP ? tcp : next == IPPROTO_UDP ? udp : 0;
}

static __always_inline __u16 rss_ipv6(struct tuple *in, struct xdp_md *ctx, __u32 off,
				      __u16 types)
{
	const void *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const struct ipv6hdr *ip = data + off;
	struct ipv6_walk walk = {};
	__u16 type;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return 0;
	if (!ipv6_walk(&walk, ctx, off + sizeof(*ip), ip->nexthdr, types & TYPES_IPV6_EX))
		return 0;
	load_addr6(&in->w[0], &ip->saddr);
	load_addr6(&in->w[4], &ip->daddr);
	in->words = 8;
	in->bare = !is_extension(ip->nexthdr);

	type = ipv6_type(types, walk.next);
	if (type) {
		in->words = 9;
		if (!load_ports(&in->w[8], data + walk.l4, end, walk.next))
			return 0;
	} else {
		type = types & VMQ_HASH_IPV6_EX ?: types & VMQ_HASH_IPV6;
	}
	if (!(type & TYPES_IPV6_EX))
		return type;
	/* Both lie in headers that are whole; the verifier cannot know. */
	if (walk.home && data + walk.home + 16 <= end)
		load_addr6(&in->w[0], data + walk.home);
	if (walk.route && data + walk.route + 16 <= end)
		load_addr6(&in->w[4], data + walk.route);
	return type;
}

/* One look-up a nibble; the same as a bit by bit Toeplitz with the table's key. */
static __always_inline __u32 toeplitz_hash(const struct vmq_toeplitz_key *key,
					   const struct tuple *in)
{
	const __u32 (*t)[16] = key->t;
	__u32 hash = 0, i, w;

	for (i = 0; i < sizeof(in->w) / sizeof(in->w[0]) && i < in->words; i++, t += 8) {
		w = in->w[i];
		hash ^= t[0][w >> 28] ^ t[1][w >> 24 & 15] ^ t[2][w >> 20 & 15] ^
			t[3][w >> 16 & 15] ^ t[4][w >> 12 & 15] ^ t[5][w >> 8 & 15] ^
			t[6][w >> 4 & 15] ^ t[7][w & 15];
	}
	return hash;
}

static __always_inline void count_entry(__u32 queue, __u32 at, bool nic)
{
	__u64 *stats = bpf_map_lookup_elem(&rss_stats, &queue);

	if (!stats)
		return;
	stats[at]++;
	if (nic)
		stats[1 + VMQ_RSS_ENTRIES_MAX]++;
}

/**
 * vmq_rss() - hash a frame, choose a pair of its queue and count that
 * @ctx: the frame
 * @queue: queue id
 * @off: offset of the header after the tags
 * @proto: EtherType of that, network order
 * @nic: NIC_HASH() of the frame; 0: not known
 *
 * Return: RSS_RESULT(); all 0 for a queue without a record.
 */
__noinline __u64 vmq_rss(struct xdp_md *ctx, __u32 queue, __u32 off, __u32 proto, __u64 nic)
{
	const void *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;
	const struct vmq_rss_params *p;
	const struct vmq_toeplitz *tz;
	const struct vmq_rss *r;
	struct tuple in = {};
	__u32 sel, hash, entry;
	bool by_nic = false;
	__u16 type = 0;

	r = bpf_map_lookup_elem(&rss, &queue);
	tz = bpf_map_lookup_elem(&toeplitz, &queue);
	if (!r || !tz)
		return 0;
	sel = READ_ONCE(r->sel) & 1;
	p = &r->params[sel];

	off &= 0x3f;
	if (proto == bpf_htons(ETH_P_IP))
		type = rss_ipv4(&in, data, end, off, p->types);
	else if (proto == bpf_htons(ETH_P_IPV6))
		type = rss_ipv6(&in, ctx, off, p->types);
	if (!type) {
		count_entry(queue, 0, false);
		return RSS_RESULT(0, 0, p->fallback);
	}
	if (NIC_HASH_TYPE(nic) && READ_ONCE(p->nic_types) & type && in.bare)
		by_nic = NIC_HASH_TYPE(nic) == vmq_nic_hash_type(type);
	hash = by_nic ? NIC_HASH_VALUE(nic) : toeplitz_hash(&tz->key[sel], &in);
	entry = hash & p->mask & (VMQ_RSS_ENTRIES_MAX - 1);
	count_entry(queue, 1 + entry, by_nic);
	return RSS_RESULT(hash, type, p->table[entry]);
}

#endif /* VMQ_BPF_RSS_H */
