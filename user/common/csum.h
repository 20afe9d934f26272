/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * csum.h - the Internet checksum, completed in software
 *
 * Pure function over private memory, any thread.
 */
#ifndef VMQ_CSUM_H
#define VMQ_CSUM_H

#include <stdint.h>

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
