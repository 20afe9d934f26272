// SPDX-License-Identifier: GPL-2.0-only
/*
 * fib.c - the table a frame is looked up in, written while frames read it
 *
 * The readers are XDP programs on any number of CPUs; they take no lock and
 * cannot be stopped. So a change is always one that a reader may meet half way:
 *
 *   set a new key   value first, then the key, into a slot that was never used
 *                   since its half was cleared
 *   move            one aligned 32-bit store of the value
 *   delete          the key becomes a tombstone and the slot is dead: given to
 *                   another key, a reader that had just compared the old key
 *                   would take the new key's value, another VM's queue. The
 *                   same key may have it back: the shadow knows whose it was
 *   many at once    all of it in the half that no frame looks at, then one
 *                   64-bit store of the control word
 *
 * Dead slots add up, so from time to time the live keys are written into the
 * other half; that is an ordinary transaction without changes. A half that
 * frames have looked at is written only after a grace period.
 *
 * The half that no frame looks at was the table once, and lacks what has changed
 * since: those keys are noted. A transaction begins by changing them there, too, so
 * it costs what changes and not what there is; only when they are many, or the
 * half is full of dead slots, all live keys are written anew.
 *
 * The table's truth is a shadow in private memory. The mapping is written and
 * never read: it belongs to whoever can open the pinned map, and a stray write
 * there must not lead us astray.
 *
 * Memory order: the release stores order value before key for readers on every
 * CPU; what a reader does about its own loads is told in bpf/fib.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "adapter/fib.h"
#include "common/util.h"

#define HALF_SLOTS	(VMQ_FIB_BUCKETS * VMQ_FIB_WAYS)
#define PROBE_SLOTS	(VMQ_FIB_PROBES * VMQ_FIB_WAYS)

/*
 * Live and dead slots at which a half is rebuilt, 5/8. Searches stay short (a
 * miss walks to the first empty slot), and at VMQ_FILTERS_MAX there are still
 * 16,384 changes between two rebuilds.
 */
#define USED_MAX	(HALF_SLOTS / 8 * 5)

/*
 * A seed is bad if some key finds no empty slot within the probes. At full load
 * the fullest neighbourhood takes 6 to 12 buckets, of 16 allowed; not one of 800
 * simulated seeds was bad. 16 bad ones in a row: the keys were made for it.
 */
#define SEED_TRIES	16

#define DEAD	1u

/* Keys that the halves may differ in: above that, writing all is as cheap. */
#define BEHIND_MAX	8192u

enum half_state {
	HALF_CLEAN,		/* all slots empty */
	HALF_DIRTY,		/* written, but frames never looked here */
	HALF_SEEN,		/* frames look or looked here: grace before clearing */
};

struct half {
	struct vmq_fib_slot *map;	/* written only */
	struct vmq_fib_slot *shadow;	/* a dead slot keeps its key; pad is DEAD then */
	enum half_state state;
	uint32_t seed;
	uint32_t live;
	uint32_t used;		/* live and dead slots */
	uint32_t any;		/* live keys with rule ANY */
};

struct fib {
	struct half half[2];
	int active;		/* index of the half frames look at */
	bool building;		/* a transaction is open, in the other half */
	bool broken;		/* ... and has lost keys: it can only be aborted */
	uint32_t flips;		/* transactions committed */
	uint64_t *behind;	/* keys in which the halves may differ */
	uint32_t n_behind;	/* beyond BEHIND_MAX: everywhere */
	uint64_t *ctl;
	int (*grace)(void *arg);
	void *arg;
	struct vmq_fib_slot *list;	/* scratch: live entries during a rebuild */
};

static bool key_is_any(uint64_t key)
{
	return (uint16_t)key == VMQ_RULE_ANY;
}

/* ---- one half --------------------------------------------------------------- */

static uint32_t half_slot(const struct half *h, uint64_t key, uint32_t probe)
{
	return (vmq_fib_hash(key, h->seed) * VMQ_FIB_WAYS + probe) & (HALF_SLOTS - 1);
}

/* Return: index of @key's slot, or -ENOENT. */
static int half_find(const struct half *h, uint64_t key)
{
	uint32_t probe, i;

	for (probe = 0; probe < PROBE_SLOTS; probe++) {
		i = half_slot(h, key, probe);
		if (h->shadow[i].key == key)
			return h->shadow[i].pad == DEAD ? -ENOENT : (int)i;
		if (h->shadow[i].key == VMQ_FIB_EMPTY)
			break;
	}
	return -ENOENT;
}

/* Put in a key that is not there. Return: 0, or -ENOSPC: no empty slot in reach. */
static int half_put(struct half *h, uint64_t key, uint32_t value)
{
	uint32_t probe, i;

	for (probe = 0; probe < PROBE_SLOTS; probe++) {
		i = half_slot(h, key, probe);
		if (h->shadow[i].key == VMQ_FIB_EMPTY || h->shadow[i].key == key)
			break;
	}
	if (probe == PROBE_SLOTS)
		return -ENOSPC;

	h->used += h->shadow[i].key == VMQ_FIB_EMPTY;
	h->shadow[i] = (struct vmq_fib_slot){ .key = key, .value = value };
	store_relaxed(&h->map[i].value, value);
	store_release(&h->map[i].key, key);
	h->live++;
	h->any += key_is_any(key);
	return 0;
}

static void half_move(struct half *h, int i, uint32_t value)
{
	h->shadow[i].value = value;
	store_release(&h->map[i].value, value);
}

static void half_kill(struct half *h, int i)
{
	h->any -= key_is_any(h->shadow[i].key);
	h->live--;
	h->shadow[i].pad = DEAD;
	store_release(&h->map[i].key, VMQ_FIB_TOMB);
	/* Or a frame that sees the key's next life early would get the last one's value. */
	store_relaxed(&h->map[i].value, 0);
}

/* Empty the half and give it a new seed. No frame may be looking. */
static void half_clear(struct half *h)
{
	if (h->state != HALF_CLEAN) {
		memset(h->map, 0, HALF_SLOTS * sizeof(*h->map));
		memset(h->shadow, 0, HALF_SLOTS * sizeof(*h->shadow));
	}
	h->state = HALF_CLEAN;
	h->live = h->used = h->any = 0;
	/* The kernel's generator does not fail for so few bytes once it is up. */
	while (getrandom(&h->seed, sizeof(h->seed), 0) != sizeof(h->seed))
		;
}

/* The live entries of @h, into @list. Return: how many. */
static uint32_t half_collect(const struct half *h, struct vmq_fib_slot *list)
{
	uint32_t i, n = 0;

	for (i = 0; i < HALF_SLOTS && n < h->live; i++) {
		if (h->shadow[i].key != VMQ_FIB_EMPTY && h->shadow[i].pad != DEAD)
			list[n++] = h->shadow[i];
	}
	return n;
}

/* Make @h hold exactly @list. No frame may be looking. Return: 0 or -ENOSPC. */
static int half_load(struct half *h, const struct vmq_fib_slot *list, uint32_t n)
{
	uint32_t i;
	int try, rc;

	for (try = 0; try < SEED_TRIES; try++) {
		half_clear(h);
		h->state = HALF_DIRTY;
		for (i = 0, rc = 0; i < n && !rc; i++)
			rc = half_put(h, list[i].key, list[i].value);
		if (!rc)
			return 0;
	}
	return -ENOSPC;
}

/* ---- the table -------------------------------------------------------------- */

/* The half that changes go to and questions are answered from. */
static int fib_side(const struct fib *f)
{
	return f->building ? !f->active : f->active;
}

static void fib_publish(struct fib *f)
{
	const struct half *h = &f->half[f->active];
	uint64_t word = (uint64_t)h->seed << VMQ_FIB_CTL_SEED_SHIFT;

	if (f->active)
		word |= VMQ_FIB_CTL_HALF;
	if (h->any)
		word |= VMQ_FIB_CTL_ANY;
	store_release(f->ctl, word);
}

/* "There are ANY rules" follows the first and the last of them. */
static void fib_publish_any(struct fib *f, bool had_any)
{
	if (!f->building && had_any != (f->half[f->active].any > 0))
		fib_publish(f);
}

int fib_open(struct fib **out, struct vmq_fib_bucket *buckets, uint64_t *ctl,
	     int (*grace)(void *arg), void *arg)
{
	struct fib *f = calloc(1, sizeof(*f));
	int i;

	if (!f)
		return -ENOMEM;
	f->ctl = ctl;
	f->grace = grace;
	f->arg = arg;
	f->list = calloc(VMQ_FILTERS_MAX + 1, sizeof(*f->list));
	f->behind = calloc(BEHIND_MAX, sizeof(*f->behind));
	for (i = 0; i < 2; i++) {
		f->half[i].map = buckets[i * VMQ_FIB_BUCKETS].slot;
		f->half[i].shadow = calloc(HALF_SLOTS, sizeof(*f->half[i].shadow));
	}
	if (!f->list || !f->behind || !f->half[0].shadow || !f->half[1].shadow) {
		fib_close(f);
		return -ENOMEM;
	}
	for (i = 0; i < 2; i++)
		half_clear(&f->half[i]);
	f->half[0].state = HALF_SEEN;
	fib_publish(f);
	*out = f;
	return 0;
}

void fib_close(struct fib *f)
{
	if (!f)
		return;
	free(f->half[0].shadow);
	free(f->half[1].shadow);
	free(f->list);
	free(f->behind);
	free(f);
}

uint32_t fib_count(const struct fib *f)
{
	return f->half[fib_side(f)].live;
}

uint32_t fib_get(const struct fib *f, uint64_t key)
{
	const struct half *h = &f->half[fib_side(f)];
	int i;

	if (key == VMQ_FIB_EMPTY || key == VMQ_FIB_TOMB)
		return 0;
	i = half_find(h, key);
	return i < 0 ? 0 : h->shadow[i].value;
}

static void fib_note(struct fib *f, uint64_t key)
{
	if (f->n_behind < BEHIND_MAX)
		f->behind[f->n_behind] = key;
	if (f->n_behind <= BEHIND_MAX)
		f->n_behind++;
}

/* Make the idle half say what the other does, key by key. False: not that way. */
static bool fib_catch_up(struct fib *f)
{
	const struct half *now = &f->half[f->active];
	struct half *idle = &f->half[!f->active];

	if (f->n_behind > BEHIND_MAX)
		return false;
	if (f->n_behind && idle->state == HALF_CLEAN)
		idle->state = HALF_DIRTY;
	while (f->n_behind) {
		uint64_t key = f->behind[f->n_behind - 1];
		int from = half_find(now, key), to = half_find(idle, key);

		if (from < 0 && to >= 0)
			half_kill(idle, to);
		else if (from >= 0 && to >= 0)
			half_move(idle, to, now->shadow[from].value);
		else if (from >= 0 && (idle->used >= USED_MAX ||
				       half_put(idle, key, now->shadow[from].value)))
			return false;
		f->n_behind--;
	}
	return true;
}

/* Begin; @anew: without the dead slots that the idle half has. */
static int fib_prepare(struct fib *f, bool anew)
{
	struct half *idle = &f->half[!f->active];
	int rc;

	if (f->building)
		return -EBUSY;
	if (idle->state == HALF_SEEN) {
		rc = f->grace(f->arg);
		if (rc)
			return rc;
		idle->state = HALF_DIRTY;
	}
	if (anew || !fib_catch_up(f)) {
		f->n_behind = BEHIND_MAX + 1;
		rc = half_load(idle, f->list, half_collect(&f->half[f->active], f->list));
		if (rc)
			return rc;
		f->n_behind = 0;
	}
	f->building = true;
	f->broken = false;
	return 0;
}

int fib_begin(struct fib *f)
{
	return fib_prepare(f, false);
}

bool fib_waits(const struct fib *f)
{
	return f->half[!f->active].state == HALF_SEEN;
}

uint32_t fib_flips(const struct fib *f)
{
	return f->flips;
}

void fib_passed(struct fib *f, uint32_t flips)
{
	struct half *idle = &f->half[!f->active];

	if (flips == f->flips && idle->state == HALF_SEEN)
		idle->state = HALF_DIRTY;
}

int fib_commit(struct fib *f)
{
	if (!f->building)
		return -EINVAL;
	if (f->broken)
		return -ENOSPC;
	f->building = false;
	f->active = !f->active;
	f->flips++;
	f->half[f->active].state = HALF_SEEN;
	fib_publish(f);
	return 0;
}

void fib_abort(struct fib *f)
{
	f->building = false;
}

/* No slot for @key in reach, or too many dead ones: rebuild with @key in it. */
static int fib_rebuild_with(struct fib *f, uint64_t key, uint32_t value)
{
	struct half *h;
	uint32_t n;
	int rc;

	if (!f->building) {
		rc = fib_prepare(f, true);
		if (rc)
			return rc;
		rc = fib_set(f, key, value);
		if (rc) {
			fib_abort(f);
			return rc;
		}
		return fib_commit(f);
	}
	h = &f->half[fib_side(f)];
	n = half_collect(h, f->list);
	f->list[n++] = (struct vmq_fib_slot){ .key = key, .value = value };
	rc = half_load(h, f->list, n);
	f->broken = rc != 0;
	if (f->broken)
		f->n_behind = BEHIND_MAX + 1;
	return rc;
}

int fib_set(struct fib *f, uint64_t key, uint32_t value)
{
	struct half *h = &f->half[fib_side(f)];
	bool had_any = h->any > 0;
	int i;

	if (key == VMQ_FIB_EMPTY || key == VMQ_FIB_TOMB ||
	    VMQ_FIB_TARGET(value) == VMQ_TARGET_NONE)
		return -EINVAL;
	fib_note(f, key);
	i = half_find(h, key);
	if (i >= 0) {
		half_move(h, i, value);
		return 0;
	}
	if (h->live >= VMQ_FILTERS_MAX || (f->building && f->broken))
		return -ENOSPC;
	if (h->used >= USED_MAX || half_put(h, key, value))
		return fib_rebuild_with(f, key, value);
	fib_publish_any(f, had_any);
	return 0;
}

int fib_del(struct fib *f, uint64_t key)
{
	struct half *h = &f->half[fib_side(f)];
	bool had_any = h->any > 0;
	int i;

	if (key == VMQ_FIB_EMPTY || key == VMQ_FIB_TOMB)
		return -ENOENT;
	i = half_find(h, key);
	if (i < 0)
		return i;
	fib_note(f, key);
	half_kill(h, i);
	fib_publish_any(f, had_any);
	return 0;
}
