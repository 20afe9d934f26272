// SPDX-License-Identifier: GPL-2.0-only
/*
 * pair-guest.c - a virtual machine that chooses which of its pairs it uses
 *
 *	pair-guest SOCKET PAIRS
 *
 * A scripted vhost-user front end with one or two pairs of small rings, so that they
 * are full now and then. Receives and counts. On standard input come lines
 *
 *	enable PAIR | disable PAIR | count
 *
 * as a driver's choice of pairs becomes SET_VRING_ENABLE at the back end; each is
 * answered by {"pairs":[frames,...]} when it has been done. Ends with its input.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/front.h"
#include "common/util.h"

#define BUF_SIZE	2048u
#define BUF(pair, i)	(0x10000u + ((pair) * FRONT_NUM + (i)) * BUF_SIZE)
#define PROTOCOL	(BIT64(VHOST_USER_P_MQ) | BIT64(VHOST_USER_P_REPLY_ACK))
#define FEATURES	(BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_NET_F_MRG_RXBUF) | \
			 BIT64(VHOST_USER_F_PROTOCOL))

static struct guest guest;
static struct front front;
static unsigned long long frames[2];
static int pairs;

/* Buffers come back in the order in which they were given, and are given again. */
static void receive(int pair)
{
	struct driver *d = &front.ring[2 * pair];
	bool any = false;

	while (driver_used_next(d)) {
		driver_give(d, BUF((uint32_t)pair, d->next % FRONT_NUM), BUF_SIZE, RING_DESC_WRITE);
		frames[pair]++;
		any = true;
	}
	if (any)
		front_kick(&front, 2 * pair);
}

static void answer(void)
{
	printf("{\"pairs\":[%llu,%llu]}\n", frames[0], frames[1]);
	fflush(stdout);
}

static bool obey(const char *line)
{
	bool on = !strncmp(line, "enable ", 7);
	int pair = atoi(line + (on ? 7 : 8));

	if (strncmp(line, "count", 5)) {
		for (int i = 0; i < 2; i++)
			front_state(&front, VHOST_USER_SET_VRING_ENABLE, (uint32_t)(2 * pair + i),
				    on);
		if (!front_sync(&front))
			return false;
	}
	answer();
	return true;
}

int main(int argc, char **argv)
{
	struct pollfd fd[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .events = POLLIN }, { .events = POLLIN },
	};
	char line[64];

	pairs = argc == 3 ? atoi(argv[2]) : 0;
	if (pairs < 1 || pairs > 2) {
		fprintf(stderr, "usage: pair-guest SOCKET 1|2\n");
		return 2;
	}
	setvbuf(stdin, NULL, _IONBF, 0);	/* poll() must see what is left */
	guest_open(&guest);
	if (!front_connect(&front, argv[1]) ||
	    !front_begin(&front, &guest, pairs,
			 FEATURES | (pairs > 1 ? BIT64(VIRTIO_NET_F_MQ) : 0), PROTOCOL)) {
		fprintf(stderr, "pair-guest: no back end at %s\n", argv[1]);
		return 1;
	}
	for (int p = 0; p < pairs; p++) {
		for (uint32_t i = 0; i < FRONT_NUM; i++)
			driver_give(&front.ring[2 * p], BUF((uint32_t)p, i), BUF_SIZE,
				    RING_DESC_WRITE);
		front_kick(&front, 2 * p);
		fd[1 + p].fd = front.call[2 * p];
	}
	answer();
	while (poll(fd, 1 + (nfds_t)pairs, -1) > 0) {
		for (int p = 0; p < pairs; p++) {
			front_events(front.call[2 * p]);
			receive(p);
		}
		if (!fd[0].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			break;
		if (!obey(line))
			return 1;
	}
	front_end(&front, pairs);
	guest_close(&guest);
	return 0;
}
