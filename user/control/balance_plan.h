/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * balance_plan.h - which pairs should run on other CPUs
 *
 * Dynamic VMQ: at low load pairs gather on few CPUs, near 80 % of a CPU they
 * spread, and gather again. Loads and places go in, moves come out.
 *
 * Two marks make the hysteresis. A CPU above BALANCE_HIGH is relieved; no CPU is
 * filled above BALANCE_FILL, by relief or by gathering, unless there is too much
 * work for all. What was spread because it is more than HIGH can therefore not be
 * gathered again, and what was gathered does not spread, while loads stay as they
 * are: the plan comes to rest, and then proposes nothing.
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
#define BALANCE_HIGH	800000u		/* above: relieve it */
#define BALANCE_FILL	600000u		/* so far a CPU may be filled */
#define BALANCE_GAIN	100000u		/* without room: the least that a move must gain */

#define BALANCE_CPUS_MAX VMQ_PAIRS_MAX

/* What can move: a queue's pair. */
struct balance_unit {
	uint16_t at;		/* index of its CPU */
	uint16_t weight;	/* 0 ... 100 */
	bool	 fixed;		/* stays there */
	uint32_t load;
	uint16_t to;		/* balance_plan()'s own */
};

enum balance_why { BALANCE_SPREAD, BALANCE_GATHER };

struct balance_move {
	int	 unit;
	uint16_t from, to;
	enum balance_why why;
};

/**
 * balance_plan() - what to move
 * @unit: all units; their `at` is where they are to be afterwards
 * @n: how many
 * @busy: load of each CPU, that of its units included
 * @n_cpus: how many, at most BALANCE_CPUS_MAX
 * @gather: may it gather? Not soon after a spread, so that a pause in the traffic
 *          is not taken for its end
 * @move: the moves, in order
 * @max: room there; what does not fit is for the next time
 *
 * Return: number of moves.
 */
int balance_plan(struct balance_unit *unit, int n, const uint32_t *busy, int n_cpus, bool gather,
		 struct balance_move *move, int max);

const char *balance_why_name(enum balance_why why);

#endif /* VMQ_BALANCE_PLAN_H */
