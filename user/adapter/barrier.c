// SPDX-License-Identifier: GPL-2.0-only
/*
 * barrier.c - "no CPU is still running the program with the old state"
 *
 * Three lists under one mutex: what was asked, what the thread is waiting for,
 * what is finished. The thread takes all that was asked at once, so any number
 * of requests costs one grace period, and those that come meanwhile share the
 * next one.
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
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "adapter/barrier.h"
#include "common/log.h"

struct queue {
	struct barrier_request *first, **end;
};

struct barrier {
	int outer_fd, inner_fd;
	int event_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	struct queue asked;	/* lock */
	struct queue finished;	/* lock */
	uint64_t passed;	/* lock */
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_append(struct queue *q, struct queue *more)
{
	if (!more->first)
		return;
	*q->end = more->first;
	q->end = more->end;
	queue_init(more);
}

static void queue_take(struct queue *to, struct queue *from)
{
	queue_init(to);
	queue_append(to, from);
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

static void *barrier_thread(void *arg)
{
	struct barrier *b = arg;
	struct queue mine;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		while (!b->asked.first && !b->stop)
			pthread_cond_wait(&b->wake, &b->lock);
		if (!b->asked.first)
			break;
		queue_take(&mine, &b->asked);
		pthread_mutex_unlock(&b->lock);

		grace_period_surely(b);

		pthread_mutex_lock(&b->lock);
		b->passed++;
		queue_append(&b->finished, &mine);
		eventfd_write(b->event_fd, 1);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* All signals are the control thread's (it reads them from a signalfd). */
static int start_thread(struct barrier *b)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&b->thread, NULL, barrier_thread, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc)
		pthread_setname_np(b->thread, "vmq-barrier");
	return -rc;
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
	rc = start_thread(b);
	if (rc) {
		vmq_err_sys(err, rc, "cannot start the barrier's thread");
		goto err_free;
	}
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
	struct queue late;

	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->lock);
	pthread_join(b->thread, NULL);
	barrier_dispatch(b);

	/* A `done` may have asked again; the thread is gone, so wait here. */
	while (b->asked.first) {
		queue_take(&late, &b->asked);
		grace_period_surely(b);
		queue_append(&b->finished, &late);
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
	struct queue ready;
	eventfd_t count;

	/* The event is taken before the list, so none that comes later is missed. */
	(void)eventfd_read(b->event_fd, &count);
	pthread_mutex_lock(&b->lock);
	queue_take(&ready, &b->finished);
	pthread_mutex_unlock(&b->lock);

	for (req = ready.first; req; req = next) {
		next = req->next;	/* `done` may free or reuse the request */
		req->done(req);
	}
}

void barrier_request(struct barrier *b, struct barrier_request *req)
{
	req->next = NULL;
	pthread_mutex_lock(&b->lock);
	*b->asked.end = req;
	b->asked.end = &req->next;
	pthread_cond_signal(&b->wake);
	pthread_mutex_unlock(&b->lock);
}

int barrier_wait(struct barrier *b)
{
	return grace_period(b);
}

/**
 * barrier_passed() - grace periods that requests have waited for
 * @b: barrier
 *
 * Requests that share one count once. Any thread.
 */
uint64_t barrier_passed(struct barrier *b)
{
	uint64_t n;

	pthread_mutex_lock(&b->lock);
	n = b->passed;
	pthread_mutex_unlock(&b->lock);
	return n;
}
