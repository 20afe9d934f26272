// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest.c - queues follow what their guests want
 */
#include "control/guest.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "control/teardown.h"

int guest_open(struct service *s, struct vmq_err *err)
{
	s->guest_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->guest_fd < 0)
		return vmq_err_sys(err, -errno, "cannot make an event descriptor");
	return 0;
}

void guest_close(struct service *s)
{
	if (s->guest_fd >= 0)
		close(s->guest_fd);
	s->guest_fd = -1;
}

void guest_wants(void *arg, bool frames)
{
	struct queue *q = arg;

	/* Yes and no take turns, so the parity tells which it is. */
	(void)frames;
	__atomic_fetch_add(&q->guest_asks, 1, __ATOMIC_RELEASE);
	eventfd_write(q->service->guest_fd, 1);
}

static void guest_stopped(struct queue *q, void *arg)
{
	(void)arg;
	queue_announce(q, "queue-stopped");
	if (q->op.drain.discarded)
		log_warn("queue %s: its guest stopped with no room for %llu frames", q->rec.name,
			 (unsigned long long)q->op.drain.discarded);
	/* If the guest has changed its mind, guest_follow() comes next and answers. */
	if (load_acquire(&q->guest_asks) == q->guest_seen)
		port_quiet(q->port);
}

static void guest_runs(struct queue *q)
{
	struct vmq_err err = VMQ_ERR_INIT;

	q->stopped = false;
	if (filters_unmute(q->service->filters, q->id, &err))
		log_warn("queue %s: its frames stay on queue 0: %s", q->rec.name, err.text);
	queue_announce(q, "queue-started");
}

void guest_follow(struct queue *q)
{
	uint32_t asks = load_acquire(&q->guest_asks);

	if (q->busy || asks == q->guest_seen)
		return;
	q->guest_seen = asks;
	if (asks % 2 == 0) {
		if (q->stopped)
			guest_runs(q);
		return;
	}
	if (q->stopped) {	/* it ran so shortly that nobody noticed */
		port_quiet(q->port);
		return;
	}
	q->stopped = true;
	filters_mute(q->service->filters, q->id);
	queue_quiesce(q, guest_stopped);
}

/* ---- addresses to announce ------------------------------------------------ */

void guest_moved(void *arg)
{
	struct queue *q = arg;

	store_release(&q->guest_moved, true);
	eventfd_write(q->service->guest_fd, 1);
}

struct address_list {
	const struct queue *queue;
	struct channel_address a[CHANNEL_ADDRESSES];
	int n, more;
};

static void list_add(struct address_list *list, const uint8_t mac[6], uint16_t rule)
{
	struct channel_address *a;
	int i;

	if (rule == VMQ_RULE_ANY)
		rule = VMQ_RULE_UNTAGGED;
	for (i = 0; i < list->n; i++)
		if (list->a[i].rule == rule && !memcmp(list->a[i].mac, mac, sizeof(a->mac)))
			return;
	if (list->n == CHANNEL_ADDRESSES) {
		list->more++;
		return;
	}
	a = &list->a[list->n++];
	a->rule = rule;
	memcpy(a->mac, mac, sizeof(a->mac));
}

static int list_filter(const struct filter *f, void *arg)
{
	struct address_list *list = arg;

	if (f->rec.target == VMQ_TARGET_SLOT && f->rec.queue == list->queue->id)
		list_add(list, f->key.mac, f->key.rule);
	return 0;
}

static void guest_name_addresses(struct queue *q)
{
	struct address_list list = { .queue = q };
	int i;

	if (!__atomic_exchange_n(&q->guest_moved, false, __ATOMIC_ACQUIRE))
		return;
	for (i = 0; i < q->rec.n_macs; i++)
		list_add(&list, q->rec.mac[i], q->rec.rule);
	filters_each(q->service->filters, list_filter, &list);
	port_set_addresses(q->port, list.a, list.n, list.more);
}

void guest_dispatch(struct service *s)
{
	eventfd_t times;
	uint32_t id;

	eventfd_read(s->guest_fd, &times);
	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		if (!s->queue[id])
			continue;
		guest_name_addresses(s->queue[id]);
		guest_follow(s->queue[id]);
	}
}
