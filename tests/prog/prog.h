/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * prog.h - what the test tools that take options and end by a signal share
 *
 * Included once by a program, before its `struct options` is used: O() and F() are
 * rows of its option table, `stop` is set by on_signal().
 */
#ifndef VMQ_TEST_PROG_H
#define VMQ_TEST_PROG_H

#include <signal.h>
#include <stddef.h>

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

#endif /* VMQ_TEST_PROG_H */
