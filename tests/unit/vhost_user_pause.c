// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_pause.c - a front end that says little of its rings, as Cloud Hypervisor's
 *
 * That one never asks where a ring ended, but for a reset. It pauses a guest by
 * disabling the rings, and moves it so, too; and when the back end comes back, or the
 * guest has been moved, it says of each ring that it begins at the available index,
 * behind all buffers that the guest has given. Every message is to be acknowledged. It
 * cannot run here (it needs KVM), so its messages are said in its order.
 */
#include "vm.h"

#define LOG_SIZE	0x20000u

/*
 * It wants each message that has no answer to be acknowledged: told(f, front_…(asks(f), …))
 * says it so, and waits.
 */
static struct front *asks(struct front *f)
{
	f->flags = VHOST_USER_NEED_REPLY;
	return f;
}

static bool told(struct front *f, bool said)
{
	f->flags = 0;
	return said && front_read(f) && f->in.request == f->said && f->in.u64 == 0;
}

/* The connection: who owns it, what is offered. As many rings as it will want? */
static bool meets(struct vm *v, bool again)
{
	struct front *f = &v->f;
	uint64_t agreed = PROTOCOL & ~(v->pairs > 1 ? 0 : BIT64(VHOST_USER_P_MQ));

	if (!front_connect(f, v->path) ||
	    !front_send(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0) || !front_sync(f))
		return false;
	if (again)	/* it does not ask what is offered now */
		return front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, agreed);
	front_protocol(f, PROTOCOL);
	return v->pairs == 1 || (front_ask(f, VHOST_USER_GET_QUEUE_NUM, NULL, 0) &&
			  f->in.u64 >= 2 * (uint64_t)v->pairs);
}

static bool enables(struct vm *v, uint32_t on)
{
	struct front *f = &v->f;
	bool good = true;

	for (uint32_t i = 0; i < 2 * (uint32_t)v->pairs; i++)
		good &= told(f, front_state(asks(f), VHOST_USER_SET_VRING_ENABLE, i, on));
	return good;
}

/* The rings, each said to begin at its available index. */
static bool sets_up(struct vm *v)
{
	uint32_t i, n = 2 * (uint32_t)v->pairs;
	struct front *f = &v->f;
	bool good;

	good = told(f, front_set(asks(f), VHOST_USER_SET_FEATURES, FEATURES)) &&
	       told(f, front_mem(asks(f), &v->g));
	for (i = 0; i < n; i++)
		good &= told(f, front_state(asks(f), VHOST_USER_SET_VRING_NUM, i, f->ring[i].num));
	for (i = 0; i < n; i++) {
		front_eventfds(f, i);
		good &= told(f, front_addr_msg(asks(f), i, 0)) &&
			told(f, front_state(asks(f), VHOST_USER_SET_VRING_BASE, i,
					    f->ring[i].avail->idx)) &&
			told(f, front_ring_fd(asks(f), VHOST_USER_SET_VRING_CALL, i, f->call[i])) &&
			told(f, front_ring_fd(asks(f), VHOST_USER_SET_VRING_KICK, i, f->kick[i]));
	}
	return good && enables(v, 1);
}

static bool begins(struct vm *v)
{
	for (uint32_t i = 0; i < 2 * (uint32_t)v->pairs; i++)
		driver_open(&v->f.ring[i], &v->g, FRONT_NUM, FRONT_RING(i));
	return meets(v, false) && sets_up(v);
}

/* All descriptors that a front end has opened; its rings are the guest's. */
static void goes(struct vm *v)
{
	front_end(&v->f, v->pairs);
}

/* The guest has given @n receive buffers, and left a frame to be sent. */
static void prepare(struct vm *v, int n)
{
	for (int i = 0; i < n; i++)
		driver_give(&v->f.ring[0], BUF(4 + i), 2048, RING_DESC_WRITE);
	memset(v->g.mem + BUF(1), 0, HDR + 100);
	driver_give(&v->f.ring[1], BUF(1), HDR + 100, 0);
}

/* A frame comes and takes a buffer of the ring of @pair. */
static bool takes_on(struct vm *v, int pair)
{
	uint8_t data[100] = { 0 };
	struct channel_rx res;

	return rx(v, pair, data, sizeof(data), &res) == 1 && res.delivered == 1 &&
	       driver_used_next(&v->f.ring[2 * pair]);
}

/* The frame that prepare() left; our announcement may come before. */
static bool sends(struct vm *v)
{
	uint8_t got[2048];
	struct frame_buf buf;

	do {
		if (tx(v, 0, &buf, got) != 1)
			return false;
	} while (is_rarp(&buf, got));
	return !buf.fault && buf.len == 100 && driver_used_next(&v->f.ring[1]);
}

static void test_back_end_restarts(struct vm *v)
{
	struct driver keep[4];
	bool good = true;

	ok(begins(v) && works(v, 0), "a guest of %d pair(s) begins and works", v->pairs);
	prepare(v, 3);
	memcpy(keep, v->f.ring, sizeof(keep));
	goes(v);
	ok(wait_count(v, &v->down, 1) && meets(v, true), "the back end is there again");
	memcpy(v->f.ring, keep, sizeof(keep));
	ok(sets_up(v), "the rings are said to begin behind all that the guest has given");
	for (int i = 0; i < 3; i++)
		good &= takes_on(v, 0);
	ok(good, "the buffers that it had given before are used");
	ok(sends(v), "the frame that it had left is sent");
	ok(works(v, 0), "and it goes on");
	goes(v);
}

/* The control plane delivers before the last ring that receives is off. */
static void test_orderly(struct vm *v)
{
	struct front *f = &v->f;

	ok(begins(v) && works(v, 0), "pause: a guest of %d pair(s) works", v->pairs);
	for (int i = 0; i < v->pairs - 1; i++)
		ok(told(f, front_state(asks(f), VHOST_USER_SET_VRING_ENABLE, 2 * (uint32_t)i, 0)),
		   "pause: while another ring receives, one can be off at once");
	is_int(v->stops, 0, "pause: nothing was stopped yet");
	driver_give(&v->f.ring[2 * v->pairs - 2], BUF(4), 2048, RING_DESC_WRITE);
	front_state(&v->f, VHOST_USER_SET_VRING_ENABLE, 2 * (uint32_t)v->pairs - 2, 0);
	front_send(&v->f, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	ok(wait_count(v, &v->stops, 1) && front_silent(&v->f),
	   "pause: the last that receives asks for a stop, and waits");
	ok(takes_on(v, v->pairs - 1), "pause: what the queue holds is delivered");
	v->ch->ops->quiet(v->ch);
	ok(front_read(&v->f), "pause: then it goes on");
	is_int(v->wants, 0, "pause: the guest wants no frames");
	ok(told(f, front_state(asks(f), VHOST_USER_SET_VRING_ENABLE, 1, 0)) && !v->wants,
	   "pause: nor with its other rings");
	ok(enables(v, 1) && v->wants == 1 && works(v, 0), "pause: enabled, it wants them again");
	goes(v);
}

/* Its rings and its memory on the other host. */
static void arrive(struct vm *far, const struct vm *from)
{
	memcpy(far->g.mem, from->g.mem, GUEST_SIZE);
	for (int i = 0; i < 2 * far->pairs; i++) {
		struct driver *d = &far->f.ring[i];

		*d = from->f.ring[i];
		d->g = &far->g;
		d->desc = (void *)(far->g.mem + d->at);
		d->avail = (void *)(far->g.mem + driver_avail(d->num, d->at));
		d->used = (void *)(far->g.mem + driver_used(d->num, d->at));
	}
}

static void test_move(struct vm *v, struct vm *far)
{
	struct front *f = &v->f;
	struct { uint64_t size, offset; } log = { LOG_SIZE, 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	bool quiet = true, good = true;
	uint8_t data[100] = { 0 };
	struct channel_rx res;
	struct frame_buf buf;
	uint8_t *before;

	ok(begins(v) && works(v, 0), "move: a guest of %d pair(s) works", v->pairs);
	if (ftruncate(fd, LOG_SIZE) < 0)
		abort();
	for (int i = 0; i < 2; i++)
		good &= told(f, front_send(asks(f), VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log),
					   &fd, 1));
	ok(good && told(f, front_set(asks(f), VHOST_USER_SET_FEATURES,
				     FEATURES | BIT64(VHOST_USER_F_LOG_ALL))) &&
	   told(f, front_addr_msg(asks(f), 0, 1)) && told(f, front_addr_msg(asks(f), 1, 1)),
	   "move: the log, and another one while it runs");
	prepare(v, 2);
	ok(enables(v, 0), "move: it is paused");
	before = malloc(GUEST_SIZE);
	memcpy(before, v->g.mem, GUEST_SIZE);
	for (int i = 0; i < v->pairs; i++) {
		quiet &= tx(v, i, &buf, data) == 0;
		rx(v, i, data, sizeof(data), &res);
		quiet &= !res.delivered;
	}
	ok(quiet && !memcmp(before, v->g.mem, GUEST_SIZE),
	   "L-2 move: no memory of the guest is written behind the answer");
	free(before);

	ok(meets(far, false), "move: the other host");
	arrive(far, v);
	ok(sets_up(far), "move: the rings are set up there");
	good = true;
	for (int i = 0; i < 2; i++)
		good &= takes_on(far, 0);
	ok(good, "L-4 move: the buffers that the guest had given are used there");
	ok(sends(far), "L-4 move: and what it had left is sent");
	ok(works(far, 0), "move: it goes on");
	close(fd);
	goes(v);
	goes(far);
}

static void with_pairs(int pairs)
{
	struct vm v[3] = { 0 };
	static const char *const name[] = { "here", "there", "orderly" };
	struct vmq_err err = VMQ_ERR_INIT;

	for (int i = 0; i < 3; i++) {
		pthread_mutex_init(&v[i].lock, NULL);
		pthread_cond_init(&v[i].cond, NULL);
		v[i].wants_fn = i == 2 ? on_wants : NULL;
		guest_open(&v[i].g);
		if (!ok(!vm_open(&v[i], name[i], pairs, &err), "channel %s %s", name[i], err.text))
			abort();
	}
	test_back_end_restarts(&v[0]);
	test_move(&v[0], &v[1]);
	test_orderly(&v[2]);
	for (int i = 0; i < 3; i++) {
		is_int(v[i].lost, 0, "%s: nobody was cut off %s", name[i], v[i].reason);
		v[i].ch->ops->close(v[i].ch, false);
		guest_close(&v[i].g);
	}
}

int main(void)
{
	vms_begin();
	with_pairs(1);
	with_pairs(2);
	is_int(guest_mappings(), 0, "no memory of a guest is still mapped");
	is_int(open_fds(), vm_fds_before, "no descriptor was left open");
	rmdir(dir);
	return unit_done();
}
