// SPDX-License-Identifier: GPL-2.0-only
/*
 * transfer.c - queue.export and queue.import: a queue moves to another service
 *
 * What moves are settings, not frames: name, addresses, filters, channel, pairs and
 * their CPUs, receive-side scaling. The way of a virtual machine to another host is
 * export, import there, and then free here; frames that come meanwhile go to queue
 * 0 of either side.
 *
 * The other host need not be like this one. A CPU without a worker there is stood
 * in for (control/rss.h), and where queues, pairs or buffers are used up the queue waits
 * in Set: its virtual machine works on queue 0 (L-3).
 */
#include <errno.h>
#include <string.h>

#include "adapter/rss_words.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/message.h"
#include "control/methods.h"
#include "control/report.h"
#include "control/rss.h"
#include "control/teardown.h"

/* ---- export --------------------------------------------------------------- */

struct filter_export {
	uint32_t queue;
	json_t *list;
};

static int export_filter(const struct filter *f, void *arg)
{
	char mac[MAC_STRLEN], rule[RULE_STRLEN];
	struct filter_export *x = arg;

	if (f->rec.queue == x->queue && f->rec.target == VMQ_TARGET_SLOT)
		json_array_append_new(x->list, json_pack("{s:s, s:s}", "mac",
							 format_mac(f->key.mac, mac), "vlan",
							 format_rule(f->key.rule, rule)));
	return 0;
}

static json_t *export_rss(const struct vmq_queue_record *rec)
{
	bool on = rec->flags & VMQ_QUEUE_F_RSS;
	char key[RSS_KEY_STRLEN];
	json_t *table = json_array(), *o;
	int i;

	for (i = 0; i < rec->rss_entries; i++)
		json_array_append_new(table, json_integer(rec->rss_table[i]));
	o = json_pack("{s:b, s:o, s:i, s:i}", "on", on, "table", table, "default",
		      (int)rec->rss_default, "primary", (int)rec->rss_primary);
	/* Off means that types and key begin afresh (H-9). */
	if (o && on) {
		json_object_set_new(o, "types", rss_types_json(rec->rss_types));
		json_object_set_new(o, "key", json_string(rss_format_key(rec->rss_key, key)));
	}
	return o;
}

void queue_export(void *service, struct request *r)
{
	struct filter_export x = { .list = json_array() };
	json_t *macs = json_array(), *cpus = json_array(), *o;
	struct service *s = service;
	const struct vmq_queue_record *rec;
	char word[RULE_STRLEN];
	struct queue *q;
	int i;

	q = queue_of(s, r, param_str(r, "name"), false);
	if (!q) {
		json_decref(x.list);
		json_decref(macs);
		json_decref(cpus);
		return;
	}
	rec = &q->rec;
	x.queue = q->id;
	filters_each(s->filters, export_filter, &x);
	for (i = 0; i < rec->n_macs; i++) {
		char mac[MAC_STRLEN];

		json_array_append_new(macs, json_string(format_mac(rec->mac[i], mac)));
	}
	for (i = 0; i < rec->pairs; i++)
		json_array_append_new(cpus, json_integer(rec->cpu[i]));
	o = json_pack("{s:s, s:s, s:o, s:s, s:i, s:o, s:b, s:s, s:b, s:b, s:i, s:i, s:b, s:o, s:o}",
		      "name", rec->name, "vm", rec->vm, "macs", macs, "vlan", format_rule(rec->rule, word),
		      "pairs", (int)rec->pairs, "cpus", cpus, "placed",
		      !!(rec->flags & VMQ_QUEUE_F_PLACED), "channel", rec->channel, "trust",
		      !!(rec->flags & VMQ_QUEUE_F_TRUST), "gro",
		      !(rec->flags & VMQ_QUEUE_F_NO_GRO), "ring", (int)rec->ring, "weight",
		      (int)rec->weight, "complete", !!(rec->flags & VMQ_QUEUE_F_COMPLETE), "rss",
		      export_rss(rec), "filters", x.list);
	reply_result(r, o ? json_pack("{s:o}", "queue", o) : NULL);
}

/* ---- import --------------------------------------------------------------- */

const struct param queue_import_params[] = {
	PARAM("queue", PARAM_OBJECT, true, "what queue.export gave"),
	PARAM("channel", PARAM_STRING, false, "another channel than there"),
	PARAM_END,
};

/* The parts of the document, checked like the parameters of a method. */
static const struct param document_params[] = {
	PARAM("name", PARAM_STRING, true, "name of the queue"),
	PARAM("vm", PARAM_STRING, false, "name of the virtual machine"),
	PARAM("macs", PARAM_STRINGS, false, "addresses"),
	PARAM("vlan", PARAM_STRING, false, "VLAN rule of the port"),
	PARAM("pairs", PARAM_INT, false, "queue pairs"),
	PARAM("cpus", PARAM_INTS, false, "CPU of each pair"),
	PARAM("placed", PARAM_BOOL, false, "they were asked for"),
	PARAM("channel", PARAM_STRING, false, "channel specification"),
	PARAM("trust", PARAM_BOOL, false, "do not check what the guest sends"),
	PARAM("gro", PARAM_BOOL, false, "join segments of TCP streams for the guest"),
	PARAM("ring", PARAM_INT, false, "suggested receive buffers"),
	PARAM("weight", PARAM_INT, false, "0 to 100"),
	PARAM("complete", PARAM_BOOL, false, "allocation is complete"),
	PARAM("rss", PARAM_OBJECT, false, "receive-side scaling"),
	PARAM("filters", PARAM_OBJECTS, false, "each with mac and vlan"),
	PARAM_END,
};

static const struct param filter_params[] = {
	PARAM("mac", PARAM_STRING, true, "destination address"),
	PARAM("vlan", PARAM_STRING, true, "VLAN rule"),
	PARAM_END,
};

static const struct param rss_params[] = {
	PARAM("on", PARAM_BOOL, true, "hash and spread"),
	PARAM("types", PARAM_STRINGS, false, "hash types"),
	PARAM("key", PARAM_STRING, false, "80 hexadecimal digits"),
	PARAM("table", PARAM_INTS, true, "CPU of each entry"),
	PARAM("default", PARAM_INT, true, "CPU of frames without a hash"),
	PARAM("primary", PARAM_INT, true, "CPU of all frames, while off"),
	PARAM_END,
};

static const struct method document = { .name = "a queue to import", .params = document_params };
static const struct method filter_document = { .name = "a filter to import",
					       .params = filter_params };
static const struct method rss_document = { .name = "the rss of a queue to import",
					    .params = rss_params };

/* All that can be seen to be wrong without making anything. */
static int check_document(json_t *doc, struct vmq_err *err)
{
	json_t *filters = json_object_get(doc, "filters"), *rss = json_object_get(doc, "rss"), *f;
	int rc = message_check(&document, doc, err);
	size_t i;

	json_array_foreach(filters, i, f)
		if (!rc)
			rc = message_check(&filter_document, f, err);
	if (!rc && rss)
		rc = message_check(&rss_document, rss, err);
	return rc;
}

/* It was complete, and is to be so here. */
static bool to_be_completed(const struct vmq_queue_record *rec, const json_t *doc)
{
	return rec->weight && json_is_true(json_object_get(doc, "complete"));
}

static int import_queue(struct service *s, const struct request *r, json_t *doc,
			struct queue **q, struct vmq_err *err)
{
	struct request part = *r;
	struct vmq_queue_record rec;
	int rc, i;

	part.params = doc;
	rc = read_queue(&part, &rec, err);
	if (!rc)
		rc = read_word(r, "channel", rec.channel, sizeof(rec.channel), err);
	if (rc)
		return rc;
	/* Named they are in any case; that does not make them asked for. */
	if (json_is_false(json_object_get(doc, "placed")))
		rec.flags &= ~VMQ_QUEUE_F_PLACED;
	for (i = 0; i < rec.pairs; i++)
		if (!datapath_worker(s->datapath, rec.cpu[i]))
			rec.cpu[i] = UINT16_MAX;
	rec.flags |= VMQ_QUEUE_F_ENDS;	/* until all of it is there: queue_made() */
	if (to_be_completed(&rec, doc) && queue_check_room(s, NULL))
		rec.flags |= VMQ_QUEUE_F_WAITS;
	return queue_allocate(s, &rec, false, q, err);
}

static int import_rss(struct queue *q, const struct request *r, json_t *rss, struct vmq_err *err)
{
	struct vmq_queue_record next;
	struct request part = *r;
	int rc;

	if (!rss)
		return 0;
	part.params = rss;
	rc = rss_read(q->service, &part, &q->rec, &next, err);
	next.flags = (next.flags & ~VMQ_QUEUE_F_PLACED) | (q->rec.flags & VMQ_QUEUE_F_PLACED);
	if (!rc && next.rss_entries > 1 && next.flags & VMQ_QUEUE_F_RSS)
		rc = queue_check_pairs(q, &next, err);
	return rc ? rc : queue_rss_apply(q, &next, err);
}

static int import_filters(struct queue *q, const struct request *r, const json_t *filters,
			  struct vmq_err *err)
{
	const json_t *f;
	int rc = 0;
	size_t i;

	json_array_foreach(filters, i, f) {
		struct vmq_filter rec = { .id = 0 };
		struct vmq_filter_key key = { .rule = 0 };

		rc = parse_mac(json_string_value(json_object_get(f, "mac")), key.mac, err);
		if (!rc)
			rc = parse_rule(json_string_value(json_object_get(f, "vlan")), &key.rule, err);
		if (!rc)
			rc = queue_address_check(q->service, q, key.mac, key.rule, err);
		if (!rc)
			rc = queue_filter_set(q, &key, r->uid, &rec, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* The answer comes when nothing of the queue is left. */
static void import_undone(struct queue *q, void *arg)
{
	struct request *r = arg;

	(void)q;
	request_fail(r, r->err.code);
}

void queue_import(void *service, struct request *r)
{
	json_t *doc = json_object_get(r->params, "queue"), *result;
	struct vmq_err why = VMQ_ERR_INIT;
	struct queue *q;
	int rc;

	rc = check_document(doc, &r->err);
	if (!rc)
		rc = import_queue(service, r, doc, &q, &r->err);
	if (rc) {
		request_fail(r, rc);
		return;
	}
	rc = import_rss(q, r, json_object_get(doc, "rss"), &r->err);
	if (!rc)
		rc = import_filters(q, r, json_object_get(doc, "filters"), &r->err);
	if (!rc) {
		rc = queue_made(q, to_be_completed(&q->rec, doc), &why);
		if (rc && rc != -ENOBUFS)
			rc = vmq_err(&r->err, rc, "%s", why.text);
		else if (rc)
			queue_wait_for_room(q);
		if (rc == -ENOBUFS)
			rc = 0;
	}
	if (rc) {
		if (queue_delete(q, import_undone, r, NULL) < 0)
			request_fail(r, rc);
		return;
	}
	result = report_queue(q);
	if (result && why.text[0])
		json_object_set_new(result, "on_queue_0", json_string(why.text));
	reply_result(r, result);
}
