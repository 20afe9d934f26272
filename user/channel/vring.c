// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring.c - one virtqueue, seen from the device
 *
 * DOC: Theory of operation
 *
 * A batch is: take chains of buffers, copy, give each one back, and at the end
 * publish them, mark what was written in the dirty log and interrupt the guest once.
 * Everything inside a batch runs under mem_guard(), because the file behind
 * guest memory can shrink at any time. Chains come from the ring's layout
 * (vring_layout.h; vring_split.c, vring_packed.c).
 *
 * Read once: indices, ring entries and descriptors are fetched with single
 * relaxed loads into private memory (ring_load()) and only that is looked at. A
 * guest that changes a descriptor while it is read gets one of the two values,
 * both of which are checked. Buffers are found anew for each piece, so a buffer
 * may cross from one region into the next, or lie over another or over the ring
 * itself: that is the guest's own loss.
 *
 * The work is bounded, because others wait for the worker: empty buffers are refused, a
 * chain has at most CHAIN_MAX of the others, no frame goes into more than those in
 * several chains, and a batch ends when it has come across WORK_MAX.
 *
 * Segmentation (HOST_TSO). A joined frame is copied, used up, and cut in private
 * memory (common/gso.h), so what the guest does with it meanwhile is no matter. Its
 * segments may outlast the batch, even the ring: they are the guest's frames as soon
 * as they are copied.
 *
 * Buffers are used in the order in which they were made available, and all that
 * were taken are used up at the end of a batch. So the ring in guest memory says
 * where a successor must begin (a split one by its used index), and nothing is ever in
 * flight between two batches: a restarted service needs no record of its own (INFLIGHT).
 */
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
#include "channel/vring_layout.h"
#include "common/util.h"

#define WORK_MAX	2048	/* buffers of a batch: 32 for each of 64 frames */
#define TSO		(UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4 | \
			 UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6)

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
	store_relaxed(&r->features, 0);
	r->num = 0;
	r->base = 0;
	r->have_addr = r->log_used = r->enabled = r->told = r->keeps = false;
	r->started = r->broken = false;
	free(r->cut.joined);
	r->cut = (struct cut){ 0 };
	free(r->packed.done);
	r->packed.done = NULL;
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

int vring_break(struct vring *r, const char *fmt, ...)
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
	return r->layout->resolve(r, err);
}

static int ring_start(void *arg)
{
	struct vring *r = arg;

	return r->layout->start(r);
}

int vring_start(struct vring *r, struct vmq_err *err)
{
	bool packed = HAS(r, VIRTIO_F_RING_PACKED);
	int rc;

	r->layout = packed ? &vring_packed_layout : &vring_split_layout;
	rc = vring_resolve(r, err);
	if (rc)
		return rc;
	if (packed) {
		free(r->packed.done);
		r->packed.done = calloc(r->num, sizeof(*r->packed.done));
		if (!r->packed.done)
			return vmq_err_sys(err, -ENOMEM, "no memory for a ring of %u", r->num);
	}
	if (r->features & TSO && !r->cut.joined) {
		r->cut.joined = malloc(CUT_MAX);
		if (!r->cut.joined)
			return vmq_err_sys(err, -ENOMEM, "no memory to cut its frames in");
	}
	r->at = (struct vring_at){ 0 };
	r->notify = r->broken = false;
	rc = mem_guard(ring_start, r);
	if (rc)
		return rc == -EFAULT ? vmq_err(err, rc, "its memory is not there") :
				       vmq_err(err, -EINVAL, "%s", r->reason);
	r->base = r->layout->base(r);
	r->started = true;
	vring_set_ready(r);
	vring_interrupt(r);
	return 0;
}

bool vring_was_served(const struct vring *r)
{
	return r->base != r->layout->fresh;
}

void vring_stop(struct vring *r)
{
	if (!r->started)
		return;
	r->base = r->layout->base(r);
	r->started = false;
	vring_set_ready(r);
}

void vring_set_enabled(struct vring *r, bool on)
{
	r->enabled = on;
	r->told = true;
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

/* ---- chains -------------------------------------------------------------------- */

int chain_table_size(struct vring *r, uint32_t len, uint16_t flags)
{
	if (!HAS(r, RING_F_INDIRECT_DESC))
		return vring_break(r, "an indirect descriptor although the feature was not "
				   "negotiated");
	if (flags & RING_DESC_NEXT)
		return vring_break(r, "an indirect descriptor with a next one");
	if (!len || len % sizeof(struct ring_desc) || len / sizeof(struct ring_desc) > CHAIN_MAX)
		return vring_break(r, "an indirect table of %u bytes", len);
	return (int)(len / sizeof(struct ring_desc));
}

int chain_table_fetch(struct vring *r, uint64_t gpa, uint32_t i, void *desc)
{
	const uint32_t size = sizeof(struct ring_desc);
	uint64_t at = gpa + (uint64_t)size * i;
	uint8_t *to = desc;
	uint32_t done = 0;

	while (done < size) {
		uint32_t n = size - done;
		const uint8_t *from = guest_mem_at(r->mem, at + done, &n);

		if (!from)
			return vring_break(r, "an indirect table at %#llx is not in memory",
					   (unsigned long long)gpa);
		memcpy(to + done, from, n);
		done += n;
	}
	return 0;
}

/*
 * The next piece of a chain in one piece of our memory, at most @want bytes.
 * Return: its length; 0 at the end of the chain; -EPROTO.
 */
static int64_t chain_piece(struct vring *r, struct chain *c, uint32_t want, uint8_t **host,
			   uint64_t *gpa)
{
	struct chain_buf *b = &c->buf[c->at];
	uint32_t n;

	if (c->at == c->n)
		return 0;
	n = MIN(want, b->len);
	*host = guest_mem_at(r->mem, b->gpa, &n);
	if (!*host)
		return vring_break(r, "a buffer at %#llx is not in the guest's memory",
				   (unsigned long long)b->gpa);
	*gpa = b->gpa;
	b->gpa += n;
	b->len -= n;
	if (!b->len)
		c->at++;
	return n;
}

/* ---- batches --------------------------------------------------------------------- */

static uint32_t ring_hdr_len(const struct vring *r)
{
	/* Without num_buffers where neither version 1 nor merging was negotiated. */
	return HAS(r, VIRTIO_F_VERSION_1) || HAS(r, VIRTIO_NET_F_MRG_RXBUF) ?
		(uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf) :
		(uint32_t)sizeof(struct virtio_net_hdr);
}

static void ring_publish(struct vring *r)
{
	if (r->layout->publish(r))
		vring_interrupt(r);
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
	struct chain *c;
	uint32_t written;	/* into this chain */
	uint32_t chains;	/* taken, this one included; 0: there is none */
	uint32_t slots;		/* of the ring, that they take */
	uint32_t bufs;		/* in them */
	uint32_t at;		/* into the frame, the header included */
	uint8_t *count[2];	/* where the two bytes of num_buffers lie */
	uint64_t count_gpa[2];
};

/* The current chain is full. Return: 0 go on; 1 no room; -EMSGSIZE; -EPROTO. */
static int rx_next_chain(struct vring *r, struct rx_write *w)
{
	int n;

	if (w->chains) {
		if (!HAS(r, VIRTIO_NET_F_MRG_RXBUF))
			return -EMSGSIZE;
		r->layout->put(r, w->c, w->written, true);
	}
	n = r->layout->take(r, w->c);
	if (n <= 0)
		return n ? n : 1;
	w->written = 0;
	w->chains++;
	w->slots += w->c->slots;
	w->bufs += w->c->n;
	return w->chains > 1 && w->bufs > CHAIN_MAX ? -EMSGSIZE : 0;
}

static int rx_put(struct vring *r, struct rx_write *w, const uint8_t *data, uint32_t len)
{
	const uint32_t count_at = offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers);
	uint32_t i;

	while (len) {
		uint8_t *host;
		uint64_t gpa = 0;
		int64_t n = 0;
		int rc;

		if (w->chains)
			n = chain_piece(r, w->c, len, &host, &gpa);
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

/* @j: all of its frames as one; NULL: the first of them. */
static int rx_put_frame(struct vring *r, struct rx_write *w, const struct frame *f,
			const struct frame_join *j)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = { 0 };
	uint32_t hdr_len = ring_hdr_len(r);
	int rc, i;

	if (j)
		hdr.hdr = j->hdr;
	rc = rx_put(r, w, (const uint8_t *)&hdr, hdr_len);
	if (j && !rc)
		rc = rx_put(r, w, j->headers, j->headers_len);
	for (i = 0; j && !rc && i < j->frames; i++) {
		struct iovec payload = frame_payload(&f[i], j->headers_len);

		rc = rx_put(r, w, payload.iov_base, (uint32_t)payload.iov_len);
	}
	for (i = 0; !j && !rc && i < f->parts; i++)
		rc = rx_put(r, w, f->part[i].iov_base, (uint32_t)f->part[i].iov_len);
	if (rc)
		return rc;
	if (hdr_len == sizeof(hdr))
		rx_put_count(r, w);
	r->layout->put(r, w->c, w->written, false);
	return 0;
}

/* A guest that leaves it to us gets segments joined, if it takes such ones. */
static bool rx_joins(const struct vring *r, const struct frame_join *j)
{
	return j && HAS(r, j->hdr.gso_type == VIRTIO_NET_HDR_GSO_TCPV6 ? VIRTIO_NET_F_GUEST_TSO6
								       : VIRTIO_NET_F_GUEST_TSO4);
}

static int rx_batch(void *arg)
{
	struct rx_batch *b = arg;
	struct vring *r = b->r;
	uint32_t work = 0;
	struct chain c;

	c.write = true;
	while (b->settled < b->n && work < WORK_MAX) {
		const struct frame *f = &b->f[b->settled];
		struct rx_write w = { .c = &c };
		struct vring_at before = r->at;
		int rc, frames = 1;

		if (rx_joins(r, f->join)) {
			frames = f->join->frames;
			rc = rx_put_frame(r, &w, f, f->join);
			if (rc == 1 || rc == -EMSGSIZE) {
				/* No room for all of it: as many of its frames as there is. */
				r->at = before;
				frames = 1;
				work += w.bufs;
				w = (struct rx_write){ .c = &c };
				rc = rx_put_frame(r, &w, f, NULL);
			}
		} else {
			rc = rx_put_frame(r, &w, f, NULL);
		}
		work += w.bufs;
		if (rc && rc != -EPROTO)
			r->at = before;	/* nothing of its chains was published */
		/* A whole ring that does not hold the frame never will. */
		if (rc == 1 && w.slots >= r->num)
			rc = -EMSGSIZE;
		if (rc == -EPROTO)
			return rc;
		if (rc == 1)
			break;
		if (rc)
			b->res->error++;
		else
			b->res->delivered += (uint32_t)frames;
		b->res->joined += (uint32_t)frames - 1;
		b->settled += frames;
	}
	ring_publish(r);
	return work >= WORK_MAX;
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

/* A joined frame into private memory. Return: 0, and it is in r->cut; a fault; -EPROTO. */
static int tx_take_joined(struct vring *r, struct chain *c, const struct virtio_net_hdr *hdr)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	uint8_t beyond;
	int64_t n, more;

	if (!(type == VIRTIO_NET_HDR_GSO_TCPV4 && HAS(r, VIRTIO_NET_F_HOST_TSO4)) &&
	    !(type == VIRTIO_NET_HDR_GSO_TCPV6 && HAS(r, VIRTIO_NET_F_HOST_TSO6)))
		return CHANNEL_BAD_HEADER;
	n = tx_copy(r, c, r->cut.joined, CUT_MAX);
	if (n < 0)
		return (int)n;
	more = n == CUT_MAX ? tx_copy(r, c, &beyond, 1) : 0;
	if (more)
		return more < 0 ? (int)more : CHANNEL_TOO_LONG;
	return (int)cut_begin(&r->cut, hdr, (uint32_t)n);
}

static void tx_cut(struct tx_batch *b)
{
	b->taken += cut_more(&b->r->cut, b->buf + b->taken, b->n - b->taken);
}

/*
 * A frame into @buf, or one to cut into r->cut. Return: what is wrong with it (enum
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
	return HAS(r, VIRTIO_NET_F_CSUM) ? cut_complete(&hdr.hdr, buf) : CHANNEL_FINE;
}

static int tx_batch(void *arg)
{
	struct tx_batch *b = arg;
	struct vring *r = b->r;
	uint32_t work = 0;
	struct chain c;
	int rc, n;

	c.write = false;
	while (b->taken < b->n && work < WORK_MAX) {
		n = r->layout->take(r, &c);
		if (n < 0)
			return n;
		if (!n) {
			ring_publish(r);
			return 0;
		}
		work += c.n;
		rc = tx_take(r, &c, &b->buf[b->taken]);
		if (rc < 0)
			return rc;
		r->layout->put(r, &c, 0, false);
		if (r->cut.under_way)
			tx_cut(b);
		else
			b->buf[b->taken++].fault = (enum channel_fault)rc;
	}
	ring_publish(r);
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
		if (r->started && !r->broken && r->told && (r->enabled || !r->keeps))
			v = ring_batch(r, tx_batch, &b);
	}
	vring_unlock(r);
	*taken = b.taken;
	return v;
}
