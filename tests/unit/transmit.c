// SPDX-License-Identifier: GPL-2.0-only
/*
 * transmit.c - what a guest sends, and who gets it in which shape
 *
 * One table of frames: who sends what, what the wire gets, what each guest gets,
 * and which counter says so. Bytes are compared, not only counts.
 */
#include "rig.h"

enum { A, B, C, D, E, PORTS };	/* 100, 100, untagged, any, 200 trusted */
#define BIT(p)	(1u << (p))
#define NONE	(-1)

static const struct {
	uint16_t rule;
	bool trust;
} setup[PORTS] = {
	[A] = { 100, false }, [B] = { 100, false }, [C] = { VMQ_RULE_UNTAGGED, false },
	[D] = { VMQ_RULE_ANY, false }, [E] = { 200, true },
};

/* Stations: port p is p + 1; 0x99 is somewhere on the wire. */
struct test {
	const char *title;
	int from, dst, src;
	struct tags sent;
	uint32_t len;		/* without tags; 0: 60 */
	struct tags wire;	/* n NONE: nothing on the wire */
	unsigned ports;		/* that get it ... */
	struct tags any;	/* ... in this shape if any VLAN is theirs, else untagged */
	size_t counter;
};

#define COUNTER(c)	offsetof(struct port_stats, c)
#define NOTHING		{ .n = NONE }

static const struct test tests[] = {
	{ "M-6 an access port's frame gets its tag on the wire", A, 0x99, 1, NO_TAG, 0,
	  TAG(100), 0, NO_TAG, COUNTER(tx_wire) },
	{ "a priority tag becomes the access tag and keeps its priority", A, 0x99, 1, TAG(0xb000), 0,
	  TAG(0xb064), 0, NO_TAG, COUNTER(tx_wire) },
	{ "M-6 an access port sends no tag, not even its own", A, 0x99, 1, TAG(100), 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_vlan) },
	{ "M-6 nor another", A, 0x99, 1, TAG(200), 0, NOTHING, 0, NO_TAG, COUNTER(tx_vlan) },
	{ "M-6 nor VLAN 4095", A, 0x99, 1, TAG(4095), 0, NOTHING, 0, NO_TAG, COUNTER(tx_vlan) },
	{ "M-6 nor a service tag", A, 0x99, 1, TAG_AD(100), 0, NOTHING, 0, NO_TAG,
	  COUNTER(tx_vlan) },
	{ "M-6 nor a tag behind a priority tag", A, 0x99, 1,
	  TAGS(ETH_P_8021Q, 0, ETH_P_8021Q, 200), 0, NOTHING, 0, NO_TAG, COUNTER(tx_vlan) },

	{ "a station of the VLAN gets it, and not the wire", A, 2, 1, NO_TAG, 0,
	  NOTHING, BIT(B), NO_TAG, COUNTER(tx_local) },
	{ "M-6 a station of another VLAN does not; the wire does", A, 3, 1, NO_TAG, 0,
	  TAG(100), 0, NO_TAG, COUNTER(tx_wire) },
	{ "a station of any VLAN gets it with the tag", A, 4, 1, NO_TAG, 0,
	  NOTHING, BIT(D), TAG(100), COUNTER(tx_local) },
	{ "a frame to oneself ends in the switch", A, 1, 1, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_local) },
	{ "a broadcast reaches the VLAN and the wire, not the sender", A, 0xff, 1, NO_TAG, 0,
	  TAG(100), BIT(B) | BIT(D), TAG(100), COUNTER(tx_wire) },
	{ "so does a multicast, with its priority", B, 0x133, 2, TAG(0x6000), 0,
	  TAG(0x6064), BIT(A) | BIT(D), TAG(0x6064), COUNTER(tx_wire) },

	{ "a frame for the link itself is refused (STP)", A, 0x200, 1, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_link_local) },
	{ "to the last such group, too", D, 0x20f, 4, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_link_local) },
	{ "the groups after it are like others", A, 0x210, 1, NO_TAG, 0,
	  TAG(100), BIT(B) | BIT(D), TAG(100), COUNTER(tx_wire) },
	{ "a trusted port's goes to the wire, to no port (LLDP)", E, 0x20e, 5, NO_TAG, 0,
	  TAG(200), 0, NO_TAG, COUNTER(tx_wire) },

	{ "another's source address is refused", A, 0x99, 2, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_spoofed) },
	{ "an unknown source address is refused", A, 2, 0x77, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_spoofed) },
	{ "a group as source is refused", A, 2, 0xff, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_spoofed) },

	{ "an untagged port sends untagged", C, 0x99, 3, NO_TAG, 0,
	  NO_TAG, 0, NO_TAG, COUNTER(tx_wire) },
	{ "and priority-tagged, as it is", C, 0x99, 3, TAG(0x2000), 0,
	  TAG(0x2000), 0, NO_TAG, COUNTER(tx_wire) },
	{ "M-6 but no VLAN", C, 0x99, 3, TAG(1), 0, NOTHING, 0, NO_TAG, COUNTER(tx_vlan) },
	{ "its broadcast reaches untagged and any", C, 0xff, 3, NO_TAG, 0,
	  NO_TAG, BIT(D), NO_TAG, COUNTER(tx_wire) },

	{ "a port of any VLAN sends a tag as it is", D, 0x99, 4, TAG(0xe12c), 0,
	  TAG(0xe12c), 0, NO_TAG, COUNTER(tx_wire) },
	{ "its tag names the VLAN of a station", D, 1, 4, TAG(100), 0,
	  NOTHING, BIT(A), NO_TAG, COUNTER(tx_local) },
	{ "M-6 another VLAN's station is not there", D, 1, 4, TAG(200), 0,
	  TAG(200), 0, NO_TAG, COUNTER(tx_wire) },
	{ "untagged it reaches the untagged station", D, 3, 4, NO_TAG, 0,
	  NOTHING, BIT(C), NO_TAG, COUNTER(tx_local) },
	{ "a tagged broadcast reaches that VLAN", D, 0xff, 4, TAG(200), 0,
	  TAG(200), BIT(E), NO_TAG, COUNTER(tx_wire) },
	{ "M-6 a service-tagged broadcast reaches no access port", D, 0xff, 4,
	  TAGS(ETH_P_8021AD, 100, ETH_P_8021Q, 100), 0,
	  TAGS(ETH_P_8021AD, 100, ETH_P_8021Q, 100), 0, NO_TAG, COUNTER(tx_wire) },
	{ "its source address is checked too", D, 1, 2, TAG(100), 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_spoofed) },

	{ "a trusted port sends for others", E, 0x99, 0x55, NO_TAG, 0,
	  TAG(200), 0, NO_TAG, COUNTER(tx_wire) },
	{ "and with a tag of its own", E, 0x99, 5, TAG(100), 0,
	  TAG(100), 0, NO_TAG, COUNTER(tx_wire) },
	{ "and has no group as source", E, 0x99, 0xff, NO_TAG, 0,
	  NOTHING, 0, NO_TAG, COUNTER(tx_spoofed) },

	{ "the longest frame of an access port", A, 0x99, 1, NO_TAG, 1514,
	  TAG(100), 0, NO_TAG, COUNTER(tx_wire) },
	{ "one byte more is refused", A, 0x99, 1, NO_TAG, 1515,
	  NOTHING, 0, NO_TAG, COUNTER(tx_too_long) },
	{ "the longest untagged frame", C, 0x99, 3, NO_TAG, 1514,
	  NO_TAG, 0, NO_TAG, COUNTER(tx_wire) },
	{ "one byte more is refused", C, 0x99, 3, NO_TAG, 1515,
	  NOTHING, 0, NO_TAG, COUNTER(tx_too_long) },
	{ "the longest tagged frame", D, 0x99, 4, TAG(7), 1514,
	  TAG(7), 0, NO_TAG, COUNTER(tx_wire) },
	{ "one byte more is refused", D, 0x99, 4, TAG(7), 1515,
	  NOTHING, 0, NO_TAG, COUNTER(tx_too_long) },
	{ "the shortest frame", C, 4, 3, NO_TAG, 14,
	  NOTHING, BIT(D), NO_TAG, COUNTER(tx_local) },
};

static struct guest guest[PORTS];
static struct port *port[PORTS];
static struct datapath *dp;
static int wire = -1;

static void stats_of(int p, struct port_stats *st)
{
	struct vmq_slot_stats bpf = { 0 };

	port_get_stats(port[p], &bpf, st);
}

static bool all_counted(const struct port_stats *s, uint64_t flooded)
{
	return s->tx_frames == s->tx_wire + s->tx_local - flooded + s->tx_spoofed + s->tx_vlan +
	       s->tx_link_local +
	       s->tx_malformed + s->tx_too_long + s->tx_bad_header + s->tx_bad_csum +
	       s->tx_bad_gso + s->tx_disabled + s->tx_no_buffer + s->tx_wire_error;
}

/* Send, wait until the frame is counted and its batch is over. */
static bool send_and_wait(int from, const struct bytes *f, struct port_stats *after)
{
	uint64_t end = now_ns() + RIG_DEADLINE, want;

	stats_of(from, after);
	want = after->tx_frames + 1;
	for (int p = 0; p < PORTS; p++)
		guest_forget(&guest[p]);
	guest_send(&guest[from], f);
	do {
		stats_of(from, after);
		if (after->tx_frames >= want) {
			datapath_sync(dp);
			stats_of(from, after);
			return true;
		}
		poll(NULL, 0, 1);
	} while (now_ns() < end);
	return false;
}

static uint64_t value(const struct port_stats *s, size_t offset)
{
	return *(const uint64_t *)((const char *)s + offset);
}

static void run(const struct test *t)
{
	uint32_t len = t->len ? t->len : 60;
	struct bytes sent = rig_frame(t->dst, t->src, t->sent, len);
	struct bytes on_wire = rig_frame(t->dst, t->src, t->wire, len), got = { .len = 0 };
	struct port_stats before, after;
	bool good = true;

	stats_of(t->from, &before);
	if (!send_and_wait(t->from, &sent, &after)) {
		ok(false, "%s (never taken)", t->title);
		return;
	}
	if (t->wire.n == NONE) {
		if (rig_receive(wire, &got, 0)) {
			diag("the wire got a frame");
			good = false;
		}
	} else if (!rig_receive(wire, &got, RIG_DEADLINE)) {
		diag("the wire got nothing");
		good = false;
	} else {
		good &= rig_same(&got, &on_wire);
	}
	for (int p = 0; p < PORTS; p++) {
		struct bytes want = rig_frame(t->dst, t->src,
					      setup[p].rule == VMQ_RULE_ANY ? t->any : NO_TAG, len);

		if (guest[p].n_rx != !!(t->ports & BIT(p))) {
			diag("guest %c got %d frames", 'A' + p, guest[p].n_rx);
			good = false;
		} else if (guest[p].n_rx) {
			good &= rig_same(&guest[p].rx[0], &want);
		}
	}
	if (value(&after, t->counter) != value(&before, t->counter) + 1) {
		diag("not counted where it should be");
		good = false;
	}
	if (after.tx_bytes != before.tx_bytes + sent.len) {
		diag("%u bytes sent, %llu counted", sent.len,
		     (unsigned long long)(after.tx_bytes - before.tx_bytes));
		good = false;
	}
	ok(good, "%s", t->title);
}

/* Frames that no table line can make. */
static void test_odd(void)
{
	struct bytes f = rig_frame(0x99, 3, NO_TAG, 60);
	struct port_stats before, after;

	stats_of(C, &before);
	f.len = 13;
	send_and_wait(C, &f, &after);
	is_int(after.tx_malformed, before.tx_malformed + 1, "13 bytes are no frame");
	f.len = 0;
	send_and_wait(C, &f, &after);
	is_int(after.tx_malformed, before.tx_malformed + 2, "nor are none");
	f = rig_frame(0x99, 3, TAG(0), 60);
	f.len = 17;
	send_and_wait(C, &f, &after);
	is_int(after.tx_malformed, before.tx_malformed + 3, "a cut tag is malformed");
	f = rig_frame(0x99, 3, NO_TAG, 60);
	f.len = RIG_FRAME;
	send_and_wait(C, &f, &after);
	is_int(after.tx_too_long, before.tx_too_long + 1, "one longer than the buffer is too long");
	ok(!rig_receive(wire, &f, 0), "none of them is on the wire");
}

/* What a channel found wrong is counted by name, and goes nowhere. */
static void test_faults(void)
{
	static const struct {
		enum channel_fault fault;
		size_t counter;
		const char *title;
	} faults[] = {
		{ CHANNEL_BAD_HEADER, COUNTER(tx_bad_header), "a bad header" },
		{ CHANNEL_BAD_CSUM, COUNTER(tx_bad_csum), "a checksum outside of the frame" },
		{ CHANNEL_BAD_GSO, COUNTER(tx_bad_gso), "a frame that cannot be cut" },
		{ CHANNEL_TOO_LONG, COUNTER(tx_too_long), "a frame that was cut" },
		{ CHANNEL_DISABLED, COUNTER(tx_disabled), "a ring that is not enabled" },
	};
	struct bytes f = rig_frame(0x99, 3, NO_TAG, 60);
	struct port_stats before, after;

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		stats_of(C, &before);
		guest[C].fault = faults[i].fault;
		send_and_wait(C, &f, &after);
		is_int(value(&after, faults[i].counter), value(&before, faults[i].counter) + 1,
		       "M-8 a channel's fault is counted by name: %s", faults[i].title);
	}
	guest[C].fault = CHANNEL_FINE;
	ok(!rig_receive(wire, &f, 0), "M-8 nothing of that is on the wire");
}

/* What the channel says itself is in its wire shape, whatever the guest may send. */
static void test_own(void)
{
	struct bytes f = rig_frame(0x99, 0x77, TAG(7), 60), got = { .len = 0 };
	struct port_stats before, after;

	stats_of(A, &before);
	guest[A].own = true;
	send_and_wait(A, &f, &after);
	guest[A].own = false;
	ok(after.tx_wire == before.tx_wire + 1 && after.tx_spoofed == before.tx_spoofed &&
	   rig_receive(wire, &got, RIG_DEADLINE) && got.len == f.len &&
	   !memcmp(got.data, f.data, f.len),
	   "L-3 an announcement leaves as it is, with an address and a VLAN of its own");
}

/* More frames than a batch: all there, in order. */
static void test_burst(void)
{
	struct bytes f, got = { .len = 0 };
	struct port_stats st;
	uint64_t end = now_ns() + RIG_DEADLINE, want;
	int in_order = 0, n = 40;

	stats_of(A, &st);
	want = st.tx_wire + (uint64_t)n;
	for (int i = 0; i < n; i++) {
		f = rig_frame(0x99, 1, NO_TAG, 60);
		f.data[20] = (uint8_t)i;
		guest_send(&guest[A], &f);
	}
	do
		stats_of(A, &st);
	while (st.tx_wire < want && now_ns() < end);
	for (int i = 0; i < n && rig_receive(wire, &got, RIG_DEADLINE); i++)
		in_order += got.data[24] == i;
	is_int(in_order, n, "P-3 a burst reaches the wire complete and in order");
}

static void open_all(uint32_t txqs)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct station st[PORTS];

	dp = rig_datapath(txqs);
	for (int p = 0; dp && p < PORTS; p++) {
		port[p] = rig_port(dp, &guest[p], (uint32_t)p + 1, setup[p].rule, setup[p].trust);
		rig_mac(st[p].mac, p + 1);
		st[p].rule = setup[p].rule;
		st[p].port = port[p];
	}
	if (!dp || rig_stations(datapath_switch(dp), st, PORTS, &err)) {
		diag("%s", err.text);
		ok(false, "a data path and its ports");
		exit(unit_done());
	}
}

static void close_all(void)
{
	is_int(rig_stations(datapath_switch(dp), NULL, 0, NULL), 0, "no stations any more");
	for (int p = 0; p < PORTS; p++)
		port_close(port[p], false);
	switch_stop(datapath_switch(dp));
	datapath_close(dp);
}

/* Without transmit frames, as when the wire is blocked. */
static void test_blocked(void)
{
	struct bytes f = rig_frame(2, 1, NO_TAG, 60), got = { .len = 0 };
	struct port_stats st;

	open_all(0);
	send_and_wait(A, &f, &st);
	ok(st.tx_local == 1 && guest[B].n_rx == 1, "a blocked wire does not stop VM to VM");
	f = rig_frame(0xff, 1, NO_TAG, 60);
	send_and_wait(A, &f, &st);
	ok(guest[B].n_rx == 1 && guest[D].n_rx == 1 && guest[D].rx[0].data[15] == 100,
	   "nor a flood, tagged as usual");
	f = rig_frame(0x99, 1, NO_TAG, 60);
	send_and_wait(A, &f, &st);
	is_int(st.tx_no_buffer, 2, "frames for the wire are counted as such");
	f.len = RIG_FRAME;
	send_and_wait(A, &f, &st);
	is_int(st.tx_too_long, 1, "a giant is refused as always");
	ok(all_counted(&st, 1), "every frame is accounted for");
	ok(!rig_receive(wire, &got, 0), "the wire got nothing");
	close_all();
}

/* Made paused, and a station before it goes on: nothing it said is refused. */
static void test_first(void)
{
	struct bytes f = rig_frame(0x99, 6, NO_TAG, 60);
	struct station st = { .rule = VMQ_RULE_UNTAGGED };
	struct port_config cfg = {
		.id = 1, .name = "first", .rule = VMQ_RULE_UNTAGGED, .pairs = 1, .paused = true,
	};
	struct vmq_err err = VMQ_ERR_INIT;
	struct vmq_slot_stats bpf = { 0 };
	uint64_t end = now_ns() + RIG_DEADLINE;
	struct port_stats now = { 0 };
	struct guest g;

	dp = rig_datapath(1);
	guest_init(&g);
	cfg.channel = &g.ch;
	cfg.cpu[0] = worker_cpu(datapath_worker_at(dp, 0));
	if (!is_int(port_open(&st.port, dp, &cfg, &err), 0, "a port that is paused from the start"))
		return;
	guest_send(&g, &f);
	datapath_sync(dp);
	datapath_sync(dp);
	port_get_stats(st.port, &bpf, &now);
	is_int(now.tx_frames, 0, "nothing is taken from its guest");
	rig_mac(st.mac, 6);
	is_int(rig_stations(datapath_switch(dp), &st, 1, &err), 0, "it becomes a station");
	port_set_paused(st.port, false);
	while (!now.tx_frames && now_ns() < end)
		port_get_stats(st.port, &bpf, &now);
	datapath_sync(dp);
	port_get_stats(st.port, &bpf, &now);
	ok(now.tx_wire == 1 && !now.tx_spoofed, "then its first frame leaves");
	rig_stations(datapath_switch(dp), NULL, 0, NULL);
	port_close(st.port, false);
	switch_stop(datapath_switch(dp));
	datapath_close(dp);
}

int main(void)
{
	const char *why = rig_enter();
	struct port_stats st;
	uint64_t flooded[PORTS] = { 0 };

	if (why) {
		skip(why, "transmit");
		return unit_done();
	}
	wire = rig_socket("wire", false);
	open_all(1);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		run(&tests[i]);
		flooded[tests[i].from] += tests[i].dst >= 0xff && tests[i].ports;
	}
	test_odd();
	test_faults();
	test_burst();
	test_own();
	for (int p = 0; p < PORTS; p++) {
		stats_of(p, &st);
		ok(all_counted(&st, flooded[p]), "every frame of guest %c is accounted for", 'A' + p);
	}
	close_all();
	test_blocked();
	test_first();
	close(wire);
	return unit_done();
}
