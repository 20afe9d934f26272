// SPDX-License-Identifier: GPL-2.0-only
/*
 * nic-hash.c - is each hash of a real NIC the one that we would compute?
 *
 * On the device a program that is bound to it, as `vmq-load --hash nic` has; on the wire
 * random packets, one at a time. The OOB record in front of each, as it comes out of an
 * AF_XDP socket, is compared with the definition of the hash, which knows nothing of
 * the NIC. Run by tests/qemu/nic-hash.sh, in a guest. Output is TAP.
 */
#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <xdp/xsk.h>

#include "../unit/rss_expect.h"
#include "../unit/unit.h"
#include "adapter/attach.h"
#include "adapter/fib.h"
#include "adapter/nic_hash.h"
#include "adapter/rss.h"
#include "common/parse.h"
#include "prog.h"

#define MAC	0x525400000001ULL
#define QUEUE	1
#define SLOT	1
#define FRAMES	64
#define CHUNK	2048
#define WAIT_NS	10000000000ULL

struct options {
	const char *iface, *wire, *netns, *count;
	bool help;
};

static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "the NIC"),
	O("wire", 'w', "IFACE", wire, "a device on the same wire"),
	O("netns", 'n', "NAME", netns, "in that network namespace"),
	O("count", 'c', "N", count, "packets of each part (default 300)"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

static struct sock {
	struct xsk_umem *umem;
	struct xsk_socket *xsk;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons comp, rx;
	uint8_t *area;
} sock[VMQ_RXQS_MAX];	/* zeroed: libxdp 1.3.1 does not set every field of a ring */

static struct attachment *attachment;
static const struct attach_info *info;
static struct vmq_rss *rss;
static struct vmq_toeplitz *toeplitz;
static struct nic_rss nic;
static uint16_t nic_types;
static int sender;

/* ---- the wire ------------------------------------------------------------------ */

static int open_sender(const char *netns, const char *wire)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there, fd;
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		return -errno;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	to.sll_ifindex = (int)if_nametoindex(wire);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) || setns(home, CLONE_NEWNET))
		return -errno;
	close(home);
	close(there);
	return fd;
}

/* ---- the NIC ------------------------------------------------------------------- */

static int open_sock(struct sock *k, const char *iface, uint32_t rxq)
{
	struct xsk_umem_config mem = { .fill_size = FRAMES, .comp_size = FRAMES, .frame_size = CHUNK };
	struct xsk_socket_config cfg = {
		.rx_size = FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY,
	};
	uint32_t at = 0, i, index = SLOT * info->stride + rxq;
	int rc, fd;

	k->area = mmap(NULL, FRAMES * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	if (k->area == MAP_FAILED)
		return -errno;
	rc = xsk_umem__create(&k->umem, k->area, FRAMES * CHUNK, &k->fill, &k->comp, &mem);
	if (rc)
		return rc;
	xsk_ring_prod__reserve(&k->fill, FRAMES, &at);
	for (i = 0; i < FRAMES; i++)
		*xsk_ring_prod__fill_addr(&k->fill, at + i) = (uint64_t)i * CHUNK;
	xsk_ring_prod__submit(&k->fill, FRAMES);
	rc = xsk_socket__create(&k->xsk, iface, rxq, k->umem, &k->rx, NULL, &cfg);
	if (rc)
		return rc;
	fd = xsk_socket__fd(k->xsk);
	return bpf_map_update_elem(info->xsks_fd, &index, &fd, BPF_ANY) ? -errno : 0;
}

static int no_grace(void *arg)
{
	(void)arg;
	return 0;
}

static void *map_it(int fd, size_t size)
{
	void *p = mmap(NULL, size * (QUEUE + 1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int open_nic(const char *iface, struct vmq_err *err)
{
	struct attach_config cfg = {
		.ifname = iface, .name = "nic-hash", .pin_dir = "/sys/fs/bpf/vmq",
		.run_dir = "/run/vmq", .mode = ATTACH_NATIVE, .tags = ATTACH_TAGS_FRAME,
		.hash = ATTACH_HASH_NIC, .queues = 8, .slots = 8, .max_frame = 1792,
	};
	struct fib *fib;
	uint32_t r;
	int rc;

	mkdir(cfg.run_dir, 0755);
	rc = attach_open(&attachment, &cfg, err);
	if (!rc)
		rc = nic_rss_read(iface, &nic, err);
	if (rc)
		return rc;
	info = attach_info(attachment);
	rss = map_it(info->rss_fd, sizeof(*rss));
	toeplitz = map_it(info->toeplitz_fd, sizeof(*toeplitz));
	if (!rss || !toeplitz)
		return vmq_err_sys(err, -errno, "cannot map the RSS records");
	rc = fib_open(&fib, info->fib, info->fib_ctl, no_grace, NULL);
	if (!rc)
		rc = fib_set(fib, VMQ_FIB_KEY(MAC, VMQ_RULE_ANY),
			     VMQ_FIB_VALUE(VMQ_TARGET_RSS, VMQ_FIB_F_OOB, QUEUE, 0));
	for (r = 0; r < info->dev.rxqs && !rc; r++)
		rc = open_sock(&sock[r], iface, r);
	return rc ? vmq_err_sys(err, rc, "cannot open the sockets") : 0;
}

static void set_rss(uint16_t types)
{
	struct vmq_rss_params params = {
		.types = types, .mask = VMQ_RSS_ENTRIES_MAX - 1, .fallback = SLOT,
	};
	const char *why = "";

	for (int i = 0; i < VMQ_RSS_ENTRIES_MAX; i++)
		params.table[i] = SLOT;
	params.nic_types = nic_types = nic_rss_types(&nic, key, types, &why);
	if (!nic_types)
		diag("types %#x: %s", types, why);
	rss_update(&rss[QUEUE], &toeplitz[QUEUE], &params, key);
}

/* ---- packets ------------------------------------------------------------------- */

/* A frame that came in; what is no packet of ours is thrown away. */
static bool take(struct sock *k, const struct packet *p, uint32_t len, struct vmq_oob *oob)
{
	const struct xdp_desc *d;
	uint32_t at = 0, to = 0;
	const uint8_t *data;
	bool ours;

	if (!xsk_ring_cons__peek(&k->rx, 1, &at))
		return false;
	d = xsk_ring_cons__rx_desc(&k->rx, at);
	data = k->area + d->addr;
	ours = d->len >= len && !memcmp(data, p->data, len);
	memcpy(oob, data - sizeof(*oob), sizeof(*oob));
	if (xsk_ring_prod__reserve(&k->fill, 1, &to) == 1) {
		*xsk_ring_prod__fill_addr(&k->fill, to) = d->addr / CHUNK * CHUNK;
		xsk_ring_prod__submit(&k->fill, 1);
	}
	xsk_ring_cons__release(&k->rx, 1);
	return ours;
}

static bool pass(const struct packet *p, uint32_t len, struct vmq_oob *oob)
{
	uint64_t until = now_ns() + WAIT_NS;
	uint32_t r;

	if (send(sender, p->data, len, 0) != (ssize_t)len)
		return false;
	while (now_ns() < until) {
		for (r = 0; r < info->dev.rxqs; r++)
			if (take(&sock[r], p, len, oob))
				return true;
		sched_yield();
	}
	return false;
}

static uint64_t by_nic(void)
{
	struct vmq_rss_stats stats = { 0 };

	attach_rss_stats(attachment, QUEUE, &stats);
	return stats.nic;
}

/* @cut: end some within their headers. Return: how many hashes were the NIC's. */
static uint64_t check(const char *title, uint16_t types, uint32_t n, bool cut)
{
	uint32_t i, lost = 0, wrong = 0, hashed = 0, len;
	uint64_t before = by_nic();
	struct vmq_oob oob;
	struct packet p;

	set_rss(types);
	for (i = 0; i < n; i++) {
		struct hashed want;

		random_packet(&p, MAC, NULL, 0);
		len = cut ? p.l3 + rnd() % (p.len - p.l3) : p.len;
		/* On a wire nothing is shorter. */
		len = MIN(MAX(len, 60), p.len);
		want = expected(&p, types, len);
		hashed += want.type != 0;
		if (!pass(&p, len, &oob)) {
			diag("lost: IPv%d, proto %u, %u of %u bytes, L3 at %u, %02x%02x%02x%02x %02x%02x",
			     p.version, p.proto, len, p.len, p.l3, p.data[p.l3], p.data[p.l3 + 1],
			     p.data[p.l3 + 2], p.data[p.l3 + 3], p.data[p.l3 + 6],
			     p.data[p.l3 + 9]);
			lost++;
			continue;
		}
		if (oob.version == VMQ_OOB_VERSION && oob.hash == want.hash &&
		    oob.hash_type == want.type)
			continue;
		diag("IPv%d, proto %u, %u of %u bytes%s: hash %08x type %#x, expected %08x type %#x",
		     p.version, p.proto, len, p.len, p.fragment ? ", fragment" : "", oob.hash,
		     oob.hash_type, want.hash, want.type);
		wrong++;
	}
	ok(!lost && !wrong, "%s: %u packets, %u hashed, %llu by the NIC, %u wrong, %u lost", title, n,
	   hashed, (unsigned long long)(by_nic() - before), wrong, lost);
	return by_nic() - before;
}

static void check_all(uint32_t n)
{
	static const struct {
		uint16_t types;
		const char *title;
		bool nic;
	} parts[] = {
		{ 0x1ff, "all types", true },
		{ ANY_V4 | ANY_V6, "all but _EX", true },
		{ VMQ_HASH_IPV4 | VMQ_HASH_IPV6, "addresses only", true },
		{ VMQ_HASH_TCP_IPV4 | VMQ_HASH_UDP_IPV6, "TCP in IPv4 and UDP in IPv6", true },
		{ VMQ_HASH_IPV4, "IPv4", true },
		{ VMQ_HASH_TCP_IPV4, "TCP in IPv4", true },
		{ VMQ_HASH_UDP_IPV4, "UDP in IPv4", true },
		{ VMQ_HASH_IPV6, "IPv6", true },
		{ VMQ_HASH_TCP_IPV6, "TCP in IPv6", true },
		{ VMQ_HASH_UDP_IPV6, "UDP in IPv6", true },
		{ ANY_EX, "_EX types", true },
	};
	uint64_t got;

	memcpy(key, nic.key, sizeof(key));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		got = check(parts[i].title, parts[i].types, n, false);
		ok(got > 0, "some were the NIC's");
	}
	check("all types, cut short", 0x1ff, n, true);
	set_key(NULL);
	is_int((long)check("another key", 0x1ff, n, false), 0, "none was the NIC's");
}

int main(int argc, char **argv)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { 0 };
	uint64_t count = 300;
	int status;

	if (!opts_parse(table, &o, &argc, argv, &err) && o.count)
		parse_number(o.count, "--count", 1, 1000000, &count, &err);
	status = prog_status("nic-hash", table, argc, &err, o.help, o.iface && o.wire && o.netns ?
			     NULL : "--iface, --wire and --netns are needed");
	if (status >= 0)
		return status;
	sender = open_sender(o.netns, o.wire);
	if (!ok(sender >= 0, "the wire") || !ok(!open_nic(o.iface, &err), "the NIC %s", err.text))
		return unit_done();
	check_all((uint32_t)count);
	attach_close(attachment, true);
	return unit_done();
}
