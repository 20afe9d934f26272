// SPDX-License-Identifier: GPL-2.0-only
/*
 * frame-send.c - send test frames from a packet socket
 *
 * Frames leave exactly as built, tags inside the data (a packet socket never
 * makes an accelerated tag). Each destination, and each UDP flow to it, is a stream
 * with sequence numbers of its own, from --start; --hex sends bytes as they are, for what no stack
 * would send: runts, cut tags, odd nestings.
 *
 * --bypass leaves the qdisc out; the kernel then picks the TX queue by XPS or
 * else by the CPU (net/packet/af_packet.c packet_pick_tx_queue()), so --cpu
 * decides. The result is one line of JSON; exit status 1 if a frame was refused.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/util.h"
#include "prog.h"
#include "testframe.h"

#define BATCH 64

struct options {
	const char *iface, *dst, *src, *vlan, *inner, *pcp, *count, *size, *rate, *start, *cpu,
		   *udp, *hex;
	bool ad, bypass, help;
};

static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "interface to send on"),
	O("dst", 'd', "MAC[+N][,MAC...]", dst, "destinations, in turn (default broadcast)"),
	O("src", 's', "MAC", src, "source (default 02:00:00:00:00:fe)"),
	O("vlan", 'v', "VLAN", vlan, "tag with this VLAN, 0 ... 4095"),
	O("inner", 0, "VLAN", inner, "second tag behind it"),
	O("pcp", 0, "N", pcp, "priority in the first tag"),
	F("ad", 0, ad, "the first tag is 802.1ad"),
	O("udp", 0, "N", udp, "IPv4 and UDP, N flows in turn"),
	O("hex", 0, "BYTES", hex, "send these bytes instead, in hex; blanks are skipped"),
	O("count", 'c', "N", count, "frames to send (default 1)"),
	O("size", 0, "BYTES", size, "size of a frame with tags, without FCS (default 64)"),
	O("rate", 'r', "N", rate, "frames per second (default as fast as it goes)"),
	O("start", 0, "N", start, "first sequence number (default 0)"),
	O("cpu", 0, "N", cpu, "run on this CPU"),
	F("bypass", 0, bypass, "leave out the qdisc"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

static uint8_t frame[BATCH][TEST_FRAME_MAX];
static uint8_t dst[TEST_DST_MAX][6];
static uint64_t sequence[TEST_DST_MAX];	/* by stream: flow * destinations + destination */

static int die(const char *what)
{
	perror(what);
	exit(2);
}

static unsigned parse_hex(const char *word, uint8_t *out)
{
	unsigned n = 0;

	while (*word) {
		int end = 0;
		unsigned v;

		if (*word == ' ' || *word == ':') {
			word++;
			continue;
		}
		if (n == TEST_FRAME_MAX || sscanf(word, "%2x%n", &v, &end) != 1 || end != 2) {
			fprintf(stderr, "--hex: bad byte at '%.10s'\n", word);
			exit(2);
		}
		out[n++] = (uint8_t)v;
		word += 2;
	}
	return n;
}

static int open_socket(const struct options *o)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET };
	int fd, on = 1;

	addr.sll_ifindex = (int)if_nametoindex(o->iface);
	if (!addr.sll_ifindex)
		die(o->iface);
	/* protocol 0: this socket receives nothing */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("packet socket");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("bind");
	if (o->bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		die("PACKET_QDISC_BYPASS");
	return fd;
}

/*
 * Send a whole batch. A full device queue (ENOBUFS) is waited for, a second at
 * most; any other refusal is the frame's own and counted.
 */
static unsigned send_batch(int fd, struct mmsghdr *msg, unsigned n)
{
	uint64_t give_up = now_ns() + 1000000000;
	unsigned done = 0, refused = 0;

	while (done < n) {
		int rc = sendmmsg(fd, msg + done, n - done, 0);

		if (rc > 0) {
			done += (unsigned)rc;
			give_up = now_ns() + 1000000000;
		} else if (errno == EINTR) {
			continue;
		} else if ((errno == ENOBUFS || errno == EAGAIN) && now_ns() < give_up) {
			sched_yield();
		} else {
			if (!refused)
				fprintf(stderr, "send: %s\n", strerror(errno));
			refused++;
			done++;
		}
	}
	return refused;
}

int main(int argc, char **argv)
{
	/* Interrupted it ends between two batches and says what it has sent. */
	const struct sigaction sa = { .sa_handler = on_signal };
	struct test_spec spec = { .src = { 2, 0, 0, 0, 0, 0xfe } };
	struct mmsghdr msg[BATCH] = { 0 };
	uint64_t count, rate, start, begin, sent = 0, refused = 0;
	unsigned n_dst, flows, streams, off = 0, len;
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { 0 };
	struct iovec iov[BATCH];
	int fd, rc;

	opts_parse(table, &o, &argc, argv, &err);
	rc = prog_status("frame-send", table, argc, &err, o.help,
			 o.iface ? NULL : "--iface is needed");
	if (rc >= 0)
		return rc;
	if (o.src)
		test_mac(o.src, spec.src);
	n_dst = test_macs(o.dst ? o.dst : "ff:ff:ff:ff:ff:ff", dst);
	test_tags(&spec, o.vlan, o.ad, o.inner, o.pcp);
	flows = (unsigned)test_number(o.udp, "--udp", 1, TEST_DST_MAX, 0);
	spec.udp = flows != 0;
	spec.size = (unsigned)test_number(o.size, "--size", test_min_size(&spec), TEST_FRAME_MAX,
					  MAX(64U, test_min_size(&spec)));
	count = test_number(o.count, "--count", 1, UINT64_MAX, 1);
	rate = test_number(o.rate, "--rate", 1, 100000000, 0);
	start = test_number(o.start, "--start", 0, UINT64_MAX, 0);
	streams = n_dst * MAX(flows, 1U);
	if (streams > TEST_DST_MAX) {
		fprintf(stderr, "more than %d destinations x flows\n", TEST_DST_MAX);
		return 2;
	}
	for (unsigned i = 0; i < streams; i++)
		sequence[i] = start;
	if (o.cpu) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(test_number(o.cpu, "--cpu", 0, CPU_SETSIZE - 1, 0), &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			die("--cpu");
	}

	fd = open_socket(&o);
	len = spec.size;
	for (unsigned i = 0; i < BATCH; i++) {
		if (o.hex)
			len = parse_hex(o.hex, frame[i]);
		else
			off = test_build(&spec, frame[i]);
		iov[i] = (struct iovec){ .iov_base = frame[i], .iov_len = len };
		msg[i].msg_hdr.msg_iov = &iov[i];
		msg[i].msg_hdr.msg_iovlen = 1;
	}

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	begin = now_ns();
	while (sent < count && !stop) {
		unsigned n = (unsigned)MIN((uint64_t)BATCH, count - sent);

		if (rate) {
			uint64_t due = (now_ns() - begin) * rate / 1000000000 + 1;

			if (due <= sent) {
				struct timespec ts = { .tv_nsec = MIN(1000000000 / rate, 500000U) };

				nanosleep(&ts, NULL);
				continue;
			}
			n = (unsigned)MIN((uint64_t)n, due - sent);
		}
		for (unsigned i = 0; i < n && !o.hex; i++) {
			unsigned s = (unsigned)((sent + i) % streams);
			struct test_payload p = {
				.magic = htonl(TEST_MAGIC), .stream = htonl(s),
				.seq = htobe64(sequence[s]++),
			};

			memcpy(frame[i], dst[s % n_dst], 6);
			memcpy(frame[i] + off, &p, sizeof(p));
			if (flows)
				test_put16(frame[i] + off - 8,
					   (uint16_t)(TEST_UDP_PORT + s / n_dst));
		}
		refused += send_batch(fd, msg, n);
		sent += n;
	}
	close(fd);
	printf("{\"sent\":%llu,\"refused\":%llu,\"seconds\":%.3f}\n",
	       (unsigned long long)(sent - refused), (unsigned long long)refused,
	       (double)(now_ns() - begin) / 1e9);
	return refused ? 1 : 0;
}
