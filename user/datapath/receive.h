/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * receive.h - from a ring to the guest
 *
 * A *pair* is one receive and transmit side of a port: its rings, its share of
 * the channel, its counters. It is one worker's at a time; what other workers'
 * switch deliveries share with that worker is under `rx_lock`.
 *
 * A mutex and not a spinlock: rx_burst() of a tap writes to a file, and of
 * vhost-user signals a guest, so a holder can be long and can be scheduled away
 * by the kernel's receive work on its CPU. Free, it costs one locked
 * instruction a batch.
 */
#ifndef VMQ_RECEIVE_H
#define VMQ_RECEIVE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "datapath/port.h"
#include "datapath/ring.h"
#include "datapath/stats.h"
#include "datapath/transmit.h"
#include "datapath/worker.h"

#define RECEIVE_BATCH 64

struct pair {
	struct port *port;
	struct channel *channel;	/* NULL: frames are dropped as channel errors */
	int	 index;
	int	 lane;			/* pair of the channel */
	struct worker *worker;		/* written by the control thread */
	pthread_mutex_t *rx_lock;	/* the lane's: around rx_burst(); of switch_… counters */
	pthread_mutex_t lane_lock;	/* that, in the lane's own pair */
	bool	 paused;		/* written under rx_lock, in the worker too */
	uint16_t rule;			/* VLAN rule of the port */
	bool	 oob;			/* frames carry OOB records */
	bool	 gro;			/* join segments for guests that take that */

	struct ring **ring;		/* by RX queue; NULL: does not receive */
	uint32_t rings;

	struct source transmit;		/* the guest's frames; fd -1: none */
	int	 room_fd;		/* of a pair that shares a lane: eventfd, there is room */
	bool	 waits;			/* ... for that; any worker */
	struct pair *sharer;		/* next of those that share our lane */
	struct transmit_ctx ctx;

	struct source drain_source;	/* there while `drain` is */
	struct port_drain *drain;
	uint64_t drain_delivered;
	uint64_t drain_discarded;
	void (*drain_done)(struct pair *p);	/* in the worker */

	/*
	 * rx counters of rings and all of tx: written by the pair's worker;
	 * switch_…: under rx_lock. Read by anyone. Where they outlive us, or here.
	 */
	struct port_stats *stats;
	struct port_stats own_stats;
};

/* Polls of sources: a ring, the guest's transmit side, a drain. */
int receive_poll(struct source *s);
int receive_transmit_poll(struct source *s);
int receive_room_poll(struct source *s);	/* of a pair that shares a lane */
int receive_drain_poll(struct source *s);

/* In the pair's worker. */
void receive_retry(struct pair *p, bool all);	/* poll blocked rings (or all) again */
uint32_t receive_discard(struct pair *p, uint32_t from); /* empty rings; counts */
void receive_drain_end(struct pair *p);		/* a drain under way: discard, done */

/*
 * One frame from the switch, in any worker. Counts it. Return: true if the
 * guest got it.
 */
bool receive_switched(struct pair *p, const struct frame *f);

#endif /* VMQ_RECEIVE_H */
