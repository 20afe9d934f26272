/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netdev.h - what vmq asks of, and does to, a network device
 *
 * Facts by rtnetlink (libmnl), features by the ethtool ioctls. Nothing is kept
 * here; an answer is as old as the call. Control thread only, in the device's
 * network namespace.
 */
#ifndef VMQ_NETDEV_H
#define VMQ_NETDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct netdev_info {
	int	 ifindex;
	char	 name[16];	/* the real name, also if an altname was asked for */
	uint8_t	 mac[6];
	uint32_t mtu;
	uint32_t rxqs_allocated;	/* IFLA_NUM_RX_QUEUES */
	uint32_t txqs_allocated;
	uint32_t rxqs;		/* real_num_rx_queues: /sys/class/net/…/queues */
	uint32_t txqs;
	bool	 up;		/* set up by the administrator */
	bool	 carrier;	/* and the link is there */
	bool	 ethernet;	/* its frames have a MAC header */
	bool	 virtual;	/* no hardware behind it: veth, tap, bridge … */
	char	 driver[32];	/* "" if it has none */
	uint32_t xdp_prog_id;	/* 0: no program attached */
	int	 xdp_mode;	/* XDP_ATTACHED_… of it, 0 (XDP_ATTACHED_NONE) without */
};

/* -ENODEV with "no interface NAME in this network namespace". */
int netdev_query(const char *name, struct netdev_info *info, struct vmq_err *err);

/*
 * Directory of the device in sysfs, of the namespace we are in: /sys may have
 * been mounted in another one. O_PATH descriptor, or negative errno.
 */
int netdev_sysfs_open(const char *name);
/* A small attribute below it: its first line, without the newline. 0 or -errno. */
int netdev_sysfs_read(int dir, const char *path, char *text, size_t size);
int netdev_sysfs_write(int dir, const char *path, const char *text);

/*
 * Tag extraction by the NIC (`rx-vlan-offload`, and its 802.1ad sibling).
 * netdev_rx_vlan_off() switches both off and verifies. Return: 0 off now
 * (*was_on names the ones that we changed), -EOPNOTSUPP where one is fixed on.
 */
#define NETDEV_RX_VLAN_C	0x1	/* 802.1Q */
#define NETDEV_RX_VLAN_S	0x2	/* 802.1ad */
int netdev_rx_vlan_off(const char *name, uint32_t *was_on, struct vmq_err *err);
/* Switch on again what was switched off, of these and the next ones. */
int netdev_rx_on(const char *name, uint32_t which, struct vmq_err *err);

/*
 * Receive offloads that join frames (`large-receive-offload`, `rx-gro-hw`): off, as far
 * as they are on and can be. Return: 0 (*was_on names the ones that we changed);
 * -EOPNOTSUPP where one stays on.
 */
#define NETDEV_RX_LRO		0x20
#define NETDEV_RX_GRO_HW	0x40
int netdev_rx_join_off(const char *name, uint32_t *was_on, struct vmq_err *err);

/* Does the NIC drop frames of VLANs it was not told of (`rx-vlan-filter`)? */
bool netdev_vlan_filtered(const char *name);

/* Do frames come with a hash that the NIC made (`rx-hashing`)? */
bool netdev_rx_hashing(const char *name);

/* An ethtool ioctl. 0 or -errno. */
int netdev_ethtool(const char *name, void *cmd);

/*
 * Does the driver have bpf_xdp_metadata_rx_vlan_tag() and bpf_xdp_metadata_rx_hash()?
 * 1 yes, 0 no; -errno where the kernel cannot be asked (netdev generic netlink, since
 * 6.3). A driver without one gets a stub that fails at run time only, so asking is a
 * must.
 */
int netdev_has_vlan_kfunc(int ifindex);
int netdev_has_hash_kfunc(int ifindex);

/*
 * Why does an XDP attachment fail? bpf_link_create() cannot say (bpf(2) has no
 * log for it), so the same thing is tried by netlink, which brings the kernel's
 * words. @why: NETDEV_WHY bytes, "" if there are none. If it succeeds after
 * all, it is undone.
 */
#define NETDEV_WHY	128
void netdev_xdp_why(int ifindex, int prog_fd, uint32_t mode_flag, char *why);

/*
 * What the NIC must let in: unicast addresses, by a packet socket's
 * PACKET_ADD_MEMBERSHIP, which the kernel undoes when the socket closes, so also
 * when the service dies. Where the device has no address filter, or it is full,
 * the kernel makes the device promiscuous by itself (__dev_set_rx_mode(), the
 * driver). We ask for that where the NIC filters VLANs (@tagged: frames of a VLAN
 * are wanted) and where there are more than NETDEV_ADDRS_MAX addresses.
 * netdev_addrs_del() takes back what one netdev_addrs_add() with the same
 * arguments did, successful or not.
 */
#define NETDEV_ADDRS_MAX	256
struct netdev_addrs;
int netdev_addrs_open(struct netdev_addrs **out, int ifindex, struct vmq_err *err);
void netdev_addrs_close(struct netdev_addrs *a);
int netdev_addrs_add(struct netdev_addrs *a, const uint8_t mac[6], bool tagged,
		     struct vmq_err *err);
void netdev_addrs_del(struct netdev_addrs *a, const uint8_t mac[6], bool tagged);

/*
 * Changes of one device: up, down, other queues in use, gone, moved to another
 * namespace.
 * `fd` is readable when something happened; netdev_watch_read() gives one
 * event at a time, or -EAGAIN.
 */
enum netdev_event { NETDEV_EV_CHANGED, NETDEV_EV_GONE };
struct netdev_watch;
int netdev_watch_open(struct netdev_watch **out, int ifindex, struct vmq_err *err);
void netdev_watch_close(struct netdev_watch *w);
int netdev_watch_fd(const struct netdev_watch *w);
int netdev_watch_read(struct netdev_watch *w, enum netdev_event *ev);

#endif /* VMQ_NETDEV_H */
