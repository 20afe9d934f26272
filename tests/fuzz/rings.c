// SPDX-License-Identifier: GPL-2.0-only
/*
 * rings.c - fuzz rings of both layouts: the input is the guest's memory
 *
 * The first bytes choose features, ring size and what is done; the rest is laid
 * over the memory in which both rings lie, so that indices, descriptors, tables
 * and buffers are all the fuzzer's. Whatever it writes there, the device must
 * stay inside its memory and come to an end. What a batch left is changed a
 * little between two batches, as a guest would that goes on. Frames for the guest are
 * joined ones, too, for rings that take them.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel/mem_guard.h"
#include "channel/vring.h"
#include "common/util.h"

#define SIZE	0x4000u		/* two regions of 8 KiB */
#define GPA	0x10000ull
#define ROUNDS	4
#define FRAMES	9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choice {
	uint8_t features;
	uint8_t num;		/* log2 */
	uint8_t frames;		/* how many, and as how many joined ones */
	uint8_t length;
	uint16_t base;
	uint16_t step[ROUNDS];	/* added to the available index before each batch; packed:
				 * slots to make available, and one to turn into the other lap */
};

static const uint64_t feature_of[8] = {
	1ull << VIRTIO_F_VERSION_1, 1ull << VIRTIO_NET_F_MRG_RXBUF,
	1ull << RING_F_INDIRECT_DESC, 1ull << RING_F_EVENT_IDX, 1ull << VIRTIO_NET_F_CSUM,
	1ull << VIRTIO_NET_F_HOST_TSO4 | 1ull << VIRTIO_NET_F_HOST_TSO6 |
	1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4, 0,
	1ull << VIRTIO_F_RING_PACKED,
};

#define AVAIL	(1ull << 55)	/* in the tail of a packed descriptor */
#define USED	(1ull << 63)

static struct guest_mem mem;
static uint8_t *shared;
static uint8_t log_bits[(GPA + SIZE) >> DIRTY_LOG_SHIFT >> 3];
static const struct dirty_log dirty = { .bits = log_bits, .size = sizeof(log_bits) };

static void begin(void)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC), i;

	if (fd < 0 || ftruncate(fd, SIZE) || mem_guard_init(NULL))
		abort();
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	for (i = 0; i < 2; i++) {
		struct guest_region_desc d = {
			.gpa = GPA + (uint64_t)i * SIZE / 2, .size = SIZE / 2,
			.uva = (uint64_t)i * SIZE / 2, .offset = (uint64_t)i * SIZE / 2,
		};

		if (guest_mem_add(&mem, &d, fd, NULL))
			abort();
	}
	close(fd);
}

/* The guest goes on. */
static void step_packed(struct vring *r, uint16_t step)
{
	struct packed_desc *ring = r->packed.desc;
	uint16_t i, at = r->at.take;
	bool lap = r->at.lap;

	for (i = 0; i < step % (r->num + 1); i++) {
		ring[at].tail = (ring[at].tail & ~(AVAIL | USED)) | (lap ? AVAIL : USED);
		at = (uint16_t)((at + 1) % r->num);
		lap = lap != !at;
	}
	if (step >> 15)
		ring[step / 64 % r->num].tail ^= AVAIL | USED;
}

/*
 * Give frames, some of them joined, and again what is left when the ring broke or had
 * no room. Every frame that is settled is counted once.
 */
static void give(struct vring *r, const struct choice *c)
{
	static uint8_t bytes[2048];
	int n = c->frames % FRAMES, train = c->frames / FRAMES % FRAMES, settled, at, i;
	struct frame_join join = { .frames = train, .headers_len = MIN(54u, 16 + c->length * 7u) };
	struct channel_rx res = { 0 };
	struct frame f[FRAMES];

	join.hdr.gso_type = c->length & 1 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
	for (i = 0; i < FRAMES; i++) {
		f[i] = (struct frame){
			.part = { { bytes, 12 }, { bytes, 4 }, { bytes, c->length * 7u } },
			.parts = 3, .len = 16 + c->length * 7u,
		};
		if (train > 1 && i % train == 0 && i + train <= n)
			f[i].join = &join;
	}
	for (at = 0, i = 0; i < 2 && at < n; i++, at += settled) {
		vring_rx(r, f + at, n - at, &res, &settled);
		if (settled < 0 || settled > n - at)
			abort();
	}
	if (res.delivered + res.error + res.full != (uint32_t)at || res.joined > res.delivered)
		abort();
}

static void take(struct vring *r, const struct choice *c)
{
	static uint8_t out[FRAMES][512];
	struct frame_buf buf[FRAMES];
	int n, i;

	for (i = 0; i < FRAMES; i++)
		buf[i] = (struct frame_buf){ .data = out[i], .room = sizeof(out[i]) };
	vring_tx(r, buf, c->frames % FRAMES, &n);
	if (n < 0 || n > c->frames % FRAMES)
		abort();
	for (i = 0; i < n; i++)
		if (buf[i].len > buf[i].room)
			abort();
}

static void run(struct vring *r, const struct choice *c, bool tx)
{
	int k;

	for (k = 0; k < ROUNDS; k++) {
		if (r->features & 1ull << VIRTIO_F_RING_PACKED) {
			step_packed(r, c->step[k]);
		} else {
			uint16_t *idx = &r->split.avail->idx;

			*idx = (uint16_t)(*idx + c->step[k]);
		}
		if (tx)
			take(r, c);
		else
			give(r, c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct choice c;
	struct vring r;
	int tx, i;

	if (!shared)
		begin();
	if (size < sizeof(c))
		return 0;
	memcpy(&c, data, sizeof(c));
	data += sizeof(c);
	size = MIN(size - sizeof(c), SIZE);
	for (tx = 0; tx < 2; tx++) {
		memset(shared, 0, SIZE);
		memcpy(shared, data, size);
		vring_init(&r, &mem);
		for (i = 0; i < 8; i++)
			if (c.features & 1 << i)
				r.features |= feature_of[i];
		r.num = 1u << c.num % 7;
		r.base = c.base;
		r.desc_uva = 0;
		r.avail_uva = 1024;
		r.used_uva = 1280;
		r.used_gpa = GPA + 1280;
		r.log = c.features & 0x40 ? &dirty : NULL;
		r.log_used = true;
		vring_set_enabled(&r, true);
		/* Packed rings do not start where their place cannot be told. */
		if (!vring_start(&r, NULL))
			run(&r, &c, tx);
		else if (!(r.features & 1ull << VIRTIO_F_RING_PACKED))
			abort();
		vring_destroy(&r);
	}
	return 0;
}
