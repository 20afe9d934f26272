/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue.h - the life of a queue: every verb that changes one
 *
 * Each verb checks the state table (adapter/state.h) first, does its work, and
 * only then moves the state; after an error the queue is as it was. Verbs that
 * stop a queue (clear of the last filter, drain, free) finish later: they take
 * a `struct operation`, go through barrier and drain, and call its `done`.
 *
 * Teardown, in this order: out of the FIB; barrier; deliver what the rings
 * hold, bounded in time, then discard; announce; take back what the channel
 * holds; close and free. Several teardowns share one barrier.
 *
 * Control thread only.
 */
#ifndef VMQ_QUEUE_H
#define VMQ_QUEUE_H

#include "adapter/rss_plan.h"
#include "control/address.h"
#include "control/service.h"

#define DRAIN_TIMEOUT_MS 200	/* unless the caller says otherwise */

/*
 * Where the balancer has put a queue whose CPUs nobody has asked for. While RSS is
 * off the home counts, while it is on the table; each once it was chosen.
 */
struct rss_choice {
	bool	 home_set, table_set;
	uint16_t home;
	struct rss_demand table;
};

/* A verb under way. Lives in the queue; one at a time. */
struct operation {
	bool	 free;		/* ends with the queue freed, not Paused */
	uint16_t narrow;	/* ends with so many receiving pairs; 0: no such thing */
	uint64_t began_ns;
	struct barrier_request barrier;
	struct port_drain drain;
	struct closing closing;
	/* Runs when it is over; for a free the queue is gone after it returns. */
	void (*done)(struct queue *q, void *arg);
	void *arg;
};

struct queue {
	struct service *service;
	uint32_t id;
	enum queue_state state;
	struct vmq_queue_record rec;
	struct own_address own[VMQ_MACS_MAX];	/* of its port */
	uint64_t client_id;	/* connection it belongs to; 0: outlives all */
	struct port *port;
	const char *channel_state;	/* any thread; "up", "down" or "lost", NULL: no channel */
	char	*channel_lost;	/* why a restart could not open the channel, or NULL */
	uint32_t ring;		/* entries of its rings while it has any, else 0 */
	uint16_t slot[VMQ_PAIRS_MAX];
	uint16_t n_slots;	/* held; by the receiving pairs */
	uint16_t width;		/* pairs that receive: rec.pairs, or fewer (control/rss.h) */
	struct rss_place place;	/* where the pairs are */
	struct rss_choice chosen;	/* by the balancer, instead of what is asked for */
	struct vmq_queue_counters *kept;	/* counters that outlive us */
	bool	 rss_held;	/* RSS is off for all queues, whatever this one asks for */
	struct barrier_request settle;
	bool	 settling;	/* frames may still read the RSS half that was left */
	bool	 busy;		/* `op` is under way */
	bool	 doomed;	/* its client left: delete when `op` is over */
	uint32_t guest_asks;	/* any thread; odd: the guest wants no frames (control/guest.h) */
	uint32_t guest_seen;	/* the last that was followed */
	bool	 guest_moved;	/* any thread; it is to be told its addresses */
	bool	 stopped;	/* the filters are muted for it */
	struct operation op;
	struct request **waiting;	/* requests that come back when it is over */
	uint32_t n_waiting;
};

/* Who asks: uid 0 may do everything, others what is theirs (R-12, F-17). */
struct actor {
	uid_t uid;
	uint64_t client_id;
};

struct queue *queue_find(struct service *s, const char *name);	/* name or decimal id */
int queue_may_change(const struct queue *q, const struct actor *who, struct vmq_err *err);

/**
 * queue_allocate() - make a queue: an id, a port, its channel
 * @s: service
 * @want: configuration; id 0 takes the lowest free one, another id that (restart);
 *        with VMQ_QUEUE_F_WAITS it needs no room (queue_check_room())
 * @adopt: restart: the channel may find its device, and failing to open it is
 *         no error
 * @out: the queue, in state Allocated
 * @err: sentence
 *
 * Return: 0; -EINVAL; -EEXIST name in use; -ENOBUFS all queues in use.
 */
int queue_allocate(struct service *s, const struct vmq_queue_record *want, bool adopt,
		   struct queue **out, struct vmq_err *err);

/* Allocation complete: slots and rings; -> Running or Paused. */
int queue_complete(struct queue *q, struct vmq_err *err);
/* What was allocated with VMQ_QUEUE_F_ENDS is all there: from now on it outlives the service. */
int queue_made(struct queue *q, bool complete, struct vmq_err *err);

/*
 * Queues that wait for room do not count for the limit (--queues). queue_check_room():
 * may there be one more that does? 0 or -ENOBUFS.
 */
uint32_t queue_waiting(const struct service *s);
int queue_check_room(const struct service *s, struct vmq_err *err);

/* It runs on queue 0 until there is room (L-3): queue_promote() completes it then. */
void queue_wait_for_room(struct queue *q);
/* Room has become free: for the queues that wait. */
void queue_promote(struct service *s);

/* Filters. @f is filled with what was made. */
int queue_filter_set(struct queue *q, const struct vmq_filter_key *key, uint32_t owner,
		     struct vmq_filter *f, struct vmq_err *err);
/* Not the last one, or not Running: done at once (0). Else 1: @done runs later. */
int queue_filter_clear(struct queue *q, const struct filter *f,
		       void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err);

/*
 * Move a filter to @to: frames see the old queue or the new one, never neither
 * (F-20). 0: done; 1: it was the last of a Running queue: @done runs when that
 * queue is empty.
 */
int queue_filter_move(struct queue *q, const struct filter *f, struct queue *to,
		      void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err);

/* Check that @key may be a filter here at all: own MAC, tags known. */
int queue_filter_check(struct service *s, const struct vmq_filter_key *key, struct vmq_err *err);

/* -EEXIST: it is the own address of the port of another queue than @mine (or NULL). */
int queue_address_check(struct service *s, const struct queue *mine, const uint8_t mac[6],
			uint16_t rule, struct vmq_err *err);

/* Clear all filters, deliver, -> Paused. @timeout_ms bounds the delivery. */
int queue_drain(struct queue *q, uint32_t timeout_ms,
		void (*done)(struct queue *q, void *arg), void *arg, struct vmq_err *err);

/* Free; -EBADFD while filters are set. */
int queue_free(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg,
	       struct vmq_err *err);
/* Clear all filters and free, as one teardown. */
int queue_delete(struct queue *q, void (*done)(struct queue *q, void *arg), void *arg,
		 struct vmq_err *err);

/* Its client has gone: delete it, now or when its operation is over. */
void queue_abandon(struct queue *q);

int queue_check_name(struct service *s, const char *name, struct vmq_err *err);
int queue_may_set(const struct queue *q, struct vmq_err *err);	/* by the state table */
/*
 * The queue's CPUs, into its record to be: the first is primary and default, and the
 * table is spread over all. Settings that are kept for later follow, too. queue_rss_apply()
 * takes it from there.
 */
int queue_check_cpus(const struct queue *q, struct vmq_queue_record *next, const uint16_t *cpu,
		     int n, struct vmq_err *err);
void queue_set_gro(struct queue *q, bool on);	/* not saved */
/* May the port have another VLAN? Its own filters would follow. */
int queue_check_rule(const struct queue *q, uint16_t rule, struct vmq_err *err);
int queue_set_policy(struct queue *q, uint16_t rule, bool trust, struct vmq_err *err);
int queue_set_paused(struct queue *q, bool paused, struct vmq_err *err);
int queue_save(struct queue *q, struct vmq_err *err);	/* record -> pinned map */

uint32_t queue_fib_value(const struct queue *q);
/* NIC address filters follow the filters. */
void service_address_add(struct service *s, const uint8_t mac[6], uint16_t rule);
void service_address_del(struct service *s, const uint8_t mac[6], uint16_t rule);

/* Deferred: true if @r waits for the operation of @q and will be called again. */
bool queue_defer(struct queue *q, struct request *r);
/* The same until RSS parameters may be written again: 8 to 16 ms at most. */
bool queue_settling(struct queue *q, struct request *r);

/* Events to monitors. */
void queue_announce(struct queue *q, const char *event);

/* End of the service: everything goes, nothing is waited for but the workers. */
void queue_destroy_all(struct service *s, bool keep);

#endif /* VMQ_QUEUE_H */
