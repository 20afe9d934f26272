// SPDX-License-Identifier: GPL-2.0-only
/*
 * tour.c - when a tour is over, no program runs that began before it
 *
 * A program reads a generation when it begins, keeps its CPU for about a millisecond
 * and looks, before it ends, which generations it must not be of any more. It runs on
 * every CPU as the network does it, with softirqs disabled (live frames of
 * BPF_PROG_TEST_RUN, since 5.18). The test makes new generations and tours.
 */
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter/tour.h"
#include "common/util.h"
#include "unit.h"

#define RUNS	1000
#define DEADLINE_S 20
#define LOOPS	20000	/* calls of a helper, 20 to 50 ns each */
#define CPUS	64	/* that programs run on, at most */

/* What program and test share, in a map of one element. */
struct shared {
	uint64_t now;		/* generation */
	uint64_t over;		/* no program of an earlier one may run */
	uint64_t late;		/* programs that did */
	uint64_t runs;
};

static struct shared *shared;
static int prog_fd = -1;
static bool enough;
static uint64_t refused;	/* runs, by the kernel */

#define INSN(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }

static int load(int map_fd)
{
	const struct bpf_insn insns[] = {
		/* r7 = the shared page, r6 = its generation */
		INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_7, BPF_PSEUDO_MAP_VALUE, 0, map_fd),
		INSN(0, 0, 0, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_7,
		     offsetof(struct shared, now), 0),
		/* stay */
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_8, 0, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_8, 0, 0, 1),
		INSN(BPF_JMP | BPF_JLT | BPF_K, BPF_REG_8, 0, -3, LOOPS),
		/* late? */
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 1),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_7,
		     offsetof(struct shared, over), 0),
		INSN(BPF_JMP | BPF_JGE | BPF_X, BPF_REG_6, BPF_REG_1, 1, 0),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_7, BPF_REG_2,
		     offsetof(struct shared, late), BPF_ADD),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_7, BPF_REG_2,
		     offsetof(struct shared, runs), BPF_ADD),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_DROP),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "stay", "GPL", insns, ARRAY_SIZE(insns), NULL);
}

static void *run(void *arg)
{
	uint8_t frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = 8, .batch_size = 1, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((int)(intptr_t)arg, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	while (!load_relaxed(&enough))
		if (bpf_prog_test_run_opts(prog_fd, &opts))
			__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void test_tours(void)
{
	pthread_t thread[CPUS];
	uint64_t tours = 0, deadline = now_ns() + DEADLINE_S * 1000000000ULL;
	struct vmq_err err = VMQ_ERR_INIT;
	bool never = false;
	int n, rc = 0;

	n = MIN((int)sysconf(_SC_NPROCESSORS_ONLN), CPUS);
	for (int i = 0; i < n; i++)
		pthread_create(&thread[i], NULL, run, (void *)(intptr_t)i);
	while (!rc && !load_relaxed(&refused) && now_ns() < deadline &&
	       load_relaxed(&shared->runs) < RUNS) {
		__atomic_store_n(&shared->now, shared->now + 1, __ATOMIC_SEQ_CST);
		rc = tour_run(&never, &err);
		__atomic_store_n(&shared->over, shared->now, __ATOMIC_SEQ_CST);
		tours++;
	}
	store_relaxed(&enough, true);
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	ok(!rc, "all CPUs can be visited %s", err.text);
	if (refused)
		skip("the kernel has no live frames (before 5.18)", "no program outlives a tour");
	else
		ok(!shared->late && shared->runs && tours,
		   "no program outlives a tour: %llu of %llu runs in %llu tours",
		   (unsigned long long)shared->late, (unsigned long long)shared->runs,
		   (unsigned long long)tours);
}

static void test_ends(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	bool now = true;

	is_int(tour_run(&now, &err), -ECANCELED, "a tour that is given up proves nothing");
}

int main(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct vmq_err err = VMQ_ERR_INIT;
	int map_fd;

	test_ends();
	if (tour_possible(&err)) {
		skip(err.text, "tours of this machine's CPUs");
		return unit_done();
	}
	map_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "shared", 4, sizeof(*shared), 1, &opts);
	if (map_fd < 0 || (prog_fd = load(map_fd)) < 0) {
		skip("no privilege to load a program", "no program outlives a tour");
		return unit_done();
	}
	shared = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
		      map_fd, 0);
	if (!ok(shared != MAP_FAILED, "the map is in memory"))
		return unit_done();
	test_tours();
	return unit_done();
}
