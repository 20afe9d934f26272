// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring.c - one split virtqueue, seen from the device
 *
 * DOC: Theory of operation
 *
 * A batch is: take entries of the available ring, walk each one's chain of
 * descriptors, copy, write entries of the used ring, and at the end publish them
 * with one store, mark them in the dirty log and interrupt the guest once.
 * Everything inside a batch runs under mem_guard(), because the file behind
 * guest memory can shrink at any time.
 *
 * Read once: indices, ring entries and descriptors are fetched with single
 * relaxed loads into locals (ring_load()) and only the locals are looked at. A
 * guest that changes a descriptor while it is read gets one of the two values,
 * both of which are checked. Buffers are found anew for each piece, so a buffer
 * may cross from one region into the next, or lie over another or over the ring
 * itself: that is the guest's own loss.
 *
 * A chain can be a loop. A direct chain has at most as many descriptors as the
 * ring has entries (virtio 1.2, 2.7.5.2); an indirect table is walked at most as
 * far as it is long. Empty buffers are refused, so that the work for a frame is
 * bounded by its length.
 *
 * Segmentation (HOST_TSO). A joined frame is copied, used up, and cut in private
 * memory (common/gso.h), so what the guest does with it meanwhile is no matter. Its
 * segments may outlast the batch, even the ring: they are the guest's frames as soon
 * as they are copied.
 *
 * Buffers are used in the order in which they were made available, and all that
 * were taken are used up at the end of a batch. So the used index in guest memory
 * says where a successor must begin, and nothing is ever in flight between two
 * batches: a restarted service needs no record of its own (INFLIGHT).
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/doorbell.h"
#include "channel/mem_guard.h"
#include "channel/vring.h"
#include "common/csum.h"
#include "common/util.h"

#define JOINED_MAX	(65535 + 14 + 2 * 4)	/* an IP packet and two tags */
#define INDIRECT_MAX	1024	/* descriptors of an indirect table; QEMU's limit too */

#define TSO		(UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4 | \
			 UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6)
#define HAS(r, bit)	((r)->features & (UINT64_C(1) << (bit)))

/* Guest memory is little-endian; one load each, never repeated. */
#define ring_load16(p)	le16toh(load_relaxed(p))
#define ring_load32(p)	le32toh(load_relaxed(p))
#define ring_load64(p)	le64toh(load_relaxed(p))
#define ring_store16(p, v)	store_relaxed(p, htole16(v))

/* ---- what messages do ------------------------------------------------------ */

void vring_init(struct vring *r, const struct guest_mem *mem)
{
	memset(r, 0, sizeof(*r));
	pthread_mutex_init(&r->lock, NULL);
	r->mem = mem;
	r->kick = r->call = r->err = -1;
}

static void vring_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vring_reset(struct vring *r)
{
	vring_close_fd(&r->kick);
	vring_close_fd(&r->call);
	vring_close_fd(&r->err);
	r->log = NULL;
	r->features = 0;
	r->num = 0;
	r->base = 0;
	r->have_addr = r->log_used = r->enabled = false;
	r->started = r->broken = r->cutting = false;
	free(r->joined);
	r->joined = NULL;
	store_relaxed(&r->ready, false);
}

void vring_destroy(struct vring *r)
{
	vring_reset(r);
	pthread_mutex_destroy(&r->lock);
}

static void vring_set_ready(struct vring *r)
{
	store_relaxed(&r->ready, r->started && r->enabled && !r->broken);
}

static int __attribute__((format(printf, 2, 3)))
vring_break(struct vring *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

const char *vring_reason(const struct vring *r)
{
	return r->broken ? r->reason : NULL;
}

int vring_resolve(struct vring *r, struct vmq_err *err)
{
	/* One entry more than there are: the event index behind either ring. */
	uint8_t *desc = guest_mem_uva(r->mem, r->desc_uva, (uint64_t)r->num * 16);
	uint8_t *avail = guest_mem_uva(r->mem, r->avail_uva, 4 + (uint64_t)r->num * 2 + 2);
	uint8_t *used = guest_mem_uva(r->mem, r->used_uva, 4 + (uint64_t)r->num * 8 + 2);

	if (!desc || !avail || !used)
		return vmq_err(err, -EINVAL, "its %s ring of %u entries at %#llx is not in the "
			       "guest's memory",
			       !desc ? "descriptor" : !avail ? "available" : "used", r->num,
			       (unsigned long long)(!desc ? r->desc_uva :
						    !avail ? r->avail_uva : r->used_uva));
	if ((uintptr_t)desc & 15 || (uintptr_t)avail & 1 || (uintptr_t)used & 3)
		return vmq_err(err, -EINVAL, "it is not aligned");
	r->desc = (struct ring_desc *)(void *)desc;
	r->avail = (struct ring_avail *)(void *)avail;
	r->used = (struct ring_used *)(void *)used;
	return 0;
}

static void ring_log(const struct vring *r, uint64_t offset, uint64_t len)
{
	if (r->log && r->log_used)
		dirty_log_mark(r->log, r->used_gpa + offset, len);
}

/* Ask the guest to kick for its next buffer, or not to. */
static void ring_notify(struct vring *r, bool on)
{
	if (HAS(r, RING_F_EVENT_IDX)) {
		/* An index left behind asks for nothing: only "on" must be written. */
		if (on) {
			uint16_t *event = (uint16_t *)(void *)&r->used->ring[r->num];

			ring_store16(event, r->avail_idx);
			ring_log(r, 4 + 8ull * r->num, 2);
		}
	} else if (r->notify != on) {
		ring_store16(&r->used->flags, on ? 0 : RING_USED_NO_NOTIFY);
		ring_log(r, 0, 2);
	}
	r->notify = on;
}

static int ring_start(void *arg)
{
	struct vring *r = arg;

	r->used_idx = ring_load16(&r->used->idx);
	r->notify = false;
	ring_notify(r, true);
	return 0;
}

int vring_start(struct vring *r, struct vmq_err *err)
{
	int rc = vring_resolve(r, err);

	if (rc)
		return rc;
	if (r->features & TSO && !r->joined) {
		r->joined = malloc(JOINED_MAX);
		if (!r->joined)
			return vmq_err_sys(err, -ENOMEM, "no memory to cut its frames in");
	}
	r->last_avail = r->avail_idx = r->base;
	r->used_new = 0;
	r->signalled_valid = false;
	r->broken = false;
	if (mem_guard(ring_start, r))
		return vmq_err(err, -EFAULT, "its memory is not there");
	r->started = true;
	vring_set_ready(r);
	vring_interrupt(r);
	return 0;
}

void vring_stop(struct vring *r)
{
	if (!r->started)
		return;
	r->base = r->last_avail;
	r->started = false;
	vring_set_ready(r);
}

void vring_set_enabled(struct vring *r, bool on)
{
	r->enabled = on;
	vring_set_ready(r);
}

void vring_hold(struct vring *r, bool on)
{
	vring_lock(r);
	r->held = on;
	vring_unlock(r);
}

void vring_interrupt(const struct vring *r)
{
	doorbell_ring(r->call);
}

/* ---- the available ring ------------------------------------------------------ */

/* Entries that can be taken; -EPROTO if the index is beyond what the ring holds. */
static int ring_available(struct vring *r)
{
	uint16_t idx, n = (uint16_t)(r->avail_idx - r->last_avail);

	if (n)
		return n;
	idx = le16toh(load_acquire(&r->avail->idx));
	n = (uint16_t)(idx - r->last_avail);
	if (n > r->num)
		return vring_break(r, "available index %u is %u entries ahead in a ring of %u",
				   idx, n, r->num);
	r->avail_idx = idx;
	return n;
}

/*
 * Nothing is left: ask for a kick, then look once more, because a guest that
 * added buffers in between did not see the question.
 */
static int ring_available_or_notify(struct vring *r)
{
	int n = ring_available(r);

	if (n)
		return n;
	ring_notify(r, true);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return ring_available(r);
}

/* ---- chains of descriptors ------------------------------------------------------ */

struct chain {
	uint64_t gpa;		/* of what is left of the current descriptor */
	uint32_t len;
	uint16_t next;
	bool	 more;		/* there is a next one */
	bool	 write;		/* descriptors must be the device's to write */
	uint32_t left;		/* descriptors that may still follow */
	uint64_t table;		/* indirect table; valid if table_n */
	uint32_t table_n;
};

/* Read-once copy of a descriptor in an indirect table, wherever it lies. */
static int chain_fetch_indirect(struct vring *r, struct chain *c, struct ring_desc *d)
{
	uint64_t at = c->table + 16ull * c->next;
	uint8_t *to = (uint8_t *)d;
	uint32_t done = 0;

	while (done < sizeof(*d)) {
		uint32_t n = (uint32_t)sizeof(*d) - done;
		const uint8_t *from = guest_mem_at(r->mem, at + done, &n);

		if (!from)
			return vring_break(r, "an indirect table at %#llx is not in memory",
					   (unsigned long long)c->table);
		memcpy(to + done, from, n);
		done += n;
	}
	d->addr = le64toh(d->addr);
	d->len = le32toh(d->len);
	d->flags = le16toh(d->flags);
	d->next = le16toh(d->next);
	return 0;
}

static int chain_fetch(struct vring *r, struct chain *c, struct ring_desc *d)
{
	const struct ring_desc *from;

	if (c->table_n)
		return chain_fetch_indirect(r, c, d);
	from = &r->desc[c->next];
	d->addr = ring_load64(&from->addr);
	d->len = ring_load32(&from->len);
	d->flags = ring_load16(&from->flags);
	d->next = ring_load16(&from->next);
	return 0;
}

static int chain_enter_table(struct vring *r, struct chain *c, struct ring_desc *d)
{
	if (!HAS(r, RING_F_INDIRECT_DESC) || c->table_n)
		return vring_break(r, "an indirect descriptor %s",
				   c->table_n ? "inside an indirect table" :
				   "although the feature was not negotiated");
	if (d->flags & RING_DESC_NEXT)
		return vring_break(r, "an indirect descriptor with a next one");
	if (!d->len || d->len % sizeof(*d) || d->len / sizeof(*d) > INDIRECT_MAX)
		return vring_break(r, "an indirect table of %u bytes", d->len);
	c->table = d->addr;
	c->table_n = d->len / (uint32_t)sizeof(*d);
	c->next = 0;
	c->left = c->table_n;
	return chain_fetch(r, c, d);
}

/*
 * The next descriptor of a chain. Return: 1; 0 behind the last; -EPROTO.
 */
static int chain_step(struct vring *r, struct chain *c)
{
	struct ring_desc d;
	int rc;

	if (!c->more)
		return 0;
	if (!c->left)
		return vring_break(r, "a chain of descriptors is a loop");
	rc = chain_fetch(r, c, &d);
	if (rc)
		return rc;
	if (d.flags & RING_DESC_INDIRECT) {
		rc = chain_enter_table(r, c, &d);
		if (rc)
			return rc;
		if (d.flags & RING_DESC_INDIRECT)
			return vring_break(r, "an indirect descriptor inside an indirect table");
	}
	if (!!(d.flags & RING_DESC_WRITE) != c->write)
		return vring_break(r, "a buffer for %s in the %s ring",
				   c->write ? "reading" : "writing",
				   c->write ? "receive" : "transmit");
	/* QEMU refuses it too; so every descriptor that is walked moves a byte. */
	if (!d.len)
		return vring_break(r, "a buffer without a byte");
	c->left--;
	c->more = d.flags & RING_DESC_NEXT;
	if (c->more && d.next >= (c->table_n ? c->table_n : r->num))
		return vring_break(r, "descriptor %u does not exist", d.next);
	c->next = d.next;
	c->gpa = d.addr;
	c->len = d.len;
	return 1;
}

/* Take the next available chain; there is one. Return: its head, or -EPROTO. */
static int chain_take(struct vring *r, struct chain *c, bool write)
{
	uint16_t head = ring_load16(&r->avail->ring[r->last_avail & (r->num - 1)]);

	if (head >= r->num)
		return vring_break(r, "descriptor %u does not exist", head);
	*c = (struct chain){ .next = head, .more = true, .write = write, .left = r->num };
	r->last_avail++;
	return head;
}

/*
 * The next piece of a chain in one piece of our memory, at most @want bytes.
 * Return: its length; 0 at the end of the chain; -EPROTO.
 */
static int64_t chain_piece(struct vring *r, struct chain *c, uint32_t want, uint8_t **host,
			   uint64_t *gpa)
{
	uint32_t n;
	int rc;

	while (!c->len) {
		rc = chain_step(r, c);
		if (rc <= 0)
			return rc;
	}
	n = MIN(want, c->len);
	*host = guest_mem_at(r->mem, c->gpa, &n);
	if (!*host)
		return vring_break(r, "a buffer at %#llx is not in the guest's memory",
				   (unsigned long long)c->gpa);
	*gpa = c->gpa;
	c->gpa += n;
	c->len -= n;
	return n;
}

/* ---- the used ring ------------------------------------------------------------- */

static void used_put(struct vring *r, int head, uint32_t len)
{
	uint16_t slot = (uint16_t)(r->used_idx + r->used_new) & (uint16_t)(r->num - 1);
	struct ring_used_elem *e = &r->used->ring[slot];

	store_relaxed(&e->id, htole32((uint32_t)head));
	store_relaxed(&e->len, htole32(len));
	ring_log(r, 4 + 8ull * slot, 8);
	r->used_new++;
}

static bool used_wants_interrupt(struct vring *r, uint16_t old)
{
	uint16_t event;

	/* The guest reads our index after it wrote its wish, and we the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!HAS(r, RING_F_EVENT_IDX))
		return !(ring_load16(&r->avail->flags) & RING_AVAIL_NO_INTERRUPT);
	event = ring_load16(&r->avail->ring[r->num]);
	if (!r->signalled_valid)
		return true;
	return (uint16_t)(r->used_idx - event - 1) < (uint16_t)(r->used_idx - old);
}

static void used_publish(struct vring *r)
{
	if (!r->used_new)
		return;
	r->used_idx = (uint16_t)(r->used_idx + r->used_new);
	r->used_new = 0;
	store_release(&r->used->idx, htole16(r->used_idx));
	ring_log(r, 2, 2);
	if (!used_wants_interrupt(r, r->signalled))
		return;
	r->signalled = r->used_idx;
	r->signalled_valid = true;
	vring_interrupt(r);
}

/* ---- batches --------------------------------------------------------------------- */

static uint32_t ring_hdr_len(const struct vring *r)
{
	/* Without num_buffers where neither version 1 nor merging was negotiated. */
	return HAS(r, VIRTIO_F_VERSION_1) || HAS(r, VIRTIO_NET_F_MRG_RXBUF) ?
		(uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf) :
		(uint32_t)sizeof(struct virtio_net_hdr);
}

/* Run a batch with the lock held and turn its result into a verdict. */
static enum vring_verdict ring_batch(struct vring *r, int (*fn)(void *arg), void *arg)
{
	int rc = mem_guard(fn, arg);

	if (rc >= 0)
		return rc ? VRING_MORE : VRING_IDLE;
	if (rc == -EFAULT)
		vring_break(r, "its memory was taken away while it was in use");
	r->broken = true;
	vring_set_ready(r);
	doorbell_ring(r->err);
	return VRING_BROKEN;
}

/* ---- to the guest ---------------------------------------------------------------- */

struct rx_batch {
	struct vring *r;
	const struct frame *f;
	int	 n;
	int	 settled;
	struct channel_rx *res;
};

/* One frame under way into one or more chains. */
struct rx_write {
	struct chain c;
	int	 head;		/* -1: no chain yet */
	uint32_t written;	/* into this chain */
	uint16_t chains;
	uint32_t at;		/* into the frame, the header included */
	uint8_t *count[2];	/* where the two bytes of num_buffers lie */
	uint64_t count_gpa[2];
};

/* The current chain is full. Return: 0 go on; 1 no room; -EMSGSIZE; -EPROTO. */
static int rx_next_chain(struct vring *r, struct rx_write *w)
{
	int n;

	if (w->head >= 0) {
		if (!HAS(r, VIRTIO_NET_F_MRG_RXBUF))
			return -EMSGSIZE;
		used_put(r, w->head, w->written);
	}
	n = ring_available_or_notify(r);
	if (n <= 0)
		return n ? n : 1;
	w->head = chain_take(r, &w->c, true);
	if (w->head < 0)
		return w->head;
	w->written = 0;
	w->chains++;
	return 0;
}

static int rx_put(struct vring *r, struct rx_write *w, const uint8_t *data, uint32_t len)
{
	const uint32_t count_at = offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers);
	uint32_t i;

	while (len) {
		uint8_t *host;
		uint64_t gpa;
		int64_t n = 0;
		int rc;

		if (w->head >= 0)
			n = chain_piece(r, &w->c, len, &host, &gpa);
		if (n < 0)
			return (int)n;
		if (!n) {
			rc = rx_next_chain(r, w);
			if (rc)
				return rc;
			continue;
		}
		memcpy(host, data, (size_t)n);
		if (r->log)
			dirty_log_mark(r->log, gpa, (uint64_t)n);
		for (i = 0; i < 2; i++) {
			if (count_at + i < w->at || count_at + i >= w->at + n)
				continue;
			w->count[i] = host + (count_at + i - w->at);
			w->count_gpa[i] = gpa + (count_at + i - w->at);
		}
		w->at += (uint32_t)n;
		w->written += (uint32_t)n;
		data += n;
		len -= (uint32_t)n;
	}
	return 0;
}

/* num_buffers: in the first buffer, known with the last. */
static void rx_put_count(struct vring *r, struct rx_write *w)
{
	int i;

	for (i = 0; i < 2; i++) {
		*w->count[i] = (uint8_t)(w->chains >> 8 * i);
		if (r->log)
			dirty_log_mark(r->log, w->count_gpa[i], 1);
	}
}

static int rx_put_frame(struct vring *r, struct rx_write *w, const struct frame *f)
{
	static const struct virtio_net_hdr_mrg_rxbuf hdr;
	uint32_t hdr_len = ring_hdr_len(r);
	int rc, i;

	rc = rx_put(r, w, (const uint8_t *)&hdr, hdr_len);
	for (i = 0; !rc && i < f->parts; i++)
		rc = rx_put(r, w, f->part[i].iov_base, (uint32_t)f->part[i].iov_len);
	if (rc)
		return rc;
	if (hdr_len == sizeof(hdr))
		rx_put_count(r, w);
	used_put(r, w->head, w->written);
	return 0;
}

static int rx_batch(void *arg)
{
	struct rx_batch *b = arg;
	struct vring *r = b->r;

	while (b->settled < b->n) {
		struct rx_write w = { .head = -1 };
		uint16_t taken = r->last_avail, used = r->used_new;
		int rc;

		ring_notify(r, false);
		rc = rx_put_frame(r, &w, &b->f[b->settled]);
		if (rc && rc != -EPROTO) {
			/* Give the chains back: nothing of them was published. */
			r->last_avail = taken;
			r->used_new = used;
		}
		/* A whole ring that does not hold the frame never will. */
		if (rc == 1 && w.chains >= r->num)
			rc = -EMSGSIZE;
		if (rc == -EPROTO)
			return rc;
		if (rc == 1)
			break;
		if (rc)
			b->res->error++;
		else
			b->res->delivered++;
		b->settled++;
	}
	used_publish(r);
	return 0;
}

enum vring_verdict vring_rx(struct vring *r, const struct frame *f, int n,
			    struct channel_rx *res, int *settled)
{
	struct rx_batch b = { .r = r, .f = f, .n = n, .res = res };
	enum vring_verdict v = VRING_OFF;

	vring_lock(r);
	if (r->held)
		v = VRING_HELD;
	else if (r->ready)
		v = ring_batch(r, rx_batch, &b);
	vring_unlock(r);
	*settled = b.settled;
	return v;
}

/* ---- from the guest -------------------------------------------------------------- */

struct tx_batch {
	struct vring *r;
	struct frame_buf *buf;
	int	 n;
	int	 taken;
};

/*
 * Copy up to @want bytes out of a chain. Return: how many (fewer: the chain has
 * no more), or -EPROTO.
 */
static int64_t tx_copy(struct vring *r, struct chain *c, uint8_t *to, uint32_t want)
{
	uint32_t done = 0;

	while (done < want) {
		uint8_t *host;
		uint64_t gpa;
		int64_t n = chain_piece(r, c, want - done, &host, &gpa);

		if (n < 0)
			return n;
		if (!n)
			break;
		memcpy(to + done, host, (size_t)n);
		done += (uint32_t)n;
	}
	return done;
}

/* The header, private by now: does the frame stand? Completes it. */
static enum channel_fault tx_accept(const struct vring *r, const struct virtio_net_hdr *hdr,
				    struct frame_buf *buf)
{
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || !HAS(r, VIRTIO_NET_F_CSUM))
		return CHANNEL_FINE;
	return csum_complete(buf->data, buf->len, le16toh(hdr->csum_start),
			     le16toh(hdr->csum_offset)) ? CHANNEL_BAD_CSUM : CHANNEL_FINE;
}

/* A joined frame into private memory. Return: 0, and r->cutting; a fault; -EPROTO. */
static int tx_take_joined(struct vring *r, struct chain *c, const struct virtio_net_hdr *hdr)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint8_t beyond;
	int64_t n, more;

	if (!(type == VIRTIO_NET_HDR_GSO_TCPV4 && HAS(r, VIRTIO_NET_F_HOST_TSO4)) &&
	    !(type == VIRTIO_NET_HDR_GSO_TCPV6 && HAS(r, VIRTIO_NET_F_HOST_TSO6)))
		return CHANNEL_BAD_HEADER;
	n = tx_copy(r, c, r->joined, JOINED_MAX);
	if (n < 0)
		return (int)n;
	more = n == JOINED_MAX ? tx_copy(r, c, &beyond, 1) : 0;
	if (more)
		return more < 0 ? (int)more : CHANNEL_TOO_LONG;
	if (gso_begin(&r->gso, r->joined, (uint32_t)n, type, le16toh(hdr->gso_size)))
		return CHANNEL_BAD_GSO;
	r->cutting = true;
	return 0;
}

/* As many segments as there is room for. */
static void tx_cut(struct tx_batch *b)
{
	struct vring *r = b->r;

	while (r->cutting && b->taken < b->n) {
		struct frame_buf *buf = &b->buf[b->taken];
		int n = gso_next(&r->gso, buf->data, buf->room);

		r->cutting = n > 0;
		if (!n)
			break;
		buf->len = n < 0 ? 0 : (uint32_t)n;
		buf->fault = n < 0 ? CHANNEL_TOO_LONG : CHANNEL_FINE;
		b->taken++;
	}
}

/*
 * A frame into @buf, or r->cutting. Return: what is wrong with it (enum
 * channel_fault), or -EPROTO.
 */
static int tx_take(struct vring *r, struct chain *c, struct frame_buf *buf)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	uint32_t hdr_len = ring_hdr_len(r);
	uint8_t beyond;
	int64_t n;

	buf->len = 0;
	if (!r->enabled)
		return CHANNEL_DISABLED;
	n = tx_copy(r, c, (uint8_t *)&hdr, hdr_len);
	if (n < (int64_t)hdr_len)
		return n < 0 ? (int)n : CHANNEL_BAD_HEADER;
	if (hdr.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return tx_take_joined(r, c, &hdr.hdr);
	n = tx_copy(r, c, buf->data, buf->room);
	if (n < 0)
		return (int)n;
	buf->len = (uint32_t)n;
	if (buf->len == buf->room) {
		n = tx_copy(r, c, &beyond, 1);
		if (n)
			return n < 0 ? (int)n : CHANNEL_TOO_LONG;
	}
	return tx_accept(r, &hdr.hdr, buf);
}

static int tx_batch(void *arg)
{
	struct tx_batch *b = arg;
	struct vring *r = b->r;
	struct chain c = { 0 };
	int head, rc, n;

	while (b->taken < b->n) {
		n = ring_available_or_notify(r);
		if (n <= 0) {
			if (n < 0)
				return n;
			used_publish(r);
			return 0;
		}
		ring_notify(r, false);
		head = chain_take(r, &c, false);
		if (head < 0)
			return head;
		rc = tx_take(r, &c, &b->buf[b->taken]);
		if (rc < 0)
			return rc;
		used_put(r, head, 0);
		if (r->cutting)
			tx_cut(b);
		else
			b->buf[b->taken++].fault = (enum channel_fault)rc;
	}
	used_publish(r);
	return 1;
}

enum vring_verdict vring_tx(struct vring *r, struct frame_buf *buf, int n, int *taken)
{
	struct tx_batch b = { .r = r, .buf = buf, .n = n };
	enum vring_verdict v = VRING_OFF;

	vring_lock(r);
	if (r->held) {
		v = VRING_HELD;
	} else {
		tx_cut(&b);
		if (r->started && !r->broken)
			v = ring_batch(r, tx_batch, &b);
	}
	vring_unlock(r);
	*taken = b.taken;
	return v;
}
