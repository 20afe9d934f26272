/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h - queues follow what their guests want
 *
 * A guest that is stopped - moved to another host, rebooted, its driver unloaded -
 * wants no more frames, and its channel may not answer before all are delivered.
 * That is a teardown without an end: the queue's filters leave the FIB, so its
 * frames go to queue 0, where the switch counts them as dropped; barrier; what the
 * rings hold is delivered, bounded in time; then the channel is told. Filters and
 * state stay what the administrator made them. When the guest wants frames again,
 * or its successor on the same channel does, the filters return.
 *
 * Any thread may say what a guest wants. A count of its changes says it, not a
 * queue of events: nothing is lost however often it changes, and each "no more"
 * is answered. The rest is the control thread's.
 *
 * A guest that was moved here is announced with every address that frames come for,
 * each in its VLAN: those of the port, in the port's VLAN, and those of the queue's
 * filters. A filter of any VLAN is announced untagged, because nobody knows which
 * VLANs there are behind it. The port's come first; what is beyond
 * CHANNEL_ADDRESSES is only counted.
 */
#ifndef VMQ_GUEST_H
#define VMQ_GUEST_H

#include "control/queue.h"

int guest_open(struct service *s, struct vmq_err *err);
void guest_close(struct service *s);

/* As channel_config.wants: any thread; @arg is the queue. The first says false. */
void guest_wants(void *arg, bool frames);

/* As channel_config.moved: any thread. */
void guest_moved(void *arg);

void guest_dispatch(struct service *s);		/* s->guest_fd is readable */
void guest_follow(struct queue *q);		/* unless it is busy */

#endif /* VMQ_GUEST_H */
