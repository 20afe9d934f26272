// SPDX-License-Identifier: GPL-2.0-only
/*
 * worker.c - calls, sources, turns, timers, and sleep
 *
 * Sources are eventfds and counters in memory. What a worker does is looked at
 * from outside only through worker_call() and atomics, as the control thread
 * does.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/util.h"
#include "datapath/worker.h"
#include "unit.h"

#define DEADLINE_NS	3000000000ULL

struct test_source {
	struct source source;
	struct worker *worker;
	uint64_t work;		/* frames still to do */
	uint64_t polls;
	uint64_t done;
	uint64_t at;		/* when it was last polled */
	int cpu;
	struct test_source *rival;
	uint64_t lead;		/* the most that it was ahead of its rival */
};

static int poll_batch(struct source *s)
{
	struct test_source *t = container_of(s, struct test_source, source);
	uint64_t work = MIN(load_acquire(&t->work), 64u), n = work, rival;

	store_relaxed(&t->cpu, sched_getcpu());
	store_relaxed(&t->at, now_ns());
	store_release(&t->polls, t->polls + 1);	/* last: what reaches() waits for */
	if (s->fd >= 0) {
		uint64_t times;

		if (read(s->fd, &times, sizeof(times)) > 0)
			n += times;
		else if (!n)
			return 0;
	}
	__atomic_fetch_sub(&t->work, work, __ATOMIC_RELAXED);
	counter_add(&t->done, n);
	if (t->rival && t->work && t->rival->work) {
		rival = load_relaxed(&t->rival->done);
		if (t->done > rival)
			t->lead = MAX(t->lead, t->done - rival);
	}
	return (int)n;
}

struct call {
	struct test_source *t;
	uint64_t ns;
	int rc;
};

static void call_add(struct worker *w, void *arg)
{
	struct call *c = arg;

	c->rc = worker_add(w, &c->t->source);
	c->t->worker = w;
}

static void call_del(struct worker *w, void *arg)
{
	worker_del(w, &((struct call *)arg)->t->source);
}

static void call_wake(struct worker *w, void *arg)
{
	worker_wake_source(w, &((struct call *)arg)->t->source);
}

static void call_wake_at(struct worker *w, void *arg)
{
	struct call *c = arg;

	worker_wake_at(w, &c->t->source, c->ns);
}

static int add(struct worker *w, struct test_source *t)
{
	struct call c = { .t = t, .rc = -1 };

	worker_call(w, call_add, &c);
	return c.rc;
}

static void with(struct worker *w, void (*fn)(struct worker *w, void *arg),
		 struct test_source *t, uint64_t ns)
{
	struct call c = { .t = t, .ns = ns };

	worker_call(w, fn, &c);
}

static bool reaches(const uint64_t *word, uint64_t value)
{
	uint64_t until = now_ns() + DEADLINE_NS;

	while (load_acquire(word) < value) {
		if (now_ns() > until)
			return false;
		sched_yield();
	}
	return true;
}

static void signal_source(struct test_source *t, uint64_t n)
{
	if (write(t->source.fd, &n, sizeof(n)) != sizeof(n))
		diag("write to an eventfd failed");
}

struct where {
	int cpu;
	char name[16];
	sigset_t blocked;
};

static void call_where(struct worker *w, void *arg)
{
	struct where *at = arg;

	(void)w;
	at->cpu = sched_getcpu();
	pthread_getname_np(pthread_self(), at->name, sizeof(at->name));
	pthread_sigmask(SIG_SETMASK, NULL, &at->blocked);
}

static void test_thread(struct worker *w, uint16_t cpu)
{
	struct where at = { .cpu = -1 };
	char want[16];
	int calls = 0;

	worker_call(w, call_where, &at);
	snprintf(want, sizeof(want), "vmq-cpu%u", cpu);
	is_int(at.cpu, cpu, "P-8 a call runs on the worker's CPU");
	is_str(at.name, want, "the thread is named after its CPU");
	ok(sigismember(&at.blocked, SIGTERM) && sigismember(&at.blocked, SIGINT),
	   "a worker takes no signals");
	is_int(worker_cpu(w), cpu, "worker_cpu()");
	while (calls < 2000) {
		at.cpu = -1;
		worker_call(w, call_where, &at);
		if (at.cpu < 0)
			break;
		calls++;
	}
	is_int(calls, 2000, "a call has run when it returns, 2000 times");
}

static void test_events(struct worker *w)
{
	struct test_source t = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch } };
	struct worker_stats st;
	uint64_t i, polls;

	signal_source(&t, 5);
	is_int(add(w, &t), 0, "a source is added");
	ok(reaches(&t.done, 5), "what came before it was added is not waited for");
	for (i = 1; i <= 500; i++) {
		signal_source(&t, 1);
		if (!reaches(&t.done, 5 + i))
			break;
	}
	is_int(i, 501, "500 events one by one wake the sleeping worker");
	worker_stats(w, &st);
	ok(st.frames == 505 && st.batches >= 501 && st.wakeups > 0 && st.sources == 1,
	   "the worker counts frames, batches, wake-ups and sources");

	with(w, call_wake, &t, 0);
	polls = load_relaxed(&t.polls);
	with(w, call_wake, &t, 0);
	ok(reaches(&t.polls, polls + 1), "a source is polled without an event when asked for");

	with(w, call_del, &t, 0);
	polls = load_relaxed(&t.polls);
	signal_source(&t, 1);
	with(w, call_del, &t, 0);
	worker_stats(w, &st);
	ok(load_relaxed(&t.polls) == polls && st.sources == 0, "a source taken away is not polled");
	is_int(add(w, &t), 0, "and can be added again");
	ok(reaches(&t.done, 506), "with the event that came meanwhile");
	with(w, call_del, &t, 0);
	close(t.source.fd);
	is_int(add(w, &t), -EBADF, "a closed descriptor is refused");
}

static void test_timer(struct worker *w)
{
	struct test_source t = { .source = { .fd = -1, .poll = poll_batch } };
	uint64_t polls, when;

	add(w, &t);
	reaches(&t.polls, 1);
	polls = t.polls;
	when = now_ns() + 20000000;
	with(w, call_wake_at, &t, when + 1000000000);
	with(w, call_wake_at, &t, when);
	ok(reaches(&t.polls, polls + 1) && load_relaxed(&t.at) >= when,
	   "a timer wakes its source, not too early; the last one asked for counts");
	when = now_ns() + 5000000;
	with(w, call_wake_at, &t, when);
	with(w, call_del, &t, 0);
	polls = load_relaxed(&t.polls);
	while (now_ns() < when + 5000000)
		sched_yield();
	is_int(load_relaxed(&t.polls), polls, "a source taken away has no timer");
}

static void call_pair(struct worker *w, void *arg)
{
	struct test_source *t = arg;

	worker_add(w, &t[0].source);
	worker_add(w, &t[1].source);
}

static void test_turns(struct worker *w)
{
	struct test_source t[2] = {
		{ .source = { .fd = -1, .poll = poll_batch }, .work = 1000000, .rival = &t[1] },
		{ .source = { .fd = -1, .poll = poll_batch }, .work = 1000000, .rival = &t[0] },
	};
	struct test_source e = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch } };
	uint64_t i, busy;

	worker_call(w, call_pair, t);
	ok(reaches(&t[0].done, 1000000) && reaches(&t[1].done, 1000000), "two busy sources end");
	ok(t[0].lead <= 64 && t[1].lead <= 64,
	   "P-12 neither is more than a batch ahead of the other");

	/* A source that becomes ready while another is always busy. */
	store_release(&t[0].work, UINT64_MAX / 2);
	with(w, call_wake, &t[0], 0);
	add(w, &e);
	for (i = 1; i <= 200; i++) {
		signal_source(&e, 1);
		if (!reaches(&e.done, i))
			break;
	}
	busy = t[0].done;
	ok(i == 201 && busy > 1000000, "P-12 events are seen while another source is busy");
	with(w, call_wake, &t[1], 0);
	ok(reaches(&t[0].done, busy + 1000), "and calls are run");
	with(w, call_del, &t[0], 0);
	with(w, call_del, &t[1], 0);
	with(w, call_del, &e, 0);
	close(e.source.fd);
}

static uint64_t cpu_ns(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000ULL +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
}

static void test_idle(struct worker *w)
{
	struct test_source t = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch } };
	struct timespec half = { .tv_nsec = 300000000 };
	uint64_t before;

	add(w, &t);
	reaches(&t.polls, 1);
	before = cpu_ns();
	/* Not a wait for something to happen: a span in which nothing may. */
	nanosleep(&half, NULL);
	ok(cpu_ns() - before < 30000000, "an idle worker sleeps");
	with(w, call_del, &t, 0);
	close(t.source.fd);
}

/* A span in which nothing may happen, or what happens is looked at afterwards. */
static void span(uint64_t ns)
{
	uint64_t until = now_ns() + ns;

	while (now_ns() < until)
		sched_yield();
}

#define GAP_NS	100000000ULL

static void test_gaps(uint16_t cpu)
{
	struct test_source t = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch, .cheap = true } };
	struct vmq_err err = VMQ_ERR_INIT;
	struct worker_stats before = { 0 }, after;
	struct worker *w;
	uint64_t i, polls;

	if (worker_open(&w, cpu, GAP_NS / 1000, &err)) {
		ok(false, "worker with poll_us: %s", err.text);
		return;
	}
	add(w, &t);
	for (i = 1; i <= 40; i++) {
		if (i == 5)
			worker_stats(w, &before);
		signal_source(&t, 1);
		if (!reaches(&t.done, i))
			break;
		span(1000000);
	}
	worker_stats(w, &after);
	ok(i == 41 && after.wakeups - before.wakeups < 20,
	   "frames with gaps below poll_us find the worker awake (%llu wake-ups)",
	   (unsigned long long)(after.wakeups - before.wakeups));

	for (i = 0; i < 20; i++) {
		polls = load_relaxed(&t.polls);
		span(GAP_NS * 3 / 2);
		if (load_relaxed(&t.polls) == polls)
			break;
	}
	ok(i < 20, "then it sleeps");

	polls = t.polls;
	signal_source(&t, 1);
	reaches(&t.done, 41);
	span(GAP_NS / 4);
	polls = load_relaxed(&t.polls) - polls;
	ok(polls < 1000, "and after a frame that comes later than that, at once (%llu polls)",
	   (unsigned long long)polls);
	with(w, call_del, &t, 0);
	close(t.source.fd);
	worker_close(w);
}

/* A source with many frames is taken out of epoll, and put back. */
static void test_busy(struct worker *w)
{
	struct test_source t = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch, .cheap = true } };
	uint64_t i, sum = 0;

	add(w, &t);
	for (i = 0; i < 200; i++) {
		store_release(&t.work, 64 * 40);
		with(w, call_wake, &t, 0);
		sum += 64 * 40;
		if (i & 1 && !reaches(&t.done, sum))
			break;
		signal_source(&t, 1);
		if (!reaches(&t.done, ++sum))
			break;
	}
	is_int(i, 200, "a source that was busy loses no event");
	with(w, call_del, &t, 0);
	close(t.source.fd);
}

static void test_two(struct worker *w, uint16_t cpu)
{
	struct test_source t = { .source = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
					     .poll = poll_batch } };
	struct vmq_err err = VMQ_ERR_INIT;
	struct worker *other;
	uint64_t i, sent = 0;

	if (worker_open(&other, cpu, 0, &err)) {
		ok(false, "second worker: %s", err.text);
		return;
	}
	for (i = 0; i < 100; i++) {
		struct worker *owner = i & 1 ? other : w;

		add(owner, &t);
		signal_source(&t, 1);
		sent++;
		if (!reaches(&t.done, sent) || load_relaxed(&t.cpu) != worker_cpu(owner))
			break;
		signal_source(&t, 1);	/* may be taken before or after the move */
		sent++;
		with(owner, call_del, &t, 0);
	}
	add(w, &t);
	ok(i == 100 && reaches(&t.done, sent),
	   "R-13 a source moved 100 times between workers loses no event, and runs where it is");
	with(w, call_del, &t, 0);
	close(t.source.fd);
	worker_close(other);
}

int main(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint16_t cpu[2] = { 0, 0 };
	struct worker *w;
	cpu_set_t set;
	int i, n = 0;

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpu[n++] = (uint16_t)i;

	is_int(worker_open(&w, CPU_SETSIZE - 1, 0, &err), -EINVAL, "R-3 no worker on a CPU that "
	       "is not there");
	ok(strstr(err.text, "offline"), "and a sentence says so: %s", err.text);
	if (!is_int(worker_open(&w, cpu[0], 0, &err), 0, "a worker starts"))
		return unit_done();
	test_thread(w, cpu[0]);
	test_events(w);
	test_timer(w);
	test_turns(w);
	test_idle(w);
	test_busy(w);
	test_gaps(cpu[0]);
	test_two(w, n > 1 ? cpu[1] : cpu[0]);
	worker_close(w);
	return unit_done();
}
