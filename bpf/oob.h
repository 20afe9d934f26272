/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * oob.h - what is said about a frame, in XDP metadata in front of it
 *
 * A frame that was redirected to this device (veth, or a program on another
 * device) may arrive with its sender's metadata, and bpf_xdp_adjust_meta() moves
 * from where that begins. So the length is never assumed: it is measured and the
 * move computed from it, and what a reader finds is always ours or nothing.
 */
#ifndef VMQ_BPF_OOB_H
#define VMQ_BPF_OOB_H

static __always_inline long meta_len(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data - (void *)(long)ctx->data_meta;
}

/*
 * Exactly sizeof(struct vmq_oob) bytes of metadata, whatever was there before.
 * Return: NULL where a driver has no room for metadata. All packet pointers
 * loaded before the call are void.
 */
static __always_inline struct vmq_oob *oob_make(struct xdp_md *ctx)
{
	struct vmq_oob *oob;

	if (bpf_xdp_adjust_meta(ctx, (int)meta_len(ctx) - (int)sizeof(*oob)))
		return NULL;
	oob = (void *)(long)ctx->data_meta;
	if ((void *)(oob + 1) > (void *)(long)ctx->data)
		return NULL;
	return oob;
}

/* The host must not take metadata for its own: leave none. */
static __always_inline void oob_clear(struct xdp_md *ctx)
{
	long len = meta_len(ctx);

	if (len)
		bpf_xdp_adjust_meta(ctx, (int)len);
}

#endif /* VMQ_BPF_OOB_H */
