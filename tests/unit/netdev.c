// SPDX-License-Identifier: GPL-2.0-only
/*
 * netdev.c - facts about a device, its addresses, its news, and placement
 *
 * In a namespace of its own, with /sys still that of the old one: what is read
 * must be about the device here.
 */
#include "unit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <dirent.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <poll.h>

#include "adapter/netdev.h"
#include "adapter/place.h"
#include "common/util.h"
#include "netns.h"

static void test_query(void)
{
	static const char altname[] = "a-name-that-is-longer-than-fifteen";
	struct vmq_err err = VMQ_ERR_INIT;
	struct netdev_info info;
	char word[200];

	ok(!netdev_query("wire0", &info, &err), "a device is found");
	is_str(info.name, "wire0", "its name");
	is_str(info.driver, "veth", "its driver");
	is_int(info.ifindex, if_nametoindex("wire0"), "its index");
	ok(info.rxqs_allocated == 4 && info.txqs_allocated == 4, "its allocated queues");
	is_int(info.rxqs, 2, "RX queues in use are fewer after ethtool -L");
	is_int(info.txqs, 4, "TX queues in use");
	is_int(info.mtu, 1500, "its MTU");
	ok(info.up && info.carrier && info.virtual && !info.xdp_prog_id, "it is up and virtual");
	ok(info.mac[0] == 0x02 && info.mac[5] == 0x01, "its address");

	RUN("ip", "link", "property", "add", "dev", "wire0", "altname", altname);
	RUN("ip", "link", "property", "add", "dev", "wire0", "altname", "short-alt");
	ok(!netdev_query(altname, &info, &err) && !strcmp(info.name, "wire0"),
	   "a long alternative name leads to the device");
	ok(!netdev_query("short-alt", &info, &err) && !strcmp(info.name, "wire0"),
	   "a short alternative name leads to the device");

	ok(netdev_query("nosuch0", &info, &err) == -ENODEV && strstr(err.text, "nosuch0"),
	   "an unknown name is refused: %s", err.text);
	ok(netdev_query("", &info, &err) == -ENODEV, "an empty name is refused");
	memset(word, 'x', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	ok(netdev_query(word, &info, &err) == -ENODEV, "an endless name is refused");
	/* 15 fit a name, 16 to 127 an alternative name. */
	word[16] = '\0';
	ok(netdev_query(word, &info, &err) == -ENODEV, "an unknown name of 16 letters is refused");
}

static void test_vlan(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t was_on = 0, again = 7;

	ok(!netdev_rx_vlan_off("wire0", &was_on, &err) &&
	   was_on == (NETDEV_RX_VLAN_C | NETDEV_RX_VLAN_S),
	   "VLAN extraction is switched off, 802.1Q and 802.1ad %s", err.text);
	ok(!netdev_rx_vlan_off("wire0", &again, &err) && !again, "it was off already");
	ok(!netdev_rx_on("wire0", NETDEV_RX_VLAN_C, &err), "one is switched on again");
	ok(!netdev_rx_vlan_off("wire0", &again, &err) && again == NETDEV_RX_VLAN_C,
	   "and only that one was on");
	ok(!netdev_rx_on("wire0", was_on, &err), "both are switched on again");
	ok(netdev_rx_vlan_off("nosuch0", &again, &err) == -ENODEV, "an unknown device: %s",
	   err.text);
	ok(!netdev_rx_join_off("wire0", &again, &err) && !again,
	   "C-4 a device that joins no frames stays as it is");
	ok(netdev_rx_join_off("nosuch0", &again, &err) == -ENODEV, "of an unknown one: %s",
	   err.text);
	ok(netdev_has_vlan_kfunc((int)if_nametoindex("wire0")) != 0,
	   "veth has the VLAN-tag kfunc, or the kernel is too old to say");
	ok(netdev_has_vlan_kfunc((int)if_nametoindex("lo")) <= 0, "lo has not");
}

static int promiscuity(void)
{
	char text[16] = "";
	int dir = netdev_sysfs_open("filter0");
	long flags;

	netdev_sysfs_read(dir, "flags", text, sizeof(text));
	close(dir);
	flags = strtol(text, NULL, 16);
	return !!(flags & IFF_PROMISC);
}

static void test_sysfs(void)
{
	int dir = netdev_sysfs_open("wire0");
	char all[18 + 1], most[18];

	is_int(netdev_sysfs_read(dir, "address", all, sizeof(all)), 0, "a line is read whole");
	is_int(strlen(all), 17, "without its end");
	is_int(netdev_sysfs_read(dir, "address", most, sizeof(most)), -EMSGSIZE,
	       "half a line is none: it may be a list of CPUs to be put back");
	close(dir);
}

static void test_addrs(void)
{
	int ifindex, full = 0, i;
	uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };
	struct vmq_err err = VMQ_ERR_INIT;
	struct netdev_addrs *a = NULL;
	bool early = false;

	/* A veth has no address filter: promiscuous from the first one on. */
	RUN("ip", "link", "add", "link", "wire0", "name", "filter0", "type", "macvlan");
	RUN("ip", "link", "set", "filter0", "up");
	ifindex = (int)if_nametoindex("filter0");
	ok(!netdev_addrs_open(&a, ifindex, &err), "an address list is made %s", err.text);
	ok(!netdev_addrs_add(a, mac, false, &err), "an address is added %s", err.text);
	netdev_addrs_del(a, mac, false);
	for (i = 0; i < NETDEV_ADDRS_MAX + 2; i++) {
		mac[5] = (uint8_t)i;
		mac[4] = (uint8_t)(i >> 8);
		full |= netdev_addrs_add(a, mac, false, &err);
		early |= i < NETDEV_ADDRS_MAX && promiscuity();
	}
	ok(!full && !early, "many addresses are added one by one %s", err.text);
	ok(promiscuity(), "too many make it promiscuous");
	ok(!netdev_addrs_add(a, mac, false, &err), "one is wanted twice");
	for (i = 0; i < 2; i++)
		netdev_addrs_del(a, mac, false);
	ok(promiscuity(), "there is still one too many");
	mac[5]--;
	netdev_addrs_del(a, mac, false);
	ok(!promiscuity(), "with room for all promiscuous mode ends");
	mac[5]++;
	netdev_addrs_add(a, mac, false, &err);
	ok(promiscuity(), "and begins again");
	netdev_addrs_close(a);
	ok(!promiscuity(), "promiscuous mode ends with its socket");
	RUN("ip", "link", "del", "filter0");
}

/* The next event within two seconds; -1: none. */
static int next_event(struct netdev_watch *w)
{
	struct pollfd p = { .fd = netdev_watch_fd(w), .events = POLLIN };
	uint64_t deadline = now_ns() + 2000000000ULL;
	enum netdev_event ev;

	while (now_ns() < deadline) {
		if (!netdev_watch_read(w, &ev))
			return (int)ev;
		poll(&p, 1, 100);
	}
	return -1;
}

static void test_watch(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct netdev_watch *w = NULL;
	enum netdev_event ev;
	int got;

	/* Down: a link that comes up makes news of its own, later. */
	RUN("ip", "link", "add", "gone0", "numrxqueues", "2", "type", "veth", "peer", "name",
	    "gone1");
	ok(!netdev_watch_open(&w, (int)if_nametoindex("gone0"), &err), "a device is watched");
	is_int(netdev_watch_read(w, &ev), -EAGAIN, "no news");
	RUN("ip", "link", "set", "wire0", "mtu", "1400");
	RUN("ip", "link", "set", "wire0", "mtu", "1500");
	is_int(netdev_watch_read(w, &ev), -EAGAIN, "news of another device are not ours");
	RUN("ip", "link", "set", "gone0", "mtu", "1400");
	is_int(next_event(w), NETDEV_EV_CHANGED, "a change is news");
	/* Down, so rtnetlink has nothing to say about it. */
	while (!netdev_watch_read(w, &ev))
		;
	RUN("ethtool", "-L", "gone0", "rx", "1");
	is_int(next_event(w), NETDEV_EV_CHANGED, "another number of queues is news");
	while (!netdev_watch_read(w, &ev))
		;
	RUN("ethtool", "-L", "wire0", "rx", "3");
	is_int(netdev_watch_read(w, &ev), -EAGAIN, "another device's queues are not");
	RUN("ip", "link", "del", "gone0");
	do
		got = next_event(w);
	while (got == NETDEV_EV_CHANGED);
	is_int(got, NETDEV_EV_GONE, "the end of the device is news");
	netdev_watch_close(w);
}

static int load_pass(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "pass", "GPL", pass, ARRAY_SIZE(pass), NULL);
}

static int threaded(void)
{
	char text[16] = "";
	int dir = netdev_sysfs_open("wire0");

	netdev_sysfs_read(dir, "threaded", text, sizeof(text));
	close(dir);
	return atoi(text);
}

/* The kthreads of devices of that name; how many are on CPU 0 alone. */
static int kthreads(int *pinned)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	int n = 0;

	while (d && (e = readdir(d))) {
		char path[300], comm[64];
		cpu_set_t set;

		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    netdev_sysfs_read(AT_FDCWD, path, comm, sizeof(comm)) ||
		    strncmp(comm, "napi/wire0-", 11))
			continue;
		n++;
		if (!sched_getaffinity(atoi(e->d_name), sizeof(set), &set))
			*pinned += CPU_COUNT(&set) == 1 && CPU_ISSET(0, &set);
	}
	if (d)
		closedir(d);
	return n;
}

static void test_place(void)
{
	int ifindex = (int)if_nametoindex("wire0"), prog = load_pass();
	struct vmq_err err = VMQ_ERR_INIT;
	struct place *p = NULL, *dead = NULL;
	const uint16_t cpus[] = { 0 };
	char note[64];
	int n, pinned;

	ok(!place_apply(&p, "wire0", cpus, 1, NULL, &err),
	   "placing where nothing can be placed is no error");
	is_str(place_describe(p), "none", "veth without XDP has no NAPI");
	place_undo(p);

	/* Native XDP wants as many RX queues as the peer has TX queues. */
	RUN("ethtool", "-L", "wire0", "rx", "4");
	ok(prog >= 0 && !bpf_xdp_attach(ifindex, prog, XDP_FLAGS_DRV_MODE, NULL),
	   "a program is attached");
	ok(!place_apply(&p, "wire0", cpus, 0, NULL, &err) && !strcmp(place_describe(p), "none") &&
	   !threaded(), "no CPUs leave everything as it is");
	place_undo(p);
	ok(!place_apply(&p, "wire0", cpus, 1, NULL, &err) && !strcmp(place_describe(p), "threaded") &&
	   threaded(), "veth gets threaded NAPI");
	pinned = 0;
	n = kthreads(&pinned);
	ok(n >= 4 && pinned >= 4, "its kthreads are pinned: %d of %d", pinned, n);
	place_undo(p);
	ok(!threaded(), "and it is undone");
	/* Killed: its place is not undone. */
	snprintf(note, sizeof(note), "/run/unit-netdev-%d.place", getpid());
	place_apply(&dead, "wire0", cpus, 1, note, &err);
	ok(threaded() && !access(note, F_OK), "what a service did is noted");
	ok(!place_apply(&p, "wire0", cpus, 1, note, &err) && threaded(), "the next one finds it");
	place_undo(p);
	ok(!threaded() && access(note, F_OK), "and puts back what there was before the first");
	free(dead);
	place_apply(&dead, "wire0", cpus, 1, note, &err);
	free(dead);
	place_undo_noted(note);
	ok(!threaded() && access(note, F_OK), "so does whoever reads the note");
	place_undo_noted(note);
	bpf_xdp_detach(ifindex, XDP_FLAGS_DRV_MODE, NULL);
	close(prog);
	place_undo(NULL);
}

int main(void)
{
	if (!netns_enter()) {
		skip("no privilege", "a device is found");
		return unit_done();
	}
	if (!ok(netns_veth("wire0", "wire1", 4, 4), "a veth pair is made"))
		return unit_done();
	RUN("ip", "link", "set", "wire0", "address", "02:00:00:00:00:01");
	RUN("ethtool", "-L", "wire0", "rx", "2");
	test_query();
	test_vlan();
	test_sysfs();
	test_addrs();
	test_watch();
	test_place();
	return unit_done();
}
