// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring_packed.c - what only packed rings have: laps, places, and a ring that tells
 * its place by itself
 */
#include <sched.h>

#include "vring_rig.h"

#define PACKED	(BASIC | F(VIRTIO_F_RING_PACKED))
#define MERGE	(PACKED | F(VIRTIO_NET_F_MRG_RXBUF))

/* The service is killed: what it knew is gone, and the front end says what it likes. */
static int restart(uint32_t base, struct vmq_err *err)
{
	uint64_t features = r.features;

	vring_reset(&r);
	r.features = features;
	r.num = d.num;
	r.base = base;
	r.call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vring_set_enabled(&r, true);
	return vring_start(&r, err);
}

/* Where the driver expects the device, as GET_VRING_BASE tells it. */
static uint32_t place(uint16_t n)
{
	uint32_t at = n % d.num | (driver_lap(&d, n) ? PACKED_LAP : 0);

	return at << 16 | at;
}

/* Frames of one test of many, where none that waits lies over another. */
static uint32_t place_of(uint32_t frame)
{
	return BUF_AT + frame % 256 * 128;
}

/*
 * Chains of one to three descriptors through rings of every kind of size, as many
 * waiting as happens, and the device is killed and started again at every step.
 */
static void test_places(void)
{
	static const uint32_t nums[] = { 1, 2, 3, 8, 12, 250 };
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t seed = 1, bad = 0, n, i, step;

	for (n = 0; n < ARRAY_SIZE(nums); n++) {
		const uint32_t num = nums[n];
		uint32_t sent = 0, came = 0, starts = 0;

		begin(PACKED, num, 0);
		for (step = 0; step < 2000; step++) {
			uint32_t len, slots;

			seed = seed * 1664525 + 1013904223;
			slots = 1 + (seed >> 16) % 3;
			if (slots > num)
				slots = num;
			if ((uint16_t)(d.next - d.seen) + slots <= num && seed >> 30) {
				len = slots == 1 ? HDR + 60 : HDR;
				put_frame(place_of(sent), 60, (uint8_t)sent);
				for (i = 1; i <= slots; i++) {
					driver_desc(&d, GUEST_GPA + place_of(sent) +
						    (i == 1 ? 0 : HDR + (i - 2) * 30),
						    i == 1 ? len : slots == 2 ? 60 : 30,
						    i < slots ? RING_DESC_NEXT : 0);
				}
				sent++;
				continue;
			}
			slots = (uint32_t)take(1 + (int)(seed >> 8) % 4);
			for (i = 0; i < slots; i++) {
				uint8_t want[60];

				pattern(want, 60, (uint8_t)came++);
				bad += buf[i].len != 60 || memcmp(out[i], want, 60);
				bad += !driver_used_next(&d);
			}
			bad += r.at.take != d.seen % num || r.at.lap != driver_lap(&d, d.seen);
			bad += !!restart(seed, &err);
			bad += r.base != place(d.seen);
			starts++;
		}
		ok(!bad && came > 100 && starts > 100,
		   "a ring of %u: a device that is started again goes on where it was", num);
	}
}

/* Rings that cannot be taken over, and what makes them whole. */
static void test_unknown_place(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t i;

	begin(PACKED, NUM, 0);
	for (i = 0; i < 2; i++) {
		driver_desc(&d, GUEST_GPA + put_frame(slot(i), 60, 1), HDR, RING_DESC_NEXT);
		driver_desc(&d, GUEST_GPA + slot(i) + HDR, 60, 0);
	}
	take(8);
	/* as a device leaves it that writes no more than the standard asks for */
	d.slot[1].tail = (uint64_t)(PACKED_AVAIL | RING_DESC_NEXT) << 48;
	ok(restart(0x80048004, &err) == -EINVAL && strstr(err.text, "reset the guest's device"),
	   "a ring with unmarked slots is refused, and it is said what helps");
	is_int(vring_tx(&r, buf, 8, (int *)&i), VRING_OFF, "and is not touched");
	driver_open_packed(&d, &g, NUM, RING_AT, 0);
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	ok(!restart(0x80048004, &err) && r.base == 0x80008000 && take(8) == 1,
	   "after a reset of the guest's device it is new, whatever the front end remembers");

	begin(MERGE, NUM, 5);
	for (i = 0; i < NUM; i++)
		driver_give(&d, slot(i), 512, RING_DESC_WRITE);
	ok(!restart(0x80008000, &err) && r.base == place(5),
	   "a ring that is full of buffers, over its end");
	/* killed between the stores of a frame in three buffers: the first is missing */
	d.slot[6].tail = d.slot[7].tail = (uint64_t)(PACKED_AVAIL | PACKED_USED) << 48;
	ok(restart(0x80008000, &err) == -EINVAL, "half a frame in it is refused");
}

static uint8_t *still;		/* the page that the device cannot write just now */
static uint64_t first_then;	/* what the first slot was when it tried */

static void on_write(int sig)
{
	(void)sig;
	first_then = d.slot[255].tail;
	mprotect(still, 4096, PROT_READ | PROT_WRITE);
}

/* A frame in slot 255, the last of a page, and in two more, at which the device is held up. */
static void test_first_last(void)
{
	struct sigaction sa = { .sa_handler = on_write }, before;
	uint8_t data[1200] = { 0 };
	struct channel_rx res;
	struct frame f;
	int i;

	f = frame_of(data, sizeof(data));
	begin(MERGE, 512, 255);
	for (i = 0; i < 3; i++)
		driver_give(&d, slot(0), 512, RING_DESC_WRITE);
	still = (uint8_t *)&r.packed.desc[256];
	mprotect(still, 4096, PROT_READ);
	sigaction(SIGSEGV, &sa, &before);
	i = give(&f, 1, &res);
	sigaction(SIGSEGV, &before, NULL);
	ok(i == 1 && first_then, "a frame in three buffers, and a device that is slow");
	is_int(first_then >> 48 & (PACKED_AVAIL | PACKED_USED), PACKED_AVAIL,
	       "its first slot is written when the others are");
	is_int(driver_back(&d), 3, "then all have come");
}

/* A guest that looks all the time. */
#define RACE_FRAMES	5000
#define RACE_LEN	1200u

static void *race_guest(void *arg)
{
	uint32_t *bad = arg, frames = 0, i;

	while (frames < RACE_FRAMES) {
		struct ring_used_elem *e = driver_used_next(&d);
		uint32_t at, count;

		if (!e) {
			sched_yield();
			continue;
		}
		at = slot(e->id);
		count = g.mem[at + 10];
		*bad += count != 3 || g.mem[at + HDR] != (uint8_t)frames;
		driver_give(&d, at, 512, RING_DESC_WRITE);
		for (i = 1; i < 3; i++) {
			e = driver_used_next(&d);
			if (!e) {
				(*bad)++;
				break;
			}
			*bad += e->len != (i == 1 ? 512 : RACE_LEN + HDR - 1024);
			driver_give(&d, slot(e->id), 512, RING_DESC_WRITE);
		}
		frames++;
	}
	return NULL;
}

static void test_whole_frames(void)
{
	uint8_t data[RACE_LEN] = { 0 };
	uint32_t bad = 0, frames = 0, i;
	struct channel_rx res;
	pthread_t thread;

	begin(MERGE, 16, 0);
	for (i = 0; i < 16; i++)
		driver_give(&d, slot(i), 512, RING_DESC_WRITE);
	pthread_create(&thread, NULL, race_guest, &bad);
	while (frames < RACE_FRAMES) {
		struct frame f = frame_of(data, sizeof(data));

		data[0] = (uint8_t)frames;
		if (give(&f, 1, &res) == 1)
			frames++;
		else
			sched_yield();
	}
	pthread_join(thread, NULL);
	is_int(bad, 0, "%d frames in three buffers: a guest never sees a part of one", RACE_FRAMES);
}

static void test_marks(void)
{
	struct channel_rx res;
	uint8_t data[100];
	struct frame f;

	f = frame_of(data, sizeof(data));
	begin(MERGE, NUM, 0);
	driver_desc(&d, GUEST_GPA + slot(0), 50, RING_DESC_WRITE | RING_DESC_NEXT);
	driver_desc(&d, GUEST_GPA + slot(1), 500, RING_DESC_WRITE);
	give(&f, 1, &res);
	ok(d.slot[0].tail >> 48 == (PACKED_AVAIL | PACKED_USED | RING_DESC_WRITE),
	   "a used descriptor: both flags, and WRITE, which says that its length holds");
	is_int(d.slot[0].addr, GUEST_GPA + slot(0), "the address is left alone");
	is_int(d.slot[1].tail >> 48, PACKED_AVAIL | PACKED_USED,
	       "the other slots of the chain are marked");

	/* an id is the guest's own affair */
	begin(PACKED, NUM, 0);
	d.id = 0;
	packed_write(&d.slot[0], GUEST_GPA + put_frame(slot(0), 60, 1), HDR + 60, 0xfffe,
		     PACKED_AVAIL);
	is_int(take(1), 1, "an id beyond the ring");
	is_int(d.slot[0].tail >> 32 & 0xffff, 0xfffe, "comes back as it is");

	/* flags that mean nothing in a table */
	begin(PACKED, NUM, 0);
	put_frame(slot(0), 60, 1);
	packed_write((void *)(g.mem + slot(1)), GUEST_GPA + slot(0), HDR, 7,
		     PACKED_USED | RING_DESC_WRITE);
	packed_write((void *)(g.mem + slot(1) + 16), GUEST_GPA + slot(0) + HDR, 60, 9,
		     RING_DESC_NEXT | PACKED_AVAIL);
	driver_give(&d, slot(1), 32, RING_DESC_INDIRECT);
	ok(take(1) == 1 && buf[0].len == 60,
	   "a table ends where its length says, and is read whatever DPDK says of writing");

	begin(MERGE, NUM, 0);
	packed_write((void *)(g.mem + slot(1)), GUEST_GPA + slot(0), 500, 0, 0);
	driver_give(&d, slot(1), 16, RING_DESC_INDIRECT);
	ok(!give(&f, 1, &res) && vring_reason(&r) && strstr(vring_reason(&r), "for reading"),
	   "hostile: a table of buffers for reading in the receive ring");
}

static void test_more_than_all(void)
{
	uint8_t data[200] = { 0 };
	struct channel_rx res;
	struct frame f;
	uint32_t i;

	begin(PACKED, NUM, 0);
	for (i = 0; i < NUM; i++)
		driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	is_int(take(64), NUM, "a batch takes every slot once");

	f = frame_of(data, sizeof(data));
	begin(MERGE, 1, 0);
	driver_give(&d, slot(0), 64, RING_DESC_WRITE);
	ok(give(&f, 1, &res) == 1 && res.error == 1,
	   "a frame that the whole ring does not hold is an error");
	is_int(driver_back(&d), 0, "and takes no buffer");
	f = frame_of(data, 20);
	ok(give(&f, 1, &res) == 1 && res.delivered == 1 && driver_back(&d) == 1,
	   "the next one gets it");

	/* the frame makes its own slot available for the next lap */
	begin(MERGE, 1, 0);
	driver_give(&d, RING_AT, 16, RING_DESC_WRITE);
	f = frame_of(data, sizeof(data));
	data[3] = PACKED_USED >> 8;
	ok(give(&f, 1, &res) == 1 && res.error == 1 && !vring_reason(&r),
	   "hostile: a slot that was not given back is not taken again");
}

static void test_events(void)
{
	static const uint32_t nums[] = { 5, 8 };
	uint32_t n, bad = 0, at, ahead, i;

	/* a wish for every place of both laps, from every place of both */
	for (n = 0; n < ARRAY_SIZE(nums); n++)
		for (at = 0; at < 2 * nums[n]; at++)
			for (ahead = 0; ahead < nums[n]; ahead++) {
				begin(PACKED | F(RING_F_EVENT_IDX), nums[n], (uint16_t)at);
				interrupts();
				driver_set_event(&d, (uint16_t)(at + ahead));
				for (i = 0; i < nums[n]; i++) {
					driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
					take(1);
					bad += interrupts() != (i == ahead);
				}
				take(1);
				bad += !driver_is_event(&d, (uint16_t)(at + nums[n]));
			}
	is_int(bad, 0, "event index: interrupted exactly where the guest wants it");

	begin(PACKED | F(RING_F_EVENT_IDX), NUM, 0);
	interrupts();
	*d.driver = 3u << 16 | 0x7fff;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	is_int(take(1), 1, "event index: flags that are reserved");
	is_int(interrupts(), 1, "event index: are taken for a wish");
	*d.driver = PACKED_EVENT_AT | 0x7fff;
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	is_int(take(1), 1, "event index: a place beyond the ring does no harm");
	driver_no_interrupts(&d);
	driver_give(&d, put_frame(slot(0), 60, 1), HDR + 60, 0);
	interrupts();
	take(1);
	is_int(interrupts(), 0, "event index: and none at all can be wanted, too");
}

int main(void)
{
	rig_open();
	test_places();
	test_unknown_place();
	test_marks();
	test_more_than_all();
	test_events();
	test_first_last();
	test_whole_frames();
	rig_close();
	return unit_done();
}
