/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slow_sum.h - the internet checksum's sum, slow and plain
 *
 * Bytes by their place, so that it is independent of common/csum.h.
 */
#ifndef VMQ_TEST_SLOW_SUM_H
#define VMQ_TEST_SLOW_SUM_H

#include <stdint.h>

/* @sum: of what comes before, an even number of bytes. 0xffff when all is right. */
static inline uint32_t slow_sum(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		sum += i % 2 ? p[i] : p[i] * 256u;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return sum;
}

#endif /* VMQ_TEST_SLOW_SUM_H */
