/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.c - many filters as one change
 *
 * Three passes: read and check the words; run the changes inside a transaction
 * of the filters (adapter/filters.h), which one failure aborts; after the commit
 * let states, addresses and stations follow. Queues that lost their last filter
 * are flushed like after any other clear.
 *
 * A transaction writes the half of the FIB that frames have left, and that takes a
 * grace period after the last one, 8 to 16 ms. It is asked for when a change is made,
 * and a change that comes sooner waits in line, while other requests are served.
 *
 * The control thread does nothing else meanwhile, so nothing here may take time for
 * each change and each queue: 65,536 changes meet up to 1,024 queues. Their names are
 * sorted once.
 */
#include "control/apply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "control/host.h"
#include "control/queue.h"
#include "control/teardown.h"

/*
 * A list as long waits a grace period for its turn, though the FIB could be written, and is
 * given back in a turn of its own: reading the message, the change, and freeing take about a third
 * of the time each, and others are served in between.
 */
#define LONG_LIST	2048

enum change_op { CHANGE_ADD, CHANGE_DEL, CHANGE_MOVE };

static const char *const op_word[] = { "add", "del", "move" };

struct change {
	enum change_op op;
	struct vmq_filter_key key;
	struct queue *to;	/* add, move: NULL is queue 0 or the drop queue */
	uint8_t target;
};

struct apply {
	struct service *service;
	struct request *request;
	struct queue *by_name[VMQ_QUEUES_MAX];
	size_t n_names;
	struct change *change;
	size_t n;
	uint32_t before[VMQ_QUEUES_MAX + 1];	/* filters of each queue */
	bool activated[VMQ_QUEUES_MAX + 1];	/* Paused queues, inside the change */
	size_t flushing;
};

const struct param filter_apply_params[] = {
	{ "changes", PARAM_OBJECTS, true,
	  "each with op (add, del or move), mac, vlan, and queue for add and move" },
	{ .name = NULL },
};

/* ---- index ------------------------------------------------------------- */

static int name_order(const void *a, const void *b)
{
	const struct queue *x = *(struct queue *const *)a, *y = *(struct queue *const *)b;

	return strcmp(x->rec.name, y->rec.name);
}

static int name_match(const void *name, const void *element)
{
	const struct queue *q = *(struct queue *const *)element;

	return strcmp(name, q->rec.name);
}

static void index_queues(struct apply *a)
{
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (a->service->queue[id])
			a->by_name[a->n_names++] = a->service->queue[id];
	qsort(a->by_name, a->n_names, sizeof(*a->by_name), name_order);
}

static struct queue *find_queue(const struct apply *a, const char *name)
{
	struct queue *const *found;

	found = bsearch(name, a->by_name, a->n_names, sizeof(*a->by_name), name_match);
	return found ? *found : queue_find(a->service, name);
}

static void apply_free(struct apply *a)
{
	if (!a)
		return;
	free(a->change);
	free(a);
}

/* ---- reading ----------------------------------------------------------- */

static const char *word_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static int read_target(struct apply *a, struct change *c, const char *name, struct vmq_err *err)
{
	struct actor who = { .uid = a->request->uid, .client_id = a->request->client_id };
	int rc;

	c->target = VMQ_TARGET_SLOT;
	if (!strcmp(name, "drop")) {
		c->target = VMQ_TARGET_DROP;
	} else if (host_is(name)) {
		c->target = VMQ_TARGET_HOST;
	} else {
		c->to = find_queue(a, name);
		if (!c->to)
			return vmq_err(err, -ENOENT, "no queue %s", name);
		rc = queue_may_change(c->to, &who, err);
		return rc ? rc : MIN(queue_next(c->to, QUEUE_EV_SET_FILTER, err), 0);
	}
	return 0;
}

static int read_change(struct apply *a, struct change *c, const json_t *o, struct vmq_err *err)
{
	const char *op = word_of(o, "op"), *mac = word_of(o, "mac"), *vlan = word_of(o, "vlan");
	const char *queue = word_of(o, "queue");
	int rc;

	for (c->op = CHANGE_ADD; c->op <= CHANGE_MOVE; c->op++)
		if (op && !strcmp(op, op_word[c->op]))
			break;
	if (c->op > CHANGE_MOVE)
		return vmq_err(err, -EINVAL, "op must be add, del or move");
	if (!mac)
		return vmq_err(err, -EINVAL, "mac is missing");
	rc = parse_mac(mac, c->key.mac, err);
	if (!rc && vlan)
		rc = parse_rule(vlan, &c->key.rule, err);
	if (rc || c->op == CHANGE_DEL)
		return rc;
	if (!queue)
		return vmq_err(err, -EINVAL, "queue is missing");
	rc = read_target(a, c, queue, err);
	if (!rc && !vlan && c->to)
		c->key.rule = c->to->rec.rule;
	return rc;
}

/* ---- inside the transaction -------------------------------------------- */

static int run_change(struct apply *a, struct change *c, struct vmq_err *err)
{
	struct filters *fs = a->service->filters;
	const struct filter *f;
	struct vmq_filter rec;
	int rc;

	if (c->op == CHANGE_ADD) {
		rc = queue_filter_check(a->service, &c->key, err);
		if (!rc && c->to)
			rc = queue_address_check(a->service, c->to, c->key.mac, c->key.rule, err);
		rec = (struct vmq_filter){ .queue = c->to ? c->to->id : 0, .target = c->target,
					   .owner = a->request->uid };
		return rc ? rc : filters_add(fs, &c->key, &rec, NULL, err);
	}
	f = filters_by_key(fs, &c->key);
	if (!f)
		return vmq_err(err, -ENOENT, "no such filter");
	if (a->request->uid && f->rec.owner != a->request->uid)
		return vmq_err(err, -EPERM, "filter %u was set by uid %u", f->rec.id, f->rec.owner);
	if (c->op == CHANGE_DEL) {
		c->target = f->rec.target;
		return filters_del(fs, f, err);
	}
	if (f->rec.target != VMQ_TARGET_SLOT || !c->to)
		return vmq_err(err, -EINVAL,
			       "a filter moves between virtual machines' queues only");
	return filters_move(fs, f, c->to->id, err);
}

static int run_all(struct apply *a, struct vmq_err *err)
{
	struct service *s = a->service;
	size_t i;
	int rc;

	rc = filters_begin(s->filters, err);
	if (rc)
		return rc;
	for (i = 0; i < a->n && !rc; i++) {
		struct queue *to = a->change[i].to;

		if (to && to->state == QUEUE_PAUSED && !a->activated[to->id]) {
			a->activated[to->id] = true;
			rc = filters_activate(s->filters, to->id, queue_fib_value(to), err);
		}
		if (!rc)
			rc = run_change(a, &a->change[i], err);
		if (rc)
			vmq_err_prefix(err, "change %zu (%s)", i + 1, op_word[a->change[i].op]);
	}
	if (rc)
		filters_abort(s->filters);
	else
		rc = filters_commit(s->filters, err);
	if (!rc)
		return 0;
	for (i = 1; i <= VMQ_QUEUES_MAX; i++)
		if (a->activated[i])
			filters_deactivate(s->filters, i);
	return rc;
}

/* ---- after the commit -------------------------------------------------- */

struct garbage {
	struct barrier_request barrier;
	json_t *params;
};

static void garbage_free(struct barrier_request *req)
{
	struct garbage *g = container_of(req, struct garbage, barrier);

	json_decref(g->params);
	free(g);
}

/* Without memory for that it goes with the answer. */
static void free_later(struct service *s, json_t *params)
{
	struct garbage *g = calloc(1, sizeof(*g));

	if (!g)
		return;
	g->params = json_incref(params);
	g->barrier.done = garbage_free;
	barrier_request(s->barrier, &g->barrier);
}

static void apply_answer(struct apply *a)
{
	if (a->n >= LONG_LIST)
		free_later(a->service, a->request->params);
	request_reply(a->request, json_pack("{s:i}", "changes", (int)a->n));
	apply_free(a);
}

static void flushed(struct queue *q, void *arg)
{
	struct apply *a = arg;

	(void)q;
	if (!--a->flushing)
		apply_answer(a);
}

static void follow_states(struct apply *a)
{
	struct service *s = a->service;
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		struct queue *q = s->queue[id];
		bool running = q && q->state == QUEUE_RUNNING;
		uint32_t now = filters_of(s->filters, id);

		if (!q || (!now == !a->before[id] && !(a->activated[id] && !now)))
			continue;
		if (now) {
			queue_enter(q, state_next(q->state, QUEUE_EV_SET_FILTER));
			continue;
		}
		filters_deactivate(s->filters, id);
		if (a->before[id])
			queue_enter(q, state_next(q->state, QUEUE_EV_CLEAR_LAST));
		if (running) {
			a->flushing++;
			queue_flush(q, flushed, a);
		}
	}
}

static bool any_waits(struct apply *a)
{
	uint32_t id;
	size_t i;

	/* Queues that gain, and all that might lose: whoever is stopping is waited for. */
	for (i = 0; i < a->n; i++)
		if (a->change[i].to && queue_defer(a->change[i].to, a->request))
			return true;
	for (i = 0; i < a->n; i++) {
		const struct filter *f = filters_by_key(a->service->filters, &a->change[i].key);

		id = f && f->rec.target == VMQ_TARGET_SLOT ? f->rec.queue : 0;
		if (id && queue_defer(a->service->queue[id], a->request))
			return true;
	}
	return false;
}

/* ---- one after the other ----------------------------------------------- */

static void gate_ask(struct service *s);
static void apply_or_wait(struct service *s, struct request *r, bool waited);

static void gate_passed(struct barrier_request *req)
{
	struct service *s = container_of(req, struct service, apply.barrier);
	struct request **waiting = s->apply.waiting;
	uint32_t i, n = s->apply.n_waiting;

	s->apply.asked = false;
	if (!s->filters)
		return;		/* the end: apply_close() */
	filters_passed(s->filters, s->apply.flips);
	s->apply.waiting = NULL;
	s->apply.n_waiting = 0;
	gate_ask(s);		/* the FIB was written anew meanwhile: wait for that */
	for (i = 0; i < n; i++)
		apply_or_wait(s, waiting[i], true);
	free(waiting);
}

static void gate_ask(struct service *s)
{
	if (s->apply.asked || (!filters_wait(s->filters) && !s->apply.n_waiting))
		return;
	s->apply.asked = true;
	s->apply.flips = filters_flips(s->filters);
	s->apply.barrier.done = gate_passed;
	barrier_request(s->barrier, &s->apply.barrier);
}

/* True: @r waits, and comes back. Without memory for that it waits here and now. */
static bool gate_waits(struct service *s, struct request *r, bool waited)
{
	size_t n = json_array_size(json_object_get(r->params, "changes"));
	struct apply_gate *g = &s->apply;
	struct request **grown;

	/* Nobody overtakes those that wait. */
	if (!filters_wait(s->filters) && (waited || (n < LONG_LIST && !g->n_waiting)))
		return false;
	grown = realloc(g->waiting, (g->n_waiting + 1) * sizeof(*grown));
	if (!grown)
		return false;
	g->waiting = grown;
	g->waiting[g->n_waiting++] = r;
	gate_ask(s);
	return true;
}

void apply_close(struct service *s)
{
	for (uint32_t i = 0; i < s->apply.n_waiting; i++)
		request_fail(s->apply.waiting[i], -ESHUTDOWN);
	free(s->apply.waiting);
	s->apply.waiting = NULL;
	s->apply.n_waiting = 0;
}

static void apply_or_wait(struct service *s, struct request *r, bool waited)
{
	json_t *list = json_object_get(r->params, "changes");
	struct apply *a;
	uint32_t id;
	size_t i;
	int rc = 0;

	if (gate_waits(s, r, waited))
		return;
	a = calloc(1, sizeof(*a));
	if (a)
		a->change = calloc(json_array_size(list) + 1, sizeof(*a->change));
	if (!a || !a->change) {
		rc = vmq_err_sys(&r->err, -ENOMEM, "cannot hold the change");
		goto err;
	}
	a->service = s;
	a->request = r;
	a->n = json_array_size(list);
	index_queues(a);
	for (i = 0; i < a->n && !rc; i++) {
		rc = read_change(a, &a->change[i], json_array_get(list, i), &r->err);
		if (rc)
			vmq_err_prefix(&r->err, "change %zu", i + 1);
	}
	if (rc)
		goto err;
	if (any_waits(a))
		goto out;
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		a->before[id] = filters_of(s->filters, id);
	rc = run_all(a, &r->err);
	if (rc)
		goto err;
	for (i = 0; i < a->n; i++) {
		if (a->change[i].target != VMQ_TARGET_SLOT)
			continue;
		address_follow(s, a->change[i].key.mac, a->change[i].key.rule);
		if (a->change[i].op == CHANGE_ADD)
			service_address_add(s, a->change[i].key.mac,
					    a->change[i].key.rule);
		else if (a->change[i].op == CHANGE_DEL)
			service_address_del(s, a->change[i].key.mac,
					    a->change[i].key.rule);
	}
	follow_states(a);
	address_commit(s, NULL);
	gate_ask(s);
	if (!a->flushing)
		apply_answer(a);
	return;

err:
	request_fail(r, rc);
out:
	apply_free(a);
}

void filter_apply(void *service, struct request *r)
{
	apply_or_wait(service, r, false);
}
