/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * model_look.h - what the service says, the pinned maps hold and a frame meets
 *
 * Part of model.c.
 */
#ifndef VMQ_TEST_MODEL_LOOK_H
#define VMQ_TEST_MODEL_LOOK_H

#include <bpf/bpf.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model.h"

/* ---- calls ------------------------------------------------------------------ */

static int connect_to(struct client *c, struct vmq **v)
{
	uint64_t give_up = now_ns() + WAIT_NS;
	int rc;

	do {
		vmq_close(*v);
		*v = NULL;
		rc = vmq_open(v, NULL, "vmq0");
		if (!rc)
			return 0;
		doze();
	} while ((opt.restarts || rc == -EAGAIN) && now_ns() < give_up);
	complain(c, "cannot connect: %s", vmq_error(*v));
	return rc;
}

/* Lost: -ECONNRESET, if the service may be killed; else that is the end. */
static int call_on(struct client *c, struct vmq *v, const char *method, json_t *params,
		   json_t **result)
{
	char *text = json_dumps(params, JSON_COMPACT), *out = NULL;
	int rc;

	json_decref(params);
	rc = vmq_call(v, method, text, &out);
	free(text);
	calls++;
	if (result)
		*result = rc ? NULL : json_loads(out, 0, NULL);
	free(out);
	if (rc == -ECONNRESET || rc == -EPIPE) {
		if (!opt.restarts)
			complain(c, "%s: %s", method, vmq_error(v));
		return -ECONNRESET;
	}
	if (rc == -ETIMEDOUT || rc == -EPROTO || rc == -ENOMEM) {
		complain(c, "%s: %s", method, vmq_error(v));
		return rc;
	}
	if (rc && strlen(vmq_error(v)) < 12)
		complain(c, "%s: what a sentence: %s", method, vmq_error(v));
	return rc;
}

/* ---- comparing: what the service says ---------------------------------------- */

static int find_name(const struct client *c, const char *word)
{
	for (int i = 0; i < TARGETS; i++)
		if (!strcmp(word, c->word[i]))
			return i;
	return -1;
}

static int find_rule(const json_t *vlan)
{
	for (int i = 0; i < RULES; i++)
		if (json_is_string(vlan) ? !strcmp(json_string_value(vlan), rule_word[i])
					 : json_integer_value(vlan) == rule_value[i])
			return i;
	return -1;
}

static int find_mac(const struct client *c, const json_t *word)
{
	uint8_t mac[6];

	if (!json_string_value(word) || parse_mac(json_string_value(word), mac, NULL) ||
	    mac[3] != 0x0d || mac[4] != c->n || mac[5] >= MACS)
		return -1;
	return mac[5];
}

static unsigned macs_of(const struct client *c, const json_t *list)
{
	unsigned macs = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		macs |= 1U << (find_mac(c, json_array_get(list, i)) & 31);
	return macs;
}

static json_int_t int_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static bool flag_of(const json_t *o, const char *key)
{
	return json_is_true(json_object_get(o, key));
}

static bool phase_is_known(const json_t *o)
{
	static const char *const known[] = { "allocated", "set", "running", "paused" };
	const char *phase = json_string_value(json_object_get(o, "phase"));

	for (size_t i = 0; phase && i < ARRAY_SIZE(known); i++)
		if (!strcmp(phase, known[i]))
			return true;
	return false;
}

/* What there is of this client, as the service tells it. 1: a queue is between states. */
static int read_queue(struct client *c, const json_t *o, struct model *m)
{
	int i = find_name(c, json_string_value(json_object_get(o, "name")));
	const char *phase = json_string_value(json_object_get(o, "phase"));
	struct model_queue *q;
	json_t *rss, *v;
	size_t k;
	int rc;

	if (i < 0 || i >= NAMES)
		return 0;
	if (!phase_is_known(o))
		return 1;
	q = &m->q[i];
	*q = (struct model_queue){
		.there = true, .complete = !strcmp(phase, "running") || !strcmp(phase, "paused"),
		.trust = flag_of(o, "trust"), .gro = flag_of(o, "gro"), .paused = flag_of(o, "paused"),
		.attached = flag_of(o, "attached"), .pairs = (int)int_of(o, "pairs"),
		.rule = find_rule(json_object_get(o, "vlan")), .weight = (int)int_of(o, "weight"),
		.vm = atoi(json_string_value(json_object_get(o, "vm"))),
	};
	snprintf(q->phase, sizeof(q->phase), "%s", phase);
	q->filters = (int)int_of(o, "filters");
	q->macs = macs_of(c, json_object_get(o, "macs"));
	rc = call_on(c, c->v, "rss.show", json_pack("{s:s}", "name", name(c, i)), &rss);
	if (rc)
		return rc == -ECONNRESET ? rc : 1;
	o = json_object_get(rss, "rss");
	q->rss = flag_of(o, "on");
	q->fallback = (int)int_of(o, "default");
	q->primary = (int)int_of(o, "primary");
	q->entries = (int)int_of(o, "entries");
	v = json_object_get(o, "table");
	for (k = 0; k < json_array_size(v); k++)
		q->table[k] = (int)json_integer_value(json_array_get(v, k));
	json_decref(rss);
	return 0;
}

static int read_model(struct client *c, struct model *m)
{
	json_t *queues, *filters, *o;
	int rc, mac, rule, bad = 0;
	size_t k;

	memset(m, 0, sizeof(*m));
	memset(m->to, 0xff, sizeof(m->to));
	rc = call_on(c, c->v, "queue.list", json_object(), &queues);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(queues, "queues"), k, o) {
		rc = read_queue(c, o, m);
		if (rc < 0)
			break;
		bad |= rc;
	}
	json_decref(queues);
	if (rc < 0)
		return rc;
	rc = call_on(c, c->v, "filter.list", json_object(), &filters);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(filters, "filters"), k, o) {
		mac = find_mac(c, json_object_get(o, "mac"));
		rule = find_rule(json_object_get(o, "vlan"));
		if (mac >= 0 && rule >= 0)
			m->to[mac][rule] = find_name(c, json_string_value(
							     json_object_get(o, "queue_name")));
	}
	json_decref(filters);
	return bad;
}

/* The first difference in words; NULL: none. */
static const char *difference(struct client *c, const struct model *want, const struct model *got)
{
	static __thread char text[512];
	int i, k;

#define SAME(field) \
	if (w->field != g->field) { \
		snprintf(text, sizeof(text), "queue %s: " #field " is %d, not %d", name(c, i), \
			 (int)g->field, (int)w->field); \
		return text; \
	}
	for (i = 0; i < NAMES; i++) {
		const struct model_queue *w = &want->q[i], *g = &got->q[i];

		SAME(there)
		if (!w->there)
			continue;
		SAME(complete) SAME(trust) SAME(gro) SAME(paused) SAME(rss) SAME(attached)
		SAME(pairs) SAME(rule) SAME(weight) SAME(vm) SAME(macs) SAME(entries)
		SAME(fallback) SAME(primary)
		for (k = 0; k < w->entries; k++)
			SAME(table[k])
		if (!strcmp(g->phase, phase_of(want, i)) && g->filters == filters_of(want, i))
			continue;
		snprintf(text, sizeof(text), "queue %s is %s with %d filters, not %s with %d",
			 name(c, i), g->phase, g->filters, phase_of(want, i), filters_of(want, i));
		return text;
	}
	for (i = 0; i < MACS; i++)
		for (k = 0; k < RULES; k++) {
			if (want->to[i][k] == got->to[i][k])
				continue;
			snprintf(text, sizeof(text), "filter %d %s goes to %d, not %d", i, rule_word[k],
				 got->to[i][k], want->to[i][k]);
			return text;
		}
	return NULL;
}

/* ---- comparing: what is in the pinned maps -------------------------------------- */

static int open_pin(const char *map)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/bpf/vmq/vmq0/%s", map);
	return bpf_obj_get(path);
}

static int name_of_id(struct client *c, int fd, uint32_t id)
{
	struct vmq_queue_record rec;

	return bpf_map_lookup_elem(fd, &id, &rec) ? -2 : find_name(c, rec.name);
}

static const char *difference_of_records(struct client *c, int fd)
{
	int seen[NAMES] = { 0 };

	for (uint32_t id = 1; id <= VMQ_QUEUES_MAX; id++) {
		struct vmq_queue_record rec;
		const struct model_queue *q;
		int i;

		if (bpf_map_lookup_elem(fd, &id, &rec))
			continue;
		i = find_name(c, rec.name);
		if (i < 0)
			continue;
		q = &c->is.q[i];
		if (!q->there || seen[i]++)
			return "there is a record of a queue that is not";
		if (rec.id != id || rec.pairs != q->pairs || rec.rule != rule_value[q->rule] ||
		    rec.weight != q->weight || !(rec.flags & VMQ_QUEUE_F_COMPLETE) != !q->complete ||
		    !(rec.flags & VMQ_QUEUE_F_RSS) != !q->rss ||
		    !(rec.flags & VMQ_QUEUE_F_PAUSED) != !q->paused ||
		    !(rec.flags & VMQ_QUEUE_F_TRUST) != !q->trust ||
		    !(rec.flags & VMQ_QUEUE_F_NO_GRO) != q->gro || rec.rss_entries != q->entries ||
		    rec.rss_default != q->fallback || rec.rss_primary != q->primary)
			return "the record of a queue says something else";
		for (int k = 0; k < q->entries; k++)
			if (rec.rss_table[k] != q->table[k])
				return "the table in a record is another";
	}
	for (int i = 0; i < NAMES; i++)
		if (c->is.q[i].there && !seen[i])
			return "the record of a queue is missing";
	return NULL;
}

static const char *difference_of_filters(struct client *c, int queues, int fd)
{
	for (int i = 0; i < MACS * RULES; i++) {
		struct vmq_filter_key key = { .mac = { 0x52, 0x54, 0, 0x0d, (uint8_t)c->n,
						       (uint8_t)(i / RULES) },
					      .rule = rule_value[i % RULES] };
		int to = c->is.to[i / RULES][i % RULES];
		struct vmq_filter f;

		if (bpf_map_lookup_elem(fd, &key, &f)) {
			if (to != TO_NONE)
				return "a filter is not in the map";
		} else if (to == TO_NONE) {
			return "a filter is in the map that is not";
		} else if (to < NAMES ? f.target != VMQ_TARGET_SLOT ||
					name_of_id(c, queues, f.queue) != to
				      : f.target != (to == TO_DROP ? VMQ_TARGET_DROP
								   : VMQ_TARGET_HOST)) {
			return "a filter in the map names something else";
		}
	}
	return NULL;
}

static void check_maps(struct client *c)
{
	int queues = open_pin("queues"), filters = open_pin("filters");
	const char *why = NULL;

	if (queues >= 0 && filters >= 0)
		why = difference_of_records(c, queues);
	if (queues >= 0 && filters >= 0 && !why)
		why = difference_of_filters(c, queues, filters);
	if (queues >= 0)
		close(queues);
	if (filters >= 0)
		close(filters);
	if (why)
		complain(c, "%s", why);
	else if ((queues < 0 || filters < 0) && !opt.restarts)
		complain(c, "the pins are missing");
}

/* ---- comparing: where a frame goes ----------------------------------------------- */

/* By the model; TO_HOST for whatever no queue of ours gets. */
static int way_of(const struct model *m, int mac, int rule)
{
	int to[2] = { m->to[mac][rule], m->to[mac][1] };

	for (int i = 0; i < 2; i++) {
		if (to[i] == TO_NONE || (to[i] < NAMES && !m->q[to[i]].complete))
			continue;	/* a queue that does not run has nothing in the FIB */
		return to[i] < NAMES ? to[i] : TO_HOST;
	}
	return TO_HOST;
}

/* How many frames each queue has matched, and @all the program has seen. */
static int matched(struct client *c, json_int_t count[NAMES], json_int_t *all, bool *rest)
{
	json_t *stats, *o, *s, *v;
	const char *key;
	size_t k;
	int rc;

	*all = 0;
	*rest = true;
	memset(count, 0, NAMES * sizeof(*count));
	rc = call_on(c, c->v, "stats", json_object(), &stats);
	if (rc)
		return rc;
	*all = int_of(json_object_get(stats, "adapter"), "frames");
	json_array_foreach(json_object_get(stats, "queues"), k, o) {
		int i = find_name(c, json_string_value(json_object_get(o, "name")));
		json_int_t sum = 0;

		if (i < 0 || i >= NAMES)
			continue;
		s = json_object_get(o, "stats");
		count[i] = int_of(s, "matched");
		json_object_foreach(json_object_get(s, "dropped"), key, v)
			sum += json_integer_value(v);
		*rest = *rest && count[i] == sum + int_of(s, "delivered") + int_of(s, "in_flight") +
					     int_of(s, "lost_at_restart");
	}
	json_decref(stats);
	return 0;
}

static void send_frame(const struct client *c, int mac, int rule)
{
	uint8_t frame[64] = { 0x52, 0x54, 0, 0x0d, (uint8_t)c->n, (uint8_t)mac, 2, 0, 0, 0, 0, 0xfe };
	uint8_t *p = frame + 12;

	if (rule_value[rule] && rule_value[rule] != VMQ_RULE_ANY) {
		*p++ = 0x81;
		*p++ = 0;
		*p++ = 0;
		*p++ = (uint8_t)rule_value[rule];
	}
	*p++ = 0x88;
	*p = 0xb5;
	if (send(wire_fd, frame, sizeof(frame), 0) < 0)
		perror("model: send");
}

static int try_frame(struct client *c)
{
	int mac = (int)pick(c, MACS), rule = (int)pick(c, 3), to, rc, i;
	uint64_t give_up = now_ns() + 5000000000ULL;
	json_int_t before[NAMES], after[NAMES], all, seen;
	bool rest;

	rule += rule > 0;	/* untagged, 7 or 8 */
	to = way_of(&c->is, mac, rule);
	rc = matched(c, before, &all, &rest);
	if (rc)
		return rc;
	send_frame(c, mac, rule);
	do {
		rc = matched(c, after, &seen, &rest);
		if (rc)
			return rc;
		if (seen > all)		/* the queue's counter comes behind that */
			rc = matched(c, after, &seen, &rest);
		if (rc)
			return rc;
		for (i = 0; i < NAMES; i++)
			if (after[i] != before[i] + (i == to))
				break;
	} while ((i < NAMES || !rest || seen == all) && now_ns() < give_up);
	if (i < NAMES)
		complain(c, "a frame to address %d, vlan %s, is for %s, but %s has matched %lld, not "
			 "%lld", mac, rule_word[rule], name(c, to), name(c, i), (long long)after[i],
			 (long long)(before[i] + (i == to)));
	else if (!rest)
		complain(c, "frames are missing in the counters of a queue");
	else if (seen == all)
		complain(c, "a frame has not arrived");
	else
		frames++;
	return 0;
}

static int check_frame(struct client *c)
{
	int rc;

	if (wire_fd < 0)
		return 0;
	/* One at a time, so that it is known when it has arrived. */
	pthread_mutex_lock(&wire_lock);
	rc = try_frame(c);
	pthread_mutex_unlock(&wire_lock);
	return rc;
}

#endif /* VMQ_TEST_MODEL_LOOK_H */
