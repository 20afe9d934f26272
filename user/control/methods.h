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
void reply_done(struct request *r);			/* an empty result */
void reply_rc(struct request *r, int rc);		/* done, or failed with @rc < 0 */

const char *param_str(const struct request *r, const char *key);	/* NULL: not given */

/*
 * The queue that a request is about. NULL: the request has been answered, or
 * waits for the queue's operation and will come again.
 */
struct queue *queue_of(struct service *s, struct request *r, const char *name, bool change);
/* The same for one of many: no answer is sent, and nothing waits. */
int queue_named(struct service *s, struct request *r, const char *name, bool change,
		struct queue **q, struct vmq_err *err);

/* A number in [@min, @max], or @fallback where it is not given. */
int read_range(const struct request *r, const char *key, json_int_t min, json_int_t max,
	       json_int_t fallback, json_int_t *out, struct vmq_err *err);
/* A word into @out; left as it is where it is not given. */
int read_word(const struct request *r, const char *key, char *out, size_t size,
	      struct vmq_err *err);
/* CPU numbers. Return: how many, or -EINVAL. */
int read_cpus(const json_t *list, uint16_t *cpu, int max, struct vmq_err *err);

/* ---- methods.c ----------------------------------------------------------- */

extern const struct param queue_filter_params[];	/* an optional queue */

/* ---- queue_methods.c ------------------------------------------------------ */

extern const struct param name_params[], queue_params[], names_params[], drain_params[], set_params[],
	del_params[];
void queue_list(void *service, struct request *r);
void queue_show(void *service, struct request *r);
void queue_add(void *service, struct request *r);
void queue_alloc(void *service, struct request *r);
void queue_complete_batch(void *service, struct request *r);
void queue_drain_method(void *service, struct request *r);
void queue_free_method(void *service, struct request *r);
void queue_del(void *service, struct request *r);
void queue_pause(void *service, struct request *r);
void queue_resume(void *service, struct request *r);
void queue_set(void *service, struct request *r);

/* The configuration of a queue to be, by the words of queue_params. */
int read_queue(const struct request *r, struct vmq_queue_record *rec, struct vmq_err *err);

/* ---- transfer.c ----------------------------------------------------------- */

extern const struct param queue_import_params[];
void queue_export(void *service, struct request *r);
void queue_import(void *service, struct request *r);

/* ---- filter_methods.c ----------------------------------------------------- */

extern const struct param filter_of_params[], filter_add_params[], filter_move_params[];
void filter_list(void *service, struct request *r);
void filter_show(void *service, struct request *r);
void filter_add(void *service, struct request *r);
void filter_del(void *service, struct request *r);
void filter_move(void *service, struct request *r);

/* ---- rss_methods.c ------------------------------------------------------- */

extern const struct param rss_set_params[], rss_move_params[];
/* The settings that a request names, in a copy of @old. */
int rss_read(struct service *s, const struct request *r, const struct vmq_queue_record *old,
	     struct vmq_queue_record *next, struct vmq_err *err);
json_t *rss_types_json(uint16_t types);
/* Frames that were hashed for a queue, by entry. */
json_t *rss_frames_json(struct service *s, uint32_t queue, int entries);
void rss_show(void *service, struct request *r);
void rss_set(void *service, struct request *r);
void rss_move(void *service, struct request *r);
extern const struct param rss_switch_params[];
void rss_switch(void *service, struct request *r);

#endif /* VMQ_METHODS_H */
