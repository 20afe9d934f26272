/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss.h - a queue's RSS record and key, as the XDP program reads them
 *
 * Pure functions over memory: mapped maps or private copies.
 */
#ifndef VMQ_RSS_H
#define VMQ_RSS_H

#include <stdint.h>

#include "vmq/abi.h"

/**
 * rss_update() - new parameters and key, as one change to readers
 * @rss: the queue's record
 * @toeplitz: the queue's keys
 * @params: new parameters; table entries beyond the mask need not be set
 * @key: new key
 *
 * Writes the half that frames do not look at, then flips `sel`. A second update
 * of the same queue must wait for a grace period after the first (barrier.h),
 * else a frame that is still being hashed could meet a mixture.
 */
void rss_update(struct vmq_rss *rss, struct vmq_toeplitz *toeplitz,
		const struct vmq_rss_params *params, const uint8_t key[VMQ_RSS_KEY_LEN]);

#endif /* VMQ_RSS_H */
