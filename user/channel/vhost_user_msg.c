// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_msg.c - vhost-user messages: the table, and those about the device
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
 *	LOG_SHMFD, RARP, REPLY_ACK, NET_MTU, CONFIG, RESET_DEVICE,
 *	CONFIGURE_MEM_SLOTS, STATUS	offered
 *	MQ			offered with several pairs. With one, front ends that are
 *				not asked to count know that themselves, and say so
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
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>

#include "channel/vhost_user.h"
#include "common/parse.h"
#include "common/util.h"

#define REFUSED		1	/* of a handler: understood, not done */
#define MTU_MIN		68

/* ---- features ----------------------------------------------------------------- */

static uint64_t features_offered(const struct vhost_user *vu)
{
	uint64_t f = BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_ANY_LAYOUT) |
		     BIT64(VIRTIO_F_RING_PACKED) |
		     BIT64(RING_F_INDIRECT_DESC) | BIT64(RING_F_EVENT_IDX) |
		     BIT64(VIRTIO_NET_F_CSUM) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |
		     BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) |
		     BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(VIRTIO_NET_F_GUEST_CSUM) |
		     BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6) |
		     BIT64(VIRTIO_NET_F_STATUS) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) |
		     BIT64(VIRTIO_NET_F_CTRL_VQ) |	/* the front end's, as the text has it */
		     BIT64(VHOST_USER_F_LOG_ALL) | BIT64(VHOST_USER_F_PROTOCOL);

	if (vu->pairs > 1)
		f |= BIT64(VIRTIO_NET_F_MQ);
	if (vu->has_mac)
		f |= BIT64(VIRTIO_NET_F_MAC);
	if (vu->mtu >= MTU_MIN)
		f |= BIT64(VIRTIO_NET_F_MTU);
	return f;
}

static uint64_t protocol_offered(const struct vhost_user *vu)
{
	uint64_t p = BIT64(VHOST_USER_P_LOG_SHMFD) | BIT64(VHOST_USER_P_RARP) |
		     BIT64(VHOST_USER_P_REPLY_ACK) | BIT64(VHOST_USER_P_NET_MTU) |
		     BIT64(VHOST_USER_P_CONFIG) | BIT64(VHOST_USER_P_RESET_DEVICE) |
		     BIT64(VHOST_USER_P_STATUS) | BIT64(VHOST_USER_P_CONFIGURE_MEM_SLOTS);

	return vu->pairs > 1 ? p | BIT64(VHOST_USER_P_MQ) : p;
}

static bool rings_started(const struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++)
		if (vu->ring[i].started)
			return true;
	return false;
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
	vhost_user_lock_rings(vu);
	for (i = 0; i < 2 * vu->pairs; i++) {
		struct vring *r = &vu->ring[i];

		store_relaxed(&r->features, f);
		r->log = f & BIT64(VHOST_USER_F_LOG_ALL) ? &vu->log : NULL;
		if (!(f & BIT64(VHOST_USER_F_PROTOCOL)))
			vring_set_enabled(r, true);
	}
	vhost_user_unlock_rings(vu);
	return 0;
}

static int do_get_protocol(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	m->u64 = protocol_offered(vu);
	return 0;
}

static int do_set_protocol(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	uint64_t odd = m->u64 & ~protocol_offered(vu);

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
	vhost_user_lock_rings(vu);
	for (i = 0; i < 2 * vu->pairs; i++) {
		vring_set_enabled(&vu->ring[i], false);
		vu->ring[i].told = false;	/* as at the beginning */
	}
	vhost_user_unlock_rings(vu);
	vhost_user_tell(vu, "reset by the front end");
	return 0;
}

static int do_reset_device(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	int i;

	if (rings_started(vu) && !vhost_user_quiesced(vu))
		return VHOST_USER_LATER;
	for (i = 0; i < 2 * vu->pairs; i++)
		vhost_user_stop_ring(vu, (uint32_t)i);
	return do_reset_owner(vu, m, err);
}

static int do_get_queue_num(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)err;
	/*
	 * QEMU and DPDK want that many pairs at most, Cloud Hypervisor that many rings. So
	 * QEMU may take more pairs than there are, and is told at the first ring too many.
	 */
	m->u64 = 2 * (uint64_t)vu->pairs;
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
	/* A guest that has stopped may be elsewhere by now. */
	if (!u48 || mac[0] & 1 || vu->phase != VHOST_USER_RUNS)
		return REFUSED;
	store_relaxed(&vu->rarp, u48);
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

/* ---- the table ------------------------------------------------------------------------- */

#define SIZE_ANY	UINT32_MAX
#define FDS_ANY		(-1)	/* the handler looks */
#define NEEDS(p)	(1 + VHOST_USER_P_##p)

struct handler {
	const char *name;
	vhost_user_handler *fn;
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
	MESSAGE(SET_MEM_TABLE, vhost_user_set_mem_table, SIZE_ANY, 0, FDS_ANY, 0),
	MESSAGE(SET_LOG_BASE, vhost_user_set_log_base, 16, 8, 1, NEEDS(LOG_SHMFD)),
	MESSAGE(SET_LOG_FD, vhost_user_set_log_fd, SIZE_ANY, 0, 1, 0),
	MESSAGE(SET_VRING_NUM, vhost_user_vring_num, 8, 0, 0, 0),
	MESSAGE(SET_VRING_ADDR, vhost_user_vring_addr, ADDR, 0, 0, 0),
	MESSAGE(SET_VRING_BASE, vhost_user_set_vring_base, 8, 0, 0, 0),
	MESSAGE(GET_VRING_BASE, vhost_user_get_vring_base, 8, 8, 0, 0),
	MESSAGE(SET_VRING_KICK, vhost_user_vring_kick, 8, 0, FDS_ANY, 0),
	MESSAGE(SET_VRING_CALL, vhost_user_vring_call, 8, 0, FDS_ANY, 0),
	MESSAGE(SET_VRING_ERR, vhost_user_vring_err, 8, 0, FDS_ANY, 0),
	MESSAGE(GET_PROTOCOL_FEATURES, do_get_protocol, 0, 8, 0, 0),
	MESSAGE(SET_PROTOCOL_FEATURES, do_set_protocol, 8, 0, 0, 0),
	MESSAGE(GET_QUEUE_NUM, do_get_queue_num, 0, 8, 0, NEEDS(MQ)),
	MESSAGE(SET_VRING_ENABLE, vhost_user_vring_enable, 8, 0, 0, 0),
	MESSAGE(SEND_RARP, do_send_rarp, 8, 0, 0, NEEDS(RARP)),
	MESSAGE(NET_SET_MTU, do_set_mtu, 8, 0, 0, NEEDS(NET_MTU)),
	MESSAGE(GET_CONFIG, do_get_config, SIZE_ANY, SIZE_ANY, 0, NEEDS(CONFIG)),
	MESSAGE(SET_CONFIG, do_set_config, SIZE_ANY, 0, 0, NEEDS(CONFIG)),
	MESSAGE(RESET_DEVICE, do_reset_device, 0, 0, 0, NEEDS(RESET_DEVICE)),
	MESSAGE(GET_MAX_MEM_SLOTS, vhost_user_get_max_slots, 0, 8, 0, NEEDS(CONFIGURE_MEM_SLOTS)),
	MESSAGE(ADD_MEM_REG, vhost_user_add_mem, SLOT, 0, 1, NEEDS(CONFIGURE_MEM_SLOTS)),
	/* Some front ends send the region's descriptor along, which is allowed. */
	MESSAGE(REM_MEM_REG, vhost_user_rem_mem, SLOT, 0, FDS_ANY, NEEDS(CONFIGURE_MEM_SLOTS)),
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
	if (rc == VHOST_USER_LATER)
		return VHOST_USER_WAIT;
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
