/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * teardown.h - what queue.c and teardown.c share
 */
#ifndef VMQ_TEARDOWN_H
#define VMQ_TEARDOWN_H

#include "control/queue.h"

int queue_next(const struct queue *q, enum queue_event ev, struct vmq_err *err);
void queue_enter(struct queue *q, enum queue_state state);	/* announces a change */
void queue_slots_release(struct queue *q);
uint32_t queue_ring(const struct queue *q);
/* Barrier and drain of a queue that has just lost its last filter. */
void queue_flush(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg);

#endif /* VMQ_TEARDOWN_H */
