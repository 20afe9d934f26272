/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * frame.h - Ethernet frames in private memory: tags out, tags in
 *
 * Pure functions over memory that no guest can write. Any thread.
 */
#ifndef VMQ_FRAME_H
#define VMQ_FRAME_H

#include <linux/if_ether.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "common/bytes.h"

#define VLAN_HLEN	4
#define VLAN_VID(tci)	((tci) & 0xfff)

/* What the switch needs to know of a frame. */
struct frame_info {
	const uint8_t *data;
	uint32_t len;
	bool	 tagged;	/* an 802.1Q tag is at offset 12 */
	bool	 service;	/* outermost tag is 802.1ad, or a priority tag in
				 * front of a second tag: of no single VLAN */
	uint16_t tci;		/* of that tag, host order */
};

/* Return: false if the frame is shorter than its headers. */
bool frame_look(struct frame_info *fi, const uint8_t *data, uint32_t len);

static inline bool frame_is_multicast(const uint8_t *data)
{
	return data[0] & 1;
}

/*
 * 01:80:c2:00:00:00 to 0f: for the two ends of one link (IEEE 802.1Q, table 8-1):
 * STP, PAUSE, LACP, LLDP, 802.1X. No bridge forwards them.
 */
static inline bool frame_is_link_local(const uint8_t *data)
{
	return data[0] == 0x01 && data[1] == 0x80 && data[2] == 0xc2 && !data[3] && !data[4] &&
	       !(data[5] & 0xf0);
}

/* A tag as it stands in a frame. */
static inline void frame_put_tag(uint8_t tag[VLAN_HLEN], uint16_t tpid, uint16_t tci)
{
	put16(tag, tpid);
	put16(tag + 2, tci);
}

/**
 * frame_build() - describe a frame as it shall reach a guest
 * @f: out
 * @data: the frame
 * @len: its length, at least ETH_HLEN
 * @strip: bytes to leave out at offset 12 (0 or VLAN_HLEN)
 * @tag: 4 bytes (TPID and TCI, network order) to put in at offset 12, or NULL
 */
void frame_build(struct frame *f, const uint8_t *data, uint32_t len,
		 uint32_t strip, const uint8_t *tag);

#endif /* VMQ_FRAME_H */
