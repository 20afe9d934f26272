/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memory.h - how much memory the control group still has for us
 *
 * At the limit of a memory control group (memory.max) the kernel refuses what it
 * allocates itself, and kills a process of the group when that touches a new page: the
 * service, with the queues of all VMs. So what needs much, or is asked for by somebody
 * else, is refused before.
 */
#ifndef VMQ_MEMORY_H
#define VMQ_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* The group of this process, or the group above it, that has the least left. */
struct memory_group {
	char	 name[256];	/* as in /proc/self/cgroup */
	uint64_t max, left;	/* bytes; caches of files count as left */
};

/**
 * memory_group() - find that group
 * @proc: /proc/self/cgroup
 * @mount: /sys/fs/cgroup
 * @group: filled in
 *
 * Return: 0; -ENOENT: no limit, or no cgroup v2 with its memory controller there.
 */
int memory_group(const char *proc, const char *mount, struct memory_group *group);

/**
 * memory_admit() - may @bytes more be used?
 * @bytes: how many; some MiB stay for all that nobody asks for by this function
 * @err: sentence, without the beginning that says what for
 *
 * Return: 0, or -ENOBUFS.
 */
int memory_admit(uint64_t bytes, struct vmq_err *err);

#endif /* VMQ_MEMORY_H */
