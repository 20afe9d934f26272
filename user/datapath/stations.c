// SPDX-License-Identifier: GPL-2.0-only
/*
 * stations.c - the switch's list: a hash for unicast, port lists for floods
 *
 * The hash is open addressing with linear probing, at most half full, keyed as
 * the FIB is (address and rule in 64 bits), so an exact look-up and one of rule
 * ANY are the same operation with another key. The flood lists are one array
 * sorted by rule; `first` gives each VLAN its part of it. A port with rule ANY
 * gets every flood through the ANY list, so it is left out of the others: that
 * is what makes "each port once" hold without a look at run time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "datapath/stations.h"
#include "vmq/abi.h"

struct entry {
	uint64_t key;		/* 0: empty; a station's address is never 0 */
	struct port *port;
};

struct membership {
	uint16_t rule;
	struct port *port;
};

struct stations {
	struct entry *hash;
	uint32_t mask;
	struct port **ports;	/* flood lists, by rule; rule ANY is the last part */
	uint32_t first[VMQ_RULE_VLAN_MAX + 2];	/* first[r] … first[r + 1]: rule r */
	uint32_t n_ports;
	uint64_t *macs;
	uint32_t n_macs;
};

static uint32_t entry_hash(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 32);
}

/* The key's entry, or the empty one where it belongs. */
static struct entry *entry_at(const struct stations *s, uint64_t key)
{
	uint32_t i = entry_hash(key) & s->mask;

	while (s->hash[i].key && s->hash[i].key != key)
		i = (i + 1) & s->mask;
	return &s->hash[i];
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

static int hash_fill(struct stations *s, const struct station *st, uint32_t n,
		     struct vmq_err *err)
{
	char mac[MAC_STRLEN], rule[RULE_STRLEN];

	for (uint32_t i = 0; i < n; i++) {
		uint64_t key = VMQ_FIB_KEY(mac_to_u48(st[i].mac), st[i].rule);
		struct entry *e = entry_at(s, key);

		if (e->key && e->port != st[i].port)
			return vmq_err(err, -EEXIST, "address %s with VLAN %s belongs to another "
				       "port already; remove it there first",
				       format_mac(st[i].mac, mac), format_rule(st[i].rule, rule));
		e->key = key;
		e->port = st[i].port;
	}
	return 0;
}

static int u64_order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int membership_order(const void *a, const void *b)
{
	const struct membership *x = a, *y = b;

	if (x->rule != y->rule)
		return x->rule < y->rule ? -1 : 1;
	return (uintptr_t)x->port < (uintptr_t)y->port ? -1 : x->port != y->port;
}

static void macs_fill(struct stations *s, const struct station *st, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		s->macs[i] = mac_to_u48(st[i].mac);
	qsort(s->macs, n, sizeof(*s->macs), u64_order);
	for (uint32_t i = 0; i < n; i++) {
		if (!i || s->macs[i] != s->macs[i - 1])
			s->macs[s->n_macs++] = s->macs[i];
	}
}

/* @m: scratch for @n memberships. */
static void floods_fill(struct stations *s, struct membership *m, const struct station *st,
			uint32_t n)
{
	uint32_t rule = 0, any = n;

	for (uint32_t i = 0; i < n; i++) {
		m[i].rule = st[i].rule;
		m[i].port = st[i].port;
	}
	qsort(m, n, sizeof(*m), membership_order);
	while (any && m[any - 1].rule == VMQ_RULE_ANY)
		any--;

	for (uint32_t i = 0; i < n; i++) {
		struct membership all = { .rule = VMQ_RULE_ANY, .port = m[i].port };

		if (i && !membership_order(&m[i], &m[i - 1]))
			continue;
		if (i < any && bsearch(&all, m + any, n - any, sizeof(*m), membership_order))
			continue;
		for (; rule < ARRAY_SIZE(s->first) && rule <= m[i].rule; rule++)
			s->first[rule] = s->n_ports;
		s->ports[s->n_ports++] = m[i].port;
	}
	for (; rule < ARRAY_SIZE(s->first); rule++)
		s->first[rule] = s->n_ports;
}

int stations_build(struct stations **out, const struct station *st, uint32_t n,
		   struct vmq_err *err)
{
	uint32_t slots = roundup_pow2(2 * n + 1);
	struct membership *scratch;
	struct stations *s;
	int rc = 0;

	for (uint32_t i = 0; i < n && !rc; i++)
		rc = station_check(&st[i], err);
	if (rc)
		return rc;

	s = calloc(1, sizeof(*s));
	scratch = calloc(n + 1, sizeof(*scratch));
	if (!s || !scratch)
		goto err_memory;
	s->mask = slots - 1;
	s->hash = calloc(slots, sizeof(*s->hash));
	s->ports = calloc(n + 1, sizeof(struct port *));
	s->macs = calloc(n + 1, sizeof(*s->macs));
	if (!s->hash || !s->ports || !s->macs)
		goto err_memory;

	rc = hash_fill(s, st, n, err);
	if (rc)
		goto err_free;
	floods_fill(s, scratch, st, n);
	macs_fill(s, st, n);
	free(scratch);
	*out = s;
	return 0;

err_memory:
	rc = vmq_err(err, -ENOMEM, "no memory for a list of %u stations", n);
err_free:
	free(scratch);
	stations_free(s);
	return rc;
}

void stations_free(struct stations *s)
{
	if (!s)
		return;
	free(s->hash);
	free(s->ports);
	free(s->macs);
	free(s);
}

static struct port *entry_port(const struct stations *s, uint64_t mac, uint16_t rule)
{
	return entry_at(s, VMQ_FIB_KEY(mac, rule))->port;
}

struct port *stations_find(const struct stations *s, const uint8_t mac[6], uint16_t vlan)
{
	uint64_t mac48 = mac_to_u48(mac);
	struct port *port = NULL;

	if (!mac48)
		return NULL;
	if (vlan <= VMQ_RULE_VLAN_MAX)
		port = entry_port(s, mac48, vlan);
	return port ? port : entry_port(s, mac48, VMQ_RULE_ANY);
}

bool stations_own(const struct stations *s, const struct port *port, const uint8_t mac[6],
		  uint16_t vlan)
{
	uint64_t mac48 = mac_to_u48(mac);

	if (!mac48)
		return false;
	return (vlan <= VMQ_RULE_VLAN_MAX && entry_port(s, mac48, vlan) == port) ||
	       entry_port(s, mac48, VMQ_RULE_ANY) == port;
}

void stations_flood(const struct stations *s, uint16_t vlan, struct port_list out[2])
{
	uint32_t any = s->first[VMQ_RULE_VLAN_MAX + 1];

	out[0] = (struct port_list) { .port = s->ports, .n = 0 };
	if (vlan <= VMQ_RULE_VLAN_MAX) {
		out[0].port = s->ports + s->first[vlan];
		out[0].n = s->first[vlan + 1] - s->first[vlan];
	}
	out[1].port = s->ports + any;
	out[1].n = s->n_ports - any;
}

const uint64_t *stations_macs(const struct stations *s, uint32_t *n)
{
	*n = s->n_macs;
	return s->macs;
}
