/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue_set.c - verbs that change a queue while it lives
 *
 * What is allowed is one row of the state table, and the state stays. RSS and pairs
 * are in rss.c.
 */
#include "control/queue.h"

#include <errno.h>
#include <string.h>

#include "common/util.h"
#include "control/rss.h"
#include "control/teardown.h"

int queue_may_set(const struct queue *q, struct vmq_err *err)
{
	int next = queue_next(q, QUEUE_EV_PARAMETERS, err);

	return MIN(next, 0);
}

int queue_check_cpus(const struct queue *q, struct vmq_queue_record *next, const uint16_t *cpu,
		     int n, struct vmq_err *err)
{
	int i;

	if (n < 1 || n > next->pairs)
		return vmq_err(err, -EINVAL, "queue %s has %u pair%s: name that many CPUs or fewer",
			       q->rec.name, next->pairs, next->pairs == 1 ? "" : "s");
	for (i = 0; i < n; i++)
		if (!datapath_worker(q->service->datapath, cpu[i]))
			return vmq_err(err, -EINVAL,
				       "CPU %u has no worker here: choose from those of --cpus",
				       cpu[i]);
	next->rss_primary = next->rss_default = cpu[0];
	next->flags |= VMQ_QUEUE_F_PLACED;
	rss_spread(next, cpu, n, MAX(next->rss_entries, roundup_pow2(n)));
	return queue_rss_check(q, next, err);
}

/* In this order, so that the NIC keeps the address all the time. */
static void move_address(struct service *s, const uint8_t mac[6], uint16_t from, uint16_t to)
{
	service_address_add(s, mac, to);
	service_address_del(s, mac, from);
}

/* Is it a filter of the queue's own address that goes there? */
static bool moves_with_rule(const struct queue *q, const struct filter *f)
{
	return f && f->rec.queue == q->id && f->rec.target == VMQ_TARGET_SLOT;
}

/*
 * A port's VLAN is in its filters too: those of its own addresses follow it, as
 * one change, under their old ids.
 */
static int move_filters_to_rule(struct queue *q, uint16_t rule, struct vmq_err *err)
{
	struct filters *fs = q->service->filters;
	bool moved[VMQ_MACS_MAX] = { false };
	int i, rc;

	rc = filters_begin(fs, err);
	if (rc)
		return rc;
	for (i = 0; i < q->rec.n_macs && !rc; i++) {
		struct vmq_filter_key key = { .rule = q->rec.rule };
		const struct filter *f;
		struct vmq_filter rec;

		memcpy(key.mac, q->rec.mac[i], 6);
		f = filters_by_key(fs, &key);
		if (!moves_with_rule(q, f))
			continue;
		rec = f->rec;
		key.rule = rule;
		rc = filters_del(fs, f, err);
		if (!rc)
			rc = filters_add(fs, &key, &rec, NULL, err);
		moved[i] = true;
	}
	if (rc) {
		filters_abort(fs);
		return rc;
	}
	rc = filters_commit(fs, err);
	for (i = 0; i < q->rec.n_macs && !rc; i++)
		if (moved[i])
			move_address(q->service, q->rec.mac[i], q->rec.rule, rule);
	return rc;
}

void queue_set_gro(struct queue *q, bool on)
{
	q->rec.flags = on ? q->rec.flags & ~VMQ_QUEUE_F_NO_GRO
			  : q->rec.flags | VMQ_QUEUE_F_NO_GRO;
	port_set_gro(q->port, on);
}

int queue_check_rule(const struct queue *q, uint16_t rule, struct vmq_err *err)
{
	struct service *s = q->service;
	int i, rc = 0;

	for (i = 0; rule != q->rec.rule && i < q->rec.n_macs && !rc; i++) {
		struct vmq_filter_key key = { .rule = q->rec.rule };

		rc = queue_address_check(s, q, q->rec.mac[i], rule, err);
		memcpy(key.mac, q->rec.mac[i], 6);
		if (rc || !moves_with_rule(q, filters_by_key(s->filters, &key)))
			continue;
		key.rule = rule;
		rc = queue_filter_check(s, &key, err);
		if (!rc)
			rc = filters_check(s->filters, &key, NULL, err);
	}
	return rc;
}

int queue_set_policy(struct queue *q, uint16_t rule, bool trust, struct vmq_err *err)
{
	uint16_t before = q->rec.rule;
	int i, rc;

	if (rule != before) {
		rc = move_filters_to_rule(q, rule, err);
		if (rc)
			return rc;
		for (i = 0; i < q->rec.n_macs; i++)
			move_address(q->service, q->rec.mac[i], before, rule);
	}
	address_disown(q);
	q->rec.rule = rule;
	address_own(q);
	if (rule != before)
		address_follow_all(q->service);
	q->rec.flags = trust ? q->rec.flags | VMQ_QUEUE_F_TRUST
			     : q->rec.flags & ~VMQ_QUEUE_F_TRUST;
	port_set_policy(q->port, rule, trust);
	/* The strip flag of the FIB value depends on the rule. */
	if (q->state == QUEUE_RUNNING && rule != before) {
		rc = filters_activate(q->service->filters, q->id, queue_fib_value(q), err);
		if (rc)
			return rc;
	}
	rc = address_commit(q->service, err);
	return rc ? rc : queue_save(q, err);
}

int queue_set_paused(struct queue *q, bool paused, struct vmq_err *err)
{
	int rc;

	rc = queue_may_set(q, err);
	if (rc)
		return rc;
	q->rec.flags = paused ? q->rec.flags | VMQ_QUEUE_F_PAUSED
			      : q->rec.flags & ~VMQ_QUEUE_F_PAUSED;
	port_set_paused(q->port, paused);
	queue_announce(q, paused ? "queue-paused" : "queue-resumed");
	return queue_save(q, err);
}
