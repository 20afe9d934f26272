// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss.c - receive-side scaling of a queue
 *
 * A change has three steps. Pairs that are to serve another CPU move there, with
 * the flows they carry (port_set_cpu() loses and reorders nothing). Then the
 * steering changes: slots one by one, or key and table as a whole, or the FIB
 * value when RSS goes on or off. Last, pairs without work move to where the rest
 * is. Until the second step everything can be taken back.
 *
 * A frame under way may still read the half of the RSS record that was left, so
 * after each change that leaves one the queue *settles* until a barrier has
 * passed; changes that need the half wait for that (queue_settling()). Moves of
 * table entries do not (D-8).
 */
#include "control/rss.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter/rss_words.h"
#include "common/log.h"
#include "common/util.h"
#include "control/teardown.h"

#define SPREAD_ENTRIES VMQ_RSS_ENTRIES_MAX

/* ---- what is done of what is asked for ---------------------------------- */

uint16_t rss_width(const struct service *s, const struct vmq_queue_record *rec)
{
	return MIN(rec->pairs, s->cfg.n_cpus);
}

uint16_t rss_stand_in(const struct service *s, uint16_t cpu)
{
	return datapath_worker(s->datapath, cpu) ? cpu : s->cfg.cpu[cpu % s->cfg.n_cpus];
}

bool queue_rss_on(const struct queue *q)
{
	return q->rec.flags & VMQ_QUEUE_F_RSS && q->width > 1 && !q->rss_held;
}

uint16_t rss_home(const struct queue *q, const struct vmq_queue_record *rec)
{
	if (q->chosen.home_set && !(rec->flags & VMQ_QUEUE_F_PLACED))
		return q->chosen.home;
	return rss_stand_in(q->service, rec->rss_primary);
}

bool queue_rss_tabled(const struct queue *q)
{
	return q->rec.flags & VMQ_QUEUE_F_RSS && !q->rss_held;
}

/* Does the table that the balancer has chosen stand in for that of @rec? */
static bool table_chosen(const struct queue *q, const struct vmq_queue_record *rec)
{
	return q->chosen.table_set && !(rec->flags & VMQ_QUEUE_F_PLACED) &&
	       q->chosen.table.entries == rec->rss_entries;
}

void rss_demand(const struct queue *q, const struct vmq_queue_record *rec, struct rss_demand *d)
{
	const struct service *s = q->service;
	int i;

	if (!(rec->flags & VMQ_QUEUE_F_RSS) || q->rss_held) {
		d->entries = 1;
		d->cpu[0] = d->home = rss_home(q, rec);
		return;
	}
	if (table_chosen(q, rec)) {
		*d = q->chosen.table;
		return;
	}
	d->entries = rec->rss_entries;
	d->home = rss_stand_in(s, rec->rss_default);
	for (i = 0; i < d->entries; i++)
		d->cpu[i] = rss_stand_in(s, rec->rss_table[i]);
}

void queue_rss_current(const struct queue *q, struct vmq_queue_record *rec)
{
	*rec = q->rec;
	if (rec->flags & VMQ_QUEUE_F_PLACED)
		return;
	if (q->chosen.home_set)
		rec->rss_primary = q->chosen.home;
	if (table_chosen(q, rec)) {
		rec->rss_default = q->chosen.table.home;
		memcpy(rec->rss_table, q->chosen.table.cpu, sizeof(rec->rss_table));
	}
}

/* ---- settings ----------------------------------------------------------- */

void rss_spread(struct vmq_queue_record *rec, const uint16_t *cpu, int n, int entries)
{
	int i;

	rec->rss_entries = entries;
	for (i = 0; i < entries; i++)
		rec->rss_table[i] = cpu[i % n];
}

int rss_resize(struct vmq_queue_record *rec, int entries, struct vmq_err *err)
{
	int i, old = rec->rss_entries;

	if (entries < 1 || entries > VMQ_RSS_ENTRIES_MAX || entries & (entries - 1))
		return vmq_err(err, -EINVAL, "a table has 1, 2, 4, ... %d entries, not %d",
			       VMQ_RSS_ENTRIES_MAX, entries);
	for (i = entries; i < old; i++)
		if (rec->rss_table[i] != rec->rss_table[i & (entries - 1)])
			return vmq_err(err, -ERANGE, "the table cannot shrink to %d entries: entry %d "
				       "(CPU %u) does not repeat entry %d (CPU %u); move it first",
				       entries, i, rec->rss_table[i], i & (entries - 1),
				       rec->rss_table[i & (entries - 1)]);
	for (i = old; i < entries; i++)
		rec->rss_table[i] = rec->rss_table[i & (old - 1)];
	rec->rss_entries = entries;
	return 0;
}

int rss_init(struct vmq_queue_record *rec, struct vmq_err *err)
{
	rec->rss_default = rec->rss_primary = rec->cpu[0];
	rec->rss_types = RSS_TYPES_ALL;
	rec->channel_pairs = rec->pairs;
	rss_spread(rec, rec->cpu, rec->pairs, rec->flags & VMQ_QUEUE_F_RSS ? SPREAD_ENTRIES : 1);
	return rss_random_key(rec->rss_key, err);
}

/* ---- checks ------------------------------------------------------------- */

static int no_worker(const struct queue *q, uint16_t cpu, const char *what, int i,
		     struct vmq_err *err)
{
	char entry[16] = "";

	if (datapath_worker(q->service->datapath, cpu))
		return 0;
	if (i >= 0)
		snprintf(entry, sizeof(entry), " %d", i);
	return vmq_err(err, -ERANGE, "queue %s: %s%s would be CPU %u, which has no worker here: "
		       "choose from those of --cpus", q->rec.name, what, entry, cpu);
}

static int check_budget(const struct vmq_queue_record *next, struct vmq_err *err)
{
	uint16_t cpu[VMQ_RSS_ENTRIES_MAX + 1];
	struct rss_demand d = { .entries = next->rss_entries, .home = next->rss_default };
	int n;

	memcpy(d.cpu, next->rss_table, sizeof(d.cpu));
	n = rss_cpus(&d, cpu);
	if (n <= next->pairs)
		return 0;
	return vmq_err(err, -ENOSPC, "queue %s: table and default would use %d CPUs, but there %s "
		       "%u pair%s; 'vmqctl queue set %s --pairs %d' gives it more", next->name, n,
		       next->pairs == 1 ? "is" : "are", next->pairs, next->pairs == 1 ? "" : "s",
		       next->name, n);
}

int queue_rss_check(const struct queue *q, const struct vmq_queue_record *next,
		    struct vmq_err *err)
{
	bool was = q->rec.flags & VMQ_QUEUE_F_RSS;
	int i, rc;

	if (!(next->flags & VMQ_QUEUE_F_RSS))
		return was || next->rss_primary != q->rec.rss_primary
			? no_worker(q, next->rss_primary, "the primary", -1, err) : 0;
	for (i = 0; i < next->rss_entries; i++) {
		/* An obstacle that is there already is no reason to refuse more. */
		if (was && next->rss_table[i] ==
			   q->rec.rss_table[i & (q->rec.rss_entries - 1)])
			continue;
		rc = no_worker(q, next->rss_table[i], "entry", i, err);
		if (rc)
			return rc;
	}
	if (!was || next->rss_default != q->rec.rss_default) {
		rc = no_worker(q, next->rss_default, "the default", -1, err);
		if (rc)
			return rc;
	}
	return check_budget(next, err);
}

/* ---- steps of a change -------------------------------------------------- */

int rss_place_new(struct queue *q, struct vmq_err *err)
{
	struct rss_place now = { .pairs = MAX(q->width, q->rec.channel_pairs) };
	struct rss_demand want;
	int i;

	for (i = 0; i < now.pairs; i++)
		now.cpu[i] = rss_stand_in(q->service, q->rec.cpu[i]);
	rss_demand(q, &q->rec, &want);
	if (rss_plan(&now, NULL, &want, q->width, &q->place) < 0)
		return vmq_err(err, -ENOSPC, "queue %s: more CPUs than pairs", q->rec.name);
	memcpy(q->rec.cpu, q->place.cpu, sizeof(q->rec.cpu));
	return 0;
}

/* Move those pairs to where @to has them that serve there, or those that do not. */
static int move_pairs(struct queue *q, const struct rss_place *to, bool serving,
		      struct vmq_err *err)
{
	int i, rc;

	for (i = 0; i < to->pairs; i++) {
		if (to->serves[i] != serving || to->cpu[i] == q->place.cpu[i])
			continue;
		rc = port_set_cpu(q->port, i, to->cpu[i], err);
		if (rc)
			return rc;
		q->place.cpu[i] = to->cpu[i];
	}
	return 0;
}

static void move_back(struct queue *q, const struct rss_place *to)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (move_pairs(q, to, true, &err) || move_pairs(q, to, false, &err))
		log_warn("queue %s: %s", q->rec.name, err.text);
}

static void fill_params(const struct queue *q, struct vmq_rss_params *p)
{
	struct rss_demand d;
	const char *why;
	int i;

	rss_demand(q, &q->rec, &d);
	*p = (struct vmq_rss_params){
		.types = q->rec.rss_types,
		.nic_types = queue_nic_types(q, &why),
		.mask = d.entries - 1,
		.fallback = q->slot[rss_pair_on(&q->place, d.home)],
	};
	for (i = 0; i < d.entries; i++)
		p->table[i] = q->slot[rss_pair_on(&q->place, d.cpu[i])];
}

void queue_rss_publish(struct queue *q)
{
	struct vmq_rss_params p;

	if (!queue_rss_on(q))
		return;
	rss_follow_nic(q->service);
	fill_params(q, &p);
	rss_map_write(q->service->rss, q->id, &p, q->rec.rss_key);
}

bool rss_same_hash(const struct vmq_queue_record *a, const struct vmq_queue_record *b)
{
	return a->rss_types == b->rss_types && a->rss_entries == b->rss_entries &&
	       !memcmp(a->rss_key, b->rss_key, sizeof(a->rss_key));
}

/* How a queue is steered before a change. */
struct steering {
	struct rss_demand demand;
	bool on;
	uint32_t fib_value;
};

static void steering_of(const struct queue *q, struct steering *st)
{
	rss_demand(q, &q->rec, &st->demand);
	st->on = queue_rss_on(q);
	st->fib_value = port_has_rings(q->port) ? queue_fib_value(q) : 0;
}

/* The queue's record, places and width are new; @before and @was are old. */
static int steer(struct queue *q, const struct vmq_queue_record *before,
		 const struct steering *was, struct vmq_err *err)
{
	bool on = queue_rss_on(q), running = q->state == QUEUE_RUNNING;
	struct vmq_rss_params p;
	int rc = 0;

	if (!port_has_rings(q->port))
		return 0;
	if (on && was->on && rss_same_hash(before, &q->rec)) {
		fill_params(q, &p);
		rss_map_steer(q->service->rss, q->id, &p);
	} else {
		queue_rss_publish(q);
	}
	if (running && queue_fib_value(q) != was->fib_value)
		rc = filters_activate(q->service->filters, q->id, queue_fib_value(q), err);
	if (!rc && running && was->on && !(on && rss_same_hash(before, &q->rec)))
		queue_settle(q);
	return rc;
}

/* @was: by what it has been steered until now. */
static int apply(struct queue *q, const struct steering *was,
		 const struct vmq_queue_record *next, uint16_t width, struct vmq_err *err)
{
	struct rss_place before = q->place, to;
	struct vmq_queue_record rec = q->rec;
	struct vmq_err idle = VMQ_ERR_INIT;
	uint16_t before_width = q->width;
	struct rss_demand want;
	int rc;

	rss_demand(q, next, &want);
	if (rss_plan(&q->place, &was->demand, &want, width, &to) < 0)
		return vmq_err(err, -ENOSPC, "queue %s: more CPUs than pairs", q->rec.name);
	rc = move_pairs(q, &to, true, err);
	if (rc)
		goto err_back;
	q->rec = *next;
	memcpy(q->rec.cpu, to.cpu, sizeof(q->rec.cpu));
	rc = queue_save(q, err);
	if (rc)
		goto err_back;
	q->width = width;
	memcpy(q->place.serves, to.serves, sizeof(to.serves));
	rc = steer(q, &rec, was, err);
	if (rc)
		goto err_back;
	/* What was chosen is of no use later when something else is asked for now. */
	if (next->flags & VMQ_QUEUE_F_PLACED)
		q->chosen = (struct rss_choice){ .home = 0 };
	else if (!(next->flags & VMQ_QUEUE_F_RSS) || !table_chosen(q, next))
		q->chosen.table_set = false;
	/* An idle pair that cannot move serves the guest from where it is. */
	if (move_pairs(q, &to, false, &idle))
		log_warn("queue %s: %s", q->rec.name, idle.text);
	return 0;

err_back:
	q->rec = rec;
	q->width = before_width;
	memcpy(q->place.serves, before.serves, sizeof(before.serves));
	move_back(q, &before);
	queue_save(q, NULL);
	return rc;
}

int queue_rss_apply(struct queue *q, const struct vmq_queue_record *next, struct vmq_err *err)
{
	struct steering was;

	steering_of(q, &was);
	return apply(q, &was, next, q->width, err);
}

int queue_rss_hold(struct queue *q, bool held, struct vmq_err *err)
{
	struct vmq_queue_record same = q->rec;
	struct steering was;
	int rc;

	if (q->rss_held == held)
		return 0;
	steering_of(q, &was);
	q->rss_held = held;
	rc = apply(q, &was, &same, q->width, err);
	if (rc)
		q->rss_held = !held;
	return rc;
}

static int choose(struct queue *q, const struct rss_choice *next, struct vmq_err *err)
{
	struct vmq_queue_record same = q->rec;
	struct rss_choice before = q->chosen;
	struct steering was;
	int rc;

	steering_of(q, &was);
	q->chosen = *next;
	rc = apply(q, &was, &same, q->width, err);
	if (rc)
		q->chosen = before;
	return rc;
}

int queue_rehome(struct queue *q, uint16_t cpu, struct vmq_err *err)
{
	struct rss_choice next = q->chosen;

	next.home = cpu;
	next.home_set = true;
	return choose(q, &next, err);
}

int queue_respread(struct queue *q, const struct rss_demand *table, struct vmq_err *err)
{
	struct rss_choice next = q->chosen;

	next.table = *table;
	next.table_set = true;
	return choose(q, &next, err);
}

/* ---- pairs -------------------------------------------------------------- */

/* More pairs: rings first, then whatever they make possible. */
static int widen(struct queue *q, const struct vmq_queue_record *next, uint16_t width,
		 struct vmq_err *err)
{
	uint16_t before = q->width, i, home;
	struct steering was;
	int rc;

	steering_of(q, &was);
	home = was.demand.home;
	if (port_has_rings(q->port)) {
		rc = queue_slots_take(q, width, err);
		if (rc)
			return rc;
	}
	rc = port_set_width(q->port, width, q->slot, home, err);
	for (i = q->place.pairs; i < port_pairs(q->port); i++)
		q->place.cpu[i] = home;
	q->place.pairs = port_pairs(q->port);
	if (rc)
		goto err_slots;
	rc = apply(q, &was, next, width, err);
	if (!rc)
		return 0;
	port_set_width(q->port, before, q->slot, home, NULL);
err_slots:
	queue_slots_give(q, before);
	return rc;
}

int queue_check_pairs(const struct queue *q, const struct vmq_queue_record *next,
		      struct vmq_err *err)
{
	/* A pair is given up empty, and a guest that is paused takes nothing. */
	if (next->flags & VMQ_QUEUE_F_PAUSED && port_has_rings(q->port) &&
	    rss_width(q->service, next) < q->width)
		return vmq_err(err, -EBADFD, "queue %s is paused, and its pairs hold frames: pairs "
			       "can be given up after 'vmqctl queue resume %s'", next->name,
			       next->name);
	return next->flags & VMQ_QUEUE_F_RSS ? check_budget(next, err) : 0;
}

int queue_set_pairs(struct queue *q, int pairs, void (*done)(struct queue *q, void *arg),
		    void *arg, struct vmq_err *err)
{
	struct vmq_queue_record next = q->rec;
	uint16_t width, before = q->width;
	struct steering was;
	bool chosen;
	int rc;

	next.pairs = pairs;
	width = rss_width(q->service, &next);
	if (width > before)
		return widen(q, &next, width, err);
	steering_of(q, &was);
	/* A chosen table may be on more CPUs than are left; the one asked for is not. */
	chosen = q->chosen.table_set;
	q->chosen.table_set = chosen && width == before;
	rc = apply(q, &was, &next, width, err);
	if (rc)
		q->chosen.table_set = chosen;
	if (rc || width == before)
		return rc;
	if (port_has_rings(q->port)) {
		queue_narrow(q, width, done, arg);
		return 1;
	}
	return port_set_width(q->port, width, NULL, 0, err);
}
