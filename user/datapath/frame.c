// SPDX-License-Identifier: GPL-2.0-only
/*
 * frame.c - Ethernet frames in private memory: tags out, tags in
 *
 * A guest must see a frame without the tag of its access VLAN, or with a tag
 * that the NIC took out. Neither is worth moving a frame for: it is copied into
 * the guest's memory anyway, so a frame is described in up to three pieces and
 * the copy leaves out, or puts in, the four bytes.
 */
#include "datapath/frame.h"

#define TAG_OFFSET	(2 * ETH_ALEN)	/* of the outermost TPID */

static bool frame_is_tag(uint16_t proto)
{
	return proto == ETH_P_8021Q || proto == ETH_P_8021AD;
}

/**
 * frame_look() - what the switch needs to know of a frame
 * @fi: out
 * @data: the frame, from its destination address on
 * @len: bytes
 *
 * The same reading as the XDP program's (bpf/parse.h), so that a frame that
 * reached a port through the switch is of the VLAN that it would have been of
 * in the program: only a frame whose outermost tag is 802.1Q has a VLAN, and a
 * priority tag (VLAN 0) in front of a second tag says nothing about it (M-6).
 *
 * Return: false if the frame is shorter than its headers.
 */
bool frame_look(struct frame_info *fi, const uint8_t *data, uint32_t len)
{
	uint16_t proto;
	bool second;

	*fi = (struct frame_info){ .data = data, .len = len };
	if (len < ETH_HLEN)
		return false;

	proto = get16(data + TAG_OFFSET);
	if (!frame_is_tag(proto))
		return true;
	if (len < ETH_HLEN + VLAN_HLEN)
		return false;
	second = frame_is_tag(get16(data + TAG_OFFSET + VLAN_HLEN));
	if (second && len < ETH_HLEN + 2 * VLAN_HLEN)
		return false;

	fi->tagged = proto == ETH_P_8021Q;
	if (fi->tagged)
		fi->tci = get16(data + ETH_HLEN);
	fi->service = !fi->tagged || (second && !VLAN_VID(fi->tci));
	return true;
}

void frame_build(struct frame *f, const uint8_t *data, uint32_t len,
		 uint32_t strip, const uint8_t *tag)
{
	uint8_t *p = (uint8_t *)data;
	uint32_t rest = TAG_OFFSET + strip;

	f->join = NULL;
	if (!strip && !tag) {
		f->part[0] = (struct iovec){ p, len };
		f->parts = 1;
		f->len = len;
		return;
	}

	f->part[0] = (struct iovec){ p, TAG_OFFSET };
	f->parts = 1;
	f->len = len - strip;
	if (tag) {
		f->part[f->parts++] = (struct iovec){ (uint8_t *)tag, VLAN_HLEN };
		f->len += VLAN_HLEN;
	}
	f->part[f->parts++] = (struct iovec){ p + rest, len - rest };
}
