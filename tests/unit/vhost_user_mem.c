// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_mem.c - messages about the memory of a guest and its dirty log
 */
#include "vm.h"

static void test_log(void)
{
	struct { uint64_t size, offset; } l = { .offset = 4096 };
	uint8_t data[300] = { 0 }, *bits;
	uint64_t page, want;
	uint32_t used_page;
	struct channel_rx res;
	int fd, i;

	l.size = ((GUEST_GPA + GUEST_SIZE) >> DIRTY_LOG_SHIFT >> 3) + 1;
	fd = memfd_create("log", MFD_CLOEXEC);
	if (ftruncate(fd, (off_t)(l.size + l.offset)))
		abort();
	bits = mmap(NULL, l.size + l.offset, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ok(vm_connect(&vm, FEATURES), "log: a guest");
	ok(front_send(&vm.f, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &fd, 1) &&
	   front_read(&vm.f) && vm.f.in.request == VHOST_USER_SET_LOG_BASE,
	   "log: SET_LOG_BASE is answered");
	ok(works(&vm, 0), "log: traffic before logging");
	for (i = 0, want = 0; i < (int)(l.size + l.offset); i++)
		want |= bits[i];
	is_int(want, 0, "log: marks nothing");
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
	front_addr_msg(&vm.f, 0, 1);
	front_sync(&vm.f);
	driver_give(&vm.f.ring[0], BUF(5), 2048, RING_DESC_WRITE);
	ok(rx(&vm, 0, data, sizeof(data), &res) == 1 && res.delivered,
	   "log: a frame while logging");
	used_page = driver_used(FRONT_NUM, FRONT_RING(0)) >> 12;
	page = GUEST_GPA >> 12;
	want = 0;
	for (i = 0; i < 64; i++)
		if (bits[l.offset + (page + (uint64_t)i) / 8] & 1u << (page + (uint64_t)i) % 8)
			want |= BIT64(i);
	is_int(want, BIT64(BUF(5) >> 12) | BIT64(used_page),
	   "log: marks its page and the used ring's");
	memset(bits, 0, l.size + l.offset);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES);
	front_addr_msg(&vm.f, 0, 0);
	front_sync(&vm.f);
	driver_used_next(&vm.f.ring[0]);
	ok(works(&vm, 0), "log: traffic after the end of logging");
	for (i = 0, want = 0; i < (int)(l.size + l.offset); i++)
		want |= bits[i];
	is_int(want, 0, "log: marks nothing");
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES | BIT64(VHOST_USER_F_LOG_ALL));
	front_sync(&vm.f);
	if (ftruncate(fd, 0))
		abort();
	driver_give(&vm.f.ring[0], BUF(5), 2048, RING_DESC_WRITE);
	ok(rx(&vm, 0, data, sizeof(data), &res) == 1 && !res.delivered && front_cut_off(&vm.f),
	   "log: taken away while in use: the connection ends");
	ok(wait_count(&vm, &vm.lost, 1) && strstr(vm.reason, "taken away"),
	   "log: the reason is told");
	munmap(bits, l.size + l.offset);
	close(fd);
	front_end(&vm.f, 2);
}

static void test_slots(void)
{
	struct { uint64_t pad; struct vhost_user_region r; } s;
	struct guest_region_desc d;
	uint32_t i;

	ok(front_connect(&vm.f, vm.path), "slots: a front end");
	front_set(&vm.f, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL);
	front_set(&vm.f, VHOST_USER_SET_FEATURES, FEATURES);
	for (i = 0; i < 2; i++) {
		d = guest_region((int)i);
		s.r = (struct vhost_user_region){ d.gpa, d.size, d.uva, d.offset };
		ok(front_send(&vm.f, VHOST_USER_ADD_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
			      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
		   "slots: ADD_MEM_REG %u", i);
	}
	for (i = 0; i < 4; i++) {
		vm.f.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		vm.f.err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		driver_open(&vm.f.ring[i], &vm.g, FRONT_NUM, FRONT_RING(i));
		front_ring(&vm.f, i, 0);
		front_state(&vm.f, VHOST_USER_SET_VRING_ENABLE, i, 1);
	}
	ok(front_sync(&vm.f) && works(&vm, 0), "slots: works");
	ok(front_send(&vm.f, VHOST_USER_REM_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
		      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
	   "slots: REM_MEM_REG of the half without rings");
	ok(works(&vm, 0), "slots: works");
	ok(front_send(&vm.f, VHOST_USER_REM_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s), NULL, 0) &&
	   front_read(&vm.f) && vm.f.in.u64 == 0, "slots: once more, as QEMU 7.2 does for each pair");
	d = guest_region(0);
	s.r = (struct vhost_user_region){ d.gpa, d.size, d.uva, d.offset };
	ok(front_send(&vm.f, VHOST_USER_ADD_MEM_REG, VHOST_USER_NEED_REPLY, &s, sizeof(s),
		      &vm.g.fd, 1) && front_read(&vm.f) && vm.f.in.u64 == 0,
	   "slots: the other half once more");
	ok(works(&vm, 0) && works(&vm, 1), "slots: works");
	vm.lost = 0;
	front_send(&vm.f, VHOST_USER_REM_MEM_REG, 0, &s, sizeof(s), NULL, 0);
	ok(front_cut_off(&vm.f) && wait_count(&vm, &vm.lost, 1) && strstr(vm.reason, "ring 0"),
	   "slots: taking the rings' memory away ends the connection");
	front_end(&vm.f, 2);
}

int main(void)
{
	vms_begin();
	if (vms_open()) {
		test_log();
		test_slots();
		vms_close();
	}
	return unit_done();
}
