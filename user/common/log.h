/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * log.h - one line on stderr
 *
 * Any thread may log; a line is written with one write(2), so lines never mix.
 * Under systemd (JOURNAL_STREAM set) a "<N>" priority prefix is put in front.
 * Without -v debug lines are dropped.
 */
#ifndef VMQ_LOG_H
#define VMQ_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_init(const char *program, bool verbose);
bool log_verbose(void);
void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...)	log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif /* VMQ_LOG_H */
