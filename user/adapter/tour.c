// SPDX-License-Identifier: GPL-2.0-only
/*
 * tour.c - run once on every online CPU
 *
 * Softirqs, threaded NAPI, busy polling, CPUMAP's threads and test runs all have
 * softirqs disabled while a program runs and until what it redirected is flushed
 * (Documentation/networking, "xdp_do_flush()"; bpf_redirect() keeps its state per
 * CPU and relies on it). Without PREEMPT_RT local_bh_disable() counts in
 * preempt_count, so that the scheduler is not entered.
 *
 * A CPU that comes online during the tour starts with what was written before it;
 * one that goes offline has left its softirqs behind (stop_machine()).
 */
#include <ctype.h>
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

#include "adapter/tour.h"
#include "common/parse.h"
#include "common/util.h"

/* CPUs that somebody wants undisturbed; a kernel without the feature prints "(null)". */
static const char *const quiet_cpus[] = { "isolated", "nohz_full" };

/**
 * tour_possible() - would a tour prove anything here, and may we
 * @err: why not
 *
 * Any thread. What it looks at does not change while a kernel runs.
 *
 * Return: 0, or -EOPNOTSUPP.
 */
int tour_possible(struct vmq_err *err)
{
	char list[CPU_LIST_LEN];
	struct utsname u;
	struct statfs fs;

	/* "PREEMPT_RT" since 5.3, "PREEMPT RT" in the patches before. */
	if (uname(&u) || strstr(u.version, "PREEMPT_RT") || strstr(u.version, "PREEMPT RT"))
		return vmq_err(err, -EOPNOTSUPP, "softirqs of this kernel are preemptible "
			       "(PREEMPT_RT)");
	/* In a container it may be a file of lxcfs, which tells of the container's CPUs only. */
	if (statfs(CPU_LIST_DIR "online", &fs) || fs.f_type != SYSFS_MAGIC)
		return vmq_err(err, -EOPNOTSUPP, CPU_LIST_DIR "online is not the kernel's");
	for (size_t i = 0; i < ARRAY_SIZE(quiet_cpus); i++)
		if (!cpu_list_read(quiet_cpus[i], list) && isdigit((unsigned char)list[0]))
			return vmq_err(err, -EOPNOTSUPP, "CPUs %.40s are to be left alone (%s)",
				       list, quiet_cpus[i]);
	return 0;
}

static bool is_online(uint64_t cpu)
{
	char list[CPU_LIST_LEN];

	return cpu_list_read("online", list) || cpu_list_has(list, cpu);
}

/* A CPU that goes offline meanwhile needs no visit. */
static int visit(uint64_t cpu)
{
	size_t size = CPU_ALLOC_SIZE(cpu + 1);
	cpu_set_t *set = CPU_ALLOC(cpu + 1);
	int rc = 0;

	if (!set)
		return -ENOMEM;
	CPU_ZERO_S(size, set);
	CPU_SET_S(cpu, size, set);
	if (sched_setaffinity(0, size, set))
		rc = -errno;
	else if (sched_getcpu() != (int)cpu)
		rc = -EAGAIN;
	CPU_FREE(set);
	return rc && is_online(cpu) ? rc : 0;
}

/**
 * tour_run() - let the calling thread run on each CPU once
 * @give_up: checked before each CPU; another thread may set it
 * @err: which CPU
 *
 * Whatever another thread wrote before the call is seen by all programs that
 * start after it, and programs that started before are over. Afterwards the
 * thread is on the CPU that came last.
 *
 * Return: 0; -ECANCELED; -EINVAL if a CPU is out of reach (a cpuset); or another
 * negative errno. With anything but 0 nothing is proved.
 */
int tour_run(const bool *give_up, struct vmq_err *err)
{
	char list[CPU_LIST_LEN];
	const char *at = list;
	uint64_t cpu, last;
	int rc;

	rc = cpu_list_read("online", list);
	if (rc)
		return vmq_err_sys(err, rc, "cannot read which CPUs are online");
	while (*at) {
		if (!cpu_list_next(&at, &cpu, &last))
			return vmq_err(err, -EINVAL, "'%.40s' is no list of CPUs", list);
		for (; cpu <= last; cpu++) {
			if (load_relaxed(give_up))
				return vmq_err(err, -ECANCELED, "the tour was given up");
			rc = visit(cpu);
			if (rc)
				return vmq_err_sys(err, rc, "CPU %llu cannot be run on",
						   (unsigned long long)cpu);
		}
	}
	return 0;
}
