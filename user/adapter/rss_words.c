// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_words.c - hash types and keys as users write them
 */
#include "adapter/rss_words.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/parse.h"

const struct rss_type rss_types[] = {
	{ "ipv4", VMQ_HASH_IPV4 },
	{ "tcp4", VMQ_HASH_TCP_IPV4 },
	{ "ipv6", VMQ_HASH_IPV6 },
	{ "ipv6ex", VMQ_HASH_IPV6_EX },
	{ "tcp6", VMQ_HASH_TCP_IPV6 },
	{ "tcp6ex", VMQ_HASH_TCP_IPV6_EX },
	{ "udp4", VMQ_HASH_UDP_IPV4 },
	{ "udp6", VMQ_HASH_UDP_IPV6 },
	{ "udp6ex", VMQ_HASH_UDP_IPV6_EX },
	{ NULL, 0 },
};

int rss_parse_type(const char *word, uint16_t *bits, struct vmq_err *err)
{
	char list[128] = "all, none";
	const struct rss_type *t;

	if (!strcmp(word, "all") || !strcmp(word, "none")) {
		*bits = *word == 'a' ? RSS_TYPES_ALL : 0;
		return 0;
	}
	for (t = rss_types; t->name; t++) {
		if (!strcmp(word, t->name)) {
			*bits = t->bit;
			return 0;
		}
		snprintf(list + strlen(list), sizeof(list) - strlen(list), ", %s", t->name);
	}
	return vmq_err(err, -EINVAL, "there is no hash type '%.20s'; there are %s", word, list);
}

int rss_parse_key(const char *word, uint8_t key[VMQ_RSS_KEY_LEN], struct vmq_err *err)
{
	size_t i, len = strlen(word);

	if (len != 2 * VMQ_RSS_KEY_LEN)
		return vmq_err(err, -EMSGSIZE, "a key is %d bytes, %d hexadecimal digits; this one "
			       "has %zu", VMQ_RSS_KEY_LEN, 2 * VMQ_RSS_KEY_LEN, len);
	for (i = 0; i < VMQ_RSS_KEY_LEN; i++) {
		int high = hex_digit(word[2 * i]), low = hex_digit(word[2 * i + 1]);

		if (high < 0 || low < 0)
			return vmq_err(err, -EINVAL, "'%.2s' in the key is not hexadecimal",
				       word + 2 * i);
		key[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

const char *rss_format_key(const uint8_t key[VMQ_RSS_KEY_LEN], char out[RSS_KEY_STRLEN])
{
	int i;

	for (i = 0; i < VMQ_RSS_KEY_LEN; i++)
		snprintf(out + 2 * (size_t)i, 3, "%02x", key[i]);
	return out;
}

int rss_random_key(uint8_t key[VMQ_RSS_KEY_LEN], struct vmq_err *err)
{
	if (getrandom(key, VMQ_RSS_KEY_LEN, 0) == VMQ_RSS_KEY_LEN)
		return 0;
	return vmq_err_sys(err, -errno, "cannot make a random key");
}
