// SPDX-License-Identifier: GPL-2.0-only
/*
 * datapath.c - frames from a veth through rings to guests, and what can go wrong
 *
 * Sent equals delivered, in order; a guest without room loses its own frames
 * only; every frame is in one counter; queues end, move and come back.
 */
#include <poll.h>

#include "datapath/switch.h"
#include "datapath_rig.h"

#define RING	128
#define DEEP	4096
#define FRAMES	(4 * RING)	/* of an RX queue: four rings of that size */
#define BUFFERS	(FRAMES + RXQ_RESERVE)

static struct vmq_err err;

static bool balanced(const struct port_stats *s)
{
	return s->matched == s->delivered + port_stats_dropped(s) + s->in_flight;
}

static void test_delivery(void)
{
	struct port_pair_stats pair;
	struct queue a, b;
	struct port_stats s;
	bool sent = true;

	queue_up(&a, 0, RING);
	queue_up(&b, 1, RING);
	ok(port_has_rings(a.port) && port_id(b.port) == 2,
	   "two ports with rings on two RX queues say what they are");
	is_int(queue_rings(&a, RING, &err), -EBUSY, "R-10 rings cannot be opened twice");
	for (int i = 1; i <= 40; i++) {
		sent &= rig_send(0, i & 1, 100, OOB_NONE) && rig_send(1, i & 1, 50, OOB_PLAIN);
		rig_wait(load_acquire(&a.guest.got) == 100ULL * i &&
			 load_acquire(&b.guest.got) == 50ULL * i);
	}
	ok(sent, "6,000 frames are sent");
	ok(rig_wait(load_acquire(&a.guest.got) == 4000 && load_acquire(&b.guest.got) == 2000),
	   "delivered equals sent");
	ok(!a.guest.reordered && !b.guest.reordered && !a.guest.lost && !b.guest.lost,
	   "P-3 in order, none missing");
	queue_stats(&a, &s);
	ok(s.matched == 4000 && s.delivered == 4000 && !port_stats_dropped(&s) && !s.in_flight,
	   "matched = delivered, nothing dropped");
	port_get_pair_stats(a.port, 0, &pair);
	ok(pair.cpu == rig.cpu[0] && pair.delivered == 4000, "a pair knows its CPU and frames");
	queue_close(&b);
	ok(b.guest.closed, "the channel is closed with its port");
	ok(rig_send(1, 0, 10, OOB_NONE) && rig_seen(1) && rig.skel->bss->to_host[1] == 10,
	   "frames of a closed ring pass to the host");
	queue_close(&a);
}

/* Did the guest's last frame look like that behind its addresses? */
static bool saw(const struct queue *q, const char *want_head, uint32_t want_len)
{
	char head[16] = "";

	for (int i = 0; i < 4; i++)
		snprintf(head + 2 * i, 3, "%02x", q->guest.last[12 + i]);
	if (!strncmp(head, want_head, strlen(want_head)) && q->guest.last_len == want_len)
		return true;
	diag("got %s, %u bytes; expected %s, %u", head, q->guest.last_len, want_head, want_len);
	return false;
}

/* One frame with an OOB record and a tag or none; what the guest sees. */
static bool see(struct queue *q, int mode, int vlan, const char *want_head, uint32_t want_len)
{
	uint64_t got = load_acquire(&q->guest.got);
	uint8_t f[RIG_FRAME];

	return rig_send_frame(f, rig_build(f, q->slot, 0, mode, vlan)) &&
	       rig_wait(load_acquire(&q->guest.got) == got + 1) && saw(q, want_head, want_len);
}

/* The same without a tag, and the guest has room only when its frame has been looked at. */
static bool see_late(struct queue *q, int mode, const char *want_head, uint32_t want_len)
{
	uint64_t got = load_acquire(&q->guest.got), looks = load_acquire(&q->guest.bursts);
	uint8_t f[RIG_FRAME];

	store_release(&q->guest.room, 0);
	if (!rig_send_frame(f, rig_build(f, q->slot, 0, mode, -1)) ||
	    !rig_wait(load_acquire(&q->guest.bursts) > looks))
		return false;
	store_release(&q->guest.room, UINT32_MAX);
	guest_kick(&q->guest, 0);
	return rig_wait(load_acquire(&q->guest.got) == got + 1) && saw(q, want_head, want_len);
}

static void test_oob(void)
{
	bool sent = true, stale = false;
	struct queue q;
	uint64_t got;

	queue_up(&q, 2, RING);
	rig_pin(0);
	ok(see(&q, OOB_NONE, -1, "88b5", 64) && see(&q, OOB_NONE, 0x64, "81000064", 64),
	   "without OOB a frame stays as it is");
	ok(see(&q, OOB_PLAIN, 0x64, "81000064", 64), "a port of any VLAN sees the tag");
	ok(see(&q, OOB_STRIP, 0x64, "88b5", 60), "OOB says strip: the tag is left out");
	ok(see(&q, OOB_STRIPPED, -1, "81006064", 68),
	   "M-6 a tag that the NIC took out is put back in");
	ok(see(&q, OOB_STRIPPED_AD, -1, "88a86064", 68), "M-6 an 802.1ad one as such");
	ok(see(&q, OOB_FOREIGN, 0x64, "81000064", 64), "P-7 another slot's OOB is not believed");
	ok(see_late(&q, OOB_STRIPPED, "81006064", 68), "M-6 also where the guest has no room at first");
	port_set_policy(q.port, 100, true);
	ok(see(&q, OOB_STRIPPED, -1, "88b5", 64), "an access port does not see it");
	/* Let every buffer have held an OOB record; none may be read again. */
	for (int i = 0; i < 2 * BUFFERS && sent; i += 64) {
		got = load_acquire(&q.guest.got);
		sent = rig_send_tagged(2, 0, 64, OOB_STRIP, 0x64) &&
		       rig_wait(load_acquire(&q.guest.got) == got + 64);
	}
	for (int i = 0; i < 2 * BUFFERS && sent && !stale; i++)
		stale = !see(&q, OOB_NONE, 0x64, "81000064", 64);
	ok(sent && !stale, "M-6 a frame without OOB never gets that of the buffer's last frame");

	/* The same where frames were not delivered. */
	for (int i = 0; i < 4 && sent; i++) {
		store_release(&q.guest.room, 0);
		sent = rig_send_tagged(2, 0, RING, OOB_STRIP, 0x64);
		queue_close(&q);
		queue_up(&q, 2, RING);
		port_set_policy(q.port, 100, true);
		rig_pin(0);
		for (int k = 0; k < BUFFERS && sent && !stale; k++)
			stale = !see(&q, OOB_NONE, 0x64, "81000064", 64);
	}
	ok(sent && !stale, "nor that of a frame that was discarded");
	queue_close(&q);
}

/* A port whose queue has no OOB records: the frame itself must do. */
static void test_no_oob(void)
{
	struct queue q;

	rig.no_oob = true;
	queue_up(&q, 2, RING);
	rig.no_oob = false;
	rig_pin(0);
	ok(see(&q, OOB_NONE, -1, "88b5", 64) && see(&q, OOB_NONE, 0x64, "81000064", 64),
	   "M-6 a port of any VLAN sees the tag, without OOB as well");
	ok(see(&q, OOB_STRIP, 0x64, "81000064", 64) && see(&q, OOB_STRIPPED, -1, "88b5", 64),
	   "and what lies in front of a frame is not believed");
	port_set_policy(q.port, 100, true);
	ok(see(&q, OOB_NONE, 0x64, "88b5", 60) && see(&q, OOB_NONE, -1, "88b5", 64),
	   "F-9 an access port does not see its tag");
	port_set_policy(q.port, VMQ_RULE_UNTAGGED, true);
	ok(see(&q, OOB_NONE, 0x6000, "88b5", 60), "F-4 an untagged port sees no priority tag");
	queue_close(&q);
}

/* Rings come and go, each with its whole quota, whoever had the frames before. */
static void test_frames_come_back(void)
{
	static const uint32_t ring[] = { FRAMES, RING / 2, 2 * RING };
	struct port_stats s;
	struct queue q;
	bool good = true;

	for (uint32_t i = 0; i < 12 && good; i++) {
		uint32_t entries = ring[i % ARRAY_SIZE(ring)];

		queue_up(&q, 3, entries);
		store_release(&q.guest.room, 0);
		good = rig_send(3, 0, entries + 64, OOB_NONE);
		queue_stats(&q, &s);
		good &= s.in_flight == entries && s.ring_full == 64 && !s.no_buffer && balanced(&s);
		if (!good)
			queue_show("full", &s);
		queue_close(&q);
	}
	ok(good, "P-13 a ring has its quota, however often the frames went from ring to ring");
}

static void test_quota(void)
{
	struct queue stalled, busy;
	struct port_stats s;
	uint64_t before;
	bool sent = true;

	queue_up(&stalled, 0, RING);
	queue_up(&busy, 1, RING);
	store_release(&stalled.guest.room, 0);
	for (int i = 0; i < 50; i++) {
		for (int q = 0; q < RIG_RXQS; q++) {
			sent &= rig_send(0, q, 100, OOB_NONE);
			sent &= rig_send(1, q, 64, OOB_NONE);
		}
		sent &= rig_wait(load_acquire(&busy.guest.got) == (uint64_t)(i + 1) * 128);
	}
	ok(sent && busy.guest.got == 6400 && !busy.guest.lost && !busy.guest.reordered,
	   "P-13 a stalled guest's neighbour gets all its frames, in order");
	queue_stats(&stalled, &s);
	queue_show("stalled", &s);
	ok(s.matched == 10000 && s.delivered == 0 && s.in_flight == RIG_RXQS * RING &&
	   s.ring_full == 10000 - RIG_RXQS * RING,
	   "P-13 the stalled guest has its quota in its rings and lost the rest");
	ok(!s.no_buffer && !s.redirect_failed && balanced(&s),
	   "P-13 FILL never ran dry; all frames are accounted for");

	before = rig_cpu_ns();
	struct timespec span = { .tv_nsec = 200000000 };
	nanosleep(&span, NULL);	/* a span in which nothing may happen */
	ok(rig_cpu_ns() - before < 20000000, "full rings of a stalled guest cost no CPU");

	store_release(&stalled.guest.room, 100);
	guest_kick(&stalled.guest, 0);
	ok(rig_wait(load_acquire(&stalled.guest.got) == 100), "P-5 a kick with room for 100 takes 100");
	store_release(&stalled.guest.room, UINT32_MAX);
	guest_kick(&stalled.guest, 0);
	ok(rig_wait(load_acquire(&stalled.guest.got) == RIG_RXQS * RING) &&
	   !stalled.guest.reordered && !stalled.guest.lost,
	   "and one with room for all takes the rest, in order");
	sent = rig_send(0, 0, 64, OOB_NONE);
	ok(sent && rig_wait(load_acquire(&stalled.guest.got) == RIG_RXQS * RING + 64),
	   "the guest is served again");
	queue_close(&stalled);
	queue_close(&busy);
}

static void test_resources(void)
{
	uint32_t free_before, free_after = 0;
	struct queue q[5];
	int i, rc = 0, fds;

	for (i = 0; i < 4; i++) {
		queue_open(&q[i], i, true);
		rc |= queue_rings(&q[i], i == 3 ? RING / 2 : RING, &err);
	}
	is_int(rc, 0, "four queues within the frames of an RX queue");
	queue_open(&q[4], 4, true);
	fds = unit_fds();
	free_before = rxq_frames_free(datapath_rxq(rig.dp, 1));
	is_int(queue_rings(&q[4], RING, &err), -ENOBUFS, "R-8 the next one is refused");
	ok(strstr(err.text, "2 RX queues x 128") && strstr(err.text, "64 of its 512"),
	   "and told the product: %s", err.text);
	free_after = rxq_frames_free(datapath_rxq(rig.dp, 1));
	ok(free_before == free_after && unit_fds() == fds && !port_has_rings(q[4].port),
	   "R-8 nothing half made");
	ok(rig_send(0, 0, 50, OOB_NONE) && rig_wait(load_acquire(&q[0].guest.got) == 50),
	   "R-8 the others go on");
	rxq_admit(datapath_rxq(rig.dp, 1), 1, &err);
	free_before = rxq_frames_free(datapath_rxq(rig.dp, 0));
	is_int(queue_rings(&q[4], RING / 2, &err), -ENOBUFS, "R-8 frames on one RX queue do not do");
	rxq_release(datapath_rxq(rig.dp, 1), 1);
	ok(rxq_frames_free(datapath_rxq(rig.dp, 0)) == free_before && unit_fds() == fds &&
	   rig_send(4, 0, 1, OOB_NONE) && rig.skel->bss->to_host[4] == 1,
	   "R-8 what was made on it is undone");
	is_int(queue_rings(&q[4], RING / 2, &err), 0, "a smaller ring fits");
	is_int(queue_rings(&q[3], 96, &err), -EBUSY, "it has its rings");
	port_rings_close(q[3].port, NULL);
	is_int(queue_rings(&q[3], 96, &err), -EINVAL, "a ring is a power of two");
	for (i = 0; i < 5; i++)
		queue_close(&q[i]);
	ok(rxq_frames_free(datapath_rxq(rig.dp, 0)) == FRAMES, "all frames come back");
}

static int drains_done;

static void drain_done(struct port_drain *d)
{
	(void)d;
	drains_done++;
}

/* Return: milliseconds until `done` ran; -1: it did not. */
static int drain(struct queue *q, struct port_drain *d, int ms)
{
	struct pollfd fd = { .fd = datapath_fd(rig.dp), .events = POLLIN };
	uint64_t began = now_ns();
	int before = drains_done;

	*d = (struct port_drain){ .deadline_ns = began + (uint64_t)ms * 1000000,
				  .done = drain_done };
	port_drain(q->port, d);
	while (drains_done == before && poll(&fd, 1, 5000) == 1)
		datapath_dispatch(rig.dp);
	if (drains_done != before + 1 || d->port != q->port)
		return -1;
	return (int)((now_ns() - began) / 1000000);
}

static void test_drain(void)
{
	struct port_drain d;
	struct port_stats s;
	struct queue q;
	int ms;

	queue_up(&q, 0, RING);
	ms = drain(&q, &d, 2000);
	ok(ms >= 0 && ms < 1000 && !d.delivered && !d.discarded, "empty rings are drained at once");

	q.guest.slow_ns = 20000;
	for (int r = 0; r < RIG_RXQS; r++)
		rig_send(0, r, 100, OOB_NONE);
	ms = drain(&q, &d, 2000);
	ok(ms >= 0 && ms < 1000 && d.discarded == 0 && q.guest.got == 200,
	   "a drain delivers what a slow guest takes (%llu in the drain, %d ms)",
	   (unsigned long long)d.delivered, ms);
	q.guest.slow_ns = 0;

	store_release(&q.guest.room, 0);
	for (int r = 0; r < RIG_RXQS; r++)
		rig_send(0, r, 100, OOB_NONE);
	store_release(&q.guest.room, 30);
	ms = drain(&q, &d, 100);
	ok(ms >= 99 && ms < 1000 && q.guest.got == 230 && d.discarded == 170,
	   "L-2 a stalled guest's frames are discarded at the deadline (%d ms: %llu and %llu)", ms,
	   (unsigned long long)d.delivered, (unsigned long long)d.discarded);
	queue_stats(&q, &s);
	ok(s.matched == 400 && s.delivered == 230 && s.discarded == 170 && balanced(&s) &&
	   !s.redirect_failed, "and counted");
	store_release(&q.guest.room, UINT32_MAX);
	guest_kick(&q.guest, 0);
	for (int r = 0; r < RIG_RXQS; r++)
		rig_send(0, r, 5, OOB_NONE);
	ok(rig_wait(load_acquire(&q.guest.got) == 240) && q.guest.lost == 170,
	   "S-5 what was discarded is never delivered later; the rings work on");

	port_set_paused(q.port, true);
	rig_send(0, 0, 50, OOB_NONE);
	guest_kick(&q.guest, 0);
	ms = drain(&q, &d, 3000);
	ok(ms >= 0 && ms < 1000 && d.discarded == 50 && d.delivered == 0,
	   "a paused guest's frames are discarded at once");
	rig_send(0, 0, 20, OOB_NONE);
	ok(load_acquire(&q.guest.got) == 240 && !q.guest.touched,
	   "P-6 a paused guest's memory is not touched");
	port_set_paused(q.port, false);
	ok(rig_wait(load_acquire(&q.guest.got) == 260) && !q.guest.touched,
	   "and it gets what waits in the rings when it goes on");

	/* Rings closed in the middle of a drain. */
	store_release(&q.guest.room, 0);
	rig_send(0, 1, 40, OOB_NONE);
	d = (struct port_drain){ .deadline_ns = now_ns() + 10000000000ULL, .done = drain_done };
	drains_done = 0;
	port_drain(q.port, &d);
	port_rings_close(q.port, NULL);
	datapath_dispatch(rig.dp);
	queue_stats(&q, &s);
	ok(drains_done == 1 && d.discarded == 40 && s.discarded == 260 && balanced(&s) &&
	   !s.redirect_failed, "closing the rings ends a drain; the banked counts stay");
	queue_rings(&q, RING, &err);
	rig_send(0, 0, 30, OOB_NONE);
	port_rings_close(q.port, NULL);
	queue_stats(&q, &s);
	ok(s.discarded == 290 && !s.in_flight && balanced(&s) && !s.redirect_failed,
	   "rings closed without a drain account for what they held");
	queue_close(&q);
}

struct traffic {
	struct queue *q;
	uint64_t sent;
	bool stop;
};

/* Keep at most half a ring under way, so that every loss is a fault. */
static void *traffic_run(void *arg)
{
	struct traffic *t = arg;
	uint8_t f[RIG_FRAME];

	rig_pin(1);
	while (!load_acquire(&t->stop)) {
		if (t->sent - load_acquire(&t->q->guest.got) >= RING / 2) {
			sched_yield();
			continue;
		}
		if (rig_send_frame(f, rig_build(f, t->q->slot, 1, OOB_NONE, -1)))
			store_release(&t->sent, t->sent + 1);
	}
	return NULL;
}

static void test_move(void)
{
	struct traffic t = { .stop = false };
	int moves, rc = 0, served = 0;
	pthread_t thread;
	struct queue q;

	queue_up(&q, 0, RING);
	is_int(port_set_cpu(q.port, 0, 1023, &err), -EINVAL, "R-3 no move to a CPU without worker");
	t.q = &q;
	pthread_create(&thread, NULL, traffic_run, &t);
	for (moves = 0; moves < 400 && !rc; moves++) {
		uint64_t got = load_acquire(&q.guest.got);

		rc = port_set_cpu(q.port, 0, rig.cpu[(moves + 1) & 1], &err);
		served += rig_wait(load_acquire(&q.guest.got) > got);
	}
	store_release(&t.stop, true);
	pthread_join(thread, NULL);
	ok(!rc && served == 400, "R-13 400 moves; the pair is served after each");
	rig_wait(load_acquire(&q.guest.got) == t.sent);
	ok(q.guest.got == t.sent && !q.guest.lost, "R-13 none of %llu frames is lost",
	   (unsigned long long)t.sent);
	is_int(q.guest.reordered, 0, "R-13 none is reordered");
	guest_kick(&q.guest, 0);
	store_release(&q.guest.room, 0);
	queue_close(&q);
}

static void test_overload(void)
{
	struct port_stats s;
	struct queue q[2];
	uint8_t f[RIG_FRAME];
	int i;

	for (i = 0; i < 2; i++) {
		queue_up(&q[i], i, RING);
		q[i].guest.slow_ns = 3000;
	}
	for (int r = 0; r < RIG_RXQS; r++) {
		rig_pin(r);
		for (i = 0; i < 60000; i++)
			rig_send_frame(f, rig_build(f, i & 1, r, OOB_PLAIN, -1));
	}
	for (i = 0; i < 2; i++) {
		ok(rig_wait((queue_stats(&q[i], &s), !s.in_flight)), "the rings run empty");
		queue_show("overload", &s);
		ok(s.ring_full > 0 && s.delivered == q[i].guest.got, "there was overload");
		is_int(s.redirect_failed, 0, "the kernel refused nothing uncounted");
		is_int(s.matched, rig.skel->bss->redirected[i] - q[i].base.redirected,
		       "matched is what the program counted");
		ok(s.matched == s.delivered + port_stats_dropped(&s),
		   "matched = delivered + dropped at rest");
		queue_close(&q[i]);
	}
}

static void test_reopen(void)
{
	int i, rc = 0, fds;
	struct queue q;

	queue_up(&q, 0, RING);
	port_rings_close(q.port, NULL);
	fds = unit_fds();
	for (i = 0; i < 50 && !rc; i++) {
		rc = queue_rings(&q, RING, &err);
		if (!rc && (!rig_send(0, i & 1, 5, OOB_NONE) ||
			    !rig_wait(load_acquire(&q.guest.got) == (uint64_t)(i + 1) * 5)))
			rc = -1;
		port_rings_close(q.port, NULL);
	}
	ok(!rc, "rings close and reopen 50 times, working each time %s", rc ? err.text : "");
	is_int(unit_fds(), fds, "no descriptor is left");
	queue_close(&q);

	datapath_close(rig.dp);
	rig.dp = NULL;
	fds = unit_fds();
	for (i = 0; i < 10 && !rc; i++) {
		rc = rig_datapath(RIG_RXQS, FRAMES, &err);
		if (!rc)
			datapath_close(rig.dp);
	}
	ok(!rc, "the data path closes and reopens 10 times: late releases are waited for %s",
	   rc ? err.text : "");
	is_int(unit_fds(), fds, "no descriptor is left");
}

/* Another program on RX queue 1. */
struct intruder {
	struct xsk_umem *umem;
	struct xsk_socket *xsk;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons comp, rx;
	void *area;
};

static int intruder_open(struct intruder *x)
{
	struct xsk_umem_config uc = { .fill_size = 64, .comp_size = 64, .frame_size = 2048 };
	struct xsk_socket_config sc = { .rx_size = 64, .bind_flags = XDP_COPY,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD };
	int rc;

	memset(x, 0, sizeof(*x));
	x->area = aligned_alloc(4096, 64 * 2048);
	rc = xsk_umem__create(&x->umem, x->area, 64 * 2048, &x->fill, &x->comp, &uc);
	if (!rc)
		rc = xsk_socket__create(&x->xsk, "vmq0", 1, x->umem, &x->rx, NULL, &sc);
	if (rc) {
		xsk_umem__delete(x->umem);
		free(x->area);
		x->area = NULL;
	}
	return rc;
}

static void intruder_close(struct intruder *x)
{
	xsk_socket__delete(x->xsk);
	xsk_umem__delete(x->umem);
	free(x->area);
}

static void test_grow(void)
{
	struct intruder x;
	struct queue q;
	int rc, fds;

	/* The queue that was closed a moment ago: the rig's own EBUSY. */
	rc = rig_datapath(1, FRAMES, &err);
	is_int(rc, 0, "a data path on the first RX queue only %s", rc ? err.text : "");
	queue_up(&q, 0, RING);
	ok(rig_send(0, 0, 10, OOB_NONE) && rig_send(0, 1, 10, OOB_NONE) &&
	   rig_wait(load_acquire(&q.guest.got) == 10), "the other one's frames go to the host");

	if (!ok(rig_wait(!intruder_open(&x)), "another program takes RX queue 1"))
		return;
	fds = unit_fds();
	is_int(datapath_set_rxqs(rig.dp, 2, 2, &err), -EBUSY, "it is not ours then");
	ok(strstr(err.text, "RX queue 1 of vmq0 is taken"), "%s", err.text);
	ok(unit_fds() == fds && datapath_cfg(rig.dp)->rxqs == 1 && rig_send(0, 0, 10, OOB_NONE) &&
	   rig_wait(load_acquire(&q.guest.got) == 20), "nothing half made, and all works on");
	intruder_close(&x);
	is_int(datapath_set_rxqs(rig.dp, 2, 2, &err), 0, "more RX queues, live %s", err.text);
	memcpy(q.guest.next, rig.seq, sizeof(rig.seq));
	ok(rig_send(0, 1, 10, OOB_NONE) && rig_wait(load_acquire(&q.guest.got) == 30),
	   "the port has a ring on the new one");
	queue_close(&q);
	datapath_close(rig.dp);
	rig.dp = NULL;
}

/* Rings with more frames than FILL holds at once, and guests that take none of them. */
static void test_deep(void)
{
	struct queue stalled[4], live;
	bool full = true, sent = true;
	struct port_stats s;
	int rc;

	rc = rig_datapath(1, 4 * DEEP + RING, &err);
	if (!is_int(rc, 0, "a data path with rings of %d %s", DEEP, rc ? err.text : ""))
		return;
	for (int i = 0; i < 4; i++)
		queue_up(&stalled[i], i, DEEP);
	queue_up(&live, 4, RING);
	for (int i = 0; i < 3; i++)
		store_release(&stalled[i].guest.room, 0);
	port_set_paused(stalled[3].port, true);
	for (int i = 0; i < 4; i++) {
		sent &= rig_send(i, 0, DEEP + 64, OOB_NONE);
		queue_stats(&stalled[i], &s);
		full &= s.in_flight == DEEP && s.ring_full == 64 && !s.no_buffer && balanced(&s);
	}
	ok(sent && full, "P-13 stalled and paused guests have their quotas, %d frames", 4 * DEEP);
	for (int i = 1; i <= 10; i++)
		sent &= rig_send(4, 0, 64, OOB_NONE) &&
			rig_wait(load_acquire(&live.guest.got) == 64ULL * (uint32_t)i);
	ok(sent && !live.guest.lost, "P-13 and their neighbour all its frames");
	port_set_paused(stalled[3].port, false);
	ok(rig_wait(load_acquire(&stalled[3].guest.got) == DEEP), "who goes on gets what waits");
	for (int i = 0; i < 4; i++)
		queue_close(&stalled[i]);
	ok(rig_send(4, 0, 64, OOB_NONE) && rig_wait(load_acquire(&live.guest.got) == 704),
	   "and with the others gone");
	ok(rxq_frames_free(datapath_rxq(rig.dp, 0)) == 4 * DEEP, "their frames are free");
	queue_close(&live);
	datapath_close(rig.dp);
	rig.dp = NULL;
}

/* One frame of the guest at the wire, if there is one; they are numbered. */
static int hear(int fd, int *wrong, uint32_t want)
{
	uint8_t f[RIG_FRAME];
	uint32_t seq;

	if (recv(fd, f, sizeof(f), 0) <= 0)
		return 0;
	memcpy(&seq, f + RIG_SEQ, sizeof(seq));
	*wrong += seq != want;
	return 1;
}

static void test_channel(void)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b6),
				  .sll_ifindex = rig.wire_ifindex };
	struct frame_info fi;
	struct port_stats s;
	uint8_t f[RIG_FRAME];
	int fd, heard = 0, heard_wrong = 0;
	struct queue q, none;

	queue_open(&none, 1, false);
	queue_rings(&none, RING, &err);
	rig_send(1, 0, 50, OOB_NONE);
	ok(rig_wait((queue_stats(&none, &s), s.channel_error == 50)) && balanced(&s),
	   "a port without channel drops and counts");
	rig_build(f, 1, 0, OOB_NONE, -1);
	frame_look(&fi, f, RIG_FRAME);
	ok(!port_switch_in(none.port, &fi, 0), "also what the switch has for it");
	queue_close(&none);

	queue_open(&q, 0, true);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(0x88b6));
	ok(!bind(fd, (struct sockaddr *)&at, sizeof(at)), "somebody listens on the wire");
	for (int i = 0; i < 10; i++) {
		store_release(&q.guest.to_send, 200);
		guest_kick(&q.guest, 0);
		rig_wait((heard += hear(fd, &heard_wrong, (uint32_t)heard)) == 200 * (i + 1));
	}
	queue_stats(&q, &s);
	ok(heard == 2000 && s.tx_frames == 2000 && s.tx_wire == 2000 && !s.tx_wire_error,
	   "T-1 a guest's 2,000 frames reach the wire (%d)", heard);
	is_int(heard_wrong, 0, "T-4 each once and in order");
	close(fd);

	rig_run("ip link set vmq0 down");
	store_release(&q.guest.to_send, 200);
	guest_kick(&q.guest, 0);
	rig_wait((queue_stats(&q, &s), s.tx_frames == 2200));
	ok(s.tx_frames == 2200 && s.tx_wire + s.tx_wire_error == 2200 && s.tx_wire_error >= 100,
	   "a link that is down refuses frames, and they are counted (%llu of 200)",
	   (unsigned long long)s.tx_wire_error);
	rig_run("ip link set vmq0 up");
	queue_close(&q);
}

/* The second pair shares the guest's only queue, which takes an eventfd. */
static void test_no_descriptors(void)
{
	struct port_config cfg = {
		.id = 1, .name = "test", .rule = VMQ_RULE_ANY, .pairs = 2, .channel_pairs = 1,
		.cpu = { rig.cpu[0], rig.cpu[0] },
	};
	struct rlimit before, none;
	struct port *port = NULL;
	struct guest guest;
	int rc, spare;

	guest_init(&guest);
	cfg.channel = &guest.ch;
	getrlimit(RLIMIT_NOFILE, &before);
	spare = dup(STDIN_FILENO);	/* the lowest number that is free */
	close(spare);
	none = (struct rlimit){ (rlim_t)spare, before.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	err = (struct vmq_err)VMQ_ERR_INIT;
	rc = port_open(&port, rig.dp, &cfg, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	ok(rc == -EMFILE && strstr(err.text, "queue test"),
	   "without a descriptor a port is refused with a sentence (%s)", err.text);
}

/* Through the switch: what ports of each rule see. */
static bool switched(struct queue *q, int tci, uint16_t vlan, const char *want)
{
	struct frame_info fi;
	uint8_t f[RIG_FRAME];
	char head[16];

	rig_build(f, q->slot, 0, OOB_NONE, tci);
	frame_look(&fi, f, RIG_FRAME);
	if (!port_switch_in(q->port, &fi, vlan))
		return !want;
	for (int i = 0; i < 4; i++)
		snprintf(head + 2 * i, 3, "%02x", q->guest.last[12 + i]);
	return want && !strncmp(head, want, strlen(want));
}

static void test_switch_in(void)
{
	struct port_stats s;
	struct queue q;

	queue_open(&q, 0, true);
	ok(switched(&q, -1, 0, "88b5") && switched(&q, 0x6064, 100, "81006064") &&
	   switched(&q, -1, 100, "81000064") && switched(&q, 0x6000, 100, "81006064") &&
	   switched(&q, 0x0005, 100, "81000064") && switched(&q, -1, SWITCH_VLAN_NONE, "88b5"),
	   "M-6 a port of any VLAN sees the VLAN in a tag, with its priority");
	port_set_policy(q.port, 100, false);
	ok(switched(&q, 0x6064, 100, "88b5") && switched(&q, -1, 100, "88b5") &&
	   switched(&q, 0x6000, 100, "88b5") && switched(&q, 0x0005, 100, "81000005"),
	   "M-6 an access port sees neither its own tag nor a priority tag");
	ok(switched(&q, 0x0065, 101, NULL) && switched(&q, -1, 0, NULL) &&
	   switched(&q, -1, SWITCH_VLAN_NONE, NULL), "M-6 nor a frame of another VLAN");
	port_set_policy(q.port, VMQ_RULE_UNTAGGED, false);
	ok(switched(&q, -1, 0, "88b5") && switched(&q, 0x6000, 0, "88b5") &&
	   switched(&q, 0x0064, 100, NULL), "F-4 an untagged port sees no tag at all");
	store_release(&q.guest.room, 0);
	ok(switched(&q, -1, 0, NULL), "a guest without room loses what the switch has");
	store_release(&q.guest.room, UINT32_MAX);
	port_set_paused(q.port, true);
	ok(switched(&q, -1, 0, NULL) && !q.guest.touched, "and a paused one untouched");
	queue_stats(&q, &s);
	ok(s.switch_delivered == 12 && s.switch_dropped == 2 && !s.matched,
	   "the switch's frames have counters of their own");
	queue_close(&q);
}

int main(void)
{
	const char *why = rig_open();
	int rc;

	if (why || !rig.skel) {
		skip(why ? why : "no program", "the data path over a veth pair");
		return unit_done();
	}
	rc = rig_datapath(RIG_RXQS, FRAMES, &err);
	if (!is_int(rc, 0, "the data path opens %s", rc ? err.text : ""))
		return unit_done();
	test_delivery();
	test_oob();
	test_no_oob();
	test_frames_come_back();
	test_quota();
	test_resources();
	test_drain();
	test_move();
	test_overload();
	test_channel();
	test_no_descriptors();
	test_switch_in();
	test_reopen();
	test_grow();
	test_deep();
	rig_close();
	return unit_done();
}
