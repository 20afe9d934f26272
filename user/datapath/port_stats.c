// SPDX-License-Identifier: GPL-2.0-only
/*
 * port_stats.c - a port's counters, so that every frame is in one of them
 *
 * They are in four places that change all the time: what the program counted, what
 * lies in the rings, what the kernel counted on the sockets, and what the workers
 * counted. Control thread.
 */
#include <time.h>

#include "common/util.h"
#include "datapath/port_own.h"

#define BATCH_NS	100000	/* the kernel is through a batch in this time, mostly */
#define LOOKS		3	/* at frames that seem to be missing */

static void port_sum_pair(const struct pair *pair, struct port_stats *out)
{
	const struct stat_desc *d;

	for (d = port_stat_table; d->name; d++) {
		const char *from = (const char *)pair->stats + d->offset;
		char *to = (char *)out + d->offset;

		*(uint64_t *)to += load_relaxed((const uint64_t *)from);
	}
}

/*
 * Read against the stream - first what lies in the rings, then what has left
 * them - so that a frame can be seen twice but never missed.
 * Return: how many frames of the rings are accounted for.
 */
static uint64_t port_read_stats(const struct port *p, struct port_stats *out)
{
	struct ring_counts sum = p->banked, live;
	uint32_t r;
	int i;

	*out = (struct port_stats){ 0 };
	for (i = 0; p->has_rings && i < p->width; i++)
		for (r = 0; r < p->rings; r++)
			out->in_flight += ring_in_flight(p->pair[i]->ring[r]);
	for (i = 0; p->has_rings && i < p->width; i++) {
		for (r = 0; r < p->rings; r++) {
			ring_counts(p->pair[i]->ring[r], &live);
			sum.full += live.full;
			sum.no_buffer += live.no_buffer;
		}
	}
	for (i = 0; i < p->pairs; i++)
		port_sum_pair(p->pair[i], out);
	out->ring_full = sum.full;
	out->no_buffer = sum.no_buffer;
	return out->in_flight + out->ring_full + out->no_buffer + out->delivered +
	       out->channel_full + out->channel_error + out->discarded;
}

/**
 * port_get_stats() - a port's counters, so that every frame is in one of them
 * @p: port
 * @bpf: what the program counted, read before the call
 * @out: counters
 *
 * The kernel publishes a ring at the end of its batch, so frames that the
 * program has counted can be nowhere else for some microseconds. They are not
 * redirect_failed: look again before saying so. At rest all figures are exact;
 * under load `matched` is at least what the others add up to.
 */
void port_get_stats(const struct port *p, const struct vmq_slot_stats *bpf,
		    struct port_stats *out)
{
	struct timespec pause = { .tv_nsec = BATCH_NS };
	uint64_t known, lost = p->kept->lost_at_restart;
	int looks = 0;

	while (known = port_read_stats(p, out) + lost, known < bpf->redirected && looks++ < LOOKS)
		nanosleep(&pause, NULL);
	out->too_big = bpf->too_big;
	out->to_host = bpf->to_host;
	out->matched_bytes = bpf->bytes;
	out->redirect_failed = bpf->redirected - MIN(known, bpf->redirected);
	out->matched = bpf->too_big + MAX(known, bpf->redirected);
	out->lost_at_restart = lost;
	/* What was told once must not be less after a restart. */
	p->kept->ring_full = out->ring_full;
	p->kept->no_buffer = out->no_buffer;
	p->kept->redirect_failed = out->redirect_failed;
}

void port_get_pair_stats(const struct port *p, uint16_t pair, struct port_pair_stats *out)
{
	const struct pair *from = p->pair[pair];

	out->cpu = worker_cpu(from->worker);
	out->delivered = load_relaxed(&from->stats->delivered);
	out->switched = load_relaxed(&from->stats->switch_delivered);
	out->tx_frames = load_relaxed(&from->stats->tx_frames);
	out->handled = out->delivered + out->tx_frames +
		       load_relaxed(&from->stats->channel_full) +
		       load_relaxed(&from->stats->channel_error) +
		       load_relaxed(&from->stats->discarded);
}
