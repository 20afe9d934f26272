// SPDX-License-Identifier: GPL-2.0-only
/*
 * uplink.c - what VMs get from queue 0
 *
 * Frames from the wire: floods and frames for VMs without a queue, by VLAN, with
 * the tag where it belongs; joined segments and half-done checksums as a veth
 * hands them over. And what the switch must not get: the host's own traffic, and
 * anything at all while there is no VM.
 */
#include <linux/ip.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

#include "slow_sum.h"
#include "rig.h"

enum { A, B, C, D, PORTS };	/* 100, 200, untagged, any */
#define BIT(p)	(1u << (p))

static const uint16_t rules[PORTS] = { 100, 200, VMQ_RULE_UNTAGGED, VMQ_RULE_ANY };

static struct guest guest[PORTS];
static struct port *port[PORTS];
static struct station stations[PORTS];
static struct datapath *dp;
static int wire = -1;

static struct uplink_stats stats(void)
{
	struct uplink_stats st;

	switch_stats(datapath_switch(dp), &st);
	return st;
}

static void forget_all(void)
{
	for (int p = 0; p < PORTS; p++)
		guest_forget(&guest[p]);
}

static bool write_wire(const struct bytes *f)
{
	static const struct virtio_net_hdr plain;
	struct iovec iov[2] = {
		{ (void *)&plain, sizeof(plain) }, { (void *)f->data, f->len },
	};

	if (writev(wire, iov, 2) > 0)
		return true;
	diag("cannot send: %s", strerror(errno));
	return false;
}

/*
 * A packet socket is served in order, so when the marker has come, all frames
 * before it have been dealt with. The marker is a frame for guest D.
 */
static bool send_all(const struct bytes *f)
{
	struct bytes marker = rig_frame(D + 1, 0x99, NO_TAG, 60);
	uint64_t end = now_ns() + RIG_DEADLINE;

	if ((f->len && !write_wire(f)) || !write_wire(&marker))
		return false;
	for (;;) {
		bool there = false;

		pthread_mutex_lock(&guest[D].lock);
		for (int i = 0; i < guest[D].n_rx; i++)
			there |= guest[D].rx[i].len == marker.len &&
				 !memcmp(guest[D].rx[i].data, marker.data, marker.len);
		/* It came last, and is not what tests look at. */
		if (there)
			guest[D].n_rx--;
		pthread_mutex_unlock(&guest[D].lock);
		if (there)
			break;
		if (now_ns() > end) {
			diag("the marker did not come");
			return false;
		}
		poll(NULL, 0, 1);
	}
	datapath_sync(dp);
	return true;
}

struct test {
	const char *title;
	int dst;
	struct tags sent;
	unsigned ports;
	size_t counter;
};

#define COUNTER(c)	offsetof(struct uplink_stats, c)
#define OTHERS		UINT32_MAX	/* not the switch's business at all */

static const struct test tests[] = {
	{ "an untagged broadcast reaches untagged and any", 0xff, NO_TAG, BIT(C) | BIT(D),
	  COUNTER(flooded) },
	{ "M-6 a tagged broadcast reaches its VLAN and any", 0xff, TAG(0x6064), BIT(A) | BIT(D),
	  COUNTER(flooded) },
	{ "so does a multicast", 0x133, TAG(200), BIT(B) | BIT(D), COUNTER(flooded) },
	{ "F-4 a priority-tagged broadcast reaches untagged", 0xff, TAG(0x2000), BIT(C) | BIT(D),
	  COUNTER(flooded) },
	{ "M-6 a broadcast of another VLAN reaches any only", 0xff, TAG(300), BIT(D),
	  COUNTER(flooded) },
	{ "M-6 so does a service-tagged one", 0xff, TAG_AD(100), BIT(D), COUNTER(flooded) },
	{ "and one with two tags of service", 0xff, TAGS(ETH_P_8021AD, 100, ETH_P_8021Q, 100),
	  BIT(D), COUNTER(flooded) },
	{ "M-6 and one with a tag behind a priority tag", 0xff,
	  TAGS(ETH_P_8021Q, 0, ETH_P_8021Q, 100), BIT(D), COUNTER(flooded) },
	{ "an inner tag is the guest's own", 0xff, TAGS(ETH_P_8021Q, 100, ETH_P_8021Q, 7),
	  BIT(A) | BIT(D), COUNTER(flooded) },
	{ "L-3 a frame for a VM without a queue is carried", A + 1, TAG(100), BIT(A),
	  COUNTER(carried) },
	{ "L-3 an untagged one too", C + 1, NO_TAG, BIT(C), COUNTER(carried) },
	{ "M-6 not in another VLAN", A + 1, TAG(200), 0, COUNTER(ignored) },
	{ "M-6 not without a tag", A + 1, NO_TAG, 0, COUNTER(ignored) },
	{ "L-3 a VM of any VLAN gets it with its tag", D + 1, TAG(0xe12c), BIT(D),
	  COUNTER(carried) },
	{ "a frame for somebody else is not looked at", 0x77, NO_TAG, 0, OTHERS },
	{ "nor is a tagged one", 0x77, TAG(100), 0, OTHERS },
};

static uint64_t value(const struct uplink_stats *s, size_t offset)
{
	return *(const uint64_t *)((const char *)s + offset);
}

/* The frame as guest @p must see it. */
static struct bytes dressed(const struct test *t, int p)
{
	struct tags tags = t->sent;

	if (rules[p] != VMQ_RULE_ANY && tags.n) {
		tags.tag[0] = tags.tag[1];
		tags.n--;
	}
	return rig_frame(t->dst, 0x99, tags, 80);
}

static void run(const struct test *t)
{
	struct bytes f = rig_frame(t->dst, 0x99, t->sent, 80);
	struct uplink_stats before = stats(), after;
	bool good;

	forget_all();
	good = send_all(&f);
	after = stats();
	for (int p = 0; p < PORTS; p++) {
		struct bytes want = dressed(t, p);

		if (guest[p].n_rx != !!(t->ports & BIT(p))) {
			diag("guest %c got %d frames", 'A' + p, guest[p].n_rx);
			good = false;
		} else if (guest[p].n_rx) {
			good &= rig_same(&guest[p].rx[0], &want);
		}
	}
	before.carried++;	/* the marker */
	before.frames++;
	if (after.frames != before.frames + (t->counter != OTHERS)) {
		diag("%llu frames taken", (unsigned long long)(after.frames - before.frames));
		good = false;
	}
	if (t->counter != OTHERS && value(&after, t->counter) != value(&before, t->counter) + 1) {
		diag("not counted where it should be");
		good = false;
	}
	ok(good, "%s", t->title);
}

/* ---- what a veth leaves undone -------------------------------------------- */

/* A TCP/IPv4 frame of @payload bytes, its checksum left to the device. */
static uint32_t tcp_frame(uint8_t *p, int dst, struct tags t, uint32_t payload,
			  struct virtio_net_hdr *vh)
{
	struct bytes head = rig_frame(dst, 0x99, t, 14);
	uint32_t l3 = head.len, l4 = l3 + 20, len = l4 + 20 + payload;
	uint8_t pseudo[4] = { 0, IPPROTO_TCP, 0, 0 };
	uint32_t s;

	memset(p, 0, len);
	memcpy(p, head.data, head.len);
	p[l3 - 2] = 0x08;
	p[l3 - 1] = 0x00;
	memcpy(p + l3, "\x45\0\0\0\0\1\x40\0\x40\x06\0\0\x0a\0\0\1\x0a\0\0\2", 20);
	p[l3 + 2] = (uint8_t)((len - l3) >> 8);
	p[l3 + 3] = (uint8_t)(len - l3);
	s = 0xffff - slow_sum(0, p + l3, 20);
	p[l3 + 10] = (uint8_t)(s >> 8);
	p[l3 + 11] = (uint8_t)s;
	p[l4 + 12] = 0x50;
	p[l4 + 13] = TH_ACK | TH_PUSH;
	for (uint32_t i = 0; i < payload; i++)
		p[l4 + 20 + i] = (uint8_t)(i + i / 255);
	pseudo[2] = (uint8_t)((len - l4) >> 8);
	pseudo[3] = (uint8_t)(len - l4);
	s = slow_sum(slow_sum(0, pseudo, 4), p + l3 + 12, 8);
	p[l4 + 16] = (uint8_t)(s >> 8);
	p[l4 + 17] = (uint8_t)s;
	*vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)l4, .csum_offset = 16,
	};
	return len;
}

/* All checksums of a TCP/IPv4 frame as guests get it. */
static bool sums_right(const struct bytes *f, uint32_t l3)
{
	uint32_t l4 = l3 + 20;
	uint8_t pseudo[4] = { 0, IPPROTO_TCP, 0, 0 };

	pseudo[2] = (uint8_t)((f->len - l4) >> 8);
	pseudo[3] = (uint8_t)(f->len - l4);
	return slow_sum(0, f->data + l3, 20) == 0xffff &&
	       slow_sum(slow_sum(slow_sum(0, pseudo, 4), f->data + l3 + 12, 8), f->data + l4,
			f->len - l4) ==
	       0xffff;
}

static void test_offloads(struct tags tags, int to, uint32_t l3, const char *title)
{
	static uint8_t frame[40000];
	struct virtio_net_hdr vh;
	struct iovec iov[2] = { { &vh, sizeof(vh) }, { frame, 0 } };
	bool right = true, bytes = true;
	struct uplink_stats before = stats(), after;
	uint32_t at = 0;

	forget_all();
	iov[1].iov_len = tcp_frame(frame, to + 1, tags, 333, &vh);
	ok(writev(wire, iov, 2) > 0 && guest_wait(&guest[to], 1, RIG_DEADLINE), "%s: a frame arrives", title);
	ok(sums_right(&guest[to].rx[0], l3), "C-3 %s: its checksum is completed", title);

	forget_all();
	iov[1].iov_len = tcp_frame(frame, to + 1, tags, 14480 + 7, &vh);
	vh.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	vh.gso_size = 1448;
	vh.hdr_len = (uint16_t)(vh.csum_start + 20);
	ok(writev(wire, iov, 2) > 0 && guest_wait(&guest[to], 11, RIG_DEADLINE),
	   "%s: a joined frame arrives as eleven", title);
	datapath_sync(dp);
	is_int(guest[to].n_rx, 11, "%s: no more", title);
	for (int i = 0; i < guest[to].n_rx; i++) {
		const struct bytes *f = &guest[to].rx[i];
		uint32_t head = l3 + 40;

		right &= sums_right(f, l3) && f->len == head + (i < 10 ? 1448 : 7);
		bytes &= !memcmp(f->data + head, frame + vh.csum_start + 20 + at, f->len - head);
		at += f->len - head;
	}
	ok(right, "C-3 %s: lengths and checksums", title);
	ok(bytes, "%s: bytes", title);
	after = stats();
	is_int(after.carried, before.carried + 12, "%s: each is counted", title);
	is_int(after.frames, before.frames + 12, "%s: and as a frame", title);
}

/* ---- what must not be heard ------------------------------------------------ */

static void test_host(void)
{
	struct bytes f = rig_frame(0xff, 0x55, NO_TAG, 60);
	struct uplink_stats before = stats(), after;
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("nic"),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	forget_all();
	ok(sendto(fd, f.data, f.len, 0, (void *)&to, sizeof(to)) > 0, "the host broadcasts");
	close(fd);
	f.len = 0;
	ok(send_all(&f), "a marker arrives");
	after = stats();
	is_int(after.frames, before.frames + 1, "what the host sends is not heard");
	is_int(guest[C].n_rx, 0, "no guest has it");
}

static void test_changes(void)
{
	struct bytes all = rig_frame(0xff, 0x99, NO_TAG, 60), for_c = rig_frame(3, 0x99, NO_TAG, 60);
	struct uplink_stats before, after;
	struct vmq_err err = VMQ_ERR_INIT;
	struct uswitch *sw = datapath_switch(dp);
	struct station twice[2] = { stations[A], stations[A] };
	uint8_t mac[6];

	/* C leaves: D alone is left */
	is_int(rig_stations(sw, &stations[D], 1, &err), 0, "all but one leave");
	forget_all();
	before = stats();
	ok(send_all(&all) && send_all(&for_c), "frames come in");
	after = stats();
	ok(guest[C].n_rx == 0 && guest[D].n_rx == 1, "who has left gets nothing");
	is_int(after.frames, before.frames + 3, "his address is shut out, floods are not");

	twice[1].rule = VMQ_RULE_VLAN_MAX + 1;
	is_int(rig_stations(sw, twice, 2, &err), -EINVAL, "a change that cannot be");
	forget_all();
	ok(send_all(&all) && guest[D].n_rx == 1, "leaves the old one in use");
	rig_mac(mac, 1);
	ok(!switch_lookup(sw, mac, 100), "with nothing new in it");

	is_int(rig_stations(sw, stations, PORTS, &err), 0, "all are back");
	forget_all();
	ok(send_all(&for_c) && guest[C].n_rx == 1, "and get their frames");

	is_int(rig_stations(sw, NULL, 0, &err), 0, "all leave");
	before = stats();
	forget_all();
	/* No marker can come; on a veth a frame is in the socket when writev() returns. */
	for (int i = 0; i < 3; i++)
		ok(write_wire(&all), "a broadcast with nobody there");
	is_int(rig_stations(sw, stations, PORTS, &err), 0, "all are back again");
	all.len = 0;
	ok(send_all(&all), "a marker arrives");
	after = stats();
	is_int(after.frames, before.frames + 1, "nothing was heard while there was nobody");
	is_int(guest[C].n_rx, 0, "nothing was kept for later");
}

/* As many addresses as there can be: of filters, and of ports without a filter. */
static void test_many(void)
{
	struct uswitch *sw = datapath_switch(dp);
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t i, n = VMQ_FILTERS_MAX + VMQ_QUEUES_MAX * VMQ_MACS_MAX - PORTS;
	int rc = 0;

	for (i = 0; i < n && !rc; i++) {
		struct station st = {
			.mac = { 0x02, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16),
				 (uint8_t)(i >> 8), (uint8_t)i },
			.port = port[C],
		};

		rc = switch_set_station(sw, &st, &err);
	}
	is_int(rc, 0, "the filter has room for every address (%u: %s)", i, err.text);
	switch_abort(sw);
}

/* The interface down and up, then gone: no spin, no crash. */
static void test_link(void)
{
	struct ifreq ifr = { .ifr_flags = 0 };
	struct bytes all = rig_frame(0xff, 0x99, NO_TAG, 60);
	uint64_t end = now_ns() + RIG_DEADLINE;
	bool good;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct link_setup up = { .netns = -1 };
	struct worker_stats w1, w2;

	strcpy(ifr.ifr_name, "nic");
	ok(!ioctl(fd, SIOCSIFFLAGS, &ifr), "the interface goes down");
	close(fd);
	is_int(link_set((int)if_nametoindex("nic"), &up, NULL), 0, "and comes up");
	forget_all();
	/* The kernel lets the peer send again when it has noticed, some time later. */
	do
		good = write_wire(&all);
	while (good && !guest_wait(&guest[C], 1, 20 * 1000000ULL) && now_ns() < end);
	ok(good && guest_wait(&guest[C], 1, 0), "the switch hears again");
	all.len = 0;
	ok(send_all(&all), "a marker arrives");
	all = rig_frame(0xff, 0x99, NO_TAG, 60);

	switch_stop(datapath_switch(dp));
	switch_stop(datapath_switch(dp));
	ok(stats().frames > 0, "stopped, the counters stay");
	is_int(switch_start(datapath_switch(dp), datapath_worker_at(dp, 0), NULL), 0,
	       "started again");
	forget_all();
	ok(send_all(&all) && guest[C].n_rx == 1, "it hears again");

	close(wire);
	rig_del("wire");
	worker_stats(datapath_worker_at(dp, 0), &w1);
	poll(NULL, 0, 50);
	worker_stats(datapath_worker_at(dp, 0), &w2);
	ok(w2.batches - w1.batches < 10, "an interface that has gone costs nothing");
	is_int(stats().malformed, 0, "nothing was malformed all the time");
}

int main(void)
{
	const char *why = rig_enter();
	struct vmq_err err = VMQ_ERR_INIT;

	if (why) {
		skip(why, "the uplink");
		return unit_done();
	}
	wire = rig_socket("wire", true);
	dp = rig_datapath(1);
	for (int p = 0; dp && p < PORTS; p++) {
		port[p] = rig_port(dp, &guest[p], (uint32_t)p + 1, rules[p], false);
		rig_mac(stations[p].mac, p + 1);
		stations[p].rule = rules[p];
		stations[p].port = port[p];
	}
	if (!dp || rig_stations(datapath_switch(dp), stations, PORTS, &err)) {
		diag("%s", err.text);
		ok(false, "a data path and its ports");
		return unit_done();
	}
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		run(&tests[i]);
	test_offloads(NO_TAG, C, 14, "untagged");
	test_offloads(TAG(100), A, 14, "access VLAN");
	test_offloads(TAG(100), D, 18, "any VLAN");
	test_host();
	test_changes();
	test_many();
	test_link();

	rig_stations(datapath_switch(dp), NULL, 0, NULL);
	for (int p = 0; p < PORTS; p++)
		port_close(port[p], false);
	switch_stop(datapath_switch(dp));
	datapath_close(dp);
	return unit_done();
}
