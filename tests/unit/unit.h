/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unit.h - TAP for test programs in C
 *
 * Every check is one TAP line on stdout, flushed at once; the plan comes last,
 * so that a test need not count. Use:
 *
 *	int main(void)
 *	{
 *		ok(mac_parse("52:54:00:00:00:01", mac) == 0, "a MAC is parsed");
 *		is_int(vlan, 100, "VLAN %d", vlan);
 *		if (!have_bpf)
 *			skip("no BPF here", "F-4 MAC + flag accepts untagged");
 *		return unit_done();
 *	}
 *
 * A title that shows a behaviour of the specification begins with its id. A
 * program that dies early (abort, SIGSEGV, sanitizer) has no plan: the signal
 * handler says after which check, and scripts/check counts it as a failure.
 */
#ifndef VMQ_UNIT_H
#define VMQ_UNIT_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	int  count;
	int  failed;
	char last[256];		/* title of the last check, for the signal handler */
	bool armed;
	const char *note;	/* behind every title, for checks that are made twice */
} unit;

/* Only async-signal-safe calls: the heap or stdio may be what broke. */
static inline void unit_crashed(int sig)
{
	static const char head[] = "\nBail out! died of a signal after: ";

	if (write(STDOUT_FILENO, head, sizeof(head) - 1) < 0 ||
	    write(STDOUT_FILENO, unit.last, strnlen(unit.last, sizeof(unit.last))) < 0 ||
	    write(STDOUT_FILENO, "\n", 1) < 0)
		_exit(1);
	signal(sig, SIG_DFL);
	raise(sig);
}

static inline void unit_arm(void)
{
	if (unit.armed)
		return;
	unit.armed = true;
	signal(SIGABRT, unit_crashed);
#ifndef __SANITIZE_ADDRESS__	/* ASan's own report says more */
	signal(SIGSEGV, unit_crashed);
	signal(SIGBUS, unit_crashed);
	signal(SIGFPE, unit_crashed);
#endif
}

static inline void unit_vline(bool good, const char *skip_why, const char *fmt, va_list ap)
{
	int n = vsnprintf(unit.last, sizeof(unit.last), fmt, ap);

	unit_arm();
	if (unit.note && n >= 0 && n < (int)sizeof(unit.last))
		snprintf(unit.last + n, sizeof(unit.last) - (size_t)n, " (%s)", unit.note);
	for (char *p = unit.last; *p; p++) {
		/* "#" begins a directive, a newline a new line */
		if (*p == '#' || *p == '\n')
			*p = ' ';
	}
	printf("%sok %d - %s%s%s\n", good ? "" : "not ", ++unit.count, unit.last,
	       skip_why ? " # SKIP " : "", skip_why ? skip_why : "");
	fflush(stdout);
	if (!good)
		unit.failed++;
}

static inline __attribute__((format(printf, 4, 5)))
bool unit_ok(bool good, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	unit_vline(good, NULL, fmt, ap);
	va_end(ap);
	if (!good) {
		printf("# %s:%d\n", file, line);
		fflush(stdout);
	}
	return good;
}

static inline __attribute__((format(printf, 2, 3)))
void unit_skip(const char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	unit_vline(true, why, fmt, ap);
	va_end(ap);
}

/* A line of explanation below a check. */
static inline __attribute__((format(printf, 1, 2)))
void diag(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ok(condition, title, ...): one check. Its value is the condition. */
#define ok(cond, ...) unit_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)

/* skip(why, title, ...): a check that cannot be made here. */
#define skip(why, ...) unit_skip(why, __VA_ARGS__)

/* is_int(got, expected, title, ...) and is_str(): say what they got instead. */
#define is_int(got, want, ...) ({						\
	long long got_ = (long long)(got), want_ = (long long)(want);		\
	bool good_ = unit_ok(got_ == want_, __FILE__, __LINE__, __VA_ARGS__);	\
	if (!good_)								\
		diag("got %lld (0x%llx), expected %lld (0x%llx)", got_,		\
		     (unsigned long long)got_, want_, (unsigned long long)want_); \
	good_;									\
})

#define is_str(got, want, ...) ({						\
	const char *got_ = (got), *want_ = (want);				\
	bool good_ = unit_ok(got_ && want_ ? !strcmp(got_, want_) : got_ == want_, \
			     __FILE__, __LINE__, __VA_ARGS__);			\
	if (!good_)								\
		diag("got \"%s\", expected \"%s\"", got_ ? got_ : "(null)",	\
		     want_ ? want_ : "(null)");					\
	good_;									\
})

/* How many descriptors are open, one more than without the call. */
static inline int unit_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* Last: prints the plan. Return: exit status for main(). */
static inline int unit_done(void)
{
	printf("1..%d\n", unit.count);
	fflush(stdout);
	if (unit.failed)
		fprintf(stderr, "# %d of %d failed\n", unit.failed, unit.count);
	return unit.failed ? 1 : 0;
}

#endif /* VMQ_UNIT_H */
