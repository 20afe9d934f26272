// SPDX-License-Identifier: GPL-2.0-only
/*
 * gro.c - what is joined for a guest comes apart as it was
 *
 * A table of pairs of segments says what may be joined; random streams say that
 * whatever was joined is cut (common/gso.h) into the very frames it came from, byte
 * for byte; frames of every length and of random bytes, in memory of exactly their
 * size, say that nothing is read that is not there.
 */
#include <endian.h>

#include "common/csum.h"
#include "common/gso.h"
#include "common/util.h"
#include "datapath/frame.h"
#include "datapath/gro.h"
#include "slow_sum.h"
#include "unit.h"

#define MSS	100u
#define ROUNDS	4000
#define FLOWS	5

enum { V6 = 1, TAGGED = 2, STAMPS = 4, OTHER_TAG = 8, UDP = 16 };

/* What a frame is made from. */
struct spec {
	int	 how;
	uint16_t port, id;
	uint32_t seq, ack;
	uint16_t window, payload;
	uint8_t	 flags, tos, ttl, stamp;
	bool	 wrong;		/* checksum */
};

static const struct spec plain = {
	.port = 1000, .id = 7, .seq = 0xffffffc0, .ack = 55, .window = 0x1234, .payload = MSS,
	.flags = 0x10, .ttl = 64,
};

static uint32_t rnd_state = 12345;

static uint32_t rnd(uint32_t below)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return (rnd_state >> 8) % below;
}

static void put(uint8_t **p, const char *hex)
{
	unsigned int byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += hex[2] ? 3 : 2)
		*(*p)++ = (uint8_t)byte;
}

static void set16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void set32(uint8_t *p, uint32_t v)
{
	set16(p, v >> 16);
	set16(p + 2, v);
}

/* Both checksums of a frame, afresh. */
static void sums(uint8_t *ip, uint8_t *l4, uint32_t l4_len, bool v6)
{
	uint32_t sum = slow_sum(l4_len + 6, v6 ? ip + 8 : ip + 12, v6 ? 32 : 8);

	set16(l4 + 16, 0);
	set16(l4 + 16, 0xffff - slow_sum(sum % 0xffff, l4, l4_len));
	if (v6)
		return;
	set16(ip + 10, 0);
	set16(ip + 10, 0xffff - slow_sum(0, ip, 20));
}

static uint32_t make(uint8_t *frame, const struct spec *s)
{
	uint8_t *p = frame, *ip, *l4;

	memset(frame, 0, 512);
	put(&p, "52 54 00 00 00 01 52 54 00 00 00 02");
	if (s->how & TAGGED)
		put(&p, s->how & OTHER_TAG ? "81 00 60 65" : "81 00 60 64");
	put(&p, s->how & V6 ? "86 dd" : "08 00");
	ip = p;
	if (s->how & V6) {
		put(&p, "60 01 02 03 00 00 06 40");
		put(&p, "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01");
		put(&p, "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02");
		ip[1] = s->tos;
		ip[7] = s->ttl;
	} else {
		put(&p, "45 00 00 00 00 00 40 00 40 06 00 00 0a 00 00 01 0a 00 00 02");
		ip[1] = s->tos;
		set16(ip + 4, s->id);
		ip[8] = s->ttl;
	}
	if (s->how & UDP)
		ip[s->how & V6 ? 6 : 9] = 17;
	l4 = p;
	put(&p, "00 00 d4 31 00 00 00 00 00 00 00 00 50 00 00 00 00 00 00 00");
	set16(l4, s->port);
	set32(l4 + 4, s->seq);
	set32(l4 + 8, s->ack);
	l4[13] = s->flags;
	set16(l4 + 14, s->window);
	if (s->how & STAMPS) {
		l4[12] = 0x80;
		put(&p, "01 01 08 0a 01 02 03 04 05 06 07 08");
		l4[27] = s->stamp;
	}
	for (uint32_t i = 0; i < s->payload; i++)
		*p++ = (uint8_t)((s->seq + i) * 7 + (s->seq + i) / 251);
	if (s->how & V6)
		set16(ip + 4, (uint32_t)(p - l4));
	else
		set16(ip + 2, (uint32_t)(p - ip));
	sums(ip, l4, (uint32_t)(p - l4), s->how & V6);
	if (s->wrong)
		p[-1] ^= 1;
	return (uint32_t)(p - frame);
}

static uint32_t flatten(uint8_t *out, const struct frame *f)
{
	uint32_t at = 0;

	for (int i = 0; i < f->parts; i++) {
		memcpy(out + at, f->part[i].iov_base, f->part[i].iov_len);
		at += (uint32_t)f->part[i].iov_len;
	}
	return at;
}

/* ---- the rules ----------------------------------------------------------------- */

static void change_none(struct spec *a, struct spec *b) { (void)a; (void)b; }
static void change_seq(struct spec *a, struct spec *b) { (void)a; b->seq++; }
static void change_again(struct spec *a, struct spec *b) { b->seq = a->seq; }
static void change_port(struct spec *a, struct spec *b) { (void)a; b->port++; }
static void change_ack(struct spec *a, struct spec *b) { (void)a; b->ack++; }
static void change_window(struct spec *a, struct spec *b) { (void)a; b->window++; }
static void change_tos(struct spec *a, struct spec *b) { (void)a; b->tos = 3; }
static void change_ttl(struct spec *a, struct spec *b) { (void)a; b->ttl--; }
static void change_id(struct spec *a, struct spec *b) { (void)a; b->id += 5; }
static void change_same_id(struct spec *a, struct spec *b) { b->id = a->id; }
static void change_psh(struct spec *a, struct spec *b) { (void)a; b->flags |= 8; }
static void change_first_psh(struct spec *a, struct spec *b) { (void)b; a->flags |= 8; }
static void change_fin(struct spec *a, struct spec *b) { (void)a; b->flags |= 1; }
static void change_syn(struct spec *a, struct spec *b) { a->flags |= 2; b->flags |= 2; }
static void change_rst(struct spec *a, struct spec *b) { (void)a; b->flags |= 4; }
static void change_urg(struct spec *a, struct spec *b) { a->flags |= 32; b->flags |= 32; }
static void change_cwr(struct spec *a, struct spec *b) { a->flags |= 128; b->flags |= 128; }
static void change_ece(struct spec *a, struct spec *b) { a->flags |= 64; b->flags |= 64; }
static void change_one_ece(struct spec *a, struct spec *b) { (void)a; b->flags |= 64; }
static void change_no_ack(struct spec *a, struct spec *b) { a->flags = b->flags = 0; }
static void change_short(struct spec *a, struct spec *b) { (void)a; b->payload = 3; }
static void change_long(struct spec *a, struct spec *b) { (void)a; b->payload++; }
static void change_empty(struct spec *a, struct spec *b) { (void)a; b->payload = 0; }
static void change_wrong(struct spec *a, struct spec *b) { (void)a; b->wrong = true; }
static void change_first_wrong(struct spec *a, struct spec *b) { (void)b; a->wrong = true; }
static void change_how(struct spec *a, struct spec *b, int how) { a->how = b->how = how; }
static void change_v6(struct spec *a, struct spec *b) { change_how(a, b, V6); }
static void change_tagged(struct spec *a, struct spec *b) { change_how(a, b, TAGGED); }
static void change_udp(struct spec *a, struct spec *b) { change_how(a, b, UDP); }

static void change_vlan(struct spec *a, struct spec *b)
{
	a->how = TAGGED;
	b->how = TAGGED | OTHER_TAG;
}

static void change_stamps(struct spec *a, struct spec *b)
{
	change_how(a, b, STAMPS);
}

static void change_stamp(struct spec *a, struct spec *b)
{
	change_how(a, b, STAMPS);
	b->stamp = 1;
}

static void change_one_stamp(struct spec *a, struct spec *b)
{
	(void)a;
	b->how = STAMPS;
}

static void change_flow_label(struct spec *a, struct spec *b)
{
	change_how(a, b, V6);
	b->tos = 0x11;
}

static void change_hops(struct spec *a, struct spec *b)
{
	change_how(a, b, V6);
	b->ttl = 1;
}

static const struct {
	const char *title;
	bool joined;
	void (*change)(struct spec *a, struct spec *b);
} rules[] = {
	{ "the next segment is joined", true, change_none },
	{ "IPv6", true, change_v6 },
	{ "tagged", true, change_tagged },
	{ "with equal timestamps", true, change_stamps },
	{ "one identification for all", true, change_same_id },
	{ "a shorter last one", true, change_short },
	{ "PSH on the last", true, change_psh },
	{ "ECE on both", true, change_ece },
	{ "C-5 another connection", false, change_port },
	{ "C-5 another VLAN", false, change_vlan },
	{ "a gap", false, change_seq },
	{ "the same again", false, change_again },
	{ "another acknowledgement", false, change_ack },
	{ "another window", false, change_window },
	{ "another ECN mark", false, change_tos },
	{ "another TTL", false, change_ttl },
	{ "another identification", false, change_id },
	{ "PSH on the first", false, change_first_psh },
	{ "FIN", false, change_fin },
	{ "SYN", false, change_syn },
	{ "RST", false, change_rst },
	{ "URG", false, change_urg },
	{ "CWR", false, change_cwr },
	{ "ECE on one", false, change_one_ece },
	{ "no ACK", false, change_no_ack },
	{ "a longer second one", false, change_long },
	{ "no payload", false, change_empty },
	{ "another timestamp", false, change_stamp },
	{ "options on one", false, change_one_stamp },
	{ "another flow label", false, change_flow_label },
	{ "another hop limit", false, change_hops },
	{ "C-3 a wrong checksum", false, change_wrong },
	{ "C-3 a wrong checksum of the first", false, change_first_wrong },
	{ "UDP", false, change_udp },
};

/* Two frames, changed when they are made. Return: joined. */
static bool joins(uint8_t a[2048], uint32_t a_len, uint8_t b[2048], uint32_t b_len)
{
	static struct gro g;
	struct frame f[2];
	const struct frame *out;

	frame_build(&f[0], a, a_len, 0, NULL);
	frame_build(&f[1], b, b_len, 0, NULL);
	out = gro_join(&g, f, 2);
	return out != f && out[0].join && out[0].join->frames == 2;
}

static void test_rules(void)
{
	uint8_t a[2048], b[2048];

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct spec sa = plain, sb = plain;

		sb.seq += MSS;
		sb.id++;
		rules[i].change(&sa, &sb);
		is_int(joins(a, make(a, &sa), b, make(b, &sb)), rules[i].joined, "%s",
		       rules[i].title);
	}
}

/* Bytes that make() does not vary. */
static void test_bytes(void)
{
	static const struct {
		const char *title;
		int how;
		uint32_t at;
		uint8_t value;
		bool both;
	} t[] = {
		{ "another destination address", 0, 5, 9, false },
		{ "another source address", 0, 11, 9, false },
		{ "options of IPv4", 0, 14, 0x46, true },
		{ "a fragment", 0, 20, 0x20, true },
		{ "no DF", 0, 20, 0, true },
		{ "the reserved bit of IPv4", 0, 20, 0xc0, true },
		{ "a reserved bit of TCP", 0, 14 + 20 + 12, 0x51, true },
		{ "an urgent pointer on one", 0, 14 + 20 + 19, 1, false },
		{ "a header of TCP that is too short", 0, 14 + 20 + 12, 0x40, true },
		{ "one that is too long", 0, 14 + 20 + 12, 0xf0, true },
		{ "a length of IPv4 that is not the frame's", 0, 17, 1, true },
		{ "extension headers of IPv6", V6, 20, 60, true },
		{ "a length of IPv6 that is not the frame's", V6, 19, 1, true },
		{ "IP version 5", V6, 14, 0x50, true },
		{ "another IPv4 source", 0, 29, 9, false },
		{ "another IPv6 destination", V6, 14 + 39, 9, false },
	};
	uint8_t a[2048], b[2048];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct spec sa = plain, sb = plain;
		uint32_t l4 = t[i].how & V6 ? 54 : 34, la, lb;

		sa.how = sb.how = t[i].how;
		sb.seq += MSS;
		sb.id++;
		la = make(a, &sa);
		lb = make(b, &sb);
		if (t[i].both)
			a[t[i].at] = t[i].value;
		b[t[i].at] = t[i].value;
		sums(a + 14, a + l4, la - l4, t[i].how & V6);
		sums(b + 14, b + l4, lb - l4, t[i].how & V6);
		ok(!joins(a, la, b, lb), "%s", t[i].title);
	}
	/* The checksum of IPv4 is wrong, and nothing else. */
	{
		struct spec sa = plain, sb = plain;
		uint32_t la, lb;

		sb.seq += MSS;
		sb.id++;
		la = make(a, &sa);
		lb = make(b, &sb);
		b[24] ^= 1;
		ok(!joins(a, la, b, lb), "C-3 a wrong checksum of IPv4");
		lb = make(b, &sb);
		memset(b + lb, 0, 4);
		ok(!joins(a, la, b, lb + 4), "padding behind the packet");
		/* Two names of zero: the other one is not what gso.c would write. */
		set16(b + lb - 2, 0);
		sums(b + 14, b + 34, lb - 34, false);
		memcpy(b + lb - 2, b + 34 + 16, 2);
		sums(b + 14, b + 34, lb - 34, false);
		is_int(b[50] << 8 | b[51], 0, "a segment whose checksum is 0");
		ok(joins(a, la, b, lb), "is joined");
		set16(b + 50, 0xffff);
		ok(!joins(a, la, b, lb), "but not if it is written as 0xffff");
	}
}

/* ---- what comes in between -------------------------------------------------------- */

/*
 * Two streams, one of IPv4 and one of IPv6, and between their two segments a frame:
 * one of the first connection's (changed at a byte), or of a third's.
 */
static const struct {
	const char *title;
	int how;		/* of the frame between */
	bool own;		/* of the first connection */
	uint8_t flags;
	uint32_t at;
	uint8_t value;
	int joined;		/* streams that are, all the same */
} between[] = {
	{ "another connection ends no train", 0, false, 0x10, 0, 0x52, 2 },
	{ "a FIN of another connection ends none", 0, false, 0x11, 0, 0x52, 2 },
	{ "UDP ends none", UDP, false, 0x10, 0, 0x52, 2 },
	{ "a fragment of UDP ends none", UDP, false, 0x10, 20, 0x20, 2 },
	{ "UDP of IPv6 ends none", V6 | UDP, false, 0x10, 0, 0x52, 2 },
	{ "ICMPv6 ends none", V6, false, 0x10, 20, 58, 2 },
	{ "what is no IP ends none", 0, false, 0x10, 12, 0x90, 2 },
	{ "the first fragment of a segment ends all", 0, false, 0x10, 20, 0x20, 0 },
	{ "a later fragment ends all", 0, false, 0x10, 21, 0x08, 0 },
	{ "options of IPv4 end all", 0, false, 0x10, 14, 0x46, 0 },
	{ "a fragment of IPv6 ends all", V6, false, 0x10, 20, 44, 0 },
	{ "options of IPv6 end all", V6, false, 0x10, 20, 0, 0 },
	{ "a FIN of its own ends a train", 0, true, 0x11, 0, 0x52, 1 },
	{ "one that may be cut on its way, too", 0, true, 0x10, 20, 0, 1 },
	{ "and one by way of another router", 0, true, 0x11, 11, 9, 1 },
	{ "or of another priority", TAGGED, true, 0x11, 14, 0xa0, 1 },
};

static void test_between(void)
{
	static uint8_t bytes[5][2048];
	static struct gro g;

	for (size_t i = 0; i < ARRAY_SIZE(between); i++) {
		const struct frame *out;
		struct frame f[5];
		int joined = 0;

		for (int k = 0; k < 5; k++) {
			struct spec s = plain;

			s.port = (uint16_t)(1000 + k % 3);
			s.seq += k >= 3 ? MSS : 0;
			s.id += k >= 3;
			s.how = k % 3 == 1 ? V6 : between[i].how & TAGGED;
			if (k == 2) {
				s.how = between[i].how;
				s.flags = between[i].flags;
				s.port = between[i].own ? 1000 : 1002;
			}
			frame_build(&f[k], bytes[k], make(bytes[k], &s), 0, NULL);
			if (k == 2)
				bytes[k][between[i].at] = between[i].value;
		}
		out = gro_join(&g, f, 5);
		for (int k = 0; out != f && k < 5; k++)
			joined += !!out[k].join;
		is_int(joined, between[i].joined, "between: %s", between[i].title);
	}
}

/* ---- random streams ---------------------------------------------------------------- */

static struct {
	uint8_t	 bytes[GRO_BURST][2048];
	uint8_t	 tag[4];
	uint8_t	 flat[GRO_BURST][2048];		/* as the guest would see each */
	uint32_t len[GRO_BURST];
	int	 flow[GRO_BURST];
	struct frame f[GRO_BURST];
} burst;

static const uint8_t inner[4] = { 0x88, 0xa8, 0, 5 };

/* Dress a frame as receive.c does: whole, a tag left out, or another one put in. */
static void dress(int i, uint32_t len, int how)
{
	uint32_t strip = how & TAGGED && burst.flow[i] % 3 == 1 ? 4 : 0;

	frame_build(&burst.f[i], burst.bytes[i], len, strip,
		    burst.flow[i] % 3 == 2 ? burst.tag : NULL);
	burst.len[i] = flatten(burst.flat[i], &burst.f[i]);
}

static int make_burst(struct spec flow[FLOWS])
{
	int n = 1 + (int)rnd(GRO_BURST);

	memcpy(burst.tag, inner, 4);
	for (int i = 0; i < n; i++) {
		int k = burst.flow[i] = (int)rnd(FLOWS);
		struct spec *s = &flow[k];

		s->payload = rnd(12) ? (uint16_t)(MSS + 10u * (uint32_t)k) : (uint16_t)rnd(300);
		s->flags = rnd(20) ? 0x10 : rnd(256) & 0xff;
		s->wrong = !rnd(40) && s->payload;
		if (!rnd(30))
			s->ack++;
		if (!rnd(40))
			s->stamp++;
		if (!rnd(40))
			s->id += 3;
		dress(i, make(burst.bytes[i], s), s->how);
		s->seq += rnd(40) ? s->payload : 1;
		s->id += k % 2;
	}
	return n;
}

/* Cut a joined frame and compare. Return: the frames it is. */
static int same_as_before(const struct gro *g, const struct frame *out, int at)
{
	const struct frame_join *j = out[at].join;
	static uint8_t whole[70000], cut[2048];
	uint32_t len = j->headers_len, l4 = le16toh(j->hdr.csum_start);
	bool v6 = j->hdr.gso_type == VIRTIO_NET_HDR_GSO_TCPV6;
	uint32_t l3 = l4 - (v6 ? 40 : 20);
	int n = 0, size;
	struct gso s;

	memcpy(whole, j->headers, len);
	for (int i = 0; i < j->frames; i++) {
		struct iovec p = frame_payload(&out[at + i], j->headers_len);

		memcpy(whole + len, p.iov_base, p.iov_len);
		len += (uint32_t)p.iov_len;
	}
	if (len != j->len || gso_begin(&s, whole, len, j->hdr.gso_type, le16toh(j->hdr.gso_size)))
		return 0;
	while ((size = gso_next(&s, cut, sizeof(cut))) > 0 && n < j->frames) {
		int was = g->order[at + n];
		const uint8_t *flat = burst.flat[was];

		/* All with one identification: gso.c counts up. */
		if (!v6 && n && !memcmp(flat + l3 + 4, j->headers + l3 + 4, 2)) {
			memcpy(cut + l3 + 4, flat + l3 + 4, 2);
			sums(cut + l3, cut + l4, (uint32_t)size - l4, false);
		}
		if ((uint32_t)size != burst.len[was] || memcmp(cut, flat, (size_t)size))
			return 0;
		n++;
	}
	/* A guest that trusts us gets a right checksum, too. */
	csum_complete(whole, len, l4, le16toh(j->hdr.csum_offset));
	if (csum_fold(csum_add(htobe16(6) + (uint64_t)htobe16((uint16_t)(len - l4)) +
			       csum_add(0, whole + l3 + (v6 ? 8 : 12), v6 ? 32 : 8),
			       whole + l4, len - l4)))
		return 0;
	return size == 0 ? n : 0;
}

static void test_streams(void)
{
	bool same = true, alone = true, complete = true, order = true;
	struct spec flow[FLOWS];
	static struct gro g;
	long joined = 0, frames = 0;

	for (int round = 0; round < ROUNDS && same && alone && complete && order; round++) {
		const struct frame *out;
		int n, seen[GRO_BURST] = { 0 }, last[FLOWS];

		for (int k = 0; k < FLOWS; k++) {
			flow[k] = plain;
			flow[k].how = (int)rnd(8);
			flow[k].port = (uint16_t)(1000 + k);
			flow[k].seq = rnd(1u << 24) << 8;
			flow[k].id = (uint16_t)rnd(65536);
			last[k] = -1;
		}
		n = make_burst(flow);
		frames += n;
		out = gro_join(&g, burst.f, n);
		if (out == burst.f)
			continue;
		for (int i = 0; i < n; i++) {
			int was = g.order[i];

			seen[was]++;
			order &= was > last[burst.flow[was]];
			last[burst.flow[was]] = was;
		}
		for (int i = 0; i < n; i++)
			complete &= seen[i] == 1;
		for (int i = 0; i < n;) {
			if (out[i].join) {
				int k = same_as_before(&g, out, i);

				same &= k == out[i].join->frames && k > 1;
				joined += k;
				i += out[i].join->frames;
				continue;
			}
			alone &= !memcmp(&out[i], &burst.f[g.order[i]], sizeof(out[i]));
			i++;
		}
	}
	ok(same, "C-3 random streams: all that was joined is cut into what it was");
	ok(alone, "what was not joined is as it was");
	ok(complete, "every frame is there once");
	ok(order, "C-5 no frame overtakes another of its connection");
	ok(joined > frames / 10, "much was joined: %ld of %ld frames", joined, frames);
}

static void test_full(void)
{
	static uint8_t big[GRO_BURST][2048];
	static struct gro g;
	struct frame f[GRO_BURST];
	struct spec s = plain;
	const struct frame *out;

	s.payload = 1448;
	for (int i = 0; i < GRO_BURST; i++) {
		frame_build(&f[i], big[i], make(big[i], &s), 0, NULL);
		s.seq += s.payload;
		s.id++;
	}
	out = gro_join(&g, f, GRO_BURST);
	ok(out != f && out[0].join && out[0].join->frames == 45, "no more than IP can say: 45");
	ok(out != f && out[45].join && out[45].join->frames == 19, "the rest is one more");
}

/* Nothing is read beyond a frame: the sanitizers see it. */
static void test_hostile(void)
{
	static struct gro g;
	uint8_t a[2048];
	int n = 0;

	for (int how = 0; how < 8; how++) {
		struct spec s = plain;
		uint32_t len;

		s.how = how;
		len = make(a, &s);
		for (uint32_t cut = ETH_HLEN; cut <= len; cut++) {
			for (int noise = 0; noise < 3; noise++) {
				uint8_t *exact[2];
				struct frame f[2];

				for (int k = 0; k < 2; k++) {
					exact[k] = malloc(cut);
					memcpy(exact[k], a, cut);
					for (int i = 0; i < noise; i++)
						exact[k][12 + rnd(cut - 12)] = (uint8_t)rnd(256);
					frame_build(&f[k], exact[k], cut, 0, NULL);
				}
				gro_join(&g, f, 2);
				free(exact[0]);
				free(exact[1]);
				n++;
			}
		}
	}
	ok(n > 0, "%d pairs of cut and broken frames", n);
}

int main(void)
{
	test_rules();
	test_bytes();
	test_between();
	test_streams();
	test_full();
	test_hostile();
	return unit_done();
}
