// SPDX-License-Identifier: GPL-2.0-only
/*
 * switch.c - who is where: the switch's list of stations
 *
 * Ports are opaque to the list, so these are addresses of bytes. Look-ups by
 * VLAN rule, floods (each port once), ownership of source addresses, refused
 * stations, a list as large as an adapter can have; random changes, some of them
 * aborted, against a naive list; and readers that must never see half a change.
 */
#include <pthread.h>
#include <sched.h>

#include "common/parse.h"
#include "common/util.h"
#include "datapath/stations.h"
#include "unit.h"
#include "vmq/abi.h"

static char ports[1024];
#define PORT(i) ((struct port *)&ports[i])

static struct station st_of(uint32_t mac, uint16_t rule, int port)
{
	struct station st = { .mac = { 0x52, 0x54, 0 }, .rule = rule,
			      .port = port < 0 ? NULL : PORT(port) };

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
	int count[64] = { 0 };
	struct flood f;
	struct port *p;
	size_t at = 0;

	stations_flood(s, vlan, &f);
	while ((p = flood_next(&f)))
		count[(char *)p - ports]++;
	text[0] = '\0';
	for (int i = 0; i < 64; i++) {
		for (int k = 0; k < count[i]; k++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d",
					       at ? " " : "", i);
	}
	return text;
}

static struct stations *empty(void)
{
	struct stations *s = NULL;

	if (stations_open(&s))
		diag("no memory");
	return s;
}

/* Return: how many could not be set. */
static uint32_t set_all(struct stations *s, const struct station *st, uint32_t n)
{
	struct vmq_err err = VMQ_ERR_INIT;
	enum station_mac mac;
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < n; i++)
		if (stations_set(s, &st[i], &mac, &err)) {
			diag("%s", err.text);
			wrong++;
		}
	return wrong;
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
	const struct station gone[] = {
		st_of(7, 100, -1), st_of(4, 100, -1), st_of(3, VMQ_RULE_ANY, -1),
	};
	struct stations *s = empty();

	is_int(set_all(s, st, ARRAY_SIZE(st)), 0, "stations are set, the same twice among them");
	is_int(find(s, 1, 100), -1, "which nobody sees");
	is_int(stations_count(s), 9, "but who makes the change");
	stations_commit(s);
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

	set_all(s, gone, 1);
	stations_commit(s);
	is_str(flood(s, 100), "1 3 4 5", "who has another station in the VLAN stays in its floods");
	set_all(s, gone, ARRAY_SIZE(gone));
	is_str(flood(s, 100), "1 3 4 5", "who is about to leave gets floods");
	stations_commit(s);
	is_str(flood(s, 100), "1 5", "and none when the change is made");
	is_str(flood(s, 300), "3 5", "a port that has left any is in the lists of its VLANs");
	is_int(find(s, 4, 100), 5, "without the exact rule any takes all");
	stations_close(s);
}

static void test_macs(void)
{
	const struct { struct station st; enum station_mac mac; const char *title; } step[] = {
		{ st_of(1, 5, 1), STATION_MAC_CAME, "its first station brings an address" },
		{ st_of(1, 6, 2), STATION_MAC_STAYS, "the second does not" },
		{ st_of(1, 5, 2), STATION_MAC_STAYS, "nor does another port" },
		{ st_of(1, 5, -1), STATION_MAC_STAYS, "one of two leaves" },
		{ st_of(1, 5, -1), STATION_MAC_STAYS, "and cannot leave again" },
		{ st_of(1, 6, -1), STATION_MAC_WENT, "the last takes the address along" },
		{ st_of(1, VMQ_RULE_ANY, 1), STATION_MAC_CAME, "it comes back" },
	};
	struct stations *s = empty();
	struct vmq_err err;
	enum station_mac mac;

	for (size_t i = 0; i < ARRAY_SIZE(step); i++) {
		if (stations_set(s, &step[i].st, &mac, &err))
			diag("%s", err.text);
		is_int(mac, step[i].mac, "%s", step[i].title);
	}
	ok(stations_know(s, mac_to_u48(step[0].st.mac)), "it is known before the commit");
	stations_abort(s);
	ok(!stations_know(s, mac_to_u48(step[0].st.mac)), "and not after an abort");
	stations_close(s);
}

static void test_refused(void)
{
	struct station st = st_of(2, 4095, 2);
	struct vmq_err err = VMQ_ERR_INIT;
	struct stations *s = empty();
	enum station_mac mac;

	is_int(stations_set(s, &st, &mac, &err), -EINVAL, "VLAN rule 4095: refused");
	st = st_of(2, 1, 2);
	st.mac[0] = 0x53;
	is_int(stations_set(s, &st, &mac, &err), -EINVAL, "a group address: refused");
	memset(st.mac, 0, 6);
	is_int(stations_set(s, &st, &mac, &err), -EINVAL, "an address of zeros: refused");
	is_int(stations_count(s), 0, "the list is not touched");
	stations_close(s);
}

static void test_empty(void)
{
	static const uint8_t zero[6], all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct stations *s = empty();

	is_int(find(s, 1, 0), -1, "nothing is found in an empty list");
	is_str(flood(s, 0), "", "nothing is flooded");
	ok(!stations_find(s, zero, 0) && !stations_own(s, NULL, zero, 0), "zeros are nobody's");
	ok(!stations_find(s, all, 0), "broadcast is nobody's");
	stations_close(s);
}

/* 1,024 ports with 16 addresses each, in every kind of VLAN. */
static void test_large(void)
{
	uint32_t n = VMQ_QUEUES_MAX * VMQ_MACS_MAX, wrong = 0;
	struct station *st = calloc(n, sizeof(*st));
	struct stations *s = empty();

	for (uint32_t i = 0; i < n; i++) {
		int port = (int)(i % 1024);

		st[i] = st_of(i * 2654435761u >> 8, port % 5 ? (uint16_t)(port * 4) : 0, port);
		if (port % 7 == 0)
			st[i].rule = VMQ_RULE_ANY;
	}
	is_int(set_all(s, st, n), 0, "as many stations as ports can have addresses");
	stations_commit(s);
	for (uint32_t i = 0; i < n; i++) {
		uint16_t vlan = st[i].rule == VMQ_RULE_ANY ? 3 : st[i].rule;

		wrong += stations_find(s, st[i].mac, vlan) != st[i].port;
		wrong += !stations_own(s, st[i].port, st[i].mac, vlan);
	}
	is_int(wrong, 0, "each is found and owned");
	wrong = 0;
	for (uint32_t vlan = 0; vlan <= VMQ_RULE_VLAN_MAX; vlan++) {
		uint32_t want = 0, got = 0;
		struct flood f;

		stations_flood(s, (uint16_t)vlan, &f);
		while (flood_next(&f))
			got++;
		for (int port = 0; port < 1024; port++)
			want += port % 7 == 0 || (port % 5 ? (uint32_t)port * 4 : 0) == vlan;
		wrong += got != want;
	}
	is_int(wrong, 0, "every VLAN's flood has the right number of ports");
	stations_close(s);
	free(st);
}

/* ---- random changes against a naive list --------------------------------------- */

#define MACS 40			/* few, and few rules, so that changes meet */
static const uint16_t rules[] = { 0, 1, 2, 100, VMQ_RULE_VLAN_MAX, VMQ_RULE_ANY };
#define N_RULES ARRAY_SIZE(rules)
#define ANY_AT (N_RULES - 1)
#define N_PORTS 12

/* Whose; -1: nobody's. The second is before the change. */
static int model[MACS][N_RULES], before[MACS][N_RULES];
static uint64_t seed = 88172645463325252ULL;

static uint32_t dice(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed % n);
}

static uint32_t macs[MACS];

/* Half of them meet in four rows, by the hash that stations.c has today. */
static uint32_t hash_of(uint32_t mac)
{
	return (uint32_t)(((0x525400000000ULL | mac) * 0x9e3779b97f4a7c15ULL) >> 49);
}

static void choose_macs(void)
{
	uint32_t mac = 1;

	for (int i = 0; i < MACS; i++, mac++) {
		while (i >= MACS / 2 && hash_of(mac) != hash_of(macs[i % 4]))
			mac++;
		macs[i] = mac;
	}
}

static uint32_t flood_wrong(const struct stations *s, size_t rule)
{
	bool want[N_PORTS] = { false };
	uint32_t wrong = 0;
	struct flood f;
	struct port *p;

	for (int m = 0; m < MACS; m++)
		for (size_t r = 0; r < N_RULES; r++)
			if (before[m][r] >= 0 && (r == rule || r == ANY_AT))
				want[before[m][r]] = true;
	stations_flood(s, rules[rule], &f);
	while ((p = flood_next(&f))) {
		wrong += !want[(char *)p - ports];
		want[(char *)p - ports] = false;
	}
	for (int i = 0; i < N_PORTS; i++)
		wrong += want[i];
	return wrong;
}

/* What readers see is what was there before the change. */
static uint32_t all_wrong(const struct stations *s)
{
	uint32_t wrong = 0;

	for (int m = 0; m < MACS; m++)
		for (size_t r = 0; r < N_RULES; r++) {
			int exact = r == ANY_AT ? -1 : before[m][r], any = before[m][ANY_AT];

			wrong += find(s, macs[m], rules[r]) != (exact >= 0 ? exact : any);
			for (int p = 0; p < N_PORTS; p++)
				wrong += owns(s, p, macs[m], rules[r]) != (p == exact || p == any);
		}
	for (size_t r = 0; r < N_RULES; r++)
		wrong += flood_wrong(s, r);
	return wrong;
}

static bool known(int m)
{
	for (size_t r = 0; r < N_RULES; r++)
		if (model[m][r] >= 0)
			return true;
	return false;
}

static void nobody(void *arg, uint64_t mac)
{
	(void)mac;
	++*(uint32_t *)arg;
}

static uint32_t one_set(struct stations *s)
{
	int m = (int)dice(MACS), p = (int)dice(N_PORTS + 4);
	uint32_t r = dice(N_RULES);
	struct station st = st_of(macs[m], rules[r], p < N_PORTS ? p : -1);
	bool was = known(m);
	enum station_mac mac;

	if (stations_set(s, &st, &mac, NULL))
		return 1;
	model[m][r] = p < N_PORTS ? p : -1;
	return mac != (was == known(m) ? STATION_MAC_STAYS :
		       was ? STATION_MAC_WENT : STATION_MAC_CAME);
}

static uint32_t one_clear(struct stations *s)
{
	uint32_t went = 0, want = 0;

	for (int m = 0; m < MACS; m++)
		want += known(m);
	stations_clear(s, nobody, &went);
	memset(model, 0xff, sizeof(model));
	return went != want;
}

static void test_random(void)
{
	uint32_t wrong = 0, unseen = 0, count, aborts = 0, clears = 0;
	struct stations *s = empty();

	choose_macs();
	memset(model, 0xff, sizeof(model));
	memset(before, 0xff, sizeof(before));
	for (int change = 0; change < 3000; change++) {
		uint32_t sets = dice(8) ? dice(6) : dice(200);

		if (!dice(50)) {
			wrong += one_clear(s);
			clears++;
		}
		while (sets--)
			wrong += one_set(s);
		if (change % 16 == 0)
			unseen += all_wrong(s);
		count = 0;
		if (!dice(4)) {
			stations_abort(s);
			memcpy(model, before, sizeof(model));
			aborts++;
		} else {
			stations_commit(s);
			memcpy(before, model, sizeof(before));
		}
		for (int m = 0; m < MACS; m++) {
			struct station st = st_of(macs[m], 0, 0);

			wrong += stations_know(s, mac_to_u48(st.mac)) != known(m);
			for (size_t r = 0; r < N_RULES; r++)
				count += model[m][r] >= 0;
		}
		wrong += stations_count(s) != count;
		wrong += all_wrong(s);
		if (!dice(20))
			stations_reclaim(s);
	}
	diag("%u aborted, %u began with nobody", aborts, clears);
	is_int(wrong, 0, "3,000 random changes, as a naive list has them");
	is_int(unseen, 0, "nothing is seen of a change before its end");
	stations_close(s);
}

/* ---- readers that run meanwhile -------------------------------------------------- */

static struct {
	struct stations *s;
	bool stop;
	uint32_t rounds[2];	/* of each reader */
	uint32_t torn;
} race;

/* Addresses 1 and 2 move together from port to port, so one port gets the floods. */
static void *reader(void *arg)
{
	uint32_t *rounds = arg;

	while (!load_relaxed(&race.stop)) {
		struct flood f;
		bool torn;

		stations_flood(race.s, 7, &f);
		torn = !flood_next(&f) || flood_next(&f);
		if (torn || find(race.s, 1, 7) < 0)
			__atomic_add_fetch(&race.torn, 1, __ATOMIC_RELAXED);
		store_release(rounds, *rounds + 1);
	}
	return NULL;
}

/* Each reader has ended a round that began later than now: it holds nothing older. */
static void quiet(void)
{
	for (int i = 0; i < 2; i++) {
		uint32_t now = load_acquire(&race.rounds[i]);

		while (load_acquire(&race.rounds[i]) - now < 2)
			sched_yield();
	}
}

static void test_readers(void)
{
	struct station st[] = { st_of(1, 7, 0), st_of(2, 7, 0) }, other;
	uint64_t end = now_ns() + 300000000;
	uint32_t wrong = 0, changes = 0;
	pthread_t thread[2];

	race.s = empty();
	wrong += set_all(race.s, st, ARRAY_SIZE(st));
	stations_commit(race.s);
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, reader, &race.rounds[i]);
	for (; now_ns() < end; changes++) {
		st[0].port = st[1].port = PORT(changes % 5);
		wrong += set_all(race.s, st, ARRAY_SIZE(st));
		other = st_of(100 + dice(3000), 8, (int)dice(3) - 1);
		wrong += set_all(race.s, &other, 1);
		stations_commit(race.s);
		if (stations_retired(race.s) > 1000) {
			quiet();
			stations_reclaim(race.s);
		}
	}
	store_relaxed(&race.stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	diag("%u changes", changes);
	is_int(wrong, 0, "changes under readers");
	is_int(race.torn, 0, "no reader sees half of one");
	ok(stations_retired(race.s) <= 1000 + 64, "what was replaced does not pile up");
	stations_close(race.s);
}

int main(void)
{
	test_rules();
	test_macs();
	test_refused();
	test_empty();
	test_large();
	test_random();
	test_readers();
	return unit_done();
}
