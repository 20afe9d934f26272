/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue_methods.c - queue.*: allocate, complete, change, stop, free
 *
 * Words are checked here, in full, before the first verb is called: what can be
 * refused is refused before anything changes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/host.h"
#include "control/methods.h"
#include "control/report.h"
#include "control/rss.h"
#include "control/teardown.h"

/* ---- the configuration of a queue to be --------------------------------- */

static int read_macs(const json_t *list, struct vmq_queue_record *rec, struct vmq_err *err)
{
	size_t i, k, n = json_array_size(list);
	int rc;

	if (n > VMQ_MACS_MAX)
		return vmq_err(err, -EINVAL, "a queue has at most %d addresses", VMQ_MACS_MAX);
	for (i = 0; i < n; i++) {
		rc = parse_mac(json_string_value(json_array_get(list, i)), rec->mac[i], err);
		if (rc)
			return rc;
		for (k = 0; k < i; k++)
			if (!memcmp(rec->mac[k], rec->mac[i], 6))
				return vmq_err(err, -EINVAL, "address %s is named twice",
					       json_string_value(json_array_get(list, i)));
	}
	rec->n_macs = n;
	return 0;
}

int read_queue(const struct request *r, struct vmq_queue_record *rec, struct vmq_err *err)
{
	json_int_t ring, weight, pairs;
	int rc, i, n;

	memset(rec, 0, sizeof(*rec));
	memset(rec->cpu, 0xff, sizeof(rec->cpu));	/* UINT16_MAX: choose one */
	snprintf(rec->channel, sizeof(rec->channel), "none");
	rec->owner = r->uid;
	rec->rule = VMQ_RULE_UNTAGGED;

	if ((rc = read_word(r, "name", rec->name, sizeof(rec->name), err)) ||
	    (rc = read_word(r, "vm", rec->vm, sizeof(rec->vm), err)) ||
	    (rc = read_word(r, "channel", rec->channel, sizeof(rec->channel), err)) ||
	    (rc = read_range(r, "ring", 0, 65536, 0, &ring, err)) ||
	    (rc = read_range(r, "weight", 0, 100, 100, &weight, err)) ||
	    (rc = read_macs(json_object_get(r->params, "macs"), rec, err)))
		return rc;
	if (param_str(r, "vlan")) {
		rc = parse_rule(param_str(r, "vlan"), &rec->rule, err);
		if (rc)
			return rc;
	}
	n = read_cpus(json_object_get(r->params, "cpus"), rec->cpu, VMQ_PAIRS_MAX, err);
	if (n < 0)
		return n;
	if (json_object_get(r->params, "cpus") && !n)
		return vmq_err(err, -EINVAL, "an empty list of CPUs");
	rc = read_range(r, "pairs", 1, VMQ_PAIRS_MAX, 1, &pairs, err);
	if (rc)
		return rc;
	if (n > pairs)
		return vmq_err(err, -EINVAL, "%d CPUs for %d pair%s: give --pairs %d, or fewer CPUs",
			       n, (int)pairs, pairs == 1 ? "" : "s", n);
	if (n)
		rec->flags |= VMQ_QUEUE_F_PLACED;
	for (i = n; n && i < pairs; i++)
		rec->cpu[i] = rec->cpu[i % n];
	rec->pairs = pairs;
	rec->ring = ring;
	rec->weight = weight;
	if (json_is_true(json_object_get(r->params, "trust")))
		rec->flags |= VMQ_QUEUE_F_TRUST;
	if (json_is_false(json_object_get(r->params, "gro")))
		rec->flags |= VMQ_QUEUE_F_NO_GRO;
	if (json_integer_value(json_object_get(r->params, "lookahead")))
		return vmq_err(err, -EINVAL, "lookahead split was withdrawn: only 0 is valid");
	if (json_integer_value(json_object_get(r->params, "qos")))
		return vmq_err(err, -EOPNOTSUPP, "QoS scheduler queues are not supported");
	return 0;
}

/* ---- queues ------------------------------------------------------------ */

const struct param queue_params[] = {
	PARAM("name", PARAM_STRING, true, "name of the queue"),
	PARAM("macs", PARAM_STRINGS, false, "addresses of the virtual machine"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id"),
	PARAM("cpus", PARAM_INTS, false, "CPU of each pair"),
	PARAM("pairs", PARAM_INT, false, "queue pairs"),
	PARAM("channel", PARAM_STRING, false, "channel specification"),
	PARAM("trust", PARAM_BOOL, false, "do not check what the guest sends"),
	PARAM("gro", PARAM_BOOL, false, "join segments of TCP streams for the guest"),
	PARAM("ring", PARAM_INT, false, "suggested receive buffers per ring"),
	PARAM("weight", PARAM_INT, false, "0: no queue of its own; 1 to 100"),
	PARAM("vm", PARAM_STRING, false, "name of the virtual machine"),
	PARAM("attached", PARAM_BOOL, false, "free the queue when this connection ends"),
	PARAM("lookahead", PARAM_INT, false, "only 0: lookahead split was withdrawn"),
	PARAM("qos", PARAM_INT, false, "only 0: QoS queues are not supported"),
	PARAM_END,
};

/* @all: it is not finished with that. Who dies before does not leave it behind. */
static int allocate_from(struct service *s, struct request *r, bool all, struct queue **q)
{
	bool attached = json_is_true(json_object_get(r->params, "attached"));
	struct vmq_queue_record rec;
	int rc;

	rc = read_queue(r, &rec, &r->err);
	if (all && rec.pairs > 1)
		rec.flags |= VMQ_QUEUE_F_RSS;
	if (all || attached)
		rec.flags |= VMQ_QUEUE_F_ENDS;
	if (!rc)
		rc = queue_allocate(s, &rec, false, q, &r->err);
	if (!rc && attached)
		(*q)->client_id = r->client_id;
	return rc;
}

void queue_alloc(void *service, struct request *r)
{
	struct queue *q;
	int rc = allocate_from(service, r, false, &q);

	if (rc)
		request_fail(r, rc);
	else
		reply_result(r, report_queue(q));
}

/* The answer comes when nothing of the queue is left. */
static void add_undone(struct queue *q, void *arg)
{
	struct request *r = arg;

	(void)q;
	request_fail(r, r->err.code);
}

/*
 * allocate -> filters -> complete; all of it or nothing. Who asks for several
 * pairs wants them used: RSS is on.
 */
void queue_add(void *service, struct request *r)
{
	struct service *s = service;
	struct vmq_filter f;
	struct queue *q;
	int rc, i;

	rc = allocate_from(s, r, true, &q);
	if (rc) {
		request_fail(r, rc);
		return;
	}
	for (i = 0; i < q->rec.n_macs && !rc; i++) {
		struct vmq_filter_key key = { .rule = q->rec.rule };

		memcpy(key.mac, q->rec.mac[i], 6);
		f.id = 0;
		rc = queue_filter_set(q, &key, r->uid, &f, &r->err);
	}
	if (!rc)
		rc = queue_made(q, q->rec.weight != 0, &r->err);
	if (!rc)
		reply_result(r, report_queue(q));
	else if (queue_delete(q, add_undone, r, NULL) < 0)
		request_fail(r, rc);
}

const struct param names_params[] = {
	PARAM("names", PARAM_STRINGS, true, "queues to complete, as one batch"),
	PARAM_END,
};

/* What became of one queue of a batch: each has its own outcome. */
static json_t *outcome(const char *name, int rc, const struct vmq_err *err)
{
	json_t *one = json_pack("{s:s, s:b}", "name", name, "ok", rc == 0);

	if (rc) {
		json_object_set_new(one, "code", json_string(vmq_err_name(rc)));
		json_object_set_new(one, "exit", json_integer(vmq_err_exit(rc)));
		json_object_set_new(one, "message", json_string(err->text));
	}
	return one;
}

static int complete_one(struct queue *q, const struct actor *who, struct vmq_err *err)
{
	int rc = queue_may_change(q, who, err);

	if (rc)
		return rc;
	if (!q->rec.weight)
		return vmq_err(err, -EBADFD,
			       "queue %s has weight 0: its frames stay on queue 0 until "
			       "'vmqctl queue set %s --weight' gives it one",
			       q->rec.name, q->rec.name);
	return queue_complete(q, err);
}

void queue_complete_batch(void *service, struct request *r)
{
	json_t *names = json_object_get(r->params, "names"), *results = json_array();
	struct actor who = actor_of(r);
	struct service *s = service;
	size_t i;

	for (i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		struct vmq_err err = VMQ_ERR_INIT;
		struct queue *q = queue_find(s, name);
		int rc;

		if (!q)
			rc = vmq_err(&err, -ENOENT, "no queue %s", name);
		else
			rc = complete_one(q, &who, &err);
		json_array_append_new(results, outcome(name, rc, &err));
	}
	reply_result(r, json_pack("{s:o}", "results", results));
}

const struct param name_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM_END,
};

static void freed(struct queue *q, void *arg)
{
	reply_result(arg, json_pack("{s:i, s:s, s:f}", "id", (int)q->id, "name", q->rec.name, "ms",
				    (now_ns() - q->op.began_ns) / 1e6));
}

void queue_free_method(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, param_str(r, "name"), true);
	int rc;

	if (!q)
		return;
	rc = queue_free(q, freed, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

/* Many at once share the grace periods; the answer comes when the last one is gone. */
struct deletion {
	struct request *request;
	json_t *results;
	size_t pending;
};

static void deletion_put(struct deletion *d)
{
	if (--d->pending)
		return;
	reply_result(d->request, json_pack("{s:o}", "results", d->results));
	free(d);
}

static void one_freed(struct queue *q, void *arg)
{
	struct deletion *d = arg;
	json_t *one;
	size_t i;

	json_array_foreach(d->results, i, one)
		if (json_integer_value(json_object_get(one, "id")) == q->id)
			json_object_set_new(one, "ms", json_real((now_ns() - q->op.began_ns) / 1e6));
	deletion_put(d);
}

static void delete_one(struct service *s, struct deletion *d, const char *name)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct queue *q;
	json_t *one;
	int rc;

	rc = queue_named(s, d->request, name, true, &q, &err);
	if (!rc)
		rc = MIN(queue_delete(q, one_freed, d, &err), 0);
	one = outcome(name, rc, &err);
	if (!rc) {
		json_object_set_new(one, "id", json_integer(q->id));
		d->pending++;
	}
	json_array_append_new(d->results, one);
}

static void delete_many(struct service *s, struct request *r, const json_t *names)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct deletion *d;
	struct queue *q;
	size_t i;

	for (i = 0; i < json_array_size(names); i++)
		if (!queue_named(s, r, json_string_value(json_array_get(names, i)), true, &q,
				 &err) && queue_defer(q, r))
			return;
	d = calloc(1, sizeof(*d));
	if (!d) {
		request_fail(r, vmq_err_sys(&r->err, -ENOMEM, "cannot hold the list of queues"));
		return;
	}
	d->request = r;
	d->results = json_array();
	d->pending = 1;
	for (i = 0; i < json_array_size(names); i++)
		delete_one(s, d, json_string_value(json_array_get(names, i)));
	deletion_put(d);
}

const struct param del_params[] = {
	PARAM("name", PARAM_STRING, false, "name or id of the queue"),
	PARAM("names", PARAM_STRINGS, false, "of several; each has its own outcome"),
	PARAM_END,
};

void queue_del(void *service, struct request *r)
{
	const json_t *names = json_object_get(r->params, "names");
	struct queue *q;
	int rc;

	if (!names == !param_str(r, "name")) {
		request_fail(r, vmq_err(&r->err, -EINVAL, "queue.del needs name or names"));
		return;
	}
	if (names) {
		delete_many(service, r, names);
		return;
	}
	q = queue_of(service, r, param_str(r, "name"), true);
	if (!q)
		return;
	rc = queue_delete(q, freed, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

const struct param drain_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM("timeout_ms", PARAM_INT, false, "bound of the delivery; what is left is discarded"),
	PARAM_END,
};

static void drained(struct queue *q, void *arg)
{
	reply_result(arg, json_pack("{s:s, s:I, s:I, s:f}", "name", q->rec.name, "delivered",
				    (json_int_t)q->op.drain.delivered, "discarded",
				    (json_int_t)q->op.drain.discarded, "ms",
				    (now_ns() - q->op.began_ns) / 1e6));
}

void queue_drain_method(void *service, struct request *r)
{
	json_int_t timeout;
	struct queue *q;
	int rc;

	rc = read_range(r, "timeout_ms", 0, 60000, DRAIN_TIMEOUT_MS, &timeout, &r->err);
	if (rc) {
		request_fail(r, rc);
		return;
	}
	q = queue_of(service, r, param_str(r, "name"), true);
	if (!q)
		return;
	rc = queue_drain(q, timeout, drained, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

static void pause_or_resume(void *service, struct request *r, bool pause)
{
	struct queue *q = queue_of(service, r, param_str(r, "name"), true);

	if (q)
		reply_rc(r, queue_set_paused(q, pause, &r->err));
}

void queue_pause(void *service, struct request *r)
{
	pause_or_resume(service, r, true);
}

void queue_resume(void *service, struct request *r)
{
	pause_or_resume(service, r, false);
}

const struct param set_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM("cpus", PARAM_INTS, false, "CPUs to spread over; the first is primary and default"),
	PARAM("pairs", PARAM_INT, false, "queue pairs"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id"),
	PARAM("trust", PARAM_BOOL, false, "do not check what the guest sends"),
	PARAM("gro", PARAM_BOOL, false, "join segments of TCP streams for the guest"),
	PARAM("new_name", PARAM_STRING, false, "new name"),
	PARAM("vm", PARAM_STRING, false, "name of the virtual machine"),
	PARAM("weight", PARAM_INT, false, "0 to 100"),
	PARAM_END,
};

/* What can be refused without trying. */
struct queue_change {
	uint16_t rule, cpu[VMQ_PAIRS_MAX];
	bool trust;
	char vm[VMQ_NAME_MAX];
	json_int_t weight, pairs;
	int n_cpus;
};

static int read_queue_change(struct service *s, struct request *r, const struct queue *q,
			     struct queue_change *c)
{
	const json_t *cpus = json_object_get(r->params, "cpus");
	const json_t *trust = json_object_get(r->params, "trust");
	const char *name = param_str(r, "new_name");
	int rc;

	*c = (struct queue_change){
		.rule = q->rec.rule,
		.trust = trust ? json_is_true(trust) : !!(q->rec.flags & VMQ_QUEUE_F_TRUST),
	};
	snprintf(c->vm, sizeof(c->vm), "%s", q->rec.vm);
	if ((rc = queue_may_set(q, &r->err)) ||
	    (rc = read_range(r, "weight", 0, 100, q->rec.weight, &c->weight, &r->err)) ||
	    (rc = read_range(r, "pairs", 1, VMQ_PAIRS_MAX, q->rec.pairs, &c->pairs, &r->err)) ||
	    (rc = read_word(r, "vm", c->vm, sizeof(c->vm), &r->err)))
		return rc;
	if (param_str(r, "vlan"))
		rc = parse_rule(param_str(r, "vlan"), &c->rule, &r->err);
	if (!rc && name && strcmp(name, q->rec.name))
		rc = queue_check_name(s, name, &r->err);
	if (rc || !cpus)
		return rc;
	c->n_cpus = read_cpus(cpus, c->cpu, VMQ_PAIRS_MAX, &r->err);
	if (!c->n_cpus)
		return vmq_err(&r->err, -EINVAL, "an empty list of CPUs");
	return MIN(c->n_cpus, 0);
}

/*
 * The same, by what the queue would be. What is left then can fail for want of memory or
 * buffers only; a queue that is paused could not give its new pairs back for all the rest.
 */
static int check_queue_change(const struct queue *q, const struct queue_change *c,
			      struct vmq_err *err)
{
	struct vmq_queue_record next = q->rec;
	int rc = 0;

	next.pairs = (uint16_t)c->pairs;
	if (c->n_cpus)
		rc = queue_check_cpus(q, &next, c->cpu, c->n_cpus, err);
	if (!rc)
		rc = queue_check_pairs(q, &next, err);
	return rc ? rc : queue_check_rule(q, c->rule, err);
}

static void queue_changed(struct queue *q, void *arg)
{
	reply_result(arg, report_queue(q));
}

/*
 * Pairs and CPUs, in the order that keeps the one enough for the other: more pairs
 * before, fewer pairs after. @before: to go back to.
 */
static int change_cpus(struct queue *q, const struct queue_change *c,
		       struct vmq_queue_record *before, struct vmq_err *err)
{
	struct vmq_queue_record next;
	int rc = 0;

	*before = q->rec;
	if (c->pairs > q->rec.pairs)
		rc = queue_set_pairs(q, c->pairs, NULL, NULL, err);
	if (!rc && c->n_cpus) {
		next = q->rec;
		rc = queue_check_cpus(q, &next, c->cpu, c->n_cpus, err);
		if (!rc)
			rc = queue_rss_apply(q, &next, err);
		if (rc && q->rec.pairs != before->pairs)
			queue_set_pairs(q, before->pairs, NULL, NULL, NULL);
	}
	return rc;
}

static void change_cpus_back(struct queue *q, const struct vmq_queue_record *before)
{
	struct vmq_queue_record next = *before;

	next.pairs = q->rec.pairs;
	queue_rss_apply(q, &next, NULL);
	if (before->pairs != q->rec.pairs)
		queue_set_pairs(q, before->pairs, NULL, NULL, NULL);
}

/* Only what is named changes, and all of it or nothing. 1: goes on. */
static int change_queue(struct service *s, struct request *r, struct queue *q)
{
	struct vmq_queue_record before;
	struct queue_change c;
	int rc;

	rc = read_queue_change(s, r, q, &c);
	if (!rc)
		rc = check_queue_change(q, &c, &r->err);
	if (!rc)
		rc = change_cpus(q, &c, &before, &r->err);
	if (rc)
		return rc;
	if (json_object_get(r->params, "trust") || c.rule != q->rec.rule)
		rc = queue_set_policy(q, c.rule, c.trust, &r->err);
	if (rc) {
		change_cpus_back(q, &before);
		return rc;
	}
	if (param_str(r, "new_name"))
		snprintf(q->rec.name, sizeof(q->rec.name), "%s", param_str(r, "new_name"));
	snprintf(q->rec.vm, sizeof(q->rec.vm), "%s", c.vm);
	q->rec.weight = c.weight;
	if (json_object_get(r->params, "gro"))
		queue_set_gro(q, json_is_true(json_object_get(r->params, "gro")));
	rc = queue_save(q, &r->err);
	if (rc || c.pairs == q->rec.pairs)
		return rc;
	return queue_set_pairs(q, c.pairs, queue_changed, r, &r->err);
}

void queue_set(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, param_str(r, "name"), true);
	int rc;

	if (!q || queue_settling(q, r))
		return;
	rc = change_queue(service, r, q);
	if (rc < 0)
		request_fail(r, rc);
	else if (!rc)
		reply_result(r, report_queue(q));
}

void queue_list(void *service, struct request *r)
{
	struct actor who = actor_of(r);

	reply_result(r, report_queues(service, &who));
}

void queue_show(void *service, struct request *r)
{
	struct actor who = actor_of(r);
	struct queue *q;

	if (host_is(param_str(r, "name"))) {
		reply_result(r, report_host(service, &who));
		return;
	}
	q = queue_of(service, r, param_str(r, "name"), false);
	if (q)
		reply_result(r, report_queue(q));
}
