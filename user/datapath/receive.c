// SPDX-License-Identifier: GPL-2.0-only
/*
 * receive.c - a frame's way from a ring to the guest
 *
 * DOC: Theory of operation
 *
 * A poll takes a batch from the ring, describes each frame as the guest shall
 * see it, and lets the channel copy it. Then the frames go back for FILL, and only
 * then are the entries released: while a frame lies in the ring or on its way through
 * here, its entry is taken, so a pair never holds more frames than its quota (P-13).
 *
 * A guest without room settles fewer frames than it was given. The rest stays
 * in the ring and the ring is *blocked*: it waits for the guest's kick (the
 * channel's descriptor) or for a new frame's edge. When the ring is full the
 * kernel drops and counts this guest's frames, and nobody else's.
 *
 * The kick wakes the worker of the lane's own pair. Pairs that share the lane say
 * that they wait, and are woken by that one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "datapath/gro.h"
#include "datapath/receive.h"
#include "vmq/abi.h"

_Static_assert(RECEIVE_BATCH <= GRO_BURST, "a batch is a burst");

struct batch {
	struct frame frame[RECEIVE_BATCH];
	uint64_t addr[RECEIVE_BATCH];
	struct gro gro;
	uint8_t	 tag[RECEIVE_BATCH][VLAN_HLEN];
};

/*
 * A frame's memory was last written by the kernel, mostly on another CPU, so the
 * first look at a cache line of it costs about as much as all the rest that is
 * done here. Hence the program writes OOB records only where there is something
 * to tell, and nothing of a frame is read that the channel does not read anyway.
 */

/* What a port may not see of a frame that carries no record: its own VLAN's tag. */
static uint32_t receive_strip(const struct pair *p, const uint8_t *data, uint32_t len)
{
	uint16_t proto;

	if (p->rule == VMQ_RULE_ANY || len < ETH_HLEN + VLAN_HLEN)
		return 0;
	memcpy(&proto, data + 2 * ETH_ALEN, sizeof(proto));
	return proto == htons(ETH_P_8021Q) ? VLAN_HLEN : 0;
}

/*
 * Describe one frame by its OOB record. It lies right in front of it, but the
 * descriptor does not say whether there is one, and a frame redirected without
 * leaves the bytes of the buffer's last user: so the record is wiped when its frame
 * leaves the ring, and the slot must be this ring's.
 */
static void receive_describe_oob(const struct ring *r, struct frame *f, uint8_t *data,
				 uint32_t len, uint8_t tag[VLAN_HLEN])
{
	const struct vmq_oob *oob = (const struct vmq_oob *)data - 1;
	uint32_t strip = 0;

	if (oob->version != VMQ_OOB_VERSION || oob->pair_slot != r->slot) {
		frame_build(f, data, len, 0, NULL);
		return;
	}
	if (oob->strip == VLAN_HLEN && len >= ETH_HLEN + VLAN_HLEN)
		strip = VLAN_HLEN;

	/* The NIC took the tag out; a port of all VLANs must see it. */
	if (r->pair->rule == VMQ_RULE_ANY &&
	    (oob->flags & (VMQ_OOB_F_VLAN | VMQ_OOB_F_STRIPPED)) ==
	    (VMQ_OOB_F_VLAN | VMQ_OOB_F_STRIPPED)) {
		frame_put_tag(tag, oob->flags & VMQ_OOB_F_AD ? ETH_P_8021AD : ETH_P_8021Q,
			      oob->vlan_tci);
		frame_build(f, data, len, strip, tag);
		return;
	}
	frame_build(f, data, len, strip, NULL);
}

static void receive_describe(const struct ring *r, struct frame *f, uint8_t *data,
			     uint32_t len, uint8_t tag[VLAN_HLEN])
{
	if (r->pair->oob)
		receive_describe_oob(r, f, data, len, tag);
	else
		frame_build(f, data, len, receive_strip(r->pair, data, len), NULL);
}

/* The frames are through: give their buffers back. Their entries are not released yet. */
static void receive_give_back(const struct ring *r, const uint64_t *addr, uint32_t n)
{
	for (uint32_t i = 0; i < n && r->pair->oob; i++)
		((struct vmq_oob *)rxq_data(r->rxq, addr[i]) - 1)->version = 0;
	rxq_refill(r->rxq, addr, n);
}

/* Give a batch to the guest. Return: frames settled, from the front. */
static int receive_give(struct pair *p, const struct frame *f, int n)
{
	struct channel_rx res = { 0 };
	int settled = n;

	if (p->channel) {
		pthread_mutex_lock(p->rx_lock);
		settled = p->channel->ops->rx_burst(p->channel, p->lane, f, n, &res);
		pthread_mutex_unlock(p->rx_lock);
	} else {
		res.error = (uint32_t)n;
	}
	counter_add(&p->stats->delivered, res.delivered);
	if (res.joined)
		counter_add(&p->stats->joined, res.joined);
	if (res.full)
		counter_add(&p->stats->channel_full, res.full);
	if (res.error)
		counter_add(&p->stats->channel_error, res.error);
	p->drain_delivered += res.delivered;
	return settled;
}

static bool receive_joins(const struct pair *p)
{
	const struct channel *ch = p->channel;

	return p->gro && ch && ch->ops->takes_joined &&
	       ch->ops->takes_joined(p->channel, p->lane);
}

/*
 * The batch was given in another order than that of the ring, and the guest took the
 * first @settled of it: now the entries are in that order, too, so that those are
 * released and the others stay. Nobody else looks at the entries: the kernel writes
 * them, and not before they are released.
 */
static void receive_reorder(struct ring *r, uint32_t at, struct batch *b, uint32_t n,
			    uint32_t settled)
{
	struct xdp_desc entry[RECEIVE_BATCH], *ring = r->rx.ring;
	uint64_t addr[RECEIVE_BATCH];
	uint32_t i;

	memcpy(addr, b->addr, n * sizeof(addr[0]));
	for (i = 0; i < n; i++)
		b->addr[i] = addr[b->gro.order[i]];
	if (settled == n)
		return;
	for (i = 0; i < n; i++)
		entry[i] = ring[(at + b->gro.order[i]) & r->rx.mask];
	for (i = 0; i < n; i++)
		ring[(at + i) & r->rx.mask] = entry[i];
}

int receive_poll(struct source *s)
{
	struct ring *r = container_of(s, struct ring, source);
	struct pair *p = r->pair;
	const struct frame *f;
	uint32_t at, n, i;
	struct batch b;
	int settled;

	if (p->paused) {
		rxq_look_after(r->rxq);
		return 0;
	}
	n = xsk_ring_cons__peek(&r->rx, RECEIVE_BATCH, &at);
	if (!n)
		return 0;
	for (i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&r->rx, at + i);

		b.addr[i] = d->addr;
		if (p->channel)
			receive_describe(r, &b.frame[i], rxq_data(r->rxq, d->addr), d->len,
					 b.tag[i]);
	}

	f = n > 1 && receive_joins(p) ? gro_join(&b.gro, b.frame, (int)n) : b.frame;
	settled = receive_give(p, f, (int)n);
	if (f != b.frame)
		receive_reorder(r, at, &b, n, (uint32_t)settled);
	if (settled > 0) {
		receive_give_back(r, b.addr, (uint32_t)settled);
		xsk_ring_cons__release(&r->rx, (uint32_t)settled);
	} else {
		rxq_look_after(r->rxq);
	}
	r->blocked = settled < (int)n;
	if (r->blocked)
		xsk_ring_cons__cancel(&r->rx, n - (uint32_t)settled);
	if (r->blocked && p->room_fd >= 0 && !load_relaxed(&p->waits)) {
		/* A kick that came before this was said has woken nobody: look again. */
		__atomic_store_n(&p->waits, true, __ATOMIC_SEQ_CST);
		worker_wake_source(s->worker, s);
	}
	if (p->drain)
		worker_wake_source(p->drain_source.worker, &p->drain_source);
	return settled;
}

void receive_retry(struct pair *p, bool all)
{
	uint32_t i;

	for (i = 0; i < p->rings; i++) {
		struct ring *r = p->ring[i];

		if (r->source.worker && (all || r->blocked)) {
			r->blocked = false;
			worker_wake_source(r->source.worker, &r->source);
		}
	}
}

/* Those who share the lane of @p, be they in other workers. */
static void receive_tell_sharers(struct pair *p)
{
	struct pair *other = load_acquire(&p->sharer);
	uint64_t one = 1;

	for (; other; other = load_acquire(&other->sharer))
		if (load_relaxed(&other->waits) &&
		    __atomic_exchange_n(&other->waits, false, __ATOMIC_SEQ_CST) &&
		    write(other->room_fd, &one, sizeof(one)) < 0)
			log_debug("queue %u: %s", port_id(p->port), strerror(errno));
}

/* The descriptor is never read: the write alone wakes, edge-triggered. */
int receive_room_poll(struct source *s)
{
	struct pair *p = container_of(s, struct pair, transmit);

	if (!p->paused)
		receive_retry(p, false);
	return 0;
}

/* The guest sent something, or made room: this descriptor tells of both. */
int receive_transmit_poll(struct source *s)
{
	struct pair *p = container_of(s, struct pair, transmit);
	int n;

	if (p->paused)
		return 0;
	receive_retry(p, false);
	receive_tell_sharers(p);
	n = transmit_poll(&p->ctx);
	if (n >= 0)
		return n;
	log_warn("queue %u (%s): the channel broke: %s; nothing more is taken from it",
		 port_id(p->port), port_name(p->port), vmq_err_name(n));
	worker_del(s->worker, s);
	return 0;
}

bool receive_switched(struct pair *p, const struct frame *f)
{
	struct channel_rx res = { 0 };

	pthread_mutex_lock(p->rx_lock);
	if (p->channel && !p->paused)
		p->channel->ops->rx_burst(p->channel, p->lane, f, 1, &res);
	if (res.delivered)
		counter_add(&p->stats->switch_delivered, 1);
	else
		counter_add(&p->stats->switch_dropped, 1);
	pthread_mutex_unlock(p->rx_lock);
	return res.delivered;
}

/* ---- the end of a queue ---------------------------------------------------- */

static uint32_t receive_drop(struct pair *p, uint32_t from, uint64_t *reason)
{
	uint64_t addr[RECEIVE_BATCH];
	uint32_t sum = 0, at, n, i, k;

	for (i = from; i < p->rings; i++) {
		struct ring *r = p->ring[i];

		while ((n = xsk_ring_cons__peek(&r->rx, RECEIVE_BATCH, &at))) {
			for (k = 0; k < n; k++)
				addr[k] = xsk_ring_cons__rx_desc(&r->rx, at + k)->addr;
			receive_give_back(r, addr, n);
			/* counted before it leaves the ring: see port_get_stats() */
			counter_add(reason, n);
			xsk_ring_cons__release(&r->rx, n);
			sum += n;
		}
		r->blocked = false;
	}
	return sum;
}

/**
 * receive_discard() - empty rings of a pair without delivering
 * @p: pair
 * @from: first RX queue
 *
 * Return: frames discarded; they are counted.
 */
uint32_t receive_discard(struct pair *p, uint32_t from)
{
	return receive_drop(p, from, &p->stats->discarded);
}

static bool receive_empty(const struct pair *p)
{
	uint32_t i;

	for (i = 0; i < p->rings; i++)
		if (ring_in_flight(p->ring[i]))
			return false;
	return true;
}

/* Has the guest no room for anything that is left? Its rings have been polled. */
static bool receive_stuck(const struct pair *p)
{
	uint32_t i;

	for (i = 0; i < p->rings; i++)
		if (!p->ring[i]->blocked && ring_in_flight(p->ring[i]))
			return false;
	return true;
}

void receive_drain_end(struct pair *p)
{
	bool full;

	if (!p->drain)
		return;
	full = p->drain->stopped && receive_stuck(p);
	p->drain_discarded = receive_drop(p, 0, full ? &p->stats->channel_full
						     : &p->stats->discarded);
	worker_del(p->drain_source.worker, &p->drain_source);
	p->drain_done(p);
}

/*
 * The rings' own polls deliver; this one looks whether they are through. It is
 * woken after every batch of them, and by its timer at the deadline. A paused
 * guest takes nothing before any deadline.
 */
int receive_drain_poll(struct source *s)
{
	struct pair *p = container_of(s, struct pair, drain_source);

	if (p->paused || receive_empty(p) || now_ns() >= p->drain->deadline_ns ||
	    (p->drain->stopped && receive_stuck(p)))
		receive_drain_end(p);
	else
		worker_wake_at(s->worker, s, p->drain->deadline_ns);
	return 0;
}
