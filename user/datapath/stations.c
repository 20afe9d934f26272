// SPDX-License-Identifier: GPL-2.0-only
/*
 * stations.c - the switch's list, in versions that share what they have in common
 *
 * DOC: Theory of operation
 *
 * A version is two tries: addresses, by a hash of the MAC, and floods, by the VLAN
 * rule. Each is three levels of 32 pointers, and at the bottom *rows*, arrays that
 * are sorted by key. A row of the first holds (MAC and rule, port): all rules of an
 * address are in one row, so the exact rule and rule ANY are found in one walk. A row
 * of the second holds (port, stations that it has with this rule).
 *
 * Nothing that readers may see is ever changed. A change copies the row and the three
 * nodes above it, about a kilobyte, and publishes a new version with one store; all
 * else is shared. So a filter among 65,000 costs a microsecond, and a thousand
 * filters that change together are seen together. What the change has made itself it
 * goes on to change in place.
 *
 * Replaced pieces are retired: the reader of an older version may be in them. The
 * caller frees them when every worker has been between two batches. Nodes that have
 * become empty stay; there are at most 1,057 in a trie.
 *
 * A port that is in a VLAN by a rule of that VLAN and by rule ANY has to get a flood
 * once. Both rows are sorted by port, so who floods merges them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "datapath/stations.h"
#include "vmq/abi.h"

#define NODE_BITS	5
#define NODE_WIDTH	(1u << NODE_BITS)
#define INDEX_BITS	(3 * NODE_BITS)
#define FLOOD_ANY	(VMQ_RULE_VLAN_MAX + 1u)	/* index of rule ANY */

/* In front of everything that versions are made of. */
struct part {
	struct part *next;	/* of those made by this change; or of the replaced */
	uint64_t change;	/* that made it */
	bool dead;		/* made and replaced by the same change */
};

struct node {
	struct part part;
	void *child[NODE_WIDTH];	/* nodes; at the lowest level rows */
};

struct entry {
	uint64_t key;
	union {
		struct port *port;	/* addresses: of VMQ_FIB_KEY(mac, rule) */
		uint64_t stations;	/* floods: that the port `key` has */
	};
};

struct row {
	struct part part;
	uint32_t n, room;
	struct entry entry[];
};

struct version {
	struct part part;
	struct node *hosts, *floods;
	uint32_t n;
};

struct stations {
	struct version *now;	/* what readers see; never NULL */
	struct version *next;	/* the change's; NULL: it has changed nothing */
	struct version none;	/* nobody is anywhere: needs no memory */
	uint64_t change;	/* number of the one under way */
	struct part *fresh;	/* made by it */
	struct part *dropped;	/* replaced by it */
	uint32_t n_dropped;
	struct part *retired;
	uint32_t n_retired;
};

/* ---- parts ---------------------------------------------------------------- */

static void *part_new(struct stations *s, size_t size)
{
	struct part *p = calloc(1, size);

	if (!p)
		return NULL;
	p->change = s->change;
	p->next = s->fresh;
	s->fresh = p;
	return p;
}

/* May it be changed in place? Nobody else has seen it then. */
static bool part_is_ours(const struct stations *s, const struct part *p)
{
	return p->change == s->change;
}

/* The version that comes does not have it any more. */
static void part_drop(struct stations *s, struct part *p)
{
	if (p == &s->none.part)
		return;
	if (part_is_ours(s, p)) {
		p->dead = true;
		return;
	}
	p->next = s->dropped;
	s->dropped = p;
	s->n_dropped++;
}

static void parts_free(struct part *p)
{
	while (p) {
		struct part *next = p->next;

		free(p);
		p = next;
	}
}

/* ---- rows ----------------------------------------------------------------- */

/* Where @key is, or belongs. */
static uint32_t row_slot(const struct row *r, uint64_t key)
{
	uint32_t from = 0, to = r->n;

	while (from < to) {
		uint32_t mid = from + (to - from) / 2;

		if (r->entry[mid].key < key)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static struct entry *row_find(const struct row *r, uint64_t key)
{
	uint32_t i = r ? row_slot(r, key) : 0;

	return r && i < r->n && r->entry[i].key == key ? (struct entry *)&r->entry[i] : NULL;
}

static struct row *row_copy(struct stations *s, const struct row *old, uint32_t n)
{
	uint32_t room = roundup_pow2(n);
	struct row *r;

	r = part_new(s, sizeof(*r) + room * sizeof(*r->entry));
	if (!r)
		return NULL;
	r->room = room;
	if (old) {
		r->n = old->n;
		memcpy(r->entry, old->entry, old->n * sizeof(*r->entry));
	}
	return r;
}

/* ---- tries ---------------------------------------------------------------- */

static const struct row *trie_row(const struct node *top, uint32_t index)
{
	const void *at = top;

	for (int shift = INDEX_BITS - NODE_BITS; at && shift >= 0; shift -= NODE_BITS)
		at = ((const struct node *)at)->child[index >> shift & (NODE_WIDTH - 1)];
	return at;
}

/* The way to @index, made ours. Return: where its row hangs; NULL: no memory. */
static struct row **trie_edit(struct stations *s, struct node **top, uint32_t index)
{
	void **at = (void **)top;

	for (int shift = INDEX_BITS - NODE_BITS; shift >= 0; shift -= NODE_BITS) {
		struct node *old = *at, *n = old;

		if (!old || !part_is_ours(s, &old->part)) {
			n = part_new(s, sizeof(*n));
			if (!n)
				return NULL;
			if (old) {
				memcpy(n->child, old->child, sizeof(n->child));
				part_drop(s, &old->part);
			}
			*at = n;
		}
		at = &n->child[index >> shift & (NODE_WIDTH - 1)];
	}
	return (struct row **)at;
}

/* The entry of @key, found or made, to be written. NULL: no memory. */
static struct entry *trie_put(struct stations *s, struct node **top, uint32_t index, uint64_t key)
{
	struct row **at = trie_edit(s, top, index), *r;
	uint32_t n, i;

	if (!at)
		return NULL;
	r = *at;
	n = r ? r->n + !row_find(r, key) : 1;
	if (!r || !part_is_ours(s, &r->part) || n > r->room) {
		r = row_copy(s, *at, n);
		if (!r)
			return NULL;
		if (*at)
			part_drop(s, &(*at)->part);
		*at = r;
	}
	i = row_slot(r, key);
	if (n > r->n) {
		memmove(&r->entry[i + 1], &r->entry[i], (r->n - i) * sizeof(*r->entry));
		r->entry[i] = (struct entry){ .key = key };
		r->n = n;
	}
	return &r->entry[i];
}

/* Take out the entry of @key, which is there. Return: false: no memory. */
static bool trie_cut(struct stations *s, struct node **top, uint32_t index, uint64_t key)
{
	struct row **at = trie_edit(s, top, index), *r;
	uint32_t i;

	if (!at)
		return false;
	r = *at;
	if (r->n == 1) {
		part_drop(s, &r->part);
		*at = NULL;
		return true;
	}
	if (!part_is_ours(s, &r->part)) {
		r = row_copy(s, *at, (*at)->n);
		if (!r)
			return false;
		part_drop(s, &(*at)->part);
		*at = r;
	}
	i = row_slot(r, key);
	memmove(&r->entry[i], &r->entry[i + 1], (r->n - i - 1) * sizeof(*r->entry));
	r->n--;
	return true;
}

/* All of it goes; @row is told of each row. */
static void trie_drop(struct stations *s, struct node *top, int level,
		      void (*row)(const struct row *r, void *arg), void *arg)
{
	if (!top)
		return;
	for (uint32_t i = 0; i < NODE_WIDTH; i++) {
		struct row *r = top->child[i];

		if (level < 2) {
			trie_drop(s, top->child[i], level + 1, row, arg);
		} else if (r) {
			row(r, arg);
			part_drop(s, &r->part);
		}
	}
	part_drop(s, &top->part);
}

/* ---- a change -------------------------------------------------------------- */

static uint32_t host_index(uint64_t mac)
{
	return (uint32_t)((mac * 0x9e3779b97f4a7c15ULL) >> (64 - INDEX_BITS));
}

static uint32_t flood_index(uint16_t rule)
{
	return rule == VMQ_RULE_ANY ? FLOOD_ANY : rule;
}

static bool row_knows(const struct row *r, uint64_t mac)
{
	uint32_t i = r ? row_slot(r, VMQ_FIB_KEY(mac, 0)) : 0;

	return r && i < r->n && r->entry[i].key >> 16 == mac;
}

/* What the next change starts from. */
static const struct version *newest(const struct stations *s)
{
	return s->next ? s->next : s->now;
}

static struct version *version_edit(struct stations *s)
{
	const struct version *old = newest(s);
	struct version *v;

	if (s->next && s->next != &s->none)
		return s->next;
	v = part_new(s, sizeof(*v));
	if (!v)
		return NULL;
	v->hosts = old->hosts;
	v->floods = old->floods;
	v->n = old->n;
	if (!s->next)
		part_drop(s, &s->now->part);
	s->next = v;
	return v;
}

/* A port has one station of a rule more, or less. Return: false: no memory. */
static bool flood_count(struct stations *s, struct version *v, uint16_t rule,
			const struct port *port, int by)
{
	uint32_t index = flood_index(rule);
	uint64_t key = (uintptr_t)port;
	struct entry *e = row_find(trie_row(v->floods, index), key);

	if (e && by < 0 && e->stations == 1)
		return trie_cut(s, &v->floods, index, key);
	e = trie_put(s, &v->floods, index, key);
	if (e)
		e->stations += (uint64_t)by;
	return e;
}

static int station_check(const struct station *st, struct vmq_err *err)
{
	char mac[MAC_STRLEN];

	if (st->mac[0] & 1 || !mac_to_u48(st->mac))
		return vmq_err(err, -EINVAL, "%s is no address of a single station; "
			       "use a unicast address", format_mac(st->mac, mac));
	if (st->rule > VMQ_RULE_VLAN_MAX && st->rule != VMQ_RULE_ANY)
		return vmq_err(err, -EINVAL, "VLAN rule %u of %s does not exist; use 0 to %d, "
			       "or %d for any", st->rule, format_mac(st->mac, mac),
			       VMQ_RULE_VLAN_MAX, VMQ_RULE_ANY);
	return 0;
}

int stations_set(struct stations *s, const struct station *st, enum station_mac *mac,
		 struct vmq_err *err)
{
	uint64_t mac48 = mac_to_u48(st->mac), key = VMQ_FIB_KEY(mac48, st->rule);
	uint32_t index = host_index(mac48);
	bool known, knows, done;
	struct port *before;
	struct version *v;
	struct entry *e;
	int rc;

	*mac = STATION_MAC_STAYS;
	rc = station_check(st, err);
	if (rc)
		return rc;
	e = row_find(trie_row(newest(s)->hosts, index), key);
	before = e ? e->port : NULL;
	if (before == st->port)
		return 0;
	v = version_edit(s);
	if (!v)
		return vmq_err(err, -ENOMEM, "no memory for the list of stations");

	known = row_knows(trie_row(v->hosts, index), mac48);
	if (st->port) {
		e = trie_put(s, &v->hosts, index, key);
		done = e;
		if (e)
			e->port = st->port;
	} else {
		done = trie_cut(s, &v->hosts, index, key);
	}
	if (done && before)
		done = flood_count(s, v, st->rule, before, -1);
	if (done && st->port)
		done = flood_count(s, v, st->rule, st->port, 1);
	if (!done)
		return vmq_err(err, -ENOMEM, "no memory for the list of stations");

	v->n = v->n + !!st->port - !!before;
	knows = row_knows(trie_row(v->hosts, index), mac48);
	if (known != knows)
		*mac = knows ? STATION_MAC_CAME : STATION_MAC_WENT;
	return 0;
}

struct leaving {
	void (*went)(void *arg, uint64_t mac);
	void *arg;
};

static void hosts_leave(const struct row *r, void *arg)
{
	const struct leaving *l = arg;

	for (uint32_t i = 0; i < r->n; i++)
		if (!i || r->entry[i].key >> 16 != r->entry[i - 1].key >> 16)
			l->went(l->arg, r->entry[i].key >> 16);
}

static void nothing(const struct row *r, void *arg)
{
	(void)r;
	(void)arg;
}

void stations_clear(struct stations *s, void (*went)(void *arg, uint64_t mac), void *arg)
{
	struct leaving l = { .went = went, .arg = arg };

	trie_drop(s, s->now->hosts, 0, hosts_leave, &l);
	trie_drop(s, s->now->floods, 0, nothing, NULL);
	part_drop(s, &s->now->part);
	s->next = &s->none;
}

static void change_end(struct stations *s)
{
	s->fresh = s->dropped = NULL;
	s->n_dropped = 0;
	s->next = NULL;
	s->change++;
}

void stations_commit(struct stations *s)
{
	struct part *p, *next, **last = &s->dropped;

	if (s->next)
		store_release(&s->now, s->next);
	for (p = s->fresh; p; p = next) {
		next = p->next;
		if (p->dead)
			free(p);
	}
	while (*last)
		last = &(*last)->next;
	*last = s->retired;
	s->retired = s->dropped;
	s->n_retired += s->n_dropped;
	change_end(s);
}

void stations_abort(struct stations *s)
{
	parts_free(s->fresh);
	change_end(s);
}

uint32_t stations_count(const struct stations *s)
{
	return newest(s)->n;
}

bool stations_know(const struct stations *s, uint64_t mac)
{
	return row_knows(trie_row(newest(s)->hosts, host_index(mac)), mac);
}

uint32_t stations_retired(const struct stations *s)
{
	return s->n_retired;
}

void stations_reclaim(struct stations *s)
{
	parts_free(s->retired);
	s->retired = NULL;
	s->n_retired = 0;
}

int stations_open(struct stations **out)
{
	struct stations *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->now = &s->none;
	s->change = 1;		/* 0 made `none` */
	*out = s;
	return 0;
}

static void nobody(void *arg, uint64_t mac)
{
	(void)arg;
	(void)mac;
}

void stations_close(struct stations *s)
{
	if (!s)
		return;
	stations_abort(s);
	stations_clear(s, nobody, NULL);
	stations_commit(s);
	stations_reclaim(s);
	free(s);
}

/* ---- readers ---------------------------------------------------------------- */

static const struct row *row_of(const struct stations *s, uint64_t mac)
{
	return trie_row(load_acquire(&s->now)->hosts, host_index(mac));
}

static struct port *row_port(const struct row *r, uint64_t mac, uint16_t rule)
{
	const struct entry *e = row_find(r, VMQ_FIB_KEY(mac, rule));

	return e ? e->port : NULL;
}

struct port *stations_find(const struct stations *s, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t mac48 = mac_to_u48(mac);
	const struct row *r = row_of(s, mac48);
	struct port *port = NULL;

	if (vlan <= VMQ_RULE_VLAN_MAX)
		port = row_port(r, mac48, vlan);
	return port ? port : row_port(r, mac48, VMQ_RULE_ANY);
}

bool stations_own(const struct stations *s, const struct port *port, const uint8_t mac[6],
		  uint16_t vlan)
{
	uint64_t mac48 = mac_to_u48(mac);
	const struct row *r = row_of(s, mac48);

	return port && ((vlan <= VMQ_RULE_VLAN_MAX && row_port(r, mac48, vlan) == port) ||
			row_port(r, mac48, VMQ_RULE_ANY) == port);
}

void stations_flood(const struct stations *s, uint16_t vlan, struct flood *f)
{
	const struct version *v = load_acquire(&s->now);

	*f = (struct flood){ .row[0] = trie_row(v->floods, FLOOD_ANY) };
	if (vlan <= VMQ_RULE_VLAN_MAX)
		f->row[1] = trie_row(v->floods, vlan);
}

struct port *flood_next(struct flood *f)
{
	uint64_t least = UINT64_MAX;
	uint64_t key[2];

	for (int i = 0; i < 2; i++) {
		const struct row *r = f->row[i];

		key[i] = r && f->at[i] < r->n ? r->entry[f->at[i]].key : UINT64_MAX;
		least = MIN(least, key[i]);
	}
	if (least == UINT64_MAX)
		return NULL;
	for (int i = 0; i < 2; i++)
		f->at[i] += key[i] == least;
	return (struct port *)(uintptr_t)least;
}
