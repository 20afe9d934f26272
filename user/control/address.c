/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * address.c - whose an address is: the ports' own, and the switch's stations
 *
 * Filters change thousands of times a second and there are up to 65,536, so nothing
 * here looks at all of them, but for a start, a port that changes its VLAN, and after
 * an error: what could not be told to the switch is forgotten, and the next commit
 * tells it everything.
 */
#include "control/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/queue.h"

#define BUCKETS 4096u	/* for 16,384 addresses at most, mostly one a queue */

struct addresses {
	struct own_address *bucket[BUCKETS];
	bool stale;		/* the switch has not heard everything */
};

int addresses_open(struct addresses **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}

void addresses_close(struct addresses *a)
{
	free(a);
}

/* ---- own addresses ------------------------------------------------------ */

static uint64_t key_of(const uint8_t mac[6], uint16_t rule)
{
	return VMQ_FIB_KEY(mac_to_u48(mac), rule);
}

static struct own_address **bucket_of(const struct service *s, uint64_t key)
{
	return &s->addresses->bucket[vmq_fib_hash(key, 0) % BUCKETS];
}

void address_own(struct queue *q)
{
	for (int i = 0; i < q->rec.n_macs; i++) {
		struct own_address *own = &q->own[i], **head;

		own->key = key_of(q->rec.mac[i], q->rec.rule);
		own->queue = q;
		head = bucket_of(q->service, own->key);
		own->next = *head;
		*head = own;
	}
}

void address_disown(struct queue *q)
{
	for (int i = 0; i < q->rec.n_macs; i++) {
		struct own_address **at = bucket_of(q->service, q->own[i].key);

		while (*at && *at != &q->own[i])
			at = &(*at)->next;
		if (*at)
			*at = q->own[i].next;
	}
}

struct queue *address_owner(const struct service *s, const uint8_t mac[6], uint16_t rule)
{
	uint64_t key = key_of(mac, rule);
	const struct own_address *own = *bucket_of(s, key);

	while (own && own->key != key)
		own = own->next;
	return own ? own->queue : NULL;
}

/* ---- stations ----------------------------------------------------------- */

/* A queue that is Freeing has left the switch. */
static bool is_switched(const struct queue *q)
{
	return q && q->port && q->state != QUEUE_FREEING;
}

static struct port *port_of(struct service *s, const uint8_t mac[6], uint16_t rule)
{
	struct vmq_filter_key key = { .rule = rule };
	struct queue *q = address_owner(s, mac, rule);
	const struct filter *f;

	if (is_switched(q))
		return q->port;
	memcpy(key.mac, mac, sizeof(key.mac));
	f = filters_by_key(s->filters, &key);
	if (!f || f->rec.target != VMQ_TARGET_SLOT)
		return NULL;
	/* A filter of a VLAN that the port does not carry is for the rings only. */
	q = s->queue[f->rec.queue];
	return is_switched(q) && (q->rec.rule == VMQ_RULE_ANY || q->rec.rule == rule) ? q->port
										     : NULL;
}

static int tell(struct service *s, const uint8_t mac[6], uint16_t rule, struct vmq_err *err)
{
	struct station st = { .rule = rule, .port = port_of(s, mac, rule) };

	memcpy(st.mac, mac, sizeof(st.mac));
	return switch_set_station(datapath_switch(s->datapath), &st, err);
}

void address_follow(struct service *s, const uint8_t mac[6], uint16_t rule)
{
	if (s->restoring || s->addresses->stale || !tell(s, mac, rule, NULL))
		return;
	switch_abort(datapath_switch(s->datapath));
	s->addresses->stale = true;
}

void address_follow_queue(struct queue *q)
{
	for (int i = 0; i < q->rec.n_macs; i++)
		address_follow(q->service, q->rec.mac[i], q->rec.rule);
}

void address_follow_all(struct service *s)
{
	if (s->restoring)
		return;
	switch_abort(datapath_switch(s->datapath));
	s->addresses->stale = true;
}

struct telling {
	struct service *service;
	struct vmq_err *err;
};

static int tell_filter(const struct filter *f, void *arg)
{
	struct telling *t = arg;

	return tell(t->service, f->key.mac, f->key.rule, t->err);
}

static int tell_all(struct service *s, struct vmq_err *err)
{
	struct telling t = { .service = s, .err = err };
	int rc = 0;

	switch_clear(datapath_switch(s->datapath));
	for (uint32_t id = 1; id <= VMQ_QUEUES_MAX && !rc; id++) {
		const struct queue *q = s->queue[id];

		for (int i = 0; q && i < q->rec.n_macs && !rc; i++)
			rc = tell(s, q->rec.mac[i], q->rec.rule, err);
	}
	if (!rc)
		rc = filters_each(s->filters, tell_filter, &t);
	if (rc)
		switch_abort(datapath_switch(s->datapath));
	return rc;
}

int address_commit(struct service *s, struct vmq_err *err)
{
	int rc;

	if (s->restoring)
		return 0;
	if (s->addresses->stale) {
		rc = tell_all(s, err);
		if (rc)
			return rc;
	}
	s->addresses->stale = false;
	switch_commit(datapath_switch(s->datapath));
	return 0;
}

void address_leave(struct queue *q)
{
	struct uswitch *sw = datapath_switch(q->service->datapath);
	struct vmq_err err = VMQ_ERR_INIT;

	address_follow_queue(q);
	if (address_commit(q->service, &err)) {
		/* No memory to leave it out alone. Leaving all out takes none. */
		log_warn("the switch knows no virtual machine until the next change: %s", err.text);
		switch_clear(sw);
		switch_commit(sw);
	}
	switch_settle(sw);
}
