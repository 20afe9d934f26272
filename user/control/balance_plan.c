// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance_plan.c - which pairs should run on other CPUs
 *
 * Relief comes first, and as long as a CPU needs it nothing is gathered. A unit
 * leaves a crowded CPU for the fullest used one that has room, else for a CPU
 * that nobody uses, else for any where it is clearly better off. The last kind of
 * move takes load L + x <= H - BALANCE_GAIN to where L was, so the sum of squares
 * of the CPUs' loads falls with each of them, and they come to an end.
 *
 * Gathering empties the least used CPU, whole or not at all, into the others.
 *
 * With 64 CPUs and 1,024 units a plan is some million steps at worst, once a
 * second; nothing here is worth an index.
 */
#include "control/balance_plan.h"

#include "common/util.h"

struct plan {
	struct balance_unit *unit;
	int n, n_cpus;
	uint32_t load[BALANCE_CPUS_MAX];
	uint32_t units[BALANCE_CPUS_MAX];	/* that are there */
	struct balance_move *move;
	int moves, max;
};

const char *balance_why_name(enum balance_why why)
{
	static const char *const name[] = {
		[BALANCE_SPREAD] = "spread", [BALANCE_GATHER] = "gather",
	};

	return name[why];
}

static void begin(struct plan *p, const uint32_t *busy)
{
	uint32_t sum[BALANCE_CPUS_MAX] = { 0 };
	int i;

	for (i = 0; i < p->n; i++) {
		sum[p->unit[i].at] += p->unit[i].load;
		p->units[p->unit[i].at]++;
	}
	/* Two clocks measure them; the parts are never more than the whole. */
	for (i = 0; i < p->n_cpus; i++)
		p->load[i] = MAX(busy[i], sum[i]);
}

static void do_move(struct plan *p, int i, uint16_t to, enum balance_why why)
{
	struct balance_unit *u = &p->unit[i];

	p->move[p->moves++] = (struct balance_move){
		.unit = i, .from = u->at, .to = to, .why = why,
	};
	p->load[u->at] -= u->load;
	p->units[u->at]--;
	p->load[to] += u->load;
	p->units[to]++;
	u->at = to;
}

/* ---- relief -------------------------------------------------------------- */

/* From the best to the worst place to go. */
enum room { ROOM_USED, ROOM_NEW, ROOM_BETTER, ROOM_NONE };

static enum room room_on(const struct plan *p, const struct balance_unit *u, int cpu)
{
	uint32_t after = p->load[cpu] + u->load;

	/* Alone on another CPU it would be no better off. */
	if (cpu == u->at || after + BALANCE_GAIN > p->load[u->at])
		return ROOM_NONE;
	if (!p->units[cpu])
		return ROOM_NEW;
	return after <= BALANCE_FILL ? ROOM_USED : ROOM_BETTER;
}

/* Where @u would go: -1 nowhere. */
static int place_for(const struct plan *p, const struct balance_unit *u, enum room *room)
{
	int cpu, best = -1;

	*room = ROOM_NONE;
	for (cpu = 0; cpu < p->n_cpus; cpu++) {
		enum room r = room_on(p, u, cpu);

		if (r > *room || r == ROOM_NONE)
			continue;
		/* The fullest that has room: few CPUs. Without room the emptiest. */
		if (r < *room || (r == ROOM_USED ? p->load[cpu] > p->load[best]
						 : p->load[cpu] < p->load[best])) {
			best = cpu;
			*room = r;
		}
	}
	return best;
}

/* Should @a leave rather than @b, which would get the same kind of place? */
static bool leaves_first(const struct balance_unit *a, const struct balance_unit *b,
			 enum room room)
{
	if (a->weight != b->weight)
		return room == ROOM_NEW ? a->weight > b->weight : a->weight < b->weight;
	return a->load > b->load;
}

static bool relieve_once(struct plan *p, int cpu)
{
	enum room room, best_room = ROOM_NONE;
	int i, to, best = -1, best_to = -1;

	for (i = 0; i < p->n; i++) {
		const struct balance_unit *u = &p->unit[i];

		if (u->at != cpu || u->fixed || !u->load)
			continue;
		to = place_for(p, u, &room);
		if (to < 0 || room > best_room)
			continue;
		if (room == best_room && !leaves_first(u, &p->unit[best], room))
			continue;
		best = i;
		best_to = to;
		best_room = room;
	}
	if (best < 0)
		return false;
	do_move(p, best, best_to, BALANCE_SPREAD);
	return true;
}

static bool spread(struct plan *p)
{
	bool crowded = false;
	int cpu;

	for (cpu = 0; cpu < p->n_cpus; cpu++) {
		if (p->load[cpu] <= BALANCE_HIGH)
			continue;
		crowded = true;
		while (p->load[cpu] > BALANCE_FILL && p->moves < p->max && relieve_once(p, cpu))
			;
	}
	return crowded;
}

/* ---- gathering ----------------------------------------------------------- */

/* The used CPU with the least work that was not tried yet; of equals the last. */
static int pick_victim(const struct plan *p, const bool *tried)
{
	int cpu, best = -1;

	for (cpu = p->n_cpus - 1; cpu >= 0; cpu--) {
		if (!p->units[cpu] || tried[cpu])
			continue;
		if (best < 0 || p->load[cpu] < p->load[best] ||
		    (p->load[cpu] == p->load[best] && p->units[cpu] < p->units[best]))
			best = cpu;
	}
	return best;
}

static int fullest_with_room(const struct plan *p, const uint32_t *load, uint32_t more,
			     int but)
{
	int cpu, best = -1;

	for (cpu = 0; cpu < p->n_cpus; cpu++) {
		if (cpu == but || !p->units[cpu] || load[cpu] + more > BALANCE_FILL)
			continue;
		if (best < 0 || load[cpu] > load[best])
			best = cpu;
	}
	return best;
}

/* Can all that is on @cpu go elsewhere? Their `to` says where. */
static bool can_empty(struct plan *p, int cpu)
{
	uint32_t load[BALANCE_CPUS_MAX];
	int i, to;

	for (i = 0; i < p->n_cpus; i++)
		load[i] = p->load[i];
	for (i = 0; i < p->n; i++) {
		struct balance_unit *u = &p->unit[i];

		if (u->at != cpu)
			continue;
		to = u->fixed ? -1 : fullest_with_room(p, load, u->load, cpu);
		if (to < 0)
			return false;
		load[to] += u->load;
		u->to = to;
	}
	return true;
}

static void gather_all(struct plan *p)
{
	bool tried[BALANCE_CPUS_MAX] = { false };
	int i, cpu;

	while (p->moves < p->max && (cpu = pick_victim(p, tried)) >= 0) {
		tried[cpu] = true;
		if (!can_empty(p, cpu))
			continue;
		for (i = 0; i < p->n && p->moves < p->max; i++)
			if (p->unit[i].at == cpu)
				do_move(p, i, p->unit[i].to, BALANCE_GATHER);
	}
}

int balance_plan(struct balance_unit *unit, int n, const uint32_t *busy, int n_cpus, bool gather,
		 struct balance_move *move, int max)
{
	struct plan p = { .unit = unit, .n = n, .n_cpus = n_cpus, .move = move, .max = max };

	begin(&p, busy);
	if (!spread(&p) && gather)
		gather_all(&p);
	return p.moves;
}
