/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vm.h - vhost-user channels with scripted front ends
 *
 * Two channels are open all the time: one for the case at hand, and a neighbour
 * with a guest that must go on receiving and sending whatever happens to the
 * other. What is left open or mapped at the end is a failure.
 */
#ifndef VMQ_TEST_VM_H
#define VMQ_TEST_VM_H

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

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
	int up, down, lost, stopping, stops, wants;
	void (*wants_fn)(void *arg, bool frames);
	char reason[512];
	char announced[80];
	const struct channel_address *many;	/* CHANNEL_ADDRESSES of them, to be announced */
};

static struct vm vm = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
static struct vm neighbour = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .cond = PTHREAD_COND_INITIALIZER };
static char dir[] = "/tmp/vhost-user-XXXXXX";

static inline void on_event(void *arg, const char *what, const char *detail)
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
	if (!strcmp(what, "announced"))
		snprintf(v->announced, sizeof(v->announced), "%s", detail);
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

/* The control plane's answer: the address, and the next one in VLAN 4094; or v->many. */
static void on_moved(void *arg)
{
	struct channel_address a[2] = { { .rule = 0 }, { .rule = 4094 } };
	struct vm *v = arg;

	if (!load_acquire(&v->ch))	/* it came while the channel was being made */
		return;
	memcpy(a[0].mac, mac, 6);
	memcpy(a[1].mac, mac, 6);
	a[1].mac[5]++;
	if (v->many)
		v->ch->ops->set_addresses(v->ch, v->many, CHANNEL_ADDRESSES, 6);
	else
		v->ch->ops->set_addresses(v->ch, a, 2, 0);
}

/* The control plane's part: what the channel has asked for. */
static inline void on_wants(void *arg, bool frames)
{
	struct vm *v = arg;

	pthread_mutex_lock(&v->lock);
	if (frames)
		v->wants++;
	else
		v->stops++;
	pthread_cond_broadcast(&v->cond);
	pthread_mutex_unlock(&v->lock);
}

static inline bool wait_count(struct vm *v, const int *count, int want)
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

static inline int vm_open(struct vm *v, const char *name, int pairs, struct vmq_err *err)
{
	struct channel_config cfg = {
		.queue = name, .mac = mac, .pairs = pairs, .mtu = 1500,
		.event = on_event, .wants = v->wants_fn, .moved = on_moved, .arg = v,
	};
	char spec[128];

	snprintf(v->path, sizeof(v->path), "%s/%s", dir, name);
	snprintf(spec, sizeof(spec), "vhost-user:%s", v->path);
	v->pairs = pairs;
	return channel_open(&v->ch, spec, &cfg, err);
}

static inline bool vm_connect(struct vm *v, uint64_t features)
{
	return front_connect(&v->f, v->path) &&
	       front_begin(&v->f, &v->g, v->pairs, features, PROTOCOL);
}

static inline int rx(struct vm *v, int pair, uint8_t *data, uint32_t len, struct channel_rx *res)
{
	struct frame f = { .part = { { data, len } }, .parts = 1, .len = len };

	*res = (struct channel_rx){ 0 };
	return v->ch->ops->rx_burst(v->ch, pair, &f, 1, res);
}

static inline int tx(struct vm *v, int pair, struct frame_buf *buf, uint8_t *data)
{
	*buf = (struct frame_buf){ .data = data, .room = 2048 };
	return v->ch->ops->tx_burst(v->ch, pair, buf, 1);
}

/* An announcement, of VLAN @vlan (0: without a tag). */
static inline bool is_rarp_of(const struct frame_buf *buf, const uint8_t *data, uint16_t vlan)
{
	uint32_t tag = vlan ? 4 : 0;

	return buf->len == 60 + tag && data[12 + tag] == 0x80 && data[13 + tag] == 0x35 &&
	       (!vlan || (data[12] == 0x81 && !data[13] && data[14] == vlan >> 8 &&
			  data[15] == (vlan & 0xff)));
}

static inline bool is_rarp(const struct frame_buf *buf, const uint8_t *data)
{
	return is_rarp_of(buf, data, 0) || is_rarp_of(buf, data, 4094);
}

/* One frame to the guest and one from it, on ring pair @pair. */
static inline bool works(struct vm *v, int pair)
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
	do {	/* an announcement of ours may come in between */
		if (tx(v, pair, &buf, got) != 1)
			return false;
	} while (is_rarp(&buf, got));
	if (buf.len != 100 || got[0] != seed || got[99] != seed)
		return false;
	return driver_used_next(t);
}

/* Descriptors must not pile up, whatever a front end did. */
static inline int open_fds(void)
{
	int i, n = 0;

	for (i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

/* Neither must mappings of guests' memory. */
static inline int guest_mappings(void)
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

static int vm_fds_before;

/* Both channels, and a guest that works on the neighbour's. */
static inline bool vms_open(void)
{
	struct vmq_err err = VMQ_ERR_INIT;

	guest_open(&vm.g);
	guest_open(&neighbour.g);
	ok(!vm_open(&vm, "vm", 2, &err), "a channel of two pairs");
	ok(!vm_open(&neighbour, "neighbour", 1, &err), "a neighbour");
	if (!vm.ch || !neighbour.ch)
		return false;
	return ok(vm_connect(&neighbour, FEATURES) && works(&neighbour, 0),
		  "the neighbour works");
}

static inline void vms_close(void)
{
	ok(works(&neighbour, 0), "the neighbour works to the end");
	is_int(neighbour.lost + neighbour.down, 0, "and was never interrupted");
	vm.ch->ops->close(vm.ch, false);
	neighbour.ch->ops->close(neighbour.ch, false);
	front_end(&neighbour.f, 1);
	guest_close(&vm.g);
	guest_close(&neighbour.g);
	is_int(guest_mappings(), 0, "no memory of a guest is still mapped");
	is_int(open_fds(), vm_fds_before, "no descriptor was left open");
	ok(!rmdir(dir), "and no file");
}

/* First thing of all. */
static inline void vms_begin(void)
{
	if (!mkdtemp(dir))
		abort();
	unit_arm();	/* before a channel takes SIGBUS */
	vm_fds_before = open_fds();
}

#endif /* VMQ_TEST_VM_H */
