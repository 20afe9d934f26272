// SPDX-License-Identifier: GPL-2.0-only
/*
 * attach.c - attaching, pins, adoption and cleaning up
 *
 * Services are started in this process; one that crashes is a child that kills
 * itself. Tags are vouched for throughout, so that nothing depends on drivers.
 */
#include "unit.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cap-ng.h>
#include <dirent.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sys/stat.h>

#include "adapter/attach.h"
#include "common/util.h"
#include "netns.h"

#define PINDIR "/sys/fs/bpf/vmq"

static struct attach_config config(const char *ifname, const char *name, enum attach_mode mode)
{
	return (struct attach_config){
		.ifname = ifname,
		.name = name,
		.pin_dir = PINDIR,
		.run_dir = netns_tmp,
		.mode = mode,
		.tags = ATTACH_TAGS_FRAME,
		.queues = 8,
		.slots = 16,
		.max_frame = 1792,
	};
}

static bool exists(const char *fmt, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), fmt, name);
	return !access(path, F_OK);
}

static uint32_t program_on(const char *ifname, int *mode)
{
	struct netdev_info info;

	if (netdev_query(ifname, &info, NULL))
		return 0;
	*mode = info.xdp_mode;
	return info.xdp_prog_id;
}

static bool lock_says(const char *name, const char *word)
{
	char path[256], text[128] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s.lock", netns_tmp, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return strstr(text, word);
}

static const struct vmq_filter_key key = { { 0x52, 0x54, 0, 0, 0, 1 }, 100 };
static const struct vmq_filter filter = { .id = 3, .queue = 2, .target = VMQ_TARGET_SLOT };

static int put_records(struct attachment *a)
{
	struct vmq_queue_record rec = { .id = 2, .rule = 100, .pairs = 1, .name = "web1" };
	struct vmq_filter_key other = key;
	struct vmq_err err = VMQ_ERR_INIT;
	int rc;

	rc = attach_queue_put(a, &rec, &err) | attach_filter_put(a, &key, &filter, &err);
	other.rule = 7;
	rec.id = 8;
	rc |= attach_queue_put(a, &rec, &err) | attach_filter_put(a, &other, &filter, &err);
	return rc | attach_queue_del(a, 8) | attach_filter_del(a, &other);
}

static int queues_seen, filters_seen;

static int see_queue(const struct vmq_queue_record *rec, void *arg)
{
	(void)arg;
	queues_seen += rec->id == 2 && rec->rule == 100 && !strcmp(rec->name, "web1") ? 1 : 100;
	return 0;
}

static int see_filter(const struct vmq_filter_key *k, const struct vmq_filter *f, void *arg)
{
	(void)arg;
	filters_seen += !memcmp(k, &key, sizeof(key)) && f->id == 3 && f->queue == 2 ? 1 : 100;
	return 0;
}

static int stop_at_once(const struct vmq_queue_record *rec, void *arg)
{
	++*(int *)arg;
	return (int)rec->id + 40;
}

static bool records_there(struct attachment *a)
{
	queues_seen = filters_seen = 0;
	return !attach_each_queue(a, see_queue, NULL) && !attach_each_filter(a, see_filter, NULL) &&
	       queues_seen == 1 && filters_seen == 1;
}

/* attach_open() that should succeed; says why it does not. */
static bool opens(struct attachment **a, const struct attach_config *cfg)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int rc = attach_open(a, cfg, &err);

	if (rc)
		diag("%s", err.text);
	return !rc;
}

static bool unloads(const char *name)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int rc = attach_unload(name, PINDIR, netns_tmp, NULL, &err);

	if (rc)
		diag("%s", err.text);
	return !rc;
}

/* A service that attaches, keeps the records that @put puts, and is killed. */
static bool crash_with(const struct attach_config *cfg, int (*put)(struct attachment *a))
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		if (attach_open(&a, cfg, &err)) {
			diag("%s", err.text);
			_exit(1);
		}
		if (put(a))
			_exit(3);
		kill(getpid(), SIGKILL);
	}
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

static bool crash(const struct attach_config *cfg)
{
	return crash_with(cfg, put_records);
}

static void test_life(enum attach_mode mode, const char *word, int xdp_mode)
{
	static const char *const pins[] = {
		"link", "meta", "queues", "filters", "fib", "xsks", "rss", "toeplitz",
		"slot_stats", "adapter_stats", "queue_counters", "pair_counters",
	};
	struct attach_config cfg = config("v.0", "v.0", mode);
	struct vmq_adapter_stats as = { .frames = UINT64_MAX };
	struct vmq_slot_stats ss = { .bytes = 1 };
	struct vmq_err err = VMQ_ERR_INIT;
	const struct attach_info *info;
	struct attachment *a = NULL, *b;
	int n = 0, got = 0, calls = 0;
	char pid[24];

	if (!ok(opens(&a, &cfg), "%s: attached", word))
		return;
	info = attach_info(a);
	ok(program_on("v.0", &got) && got == xdp_mode && info->mode == (unsigned int)
	   (xdp_mode == XDP_ATTACHED_DRV ? VMQ_MODE_NATIVE : VMQ_MODE_SKB),
	   "%s: the kernel says so", word);
	ok(info->stride == 4 && info->dev.rxqs == 4 && !info->adopted && info->tags_known &&
	   !strcmp(info->tags_why, "frame"), "%s: what we got is told", word);
	for (size_t i = 0; i < ARRAY_SIZE(pins); i++) {
		char path[64];

		snprintf(path, sizeof(path), PINDIR "/v:0/%s", pins[i]);
		n += exists("%s", path);
	}
	is_int(n, (int)ARRAY_SIZE(pins), "%s: all pins are there, the dot written ':'", word);
	snprintf(pid, sizeof(pid), "%d\n", getpid());
	ok(lock_says("v.0", pid), "%s: the lock file names the pid", word);

	ok(info->fib[0].slot[0].key == 0 && *info->fib_ctl == 0, "%s: the FIB is mapped", word);
	info->fib[2 * VMQ_FIB_BUCKETS - 1].slot[VMQ_FIB_WAYS - 1].value = 1;
	*info->fib_ctl = VMQ_FIB_CTL_HALF;
	ok(!attach_slot_stats(a, 15, &ss) && !ss.bytes && attach_slot_stats(a, 16, &ss) < 0 &&
	   !attach_slot_clear(a, 15), "%s: counters of the slots there are", word);
	ok(!attach_adapter_stats(a, &as) && as.frames != UINT64_MAX,
	   "%s: counters of the adapter", word);
	ok(!put_records(a) && records_there(a), "%s: records are kept", word);
	ok(attach_each_queue(a, stop_at_once, &calls) == 42 && calls == 1,
	   "%s: a walk stops when told", word);
	ok(!attach_check(a, &err), "%s: the program is ours", word);

	snprintf(pid, sizeof(pid), "(pid %d)", getpid());
	ok(attach_open(&b, &cfg, &err) == -EBUSY && strstr(err.text, pid),
	   "%s: a second service is refused: %s", word, err.text);
	cfg.name = "second";
	ok(attach_open(&b, &cfg, &err) == -EBUSY && strstr(err.text, "service v.0 (pid"),
	   "%s: and under another name: %s", word, err.text);
	ok(!exists(PINDIR "/%s", "second") && !lock_says("second", ""), "%s: leaving nothing",
	   word);
	ok(attach_unload("v.0", PINDIR, netns_tmp, NULL, &err) == -EBUSY,
	   "%s: unload refuses while a service runs: %s", word, err.text);

	attach_close(a, true);
	ok(!program_on("v.0", &got) && !exists("%s", PINDIR) && !lock_says("v.0", ""),
	   "%s: closed, nothing is left", word);
}

static void test_adopt(enum attach_mode mode, const char *word)
{
	struct attach_config cfg = config("v.0", "v.0", mode);
	struct vmq_err err = VMQ_ERR_INIT;
	uint32_t before, after;
	struct attachment *a;
	int got;

	ok(crash(&cfg), "%s: a service is killed", word);
	before = program_on("v.0", &got);
	ok(before && exists(PINDIR "/%s/link", "v:0"), "%s: its program and pins stay", word);
	queues_seen = 0;
	ok(!attach_left_queues("v.0", PINDIR, see_queue, NULL) && queues_seen == 1,
	   "%s: what it left can be read", word);

	cfg.name = "second";
	ok(attach_open(&a, &cfg, &err) == -EBUSY && strstr(err.text, "--name v.0"),
	   "%s: another name is told whose it is: %s", word, err.text);
	cfg.name = "v.0";
	cfg.mode = mode == ATTACH_NATIVE ? ATTACH_SKB : ATTACH_NATIVE;
	ok(attach_open(&a, &cfg, &err) == -EBUSY && program_on("v.0", &got) == before,
	   "%s: a restart cannot change the mode: %s", word, err.text);
	cfg.mode = ATTACH_AUTO;

	if (!ok(opens(&a, &cfg), "%s: its pins are adopted", word))
		return;
	after = program_on("v.0", &got);
	ok(attach_info(a)->adopted && after && after != before, "%s: with a new program", word);
	ok(records_there(a), "%s: and the old records", word);
	ok(!exists(PINDIR "/%s", "v:0+new"), "%s: the old pins are removed", word);
	attach_close(a, false);
	ok(program_on("v.0", &got) == after && exists(PINDIR "/%s/link", "v:0"),
	   "%s: closed for a restart, all stays", word);
	ok(opens(&a, &cfg) && records_there(a), "%s: and is adopted again", word);
	attach_close(a, true);
	ok(!program_on("v.0", &got) && !exists("%s", PINDIR), "%s: nothing is left", word);
}

static int put_three(struct attachment *a)
{
	struct vmq_queue_record rec = { .pairs = 1 };
	struct vmq_err err = VMQ_ERR_INIT;
	int rc = 0;

	for (rec.id = 1; rec.id <= 3 && !rc; rec.id++) {
		snprintf(rec.name, sizeof(rec.name), "web%u", rec.id);
		rec.flags = rec.id == 3 ? VMQ_QUEUE_F_WAITS : 0;
		rc = attach_queue_put(a, &rec, &err);
	}
	return rc;
}

/* Queues that work on queue 0 do not count. */
static void test_limit(void)
{
	struct attach_config cfg = config("v.0", "limit", ATTACH_NATIVE);
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	uint32_t before;
	int got;

	cfg.queues = 2;
	if (!ok(crash_with(&cfg, put_three), "ids beyond the limit are there for queues that wait"))
		return;
	before = program_on("v.0", &got);
	cfg.queues = 1;
	ok(attach_open(&a, &cfg, &err) == -ENOSPC && strstr(err.text, "--queues 2") &&
	   program_on("v.0", &got) == before && !exists(PINDIR "/%s", "limit+new"),
	   "records that do not fit are not lost: %s", err.text);
	cfg.queues = 2;
	if (ok(opens(&a, &cfg), "those that fit are adopted, the one that waits, too"))
		attach_close(a, true);
}

/* Died between the swap and the update: old pins in +new. And before the swap. */
static void test_half_made(void)
{
	struct attach_config cfg = config("v.0", "half", ATTACH_NATIVE);
	struct attachment *a;

	crash(&cfg);
	rename(PINDIR "/half", PINDIR "/half+new");
	ok(opens(&a, &cfg) && !attach_info(a)->adopted &&
	   !exists(PINDIR "/%s", "half+new"), "what was never finished is removed");
	attach_close(a, true);

	crash(&cfg);
	mkdir(PINDIR "/half+new", 0700);
	ok(opens(&a, &cfg) && attach_info(a)->adopted && records_there(a) &&
	   !exists(PINDIR "/%s", "half+new"), "a half-made successor is in nobody's way");
	attach_close(a, true);
}

static int load_foreign(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "their_filter", "GPL", pass, ARRAY_SIZE(pass),
			     NULL);
}

static void test_foreign(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_AUTO);
	int ifindex = (int)if_nametoindex("v.0"), prog = load_foreign(), got;
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	uint32_t id;

	bpf_xdp_attach(ifindex, prog, XDP_FLAGS_SKB_MODE, NULL);
	id = program_on("v.0", &got);
	ok(attach_open(&a, &cfg, &err) == -EBUSY && strstr(err.text, "their_filter"),
	   "another XDP program is named: %s", err.text);
	ok(program_on("v.0", &got) == id && !exists("%s", PINDIR), "and left alone");
	bpf_xdp_detach(ifindex, XDP_FLAGS_SKB_MODE, NULL);
	close(prog);
}

static void test_refusals(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_NATIVE);
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	int got;

	cfg.ifname = "nosuch0";
	ok(attach_open(&a, &cfg, &err) == -ENODEV, "an unknown interface: %s", err.text);
	cfg.ifname = "v.0";
	cfg.pin_dir = netns_tmp;
	ok(attach_open(&a, &cfg, &err) == -EINVAL && strstr(err.text, "mount -t bpf bpf"),
	   "no bpffs: %s", err.text);
	cfg.pin_dir = "relative";
	ok(attach_open(&a, &cfg, &err) == -EINVAL, "a relative pin directory: %s", err.text);
	cfg.pin_dir = PINDIR;
	cfg.name = "../x";
	ok(attach_open(&a, &cfg, &err) == -EINVAL, "a name that is a path: %s", err.text);
	cfg.name = "v.0";
	cfg.tags = ATTACH_TAGS_KFUNC;
	cfg.mode = ATTACH_SKB;
	ok(attach_open(&a, &cfg, &err) == -EOPNOTSUPP, "the kfunc in skb mode: %s", err.text);
	cfg.tags = ATTACH_TAGS_FRAME;

	/* few0 has one RX queue and its peer four TX queues. */
	netns_veth("few0", "few1", 1, 4);
	cfg.ifname = cfg.name = "few0";
	cfg.mode = ATTACH_NATIVE;
	ok(attach_open(&a, &cfg, &err) == -ENOSPC && strstr(err.text, "numrxqueues"),
	   "native mode refused, with the kernel's words: %s", err.text);
	ok(!program_on("few0", &got) && !exists("%s", PINDIR) && !lock_says("few0", ""),
	   "and nothing is left");
	cfg.mode = ATTACH_AUTO;
	ok(opens(&a, &cfg) && attach_info(a)->mode == VMQ_MODE_SKB,
	   "auto falls back to skb mode");
	attach_close(a, true);

	RUN("ip", "link", "property", "add", "dev", "v.0", "altname", "the-other-name-of-it");
	cfg = config("the-other-name-of-it", "alt", ATTACH_NATIVE);
	ok(opens(&a, &cfg) && !strcmp(attach_info(a)->dev.name, "v.0"),
	   "an alternative name leads to the interface");
	attach_close(a, true);
}

/* On veth our own feature proves nothing; skb mode has no kfunc either. */
static void test_tags(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_SKB);
	struct attachment *a;

	cfg.tags = ATTACH_TAGS_AUTO;
	if (!ok(opens(&a, &cfg), "attached without knowing about tags"))
		return;
	ok(!attach_info(a)->tags_known, "F-4 tags are not known on veth in skb mode: %s",
	   attach_info(a)->tags_why);
	attach_close(a, true);

	if (netdev_has_vlan_kfunc((int)if_nametoindex("v.0")) == 1) {
		cfg.mode = ATTACH_NATIVE;
		ok(opens(&a, &cfg) && attach_info(a)->tags_known &&
		   !strcmp(attach_info(a)->tags_why, "kfunc"),
		   "F-4 in native mode the driver is asked for the tag");
		attach_close(a, true);
	} else {
		skip("no kfunc", "F-4 in native mode the driver is asked for the tag");
	}

	/* Frames of a TAP come from a program, with their tags. */
	RUN("ip", "tuntap", "add", "dev", "tap0", "mode", "tap");
	cfg = config("tap0", "tap0", ATTACH_AUTO);
	cfg.tags = ATTACH_TAGS_AUTO;
	ok(opens(&a, &cfg) && attach_info(a)->tags_known &&
	   !strcmp(attach_info(a)->tags_why, "frame"), "F-4 on a TAP tags are in the frame");
	attach_close(a, true);
}

/* What a dead service switched off is noted in its lock file. */
static bool crash_with_offload_off(const struct attach_config *cfg)
{
	uint32_t was_on;
	char path[64];
	FILE *f;

	if (!crash(cfg) || netdev_rx_vlan_off("v.0", &was_on, NULL))
		return false;
	snprintf(path, sizeof(path), "%s/v.0.lock", netns_tmp);
	f = fopen(path, "we");
	if (!f)
		return false;
	fprintf(f, "1\nrx-vlan-offload 0x%x\n", was_on);
	return !fclose(f);
}

static bool offload_is_on(void)
{
	uint32_t was_on = 0;

	return !netdev_rx_vlan_off("v.0", &was_on, NULL) &&
	       was_on == (NETDEV_RX_VLAN_C | NETDEV_RX_VLAN_S) &&
	       !netdev_rx_on("v.0", was_on, NULL);
}

static void test_restore(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_NATIVE);
	struct attachment *a = NULL;

	ok(crash_with_offload_off(&cfg) && opens(&a, &cfg), "a note of a dead service is adopted");
	ok(lock_says("v.0", "rx-vlan-offload 0x3"), "and kept");
	attach_close(a, true);
	ok(offload_is_on(), "rx-vlan-offload is put back by the successor");
	ok(crash_with_offload_off(&cfg) && unloads("v.0") && offload_is_on(),
	   "rx-vlan-offload is put back by unload");
}

static void test_lost(void)
{
	struct attach_config cfg = config("lost0", "lost0", ATTACH_NATIVE);
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	int prog, got;
	char path[64];

	/* The link is forced off by somebody. */
	netns_veth("lost0", "lost1", 4, 4);
	attach_open(&a, &cfg, &err);
	snprintf(path, sizeof(path), PINDIR "/lost0/link");
	prog = bpf_obj_get(path);
	bpf_link_detach(prog);
	close(prog);
	is_int(attach_check(a, &err), -ENOENT, "detached by somebody: %s", err.text);
	attach_close(a, true);
	ok(!exists("%s", PINDIR), "closing cleans up all the same");

	/* The interface goes while the service runs. */
	attach_open(&a, &cfg, &err);
	RUN("ip", "link", "del", "lost0");
	is_int(attach_check(a, &err), -ENODEV, "the interface has gone: %s", err.text);
	attach_close(a, true);
	ok(!exists("%s", PINDIR) && !lock_says("lost0", ""), "closing cleans up all the same");

	/* It goes after the service has died. */
	netns_veth("lost0", "lost1", 4, 4);
	crash(&cfg);
	RUN("ip", "link", "del", "lost0");
	ok(unloads("lost0") && !exists("%s", PINDIR) &&
	   !lock_says("lost0", ""), "unload works without the interface");
	is_int(attach_unload("lost0", PINDIR, netns_tmp, NULL, &err), -ENOENT, "once: %s", err.text);

	/* It goes and comes again. */
	netns_veth("lost0", "lost1", 4, 4);
	crash(&cfg);
	RUN("ip", "link", "del", "lost0");
	netns_veth("lost0", "lost1", 4, 4);
	ok(opens(&a, &cfg) && !attach_info(a)->adopted,
	   "pins of an interface that has gone are cleaned");
	attach_close(a, true);

	/* Another interface under the same service name. */
	crash(&cfg);
	cfg.ifname = "v.0";
	ok(attach_open(&a, &cfg, &err) == -EBUSY && strstr(err.text, "lost0"),
	   "pins of another interface are refused: %s", err.text);
	ok(unloads("lost0") && !program_on("lost0", &got),
	   "unload detaches");
}

/* A service in another namespace, with an interface of the same name. */
static void test_other_netns(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_NATIVE);
	struct vmq_err err = VMQ_ERR_INIT;
	int ready[2], go[2], status;
	struct attachment *a;
	char byte = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		return;
	pid = fork();
	if (!pid) {	/* holds its namespace open after its service has gone */
		close(go[1]);
		if (unshare(CLONE_NEWNET) || !netns_veth("v.0", "peer", 4, 4) ||
		    attach_open(&a, &cfg, &err))
			_exit(1);
		attach_close(a, false);
		if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(ready[1]);
	ok(read(ready[0], &byte, 1) == 1, "a service ran in another namespace");
	ok(attach_open(&a, &cfg, &err) == -EBUSY && strstr(err.text, "another network namespace") &&
	   strstr(err.text, "--unload v.0"), "its pins are refused: %s", err.text);
	ok(exists(PINDIR "/%s/link", "v:0"), "and left alone");
	cfg.name = "mine";
	ok(opens(&a, &cfg), "the same index elsewhere is another interface");
	attach_close(a, true);
	ok(unloads("v.0") && !exists("%s", PINDIR),
	   "unload removes them from here");
	close(go[1]);
	waitpid(pid, &status, 0);
	close(ready[0]);
	close(go[0]);
}

/* ABI of a made-up future version: only the head of its meta is the same. */
static void test_newer_abi(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_NATIVE);
	uint32_t meta[60] = { VMQ_ABI_VERSION + 1, sizeof(meta) };
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	uint32_t zero = 0, id;
	int fd, got;

	crash(&cfg);
	id = program_on("v.0", &got);
	unlink(PINDIR "/v:0/meta");
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "meta", 4, sizeof(meta), 1, NULL);
	bpf_map_update_elem(fd, &zero, meta, BPF_ANY);
	bpf_obj_pin(fd, PINDIR "/v:0/meta");
	close(fd);
	ok(attach_open(&a, &cfg, &err) == -EBUSY && strstr(err.text, "newer than this"),
	   "pins of a newer version are refused: %s", err.text);
	ok(program_on("v.0", &got) == id, "and left alone");
	is_int(attach_left_queues("v.0", PINDIR, see_queue, NULL), -EPROTO, "its records too");
	ok(unloads("v.0") && !program_on("v.0", &got),
	   "unload removes them");
}

static void test_privilege(void)
{
	struct attach_config cfg = config("v.0", "v.0", ATTACH_NATIVE);
	struct vmq_err err = VMQ_ERR_INIT;
	struct attachment *a;
	int status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		capng_get_caps_process();
		capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_RAW);
		capng_apply(CAPNG_SELECT_CAPS);
		_exit(attach_open(&a, &cfg, &err) == -EPERM && strstr(err.text, "CAP_NET_RAW") &&
		      !lock_says("v.0", "") ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	ok(WIFEXITED(status) && !WEXITSTATUS(status), "a missing capability is named");
}

int main(void)
{
	if (!netns_enter()) {
		skip("no privilege", "attached");
		return unit_done();
	}
	if (!ok(netns_veth("v.0", "v.1", 4, 4), "a veth pair is made"))
		return unit_done();
	test_life(ATTACH_NATIVE, "native", XDP_ATTACHED_DRV);
	test_life(ATTACH_SKB, "skb", XDP_ATTACHED_SKB);
	test_adopt(ATTACH_NATIVE, "native");
	test_adopt(ATTACH_SKB, "skb");
	test_limit();
	test_half_made();
	test_foreign();
	test_refusals();
	test_tags();
	test_restore();
	test_lost();
	test_other_netns();
	test_newer_abi();
	test_privilege();
	return unit_done();
}
