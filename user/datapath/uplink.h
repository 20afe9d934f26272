/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * uplink.h - the switch's ear at queue 0
 *
 * A packet socket on the interface that hears group-addressed frames and those
 * for the addresses of VMs, and nothing else (bpf/uplink.bpf.c). Each frame is
 * handed on as it was on the wire: the tag back in its place, checksums
 * complete, joined segments apart.
 *
 * All functions are for the control thread; `frame` runs in the worker.
 */
#ifndef VMQ_UPLINK_H
#define VMQ_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "datapath/frame.h"
#include "datapath/stats.h"
#include "datapath/worker.h"

struct uplink;

/* What the switch did with a frame: each is a counter of struct uplink_stats. */
enum uplink_fate { UPLINK_IGNORED, UPLINK_FLOODED, UPLINK_CARRIED };

struct uplink_config {
	int	 ifindex;
	const char *ifname;
	/* A frame and its VLAN (0, 1 ... 4095, SWITCH_VLAN_NONE); valid during the call. */
	enum uplink_fate (*frame)(void *arg, const struct frame_info *fi, uint16_t vlan);
	void *arg;
	struct uplink_stats *stats;	/* where it counts; NULL: in memory of its own */
};

int uplink_open(struct uplink **out, const struct uplink_config *cfg, struct vmq_err *err);
void uplink_close(struct uplink *u);		/* stopped before; NULL is fine */

/* Listen, as a source of @w; and no more. Stopping twice is fine. */
int uplink_start(struct uplink *u, struct worker *w, struct vmq_err *err);
void uplink_stop(struct uplink *u);

/*
 * Addresses (mac_to_u48()) that pass the filter; adding one twice is fine.
 * While it is not open nothing passes, group addresses neither.
 */
int uplink_add_mac(struct uplink *u, uint64_t mac, struct vmq_err *err);
void uplink_del_mac(struct uplink *u, uint64_t mac);
void uplink_set_open(struct uplink *u, bool open);

void uplink_stats(struct uplink *u, struct uplink_stats *out);

#endif /* VMQ_UPLINK_H */
