// SPDX-License-Identifier: GPL-2.0-only
/*
 * nic_hash.c - is the NIC's hash taken where it equals ours, and nowhere else?
 *
 * The decision by ethtool's figures, then the program's by frame, with a NIC that says
 * whatever it likes. What a real one says is tests/qemu/nic-hash.sh's.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <sched.h>
#include <sys/mman.h>

#include "adapter/nic_hash.h"
#include "adapter/rss.h"
#include "adapter/rss_words.h"
#include "rss_expect.h"
#include "test_nic_hash.skel.h"
#include "unit.h"

#define PACKETS		4000
#define MAC		0x525400000001ULL
#define ADDRESSES	(RXH_IP_SRC | RXH_IP_DST)
#define PORTS		(RXH_L4_B_0_1 | RXH_L4_B_2_3)

/* enum xdp_rss_hash_type of the kernel, and what ethtool calls the fields. */
static const struct {
	uint16_t type;
	uint32_t nic;
	uint64_t fields;
} kinds[] = {
	{ VMQ_HASH_IPV4, 0x01, ADDRESSES },
	{ VMQ_HASH_TCP_IPV4, 0x19, ADDRESSES | PORTS },
	{ VMQ_HASH_UDP_IPV4, 0x29, ADDRESSES | PORTS },
	{ VMQ_HASH_IPV6, 0x02, ADDRESSES },
	{ VMQ_HASH_TCP_IPV6, 0x1a, ADDRESSES | PORTS },
	{ VMQ_HASH_UDP_IPV6, 0x2a, ADDRESSES | PORTS },
	{ VMQ_HASH_IPV6_EX, 0x02, ADDRESSES },
	{ VMQ_HASH_TCP_IPV6_EX, 0x1a, ADDRESSES | PORTS },
	{ VMQ_HASH_UDP_IPV6_EX, 0x2a, ADDRESSES | PORTS },
};

static uint32_t nic_word(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].type == type)
			return kinds[i].nic;
	return 0;
}

static void test_table(void)
{
	bool words = true, fields = true;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		words &= vmq_nic_hash_type(kinds[i].type) == kinds[i].nic;
		for (uint64_t f = 0; f < 0x800; f++)
			fields &= nic_rss_same_fields(kinds[i].type, f) == (f == kinds[i].fields);
	}
	ok(words, "each hash type has the kernel's word for it");
	ok(fields, "each is made of exactly its fields");
	ok(!nic_rss_same_fields(0x8000, ADDRESSES), "an unknown type is none");
}

static void refused(const struct nic_rss *nic, uint16_t types, const char *word)
{
	const char *why = "";

	uint16_t got = nic_rss_types(nic, key, types, &why);

	ok(!got && strstr(why, word), "not the NIC's: %s", why);
}

static void test_decision(void)
{
	struct nic_rss nic = { .known = true, .on = true, .toeplitz = true, .types = 0x1ff };
	const char *why = NULL;

	set_key(NULL);
	memcpy(nic.key, key, sizeof(key));
	is_int(nic_rss_types(&nic, key, 0x1ff, &why), 0x1ff, "same key, same fields: the NIC's");
	is_int(nic_rss_types(&nic, key, VMQ_HASH_IPV4, &why), VMQ_HASH_IPV4,
	       "of the types that the queue has on");
	nic.types = VMQ_HASH_TCP_IPV4;
	is_int(nic_rss_types(&nic, key, 0x1ff, &why), VMQ_HASH_TCP_IPV4,
	       "and that the NIC makes of the same fields");
	refused(&nic, VMQ_HASH_UDP_IPV4, "other fields");
	nic.on = false;
	refused(&nic, 0x1ff, "rxhash on");
	nic.key[39] ^= 1;
	refused(&nic, 0x1ff, "--key nic");
	nic.symmetric = true;
	refused(&nic, 0x1ff, "symmetric");
	nic.toeplitz = false;
	refused(&nic, 0x1ff, "Toeplitz");
	nic.known = false;
	refused(&nic, 0x1ff, "no hash key");
}

/* ---- the program ------------------------------------------------------------- */

static struct test_nic_hash_bpf *skel;
static struct vmq_rss *rss;
static struct vmq_toeplitz *toeplitz;

static void *map_it(const struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, size * (VMQ_QUEUES_MAX + 1), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool run(const struct packet *p, uint32_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = p->data, .data_size_in = len, .repeat = 1);

	return !bpf_prog_test_run_opts(bpf_program__fd(skel->progs.test_nic_hash), &opts) &&
	       opts.retval == XDP_PASS;
}

static uint64_t by_nic(void)
{
	static uint64_t v[1024 * sizeof(struct vmq_rss_stats) / 8];
	uint64_t sum = 0;
	uint32_t q = 1;

	bpf_map_lookup_elem(bpf_map__fd(skel->maps.rss_stats), &q, v);
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		sum += ((struct vmq_rss_stats *)v)[i].nic;
	return sum;
}

/* May it be the NIC's: by what the generator knows. */
static bool equal(const struct packet *p, uint16_t type, uint16_t nic_types)
{
	bool bare = p->need_addr == p->l3 + (p->version == 4 ? 20 : 40);

	return type & nic_types && bare && skel->bss->nic_type == nic_word(type);
}

static void test_program(void)
{
	/* As they are, with bits of headers between, of other protocols, and nonsense. */
	static const uint32_t said[] = { 0x01, 0x19, 0x29, 0x02, 0x1a, 0x2a, 0x05, 0x1d, 0x06, 0x1e,
					 0x2e, 0x08, 0x49, 0x0a, 0x88, 0xffffffff, 0 };
	struct vmq_rss_params params = { .mask = VMQ_RSS_ENTRIES_MAX - 1 };
	uint32_t i, wrong = 0, miscounted = 0, taken = 0, own = 0;
	struct packet p;

	for (i = 0; i < PACKETS; i++) {
		struct hashed want;
		uint64_t before = by_nic();
		bool nic;

		if (i % 50 == 0) {
			set_key(NULL);
			params.types = rnd() % 2 ? 0x1ff : rnd() & 0x1ff;
			params.nic_types = rnd() % 2 ? params.types : rnd() & params.types;
			rss_update(&rss[1], &toeplitz[1], &params, key);
		}
		random_packet(&p, MAC, NULL, 0);
		want = expected(&p, params.types, p.len);
		skel->bss->nic_hash = rnd();
		skel->bss->nic_type = rnd() % 2 ? nic_word(want.type)
						: said[rnd() % ARRAY_SIZE(said)];
		nic = want.type && equal(&p, want.type, params.nic_types);
		if (nic)
			want.hash = skel->bss->nic_hash;
		wrong += !run(&p, p.len) || (uint32_t)skel->bss->result != want.hash ||
			 (uint16_t)(skel->bss->result >> 32) != want.type;
		miscounted += by_nic() != before + nic;
		taken += nic;
		own += want.type && !nic;
	}
	is_int(wrong, 0, "H-1 Q-11 %u packets: the NIC's value where it says the same type, else "
	       "ours; the type is ours", PACKETS);
	is_int(miscounted, 0, "the NIC's are counted");
	ok(taken > PACKETS / 10 && own > PACKETS / 10, "%u were the NIC's, %u ours", taken, own);
}

int main(void)
{
	test_table();
	test_decision();
	skel = unshare(CLONE_NEWNET) ? NULL : test_nic_hash_bpf__open_and_load();
	if (!skel) {
		skip("needs root", "the NIC's value where it says the same type");
		return unit_done();
	}
	rss = map_it(skel->maps.rss, sizeof(*rss));
	toeplitz = map_it(skel->maps.toeplitz, sizeof(*toeplitz));
	if (ok(rss && toeplitz, "the program loads"))
		test_program();
	test_nic_hash_bpf__destroy(skel);
	return unit_done();
}
