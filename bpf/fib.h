/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * fib.h - from destination and VLAN to a FIB value
 *
 * User space changes the table while frames read it (user/adapter/fib.c). What
 * makes that safe for a reader without locks, on any machine:
 *
 * - The control word is read once, so both look-ups of a frame are made in one
 *   half, with that half's seed.
 * - Within a half a slot serves one key only, so a value can never be another
 *   key's, however the two loads are ordered. A reader that sees a key before
 *   its value (possible where loads are reordered, arm64) gets 0: no filter
 *   yet, which was true a moment before.
 * - A slot never becomes empty again, so an empty one ends the search.
 */
#ifndef VMQ_BPF_FIB_H
#define VMQ_BPF_FIB_H

/*
 * Few values live from probe to probe, and those fit the registers that a call keeps:
 * spilling others costs a tenth of what the program does (scripts/bench classify).
 */
static __always_inline __u32 fib_lookup(__u64 ctl, __u64 key)
{
	__u32 index = vmq_fib_hash(key, VMQ_FIB_CTL_SEED(ctl)) |
		      (ctl & VMQ_FIB_CTL_HALF ? VMQ_FIB_BUCKETS : 0);
	const struct vmq_fib_bucket *b;
	__u32 i, w;
	__u64 k;

	for (i = 0; i < VMQ_FIB_PROBES; i++) {
		b = bpf_map_lookup_elem(&fib, &index);
		if (!b)
			break;
#pragma unroll
		for (w = 0; w < VMQ_FIB_WAYS; w++) {
			k = READ_ONCE(b->slot[w].key);
			if (k == key)
				return READ_ONCE(b->slot[w].value);
			if (k == VMQ_FIB_EMPTY)
				return 0;
		}
		index = (index & VMQ_FIB_BUCKETS) | ((index + 1) & (VMQ_FIB_BUCKETS - 1));
	}
	return 0;
}

/*
 * The value of the best filter: that of the frame's VLAN before one for any
 * VLAN; 0 if there is none. The second look-up is made only when the half has
 * ANY rules at all; of a frame of no single VLAN the first is that one already.
 */
static __always_inline __u32 fib_match(__u64 ctl, const struct frame *f)
{
	__u64 key = f->mac | f->rule;
	__u32 value = fib_lookup(ctl, key);

	if (!value && ctl & VMQ_FIB_CTL_ANY)
		value = fib_lookup(ctl, key | VMQ_RULE_ANY);
	return value;
}

#endif /* VMQ_BPF_FIB_H */
