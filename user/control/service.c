/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * service.c - building the service, its loop, and taking it apart
 *
 * Order of building: attach (program, maps, pins), FIB and filters, barrier,
 * data path, records of an earlier run, and last the socket: who can connect
 * finds a service that is ready. Taking apart is the reverse.
 */
#include "control/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "common/log.h"
#include "common/util.h"
#include "control/address.h"
#include "control/apply.h"
#include "control/balance.h"
#include "control/device.h"
#include "control/events.h"
#include "control/guest.h"
#include "control/host.h"
#include "control/queue.h"
#include "control/restore.h"
#include "control/rss.h"

#define TX_FRAMES 1024u		/* per RX queue, for what guests send */
#define RING_MANY_RXQS 256u
#define RING_FEW_RXQS 512u
#define FEW_RXQS 8u
#define RING_LEAST 64u

/* ---- sizes ------------------------------------------------------------- */

/*
 * The product queues x RX queues x ring costs pinned memory, so rings shrink as
 * the limit on queues grows: up to 64 queues get the full size, 1,024 get 64
 * entries each. Full is 512 with few RX queues: a ring is what a worker may be
 * late by. On two busy cores one TCP stream to a tap lost 0.13 % (cubic) and 9.4 %
 * (BBR) of its frames to a full ring of 256, 0.006 % and 2.5 % with 512, none and
 * 0.6 % with 1,024. With many RX queues load is spread over as many rings, and 512
 * would cost 64 MiB for each of them.
 */
static void choose_sizes(struct service *s, uint32_t rxqs)
{
	uint32_t ring = rxqs <= FEW_RXQS ? RING_FEW_RXQS : RING_MANY_RXQS;
	struct service_config *c = &s->cfg;
	uint32_t queues = c->attach.queues;

	if (!c->frames)
		c->frames = queues <= 64 ? queues * ring : MAX(64 * ring, queues * RING_LEAST);
	s->ring = MIN(MAX(c->frames / queues, RING_LEAST), ring);
	s->ring = roundup_pow2(s->ring + 1) / 2;
}

/* A chunk must carry a frame of the device's MTU with two tags. */
static int choose_memory(struct service *s, struct vmq_err *err)
{
	struct netdev_info dev;
	int rc;

	rc = netdev_query(s->cfg.attach.ifname, &dev, err);
	if (rc)
		return rc;
	if (!s->cfg.chunk)
		s->cfg.chunk = dev.mtu + ETH_HLEN + 2 * VLAN_HLEN <= CHUNK_CARRIES(2048) ? 2048 :
			       4096;
	s->cfg.attach.max_frame = CHUNK_CARRIES(s->cfg.chunk);
	device_check_mtu(s, dev.mtu);
	choose_sizes(s, dev.rxqs);
	return 0;
}

/* ---- the loop's descriptors -------------------------------------------- */

static void on_signal(struct service *s)
{
	struct signalfd_siginfo si;

	if (read(s->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	log_info("signal %s: stopping", strsignal(si.ssi_signo));
	s->stop = true;
}

static void on_server(struct service *s)
{
	server_dispatch(s->server);
}

static void on_barrier(struct service *s)
{
	barrier_dispatch(s->barrier);
}

static void on_datapath(struct service *s)
{
	datapath_dispatch(s->datapath);
}

static void on_watch(struct service *s)
{
	enum netdev_event ev;

	while (!netdev_watch_read(s->watch, &ev)) {
		if (ev == NETDEV_EV_GONE) {
			s->gone = s->stop = true;
			device_gone(s);
			return;
		}
		device_follow(s);
	}
}

static void on_event(struct service *s)
{
	events_dispatch(s);
}

static void on_guest(struct service *s)
{
	guest_dispatch(s);
}

static void on_balance(struct service *s)
{
	balance_look(s);
}

typedef void (*ready_fn)(struct service *s);

static int watch_fd(struct service *s, int fd, ready_fn fn, struct vmq_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = (void *)fn };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return vmq_err_sys(err, -errno, "cannot watch a descriptor");
	return 0;
}

/*
 * A queue takes a descriptor per RX queue and some for its channel, a client one.
 * The soft limit is low (1,024) for the sake of programs that use select(2).
 */
static void raise_descriptors(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		log_debug("the limit on open files stays as it is: %s", strerror(errno));
}

static int open_loop(struct service *s, struct vmq_err *err)
{
	sigset_t set;
	int rc;

	raise_descriptors();

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0)
		return vmq_err_sys(err, -errno, "cannot make an epoll descriptor");
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	/* Before any thread is made, so that all of them inherit the mask. */
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return vmq_err_sys(err, -errno, "cannot make a signal descriptor");
	rc = events_open(s, err);
	if (!rc)
		rc = watch_fd(s, s->signal_fd, on_signal, err);
	if (!rc)
		rc = guest_open(s, err);
	if (!rc)
		rc = watch_fd(s, s->event_fd[0], on_event, err);
	if (!rc)
		rc = watch_fd(s, s->guest_fd, on_guest, err);
	return rc;
}

/* ---- build ------------------------------------------------------------- */

static int grace(void *arg)
{
	struct service *s = arg;

	return barrier_wait(s->barrier);
}

static int open_adapter(struct service *s, struct vmq_err *err)
{
	struct vmq_err why = VMQ_ERR_INIT;
	char note[SOCKET_PATH_MAX];
	int rc;

	rc = choose_memory(s, err);
	if (rc)
		return rc;
	rc = attach_open(&s->attachment, &s->cfg.attach, err);
	if (rc)
		return rc;
	s->info = attach_info(s->attachment);
	s->dev = s->info->dev;
	rc = barrier_open(&s->barrier, err);
	if (rc)
		return rc;
	restore_counters(s);
	rc = fib_open(&s->fib, s->info->fib, s->info->fib_ctl, grace, s);
	if (!rc)
		rc = filters_open(&s->filters, s->attachment, s->fib);
	if (!rc)
		rc = addresses_open(&s->addresses);
	if (rc)
		return vmq_err_sys(err, rc, "cannot build the FIB");
	rc = rss_map_open(&s->rss, s->info->rss_fd, s->info->toeplitz_fd,
			  attach_ids(&s->cfg.attach), err);
	if (rc)
		return rc;
	rss_follow_nic(s);
	rc = netdev_addrs_open(&s->addrs, s->info->dev.ifindex, err);
	if (!rc)
		rc = netdev_watch_open(&s->watch, s->info->dev.ifindex, err);
	if (rc)
		return rc;
	service_place_note(&s->cfg.attach, note);
	if (!s->cfg.place)
		place_undo_noted(note);
	else if (place_apply(&s->place, s->info->dev.name, s->cfg.cpu, s->cfg.n_cpus, note, &why))
		log_warn("the kernel's receive work stays where it is: %s", why.text);
	return 0;
}

static int open_datapath(struct service *s, struct vmq_err *err)
{
	struct datapath_config dp = {
		.ifname = s->info->dev.name,
		.ifindex = s->info->dev.ifindex,
		.rxqs = MIN(s->info->dev.rxqs, s->info->stride),
		.txqs = s->info->dev.txqs,
		.stride = s->info->stride,
		.xsks_fd = s->info->xsks_fd,
		.chunk = s->cfg.chunk,
		.rx_frames = s->cfg.frames,
		.tx_frames = TX_FRAMES,
		.poll_us = s->cfg.poll_us,
		.cpus = s->cfg.cpu,
		.n_cpus = s->cfg.n_cpus,
		.uplink_stats = (struct uplink_stats *)s->counters.row[0].count,
	};
	int rc;

	rc = datapath_open(&s->datapath, &dp, err);
	if (rc)
		return rc;
	return switch_start(datapath_switch(s->datapath), datapath_worker_at(s->datapath, 0), err);
}

int service_open(struct service **out, const struct service_config *cfg, struct vmq_err *err)
{
	struct service *s = calloc(1, sizeof(*s));
	char path[SOCKET_PATH_MAX];
	int rc;

	if (!s)
		return vmq_err_sys(err, -ENOMEM, "cannot make the service");
	s->cfg = *cfg;
	s->epoll_fd = s->signal_fd = s->event_fd[0] = s->event_fd[1] = s->guest_fd = -1;
	s->started_ns = now_ns();

	if (mkdir(cfg->attach.run_dir, 0755) < 0 && errno != EEXIST) {
		rc = vmq_err_sys(err, -errno, "cannot make %s", cfg->attach.run_dir);
		goto err;
	}
	if (s->cfg.balance_ms)
		balance_choose_cpus(s);
	if ((rc = open_loop(s, err)) || (rc = open_adapter(s, err)) ||
	    (rc = open_datapath(s, err)))
		goto err;
	if (s->cfg.balance_ms && ((rc = balance_open(s, err)) ||
				  (rc = watch_fd(s, balance_fd(s->balance), on_balance, err))))
		goto err;
	rc = host_init(s, err);
	if (rc)
		goto err;
	restore_all(s);

	service_socket_path(&cfg->attach, path);
	rc = server_open(&s->server, path, service_methods, s, service_client_gone, err);
	if (rc)
		goto err;
	if ((rc = watch_fd(s, server_fd(s->server), on_server, err)) ||
	    (rc = watch_fd(s, barrier_fd(s->barrier), on_barrier, err)) ||
	    (rc = watch_fd(s, datapath_fd(s->datapath), on_datapath, err)) ||
	    (rc = watch_fd(s, netdev_watch_fd(s->watch), on_watch, err)))
		goto err;
	log_info("%s: %s mode, %u RX queue%s, worker CPUs %d, up to %u queues, socket %s",
		 s->info->dev.name, s->info->mode == VMQ_MODE_NATIVE ? "native" : "skb",
		 s->info->dev.rxqs, s->info->dev.rxqs == 1 ? "" : "s", s->cfg.n_cpus,
		 s->cfg.attach.queues, path);
	*out = s;
	return 0;

err:
	/* What an earlier run left must survive our failure to take it over. */
	s->cfg.keep = s->info && s->info->adopted;
	service_close(s);
	return rc;
}

int service_run(struct service *s, struct vmq_err *err)
{
	struct epoll_event ev[16];
	int n, i;

#ifdef HAVE_SYSTEMD
	sd_notifyf(0, "READY=1\nSTATUS=serving %s", s->info->dev.name);
#endif
	while (!s->stop) {
		n = epoll_wait(s->epoll_fd, ev, ARRAY_SIZE(ev), -1);
		if (n < 0 && errno != EINTR)
			return vmq_err_sys(err, -errno, "cannot wait for events");
		for (i = 0; i < n && !s->stop; i++)
			((ready_fn)ev[i].data.ptr)(s);
	}
#ifdef HAVE_SYSTEMD
	sd_notify(0, "STOPPING=1");
#endif
	if (s->gone)
		return vmq_err(err, -ENODEV,
			       "interface %s has gone, or moved to another network namespace",
			       s->dev.name);
	return 0;
}

void service_close(struct service *s)
{
	bool keep = s->cfg.keep && !s->gone;

	server_close(s->server);
	s->server = NULL;
	balance_close(s->balance);
	s->balance = NULL;
	if (s->datapath) {
		queue_destroy_all(s, keep);
		switch_stop(datapath_switch(s->datapath));
		datapath_close(s->datapath);
	}
	place_undo(s->place);
	netdev_watch_close(s->watch);
	netdev_addrs_close(s->addrs);
	apply_close(s);
	addresses_close(s->addresses);
	filters_close(s->filters);
	s->filters = NULL;
	rss_map_close(s->rss);
	barrier_close(s->barrier);
	fib_close(s->fib);
	if (s->attachment)
		attach_close(s->attachment, !keep);
	events_close(s);
	guest_close(s);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	free(s);
}
