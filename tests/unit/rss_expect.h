/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss_expect.h - random packets, and the hash that each should have
 *
 * From what the generator knows (rss_packets.h) and a bit by bit Toeplitz, which is the
 * definition.
 */
#ifndef RSS_EXPECT_H
#define RSS_EXPECT_H

#include "common/util.h"
#include "rss_packets.h"
#include "vmq/abi.h"

#define ANY_V4	(VMQ_HASH_IPV4 | VMQ_HASH_TCP_IPV4 | VMQ_HASH_UDP_IPV4)
#define ANY_V6	(VMQ_HASH_IPV6 | VMQ_HASH_TCP_IPV6 | VMQ_HASH_UDP_IPV6)
#define ANY_EX	(VMQ_HASH_IPV6_EX | VMQ_HASH_TCP_IPV6_EX | VMQ_HASH_UDP_IPV6_EX)

static uint8_t key[VMQ_RSS_KEY_LEN];	/* of the hash */

/* The definition: for each bit from the left, if it is 1 add the key's first 32 bits; shift. */
static uint32_t slow_toeplitz(const uint8_t *in, uint32_t len)
{
	uint32_t hash = 0, i, bit, window;

	for (i = 0; i < len * 8; i++) {
		if (!(in[i / 8] & (0x80 >> i % 8)))
			continue;
		for (window = 0, bit = i; bit < i + 32; bit++)
			window = window << 1 | (key[bit / 8] >> (7 - bit % 8) & 1);
		hash ^= window;
	}
	return hash;
}

struct hashed {
	uint16_t type;		/* 0: no hash */
	uint32_t hash;
};

/* H-4, H-5 and H-7 in one place, from what the generator knows. */
static struct hashed expected(const struct packet *p, uint16_t types, uint32_t len)
{
	static const uint16_t v4[] = { VMQ_HASH_TCP_IPV4, VMQ_HASH_UDP_IPV4, VMQ_HASH_IPV4 };
	static const uint16_t v6[] = { VMQ_HASH_TCP_IPV6, VMQ_HASH_UDP_IPV6, VMQ_HASH_IPV6 };
	static const uint16_t ex[] = { VMQ_HASH_TCP_IPV6_EX, VMQ_HASH_UDP_IPV6_EX,
				       VMQ_HASH_IPV6_EX };
	int transport = p->fragment ? 2 : p->proto == IPPROTO_TCP ? 0 :
			p->proto == IPPROTO_UDP ? 1 : 2, kind;
	uint32_t n = p->version == 4 ? 4 : 16;
	struct hashed h = {};
	uint8_t in[36];
	bool is_ex;

	if (!p->version || p->unhashable || len < p->need_addr)
		return h;
	/* The transport's type, then the plain one; each as _EX first. */
	for (kind = transport; !h.type; kind = 2) {
		h.type = p->version == 4 ? types & v4[kind] :
			 types & ex[kind] ? types & ex[kind] : types & v6[kind];
		if (kind == 2)
			break;
	}
	if (h.type == v4[2] || h.type == v6[2] || h.type == ex[2] || !h.type)
		kind = 2;
	else
		kind = transport;
	if (!h.type || (kind != 2 && len < p->need_ports))
		return (struct hashed){};
	is_ex = h.type & ANY_EX;
	memcpy(in, is_ex ? p->home : p->src, n);
	memcpy(in + n, is_ex ? p->route : p->dst, n);
	memcpy(in + 2 * n, p->ports, 4);
	h.hash = slow_toeplitz(in, 2 * n + (kind == 2 ? 0 : 4));
	return h;
}

static void set_key(const uint8_t *k)
{
	uint32_t i;

	for (i = 0; i < VMQ_RSS_KEY_LEN; i++)
		key[i] = k ? k[i] : (uint8_t)rnd();
}

/* Any packet that there can be, or with those extension headers. */
static void random_packet(struct packet *p, uint64_t mac, const enum extension *ext, int n_ext)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 50, 59 };
	int tags = (int)(rnd() % 3);
	enum extension any[8];
	uint32_t i;

	memset(p, 0, sizeof(*p));
	p->proto = protos[rnd() % ARRAY_SIZE(protos)];
	for (i = 0; i < 16; i++) {
		p->src[i] = (uint8_t)rnd();
		p->dst[i] = (uint8_t)rnd();
		p->ports[i % 4] = (uint8_t)rnd();
	}
	if (!ext && rnd() % 2) {
		put_ethernet(p, mac, tags, ETH_P_IP);
		put_ipv4(p, rnd() % 3 ? 0 : rnd() % 11,
			 (uint16_t)(rnd() % 4 ? 0x4000 & rnd() : rnd() % 2 ? 0x2000 : rnd() & 0x1fff));
		/* Don't-fragment is no fragment; and neither are three zeros. */
		p->fragment = (p->data[p->l3 + 6] & 0x3f) || p->data[p->l3 + 7];
		return;
	}
	if (!ext) {
		n_ext = rnd() % 2 ? 0 : (int)(rnd() % ARRAY_SIZE(any));
		for (i = 0; i < (uint32_t)n_ext; i++)
			any[i] = rnd() % (FRAG + (rnd() % 4 == 0));
		ext = any;
	}
	put_ethernet(p, mac, tags, ETH_P_IPV6);
	put_ipv6(p, ext, n_ext);
}

#endif /* RSS_EXPECT_H */
