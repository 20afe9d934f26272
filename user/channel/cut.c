// SPDX-License-Identifier: GPL-2.0-only
/*
 * cut.c - what a guest leaves to us: checksums to complete, streams to cut
 *
 * The kinds of channels whose frames have a virtio_net_hdr share this, so that
 * all of their guests get the same answer to the same nonsense.
 */
#include <endian.h>

#include "channel/cut.h"
#include "common/csum.h"

enum channel_fault cut_complete(const struct virtio_net_hdr *hdr, struct frame_buf *buf)
{
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return CHANNEL_FINE;
	return csum_complete(buf->data, buf->len, le16toh(hdr->csum_start),
			     le16toh(hdr->csum_offset)) ? CHANNEL_BAD_CSUM : CHANNEL_FINE;
}

enum channel_fault cut_begin(struct cut *c, const struct virtio_net_hdr *hdr, uint32_t len)
{
	if (gso_begin(&c->gso, c->joined, len, hdr->gso_type, le16toh(hdr->gso_size)))
		return CHANNEL_BAD_GSO;
	c->under_way = true;
	return CHANNEL_FINE;
}

int cut_more(struct cut *c, struct frame_buf *buf, int n)
{
	int taken = 0;

	while (c->under_way && taken < n) {
		int len = gso_next(&c->gso, buf[taken].data, buf[taken].room);

		c->under_way = len > 0;
		if (!len)
			break;
		buf[taken].len = len < 0 ? 0 : (uint32_t)len;
		buf[taken].fault = len < 0 ? CHANNEL_TOO_LONG : CHANNEL_FINE;
		taken++;
	}
	return taken;
}
