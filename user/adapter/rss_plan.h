/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss_plan.h - which pair serves which CPU
 *
 * An indirection table names CPUs, as in NDIS; a frame is redirected to a pair's
 * socket. A pair sits on one CPU at a time, and each CPU that the table or the
 * default names is served by exactly one pair. So a flow changes its pair only
 * if its entry changes its CPU, and evacuating a CPU moves a pair with all its
 * flows, in order.
 *
 * Pure functions, any thread.
 */
#ifndef VMQ_RSS_PLAN_H
#define VMQ_RSS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmq/abi.h"

/* Where a queue's pairs are, and which of them get frames. */
struct rss_place {
	uint16_t pairs;			/* that there are */
	uint16_t cpu[VMQ_PAIRS_MAX];
	bool	 serves[VMQ_PAIRS_MAX];	/* the CPU it is on */
};

/* What steering asks for: the table while RSS is on, else the primary alone. */
struct rss_demand {
	uint16_t entries;
	uint16_t cpu[VMQ_RSS_ENTRIES_MAX];
	uint16_t home;			/* default or primary: also of idle pairs */
};

/* CPUs that @d names, each once. */
int rss_cpus(const struct rss_demand *d, uint16_t cpu[VMQ_RSS_ENTRIES_MAX + 1]);

/**
 * rss_plan() - place pairs for a demand, with as few moves as can be
 * @now: places today
 * @was: demand of today: whose flows a pair carries; NULL: nobody's
 * @want: demand to be
 * @may_serve: only pairs below this number may get frames
 * @next: places to be
 *
 * A pair that serves a CPU still wanted stays. Other CPUs take the pair that
 * carries most of their entries today, if its own CPU is not wanted any more,
 * else one that is there already, else any. Pairs without work wait at home.
 *
 * Return: number of pairs that move; -ENOSPC: more CPUs than pairs.
 */
int rss_plan(const struct rss_place *now, const struct rss_demand *was,
	     const struct rss_demand *want, int may_serve, struct rss_place *next);

/* The pair that serves @cpu, or -1. */
int rss_pair_on(const struct rss_place *p, uint16_t cpu);

#endif /* VMQ_RSS_PLAN_H */
