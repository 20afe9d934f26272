// SPDX-License-Identifier: GPL-2.0-only
/*
 * rxq.c - one RX queue of the device: UMEM, FILL, COMPLETION, anchor socket
 *
 * DOC: Theory of operation
 *
 * The UMEM is one anonymous mapping: first the receive frames, then the transmit
 * frames, kept on a stack. The two never mix, so no guest's transmit can take a
 * frame that a ring was promised.
 *
 * In FILL and the rings together are as many receive frames as rings were
 * promised, and a reserve, but in FILL no more than FILL_MAX; the others are on a
 * stack. FILL is first in, first out: every frame in it comes round, and 65,000 of
 * them are a miss of caches and TLB a frame. From the stack come those that were
 * used last. With 256 rings of 256 that is 4.1 M frames/s instead of 3.0, with 1,024
 * of 64 4.2 instead of 3.1; FILL_MAX may be 512 or 16,384 then, all the same.
 *
 * It makes no difference to who gets a frame. Whoever looks at a ring of the RX queue
 * tops FILL up, even if its guest takes nothing: it runs dry while a ring has room
 * only if FILL_MAX frames arrive and no worker looks at any ring meanwhile.
 *
 * FILL is filled before the anchor is bound: igb in zero-copy mode receives
 * nothing otherwise (6.16, 6.18). Every socket on the RX queue shares the one
 * FILL ring, so it has a lock, taken once per batch; the same goes for transmit.
 * The locks are adaptive mutexes: held for a few hundred nanoseconds, but a
 * holder can lose its CPU to the kernel's receive work, and then sleeping
 * beats spinning on a CPU that has guests of its own.
 *
 * In copy mode the kernel sends from within our sendto(), at most 32 frames a
 * call (__xsk_generic_xmit(), net/xdp/xsk.c). It returns 0 when the TX ring is
 * empty, EAGAIN after 32 frames or when the device's own queue is full, EBUSY
 * when the device dropped one frame. What is left in the ring is sent by the
 * next call only, hence the timer here: a descriptor once published cannot be
 * taken back, because the kernel keeps a private copy of the producer index.
 */
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/util.h"
#include "datapath/rxq.h"

#define FILL_MAX	16384u		/* frames in FILL, where rings were promised more */
#define BIND_WAIT_NS	1000000000ULL	/* how long EBUSY may be a late release */
#define FLUSH_NS	1000000ULL	/* retry of frames the device had no room for */
#define KICK_MAX	64		/* sendto() calls in one go, 32 frames each */
#define SNDBUF_FRAME	8192		/* truesize of one 4 KiB frame's skb, and more */

struct rxq {
	pthread_mutex_t fill_lock;	/* of what follows */
	struct xsk_ring_prod fill;
	uint64_t *rx_free;		/* stack of frames that are in no ring */
	uint32_t rx_free_n;
	uint32_t rx_kept;		/* so many of them at least: nobody was promised them */
	uint32_t fill_max;

	struct xsk_ring_prod tx;
	struct xsk_ring_cons comp;
	pthread_mutex_t tx_lock;
	uint64_t *tx_free;		/* stack of frame addresses */
	uint32_t tx_free_n;
	bool	 tx_left;		/* descriptors the kernel has not looked at */
	struct source flush;		/* fd: eventfd, "tx_left is set" */

	struct xsk_ring_cons rx;	/* of an anchor without a TX queue; unused */
	struct xsk_socket *anchor;
	struct xsk_umem	  *umem;
	uint8_t	*area;
	size_t	 size;
	int	 anchor_fd;
	uint32_t id;
	uint32_t chunk;
	uint32_t rx_frames;
	uint32_t admitted;
	bool	 has_tx;
	int	 ifindex;
};

/* ---- open and close ------------------------------------------------------ */

static void rxq_lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

static int rxq_umem_error(const struct rxq *q, int rc, struct vmq_err *err)
{
	uint64_t mib = (q->size + (1 << 20) - 1) >> 20;
	struct rlimit lim = { 0 };

	switch (rc) {
	case -ENOBUFS:
		getrlimit(RLIMIT_MEMLOCK, &lim);
		return vmq_err(err, rc, "cannot pin %llu MiB of frames for RX queue %u: the limit "
			       "on locked memory (RLIMIT_MEMLOCK) is %llu KiB; raise it "
			       "(LimitMEMLOCK=, ulimit -l) or give vmq-load CAP_IPC_LOCK",
			       (unsigned long long)mib, q->id,
			       (unsigned long long)lim.rlim_cur >> 10);
	case -EPERM:
		return vmq_err(err, rc, "cannot open an AF_XDP socket for RX queue %u: "
			       "CAP_NET_RAW is missing", q->id);
	case -EAFNOSUPPORT:
		return vmq_err(err, rc, "this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)");
	default:
		return vmq_err_sys(err, rc, "cannot register %llu MiB of frames for RX queue %u",
				   (unsigned long long)mib, q->id);
	}
}

/* So many entries are free in FILL. */
static void rxq_fill(struct rxq *q, const uint64_t *addr, uint32_t n)
{
	uint32_t at, i;

	if (!n || !xsk_ring_prod__reserve(&q->fill, n, &at))
		return;
	for (i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&q->fill, at + i) = addr[i];
	xsk_ring_prod__submit(&q->fill, n);
}

static void rxq_stack(struct rxq *q, const uint64_t *addr, uint32_t n)
{
	memcpy(q->rx_free + q->rx_free_n, addr, n * sizeof(*addr));
	q->rx_free_n += n;
}

/* From the stack into FILL, which has @room, what rings were promised. */
static void rxq_top_up(struct rxq *q, uint32_t room)
{
	uint32_t n = q->rx_free_n > q->rx_kept ? MIN(room, q->rx_free_n - q->rx_kept) : 0;

	q->rx_free_n -= n;
	rxq_fill(q, q->rx_free + q->rx_free_n, n);
}

/* The same, with all that the kernel has taken seen. */
static void rxq_top_up_now(struct rxq *q)
{
	rxq_top_up(q, xsk_prod_nb_free(&q->fill, q->fill_max));
}

static int rxq_open_umem(struct rxq *q, uint32_t tx_frames, struct vmq_err *err)
{
	uint32_t rx = q->rx_frames + RXQ_RESERVE, i;
	struct xsk_umem_config cfg = {
		.fill_size = roundup_pow2(MIN(rx, FILL_MAX)),
		.comp_size = roundup_pow2(MAX(tx_frames, 1u)),
		.frame_size = q->chunk,
	};
	int rc;

	q->size = (size_t)(rx + tx_frames) * q->chunk;
	rc = memory_admit(q->size, err);
	if (rc)
		return vmq_err_prefix(err, "no %zu MiB of frames for RX queue %u (see --queues, "
				      "--frames)", (q->size + (1 << 20) - 1) >> 20, q->id);
	q->area = mmap(NULL, q->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->area == MAP_FAILED) {
		q->area = NULL;
		return rxq_umem_error(q, -errno, err);
	}
	q->rx_free = calloc(rx, sizeof(*q->rx_free));
	q->tx_free = calloc(MAX(tx_frames, 1u), sizeof(*q->tx_free));
	if (!q->rx_free || !q->tx_free)
		return rxq_umem_error(q, -ENOMEM, err);

	rc = xsk_umem__create(&q->umem, q->area, q->size, &q->fill, &q->comp, &cfg);
	if (rc) {
		q->umem = NULL;
		return rxq_umem_error(q, rc, err);
	}

	/* Low addresses on top of the stacks: those that were used last stay in use. */
	for (i = rx; i--; )
		q->rx_free[q->rx_free_n++] = (uint64_t)i * q->chunk;
	q->fill_max = cfg.fill_size;
	q->rx_kept = q->rx_frames;
	rxq_top_up_now(q);
	for (i = tx_frames; i--; )
		q->tx_free[q->tx_free_n++] = (uint64_t)(rx + i) * q->chunk;
	return 0;
}

static int rxq_bind_error(const struct rxq *q, const char *ifname, int rc, struct vmq_err *err)
{
	switch (rc) {
	case -EBUSY:
		return vmq_err(err, rc, "RX queue %u of %s is taken by another AF_XDP socket; "
			       "end the program that has it", q->id, ifname);
	case -EINVAL:
		return vmq_err(err, rc, "%s has no RX queue %u any more; see ethtool -l %s",
			       ifname, q->id, ifname);
	case -EOPNOTSUPP:
		return vmq_err(err, rc, "the driver of %s refuses AF_XDP in copy mode on RX queue "
			       "%u; try --mode skb", ifname, q->id);
	default:
		return vmq_err_sys(err, rc, "cannot bind an AF_XDP socket to RX queue %u of %s",
				   q->id, ifname);
	}
}

/*
 * The kernel releases a closed socket's pool in a work queue (xp_put_pool(),
 * net/xdp/xsk_buff_pool.c): for some 30 ms a queue that is free looks taken.
 */
static int rxq_bind(struct rxq *q, const char *ifname, uint32_t tx_frames, struct vmq_err *err)
{
	struct xsk_socket_config cfg = {
		.rx_size = 64,
		.tx_size = roundup_pow2(MAX(tx_frames, 64u)),
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
	};
	struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t until = now_ns() + BIND_WAIT_NS;
	int rc;

	for (;;) {
		rc = xsk_socket__create(&q->anchor, ifname, q->id, q->umem,
					q->has_tx ? NULL : &q->rx, q->has_tx ? &q->tx : NULL, &cfg);
		if (rc != -EBUSY || now_ns() >= until)
			break;
		nanosleep(&pause, NULL);
		pause.tv_nsec = MIN(pause.tv_nsec * 2, 50000000);
	}
	if (rc) {
		q->anchor = NULL;
		return rxq_bind_error(q, ifname, rc, err);
	}
	q->anchor_fd = xsk_socket__fd(q->anchor);
	return 0;
}

static int rxq_flush(struct source *s);

/* Transmit must be limited by its frames alone, not by the socket's buffer. */
static void rxq_tx_init(struct rxq *q, uint32_t tx_frames)
{
	int bytes = (int)MIN((uint64_t)tx_frames * SNDBUF_FRAME, 1u << 30);

	setsockopt(q->anchor_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

/**
 * rxq_open() - take over an RX queue of the device
 * @out: the RX queue
 * @cfg: configuration, used during the call only
 * @err: sentence
 *
 * Return: 0; -EBUSY another AF_XDP socket has the queue; -ENOBUFS, -EPERM the
 * limits and capabilities named in the sentence; -errno.
 */
int rxq_open(struct rxq **out, const struct rxq_config *cfg, struct vmq_err *err)
{
	uint32_t tx_frames = cfg->has_tx ? cfg->tx_frames : 0;
	struct rxq *q;
	int rc;

	/* Zeroed: xsk_umem__create() of libxdp 1.3.1 leaves cached_prod as it is. */
	q = calloc(1, sizeof(*q));
	if (!q)
		return vmq_err_sys(err, -ENOMEM, "cannot open RX queue %u", cfg->id);
	q->id = cfg->id;
	q->chunk = cfg->chunk;
	q->rx_frames = cfg->rx_frames;
	q->has_tx = cfg->has_tx;
	q->anchor_fd = -1;
	rxq_lock_init(&q->fill_lock);
	rxq_lock_init(&q->tx_lock);
	q->flush.poll = rxq_flush;
	q->flush.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->flush.fd < 0) {
		rc = vmq_err_sys(err, -errno, "cannot open RX queue %u", q->id);
		goto err_close;
	}
	rc = rxq_open_umem(q, tx_frames, err);
	if (rc)
		goto err_close;
	rc = rxq_bind(q, cfg->ifname, tx_frames, err);
	if (rc)
		goto err_close;
	if (q->has_tx)
		rxq_tx_init(q, tx_frames);
	q->ifindex = (int)if_nametoindex(cfg->ifname);
	*out = q;
	return 0;

err_close:
	rxq_close(q);
	return rc;
}

/**
 * rxq_close() - give the RX queue back to the kernel
 * @q: RX queue, its rings closed and its source taken from its worker before;
 *     may be NULL
 */
void rxq_close(struct rxq *q)
{
	if (!q)
		return;
	if (q->anchor)
		xsk_socket__delete(q->anchor);
	if (q->umem)
		xsk_umem__delete(q->umem);
	if (q->area)
		munmap(q->area, q->size);
	if (q->flush.fd >= 0)
		close(q->flush.fd);
	pthread_mutex_destroy(&q->fill_lock);
	pthread_mutex_destroy(&q->tx_lock);
	free(q->rx_free);
	free(q->tx_free);
	free(q);
}

uint32_t rxq_id(const struct rxq *q)
{
	return q->id;
}

int rxq_ifindex(const struct rxq *q)
{
	return q->ifindex;
}

struct xsk_umem *rxq_umem(struct rxq *q)
{
	return q->umem;
}

void *rxq_data(struct rxq *q, uint64_t addr)
{
	return q->area + addr;
}

/* ---- admission ------------------------------------------------------------ */

/**
 * rxq_admit() - reserve frames for a ring
 * @q: RX queue
 * @n: frames: the ring's entries, its quota
 * @err: sentence
 *
 * Return: 0, or -ENOBUFS.
 */
int rxq_admit(struct rxq *q, uint32_t n, struct vmq_err *err)
{
	uint32_t left = rxq_frames_free(q);

	if (n > left)
		return vmq_err(err, -ENOBUFS, "RX queue %u has %u of its %u frames left and a ring "
			       "needs %u; free a queue, use a smaller ring, or restart vmq-load "
			       "with more frames", q->id, left, q->rx_frames, n);
	q->admitted += n;
	pthread_mutex_lock(&q->fill_lock);
	q->rx_kept -= n;
	rxq_top_up_now(q);
	pthread_mutex_unlock(&q->fill_lock);
	return 0;
}

void rxq_release(struct rxq *q, uint32_t n)
{
	q->admitted -= n;
	pthread_mutex_lock(&q->fill_lock);
	q->rx_kept += n;	/* once they come back, if they are in FILL */
	pthread_mutex_unlock(&q->fill_lock);
}

uint32_t rxq_frames_free(const struct rxq *q)
{
	return q->rx_frames - q->admitted;
}

/* ---- receive: frames back to FILL ------------------------------------------ */

/**
 * rxq_refill() - give frames back, and FILL what it lacks
 * @q: RX queue
 * @addr: descriptors' addresses; the kernel masks them to the chunk
 * @n: how many
 */
void rxq_refill(struct rxq *q, const uint64_t *addr, uint32_t n)
{
	uint32_t room, direct;

	pthread_mutex_lock(&q->fill_lock);
	if (q->rx_free_n < q->rx_kept) {
		uint32_t kept = MIN(n, q->rx_kept - q->rx_free_n);

		n -= kept;
		rxq_stack(q, addr + n, kept);
	}
	/*
	 * The kernel's index is read only if FILL looks full, and while frames are on
	 * the stack it does: it is another CPU's cache line.
	 */
	room = xsk_prod_nb_free(&q->fill, n);
	direct = MIN(n, room);
	rxq_fill(q, addr, direct);
	rxq_stack(q, addr + direct, n - direct);
	rxq_top_up(q, room - direct);
	if (xsk_ring_prod__needs_wakeup(&q->fill))
		recvfrom(q->anchor_fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
	pthread_mutex_unlock(&q->fill_lock);
}

/**
 * rxq_look_after() - a worker has looked at a ring and takes nothing from it
 * @q: RX queue
 *
 * FILL is topped up when frames come back. Where guests take none it has to be done
 * all the same, or those who do would get none.
 */
void rxq_look_after(struct rxq *q)
{
	if (load_relaxed(q->fill.producer) - load_acquire(q->fill.consumer) > q->fill_max / 2)
		return;
	pthread_mutex_lock(&q->fill_lock);
	rxq_top_up_now(q);
	pthread_mutex_unlock(&q->fill_lock);
}

/* ---- transmit --------------------------------------------------------------- */

static void rxq_tx_reap(struct rxq *q)
{
	uint64_t mask = ~(uint64_t)(q->chunk - 1);
	uint32_t at, n, i;

	n = xsk_ring_cons__peek(&q->comp, q->comp.size, &at);
	for (i = 0; i < n; i++)
		q->tx_free[q->tx_free_n++] = *xsk_ring_cons__comp_addr(&q->comp, at + i) & mask;
	if (n)
		xsk_ring_cons__release(&q->comp, n);
}

/*
 * Let the kernel send what is in the TX ring. Return: frames that the device
 * dropped; *@hard: it takes none at all (down, gone). tx_left says what is left.
 */
static uint32_t rxq_tx_kick(struct rxq *q, bool *hard)
{
	uint32_t dropped = 0, before;
	int i;

	*hard = false;
	for (i = 0; i < KICK_MAX; i++) {
		before = load_relaxed(q->tx.consumer);
		if (sendto(q->anchor_fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
			q->tx_left = false;
			return dropped;
		}
		if (errno == EBUSY) {
			dropped++;
		} else if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR) {
			*hard = true;
			break;
		} else if (before == load_relaxed(q->tx.consumer)) {
			break;
		}
	}
	q->tx_left = true;
	return dropped;
}

/* The source: go on with frames that the device had no room for. */
static int rxq_flush(struct source *s)
{
	struct rxq *q = container_of(s, struct rxq, flush);
	uint64_t times;
	bool hard;

	if (read(s->fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		return 0;
	pthread_mutex_lock(&q->tx_lock);
	if (q->tx_left) {
		rxq_tx_kick(q, &hard);
		/* A device that is down gets its kick from the next frame. */
		if (q->tx_left && !hard)
			worker_wake_at(s->worker, s, now_ns() + FLUSH_NS);
	}
	pthread_mutex_unlock(&q->tx_lock);
	return 0;
}

struct source *rxq_source(struct rxq *q)
{
	return &q->flush;
}

/**
 * rxq_tx_borrow() - private frames to fill
 * @q: RX queue with a TX queue
 * @buf: out: data, room, addr
 * @n: how many are wanted
 *
 * Return: how many there are, 0 ... @n.
 */
uint32_t rxq_tx_borrow(struct rxq *q, struct frame_buf *buf, uint32_t n)
{
	uint32_t i;
	bool hard;

	pthread_mutex_lock(&q->tx_lock);
	if (q->tx_free_n < n) {
		if (q->tx_left)
			rxq_tx_kick(q, &hard);
		rxq_tx_reap(q);
	}
	n = MIN(n, q->tx_free_n);
	for (i = 0; i < n; i++) {
		uint64_t addr = q->tx_free[--q->tx_free_n];

		buf[i] = (struct frame_buf){
			.addr = addr,
			.data = q->area + addr + RXQ_TX_HEADROOM,
			.room = q->chunk - RXQ_TX_HEADROOM,
		};
	}
	pthread_mutex_unlock(&q->tx_lock);
	return n;
}

static void rxq_tx_put(struct rxq *q, const struct frame_buf *buf, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		q->tx_free[q->tx_free_n++] = buf[i].addr;
}

/**
 * rxq_tx_return() - give borrowed frames back unsent
 * @q: where they came from
 * @buf: frames
 * @n: how many
 */
void rxq_tx_return(struct rxq *q, const struct frame_buf *buf, uint32_t n)
{
	pthread_mutex_lock(&q->tx_lock);
	rxq_tx_put(q, buf, n);
	pthread_mutex_unlock(&q->tx_lock);
}

/**
 * rxq_tx_send() - send borrowed frames on the RX queue's TX queue
 * @q: where they came from
 * @buf: frames
 * @n: how many
 *
 * Return: how many the device did not refuse.
 */
uint32_t rxq_tx_send(struct rxq *q, const struct frame_buf *buf, uint32_t n)
{
	uint32_t at, i, dropped = 0;
	bool hard = false;
	uint64_t one = 1;

	if (!n)
		return 0;
	pthread_mutex_lock(&q->tx_lock);
	/* A device that takes nothing must not collect frames to send hours later. */
	if (q->tx_left)
		rxq_tx_kick(q, &hard);
	if (hard || !xsk_ring_prod__reserve(&q->tx, n, &at)) {
		rxq_tx_put(q, buf, n);
		pthread_mutex_unlock(&q->tx_lock);
		return 0;
	}
	for (i = 0; i < n; i++) {
		*xsk_ring_prod__tx_desc(&q->tx, at + i) = (struct xdp_desc){
			.addr = (uint64_t)(buf[i].data - q->area),
			.len = buf[i].len,
		};
	}
	xsk_ring_prod__submit(&q->tx, n);
	dropped = rxq_tx_kick(q, &hard);
	if (q->tx_left && !hard && write(q->flush.fd, &one, sizeof(one)) < 0)
		one = 0;	/* the counter is full: the source is awake already */
	pthread_mutex_unlock(&q->tx_lock);
	return n - MIN(n, dropped);
}
