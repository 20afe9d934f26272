// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev_watch.c - news about the device
 *
 * Two sockets. Links make news by rtnetlink; but a device may get another number of
 * queues (ethtool -L) without a word there, where the driver does not restart the
 * link for it. The queues' directories in sysfs come and go with them, whatever the
 * driver, and that is a uevent, in the device's own namespace.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "common/netlink.h"

struct netdev_watch {
	struct mnl_socket *nl;
	int uevent_fd;
	int epoll_fd;			/* of both */
	int ifindex;
	const struct nlmsghdr *next;	/* not looked at yet, in buf */
	int left;			/* bytes from there on */
	_Alignas(struct nlmsghdr) char buf[32768];
};

static int watch_sockets(struct netdev_watch *w)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	struct epoll_event ev = { .events = EPOLLIN };

	w->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	w->uevent_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			      NETLINK_KOBJECT_UEVENT);
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!w->nl || w->uevent_fd < 0 || w->epoll_fd < 0 ||
	    mnl_socket_bind(w->nl, RTMGRP_LINK, MNL_SOCKET_AUTOPID) < 0 ||
	    bind(w->uevent_fd, (struct sockaddr *)&kernel, sizeof(kernel)) ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, mnl_socket_get_fd(w->nl), &ev) ||
	    epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->uevent_fd, &ev))
		return -errno;
	return 0;
}

int netdev_watch_open(struct netdev_watch **out, int ifindex, struct vmq_err *err)
{
	struct netdev_watch *w;
	int rc;

	w = calloc(1, sizeof(*w));
	if (!w)
		return vmq_err(err, -ENOMEM, "no memory to watch the interface");
	w->ifindex = ifindex;
	w->uevent_fd = w->epoll_fd = -1;
	rc = watch_sockets(w);
	if (rc) {
		vmq_err_sys(err, rc, "cannot watch the interface");
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
	if (w->uevent_fd >= 0)
		close(w->uevent_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	free(w);
}

int netdev_watch_fd(const struct netdev_watch *w)
{
	return w->epoll_fd;
}

/* "add@/devices/pci0000:00/…/net/eth0/queues/rx-4", then words of no interest. */
static bool queue_news(struct netdev_watch *w)
{
	char name[IF_NAMESIZE], text[1024], want[IF_NAMESIZE + 16];
	bool found = false;
	ssize_t n;

	if (!if_indextoname((unsigned int)w->ifindex, name))
		name[0] = '\0';
	snprintf(want, sizeof(want), "/net/%s/queues/", name);
	while ((n = recv(w->uevent_fd, text, sizeof(text) - 1, 0)) >= 0 || errno == ENOBUFS ||
	       errno == EINTR) {
		if (n < 0) {
			found |= errno == ENOBUFS;	/* news were lost */
			continue;
		}
		text[n] = '\0';
		found |= strstr(text, want) != NULL;
	}
	return found;
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
		if (queue_news(w)) {
			*ev = NETDEV_EV_CHANGED;
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
