// SPDX-License-Identifier: GPL-2.0-only
/*
 * worker.c - one pinned thread per CPU of the RSS set
 *
 * DOC: Theory of operation
 *
 * Active sources stand in one first-in-first-out line. The worker takes the
 * first, lets it do one bounded batch, and puts it at the end if it had frames.
 * So a busy source waits for every other active one between two batches (P-12),
 * and a source that has just become ready waits for one batch of each.
 *
 * While frames come the worker looks at epoll only now and then (LOOK_NS). When
 * no source is active it sleeps there. Edge-triggered is enough and needed: an
 * AF_XDP ring is published before its waiters are woken (xsk_flush(),
 * net/xdp/xsk.c), so an edge that arrives after the poll that found nothing is
 * kept by epoll; and a ring that is not emptied because its guest has no room
 * reports nothing new, so a stalled guest costs no CPU.
 *
 * Being woken is dear to both sides: the kernel's receive work pays for it once
 * per ring and batch (ep_poll_callback() under a lock that all rings of a worker
 * share, and an interrupt of our CPU if it sleeps), and we with xsk_poll(). Both
 * together were half the cost of a frame. So where looking is cheap (`cheap`: a
 * ring in memory),
 *
 * - a source that has had frames BUSY_POLLS times is taken out of epoll and only
 *   polled, until it leaves the line;
 * - a source stays in the line for EMPTY_POLLS that find nothing, which together
 *   cost about what a wake-up does (256 rings that share 2.5 M frames/s are empty
 *   40 times in a row: with 32 polls they make 2.1 M/s, with 256 2.9 M/s);
 * - a worker that would be woken again within poll_us keeps polling for so long.
 *   Whether that is so, the last gap between frames tells: a first frame after a
 *   longer one finds a worker that goes to sleep when it is through.
 *
 * A worker's list, timers and sources are its own. The control thread gets in
 * by worker_call() alone, between two batches.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "datapath/worker.h"

#define ROUND_MIN	8u	/* polls of a round, at least */
#define LOOK_NS		20000u	/* between two looks at epoll while frames come */
#define BUSY_POLLS	16u	/* with frames: then out of epoll */
#define EMPTY_POLLS	256u	/* in a row: then out of the line */
#define EVENTS		64	/* taken in one look */

struct worker {
	struct source *head, *tail;	/* active sources, in turn */
	uint32_t  active;		/* how many */
	struct source *timed;		/* sources with a timer, unordered */
	int	  epfd;
	int	  call_fd;		/* eventfd: ends the sleep for a call */
	uint64_t  poll_ns;
	uint64_t  now;			/* at the last end of a round */
	uint64_t  found_at;		/* end of the last round that had frames */
	uint64_t  looked_at;		/* when epoll was looked at */
	bool	  found;		/* this round has had frames */
	bool	  hot;			/* they come at shorter gaps than poll_ns */
	bool	  stop;			/* written by a call */
	uint16_t  cpu;
	pthread_t thread;
	pid_t	  tid;			/* of the thread; 0 until it runs */
	struct worker_stats stats;

	pthread_mutex_t lock;		/* of what follows */
	pthread_cond_t	served;
	void (*fn)(struct worker *w, void *arg);
	void	 *arg;
	bool	  pending;		/* also read without the lock */
};

/* ---- the line of active sources ---------------------------------------- */

static void worker_push(struct worker *w, struct source *s)
{
	s->active = true;
	s->next = NULL;
	if (w->tail)
		w->tail->next = s;
	else
		w->head = s;
	w->tail = s;
	w->active++;
}

static struct source *worker_pop(struct worker *w)
{
	struct source *s = w->head;

	if (!s)
		return NULL;
	w->head = s->next;
	if (!w->head)
		w->tail = NULL;
	w->active--;
	s->active = false;
	return s;
}

static void worker_unlink(struct worker *w, struct source *s)
{
	struct source **at = &w->head, *last = NULL;

	while (*at && *at != s) {
		last = *at;
		at = &last->next;
	}
	if (!*at)
		return;
	*at = s->next;
	if (w->tail == s)
		w->tail = last;
	w->active--;
	s->active = false;
}

/**
 * worker_wake_source() - poll a source again although no event came
 * @w: the worker we are in
 * @s: one of its sources
 */
void worker_wake_source(struct worker *w, struct source *s)
{
	if (!s->active)
		worker_push(w, s);
}

/* ---- timers: few and rare, so an unordered list ------------------------- */

static void worker_untime(struct worker *w, struct source *s)
{
	struct source **at = &w->timed;

	while (*at && *at != s)
		at = &(*at)->timed;
	if (*at)
		*at = s->timed;
	s->wake_at = 0;
}

/**
 * worker_wake_at() - poll a source again at a point in time
 * @w: the worker we are in
 * @s: one of its sources
 * @ns: when, on the now_ns() clock; replaces what was asked before
 */
void worker_wake_at(struct worker *w, struct source *s, uint64_t ns)
{
	if (!s->wake_at) {
		s->timed = w->timed;
		w->timed = s;
	}
	s->wake_at = ns ? ns : 1;
}

static void worker_fire_timers(struct worker *w)
{
	struct source *s, *next;
	uint64_t now;

	if (!w->timed)
		return;
	now = now_ns();
	for (s = w->timed; s; s = next) {
		next = s->timed;
		if (s->wake_at > now)
			continue;
		worker_untime(w, s);
		worker_wake_source(w, s);
	}
}

/* Milliseconds that a sleep may last, rounded up; -1: for ever. */
static int worker_timeout(const struct worker *w)
{
	uint64_t first = UINT64_MAX, now;
	struct source *s;

	if (!w->timed)
		return -1;
	for (s = w->timed; s; s = s->timed)
		first = MIN(first, s->wake_at);
	now = now_ns();
	if (first <= now)
		return 0;
	return (int)MIN((first - now + 999999) / 1000000, 60000);
}

/* ---- the loop ----------------------------------------------------------- */

static int worker_watch(struct worker *w, struct source *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = s };

	if (s->fd < 0 || s->watched)
		return 0;
	if (epoll_ctl(w->epfd, EPOLL_CTL_ADD, s->fd, &ev))
		return -errno;
	s->watched = true;
	return 0;
}

static void worker_unwatch(struct worker *w, struct source *s)
{
	/* Fails only if the descriptor was closed: then epoll forgot it as well. */
	if (s->watched)
		epoll_ctl(w->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->watched = false;
}

static void worker_look(struct worker *w, bool sleep)
{
	struct epoll_event ev[EVENTS];
	uint64_t calls;
	int i, n;

	n = epoll_wait(w->epfd, ev, EVENTS, sleep ? worker_timeout(w) : 0);
	if (sleep) {
		counter_add(&w->stats.wakeups, 1);
		w->now = now_ns();
		w->hot = w->now - w->found_at < w->poll_ns;
	}
	w->looked_at = w->now;
	for (i = 0; i < n; i++) {
		if (ev[i].data.ptr) {
			worker_wake_source(w, ev[i].data.ptr);
		} else if (read(w->call_fd, &calls, sizeof(calls)) < 0) {
			/* nothing to read: worker_serve() has been there */
			continue;
		}
	}
	worker_fire_timers(w);
}

static void worker_serve(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->fn(w, w->arg);
	store_relaxed(&w->pending, false);
	pthread_cond_signal(&w->served);
	pthread_mutex_unlock(&w->lock);
}

/* @s was found empty: shall it be polled again all the same? */
static bool worker_keep(const struct worker *w, struct source *s)
{
	if (!s->cheap || !s->busy)
		return false;
	if (!s->empty++)
		s->empty_at = w->now;
	return s->empty <= EMPTY_POLLS || (w->hot && w->now - s->empty_at < w->poll_ns);
}

static void worker_turn(struct worker *w, struct source *s)
{
	int n = s->poll(s);

	if (s->worker != w)	/* it took itself off */
		return;
	if (n > 0) {
		counter_add(&w->stats.batches, 1);
		counter_add(&w->stats.frames, (uint64_t)n);
		counter_add(&w->stats.from[s->from], (uint64_t)n);
		w->found = true;
		s->empty = 0;
		if (++s->busy >= BUSY_POLLS && s->cheap)
			worker_unwatch(w, s);
		worker_wake_source(w, s);
	} else if (worker_keep(w, s) || worker_watch(w, s)) {
		worker_wake_source(w, s);
	} else {
		/* What came before worker_watch() is an event of its own. */
		s->busy = 0;
		s->empty = 0;
	}
}

/* All that were active have had a turn, or none is: what else is there? */
static void worker_end_round(struct worker *w)
{
	bool found = w->found;

	w->now = now_ns();
	if (found)
		w->found_at = w->now;
	w->found = false;
	if (!found || w->now - w->looked_at >= LOOK_NS)
		worker_look(w, !w->head);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	uint32_t polls = 0;

	store_relaxed(&w->tid, gettid());
	while (!w->stop) {
		if (load_acquire(&w->pending)) {
			worker_serve(w);
		} else if (!polls || !w->head) {
			worker_end_round(w);
			polls = MAX(w->active, ROUND_MIN);
		} else {
			polls--;
			worker_turn(w, worker_pop(w));
		}
	}
	return NULL;
}

/* ---- what a worker runs -------------------------------------------------- */

/**
 * worker_add() - give a source to a worker
 * @w: the worker we are in
 * @s: source of no worker
 *
 * It is polled once at least, so that what came before is not waited for.
 *
 * Return: 0 or -errno of epoll_ctl(2).
 */
int worker_add(struct worker *w, struct source *s)
{
	int rc;

	s->watched = false;
	rc = worker_watch(w, s);
	if (rc)
		return rc;
	s->worker = w;
	s->active = false;
	s->busy = 0;
	s->empty = 0;
	s->wake_at = 0;
	store_relaxed(&w->stats.sources, w->stats.sources + 1);
	worker_wake_source(w, s);
	return 0;
}

/**
 * worker_del() - take a source from its worker; it is not polled again
 * @w: the worker we are in
 * @s: one of its sources; one of no worker is left alone
 */
void worker_del(struct worker *w, struct source *s)
{
	if (s->worker != w)
		return;
	worker_unwatch(w, s);
	if (s->active)
		worker_unlink(w, s);
	if (s->wake_at)
		worker_untime(w, s);
	s->worker = NULL;
	store_relaxed(&w->stats.sources, w->stats.sources - 1);
}

/* ---- for the control thread ---------------------------------------------- */

/**
 * worker_call() - run a function in the worker, between two batches
 * @w: worker
 * @fn: function
 * @arg: its argument
 *
 * Returns when @fn has run. Never call it from a worker.
 */
void worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg)
{
	uint64_t one = 1;
	ssize_t rc;

	pthread_mutex_lock(&w->lock);
	w->fn = fn;
	w->arg = arg;
	store_release(&w->pending, true);
	/* An eventfd refuses only when it overflows: then it is readable anyway. */
	rc = write(w->call_fd, &one, sizeof(one));
	(void)rc;
	while (w->pending)
		pthread_cond_wait(&w->served, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static int worker_start(struct worker *w)
{
	sigset_t all, before;
	pthread_attr_t attr;
	cpu_set_t cpus;
	char name[16];
	int rc;

	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	rc = pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	if (rc)
		goto out;

	/* The thread inherits the mask: signals are the control thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, &attr, worker_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!rc) {
		snprintf(name, sizeof(name), "vmq-cpu%u", w->cpu);
		pthread_setname_np(w->thread, name);
	}
out:
	pthread_attr_destroy(&attr);
	return -rc;
}

/**
 * worker_open() - start a worker
 * @out: the worker
 * @cpu: CPU it is pinned to
 * @poll_us: how long a gap between frames is not worth a sleep; 0: any is
 * @err: sentence
 *
 * Return: 0; -EINVAL if there is no such CPU, or none for us; -errno.
 */
int worker_open(struct worker **out, uint16_t cpu, uint32_t poll_us, struct vmq_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct worker *w;
	int rc;

	if (cpu >= CPU_SETSIZE)
		return vmq_err(err, -EINVAL, "CPU %u is beyond the %d that vmq can use", cpu,
			       CPU_SETSIZE);
	w = calloc(1, sizeof(*w));
	if (!w)
		return vmq_err_sys(err, -ENOMEM, "cannot start the worker of CPU %u", cpu);
	w->cpu = cpu;
	w->poll_ns = (uint64_t)poll_us * 1000;
	w->call_fd = -1;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->served, NULL);

	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epfd < 0)
		goto err_errno;
	w->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->call_fd < 0)
		goto err_errno;
	if (epoll_ctl(w->epfd, EPOLL_CTL_ADD, w->call_fd, &ev))
		goto err_errno;
	rc = worker_start(w);
	if (rc == -EINVAL) {
		vmq_err(err, rc, "cannot run a worker on CPU %u: it is offline, or outside "
			"the CPUs this process may use (see taskset -p, cpuset)", cpu);
		goto err_free;
	}
	if (rc)
		goto err_rc;
	*out = w;
	return 0;

err_errno:
	rc = -errno;
err_rc:
	vmq_err_sys(err, rc, "cannot start the worker of CPU %u", cpu);
err_free:
	if (w->call_fd >= 0)
		close(w->call_fd);
	if (w->epfd >= 0)
		close(w->epfd);
	free(w);
	return rc;
}

static void worker_end(struct worker *w, void *arg)
{
	(void)arg;
	w->stop = true;
}

/**
 * worker_close() - stop and join the thread
 * @w: worker, its sources taken away before; may be NULL
 */
void worker_close(struct worker *w)
{
	if (!w)
		return;
	worker_call(w, worker_end, NULL);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->served);
	pthread_mutex_destroy(&w->lock);
	close(w->call_fd);
	close(w->epfd);
	free(w);
}

uint16_t worker_cpu(const struct worker *w)
{
	return w->cpu;
}

void worker_stats(const struct worker *w, struct worker_stats *out)
{
	out->wakeups = load_relaxed(&w->stats.wakeups);
	out->batches = load_relaxed(&w->stats.batches);
	out->frames = load_relaxed(&w->stats.frames);
	for (int i = 0; i < FROM_N; i++)
		out->from[i] = load_relaxed(&w->stats.from[i]);
	out->sources = load_relaxed(&w->stats.sources);
}

/**
 * worker_busy_ns() - CPU time that the worker has needed since it began
 * @w: worker
 *
 * The kernel's receive work often has the same CPU, so a worker that cannot keep
 * up gets perhaps half of it. Hence the time it stood in line counts as well: the
 * second figure of schedstat (Documentation/scheduler/sched-stats.rst;
 * CONFIG_SCHED_INFO). Without that file the clock of its CPU time must do.
 */
uint64_t worker_busy_ns(const struct worker *w)
{
	unsigned long long run, wait;
	struct timespec ts;
	char path[64];
	clockid_t id;
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)load_relaxed(&w->tid));
	f = fopen(path, "re");
	if (f) {
		n = fscanf(f, "%llu %llu", &run, &wait);
		fclose(f);
		if (n == 2)
			return run + wait;
	}
	if (pthread_getcpuclockid(w->thread, &id) || clock_gettime(id, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
