/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * worker.h - one pinned thread per CPU of the RSS set
 *
 * A worker runs *sources*: things that have frames now and then - an AF_XDP
 * RX ring, a channel's transmit side, the uplink. A source that was ready is
 * polled again and again, in turn with the others and a bounded batch at a time
 * (P-12), until a poll finds nothing; then it waits in epoll (edge-triggered:
 * AF_XDP publishes its ring before it wakes, net/xdp/xsk.c xsk_flush()).
 * With poll_us a worker does not sleep in gaps between frames that are shorter
 * than that.
 *
 * The control thread changes what a worker runs only through worker_call():
 * the function runs in the worker, between two batches, and worker_call()
 * returns when it has. So nothing here needs a lock, and a call of a function
 * that does nothing is the grace period for a table the workers read.
 */
#ifndef VMQ_WORKER_H
#define VMQ_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct worker;

/* Whose frames a source has, for the counters of its CPU. */
enum source_from { FROM_NOWHERE, FROM_WIRE, FROM_GUEST, FROM_N };

struct source {
	int fd;			/* for epoll; -1: only polled when made active */
	enum source_from from;
	/*
	 * Do at most one batch. Return: frames handled; 0: nothing there now.
	 * Runs in the worker that owns the source.
	 */
	int (*poll)(struct source *s);
	bool cheap;		/* a poll that finds nothing is a look at memory, no more */
	/* worker.c's: */
	bool active;		/* on the worker's list */
	bool watched;		/* in epoll */
	struct source *next;
	struct worker *worker;	/* owner, or NULL */
	uint32_t busy;		/* polls that had frames since it is on the list */
	uint32_t empty;		/* polls without since the last of those */
	uint64_t empty_at;	/* when the first of these was */
	uint64_t wake_at;	/* worker_wake_at(); 0: no timer */
	struct source *timed;	/* next with a timer */
};

int worker_open(struct worker **out, uint16_t cpu, uint32_t poll_us, struct vmq_err *err);
void worker_close(struct worker *w);	/* stops and joins the thread */
uint16_t worker_cpu(const struct worker *w);

/* Control thread: run @fn(@arg) in the worker; returns when it has run. */
void worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);

/*
 * Inside the worker (from worker_call() or a poll): add a source and poll it
 * once at least; remove one (it is not polled again). 0 or -errno.
 */
int worker_add(struct worker *w, struct source *s);
void worker_del(struct worker *w, struct source *s);

/*
 * Inside the worker: poll @s again although no event came - soon, or at @ns of
 * the now_ns() clock (rounded up to a millisecond when the worker sleeps; the
 * last call counts). Both may be called by the poll of @s itself.
 */
void worker_wake_source(struct worker *w, struct source *s);
void worker_wake_at(struct worker *w, struct source *s, uint64_t ns);

struct worker_stats {
	uint64_t wakeups;	/* returns from a sleeping epoll_wait() */
	uint64_t batches;	/* polls that found frames */
	uint64_t frames;
	uint64_t from[FROM_N];	/* the same by where they came from */
	uint32_t sources;
};
void worker_stats(const struct worker *w, struct worker_stats *out); /* any thread */

/*
 * CPU time that the worker has needed since it began: what it got, and what it
 * waited for while others had its CPU. Control thread.
 */
uint64_t worker_busy_ns(const struct worker *w);

#endif /* VMQ_WORKER_H */
