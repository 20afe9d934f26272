// SPDX-License-Identifier: GPL-2.0-only
/*
 * toeplitz.c - RSS: hash, type and pair of a frame, through the real program
 *
 * Three sources of truth, none of which is the code under test: the published
 * vectors; a bit by bit Toeplitz (the definition); and a generator of packets
 * that knows what it built (rss_expect.h), so that nothing is parsed to learn
 * what to expect.
 */
#include "common/util.h"
#include "prog.h"
#include "rss_expect.h"

#define MAC_RSS		0x525400000001ULL	/* target RSS */
#define MAC_HASH	0x525400000002ULL	/* one pair, hash for OOB */
#define MAC_BARE	0x525400000003ULL	/* one pair, no hash */
#define Q_RSS		1
#define Q_HASH		2
#define Q_NOTHING	3			/* target RSS, no record */
#define MAC_HOST	0x525400000005ULL	/* no filter */
#define MAC_NOTHING	0x525400000004ULL
#define SLOT_HASH	40
#define SLOT_FALLBACK	41
#define ENTRIES		32
#define RANDOM_PACKETS	20000
#define BROKEN_PACKETS	20000

static const uint8_t known_key[VMQ_RSS_KEY_LEN] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static struct prog prog;
static struct vmq_rss_params params;

static void set_rss(uint16_t types)
{
	params.types = types;
	rss_update(&prog.rss[Q_RSS], &prog.toeplitz[Q_RSS], &params, key);
	rss_update(&prog.rss[Q_HASH], &prog.toeplitz[Q_HASH], &params, key);
}

/* Run @len bytes of @p. Return: NULL, or what was wrong. */
static const char *run_packet(const struct packet *p, uint32_t len, struct prog_run *r)
{
	bool hashed, one_pair = p->data[5] == (MAC_HASH & 0xff);
	uint16_t slot;

	*r = (struct prog_run){ .frame = p->data, .len = len };
	if (prog_run(&prog, r))
		return "the kernel did not run it";
	if (r->verdict != XDP_REDIRECT || r->meta_out != sizeof(r->oob) || !r->same)
		return "not redirected";
	hashed = r->oob.flags & VMQ_OOB_F_HASH;
	if (hashed != (r->oob.hash_type != 0) || (!hashed && r->oob.hash))
		return "OOB contradicts itself";
	slot = one_pair ? SLOT_HASH :
	       hashed ? params.table[r->oob.hash & params.mask] : params.fallback;
	if (r->oob.pair_slot != slot)
		return "wrong pair";
	return NULL;
}

static bool packet_is(const struct packet *p, uint16_t types, uint32_t len)
{
	struct hashed want = expected(p, types, len);
	struct prog_run r;
	const char *why = run_packet(p, len, &r);

	if (!why && (r.oob.hash_type != want.type || r.oob.hash != want.hash))
		why = "wrong hash";
	if (why)
		diag("%s: types %#x, IPv%d, proto %u, %u of %u bytes%s; hash %08x type %#x, "
		     "expected %08x type %#x, verdict %u", why, types, p->version, p->proto, len,
		     p->len, p->fragment ? ", fragment" : "", r.oob.hash, r.oob.hash_type,
		     want.hash, want.type, r.verdict);
	return !why;
}

/* ---- tests ---------------------------------------------------------- */

static const struct vector {
	int version;
	const char *src, *dst;
	uint16_t sport, dport;
	uint32_t ip, tcp;
} vectors[] = {
	{ 4, "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178 },
	{ 4, "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea },
	{ 4, "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a },
	{ 4, "38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f },
	{ 4, "153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2 },
	{ 6, "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d },
	{ 6, "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf },
	{ 6, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
	  0x4b61e985, 0x02d1feef },
};

static void vector_packet(struct packet *p, const struct vector *v, uint64_t mac)
{
	uint16_t ports[2] = { htons(v->sport), htons(v->dport) };

	memset(p, 0, sizeof(*p));
	p->proto = IPPROTO_TCP;
	memcpy(p->ports, ports, 4);
	inet_pton(v->version == 4 ? AF_INET : AF_INET6, v->src, p->src);
	inet_pton(v->version == 4 ? AF_INET : AF_INET6, v->dst, p->dst);
	put_ethernet(p, mac, 0, v->version == 4 ? ETH_P_IP : ETH_P_IPV6);
	if (v->version == 4)
		put_ipv4(p, 0, 0);
	else
		put_ipv6(p, NULL, 0);
}

static void test_vectors(void)
{
	struct packet p;
	struct prog_run r;
	const char *why;
	size_t i;

	set_key(known_key);
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];

		vector_packet(&p, v, MAC_RSS);
		set_rss(VMQ_HASH_IPV4 | VMQ_HASH_IPV6);
		why = run_packet(&p, p.len, &r);
		ok(!why && r.oob.hash == v->ip && r.oob.hash_type & (VMQ_HASH_IPV4 | VMQ_HASH_IPV6),
		   "H-1 %s -> %s: IP only is %08x", v->src, v->dst, v->ip);
		set_rss(ANY_V4 | ANY_V6);
		why = run_packet(&p, p.len, &r);
		ok(!why && r.oob.hash == v->tcp &&
		   r.oob.hash_type & (VMQ_HASH_TCP_IPV4 | VMQ_HASH_TCP_IPV6),
		   "H-1 %s -> %s: with TCP is %08x", v->src, v->dst, v->tcp);
		ok(r.oob.pair_slot == params.table[v->tcp & (ENTRIES - 1)],
		   "H-3 the low bits of the hash name the pair");
	}
}

static void test_choices(void)
{
	struct packet p;
	struct prog_run r;

	set_key(known_key);
	vector_packet(&p, &vectors[0], MAC_RSS);
	p.data[p.l3 + 9] = p.proto = IPPROTO_UDP;
	set_rss(VMQ_HASH_TCP_IPV4);
	ok(packet_is(&p, VMQ_HASH_TCP_IPV4, p.len) && !expected(&p, VMQ_HASH_TCP_IPV4, p.len).type,
	   "H-4 TCP alone leaves UDP without a hash");
	set_rss(VMQ_HASH_TCP_IPV4 | VMQ_HASH_IPV4);
	ok(packet_is(&p, VMQ_HASH_TCP_IPV4 | VMQ_HASH_IPV4, p.len), "H-4 else the IP type");
	set_rss(0);
	ok(packet_is(&p, 0, p.len), "H-4 no types, no hash");
	set_rss(ANY_V6);
	ok(packet_is(&p, ANY_V6, p.len), "H-4 IPv6 types leave IPv4 without a hash");

	vector_packet(&p, &vectors[0], MAC_HASH);
	set_rss(ANY_V4);
	ok(!run_packet(&p, p.len, &r) && r.oob.hash == vectors[0].tcp &&
	   r.oob.pair_slot == SLOT_HASH && r.oob.queue == Q_HASH,
	   "Q-7 a queue with one pair can ask for the hash");

	vector_packet(&p, &vectors[0], MAC_BARE);
	r = (struct prog_run){ .frame = p.data, .len = p.len };
	ok(!prog_run(&prog, &r) && r.verdict == XDP_REDIRECT && !r.oob.flags && !r.oob.hash,
	   "Q-7 and gets none when it does not");

	vector_packet(&p, &vectors[0], MAC_NOTHING);
	r = (struct prog_run){ .frame = p.data, .len = p.len };
	ok(!prog_run(&prog, &r) && r.verdict == XDP_PASS, "a queue without a record is no target");

	memset(&p, 0, sizeof(p));
	put_ethernet(&p, MAC_RSS, 0, ETH_P_ARP);
	put_random(&p, 46);
	set_rss(ANY_V4 | ANY_V6 | ANY_EX);
	ok(packet_is(&p, ANY_V4 | ANY_V6 | ANY_EX, p.len),
	   "Q-12 unhashable frames go to the default pair, without hash OOB");
}

static uint64_t any_mac(void)
{
	return rnd() % 2 ? MAC_RSS : MAC_HASH;
}

static void test_random(void)
{
	bool good = true;
	struct packet p;
	uint16_t types;
	uint32_t i, hashes = 0, ports = 0;

	for (i = 0; good && i < RANDOM_PACKETS; i++) {
		if (i % 200 == 0)
			set_key(NULL);
		types = rnd() % 4 ? (uint16_t)rnd() & 0x1ff : 0x1ff;
		set_rss(types);
		random_packet(&p, any_mac(), NULL, 0);
		good = packet_is(&p, types, p.len);
		hashes += expected(&p, types, p.len).type != 0;
		ports += (expected(&p, types, p.len).type & ~(VMQ_HASH_IPV4 | VMQ_HASH_IPV6 |
							      VMQ_HASH_IPV6_EX)) != 0;
	}
	ok(good, "H-1 %u random packets, keys and type sets agree with the definition",
	   RANDOM_PACKETS);
	ok(hashes > RANDOM_PACKETS / 4 && ports > RANDOM_PACKETS / 20,
	   "of which %u have a hash, %u with ports", hashes, ports);
}

static void test_extensions(void)
{
	static const struct {
		enum extension ext[8];
		int n;
		const char *title;
	} chains[] = {
		{ { FRAG }, 1, "H-5 an IPv6 fragment hashes addresses only" },
		{ { HOP, DEST, ROUTE0, AUTH }, 4, "H-6 extension headers are skipped" },
		{ { HOP, HOP, HOP, HOP, HOP, HOP }, 6, "H-6 up to six of them" },
		{ { HOP, HOP, HOP, HOP, HOP, HOP, HOP }, 7, "H-6 with more there is no hash" },
		{ { DEST_HOME }, 1, "H-7 the home address replaces the source" },
		{ { DEST_HOME_LATE }, 1, "H-7 also behind another option" },
		{ { DEST, DEST_HOME }, 2, "H-7 also in a second header" },
		{ { DEST_BROKEN }, 1, "H-7 a broken option does not" },
		{ { ROUTE2 }, 1, "H-7 the type 2 routing address replaces the destination" },
		{ { ROUTE0 }, 1, "H-7 another routing type does not" },
		{ { ROUTE2, DEST_HOME, FRAG }, 3, "H-7 both, in a fragment" },
	};
	static const uint16_t sets[] = { ANY_V6, ANY_EX, ANY_V6 | ANY_EX, VMQ_HASH_IPV6_EX,
					 VMQ_HASH_TCP_IPV6_EX | VMQ_HASH_IPV6 };
	struct packet p;
	bool good;
	size_t i, j, k;

	set_key(NULL);
	for (i = 0; i < ARRAY_SIZE(chains); i++) {
		good = true;
		for (j = 0; j < ARRAY_SIZE(sets); j++) {
			set_rss(sets[j]);
			for (k = 0; k < 20; k++) {
				random_packet(&p, any_mac(), chains[i].ext, chains[i].n);
				good &= packet_is(&p, sets[j], p.len);
			}
		}
		ok(good, "%s", chains[i].title);
	}
}

static void test_fragments(void)
{
	struct packet p;
	bool good = true;
	uint32_t i;

	set_key(NULL);
	set_rss(ANY_V4);
	for (i = 0; i < 100; i++) {
		memset(&p, 0, sizeof(p));
		p.proto = i % 2 ? IPPROTO_TCP : IPPROTO_UDP;
		put_ethernet(&p, MAC_RSS, 0, ETH_P_IP);
		put_ipv4(&p, 0, (uint16_t)(i < 50 ? 0x2000 : i));
		good &= packet_is(&p, ANY_V4, p.len);
		good &= expected(&p, ANY_V4, p.len).type == VMQ_HASH_IPV4;
	}
	ok(good, "H-5 IPv4 fragments hash addresses only, the first one too");
}

/* Every packet cut at every length. */
static void test_cut(void)
{
	static const uint16_t types = ANY_V4 | ANY_V6 | ANY_EX;
	bool good = true;
	struct packet p;
	uint32_t i, len, count = 0;

	set_key(NULL);
	set_rss(types);
	for (i = 0; good && i < 150; i++) {
		random_packet(&p, any_mac(), NULL, 0);
		for (len = p.l3; good && len < p.len; len++, count++)
			good = packet_is(&p, types, len);
	}
	ok(good, "H-6 packets cut off anywhere (%u) have a hash only of what is whole", count);
}

static void test_broken(void)
{
	const char *why = NULL;
	struct packet p;
	struct prog_run r;
	uint32_t i, j, n;

	set_key(NULL);
	set_rss(ANY_V4 | ANY_V6 | ANY_EX);
	for (i = 0; !why && i < BROKEN_PACKETS; i++) {
		random_packet(&p, any_mac(), NULL, 0);
		n = rnd() % 6 + 1;
		for (j = 0; j < n; j++)
			p.data[p.l3 + rnd() % (p.len - p.l3)] = (uint8_t)rnd();
		why = run_packet(&p, p.l3 + rnd() % (p.len - p.l3 + 1), &r);
	}
	ok(!why, "H-6 %u broken packets are redirected all the same, hashed or not", BROKEN_PACKETS);
	if (why)
		diag("%s", why);

	vector_packet(&p, &vectors[0], MAC_RSS);
	p.data[p.l3] = 0x65;
	ok(!run_packet(&p, p.len, &r) && !r.oob.hash_type, "IPv4 with another version has no hash");
	p.data[p.l3] = 0x44;
	ok(!run_packet(&p, p.len, &r) && !r.oob.hash_type, "nor with a header below 20 bytes");
	p.data[p.l3] = 0x45;
	p.data[p.l3 + 2] = 0;
	p.data[p.l3 + 3] = 19;
	ok(!run_packet(&p, p.len, &r) && !r.oob.hash_type, "nor with a total length below that");
	vector_packet(&p, &vectors[5], MAC_RSS);
	p.data[p.l3] = 0x40;
	ok(!run_packet(&p, p.len, &r) && !r.oob.hash_type, "IPv6 with another version has no hash");
}

/* Half of an update is never used: `sel` moves both parameters and key. */
static void test_update(void)
{
	struct packet p;
	struct prog_run r;
	uint32_t sel;

	set_key(known_key);
	set_rss(ANY_V4);
	vector_packet(&p, &vectors[0], MAC_RSS);
	sel = prog.rss[Q_RSS].sel;
	memset(&prog.toeplitz[Q_RSS].key[!sel], 0xff, sizeof(prog.toeplitz[Q_RSS].key[0]));
	memset(&prog.rss[Q_RSS].params[!sel], 0xff, sizeof(prog.rss[Q_RSS].params[0]));
	ok(!run_packet(&p, p.len, &r) && r.oob.hash == vectors[0].tcp,
	   "Q-15 frames do not look at the half that is being written");
	set_rss(VMQ_HASH_IPV4);
	ok(prog.rss[Q_RSS].sel == !sel && !run_packet(&p, p.len, &r) && r.oob.hash == vectors[0].ip,
	   "H-10 the newest settings replace the earlier ones");
}

/* ---- counters, and queue 0 ----------------------------------------------- */

/* Words of struct vmq_rss_stats: `unhashed`, then the entries. */
#define RSS_WORDS	(sizeof(struct vmq_rss_stats) / 8)

static void rss_counts(uint32_t queue, uint64_t out[RSS_WORDS])
{
	prog_sum(prog.skel->maps.rss_stats, queue, out, RSS_WORDS * 8);
}

/* Frames of all kinds: exactly the entry that was looked up counts one. */
static void test_counters(void)
{
	uint64_t before[RSS_WORDS], after[RSS_WORDS];
	const char *why = NULL;
	struct packet p;
	struct prog_run r;
	uint32_t i;

	set_rss(ANY_V4);
	for (i = 0; i < ARRAY_SIZE(vectors) && !why; i++) {
		vector_packet(&p, &vectors[i], MAC_RSS);
		rss_counts(Q_RSS, before);
		why = run_packet(&p, p.len, &r);
		rss_counts(Q_RSS, after);
		before[r.oob.hash_type ? 1 + (r.oob.hash & (ENTRIES - 1)) : 0]++;
		if (!why && memcmp(before, after, sizeof(before)))
			why = "another counter moved";
	}
	if (why)
		diag("%s", why);
	ok(!why, "O-4 each frame counts once, by its entry or as unhashed");
}

static uint64_t handed_to(uint32_t cpu)
{
	uint64_t words[sizeof(struct vmq_cpu_stats) / 8];

	prog_sum(prog.skel->maps.cpu_stats, cpu, words, sizeof(words));
	return words[offsetof(struct vmq_cpu_stats, handed) / 8];
}

/* Run a frame that no filter matches. Return: the CPU, 0 or 1, it was handed to; -1: passed. */
static int host_packet(struct packet *p)
{
	struct prog_run r = { .frame = p->data, .len = p->len, .meta = 16 };
	uint64_t before[2] = { handed_to(0), handed_to(1) };
	int cpu;

	if (prog_run(&prog, &r) || !r.same || r.meta_out)
		return -2;
	cpu = handed_to(0) != before[0] ? 0 : handed_to(1) != before[1] ? 1 : -1;
	return r.verdict == (cpu < 0 ? XDP_PASS : XDP_REDIRECT) ? cpu : -3;
}

static void test_host(void)
{
	struct bpf_cpumap_val val = { .qsize = 64 };
	struct vmq_rss_params host = { .types = ANY_V4, .mask = 1, .table = { 1, 0 } };
	uint32_t cpu, wrong = 0, i;
	struct packet p;
	int cpus = bpf_map__fd(prog.skel->maps.cpus);

	vector_packet(&p, &vectors[0], MAC_HOST);
	rss_update(&prog.rss[0], &prog.toeplitz[0], &host, known_key);
	is_int(host_packet(&p), -1, "O-9 off: queue 0's frames are passed where they are");
	prog.skel->bss->vmq_host_rss = 1;
	is_int(host_packet(&p), -1, "O-9 on, but the CPU is not there: passed as well");

	val.bpf_prog.fd = bpf_program__fd(prog.skel->progs.vmq_cpu);
	for (cpu = 0; cpu < 2; cpu++) {
		if (bpf_map_update_elem(cpus, &cpu, &val, 0)) {
			skip("no second CPU for the CPUMAP", "O-9 queue 0's frames by their hash");
			goto out;
		}
	}
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		vector_packet(&p, &vectors[i], MAC_HOST);
		/* IPv6 is not hashed: the default, CPU 0. */
		wrong += host_packet(&p) != (p.version == 4 ? host.table[vectors[i].tcp & 1] : 0);
	}
	is_int(wrong, 0, "O-9 on: the hash chooses the CPU, unhashable frames go to the default");
	p.data[0] |= 1;
	is_int(host_packet(&p), -1, "O-9 group-addressed frames are passed where they are");
out:
	prog.skel->bss->vmq_host_rss = 0;
}

static int setup(void)
{
	static const struct {
		uint64_t mac;
		uint16_t queue, slot;
		uint8_t  target, flags;
	} filters[] = {
		{ MAC_RSS, Q_RSS, 0, VMQ_TARGET_RSS, VMQ_FIB_F_OOB },
		{ MAC_HASH, Q_HASH, SLOT_HASH, VMQ_TARGET_SLOT, VMQ_FIB_F_HASH },
		{ MAC_BARE, Q_HASH, SLOT_HASH, VMQ_TARGET_SLOT, VMQ_FIB_F_OOB },
		{ MAC_NOTHING, Q_NOTHING, 0, VMQ_TARGET_RSS, VMQ_FIB_F_OOB },
	};
	uint32_t i;
	int rc;

	rc = prog_open(&prog, 1, 1792);
	for (i = 1; !rc && i < PROG_SLOTS; i++)
		rc = prog_socket(&prog, i, 0);
	for (i = 0; !rc && i < ARRAY_SIZE(filters); i++)
		rc = fib_set(prog.fib, VMQ_FIB_KEY(filters[i].mac, VMQ_RULE_ANY),
			     VMQ_FIB_VALUE(filters[i].target, filters[i].flags, filters[i].queue,
					   filters[i].slot));
	params.mask = ENTRIES - 1;
	params.fallback = SLOT_FALLBACK;
	for (i = 0; i < ENTRIES; i++)
		params.table[i] = (uint16_t)(i + 1);
	return rc;
}

int main(void)
{
	const char *why = prog_setup();
	int rc;

	if (why) {
		skip(why, "the program hashes frames");
		return unit_done();
	}
	rc = setup();
	if (!is_int(rc, 0, "the program loads"))
		return unit_done();
	test_vectors();
	test_choices();
	test_extensions();
	test_fragments();
	test_random();
	test_cut();
	test_broken();
	test_update();
	test_counters();
	test_host();
	prog_close(&prog);
	return unit_done();
}
