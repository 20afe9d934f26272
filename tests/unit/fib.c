// SPDX-License-Identifier: GPL-2.0-only
/*
 * fib.c - the FIB against a model, and under readers at full speed
 *
 * The reader here is the program's own (bpf/fib.h), compiled for this machine
 * over the same memory that the FIB is written to.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "adapter/fib.h"
#include "common/util.h"
#include "unit.h"

/* ---- what bpf/fib.h needs ------------------------------------------- */

static struct vmq_fib_bucket *table;
static uint64_t ctl;

struct frame {
	__u64 mac;
	__u16 rule;
};

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define READ_ONCE(x)			(*(const volatile __typeof__(x) *)&(x))
#define bpf_map_lookup_elem(map, key)	(&table[*(key)])

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../bpf/fib.h"
#pragma GCC diagnostic pop

/* ---- common --------------------------------------------------------- */

#define TABLE_BYTES	(2UL * VMQ_FIB_BUCKETS * sizeof(struct vmq_fib_bucket))
#define HALF_SLOTS	(VMQ_FIB_BUCKETS * VMQ_FIB_WAYS)
#define MAC		0x525400000000ULL

static unsigned int graces;
static int grace_rc;

static int count_grace(void *arg)
{
	(void)arg;
	graces++;
	return grace_rc;
}

static struct fib *fresh(int (*grace)(void *))
{
	struct fib *f = NULL;

	if (table)
		munmap(table, TABLE_BYTES);
	table = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED || fib_open(&f, table, &ctl, grace, NULL)) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	graces = 0;
	grace_rc = 0;
	return f;
}

static uint64_t rnd(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static uint32_t value(uint32_t queue, uint32_t slot)
{
	return VMQ_FIB_VALUE(VMQ_TARGET_SLOT, 0, queue, slot);
}

/* As a frame would see it. */
static uint32_t look(uint64_t key)
{
	return fib_lookup(load_acquire(&ctl), key);
}

/* ---- one by one ----------------------------------------------------- */

static void test_basics(void)
{
	struct fib *f = fresh(count_grace);
	uint64_t key = VMQ_FIB_KEY(MAC + 1, 100), other = VMQ_FIB_KEY(MAC + 2, 100);
	uint32_t i;

	is_int(look(key), 0, "an empty table matches nothing");
	is_int(fib_del(f, key), -ENOENT, "deleting what is not there is -ENOENT");
	is_int(fib_set(f, VMQ_FIB_EMPTY, value(1, 1)), -EINVAL, "the empty key is refused");
	is_int(fib_set(f, VMQ_FIB_TOMB, value(1, 1)), -EINVAL, "the tombstone key is refused");
	is_int(fib_set(f, key, 0), -EINVAL, "a value without a target is refused");
	is_int(fib_get(f, VMQ_FIB_TOMB), 0, "nothing is found under the tombstone key");

	is_int(fib_set(f, key, value(7, 9)), 0, "a filter is set");
	is_int(look(key), value(7, 9), "frames see it when the call returns");
	is_int(fib_get(f, key), value(7, 9), "and so does fib_get()");
	is_int(look(other), 0, "other keys match nothing");
	is_int(fib_count(f), 1, "one filter");
	is_int(fib_set(f, key, value(8, 3)), 0, "F-20 a filter is moved");
	is_int(look(key), value(8, 3), "F-20 frames see the new value");
	is_int(fib_count(f), 1, "still one filter");
	is_int(fib_del(f, key), 0, "it is deleted");
	is_int(look(key), 0, "F-16 frames do not see it when the call returns");
	is_int(fib_count(f), 0, "no filters");
	is_int(graces, 0, "none of that waited for a grace period");
	for (i = 0; i < 10000 && !fib_set(f, key, value(i & 511, 1)) && look(key) == value(i & 511, 1); i++)
		if (fib_del(f, key) || look(key))
			break;
	ok(i == 10000 && !graces, "nor does a filter that comes and goes 10,000 times");
	is_int(fib_commit(f), -EINVAL, "commit without begin is refused");
	fib_close(f);
}

static void test_any(void)
{
	struct fib *f = fresh(count_grace);
	struct frame fr = { .mac = MAC << 16, .rule = 5 };

	fib_set(f, VMQ_FIB_KEY(MAC, 5), value(1, 1));
	ok(!(ctl & VMQ_FIB_CTL_ANY), "without ANY rules frames are looked up once");
	fib_set(f, VMQ_FIB_KEY(MAC, VMQ_RULE_ANY), value(2, 2));
	ok(ctl & VMQ_FIB_CTL_ANY, "the first ANY rule turns the second look-up on");
	is_int(fib_match(ctl, &fr), value(1, 1), "the rule of the frame's VLAN comes first");
	fr.rule = 6;
	is_int(fib_match(ctl, &fr), value(2, 2), "then the ANY rule");
	fr.rule = VMQ_RULE_ANY;
	is_int(fib_match(ctl, &fr), value(2, 2), "a frame of no single VLAN matches ANY");
	fib_begin(f);
	fib_commit(f);
	ok(ctl & VMQ_FIB_CTL_ANY, "a rebuild keeps it on");
	fib_del(f, VMQ_FIB_KEY(MAC, VMQ_RULE_ANY));
	ok(!(ctl & VMQ_FIB_CTL_ANY), "deleting the last ANY rule turns it off");
	fib_close(f);
}

static void test_transactions(void)
{
	struct fib *f = fresh(count_grace);
	uint64_t a = VMQ_FIB_KEY(MAC + 1, 0), b = VMQ_FIB_KEY(MAC + 2, 0);

	fib_set(f, a, value(1, 1));
	is_int(fib_begin(f), 0, "a transaction begins");
	is_int(fib_begin(f), -EBUSY, "a second one is refused");
	fib_set(f, b, value(2, 2));
	fib_del(f, a);
	ok(look(a) == value(1, 1) && !look(b), "frames see nothing of an open transaction");
	ok(!fib_get(f, a) && fib_get(f, b) && fib_count(f) == 1, "its maker sees all of it");
	is_int(fib_commit(f), 0, "it is committed");
	ok(!look(a) && look(b) == value(2, 2), "frames see all of it");
	is_int(graces, 0, "an unused half needs no grace period");

	fib_begin(f);
	is_int(graces, 1, "a half that frames looked at needs one before it is cleared");
	fib_set(f, a, value(3, 3));
	fib_abort(f);
	ok(!look(a) && look(b) == value(2, 2) && fib_count(f) == 1, "an abort changes nothing");
	fib_begin(f);
	is_int(graces, 1, "a half that only an aborted transaction used needs none");
	fib_abort(f);

	fib_begin(f);
	fib_commit(f);
	grace_rc = -EINTR;
	is_int(fib_begin(f), -EINTR, "a grace period that fails, fails the begin");
	ok(look(b) == value(2, 2) && fib_count(f) == 1, "and nothing has changed");
	grace_rc = 0;
	is_int(fib_begin(f), 0, "the next begin succeeds");
	fib_abort(f);
	fib_close(f);
}

/* A half keeps its seed until all of it is written anew. */
static void test_behind(void)
{
	struct fib *f = fresh(count_grace);
	uint64_t key = VMQ_FIB_KEY(MAC + 1, 0), word[2];
	bool agrees = true;
	uint32_t i;

	for (i = 0; i < 5000; i++)
		fib_set(f, VMQ_FIB_KEY(MAC + i, 0), value(1, 1));
	word[0] = ctl;
	fib_begin(f);
	fib_commit(f);
	word[1] = ctl;
	for (i = 0; i < 2000; i++) {
		fib_begin(f);
		fib_set(f, key, value(2, i % 4096));
		fib_commit(f);
		agrees &= ctl == word[i % 2] && look(key) == value(2, i % 4096) &&
			  look(key + 65536) == value(1, 1);
	}
	ok(agrees, "a transaction writes what has changed, and not the table");
	fib_begin(f);
	fib_set(f, key, value(3, 1));
	fib_del(f, key + 65536);
	fib_abort(f);
	fib_begin(f);
	fib_commit(f);
	ok(look(key) == value(2, 1999 % 4096) && look(key + 65536) == value(1, 1) &&
	   ctl == word[0], "nor does what an aborted one has written come to light");
	for (i = 0; i < 10000; i++)
		fib_set(f, VMQ_FIB_KEY(MAC + i, 0), value(4, 4));
	fib_begin(f);
	fib_commit(f);
	ok(ctl != word[1] && look(key) == value(4, 4), "unless that is much");
	fib_close(f);
}

static void test_waits(void)
{
	struct fib *f = fresh(count_grace);
	uint32_t flips;

	ok(!fib_waits(f), "the first begin does not wait");
	fib_begin(f);
	fib_commit(f);
	ok(fib_waits(f), "the second does");
	flips = fib_flips(f);
	fib_passed(f, flips);
	ok(!fib_waits(f), "unless a grace period has passed");
	fib_begin(f);
	fib_commit(f);
	fib_passed(f, flips);
	ok(fib_waits(f), "since the last commit");
	is_int(graces, 0, "nobody has waited");
	fib_close(f);
}

/* ---- against a model ------------------------------------------------ */

#define UNIVERSE 3000

static uint64_t universe_key(uint32_t i)
{
	static const uint16_t rules[] = { 0, 1, 100, 4094, VMQ_RULE_ANY };

	return VMQ_FIB_KEY(MAC + i / 5, rules[i % 5]);
}

/*
 * EMPTY, then one key or TOMB without a value, and nothing else, as long as the half is
 * the same. @owner: whose each slot was.
 */
static bool slots_serve_one_key(uint64_t *owner, const struct vmq_fib_slot *now)
{
	uint32_t i;

	for (i = 0; i < HALF_SLOTS; i++) {
		if (now[i].key == VMQ_FIB_TOMB) {
			if (now[i].value)
				return false;
			continue;
		}
		if (owner[i] != VMQ_FIB_EMPTY && now[i].key != owner[i])
			return false;
		owner[i] = now[i].key;
	}
	return true;
}

static bool model_agrees(const struct fib *f, const uint32_t *model, bool frames)
{
	uint32_t i, n = 0;

	for (i = 0; i < UNIVERSE; i++) {
		n += model[i] != 0;
		if (fib_get(f, universe_key(i)) != model[i])
			return false;
		if (frames && look(universe_key(i)) != model[i])
			return false;
	}
	return fib_count(f) == n;
}

static void test_model(void)
{
	static uint64_t owner[HALF_SLOTS];
	static uint32_t model[UNIVERSE], saved[UNIVERSE];
	struct fib *f = fresh(count_grace);
	bool open = false, agrees = true, frozen = true, one_key = true;
	uint64_t word = 0;
	uint32_t i, k, v;
	int rc, want;

	for (i = 0; i < 400000; i++) {
		k = (uint32_t)(rnd() % UNIVERSE);
		if (rnd() % 100 < 55) {
			v = value((uint32_t)rnd() % 1024 + 1, (uint32_t)rnd() % 4096);
			agrees &= fib_set(f, universe_key(k), v) == 0;
			model[k] = v;
		} else {
			want = model[k] ? 0 : -ENOENT;
			rc = fib_del(f, universe_key(k));
			agrees &= rc == want;
			model[k] = 0;
		}
		if (open)
			frozen &= look(universe_key(k)) == saved[k];
		else
			agrees &= look(universe_key(k)) == model[k];

		if (rnd() % 500)
			continue;
		agrees &= model_agrees(f, model, !open);
		if (!open) {
			if (word != ctl)
				memset(owner, 0, sizeof(owner));
			word = ctl;
			one_key &= slots_serve_one_key(owner, table[ctl & 1 ? VMQ_FIB_BUCKETS : 0].slot);
			open = rnd() % 2 && !fib_begin(f);
			memcpy(saved, model, sizeof(model));
		} else if (rnd() % 3) {
			fib_commit(f);
			open = false;
		} else {
			fib_abort(f);
			open = false;
			memcpy(model, saved, sizeof(model));
		}
	}
	ok(agrees, "400,000 random changes agree with a model");
	ok(frozen, "frames see an open transaction's past, always");
	ok(one_key, "no slot served a second key within a half");
	fib_close(f);
}

/* ---- full ----------------------------------------------------------- */

static uint64_t seq_key(uint32_t i)	{ return VMQ_FIB_KEY(MAC + i, 0); }
static uint64_t vlan_key(uint32_t i)	{ return VMQ_FIB_KEY(MAC + i / 4094, i % 4094 + 1); }
static uint64_t stride_key(uint32_t i)	{ return VMQ_FIB_KEY(MAC + i * 256ULL, 7); }
static uint64_t oui_key(uint32_t i)	{ return VMQ_FIB_KEY(((uint64_t)i << 26) | 2, 0); }

static uint64_t random_key(uint32_t i)
{
	uint64_t h = (i + 1) * 0xd1342543de82ef95ULL;

	return VMQ_FIB_KEY((h >> 16) & 0xfeffffffffffULL, h % 4095);
}

/* Slots that a look-up of @key reads. */
static uint32_t probes(uint64_t key)
{
	uint32_t half = ctl & VMQ_FIB_CTL_HALF ? HALF_SLOTS : 0;
	uint32_t first = vmq_fib_hash(key, VMQ_FIB_CTL_SEED(ctl)) * VMQ_FIB_WAYS, i;

	for (i = 0; table[0].slot[half + ((first + i) & (HALF_SLOTS - 1))].key != key; i++)
		;
	return i + 1;
}

static void test_full(const char *name, uint64_t (*key)(uint32_t))
{
	struct fib *f = fresh(count_grace);
	uint32_t i, longest = 0, good = 0;
	uint64_t sum = 0;
	int rc = 0;

	for (i = 0; i < VMQ_FILTERS_MAX && !rc; i++)
		rc = fib_set(f, key(i), value(i % 1024 + 1, i % 4096));
	is_int(rc, 0, "65,536 filters fit (%s)", name);
	for (i = 0; i < VMQ_FILTERS_MAX && !rc; i++) {
		good += look(key(i)) == value(i % 1024 + 1, i % 4096);
		sum += probes(key(i));
		longest = MAX(longest, probes(key(i)));
	}
	is_int(good, VMQ_FILTERS_MAX, "and frames find every one (%s)", name);
	diag("%s: %.2f slots read on average, %u at most, %u allowed; %u rebuilds", name,
	     (double)sum / VMQ_FILTERS_MAX, longest, VMQ_FIB_PROBES * VMQ_FIB_WAYS, graces);
	is_int(fib_set(f, VMQ_FIB_KEY(2, 4094), value(1, 1)), -ENOSPC,
	       "F-18 one more is refused (%s)", name);
	is_int(fib_set(f, key(5), value(3, 3)), 0, "moving is still possible (%s)", name);
	is_int(fib_count(f), VMQ_FILTERS_MAX, "F-18 and nothing was lost (%s)", name);
	fib_close(f);
}

static void test_churn(void)
{
	struct fib *f = fresh(count_grace);
	uint32_t i, good = 0;
	int rc = 0;

	for (i = 0; i < VMQ_FILTERS_MAX && !rc; i++)
		rc = fib_set(f, seq_key(i), value(1, i % 4096));
	/* The oldest goes, a new one comes: dead slots pile up. */
	for (; i < 3 * VMQ_FILTERS_MAX && !rc; i++) {
		rc = fib_del(f, seq_key(i - VMQ_FILTERS_MAX));
		if (!rc)
			rc = fib_set(f, seq_key(i), value(1, i % 4096));
	}
	is_int(rc, 0, "131,072 changes of a full table succeed");
	for (i = 2 * VMQ_FILTERS_MAX; i < 3 * VMQ_FILTERS_MAX; i++)
		good += look(seq_key(i)) == value(1, i % 4096);
	is_int(good, VMQ_FILTERS_MAX, "and frames find every filter");
	ok(graces >= 6 && graces <= 10, "with a rebuild every 16,384 or so (%u)", graces);

	grace_rc = -EIO;
	for (rc = 0; !rc && i < 5 * VMQ_FILTERS_MAX; i++) {
		rc = fib_del(f, seq_key(i - VMQ_FILTERS_MAX));
		if (!rc)
			rc = fib_set(f, seq_key(i), value(1, i % 4096));
	}
	is_int(rc, -EIO, "a rebuild whose grace period fails, fails the change");
	is_int(fib_count(f), VMQ_FILTERS_MAX - 1, "and leaves the table as it was");
	is_int(look(seq_key(i - 2)), value(1, (i - 2) % 4096), "readable");
	fib_close(f);
}

/* ---- under readers -------------------------------------------------- */

#define READERS		2
#define KEYS		512	/* the upper half of them is never deleted */
#define PAIRS		8	/* filters that change only two at a time */
#define MOVED_KEY	VMQ_FIB_KEY(MAC + 0xfffff, 0)
#define RUN_NS		1500000000ULL
#define ENOUGH		11	/* transactions */

static struct reader {
	pthread_t thread;
	uint64_t seq;		/* look-ups done: a quiet point after each */
	uint64_t wrong;		/* another key's value */
	uint64_t lost;		/* a filter that is always there was not found */
	uint64_t torn;		/* two filters of one transaction, or two parts of one
				 * value, disagreed */
} readers[READERS];

static uint64_t hot[2];		/* two keys of one bucket, set and deleted in turn */
static bool stop;

static uint64_t run_key(uint32_t i)
{
	return VMQ_FIB_KEY(MAC + i, i % 3 ? 0 : 100);
}

static uint64_t pair_key(uint32_t i, uint32_t which)
{
	return VMQ_FIB_KEY(MAC + 0x10000 + i, 1 + which);
}

static int reader_grace(void *arg)
{
	uint64_t deadline = now_ns() + 5000000000ULL, seen;
	int i;

	(void)arg;
	graces++;
	for (i = 0; i < READERS; i++) {
		seen = load_acquire(&readers[i].seq);
		while (load_acquire(&readers[i].seq) == seen && now_ns() < deadline)
			sched_yield();
	}
	return 0;
}

/* Any keys, slowly; and pairs of filters that change together. */
static void read_all(struct reader *r, uint32_t i, uint64_t word)
{
	uint32_t v, x, y;

	v = fib_lookup(word, run_key(i));
	if (v && VMQ_FIB_QUEUE(v) != i + 1)
		r->wrong++;
	if (!v && i >= KEYS / 2)
		r->lost++;
	x = fib_lookup(word, pair_key(i % PAIRS, 0));
	y = fib_lookup(word, pair_key(i % PAIRS, 1));
	if (VMQ_FIB_SLOT(x) != VMQ_FIB_SLOT(y))
		r->torn++;
}

/* The few slots that are written all the time. */
static void read_hot(struct reader *r, uint64_t word)
{
	uint32_t i, v;

	for (i = 0; i < 2; i++) {
		v = fib_lookup(word, load_relaxed(&hot[i]));
		if (v && VMQ_FIB_QUEUE(v) != i + 1)
			r->wrong++;
	}
	v = fib_lookup(word, MOVED_KEY);
	if (!v)
		r->lost++;
	else if (VMQ_FIB_QUEUE(v) != VMQ_FIB_SLOT(v))
		r->torn++;
}

/* A frame takes the control word once; everything follows from it. */
static void *reader_run(void *arg)
{
	struct reader *r = arg;
	uint32_t i = 0;
	uint64_t word;

	while (!load_relaxed(&stop)) {
		i = (i + 1) % KEYS;
		word = READ_ONCE(ctl);
		if (i % 16)
			read_hot(r, word);
		else
			read_all(r, (uint32_t)(r->seq / 16 % KEYS), word);
		store_release(&r->seq, r->seq + 1);
	}
	return NULL;
}

/* The queue of a value names its key, so a value read for a wrong key shows. */
static uint32_t run_value(uint32_t i)
{
	return value(i + 1, (uint32_t)rnd() % 4096);
}

static void change_pairs(struct fib *f, uint32_t generation)
{
	uint32_t i;

	if (fib_begin(f))
		return;
	for (i = 0; i < PAIRS; i++) {
		fib_set(f, pair_key(i, 0), value(1, generation % 4096));
		fib_set(f, pair_key(i, 1), value(1, generation % 4096));
	}
	if (generation % 4)
		fib_commit(f);
	else
		fib_abort(f);
}

/*
 * Two keys of one bucket come and go in turn, and one filter is moved: what a
 * reader must not mix up lies as close together as it can.
 */
static void change_hot(struct fib *f)
{
	uint32_t first, i;
	uint64_t a, b;

	/* Even and odd numbers: a key that was the first is never the second. */
	a = VMQ_FIB_KEY(MAC + 0x20000 + rnd() % 0x10000 * 2, 9);
	first = vmq_fib_hash(a, VMQ_FIB_CTL_SEED(ctl));
	for (b = a + (1 << 16); vmq_fib_hash(b, VMQ_FIB_CTL_SEED(ctl)) != first; b += 2 << 16)
		;
	store_relaxed(&hot[0], a);
	store_relaxed(&hot[1], b);
	for (i = 0; i < 12; i++) {
		fib_set(f, a, value(1, 7));
		fib_set(f, MOVED_KEY, value(0xaaa, 0xaaa));
		fib_del(f, a);
		fib_set(f, b, value(2, 7));
		fib_set(f, MOVED_KEY, value(0x555, 0x555));
		fib_del(f, b);
	}
}

static void test_readers(void)
{
	struct fib *f = fresh(reader_grace);
	uint64_t end, seq = 0, wrong = 0, lost = 0, torn = 0, changes = 0;
	uint32_t i, k, generation = 0;

	for (i = KEYS / 2; i < KEYS; i++)
		fib_set(f, run_key(i), run_value(i));
	fib_set(f, MOVED_KEY, value(0xaaa, 0xaaa));
	for (i = 0; i < READERS; i++)
		pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]);

	/* An emulated machine needs longer for enough of them. */
	end = now_ns() + RUN_NS;
	while (now_ns() < end || generation < ENOUGH) {
		for (i = 0; i < 100; i++)
			change_hot(f);
		for (i = 0; i < 100000; i++)
			fib_set(f, MOVED_KEY, i & 1 ? value(0xaaa, 0xaaa) : value(0x555, 0x555));
		for (i = 0; i < 2000; i++, changes++) {
			k = (uint32_t)(rnd() % KEYS);
			if (k < KEYS / 2 && rnd() % 2)
				fib_del(f, run_key(k));
			else
				fib_set(f, run_key(k), run_value(k));
		}
		change_pairs(f, ++generation);
	}
	store_relaxed(&stop, true);
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		seq += readers[i].seq;
		wrong += readers[i].wrong;
		lost += readers[i].lost;
		torn += readers[i].torn;
	}
	diag("%llu frames, %llu changes, %u transactions, %u grace periods",
	     (unsigned long long)seq, (unsigned long long)changes, generation, graces);
	ok(seq > 100000 && generation >= ENOUGH, "readers and writer both ran");
	is_int(wrong, 0, "no reader saw another key's value: no torn slot");
	is_int(lost, 0, "F-20 no reader missed a filter that was moved, never deleted");
	is_int(torn, 0, "F-20 no reader saw half a transaction");
	fib_close(f);
}

int main(void)
{
	test_basics();
	test_any();
	test_transactions();
	test_behind();
	test_waits();
	test_model();
	test_full("consecutive MACs", seq_key);
	test_full("16 MACs on all VLANs", vlan_key);
	test_full("MACs 256 apart", stride_key);
	test_full("MACs that differ in their vendor", oui_key);
	test_full("random", random_key);
	test_churn();
	test_readers();
	return unit_done();
}
