/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * model.h - what a client of model.c knows: its queues and filters, and their words
 *
 * model_look.h compares it with the service, model_ask.h makes the requests; both are
 * parts of that one program.
 */
#ifndef VMQ_TEST_MODEL_H
#define VMQ_TEST_MODEL_H

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/parse.h"
#include "common/util.h"
#include "vmq/abi.h"
#include "vmq/vmq.h"

#define CLIENTS	8
#define NAMES	4	/* queues of a client */
#define MACS	5
#define RULES	4
#define WAIT_NS	(20 * 1000000000ULL)

enum { TO_NONE = -1, TO_HOST = NAMES, TO_DROP, TARGETS };

struct model_queue {
	bool there, complete, trust, gro, paused, rss, attached;
	int pairs, rule, weight, vm;
	unsigned macs;		/* bits */
	int entries, table[VMQ_RSS_ENTRIES_MAX], fallback, primary;
	char phase[16];		/* only as the service tells it, and how many filters it has */
	int filters;
};

struct model {
	struct model_queue q[NAMES];
	int to[MACS][RULES];	/* TO_NONE, a queue, TO_HOST or TO_DROP */
};

struct client {
	pthread_t thread;
	unsigned n, seed, taps;
	struct vmq *v, *attached;
	struct model is, next;
	char what[8192];	/* the request, for the sentence about it */
	const char *method;
	json_t *result;
	char word[TARGETS + 1][8];
};

struct options {
	const char *seconds, *clients, *seed, *wire, *netns;
	bool restarts, scarce, help;
};

static struct options opt;
static const char *const rule_word[RULES] = { "untagged", "any", "7", "8" };
static const uint16_t rule_value[RULES] = { VMQ_RULE_UNTAGGED, VMQ_RULE_ANY, 7, 8 };
static atomic_ulong calls, refused, frames, cut_off, restarts;
static atomic_int broken;
static uint64_t end_ns;
static int wire_fd = -1;
static pthread_mutex_t wire_lock = PTHREAD_MUTEX_INITIALIZER;

static unsigned pick(struct client *c, unsigned n)
{
	return (unsigned)rand_r(&c->seed) / 7 % n;
}

__attribute__((format(printf, 2, 3)))
static void complain(struct client *c, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!broken)
		fprintf(stderr, "model: client %u, %s %s: %s\n", c->n, c->method ? c->method : "",
			c->what, text);
	broken = 1;
}

static void doze(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
}

/* ---- what follows from the model ------------------------------------------- */

static int filters_of(const struct model *m, int q)
{
	int n = 0;

	for (int i = 0; i < MACS * RULES; i++)
		n += m->to[i / RULES][i % RULES] == q;
	return n;
}

static const char *phase_of(const struct model *m, int q)
{
	bool some = filters_of(m, q);

	return m->q[q].complete ? some ? "running" : "paused" : some ? "set" : "allocated";
}

/* Whose own address that is; -1: nobody's. */
static int owner_of(const struct model *m, int mac, int rule)
{
	for (int i = 0; i < NAMES; i++)
		if (m->q[i].there && m->q[i].rule == rule && m->q[i].macs & 1U << mac)
			return i;
	return -1;
}

static int budget(const struct model_queue *q)
{
	bool used[64] = { false };
	int n = 0;

	used[q->fallback & 63] = true;
	for (int i = 0; i < q->entries; i++)
		used[q->table[i] & 63] = true;
	for (int i = 0; i < 64; i++)
		n += used[i];
	return n;
}

static void forget_queue(struct model *m, int q)
{
	for (int i = 0; i < MACS * RULES; i++)
		if (m->to[i / RULES][i % RULES] == q)
			m->to[i / RULES][i % RULES] = TO_NONE;
	m->q[q] = (struct model_queue){ .there = false };
}

static void spread(struct model_queue *q, const int *cpu, int n, int entries)
{
	q->entries = entries;
	for (int i = 0; i < entries; i++)
		q->table[i] = cpu[i % n];
}

/* ---- words ------------------------------------------------------------------ */

static const char *name(struct client *c, int q)
{
	return c->word[q];
}

static json_t *mac_word(const struct client *c, int mac)
{
	return json_sprintf("52:54:00:0d:%02x:%02x", c->n, mac);
}

static json_t *macs_word(const struct client *c, unsigned macs)
{
	json_t *list = json_array();

	for (int i = 0; i < MACS; i++)
		if (macs & 1U << i)
			json_array_append_new(list, mac_word(c, i));
	return list;
}

/* CPUs to ask for: mostly those that are there, 0 and 1. */
static json_t *cpus_word(struct client *c, int *cpu, int *n, bool *bad)
{
	json_t *list = json_array();
	int first = (int)pick(c, 2);

	*n = 1 + (int)pick(c, 2);
	*bad = false;
	for (int i = 0; i < *n; i++) {
		cpu[i] = (first + i) % 2;
		if (!pick(c, 20)) {
			cpu[i] = 61;
			*bad = true;
		}
		json_array_append_new(list, json_integer(cpu[i]));
	}
	return list;
}

#endif /* VMQ_TEST_MODEL_H */
