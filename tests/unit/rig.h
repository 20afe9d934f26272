/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rig.h - a data path on a veth, with guests made of memory
 *
 * The test enters a network namespace of its own with a veth pair: the data path
 * is opened on "nic", a packet socket on "wire" is the network. Guests are
 * channels whose rings are arrays, so a test puts in bytes and looks at bytes.
 * Ports have no rings: what they get comes through the switch.
 */
#ifndef VMQ_RIG_H
#define VMQ_RIG_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "channel/link.h"
#include "common/util.h"
#include "datapath/datapath.h"
#include "datapath/port.h"
#include "unit.h"
#include "vmq/abi.h"

#define RIG_DEADLINE	5000000000ULL
#define RIG_FRAME	2048
#define RIG_KEPT	64	/* frames a guest remembers */

/* ---- frames ------------------------------------------------------------- */

struct bytes {
	uint8_t	 data[RIG_FRAME];
	uint32_t len;
};

/* Tags, outermost first. */
struct tags {
	int n;
	struct {
		uint16_t tpid, tci;
	} tag[2];
};
#define NO_TAG		((struct tags){ .n = 0 })
#define TAG(tci)	((struct tags){ 1, { { ETH_P_8021Q, tci } } })
#define TAG_AD(tci)	((struct tags){ 1, { { ETH_P_8021AD, tci } } })
#define TAGS(a, b, c, d) ((struct tags){ 2, { { a, b }, { c, d } } })

static inline void rig_put16(struct bytes *f, uint32_t v)
{
	f->data[f->len++] = (uint8_t)(v >> 8);
	f->data[f->len++] = (uint8_t)v;
}

/*
 * Stations are 52:54:00:00:00:xx; 0xff is broadcast, 0x133 an IPv6 group, 0x2xx is
 * 01:80:c2:00:00:xx.
 */
static inline void rig_mac(uint8_t mac[6], int station)
{
	static const uint8_t ours[6] = { 0x52, 0x54 }, link_local[6] = { 0x01, 0x80, 0xc2 };

	memcpy(mac, station < 0x200 ? ours : link_local, 6);
	mac[5] = (uint8_t)station;
	if (station == 0xff)
		memset(mac, 0xff, 6);
	if (station > 0xff && station < 0x200) {
		mac[0] = 0x33;
		mac[1] = 0x33;
	}
}

/* A frame of @len bytes without its tags; EtherType and bytes are our own. */
static inline struct bytes rig_frame(int dst, int src, struct tags t, uint32_t len)
{
	struct bytes f = { .len = 12 };

	rig_mac(f.data, dst);
	rig_mac(f.data + 6, src);
	for (int i = 0; i < t.n; i++) {
		rig_put16(&f, t.tag[i].tpid);
		rig_put16(&f, t.tag[i].tci);
	}
	rig_put16(&f, 0x88b5);
	for (uint32_t i = 14; i < len; i++)
		f.data[f.len++] = (uint8_t)(i * 3);
	return f;
}

static inline bool rig_same(const struct bytes *a, const struct bytes *b)
{
	if (a->len == b->len && !memcmp(a->data, b->data, a->len))
		return true;
	diag("frame of %u bytes: %02x%02x %02x%02x %02x%02x, expected %u: "
	     "%02x%02x %02x%02x %02x%02x", a->len, a->data[12], a->data[13], a->data[14],
	     a->data[15], a->data[16], a->data[17], b->len, b->data[12], b->data[13],
	     b->data[14], b->data[15], b->data[16], b->data[17]);
	return false;
}

/* ---- guests ------------------------------------------------------------- */

struct guest {
	struct channel ch;
	pthread_mutex_t lock;
	int kick;		/* eventfd: frames to take */
	struct bytes tx[RIG_KEPT], rx[RIG_KEPT];
	int n_tx, n_rx;
	enum channel_fault fault;	/* of all that it sends */
	bool own;			/* say that all of it is the channel's own */
};

static inline int guest_rx_burst(struct channel *ch, int pair, const struct frame *f, int n,
				 struct channel_rx *res)
{
	struct guest *g = container_of(ch, struct guest, ch);

	(void)pair;
	pthread_mutex_lock(&g->lock);
	for (int i = 0; i < n; i++) {
		struct bytes *to = &g->rx[g->n_rx];

		res->delivered++;
		if (g->n_rx == RIG_KEPT || f[i].len > RIG_FRAME)
			continue;
		to->len = 0;
		for (int p = 0; p < f[i].parts; p++) {
			memcpy(to->data + to->len, f[i].part[p].iov_base, f[i].part[p].iov_len);
			to->len += (uint32_t)f[i].part[p].iov_len;
		}
		g->n_rx++;
	}
	pthread_mutex_unlock(&g->lock);
	return n;
}

static inline int guest_tx_burst(struct channel *ch, int pair, struct frame_buf *buf, int n)
{
	struct guest *g = container_of(ch, struct guest, ch);
	int i;

	(void)pair;
	pthread_mutex_lock(&g->lock);
	for (i = 0; i < n && i < g->n_tx; i++) {
		memcpy(buf[i].data, g->tx[i].data, MIN(g->tx[i].len, buf[i].room));
		buf[i].len = MIN(g->tx[i].len, buf[i].room);
		buf[i].fault = g->tx[i].len > buf[i].room ? CHANNEL_TOO_LONG : g->fault;
		buf[i].own = g->own;
	}
	g->n_tx -= i;
	memmove(g->tx, g->tx + i, (size_t)g->n_tx * sizeof(g->tx[0]));
	pthread_mutex_unlock(&g->lock);
	return i;
}

static inline int guest_fd(struct channel *ch, int pair)
{
	(void)pair;
	return container_of(ch, struct guest, ch)->kick;
}

static inline void guest_close(struct channel *ch, bool keep)
{
	(void)keep;
	close(container_of(ch, struct guest, ch)->kick);
}

static const struct channel_ops guest_ops = {
	.kind = "guest",
	.usage = "guest",
	.rx_burst = guest_rx_burst,
	.tx_burst = guest_tx_burst,
	.fd = guest_fd,
	.close = guest_close,
};

static inline void guest_init(struct guest *g)
{
	memset(g, 0, sizeof(*g));
	g->ch.ops = &guest_ops;
	pthread_mutex_init(&g->lock, NULL);
	g->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline void guest_send(struct guest *g, const struct bytes *f)
{
	uint64_t one = 1;

	pthread_mutex_lock(&g->lock);
	g->tx[g->n_tx++] = *f;
	pthread_mutex_unlock(&g->lock);
	if (write(g->kick, &one, sizeof(one)) < 0)
		diag("eventfd: %s", strerror(errno));
}

static inline void guest_forget(struct guest *g)
{
	pthread_mutex_lock(&g->lock);
	g->n_rx = 0;
	pthread_mutex_unlock(&g->lock);
}

/* Wait until a guest has got @n frames since the last guest_forget(). */
static inline bool guest_wait(struct guest *g, int n, uint64_t wait)
{
	uint64_t end = now_ns() + wait;
	int have;

	do {
		pthread_mutex_lock(&g->lock);
		have = g->n_rx;
		pthread_mutex_unlock(&g->lock);
		if (have >= n)
			return true;
		poll(NULL, 0, 1);
	} while (now_ns() < end);
	return false;
}

/* ---- namespace and wire -------------------------------------------------- */

static inline void rig_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		diag("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Send a link request; 0 or what the kernel says. */
static inline int rig_netlink(struct nlmsghdr *nlh)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int rc = -EPROTO;

	if (!nl)
		return -errno;
	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID);
	mnl_socket_sendto(nl, nlh, nlh->nlmsg_len);
	if (mnl_socket_recvfrom(nl, buf, sizeof(buf)) > 0)
		rc = ((struct nlmsgerr *)mnl_nlmsg_get_payload((void *)buf))->error;
	mnl_socket_close(nl);
	return rc;
}

/* ip link add nic type veth peer name wire, one queue each */
static inline int rig_veth(void)
{
	struct nlattr *info, *data, *peer;
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, "nic");
	mnl_attr_put_u32(nlh, IFLA_NUM_TX_QUEUES, 1);
	mnl_attr_put_u32(nlh, IFLA_NUM_RX_QUEUES, 1);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, "wire");
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return rig_netlink(nlh);
}

/* ip link del NAME */
static inline int rig_del(const char *name)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = RTM_DELLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = (int)if_nametoindex(name);
	return rig_netlink(nlh);
}

/* A packet socket; @vnet: frames have a virtio_net_hdr in front. */
static inline int rig_socket(const char *name, bool vnet)
{
	struct sockaddr_ll sll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one));
	if (vnet)
		setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sll, sizeof(sll))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Return: NULL, or why it cannot be done here. */
static inline const char *rig_enter(void)
{
	struct link_setup up = { .netns = -1 };

	if (unshare(CLONE_NEWNET))
		return "needs root and a network namespace";
	rig_write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	if (rig_veth() || link_set((int)if_nametoindex("nic"), &up, NULL) ||
	    link_set((int)if_nametoindex("wire"), &up, NULL))
		return "no veth devices here";
	return NULL;
}

/* One frame as it was on the wire, its tag back in. Return: false if none came in time. */
static inline bool rig_receive(int fd, struct bytes *f, uint64_t wait)
{
	uint64_t end = now_ns() + wait;
	_Alignas(struct cmsghdr) char control[256];

	do {
		struct iovec iov = { f->data + VLAN_HLEN, sizeof(f->data) - VLAN_HLEN };
		struct msghdr mh = {
			.msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		struct tpacket_auxdata aux;

		if (n < 14 || !c) {
			if (wait)
				poll(NULL, 0, 1);
			continue;
		}
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		f->len = (uint32_t)n;
		if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) {
			memmove(f->data, f->data + VLAN_HLEN, f->len);
			return true;
		}
		memmove(f->data, f->data + VLAN_HLEN, 12);
		f->len = 12;
		rig_put16(f, aux.tp_vlan_tpid);
		rig_put16(f, aux.tp_vlan_tci);
		f->len = (uint32_t)n + VLAN_HLEN;
		return true;
	} while (now_ns() < end);
	return false;
}

/* ---- the data path ------------------------------------------------------- */

static inline struct datapath *rig_datapath(uint32_t txqs)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint16_t cpu = (uint16_t)sched_getcpu();
	struct datapath_config cfg = {
		.ifname = "nic", .ifindex = (int)if_nametoindex("nic"),
		.rxqs = 1, .txqs = txqs, .stride = 1, .xsks_fd = -1, .chunk = 2048,
		.rx_frames = 64, .tx_frames = 256, .cpus = &cpu, .n_cpus = 1,
	};
	struct datapath *dp = NULL;

	if (datapath_open(&dp, &cfg, &err)) {
		diag("%s", err.text);
		return NULL;
	}
	if (switch_start(datapath_switch(dp), datapath_worker_at(dp, 0), &err)) {
		diag("%s", err.text);
		datapath_close(dp);
		return NULL;
	}
	return dp;
}

/* These are all the stations there are. Return: 0, or an error and nothing changes. */
static inline int rig_stations(struct uswitch *sw, const struct station *st, int n,
			       struct vmq_err *err)
{
	int rc = 0;

	switch_clear(sw);
	for (int i = 0; i < n && !rc; i++)
		rc = switch_set_station(sw, &st[i], err);
	if (rc) {
		switch_abort(sw);
		return rc;
	}
	switch_commit(sw);
	switch_settle(sw);
	return 0;
}

static inline struct port *rig_port(struct datapath *dp, struct guest *g, uint32_t id,
				    uint16_t rule, bool trust)
{
	struct port_config cfg = {
		.id = id, .name = "vm", .channel = &g->ch, .rule = rule, .trust = trust,
		.pairs = 1, .cpu = { worker_cpu(datapath_worker_at(dp, 0)) },
	};
	struct vmq_err err = VMQ_ERR_INIT;
	struct port *p = NULL;

	guest_init(g);
	if (port_open(&p, dp, &cfg, &err))
		diag("%s", err.text);
	return p;
}

#endif /* VMQ_RIG_H */
