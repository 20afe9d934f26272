// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_hostile.c - front ends that do not behave
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>

#include "netns.h"
#include "vm.h"

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

static void *deliver_one(void *arg)
{
	static uint8_t data[100];
	struct channel_rx res;

	driver_give(&vm.f.ring[0], BUF(0), 2048, RING_DESC_WRITE);
	rx(&vm, 0, data, sizeof(data), &res);
	return arg;
}

/*
 * The front end holds the descriptor that it is interrupted by, too: it takes
 * O_NONBLOCK away and fills the count, so that a write would wait for it.
 */
static void test_full_call(void)
{
	struct timespec until;
	pthread_t worker;
	uint64_t full = UINT64_MAX - 1;
	int call, flags;
	bool joined;

	if (!ok(vm_connect(&vm, FEATURES), "call: a front end connects"))
		return;
	call = vm.f.call[0];
	front_events(call);
	flags = fcntl(call, F_GETFL);
	if (write(call, &full, sizeof(full)) < 0 || fcntl(call, F_SETFL, flags & ~O_NONBLOCK))
		abort();
	pthread_create(&worker, NULL, deliver_one, NULL);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 3;
	joined = !pthread_timedjoin_np(worker, NULL, &until);
	ok(joined, "M-8 call: a full eventfd that blocks holds up no worker");
	fcntl(call, F_SETFL, flags);
	ok(front_events(call) >= full, "M-8 call: it stays full");
	if (!joined)
		pthread_join(worker, NULL);
	ok(driver_used_next(&vm.f.ring[0]), "call: the frame is in the guest");
	deliver_one(NULL);
	is_int((long long)front_events(call), 1, "call: the next one is told again");
	front_end(&vm.f, 2);
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

/*
 * A TCP socket whose last close() waits until its peer has read all, or for a minute.
 * -1: no such thing here.
 */
static int lingering(int *peer)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct linger linger = { 1, 60 };
	socklen_t len = sizeof(a);
	static char bytes[65536];

	*peer = -1;
	if (bind(listener, (struct sockaddr *)&a, len) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&a, &len) ||
	    connect(fd, (struct sockaddr *)&a, len)) {
		close(listener);
		close(fd);
		return -1;
	}
	*peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return fd;
}

#define LINGERING	8	/* that a channel may have */

/* Descriptors that are slow to close, by front ends that have closed theirs before. */
static void test_slow_close(void)
{
	struct { uint32_t request, flags, size; uint64_t u64; } __attribute__((packed)) m = {
		VHOST_USER_SET_VRING_KICK, VHOST_USER_VERSION, 8, 0,
	};
	int before, peer[LINGERING], fd, i;
	struct front *f = &vm.f;
	bool others = true;
	struct pollfd p;

	if (unshare(CLONE_NEWNET) || RUN("ip", "link", "set", "lo", "up")) {
		skip("no network namespace", "slow close: holds up nobody else");
		return;
	}
	/* The one before it has gone, with all that it had. */
	if (!ok(front_connect(f, vm.path) && front_sync(f), "slow close: a front end"))
		return;
	before = open_fds() - 2;	/* but both ends of this connection */
	close(f->fd);
	for (i = 0; i < LINGERING && others; i++) {
		fd = lingering(&peer[i]);
		if (!ok(fd >= 0 && front_connect(f, vm.path), "slow close: front end %d", i))
			return;
		/* SET_LOG_FD closes what it got, the other one does not want it. */
		m.request = i & 1 ? VHOST_USER_SET_LOG_FD : VHOST_USER_SET_VRING_KICK;
		front_write(f, &m, 6, &fd, 1);
		close(fd);
		front_write(f, (char *)&m + 6, sizeof(m) - 6, NULL, 0);
		others &= front_cut_off(f) && front_sync(&neighbour.f);
		close(f->fd);
	}
	ok(others, "slow close: holds up nobody else");
	p = (struct pollfd){ .events = POLLIN };
	ok(front_connect(f, vm.path) && front_send(f, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0),
	   "slow close: another front end of that channel");
	p.fd = f->fd;
	ok(!poll(&p, 1, 50) && front_sync(&neighbour.f), "slow close: has to wait");
	while (i)
		close(peer[--i]);
	ok(front_read(f), "slow close: until some are closed");
	close(f->fd);
	for (i = 0; i < FRONT_WAIT_MS && open_fds() != before; i++)
		poll(NULL, 0, 1);
	is_int(open_fds(), before, "slow close: at last all are");
}

int main(void)
{
	vms_begin();
	if (vms_open()) {
		test_cut();
		test_hostile();
		test_full_call();
		test_slow_close();
		vms_close();
	}
	return unit_done();
}
