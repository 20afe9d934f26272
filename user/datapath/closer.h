/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * closer.h - close many AF_XDP sockets at the price of a few
 *
 * The last close of a bound AF_XDP socket waits for a grace period (xsk_release()
 * -> xsk_unbind_dev() -> synchronize_net(), net/xdp/xsk.c; 10 to 25 ms here). One
 * after another 2,048 of them take half a minute. Grace periods that several
 * threads wait for at the same time are one, so at the end of the data path
 * threads do the closing. Control thread only.
 */
#ifndef VMQ_CLOSER_H
#define VMQ_CLOSER_H

struct closer;

struct closer *closer_open(void);	/* NULL without memory */
/* @fd is the closer's from now on. Closed here and now where no thread can be had. */
void closer_add(struct closer *c, int fd);
void closer_close(struct closer *c);	/* returns when all are closed; NULL is allowed */

#endif /* VMQ_CLOSER_H */
