/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest_mem.h - a guest's memory, mapped from descriptors it gave us
 *
 * A table of regions, each known by three addresses: the guest's own (gpa), the
 * one in its front end's process (uva; ring addresses are told in it) and ours.
 * Nothing here dereferences guest memory; who does runs inside mem_guard().
 *
 * A table that rings use is changed only with all of them locked.
 */
#ifndef VMQ_GUEST_MEM_H
#define VMQ_GUEST_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define GUEST_MEM_SLOTS	64			/* regions of one guest */
#define GUEST_MEM_MAX	(UINT64_C(4) << 40)	/* bytes of one guest */

struct guest_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint8_t *host;		/* our address of @gpa */
	void	*map;		/* what mmap() gave, and its length */
	size_t	 map_len;
};

struct guest_mem {
	struct guest_region region[GUEST_MEM_SLOTS];	/* by rising gpa */
	uint32_t n;
	uint64_t bytes;		/* sum of the sizes */
};

/* A region as a message describes it. */
struct guest_region_desc {
	uint64_t gpa;
	uint64_t size;
	uint64_t uva;
	uint64_t offset;	/* of the region in the descriptor's file */
};

/**
 * shared_map() - map memory that another process gave us
 * @fd: its file; stays the caller's
 * @offset: where the part begins; need not be aligned
 * @size: of the part
 * @map: out: for munmap()
 * @map_len: out: likewise
 * @what: names it in the sentence
 * @err: sentence
 *
 * Only files of a memory file system are taken: a page of any other can be
 * served by a program (FUSE) or a machine (NFS) that never answers.
 *
 * Return: address of the part, or NULL.
 */
uint8_t *shared_map(int fd, uint64_t offset, uint64_t size, void **map, size_t *map_len,
		    const char *what, struct vmq_err *err);

/* Map a region and add it. 0 or -errno; after an error @mem is as before. */
int guest_mem_add(struct guest_mem *mem, const struct guest_region_desc *desc, int fd,
		  struct vmq_err *err);

/* Take out the region that @desc describes (its offset is not looked at). */
int guest_mem_remove(struct guest_mem *mem, const struct guest_region_desc *desc,
		     struct guest_region *removed, struct vmq_err *err);

void guest_region_unmap(struct guest_region *region);
void guest_mem_clear(struct guest_mem *mem);	/* unmaps all */

/**
 * guest_mem_at() - find guest memory
 * @mem: table
 * @gpa: address
 * @len: bytes wanted; lowered to what follows in one piece
 *
 * Return: our address; NULL if @gpa is in no region.
 */
static inline uint8_t *guest_mem_at(const struct guest_mem *mem, uint64_t gpa, uint32_t *len)
{
	uint32_t lo = 0, hi = mem->n;

	/* the last region that begins at or below gpa */
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (mem->region[mid].gpa <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	const struct guest_region *r = &mem->region[lo - 1];
	uint64_t at = gpa - r->gpa;

	if (at >= r->size)
		return NULL;
	if (*len > r->size - at)
		*len = (uint32_t)(r->size - at);
	return r->host + at;
}

/*
 * Our address of @len bytes at the front end's @uva, all in one region; or NULL.
 * @gpa: out: the guest's address of them; may be NULL.
 */
uint8_t *guest_mem_uva(const struct guest_mem *mem, uint64_t uva, uint64_t len, uint64_t *gpa);

#endif /* VMQ_GUEST_MEM_H */
