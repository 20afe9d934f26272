// SPDX-License-Identifier: GPL-2.0-only
/*
 * live_gen.bpf.c - the program that live-gen runs once per generated frame
 *
 * The kernel writes the template into a page once and then uses the page again
 * and again (net/bpf/test_run.c), whatever the receiver did to it: a stack that
 * takes a VLAN tag out moves the addresses within that very page. So every run
 * writes the whole head of the frame, and its own numbers into that.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define DST_MAX 4096
#define HEAD	60			/* bytes written: the shortest frame */

const volatile __u32 out_ifindex;
const volatile __u32 one_in = 1;	/* redirect one frame in so many, drop the rest */
const volatile __u32 n_dst = 1;
const volatile __u32 n_streams = 1;	/* n_dst x flows */
const volatile __u16 port;		/* source port of the first flow; 0: no UDP or TCP */
const volatile __u32 tcp_payload;	/* bytes of a segment; 0: UDP */
const volatile __u32 tcp_sum;		/* of all that the segments of a run have in common */
const volatile __u32 payload_off;	/* of struct test_payload */
const volatile __u64 limit;		/* frames to send; 0: no limit */

__u64 sent;				/* one run at a time: no atomics */
__u32 skipped;				/* since the last one sent */
__u32 turn;				/* which stream's turn it is */
__u8 head[64];
__u8 dst[DST_MAX][8];
__u64 seq[DST_MAX];

/*
 * The next segment of a connection, at @p its payload: only what differs is summed,
 * the rest was before.
 */
static __always_inline void next_segment(__u8 *p, __u32 stream, __u64 n, __u16 source)
{
	__u32 at = (__u32)n * tcp_payload;
	__u64 sum = tcp_sum + source + (at >> 16) + (at & 0xffff) + (stream >> 16) +
		    (stream & 0xffff) + (n >> 48) + (n >> 32 & 0xffff) + (n >> 16 & 0xffff) +
		    (n & 0xffff);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u16 *)(p - 20) = bpf_htons(source);
	*(__u32 *)(p - 16) = bpf_htonl(at);
	*(__u16 *)(p - 4) = bpf_htons((__u16)~sum);
}

SEC("xdp")
int live_gen(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 off = payload_off & 0x3f;
	__u64 i = turn & (DST_MAX - 1), d;
	__u8 *p;

	if (++skipped < one_in || (limit && sent >= limit))
		return XDP_DROP;
	skipped = 0;
	turn = turn + 1 < n_streams ? turn + 1 : 0;
	if (data + HEAD > end)
		return XDP_ABORTED;
	__builtin_memcpy(data, head, HEAD);
	d = i % n_dst;
	asm volatile("" : "+r"(d));	/* the mask is for the verifier: keep it */
	__builtin_memcpy(data, dst[d & (DST_MAX - 1)], 6);
	p = data + off;
	if ((void *)p + 16 > end)
		return XDP_ABORTED;
	if (tcp_payload)
		next_segment(p, (__u32)i, seq[i], port + i / n_dst);
	else if (port)	/* right in front of the payload: the UDP header */
		*(__u16 *)(p - 8) = bpf_htons(port + i / n_dst);
	*(__u32 *)(p + 4) = bpf_htonl((__u32)i);
	*(__u64 *)(p + 8) = bpf_cpu_to_be64(seq[i]++);
	sent++;
	return (int)bpf_redirect(out_ifindex, 0);
}

char _license[] SEC("license") = "GPL";
