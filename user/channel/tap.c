// SPDX-License-Identifier: GPL-2.0-only
/*
 * tap.c - a TAP device as a channel: containers, demos, tests
 *
 * The guest is a network stack: a container's, or the host's own. A pair is one
 * queue of the TAP. A frame costs one system call in each direction, so what makes
 * it faster is fewer and larger frames. Hence each has a virtio header
 * (IFF_VNET_HDR), and the device offers its stack checksums and segmentation
 * (TUNSETOFFLOAD): a stream comes 64 KiB at a time, and cut.c makes of it what goes
 * on a wire.
 *
 * How a device gets into a namespace. A descriptor of /dev/net/tun holds a
 * reference to the network namespace it was *opened* in (drivers/net/tun.c
 * tun_chr_open(), seen on 6.18): opened inside a container's namespace it would
 * keep that alive when the container has gone, with all its devices, and nobody
 * would notice. So a new TAP is made in our own namespace under a passing name
 * and moved by rtnetlink; when the namespace dies the TAP dies with it and the
 * next read or write says EBADFD. Taking over a device after a restart leaves no
 * choice, since TUNSETIFF finds it by name in the namespace of the descriptor;
 * then the namespace lives until the queue is deleted. It is done in a thread
 * that ends right after, so that no other thread's namespace can be left wrong.
 *
 * The device is persistent while its queue exists (TUNSETPERSIST), or a crash of
 * the service would take the guest's addresses along. What that leaves behind is
 * found again by its specification; the namespace itself is recorded nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channel/channel.h"
#include "channel/cut.h"
#include "channel/link.h"
#include "common/parse.h"
#include "common/util.h"
#include "vmq/abi.h"

#define TAP_USAGE	"tap:IFNAME[,netns=NAME|PID]"
#define TAP_PASSING	"vmqtap%d"	/* name until the device is moved */
#define PID_LIMIT	4194304		/* PID_MAX_LIMIT of 64-bit kernels */

#define TAP_GATHER	4096		/* as the largest chunk */
#define TAP_JOINED_MAX	64		/* frames in one */
#define TAP_FRONT	16		/* in front of a frame to cut: its virtio header */

/* In linux/if_tun.h since 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4	0x20
#define TUN_F_USO6	0x40
#endif
#define TAP_OFFLOADS	(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define TAP_OFFLOADS_6_2 (TAP_OFFLOADS | TUN_F_USO4 | TUN_F_USO6)

enum tap_state { TAP_UP, TAP_DOWN, TAP_LOST };
static const char *const tap_event[] = { "up", "down", "lost" };

struct tap {
	struct channel ch;
	int  pairs;
	int  fd[VMQ_PAIRS_MAX];
	struct cut cut[VMQ_PAIRS_MAX];	/* of what the guest sends: the pair's worker */
	int  state;		/* enum tap_state; any worker */
	char name[IFNAMSIZ];
	char where[112];		/* " in network namespace blue", or "" */
	void (*event)(void *arg, const char *what, const char *detail);
	void *arg;
};

/* ---- the specification ------------------------------------------------- */

struct tap_spec {
	char name[IFNAMSIZ];
	char netns[64];		/* NAME or PID; "": our own */
	bool by_pid;
};

static int tap_parse_name(struct tap_spec *spec, const char *word, size_t len,
			  struct vmq_err *err)
{
	if (!len)
		return vmq_err(err, -EINVAL, "channel tap needs a device name; write " TAP_USAGE);
	if (len >= sizeof(spec->name))
		return vmq_err(err, -EINVAL, "device name '%.*s' is longer than %zu characters; "
			       "choose a shorter one", (int)len, word, sizeof(spec->name) - 1);
	memcpy(spec->name, word, len);
	spec->name[len] = '\0';
	/* What dev_valid_name() refuses, and '%', which would be a pattern. */
	if (strpbrk(spec->name, "/:% \t\n") || !strcmp(spec->name, ".") ||
	    !strcmp(spec->name, ".."))
		return vmq_err(err, -EINVAL, "'%s' is no name for a network device; use letters, "
			       "digits, '.', '_' and '-'", spec->name);
	return 0;
}

static int tap_parse_netns(struct tap_spec *spec, const char *word, size_t len,
			   struct vmq_err *err)
{
	uint64_t pid;

	if (spec->netns[0])
		return vmq_err(err, -EINVAL, "netns is given twice; write " TAP_USAGE);
	if (!len)
		return vmq_err(err, -EINVAL, "netns= needs the name of a network namespace or "
			       "the id of a process in it");
	if (len >= sizeof(spec->netns))
		return vmq_err(err, -EINVAL, "network namespace '%.*s' is longer than %zu "
			       "characters", (int)len, word, sizeof(spec->netns) - 1);
	memcpy(spec->netns, word, len);
	spec->netns[len] = '\0';
	spec->by_pid = strspn(spec->netns, "0123456789") == len;
	if (spec->by_pid)
		return parse_number(spec->netns, "process id", 1, PID_LIMIT, &pid, err);
	if (strchr(spec->netns, '/') || !strcmp(spec->netns, ".") || !strcmp(spec->netns, ".."))
		return vmq_err(err, -EINVAL, "'%s' is no name of a network namespace; "
			       "`ip netns list` shows them", spec->netns);
	return 0;
}

static int tap_parse(struct tap_spec *spec, const char *args, struct vmq_err *err)
{
	size_t len = strcspn(args, ",");
	int rc;

	memset(spec, 0, sizeof(*spec));
	rc = tap_parse_name(spec, args, len, err);
	while (!rc && args[len]) {
		args += len + 1;
		len = strcspn(args, ",");
		if (!strncmp(args, "netns=", 6))
			rc = tap_parse_netns(spec, args + 6, len - 6, err);
		else
			rc = vmq_err(err, -EINVAL, "unknown word '%.*s' in a tap channel; write "
				     TAP_USAGE, (int)len, args);
	}
	return rc;
}

/* @out: descriptor of the namespace to be in, or -1: our own. */
static int tap_open_netns(const struct tap_spec *spec, int *out, struct vmq_err *err)
{
	char path[128];
	int fd, rc;

	*out = -1;
	if (!spec->netns[0])
		return 0;
	snprintf(path, sizeof(path), spec->by_pid ? "/proc/%s/ns/net" : "/run/netns/%s",
		 spec->netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		if (rc == -ENOENT && spec->by_pid)
			return vmq_err(err, rc, "there is no process %s whose network namespace "
				       "could be used", spec->netns);
		if (rc == -ENOENT)
			return vmq_err(err, rc, "there is no network namespace '%s'; "
				       "`ip netns list` shows them, netns=PID names a process",
				       spec->netns);
		return vmq_err_sys(err, rc, "cannot open %s", path);
	}
	if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET) {
		close(fd);
		return vmq_err(err, -EINVAL, "%s is not a network namespace", path);
	}
	*out = fd;
	return 0;
}

/* ---- making and taking over -------------------------------------------- */

static void tap_free(struct tap *t)
{
	for (int i = 0; i < t->pairs; i++) {
		if (t->fd[i] >= 0)
			close(t->fd[i]);
		if (t->cut[i].joined)
			free(t->cut[i].joined - TAP_FRONT);
	}
	free(t);
}

static struct tap *tap_alloc(const struct channel_config *cfg)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->ch.ops = &channel_tap;
	t->event = cfg->event;
	t->arg = cfg->arg;
	t->pairs = cfg->pairs;
	memset(t->fd, -1, sizeof(t->fd));
	for (int i = 0; i < t->pairs; i++) {
		uint8_t *room = malloc(TAP_FRONT + CUT_MAX);

		if (!room) {
			tap_free(t);
			return NULL;
		}
		t->cut[i].joined = room + TAP_FRONT;
	}
	return t;
}

/*
 * What frames look like, and what is offered to the stack. A device that was left
 * may have been set otherwise, by an older vmq or by hand: the flags of TUNSETIFF
 * became its own when we attached (drivers/net/tun.c tun_set_iff()), the rest is
 * set here.
 */
static int tap_offload(struct tap *t, struct vmq_err *err)
{
	int size = sizeof(struct virtio_net_hdr), little = 1, fd = t->fd[0];

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) || ioctl(fd, TUNSETVNETLE, &little) ||
	    (ioctl(fd, TUNSETOFFLOAD, TAP_OFFLOADS_6_2) && ioctl(fd, TUNSETOFFLOAD, TAP_OFFLOADS)))
		return vmq_err_sys(err, -errno, "cannot set the offloads of TAP %s%s", t->name,
				   t->where);
	return 0;
}

/*
 * Open one queue. @name is what to attach to, and on return the name it got.
 * @flags: IFF_TUN_EXCL, or 0 to attach to a device that exists.
 */
static int tap_open_queue(struct tap *t, int pair, char name[IFNAMSIZ], int flags,
			  struct vmq_err *err)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags) };
	int fd, rc;

	if (t->pairs > 1)
		ifr.ifr_flags |= IFF_MULTI_QUEUE;
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		rc = -errno;
		if (rc == -ENOENT || rc == -ENODEV || rc == -ENXIO)
			return vmq_err(err, -EOPNOTSUPP, "no TAP devices here: /dev/net/tun does "
				       "not work; load the kernel module tun");
		return vmq_err_sys(err, rc, "cannot open /dev/net/tun");
	}
	t->fd[pair] = fd;
	if (!ioctl(fd, TUNSETIFF, &ifr)) {
		memcpy(name, ifr.ifr_name, IFNAMSIZ);
		return 0;
	}
	rc = -errno;
	switch (rc) {
	case -EBUSY:
		if (flags & IFF_TUN_EXCL)
			return vmq_err(err, rc, "a network interface named %s exists already%s; "
				       "choose another name or remove it", t->name, t->where);
		return vmq_err(err, rc, "TAP %s%s is in use by another program; end that first",
			       t->name, t->where);
	case -EINVAL:
		return vmq_err(err, -EBUSY, "network interface %s%s is no TAP with %s; remove it "
			       "or choose another name", t->name, t->where,
			       t->pairs > 1 ? "several queues" : "a single queue");
	case -EPERM:
		return vmq_err(err, rc, "no permission to make TAP %s: that needs CAP_NET_ADMIN",
			       t->name);
	default:
		return vmq_err_sys(err, rc, "cannot attach to TAP %s%s", t->name, t->where);
	}
}

static int tap_link_failed(const struct tap *t, int rc, struct vmq_err *err)
{
	if (rc == -EEXIST)
		return vmq_err(err, -EBUSY, "a network interface named %s exists already%s; "
			       "choose another name or remove it", t->name, t->where);
	if (rc == -EPERM)
		return vmq_err(err, rc, "no permission to set up TAP %s%s: that needs "
			       "CAP_NET_ADMIN there", t->name, t->where);
	return vmq_err_prefix(err, "cannot set up TAP %s%s", t->name, t->where);
}

static int tap_create(struct tap *t, int netns, const struct channel_config *cfg,
		      struct vmq_err *err)
{
	struct link_setup setup = { .netns = netns, .mac = cfg->mac, .mtu = cfg->mtu };
	char name[IFNAMSIZ] = TAP_PASSING;
	int rc;

	if (netns >= 0)
		setup.name = t->name;
	else
		memcpy(name, t->name, sizeof(name));
	rc = tap_open_queue(t, 0, name, IFF_TUN_EXCL, err);
	for (int i = 1; i < t->pairs && !rc; i++)
		rc = tap_open_queue(t, i, name, 0, err);
	if (!rc)
		rc = tap_offload(t, err);
	if (rc)
		return rc;
	rc = link_set((int)if_nametoindex(name), &setup, err);
	if (rc)
		return tap_link_failed(t, rc, err);
	if (ioctl(t->fd[0], TUNSETPERSIST, 1))
		return vmq_err_sys(err, -errno, "cannot make TAP %s persistent", t->name);
	return 0;
}

struct tap_adoption {
	struct tap *tap;
	int netns;		/* to enter, or -1 */
	const struct channel_config *cfg;
	struct vmq_err *err;
	int rc;
};

/*
 * Attach to the device that the last run left. Its address becomes the queue's
 * again; an MTU that the guest made smaller stays.
 * rc: -ENODEV if there is none.
 */
static void *tap_adopt_here(void *arg)
{
	struct tap_adoption *a = arg;
	struct link_setup setup = { .netns = -1, .mac = a->cfg->mac };
	struct tap *t = a->tap;
	char name[IFNAMSIZ];
	unsigned int ifindex;

	if (a->netns >= 0 && setns(a->netns, CLONE_NEWNET)) {
		a->rc = vmq_err_sys(a->err, -errno, "cannot enter the network namespace of "
				    "TAP %s%s (that needs CAP_SYS_ADMIN)", t->name, t->where);
		return NULL;
	}
	ifindex = if_nametoindex(t->name);
	if (!ifindex) {
		a->rc = -ENODEV;
		return NULL;
	}
	memcpy(name, t->name, sizeof(name));
	for (int i = 0; i < t->pairs && !a->rc; i++)
		a->rc = tap_open_queue(t, i, name, 0, a->err);
	if (!a->rc)
		a->rc = tap_offload(t, a->err);
	if (a->rc)
		return NULL;
	if (link_mtu(t->name) > a->cfg->mtu)
		setup.mtu = a->cfg->mtu;
	a->rc = link_set((int)ifindex, &setup, a->err);
	if (a->rc)
		a->rc = tap_link_failed(t, a->rc, a->err);
	else if (ioctl(t->fd[0], TUNSETPERSIST, 1))
		a->rc = vmq_err_sys(a->err, -errno, "cannot make TAP %s persistent", t->name);
	return NULL;
}

static int tap_adopt(struct tap *t, int netns, const struct channel_config *cfg,
		     struct vmq_err *err)
{
	struct tap_adoption a = { .tap = t, .netns = netns, .cfg = cfg, .err = err };
	pthread_t thread;
	int rc;

	if (netns < 0) {
		tap_adopt_here(&a);
		return a.rc;
	}
	rc = pthread_create(&thread, NULL, tap_adopt_here, &a);
	if (rc)
		return vmq_err_sys(err, -rc, "cannot start a thread for the network namespace");
	pthread_join(thread, NULL);
	return a.rc;
}

static int tap_open(struct channel **out, const char *args, const struct channel_config *cfg,
		    struct vmq_err *err)
{
	struct tap_spec spec;
	struct tap *t;
	int netns = -1, rc;

	rc = tap_parse(&spec, args, err);
	if (rc)
		return rc;
	if (cfg->pairs < 1 || cfg->pairs > VMQ_PAIRS_MAX)
		return vmq_err(err, -EINVAL, "a tap channel has 1 to %d pairs, not %d",
			       VMQ_PAIRS_MAX, cfg->pairs);
	t = tap_alloc(cfg);
	if (!t)
		return vmq_err(err, -ENOMEM, "no memory for TAP %s", spec.name);
	memcpy(t->name, spec.name, sizeof(t->name));
	if (spec.netns[0])
		snprintf(t->where, sizeof(t->where), spec.by_pid ?
			 " in the network namespace of process %s" :
			 " in network namespace %s", spec.netns);

	rc = tap_open_netns(&spec, &netns, err);
	if (rc)
		goto err_free;
	rc = -ENODEV;
	if (cfg->adopt)
		rc = tap_adopt(t, netns, cfg, err);
	if (rc == -ENODEV)
		rc = tap_create(t, netns, cfg, err);
	if (rc)
		goto err_close;
	if (netns >= 0)
		close(netns);
	if (t->event)
		t->event(t->arg, tap_event[TAP_UP], t->name);
	*out = &t->ch;
	return 0;

err_close:
	if (netns >= 0)
		close(netns);
err_free:
	tap_free(t);
	return rc;
}

static void tap_close(struct channel *ch, bool keep)
{
	struct tap *t = container_of(ch, struct tap, ch);

	/* Works wherever the device has been moved; EBADFD if it is gone. */
	if (!keep)
		ioctl(t->fd[0], TUNSETPERSIST, 0);
	tap_free(t);
}

/* ---- frames ------------------------------------------------------------ */

/* Tell of a change once, whichever worker sees it first. Lost is for ever. */
static void tap_set_state(struct tap *t, int state)
{
	int old = load_relaxed(&t->state);

	do {
		if (old == state || old == TAP_LOST)
			return;
	} while (!__atomic_compare_exchange_n(&t->state, &old, state, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	if (t->event)
		t->event(t->arg, tap_event[state], t->name);
}

/*
 * A frame is gathered behind its header in memory that is warm, and written from
 * there: a writev() costs a tenth more, and a header in front of the frame where it
 * lies costs a cache line that nobody has touched. Not the libc's write(): that is a
 * cancellation point, and making it one takes as long as a tenth of the write.
 */
static long tap_write(int fd, const struct frame *f)
{
	struct {
		struct virtio_net_hdr hdr;
		uint8_t frame[TAP_GATHER];
	} out;
	struct iovec iov[1 + FRAME_PARTS] = { { &out.hdr, sizeof(out.hdr) } };
	uint32_t at = 0;

	memset(&out.hdr, 0, sizeof(out.hdr));
	if (f->len > TAP_GATHER) {
		memcpy(&iov[1], f->part, (size_t)f->parts * sizeof(iov[0]));
		return syscall(SYS_writev, fd, iov, 1 + f->parts);
	}
	for (int i = 0; i < f->parts; i++) {
		memcpy(out.frame + at, f->part[i].iov_base, f->part[i].iov_len);
		at += (uint32_t)f->part[i].iov_len;
	}
	return syscall(SYS_write, fd, &out, sizeof(out.hdr) + at);
}

/* The headers and the payloads where they lie: a copy of all would cost more. */
static long tap_write_joined(int fd, const struct frame *f)
{
	const struct frame_join *j = f->join;
	struct iovec iov[2 + TAP_JOINED_MAX] = {
		{ (void *)&j->hdr, sizeof(j->hdr) },
		{ (void *)j->headers, j->headers_len },
	};

	for (int i = 0; i < j->frames; i++)
		iov[2 + i] = frame_payload(&f[i], j->headers_len);
	return syscall(SYS_writev, fd, iov, 2 + j->frames);
}

/* @frames were written, or not: errno. */
static void tap_count(struct tap *t, long written, uint32_t frames, struct channel_rx *res)
{
	if (written >= 0) {
		res->delivered += frames;
		tap_set_state(t, TAP_UP);
		return;
	}
	switch (errno) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		res->full += frames;
		break;
	case EIO:	/* the guest has set it down */
		res->error += frames;
		tap_set_state(t, TAP_DOWN);
		break;
	case EBADFD:	/* the device, or its namespace, has gone */
		res->error += frames;
		tap_set_state(t, TAP_LOST);
		break;
	default:
		res->error += frames;
	}
}

/* Return: false if it must be given as its segments. */
static bool tap_joined(struct tap *t, int pair, const struct frame *f, struct channel_rx *res)
{
	long written = tap_write_joined(t->fd[pair], f);

	if (written < 0 && (errno == EINVAL || errno == EMSGSIZE || errno == ENOMEM))
		return false;
	tap_count(t, written, (uint32_t)f->join->frames, res);
	if (written >= 0)
		res->joined += (uint32_t)f->join->frames - 1;
	return true;
}

/*
 * A TAP never says when it has room again, so a frame it does not take now is
 * dropped and every frame is settled.
 */
static int tap_rx_burst(struct channel *ch, int pair, const struct frame *f, int n,
			struct channel_rx *res)
{
	struct tap *t = container_of(ch, struct tap, ch);

	for (int i = 0; i < n; i++) {
		const struct frame_join *j = f[i].join;

		/* Refused for what it is, not for where it goes: then one by one. */
		if (j && j->frames <= TAP_JOINED_MAX && tap_joined(t, pair, &f[i], res))
			i += j->frames - 1;
		else
			tap_count(t, tap_write(t->fd[pair], &f[i]), 1, res);
	}
	return n;
}

/*
 * A frame into @buf, or, if it is one to cut, left in @c. Return: what is wrong with
 * it, or -errno: nothing was read.
 *
 * Where frames to cut lie is room for any frame. A readv() into @buf with that as its
 * continuation would save the copy of ordinary frames, and costs more than the copy.
 */
static int tap_read(int fd, struct cut *c, struct frame_buf *buf)
{
	struct virtio_net_hdr hdr;
	long len = syscall(SYS_read, fd, c->joined - sizeof(hdr), CUT_MAX + sizeof(hdr));

	buf->len = 0;
	if (len < 0)	/* EINVAL: virtio_net_hdr_from_skb() has no words for the frame */
		return errno == EINVAL ? CHANNEL_BAD_HEADER : -errno;
	len -= (long)sizeof(hdr);
	if (len < 0)
		return CHANNEL_BAD_HEADER;
	memcpy(&hdr, c->joined - sizeof(hdr), sizeof(hdr));
	if (hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return cut_begin(c, &hdr, (uint32_t)len);
	buf->len = MIN((uint32_t)len, buf->room);
	memcpy(buf->data, c->joined, buf->len);
	if ((uint32_t)len > buf->room)
		return CHANNEL_TOO_LONG;
	return cut_complete(&hdr, buf);
}

static int tap_tx_burst(struct channel *ch, int pair, struct frame_buf *buf, int n)
{
	struct tap *t = container_of(ch, struct tap, ch);
	struct cut *c = &t->cut[pair];
	int taken = cut_more(c, buf, n), rc;

	while (taken < n) {
		rc = tap_read(t->fd[pair], c, &buf[taken]);
		if (rc == -EAGAIN)
			break;
		if (rc == -EBADFD)
			tap_set_state(t, TAP_LOST);
		/* Frames first: the error is there at the next call as well. */
		if (rc < 0)
			return taken ? taken : rc;
		if (c->under_way)
			taken += cut_more(c, &buf[taken], n - taken);
		else
			buf[taken++].fault = (enum channel_fault)rc;
	}
	return taken;
}

static bool tap_takes_joined(struct channel *ch, int pair)
{
	(void)ch;
	(void)pair;
	return true;
}

static int tap_fd(struct channel *ch, int pair)
{
	return container_of(ch, struct tap, ch)->fd[pair];
}

const struct channel_ops channel_tap = {
	.kind = "tap",
	.usage = TAP_USAGE,
	.open = tap_open,
	.rx_burst = tap_rx_burst,
	.takes_joined = tap_takes_joined,
	.tx_burst = tap_tx_burst,
	.fd = tap_fd,
	.close = tap_close,
};
