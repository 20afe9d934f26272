// SPDX-License-Identifier: GPL-2.0-only
/*
 * leftover.c - what is on the interface, and in bpffs, before we come
 *
 * Other programs, other services, and what a service left that died. Three
 * answers: it can be adopted, it is worthless and cleaned (its device has gone,
 * and its link with it), or it is not ours to touch and the user is told how to
 * remove it.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter/attachment.h"
#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"

/* SO_NETNS_COOKIE (5.14) is unique until the machine restarts. */
int netns_cookie(uint64_t *cookie, struct vmq_err *err)
{
	socklen_t len = sizeof(*cookie);
	int fd, rc = 0;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len))
		rc = vmq_err_sys(err, -errno, "cannot tell network namespaces apart");
	if (fd >= 0)
		close(fd);
	return rc;
}

int link_info(int fd, uint32_t *ifindex, uint32_t *prog_id)
{
	struct bpf_link_info info = { 0 };
	uint32_t len = sizeof(info);
	int rc;

	rc = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (rc)
		return rc;
	if (info.type != BPF_LINK_TYPE_XDP)
		return -EPROTO;
	*ifindex = info.xdp.ifindex;
	*prog_id = info.prog_id;
	return 0;
}

/* The link pinned in @dir, if it still holds a device: fd; -ENOENT if not. */
static int live_link(const char *dir, uint32_t *ifindex, uint32_t *prog_id)
{
	int fd, rc;

	fd = pins_open(dir, "link");
	if (fd < 0)
		return fd;
	rc = link_info(fd, ifindex, prog_id);
	if (!rc && !*ifindex)
		rc = -ENOENT;
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/* Two services on one interface: the second refuses, naming the first. */
int check_other_service(const struct attachment *a, struct vmq_err *err)
{
	struct netdev_info const *dev = &a->info.dev;
	uint32_t ifindex, prog_id;
	struct vmq_meta meta;
	struct pins other;
	pid_t pid;
	int fd;

	if (!pins_find_device(&a->pins, dev->ifindex, a->netns, &meta))
		return 0;
	pid = lock_holder(a->cfg.run_dir, meta.name);
	if (pid)
		return vmq_err(err, -EBUSY,
			       "%s belongs to the vmq service %.31s (pid %d); stop it first",
			       dev->name, meta.name, pid);
	if (pins_init(&other, a->cfg.pin_dir, meta.name, err))
		return -EINVAL;
	fd = live_link(other.dir, &ifindex, &prog_id);
	if (fd < 0)
		return 0;
	close(fd);
	return vmq_err(err, -EBUSY,
		       "%s is held by what the vmq service %.31s (pid %u) left; take it over with "
		       "--name %.31s, or remove it with vmq-load --unload %.31s", dev->name,
		       meta.name, meta.pid, meta.name, meta.name);
}

int foreign_program(const struct netdev_info *dev, struct vmq_err *err)
{
	char name[32];

	program_name(dev->xdp_prog_id, name, sizeof(name));
	return vmq_err(err, -EBUSY,
		       "%s already has the XDP program %s (id %u)%s; detach it first "
		       "(ip link set dev %s xdp off, or stop its owner)", dev->name,
		       name[0] ? name : "of an unknown name", dev->xdp_prog_id,
		       strncmp(name, "vmq_rx", 6) ? "" :
		       ", which is vmq's own: another service with other --pin-dir?", dev->name);
}

static int refuse_old(const struct attachment *a, struct vmq_err *err, const char *why)
{
	return vmq_err(err, -EBUSY, "the pins in %s %s; remove them with vmq-load --unload %s",
		       a->pins.dir, why, a->cfg.name);
}

int find_old(struct attachment *a, struct old *old, struct vmq_err *err)
{
	const struct netdev_info *dev = &a->info.dev;
	uint32_t ifindex = 0, prog_id = 0;
	char why[128];
	int rc, fd;

	if (!pins_exist(a->pins.dir))
		return 0;
	rc = pins_meta(a->pins.dir, &old->meta);
	if (rc && rc != -ENOENT)
		return refuse_old(a, err, "were not made by vmq");
	if (!rc && !pins_abi(old->meta.abi)) {
		snprintf(why, sizeof(why), "are of ABI %u, newer than this vmq-load (%d)",
			 old->meta.abi, VMQ_ABI_VERSION);
		return refuse_old(a, err, why);
	}
	fd = live_link(a->pins.dir, &ifindex, &prog_id);
	if (fd < 0 && fd != -ENOENT)
		return vmq_err_sys(err, fd, "cannot open %s/link", a->pins.dir);
	if (fd < 0) {
		log_warn("the interface of an earlier service %s has gone: its queues and filters "
			 "are dropped", a->cfg.name);
		if (a->cfg.lost)
			attach_left_queues(a->cfg.name, a->cfg.pin_dir, a->cfg.lost, NULL);
		pins_remove(a->pins.dir);
		a->lock.rx_vlan = 0;	/* was about the interface that has gone */
		return 0;
	}

	if (rc) {
		rc = refuse_old(a, err, "hold a link without a record of whose it is");
		goto err_close;
	}
	if (old->meta.netns != a->netns) {
		rc = refuse_old(a, err, "belong to another network namespace");
		goto err_close;
	}
	/* Numbers are reused, so the program must be the one that is attached here. */
	if (ifindex != (uint32_t)dev->ifindex || prog_id != dev->xdp_prog_id) {
		snprintf(why, sizeof(why), "hold another interface (%.15s, index %u)",
			 old->meta.ifname, ifindex);
		rc = refuse_old(a, err, why);
		goto err_close;
	}
	if ((a->cfg.mode == ATTACH_NATIVE && old->meta.mode != VMQ_MODE_NATIVE) ||
	    (a->cfg.mode == ATTACH_SKB && old->meta.mode != VMQ_MODE_SKB)) {
		snprintf(why, sizeof(why), "hold %s in %s mode, which a restart cannot change",
			 dev->name, attach_mode_name(old->meta.mode));
		rc = refuse_old(a, err, why);
		goto err_close;
	}
	old->abi = pins_abi(old->meta.abi);
	if (!old->abi->frags) {	/* a driver would not be asked about the MTU again */
		rc = refuse_old(a, err, "hold a program for frames in one buffer");
		goto err_close;
	}
	old->link_fd = fd;
	return 0;

err_close:
	close(fd);
	return rc;
}

/* ---- removing what a dead service left ------------------------------------- */

/* Detach, put back what was switched off where we can reach it, and remove. */
static void unload_pins(const char *dir, uint32_t rx_vlan)
{
	uint32_t ifindex = 0, prog_id;
	char name[IF_NAMESIZE];
	struct vmq_meta meta;
	uint64_t netns = 0;
	int fd;

	fd = live_link(dir, &ifindex, &prog_id);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	if (fd >= 0 && rx_vlan && !pins_meta(dir, &meta) && !netns_cookie(&netns, NULL)) {
		if (meta.netns == netns && if_indextoname(ifindex, name))
			tags_restore(name, rx_vlan);
		else
			log_warn("rx-vlan-offload of %.15s stays off: the interface is in another "
				 "network namespace", meta.ifname);
	}
	pins_remove(dir);
}

/*
 * A service died after it had attached and before its directory got its name:
 * nobody has used that attachment yet.
 */
int remove_half_made(struct attachment *a, struct vmq_err *err)
{
	if (pins_exist(a->pins.dir) || !pins_exist(a->pins.fresh))
		return 0;
	unload_pins(a->pins.fresh, 0);
	return netdev_query(a->info.dev.name, &a->info.dev, err);
}

int attach_unload(const char *name, const char *pin_dir, const char *run_dir,
		  int (*lost)(const struct vmq_queue_record *rec, void *arg),
		  struct vmq_err *err)
{
	struct service_lock lock = SERVICE_LOCK_INIT;
	struct pins p;
	int rc;

	if (parse_name(name, "service name", VMQ_NAME_MAX, err))
		return -EINVAL;
	rc = check_capabilities(err);
	if (!rc)
		rc = pins_init(&p, pin_dir, name, err);
	if (rc)
		return rc;
	if (!pins_exist(p.dir) && !pins_exist(p.fresh) && !lock_holder(run_dir, name))
		return vmq_err(err, -ENOENT, "nothing to unload: no pins of a service %s in %s",
			       name, p.base);
	rc = lock_take(&lock, run_dir, name, err);
	if (rc)
		return rc;
	if (lost)
		attach_left_queues(name, pin_dir, lost, NULL);
	if (pins_exist(p.fresh))
		unload_pins(p.fresh, 0);
	if (pins_exist(p.dir))
		unload_pins(p.dir, lock.rx_vlan);
	pins_remove_base(&p);
	lock_release(&lock, true);
	return 0;
}
