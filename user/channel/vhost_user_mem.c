// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_mem.c - messages about the guest's memory and its dirty log
 *
 * The table changes with every ring locked, so that no batch is under way in the
 * memory that goes. Rings that run are found anew in the new table; one that is
 * not there any more ends the connection.
 */
#include <errno.h>
#include <sys/mman.h>

#include "channel/vhost_user.h"

/* Locked, the memory table has changed: find what runs in the new one. */
static int rings_resolve(struct vhost_user *vu, struct vmq_err *err)
{
	int i, rc, first = 0;

	for (i = 0; i < 2 * vu->pairs; i++) {
		struct vring *r = &vu->ring[i];

		rc = r->started ? vring_resolve(r, first ? NULL : err) : 0;
		if (!rc)
			continue;
		vring_stop(r);
		if (!first)
			first = vmq_err_prefix(err, "ring %d", i);
	}
	return first;
}

/* Exchange the table, with every ring locked; unmaps the old one afterwards. */
static int mem_exchange(struct vhost_user *vu, struct guest_mem *mem, struct vmq_err *err)
{
	struct guest_mem old;
	int rc;

	vhost_user_lock_rings(vu);
	old = vu->mem;
	vu->mem = *mem;
	rc = rings_resolve(vu, err);
	vhost_user_unlock_rings(vu);
	guest_mem_clear(&old);
	return rc;
}

static void region_desc(struct guest_region_desc *d, const struct vhost_user_region *r)
{
	*d = (struct guest_region_desc){ r->gpa, r->size, r->uva, r->offset };
}

int vhost_user_set_mem_table(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct guest_mem mem = { .n = 0 };
	struct guest_region_desc d;
	uint32_t i, n = m->mem.n;
	int rc;

	if (n > VHOST_USER_REGIONS || m->size != 8 + n * sizeof(struct vhost_user_region))
		return vmq_err(err, -EINVAL, "%u regions in %u bytes", n, m->size);
	if (vu->n_fds != (int)n)
		return vmq_err(err, -EBADF, "%u regions with %d descriptors", n, vu->n_fds);
	for (i = 0; i < n; i++) {
		struct vhost_user_region r = m->mem.region[i];

		region_desc(&d, &r);
		rc = guest_mem_add(&mem, &d, vu->fds[i], err);
		if (rc) {
			guest_mem_clear(&mem);
			return rc;
		}
	}
	return mem_exchange(vu, &mem, err);
}

int vhost_user_get_max_slots(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)err;
	m->u64 = GUEST_MEM_SLOTS;
	return 0;
}

/*
 * QEMU up to 7.2 says both of these once for every pair. So a region that is
 * there is mapped anew (the last one holds), and one that is not is already out.
 */
static int change_mem(struct vhost_user *vu, const struct vhost_user_msg *m, bool add,
		      struct vmq_err *err)
{
	struct vhost_user_region r = m->slot.region;
	struct guest_region removed = { 0 };
	struct guest_region_desc d;
	int rc = 0;

	region_desc(&d, &r);
	vhost_user_lock_rings(vu);
	guest_mem_remove(&vu->mem, &d, &removed, NULL);
	if (add)
		rc = guest_mem_add(&vu->mem, &d, vu->fds[0], err);
	if (!rc)
		rc = rings_resolve(vu, err);
	else
		rings_resolve(vu, NULL);	/* stops those that lost their memory */
	vhost_user_unlock_rings(vu);
	guest_region_unmap(&removed);
	return rc;
}

int vhost_user_add_mem(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return change_mem(vu, m, true, err);
}

int vhost_user_rem_mem(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	return change_mem(vu, m, false, err);
}

int vhost_user_set_log_base(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	struct dirty_log log = { .size = m->log.size }, old;

	log.bits = shared_map(vu->fds[0], m->log.offset, log.size, &log.map, &log.map_len,
			      "the dirty log", err);
	if (!log.bits)
		return -EINVAL;
	vhost_user_lock_rings(vu);
	old = vu->log;
	vu->log = log;
	vhost_user_unlock_rings(vu);
	if (old.map)
		munmap(old.map, old.map_len);
	m->u64 = 0;
	return 0;
}

/* An eventfd to signal at every write to the log; QEMU never gives one. */
int vhost_user_set_log_fd(struct vhost_user *vu, struct vhost_user_msg *m, struct vmq_err *err)
{
	(void)vu;
	(void)m;
	(void)err;
	return 0;
}
