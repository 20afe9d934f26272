// SPDX-License-Identifier: GPL-2.0-only
/*
 * live-gen.c - the load generator: millions of frames a second out of a device
 *
 * BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES (since 5.18) runs an XDP
 * program over frames that the kernel makes, and does what it returns: our
 * program redirects them out of --iface. Into a veth that is ndo_xdp_xmit: the
 * frames appear at the peer's XDP program, on RX queue CPU % queues. A peer
 * without native XDP (or GRO) lets them vanish without a word, so count what
 * arrives, never only what was sent.
 *
 * Setting up a run costs about 25 ms, so there is one long run. It ends by a
 * signal (the kernel looks for one after every batch and returns -EINTR): after
 * --seconds by the alarm, after --count by counting in the program. For a lower
 * rate the program redirects one frame --one-in K and drops the rest: the CPU
 * stays busy either way, pin the consumer elsewhere.
 *
 * The result is one line of JSON.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/util.h"
#include "live_gen.skel.h"
#include "prog.h"
#include "testframe.h"

struct options {
	const char *iface, *dst, *src, *vlan, *inner, *pcp, *size, *count, *seconds, *one_in,
		   *cpu, *batch, *udp, *tcp;
	bool ad, help;
};

static const struct opt table[] = {
	O("iface", 'i', "IFACE", iface, "device to send out of"),
	O("dst", 'd', "MAC[+N][,MAC...]", dst, "destinations, in turn (default broadcast)"),
	O("src", 's', "MAC", src, "source (default 02:00:00:00:00:fe)"),
	O("vlan", 'v', "VLAN", vlan, "tag with this VLAN"),
	O("inner", 0, "VLAN", inner, "second tag behind it"),
	O("pcp", 0, "N", pcp, "priority in the first tag"),
	F("ad", 0, ad, "the first tag is 802.1ad"),
	O("udp", 0, "N", udp, "IPv4 and UDP, N flows in turn"),
	O("tcp", 0, "N", tcp, "IPv4 and TCP, segments of N connections in turn, in order"),
	O("size", 0, "BYTES", size, "size of a frame with tags, without FCS (default 64)"),
	O("count", 'c', "N", count, "frames to send (default: until --seconds)"),
	O("seconds", 't', "SECONDS", seconds, "end after that time (default 1, with --count 60)"),
	O("one-in", 0, "K", one_in, "send one frame in K: a lower rate (default 1)"),
	O("cpu", 0, "N", cpu, "run on this CPU"),
	O("batch", 0, "N", batch, "frames of one batch, 1 ... 256 (default 64)"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

static uint8_t frame[TEST_FRAME_MAX];
static uint8_t dst[TEST_DST_MAX][6];

static int fail(const char *what, int code)
{
	fprintf(stderr, "live-gen: %s: %s\n", what, strerror(-code));
	return 1;
}

/* A signal between two runs must not be lost: it sets `stop` as well. */
static void arm(double seconds)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct itimerval timer = { 0 };

	timer.it_value.tv_sec = (time_t)seconds;
	timer.it_value.tv_usec = (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/*
 * The sum of a segment and its pseudo header as built: without source port, sequence
 * number, and the payload's numbers.
 */
static uint32_t tcp_sum(uint8_t *tcp, unsigned len)
{
	uint32_t sum = 6 + len;

	test_put16(tcp, 0);
	for (int i = -8; i < (int)len; i++)	/* the addresses are right in front */
		sum += i % 2 ? tcp[i] : (uint32_t)tcp[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

int main(int argc, char **argv)
{
	struct test_spec spec = { .src = { 2, 0, 0, 0, 0, 0xfe } };
	uint64_t count, begin, elapsed, one_in;
	struct vmq_err err = VMQ_ERR_INIT;
	struct live_gen_bpf *skel;
	struct options o = { 0 };
	struct xdp_md ctx = { 0 };
	double seconds;
	int rc;
	unsigned off, n_dst, flows;

	LIBBPF_OPTS(bpf_test_run_opts, run,
		    .data_in = frame,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	opts_parse(table, &o, &argc, argv, &err);
	rc = prog_status("live-gen", table, argc, &err, o.help,
			 o.iface ? NULL : "--iface is needed");
	if (rc >= 0)
		return rc;
	if (o.src)
		test_mac(o.src, spec.src);
	n_dst = test_macs(o.dst ? o.dst : "ff:ff:ff:ff:ff:ff", dst);
	test_tags(&spec, o.vlan, o.ad, o.inner, o.pcp);
	/* A page holds the frame, its headroom and its bookkeeping. */
	flows = (unsigned)test_number(o.udp, "--udp", 1, TEST_DST_MAX, 0);
	spec.udp = flows != 0;
	if (o.tcp) {
		flows = (unsigned)test_number(o.tcp, "--tcp", 1, TEST_DST_MAX, 0);
		spec.tcp = true;
		spec.udp = false;
	}
	if (n_dst * MAX(flows, 1U) > TEST_DST_MAX) {
		fprintf(stderr, "live-gen: more than %d destinations x flows\n", TEST_DST_MAX);
		return 2;
	}
	spec.size = (unsigned)test_number(o.size, "--size", MAX(60U, test_min_size(&spec)), 3400,
					  MAX(64U, test_min_size(&spec)));
	count = test_number(o.count, "--count", 1, UINT64_MAX, 0);
	one_in = test_number(o.one_in, "--one-in", 1, 1000000, 1);
	run.batch_size = (__u32)test_number(o.batch, "--batch", 1, 256, 64);
	seconds = o.seconds ? strtod(o.seconds, NULL) : count ? 60 : 1;
	if (seconds < 0.01 || seconds > 3600) {
		fprintf(stderr, "live-gen: --seconds must be 0.01 ... 3600\n");
		return 2;
	}
	if (o.cpu) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(test_number(o.cpu, "--cpu", 0, CPU_SETSIZE - 1, 0), &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			return fail("--cpu", -errno);
	}
	off = test_build(&spec, frame);

	skel = live_gen_bpf__open();
	if (!skel)
		return fail("opening the program", -errno);
	skel->rodata->out_ifindex = if_nametoindex(o.iface);
	if (!skel->rodata->out_ifindex) {
		rc = fail(o.iface, -errno);
		goto out;
	}
	skel->rodata->n_dst = n_dst;
	skel->rodata->n_streams = n_dst * MAX(flows, 1U);
	skel->rodata->port = flows ? TEST_UDP_PORT : 0;
	if (spec.tcp) {
		skel->rodata->tcp_payload = spec.size - off;
		skel->rodata->tcp_sum = tcp_sum(frame + off - 20, spec.size - off + 20);
	}
	skel->rodata->one_in = (__u32)one_in;
	skel->rodata->payload_off = off;
	skel->rodata->limit = count;
	rc = live_gen_bpf__load(skel);
	if (rc < 0) {
		rc = fail("loading the program", rc);
		goto out;
	}
	for (unsigned i = 0; i < n_dst; i++)
		memcpy(skel->bss->dst[i], dst[i], 6);
	memcpy(skel->bss->head, frame, sizeof(skel->bss->head));
	run.data_size_in = spec.size;
	ctx.data_end = spec.size;

	arm(seconds);
	begin = now_ns();
	while (!stop && !rc && (!count || skel->bss->sent < count)) {
		uint64_t left = count ? (count - skel->bss->sent) * one_in : INT32_MAX;

		run.repeat = (int)MIN(left, (uint64_t)INT32_MAX);
		rc = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.live_gen), &run);
		if (rc == -EINTR)
			rc = 0;
	}
	elapsed = now_ns() - begin;
	if (rc < 0)
		rc = fail("running the program (live frames need kernel 5.18)", rc);
	printf("{\"sent\":%llu,\"seconds\":%.4f,\"fps\":%.0f}\n",
	       (unsigned long long)skel->bss->sent, (double)elapsed / 1e9,
	       (double)skel->bss->sent / ((double)elapsed / 1e9));
	if (count && skel->bss->sent < count)
		rc = 1;
out:
	live_gen_bpf__destroy(skel);
	return rc;
}
