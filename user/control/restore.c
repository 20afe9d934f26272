/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * restore.c - what an earlier service left: counters, queues, filters
 *
 * Records are replayed by the ordinary verbs; counters go on where they are
 * (adapter/counters.h), but for what died with the service: the frames that lay in its
 * rings or were in a worker's hands, and what the kernel had counted on its sockets
 * since somebody last asked. The program has counted all of them, so how many they are
 * is known exactly, if not what became of them: lost_at_restart.
 */
#include "control/restore.h"

#include <errno.h>

#include "common/log.h"
#include "common/util.h"
#include "control/host.h"
#include "control/queue.h"
#include "control/teardown.h"

/* ---- counters ------------------------------------------------------------ */

/* The slots of a queue are given back, as they would have been by its end. */
static void restore_slots(struct service *s, struct vmq_queue_counters *k)
{
	struct vmq_slot_stats one;
	uint16_t n = MIN(k->n_slots, VMQ_PAIRS_MAX);

	k->n_slots = 0;
	for (uint16_t i = 0; i < n; i++)
		if (!attach_slot_stats(s->attachment, k->slot[i], &one))
			slot_stats_add(&k->past, &one);
}

static void restore_queue_counters(struct service *s, uint32_t id)
{
	struct vmq_queue_counters *k = &s->counters.queue[id];
	union {
		__u64 row[VMQ_COUNTERS_MAX];
		struct port_stats stats;
	} sum;
	uint64_t known, rest;

	restore_slots(s, k);
	counters_sum(&s->counters, id, sum.row);
	known = sum.stats.delivered + sum.stats.channel_full + sum.stats.channel_error +
		sum.stats.discarded + k->ring_full + k->no_buffer + k->lost_at_restart;
	rest = k->past.redirected - MIN(known, k->past.redirected);
	/* What was called failed once is not called lost now. */
	k->redirect_failed = MIN(k->redirect_failed, rest);
	k->lost_at_restart += rest - k->redirect_failed;
}

void restore_counters(struct service *s)
{
	counters_open(&s->counters, s->info->queue_counters, s->info->pair_counters,
		      port_stats_layout());
	if (!s->info->adopted)
		return;
	/* The old program may still be counting a frame. */
	barrier_wait(s->barrier);
	for (uint32_t id = 1; id <= VMQ_QUEUES_MAX; id++)
		restore_queue_counters(s, id);
}

/* ---- queues and filters ------------------------------------------------- */

struct restore {
	struct service *service;
	bool complete[VMQ_QUEUES_MAX + 1], ended[VMQ_QUEUES_MAX + 1];
};

/*
 * Its connection has ended with the service, or the service while it was made or
 * deleted: nobody waits for it.
 */
static int restore_end(struct restore *re, const struct vmq_queue_record *rec)
{
	re->ended[rec->id] = true;
	service_discard_channel(rec, NULL);
	attach_queue_del(re->service->attachment, rec->id);
	return 0;
}

static int restore_queue(const struct vmq_queue_record *rec, void *arg)
{
	struct restore *re = arg;
	struct vmq_err err = VMQ_ERR_INIT;
	struct queue *q;

	if (!rec->id)
		return 0;	/* queue 0 came first: host_restore() */
	if (rec->flags & VMQ_QUEUE_F_ENDS && rec->id <= VMQ_QUEUES_MAX)
		return restore_end(re, rec);
	if (queue_allocate(re->service, rec, true, &q, &err)) {
		log_warn("queue %s of the last run is lost: %s", rec->name, err.text);
		return 0;
	}
	re->complete[q->id] = rec->flags & VMQ_QUEUE_F_COMPLETE;
	return 0;
}

static int restore_filter(const struct vmq_filter_key *key, const struct vmq_filter *f, void *arg)
{
	struct restore *re = arg;
	struct service *s = re->service;
	struct vmq_err err = VMQ_ERR_INIT;
	struct vmq_filter rec = *f;
	struct queue *q = f->queue <= VMQ_QUEUES_MAX ? s->queue[f->queue] : NULL;
	int rc;

	if (!q && f->target == VMQ_TARGET_SLOT && f->queue <= VMQ_QUEUES_MAX &&
	    re->ended[f->queue]) {
		attach_filter_del(s->attachment, key);
		return 0;
	}
	if (f->target != VMQ_TARGET_SLOT)
		rc = filters_add(s->filters, key, &rec, NULL, &err);
	else if (q)
		rc = queue_filter_set(q, key, f->owner, &rec, &err);
	else
		rc = vmq_err(&err, -ENOENT, "its queue %u is gone", f->queue);
	if (rc) {
		log_warn("filter %u of the last run is lost: %s", f->id, err.text);
		attach_filter_del(s->attachment, key);
	}
	return 0;
}

void restore_all(struct service *s)
{
	struct restore re = { .service = s };
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t id;

	s->restoring = true;
	attach_each_queue(s->attachment, host_restore, s);
	attach_each_queue(s->attachment, restore_queue, &re);
	attach_each_filter(s->attachment, restore_filter, &re);
	s->restoring = false;
	address_follow_all(s);
	if (address_commit(s, &err))
		log_warn("the switch knows no virtual machine: %s", err.text);
	/* Pairs that a queue has no more, and queues that are no more. */
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id])
			counters_fold(&s->counters, id, port_pairs(s->queue[id]->port));
		else
			counters_clear(&s->counters, id);
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id])
			port_set_paused(s->queue[id]->port,
					s->queue[id]->rec.flags & VMQ_QUEUE_F_PAUSED);
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && re.complete[id] && queue_complete(s->queue[id], &err)) {
			log_warn("queue %s stays on queue 0: %s", s->queue[id]->rec.name, err.text);
			queue_wait_for_room(s->queue[id]);
		}
	/* There may be more of everything than last time. */
	queue_promote(s);
	if (s->n_queues)
		log_info("took over %u queue%s and %u filter%s", s->n_queues,
			 s->n_queues == 1 ? "" : "s", filters_count(s->filters),
			 filters_count(s->filters) == 1 ? "" : "s");
}
