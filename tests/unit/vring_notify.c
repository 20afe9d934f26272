// SPDX-License-Identifier: GPL-2.0-only
/*
 * vring_notify.c - no kick and no interrupt is lost
 *
 * First the two moments in which one could be: the device's store is held up, and the
 * guest does what it would have been told of.
 *
 * Then a guest and a device in two threads over one ring. Each works as long as there is
 * something to do, then asks to be told, looks once more, and sleeps; each tells the
 * other only if asked, as the virtio text says. One word lost, and both sleep until
 * their deadline. With a ring of few entries they wait for each other all the time.
 */
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>

#include "vring_rig.h"

#define FRAMES		4000u
#define DEADLINE_MS	20000
#define PLACE(i)	(BUF_AT + (i) * 512u)
#define RX_MAX		1500u

/* ---- the two moments ---------------------------------------------------------- */

#define LONG_NUM	512u	/* its used ring goes over the end of a page */
#define LONG_AT		400u	/* the entry to begin at, behind that */

static struct {
	uint8_t *page;		/* that the device cannot write just now */
	void (*fn)(void);
	bool was;
} hold;

static void on_write(int sig)
{
	(void)sig;
	mprotect(hold.page, 4096, PROT_READ | PROT_WRITE);
	hold.was = true;
	hold.fn();
}

/* Take frames; @fn is run right before the device first writes into the page of @at. */
static int take_held(int n, void *at, void (*fn)(void))
{
	struct sigaction sa = { .sa_handler = on_write }, before;

	hold.page = (uint8_t *)((uintptr_t)at & ~(uintptr_t)4095);
	hold.fn = fn;
	hold.was = false;
	mprotect(hold.page, 4096, PROT_READ);
	sigaction(SIGSEGV, &sa, &before);
	n = take(n);
	sigaction(SIGSEGV, &before, NULL);
	mprotect(hold.page, 4096, PROT_READ | PROT_WRITE);
	return n;
}

static void send_one(void)
{
	driver_give(&d, put_frame(slot(4), 60, 1), HDR + 60, 0);
}

static void want_interrupt(void)
{
	if (r.features & F(RING_F_EVENT_IDX))
		driver_set_event(&d, d.seen);
	else if (d.packed)
		*d.driver = 0;
	else
		d.avail->flags = 0;
}

static void test_moments(void)
{
	for (int events = 0; events < 2; events++) {
		const char *how = events ? "event index" : "flags";
		void *wish, *used;

		begin(BASIC | (events ? F(RING_F_EVENT_IDX) : 0), LONG_NUM, LONG_AT);
		wish = d.packed ? r.packed.device : (void *)r.split.used;
		if (!d.packed && events)
			wish = &r.split.used->ring[LONG_NUM];
		used = d.packed ? &r.packed.desc[LONG_AT + 3] : (void *)&r.split.used->idx;
		send_one();
		/* The batch ends with it, so the device has not asked yet. */
		ok(take(1) == 1 && driver_used_next(&d), "%s: a frame is taken", how);
		is_int(take_held(1, wish, send_one), 1,
		       "%s: one that came before the wish for a kick is found", how);
		ok(hold.was && driver_used_next(&d), "%s: without a kick", how);

		interrupts();
		if (d.packed || !events)
			driver_no_interrupts(&d);
		else
			driver_set_event(&d, (uint16_t)(d.seen - 2));
		send_one();
		ok(take(1) == 1 && driver_used_next(&d) && !interrupts(),
		   "%s: no interrupt is wanted", how);
		send_one();
		is_int(take_held(1, used, want_interrupt), 1,
		       "%s: one is wanted right before the frame is given back", how);
		ok(hold.was && interrupts() == 1 && driver_used_next(&d), "%s: and there", how);
	}
}

/* ---- two threads -------------------------------------------------------------- */

static struct {
	bool tx, events;	/* direction; with the event index */
	int kick;
	bool asleep;		/* for ever: nobody told the device */
	uint32_t came;		/* frames at the device */
	uint32_t bad;
} dev;

/* ---- the device -------------------------------------------------------------- */

static void device_take(void)
{
	int n, i;

	do {
		n = take(7);
		for (i = 0; i < n; i++)
			dev.bad += buf[i].fault || buf[i].len != 60 ||
				   out[i][0] != (uint8_t)dev.came++;
	} while (n);
}

/* As many frames as there is room for. */
static void device_give(void)
{
	static uint8_t data[3][RX_MAX];
	struct channel_rx res;
	struct frame f[3];
	int n, i;

	do {
		n = MIN(3, (int)(FRAMES - dev.came));
		for (i = 0; i < n; i++) {
			memset(data[i], (int)(dev.came + (uint32_t)i) & 0xff, 60);
			f[i] = frame_of(data[i], 60 + (dev.came + (uint32_t)i) * 37 % (RX_MAX - 60));
		}
		i = n ? give(f, n, &res) : 0;
		dev.came += (uint32_t)i;
	} while (i);
}

static void *device(void *arg)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(ep, EPOLL_CTL_ADD, dev.kick, &ev);
	for (;;) {
		if (dev.tx)
			device_take();
		else
			device_give();
		if (dev.came == FRAMES || vring_reason(&r))
			break;
		if (epoll_wait(ep, &ev, 1, DEADLINE_MS) == 1)
			continue;
		dev.asleep = true;
		break;
	}
	close(ep);
	return arg;
}

/* ---- the guest --------------------------------------------------------------- */

static uint16_t guest_made(void)
{
	return d.packed ? d.next : d.avail->idx;
}

/* Make entries available, as there is room and as is left. Return: there was something. */
static bool guest_make(uint32_t *sent)
{
	uint16_t old = guest_made(), at;
	uint64_t one = 1;
	bool wanted;

	while ((uint16_t)(guest_made() - d.seen) < d.num && (!dev.tx || *sent < FRAMES)) {
		uint32_t place = PLACE(d.next % d.num);

		if (dev.tx) {
			memset(g.mem + place, 0, HDR);
			g.mem[place + HDR] = (uint8_t)(*sent)++;
			driver_give(&d, place, HDR + 60, 0);
		} else {
			driver_give(&d, place, 512, RING_DESC_WRITE);
		}
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	wanted = !dev.events && driver_may_kick(&d);
	for (at = old; dev.events && at != guest_made(); at++)
		wanted |= driver_is_event(&d, at);
	if (old != guest_made() && wanted && write(dev.kick, &one, sizeof(one)) < 0)
		abort();
	return old != guest_made();
}

/* Take back what was used. Return: there was something. */
static bool guest_reap(uint32_t *got)
{
	struct ring_used_elem *e;
	bool any = false;
	uint32_t count;

	for (; (e = driver_used_next(&d)); any = true) {
		if (dev.tx)
			continue;
		count = g.mem[PLACE(e->id % d.num) + 10];
		dev.bad += g.mem[PLACE(e->id % d.num) + HDR] != (uint8_t)(*got)++;
		for (; count > 1; count--)
			dev.bad += !driver_used_next(&d);
	}
	return any;
}

static void guest_interrupts(bool on)
{
	if (on)
		want_interrupt();
	else if (d.packed || !dev.events)
		driver_no_interrupts(&d);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Return: false: it slept for ever. */
static bool guest_run(void)
{
	struct pollfd p = { .fd = r.call, .events = POLLIN };
	uint32_t sent = 0, got = 0;
	bool busy = true, told = true;

	guest_interrupts(false);
	while (told && (dev.tx ? sent < FRAMES || !driver_all_back(&d) : got < FRAMES)) {
		busy = guest_make(&sent);
		busy |= guest_reap(&got);
		if (busy)
			continue;
		guest_interrupts(true);
		told = driver_back(&d) || poll(&p, 1, DEADLINE_MS) == 1;
		guest_interrupts(false);
		interrupts();
	}
	return told;
}

/* ------------------------------------------------------------------------------- */

static bool test_ring(uint32_t num, bool tx, bool events)
{
	pthread_t thread;
	bool told;

	begin(BASIC | F(VIRTIO_NET_F_MRG_RXBUF) | (events ? F(RING_F_EVENT_IDX) : 0), num, 0);
	interrupts();
	memset(&dev, 0, sizeof(dev));
	dev.tx = tx;
	dev.events = events;
	dev.kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_create(&thread, NULL, device, NULL);
	told = guest_run();
	pthread_join(thread, NULL);
	close(dev.kick);
	return ok(told && !dev.asleep && !dev.bad && dev.came == FRAMES,
		  "%u frames %s, %u entries%s: %s", FRAMES, tx ? "sent" : "received", num,
		  events ? ", event index" : "", !told ? "an interrupt was lost" :
		  dev.asleep ? "a kick was lost" : dev.bad ? "a frame is not the one it was" :
		  "all are through");
}

static void test_rings(void)
{
	static const uint32_t nums[] = { 4, 12, 64 };
	uint32_t i, how;

	for (i = 0; i < ARRAY_SIZE(nums); i++) {
		if (nums[i] & (nums[i] - 1) && !layout)
			continue;
		for (how = 0; how < 4; how++)
			if (!test_ring(nums[i], how & 1, how & 2))
				return;		/* more would wait as long */
	}
}

int main(void)
{
	rig_open();
	with_layouts(test_moments);
	with_layouts(test_rings);
	rig_close();
	return unit_done();
}
