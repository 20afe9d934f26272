/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * closer.h - close AF_XDP sockets, and let nobody wait for each
 *
 * The last close of a bound AF_XDP socket waits for a grace period (xsk_release()
 * -> xsk_unbind_dev() -> synchronize_net(), net/xdp/xsk.c; 10 to 25 ms here). The
 * control thread must not stand still for that, and 2,048 of them one after another
 * take half a minute. Grace periods that several threads wait for at the same time
 * are one: so threads do the closing, and end when there is nothing left.
 *
 * A `closing` is a set of sockets whose end somebody wants to know of: begin, any
 * number of adds, end; `done` runs in closer_dispatch() when all are closed. Its
 * memory is the caller's and must live until then. Control thread only.
 */
#ifndef VMQ_CLOSER_H
#define VMQ_CLOSER_H

#include <stdint.h>

struct closer;

struct closing {
	void (*done)(struct closing *c);
	struct closing *next;	/* closer.c's, as what follows */
	uint32_t pending;
};

/* @event_fd: an eventfd that is signalled when closer_dispatch() has something to do. */
struct closer *closer_open(int event_fd);	/* NULL without memory */
void closer_close(struct closer *c);	/* returns when all are closed; NULL is allowed */
void closer_dispatch(struct closer *c);

void closer_begin(struct closing *of);
/* @fd is the closer's from now on. @of may be NULL. */
void closer_add(struct closer *c, int fd, struct closing *of);
void closer_end(struct closer *c, struct closing *of);

#endif /* VMQ_CLOSER_H */
