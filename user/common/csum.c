// SPDX-License-Identifier: GPL-2.0-only
/*
 * csum.c - the Internet checksum, completed in software
 *
 * The sum of 16-bit words does not depend on their byte order but for a swap of
 * the result (RFC 1071, section 2B), so words are added as the machine reads
 * them, eight bytes at a time.
 */
#include <errno.h>
#include <string.h>

#include "common/csum.h"

/* Ones' complement sum of @n bytes, not inverted, in the machine's order. */
static uint16_t csum_words(const uint8_t *p, uint32_t n)
{
	uint64_t sum = 0, word;
	uint16_t half;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&word, p, 8);
		sum += word;
		sum += sum < word;	/* the carry comes back in below */
	}
	for (; n >= 2; p += 2, n -= 2) {
		memcpy(&half, p, 2);
		sum += half;
		sum += sum < half;
	}
	if (n) {
		half = 0;		/* an odd byte is the first of a padded word */
		memcpy(&half, p, 1);
		sum += half;
		sum += sum < half;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

int csum_complete(uint8_t *data, uint32_t len, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start >= len || offset > len - start || len - start - offset < 2)
		return -EINVAL;
	sum = (uint16_t)~csum_words(data + start, len - start);
	/* 0 means "no checksum" to UDP; 0xffff is the same number. TCP takes either. */
	if (!sum)
		sum = 0xffff;
	memcpy(data + start + offset, &sum, sizeof(sum));
	return 0;
}
