// SPDX-License-Identifier: GPL-2.0-only
/*
 * barrier.c - requests share a grace period, and each is answered
 *
 * Needs CAP_BPF; skips without.
 */
#include "unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "adapter/barrier.h"
#include "adapter/tour.h"
#include "common/util.h"

#define REQUESTS 500

static int round_no;		/* of barrier_dispatch() */
static int answered;

struct request {
	struct barrier_request req;
	int round;		/* in which it was answered */
	int times;
};

static void done(struct barrier_request *req)
{
	struct request *r = container_of(req, struct request, req);

	r->round = round_no;
	r->times++;
	answered++;
}

/* Dispatch until @n are answered; false after five seconds. */
static bool answered_within(struct barrier *b, int n)
{
	uint64_t deadline = now_ns() + 5000000000ULL;
	struct pollfd p = { .fd = barrier_fd(b), .events = POLLIN };

	while (answered < n) {
		if (now_ns() > deadline)
			return false;
		if (poll(&p, 1, 100) != 1)
			continue;
		round_no++;
		barrier_dispatch(b);
	}
	return true;
}

static struct barrier *again_on;
static struct request again;

static void ask_again(struct barrier_request *req)
{
	done(req);
	barrier_request(again_on, &again.req);
}

/* ---- urgent requests ---------------------------------------------------------- */

#define URGENT 100

/* One after the other, each third urgent. Return: whether each was answered once. */
static bool ask_urgently(struct barrier *b)
{
	struct request r[URGENT] = { 0 };

	for (int i = 0; i < URGENT; i++) {
		r[i].req.done = done;
		r[i].req.urgent = !(i % 3);
	}
	answered = 0;
	for (int i = 0; i < URGENT; i++) {
		barrier_request(b, &r[i].req);
		if (r[i].req.urgent && !answered_within(b, i + 1))
			return false;
	}
	if (!answered_within(b, URGENT))
		return false;
	for (int i = 0; i < URGENT; i++)
		if (r[i].times != 1 || (i && r[i].round < r[i - 1].round))
			return false;
	return true;
}

static void test_urgent(struct barrier *b)
{
	struct vmq_err err = VMQ_ERR_INIT;

	ok(ask_urgently(b), "urgent requests are answered once, in order, with the others");
	diag("%llu waits, %llu tours", (unsigned long long)barrier_stats(b).passed,
	     (unsigned long long)barrier_stats(b).tours);
	if (tour_possible(&err))
		skip(err.text, "tours answer them");
	else
		ok(barrier_stats(b).tours, "tours answer them");
}

/* Nothing may be run on another CPU: sched_setaffinity(2) fails as in a cpuset. */
static bool forbid_tours(void)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sched_setaffinity, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = ARRAY_SIZE(insns), .filter = insns };

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static void test_out_of_reach(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct barrier *b;
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		if (!forbid_tours() || barrier_open(&b, &err))
			_exit(2);
		if (!ask_urgently(b) || barrier_stats(b).tours)
			_exit(1);
		barrier_close(b);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "where CPUs are out of reach, grace periods answer urgent requests");
}

int main(void)
{
	static struct request r[REQUESTS];
	struct request first = { .req.done = done }, chain = { .req.done = ask_again };
	struct vmq_err err = VMQ_ERR_INIT;
	uint64_t t, shortest = UINT64_MAX, longest = 0;
	struct barrier *b;
	int rc, once = 0;

	rc = barrier_open(&b, &err);
	if (rc == -EPERM) {
		skip("no CAP_BPF", "a barrier waits for a grace period");
		return unit_done();
	}
	if (!ok(!rc, "a barrier is made %s", err.text))
		return unit_done();

	for (int i = 0; i < 10; i++) {
		t = now_ns();
		rc = barrier_wait(b);
		t = now_ns() - t;
		shortest = MIN(shortest, t);
		longest = MAX(longest, t);
		if (rc)
			break;
	}
	is_int(rc, 0, "a barrier can be waited for");
	diag("a barrier takes %.2f to %.2f ms here", (double)shortest / 1e6, (double)longest / 1e6);
	/* A map update without a grace period takes about a microsecond. */
	ok(shortest > 20000, "a barrier waits for the kernel");

	/* One request keeps the thread waiting; all that come now share the next wait. */
	barrier_request(b, &first.req);
	for (int i = 0; i < REQUESTS; i++) {
		r[i].req.done = done;
		barrier_request(b, &r[i].req);
	}
	ok(answered_within(b, REQUESTS + 1), "all of %d requests are answered", REQUESTS + 1);
	ok(round_no <= 4, "they share waits: %d for %d requests", round_no, REQUESTS + 1);
	for (int i = 0; i < REQUESTS; i++)
		once += r[i].times == 1 && (!i || r[i].round >= r[i - 1].round);
	ok(once == REQUESTS && first.times == 1, "each is answered once, in order");

	test_urgent(b);
	test_out_of_reach();

	/* What is asked before the end is answered before the end, also from a done. */
	answered = 0;
	again_on = b;
	again.req.done = done;
	barrier_request(b, &chain.req);
	barrier_close(b);
	ok(answered == 2 && chain.times == 1 && again.times == 1,
	   "closing answers what was asked, and what that asked for");
	barrier_close(NULL);
	return unit_done();
}
