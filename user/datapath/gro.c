// SPDX-License-Identifier: GPL-2.0-only
/*
 * gro.c - segments of a TCP stream joined for a guest
 *
 * DOC: Theory of operation
 *
 * The rules are those of the kernel's GRO (net/ipv4/tcp_offload.c tcp_gro_receive()),
 * a little stricter, because what comes out must be cut into what went in: same
 * addresses, tags, ports; all of the headers equal but length, identification,
 * sequence number and checksum; sequence numbers that continue; no flag but ACK, PSH
 * (which ends it) and ECE; no options or extension headers of IP, no fragments;
 * payloads of one size, a smaller one ends it.
 *
 * A frame that is joined has had its checksums verified, since the guest will not do
 * it again; one with a wrong checksum goes alone and as it is, for the guest to count.
 * Summing a payload costs half as much as reading it for the first time, and the copy
 * that follows finds it in the cache. Nothing is summed before a neighbour has been
 * found: frames that cannot be joined cost a look at their headers.
 *
 * A frame of a connection that does not continue its train ends it, and so do
 * fragments and the like all trains, as nobody knows whose they are: no frame
 * overtakes another of its connection. It may come by way of another router or with
 * another priority in its tag, so neither addresses nor tags of layer 2 say whose it is.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "common/bytes.h"
#include "common/csum.h"
#include "common/util.h"
#include "datapath/frame.h"
#include "datapath/gro.h"

#define MACS_LEN	(2 * ETH_ALEN)
#define TAGS_MAX	2	/* in the frame; another may be put in */
#define IPV4_LEN	20
#define IPV6_LEN	40
#define TCP_LEN		20
#define IP_MAX		65535
#define NONE		GRO_BURST

/* Offsets in the headers. */
#define IPV4_TOTAL	2
#define IPV4_ID		4
#define IPV4_FRAG	6
#define IPV4_PROTO	9
#define IPV4_SUM	10
#define IPV4_ADDRS	12
#define IPV6_PAYLOAD	4
#define IPV6_NEXT	6
#define IPV6_ADDRS	8
#define TCP_SEQ		4
#define TCP_OFFSET	12
#define TCP_FLAGS	13
#define TCP_SUM		16

#define DF		0x4000
#define PSH		0x08
#define ACK		0x10
#define ECE		0x40

enum look { OTHER, UNCLEAR, NO_SEGMENT, SEGMENT };

/* ---- one frame ------------------------------------------------------------- */

static enum look look_ipv4(struct gro_segment *s, uint32_t len)
{
	const uint8_t *ip = s->ip;
	uint16_t frag;

	if (len < IPV4_LEN)
		return OTHER;
	frag = get16(ip + IPV4_FRAG);
	if (ip[IPV4_PROTO] != IPPROTO_TCP)
		return OTHER;
	if (ip[0] != 0x45 || frag & 0x3fff || len < IPV4_LEN + TCP_LEN)
		return UNCLEAR;
	s->tcp = ip + IPV4_LEN;
	/* Padding would be lost; what may be cut on its way has an id of its own. */
	return frag == DF && get16(ip + IPV4_TOTAL) == len ? SEGMENT : NO_SEGMENT;
}

static enum look look_ipv6(struct gro_segment *s, uint32_t len)
{
	const uint8_t *ip = s->ip;

	if (len < IPV6_LEN || ip[IPV6_NEXT] == IPPROTO_UDP || ip[IPV6_NEXT] == IPPROTO_ICMPV6)
		return OTHER;
	if (ip[IPV6_NEXT] != IPPROTO_TCP || ip[0] >> 4 != 6 || len < IPV6_LEN + TCP_LEN)
		return UNCLEAR;
	s->tcp = ip + IPV6_LEN;
	return get16(ip + IPV6_PAYLOAD) == len - IPV6_LEN ? SEGMENT : NO_SEGMENT;
}

/*
 * OTHER: no TCP. UNCLEAR: may be of any connection. NO_SEGMENT: of one, but not to be
 * joined.
 */
static enum look gro_look(struct gro_segment *s, const struct frame *f)
{
	const struct iovec *last = &f->part[f->parts - 1];
	uint32_t front = f->parts == 1 ? MACS_LEN : 0, at = 2, len;
	enum look is;
	uint16_t proto;

	if (last->iov_len < front + IPV4_LEN)
		return OTHER;
	len = (uint32_t)last->iov_len - front;
	s->mac = f->part[0].iov_base;
	s->tag = f->parts == 3 ? f->part[1].iov_base : NULL;
	s->rest = (const uint8_t *)last->iov_base + front;
	proto = get16(s->rest);
	for (int i = 0; i < TAGS_MAX && (proto == ETH_P_8021Q || proto == ETH_P_8021AD); i++) {
		proto = get16(s->rest + at + 2);	/* two tags are less than IPV4_LEN */
		at += VLAN_HLEN;
	}
	s->ip = s->rest + at;
	s->ipv6 = proto == ETH_P_IPV6;
	len -= at;
	if (proto == ETH_P_IP)
		is = look_ipv4(s, len);
	else if (s->ipv6)
		is = look_ipv6(s, len);
	else
		is = OTHER;
	if (is < NO_SEGMENT)
		return is;
	s->tcp_len = (uint8_t)((s->tcp[TCP_OFFSET] >> 4) * 4);
	len -= (uint32_t)(s->tcp - s->ip);
	if (s->tcp_len < TCP_LEN || s->tcp_len >= len || s->tcp[TCP_OFFSET] & 0xf ||
	    (s->tcp[TCP_FLAGS] & ~(PSH | ECE)) != ACK)
		return NO_SEGMENT;
	s->payload = (uint16_t)(len - s->tcp_len);
	return is;
}

/* The headers' lengths from @rest on. */
static uint32_t rest_len(const struct gro_segment *s)
{
	return (uint32_t)(s->tcp - s->rest) + s->tcp_len;
}

static uint64_t pseudo_sum(const struct gro_segment *s, const uint8_t *ip, uint32_t tcp_len)
{
	uint64_t sum = htons((uint16_t)tcp_len);

	sum += htons(IPPROTO_TCP);
	return s->ipv6 ? csum_add(sum, ip + IPV6_ADDRS, 32) : csum_add(sum, ip + IPV4_ADDRS, 8);
}

/*
 * Both checksums are right, and the very ones that gso.c would make: of the two names
 * of zero it never takes 0xffff.
 */
static bool gro_sums_right(const struct gro_segment *s)
{
	uint32_t len = s->tcp_len + (uint32_t)s->payload;

	if (get16(s->tcp + TCP_SUM) == 0xffff)
		return false;
	if (!s->ipv6 && (get16(s->ip + IPV4_SUM) == 0xffff ||
			 csum_fold(csum_add(0, s->ip, IPV4_LEN))))
		return false;
	return !csum_fold(csum_add(pseudo_sum(s, s->ip, len), s->tcp, len));
}

/* ---- two frames --------------------------------------------------------------- */

static bool same_connection(const struct gro_segment *a, const struct gro_segment *b)
{
	if (a->ipv6 != b->ipv6 || memcmp(a->tcp, b->tcp, 4))
		return false;
	return a->ipv6 ? !memcmp(a->ip + IPV6_ADDRS, b->ip + IPV6_ADDRS, 32)
		       : !memcmp(a->ip + IPV4_ADDRS, b->ip + IPV4_ADDRS, 8);
}

/* Of one connection: may @b follow in a train that @a is the head of? */
static bool same_headers(const struct gro_segment *a, const struct gro_segment *b)
{
	uint32_t l2 = (uint32_t)(a->ip - a->rest);

	if (l2 != (uint32_t)(b->ip - b->rest) || memcmp(a->rest, b->rest, l2) ||
	    memcmp(a->mac, b->mac, MACS_LEN) || !a->tag != !b->tag ||
	    (a->tag && memcmp(a->tag, b->tag, VLAN_HLEN)))
		return false;
	/* Version, class and flow label; next header and hop limit. */
	if (a->ipv6 && (memcmp(a->ip, b->ip, 4) || memcmp(a->ip + 6, b->ip + 6, 2)))
		return false;
	/* Version and TOS; fragmentation, TTL and protocol. */
	if (!a->ipv6 && (memcmp(a->ip, b->ip, 2) || memcmp(a->ip + 6, b->ip + 6, 4)))
		return false;
	/* Acknowledgement and offset; flags; window; urgent pointer and options. */
	return a->tcp_len == b->tcp_len && !memcmp(a->tcp + 8, b->tcp + 8, 5) &&
	       !((a->tcp[TCP_FLAGS] ^ b->tcp[TCP_FLAGS]) & ~PSH) &&
	       !memcmp(a->tcp + 14, b->tcp + 14, 2) &&
	       !memcmp(a->tcp + 18, b->tcp + 18, a->tcp_len - 18u);
}

static bool id_continues(struct gro_train *t, const struct gro_segment *head,
			 const struct gro_segment *s)
{
	uint16_t step;

	if (s->ipv6)
		return true;
	step = (uint16_t)(get16(s->ip + IPV4_ID) - get16(head->ip + IPV4_ID));
	if (t->frames == 1)
		t->same_id = step == 0;
	return t->same_id ? step == 0 : step == t->frames;
}

/* The next segment of a train? It is checked last, because that reads all of it. */
static bool gro_continues(struct gro *g, struct gro_train *t, const struct gro_segment *s)
{
	const struct gro_segment *head = &g->segment[t->head];
	uint32_t headers = (uint32_t)(s->tcp - s->ip) + s->tcp_len;

	if (t->closed || s->payload > t->mss || headers + t->payload + s->payload > IP_MAX ||
	    get32(s->tcp + TCP_SEQ) != get32(head->tcp + TCP_SEQ) + t->payload ||
	    !same_headers(head, s) || !id_continues(t, head, s))
		return false;
	if (!t->checked && !gro_sums_right(head))
		return false;
	t->checked = true;
	return gro_sums_right(s);
}

/* ---- a burst -------------------------------------------------------------------- */

static uint32_t flow_hash(const struct gro_segment *s)
{
	uint32_t word[2];

	/* Ports and the source address's end: buckets need no more. */
	memcpy(&word[0], s->tcp, 4);
	memcpy(&word[1], s->tcp - (s->ipv6 ? 20 : 8), 4);
	return ((word[0] ^ word[1]) * 0x9e3779b1u) >> 16 & (GRO_BUCKETS - 1);
}

static void gro_begin(struct gro *g)
{
	memset(g->bucket, NONE, sizeof(g->bucket));
	memset(g->next, NONE, sizeof(g->next));
	memset(g->follows, 0, sizeof(g->follows));
	g->trains = 0;
	g->joined = 0;
}

/* A segment that ends a train: the sender says so, or it has no more for now. */
static bool is_last(const struct gro_segment *s, uint16_t mss)
{
	return s->payload < mss || s->tcp[TCP_FLAGS] & PSH;
}

static void gro_frame(struct gro *g, uint8_t i, bool joins)
{
	struct gro_segment *s = &g->segment[i];
	uint8_t *bucket = &g->bucket[flow_hash(s)];
	struct gro_train *t = *bucket == NONE ? NULL : &g->train[*bucket];
	bool ours = t && same_connection(&g->segment[t->head], s);

	if (!joins) {
		if (ours)
			t->closed = true;
		return;
	}
	if (ours && gro_continues(g, t, s)) {
		g->next[t->last] = i;
		g->follows[i] = true;
		t->last = i;
		t->payload += s->payload;
		g->joined += ++t->frames == 2;
		t->closed = is_last(s, t->mss);
		return;
	}
	/* The train that was in the bucket gets no more: of another flow or not, be it so. */
	*bucket = (uint8_t)g->trains;
	g->train[g->trains++] = (struct gro_train){
		.head = i, .last = i, .frames = 1, .mss = s->payload, .payload = s->payload,
		.closed = s->tcp[TCP_FLAGS] & PSH,
	};
}

/* The headers of all of a train, as one frame's. */
static void gro_headers(const struct gro *g, const struct gro_train *t, struct frame_join *j)
{
	const struct gro_segment *s = &g->segment[t->head];
	uint32_t tcp_len = s->tcp_len + t->payload, l4;
	uint8_t *p = j->headers, *ip, *tcp;
	uint16_t sum;

	memcpy(p, s->mac, MACS_LEN);
	p += MACS_LEN;
	if (s->tag) {
		memcpy(p, s->tag, VLAN_HLEN);
		p += VLAN_HLEN;
	}
	memcpy(p, s->rest, rest_len(s));
	ip = p + (s->ip - s->rest);
	tcp = p + (s->tcp - s->rest);
	l4 = (uint32_t)(tcp - j->headers);
	j->headers_len = l4 + s->tcp_len;
	j->frames = t->frames;
	j->len = j->headers_len + t->payload;

	if (s->ipv6) {
		put16(ip + IPV6_PAYLOAD, tcp_len);
	} else {
		put16(ip + IPV4_TOTAL, IPV4_LEN + tcp_len);
		put16(ip + IPV4_SUM, 0);
		sum = csum_fold(csum_add(0, ip, IPV4_LEN));
		memcpy(ip + IPV4_SUM, &sum, sizeof(sum));
	}
	tcp[TCP_FLAGS] |= g->segment[t->last].tcp[TCP_FLAGS] & PSH;
	/* To be completed by whoever cuts it: the pseudo header's sum alone. */
	sum = (uint16_t)~csum_fold(pseudo_sum(s, ip, tcp_len));
	memcpy(tcp + TCP_SUM, &sum, sizeof(sum));
	j->hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = s->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16((uint16_t)j->headers_len),
		.gso_size = htole16(t->mss),
		.csum_start = htole16((uint16_t)l4),
		.csum_offset = htole16(TCP_SUM),
	};
}

static void gro_order(struct gro *g, const struct frame *f, int n)
{
	uint8_t out = 0, i;

	for (int head = 0; head < n; head++) {
		if (g->follows[head])
			continue;
		for (i = (uint8_t)head; i != NONE; i = g->next[i]) {
			g->frame[out] = f[i];
			g->order[out++] = i;
		}
	}
}

const struct frame *gro_join(struct gro *g, const struct frame *f, int n)
{
	struct frame_join *j = g->join;
	bool begun = false;

	for (int i = 0; i < n; i++) {
		enum look is = gro_look(&g->segment[i], &f[i]);

		if (is == OTHER)
			continue;
		if (!begun)
			gro_begin(g);
		begun = true;
		if (is == UNCLEAR)
			memset(g->bucket, NONE, sizeof(g->bucket));
		else
			gro_frame(g, (uint8_t)i, is == SEGMENT);
	}
	if (!begun || !g->joined)
		return f;
	gro_order(g, f, n);
	for (int out = 0, k; out < n; out += k) {
		k = 1;
		for (uint8_t i = g->next[g->order[out]]; i != NONE; i = g->next[i])
			k++;
		if (k == 1)
			continue;
		for (int t = 0; t < g->trains; t++)
			if (g->train[t].head == g->order[out])
				gro_headers(g, &g->train[t], j);
		g->frame[out].join = j++;
	}
	return g->frame;
}
