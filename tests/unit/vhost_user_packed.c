// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_packed.c - the messages of a front end whose guest has packed rings
 */
#include "vm.h"

#define PACKED	(FEATURES | BIT64(VIRTIO_F_RING_PACKED))

/* The answer to GET_VRING_BASE, which the driver of ring @i expects. */
static uint32_t place(const struct driver *d)
{
	uint32_t at = d->seen % d->num | (driver_lap(d, d->seen) ? PACKED_LAP : 0);

	return at << 16 | at;
}

/* A front end comes again, and its guest has lived on with the rings in @keep. */
static bool comes_again(const struct driver *keep, uint32_t base)
{
	const uint32_t bases[4] = { base, base, base, base };

	return front_connect(&vm.f, vm.path) &&
	       front_go_on(&vm.f, &vm.g, 2, keep, bases, PACKED, PROTOCOL);
}

static void test_stop(void)
{
	uint32_t s[2] = { 0, 0 }, bases[4];
	struct frame_buf buf;
	uint8_t wire[2048];
	int i;

	ok(vm_connect(&vm, PACKED) && works(&vm, 0) && works(&vm, 1), "packed rings work");
	ok(tx(&vm, 0, &buf, wire) == 0, "a guest that is new is not announced");
	for (i = 0; i < 40; i++)
		if (!works(&vm, i % 3 == 2))
			break;
	is_int(i, 40, "through several laps");
	for (i = 0; i < 4; i++) {
		s[0] = (uint32_t)i;
		ok(front_ask(&vm.f, VHOST_USER_GET_VRING_BASE, s, 8), "stop: ring %d", i);
		bases[i] = vm.f.in.state.num;
		is_int(bases[i], place(&vm.f.ring[i]), "stop: slot and lap, in both halves");
	}
	for (i = 0; i < 4; i++)
		front_ring(&vm.f, (uint32_t)i, bases[i]);
	ok(front_sync(&vm.f) && tx(&vm, 0, &buf, wire) == 1 && is_rarp(&buf, wire),
	   "L-3 go on: announced");
	ok(works(&vm, 0) && works(&vm, 1), "go on: both pairs work");
}

static void test_reconnect(void)
{
	struct driver keep[4];
	struct frame_buf buf;
	uint8_t wire[2048];
	int lost;

	memcpy(keep, vm.f.ring, sizeof(keep));
	front_end(&vm.f, 2);
	ok(wait_count(&vm, &vm.down, 2), "reconnect: down when the front end goes");
	/* QEMU says what it knew when the rings first started, DPDK half of that */
	ok(comes_again(keep, FRONT_FRESH_PACKED) && tx(&vm, 0, &buf, wire) == 1 &&
	   is_rarp(&buf, wire), "L-3 reconnect: announced, though the bases are those of new rings");
	ok(works(&vm, 0) && works(&vm, 1), "reconnect: the guest goes on where it was");

	memcpy(keep, vm.f.ring, sizeof(keep));
	front_end(&vm.f, 2);
	wait_count(&vm, &vm.down, 3);
	lost = vm.lost;
	keep[1].slot[3].tail ^= (uint64_t)(PACKED_AVAIL | PACKED_USED) << 48;
	keep[1].slot[8].tail ^= (uint64_t)(PACKED_AVAIL | PACKED_USED) << 48;
	ok(!comes_again(keep, FRONT_FRESH_PACKED) && wait_count(&vm, &vm.lost, lost + 1) &&
	   strstr(vm.reason, "ring 1: a packed ring that does not say how far"),
	   "reconnect: a ring that does not tell its place ends the connection");
	front_end(&vm.f, 2);

	ok(vm_connect(&vm, PACKED) && works(&vm, 0) && works(&vm, 1),
	   "reconnect: when the guest has reset its device it works");
	front_end(&vm.f, 2);
	ok(vm_connect(&vm, FEATURES) && works(&vm, 0), "reconnect: also with split rings");
	front_end(&vm.f, 2);
}

static void test_sizes(void)
{
	struct { uint32_t index, num; } s = { 0, 12 };

	ok(front_connect(&vm.f, vm.path), "sizes: connected");
	front_set(&vm.f, VHOST_USER_SET_FEATURES, PACKED);
	front_state(&vm.f, VHOST_USER_SET_VRING_NUM, s.index, s.num);
	ok(front_sync(&vm.f), "sizes: a packed ring may have 12 slots");
	front_state(&vm.f, VHOST_USER_SET_VRING_NUM, s.index, VRING_NUM_MAX + 1);
	ok(front_cut_off(&vm.f), "sizes: but not 32,769");
	close(vm.f.fd);
}

int main(void)
{
	vms_begin();
	if (vms_open()) {
		test_stop();
		test_reconnect();
		test_sizes();
		vms_close();
	}
	return unit_done();
}
