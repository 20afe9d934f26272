// SPDX-License-Identifier: GPL-2.0-only
/*
 * frame.c - tags as the switch reads them, and as a guest sees them
 *
 * Every nesting of tags, cut at every length; frames with a tag left out and
 * put in; the table of counters against the sum that is made from it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "datapath/frame.h"
#include "datapath/port.h"
#include "datapath/stats.h"
#include "datapath/switch.h"
#include "unit.h"
#include "vmq/abi.h"

static uint8_t data[64];

/* @word: type/tci pairs from offset 12 on, the last type alone. */
static void build(const uint16_t *word, int n)
{
	int i;

	for (i = 0; i < (int)sizeof(data); i++)
		data[i] = (uint8_t)i;
	for (i = 0; i < n; i++) {
		data[12 + 2 * i] = (uint8_t)(word[i] >> 8);
		data[13 + 2 * i] = (uint8_t)word[i];
	}
}

struct nesting {
	const char *title;
	uint16_t word[5];
	int n;
	uint32_t headers;	/* length below which it is malformed */
	bool tagged, service;
	uint16_t tci;
};

static const struct nesting nestings[] = {
	{ "untagged", { 0x0800 }, 1, 14, false, false, 0 },
	{ "802.1Q", { 0x8100, 0x6064, 0x0800 }, 3, 18, true, false, 0x6064 },
	{ "priority tag", { 0x8100, 0xe000, 0x0800 }, 3, 18, true, false, 0xe000 },
	{ "802.1ad", { 0x88a8, 0x0064, 0x0800 }, 3, 18, false, true, 0 },
	{ "802.1Q in 802.1Q", { 0x8100, 0x0064, 0x8100, 0x0005, 0x0800 }, 5, 22, true, false,
	  0x0064 },
	{ "802.1Q in 802.1ad", { 0x88a8, 0x0064, 0x8100, 0x0005, 0x0800 }, 5, 22, false, true, 0 },
	{ "802.1Q behind a priority tag", { 0x8100, 0x2000, 0x8100, 0x0005, 0x0800 }, 5, 22, true,
	  true, 0x2000 },
	{ "802.1ad behind a priority tag", { 0x8100, 0x0000, 0x88a8, 0x0005, 0x0800 }, 5, 22, true,
	  true, 0 },
	{ "VLAN 4095", { 0x8100, 0x0fff, 0x0800 }, 3, 18, true, false, 0x0fff },
};

static void look(void)
{
	struct frame_info fi;
	uint32_t len, bad;
	size_t i;

	for (i = 0; i < sizeof(nestings) / sizeof(nestings[0]); i++) {
		const struct nesting *t = &nestings[i];

		build(t->word, t->n);
		bad = 0;
		for (len = 0; len <= 60; len++)
			bad += frame_look(&fi, data, len) != (len >= t->headers);
		is_int(bad, 0, "%s: whole from %u bytes on, malformed below", t->title,
		       t->headers);
		frame_look(&fi, data, 60);
		ok(fi.tagged == t->tagged && fi.service == t->service && fi.tci == t->tci,
		   "M-6 %s: %s, tci 0x%04x", t->title, t->service ? "of no single VLAN" :
		   t->tagged ? "tagged" : "untagged", t->tci);
	}
}

/* The pieces of a frame in one piece. */
static uint32_t flat(const struct frame *f, uint8_t *out)
{
	uint32_t len = 0;
	int i;

	for (i = 0; i < f->parts; i++) {
		memcpy(out + len, f->part[i].iov_base, f->part[i].iov_len);
		len += (uint32_t)f->part[i].iov_len;
	}
	return len;
}

static void pieces(void)
{
	static const uint8_t tag[VLAN_HLEN] = { 0x81, 0x00, 0x60, 0x64 };
	uint8_t out[80], want[80];
	struct frame f;

	build((const uint16_t[]){ 0x8100, 0x0005, 0x0800 }, 3);
	frame_build(&f, data, 60, 0, NULL);
	ok(f.parts == 1 && f.len == 60 && flat(&f, out) == 60 && !memcmp(out, data, 60),
	   "a frame as it is is one piece");

	frame_build(&f, data, 60, VLAN_HLEN, NULL);
	memcpy(want, data, 12);
	memcpy(want + 12, data + 16, 44);
	ok(f.len == 56 && flat(&f, out) == 56 && !memcmp(out, want, 56), "a tag is left out");

	frame_build(&f, data, 60, 0, tag);
	memcpy(want + 12, tag, 4);
	memcpy(want + 16, data + 12, 48);
	ok(f.len == 64 && flat(&f, out) == 64 && !memcmp(out, want, 64), "a tag is put in");

	frame_build(&f, data, 60, VLAN_HLEN, tag);
	memcpy(want + 16, data + 16, 44);
	ok(f.len == 60 && flat(&f, out) == 60 && !memcmp(out, want, 60), "a tag is replaced");

	frame_build(&f, data, ETH_HLEN, 0, tag);
	ok(f.len == 18 && flat(&f, out) == 18, "the shortest frame takes a tag");
	frame_build(&f, data, ETH_HLEN + VLAN_HLEN, VLAN_HLEN, NULL);
	ok(f.len == 14 && flat(&f, out) == 14, "the shortest tagged frame loses it");
}

static void rules(void)
{
	ok(port_rule_accepts(100, 100) && !port_rule_accepts(100, 101) &&
	   !port_rule_accepts(100, 0) && !port_rule_accepts(100, SWITCH_VLAN_NONE),
	   "M-6 a port of VLAN 100 takes VLAN 100 only");
	ok(port_rule_accepts(VMQ_RULE_UNTAGGED, 0) && !port_rule_accepts(VMQ_RULE_UNTAGGED, 1) &&
	   !port_rule_accepts(VMQ_RULE_UNTAGGED, SWITCH_VLAN_NONE),
	   "M-6 an untagged port takes untagged and VLAN 0 only");
	ok(port_rule_accepts(VMQ_RULE_ANY, 0) && port_rule_accepts(VMQ_RULE_ANY, 4094) &&
	   port_rule_accepts(VMQ_RULE_ANY, SWITCH_VLAN_NONE), "a port of any VLAN takes all");
}

static void counters(void)
{
	struct port_stats s;
	const struct stat_desc *d;
	uint64_t sum = 0;
	int n = 0, dropped = 0;

	for (d = port_stat_table; d->name; d++, n++) {
		uint64_t *at = (uint64_t *)((char *)&s + d->offset);

		*at = 1ULL << n;
		if (d->group && !strcmp(d->group, "dropped")) {
			sum += *at;
			dropped++;
		}
	}
	is_int(n, sizeof(s) / sizeof(uint64_t), "every counter of a port is named, once");
	ok(port_stats_dropped(&s) == sum && dropped == 7, "dropped is the sum of its reasons");
	for (n = 0, d = uplink_stat_table; d->name; d++)
		n++;
	is_int(n, sizeof(struct uplink_stats) / sizeof(uint64_t),
	       "every counter of the uplink is named, once");
}

int main(void)
{
	look();
	pieces();
	rules();
	counters();
	return unit_done();
}
