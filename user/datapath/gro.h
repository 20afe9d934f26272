/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gro.h - segments of a TCP stream joined for a guest
 *
 * A guest's cost is by the frame, so consecutive segments of a connection that came
 * in one burst are given to it as one frame, described by a virtio_net_hdr as a NIC
 * with receive offload would do. Never across connections, never across bursts
 * (C-5): nothing waits for what may come.
 *
 * common/gso.h cuts what is joined here into what it was, byte for byte, but for the
 * identification of IPv4 packets that all had the same one (with DF it means nothing,
 * RFC 6864).
 *
 * Pure functions over memory that no guest can write. Any thread.
 */
#ifndef VMQ_GRO_H
#define VMQ_GRO_H

#include <stdint.h>

#include "channel/channel.h"

#define GRO_BURST	64	/* frames at a time, at most */
#define GRO_BUCKETS	64	/* a power of two */

/* Segments found so far that belong together. */
struct gro_train {
	uint8_t	 head, last;	/* frames of the burst */
	uint8_t	 frames;
	bool	 closed;
	bool	 checked;	/* the head's checksums are right */
	bool	 same_id;	/* IPv4: all have one identification; else they count up */
	uint16_t mss;
	uint32_t payload;	/* of all */
};

/* What is kept of a frame that may be joined: where its headers are. */
struct gro_segment {
	const uint8_t *mac;	/* the two addresses */
	const uint8_t *tag;	/* 4 bytes that are put in behind them, or NULL */
	const uint8_t *rest;	/* what follows */
	const uint8_t *ip, *tcp;
	uint16_t payload;
	uint8_t	 tcp_len;
	bool	 ipv6;
};

/* The memory of one burst. */
struct gro {
	struct frame frame[GRO_BURST];		/* out: in the order to be given */
	uint8_t	 order[GRO_BURST];		/* out: which of the burst each one is */
	struct frame_join join[GRO_BURST / 2];
	struct gro_train train[GRO_BURST];
	struct gro_segment segment[GRO_BURST];
	uint8_t	 next[GRO_BURST];		/* in its train; GRO_BURST: none */
	bool	 follows[GRO_BURST];
	uint8_t	 bucket[GRO_BUCKETS];		/* train of a flow; GRO_BURST: none */
	int	 trains;
	int	 joined;			/* trains of more than one frame */
};

/**
 * gro_join() - join what belongs together in a burst
 * @g: memory; valid as long as the result is used
 * @f: frames, each complete
 * @n: how many, at most GRO_BURST
 *
 * Return: @f if nothing could be joined. Else `g->frame`: the same frames, those that
 * are joined behind each other, the first of them with `join`; `g->order` says which
 * of @f each one is. The order of a connection's frames never changes.
 */
const struct frame *gro_join(struct gro *g, const struct frame *f, int n);

#endif /* VMQ_GRO_H */
