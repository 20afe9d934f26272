/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.h - one netlink request and its answer
 *
 * A socket per request: requests are rare, and nothing has to be kept in step.
 * Every request asks for an acknowledgement, so the end of an answer looks the
 * same for all, and the kernel's own words (extack) come with a refusal.
 */
#ifndef VMQ_NETLINK_H
#define VMQ_NETLINK_H

#include <libmnl/libmnl.h>

#define NETLINK_WHY	128	/* room for the kernel's words */

/**
 * netlink_talk() - send @req, hand every answer to @cb, return the verdict
 * @bus: NETLINK_ROUTE or NETLINK_GENERIC
 * @req: request; NLM_F_REQUEST | NLM_F_ACK are added
 * @cb: gets each message that is no acknowledgement; may be NULL
 * @arg: for @cb
 * @why: gets the kernel's words, or ""; NETLINK_WHY bytes
 *
 * Return: 0, or the kernel's negative errno.
 */
int netlink_talk(int bus, struct nlmsghdr *req, void (*cb)(const struct nlmsghdr *, void *),
		 void *arg, char *why);

#endif /* VMQ_NETLINK_H */
