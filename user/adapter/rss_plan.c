// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_plan.c - which pair serves which CPU
 *
 * Three rounds over the CPUs that are asked for, from the cheapest to the
 * dearest choice; sizes are so small (64 pairs, 128 entries) that nothing here
 * is worth an index.
 */
#include "adapter/rss_plan.h"

#include <errno.h>

static bool named(const uint16_t *cpu, int n, uint16_t c)
{
	while (n-- > 0)
		if (cpu[n] == c)
			return true;
	return false;
}

int rss_cpus(const struct rss_demand *d, uint16_t cpu[VMQ_RSS_ENTRIES_MAX + 1])
{
	int i, n = 0;

	cpu[n++] = d->home;
	for (i = 0; i < d->entries; i++)
		if (!named(cpu, n, d->cpu[i]))
			cpu[n++] = d->cpu[i];
	return n;
}

int rss_pair_on(const struct rss_place *p, uint16_t cpu)
{
	int i;

	for (i = 0; i < p->pairs; i++)
		if (p->serves[i] && p->cpu[i] == cpu)
			return i;
	return -1;
}

/* How many entries a pair on @from carries that are to be on @to. */
static int flows_between(const struct rss_demand *was, const struct rss_demand *want,
			 uint16_t from, uint16_t to)
{
	int i, votes = was->home == from && want->home == to;

	/* Tables of different sizes: an index of the smaller is one of the larger. */
	for (i = 0; i < want->entries; i++)
		votes += want->cpu[i] == to && was->cpu[i & (was->entries - 1)] == from;
	return votes;
}

/* The free pair that carries most of what @cpu is to get, or -1. */
static int pick_carrier(const struct rss_place *now, const struct rss_place *next,
			const struct rss_demand *was, const struct rss_demand *want,
			int may_serve, uint16_t cpu)
{
	int i, votes, most = 0, best = -1;

	for (i = 0; was && i < may_serve; i++) {
		if (!now->serves[i] || next->serves[i])
			continue;
		votes = flows_between(was, want, now->cpu[i], cpu);
		if (votes > most) {
			most = votes;
			best = i;
		}
	}
	return best;
}

/* A free pair that is on @cpu, or else any, or -1. */
static int pick_idle(const struct rss_place *next, int may_serve, uint16_t cpu, bool anywhere)
{
	int i;

	for (i = 0; i < may_serve; i++)
		if (!next->serves[i] && (anywhere || next->cpu[i] == cpu))
			return i;
	return -1;
}

int rss_plan(const struct rss_place *now, const struct rss_demand *was,
	     const struct rss_demand *want, int may_serve, struct rss_place *next)
{
	uint16_t cpu[VMQ_RSS_ENTRIES_MAX + 1];
	int i, round, pair, moves = 0, n = rss_cpus(want, cpu);

	if (may_serve > now->pairs)
		may_serve = now->pairs;
	if (n > may_serve)
		return -ENOSPC;
	*next = *now;
	for (i = 0; i < next->pairs; i++)
		next->serves[i] = i < may_serve && now->serves[i] && named(cpu, n, now->cpu[i]);

	for (round = 0; round < 3; round++) {
		for (i = 0; i < n; i++) {
			if (rss_pair_on(next, cpu[i]) >= 0)
				continue;
			pair = round ? pick_idle(next, may_serve, cpu[i], round == 2)
				     : pick_carrier(now, next, was, want, may_serve, cpu[i]);
			if (pair < 0)
				continue;
			next->cpu[pair] = cpu[i];
			next->serves[pair] = true;
		}
	}
	for (i = 0; i < next->pairs; i++) {
		if (!next->serves[i] && !named(cpu, n, next->cpu[i]))
			next->cpu[i] = want->home;
		moves += next->cpu[i] != now->cpu[i];
	}
	return moves;
}
