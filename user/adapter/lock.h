/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lock.h - one service per name (adapter's own)
 *
 * RUNDIR/NAME.lock is locked as long as the service lives; the kernel lets go
 * of it however the service ends. The file says who holds it, and what has to
 * be put back on the device by whoever comes after a crash:
 *
 *   1234				pid
 *   rx-vlan-offload 0x1		NETDEV_RX_VLAN_… that were switched off
 */
#ifndef VMQ_LOCK_H
#define VMQ_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

struct service_lock {
	int fd;
	char path[256];
	bool found;		/* the file was there: a service died, or is kept */
	uint32_t rx_vlan;	/* to be put back; lock_write() after a change */
};

#define SERVICE_LOCK_INIT { .fd = -1 }

/* 0; -EBUSY, naming the pid of the service that runs. Makes @run_dir. */
int lock_take(struct service_lock *l, const char *run_dir, const char *name,
	      struct vmq_err *err);
int lock_write(struct service_lock *l);
void lock_release(struct service_lock *l, bool remove);

/* Pid of the living service of that name; 0: none. Takes nothing. */
pid_t lock_holder(const char *run_dir, const char *name);

#endif /* VMQ_LOCK_H */
