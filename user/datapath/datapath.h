/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * datapath.h - the data path as the control plane sees it
 *
 * Made of finished objects that the control plane hands over: RX queues
 * (rxq.h), workers (worker.h), ports (port.h) and the switch (switch.h). It
 * never calls the control plane; it answers through an eventfd.
 *
 * A frame's way: bpf/vmq.bpf.c -> ring -> receive.c -> channel; back: channel
 * -> transmit.c -> switch.c or rxq.c -> wire.
 */
#ifndef VMQ_DATAPATH_H
#define VMQ_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "datapath/closer.h"
#include "datapath/rxq.h"
#include "datapath/switch.h"
#include "datapath/worker.h"

struct datapath;

struct datapath_config {
	const char *ifname;
	int	 ifindex;
	uint32_t rxqs;		/* RX queues in use, after attaching */
	uint32_t txqs;
	uint32_t stride;	/* of the XSKMAP */
	int	 xsks_fd;
	uint32_t chunk;		/* 2048 or 4096 */
	uint32_t rx_frames;	/* per RX queue, for rings */
	uint32_t tx_frames;	/* per RX queue */
	uint32_t poll_us;
	const uint16_t *cpus;	/* one worker each */
	int	 n_cpus;
	struct uplink_stats *uplink_stats;	/* where it counts; NULL: its own memory */
};

/* Longest frame that a chunk of this size carries (kernel headroom 256). */
#define CHUNK_CARRIES(chunk)	((chunk) - 256u)

/*
 * Workers, RX queues and the switch, whose uplink the caller starts
 * (switch_start()) and stops. After an error nothing is left.
 */
int datapath_open(struct datapath **out, const struct datapath_config *cfg,
		  struct vmq_err *err);
void datapath_end(struct datapath *dp);		/* all ports are about to be closed */
void datapath_close(struct datapath *dp);	/* all ports closed before */

/* More RX queues appeared (ethtool -L): anchors, and sockets of all ports. */
int datapath_set_rxqs(struct datapath *dp, uint32_t rxqs, uint32_t txqs, struct vmq_err *err);

/* The device was renamed; its MTU, and so the longest frame to send, changed. */
void datapath_set_name(struct datapath *dp, const char *ifname);
void datapath_set_mtu(struct datapath *dp, uint32_t mtu);

int datapath_fd(const struct datapath *dp);	/* readable: datapath_dispatch() */
void datapath_dispatch(struct datapath *dp);	/* runs `done` of drains and closings */

/* Every worker has passed a quiet point since the call began. */
void datapath_sync(struct datapath *dp);

/* Who closes the sockets of @of; NULL: the caller does. */
struct closer *datapath_closer(struct datapath *dp, const struct closing *of);
struct uswitch *datapath_switch(struct datapath *dp);
const struct datapath_config *datapath_cfg(const struct datapath *dp);
struct rxq *datapath_rxq(struct datapath *dp, uint32_t id);
struct worker *datapath_worker(struct datapath *dp, uint16_t cpu);	/* NULL: no such */
struct worker *datapath_worker_at(struct datapath *dp, int i);

/* TX queue of (queue, pair): an RX queue number whose anchor transmits. */
struct rxq *datapath_txq(struct datapath *dp, uint32_t queue, uint16_t pair);

/* Longest frame to send: the device's MTU, Ethernet header and one tag. */
uint32_t datapath_max_frame(const struct datapath *dp);

/* For port.c: the list of ports, and (in any worker) a drain that is through. */
struct port;
struct port_drain;
void datapath_add_port(struct datapath *dp, struct port *p);
void datapath_del_port(struct datapath *dp, struct port *p);
void datapath_drained(struct datapath *dp, struct port_drain *d);

#endif /* VMQ_DATAPATH_H */
