// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance.c - which queues, and which parts of them, should run on other CPUs
 *
 * Single cases of the plan, then a simulation of 64 CPUs and 1,024 queues, some of
 * them with tables. There queues have demands; what is measured of them is cut off
 * where a CPU is full, as in life. Its figures are printed as diagnostics.
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
	return balance_plan(&(struct balance_set){ .unit = u, .n = n, .room = n, .busy = busy,
						  .n_cpus = cpus, .gather = gather },
			    moves, ARRAY_SIZE(moves));
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
	struct balance_unit even[] = { U(0, 50, 100), U(0, 40, 100), U(1, 40, 100) };
	struct balance_unit helped[] = { U(0, 60, 100), U(0, 40, 100), U(1, 45, 100) };
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
	is_int(PLAN(even, 2, true), 0, "O-11 90 and 40 %% need not be 50 and 80 %%: noise would undo it");
	is_int(PLAN(helped, 2, true), 1, "O-11 a full CPU is helped by less than that");
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
	struct balance_unit scarce[] = { U(0, 50, 100), U(0, 40, 1), FIXED(1, 30) };
	struct balance_unit equal[] = { U(0, 30, 7), U(0, 60, 7) };

	PLAN(fresh, 2, true);
	ok(fresh[1].at == 1 && !fresh[0].at && !fresh[2].at,
	   "O-5 the unused CPU goes to the queue with the highest weight");
	PLAN(room, 3, true);
	ok(room[1].at == 1 && !room[0].at,
	   "O-5 the lightest goes where others are already");
	is_int(PLAN(scarce, 2, true), 1, "no CPU has room: one still moves");
	is_int(scarce[1].at, 1, "O-5 it is the lightest, to the fuller place");
	PLAN(equal, 2, true);
	is_int(equal[1].at, 1, "of equal weight the one with the most load");
}

static void test_limit(void)
{
	struct balance_unit u[8];
	struct balance_move one[3];
	uint32_t busy[2] = { 0 };
	int i, sum = 0, looks = 0;
	struct balance_set s = {
		.unit = u, .n = 8, .room = 8, .busy = busy, .n_cpus = 2, .gather = true,
	};

	for (i = 0; i < 8; i++)
		u[i] = (struct balance_unit){ .at = (uint16_t)(i & 1), .weight = 100 };
	while ((i = balance_plan(&s, one, 3)) > 0 && looks++ < 10)
		sum += i;
	ok(sum == 4 && looks == 2, "no more moves at a time than are asked for; the rest follows");
}

/* ---- tables ---------------------------------------------------------------- */

#define UNITS 16

/* One queue with a table, and what it has on each CPU; others may be added. */
static struct rig {
	struct balance_table table;
	struct balance_unit unit[UNITS];
	struct balance_set set;
	uint32_t busy[BALANCE_CPUS_MAX];
} rig;

/* Its parts, from where its entries are and what they have to do. */
static void add_parts(struct balance_set *s, struct balance_table *t, uint16_t queue)
{
	uint32_t load[BALANCE_CPUS_MAX] = { 0 };
	uint64_t on = 0;
	int i;

	for (i = 0; i < t->entries; i++) {
		load[t->at[i]] += t->load[i];
		on |= 1ULL << t->at[i];
	}
	for (i = 0; i < s->n_cpus; i++)
		if (on >> i & 1)
			s->unit[s->n++] = (struct balance_unit){
				.at = (uint16_t)i, .weight = 100, .queue = queue,
				.load = load[i], .table = t,
			};
}

/* @percent in all, evenly on @entries at CPU 0, and other units. */
static void rig_begin(uint32_t percent, uint16_t entries, uint16_t most, int cpus,
		      const struct balance_unit *other, int n)
{
	int i;

	rig = (struct rig){ .table = { .most = most, .entries = entries } };
	for (i = 0; i < entries; i++)
		rig.table.load[i] = percent * PERCENT / entries;
	rig.set = (struct balance_set){
		.unit = rig.unit, .room = UNITS, .busy = rig.busy, .n_cpus = cpus, .gather = true,
	};
	for (i = 0; i < n; i++)
		rig.unit[rig.set.n++] = other[i];
}

/* The others stay as they are; the queue's parts begin afresh. */
static int rig_plan(int others)
{
	int i;

	rig.set.n = others;
	add_parts(&rig.set, &rig.table, 7);
	memset(rig.busy, 0, sizeof(rig.busy));
	for (i = 0; i < rig.set.n; i++)
		rig.busy[rig.unit[i].at] += rig.unit[i].load;
	return balance_plan(&rig.set, moves, ARRAY_SIZE(moves));
}

static uint32_t rig_on(int cpu)
{
	uint32_t sum = 0;
	int i;

	for (i = 0; i < rig.table.entries; i++)
		sum += rig.table.at[i] == cpu ? rig.table.load[i] : 0;
	return sum / PERCENT;
}

static int rig_cpus(void)
{
	uint64_t on = 0;
	int i;

	for (i = 0; i < rig.table.entries; i++)
		on |= 1ULL << rig.table.at[i];
	return __builtin_popcountll(on);
}

static uint32_t rig_most(void)
{
	uint32_t most = 0;
	int cpu;

	for (cpu = 0; cpu < rig.set.n_cpus; cpu++)
		most = MAX(most, rig_on(cpu));
	return most;
}

/* Until nothing moves. Return: looks. */
static int rig_rest(int others)
{
	int looks = 0;

	while (rig_plan(others) && looks < 20)
		looks++;
	return looks;
}

static void test_split(void)
{
	struct balance_unit little[] = { U(1, 5, 100) };
	int i;

	rig_begin(90, 128, 2, 2, NULL, 0);
	is_int(rig_plan(0), 1, "O-11 one queue takes 90 %% of a CPU, and has a second pair");
	ok(moves[0].why == BALANCE_SPREAD && moves[0].from == 0 && moves[0].to == 1 &&
	   moves[0].queue == 7 && moves[0].entries == 64 && rig_on(0) == rig_on(1),
	   "O-11 half of its entries go");
	is_int(rig_plan(0), 0, "O-11 and stay while it is busy");
	for (i = 0; i < 128; i++)
		rig.table.load[i] /= 2;
	is_int(rig_plan(0), 1, "O-11 with half of the load they gather");
	ok(rig_cpus() == 1 && moves[0].why == BALANCE_GATHER && moves[0].entries == 64,
	   "O-11 as one part again");

	rig_begin(90, 128, 1, 2, NULL, 0);
	is_int(rig_plan(0), 0, "Q-9 one pair: one CPU");
	rig_begin(100, 128, 4, 8, NULL, 0);
	is_int(rig_rest(0), 1, "more than a CPU is seen as one: two CPUs at first");
	for (i = 0; i < 128; i++)
		rig.table.load[i] *= 2;
	rig_rest(0);
	ok(rig_cpus() == 4 && rig_most() <= 60, "as long as they are full it goes on");
	for (i = 0; i < 128; i++)
		rig.table.load[i] = 3 * PERCENT;
	rig_rest(0);
	is_int(rig_cpus(), 4, "Q-9 never to more CPUs than pairs");

	rig_begin(95, 128, 4, 4, little, 1);
	is_int(rig_plan(1), 1, "a CPU with little to do");
	ok(rig_on(1) == 47 && rig_cpus() == 2, "comes before one with nothing");

	/* One flow is most of it. */
	rig_begin(0, 128, 4, 4, NULL, 0);
	rig.table.load[77] = 70 * PERCENT;
	for (i = 0; i < 50; i++)
		rig.table.load[i] = PERCENT / 2;
	rig_rest(0);
	ok(rig_on(0) == 70 && rig_cpus() == 2, "what is not that flow leaves it alone");
	rig.table.load[77] = 100 * PERCENT;
	is_int(rig_plan(0), 0, "a flow that needs a CPU for itself is not moved about");
}

static void test_join(void)
{
	struct balance_unit fixed[] = { FIXED(2, 30) };
	int i;

	/* On three CPUs, one of them idle but for it. */
	rig_begin(60, 129, 4, 4, NULL, 0);
	for (i = 0; i < 129; i++)
		rig.table.at[i] = (uint16_t)(i % 3);
	is_int(rig_plan(0), 2, "O-11 parts of a queue gather");
	ok(rig_cpus() == 1, "on one CPU");
	is_int(rig_plan(0), 0, "and stay there");

	rig_begin(20, 129, 4, 4, fixed, 1);
	rig.table.at[128] = 1;		/* the default */
	rig_rest(1);
	ok(rig_cpus() == 1 && rig.table.at[128] == 2 && rig.table.at[0] == 2,
	   "O-11 the default goes with the entries");

	/* A second part that is too full is helped by the first. */
	rig_begin(110, 128, 2, 2, NULL, 0);
	for (i = 0; i < 16; i++)
		rig.table.at[i] = 1;
	is_int(rig_plan(0), 1, "all pairs in use: entries go from the one to the other");
	ok(rig_cpus() == 2 && rig_on(0) <= 80 && rig_on(1) <= 60, "and both can do their work");
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
#define TABLES	64	/* of them, with tables of 128 entries and 8 pairs */
#define PAIRS	8
#define LOOKS	200
#define CALM	5	/* looks without a spread before it may gather */
#define AT_ONCE	64

static struct {
	uint32_t demand[QUEUES];		/* may be more than a CPU with a table */
	uint32_t share[TABLES][BALANCE_ENTRIES_MAX];	/* of an entry, in millionths */
	uint16_t at[QUEUES];			/* without a table */
	struct balance_table table[TABLES];
	struct balance_unit unit[QUEUES + TABLES * PAIRS + AT_ONCE];
	int calm, entries_moved, widest;
} sim;

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * n >> 32);
}

/*
 * Demands as of real machines: few queues have most of it, and so have few entries of
 * a table. Those with tables have 16 times the demand of others.
 */
static void set_load(int percent)
{
	uint64_t sum = 0, total = (uint64_t)percent * PERCENT * CPUS, all;
	uint32_t r;
	int i, k;

	random_state = 1;
	for (i = 0; i < QUEUES; i++) {
		r = 1 + random_below(1000);
		sim.demand[i] = (r * r / 100 + 1) * (i < TABLES ? 16 : 1);
		sum += sim.demand[i];
	}
	for (i = 0; i < QUEUES; i++)
		sim.demand[i] = (uint32_t)(sim.demand[i] * total / sum);
	for (i = 0; i < TABLES; i++) {
		for (k = 0, all = 1; k < BALANCE_ENTRIES_MAX; k++) {
			r = 1 + random_below(100);
			sim.share[i][k] = r * r;
			all += sim.share[i][k];
		}
		for (k = 0; k < BALANCE_ENTRIES_MAX; k++)
			sim.share[i][k] = (uint32_t)(sim.share[i][k] * 1000000ULL / all);
	}
}

static uint32_t entry_demand(int table, int k, uint32_t demand)
{
	return (uint32_t)((uint64_t)demand * sim.share[table][k] / 1000000);
}

/* What is wanted of each CPU, with demands that waver by @noise percent. */
static void want_of(uint64_t want[CPUS], uint32_t noise)
{
	int i, k;

	memset(want, 0, CPUS * sizeof(*want));
	for (i = 0; i < QUEUES; i++) {
		uint32_t wave = noise ? random_below(noise * 2 * 10000) : 0;
		uint32_t d = (uint32_t)((uint64_t)sim.demand[i] *
					(1000000 - noise * 10000 + wave) / 1000000);

		if (i >= TABLES) {
			sim.unit[i].load = d;
			want[sim.at[i]] += d;
			continue;
		}
		for (k = 0; k < BALANCE_ENTRIES_MAX; k++) {
			sim.table[i].load[k] = entry_demand(i, k, d);
			want[sim.table[i].at[k]] += sim.table[i].load[k];
		}
	}
}

/* Cut off what a CPU cannot do. */
static uint32_t seen(uint32_t load, uint64_t want)
{
	return want > BALANCE_CPU ? (uint32_t)((uint64_t)load * BALANCE_CPU / want) : load;
}

static int look(uint32_t noise)
{
	struct balance_move m[AT_ONCE];
	struct balance_set s = {
		.unit = sim.unit, .n = QUEUES, .room = ARRAY_SIZE(sim.unit), .n_cpus = CPUS,
		.gather = sim.calm >= CALM,
	};
	uint64_t want[CPUS];
	uint32_t busy[CPUS];
	int i, k, n;

	want_of(want, noise);
	for (i = 0; i < CPUS; i++)
		busy[i] = (uint32_t)MIN(want[i], BALANCE_CPU);
	/* Queues with tables have their parts behind all others. */
	for (i = 0; i < QUEUES; i++) {
		uint32_t load = seen(sim.unit[i].load, want[sim.at[i]]);

		sim.unit[i] = (struct balance_unit){
			.at = sim.at[i], .weight = 100, .queue = (uint16_t)i, .load = load,
		};
		if (i < TABLES)
			sim.unit[i] = (struct balance_unit){ .fixed = true };
	}
	for (i = 0; i < TABLES; i++) {
		for (k = 0; k < BALANCE_ENTRIES_MAX; k++)
			sim.table[i].load[k] = seen(sim.table[i].load[k], want[sim.table[i].at[k]]);
		add_parts(&s, &sim.table[i], (uint16_t)i);
	}
	s.busy = busy;
	n = balance_plan(&s, m, AT_ONCE);
	for (i = TABLES; i < QUEUES; i++)
		sim.at[i] = sim.unit[i].at;
	for (i = 0; i < n; i++)
		sim.entries_moved += m[i].entries;
	sim.calm = n && m[0].why == BALANCE_SPREAD ? 0 : sim.calm + 1;
	return n;
}

static int cpus_used(void)
{
	uint64_t all = 0, on;
	int i, k;

	for (i = TABLES; i < QUEUES; i++)
		all |= 1ULL << sim.at[i];
	for (i = 0, sim.widest = 0; i < TABLES; i++) {
		for (k = 0, on = 0; k < BALANCE_ENTRIES_MAX; k++)
			on |= 1ULL << sim.table[i].at[k];
		all |= on;
		sim.widest = MAX(sim.widest, __builtin_popcountll(on));
	}
	return __builtin_popcountll(all);
}

/* The demand that its CPU cannot serve, in tenths of a percent of all. */
static int unserved(void)
{
	uint64_t want[CPUS], all = 0, lost = 0;
	int i;

	want_of(want, 0);
	for (i = 0; i < CPUS; i++) {
		all += want[i];
		lost += want[i] > BALANCE_CPU ? want[i] - BALANCE_CPU : 0;
	}
	return all ? (int)(lost * 1000 / all) : 0;
}

static void simulate(int percent, int least, int most)
{
	int i, n, sum = 0, last = 0, steady = 0, used, widest;

	set_load(percent);
	sim.entries_moved = 0;
	for (i = 0; i < LOOKS; i++) {
		n = look(0);
		sum += n;
		last = n ? i + 1 : last;
	}
	used = cpus_used();
	widest = sim.widest;
	diag("load %2d %% of 64 CPUs: %2d CPUs used, at most %d by one queue; stable after %d looks, "
	     "%d moves (%d entries of tables); unserved: %d.%d %%", percent, used, widest, last, sum,
	     sim.entries_moved, unserved() / 10, unserved() % 10);
	for (i = 0; i < LOOKS; i++)
		steady += look(0);
	ok(used >= least && used <= most, "O-11 at %d %% of all CPUs %d to %d are used", percent, least,
	   most);
	ok(widest <= PAIRS, "Q-9 no queue is on more CPUs than it has pairs");
	ok(!steady && last < LOOKS - CALM, "O-11 no moves while the load is constant");
	ok(unserved() <= 10, "O-11 every CPU can do what it is given");

	for (i = 0, sum = 0, sim.entries_moved = 0; i < LOOKS; i++)
		sum += look(10);
	diag("  with demands that waver by 10 %%: %d moves (%d entries) in %d looks", sum,
	     sim.entries_moved, LOOKS);
	ok(sum <= LOOKS, "O-11 loads that waver move few queues: at most one a look");
}

static void test_simulation(void)
{
	int i, k;

	for (i = 0; i < QUEUES; i++)
		sim.at[i] = (uint16_t)(i % CPUS);
	for (i = 0; i < TABLES; i++) {
		sim.table[i].most = PAIRS;
		sim.table[i].entries = BALANCE_ENTRIES_MAX;
		for (k = 0; k < BALANCE_ENTRIES_MAX; k++)
			sim.table[i].at[k] = (uint16_t)((i + k % PAIRS) % CPUS);
	}
	diag("1,024 queues, 64 of them with tables, spread over all CPUs in the beginning; then load "
	     "rises and falls");
	simulate(5, 4, 8);
	simulate(50, 32, 60);
	simulate(90, 60, 64);
	simulate(50, 32, 60);
	simulate(5, 4, 8);
	simulate(0, 1, 1);
	simulate(90, 60, 64);
}

int main(void)
{
	test_spread();
	test_gather();
	test_weight();
	test_limit();
	test_split();
	test_join();
	test_siblings();
	test_simulation();
	return unit_done();
}
