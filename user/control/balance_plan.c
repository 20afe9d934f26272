// SPDX-License-Identifier: GPL-2.0-only
/*
 * balance_plan.c - which queues, and which parts of them, should run on other CPUs
 *
 * Relief comes first, and as long as a CPU needs it nothing is gathered. A unit
 * leaves a crowded CPU for the fullest used one that has room, else for a CPU
 * that nobody uses, else for any where it is clearly better off. The last kind of
 * move takes load L + x <= H - BALANCE_GAIN, or less, to where L was, so the sum of squares
 * of the CPUs' loads falls with each of them, and they come to an end.
 *
 * Where no unit can leave one is split, to CPUs of the same three kinds: half of
 * its load goes, or what there is room for; of the last kind so much that the two
 * CPUs meet. Whole entries go, the busiest first that fit, and never less than is
 * worth while: the argument above holds for splits as well, and an entry that is
 * too much for a CPU (one flow) is moved about by nobody.
 *
 * Gathering empties the least used CPU, whole or not at all, into the others; two
 * units of one queue that meet become one.
 *
 * With 64 CPUs and 4,096 units a plan is some million steps at worst, once a
 * second; nothing here is worth an index.
 */
#include "control/balance_plan.h"

#include "common/util.h"

struct plan {
	struct balance_set *set;
	struct balance_unit *unit;
	int n_cpus;
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

	for (i = 0; i < p->set->n; i++)
		if (p->unit[i].table)
			p->unit[i].table->on = 0;
	for (i = 0; i < p->set->n; i++) {
		struct balance_unit *u = &p->unit[i];

		sum[u->at] += u->load;
		p->units[u->at]++;
		u->refused = u->table && !u->fixed ? 0 : UINT64_MAX;
		if (u->table)
			u->table->on |= 1ULL << u->at;
	}
	/* Two clocks measure them; the parts are never more than the whole. */
	for (i = 0; i < p->n_cpus; i++)
		p->load[i] = MAX(busy[i], sum[i]);
}

static void note(struct plan *p, const struct balance_unit *u, uint16_t to, uint16_t entries,
		 enum balance_why why)
{
	p->move[p->moves++] = (struct balance_move){
		.queue = u->queue, .from = u->at, .to = to, .entries = entries, .why = why,
	};
}

/* The unit of @u's queue on @cpu, or NULL. */
static struct balance_unit *sibling_on(const struct plan *p, const struct balance_unit *u,
				       uint16_t cpu)
{
	int i;

	for (i = 0; u->table && u->table->on >> cpu & 1 && i < p->set->n; i++)
		if (p->unit[i].table == u->table && p->unit[i].at == cpu)
			return &p->unit[i];
	return NULL;
}

/* All of @u: its entries on that CPU go along, and where its queue is already it joins. */
static void do_move(struct plan *p, struct balance_unit *u, uint16_t to, enum balance_why why)
{
	struct balance_unit *there = sibling_on(p, u, to);
	struct balance_table *t = u->table;
	uint16_t from = u->at, moved = 0;
	int i;

	for (i = 0; t && i < t->entries; i++) {
		if (t->at[i] != from)
			continue;
		t->at[i] = to;
		moved++;
	}
	note(p, u, to, moved, why);
	if (t)
		t->on = (t->on & ~(1ULL << from)) | 1ULL << to;
	p->load[from] -= u->load;
	p->units[from]--;
	p->load[to] += u->load;
	if (there) {
		there->load += u->load;
		u->at = BALANCE_GONE;
		return;
	}
	p->units[to]++;
	u->at = to;
}

/* ---- relief -------------------------------------------------------------- */

/* From the best to the worst place to go. */
enum room { ROOM_USED, ROOM_NEW, ROOM_BETTER, ROOM_NONE };

/* What a move without room must gain: is there somebody who waits, or is it for evenness? */
static uint32_t least_gain(const struct plan *p, int cpu)
{
	return p->load[cpu] >= BALANCE_FULL ? BALANCE_GAIN : BALANCE_EVEN;
}

static enum room room_on(const struct plan *p, const struct balance_unit *u, int cpu)
{
	uint32_t after = p->load[cpu] + u->load;

	/* Alone on another CPU it would be no better off. */
	if (cpu == u->at || after + BALANCE_GAIN > p->load[u->at])
		return ROOM_NONE;
	if (!p->units[cpu])
		return ROOM_NEW;
	if (after <= BALANCE_FILL)
		return ROOM_USED;
	return after + least_gain(p, u->at) <= p->load[u->at] ? ROOM_BETTER : ROOM_NONE;
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

	for (i = 0; i < p->set->n; i++) {
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
	do_move(p, &p->unit[best], (uint16_t)best_to, BALANCE_SPREAD);
	return true;
}

/* ---- splitting ----------------------------------------------------------- */

/*
 * The least that is worth a split. How much more a full CPU has to do cannot be
 * seen, so there less is enough.
 */
static uint32_t least_part(const struct plan *p, int cpu, enum room room)
{
	if (room != ROOM_BETTER)
		return BALANCE_GAIN;
	return p->load[cpu] >= BALANCE_FULL ? BALANCE_GAIN * 3 / 4 : BALANCE_EVEN;
}

/* How much of @u could go to @cpu. */
static uint32_t part_for(const struct plan *p, const struct balance_unit *u, int cpu,
			 enum room *room)
{
	bool there = u->table && u->table->on >> cpu & 1;
	uint32_t half = u->load / 2;

	*room = ROOM_NONE;
	if (cpu == u->at || u->refused >> cpu & 1)
		return 0;
	/* One more CPU, and one more unit. */
	if (!there && (__builtin_popcountll(u->table->on) >= u->table->most ||
		       p->set->n == p->set->room))
		return 0;
	if (!p->units[cpu]) {
		*room = ROOM_NEW;
		return half;
	}
	if (p->load[cpu] + BALANCE_GAIN <= BALANCE_FILL) {
		*room = ROOM_USED;
		return MIN(half, BALANCE_FILL - p->load[cpu]);
	}
	if (p->load[cpu] >= p->load[u->at])
		return 0;
	*room = ROOM_BETTER;
	return MIN(half, (p->load[u->at] - p->load[cpu]) / 2);
}

/* The busiest entries of @u that fit in @part, into @pick. Return: their load. */
static uint32_t pick_entries(const struct balance_unit *u, uint32_t part,
			     uint16_t pick[BALANCE_ENTRIES_MAX], int *n)
{
	const struct balance_table *t = u->table;
	uint16_t order[BALANCE_ENTRIES_MAX];
	uint32_t sum = 0;
	int i, k, all = 0;

	for (i = 0; i < t->entries; i++) {
		if (t->at[i] != u->at || !t->load[i])
			continue;
		for (k = all++; k > 0 && t->load[order[k - 1]] < t->load[i]; k--)
			order[k] = order[k - 1];
		order[k] = (uint16_t)i;
	}
	for (i = 0, *n = 0; i < all; i++) {
		if (sum + t->load[order[i]] > part)
			continue;
		sum += t->load[order[i]];
		pick[(*n)++] = order[i];
	}
	return sum;
}

/* @load of @u, in those entries, goes to @to. */
static void do_split(struct plan *p, struct balance_unit *u, uint16_t to, const uint16_t *entry,
		     int n, uint32_t load)
{
	struct balance_unit *there = sibling_on(p, u, to);
	int i;

	note(p, u, to, (uint16_t)n, BALANCE_SPREAD);
	for (i = 0; i < n; i++)
		u->table->at[entry[i]] = to;
	if (!there) {
		there = &p->unit[p->set->n++];
		*there = *u;
		there->at = to;
		there->load = 0;
		there->refused = UINT64_MAX;	/* enough for now */
		p->units[to]++;
		u->table->on |= 1ULL << to;
	}
	there->load += load;
	u->load -= load;
	p->load[u->at] -= load;
	p->load[to] += load;
}

static bool split_once(struct plan *p, int cpu)
{
	enum room room, best_room = ROOM_NONE;
	uint16_t entry[BALANCE_ENTRIES_MAX];
	struct balance_unit *best = NULL;
	uint32_t part, most = 0, load;
	int i, to, best_to = 0, n;

	for (i = 0; i < p->set->n; i++) {
		struct balance_unit *u = &p->unit[i];

		for (to = 0; u->at == cpu && to < p->n_cpus; to++) {
			part = part_for(p, u, to, &room);
			if (part < least_part(p, cpu, room) || room > best_room ||
			    (room == best_room && part <= most))
				continue;
			best = u;
			best_to = to;
			best_room = room;
			most = part;
		}
	}
	if (!best)
		return false;
	load = pick_entries(best, most, entry, &n);
	if (load < least_part(p, cpu, best_room))
		best->refused |= 1ULL << best_to;	/* its entries do not make that up */
	else
		do_split(p, best, (uint16_t)best_to, entry, n, load);
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
		while (p->load[cpu] > BALANCE_FILL && p->moves < p->max &&
		       (relieve_once(p, cpu) || split_once(p, cpu)))
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
	for (i = 0; i < p->set->n; i++) {
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
		for (i = 0; i < p->set->n && p->moves < p->max; i++)
			if (p->unit[i].at == cpu)
				do_move(p, &p->unit[i], p->unit[i].to, BALANCE_GATHER);
	}
}

int balance_plan(struct balance_set *s, struct balance_move *move, int max)
{
	struct plan p = {
		.set = s, .unit = s->unit, .n_cpus = s->n_cpus, .move = move, .max = max,
	};

	begin(&p, s->busy);
	if (!spread(&p) && s->gather)
		gather_all(&p);
	return p.moves;
}
