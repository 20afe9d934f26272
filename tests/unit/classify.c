// SPDX-License-Identifier: GPL-2.0-only
/*
 * classify.c - which queue a frame goes to, through the real program
 *
 * Every run checks all there is: verdict, metadata, OOB bytes, that the frame
 * itself is unchanged, and that exactly the counters that should have moved.
 * The parser that the program for NICs with tag extraction shares is run here
 * compiled for this machine, with tags that a NIC took out: that program can
 * only be loaded for a device.
 */
#include <arpa/inet.h>
#include <bpf/bpf_endian.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <spawn.h>
#include <sys/wait.h>

#include "common/util.h"
#include "prog.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#include "../../bpf/parse.h"

#define STRIDE		2	/* of a device with four RX queues */
#define DEVICE_RXQS	4
#define MAX_FRAME	1792
#define MAC(n)		(0x525400000000ULL + (n))
#define NO_SOCKET	20	/* a slot without socket */
#define NO_SLOT		200	/* a slot that the adapter does not have */

/* The addresses of the test, each with filters of its own. */
enum {
	M_NONE, M_UNTAGGED, M_VLAN, M_ANY, M_STRIP, M_STRIP_ANY, M_BOTH, M_DROP, M_HOST,
	M_EMPTY, M_BEYOND, M_TWO, M_NO_OOB,
};

static const struct {
	uint32_t mac;
	uint16_t rule;
	uint8_t  target, flags;
	uint16_t queue, slot;
} filters[] = {
	{ M_UNTAGGED,	VMQ_RULE_UNTAGGED, VMQ_TARGET_SLOT, 0, 1, 1 },
	{ M_VLAN,	100,		   VMQ_TARGET_SLOT, 0, 2, 2 },
	{ M_ANY,	VMQ_RULE_ANY,	   VMQ_TARGET_SLOT, 0, 3, 3 },
	{ M_STRIP,	VMQ_RULE_UNTAGGED, VMQ_TARGET_SLOT, VMQ_FIB_F_STRIP, 4, 4 },
	{ M_STRIP,	100,		   VMQ_TARGET_SLOT, VMQ_FIB_F_STRIP, 5, 5 },
	{ M_STRIP_ANY,	VMQ_RULE_ANY,	   VMQ_TARGET_SLOT, VMQ_FIB_F_STRIP, 6, 6 },
	{ M_BOTH,	5,		   VMQ_TARGET_SLOT, 0, 7, 7 },
	{ M_BOTH,	VMQ_RULE_ANY,	   VMQ_TARGET_SLOT, 0, 8, 8 },
	{ M_DROP,	7,		   VMQ_TARGET_DROP, 0, 0, 0 },
	{ M_HOST,	9,		   VMQ_TARGET_HOST, 0, 0, 0 },
	{ M_HOST,	VMQ_RULE_ANY,	   VMQ_TARGET_SLOT, 0, 9, 9 },
	{ M_EMPTY,	VMQ_RULE_UNTAGGED, VMQ_TARGET_SLOT, VMQ_FIB_F_STRIP, 10, NO_SOCKET },
	{ M_BEYOND,	VMQ_RULE_UNTAGGED, VMQ_TARGET_SLOT, 0, 11, NO_SLOT },
	{ M_TWO,	VMQ_RULE_UNTAGGED, VMQ_TARGET_SLOT, 0, 12, 12 },
	{ M_TWO,	200,		   VMQ_TARGET_SLOT, 0, 12, 12 },
	{ M_NO_OOB,	VMQ_RULE_ANY,	   VMQ_TARGET_SLOT, 0, 13, 13 },
};

static struct prog prog;
static uint32_t ifindex;

/* ---- frames --------------------------------------------------------- */

struct tag {
	uint16_t proto, tci;
};

#define Q(tci)	{ ETH_P_8021Q, (tci) }
#define AD(tci)	{ ETH_P_8021AD, (tci) }

static uint8_t frame[PROG_ROOM];

/* Return: length of the headers; 0 tags: 14. */
static uint32_t build(uint64_t mac, const struct tag *tags, int n)
{
	uint8_t *p = frame;
	uint16_t v;
	int i;

	for (i = 0; i < (int)sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7);
	for (i = 0; i < 6; i++)
		*p++ = (uint8_t)(mac >> (40 - 8 * i));
	memcpy(p, "\x02\x00\x00\x00\x00\x99", 6);
	p += 6;
	for (i = 0; i < n; i++, p += 4) {
		v = htons(tags[i].proto);
		memcpy(p, &v, 2);
		v = htons(tags[i].tci);
		memcpy(p + 2, &v, 2);
	}
	v = htons(0x88b5);	/* for local experiments */
	memcpy(p, &v, 2);
	return (uint32_t)(p + 2 - frame);
}

/* ---- expectations --------------------------------------------------- */

struct counters {
	uint64_t adapter[sizeof(struct vmq_adapter_stats) / 8];
	uint64_t slot[PROG_SLOTS][sizeof(struct vmq_slot_stats) / 8];
};

#define A(field)	(offsetof(struct vmq_adapter_stats, field) / 8)
#define S(field)	(offsetof(struct vmq_slot_stats, field) / 8)

static void read_counters(struct counters *c)
{
	uint32_t i;

	prog_sum(prog.skel->maps.adapter_stats, 0, c->adapter, sizeof(c->adapter));
	for (i = 0; i < PROG_SLOTS; i++)
		prog_sum(prog.skel->maps.slot_stats, i, c->slot[i], sizeof(c->slot[i]));
}

/* What should become of a frame. */
struct expect {
	uint32_t verdict;
	int	 adapter;	/* A(...) counter that moves, or -1 */
	int	 slot;		/* slot with a counter that moves, or -1 */
	int	 counter;	/* S(...) of it */
	bool	 no_oob;	/* a redirected frame has none, */
	struct vmq_oob oob;	/* or this one */
};

/* Return: NULL, or what was wrong. */
static const char *run_one(struct prog_run *r, const struct expect *e)
{
	static struct counters before, after;

	read_counters(&before);
	if (prog_run(&prog, r))
		return "the kernel did not run it";
	read_counters(&after);

	before.adapter[A(frames)]++;
	if (e->adapter >= 0)
		before.adapter[e->adapter]++;
	if (e->slot >= 0)
		before.slot[e->slot][e->counter]++;
	if (e->verdict == XDP_REDIRECT)
		before.slot[e->slot][S(bytes)] += r->len;

	if (r->verdict != e->verdict)
		return "verdict";
	if (!r->same)
		return "the frame was changed";
	if (memcmp(&before, &after, sizeof(before)))
		return "counters";
	if (e->verdict == XDP_PASS && r->meta_out)
		return "metadata in front of a passed frame";
	if (e->no_oob)
		return r->meta_out == r->meta ? NULL : "metadata where no OOB was asked for";
	if (e->verdict == XDP_REDIRECT &&
	    (r->meta_out != sizeof(e->oob) || memcmp(&r->oob, &e->oob, sizeof(e->oob))))
		return "OOB";
	return NULL;
}

static struct expect passed(int counter)
{
	return (struct expect){ .verdict = XDP_PASS, .adapter = counter, .slot = -1 };
}

static struct expect redirected(uint16_t queue, uint8_t flags, uint16_t tci, uint8_t strip)
{
	return (struct expect){
		.verdict = XDP_REDIRECT, .adapter = -1, .slot = queue, .counter = S(redirected),
		.oob = {
			.version = VMQ_OOB_VERSION, .flags = flags, .queue = queue,
			.pair_slot = queue, .vlan_tci = tci, .strip = strip,
		},
	};
}

/* With every length of metadata that a sender may have left. */
static void check(uint32_t len, uint32_t rxq, struct expect e, const char *title)
{
	static const uint32_t metas[] = { 0, 4, 12, 16, 32 };
	const char *why = NULL;
	size_t i;

	for (i = 0; !why && i < ARRAY_SIZE(metas); i++) {
		struct prog_run r = {
			.frame = frame, .len = len, .meta = metas[i],
			.ifindex = ifindex, .rxq = rxq,
		};

		why = run_one(&r, &e);
		if (why)
			diag("%s (metadata %u, verdict %u, queue %u, flags %#x, tci %#x, strip %u)",
			     why, metas[i], r.verdict, r.oob.queue, r.oob.flags, r.oob.vlan_tci,
			     r.oob.strip);
	}
	ok(!why, "%s", title);
}

#define check_tags(mac, e, title, ...) do {					\
	const struct tag tags_[] = { __VA_ARGS__ };				\
	uint32_t hlen_ = build(MAC(mac), tags_, (int)ARRAY_SIZE(tags_));	\
	check(hlen_ + 46, 0, e, title);						\
} while (0)

/* ---- tests ---------------------------------------------------------- */

static void test_rules(void)
{
	const struct expect unmatched = passed(A(unmatched));
	struct expect e;
	uint8_t v = VMQ_OOB_F_VLAN, ad = VMQ_OOB_F_VLAN | VMQ_OOB_F_AD;

	check_tags(M_NONE, unmatched, "F-2 a frame that matches no filter goes to queue 0");
	check_tags(M_NONE, unmatched, "F-2 also with a tag", Q(100));

	check_tags(M_UNTAGGED, redirected(1, 0, 0, 0), "F-4 MAC + flag accepts untagged");
	check_tags(M_UNTAGGED, redirected(1, v, 0xe000, 0), "F-4 MAC + flag accepts VLAN 0",
		   Q(0xe000));
	check_tags(M_UNTAGGED, unmatched, "F-4 MAC + flag refuses another VLAN", Q(100));
	check_tags(M_UNTAGGED, unmatched, "M-6 ... and an 802.1ad tag, even of VLAN 0", AD(0));
	check_tags(M_UNTAGGED, unmatched, "M-6 ... and a priority tag before a second tag",
		   Q(0), Q(100));

	check_tags(M_VLAN, redirected(2, v, 0x6064, 0), "F-5 MAC + VLAN accepts its VLAN",
		   Q(0x6064));
	check_tags(M_VLAN, redirected(2, v, 100, 0), "F-5 by its outermost tag", Q(100), Q(7));
	check_tags(M_VLAN, unmatched, "F-5 MAC + VLAN refuses untagged");
	check_tags(M_VLAN, unmatched, "F-5 MAC + VLAN refuses VLAN 0", Q(0));
	check_tags(M_VLAN, unmatched, "F-5 MAC + VLAN refuses another VLAN", Q(101));
	check_tags(M_VLAN, unmatched, "M-6 MAC + VLAN refuses an 802.1ad tag", AD(100));
	check_tags(M_VLAN, unmatched, "M-6 MAC + VLAN refuses an inner tag", Q(7), Q(100));
	check_tags(M_VLAN, unmatched, "M-6 also behind a priority tag", Q(0), Q(100));

	check_tags(M_ANY, redirected(3, 0, 0, 0), "F-6 MAC alone accepts untagged");
	check_tags(M_ANY, redirected(3, v, 77, 0), "F-6 MAC alone accepts any VLAN", Q(77));
	check_tags(M_ANY, redirected(3, ad, 77, 0), "F-6 MAC alone accepts 802.1ad", AD(77), Q(1));
	check_tags(M_ANY, redirected(3, v, 0, 0), "F-6 MAC alone accepts a priority tag and a tag",
		   Q(0), Q(1));

	check_tags(M_BOTH, redirected(7, v, 5, 0), "F-1 the filter of the VLAN comes first", Q(5));
	check_tags(M_BOTH, redirected(8, v, 6, 0), "F-1 then the one for any VLAN", Q(6));
	check_tags(M_BOTH, redirected(8, 0, 0, 0), "F-1 also for untagged frames");
	check_tags(M_TWO, redirected(12, 0, 0, 0), "F-22 a queue may have several filters");
	check_tags(M_TWO, redirected(12, v, 200, 0), "F-1 any of them suffices", Q(200));
	check_tags(M_TWO, unmatched, "F-1 all tests of one must pass", Q(201));

	check_tags(M_STRIP, redirected(5, v, 0x6064, 4), "P-4 F-9 the tag to leave out is named in OOB",
		   Q(0x6064));
	check_tags(M_STRIP, redirected(5, v, 100, 4), "F-9 only the outer one", Q(100), Q(7));
	check_tags(M_STRIP, redirected(4, v, 0x2000, 4), "F-9 also a priority tag", Q(0x2000));
	check_tags(M_STRIP, redirected(4, 0, 0, 0), "F-9 nothing to leave out without a tag");
	check_tags(M_STRIP_ANY, redirected(6, v, 44, 4), "F-9 also where any VLAN is accepted",
		   Q(44));
	check_tags(M_STRIP_ANY, redirected(6, ad, 44, 0), "F-9 an 802.1ad tag stays", AD(44), Q(1));

	e = redirected(13, 0, 0, 0);
	e.no_oob = true;
	check_tags(M_NO_OOB, e, "a queue that asks for no OOB gets none");
	check_tags(M_NO_OOB, e, "of a tagged frame neither", Q(0x6064));

	check_tags(M_DROP, ((struct expect){ .verdict = XDP_DROP, .adapter = A(filtered),
					     .slot = -1 }),
		   "F-28 a drop filter drops", Q(7));
	check_tags(M_DROP, unmatched, "F-28 and nothing else", Q(8));
	check_tags(M_HOST, unmatched, "a filter on queue 0 hides one for any VLAN", Q(9));
	check_tags(M_HOST, redirected(9, v, 10, 0), "and no other VLAN", Q(10));
}

/* Fields without a test do not matter (F-3): source, EtherType, length. */
static void test_ignored_fields(void)
{
	uint32_t i, hlen = build(MAC(M_UNTAGGED), NULL, 0);
	struct expect e = redirected(1, 0, 0, 0);
	const char *why = NULL;
	uint16_t proto;

	for (i = 0; !why && i < 2000; i++) {
		struct prog_run r = { .frame = frame, .len = hlen + i % 200 };

		memcpy(frame + 6, &i, 4);
		proto = (uint16_t)(i * 33);
		if (proto == htons(ETH_P_8021Q) || proto == htons(ETH_P_8021AD))
			continue;
		memcpy(frame + 12, &proto, 2);
		why = run_one(&r, &e);
	}
	ok(!why, "F-3 header fields without a test do not matter");
}

/* A VLAN in the sense of M-6, worked out from the list of tags. -1: of no single VLAN. */
static int vlan_of(const struct tag *tags, int n)
{
	int vid = n ? tags[0].tci & 0xfff : 0;

	if (!n)
		return 0;
	if (tags[0].proto == ETH_P_8021AD)
		return -1;
	if (!vid && n > 1)
		return -1;
	return vid;
}

static const struct tag kinds[] = { Q(0), Q(100), Q(4095), Q(0xf064), AD(0), AD(100) };
#define KINDS ((int)ARRAY_SIZE(kinds))

static int nesting(int code, struct tag *tags)
{
	int n;

	for (n = 0; code; n++, code /= KINDS + 1) {
		if (code % (KINDS + 1) == 0)
			return -1;	/* a gap: not a nesting */
		tags[n] = kinds[code % (KINDS + 1) - 1];
	}
	return n;
}

#define NESTINGS ((KINDS + 1) * (KINDS + 1) * (KINDS + 1))

static void test_nestings(void)
{
	static const struct {
		uint32_t mac;
		int accepts;	/* VLAN; -1: all */
		uint16_t queue;
		bool strip;
		const char *title;
	} rules[] = {
		{ M_UNTAGGED, 0, 1, false, "F-4 all nestings of up to three tags: untagged rule" },
		{ M_VLAN, 100, 2, false, "F-5 all nestings of up to three tags: VLAN rule" },
		{ M_ANY, -1, 3, false, "F-6 all nestings of up to three tags: any" },
		{ M_STRIP_ANY, -1, 6, true, "F-9 all nestings of up to three tags: strip" },
	};
	struct tag tags[3];
	int code, n, vlan, count = 0;
	const char *why;
	uint8_t flags;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		for (why = NULL, code = 0; !why && code < NESTINGS; code++) {
			struct expect e = passed(A(unmatched));
			struct prog_run r = { .frame = frame };

			n = nesting(code, tags);
			if (n < 0)
				continue;
			r.len = build(MAC(rules[i].mac), tags, n) + 40;
			vlan = vlan_of(tags, n);
			flags = n ? VMQ_OOB_F_VLAN : 0;
			if (n && tags[0].proto == ETH_P_8021AD)
				flags |= VMQ_OOB_F_AD;
			if (rules[i].accepts < 0 || rules[i].accepts == vlan)
				e = redirected(rules[i].queue, flags, n ? tags[0].tci : 0,
					       rules[i].strip && n &&
					       tags[0].proto == ETH_P_8021Q ? 4 : 0);
			why = run_one(&r, &e);
			if (why)
				diag("%s: %d tags, code %d", why, n, code);
			count++;
		}
		ok(!why, "%s", rules[i].title);
	}
	diag("%d frames", count);
}

/* Cut anywhere in the first two tags a frame is malformed, further on it is not. */
static void test_cut(void)
{
	struct tag tags[3];
	const char *why = NULL;
	uint32_t hlen, len;
	int code, n;

	for (code = 0; !why && code < NESTINGS; code++) {
		n = nesting(code, tags);
		if (n < 1)
			continue;
		hlen = build(MAC(M_VLAN), tags, MIN(n, 2));
		build(MAC(M_VLAN), tags, n);
		for (len = ETH_HLEN; !why && len < hlen; len++) {
			struct expect e = passed(A(malformed));
			struct prog_run r = { .frame = frame, .len = len };

			why = run_one(&r, &e);
			if (why)
				diag("%s: %d tags, %u bytes", why, n, len);
		}
	}
	ok(!why, "frames cut off within their tags are malformed, and the host's");

	hlen = build(MAC(M_UNTAGGED), NULL, 0);
	check(hlen, 0, redirected(1, 0, 0, 0), "a frame that is nothing but a header is whole");
}

static void test_multicast(void)
{
	static const uint64_t groups[] = { 0xffffffffffffULL, 0x01005e000001ULL, 0x333300000001ULL };
	static const struct tag tag = Q(100);
	const char *why = NULL;
	size_t i;

	for (i = 0; !why && i < 2 * ARRAY_SIZE(groups); i++) {
		struct expect e = passed(A(multicast));
		struct prog_run r = { .frame = frame };

		r.len = build(groups[i / 2], &tag, i % 2) + 46;
		why = run_one(&r, &e);
	}
	ok(!why, "F-26 broadcast and multicast go to queue 0");
}

static void test_giants(void)
{
	struct expect e = redirected(1, 0, 0, 0);
	struct expect big = { .verdict = XDP_DROP, .adapter = -1, .slot = 1, .counter = S(too_big) };
	struct prog wide, narrow = prog;

	build(MAC(M_UNTAGGED), NULL, 0);
	check(MAX_FRAME, 0, e, "the longest frame that a chunk carries is redirected");
	check(MAX_FRAME + 1, 0, big, "one byte more is counted and dropped");
	check(9000, 0, big, "and so is a jumbo frame in several buffers");

	/* Chunks of 4 KiB: a frame that has more than one buffer may still fit. */
	if (prog_open(&wide, STRIDE, 3840) || prog_socket(&wide, 1, 0)) {
		ok(false, "the program loads for 4 KiB chunks");
		return;
	}
	fib_set(wide.fib, VMQ_FIB_KEY(MAC(M_UNTAGGED), 0),
		VMQ_FIB_VALUE(VMQ_TARGET_SLOT, VMQ_FIB_F_OOB, 1, 1));
	prog = wide;
	check(3840, 0, e, "a frame in two buffers that fits a 4 KiB chunk is redirected");
	check(3841, 0, big, "one byte more is counted and dropped, its buffers summed");
	prog = narrow;
	prog_close(&wide);
}

static void test_sockets(void)
{
	struct expect host = { .verdict = XDP_PASS, .adapter = -1, .slot = NO_SOCKET,
			       .counter = S(to_host) };
	static const struct tag tag = Q(0x8000);
	uint32_t hlen;

	hlen = build(MAC(M_EMPTY), NULL, 0);
	check(hlen + 46, 0, host, "a redirect to an empty slot falls through to queue 0");
	hlen = build(MAC(M_EMPTY), &tag, 1);
	check(hlen + 46, 0, host, "and the frame is as it was, its tag included");

	hlen = build(MAC(M_BEYOND), NULL, 0);
	check(hlen + 46, 0, passed(A(unmatched)), "a slot that the adapter has not is no match");

	hlen = build(MAC(M_UNTAGGED), NULL, 0);
	fib_del(prog.fib, VMQ_FIB_KEY(MAC(M_UNTAGGED), VMQ_RULE_UNTAGGED));
	check(hlen + 46, 0, passed(A(unmatched)),
	      "F-24 a filter that is not in the FIB (queue not running) attracts nothing");
	fib_set(prog.fib, VMQ_FIB_KEY(MAC(M_UNTAGGED), VMQ_RULE_UNTAGGED),
		VMQ_FIB_VALUE(VMQ_TARGET_SLOT, VMQ_FIB_F_OOB, 1, 1));
	check(hlen + 46, 0, redirected(1, 0, 0, 0), "F-14 and attracts as soon as it is");
}

/* A veth with more RX queues than the program was told of. */
static int make_device(void)
{
	char *argv[] = {
		"ip", "link", "add", "vmqt0", "numrxqueues", "4", "numtxqueues", "4", "type", "veth",
		"peer", "name", "vmqt1", "numrxqueues", "4", "numtxqueues", "4", NULL
	};
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, "ip", NULL, NULL, argv, environ))
		return -1;
	if (waitpid(pid, &status, 0) != pid || status)
		return -1;
	ifindex = if_nametoindex("vmqt0");
	return ifindex ? 0 : -1;
}

static void test_rx_queues(void)
{
	struct expect host = { .verdict = XDP_PASS, .adapter = -1, .slot = 2, .counter = S(to_host) };
	static const struct tag tag = Q(100);
	uint32_t hlen;

	if (make_device()) {
		skip("no veth here", "RX queues beyond the stride");
		return;
	}
	hlen = build(MAC(M_UNTAGGED), NULL, 0);
	check(hlen + 46, 0, redirected(1, 0, 0, 0), "RX queue 0 has its own socket");
	check(hlen + 46, 1, redirected(1, 0, 0, 0), "and so has RX queue 1");
	check(hlen + 46, 2, passed(A(rxq_range)), "RX queue 2 of stride 2 is the host's");
	check(hlen + 46, DEVICE_RXQS - 1, passed(A(rxq_range)), "and so is RX queue 3");
	hlen = build(MAC(M_VLAN), &tag, 1);
	check(hlen + 46, 1, host, "no socket on this RX queue: queue 0, not another RX queue's");
	ifindex = 0;
}

/* ---- tags that the NIC took out: the parser alone ------------------- */

static void test_nic_tags(void)
{
	struct tag tags[3];
	int code, n, k, bad = 0, count = 0;
	struct nic_tag nic;
	struct frame f;
	uint32_t len;
	uint8_t want;

	for (code = 0; code < NESTINGS; code++) {
		n = nesting(code, tags);
		if (n < 1)
			continue;
		/* The NIC has the first; the frame begins with the second. */
		len = build(MAC(M_VLAN), tags + 1, n - 1);
		nic.proto = htons(tags[0].proto);
		nic.tci = tags[0].tci;
		k = vlan_of(tags, n);
		want = VMQ_OOB_F_VLAN | VMQ_OOB_F_STRIPPED;
		if (tags[0].proto == ETH_P_8021AD)
			want |= VMQ_OOB_F_AD;
		count++;
		if (!frame_parse(&f, frame, frame + len, nic) || f.oob_flags != want || f.q_tag ||
		    f.rule != (k < 0 ? VMQ_RULE_ANY : k) || f.tci != tags[0].tci ||
		    f.mac != MAC(M_VLAN) << 16)
			bad++;
		if (n == 2 && frame_parse(&f, frame, frame + len - 1, nic))
			bad++;
	}
	ok(!bad && count, "F-9 a tag that the NIC took out is the outermost (%d nestings)", count);
}

/* BPF_PROG_TEST_RUN takes no frame below 14 bytes (6.18), a driver may. */
static void test_runts(void)
{
	struct nic_tag none = {};
	struct frame f;
	int len, bad = 0;

	build(MAC(M_UNTAGGED), NULL, 0);
	for (len = 0; len < ETH_HLEN; len++)
		bad += frame_parse(&f, frame, frame + len, none);
	ok(!bad, "runts of 0 to 13 bytes are malformed");
}

/* ---- all ------------------------------------------------------------ */

static int setup(void)
{
	uint32_t i, slot;
	int rc;

	rc = prog_open(&prog, STRIDE, MAX_FRAME);
	for (slot = 1; !rc && slot <= 13; slot++)
		rc = prog_socket(&prog, slot, 0);
	if (!rc)
		rc = prog_socket(&prog, 1, 1);
	for (i = 0; !rc && i < ARRAY_SIZE(filters); i++)
		rc = fib_set(prog.fib, VMQ_FIB_KEY(MAC(filters[i].mac), filters[i].rule),
			     VMQ_FIB_VALUE(filters[i].target, filters[i].flags |
					   (filters[i].mac == M_NO_OOB ? 0 : VMQ_FIB_F_OOB),
					   filters[i].queue, filters[i].slot));
	return rc;
}

int main(void)
{
	const char *why = prog_setup();
	int rc;

	test_nic_tags();
	test_runts();
	if (why) {
		skip(why, "the program classifies frames");
		return unit_done();
	}
	rc = setup();
	if (!is_int(rc, 0, "the program loads"))
		return unit_done();
	test_rules();
	test_ignored_fields();
	test_nestings();
	test_cut();
	test_multicast();
	test_giants();
	test_sockets();
	test_rx_queues();
	prog_close(&prog);
	return unit_done();
}
