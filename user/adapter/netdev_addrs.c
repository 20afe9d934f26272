// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev_addrs.c - which frames the NIC lets in
 *
 * The memberships of a packet socket, whose end undoes everything
 * (packet_flush_mclist()): a service that is killed leaves no address and no
 * promiscuous mode behind.
 *
 * A NIC may filter by VLAN, too (rx-vlan-filter): it drops frames of VLANs for
 * which there is no VLAN device. On many (igb, virtio_net) that cannot be switched
 * off, and all of them let every VLAN in while they are promiscuous.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/netdev.h"

/*
 * The kernel counts memberships, but PACKET_DROP_MEMBERSHIP says nothing about one
 * that was never there (packet_mc_drop() returns 0), so we keep the list, too.
 */
struct netdev_addrs {
	int fd;
	int ifindex;
	bool vlan_filtered;
	uint32_t promisc;		/* wishes that only promiscuous mode fulfils */
	uint32_t n;
	struct {
		uint8_t mac[6];
		uint32_t users;
	} list[NETDEV_ADDRS_MAX];
};

/* Protocol 0: the socket is there for its memberships and receives nothing. */
int netdev_addrs_open(struct netdev_addrs **out, int ifindex, struct vmq_err *err)
{
	char name[IF_NAMESIZE];
	struct netdev_addrs *a;

	a = calloc(1, sizeof(*a));
	if (!a)
		return vmq_err(err, -ENOMEM, "no memory for the address list");
	a->ifindex = ifindex;
	a->vlan_filtered = if_indextoname((unsigned int)ifindex, name) &&
			   netdev_vlan_filtered(name);
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

static int find_addr(const struct netdev_addrs *a, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < a->n; i++)
		if (!memcmp(a->list[i].mac, mac, 6))
			return (int)i;
	return -1;
}

static int more_promisc(struct netdev_addrs *a, struct vmq_err *err)
{
	int rc;

	if (a->promisc++)
		return 0;
	rc = membership(a, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
	return rc ? vmq_err_sys(err, rc, "cannot switch promiscuous mode on") : 0;
}

static void less_promisc(struct netdev_addrs *a)
{
	if (!--a->promisc)
		membership(a, PACKET_DROP_MEMBERSHIP, PACKET_MR_PROMISC, NULL);
}

/**
 * netdev_addrs_add() - let frames for an address in
 * @a: the list
 * @mac: unicast address
 * @tagged: with a VLAN tag as well
 * @err: sentence
 *
 * Return: 0; -errno where the NIC may filter such frames.
 */
int netdev_addrs_add(struct netdev_addrs *a, const uint8_t mac[6], bool tagged,
		     struct vmq_err *err)
{
	int i = find_addr(a, mac), rc;

	if (i < 0 && a->n < NETDEV_ADDRS_MAX) {
		i = (int)a->n++;
		memcpy(a->list[i].mac, mac, 6);
		a->list[i].users = 0;
		rc = membership(a, PACKET_ADD_MEMBERSHIP, PACKET_MR_UNICAST, mac);
		if (rc) {
			a->n--;
			i = -1;
		}
	}
	if (i >= 0)
		a->list[i].users++;
	rc = i < 0 ? more_promisc(a, err) : 0;
	/* As there is no other way to ask for a VLAN than a VLAN device. */
	if (tagged && a->vlan_filtered && more_promisc(a, err))
		rc = -EOPNOTSUPP;
	return rc;
}

/**
 * netdev_addrs_del() - undo one netdev_addrs_add()
 * @a: the list
 * @mac: unicast address
 * @tagged: as it was added
 */
void netdev_addrs_del(struct netdev_addrs *a, const uint8_t mac[6], bool tagged)
{
	int i = find_addr(a, mac);

	if (tagged && a->vlan_filtered)
		less_promisc(a);
	if (i < 0) {
		less_promisc(a);
	} else if (!--a->list[i].users) {
		membership(a, PACKET_DROP_MEMBERSHIP, PACKET_MR_UNICAST, mac);
		a->list[i] = a->list[--a->n];
	}
}
