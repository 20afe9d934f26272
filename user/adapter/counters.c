// SPDX-License-Identifier: GPL-2.0-only
/*
 * counters.c - rows of counters by queue and pair
 *
 * A walk over the rows in use is nothing beside opening a queue's sockets, so there is
 * no index. A row is named last and unnamed first: who is killed in between leaves a free
 * row, never one with somebody else's counts.
 */
#include "adapter/counters.h"

#include <string.h>

#include "common/util.h"

void counters_open(struct counters *c, struct vmq_queue_counters *queue,
		   struct vmq_pair_counters *row, uint32_t layout)
{
	*c = (struct counters){ .queue = queue, .row = row, .top = VMQ_COUNTER_ROWS };
	if (queue[0].layout == layout) {
		while (c->top > 1 && !row[c->top - 1].queue)
			c->top--;
		return;
	}
	c->top = 1;
	memset(row, 0, VMQ_COUNTER_ROWS * sizeof(*row));
	memset(queue, 0, (VMQ_QUEUES_MAX + 1) * sizeof(*queue));
	queue[0].layout = layout;
}

void *counters_row(struct counters *c, uint32_t queue, uint32_t pair)
{
	struct vmq_pair_counters *spare = NULL;
	uint32_t i;

	for (i = 1; i < c->top; i++) {
		struct vmq_pair_counters *row = &c->row[i];

		if (row->queue == queue && row->pair == pair)
			return row->count;
		if (!spare && !row->queue)
			spare = row;
	}
	if (!spare && c->top < VMQ_COUNTER_ROWS)
		spare = &c->row[c->top++];
	if (!spare)
		return NULL;
	memset(spare->count, 0, sizeof(spare->count));
	spare->pair = pair;
	store_release(&spare->queue, queue);
	return spare->count;
}

static void row_add(__u64 *sum, const __u64 *count)
{
	for (int i = 0; i < VMQ_COUNTERS_MAX; i++)
		sum[i] += count[i];
}

void counters_sum(const struct counters *c, uint32_t queue, __u64 *sum)
{
	memset(sum, 0, VMQ_COUNTERS_MAX * sizeof(*sum));
	for (uint32_t i = 1; i < c->top; i++)
		if (c->row[i].queue == queue)
			row_add(sum, c->row[i].count);
}

void counters_fold(struct counters *c, uint32_t queue, uint32_t pairs)
{
	__u64 *first = NULL;

	for (uint32_t i = 1; i < c->top; i++) {
		struct vmq_pair_counters *row = &c->row[i];

		if (row->queue != queue || row->pair < pairs)
			continue;
		if (!first)
			first = counters_row(c, queue, 0);
		store_release(&row->queue, 0);
		if (first)
			row_add(first, row->count);
	}
}

void counters_clear(struct counters *c, uint32_t queue)
{
	for (uint32_t i = 1; i < c->top; i++)
		if (c->row[i].queue == queue)
			store_release(&c->row[i].queue, 0);
	memset(&c->queue[queue], 0, sizeof(c->queue[queue]));
}
