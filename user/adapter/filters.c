/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * filters.c - registry of filters, kept in step with the pinned map and the FIB
 *
 * An array by id is the registry (ids are dense, so ascending order and lookup
 * by id cost nothing), with a hash by key beside it. A transaction keeps an undo
 * log: one entry for each primitive change, played backwards by abort. The FIB
 * has its own transaction, so frames never see the undone states.
 */
#include "adapter/filters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"

#define BUCKETS 65536u

struct node {
	struct filter f;
	uint32_t next;		/* id of the next in its hash bucket; 0 ends */
	bool used;
};

enum undo_kind { UNDO_ADD, UNDO_DEL, UNDO_MOVE };

struct undo {
	enum undo_kind kind;
	struct filter before;
};

struct filters {
	struct attachment *at;
	struct fib *fib;
	struct node *node;		/* 1 ... VMQ_FILTERS_MAX */
	uint32_t *bucket;		/* id of the first; 0: none */
	uint32_t count, lowest;		/* no free id below `lowest` */
	uint32_t of[VMQ_QUEUES_MAX + 1];
	uint32_t value[VMQ_QUEUES_MAX + 1];	/* FIB value while active, else 0 */
	bool muted[VMQ_QUEUES_MAX + 1];

	bool in_change;
	struct undo *undo;
	uint32_t n_undo, undo_room;
};

static uint64_t fib_key(const struct vmq_filter_key *key)
{
	return VMQ_FIB_KEY(mac_to_u48(key->mac), key->rule);
}

static uint32_t *bucket_of(const struct filters *fs, const struct vmq_filter_key *key)
{
	return &fs->bucket[vmq_fib_hash(fib_key(key), 0) % BUCKETS];
}

/* What the FIB shall say of a filter; 0: nothing. */
static uint32_t fib_value(const struct filters *fs, const struct vmq_filter *rec)
{
	if (rec->target != VMQ_TARGET_SLOT)
		return VMQ_FIB_VALUE(rec->target, 0, 0, 0);
	return fs->muted[rec->queue] ? 0 : fs->value[rec->queue];
}

static int fib_sync(struct filters *fs, const struct filter *f)
{
	uint32_t value = fib_value(fs, &f->rec);
	int rc;

	if (value)
		return fib_set(fs->fib, fib_key(&f->key), value);
	rc = fib_del(fs->fib, fib_key(&f->key));
	return rc == -ENOENT ? 0 : rc;
}

int filters_open(struct filters **out, struct attachment *at, struct fib *fib)
{
	struct filters *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	fs->node = calloc(VMQ_FILTERS_MAX + 1, sizeof(*fs->node));
	fs->bucket = calloc(BUCKETS, sizeof(*fs->bucket));
	if (!fs->node || !fs->bucket) {
		filters_close(fs);
		return -ENOMEM;
	}
	fs->at = at;
	fs->fib = fib;
	fs->lowest = 1;
	*out = fs;
	return 0;
}

void filters_close(struct filters *fs)
{
	if (!fs)
		return;
	free(fs->node);
	free(fs->bucket);
	free(fs->undo);
	free(fs);
}

const struct filter *filters_by_id(const struct filters *fs, uint32_t id)
{
	if (!id || id > VMQ_FILTERS_MAX || !fs->node[id].used)
		return NULL;
	return &fs->node[id].f;
}

const struct filter *filters_by_key(const struct filters *fs, const struct vmq_filter_key *key)
{
	uint32_t id;

	for (id = *bucket_of(fs, key); id; id = fs->node[id].next)
		if (!memcmp(&fs->node[id].f.key, key, sizeof(*key)))
			return &fs->node[id].f;
	return NULL;
}

uint32_t filters_count(const struct filters *fs)
{
	return fs->count;
}

uint32_t filters_of(const struct filters *fs, uint32_t queue)
{
	return queue <= VMQ_QUEUES_MAX ? fs->of[queue] : 0;
}

/* Room for one more undo entry, so that remembering a change cannot fail. */
static int undo_reserve(struct filters *fs)
{
	uint32_t room = MAX(64u, fs->undo_room * 2);
	struct undo *grown;

	if (!fs->in_change || fs->n_undo < fs->undo_room)
		return 0;
	grown = realloc(fs->undo, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	fs->undo = grown;
	fs->undo_room = room;
	return 0;
}

static void undo_remember(struct filters *fs, enum undo_kind kind, const struct filter *f)
{
	if (fs->in_change)
		fs->undo[fs->n_undo++] = (struct undo){ .kind = kind, .before = *f };
}

static void registry_insert(struct filters *fs, const struct vmq_filter_key *key,
			    const struct vmq_filter *rec)
{
	uint32_t *head = bucket_of(fs, key);
	struct node *n = &fs->node[rec->id];

	n->f.key = *key;
	n->f.rec = *rec;
	n->used = true;
	n->next = *head;
	*head = rec->id;
	fs->count++;
	if (rec->target != VMQ_TARGET_DROP)
		fs->of[rec->queue]++;
}

static void registry_remove(struct filters *fs, const struct filter *f)
{
	uint32_t *p = bucket_of(fs, &f->key), id = f->rec.id;

	while (*p != id)
		p = &fs->node[*p].next;
	*p = fs->node[id].next;
	fs->node[id].used = false;
	fs->count--;
	if (f->rec.target != VMQ_TARGET_DROP)
		fs->of[f->rec.queue]--;
	fs->lowest = MIN(fs->lowest, id);
}

int filters_check(const struct filters *fs, const struct vmq_filter_key *key,
		  const struct filter **clash, struct vmq_err *err)
{
	const struct filter *old = filters_by_key(fs, key);
	char mac[MAC_STRLEN], rule[RULE_STRLEN];

	if (clash)
		*clash = old;
	if (!old)
		return 0;
	format_mac(key->mac, mac);
	format_rule(key->rule, rule);
	if (old->rec.target == VMQ_TARGET_DROP)
		return vmq_err(err, -EEXIST, "drop filter %u is already %s vlan %s", old->rec.id, mac,
			       rule);
	return vmq_err(err, -EEXIST, "filter %u of queue %u is already %s vlan %s", old->rec.id,
		       old->rec.queue, mac, rule);
}

int filters_add(struct filters *fs, const struct vmq_filter_key *key,
		struct vmq_filter *rec, const struct filter **clash, struct vmq_err *err)
{
	int rc = filters_check(fs, key, clash, err);

	if (rc)
		return rc;
	if (fs->count == VMQ_FILTERS_MAX)
		return vmq_err(err, -ENOSPC, "all %u filters are in use; clear some first",
			       VMQ_FILTERS_MAX);
	if (!rec->id) {
		while (fs->node[fs->lowest].used)
			fs->lowest++;
		rec->id = fs->lowest;
	} else if (rec->id > VMQ_FILTERS_MAX || fs->node[rec->id].used) {
		return vmq_err(err, -EEXIST, "filter id %u is in use", rec->id);
	}

	rc = undo_reserve(fs);
	if (rc)
		return vmq_err_sys(err, rc, "cannot remember the change");
	rc = attach_filter_put(fs->at, key, rec, err);
	if (rc)
		return rc;
	registry_insert(fs, key, rec);
	rc = fib_sync(fs, &fs->node[rec->id].f);
	if (rc) {
		registry_remove(fs, &fs->node[rec->id].f);
		attach_filter_del(fs->at, key);
		return vmq_err_sys(err, rc, "cannot put filter %u into the FIB", rec->id);
	}
	undo_remember(fs, UNDO_ADD, &fs->node[rec->id].f);
	return 0;
}

int filters_del(struct filters *fs, const struct filter *f, struct vmq_err *err)
{
	struct filter gone = *f;
	int rc;

	rc = undo_reserve(fs);
	if (rc)
		return vmq_err_sys(err, rc, "cannot remember the change");
	/* FIB first: a frame must not find what the registry has forgotten. */
	rc = fib_del(fs->fib, fib_key(&gone.key));
	if (rc && rc != -ENOENT)
		return vmq_err_sys(err, rc, "cannot take filter %u out of the FIB", gone.rec.id);
	registry_remove(fs, f);
	attach_filter_del(fs->at, &gone.key);
	undo_remember(fs, UNDO_DEL, &gone);
	return 0;
}

int filters_move(struct filters *fs, const struct filter *f, uint32_t queue,
		 struct vmq_err *err)
{
	struct node *n = &fs->node[f->rec.id];
	struct filter before = *f;
	int rc;

	rc = undo_reserve(fs);
	if (rc)
		return vmq_err_sys(err, rc, "cannot remember the change");
	n->f.rec.queue = queue;
	rc = attach_filter_put(fs->at, &n->f.key, &n->f.rec, err);
	if (!rc) {
		rc = fib_sync(fs, &n->f);
		if (rc) {
			vmq_err_sys(err, rc, "cannot move filter %u in the FIB", before.rec.id);
			attach_filter_put(fs->at, &n->f.key, &before.rec, NULL);
		}
	}
	if (rc) {
		n->f = before;
		return rc;
	}
	fs->of[before.rec.queue]--;
	fs->of[queue]++;
	undo_remember(fs, UNDO_MOVE, &before);
	return 0;
}

int filters_begin(struct filters *fs, struct vmq_err *err)
{
	int rc = fib_begin(fs->fib);

	if (rc)
		return vmq_err_sys(err, rc, "cannot begin a change of filters");
	fs->in_change = true;
	fs->n_undo = 0;
	return 0;
}

int filters_commit(struct filters *fs, struct vmq_err *err)
{
	int rc = fib_commit(fs->fib);

	if (rc) {
		filters_abort(fs);
		return vmq_err_sys(err, rc, "cannot commit the change of filters");
	}
	fs->in_change = false;
	return 0;
}

void filters_abort(struct filters *fs)
{
	fib_abort(fs->fib);
	fs->in_change = false;
	while (fs->n_undo) {
		const struct undo *u = &fs->undo[--fs->n_undo];
		struct node *n = &fs->node[u->before.rec.id];

		switch (u->kind) {
		case UNDO_ADD:
			registry_remove(fs, &n->f);
			attach_filter_del(fs->at, &u->before.key);
			break;
		case UNDO_DEL:
			registry_insert(fs, &u->before.key, &u->before.rec);
			attach_filter_put(fs->at, &u->before.key, &u->before.rec, NULL);
			break;
		case UNDO_MOVE:
			fs->of[n->f.rec.queue]--;
			fs->of[u->before.rec.queue]++;
			n->f = u->before;
			attach_filter_put(fs->at, &u->before.key, &u->before.rec, NULL);
			break;
		}
	}
}

bool filters_wait(const struct filters *fs)
{
	return fib_waits(fs->fib);
}

uint32_t filters_flips(const struct filters *fs)
{
	return fib_flips(fs->fib);
}

void filters_passed(struct filters *fs, uint32_t flips)
{
	fib_passed(fs->fib, flips);
}

static int sync_queue(struct filters *fs, uint32_t queue)
{
	uint32_t id, left = fs->of[queue];
	int rc;

	for (id = 1; left; id++) {
		struct node *n = &fs->node[id];

		if (!n->used || n->f.rec.queue != queue || n->f.rec.target == VMQ_TARGET_DROP)
			continue;
		left--;
		rc = fib_sync(fs, &n->f);
		if (rc)
			return rc;
	}
	return 0;
}

int filters_activate(struct filters *fs, uint32_t queue, uint32_t value, struct vmq_err *err)
{
	uint32_t before = fs->value[queue];
	int rc;

	fs->value[queue] = value;
	rc = sync_queue(fs, queue);
	if (rc) {
		fs->value[queue] = before;
		sync_queue(fs, queue);
		return vmq_err_sys(err, rc, "cannot put the filters of queue %u into the FIB",
				   queue);
	}
	return 0;
}

void filters_deactivate(struct filters *fs, uint32_t queue)
{
	/* Deleting from the FIB needs no room and cannot fail. */
	fs->value[queue] = 0;
	sync_queue(fs, queue);
}

void filters_mute(struct filters *fs, uint32_t queue)
{
	fs->muted[queue] = true;
	sync_queue(fs, queue);
}

int filters_unmute(struct filters *fs, uint32_t queue, struct vmq_err *err)
{
	int rc;

	if (!fs->muted[queue])
		return 0;
	fs->muted[queue] = false;
	rc = filters_activate(fs, queue, fs->value[queue], err);
	if (rc)
		filters_mute(fs, queue);
	return rc;
}

int filters_each(const struct filters *fs,
		 int (*fn)(const struct filter *f, void *arg), void *arg)
{
	uint32_t id, left = fs->count;
	int rc;

	for (id = 1; left && id <= VMQ_FILTERS_MAX; id++) {
		if (!fs->node[id].used)
			continue;
		left--;
		rc = fn(&fs->node[id].f, arg);
		if (rc)
			return rc;
	}
	return 0;
}
