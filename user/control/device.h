/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * device.h - the interface changes while we serve it
 */
#ifndef VMQ_DEVICE_H
#define VMQ_DEVICE_H

#include "control/service.h"

/*
 * Something about the interface may have changed: look, follow, tell the log and
 * the monitors. Control thread.
 */
void device_follow(struct service *s);

/* It has gone, or is another namespace's: tell the monitors. */
void device_gone(struct service *s);

/* "up", "down", or "no carrier". */
const char *device_link(const struct netdev_info *dev);

/* Warn if frames of this MTU do not fit a chunk. */
void device_check_mtu(const struct service *s, uint32_t mtu);

#endif /* VMQ_DEVICE_H */
