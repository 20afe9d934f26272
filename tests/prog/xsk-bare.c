// SPDX-License-Identifier: GPL-2.0-only
/*
 * xsk-bare.c - the bare AF_XDP receive loop: the limit that the benchmark uses
 *
 * What a worker could do at best: take descriptors, give the buffers back, look
 * at nothing. One thread on one CPU, sockets in copy mode over a shared UMEM per
 * RX queue as vmq has them, and the same XDP program as rx-path. It never sleeps:
 * no wake-up is cheaper than none. Frames go to socket S of their RX queue when
 * their destination ends in S.
 *
 * The result is one line of JSON.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <xdp/xsk.h>

#include "common/parse.h"
#include "common/util.h"
#include "prog.h"
#include "rx_load.skel.h"

#define BATCH	64
#define CHUNK	2048
#define SOCKETS	4096
#define SPARE	512		/* buffers beyond the rings, as RXQ_RESERVE */

struct options {
	const char *iface, *queues, *sockets, *ring, *cpu, *seconds;
	bool help;
};

static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "device to receive on; no program may be attached"),
	O("queues", 'q', "N", queues, "its RX queues (default 1)"),
	O("sockets", 's', "N", sockets, "sockets of each RX queue (default 1)"),
	O("ring", 'r', "N", ring, "entries of each socket's ring (default 256)"),
	O("cpu", 'c', "N", cpu, "run on this CPU"),
	O("seconds", 't', "N", seconds, "end after that time (default: by a signal)"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

struct umem {
	struct xsk_umem *umem;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons comp;
	char *area;
};

struct sock {
	struct xsk_ring_cons rx;
	struct xsk_socket *xsk;
	struct umem *umem;
};

static struct umem u[256];	/* zeroed: libxdp 1.3.1 does not set every field of a ring */
static struct sock s[SOCKETS];

static int fail(const char *what, int code)
{
	fprintf(stderr, "xsk-bare: %s: %s\n", what, strerror(-code));
	return 1;
}

static int umem_open(struct umem *m, uint32_t frames)
{
	struct xsk_umem_config cfg = {
		.fill_size = roundup_pow2(frames),
		.comp_size = 64,
		.frame_size = CHUNK,
	};
	uint32_t at = 0, i;
	int rc;

	m->area = mmap(NULL, (size_t)frames * CHUNK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->area == MAP_FAILED)
		return -errno;
	rc = xsk_umem__create(&m->umem, m->area, (uint64_t)frames * CHUNK, &m->fill, &m->comp,
			      &cfg);
	if (rc)
		return rc;
	xsk_ring_prod__reserve(&m->fill, frames, &at);
	for (i = 0; i < frames; i++)
		*xsk_ring_prod__fill_addr(&m->fill, at + i) = (uint64_t)i * CHUNK;
	xsk_ring_prod__submit(&m->fill, frames);
	return 0;
}

static int sock_open(struct sock *k, struct umem *m, const char *iface, uint32_t queue,
		     uint32_t ring, bool first)
{
	struct xsk_socket_config cfg = {
		.rx_size = ring,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = first ? XDP_COPY | XDP_USE_NEED_WAKEUP : 0,
	};

	k->umem = m;
	if (first)
		return xsk_socket__create(&k->xsk, iface, queue, m->umem, &k->rx, NULL, &cfg);
	return xsk_socket__create_shared(&k->xsk, iface, queue, m->umem, &k->rx, NULL, NULL, NULL,
					 &cfg);
}

/* One batch. Return: frames. */
static uint32_t sock_poll(struct sock *k)
{
	uint32_t from = 0, to = 0, n, i;

	n = xsk_ring_cons__peek(&k->rx, BATCH, &from);
	if (!n)
		return 0;
	while (!xsk_ring_prod__reserve(&k->umem->fill, n, &to))
		sched_yield();
	for (i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&k->umem->fill, to + i) =
			xsk_ring_cons__rx_desc(&k->rx, from + i)->addr;
	xsk_ring_prod__submit(&k->umem->fill, n);
	xsk_ring_cons__release(&k->rx, n);
	return n;
}

static uint64_t receive(uint32_t n)
{
	uint64_t sum = 0;
	uint32_t i;

	while (!stop)
		for (i = 0; i < n; i++)
			sum += sock_poll(&s[i]);
	return sum;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct rx_load_bpf *skel = NULL;
	struct bpf_link *link = NULL;
	struct vmq_err err = VMQ_ERR_INIT;
	uint64_t queues = 1, sockets = 1, ring = 256, cpu, seconds = 0, frames, began, elapsed;
	struct options o = { 0 };
	uint32_t i, n;
	cpu_set_t set;
	int rc;

	if (opts_parse(table, &o, &argc, argv, &err) || argc > 1 || (!o.iface && !o.help) ||
	    (o.queues && parse_number(o.queues, "--queues", 1, 256, &queues, &err)) ||
	    (o.sockets && parse_number(o.sockets, "--sockets", 1, 1024, &sockets, &err)) ||
	    (o.ring && parse_number(o.ring, "--ring", 64, 4096, &ring, &err)) ||
	    (o.cpu && parse_number(o.cpu, "--cpu", 0, CPU_SETSIZE - 1, &cpu, &err)) ||
	    (o.seconds && parse_number(o.seconds, "--seconds", 1, 3600, &seconds, &err))) {
		fprintf(stderr, "xsk-bare: %s\n",
			err.text[0] ? err.text : "--iface is needed; see --help");
		return 2;
	}
	if (o.help) {
		opts_help(table, stdout);
		return 0;
	}
	if (o.cpu) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		if (sched_setaffinity(0, sizeof(set), &set))
			return fail("--cpu", -errno);
	}

	n = (uint32_t)(queues * sockets);
	skel = rx_load_bpf__open();
	if (!skel || n > SOCKETS)
		return fail("starting", skel ? -E2BIG : -errno);
	skel->rodata->stride = (uint32_t)queues;
	bpf_map__set_max_entries(skel->maps.xsks, n);
	rc = rx_load_bpf__load(skel);
	if (rc)
		return fail("loading the program", rc);
	for (i = 0; i < n; i++) {
		uint32_t queue = i % (uint32_t)queues;
		bool first = i < queues;
		int sock;

		if (first)
			rc = umem_open(&u[queue], (uint32_t)(sockets * ring) + SPARE);
		if (!rc)
			rc = sock_open(&s[i], &u[queue], o.iface, queue, (uint32_t)ring, first);
		if (rc)
			return fail("opening a socket", rc);
		sock = xsk_socket__fd(s[i].xsk);
		if (bpf_map_update_elem(bpf_map__fd(skel->maps.xsks), &i, &sock, BPF_ANY))
			return fail("XSKMAP", -errno);
	}
	link = bpf_program__attach_xdp(skel->progs.rx_load, (int)if_nametoindex(o.iface));
	if (!link)
		return fail("attaching the program", -errno);

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	alarm((unsigned int)seconds);
	printf("{\"ready\":true}\n");
	fflush(stdout);
	began = now_ns();
	frames = receive(n);
	elapsed = now_ns() - began;
	printf("{\"frames\":%llu,\"seconds\":%.4f,\"fps\":%.0f}\n", (unsigned long long)frames,
	       (double)elapsed / 1e9, (double)frames / ((double)elapsed / 1e9));
	bpf_link__destroy(link);
	rx_load_bpf__destroy(skel);
	return 0;	/* the kernel closes the rest */
}
