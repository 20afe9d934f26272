// SPDX-License-Identifier: GPL-2.0-only
/*
 * program.c - the loaded XDP program and its maps
 *
 * The object has two entry programs over the same code; only the one that is
 * wanted is loaded. vmq_rx_kfunc asks the driver for a frame's tag or hash, for
 * which it has to be bound to the device (BPF_F_XDP_DEV_BOUND_ONLY, since 6.3).
 *
 * A bound program is dangerous when it moves in memory after it was bound: the
 * kernel keeps the old address in aux->offload->prog and follows it when the
 * device is unregistered. It moves when the verifier makes it longer than the
 * pages it has (bpf_prog_realloc(), open in 6.18), and when the JIT blinds its
 * constants (fixed by a1aa9ef47c29). Against the first, vmq_rx_kfunc carries
 * dead instructions whose room is free by the time anything grows, and its final
 * length is checked here; closing it is safe, only the device's end is not.
 * Against the second, a program of two instructions shows whether this kernel
 * blinds: net.core.bpf_jit_harden itself is visible in the first network
 * namespace only.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter/netdev.h"
#include "adapter/pins.h"
#include "adapter/program.h"
#include "common/log.h"
#include "common/util.h"
#include "vmq.skel.h"

#ifndef BPF_F_XDP_DEV_BOUND_ONLY	/* Debian 12's headers are 6.1 */
#define BPF_F_XDP_DEV_BOUND_ONLY (1U << 6)
#endif

#define FIB_BYTES	(2 * (size_t)VMQ_FIB_BUCKETS * sizeof(struct vmq_fib_bucket))

/* libbpf's last warning: the cause, in its words, of a failure to load. */
static char libbpf_words[256];

static int libbpf_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char text[4096], *rest = text, *line;

	if (level == LIBBPF_DEBUG && !log_verbose())
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	if (level == LIBBPF_WARN && !strstr(text, "BEGIN PROG LOAD LOG")) {
		line = strncmp(text, "libbpf: ", 8) ? text : text + 8;
		snprintf(libbpf_words, sizeof(libbpf_words), "%.*s", (int)strcspn(line, "\n"),
			 line);
	}
	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_debug("%s", line);
	return 0;
}

/* Does this kernel blind the constants of a program that we load? */
static bool jit_blinds(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0x1234567 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	bool blinds = true;
	int fd;

	fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "vmq_blinding", "GPL", insns, ARRAY_SIZE(insns),
			   NULL);
	if (fd < 0)
		return true;
	/* Blinding turns one move into three instructions. */
	if (!bpf_obj_get_info_by_fd(fd, &info, &len))
		blinds = info.xlated_prog_len > sizeof(insns);
	close(fd);
	return blinds;
}

/* vmq_rx_kfunc names both kfuncs, and the one for tags is the younger. */
static bool kernel_has_kfuncs(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool has = btf && btf__find_by_name_kind(btf, "bpf_xdp_metadata_rx_vlan_tag",
						 BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return has;
}

bool program_kfunc_possible(int ifindex, enum program_kfunc which, struct vmq_err *why)
{
	static const struct {
		const char *name;
		int (*driver_has)(int ifindex);
	} kfuncs[] = {
		[PROGRAM_KFUNC_TAG] = { "VLAN-tag", netdev_has_vlan_kfunc },
		[PROGRAM_KFUNC_HASH] = { "hash", netdev_has_hash_kfunc },
	};
	const char *name = kfuncs[which].name;
	int rc;

	if (!kernel_has_kfuncs()) {
		vmq_err(why, -EOPNOTSUPP, "this kernel has no VLAN-tag kfunc (6.8 brings it)");
		return false;
	}
	rc = kfuncs[which].driver_has(ifindex);
	if (rc < 0) {
		vmq_err_sys(why, rc, "the kernel does not say whether the driver has the %s kfunc",
			    name);
		return false;
	}
	if (!rc) {
		vmq_err(why, -EOPNOTSUPP, "the driver has no %s kfunc", name);
		return false;
	}
	if (jit_blinds()) {
		vmq_err(why, -EOPNOTSUPP,
			"this kernel blinds constants (net.core.bpf_jit_harden), which together "
			"with a device-bound program can crash it");
		return false;
	}
	return true;
}

/*
 * By the youngest thing that the program cannot do without: the whole length of a frame
 * in several buffers. Kernels of distributions have it under other numbers.
 */
int program_check_kernel(struct vmq_err *err)
{
	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_xdp_get_buff_len, NULL))
		return 0;
	return vmq_err(err, -EOPNOTSUPP, "this kernel is too old: vmq needs XDP programs for "
		       "frames in several buffers, which Linux 5.18 brought");
}

static void set_sizes(struct vmq_bpf *skel, const struct program_config *cfg)
{
	int cpus = libbpf_num_possible_cpus();

	if (cpus > 0) {
		bpf_map__set_max_entries(skel->maps.cpus, (uint32_t)cpus);
		bpf_map__set_max_entries(skel->maps.cpu_stats, (uint32_t)cpus);
	}
	skel->rodata->vmq_stride = cfg->stride;
	skel->rodata->vmq_max_frame = cfg->max_frame;
	skel->rodata->vmq_ask_tag = cfg->ask_tag;
	skel->rodata->vmq_ask_hash = cfg->ask_hash;
	bpf_map__set_max_entries(skel->maps.xsks, cfg->slots * cfg->stride);
	bpf_map__set_max_entries(skel->maps.slot_stats, cfg->slots);
	/* And queue 0. */
	bpf_map__set_max_entries(skel->maps.queues, cfg->ids + 1);
	bpf_map__set_max_entries(skel->maps.rss, cfg->ids + 1);
	bpf_map__set_max_entries(skel->maps.toeplitz, cfg->ids + 1);
	bpf_map__set_max_entries(skel->maps.rss_stats, cfg->ids + 1);
}

/*
 * Counters go on over a restart, to the frame, because their maps do: while the new
 * program takes over from the old one both count in the same place. Maps of another
 * shape (another version's, or with fewer slots or queues than are wanted now) are left, and
 * counters begin at zero: all or none, as they speak of each other.
 */
static void reuse_counters(struct vmq_bpf *skel, const char *dir)
{
	struct bpf_map *map[] = {
		skel->maps.slot_stats, skel->maps.adapter_stats, skel->maps.queue_counters,
		skel->maps.pair_counters, skel->maps.rss_stats, skel->maps.cpu_stats,
	};
	int fd[ARRAY_SIZE(map)];
	bool same = true;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(map); i++) {
		struct bpf_map_info info = { 0 };
		uint32_t len = sizeof(info);

		fd[i] = pins_open(dir, bpf_map__name(map[i]));
		same = same && fd[i] >= 0 && !bpf_obj_get_info_by_fd(fd[i], &info, &len) &&
		       info.type == bpf_map__type(map[i]) &&
		       info.value_size == bpf_map__value_size(map[i]) &&
		       info.max_entries >= bpf_map__max_entries(map[i]);
	}
	for (i = 0; i < ARRAY_SIZE(map); i++) {
		/* It fails without descriptors, and then the load does, too. */
		if (same && bpf_map__reuse_fd(map[i], fd[i]))
			log_warn("the counters in %s are not taken over", dir);
		if (fd[i] >= 0)
			close(fd[i]);
	}
}

#define QUEUE_COUNTERS_BYTES	((VMQ_QUEUES_MAX + 1) * sizeof(struct vmq_queue_counters))
#define PAIR_COUNTERS_BYTES	(VMQ_COUNTER_ROWS * sizeof(struct vmq_pair_counters))

/* An entry of a mapped array is a multiple of 8 bytes; so must ours be. */
_Static_assert(sizeof(struct vmq_queue_counters) % 8 == 0, "entries lie side by side");
_Static_assert(sizeof(struct vmq_pair_counters) % 8 == 0, "entries lie side by side");

static void *map_one(const struct bpf_map *map, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int map_all(struct program *p, const struct vmq_bpf *skel, struct vmq_err *err)
{
	p->fib = map_one(skel->maps.fib, FIB_BYTES);
	p->queue_counters = map_one(skel->maps.queue_counters, QUEUE_COUNTERS_BYTES);
	p->pair_counters = map_one(skel->maps.pair_counters, PAIR_COUNTERS_BYTES);
	if (p->fib && p->queue_counters && p->pair_counters)
		return 0;
	return vmq_err_sys(err, -errno, "cannot map the FIB and the counters");
}

static void unmap_all(struct program *p)
{
	if (p->fib)
		munmap(p->fib, FIB_BYTES);
	if (p->queue_counters)
		munmap(p->queue_counters, QUEUE_COUNTERS_BYTES);
	if (p->pair_counters)
		munmap(p->pair_counters, PAIR_COUNTERS_BYTES);
}

/* A bound program that may have moved is a danger: see above. */
static int check_not_moved(const struct bpf_prog_info *info, size_t loaded, struct vmq_err *err)
{
	if (info->xlated_prog_len <= loaded)
		return 0;
	return vmq_err(err, -EOPNOTSUPP,
		       "this kernel makes the device-bound program longer (%u bytes) than its "
		       "reserve (%zu), which can crash it later", info->xlated_prog_len, loaded);
}

int program_load(struct program *p, const struct program_config *cfg, struct vmq_err *err)
{
	bool bound = cfg->ask_tag || cfg->ask_hash;
	struct bpf_program *prog, *other;
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	struct vmq_bpf *skel;
	size_t loaded;
	int rc;

	libbpf_words[0] = '\0';
	libbpf_set_print(libbpf_print);
	skel = vmq_bpf__open();
	if (!skel)
		return vmq_err_sys(err, -errno, "cannot open the BPF object");
	prog = bound ? skel->progs.vmq_rx_kfunc : skel->progs.vmq_rx;
	other = bound ? skel->progs.vmq_rx : skel->progs.vmq_rx_kfunc;
	bpf_program__set_autoload(other, false);
	if (bound) {
		bpf_program__set_ifindex(prog, (uint32_t)cfg->ifindex);
		bpf_program__set_flags(prog, bpf_program__flags(prog) | BPF_F_XDP_DEV_BOUND_ONLY);
	}
	set_sizes(skel, cfg);
	if (cfg->counters)
		reuse_counters(skel, cfg->counters);
	/* Without the subprograms, which libbpf appends: a cautious figure. */
	loaded = bpf_program__insn_cnt(prog) * sizeof(struct bpf_insn);

	rc = vmq_bpf__load(skel);
	if (rc) {
		vmq_err_sys(err, rc, "the kernel refuses the XDP program%s%s%s",
			    libbpf_words[0] ? " (libbpf: " : "", libbpf_words,
			    libbpf_words[0] ? ")" : "");
		goto err_destroy;
	}
	p->fd = bpf_program__fd(prog);
	rc = bpf_obj_get_info_by_fd(p->fd, &info, &len);
	if (rc) {
		vmq_err_sys(err, rc, "cannot read back the XDP program");
		goto err_destroy;
	}
	p->id = info.id;
	if (bound) {
		log_debug("the bound program has %u of %zu bytes", info.xlated_prog_len, loaded);
		rc = check_not_moved(&info, loaded, err);
		if (rc)
			goto err_destroy;
	}

	rc = map_all(p, skel, err);
	if (rc)
		goto err_unmap;
	p->skel = skel;
	return 0;

err_unmap:
	unmap_all(p);
	*p = (struct program){ .fd = -1 };
err_destroy:
	vmq_bpf__destroy(skel);
	return rc;
}

void program_unload(struct program *p)
{
	if (!p->skel)
		return;
	unmap_all(p);
	vmq_bpf__destroy(p->skel);
	*p = (struct program){ .fd = -1 };
}

void program_name(uint32_t id, char *name, size_t size)
{
	struct bpf_prog_info info = { 0 };
	uint32_t len = sizeof(info);
	int fd;

	name[0] = '\0';
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len))
		snprintf(name, size, "%s", info.name);
	close(fd);
}
