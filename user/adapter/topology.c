// SPDX-License-Identifier: GPL-2.0-only
/*
 * topology.c - which CPUs are threads of one core
 *
 * cpuN/topology/thread_siblings_list names the CPUs of N's core, N included, as
 * "0,4" or "0-1". It is there on every architecture that has a topology
 * (drivers/base/topology.c).
 */
#include "adapter/topology.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"

static bool sibling_of_one(const char *dir, uint16_t cpu, const uint16_t *others, int n)
{
	char path[256], list[512];
	bool found = false;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "%s/cpu%u/topology/thread_siblings_list", dir, cpu);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(list, sizeof(list), f)) {
		list[strcspn(list, "\n")] = '\0';
		for (i = 0; i < n && !found; i++)
			found = cpu_list_has(list, others[i]);
	}
	fclose(f);
	return found;
}

int topology_one_per_core(const char *dir, uint16_t *cpu, int n)
{
	int i, kept = 0;

	for (i = 0; i < n; i++)
		if (!sibling_of_one(dir, cpu[i], cpu, kept))
			cpu[kept++] = cpu[i];
	return kept;
}
