// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring_hostile.c - rings of both layouts, of guests that do not behave
 */
#include "vring_rig.h"

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
	driver_give(&d, slot(0), 16 * 257, RING_DESC_INDIRECT);
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

	if (layout)
		packed_write((void *)t, GUEST_GPA + slot(1), 16, 0, RING_DESC_INDIRECT);
	else
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

/* In a packed ring. */
static void bad_unavailable(void)
{
	driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT);
}

static void bad_other_lap(void)
{
	uint16_t first = d.next % (uint16_t)d.num;

	driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(1), HDR, 0);
	d.slot[first + 1].tail ^= (uint64_t)(PACKED_AVAIL | PACKED_USED) << 48;
}

static void bad_longer(void)
{
	uint32_t i;

	for (i = 0; i < NUM; i++)
		driver_desc(&d, GUEST_GPA + slot(0), 1, RING_DESC_NEXT);
}

static void bad_second_direction(void)
{
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(1), 100, RING_DESC_WRITE);
}

static void bad_second_length(void)
{
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(1), 0, 0);
}

static void bad_table_behind(void)
{
	driver_table(&d, slot(2), 0, slot(1), 100, true);
	driver_offer(&d, driver_desc(&d, GUEST_GPA + slot(0), HDR, RING_DESC_NEXT));
	driver_desc(&d, GUEST_GPA + slot(2), 32, RING_DESC_INDIRECT);
	/* its second descriptor is empty */
}

#define SPLIT	1
#define PACKED	2

static const struct bad {
	void (*make)(void);
	const char *what;
	const char *reason;
	int only;		/* in this layout; 0: in both */
} bad[] = {
	{ bad_index, "an available index too far ahead", "entries ahead", SPLIT },
	{ bad_index_back, "an available index that goes back", "entries ahead", SPLIT },
	{ bad_head, "a head that is no descriptor", "does not exist", SPLIT },
	{ bad_next, "a next that is no descriptor", "does not exist", SPLIT },
	{ bad_loop, "a chain that bites its tail", "loop", SPLIT },
	{ bad_address, "a buffer below memory", "not in the guest's memory", 0 },
	{ bad_address_high, "a buffer at the end of the address space",
	  "not in the guest's memory", 0 },
	{ bad_tail, "a buffer that leaves memory", "not in the guest's memory", 0 },
	{ bad_length, "an empty buffer", "without a byte", 0 },
	{ bad_direction, "a buffer for the wrong direction", "for writing in the transmit ring", 0 },
	{ bad_table_length, "an indirect table of 17 bytes", "table of 17", 0 },
	{ bad_table_empty, "an empty indirect table", "table of 0", 0 },
	{ bad_table_huge, "an indirect table of 257 descriptors", "table of 4112", 0 },
	{ bad_table_place, "an indirect table that leaves memory", "not in memory", 0 },
	{ bad_table_next, "an indirect descriptor with a next one", "with a next one", 0 },
	{ bad_table_nested, "a table in a table", "inside an indirect table", 0 },
	{ bad_table_loop, "a loop in a table", "loop", SPLIT },
	{ bad_table_outside, "a next beyond the table", "does not exist", SPLIT },
	{ bad_table_unasked, "an indirect descriptor that was not negotiated", "not negotiated", 0 },
	{ bad_unavailable, "a chain into what is not available", "is not available", PACKED },
	{ bad_other_lap, "a chain with a descriptor of the other lap", "is not available", PACKED },
	{ bad_longer, "a chain that is longer than the ring", "longer than the ring", PACKED },
	{ bad_second_direction, "a second buffer for the wrong direction", "for writing", 0 },
	{ bad_second_length, "a second buffer that is empty", "without a byte", 0 },
	{ bad_table_behind, "a table behind a buffer, with an empty one", "without a byte", 0 },
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
		if (bad[i].only == (layout ? SPLIT : PACKED))
			continue;
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
	if (layout)
		r.used_uva = GUEST_UVA + GUEST_SIZE - 2;
	ok(vring_start(&r, &err) < 0 &&
	   strstr(err.text, layout ? "the device's event area" : "used ring"),
	   "hostile: a ring that leaves memory");
	r.used_uva = GUEST_UVA + GUEST_HALF - (layout ? 2 : 8);
	ok(vring_start(&r, &err) < 0, "hostile: a ring in two regions");
	r.used_uva = UINT64_MAX - 3;
	ok(vring_start(&r, &err) < 0, "hostile: a ring at the end of the address space");
	r.used_uva = GUEST_UVA + driver_used(NUM, RING_AT) + 2;
	ok(vring_start(&r, &err) < 0 && strstr(err.text, "aligned"),
	   "hostile: a ring that is not aligned");
	r.used_uva = GUEST_UVA + driver_used(NUM, RING_AT);
	r.desc_uva = GUEST_UVA + GUEST_SIZE - 16 * NUM + 16;
	ok(vring_start(&r, &err) < 0 && strstr(err.text, "descriptor ring"),
	   "hostile: descriptors that leave memory");
	r.desc_uva = GUEST_UVA + RING_AT;
	r.avail_uva = GUEST_UVA - 2;
	ok(vring_start(&r, &err) < 0 &&
	   strstr(err.text, layout ? "the driver's event area" : "available ring"),
	   "hostile: what the driver writes, outside of memory");
}

/* A table of @n descriptors of one byte each, and the ring full of chains that use it. */
static void fill_with_bytes(uint16_t n, uint16_t flags)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		driver_table(&d, slot(0), i, slot(4) + i, 1, i + 1 < n);
		if (layout)
			((struct packed_desc *)(void *)(g.mem + slot(0)))[i].tail |=
				(uint64_t)flags << 48;
		else
			((struct ring_desc *)(void *)(g.mem + slot(0)))[i].flags |= flags;
	}
	for (i = 0; i < d.num; i++)
		driver_give(&d, slot(0), 16u * n, RING_DESC_INDIRECT);
}

/* Much work for little: buffers of a byte. The neighbours on the CPU wait meanwhile. */
static void test_work(void)
{
	static struct frame f[64];
	uint8_t data[400] = { 0 };
	struct channel_rx res;
	int n, i;

	memset(g.mem + slot(4), 0, 256);
	begin(BASIC, 64, 0);
	fill_with_bytes(256, 0);
	n = take(64);
	ok(n > 0 && n <= 16, "work: a batch of frames in 256 buffers is short: %d", n);
	for (i = 1; i < 64 && n < 64; i++)
		n += take(64);
	is_int(n, 64, "work: all are taken in the end");

	for (i = 0; i < 64; i++)
		f[i] = frame_of(data, 60);
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), 64, 0);
	fill_with_bytes(256, RING_DESC_WRITE);
	is_int(vring_rx(&r, f, 64, &res, &n), VRING_MORE, "work: frames into such buffers");
	ok(n > 0 && n <= 16, "work: a short batch as well: %d", n);
	for (i = 1; i < 64 && n < 64; i++)
		n += give(f + n, 64 - n, &res);
	is_int(n, 64, "work: all are given in the end");

	/* a frame over all buffers that there are */
	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF), 512, 0);
	for (i = 0; i < 512; i++)
		driver_give(&d, slot(4) + (uint32_t)i, 1, RING_DESC_WRITE);
	f[0] = frame_of(data, 400);
	is_int(give(f, 2, &res), 2, "work: a frame over 412 buffers, and one over 72");
	ok(res.error == 1 && res.delivered == 1 && !vring_reason(&r),
	   "work: the first is an error, and no more than that");
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
	r.features = BASIC;
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

int main(void)
{
	rig_open();
	with_layouts(test_hostile);
	with_layouts(test_work);
	with_layouts(test_truncated);
	rig_close();
	return unit_done();
}
