/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * maps.h - the maps of the program, and the words user space sets
 *
 * Names, keys and values are an interface (vmq/abi.h): the maps are pinned and
 * read with bpftool. Sizes given here are the largest; the loader lowers them
 * to what the service was started with.
 */
#ifndef VMQ_BPF_MAPS_H
#define VMQ_BPF_MAPS_H

/* The filters as users wrote them. User space alone writes and reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VMQ_FILTERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct vmq_filter_key);
	__type(value, struct vmq_filter);
} filters SEC(".maps");

/* The queues' configuration. User space alone writes and reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, VMQ_QUEUES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct vmq_queue_record);
} queues SEC(".maps");

/* What made these maps. User space writes it once and reads it at a restart. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vmq_meta);
} meta SEC(".maps");

/* The FIB, two halves. User space writes it through a mapping, frames read it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * VMQ_FIB_BUCKETS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vmq_fib_bucket);
} fib SEC(".maps");

/*
 * The AF_XDP sockets, by slot * stride + RX queue. User space writes it, the
 * kernel empties an entry when its socket goes; frames are redirected through
 * it. The loader sets the size: slots * stride.
 */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* RSS parameters by queue id. User space writes, frames read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VMQ_QUEUES_MAX + 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vmq_rss);
} rss SEC(".maps");

/* RSS keys by queue id, as look-up tables. User space writes, frames read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VMQ_QUEUES_MAX + 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vmq_toeplitz);
} toeplitz SEC(".maps");

/*
 * The CPUs that queue 0's frames may be handed to, while RSS of queue 0 is on. User
 * space writes, frames are redirected through it. The loader sets the size.
 */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} cpus SEC(".maps");

/* Counters by queue id and table entry. Frames write, user space reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VMQ_QUEUES_MAX + 1);
	__type(key, __u32);
	__type(value, struct vmq_rss_stats);
} rss_stats SEC(".maps");

/* Counters by CPU of `cpus`. Frames write, user space reads. The loader sets the size. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vmq_cpu_stats);
} cpu_stats SEC(".maps");

/* Counters by slot. Frames write; user space reads, and clears before reuse. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VMQ_SLOTS_MAX);
	__type(key, __u32);
	__type(value, struct vmq_slot_stats);
} slot_stats SEC(".maps");

/* Counters of the adapter. Frames write, user space reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct vmq_adapter_stats);
} adapter_stats SEC(".maps");

/* User space's counters by queue id. User space alone writes and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VMQ_QUEUES_MAX + 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vmq_queue_counters);
} queue_counters SEC(".maps");

/* User space's counters, a row for each pair. User space alone writes and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VMQ_COUNTER_ROWS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct vmq_pair_counters);
} pair_counters SEC(".maps");

/* Control word of the FIB (vmq/abi.h). User space writes it through a mapping. */
__u64 vmq_fib_ctl;

/* RSS of queue 0 is on. User space writes it through a mapping. */
__u32 vmq_host_rss;

/* Set by the loader; constants to the verifier and the JIT. */
const volatile __u32 vmq_stride = 1;		/* RX queues the device allocated */
const volatile __u32 vmq_max_frame = 1792;	/* longest frame that a chunk carries */
const volatile bool vmq_ask_tag;		/* vmq_rx_kfunc(): the tag that the NIC took out */
const volatile bool vmq_ask_hash;		/* the same: the NIC's hash */
const volatile __u32 vmq_never;			/* 0; see vmq_rx_kfunc() */

/* A word that user space may be writing: loaded once, whole. */
#define READ_ONCE(x)	(*(const volatile typeof(x) *)&(x))

#endif /* VMQ_BPF_MAPS_H */
