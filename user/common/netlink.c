// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink.c - one netlink request and its answer
 *
 * libmnl builds and walks the messages. Its callback runner drops the extack of
 * an error, so the acknowledgement is read here.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "common/netlink.h"

/* The verdict of an NLMSG_ERROR message, 0 being "done"; words into @why. */
static int read_ack(const struct nlmsghdr *nlh, char *why)
{
	const struct nlmsgerr *ack = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	unsigned int head = sizeof(*ack);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ack))
		return -EBADMSG;
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return ack->error;
	/* NETLINK_CAP_ACK leaves our own request out; kernels before 4.3 do not. */
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		head += mnl_nlmsg_get_payload_len(&ack->msg);
	mnl_attr_for_each(attr, nlh, head)
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
			snprintf(why, NETLINK_WHY, "%.*s", (int)mnl_attr_get_payload_len(attr),
				 mnl_attr_get_str(attr));
	return ack->error;
}

/* Reads datagrams until the acknowledgement of @seq. */
static int read_answer(struct mnl_socket *nl, unsigned int seq,
		       void (*cb)(const struct nlmsghdr *, void *), void *arg, char *why)
{
	_Alignas(struct nlmsghdr) char buf[32768];

	for (;;) {
		ssize_t got = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int left = (int)got;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_seq != seq)
				continue;
			if (nlh->nlmsg_type == NLMSG_ERROR)
				return read_ack(nlh, why);
			if (nlh->nlmsg_type == NLMSG_DONE)
				return 0;
			if (cb)
				cb(nlh, arg);
		}
	}
}

int netlink_talk(int bus, struct nlmsghdr *req, void (*cb)(const struct nlmsghdr *, void *),
		 void *arg, char *why)
{
	struct mnl_socket *nl;
	int rc, on = 1;

	why[0] = '\0';
	nl = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl)
		return -errno;
	mnl_socket_setsockopt(nl, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &on, sizeof(on));
	req->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	req->nlmsg_seq = (unsigned int)time(NULL);
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, req, req->nlmsg_len) < 0)
		rc = -errno;
	else
		rc = read_answer(nl, req->nlmsg_seq, cb, arg, why);
	mnl_socket_close(nl);
	return rc;
}
