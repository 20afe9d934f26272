/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * balance_plan.h - which queues, and which parts of them, should run on other CPUs
 *
 * Dynamic VMQ: at low load queues gather on few CPUs, near 80 % of a CPU they
 * spread, and gather again. Loads and places go in, moves come out.
 *
 * What moves is a *unit*: a queue, or, if the queue has an indirection table, what
 * it has on one CPU. Such a unit moves whole, with its pair, or it is split: some
 * entries of the table go to another CPU (dynamic VMMQ). Splitting is for queues
 * that moving does not help, because what they need is more than a CPU has left;
 * and a queue is never on more CPUs than it has pairs.
 *
 * Two marks make the hysteresis. A CPU above BALANCE_HIGH is relieved; no CPU is
 * filled above BALANCE_FILL, by relief or by gathering, unless there is too much
 * work for all. What was spread because it is more than HIGH can therefore not be
 * gathered again, and what was gathered does not spread, while loads stay as they
 * are: the plan comes to rest, and then proposes nothing.
 *
 * With too much work for all to be below HIGH there is always one to relieve, and loads
 * waver. A CPU that is full is helped then by all that gains something; one that is not
 * can do its work, and is left only for a gain that is more than noise (BALANCE_EVEN).
 * Queues that waver by 10 % each make two CPUs at 90 % differ by 10 % now and then.
 *
 * Weights rank where CPUs are scarce (O-5): a CPU that nobody uses goes to the
 * heaviest of those that are crowded, and where others are already the lightest
 * go first.
 *
 * Pure functions, any thread.
 */
#ifndef VMQ_BALANCE_PLAN_H
#define VMQ_BALANCE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmq/abi.h"

#define BALANCE_CPU	1000000u	/* all of a CPU; loads are parts of this */
#define BALANCE_FULL	970000u		/* as good as all: it may need more */
#define BALANCE_HIGH	800000u		/* above: relieve it */
#define BALANCE_FILL	600000u		/* so far a CPU may be filled */
#define BALANCE_GAIN	100000u		/* the least that a move must gain */
#define BALANCE_EVEN	200000u		/* without room, from a CPU that can do its work */

#define BALANCE_CPUS_MAX VMQ_PAIRS_MAX

/* A queue's indirection table; behind its entries the default, as one more. */
#define BALANCE_ENTRIES_MAX (VMQ_RSS_ENTRIES_MAX + 1)
struct balance_table {
	uint16_t most;		/* CPUs that it may be on: its pairs */
	uint16_t entries;	/* with the default */
	uint16_t at[BALANCE_ENTRIES_MAX];	/* index of each entry's CPU */
	uint32_t load[BALANCE_ENTRIES_MAX];
	uint64_t on;		/* balance_plan()'s own: CPUs it is on */
};

#define BALANCE_GONE 0xffff	/* `at` of a unit that was joined with another */

struct balance_unit {
	uint16_t at;		/* index of its CPU */
	uint16_t weight;	/* 0 ... 100 */
	uint16_t queue;		/* the caller's */
	bool	 fixed;		/* stays there */
	uint32_t load;		/* with a table: the sum of its entries there */
	struct balance_table *table;	/* of its queue, for all its units; or NULL */
	uint16_t to;		/* balance_plan()'s own */
	uint64_t refused;	/* the same: CPUs that no part of it goes to */
};

struct balance_set {
	struct balance_unit *unit;
	int	 n;		/* splits add some */
	int	 room;
	const uint32_t *busy;	/* load of each CPU, that of its units included */
	int	 n_cpus;	/* at most BALANCE_CPUS_MAX */
	bool	 gather;	/* may it gather? Not soon after a spread, so that a pause
				 * in the traffic is not taken for its end */
};

enum balance_why { BALANCE_SPREAD, BALANCE_GATHER };

struct balance_move {
	uint16_t queue;
	uint16_t from, to;
	uint16_t entries;	/* of its table; 0: it has none */
	enum balance_why why;
};

/**
 * balance_plan() - what to move
 * @s: all units; `at`, theirs and their tables', is where they are to be afterwards
 * @move: the moves, in order
 * @max: room there; what does not fit is for the next time
 *
 * Return: number of moves.
 */
int balance_plan(struct balance_set *s, struct balance_move *move, int max);

const char *balance_why_name(enum balance_why why);

#endif /* VMQ_BALANCE_PLAN_H */
