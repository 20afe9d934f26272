/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * datapath_rig.h - a wire, a sender and guests for tests of the data path
 *
 * A namespace of its own with a veth pair of two queues: vmq0, which the data
 * path works on, and wire0, where a packet socket sends. A frame sent on the
 * n-th CPU of the rig comes in on RX queue n. tests/prog/test_steer.bpf.c takes
 * it to the slot that its last address byte names.
 *
 * A *guest* is a channel that counts what it gets, checks the order of each
 * (sender, RX queue), and can be out of room, slow, or send.
 */
#ifndef VMQ_DATAPATH_RIG_H
#define VMQ_DATAPATH_RIG_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel/channel.h"
#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "unit.h"

#include "test_steer.skel.h"

#define RIG_RXQS	2
#define RIG_TYPE	0x88b5
#define RIG_FRAME	64
#define RIG_MODE	20	/* offsets in a frame; MODE as in test_steer.bpf.c */
#define RIG_RXQ		21
#define RIG_SEQ		24
#define RIG_WAIT_NS	5000000000ULL

enum { OOB_NONE, OOB_PLAIN, OOB_STRIP, OOB_STRIPPED, OOB_STRIPPED_AD, OOB_FOREIGN };

static struct {
	struct test_steer_bpf *skel;
	struct bpf_link *link;
	struct datapath *dp;
	int	 ifindex;
	int	 wire_ifindex;
	int	 sender;
	uint16_t cpu[RIG_RXQS];
	int	 cpus;
	bool	 no_oob;	/* ports opened from now on do not look for OOB records */
	uint32_t seq[16][RIG_RXQS];
} rig = { .sender = -1 };

/* Wait for a condition, with a deadline. Its value is the condition's. */
#define rig_wait(cond) ({						\
	uint64_t until_ = now_ns() + RIG_WAIT_NS;			\
	bool true_;							\
	while (!(true_ = !!(cond)) && now_ns() < until_)		\
		sched_yield();						\
	true_;								\
})

static int rig_run(const char *words)
{
	char copy[256], *argv[32], *save = NULL;
	int n = 0, status;
	pid_t pid;

	snprintf(copy, sizeof(copy), "%s", words);
	for (char *w = strtok_r(copy, " ", &save); w && n < 31; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	if (!n || posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) ||
	    waitpid(pid, &status, 0) != pid || status) {
		diag("failed: %s", words);
		return -1;
	}
	return 0;
}

static void rig_write(const char *path, const char *word)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;	/* a kernel without IPv6 */
	if (write(fd, word, strlen(word)) < 0)
		diag("cannot write %s", path);
	close(fd);
}

/* Return: NULL, or why there can be no rig here. */
static const char *rig_open(void)
{
	cpu_set_t set;

	if (geteuid())
		return "needs root";
	if (unshare(CLONE_NEWNET))
		return "cannot make a network namespace";
	rig_write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	rig_write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	if (rig_run("ip link add vmq0 numrxqueues 2 numtxqueues 2 type veth "
		    "peer name wire0 numrxqueues 2 numtxqueues 2"))
		return "cannot make a veth pair";
	rig.ifindex = (int)if_nametoindex("vmq0");
	rig.wire_ifindex = (int)if_nametoindex("wire0");

	rig.skel = test_steer_bpf__open();
	if (!rig.skel)
		return "cannot open test_steer.bpf.o";
	rig.skel->rodata->stride = RIG_RXQS;
	if (test_steer_bpf__load(rig.skel))
		return "cannot load test_steer.bpf.o";
	rig.link = bpf_program__attach_xdp(rig.skel->progs.test_steer, rig.ifindex);
	if (!rig.link)
		return "cannot attach native XDP to a veth";
	if (rig_run("ip link set vmq0 up") || rig_run("ip link set wire0 up"))
		return "cannot set links up";

	CPU_ZERO(&set);
	sched_getaffinity(0, sizeof(set), &set);
	for (uint16_t i = 0; i < CPU_SETSIZE && rig.cpus < RIG_RXQS; i++)
		if (CPU_ISSET(i, &set))
			rig.cpu[rig.cpus++] = i;
	if (rig.cpus < RIG_RXQS || rig.cpu[0] % 2 == rig.cpu[1] % 2)
		return "needs two CPUs, one even and one odd";
	return NULL;
}

static void rig_close(void)
{
	if (rig.sender >= 0)
		close(rig.sender);
	bpf_link__destroy(rig.link);
	test_steer_bpf__destroy(rig.skel);
}

static int rig_datapath(uint32_t rxqs, uint32_t rx_frames, struct vmq_err *err)
{
	struct datapath_config cfg = {
		.ifname = "vmq0",
		.ifindex = rig.ifindex,
		.rxqs = rxqs,
		.txqs = rxqs,
		.stride = RIG_RXQS,
		.xsks_fd = bpf_map__fd(rig.skel->maps.xsks),
		.chunk = 2048,
		.rx_frames = rx_frames,
		.tx_frames = 256,
		.cpus = rig.cpu,
		.n_cpus = RIG_RXQS,
	};

	return datapath_open(&rig.dp, &cfg, err);
}

static uint64_t rig_cpu_ns(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000ULL +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
}

/* ---- sending ----------------------------------------------------------- */

static uint64_t rig_seen(int slot)
{
	return load_acquire(&rig.skel->bss->redirected[slot]) +
	       load_acquire(&rig.skel->bss->to_host[slot]);
}

static void rig_pin(int rxq)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(rig.cpu[rxq], &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* One test frame; @vlan: tci of a tag, or -1. Return: length. */
static uint32_t rig_build(uint8_t *f, int slot, int rxq, int mode, int vlan)
{
	uint32_t at = 12, seq = rig.seq[slot][rxq]++;

	memset(f, 0, RIG_FRAME);
	memcpy(f, (uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)slot, 2, 0, 0, 0, 0, 0xfe }, 12);
	if (vlan >= 0) {
		memcpy(f + at, (uint8_t[]){ 0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan }, 4);
		at += 4;
	}
	f[at] = RIG_TYPE >> 8;
	f[at + 1] = RIG_TYPE & 0xff;
	f[RIG_MODE] = (uint8_t)mode;
	f[RIG_RXQ] = (uint8_t)rxq;
	memcpy(f + RIG_SEQ, &seq, sizeof(seq));
	return RIG_FRAME;
}

static bool rig_send_frame(const uint8_t *f, uint32_t len)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = rig.wire_ifindex,
		.sll_halen = 6,
	};
	int one = 1;

	if (rig.sender < 0) {
		rig.sender = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		setsockopt(rig.sender, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	}
	return sendto(rig.sender, f, len, 0, (struct sockaddr *)&to, sizeof(to)) == (ssize_t)len;
}

/*
 * Send @n frames to a slot, at the pace of the XDP program (a veth drops what it
 * has no room for). Return: true if the program saw every one.
 */
static bool rig_send_tagged(int slot, int rxq, uint32_t n, int mode, int vlan)
{
	uint64_t before = rig_seen(slot);
	uint8_t f[RIG_FRAME];
	uint32_t i;

	rig_pin(rxq);
	for (i = 0; i < n; i++) {
		if (!rig_send_frame(f, rig_build(f, slot, rxq, mode, vlan)))
			return false;
		if (i % 64 == 63 && !rig_wait(rig_seen(slot) >= before + i + 1))
			return false;
	}
	return rig_wait(rig_seen(slot) >= before + n);
}

static bool rig_send(int slot, int rxq, uint32_t n, int mode)
{
	return rig_send_tagged(slot, rxq, n, mode, -1);
}

/* ---- a guest ------------------------------------------------------------- */

#define GUEST_PAIRS 2

struct guest {
	struct channel ch;
	int	 kick[GUEST_PAIRS];
	uint32_t room;		/* frames it takes before it has no room */
	uint64_t slow_ns;	/* for each frame */
	uint64_t got;
	uint64_t bursts;
	uint64_t lost;		/* numbers that never came */
	uint64_t reordered;
	uint32_t next[16][RIG_RXQS];
	uint32_t to_send;
	uint32_t sent;		/* number of the next frame */
	bool	 paused, closed, touched;
	uint8_t	 last[256];
	uint32_t last_len;
};

static void guest_take(struct guest *g, const struct frame *f)
{
	uint32_t len = 0, seq;
	uint8_t rxq, slot;

	for (int i = 0; i < f->parts; i++) {
		memcpy(g->last + len, f->part[i].iov_base,
		       MIN(f->part[i].iov_len, sizeof(g->last) - len));
		len += (uint32_t)f->part[i].iov_len;
	}
	g->last_len = len;
	rxq = g->last[RIG_RXQ] & (RIG_RXQS - 1);
	slot = g->last[5] & 15;
	memcpy(&seq, g->last + RIG_SEQ, sizeof(seq));
	if (seq < g->next[slot][rxq])
		g->reordered++;
	else
		g->lost += seq - g->next[slot][rxq];
	g->next[slot][rxq] = seq + 1;
}

static int guest_rx_burst(struct channel *ch, int pair, const struct frame *f, int n,
			  struct channel_rx *res)
{
	struct guest *g = (struct guest *)ch;
	uint32_t room = load_acquire(&g->room), i;
	uint64_t until;

	(void)pair;
	g->touched |= g->paused;
	room = MIN(room, (uint32_t)n);
	for (i = 0; i < room; i++) {
		guest_take(g, &f[i]);
		until = g->slow_ns ? now_ns() + g->slow_ns : 0;
		while (until && now_ns() < until)
			;
	}
	if (g->room != UINT32_MAX)
		__atomic_fetch_sub(&g->room, room, __ATOMIC_ACQ_REL);
	store_relaxed(&g->bursts, g->bursts + 1);
	store_release(&g->got, g->got + room);
	res->delivered += room;
	return (int)room;
}

static int guest_tx_burst(struct channel *ch, int pair, struct frame_buf *buf, int n)
{
	struct guest *g = (struct guest *)ch;
	uint64_t kicks;
	int i;

	if (read(g->kick[pair], &kicks, sizeof(kicks)) < 0 && errno != EAGAIN)
		return -errno;
	n = (int)MIN((uint32_t)n, load_acquire(&g->to_send));
	for (i = 0; i < n; i++) {
		memset(buf[i].data, 0, RIG_FRAME);
		memcpy(buf[i].data, (uint8_t[]){ 2, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 7, 0x88, 0xb6 },
		       14);
		memcpy(buf[i].data + RIG_SEQ, &g->sent, sizeof(g->sent));
		g->sent++;
		buf[i].len = RIG_FRAME;
	}
	__atomic_fetch_sub(&g->to_send, (uint32_t)n, __ATOMIC_ACQ_REL);
	return n;
}

static int guest_fd(struct channel *ch, int pair)
{
	return ((struct guest *)ch)->kick[pair];
}

static void guest_pause(struct channel *ch)
{
	((struct guest *)ch)->paused = true;
}

static void guest_resume(struct channel *ch)
{
	((struct guest *)ch)->paused = false;
}

static void guest_close(struct channel *ch, bool keep)
{
	struct guest *g = (struct guest *)ch;

	(void)keep;
	g->closed = true;
	for (int i = 0; i < GUEST_PAIRS; i++)
		close(g->kick[i]);
}

static const struct channel_ops guest_ops = {
	.kind = "test",
	.rx_burst = guest_rx_burst,
	.tx_burst = guest_tx_burst,
	.fd = guest_fd,
	.pause = guest_pause,
	.resume = guest_resume,
	.close = guest_close,
};

static void guest_init(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->ch.ops = &guest_ops;
	g->room = UINT32_MAX;
	memcpy(g->next, rig.seq, sizeof(g->next));
	for (int i = 0; i < GUEST_PAIRS; i++)
		g->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

static void guest_kick(struct guest *g, int pair)
{
	uint64_t one = 1;

	if (write(g->kick[pair], &one, sizeof(one)) < 0)
		diag("cannot kick");
}

/* ---- a queue of one pair: a port, its guest and its slot --------------------- */

struct queue {
	struct guest guest;
	struct port *port;
	int slot;
	struct vmq_slot_stats base;	/* of the slot before this queue had it */
};

/* A queue that cannot be opened ends the test: the rest would mean nothing. */
static void queue_open(struct queue *q, int slot, bool channel)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct port_config cfg = {
		.id = (uint32_t)slot + 1,
		.name = "test",
		.rule = VMQ_RULE_ANY,
		.oob = !rig.no_oob,
		.trust = true,
		.pairs = 1,
		.cpu = { rig.cpu[slot % RIG_RXQS] },
	};

	memset(q, 0, sizeof(*q));
	q->slot = slot;
	guest_init(&q->guest);
	if (channel)
		cfg.channel = &q->guest.ch;
	q->base.redirected = rig.skel->bss->redirected[slot];
	q->base.to_host = rig.skel->bss->to_host[slot];
	if (port_open(&q->port, rig.dp, &cfg, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
}

static int queue_rings(struct queue *q, uint32_t ring, struct vmq_err *err)
{
	uint16_t slot = (uint16_t)q->slot;

	return port_rings_open(q->port, &slot, ring, err);
}

static void queue_up(struct queue *q, int slot, uint32_t ring)
{
	struct vmq_err err = VMQ_ERR_INIT;

	queue_open(q, slot, true);
	if (queue_rings(q, ring, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
}

static void queue_stats(const struct queue *q, struct port_stats *out)
{
	struct vmq_slot_stats bpf = {
		.redirected = load_acquire(&rig.skel->bss->redirected[q->slot]) -
			      q->base.redirected,
		.to_host = load_acquire(&rig.skel->bss->to_host[q->slot]) - q->base.to_host,
	};

	port_get_stats(q->port, &bpf, out);
}

static void queue_close(struct queue *q)
{
	port_rings_close(q->port, NULL);
	port_close(q->port, false);
}

static void queue_show(const char *what, const struct port_stats *s)
{
	diag("%s: matched %llu delivered %llu in_flight %llu ring_full %llu no_buffer %llu "
	     "redirect_failed %llu channel_full %llu channel_error %llu discarded %llu", what,
	     (unsigned long long)s->matched, (unsigned long long)s->delivered,
	     (unsigned long long)s->in_flight, (unsigned long long)s->ring_full,
	     (unsigned long long)s->no_buffer, (unsigned long long)s->redirect_failed,
	     (unsigned long long)s->channel_full, (unsigned long long)s->channel_error,
	     (unsigned long long)s->discarded);
}

#endif /* VMQ_DATAPATH_RIG_H */
