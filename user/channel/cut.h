/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cut.h - what a guest leaves to us: checksums to complete, streams to cut
 *
 * A guest that was offered checksum and segmentation offloads hands over frames
 * with a virtio_net_hdr. The frame is private memory by now, and so is the header;
 * nothing in either is trusted.
 *
 * A frame to cut becomes several, which need not fit one batch: the rest is taken
 * before anything else is (cut_more()).
 */
#ifndef VMQ_CUT_H
#define VMQ_CUT_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel/channel.h"
#include "common/gso.h"

#define CUT_MAX		(65535 + 14 + 2 * 4)	/* an IP packet and two tags */

struct cut {
	struct gso gso;
	uint8_t	*joined;	/* CUT_MAX bytes: the frame to cut */
	bool	 under_way;	/* segments of it are left */
};

/**
 * cut_complete() - do what the header of an ordinary frame asks for
 * @hdr: little-endian, as in virtio 1.0
 * @buf: the frame
 */
enum channel_fault cut_complete(const struct virtio_net_hdr *hdr, struct frame_buf *buf);

/**
 * cut_begin() - look at a joined frame
 * @c: its bytes are in `joined`
 * @hdr: little-endian; with a gso_type that was agreed on
 * @len: bytes
 *
 * Return: CHANNEL_FINE, and segments are there for cut_more(), or the fault.
 */
enum channel_fault cut_begin(struct cut *c, const struct virtio_net_hdr *hdr, uint32_t len);

/* As many segments as there is room for. Return: how many; 0: none are left. */
int cut_more(struct cut *c, struct frame_buf *buf, int n);

#endif /* VMQ_CUT_H */
