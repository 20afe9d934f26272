/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stations.h - one immutable list of who is where
 *
 * Built once by the control thread, read by any number of workers, freed when
 * none of them can see it any more (switch.c). Ports are opaque here: nothing
 * looks into them.
 */
#ifndef VMQ_STATIONS_H
#define VMQ_STATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "datapath/switch.h"

struct stations;

/**
 * stations_build() - make a list
 * @out: the list
 * @st: stations, copied; the same one twice counts once
 * @n: how many, 0 and more
 * @err: sentence
 *
 * Return: 0; -EINVAL for an address or rule that no station can have; -EEXIST
 * when two ports claim the same address in the same VLAN; -ENOMEM.
 */
int stations_build(struct stations **out, const struct station *st, uint32_t n,
		   struct vmq_err *err);
void stations_free(struct stations *s);		/* NULL is fine */

/* As switch_lookup() and switch_owns() say. */
struct port *stations_find(const struct stations *s, const uint8_t mac[6], uint16_t vlan);
bool stations_own(const struct stations *s, const struct port *port, const uint8_t mac[6],
		  uint16_t vlan);

/* A run of ports, each once. */
struct port_list {
	struct port *const *port;
	uint32_t n;
};

/* The ports of a VLAN, for floods: those of that very rule, and those of rule ANY. */
void stations_flood(const struct stations *s, uint16_t vlan, struct port_list out[2]);

/* All addresses, sorted, each once, as 48-bit numbers (mac_to_u48()). */
const uint64_t *stations_macs(const struct stations *s, uint32_t *n);

#endif /* VMQ_STATIONS_H */
