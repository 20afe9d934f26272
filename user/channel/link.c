// SPDX-License-Identifier: GPL-2.0-only
/*
 * link.c - RTM_NEWLINK for a device that exists
 *
 * The kernel works a request off in a fixed order (net/core/rtnetlink.c
 * do_setlink()): namespace first, then address, MTU, name and flags, all of
 * them in the new namespace. So one message does what would otherwise need a
 * thread inside the other namespace.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "channel/link.h"

/* The kernel's own words about an error, behind its copy of our header. */
static int link_attr(const struct nlattr *attr, void *data)
{
	const char **text = data;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
	    !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
		*text = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

static int link_answer(const struct nlmsghdr *nlh, struct vmq_err *err)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	const char *text = NULL;

	if (nlh->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*e))
		return vmq_err(err, -EPROTO, "unexpected answer %u to RTM_NEWLINK",
			       nlh->nlmsg_type);
	if (!e->error)
		return 0;
	/* NETLINK_CAP_ACK: without our payload, so the attributes follow at once. */
	if (nlh->nlmsg_flags & NLM_F_ACK_TLVS)
		mnl_attr_parse(nlh, sizeof(*e), link_attr, &text);
	if (text)
		return vmq_err(err, e->error, "%s (%s)", strerror(-e->error), text);
	return vmq_err(err, e->error, "%s", strerror(-e->error));
}

int link_set(int ifindex, const struct link_setup *setup, struct vmq_err *err)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct mnl_socket *nl;
	struct ifinfomsg *ifi;
	int one = 1, rc;
	ssize_t n;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
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

	nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl)
		return vmq_err_sys(err, -errno, "cannot open a netlink socket");
	mnl_socket_setsockopt(nl, NETLINK_EXT_ACK, &one, sizeof(one));
	mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &one, sizeof(one));
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0) {
		rc = vmq_err_sys(err, -errno, "cannot send to rtnetlink");
		goto out;
	}
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0)
		rc = vmq_err_sys(err, -errno, "no answer from rtnetlink");
	else if (!mnl_nlmsg_ok((struct nlmsghdr *)buf, (int)n))
		rc = vmq_err(err, -EPROTO, "a cut answer from rtnetlink");
	else
		rc = link_answer((struct nlmsghdr *)buf, err);
out:
	mnl_socket_close(nl);
	return rc;
}
