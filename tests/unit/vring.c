// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring.c - split rings, from both sides, with guests that behave and guests that
 * do not
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "channel/mem_guard.h"
#include "channel/vring.h"
#include "common/util.h"
#include "guest.h"
#include "unit.h"

#define NUM		8u
#define HDR		12u
#define RING_AT		0x1000u
#define BUF_AT		0x10000u
#define BUF_STEP	0x1000u
#define LOG_PAGES	(GUEST_SIZE >> DIRTY_LOG_SHIFT)
#define F(bit)		(UINT64_C(1) << (bit))
#define BASIC		(F(VIRTIO_F_VERSION_1) | F(RING_F_INDIRECT_DESC))

static struct guest g;
static struct guest_mem mem;
static struct driver d;
static struct vring r;
static uint8_t out[64][4096];
static struct frame_buf buf[64];

static uint32_t slot(uint32_t i)
{
	return BUF_AT + i * BUF_STEP;
}

/* A ring of @num entries that begins at @base. */
static void begin(uint64_t features, uint32_t num, uint16_t base)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int i;

	driver_open(&d, &g, num, RING_AT);
	d.avail->idx = d.used->idx = d.seen = base;
	vring_reset(&r);
	r.features = features;
	r.num = num;
	r.base = base;
	r.desc_uva = GUEST_UVA + RING_AT;
	r.avail_uva = GUEST_UVA + driver_avail(num, RING_AT);
	r.used_uva = GUEST_UVA + driver_used(num, RING_AT);
	r.used_gpa = GUEST_GPA + driver_used(num, RING_AT);
	r.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vring_set_enabled(&r, true);
	if (vring_start(&r, &err)) {
		diag("%s", err.text);
		abort();
	}
	for (i = 0; i < 64; i++)
		buf[i] = (struct frame_buf){ .data = out[i], .room = 2048 };
}

static uint64_t interrupts(void)
{
	uint64_t n = 0;

	return read(r.call, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static struct frame frame_of(uint8_t *data, uint32_t len)
{
	return (struct frame){ .part = { { data, len } }, .parts = 1, .len = len };
}

static void pattern(uint8_t *p, uint32_t len, uint8_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7);
}

static int give(struct frame *f, int n, struct channel_rx *res)
{
	int settled;

	*res = (struct channel_rx){ 0 };
	vring_rx(&r, f, n, res, &settled);
	return settled;
}

static int take(int n)
{
	int taken;

	vring_tx(&r, buf, n, &taken);
	return taken;
}

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
	is_int(d.used->flags, 0, "rx: the guest is asked to kick");
	driver_give(&d, slot(2), 512, RING_DESC_WRITE);
	is_int(give(f + 2, 1, &res), 1, "rx: the third goes when there is a buffer");
	is_int(d.used->flags, RING_USED_NO_NOTIFY, "rx: and no kicks are wanted meanwhile");

	/* a frame that needs two buffers while one is there takes none */
	f[0] = frame_of(data, 600);
	driver_give(&d, slot(3), 512, RING_DESC_WRITE);
	is_int(give(f, 1, &res), 0, "rx: half the room is no room");
	is_int(d.used->idx, 3, "rx: nothing was used");
	driver_give(&d, slot(4), 512, RING_DESC_WRITE);
	is_int(give(f, 1, &res), 1, "rx: with the other half it goes");
	is_int(d.used->idx, 5, "rx: in two buffers");

	/* more than the whole ring holds: waiting would be for ever */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	for (i = 0; i < (int)NUM; i++)
		driver_give(&d, slot((uint32_t)i), 512, RING_DESC_WRITE);
	f[0] = frame_of(data, NUM * 512);
	f[1] = frame_of(data, 100);
	is_int(give(f, 2, &res), 2, "rx: a frame beyond the whole ring is settled");
	ok(res.error == 1 && res.delivered == 1, "rx: as an error, and the next one delivered");

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 0);
	driver_give(&d, slot(0), 512, RING_DESC_WRITE);
	f[0] = frame_of(data, 100);
	f[1] = frame_of(data, 100);
	is_int(give(f, 2, &res), 1, "rx: no room, with the event index");
	is_int(driver_avail_event(&d), 1, "rx: a kick is wanted at the next buffer");

	vring_hold(&r, true);
	is_int(vring_rx(&r, f, 1, &res, &i), VRING_HELD, "L-2 a paused VM is not touched");
	vring_hold(&r, false);
	vring_set_enabled(&r, false);
	is_int(vring_rx(&r, f, 1, &res, &i), VRING_OFF, "rx: a disabled ring gets nothing");
}

/* ---- from the guest ------------------------------------------------------------ */

/* A frame of @len bytes in the guest, behind a header. Return: offset of the header. */
static uint32_t put_frame(uint32_t at, uint32_t len, uint8_t seed)
{
	memset(g.mem + at, 0, HDR);
	pattern(g.mem + at + HDR, len, seed);
	return at;
}

static void test_tx(void)
{
	struct ring_desc *table = (void *)(g.mem + slot(10));
	struct virtio_net_hdr *hdr;
	uint8_t want[2048];
	int taken;

	begin(BASIC, NUM, 0);
	interrupts();
	driver_give(&d, put_frame(slot(0), 60, 3), HDR + 60, 0);
	is_int(take(8), 1, "tx: a frame in one descriptor");
	pattern(want, 60, 3);
	ok(buf[0].len == 60 && !memcmp(out[0], want, 60), "tx: is right");
	ok(driver_used_next(&d) && !driver_used_next(&d), "tx: its buffer is used");
	is_int(interrupts(), 1, "tx: one interrupt");
	is_int(take(8), 0, "tx: nothing else");
	is_int(d.used->flags, 0, "tx: the guest is asked to kick");

	put_frame(slot(1), 1500, 4);
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(1), HDR, RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(1) + HDR, 1000, RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(1) + HDR + 1000, 500, 0);
	is_int(take(8), 1, "tx: a chain of three");
	pattern(want, 1500, 4);
	ok(buf[0].len == 1500 && !memcmp(out[0], want, 1500), "tx: is right");

	put_frame(slot(2), 200, 5);
	table[0] = (struct ring_desc){ GUEST_GPA + slot(2), HDR, RING_DESC_NEXT, 2 };
	table[2] = (struct ring_desc){ GUEST_GPA + slot(2) + HDR, 200, 0, 0 };
	driver_give(&d, slot(10), 48, RING_DESC_INDIRECT);
	is_int(take(8), 1, "tx: an indirect table");
	pattern(want, 200, 5);
	ok(buf[0].len == 200 && !memcmp(out[0], want, 200), "tx: is right");

	/* both regions: a buffer, and a table with its second descriptor cut in two */
	driver_give(&d, put_frame(GUEST_HALF - 50, 300, 6), HDR + 300, 0);
	table = (void *)(g.mem + GUEST_HALF - 24);
	is_int(take(8), 1, "tx: a buffer in two regions");
	pattern(want, 300, 6);
	ok(buf[0].len == 300 && !memcmp(out[0], want, 300), "tx: is right");
	put_frame(slot(3), 70, 7);
	table[0] = (struct ring_desc){ GUEST_GPA + slot(3), HDR, RING_DESC_NEXT, 1 };
	table[1] = (struct ring_desc){ GUEST_GPA + slot(3) + HDR, 70, 0, 0 };
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
	is_int(take(8), 0, "tx: a checksum outside the frame: thrown away");
	hdr->flags = 0;
	hdr->gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	driver_give(&d, slot(4), HDR + 64, 0);
	is_int(take(8), 0, "tx: segmentation that was not offered: thrown away");
	driver_give(&d, put_frame(slot(5), 13, 1), HDR + 13, 0);
	is_int(take(8), 0, "tx: shorter than an Ethernet header: thrown away");
	driver_give(&d, put_frame(slot(5), 13, 1), HDR - 1, 0);
	is_int(take(8), 0, "tx: shorter than its own header: thrown away");
	driver_give(&d, put_frame(slot(5), 2049, 1), HDR + 2049, 0);
	driver_give(&d, put_frame(slot(7), 2048, 1), HDR + 2048, 0);
	is_int(take(8), 1, "tx: longer than there is room: thrown away, the next is taken");
	is_int(buf[0].len, 2048, "tx: with all the room there is");
	is_int((uint16_t)(d.used->idx - d.avail->idx), 0, "tx: every buffer was used up");
	ok(!vring_reason(&r), "tx: and none of that breaks the ring");

	vring_set_enabled(&r, false);
	driver_give(&d, put_frame(slot(0), 60, 3), HDR + 60, 0);
	is_int(vring_tx(&r, buf, 8, &taken), VRING_IDLE, "tx: a disabled ring is emptied");
	ok(!taken && d.used->idx == d.avail->idx, "tx: its frames are thrown away");

	/* a legacy driver: ten bytes of header */
	begin(0, NUM, 0);
	pattern(g.mem + slot(0), 10 + 60, 9);
	memset(g.mem + slot(0), 0, 10);
	driver_give(&d, slot(0), 10 + 60, 0);
	is_int(take(8), 1, "tx: a legacy driver's frame");
	is_int(buf[0].len, 60, "tx: begins after ten bytes");
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
	is_int(r.base, (uint16_t)(65000 + 70000), "the base of a stopped ring is where it ended");
}

static void test_events(void)
{
	int i;

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 0);
	*driver_used_event(&d) = 2;
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
	is_int(driver_avail_event(&d), 5, "event index: a kick is wanted for the next");

	begin(BASIC | F(RING_F_EVENT_IDX), NUM, 65534);
	*driver_used_event(&d) = 65535;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(1);
	interrupts();
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(1);
	is_int(interrupts(), 1, "event index: told when the index wraps to 0");

	begin(BASIC, NUM, 0);
	interrupts();
	d.avail->flags = RING_AVAIL_NO_INTERRUPT;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	is_int(take(8), 1, "without the event index: a guest that wants no interrupt");
	is_int(interrupts(), 0, "without the event index: gets none");
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

static void test_log(void)
{
	struct dirty_log log = { .bits = log_bits, .size = sizeof(log_bits) };
	uint32_t used_page = driver_used(NUM, RING_AT) & ~0xfffu;
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
	is_int(marked(0), F(used_page >> 12) | F(slot(4) >> 12) | F(slot(6) >> 12),
	       "log: merged buffers and the used ring");
	is_int(marked_all(), 3, "log: no others");

	memset(log_bits, 0, sizeof(log_bits));
	r.log_used = true;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	take(4);
	ok(marked(0) == F(used_page >> 12) && marked_all() == 1,
	   "log: sending marks the used ring alone");

	memset(log_bits, 0, sizeof(log_bits));
	take(4);
	is_int(marked_all(), 0, "log: an idle ring marks nothing");

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

/* ---- guests that do not behave --------------------------------------------------- */

static void bad_index(void)
{
	d.avail->idx = NUM + 1;
}

static void bad_index_back(void)
{
	d.avail->idx = UINT16_MAX;
}

static void bad_head(void)
{
	driver_offer(&d, NUM);
}

static void bad_next(void)
{
	uint16_t i = driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT);

	d.desc[i].next = NUM;
	driver_offer(&d, i);
}

static void bad_loop(void)
{
	uint16_t i = driver_desc(&d, GUEST_GPA + slot(0), 1, RING_DESC_NEXT);

	d.desc[i].next = i;
	driver_offer(&d, i);
}

static void bad_address(void)
{
	driver_offer(&d, driver_desc(&d, GUEST_GPA - 1, 100, 0));
}

static void bad_address_high(void)
{
	driver_offer(&d, driver_desc(&d, UINT64_MAX - 10, 100, 0));
}

static void bad_tail(void)
{
	driver_offer(&d, driver_desc(&d, GUEST_GPA + GUEST_SIZE - 50, 100, 0));
}

static void bad_length(void)
{
	driver_give(&d, slot(0), 0, 0);
}

static void bad_direction(void)
{
	driver_give(&d, slot(0), 100, RING_DESC_WRITE);
}

static void bad_table_length(void)
{
	driver_give(&d, slot(0), 17, RING_DESC_INDIRECT);
}

static void bad_table_empty(void)
{
	driver_give(&d, slot(0), 0, RING_DESC_INDIRECT);
}

static void bad_table_huge(void)
{
	driver_give(&d, slot(0), 16 * 1025, RING_DESC_INDIRECT);
}

static void bad_table_place(void)
{
	driver_offer(&d, driver_desc(&d, GUEST_GPA + GUEST_SIZE - 8, 16, RING_DESC_INDIRECT));
}

static void bad_table_next(void)
{
	driver_give(&d, slot(0), 16, RING_DESC_INDIRECT | RING_DESC_NEXT);
}

static void bad_table_nested(void)
{
	struct ring_desc *t = (void *)(g.mem + slot(0));

	t[0] = (struct ring_desc){ GUEST_GPA + slot(1), 16, RING_DESC_INDIRECT, 0 };
	driver_give(&d, slot(0), 16, RING_DESC_INDIRECT);
}

static void bad_table_loop(void)
{
	struct ring_desc *t = (void *)(g.mem + slot(0));

	t[0] = (struct ring_desc){ GUEST_GPA + slot(1), 1, RING_DESC_NEXT, 1 };
	t[1] = (struct ring_desc){ GUEST_GPA + slot(1), 1, RING_DESC_NEXT, 0 };
	driver_give(&d, slot(0), 32, RING_DESC_INDIRECT);
}

static void bad_table_outside(void)
{
	struct ring_desc *t = (void *)(g.mem + slot(0));

	t[0] = (struct ring_desc){ GUEST_GPA + slot(1), 1, RING_DESC_NEXT, 1 };
	driver_give(&d, slot(0), 16, RING_DESC_INDIRECT);
}

static void bad_table_unasked(void)
{
	r.features &= ~F(RING_F_INDIRECT_DESC);
	driver_give(&d, slot(0), 16, RING_DESC_INDIRECT);
}

static const struct bad {
	void (*make)(void);
	const char *what;
	const char *reason;
} bad[] = {
	{ bad_index, "an available index too far ahead", "entries ahead" },
	{ bad_index_back, "an available index that goes back", "entries ahead" },
	{ bad_head, "a head that is no descriptor", "does not exist" },
	{ bad_next, "a next that is no descriptor", "does not exist" },
	{ bad_loop, "a chain that bites its tail", "loop" },
	{ bad_address, "a buffer below memory", "not in the guest's memory" },
	{ bad_address_high, "a buffer at the end of the address space",
	  "not in the guest's memory" },
	{ bad_tail, "a buffer that leaves memory", "not in the guest's memory" },
	{ bad_length, "an empty buffer", "without a byte" },
	{ bad_direction, "a buffer for the wrong direction", "for writing in the transmit ring" },
	{ bad_table_length, "an indirect table of 17 bytes", "table of 17" },
	{ bad_table_empty, "an empty indirect table", "table of 0" },
	{ bad_table_huge, "an indirect table of 1,025 descriptors", "table of 16400" },
	{ bad_table_place, "an indirect table that leaves memory", "not in memory" },
	{ bad_table_next, "an indirect descriptor with a next one", "with a next one" },
	{ bad_table_nested, "a table in a table", "inside an indirect table" },
	{ bad_table_loop, "a loop in a table", "loop" },
	{ bad_table_outside, "a next beyond the table", "does not exist" },
	{ bad_table_unasked, "an indirect descriptor that was not negotiated", "not negotiated" },
};

static void test_hostile(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct channel_rx res;
	struct frame f[2];
	uint8_t data[600];
	int taken, settled;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		begin(BASIC, NUM, 0);
		bad[i].make();
		is_int(vring_tx(&r, buf, 8, &taken), VRING_BROKEN, "hostile: %s", bad[i].what);
		if (!ok(vring_reason(&r) && strstr(vring_reason(&r), bad[i].reason),
			"hostile: the reason is told"))
			diag("%s", vring_reason(&r) ? vring_reason(&r) : "(none)");
		is_int(vring_tx(&r, buf, 8, &taken), VRING_OFF, "hostile: the ring is off then");
	}

	f[0] = f[1] = frame_of(data, 500);
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	driver_give(&d, slot(0), 512, RING_DESC_WRITE);
	driver_give(&d, slot(1), 512, 0);
	res = (struct channel_rx){ 0 };
	is_int(vring_rx(&r, f, 2, &res, &settled), VRING_BROKEN,
	   "hostile: a receive buffer for reading");
	ok(settled == 1 && res.delivered == 1, "hostile: the frame before it counts");
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	driver_give(&d, GUEST_SIZE - 100, 512, RING_DESC_WRITE);
	is_int(vring_rx(&r, f, 1, &res, &settled), VRING_BROKEN,
	   "hostile: a receive buffer that leaves memory");

	/* buffers over the ring itself: the guest's own loss, nobody else's */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), NUM, 0);
	driver_give(&d, RING_AT, 2048, RING_DESC_WRITE);
	vring_rx(&r, f, 2, &res, &settled);
	ok(settled >= 0 && settled <= 2, "hostile: a buffer over its own ring");

	begin(BASIC, NUM, 0);
	vring_stop(&r);
	r.used_uva = GUEST_UVA + GUEST_SIZE - 8;
	ok(vring_start(&r, &err) < 0 && strstr(err.text, "used ring"),
	   "hostile: a ring that leaves memory");
	r.used_uva = GUEST_UVA + GUEST_HALF - 8;
	ok(vring_start(&r, &err) < 0, "hostile: a ring in two regions");
	r.used_uva = UINT64_MAX - 3;
	ok(vring_start(&r, &err) < 0, "hostile: a ring at the end of the address space");
	r.used_uva = GUEST_UVA + driver_used(NUM, RING_AT) + 2;
	ok(vring_start(&r, &err) < 0 && strstr(err.text, "aligned"),
	   "hostile: a ring that is not aligned");
}

static void *truncated(void *arg)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct channel_rx res = { 0 };
	uint8_t data[100] = { 0 };
	int taken, settled;
	struct frame f;

	f = frame_of(data, sizeof(data));
	begin(BASIC, NUM, 0);
	driver_give(&d, slot(4), 500, RING_DESC_WRITE);
	ok(!ftruncate(g.fd, slot(4)), "truncated: the buffer's page goes");
	is_int(vring_rx(&r, &f, 1, &res, &settled), VRING_BROKEN,
	   "truncated: writing to it ends the ring");
	ok(vring_reason(&r) && strstr(vring_reason(&r), "taken away"),
	   "truncated: the reason is told");

	ok(!ftruncate(g.fd, GUEST_SIZE), "truncated: the file is long again");
	begin(BASIC, NUM, 0);
	driver_give(&d, put_frame(slot(4), 60, 1), HDR + 60, 0);
	ok(!ftruncate(g.fd, slot(4)), "truncated: a page that is read goes");
	is_int(vring_tx(&r, buf, 8, &taken), VRING_BROKEN,
	   "truncated: reading from it ends the ring");
	ok(!ftruncate(g.fd, GUEST_SIZE), "truncated: the file is long again");
	begin(BASIC, NUM, 0);
	ok(!ftruncate(g.fd, 0), "truncated: everything goes");
	is_int(vring_tx(&r, buf, 8, &taken), VRING_BROKEN, "truncated: the ring itself");
	vring_reset(&r);
	r.num = NUM;
	ok(vring_start(&r, &err) == -EFAULT, "truncated: a ring without memory does not start");
	ok(!ftruncate(g.fd, GUEST_SIZE), "truncated: the file is long again");
	return arg;
}

/* In a thread like a worker: it was started with every signal blocked. */
static void test_truncated(void)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_create(&thread, NULL, truncated, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_join(thread, NULL);
}

/* ---- the memory table -------------------------------------------------------------- */

static void test_mem(void)
{
	struct guest_region_desc a = guest_region(0), b = guest_region(1), x;
	struct guest_mem m = { .n = 0 };
	struct vmq_err err = VMQ_ERR_INIT;
	struct guest_region gone;
	int p[2], ro;
	uint32_t n;

	/* the higher one first: the table is sorted */
	ok(!guest_mem_add(&m, &b, g.fd, &err) && !guest_mem_add(&m, &a, g.fd, &err),
	   "mem: two regions");
	n = 100;
	ok(guest_mem_at(&m, GUEST_GPA + GUEST_HALF - 10, &n) && n == 10,
	   "mem: a piece ends with its region");
	n = 100;
	ok(guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n) && n == 100, "mem: the next one is found");
	n = 1;
	ok(!guest_mem_at(&m, GUEST_GPA + GUEST_SIZE, &n) && !guest_mem_at(&m, GUEST_GPA - 1, &n) &&
	   !guest_mem_at(&m, UINT64_MAX, &n) && !guest_mem_at(&m, 0, &n),
	   "mem: nothing around them");

	x = a;
	x.uva += 0x10000000;
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: the same guest address twice");
	x = a;
	x.gpa += 0x10000000;
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: the same front end address twice");
	x = (struct guest_region_desc){ .gpa = UINT64_MAX - 10, .size = 4096, .uva = 4096 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: an address that overflows");
	x = (struct guest_region_desc){ .gpa = 0, .size = 4096, .uva = UINT64_MAX - 10 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL,
	   "mem: a front end address that overflows");
	x = (struct guest_region_desc){ .size = 4096, .offset = UINT64_MAX - 100 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: an offset that overflows");
	x = (struct guest_region_desc){ .size = 0 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: no bytes");
	x = (struct guest_region_desc){ .size = GUEST_SIZE, .offset = 1 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -EINVAL, "mem: a byte more than the file has");
	x = (struct guest_region_desc){ .size = UINT64_C(1) << 50 };
	is_int(guest_mem_add(&m, &x, g.fd, &err), -ENOSPC, "mem: a petabyte");
	x = (struct guest_region_desc){ .size = 4096 };
	ok(!pipe(p) && guest_mem_add(&m, &x, p[0], &err) == -EINVAL, "mem: a pipe is no memory");
	close(p[0]);
	close(p[1]);
	ro = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	is_int(guest_mem_add(&m, &x, ro, &err), -EINVAL, "mem: nor is a file of a disk");
	close(ro);
	{
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", g.fd);
		ro = open(path, O_RDONLY | O_CLOEXEC);
	}
	ok(guest_mem_add(&m, &x, ro, &err) < 0, "mem: nor one that we cannot write");
	close(ro);
	is_int(m.n, 2, "mem: none of them is in the table");

	x = a;
	x.size--;
	is_int(guest_mem_remove(&m, &x, &gone, &err), -ENOENT,
	   "mem: half a region is not taken out");
	ok(!guest_mem_remove(&m, &a, &gone, &err) && m.n == 1, "mem: a whole one is");
	guest_region_unmap(&gone);
	n = 1;
	ok(!guest_mem_at(&m, GUEST_GPA, &n) && guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n),
	   "mem: the other stays");
	guest_mem_clear(&m);
	ok(!guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n), "mem: an empty table has nothing");

	/* an offset that is not at a page */
	x = (struct guest_region_desc){ .gpa = 0x1000, .size = 5000, .uva = 0x1000, .offset = 100 };
	pattern(g.mem + 100, 16, 9);
	n = 16;
	ok(!guest_mem_add(&m, &x, g.fd, &err) &&
	   !memcmp(guest_mem_at(&m, 0x1000, &n), g.mem + 100, 16),
	   "mem: an offset inside a page");
	guest_mem_clear(&m);
}

int main(void)
{
	struct guest_region_desc half[2] = { guest_region(0), guest_region(1) };
	struct vmq_err err = VMQ_ERR_INIT;

	guest_open(&g);
	ok(!guest_mem_add(&mem, &half[0], g.fd, &err) && !guest_mem_add(&mem, &half[1], g.fd, &err),
	   "a guest's memory");
	ok(!mem_guard_init(&err), "a guard");
	vring_init(&r, &mem);
	test_mem();
	test_rx();
	test_rx_room();
	test_tx();
	test_wrap();
	test_events();
	test_log();
	test_hostile();
	test_truncated();
	vring_destroy(&r);
	guest_mem_clear(&mem);
	guest_close(&g);
	return unit_done();
}
