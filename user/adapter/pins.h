/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pins.h - the directories in bpffs (adapter's own)
 *
 * PINDIR/NAME is a service's directory, PINDIR/NAME+new the one that is being
 * made; they are swapped as a whole. bpffs refuses names with a dot (bpf_lookup(),
 * kernel/bpf/inode.c), so a dot in NAME is written ':' there.
 *
 * The records in a directory may be another ABI version's. pins_abi() knows
 * those that this build can read.
 */
#ifndef VMQ_PINS_H
#define VMQ_PINS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

#define PINS_PATH	256

struct pins {
	char base[PINS_PATH];	/* PINDIR */
	char dir[PINS_PATH];	/* PINDIR/NAME */
	char fresh[PINS_PATH + 8];	/* PINDIR/NAME+new */
};

struct pins_abi {
	uint32_t version;
	uint32_t meta_size, queue_size, filter_size;	/* of the records */
	bool frags;		/* its programs take frames in several buffers */
};

/* NULL: not known to this build. */
const struct pins_abi *pins_abi(uint32_t version);

/* Names only. -EINVAL if they are too long. */
int pins_init(struct pins *p, const char *pin_dir, const char *name, struct vmq_err *err);

/*
 * Make PINDIR, which must be on a bpffs: mounts one at /sys/fs/bpf if there is
 * none; elsewhere the sentence says the command.
 */
int pins_prepare(const struct pins *p, struct vmq_err *err);

/* Does the directory exist? */
bool pins_exist(const char *dir);

/*
 * Read the `meta` of a directory. Only abi and size are sure to be filled; the
 * rest is zero for an ABI that this build does not know. -ENOENT: no meta there;
 * -EPROTO: not ours.
 */
int pins_meta(const char *dir, struct vmq_meta *meta);

/*
 * Find another service's directory for the same device. Return: 1 found (its
 * meta in @meta), 0 none.
 */
int pins_find_device(const struct pins *p, int ifindex, uint64_t netns, struct vmq_meta *meta);

int pins_make_fresh(const struct pins *p, struct vmq_err *err);	/* empty NAME+new */
int pins_pin(const char *dir, const char *name, int fd, struct vmq_err *err);
int pins_open(const char *dir, const char *name);	/* fd or -errno */

/* NAME+new becomes NAME; an old NAME becomes NAME+new. Its own inverse then. */
int pins_swap(const struct pins *p);

/* Unlink all that is in a directory, and it. Not there: nothing to do. */
void pins_remove(const char *dir);
/* Remove PINDIR if it is empty. */
void pins_remove_base(const struct pins *p);

#endif /* VMQ_PINS_H */
