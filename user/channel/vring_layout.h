/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vring_layout.h - what vring.c and the layouts of rings share
 *
 * A ring hands out *chains* of buffers and takes them back. How chains lie in guest
 * memory, how the guest learns that one was used up, and how both sides tell each
 * other when to kick and when to interrupt is the business of a layout, here as a
 * table of functions. What is in the buffers is vring.c's.
 *
 * A chain is copied and checked as a whole when it is taken, so nothing behind this
 * interface reads a descriptor. Two calls for a frame were measured to cost nothing.
 *
 * All functions but resolve() run inside mem_guard(). They return -EPROTO after
 * vring_break().
 */
#ifndef VMQ_VRING_LAYOUT_H
#define VMQ_VRING_LAYOUT_H

#include <endian.h>

#include "channel/vring.h"
#include "common/util.h"

#define CHAIN_MAX	256	/* buffers of a chain; DPDK's limit too */

struct chain_buf {
	uint64_t gpa;
	uint32_t len;		/* not 0 */
};

struct chain {
	uint16_t id;		/* what the guest knows it by */
	bool	 write;		/* its buffers must be the device's to write */
	bool	 lap;		/* packed: in which it begins */
	uint16_t slot;		/* packed: where */
	uint16_t slots;		/* entries of the ring that it keeps from others */
	uint32_t at;		/* buffers before this one have been worked through */
	uint32_t n;
	struct chain_buf buf[CHAIN_MAX];	/* buf[at]: what is left of it */
};

struct vring_layout {
	uint32_t fresh;		/* the base of a ring that was never used */

	/* Find the ring in the guest's memory. 0, or -EINVAL with a sentence. */
	int (*resolve)(struct vring *r, struct vmq_err *err);

	/* Find out where to begin, and ask the guest to kick. 0 or -EPROTO. */
	int (*start)(struct vring *r);

	/* Where a successor has to begin; all that was taken is published. */
	uint32_t (*base)(const struct vring *r);

	/*
	 * Take the next chain, of which only @c->write is set. Return: 1; 0: there
	 * is none, and the guest was asked to kick for one; -EPROTO.
	 */
	int (*take)(struct vring *r, struct chain *c);

	/*
	 * It is used up, @len bytes of it written. In the order in which they were
	 * taken. @more: another follows, and the guest must not see one without the other.
	 */
	void (*put)(struct vring *r, const struct chain *c, uint32_t len, bool more);

	/* Let the guest see what was put. Return: it is to be interrupted. */
	bool (*publish)(struct vring *r);
};

extern const struct vring_layout vring_split_layout, vring_packed_layout;

/* Guest memory is little-endian; one load each, never repeated. */
#define ring_load16(p)		le16toh(load_relaxed(p))
#define ring_load32(p)		le32toh(load_relaxed(p))
#define ring_load64(p)		le64toh(load_relaxed(p))
#define ring_store16(p, v)	store_relaxed(p, htole16(v))

#define HAS(r, bit)		((r)->features & (UINT64_C(1) << (bit)))

/* Keep the reason why the ring cannot go on. Return: -EPROTO. */
int vring_break(struct vring *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- what a layout makes a chain of ------------------------------------------- */

static inline void chain_begin(struct chain *c, uint16_t id)
{
	c->id = id;
	c->slots = 1;
	c->at = c->n = 0;
}

/* A buffer behind the others. 0 or -EPROTO. */
static inline int chain_add(struct vring *r, struct chain *c, uint64_t gpa, uint32_t len,
			    uint16_t flags)
{
	if (!!(flags & RING_DESC_WRITE) != c->write)
		return vring_break(r, "a buffer for %s in the %s ring",
				   c->write ? "reading" : "writing",
				   c->write ? "receive" : "transmit");
	/* QEMU refuses it too; so every buffer moves a byte. */
	if (!len)
		return vring_break(r, "a buffer without a byte");
	if (c->n == CHAIN_MAX)
		return vring_break(r, "a chain of more than %d buffers", CHAIN_MAX);
	c->buf[c->n++] = (struct chain_buf){ gpa, len };
	return 0;
}

/*
 * A descriptor tells of an indirect table of @len bytes. Return: how many
 * descriptors it has, or -EPROTO.
 */
int chain_table_size(struct vring *r, uint32_t len, uint16_t flags);

/* Read-once copy of the 16 bytes of descriptor @i of a table at @gpa. 0 or -EPROTO. */
int chain_table_fetch(struct vring *r, uint64_t gpa, uint32_t i, void *desc);

#endif /* VMQ_VRING_LAYOUT_H */
