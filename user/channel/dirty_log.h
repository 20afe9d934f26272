/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dirty_log.h - which pages of a guest we have written
 *
 * While a guest migrates its front end copies its memory and must learn of
 * every page that changes behind its back: one bit per 4 KiB of guest-physical
 * memory in a bitmap that it shares with us (VHOST_F_LOG_ALL). The bitmap is as
 * untrusted as guest memory: dirty_log_mark() runs inside mem_guard().
 */
#ifndef VMQ_DIRTY_LOG_H
#define VMQ_DIRTY_LOG_H

#include <stddef.h>
#include <stdint.h>

#define DIRTY_LOG_SHIFT	12	/* VHOST_LOG_PAGE: 4 KiB whatever the page size */

struct dirty_log {
	uint8_t	*bits;		/* NULL: none was given */
	uint64_t size;		/* bytes */
	void	*map;
	size_t	 map_len;
};

/*
 * Mark @len bytes at @gpa. Call it after the write: the front end clears a bit
 * first and copies the page then. Pages that the bitmap has no bit for are left
 * out, as the front end sized it for all memory it will copy.
 */
static inline void dirty_log_mark(const struct dirty_log *log, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa >> DIRTY_LOG_SHIFT, last;

	if (!len || !log->bits)
		return;
	last = (gpa + len - 1) >> DIRTY_LOG_SHIFT;
	for (; page <= last && page / 8 < log->size; page++)
		__atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << page % 8),
				  __ATOMIC_RELEASE);
}

#endif /* VMQ_DIRTY_LOG_H */
