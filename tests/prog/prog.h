/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * prog.h - what the test tools that take options and end by a signal share
 *
 * Included once by a program, before its `struct options` is used: O() and F() are
 * rows of its option table, `stop` is set by on_signal(), prog_status() tells of bad options.
 */
#ifndef VMQ_TEST_PROG_H
#define VMQ_TEST_PROG_H

#include <signal.h>
#include <stddef.h>
#include <stdio.h>

#include "common/opts.h"

#define O(name, letter, arg, field, help) \
	{ name, letter, OPT_STRING, arg, offsetof(struct options, field), help }
#define F(name, letter, field, help) \
	{ name, letter, OPT_FLAG, NULL, offsetof(struct options, field), help }

static volatile sig_atomic_t stop;

static inline void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/*
 * After opts_parse(), which left @argc words and perhaps a sentence in @err: the exit
 * status of a tool that was asked for @help, or lacks the options @missing (NULL: none);
 * -1: it goes on.
 */
static inline int prog_status(const char *name, const struct opt *table, int argc,
			      const struct vmq_err *err, bool help, const char *missing)
{
	if (!err->text[0] && help) {
		opts_help(table, stdout);
		return 0;
	}
	if (!err->text[0] && !missing && argc <= 1)
		return -1;
	if (err->text[0])
		fprintf(stderr, "%s: %s\n", name, err->text);
	else
		fprintf(stderr, "%s: %s; see --help\n", name,
			missing ? missing : "it takes options only");
	return 2;
}

#endif /* VMQ_TEST_PROG_H */
