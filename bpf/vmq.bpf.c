// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * vmq.bpf.c - the path of a frame, from the NIC to its queue's AF_XDP ring
 *
 * The "hardware" of vmq: what a NIC with receive filters does. Read receive()
 * from top to bottom:
 *
 *   parse the Ethernet header and tags            parse.h
 *   find (MAC, VLAN) in the FIB                   fib.h
 *   choose a pair, if the queue has several       vmq_rest(), rss.h
 *   write the out-of-band record, if it wants one vmq_rest(), oob.h
 *   redirect to the pair's socket on this RX queue
 *
 * What matches nothing is passed to the host, queue 0, by hash through a CPUMAP if
 * RSS of queue 0 is on (host.h). No queue's state is looked at: only filters of
 * Running queues are in the FIB, so a queue that is stopped gets nothing because
 * nothing matches. The frame itself is never changed. User space never stops
 * frames: it changes the maps under them (user/adapter/fib.c).
 *
 * Every frame is counted once, by what became of it: `unmatched`, `multicast`,
 * `malformed`, `rxq_range` and `filtered` of the adapter and the four counters
 * of its slots add up to the adapter's `frames`.
 *
 * Packet pointers are subtracted here (lengths), for which the verifier wants
 * CAP_PERFMON beside CAP_BPF and CAP_NET_ADMIN.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "vmq/abi.h"

#include "maps.h"
#include "parse.h"
#include "fib.h"
#include "rss.h"
#include "oob.h"
#include "host.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * A frame in several buffers has a filled first one: drivers begin a second
 * only when the first, 1.5 KiB or more, is full. So below this linear length
 * there is nothing else, and the usual frame is spared a helper call. Were a
 * driver to break this, the kernel itself would refuse the frame as too long
 * for the chunk (xsk_rcv_check()) and count it there.
 */
#define LINEAR_FULL	1024

static __always_inline __u32 frame_len(struct xdp_md *ctx)
{
	__u32 len = (void *)(long)ctx->data_end - (void *)(long)ctx->data;

	return len < LINEAR_FULL ? len : bpf_xdp_get_buff_len(ctx);
}

/* One of the adapter's counters. Looked up where it is needed: a pointer kept would cost more. */
#define ADAPTER_COUNT(counter) do {							\
	__u32 zero_ = 0;								\
	struct vmq_adapter_stats *stats_ = bpf_map_lookup_elem(&adapter_stats, &zero_);	\
											\
	if (stats_)									\
		stats_->counter++;							\
} while (0)

/* What vmq_rest() found: the slot, and whether there was no room for the record. */
#define REST_SLOT(r)	((r) & 0xffff)
#define REST_NO_ROOM	0x10000

/* Does a frame need vmq_rest()? */
static __always_inline bool has_rest(__u32 value)
{
	return VMQ_FIB_TARGET(value) == VMQ_TARGET_RSS ||
	       VMQ_FIB_FLAGS(value) & (VMQ_FIB_F_HASH | VMQ_FIB_F_OOB);
}

/**
 * vmq_rest() - what not every frame needs: a hash and its pair, and the OOB record
 * @ctx: the frame
 * @value: its FIB value
 * @nic_tag: struct nic_tag as a number, protocol in the upper half
 * @nic_hash: NIC_HASH() of the frame; 0: not known
 *
 * Out of line, and with a parse of its own, for the sake of the other frames: tags
 * and offsets that only this needs would take registers all the way, and spilling
 * those is a fifth of what the program costs (scripts/bench classify).
 *
 * Return: slot, and REST_NO_ROOM if the driver has no room for a record.
 */
__noinline __u32 vmq_rest(struct xdp_md *ctx, __u32 value, __u32 nic_tag, __u64 nic_hash)
{
	const struct nic_tag nic = { .proto = nic_tag >> 16, .tci = nic_tag };
	__u32 slot = VMQ_FIB_SLOT(value);
	struct vmq_oob *oob;
	struct frame f;
	__u64 rss = 0;

	if (!frame_parse(&f, (void *)(long)ctx->data, (void *)(long)ctx->data_end, nic))
		return slot | REST_NO_ROOM;	/* never: it was parsed before */
	if (VMQ_FIB_TARGET(value) == VMQ_TARGET_RSS || VMQ_FIB_FLAGS(value) & VMQ_FIB_F_HASH) {
		rss = vmq_rss(ctx, VMQ_FIB_QUEUE(value), f.l3, f.proto, nic_hash);
		if (VMQ_FIB_TARGET(value) == VMQ_TARGET_RSS)
			slot = RSS_SLOT(rss);
	}
	if (!(VMQ_FIB_FLAGS(value) & (VMQ_FIB_F_OOB | VMQ_FIB_F_HASH)))
		return slot;

	oob = oob_make(ctx);
	if (!oob)
		return slot | REST_NO_ROOM;
	oob->version = VMQ_OOB_VERSION;
	oob->flags = f.oob_flags | (RSS_TYPE(rss) ? VMQ_OOB_F_HASH : 0);
	oob->queue = VMQ_FIB_QUEUE(value);
	oob->pair_slot = slot;
	oob->vlan_tci = f.tci;
	oob->hash = RSS_HASH(rss);
	oob->hash_type = RSS_TYPE(rss);
	oob->strip = VMQ_FIB_FLAGS(value) & VMQ_FIB_F_STRIP ? f.q_tag : 0;
	oob->filter = 0;
	return slot;
}

/*
 * Both since 6.8 (the hash since 6.3, with another prototype at first). Weak, so that the
 * object loads where the kernel has not got them. A program that calls one can be loaded
 * only for one device (BPF_F_XDP_DEV_BOUND_ONLY), and the verifier checks that before it
 * removes dead code: hence two programs. Where the driver has not got one, its stand-in
 * says -EOPNOTSUPP.
 */
extern int bpf_xdp_metadata_rx_vlan_tag(const struct xdp_md *ctx, __be16 *vlan_proto,
					__u16 *vlan_tci) __ksym __weak;
enum xdp_rss_hash_type { XDP_RSS_TYPE_NONE };	/* the kernel's: VMQ_NIC_... */
extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash,
				    enum xdp_rss_hash_type *rss_type) __ksym __weak;

/*
 * Before anything goes in front of the frame: virtio_net reads its answer there. The
 * service has the NIC hash where it may be of use (adapter/nic_hash.h).
 */
static __always_inline __u64 nic_hash_of(struct xdp_md *ctx)
{
	enum xdp_rss_hash_type type = XDP_RSS_TYPE_NONE;
	__u32 hash = 0;

	if (bpf_xdp_metadata_rx_hash(ctx, &hash, &type))
		return 0;
	return NIC_HASH(hash, type);
}

/* @bound: in the program that is bound to the device (a constant). */
static __always_inline int receive(struct xdp_md *ctx, struct nic_tag nic, bool bound)
{
	__u32 value, slot, len, rest = 0, rxq;
	struct vmq_slot_stats *stats;
	struct frame f;

	ADAPTER_COUNT(frames);
	if (!frame_parse(&f, (void *)(long)ctx->data, (void *)(long)ctx->data_end, nic)) {
		ADAPTER_COUNT(malformed);
		return pass(ctx);
	}
	if (frame_is_multicast(&f)) {
		ADAPTER_COUNT(multicast);
		return pass(ctx);
	}

	value = fib_match(READ_ONCE(vmq_fib_ctl), &f);
	switch (VMQ_FIB_TARGET(value)) {
	case VMQ_TARGET_SLOT:
	case VMQ_TARGET_RSS:
		break;
	case VMQ_TARGET_DROP:
		ADAPTER_COUNT(filtered);
		return XDP_DROP;
	default:	/* no filter, or one that says queue 0 */
		ADAPTER_COUNT(unmatched);
		return !bound && READ_ONCE(vmq_host_rss) ? (int)vmq_host(ctx) : pass(ctx);
	}

	/*
	 * More RX queues than the device had allocated when we attached: there
	 * are no sockets for them, and the next slot's would be taken.
	 */
	rxq = ctx->rx_queue_index;
	if (rxq >= vmq_stride) {
		ADAPTER_COUNT(rxq_range);
		return pass(ctx);
	}

	slot = VMQ_FIB_SLOT(value);
	if (has_rest(value)) {
		rest = vmq_rest(ctx, value, (__u32)nic.proto << 16 | nic.tci,
				bound && vmq_ask_hash ? nic_hash_of(ctx) : 0);
		slot = REST_SLOT(rest);
	}
	stats = bpf_map_lookup_elem(&slot_stats, &slot);
	if (!stats) {
		ADAPTER_COUNT(unmatched);	/* a slot that this adapter does not have */
		return pass(ctx);
	}

	len = frame_len(ctx);
	if (len > vmq_max_frame) {
		stats->too_big++;
		return XDP_DROP;
	}
	if (!(rest & REST_NO_ROOM) &&
	    bpf_redirect_map(&xsks, slot * vmq_stride + rxq, XDP_PASS) == XDP_REDIRECT) {
		stats->redirected++;
		stats->bytes += len;
		return XDP_REDIRECT;
	}
	stats->to_host++;
	return pass(ctx);
}

/* For devices whose frames carry their tags. */
SEC("xdp.frags")
int vmq_rx(struct xdp_md *ctx)
{
	return receive(ctx, (struct nic_tag){}, false);
}

/*
 * Instructions that never run: room to grow.
 *
 * The verifier inlines map look-ups and rewrites context accesses, which makes a
 * program longer. When it outgrows its pages bpf_prog_realloc() moves it, and up
 * to 6.18 leaves aux->offload->prog of a device-bound program pointing at freed
 * memory: the kernel oopses when the device is unregistered
 * (bpf_dev_bound_netdev_unregister()). Dead code is removed before anything
 * grows, and the pages that it took remain. 16 KiB is several times what this
 * program grows by.
 */
static __always_inline void reserve_pages(void)
{
	if (vmq_never)
		asm volatile(".rept 2048\n"
			     "r0 = 0\n"
			     ".endr\n" ::: "r0");
}

/*
 * For devices that take tags out of frames: the driver tells what it took, and
 * that is the outermost tag. Without one it says -ENODATA, and the tags are
 * those in the frame. And for those whose hash is of use. No frame goes to another
 * CPU here: a CPUMAP carries no tag that is not in the frame, and before 6.16 a
 * device-bound program that knows one cannot be loaded at all
 * (bpf_prog_map_compatible()).
 */
SEC("xdp.frags")
int vmq_rx_kfunc(struct xdp_md *ctx)
{
	struct nic_tag nic = {};

	reserve_pages();
	if (vmq_ask_tag && bpf_xdp_metadata_rx_vlan_tag(ctx, &nic.proto, &nic.tci))
		nic = (struct nic_tag){};
	return receive(ctx, nic, true);
}
