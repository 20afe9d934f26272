/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * opts.h - command-line options as a table
 *
 * One table of `struct opt` feeds the parser, --help and the man page, so none
 * of them can lie about the others. Values land as strings (or true) in the
 * caller's struct at `offset`; the words themselves are checked by the caller
 * (parse.h), which knows what they mean.
 */
#ifndef VMQ_OPTS_H
#define VMQ_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/err.h"

enum opt_type {
	OPT_FLAG,	/* bool */
	OPT_STRING,	/* const char * into argv */
};

struct opt {
	const char   *name;	/* long name without "--"; NULL ends the table */
	char	      letter;	/* short name, or 0 */
	enum opt_type type;
	const char   *arg;	/* name of the argument in help; NULL for flags */
	size_t	      offset;	/* of the value in the caller's struct */
	const char   *help;	/* one line, lower case, no full stop */
};

/**
 * opts_parse() - take options out of argv
 * @table: options, ended by a NULL name
 * @into: struct that the offsets refer to
 * @argc: argument count; on return that of the words left
 * @argv: arguments (argv[0] is not looked at); on return the words that are no
 *        options, in order. "--" ends the options.
 * @err: sentence
 *
 * Return: 0, or -EINVAL ("unknown option --foo; see --help").
 */
int opts_parse(const struct opt *table, void *into, int *argc, char **argv,
	       struct vmq_err *err);

void opts_help(const struct opt *table, FILE *out);

#endif /* VMQ_OPTS_H */
