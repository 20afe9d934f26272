// SPDX-License-Identifier: GPL-2.0-only
/*
 * churn.c - several controllers at once that know no mercy
 *
 *	churn [SECONDS [CONTROLLERS [SEED]]]
 *
 * Each controller is a thread with a connection of its own. It makes, completes,
 * drains, moves, pauses, sets, frees and deletes queues and filters at random, out
 * of a few names and addresses that all of them share, so most of what it asks is
 * in the way of somebody else's. Any answer will do but silence: a call that is
 * not answered, or a connection that breaks unasked, is a failure. Some queues are
 * attached, and connections are closed now and then in the midst of things. In the
 * end all queues are deleted; what is left then is for the caller to look at.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "vmq/vmq.h"

#define NAMES		6
#define MACS		8
#define CONTROLLERS	16
#define OTHERS		2	/* the first filters are left alone */

static atomic_ulong calls, refused;
static atomic_int broken;
static uint64_t end_ns;

struct controller {
	pthread_t thread;
	unsigned seed;
	struct vmq *v;
};

static unsigned pick(struct controller *c, unsigned n)
{
	return (unsigned)rand_r(&c->seed) % n;
}

/* Each with a %1$u for a queue, %2$u for an address, %3$u for another queue, %4$u 0 or 1, %5$u a
 * filter. */
static const struct {
	const char *method, *params;
} deeds[] = {
	{ "queue.add", "{\"name\":\"c%1$u\",\"macs\":[\"52:54:00:00:0c:0%2$u\"],\"ring\":64}" },
	{ "queue.add", "{\"name\":\"c%1$u\",\"macs\":[\"52:54:00:00:0c:0%2$u\"],\"attached\":true}" },
	{ "queue.add", "{\"name\":\"c%1$u\",\"pairs\":2,\"vlan\":\"any\"}" },
	{ "queue.alloc", "{\"name\":\"c%1$u\",\"macs\":[\"52:54:00:00:0c:0%2$u\"]}" },
	{ "queue.complete", "{\"names\":[\"c%1$u\",\"c%3$u\"]}" },
	{ "queue.drain", "{\"name\":\"c%1$u\",\"timeout_ms\":5}" },
	{ "queue.free", "{\"name\":\"c%1$u\"}" },
	{ "queue.del", "{\"name\":\"c%1$u\"}" },
	{ "queue.pause", "{\"name\":\"c%1$u\"}" },
	{ "queue.resume", "{\"name\":\"c%1$u\"}" },
	{ "queue.set", "{\"name\":\"c%1$u\",\"cpus\":[%4$u]}" },
	{ "queue.set", "{\"name\":\"c%1$u\",\"pairs\":2}" },
	{ "queue.set", "{\"name\":\"c%1$u\",\"pairs\":1,\"cpus\":[%4$u]}" },
	{ "queue.set", "{\"name\":\"c%1$u\",\"vlan\":\"%2$u\"}" },
	{ "queue.set", "{\"name\":\"c%1$u\",\"new_name\":\"c%3$u\"}" },
	{ "queue.show", "{\"name\":\"c%1$u\"}" },
	{ "queue.export", "{\"name\":\"c%1$u\"}" },
	{ "rss.set", "{\"name\":\"c%1$u\",\"on\":true,\"spread\":[0,%4$u]}" },
	{ "rss.set", "{\"name\":\"c%1$u\",\"on\":false}" },
	{ "rss.move", "{\"moves\":[{\"name\":\"c%1$u\",\"entry\":%2$u,\"cpu\":%4$u}]}" },
	{ "filter.add", "{\"queue\":\"c%1$u\",\"macs\":[\"52:54:00:00:0c:0%2$u\"]}" },
	{ "filter.add", "{\"queue\":\"drop\",\"macs\":[\"52:54:00:00:0c:0%2$u\"]}" },
	{ "filter.del", "{\"mac\":\"52:54:00:00:0c:0%2$u\"}" },
	{ "filter.del", "{\"mac\":\"52:54:00:00:0c:0%2$u\",\"vlan\":\"%2$u\"}" },
	{ "filter.move", "{\"id\":%5$u,\"queue\":\"c%3$u\"}" },
	{ "filter.apply", "{\"changes\":[{\"op\":\"add\",\"mac\":\"52:54:00:00:0c:0%2$u\",\"vlan\":\"any\","
			  "\"queue\":\"c%1$u\"},{\"op\":\"move\",\"mac\":\"52:54:00:00:0c:0%2$u\","
			  "\"vlan\":\"any\",\"queue\":\"c%3$u\"}]}" },
	{ "filter.apply", "{\"changes\":[{\"op\":\"del\",\"mac\":\"52:54:00:00:0c:0%2$u\","
			  "\"vlan\":\"any\"}]}" },
	{ "filter.list", "{}" },
	{ "stats", "{}" },
	{ "show", "{}" },
};

static int reconnect(struct controller *c)
{
	int rc;

	vmq_close(c->v);
	rc = vmq_open(&c->v, NULL, NULL);
	/* At the limit of connections one is told to try again. */
	if (rc && rc != -EAGAIN) {
		fprintf(stderr, "churn: %s\n", vmq_error(c->v));
		broken = 1;
	}
	return rc;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void deed(struct controller *c)
{
	unsigned d = pick(c, ARRAY_SIZE(deeds));
	char params[512];
	int rc;

	snprintf(params, sizeof(params), deeds[d].params, pick(c, NAMES), 1 + pick(c, MACS),
		 pick(c, NAMES), pick(c, 2), OTHERS + 1 + pick(c, MACS));
	rc = vmq_call(c->v, deeds[d].method, params, NULL);
	calls++;
	if (rc)
		refused++;
	if (rc == -ETIMEDOUT || rc == -ECONNRESET || rc == -EPIPE || rc == -ENOMEM || rc == -EPROTO) {
		fprintf(stderr, "churn: %s %s: %s\n", deeds[d].method, params, vmq_error(c->v));
		broken = 1;
	}
}
#pragma GCC diagnostic pop

static void *control(void *arg)
{
	struct controller *c = arg;

	if (reconnect(c))
		return NULL;
	while (!broken && now_ns() < end_ns) {
		deed(c);
		if (!pick(c, 50) && reconnect(c))
			break;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 5;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 4, i;
	unsigned seed = argc > 3 ? (unsigned)atoi(argv[3]) : (unsigned)now_ns();
	struct controller c[CONTROLLERS] = { 0 };
	char params[64];

	if (argc > 4 || seconds <= 0 || !n || n > CONTROLLERS) {
		fprintf(stderr, "usage: churn [SECONDS [CONTROLLERS [SEED]]]\n");
		return 2;
	}
	fprintf(stderr, "churn: seed %u\n", seed);
	end_ns = now_ns() + (uint64_t)(seconds * 1e9);
	for (i = 0; i < n; i++) {
		c[i].seed = seed + i;
		if (pthread_create(&c[i].thread, NULL, control, &c[i]))
			return 1;
	}
	for (i = 0; i < n; i++)
		pthread_join(c[i].thread, NULL);
	for (i = 0; i < NAMES && !broken; i++) {
		snprintf(params, sizeof(params), "{\"name\":\"c%u\"}", i);
		vmq_call(c[0].v, "queue.del", params, NULL);
	}
	for (i = 1; i <= MACS && !broken; i++) {
		snprintf(params, sizeof(params), "{\"mac\":\"52:54:00:00:0c:0%u\"}", i);
		vmq_call(c[0].v, "filter.del", params, NULL);
	}
	for (i = 0; i < n; i++)
		vmq_close(c[i].v);
	printf("{\"calls\":%lu,\"refused\":%lu,\"seconds\":%.1f}\n", calls, refused, seconds);
	return broken ? 1 : 0;
}
