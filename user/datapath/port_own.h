/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * port_own.h - what the files of a port share, and nobody else includes
 *
 *	port.c		open and close, drain, live changes
 *	port_rings.c	its sockets
 *	port_move.c	a pair moves to another worker
 *	port_stats.c	its counters
 */
#ifndef VMQ_PORT_OWN_H
#define VMQ_PORT_OWN_H

#include "datapath/port.h"
#include "datapath/receive.h"
#include "datapath/ring.h"

struct port {
	struct port *next;		/* in the data path's list */
	struct datapath *dp;
	struct channel *channel;
	char	 name[VMQ_NAME_MAX];
	uint32_t id;
	uint16_t rule;			/* read by workers */
	bool	 oob;
	bool	 gro;	/* as configured; each pair has its own */
	bool	 paused;
	int	 lanes;			/* pairs of the channel */
	int	 pairs;			/* made so far, and kept until the end */
	int	 width;			/* the first ones, that receive */
	bool	 has_rings;
	struct closing *closing;	/* of the rings that are being closed */
	uint32_t rings;			/* RX queues that have one */
	uint32_t entries;
	uint16_t slot[VMQ_PAIRS_MAX];
	struct ring_counts banked;
	struct vmq_queue_counters *kept;	/* what a restart must know of the above */
	struct vmq_queue_counters own_kept;
	struct port_stats *(*row)(void *arg, uint32_t queue, int pair);
	void *row_arg;
	struct pair *pair[VMQ_PAIRS_MAX];
};

/* ---- port.c ------------------------------------------------------------- */

/* Between two batches of the worker that has the pair, or gets it. */
int pair_add_sources(struct worker *w, struct pair *p, bool transmits);
void pair_del_sources(struct worker *w, struct pair *p);

/* For worker_call(), @arg a struct pair_call: all that the pair has. */
struct pair_call {
	struct pair *pair;
	int rc;
};
void pair_start(struct worker *w, void *arg);

/* -EINVAL with the sentence. */
int port_no_worker(const struct port *p, uint16_t cpu, struct vmq_err *err);

/* ---- port_rings.c ------------------------------------------------------- */

/* Rings follow the number of receiving pairs; 0 or -errno and nothing changed. */
int port_rings_width(struct port *p, int width, const uint16_t *slot, struct vmq_err *err);

#endif /* VMQ_PORT_OWN_H */
