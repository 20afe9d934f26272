// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance.c - dynamic VMQ: queues follow the load from CPU to CPU
 *
 * Every --balance-ms: how much of its CPU did each worker need, and which share of
 * the worker's frames was each queue's? That is the queue's load. What
 * balance_plan() makes of it is done at once, with queue_rehome(), which neither
 * loses nor reorders frames, and told to the monitors.
 *
 * A queue can move when its RSS is off and nobody asked for its CPU. With RSS on
 * its table spreads it, and what the administrator has placed stays; both count
 * as load of the CPU where they are.
 *
 * The timer runs only while a queue can move and there is another CPU for it. It
 * does not stop for want of traffic: nobody tells the control thread when traffic
 * begins, and a worker that did would do it in the path of a frame.
 */
#include "control/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "adapter/topology.h"
#include "common/log.h"
#include "common/util.h"
#include "control/balance_plan.h"
#include "control/events.h"
#include "control/rss.h"

#define MOVES_MAX	64	/* at a time: some milliseconds of the control thread */
#define CALM_LOOKS	5	/* without a spread before it may gather */

struct balance {
	int	 fd;
	bool	 running;
	uint32_t ms;
	uint64_t looked_ns;	/* 0: the figures below are of no use yet */
	int	 calm;		/* looks since the last spread */
	uint64_t handled[VMQ_QUEUES_MAX + 1];		/* by queue id */
	struct {
		uint64_t busy_ns, frames;		/* as seen last */
		uint64_t frames_now;			/* since then */
	} cpu[BALANCE_CPUS_MAX];
	struct balance_unit *unit;
	struct queue **queue;				/* of each unit */
	int	 n, room;
};

void balance_choose_cpus(struct service *s)
{
	int n = topology_one_per_core(TOPOLOGY_DIR, s->cfg.cpu, s->cfg.n_cpus);

	if (n < s->cfg.n_cpus)
		log_info("no workers for %d of %d CPUs: they are hyper-thread siblings of others",
			 s->cfg.n_cpus - n, s->cfg.n_cpus);
	s->cfg.n_cpus = n;
}

int balance_open(struct service *s, struct vmq_err *err)
{
	struct balance *b = calloc(1, sizeof(*b));

	if (!b)
		return vmq_err_sys(err, -ENOMEM, "cannot make the balancer");
	b->ms = s->cfg.balance_ms;
	b->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (b->fd < 0) {
		free(b);
		return vmq_err_sys(err, -errno, "cannot make the balancer's timer");
	}
	s->balance = b;
	return 0;
}

void balance_close(struct balance *b)
{
	if (!b)
		return;
	close(b->fd);
	free(b->unit);
	free(b->queue);
	free(b);
}

int balance_fd(const struct balance *b)
{
	return b->fd;
}

static void set_timer(struct balance *b, bool on)
{
	struct itimerspec its = { 0 };

	if (b->running == on)
		return;
	if (on) {
		its.it_interval.tv_sec = b->ms / 1000;
		its.it_interval.tv_nsec = (long)(b->ms % 1000) * 1000000;
		its.it_value = its.it_interval;
	}
	timerfd_settime(b->fd, 0, &its, NULL);
	b->running = on;
	b->looked_ns = 0;
}

/* ---- what there is -------------------------------------------------------- */

/* With RSS on the table says where, also that of one pair. */
static bool may_move(const struct queue *q)
{
	return !(q->rec.flags & (VMQ_QUEUE_F_RSS | VMQ_QUEUE_F_PLACED));
}

static bool anything_to_move(const struct service *s)
{
	uint32_t id;

	for (id = 1; s->cfg.n_cpus > 1 && id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && may_move(s->queue[id]))
			return true;
	return false;
}

void balance_wake(struct service *s)
{
	if (s->balance && !s->balance->running && anything_to_move(s))
		set_timer(s->balance, true);
}

static int cpu_index(const struct service *s, uint16_t cpu)
{
	int i;

	for (i = 0; i < s->cfg.n_cpus - 1; i++)
		if (s->cfg.cpu[i] == cpu)
			break;
	return i;
}

static int add_unit(struct balance *b, struct queue *q, int at, bool fixed, uint64_t load)
{
	struct balance_unit *unit;
	struct queue **queue;

	if (b->n == b->room) {
		unit = reallocarray(b->unit, (size_t)b->room * 2 + 64, sizeof(*unit));
		if (!unit)
			return -ENOMEM;
		b->unit = unit;
		queue = reallocarray(b->queue, (size_t)b->room * 2 + 64, sizeof(*queue));
		if (!queue)
			return -ENOMEM;
		b->queue = queue;
		b->room = b->room * 2 + 64;
	}
	b->queue[b->n] = q;
	b->unit[b->n++] = (struct balance_unit){
		.at = at, .weight = q->rec.weight, .fixed = fixed,
		.load = (uint32_t)MIN(load, BALANCE_CPU),
	};
	return 0;
}

/* ---- measuring ------------------------------------------------------------ */

static void measure_cpus(struct service *s, uint64_t elapsed_ns, uint32_t *busy)
{
	struct balance *b = s->balance;
	struct worker_stats ws;
	uint64_t ns, part;
	int i;

	for (i = 0; i < s->cfg.n_cpus; i++) {
		struct worker *w = datapath_worker(s->datapath, s->cfg.cpu[i]);

		worker_stats(w, &ws);
		ns = worker_busy_ns(w);
		part = (ns - b->cpu[i].busy_ns) * BALANCE_CPU / elapsed_ns;
		busy[i] = (uint32_t)MIN(part, BALANCE_CPU);
		b->cpu[i].busy_ns = ns;
		b->cpu[i].frames_now = ws.frames - b->cpu[i].frames;
		b->cpu[i].frames = ws.frames;
	}
}

/* Frames of a queue since the last look. */
static uint64_t frames_of(struct balance *b, const struct queue *q)
{
	struct port_pair_stats ps;
	uint64_t now = 0, before = b->handled[q->id];
	int i;

	for (i = 0; i < q->place.pairs; i++) {
		port_get_pair_stats(q->port, i, &ps);
		now += ps.handled;
	}
	b->handled[q->id] = now;
	return now < before ? now : now - before;	/* another queue of that id */
}

static int measure_queue(struct service *s, struct queue *q, const uint32_t *busy)
{
	struct balance *b = s->balance;
	uint64_t frames = frames_of(b, q), all;
	int i, at, rc = 0;

	if (may_move(q) && !q->busy) {
		at = cpu_index(s, rss_home(q, &q->rec));
		all = MAX(b->cpu[at].frames_now, frames);
		return add_unit(b, q, at, false, all ? busy[at] * frames / all : 0);
	}
	/* Their load is in the CPU's already; they say that it is in use. */
	for (i = 0; i < q->place.pairs && !rc; i++)
		if (q->place.serves[i])
			rc = add_unit(b, q, cpu_index(s, q->place.cpu[i]), true, 0);
	return rc;
}

/* ---- the look --------------------------------------------------------------- */

static void move_queue(struct service *s, struct queue *q, const struct balance_move *m)
{
	uint16_t from = s->cfg.cpu[m->from], to = s->cfg.cpu[m->to];
	const char *why = balance_why_name(m->why);
	struct vmq_err err = VMQ_ERR_INIT;

	if (queue_rehome(q, to, &err)) {
		log_warn("queue %s stays on CPU %u: %s", q->rec.name, from, err.text);
		return;
	}
	log_debug("queue %s: CPU %u -> %u (%s)", q->rec.name, from, to, why);
	server_event_take(s->server, json_pack("{s:s, s:i, s:s, s:i, s:i, s:s}", "event", "balance",
					       "queue", (int)q->id, "name", q->rec.name, "from",
					       (int)from, "to", (int)to, "why", why));
}

void balance_look(struct service *s)
{
	struct balance *b = s->balance;
	uint64_t expired, now = now_ns(), before = b->looked_ns;
	struct balance_move move[MOVES_MAX];
	uint32_t busy[BALANCE_CPUS_MAX], id;
	int i, n, rc = 0;

	if (read(b->fd, &expired, sizeof(expired)) != (ssize_t)sizeof(expired))
		return;
	if (!anything_to_move(s)) {
		set_timer(b, false);
		return;
	}
	b->looked_ns = now;
	b->n = 0;
	measure_cpus(s, MAX(now - before, 1), busy);
	for (id = 1; id <= VMQ_QUEUES_MAX && !rc; id++)
		if (s->queue[id])
			rc = measure_queue(s, s->queue[id], busy);
	if (rc || !before)
		return;
	n = balance_plan(b->unit, b->n, busy, s->cfg.n_cpus, b->calm >= CALM_LOOKS, move, MOVES_MAX);
	if (n && move[0].why == BALANCE_SPREAD)
		b->calm = 0;
	else if (b->calm < CALM_LOOKS)
		b->calm++;
	for (i = 0; i < n; i++)
		move_queue(s, b->queue[move[i].unit], &move[i]);
}
