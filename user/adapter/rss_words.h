/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rss_words.h - hash types and keys as users write them
 *
 * Pure functions, any thread.
 */
#ifndef VMQ_RSS_WORDS_H
#define VMQ_RSS_WORDS_H

#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

/* Names of the hash types, in the order of their bits: "ipv4", "tcp4", … */
struct rss_type {
	const char *name;	/* NULL ends the table */
	uint16_t    bit;
};
extern const struct rss_type rss_types[];
#define RSS_TYPES_ALL	0x1ff

/* One word of a list: a type's name, "all" or "none". 0 or -EINVAL. */
int rss_parse_type(const char *word, uint16_t *bits, struct vmq_err *err);

/* 80 hexadecimal digits. -EMSGSIZE: another length (H-2); -EINVAL: no digit. */
int rss_parse_key(const char *word, uint8_t key[VMQ_RSS_KEY_LEN], struct vmq_err *err);
#define RSS_KEY_STRLEN	(2 * VMQ_RSS_KEY_LEN + 1)
const char *rss_format_key(const uint8_t key[VMQ_RSS_KEY_LEN], char out[RSS_KEY_STRLEN]);

/* A key nobody outside can guess: a sender could pile his flows on one CPU. */
int rss_random_key(uint8_t key[VMQ_RSS_KEY_LEN], struct vmq_err *err);

#endif /* VMQ_RSS_WORDS_H */
