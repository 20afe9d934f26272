// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss_nic.c - the NIC's hash in the place of ours
 *
 * What ethtool tells of the NIC is kept in `s->nic` and read again with every RSS
 * operation, and when the kernel has news about the device. A key that is changed
 * behind our back is found then. Until then the NIC's hashes are another key's: a flow
 * is together still, but perhaps on another pair than the table says.
 */
#include <string.h>

#include "adapter/rss_words.h"
#include "common/log.h"
#include "control/rss.h"

static bool published(const struct queue *q)
{
	return q && q->port && port_has_rings(q->port) && queue_rss_on(q);
}

uint16_t queue_nic_types(const struct queue *q, const char **why)
{
	const struct service *s = q->service;

	if (s->info->asks_hash)
		return nic_rss_types(&s->nic, q->rec.rss_key, q->rec.rss_types, why);
	*why = s->info->hash_why;
	return 0;
}

void rss_follow_nic(struct service *s)
{
	struct nic_rss now;
	const char *why;
	uint32_t id;

	if (!s->info->asks_hash)
		return;
	nic_rss_read(s->dev.name, &now, NULL);	/* zeros where it cannot be read */
	if (!memcmp(&now, &s->nic, sizeof(now)))
		return;
	if (s->nic.known)
		log_info("%s hashes in another way, or with another key, than before", s->dev.name);
	s->nic = now;
	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		if (published(s->queue[id]))
			rss_map_nic(s->rss, id, queue_nic_types(s->queue[id], &why));
}

int rss_read_key(struct service *s, const char *word, uint8_t key[VMQ_RSS_KEY_LEN],
		 struct vmq_err *err)
{
	struct nic_rss nic;
	int rc;

	if (strcmp(word, "nic") != 0)
		return rss_parse_key(word, key, err);
	rc = nic_rss_read(s->dev.name, &nic, err);
	if (!rc)
		memcpy(key, nic.key, VMQ_RSS_KEY_LEN);
	return rc;
}
