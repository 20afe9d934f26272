/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * teardown.c - how a queue stops, losing nothing
 *
 *   1. its filters leave the FIB: from now on its frames go to queue 0, and
 *      the switch carries them while the port is there;
 *   2. barrier: no CPU is still redirecting to it;
 *   3. the workers deliver what the rings hold until a deadline, then discard;
 *   4. a free announces "dma-stopped", once: the last write is over (S-9);
 *   5. the channel gives back what it holds, without the guest (L-2);
 *   6. sockets are closed, memory is freed; the id is reusable now, not earlier.
 *
 * Steps 2 and 3 take time, and the control thread goes on meanwhile. A request
 * about a queue that is on its way to Paused waits until it is there; one about
 * a queue on its way out is answered by the state table.
 */
#include "control/teardown.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/util.h"
#include "control/guest.h"

static void queue_wait(struct queue *q, struct request *r)
{
	struct request **grown;

	grown = realloc(q->waiting, (q->n_waiting + 1) * sizeof(*grown));
	if (!grown) {
		vmq_err(&r->err, -ENOMEM, "cannot wait for queue %s", q->rec.name);
		request_fail(r, -ENOMEM);
		return;
	}
	q->waiting = grown;
	q->waiting[q->n_waiting++] = r;
}

bool queue_defer(struct queue *q, struct request *r)
{
	if (!q->busy || q->op.free)
		return false;
	queue_wait(q, r);
	return true;
}

bool queue_settling(struct queue *q, struct request *r)
{
	if (q->settling)
		queue_wait(q, r);
	return q->settling;
}

/* Call the methods again whose requests have waited; @q may be gone. */
static void resume_requests(struct service *s, struct request **waiting, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		waiting[i]->method->fn(s, waiting[i]);
	free(waiting);
}

/* ---- receive-side scaling ------------------------------------------------ */

static void queue_settled(struct barrier_request *req)
{
	struct queue *q = container_of(req, struct queue, settle);
	struct request **waiting = q->waiting;
	uint32_t n = q->n_waiting;

	q->settling = false;
	if (q->busy && !q->op.free)
		return;		/* they wait for the operation as well */
	q->waiting = NULL;
	q->n_waiting = 0;
	resume_requests(q->service, waiting, n);
}

void queue_settle(struct queue *q)
{
	if (q->settling)
		return;
	q->settling = true;
	q->settle.done = queue_settled;
	barrier_request(q->service->barrier, &q->settle);
}

/* The pairs that were given up are empty: end their rings. */
static void queue_narrowed(struct queue *q)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (port_set_width(q->port, q->op.narrow, q->slot, 0, &err))
		log_warn("queue %s: %s", q->rec.name, err.text);
	queue_slots_give(q, q->op.narrow);
	queue_announce(q, "queue-pairs");
}

/* Step 5 and 6; out of the switch, and no rings. */
static void queue_release(struct queue *q, bool keep)
{
	struct service *s = q->service;
	struct port_stats last;	/* told to those who come after us */
	int i;

	queue_slots_give(q, 0);
	if (keep)
		port_get_stats(q->port, &q->kept->past, &last);
	port_close(q->port, keep);
	filters_unmute(s->filters, q->id, NULL);	/* it has none, but its id is reused */
	if (!keep)
		counters_clear(&s->counters, q->id);
	for (i = 0; i < q->rec.n_macs; i++)
		service_address_del(s, q->rec.mac[i], q->rec.rule);
	if (!keep)
		attach_queue_del(s->attachment, q->id);
	address_disown(q);
	s->queue[q->id] = NULL;
	s->n_queues--;
}

static void operation_finish(struct queue *q)
{
	struct request **waiting = q->waiting;
	struct service *s = q->service;
	uint32_t n = q->n_waiting;
	bool freed = q->op.free, narrowed = q->op.narrow;

	q->waiting = NULL;
	q->n_waiting = 0;
	q->busy = false;
	if (freed) {
		queue_release(q, false);
		queue_enter(q, state_next(q->state, QUEUE_EV_RELEASED));
	} else if (q->op.narrow) {
		queue_narrowed(q);
	}
	if (q->op.done)
		q->op.done(q, q->op.arg);
	if (freed) {
		free(q->channel_lost);
		free(q);
	} else if (!q->doomed) {
		guest_follow(q);
	}
	if (freed || narrowed)
		queue_promote(s);
	resume_requests(s, waiting, n);
	if (!freed && q->doomed && !q->busy)
		queue_delete(q, NULL, NULL, NULL);
}

static void operation_closed(struct closing *c)
{
	operation_finish(container_of(c, struct queue, op.closing));
}

static void operation_drained(struct port_drain *d)
{
	struct queue *q = container_of(d, struct queue, op.drain);

	if (!q->op.free) {
		operation_finish(q);
		return;
	}
	queue_announce(q, "dma-stopped");
	queue_enter(q, state_next(q->state, QUEUE_EV_DMA_STOPPED));
	address_leave(q);
	q->op.closing.done = operation_closed;
	port_rings_close(q->port, &q->op.closing);
}

static void operation_passed(struct barrier_request *req)
{
	struct queue *q = container_of(req, struct queue, op.barrier);

	q->op.drain.done = operation_drained;
	q->op.drain.from = q->op.narrow;
	if (port_has_rings(q->port))
		port_drain(q->port, &q->op.drain);
	else
		operation_drained(&q->op.drain);
}

static void operation_begin(struct queue *q, const struct operation *what, uint32_t timeout_ms)
{
	struct barrier *b = q->service->barrier;

	q->busy = true;
	q->op = *what;
	q->op.began_ns = now_ns();
	q->op.barrier.done = operation_passed;
	q->op.drain.deadline_ns = q->op.began_ns + timeout_ms * 1000000ULL;
	barrier_request(b, &q->op.barrier);
}

void queue_flush(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg)
{
	operation_begin(q, &(struct operation){ .done = done, .arg = arg }, DRAIN_TIMEOUT_MS);
}

/*
 * The guest lives on and is about to take what the pairs hold, however busy the
 * machine is; the bound is for one that has stopped reading.
 */
#define NARROW_TIMEOUT_MS 2000

void queue_narrow(struct queue *q, uint16_t width, void (*done)(struct queue *q, void *arg),
		  void *arg)
{
	operation_begin(q, &(struct operation){ .narrow = width, .done = done, .arg = arg },
			NARROW_TIMEOUT_MS);
}

/*
 * A guest that has stopped gives no more buffers. So nothing is waited for when it
 * has no room, and the bound is for a busy machine. One that is being moved does not
 * run anywhere until we have answered, hence the hurry.
 */
#define QUIESCE_TIMEOUT_MS 2000

void queue_quiesce(struct queue *q, void (*done)(struct queue *q, void *arg))
{
	const struct operation op = { .drain.stopped = true, .barrier.urgent = true, .done = done };

	operation_begin(q, &op, QUIESCE_TIMEOUT_MS);
}

/* ---- clear ------------------------------------------------------------- */

/* Take one filter away; the state follows the table. */
static int clear_one(struct queue *q, const struct filter *f, struct vmq_err *err)
{
	struct service *s = q->service;
	bool last = filters_of(s->filters, q->id) == 1;
	int next = queue_next(q, last ? QUEUE_EV_CLEAR_LAST : QUEUE_EV_CLEAR, err);
	struct vmq_filter_key key = f->key;
	int rc;

	if (next < 0)
		return next;
	rc = filters_del(s->filters, f, err);
	if (rc)
		return rc;
	if (last)
		filters_deactivate(s->filters, q->id);
	address_follow(s, key.mac, key.rule);
	service_address_del(s, key.mac, key.rule);
	queue_enter(q, next);
	return 0;
}

int queue_filter_clear(struct queue *q, const struct filter *f,
		       void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err)
{
	bool running = q->state == QUEUE_RUNNING;
	int rc;

	rc = clear_one(q, f, err);
	if (rc)
		return rc;
	rc = address_commit(q->service, err);
	if (rc)
		return rc;
	if (!running || q->state == QUEUE_RUNNING)
		return 0;
	queue_flush(q, done, arg);
	return 1;
}

int queue_filter_move(struct queue *q, const struct filter *f, struct queue *to,
		      void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err)
{
	struct filters *fs = q->service->filters;
	bool last = filters_of(fs, q->id) == 1, running = q->state == QUEUE_RUNNING;
	int left, next, rc;

	if (q == to)
		return 0;
	left = queue_next(q, last ? QUEUE_EV_CLEAR_LAST : QUEUE_EV_CLEAR, err);
	next = queue_next(to, QUEUE_EV_SET_FILTER, err);
	if (left < 0 || next < 0)
		return MIN(left, next);
	/* A Paused queue runs from the moment it has a filter. */
	if (to->state == QUEUE_PAUSED) {
		rc = filters_activate(fs, to->id, queue_fib_value(to), err);
		if (rc)
			return rc;
	}
	rc = filters_move(fs, f, to->id, err);
	if (rc) {
		if (to->state == QUEUE_PAUSED)
			filters_deactivate(fs, to->id);
		return rc;
	}
	if (last)
		filters_deactivate(fs, q->id);
	queue_enter(to, next);
	queue_enter(q, left);
	address_follow(q->service, f->key.mac, f->key.rule);
	rc = address_commit(q->service, err);
	if (rc || !last || !running)
		return rc;
	queue_flush(q, done, arg);
	return 1;
}

struct clearing {
	struct queue *queue;
	struct vmq_err *err;
};

static int clear_if_of_queue(const struct filter *f, void *arg)
{
	struct clearing *c = arg;

	if (f->rec.queue != c->queue->id || f->rec.target == VMQ_TARGET_DROP)
		return 0;
	return clear_one(c->queue, f, c->err);
}

static int clear_all(struct queue *q, struct vmq_err *err)
{
	struct clearing c = { .queue = q, .err = err };
	int rc;

	/* Frames leave the queue at once, not filter by filter. */
	filters_deactivate(q->service->filters, q->id);
	rc = filters_each(q->service->filters, clear_if_of_queue, &c);
	if (rc)
		return rc;
	return address_commit(q->service, err);
}

int queue_drain(struct queue *q, uint32_t timeout_ms,
		void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err)
{
	int rc;

	if (q->state != QUEUE_RUNNING)
		return vmq_err(err, -EBADFD, "drain is refused: queue %s is %s", q->rec.name,
			       state_name(q->state));
	rc = clear_all(q, err);
	if (rc)
		return rc;
	operation_begin(q, &(struct operation){ .done = done, .arg = arg }, timeout_ms);
	return 1;
}

/* ---- free -------------------------------------------------------------- */

int queue_free(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg,
	       struct vmq_err *err)
{
	int next = queue_next(q, QUEUE_EV_FREE, err);

	if (next < 0) {
		if (filters_of(q->service->filters, q->id))
			vmq_err(err, next, "free is refused: queue %s still has %u filter%s; "
				"clear them, or use 'vmqctl queue del %s'", q->rec.name,
				filters_of(q->service->filters, q->id),
				filters_of(q->service->filters, q->id) == 1 ? "" : "s",
				q->rec.name);
		return next;
	}
	queue_enter(q, next);
	operation_begin(q, &(struct operation){ .free = true, .done = done, .arg = arg },
			DRAIN_TIMEOUT_MS);
	return 1;
}

int queue_delete(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg,
		 struct vmq_err *err)
{
	uint32_t flags = q->rec.flags;
	int rc;

	if (filters_of(q->service->filters, q->id)) {
		/* Should we die, the next run goes on with it. */
		q->rec.flags |= VMQ_QUEUE_F_ENDS;
		rc = queue_save(q, err);
		if (!rc)
			rc = clear_all(q, err);
		if (rc) {
			q->rec.flags = flags;
			queue_save(q, NULL);
			return rc;
		}
	}
	return queue_free(q, done, arg, err);
}

void queue_abandon(struct queue *q)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (q->busy)
		q->doomed = true;
	else if (queue_delete(q, NULL, NULL, &err) < 0)
		log_warn("queue %s: %s", q->rec.name, err.text);
}

/* ---- the end ----------------------------------------------------------- */

static bool any_busy(const struct service *s)
{
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && (s->queue[id]->busy || s->queue[id]->settling))
			return true;
	return false;
}

void queue_destroy_all(struct service *s, bool keep)
{
	struct pollfd fd[] = {
		{ .fd = barrier_fd(s->barrier), .events = POLLIN },
		{ .fd = datapath_fd(s->datapath), .events = POLLIN },
	};
	uint32_t id;

	/* Operations end by themselves: barriers do, drains have deadlines. */
	while (any_busy(s)) {
		if (poll(fd, ARRAY_SIZE(fd), -1) < 0 && errno != EINTR)
			break;
		barrier_dispatch(s->barrier);
		datapath_dispatch(s->datapath);
	}
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id])
			filters_deactivate(s->filters, id);
	barrier_wait(s->barrier);
	switch_clear(datapath_switch(s->datapath));
	switch_commit(datapath_switch(s->datapath));
	switch_settle(datapath_switch(s->datapath));
	datapath_end(s->datapath);
	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		struct queue *q = s->queue[id];

		if (!q)
			continue;
		port_rings_close(q->port, NULL);
		queue_release(q, keep);
		free(q->channel_lost);
		free(q->waiting);
		free(q);
	}
}
