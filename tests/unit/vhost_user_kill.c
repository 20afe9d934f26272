// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_kill.c - the service is killed, again and again, under a guest that goes on
 *
 * The service is a child that moves frames as fast as it can, and gets SIGKILL at any
 * moment. The guest lives here: its memory stays, and its front end comes again as QEMU
 * does (virtio_queue_restore_last_avail_idx()), telling the used index of the ring as the
 * place to go on; of a packed ring it tells what it said at first. There is no record of what was in flight (INFLIGHT_SHMFD). Buffers
 * must come back each once and in order, and no frame be there twice, in either
 * direction; frames that the dead service had in its hands may be lost.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "vm.h"

#define KILLS	100	/* with rings of either layout */
#define FRAMES	(1u << 20)
#define LEN	900u
#define RX_BUF(i)	(0x10000u + (i) * 0x800u)
#define TX_BUF(i)	(0x20000u + (i) * 0x800u)

/* What outlives the service, and is nobody's ring. */
static struct {
	uint32_t next;		/* number of the next frame to the guest */
	uint32_t alive;		/* batches of this child */
	uint32_t odd;		/* frames of the guest that were damaged */
	uint8_t seen[FRAMES];	/* how often each frame of the guest came out */
} *shared;

static uint64_t features = FEATURES;

struct way {
	struct driver *d;
	uint16_t used;		/* entries that came back: also the number of the next buffer */
	uint32_t next;		/* transmit: number of the next frame */
	uint32_t highest;	/* receive: number of the last frame + 1 */
	uint32_t disordered, damaged, doubled, frames;
};

/* A frame's number is all over it, so that one of two writers shows. */
static void fill(uint8_t *p, uint32_t number)
{
	for (uint32_t i = 0; i < LEN; i += 4)
		memcpy(p + i, &number, 4);
}

static bool is_whole(const uint8_t *p, uint32_t *number)
{
	memcpy(number, p, 4);
	for (uint32_t i = 0; i < LEN; i += 4)
		if (memcmp(p + i, number, 4))
			return false;
	return true;
}

/* ---- the service ------------------------------------------------------------ */

static void serve_rx(struct channel *ch)
{
	static uint8_t data[8][LEN];
	uint32_t first = shared->next;
	struct channel_rx res = { 0 };
	struct frame f[8];
	int i;

	for (i = 0; i < 8; i++) {
		fill(data[i], first + (uint32_t)i);
		f[i] = (struct frame){ .part = { { data[i], LEN } }, .parts = 1, .len = LEN };
	}
	/* Those that a kill leaves in the guest shall not be given to others. */
	store_relaxed(&shared->next, first + 8);
	ch->ops->rx_burst(ch, 0, f, 8, &res);
	store_relaxed(&shared->next, first + res.delivered);
}

static void serve_tx(struct channel *ch)
{
	static uint8_t data[8][2048];
	struct frame_buf buf[8];
	uint32_t number;
	int i, n;

	for (i = 0; i < 8; i++)
		buf[i] = (struct frame_buf){ .data = data[i], .room = 2048 };
	n = ch->ops->tx_burst(ch, 0, buf, 8);
	for (i = 0; i < n; i++) {
		if (is_rarp(&buf[i], data[i]))
			continue;
		if (buf[i].len == LEN && is_whole(data[i], &number) && number < FRAMES)
			shared->seen[number]++;
		else
			shared->odd++;
	}
}

static void serve(void)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (vm_open(&vm, "kill", 1, &err))
		_exit(1);
	for (;;) {
		serve_rx(vm.ch);
		serve_tx(vm.ch);
		shared->alive++;
	}
}

/* ---- the guest ---------------------------------------------------------------- */

static void offer(struct way *w, bool tx)
{
	uint16_t i = w->d->next % FRONT_NUM;
	uint32_t at = tx ? TX_BUF(i) : RX_BUF(i);

	if (tx) {
		memset(vm.g.mem + at, 0, HDR);
		fill(vm.g.mem + at + HDR, w->next++);
	} else {
		memset(vm.g.mem + at, 0xee, HDR + LEN);
	}
	driver_give(w->d, at, tx ? HDR + LEN : 0x800, tx ? 0 : RING_DESC_WRITE);
}

static void look_rx(struct way *w, const struct ring_used_elem *e)
{
	uint32_t number;

	if (e->len != HDR + LEN || !is_whole(vm.g.mem + RX_BUF(e->id) + HDR, &number)) {
		w->damaged++;
		return;
	}
	w->doubled += number < w->highest;
	w->highest = MAX(w->highest, number + 1);
}

/* Take back what was used; it is offered again at once. Return: was there any? */
static bool guest_turn(struct way *w, bool tx)
{
	struct ring_used_elem *e = driver_used_next(w->d);

	if (!e)
		return false;
	w->frames++;
	if (e->id != w->used++ % FRONT_NUM)
		w->disordered++;
	else if (!tx)
		look_rx(w, e);
	if (w->next < FRAMES)
		offer(w, tx);
	return true;
}

static bool guest_comes_again(void)
{
	uint64_t end = now_ns() + FRONT_WAIT_MS * UINT64_C(1000000);
	int i;

	while (!front_connect(&vm.f, vm.path)) {
		close(vm.f.fd);
		if (now_ns() > end)
			return false;
		usleep(200);
	}
	front_protocol(&vm.f, PROTOCOL);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, features);
	front_mem(&vm.f, &vm.g);
	for (i = 0; i < 2; i++) {
		struct driver *d = &vm.f.ring[i];

		/* First, as QEMU does: what a ring sends that is not enabled is dropped. */
		front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, (uint32_t)i, 1);
		front_ring(&vm.f, (uint32_t)i, d->packed ? FRONT_FRESH_PACKED : d->used->idx);
	}
	return front_sync(&vm.f);
}

/* One life of the service. Return: it did something. */
static bool life(struct way *rx, struct way *tx, uint64_t ns)
{
	uint64_t end = now_ns() + 10 * UINT64_C(1000000000), until = UINT64_MAX;
	uint32_t before = rx->frames + tx->frames;
	pid_t pid = fork();
	bool up;

	if (!pid)
		serve();
	up = pid > 0 && guest_comes_again();
	while (up && now_ns() < MIN(until, end)) {
		bool received = guest_turn(rx, false), sent = guest_turn(tx, true);

		if ((received || sent) && until == UINT64_MAX)
			until = now_ns() + ns;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(vm.f.fd);
	return up && rx->frames + tx->frames > before;
}

static void guest_opens(struct way *rx, struct way *tx)
{
	int i;

	guest_open(&vm.g);
	for (i = 0; i < 2; i++) {
		vm.f.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (features & BIT64(VIRTIO_F_RING_PACKED))
			driver_open_packed(&vm.f.ring[i], &vm.g, FRONT_NUM, FRONT_RING(i), 0);
		else
			driver_open(&vm.f.ring[i], &vm.g, FRONT_NUM, FRONT_RING(i));
	}
	rx->d = &vm.f.ring[0];
	tx->d = &vm.f.ring[1];
	for (i = 0; i < (int)FRONT_NUM; i++) {
		offer(rx, false);
		offer(tx, true);
	}
}

static void test_kills(void)
{
	struct way rx = { .next = 0 }, tx = { .next = 0 };
	uint32_t lives = 0, twice = 0, gone = 0, i;

	memset(shared, 0, sizeof(*shared));
	guest_opens(&rx, &tx);
	for (i = 0; i < KILLS; i++)
		lives += life(&rx, &tx, (uint64_t)random() % 3000000);
	for (i = 0; i < tx.next; i++) {
		twice += shared->seen[i] > 1;
		gone += !shared->seen[i];
	}
	is_int(lives, KILLS, "kill: the guest goes on after each");
	is_int(rx.disordered + tx.disordered, 0,
	       "kill: each buffer comes back once and in order, of %u and %u", rx.frames, tx.frames);
	is_int(rx.damaged, 0, "kill: what the guest was given is whole");
	is_int(shared->odd, 0, "kill: and what it sent");
	is_int(twice, 0, "kill: nothing that it sent comes out twice");
	ok(gone <= FRONT_NUM + KILLS * 8, "kill: a batch of it is lost at most: %u", gone);
	is_int(rx.doubled, 0, "kill: and nothing is in the guest twice");
	for (i = 0; i < 2; i++) {
		close(vm.f.kick[i]);
		close(vm.f.call[i]);
		close(vm.f.err[i]);
	}
	guest_close(&vm.g);
}

int main(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || !mkdtemp(dir))
		return 1;
	unit_arm();
	srandom(5);
	snprintf(vm.path, sizeof(vm.path), "%s/kill", dir);
	unit.note = "split";
	test_kills();
	features |= BIT64(VIRTIO_F_RING_PACKED);
	unit.note = "packed";
	test_kills();
	unit.note = NULL;
	unlink(vm.path);
	rmdir(dir);
	return unit_done();
}
