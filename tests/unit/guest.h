/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h - the other side of a vring: memory and driver of a scripted guest
 *
 * The guest's memory is one memfd, told to the device as two regions that lie
 * side by side in the guest and in the front end, so that buffers can cross from
 * one into the other. All three addresses of a byte are different on purpose.
 *
 * The driver knows both layouts. A packed ring lies where the table of a split one
 * would, and its event areas where the two rings would.
 */
#ifndef VMQ_TEST_GUEST_H
#define VMQ_TEST_GUEST_H

#include <stdbool.h>
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

#define DRIVER_SLOTS	512	/* of the longest packed ring */

struct driver {
	struct guest *g;
	uint32_t num;
	uint32_t at;		/* offset of the ring in memory */
	struct ring_desc *desc;
	struct ring_avail *avail;
	struct ring_used *used;
	uint16_t next;		/* descriptor to use next */
	uint16_t seen;		/* used entries looked at; packed: slots */

	/* Packed. */
	bool	 packed;
	bool	 open;		/* the last descriptor has a next one */
	struct packed_desc *slot;
	uint32_t *driver, *device;	/* event areas */
	uint16_t id;		/* of the chain that is written */
	uint16_t slots[DRIVER_SLOTS];	/* of each chain, by id */
	struct ring_used_elem elem;
};

#define PACKED_AVAIL	(1u << 7)
#define PACKED_USED	(1u << 15)
#define PACKED_EVENT_NONE	(1u << 16)
#define PACKED_EVENT_AT		(2u << 16)
#define PACKED_LAP	(1u << 15)

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

/* The lap in which the driver comes to descriptor @n of all it ever writes. */
static inline bool driver_lap(const struct driver *d, uint16_t n)
{
	return !(n / d->num % 2);
}

/* Likewise a packed ring, which has been used for @base descriptors before. */
static inline void driver_open_packed(struct driver *d, struct guest *g, uint32_t num, uint32_t at,
				      uint16_t base)
{
	uint32_t i;

	if (num > DRIVER_SLOTS)
		abort();
	driver_open(d, g, num, at);
	d->packed = true;
	d->slot = (void *)d->desc;
	d->driver = (void *)d->avail;
	d->device = (void *)d->used;
	d->next = d->seen = base;
	for (i = 0; i < num; i++) {
		bool lap = driver_lap(d, base) == (i < base % num);

		d->slot[i].tail = lap ? (uint64_t)(PACKED_AVAIL | PACKED_USED) << 48 : 0;
	}
}

static inline void packed_write(struct packed_desc *d, uint64_t addr, uint32_t len, uint16_t id,
				uint32_t flags)
{
	d->addr = addr;
	__atomic_store_n(&d->tail, (uint64_t)flags << 48 | (uint64_t)id << 32 | len,
			 __ATOMIC_SEQ_CST);
}

/* Make the next slot available. The device must not look before the chain is whole. */
static inline uint16_t driver_desc_packed(struct driver *d, uint64_t gpa, uint32_t len,
					  uint16_t flags)
{
	uint16_t i = d->next % (uint16_t)d->num;

	if (!d->open) {
		d->id = i;
		d->slots[i] = 0;
	}
	d->open = flags & RING_DESC_NEXT;
	d->slots[d->id]++;
	packed_write(&d->slot[i], gpa, len, d->id,
		     flags | (driver_lap(d, d->next) ? PACKED_AVAIL : PACKED_USED));
	d->next++;
	return d->id;
}

/* Fill in the next descriptor. Return: its number; packed: the id of its chain. */
static inline uint16_t driver_desc(struct driver *d, uint64_t gpa, uint32_t len, uint16_t flags)
{
	uint16_t i;

	if (d->packed)
		return driver_desc_packed(d, gpa, len, flags);
	i = d->next++ % (uint16_t)d->num;
	d->desc[i] = (struct ring_desc){ gpa, len, flags, d->next % (uint16_t)d->num };
	return i;
}

static inline void driver_offer(struct driver *d, uint16_t head)
{
	uint16_t idx = d->avail->idx;

	if (d->packed)
		return;		/* available as it is written */
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
	uint64_t tail;
	uint32_t want;

	if (!d->packed) {
		if (__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) == d->seen)
			return NULL;
		return &d->used->ring[d->seen++ % d->num];
	}
	tail = __atomic_load_n(&d->slot[d->seen % d->num].tail, __ATOMIC_ACQUIRE);
	want = driver_lap(d, d->seen) ? PACKED_AVAIL | PACKED_USED : 0;
	if (d->seen == d->next || (tail >> 48 & (PACKED_AVAIL | PACKED_USED)) != want)
		return NULL;
	d->elem = (struct ring_used_elem){ .id = (uint16_t)(tail >> 32), .len = (uint32_t)tail };
	d->seen = (uint16_t)(d->seen + d->slots[d->elem.id % DRIVER_SLOTS]);
	return &d->elem;
}

/* Chains that have come back and were not looked at; they stay so. */
static inline int driver_back(const struct driver *d)
{
	struct driver copy = *d;
	int n = 0;

	while (driver_used_next(&copy))
		n++;
	return n;
}

/* Look at all that have come back. Return: they are all that were ever made available. */
static inline bool driver_all_back(struct driver *d)
{
	while (driver_used_next(d))
		;
	return d->packed ? d->seen == d->next : d->seen == d->avail->idx;
}

/* Does the device want kicks? Without the event index. */
static inline bool driver_may_kick(const struct driver *d)
{
	return d->packed ? *d->device != PACKED_EVENT_NONE :
			   !(d->used->flags & RING_USED_NO_NOTIFY);
}

static inline void driver_no_interrupts(struct driver *d)
{
	if (d->packed)
		*d->driver = PACKED_EVENT_NONE;
	else
		d->avail->flags = RING_AVAIL_NO_INTERRUPT;
}

/* With the event index: be interrupted when used entry (packed: slot) @n is written. */
static inline void driver_set_event(struct driver *d, uint16_t n)
{
	if (d->packed)
		*d->driver = PACKED_EVENT_AT | n % d->num | (driver_lap(d, n) ? PACKED_LAP : 0);
	else
		d->avail->ring[d->num] = n;
}

/* With the event index: is a kick wanted for available entry (packed: slot) @n? */
static inline bool driver_is_event(const struct driver *d, uint16_t n)
{
	uint16_t event;

	if (d->packed)
		return *d->device == (PACKED_EVENT_AT | n % d->num |
				      (driver_lap(d, n) ? PACKED_LAP : 0));
	memcpy(&event, &d->used->ring[d->num], sizeof(event));
	return event == n;
}

/* Descriptor @i of an indirect table at offset @at of memory; @more of them follow. */
static inline void driver_table(const struct driver *d, uint32_t at, uint32_t i, uint32_t offset,
				uint32_t len, bool more)
{
	if (d->packed)
		packed_write((struct packed_desc *)(void *)(d->g->mem + at) + i,
			     GUEST_GPA + offset, len, 0xffff, 0);
	else
		((struct ring_desc *)(void *)(d->g->mem + at))[i] = (struct ring_desc){
			GUEST_GPA + offset, len, more ? RING_DESC_NEXT : 0, (uint16_t)(i + 1),
		};
}

#endif /* VMQ_TEST_GUEST_H */
