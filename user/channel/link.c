// SPDX-License-Identifier: GPL-2.0-only
/*
 * link.c - RTM_NEWLINK for a device that exists, and its MTU
 *
 * The kernel works a request off in a fixed order (net/core/rtnetlink.c
 * do_setlink()): namespace first, then address, MTU, name and flags, all of
 * them in the new namespace. So one message does what would otherwise need a
 * thread inside the other namespace.
 */
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/link.h"
#include "common/netlink.h"

int link_set(int ifindex, const struct link_setup *setup, struct vmq_err *err)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	char why[NETLINK_WHY];
	int rc;

	nlh->nlmsg_type = RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	if (setup->netns >= 0)
		mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)setup->netns);
	if (setup->name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, setup->name);
	if (setup->mac)
		mnl_attr_put(nlh, IFLA_ADDRESS, ETH_ALEN, setup->mac);
	if (setup->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, setup->mtu);

	rc = netlink_talk(NETLINK_ROUTE, nlh, NULL, NULL, why);
	if (rc && why[0])
		return vmq_err(err, rc, "%s (%s)", strerror(-rc), why);
	return rc ? vmq_err(err, rc, "%s", strerror(-rc)) : 0;
}

uint32_t link_mtu(const char *name)
{
	struct ifreq ifr = { .ifr_mtu = 0 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, SIOCGIFMTU, &ifr))
		ifr.ifr_mtu = 0;
	close(fd);
	return (uint32_t)ifr.ifr_mtu;
}
