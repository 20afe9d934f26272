// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss.c - a queue's RSS record and key, as the XDP program reads them
 *
 * Toeplitz is linear: the hash of a packet is the exclusive or of what each of
 * its bits contributes, and bit n contributes the 32 bits of the key that begin
 * at bit n. So four bits at a time can be looked up: row i, column v holds the
 * contribution of nibble i with value v. 72 rows of 16 words are 4.5 KiB; whole
 * bytes would be 36 KiB, more than a CPU's first cache spares.
 */
#include "adapter/rss.h"
#include "common/util.h"

#define NIBBLE	4

/* 32 bits of the key, beginning at bit @n; past the end of the key come zeros. */
static uint32_t key_window(const uint8_t key[VMQ_RSS_KEY_LEN], unsigned int n)
{
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < 5; i++)
		bits = bits << 8 | (n / 8 + i < VMQ_RSS_KEY_LEN ? key[n / 8 + i] : 0);
	return (uint32_t)(bits >> (8 - n % 8));
}

static void rss_key_table(struct vmq_toeplitz_key *out, const uint8_t key[VMQ_RSS_KEY_LEN])
{
	unsigned int row, v, bit;

	for (row = 0; row < VMQ_TOEPLITZ_NIBBLES; row++) {
		for (v = 0; v < 1 << NIBBLE; v++) {
			out->t[row][v] = 0;
			for (bit = 0; bit < NIBBLE; bit++) {
				if (v & (1 << (NIBBLE - 1) >> bit))
					out->t[row][v] ^= key_window(key, row * NIBBLE + bit);
			}
		}
	}
}

void rss_update(struct vmq_rss *rss, struct vmq_toeplitz *toeplitz,
		const struct vmq_rss_params *params, const uint8_t key[VMQ_RSS_KEY_LEN])
{
	uint32_t idle = !(load_relaxed(&rss->sel) & 1);

	rss->params[idle] = *params;
	rss_key_table(&toeplitz->key[idle], key);
	store_release(&rss->sel, idle);
}
