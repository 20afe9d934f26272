// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost-move.c - a guest in one file, moved between two vhost-user sockets
 *
 * Does with a guest of its own what QEMU does with a real one: the dirty log is
 * switched on, all memory is copied while frames come in, then what is dirty, some
 * rounds; the rings are stopped, the rest is copied, and the guest goes on with the
 * copy at the other socket. So it can look at what QEMU only relies on: after the
 * last copy both memories must be equal, and stay so. What the guest itself writes
 * (descriptors, available rings) lies in pages of its own and is tracked here, as a
 * hypervisor does; used rings and buffers are the device's and must be in the log.
 *
 * The guest takes test frames (testframe.h) of one stream and notes which came. It
 * sends a broadcast when it begins and after each move, so that bridges learn where
 * it is and the transmit ring is moved as well. --moves are made --every ms; then it
 * serves on until SIGTERM, and prints one line of JSON.
 */
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <signal.h>

#include "../unit/front.h"
#include "common/util.h"
#include "prog.h"
#include "testframe.h"

#define NUM		128u
#define PAGE		4096u
#define RING(i)		(0x10000u * (1 + (i)))	/* descriptors; then the two rings */
#define AVAIL(i)	(RING(i) + PAGE)
#define USED(i)		(RING(i) + 2 * PAGE)
#define BUF(i)		(0x40000u + (i) * 2048u)
#define TX_BUF		0x30000u
#define HDR		12u
#define FRAME_LEN	60u
#define ROUNDS		3	/* of copying what is dirty while the guest runs */
#define SEQ_MAX		(1u << 24)
#define FEATURES	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |	\
			 BIT64(VHOST_USER_F_PROTOCOL))
#define PROTOCOL	(BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_LOG_SHMFD))
#define LOG_SIZE	((GUEST_GPA + GUEST_SIZE) / PAGE / 8 + 1)

struct options {
	const char *a, *b, *moves, *every, *mac;
	bool lazy, help;
};

static const struct opt table[] = {
	O("a", 'a', "PATH", a, "vhost-user socket where it begins"),
	O("b", 'b', "PATH", b, "the other one"),
	O("moves", 'n', "N", moves, "how often to move (default 1)"),
	O("every", 'e', "MS", every, "time between two moves (default 100)"),
	O("mac", 'm', "MAC", mac, "the guest's address (default 52:54:00:00:00:01)"),
	F("lazy", 'l', lazy, "the guest gives each of its 128 buffers once, and no more"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

/* The guest: its processor's state, and which memory it lives in. */
static struct {
	uint8_t mac[6];
	struct guest mem[2];
	struct front front[2];
	const char *path[2];
	int at;			/* host */
	uint16_t avail[2], used[2];	/* of the receive and the transmit ring */
	bool given[NUM];	/* receive buffers that the device has */
	bool lazy;
	bool dirty[GUEST_SIZE / PAGE];
	uint8_t *log;
	int log_fd;
} vm;

static struct {
	uint8_t seen[SEQ_MAX / 8];
	uint64_t received, other, doubled, reordered, highest, foreign, missed, late, log_pages;
	uint64_t last_ns, gap_ns, stop_ns;
} result;

static void fail(const char *what)
{
	fprintf(stderr, "vhost-move: %s\n", what);
	exit(1);
}

/* ---- the guest ------------------------------------------------------------------ */

static void *mem(uint32_t offset)
{
	return vm.mem[vm.at].mem + offset;
}

static void guest_writes(uint32_t offset)
{
	vm.dirty[offset / PAGE] = true;
}

static void give(int ring, uint16_t head, uint32_t offset, uint32_t len, uint16_t flags)
{
	struct ring_avail *a = mem(AVAIL(ring));
	struct ring_desc *d = mem(RING(ring));

	d[head] = (struct ring_desc){ GUEST_GPA + offset, len, flags, 0 };
	a->ring[vm.avail[ring] % NUM] = head;
	__atomic_store_n(&a->idx, ++vm.avail[ring], __ATOMIC_SEQ_CST);
	guest_writes(RING(ring));
	guest_writes(AVAIL(ring));
}

static void give_buffer(uint16_t i)
{
	vm.given[i] = true;
	give(0, i, BUF(i), 2048, RING_DESC_WRITE);
}

static void note(const uint8_t *frame)
{
	const struct test_payload *p = (const void *)(frame + ETH_HLEN);
	uint64_t seq = be64toh(p->seq), now = now_ns();

	if (memcmp(frame, vm.mac, 6) || p->magic != htonl(TEST_MAGIC) || seq >= SEQ_MAX) {
		result.other++;
		return;
	}
	if (result.seen[seq / 8] & 1u << seq % 8) {
		result.doubled++;
		return;
	}
	result.seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	result.reordered += seq < result.highest;
	result.highest = MAX(result.highest, seq);
	if (result.received++)
		result.gap_ns = MAX(result.gap_ns, now - result.last_ns);
	result.last_ns = now;
}

/* Take what has come. Return: whether there was anything. */
static bool guest_runs(void)
{
	struct ring_used *u = mem(USED(0));
	bool any = false;

	while (__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) != vm.used[0]) {
		uint32_t id = u->ring[vm.used[0]++ % NUM].id;

		any = true;
		/* Returns are those of this guest's rings, each once (L-4, L-5). */
		if (id >= NUM || !vm.given[id]) {
			result.foreign++;
			continue;
		}
		vm.given[id] = false;
		note((uint8_t *)mem(BUF(id)) + HDR);
		if (!vm.lazy)
			give_buffer((uint16_t)id);
	}
	if (any)
		front_kick(&vm.front[vm.at], 0);
	return any;
}

/* Wait a little for frames. */
static void guest_rests(void)
{
	struct pollfd p = { .fd = vm.front[vm.at].call[0], .events = POLLIN };

	if (!guest_runs() && poll(&p, 1, 1) > 0)
		front_events(p.fd);
}

/* One broadcast; there is never more than one under way. */
static void guest_sends(void)
{
	uint8_t *p = mem(TX_BUF);

	memset(p, 0, HDR + FRAME_LEN);
	memset(p + HDR, 0xff, 6);
	memcpy(p + HDR + 6, vm.mac, 6);
	p[HDR + 12] = TEST_ETHERTYPE >> 8;
	p[HDR + 13] = TEST_ETHERTYPE & 0xff;
	guest_writes(TX_BUF);
	give(1, vm.avail[1] % NUM, TX_BUF, HDR + FRAME_LEN, 0);
	front_kick(&vm.front[vm.at], 1);
}

static void guest_sent(void)
{
	struct ring_used *u = mem(USED(1));
	uint64_t end = now_ns() + FRONT_WAIT_MS * UINT64_C(1000000);

	while (__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) == vm.used[1]) {
		if (now_ns() > end)
			fail("the frame that the guest sent is not taken");
		guest_rests();
	}
	vm.used[1]++;
}

/* ---- the hypervisor --------------------------------------------------------------- */

static void say_rings(struct front *f, uint32_t flags)
{
	uint32_t i;

	for (i = 0; i < 2; i++) {
		struct { uint32_t index, flags; uint64_t desc, used, avail, log; } a = {
			i, flags, GUEST_UVA + RING(i), GUEST_UVA + USED(i), GUEST_UVA + AVAIL(i),
			GUEST_GPA + USED(i),
		};

		front_send(f, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
	}
}

/* As QEMU begins, or waits for a guest that comes. */
static void connect_to(int host)
{
	struct front *f = &vm.front[host];

	if (!front_connect(f, vm.path[host]) || !front_ask(f, VHOST_USER_GET_FEATURES, NULL, 0))
		fail("nobody serves the socket");
	front_protocol(f, PROTOCOL);
	front_send(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
}

static void start_at(int host, const uint32_t base[2])
{
	struct front *f = &vm.front[host];
	uint32_t i;

	vm.at = host;
	front_set(f, VHOST_USER_SET_FEATURES, FEATURES);
	front_mem(f, &vm.mem[host]);
	say_rings(f, 0);
	for (i = 0; i < 2; i++) {
		f->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		front_state(f, VHOST_USER_SET_VRING_NUM, i, NUM);
		front_state(f, VHOST_USER_SET_VRING_BASE, i, base[i]);
		front_ring_fd(f, VHOST_USER_SET_VRING_CALL, i, f->call[i]);
		front_ring_fd(f, VHOST_USER_SET_VRING_KICK, i, f->kick[i]);
	}
	for (i = 0; i < 2; i++)
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	if (!front_sync(f))
		fail("the rings were refused");
}

static void log_on(void)
{
	struct { uint64_t size, offset; } l = { .size = LOG_SIZE };
	struct front *f = &vm.front[vm.at];

	if (!front_send(f, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &vm.log_fd, 1) ||
	    !front_read(f))
		fail("SET_LOG_BASE is not answered");
	front_set(f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
	say_rings(f, 1);
	if (!front_sync(f))
		fail("logging was refused");
}

static void copy_page(uint32_t page, int to)
{
	memcpy(vm.mem[to].mem + page * PAGE, mem(page * PAGE), PAGE);
}

/* First the bit, then the page: what is written in between is marked again. */
static void copy_dirty(int to)
{
	uint32_t page;

	for (page = 0; page < GUEST_SIZE / PAGE; page++) {
		uint64_t n = GUEST_GPA / PAGE + page;
		uint8_t bit = (uint8_t)(1u << n % 8);
		bool logged = __atomic_fetch_and(&vm.log[n / 8], (uint8_t)~bit, __ATOMIC_SEQ_CST) &
			      bit;

		result.log_pages += logged;
		if (!logged && !vm.dirty[page])
			continue;
		vm.dirty[page] = false;
		copy_page(page, to);
	}
}

static uint64_t differing(int to)
{
	uint64_t n = 0;
	uint32_t page;

	for (page = 0; page < GUEST_SIZE / PAGE; page++)
		n += !!memcmp(vm.mem[to].mem + page * PAGE, mem(page * PAGE), PAGE);
	return n;
}

static void move(void)
{
	uint32_t base[2], i, page, s[2] = { 0, 0 };
	struct front *from = &vm.front[vm.at];
	int to = !vm.at, round;
	uint64_t began;

	connect_to(to);
	log_on();
	for (page = 0; page < GUEST_SIZE / PAGE; page++) {
		copy_page(page, to);
		if (page % 16 == 0)
			guest_rests();
	}
	for (round = 0; round < ROUNDS; round++) {
		copy_dirty(to);
		guest_rests();
	}
	/* The processor has stopped; the device goes on until it answers. */
	began = now_ns();
	for (i = 0; i < 2; i++) {
		s[0] = i;
		if (!front_ask(from, VHOST_USER_GET_VRING_BASE, s, sizeof(s)))
			fail("GET_VRING_BASE is not answered");
		base[i] = from->in.state.num;
	}
	result.stop_ns = MAX(result.stop_ns, now_ns() - began);
	copy_dirty(to);
	result.missed += differing(to);
	usleep(2000);
	result.late += differing(to);
	start_at(to, base);
	front_end(from, 1);
	guest_sends();
	guest_sent();
}

/* ---- all of it ---------------------------------------------------------------------- */

static void vm_open(void)
{
	const uint32_t base[2] = { 0, 0 };
	uint16_t i;

	guest_open(&vm.mem[0]);
	guest_open(&vm.mem[1]);
	vm.log_fd = memfd_create("log", MFD_CLOEXEC);
	if (vm.log_fd < 0 || ftruncate(vm.log_fd, LOG_SIZE) < 0)
		abort();
	vm.log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vm.log_fd, 0);
	if (vm.log == MAP_FAILED)
		abort();
	connect_to(0);
	for (i = 0; i < NUM; i++)
		give_buffer(i);
	start_at(0, base);
	guest_sends();
	guest_sent();
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct options o = { .mac = "52:54:00:00:00:01" };
	struct vmq_err err = VMQ_ERR_INIT;
	uint64_t moves, every, next;
	uint64_t made = 0;
	int rc;

	opts_parse(table, &o, &argc, argv, &err);
	rc = prog_status("vhost-move", table, argc, &err, o.help,
			 o.a && o.b ? NULL : "--a and --b are needed");
	if (rc >= 0)
		return rc;
	moves = test_number(o.moves, "number of moves", 0, 100000, 1);
	every = test_number(o.every, "time between moves", 0, 100000, 100) * UINT64_C(1000000);
	test_mac(o.mac, vm.mac);
	vm.lazy = o.lazy;
	vm.path[0] = o.a;
	vm.path[1] = o.b;
	sigaction(SIGTERM, &sa, NULL);
	vm_open();
	puts("ready");
	fflush(stdout);
	for (next = now_ns() + every; !stop; guest_rests()) {
		if (made == moves || now_ns() < next)
			continue;
		move();
		next = now_ns() + every;
		if (++made == moves) {
			puts("moved");
			fflush(stdout);
		}
	}
	while (guest_runs())
		;
	printf("{\"moves\":%llu,\"received\":%llu,\"other\":%llu,\"doubled\":%llu,\"reordered\":%llu,"
	       "\"foreign\":%llu,\"pages_logged\":%llu,\"pages_missed\":%llu,"
	       "\"pages_late\":%llu,\"gap_ms\":%.1f,\"stop_ms\":%.1f}\n",
	       (unsigned long long)made, (unsigned long long)result.received,
	       (unsigned long long)result.other, (unsigned long long)result.doubled, (unsigned long long)result.reordered,
	       (unsigned long long)result.foreign, (unsigned long long)result.log_pages,
	       (unsigned long long)result.missed, (unsigned long long)(result.late - result.missed),
	       (double)result.gap_ns / 1e6, (double)result.stop_ns / 1e6);
	return 0;
}
