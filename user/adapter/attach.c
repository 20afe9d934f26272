// SPDX-License-Identifier: GPL-2.0-only
/*
 * attach.c - the XDP program on the interface
 *
 * attach_open() in order: what can be refused without touching anything comes
 * first (capabilities, interface, lock, pins of others), then the program is
 * loaded, its maps are pinned in a directory of their own, and only the last
 * two steps are visible: the directory gets its name, and the link is made or,
 * after a crash, switched to the new program. So an error at any point leaves
 * things as they were.
 *
 * The attachment is a bpf_link (since 5.9), which nobody removes by accident:
 * `ip link set dev X xdp off` is refused while it exists. It is pinned, so it
 * outlives the service; with its sockets gone all frames fall through to the
 * host.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter/attachment.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"
#include "vmq.skel.h"

#define CARRIER_WAIT_NS	10000000000ULL	/* igb needs 0.3 to 0.4 s */

static const struct {
	enum vmq_mode mode;
	uint32_t flag;
	const char *name;
} modes[] = {
	{ VMQ_MODE_NATIVE, XDP_FLAGS_DRV_MODE, "native" },
	{ VMQ_MODE_SKB, XDP_FLAGS_SKB_MODE, "skb" },
};

const char *attach_mode_name(uint32_t mode)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (modes[i].mode == mode)
			return modes[i].name;
	return "unknown";
}

/* ---- program, maps, pins --------------------------------------------------- */

static int load(struct attachment *a, const struct old *old, enum vmq_mode mode,
		struct vmq_err *err)
{
	struct program_config cfg = {
		.ifindex = a->info.dev.ifindex,
		.stride = a->info.stride,
		.max_frame = a->cfg.max_frame,
		.slots = a->cfg.slots,
		.ids = attach_ids(&a->cfg),
		.counters = old->link_fd >= 0 ? a->pins.dir : NULL,
	};
	struct vmq_err why = VMQ_ERR_INIT;
	struct vmq_bpf *skel;
	bool bound;
	int rc;

	tags_join_off(a);
	rc = tags_choose(a, mode, &cfg.ask_tag, err);
	if (!rc)
		rc = hash_choose(a, mode, cfg.ask_tag, &cfg.ask_hash, err);
	if (rc)
		return rc;
	bound = cfg.ask_tag || cfg.ask_hash;
	rc = program_load(&a->program, &cfg, bound ? &why : err);
	if (rc && bound) {
		if (a->cfg.tags == ATTACH_TAGS_KFUNC || a->cfg.hash == ATTACH_HASH_NIC)
			return vmq_err(err, rc, "--%s is not to be had: %s", a->cfg.hash ==
				       ATTACH_HASH_NIC ? "hash nic" : "tags kfunc", why.text);
		if (cfg.ask_tag)
			tags_set(a, false, why.text);
		snprintf(a->hash_why, sizeof(a->hash_why), "%s", why.text);
		cfg.ask_tag = cfg.ask_hash = bound = false;
		rc = program_load(&a->program, &cfg, err);
	}
	if (rc)
		return rc;
	skel = a->program.skel;
	a->bound = bound;
	a->info.mode = mode;
	a->info.asks_tag = cfg.ask_tag;
	a->info.asks_hash = cfg.ask_hash;
	a->info.fib = a->program.fib;
	a->info.queue_counters = a->program.queue_counters;
	a->info.pair_counters = a->program.pair_counters;
	a->info.fib_ctl = (uint64_t *)&skel->bss->vmq_fib_ctl;
	a->info.xsks_fd = bpf_map__fd(skel->maps.xsks);
	a->info.filters_fd = bpf_map__fd(skel->maps.filters);
	a->info.queues_fd = bpf_map__fd(skel->maps.queues);
	a->info.rss_fd = bpf_map__fd(skel->maps.rss);
	a->info.toeplitz_fd = bpf_map__fd(skel->maps.toeplitz);
	a->slot_stats_fd = bpf_map__fd(skel->maps.slot_stats);
	a->adapter_stats_fd = bpf_map__fd(skel->maps.adapter_stats);
	a->rss_stats_fd = bpf_map__fd(skel->maps.rss_stats);
	a->cpu_stats_fd = bpf_map__fd(skel->maps.cpu_stats);
	return 0;
}

static int write_meta(struct attachment *a, struct vmq_err *err)
{
	struct vmq_meta meta = {
		.abi = VMQ_ABI_VERSION,
		.size = sizeof(meta),
		.ifindex = (uint32_t)a->info.dev.ifindex,
		.stride = a->info.stride,
		.netns = a->netns,
		.mode = a->info.mode,
		.slots = a->cfg.slots,
		.queues = a->cfg.queues,
		.pid = (uint32_t)getpid(),
	};
	uint32_t zero = 0;
	int rc;

	memcpy(meta.ifname, a->info.dev.name, sizeof(meta.ifname));
	snprintf(meta.name, sizeof(meta.name), "%s", a->cfg.name);
	rc = bpf_map_update_elem(bpf_map__fd(a->program.skel->maps.meta), &zero, &meta, BPF_ANY);
	return rc ? vmq_err_sys(err, rc, "cannot write the meta record") : 0;
}

/* NAME+new, complete but for the link. */
static int pin_maps(struct attachment *a, struct vmq_err *err)
{
	struct bpf_map *map;
	int rc;

	rc = write_meta(a, err);
	if (!rc)
		rc = pins_make_fresh(&a->pins, err);
	if (rc)
		return rc;
	bpf_object__for_each_map(map, a->program.skel->obj) {
		if (bpf_map__is_internal(map))	/* .bss, .rodata */
			continue;
		rc = pins_pin(a->pins.fresh, bpf_map__name(map), bpf_map__fd(map), err);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- attaching ------------------------------------------------------------- */

/* What helps against a refusal; the kernel's own words come in front. */
static const struct {
	const char *driver;	/* NULL: any */
	int code;
	const char *remedy;
} remedies[] = {
	{ "veth", -ENOSPC, "make both ends with the same numrxqueues and numtxqueues" },
	{ "veth", -ERANGE, "lower the MTU of the peer" },
	{ NULL, -EOPNOTSUPP, "the driver cannot do it: use --mode skb" },
	{ NULL, -ERANGE, "lower the MTU" },
	{ NULL, -EMSGSIZE, "lower the MTU" },
};

static int explain(const struct attachment *a, int code, uint32_t flag, const char *mode,
		   struct vmq_err *err)
{
	const struct netdev_info *dev = &a->info.dev;
	const char *remedy = NULL;
	char why[NETDEV_WHY];

	netdev_xdp_why(dev->ifindex, a->program.fd, flag, why);
	for (size_t i = 0; !remedy && i < ARRAY_SIZE(remedies); i++)
		if (remedies[i].code == code &&
		    (!remedies[i].driver || !strcmp(remedies[i].driver, dev->driver)))
			remedy = remedies[i].remedy;
	return vmq_err(err, code, "%s mode XDP is refused on %s: %s%s%s%s%s", mode, dev->name,
		       strerror(-code), why[0] ? " - " : "", why, remedy ? "; " : "",
		       remedy ? remedy : "");
}

static int attach_new(struct attachment *a, uint32_t flag, struct vmq_err *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flag);
	struct netdev_info now;
	int rc;

	a->link_fd = bpf_link_create(a->program.fd, a->info.dev.ifindex, BPF_XDP, &opts);
	if (a->link_fd < 0) {
		rc = a->link_fd;
		a->link_fd = -1;
		/* Somebody may have been faster since we looked. */
		if ((rc == -EBUSY || rc == -EEXIST) &&
		    !netdev_query(a->info.dev.name, &now, NULL) && now.xdp_prog_id)
			return foreign_program(&now, err);
		return explain(a, rc, flag, attach_mode_name(a->info.mode), err);
	}
	rc = pins_pin(a->pins.fresh, "link", a->link_fd, err);
	if (!rc) {
		rc = pins_swap(&a->pins);
		if (rc)
			vmq_err_sys(err, rc, "cannot rename %s", a->pins.fresh);
	}
	if (rc) {
		bpf_link_detach(a->link_fd);
		close(a->link_fd);
		a->link_fd = -1;
	}
	return rc;
}

/*
 * Take over a link. The directories swap first: should we die before the
 * update, the next start finds the new maps with all records, and the link.
 */
static int attach_over(struct attachment *a, const struct old *old, struct vmq_err *err)
{
	int rc;

	rc = records_copy(a, a->pins.dir, old->abi, err);
	if (!rc)
		rc = pins_pin(a->pins.fresh, "link", old->link_fd, err);
	if (rc)
		return rc;
	rc = pins_swap(&a->pins);
	if (rc)
		return vmq_err_sys(err, rc, "cannot swap %s and %s", a->pins.dir, a->pins.fresh);
	rc = bpf_link_update(old->link_fd, a->program.fd, NULL);
	if (rc) {
		pins_swap(&a->pins);
		return vmq_err_sys(err, rc, "cannot give %s the new XDP program",
				   a->info.dev.name);
	}
	a->link_fd = old->link_fd;
	a->info.adopted = true;
	pins_remove(a->pins.fresh);	/* the old ones, now */
	return 0;
}

/* Another mode is worth a try: neither somebody else's program nor privilege. */
static bool mode_refused(int rc)
{
	return rc != -EBUSY && rc != -EEXIST && rc != -ENODEV && rc != -EPERM;
}

static void undo(struct attachment *a)
{
	program_unload(&a->program);
	pins_remove(a->pins.fresh);
	tags_restore(a->info.dev.name, a->rx_vlan_off);
	a->lock.rx_vlan &= ~a->rx_vlan_off;
	a->rx_vlan_off = 0;
	lock_write(&a->lock);
}

static bool mode_wanted(const struct attachment *a, const struct old *old, enum vmq_mode mode)
{
	if (old->link_fd >= 0)
		return old->meta.mode == mode;
	if (a->cfg.mode == ATTACH_SKB)
		return mode == VMQ_MODE_SKB;
	/* A kfunc that is wanted is no reason to fall back to a mode that has none. */
	if (a->cfg.mode == ATTACH_NATIVE || a->cfg.tags == ATTACH_TAGS_KFUNC ||
	    a->cfg.hash == ATTACH_HASH_NIC)
		return mode == VMQ_MODE_NATIVE;
	return true;
}

/* Native, then skb, as far as they are wanted. */
static int attach_in_some_mode(struct attachment *a, const struct old *old, struct vmq_err *err)
{
	int rc = -EOPNOTSUPP;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		bool attaching = false;

		if (!mode_wanted(a, old, modes[i].mode))
			continue;
		if (err->text[0])
			log_warn("%s", err->text);
		rc = load(a, old, modes[i].mode, err);
		if (!rc)
			rc = pin_maps(a, err);
		if (!rc) {
			attaching = true;
			rc = old->link_fd >= 0 ? attach_over(a, old, err)
					       : attach_new(a, modes[i].flag, err);
		}
		if (!rc)
			break;
		undo(a);
		if (!attaching || !mode_refused(rc))
			break;
	}
	if (!rc && a->info.mode == VMQ_MODE_SKB && a->cfg.mode == ATTACH_AUTO)
		log_warn("%s RUNS IN SKB MODE, which is slower than native: the kernel makes an "
			 "skb of every frame first", a->info.dev.name);
	return rc;
}

/* Some drivers restart the link when a program comes (igb: 0.3 to 0.4 s). */
static void wait_for_carrier(struct netdev_watch *w, const char *name)
{
	uint64_t begin = now_ns(), waited = 0;
	struct pollfd p = { .fd = netdev_watch_fd(w), .events = POLLIN };
	enum netdev_event ev;
	struct netdev_info now;
	bool lost = false;

	while (!netdev_query(name, &now, NULL) && now.up && !now.carrier) {
		if (!lost)
			log_info("%s lost its link while XDP was attached; waiting for it", name);
		lost = true;
		waited = now_ns() - begin;
		if (waited >= CARRIER_WAIT_NS) {
			log_warn("the link of %s has not come back in %llu s; going on", name,
				 CARRIER_WAIT_NS / 1000000000ULL);
			return;
		}
		poll(&p, 1, (int)((CARRIER_WAIT_NS - waited) / 1000000) + 1);
		while (!netdev_watch_read(w, &ev))
			;
	}
	if (lost)
		log_info("the link of %s is back after %.1f s", name,
			 (double)(now_ns() - begin) / 1e9);
}

/* ---- the attachment -------------------------------------------------------- */

static int check_config(const struct attach_config *cfg, struct vmq_err *err)
{
	if (parse_name(cfg->name, "service name", VMQ_NAME_MAX, err))
		return -EINVAL;
	if (!cfg->queues || cfg->queues > VMQ_QUEUES_MAX)
		return vmq_err(err, -EINVAL, "the limit of queues is 1 to %d", VMQ_QUEUES_MAX);
	if (!cfg->slots || cfg->slots > VMQ_SLOTS_MAX)
		return vmq_err(err, -EINVAL, "the limit of pairs is 1 to %d", VMQ_SLOTS_MAX);
	return 0;
}

/* All that is decided before anything is loaded. */
static int look_around(struct attachment *a, struct old *old, struct vmq_err *err)
{
	struct netdev_info *dev = &a->info.dev;
	int rc;

	rc = check_capabilities(err);
	if (!rc)
		rc = program_check_kernel(err);
	if (!rc)
		rc = netdev_query(a->cfg.ifname, dev, err);
	if (!rc && !dev->ethernet)
		rc = vmq_err(err, -EINVAL, "%s carries no Ethernet frames, so that there are no MAC "
			     "addresses to go by", dev->name);
	if (!rc)
		rc = netns_cookie(&a->netns, err);
	if (!rc)
		rc = pins_init(&a->pins, a->cfg.pin_dir, a->cfg.name, err);
	if (!rc)
		rc = lock_take(&a->lock, a->cfg.run_dir, a->cfg.name, err);
	if (!rc)
		rc = pins_prepare(&a->pins, err);
	if (!rc)
		rc = remove_half_made(a, err);
	if (rc)
		return rc;
	a->info.stride = dev->rxqs_allocated;
	if (!a->info.stride || a->info.stride > VMQ_RXQS_MAX)
		return vmq_err(err, -EOPNOTSUPP, "%s has %u RX queues; vmq serves 1 to %d",
			       dev->name, a->info.stride, VMQ_RXQS_MAX);
	rc = check_other_service(a, err);
	if (!rc)
		rc = find_old(a, old, err);
	if (!rc && old->link_fd < 0 && dev->xdp_prog_id)
		rc = foreign_program(dev, err);
	return rc;
}

int attach_open(struct attachment **out, const struct attach_config *cfg, struct vmq_err *err)
{
	struct vmq_err why = VMQ_ERR_INIT;
	struct old old = { .link_fd = -1 };
	struct netdev_watch *watch = NULL;
	struct attachment *a;
	int rc;

	rc = check_config(cfg, err);
	if (rc)
		return rc;
	a = calloc(1, sizeof(*a));
	if (!a)
		return vmq_err(err, -ENOMEM, "no memory for the attachment");
	a->cfg = *cfg;
	a->lock = (struct service_lock)SERVICE_LOCK_INIT;
	a->link_fd = a->program.fd = -1;
	a->info.tags_why = a->tags_why;
	a->info.hash_why = a->hash_why;

	rc = look_around(a, &old, &why);
	if (!rc && a->info.dev.up && a->info.dev.carrier)
		rc = netdev_watch_open(&watch, a->info.dev.ifindex, &why);
	if (!rc)
		rc = attach_in_some_mode(a, &old, &why);
	if (rc) {
		vmq_err(err, rc, "%s", why.text);
		goto err_free;
	}
	if (watch)
		wait_for_carrier(watch, a->info.dev.name);
	netdev_watch_close(watch);

	/* virtio_net changes its queue count when a program comes. */
	rc = netdev_query(a->info.dev.name, &a->info.dev, err);
	if (rc) {
		attach_close(a, true);
		return rc;
	}
	*out = a;
	return 0;

err_free:
	netdev_watch_close(watch);
	/* A dead service's file is kept with its pins: it says what to put back. */
	if (a->lock.fd >= 0) {
		bool keep = a->lock.found && pins_exist(a->pins.dir);

		lock_release(&a->lock, !keep);
		pins_remove_base(&a->pins);
	}
	if (old.link_fd >= 0)
		close(old.link_fd);
	free(a);
	return rc;
}

const struct attach_info *attach_info(const struct attachment *a)
{
	return &a->info;
}

void attach_close(struct attachment *a, bool detach)
{
	char name[IF_NAMESIZE];

	if (!a)
		return;
	if (detach) {
		/* Fails when the device has gone, which is as good. */
		bpf_link_detach(a->link_fd);
		pins_remove(a->pins.dir);
		pins_remove_base(&a->pins);
		/* It may have another name by now. */
		if (if_indextoname((unsigned int)a->info.dev.ifindex, name))
			tags_restore(name, a->lock.rx_vlan);
	}
	close(a->link_fd);
	program_unload(&a->program);
	lock_release(&a->lock, detach);
	free(a);
}

int attach_check(struct attachment *a, struct vmq_err *err)
{
	const struct netdev_info *dev = &a->info.dev;
	uint32_t ifindex = 0, prog_id = 0;
	char name[IF_NAMESIZE];
	struct netdev_info now;
	int rc;

	rc = link_info(a->link_fd, &ifindex, &prog_id);
	if (rc)
		return vmq_err_sys(err, rc, "cannot ask about the attachment to %s", dev->name);
	if (!if_indextoname((unsigned int)dev->ifindex, name) || netdev_query(name, &now, NULL) ||
	    (ifindex && now.xdp_prog_id != prog_id))
		return vmq_err(err, -ENODEV,
			       "%s has gone, or moved to another network namespace", dev->name);
	if (!ifindex)
		return vmq_err(err, -ENOENT, "somebody detached the XDP program from %s",
			       dev->name);
	return 0;
}
