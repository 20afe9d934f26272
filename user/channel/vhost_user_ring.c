// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_ring.c - messages about one ring, and what starts and stops it
 *
 * By the protocol the first kick starts a ring. Here it starts with the last
 * thing that it needs, see ring_try_start().
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "channel/foreign.h"
#include "channel/vhost_user.h"
#include "common/parse.h"
#include "common/util.h"

#define ADDR_F_LOG	1u	/* of SET_VRING_ADDR: log writes to the used ring */

/* ---- rings, all at once ---------------------------------------------------------- */

void vhost_user_lock_rings(struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		vring_lock(&vu->ring[i]);
}

void vhost_user_unlock_rings(struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		vring_unlock(&vu->ring[i]);
}

static void ring_drop_kick(struct vhost_user *vu, uint32_t index)
{
	struct vring *r = &vu->ring[index];

	if (r->kick < 0)
		return;
	/* Not by close(): the front end has the same description open. */
	epoll_ctl(vu->pair[index / 2].epfd, EPOLL_CTL_DEL, r->kick, NULL);
	close(r->kick);
	r->kick = -1;
}

void vhost_user_stop_ring(struct vhost_user *vu, uint32_t index)
{
	struct vring *r = &vu->ring[index];

	vring_lock(r);
	vring_stop(r);
	vring_unlock(r);
	ring_drop_kick(vu, index);
}

/*
 * Start a ring that has all it needs. By the protocol the first kick starts a
 * ring; front ends give the kick descriptor last, and a guest that is moved or
 * whose service was restarted may have no reason to kick again, so we begin then.
 */
static int ring_try_start(struct vhost_user *vu, uint32_t index, struct vmq_err *err)
{
	struct vring *r = &vu->ring[index];
	int rc;

	if (r->started || r->kick < 0 || !r->num || !r->have_addr)
		return 0;
	vring_lock(r);
	rc = vring_start(r, err);
	vring_unlock(r);
	if (rc)
		return vmq_err_prefix(err, "ring %u", index);
	/* The guest's first two rings: one of them begins at 0 by chance after 65,536 frames. */
	if (index < 2 && vring_was_served(r))
		vu->moved = true;
	vhost_user_want_frames(vu);
	vhost_user_wake(vu, (int)index / 2);
	vhost_user_tell(vu, vu->addr.sun_path);
	return 0;
}

/* The ring that a message is about; NULL with a sentence. */
static struct vring *ring_named(struct vhost_user *vu, uint32_t index, struct vmq_err *err)
{
	if (index < 2 * (uint32_t)vu->pairs)
		return &vu->ring[index];
	vmq_err(err, -EINVAL, "ring %u of a device with %d: the queue was made with %d pair%s",
		index, 2 * vu->pairs, vu->pairs, vu->pairs == 1 ? "" : "s");
	return NULL;
}

static bool ring_is_packed(const struct vring *r)
{
	return r->features & BIT64(VIRTIO_F_RING_PACKED);
}

/* ---- messages about one ring ---------------------------------------------------------- */

int vhost_user_vring_num(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);
	uint32_t num = m->state.num;

	if (!r)
		return -EINVAL;
	if (r->started)
		return vmq_err(err, -EBUSY, "ring %u runs", m->state.index);
	if (!num || num > VRING_NUM_MAX || (!ring_is_packed(r) && num & (num - 1)))
		return vmq_err(err, -EINVAL, "a ring of %u entries", num);
	r->num = num;
	return ring_try_start(vu, m->state.index, err);
}

int vhost_user_vring_addr(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->addr.index, err);
	int rc = 0;

	if (!r)
		return -EINVAL;
	vring_lock(r);
	r->desc_uva = m->addr.desc;
	r->avail_uva = m->addr.avail;
	r->used_uva = m->addr.used;
	r->used_gpa = m->addr.log;
	r->log_used = m->addr.flags & ADDR_F_LOG;
	r->have_addr = true;
	/* While it runs: to switch logging, with the same addresses. */
	if (r->started)
		rc = vring_resolve(r, err);
	if (rc)
		vring_stop(r);
	vring_unlock(r);
	if (rc)
		return vmq_err_prefix(err, "ring %u", m->addr.index);
	return ring_try_start(vu, m->addr.index, err);
}

int vhost_user_set_vring_base(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);

	if (!r)
		return -EINVAL;
	if (r->started)
		return vmq_err(err, -EBUSY, "ring %u runs", m->state.index);
	if (m->state.num > UINT16_MAX && !ring_is_packed(r))
		return vmq_err(err, -EINVAL, "a ring index of %u", m->state.num);
	r->base = m->state.num;
	return 0;
}

/* The reply is the promise: nothing of this ring is touched behind it. */
int vhost_user_get_vring_base(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);

	if (!r)
		return -EINVAL;
	/* The queue ends with the first of them. */
	if (r->started && !vhost_user_quiesced(vu))
		return VHOST_USER_LATER;
	vhost_user_stop_ring(vu, m->state.index);
	vhost_user_tell(vu, "stopped by the front end");
	m->state.num = r->base;
	return 0;
}

/*
 * By the text, what is sent by a ring that is off is discarded. But a guest of which
 * nothing is on is paused, perhaps to go on elsewhere: then it waits.
 */
static void keep_sent(struct vhost_user *vu, bool keeps)
{
	int i;

	for (i = 1; i < 2 * vu->pairs; i += 2) {
		vring_lock(&vu->ring[i]);
		vu->ring[i].keeps = keeps;
		vring_unlock(&vu->ring[i]);
	}
}

/*
 * Cloud Hypervisor pauses and moves a guest by disabling its rings. So the last of them
 * that receives is stopped like by GET_VRING_BASE, with the same promise.
 */
int vhost_user_vring_enable(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);
	bool receives;

	if (!r)
		return -EINVAL;
	if (m->state.num > 1)
		return vmq_err(err, -EINVAL, "ring %u shall be enabled by %u", m->state.index,
			       m->state.num);
	if (!m->state.num && !(m->state.index & 1) && load_relaxed(&r->ready) &&
	    !vhost_user_receiver(vu, r) && !vhost_user_quiesced(vu))
		return VHOST_USER_LATER;
	vring_lock(r);
	vring_set_enabled(r, m->state.num);
	vring_unlock(r);
	receives = vhost_user_receiver(vu, NULL);
	keep_sent(vu, !receives);
	if (m->state.num && receives)
		vhost_user_want_frames(vu);
	vhost_user_wake(vu, (int)m->state.index / 2);
	vhost_user_wake_roomless(vu);
	vhost_user_tell(vu, m->state.num ? vu->addr.sun_path : "disabled by the front end");
	return 0;
}

/*
 * Ring and descriptor of SET_VRING_KICK, _CALL and _ERR. The descriptor is the
 * ring's from here on. -1: the message says that there is none.
 */
static struct vring *ring_fd(struct vhost_user *vu, const struct vhost_user_msg *m, int *fd,
			     struct vmq_err *err)
{
	struct vring *r = ring_named(vu, (uint32_t)(m->u64 & VHOST_USER_RING_MASK), err);
	int want = m->u64 & VHOST_USER_NO_FD ? 0 : 1;

	if (!r)
		return NULL;
	if (m->u64 & ~(uint64_t)(VHOST_USER_RING_MASK | VHOST_USER_NO_FD) || vu->n_fds != want) {
		vmq_err(err, -EBADF, "%#llx with %d descriptors", (unsigned long long)m->u64,
			vu->n_fds);
		return NULL;
	}
	*fd = -1;
	if (!want)
		return r;
	/*
	 * Writing to anything else, or asking it whether it is ready, can wait for a program of
	 * the guest's owner (a pipe, a file of FUSE).
	 */
	if (!foreign_is_eventfd(vu->fds[0])) {
		vmq_err(err, -EBADF, "the descriptor is no eventfd");
		return NULL;
	}
	*fd = vu->fds[0];
	vu->n_fds = 0;
	/* See doorbell.c for the front end that takes this away again. */
	fcntl(*fd, F_SETFL, O_NONBLOCK);
	return r;
}

int vhost_user_vring_kick(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN };
	uint32_t index;
	struct vring *r;
	int fd;

	r = ring_fd(vu, m, &fd, err);
	if (!r)
		return -EINVAL;
	index = (uint32_t)(r - vu->ring);
	if (fd < 0)
		return vmq_err(err, -EOPNOTSUPP, "ring %u shall be polled without kicks", index);
	ring_drop_kick(vu, index);
	if (epoll_ctl(vu->pair[index / 2].epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		int rc = vmq_err_sys(err, -errno, "cannot wait for the kicks of ring %u", index);

		close(fd);
		return rc;
	}
	r->kick = fd;
	return ring_try_start(vu, index, err);
}

/* @at: where in the ring the descriptor has its place. */
static struct vring *ring_replace_fd(struct vhost_user *vu, const struct vhost_user_msg *m,
				     size_t at, struct vmq_err *err)
{
	struct vring *r;
	int fd, old, *place;

	r = ring_fd(vu, m, &fd, err);
	if (!r)
		return NULL;
	place = (int *)(void *)((char *)r + at);
	vring_lock(r);
	old = *place;
	*place = fd;
	vring_unlock(r);
	if (old >= 0)
		close(old);
	return r;
}

int vhost_user_vring_call(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_replace_fd(vu, m, offsetof(struct vring, call), err);

	if (!r)
		return -EINVAL;
	/* What was to be told while there was no descriptor, or by a predecessor. */
	if (r->started)
		vring_interrupt(r);
	return 0;
}

int vhost_user_vring_err(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return ring_replace_fd(vu, m, offsetof(struct vring, err), err) ? 0 : -EINVAL;
}
