// SPDX-License-Identifier: GPL-2.0-only
/*
 * gso.c - joined frames come apart as they were on the wire
 *
 * Builds joined frames byte by byte, lets user/common/gso.c cut them, and
 * checks every segment with a checksum of its own (byte-wise, so that a mistake
 * in the fast one is not made twice). Malformed headers must be refused, each
 * at every length, under the sanitizers too.
 */
#include "common/csum.h"
#include "common/gso.h"
#include "slow_sum.h"
#include "unit.h"

#define PAYLOAD	5000u
#define MSS	1448u

struct build {
	uint8_t	 data[8192];
	uint32_t len;
	uint32_t l3, l4, payload;
};

enum { TAGGED = 1, V6 = 2, UDP = 4, OPTIONS = 8 };

static void put(struct build *b, const char *hex)
{
	unsigned int byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += hex[2] ? 3 : 2)
		b->data[b->len++] = (uint8_t)byte;
}

static void set16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t word(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t l4_sum(const uint8_t *frame, uint32_t l3, uint32_t l4, uint32_t len, int how)
{
	uint8_t pseudo[4] = { 0, how & UDP ? 17 : 6, 0, 0 };
	uint32_t sum;

	set16(pseudo + 2, len - l4);
	sum = slow_sum(0, pseudo, 4);
	sum = how & V6 ? slow_sum(sum, frame + l3 + 8, 32) : slow_sum(sum, frame + l3 + 12, 8);
	return slow_sum(sum, frame + l4, len - l4);
}

static void build(struct build *b, int how, uint32_t payload)
{
	uint32_t extra;

	memset(b, 0, sizeof(*b));
	put(b, "52 54 00 00 00 01 52 54 00 00 00 02");
	if (how & TAGGED)
		put(b, "81 00 60 64");
	put(b, how & V6 ? "86 dd" : "08 00");
	b->l3 = b->len;
	if (how & V6) {
		put(b, "60 01 02 03 00 00 00 40");
		put(b, "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01");
		put(b, "20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02");
		b->data[b->l3 + 6] = how & UDP ? 17 : 6;
		if (how & OPTIONS) {
			b->data[b->len] = b->data[b->l3 + 6];
			b->data[b->l3 + 6] = 60;
			b->len += 8;
		}
	} else {
		put(b, "45 00 00 00 ff fe 40 00 40 00 00 00 0a 00 00 01 0a 00 00 02");
		b->data[b->l3 + 9] = how & UDP ? 17 : 6;
		if (how & OPTIONS) {
			b->data[b->l3] = 0x46;
			put(b, "01 01 01 01");
		}
	}
	b->l4 = b->len;
	if (how & UDP) {
		put(b, "30 39 d4 31 00 00 00 00");
	} else {
		put(b, "30 39 d4 31 ff ff ff 00 11 22 33 44 50 99 01 00 00 00 00 00");
		if (how & OPTIONS) {
			b->data[b->l4 + 12] = 0x80;
			put(b, "01 01 08 0a 01 02 03 04 05 06 07 08");
		}
	}
	b->payload = b->len;
	for (uint32_t i = 0; i < payload; i++)
		b->data[b->len++] = (uint8_t)(i * 7 + i / 251);
	extra = how & V6 ? 40 : 0;
	set16(b->data + b->l3 + (how & V6 ? 4 : 2), b->len - b->l3 - extra);
	if (how & UDP)
		set16(b->data + b->l4 + 4, b->len - b->l4);
}

static uint8_t type_of(int how)
{
	if (how & UDP)
		return VIRTIO_NET_HDR_GSO_UDP_L4;
	return how & V6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
}

static void test_segments(int how, const char *title)
{
	bool sums = true, bytes = true, fields = true, headers = true;
	uint32_t got = 0, n = 0;
	uint8_t out[2048];
	struct build b;
	struct gso g;
	int len;

	build(&b, how, PAYLOAD);
	if (!ok(!gso_begin(&g, b.data, b.len, type_of(how), MSS), "%s: taken", title))
		return;
	while ((len = gso_next(&g, out, sizeof(out))) > 0 && n < 16) {
		uint32_t share = (uint32_t)len - b.payload;
		bool last = got + share == PAYLOAD;
		uint8_t flags = out[b.l4 + 13];

		sums &= l4_sum(out, b.l3, b.l4, (uint32_t)len, how) == 0xffff;
		bytes &= share <= MSS && (last || share == MSS) && got + share <= PAYLOAD &&
			 !memcmp(out + b.payload, b.data + b.payload + got, share);
		headers &= !memcmp(out, b.data, b.l3) &&
			   !memcmp(out + b.l4, b.data + b.l4, 4);
		if (how & V6) {
			fields &= out[b.l3 + 4] * 256u + out[b.l3 + 5] == (uint32_t)len - b.l3 - 40;
		} else {
			sums &= slow_sum(0, out + b.l3, b.l4 - b.l3) == 0xffff;
			fields &= out[b.l3 + 2] * 256u + out[b.l3 + 3] == (uint32_t)len - b.l3;
			/* ids go on, past 65535 as well */
			fields &= out[b.l3 + 4] * 256u + out[b.l3 + 5] == ((0xfffe + n) & 0xffff);
		}
		if (how & UDP) {
			fields &= out[b.l4 + 4] * 256u + out[b.l4 + 5] == (uint32_t)len - b.l4;
		} else {
			fields &= word(out + b.l4 + 4) == 0xffffff00u + got;
			/* of CWR, ACK, PSH, FIN: CWR in the first, PSH and FIN in the last */
			fields &= flags == (0x10 | (n ? 0 : 0x80) | (last ? 0x09 : 0));
			headers &= !memcmp(out + b.l4 + 8, b.data + b.l4 + 8, 5) &&
				   !memcmp(out + b.l4 + 20, b.data + b.l4 + 20, b.payload - b.l4 - 20);
		}
		got += share;
		n++;
	}
	is_int(n, 4, "%s: 5000 bytes by 1448 are four segments", title);
	ok(bytes && got == PAYLOAD, "%s: the payloads add up byte for byte", title);
	ok(sums, "%s: every checksum is right", title);
	ok(fields, "%s: lengths, ids, sequence numbers and flags", title);
	ok(headers, "%s: the other header bytes are unchanged", title);
}

static void test_edges(void)
{
	uint8_t out[2048];
	struct build b;
	struct gso g;

	build(&b, 0, MSS);
	gso_begin(&g, b.data, b.len, VIRTIO_NET_HDR_GSO_TCPV4, MSS);
	is_int(gso_next(&g, out, sizeof(out)), b.len, "one full segment is one frame");
	is_int(gso_next(&g, out, sizeof(out)), 0, "and no second one");
	build(&b, 0, 0);
	gso_begin(&g, b.data, b.len, VIRTIO_NET_HDR_GSO_TCPV4, MSS);
	is_int(gso_next(&g, out, sizeof(out)), b.len, "a frame without payload is itself");
	is_int(gso_next(&g, out, sizeof(out)), 0, "once");
	build(&b, 0, 10);
	memset(b.data + b.len, 0xee, 20);
	gso_begin(&g, b.data, b.len + 20, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, MSS);
	is_int(gso_next(&g, out, sizeof(out)), b.len, "padding behind the packet is left out");
	build(&b, 0, PAYLOAD);
	gso_begin(&g, b.data, b.len, VIRTIO_NET_HDR_GSO_TCPV4, MSS);
	is_int(gso_next(&g, out, 1000), -EMSGSIZE, "no room for a segment is said");
}

static int try(struct build *b, uint32_t len, uint8_t type, uint16_t mss)
{
	uint8_t *exact = malloc(len ? len : 1);	/* so that a sanitizer sees one byte too many */
	uint8_t out[8192];
	struct gso g;
	int rc;

	memcpy(exact, b->data, len);
	rc = gso_begin(&g, exact, len, type, mss);
	while (!rc && gso_next(&g, out, sizeof(out)) > 0)
		;
	free(exact);
	return rc;
}

#define refused(how, change, ...) do {						\
	build(&b, how, PAYLOAD);						\
	change;									\
	is_int(try(&b, b.len, type_of(how), MSS), -EINVAL, __VA_ARGS__);	\
} while (0)

static void test_malformed(void)
{
	static const int hows[] = { 0, V6, UDP, V6 | UDP, OPTIONS, V6 | OPTIONS, TAGGED };
	bool cut = true;
	struct build b;

	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		build(&b, hows[i], PAYLOAD);
		for (uint32_t len = 0; len < b.len; len++)
			cut &= try(&b, len, type_of(hows[i]), MSS) == -EINVAL;
	}
	ok(cut, "a frame cut short anywhere is refused");
	build(&b, 0, PAYLOAD);
	is_int(try(&b, b.len, VIRTIO_NET_HDR_GSO_TCPV4, 0), -EINVAL, "segment size 0 is refused");
	is_int(try(&b, b.len, VIRTIO_NET_HDR_GSO_TCPV6, MSS), -EINVAL, "IPv4 called IPv6 is refused");
	is_int(try(&b, b.len, VIRTIO_NET_HDR_GSO_UDP, MSS), -EINVAL, "UFO is refused");
	is_int(try(&b, b.len, 0x55, MSS), -EINVAL, "an unknown type is refused");
	refused(0, b.data[b.l3 + 9] = 17, "a tunnel's UDP header called TCP is refused");
	refused(0, b.data[b.l3] = 0x44, "a too short IPv4 header is refused");
	refused(0, b.data[b.l3] = 0x65, "IP version 6 in an IPv4 frame is refused");
	refused(0, b.data[b.l3 + 6] = 0x20, "a fragment is refused");
	refused(0, b.data[b.l3 + 2] = 0xff, "a total length beyond the frame is refused");
	refused(0, set16(b.data + b.l3 + 2, 0), "total length 0 is refused");
	refused(0, b.data[b.l4 + 12] = 0x40, "a too short TCP header is refused");
	refused(0, (b.data[b.l4 + 12] = 0xf0, set16(b.data + b.l3 + 2, 50)),
		"a TCP header beyond the packet is refused");
	refused(V6, set16(b.data + b.l3 + 4, 0), "IPv6 payload length 0 is refused");
	refused(V6, b.data[b.l3 + 6] = 44, "an IPv6 fragment is refused");
	refused(V6 | OPTIONS, (b.data[b.l3 + 41] = 255, set16(b.data + b.l3 + 4, 100)),
		"IPv6 options beyond the packet are refused");
	build(&b, V6, 0);
	set16(b.data + b.l3 + 4, 0);
	b.data[b.l3 + 6] = 60;
	is_int(try(&b, b.l4, type_of(V6), MSS), -EINVAL, "IPv6 options that are not there are refused");
}

static void test_csum(void)
{
	struct build b;
	uint8_t pseudo[12] = { 10, 0, 0, 1, 10, 0, 0, 2, 0, 17, 0, 0 };

	/* As a sender leaves it: the field holds the pseudo header's sum. */
	build(&b, UDP, 101);
	set16(pseudo + 10, b.len - b.l4);
	set16(b.data + b.l4 + 6, slow_sum(0, pseudo, 12));
	is_int(csum_complete(b.data, b.len, b.l4, 6), 0, "C-3 a partial checksum is completed");
	is_int(l4_sum(b.data, b.l3, b.l4, b.len, UDP), 0xffff, "C-3 and right, odd length too");

	memset(b.data, 0xff, 4);
	csum_complete(b.data, 4, 0, 2);
	is_int(b.data[2] << 8 | b.data[3], 0xffff, "a sum of 0 is written as 0xffff");
	is_int(csum_complete(b.data, 60, 60, 0), -EINVAL, "a start at the end is refused");
	is_int(csum_complete(b.data, 60, 65535, 6), -EINVAL, "a start beyond the frame is refused");
	is_int(csum_complete(b.data, 60, 34, 25), -EINVAL, "a field half outside is refused");
	is_int(csum_complete(b.data, 60, 34, 65535), -EINVAL, "an offset beyond the frame is refused");
	is_int(csum_complete(b.data, 60, 34, 24), 0, "the last two bytes can be the field");
}

int main(void)
{
	test_segments(0, "TCP/IPv4");
	test_segments(OPTIONS, "TCP/IPv4 with options");
	test_segments(TAGGED, "TCP/IPv4 tagged");
	test_segments(V6, "TCP/IPv6");
	test_segments(V6 | OPTIONS | TAGGED, "TCP/IPv6 tagged with options");
	test_segments(UDP, "UDP/IPv4");
	test_segments(UDP | V6, "UDP/IPv6");
	test_edges();
	test_malformed();
	test_csum();
	return unit_done();
}
