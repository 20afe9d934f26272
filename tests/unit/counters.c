// SPDX-License-Identifier: GPL-2.0-only
/*
 * counters.c - rows of counters: whose they are, and who gets them next
 */
#include "unit.h"

#include <string.h>

#include "adapter/counters.h"

#define LAYOUT 42

static struct vmq_queue_counters queue[VMQ_QUEUES_MAX + 1];
static struct vmq_pair_counters row[VMQ_COUNTER_ROWS];

int main(void)
{
	__u64 *a, *b, *c, *d, sum[VMQ_COUNTERS_MAX];
	struct counters all;
	int n = 0;

	memset(queue, 0xff, sizeof(queue));
	memset(row, 0xff, sizeof(row));
	counters_open(&all, queue, row, LAYOUT);
	ok(!queue[1].ring_full && !row[0].count[0] && !row[1].queue,
	   "what another layout counted is cleared");

	a = counters_row(&all, 1, 0);
	b = counters_row(&all, 1, 1);
	c = counters_row(&all, 1, 2);
	d = counters_row(&all, 2, 0);
	ok(a && b && c && d && a != b && b != c && a != d, "each pair gets a row of its own");
	a[3] = 1;
	b[3] = 20;
	c[3] = 300;
	d[3] = 4000;
	row[0].count[0] = 7;
	queue[1].past.redirected = 5;

	counters_open(&all, queue, row, LAYOUT);
	ok(counters_row(&all, 1, 1) == b && b[3] == 20, "after a restart it finds its row again");
	ok(row[0].count[0] == 7 && queue[1].past.redirected == 5, "all else is there, too");
	counters_sum(&all, 1, sum);
	is_int((long)sum[3], 321, "a queue's rows are summed");

	counters_fold(&all, 1, 1);
	counters_sum(&all, 1, sum);
	ok(a[3] == 321 && sum[3] == 321, "pairs that are no more are counted with the first");
	b = counters_row(&all, 1, 1);
	ok(b && b[3] == 0, "and begin anew if they come back");

	counters_clear(&all, 1);
	counters_sum(&all, 1, sum);
	ok(sum[3] == 0 && !queue[1].past.redirected && d[3] == 4000, "clear is one queue's");
	a = counters_row(&all, 1, 0);
	ok(a && a[3] == 0, "who comes next begins at zero");

	while (counters_row(&all, 3, (uint32_t)n))
		n++;
	is_int(n, VMQ_COUNTER_ROWS - 3, "when all rows are taken there is none");
	ok(!counters_row(&all, 4, 0) && counters_row(&all, 1, 0) == a, "but for those who have one");
	counters_clear(&all, 3);
	ok(counters_row(&all, 4, 0), "freed ones are given again");
	return unit_done();
}
