/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * balance.h - dynamic VMQ: queues follow the load from CPU to CPU
 *
 * The policy is balance_plan.h; here the load is measured and moves are made.
 * Only with --balance. Control thread.
 */
#ifndef VMQ_BALANCE_H
#define VMQ_BALANCE_H

#include "control/queue.h"

/* Of --cpus, one CPU of each core: hyper-thread siblings get no worker (O-12). */
void balance_choose_cpus(struct service *s);

int balance_open(struct service *s, struct vmq_err *err);	/* sets s->balance */
void balance_close(struct balance *b);

/* Does it move this queue? */
bool balance_moves(const struct queue *q);

int balance_fd(const struct balance *b);	/* readable: balance_look() */
void balance_look(struct service *s);

/*
 * A queue has come or changed, so there may be something to do. Without anything
 * that could move the timer stands still. Nothing to do when balancing is off.
 */
void balance_wake(struct service *s);

#endif /* VMQ_BALANCE_H */
