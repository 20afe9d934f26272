// SPDX-License-Identifier: GPL-2.0-only
/*
 * nic_hash.c - may a frame's hash be the NIC's?
 *
 * What is asked: the key and function (ETHTOOL_GRSSH), whether frames come with a hash
 * at all (rx-hashing), and the fields of each kind of flow (ETHTOOL_GRXFH). The last,
 * because some drivers name the type by what the packet is and not by what was hashed
 * (ice): with ports left out by `ethtool -N ... rx-flow-hash` they would still say TCP.
 * A kind that the driver does not tell the fields of is left to software.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/attachment.h"
#include "adapter/netdev.h"
#include "adapter/nic_hash.h"
#include "common/util.h"

#define KEY_ROOM	256	/* bytes; the longest that there is today is 52 (Intel) */
#define INDIR_ROOM	16384	/* entries: more than any device has */

#define HASH_TOEPLITZ	0x1	/* ETH_RSS_HASH_TOP, which is in no header of ours */

#define ADDRESSES	(RXH_IP_SRC | RXH_IP_DST)
#define PORTS		(RXH_L4_B_0_1 | RXH_L4_B_2_3)

/* Kinds of flow as ethtool has them. An _EX type is the plain one where it counts. */
static const struct {
	uint32_t flow;
	uint16_t types;
	uint64_t fields;
} kinds[] = {
	{ IPV4_FLOW, VMQ_HASH_IPV4, ADDRESSES },
	{ TCP_V4_FLOW, VMQ_HASH_TCP_IPV4, ADDRESSES | PORTS },
	{ UDP_V4_FLOW, VMQ_HASH_UDP_IPV4, ADDRESSES | PORTS },
	{ IPV6_FLOW, VMQ_HASH_IPV6 | VMQ_HASH_IPV6_EX, ADDRESSES },
	{ TCP_V6_FLOW, VMQ_HASH_TCP_IPV6 | VMQ_HASH_TCP_IPV6_EX, ADDRESSES | PORTS },
	{ UDP_V6_FLOW, VMQ_HASH_UDP_IPV6 | VMQ_HASH_UDP_IPV6_EX, ADDRESSES | PORTS },
};

bool nic_rss_same_fields(uint16_t type, uint64_t fields)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].types & type)
			return kinds[i].fields == fields;
	return false;
}

static uint16_t types_of(const char *name)
{
	uint16_t types = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct ethtool_rxnfc get = { .cmd = ETHTOOL_GRXFH, .flow_type = kinds[i].flow };

		if (!netdev_ethtool(name, &get) && nic_rss_same_fields(kinds[i].types, get.data))
			types |= kinds[i].types;
	}
	return types;
}

/* The key follows the indirection table. */
static int read_key(const char *name, struct nic_rss *out)
{
	struct ethtool_rxfh sizes = { .cmd = ETHTOOL_GRSSH }, *get;
	int rc;

	rc = netdev_ethtool(name, &sizes);
	if (rc)
		return rc;
	if (sizes.key_size < VMQ_RSS_KEY_LEN || sizes.key_size > KEY_ROOM ||
	    sizes.indir_size > INDIR_ROOM)
		return -EOPNOTSUPP;
	get = calloc(1, sizeof(*get) + sizes.indir_size * sizeof(get->rss_config[0]) +
		     sizes.key_size);
	if (!get)
		return -ENOMEM;
	get->cmd = ETHTOOL_GRSSH;
	get->indir_size = sizes.indir_size;
	get->key_size = sizes.key_size;
	rc = netdev_ethtool(name, get);
	if (!rc) {
		/* A function that the driver does not name may be any. */
		out->toeplitz = get->hfunc == HASH_TOEPLITZ;
		/* input_xfrm, since 6.8; older headers call it reserved. */
		out->symmetric = ((const uint8_t *)get)[offsetof(struct ethtool_rxfh, hfunc) + 1];
		memcpy(out->key, get->rss_config + get->indir_size, sizeof(out->key));
	}
	free(get);
	return rc;
}

int nic_rss_read(const char *name, struct nic_rss *out, struct vmq_err *err)
{
	int rc;

	*out = (struct nic_rss){ .known = false };
	rc = read_key(name, out);
	if (rc == -EOPNOTSUPP)
		return vmq_err(err, rc, "the driver of %s tells no hash key of 40 bytes", name);
	if (rc)
		return vmq_err_sys(err, rc, "cannot read the hash key of %s", name);
	out->known = true;
	out->on = netdev_rx_hashing(name);
	out->types = types_of(name);
	return 0;
}

uint16_t nic_rss_types(const struct nic_rss *nic, const uint8_t key[VMQ_RSS_KEY_LEN],
		       uint16_t types, const char **why)
{
	const struct {
		bool is;
		const char *why;
	} reasons[] = {
		{ !nic->known, "the driver tells no hash key of 40 bytes" },
		{ !nic->toeplitz, "the NIC's hash function is not Toeplitz (ethtool -X IFACE hfunc "
		  "toeplitz)" },
		{ nic->symmetric, "the NIC's hash is symmetric (ethtool -X IFACE xfrm none)" },
		{ memcmp(nic->key, key, VMQ_RSS_KEY_LEN) != 0, "its key is not the NIC's ('vmqctl "
		  "rss set NAME --key nic' takes that)" },
		{ !nic->on, "the NIC gives no hashes (ethtool -K IFACE rxhash on)" },
		{ !(nic->types & types), "the NIC hashes other fields (ethtool -n IFACE "
		  "rx-flow-hash ...)" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (!reasons[i].is)
			continue;
		*why = reasons[i].why;
		return 0;
	}
	return nic->types & types;
}

/* ---- asking for it ---------------------------------------------------------- */

static bool ask(struct attachment *a, enum vmq_mode mode, bool bound, struct vmq_err *why)
{
	const struct netdev_info *dev = &a->info.dev;
	struct nic_rss nic;

	if (a->cfg.hash == ATTACH_HASH_SOFTWARE) {
		vmq_err(why, 0, "vmq-load was started with --hash software");
		return false;
	}
	if (a->cfg.hash == ATTACH_HASH_AUTO && !bound) {
		vmq_err(why, 0, "the XDP program is not bound to the interface (vmq-load --hash nic "
			"does that)");
		return false;
	}
	if (mode != VMQ_MODE_NATIVE) {
		vmq_err(why, 0, "the hash kfunc works in native mode only");
		return false;
	}
	return program_kfunc_possible(dev->ifindex, PROGRAM_KFUNC_HASH, why) &&
	       !nic_rss_read(dev->name, &nic, why);
}

int hash_choose(struct attachment *a, enum vmq_mode mode, bool bound, bool *asked,
		struct vmq_err *err)
{
	struct vmq_err why = VMQ_ERR_INIT;

	*asked = ask(a, mode, bound, &why);
	if (!*asked && a->cfg.hash == ATTACH_HASH_NIC)
		return vmq_err(err, -EOPNOTSUPP, "--hash nic is not to be had: %s", why.text);
	snprintf(a->hash_why, sizeof(a->hash_why), "%s", why.text);
	return 0;
}
