// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user.c - the vhost-user channel, driven by a scripted front end
 */
#include <sys/epoll.h>
#include <sys/stat.h>

#include "vm.h"

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
	       BIT64(VIRTIO_NET_F_CTRL_VQ) |
	       BIT64(VIRTIO_NET_F_MQ) | BIT64(VIRTIO_NET_F_GUEST_ANNOUNCE) |
	       BIT64(VIRTIO_NET_F_HOST_TSO4) | BIT64(VIRTIO_NET_F_HOST_TSO6) |
	       BIT64(VIRTIO_NET_F_HOST_ECN) | BIT64(VIRTIO_F_ANY_LAYOUT) | BIT64(VIRTIO_F_RING_PACKED) |
	       BIT64(VIRTIO_NET_F_GUEST_CSUM) | BIT64(VIRTIO_NET_F_GUEST_TSO4) |
	       BIT64(VIRTIO_NET_F_GUEST_TSO6) |
	       BIT64(VHOST_USER_F_LOG_ALL),
	       "features: what a device of two pairs offers");
	ok(front_ask(f, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0) && f->in.u64 == PROTOCOL,
	   "features: protocol features");
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	ok(front_ask(f, VHOST_USER_GET_QUEUE_NUM, NULL, 0) && f->in.u64 == 4,
	   "features: two pairs, four rings");
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
	int i, bad = 0, ep, other;

	/* the end of the last connection may take a moment to be seen */
	for (i = 0; !rx(&vm, 0, data, 100, &res) && i < FRONT_WAIT_MS; i++)
		usleep(1000);
	ok(i < FRONT_WAIT_MS,
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
	other = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(other, EPOLL_CTL_ADD, vm.ch->ops->fd(vm.ch, 1), &ev);
	readable(other);
	ok(rx(&vm, 1, data, 100, &res) == 0 && !res.full && !res.error,
	   "pairs: a frame of a pair that is off waits for room in the other");
	ok(tx(&vm, 1, &buf, data) == 0 && !readable(other), "pairs: its worker is not kept busy");
	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	while (readable(ep))
		;
	front_kick(&vm.f, 0);
	ok(readable(ep) && !readable(other), "pairs: the guest's kick wakes the worker of the other");
	ok(tx(&vm, 0, &buf, data) == 0 && readable(other), "pairs: which wakes the one that waits");
	ok(tx(&vm, 0, &buf, data) == 0 && !readable(other), "pairs: once");
	ok(rx(&vm, 1, data, 100, &res) == 1 && res.delivered == 1 &&
	   driver_used_next(&vm.f.ring[0]),
	   "pairs: and the frame is delivered there");
	ok(rx(&vm, 1, data, 100, &res) == 0 && readable(other) == 0, "pairs: the next one waits");
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 0, 0);
	front_sync(&vm.f);
	ok(readable(other), "pairs: until the other is off as well");
	ok(rx(&vm, 1, data, 100, &res) == 1 && res.error == 1,
	   "pairs: then there is nobody to take it");
	is_int(vm.stopping, 1, "pairs: a guest that receives nothing has been stopped");
	vm.stopping = 0;
	front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, 0, 1);
	front_sync(&vm.f);
	close(other);
	memset(vm.g.mem + BUF(3), 0, 200);
	driver_give(&vm.f.ring[3], BUF(3), 100, 0);
	ok(tx(&vm, 1, &buf, data) == 1 && buf.fault == CHANNEL_DISABLED &&
	   driver_used_next(&vm.f.ring[3]),
	   "pairs: what a ring that is off sends is used up, and only counted");
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

/* ---- many addresses ------------------------------------------------------------------ */

static void test_addresses(void)
{
	static struct channel_address many[CHANNEL_ADDRESSES];
	struct frame_buf buf[40];
	static uint8_t wire[40][2048];
	uint64_t rarp = 0;
	uint32_t base[4];
	int i, n, right = 0, all = 0;

	ok(vm_connect(&vm, FEATURES) && works(&vm, 0) && works(&vm, 1), "many addresses: a guest");
	for (i = 0; i < CHANNEL_ADDRESSES; i++)
		many[i] = (struct channel_address){ .mac = { 2, 0, 0, 0, 0, (uint8_t)i } };
	vm.many = many;
	for (i = 0; i < 4; i++) {
		base[i] = vm.f.ring[i].used->idx;
		front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, (uint32_t[]){ (uint32_t)i, 0 }, 8);
	}
	for (i = 0; i < 4; i++)
		front_ring(&vm.f, (uint32_t)i, (uint16_t)base[i]);
	front_sync(&vm.f);
	do {
		for (i = 0; i < 40; i++)
			buf[i] = (struct frame_buf){ .data = wire[i], .room = 2048 };
		n = vm.ch->ops->tx_burst(vm.ch, 0, buf, 40);
		for (i = 0; i < n; i++) {
			if (!buf[i].own)	/* the address that is known at once */
				continue;
			right += is_rarp(&buf[i], wire[i]) && wire[i][11] == all;
			all++;
		}
	} while (n > 0 && all < CHANNEL_ADDRESSES);
	is_int(all, CHANNEL_ADDRESSES, "many addresses: as buffers allow, all of them");
	is_int(right, CHANNEL_ADDRESSES, "many addresses: each once, in order");
	ok(!strcmp(vm.announced, "64 addresses, 6 more are not"),
	   "many addresses: what is beyond is counted: %s", vm.announced);
	/* A round that has begun ends with the guest. */
	for (i = 0; i < 4; i++)
		front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, (uint32_t[]){ (uint32_t)i, 0 }, 8);
	for (i = 0; i < 4; i++)
		front_ring(&vm.f, (uint32_t)i, (uint16_t)base[i]);
	front_sync(&vm.f);
	buf[0] = (struct frame_buf){ .data = wire[0], .room = 2048 };
	n = vm.ch->ops->tx_burst(vm.ch, 0, buf, 1);
	for (i = 0; i < 4; i++)
		front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, (uint32_t[]){ (uint32_t)i, 0 }, 8);
	buf[0] = (struct frame_buf){ .data = wire[0], .room = 2048 };
	ok(n == 1 && !vm.ch->ops->tx_burst(vm.ch, 0, buf, 1),
	   "L-2 stop: nothing is announced behind the answer");
	memcpy(&rarp, mac, sizeof(mac));
	front_set(&vm.f, VHOST_USER_SEND_RARP, rarp);
	ok(front_sync(&vm.f) && !vm.ch->ops->tx_burst(vm.ch, 0, buf, 1),
	   "L-3 stop: not even if the front end asks");
	vm.many = NULL;
	for (i = 0; i < 4; i++)
		front_ring(&vm.f, (uint32_t)i, (uint16_t)base[i]);
	front_sync(&vm.f);
	ok(works(&vm, 0) && works(&vm, 1), "many addresses: the guest goes on");
	front_end(&vm.f, 2);
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
	int i, n, tries;

	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	base = vm.f.ring[0].used->idx;
	ok(front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, s, 8) && vm.f.in.state.num == base,
	   "stop: GET_VRING_BASE tells where the receive ring ended");
	memset(vm.g.mem + BUF(0), 0xaa, 2048);
	ok(rx(&vm, 0, data, 100, &res) == 0 && !res.full && !res.error,
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
	for (i = 0; i < 3 && tx(&vm, 0, &buf, wire) == 1 && !is_rarp_of(&buf, wire, 4094);)
		i++;
	ok(is_rarp_of(&buf, wire, 4094) && buf.own && wire[11] == mac[5] + 1 &&
	   !memcmp(wire + 26, wire + 6, 6),
	   "L-3 go on: and one for the other address, in its VLAN");
	ok(!strcmp(vm.announced, "2 addresses"), "L-3 go on: which is told: %s", vm.announced);
	for (tries = 0; tx(&vm, 0, &buf, wire) != 1 && tries < FRONT_WAIT_MS; tries++)
		usleep(1000);
	ok(tries < FRONT_WAIT_MS && is_rarp(&buf, wire), "L-3 go on: and it is said again");
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.delivered == 1 &&
	   driver_used_next(&vm.f.ring[0]),
	   "go on: the buffer offered before is used");
	ok(works(&vm, 0) && works(&vm, 1), "go on: both pairs work");
	memcpy(&m, "\x52\x54\x00\x00\x00\x07", 6);
	tries = 0;
	do {	/* a round of our own may replace it */
		front_set(&vm.f, VHOST_USER_SEND_RARP, m);
		front_sync(&vm.f);
		n = tx(&vm, 0, &buf, wire);
	} while (n == 1 && wire[11] != 7 && ++tries < VHOST_USER_ANNOUNCEMENTS);
	ok(n == 1 && is_rarp(&buf, wire) && wire[11] == 7, "SEND_RARP: is sent");

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

/* A channel whose control plane delivers first. */
static void test_orderly(void)
{
	struct vm v = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
			.wants_fn = on_wants };
	uint32_t s[2] = { 0, 0 };
	uint8_t data[2048] = { 0 };
	struct vmq_err err = VMQ_ERR_INIT;
	struct channel_rx res;
	int i;

	guest_open(&v.g);
	ok(!vm_open(&v, "orderly", 2, &err), "orderly: a channel");
	ok(rx(&v, 0, data, 100, &res) == 1 && res.error == 1,
	   "orderly: without a front end frames are errors");
	ok(front_connect(&v.f, v.path) && front_sync(&v.f), "orderly: a front end connects");
	ok(rx(&v, 0, data, 100, &res) == 0 && rx(&v, 1, data, 100, &res) == 0 && !res.error,
	   "L-3 orderly: frames wait for its guest");
	front_begin(&v.f, &v.g, 2, FEATURES, PROTOCOL);
	ok(wait_count(&v, &v.up, 1) && works(&v, 0) && works(&v, 1), "orderly: which works");
	is_int(v.wants, 0, "orderly: that it wants frames need not be said");

	for (i = 0; i < 3; i++)
		driver_give(&v.f.ring[0], BUF(i), 2048, RING_DESC_WRITE);
	front_state(&v.f, VHOST_USER_GET_VRING_BASE, 0, 0);
	ok(wait_count(&v, &v.stops, 1), "orderly: GET_VRING_BASE asks for a stop");
	ok(front_silent(&v.f), "orderly: and is not answered yet");
	ok(rx(&v, 0, data, 100, &res) == 1 && res.delivered == 1,
	   "orderly: what is held is delivered");
	ok(works(&neighbour, 0) && front_sync(&neighbour.f), "orderly: others are served meanwhile");
	v.ch->ops->quiet(v.ch);
	ok(front_read(&v.f) && v.f.in.request == VHOST_USER_GET_VRING_BASE &&
	   v.f.in.state.num == v.f.ring[0].used->idx,
	   "orderly: the answer comes when all are delivered, and counts them");
	for (i = 1; i < 4; i++) {
		s[0] = (uint32_t)i;
		ok(front_ask(&v.f, VHOST_USER_GET_VRING_BASE, s, 8),
		   "orderly: ring %d is answered at once", i);
	}
	is_int(v.stops, 1, "orderly: the queue has stopped once");
	ok(rx(&v, 0, data, 100, &res) == 1 && res.error == 1, "orderly: later frames are errors");

	for (i = 0; i < 4; i++)
		front_ring(&v.f, (uint32_t)i, v.f.ring[i].used->idx);
	ok(front_sync(&v.f) && v.wants == 1, "orderly: a ring that starts wants frames again");
	while (driver_used_next(&v.f.ring[0]))
		;
	ok(rx(&v, 0, data, 100, &res) == 1 && res.delivered == 1, "orderly: and gets them");

	front_set(&v.f, VHOST_USER_SET_STATUS, 0);
	ok(wait_count(&v, &v.stops, 2) && front_silent(&v.f), "orderly: a reset is a stop, too");
	front_end(&v.f, 2);
	ok(wait_count(&v, &v.down, 2), "orderly: a front end that goes meanwhile is noticed");
	ok(front_connect(&v.f, v.path) && front_sync(&v.f) && v.wants == 2,
	   "orderly: the next one wants frames by being there");
	v.ch->ops->quiet(v.ch);		/* late, for the one that has gone */
	front_begin(&v.f, &v.g, 2, FEATURES, PROTOCOL);
	ok(works(&v, 0), "orderly: and works");
	front_state(&v.f, VHOST_USER_GET_VRING_BASE, 1, 0);
	ok(wait_count(&v, &v.stops, 3) && front_silent(&v.f), "orderly: it waits for an answer of its own");
	v.ch->ops->close(v.ch, false);
	front_end(&v.f, 2);
	guest_close(&v.g);
}

static void test_reconnect(void)
{
	struct driver keep[4];
	struct front second;
	uint32_t base[4];
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
	for (i = 0; i < 4; i++)
		base[i] = keep[i].used->idx;
	front_go_on(&vm.f, &vm.g, 2, keep, base, FEATURES, PROTOCOL);
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
		vm.ch->ops->takes_joined(vm.ch, pair);
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

/*
 * A front end that enables its rings last, as DPDK's and Cloud Hypervisor do, when its
 * guest has lived on without a back end: what that has sent meanwhile is not lost.
 */
static void test_enabled_last(void)
{
	struct front *f = &vm.f;
	struct channel_rx res;
	struct frame_buf buf;
	uint8_t data[2048];
	uint32_t i;

	ok(front_connect(f, vm.path), "enabled last: a front end");
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	front_set(f, VHOST_USER_SET_FEATURES, FEATURES);
	front_mem(f, &vm.g);
	memset(vm.g.mem + BUF(1), 0, 200);
	for (i = 0; i < 4; i++) {
		front_eventfds(f, i);
		driver_open(&f->ring[i], &vm.g, FRONT_NUM, FRONT_RING(i));
		if (i & 1)
			driver_give(&f->ring[i], BUF(1), HDR + 100, 0);
		front_ring(f, i, 0);
	}
	front_sync(f);
	ok(tx(&vm, 0, &buf, data) == 0 && !driver_used_next(&f->ring[1]),
	   "enabled last: a frame from a ring that started before waits for that");
	for (i = 0; i < 3; i++)
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	front_state(f, VHOST_USER_SET_VRING_ENABLE, 3, 0);
	front_sync(f);
	ok(tx(&vm, 0, &buf, data) == 1 && !buf.fault && buf.len == 100 &&
	   driver_used_next(&f->ring[1]), "enabled last: and is sent then");
	ok(tx(&vm, 1, &buf, data) == 1 && buf.fault == CHANNEL_DISABLED &&
	   driver_used_next(&f->ring[3]), "enabled last: of a ring that shall be off it is counted");
	front_set(f, VHOST_USER_SET_STATUS, 0);
	for (i = 0; i < 2; i++) {
		driver_open(&f->ring[i], &vm.g, FRONT_NUM, FRONT_RING(i));
		driver_give(&f->ring[i], BUF(i), HDR + 100, i ? 0 : RING_DESC_WRITE);
		front_ring(f, i, 0);
	}
	front_sync(f);
	ok(tx(&vm, 0, &buf, data) == 0 && !driver_used_next(&f->ring[1]),
	   "enabled last: it is the same after a reset");
	ok(rx(&vm, 0, data, 100, &res) == 0 && !res.error,
	   "enabled last: a frame for the guest waits as well");
	for (i = 0; i < 2; i++)
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	front_sync(f);
	ok(tx(&vm, 0, &buf, data) == 1 && !buf.fault && driver_used_next(&f->ring[1]),
	   "enabled last: until it is enabled again");
	ok(rx(&vm, 0, data, 100, &res) == 1 && res.delivered == 1 &&
	   driver_used_next(&f->ring[0]), "enabled last: then it is given");
	front_end(f, 2);
}

int main(void)
{
	vms_begin();
	test_open();
	if (vms_open()) {
		test_negotiation();
		test_traffic();
		test_stop();
		test_orderly();
		test_enabled_last();
		test_reconnect();
		test_client();
		test_addresses();
		test_concurrent();
		vms_close();
	}
	return unit_done();
}
