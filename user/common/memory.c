// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory.c - how much memory the control group still has for us
 *
 * Only cgroup v2. Its limits hold for a group and all below it, so each group from
 * ours up to the mount is asked. Files are read anew each time: an administrator may
 * change limits at any time, and it costs some 20 us.
 */
#include "common/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/util.h"

#define RESERVE (4u << 20)

/* "max" is no number: UINT64_MAX. */
static int read_bytes(const char *dir, const char *name, uint64_t *bytes)
{
	char path[PATH_MAX + 16], word[32];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "%31s", word);
	fclose(f);
	if (n != 1)
		return -EIO;
	*bytes = UINT64_MAX;
	return !strcmp(word, "max") || sscanf(word, "%" SCNu64, bytes) == 1 ? 0 : -EIO;
}

/* Pages of files, which the kernel drops before it refuses anything. */
static uint64_t read_cache(const char *dir)
{
	char path[PATH_MAX + 16], key[64];
	uint64_t bytes, sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	f = fopen(path, "re");
	while (f && fscanf(f, "%63s %" SCNu64, key, &bytes) == 2)
		if (!strcmp(key, "active_file") || !strcmp(key, "inactive_file"))
			sum += bytes;
	if (f)
		fclose(f);
	return sum;
}

/* Our group's name, from the line "0::/NAME". */
static int read_name(const char *proc, char *name, size_t size)
{
	FILE *f = fopen(proc, "re");
	char line[PATH_MAX];
	int rc = -ENOENT;

	while (f && rc && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "0::/", 4) && strlen(line + 3) < size) {
			snprintf(name, size, "%s", line + 3);
			rc = 0;
		}
	}
	if (f)
		fclose(f);
	return rc;
}

int memory_group(const char *proc, const char *mount, struct memory_group *group)
{
	char name[sizeof(group->name)], dir[PATH_MAX];
	int rc;

	rc = read_name(proc, name, sizeof(name));
	if (rc)
		return rc;
	if (!strcmp(name, "/"))
		name[0] = '\0';
	group->left = UINT64_MAX;
	for (;;) {
		uint64_t max = UINT64_MAX, used = 0, left;

		/* The topmost has these files in a container, where it is not the machine's. */
		snprintf(dir, sizeof(dir), "%s%s", mount, name);
		if (!read_bytes(dir, "memory.max", &max) && max != UINT64_MAX &&
		    !read_bytes(dir, "memory.current", &used)) {
			used -= MIN(used, read_cache(dir));
			left = max - MIN(max, used);
			if (left < group->left) {
				snprintf(group->name, sizeof(group->name), "%s",
					 name[0] ? name : "/");
				group->max = max;
				group->left = left;
			}
		}
		if (!name[0])
			break;
		*strrchr(name, '/') = '\0';
	}
	return group->left == UINT64_MAX ? -ENOENT : 0;
}

int memory_admit(uint64_t bytes, struct vmq_err *err)
{
	struct memory_group group;

	if (memory_group("/proc/self/cgroup", "/sys/fs/cgroup", &group) ||
	    group.left >= bytes + RESERVE)
		return 0;
	return vmq_err(err, -ENOBUFS, "%" PRIu64 " of the %" PRIu64 " MiB are left that memory.max "
		       "allows control group %s; raise it (systemd: MemoryMax=)", group.left >> 20,
		       group.max >> 20, group.name);
}
