// SPDX-License-Identifier: GPL-2.0-only
/*
 * port.c - one queue as the data path sees it
 *
 * DOC: Theory of operation
 *
 * A port is a list of pairs (receive.h). Its first `width` ones have rings, one
 * for each RX queue (port_rings.c); all the channel's pairs are served for what
 * the guest sends. With more pairs than the channel has, several deliver to one
 * of the guest's queues. Everything here runs on the control thread and reaches
 * the pairs by worker_call(): a change is made between two batches of the worker
 * that owns the pair, so no batch sees half of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "datapath/port_own.h"

/* ---- a pair's sources ------------------------------------------------------ */

void pair_del_sources(struct worker *w, struct pair *p)
{
	uint32_t r;

	for (r = 0; r < p->rings; r++)
		worker_del(w, &p->ring[r]->source);
	worker_del(w, &p->transmit);
	worker_del(w, &p->drain_source);
}

int pair_add_sources(struct worker *w, struct pair *p, bool transmits)
{
	uint32_t r;
	int rc = 0;

	for (r = 0; r < p->rings && !rc; r++)
		rc = worker_add(w, &p->ring[r]->source);
	if (transmits && !rc)
		rc = worker_add(w, &p->transmit);
	if (p->drain && !rc)
		rc = worker_add(w, &p->drain_source);
	if (rc)
		pair_del_sources(w, p);
	return rc;
}

void pair_start(struct worker *w, void *arg)
{
	struct pair_call *call = arg;

	call->rc = pair_add_sources(w, call->pair, call->pair->transmit.fd >= 0);
}

static void pair_stop(struct worker *w, void *arg)
{
	pair_del_sources(w, arg);
}

/* ---- open and close --------------------------------------------------------- */

/*
 * A pair beyond those of the channel shares one of the guest's queues. It takes
 * nothing from it, but wants to know of room there (receive.c).
 */
static int pair_share(struct port *p, struct pair *pair)
{
	struct pair *owner = p->pair[pair->lane];

	pair->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pair->room_fd < 0)
		return -errno;
	pair->transmit.poll = receive_room_poll;
	pair->transmit.fd = pair->room_fd;
	pair->sharer = owner->sharer;
	store_release(&owner->sharer, pair);
	return 0;
}

static int pair_open(struct port *p, struct worker *w, bool trust)
{
	struct datapath *dp = p->dp;
	struct channel *ch = p->channel;
	int index = p->pairs, rc;
	struct pair *pair;

	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	p->pair[p->pairs++] = pair;
	pair->port = p;
	pair->channel = ch;
	pair->index = index;
	pair->lane = index % p->lanes;
	pair->worker = w;
	pair->rule = p->rule;
	pair->oob = p->oob;
	pair->paused = p->paused;
	pair->gro = p->gro;
	pair->stats = p->row ? p->row(p->row_arg, p->id, index) : NULL;
	if (!pair->stats)
		pair->stats = &pair->own_stats;
	pthread_mutex_init(&pair->lane_lock, NULL);
	pair->rx_lock = &p->pair[pair->lane]->lane_lock;
	pair->transmit.poll = receive_transmit_poll;
	pair->transmit.from = FROM_GUEST;
	pair->transmit.fd = ch && index < p->lanes ? ch->ops->fd(ch, index) : -1;
	pair->room_fd = -1;
	pair->drain_source.poll = receive_drain_poll;
	pair->drain_source.fd = -1;
	pair->ctx = (struct transmit_ctx){
		.port = p,
		.channel = ch,
		.pair = index,
		.rule = p->rule,
		.txq = datapath_txq(dp, p->id, (uint16_t)index),
		.sw = datapath_switch(dp),
		.max_frame = datapath_max_frame(dp),
		.stats = pair->stats,
		.trust = trust,
	};
	rc = ch && index >= p->lanes ? pair_share(p, pair) : 0;
	if (rc) {
		p->pairs--;
		pthread_mutex_destroy(&pair->lane_lock);
		free(pair);
	}
	return rc;
}

int port_no_worker(const struct port *p, uint16_t cpu, struct vmq_err *err)
{
	return vmq_err(err, -EINVAL, "queue %s: CPU %u is not one of the CPUs that vmq-load was "
		       "given (--cpus)", p->name, cpu);
}

static void port_free(struct port *p)
{
	int i;

	for (i = 0; i < p->pairs; i++) {
		pthread_mutex_destroy(&p->pair[i]->lane_lock);
		if (p->pair[i]->room_fd >= 0)
			close(p->pair[i]->room_fd);
		free(p->pair[i]);
	}
	free(p);
}

/**
 * port_open() - make a port, without rings
 * @out: the port
 * @dp: data path
 * @cfg: configuration; the channel is the port's on success, and the caller's
 *       after an error
 * @err: sentence
 *
 * Return: 0; -EINVAL for a CPU outside the workers' set; -errno.
 */
int port_open(struct port **out, struct datapath *dp, const struct port_config *cfg,
	      struct vmq_err *err)
{
	struct pair_call call = { .rc = 0 };
	struct port *p;
	int i, pairs;

	p = calloc(1, sizeof(*p));
	if (!p)
		return vmq_err_sys(err, -ENOMEM, "queue %s", cfg->name);
	p->dp = dp;
	p->channel = cfg->channel;
	p->id = cfg->id;
	p->rule = cfg->rule;
	p->oob = cfg->oob;
	p->paused = cfg->paused;
	p->gro = cfg->gro;
	p->kept = cfg->kept ? cfg->kept : &p->own_kept;
	p->row = cfg->row;
	p->row_arg = cfg->row_arg;
	p->banked = (struct ring_counts){
		.full = p->kept->ring_full, .no_buffer = p->kept->no_buffer,
	};
	p->width = cfg->pairs;
	p->lanes = cfg->channel_pairs ? cfg->channel_pairs : cfg->pairs;
	snprintf(p->name, sizeof(p->name), "%s", cfg->name);
	pairs = MAX(p->width, p->lanes);
	for (i = 0; i < pairs; i++) {
		struct worker *w = datapath_worker(dp, cfg->cpu[i]);

		if (!w) {
			call.rc = port_no_worker(p, cfg->cpu[i], err);
			goto err_free;
		}
		call.rc = pair_open(p, w, cfg->trust);
		if (call.rc) {
			vmq_err_sys(err, call.rc, "queue %s: cannot make pair %d", p->name, i);
			goto err_free;
		}
	}
	for (i = 0; i < p->pairs; i++) {
		call.pair = p->pair[i];
		worker_call(call.pair->worker, pair_start, &call);
		if (call.rc)
			goto err_stop;
	}
	datapath_add_port(dp, p);
	*out = p;
	return 0;

err_stop:
	vmq_err_sys(err, call.rc, "queue %s: the worker of CPU %u cannot watch its channel",
		    p->name, cfg->cpu[i]);
	while (i--)
		worker_call(p->pair[i]->worker, pair_stop, p->pair[i]);
err_free:
	port_free(p);
	return call.rc;
}

/**
 * port_close() - free a port and its channel
 * @p: port, its rings closed, and in no station; may be NULL
 * @keep: leave a device of the channel for a restart
 */
void port_close(struct port *p, bool keep)
{
	int i;

	if (!p)
		return;
	datapath_del_port(p->dp, p);
	for (i = 0; i < p->pairs; i++)
		worker_call(p->pair[i]->worker, pair_stop, p->pair[i]);
	if (p->channel)
		p->channel->ops->close(p->channel, keep);
	port_free(p);
}

uint32_t port_id(const struct port *p)
{
	return p->id;
}

const char *port_name(const struct port *p)
{
	return p->name;
}

uint16_t port_pairs(const struct port *p)
{
	return (uint16_t)p->pairs;
}

struct port **port_link(struct port *p)
{
	return &p->next;
}

/* ---- drain -------------------------------------------------------------------- */

/* In a worker: one pair is through; the last one tells the control thread. */
static void port_pair_drained(struct pair *pair)
{
	struct port_drain *d = pair->drain;

	pair->drain = NULL;
	__atomic_fetch_add(&d->delivered, pair->drain_delivered, __ATOMIC_RELAXED);
	__atomic_fetch_add(&d->discarded, pair->drain_discarded, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&d->pending, 1, __ATOMIC_ACQ_REL) == 0)
		datapath_drained(pair->port->dp, d);
}

struct drain_call {
	struct pair *pair;
	struct port_drain *drain;
};

static void pair_drain(struct worker *w, void *arg)
{
	struct drain_call *call = arg;
	struct pair *p = call->pair;

	p->drain = call->drain;
	p->drain_delivered = 0;
	p->drain_discarded = 0;
	p->drain_done = port_pair_drained;
	worker_add(w, &p->drain_source);	/* has no descriptor: cannot fail */
	receive_retry(p, true);
}

/**
 * port_drain() - deliver what the rings hold, then discard
 * @p: port out of the FIB, a barrier passed
 * @d: deadline_ns, from and done are set; lives until `done` has run
 *
 * One drain of a port at a time. The workers do it; `done` runs later, in
 * datapath_dispatch(), also for a port without rings. Closing the rings ends
 * it early.
 */
void port_drain(struct port *p, struct port_drain *d)
{
	struct drain_call call = { .drain = d };
	int i;

	d->port = p;
	d->delivered = 0;
	d->discarded = 0;
	d->next = NULL;
	d->pending = p->pairs - d->from;
	for (i = d->from; i < p->pairs; i++) {
		call.pair = p->pair[i];
		worker_call(call.pair->worker, pair_drain, &call);
	}
}

/* ---- live changes --------------------------------------------------------------- */

/**
 * port_set_width() - how many pairs receive
 * @p: port
 * @width: 1 ... VMQ_PAIRS_MAX
 * @slot: socket slots of all of them
 * @cpu: where pairs start that the port has not had before
 * @err: sentence
 *
 * More: they get rings, if the port has rings, before the call returns. Fewer:
 * the others get no frames any more (barrier) and are drained; what their rings
 * still hold is discarded. Such a pair goes on with what the guest sends.
 *
 * Return: 0; -ENOBUFS; -errno: the port is as it was.
 */
int port_set_width(struct port *p, uint16_t width, const uint16_t *slot, uint16_t cpu,
		   struct vmq_err *err)
{
	struct worker *w = datapath_worker(p->dp, cpu);
	struct pair_call call = { .rc = 0 };
	int i, rc;

	while (p->pairs < width) {
		rc = w ? pair_open(p, w, p->pair[0]->ctx.trust) : -EINVAL;
		if (rc)
			return vmq_err_sys(err, rc, "queue %s: cannot make pair %u on CPU %u",
					   p->name, p->pairs, cpu);
	}
	for (i = p->lanes; i < p->pairs && !call.rc; i++) {
		call.pair = p->pair[i];
		if (call.pair->transmit.fd >= 0 && !call.pair->transmit.worker)
			worker_call(call.pair->worker, pair_start, &call);
	}
	if (call.rc)
		return vmq_err_sys(err, call.rc, "queue %s: the worker of CPU %u cannot watch its "
				   "channel", p->name, cpu);
	return port_rings_width(p, width, slot, err);
}

struct policy {
	struct pair *pair;
	uint16_t rule;
	bool trust;
};

static void pair_set_policy(struct worker *w, void *arg)
{
	struct policy *policy = arg;

	(void)w;
	policy->pair->rule = policy->rule;
	policy->pair->ctx.rule = policy->rule;
	policy->pair->ctx.trust = policy->trust;
}

void port_set_policy(struct port *p, uint16_t rule, bool trust)
{
	struct policy policy = { .rule = rule, .trust = trust };
	int i;

	store_relaxed(&p->rule, rule);
	for (i = 0; i < p->pairs; i++) {
		policy.pair = p->pair[i];
		worker_call(policy.pair->worker, pair_set_policy, &policy);
	}
}

struct gro_call {
	struct pair *pair;
	bool on;
};

static void pair_set_gro(struct worker *w, void *arg)
{
	struct gro_call *call = arg;

	(void)w;
	call->pair->gro = call->on;
}

/* Between two batches, so no frame of a batch sees the change (C-4). */
void port_set_gro(struct port *p, bool on)
{
	struct gro_call call = { .on = on };

	p->gro = on;
	for (int i = 0; i < p->pairs; i++) {
		call.pair = p->pair[i];
		worker_call(call.pair->worker, pair_set_gro, &call);
	}
}

void port_set_max_frame(struct port *p, uint32_t max_frame)
{
	for (int i = 0; i < p->pairs; i++)
		store_relaxed(&p->pair[i]->ctx.max_frame, max_frame);
}

static void pair_pause(struct worker *w, void *arg)
{
	struct pair *p = arg;

	(void)w;
	pthread_mutex_lock(p->rx_lock);	/* the switch may be in rx_burst() */
	p->paused = true;
	pthread_mutex_unlock(p->rx_lock);
	if (p->drain)
		receive_drain_end(p);
}

static void pair_resume(struct worker *w, void *arg)
{
	struct pair *p = arg;

	pthread_mutex_lock(p->rx_lock);
	p->paused = false;
	pthread_mutex_unlock(p->rx_lock);
	receive_retry(p, true);
	if (p->transmit.worker)
		worker_wake_source(w, &p->transmit);
}

void port_set_paused(struct port *p, bool paused)
{
	struct channel *ch = p->channel;
	int i;

	p->paused = paused;
	if (!paused && ch && ch->ops->resume)
		ch->ops->resume(ch);
	for (i = 0; i < p->pairs; i++)
		worker_call(p->pair[i]->worker, paused ? pair_pause : pair_resume, p->pair[i]);
	if (paused && ch && ch->ops->pause)
		ch->ops->pause(ch);
}

void port_quiet(struct port *p)
{
	if (p->channel && p->channel->ops->quiet)
		p->channel->ops->quiet(p->channel);
}

void port_set_addresses(struct port *p, const struct channel_address *a, int n, int more)
{
	if (p->channel && p->channel->ops->set_addresses)
		p->channel->ops->set_addresses(p->channel, a, n, more);
}

/* ---- for the switch ------------------------------------------------------------------ */

bool port_rule_accepts(uint16_t rule, uint16_t vlan)
{
	return rule == VMQ_RULE_ANY || rule == vlan;
}

/*
 * What the guest sees. A port of one VLAN sees no tag of that VLAN, nor a
 * priority tag; another tag is the sender's own, inside its VLAN. A port of any
 * VLAN sees the VLAN in a tag, with the frame's priority.
 */
static void port_dress(struct frame *f, const struct frame_info *fi, uint16_t vlan,
		       uint16_t rule, uint8_t tag[VLAN_HLEN])
{
	uint16_t vid = VLAN_VID(fi->tci);
	bool ours = fi->tagged && (vid == vlan || vid == 0);
	uint16_t tci = vlan;

	if (rule != VMQ_RULE_ANY) {
		frame_build(f, fi->data, fi->len, ours ? VLAN_HLEN : 0, NULL);
		return;
	}
	if (vlan < VMQ_RULE_VLAN_MIN || vlan > VMQ_RULE_VLAN_MAX || (fi->tagged && vid == vlan)) {
		frame_build(f, fi->data, fi->len, 0, NULL);
		return;
	}
	if (ours)
		tci |= fi->tci & ~0xfff;
	frame_put_tag(tag, ETH_P_8021Q, tci);
	frame_build(f, fi->data, fi->len, ours ? VLAN_HLEN : 0, tag);
}

bool port_switch_in(struct port *p, const struct frame_info *fi, uint16_t vlan)
{
	uint16_t rule = load_relaxed(&p->rule);
	uint8_t tag[VLAN_HLEN];
	struct frame f;

	/* The rule may have changed since the sender looked: not his VLAN, not his (M-6). */
	if (!port_rule_accepts(rule, vlan))
		return false;
	port_dress(&f, fi, vlan, rule, tag);
	return receive_switched(p->pair[0], &f);
}
