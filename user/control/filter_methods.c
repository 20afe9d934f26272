/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filter_methods.c - filter.*: list, show, add, del, move
 *
 * filter.apply, a change of many, is in apply.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "control/host.h"
#include "control/methods.h"
#include "control/report.h"
#include "control/teardown.h"

void filter_list(void *service, struct request *r)
{
	struct actor who = actor_of(r);
	const char *word = param_str(r, "queue");
	int rc, only = FILTERS_ALL;
	struct queue *q;

	if (host_is(word)) {
		only = 0;
	} else if (word && !strcmp(word, "drop")) {
		only = FILTERS_DROP;
	} else if (word) {
		q = queue_of(service, r, word, false);
		if (!q)
			return;
		rc = queue_next(q, QUEUE_EV_ENUM_FILTERS, &r->err);
		if (rc < 0) {
			request_fail(r, rc);
			return;
		}
		only = (int)q->id;
	}
	reply_result(r, report_filters(service, only, &who));
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

const struct param filter_add_params[] = {
	PARAM("queue", PARAM_STRING, true, "name or id; host: queue 0; drop: the drop queue"),
	PARAM("macs", PARAM_STRINGS, true, "destination addresses"),
	PARAM("vlan", PARAM_STRING, false, "untagged, any, or a VLAN id; default the queue's"),
	PARAM("test", PARAM_STRING, false, "only equal"),
	PARAM("header", PARAM_STRING, false, "only mac"),
	PARAM_END,
};

void filter_add(void *service, struct request *r)
{
	json_t *macs = json_object_get(r->params, "macs"), *made = json_array();
	const char *name = param_str(r, "queue"), *test = param_str(r, "test"), *header = param_str(r, "header");
	uint32_t ids[VMQ_MACS_MAX], n_ids = 0;
	struct service *s = service;
	bool drop = !strcmp(name, "drop");
	struct queue *q = NULL;
	int rc = 0;
	size_t i;

	if (!drop && !host_is(name)) {
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

		rc = read_key(json_string_value(json_array_get(macs, i)), param_str(r, "vlan"),
			      q ? q->rec.rule : VMQ_RULE_UNTAGGED, &key, &r->err);
		if (!rc && q)
			rc = queue_address_check(s, q, key.mac, key.rule, &r->err);
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

const struct param filter_of_params[] = {
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
	} else if (param_str(r, "mac")) {
		rc = read_key(param_str(r, "mac"), param_str(r, "vlan"), VMQ_RULE_UNTAGGED, &key, &r->err);
		f = rc ? NULL : filters_by_key(s->filters, &key);
		if (!rc && !f)
			rc = vmq_err(&r->err, -ENOENT, "no filter %s vlan %s", param_str(r, "mac"),
				     param_str(r, "vlan") ? param_str(r, "vlan") : "untagged");
	} else {
		rc = vmq_err(&r->err, -EINVAL, "name a filter by id, or by mac and vlan");
	}
	if (!rc && f && r->uid && f->rec.owner != r->uid)
		rc = vmq_err(&r->err, -EPERM, "filter %u was set by uid %u", f->rec.id,
			     f->rec.owner);
	if (!rc)
		return f;
	request_fail(r, rc);
	return NULL;
}

void filter_show(void *service, struct request *r)
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

void filter_del(void *service, struct request *r)
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

const struct param filter_move_params[] = {
	PARAM("id", PARAM_INT, true, "id of the filter"),
	PARAM("queue", PARAM_STRING, true, "name or id of the new queue"),
	PARAM_END,
};

void filter_move(void *service, struct request *r)
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
	to = queue_of(s, r, param_str(r, "queue"), true);
	if (!to || queue_defer(from, r))
		return;
	rc = queue_filter_move(from, f, to, filter_cleared, r, &r->err);
	if (rc <= 0)
		reply_rc(r, rc);
}
