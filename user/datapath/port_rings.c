// SPDX-License-Identifier: GPL-2.0-only
/*
 * port_rings.c - a port's rings: one for each (receiving pair, RX queue)
 *
 * They form a rectangle that grows and shrinks in both directions: RX queues
 * appear (ethtool -L), and the number of receiving pairs is changed. New rings
 * are opened, given to their workers and only then published in the XSKMAP; an
 * error at any point takes all new ones back.
 *
 * The statistics of a socket end with it. They are banked when its ring is
 * withdrawn and emptied, after the barrier that the caller has waited for, so
 * that nothing is counted later.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port_own.h"

/* Pairs [first, last) and RX queues [from, to). */
struct rings {
	int first, last;
	uint32_t from, to;
};

struct rings_call {
	struct pair *pair;
	uint32_t from, to;
	int rc;
};

static int port_open_ring(struct port *p, int pair, uint32_t rxq, struct vmq_err *err)
{
	const struct datapath_config *dp = datapath_cfg(p->dp);
	struct ring_config cfg = {
		.pair = p->pair[pair],
		.rxq = datapath_rxq(p->dp, rxq),
		.entries = p->entries,
		.slot = p->slot[pair],
		.stride = dp->stride,
		.map_fd = dp->xsks_fd,
		.poll = receive_poll,
	};

	return ring_open(&p->pair[pair]->ring[rxq], &cfg, err);
}

/* The last ring's frames, counts and socket. */
static void port_close_ring(struct port *p, struct ring **at)
{
	struct ring_counts last;

	if (!*at)
		return;
	ring_close(*at, &last, datapath_closer(p->dp, p->closing), p->closing);
	p->banked.full += last.full;
	p->banked.no_buffer += last.no_buffer;
	p->kept->ring_full = MAX(p->kept->ring_full, p->banked.full);
	p->kept->no_buffer = MAX(p->kept->no_buffer, p->banked.no_buffer);
	*at = NULL;
}

static void pair_take_rings(struct worker *w, void *arg)
{
	struct rings_call *call = arg;
	struct pair *p = call->pair;
	uint32_t r;

	for (r = call->from; r < call->to && !call->rc; r++)
		call->rc = worker_add(w, &p->ring[r]->source);
	p->rings = call->to;
}

/* Take the rings from call->from on away; what they hold is discarded. */
static void pair_drop_rings(struct worker *w, void *arg)
{
	struct rings_call *call = arg;
	struct pair *p = call->pair;
	uint32_t r;

	for (r = call->from; r < p->rings; r++)
		worker_del(w, &p->ring[r]->source);
	if (!call->from)
		receive_drain_end(p);
	receive_discard(p, call->from);
	p->rings = call->from;
}

static void port_close_rings(struct port *p, const struct rings *which)
{
	struct rings_call call = { .from = which->from };
	uint32_t r;
	int i;

	for (i = which->first; i < which->last; i++)
		for (r = which->from; p->pair[i]->ring && r < which->to; r++)
			if (p->pair[i]->ring[r])
				ring_withdraw(p->pair[i]->ring[r]);
	for (i = which->first; i < which->last; i++) {
		struct pair *pair = p->pair[i];

		call.pair = pair;
		if (pair->rings > which->from)
			worker_call(pair->worker, pair_drop_rings, &call);
		for (r = which->from; pair->ring && r < which->to; r++)
			port_close_ring(p, &pair->ring[r]);
		if (which->from)
			continue;
		free(pair->ring);
		pair->ring = NULL;
	}
}

static int port_open_rings(struct port *p, const struct rings *which, struct vmq_err *err)
{
	struct rings_call call = { .from = which->from, .to = which->to };
	const struct datapath_config *dp = datapath_cfg(p->dp);
	int i, rc = 0, pairs = which->last;
	uint32_t r;

	for (i = which->first; i < which->last; i++) {
		struct pair *pair = p->pair[i];

		if (!pair->ring)
			pair->ring = calloc(dp->stride, sizeof(struct ring *));
		if (!pair->ring)
			rc = vmq_err_sys(err, -ENOMEM, "no memory for rings");
		for (r = which->from; r < which->to && !rc; r++)
			rc = port_open_ring(p, i, r, err);
		if (rc)
			goto err_close;
	}
	for (i = which->first; i < which->last; i++) {
		call.pair = p->pair[i];
		worker_call(call.pair->worker, pair_take_rings, &call);
		rc = call.rc;
		if (rc) {
			vmq_err_sys(err, rc, "the worker of CPU %u cannot watch a ring",
				    worker_cpu(call.pair->worker));
			goto err_close;
		}
	}
	for (i = which->first; i < which->last; i++)
		for (r = which->from; r < which->to; r++) {
			rc = ring_publish(p->pair[i]->ring[r], err);
			if (rc)
				goto err_close;
		}
	return 0;

err_close:
	if (rc == -ENOBUFS)
		vmq_err_prefix(err, "%d pair%s x %u RX queue%s x %u frames asked for", pairs,
			       pairs == 1 ? "" : "s", which->to, which->to == 1 ? "" : "s",
			       p->entries);
	vmq_err_prefix(err, "queue %s", p->name);
	port_close_rings(p, which);
	return rc;
}

void port_rings_shrink(struct port *p, uint32_t from)
{
	const struct rings which = {
		.last = p->width, .from = from, .to = datapath_cfg(p->dp)->stride,
	};

	port_close_rings(p, &which);
	p->rings = from;
}

int port_rings_grow(struct port *p, uint32_t to, struct vmq_err *err)
{
	const struct rings which = { .last = p->width, .from = p->rings, .to = to };
	int rc;

	if (!p->has_rings)
		return 0;
	rc = port_open_rings(p, &which, err);
	if (!rc)
		p->rings = to;
	return rc;
}

int port_rings_width(struct port *p, int width, const uint16_t *slot, struct vmq_err *err)
{
	struct rings which = { .first = p->width, .last = width, .to = p->rings };
	int rc = 0;

	if (width < p->width) {
		which = (struct rings){
			.first = width, .last = p->width, .to = datapath_cfg(p->dp)->stride,
		};
		port_close_rings(p, &which);
	} else if (p->has_rings) {
		memcpy(p->slot, slot, (size_t)width * sizeof(*slot));
		rc = port_open_rings(p, &which, err);
	}
	if (!rc)
		p->width = width;
	return rc;
}

int port_rings_open(struct port *p, const uint16_t *slot, uint32_t ring,
		    struct vmq_err *err)
{
	int rc;

	if (p->has_rings)
		return vmq_err(err, -EBUSY, "queue %s has its rings already", p->name);
	if (!ring || ring & (ring - 1))
		return vmq_err(err, -EINVAL, "queue %s: a ring of %u frames cannot be made; the "
			       "size must be a power of two", p->name, ring);
	p->entries = ring;
	memcpy(p->slot, slot, (size_t)p->width * sizeof(*slot));
	p->has_rings = true;
	rc = port_rings_grow(p, datapath_cfg(p->dp)->rxqs, err);
	p->has_rings = !rc;
	return rc;
}

/**
 * port_rings_close() - close the sockets; their statistics are banked
 * @p: port
 * @c: told when the kernel has let go of them; its `done` is set. NULL: waits here
 */
void port_rings_close(struct port *p, struct closing *c)
{
	if (c)
		closer_begin(c);
	p->closing = c;
	if (p->has_rings)
		port_rings_shrink(p, 0);
	p->closing = NULL;
	p->has_rings = false;
	if (c)
		closer_end(datapath_closer(p->dp, c), c);
}

bool port_has_rings(const struct port *p)
{
	return p->has_rings;
}
