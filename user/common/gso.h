/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gso.h - what a packet socket or a guest hands over that no wire would carry
 *
 * The kernel joins segments of a stream on receive (GRO) and leaves checksums
 * of frames that never met a wire half done. A packet socket with
 * PACKET_VNET_HDR gets both, described by a virtio_net_hdr. A guest must get
 * frames as they were on the wire: csum_complete() (common/csum.h) completes a
 * checksum, gso_begin() and gso_next() cut a joined frame into segments.
 *
 * Pure functions over private memory. Nothing in the header or the frame is
 * trusted: what does not add up is -EINVAL, and the frame is the caller's to
 * count as malformed.
 */
#ifndef VMQ_GSO_H
#define VMQ_GSO_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stdint.h>

/* In linux/virtio_net.h since 6.2. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* One joined frame on its way into segments. */
struct gso {
	const uint8_t *data;
	uint32_t end;		/* of the payload; behind it lies padding */
	uint32_t l3, l4;	/* offsets of the IP and the TCP or UDP header */
	uint32_t headers;	/* offset of the payload */
	uint32_t mss;		/* payload of each segment but the last */
	uint32_t at;		/* offset of the next segment's payload */
	uint32_t index;		/* number of the next segment */
	bool	 ipv6, udp;
};

/**
 * gso_begin() - look at a joined frame
 * @g: out; refers to @data
 * @data: frame, tags in it
 * @len: its length
 * @type: gso_type of the virtio_net_hdr
 * @mss: gso_size of it
 *
 * TCP and UDP over IPv4 (also with options) and IPv6 (also with hop-by-hop and
 * destination options). Tunnels are refused.
 *
 * Return: 0, or -EINVAL.
 */
int gso_begin(struct gso *g, const uint8_t *data, uint32_t len, uint8_t type, uint16_t mss);

/**
 * gso_next() - write the next segment
 * @g: from gso_begin()
 * @out: where to; complete, checksums and all
 * @room: bytes there
 *
 * Return: the segment's length; 0 after the last; -EMSGSIZE if @room is too small.
 */
int gso_next(struct gso *g, uint8_t *out, uint32_t room);

#endif /* VMQ_GSO_H */
