// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev_features.c - what the NIC does to a frame before an XDP program sees it
 *
 * Three things matter here: whether it takes the VLAN tag out, joins frames, or drops
 * those of VLANs it was not told of. Whether it hashes frames is asked here, too.
 *
 * A NIC that extracts the tag hands it over beside the frame, where an XDP
 * program sees it only through a kfunc. A tagged frame would look untagged and
 * reach the wrong VM. So extraction is switched off, 802.1Q and 802.1ad alike,
 * and the kernel is asked again: a driver may ignore a feature request, or put
 * a feature back in its ndo_fix_features().
 *
 * The features are found by name (ETH_SS_FEATURES): their bit numbers are no
 * ABI.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "common/util.h"

#define FEATURES_MAX	512	/* 64 in 6.18; a string of 32 bytes each */

#define RX_VLAN		(NETDEV_RX_VLAN_C | NETDEV_RX_VLAN_S)
#define VLAN_FILTER_C	0x4
#define VLAN_FILTER_S	0x8
#define RX_HASH		0x10
#define RX_JOIN		(NETDEV_RX_LRO | NETDEV_RX_GRO_HW)

/* The kernel's names; ethtool(8) calls the first rx-vlan-offload. */
static const struct {
	uint32_t which;
	const char *name;
} our_features[] = {
	{ NETDEV_RX_VLAN_C, "rx-vlan-hw-parse" },
	{ NETDEV_RX_VLAN_S, "rx-vlan-stag-hw-parse" },
	{ VLAN_FILTER_C, "rx-vlan-filter" },
	{ VLAN_FILTER_S, "rx-vlan-stag-filter" },
	{ RX_HASH, "rx-hashing" },
	{ NETDEV_RX_LRO, "rx-lro" },
	{ NETDEV_RX_GRO_HW, "rx-gro-hw" },
};

struct features {
	uint32_t count;
	uint32_t active;	/* of those named above */
	uint32_t fixed;		/* of those, what cannot be changed */
	int bit[ARRAY_SIZE(our_features)];	/* -1: this kernel has no such feature */
};

int netdev_ethtool(const char *name, void *cmd)
{
	struct ifreq ifr = { 0 };
	int fd, rc = 0;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_data = cmd;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCETHTOOL, &ifr))
		rc = -errno;
	close(fd);
	return rc;
}

static int find_bits(const char *name, struct features *f)
{
	/* One number follows the head for each set that was asked for. */
	_Alignas(struct ethtool_sset_info) char room[sizeof(struct ethtool_sset_info) + 4] = "";
	struct ethtool_sset_info *set = (struct ethtool_sset_info *)room;
	struct ethtool_gstrings *strings;
	int rc;

	set->cmd = ETHTOOL_GSSET_INFO;
	set->sset_mask = 1ULL << ETH_SS_FEATURES;
	rc = netdev_ethtool(name, set);
	if (rc)
		return rc;
	f->count = set->data[0];
	if (!set->sset_mask || !f->count || f->count > FEATURES_MAX)
		return -EOPNOTSUPP;
	strings = calloc(1, sizeof(*strings) + (size_t)f->count * ETH_GSTRING_LEN);
	if (!strings)
		return -ENOMEM;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = f->count;
	rc = netdev_ethtool(name, strings);
	for (size_t v = 0; v < ARRAY_SIZE(our_features); v++) {
		f->bit[v] = -1;
		for (uint32_t i = 0; !rc && i < f->count; i++)
			if (!strncmp((const char *)strings->data + i * ETH_GSTRING_LEN,
				     our_features[v].name, ETH_GSTRING_LEN))
				f->bit[v] = (int)i;
	}
	free(strings);
	return rc;
}

static int get_features(const char *name, struct features *f)
{
	struct ethtool_gfeatures *get;
	uint32_t blocks;
	int rc;

	rc = find_bits(name, f);
	if (rc)
		return rc;
	blocks = (f->count + 31) / 32;
	get = calloc(1, sizeof(*get) + blocks * sizeof(get->features[0]));
	if (!get)
		return -ENOMEM;
	get->cmd = ETHTOOL_GFEATURES;
	get->size = blocks;
	rc = netdev_ethtool(name, get);
	f->active = f->fixed = 0;
	for (size_t v = 0; !rc && v < ARRAY_SIZE(our_features); v++) {
		const struct ethtool_get_features_block *b;
		uint32_t mask;

		if (f->bit[v] < 0)
			continue;
		b = &get->features[f->bit[v] / 32];
		mask = 1U << (f->bit[v] % 32);
		if (b->active & mask)
			f->active |= our_features[v].which;
		if (!(b->available & mask) || (b->never_changed & mask))
			f->fixed |= our_features[v].which;
	}
	free(get);
	return rc;
}

static int set_features(const char *name, const struct features *f, uint32_t which, bool on)
{
	uint32_t blocks = (f->count + 31) / 32;
	struct ethtool_sfeatures *set;
	int rc;

	set = calloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	if (!set)
		return -ENOMEM;
	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	for (size_t v = 0; v < ARRAY_SIZE(our_features); v++) {
		uint32_t mask;

		if (f->bit[v] < 0 || !(which & our_features[v].which))
			continue;
		mask = 1U << (f->bit[v] % 32);
		set->features[f->bit[v] / 32].valid |= mask;
		if (on)
			set->features[f->bit[v] / 32].requested |= mask;
	}
	rc = netdev_ethtool(name, set);
	free(set);
	return rc;
}

/**
 * netdev_vlan_filtered() - does the NIC drop frames of VLANs it was not told of?
 * @name: device
 *
 * Return: true, unless promiscuous; false also where it cannot be asked.
 */
bool netdev_vlan_filtered(const char *name)
{
	struct features f;

	return !get_features(name, &f) && (f.active & (VLAN_FILTER_C | VLAN_FILTER_S));
}

bool netdev_rx_hashing(const char *name)
{
	struct features f;

	return !get_features(name, &f) && f.active & RX_HASH;
}

int netdev_rx_vlan_off(const char *name, uint32_t *was_on, struct vmq_err *err)
{
	struct features before, after;
	int rc;

	*was_on = 0;
	rc = get_features(name, &before);
	if (rc)
		return vmq_err_sys(err, rc, "cannot read the features of %s", name);
	before.active &= RX_VLAN;
	if (!before.active)
		return 0;
	if (before.active & before.fixed)
		return vmq_err(err, -EOPNOTSUPP,
			       "%s takes VLAN tags out of frames and rx-vlan-offload is fixed on",
			       name);
	rc = set_features(name, &before, before.active, false);
	if (!rc)
		rc = get_features(name, &after);
	if (rc)
		return vmq_err_sys(err, rc, "cannot switch rx-vlan-offload of %s off", name);
	after.active &= RX_VLAN;
	*was_on = before.active & ~after.active;
	if (!after.active)
		return 0;
	if (*was_on && !set_features(name, &before, *was_on, true))
		*was_on = 0;
	return vmq_err(err, -EOPNOTSUPP, "the driver of %s does not let rx-vlan-offload be off",
		       name);
}

/*
 * A frame that the NIC has joined is longer than a buffer, and of one queue only by
 * chance (C-4). Drivers mostly switch this off themselves when XDP comes, and not all
 * of them give it back.
 */
int netdev_rx_join_off(const char *name, uint32_t *was_on, struct vmq_err *err)
{
	struct features before, after;
	int rc;

	*was_on = 0;
	rc = get_features(name, &before);
	if (rc)
		return vmq_err_sys(err, rc, "cannot read the features of %s", name);
	before.active &= RX_JOIN;
	if (!before.active)
		return 0;
	rc = set_features(name, &before, before.active & ~before.fixed, false);
	if (!rc)
		rc = get_features(name, &after);
	if (rc)
		return vmq_err_sys(err, rc, "cannot switch receive offloads of %s off", name);
	after.active &= RX_JOIN;
	*was_on = before.active & ~after.active;
	if (!after.active)
		return 0;
	return vmq_err(err, -EOPNOTSUPP, "the driver of %s does not let %s be off: frames that it "
		       "joins are too long for a buffer", name,
		       after.active & NETDEV_RX_LRO ? "large-receive-offload" : "rx-gro-hw");
}

int netdev_rx_on(const char *name, uint32_t which, struct vmq_err *err)
{
	struct features f;
	int rc;

	if (!which)
		return 0;
	rc = get_features(name, &f);
	if (!rc)
		rc = set_features(name, &f, which, true);
	if (rc)
		return vmq_err_sys(err, rc, "cannot switch receive offloads of %s on again", name);
	return 0;
}
