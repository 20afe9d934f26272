/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vring.h - one virtqueue, seen from the device
 *
 * A ring lives in guest memory and both sides work on it at the same time. The
 * guest is not trusted: what it wrote is read once into private memory and
 * checked there. A ring that breaks the rules becomes *broken*, with a reason,
 * and is not touched again until it is started anew.
 *
 * vring_rx() and vring_tx() take the ring's lock for one batch; all other
 * functions want it held (vring_lock()). The lock is what keeps messages - a new
 * memory table, a stop - away from a batch under way: after vring_stop() has
 * returned and the lock is released, the ring and its buffers are not touched.
 */
#ifndef VMQ_VRING_H
#define VMQ_VRING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "channel/cut.h"
#include "channel/dirty_log.h"
#include "channel/guest_mem.h"

/*
 * The split layout in guest memory (virtio 1.2, 2.7), little-endian.
 * linux/virtio_ring.h has it too, but takes the name "vring" for the driver's side.
 */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct ring_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];	/* behind the last: the used index to interrupt at */
};

struct ring_used_elem {
	uint32_t id;
	uint32_t len;
};

struct ring_used {
	uint16_t flags;
	uint16_t idx;
	struct ring_used_elem ring[];	/* behind the last: when to kick */
};

/*
 * The packed one (2.8): slots like this, and an area of 32 bits for the events of
 * either side. Its fields behind the address are one word here, because they are read
 * and written at once: length (32 bits), id (16), flags (16).
 */
struct packed_desc {
	uint64_t addr;
	uint64_t tail;
};

#define RING_DESC_NEXT		1
#define RING_DESC_WRITE		2
#define RING_DESC_INDIRECT	4
#define RING_USED_NO_NOTIFY	1
#define RING_AVAIL_NO_INTERRUPT	1
#define RING_F_INDIRECT_DESC	28
#define RING_F_EVENT_IDX	29

#define VRING_NUM_MAX	32768		/* virtio 1.2, 2.7 and 2.8 */
#define VRING_REASON	160

struct vring_layout;		/* how it lies in memory: vring_layout.h */

/* How far the device is. A copy of it is a place to go back to, until it publishes. */
struct vring_at {
	uint16_t take;		/* where the next chain is to be taken */
	uint16_t done;		/* chains that are used up and not published */
	uint16_t taken;		/* packed: slots of what is not published */
	bool	 lap;		/* packed: of `take`; 1 in the first round, then 0, then 1 */
};

struct vring_split {
	struct ring_desc  *desc;
	struct ring_avail *avail;
	struct ring_used  *used;
	uint16_t avail_idx;	/* the guest's, as last read and checked */
	uint16_t used_idx;	/* next entry to publish; behind it all is published */
	bool	 signalled;	/* the guest was interrupted since the start */
};

/* A chain that is used up, and what to tell of it. */
struct packed_done {
	uint32_t len;
	uint16_t id;
	uint16_t slot;
	uint16_t slots;
	bool	 lap;
	bool	 write;
	bool	 more;		/* the next one must be seen before */
};

struct vring_packed {
	struct packed_desc *desc;
	const uint32_t *driver;	/* event areas: written by the driver */
	uint32_t *device;	/* and by the device */
	uint64_t desc_gpa, device_gpa;
	struct packed_done *done;	/* as many as there are slots */
};

struct vring {
	pthread_mutex_t lock;

	/* The channel's; changed only with all its rings locked. */
	const struct guest_mem *mem;
	const struct dirty_log *log;	/* NULL: the guest is not being migrated */
	uint64_t features;		/* also read without the lock */

	/* What messages said. */
	uint32_t num;
	uint32_t base;		/* where to begin, if the ring does not tell that itself */
	uint64_t desc_uva, avail_uva, used_uva, used_gpa;
	bool	 log_used;
	bool	 have_addr;
	bool	 enabled;
	bool	 told;		/* whether it is: nothing is taken before */
	bool	 keeps;		/* nothing is taken while it is not enabled */
	int	 kick, call, err;	/* eventfds or -1 */

	/* While started. */
	const struct vring_layout *layout;
	struct vring_split split;
	struct vring_packed packed;
	struct vring_at at;
	bool	 notify;	/* the guest was asked to kick */
	bool	 started;
	bool	 broken;
	bool	 held;		/* the VM is paused */
	struct cut cut;		/* its `joined` is NULL: not agreed on */
	bool	 ready;		/* started, enabled, whole; also read without the lock */
	char	 reason[VRING_REASON];
};

void vring_init(struct vring *r, const struct guest_mem *mem);
void vring_destroy(struct vring *r);	/* closes its descriptors */

static inline void vring_lock(struct vring *r)
{
	pthread_mutex_lock(&r->lock);
}

static inline void vring_unlock(struct vring *r)
{
	pthread_mutex_unlock(&r->lock);
}

/* Back to what vring_init() made, as for a new connection. */
void vring_reset(struct vring *r);

/*
 * Find the ring in the guest's memory (again, after its table has changed).
 * 0, or -EINVAL with a sentence: it is not there as a whole.
 */
int vring_resolve(struct vring *r, struct vmq_err *err);

/*
 * Begin to serve it. 0; -EINVAL, -EFAULT, -ENOMEM with a sentence.
 * The guest is interrupted and asked to kick: either may have been missed by
 * whoever served the ring before.
 */
int vring_start(struct vring *r, struct vmq_err *err);

/* Started: it began where no new ring does, so that somebody has served it before. */
bool vring_was_served(const struct vring *r);

/* Cease. `base` is now where a successor has to begin. `kick` stays open. */
void vring_stop(struct vring *r);

void vring_set_enabled(struct vring *r, bool on);
void vring_hold(struct vring *r, bool on);	/* takes the lock itself */
void vring_interrupt(const struct vring *r);	/* whatever the guest asked for */

/* Why the ring broke; NULL if it did not. */
const char *vring_reason(const struct vring *r);

/* What became of a batch, beside the frames. */
enum vring_verdict {
	VRING_IDLE,	/* nothing more now; the guest will kick */
	VRING_MORE,	/* stopped by the size of the batch */
	VRING_OFF,	/* not started or not enabled */
	VRING_HELD,	/* the VM is paused */
	VRING_BROKEN,	/* broke the rules just now: see vring_reason() */
};

/**
 * vring_rx() - write frames into the guest's receive buffers
 * @r: receive ring
 * @f: frames
 * @n: how many
 * @res: counts, added to
 * @settled: out: frames settled, from the front
 */
enum vring_verdict vring_rx(struct vring *r, const struct frame *f, int n,
			    struct channel_rx *res, int *settled);

/**
 * vring_tx() - read frames from the guest's transmit buffers
 * @r: transmit ring
 * @buf: where to; @n of them
 * @n: frames wanted
 * @taken: out: frames in @buf
 *
 * A frame that the guest leaves to us to cut is copied as a whole and then becomes
 * several, which need not fit one batch: the rest comes first in the next, also if
 * the ring was stopped in between. A frame that is no use has its fault in @buf. So
 * have all frames of a ring that is started and was disabled. The protocol wants that,
 * and takes a new ring for a disabled one; but front ends enable theirs behind the
 * start, and the frames of a guest that has lived on without a back end are there
 * already, so they wait for a first word about it.
 */
enum vring_verdict vring_tx(struct vring *r, struct frame_buf *buf, int n, int *taken);

#endif /* VMQ_VRING_H */
