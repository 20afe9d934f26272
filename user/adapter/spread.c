// SPDX-License-Identifier: GPL-2.0-only
/*
 * spread.c - queue 0's frames over CPUs (bpf/host.h)
 *
 * Each CPU that may get frames has an entry in a CPUMAP, with a queue and a kthread
 * in the kernel (cpumap/CPU/map:ID). The entries stay while the program may name
 * them, and go when it is off: a frame that finds none is passed where it is, and
 * what a queue still holds is given to the stack before its kthread ends
 * (cpu_map_kthread_run()). So switching loses nothing, but a flow may be reordered.
 *
 * A frame leaves its driver as an xdp_frame, which has no room for a tag that the
 * NIC took out. So it must be known that tags are in the frames.
 *
 * In skb mode the skb itself is queued. Where XDP needed a copy of it, for headroom,
 * the copy does not know the length of its Ethernet header (skb_pp_cow_data() leaves
 * mac_len 0), and cpu_map_generic_redirect() goes by that: IP finds the Ethernet
 * header and drops the packet (seen on 6.18, with every frame of a veth). So this is
 * for native mode.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>

#include "adapter/attachment.h"
#include "common/util.h"
#include "vmq.skel.h"

/* Frames. As many as a backlog has by default (net.core.netdev_max_backlog), twice. */
#define SPREAD_QUEUE	2048

int attach_spread_check(const struct attachment *a, struct vmq_err *err)
{
	if (a->info.mode == VMQ_MODE_SKB)
		return vmq_err(err, -EOPNOTSUPP, "RSS of queue 0 needs XDP in native mode: in skb mode "
			       "the kernel spoils frames on their way to another CPU");
	if (a->info.asks_tag)
		return vmq_err(err, -EOPNOTSUPP, "a frame's VLAN tag may be outside of the frame on "
			       "%s, and would be lost between CPUs: start vmq-load with --tags frame "
			       "if that is known to be otherwise", a->info.dev.name);
	if (a->bound)
		return vmq_err(err, -EOPNOTSUPP, "RSS of queue 0 needs a program that is not bound to "
			       "%s: start vmq-load without --hash nic", a->info.dev.name);
	if (!a->info.tags_known)
		return vmq_err(err, -EOPNOTSUPP, "it is not known whether a frame's VLAN tag is in "
			       "the frame on %s, and outside it would be lost between CPUs (%s)",
			       a->info.dev.name, a->tags_why);
	return 0;
}

int attach_spread_on(struct attachment *a, const uint16_t *cpu, int n, struct vmq_err *err)
{
	struct bpf_cpumap_val val = {
		.qsize = SPREAD_QUEUE,
		.bpf_prog.fd = bpf_program__fd(a->program.skel->progs.vmq_cpu),
	};
	int fd = bpf_map__fd(a->program.skel->maps.cpus), i, rc;

	for (i = 0; i < n; i++) {
		uint32_t key = cpu[i];

		rc = bpf_map_update_elem(fd, &key, &val, BPF_ANY);
		if (rc) {
			attach_spread_off(a);
			return vmq_err_sys(err, rc, "the kernel refuses a queue for CPU %u", key);
		}
	}
	store_release(&a->program.skel->bss->vmq_host_rss, 1);
	return 0;
}

void attach_spread_off(struct attachment *a)
{
	int fd = bpf_map__fd(a->program.skel->maps.cpus);
	uint32_t key, n = bpf_map__max_entries(a->program.skel->maps.cpus);

	store_release(&a->program.skel->bss->vmq_host_rss, 0);
	for (key = 0; key < n; key++)
		bpf_map_delete_elem(fd, &key);
}
