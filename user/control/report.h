/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.h - what the service tells about itself, as JSON
 *
 * Every function returns a new object (or NULL without memory) that the caller
 * hands to request_reply(). Answers come from the control plane's own records
 * and counters; the data path is not stopped for them. Control thread.
 */
#ifndef VMQ_REPORT_H
#define VMQ_REPORT_H

#include <jansson.h>

#include "control/queue.h"

json_t *report_show(struct service *s, const struct actor *who);
json_t *report_queues(struct service *s, const struct actor *who);
json_t *report_queue(struct queue *q);
json_t *report_host(struct service *s, const struct actor *who);	/* queue 0 likewise */
json_t *report_filter(struct service *s, const struct filter *f);
/* @only: the id of a queue (0: the host), or one of these. */
#define FILTERS_ALL  (-1)
#define FILTERS_DROP (-2)
json_t *report_filters(struct service *s, int only, const struct actor *who);
json_t *report_stats(struct service *s, const struct queue *only, const struct actor *who);

#endif /* VMQ_REPORT_H */
