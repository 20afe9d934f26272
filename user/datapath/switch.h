/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * switch.h - who is where: stations, floods, VM to VM, and queue 0
 *
 * A *station* is a (MAC, VLAN rule) behind a port. The control thread changes the
 * list of stations in versions; workers read the current one without a lock, and
 * what is left of older ones is freed after every worker has passed a quiet point
 * (datapath_sync()).
 *
 * The *uplink* is a packet socket on the interface: XDP cannot copy a frame to
 * several sockets, so broadcast and multicast go to the host and the switch
 * takes its copy from there, as it does unicast frames for VMs that have no
 * Running queue. A BPF socket filter (bpf/uplink.bpf.c) lets only group
 * addresses and VM addresses in, so the host's own traffic costs nothing. The
 * VM addresses and GRO's large frames, partial checksums and taken-out tags
 * are dealt with there. It is a source of one worker.
 */
#ifndef VMQ_SWITCH_H
#define VMQ_SWITCH_H

#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "common/err.h"
#include "datapath/frame.h"
#include "datapath/stats.h"

struct port;
struct datapath;
struct uswitch;
struct worker;

struct station {
	uint8_t	     mac[6];
	uint16_t     rule;	/* VMQ_RULE_… */
	struct port *port;
};

int switch_open(struct uswitch **out, struct datapath *dp, int ifindex,
		const char *ifname, struct uplink_stats *stats, struct vmq_err *err);
void switch_close(struct uswitch *sw);

/* Uplink on or off in worker @w (control thread, through worker_call() inside). */
int switch_start(struct uswitch *sw, struct worker *w, struct vmq_err *err);
void switch_stop(struct uswitch *sw);

/*
 * Control thread: a change is any number of switch_set_station() and then
 * switch_commit(), from which on workers see all of it, or switch_abort(). A port
 * with stations gets floods of its stations' rules.
 *
 * switch_set_station(): @st's address is its port's; port NULL: nobody's any more.
 * Return: 0; -EINVAL, -ENOMEM as stations_set() says, or what the uplink's filter
 * says. After an error there is only switch_abort().
 * switch_clear(): all leave; the first of a change, or all of it. Cannot fail.
 * switch_settle(): after a commit; on return no worker uses a port without stations.
 */
int switch_set_station(struct uswitch *sw, const struct station *st, struct vmq_err *err);
void switch_clear(struct uswitch *sw);
void switch_commit(struct uswitch *sw);
void switch_abort(struct uswitch *sw);
void switch_settle(struct uswitch *sw);

/*
 * Workers. transmit.c asks where a frame goes.
 * switch_lookup(): the port of (@mac, @vlan), or NULL: the wire.
 * @vlan: 0 untagged, 1 ... 4094, or SWITCH_VLAN_NONE for a frame of no single
 * VLAN (only rule ANY matches).
 */
#define SWITCH_VLAN_NONE 0xffff
static inline uint16_t switch_vlan_of(const struct frame_info *fi)
{
	if (fi->service)
		return SWITCH_VLAN_NONE;
	return fi->tagged ? VLAN_VID(fi->tci) : 0;
}

struct port *switch_lookup(struct uswitch *sw, const uint8_t mac[6], uint16_t vlan);

/*
 * Does @port own source address @mac in @vlan (anti-spoofing)?
 */
bool switch_owns(struct uswitch *sw, const struct port *port, const uint8_t mac[6],
		 uint16_t vlan);

/*
 * Give a group-addressed frame to every port of its VLAN but @from (may be
 * NULL: from the wire). Return: how many ports got it.
 */
uint32_t switch_flood(struct uswitch *sw, const struct port *from,
		      const struct frame_info *fi, uint16_t vlan);

void switch_stats(const struct uswitch *sw, struct uplink_stats *out);

#endif /* VMQ_SWITCH_H */
