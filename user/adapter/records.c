// SPDX-License-Identifier: GPL-2.0-only
/*
 * records.c - queues, filters and counters in the maps
 *
 * The records of queues and filters are what a restart replays; user space alone
 * reads and writes them. A walk works on a copy, because who walks may change
 * the map (hash maps restart a walk whose current key was deleted).
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adapter/attachment.h"
#include "common/util.h"

struct records {
	void *keys, *values;
	size_t key_size, value_size;
	uint32_t n;
};

static void records_free(struct records *r)
{
	free(r->keys);
	free(r->values);
	*r = (struct records){ 0 };
}

/* All of a hash map whose keys and values have these sizes. */
static int records_read(struct records *r, int fd, size_t key_size, size_t value_size)
{
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info), batch;
	int rc;

	*r = (struct records){ .key_size = key_size, .value_size = value_size };
	rc = bpf_obj_get_info_by_fd(fd, &info, &len);
	if (rc)
		return rc;
	if (info.key_size != key_size || info.value_size != value_size)
		return -EPROTO;
	r->n = info.max_entries;
	r->keys = calloc(r->n, key_size);
	r->values = calloc(r->n, value_size);
	if (!r->keys || !r->values) {
		records_free(r);
		return -ENOMEM;
	}
	/* With room for all, one call reads all and ends with -ENOENT. */
	rc = bpf_map_lookup_batch(fd, NULL, &batch, r->keys, r->values, &r->n, NULL);
	if (!rc || rc == -ENOENT)
		return 0;
	records_free(r);
	return rc;
}

static const void *record_key(const struct records *r, uint32_t i)
{
	return (const char *)r->keys + i * r->key_size;
}

static const void *record_value(const struct records *r, uint32_t i)
{
	return (const char *)r->values + i * r->value_size;
}

static int read_pinned(struct records *r, const char *dir, const char *map, size_t key_size,
		       size_t value_size)
{
	int fd, rc;

	fd = pins_open(dir, map);
	if (fd < 0)
		return fd;
	rc = records_read(r, fd, key_size, value_size);
	close(fd);
	return rc;
}

static int records_write(const struct records *r, int fd)
{
	uint32_t n = r->n;

	return n ? bpf_map_update_batch(fd, r->keys, r->values, &n, NULL) : 0;
}

static int check_limits(const struct attachment *a, const struct records *queues,
			struct vmq_err *err)
{
	uint32_t highest = 0, n = 0, least;

	for (uint32_t i = 0; i < queues->n; i++) {
		const struct vmq_queue_record *rec = record_value(queues, i);

		/* Those that wait need no more than an id. */
		n += rec->id && !(rec->flags & VMQ_QUEUE_F_WAITS);
		highest = MAX(highest, rec->id);
	}
	least = highest > VMQ_QUEUES_WAITING ? MAX(n, highest - VMQ_QUEUES_WAITING) : n;
	if (least <= a->cfg.queues)
		return 0;
	return vmq_err(err, -ENOSPC,
		       "the dead service had %u queues with ids up to %u, but the limit is now %u; "
		       "start with --queues %u or more", n, highest, a->cfg.queues, least);
}

int records_copy(struct attachment *a, const char *dir, const struct pins_abi *abi,
		 struct vmq_err *err)
{
	struct records queues = { 0 }, filters = { 0 };
	int rc;

	rc = read_pinned(&queues, dir, "queues", sizeof(uint32_t), abi->queue_size);
	if (!rc)
		rc = read_pinned(&filters, dir, "filters", sizeof(struct vmq_filter_key),
				 abi->filter_size);
	if (rc) {
		vmq_err_sys(err, rc, "cannot read the records in %s", dir);
		goto out;
	}
	rc = check_limits(a, &queues, err);
	if (rc)
		goto out;
	rc = records_write(&queues, a->info.queues_fd);
	if (!rc)
		rc = records_write(&filters, a->info.filters_fd);
	if (rc)
		vmq_err_sys(err, rc, "cannot copy the records of %s", dir);
out:
	records_free(&queues);
	records_free(&filters);
	return rc;
}

/* ---- records --------------------------------------------------------------- */

int attach_queue_put(struct attachment *a, const struct vmq_queue_record *rec,
		     struct vmq_err *err)
{
	int rc;

	rc = bpf_map_update_elem(a->info.queues_fd, &rec->id, rec, BPF_ANY);
	if (rc)
		return vmq_err_sys(err, rc, "cannot keep the record of queue %u", rec->id);
	return 0;
}

int attach_queue_del(struct attachment *a, uint32_t id)
{
	return bpf_map_delete_elem(a->info.queues_fd, &id);
}

int attach_filter_put(struct attachment *a, const struct vmq_filter_key *key,
		      const struct vmq_filter *f, struct vmq_err *err)
{
	int rc;

	rc = bpf_map_update_elem(a->info.filters_fd, key, f, BPF_ANY);
	if (rc)
		return vmq_err_sys(err, rc, "cannot keep filter %u", f->id);
	return 0;
}

int attach_filter_del(struct attachment *a, const struct vmq_filter_key *key)
{
	return bpf_map_delete_elem(a->info.filters_fd, key);
}

int attach_each_queue(struct attachment *a,
		      int (*fn)(const struct vmq_queue_record *rec, void *arg), void *arg)
{
	struct records r;
	int rc;

	rc = records_read(&r, a->info.queues_fd, sizeof(uint32_t),
			  sizeof(struct vmq_queue_record));
	for (uint32_t i = 0; !rc && i < r.n; i++)
		rc = fn(record_value(&r, i), arg);
	records_free(&r);
	return rc;
}

int attach_each_filter(struct attachment *a,
		       int (*fn)(const struct vmq_filter_key *key, const struct vmq_filter *f,
				 void *arg), void *arg)
{
	struct records r;
	int rc;

	rc = records_read(&r, a->info.filters_fd, sizeof(struct vmq_filter_key),
			  sizeof(struct vmq_filter));
	for (uint32_t i = 0; !rc && i < r.n; i++)
		rc = fn(record_key(&r, i), record_value(&r, i), arg);
	records_free(&r);
	return rc;
}

int attach_left_queues(const char *name, const char *pin_dir,
		       int (*fn)(const struct vmq_queue_record *rec, void *arg), void *arg)
{
	struct vmq_meta meta;
	struct records r;
	struct pins p;
	int rc;

	rc = pins_init(&p, pin_dir, name, NULL);
	if (!rc)
		rc = pins_meta(p.dir, &meta);
	if (rc)
		return rc;
	if (meta.abi != VMQ_ABI_VERSION)
		return -EPROTO;
	rc = read_pinned(&r, p.dir, "queues", sizeof(uint32_t), sizeof(struct vmq_queue_record));
	if (rc)
		return rc;
	for (uint32_t i = 0; !rc && i < r.n; i++)
		rc = fn(record_value(&r, i), arg);
	records_free(&r);
	return rc;
}

/* ---- counters -------------------------------------------------------------- */

/* A per-CPU entry is a row of u64 counters per possible CPU; add the rows up. */
static int sum_cpus(int fd, uint32_t key, uint64_t *sum, size_t words)
{
	int cpus = libbpf_num_possible_cpus(), rc;
	uint64_t *rows;

	if (cpus < 0)
		return cpus;
	rows = calloc((size_t)cpus * words, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	rc = bpf_map_lookup_elem(fd, &key, rows);
	if (!rc) {
		memset(sum, 0, words * sizeof(*sum));
		for (size_t i = 0; i < (size_t)cpus * words; i++)
			sum[i % words] += rows[i];
	}
	free(rows);
	return rc;
}

int attach_slot_stats(struct attachment *a, uint32_t slot, struct vmq_slot_stats *out)
{
	_Static_assert(sizeof(*out) % 8 == 0, "only counters");
	return sum_cpus(a->slot_stats_fd, slot, (uint64_t *)out, sizeof(*out) / 8);
}

static int clear_cpus(int fd, uint32_t key, size_t size)
{
	int cpus = libbpf_num_possible_cpus(), rc;
	void *zeros;

	if (cpus < 0)
		return cpus;
	zeros = calloc((size_t)cpus, size);
	if (!zeros)
		return -ENOMEM;
	rc = bpf_map_update_elem(fd, &key, zeros, BPF_ANY);
	free(zeros);
	return rc;
}

int attach_slot_clear(struct attachment *a, uint32_t slot)
{
	return clear_cpus(a->slot_stats_fd, slot, sizeof(struct vmq_slot_stats));
}

int attach_rss_stats(struct attachment *a, uint32_t queue, struct vmq_rss_stats *out)
{
	_Static_assert(sizeof(*out) % 8 == 0, "only counters");
	return sum_cpus(a->rss_stats_fd, queue, (uint64_t *)out, sizeof(*out) / 8);
}

int attach_rss_clear(struct attachment *a, uint32_t queue)
{
	return clear_cpus(a->rss_stats_fd, queue, sizeof(struct vmq_rss_stats));
}

int attach_cpu_stats(struct attachment *a, uint16_t cpu, struct vmq_cpu_stats *out)
{
	_Static_assert(sizeof(*out) % 8 == 0, "only counters");
	return sum_cpus(a->cpu_stats_fd, cpu, (uint64_t *)out, sizeof(*out) / 8);
}

int attach_adapter_stats(struct attachment *a, struct vmq_adapter_stats *out)
{
	_Static_assert(sizeof(*out) % 8 == 0, "only counters");
	return sum_cpus(a->adapter_stats_fd, 0, (uint64_t *)out, sizeof(*out) / 8);
}
