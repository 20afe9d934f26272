/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * methods.c - what the protocol can do, as one table
 *
 * A handler turns parameters into a call of a verb (queue.h, filters.h) and its
 * outcome into a reply. Parameter types are checked by the server against the
 * tables below before a handler runs; words are checked here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/apply.h"
#include "control/methods.h"
#include "control/report.h"
#include "control/rss.h"
#include "control/teardown.h"

struct actor actor_of(const struct request *r)
{
	return (struct actor){ .uid = r->uid, .client_id = r->client_id };
}

void reply_result(struct request *r, json_t *result)
{
	if (result) {
		request_reply(r, result);
		return;
	}
	vmq_err(&r->err, -ENOMEM, "no memory for the answer");
	request_fail(r, -ENOMEM);
}

static void reply_done(struct request *r)
{
	reply_result(r, json_object());
}

/* Reply or fail by @rc. */
static void reply_rc(struct request *r, int rc)
{
	if (rc < 0)
		request_fail(r, rc);
	else
		reply_done(r);
}

static const char *str(const struct request *r, const char *key)
{
	return json_string_value(json_object_get(r->params, key));
}

struct queue *queue_of(struct service *s, struct request *r, const char *name, bool change)
{
	struct actor who = actor_of(r);
	struct queue *q = queue_find(s, name);
	int rc;

	if (!q) {
		if (!strcmp(name, "host") || !strcmp(name, "0"))
			rc = vmq_err(&r->err, -EINVAL,
				     "queue 0 is the host: it is always there and cannot be "
				     "made, changed or freed");
		else
			rc = vmq_err(&r->err, -ENOENT, "no queue %s", name);
		request_fail(r, rc);
		return NULL;
	}
	rc = who.uid && (change || q->rec.owner != who.uid) ? queue_may_change(q, &who, &r->err) : 0;
	if (rc) {
		request_fail(r, rc);
		return NULL;
	}
	if (change && queue_defer(q, r))
		return NULL;
	return q;
}

/* ---- reading parameters ------------------------------------------------ */

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

int read_cpus(const json_t *list, uint16_t *cpu, int max, struct vmq_err *err)
{
	size_t i, n = json_array_size(list);

	if (n > (size_t)max)
		return vmq_err(err, -EINVAL, "%zu CPUs, but there can be %d at most", n, max);
	for (i = 0; i < n; i++) {
		json_int_t v = json_integer_value(json_array_get(list, i));

		if (v < 0 || v >= UINT16_MAX)
			return vmq_err(err, -EINVAL, "no CPU %lld", (long long)v);
		cpu[i] = v;
	}
	return n;
}

static int read_range(const struct request *r, const char *key, json_int_t min, json_int_t max,
		      json_int_t fallback, json_int_t *out, struct vmq_err *err)
{
	const json_t *v = json_object_get(r->params, key);

	*out = v ? json_integer_value(v) : fallback;
	if (*out >= min && *out <= max)
		return 0;
	return vmq_err(err, -EINVAL, "%s must be %lld to %lld, not %lld", key, (long long)min,
		       (long long)max, (long long)*out);
}

static int read_word(const struct request *r, const char *key, char *out, size_t size,
		     struct vmq_err *err)
{
	const char *word = str(r, key);

	if (!word)
		return 0;
	if (strlen(word) >= size)
		return vmq_err(err, -EMSGSIZE, "%s is longer than %zu bytes", key, size - 1);
	strcpy(out, word);
	return 0;
}

/* The configuration of a queue to be. */
static int read_queue(const struct request *r, struct vmq_queue_record *rec, struct vmq_err *err)
{
	json_int_t ring, weight, pairs;
	int rc, i, n;

	memset(rec, 0, sizeof(*rec));
	memset(rec->cpu, 0xff, sizeof(rec->cpu));	/* UINT16_MAX: choose one */
	strcpy(rec->channel, "none");
	rec->owner = r->uid;
	rec->rule = VMQ_RULE_UNTAGGED;

	if ((rc = read_word(r, "name", rec->name, sizeof(rec->name), err)) ||
	    (rc = read_word(r, "vm", rec->vm, sizeof(rec->vm), err)) ||
	    (rc = read_word(r, "channel", rec->channel, sizeof(rec->channel), err)) ||
	    (rc = read_range(r, "ring", 0, 65536, 0, &ring, err)) ||
	    (rc = read_range(r, "weight", 0, 100, 100, &weight, err)) ||
	    (rc = read_macs(json_object_get(r->params, "macs"), rec, err)))
		return rc;
	if (str(r, "vlan")) {
		rc = parse_rule(str(r, "vlan"), &rec->rule, err);
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
		return vmq_err(err, -EINVAL, "%d CPUs for %d pair%s", n, (int)pairs,
			       pairs == 1 ? "" : "s");
	for (i = n; n && i < pairs; i++)
		rec->cpu[i] = rec->cpu[i % n];
	rec->pairs = pairs;
	rec->ring = ring;
	rec->weight = weight;
	if (json_is_true(json_object_get(r->params, "trust")))
		rec->flags |= VMQ_QUEUE_F_TRUST;
	if (json_integer_value(json_object_get(r->params, "lookahead")))
		return vmq_err(err, -EINVAL, "lookahead split was withdrawn: only 0 is valid");
	if (json_integer_value(json_object_get(r->params, "qos")))
		return vmq_err(err, -EOPNOTSUPP, "QoS scheduler queues are not supported");
	return 0;
}

/* ---- queues ------------------------------------------------------------ */

static const struct param queue_params[] = {
	PARAM("name", PARAM_STRING, true, "name of the queue"),
	PARAM("macs", PARAM_STRINGS, false, "addresses of the virtual machine"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id"),
	PARAM("cpus", PARAM_INTS, false, "CPU of each pair"),
	PARAM("pairs", PARAM_INT, false, "queue pairs"),
	PARAM("channel", PARAM_STRING, false, "channel specification"),
	PARAM("trust", PARAM_BOOL, false, "do not check what the guest sends"),
	PARAM("ring", PARAM_INT, false, "suggested receive buffers per ring"),
	PARAM("weight", PARAM_INT, false, "0: no queue of its own; 1 to 100"),
	PARAM("vm", PARAM_STRING, false, "name of the virtual machine"),
	PARAM("attached", PARAM_BOOL, false, "free the queue when this connection ends"),
	PARAM("lookahead", PARAM_INT, false, "only 0: lookahead split was withdrawn"),
	PARAM("qos", PARAM_INT, false, "only 0: QoS queues are not supported"),
	PARAM_END,
};

static int allocate_from(struct service *s, struct request *r, bool rss, struct queue **q)
{
	struct vmq_queue_record rec;
	int rc;

	rc = read_queue(r, &rec, &r->err);
	if (rss && rec.pairs > 1)
		rec.flags |= VMQ_QUEUE_F_RSS;
	if (!rc)
		rc = queue_allocate(s, &rec, false, q, &r->err);
	if (!rc && json_is_true(json_object_get(r->params, "attached")))
		(*q)->client_id = r->client_id;
	return rc;
}

static void queue_alloc(void *service, struct request *r)
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
static void queue_add(void *service, struct request *r)
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
	if (!rc && q->rec.weight)
		rc = queue_complete(q, &r->err);
	if (!rc)
		reply_result(r, report_queue(q));
	else if (queue_delete(q, add_undone, r, NULL) < 0)
		request_fail(r, rc);
}

static const struct param names_params[] = {
	PARAM("names", PARAM_STRINGS, true, "queues to complete, as one batch"),
	PARAM_END,
};

/* A batch; each queue has its own outcome. */
static void queue_complete_batch(void *service, struct request *r)
{
	json_t *names = json_object_get(r->params, "names"), *results = json_array();
	struct actor who = actor_of(r);
	struct service *s = service;
	size_t i;

	for (i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		struct vmq_err err = VMQ_ERR_INIT;
		struct queue *q = queue_find(s, name);
		json_t *one;
		int rc;

		if (!q)
			rc = vmq_err(&err, -ENOENT, "no queue %s", name);
		else
			rc = queue_may_change(q, &who, &err);
		if (!rc)
			rc = queue_complete(q, &err);
		one = json_pack("{s:s, s:b}", "name", name, "ok", rc == 0);
		if (rc) {
			json_object_set_new(one, "code", json_string(vmq_err_name(rc)));
			json_object_set_new(one, "exit", json_integer(vmq_err_exit(rc)));
			json_object_set_new(one, "message", json_string(err.text));
		}
		json_array_append_new(results, one);
	}
	reply_result(r, json_pack("{s:o}", "results", results));
}

static const struct param name_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM_END,
};

static void freed(struct queue *q, void *arg)
{
	reply_result(arg, json_pack("{s:i, s:s, s:f}", "id", (int)q->id, "name", q->rec.name, "ms",
				    (now_ns() - q->op.began_ns) / 1e6));
}

static void queue_free_method(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, str(r, "name"), true);
	int rc;

	if (!q)
		return;
	rc = queue_free(q, freed, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

static void queue_del(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, str(r, "name"), true);
	int rc;

	if (!q)
		return;
	rc = queue_delete(q, freed, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

static const struct param drain_params[] = {
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

static void queue_drain_method(void *service, struct request *r)
{
	json_int_t timeout;
	struct queue *q;
	int rc;

	rc = read_range(r, "timeout_ms", 0, 60000, DRAIN_TIMEOUT_MS, &timeout, &r->err);
	if (rc) {
		request_fail(r, rc);
		return;
	}
	q = queue_of(service, r, str(r, "name"), true);
	if (!q)
		return;
	rc = queue_drain(q, timeout, drained, r, &r->err);
	if (rc < 0)
		request_fail(r, rc);
}

static void pause_or_resume(void *service, struct request *r, bool pause)
{
	struct queue *q = queue_of(service, r, str(r, "name"), true);

	if (q)
		reply_rc(r, queue_set_paused(q, pause, &r->err));
}

static void queue_pause(void *service, struct request *r)
{
	pause_or_resume(service, r, true);
}

static void queue_resume(void *service, struct request *r)
{
	pause_or_resume(service, r, false);
}

static const struct param set_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM("cpus", PARAM_INTS, false, "CPUs to spread over; the first is primary and default"),
	PARAM("pairs", PARAM_INT, false, "queue pairs"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id"),
	PARAM("trust", PARAM_BOOL, false, "do not check what the guest sends"),
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
	const char *name = str(r, "new_name");
	int rc;

	*c = (struct queue_change){
		.rule = q->rec.rule,
		.trust = trust ? json_is_true(trust) : !!(q->rec.flags & VMQ_QUEUE_F_TRUST),
	};
	strcpy(c->vm, q->rec.vm);
	if ((rc = queue_may_set(q, &r->err)) ||
	    (rc = read_range(r, "weight", 0, 100, q->rec.weight, &c->weight, &r->err)) ||
	    (rc = read_range(r, "pairs", 1, VMQ_PAIRS_MAX, q->rec.pairs, &c->pairs, &r->err)) ||
	    (rc = read_word(r, "vm", c->vm, sizeof(c->vm), &r->err)))
		return rc;
	if (str(r, "vlan"))
		rc = parse_rule(str(r, "vlan"), &c->rule, &r->err);
	if (!rc && name && strcmp(name, q->rec.name))
		rc = queue_check_name(s, name, &r->err);
	if (rc || !cpus)
		return rc;
	c->n_cpus = read_cpus(cpus, c->cpu, VMQ_PAIRS_MAX, &r->err);
	if (!c->n_cpus)
		return vmq_err(&r->err, -EINVAL, "an empty list of CPUs");
	return MIN(c->n_cpus, 0);
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
	int rc = 0;

	*before = q->rec;
	if (c->pairs > q->rec.pairs)
		rc = queue_set_pairs(q, c->pairs, NULL, NULL, err);
	if (!rc && c->n_cpus) {
		rc = queue_set_cpus(q, c->cpu, c->n_cpus, err);
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
		rc = change_cpus(q, &c, &before, &r->err);
	if (rc)
		return rc;
	if (c.pairs < q->rec.pairs)
		rc = queue_check_pairs(q, c.pairs, &r->err);
	if (!rc && (json_object_get(r->params, "trust") || c.rule != q->rec.rule))
		rc = queue_set_policy(q, c.rule, c.trust, &r->err);
	if (rc) {
		change_cpus_back(q, &before);
		return rc;
	}
	if (str(r, "new_name"))
		strcpy(q->rec.name, str(r, "new_name"));
	strcpy(q->rec.vm, c.vm);
	q->rec.weight = c.weight;
	rc = queue_save(q, &r->err);
	if (rc || c.pairs == q->rec.pairs)
		return rc;
	return queue_set_pairs(q, c.pairs, queue_changed, r, &r->err);
}

static void queue_set(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, str(r, "name"), true);
	int rc;

	if (!q || queue_settling(q, r))
		return;
	rc = change_queue(service, r, q);
	if (rc < 0)
		request_fail(r, rc);
	else if (!rc)
		reply_result(r, report_queue(q));
}

static void queue_list(void *service, struct request *r)
{
	struct actor who = actor_of(r);

	reply_result(r, report_queues(service, &who));
}

static void queue_show(void *service, struct request *r)
{
	struct queue *q = queue_of(service, r, str(r, "name"), false);

	if (q)
		reply_result(r, report_queue(q));
}

static void show(void *service, struct request *r)
{
	struct actor who = actor_of(r);

	reply_result(r, report_show(service, &who));
}

static const struct param queue_filter_params[] = {
	PARAM("queue", PARAM_STRING, false, "name or id of a queue"),
	PARAM_END,
};

static void stats(void *service, struct request *r)
{
	struct actor who = actor_of(r);
	struct queue *q = NULL;

	if (str(r, "queue")) {
		q = queue_of(service, r, str(r, "queue"), false);
		if (!q)
			return;
	}
	reply_result(r, report_stats(service, q, &who));
}

static void monitor(void *service, struct request *r)
{
	struct service *s = service;

	server_monitor(s->server, r);
}

/* ---- filters ----------------------------------------------------------- */

static void filter_list(void *service, struct request *r)
{
	struct actor who = actor_of(r);
	struct queue *q = NULL;
	int rc;

	if (str(r, "queue")) {
		q = queue_of(service, r, str(r, "queue"), false);
		if (!q)
			return;
		rc = queue_next(q, QUEUE_EV_ENUM_FILTERS, &r->err);
		if (rc < 0) {
			request_fail(r, rc);
			return;
		}
	}
	reply_result(r, report_filters(service, q, &who));
}

static int read_key(const char *mac, const char *vlan, uint16_t fallback,
		    struct vmq_filter_key *key, struct vmq_err *err)
{
	int rc = parse_mac(mac, key->mac, err);

	key->rule = fallback;
	if (!rc && vlan)
		rc = parse_rule(vlan, &key->rule, err);
	return rc;
}

static bool names_host(const char *word)
{
	return !strcmp(word, "host") || !strcmp(word, "0");
}

/* Queue 0 and the drop queue are nobody's: any client may (F-13, F-28). */
static int ownerless_add(struct service *s, const struct vmq_filter_key *key, bool drop,
			 uint32_t uid, struct vmq_filter *f, struct vmq_err *err)
{
	int rc = queue_filter_check(s, key, err);

	if (rc)
		return rc;
	*f = (struct vmq_filter){ .target = drop ? VMQ_TARGET_DROP : VMQ_TARGET_HOST,
				  .owner = uid };
	return filters_add(s->filters, key, f, NULL, err);
}

/* Take back what filter.add has just set. */
static void filter_forget(struct service *s, uint32_t id)
{
	const struct filter *f = filters_by_id(s->filters, id);
	struct queue *q = s->queue[f->rec.queue];

	if (f->rec.target == VMQ_TARGET_SLOT)
		queue_filter_clear(q, f, NULL, NULL, NULL);
	else
		filters_del(s->filters, f, NULL);
}

static const struct param filter_add_params[] = {
	PARAM("queue", PARAM_STRING, true, "name or id; host: queue 0; drop: the drop queue"),
	PARAM("macs", PARAM_STRINGS, true, "destination addresses"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id; default the queue's"),
	PARAM("test", PARAM_STRING, false, "only equal"),
	PARAM("header", PARAM_STRING, false, "only mac"),
	PARAM_END,
};

static void filter_add(void *service, struct request *r)
{
	json_t *macs = json_object_get(r->params, "macs"), *made = json_array();
	const char *name = str(r, "queue"), *test = str(r, "test"), *header = str(r, "header");
	uint32_t ids[VMQ_MACS_MAX], n_ids = 0;
	struct service *s = service;
	bool drop = !strcmp(name, "drop");
	struct queue *q = NULL;
	int rc = 0;
	size_t i;

	if (!drop && !names_host(name)) {
		q = queue_of(s, r, name, true);
		if (!q)
			goto out;
	}
	if (test && strcmp(test, "equal"))
		rc = vmq_err(&r->err, -EOPNOTSUPP, "test %s is not supported: only equal is", test);
	else if (header && strcmp(header, "mac"))
		rc = vmq_err(&r->err, -EOPNOTSUPP, "header %s is not supported: only mac is", header);
	else if (!json_array_size(macs) || json_array_size(macs) > VMQ_MACS_MAX)
		rc = vmq_err(&r->err, -EINVAL, "a filter needs 1 to %d addresses", VMQ_MACS_MAX);

	for (i = 0; i < json_array_size(macs) && !rc; i++) {
		struct vmq_filter_key key;
		struct vmq_filter f = { .id = 0 };

		rc = read_key(json_string_value(json_array_get(macs, i)), str(r, "vlan"),
			      q ? q->rec.rule : VMQ_RULE_UNTAGGED, &key, &r->err);
		if (!rc)
			rc = q ? queue_filter_set(q, &key, r->uid, &f, &r->err)
			       : ownerless_add(s, &key, drop, r->uid, &f, &r->err);
		if (rc)
			break;
		ids[n_ids++] = f.id;
		json_array_append_new(made, report_filter(s, filters_by_id(s->filters, f.id)));
	}
	if (rc) {
		while (n_ids)
			filter_forget(s, ids[--n_ids]);
		request_fail(r, rc);
		goto out;
	}
	reply_result(r, json_pack("{s:O}", "filters", made));
out:
	json_decref(made);
}

static const struct param filter_of_params[] = {
	PARAM("id", PARAM_INT, false, "id of the filter"),
	PARAM("mac", PARAM_STRING, false, "or its address"),
	PARAM("vlan", PARAM_STRING, false, "and VLAN rule"),
	PARAM_END,
};

/* Find by id or key; who may touch it. NULL: @r has been answered. */
static const struct filter *filter_of(struct service *s, struct request *r)
{
	const struct filter *f = NULL;
	struct vmq_filter_key key;
	int rc = 0;

	if (json_object_get(r->params, "id")) {
		json_int_t id = json_integer_value(json_object_get(r->params, "id"));

		f = id > 0 && id <= VMQ_FILTERS_MAX ? filters_by_id(s->filters, id) : NULL;
		if (!f)
			rc = vmq_err(&r->err, -ENOENT, "no filter %lld", (long long)id);
	} else if (str(r, "mac")) {
		rc = read_key(str(r, "mac"), str(r, "vlan"), VMQ_RULE_UNTAGGED, &key, &r->err);
		f = rc ? NULL : filters_by_key(s->filters, &key);
		if (!rc && !f)
			rc = vmq_err(&r->err, -ENOENT, "no filter %s vlan %s", str(r, "mac"),
				     str(r, "vlan") ? str(r, "vlan") : "untagged");
	} else {
		rc = vmq_err(&r->err, -EINVAL, "name a filter by id, or by mac and vlan");
	}
	if (!rc && r->uid && f->rec.owner != r->uid)
		rc = vmq_err(&r->err, -EPERM, "filter %u was set by uid %u", f->rec.id,
			     f->rec.owner);
	if (!rc)
		return f;
	request_fail(r, rc);
	return NULL;
}

static void filter_show(void *service, struct request *r)
{
	struct service *s = service;
	const struct filter *f = filter_of(s, r);
	struct queue *q = f ? s->queue[f->rec.queue] : NULL;
	int rc = 0;

	if (!f)
		return;
	if (q && f->rec.target == VMQ_TARGET_SLOT)
		rc = queue_next(q, QUEUE_EV_QUERY_FILTER, &r->err);
	if (rc < 0)
		request_fail(r, rc);
	else
		reply_result(r, json_pack("{s:o}", "filter", report_filter(s, f)));
}

static void filter_cleared(struct queue *q, void *arg)
{
	(void)q;
	reply_done(arg);
}

static void filter_del(void *service, struct request *r)
{
	struct service *s = service;
	const struct filter *f = filter_of(s, r);
	struct queue *q;
	int rc;

	if (!f)
		return;
	q = s->queue[f->rec.queue];
	if (!q || f->rec.target != VMQ_TARGET_SLOT) {
		reply_rc(r, filters_del(s->filters, f, &r->err));
		return;
	}
	if (queue_defer(q, r))
		return;
	rc = queue_filter_clear(q, f, filter_cleared, r, &r->err);
	if (rc <= 0)
		reply_rc(r, rc);
}

static const struct param filter_move_params[] = {
	PARAM("id", PARAM_INT, true, "id of the filter"),
	PARAM("queue", PARAM_STRING, true, "name or id of the new queue"),
	PARAM_END,
};

static void filter_move(void *service, struct request *r)
{
	struct service *s = service;
	const struct filter *f = filter_of(s, r);
	struct queue *from, *to;
	int rc;

	if (!f)
		return;
	from = s->queue[f->rec.queue];
	if (!from || f->rec.target != VMQ_TARGET_SLOT) {
		rc = vmq_err(&r->err, -EINVAL, "filter %u is not one of a virtual machine's queue",
			     f->rec.id);
		request_fail(r, rc);
		return;
	}
	to = queue_of(s, r, str(r, "queue"), true);
	if (!to || queue_defer(from, r))
		return;
	rc = queue_filter_move(from, f, to, filter_cleared, r, &r->err);
	if (rc <= 0)
		reply_rc(r, rc);
}

const struct method service_methods[] = {
	{ "show", show, NULL, METHOD_READS, "the adapter and its queues" },
	{ "queue.list", queue_list, NULL, METHOD_READS, "all queues, the host first" },
	{ "queue.show", queue_show, name_params, METHOD_READS, "one queue with pairs and filters" },
	{ "queue.add", queue_add, queue_params, METHOD_CHANGES, "allocate, set filters, complete" },
	{ "queue.alloc", queue_alloc, queue_params, METHOD_CHANGES, "allocate only" },
	{ "queue.complete", queue_complete_batch, names_params, METHOD_ENDS, "complete a batch" },
	{ "queue.drain", queue_drain_method, drain_params, METHOD_ENDS,
	  "clear the filters and deliver what the queue holds" },
	{ "queue.free", queue_free_method, name_params, METHOD_ENDS, "free a queue without filters" },
	{ "queue.del", queue_del, name_params, METHOD_ENDS, "clear the filters and free" },
	{ "queue.pause", queue_pause, name_params, METHOD_CHANGES, "the VM is paused: deliver nothing" },
	{ "queue.resume", queue_resume, name_params, METHOD_CHANGES, "the VM runs again" },
	{ "queue.set", queue_set, set_params, METHOD_CHANGES, "change a live queue" },
	{ "rss.show", rss_show, name_params, METHOD_READS, "receive-side scaling of a queue" },
	{ "rss.set", rss_set, rss_set_params, METHOD_CHANGES, "change it" },
	{ "rss.move", rss_move, rss_move_params, METHOD_CHANGES, "move entries of tables to other CPUs" },
	{ "filter.list", filter_list, queue_filter_params, METHOD_READS, "filters, of one queue or all" },
	{ "filter.show", filter_show, filter_of_params, METHOD_READS, "one filter" },
	{ "filter.add", filter_add, filter_add_params, METHOD_CHANGES, "set filters" },
	{ "filter.del", filter_del, filter_of_params, METHOD_ENDS, "clear a filter" },
	{ "filter.move", filter_move, filter_move_params, METHOD_CHANGES, "move a filter, atomically" },
	{ "filter.apply", filter_apply, filter_apply_params, METHOD_CHANGES,
	  "set, clear and move many filters as one change" },
	{ "stats", stats, queue_filter_params, METHOD_READS, "counters" },
	{ "monitor", monitor, NULL, METHOD_READS, "stream events" },
	{ NULL, NULL, NULL, METHOD_READS, NULL },
};

void service_client_gone(void *service, uint64_t client_id)
{
	struct service *s = service;
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && s->queue[id]->client_id == client_id)
			queue_abandon(s->queue[id]);
}
