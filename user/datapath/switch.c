// SPDX-License-Identifier: GPL-2.0-only
/*
 * switch.c - who is where: stations, floods, VM to VM, and queue 0
 *
 * DOC: Theory of operation
 *
 * Workers ask the current version of the list of stations (stations.h) with one
 * acquire load and no lock. The control thread never changes what they may see: it
 * publishes the next version, and frees what that has replaced when every worker has
 * been between two batches (datapath_sync()). No worker keeps a part of the list, or
 * a port from it, from one batch to the next.
 *
 * Waiting for workers costs them and us a wake-up, and a filter may change thousands
 * of times a second. So it is done once for RETIRED_MAX pieces, about 300 KiB, and
 * where somebody must know: before a port is closed (switch_settle()).
 *
 * The uplink's filter follows in the order that loses nothing: addresses that
 * are new get in before the list names them, those that have gone are shut out
 * after it does not. In between a frame finds no station and is counted as
 * ignored.
 *
 * The host is not a station. Its frames to VMs on this interface leave by the
 * interface's own transmit path, which no XDP program and no packet socket of
 * ours sees (PACKET_IGNORE_OUTGOING); host and VMs meet through the wire.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/parse.h"
#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "datapath/stations.h"
#include "datapath/uplink.h"

#define RETIRED_MAX 1024u	/* pieces of old versions; a change leaves about 8 */

struct uswitch {
	struct stations *stations;
	struct datapath *dp;
	struct uplink *uplink;
	uint64_t *moved;	/* addresses that the change has brought or taken */
	uint32_t n_moved, moved_room;
};

/* ---- workers ------------------------------------------------------------ */

struct port *switch_lookup(struct uswitch *sw, const uint8_t mac[6], uint16_t vlan)
{
	return stations_find(sw->stations, mac, vlan);
}

bool switch_owns(struct uswitch *sw, const struct port *port, const uint8_t mac[6],
		 uint16_t vlan)
{
	return stations_own(sw->stations, port, mac, vlan);
}

/* Return: ports that the frame was for; *@got: those that took it. */
static uint32_t switch_flood_to(struct uswitch *sw, const struct port *from,
				const struct frame_info *fi, uint16_t vlan, uint32_t *got)
{
	uint32_t asked = 0;
	struct flood flood;
	struct port *port;

	*got = 0;
	stations_flood(sw->stations, vlan, &flood);
	while ((port = flood_next(&flood))) {
		if (port == from)
			continue;
		asked++;
		*got += port_switch_in(port, fi, vlan);
	}
	return asked;
}

uint32_t switch_flood(struct uswitch *sw, const struct port *from,
		      const struct frame_info *fi, uint16_t vlan)
{
	uint32_t got;

	switch_flood_to(sw, from, fi, vlan, &got);
	return got;
}

/*
 * A frame of queue 0. What a port does not take is counted there; here it
 * counts by where it was to go.
 */
static enum uplink_fate switch_from_wire(void *arg, const struct frame_info *fi, uint16_t vlan)
{
	struct uswitch *sw = arg;
	struct port *port;
	uint32_t got;

	if (frame_is_link_local(fi->data))
		return UPLINK_IGNORED;	/* the host is the other end of that link */
	if (frame_is_multicast(fi->data))
		return switch_flood_to(sw, NULL, fi, vlan, &got) ? UPLINK_FLOODED
								 : UPLINK_IGNORED;
	port = switch_lookup(sw, fi->data, vlan);
	if (!port)
		return UPLINK_IGNORED;
	port_switch_in(port, fi, vlan);
	return UPLINK_CARRIED;
}

/* ---- control thread ------------------------------------------------------ */

static int switch_note(struct uswitch *sw, uint64_t mac)
{
	uint32_t room = MAX(64u, sw->moved_room * 2);
	uint64_t *grown;

	if (sw->n_moved == sw->moved_room) {
		grown = realloc(sw->moved, room * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		sw->moved = grown;
		sw->moved_room = room;
	}
	sw->moved[sw->n_moved++] = mac;
	return 0;
}

int switch_set_station(struct uswitch *sw, const struct station *st, struct vmq_err *err)
{
	uint64_t mac48 = mac_to_u48(st->mac);
	enum station_mac mac;
	int rc;

	rc = stations_set(sw->stations, st, &mac, err);
	if (rc || mac == STATION_MAC_STAYS)
		return rc;
	rc = switch_note(sw, mac48);
	if (rc)
		return vmq_err_sys(err, rc, "no memory for the list of stations");
	return mac == STATION_MAC_CAME ? uplink_add_mac(sw->uplink, mac48, err) : 0;
}

/* Without memory the filter keeps an address: its frames are heard and ignored. */
static void switch_went(void *sw, uint64_t mac)
{
	switch_note(sw, mac);
}

void switch_clear(struct uswitch *sw)
{
	stations_clear(sw->stations, switch_went, sw);
}

/* Who is not in the list, now that the change is made or not, is shut out. */
static void switch_expel(struct uswitch *sw)
{
	while (sw->n_moved) {
		uint64_t mac = sw->moved[--sw->n_moved];

		if (!stations_know(sw->stations, mac))
			uplink_del_mac(sw->uplink, mac);
	}
}

void switch_commit(struct uswitch *sw)
{
	stations_commit(sw->stations);
	uplink_set_open(sw->uplink, stations_count(sw->stations) > 0);
	switch_expel(sw);
	if (stations_retired(sw->stations) >= RETIRED_MAX)
		switch_settle(sw);
}

void switch_abort(struct uswitch *sw)
{
	stations_abort(sw->stations);
	switch_expel(sw);
}

void switch_settle(struct uswitch *sw)
{
	datapath_sync(sw->dp);
	stations_reclaim(sw->stations);
}

/**
 * switch_open() - make a switch without stations; it hears nothing yet
 * @out: the switch
 * @dp: data path, for datapath_sync()
 * @ifindex: interface of the uplink
 * @ifname: its name, for sentences
 * @stats: where the uplink counts; NULL: in memory of its own
 * @err: sentence
 *
 * Return: 0 or -errno.
 */
int switch_open(struct uswitch **out, struct datapath *dp, int ifindex,
		const char *ifname, struct uplink_stats *stats, struct vmq_err *err)
{
	struct uswitch *sw = calloc(1, sizeof(*sw));
	struct uplink_config cfg = {
		.ifindex = ifindex, .ifname = ifname, .frame = switch_from_wire, .arg = sw,
		.stats = stats,
	};
	int rc;

	if (!sw)
		return vmq_err(err, -ENOMEM, "no memory for the switch on %s", ifname);
	sw->dp = dp;
	rc = stations_open(&sw->stations);
	if (rc)
		vmq_err(err, rc, "no memory for the switch on %s", ifname);
	else
		rc = uplink_open(&sw->uplink, &cfg, err);
	if (rc) {
		switch_close(sw);
		return rc;
	}
	*out = sw;
	return 0;
}

/* Stopped before, and no worker asks it any more; NULL is fine. */
void switch_close(struct uswitch *sw)
{
	if (!sw)
		return;
	uplink_close(sw->uplink);
	stations_close(sw->stations);
	free(sw->moved);
	free(sw);
}

int switch_start(struct uswitch *sw, struct worker *w, struct vmq_err *err)
{
	return uplink_start(sw->uplink, w, err);
}

void switch_stop(struct uswitch *sw)
{
	uplink_stop(sw->uplink);
}

void switch_stats(const struct uswitch *sw, struct uplink_stats *out)
{
	uplink_stats(sw->uplink, out);
}
