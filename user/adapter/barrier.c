// SPDX-License-Identifier: GPL-2.0-only
/*
 * barrier.c - "no CPU is still running the program with the old state"
 *
 * Requests are numbered as they come. A thread that begins to wait notes the
 * number of the last one; when it is through, all up to that number are finished,
 * so any number of requests costs one wait, and those that come meanwhile share
 * the next one. Two threads do so, each in its own way: one waits for a grace
 * period whenever anything is asked, the other makes a tour of the CPUs when an
 * urgent request is among it. What the one has finished the other does not find.
 *
 * The grace period is that of a map-in-map update: maybe_wait_bpf_programs()
 * (kernel/bpf/syscall.c, since 5.0) calls synchronize_rcu() before bpf(2)
 * returns, and an XDP program runs within one RCU read-side section (with
 * softirqs off, which synchronize_rcu() waits for since 4.20). The inner map is
 * replaced by itself; nobody reads it.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "adapter/barrier.h"
#include "adapter/tour.h"
#include "common/log.h"
#include "common/util.h"

struct queue {
	struct barrier_request *first, **end;
};

struct barrier {
	int outer_fd, inner_fd;
	int event_fd;
	pthread_t waiter, tourist;
	bool touring;		/* the tourist's thread was started */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;		/* lock; the tour reads it without */
	struct queue asked;	/* lock */
	struct queue finished;	/* lock */
	uint64_t last;		/* lock; number of the last request */
	uint64_t urgent;	/* lock; of the last urgent one that was not finished, or 0 */
	struct barrier_stats stats;	/* lock */
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_append(struct queue *q, struct barrier_request *req)
{
	req->next = NULL;
	*q->end = req;
	q->end = &req->next;
}

static struct barrier_request *queue_shift(struct queue *q)
{
	struct barrier_request *req = q->first;

	q->first = req->next;
	if (!q->first)
		q->end = &q->first;
	return req;
}

static int grace_period(const struct barrier *b)
{
	uint32_t zero = 0, inner = (uint32_t)b->inner_fd;

	return bpf_map_update_elem(b->outer_fd, &zero, &inner, BPF_ANY);
}

/*
 * A request must not be called finished without a grace period: its owner
 * would free what a program still uses. With two good descriptors the update
 * cannot fail but for want of memory, so it is tried again.
 */
static void grace_period_surely(const struct barrier *b)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	bool told = false;
	int rc;

	while ((rc = grace_period(b))) {
		if (!told)
			log_err("waiting for running programs failed (errno %d); trying again",
				-rc);
		told = true;
		nanosleep(&pause, NULL);
	}
}

/*
 * All requests up to number @upto have been waited for. Caller holds the lock.
 * Return: false if the other thread was faster.
 */
static bool finish(struct barrier *b, uint64_t upto)
{
	if (!b->asked.first || b->asked.first->number > upto)
		return false;
	while (b->asked.first && b->asked.first->number <= upto)
		queue_append(&b->finished, queue_shift(&b->asked));
	if (b->urgent <= upto)
		b->urgent = 0;
	b->stats.passed++;
	eventfd_write(b->event_fd, 1);
	return true;
}

static void *waiter_thread(void *arg)
{
	struct barrier *b = arg;
	uint64_t upto;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		while (!b->asked.first && !b->stop)
			pthread_cond_wait(&b->wake, &b->lock);
		if (!b->asked.first)
			break;
		upto = b->last;
		pthread_mutex_unlock(&b->lock);

		grace_period_surely(b);

		pthread_mutex_lock(&b->lock);
		finish(b, upto);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/*
 * A guest that stops and starts its card all the time must not disturb its
 * neighbours' CPUs more often than this; grace periods then answer it.
 */
#define TOUR_INTERVAL_NS 10000000ULL

/*
 * The lowest real-time priority, if we may: a tour is over in microseconds, and
 * what it is there for would be lost behind somebody's time slice on each CPU.
 */
static void *tourist_thread(void *arg)
{
	const struct sched_param lowest = { .sched_priority = sched_get_priority_min(SCHED_FIFO) };
	struct vmq_err err = VMQ_ERR_INIT;
	struct barrier *b = arg;
	uint64_t upto, next = 0;
	int rc = 0;

	(void)sched_setscheduler(0, SCHED_FIFO, &lowest);
	pthread_mutex_lock(&b->lock);
	while (!rc) {
		while (!b->urgent && !b->stop)
			pthread_cond_wait(&b->wake, &b->lock);
		if (b->stop)
			break;
		if (now_ns() < next) {
			b->urgent = 0;
			continue;
		}
		upto = b->last;
		pthread_mutex_unlock(&b->lock);

		rc = tour_run(&b->stop, &err);

		next = now_ns() + TOUR_INTERVAL_NS;
		pthread_mutex_lock(&b->lock);
		if (!rc && finish(b, upto))
			b->stats.tours++;
	}
	pthread_mutex_unlock(&b->lock);
	if (rc && rc != -ECANCELED)
		log_info("stopping guests wait for grace periods: %s", err.text);
	return NULL;
}

/* All signals are the control thread's (it reads them from a signalfd). */
static int start_thread(struct barrier *b, pthread_t *thread, void *(*fn)(void *),
			const char *name)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, fn, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		pthread_setname_np(*thread, name);
	return -rc;
}

/* Without a tourist everything works, only later. */
static void start_tourist(struct barrier *b)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int rc = tour_possible(&err);

	if (!rc) {
		rc = start_thread(b, &b->tourist, tourist_thread, "vmq-tour");
		if (rc)
			vmq_err_sys(&err, rc, "cannot start a thread");
	}
	b->touring = !rc;
	if (rc)
		log_info("stopping guests wait for grace periods: %s", err.text);
}

/* It may be on its way to a CPU that somebody's real-time thread does not leave. */
static void end_tourist(struct barrier *b)
{
	cpu_set_t anywhere;
	struct timespec at;

	memset(&anywhere, 0xff, sizeof(anywhere));
	do {
		pthread_setaffinity_np(b->tourist, sizeof(anywhere), &anywhere);
		clock_gettime(CLOCK_REALTIME, &at);
		at.tv_nsec += 10000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
	} while (pthread_timedjoin_np(b->tourist, NULL, &at));
}

static void barrier_free(struct barrier *b)
{
	if (b->event_fd >= 0)
		close(b->event_fd);
	if (b->outer_fd >= 0)
		close(b->outer_fd);
	if (b->inner_fd >= 0)
		close(b->inner_fd);
	pthread_cond_destroy(&b->wake);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/**
 * barrier_open() - make the maps and start the thread
 * @out: the barrier
 * @err: sentence
 *
 * Return: 0, or negative errno (-EPERM without CAP_BPF).
 */
int barrier_open(struct barrier **out, struct vmq_err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	struct barrier *b;
	int rc;

	b = calloc(1, sizeof(*b));
	if (!b)
		return vmq_err(err, -ENOMEM, "no memory for the barrier");
	b->outer_fd = b->inner_fd = b->event_fd = -1;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->wake, NULL);
	queue_init(&b->asked);
	queue_init(&b->finished);

	b->inner_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "vmq_barrier_in", 4, 4, 1, NULL);
	if (b->inner_fd < 0) {
		rc = vmq_err_sys(err, b->inner_fd, "cannot make a BPF map for the barrier");
		goto err_free;
	}
	opts.inner_map_fd = (uint32_t)b->inner_fd;
	b->outer_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "vmq_barrier", 4, 4, 1, &opts);
	if (b->outer_fd < 0) {
		rc = vmq_err_sys(err, b->outer_fd, "cannot make a map of maps for the barrier");
		goto err_free;
	}
	b->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (b->event_fd < 0) {
		rc = vmq_err_sys(err, -errno, "cannot make an eventfd");
		goto err_free;
	}
	rc = start_thread(b, &b->waiter, waiter_thread, "vmq-barrier");
	if (rc) {
		vmq_err_sys(err, rc, "cannot start the barrier's thread");
		goto err_free;
	}
	start_tourist(b);
	*out = b;
	return 0;

err_free:
	barrier_free(b);
	return rc;
}

/**
 * barrier_close() - wait for all requests, run their `done`, end the thread
 * @b: barrier, or NULL
 */
void barrier_close(struct barrier *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	store_relaxed(&b->stop, true);
	pthread_cond_broadcast(&b->wake);
	pthread_mutex_unlock(&b->lock);
	if (b->touring)
		end_tourist(b);
	pthread_join(b->waiter, NULL);
	barrier_dispatch(b);

	/* A `done` may have asked again; the threads are gone, so wait here. */
	while (b->asked.first) {
		grace_period_surely(b);
		finish(b, b->last);
		barrier_dispatch(b);
	}
	barrier_free(b);
}

int barrier_fd(const struct barrier *b)
{
	return b->event_fd;
}

void barrier_dispatch(struct barrier *b)
{
	struct barrier_request *req, *next;
	eventfd_t count;

	/* The event is taken before the list, so none that comes later is missed. */
	(void)eventfd_read(b->event_fd, &count);
	pthread_mutex_lock(&b->lock);
	next = b->finished.first;
	queue_init(&b->finished);
	pthread_mutex_unlock(&b->lock);

	while ((req = next)) {
		next = req->next;	/* `done` may free or reuse the request */
		req->done(req);
	}
}

void barrier_request(struct barrier *b, struct barrier_request *req)
{
	pthread_mutex_lock(&b->lock);
	req->number = ++b->last;
	if (req->urgent)
		b->urgent = req->number;
	queue_append(&b->asked, req);
	pthread_cond_broadcast(&b->wake);
	pthread_mutex_unlock(&b->lock);
}

int barrier_wait(struct barrier *b)
{
	return grace_period(b);
}

struct barrier_stats barrier_stats(struct barrier *b)
{
	struct barrier_stats stats;

	pthread_mutex_lock(&b->lock);
	stats = b->stats;
	pthread_mutex_unlock(&b->lock);
	return stats;
}
