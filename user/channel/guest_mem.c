// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest_mem.c - a guest's memory, mapped from descriptors it gave us
 *
 * Whoever sends a memory table may be hostile: sums that overflow, regions over
 * one another, more than the file holds, a file that is no memory. Each of
 * these is refused with its reason before anything is mapped. That a file is
 * long enough now does not mean that it stays so; mem_guard.h is for that.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "channel/foreign.h"
#include "channel/guest_mem.h"
#include "common/util.h"

uint8_t *shared_map(int fd, uint64_t offset, uint64_t size, void **map, size_t *map_len,
		    const char *what, struct vmq_err *err)
{
	uint64_t end, align, delta;
	struct stat st;

	if (!foreign_is_memory(fd) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		vmq_err(err, -EINVAL, "%s is no file of shared memory (memfd, tmpfs, hugetlbfs)",
			what);
		return NULL;
	}
	if (!size || __builtin_add_overflow(offset, size, &end) ||
	    end > (uint64_t)st.st_size) {
		vmq_err(err, -EINVAL, "%s: %#llx bytes at %#llx are more than its file has (%#llx)",
			what, (unsigned long long)size, (unsigned long long)offset,
			(unsigned long long)st.st_size);
		return NULL;
	}
	/* hugetlbfs wants offset and length in whole pages; st_blksize is the page. */
	align = MAX((uint64_t)st.st_blksize, 4096u);
	if (align & (align - 1)) {
		vmq_err(err, -EINVAL, "%s: its file has blocks of %llu bytes", what,
			(unsigned long long)align);
		return NULL;
	}
	delta = offset & (align - 1);
	*map_len = (size_t)((delta + size + align - 1) & ~(align - 1));
	*map = mmap(NULL, *map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		    (off_t)(offset - delta));
	if (*map == MAP_FAILED) {
		*map = NULL;
		vmq_err_sys(err, -errno, "%s: cannot map %#llx bytes of it", what,
			    (unsigned long long)size);
		return NULL;
	}
	madvise(*map, *map_len, MADV_DONTDUMP);		/* no secrets of guests in core files */
	return (uint8_t *)*map + delta;
}

static bool ranges_overlap(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

static int region_check(const struct guest_mem *mem, const struct guest_region_desc *d,
			struct vmq_err *err)
{
	uint64_t end;
	uint32_t i;

	if (!d->size || __builtin_add_overflow(d->gpa, d->size, &end) ||
	    __builtin_add_overflow(d->uva, d->size, &end))
		return vmq_err(err, -EINVAL, "a memory region of %#llx bytes at %#llx (%#llx) "
			       "is no range", (unsigned long long)d->size,
			       (unsigned long long)d->gpa, (unsigned long long)d->uva);
	if (mem->n == GUEST_MEM_SLOTS)
		return vmq_err(err, -ENOSPC, "more than %d memory regions", GUEST_MEM_SLOTS);
	if (d->size > GUEST_MEM_MAX || mem->bytes > GUEST_MEM_MAX - d->size)
		return vmq_err(err, -ENOSPC, "more than %llu GiB of memory",
			       (unsigned long long)(GUEST_MEM_MAX >> 30));
	for (i = 0; i < mem->n; i++) {
		const struct guest_region *r = &mem->region[i];

		if (ranges_overlap(r->gpa, r->size, d->gpa, d->size) ||
		    ranges_overlap(r->uva, r->size, d->uva, d->size))
			return vmq_err(err, -EINVAL, "the memory region at %#llx overlaps that "
				       "at %#llx", (unsigned long long)d->gpa,
				       (unsigned long long)r->gpa);
	}
	return 0;
}

int guest_mem_add(struct guest_mem *mem, const struct guest_region_desc *d, int fd,
		  struct vmq_err *err)
{
	struct guest_region r = { .gpa = d->gpa, .size = d->size, .uva = d->uva };
	uint32_t at;
	int rc;

	rc = region_check(mem, d, err);
	if (rc)
		return rc;
	r.host = shared_map(fd, d->offset, d->size, &r.map, &r.map_len, "a memory region", err);
	if (!r.host)
		return -EINVAL;
	for (at = mem->n; at && mem->region[at - 1].gpa > r.gpa; at--)
		mem->region[at] = mem->region[at - 1];
	mem->region[at] = r;
	mem->n++;
	mem->bytes += r.size;
	return 0;
}

int guest_mem_remove(struct guest_mem *mem, const struct guest_region_desc *d,
		     struct guest_region *removed, struct vmq_err *err)
{
	uint32_t i;

	for (i = 0; i < mem->n; i++) {
		const struct guest_region *r = &mem->region[i];

		if (r->gpa != d->gpa || r->size != d->size || r->uva != d->uva)
			continue;
		*removed = *r;
		mem->n--;
		mem->bytes -= d->size;
		memmove(&mem->region[i], &mem->region[i + 1],
			(mem->n - i) * sizeof(mem->region[0]));
		return 0;
	}
	return vmq_err(err, -ENOENT, "no memory region of %#llx bytes at %#llx to take out",
		       (unsigned long long)d->size, (unsigned long long)d->gpa);
}

void guest_region_unmap(struct guest_region *region)
{
	if (region->map)
		munmap(region->map, region->map_len);
	region->map = NULL;
}

void guest_mem_clear(struct guest_mem *mem)
{
	uint32_t i;

	for (i = 0; i < mem->n; i++)
		guest_region_unmap(&mem->region[i]);
	mem->n = 0;
	mem->bytes = 0;
}

uint8_t *guest_mem_uva(const struct guest_mem *mem, uint64_t uva, uint64_t len, uint64_t *gpa)
{
	uint32_t i;

	for (i = 0; i < mem->n; i++) {
		const struct guest_region *r = &mem->region[i];

		if (uva < r->uva || uva - r->uva >= r->size)
			continue;
		if (len > r->size - (uva - r->uva))
			return NULL;
		if (gpa)
			*gpa = r->gpa + (uva - r->uva);
		return r->host + (uva - r->uva);
	}
	return NULL;
}
