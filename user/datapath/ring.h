/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ring.h - one AF_XDP RX socket: where a pair's frames of one RX queue arrive
 *
 * A ring shares the UMEM of its RX queue (rxq.h) and sits in the XSKMAP at
 * slot * stride + RX queue. Its size is the quota of its pair on that RX queue:
 * as many frames as it has entries are admitted before it is opened, and an
 * entry is released only after its frame has been given back for FILL.
 *
 * The source's poll is receive.c's. Opened, published, withdrawn and closed by
 * the control thread; between them it is the worker's that has the source.
 */
#ifndef VMQ_RING_H
#define VMQ_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <xdp/xsk.h>

#include "common/err.h"
#include "datapath/closer.h"
#include "datapath/rxq.h"
#include "datapath/worker.h"

struct pair;

struct ring {
	struct source source;
	struct pair *pair;
	struct rxq *rxq;
	struct xsk_ring_cons rx;
	struct xsk_socket *xsk;
	uint32_t entries;
	uint32_t key;		/* in the XSKMAP */
	int	 map_fd;
	uint16_t slot;
	bool	 published;
	bool	 blocked;	/* the guest had no room; the worker's */
};

/* What the kernel counted on a socket, over its life. */
struct ring_counts {
	uint64_t full;		/* frames refused: no free entry */
	uint64_t no_buffer;	/* frames refused: no buffer, or longer than one */
};

struct ring_config {
	struct pair *pair;
	struct rxq *rxq;
	uint32_t entries;	/* power of two */
	uint16_t slot;
	uint32_t stride;
	int	 map_fd;	/* XSKMAP */
	int (*poll)(struct source *s);
};

/*
 * ring_open(): admit the frames and bind the socket. Not in the XSKMAP yet.
 * 0; -ENOBUFS; -errno. Nothing is left after an error.
 */
int ring_open(struct ring **out, const struct ring_config *cfg, struct vmq_err *err);
int ring_publish(struct ring *r, struct vmq_err *err);	/* into the XSKMAP */
void ring_withdraw(struct ring *r);			/* out of it */

/*
 * Withdrawn, emptied and in no worker before. @last: the final counts. @closer: who
 * closes the socket, so that nobody waits for it here; NULL: here and now.
 */
void ring_close(struct ring *r, struct ring_counts *last, struct closer *closer,
		struct closing *of);

void ring_counts(const struct ring *r, struct ring_counts *out);
uint32_t ring_in_flight(const struct ring *r);	/* entries not released; any thread */

#endif /* VMQ_RING_H */
