// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory.c - what is left to a control group, from files as the kernel writes them
 *
 * With a real limit: tests/qemu/memory.sh, in a guest.
 */
#include <sys/stat.h>

#include "common/memory.h"
#include "unit.h"

static char dir[] = "/tmp/vmq-memory-XXXXXX";
static char path[256];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "we");

	if (!f || fputs(text, f) < 0 || fclose(f)) {
		printf("Bail out! %s: %s\n", path, strerror(errno));
		exit(1);
	}
}

static void group(const char *name, const char *max, const char *current)
{
	char file[128];

	mkdir(in_dir(name), 0755);
	snprintf(file, sizeof(file), "%s/memory.max", name);
	put(file, max);
	snprintf(file, sizeof(file), "%s/memory.current", name);
	put(file, current);
}

/* What memory_group() says when @proc is our /proc/self/cgroup. */
static int ask(const char *proc, struct memory_group *g)
{
	char file[256];

	put("proc", proc);
	snprintf(file, sizeof(file), "%s", in_dir("proc"));
	return memory_group(file, dir, g);
}

int main(void)
{
	struct memory_group g;
	char none[256];

	if (!mkdtemp(dir))
		return 1;
	group("a", "max\n", "1000\n");
	group("a/b", "8388608\n", "5242880\n");
	group("a/b/c", "6291456\n", "1048576\n");
	group("d", "4194304\n", "5000000\n");

	is_int(ask("0::/a\n", &g), -ENOENT, "no limit");
	is_int(ask("0::/\n", &g), -ENOENT, "the machine's topmost group has none");
	is_int(ask("0::/nowhere\n", &g), -ENOENT, "no such group: no limit");
	is_int(ask("4:memory:/a/b\n", &g), -ENOENT, "cgroup v1 has other files");
	is_int(ask("", &g), -ENOENT, "nothing is known");
	snprintf(none, sizeof(none), "%s", in_dir("none"));
	is_int(memory_group(none, dir, &g), -ENOENT, "there are no control groups");

	is_int(ask("4:memory:/x\n0::/a/b\n", &g), 0, "a limit");
	is_str(g.name, "/a/b", "of this group");
	is_int(g.max, 8388608, "this high");
	is_int(g.left, 3145728, "with so much left");
	is_int(ask("0::/a/b/c\n", &g), 0, "two limits");
	is_str(g.name, "/a/b", "the group above is tighter, though its limit is higher");
	put("a/b/memory.stat", "anon 4096\nactive_file 1048576\ninactive_file 2097152\nfile 9\n");
	is_int(ask("0::/a/b/c\n", &g), 0, "with files in its cache");
	is_str(g.name, "/a/b/c", "it is not");
	is_int(g.left, 5242880, "so much is left in the group below");
	is_int(ask("0::/a/b\n", &g), 0, "the cache of files");
	is_int(g.left, 6291456, "counts as left");
	is_int(ask("0::/d\n", &g), 0, "more is used than is allowed");
	is_int(g.left, 0, "nothing is left");
	put("d/memory.max", "rubbish\n");
	is_int(ask("0::/d\n", &g), -ENOENT, "what is no number is no limit");
	group("", "2000000\n", "1000000\n");
	is_int(ask("0::/\n", &g), 0, "the topmost group of a container has a limit");
	is_str(g.name, "/", "and a name");
	is_int(ask("0::/a/b/c\n", &g), 0, "which holds below, too");
	is_int(g.left, 1000000, "for all");

	for (const char *const *file = (const char *const[]){
		"a/b/c/memory.max", "a/b/c/memory.current", "a/b/c", "a/b/memory.max",
		"a/b/memory.current", "a/b/memory.stat", "a/b", "a/memory.max", "a/memory.current",
		"a", "d/memory.max", "d/memory.current", "d", "memory.max", "memory.current",
		"proc", "", NULL }; *file; file++)
		if (remove(in_dir(*file)))
			diag("cannot remove %s", path);
	return unit_done();
}
