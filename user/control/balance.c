// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance.c - dynamic VMQ and VMMQ: queues follow the load from CPU to CPU
 *
 * Every --balance-ms: how much of its CPU did each worker need, and which share of
 * the worker's frames was each queue's? That is the queue's load. With RSS on it is
 * taken by pair, and divided among the entries of the table by the frames that each
 * has steered. What balance_plan() makes of it is done at once and told to the
 * monitors: with queue_rehome(), which neither loses nor reorders frames, or with
 * queue_respread(), which does the same for an entry whose pair goes with it.
 *
 * A queue can move when nobody has asked for its CPUs. What the administrator has
 * placed stays, and counts as load of the CPU where it is.
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
	uint64_t pair_handled[VMQ_SLOTS_MAX];
	uint64_t steered[VMQ_QUEUES_MAX + 1][BALANCE_ENTRIES_MAX];
	struct {
		uint64_t busy_ns, frames;		/* as seen last */
		uint64_t frames_now;			/* since then */
	} cpu[BALANCE_CPUS_MAX];
	struct balance_unit *unit;
	int	 n, room;
	struct balance_table *table;			/* of queues with RSS on */
	uint32_t *table_queue;				/* whose */
	int	 tables, table_room;
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
	free(b->table);
	free(b->table_queue);
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

static bool may_move(const struct queue *q)
{
	return !(q->rec.flags & VMQ_QUEUE_F_PLACED);
}

bool balance_moves(const struct queue *q)
{
	return q->service->balance && q->service->cfg.n_cpus > 1 && may_move(q);
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

/* Room for those there are, and those that the plan may add. */
static int make_room(struct balance *b, int more)
{
	size_t room = (size_t)(b->n + more + MOVES_MAX) * 2;
	struct balance_unit *unit;

	if (b->n + more + MOVES_MAX <= b->room)
		return 0;
	unit = reallocarray(b->unit, room, sizeof(*unit));
	if (!unit)
		return -ENOMEM;
	b->unit = unit;
	b->room = (int)room;
	return 0;
}

static int add_unit(struct balance *b, const struct queue *q, int at, bool fixed, uint64_t load)
{
	int rc = make_room(b, 1);

	if (rc)
		return rc;
	b->unit[b->n++] = (struct balance_unit){
		.at = (uint16_t)at, .weight = q->rec.weight, .queue = (uint16_t)q->id,
		.fixed = fixed, .load = (uint32_t)MIN(load, BALANCE_CPU),
	};
	return 0;
}

/* Units point to their tables, so there is room for all of them before the first. */
static int make_tables(struct service *s)
{
	struct balance *b = s->balance;
	struct balance_table *table;
	uint32_t id, *queue;
	int n = 0;

	b->tables = 0;
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		n += s->queue[id] && queue_rss_tabled(s->queue[id]);
	if (n <= b->table_room)
		return 0;
	table = reallocarray(b->table, (size_t)n, sizeof(*table));
	if (!table)
		return -ENOMEM;
	b->table = table;
	queue = reallocarray(b->table_queue, (size_t)n, sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	b->table_queue = queue;
	b->table_room = n;
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

/* What a counter has gained; the counter may be another's than last time. */
static uint64_t gained(uint64_t *before, uint64_t now)
{
	uint64_t was = *before;

	*before = now;
	return now < was ? now : now - was;
}

/* Frames of a queue since the last look. */
static uint64_t frames_of(struct balance *b, const struct queue *q)
{
	struct port_pair_stats ps;
	uint64_t now = 0;
	int i;

	for (i = 0; i < q->place.pairs; i++) {
		port_get_pair_stats(q->port, (uint16_t)i, &ps);
		now += ps.handled;
	}
	return gained(&b->handled[q->id], now);
}

/* @frames of those that the worker of a CPU had to do with: their part of its load. */
static uint64_t load_of(const struct balance *b, const uint32_t *busy, int at, uint64_t frames)
{
	uint64_t all = MAX(b->cpu[at].frames_now, frames);

	return all ? busy[at] * frames / all : 0;
}

/* Their load is in the CPU's already; they say that it is in use. */
static int add_fixed(struct service *s, struct queue *q)
{
	int i, rc = 0;

	for (i = 0; i < q->place.pairs && !rc; i++)
		if (q->place.serves[i])
			rc = add_unit(s->balance, q, cpu_index(s, q->place.cpu[i]), true, 0);
	return rc;
}

/*
 * What one pair had to do, divided among the entries that lead to it by their
 * frames: in each @t->load there is such a number now. Without any all get the same.
 */
static uint32_t divide_load(struct balance_table *t, int at, uint64_t load)
{
	uint64_t frames = 0, part;
	uint32_t sum = 0;
	int i, n = 0;

	for (i = 0; i < t->entries; i++) {
		if (t->at[i] != at)
			continue;
		frames += t->load[i];
		n++;
	}
	for (i = 0; i < t->entries; i++) {
		if (t->at[i] != at)
			continue;
		part = frames ? load * t->load[i] / frames : load / (uint64_t)n;
		t->load[i] = (uint32_t)part;
		sum += t->load[i];
	}
	return sum;
}

/* The queue's table as it steers, with frames as its loads. */
static struct balance_table *add_table(struct service *s, struct queue *q)
{
	struct balance *b = s->balance;
	struct balance_table *t = &b->table[b->tables];
	struct vmq_rss_stats now = { 0 };
	struct rss_demand d;
	uint64_t frames;
	int i;

	b->table_queue[b->tables++] = q->id;
	rss_demand(q, &q->rec, &d);
	attach_rss_stats(s->attachment, q->id, &now);
	t->most = q->width;
	t->entries = d.entries + 1;
	for (i = 0; i < t->entries; i++) {
		bool hashed = i < d.entries;

		frames = gained(&b->steered[q->id][hashed ? i : BALANCE_ENTRIES_MAX - 1],
				hashed ? now.entry[i] : now.unhashed);
		t->at[i] = (uint16_t)cpu_index(s, hashed ? d.cpu[i] : d.home);
		t->load[i] = (uint32_t)MIN(frames, UINT32_MAX);
	}
	return t;
}

static int measure_table(struct service *s, struct queue *q, const uint32_t *busy)
{
	struct balance *b = s->balance;
	struct balance_table *t = add_table(s, q);
	struct port_pair_stats ps;
	uint64_t frames;
	int i, at, rc;

	for (i = 0; i < q->width; i++) {
		port_get_pair_stats(q->port, (uint16_t)i, &ps);
		frames = i < q->n_slots ? gained(&b->pair_handled[q->slot[i]], ps.handled) : 0;
		if (!q->place.serves[i])
			continue;
		at = cpu_index(s, q->place.cpu[i]);
		rc = add_unit(b, q, at, false, 0);
		if (rc)
			return rc;
		b->unit[b->n - 1].load = divide_load(t, at, MIN(load_of(b, busy, at, frames),
								BALANCE_CPU));
		b->unit[b->n - 1].table = t;
	}
	return 0;
}

static int measure_queue(struct service *s, struct queue *q, const uint32_t *busy)
{
	struct balance *b = s->balance;
	uint64_t frames = frames_of(b, q);
	int at;

	if (!may_move(q) || q->busy)
		return add_fixed(s, q);
	if (queue_rss_tabled(q))
		return measure_table(s, q, busy);
	at = cpu_index(s, rss_home(q, &q->rec));
	return add_unit(b, q, at, false, load_of(b, busy, at, frames));
}

/* ---- the look --------------------------------------------------------------- */

static void tell(struct service *s, const struct queue *q, const struct balance_move *m)
{
	uint16_t from = s->cfg.cpu[m->from], to = s->cfg.cpu[m->to];
	const char *why = balance_why_name(m->why);
	json_t *event;

	log_debug("queue %s: CPU %u -> %u (%s, %u entries)", q->rec.name, from, to, why, m->entries);
	event = json_pack("{s:s, s:i, s:s, s:i, s:i, s:s}", "event", "balance", "queue", (int)q->id,
			  "name", q->rec.name, "from", (int)from, "to", (int)to, "why", why);
	if (event && m->entries)
		json_object_set_new(event, "entries", json_integer(m->entries));
	server_event_take(s->server, event);
}

static void move_queue(struct service *s, const struct balance_move *m)
{
	struct queue *q = s->queue[m->queue];
	struct vmq_err err = VMQ_ERR_INIT;

	if (queue_rehome(q, s->cfg.cpu[m->to], &err))
		log_warn("queue %s stays on CPU %u: %s", q->rec.name, s->cfg.cpu[m->from], err.text);
	else
		tell(s, q, m);
}

/* All moves of one table are made at once. */
static void move_table(struct service *s, const struct balance_table *t, struct queue *q,
		       const struct balance_move *m, int n)
{
	struct rss_demand d = { .entries = t->entries - 1 };
	struct vmq_err err = VMQ_ERR_INIT;
	bool any = false;
	int i;

	for (i = 0; i < n; i++)
		any |= m[i].queue == q->id;
	if (!any)
		return;
	for (i = 0; i < d.entries; i++)
		d.cpu[i] = s->cfg.cpu[t->at[i]];
	d.home = s->cfg.cpu[t->at[i]];
	if (queue_respread(q, &d, &err)) {
		log_warn("the table of queue %s stays as it is: %s", q->rec.name, err.text);
		return;
	}
	for (i = 0; i < n; i++)
		if (m[i].queue == q->id)
			tell(s, q, &m[i]);
}

static void make_moves(struct service *s, const struct balance_move *move, int n)
{
	struct balance *b = s->balance;
	int i;

	for (i = 0; i < n; i++)
		if (!move[i].entries)
			move_queue(s, &move[i]);
	for (i = 0; i < b->tables; i++)
		move_table(s, &b->table[i], s->queue[b->table_queue[i]], move, n);
}

void balance_look(struct service *s)
{
	struct balance *b = s->balance;
	uint64_t expired, now = now_ns(), before = b->looked_ns;
	struct balance_move move[MOVES_MAX];
	uint32_t busy[BALANCE_CPUS_MAX] = { 0 }, id;
	struct balance_set set = { .busy = busy, .n_cpus = s->cfg.n_cpus };
	int n, rc;

	if (read(b->fd, &expired, sizeof(expired)) != (ssize_t)sizeof(expired))
		return;
	if (!anything_to_move(s)) {
		set_timer(b, false);
		return;
	}
	b->looked_ns = now;
	b->n = 0;
	measure_cpus(s, MAX(now - before, 1), busy);
	rc = make_tables(s);
	for (id = 1; id <= VMQ_QUEUES_MAX && !rc; id++)
		if (s->queue[id])
			rc = measure_queue(s, s->queue[id], busy);
	if (rc || !before)
		return;
	set.unit = b->unit;
	set.n = b->n;
	set.room = b->room;
	set.gather = b->calm >= CALM_LOOKS;
	n = balance_plan(&set, move, MOVES_MAX);
	if (n && move[0].why == BALANCE_SPREAD)
		b->calm = 0;
	else if (b->calm < CALM_LOOKS)
		b->calm++;
	make_moves(s, move, n);
}
