// SPDX-License-Identifier: GPL-2.0-only
/*
 * csum.c - the Internet checksum in software
 *
 * The sum of 16-bit words does not depend on their byte order but for a swap of
 * the result (RFC 1071, section 2B), so words are added as the machine reads
 * them, eight bytes at a time.
 */
#include <errno.h>
#include <string.h>

#include "common/csum.h"

/*
 * Two sums at a time, with their carries above them: an addition need not wait for
 * the one before.
 */
uint64_t csum_add(uint64_t sum, const uint8_t *p, uint32_t n)
{
	unsigned __int128 a = sum, b = 0;
	uint64_t word[2];
	uint16_t half;

	for (; n >= 16; p += 16, n -= 16) {
		memcpy(word, p, 16);
		a += word[0];
		b += word[1];
	}
	for (; n >= 2; p += 2, n -= 2) {
		memcpy(&half, p, 2);
		b += half;
	}
	if (n) {
		half = 0;		/* an odd byte is the first of a padded word */
		memcpy(&half, p, 1);
		b += half;
	}
	a += b;
	/* 2^64 is 1 to a ones' complement sum. */
	a = (a & UINT64_MAX) + (a >> 64);
	return (uint64_t)((a & UINT64_MAX) + (a >> 64));
}

uint16_t csum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

int csum_complete(uint8_t *data, uint32_t len, uint32_t start, uint32_t offset)
{
	uint16_t sum;

	if (start >= len || offset > len - start || len - start - offset < 2)
		return -EINVAL;
	sum = csum_fold(csum_add(0, data + start, len - start));
	/* 0 means "no checksum" to UDP; 0xffff is the same number. TCP takes either. */
	if (!sum)
		sum = 0xffff;
	memcpy(data + start + offset, &sum, sizeof(sum));
	return 0;
}
