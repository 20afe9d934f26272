/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * restore.h - a service begins where an earlier one ended, orderly or not
 *
 * Control thread, while the service is built.
 */
#ifndef VMQ_RESTORE_H
#define VMQ_RESTORE_H

#include "control/service.h"

/* Once there is an attachment and a barrier, and before anything counts. */
void restore_counters(struct service *s);

/* Queues and filters from their records; last of all but the socket. */
void restore_all(struct service *s);

#endif /* VMQ_RESTORE_H */
