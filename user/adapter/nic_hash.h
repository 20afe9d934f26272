/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nic_hash.h - may a frame's hash be the NIC's?
 *
 * A NIC hashes with one key and says per frame what it hashed. Its value is as good as
 * ours for a queue with the same key, for those hash types that both make of the same
 * fields. The first is decided here, by what ethtool tells of the NIC; the second by the
 * program, for each frame (bpf/rss.h).
 *
 * nic_rss_read() asks the kernel, control thread only; the rest are pure functions.
 */
#ifndef VMQ_NIC_HASH_H
#define VMQ_NIC_HASH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

/* How a NIC hashes: of its default RSS context. All zeros where it does not tell. */
struct nic_rss {
	bool	 known;		/* there is a key, of 40 bytes or more */
	bool	 on;		/* frames come with their hash: rx-hashing */
	bool	 toeplitz;	/* ... which is a Toeplitz hash */
	bool	 symmetric;	/* ... of transformed fields */
	uint16_t types;		/* VMQ_HASH_... that it makes of the fields that we take */
	uint8_t  key[VMQ_RSS_KEY_LEN];	/* its first bytes: IPv6 and ports need no more */
};

/**
 * nic_rss_read() - how does this NIC hash?
 * @name: device
 * @out: zeros after an error
 * @err: sentence
 *
 * Return: 0; -EOPNOTSUPP: the driver tells no key, or a shorter one.
 */
int nic_rss_read(const char *name, struct nic_rss *out, struct vmq_err *err);

/* A flow's fields as ethtool has them (RXH_...), for one of our types: the same? */
bool nic_rss_same_fields(uint16_t type, uint64_t fields);

/**
 * nic_rss_types() - for which hash types of a queue may the NIC's value be taken?
 * @nic: how it hashes
 * @key: of the queue
 * @types: VMQ_HASH_... that the queue has on
 * @why: if none: a sentence without its subject's name and full stop
 */
uint16_t nic_rss_types(const struct nic_rss *nic, const uint8_t key[VMQ_RSS_KEY_LEN],
		       uint16_t types, const char **why);

#endif /* VMQ_NIC_HASH_H */
