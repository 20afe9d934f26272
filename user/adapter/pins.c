// SPDX-License-Identifier: GPL-2.0-only
/*
 * pins.c - the directories in bpffs
 *
 * Nothing here knows what a pin means, except `meta`, which says whose the
 * directory is. A directory becomes visible under its name only when it is
 * complete, by rename(2); what a crash leaves half made is NAME+new, which the
 * next start removes.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "adapter/pins.h"
#include "common/log.h"
#include "common/util.h"

#define BPFFS_ROOT	"/sys/fs/bpf"

/* Newest last. A new version adds a line, and records.c a conversion. */
static const struct pins_abi abis[] = {
	{ 1, sizeof(struct vmq_meta), sizeof(struct vmq_queue_record), sizeof(struct vmq_filter),
	  true },
};

const struct pins_abi *pins_abi(uint32_t version)
{
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		if (abis[i].version == version)
			return &abis[i];
	return NULL;
}

int pins_init(struct pins *p, const char *pin_dir, const char *name, struct vmq_err *err)
{
	size_t base = strlen(pin_dir);

	while (base > 1 && pin_dir[base - 1] == '/')
		base--;
	if (pin_dir[0] != '/')
		return vmq_err(err, -EINVAL, "pin directory '%.80s' must begin with '/'", pin_dir);
	if (base + 1 + strlen(name) + sizeof("+new") > PINS_PATH)
		return vmq_err(err, -EINVAL, "pin directory '%.80s' is too long", pin_dir);
	snprintf(p->base, sizeof(p->base), "%.*s", (int)base, pin_dir);
	snprintf(p->dir, sizeof(p->dir), "%.*s/%s", (int)base, pin_dir, name);
	for (char *c = p->dir + base; *c; c++)
		if (*c == '.')
			*c = ':';
	snprintf(p->fresh, sizeof(p->fresh), "%s+new", p->dir);
	return 0;
}

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static bool below_default(const char *path)
{
	return !strncmp(path, BPFFS_ROOT "/", sizeof(BPFFS_ROOT));
}

int pins_prepare(const struct pins *p, struct vmq_err *err)
{
	char path[PINS_PATH], top[PINS_PATH];

	if (below_default(p->base) && !is_bpffs(BPFFS_ROOT)) {
		if (mount("bpf", BPFFS_ROOT, "bpf", 0, "mode=0700"))
			return vmq_err_sys(err, -errno,
					   "no BPF file system at " BPFFS_ROOT " and it cannot be "
					   "mounted (mount -t bpf bpf " BPFFS_ROOT ")");
		log_info("mounted a BPF file system at " BPFFS_ROOT);
	}

	/* The deepest directory that is there decides on which file system we are. */
	snprintf(top, sizeof(top), "%s", p->base);
	while (access(top, F_OK) && strrchr(top, '/') > top)
		*strrchr(top, '/') = '\0';
	if (!is_bpffs(top))
		return vmq_err(err, -EINVAL,
			       "pin directory %s is not on a BPF file system; mount one first: "
			       "mount -t bpf bpf %s", p->base, top);
	for (size_t i = strlen(top) + 1; i <= strlen(p->base); i++) {
		if (p->base[i] != '/' && p->base[i] != '\0')
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)i, p->base);
		if (mkdir(path, 0700) && errno != EEXIST)
			return vmq_err_sys(err, -errno, "cannot make the pin directory %s", path);
	}
	return 0;
}

bool pins_exist(const char *dir)
{
	return !access(dir, F_OK);
}

int pins_open(const char *dir, const char *name)
{
	char path[PINS_PATH + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return bpf_obj_get(path);
}

int pins_meta(const char *dir, struct vmq_meta *meta)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info), zero = 0;
	const struct pins_abi *abi;
	void *value = NULL;
	int fd, rc;

	fd = pins_open(dir, "meta");
	if (fd < 0)
		return fd;
	rc = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (rc)
		goto out;
	rc = -EPROTO;
	if (info.type != BPF_MAP_TYPE_ARRAY || info.value_size < 8)
		goto out;
	value = calloc(1, info.value_size);
	rc = value ? bpf_map_lookup_elem(fd, &zero, value) : -ENOMEM;
	if (rc)
		goto out;
	/* Every version begins with its number and its size. */
	memset(meta, 0, sizeof(*meta));
	memcpy(meta, value, 8);
	abi = pins_abi(meta->abi);
	if (!meta->abi || (abi && (abi->meta_size != meta->size || meta->size != info.value_size)))
		rc = -EPROTO;
	else if (abi)
		memcpy(meta, value, abi->meta_size);
out:
	free(value);
	close(fd);
	return rc;
}

int pins_find_device(const struct pins *p, int ifindex, uint64_t netns, struct vmq_meta *meta)
{
	char path[2 * PINS_PATH];
	struct dirent *e;
	int found = 0;
	DIR *d;

	d = opendir(p->base);
	if (!d)
		return 0;
	while (!found && (e = readdir(d))) {
		if (e->d_name[0] == '.' || strchr(e->d_name, '+'))
			continue;
		snprintf(path, sizeof(path), "%s/%s", p->base, e->d_name);
		if (!strcmp(path, p->dir) || pins_meta(path, meta))
			continue;
		found = meta->ifindex == (uint32_t)ifindex && meta->netns == netns;
	}
	closedir(d);
	return found;
}

int pins_make_fresh(const struct pins *p, struct vmq_err *err)
{
	int rc;

	pins_remove(p->fresh);
	if (!mkdir(p->fresh, 0700))
		return 0;
	/* A service that ended just now took the empty PINDIR along. */
	if (errno == ENOENT) {
		rc = pins_prepare(p, err);
		if (rc)
			return rc;
		if (!mkdir(p->fresh, 0700))
			return 0;
	}
	return vmq_err_sys(err, -errno, "cannot make the pin directory %s", p->fresh);
}

int pins_pin(const char *dir, const char *name, int fd, struct vmq_err *err)
{
	char path[PINS_PATH + 32];
	int rc;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	rc = bpf_obj_pin(fd, path);
	if (rc)
		return vmq_err_sys(err, rc, "cannot pin %s", path);
	return 0;
}

int pins_swap(const struct pins *p)
{
	unsigned int how = pins_exist(p->dir) ? RENAME_EXCHANGE : RENAME_NOREPLACE;

	/* bpffs exchanges since 5.17 (simple_rename_exchange()); our programs need 5.18. */
	return renameat2(AT_FDCWD, p->fresh, AT_FDCWD, p->dir, how) ? -errno : 0;
}

void pins_remove(const char *dir)
{
	struct dirent *e;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	if (rmdir(dir))
		log_warn("cannot remove %s: %s", dir, strerror(errno));
}

void pins_remove_base(const struct pins *p)
{
	rmdir(p->base);
}
