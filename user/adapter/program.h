/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * program.h - the loaded XDP program and its maps (adapter's own)
 */
#ifndef VMQ_PROGRAM_H
#define VMQ_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

struct vmq_bpf;

struct program_config {
	int	 ifindex;
	uint32_t stride, max_frame, slots, ids;
	/* What the driver is asked for each frame, by vmq_rx_kfunc, bound; else vmq_rx. */
	bool	 ask_tag, ask_hash;
	const char *counters;	/* directory whose maps of counters go on; NULL: none */
};

struct program {
	struct vmq_bpf *skel;
	int	 fd;
	uint32_t id;
	struct vmq_fib_bucket *fib;	/* mapped, as what follows */
	struct vmq_queue_counters *queue_counters;
	struct vmq_pair_counters *pair_counters;
};

/*
 * 0; -EOPNOTSUPP for a bound program that this kernel must not be given;
 * else what the kernel says, with libbpf's words.
 */
int program_load(struct program *p, const struct program_config *cfg, struct vmq_err *err);
void program_unload(struct program *p);

/* 0; -EOPNOTSUPP: this kernel is too old for the program, whatever its options. */
int program_check_kernel(struct vmq_err *err);

/* May vmq_rx_kfunc be tried on this device, for that? Else the sentence says why not. */
enum program_kfunc { PROGRAM_KFUNC_TAG, PROGRAM_KFUNC_HASH };
bool program_kfunc_possible(int ifindex, enum program_kfunc which, struct vmq_err *why);

/* Name of a loaded program, "" if it may not be read. */
void program_name(uint32_t id, char *name, size_t size);

#endif /* VMQ_PROGRAM_H */
