/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * teardown.h - what the files of a queue's life share, beside its verbs (queue.h)
 */
#ifndef VMQ_TEARDOWN_H
#define VMQ_TEARDOWN_H

#include "control/queue.h"

int queue_next(const struct queue *q, enum queue_event ev, struct vmq_err *err);
void queue_enter(struct queue *q, enum queue_state state);	/* announces a change */

/* Socket slots for so many pairs; give back all but so many. */
int queue_slots_take(struct queue *q, uint16_t n, struct vmq_err *err);
void queue_slots_give(struct queue *q, uint16_t keep);
uint32_t queue_slots_used(const struct service *s);	/* of all queues */
/* What a slot counted, added to what others did. */
void slot_stats_add(struct vmq_slot_stats *sum, const struct vmq_slot_stats *one);
/* What all slots have counted so far, those given up included. */
void queue_slot_stats(struct queue *q, struct vmq_slot_stats *sum);
uint32_t queue_ring(const struct queue *q);

/* Barrier and drain of a queue that has just lost its last filter. */
void queue_flush(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg);

/*
 * Barrier, drain and end of the pairs from @width on, which steering has left.
 * Busy until @done (may be NULL) has run.
 */
void queue_narrow(struct queue *q, uint16_t width, void (*done)(struct queue *q, void *arg),
		  void *arg);
/* Barrier and drain of a queue whose guest has stopped; it is out of the FIB. */
void queue_quiesce(struct queue *q, void (*done)(struct queue *q, void *arg));
/* RSS parameters were left that frames under way may read: until a barrier. */
void queue_settle(struct queue *q);

#endif /* VMQ_TEARDOWN_H */
