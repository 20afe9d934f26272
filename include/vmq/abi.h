/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * abi.h - what the XDP program and user space agree on
 *
 * The only file that bpf/ and user/ share: keys and values of the maps, the
 * out-of-band (OOB) record in front of a redirected frame, and the limits.
 * Everything here is also what `bpftool map dump pinned` shows, so names are
 * the words of the manual. A change of layout is a new VMQ_ABI_VERSION.
 *
 * All fields are in host byte order unless they say otherwise.
 */
#ifndef VMQ_ABI_H
#define VMQ_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define VMQ_ABI_VERSION		1

/* Limits. A queue id fits 12 bits of a FIB value and 16 bits of OOB. */
#define VMQ_QUEUES_MAX		1024	/* queue ids 1 ... 1024; 0 is the host */
#define VMQ_QUEUES_WAITING	64	/* ids beyond a lower limit: of queues on queue 0 */
#define VMQ_PAIRS_MAX		64	/* pairs of one queue */
#define VMQ_SLOTS_MAX		4096	/* (queue, pair) slots of one adapter */
#define VMQ_RXQS_MAX		256	/* RX queues of one device */
#define VMQ_FILTERS_MAX		65536
#define VMQ_NAME_MAX		32	/* queue name, with the final NUL */
#define VMQ_MACS_MAX		16	/* addresses of one queue's port */
#define VMQ_CHANNEL_MAX		256	/* channel specification, with NUL */
#define VMQ_RSS_ENTRIES_MAX	128
#define VMQ_RSS_KEY_LEN		40

/* ---- filters: the readable truth (hash map `filters`) ------------------ */

/*
 * VLAN rule of a filter. A frame's VLAN is that of its outermost tag if that
 * tag is 802.1Q; a frame whose outermost tag is 802.1ad, or a priority tag
 * (VLAN 0) in front of a second tag, belongs to no single VLAN and matches
 * only VMQ_RULE_ANY (F-4 ... F-6, M-6).
 */
#define VMQ_RULE_UNTAGGED	0	/* untagged, or tagged with VLAN 0 */
#define VMQ_RULE_VLAN_MIN	1	/* 1 ... 4094: tagged with exactly that */
#define VMQ_RULE_VLAN_MAX	4094
#define VMQ_RULE_ANY		0xffff	/* any VLAN and none; tags stay in the frame */

struct vmq_filter_key {
	__u8  mac[6];
	__u16 rule;		/* VMQ_RULE_… or the VLAN id */
};

/* What a filter, or a FIB value, names. */
enum vmq_target {
	VMQ_TARGET_NONE = 0,	/* empty slot: no match */
	VMQ_TARGET_SLOT = 1,	/* one pair: the socket slot itself */
	VMQ_TARGET_RSS = 2,	/* several pairs: the queue's RSS record decides */
	VMQ_TARGET_DROP = 3,	/* drop filter (F-28) */
	VMQ_TARGET_HOST = 4,	/* a filter on queue 0: hides an ANY filter */
};

struct vmq_filter {
	__u32 id;		/* 1 ... VMQ_FILTERS_MAX, unique per adapter */
	__u16 queue;		/* 0: queue 0; unused for drop filters */
	__u8  target;		/* VMQ_TARGET_SLOT, _DROP or _HOST */
	__u8  pad;
	__u32 owner;		/* uid of the maker */
};

/* ---- FIB: what a frame is looked up in (array map `fib`) --------------- */

/*
 * Open addressing in buckets of one cache line, two halves of VMQ_FIB_BUCKETS
 * each. `vmq_fib_ctl` names the half in use; a frame reads it once. Within a
 * half a slot goes EMPTY -> key -> TOMB, perhaps back to that key, and never
 * serves a second one, so a reader may see a slot's value late, but never another
 * key's value. A half is cleared only after a grace period in which it was not in
 * use.
 */
#define VMQ_FIB_WAYS		4
#define VMQ_FIB_BUCKETS		32768	/* per half: 131,072 slots, load <= 1/2 */
#define VMQ_FIB_PROBES		16	/* buckets a reader looks at, at most */

#define VMQ_FIB_EMPTY		0ULL
#define VMQ_FIB_TOMB		(~0ULL)

struct vmq_fib_slot {
	__u64 key;		/* VMQ_FIB_KEY(mac, rule), EMPTY or TOMB */
	__u32 value;		/* VMQ_FIB_VALUE(…); one aligned store moves a filter */
	__u32 pad;
};

struct vmq_fib_bucket {
	struct vmq_fib_slot slot[VMQ_FIB_WAYS];
};

/*
 * Key: the MAC as a 48-bit big-endian number, then the rule. Never EMPTY
 * (MAC 0 is refused) and never TOMB (a multicast MAC is refused).
 */
#define VMQ_FIB_KEY(mac48, rule)	(((__u64)(mac48) << 16) | (__u16)(rule))

/* Value: target 4 bits, flags 4 bits, queue id 12 bits, slot 12 bits. */
#define VMQ_FIB_VALUE(target, flags, queue, slot) \
	(((__u32)(target) << 28) | ((__u32)(flags) << 24) | \
	 ((__u32)(queue) << 12) | (__u32)(slot))
#define VMQ_FIB_TARGET(v)	((v) >> 28)
#define VMQ_FIB_FLAGS(v)	(((v) >> 24) & 0xf)
#define VMQ_FIB_QUEUE(v)	(((v) >> 12) & 0xfff)
#define VMQ_FIB_SLOT(v)		((v) & 0xfff)

#define VMQ_FIB_F_STRIP		0x1	/* access queue: leave the tag out */
#define VMQ_FIB_F_HASH		0x2	/* one pair, but OOB wants the hash */
#define VMQ_FIB_F_OOB		0x4	/* the frame gets an OOB record */

/*
 * Control word (global variable `vmq_fib_ctl` of the program): bit 0 the half
 * in use, bit 1 "half holds ANY rules" (a second lookup is worth while), and
 * the half's hash seed above, so that one load gives a consistent set.
 */
#define VMQ_FIB_CTL_HALF	0x1ULL
#define VMQ_FIB_CTL_ANY		0x2ULL
#define VMQ_FIB_CTL_SEED_SHIFT	32
#define VMQ_FIB_CTL_SEED(ctl)	((__u32)((ctl) >> VMQ_FIB_CTL_SEED_SHIFT))

/**
 * vmq_fib_hash() - the first bucket to probe; the next are +1 modulo the half
 * @key: a FIB key
 * @seed: seed of the half
 *
 * Two multiplications with 2^64 / golden ratio and a fold between them. One does
 * not do: a few MACs on all VLANs then crowd so that 65,536 filters do not fit,
 * under any seed (tests/unit/fib.c).
 */
static inline __u32 vmq_fib_hash(__u64 key, __u32 seed)
{
	__u64 h = (key ^ seed) * 0x9e3779b97f4a7c15ULL;

	h = (h ^ (h >> 32)) * 0x9e3779b97f4a7c15ULL;
	return (__u32)(h >> 49) & (VMQ_FIB_BUCKETS - 1);
}

/* ---- RSS (array map `rss`, by queue id) -------------------------------- */

/* Hash types: the NDIS bits shifted right by 8, so that they fit 16 bits. */
#define VMQ_HASH_IPV4		0x001
#define VMQ_HASH_TCP_IPV4	0x002
#define VMQ_HASH_IPV6		0x004
#define VMQ_HASH_IPV6_EX	0x008
#define VMQ_HASH_TCP_IPV6	0x010
#define VMQ_HASH_TCP_IPV6_EX	0x020
#define VMQ_HASH_UDP_IPV4	0x040
#define VMQ_HASH_UDP_IPV6	0x080
#define VMQ_HASH_UDP_IPV6_EX	0x100

/*
 * One queue's RSS parameters and key, each in two halves. The program reads
 * `sel` once and takes parameters and key of the half it names, so a frame
 * never meets a new key with an old table. User space writes the other half,
 * then flips `sel`; the half it left may be written after a grace period.
 */
struct vmq_rss_params {
	__u16 types;		/* VMQ_HASH_… that are on; 0: no hash */
	__u16 mask;		/* table entries - 1 */
	__u16 fallback;		/* slot of the default pair: unhashable frames */
	__u16 nic_types;	/* of types: those whose hash may be the NIC's */
	__u16 table[VMQ_RSS_ENTRIES_MAX]; /* socket slots; of queue 0: CPUs */
};

struct vmq_rss {
	__u32 sel;		/* 0 or 1 */
	__u32 pad;
	struct vmq_rss_params params[2];
};

/*
 * What a driver says of a frame's hash (bpf_xdp_metadata_rx_hash(), since 6.3): enum
 * xdp_rss_hash_type of include/net/xdp.h, which is no UAPI. A layer 4 hash is over the
 * addresses and both ports. Other bits (headers between, other protocols) are not
 * listed: with one of them set a type is none of ours.
 */
#define VMQ_NIC_IPV4		0x01
#define VMQ_NIC_IPV6		0x02
#define VMQ_NIC_L4		0x08
#define VMQ_NIC_TCP		0x10
#define VMQ_NIC_UDP		0x20

/**
 * vmq_nic_hash_type() - what the driver says of a hash that equals ours
 * @type: one VMQ_HASH_..., of a frame without extension headers
 *
 * Without those an _EX type is the plain one.
 */
static inline __u32 vmq_nic_hash_type(__u16 type)
{
	const __u16 v4 = VMQ_HASH_IPV4 | VMQ_HASH_TCP_IPV4 | VMQ_HASH_UDP_IPV4;
	const __u16 tcp = VMQ_HASH_TCP_IPV4 | VMQ_HASH_TCP_IPV6 | VMQ_HASH_TCP_IPV6_EX;
	const __u16 udp = VMQ_HASH_UDP_IPV4 | VMQ_HASH_UDP_IPV6 | VMQ_HASH_UDP_IPV6_EX;

	return (type & v4 ? VMQ_NIC_IPV4 : VMQ_NIC_IPV6) |
	       (type & tcp ? VMQ_NIC_L4 | VMQ_NIC_TCP : 0) |
	       (type & udp ? VMQ_NIC_L4 | VMQ_NIC_UDP : 0);
}

/*
 * Toeplitz as table look-ups (array map `toeplitz`, by queue id): row i holds
 * what nibble i of the input, high nibble first, adds to the hash.
 */
#define VMQ_TOEPLITZ_NIBBLES	72	/* IPv6 addresses and ports: 36 bytes */

struct vmq_toeplitz_key {
	__u32 t[VMQ_TOEPLITZ_NIBBLES][16];
};

struct vmq_toeplitz {
	struct vmq_toeplitz_key key[2];	/* halves, as in struct vmq_rss */
};

/* ---- OOB: metadata right in front of a redirected frame ---------------- */

/*
 * Of a queue whose FIB value has VMQ_FIB_F_OOB or _F_HASH. It costs a frame a cache line at
 * either end, so the service asks for it only where it says what the ring and the
 * frame do not: where the NIC takes tags out and the driver tells them.
 */

#define VMQ_OOB_VERSION		1
#define VMQ_OOB_F_VLAN		0x1	/* vlan_tci holds the frame's tag */
#define VMQ_OOB_F_STRIPPED	0x2	/* that tag is not in the frame (NIC took it out) */
#define VMQ_OOB_F_HASH		0x4	/* hash and hash_type are valid */
#define VMQ_OOB_F_AD		0x8	/* that tag is 802.1ad (0x88a8), not 802.1Q */

struct vmq_oob {
	__u8  version;		/* VMQ_OOB_VERSION */
	__u8  flags;		/* VMQ_OOB_F_… */
	__u16 queue;
	__u16 pair_slot;	/* socket slot, names (queue, pair) */
	__u16 vlan_tci;		/* PCP, DEI, VLAN id */
	__u32 hash;
	__u16 hash_type;	/* one VMQ_HASH_… */
	__u8  strip;		/* bytes of tag at offset 12 to leave out: 0 or 4 */
	__u8  filter;		/* always 0 (P-4) */
};

/* ---- counters (per-CPU arrays) ----------------------------------------- */

struct vmq_slot_stats {		/* `slot_stats`, by slot */
	__u64 redirected;	/* the helper accepted the frame */
	__u64 bytes;		/* of those */
	__u64 too_big;		/* longer than a chunk carries: dropped here */
	__u64 to_host;		/* matched, but no socket there, or no room for
				 * OOB in front of the frame: passed to queue 0 */
};

/*
 * `rss_stats`, by queue id: frames that were hashed for a queue, by what chose
 * their pair. All of a queue's frames are here while it has several pairs: the sum
 * is that of its slots' counters. Queue 0's row counts what RSS of queue 0 spread.
 */
struct vmq_rss_stats {
	__u64 unhashed;		/* nothing to hash: the default */
	__u64 entry[VMQ_RSS_ENTRIES_MAX];
	__u64 nic;		/* of those with an entry: the hash was the NIC's */
};

/* `cpu_stats`, by CPU: frames of queue 0 on their way through `cpus`. */
struct vmq_cpu_stats {
	__u64 handed;		/* accepted by the helper for this CPU */
	__u64 taken;		/* arrived there; the rest is under way or was dropped */
};

struct vmq_adapter_stats {	/* `adapter_stats`, one entry */
	__u64 frames;		/* seen by the program */
	__u64 unmatched;	/* unicast without a VM's filter: queue 0 */
	__u64 multicast;	/* group addressed: queue 0 */
	__u64 malformed;	/* too short for its headers: queue 0 */
	__u64 rxq_range;	/* RX queue beyond the stride: queue 0 */
	__u64 filtered;		/* dropped by a drop filter */
};

/*
 * Counters of user space, which must outlive it: workers and the control thread write
 * them where they are, through a mapping, so that a kill loses none. By queue id
 * (array map `queue_counters`); entry 0 says who can read all of them.
 */
struct vmq_queue_counters {
	struct vmq_slot_stats past;	/* of slots that were given back */
	__u64 ring_full;		/* of the sockets' statistics, as last seen */
	__u64 no_buffer;
	__u64 redirect_failed;		/* as last told */
	__u64 lost_at_restart;		/* unknown how they ended: a kill came between */
	__u32 layout;			/* entry 0: checksum of the counters of a row */
	__u16 pad;
	__u16 n_slots;
	__u16 slot[VMQ_PAIRS_MAX];	/* in use: `slot_stats` has more of this queue */
};

/* A row for each pair (array map `pair_counters`); row 0 is the switch's uplink. */
#define VMQ_COUNTER_ROWS	(1 + VMQ_SLOTS_MAX + VMQ_QUEUES_MAX)
#define VMQ_COUNTERS_MAX	40

struct vmq_pair_counters {
	__u32 queue;			/* 0: the row is free */
	__u32 pair;
	__u64 count[VMQ_COUNTERS_MAX];	/* struct port_stats of user/datapath/stats.h */
};

/* ---- records that outlive the service ---------------------------------- */

enum vmq_mode { VMQ_MODE_NATIVE = 1, VMQ_MODE_SKB = 2 };

struct vmq_meta {		/* array map `meta`, one entry; read before all else */
	__u32 abi;		/* VMQ_ABI_VERSION */
	__u32 size;		/* sizeof(struct vmq_meta) */
	__u32 ifindex;
	__u32 stride;		/* RX queues the device allocated */
	__u64 netns;		/* SO_NETNS_COOKIE */
	__u32 mode;		/* enum vmq_mode */
	__u32 slots;		/* max socket slots */
	__u32 queues;		/* limit on queue ids */
	__u32 pid;		/* of the service that made it */
	char  ifname[16];
	char  name[VMQ_NAME_MAX]; /* service name */
};

/*
 * A queue's configuration (hash map `queues`, by id): all a restart needs. Queue 0
 * has a record only while its RSS parameters, or the switch for all queues, are
 * other than in the beginning; only those fields of it count.
 */
#define VMQ_QUEUE_F_TRUST	0x1	/* source addresses are not checked */
#define VMQ_QUEUE_F_COMPLETE	0x2	/* allocation was completed */
#define VMQ_QUEUE_F_PAUSED	0x4	/* the VM is paused: nothing is delivered */
#define VMQ_QUEUE_F_RSS		0x10	/* RSS is to be on */
#define VMQ_QUEUE_F_PLACED	0x20	/* its CPUs were asked for: not to be balanced */
#define VMQ_QUEUE_F_WAITS	0x40	/* on queue 0 until there is room for it */
#define VMQ_QUEUE_F_RSS_OFF	0x80	/* queue 0: RSS is off for all queues */
#define VMQ_QUEUE_F_NO_GRO	0x100	/* segments of a stream are not joined for the guest */
#define VMQ_QUEUE_F_ENDS	0x200	/* ends with the service: a connection's, or half made or gone */

struct vmq_queue_record {
	__u32 id;
	__u32 flags;		/* VMQ_QUEUE_F_… */
	char  name[VMQ_NAME_MAX];
	char  vm[VMQ_NAME_MAX];	/* name of the virtual machine; may be empty */
	__u32 owner;		/* uid */
	__u16 rule;		/* VLAN rule of its port */
	__u16 pairs;		/* asked for */
	__u32 ring;		/* suggested buffers: 0 = default */
	__u16 weight;		/* 0 … 100 */
	__u16 n_macs;
	__u8  mac[VMQ_MACS_MAX][6];
	__u16 cpu[VMQ_PAIRS_MAX]; /* where each pair is */
	char  channel[VMQ_CHANNEL_MAX];
	__u16 rss_types;	/* VMQ_HASH_… asked for */
	__u16 rss_entries;	/* of rss_table: a power of two */
	__u16 rss_default;	/* CPU of frames without a hash, while RSS is on */
	__u16 rss_primary;	/* CPU of all frames, while RSS is off */
	__u16 rss_table[VMQ_RSS_ENTRIES_MAX]; /* CPUs, as asked for */
	__u8  rss_key[VMQ_RSS_KEY_LEN];
	__u16 channel_pairs;	/* pairs that the channel was opened with */
	__u16 pad;
};

#endif /* VMQ_ABI_H */
