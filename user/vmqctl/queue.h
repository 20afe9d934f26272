/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue.h - the table of queues, which `show` and `queue list` print
 */
#ifndef VMQCTL_QUEUE_H
#define VMQCTL_QUEUE_H

#include <jansson.h>

void queue_table(const json_t *queues);	/* array of queue objects */

#endif /* VMQCTL_QUEUE_H */
