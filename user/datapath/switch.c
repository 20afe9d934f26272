// SPDX-License-Identifier: GPL-2.0-only
/*
 * switch.c - who is where: stations, floods, VM to VM, and queue 0
 *
 * DOC: Theory of operation
 *
 * Workers ask the current list of stations (stations.h) with one acquire load
 * and no lock. The control thread never changes a list: it builds the next one,
 * swaps the pointer, waits until every worker has been between two batches
 * (datapath_sync()), and frees the old one. No worker keeps the pointer, or a
 * port from it, from one batch to the next.
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

#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "datapath/stations.h"
#include "datapath/uplink.h"

struct uswitch {
	struct stations *stations;	/* never NULL; replaced as a whole */
	struct datapath *dp;
	struct uplink *uplink;
};

/* ---- workers ------------------------------------------------------------ */

struct port *switch_lookup(struct uswitch *sw, const uint8_t mac[6], uint16_t vlan)
{
	return stations_find(load_acquire(&sw->stations), mac, vlan);
}

bool switch_owns(struct uswitch *sw, const struct port *port, const uint8_t mac[6],
		 uint16_t vlan)
{
	return stations_own(load_acquire(&sw->stations), port, mac, vlan);
}

/* Return: ports that the frame was for; *@got: those that took it. */
static uint32_t switch_flood_to(struct uswitch *sw, const struct port *from,
				const struct frame_info *fi, uint16_t vlan, uint32_t *got)
{
	struct port_list list[2];
	uint32_t asked = 0;

	*got = 0;
	stations_flood(load_acquire(&sw->stations), vlan, list);
	for (int l = 0; l < 2; l++) {
		for (uint32_t i = 0; i < list[l].n; i++) {
			if (list[l].port[i] == from)
				continue;
			asked++;
			*got += port_switch_in(list[l].port[i], fi, vlan);
		}
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

/* Addresses of @to that are not in @from: added to the filter, or taken back. */
static int switch_admit(struct uswitch *sw, const struct stations *from,
			const struct stations *to, struct vmq_err *err)
{
	uint32_t n_from, n_to, f = 0;
	const uint64_t *old = stations_macs(from, &n_from);
	const uint64_t *new = stations_macs(to, &n_to);

	for (uint32_t t = 0; t < n_to; t++) {
		int rc;

		while (f < n_from && old[f] < new[t])
			f++;
		if (f < n_from && old[f] == new[t])
			continue;
		rc = uplink_add_mac(sw->uplink, new[t], err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Addresses of @from that are not in @to: shut out. */
static void switch_expel(struct uswitch *sw, const struct stations *from,
			 const struct stations *to)
{
	uint32_t n_from, n_to, t = 0;
	const uint64_t *old = stations_macs(from, &n_from);
	const uint64_t *new = stations_macs(to, &n_to);

	for (uint32_t f = 0; f < n_from; f++) {
		while (t < n_to && new[t] < old[f])
			t++;
		if (t == n_to || new[t] != old[f])
			uplink_del_mac(sw->uplink, old[f]);
	}
}

/**
 * switch_set_stations() - replace the list of stations
 * @sw: the switch
 * @st: stations, copied
 * @n: how many
 * @err: sentence
 *
 * Return: 0; -EINVAL, -EEXIST as stations_build() says, -ENOMEM, or what the
 * filter's map says. After an error the old list is in use.
 */
int switch_set_stations(struct uswitch *sw, const struct station *st, uint32_t n,
			struct vmq_err *err)
{
	struct stations *old = sw->stations, *new;
	int rc;

	rc = stations_build(&new, st, n, err);
	if (rc)
		return rc;
	rc = switch_admit(sw, old, new, err);
	if (rc) {
		switch_expel(sw, new, old);
		stations_free(new);
		return rc;
	}
	store_release(&sw->stations, new);
	uplink_set_open(sw->uplink, n > 0);
	switch_expel(sw, old, new);
	datapath_sync(sw->dp);
	stations_free(old);
	return 0;
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
	rc = stations_build(&sw->stations, NULL, 0, err);
	if (!rc)
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
	stations_free(sw->stations);
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
