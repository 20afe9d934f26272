// SPDX-License-Identifier: GPL-2.0-only
/*
 * opts.c - command-line options as a table
 *
 * getopt_long(3) would want the same facts in two more forms (a letter string
 * and an array), keeps its state in globals and prints its own messages. A walk
 * over our own table is shorter than that translation, and the sentences are ours.
 *
 * Understood: --name, --name VALUE, --name=VALUE, -l, -l VALUE, -lVALUE, and
 * several flag letters in one word (-jv).
 */
#include <errno.h>
#include <string.h>

#include "common/opts.h"

static const struct opt *find_name(const struct opt *table, const char *name, size_t len)
{
	for (const struct opt *o = table; o->name; o++)
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	return NULL;
}

static const struct opt *find_letter(const struct opt *table, char letter)
{
	for (const struct opt *o = table; o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static void set_flag(void *into, const struct opt *o)
{
	*(bool *)((char *)into + o->offset) = true;
}

static void set_string(void *into, const struct opt *o, const char *value)
{
	*(const char **)((char *)into + o->offset) = value;
}

/* "--name", "--name=VALUE" or "--name" "VALUE": how many words it took, or -EINVAL. */
static int parse_long(const struct opt *table, void *into, const char *word, const char *next,
		      struct vmq_err *err)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	const struct opt *o = find_name(table, name, len);

	if (!o)
		return vmq_err(err, -EINVAL, "unknown option --%.*s; see --help", (int)len, name);
	if (o->type == OPT_FLAG) {
		if (equals)
			return vmq_err(err, -EINVAL, "option --%s takes no value", o->name);
		set_flag(into, o);
		return 1;
	}
	if (!equals && !next)
		return vmq_err(err, -EINVAL, "option --%s needs a value: --%s %s", o->name,
			       o->name, o->arg);
	set_string(into, o, equals ? equals + 1 : next);
	return equals ? 1 : 2;
}

/* "-abc" or "-lVALUE" or "-l" "VALUE": how many words it took, or -EINVAL. */
static int parse_letters(const struct opt *table, void *into, const char *word, const char *next,
			 struct vmq_err *err)
{
	for (const char *c = word + 1; *c; c++) {
		const struct opt *o = find_letter(table, *c);

		if (!o)
			return vmq_err(err, -EINVAL, "unknown option -%c; see --help", *c);
		if (o->type == OPT_FLAG) {
			set_flag(into, o);
			continue;
		}
		if (c[1]) {
			set_string(into, o, c + 1);
			return 1;
		}
		if (!next)
			return vmq_err(err, -EINVAL, "option -%c needs a value: -%c %s",
				       o->letter, o->letter, o->arg);
		set_string(into, o, next);
		return 2;
	}
	return 1;
}

int opts_parse(const struct opt *table, void *into, int *argc, char **argv, struct vmq_err *err)
{
	int in = 1, out = 1;

	while (in < *argc) {
		char *word = argv[in], *next = in + 1 < *argc ? argv[in + 1] : NULL;
		int taken;

		if (!strcmp(word, "--")) {
			in++;
			break;
		}
		if (word[0] != '-' || !word[1]) {	/* "-" alone is a word */
			argv[out++] = word;
			in++;
			continue;
		}
		if (word[1] == '-')
			taken = parse_long(table, into, word, next, err);
		else
			taken = parse_letters(table, into, word, next, err);
		if (taken < 0)
			return taken;
		in += taken;
	}
	while (in < *argc)
		argv[out++] = argv[in++];
	if (out < *argc)
		argv[out] = NULL;
	*argc = out;
	return 0;
}

/**
 * opts_help() - print the table, one option a line
 * @table: options
 * @out: stream
 */
void opts_help(const struct opt *table, FILE *out)
{
	for (const struct opt *o = table; o->name; o++) {
		char left[64], letter[5] = "    ";

		if (o->letter)
			snprintf(letter, sizeof(letter), "-%c, ", o->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		fprintf(out, "  %-30s %s\n", left, o->help);
	}
}
