/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * methods.c - what the protocol can do, as one table
 *
 * A handler turns parameters into a call of a verb (queue.h, filters.h) and its
 * outcome into a reply. Parameter types are checked by the server against the
 * tables below before a handler runs; words are checked here.
 */
#include <errno.h>
#include <string.h>

#include "control/apply.h"
#include "control/host.h"
#include "control/methods.h"
#include "control/report.h"

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

void reply_done(struct request *r)
{
	reply_result(r, json_object());
}

/* Reply or fail by @rc. */
void reply_rc(struct request *r, int rc)
{
	if (rc < 0)
		request_fail(r, rc);
	else
		reply_done(r);
}

const char *param_str(const struct request *r, const char *key)
{
	return json_string_value(json_object_get(r->params, key));
}

int queue_named(struct service *s, struct request *r, const char *name, bool change,
		struct queue **q, struct vmq_err *err)
{
	struct actor who = actor_of(r);

	*q = queue_find(s, name);
	if (*q)
		return who.uid && (change || (*q)->rec.owner != who.uid)
			       ? queue_may_change(*q, &who, err) : 0;
	if (host_is(name))
		return vmq_err(err, -EINVAL, "queue 0 is the host: it is always there and cannot be "
			       "made, changed or freed");
	return vmq_err(err, -ENOENT, "no queue %s", name);
}

struct queue *queue_of(struct service *s, struct request *r, const char *name, bool change)
{
	struct queue *q;
	int rc = queue_named(s, r, name, change, &q, &r->err);

	if (rc) {
		request_fail(r, rc);
		return NULL;
	}
	if (change && queue_defer(q, r))
		return NULL;
	return q;
}

/* ---- reading parameters ------------------------------------------------ */

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

int read_range(const struct request *r, const char *key, json_int_t min, json_int_t max,
		      json_int_t fallback, json_int_t *out, struct vmq_err *err)
{
	const json_t *v = json_object_get(r->params, key);

	*out = v ? json_integer_value(v) : fallback;
	if (*out >= min && *out <= max)
		return 0;
	return vmq_err(err, -EINVAL, "%s must be %lld to %lld, not %lld", key, (long long)min,
		       (long long)max, (long long)*out);
}

int read_word(const struct request *r, const char *key, char *out, size_t size,
		     struct vmq_err *err)
{
	const char *word = param_str(r, key);

	if (!word)
		return 0;
	if (strlen(word) >= size)
		return vmq_err(err, -EMSGSIZE, "%s is longer than %zu bytes", key, size - 1);
	snprintf(out, size, "%s", word);
	return 0;
}


/* ---- the adapter -------------------------------------------------------- */

static void show(void *service, struct request *r)
{
	struct actor who = actor_of(r);

	reply_result(r, report_show(service, &who));
}

const struct param queue_filter_params[] = {
	PARAM("queue", PARAM_STRING, false, "name or id of a queue"),
	PARAM_END,
};

static void stats(void *service, struct request *r)
{
	struct actor who = actor_of(r);
	struct queue *q = NULL;

	if (param_str(r, "queue")) {
		q = queue_of(service, r, param_str(r, "queue"), false);
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
	{ "queue.del", queue_del, del_params, METHOD_ENDS, "clear the filters and free" },
	{ "queue.pause", queue_pause, name_params, METHOD_CHANGES, "the VM is paused: deliver nothing" },
	{ "queue.resume", queue_resume, name_params, METHOD_CHANGES, "the VM runs again" },
	{ "queue.export", queue_export, name_params, METHOD_READS, "its settings, to import" },
	{ "queue.import", queue_import, queue_import_params, METHOD_CHANGES,
	  "make a queue like one of another service" },
	{ "queue.set", queue_set, set_params, METHOD_CHANGES, "change a live queue" },
	{ "rss.show", rss_show, name_params, METHOD_READS, "receive-side scaling of a queue" },
	{ "rss.set", rss_set, rss_set_params, METHOD_CHANGES, "change it" },
	{ "rss.move", rss_move, rss_move_params, METHOD_CHANGES, "move entries of tables to other CPUs" },
	{ "rss.switch", rss_switch, rss_switch_params, METHOD_CHANGES, "RSS of all queues, off or on" },
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
