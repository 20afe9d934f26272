/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * front.h - a scripted vhost-user front end
 *
 * Does what QEMU does, and what it would never do. All calls have a deadline.
 */
#ifndef VMQ_TEST_FRONT_H
#define VMQ_TEST_FRONT_H

#include <linux/virtio_config.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "channel/vhost_user.h"
#include "guest.h"

#define FRONT_WAIT_MS	3000

struct front {
	int fd;
	uint32_t flags;			/* of all messages, beside their own */
	uint32_t said;			/* the last request */
	struct vhost_user_msg in;	/* the last answer */
	int kick[4], call[4], err[4];	/* of up to two pairs */
	struct driver ring[4];
};

static inline void front_addr(struct sockaddr_un *un, const char *path)
{
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
}

static inline bool front_connect(struct front *f, const char *path)
{
	struct sockaddr_un un;

	front_addr(&un, path);
	f->flags = 0;
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return !connect(f->fd, (struct sockaddr *)&un, sizeof(un));
}

/* Send @len bytes with descriptors: a message, or a piece of one. */
static inline bool front_write(struct front *f, const void *data, size_t len, const int *fds, int n)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (n) {
		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(f->fd, &mh, MSG_NOSIGNAL) == (ssize_t)len;
}

static inline bool front_send(struct front *f, uint32_t request, uint32_t flags,
			      const void *payload, uint32_t size, const int *fds, int n)
{
	struct vhost_user_msg m = {
		.request = request, .flags = VHOST_USER_VERSION | f->flags | flags, .size = size,
	};

	f->said = request;
	if (size)
		memcpy(m.raw, payload, size);
	return front_write(f, &m, VHOST_USER_HEADER + size, fds, n);
}

/* Read the next answer. Return: false at the end of the connection or too late. */
static inline bool front_read(struct front *f)
{
	uint32_t have = 0, want = VHOST_USER_HEADER;

	while (have < want) {
		struct pollfd p = { .fd = f->fd, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, FRONT_WAIT_MS) <= 0)
			return false;
		n = recv(f->fd, (char *)&f->in + have, want - have, 0);
		if (n <= 0)
			return false;
		have += (uint32_t)n;
		if (have == VHOST_USER_HEADER)
			want += f->in.size;
	}
	return true;
}

static inline bool front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	return front_send(f, request, 0, payload, size, NULL, 0) && front_read(f) &&
	       f->in.request == request && f->in.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY);
}

static inline bool front_set(struct front *f, uint32_t request, uint64_t v)
{
	return front_send(f, request, 0, &v, 8, NULL, 0);
}

static inline bool front_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	uint32_t s[2] = { index, num };

	return front_send(f, request, 0, s, 8, NULL, 0);
}

/* Everything said before this has been done: answers come in order. */
static inline bool front_sync(struct front *f)
{
	return front_ask(f, VHOST_USER_GET_FEATURES, NULL, 0);
}

/* The backend ends the connection; nothing else comes. */
static inline bool front_cut_off(struct front *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	char c[4096];
	ssize_t n;

	while (poll(&p, 1, FRONT_WAIT_MS) > 0) {
		n = recv(f->fd, c, sizeof(c), 0);
		if (n <= 0)
			return true;
	}
	return false;
}

/* Nothing is answered yet. */
static inline bool front_silent(struct front *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };

	return !poll(&p, 1, 20);
}

static inline bool front_ring_fd(struct front *f, uint32_t request, uint32_t index, int fd)
{
	uint64_t v = index;

	return front_send(f, request, 0, &v, 8, &fd, 1);
}

static inline bool front_mem(struct front *f, struct guest *g)
{
	struct { uint32_t n, pad; struct vhost_user_region r[2]; } m = { .n = 2 };
	int fds[2] = { g->fd, g->fd }, i;

	for (i = 0; i < 2; i++) {
		struct guest_region_desc d = guest_region(i);

		m.r[i] = (struct vhost_user_region){ d.gpa, d.size, d.uva, d.offset };
	}
	return front_send(f, VHOST_USER_SET_MEM_TABLE, 0, &m, sizeof(m), fds, 2);
}

static inline bool front_addr_msg(struct front *f, uint32_t i, uint32_t flags)
{
	struct driver *d = &f->ring[i];
	struct { uint32_t index, flags; uint64_t desc, used, avail, log; } a = {
		.index = i, .flags = flags,
		.desc = GUEST_UVA + d->at,
		.used = GUEST_UVA + driver_used(d->num, d->at),
		.avail = GUEST_UVA + driver_avail(d->num, d->at),
		.log = GUEST_GPA + driver_used(d->num, d->at),
	};

	return front_send(f, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
}

#define FRONT_NUM	16u
#define FRONT_RING(i)	(0x1000u + (i) * 0x1000u)

/* One ring, in QEMU's order: num, base, addr, kick, call, err. */
static inline void front_ring(struct front *f, uint32_t i, uint32_t base)
{
	front_state(f, VHOST_USER_SET_VRING_NUM, i, f->ring[i].num);
	front_state(f, VHOST_USER_SET_VRING_BASE, i, base);
	front_addr_msg(f, i, 0);
	front_ring_fd(f, VHOST_USER_SET_VRING_KICK, i, f->kick[i]);
	front_ring_fd(f, VHOST_USER_SET_VRING_CALL, i, f->call[i]);
	front_ring_fd(f, VHOST_USER_SET_VRING_ERR, i, f->err[i]);
}

/* What QEMU says of a packed ring that nobody has served: slot 0 and lap 1, twice. */
#define FRONT_FRESH_PACKED	0x80008000u

/* New eventfds for ring @i. */
static inline void front_eventfds(struct front *f, uint32_t i)
{
	f->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Agree on those of @protocol that are offered (MQ is with several pairs only). */
static inline void front_protocol(struct front *f, uint64_t protocol)
{
	front_ask(f, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0);
	front_set(f, VHOST_USER_SET_PROTOCOL_FEATURES, protocol & f->in.u64);
}

/*
 * Connected again, and the guest has lived on with the rings in @keep: what is said of
 * them, each to begin at its @base. Return: all of it was taken.
 */
static inline bool front_go_on(struct front *f, struct guest *g, int pairs,
			       const struct driver *keep, const uint32_t *base,
			       uint64_t features, uint64_t protocol)
{
	uint32_t i;

	front_protocol(f, protocol);
	front_set(f, VHOST_USER_SET_FEATURES, features);
	front_mem(f, g);
	for (i = 0; i < 2 * (uint32_t)pairs; i++) {
		f->ring[i] = keep[i];
		front_eventfds(f, i);
		front_ring(f, i, base[i]);
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	}
	return front_sync(f);
}

/* Features, memory and fresh rings. Return: all of it was taken. */
static inline bool front_begin(struct front *f, struct guest *g, int pairs, uint64_t features,
			       uint64_t protocol)
{
	uint32_t i;

	front_ask(f, VHOST_USER_GET_FEATURES, NULL, 0);
	front_protocol(f, protocol);
	front_send(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	front_set(f, VHOST_USER_SET_FEATURES, features);
	front_mem(f, g);
	for (i = 0; i < 2 * (uint32_t)pairs; i++) {
		front_eventfds(f, i);
		if (features & BIT64(VIRTIO_F_RING_PACKED)) {
			driver_open_packed(&f->ring[i], g, FRONT_NUM, FRONT_RING(i), 0);
			front_ring(f, i, FRONT_FRESH_PACKED);
		} else {
			driver_open(&f->ring[i], g, FRONT_NUM, FRONT_RING(i));
			front_ring(f, i, 0);
		}
	}
	for (i = 0; i < 2 * (uint32_t)pairs; i++)
		front_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	return front_sync(f);
}

static inline void front_end(struct front *f, int pairs)
{
	int i;

	close(f->fd);
	for (i = 0; i < 2 * pairs; i++) {
		close(f->kick[i]);
		close(f->call[i]);
		close(f->err[i]);
	}
}

static inline void front_kick(struct front *f, int ring)
{
	uint64_t one = 1;

	if (write(f->kick[ring], &one, sizeof(one)) < 0)
		abort();
}

static inline uint64_t front_events(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

#endif /* VMQ_TEST_FRONT_H */
