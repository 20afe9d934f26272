// SPDX-License-Identifier: GPL-2.0-only
/*
 * transmit.c - a guest's frame on its way out
 *
 * DOC: Theory of operation
 *
 * The channel copies a frame once, into private memory that is a transmit frame
 * of the UMEM already; everything is decided about that copy (M-4, M-7, M-8),
 * and a frame for the wire is sent from where it lies.
 *
 * A frame is brought into the shape it has on the wire first, with the access
 * VLAN's tag in it, and only then is looked at for its destination. So the wire,
 * a port of the same VLAN and a port of any VLAN all get it from the same bytes;
 * port.c leaves the tag out where the guest must not see it. The tag goes into
 * the headroom: the two addresses move down, the payload stays.
 *
 * What --trust turns off is the comparison of the source address with the port's
 * stations, for guests that are bridges or routers themselves, and the end of
 * frames to link-local groups: PAUSE, LACP, STP, LLDP would speak to the switch
 * port in the host's name. A trusted guest's go to the wire, never to a port. A tag
 * of a trusted guest's own stays, on an access port too, and names the frame's
 * VLAN; without trust such a frame is refused, as it is on a switch.
 *
 * Counters: tx_frames are all that were taken; each has a fault that the channel
 * found, is spoofed, of a wrong VLAN, link-local, malformed, too long, local, or for
 * the wire (sent, without a buffer, or refused), and a flooded one is local and for
 * the wire.
 */
#include <linux/if_ether.h>
#include <string.h>

#include "common/util.h"
#include "datapath/frame.h"
#include "datapath/port.h"
#include "datapath/transmit.h"
#include "vmq/abi.h"

#define SCRATCH_FRAMES	16	/* taken at a time while the wire is blocked */
#define SCRATCH_SIZE	4096	/* as the largest chunk */

/*
 * Give a frame its access VLAN. A priority tag (VLAN 0) becomes the VLAN's tag
 * and keeps its priority; any other frame has no tag and gets one.
 */
static void transmit_enter_vlan(struct frame_buf *buf, struct frame_info *fi, uint16_t vlan)
{
	uint16_t tci = vlan;

	if (fi->tagged) {
		tci |= fi->tci & (uint16_t)~0xfff;
	} else {
		memmove(buf->data - VLAN_HLEN, buf->data, 2 * ETH_ALEN);
		buf->data -= VLAN_HLEN;
		buf->len += VLAN_HLEN;
	}
	frame_put_tag(buf->data + 2 * ETH_ALEN, ETH_P_8021Q, tci);
	*fi = (struct frame_info){
		.data = buf->data, .len = buf->len, .tagged = true, .tci = tci,
	};
}

/* Where what a channel found is counted. */
static uint64_t *transmit_fault(struct port_stats *st, enum channel_fault fault)
{
	static const size_t at[] = {
		[CHANNEL_BAD_HEADER] = offsetof(struct port_stats, tx_bad_header),
		[CHANNEL_BAD_CSUM] = offsetof(struct port_stats, tx_bad_csum),
		[CHANNEL_BAD_GSO] = offsetof(struct port_stats, tx_bad_gso),
		[CHANNEL_TOO_LONG] = offsetof(struct port_stats, tx_too_long),
		[CHANNEL_DISABLED] = offsetof(struct port_stats, tx_disabled),
	};

	return (uint64_t *)(void *)((char *)st + at[fault]);
}

static bool refuse(uint64_t **why, uint64_t *counter)
{
	*why = counter;
	return false;
}

/*
 * Is the frame one that this port may send? If so, it is in its wire shape
 * afterwards; if not, @why is the counter of what is wrong with it.
 */
static bool transmit_check(const struct transmit_ctx *t, struct frame_buf *buf,
			   struct frame_info *fi, uint16_t *vlan, uint64_t **why)
{
	struct port_stats *st = t->stats;
	uint32_t limit = load_relaxed(&t->max_frame);
	bool enters = false;

	if (buf->fault)
		return refuse(why, transmit_fault(st, buf->fault));
	if (!frame_look(fi, buf->data, buf->len))
		return refuse(why, &st->tx_malformed);

	*vlan = switch_vlan_of(fi);
	if (buf->own)
		return true;
	if (t->rule != VMQ_RULE_ANY) {
		if (*vlan != 0 && !t->trust)
			return refuse(why, &st->tx_vlan);
		enters = *vlan == 0 && t->rule != VMQ_RULE_UNTAGGED;
		if (enters)
			*vlan = t->rule;
	}
	if (buf->data[ETH_ALEN] & 1)
		return refuse(why, &st->tx_spoofed);
	if (!t->trust && !switch_owns(t->sw, t->port, buf->data + ETH_ALEN, *vlan))
		return refuse(why, &st->tx_spoofed);
	if (!t->trust && frame_is_link_local(buf->data))
		return refuse(why, &st->tx_link_local);

	if (enters)
		transmit_enter_vlan(buf, fi, t->rule);
	if (!fi->tagged && !fi->service)
		limit -= VLAN_HLEN;	/* max_frame is with one tag */
	return buf->len <= limit || refuse(why, &st->tx_too_long);
}

/*
 * One frame: to the ports it is for. Return: true if it is for the wire as well.
 * A frame to an address of the sender's own ends here, as it would in a bridge.
 */
static bool transmit_switch(struct transmit_ctx *t, struct frame_buf *buf)
{
	struct frame_info fi;
	struct port *to;
	uint64_t *why;
	uint16_t vlan;

	counter_add(&t->stats->tx_frames, 1);
	counter_add(&t->stats->tx_bytes, buf->len);
	if (!transmit_check(t, buf, &fi, &vlan, &why)) {
		counter_add(why, 1);
		return false;
	}
	if (frame_is_multicast(fi.data)) {
		if (!frame_is_link_local(fi.data) && switch_flood(t->sw, t->port, &fi, vlan))
			counter_add(&t->stats->tx_local, 1);
		return true;
	}
	to = switch_lookup(t->sw, fi.data, vlan);
	if (!to)
		return true;
	if (to != t->port)
		port_switch_in(to, &fi, vlan);
	counter_add(&t->stats->tx_local, 1);
	return false;
}

/*
 * No transmit frame is free: the wire is blocked, or others keep it busy. VM to
 * VM traffic must not wait for that, and a guest's ring that is not read is not
 * announced again, so frames are taken all the same, and those for the wire are
 * dropped and counted. Not inline: the memory is on the stack only when needed.
 */
static __attribute__((noinline)) int transmit_blocked(struct transmit_ctx *t)
{
	uint8_t memory[SCRATCH_FRAMES][SCRATCH_SIZE];
	struct frame_buf buf[SCRATCH_FRAMES];
	int n;

	for (int i = 0; i < SCRATCH_FRAMES; i++) {
		buf[i] = (struct frame_buf){
			.data = memory[i] + RXQ_TX_HEADROOM,
			.room = SCRATCH_SIZE - RXQ_TX_HEADROOM,
		};
	}
	n = t->channel->ops->tx_burst(t->channel, t->pair, buf, SCRATCH_FRAMES);
	for (int i = 0; i < n; i++) {
		if (transmit_switch(t, &buf[i]))
			counter_add(&t->stats->tx_no_buffer, 1);
	}
	return n;
}

/**
 * transmit_poll() - one batch of a guest's frames
 * @t: the pair's context
 *
 * Return: frames taken from the guest; 0: none; -errno: the channel broke.
 */
int transmit_poll(struct transmit_ctx *t)
{
	struct frame_buf buf[TRANSMIT_BATCH], wire[TRANSMIT_BATCH];
	uint32_t n, n_back = 0, n_wire = 0, sent;
	int taken;

	n = rxq_tx_borrow(t->txq, buf, TRANSMIT_BATCH);
	if (!n)
		return transmit_blocked(t);
	taken = t->channel->ops->tx_burst(t->channel, t->pair, buf, (int)n);
	for (uint32_t i = 0; i < n; i++) {
		if ((int)i < taken && transmit_switch(t, &buf[i]))
			wire[n_wire++] = buf[i];
		else
			buf[n_back++] = buf[i];
	}
	if (n_back)
		rxq_tx_return(t->txq, buf, n_back);
	if (n_wire) {
		sent = rxq_tx_send(t->txq, wire, n_wire);
		counter_add(&t->stats->tx_wire, sent);
		counter_add(&t->stats->tx_wire_error, n_wire - sent);
	}
	return taken;
}
