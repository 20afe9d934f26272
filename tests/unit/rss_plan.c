// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_plan.c - which pair serves which CPU
 *
 * Single cases, then random walks over demands that check what must always hold:
 * every CPU asked for is served by one pair that is there, a pair that serves a
 * CPU which is still asked for stays, and no more pairs move than have to.
 */
#include "adapter/rss_plan.h"
#include "unit.h"

static struct rss_demand demand(uint16_t home, int n, const uint16_t *cpu)
{
	struct rss_demand d = { .entries = (uint16_t)n, .home = home };

	memcpy(d.cpu, cpu, (size_t)n * sizeof(*cpu));
	return d;
}

#define DEMAND(home, ...) \
	demand(home, sizeof((uint16_t[]){ __VA_ARGS__ }) / 2, (uint16_t[]){ __VA_ARGS__ })

/* The state after a first plan of @want with @pairs pairs that begin on CPU 0. */
static struct rss_place begin(int pairs, const struct rss_demand *want)
{
	struct rss_place now = { .pairs = (uint16_t)pairs }, next;

	if (rss_plan(&now, NULL, want, pairs, &next) < 0)
		abort();
	return next;
}

static void test_cases(void)
{
	struct rss_demand was = DEMAND(0, 0), want = DEMAND(0, 0, 1, 2, 3);
	struct rss_place now = begin(4, &was), next;

	ok(now.serves[0] && !now.serves[1] && !now.serves[2] && !now.serves[3],
	   "one CPU is served by one pair");
	is_int(rss_plan(&now, &was, &want, 4, &next), 3, "four CPUs: three pairs move");
	is_int(rss_pair_on(&next, 0), 0, "the one that serves CPU 0 stays");
	is_int(rss_plan(&next, &want, &want, 4, &now), 0, "the same again: nothing moves");
	now = next;

	/* evacuate CPU 2, whose flows all go to CPU 9 */
	was = want;
	want = DEMAND(0, 0, 1, 9, 3);
	is_int(rss_plan(&now, &was, &want, 4, &next), 1, "D-12 with all pairs in use a CPU is "
	       "evacuated by moving its pair");
	is_int(rss_pair_on(&next, 9), rss_pair_on(&now, 2), "the pair takes its flows along");

	/* the flows of CPU 2 are divided: most go to CPU 8 */
	was = DEMAND(0, 0, 1, 2, 2, 2, 1, 0, 0);
	now = begin(5, &was);
	want = DEMAND(0, 0, 1, 8, 7, 8, 1, 0, 0);
	is_int(rss_plan(&now, &was, &want, 5, &next), 2,
	       "two CPUs for one: its pair and an idle one move");
	is_int(rss_pair_on(&next, 8), rss_pair_on(&now, 2), "the pair goes with most of its flows");

	/* not just any pair that is free */
	was = DEMAND(0, 0, 0, 1, 2);
	now = begin(3, &was);
	want = DEMAND(0, 0, 9, 8, 9);
	rss_plan(&now, &was, &want, 3, &next);
	ok(rss_pair_on(&next, 9) == rss_pair_on(&now, 2) &&
	   rss_pair_on(&next, 8) == rss_pair_on(&now, 1), "each with its own flows");

	was = DEMAND(0, 0, 1, 2, 2, 2, 1, 0, 0);
	now = begin(5, &was);
	want = DEMAND(6, 0, 1, 2, 3);
	is_int(rss_plan(&now, &was, &want, 4, &next), -ENOSPC,
	       "Q-9 the default's CPU counts: five CPUs and four pairs");
	want = DEMAND(3, 0, 1, 2, 3);
	ok(rss_plan(&now, &was, &want, 4, &next) >= 0, "Q-9 it may be one of the table's");

	/* a shrink to two pairs: CPUs of the others are taken over */
	was = DEMAND(0, 0, 1, 2, 3);
	now = begin(4, &was);
	want = DEMAND(2, 2, 3, 2, 3);
	rss_plan(&now, &was, &want, 4, &next);
	now = next;
	ok(rss_plan(&now, &want, &want, 2, &next) > 0 && rss_pair_on(&next, 2) < 2 &&
	   rss_pair_on(&next, 3) < 2, "pairs that are given up are replaced on their CPUs");

	/* tables of different sizes compare by the smaller one's index */
	was = DEMAND(4, 4, 5);
	now = begin(3, &was);
	want = DEMAND(4, 4, 6, 4, 6);
	rss_plan(&now, &was, &want, 3, &next);
	is_int(rss_pair_on(&next, 6), rss_pair_on(&now, 5), "a grown table's flows are known");
	ok(next.cpu[2] == 4 || next.cpu[2] == 6, "an idle pair is where the queue works");
}

static void random_demand(struct rss_demand *d, int cpus, int budget)
{
	int i, n = 1 + rand() % budget, first = rand() % cpus;

	d->entries = (uint16_t)(1 << rand() % 8);
	for (i = 0; i < d->entries; i++)
		d->cpu[i] = (uint16_t)((first + rand() % n) % cpus);
	d->home = (uint16_t)((first + rand() % n) % cpus);
}

/* What must hold of every plan. NULL, or what does not. */
static const char *check(const struct rss_place *now, const struct rss_demand *want,
			 int may_serve, const struct rss_place *next, int moves)
{
	uint16_t cpu[VMQ_RSS_ENTRIES_MAX + 1];
	int i, k, n = rss_cpus(want, cpu), serving = 0, moved = 0, missing = 0, outside = 0;

	for (i = 0; i < n; i++) {
		int pair = rss_pair_on(next, cpu[i]), was = rss_pair_on(now, cpu[i]);

		if (pair < 0 || pair >= may_serve)
			return "a CPU is not served";
		if (was >= 0 && was < may_serve && pair != was)
			return "a pair that served was replaced";
		for (k = 0; k < may_serve && (now->cpu[k] != cpu[i]); k++)
			;
		missing += k == may_serve;
	}
	for (i = 0; i < next->pairs; i++) {
		bool inside = false;

		serving += next->serves[i];
		moved += next->cpu[i] != now->cpu[i];
		for (k = 0; k < n; k++)
			inside |= next->cpu[i] == cpu[k];
		if (!inside)
			return "a pair is where the queue does not work";
		for (inside = false, k = 0; k < n; k++)
			inside |= now->cpu[i] == cpu[k];
		outside += !inside;
	}
	if (serving != n)
		return "not one pair a CPU";
	if (moved != moves)
		return "moves are not counted right";
	/* Who is outside must move, and every CPU without a pair needs one. */
	return moves > missing + outside ? "more moves than needed" : NULL;
}

static void test_random(void)
{
	const char *why = NULL;
	int round, step = 0;

	srand(4);
	for (round = 0; round < 2000 && !why; round++) {
		int pairs = 1 + rand() % VMQ_PAIRS_MAX, cpus = 1 + rand() % 64;
		struct rss_demand was, want;
		struct rss_place now, next;

		random_demand(&was, cpus, pairs);
		now = begin(pairs, &was);
		for (step = 0; step < 20 && !why; step++) {
			int may = 1 + rand() % pairs, moves;

			random_demand(&want, cpus, may);
			moves = rss_plan(&now, &was, &want, may, &next);
			why = moves < 0 ? "no plan" : check(&now, &want, may, &next, moves);
			now = next;
			was = want;
		}
	}
	ok(!why, "2,000 walks of 20 random demands: served, no pair replaced, no move too many");
	if (why)
		diag("walk %d, step %d: %s", round, step, why);
}

int main(void)
{
	test_cases();
	test_random();
	return unit_done();
}
