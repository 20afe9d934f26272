/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mem_guard.h - touch memory that another process can take away
 *
 * A guest's memory is a file that its owner can truncate at any time; touching
 * a page behind the new end raises SIGBUS. Code that reads or writes such memory
 * runs inside mem_guard(): a fault there ends the function and nothing else.
 *
 * @fn must not hold a lock it took itself, allocate, or leave anything behind
 * that needs cleaning up: it can end at any access to guest memory. What it
 * stored through pointers before the fault stays stored.
 */
#ifndef VMQ_MEM_GUARD_H
#define VMQ_MEM_GUARD_H

#include "common/err.h"

/* Install the handler of SIGBUS; once per process is enough. 0 or -errno. */
int mem_guard_init(struct vmq_err *err);

/* Return: what @fn returned, or -EFAULT if a page was missing. Any thread. */
int mem_guard(int (*fn)(void *arg), void *arg);

#endif /* VMQ_MEM_GUARD_H */
