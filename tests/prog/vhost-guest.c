// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost-guest.c - the smallest virtual machine: a vhost-user front end that
 * throws frames away, or sends them
 *
 * For measuring back ends: any that speaks vhost-user gets the same guest. It
 * costs as little as a guest can. It asks for no interrupts and sends no kicks
 * unless the back end wants them: it looks at its rings every LOOK_US, so that it
 * can share a CPU with the load generator. Each ring has buffers of its own, as
 * a real guest's are, so that they go through the caches.
 *
 * With --send it fills its transmit ring whenever it looks, for --seconds from the
 * first frame that is taken on, and prints a line like live-gen's; otherwise it runs until a signal. Frames received
 * are counted in --count's file, as a native 64-bit number.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "../unit/front.h"
#include "common/util.h"
#include "prog.h"
#include "testframe.h"

#define LOOK_US		50
#define TAKE_NS		5000000000u	/* to wait for the back end, and for its first frame */
#define ENTRIES		1024u
#define BUF_SIZE	2048u
#define HDR		((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define RING_SIZE	0x8000u		/* of a ring of ENTRIES, with room to spare */
#define BUF_AT(ring, i)	(2 * RING_SIZE + ((ring) * ENTRIES + (i)) * BUF_SIZE)
#define MEMORY		BUF_AT(2u, 0u)
#define FEATURES	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_NET_F_MRG_RXBUF) | \
			 BIT64(VHOST_USER_F_PROTOCOL))

struct options {
	const char *socket, *count, *send, *src, *size, *seconds, *cpu;
	bool help;
};

static const struct opt table[] = {
	O("socket", 's', "PATH", socket, "the back end listens there"),
	O("count", 'c', "FILE", count, "count what is received there"),
	O("send", 0, "MAC", send, "send frames to this address"),
	O("src", 0, "MAC", src, "source (default 52:54:00:00:00:00)"),
	O("size", 0, "BYTES", size, "size of a frame, without FCS (default 64)"),
	O("seconds", 't', "SECONDS", seconds, "how long to send (default 1)"),
	O("cpu", 0, "N", cpu, "run on this CPU"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

static int fail(const char *what)
{
	fprintf(stderr, "vhost-guest: %s\n", what);
	return 1;
}

static bool mem_table(struct front *f, const struct guest *g)
{
	struct { uint32_t n, pad; struct vhost_user_region r; } m = {
		.n = 1, .r = { .gpa = GUEST_GPA, .size = MEMORY, .uva = GUEST_UVA },
	};

	return front_send(f, VHOST_USER_SET_MEM_TABLE, 0, &m, sizeof(m), &g->fd, 1);
}

/* Features, memory, rings. All buffers of both rings have one descriptor each. */
static bool begin(struct front *f, struct guest *g)
{
	uint64_t offered;

	if (!front_ask(f, VHOST_USER_GET_FEATURES, NULL, 0))
		return false;
	offered = f->in.u64;
	if ((offered & FEATURES) != FEATURES ||
	    !front_ask(f, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0))
		return false;
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, 0);
	front_send(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	front_set(f, VHOST_USER_SET_FEATURES, FEATURES);
	mem_table(f, g);
	for (uint32_t i = 0; i < 2; i++) {
		struct driver *d = &f->ring[i];

		f->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		driver_open(d, g, ENTRIES, i * RING_SIZE);
		d->avail->flags = RING_AVAIL_NO_INTERRUPT;
		for (uint32_t k = 0; k < ENTRIES; k++)
			d->desc[k] = (struct ring_desc){
				.addr = GUEST_GPA + BUF_AT(i, k), .len = BUF_SIZE,
				.flags = i ? 0 : RING_DESC_WRITE,
			};
		front_ring(f, i, 0);
	}
	for (uint32_t i = 0; i < 2; i++)
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	return front_sync(f);
}

/* Offer @n buffers from @head on: they come back in the order they went out. */
static void offer(struct front *f, int ring, uint16_t *head, uint32_t n)
{
	struct driver *d = &f->ring[ring];
	uint16_t idx = d->avail->idx;

	for (uint32_t i = 0; i < n; i++, (*head)++, idx++)
		d->avail->ring[idx % ENTRIES] = *head % ENTRIES;
	__atomic_store_n(&d->avail->idx, idx, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (n && !(load_relaxed(&d->used->flags) & RING_USED_NO_NOTIFY))
		front_kick(f, ring);
}

/* How many buffers the back end has used since the last time. */
static uint32_t used(struct driver *d)
{
	uint16_t n = (uint16_t)(__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) - d->seen);

	d->seen = (uint16_t)(d->seen + n);
	return n;
}

/* Look at each frame, as a driver does before it passes it on. */
static uint32_t receive(struct front *f, struct guest *g, uint16_t *head)
{
	struct driver *d = &f->ring[0];
	uint16_t from = d->seen;
	uint32_t n = used(d), sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = d->used->ring[(uint16_t)(from + i) % ENTRIES].id % ENTRIES;

		sum += g->mem[BUF_AT(0, id) + HDR];
	}
	__asm__ volatile("" : : "r"(sum));
	offer(f, 0, head, n);
	return n;
}

static void rest(void)
{
	struct timespec ts = { .tv_nsec = LOOK_US * 1000 };

	nanosleep(&ts, NULL);
}

static int run_send(struct front *f, struct guest *g, const struct options *o)
{
	double seconds = o->seconds ? strtod(o->seconds, NULL) : 1;
	struct test_spec spec = { .src = { 0x52, 0x54 } };
	uint64_t sent = 0, start, end, now;
	uint16_t head = 0, rx_head = 0;
	uint8_t frame[TEST_FRAME_MAX];
	uint32_t have = ENTRIES;

	spec.size = (unsigned)test_number(o->size, "--size", 60, BUF_SIZE - HDR, 64);
	if (o->src)
		test_mac(o->src, spec.src);
	test_build(&spec, frame);
	test_mac(o->send, frame);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		memset(g->mem + BUF_AT(1, i), 0, HDR);
		memcpy(g->mem + BUF_AT(1, i) + HDR, frame, spec.size);
		f->ring[1].desc[i].len = HDR + spec.size;
	}
	offer(f, 0, &rx_head, ENTRIES);
	/* The clock starts when the back end has begun to take frames. */
	offer(f, 1, &head, 1);
	start = now_ns();
	while (!stop && !used(&f->ring[1])) {
		if (now_ns() - start > TAKE_NS)
			return fail("nobody takes a frame");
		rest();
	}
	start = now = now_ns();
	end = start + (uint64_t)(seconds * 1e9);
	while (!stop && now < end) {
		offer(f, 1, &head, have);
		sent += have;
		receive(f, g, &rx_head);
		rest();
		have = used(&f->ring[1]);
		now = now_ns();
	}
	printf("{\"sent\":%llu,\"seconds\":%.4f}\n", (unsigned long long)sent,
	       (double)(now - start) / 1e9);
	return 0;
}

static int run_receive(struct front *f, struct guest *g, const struct options *o)
{
	uint64_t *count, nothing = 0;
	uint16_t head = 0;
	int fd;

	fd = open(o->count ? o->count : "/dev/null", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail("cannot open --count");
	count = ftruncate(fd, 8) ? &nothing :
		mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (count == MAP_FAILED)
		return fail("cannot map --count");
	offer(f, 0, &head, ENTRIES);
	*count = 0;
	puts("ready");
	fflush(stdout);
	while (!stop) {
		*count += receive(f, g, &head);
		rest();
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { 0 };
	struct guest g = { 0 };
	struct front f = { 0 };
	uint64_t start;
	int rc;

	opts_parse(table, &o, &argc, argv, &err);
	rc = prog_status("vhost-guest", table, argc, &err, o.help,
			 o.socket ? NULL : "--socket is needed");
	if (rc >= 0)
		return rc;
	if (o.cpu) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(test_number(o.cpu, "--cpu", 0, CPU_SETSIZE - 1, 0), &set);
		if (sched_setaffinity(0, sizeof(set), &set) < 0)
			return fail("cannot run on --cpu");
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	g.fd = memfd_create("guest", MFD_CLOEXEC);
	if (g.fd < 0 || ftruncate(g.fd, MEMORY) < 0)
		return fail("no memory for a guest");
	g.mem = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, g.fd, 0);
	if (g.mem == MAP_FAILED)
		return fail("no memory for a guest");
	memset(g.mem, 0, MEMORY);	/* all of it there before anything is measured */
	start = now_ns();
	while (!front_connect(&f, o.socket)) {
		close(f.fd);
		if (now_ns() - start > TAKE_NS)
			return fail("nobody listens at --socket");
		rest();
	}
	if (!begin(&f, &g))
		return fail("the back end lacks a feature, or ended the connection");
	rc = o.send ? run_send(&f, &g, &o) : run_receive(&f, &g, &o);
	front_end(&f, 1);
	return rc;
}
