/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * csum.h - the Internet checksum in software
 *
 * Sums are in the machine's byte order: what is added to them as a number has to be
 * brought into network order first (htons()), and a folded sum is stored as it is.
 * Pure functions over private memory, any thread.
 */
#ifndef VMQ_CSUM_H
#define VMQ_CSUM_H

#include <stdint.h>

/**
 * csum_add() - add 16-bit words to a sum
 * @sum: so far; 0 to begin with
 * @p: bytes at an even place of what is summed
 * @n: how many; odd only if they are the last
 */
uint64_t csum_add(uint64_t sum, const uint8_t *p, uint32_t n);

/* The checksum of what was summed; 0 for anything that has its own in it, and right. */
uint16_t csum_fold(uint64_t sum);

/**
 * csum_complete() - do what VIRTIO_NET_HDR_F_NEEDS_CSUM asks for
 * @data: frame
 * @len: its length
 * @start: where summing starts
 * @offset: of the 16-bit field, from @start; it holds the pseudo header's sum
 *
 * Return: 0, or -EINVAL when the field is not inside the frame.
 */
int csum_complete(uint8_t *data, uint32_t len, uint32_t start, uint32_t offset);

#endif /* VMQ_CSUM_H */
