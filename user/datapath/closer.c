/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * closer.c - threads that close descriptors and end when there are none
 */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "datapath/closer.h"

#define THREADS_MAX 64

struct item {
	struct item *next;
	int fd;
};

struct closer {
	pthread_mutex_t lock;
	pthread_cond_t idle;	/* no thread is left */
	struct item *first;
	int threads;
};

static void *closer_run(void *arg)
{
	struct closer *c = arg;
	struct item *item;

	pthread_mutex_lock(&c->lock);
	while ((item = c->first)) {
		c->first = item->next;
		pthread_mutex_unlock(&c->lock);
		close(item->fd);
		free(item);
		pthread_mutex_lock(&c->lock);
	}
	if (!--c->threads)
		pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct closer *closer_open(void)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	return c;
}

void closer_add(struct closer *c, int fd)
{
	struct item *item = malloc(sizeof(*item));
	pthread_t thread;

	if (!item) {
		close(fd);
		return;
	}
	item->fd = fd;
	pthread_mutex_lock(&c->lock);
	item->next = c->first;
	c->first = item;
	if (c->threads < THREADS_MAX && !pthread_create(&thread, NULL, closer_run, c)) {
		pthread_detach(thread);
		c->threads++;
	}
	if (!c->threads) {
		c->first = item->next;
		close(fd);
		free(item);
	}
	pthread_mutex_unlock(&c->lock);
}

void closer_close(struct closer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	while (c->threads)
		pthread_cond_wait(&c->idle, &c->lock);
	pthread_mutex_unlock(&c->lock);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
