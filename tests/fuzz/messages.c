// SPDX-License-Identifier: GPL-2.0-only
/*
 * messages.c - fuzz what a front end says
 *
 * The input is a row of messages: request, flags, a choice of descriptors, then
 * the payload. Numbers that would rarely be hit by chance - an address in memory,
 * the size of a table - come from a preamble that one bit asks for: a device that
 * is set up and running. Between messages both rings are worked on.
 */
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel/vhost_user.h"
#include "common/util.h"

#define SIZE	0x8000u
#define GPA	0x10000ull
#define UVA	0x7000000ull

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can come with a message: nothing, memory, an eventfd, something else. */
enum { FD_MEMORY, FD_EVENT, FD_PIPE, FD_SHORT, FD_KINDS };

static int kinds[FD_KINDS];
static int peer[2];
static uint8_t *shared;
static struct vhost_user *vu;

static void begin(void)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct channel_config cfg = { .queue = "fuzz", .mac = mac, .pairs = 2, .mtu = 1500 };
	int p[2];

	kinds[FD_MEMORY] = memfd_create("fuzz", MFD_CLOEXEC);
	kinds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	kinds[FD_SHORT] = memfd_create("short", MFD_CLOEXEC);
	if (ftruncate(kinds[FD_MEMORY], SIZE) || ftruncate(kinds[FD_SHORT], 100) || pipe(p) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, peer) ||
	    vhost_user_new(&vu, &cfg, NULL))
		abort();
	kinds[FD_PIPE] = p[1];
	shared = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, kinds[FD_MEMORY], 0);
	vu->fd = peer[0];
}

static void drop_fds(void)
{
	while (vu->n_fds)
		close(vu->fds[--vu->n_fds]);
}

static void add_fds(uint8_t choice)
{
	int n = choice & 3, kind = choice >> 2 & 3;

	while (n--)
		vu->fds[vu->n_fds++] = fcntl(kinds[(kind + n) % FD_KINDS], F_DUPFD_CLOEXEC, 0);
}

static int say(uint32_t request, uint32_t flags, uint8_t fds, const void *payload, uint32_t size)
{
	struct vmq_err err = VMQ_ERR_INIT;
	char answer[8192];
	int rc;

	vu->msg.request = request;
	vu->msg.flags = flags;
	vu->msg.size = size;
	if (size)
		memcpy(vu->msg.raw, payload, size);
	add_fds(fds);
	rc = vhost_user_handle(vu, &err);
	drop_fds();
	while (recv(peer[1], answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
	return rc;
}

static void set_up(uint64_t features)
{
	struct { uint32_t n, pad; struct vhost_user_region r; } mem = {
		.n = 1, .r = { GPA, SIZE, UVA, 0 },
	};
	uint64_t protocol = BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_LOG_SHMFD) |
			    BIT64(VHOST_USER_P_RARP) | BIT64(VHOST_USER_P_REPLY_ACK) |
			    BIT64(VHOST_USER_P_NET_MTU) | BIT64(VHOST_USER_P_CONFIG) |
			    BIT64(VHOST_USER_P_RESET_DEVICE) | BIT64(VHOST_USER_P_STATUS) |
			    BIT64(VHOST_USER_P_CONFIGURE_MEM_SLOTS);
	uint32_t i;

	say(VHOST_USER_SET_PROTOCOL_FEATURES, 1, 0, &protocol, 8);
	say(VHOST_USER_SET_FEATURES, 1, 0, &features, 8);
	say(VHOST_USER_SET_MEM_TABLE, 1, 1 | FD_MEMORY << 2, &mem, sizeof(mem));
	for (i = 0; i < 4; i++) {
		uint64_t at = UVA + i * 0x1000;
		struct { uint32_t index, flags; uint64_t desc, used, avail, log; } addr = {
			i, 1, at, at + 0x800, at + 0x400, GPA + i * 0x1000 + 0x800,
		};
		uint32_t num[2] = { i, 16 }, base[2] = { i, 0 }, on[2] = { i, 1 };
		uint64_t v = i;

		say(VHOST_USER_SET_VRING_NUM, 1, 0, num, 8);
		say(VHOST_USER_SET_VRING_BASE, 1, 0, base, 8);
		say(VHOST_USER_SET_VRING_ADDR, 1, 0, &addr, sizeof(addr));
		say(VHOST_USER_SET_VRING_KICK, 1, 1 | FD_EVENT << 2, &v, 8);
		say(VHOST_USER_SET_VRING_CALL, 1, 1 | FD_EVENT << 2, &v, 8);
		say(VHOST_USER_SET_VRING_ENABLE, 1, 0, on, 8);
	}
}

static void work(void)
{
	static uint8_t bytes[1500], out[2048];
	struct frame f = { .part = { { bytes, 100 } }, .parts = 1, .len = 100 };
	struct frame_buf buf = { .data = out, .room = sizeof(out) };
	struct channel_rx res = { 0 };
	int i;

	for (i = 0; i < 2; i++) {
		vring_rx(&vu->ring[2 * i], &f, 1, &res, &(int){ 0 });
		vring_tx(&vu->ring[2 * i + 1], &buf, 1, &(int){ 0 });
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!shared)
		begin();
	if (!size)
		return 0;
	memset(shared, 0, SIZE);
	if (*data & 1)
		set_up(BIT64(VIRTIO_F_VERSION_1) | BIT64(VHOST_USER_F_PROTOCOL) |
		       BIT64(VIRTIO_NET_F_MRG_RXBUF) | BIT64(RING_F_INDIRECT_DESC));
	data++;
	size--;
	/* request, flags, descriptors, length of the payload */
	while (size >= 4) {
		uint8_t head[4];
		uint32_t n;

		memcpy(head, data, 4);
		data += 4;
		size -= 4;
		n = (uint32_t)MIN(head[3] * 2u, size);
		if (say(head[0] & 63, head[1], head[2], data, n) < 0)
			break;
		work();
		data += n;
		size -= n;
	}
	vhost_user_reset(vu);
	return 0;
}
