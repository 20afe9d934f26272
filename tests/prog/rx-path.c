// SPDX-License-Identifier: GPL-2.0-only
/*
 * rx-path.c - the receive path alone, for the benchmark
 *
 * The data path as vmq-load runs it, workers, rings, quotas and locks, with
 * guests that take every frame and do nothing with it. So the figure is what
 * receive.c costs over xsk-bare, which has the same XDP program; a channel's
 * copy comes on top. --queues ports with one pair each; frames go to port S
 * when their destination ends in S.
 *
 * The result is one line of JSON.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/opts.h"
#include "common/parse.h"
#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "rx_load.skel.h"

struct options {
	const char *iface, *rxqs, *queues, *ring, *cpus, *seconds, *poll_us;
	bool help;
};

#define O(name, letter, arg, field, help) \
	{ name, letter, OPT_STRING, arg, offsetof(struct options, field), help }
static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "device to receive on; no program may be attached"),
	O("rxqs", 0, "N", rxqs, "its RX queues (default 1)"),
	O("queues", 'q', "N", queues, "queues (ports) to open (default 1)"),
	O("ring", 'r', "N", ring, "entries of each ring (default 256)"),
	O("cpus", 'c', "LIST", cpus, "a worker on each of these CPUs (default 0)"),
	O("seconds", 't', "N", seconds, "end after that time (default: by a signal)"),
	O("poll-us", 0, "N", poll_us, "poll that long before sleeping (default 0)"),
	{ "help", 'h', OPT_FLAG, NULL, offsetof(struct options, help), "show this" },
	{ 0 },
};

static struct port *port[1024];

static int null_rx_burst(struct channel *ch, int pair, const struct frame *f, int n,
			 struct channel_rx *res)
{
	(void)ch;
	(void)pair;
	(void)f;
	res->delivered += (uint32_t)n;
	return n;
}

static int null_fd(struct channel *ch, int pair)
{
	(void)ch;
	(void)pair;
	return -1;
}

static void null_close(struct channel *ch, bool keep)
{
	(void)keep;
	free(ch);
}

static const struct channel_ops null_ops = {
	.kind = "null",
	.rx_burst = null_rx_burst,
	.fd = null_fd,
	.close = null_close,
};

static int fail(struct vmq_err *err)
{
	fprintf(stderr, "rx-path: %s\n", err->text[0] ? err->text : "--iface is needed; see --help");
	return err->text[0] ? 1 : 2;
}

static int open_port(struct datapath *dp, struct port **out, uint32_t i, uint32_t ring,
		     struct vmq_err *err)
{
	const struct datapath_config *dc = datapath_cfg(dp);
	struct port_config cfg = {
		.id = i + 1,
		.name = "bench",
		.channel = calloc(1, sizeof(struct channel)),
		.rule = VMQ_RULE_ANY,
		.pairs = 1,
		.cpu = { dc->cpus[i % (uint32_t)dc->n_cpus] },
	};
	uint16_t slot = (uint16_t)i;
	int rc;

	if (!cfg.channel)
		return vmq_err_sys(err, -ENOMEM, "port");
	cfg.channel->ops = &null_ops;
	rc = port_open(out, dp, &cfg, err);
	return rc ? rc : port_rings_open(*out, &slot, ring, err);
}

int main(int argc, char **argv)
{
	uint64_t rxqs = 1, queues = 1, ring = 256, seconds = 0, poll_us = 0, began, elapsed, sum = 0;
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { .cpus = "0" };
	struct datapath_config cfg;
	struct rx_load_bpf *skel;
	struct bpf_link *link;
	struct datapath *dp;
	uint16_t cpu[64];
	sigset_t signals;
	uint32_t i;
	int n, sig;

	if (opts_parse(table, &o, &argc, argv, &err) || argc > 1 || (!o.iface && !o.help) ||
	    (o.rxqs && parse_number(o.rxqs, "--rxqs", 1, 256, &rxqs, &err)) ||
	    (o.queues && parse_number(o.queues, "--queues", 1, 1024, &queues, &err)) ||
	    (o.ring && parse_number(o.ring, "--ring", 64, 4096, &ring, &err)) ||
	    (o.poll_us && parse_number(o.poll_us, "--poll-us", 0, 1000000, &poll_us, &err)) ||
	    (o.seconds && parse_number(o.seconds, "--seconds", 1, 3600, &seconds, &err)))
		return fail(&err);
	if (o.help) {
		opts_help(table, stdout);
		return 0;
	}
	n = parse_cpus(o.cpus, cpu, 64, &err);
	if (n < 0)
		return fail(&err);

	/* Before the workers start: the signal must reach sigwait(). */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGALRM);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	skel = rx_load_bpf__open();
	if (!skel)
		return vmq_err_sys(&err, -errno, "opening the program"), fail(&err);
	skel->rodata->stride = (uint32_t)rxqs;
	bpf_map__set_max_entries(skel->maps.xsks, (uint32_t)(queues * rxqs));
	if (rx_load_bpf__load(skel))
		return vmq_err_sys(&err, -errno, "loading the program"), fail(&err);
	cfg = (struct datapath_config){
		.ifname = o.iface,
		.ifindex = (int)if_nametoindex(o.iface),
		.rxqs = (uint32_t)rxqs,
		.txqs = 1,
		.stride = (uint32_t)rxqs,
		.xsks_fd = bpf_map__fd(skel->maps.xsks),
		.chunk = 2048,
		.rx_frames = (uint32_t)(queues * ring),
		.tx_frames = 64,
		.poll_us = (uint32_t)poll_us,
		.cpus = cpu,
		.n_cpus = n,
	};
	if (datapath_open(&dp, &cfg, &err))
		return fail(&err);
	for (i = 0; i < queues; i++)
		if (open_port(dp, &port[i], i, (uint32_t)ring, &err))
			return fail(&err);
	link = bpf_program__attach_xdp(skel->progs.rx_load, cfg.ifindex);
	if (!link)
		return vmq_err_sys(&err, -errno, "attaching the program"), fail(&err);

	printf("{\"ready\":true}\n");
	fflush(stdout);
	alarm((unsigned int)seconds);
	began = now_ns();
	sigwait(&signals, &sig);
	elapsed = now_ns() - began;
	for (i = 0; i < queues; i++) {
		struct port_pair_stats ps;

		port_get_pair_stats(port[i], 0, &ps);
		sum += ps.delivered;
	}
	printf("{\"frames\":%llu,\"seconds\":%.4f,\"fps\":%.0f}\n", (unsigned long long)sum,
	       (double)elapsed / 1e9, (double)sum / ((double)elapsed / 1e9));
	bpf_link__destroy(link);
	for (i = 0; i < queues; i++) {
		port_rings_close(port[i], NULL);
		port_close(port[i], false);
	}
	datapath_close(dp);
	rx_load_bpf__destroy(skel);
	return 0;
}
