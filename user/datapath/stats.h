/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stats.h - every frame is accounted for
 *
 * Per queue, at rest: matched = delivered + the sum of dropped + lost_at_restart,
 * which is none unless the service was killed. While frames
 * move, `in_flight` is what lies in the RX rings, measured. `redirect_failed`
 * is what the kernel refused after the program had redirected it: the only
 * figure that is a difference, because the kernel counts it nowhere.
 *
 * The tables name each counter once; JSON keys, `vmqctl stats`, the manual and
 * the tests come from them.
 */
#ifndef VMQ_STATS_H
#define VMQ_STATS_H

#include <stddef.h>
#include <stdint.h>

struct port_stats {
	/* receive: from the wire through the queue's own rings */
	uint64_t matched;
	uint64_t matched_bytes;
	uint64_t delivered;
	uint64_t joined;
	uint64_t in_flight;
	uint64_t ring_full;
	uint64_t too_big;
	uint64_t no_buffer;
	uint64_t redirect_failed;
	uint64_t channel_full;
	uint64_t channel_error;
	uint64_t discarded;
	uint64_t lost_at_restart;
	uint64_t to_host;
	/* receive through the switch: queue 0, floods, other VMs */
	uint64_t switch_delivered;
	uint64_t switch_dropped;
	/* transmit: frames the guest sent */
	uint64_t tx_frames;
	uint64_t tx_bytes;
	uint64_t tx_wire;
	uint64_t tx_local;
	uint64_t tx_spoofed;
	uint64_t tx_vlan;
	uint64_t tx_link_local;
	uint64_t tx_malformed;
	uint64_t tx_too_long;
	uint64_t tx_bad_header;
	uint64_t tx_bad_csum;
	uint64_t tx_bad_gso;
	uint64_t tx_disabled;
	uint64_t tx_no_buffer;
	uint64_t tx_wire_error;
};

struct stat_desc {
	const char *name;	/* JSON key */
	const char *group;	/* NULL, or the JSON object it goes into: "dropped" … */
	size_t	    offset;
	const char *help;
};

extern const struct stat_desc port_stat_table[];	/* ended by a NULL name */

/* Of the names above in their order: counters that are kept are read by these. */
uint32_t port_stats_layout(void);

uint64_t port_stats_dropped(const struct port_stats *s);	/* sum of group "dropped" */

struct uplink_stats {		/* the packet socket beside queue 0 */
	uint64_t frames;	/* taken for the switch */
	uint64_t flooded;
	uint64_t carried;	/* unicast for a VM without a Running queue */
	uint64_t ignored;	/* of no VM's VLAN, or link-local */
	uint64_t malformed;
	uint64_t dropped;	/* the socket's own buffer was full */
};
extern const struct stat_desc uplink_stat_table[];

#endif /* VMQ_STATS_H */
