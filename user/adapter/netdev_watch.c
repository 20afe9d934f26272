// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev_watch.c - addresses the NIC lets in, and news about the device
 *
 * Both are sockets whose end undoes everything: the packet socket's memberships
 * go with it (packet_flush_mclist()), so a service that is killed leaves no
 * address and no promiscuous mode behind.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "adapter/netlink.h"
#include "common/parse.h"

/* ---- addresses ------------------------------------------------------------- */

struct netdev_addrs {
	int fd;
	int ifindex;
};

/* Protocol 0: the socket is there for its memberships and receives nothing. */
int netdev_addrs_open(struct netdev_addrs **out, int ifindex, struct vmq_err *err)
{
	struct netdev_addrs *a;

	a = calloc(1, sizeof(*a));
	if (!a)
		return vmq_err(err, -ENOMEM, "no memory for the address list");
	a->ifindex = ifindex;
	a->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (a->fd < 0) {
		int rc = vmq_err_sys(err, -errno,
				     "cannot open a packet socket (needs CAP_NET_RAW)");

		free(a);
		return rc;
	}
	*out = a;
	return 0;
}

void netdev_addrs_close(struct netdev_addrs *a)
{
	if (!a)
		return;
	close(a->fd);
	free(a);
}

static int membership(struct netdev_addrs *a, int option, unsigned short type,
		      const uint8_t mac[6])
{
	struct packet_mreq req = { .mr_ifindex = a->ifindex, .mr_type = type };

	if (mac) {
		req.mr_alen = 6;
		memcpy(req.mr_address, mac, 6);
	}
	return setsockopt(a->fd, SOL_PACKET, option, &req, sizeof(req)) ? -errno : 0;
}

int netdev_addrs_add(struct netdev_addrs *a, const uint8_t mac[6], struct vmq_err *err)
{
	char text[MAC_STRLEN];
	int rc;

	rc = membership(a, PACKET_ADD_MEMBERSHIP, PACKET_MR_UNICAST, mac);
	if (rc)
		return vmq_err_sys(err, rc, "the interface does not accept address %s",
				   format_mac(mac, text));
	return 0;
}

int netdev_addrs_del(struct netdev_addrs *a, const uint8_t mac[6])
{
	return membership(a, PACKET_DROP_MEMBERSHIP, PACKET_MR_UNICAST, mac);
}

int netdev_addrs_promisc(struct netdev_addrs *a, bool on, struct vmq_err *err)
{
	int rc;

	rc = membership(a, on ? PACKET_ADD_MEMBERSHIP : PACKET_DROP_MEMBERSHIP,
			PACKET_MR_PROMISC, NULL);
	if (rc)
		return vmq_err_sys(err, rc, "cannot switch promiscuous mode %s",
				   on ? "on" : "off");
	return 0;
}

/* ---- news ------------------------------------------------------------------ */

struct netdev_watch {
	struct mnl_socket *nl;
	int ifindex;
	const struct nlmsghdr *next;	/* not looked at yet, in buf */
	int left;			/* bytes from there on */
	_Alignas(struct nlmsghdr) char buf[32768];
};

int netdev_watch_open(struct netdev_watch **out, int ifindex, struct vmq_err *err)
{
	struct netdev_watch *w;
	int rc;

	w = calloc(1, sizeof(*w));
	if (!w)
		return vmq_err(err, -ENOMEM, "no memory to watch the interface");
	w->ifindex = ifindex;
	w->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!w->nl || mnl_socket_bind(w->nl, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0) {
		rc = vmq_err_sys(err, -errno, "cannot watch the interface");
		netdev_watch_close(w);
		return rc;
	}
	*out = w;
	return 0;
}

void netdev_watch_close(struct netdev_watch *w)
{
	if (!w)
		return;
	if (w->nl)
		mnl_socket_close(w->nl);
	free(w);
}

int netdev_watch_fd(const struct netdev_watch *w)
{
	return mnl_socket_get_fd(w->nl);
}

/*
 * Is this message about our device? A move to another namespace comes as
 * RTM_DELLINK too. Messages of family AF_BRIDGE are about its bridge port.
 */
static bool about_us(const struct netdev_watch *w, const struct nlmsghdr *nlh,
		     enum netdev_event *ev)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return false;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_family != AF_UNSPEC ||
	    ifi->ifi_index != w->ifindex)
		return false;
	*ev = nlh->nlmsg_type == RTM_DELLINK ? NETDEV_EV_GONE : NETDEV_EV_CHANGED;
	return true;
}

int netdev_watch_read(struct netdev_watch *w, enum netdev_event *ev)
{
	for (;;) {
		ssize_t n;

		while (w->left > 0 && mnl_nlmsg_ok(w->next, w->left)) {
			const struct nlmsghdr *nlh = w->next;

			w->next = mnl_nlmsg_next(nlh, &w->left);
			if (about_us(w, nlh, ev))
				return 0;
		}
		n = mnl_socket_recvfrom(w->nl, w->buf, sizeof(w->buf));
		if (n < 0 && errno == ENOBUFS) {
			/* News were lost: whoever asks must look for himself. */
			*ev = NETDEV_EV_CHANGED;
			return 0;
		}
		if (n < 0 && errno != EINTR)
			return -errno;
		w->next = (const struct nlmsghdr *)w->buf;
		w->left = (int)n;
	}
}
