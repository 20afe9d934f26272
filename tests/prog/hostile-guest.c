// SPDX-License-Identifier: GPL-2.0-only
/*
 * hostile-guest.c - a vhost-user guest that changes its memory all the time
 *
 *	hostile-guest SOCKET MAC OTHER bytes|rings
 *
 * It sends frames without end. A second thread changes what lies in memory while
 * the service reads it:
 *
 *	bytes	source address (MAC or OTHER), VLAN tag, and the virtio header's
 *		checksum fields; the rings stay as they should be
 *	rings	descriptors (address, length, flags, next), available index and
 *		entries as well
 *
 * When the service cuts the connection it connects anew; "cut" is printed for
 * each time. Runs until it is killed.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <pthread.h>

#include "../unit/front.h"
#include "common/parse.h"
#include "common/util.h"

#define FRAME_LEN	100u
#define HDR		12u
#define BUF(i)		(0x10000u + (i) * 0x1000u)
#define PROTOCOL	(BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_REPLY_ACK))
#define FEATURES	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_NET_F_MRG_RXBUF) |	\
			 BIT64(RING_F_INDIRECT_DESC) | BIT64(VIRTIO_NET_F_CSUM) |	\
			 BIT64(VHOST_USER_F_PROTOCOL))

static struct guest g;
static uint8_t mac[2][6];
static bool rings;
static uint32_t seed = 1;

/* xorshift; two threads that disturb each other's are welcome. */
static uint32_t dice(uint32_t n)
{
	uint32_t x = load_relaxed(&seed);

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	store_relaxed(&seed, x);
	return x % n;
}

static void change_frame(uint8_t *p)
{
	struct virtio_net_hdr hdr = {
		.flags = (uint8_t)dice(2),
		.csum_start = (uint16_t)(dice(4) ? 34 : dice(0x10000)),
		.csum_offset = (uint16_t)(dice(4) ? 6 : dice(0x10000)),
	};

	memcpy(p, &hdr, sizeof(hdr));
	p += HDR;
	memcpy(p + 6, mac[dice(2)], 6);
	if (dice(4))
		memcpy(p + 12, (uint8_t[]){ 0x88, 0xb5, 0, 0 }, 4);
	else
		memcpy(p + 12, (uint8_t[]){ 0x81, 0, 0, 100 }, 4);
}

static void change_ring(void)
{
	struct ring_desc *desc = (void *)(g.mem + FRONT_RING(1));
	struct ring_avail *avail = (void *)(g.mem + driver_avail(FRONT_NUM, FRONT_RING(1)));
	struct ring_desc *d = &desc[dice(FRONT_NUM)];

	switch (dice(64)) {
	case 0:
		d->addr = GUEST_GPA + (dice(2) ? dice(GUEST_SIZE) : GUEST_SIZE - dice(200));
		break;
	case 1:
		d->len = dice(4) ? dice(5000) : UINT32_MAX - dice(20);
		break;
	case 2:
		d->flags = (uint16_t)dice(8);
		break;
	case 3:
		d->next = (uint16_t)dice(2 * FRONT_NUM);
		break;
	case 4:
		avail->ring[dice(FRONT_NUM)] = (uint16_t)dice(2 * FRONT_NUM);
		break;
	case 5:
		avail->idx = (uint16_t)(avail->idx + dice(FRONT_NUM + 4));
		break;
	default:
		break;
	}
}

static void *change(void *arg)
{
	(void)arg;
	for (;;) {
		change_frame(g.mem + BUF(dice(FRONT_NUM)));
		if (rings && !dice(16))
			change_ring();
	}
	return NULL;
}

/* Frames in every buffer, offered again as soon as they are used. */
static void send_all(struct front *f)
{
	struct driver *d = &f->ring[1];
	uint32_t i;

	for (i = 0; i < FRONT_NUM; i++)
		driver_give(d, BUF(i), HDR + FRAME_LEN, 0);
	front_kick(f, 1);
	for (;;) {
		struct pollfd p = { .fd = f->fd, .events = POLLIN };
		struct ring_used_elem *e;
		bool any = false;

		while ((e = driver_used_next(d))) {
			driver_offer(d, (uint16_t)load_relaxed(&e->id) % FRONT_NUM);
			any = true;
		}
		if (any)
			front_kick(f, 1);
		if (poll(&p, 1, any ? 0 : 1) > 0)
			return;
	}
}

int main(int argc, char **argv)
{
	static const uint8_t to[6] = { 2, 0, 0, 0, 0, 0xfe };
	struct vmq_err err = VMQ_ERR_INIT;
	pthread_t thread;
	struct front f;
	uint32_t i;

	if (argc != 5 || parse_mac(argv[2], mac[0], &err) || parse_mac(argv[3], mac[1], &err)) {
		fprintf(stderr, "usage: hostile-guest SOCKET MAC OTHER bytes|rings\n");
		return 2;
	}
	rings = !strcmp(argv[4], "rings");
	guest_open(&g);
	for (i = 0; i < FRONT_NUM; i++)
		memcpy(g.mem + BUF(i) + HDR, to, sizeof(to));
	pthread_create(&thread, NULL, change, NULL);
	for (;;) {
		if (!front_connect(&f, argv[1]))
			return 1;
		if (front_begin(&f, &g, 1, FEATURES, PROTOCOL))
			send_all(&f);
		front_end(&f, 1);
		puts("cut");
		fflush(stdout);
	}
}
