// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - the counters, named once
 *
 * JSON keys, `vmqctl stats`, the manual and the tests are made from these
 * tables, so a counter that is not here does not exist, and none can be called
 * two things.
 */
#include <string.h>

#include "datapath/stats.h"
#include "vmq/abi.h"

_Static_assert(sizeof(struct port_stats) <= VMQ_COUNTERS_MAX * sizeof(uint64_t) &&
	       sizeof(struct uplink_stats) <= VMQ_COUNTERS_MAX * sizeof(uint64_t),
	       "a row of kept counters has room for them");

#define STAT(type, field, group, help) \
	{ #field, group, offsetof(struct type, field), help }

/*
 * The group "dropped" is every way a frame of the queue can end without
 * reaching the guest; `in_flight` is not one of them, and `to_host` was never
 * the queue's: the program passed the frame to queue 0.
 */
const struct stat_desc port_stat_table[] = {
	STAT(port_stats, matched, NULL, "frames the program found this queue for and took"),
	STAT(port_stats, matched_bytes, NULL, "bytes of the frames put on their way to the rings"),
	STAT(port_stats, delivered, NULL, "frames given to the guest from the queue's rings"),
	STAT(port_stats, joined, NULL, "of these, frames given in one with the frame before"),
	STAT(port_stats, in_flight, NULL, "frames that lie in the rings now"),
	STAT(port_stats, ring_full, "dropped", "the ring was full: the guest did not keep up"),
	STAT(port_stats, too_big, "dropped", "longer than a buffer of the RX queue carries"),
	STAT(port_stats, no_buffer, "dropped", "the kernel had no buffer in the FILL ring"),
	STAT(port_stats, redirect_failed, "dropped", "refused by the kernel after the redirect"),
	STAT(port_stats, channel_full, "dropped", "the channel had no room"),
	STAT(port_stats, channel_error, "dropped", "no channel, or the channel refused the frame"),
	STAT(port_stats, discarded, "dropped", "still in the rings when the queue was stopped"),
	STAT(port_stats, lost_at_restart, NULL, "ended unseen: the service was killed meanwhile"),
	STAT(port_stats, to_host, NULL, "found for this queue but passed to queue 0: no ring"),
	STAT(port_stats, switch_delivered, NULL, "frames given to the guest by the switch"),
	STAT(port_stats, switch_dropped, NULL, "frames of the switch the guest did not take"),
	STAT(port_stats, tx_frames, NULL, "frames the guest sent"),
	STAT(port_stats, tx_bytes, NULL, "bytes the guest sent"),
	STAT(port_stats, tx_wire, NULL, "frames sent to the wire"),
	STAT(port_stats, tx_local, NULL, "frames given to other queues' guests"),
	STAT(port_stats, tx_spoofed, NULL, "dropped: source address is not the guest's"),
	STAT(port_stats, tx_vlan, NULL, "dropped: VLAN is not the guest's"),
	STAT(port_stats, tx_link_local, NULL, "dropped: for the link itself, like STP and LLDP"),
	STAT(port_stats, tx_malformed, NULL, "dropped: shorter than its headers"),
	STAT(port_stats, tx_too_long, NULL, "dropped: longer than the device or a buffer takes"),
	STAT(port_stats, tx_bad_header, NULL, "dropped: virtio header cut, or not as agreed on"),
	STAT(port_stats, tx_bad_csum, NULL, "dropped: checksum to complete is outside of it"),
	STAT(port_stats, tx_bad_gso, NULL, "dropped: cannot be cut as its virtio header says"),
	STAT(port_stats, tx_disabled, NULL, "dropped: from a ring that is not enabled"),
	STAT(port_stats, tx_no_buffer, NULL, "dropped: no free transmit buffer"),
	STAT(port_stats, tx_wire_error, NULL, "dropped: the device did not take the frame"),
	{ NULL, NULL, 0, NULL },
};

const struct stat_desc uplink_stat_table[] = {
	STAT(uplink_stats, frames, NULL, "frames of queue 0 that the switch looked at"),
	STAT(uplink_stats, flooded, NULL, "group-addressed frames given to guests"),
	STAT(uplink_stats, carried, NULL, "frames for guests without a running queue"),
	STAT(uplink_stats, ignored, NULL, "frames of no guest's VLAN, or for the link itself"),
	STAT(uplink_stats, malformed, NULL, "frames shorter than their headers"),
	STAT(uplink_stats, dropped, NULL, "frames the packet socket had no room for"),
	{ NULL, NULL, 0, NULL },
};

static uint32_t layout_of(uint32_t hash, const struct stat_desc *d)
{
	for (; d->name; d++) {
		for (const char *c = d->name; *c; c++)
			hash = (hash ^ (uint8_t)*c) * 0x01000193;	/* FNV-1a */
		hash = (hash ^ (uint32_t)d->offset) * 0x01000193;
	}
	return hash;
}

uint32_t port_stats_layout(void)
{
	return layout_of(layout_of(0x811c9dc5, port_stat_table), uplink_stat_table);
}

uint64_t port_stats_dropped(const struct port_stats *s)
{
	const struct stat_desc *d;
	uint64_t sum = 0;

	for (d = port_stat_table; d->name; d++) {
		if (d->group && !strcmp(d->group, "dropped"))
			sum += *(const uint64_t *)((const char *)s + d->offset);
	}
	return sum;
}
