// SPDX-License-Identifier: GPL-2.0-only
/*
 * tags.c - is a frame's VLAN tag in the frame?
 *
 * If not, a tagged frame looks untagged to the program and would reach the wrong
 * VM. Three ways to know: the administrator vouches for it; extraction by the
 * NIC is switched off (and verified); or the driver is asked for the tag of each
 * frame. Where none can be had, filters that look at VLANs are refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter/attachment.h"
#include "common/log.h"
#include "common/util.h"

/* Virtual devices whose frames come from a program, tags in the frame. */
static const char *const tagged_by_writer[] = { "tun" };

/*
 * Does rx-vlan-offload decide about tags? It is the switch of the hardware. A
 * virtual device hands on what the sender, or the device below it, made of the
 * tag: on veth the sender's tx-vlan-offload decides.
 */
static bool offload_decides(const struct netdev_info *dev)
{
	for (size_t i = 0; i < ARRAY_SIZE(tagged_by_writer); i++)
		if (!strcmp(dev->driver, tagged_by_writer[i]))
			return true;
	return !dev->virtual;
}

void tags_set(struct attachment *a, bool known, const char *why)
{
	a->info.tags_known = known;
	snprintf(a->tags_why, sizeof(a->tags_why), "%s", why);
}

/* Switch extraction off, and have it noted for whoever comes after a crash. */
static int tags_into_frame(struct attachment *a, struct vmq_err *err)
{
	uint32_t was_on = 0;
	int rc;

	rc = netdev_rx_vlan_off(a->info.dev.name, &was_on, err);
	a->rx_vlan_off |= was_on;
	a->lock.rx_vlan |= was_on;
	lock_write(&a->lock);
	return rc;
}

int tags_choose(struct attachment *a, enum vmq_mode mode, bool *ask, struct vmq_err *err)
{
	struct netdev_info const *dev = &a->info.dev;
	struct vmq_err why = VMQ_ERR_INIT;

	*ask = false;
	if (a->cfg.tags == ATTACH_TAGS_FRAME) {
		tags_set(a, true, "frame");
		return 0;
	}
	if (a->cfg.tags == ATTACH_TAGS_AUTO) {
		if (!offload_decides(dev)) {
			vmq_err(&why, -EOPNOTSUPP, "on %s the sender of a frame decides whether "
				"its VLAN tag is in the frame", dev->name);
		} else if (!tags_into_frame(a, &why)) {
			tags_set(a, true, "frame");
			return 0;
		}
		tags_set(a, false, why.text);
	}
	if (mode != VMQ_MODE_NATIVE)
		vmq_err(&why, -EOPNOTSUPP, "the VLAN-tag kfunc works in native mode only");
	else if (program_kfunc_possible(dev->ifindex, PROGRAM_KFUNC_TAG, &why))
		*ask = true;

	if (*ask)
		tags_set(a, true, "kfunc");
	else if (a->cfg.tags == ATTACH_TAGS_KFUNC)
		return vmq_err(err, -EOPNOTSUPP, "--tags kfunc is not to be had: %s", why.text);
	else
		snprintf(a->tags_why + strlen(a->tags_why),
			 sizeof(a->tags_why) - strlen(a->tags_why), ", and %s", why.text);
	return 0;
}

/* Best effort: what a driver joins all the same is counted as too long. */
void tags_join_off(struct attachment *a)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t was_on = 0;

	if (netdev_rx_join_off(a->info.dev.name, &was_on, &err) == -EOPNOTSUPP && err.text[0])
		log_warn("%s", err.text);
	a->rx_vlan_off |= was_on;
	a->lock.rx_vlan |= was_on;
	if (was_on)
		lock_write(&a->lock);
}

void tags_restore(const char *ifname, uint32_t which)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (which && netdev_rx_on(ifname, which, &err))
		log_warn("%s", err.text);
}
