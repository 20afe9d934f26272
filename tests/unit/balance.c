// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance.c - which pairs should run on other CPUs
 *
 * Single cases of the plan, then a simulation of 64 CPUs and 1,024 queues. There
 * queues have demands; what is measured of them is cut off where a CPU is full, as
 * in life. Its figures are printed as diagnostics.
 */
#include <sys/stat.h>

#include "adapter/topology.h"
#include "common/util.h"
#include "control/balance_plan.h"
#include "unit.h"

#define PERCENT (BALANCE_CPU / 100)

/* ---- single cases --------------------------------------------------------- */

#define U(cpu, percent, w) { .at = cpu, .load = (percent) * PERCENT, .weight = w }
#define FIXED(cpu, percent) { .at = cpu, .load = (percent) * PERCENT, .weight = 100, .fixed = true }

static struct balance_move moves[64];

/* CPUs have the load of their units, and @base of other work on the first. */
static int plan_base(struct balance_unit *u, int n, int cpus, bool gather, uint32_t base)
{
	uint32_t busy[BALANCE_CPUS_MAX] = { base * PERCENT };
	int i;

	for (i = 0; i < n; i++)
		busy[u[i].at] += u[i].load;
	return balance_plan(u, n, busy, cpus, gather, moves, ARRAY_SIZE(moves));
}

#define PLAN(u, cpus, gather) plan_base(u, ARRAY_SIZE(u), cpus, gather, 0)

static void test_spread(void)
{
	struct balance_unit two[] = { U(0, 45, 100), U(0, 45, 100) };
	struct balance_unit below[] = { U(0, 40, 100), U(0, 40, 100) };
	struct balance_unit alone[] = { U(0, 100, 100) };
	struct balance_unit based[] = { U(0, 50, 100) };
	struct balance_unit fixed[] = { FIXED(0, 45), FIXED(0, 45) };
	struct balance_unit room[] = { U(0, 50, 100), U(0, 40, 100), U(1, 10, 100), U(2, 5, 100) };
	struct balance_unit full[] = { U(0, 50, 100), U(0, 50, 100), U(1, 50, 100),
				       U(1, 50, 100) };

	is_int(PLAN(two, 2, true), 1, "O-11 two queues take 90 %% of a CPU: one leaves");
	ok(two[0].at != two[1].at && moves[0].why == BALANCE_SPREAD, "it spreads");
	is_int(PLAN(two, 2, true), 0, "O-11 and does not come back while they are busy");
	is_int(PLAN(below, 2, true), 0, "O-11 80 %% of a CPU is not too much");
	is_int(PLAN(alone, 2, true), 0, "a queue that needs a CPU for itself stays where it is");
	is_int(plan_base(based, 1, 2, true, 40), 1, "it leaves other work behind");
	is_int(PLAN(fixed, 2, true), 0, "what the administrator has placed stays");
	is_int(PLAN(room, 4, true), 1, "one move is enough");
	ok(room[0].at == 1 && room[1].at == 0, "to the fullest CPU with room, not to a new one");
	is_int(PLAN(full, 2, true), 0, "too much for all: nothing would be better");
}

static void test_gather(void)
{
	struct balance_unit idle[] = { U(0, 0, 100), U(1, 0, 100), U(2, 0, 100), U(3, 0, 100) };
	struct balance_unit low[] = { U(0, 20, 100), U(1, 20, 100), U(2, 15, 100) };
	struct balance_unit not_now[] = { U(0, 20, 100), U(1, 20, 100) };
	struct balance_unit more[] = { U(0, 40, 100), U(1, 30, 100) };
	struct balance_unit home[] = { FIXED(1, 1), U(0, 10, 100) };
	struct balance_unit whole[] = { U(0, 50, 100), U(1, 5, 100), U(1, 20, 100) };

	is_int(PLAN(idle, 4, true), 3, "O-11 idle queues gather");
	ok(!idle[0].at && !idle[1].at && !idle[2].at && !idle[3].at, "on the first CPU of --cpus");
	is_int(PLAN(idle, 4, true), 0, "and stay there");
	is_int(PLAN(low, 3, true), 2, "O-11 queues with little to do gather");
	ok(low[0].at == low[1].at && low[1].at == low[2].at && moves[0].why == BALANCE_GATHER,
	   "on one CPU");
	is_int(PLAN(not_now, 2, false), 0, "not before it is time");
	is_int(PLAN(more, 2, true), 0, "O-11 70 %% for one CPU would be too near to 80 %%");
	is_int(PLAN(home, 2, true), 1, "they gather");
	is_int(home[1].at, 1, "where one is that stays");
	is_int(PLAN(whole, 2, true), 0, "a CPU is emptied, or left alone");
}

static void test_weight(void)
{
	struct balance_unit fresh[] = { U(0, 33, 1), U(0, 33, 100), U(0, 33, 50) };
	struct balance_unit room[] = { U(0, 45, 100), U(0, 45, 1), U(1, 10, 50), U(2, 90, 50) };
	struct balance_unit scarce[] = { U(0, 50, 100), U(0, 40, 1), FIXED(1, 40) };
	struct balance_unit equal[] = { U(0, 30, 7), U(0, 60, 7) };

	PLAN(fresh, 2, true);
	ok(fresh[1].at == 1 && !fresh[0].at && !fresh[2].at,
	   "O-5 the unused CPU goes to the queue with the highest weight");
	PLAN(room, 3, true);
	ok(room[1].at == 1 && !room[0].at,
	   "O-5 the lightest goes where others are already");
	is_int(PLAN(scarce, 2, true), 1, "no CPU has room: one still moves");
	is_int(moves[0].unit, 1, "O-5 it is the lightest, to the fuller place");
	PLAN(equal, 2, true);
	is_int(moves[0].unit, 1, "of equal weight the one with the most load");
}

static void test_limit(void)
{
	struct balance_unit u[8];
	struct balance_move one[3];
	uint32_t busy[2] = { 0 };
	int i, sum = 0, looks = 0;

	for (i = 0; i < 8; i++)
		u[i] = (struct balance_unit){ .at = (uint16_t)(i & 1), .weight = 100 };
	while ((i = balance_plan(u, 8, busy, 2, true, one, 3)) > 0 && looks++ < 10)
		sum += i;
	ok(sum == 4 && looks == 2, "no more moves at a time than are asked for; the rest follows");
}

/* ---- siblings -------------------------------------------------------------- */

static void put_list(const char *dir, int cpu, const char *list)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cpu%d", dir, cpu);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/cpu%d/topology", dir, cpu);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/cpu%d/topology/thread_siblings_list", dir, cpu);
	f = fopen(path, "w");
	if (!f || fprintf(f, "%s\n", list) < 0 || fclose(f))
		abort();
}

static void remove_list(const char *dir, int cpu)
{
	static const char *const tail[] = { "/topology/thread_siblings_list", "/topology", "" };
	char path[256];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tail); i++) {
		snprintf(path, sizeof(path), "%s/cpu%d%s", dir, cpu, tail[i]);
		remove(path);
	}
}

static void test_siblings(void)
{
	static const char *const list[] = { "0,4", "1,5", "2-3", "2-3", "0,4", "1,5", "garbage" };
	uint16_t all[] = { 0, 1, 2, 3, 4, 5, 6, 7 }, back[] = { 5, 4, 3, 1 };
	char dir[] = "/tmp/vmq-topology-XXXXXX";
	size_t i;

	if (!mkdtemp(dir))
		abort();
	for (i = 0; i < ARRAY_SIZE(list); i++)
		put_list(dir, (int)i, list[i]);
	is_int(topology_one_per_core(dir, all, 8), 5, "O-12 of each core one CPU is chosen");
	ok(all[0] == 0 && all[1] == 1 && all[2] == 2 && all[3] == 6 && all[4] == 7,
	   "O-12 the first of --cpus; and those of which nothing is known");
	is_int(topology_one_per_core(dir, back, 4), 3, "O-12 in the order of --cpus");
	ok(back[0] == 5 && back[1] == 4 && back[2] == 3, "O-12 so the user chooses the thread");
	for (i = 0; i < ARRAY_SIZE(list); i++)
		remove_list(dir, (int)i);
	rmdir(dir);
}

/* ---- 64 CPUs and 1,024 queues ---------------------------------------------- */

#define CPUS	64
#define QUEUES	1024
#define LOOKS	200
#define CALM	5	/* looks without a spread before it may gather */
#define AT_ONCE	64

static struct {
	uint32_t demand[QUEUES];
	struct balance_unit unit[QUEUES];
	int calm;
} sim;

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* Demands as of real machines: few queues have most of it. None more than a CPU. */
static void set_load(int percent)
{
	uint64_t sum = 0, total = (uint64_t)percent * PERCENT * CPUS;
	uint32_t r;
	int i;

	random_state = 1;
	for (i = 0; i < QUEUES; i++) {
		r = 1 + random_below(1000);
		sim.demand[i] = r * r / 100 + 1;
		sum += sim.demand[i];
	}
	for (i = 0; i < QUEUES; i++)
		sim.demand[i] = (uint32_t)(sim.demand[i] * total / sum);
}

/* What would be measured, with demands that waver by @noise percent. */
static void measure(uint32_t busy[CPUS], uint32_t noise)
{
	uint64_t want[CPUS] = { 0 };
	int i;

	for (i = 0; i < QUEUES; i++) {
		uint32_t wave = noise ? random_below(noise * 2 * 10000) : 0;

		sim.unit[i].load = (uint32_t)((uint64_t)sim.demand[i] *
					      (1000000 - noise * 10000 + wave) / 1000000);
		want[sim.unit[i].at] += sim.unit[i].load;
	}
	for (i = 0; i < CPUS; i++)
		busy[i] = (uint32_t)MIN(want[i], BALANCE_CPU);
	for (i = 0; i < QUEUES; i++) {
		uint16_t at = sim.unit[i].at;

		if (want[at] > BALANCE_CPU)
			sim.unit[i].load = (uint32_t)((uint64_t)sim.unit[i].load * BALANCE_CPU /
						      want[at]);
	}
}

static int look(uint32_t noise)
{
	struct balance_move m[AT_ONCE];
	uint32_t busy[CPUS];
	int n;

	measure(busy, noise);
	n = balance_plan(sim.unit, QUEUES, busy, CPUS, sim.calm >= CALM, m, AT_ONCE);
	sim.calm = n && m[0].why == BALANCE_SPREAD ? 0 : sim.calm + 1;
	return n;
}

static int cpus_used(void)
{
	bool used[CPUS] = { false };
	int i, n = 0;

	for (i = 0; i < QUEUES; i++) {
		n += !used[sim.unit[i].at];
		used[sim.unit[i].at] = true;
	}
	return n;
}

/* The demand that its CPU cannot serve, in percent of all. */
static int unserved(void)
{
	uint64_t want[CPUS] = { 0 }, all = 0, lost = 0;
	int i;

	for (i = 0; i < QUEUES; i++) {
		want[sim.unit[i].at] += sim.demand[i];
		all += sim.demand[i];
	}
	for (i = 0; i < CPUS; i++)
		lost += want[i] > BALANCE_CPU ? want[i] - BALANCE_CPU : 0;
	return all ? (int)(lost * 100 / all) : 0;
}

static void simulate(int percent, int least, int most)
{
	int i, n, sum = 0, last = 0, steady = 0;

	set_load(percent);
	for (i = 0; i < LOOKS; i++) {
		n = look(0);
		sum += n;
		last = n ? i + 1 : last;
	}
	for (i = 0; i < LOOKS; i++)
		steady += look(0);
	diag("load %2d %% of 64 CPUs: %2d CPUs used; stable after %d looks and %d moves; "
	     "moves at constant load: %d; unserved: %d %%", percent, cpus_used(), last, sum, steady,
	     unserved());
	ok(cpus_used() >= least && cpus_used() <= most,
	   "O-11 at %d %% of all CPUs %d to %d are used", percent, least, most);
	ok(!steady && last < LOOKS - CALM, "O-11 no moves while the load is constant");
	ok(unserved() <= 1, "O-11 every CPU can do what it is given");

	for (i = 0, sum = 0; i < LOOKS; i++)
		sum += look(10);
	diag("  with demands that waver by 10 %%: %d moves in %d looks", sum, LOOKS);
	ok(sum <= LOOKS * QUEUES / 1000, "O-11 loads that waver move few queues");
}

static void test_simulation(void)
{
	int i;

	for (i = 0; i < QUEUES; i++)
		sim.unit[i] = (struct balance_unit){ .at = (uint16_t)(i % CPUS), .weight = 100 };
	diag("1,024 queues, spread over all CPUs in the beginning; then load rises and falls");
	simulate(5, 4, 8);
	simulate(50, 32, 60);
	simulate(90, 64, 64);
	simulate(50, 32, 60);
	simulate(5, 4, 8);
	simulate(0, 1, 1);
	simulate(90, 64, 64);
}

int main(void)
{
	test_spread();
	test_gather();
	test_weight();
	test_limit();
	test_siblings();
	test_simulation();
	return unit_done();
}
