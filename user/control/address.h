/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * address.h - whose an address is: the ports' own, and the switch's stations
 *
 * A station follows from two things: an address of its own that a port has, and a
 * filter that sends an address to it. The first counts where both are: a filter that
 * was moved takes along what comes from the wire (F-20), but who sends with an
 * address, and whom the switch knows by it, is its port.
 *
 * What changes either says so by address_follow(); address_commit() lets the workers
 * see all of it at once. Control thread only.
 */
#ifndef VMQ_ADDRESS_H
#define VMQ_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "vmq/abi.h"

struct addresses;
struct queue;
struct service;

int addresses_open(struct addresses **out);	/* 0 or -ENOMEM */
void addresses_close(struct addresses *a);

/* An own address of a queue's port; lives in the queue. */
struct own_address {
	struct own_address *next;	/* of the same bucket */
	struct queue *queue;
	uint64_t key;
};

/* The own addresses of @q, in its VLAN rule of now; and those it was told with. */
void address_own(struct queue *q);
void address_disown(struct queue *q);
struct queue *address_owner(const struct service *s, const uint8_t mac[6], uint16_t rule);

/* Its station may have changed: by a filter, or because a queue came or goes. */
void address_follow(struct service *s, const uint8_t mac[6], uint16_t rule);
void address_follow_queue(struct queue *q);	/* all of its own */
void address_follow_all(struct service *s);	/* of the service */

/* 0, or -errno and the switch knows what it knew; the next commit tries all of it again. */
int address_commit(struct service *s, struct vmq_err *err);

/* The port of @q is about to be closed: on return no worker uses it. */
void address_leave(struct queue *q);

#endif /* VMQ_ADDRESS_H */
