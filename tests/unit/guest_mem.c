// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_mem.c - the table of a guest's memory
 */
#include <fcntl.h>
#include <stdio.h>

#include "guest.h"
#include "unit.h"

static void test_mem(struct guest *g)
{
	struct guest_region_desc a = guest_region(0), b = guest_region(1), x;
	struct guest_mem m = { .n = 0 };
	struct vmq_err err = VMQ_ERR_INIT;
	struct guest_region gone;
	int p[2], ro;
	uint32_t n;

	/* the higher one first: the table is sorted */
	ok(!guest_mem_add(&m, &b, g->fd, &err) && !guest_mem_add(&m, &a, g->fd, &err),
	   "mem: two regions");
	n = 100;
	ok(guest_mem_at(&m, GUEST_GPA + GUEST_HALF - 10, &n) && n == 10,
	   "mem: a piece ends with its region");
	n = 100;
	ok(guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n) && n == 100, "mem: the next one is found");
	n = 1;
	ok(!guest_mem_at(&m, GUEST_GPA + GUEST_SIZE, &n) && !guest_mem_at(&m, GUEST_GPA - 1, &n) &&
	   !guest_mem_at(&m, UINT64_MAX, &n) && !guest_mem_at(&m, 0, &n),
	   "mem: nothing around them");

	x = a;
	x.uva += 0x10000000;
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: the same guest address twice");
	x = a;
	x.gpa += 0x10000000;
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: the same front end address twice");
	x = (struct guest_region_desc){ .gpa = UINT64_MAX - 10, .size = 4096, .uva = 4096 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: an address that overflows");
	x = (struct guest_region_desc){ .gpa = 0, .size = 4096, .uva = UINT64_MAX - 10 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL,
	   "mem: a front end address that overflows");
	x = (struct guest_region_desc){ .size = 4096, .offset = UINT64_MAX - 100 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: an offset that overflows");
	x = (struct guest_region_desc){ .size = 0 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: no bytes");
	x = (struct guest_region_desc){ .size = GUEST_SIZE, .offset = 1 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -EINVAL, "mem: a byte more than the file has");
	x = (struct guest_region_desc){ .size = UINT64_C(1) << 50 };
	is_int(guest_mem_add(&m, &x, g->fd, &err), -ENOSPC, "mem: a petabyte");
	x = (struct guest_region_desc){ .size = 4096 };
	ok(!pipe(p) && guest_mem_add(&m, &x, p[0], &err) == -EINVAL, "mem: a pipe is no memory");
	close(p[0]);
	close(p[1]);
	ro = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	is_int(guest_mem_add(&m, &x, ro, &err), -EINVAL, "mem: nor is a file of a disk");
	close(ro);
	{
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", g->fd);
		ro = open(path, O_RDONLY | O_CLOEXEC);
	}
	ok(guest_mem_add(&m, &x, ro, &err) < 0, "mem: nor one that we cannot write");
	close(ro);
	is_int(m.n, 2, "mem: none of them is in the table");

	x = a;
	x.size--;
	is_int(guest_mem_remove(&m, &x, &gone, &err), -ENOENT,
	   "mem: half a region is not taken out");
	ok(!guest_mem_remove(&m, &a, &gone, &err) && m.n == 1, "mem: a whole one is");
	guest_region_unmap(&gone);
	n = 1;
	ok(!guest_mem_at(&m, GUEST_GPA, &n) && guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n),
	   "mem: the other stays");
	guest_mem_clear(&m);
	ok(!guest_mem_at(&m, GUEST_GPA + GUEST_HALF, &n), "mem: an empty table has nothing");

	/* an offset that is not at a page */
	x = (struct guest_region_desc){ .gpa = 0x1000, .size = 5000, .uva = 0x1000, .offset = 100 };
	memset(g->mem + 100, 9, 16);
	n = 16;
	ok(!guest_mem_add(&m, &x, g->fd, &err) &&
	   !memcmp(guest_mem_at(&m, 0x1000, &n), g->mem + 100, 16),
	   "mem: an offset inside a page");
	guest_mem_clear(&m);
}

int main(void)
{
	struct guest g;

	guest_open(&g);
	test_mem(&g);
	guest_close(&g);
	return unit_done();
}
