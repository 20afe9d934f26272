// SPDX-License-Identifier: GPL-2.0-only
/*
 * tap.c - the tap channel against real TAP devices in namespaces of its own
 *
 * The test moves itself into a new network namespace; "the container" is a child
 * process in a second one. What the container sees is seen by packet sockets
 * and rtnetlink in there (a thread that enters it), never by shell commands.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "channel/channel.h"
#include "common/gso.h"
#include "common/util.h"
#include "unit.h"

#define DEADLINE_NS	5000000000ULL

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 7 };
static char events[256];
static struct vmq_err err;

static void on_event(void *arg, const char *what, const char *detail)
{
	(void)arg;
	strncat(events, what, sizeof(events) - strlen(events) - 1);
	strncat(events, ":", sizeof(events) - strlen(events) - 1);
	strncat(events, detail, sizeof(events) - strlen(events) - 1);
	strncat(events, " ", sizeof(events) - strlen(events) - 1);
}

static struct channel *open_tap(const char *spec, int pairs, bool adopt)
{
	struct channel_config cfg = {
		.queue = "web1", .mac = mac, .pairs = pairs, .mtu = 1400, .adopt = adopt,
		.event = on_event,
	};
	struct channel *ch = NULL;

	events[0] = '\0';
	err = (struct vmq_err)VMQ_ERR_INIT;
	/* A test that expected a channel shows why there is none. */
	if (channel_open(&ch, spec, &cfg, &err))
		diag("%s", err.text);
	return ch;
}

/* ---- the other namespace ----------------------------------------------- */

static pid_t guest_pid;
static int guest_ns = -1;

/* A child in a namespace of its own; it ends when this test does. */
static pid_t spawn_guest(void)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!unshare(CLONE_NEWNET))
			byte = 1;
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	if (pid > 0 && (read(ready[0], &byte, 1) != 1 || !byte)) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void end_guest(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int open_ns(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Run a function in a namespace, in a thread that ends with it. */
struct inside {
	int netns;
	int (*fn)(const char *name, void *arg);
	const char *name;
	void *arg;
	int rc;
};

static void *inside_thread(void *p)
{
	struct inside *in = p;

	in->rc = in->netns >= 0 && setns(in->netns, CLONE_NEWNET) ? -errno
								  : in->fn(in->name, in->arg);
	return NULL;
}

static int inside(int netns, int (*fn)(const char *, void *), const char *name, void *arg)
{
	struct inside in = { .netns = netns, .fn = fn, .name = name, .arg = arg, .rc = -EAGAIN };
	pthread_t t;

	if (!pthread_create(&t, NULL, inside_thread, &in))
		pthread_join(t, NULL);
	return in.rc;
}

struct facts {
	int index, mtu;
	bool up;
	uint8_t mac[6];
};

static int see(const char *name, void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct facts *f = arg;
	struct ifreq ifr;

	memset(f, 0, sizeof(*f));
	f->index = (int)if_nametoindex(name);
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (!ioctl(fd, SIOCGIFMTU, &ifr))
		f->mtu = ifr.ifr_mtu;
	if (!ioctl(fd, SIOCGIFFLAGS, &ifr))
		f->up = ifr.ifr_flags & IFF_UP;
	if (!ioctl(fd, SIOCGIFHWADDR, &ifr))
		memcpy(f->mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
	return f->index ? 0 : -ENODEV;
}

static bool there(int netns, const char *name)
{
	struct facts f;

	return !inside(netns, see, name, &f);
}

/* A device goes in the background: wait for it, with a deadline. */
static bool gone(int netns, const char *name)
{
	uint64_t end = now_ns() + DEADLINE_NS;

	while (there(netns, name)) {
		if (now_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}

/* Up if @arg is not NULL, else down. */
static int link_flags(const char *name, void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct ifreq ifr = { .ifr_flags = arg ? IFF_UP : 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	rc = ioctl(fd, SIOCSIFFLAGS, &ifr) ? -errno : 0;
	close(fd);
	return rc;
}

static int link_mtu(const char *name, void *arg)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc;
	struct ifreq ifr = { .ifr_mtu = *(int *)arg };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	rc = ioctl(fd, SIOCSIFMTU, &ifr) ? -errno : 0;
	close(fd);
	return rc;
}

/* What `ip link del` does. */
static int link_del(const char *name, void *arg)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct ifinfomsg *ifi;
	int rc = -errno;

	(void)arg;
	if (!nl)
		return rc;
	nlh->nlmsg_type = RTM_DELLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)if_nametoindex(name);
	mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID);
	mnl_socket_sendto(nl, nlh, nlh->nlmsg_len);
	rc = mnl_socket_recvfrom(nl, buf, sizeof(buf)) > 0 ?
	     ((struct nlmsgerr *)mnl_nlmsg_get_payload((struct nlmsghdr *)buf))->error : -errno;
	mnl_socket_close(nl);
	return rc;
}

/* A packet socket on the device; returns its descriptor. */
static int tap_socket(const char *name, void *arg)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	(void)arg;
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sll, sizeof(sll))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* ---- frames ------------------------------------------------------------ */

static uint32_t make_frame(uint8_t *p, uint8_t tag, uint32_t len)
{
	static const uint8_t head[14] = {
		0x52, 0x54, 0, 0, 0, 7, 0x52, 0x54, 0, 0, 0, 0x99, 0x88, 0xb5,
	};

	memset(p, tag, len);
	memcpy(p, head, sizeof(head));
	return len;
}

/* Read one frame of our own protocol, or -1 at the deadline. */
static ssize_t recv_ours(int fd, uint8_t *p, size_t size)
{
	uint64_t end = now_ns() + DEADLINE_NS;

	while (now_ns() < end) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n = recv(fd, p, size, 0);

		if (n >= 14 && p[12] == 0x88 && p[13] == 0xb5)
			return n;
		if (n < 0)
			poll(&pfd, 1, 50);
	}
	return -1;
}

static struct channel_rx give(struct channel *ch, int pair, const uint8_t *p, uint32_t len)
{
	struct frame f = {
		.part = { { (void *)p, 12 }, { (void *)(p + 12), len - 12 } },
		.parts = 2, .len = len,
	};
	struct channel_rx res = { 0 };

	is_int(ch->ops->rx_burst(ch, pair, &f, 1, &res), 1, "every frame is settled");
	return res;
}

/* Take frames of all pairs until one of our protocol is there. */
static int take(struct channel *ch, int pairs, struct frame_buf *buf)
{
	struct pollfd pfd[4] = { 0 };
	uint64_t end = now_ns() + DEADLINE_NS;

	for (int i = 0; i < pairs; i++)
		pfd[i] = (struct pollfd){ .fd = ch->ops->fd(ch, i), .events = POLLIN };
	while (now_ns() < end) {
		for (int i = 0; i < pairs; i++) {
			int n = ch->ops->tx_burst(ch, i, buf, 1);

			if (n < 0 || (n && buf->len >= 14 && buf->data[12] == 0x88 &&
				      buf->data[13] == 0xb5))
				return n;
		}
		poll(pfd, (nfds_t)pairs, 50);
	}
	return 0;
}

/* ---- tests ------------------------------------------------------------- */

static void test_specs(void)
{
	static const struct {
		const char *spec;
		int code;
		const char *text;
	} bad[] = {
		{ "tap", -EINVAL,
		  "channel 'tap' has no arguments; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:", -EINVAL,
		  "channel tap needs a device name; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:,netns=x", -EINVAL,
		  "channel tap needs a device name; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:abcdefghijklmnop", -EINVAL,
		  "device name 'abcdefghijklmnop' is longer than 15 characters; "
		  "choose a shorter one" },
		{ "tap:a/b", -EINVAL, "'a/b' is no name for a network device; "
		  "use letters, digits, '.', '_' and '-'" },
		{ "tap:tap%d", -EINVAL, "'tap%d' is no name for a network device; "
		  "use letters, digits, '.', '_' and '-'" },
		{ "tap:..", -EINVAL, "'..' is no name for a network device; "
		  "use letters, digits, '.', '_' and '-'" },
		{ "tap:t0,mtu=9000", -EINVAL,
		  "unknown word 'mtu=9000' in a tap channel; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:t0,", -EINVAL,
		  "unknown word '' in a tap channel; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:t0,netns=", -EINVAL,
		  "netns= needs the name of a network namespace or the id of a process in it" },
		{ "tap:t0,netns=a,netns=b", -EINVAL,
		  "netns is given twice; write tap:IFNAME[,netns=NAME|PID]" },
		{ "tap:t0,netns=../x", -EINVAL, "'../x' is no name of a network namespace; "
		  "`ip netns list` shows them" },
		{ "tap:t0,netns=nosuch", -ENOENT, "there is no network namespace 'nosuch'; "
		  "`ip netns list` shows them, netns=PID names a process" },
		{ "tap:t0,netns=4194304", -ENOENT,
		  "there is no process 4194304 whose network namespace could be used" },
		{ "tap:t0,netns=file", -EINVAL, "/run/netns/file is not a network namespace" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ok(!open_tap(bad[i].spec, 1, false), "'%s' is refused", bad[i].spec);
		is_int(err.code, bad[i].code, "'%s': code", bad[i].spec);
		is_str(err.text, bad[i].text, "'%s': sentence", bad[i].spec);
	}
	ok(!open_tap("tapp:x", 1, false) && err.code == -EINVAL, "an unknown kind is refused");
	ok(strstr(err.text, "unknown kind of channel 'tapp'; there are: none, ") &&
	   strstr(err.text, "tap:IFNAME[,netns=NAME|PID]"), "with the kinds there are");
	ok(!open_tap("", 1, false) && err.code == -EINVAL, "so is nothing at all");
	ok(!open_tap("tap:t0,netns=99999999999999999999", 1, false) && err.code == -EINVAL,
	   "a process id beyond all numbers is refused");
	ok(!there(-1, "t0"), "nothing was made");
	ok(!open_tap("none", 1, false) && !err.code, "'none' is no channel and no error");
}

static void test_frames(struct channel *ch, int pairs)
{
	uint8_t in[2048] = { 0 }, out[2048];
	struct frame_buf buf = { .data = in, .room = sizeof(in) };
	int fd = inside(guest_ns, tap_socket, "eth7", NULL), big = 3000, rc;
	struct channel_rx res;
	uint32_t len;

	for (int pair = 0; pair < pairs; pair++) {
		len = make_frame(out, (uint8_t)(0x40 + pair), 60 + 7 * (uint32_t)pair);
		res = give(ch, pair, out, len);
		ok(res.delivered == 1 && !res.full && !res.error, "pair %d: delivered", pair);
		is_int(recv_ours(fd, in, sizeof(in)), len, "pair %d: the guest has it", pair);
		ok(!memcmp(in, out, len), "pair %d: byte for byte", pair);
	}
	len = make_frame(out, 0x77, 1414);
	is_int(send(fd, out, len, 0), len, "the guest sends");
	is_int(take(ch, pairs, &buf), 1, "its frame is taken");
	ok(buf.len == len && !memcmp(in, out, len), "byte for byte");

	/* A frame that does not fit is seen as such, not cut to a smaller one. */
	if (pairs == 1) {
		inside(guest_ns, link_mtu, "eth7", &big);
		make_frame(out, 0x78, 2000);
		buf.room = 1999;
		is_int(send(fd, out, 2000, 0), 2000, "the guest sends a longer frame");
		is_int(take(ch, 1, &buf), 1, "it is taken");
		is_int(buf.fault, CHANNEL_TOO_LONG, "and has a fault: it did not fit");
		while ((rc = ch->ops->tx_burst(ch, 0, &buf, 1)) > 0)
			;
		is_int(rc, 0, "nothing there is 0, not an error");
	}
	close(fd);
}

/* ---- what the guest's stack leaves to us --------------------------------- */

#define L4	(14 + 20)
#define PAYLOAD	5000u
#define MSS	1200u

/* An IPv4 packet behind a virtio header, checksums undone. Return: bytes. */
static size_t make_offload(uint8_t *p, uint8_t proto, uint8_t gso_type, uint32_t payload)
{
	static const uint8_t ip[] = {
		0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	};
	uint32_t l4 = proto == 6 ? 20 : 8, total = 20 + l4 + payload, sum = 20;
	struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = gso_type,
		.gso_size = gso_type ? MSS : 0, .hdr_len = (uint16_t)(L4 + l4),
		.csum_start = L4, .csum_offset = proto == 6 ? 16 : 6,
	};
	uint8_t *f = p + sizeof(hdr);

	memcpy(p, &hdr, sizeof(hdr));
	make_frame(f, 0, 14);
	f[12] = 8;
	f[13] = 0;
	memcpy(f + 14, ip, sizeof(ip));
	f[14 + 2] = (uint8_t)(total >> 8);
	f[14 + 3] = (uint8_t)total;
	f[14 + 9] = proto;
	memset(f + L4, 0, l4);
	if (proto == 6)
		f[L4 + 12] = 5 << 4;
	f[L4 + 3] = 9;	/* destination port */
	if (proto == 17) {
		f[L4 + 4] = (uint8_t)((8 + payload) >> 8);
		f[L4 + 5] = (uint8_t)(8 + payload);
	}
	for (uint32_t i = 0; i < payload; i++)
		f[L4 + l4 + i] = (uint8_t)(i * 7 + i / 251);
	/* The pseudo header's sum, as a stack leaves it. */
	sum = 0x0a00u + 1 + 0x0a00 + 2 + proto + l4 + payload;
	sum = (sum & 0xffff) + (sum >> 16);
	f[L4 + hdr.csum_offset] = (uint8_t)(sum >> 8);
	f[L4 + hdr.csum_offset + 1] = (uint8_t)sum;
	return sizeof(hdr) + 14 + total;
}

/* 0xffff when the transport checksum is right. */
static uint32_t l4_sum(const uint8_t *f, uint32_t len)
{
	uint32_t sum = f[14 + 9] + len - L4;

	for (uint32_t i = 14 + 12; i < len; i++)
		sum += i % 2 ? f[i] : f[i] * 256u;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A packet socket in the guest that takes virtio headers. */
static int offload_socket(const char *name, void *arg)
{
	int fd = tap_socket(name, arg), one = 1;

	setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	return fd;
}

/* All frames that come, cut into a batch at a time; ours have IPv4 in them. */
static int take_ipv4(struct channel *ch, uint8_t (*in)[2048], struct frame_buf *got, int want)
{
	struct pollfd pfd = { .fd = ch->ops->fd(ch, 0), .events = POLLIN };
	uint64_t end = now_ns() + DEADLINE_NS;
	int n = 0;

	while (n < want && now_ns() < end) {
		struct frame_buf buf[2] = {
			{ .data = in[n], .room = 2048 }, { .data = in[n + 1], .room = 2048 },
		};
		int rc = ch->ops->tx_burst(ch, 0, buf, 2);

		for (int i = 0; i < rc; i++)
			if (buf[i].data[12] == 8 && !buf[i].data[13]) {
				if (buf[i].data != in[n])
					memcpy(in[n], buf[i].data, buf[i].len);
				got[n] = buf[i];
				got[n].data = in[n];
				n++;
			}
		if (!rc)
			poll(&pfd, 1, 50);
	}
	return n;
}

static void test_offloads(void)
{
	static const struct {
		const char *title;
		uint8_t proto, type;
		uint32_t payload;
		int frames;
	} t[] = {
		{ "a checksum left undone", 6, VIRTIO_NET_HDR_GSO_NONE, 900, 1 },
		{ "TCP to cut", 6, VIRTIO_NET_HDR_GSO_TCPV4, PAYLOAD, 5 },
		{ "UDP to cut", 17, VIRTIO_NET_HDR_GSO_UDP_L4, PAYLOAD, 5 },
		{ "TCP of 64 KiB to cut", 6, VIRTIO_NET_HDR_GSO_TCPV4, 65000, 55 },
	};
	static uint8_t out[66000], in[60][2048];
	struct frame_buf got[60];
	struct channel *ch;
	char spec[64];
	int fd;

	snprintf(spec, sizeof(spec), "tap:eth7,netns=%d", guest_pid);
	ch = open_tap(spec, 1, false);
	fd = inside(guest_ns, offload_socket, "eth7", NULL);
	ok(ch && fd >= 0, "a TAP, and a socket that leaves work to it");
	for (size_t i = 0; ch && i < ARRAY_SIZE(t); i++) {
		size_t len = make_offload(out, t[i].proto, t[i].type, t[i].payload);
		uint32_t l4 = t[i].proto == 6 ? 20 : 8, at = 0;
		bool right = true;
		int n;

		is_int(send(fd, out, len, 0), (long)len, "%s is sent", t[i].title);
		memset(got, 0, sizeof(got));
		n = take_ipv4(ch, in, got, t[i].frames);
		is_int(n, t[i].frames, "%s: frames", t[i].title);
		for (int k = 0; k < n; k++) {
			uint32_t share = got[k].len - L4 - l4;

			right = right && !got[k].fault && l4_sum(got[k].data, got[k].len) == 0xffff &&
				!memcmp(got[k].data + L4 + l4,
					out + sizeof(struct virtio_net_hdr) + L4 + l4 + at, share);
			at += share;
		}
		ok(right && at == t[i].payload, "C-3 %s: every byte and checksum", t[i].title);
	}
	close(fd);
	if (ch)
		ch->ops->close(ch, false);
	ok(gone(guest_ns, "eth7"), "removed");
}

/* A device of a vmq that knew no virtio headers, or that somebody has set otherwise. */
static void test_older(void)
{
	struct ifreq ifr = { .ifr_name = "t0", .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd, sock, size = 12;
	uint8_t out[100], in[2048];
	struct frame_buf buf = { .data = in, .room = sizeof(in) };
	struct channel *ch;

	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	ok(!ioctl(fd, TUNSETIFF, &ifr) && !ioctl(fd, TUNSETPERSIST, 1) &&
	   !ioctl(fd, TUNSETVNETHDRSZ, &size), "a TAP without virtio headers is left behind");
	close(fd);
	ch = open_tap("tap:t0", 1, true);
	sock = tap_socket("t0", NULL);
	ok(ch && sock >= 0, "it is taken over");
	if (!ch)
		return;
	make_frame(out, 0x31, sizeof(out));
	give(ch, 0, out, sizeof(out));
	is_int(recv_ours(sock, in, sizeof(in)), sizeof(out), "its guest gets frames");
	ok(!memcmp(in, out, sizeof(out)), "byte for byte");
	is_int(send(sock, out, sizeof(out), 0), sizeof(out), "it sends");
	is_int(take(ch, 1, &buf), 1, "its frame is taken");
	ok(buf.len == sizeof(out) && !memcmp(in, out, sizeof(out)), "byte for byte");
	close(sock);
	ch->ops->close(ch, false);
	ok(gone(-1, "t0"), "removed");
}

static void test_life(void)
{
	uint8_t out[64];
	struct channel_rx res;
	struct channel *ch;
	struct facts f;
	char spec[64];

	snprintf(spec, sizeof(spec), "tap:eth7,netns=%d", guest_pid);
	ch = open_tap(spec, 1, false);
	ok(ch != NULL, "a TAP in another namespace");
	if (!ch)
		return;
	is_str(events, "up:eth7 ", "event up");
	inside(guest_ns, see, "eth7", &f);
	ok(f.index && !there(-1, "eth7") && !there(-1, "vmqtap0"), "it is there, and not here");
	ok(!memcmp(f.mac, mac, 6), "it has the queue's address");
	is_int(f.mtu, 1400, "it has the MTU that was asked for");
	ok(f.up, "it is up");
	test_frames(ch, 1);

	ok(!open_tap(spec, 1, false), "a name that is taken is refused");
	is_int(err.code, -EBUSY, "as busy");
	ok(strstr(err.text, "a network interface named eth7 exists already in the network namespace "
		  "of process ") != NULL, "and the sentence says where");
	ok(!open_tap(spec, 1, true) && err.code == -EBUSY && strstr(err.text, "in use by another"),
	   "so is taking over one that is in use");
	ok(there(guest_ns, "eth7"), "neither has hurt it");

	make_frame(out, 1, sizeof(out));
	events[0] = '\0';
	inside(guest_ns, link_flags, "eth7", NULL);
	res = give(ch, 0, out, sizeof(out));
	ok(res.error == 1 && !res.delivered, "a frame for a TAP that is down is an error");
	give(ch, 0, out, sizeof(out));
	is_str(events, "down:eth7 ", "and one event, however many frames");
	inside(guest_ns, link_flags, "eth7", &f);
	res = give(ch, 0, out, sizeof(out));
	ok(res.delivered == 1, "up again it takes frames");
	is_str(events, "down:eth7 up:eth7 ", "and says so");

	ch->ops->close(ch, true);
	ok(there(guest_ns, "eth7"), "closed for a restart, the device stays");
	inside(guest_ns, link_mtu, "eth7", &(int){ 1300 });
	ch = open_tap(spec, 1, true);
	ok(ch != NULL, "and is taken over");
	if (!ch)
		return;
	inside(guest_ns, see, "eth7", &f);
	is_int(f.mtu, 1300, "a smaller MTU of the guest's stays");
	ch->ops->close(ch, true);
	inside(guest_ns, link_mtu, "eth7", &(int){ 9000 });
	ok(!open_tap(spec, 2, true) && err.code == -EBUSY &&
	   strstr(err.text, "is no TAP with several queues"),
	   "a device of another shape is not taken over");
	ch = open_tap(spec, 1, true);
	ok(ch != NULL, "taken over again");
	if (!ch)
		return;
	inside(guest_ns, see, "eth7", &f);
	is_int(f.mtu, 1400, "an MTU that no frame could carry is put right");
	test_frames(ch, 1);
	ch->ops->close(ch, false);
	ok(gone(guest_ns, "eth7"), "closed for good, the device is removed");
	ch = open_tap(spec, 1, true);
	ok(ch != NULL && there(guest_ns, "eth7"), "nothing to take over: made anew");
	if (ch)
		ch->ops->close(ch, false);
	ok(gone(guest_ns, "eth7"), "removed");
}

static void test_pairs(void)
{
	struct channel *ch;
	char spec[64];

	snprintf(spec, sizeof(spec), "tap:eth7,netns=%d", guest_pid);
	ch = open_tap(spec, 3, false);
	ok(ch != NULL, "a TAP with three pairs");
	if (!ch)
		return;
	test_frames(ch, 3);
	ch->ops->close(ch, true);
	ch = open_tap(spec, 3, true);
	ok(ch != NULL, "taken over with three pairs");
	if (!ch)
		return;
	test_frames(ch, 3);
	ch->ops->close(ch, false);
	ok(gone(guest_ns, "eth7"), "removed");
}

/* @how: what takes the device away */
static void test_lost(const char *spec, int (*how)(void), const char *title)
{
	struct channel *ch = open_tap(spec, 1, false);
	uint8_t out[64], in[2048];
	struct frame_buf buf = { .data = in, .room = sizeof(in) };
	uint64_t end = now_ns() + DEADLINE_NS;
	struct channel_rx res;
	int rc;

	ok(ch != NULL, "%s: a TAP", title);
	if (!ch)
		return;
	events[0] = '\0';
	is_int(how(), 0, "%s", title);
	do
		rc = ch->ops->tx_burst(ch, 0, &buf, 1);
	while (rc >= 0 && now_ns() < end);
	is_int(rc, -EBADFD, "%s: reading says that the channel is broken", title);
	make_frame(out, 1, sizeof(out));
	res = give(ch, 0, out, sizeof(out));
	ok(res.error == 1 && !res.delivered, "%s: a frame is an error", title);
	is_str(events, strstr(spec, "eth8") ? "lost:eth8 " : "lost:t0 ", "%s: one event", title);
	ch->ops->close(ch, false);
}

static int delete_here(void)
{
	return link_del("t0", NULL);
}

static int end_second(void)
{
	end_guest(guest_pid);
	return 0;
}

static void test_here(void)
{
	struct channel *ch = open_tap("tap:t0", 1, false);
	struct facts f;

	ok(ch != NULL, "a TAP in our own namespace");
	if (!ch)
		return;
	inside(-1, see, "t0", &f);
	ok(f.up && f.mtu == 1400 && !memcmp(f.mac, mac, 6), "set up");
	ok(!open_tap("tap:t0", 1, false) && err.code == -EBUSY, "its name is taken");
	ok(!open_tap("tap:lo", 1, false) && err.code == -EBUSY, "so is that of lo");
	ok(!open_tap("tap:lo", 1, true) && err.code == -EBUSY &&
	   strstr(err.text, "is no TAP"), "and lo cannot be taken over");
	ch->ops->close(ch, true);
	ch = open_tap("tap:t0", 1, true);
	ok(ch != NULL, "taken over");
	if (ch)
		ch->ops->close(ch, false);
	ok(gone(-1, "t0"), "removed");
}

/* An MTU that the kernel refuses, with its own words. */
static void test_mtu(void)
{
	struct channel_config cfg = { .queue = "q", .mac = mac, .pairs = 1, .mtu = 70000 };
	struct channel *ch = NULL;

	err = (struct vmq_err)VMQ_ERR_INIT;
	is_int(channel_open(&ch, "tap:t0", &cfg, &err), -EINVAL, "MTU 70000 is refused");
	ok(strstr(err.text, "cannot set up TAP t0: ") && strstr(err.text, "mtu"),
	   "in the kernel's words");
	ok(!there(-1, "t0"), "and nothing is left");
}

int main(void)
{
	char spec[64];
	int fd;

	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL)) {
		skip("needs root and namespaces", "the tap channel");
		return unit_done();
	}
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		skip("no /dev/net/tun", "the tap channel");
		return unit_done();
	}
	close(fd);
	if (mkdir("/run/netns", 0755) || (fd = open("/run/netns/file", O_CREAT | O_WRONLY, 0644)) < 0)
		return 1;
	close(fd);
	guest_pid = spawn_guest();
	guest_ns = open_ns(guest_pid);
	if (guest_pid < 0 || guest_ns < 0)
		return 1;

	test_specs();
	test_life();
	test_pairs();
	test_offloads();
	test_older();
	test_here();
	test_mtu();
	test_lost("tap:t0", delete_here, "ip link del");
	snprintf(spec, sizeof(spec), "tap:eth8,netns=%d", guest_pid);
	close(guest_ns);
	test_lost(spec, end_second, "the container ends");
	return unit_done();
}
