/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * parse.h - the words users write: MAC addresses, VLAN rules, CPU lists
 *
 * Pure functions, any thread. Each returns 0, or -EINVAL with a sentence that
 * names the bad word and what would be right.
 */
#ifndef VMQ_PARSE_H
#define VMQ_PARSE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

int hex_digit(char c);	/* its value, or -1 */

/* "52:54:00:00:00:01". Group addresses and all-zero are refused. */
int parse_mac(const char *word, uint8_t mac[6], struct vmq_err *err);
#define MAC_STRLEN 18
const char *format_mac(const uint8_t mac[6], char out[MAC_STRLEN]);
uint64_t mac_to_u48(const uint8_t mac[6]);	/* first byte is the highest */

/* "untagged", "any" or 1 ... 4094 -> VMQ_RULE_… (vmq/abi.h). */
int parse_rule(const char *word, uint16_t *rule, struct vmq_err *err);
#define RULE_STRLEN 9
const char *format_rule(uint16_t rule, char out[RULE_STRLEN]);

/*
 * "0-3,5": CPUs of the list in the order written, each once. A CPU that the
 * machine does not have online is refused.
 * Return: how many, 1 ... max; or -EINVAL.
 */
int parse_cpus(const char *word, uint16_t *cpu, int max, struct vmq_err *err);

/*
 * The kernel's lists of CPUs ("0-3,8"): "online", "isolated", … below CPU_LIST_DIR. An
 * empty one is "", or "(null)" if the kernel was built without what it tells about.
 * Return: 0, or -errno.
 */
#define CPU_LIST_DIR	"/sys/devices/system/cpu/"
#define CPU_LIST_LEN	4097	/* sysfs files have at most a page */
int cpu_list_read(const char *name, char list[CPU_LIST_LEN]);
bool cpu_list_has(const char *list, uint64_t cpu);

/* The item "N" or "N-M" at *@at; *@at moves behind it and its comma. False: it is neither. */
bool cpu_list_next(const char **at, uint64_t *first, uint64_t *last);

/* Decimal or 0x number in [min, max]; @what names it in the sentence. */
int parse_number(const char *word, const char *what, uint64_t min, uint64_t max,
		 uint64_t *out, struct vmq_err *err);

/* Queue and service names: [A-Za-z0-9][A-Za-z0-9._-]*, shorter than @size. */
int parse_name(const char *word, const char *what, size_t size, struct vmq_err *err);

#endif /* VMQ_PARSE_H */
