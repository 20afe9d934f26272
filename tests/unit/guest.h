/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h - the other side of a vring: memory and driver of a scripted guest
 *
 * The guest's memory is one memfd, told to the device as two regions that lie
 * side by side in the guest and in the front end, so that buffers can cross from
 * one into the other. All three addresses of a byte are different on purpose.
 */
#ifndef VMQ_TEST_GUEST_H
#define VMQ_TEST_GUEST_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel/guest_mem.h"
#include "channel/vring.h"

#define GUEST_HALF	0x80000u		/* bytes of a region */
#define GUEST_SIZE	(2 * GUEST_HALF)
#define GUEST_GPA	0x40000000ull
#define GUEST_UVA	0x7e0000000000ull

struct guest {
	int	 fd;
	uint8_t *mem;		/* the test's own mapping */
};

struct driver {
	struct guest *g;
	uint32_t num;
	uint32_t at;		/* offset of the ring in memory */
	struct ring_desc *desc;
	struct ring_avail *avail;
	struct ring_used *used;
	uint16_t next;		/* descriptor to use next */
	uint16_t seen;		/* used entries looked at */
};

static inline void guest_open(struct guest *g)
{
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	if (g->fd < 0 || ftruncate(g->fd, GUEST_SIZE) < 0)
		abort();
	g->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (g->mem == MAP_FAILED)
		abort();
}

static inline void guest_close(struct guest *g)
{
	munmap(g->mem, GUEST_SIZE);
	close(g->fd);
}

static inline struct guest_region_desc guest_region(int half)
{
	return (struct guest_region_desc){
		.gpa = GUEST_GPA + (uint64_t)half * GUEST_HALF,
		.size = GUEST_HALF,
		.uva = GUEST_UVA + (uint64_t)half * GUEST_HALF,
		.offset = (uint64_t)half * GUEST_HALF,
	};
}

/* Parts of a ring of @num entries at offset @at: 8 KiB suffice for 256. */
static inline uint32_t driver_avail(uint32_t num, uint32_t at)
{
	return at + 16 * num;
}

static inline uint32_t driver_used(uint32_t num, uint32_t at)
{
	return (driver_avail(num, at) + 6 + 2 * num + 3) & ~3u;
}

static inline void driver_open(struct driver *d, struct guest *g, uint32_t num, uint32_t at)
{
	memset(d, 0, sizeof(*d));
	d->g = g;
	d->num = num;
	d->at = at;
	d->desc = (void *)(g->mem + at);
	d->avail = (void *)(g->mem + driver_avail(num, at));
	d->used = (void *)(g->mem + driver_used(num, at));
	memset(g->mem + at, 0, driver_used(num, at) + 6 + 8 * num - at);
}

/* Fill in the next descriptor. Return: its number. */
static inline uint16_t driver_desc(struct driver *d, uint64_t gpa, uint32_t len, uint16_t flags)
{
	uint16_t i = d->next++ % (uint16_t)d->num;

	d->desc[i] = (struct ring_desc){ gpa, len, flags, d->next % (uint16_t)d->num };
	return i;
}

static inline void driver_offer(struct driver *d, uint16_t head)
{
	uint16_t idx = d->avail->idx;

	d->avail->ring[idx % d->num] = head;
	__atomic_store_n(&d->avail->idx, (uint16_t)(idx + 1), __ATOMIC_SEQ_CST);
}

/* One buffer in one descriptor, at an offset of the guest's memory. */
static inline uint16_t driver_give(struct driver *d, uint32_t offset, uint32_t len, uint16_t flags)
{
	uint16_t head = driver_desc(d, GUEST_GPA + offset, len, flags);

	driver_offer(d, head);
	return head;
}

/* The next used entry, or NULL. */
static inline struct ring_used_elem *driver_used_next(struct driver *d)
{
	if (__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->seen)
		return NULL;
	return &d->used->ring[d->seen++ % d->num];
}

static inline uint16_t *driver_used_event(struct driver *d)
{
	return &d->avail->ring[d->num];
}

static inline uint16_t driver_avail_event(struct driver *d)
{
	uint16_t event;

	memcpy(&event, &d->used->ring[d->num], sizeof(event));
	return event;
}

#endif /* VMQ_TEST_GUEST_H */
