// SPDX-License-Identifier: GPL-2.0-only
/*
 * device.c - the interface changes while we serve it
 *
 * The kernel says only that something changed (RTM_NEWLINK), often several times
 * for one thing. So the interface is read again and compared with what was seen
 * last: `s->dev`. What the data path depends on is handed to it; everything is
 * told as an event "adapter", with what changed and how.
 *
 * The service knows the interface by its index. Its name is the administrator's,
 * and may change while the interface is up (since 6.2).
 */
#include "control/device.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/events.h"
#include "control/queue.h"
#include "control/rss.h"

__attribute__((format(printf, 3, 4)))
static void announce(struct service *s, const char *what, const char *fmt, ...)
{
	char detail[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	log_info("%s: %s: %s", s->dev.name, what, detail);
	server_event_take(s->server, json_pack("{s:s, s:s, s:s, s:s}", "event", "adapter", "name",
					       s->cfg.attach.name, "what", what, "detail", detail));
}

void device_check_mtu(const struct service *s, uint32_t mtu)
{
	uint32_t carries = s->cfg.attach.max_frame - ETH_HLEN - 2 * VLAN_HLEN;

	if (mtu > carries)
		log_warn("%s has MTU %u, but a chunk of %u carries frames of %u bytes: longer ones "
			 "are dropped and counted as too_big; lower the MTU to %u%s",
			 s->cfg.attach.ifname, mtu, s->cfg.chunk, s->cfg.attach.max_frame, carries,
			 s->cfg.chunk < 4096 ? ", or start vmq-load with --chunk 4096" : "");
}

const char *device_link(const struct netdev_info *dev)
{
	return !dev->up ? "down" : dev->carrier ? "up" : "no carrier";
}

static void follow_link(struct service *s, const struct netdev_info *now)
{
	if (strcmp(device_link(&s->dev), device_link(now)))
		announce(s, "link", "%s", device_link(now));
}

static void follow_name(struct service *s, const struct netdev_info *now)
{
	if (!strcmp(s->dev.name, now->name))
		return;
	announce(s, "name", "%s", now->name);
	datapath_set_name(s->datapath, now->name);
}

static void follow_mtu(struct service *s, const struct netdev_info *now)
{
	if (s->dev.mtu == now->mtu)
		return;
	announce(s, "mtu", "%u -> %u", s->dev.mtu, now->mtu);
	datapath_set_mtu(s->datapath, now->mtu);
	device_check_mtu(s, now->mtu);
}

/* The host's own address is never a virtual machine's (F-25). */
static void follow_address(struct service *s, const struct netdev_info *now)
{
	char mac[MAC_STRLEN];
	uint32_t id;
	int m;

	if (!memcmp(s->dev.mac, now->mac, sizeof(now->mac)))
		return;
	announce(s, "address", "%s", format_mac(now->mac, mac));
	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		const struct queue *q = s->queue[id];

		for (m = 0; q && m < q->rec.n_macs; m++)
			if (!memcmp(q->rec.mac[m], now->mac, sizeof(now->mac)))
				log_warn("%s is now %s's own address and queue %s's: the host gets no "
					 "frames for it; change one of them", mac, now->name,
					 q->rec.name);
	}
}

static void follow_queues(struct service *s, const struct netdev_info *now)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (now->rxqs == s->dev.rxqs && now->txqs == s->dev.txqs)
		return;
	announce(s, "queues", "%u RX and %u TX", now->rxqs, now->txqs);
	if (datapath_set_rxqs(s->datapath, now->rxqs, now->txqs, &err))
		log_warn("frames of the new RX queues stay on queue 0: %s", err.text);
	place_refresh(s->place);
}

void device_follow(struct service *s)
{
	static void (*const follow[])(struct service *s, const struct netdev_info *now) = {
		follow_name, follow_link, follow_mtu, follow_address, follow_queues,
	};
	struct vmq_err err = VMQ_ERR_INIT;
	struct netdev_info now;
	char name[IF_NAMESIZE];

	if (!if_indextoname((unsigned int)s->dev.ifindex, name) || netdev_query(name, &now, &err))
		return;		/* gone: that is told by another message */
	for (size_t i = 0; i < ARRAY_SIZE(follow); i++)
		follow[i](s, &now);
	s->dev = now;
	rss_follow_nic(s);
}

void device_gone(struct service *s)
{
	announce(s, "gone", "the interface has gone, or moved to another network namespace");
}
