// SPDX-License-Identifier: GPL-2.0-only
/*
 * host.c - queue 0's own receive-side scaling, and the switch for all queues
 *
 * All of --cpus are made ready when RSS of queue 0 goes on, so that a later change
 * of the table is only a change of the RSS record. A change of key, types or size
 * writes the half of it that frames left at the last such change: one barrier is
 * waited for, here and now (8 to 16 ms), because nobody does this often.
 */
#include "control/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adapter/rss_words.h"
#include "common/log.h"
#include "common/util.h"
#include "control/methods.h"
#include "control/rss.h"

bool host_is(const char *name)
{
	return name && (!strcmp(name, "host") || !strcmp(name, "0"));
}

static bool is_on(const struct vmq_queue_record *rec)
{
	return (rec->flags & (VMQ_QUEUE_F_RSS | VMQ_QUEUE_F_RSS_OFF)) == VMQ_QUEUE_F_RSS;
}

static bool host_rss_on(const struct service *s)
{
	return is_on(&s->host);
}

int host_init(struct service *s, struct vmq_err *err)
{
	struct vmq_queue_record *rec = &s->host;

	snprintf(rec->name, sizeof(rec->name), "host");
	rec->pairs = 1;
	rec->cpu[0] = s->cfg.cpu[0];
	return rss_init(rec, err);
}

/* ---- what is done ---------------------------------------------------------- */

static void fill_params(const struct service *s, const struct vmq_queue_record *rec,
			struct vmq_rss_params *p)
{
	int i;

	*p = (struct vmq_rss_params){
		.types = rec->rss_types,
		.mask = rec->rss_entries - 1,
		.fallback = rss_stand_in(s, rec->rss_default),
	};
	for (i = 0; i < rec->rss_entries; i++)
		p->table[i] = rss_stand_in(s, rec->rss_table[i]);
}

static int steer(struct service *s, const struct vmq_queue_record *next, struct vmq_err *err)
{
	bool was_on = host_rss_on(s);
	struct vmq_rss_params p;
	int rc;

	if (!is_on(next)) {
		if (was_on)
			attach_spread_off(s->attachment);
		return 0;
	}
	fill_params(s, next, &p);
	if (was_on && rss_same_hash(&s->host, next)) {
		rss_map_steer(s->rss, 0, &p);
		return 0;
	}
	rc = barrier_wait(s->barrier);
	if (rc)
		return vmq_err_sys(err, rc, "cannot wait for frames under way");
	rss_map_write(s->rss, 0, &p, next->rss_key);
	return was_on ? 0 : attach_spread_on(s->attachment, s->cfg.cpu, s->cfg.n_cpus, err);
}

/* ---- changes --------------------------------------------------------------- */

static int check_cpu(const struct service *s, uint16_t cpu, const char *what, struct vmq_err *err)
{
	if (datapath_worker(s->datapath, cpu))
		return 0;
	return vmq_err(err, -ERANGE, "queue 0: %s would be CPU %u, which is not of --cpus", what,
		       cpu);
}

/* What begins to steer must be there; an obstacle that is there already may stay. */
static int check(const struct service *s, const struct vmq_queue_record *next,
		 struct vmq_err *err)
{
	const struct vmq_queue_record *old = &s->host;
	bool was = old->flags & VMQ_QUEUE_F_RSS;
	int i, rc;

	if (!(next->flags & VMQ_QUEUE_F_RSS))
		return 0;
	rc = was ? 0 : attach_spread_check(s->attachment, err);
	if (!rc && (!was || next->rss_default != old->rss_default))
		rc = check_cpu(s, next->rss_default, "the default", err);
	for (i = 0; i < next->rss_entries && !rc; i++) {
		char what[16];

		snprintf(what, sizeof(what), "entry %d", i);
		if (!was || next->rss_table[i] != old->rss_table[i & (old->rss_entries - 1)])
			rc = check_cpu(s, next->rss_table[i], what, err);
	}
	return rc;
}

int host_rss_apply(struct service *s, const struct vmq_queue_record *next, struct vmq_err *err)
{
	int rc = check(s, next, err);

	if (!rc)
		rc = attach_queue_put(s->attachment, next, err);
	if (rc)
		return rc;
	rc = steer(s, next, err);
	if (rc) {
		attach_queue_put(s->attachment, &s->host, NULL);
		return rc;
	}
	s->host = *next;
	return 0;
}

int host_restore(const struct vmq_queue_record *rec, void *service)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct service *s = service;
	struct vmq_queue_record next = *rec;

	if (rec->id)
		return 0;
	if (is_on(&next) && attach_spread_check(s->attachment, &err)) {
		next.flags &= ~VMQ_QUEUE_F_RSS;
		log_warn("RSS of queue 0 goes off: %s", err.text);
	}
	if (steer(s, &next, &err)) {
		log_warn("RSS of queue 0 is lost: %s", err.text);
		return 0;
	}
	s->host = next;
	return 0;
}

/* ---- what there is --------------------------------------------------------- */

/* What was handed over and has not arrived is under way, or dropped. */
static json_t *cpus_json(struct service *s)
{
	json_t *list = json_array();
	int i;

	for (i = 0; i < s->cfg.n_cpus; i++) {
		struct vmq_cpu_stats cs = { 0 };

		attach_cpu_stats(s->attachment, s->cfg.cpu[i], &cs);
		json_array_append_new(list, json_pack("{s:i, s:I, s:I, s:I}", "cpu",
						      (int)s->cfg.cpu[i], "handed",
						      (json_int_t)cs.handed, "taken",
						      (json_int_t)cs.taken, "missing",
						      cs.handed > cs.taken ?
						      (json_int_t)(cs.handed - cs.taken) : 0));
	}
	return list;
}

json_t *host_rss_json(struct service *s)
{
	const struct vmq_queue_record *rec = &s->host;
	json_t *table = json_array(), *effective = json_array(), *frames;
	struct vmq_rss_params p = { 0 };
	char key[RSS_KEY_STRLEN];
	int i;

	if (host_rss_on(s))
		fill_params(s, rec, &p);
	for (i = 0; i < rec->rss_entries; i++) {
		json_array_append_new(table, json_integer(rec->rss_table[i]));
		if (host_rss_on(s))
			json_array_append_new(effective, json_integer(p.table[i]));
	}
	frames = rss_frames_json(s, 0, rec->rss_entries);
	json_object_set_new(frames, "cpus", cpus_json(s));
	return json_pack("{s:{s:s, s:i, s:b, s:o, s:s, s:i, s:i, s:o, s:{s:b, s:o, s:o}, s:o}}",
			 "rss", "name", "host", "id", 0, "on", !!(rec->flags & VMQ_QUEUE_F_RSS),
			 "types", rss_types_json(rec->rss_types), "key",
			 rss_format_key(rec->rss_key, key), "default", (int)rec->rss_default,
			 "entries", (int)rec->rss_entries, "table", table, "effective", "on",
			 host_rss_on(s), "types", rss_types_json(p.types), "table", effective,
			 "frames", frames);
}
