/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filters.h - the filters of one adapter, and what of them is in the FIB
 *
 * The registry is the truth in memory; the pinned `filters` map is its copy for
 * readers and restarts; the FIB holds the filters of *active* queues (Running)
 * and drop filters. A queue's FIB value is given by filters_activate(); from
 * then on its filters attract frames, until filters_deactivate().
 *
 * Checks that concern filters alone are made here (F-12, F-17, F-18, F-23);
 * whose queue it is and in what state, the control plane knows.
 * Control thread only.
 */
#ifndef VMQ_FILTERS_H
#define VMQ_FILTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "adapter/attach.h"
#include "adapter/fib.h"
#include "common/err.h"
#include "vmq/abi.h"

struct filters;

struct filter {
	struct vmq_filter_key key;
	struct vmq_filter rec;
};

/* @at and @fib stay the caller's. */
int filters_open(struct filters **out, struct attachment *at, struct fib *fib);
void filters_close(struct filters *fs);	/* records stay in the map */

/*
 * Add: -EEXIST (names the filter's queue by id in the sentence; *clash gets the
 * filter) for an equal key, -ENOSPC at the limit. @rec->id 0: the lowest free
 * id is given; another id: taken as it is (restart).
 */
int filters_add(struct filters *fs, const struct vmq_filter_key *key,
		struct vmq_filter *rec, const struct filter **clash, struct vmq_err *err);
/* The first of these: may there be a filter with that key? */
int filters_check(const struct filters *fs, const struct vmq_filter_key *key,
		  const struct filter **clash, struct vmq_err *err);
int filters_del(struct filters *fs, const struct filter *f, struct vmq_err *err);

/* Another queue: one store if both are active (F-20). */
int filters_move(struct filters *fs, const struct filter *f, uint32_t queue,
		 struct vmq_err *err);

/*
 * A change of many filters that frames see at once: begin, any number of
 * add/del/move/activate, then commit, or abort: registry, map and FIB are then
 * as they were.
 */
int filters_begin(struct filters *fs, struct vmq_err *err);
int filters_commit(struct filters *fs, struct vmq_err *err);
void filters_abort(struct filters *fs);

/* Would begin wait for a grace period, and for which; one has passed (adapter/fib.h). */
bool filters_wait(const struct filters *fs);
uint32_t filters_flips(const struct filters *fs);
void filters_passed(struct filters *fs, uint32_t flips);

/* @value: VMQ_FIB_VALUE of the queue. After an error none of its filters is active. */
int filters_activate(struct filters *fs, uint32_t queue, uint32_t value, struct vmq_err *err);
void filters_deactivate(struct filters *fs, uint32_t queue);

/*
 * Keep the filters of a queue out of the FIB whether it is active or not: their
 * frames go to queue 0. Unmuting can fail; they stay there then.
 */
void filters_mute(struct filters *fs, uint32_t queue);
int filters_unmute(struct filters *fs, uint32_t queue, struct vmq_err *err);

/* Valid until the filter is deleted. NULL: no such. */
const struct filter *filters_by_id(const struct filters *fs, uint32_t id);
const struct filter *filters_by_key(const struct filters *fs, const struct vmq_filter_key *key);
uint32_t filters_count(const struct filters *fs);
uint32_t filters_of(const struct filters *fs, uint32_t queue);	/* drop filters not counted */

/* In ascending id; stops at the first non-zero, which it returns. */
int filters_each(const struct filters *fs,
		 int (*fn)(const struct filter *f, void *arg), void *arg);

#endif /* VMQ_FILTERS_H */
