// SPDX-License-Identifier: GPL-2.0-only
/*
 * vlan-access.c - make one device the access port of a VLAN on another
 *
 *	vlan-access ACCESS TRUNK VLAN
 *	vlan-access TRUNK VLAN
 *
 * What a VLAN device (CONFIG_VLAN_8021Q) or a VLAN-filtering bridge would do,
 * for kernels that have neither: two tc programs. Frames that come in on ACCESS
 * leave on TRUNK with the tag, frames of the VLAN that come in on TRUNK leave on
 * ACCESS without it, all others go on to TRUNK's own stack. The programs stay
 * with the devices; nothing has to keep running.
 *
 * The tag is an accelerated one: with `ethtool -K TRUNK txvlan off` the kernel
 * writes it into the frame as it leaves, with txvlan on a veth peer gets it
 * beside the frame, like from a NIC that strips tags.
 *
 * With TRUNK alone all that leaves there gets the tag. Such frames are not
 * redirected, as those of an access port are, which generic XDP leaves alone
 * (netif_receive_generic_xdp() looks at skb_is_redirected()).
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>

#include "testframe.h"
#include "vlan_access.skel.h"

static int attach(unsigned ifindex, enum bpf_tc_attach_point point,
		  const struct bpf_program *prog, uint32_t handle)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = handle, .priority = 1,
		    .prog_fd = bpf_program__fd(prog));
	int rc = bpf_tc_hook_create(&hook);

	if (rc < 0 && rc != -EEXIST)
		return rc;
	return bpf_tc_attach(&hook, &opts);
}

int main(int argc, char **argv)
{
	struct vlan_access_bpf *skel;
	unsigned ifindex[2];
	int rc, n = argc - 2;
	uint16_t vlan;

	if (n < 1 || n > 2) {
		fprintf(stderr, "usage: vlan-access [ACCESS] TRUNK VLAN\n");
		return 2;
	}
	for (int i = 0; i < n; i++) {
		ifindex[i] = if_nametoindex(argv[i + 1]);
		if (!ifindex[i]) {
			perror(argv[i + 1]);
			return 1;
		}
	}
	vlan = (uint16_t)test_number(argv[n + 1], "VLAN", 1, 4094, 0);

	skel = vlan_access_bpf__open();
	if (!skel) {
		perror("vlan-access: opening the programs");
		return 1;
	}
	skel->rodata->vlan = vlan;
	skel->rodata->access_ifindex = ifindex[0];
	skel->rodata->trunk_ifindex = ifindex[n - 1];
	rc = vlan_access_bpf__load(skel);
	if (!rc && n == 1)
		rc = attach(ifindex[0], BPF_TC_EGRESS, skel->progs.push, vlan);
	if (!rc && n == 2)
		rc = attach(ifindex[0], BPF_TC_INGRESS, skel->progs.to_trunk, vlan);
	if (!rc && n == 2)
		rc = attach(ifindex[1], BPF_TC_INGRESS, skel->progs.to_access, vlan);
	if (rc < 0)
		fprintf(stderr, "vlan-access: %s\n", strerror(-rc));
	vlan_access_bpf__destroy(skel);
	return rc < 0;
}
