/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * transmit.h - a guest's frame on its way out
 *
 * One batch: borrow private frames of the pair's TX queue, let the channel copy
 * the guest's frames into them, check the private copy (lengths, source MAC,
 * VLAN), then hand each to the port it is for, to the wire, or both. The VLAN
 * tag of an access port is put in on the way to the wire. Runs in the pair's
 * worker.
 */
#ifndef VMQ_TRANSMIT_H
#define VMQ_TRANSMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "datapath/rxq.h"
#include "datapath/stats.h"
#include "datapath/switch.h"

struct transmit_ctx {
	struct port    *port;
	struct channel *channel;
	int		pair;
	uint16_t	rule;
	bool		trust;
	struct rxq     *txq;	/* the pair's TX queue */
	struct uswitch *sw;
	uint32_t	max_frame; /* longest frame the device takes, with one tag */
	struct port_stats *stats;  /* the pair's own; tx_* are written here */
};

#define TRANSMIT_BATCH 64

/* Return: frames taken from the guest; 0: none; -errno: the channel broke. */
int transmit_poll(struct transmit_ctx *t);

#endif /* VMQ_TRANSMIT_H */
