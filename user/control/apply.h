/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * apply.h - filter.apply: many filters set, cleared and moved as one change
 *
 * All or nothing: frames meet the filters as they were before or as they are
 * after, and an error in the last line undoes the first. The handler answers
 * when every queue that lost its last filter is empty.
 */
#ifndef VMQ_APPLY_H
#define VMQ_APPLY_H

#include "control/server.h"

struct service;

void filter_apply(void *service, struct request *r);
extern const struct param filter_apply_params[];

void apply_close(struct service *s);	/* nobody waits for a change any more */

#endif /* VMQ_APPLY_H */
