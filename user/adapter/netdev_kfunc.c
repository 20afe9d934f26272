// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev_kfunc.c - what a driver can tell an XDP program about a frame
 *
 * By the "netdev" family of generic netlink (since 6.3). Which kfuncs the kernel has
 * says nothing about the driver.
 */
#include <errno.h>
#include <linux/genetlink.h>

#include "adapter/netdev.h"
#include "common/netlink.h"

/* From linux/netdev.h, which is younger than Debian 12's headers (6.3, 6.8). */
#define NETDEV_FAMILY			"netdev"
#define NETDEV_CMD_DEV_GET		1
#define NETDEV_A_DEV_IFINDEX		1
#define NETDEV_A_DEV_XDP_RX_METADATA	5	/* u64 of flags */
#define NETDEV_RX_METADATA_HASH		0x2
#define NETDEV_RX_METADATA_VLAN_TAG	0x4

struct genl_attr {
	uint16_t type;
	uint64_t value;
	bool found;
};

static void find_attr(const struct nlmsghdr *nlh, void *arg)
{
	struct genl_attr *want = arg;
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) != want->type)
			continue;
		want->found = true;
		want->value = mnl_attr_get_payload_len(attr) == sizeof(uint16_t) ?
			      mnl_attr_get_u16(attr) : mnl_attr_get_u64(attr);
	}
}

static struct nlmsghdr *genl_request(char *buf, uint16_t family, uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = family;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = 1;
	return nlh;
}

/* Does the driver have all of @want? */
static int has_metadata(int ifindex, uint64_t want)
{
	struct genl_attr family = { .type = CTRL_ATTR_FAMILY_ID };
	struct genl_attr flags = { .type = NETDEV_A_DEV_XDP_RX_METADATA };
	_Alignas(struct nlmsghdr) char buf[256];
	char why[NETLINK_WHY];
	struct nlmsghdr *nlh;
	int rc;

	nlh = genl_request(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, NETDEV_FAMILY);
	rc = netlink_talk(NETLINK_GENERIC, nlh, find_attr, &family, why);
	if (!rc && !family.found)
		rc = -EOPNOTSUPP;
	if (rc)
		return rc;

	nlh = genl_request(buf, (uint16_t)family.value, NETDEV_CMD_DEV_GET);
	mnl_attr_put_u32(nlh, NETDEV_A_DEV_IFINDEX, (uint32_t)ifindex);
	rc = netlink_talk(NETLINK_GENERIC, nlh, find_attr, &flags, why);
	if (rc)
		return rc;
	return flags.found && (flags.value & want) == want;
}

int netdev_has_vlan_kfunc(int ifindex)
{
	return has_metadata(ifindex, NETDEV_RX_METADATA_VLAN_TAG);
}

int netdev_has_hash_kfunc(int ifindex)
{
	return has_metadata(ifindex, NETDEV_RX_METADATA_HASH);
}
