/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * err.h - an error that keeps its sentence
 *
 * Functions that can fail in a way a user must understand take a
 * `struct vmq_err *` as their last argument, return a negative errno and leave
 * the sentence in it. The sentence is made where the knowledge is: what went
 * wrong, why, and what to do, the kernel's own extack text included. On success
 * the error is not touched. The caller owns the memory; no thread but the
 * caller's may use it. A null pointer is allowed: the sentence is then lost.
 */
#ifndef VMQ_ERR_H
#define VMQ_ERR_H

#include <stddef.h>

struct vmq_err {
	int  code;		/* negative errno */
	char text[512];		/* one sentence, no final newline */
};

#define VMQ_ERR_INIT { .code = 0, .text = "" }

/**
 * vmq_err() - set an error and return its code
 * @err: error to fill, or NULL
 * @code: negative errno
 * @fmt: printf format of the sentence
 *
 * Return: @code, so that a function can end with `return vmq_err(...)`.
 */
int vmq_err(struct vmq_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same, with ": strerror(-code)" appended. */
int vmq_err_sys(struct vmq_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "prefix: " in front of the sentence that is there; returns err->code. */
int vmq_err_prefix(struct vmq_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * One table for both programs and the protocol: errno -> symbol, exit code.
 * Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused in this
 * state, 5 no resources.
 */
const char *vmq_err_name(int code);		/* "ENOENT"; "EIO" if unknown */
int vmq_err_from_name(const char *name);	/* negative errno, or -EIO */
int vmq_err_exit(int code);			/* exit code of a negative errno */

#endif /* VMQ_ERR_H */
