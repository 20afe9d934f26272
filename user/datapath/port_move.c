// SPDX-License-Identifier: GPL-2.0-only
/*
 * port_move.c - a pair moves to another worker, and loses and reorders nothing
 *
 * DOC: Theory of operation
 *
 * Its rings must not be left alone, or they would overflow while the control
 * thread waits for a CPU. So the new worker first gets a source that only watches a
 * flag; then the old one lets go of the pair and sets the flag; the new one, which is
 * polling, takes over within a few batches. Rings are in order, and the old worker's
 * last batch is in the guest before it lets go: nothing is reordered either.
 */
#include <errno.h>

#include "common/log.h"
#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port_own.h"

struct move {
	struct source source;	/* in the new worker: looks for `released` */
	struct pair *pair;
	bool transmits;
	bool released;		/* set in the old worker */
	bool taken;
	int  rc;
};

static void move_take(struct worker *w, struct move *m)
{
	worker_del(w, &m->source);
	if (m->taken)
		return;
	m->taken = true;
	m->rc = pair_add_sources(w, m->pair, m->transmits);
}

static int move_poll(struct source *s)
{
	struct move *m = container_of(s, struct move, source);

	if (load_acquire(&m->released))
		move_take(s->worker, m);
	else
		worker_wake_source(s->worker, s);
	return 0;
}

static void move_watch(struct worker *w, void *arg)
{
	struct move *m = arg;

	worker_add(w, &m->source);	/* has no descriptor: cannot fail */
}

static void move_release(struct worker *w, void *arg)
{
	struct move *m = arg;

	m->transmits = m->pair->transmit.worker;
	pair_del_sources(w, m->pair);
	store_release(&m->released, true);
}

static void move_finish(struct worker *w, void *arg)
{
	move_take(w, arg);
}

/**
 * port_set_cpu() - move a pair to another worker
 * @p: port
 * @pair: which
 * @cpu: CPU of the new worker
 * @err: sentence
 *
 * Return: 0; -EINVAL no worker there; -errno, the pair is where it was.
 */
int port_set_cpu(struct port *p, uint16_t pair, uint16_t cpu, struct vmq_err *err)
{
	struct worker *to = datapath_worker(p->dp, cpu), *from;
	struct move m = { .source = { .fd = -1, .poll = move_poll } };
	struct pair_call back;
	int rc;

	if (pair >= p->pairs)
		return vmq_err(err, -EINVAL, "queue %s has no pair %u", p->name, pair);
	if (!to)
		return port_no_worker(p, cpu, err);
	m.pair = p->pair[pair];
	from = m.pair->worker;
	if (from == to)
		return 0;

	worker_call(to, move_watch, &m);
	worker_call(from, move_release, &m);
	worker_call(to, move_finish, &m);
	if (!m.rc) {
		m.pair->worker = to;
		return 0;
	}
	rc = vmq_err_sys(err, m.rc, "queue %s: the worker of CPU %u cannot take pair %u", p->name,
			 cpu, pair);
	back = (struct pair_call){ .pair = m.pair };
	worker_call(from, pair_start, &back);
	if (back.rc)
		log_err("queue %s: pair %u is lost to both workers: %s", p->name, pair,
			vmq_err_name(back.rc));
	return rc;
}
