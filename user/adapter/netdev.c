// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev.c - facts about a network device
 *
 * What rtnetlink tells, plus three things it does not: the driver's name
 * (ethtool ioctl), the queues in use (only sysfs has `real_num_rx_queues` for
 * every driver), and whether there is hardware behind the device.
 *
 * sysfs shows the network namespace of the process that mounted it. After
 * unshare(1) or nsenter(1) /sys is still that of the old one, where the same
 * name may be another device. So a sysfs of our own namespace is made, attached
 * to no directory (fsmount(2), since 5.2), and gone with its descriptor.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "common/netlink.h"
#include "common/util.h"

#define ALTNAME_MAX	128	/* ALTIFNAMSIZ */

/* ---- sysfs ---------------------------------------------------------------- */

/* A sysfs of this network namespace; falls back to /sys without CAP_SYS_ADMIN. */
static int sysfs_root(void)
{
	int fs, mnt = -1;

	fs = fsopen("sysfs", FSOPEN_CLOEXEC);
	if (fs >= 0) {
		if (!fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
			mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		close(fs);
	}
	if (mnt >= 0)
		return mnt;
	mnt = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return mnt < 0 ? -errno : mnt;
}

int netdev_sysfs_open(const char *name)
{
	char path[64];
	int root, dir;

	root = sysfs_root();
	if (root < 0)
		return root;
	snprintf(path, sizeof(path), "class/net/%.15s", name);
	dir = openat(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		dir = -errno;
	close(root);
	return dir;
}

/* The first line. -EMSGSIZE: it is longer than there is room. */
int netdev_sysfs_read(int dir, const char *path, char *text, size_t size)
{
	ssize_t n;
	int fd;

	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return (int)n;
	text[n] = '\0';
	if ((size_t)n == size - 1 && !strchr(text, '\n'))
		return -EMSGSIZE;
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

int netdev_sysfs_write(int dir, const char *path, const char *text)
{
	int fd, rc = 0;

	fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

/* "queues/" holds one rx-N or tx-N per queue in use (real_num_rx_queues). */
static void count_queues(int dir, struct netdev_info *info)
{
	struct dirent *e;
	int fd;
	DIR *d;

	fd = openat(dir, "queues", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	info->rxqs = info->txqs = 0;
	while ((e = readdir(d))) {
		info->rxqs += !strncmp(e->d_name, "rx-", 3);
		info->txqs += !strncmp(e->d_name, "tx-", 3);
	}
	closedir(d);
}

static void query_sysfs(struct netdev_info *info)
{
	char index[16];
	int dir;

	/* Without sysfs assume that all allocated queues are in use. */
	info->rxqs = info->rxqs_allocated;
	info->txqs = info->txqs_allocated;
	info->virtual = true;
	dir = netdev_sysfs_open(info->name);
	if (dir < 0)
		return;
	if (!netdev_sysfs_read(dir, "ifindex", index, sizeof(index)) &&
	    atoi(index) == info->ifindex) {
		count_queues(dir, info);
		info->virtual = faccessat(dir, "device", F_OK, 0) != 0;
	}
	close(dir);
}

/* ---- rtnetlink ------------------------------------------------------------ */

static void parse_xdp(const struct nlattr *nest, struct netdev_info *info)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_XDP_ATTACHED:
			info->xdp_mode = mnl_attr_get_u8(attr);
			break;
		case IFLA_XDP_PROG_ID:	/* 0 with XDP_ATTACHED_MULTI */
		case IFLA_XDP_DRV_PROG_ID:
		case IFLA_XDP_SKB_PROG_ID:
		case IFLA_XDP_HW_PROG_ID:
			if (!info->xdp_prog_id)
				info->xdp_prog_id = mnl_attr_get_u32(attr);
			break;
		}
	}
}

static void parse_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct netdev_info *info = arg;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return;
	info->ifindex = ifi->ifi_index;
	info->up = ifi->ifi_flags & IFF_UP;
	info->ethernet = ifi->ifi_type == ARPHRD_ETHER || ifi->ifi_type == ARPHRD_LOOPBACK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(info->name, sizeof(info->name), "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(attr) == sizeof(info->mac))
				memcpy(info->mac, mnl_attr_get_payload(attr), sizeof(info->mac));
			break;
		case IFLA_MTU:
			info->mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_NUM_RX_QUEUES:
			info->rxqs_allocated = mnl_attr_get_u32(attr);
			break;
		case IFLA_NUM_TX_QUEUES:
			info->txqs_allocated = mnl_attr_get_u32(attr);
			break;
		case IFLA_CARRIER:
			info->carrier = mnl_attr_get_u8(attr);
			break;
		case IFLA_XDP:
			parse_xdp(attr, info);
			break;
		}
	}
}

/* The driver's name, as ethtool -i shows it; "" if the device has none. */
static void query_driver(struct netdev_info *info)
{
	struct ethtool_drvinfo drv = { .cmd = ETHTOOL_GDRVINFO };

	if (!netdev_ethtool(info->name, &drv))
		snprintf(info->driver, sizeof(info->driver), "%.31s", drv.driver);
}

/**
 * netdev_query() - ask the kernel about a device
 * @name: its name or one of its alternative names
 * @info: answer; untouched after an error
 * @err: sentence
 *
 * Return: 0; -ENODEV no such device here.
 */
int netdev_query(const char *name, struct netdev_info *info, struct vmq_err *err)
{
	_Alignas(struct nlmsghdr) char buf[512];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	size_t len = strlen(name);
	struct netdev_info got;
	char why[NETLINK_WHY];
	int rc = -ENODEV;

	memset(&got, 0, sizeof(got));
	nlh->nlmsg_type = RTM_GETLINK;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	if (len && len < ALTNAME_MAX) {
		/* IFLA_IFNAME finds short alternative names too (5.5). */
		mnl_attr_put_strz(nlh, len < IFNAMSIZ ? IFLA_IFNAME : IFLA_ALT_IFNAME, name);
		rc = netlink_talk(NETLINK_ROUTE, nlh, parse_link, &got, why);
	}
	if (rc == -ENODEV || (!rc && !got.ifindex) || rc == -EINVAL)
		return vmq_err(err, -ENODEV, "no interface '%.40s' in this network namespace; "
			       "'ip link' lists them", name);
	if (rc)
		return vmq_err_sys(err, rc, "cannot ask the kernel about '%.40s'", name);
	query_driver(&got);
	query_sysfs(&got);
	*info = got;
	return 0;
}

/* ---- attaching, to hear why it fails -------------------------------------- */

static int xdp_set(int ifindex, int fd, int expected_fd, uint32_t flags, char *why)
{
	_Alignas(struct nlmsghdr) char buf[256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	struct nlattr *nest;

	nlh->nlmsg_type = RTM_SETLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	nest = mnl_attr_nest_start(nlh, IFLA_XDP);
	mnl_attr_put_u32(nlh, IFLA_XDP_FD, (uint32_t)fd);
	mnl_attr_put_u32(nlh, IFLA_XDP_FLAGS, flags);
	if (flags & XDP_FLAGS_REPLACE)
		mnl_attr_put_u32(nlh, IFLA_XDP_EXPECTED_FD, (uint32_t)expected_fd);
	mnl_attr_nest_end(nlh, nest);
	return netlink_talk(NETLINK_ROUTE, nlh, NULL, NULL, why);
}

void netdev_xdp_why(int ifindex, int prog_fd, uint32_t mode_flag, char *why)
{
	char ignored[NETLINK_WHY];

	_Static_assert(NETDEV_WHY == NETLINK_WHY, "one size of text");
	if (xdp_set(ifindex, prog_fd, -1, mode_flag | XDP_FLAGS_UPDATE_IF_NOEXIST, why))
		return;
	xdp_set(ifindex, -1, prog_fd, mode_flag | XDP_FLAGS_REPLACE, ignored);
}
