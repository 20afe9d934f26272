/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stations.h - the switch's list: who is where
 *
 * Changed by the control thread, read by any number of workers without a lock.
 * Readers see one whole version: stations that were set come into view together,
 * at the commit. What a version has left behind is kept for those who may still
 * read it, until the caller knows that none does. Ports are opaque here: nothing
 * looks into them.
 */
#ifndef VMQ_STATIONS_H
#define VMQ_STATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "datapath/switch.h"

struct stations;

int stations_open(struct stations **out);	/* an empty list; 0 or -ENOMEM */
void stations_close(struct stations *s);	/* without readers; NULL is fine */

/* ---- control thread: a change is any number of these, then commit or abort ---- */

/* Has a station of this address come as the first, or gone as the last? */
enum station_mac { STATION_MAC_STAYS, STATION_MAC_CAME, STATION_MAC_WENT };

/**
 * stations_set() - say whose an address is in a VLAN
 * @s: list
 * @st: address, rule, and port; port NULL: nobody's
 * @mac: out: what that does to the address
 * @err: sentence
 *
 * Costs the same in a list of any size, but for the logarithm.
 *
 * Return: 0; -EINVAL for an address or rule that no station can have; -ENOMEM.
 * After an error the change can only be aborted.
 */
int stations_set(struct stations *s, const struct station *st, enum station_mac *mac,
		 struct vmq_err *err);

/* As a change without anything before it: all leave. @went gets each address; cannot fail. */
void stations_clear(struct stations *s, void (*went)(void *arg, uint64_t mac), void *arg);

void stations_commit(struct stations *s);	/* now readers see it */
void stations_abort(struct stations *s);	/* as if nothing had been set */

/* Of what has been set so far: how many; does anybody have that address? */
uint32_t stations_count(const struct stations *s);
bool stations_know(const struct stations *s, uint64_t mac);

/* Pieces that only readers of older versions see; free them: there are no such readers. */
uint32_t stations_retired(const struct stations *s);
void stations_reclaim(struct stations *s);

/* ---- readers -------------------------------------------------------------------- */

/* As switch_lookup() and switch_owns() say. */
struct port *stations_find(const struct stations *s, const uint8_t mac[6], uint16_t vlan);
bool stations_own(const struct stations *s, const struct port *port, const uint8_t mac[6],
		  uint16_t vlan);

/* The ports of a VLAN, each once: those of that very rule, and those of rule ANY. */
struct flood {
	const struct row *row[2];
	uint32_t at[2];
};
void stations_flood(const struct stations *s, uint16_t vlan, struct flood *f);
struct port *flood_next(struct flood *f);	/* NULL: no more */

#endif /* VMQ_STATIONS_H */
