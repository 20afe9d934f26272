// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring_split.c - the split layout of a virtqueue (virtio 1.2, 2.7)
 *
 * Three areas: a table of descriptors, the *available* ring, in which the guest
 * writes which chains it has made, and the *used* ring, in which we write them back.
 * Both rings have an index that counts all entries ever written. So one store
 * publishes a whole batch, and what the guest has not been told yet lies in the used
 * ring behind the index, where it is overwritten if the device goes back.
 *
 * A chain can be a loop. A direct chain has at most as many descriptors as the
 * ring has entries (2.7.5.2); an indirect table is walked at most as far as it is
 * long.
 */
#include <errno.h>

#include "channel/vring_layout.h"

static int split_resolve(struct vring *r, struct vmq_err *err)
{
	/* One entry more than there are: the event index behind either ring. */
	uint8_t *desc = guest_mem_uva(r->mem, r->desc_uva, 16ull * r->num, NULL);
	uint8_t *avail = guest_mem_uva(r->mem, r->avail_uva, 4 + 2ull * r->num + 2, NULL);
	uint8_t *used = guest_mem_uva(r->mem, r->used_uva, 4 + 8ull * r->num + 2, NULL);

	if (r->num & (r->num - 1))
		return vmq_err(err, -EINVAL, "its %u entries are no power of two", r->num);
	if (!desc || !avail || !used)
		return vmq_err(err, -EINVAL, "its %s ring of %u entries at %#llx is not in the "
			       "guest's memory",
			       !desc ? "descriptor" : !avail ? "available" : "used", r->num,
			       (unsigned long long)(!desc ? r->desc_uva :
						    !avail ? r->avail_uva : r->used_uva));
	if ((uintptr_t)desc & 15 || (uintptr_t)avail & 1 || (uintptr_t)used & 3)
		return vmq_err(err, -EINVAL, "it is not aligned");
	r->split.desc = (struct ring_desc *)(void *)desc;
	r->split.avail = (struct ring_avail *)(void *)avail;
	r->split.used = (struct ring_used *)(void *)used;
	return 0;
}

static void split_log(const struct vring *r, uint64_t offset, uint64_t len)
{
	if (r->log && r->log_used)
		dirty_log_mark(r->log, r->used_gpa + offset, len);
}

/* Ask the guest to kick for its next buffer, or not to. */
static void split_notify(struct vring *r, bool on)
{
	if (HAS(r, RING_F_EVENT_IDX)) {
		/* An index left behind asks for nothing: only "on" must be written. */
		if (on) {
			uint16_t *event = (uint16_t *)(void *)&r->split.used->ring[r->num];

			ring_store16(event, r->split.avail_idx);
			split_log(r, 4 + 8ull * r->num, 2);
		}
	} else if (r->notify != on) {
		ring_store16(&r->split.used->flags, on ? 0 : RING_USED_NO_NOTIFY);
		split_log(r, 0, 2);
	}
	r->notify = on;
}

/*
 * Chains are used up in their order, so the used index is where we, or whoever served
 * the ring before, ended. Front ends that know no more than the ring itself say other
 * things: Cloud Hypervisor the available index, behind which all buffers that the guest
 * has given would never be used. Only a used index that cannot be one, because a driver
 * has not cleared the memory of a new ring, is worth less than what is said.
 */
static uint16_t split_begin(const struct vring *r)
{
	uint16_t used = ring_load16(&r->split.used->idx);
	uint16_t avail = ring_load16(&r->split.avail->idx);

	return (uint16_t)(avail - used) <= r->num ? used : (uint16_t)r->base;
}

static int split_start(struct vring *r)
{
	r->at.take = r->split.avail_idx = r->split.used_idx = split_begin(r);
	r->split.signalled = false;
	split_notify(r, true);
	return 0;
}

static uint32_t split_base(const struct vring *r)
{
	return r->at.take;
}

/* ---- from the guest ----------------------------------------------------------- */

/* Entries that can be taken; -EPROTO if the index is beyond what the ring holds. */
static int split_available(struct vring *r)
{
	uint16_t idx, n = (uint16_t)(r->split.avail_idx - r->at.take);

	if (n)
		return n;
	idx = le16toh(load_acquire(&r->split.avail->idx));
	n = (uint16_t)(idx - r->at.take);
	if (n > r->num)
		return vring_break(r, "available index %u is %u entries ahead in a ring of %u",
				   idx, n, r->num);
	r->split.avail_idx = idx;
	return n;
}

/*
 * Nothing is left: ask for a kick, then look once more, because a guest that
 * added buffers in between did not see the question.
 */
static int split_available_or_notify(struct vring *r)
{
	int n = split_available(r);

	if (n)
		return n;
	split_notify(r, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return split_available(r);
}

static void split_fetch(const struct vring *r, uint32_t i, struct ring_desc *d)
{
	const struct ring_desc *from = &r->split.desc[i];

	d->addr = ring_load64(&from->addr);
	d->len = ring_load32(&from->len);
	d->flags = ring_load16(&from->flags);
	d->next = ring_load16(&from->next);
}

static int split_fetch_indirect(struct vring *r, uint64_t table, uint32_t i,
				struct ring_desc *d)
{
	int rc = chain_table_fetch(r, table, i, d);

	d->addr = le64toh(d->addr);
	d->len = le32toh(d->len);
	d->flags = le16toh(d->flags);
	d->next = le16toh(d->next);
	return rc;
}

/*
 * Add descriptors that are linked by `next` from @i on, in the ring or (@table_n is
 * not 0) in the indirect table at @table. Return: 1, or -EPROTO.
 */
static int split_walk(struct vring *r, struct chain *c, uint32_t i, uint64_t table,
		      uint32_t table_n)
{
	uint32_t n = table_n ? table_n : r->num, left = n;
	struct ring_desc d;
	int rc;

	for (;;) {
		if (!left--)
			return vring_break(r, "a chain of descriptors is a loop");
		if (!table_n)
			split_fetch(r, i, &d);
		else if (split_fetch_indirect(r, table, i, &d))
			return -EPROTO;
		if (d.flags & RING_DESC_INDIRECT) {
			if (table_n)
				return vring_break(r, "an indirect descriptor inside an indirect "
						   "table");
			rc = chain_table_size(r, d.len, d.flags);
			return rc < 0 ? rc : split_walk(r, c, 0, d.addr, (uint32_t)rc);
		}
		rc = chain_add(r, c, d.addr, d.len, d.flags);
		if (rc)
			return rc;
		if (!(d.flags & RING_DESC_NEXT))
			return 1;
		if (d.next >= n)
			return vring_break(r, "descriptor %u does not exist", d.next);
		i = d.next;
		if (!table_n)
			c->slots++;
	}
}

static int split_take(struct vring *r, struct chain *c)
{
	uint16_t head;
	int n;

	n = split_available_or_notify(r);
	if (n <= 0)
		return n;
	split_notify(r, false);
	head = ring_load16(&r->split.avail->ring[r->at.take & (r->num - 1)]);
	if (head >= r->num)
		return vring_break(r, "descriptor %u does not exist", head);
	r->at.take++;
	chain_begin(c, head);
	return split_walk(r, c, head, 0, 0);
}

/* ---- to the guest -------------------------------------------------------------- */

static void split_put(struct vring *r, const struct chain *c, uint32_t len, bool more)
{
	uint16_t slot = (uint16_t)(r->split.used_idx + r->at.done) & (uint16_t)(r->num - 1);
	struct ring_used_elem *e = &r->split.used->ring[slot];

	(void)more;	/* one store publishes all that was put */
	store_relaxed(&e->id, htole32((uint32_t)c->id));
	store_relaxed(&e->len, htole32(len));
	split_log(r, 4 + 8ull * slot, 8);
	r->at.done++;
}

static bool split_wants_interrupt(const struct vring *r, uint16_t old)
{
	uint16_t event;

	/* The guest reads our index after it wrote its wish, and we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!HAS(r, RING_F_EVENT_IDX))
		return !(ring_load16(&r->split.avail->flags) & RING_AVAIL_NO_INTERRUPT);
	event = ring_load16(&r->split.avail->ring[r->num]);
	if (!r->split.signalled)
		return true;
	return (uint16_t)(r->split.used_idx - event - 1) < (uint16_t)(r->split.used_idx - old);
}

/*
 * Is the entry that the guest waits for among those that were published now? What
 * was published since the last interrupt is no measure: after 65,536 entries, which
 * a guest that polls takes without one, that wraps, and misses the entry.
 */
static bool split_publish(struct vring *r)
{
	uint16_t old = r->split.used_idx;

	if (!r->at.done)
		return false;
	r->split.used_idx = (uint16_t)(old + r->at.done);
	r->at.done = 0;
	store_release(&r->split.used->idx, htole16(r->split.used_idx));
	split_log(r, 2, 2);
	if (!split_wants_interrupt(r, old))
		return false;
	r->split.signalled = true;
	return true;
}

const struct vring_layout vring_split_layout = {
	.resolve = split_resolve,
	.start = split_start,
	.base = split_base,
	.take = split_take,
	.put = split_put,
	.publish = split_publish,
};
