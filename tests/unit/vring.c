// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring.c - rings of both layouts, from both sides, with guests that behave
 */
#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <linux/if_ether.h>

#include "vring_rig.h"

/* ---- towards the guest --------------------------------------------------------- */

static void test_rx(void)
{
	struct ring_used_elem *e;
	struct channel_rx res;
	uint8_t data[3000];
	struct frame f[3];
	int i;

	pattern(data, sizeof(data), 1);
	begin(BASIC, NUM, 0);
	driver_give(&d, slot(0), 2048, RING_DESC_WRITE);
	interrupts();
	f[0] = (struct frame){
		.part = { { data, 12 }, { data + 12, 4 }, { data + 16, 84 } },
		.parts = 3, .len = 100,
	};
	is_int(give(f, 1, &res), 1, "rx: a frame of three parts is settled");
	is_int(res.delivered, 1, "rx: and delivered");
	e = driver_used_next(&d);
	ok(e && e->id == 0 && e->len == HDR + 100, "rx: the used entry names buffer and length");
	ok(!memcmp(g.mem + slot(0) + HDR, data, 100), "rx: the parts are joined");
	is_int(g.mem[slot(0) + 10] | g.mem[slot(0) + 11] << 8, 1, "rx: num_buffers is 1");
	is_int(interrupts(), 1, "rx: one interrupt");

	/* without merging, a frame that is too long for its buffer */
	driver_give(&d, slot(1), 200, RING_DESC_WRITE);
	f[0] = frame_of(data, 1000);
	f[1] = frame_of(data, 100);
	is_int(give(f, 2, &res), 2, "rx: a frame longer than its buffer is settled");
	ok(res.error == 1 && res.delivered == 1,
	   "rx: as an error, and the next one gets the buffer");
	e = driver_used_next(&d);
	ok(e && e->id == 1 && e->len == HDR + 100 && !driver_used_next(&d), "rx: once");

	/* merging */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (i = 0; i < 4; i++)
		driver_give(&d, slot((uint32_t)i), 1024, RING_DESC_WRITE);
	f[0] = frame_of(data, 2500);
	f[1] = frame_of(data, 50);
	is_int(give(f, 2, &res), 2, "rx: 2,500 bytes in buffers of 1,024");
	is_int(res.delivered, 2, "rx: are delivered, and a short one behind them");
	is_int(g.mem[slot(0) + 10], 3, "rx: num_buffers is 3");
	ok(!memcmp(g.mem + slot(0) + HDR, data, 1012) &&
	   !memcmp(g.mem + slot(1), data + 1012, 1024) &&
	   !memcmp(g.mem + slot(2), data + 2036, 464), "rx: in order");
	for (i = 0; i < 3; i++) {
		static const uint32_t want[] = { 1024, 1024, 464 };

		e = driver_used_next(&d);
		ok(e && e->id == (uint32_t)i && e->len == want[i], "rx: used entry %d", i);
	}
	e = driver_used_next(&d);
	ok(e && e->len == HDR + 50, "rx: used entry of the short one");

	/* any layout: the header over three descriptors, num_buffers in two of them */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(0), 5, RING_DESC_WRITE | RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(1), 6, RING_DESC_WRITE | RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(2), 100, RING_DESC_WRITE);
	f[0] = frame_of(data, 60);
	memset(g.mem + slot(0), 0xee, 200);
	memset(g.mem + slot(1), 0xee, 200);
	memset(g.mem + slot(2), 0xee, 200);
	is_int(give(f, 1, &res), 1, "rx: a header in three pieces");
	ok(g.mem[slot(1) + 5] == 1 && g.mem[slot(2)] == 0,
	   "rx: has num_buffers across the second seam");
	ok(!memcmp(g.mem + slot(2) + 1, data, 60) && g.mem[slot(2) + 61] == 0xee &&
	   g.mem[slot(0) + 5] == 0xee && g.mem[slot(1) + 6] == 0xee, "rx: and nothing beside it");
}

/* Two segments that may be given as one, and an ordinary frame behind them. */
static void test_rx_joined(void)
{
	const uint64_t takes = BASIC | F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_NET_F_GUEST_CSUM) |
			       F(VIRTIO_NET_F_GUEST_TSO4);
	static struct frame_join join = {
		.frames = 2, .len = 54 + 1200, .headers_len = 54,
		.hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },
	};
	struct virtio_net_hdr hdr;
	struct channel_rx res;
	uint8_t data[4000];
	struct frame f[3];

	pattern(data, sizeof(data), 3);
	memset(join.headers, 0x5a, sizeof(join.headers));
	join.hdr.gso_size = htole16(600);
	f[0] = frame_of(data, 54 + 600);
	f[0].join = &join;
	/* the second one's tag is left out */
	f[1] = (struct frame){ .part = { { data, 12 }, { data + 1016, 42 + 600 } }, .parts = 2,
			       .len = 54 + 600 };
	f[2] = frame_of(data, 100);

	begin(takes, NUM, 0);
	for (uint32_t i = 0; i < 4; i++)
		driver_give(&d, slot(i), 1024, RING_DESC_WRITE);
	is_int(give(f, 3, &res), 3, "joined: two segments and a frame are settled");
	ok(res.delivered == 3 && res.joined == 1, "joined: all delivered, one in that before it");
	is_int(driver_back(&d), 3, "joined: in two buffers, and one for the frame");
	memcpy(&hdr, g.mem + slot(0), sizeof(hdr));
	ok(!memcmp(&hdr, &join.hdr, sizeof(hdr)) && g.mem[slot(0) + 10] == 2,
	   "joined: the header says what it is");
	ok(!memcmp(g.mem + slot(0) + HDR, join.headers, 54) &&
	   !memcmp(g.mem + slot(0) + HDR + 54, data + 54, 600) &&
	   !memcmp(g.mem + slot(0) + HDR + 654, data + 1016 + 42, 358) &&
	   !memcmp(g.mem + slot(1), data + 1016 + 42 + 358, 242),
	   "joined: one set of headers, both payloads");
	memcpy(&hdr, g.mem + slot(2), sizeof(hdr));
	ok(!hdr.flags && !hdr.gso_type, "joined: the frame behind it is an ordinary one");

	begin(takes, NUM, 0);
	driver_give(&d, slot(0), 1024, RING_DESC_WRITE);
	is_int(give(f, 3, &res), 1, "joined: with room for one segment one is settled");
	ok(res.delivered == 1 && !res.joined && driver_back(&d) == 1 &&
	   !memcmp(g.mem + slot(0) + HDR, data, 654) && !g.mem[slot(0)],
	   "joined: as it was");
	is_int(give(f + 1, 2, &res), 0, "joined: the rest waits");

	begin(takes & ~F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (uint32_t i = 0; i < 3; i++)
		driver_give(&d, slot(i), 1024, RING_DESC_WRITE);
	is_int(give(f, 3, &res), 3, "joined: buffers that are too small get segments");
	ok(res.delivered == 3 && !res.joined && !res.error, "joined: one each");

	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (uint32_t i = 0; i < 3; i++)
		driver_give(&d, slot(i), 1024, RING_DESC_WRITE);
	is_int(give(f, 3, &res), 3, "joined: so does a guest that did not agree");
	ok(res.delivered == 3 && !res.joined && !g.mem[slot(0) + 1], "joined: as ordinary frames");
}

static void test_rx_room(void)
{
	uint8_t data[60000];
	struct channel_rx res;
	struct frame f[4];
	int i;

	pattern(data, sizeof(data), 2);
	for (i = 0; i < 4; i++)
		f[i] = frame_of(data, 100);

	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	driver_give(&d, slot(0), 512, RING_DESC_WRITE);
	driver_give(&d, slot(1), 512, RING_DESC_WRITE);
	is_int(give(f, 4, &res), 2, "rx: two buffers, two of four frames settled");
	ok(driver_may_kick(&d), "rx: the guest is asked to kick");
	driver_give(&d, slot(2), 512, RING_DESC_WRITE);
	is_int(give(f + 2, 1, &res), 1, "rx: the third goes when there is a buffer");
	ok(!driver_may_kick(&d), "rx: and no kicks are wanted meanwhile");

	/* a frame that needs two buffers while one is there takes none */
	f[0] = frame_of(data, 600);
	driver_give(&d, slot(3), 512, RING_DESC_WRITE);
	is_int(give(f, 1, &res), 0, "rx: half the room is no room");
	is_int(driver_back(&d), 3, "rx: nothing was used");
	driver_give(&d, slot(4), 512, RING_DESC_WRITE);
	is_int(give(f, 1, &res), 1, "rx: with the other half it goes");
	is_int(driver_back(&d), 5, "rx: in two buffers");

	/* more than the whole ring holds: waiting would be for ever */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (i = 0; i < (int)NUM; i++)
		driver_give(&d, slot((uint32_t)i), 512, RING_DESC_WRITE);
	f[0] = frame_of(data, NUM * 512);
	f[1] = frame_of(data, 100);
	is_int(give(f, 2, &res), 2, "rx: a frame beyond the whole ring is settled");
	ok(res.error == 1 && res.delivered == 1, "rx: as an error, and the next one delivered");
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (i = 0; i < (int)NUM; i += 2) {
		uint16_t head = driver_desc(&d, GUEST_GPA + slot((uint32_t)i), 512,
					    RING_DESC_WRITE | RING_DESC_NEXT);

		driver_desc(&d, GUEST_GPA + slot((uint32_t)i + 1), 512, RING_DESC_WRITE);
		driver_offer(&d, head);
	}
	is_int(give(f, 2, &res), 2, "rx: it is also if two descriptors make a buffer");
	ok(res.error == 1 && res.delivered == 1, "rx: an error as well, and the next one delivered");

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 0);
	driver_give(&d, slot(0), 512, RING_DESC_WRITE);
	f[0] = frame_of(data, 100);
	f[1] = frame_of(data, 100);
	is_int(give(f, 2, &res), 1, "rx: no room, with the event index");
	ok(driver_is_event(&d, 1), "rx: a kick is wanted at the next buffer");

	vring_hold(&r, true);
	is_int(vring_rx(&r, f, 1, &res, &i), VRING_HELD, "L-2 a paused VM is not touched");
	vring_hold(&r, false);
	vring_set_enabled(&r, false);
	is_int(vring_rx(&r, f, 1, &res, &i), VRING_OFF, "rx: a disabled ring gets nothing");
}

/* ---- from the guest ------------------------------------------------------------ */

static void test_tx(void)
{
	struct ring_desc *table = (void *)(g.mem + slot(10));
	struct virtio_net_hdr *hdr;
	uint8_t want[2048];

	begin(BASIC, 64, 0);
	interrupts();
	driver_give(&d, put_frame(slot(0), 60, 3), HDR + 60, 0);
	is_int(take(8), 1, "tx: a frame in one descriptor");
	pattern(want, 60, 3);
	ok(buf[0].len == 60 && !memcmp(out[0], want, 60), "tx: is right");
	ok(driver_used_next(&d) && !driver_used_next(&d), "tx: its buffer is used");
	is_int(interrupts(), 1, "tx: one interrupt");
	is_int(take(8), 0, "tx: nothing else");
	ok(driver_may_kick(&d), "tx: the guest is asked to kick");

	put_frame(slot(1), 1500, 4);
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(1), HDR, RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(1) + HDR, 1000, RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(1) + HDR + 1000, 500, 0);
	is_int(take(8), 1, "tx: a chain of three");
	pattern(want, 1500, 4);
	ok(buf[0].len == 1500 && !memcmp(out[0], want, 1500), "tx: is right");

	put_frame(slot(2), 200, 5);
	driver_table(&d, slot(10), 0, slot(2), HDR, true);
	driver_table(&d, slot(10), 1, slot(2) + HDR, 100, true);
	driver_table(&d, slot(10), 2, slot(2) + HDR + 100, 100, false);
	if (!layout) {	/* in any order */
		table[0].next = 2;
		table[2] = (struct ring_desc){ GUEST_GPA + slot(2) + HDR, 200, 0, 0 };
	}
	driver_give(&d, slot(10), 48, RING_DESC_INDIRECT);
	is_int(take(8), 1, "tx: an indirect table");
	pattern(want, 200, 5);
	ok(buf[0].len == 200 && !memcmp(out[0], want, 200), "tx: is right");

	/* both regions: a buffer, and a table with its second descriptor cut in two */
	driver_give(&d, put_frame(GUEST_HALF - 50, 300, 6), HDR + 300, 0);
	is_int(take(8), 1, "tx: a buffer in two regions");
	pattern(want, 300, 6);
	ok(buf[0].len == 300 && !memcmp(out[0], want, 300), "tx: is right");
	put_frame(slot(3), 70, 7);
	driver_table(&d, GUEST_HALF - 24, 0, slot(3), HDR, true);
	driver_table(&d, GUEST_HALF - 24, 1, slot(3) + HDR, 70, false);
	driver_give(&d, GUEST_HALF - 24, 32, RING_DESC_INDIRECT);
	is_int(take(8), 1, "tx: a table in two regions");

	/* checksum: header says where it begins and where it goes */
	put_frame(slot(4), 64, 8);
	hdr = (void *)(g.mem + slot(4));
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = 34;
	hdr->csum_offset = 6;
	r.features |= F(VIRTIO_NET_F_CSUM);
	driver_give(&d, slot(4), HDR + 64, 0);
	is_int(take(8), 1, "tx: an open checksum");
	{
		uint32_t sum = 0, i;

		for (i = 34; i < 64; i += 2)
			sum += (uint32_t)(out[0][i] << 8 | out[0][i + 1]);
		pattern(want, 64, 8);
		/* the field held the pseudo header's sum: it is part of the sum */
		sum += (uint32_t)(want[40] << 8 | want[41]);
		while (sum >> 16)
			sum = (sum & 0xffff) + (sum >> 16);
		is_int(sum, 0xffff, "tx: is completed");
	}
	hdr->csum_start = 60;
	hdr->csum_offset = 3;
	driver_give(&d, slot(4), HDR + 64, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_CSUM,
	   "M-8 tx: a checksum outside of the frame is a fault");
	hdr->csum_start = 0xffff;
	hdr->csum_offset = 0xffff;
	driver_give(&d, slot(4), HDR + 64, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_CSUM,
	   "M-8 tx: so is one far outside");
	hdr->flags = 0;
	hdr->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	driver_give(&d, slot(4), HDR + 64, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_HEADER,
	   "M-8 tx: segmentation that was not agreed on is a fault");
	driver_give(&d, put_frame(slot(5), 13, 1), HDR + 13, 0);
	ok(take(8) == 1 && !buf[0].fault && buf[0].len == 13,
	   "M-8 tx: a frame of 13 bytes is one for the switch to judge");
	driver_give(&d, put_frame(slot(5), 13, 1), HDR - 1, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_HEADER && !buf[0].len,
	   "M-8 tx: half a header is a fault");
	driver_give(&d, put_frame(slot(5), 2049, 1), HDR + 2049, 0);
	driver_give(&d, put_frame(slot(7), 2048, 1), HDR + 2048, 0);
	ok(take(8) == 2 && buf[0].fault == CHANNEL_TOO_LONG && buf[0].len == 2048,
	   "M-8 tx: a frame longer than there is room is a fault");
	ok(!buf[1].fault && buf[1].len == 2048, "tx: the next one has all the room there is");
	ok(driver_all_back(&d), "tx: every buffer was used up");
	ok(!vring_reason(&r), "tx: and none of that breaks the ring");

	vring_set_enabled(&r, false);
	driver_give(&d, put_frame(slot(0), 60, 3), HDR + 60, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_DISABLED, "tx: a ring that is disabled");
	ok(driver_all_back(&d), "tx: is emptied");
	if (layout)
		return;

	/* a legacy driver: ten bytes of header */
	begin(0, NUM, 0);
	pattern(g.mem + slot(0), 10 + 60, 9);
	memset(g.mem + slot(0), 0, 10);
	driver_give(&d, slot(0), 10 + 60, 0);
	is_int(take(8), 1, "tx: a legacy driver's frame");
	is_int(buf[0].len, 60, "tx: begins after ten bytes");
}

/* ---- segmentation ---------------------------------------------------------------- */

#define TCP_AT		(ETH_HLEN + 20)		/* behind IPv4 */
#define PAYLOAD_AT	(TCP_AT + 20)

/* A joined frame of TCP over IPv4 in the guest. Return: offset of the virtio header. */
static uint32_t put_joined(uint32_t at, uint32_t payload, uint16_t mss)
{
	static const uint8_t eth[ETH_HLEN] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = mss,
		.csum_start = TCP_AT,
		.csum_offset = 16,
	};
	uint32_t ip_len = PAYLOAD_AT - ETH_HLEN + payload;
	uint8_t *p = g.mem + at + HDR;

	memset(g.mem + at, 0, HDR + PAYLOAD_AT);
	memcpy(g.mem + at, &hdr, sizeof(hdr));
	memcpy(p, eth, sizeof(eth));
	p[ETH_HLEN] = 0x45;
	p[ETH_HLEN + 2] = (uint8_t)(ip_len >> 8);
	p[ETH_HLEN + 3] = (uint8_t)ip_len;
	p[ETH_HLEN + 8] = 64;
	p[ETH_HLEN + 9] = 6;
	p[TCP_AT + 12] = 5 << 4;
	p[TCP_AT + 13] = 0x18;		/* PSH, ACK */
	pattern(p + PAYLOAD_AT, payload, 0);
	return at;
}

/* Segment @i of such a frame is in out[@at]: sequence number, length, payload. */
static bool is_segment(uint32_t at, uint32_t i, uint32_t len, uint16_t mss)
{
	const uint8_t *p = out[at];
	uint8_t want[4096];

	pattern(want, sizeof(want), 0);
	return !buf[at].fault && buf[at].len == PAYLOAD_AT + len &&
	       p[TCP_AT + 6] == (uint8_t)(i * mss >> 8) && p[TCP_AT + 7] == (uint8_t)(i * mss) &&
	       !memcmp(p + PAYLOAD_AT, want + i * mss, len);
}

static void test_segments(void)
{
	const uint64_t tso = BASIC | F(VIRTIO_NET_F_CSUM) | F(VIRTIO_NET_F_HOST_TSO4);
	struct virtio_net_hdr *hdr = (void *)(g.mem + slot(0));
	uint32_t len = HDR + PAYLOAD_AT + 3000;

	begin(tso, NUM, 0);
	driver_give(&d, put_joined(slot(0), 3000, 1400), len, 0);
	driver_give(&d, put_frame(slot(2), 60, 1), HDR + 60, 0);
	is_int(take(8), 4, "tso: a joined frame becomes three, and one follows");
	ok(is_segment(0, 0, 1400, 1400) && is_segment(1, 1, 1400, 1400) &&
	   is_segment(2, 2, 200, 1400), "tso: the segments are right");
	ok(!(out[0][TCP_AT + 13] & 8) && out[2][TCP_AT + 13] & 8, "tso: the last one has PSH");
	is_int(buf[3].len, 60, "tso: what follows is itself");

	driver_give(&d, slot(0), len, 0);
	driver_give(&d, slot(2), HDR + 60, 0);
	is_int(take(2), 2, "tso: a batch that is shorter than the segments");
	ok(!driver_all_back(&d) && (uint16_t)(d.next - d.seen) == 1,
	   "tso: the guest has its buffer back");
	memset(g.mem + slot(0), 0xff, len);
	ok(take(2) == 2 && is_segment(0, 2, 200, 1400) && buf[1].len == 60,
	   "M-7 tso: the rest comes next, whatever the guest did to its memory meanwhile");

	driver_give(&d, put_joined(slot(0), 3000, 1400), len, 0);
	take(1);
	vring_stop(&r);
	ok(take(8) == 2 && is_segment(1, 2, 200, 1400), "tso: also when the ring was stopped");
	is_int(take(8), 0, "tso: and then nothing");

	begin(tso, NUM, 0);
	driver_give(&d, put_joined(slot(0), 3000, 1400), len, 0);
	take(1);
	vring_hold(&r, true);
	is_int(take(8), 0, "L-2 tso: a paused VM's segments wait");
	vring_hold(&r, false);
	is_int(take(8), 2, "L-2 tso: for its end");

	put_joined(slot(0), 3000, 0);
	driver_give(&d, slot(0), len, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_GSO, "M-8 tso: segments of no bytes");
	put_joined(slot(0), 3000, 1400);
	driver_give(&d, slot(0), HDR + PAYLOAD_AT - 1, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_GSO, "M-8 tso: half a TCP header");
	hdr->gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	driver_give(&d, slot(0), len, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_HEADER,
	   "M-8 tso: a kind that was not agreed on");
	hdr->gso_type = VIRTIO_NET_HDR_GSO_UDP;
	driver_give(&d, slot(0), len, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_BAD_HEADER, "M-8 tso: fragments of UDP");
	put_joined(slot(0), 3000, 2000);
	driver_give(&d, slot(0), len, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_TOO_LONG,
	   "M-8 tso: segments that no buffer holds");
	put_joined(slot(0), 66000, 1400);
	driver_give(&d, slot(0), HDR + PAYLOAD_AT + 66000, 0);
	ok(take(8) == 1 && buf[0].fault == CHANNEL_TOO_LONG,
	   "M-8 tso: more than an IP packet has");
	ok(!vring_reason(&r) && driver_all_back(&d), "tso: none of that breaks the ring");
}

/* ---- indices ------------------------------------------------------------------- */

static void test_wrap(void)
{
	uint8_t data[60], expect[60];
	struct channel_rx res;
	uint32_t i, bad = 0;
	struct frame f;

	f = frame_of(data, sizeof(data));
	begin(BASIC, 4, 65000);
	for (i = 0; i < 70000; i++) {
		struct ring_used_elem *e;
		uint16_t head = driver_give(&d, slot(i % 4), 512, RING_DESC_WRITE);

		pattern(data, sizeof(data), (uint8_t)i);
		bad += give(&f, 1, &res) != 1 || res.delivered != 1;
		e = driver_used_next(&d);
		bad += !e || e->id != head || memcmp(g.mem + slot(i % 4) + HDR, data, sizeof(data));
	}
	is_int(bad, 0, "rx: 70,000 frames through a ring of 4: the indices wrap twice");

	begin(BASIC, 4, 65000);
	for (i = 0; i < 70000; i++) {
		driver_give(&d, put_frame(slot(i % 4), 60, (uint8_t)i), HDR + 60, 0);
		pattern(expect, 60, (uint8_t)i);
		bad += take(2) != 1 || memcmp(out[0], expect, 60) || !driver_used_next(&d);
	}
	is_int(bad, 0, "tx: likewise");
	vring_stop(&r);
	if (layout)
		i = 0x80008000;		/* slot 0, in the lap of 1: 135,000 is 8 x 16,875 */
	else
		i = (uint16_t)(65000 + 70000);
	is_int(r.base, i, "the base of a stopped ring is where it ended");
}

/* A split ring starts where its used index says, if that can be one. */
static void test_begin(void)
{
	static const struct {
		uint16_t avail, used, base, begins;
		const char *what;
	} c[] = {
		{ 7, 3, 7, 3, "behind what was used, whatever the front end says" },
		{ 3, 65530, 0, 65530, "also across the wrap" },
		{ 16, 0, 16, 0, "with a full ring" },
		{ 0, 4711, 0, 0, "at the base where a driver has not cleared its ring" },
		{ 20, 3, 19, 19, "or where the guest has spoilt the index" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		struct vmq_err err = VMQ_ERR_INIT;

		begin(BASIC, 16, 0);
		vring_stop(&r);
		d.avail->idx = c[i].avail;
		d.used->idx = c[i].used;
		r.base = c[i].base;
		ok(!vring_start(&r, &err) && r.base == c[i].begins, "begin: %s", c[i].what);
	}
}

static void test_events(void)
{
	int i;

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 0);
	driver_set_event(&d, 2);
	interrupts();
	for (i = 0; i < 5; i++)
		driver_give(&d, put_frame(slot((uint32_t)i), 60, 1), HDR + 60, 0);
	is_int(take(1), 1, "event index: one frame");
	interrupts();	/* the first is always told: nothing is known of before */
	is_int(take(1), 1, "event index: the second");
	is_int(interrupts(), 0, "event index: the guest wants to be told at 3, not at 2");
	is_int(take(2), 2, "event index: two more");
	is_int(interrupts(), 1, "event index: that passes it");
	is_int(take(1), 1, "event index: the last");
	is_int(interrupts(), 0, "event index: not told again");
	is_int(take(1), 0, "event index: empty");
	ok(driver_is_event(&d, 5), "event index: a kick is wanted for the next");

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 65534);
	driver_set_event(&d, 65535);
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(1);
	interrupts();
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(1);
	is_int(interrupts(), 1, "event index: told when the index wraps to 0");

	begin(BASIC, NUM, 0);
	interrupts();
	driver_no_interrupts(&d);
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	is_int(take(8), 1, "without the event index: a guest that wants no interrupt");
	is_int(interrupts(), 0, "without the event index: gets none");
}

/* Frames of the guest, a ring full at a time, until the used index is @end. */
static void take_until(uint16_t end)
{
	while (d.used->idx != end) {
		uint16_t i, n = MIN((uint16_t)(end - d.used->idx), (uint16_t)NUM);

		for (i = 0; i < n; i++)
			driver_give(&d, put_frame(slot(i), 60, 1), HDR + 60, 0);
		if (take(n) != n)
			break;
	}
}

/*
 * A guest that polls wants none, for as long as it has something to do. In a packed ring
 * it would say so: a place comes up again with every second lap.
 */
static void test_polling_guest(void)
{
	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 0);
	take_until(1);
	interrupts();
	take_until(65530);
	is_int(interrupts(), 0, "event index: a guest that polls is not told of 65,529 frames");
	driver_set_event(&d, 65530);
	take_until(2);
	is_int(interrupts(), 1, "event index: it is told of the next when it waits again");
}

/* ---- dirty log ------------------------------------------------------------------ */

static uint8_t log_bits[(GUEST_GPA + GUEST_SIZE) >> DIRTY_LOG_SHIFT >> 3];

/* Pages of guest memory that are marked, as a mask of up to 64 from @offset on. */
static uint64_t marked(uint32_t offset)
{
	uint64_t page = (GUEST_GPA + offset) >> DIRTY_LOG_SHIFT, mask = 0;
	int i;

	for (i = 0; i < 64; i++)
		if (log_bits[(page + (uint64_t)i) / 8] & 1u << (page + (uint64_t)i) % 8)
			mask |= F(i);
	return mask;
}

static uint32_t marked_all(void)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < sizeof(log_bits); i++)
		sum += (uint32_t)__builtin_popcount(log_bits[i]);
	return sum;
}

/* A ring of two pages, of which the last slot of one and the first of the other are used. */
static void test_log_packed(const struct dirty_log *log)
{
	uint32_t page = RING_AT >> 12, events = driver_used(512, RING_AT) >> 12;

	memset(log_bits, 0, sizeof(log_bits));
	begin(BASIC, 512, 255);
	r.log = log;
	r.log_used = true;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(2);
	is_int(marked(0), F(page) | F(page + 1) | F(events),
	       "log: both pages of the slots, and the event area that asks for no kicks");
	is_int(marked_all(), 3, "log: no others");

	memset(log_bits, 0, sizeof(log_bits));
	begin(BASIC, 512, 511);
	r.log = log;
	r.log_used = true;
	driver_desc(&d, GUEST_GPA + put_frame(slot(0), 60, 1), HDR, RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(0) + HDR, 60, 0);
	take(2);
	is_int(marked(0), F(page) | F(page + 1) | F(events), "log: a chain over the ring's end");
}

static void test_log(void)
{
	struct dirty_log log = { .bits = log_bits, .size = sizeof(log_bits) };
	const uint32_t ring_page = RING_AT >> 12;
	struct channel_rx res;
	uint8_t data[1500];
	struct frame f;

	f = frame_of(data, sizeof(data));
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	r.log = &log;
	/* across a page, of which only the first three are reached */
	driver_give(&d, slot(1) - 100, 8192, RING_DESC_WRITE);
	give(&f, 1, &res);
	is_int(marked(0), F((slot(1) >> 12) - 1) | F(slot(1) >> 12),
	       "log: the pages of the buffer that were written");
	is_int(marked_all(), 2, "log: no others, and not the used ring without its flag");

	memset(log_bits, 0, sizeof(log_bits));
	r.log_used = true;
	driver_give(&d, slot(4), 1024, RING_DESC_WRITE);
	driver_give(&d, slot(6), 1024, RING_DESC_WRITE);
	give(&f, 1, &res);
	is_int(marked(0), F(ring_page) | F(slot(4) >> 12) | F(slot(6) >> 12),
	       "log: merged buffers and the used ring");
	is_int(marked_all(), 3, "log: no others");

	memset(log_bits, 0, sizeof(log_bits));
	r.log_used = true;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(4);
	ok(marked(0) == F(ring_page) && marked_all() == 1,
	   "log: sending marks the used ring alone");

	memset(log_bits, 0, sizeof(log_bits));
	take(4);
	is_int(marked_all(), 0, "log: an idle ring marks nothing");

	if (layout)
		return test_log_packed(&log);

	/* a used ring as if it lay with its index at the end of a page */
	r.used_gpa = GUEST_GPA + slot(9) - 4;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(4);
	is_int(marked(0), F((slot(9) >> 12) - 1) | F(slot(9) >> 12),
	       "log: the page of the used entry and that of the index");

	memset(log_bits, 0, sizeof(log_bits));
	log.size = (GUEST_GPA + slot(2)) >> DIRTY_LOG_SHIFT >> 3;
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	r.log = &log;
	r.log_used = true;
	r.used_gpa = UINT64_MAX - 8;
	driver_give(&d, slot(8), 2048, RING_DESC_WRITE);
	is_int(give(&f, 1, &res), 1, "log: a page beyond the log");
	is_int(marked_all(), 0, "log: is left out");
}

int main(void)
{
	rig_open();
	with_layouts(test_rx);
	with_layouts(test_rx_joined);
	with_layouts(test_rx_room);
	with_layouts(test_tx);
	with_layouts(test_segments);
	with_layouts(test_wrap);
	test_begin();
	with_layouts(test_events);
	test_polling_guest();
	with_layouts(test_log);
	rig_close();
	return unit_done();
}
