// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user.c - the vhost-user channel, driven by a scripted front end
 *
 * Two channels are open all the time: one for the case at hand, and a neighbour
 * with a guest that must go on receiving and sending whatever happens to the
 * other.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "channel/vhost_user.h"
#include "common/util.h"
#include "front.h"
#include "unit.h"

#define HDR		12u
#define BUF(i)		(0x10000u + (i) * 0x1000u)
#define PROTOCOL	(BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_LOG_SHMFD) |		\
			 BIT64(VHOST_USER_P_RARP) | BIT64(VHOST_USER_P_REPLY_ACK) |		\
			 BIT64(VHOST_USER_P_NET_MTU) | BIT64(VHOST_USER_P_CONFIG) |		\
			 BIT64(VHOST_USER_P_STATUS) | BIT64(VHOST_USER_P_RESET_DEVICE) |	\
			 BIT64(VHOST_USER_P_CONFIGURE_MEM_SLOTS))
#define FEATURES	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |		\
			 BIT64(RING_F_INDIRECT_DESC) | BIT64(VHOST_USER_F_PROTOCOL))

static const uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };

/* One VM: its channel, its memory, and the front end between them. */
struct vm {
	struct channel *ch;
	struct guest g;
	struct front f;
	char path[80];
	int pairs;
	/* events */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int up, down, lost, stopping;
	char reason[512];
};

static struct vm vm = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
static struct vm neighbour = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .cond = PTHREAD_COND_INITIALIZER };
static char dir[] = "/tmp/vhost-user-XXXXXX";

static void on_event(void *arg, const char *what, const char *detail)
{
	struct vm *v = arg;

	pthread_mutex_lock(&v->lock);
	v->up += !strcmp(what, "up");
	v->down += !strcmp(what, "down");
	v->stopping += !strcmp(what, "stopping");
	if (!strcmp(what, "lost")) {
		v->lost++;
		snprintf(v->reason, sizeof(v->reason), "%s", detail);
	}
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static bool wait_count(struct vm *v, const int *count, int want)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3;
	pthread_mutex_lock(&v->lock);
	while (*count < want && !rc)
		rc = pthread_cond_timedwait(&v->cond, &v->lock, &until);
	pthread_mutex_unlock(&v->lock);
	return *count >= want;
}

static int vm_open(struct vm *v, const char *name, int pairs, struct vmq_err *err)
{
	struct channel_config cfg = {
		.queue = name, .mac = mac, .pairs = pairs, .mtu = 1500,
		.event = on_event, .arg = v,
	};
	char spec[128];

	snprintf(v->path, sizeof(v->path), "%s/%s", dir, name);
	snprintf(spec, sizeof(spec), "vhost-user:%s", v->path);
	v->pairs = pairs;
	return channel_open(&v->ch, spec, &cfg, err);
}

static bool vm_connect(struct vm *v, uint64_t features)
{
	return front_connect(&v->f, v->path) &&
	       front_begin(&v->f, &v->g, v->pairs, features, PROTOCOL);
}

static int rx(struct vm *v, int pair, uint8_t *data, uint32_t len, struct channel_rx *res)
{
	struct frame f = { .part = { { data, len } }, .parts = 1, .len = len };

	*res = (struct channel_rx){ 0 };
	return v->ch->ops->rx_burst(v->ch, pair, &f, 1, res);
}

static int tx(struct vm *v, int pair, struct frame_buf *buf, uint8_t *data)
{
	*buf = (struct frame_buf){ .data = data, .room = 2048 };
	return v->ch->ops->tx_burst(v->ch, pair, buf, 1);
}

/* One frame to the guest and one from it, on ring pair @pair. */
static bool works(struct vm *v, int pair)
{
	struct driver *r = &v->f.ring[2 * pair], *t = &v->f.ring[2 * pair + 1];
	uint8_t data[100], got[2048];
	struct ring_used_elem *e;
	struct channel_rx res;
	struct frame_buf buf;
	static uint8_t seed;

	memset(data, ++seed, sizeof(data));
	driver_give(r, BUF(2 * pair), 2048, RING_DESC_WRITE);
	if (rx(v, pair, data, sizeof(data), &res) != 1 || res.delivered != 1)
		return false;
	e = driver_used_next(r);
	if (!e || e->len != HDR + sizeof(data) ||
	    memcmp(v->g.mem + BUF(2 * pair) + HDR, data, sizeof(data)))
		return false;

	memset(v->g.mem + BUF(2 * pair + 1), 0, HDR);
	memset(v->g.mem + BUF(2 * pair + 1) + HDR, ++seed, 100);
	driver_give(t, BUF(2 * pair + 1), HDR + 100, 0);
	front_kick(&v->f, 2 * pair + 1);
	if (tx(v, pair, &buf, got) != 1 || buf.len != 100 || got[0] != seed || got[99] != seed)
		return false;
	return driver_used_next(t);
}

/* ---- opening --------------------------------------------------------------------- */

static void test_open(void)
{
	struct channel_config cfg = { .queue = "q", .pairs = 1, .mtu = 1500 };
	struct channel *ch, *ch2;
	struct vmq_err err = VMQ_ERR_INIT;
	char spec[300], path[128];
	struct stat st;
	int fd;

	ok(channel_open(&ch, "vhost-user:relative", &cfg, &err) == -EINVAL &&
	   strstr(err.text, "absolute"), "open: a relative path is refused");
	ok(channel_open(&ch, "vhost-user:/tmp/x,listen", &cfg, &err) == -EINVAL &&
	   strstr(err.text, "listen"), "open: an unknown word is refused");
	snprintf(spec, sizeof(spec), "vhost-user:/%0200d", 0);
	ok(channel_open(&ch, spec, &cfg, &err) == -EINVAL && strstr(err.text, "characters"),
	   "open: a path that is too long is refused");
	ok(channel_open(&ch, "vhost-user:/nowhere/at/all", &cfg, &err) == -ENOENT,
	   "open: a directory that is not there");

	snprintf(path, sizeof(path), "%s/a", dir);
	snprintf(spec, sizeof(spec), "vhost-user:%s", path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	ok(channel_open(&ch, spec, &cfg, &err) == -EEXIST && !stat(path, &st),
	   "open: a file in the way is kept");
	unlink(path);
	ok(!channel_open(&ch, spec, &cfg, &err), "open: a path");
	ok(!stat(path, &st) && (st.st_mode & 07777) == 0660,
	   "open: makes a socket for owner and group");
	ok(channel_open(&ch2, spec, &cfg, &err) == -EADDRINUSE,
	   "open: a second on the same path is refused");
	ch->ops->close(ch, false);
	ok(stat(path, &st) < 0, "close: the socket goes");

	/* as a crash leaves it */
	{
		struct sockaddr_un un;

		front_addr(&un, path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ok(!bind(fd, (struct sockaddr *)&un, sizeof(un)),
		   "open: a socket of a dead program");
		close(fd);
	}
	ok(!channel_open(&ch, spec, &cfg, &err), "open: is replaced");
	ch->ops->close(ch, true);
}

/* ---- what is offered and agreed on --------------------------------------------------- */

static void test_negotiation(void)
{
	struct { uint32_t offset, size, flags; uint8_t data[12]; } cfg = { .size = 12 };
	struct front *f = &vm.f;
	uint64_t u64;

	ok(front_connect(f, vm.path), "features: a front end connects");
	ok(front_ask(f, VHOST_USER_GET_FEATURES, NULL, 0), "features: GET_FEATURES is answered");
	is_int(f->in.u64, FEATURES | BIT64(RING_F_EVENT_IDX) | BIT64(VIRTIO_NET_F_CSUM) |
	       BIT64(VIRTIO_NET_F_MAC) | BIT64(VIRTIO_NET_F_MTU) | BIT64(VIRTIO_NET_F_STATUS) |
	       BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) |
	       BIT64(VIRTIO_F_ANY_LAYOUT) | BIT64(VHOST_USER_F_LOG_ALL),
	       "features: what a device of two pairs offers");
	ok(front_ask(f, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0) && f->in.u64 == PROTOCOL,
	   "features: protocol features");
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	ok(front_ask(f, VHOST_USER_GET_QUEUE_NUM, NULL, 0) && f->in.u64 == 2,
	   "features: two pairs");
	ok(front_ask(f, VHOST_USER_GET_MAX_MEM_SLOTS, NULL, 0) && f->in.u64 == GUEST_MEM_SLOTS,
	   "features: slots for memory");
	ok(front_ask(f, VHOST_USER_GET_CONFIG, &cfg, sizeof(cfg)) && f->in.config.size == 12 &&
	   !memcmp(f->in.config.data, mac, 6) && f->in.config.data[6] == VIRTIO_NET_S_LINK_UP &&
	   f->in.config.data[8] == 2 && f->in.config.data[10] == (1500 & 0xff) &&
	   f->in.config.data[11] == 1500 >> 8,
	   "features: address, link, pairs and MTU in the configuration");
	u64 = 0xf;
	front_set(f, VHOST_USER_SET_STATUS, u64);
	ok(front_ask(f, VHOST_USER_GET_STATUS, NULL, 0) && f->in.u64 == 0xf,
	   "features: the status is kept");

	u64 = 1500;
	ok(front_send(f, VHOST_USER_NET_SET_MTU, VHOST_USER_NEED_REPLY, &u64, 8, NULL, 0) &&
	   front_read(f) && f->in.u64 == 0, "features: an MTU of 1,500 is accepted");
	u64 = 9000;
	ok(front_send(f, VHOST_USER_NET_SET_MTU, VHOST_USER_NEED_REPLY, &u64, 8, NULL, 0) &&
	   front_read(f) && f->in.u64 != 0, "features: one of 9,000 is refused");
	ok(front_send(f, VHOST_USER_SET_OWNER, VHOST_USER_NEED_REPLY, NULL, 0, NULL, 0) &&
	   front_read(f) && f->in.request == VHOST_USER_SET_OWNER && f->in.u64 == 0,
	   "features: a message without an answer is acknowledged when asked");
	ok(front_send(f, 99, VHOST_USER_NEED_REPLY, NULL, 0, NULL, 0) && front_read(f) &&
	   f->in.request == 99 && f->in.u64 != 0,
	   "features: an unknown message is refused when asked");
	ok(front_send(f, VHOST_USER_SET_CONFIG, VHOST_USER_NEED_REPLY, &cfg, sizeof(cfg), NULL,
		      0) && front_read(f) && f->in.u64 != 0,
	   "features: the configuration cannot be written");
	ok(front_sync(f), "features: the connection stands after all that");
	close(f->fd);
	is_int(vm.lost, 0, "features: nothing was lost");
}

/* ---- traffic -------------------------------------------------------------------------- */

static bool readable(int epfd)
{
	struct epoll_event ev;

	return epoll_wait(epfd, &ev, 1, 0) == 1;
}

static void test_traffic(void)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	uint8_t data[2048] = { 0 };
	struct channel_rx res;
	struct frame_buf buf;
	int i, bad = 0, ep;

	is_int(rx(&vm, 0, data, 100, &res), 1,
	   "traffic: a frame before anybody has connected is settled");
	is_int(res.error, 1, "traffic: as an error");
	ok(vm_connect(&vm, FEATURES) && wait_count(&vm, &vm.up, 1), "traffic: the guest is up");
	ok(works(&vm, 0), "traffic: pair 0 works");
	ok(works(&vm, 1), "traffic: pair 1 works");
	for (i = 0; i < 1000; i++)
		bad += !works(&vm, i & 1);
	is_int(bad, 0, "traffic: a thousand times both ways");

	/* the descriptor that workers poll, edge-triggered and never read */
	ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(ep, EPOLL_CTL_ADD, vm.ch->ops->fd(vm.ch, 0), &ev);
	readable(ep);
	ok(!readable(ep), "kick: the pair's descriptor is quiet");
	front_kick(&vm.f, 1);
	ok(readable(ep) && !readable(ep), "kick: one event for a kick of the transmit ring");
	front_kick(&vm.f, 0);
	ok(readable(ep) && !readable(ep), "kick: one for the receive ring");
	front_kick(&vm.f, 0);
	ok(readable(ep), "kick: and again, although nobody reads them");
	front_kick(&vm.f, 3);
	ok(!readable(ep), "kick: none for another pair's");

	/* the guest uses one pair only */
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 2, 0);
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 3, 0);
	front_sync(&vm.f);
	ok(rx(&vm, 1, data, 100, &res) == 1 && res.full == 1,
	   "pairs: a frame of a pair that is off finds no room in the other");
	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	ok(rx(&vm, 1, data, 100, &res) == 1 && res.delivered == 1 &&
	   driver_used_next(&vm.f.ring[0]),
	   "pairs: it is delivered there when there is");
	memset(vm.g.mem + BUF(3), 0, 200);
	driver_give(&vm.f.ring[3], BUF(3), 100, 0);
	ok(tx(&vm, 1, &buf, data) == 0 && driver_used_next(&vm.f.ring[3]),
	   "pairs: what a ring that is off sends is thrown away");
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 2, 1);
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 3, 1);
	front_sync(&vm.f);
	ok(works(&vm, 1), "pairs: it works again");

	/* pause */
	vm.ch->ops->pause(vm.ch);
	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	driver_give(&vm.f.ring[1], BUF(1), 100, 0);
	ok(rx(&vm, 0, data, 100, &res) == 0 && !res.error && !res.full,
	   "L-2 a paused VM: frames are left to the caller");
	ok(tx(&vm, 0, &buf, data) == 0 && !driver_used_next(&vm.f.ring[1]),
	   "L-2 a paused VM: nothing is taken from it");
	while (readable(ep))
		;
	vm.ch->ops->resume(vm.ch);
	ok(readable(ep), "L-2 resume: its worker is woken");
	ok(tx(&vm, 0, &buf, data) == 1 && driver_used_next(&vm.f.ring[1]) &&
	   rx(&vm, 0, data, 100, &res) == 1 && driver_used_next(&vm.f.ring[0]),
	   "L-2 resume: both ways go on");
	close(ep);
}

/* ---- stop, go on, announce ------------------------------------------------------------- */

static void test_stop(void)
{
	uint8_t data[2048] = { 0 }, wire[2048];
	uint64_t m = 0;
	struct channel_rx res;
	struct frame_buf buf;
	uint32_t s[2] = { 0, 0 };
	uint16_t base;
	int i;

	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	base = vm.f.ring[0].used->idx;
	ok(front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, s, 8) && vm.f.in.state.num == base,
	   "stop: GET_VRING_BASE tells where the receive ring ended");
	memset(vm.g.mem + BUF(0), 0xaa, 2048);
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.full == 1,
	   "stop: a frame for the stopped ring does not reach it");
	ok(vm.g.mem[BUF(0)] == 0xaa && vm.f.ring[0].used->idx == base,
	   "L-2 stop: no guest memory is written behind the answer");
	for (i = 1; i < 4; i++) {
		s[0] = (uint32_t)i;
		ok(front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, s, 8), "stop: ring %d", i);
	}
	ok(wait_count(&vm, &vm.down, 1) && vm.stopping == 1,
	   "stop: the guest is stopping, then down");
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.error == 1, "stop: frames are errors now");
	ok(tx(&vm, 0, &buf, data) == 0, "stop: nothing is taken");

	for (i = 0; i < 4; i++)
		front_ring(&vm.f, (uint32_t)i, vm.f.ring[i].used->idx);
	ok(front_sync(&vm.f) && wait_count(&vm, &vm.up, 2), "go on: up again, from where it ended");
	ok(tx(&vm, 0, &buf, wire) == 1 && buf.len == 60, "L-3 go on: the first thing sent is ours");
	ok(!memcmp(wire, "\xff\xff\xff\xff\xff\xff", 6) && !memcmp(wire + 6, mac, 6) &&
	   wire[12] == 0x80 && wire[13] == 0x35 && !memcmp(wire + 22, mac, 6),
	   "L-3 go on: a RARP that tells where the guest is");
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.delivered == 1 &&
	   driver_used_next(&vm.f.ring[0]),
	   "go on: the buffer offered before is used");
	ok(works(&vm, 0) && works(&vm, 1), "go on: both pairs work");
	memcpy(&m, "\x52\x54\x00\x00\x00\x07", 6);
	front_set(&vm.f, VHOST_USER_SEND_RARP, m);
	front_sync(&vm.f);
	ok(tx(&vm, 0, &buf, wire) == 1 && buf.len == 60 && wire[11] == 7, "SEND_RARP: is sent");

	front_send(&vm.f, VHOST_USER_RESET_OWNER, 0, NULL, 0, NULL, 0);
	front_sync(&vm.f);
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.error == 1, "RESET_OWNER: disables all rings");
	for (i = 0; i < 4; i++)
		front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, (uint32_t)i, 1);
	front_sync(&vm.f);
	ok(works(&vm, 0), "RESET_OWNER: which can be enabled again");
	front_set(&vm.f, VHOST_USER_SET_STATUS, 0);
	front_sync(&vm.f);
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.error == 1, "SET_STATUS 0: resets the device");
	front_end(&vm.f, 2);
}

static void test_reconnect(void)
{
	struct driver keep[4];
	struct front second;
	int i, bad = 0;

	ok(vm_connect(&vm, FEATURES) && works(&vm, 0), "reconnect: a front end is there");
	ok(front_connect(&second, vm.path) && front_cut_off(&second),
	   "reconnect: a second one is sent away");
	close(second.fd);
	ok(works(&vm, 0), "reconnect: the first does not notice");

	/* the service's view of a restarted front end whose guest has lived on */
	memcpy(keep, vm.f.ring, sizeof(keep));
	front_end(&vm.f, 2);
	ok(wait_count(&vm, &vm.down, 2), "reconnect: down when the front end goes");
	ok(front_connect(&vm.f, vm.path), "reconnect: it comes back");
	front_set(&vm.f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES);
	front_mem(&vm.f, &vm.g);
	for (i = 0; i < 4; i++) {
		vm.f.ring[i] = keep[i];
		vm.f.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		front_ring(&vm.f, (uint32_t)i, keep[i].used->idx);
		front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, (uint32_t)i, 1);
	}
	front_sync(&vm.f);
	{
		struct frame_buf buf;
		uint8_t wire[2048];

		ok(tx(&vm, 0, &buf, wire) == 1 && wire[13] == 0x35, "reconnect: announced");
	}
	for (i = 0; i < 40; i++)
		bad += !works(&vm, i & 1);
	is_int(bad, 0, "reconnect: the rings go on where they were");
	front_end(&vm.f, 2);
	for (i = 0; i < 20; i++) {
		bad += !vm_connect(&vm, FEATURES) || !works(&vm, 1);
		front_end(&vm.f, 2);
	}
	is_int(bad, 0, "reconnect: twenty times in a row");
}

static void test_client(void)
{
	struct channel_config cfg = { .queue = "c", .pairs = 1, .mtu = 1500, .event = on_event };
	static struct vm c = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
			       .pairs = 1 };
	struct vmq_err err = VMQ_ERR_INIT;
	struct sockaddr_un un;
	char spec[128];
	int lfd, i;

	guest_open(&c.g);
	cfg.arg = &c;
	snprintf(c.path, sizeof(c.path), "%s/client", dir);
	snprintf(spec, sizeof(spec), "vhost-user:%s,client", c.path);
	ok(!channel_open(&c.ch, spec, &cfg, &err), "client: opens although nobody listens");
	front_addr(&un, c.path);
	lfd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(lfd, (struct sockaddr *)&un, sizeof(un)) || listen(lfd, 1))
		abort();
	for (i = 0; i < 2; i++) {
		struct pollfd p = { .fd = lfd, .events = POLLIN };

		ok(poll(&p, 1, FRONT_WAIT_MS) == 1, "client: connects%s", i ? " again" : "");
		c.f.fd = accept(lfd, NULL, NULL);
		ok(front_begin(&c.f, &c.g, 1, FEATURES, PROTOCOL) && works(&c, 0), "client: works");
		front_end(&c.f, 1);
	}
	c.ch->ops->close(c.ch, false);
	ok(!access(c.path, F_OK), "client: the front end's socket is not removed");
	close(lfd);
	unlink(c.path);
	guest_close(&c.g);
}

/* ---- dirty log --------------------------------------------------------------------------- */

static void test_log(void)
{
	struct { uint64_t size, offset; } l = { .offset = 4096 };
	uint8_t data[300] = { 0 }, *bits;
	uint64_t page, want;
	uint32_t used_page;
	struct channel_rx res;
	int fd, i;

	l.size = ((GUEST_GPA + GUEST_SIZE) >> DIRTY_LOG_SHIFT >> 3) + 1;
	fd = memfd_create("log", MFD_CLOEXEC);
	if (ftruncate(fd, (off_t)(l.size + l.offset)))
		abort();
	bits = mmap(NULL, l.size + l.offset, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ok(vm_connect(&vm, FEATURES), "log: a guest");
	ok(front_send(&vm.f, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &fd, 1) &&
	   front_read(&vm.f) && vm.f.in.request == VHOST_USER_SET_LOG_BASE,
	   "log: SET_LOG_BASE is answered");
	ok(works(&vm, 0), "log: traffic before logging");
	for (i = 0, want = 0; i < (int)(l.size + l.offset); i++)
		want |= bits[i];
	is_int(want, 0, "log: marks nothing");
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
	front_addr_msg(&vm.f, 0, 1);
	front_sync(&vm.f);
	driver_give(&vm.f.ring[0], BUF(5), 2048, RING_DESC_WRITE);
	ok(rx(&vm, 0, data, sizeof(data), &res) == 1 && res.delivered,
	   "log: a frame while logging");
	used_page = driver_used(FRONT_NUM, FRONT_RING(0)) >> 12;
	page = GUEST_GPA >> 12;
	want = 0;
	for (i = 0; i < 64; i++)
		if (bits[l.offset + (page + (uint64_t)i) / 8] & 1u << (page + (uint64_t)i) % 8)
			want |= BIT64(i);
	is_int(want, BIT64(BUF(5) >> 12) | BIT64(used_page),
	   "log: marks its page and the used ring's");
	memset(bits, 0, l.size + l.offset);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES);
	front_addr_msg(&vm.f, 0, 0);
	front_sync(&vm.f);
	driver_used_next(&vm.f.ring[0]);
	ok(works(&vm, 0), "log: traffic after the end of logging");
	for (i = 0, want = 0; i < (int)(l.size + l.offset); i++)
		want |= bits[i];
	is_int(want, 0, "log: marks nothing");
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
	front_sync(&vm.f);
	if (ftruncate(fd, 0))
		abort();
	driver_give(&vm.f.ring[0], BUF(5), 2048, RING_DESC_WRITE);
	ok(rx(&vm, 0, data, sizeof(data), &res) == 1 && !res.delivered && front_cut_off(&vm.f),
	   "log: taken away while in use: the connection ends");
	ok(wait_count(&vm, &vm.lost, 1) && strstr(vm.reason, "taken away"),
	   "log: the reason is told");
	munmap(bits, l.size + l.offset);
	close(fd);
	front_end(&vm.f, 2);
}

static void test_slots(void)
{
	struct { uint64_t pad; struct vhost_user_region r; } s;
	struct guest_region_desc d;
	uint32_t i;

	ok(front_connect(&vm.f, vm.path), "slots: a front end");
	front_set(&vm.f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES);
	for (i = 0; i < 2; i++) {
		d = guest_region((int)i);
		s.r = (struct vhost_user_region){ d.gpa, d.size, d.uva, d.offset };
		ok(front_send(&vm.f, VHOST_USER_ADD_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
			      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
		   "slots: ADD_MEM_REG %u", i);
	}
	for (i = 0; i < 4; i++) {
		vm.f.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		driver_open(&vm.f.ring[i], &vm.g, FRONT_NUM, FRONT_RING(i));
		front_ring(&vm.f, i, 0);
		front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	}
	ok(front_sync(&vm.f) && works(&vm, 0), "slots: works");
	ok(front_send(&vm.f, VHOST_USER_REM_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
		      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
	   "slots: REM_MEM_REG of the half without rings");
	ok(works(&vm, 0), "slots: works");
	ok(front_send(&vm.f, VHOST_USER_REM_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s), NULL, 0) &&
	   front_read(&vm.f) && vm.f.in.u64 == 0, "slots: once more, as QEMU 7.2 does for each pair");
	d = guest_region(0);
	s.r = (struct vhost_user_region){ d.gpa, d.size, d.uva, d.offset };
	ok(front_send(&vm.f, VHOST_USER_ADD_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
		      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
	   "slots: the other half once more");
	ok(works(&vm, 0) && works(&vm, 1), "slots: works");
	vm.lost = 0;
	front_send(&vm.f, VHOST_USER_REM_MEM_REG, 0, &s, sizeof(s), NULL, 0);
	ok(front_cut_off(&vm.f) && wait_count(&vm, &vm.lost, 1) && strstr(vm.reason, "ring 0"),
	   "slots: taking the rings' memory away ends the connection");
	front_end(&vm.f, 2);
}

/* ---- front ends that do not behave --------------------------------------------------------- */

static void h_version(struct front *f)
{
	front_send(f, VHOST_USER_GET_FEATURES, 2, NULL, 0, NULL, 0);
}

static void h_reply(struct front *f)
{
	front_send(f, VHOST_USER_GET_FEATURES, VHOST_USER_REPLY, NULL, 0, NULL, 0);
}

static void h_unknown(struct front *f)
{
	front_send(f, 4711, 0, NULL, 0, NULL, 0);
}

static void h_huge(struct front *f)
{
	uint32_t m[3] = { VHOST_USER_SET_FEATURES, 1, 0xffffffff };

	front_write(f, m, sizeof(m), NULL, 0);
}

static void h_short(struct front *f)
{
	front_send(f, VHOST_USER_SET_FEATURES, 0, "abcd", 4, NULL, 0);
}

static void h_features(struct front *f)
{
	front_set(f, VHOST_USER_SET_FEATURES, UINT64_MAX);
}

static void h_protocol(struct front *f)
{
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, UINT64_MAX);
}

static void h_change(struct front *f)
{
	front_set(f, VHOST_USER_SET_FEATURES, FEATURES & ~BIT64(VIRTIO_NET_F_MRG_RXBUF));
}

static void h_ring(struct front *f)
{
	front_state(f, VHOST_USER_SET_VRING_NUM, 4, 16);
}

static void h_ring_base(struct front *f)
{
	front_state(f, VHOST_USER_GET_VRING_BASE, 0xffffffff, 0);
}

static void h_num_runs(struct front *f)
{
	front_state(f, VHOST_USER_SET_VRING_NUM, 0, 16);
}

static void h_base_runs(struct front *f)
{
	front_state(f, VHOST_USER_SET_VRING_BASE, 0, 16);
}

static void stop_0(struct front *f)
{
	uint32_t s[2] = { 0, 0 };

	front_ask(f, VHOST_USER_GET_VRING_BASE, s, 8);
}

static void h_num_zero(struct front *f)
{
	stop_0(f);
	front_state(f, VHOST_USER_SET_VRING_NUM, 0, 0);
}

static void h_num_odd(struct front *f)
{
	stop_0(f);
	front_state(f, VHOST_USER_SET_VRING_NUM, 0, 48);
}

static void h_num_huge(struct front *f)
{
	stop_0(f);
	front_state(f, VHOST_USER_SET_VRING_NUM, 0, 65536);
}

static void h_base_huge(struct front *f)
{
	stop_0(f);
	front_state(f, VHOST_USER_SET_VRING_BASE, 0, 65536);
}

static void h_addr(struct front *f)
{
	f->ring[0].at = GUEST_SIZE - 16;
	front_addr_msg(f, 0, 0);
}

static void h_enable(struct front *f)
{
	front_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 2);
}

static void h_kick_none(struct front *f)
{
	front_set(f, VHOST_USER_SET_VRING_KICK, 0);
}

static void h_kick_poll(struct front *f)
{
	front_set(f, VHOST_USER_SET_VRING_KICK, VHOST_USER_NO_FD);
}

static void h_kick_two(struct front *f)
{
	int fds[2] = { f->kick[0], f->kick[1] };
	uint64_t v = 0;

	front_send(f, VHOST_USER_SET_VRING_KICK, 0, &v, 8, fds, 2);
}

static void h_call_surplus(struct front *f)
{
	uint64_t v = VHOST_USER_NO_FD;

	front_send(f, VHOST_USER_SET_VRING_CALL, 0, &v, 8, &f->call[0], 1);
}

static void h_kick_file(struct front *f)
{
	front_ring_fd(f, VHOST_USER_SET_VRING_KICK, 0, vm.g.fd);
}

static void h_call_pipe(struct front *f)
{
	int p[2];

	if (pipe(p))
		abort();
	front_ring_fd(f, VHOST_USER_SET_VRING_CALL, 0, p[1]);
	close(p[0]);
	close(p[1]);
}

static void h_err_socket(struct front *f)
{
	front_ring_fd(f, VHOST_USER_SET_VRING_ERR, 0, f->fd);
}

static void h_surplus(struct front *f)
{
	front_send(f, VHOST_USER_GET_FEATURES, 0, NULL, 0, &vm.g.fd, 1);
}

static void h_many_fds(struct front *f)
{
	int fds[32], i;

	for (i = 0; i < 32; i++)
		fds[i] = vm.g.fd;
	front_send(f, VHOST_USER_GET_FEATURES, 0, NULL, 0, fds, 32);
}

/* A table of one region; @fd -1 for none. */
static void mem_table(struct front *f, uint32_t n, struct vhost_user_region r, int fd)
{
	struct { uint32_t n, pad; struct vhost_user_region r; } m = { .n = n, .r = r };

	front_send(f, VHOST_USER_SET_MEM_TABLE, 0, &m, sizeof(m), &fd, fd >= 0);
}

static void h_mem_no_fd(struct front *f)
{
	mem_table(f, 1, (struct vhost_user_region){ .size = 4096 }, -1);
}

static void h_mem_count(struct front *f)
{
	mem_table(f, 0xffffffff, (struct vhost_user_region){ .size = 4096 }, vm.g.fd);
}

static void h_mem_size(struct front *f)
{
	mem_table(f, 2, (struct vhost_user_region){ .size = 4096 }, vm.g.fd);
}

static void h_mem_long(struct front *f)
{
	mem_table(f, 1, (struct vhost_user_region){ .size = GUEST_SIZE + 1 }, vm.g.fd);
}

static void h_mem_gone(struct front *f)
{
	mem_table(f, 1, (struct vhost_user_region){ .size = 4096 }, vm.g.fd);
}

static void h_mem_eventfd(struct front *f)
{
	mem_table(f, 1, (struct vhost_user_region){ .size = 4096 }, f->kick[0]);
}

static void h_slot_overlap(struct front *f)
{
	struct guest_region_desc d = guest_region(0);
	struct { uint64_t pad; struct vhost_user_region r; } s = {
		.r = { d.gpa, d.size - 1, d.uva, d.offset },
	};

	front_send(f, VHOST_USER_ADD_MEM_REG, 0, &s, sizeof(s), &vm.g.fd, 1);
}

static void h_log_size(struct front *f)
{
	struct { uint64_t size, offset; } l = { UINT64_MAX, 1 };

	front_send(f, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &vm.g.fd, 1);
}

static void h_log_no_fd(struct front *f)
{
	struct { uint64_t size, offset; } l = { 4096, 0 };

	front_send(f, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), NULL, 0);
}

static void h_config(struct front *f)
{
	struct { uint32_t offset, size, flags; uint8_t data[12]; } c = {
		.offset = 0xfffffff0, .size = 0x20,
	};

	front_send(f, VHOST_USER_GET_CONFIG, 0, &c, sizeof(c), NULL, 0);
}

static void h_config_short(struct front *f)
{
	front_send(f, VHOST_USER_GET_CONFIG, 0, "abcd", 4, NULL, 0);
}

static void h_unread(struct front *f)
{
	struct timeval tv = { .tv_sec = 2 };
	int i;

	/* until the backend has had enough and closes; answers are never read */
	setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	for (i = 0; i < 100000; i++)
		if (!front_send(f, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0))
			return;
}

static void h_ring_index(struct front *f)
{
	uint8_t data[2048];
	struct frame_buf buf;

	f->ring[1].avail->idx = 30000;
	tx(&vm, 0, &buf, data);
}

static void h_truncate(struct front *f)
{
	uint8_t data[2048];
	struct frame_buf buf;

	(void)f;
	if (ftruncate(vm.g.fd, 0))
		abort();
	tx(&vm, 0, &buf, data);
	if (ftruncate(vm.g.fd, GUEST_SIZE))
		abort();
}

static const struct hostile {
	void (*act)(struct front *f);
	const char *what;
	const char *reason;
} hostile[] = {
	{ h_version, "another version", "flags" },
	{ h_reply, "an answer instead of a question", "flags" },
	{ h_unknown, "an unknown message", "4711 is not known" },
	{ h_huge, "a message of 4 GiB", "of 4294967295 bytes" },
	{ h_short, "a payload that is too short", "4 bytes instead of 8" },
	{ h_features, "features that were not offered", "not offered" },
	{ h_protocol, "protocol features that were not offered", "not offered" },
	{ h_change, "other features while rings run", "while rings run" },
	{ h_ring, "a ring that does not exist", "ring 4 of a device with 4" },
	{ h_ring_base, "a ring far beyond", "ring 4294967295" },
	{ h_num_runs, "a new size of a running ring", "runs" },
	{ h_base_runs, "a new base of a running ring", "runs" },
	{ h_num_zero, "a ring of no entries", "of 0 entries" },
	{ h_num_odd, "a ring of 48 entries", "of 48 entries" },
	{ h_num_huge, "a ring of 65,536 entries", "of 65536 entries" },
	{ h_base_huge, "a base beyond 16 bits", "65536" },
	{ h_addr, "a running ring moved out of memory", "not in the guest's memory" },
	{ h_enable, "enable 2", "enabled by 2" },
	{ h_kick_none, "a kick without its descriptor", "0 descriptors" },
	{ h_kick_poll, "a ring to be polled", "without kicks" },
	{ h_kick_two, "a kick with two descriptors", "2 descriptors" },
	{ h_call_surplus, "a call with a descriptor too many", "1 descriptors" },
	{ h_kick_file, "a memory file as kick", "no eventfd" },
	{ h_call_pipe, "a pipe as call", "no eventfd" },
	{ h_err_socket, "the socket itself as err", "no eventfd" },
	{ h_surplus, "a descriptor where none belongs", "1 descriptors instead of 0" },
	{ h_many_fds, "32 descriptors", "more than 8 descriptors" },
	{ h_mem_no_fd, "memory without a descriptor", "0 descriptors" },
	{ h_mem_count, "4 billion regions", "regions" },
	{ h_mem_size, "more regions than bytes", "2 regions in 40 bytes" },
	{ h_mem_long, "a region longer than its file", "more than its file has" },
	{ h_mem_gone, "a table without the running rings", "ring 0" },
	{ h_mem_eventfd, "an eventfd as memory", "shared memory" },
	{ h_slot_overlap, "a region over another", "overlaps" },
	{ h_log_size, "a log that overflows", "more than its file has" },
	{ h_log_no_fd, "a log without a descriptor", "0 descriptors" },
	{ h_config, "configuration beyond its end", "of the configuration" },
	{ h_config_short, "half a request for configuration", "of the configuration" },
	{ h_unread, "questions whose answers are not read", "are not read" },
	{ h_ring_index, "a ring that breaks the rules", "ring 1: available index 30000" },
	{ h_truncate, "memory that is taken away", "taken away" },
};

static void test_hostile(void)
{
	struct front *f = &vm.f;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(hostile); i++) {
		vm.lost = 0;
		if (!ok(vm_connect(&vm, FEATURES), "hostile: a front end connects"))
			return;
		hostile[i].act(f);
		ok(front_cut_off(f), "hostile: %s: cut off", hostile[i].what);
		if (!ok(wait_count(&vm, &vm.lost, 1) && strstr(vm.reason, hostile[i].reason),
			"hostile: the reason is told"))
			diag("%s", vm.reason);
		ok(works(&neighbour, 0), "P-13 hostile: the neighbour does not notice");
		front_end(f, 2);
	}
	ok(vm_connect(&vm, FEATURES) && works(&vm, 0) && works(&vm, 1),
	   "hostile: after all that a good one works");
	front_end(f, 2);
}

/* Messages in pieces, and some that end in the middle. */
static void test_cut(void)
{
	struct { uint32_t request, flags, size; uint64_t u64; } __attribute__((packed)) m = {
		VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8, FEATURES,
	};
	struct front *f = &vm.f;
	int lost = vm.lost;
	size_t i;

	ok(front_connect(f, vm.path), "cut: a front end");
	for (i = 0; i < sizeof(m); i++)
		front_write(f, (char *)&m + i, 1, NULL, 0);
	ok(front_sync(f), "cut: a message byte by byte is understood");
	front_write(f, &m, 12, NULL, 0);
	ok(works(&neighbour, 0), "cut: half a message holds up nobody");
	close(f->fd);
	ok(front_connect(f, vm.path), "cut: another one");
	front_write(f, &m, 14, &vm.g.fd, 1);
	close(f->fd);
	ok(front_connect(f, vm.path) && front_sync(f),
	   "cut: connections that end inside a message");
	is_int(vm.lost, lost, "cut: are not held against them");
	close(f->fd);
}

/* ---- workers at work while messages come ------------------------------------------------- */

static bool stop_burst;

static void *burst(void *arg)
{
	static uint8_t data[1400];
	int pair = (int)(intptr_t)arg;
	uint8_t got[2048];
	struct channel_rx res;
	struct frame_buf buf;

	while (!load_relaxed(&stop_burst)) {
		rx(&vm, pair, data, sizeof(data), &res);
		tx(&vm, pair, &buf, got);
	}
	return NULL;
}

/* A front end that changes everything it may, again and again, under full load. */
static void test_concurrent(void)
{
	uint32_t s[2] = { 0, 0 };
	pthread_t worker[2];
	struct front *f = &vm.f;
	int i, k, bad = 0;

	vm.lost = 0;
	for (i = 0; i < 2; i++)
		pthread_create(&worker[i], NULL, burst, (void *)(intptr_t)i);
	for (i = 0; i < 50; i++) {
		bad += !vm_connect(&vm, FEATURES);
		for (k = 0; k < 16; k++)
			driver_give(&f->ring[0], BUF(k), 512, RING_DESC_WRITE);
		for (k = 0; k < 8; k++)
			driver_give(&f->ring[1], BUF(16 + k), 500, 0);
		front_mem(f, &vm.g);
		front_addr_msg(f, 0, 1);
		front_set(f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
		front_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 0);
		front_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1);
		vm.ch->ops->pause(vm.ch);
		vm.ch->ops->resume(vm.ch);
		bad += !front_ask(f, VHOST_USER_GET_VRING_BASE, s, 8);
		front_ring(f, 0, f->ring[0].used->idx);
		bad += !front_sync(f);
		front_end(f, 2);
	}
	store_relaxed(&stop_burst, true);
	for (i = 0; i < 2; i++)
		pthread_join(worker[i], NULL);
	is_int(bad + vm.lost, 0, "concurrent: messages and bursts at the same time");
}

/* Descriptors must not pile up, whatever a front end did. */
static int open_fds(void)
{
	int i, n = 0;

	for (i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* Neither must mappings of guests' memory. */
static int guest_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (maps && fgets(line, sizeof(line), maps))
		n += !!strstr(line, "memfd:");
	if (maps)
		fclose(maps);
	return n;
}

int main(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int before, after;

	if (!mkdtemp(dir))
		abort();
	unit_arm();	/* before the channel takes SIGBUS */
	before = open_fds();
	guest_open(&vm.g);
	guest_open(&neighbour.g);
	test_open();
	ok(!vm_open(&vm, "vm", 2, &err), "a channel of two pairs");
	ok(!vm_open(&neighbour, "neighbour", 1, &err), "a neighbour");
	if (!vm.ch || !neighbour.ch)
		return unit_done();
	ok(vm_connect(&neighbour, FEATURES) && works(&neighbour, 0), "the neighbour works");
	test_negotiation();
	test_traffic();
	test_stop();
	test_reconnect();
	test_client();
	test_log();
	test_slots();
	test_cut();
	test_hostile();
	test_concurrent();
	ok(works(&neighbour, 0), "the neighbour works to the end");
	is_int(neighbour.lost + neighbour.down, 0, "and was never interrupted");
	vm.ch->ops->close(vm.ch, false);
	neighbour.ch->ops->close(neighbour.ch, false);
	front_end(&neighbour.f, 1);
	guest_close(&vm.g);
	guest_close(&neighbour.g);
	is_int(guest_mappings(), 0, "no memory of a guest is still mapped");
	after = open_fds();
	is_int(after, before, "no descriptor was left open");
	ok(!rmdir(dir), "and no file");
	return unit_done();
}
