// SPDX-License-Identifier: GPL-2.0-only
/*
 * gso.c - joined frames cut, in software
 *
 * What the kernel does in tcp_gso_segment() and __udp_gso_segment() when a
 * device cannot, done here for frames that the uplink's packet socket gives to
 * a guest, and for those that a guest leaves to us to cut. Each segment is a copy
 * of the headers with the fields changed that differ, plus its share of the
 * payload; its checksums are computed afresh, so that nothing depends on the state
 * they had in the joined frame.
 *
 * Being right with any bytes at all comes first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>

#include "common/bytes.h"
#include "common/csum.h"
#include "common/gso.h"
#include "common/util.h"

#define TAG_LEN		4
#define TAGS_MAX	3	/* tags to step over in search of the IP header */
#define TCP_FLAGS	13	/* offset of the flag byte in a TCP header */
#define TCP_CWR		0x80

/*
 * The IP header is at @l3: find the transport header and the end of the payload.
 * A length of 0 (BIG TCP: more than 16 bits can say) is refused like any other
 * that does not add up; the uplink has no room for such frames anyway.
 */
static int gso_look_ipv4(struct gso *g, uint32_t len, uint8_t *proto)
{
	const uint8_t *ip = g->data + g->l3;
	uint32_t hlen, total;

	if (len - g->l3 < sizeof(struct iphdr) || ip[0] >> 4 != 4)
		return -EINVAL;
	hlen = (ip[0] & 0xf) * 4u;
	total = get16(ip + 2);
	if (hlen < sizeof(struct iphdr) || total < hlen || total > len - g->l3)
		return -EINVAL;
	if (get16(ip + 6) & 0x3fff)	/* a fragment */
		return -EINVAL;
	*proto = ip[9];
	g->l4 = g->l3 + hlen;
	g->end = g->l3 + total;
	return 0;
}

static int gso_look_ipv6(struct gso *g, uint32_t len, uint8_t *proto)
{
	const uint8_t *ip = g->data + g->l3;
	uint32_t payload;

	if (len - g->l3 < sizeof(struct ip6_hdr) || ip[0] >> 4 != 6)
		return -EINVAL;
	g->l4 = g->l3 + sizeof(struct ip6_hdr);
	payload = get16(ip + 4);
	if (payload > len - g->l4)
		return -EINVAL;
	g->end = g->l4 + payload;
	*proto = ip[6];
	while (*proto == IPPROTO_HOPOPTS || *proto == IPPROTO_DSTOPTS) {
		if (g->end - g->l4 < 8)
			return -EINVAL;
		*proto = g->data[g->l4];
		payload = (g->data[g->l4 + 1] + 1u) * 8;
		if (payload > g->end - g->l4)
			return -EINVAL;
		g->l4 += payload;
	}
	return 0;
}

int gso_begin(struct gso *g, const uint8_t *data, uint32_t len, uint8_t type, uint16_t mss)
{
	uint32_t l4_len;
	uint8_t proto;
	uint16_t type3;
	int rc;

	type &= (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	memset(g, 0, sizeof(*g));
	g->data = data;
	g->mss = mss;
	g->l3 = ETH_HLEN;
	if (!mss || len < ETH_HLEN)
		return -EINVAL;
	type3 = get16(data + 12);
	for (int i = 0; i < TAGS_MAX && (type3 == ETH_P_8021Q || type3 == ETH_P_8021AD); i++) {
		if (len - g->l3 < TAG_LEN)
			return -EINVAL;
		type3 = get16(data + g->l3 + 2);
		g->l3 += TAG_LEN;
	}

	g->udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
	g->ipv6 = type3 == ETH_P_IPV6;
	if (type3 == ETH_P_IP && (type == VIRTIO_NET_HDR_GSO_TCPV4 || g->udp))
		rc = gso_look_ipv4(g, len, &proto);
	else if (type3 == ETH_P_IPV6 && (type == VIRTIO_NET_HDR_GSO_TCPV6 || g->udp))
		rc = gso_look_ipv6(g, len, &proto);
	else
		return -EINVAL;
	if (rc)
		return rc;

	/* A tunnel's outer header is something else than the type says. */
	if (proto != (g->udp ? IPPROTO_UDP : IPPROTO_TCP))
		return -EINVAL;
	l4_len = g->udp ? sizeof(struct udphdr) : sizeof(struct tcphdr);
	if (g->end - g->l4 < l4_len)
		return -EINVAL;
	if (!g->udp) {
		l4_len = (data[g->l4 + 12] >> 4) * 4u;
		if (l4_len < sizeof(struct tcphdr) || g->end - g->l4 < l4_len)
			return -EINVAL;
	}
	g->headers = g->l4 + l4_len;
	g->at = g->headers;
	return 0;
}

/* The pseudo header's share of the transport checksum. */
static uint64_t pseudo_sum(const struct gso *g, const uint8_t *ip, uint32_t l4_len)
{
	uint64_t sum = htons((uint16_t)l4_len);

	sum += htons(g->udp ? IPPROTO_UDP : IPPROTO_TCP);
	return g->ipv6 ? csum_add(sum, ip + 8, 32) : csum_add(sum, ip + 12, 8);
}

int gso_next(struct gso *g, uint8_t *out, uint32_t room)
{
	uint32_t share = MIN(g->mss, g->end - g->at);
	uint32_t l4_len = g->headers - g->l4 + share;
	uint8_t *ip = out + g->l3, *l4 = out + g->l4;
	bool last = g->at + share == g->end;
	uint8_t *csum;
	uint16_t sum;

	/* A frame without payload is one segment: itself. */
	if (g->index && !share)
		return 0;
	if (g->headers + share > room)
		return -EMSGSIZE;
	memcpy(out, g->data, g->headers);
	memcpy(out + g->headers, g->data + g->at, share);

	if (g->udp) {
		csum = l4 + 6;
		put16(l4 + 4, l4_len);
	} else {
		csum = l4 + 16;
		put32(l4 + 4, get32(l4 + 4) + (g->at - g->headers));
		/* FIN and PSH belong to the last segment, CWR to the first (RFC 3168). */
		if (!last)
			l4[TCP_FLAGS] &= (uint8_t)~(TH_FIN | TH_PUSH);
		if (g->index)
			l4[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
	}
	if (g->ipv6) {
		put16(ip + 4, g->headers + share - g->l3 - sizeof(struct ip6_hdr));
	} else {
		put16(ip + 2, g->headers + share - g->l3);
		put16(ip + 4, get16(ip + 4) + g->index);
		put16(ip + 10, 0);
		sum = csum_fold(csum_add(0, ip, g->l4 - g->l3));
		memcpy(ip + 10, &sum, sizeof(sum));
	}
	put16(csum, 0);
	sum = csum_fold(csum_add(pseudo_sum(g, ip, l4_len), l4, l4_len));
	if (!sum && g->udp)
		sum = 0xffff;
	memcpy(csum, &sum, sizeof(sum));

	g->at += share;
	g->index++;
	return (int)(g->headers + share);
}
