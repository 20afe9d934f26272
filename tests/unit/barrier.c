// SPDX-License-Identifier: GPL-2.0-only
/*
 * barrier.c - requests share a grace period, and each is answered
 *
 * Needs CAP_BPF; skips without.
 */
#include "unit.h"

#include <poll.h>

#include "adapter/barrier.h"
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
