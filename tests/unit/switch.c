// SPDX-License-Identifier: GPL-2.0-only
/*
 * switch.c - who is where: the switch's list of stations
 *
 * Ports are opaque to the list, so these are addresses of bytes. Look-ups by
 * VLAN rule, floods (each port once), ownership of source addresses, refused
 * lists, and a list as large as an adapter can have against a slow search.
 */
#include "common/parse.h"
#include "common/util.h"
#include "datapath/stations.h"
#include "unit.h"
#include "vmq/abi.h"

static char ports[1024];
#define PORT(i) ((struct port *)&ports[i])

static struct station st_of(uint32_t mac, uint16_t rule, int port)
{
	struct station st = { .mac = { 0x52, 0x54, 0 }, .rule = rule, .port = PORT(port) };

	st.mac[3] = (uint8_t)(mac >> 16);
	st.mac[4] = (uint8_t)(mac >> 8);
	st.mac[5] = (uint8_t)mac;
	return st;
}

static int find(const struct stations *s, uint32_t mac, uint16_t vlan)
{
	struct station st = st_of(mac, 0, 0);
	struct port *p = stations_find(s, st.mac, vlan);

	return p ? (int)((char *)p - ports) : -1;
}

static bool owns(const struct stations *s, int port, uint32_t mac, uint16_t vlan)
{
	struct station st = st_of(mac, 0, 0);

	return stations_own(s, PORT(port), st.mac, vlan);
}

/* The flood of a VLAN as a string of port numbers in ascending order. */
static const char *flood(const struct stations *s, uint16_t vlan)
{
	static char text[256];
	struct port_list list[2];
	int count[64] = { 0 };
	size_t at = 0;

	stations_flood(s, vlan, list);
	for (int l = 0; l < 2; l++) {
		for (uint32_t i = 0; i < list[l].n; i++)
			count[(char *)list[l].port[i] - ports]++;
	}
	text[0] = '\0';
	for (int i = 0; i < 64; i++) {
		for (int k = 0; k < count[i]; k++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d",
					       at ? " " : "", i);
	}
	return text;
}

static struct stations *build(const struct station *st, uint32_t n)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct stations *s = NULL;

	if (stations_build(&s, st, n, &err))
		diag("%s", err.text);
	return s;
}

static void test_rules(void)
{
	const struct station st[] = {
		st_of(1, 100, 1),
		st_of(2, VMQ_RULE_UNTAGGED, 2),
		st_of(3, VMQ_RULE_ANY, 3),
		st_of(4, 100, 4), st_of(4, VMQ_RULE_ANY, 5),
		st_of(1, 200, 6),
		st_of(7, 100, 4), st_of(8, 4094, 4), st_of(7, 100, 4),
		st_of(9, 300, 3),
	};
	struct stations *s = build(st, ARRAY_SIZE(st));
	uint32_t n;

	if (!ok(s != NULL, "a list is built, the same station twice in it"))
		return;
	is_int(find(s, 1, 100), 1, "F-5 the exact VLAN finds its port");
	is_int(find(s, 1, 200), 6, "F-5 the same address in another VLAN is another port");
	is_int(find(s, 1, 0), -1, "F-5 untagged does not match a VLAN");
	is_int(find(s, 1, SWITCH_VLAN_NONE), -1, "a frame of no single VLAN does not match a VLAN");
	is_int(find(s, 2, 0), 2, "F-4 untagged matches untagged");
	is_int(find(s, 2, 100), -1, "F-4 untagged does not match a tag");
	is_int(find(s, 3, 0), 3, "F-6 any matches untagged");
	is_int(find(s, 3, 77), 3, "F-6 any matches a tag");
	is_int(find(s, 3, 4095), 3, "F-6 any matches the reserved VLAN 4095");
	is_int(find(s, 3, SWITCH_VLAN_NONE), 3, "F-6 any matches a frame of no single VLAN");
	is_int(find(s, 4, 100), 4, "the exact rule wins over any");
	is_int(find(s, 4, 101), 5, "and any takes the rest");
	is_int(find(s, 10, 100), -1, "an unknown address is on the wire");

	ok(owns(s, 1, 1, 100), "a port owns its address in its VLAN");
	ok(!owns(s, 1, 1, 0) && !owns(s, 1, 1, 200), "and in no other VLAN");
	ok(!owns(s, 2, 1, 100), "another port does not own it");
	ok(owns(s, 3, 3, 5) && owns(s, 3, 3, 0) && owns(s, 3, 3, SWITCH_VLAN_NONE),
	   "rule any owns it everywhere");
	ok(owns(s, 4, 4, 100) && owns(s, 5, 4, 100), "exact and any owner both own it");
	ok(!owns(s, 4, 4, SWITCH_VLAN_NONE), "an exact owner has no frame of no single VLAN");

	is_str(flood(s, 100), "1 3 4 5", "a flood reaches each port of the VLAN once, and any");
	is_str(flood(s, 0), "2 3 5", "an untagged flood");
	is_str(flood(s, 300), "3 5", "a port in both lists gets one copy");
	is_str(flood(s, 4094), "3 4 5", "the last VLAN");
	is_str(flood(s, 4095), "3 5", "the reserved VLAN");
	is_str(flood(s, SWITCH_VLAN_NONE), "3 5", "a flood of no single VLAN reaches any only");

	stations_macs(s, &n);
	is_int(n, 7, "each address is listed once");
	stations_free(s);
}

static void test_refused(void)
{
	struct station st[2] = { st_of(1, 100, 1), st_of(1, 100, 2) };
	struct stations *s = (void *)ports;
	struct vmq_err err = VMQ_ERR_INIT;

	is_int(stations_build(&s, st, 2, &err), -EEXIST, "one address, two ports: refused");
	is_str(err.text, "address 52:54:00:00:00:01 with VLAN 100 belongs to another port already; "
	       "remove it there first", "and says which");
	st[1] = st_of(2, 4095, 2);
	is_int(stations_build(&s, st, 2, &err), -EINVAL, "VLAN rule 4095: refused");
	st[1] = st_of(2, 1, 2);
	st[1].mac[0] = 0x53;
	is_int(stations_build(&s, st, 2, &err), -EINVAL, "a group address: refused");
	memset(st[1].mac, 0, 6);
	is_int(stations_build(&s, st, 2, &err), -EINVAL, "an address of zeros: refused");
	ok(s == (void *)ports, "the caller's list is not touched");
}

static void test_empty(void)
{
	static const uint8_t zero[6], all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct stations *s = build(NULL, 0);
	uint32_t n;

	if (!ok(s != NULL, "an empty list is a list"))
		return;
	is_int(find(s, 1, 0), -1, "nothing is found in it");
	is_str(flood(s, 0), "", "nothing is flooded");
	stations_macs(s, &n);
	is_int(n, 0, "no addresses");
	ok(!stations_find(s, zero, 0) && !stations_own(s, NULL, zero, 0), "zeros are nobody's");
	ok(!stations_find(s, all, 0), "broadcast is nobody's");
	stations_free(s);
}

/* 1,024 ports with 16 addresses each, in every kind of VLAN. */
static void test_large(void)
{
	uint32_t n = VMQ_QUEUES_MAX * VMQ_MACS_MAX, macs, wrong = 0;
	struct station *st = calloc(n, sizeof(*st));
	const uint64_t *sorted;
	struct stations *s;

	for (uint32_t i = 0; i < n; i++) {
		int port = (int)(i % 1024);

		st[i] = st_of(i * 2654435761u >> 8, port % 5 ? (uint16_t)(port * 4) : 0, port);
		if (port % 7 == 0)
			st[i].rule = VMQ_RULE_ANY;
	}
	s = build(st, n);
	if (!ok(s != NULL, "as many stations as an adapter can have"))
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t vlan = st[i].rule == VMQ_RULE_ANY ? 3 : st[i].rule;

		wrong += stations_find(s, st[i].mac, vlan) != st[i].port;
		wrong += !stations_own(s, st[i].port, st[i].mac, vlan);
	}
	is_int(wrong, 0, "each is found and owned");
	sorted = stations_macs(s, &macs);
	for (uint32_t i = 1; i < macs; i++)
		wrong += sorted[i] <= sorted[i - 1];
	is_int(wrong, 0, "addresses are sorted, each once");
	wrong = 0;
	for (uint32_t vlan = 0; vlan <= VMQ_RULE_VLAN_MAX; vlan++) {
		struct port_list list[2];
		uint32_t want = 0;

		stations_flood(s, (uint16_t)vlan, list);
		for (int port = 0; port < 1024; port++)
			want += port % 7 == 0 || (port % 5 ? (uint32_t)port * 4 : 0) == vlan;
		wrong += list[0].n + list[1].n != want;
	}
	is_int(wrong, 0, "every VLAN's flood has the right number of ports");
	stations_free(s);
	free(st);
}

int main(void)
{
	test_rules();
	test_refused();
	test_empty();
	test_large();
	return unit_done();
}
