/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * host.h - queue 0's own receive-side scaling, and the switch for all queues
 *
 * Queue 0 is the host: what no filter matches. Its RSS (O-9) names CPUs, like any
 * queue's, but has no pairs: the kernel takes the frames on the CPU that the table
 * says (bpf/host.h). It is off unless asked for, and then its frames stay where they
 * arrive, so there is no primary.
 *
 * RSS of all queues can be switched off and on again (O-8), queue 0's included;
 * what each asks for is kept meanwhile.
 *
 * Both live in the record `host` of the service, which is kept in the pinned map
 * once it is other than in the beginning. Control thread only.
 */
#ifndef VMQ_CONTROL_HOST_H
#define VMQ_CONTROL_HOST_H

#include "control/service.h"

/* Settings of the beginning. */
int host_init(struct service *s, struct vmq_err *err);

/* For attach_each_queue(): take queue 0's record over, and ignore others. */
int host_restore(const struct vmq_queue_record *rec, void *service);

/* Does a user mean queue 0? */
bool host_is(const char *name);

/* What rss.show says of it. */
json_t *host_rss_json(struct service *s);

/*
 * Steer by another record. 0; -ERANGE: a CPU that begins to steer has no worker
 * (D-4); -EOPNOTSUPP: frames would not arrive whole; and nothing has changed.
 */
int host_rss_apply(struct service *s, const struct vmq_queue_record *next,
		   struct vmq_err *err);

#endif /* VMQ_CONTROL_HOST_H */
