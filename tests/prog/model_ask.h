/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * model_ask.h - requests at random, the codes they may be answered with, and what follows
 *
 * Part of model.c.
 */
#ifndef VMQ_TEST_MODEL_ASK_H
#define VMQ_TEST_MODEL_ASK_H

#include "model_look.h"

/* ---- requests: each makes @params, and c->next from c->is; returns the code ------- */

/* More than one code may be right, when more than one thing is wrong. */
#define MAX_CODES 4
struct codes {
	int n, code[MAX_CODES];
};

static void wrong(struct codes *e, bool is, int code)
{
	for (int i = 0; i < e->n; i++)
		is = is && e->code[i] != code;
	if (is && e->n < MAX_CODES)
		e->code[e->n++] = code;
}

static int any_queue(struct client *c)
{
	return (int)pick(c, NAMES);
}

static json_t *ask_add(struct client *c, struct codes *e)
{
	bool all = !strcmp(c->method, "queue.add"), bad = false;
	int i = any_queue(c), rule = (int)pick(c, RULES), pairs = 1 + (int)pick(c, 3), cpu[2], n = 0;
	unsigned macs = pick(c, 2) ? 1U << pick(c, MACS) : pick(c, 1U << MACS);
	struct model_queue *q = &c->next.q[i];
	json_t *p = json_pack("{s:s, s:o, s:s, s:i, s:i}", "name", name(c, i), "macs",
			      macs_word(c, macs), "vlan", rule_word[rule], "pairs", pairs, "ring", 64);

	wrong(e, q->there, -EEXIST);
	for (int m = 0; m < MACS; m++) {
		if (!(macs & 1U << m))
			continue;
		wrong(e, owner_of(&c->is, m, rule) >= 0, -EEXIST);
		wrong(e, all && c->is.to[m][rule] != TO_NONE, -EEXIST);
	}
	*q = (struct model_queue){ .there = true, .gro = true, .rule = rule, .pairs = pairs,
				   .macs = macs, .weight = 100 };
	if (pick(c, 2)) {
		json_object_set_new(p, "cpus", cpus_word(c, cpu, &n, &bad));
		wrong(e, n > pairs || bad, -EINVAL);
	}
	if (!pick(c, 3))
		json_object_set_new(p, "gro", json_boolean(q->gro = pick(c, 2)));
	if (!pick(c, 3))
		json_object_set_new(p, "trust", json_boolean(q->trust = pick(c, 2)));
	if (!pick(c, 3))
		json_object_set_new(p, "channel", json_sprintf("tap:m%u_%u", c->n, c->taps++));
	if (!pick(c, 4))
		json_object_set_new(p, "weight", json_integer(q->weight = 100 * (int)pick(c, 2)));
	q->rss = all && pairs > 1;
	q->complete = all && q->weight;
	for (int m = 0; all && m < MACS; m++)
		if (macs & 1U << m)
			c->next.to[m][rule] = i;
	q->entries = -1;	/* where it is the service has chosen: adopt_placement() */
	return p;
}

static json_t *ask_attached(struct client *c, struct codes *e)
{
	int i;
	json_t *p;

	c->method = pick(c, 2) ? "queue.add" : "queue.alloc";
	p = ask_add(c, e);
	i = find_name(c, json_string_value(json_object_get(p, "name")));
	json_object_set_new(p, "attached", json_true());
	c->next.q[i].attached = true;
	return p;
}

static json_t *ask_complete(struct client *c, struct codes *e)
{
	json_t *list = json_array();
	int n = 1 + (int)pick(c, 2);

	(void)e;
	while (n--) {
		int i = any_queue(c);
		struct model_queue *q = &c->next.q[i];

		json_array_append_new(list, json_string(name(c, i)));
		q->complete = q->there && q->weight ? true : q->complete;
	}
	return json_pack("{s:o}", "names", list);
}

static json_t *ask_named(struct client *c, struct codes *e, int *i)
{
	*i = any_queue(c);
	wrong(e, !c->is.q[*i].there, -ENOENT);
	return json_pack("{s:s}", "name", name(c, *i));
}

static json_t *ask_drain(struct client *c, struct codes *e)
{
	int i;
	json_t *p = ask_named(c, e, &i);

	wrong(e, !e->n && (!c->is.q[i].complete || !filters_of(&c->is, i)), -EBADFD);
	if (pick(c, 2))
		json_object_set_new(p, "timeout_ms", json_integer(pick(c, 20)));
	for (int k = 0; k < MACS * RULES; k++)
		if (c->next.to[k / RULES][k % RULES] == i)
			c->next.to[k / RULES][k % RULES] = TO_NONE;
	return p;
}

static json_t *ask_free(struct client *c, struct codes *e)
{
	int i;
	json_t *p = ask_named(c, e, &i);

	wrong(e, !e->n && filters_of(&c->is, i), -EBADFD);
	forget_queue(&c->next, i);
	return p;
}

static json_t *ask_del(struct client *c, struct codes *e)
{
	int i;
	json_t *p = ask_named(c, e, &i), *names;

	forget_queue(&c->next, i);
	if (pick(c, 3))
		return p;
	/* A list succeeds, whatever becomes of each. */
	names = json_pack("[s]", name(c, i));
	i = any_queue(c);
	json_array_append_new(names, json_string(name(c, i)));
	forget_queue(&c->next, i);
	e->n = 0;
	json_object_clear(p);
	json_object_set_new(p, "names", names);
	return p;
}

static json_t *ask_pause(struct client *c, struct codes *e)
{
	int i;
	json_t *p = ask_named(c, e, &i);

	c->next.q[i].paused = !strcmp(c->method, "queue.pause");
	return p;
}

/* A port's VLAN changes, and its own filters follow. */
static void set_rule(struct client *c, struct codes *e, int i, int rule)
{
	struct model *m = &c->next;
	int old = m->q[i].rule;

	m->q[i].rule = rule;
	for (int k = 0; k < MACS && rule != old; k++) {
		if (!(m->q[i].macs & 1U << k))
			continue;
		wrong(e, owner_of(&c->is, k, rule) >= 0, -EEXIST);
		if (m->to[k][old] != i)
			continue;
		wrong(e, m->to[k][rule] != TO_NONE, -EEXIST);
		m->to[k][old] = TO_NONE;
		m->to[k][rule] = i;
	}
}

static json_t *ask_set(struct client *c, struct codes *e)
{
	int i, cpu[2], n = 0, before, other;
	json_t *p = ask_named(c, e, &i);
	struct model_queue *q = &c->next.q[i];
	bool there = q->there, bad;

	if (!there)
		return p;
	before = q->pairs;
	if (!pick(c, 3)) {
		q->pairs = 1 + (int)pick(c, 3);
		json_object_set_new(p, "pairs", json_integer(q->pairs));
	}
	if (!pick(c, 3)) {
		json_object_set_new(p, "cpus", cpus_word(c, cpu, &n, &bad));
		wrong(e, n > q->pairs || bad, -EINVAL);
		wrong(e, bad, -ERANGE);
		q->fallback = q->primary = cpu[0];
		spread(q, cpu, n, MAX(q->entries, n));
	}
	wrong(e, q->rss && budget(q) > q->pairs, -ENOSPC);
	wrong(e, q->paused && q->complete && MIN(q->pairs, 2) < MIN(before, 2), -EBADFD);
	if (!pick(c, 4)) {
		int rule = (int)pick(c, RULES);

		json_object_set_new(p, "vlan", json_string(rule_word[rule]));
		set_rule(c, e, i, rule);
	}
	if (!pick(c, 4))
		json_object_set_new(p, "trust", json_boolean(q->trust = pick(c, 2)));
	if (!pick(c, 4))
		json_object_set_new(p, "gro", json_boolean(q->gro = pick(c, 2)));
	if (!pick(c, 4)) {
		q->vm = (int)pick(c, 100);
		json_object_set_new(p, "vm", json_sprintf("%d", q->vm));
	}
	if (!pick(c, 4)) {
		q->weight = 50 * (int)pick(c, 4);
		wrong(e, q->weight > 100, -EINVAL);
		json_object_set_new(p, "weight", json_integer(q->weight));
	}
	other = any_queue(c);
	if (pick(c, 4))
		return p;
	json_object_set_new(p, "new_name", json_string(name(c, other)));
	wrong(e, other != i && c->is.q[other].there, -EEXIST);
	if (e->n || other == i)
		return p;
	c->next.q[other] = *q;
	c->next.q[i].there = false;
	for (int k = 0; k < MACS * RULES; k++)
		if (c->next.to[k / RULES][k % RULES] == i)
			c->next.to[k / RULES][k % RULES] = other;
	return p;
}

static json_t *ask_rss(struct client *c, struct codes *e)
{
	int i, cpu[2], n;
	bool bad = false, turns;
	json_t *p = ask_named(c, e, &i);
	struct model_queue *q = &c->next.q[i], old = *q;

	if (!q->there)
		return p;
	if (pick(c, 2))
		json_object_set_new(p, "on", json_boolean(q->rss = pick(c, 3)));
	if (!pick(c, 2)) {
		json_object_set_new(p, "spread", cpus_word(c, cpu, &n, &bad));
		spread(q, cpu, n, VMQ_RSS_ENTRIES_MAX);
		if (pick(c, 2)) {
			int entries = 1 << pick(c, 4);

			json_object_set_new(p, "entries", json_integer(entries));
			wrong(e, n > entries, -EINVAL);
			spread(q, cpu, n, entries);
		}
	}
	if (!pick(c, 4))
		json_object_set_new(p, "default", json_integer(q->fallback = (int)pick(c, 2)));
	if (!pick(c, 4))
		json_object_set_new(p, "primary", json_integer(q->primary = (int)pick(c, 2)));
	turns = q->rss != old.rss;
	/* What was there before is no reason to refuse; off, the table is only kept. */
	for (int k = 0; q->rss && k < q->entries; k++)
		wrong(e, q->table[k] > 1 && (!old.rss || q->table[k] !=
					     old.table[k & (old.entries - 1)]), -ERANGE);
	wrong(e, q->rss && turns && q->fallback > 1, -ERANGE);
	wrong(e, !q->rss && turns && q->primary > 1, -ERANGE);
	wrong(e, q->rss && budget(q) > q->pairs, -ENOSPC);
	return p;
}

/* The outcome is in the answer: read_moves(). */
static json_t *ask_move(struct client *c, struct codes *e)
{
	int i = any_queue(c), n = 1 + (int)pick(c, 3);
	struct model_queue *q = &c->next.q[i], old = *q;
	json_t *moves = json_array();
	bool ok = old.complete;

	(void)e;
	while (n--) {
		int entry = pick(c, 3) ? (int)pick(c, 8) : 0xfffe + (int)pick(c, 2);
		int cpu = (int)pick(c, 2);

		json_array_append_new(moves, json_pack("{s:s, s:i, s:i}", "name", name(c, i), "entry",
						       entry, "cpu", cpu));
		if (entry == 0xffff)
			q->fallback = cpu;
		else if (entry == 0xfffe)
			q->primary = cpu;
		else if (entry < q->entries)
			q->table[entry] = cpu;
		else
			ok = false;
	}
	if (!ok || (q->rss && budget(q) > q->pairs))
		*q = old;
	return json_pack("{s:o}", "moves", moves);
}

static json_t *ask_filter(struct client *c, struct codes *e)
{
	int to = (int)pick(c, TARGETS), n = 1 + (int)pick(c, 3), rule = (int)pick(c, RULES);
	bool says = pick(c, 3) || to >= NAMES;
	json_t *macs = json_array(), *p;

	wrong(e, to < NAMES && !c->is.q[to].there, -ENOENT);
	if (!says)
		rule = c->is.q[to].rule;
	while (n--) {
		int mac = (int)pick(c, MACS), own = owner_of(&c->is, mac, rule);

		json_array_append_new(macs, mac_word(c, mac));
		wrong(e, c->next.to[mac][rule] != TO_NONE, -EEXIST);
		wrong(e, to < NAMES && own >= 0 && own != to, -EEXIST);
		c->next.to[mac][rule] = to;
	}
	p = json_pack("{s:s, s:o}", "queue", name(c, to), "macs", macs);
	if (says)
		json_object_set_new(p, "vlan", json_string(rule_word[rule]));
	return p;
}

static json_t *ask_unfilter(struct client *c, struct codes *e)
{
	int mac = (int)pick(c, MACS), rule = (int)pick(c, RULES);

	wrong(e, c->is.to[mac][rule] == TO_NONE, -ENOENT);
	c->next.to[mac][rule] = TO_NONE;
	return json_pack("{s:o, s:s}", "mac", mac_word(c, mac), "vlan", rule_word[rule]);
}

static json_int_t filter_id(struct client *c, int mac, int rule)
{
	struct vmq_filter_key key = { .mac = { 0x52, 0x54, 0, 0x0d, (uint8_t)c->n, (uint8_t)mac },
				      .rule = rule_value[rule] };
	struct vmq_filter f = { .id = 60000 };
	int fd = open_pin("filters");

	if (fd >= 0) {
		bpf_map_lookup_elem(fd, &key, &f);
		close(fd);
	}
	return f.id;
}

static json_t *ask_move_filter(struct client *c, struct codes *e)
{
	int mac = (int)pick(c, MACS), rule = (int)pick(c, RULES), to = any_queue(c);
	int from = c->is.to[mac][rule];

	wrong(e, from == TO_NONE, -ENOENT);
	wrong(e, from >= NAMES, -EINVAL);
	wrong(e, !c->is.q[to].there, -ENOENT);
	c->next.to[mac][rule] = to;
	return json_pack("{s:I, s:s}", "id", filter_id(c, mac, rule), "queue", name(c, to));
}

static json_t *ask_apply(struct client *c, struct codes *e)
{
	static const char *const ops[] = { "add", "del", "move" };
	int n = 1 + (int)pick(c, 8);
	json_t *list = json_array();

	while (n--) {
		int op = (int)pick(c, 3), mac = (int)pick(c, MACS), rule = (int)pick(c, RULES);
		int to = pick(c, 4) ? any_queue(c) : (int)pick(c, TARGETS);
		int from = c->next.to[mac][rule], own = owner_of(&c->is, mac, rule);
		json_t *o = json_pack("{s:s, s:o, s:s}", "op", ops[op], "mac", mac_word(c, mac),
				      "vlan", rule_word[rule]);

		if (op != 1) {
			json_object_set_new(o, "queue", json_string(name(c, to)));
			wrong(e, to < NAMES && !c->is.q[to].there, -ENOENT);
		}
		json_array_append_new(list, o);
		if (op == 0) {
			wrong(e, from != TO_NONE, -EEXIST);
			wrong(e, to < NAMES && own >= 0 && own != to, -EEXIST);
		} else {
			wrong(e, from == TO_NONE, -ENOENT);
			wrong(e, op == 2 && (from >= NAMES || to >= NAMES), -EINVAL);
		}
		c->next.to[mac][rule] = op == 1 ? TO_NONE : to;
	}
	return json_pack("{s:o}", "changes", list);
}

/* Export, delete, import: the same again, but that nobody has paused it. */
static json_t *ask_import(struct client *c, struct codes *e)
{
	int i, rc, k, own;
	json_t *p = ask_named(c, e, &i), *doc = NULL;

	rc = call_on(c, c->v, "queue.export", p, &doc);
	if (rc) {
		c->next = c->is;
		if (rc != -ECONNRESET && (!e->n || rc != e->code[0]))
			complain(c, "queue.export answers %d: %s", rc, vmq_error(c->v));
		return NULL;
	}
	c->next.q[i].paused = c->next.q[i].attached = false;
	c->next.q[i].complete = c->next.q[i].complete && c->next.q[i].weight;
	if (pick(c, 2)) {
		rc = call_on(c, c->v, "queue.del", json_pack("{s:s}", "name", name(c, i)), NULL);
		if (rc) {
			json_decref(doc);
			c->next = c->is;
			forget_queue(&c->next, i);
			if (rc != -ECONNRESET)
				complain(c, "queue.del answers %d: %s", rc, vmq_error(c->v));
			return NULL;
		}
		forget_queue(&c->is, i);
	} else {
		wrong(e, true, -EEXIST);
	}
	for (k = 0; k < MACS * RULES; k++) {
		own = owner_of(&c->is, k / RULES, k % RULES);
		wrong(e, c->next.to[k / RULES][k % RULES] == i && own >= 0, -EEXIST);
	}
	return doc;
}

static json_t *ask_nothing(struct client *c, struct codes *e)
{
	(void)c;
	(void)e;
	return json_object();
}

static const struct {
	const char *method;
	json_t *(*ask)(struct client *c, struct codes *e);
	unsigned weight;
} deeds[] = {
	{ "queue.add", ask_add, 8 }, { "queue.alloc", ask_add, 4 }, { "queue.add", ask_attached, 3 },
	{ "queue.complete", ask_complete, 6 }, { "queue.drain", ask_drain, 3 },
	{ "queue.free", ask_free, 3 }, { "queue.del", ask_del, 3 }, { "queue.pause", ask_pause, 2 },
	{ "queue.resume", ask_pause, 3 }, { "queue.set", ask_set, 10 }, { "rss.set", ask_rss, 8 },
	{ "rss.move", ask_move, 5 }, { "filter.add", ask_filter, 8 }, { "filter.del", ask_unfilter, 8 },
	{ "filter.move", ask_move_filter, 6 }, { "filter.apply", ask_apply, 10 },
	{ "queue.import", ask_import, 4 }, { "show", ask_nothing, 1 },
};

#endif /* VMQ_TEST_MODEL_ASK_H */
