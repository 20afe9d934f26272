/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * queue.c - verbs that make a queue
 *
 * Every verb asks the state table first and moves the state last. What changes a
 * queue while it lives is in queue_set.c, what stops one in teardown.c.
 */
#include "control/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "channel/channel.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/parse.h"
#include "common/util.h"
#include "control/balance.h"
#include "control/events.h"
#include "control/guest.h"
#include "control/rss.h"
#include "control/teardown.h"

#define RING_MIN 64u
#define RING_MAX 4096u

#define QUEUE_MEMORY (1u << 20)	/* at most, without its receive buffers */

struct queue *queue_find(struct service *s, const char *name)
{
	unsigned long id;
	uint32_t i;
	char *end;

	for (i = 1; i <= VMQ_QUEUES_MAX; i++)
		if (s->queue[i] && !strcmp(s->queue[i]->rec.name, name))
			return s->queue[i];
	id = strtoul(name, &end, 10);
	if (!*name || *end || id > VMQ_QUEUES_MAX)
		return NULL;
	return s->queue[id];
}

int queue_may_change(const struct queue *q, const struct actor *who, struct vmq_err *err)
{
	if (who->uid && who->uid != q->rec.owner)
		return vmq_err(err, -EPERM, "queue %s belongs to uid %u", q->rec.name,
			       q->rec.owner);
	if (q->client_id && q->client_id != who->client_id && who->uid)
		return vmq_err(err, -EPERM, "queue %s belongs to another connection",
			       q->rec.name);
	return 0;
}

/* The legal next state, or -EBADFD with the sentence of the state table. */
int queue_next(const struct queue *q, enum queue_event ev, struct vmq_err *err)
{
	int next = state_next(q->state, ev);

	if (next < 0)
		return vmq_err(err, -EBADFD, "%s is refused: queue %s is %s",
			       state_event_name(ev), q->rec.name, state_name(q->state));
	return next;
}

int queue_save(struct queue *q, struct vmq_err *err)
{
	return attach_queue_put(q->service->attachment, &q->rec, err);
}

void queue_announce(struct queue *q, const char *event)
{
	server_event_take(q->service->server,
			  json_pack("{s:s, s:i, s:s, s:s, s:s}", "event", event, "queue",
				    (int)q->id, "name", q->rec.name, "state",
				    state_operational_name(q->state), "phase",
				    state_name(q->state)));
}

void queue_enter(struct queue *q, enum queue_state state)
{
	if (q->state == state)
		return;
	q->state = state;
	queue_announce(q, "queue-state");
	balance_wake(q->service);
}

/* ---- the NIC's addresses: they follow the filters ------------------------ */

void service_address_add(struct service *s, const uint8_t mac[6], uint16_t rule)
{
	struct vmq_err err = VMQ_ERR_INIT;

	if (netdev_addrs_add(s->addrs, mac, rule != VMQ_RULE_UNTAGGED, &err))
		log_warn("%s; the NIC may filter frames of virtual machines", err.text);
}

void service_address_del(struct service *s, const uint8_t mac[6], uint16_t rule)
{
	netdev_addrs_del(s->addrs, mac, rule != VMQ_RULE_UNTAGGED);
}

/* ---- allocate ---------------------------------------------------------- */

int queue_check_name(struct service *s, const char *name, struct vmq_err *err)
{
	static const char *const reserved[] = { "host", "drop" };
	size_t i;
	int rc;

	rc = parse_name(name, "queue name", VMQ_NAME_MAX, err);
	if (rc)
		return rc;
	for (i = 0; i < ARRAY_SIZE(reserved); i++)
		if (!strcmp(name, reserved[i]))
			return vmq_err(err, -EINVAL, "the name %s is reserved", name);
	if (name[strspn(name, "0123456789")] == '\0')
		return vmq_err(err, -EINVAL, "queue name %s would read as an id: use a letter",
			       name);
	if (queue_find(s, name))
		return vmq_err(err, -EEXIST, "queue %s exists already (id %u)", name,
			       queue_find(s, name)->id);
	return 0;
}

int queue_address_check(struct service *s, const struct queue *mine, const uint8_t mac[6],
			uint16_t rule, struct vmq_err *err)
{
	const struct queue *q = address_owner(s, mac, rule);
	char mac_word[MAC_STRLEN], rule_word[RULE_STRLEN];

	if (!q || q == mine)
		return 0;
	return vmq_err(err, -EEXIST, "%s vlan %s is queue %s's already", format_mac(mac, mac_word),
		       format_rule(rule, rule_word), q->rec.name);
}

/* An address is one port's: not the host's, and no other queue's in that VLAN. */
static int check_address(struct service *s, const uint8_t mac[6], uint16_t rule,
			 struct vmq_err *err)
{
	char word[MAC_STRLEN];

	if (!memcmp(mac, s->dev.mac, 6))
		return vmq_err(err, -EINVAL,
			       "%s is %s's own address: a virtual machine needs another",
			       format_mac(mac, word), s->dev.name);
	return queue_address_check(s, NULL, mac, rule, err);
}

uint32_t queue_waiting(const struct service *s)
{
	uint32_t id, n = 0;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++)
		n += s->queue[id] && s->queue[id]->rec.flags & VMQ_QUEUE_F_WAITS;
	return n;
}

int queue_check_room(const struct service *s, struct vmq_err *err)
{
	uint32_t max = s->cfg.attach.queues;

	if (s->n_queues - queue_waiting(s) < max)
		return 0;
	return vmq_err(err, -ENOBUFS, "all %u queues are in use; %s", max,
		       max < VMQ_QUEUES_MAX ? "start vmq-load with more --queues"
					    : "delete one that is not needed");
}

static int pick_id(struct service *s, uint32_t want, bool waits, struct vmq_err *err)
{
	uint32_t id, max = attach_ids(&s->cfg.attach);
	int rc = waits ? 0 : queue_check_room(s, err);

	if (rc)
		return rc;
	if (want)
		return s->queue[want] ? vmq_err(err, -EEXIST, "queue id %u is in use", want)
				      : (int)want;
	for (id = 1; id <= max; id++)
		if (!s->queue[id])
			return id;
	return vmq_err(err, -ENOBUFS, "all %u queue ids are in use, %u of them by queues that wait on "
		       "queue 0; delete one that is not needed", max, queue_waiting(s));
}

/* CPUs: those asked for must have a worker; the rest follow in turn. */
static int pick_cpus(struct service *s, struct vmq_queue_record *rec, uint32_t id,
		     struct vmq_err *err)
{
	int i;

	for (i = 0; i < rec->pairs; i++) {
		if (rec->cpu[i] == UINT16_MAX)
			rec->cpu[i] = s->cfg.cpu[(id - 1 + i) % s->cfg.n_cpus];
		if (!datapath_worker(s->datapath, rec->cpu[i]))
			return vmq_err(err, -EINVAL,
				       "CPU %u has no worker here: choose from those of --cpus",
				       rec->cpu[i]);
	}
	return 0;
}

/* Those events that tell what it is from now on, and not what it does. */
static const char *const channel_states[] = { "up", "down", "lost" };

static void channel_event(void *arg, const char *what, const char *detail)
{
	struct queue *q = arg;

	/* Here and not when the event is read: those can be lost, this must not. */
	for (size_t i = 0; i < ARRAY_SIZE(channel_states); i++)
		if (!strcmp(what, channel_states[i]))
			store_relaxed(&q->channel_state, channel_states[i]);
	event_post(q->service, q->id, what, detail);
}

static int open_channel(struct queue *q, bool adopt, struct channel **ch, struct vmq_err *err)
{
	struct service *s = q->service;
	uint32_t carries = s->cfg.attach.max_frame - ETH_HLEN - VLAN_HLEN;
	struct channel_config cfg = {
		.queue = q->rec.name,
		.mac = q->rec.n_macs ? q->rec.mac[0] : NULL,
		.pairs = q->rec.channel_pairs,
		.mtu = MIN(s->dev.mtu, carries),
		.adopt = adopt,
		.event = channel_event,
		.wants = guest_wants,
		.moved = guest_moved,
		.arg = q,
	};
	struct vmq_err why = VMQ_ERR_INIT;
	int rc;

	*ch = NULL;
	q->channel_state = "down";
	rc = channel_open(ch, q->rec.channel, &cfg, &why);
	if (!rc) {
		if (!*ch)
			q->channel_state = NULL;
		return 0;
	}
	if (!adopt)
		return vmq_err(err, rc, "%s", why.text);
	/* The queue is the administrator's and outlives what its channel needs. */
	log_warn("queue %s: %s", q->rec.name, why.text);
	q->channel_lost = strdup(why.text);
	q->channel_state = "lost";
	return 0;
}

static struct port_stats *counter_row(void *service, uint32_t queue, int pair)
{
	struct service *s = service;

	return counters_row(&s->counters, queue, (uint32_t)pair);
}

int queue_allocate(struct service *s, const struct vmq_queue_record *want, bool adopt,
		   struct queue **out, struct vmq_err *err)
{
	struct port_config port;
	struct channel *ch;
	struct queue *q;
	int rc, i;

	rc = queue_check_name(s, want->name, err);
	if (rc)
		return rc;
	for (i = 0; i < want->n_macs; i++) {
		rc = check_address(s, want->mac[i], want->rule, err);
		if (rc)
			return rc;
	}
	rc = adopt ? 0 : memory_admit(QUEUE_MEMORY, err);
	if (rc)
		return vmq_err_prefix(err, "no memory for queue %s", want->name);
	q = calloc(1, sizeof(*q));
	if (!q)
		return vmq_err_sys(err, -ENOMEM, "cannot make queue %s", want->name);
	q->service = s;
	q->rec = *want;

	rc = pick_id(s, want->id, want->flags & VMQ_QUEUE_F_WAITS, err);
	if (rc < 0)
		goto err_free;
	q->id = q->rec.id = rc;
	q->rec.flags &= ~VMQ_QUEUE_F_COMPLETE;
	if (!adopt) {
		rc = pick_cpus(s, &q->rec, q->id, err);
		if (!rc)
			rc = rss_init(&q->rec, err);
		if (rc)
			goto err_free;
	}
	q->kept = &s->counters.queue[q->id];
	if (!adopt) {
		counters_clear(&s->counters, q->id);
		attach_rss_clear(s->attachment, q->id);
	}
	q->width = rss_width(s, &q->rec);
	q->rss_held = s->host.flags & VMQ_QUEUE_F_RSS_OFF;
	rc = rss_place_new(q, err);
	if (rc)
		goto err_free;
	/*
	 * The record first: should we die now, it tells the next run of the device that
	 * the channel makes. A restart leaves it as it is, or dying then would cost it
	 * the mark that the queue is complete.
	 */
	if (!adopt) {
		rc = queue_save(q, err);
		if (rc)
			goto err_free;
	}
	rc = open_channel(q, adopt, &ch, err);
	if (rc)
		goto err_record;

	port = (struct port_config){
		.id = q->id, .name = q->rec.name, .channel = ch, .rule = q->rec.rule,
		.oob = s->info->asks_tag, .trust = q->rec.flags & VMQ_QUEUE_F_TRUST,
		.gro = !(q->rec.flags & VMQ_QUEUE_F_NO_GRO), .pairs = q->width,
		.channel_pairs = q->rec.channel_pairs, .paused = true,
		.kept = q->kept, .row = counter_row, .row_arg = s,
	};
	memcpy(port.cpu, q->place.cpu, sizeof(port.cpu));
	rc = port_open(&q->port, s->datapath, &port, err);
	if (rc) {
		if (ch)
			ch->ops->close(ch, adopt);
		goto err_record;
	}
	s->queue[q->id] = q;
	s->n_queues++;
	address_own(q);
	address_follow_queue(q);
	rc = address_commit(s, err);
	if (rc)
		goto err_port;
	/* Not before it is a station: what the guest says first would be refused. */
	if (!s->restoring)
		port_set_paused(q->port, q->rec.flags & VMQ_QUEUE_F_PAUSED);
	for (i = 0; i < q->rec.n_macs; i++)
		service_address_add(s, q->rec.mac[i], q->rec.rule);
	queue_enter(q, state_next(QUEUE_UNDEFINED, QUEUE_EV_ALLOCATE));
	*out = q;
	return 0;

err_port:
	address_disown(q);	/* no worker has seen it as a station */
	s->queue[q->id] = NULL;
	s->n_queues--;
	port_close(q->port, adopt);
err_record:
	if (!adopt) {
		counters_clear(&s->counters, q->id);
		attach_queue_del(s->attachment, q->id);
	}
err_free:
	free(q->channel_lost);
	free(q);
	return rc;
}

/* ---- complete ---------------------------------------------------------- */

uint32_t queue_slots_used(const struct service *s)
{
	uint32_t slot, n = 0;

	for (slot = 0; slot < s->cfg.attach.slots; slot++)
		n += s->slot_used[slot];
	return n;
}

/* For a restart: whose counters `slot_stats` has there. */
static void queue_slots_note(struct queue *q)
{
	memcpy(q->kept->slot, q->slot, q->n_slots * sizeof(*q->slot));
	store_release(&q->kept->n_slots, q->n_slots);
}

int queue_slots_take(struct queue *q, uint16_t n, struct vmq_err *err)
{
	struct service *s = q->service;
	uint16_t before = q->n_slots;
	uint32_t slot;

	for (slot = 0; slot < s->cfg.attach.slots && q->n_slots < n; slot++) {
		if (s->slot_used[slot])
			continue;
		s->slot_used[slot] = true;
		q->slot[q->n_slots++] = slot;
		attach_slot_clear(s->attachment, slot);
	}
	queue_slots_note(q);
	if (q->n_slots == n)
		return 0;
	queue_slots_give(q, before);
	return vmq_err(err, -ENOBUFS, "queue %s needs %u of the adapter's %u pairs (--pairs), but %u are "
		       "free: give it or others fewer", q->rec.name, n, s->cfg.attach.slots,
		       s->cfg.attach.slots - queue_slots_used(s) + q->n_slots);
}

void slot_stats_add(struct vmq_slot_stats *sum, const struct vmq_slot_stats *one)
{
	sum->redirected += one->redirected;
	sum->bytes += one->bytes;
	sum->too_big += one->too_big;
	sum->to_host += one->to_host;
}

static void add_slot(struct queue *q, uint16_t slot, struct vmq_slot_stats *sum)
{
	struct vmq_slot_stats one;

	if (!attach_slot_stats(q->service->attachment, slot, &one))
		slot_stats_add(sum, &one);
}

void queue_slots_give(struct queue *q, uint16_t keep)
{
	while (q->n_slots > keep) {
		uint16_t slot = q->slot[--q->n_slots];

		queue_slots_note(q);
		add_slot(q, slot, &q->kept->past);
		q->service->slot_used[slot] = false;
	}
}

void queue_slot_stats(struct queue *q, struct vmq_slot_stats *sum)
{
	int i;

	*sum = q->kept->past;
	for (i = 0; i < q->n_slots; i++)
		add_slot(q, q->slot[i], sum);
}

uint32_t queue_ring(const struct queue *q)
{
	uint32_t want;

	if (q->ring)
		return q->ring;
	want = q->rec.ring ? roundup_pow2(q->rec.ring) : q->service->ring;
	return MIN(MAX(want, RING_MIN), RING_MAX);
}

uint32_t queue_fib_value(const struct queue *q)
{
	uint32_t flags = q->rec.rule == VMQ_RULE_ANY ? 0 : VMQ_FIB_F_STRIP;
	int i;

	if (q->service->info->asks_tag)
		flags |= VMQ_FIB_F_OOB;
	if (queue_rss_on(q))
		return VMQ_FIB_VALUE(VMQ_TARGET_RSS, flags, q->id, 0);
	/* One pair serves: that of the primary, or of the only CPU in the table. */
	for (i = 0; i < q->width && !q->place.serves[i];)
		i++;
	return VMQ_FIB_VALUE(VMQ_TARGET_SLOT, flags, q->id, q->slot[i]);
}

/* The ring's size is a hint: before a queue goes without, smaller ones do (M-2). */
static int open_rings(struct queue *q, struct vmq_err *err)
{
	uint32_t ring = queue_ring(q);
	int rc = port_rings_open(q->port, q->slot, ring, err);

	while (rc == -ENOBUFS && ring > RING_MIN) {
		ring /= 2;
		rc = port_rings_open(q->port, q->slot, ring, NULL);
	}
	q->ring = rc ? 0 : ring;
	return rc;
}

int queue_complete(struct queue *q, struct vmq_err *err)
{
	int next = queue_next(q, QUEUE_EV_COMPLETE, err), rc;
	uint32_t waits;

	if (next < 0)
		return next;
	/* One that has waited does not count yet. */
	rc = q->rec.flags & VMQ_QUEUE_F_WAITS ? queue_check_room(q->service, err) : 0;
	if (!rc)
		rc = queue_slots_take(q, q->width, err);
	if (rc)
		return rc;
	rc = open_rings(q, err);
	if (rc)
		goto err_slots;
	waits = q->rec.flags & VMQ_QUEUE_F_WAITS;
	q->rec.flags &= ~VMQ_QUEUE_F_WAITS;
	q->rec.flags |= VMQ_QUEUE_F_COMPLETE;
	rc = queue_save(q, err);
	if (rc)
		goto err_rings;
	queue_rss_publish(q);
	if (next == QUEUE_RUNNING) {
		rc = filters_activate(q->service->filters, q->id, queue_fib_value(q), err);
		if (rc)
			goto err_rings;
	}
	queue_enter(q, next);
	return 0;

err_rings:
	q->rec.flags = (q->rec.flags & ~VMQ_QUEUE_F_COMPLETE) | waits;
	queue_save(q, NULL);
	port_rings_close(q->port, NULL);
	q->ring = 0;
err_slots:
	queue_slots_give(q, 0);
	return rc;
}

int queue_made(struct queue *q, bool complete, struct vmq_err *err)
{
	if (!q->client_id)
		q->rec.flags &= ~VMQ_QUEUE_F_ENDS;
	return complete ? queue_complete(q, err) : queue_save(q, err);
}

void queue_wait_for_room(struct queue *q)
{
	q->rec.flags |= VMQ_QUEUE_F_WAITS;
	queue_save(q, NULL);
	queue_announce(q, "queue-waits");
}

void queue_promote(struct service *s)
{
	uint32_t id;

	for (id = 1; id <= VMQ_QUEUES_MAX; id++) {
		struct queue *q = s->queue[id];

		if (!q || !(q->rec.flags & VMQ_QUEUE_F_WAITS) || !q->rec.weight || q->busy ||
		    state_next(q->state, QUEUE_EV_COMPLETE) < 0 || queue_complete(q, NULL))
			continue;
		log_info("queue %s has left queue 0", q->rec.name);
		queue_announce(q, "queue-promoted");
	}
}

/* ---- filters ----------------------------------------------------------- */

int queue_filter_check(struct service *s, const struct vmq_filter_key *key, struct vmq_err *err)
{
	if (!memcmp(key->mac, s->dev.mac, 6))
		return vmq_err(err, -EINVAL, "that address is %s's own: its frames are the host's",
			       s->dev.name);
	if (!s->info->tags_known && key->rule != VMQ_RULE_ANY)
		return vmq_err(err, -EOPNOTSUPP,
			       "a VLAN or untagged filter could take a frame of another VLAN: %s; "
			       "use --vlan any, or start vmq-load with --tags frame if tags are "
			       "known to stay in the frame", s->info->tags_why);
	return 0;
}

int queue_filter_set(struct queue *q, const struct vmq_filter_key *key, uint32_t owner,
		     struct vmq_filter *f, struct vmq_err *err)
{
	int next = queue_next(q, QUEUE_EV_SET_FILTER, err), rc;
	struct service *s = q->service;
	const struct filter *clash;

	if (next < 0)
		return next;
	rc = queue_filter_check(s, key, err);
	if (rc)
		return rc;
	*f = (struct vmq_filter){ .id = f->id, .queue = q->id, .target = VMQ_TARGET_SLOT,
				  .owner = owner };
	rc = filters_add(s->filters, key, f, &clash, err);
	if (rc == -EEXIST && clash && s->queue[clash->rec.queue])
		vmq_err_prefix(err, "taken by queue %s", s->queue[clash->rec.queue]->rec.name);
	if (rc)
		return rc;
	/* Paused -> Running: only now may frames come (S-6). */
	if (q->state == QUEUE_PAUSED)
		rc = filters_activate(s->filters, q->id, queue_fib_value(q), err);
	if (!rc) {
		address_follow(s, key->mac, key->rule);
		rc = address_commit(s, err);
	}
	if (rc) {
		if (q->state == QUEUE_PAUSED)
			filters_deactivate(s->filters, q->id);
		filters_del(s->filters, filters_by_id(s->filters, f->id), NULL);
		return rc;
	}
	service_address_add(s, key->mac, key->rule);
	queue_enter(q, next);
	return 0;
}
