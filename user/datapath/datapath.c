// SPDX-License-Identifier: GPL-2.0-only
/*
 * datapath.c - workers, RX queues, switch and ports, put together
 *
 * Opened in the order in which one needs the other: workers, RX queues, switch;
 * closed the other way round. The RX queues of the device may grow in number
 * while we run (ethtool -L); they cannot shrink below ours, because the kernel
 * refuses to take a queue away that an AF_XDP socket is bound to.
 */
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "channel/link.h"
#include "common/util.h"
#include "datapath/closer.h"
#include "datapath/datapath.h"
#include "datapath/frame.h"
#include "datapath/port.h"
#include "vmq/abi.h"

struct datapath {
	struct datapath_config cfg;
	char	 ifname[IF_NAMESIZE];
	uint16_t *cpus;
	struct worker **worker;		/* by position in cpus */
	struct rxq *rxq[VMQ_RXQS_MAX];
	uint32_t rxqs;			/* opened */
	uint32_t txqs;			/* the first ones have a TX queue */
	struct uswitch *sw;
	struct port *ports;
	uint32_t mtu;

	int	 event_fd;		/* a drain is through */
	pthread_mutex_t drained_lock;
	struct port_drain *drained;
	struct closer *closer;		/* closes the rings' sockets */
	bool	 ending;
};

/* ---- RX queues ----------------------------------------------------------------- */

struct rxq_call {
	struct rxq *q;
	int rc;
};

static void rxq_add_source(struct worker *w, void *arg)
{
	struct rxq_call *call = arg;

	call->rc = worker_add(w, rxq_source(call->q));
}

static void rxq_del_source(struct worker *w, void *arg)
{
	worker_del(w, rxq_source(arg));
}

static struct worker *datapath_rxq_worker(struct datapath *dp, uint32_t id)
{
	return dp->worker[id % (uint32_t)dp->cfg.n_cpus];
}

static void datapath_close_rxqs(struct datapath *dp, uint32_t from)
{
	while (dp->rxqs > from) {
		struct rxq *q = dp->rxq[--dp->rxqs];

		worker_call(datapath_rxq_worker(dp, dp->rxqs), rxq_del_source, q);
		rxq_close(q);
		dp->rxq[dp->rxqs] = NULL;
	}
	dp->txqs = MIN(dp->txqs, dp->rxqs);
}

static int datapath_open_rxqs(struct datapath *dp, uint32_t rxqs, uint32_t txqs,
			      struct vmq_err *err)
{
	uint32_t before = dp->rxqs;
	int rc;

	while (dp->rxqs < rxqs) {
		struct rxq_config cfg = {
			.ifname = dp->ifname,
			.id = dp->rxqs,
			.chunk = dp->cfg.chunk,
			.rx_frames = dp->cfg.rx_frames,
			.tx_frames = dp->cfg.tx_frames,
			.has_tx = dp->rxqs < txqs,
		};
		struct rxq_call call = { .rc = 0 };

		rc = rxq_open(&call.q, &cfg, err);
		if (rc)
			goto err_close;
		dp->rxq[dp->rxqs] = call.q;
		if (cfg.has_tx && dp->txqs == dp->rxqs)
			dp->txqs++;
		dp->rxqs++;
		worker_call(datapath_rxq_worker(dp, cfg.id), rxq_add_source, &call);
		if (call.rc) {
			rc = vmq_err_sys(err, call.rc, "a worker cannot watch RX queue %u", cfg.id);
			goto err_close;
		}
	}
	return 0;

err_close:
	datapath_close_rxqs(dp, before);
	return rc;
}

/**
 * datapath_set_rxqs() - the device has more RX queues now
 * @dp: data path
 * @rxqs: RX queues in use
 * @txqs: TX queues in use
 * @err: sentence
 *
 * All ports with rings get rings on the new ones. Queues beyond the XSKMAP's
 * stride are left to the host, as the program does.
 *
 * Return: 0, or -errno and the data path works on as before.
 */
int datapath_set_rxqs(struct datapath *dp, uint32_t rxqs, uint32_t txqs, struct vmq_err *err)
{
	uint32_t before = dp->rxqs;
	struct port *p, *failed;
	int rc;

	rxqs = MIN(rxqs, MIN(dp->cfg.stride, (uint32_t)VMQ_RXQS_MAX));
	if (rxqs <= before)
		return 0;
	rc = datapath_open_rxqs(dp, rxqs, txqs, err);
	if (rc)
		return rc;
	for (p = dp->ports; p; p = *port_link(p)) {
		rc = port_rings_grow(p, rxqs, err);
		if (rc)
			goto err_shrink;
	}
	dp->cfg.rxqs = rxqs;
	dp->cfg.txqs = MAX(txqs, dp->cfg.txqs);
	return 0;

err_shrink:
	failed = p;
	for (p = dp->ports; p != failed; p = *port_link(p))
		if (port_has_rings(p))
			port_rings_shrink(p, before);
	datapath_close_rxqs(dp, before);
	return rc;
}

void datapath_set_name(struct datapath *dp, const char *ifname)
{
	snprintf(dp->ifname, sizeof(dp->ifname), "%s", ifname);
}

void datapath_set_mtu(struct datapath *dp, uint32_t mtu)
{
	struct port *p;

	dp->mtu = mtu;
	for (p = dp->ports; p; p = *port_link(p))
		port_set_max_frame(p, datapath_max_frame(dp));
}

/* ---- open and close --------------------------------------------------------------- */

static int datapath_open_workers(struct datapath *dp, struct vmq_err *err)
{
	int i, rc;

	for (i = 0; i < dp->cfg.n_cpus; i++) {
		rc = worker_open(&dp->worker[i], dp->cpus[i], dp->cfg.poll_us, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int datapath_check(const struct datapath_config *cfg, struct vmq_err *err)
{
	if (cfg->n_cpus < 1)
		return vmq_err(err, -EINVAL, "no CPU to run a worker on");
	if (cfg->chunk != 2048 && cfg->chunk != 4096)
		return vmq_err(err, -EINVAL, "a frame buffer of %u bytes cannot be had; 2048 or "
			       "4096", cfg->chunk);
	if (!cfg->rxqs || cfg->rxqs > cfg->stride || cfg->rxqs > VMQ_RXQS_MAX)
		return vmq_err(err, -EINVAL, "%s has %u RX queues; vmq works with 1 to %u",
			       cfg->ifname, cfg->rxqs, MIN(cfg->stride, (uint32_t)VMQ_RXQS_MAX));
	return 0;
}

int datapath_open(struct datapath **out, const struct datapath_config *cfg,
		  struct vmq_err *err)
{
	struct datapath *dp;
	int rc;

	rc = datapath_check(cfg, err);
	if (rc)
		return rc;
	dp = calloc(1, sizeof(*dp));
	if (!dp)
		return vmq_err_sys(err, -ENOMEM, "cannot open the data path of %s", cfg->ifname);
	dp->cfg = *cfg;
	snprintf(dp->ifname, sizeof(dp->ifname), "%s", cfg->ifname);
	dp->cfg.ifname = dp->ifname;
	pthread_mutex_init(&dp->drained_lock, NULL);
	dp->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	dp->closer = closer_open(dp->event_fd);
	dp->cpus = calloc((size_t)cfg->n_cpus, sizeof(*dp->cpus));
	dp->worker = calloc((size_t)cfg->n_cpus, sizeof(*dp->worker));
	if (dp->event_fd < 0 || !dp->closer || !dp->cpus || !dp->worker) {
		rc = vmq_err_sys(err, dp->event_fd < 0 ? -errno : -ENOMEM,
				 "cannot open the data path of %s", dp->ifname);
		goto err_close;
	}
	memcpy(dp->cpus, cfg->cpus, (size_t)cfg->n_cpus * sizeof(*dp->cpus));
	dp->cfg.cpus = dp->cpus;
	dp->mtu = link_mtu(dp->ifname);
	if (!dp->mtu)
		dp->mtu = ETH_DATA_LEN;

	rc = datapath_open_workers(dp, err);
	if (rc)
		goto err_close;
	rc = datapath_open_rxqs(dp, cfg->rxqs, cfg->txqs, err);
	if (rc)
		goto err_close;
	rc = switch_open(&dp->sw, dp, cfg->ifindex, dp->ifname, cfg->uplink_stats, err);
	if (rc) {
		dp->sw = NULL;
		goto err_close;
	}
	*out = dp;
	return 0;

err_close:
	datapath_close(dp);
	return rc;
}

/**
 * datapath_end() - all ports are about to be closed
 * @dp: data path
 *
 * From now on no socket's end is waited for; datapath_close() waits for all of them.
 */
void datapath_end(struct datapath *dp)
{
	dp->ending = true;
}

struct closer *datapath_closer(struct datapath *dp, const struct closing *of)
{
	return of || dp->ending ? dp->closer : NULL;
}

/**
 * datapath_close() - stop the workers and give the RX queues back
 * @dp: data path, all ports closed and the switch stopped before; may be NULL
 */
void datapath_close(struct datapath *dp)
{
	int i;

	if (!dp)
		return;
	if (dp->sw)
		switch_close(dp->sw);
	closer_close(dp->closer);
	datapath_close_rxqs(dp, 0);
	for (i = 0; dp->worker && i < dp->cfg.n_cpus; i++)
		worker_close(dp->worker[i]);
	if (dp->event_fd >= 0)
		close(dp->event_fd);
	pthread_mutex_destroy(&dp->drained_lock);
	free(dp->worker);
	free(dp->cpus);
	free(dp);
}

/* ---- drains that are through --------------------------------------------------------- */

int datapath_fd(const struct datapath *dp)
{
	return dp->event_fd;
}

void datapath_drained(struct datapath *dp, struct port_drain *d)
{
	uint64_t one = 1;
	ssize_t rc;

	pthread_mutex_lock(&dp->drained_lock);
	d->next = dp->drained;
	dp->drained = d;
	pthread_mutex_unlock(&dp->drained_lock);
	/* Refused only when the counter is full: then the fd is readable anyway. */
	rc = write(dp->event_fd, &one, sizeof(one));
	(void)rc;
}

void datapath_dispatch(struct datapath *dp)
{
	struct port_drain *d, *next;
	uint64_t times;

	if (read(dp->event_fd, &times, sizeof(times)) < 0)
		return;
	pthread_mutex_lock(&dp->drained_lock);
	d = dp->drained;
	dp->drained = NULL;
	pthread_mutex_unlock(&dp->drained_lock);
	for (; d; d = next) {
		next = d->next;
		d->done(d);
	}
	closer_dispatch(dp->closer);
}

static void nothing(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
}

void datapath_sync(struct datapath *dp)
{
	int i;

	for (i = 0; i < dp->cfg.n_cpus; i++)
		worker_call(dp->worker[i], nothing, NULL);
}

/* ---- ports ------------------------------------------------------------------------------ */

void datapath_add_port(struct datapath *dp, struct port *p)
{
	*port_link(p) = dp->ports;
	dp->ports = p;
}

void datapath_del_port(struct datapath *dp, struct port *p)
{
	struct port **at = &dp->ports;

	while (*at && *at != p)
		at = port_link(*at);
	if (*at)
		*at = *port_link(p);
}

/* ---- what there is ---------------------------------------------------------------------- */

struct uswitch *datapath_switch(struct datapath *dp)
{
	return dp->sw;
}

const struct datapath_config *datapath_cfg(const struct datapath *dp)
{
	return &dp->cfg;
}

struct rxq *datapath_rxq(struct datapath *dp, uint32_t id)
{
	return id < dp->rxqs ? dp->rxq[id] : NULL;
}

struct worker *datapath_worker(struct datapath *dp, uint16_t cpu)
{
	int i;

	for (i = 0; i < dp->cfg.n_cpus; i++)
		if (dp->cpus[i] == cpu)
			return dp->worker[i];
	return NULL;
}

struct worker *datapath_worker_at(struct datapath *dp, int i)
{
	return dp->worker[i];
}

/**
 * datapath_txq() - where the frames of a queue's pair go out (T-1)
 * @dp: data path
 * @queue: queue id
 * @pair: pair
 *
 * Return: an RX queue with a TX queue; there is always one.
 */
struct rxq *datapath_txq(struct datapath *dp, uint32_t queue, uint16_t pair)
{
	return dp->rxq[(queue + pair) % MAX(dp->txqs, 1u)];
}

uint32_t datapath_max_frame(const struct datapath *dp)
{
	return MIN(dp->mtu + ETH_HLEN + VLAN_HLEN, dp->cfg.chunk - RXQ_TX_HEADROOM);
}
