// SPDX-License-Identifier: GPL-2.0-only
/*
 * log.c - one line on stderr
 *
 * A line is put together on the stack and written with one write(2), so lines of
 * several threads never mix and no lock is needed. systemd sets JOURNAL_STREAM
 * for services whose stderr is the journal (systemd.exec(5)); it takes "<N>" at
 * the start of a line as its priority.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"

static const struct {
	int priority;		/* of syslog(3) */
	const char *word;	/* in front of the text */
} levels[] = {
	[LOG_LEVEL_ERR] = { 3, "error: " },
	[LOG_LEVEL_WARN] = { 4, "warning: " },
	[LOG_LEVEL_INFO] = { 6, "" },
	[LOG_LEVEL_DEBUG] = { 7, "debug: " },
};

static const char *log_program = "vmq";
static bool log_debug_on;
static bool log_journal;

/**
 * log_init() - say who logs
 * @program: name in front of each line; the string must outlive the program
 * @verbose: keep debug lines
 *
 * To be called before the first thread is made.
 */
void log_init(const char *program, bool verbose)
{
	log_program = program;
	log_debug_on = verbose;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

bool log_verbose(void)
{
	return log_debug_on;
}

/**
 * log_line() - write one line; errno is left as it was
 * @level: debug lines are dropped unless verbose
 * @fmt: printf format, without newline
 */
void log_line(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	size_t len = 0, off = 0;
	int saved = errno;
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !log_debug_on)
		return;

	/* One byte is kept for the newline; a longer text is cut. */
	if (log_journal)
		len = (size_t)snprintf(line, sizeof(line), "<%d>", levels[level].priority);
	len += (size_t)snprintf(line + len, sizeof(line) - len, "%.64s: %s", log_program,
				levels[level].word);
	errno = saved;		/* for %m */
	va_start(ap, fmt);
	vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
	va_end(ap);

	/*
	 * One line means one line, and words that came from a peer must not steer
	 * the administrator's terminal.
	 */
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	line[len++] = '\n';

	while (off < len) {
		ssize_t n = write(STDERR_FILENO, line + off, len - off);

		if (n > 0)
			off += (size_t)n;
		else if (n < 0 && errno != EINTR)
			break;	/* nobody is left to be told */
	}
	errno = saved;
}
