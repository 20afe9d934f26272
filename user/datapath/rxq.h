/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rxq.h - one RX queue of the device: UMEM, FILL, COMPLETION, anchor socket
 *
 * The kernel allows one buffer pool per (netdev, RX queue) (net/xdp/
 * xsk_buff_pool.c xp_assign_dev()), so the service owns it and every pair's
 * socket on this RX queue shares it. The *anchor* is the pool's first socket:
 * bound first, it keeps the pool alive and transmits on the TX queue of the
 * same number.
 *
 * Buffers are admitted, not hoped for: rxq_admit() reserves a ring's worth of
 * frames before a socket is opened, so that FILL never runs dry however many
 * guests stall (P-13). An RX entry is released only after its frame has been given
 * back (rxq_refill()), else the sum would not hold.
 *
 * rxq_refill(), rxq_tx_*() may be called by any worker; they take the RX
 * queue's fill or transmit lock for one batch. All else: control thread.
 */
#ifndef VMQ_RXQ_H
#define VMQ_RXQ_H

#include <stdbool.h>
#include <stdint.h>
#include <xdp/xsk.h>

#include "channel/channel.h"
#include "common/err.h"
#include "datapath/worker.h"

struct rxq;

struct rxq_config {
	const char *ifname;
	uint32_t id;		/* RX (and TX) queue number */
	uint32_t chunk;		/* 2048 or 4096 */
	uint32_t rx_frames;	/* frames that rings can be given */
	uint32_t tx_frames;
	bool	 has_tx;	/* the device has a TX queue of this number */
};

#define RXQ_RESERVE	512	/* frames FILL keeps beyond all quotas */

int rxq_open(struct rxq **out, const struct rxq_config *cfg, struct vmq_err *err);
void rxq_close(struct rxq *q);		/* all rings on it closed before */

uint32_t rxq_id(const struct rxq *q);
int rxq_ifindex(const struct rxq *q);
struct xsk_umem *rxq_umem(struct rxq *q);
void *rxq_data(struct rxq *q, uint64_t addr);	/* frame memory of a descriptor */

/* Reserve @n frames for a ring. 0, or -ENOBUFS with the product in @err. */
int rxq_admit(struct rxq *q, uint32_t n, struct vmq_err *err);
void rxq_release(struct rxq *q, uint32_t n);
uint32_t rxq_frames_free(const struct rxq *q);	/* not admitted yet */

/* Give frames back, for FILL. Never fails. */
void rxq_refill(struct rxq *q, const uint64_t *addr, uint32_t n);
/* None came back from a ring that has been looked at; FILL may need others. */
void rxq_look_after(struct rxq *q);

/*
 * Transmit: borrow private frames, fill them, send or return them. Borrowing
 * reaps completions. Return of rxq_tx_borrow(): how many, possibly 0. Each
 * buffer has RXQ_TX_HEADROOM bytes free in front of `data` (for a tag), and
 * may be sent with `data` and `len` moved within the frame.
 *
 * rxq_tx_send() queues frames for the device and kicks it. Return: how many it
 * did not refuse; all @n are the RX queue's again, and the difference is the
 * caller's to count as wire errors. Frames that the device has no room for yet
 * stay queued; the RX queue's own source (rxq_source(), given to one worker)
 * goes on with them.
 */
#define RXQ_TX_HEADROOM	8
uint32_t rxq_tx_borrow(struct rxq *q, struct frame_buf *buf, uint32_t n);
void rxq_tx_return(struct rxq *q, const struct frame_buf *buf, uint32_t n);
uint32_t rxq_tx_send(struct rxq *q, const struct frame_buf *buf, uint32_t n);
struct source *rxq_source(struct rxq *q);

#endif /* VMQ_RXQ_H */
