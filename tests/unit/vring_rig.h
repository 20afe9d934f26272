/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vring_rig.h - one ring between a scripted guest and the device
 */
#ifndef VMQ_TEST_VRING_RIG_H
#define VMQ_TEST_VRING_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
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
#define BASIC		(F(VIRTIO_F_VERSION_1) | F(RING_F_INDIRECT_DESC) | layout)

static uint64_t layout;		/* of rings with these features: see with_layouts() */
static struct guest g;
static struct guest_mem mem;
static struct driver d;
static struct vring r;
static uint8_t out[64][4096];
static struct frame_buf buf[64];

static inline uint32_t slot(uint32_t i)
{
	return BUF_AT + i * BUF_STEP;
}

/*
 * A ring of @num entries that begins at @base; a packed one knows by itself where it
 * is, and the front end says something else.
 */
static inline void begin(uint64_t features, uint32_t num, uint16_t base)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int i;

	if (features & F(VIRTIO_F_RING_PACKED)) {
		driver_open_packed(&d, &g, num, RING_AT, base);
	} else {
		driver_open(&d, &g, num, RING_AT);
		d.avail->idx = d.used->idx = d.seen = base;
	}
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

static inline uint64_t interrupts(void)
{
	uint64_t n = 0;

	return read(r.call, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static struct frame frame_of(uint8_t *data, uint32_t len)
{
	return (struct frame){ .part = { { data, len } }, .parts = 1, .len = len };
}

static inline void pattern(uint8_t *p, uint32_t len, uint8_t seed)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		p[i] = (uint8_t)(seed + i * 7);
}

static inline int give(struct frame *f, int n, struct channel_rx *res)
{
	int settled;

	*res = (struct channel_rx){ 0 };
	vring_rx(&r, f, n, res, &settled);
	return settled;
}

static inline int take(int n)
{
	int taken;

	vring_tx(&r, buf, n, &taken);
	return taken;
}

/* A frame of @len bytes in the guest, behind a header. Return: offset of the header. */
static inline uint32_t put_frame(uint32_t at, uint32_t len, uint8_t seed)
{
	memset(g.mem + at, 0, HDR);
	pattern(g.mem + at + HDR, len, seed);
	return at;
}

/* Make the checks of @fn for a split ring, then for a packed one. */
static inline void with_layouts(void (*fn)(void))
{
	layout = 0;
	unit.note = "split";
	fn();
	layout = F(VIRTIO_F_RING_PACKED);
	unit.note = "packed";
	fn();
	layout = 0;
	unit.note = NULL;
}

/* The guest's memory, known to the device, and a ring that is not started. */
static inline void rig_open(void)
{
	struct guest_region_desc half[2] = { guest_region(0), guest_region(1) };
	struct vmq_err err = VMQ_ERR_INIT;

	unit_arm();	/* before the guard takes SIGBUS */
	guest_open(&g);
	if (guest_mem_add(&mem, &half[0], g.fd, &err) ||
	    guest_mem_add(&mem, &half[1], g.fd, &err) || mem_guard_init(&err)) {
		diag("%s", err.text);
		abort();
	}
	vring_init(&r, &mem);
}

static inline void rig_close(void)
{
	vring_destroy(&r);
	guest_mem_clear(&mem);
	guest_close(&g);
}

#endif /* VMQ_TEST_VRING_RIG_H */
