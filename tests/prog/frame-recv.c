// SPDX-License-Identifier: GPL-2.0-only
/*
 * frame-recv.c - receive test frames and check that all came, once, in order
 *
 * Listens with a packet socket for the frames of frame-send and live-gen
 * (testframe.h); all others are only counted as "other". A tag that the kernel
 * took out (skb_vlan_untag(), or an accelerated tag) comes back through
 * PACKET_AUXDATA and is reported like one in the data, with "accel".
 *
 * Ends after --count frames, after --idle milliseconds without one, or after
 * --timeout seconds. --ready FILE is made once the socket listens, so that a
 * test knows when to send. The result is one line of JSON; exit status 0 if
 * --count was reached (when given) and, with --seq, nothing was lost, doubled,
 * out of order or altered.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/util.h"
#include "prog.h"
#include "testframe.h"

#define BATCH	   64
#define STREAMS	   4096
#define SEQ_MAX	   (1ULL << 28)	/* bits kept per stream */

struct options {
	const char *iface, *count, *timeout, *idle, *dst, *ready;
	bool seq, print, help;
};

static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "interface to listen on"),
	O("count", 'c', "N", count, "end after N test frames"),
	O("timeout", 't', "SECONDS", timeout, "end after that time (default 10)"),
	O("idle", 0, "MS", idle, "end after MS without a frame, once the first came"),
	O("dst", 'd', "MAC", dst, "take only frames to this address"),
	F("seq", 's', seq, "check order, loss, doubles and contents"),
	F("print", 'p', print, "one line of JSON per frame"),
	O("ready", 0, "FILE", ready, "make FILE when listening"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

/* What one stream has shown so far. One bit a frame finds loss and doubles. */
struct stream {
	bool	  used;
	uint64_t  first, next;	/* lowest seen; highest seen + 1 */
	uint64_t  unique;
	uint64_t  bits;		/* in `seen` */
	uint8_t	 *seen;
};

static struct {
	uint64_t frames, bytes, other, doubles, reordered, corrupt, accel;
	uint64_t untagged, vlan[4096];	/* by outermost tag */
	struct stream stream[STREAMS];
} got;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static int open_socket(const struct options *o)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd, on = 1, size = 128 << 20;

	addr.sll_ifindex = (int)if_nametoindex(o->iface);
	if (!addr.sll_ifindex)
		die(o->iface);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("packet socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0)
		die("packet socket options");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		die("SO_RCVBUFFORCE");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("bind");
	return fd;
}

static void note_seq(struct stream *s, uint64_t seq)
{
	if (seq >= SEQ_MAX) {
		got.corrupt++;
		return;
	}
	if (seq / 8 >= s->bits / 8) {
		uint64_t bits = MAX(s->bits * 2, 1ULL << 16);

		while (bits <= seq)
			bits *= 2;
		s->seen = realloc(s->seen, bits / 8);
		if (!s->seen)
			die("memory");
		memset(s->seen + s->bits / 8, 0, (bits - s->bits) / 8);
		s->bits = bits;
	}
	if (s->seen[seq / 8] & 1 << seq % 8) {
		got.doubles++;
		return;
	}
	s->seen[seq / 8] |= (uint8_t)(1 << seq % 8);
	s->unique++;
	if (!s->used || seq < s->first)
		s->first = seq;
	if (s->used && seq < s->next)
		got.reordered++;
	s->next = MAX(s->next, seq + 1);
	s->used = true;
}

static void print_frame(const uint8_t *f, unsigned len, int tags, const uint16_t *tci,
			const uint16_t *tpid, bool accel, const struct test_payload *p)
{
	printf("{\"dst\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"src\":\"%02x:%02x:%02x:%02x:%02x:%02x\","
	       "\"size\":%u,\"accel\":%s,\"stream\":%u,\"seq\":%llu,\"tags\":[",
	       f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], len,
	       accel ? "true" : "false", ntohl(p->stream),
	       (unsigned long long)be64toh(p->seq));
	for (int i = 0; i < tags; i++)
		printf("%s{\"tpid\":\"%04x\",\"vlan\":%d,\"pcp\":%d}", i ? "," : "", tpid[i],
		       tci[i] & 0xfff, tci[i] >> 13);
	puts("]}");
	fflush(stdout);
}

/* @accel: the tag that the kernel took out, in @tci and @tpid [0]. */
static void take(const uint8_t *f, unsigned len, bool accel, uint16_t *tci, uint16_t *tpid,
		 const struct options *o)
{
	struct test_payload p;
	int tags = accel ? 1 : 0;
	unsigned off = 12;

	while (off + 4 <= len && tags < 3 &&
	       ((f[off] == 0x81 && f[off + 1] == 0) || (f[off] == 0x88 && f[off + 1] == 0xa8))) {
		tpid[tags] = (uint16_t)(f[off] << 8 | f[off + 1]);
		tci[tags++] = (uint16_t)(f[off + 2] << 8 | f[off + 3]);
		off += 4;
	}
	if (off + 2 <= len && f[off] == 0x08 && f[off + 1] == 0x00)
		off += 28;
	off += 2;
	if (off + sizeof(p) > len) {
		got.other++;
		return;
	}
	memcpy(&p, f + off, sizeof(p));
	if (ntohl(p.magic) != TEST_MAGIC || ntohl(p.stream) >= STREAMS) {
		got.other++;
		return;
	}
	got.frames++;
	got.bytes += len;
	if (accel)
		got.accel++;
	if (tags)
		got.vlan[tci[0] & 0xfff]++;
	else
		got.untagged++;
	if (o->print)
		print_frame(f, len, tags, tci, tpid, accel, &p);
	if (!o->seq)
		return;
	for (unsigned i = off + sizeof(p); i < len; i++) {
		if (f[i] != test_pattern(i - off)) {
			got.corrupt++;
			break;
		}
	}
	note_seq(&got.stream[ntohl(p.stream)], be64toh(p.seq));
}

static int summary(const struct options *o, int fd, uint64_t count)
{
	struct tpacket_stats ts = { 0 };
	socklen_t len = sizeof(ts);
	uint64_t lost = 0;
	unsigned streams = 0;
	const char *sep = "";

	for (unsigned i = 0; i < STREAMS; i++) {
		const struct stream *s = &got.stream[i];

		if (!s->used)
			continue;
		streams++;
		lost += s->next - s->first - s->unique;
		free(s->seen);
	}
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &ts, &len);
	printf("{\"frames\":%llu,\"bytes\":%llu,\"other\":%llu,\"streams\":%u,\"lost\":%llu,"
	       "\"doubles\":%llu,\"reordered\":%llu,\"corrupt\":%llu,\"accel\":%llu,"
	       "\"socket_drops\":%u,\"untagged\":%llu,\"vlans\":{",
	       (unsigned long long)got.frames, (unsigned long long)got.bytes,
	       (unsigned long long)got.other, streams, (unsigned long long)lost,
	       (unsigned long long)got.doubles, (unsigned long long)got.reordered,
	       (unsigned long long)got.corrupt, (unsigned long long)got.accel, ts.tp_drops,
	       (unsigned long long)got.untagged);
	for (unsigned i = 0; i < 4096; i++) {
		if (got.vlan[i]) {
			printf("%s\"%u\":%llu", sep, i, (unsigned long long)got.vlan[i]);
			sep = ",";
		}
	}
	puts("}}");
	if (count && got.frames < count)
		return 1;
	return o->seq && (lost || got.doubles || got.reordered || got.corrupt);
}

/* One batch. Return: frames read, test frames or not. */
static int receive(int fd, const struct options *o, const uint8_t *only, uint64_t limit)
{
	static uint8_t data[BATCH][TEST_FRAME_MAX + 64];
	static char aux[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct mmsghdr msg[BATCH] = { 0 };
	struct iovec iov[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ .iov_base = data[i], .iov_len = sizeof(data[i]) };
		msg[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1,
						  .msg_control = aux[i],
						  .msg_controllen = sizeof(aux[i]) };
	}
	n = recvmmsg(fd, msg, (unsigned)MIN((uint64_t)BATCH, limit), 0, NULL);
	for (int i = 0; i < n; i++) {
		uint16_t tci[4] = { 0 }, tpid[4] = { 0 };
		bool accel = false;

		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg[i].msg_hdr); c;
		     c = CMSG_NXTHDR(&msg[i].msg_hdr, c)) {
			struct tpacket_auxdata a;

			if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
				continue;
			memcpy(&a, CMSG_DATA(c), sizeof(a));
			if (a.tp_status & TP_STATUS_VLAN_VALID) {
				accel = true;
				tci[0] = a.tp_vlan_tci;
				tpid[0] = a.tp_status & TP_STATUS_VLAN_TPID_VALID ?
					a.tp_vlan_tpid : ETH_P_8021Q;
			}
		}
		if (!only || !memcmp(data[i], only, 6))
			take(data[i], msg[i].msg_len, accel, tci, tpid, o);
	}
	return n < 0 ? 0 : n;
}

int main(int argc, char **argv)
{
	const struct sigaction sa = { .sa_handler = on_signal };
	uint64_t count, deadline, idle, last;
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { 0 };
	uint8_t dst[6];
	int fd, rc;

	opts_parse(table, &o, &argc, argv, &err);
	rc = prog_status("frame-recv", table, argc, &err, o.help,
			 o.iface ? NULL : "--iface is needed");
	if (rc >= 0)
		return rc;
	count = test_number(o.count, "--count", 1, UINT64_MAX, 0);
	idle = test_number(o.idle, "--idle", 1, 3600000, 0) * 1000000;
	deadline = now_ns() + test_number(o.timeout, "--timeout", 1, 3600, 10) * 1000000000;
	if (o.dst)
		test_mac(o.dst, dst);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);

	fd = open_socket(&o);
	if (o.ready) {
		int r = open(o.ready, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (r < 0)
			die(o.ready);
		close(r);
	}
	last = now_ns();
	while (!stop && (!count || got.frames < count)) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		uint64_t now = now_ns(), until = deadline;

		if (idle && got.frames && last + idle < until)
			until = last + idle;
		if (now >= until)
			break;
		if (poll(&pfd, 1, (int)((until - now) / 1000000) + 1) <= 0)
			continue;
		if (pfd.revents & (POLLERR | POLLHUP)) {
			int e = 0;
			socklen_t len = sizeof(e);

			getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
			fprintf(stderr, "%s: %s\n", o.iface, strerror(e));
			break;
		}
		/* never past --count: what comes after it stays in the socket */
		while (!stop && receive(fd, &o, o.dst ? dst : NULL,
					count ? count - got.frames : BATCH) > 0) {
			last = now_ns();
			if ((count && got.frames >= count) || last > deadline)
				break;
		}
	}
	return summary(&o, fd, count);
}
