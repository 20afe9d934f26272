/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss.h - receive-side scaling of a queue: what is asked for, what is done
 *
 * The record holds what is asked for, in CPUs: table, default, primary, key,
 * types, on or off, number of pairs. What is done follows from it and from the
 * CPUs that there are (--cpus): a CPU without a worker is stood in for by one
 * that has one, and no more pairs receive than there are CPUs. So requests
 * survive a start with fewer CPUs and come back with them (O-6, O-7).
 *
 * While RSS is off the primary alone steers; table and default are only kept.
 * While it is on it is the other way round. What begins to steer is checked at
 * that moment, and a bad value fails the change with nothing changed.
 *
 * Control thread only.
 */
#ifndef VMQ_CONTROL_RSS_H
#define VMQ_CONTROL_RSS_H

#include "control/queue.h"

/* Pairs that receive: those asked for, but not more than CPUs. */
uint16_t rss_width(const struct service *s, const struct vmq_queue_record *rec);

/* Does the program hash for this queue? One pair needs no hash. */
bool queue_rss_on(const struct queue *q);

/* The CPU that works for @cpu: itself, or its stand-in. */
uint16_t rss_stand_in(const struct service *s, uint16_t cpu);

/* Is RSS on, be it with one pair: does the table say where? */
bool queue_rss_tabled(const struct queue *q);

/* Where @rec, the queue's or one that it is to have, sends its frames. */
void rss_demand(const struct queue *q, const struct vmq_queue_record *rec, struct rss_demand *d);

/* The queue's record with the CPUs that it is on, as if they had been asked for. */
void queue_rss_current(const struct queue *q, struct vmq_queue_record *rec);

/* The CPU of all frames while RSS is off: the primary, or what the balancer chose. */
uint16_t rss_home(const struct queue *q, const struct vmq_queue_record *rec);

/*
 * Settings of a queue that is new: RSS off, a table of one entry, all on its
 * first CPU (D-1); with VMQ_QUEUE_F_RSS set the table is spread over its CPUs.
 */
int rss_init(struct vmq_queue_record *rec, struct vmq_err *err);

/* The places of its pairs before its port is made. */
int rss_place_new(struct queue *q, struct vmq_err *err);

/* Do they hash the same way into as many entries? */
bool rss_same_hash(const struct vmq_queue_record *a, const struct vmq_queue_record *b);

/* Fill a table of @entries with @n CPUs in turn. */
void rss_spread(struct vmq_queue_record *rec, const uint16_t *cpu, int n, int entries);

/**
 * rss_resize() - another number of entries, the same steering
 * @rec: record
 * @entries: power of two
 * @err: sentence
 *
 * Return: 0; -EINVAL; -ERANGE: what would be cut off is no repetition.
 */
int rss_resize(struct vmq_queue_record *rec, int entries, struct vmq_err *err);

/**
 * queue_rss_check() - may a queue go from its record to @next?
 * Return: 0; -ERANGE: a CPU that begins to steer has no worker (D-4); -ENOSPC:
 * more CPUs than pairs (D-6).
 */
int queue_rss_check(const struct queue *q, const struct vmq_queue_record *next,
		    struct vmq_err *err);

/**
 * queue_rss_apply() - steer by another record, which is checked
 * @q: queue; not settling, if key, types or size change or RSS goes on
 * @next: record; kept in the pinned map
 * @err: sentence
 *
 * While frames flow: each meets the old steering or the new. Return: 0 or
 * -errno, and all is as it was.
 */
int queue_rss_apply(struct queue *q, const struct vmq_queue_record *next, struct vmq_err *err);

/**
 * queue_rss_hold() - the switch for all queues: RSS off whatever the queue asks for,
 * or as it asks for (O-8)
 * @q: queue; not settling
 * @held: off
 * @err: sentence
 *
 * Return: 0, or -errno and all is as it was.
 */
int queue_rss_hold(struct queue *q, bool held, struct vmq_err *err);

/**
 * queue_rehome() - let another CPU stand in for the primary, until it is asked for
 * @q: queue, RSS off, not VMQ_QUEUE_F_PLACED
 * @cpu: has a worker
 * @err: sentence
 *
 * What is asked for stays in the record. Return: 0, or -errno and all is as it was.
 */
int queue_rehome(struct queue *q, uint16_t cpu, struct vmq_err *err);

/* The same while RSS is on, for table and default; -ENOSPC: more CPUs than pairs. */
int queue_respread(struct queue *q, const struct rss_demand *table, struct vmq_err *err);

/*
 * The hash types of a queue for which the NIC's value is taken; none: @why says why.
 * By what was last read of the NIC: rss_follow_nic() reads again, and has the program
 * follow where that has changed.
 */
uint16_t queue_nic_types(const struct queue *q, const char **why);
void rss_follow_nic(struct service *s);

/* A key as users write it: 80 hexadecimal digits, or "nic" for a copy of the NIC's. */
int rss_read_key(struct service *s, const char *word, uint8_t key[VMQ_RSS_KEY_LEN],
		 struct vmq_err *err);

/* Put the queue's parameters where the program finds them; it reads none yet. */
void queue_rss_publish(struct queue *q);

/*
 * May the queue have as many pairs as @next? -ENOSPC: there would be more CPUs in use than
 * pairs (D-6); -EBADFD: fewer, while the VM is paused and frames wait in them.
 */
int queue_check_pairs(const struct queue *q, const struct vmq_queue_record *next,
		      struct vmq_err *err);

/*
 * Another number of pairs, which was checked, or that of before. 0: done; 1: @done runs
 * when the pairs that are given up are empty. -ENOBUFS: no pairs or buffers.
 */
int queue_set_pairs(struct queue *q, int pairs, void (*done)(struct queue *q, void *arg),
		    void *arg, struct vmq_err *err);

#endif /* VMQ_CONTROL_RSS_H */
