// SPDX-License-Identifier: GPL-2.0-only
/*
 * ring.c - one AF_XDP RX socket of a pair
 *
 * A socket that shares a pool may not name bind flags: it takes the anchor's
 * (xsk_bind(), net/xdp/xsk.c, EINVAL otherwise). It is RX-only; transmit is the
 * anchor's. close(2) is not the end of a socket whose rings are mapped: the
 * XSKMAP entry and the pool stay until the last mapping is gone, so libxdp's
 * xsk_socket__delete(), which unmaps first, is what ends one here.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/util.h"
#include "datapath/ring.h"

static int ring_bind(struct ring *r, struct vmq_err *err)
{
	struct xsk_socket_config cfg = {
		.rx_size = r->entries,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
	};
	char ifname[IF_NAMESIZE];
	int rc;

	/* The name of today: the device may have been renamed since we attached. */
	if (!if_indextoname((unsigned int)rxq_ifindex(r->rxq), ifname))
		return vmq_err(err, -ENODEV, "the interface is gone");
	rc = xsk_socket__create_shared(&r->xsk, ifname, rxq_id(r->rxq), rxq_umem(r->rxq), &r->rx,
				       NULL, NULL, NULL, &cfg);
	if (!rc)
		return 0;
	r->xsk = NULL;
	if (rc == -EMFILE || rc == -ENFILE)
		return vmq_err_sys(err, rc, "cannot open a socket for a ring on RX queue %u; raise "
				   "the limit on open files (LimitNOFILE=, ulimit -n)",
				   rxq_id(r->rxq));
	return vmq_err_sys(err, rc, "cannot bind a ring of %u entries to RX queue %u of %s",
			   r->entries, rxq_id(r->rxq), ifname);
}

int ring_open(struct ring **out, const struct ring_config *cfg, struct vmq_err *err)
{
	struct ring *r;
	int rc;

	rc = rxq_admit(cfg->rxq, cfg->entries, err);
	if (rc)
		return rc;
	/* Zeroed: libxdp 1.3.1 does not set every field of a ring. */
	r = calloc(1, sizeof(*r));
	if (!r) {
		rc = vmq_err_sys(err, -ENOMEM, "cannot open a ring");
		goto err_release;
	}
	r->pair = cfg->pair;
	r->rxq = cfg->rxq;
	r->entries = cfg->entries;
	r->slot = cfg->slot;
	r->key = cfg->slot * cfg->stride + rxq_id(cfg->rxq);
	r->map_fd = cfg->map_fd;
	r->source.poll = cfg->poll;
	r->source.from = FROM_WIRE;
	r->source.cheap = true;
	rc = ring_bind(r, err);
	if (rc)
		goto err_free;
	r->source.fd = xsk_socket__fd(r->xsk);
	*out = r;
	return 0;

err_free:
	free(r);
err_release:
	rxq_release(cfg->rxq, cfg->entries);
	return rc;
}

int ring_publish(struct ring *r, struct vmq_err *err)
{
	if (bpf_map_update_elem(r->map_fd, &r->key, &r->source.fd, BPF_ANY))
		return vmq_err_sys(err, -errno, "cannot put the ring of RX queue %u into the "
				   "XSKMAP at %u", rxq_id(r->rxq), r->key);
	r->published = true;
	return 0;
}

void ring_withdraw(struct ring *r)
{
	if (r->published)
		bpf_map_delete_elem(r->map_fd, &r->key);
	r->published = false;
}

void ring_close(struct ring *r, struct ring_counts *last, struct closer *closer,
		struct closing *of)
{
	int copy = closer ? fcntl(r->source.fd, F_DUPFD_CLOEXEC, 0) : -1;

	ring_counts(r, last);
	/* With a copy open this is not the socket's end yet, and does not wait. */
	xsk_socket__delete(r->xsk);
	if (copy >= 0)
		closer_add(closer, copy, of);
	rxq_release(r->rxq, r->entries);
	free(r);
}

/**
 * ring_counts() - what the kernel counted on the socket
 * @r: ring
 * @out: counts
 *
 * rx_ring_full is apart from rx_dropped since 5.9. rx_dropped counts a missing
 * buffer and a frame longer than one alike; the program has dropped the long
 * ones before. rx_fill_ring_empty_descs is the pool's, not the socket's: not
 * summed here.
 */
void ring_counts(const struct ring *r, struct ring_counts *out)
{
	struct xdp_statistics st = { 0 };
	socklen_t len = sizeof(st);

	*out = (struct ring_counts){ 0 };
	if (getsockopt(r->source.fd, SOL_XDP, XDP_STATISTICS, &st, &len))
		return;
	out->full = st.rx_ring_full;
	out->no_buffer = st.rx_dropped;
}

uint32_t ring_in_flight(const struct ring *r)
{
	uint32_t done = load_relaxed(r->rx.consumer);

	return load_acquire(r->rx.producer) - done;
}
