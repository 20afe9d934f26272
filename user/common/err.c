// SPDX-License-Identifier: GPL-2.0-only
/*
 * err.c - an error that keeps its sentence
 *
 * A negative errno alone loses what a user needs: which thing, why, what to do.
 * So the sentence travels beside it, and one table maps the number to the
 * symbol of the protocol and to the exit code of both programs.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/util.h"

/* Exit codes: 1 failed, 2 usage, 3 not found, 4 refused in this state, 5 no resources. */
static const struct {
	int code;
	const char *name;
	int exit;
} codes[] = {
	{ 0, "OK", 0 },
	{ EINVAL, "EINVAL", 2 },
	{ ERANGE, "ERANGE", 2 },
	{ EMSGSIZE, "EMSGSIZE", 2 },
	{ ENAMETOOLONG, "ENAMETOOLONG", 2 },
	{ ENOENT, "ENOENT", 3 },
	{ ENODEV, "ENODEV", 3 },
	{ ENXIO, "ENXIO", 3 },
	{ ESRCH, "ESRCH", 3 },
	{ EBADFD, "EBADFD", 4 },
	{ EBUSY, "EBUSY", 4 },
	{ EEXIST, "EEXIST", 4 },
	{ EADDRINUSE, "EADDRINUSE", 4 },
	{ ECANCELED, "ECANCELED", 4 },
	{ EINPROGRESS, "EINPROGRESS", 4 },
	{ ENETDOWN, "ENETDOWN", 4 },
	{ ENOBUFS, "ENOBUFS", 5 },
	{ ENOSPC, "ENOSPC", 5 },
	{ ENOMEM, "ENOMEM", 5 },
	{ EMFILE, "EMFILE", 5 },
	{ ENFILE, "ENFILE", 5 },
	{ EIO, "EIO", 1 },
	{ EPERM, "EPERM", 1 },
	{ EACCES, "EACCES", 1 },
	{ EOPNOTSUPP, "EOPNOTSUPP", 1 },
	{ EPROTO, "EPROTO", 1 },
	{ ECONNREFUSED, "ECONNREFUSED", 1 },
	{ ECONNRESET, "ECONNRESET", 1 },
	{ ETIMEDOUT, "ETIMEDOUT", 1 },
	{ EAGAIN, "EAGAIN", 1 },
	{ EFAULT, "EFAULT", 1 },
	{ E2BIG, "E2BIG", 1 },
	{ ENOTDIR, "ENOTDIR", 1 },
	};

int vmq_err(struct vmq_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	err->code = code;
	return code;
}

/**
 * vmq_err_sys() - set an error whose cause is the system's
 * @err: error to fill, or NULL
 * @code: negative errno
 * @fmt: printf format of what was tried; ": strerror" follows it
 *
 * Return: @code.
 */
int vmq_err_sys(struct vmq_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	size_t n;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	/* Any thread may be here: glibc's strerror() is thread-safe since 2.32. */
	snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(-code));
	err->code = code;
	return code;
}

/**
 * vmq_err_prefix() - say in front of a sentence what it is about
 * @err: error that is set, or NULL
 * @fmt: printf format of the prefix; ": " follows it
 *
 * Return: the error's code; 0 for NULL.
 */
int vmq_err_prefix(struct vmq_err *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;
	size_t n;

	if (!err)
		return 0;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	n = strlen(err->text);
	snprintf(err->text + n, sizeof(err->text) - n, ": %.*s", (int)sizeof(old) - 1, old);
	return err->code;
}

const char *vmq_err_name(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == -code)
			return codes[i].name;
	return "EIO";
}

int vmq_err_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i].name, name))
			return -codes[i].code;
	return -EIO;
}

int vmq_err_exit(int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (codes[i].code == -code)
			return codes[i].exit;
	return 1;
}
