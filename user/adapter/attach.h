/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attach.h - the XDP program, its maps and its pins
 *
 * An `attachment` is one service's hold on one interface: the loaded program,
 * the pinned bpf_link that keeps it attached, the pinned maps, the mapped FIB
 * and the lock that keeps a second service out. Pins live in PINDIR/NAME/:
 *
 *   link      the bpf_link: attachment outlives the service
 *   meta      struct vmq_meta, read before all else
 *   queues    struct vmq_queue_record by id    } records a restart replays
 *   filters   struct vmq_filter by key         }
 *   slot_stats, adapter_stats, rss_stats, cpu_stats, queue_counters,
 *   pair_counters                              that go on
 *   fib, xsks, cpus, rss, toeplitz  for bpftool
 *
 * (A dot in NAME is written ':' there: bpffs refuses names with dots.)
 *
 * A start after a crash always takes one road, whatever the ABI of what it
 * finds: new maps are made in PINDIR/NAME+new, the records are copied, those of
 * counters are pinned there as they are, the directories swap by rename(2), and the
 * pinned link is switched to the new program with bpf_link_update() (which does not
 * repeat attach's checks: device, mode and frags are compared first). Until queues
 * run again frames go to the host. attach_open() never destroys what it cannot use:
 * pins of another device, namespace or a newer ABI are refused with a sentence.
 *
 * Owned by the service; control thread only. The descriptors and mappings
 * returned stay the attachment's.
 */
#ifndef VMQ_ATTACH_H
#define VMQ_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "adapter/netdev.h"
#include "common/err.h"
#include "vmq/abi.h"

struct attachment;

enum attach_mode { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_SKB };

/* How a frame's VLAN tag is known to be in the frame (design, section 4). */
enum attach_tags {
	ATTACH_TAGS_AUTO,
	ATTACH_TAGS_FRAME,	/* the user vouches: tags are in the frame */
	ATTACH_TAGS_KFUNC,	/* bpf_xdp_metadata_rx_vlan_tag or fail */
};

/* Where the hash of a queue's frames comes from (nic_hash.h). */
enum attach_hash {
	ATTACH_HASH_AUTO,	/* the NIC, if the program is bound to it for tags anyhow */
	ATTACH_HASH_NIC,	/* bind it for that, or fail */
	ATTACH_HASH_SOFTWARE,
};

struct attach_config {
	const char *ifname;
	const char *name;	/* service name: pins PINDIR/NAME */
	const char *pin_dir;	/* default /sys/fs/bpf/vmq */
	const char *run_dir;	/* lock file RUNDIR/NAME.lock */
	enum attach_mode mode;
	enum attach_tags tags;
	enum attach_hash hash;
	uint32_t queues;	/* limit on queues */
	uint32_t slots;		/* limit on socket slots */
	uint32_t max_frame;	/* longest frame that a chunk carries, bytes */
	/* Called with the record of each queue that is dropped; may be NULL. */
	int (*lost)(const struct vmq_queue_record *rec, void *arg);
};

/*
 * The highest queue id. Queues that work on queue 0 until there is room for them do
 * not count for the limit, and have ids like the others.
 */
static inline uint32_t attach_ids(const struct attach_config *cfg)
{
	uint32_t ids = cfg->queues + VMQ_QUEUES_WAITING;

	return ids < VMQ_QUEUES_MAX ? ids : VMQ_QUEUES_MAX;
}

struct attach_info {
	struct netdev_info dev;	/* as it was after attaching */
	enum vmq_mode mode;	/* what we got */
	bool	 tags_known;	/* false: VLAN and untagged filters are refused */
	const char *tags_why;	/* "frame", "kfunc", or why tags are not known */
	bool	 asks_tag;	/* ... and the driver is asked for each frame's tag */
	bool	 asks_hash;	/* and for the hash of those that need one */
	const char *hash_why;	/* if not: why */
	uint32_t stride;	/* RX queues allocated: XSKMAP stride */
	bool	 adopted;	/* pins of a dead service were taken over */
	int	 xsks_fd;
	int	 filters_fd, queues_fd, rss_fd, toeplitz_fd;
	struct vmq_fib_bucket *fib;	/* mapped, 2 * VMQ_FIB_BUCKETS */
	uint64_t *fib_ctl;		/* mapped */
	struct vmq_queue_counters *queue_counters;	/* mapped; adapter/counters.h */
	struct vmq_pair_counters *pair_counters;	/* mapped */
};

/**
 * attach_open() - load, pin and attach
 * @out: the attachment
 * @cfg: configuration; strings are copied
 * @err: sentence; names the other program or service where one is in the way
 *
 * Return: 0; -ENODEV no such interface; -EPERM missing capability (named);
 * -EBUSY another service or XDP program; -EOPNOTSUPP mode, tags or hash not to be had.
 * After an error nothing is left behind and an older attachment still stands.
 */
int attach_open(struct attachment **out, const struct attach_config *cfg,
		struct vmq_err *err);
const struct attach_info *attach_info(const struct attachment *a);

/*
 * attach_close() - release our hold.
 * @detach: true (orderly end): detach the program, remove pins, restore
 * rx-vlan-offload, remove the lock file. false: leave link and pins (the
 * service will be restarted).
 */
void attach_close(struct attachment *a, bool detach);

/*
 * Is the program still ours? 0; -ENODEV device gone or in another namespace;
 * -ENOENT link detached by somebody.
 */
int attach_check(struct attachment *a, struct vmq_err *err);

/* Records. Keys and values are copied into the pinned maps at once. */
int attach_queue_put(struct attachment *a, const struct vmq_queue_record *rec,
		     struct vmq_err *err);
int attach_queue_del(struct attachment *a, uint32_t id);
int attach_filter_put(struct attachment *a, const struct vmq_filter_key *key,
		      const struct vmq_filter *f, struct vmq_err *err);
int attach_filter_del(struct attachment *a, const struct vmq_filter_key *key);

/* Walk the records found at attach_open(); stops at the first non-zero. */
int attach_each_queue(struct attachment *a,
		      int (*fn)(const struct vmq_queue_record *rec, void *arg), void *arg);
int attach_each_filter(struct attachment *a,
		       int (*fn)(const struct vmq_filter_key *key,
				 const struct vmq_filter *f, void *arg), void *arg);

/*
 * The queue records of a dead service, for what has to be removed with its pins
 * (devices that outlived it). -ENOENT: no pins; -EPROTO: another ABI's.
 */
int attach_left_queues(const char *name, const char *pin_dir,
		       int (*fn)(const struct vmq_queue_record *rec, void *arg), void *arg);

/* Counters, summed over CPUs. attach_slot_clear() before a slot is reused. */
int attach_slot_stats(struct attachment *a, uint32_t slot, struct vmq_slot_stats *out);
int attach_slot_clear(struct attachment *a, uint32_t slot);
int attach_adapter_stats(struct attachment *a, struct vmq_adapter_stats *out);
int attach_cpu_stats(struct attachment *a, uint16_t cpu, struct vmq_cpu_stats *out);
/* By queue id; attach_rss_clear() before one is used again. */
int attach_rss_stats(struct attachment *a, uint32_t queue, struct vmq_rss_stats *out);
int attach_rss_clear(struct attachment *a, uint32_t queue);

/*
 * Queue 0's frames to other CPUs (spread.c), by its RSS record, which is written
 * before. -EOPNOTSUPP: a frame would lose its VLAN tag on the way, or the program
 * is bound to the device.
 */
int attach_spread_check(const struct attachment *a, struct vmq_err *err);
int attach_spread_on(struct attachment *a, const uint16_t *cpu, int n, struct vmq_err *err);
void attach_spread_off(struct attachment *a);

/*
 * attach_unload() - `vmq-load --unload`: remove what a dead service left
 *
 * Also when the interface is gone or the pins are another namespace's. Refuses
 * (-EBUSY, naming the pid) while a service runs. -ENOENT: nothing there.
 * @lost (may be NULL) is called with the record of each queue that goes.
 */
int attach_unload(const char *name, const char *pin_dir, const char *run_dir,
		  int (*lost)(const struct vmq_queue_record *rec, void *arg),
		  struct vmq_err *err);

#endif /* VMQ_ATTACH_H */
