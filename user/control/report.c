/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * report.c - show, list and stats
 *
 * An administrator sees everything, another user what is his.
 */
#include "control/report.h"

#include <string.h>
#include <unistd.h>

#include "common/parse.h"
#include "common/util.h"
#include "control/device.h"
#include "control/rss.h"
#include "control/teardown.h"

static bool may_see(const struct queue *q, const struct actor *who)
{
	return !who->uid || q->rec.owner == who->uid;
}

static json_t *ints(const uint16_t *v, int n)
{
	json_t *a = json_array();
	int i;

	for (i = 0; i < n; i++)
		json_array_append_new(a, json_integer(v[i]));
	return a;
}

static json_t *vlan_json(uint16_t rule)
{
	char word[RULE_STRLEN];

	return json_string(format_rule(rule, word));
}

static json_t *mac_json(const uint8_t mac[6])
{
	char word[MAC_STRLEN];

	return json_string(format_mac(mac, word));
}

/* Queue 0 has no port, no address and no channel; it is always there. */
static json_t *host_queue(struct service *s)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:[], s:s, s:i, s:[], s:s, s:b, s:b, s:i, s:i,"
			 " s:i, s:i, s:b}",
			 "id", 0, "name", "host", "vm", "", "state", "running", "phase", "running",
			 "macs", "vlan", "any", "pairs", 1, "cpus", "channel", "host", "trust", 1,
			 "paused", 0, "ring", 0, "weight", 100, "filters",
			 (int)filters_of(s->filters, 0), "owner", 0, "gro", 0);
}

static json_t *queue_json(struct queue *q)
{
	const char *channel_state = load_relaxed(&q->channel_state);
	json_t *macs = json_array(), *o;
	int i;

	for (i = 0; i < q->rec.n_macs; i++)
		json_array_append_new(macs, mac_json(q->rec.mac[i]));
	o = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:o, s:s, s:b, s:b, s:i, s:i, s:i,"
		      " s:I, s:b}",
		      "id", (int)q->id, "name", q->rec.name, "vm", q->rec.vm, "state",
		      state_operational_name(q->state), "phase", state_name(q->state), "macs", macs,
		      "vlan", vlan_json(q->rec.rule), "pairs", (int)q->rec.pairs, "cpus",
		      ints(q->place.cpu, q->width), "channel", q->rec.channel, "trust",
		      !!(q->rec.flags & VMQ_QUEUE_F_TRUST), "paused",
		      !!(q->rec.flags & VMQ_QUEUE_F_PAUSED), "ring", (int)queue_ring(q), "weight",
		      (int)q->rec.weight, "filters", (int)filters_of(q->service->filters, q->id),
		      "owner", (json_int_t)q->rec.owner, "gro",
		      !(q->rec.flags & VMQ_QUEUE_F_NO_GRO));
	if (o)
		json_object_set_new(o, "rss", json_boolean(queue_rss_on(q)));
	if (o && channel_state)
		json_object_set_new(o, "channel_state", json_string(channel_state));
	if (o && q->channel_lost)
		json_object_set_new(o, "channel_lost", json_string(q->channel_lost));
	if (o && q->rec.flags & VMQ_QUEUE_F_WAITS)
		json_object_set_new(o, "waits", json_true());
	if (o && q->client_id)
		json_object_set_new(o, "attached", json_true());
	return o;
}

json_t *report_queues(struct service *s, const struct actor *who)
{
	json_t *list = json_array();
	uint32_t id;

	json_array_append_new(list, host_queue(s));
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && may_see(s->queue[id], who))
			json_array_append_new(list, queue_json(s->queue[id]));
	return json_pack("{s:o}", "queues", list);
}

/* ---- filters ----------------------------------------------------------- */

json_t *report_filter(struct service *s, const struct filter *f)
{
	const struct queue *q = s->queue[f->rec.queue];
	bool drop = f->rec.target == VMQ_TARGET_DROP;

	return json_pack("{s:i, s:i, s:s, s:o, s:o, s:s, s:I}", "id", (int)f->rec.id, "queue",
			 (int)f->rec.queue, "queue_name",
			 drop ? "drop" : q ? q->rec.name : "host", "mac", mac_json(f->key.mac),
			 "vlan", vlan_json(f->key.rule), "action", drop ? "drop" : "queue", "owner",
			 (json_int_t)f->rec.owner);
}

struct filter_list {
	struct service *service;
	int only;		/* queue id, FILTERS_DROP or FILTERS_ALL */
	const struct actor *who;
	json_t *array;
};

static int list_filter(const struct filter *f, void *arg)
{
	struct filter_list *list = arg;
	bool drop = f->rec.target == VMQ_TARGET_DROP;

	if (list->only != FILTERS_ALL && list->only != (drop ? FILTERS_DROP : (int)f->rec.queue))
		return 0;
	if (list->who->uid && f->rec.owner != list->who->uid)
		return 0;
	json_array_append_new(list->array, report_filter(list->service, f));
	return 0;
}

static json_t *filters_json(struct service *s, int only, const struct actor *who)
{
	struct filter_list list = {
		.service = s, .only = only, .who = who, .array = json_array(),
	};

	filters_each(s->filters, list_filter, &list);
	return list.array;
}

json_t *report_filters(struct service *s, int only, const struct actor *who)
{
	return json_pack("{s:o}", "filters", filters_json(s, only, who));
}

json_t *report_queue(struct queue *q)
{
	const struct actor root = { .uid = 0 };
	json_t *o = queue_json(q), *pairs = json_array();
	int i;

	for (i = 0; i < q->place.pairs; i++) {
		struct port_pair_stats ps;

		port_get_pair_stats(q->port, i, &ps);
		json_array_append_new(pairs,
				      json_pack("{s:i, s:i, s:b, s:I, s:I, s:I}", "pair", i, "cpu",
						(int)ps.cpu, "receives",
						q->place.serves[i], "delivered",
						(json_int_t)ps.delivered, "switched",
						(json_int_t)ps.switched, "tx_frames",
						(json_int_t)ps.tx_frames));
	}
	json_object_set_new(o, "pair_list", pairs);
	json_object_set_new(o, "filter_list", filters_json(q->service, (int)q->id, &root));
	return json_pack("{s:o}", "queue", o);
}

json_t *report_host(struct service *s, const struct actor *who)
{
	json_t *o = host_queue(s);

	json_object_set_new(o, "pair_list", json_array());
	json_object_set_new(o, "filter_list", filters_json(s, 0, who));
	return json_pack("{s:o}", "queue", o);
}

/* ---- adapter ----------------------------------------------------------- */

static uint32_t frames_free(struct service *s)
{
	uint32_t r, least = UINT32_MAX;

	for (r = 0; r < datapath_cfg(s->datapath)->rxqs; r++) {
		struct rxq *q = datapath_rxq(s->datapath, r);

		if (q)
			least = MIN(least, rxq_frames_free(q));
	}
	return least == UINT32_MAX ? 0 : least;
}

/* The full set of what the adapter can do, whether in use or not (R-22, O-1). */
static json_t *capabilities(void)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:s, s:s}",
			 "queues_max", VMQ_QUEUES_MAX, "pairs_max", VMQ_SLOTS_MAX,
			 "pairs_per_queue", VMQ_PAIRS_MAX, "rss_entries_max", VMQ_RSS_ENTRIES_MAX,
			 "filters_max", VMQ_FILTERS_MAX, "macs_per_queue", VMQ_MACS_MAX,
			 "asymmetric_pairs", 1, "entry_moves", 1, "vlan_filtering", 1, "any_vlan", 1, "drop_filters", 1,
			 "dynamic_affinity", 1, "lookahead_split", 0, "tests", "equal", "headers",
			 "mac");
}

json_t *report_show(struct service *s, const struct actor *who)
{
	const struct datapath_config *dp = datapath_cfg(s->datapath);
	struct barrier_stats waits = barrier_stats(s->barrier);
	const struct attach_info *in = s->info;
	uint32_t waiting = queue_waiting(s);
	struct vmq_err err = VMQ_ERR_INIT;
	json_t *a, *queues;

	a = json_pack("{s:s, s:s, s:i, s:o, s:s, s:i, s:s, s:s, s:b, s:i, s:i, s:s, s:b}", "name",
		      s->cfg.attach.name, "interface", s->dev.name, "ifindex", s->dev.ifindex,
		      "mac", mac_json(s->dev.mac), "driver", s->dev.driver, "mtu",
		      (int)s->dev.mtu, "mode", in->mode == VMQ_MODE_NATIVE ? "native" : "skb",
		      "tags", in->tags_why, "tags_known", in->tags_known, "rx_queues",
		      (int)dp->rxqs, "stride", (int)in->stride, "placement",
		      s->place ? place_describe(s->place) : "off", "adopted", in->adopted);
	if (!a)
		return NULL;
	json_object_set_new(a, "link", json_string(device_link(&s->dev)));
	json_object_set_new(a, "hash", json_string(in->asks_hash ? "nic" : "software"));
	if (!in->asks_hash)
		json_object_set_new(a, "hash_why", json_string(in->hash_why));
	json_object_set_new(a, "attached", json_boolean(!attach_check(s->attachment, &err)));
	if (err.code)
		json_object_set_new(a, "attached_why", json_string(err.text));
	json_object_set_new(a, "pid", json_integer(getpid()));
	json_object_set_new(a, "uptime_s", json_integer((now_ns() - s->started_ns) / 1000000000));
	json_object_set_new(a, "barriers", json_integer((json_int_t)waits.passed));
	json_object_set_new(a, "tours", json_integer((json_int_t)waits.tours));
	json_object_set_new(a, "chunk", json_integer(dp->chunk));
	json_object_set_new(a, "max_frame", json_integer(s->cfg.attach.max_frame));
	json_object_set_new(a, "cpus", ints(s->cfg.cpu, s->cfg.n_cpus));
	json_object_set_new(a, "balance", json_boolean(s->balance));
	json_object_set_new(a, "rss", json_boolean(!(s->host.flags & VMQ_QUEUE_F_RSS_OFF)));
	json_object_set_new(a, "poll_us", json_integer(dp->poll_us));
	json_object_set_new(a, "queues", json_pack("{s:i, s:i}", "used",
						   (int)(s->n_queues - waiting), "max",
						   (int)s->cfg.attach.queues));
	if (waiting)
		json_object_set_new(json_object_get(a, "queues"), "waiting",
				    json_integer((json_int_t)waiting));
	json_object_set_new(a, "pairs", json_pack("{s:i, s:i}", "used", (int)queue_slots_used(s),
						  "max", (int)s->cfg.attach.slots));
	json_object_set_new(a, "filters", json_pack("{s:i, s:i}", "used",
						    (int)filters_count(s->filters), "max",
						    VMQ_FILTERS_MAX));
	json_object_set_new(a, "frames", json_pack("{s:i, s:i, s:i, s:I}", "per_rx_queue",
						   (int)dp->rx_frames, "free", (int)frames_free(s),
						   "ring", (int)s->ring, "bytes",
						   (json_int_t)dp->rxqs * dp->chunk *
						   (dp->rx_frames + dp->tx_frames + RXQ_RESERVE)));
	json_object_set_new(a, "capabilities", capabilities());

	queues = report_queues(s, who);
	json_object_set_new(queues, "adapter", a);
	return queues;
}

/* ---- stats ------------------------------------------------------------- */

/* Counters by their table: into the object, or one of its groups. */
static json_t *counters(const struct stat_desc *table, const void *from)
{
	json_t *o = json_object(), *into;

	for (; table->name; table++) {
		uint64_t v = *(const uint64_t *)((const char *)from + table->offset);

		into = o;
		if (table->group) {
			into = json_object_get(o, table->group);
			if (!into) {
				into = json_object();
				json_object_set_new(o, table->group, into);
			}
		}
		json_object_set_new(into, table->name, json_integer((json_int_t)v));
	}
	return o;
}

static json_t *queue_stats(struct queue *q)
{
	struct vmq_slot_stats sum;
	struct port_stats ps;

	/* BPF's counters first: a frame counted later only adds to in_flight. */
	queue_slot_stats(q, &sum);
	port_get_stats(q->port, &sum, &ps);
	return json_pack("{s:i, s:s, s:s, s:o}", "id", (int)q->id, "name", q->rec.name, "state",
			 state_operational_name(q->state), "stats", counters(port_stat_table, &ps));
}

static const struct stat_desc adapter_stat_table[] = {
#define STAT(field, text) { #field, NULL, offsetof(struct vmq_adapter_stats, field), text }
	STAT(frames, "frames seen by the XDP program"),
	STAT(unmatched, "unicast without a filter, passed to queue 0"),
	STAT(multicast, "group addressed, passed to queue 0"),
	STAT(malformed, "too short for their headers, passed to queue 0"),
	STAT(rxq_range, "on an RX queue beyond the stride, passed to queue 0"),
	STAT(filtered, "dropped by drop filters"),
#undef STAT
	{ NULL, NULL, 0, NULL },
};

/* Receiving pairs of Running queues on a CPU. */
static int pairs_on(const struct service *s, uint16_t cpu)
{
	uint32_t id;
	int n = 0;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (s->queue[id] && s->queue[id]->state == QUEUE_RUNNING &&
		    rss_pair_on(&s->queue[id]->place, cpu) >= 0)
			n++;
	return n;
}

/* What each CPU's worker has done (O-4): no one's in particular, so all may see it. */
static json_t *cpu_stats(struct service *s)
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < s->cfg.n_cpus; i++) {
		uint16_t cpu = s->cfg.cpu[i];
		struct worker_stats ws;

		worker_stats(datapath_worker(s->datapath, cpu), &ws);
		json_array_append_new(list, json_pack("{s:i, s:i, s:I, s:I, s:I}", "cpu", (int)cpu,
						      "queues", pairs_on(s, cpu), "external",
						      (json_int_t)ws.from[FROM_WIRE], "internal",
						      (json_int_t)ws.from[FROM_GUEST], "wakeups",
						      (json_int_t)ws.wakeups));
	}
	return list;
}

json_t *report_stats(struct service *s, const struct queue *only, const struct actor *who)
{
	struct vmq_adapter_stats as = { 0 };
	json_t *queues = json_array(), *a;
	struct uplink_stats up = { 0 };
	uint32_t id;

	attach_adapter_stats(s->attachment, &as);
	switch_stats(datapath_switch(s->datapath), &up);
	a = counters(adapter_stat_table, &as);
	json_object_set_new(a, "name", json_string(s->cfg.attach.name));
	json_object_set_new(a, "uplink", counters(uplink_stat_table, &up));
	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		struct queue *q = s->queue[id];

		if (q && (!only || q == only) && may_see(q, who))
			json_array_append_new(queues, queue_stats(q));
	}
	return json_pack("{s:o, s:o, s:o}", "adapter", a, "queues", queues, "cpus", cpu_stats(s));
}
