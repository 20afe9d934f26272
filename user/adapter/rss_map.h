/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss_map.h - the RSS records of all queues, mapped
 *
 * A frame may be reading a record at any time, so there are two kinds of change:
 *
 *   - slots of entries, and of the default: aligned 16-bit stores into the half
 *     in use. Each frame sees the old slot or the new one. Needs no waiting,
 *     however often it is done.
 *   - key, types or size: the idle half is written and `sel` flipped (rss.h). The
 *     half left behind may still be read by frames under way, so the next such
 *     change must wait for a grace period; whose turn that is the caller knows.
 *
 * Control thread only.
 */
#ifndef VMQ_RSS_MAP_H
#define VMQ_RSS_MAP_H

#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

struct rss_map;

/* @queues: the highest queue id. The descriptors stay the caller's. */
int rss_map_open(struct rss_map **out, int rss_fd, int toeplitz_fd, uint32_t queues,
		 struct vmq_err *err);
void rss_map_close(struct rss_map *m);

/* All parameters of a queue as one change; the idle half is read by nobody. */
void rss_map_write(struct rss_map *m, uint32_t queue, const struct vmq_rss_params *params,
		   const uint8_t key[VMQ_RSS_KEY_LEN]);

/* Only slots: of all entries and of the default, one by one. */
void rss_map_steer(struct rss_map *m, uint32_t queue, const struct vmq_rss_params *params);

/* Only which of the types may be the NIC's; an aligned store as well. */
void rss_map_nic(struct rss_map *m, uint32_t queue, uint16_t nic_types);

#endif /* VMQ_RSS_MAP_H */
