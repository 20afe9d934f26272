// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring_packed.c - the packed layout of a virtqueue (virtio 1.2, 2.8)
 *
 * DOC: Theory of operation
 *
 * One ring of descriptors that both sides write: the guest makes a descriptor
 * available by its flags, and the device overwrites the first one of a chain to say
 * that the chain, known by its buffer id, was used up. Two of the flags, AVAIL and
 * USED, are worth what the writer's *lap* is worth, 1 in the first round through the
 * ring, 0 in the second, and so on: the guest writes AVAIL = lap, USED = !lap, the
 * device AVAIL = USED = lap.
 *
 * Chains are consecutive descriptors. How many there are tells only a walk to the
 * last one, which has the id, too.
 *
 * Length, id and flags of a descriptor are eight aligned bytes, read and written at
 * once. So a chain is given back by one store, and what a killed service had not
 * given back is in the ring as the guest made it. Because a descriptor serves both
 * ways, what is given back is kept aside (`done`) until it is published: the device may
 * have to go back. Frames in several chains are published last chain first: the
 * guest, which looks at the first one, sees all of a frame or nothing.
 *
 * Where to begin. A front end that lost its back end (QEMU, a service that was
 * killed) does not know how far that one was; it says again what it said before. A
 * split ring has an index in memory. Here the USED flags tell: the guest writes !lap
 * and the device lap, both in order, so all slots before the device's place have one
 * value and all the others its opposite. For this the device marks all slots of
 * a chain that it gives back, not just the first. The place is unique, and a guest
 * that goes on meanwhile does not change a USED flag. If the flags change more than once, the
 * ring was served by somebody who leaves slots unmarked, or its service was
 * killed within the few stores of a frame in several chains: it cannot be taken over.
 */
#include <errno.h>

#include "channel/vring_layout.h"

/* Flags of a descriptor, beside NEXT, WRITE and INDIRECT. */
#define DESC_AVAIL		(1u << 7)
#define DESC_USED		(1u << 15)

/* What is wanted, in an area for events: slot and lap in the lower half, flags above. */
#define EVENT_ALL		(0u << 16)
#define EVENT_NONE		(1u << 16)
#define EVENT_AT		(2u << 16)
#define EVENT_FLAGS		(3u << 16)
#define EVENT_LAP		(1u << 15)

#define BASE_LAP		(1u << 15)	/* in the base; the used index is the upper half */

/* The second half of a descriptor: len, id, flags from the least significant bit on. */
#define tail_len(t)		((uint32_t)(t))
#define tail_id(t)		((uint16_t)((t) >> 32))
#define tail_flags(t)		((uint16_t)((t) >> 48))
#define tail(len, id, flags)	((uint64_t)(flags) << 48 | (uint64_t)(id) << 32 | (len))

static int packed_resolve(struct vring *r, struct vmq_err *err)
{
	struct vring_packed *p = &r->packed;
	uint8_t *desc = guest_mem_uva(r->mem, r->desc_uva, (uint64_t)r->num * 16, &p->desc_gpa);
	uint8_t *driver = guest_mem_uva(r->mem, r->avail_uva, 4, NULL);
	uint8_t *device = guest_mem_uva(r->mem, r->used_uva, 4, &p->device_gpa);

	if (!desc || !driver || !device)
		return vmq_err(err, -EINVAL, "%s of its %u entries at %#llx is not in the guest's "
			       "memory", !desc ? "the descriptor ring" :
			       !driver ? "the driver's event area" : "the device's event area",
			       r->num, (unsigned long long)(!desc ? r->desc_uva :
							    !driver ? r->avail_uva : r->used_uva));
	if ((uintptr_t)desc & 15 || (uintptr_t)driver & 3 || (uintptr_t)device & 3)
		return vmq_err(err, -EINVAL, "it is not aligned");
	p->desc = (struct packed_desc *)(void *)desc;
	p->driver = (uint32_t *)(void *)driver;
	p->device = (uint32_t *)(void *)device;
	return 0;
}

/*
 * log_guest_addr is that of the device's event area (QEMU: used_phys); the ring lies
 * elsewhere, so both are logged where the memory table says that they are.
 */
static void packed_log(const struct vring *r, uint64_t gpa, uint64_t len)
{
	if (r->log && r->log_used)
		dirty_log_mark(r->log, gpa, len);
}

static void packed_log_slots(const struct vring *r, uint32_t slot, uint32_t n)
{
	uint32_t here = MIN(n, r->num - slot);

	packed_log(r, r->packed.desc_gpa + 16ull * slot, 16ull * here);
	packed_log(r, r->packed.desc_gpa, 16ull * (n - here));
}

/* @n slots on: the other lap begins behind the last. */
static void packed_advance(const struct vring *r, uint16_t *slot, bool *lap, uint32_t n)
{
	uint32_t to = *slot + n;

	if (to >= r->num) {
		to -= r->num;
		*lap = !*lap;
	}
	*slot = (uint16_t)to;
}

/* Ask the guest to kick for its next buffer, or not to. */
static void packed_notify(struct vring *r, bool on)
{
	uint32_t want = on ? EVENT_ALL : EVENT_NONE;

	if (HAS(r, RING_F_EVENT_IDX)) {
		/* A place left behind asks for nothing: only "on" must be written. */
		r->notify = on;
		if (!on)
			return;
		want = EVENT_AT | (r->at.lap ? EVENT_LAP : 0) | r->at.take;
	} else if (r->notify == on) {
		return;
	}
	r->notify = on;
	store_relaxed(r->packed.device, htole32(want));
	packed_log(r, r->packed.device_gpa, 4);
}

/* Where the USED flags change. 0 or -EPROTO. */
static int packed_find(struct vring *r)
{
	uint32_t i, changes = 0, at = 0;
	bool first = false, before = false;

	for (i = 0; i < r->num; i++) {
		bool used = tail_flags(ring_load64(&r->packed.desc[i].tail)) & DESC_USED;

		if (!i) {
			first = used;
		} else if (used != before) {
			changes++;
			at = i;
		}
		before = used;
	}
	if (changes > 1)
		return vring_break(r, "a packed ring that does not say how far it was served; reset "
				   "the guest's device (reboot it)");
	r->at.take = (uint16_t)at;
	r->at.lap = changes ? first : !first;
	return 0;
}

static uint32_t packed_base(const struct vring *r)
{
	uint32_t at = r->at.take | (r->at.lap ? BASE_LAP : 0);

	return at << 16 | at;
}

static int packed_start(struct vring *r)
{
	int rc = packed_find(r);

	if (rc)
		return rc;
	/* Written whatever the guest was asked before. */
	r->notify = false;
	packed_notify(r, true);
	return 0;
}

/* ---- from the guest ----------------------------------------------------------- */

static bool packed_is_available(uint16_t flags, bool lap)
{
	return !!(flags & DESC_AVAIL) == lap && !!(flags & DESC_USED) != lap;
}

/*
 * Is there a chain? @tail: out: of its first descriptor. With the whole ring taken
 * and nothing of it published a guest can only pretend to have more.
 */
static bool packed_look(const struct vring *r, uint64_t *tail)
{
	if (r->at.taken == r->num)
		return false;
	*tail = le64toh(load_acquire(&r->packed.desc[r->at.take].tail));
	return packed_is_available(tail_flags(*tail), r->at.lap);
}

/*
 * Descriptors of an indirect table follow one another, and only WRITE means
 * something there (2.8.7). Not even that in a transmit ring: DPDK's driver (22.11) says
 * it of the header, which it wants to be read. Return: 0 or -EPROTO.
 */
static int packed_walk_table(struct vring *r, struct chain *c, uint64_t table, uint32_t len,
			     uint16_t flags)
{
	int n = chain_table_size(r, len, flags), i, rc = 0;
	struct packed_desc d;

	if (n < 0)
		return n;
	for (i = 0; !rc && i < n; i++) {
		uint64_t t;

		rc = chain_table_fetch(r, table, (uint32_t)i, &d);
		if (rc)
			break;
		t = le64toh(d.tail);
		if (tail_flags(t) & RING_DESC_INDIRECT)
			return vring_break(r, "an indirect descriptor inside an indirect table");
		rc = chain_add(r, c, le64toh(d.addr), tail_len(t), c->write ? tail_flags(t) : 0);
	}
	return rc;
}

static int packed_take(struct vring *r, struct chain *c)
{
	uint16_t slot = r->at.take;
	bool lap = r->at.lap;
	uint64_t t;
	int rc;

	if (!packed_look(r, &t)) {
		/* As in a split ring: ask, then look once more. */
		packed_notify(r, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!packed_look(r, &t))
			return 0;
	}
	packed_notify(r, false);
	chain_begin(c, 0);
	c->slot = slot;
	c->lap = lap;
	for (c->slots = 1;; c->slots++) {
		uint64_t addr = ring_load64(&r->packed.desc[slot].addr);
		uint16_t flags = tail_flags(t);

		if (flags & RING_DESC_INDIRECT)
			rc = packed_walk_table(r, c, addr, tail_len(t), flags);
		else
			rc = chain_add(r, c, addr, tail_len(t), flags);
		if (rc)
			return rc;
		packed_advance(r, &slot, &lap, 1);
		if (!(flags & RING_DESC_NEXT))
			break;
		if (r->at.taken + c->slots == r->num)
			return vring_break(r, "a chain of descriptors is longer than the ring");
		t = ring_load64(&r->packed.desc[slot].tail);
		if (!packed_is_available(tail_flags(t), lap))
			return vring_break(r, "descriptor %u of a chain is not available", slot);
	}
	c->id = tail_id(t);
	r->at.take = slot;
	r->at.lap = lap;
	r->at.taken = (uint16_t)(r->at.taken + c->slots);
	return 1;
}

/* ---- to the guest -------------------------------------------------------------- */

static void packed_put(struct vring *r, const struct chain *c, uint32_t len, bool more)
{
	r->packed.done[r->at.done++] = (struct packed_done){
		.len = len, .id = c->id, .slot = c->slot, .slots = c->slots, .lap = c->lap,
		.write = c->write, .more = more,
	};
}

static void packed_store(struct vring *r, const struct packed_done *d)
{
	uint16_t flags = (uint16_t)(d->lap ? DESC_AVAIL | DESC_USED : 0), slot = d->slot, i;
	bool lap = d->lap;

	/* Nobody reads these: they are for packed_find(). */
	for (i = 1; i < d->slots; i++) {
		packed_advance(r, &slot, &lap, 1);
		store_relaxed(&r->packed.desc[slot].tail,
			      htole64(tail(0, d->id, lap ? DESC_AVAIL | DESC_USED : 0)));
	}
	if (d->write)
		flags |= RING_DESC_WRITE;
	store_release(&r->packed.desc[d->slot].tail, htole64(tail(d->len, d->id, flags)));
}

/* A place in the ring on a circle of two laps. */
static uint32_t packed_place(const struct vring *r, uint32_t slot, bool lap)
{
	return lap ? slot : slot + r->num;
}

/* Published from @old on: does the guest want an interrupt? */
static bool packed_wants_interrupt(const struct vring *r, uint32_t old)
{
	uint32_t circle = 2 * r->num, new = packed_place(r, r->at.take, r->at.lap), event, at;

	/* The guest reads our flags after it wrote its wish, and we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = ring_load32(r->packed.driver);
	if ((event & EVENT_FLAGS) == EVENT_NONE)
		return false;
	if ((event & EVENT_FLAGS) != EVENT_AT || !HAS(r, RING_F_EVENT_IDX))
		return true;
	at = packed_place(r, event & (EVENT_LAP - 1), event & EVENT_LAP);
	return (at + circle - old) % circle < (new + circle - old) % circle;
}

static bool packed_publish(struct vring *r)
{
	const struct packed_done *done = r->packed.done;
	uint32_t i, k, end, old;

	if (!r->at.done)
		return false;
	for (i = 0; i < r->at.done; i = end) {
		end = i + 1;
		while (done[end - 1].more)
			end++;
		for (k = end; k > i; k--)
			packed_store(r, &done[k - 1]);
	}
	packed_log_slots(r, done[0].slot, r->at.taken);
	old = packed_place(r, done[0].slot, done[0].lap);
	r->at.done = r->at.taken = 0;
	return packed_wants_interrupt(r, old);
}

const struct vring_layout vring_packed_layout = {
	.fresh = BASE_LAP << 16 | BASE_LAP,
	.resolve = packed_resolve,
	.start = packed_start,
	.base = packed_base,
	.take = packed_take,
	.put = packed_put,
	.publish = packed_publish,
};
