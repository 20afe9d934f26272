/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fib.h - the table a frame is looked up in, written from user space
 *
 * The FIB is compiled from the filters of Running queues and of drop filters.
 * It lives in a mapped BPF array that the XDP program reads at all times, so
 * every change here is one that a reader may meet half way: value before key,
 * delete by tombstone, move by one aligned 32-bit store, and a change of many
 * filters by building the idle half and flipping `vmq_fib_ctl` (vmq/abi.h has
 * the layout and its rules).
 *
 * The mapping belongs to the caller and outlives the FIB. Control thread only.
 */
#ifndef VMQ_FIB_H
#define VMQ_FIB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

struct fib;

/**
 * fib_open() - take over an empty table
 * @out: the FIB
 * @buckets: mapped array, 2 * VMQ_FIB_BUCKETS
 * @ctl: the program's `vmq_fib_ctl`, mapped
 * @grace: waits until no program run that began before it is still running; a
 *         half is written again only after it. Returns 0 or -errno.
 * @arg: for @grace
 */
int fib_open(struct fib **out, struct vmq_fib_bucket *buckets, uint64_t *ctl,
	     int (*grace)(void *arg), void *arg);
void fib_close(struct fib *f);

/* Inside a transaction: what it has made of the table so far. */
uint32_t fib_count(const struct fib *f);
uint32_t fib_get(const struct fib *f, uint64_t key);	/* value, 0 if absent */

/*
 * One filter: visible to frames when the call returns; never half. Setting a
 * key that is there replaces its value (a move, F-20). May rebuild the idle
 * half when too many tombstones are left; that waits for a grace period.
 * Return: 0, -EINVAL no key or target, -ENOSPC beyond VMQ_FILTERS_MAX, or
 * @grace's error; after an error the table is as it was.
 */
int fib_set(struct fib *f, uint64_t key, uint32_t value);
int fib_del(struct fib *f, uint64_t key);		/* 0 or -ENOENT */

/*
 * Many filters as one change: fib_begin(), any number of fib_set()/fib_del(),
 * then fib_commit() - frames see the whole change at once - or fib_abort().
 * Begin does in the other half what has changed since it was in use (copies the
 * table if that is much: 1 ms, 5 ms with 65,536 filters), and waits for a grace period
 * unless one has passed since then (fib_passed()). -EBUSY: one is open already. After a
 * fib_set() that failed with -ENOSPC below the limit a transaction can only be aborted:
 * fib_commit() says -ENOSPC.
 */
int fib_begin(struct fib *f);
int fib_commit(struct fib *f);
void fib_abort(struct fib *f);

/*
 * Who does not want to wait in fib_begin(): would it? Then take fib_flips(), get a
 * grace period, and say so. It counts if there was no commit meanwhile.
 */
bool fib_waits(const struct fib *f);
uint32_t fib_flips(const struct fib *f);
void fib_passed(struct fib *f, uint32_t flips);

#endif /* VMQ_FIB_H */
