// SPDX-License-Identifier: GPL-2.0-only
/*
 * parse.c - the words users write: MAC addresses, VLAN rules, CPU lists
 *
 * Strict on purpose: what is not exactly right is refused with a sentence that
 * names the word and what would be right. strtoul(3) alone would take " 7",
 * "+7" and "-1", and sscanf(3) would take "52:54:0:0:0:1junk".
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "vmq/abi.h"

int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int parse_mac(const char *word, uint8_t mac[6], struct vmq_err *err)
{
	uint8_t m[6];

	for (int i = 0; i < 6; i++) {
		int hi = hex_digit(word[3 * i]);
		int lo = hi < 0 ? -1 : hex_digit(word[3 * i + 1]);

		if (lo < 0 || word[3 * i + 2] != (i < 5 ? ':' : '\0'))
			return vmq_err(err, -EINVAL,
				       "'%.40s' is no MAC address; write it like 52:54:00:00:00:01",
				       word);
		m[i] = (uint8_t)(hi << 4 | lo);
	}
	if (m[0] & 1)
		return vmq_err(err, -EINVAL,
			       "%s is a multicast address; a filter takes the unicast address of "
			       "a VM", word);
	if (!mac_to_u48(m))
		return vmq_err(err, -EINVAL, "%s is not the address of any VM", word);
	memcpy(mac, m, 6);
	return 0;
}

const char *format_mac(const uint8_t mac[6], char out[MAC_STRLEN])
{
	snprintf(out, MAC_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return out;
}

uint64_t mac_to_u48(const uint8_t mac[6])
{
	uint64_t v = 0;

	for (int i = 0; i < 6; i++)
		v = v << 8 | mac[i];
	return v;
}

/* Digits only ("0x" and hex digits if @hex): no sign, no space, no overflow. */
static bool to_number(const char *word, size_t len, bool hex, uint64_t *out)
{
	unsigned int base = 10;
	uint64_t v = 0;

	if (hex && len > 2 && word[0] == '0' && (word[1] | 0x20) == 'x') {
		base = 16;
		word += 2;
		len -= 2;
	}
	if (!len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int d = hex_digit(word[i]);

		if (d < 0 || (unsigned int)d >= base)
			return false;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, d, &v))
			return false;
	}
	*out = v;
	return true;
}

int parse_rule(const char *word, uint16_t *rule, struct vmq_err *err)
{
	uint64_t v;

	if (!strcmp(word, "untagged")) {
		*rule = VMQ_RULE_UNTAGGED;
		return 0;
	}
	if (!strcmp(word, "any")) {
		*rule = VMQ_RULE_ANY;
		return 0;
	}
	if (!to_number(word, strlen(word), false, &v) || v < VMQ_RULE_VLAN_MIN ||
	    v > VMQ_RULE_VLAN_MAX)
		return vmq_err(err, -EINVAL,
			       "'%.40s' is no VLAN; use %d to %d, 'untagged' (also takes VLAN 0) "
			       "or 'any'", word, VMQ_RULE_VLAN_MIN, VMQ_RULE_VLAN_MAX);
	*rule = (uint16_t)v;
	return 0;
}

const char *format_rule(uint16_t rule, char out[RULE_STRLEN])
{
	if (rule == VMQ_RULE_UNTAGGED)
		snprintf(out, RULE_STRLEN, "untagged");
	else if (rule == VMQ_RULE_ANY)
		snprintf(out, RULE_STRLEN, "any");
	else
		snprintf(out, RULE_STRLEN, "%u", rule);
	return out;
}

int cpu_list_read(const char *name, char list[CPU_LIST_LEN])
{
	char path[64];
	int rc = 0;
	FILE *f;

	snprintf(path, sizeof(path), CPU_LIST_DIR "%s", name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (!fgets(list, CPU_LIST_LEN, f) || !strchr(list, '\n'))
		rc = -EIO;
	else
		list[strcspn(list, "\n")] = '\0';
	fclose(f);
	return rc;
}

bool cpu_list_next(const char **at, uint64_t *first, uint64_t *last)
{
	size_t len = strcspn(*at, ",");
	const char *dash = memchr(*at, '-', len);
	size_t head = dash ? (size_t)(dash - *at) : len;

	if (!to_number(*at, head, false, first))
		return false;
	*last = *first;
	if (dash && !to_number(dash + 1, len - head - 1, false, last))
		return false;
	if (*last < *first)
		return false;
	*at += len;
	if (**at == ',' && !*++*at)	/* nothing behind the comma */
		return false;
	return true;
}

bool cpu_list_has(const char *list, uint64_t cpu)
{
	uint64_t first, last;

	while (*list && cpu_list_next(&list, &first, &last))
		if (cpu >= first && cpu <= last)
			return true;
	return false;
}

static bool has_cpu(const uint16_t *cpu, int n, uint64_t c)
{
	for (int i = 0; i < n; i++)
		if (cpu[i] == c)
			return true;
	return false;
}

int parse_cpus(const char *word, uint16_t *cpu, int max, struct vmq_err *err)
{
	const char *at = word;
	uint64_t first, last;
	char online[CPU_LIST_LEN];
	int n = 0;

	if (cpu_list_read("online", online))
		snprintf(online, sizeof(online), "0");	/* every machine has that one */
	do {
		if (!cpu_list_next(&at, &first, &last))
			return vmq_err(err, -EINVAL, "'%.40s' is no CPU list; write it like 0-3,5",
				       word);
		for (uint64_t c = first; c <= last; c++) {
			if (c > UINT16_MAX || !cpu_list_has(online, c))
				return vmq_err(err, -EINVAL,
					       "CPU %llu does not exist or is offline; online are "
					       "%s", (unsigned long long)c, online);
			if (has_cpu(cpu, n, c))
				continue;
			if (n == max)
				return vmq_err(err, -EINVAL,
					       "'%.40s' names more than %d CPU%s", word, max,
					       max == 1 ? "" : "s");
			cpu[n++] = (uint16_t)c;
		}
	} while (*at);
	return n;
}

int parse_number(const char *word, const char *what, uint64_t min, uint64_t max, uint64_t *out,
		 struct vmq_err *err)
{
	uint64_t v;

	if (!to_number(word, strlen(word), true, &v))
		return vmq_err(err, -EINVAL, "%s '%.40s' is no number; use %llu to %llu", what,
			       word, (unsigned long long)min, (unsigned long long)max);
	if (v < min || v > max)
		return vmq_err(err, -EINVAL, "%s %.40s is out of range; use %llu to %llu", what,
			       word, (unsigned long long)min, (unsigned long long)max);
	*out = v;
	return 0;
}

int parse_name(const char *word, const char *what, size_t size, struct vmq_err *err)
{
	if (!isascii(word[0]) || !isalnum(word[0]))
		return vmq_err(err, -EINVAL, "%s '%.40s' must begin with a letter or a digit", what,
			       word);
	for (const char *c = word; *c; c++)
		if (!isascii(*c) || (!isalnum(*c) && !strchr("._-", *c)))
			return vmq_err(err, -EINVAL,
				       "%s '%.40s' may hold letters, digits, '.', '_' and '-' only",
				       what, word);
	if (strlen(word) >= size)
		return vmq_err(err, -EINVAL, "%s '%.40s' is longer than %zu characters", what, word,
			       size - 1);
	return 0;
}
