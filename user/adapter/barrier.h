/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * barrier.h - "no CPU is still running the program with the old state"
 *
 * A thread of its own waits for the kernel's grace period (8 to 16 ms, measured
 * on 6.18), so that nobody else has to: the control thread asks, goes on, and
 * is told through an eventfd. All requests made before a wait starts share it.
 * The barrier is an update of a map-in-map: bpf(2) waits for all RCU readers
 * before that returns (`maybe_wait_bpf_programs()`, since 5.0), which holds on
 * machines with one CPU or nohz_full too, where membarrier(2) does not help.
 *
 * A request that is urgent (a guest stands still until it is answered) is raced
 * for by a second thread, which makes a tour of the CPUs (tour.h). Who is there
 * first answers it, so where no tour is possible the grace period does.
 *
 * The request's memory is the caller's, and must live until `done` has run.
 * All functions are for the control thread.
 */
#ifndef VMQ_BARRIER_H
#define VMQ_BARRIER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct barrier;

struct barrier_request {
	void (*done)(struct barrier_request *req);	/* runs in barrier_dispatch() */
	bool	 urgent;				/* worth disturbing all CPUs */
	struct barrier_request *next;			/* barrier.c's, as what follows */
	uint64_t number;
};

/* Waits; those that requests have shared count once. */
struct barrier_stats {
	uint64_t passed;	/* all */
	uint64_t tours;		/* of those, ended by a tour */
};

int barrier_open(struct barrier **out, struct vmq_err *err);
void barrier_close(struct barrier *b);	/* waits for what was asked; `done`s run */

int barrier_fd(const struct barrier *b);	/* readable: call barrier_dispatch() */
void barrier_dispatch(struct barrier *b);	/* runs `done` of finished requests */

void barrier_request(struct barrier *b, struct barrier_request *req);
int barrier_wait(struct barrier *b);	/* one grace period, here and now; 0 or -errno */

struct barrier_stats barrier_stats(struct barrier *b);	/* any thread */

#endif /* VMQ_BARRIER_H */
