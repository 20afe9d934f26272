/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attachment.h - what attach.c and records.c share (adapter's own)
 */
#ifndef VMQ_ATTACHMENT_H
#define VMQ_ATTACHMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "adapter/attach.h"
#include "adapter/lock.h"
#include "adapter/pins.h"
#include "adapter/program.h"

struct attachment {
	struct attach_info info;
	struct attach_config cfg;	/* its strings live only during attach_open() */
	struct pins pins;
	struct service_lock lock;
	struct program program;
	uint64_t netns;			/* cookie of the namespace we are in */
	int link_fd;
	int adapter_stats_fd, slot_stats_fd, rss_stats_fd, cpu_stats_fd;
	bool bound;			/* the program is vmq_rx_kfunc */
	uint32_t rx_vlan_off;		/* receive offloads that this run has switched off */
	char tags_why[256], hash_why[256];
};

/* What a dead service left and we can take over. */
struct old {
	int link_fd;		/* -1: nothing */
	const struct pins_abi *abi;
	struct vmq_meta meta;
};

const char *attach_mode_name(uint32_t mode);	/* enum vmq_mode */

/* ---- privilege.c ------------------------------------------------------- */

int check_capabilities(struct vmq_err *err);	/* -EPERM, naming the missing one */

/* ---- leftover.c -------------------------------------------------------- */

/* Number of our network namespace. */
int netns_cookie(uint64_t *cookie, struct vmq_err *err);

/* A link's device and program; zeros if the device has gone. */
int link_info(int fd, uint32_t *ifindex, uint32_t *prog_id);

/* Refuse (-EBUSY) an interface that another service holds, or held. */
int check_other_service(const struct attachment *a, struct vmq_err *err);

/* Remove what was never finished; looks at the device again then. */
int remove_half_made(struct attachment *a, struct vmq_err *err);

/* -EBUSY with the name of the program that is there. */
int foreign_program(const struct netdev_info *dev, struct vmq_err *err);

/* Look at PINDIR/NAME: adopt (old->link_fd), clean, or refuse. */
int find_old(struct attachment *a, struct old *old, struct vmq_err *err);

/* ---- tags.c ------------------------------------------------------------ */

/*
 * Decide how tags are known in @mode, and whether the driver is asked for them. Fills
 * tags_known and tags_why. 0, or -EOPNOTSUPP where --tags cannot be had.
 */
int tags_choose(struct attachment *a, enum vmq_mode mode, bool *ask, struct vmq_err *err);
void tags_set(struct attachment *a, bool known, const char *why);
/* Put back what a run switched off (NETDEV_RX_VLAN_…); warns if it cannot. */
void tags_restore(const char *ifname, uint32_t which);
void tags_join_off(struct attachment *a);	/* the NIC's own joining of frames */

/* ---- nic_hash.c -------------------------------------------------------- */

/*
 * Decide whether the driver is asked for hashes. @bound: the program will be bound to
 * the device anyhow. Fills hash_why. 0, or -EOPNOTSUPP where --hash cannot be had.
 */
int hash_choose(struct attachment *a, enum vmq_mode mode, bool bound, bool *asked,
		struct vmq_err *err);

/* ---- records.c --------------------------------------------------------- */

/*
 * Copy the records of another directory, made by @abi, into our new maps.
 * -ENOSPC if they do not fit the limits of this run.
 */
int records_copy(struct attachment *a, const char *dir, const struct pins_abi *abi,
		 struct vmq_err *err);

#endif /* VMQ_ATTACHMENT_H */
