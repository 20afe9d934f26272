// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_msg.c - what each vhost-user message means
 *
 * One table says for each message how long it must be, how many descriptors come
 * with it, whether it is answered, and which function does it; vhost_user_handle()
 * checks all that before the function runs. A message that cannot be right ends
 * the connection (negative errno and a sentence); one that is only refused
 * (REFUSED) is told so when the front end asked for an answer, and ignored if it
 * did not. The protocol is QEMU's docs/interop/vhost-user.
 *
 * Which protocol features are offered, and why not the others:
 *
 *	MQ, LOG_SHMFD, RARP, REPLY_ACK, NET_MTU, CONFIG, RESET_DEVICE,
 *	CONFIGURE_MEM_SLOTS, STATUS	offered
 *	INFLIGHT_SHMFD		not needed: buffers are used in order and none is
 *				in flight between two batches (vring.c)
 *	BACKEND_REQ and what builds on it (HOST_NOTIFIER, IOTLB)	we have
 *				nothing to ask the front end for
 *	PAGEFAULT (post-copy)	a worker would wait for a page of another host
 *	INBAND_NOTIFICATIONS	a socket message per kick
 *	CROSS_ENDIAN, CRYPTO_SESSION, XEN_MMAP		for other devices or hosts
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/vhost_user.h"
#include "common/parse.h"
#include "common/util.h"

#define REFUSED		1	/* of a handler: understood, not done */
#define MTU_MIN		68
#define ADDR_F_LOG	1u	/* of SET_VRING_ADDR: log writes to the used ring */

/* ---- features ----------------------------------------------------------------- */

static uint64_t features_offered(const struct vhost_user *vu)
{
	uint64_t f = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_ANY_LAYOUT) |
		     BIT64(RING_F_INDIRECT_DESC) | BIT64(RING_F_EVENT_IDX) |
		     BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |
		     BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) |
		     BIT64(VHOST_USER_F_LOG_ALL) | BIT64(VHOST_USER_F_PROTOCOL);

	if (vu->pairs > 1)
		f |= BIT64(VIRTIO_NET_F_MQ);
	if (vu->has_mac)
		f |= BIT64(VIRTIO_NET_F_MAC);
	if (vu->mtu >= MTU_MIN)
		f |= BIT64(VIRTIO_NET_F_MTU);
	return f;
}

#define PROTOCOL_OFFERED							\
	(BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_LOG_SHMFD) |		\
	 BIT64(VHOST_USER_P_RARP) | BIT64(VHOST_USER_P_REPLY_ACK) |		\
	 BIT64(VHOST_USER_P_NET_MTU) | BIT64(VHOST_USER_P_CONFIG) |		\
	 BIT64(VHOST_USER_P_RESET_DEVICE) | BIT64(VHOST_USER_P_STATUS) |	\
	 BIT64(VHOST_USER_P_CONFIGURE_MEM_SLOTS))

/* ---- rings, all at once ---------------------------------------------------------- */

static void rings_lock(struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		vring_lock(&vu->ring[i]);
}

static void rings_unlock(struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		vring_unlock(&vu->ring[i]);
}

static bool rings_started(const struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		if (vu->ring[i].started)
			return true;
	return false;
}

/* Locked, the memory table has changed: find what runs in the new one. */
static int rings_resolve(struct vhost_user *vu, struct vmq_err *err)
{
	int i, rc, first = 0;

	for (i = 0; i < 2 * vu->pairs; i++) {
		struct vring *r = &vu->ring[i];

		rc = r->started ? vring_resolve(r, first ? NULL : err) : 0;
		if (!rc)
			continue;
		vring_stop(r);
		if (!first)
			first = vmq_err_prefix(err, "ring %d", i);
	}
	return first;
}

void vhost_user_tell(struct vhost_user *vu, const char *detail)
{
	bool up = load_relaxed(&vu->ring[0].ready) && vu->ring[1].started;

	if (up == vu->up)
		return;
	vu->up = up;
	if (vu->event)
		vu->event(vu->arg, up ? "up" : "down", detail);
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
	/* It ran before, here or elsewhere: tell the switches where it is now. */
	if (index == 1 && r->base && vu->has_mac)
		store_relaxed(&vu->announce, mac_to_u48(vu->mac));
	vhost_user_wake(vu, (int)index / 2);
	vhost_user_tell(vu, vu->addr.sun_path);
	return 0;
}

/* The ring that a message is about; NULL with a sentence. */
static struct vring *ring_named(struct vhost_user *vu, uint32_t index, struct vmq_err *err)
{
	if (index < 2 * (uint32_t)vu->pairs)
		return &vu->ring[index];
	vmq_err(err, -EINVAL, "ring %u of a device with %d", index, 2 * vu->pairs);
	return NULL;
}

/* ---- messages about the device --------------------------------------------------- */

static int do_get_features(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	m->u64 = features_offered(vu);
	return 0;
}

static int do_set_features(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	uint64_t f = m->u64, odd = f & ~features_offered(vu);
	int i;

	if (odd)
		return vmq_err(err, -EINVAL, "features %#llx were not offered",
			       (unsigned long long)odd);
	/* A legacy guest's rings are in its own byte order, which we take for ours. */
	if (htole16(1) != 1 && !(f & BIT64(VIRTIO_F_VERSION_1)))
		return vmq_err(err, -EINVAL, "a legacy driver on a big-endian host");
	odd = (f ^ vu->ring[0].features) & ~BIT64(VHOST_USER_F_LOG_ALL);
	if (odd && rings_started(vu))
		return vmq_err(err, -EBUSY, "features %#llx change while rings run",
			       (unsigned long long)odd);
	rings_lock(vu);
	for (i = 0; i < 2 * vu->pairs; i++) {
		struct vring *r = &vu->ring[i];

		r->features = f;
		r->log = f & BIT64(VHOST_USER_F_LOG_ALL) ? &vu->log : NULL;
		if (!(f & BIT64(VHOST_USER_F_PROTOCOL)))
			vring_set_enabled(r, true);
	}
	rings_unlock(vu);
	return 0;
}

static int do_get_protocol(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)err;
	m->u64 = PROTOCOL_OFFERED;
	return 0;
}

static int do_set_protocol(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	uint64_t odd = m->u64 & ~PROTOCOL_OFFERED;

	if (odd)
		return vmq_err(err, -EINVAL, "protocol features %#llx were not offered",
			       (unsigned long long)odd);
	vu->protocol = m->u64;
	return 0;
}

static int do_set_owner(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)m;
	(void)err;
	return 0;	/* the connection is the session */
}

/* Deprecated; the text recommends to disable all rings or to do nothing. */
static int do_reset_owner(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	int i;

	(void)m;
	(void)err;
	rings_lock(vu);
	for (i = 0; i < 2 * vu->pairs; i++)
		vring_set_enabled(&vu->ring[i], false);
	rings_unlock(vu);
	vhost_user_tell(vu, "reset by the front end");
	return 0;
}

static int do_reset_device(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		vhost_user_stop_ring(vu, (uint32_t)i);
	return do_reset_owner(vu, m, err);
}

static int do_get_queue_num(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	m->u64 = (uint64_t)vu->pairs;	/* a network device counts pairs */
	return 0;
}

static int do_get_status(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	m->u64 = vu->status;
	return 0;
}

static int do_set_status(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	if (m->u64 > UINT8_MAX)
		return vmq_err(err, -EINVAL, "a device status of %#llx",
			       (unsigned long long)m->u64);
	vu->status = (uint8_t)m->u64;
	return vu->status ? 0 : do_reset_device(vu, m, err);
}

static int do_set_mtu(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	return m->u64 >= MTU_MIN && m->u64 <= vu->mtu ? 0 : REFUSED;
}

static int do_send_rarp(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	uint8_t mac[8];
	uint64_t u48;

	(void)err;
	memcpy(mac, &m->u64, sizeof(mac));	/* bytes on the wire's order, then two of padding */
	u48 = mac_to_u48(mac);
	if (!u48 || mac[0] & 1)
		return REFUSED;
	store_relaxed(&vu->announce, u48);
	vhost_user_wake(vu, 0);
	return 0;
}

static int do_get_config(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	uint8_t all[VHOST_USER_CONFIG] = { 0 };
	struct virtio_net_config *c = (void *)all;
	uint32_t offset = m->config.offset, size = m->config.size;

	if (offset > sizeof(all) || size > sizeof(all) - offset ||
	    size != m->size - (uint32_t)offsetof(struct vhost_user_msg, config.data) +
		    VHOST_USER_HEADER)
		return vmq_err(err, -EINVAL, "%u bytes of the configuration at %u", size, offset);
	memcpy(c->mac, vu->mac, ETH_ALEN);
	c->status = htole16(VIRTIO_NET_S_LINK_UP);
	c->max_virtqueue_pairs = htole16((uint16_t)vu->pairs);
	c->mtu = htole16((uint16_t)vu->mtu);
	memcpy(m->config.data, all + offset, size);
	return 0;
}

/* The address is the administrator's to choose, the rest is ours to tell. */
static int do_set_config(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)m;
	(void)err;
	return REFUSED;
}

/* ---- messages about memory --------------------------------------------------------- */

/* Exchange the table, with every ring locked; unmaps the old one afterwards. */
static int mem_exchange(struct vhost_user *vu, struct guest_mem *mem, struct vmq_err *err)
{
	struct guest_mem old;
	int rc;

	rings_lock(vu);
	old = vu->mem;
	vu->mem = *mem;
	rc = rings_resolve(vu, err);
	rings_unlock(vu);
	guest_mem_clear(&old);
	return rc;
}

static void region_desc(struct guest_region_desc *d, const struct vhost_user_region *r)
{
	*d = (struct guest_region_desc){ r->gpa, r->size, r->uva, r->offset };
}

static int do_set_mem_table(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct guest_mem mem = { .n = 0 };
	struct guest_region_desc d;
	uint32_t i, n = m->mem.n;
	int rc;

	if (n > VHOST_USER_REGIONS || m->size != 8 + n * sizeof(struct vhost_user_region))
		return vmq_err(err, -EINVAL, "%u regions in %u bytes", n, m->size);
	if (vu->n_fds != (int)n)
		return vmq_err(err, -EBADF, "%u regions with %d descriptors", n, vu->n_fds);
	for (i = 0; i < n; i++) {
		struct vhost_user_region r = m->mem.region[i];

		region_desc(&d, &r);
		rc = guest_mem_add(&mem, &d, vu->fds[i], err);
		if (rc) {
			guest_mem_clear(&mem);
			return rc;
		}
	}
	return mem_exchange(vu, &mem, err);
}

static int do_get_max_slots(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)err;
	m->u64 = GUEST_MEM_SLOTS;
	return 0;
}

/*
 * QEMU up to 7.2 says both of these once for every pair. So a region that is
 * there is mapped anew (the last one holds), and one that is not is already out.
 */
static int change_mem(struct vhost_user *vu, const struct vhost_user_msg *m, bool add,
		      struct vmq_err *err)
{
	struct vhost_user_region r = m->slot.region;
	struct guest_region removed = { 0 };
	struct guest_region_desc d;
	int rc = 0;

	region_desc(&d, &r);
	rings_lock(vu);
	guest_mem_remove(&vu->mem, &d, &removed, NULL);
	if (add)
		rc = guest_mem_add(&vu->mem, &d, vu->fds[0], err);
	if (!rc)
		rc = rings_resolve(vu, err);
	else
		rings_resolve(vu, NULL);	/* stops those that lost their memory */
	rings_unlock(vu);
	guest_region_unmap(&removed);
	return rc;
}

static int do_add_mem(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return change_mem(vu, m, true, err);
}

static int do_rem_mem(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return change_mem(vu, m, false, err);
}

static int do_set_log_base(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct dirty_log log = { .size = m->log.size }, old;

	log.bits = shared_map(vu->fds[0], m->log.offset, log.size, &log.map, &log.map_len,
			      "the dirty log", err);
	if (!log.bits)
		return -EINVAL;
	rings_lock(vu);
	old = vu->log;
	vu->log = log;
	rings_unlock(vu);
	if (old.map)
		munmap(old.map, old.map_len);
	m->u64 = 0;
	return 0;
}

/* An eventfd to signal at every write to the log; QEMU never gives one. */
static int do_set_log_fd(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)m;
	(void)err;
	return 0;
}

/* ---- messages about one ring ---------------------------------------------------------- */

static int do_vring_num(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);
	uint32_t num = m->state.num;

	if (!r)
		return -EINVAL;
	if (r->started)
		return vmq_err(err, -EBUSY, "ring %u runs", m->state.index);
	if (!num || num > VRING_NUM_MAX || num & (num - 1))
		return vmq_err(err, -EINVAL, "a ring of %u entries", num);
	r->num = num;
	return ring_try_start(vu, m->state.index, err);
}

static int do_vring_addr(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
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

static int do_set_vring_base(struct vhost_user *vu, struct vhost_user_msg *m,
			     struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);

	if (!r)
		return -EINVAL;
	if (r->started)
		return vmq_err(err, -EBUSY, "ring %u runs", m->state.index);
	if (m->state.num > UINT16_MAX)
		return vmq_err(err, -EINVAL, "a ring index of %u", m->state.num);
	r->base = (uint16_t)m->state.num;
	return 0;
}

/* The reply is the promise: nothing of this ring is touched behind it. */
static int do_get_vring_base(struct vhost_user *vu, struct vhost_user_msg *m,
			     struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);

	if (!r)
		return -EINVAL;
	if (vu->up && m->state.index < 2 && vu->event)
		vu->event(vu->arg, "stopping", "by the front end");
	vhost_user_stop_ring(vu, m->state.index);
	vhost_user_tell(vu, "stopped by the front end");
	m->state.num = r->base;
	return 0;
}

static int do_vring_enable(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_named(vu, m->state.index, err);

	if (!r)
		return -EINVAL;
	if (m->state.num > 1)
		return vmq_err(err, -EINVAL, "ring %u shall be enabled by %u", m->state.index,
			       m->state.num);
	vring_lock(r);
	vring_set_enabled(r, m->state.num);
	vring_unlock(r);
	vhost_user_wake(vu, (int)m->state.index / 2);
	vhost_user_tell(vu, m->state.num ? vu->addr.sun_path : "disabled by the front end");
	return 0;
}

/*
 * Only eventfds: writing to anything else, or asking it whether it is ready, can
 * wait for a program of the guest's owner (a pipe, a file of FUSE).
 */
static bool fd_is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], name[sizeof(want) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	return n == (ssize_t)sizeof(want) - 1 && !memcmp(name, want, sizeof(want) - 1);
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
	if (!fd_is_eventfd(vu->fds[0])) {
		vmq_err(err, -EBADF, "the descriptor is no eventfd");
		return NULL;
	}
	*fd = vu->fds[0];
	vu->n_fds = 0;
	/* We write to some, and must not wait for the front end to read. */
	fcntl(*fd, F_SETFL, O_NONBLOCK);
	return r;
}

static int do_vring_kick(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
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

static int do_vring_call(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct vring *r = ring_replace_fd(vu, m, offsetof(struct vring, call), err);

	if (!r)
		return -EINVAL;
	/* What was to be told while there was no descriptor, or by a predecessor. */
	if (r->started)
		vring_interrupt(r);
	return 0;
}

static int do_vring_err(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return ring_replace_fd(vu, m, offsetof(struct vring, err), err) ? 0 : -EINVAL;
}

/* ---- the table ------------------------------------------------------------------------- */

#define SIZE_ANY	UINT32_MAX
#define FDS_ANY		(-1)	/* the handler looks */
#define NEEDS(p)	(1 + VHOST_USER_P_##p)

struct handler {
	const char *name;
	int (*fn)(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err);
	uint32_t size;		/* of the payload */
	uint32_t reply;		/* size of the answer; 0: none of its own */
	int	 fds;
	int	 needs;		/* NEEDS(protocol feature), 0: none */
};

#define SLOT	((uint32_t)sizeof(((struct vhost_user_msg *)0)->slot))
#define ADDR	((uint32_t)sizeof(((struct vhost_user_msg *)0)->addr))

#define MESSAGE(name, fn, ...) [VHOST_USER_##name] = { #name, fn, __VA_ARGS__ }

static const struct handler handlers[] = {
	/*	name, function, size, size of the answer, descriptors, feature */
	MESSAGE(GET_FEATURES, do_get_features, 0, 8, 0, 0),
	MESSAGE(SET_FEATURES, do_set_features, 8, 0, 0, 0),
	MESSAGE(SET_OWNER, do_set_owner, 0, 0, 0, 0),
	MESSAGE(RESET_OWNER, do_reset_owner, 0, 0, 0, 0),
	MESSAGE(SET_MEM_TABLE, do_set_mem_table, SIZE_ANY, 0, FDS_ANY, 0),
	MESSAGE(SET_LOG_BASE, do_set_log_base, 16, 8, 1, NEEDS(LOG_SHMFD)),
	MESSAGE(SET_LOG_FD, do_set_log_fd, SIZE_ANY, 0, 1, 0),
	MESSAGE(SET_VRING_NUM, do_vring_num, 8, 0, 0, 0),
	MESSAGE(SET_VRING_ADDR, do_vring_addr, ADDR, 0, 0, 0),
	MESSAGE(SET_VRING_BASE, do_set_vring_base, 8, 0, 0, 0),
	MESSAGE(GET_VRING_BASE, do_get_vring_base, 8, 8, 0, 0),
	MESSAGE(SET_VRING_KICK, do_vring_kick, 8, 0, FDS_ANY, 0),
	MESSAGE(SET_VRING_CALL, do_vring_call, 8, 0, FDS_ANY, 0),
	MESSAGE(SET_VRING_ERR, do_vring_err, 8, 0, FDS_ANY, 0),
	MESSAGE(GET_PROTOCOL_FEATURES, do_get_protocol, 0, 8, 0, 0),
	MESSAGE(SET_PROTOCOL_FEATURES, do_set_protocol, 8, 0, 0, 0),
	MESSAGE(GET_QUEUE_NUM, do_get_queue_num, 0, 8, 0, NEEDS(MQ)),
	MESSAGE(SET_VRING_ENABLE, do_vring_enable, 8, 0, 0, 0),
	MESSAGE(SEND_RARP, do_send_rarp, 8, 0, 0, NEEDS(RARP)),
	MESSAGE(NET_SET_MTU, do_set_mtu, 8, 0, 0, NEEDS(NET_MTU)),
	MESSAGE(GET_CONFIG, do_get_config, SIZE_ANY, SIZE_ANY, 0, NEEDS(CONFIG)),
	MESSAGE(SET_CONFIG, do_set_config, SIZE_ANY, 0, 0, NEEDS(CONFIG)),
	MESSAGE(RESET_DEVICE, do_reset_device, 0, 0, 0, NEEDS(RESET_DEVICE)),
	MESSAGE(GET_MAX_MEM_SLOTS, do_get_max_slots, 0, 8, 0, NEEDS(CONFIGURE_MEM_SLOTS)),
	MESSAGE(ADD_MEM_REG, do_add_mem, SLOT, 0, 1, NEEDS(CONFIGURE_MEM_SLOTS)),
	/* Some front ends send the region's descriptor along, which is allowed. */
	MESSAGE(REM_MEM_REG, do_rem_mem, SLOT, 0, FDS_ANY, NEEDS(CONFIGURE_MEM_SLOTS)),
	MESSAGE(SET_STATUS, do_set_status, 8, 0, 0, NEEDS(STATUS)),
	MESSAGE(GET_STATUS, do_get_status, 0, 8, 0, NEEDS(STATUS)),
};

static int answer(struct vhost_user *vu, uint32_t size, struct vmq_err *err)
{
	struct vhost_user_msg *m = &vu->msg;
	ssize_t n;

	m->flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	m->size = size;
	n = send(vu->fd, m, VHOST_USER_HEADER + size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == (ssize_t)(VHOST_USER_HEADER + size))
		return 0;
	if (n < 0 && errno != EAGAIN)
		return -EPIPE;
	/* It is asked for one at a time: a full socket means that none is read. */
	return vmq_err(err, -EPROTO, "the answers are not read");
}

/* What the table can tell about a message before its handler looks. */
static int check(const struct vhost_user *vu, const struct handler *h, struct vmq_err *err)
{
	const struct vhost_user_msg *m = &vu->msg;

	if ((m->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
	    m->flags & VHOST_USER_REPLY)
		return vmq_err(err, -EPROTO, "flags %#x", m->flags);
	if (h->needs && !(vu->protocol & BIT64(h->needs - 1)))
		return vmq_err(err, -EPROTO, "its protocol feature was not agreed on");
	if (h->size != SIZE_ANY && m->size != h->size)
		return vmq_err(err, -EPROTO, "%u bytes instead of %u", m->size, h->size);
	if (h->fds != FDS_ANY && vu->n_fds != h->fds)
		return vmq_err(err, -EBADF, "%d descriptors instead of %d", vu->n_fds, h->fds);
	return 0;
}

int vhost_user_handle(struct vhost_user *vu, struct vmq_err *err)
{
	bool ack = vu->msg.flags & VHOST_USER_NEED_REPLY &&
		   vu->protocol & BIT64(VHOST_USER_P_REPLY_ACK);
	uint32_t request = vu->msg.request;
	const struct handler *h;
	int rc;

	if (request >= ARRAY_SIZE(handlers) || !handlers[request].fn) {
		/* A front end that does not ask would take silence for consent. */
		if (!ack)
			return vmq_err(err, -EPROTO, "message %u is not known here", request);
		vu->msg.u64 = REFUSED;
		return answer(vu, 8, err);
	}
	h = &handlers[request];
	rc = check(vu, h, err);
	if (!rc)
		rc = h->fn(vu, &vu->msg, err);
	if (rc < 0)
		return vmq_err_prefix(err, "%s", h->name);
	if (h->reply) {
		rc = answer(vu, h->reply == SIZE_ANY ? vu->msg.size : h->reply, err);
	} else if (ack) {
		vu->msg.u64 = (uint64_t)rc;
		rc = answer(vu, 8, err);
	} else {
		rc = 0;
	}
	return rc;
}
