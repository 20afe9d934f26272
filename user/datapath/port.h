/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * port.h - one queue as the data path sees it
 *
 * A port lives from allocate to free: a channel, the policy for what its guest
 * sends, counters. Between complete and free it also has *rings*: one AF_XDP
 * RX socket per (pair, RX queue), in the XSKMAP at slot * stride + RX queue. A
 * port without rings still gets frames, from the switch (queue 0).
 *
 * Owned by the control plane, which makes, changes and frees it on the control
 * thread. Workers reach it through sources and through the switch's snapshot.
 */
#ifndef VMQ_PORT_H
#define VMQ_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "common/err.h"
#include "datapath/closer.h"
#include "datapath/frame.h"
#include "datapath/stats.h"
#include "vmq/abi.h"

struct datapath;
struct port;

struct port_config {
	uint32_t id;		/* queue id */
	const char *name;
	struct channel *channel;	/* owned by the port from now on; may be NULL */
	uint16_t rule;		/* VLAN rule of the port: access VLAN, untagged, any */
	bool	 oob;		/* its frames carry OOB records (VMQ_FIB_F_OOB) */
	bool	 trust;		/* do not check source addresses and VLAN */
	bool	 gro;		/* join segments for a guest that takes that */
	bool	 paused;	/* until port_set_paused(): nothing to or from the guest */
	uint16_t pairs;		/* that receive */
	uint16_t channel_pairs;	/* that the channel has; 0: as many */
	uint16_t cpu[VMQ_PAIRS_MAX];	/* of the workers' set; of the larger number */
	/* Where counters outlive us (vmq/abi.h); NULL: in the port's own memory. */
	struct vmq_queue_counters *kept;
	struct port_stats *(*row)(void *arg, uint32_t queue, int pair);
	void *row_arg;
};

int port_open(struct port **out, struct datapath *dp, const struct port_config *cfg,
	      struct vmq_err *err);
/* Rings closed before; not in the switch's stations any more. Closes the channel. */
void port_close(struct port *p, bool keep);

uint32_t port_id(const struct port *p);
const char *port_name(const struct port *p);

/**
 * port_rings_open() - sockets for every (receiving pair, RX queue), into the XSKMAP
 * @p: port
 * @slot: socket slot of each receiving pair
 * @ring: entries per socket, a power of two: the quota
 * @err: sentence
 *
 * Return: 0; -ENOBUFS when the frames of an RX queue do not suffice;
 * nothing half made after an error.
 */
int port_rings_open(struct port *p, const uint16_t *slot, uint32_t ring,
		    struct vmq_err *err);

/*
 * Drain what the rings hold: the queue is out of the FIB and a barrier has
 * passed, so nothing new arrives. The workers deliver until the rings are empty
 * or @deadline_ns (now_ns() clock) has passed, then discard the rest. `done`
 * runs on the control thread, in datapath_dispatch().
 */
struct port_drain {
	uint64_t deadline_ns;
	uint16_t from;		/* first pair */
	bool	 stopped;	/* the guest will make no more room: do not wait for it */
	uint64_t delivered;	/* out */
	uint64_t discarded;	/* out */
	void (*done)(struct port_drain *d);
	struct port *port;	/* set by port_drain() */
	struct port_drain *next;
	uint32_t pending;
};
void port_drain(struct port *p, struct port_drain *d);

/* Close the sockets. Their statistics are banked first. */
void port_rings_close(struct port *p, struct closing *c);
bool port_has_rings(const struct port *p);

/*
 * For datapath.c, when the device has more RX queues: rings up to (not
 * including) RX queue @to, or back to the first @from. Nothing half made after
 * an error; a port without rings stays so.
 */
int port_rings_grow(struct port *p, uint32_t to, struct vmq_err *err);
void port_rings_shrink(struct port *p, uint32_t from);
struct port **port_link(struct port *p);	/* next in datapath.c's list */

/* Live changes: no frame is lost or reordered. */
int port_set_cpu(struct port *p, uint16_t pair, uint16_t cpu, struct vmq_err *err);
int port_set_width(struct port *p, uint16_t width, const uint16_t *slot, uint16_t cpu,
		   struct vmq_err *err);
uint16_t port_pairs(const struct port *p);	/* that there are, receiving or not */
void port_set_policy(struct port *p, uint16_t rule, bool trust);
void port_set_gro(struct port *p, bool on);
void port_set_max_frame(struct port *p, uint32_t max_frame);
/* The answer to a channel that wanted no more frames (channel.h, `quiet`). */
void port_quiet(struct port *p);

/* The answer to one whose guest was moved (channel.h, `moved`). */
void port_set_addresses(struct port *p, const struct channel_address *a, int n, int more);
/* The VM is paused: nothing is delivered or taken; rings fill up. */
void port_set_paused(struct port *p, bool paused);

/*
 * Counters. @bpf: sum of the slots' BPF counters of this port, read *before*
 * the call. Control thread.
 */
void port_get_stats(const struct port *p, const struct vmq_slot_stats *bpf,
		    struct port_stats *out);

/* Per pair, for `queue show`: CPU and frames. */
struct port_pair_stats {
	uint16_t cpu;
	uint64_t delivered, switched, tx_frames;
	uint64_t handled;	/* by its worker: delivered, dropped or sent */
};
void port_get_pair_stats(const struct port *p, uint16_t pair, struct port_pair_stats *out);

/* ---- for workers (receive.c, transmit.c, switch.c) --------------------- */

/*
 * Give one frame to a port's guest through the switch (queue 0, flood, VM to
 * VM): tags are put in or left out by the port's rule. Counts it. Takes the
 * pair's rx lock. @fi describes the frame, @vlan is the VLAN it belongs to (a
 * frame from an access port carries it here, not in a tag).
 * Return: true if delivered.
 */
bool port_switch_in(struct port *p, const struct frame_info *fi, uint16_t vlan);

/* True if the port takes frames of @vlan (0, 1...4094, SWITCH_VLAN_NONE). */
bool port_rule_accepts(uint16_t rule, uint16_t vlan);

#endif /* VMQ_PORT_H */
