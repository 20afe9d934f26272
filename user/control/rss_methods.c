// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_methods.c - rss.show, rss.set, rss.move
 *
 * rss.set is the parameters call: it changes what is named, all of it or nothing,
 * and may wait some milliseconds for frames under way. rss.move changes single
 * entries and never waits. Consecutive moves of one queue are a group: all done
 * or none, with one outcome, judged by the state that the whole group leads to.
 *
 * In NDIS a move runs on the CPU that the entry is on, and one that meets it
 * elsewhere is not accepted: of two who move the same entry, the second finds out
 * that his picture is old. Here the caller may say where he thinks it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adapter/rss_words.h"
#include "common/util.h"
#include "control/balance.h"
#include "control/events.h"
#include "control/host.h"
#include "control/methods.h"
#include "control/rss.h"

/* ---- rss.show ------------------------------------------------------------ */

json_t *rss_types_json(uint16_t types)
{
	const struct rss_type *t;
	json_t *list = json_array();

	for (t = rss_types; t->name; t++)
		if (types & t->bit)
			json_array_append_new(list, json_string(t->name));
	return list;
}

/* Where the hash comes from; while there is none, nothing is said. */
static void add_hash(json_t *effective, const struct queue *q)
{
	const char *why = NULL;
	uint16_t types;

	if (!queue_rss_on(q))
		return;
	types = queue_nic_types(q, &why);
	json_object_set_new(effective, "hash", json_string(types ? "nic" : "software"));
	if (types)
		json_object_set_new(effective, "nic_types", rss_types_json(types));
	else
		json_object_set_new(effective, "hash_why", json_string(why));
}

/* What is done of what is asked for (O-6): CPUs that work, pairs that serve. */
static json_t *effective_json(struct queue *q)
{
	json_t *table = json_array(), *pairs = json_array(), *effective;
	struct rss_demand d;
	int i, serving = 0;

	rss_demand(q, &q->rec, &d);
	for (i = 0; i < d.entries; i++) {
		json_array_append_new(table, json_integer(d.cpu[i]));
		json_array_append_new(pairs, json_integer(rss_pair_on(&q->place, d.cpu[i])));
	}
	for (i = 0; i < q->place.pairs; i++)
		serving += q->place.serves[i];
	effective = json_pack("{s:b, s:o, s:b, s:i, s:i, s:o, s:o, s:i, s:i}", "on", queue_rss_on(q),
			 "types", rss_types_json(queue_rss_on(q) ? q->rec.rss_types : 0), "dynamic",
			 balance_moves(q), "pairs", (int)q->width, "serving", serving, "table",
			 table, "pair_of_entry", pairs, "default", (int)d.home, "default_pair",
			 rss_pair_on(&q->place, d.home));
	add_hash(effective, q);
	return effective;
}

json_t *rss_frames_json(struct service *s, uint32_t queue, int entries)
{
	struct vmq_rss_stats rs = { 0 };
	json_t *list = json_array();
	int i;

	attach_rss_stats(s->attachment, queue, &rs);
	for (i = 0; i < entries; i++)
		json_array_append_new(list, json_integer((json_int_t)rs.entry[i]));
	return json_pack("{s:I, s:I, s:o}", "unhashed", (json_int_t)rs.unhashed, "nic",
			 (json_int_t)rs.nic, "entries", list);
}

static json_t *rss_json(struct queue *q)
{
	const struct vmq_queue_record *rec = &q->rec;
	char key[RSS_KEY_STRLEN];
	json_t *table = json_array();
	int i;

	for (i = 0; i < rec->rss_entries; i++)
		json_array_append_new(table, json_integer(rec->rss_table[i]));
	return json_pack("{s:{s:s, s:i, s:b, s:b, s:o, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o}}", "rss",
			 "name", rec->name, "id", (int)q->id, "on",
			 !!(rec->flags & VMQ_QUEUE_F_RSS), "dynamic",
			 !(rec->flags & VMQ_QUEUE_F_PLACED), "types", rss_types_json(rec->rss_types),
			 "key", rss_format_key(rec->rss_key, key), "pairs", (int)rec->pairs,
			 "default", (int)rec->rss_default, "primary", (int)rec->rss_primary,
			 "entries", (int)rec->rss_entries, "table", table, "effective",
			 effective_json(q), "frames",
			 rss_frames_json(q->service, q->id, rec->rss_entries));
}

void rss_show(void *service, struct request *r)
{
	struct queue *q;

	rss_follow_nic(service);
	if (host_is(param_str(r, "name"))) {
		reply_result(r, host_rss_json(service));
		return;
	}
	q = queue_of(service, r, param_str(r, "name"), false);
	if (q)
		reply_result(r, rss_json(q));
}

/* ---- rss.set ------------------------------------------------------------- */

const struct param rss_set_params[] = {
	PARAM("name", PARAM_STRING, true, "name or id of the queue"),
	PARAM("on", PARAM_BOOL, false, "hash and spread, or not"),
	PARAM("types", PARAM_STRINGS, false, "hash types, all or none; none turns RSS off"),
	PARAM("key", PARAM_STRING, false, "80 hexadecimal digits, or nic"),
	PARAM("table", PARAM_INTS, false, "CPU of each entry; 1, 2, 4, ... 128 of them"),
	PARAM("spread", PARAM_INTS, false, "or: CPUs to fill the table with, in turn"),
	PARAM("entries", PARAM_INT, false, "size of the table"),
	PARAM("default", PARAM_INT, false, "CPU of frames without a hash, while on"),
	PARAM("primary", PARAM_INT, false, "CPU of all frames, while off"),
	PARAM("dynamic", PARAM_BOOL, false, "let the load decide about its CPUs, or not"),
	PARAM_END,
};

static int read_cpu(const struct request *r, const char *key, uint16_t *cpu, struct vmq_err *err)
{
	const json_t *v = json_object_get(r->params, key);
	json_int_t n = json_integer_value(v);

	if (!v)
		return 0;
	if (n < 0 || n >= UINT16_MAX)
		return vmq_err(err, -EINVAL, "%s: there is no CPU %lld", key, (long long)n);
	*cpu = n;
	return 0;
}

static int read_types(const struct request *r, uint16_t *types, struct vmq_err *err)
{
	const json_t *list = json_object_get(r->params, "types"), *v;
	uint16_t bits;
	size_t i;
	int rc;

	if (!list)
		return 0;
	*types = 0;
	json_array_foreach(list, i, v) {
		rc = rss_parse_type(json_string_value(v), &bits, err);
		if (rc)
			return rc;
		*types |= bits;
	}
	return 0;
}

static int read_table(const struct request *r, struct vmq_queue_record *next, struct vmq_err *err)
{
	const json_t *table = json_object_get(r->params, "table");
	const json_t *spread = json_object_get(r->params, "spread");
	const json_t *entries = json_object_get(r->params, "entries");
	json_int_t n = entries ? json_integer_value(entries) : VMQ_RSS_ENTRIES_MAX;
	uint16_t cpu[VMQ_RSS_ENTRIES_MAX];
	int rc;

	if (table && (spread || entries))
		return vmq_err(err, -EINVAL, "give a table, or CPUs to spread over and the number of "
			       "entries");
	if (!table && !spread)
		return entries ? rss_resize(next, n < 0 || n > UINT16_MAX ? 0 : n, err) : 0;
	if (!spread)
		n = json_array_size(table);
	if (n < 1 || n > VMQ_RSS_ENTRIES_MAX || n & (n - 1))
		return vmq_err(err, -EINVAL, "a table has 1, 2, 4, ... %d entries, not %lld",
			       VMQ_RSS_ENTRIES_MAX, (long long)n);
	rc = read_cpus(table ? table : spread, cpu, VMQ_RSS_ENTRIES_MAX, err);
	if (rc < 0)
		return rc;
	if (!rc || rc > n)
		return vmq_err(err, -EINVAL, "%d CPUs to spread over %lld entries", rc, (long long)n);
	rss_spread(next, cpu, rc, n);
	return 0;
}

/*
 * Going off forgets types and key, and ignores those of the request: what is
 * turned on again begins as in the beginning (H-9). Table and default are kept,
 * and may be moved meanwhile (D-3).
 */
static int turn_off(struct vmq_queue_record *next, const struct vmq_queue_record *old,
		    struct vmq_err *err)
{
	next->flags &= ~VMQ_QUEUE_F_RSS;
	next->rss_types = old->rss_types;
	memcpy(next->rss_key, old->rss_key, sizeof(next->rss_key));
	if (!(old->flags & VMQ_QUEUE_F_RSS))
		return 0;
	next->rss_types = RSS_TYPES_ALL;
	return rss_random_key(next->rss_key, err);
}

int rss_read(struct service *s, const struct request *r, const struct vmq_queue_record *old,
	     struct vmq_queue_record *next, struct vmq_err *err)
{
	const char *key = json_string_value(json_object_get(r->params, "key"));
	const json_t *on = json_object_get(r->params, "on");
	int rc;

	*next = *old;
	if ((rc = read_types(r, &next->rss_types, err)) ||
	    (rc = key ? rss_read_key(s, key, next->rss_key, err) : 0) ||
	    (rc = read_table(r, next, err)) ||
	    (rc = read_cpu(r, "default", &next->rss_default, err)) ||
	    (rc = read_cpu(r, "primary", &next->rss_primary, err)))
		return rc;
	if (!next->rss_types && json_is_true(on))
		return vmq_err(err, -EINVAL, "RSS without a hash type is off: name some, or all");
	if (!next->rss_types || json_is_false(on))
		return turn_off(next, old, err);
	if (on)
		next->flags |= VMQ_QUEUE_F_RSS;
	return 0;
}

/* Does a request say on which CPUs the queue is to be? Then the load does not. */
static bool places(const struct request *r)
{
	static const char *const words[] = { "table", "spread", "default", "primary" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (json_object_get(r->params, words[i]))
			return true;
	return json_is_false(json_object_get(r->params, "dynamic"));
}

/* What is placed begins where it is. */
static int read_set(const struct queue *q, const struct request *r, struct vmq_queue_record *next,
		    struct vmq_err *err)
{
	bool dynamic = json_is_true(json_object_get(r->params, "dynamic"));
	struct vmq_queue_record old = q->rec;
	int rc;

	if (places(r) && dynamic)
		return vmq_err(err, -EINVAL, "a queue's CPUs are those that are named, or dynamic, not "
			       "both");
	if (places(r))
		queue_rss_current(q, &old);
	rc = rss_read(q->service, r, &old, next, err);
	if (places(r))
		next->flags |= VMQ_QUEUE_F_PLACED;
	else if (dynamic)
		next->flags &= ~VMQ_QUEUE_F_PLACED;
	return rc;
}

static int may_change_host(const struct request *r, struct vmq_err *err)
{
	return r->uid ? vmq_err(err, -EPERM, "queue 0 is the administrator's") : 0;
}

static int host_set(struct service *s, struct request *r)
{
	struct vmq_queue_record next;
	int rc = may_change_host(r, &r->err);

	if (!rc && json_object_get(r->params, "primary"))
		rc = vmq_err(&r->err, -EINVAL, "queue 0 has no primary CPU: while its RSS is off its "
			     "frames stay where they arrive");
	if (!rc && json_object_get(r->params, "dynamic"))
		rc = vmq_err(&r->err, -EINVAL, "queue 0's CPUs are those that are named: the load does "
			     "not decide about them");
	if (!rc)
		rc = rss_read(s, r, &s->host, &next, &r->err);
	if (!rc && memcmp(&next, &s->host, sizeof(next))) {
		rc = host_rss_apply(s, &next, &r->err);
		if (!rc)
			server_event_take(s->server, json_pack("{s:s, s:i, s:s}", "event",
							       "queue-rss", "queue", 0, "name",
							       "host"));
	}
	return rc;
}

void rss_set(void *service, struct request *r)
{
	struct vmq_queue_record next;
	struct queue *q;
	int rc;

	rss_follow_nic(service);
	if (host_is(param_str(r, "name"))) {
		rc = host_set(service, r);
		if (rc)
			request_fail(r, rc);
		else
			reply_result(r, host_rss_json(service));
		return;
	}
	q = queue_of(service, r, param_str(r, "name"), true);
	if (!q || queue_settling(q, r))
		return;
	rc = queue_may_set(q, &r->err);
	if (!rc)
		rc = read_set(q, r, &next, &r->err);
	/* Nothing says "unchanged" here: what is equal is (H-11). */
	if (!rc && memcmp(&next, &q->rec, sizeof(next))) {
		rc = queue_rss_check(q, &next, &r->err);
		if (!rc)
			rc = queue_rss_apply(q, &next, &r->err);
		if (!rc) {
			queue_announce(q, "queue-rss");
			balance_wake(q->service);
		}
	}
	if (rc)
		request_fail(r, rc);
	else
		reply_result(r, rss_json(q));
}

/* ---- rss.move ------------------------------------------------------------ */

const struct param rss_move_params[] = {
	PARAM("moves", PARAM_OBJECTS, true,
	      "each with name, entry (a number, default or primary), cpu and perhaps from"),
	PARAM_END,
};

/* NDIS has numbers for them, too. */
#define ENTRY_DEFAULT	0xffff
#define ENTRY_PRIMARY	0xfffe

/* What a move changes in @next; NULL: nothing that there is. */
static uint16_t *find_entry(const json_t *entry, struct vmq_queue_record *next)
{
	const char *word = json_string_value(entry);
	json_int_t n = json_is_integer(entry) ? json_integer_value(entry) : -1;

	if (n >= 0 && n < next->rss_entries)
		return &next->rss_table[n];
	if (n == ENTRY_DEFAULT || (word && !strcmp(word, "default")))
		return &next->rss_default;
	if (n == ENTRY_PRIMARY || (word && !strcmp(word, "primary")))
		return &next->rss_primary;
	return NULL;
}

static bool is_cpu(const json_t *v)
{
	return json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < UINT16_MAX;
}

/* @stale: set where an entry is not on the CPU that the caller knows (D-7). */
static int read_move(const json_t *move, struct vmq_queue_record *next, struct vmq_err *stale,
		     struct vmq_err *err)
{
	const json_t *entry = json_object_get(move, "entry"), *cpu = json_object_get(move, "cpu");
	const json_t *from = json_object_get(move, "from");
	uint16_t *at = find_entry(entry, next);

	if (!at && json_is_integer(entry))
		return vmq_err(err, -EINVAL, "the table of queue %s has entries 0 to %u, no %lld",
			       next->name, next->rss_entries - 1,
			       (long long)json_integer_value(entry));
	if (!at)
		return vmq_err(err, -EINVAL, "entry must be a number, default or primary");
	if (!is_cpu(cpu) || (from && !is_cpu(from)))
		return vmq_err(err, -EINVAL, "%s must be the number of a CPU",
			       is_cpu(cpu) ? "from" : "cpu");
	if (from && json_integer_value(from) != *at)
		vmq_err(stale, -EBUSY, "queue %s: what was to be moved from CPU %d is on CPU %u now; "
			"look again with 'vmqctl rss show %s'", next->name,
			(int)json_integer_value(from), *at, next->name);
	*at = (uint16_t)json_integer_value(cpu);
	if (at == &next->rss_primary)
		next->flags |= VMQ_QUEUE_F_PLACED;
	return 0;
}

static int move_host(struct service *s, const struct request *r, const json_t *moves,
		     size_t first, size_t last, struct vmq_err *err)
{
	struct vmq_queue_record next = s->host;
	struct vmq_err stale = VMQ_ERR_INIT;
	int rc = may_change_host(r, err);

	for (; first < last && !rc; first++)
		rc = read_move(json_array_get(moves, first), &next, &stale, err);
	if (!rc && next.flags & VMQ_QUEUE_F_PLACED)
		rc = vmq_err(err, -EINVAL, "queue 0 has no primary CPU");
	if (!rc && stale.code)
		rc = vmq_err(err, stale.code, "%s", stale.text);
	if (rc || !memcmp(&next, &s->host, sizeof(next)))
		return rc;
	return host_rss_apply(s, &next, err);
}

/* One group: moves [first, last) of one queue. */
static int move_group(struct service *s, const struct request *r, const json_t *moves,
		      size_t first, size_t last, struct vmq_err *err)
{
	const char *name = json_string_value(json_object_get(json_array_get(moves, first), "name"));
	struct vmq_err stale = VMQ_ERR_INIT;
	struct actor who = actor_of(r);
	struct vmq_queue_record next;
	struct queue *q;
	int rc;

	if (!name)
		return vmq_err(err, -EINVAL, "name is missing");
	if (host_is(name))
		return move_host(s, r, moves, first, last, err);
	q = queue_find(s, name);
	if (!q)
		return vmq_err(err, -ENOENT, "no queue %s", name);
	rc = queue_may_change(q, &who, err);
	queue_rss_current(q, &next);
	next.flags |= VMQ_QUEUE_F_PLACED;
	for (; first < last && !rc; first++)
		rc = read_move(json_array_get(moves, first), &next, &stale, err);
	if (rc)
		return rc;
	if (!port_has_rings(q->port))
		return vmq_err(err, -EBADFD, "queue %s is not active: it is %s", q->rec.name,
			       state_name(q->state));
	if (q->busy)
		return vmq_err(err, -EBUSY, "queue %s is being changed", q->rec.name);
	if (stale.code)
		return vmq_err(err, stale.code, "%s", stale.text);
	if (!memcmp(&next, &q->rec, sizeof(next)))
		return 0;
	rc = queue_rss_check(q, &next, err);
	return rc ? rc : queue_rss_apply(q, &next, err);
}

static bool same_queue(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "name"), json_object_get(b, "name"));
}

void rss_move(void *service, struct request *r)
{
	json_t *moves = json_object_get(r->params, "moves"), *results = json_array();
	size_t i, last, n = json_array_size(moves);

	rss_follow_nic(service);
	for (i = 0; i < n; i = last) {
		struct vmq_err err = VMQ_ERR_INIT;
		int rc;

		for (last = i + 1; last < n; last++)
			if (!same_queue(json_array_get(moves, i), json_array_get(moves, last)))
				break;
		rc = move_group(service, r, moves, i, last, &err);
		for (; i < last; i++) {
			json_t *one = json_copy(json_array_get(moves, i));

			json_object_set_new(one, "ok", json_boolean(!rc));
			if (rc) {
				json_object_set_new(one, "code", json_string(vmq_err_name(rc)));
				json_object_set_new(one, "exit", json_integer(vmq_err_exit(rc)));
				json_object_set_new(one, "message", json_string(err.text));
			}
			json_array_append_new(results, one);
		}
	}
	reply_result(r, json_pack("{s:o}", "moves", results));
}

/* ---- rss.switch ---------------------------------------------------------- */

const struct param rss_switch_params[] = {
	PARAM("on", PARAM_BOOL, true, "as each queue asks for it; false: off, whatever they ask for"),
	PARAM_END,
};

/* The first queue that has an operation under way: the request waits for it. */
static bool wait_for_queues(struct service *s, struct request *r)
{
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && (queue_defer(s->queue[id], r) ||
				     queue_settling(s->queue[id], r)))
			return true;
	return false;
}

void rss_switch(void *service, struct request *r)
{
	bool off = json_is_false(json_object_get(r->params, "on"));
	struct service *s = service;
	struct vmq_queue_record next = s->host;
	int rc = may_change_host(r, &r->err);
	uint32_t id;

	if (!rc && wait_for_queues(s, r))
		return;
	next.flags = off ? next.flags | VMQ_QUEUE_F_RSS_OFF : next.flags & ~VMQ_QUEUE_F_RSS_OFF;
	/* A queue that fails stays as it was; asking again tries again. */
	for (id = 1; id <= VMQ_QUEUES_MAX && !rc; id++)
		if (s->queue[id] && s->queue[id]->port)
			rc = queue_rss_hold(s->queue[id], off, &r->err);
	if (!rc && next.flags != s->host.flags) {
		rc = host_rss_apply(s, &next, &r->err);
		if (!rc)
			server_event_take(s->server, json_pack("{s:s, s:s, s:s, s:s}", "event",
							       "adapter", "name",
							       s->cfg.attach.name, "what", "rss",
							       "detail", off ? "off" : "on"));
	}
	reply_rc(r, rc);
}
