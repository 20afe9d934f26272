/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tour.h - "every CPU has left the softirq that it was in"
 *
 * A thread that has run on a CPU has proved that this CPU is not within the XDP
 * program any more: the program and the flush behind it run with softirqs
 * disabled, and no thread is switched to before they are enabled again. So a
 * tour over all CPUs is what a grace period of RCU is for us, in microseconds a
 * CPU instead of milliseconds. It has two prices: each CPU is disturbed, and
 * under PREEMPT_RT, where softirqs are preemptible, it proves nothing.
 *
 * The calling thread is moved about; it should be one that does nothing else.
 */
#ifndef VMQ_TOUR_H
#define VMQ_TOUR_H

#include <stdbool.h>

#include "common/err.h"

int tour_possible(struct vmq_err *err);	/* 0, or -EOPNOTSUPP: why not on this machine */

/* @give_up: any thread sets it; the tour ends after the CPU it is at. */
int tour_run(const bool *give_up, struct vmq_err *err);

#endif /* VMQ_TOUR_H */
