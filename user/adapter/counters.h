/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * counters.h - user space's counters, in maps that outlive it
 *
 * Who counts gets a row of the mapped map and counts there, as it would in its own
 * memory; a service that is killed loses nothing of it. A row has a name, (queue,
 * pair): after a restart the same pair finds its row again and counts on.
 *
 * The control thread's. What a row's counters are is their owner's business; a
 * checksum of that (@layout) tells whether an earlier service had the same.
 */
#ifndef VMQ_COUNTERS_H
#define VMQ_COUNTERS_H

#include <stdint.h>

#include "vmq/abi.h"

struct counters {
	struct vmq_queue_counters *queue;	/* by queue id; [0] is ours */
	struct vmq_pair_counters *row;		/* [0] is the switch's */
	uint32_t top;				/* no row from here on was ever taken */
};

/* Take the maps; what an earlier service with another @layout counted is cleared. */
void counters_open(struct counters *c, struct vmq_queue_counters *queue,
		   struct vmq_pair_counters *row, uint32_t layout);

/* The row of a pair, from earlier or new and zero; NULL: all are taken. */
void *counters_row(struct counters *c, uint32_t queue, uint32_t pair);

/* Sum of all rows of a queue; @sum has VMQ_COUNTERS_MAX. */
void counters_sum(const struct counters *c, uint32_t queue, __u64 *sum);

/* Rows from pair @pairs on are added to the one of pair 0, and free. */
void counters_fold(struct counters *c, uint32_t queue, uint32_t pairs);

/* The queue has gone, or its id begins anew. */
void counters_clear(struct counters *c, uint32_t queue);

#endif /* VMQ_COUNTERS_H */
