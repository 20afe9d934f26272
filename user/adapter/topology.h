/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * topology.h - which CPUs are threads of one core
 */
#ifndef VMQ_TOPOLOGY_H
#define VMQ_TOPOLOGY_H

#include <stdint.h>

#define TOPOLOGY_DIR "/sys/devices/system/cpu"

/**
 * topology_one_per_core() - leave hyper-thread siblings out of a list of CPUs
 * @dir: TOPOLOGY_DIR, or a test's
 * @cpu: CPUs; of each core the first that is named stays, in order
 * @n: how many
 *
 * A CPU whose siblings the kernel does not tell stays.
 *
 * Return: how many are left.
 */
int topology_one_per_core(const char *dir, uint16_t *cpu, int n);

#endif /* VMQ_TOPOLOGY_H */
