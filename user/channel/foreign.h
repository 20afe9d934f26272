/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * foreign.h - close what others have opened, and never wait for them
 *
 * See foreign.c. All of a channel's that are under way have one counter, which
 * outlives the channel if it must.
 */
#ifndef VMQ_FOREIGN_H
#define VMQ_FOREIGN_H

#include <stdbool.h>

struct foreign;

struct foreign *foreign_new(void);	/* NULL: no memory */
void foreign_put(struct foreign *f);	/* the channel goes; NULL is fine */

/* Close descriptors. Return: false: one of them was neither an eventfd nor memory. */
bool foreign_close(struct foreign *f, const int *fds, int n);

/* Close a connection, with the descriptors that it may still hold. */
void foreign_close_socket(struct foreign *f, int fd);

/* So many cannot be closed that no more should be taken. */
bool foreign_stuck(const struct foreign *f);

/* Neither asks the file itself, which could take for ever. */
bool foreign_is_eventfd(int fd);
bool foreign_is_memory(int fd);		/* memfd, tmpfs, hugetlbfs */

#endif /* VMQ_FOREIGN_H */
