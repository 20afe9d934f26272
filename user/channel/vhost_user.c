// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user.c - a virtual machine as a channel
 *
 * DOC: Theory of operation
 *
 * The front end (QEMU, Cloud Hypervisor, DPDK's virtio-user) talks to us over a
 * Unix socket: it hands over the guest's memory and, for each ring, where it
 * lies and the eventfds for kicks and interrupts. That is the business of one
 * thread for all guests (vhost_user_socket.c, vhost_user_msg.c). Workers move
 * frames between the rings and private memory (vring.c).
 *
 * Each pair is one receive and one transmit ring. A worker polls one descriptor
 * per pair all its life, while kick eventfds change with every connection, so
 * that one is an epoll instance with the present kicks in it. Nobody reads the
 * kicks: an eventfd wakes its waiters at every write, whatever its count, and
 * the worker waits edge-triggered. So a front end that hands over a descriptor
 * whose read() would block gains nothing.
 *
 * A guest uses as many pairs as it likes (Linux: one per virtual CPU), while the
 * device spreads flows over all. Frames of a pair that the guest has not enabled
 * go to the first one that it has, and wait for it when it has no room.
 *
 * When the front end stops the guest's rings, its queue goes first: frames that
 * the data path holds are delivered before the answer, because the answer is the
 * promise that guest memory is not written any more. The thread asks the control
 * plane for it (channel.h, `wants`), leaves the message where it is, and serves
 * other channels until it is told that nothing is left (vhost_user_phase).
 *
 * A guest that breaks the rules loses its connection, and nothing else happens:
 * the queue stays, frames for it are counted as channel errors, and the front
 * end may connect again.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/foreign.h"
#include "channel/mem_guard.h"
#include "channel/vhost_user.h"
#include "common/util.h"

/* ---- open and close --------------------------------------------------------- */

static int pair_open(struct vhost_user_pair *p)
{
	struct epoll_event ev = { .events = EPOLLIN };

	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->epfd < 0 || p->wake < 0 || epoll_ctl(p->epfd, EPOLL_CTL_ADD, p->wake, &ev) < 0)
		return -errno;
	return 0;
}

int vhost_user_new(struct vhost_user **out, const struct channel_config *cfg,
		   struct vmq_err *err)
{
	struct vhost_user *vu;
	int i, rc;

	if (cfg->pairs < 1 || cfg->pairs > VMQ_PAIRS_MAX) {
		vmq_err(err, -EINVAL, "a vhost-user channel has 1 to %d pairs, not %d",
			VMQ_PAIRS_MAX, cfg->pairs);
		return -EINVAL;
	}
	rc = mem_guard_init(err);
	if (rc)
		return rc;
	vu = calloc(1, sizeof(*vu));
	if (!vu) {
		vmq_err_sys(err, -ENOMEM, "cannot make a vhost-user channel");
		return -ENOMEM;
	}
	vu->ch.ops = &channel_vhost_user;
	vu->pairs = cfg->pairs;
	vu->mtu = MIN(cfg->mtu, UINT16_MAX);
	vu->event = cfg->event;
	vu->wants = cfg->wants;
	vu->told_moved = cfg->moved;
	vu->arg = cfg->arg;
	vu->listen_fd = vu->fd = -1;
	pthread_mutex_init(&vu->address_lock, NULL);
	vu->foreign = foreign_new();
	if (cfg->mac) {
		memcpy(vu->mac, cfg->mac, ETH_ALEN);
		vu->has_mac = true;
	}
	for (i = 0; i < 2 * vu->pairs; i++)
		vring_init(&vu->ring[i], &vu->mem);
	for (i = 0; i < vu->pairs; i++)
		vu->pair[i].epfd = vu->pair[i].wake = -1;
	for (i = 0; i < vu->pairs; i++) {
		rc = vu->foreign ? pair_open(&vu->pair[i]) : -ENOMEM;
		if (rc) {
			vhost_user_free(vu);
			vmq_err_sys(err, rc, "cannot make a vhost-user channel");
			return rc;
		}
	}
	*out = vu;
	return 0;
}

void vhost_user_free(struct vhost_user *vu)
{
	int i;

	vhost_user_reset(vu);
	for (i = 0; i < 2 * vu->pairs; i++)
		vring_destroy(&vu->ring[i]);
	for (i = 0; i < vu->pairs; i++) {
		if (vu->pair[i].epfd >= 0)
			close(vu->pair[i].epfd);
		if (vu->pair[i].wake >= 0)
			close(vu->pair[i].wake);
	}
	foreign_put(vu->foreign);
	pthread_mutex_destroy(&vu->address_lock);
	free(vu);
}

void vhost_user_reset(struct vhost_user *vu)
{
	int i;

	for (i = 0; i < 2 * vu->pairs; i++) {
		struct vring *r = &vu->ring[i];

		vhost_user_stop_ring(vu, (uint32_t)i);
		vring_lock(r);
		vring_reset(r);
		vring_unlock(r);
	}
	guest_mem_clear(&vu->mem);
	if (vu->log.map)
		munmap(vu->log.map, vu->log.map_len);
	vu->log = (struct dirty_log){ 0 };
	vu->protocol = 0;
	vu->status = 0;
	vu->moved = false;
	vhost_user_say_no_more(vu);
	store_relaxed(&vu->roomless, 0);
	store_relaxed(&vu->failed, false);
	store_relaxed(&vu->expected, false);
	/* Frames that have waited for this guest are to be dropped now. */
	for (i = 0; i < vu->pairs; i++)
		vhost_user_wake(vu, i);
}

/* "PATH[,server|client]" */
static int parse_args(struct vhost_user *vu, const char *args, struct vmq_err *err)
{
	const char *comma = strrchr(args, ',');
	size_t len = comma ? (size_t)(comma - args) : strlen(args);

	if (comma && !strcmp(comma + 1, "client"))
		vu->client = true;
	else if (comma && strcmp(comma + 1, "server"))
		return vmq_err(err, -EINVAL, "'%s' after the socket's path is neither server (vmq "
			       "listens) nor client (vmq connects)", comma + 1);
	if (args[0] != '/')
		return vmq_err(err, -EINVAL, "a vhost-user socket needs an absolute path, not "
			       "'%.*s'", (int)len, args);
	if (len >= sizeof(vu->addr.sun_path))
		return vmq_err(err, -EINVAL, "the path of a socket has at most %zu characters, "
			       "this one %zu", sizeof(vu->addr.sun_path) - 1, len);
	vu->addr.sun_family = AF_UNIX;
	memcpy(vu->addr.sun_path, args, len);
	return 0;
}

static int vhost_user_open(struct channel **out, const char *args,
			   const struct channel_config *cfg, struct vmq_err *err)
{
	struct vhost_user *vu;
	int rc;

	rc = vhost_user_new(&vu, cfg, err);
	if (rc)
		return rc;
	rc = parse_args(vu, args, err);
	if (!rc)
		rc = vhost_user_attach(vu, err);
	if (rc) {
		vhost_user_free(vu);
		return rc;
	}
	*out = &vu->ch;
	return 0;
}

static void vhost_user_close(struct channel *ch, bool keep)
{
	struct vhost_user *vu = container_of(ch, struct vhost_user, ch);

	/* A restarted service makes the socket anew, and front ends connect again. */
	(void)keep;
	vhost_user_detach(vu);
	vhost_user_free(vu);
}

/* ---- frames ------------------------------------------------------------------- */

static struct vring *ring_of(struct vhost_user *vu, int pair, bool tx)
{
	return &vu->ring[2 * pair + tx];
}

struct vring *vhost_user_receiver(struct vhost_user *vu, const struct vring *except)
{
	int i;

	for (i = 0; i < vu->pairs; i++) {
		struct vring *r = ring_of(vu, i, false);

		if (r != except && load_relaxed(&r->ready))
			return r;
	}
	return NULL;
}

/*
 * Give frames to the first pair that the guest uses. Without any they wait while
 * a front end is about to start its guest: those of one that was migrated here may
 * come before it. More than a ring holds never wait.
 */
static int rx_substituted(struct vhost_user *vu, const struct frame *f, int n,
			  struct channel_rx *res)
{
	struct vring *r = vhost_user_receiver(vu, NULL);
	int settled;

	if (!r && load_relaxed(&vu->expected))
		return 0;
	if (!r) {
		res->error += (uint32_t)n;
		return n;
	}
	if (vring_rx(r, f, n, res, &settled) != VRING_BROKEN)
		return settled;
	vhost_user_fail(vu);
	res->error += (uint32_t)(n - settled);
	return n;
}

/*
 * What finds no room waits, as it would for a ring of its own. But the guest's
 * kick wakes another worker, so that one must know who waits. It is told before
 * the last look for room: had it been told afterwards, the kick could have come
 * in between.
 */
static int rx_elsewhere(struct vhost_user *vu, int pair, const struct frame *f, int n,
			struct channel_rx *res)
{
	int settled = rx_substituted(vu, f, n, res);

	if (settled == n)
		return n;
	__atomic_fetch_or(&vu->roomless, BIT64(pair), __ATOMIC_SEQ_CST);
	return settled + rx_substituted(vu, f + settled, n - settled, res);
}

void vhost_user_wake_roomless(struct vhost_user *vu)
{
	uint64_t who;

	if (!load_relaxed(&vu->roomless))
		return;
	who = __atomic_exchange_n(&vu->roomless, 0, __ATOMIC_SEQ_CST);
	for (; who; who &= who - 1)
		vhost_user_wake(vu, __builtin_ctzll(who));
}

static int vhost_user_rx_burst(struct channel *ch, int pair, const struct frame *f, int n,
			       struct channel_rx *res)
{
	struct vhost_user *vu = container_of(ch, struct vhost_user, ch);
	int settled;

	switch (vring_rx(ring_of(vu, pair, false), f, n, res, &settled)) {
	case VRING_OFF:
		return rx_elsewhere(vu, pair, f, n, res);
	case VRING_BROKEN:
		vhost_user_fail(vu);
		res->error += (uint32_t)(n - settled);
		return n;
	default:
		return settled;
	}
}

#define GUEST_TSO	(BIT64(VIRTIO_NET_F_GUEST_TSO4) | BIT64(VIRTIO_NET_F_GUEST_TSO6))

static bool vhost_user_takes_joined(struct channel *ch, int pair)
{
	struct vhost_user *vu = container_of(ch, struct vhost_user, ch);

	return load_relaxed(&ring_of(vu, pair, false)->features) & GUEST_TSO;
}

static int vhost_user_tx_burst(struct channel *ch, int pair, struct frame_buf *buf, int n)
{
	struct vhost_user *vu = container_of(ch, struct vhost_user, ch);
	int own = 0, taken;

	/* Was it a kick for more receive buffers? One who waits himself does not ask. */
	if (load_relaxed(&ring_of(vu, pair, false)->ready))
		vhost_user_wake_roomless(vu);
	if (!pair && !load_relaxed(&vu->paused))
		own = vhost_user_say(vu, buf, n);
	if (vring_tx(ring_of(vu, pair, true), buf + own, n - own, &taken) == VRING_BROKEN)
		vhost_user_fail(vu);
	return own + taken;
}

static int vhost_user_fd(struct channel *ch, int pair)
{
	return container_of(ch, struct vhost_user, ch)->pair[pair].epfd;
}

void vhost_user_wake(struct vhost_user *vu, int pair)
{
	uint64_t one = 1;

	/* Non-blocking and never read; the write alone wakes. */
	if (write(vu->pair[pair].wake, &one, sizeof(one)) < 0)
		one = 0;
}

/* ---- pause --------------------------------------------------------------------- */

static void vhost_user_hold(struct vhost_user *vu, bool on)
{
	int i;

	store_relaxed(&vu->paused, on);
	for (i = 0; i < 2 * vu->pairs; i++)
		vring_hold(&vu->ring[i], on);
	for (i = 0; !on && i < vu->pairs; i++)
		vhost_user_wake(vu, i);
}

static void vhost_user_pause(struct channel *ch)
{
	vhost_user_hold(container_of(ch, struct vhost_user, ch), true);
}

static void vhost_user_resume(struct channel *ch)
{
	vhost_user_hold(container_of(ch, struct vhost_user, ch), false);
}

static void vhost_user_now_quiet(struct channel *ch)
{
	vhost_user_quiet(container_of(ch, struct vhost_user, ch));
}

const struct channel_ops channel_vhost_user = {
	.kind = "vhost-user",
	.usage = "vhost-user:PATH[,server|client]",
	.open = vhost_user_open,
	.rx_burst = vhost_user_rx_burst,
	.takes_joined = vhost_user_takes_joined,
	.tx_burst = vhost_user_tx_burst,
	.fd = vhost_user_fd,
	.pause = vhost_user_pause,
	.resume = vhost_user_resume,
	.quiet = vhost_user_now_quiet,
	.set_addresses = vhost_user_set_addresses,
	.close = vhost_user_close,
};
