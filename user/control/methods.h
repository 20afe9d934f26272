/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * methods.h - what the files of methods share
 */
#ifndef VMQ_METHODS_H
#define VMQ_METHODS_H

#include "control/queue.h"

#define PARAM(n, t, req, h) { .name = n, .type = t, .required = req, .help = h }
#define PARAM_END { .name = NULL }

struct actor actor_of(const struct request *r);
/* Answer with @result; NULL: there was no memory for it. */
void reply_result(struct request *r, json_t *result);

/*
 * The queue that a request is about. NULL: the request has been answered, or
 * waits for the queue's operation and will come again.
 */
struct queue *queue_of(struct service *s, struct request *r, const char *name, bool change);

/* CPU numbers. Return: how many, or -EINVAL. */
int read_cpus(const json_t *list, uint16_t *cpu, int max, struct vmq_err *err);

/* ---- rss_methods.c ------------------------------------------------------- */

extern const struct param rss_set_params[], rss_move_params[];
void rss_show(void *service, struct request *r);
void rss_set(void *service, struct request *r);
void rss_move(void *service, struct request *r);

#endif /* VMQ_METHODS_H */
