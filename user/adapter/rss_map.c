// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_map.c - the RSS records of all queues, mapped
 */
#include "adapter/rss_map.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "adapter/rss.h"
#include "common/util.h"

struct rss_map {
	struct vmq_rss *rss;
	struct vmq_toeplitz *keys;
	size_t rss_len, keys_len;
};

/* Elements of a mapped array lie at multiples of 8 bytes (kernel/bpf/arraymap.c). */
_Static_assert(sizeof(struct vmq_rss) % 8 == 0, "elements are rounded up to 8 bytes");
_Static_assert(sizeof(struct vmq_toeplitz) % 8 == 0, "elements are rounded up to 8 bytes");

static void *map_array(int fd, size_t size, size_t entries, size_t *len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *at;

	*len = (size * entries + page - 1) / page * page;
	at = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return at == MAP_FAILED ? NULL : at;
}

int rss_map_open(struct rss_map **out, int rss_fd, int toeplitz_fd, uint32_t queues,
		 struct vmq_err *err)
{
	struct rss_map *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return vmq_err_sys(err, -ENOMEM, "cannot map the RSS records");
	m->rss = map_array(rss_fd, sizeof(*m->rss), queues + 1, &m->rss_len);
	if (m->rss)
		m->keys = map_array(toeplitz_fd, sizeof(*m->keys), queues + 1, &m->keys_len);
	if (m->keys) {
		*out = m;
		return 0;
	}
	rc = vmq_err_sys(err, -errno, "cannot map the RSS records");
	rss_map_close(m);
	return rc;
}

void rss_map_close(struct rss_map *m)
{
	if (!m)
		return;
	if (m->rss)
		munmap(m->rss, m->rss_len);
	if (m->keys)
		munmap(m->keys, m->keys_len);
	free(m);
}

void rss_map_write(struct rss_map *m, uint32_t queue, const struct vmq_rss_params *params,
		   const uint8_t key[VMQ_RSS_KEY_LEN])
{
	rss_update(&m->rss[queue], &m->keys[queue], params, key);
}

void rss_map_steer(struct rss_map *m, uint32_t queue, const struct vmq_rss_params *params)
{
	struct vmq_rss_params *p = &m->rss[queue].params[m->rss[queue].sel & 1];
	int i;

	for (i = 0; i <= p->mask; i++)
		store_relaxed(&p->table[i], params->table[i]);
	store_relaxed(&p->fallback, params->fallback);
}

void rss_map_nic(struct rss_map *m, uint32_t queue, uint16_t nic_types)
{
	store_relaxed(&m->rss[queue].params[m->rss[queue].sel & 1].nic_types, nic_types);
}
