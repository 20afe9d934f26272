/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * closer.c - threads that close descriptors and end when there are none
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "datapath/closer.h"

#define THREADS_MAX 64
#define STACK (64 << 10)	/* for close(), not for the 8 MiB that a thread gets unasked */

struct item {
	struct item *next;
	struct closing *of;
	int fd;
};

struct closer {
	pthread_mutex_t lock;
	pthread_cond_t idle;	/* no thread is left */
	struct item *first;	/* lock, as all below */
	struct closing *finished;
	int threads;
	int event_fd;
};

/* With the lock held. */
static void closing_put(struct closer *c, struct closing *of)
{
	if (!of || --of->pending)
		return;
	of->next = c->finished;
	c->finished = of;
	eventfd_write(c->event_fd, 1);
}

static void *closer_run(void *arg)
{
	struct closer *c = arg;
	struct item *item;

	pthread_mutex_lock(&c->lock);
	while ((item = c->first)) {
		c->first = item->next;
		pthread_mutex_unlock(&c->lock);
		close(item->fd);
		pthread_mutex_lock(&c->lock);
		closing_put(c, item->of);
		free(item);
	}
	if (!--c->threads)
		pthread_cond_signal(&c->idle);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

struct closer *closer_open(int event_fd)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	c->event_fd = event_fd;
	return c;
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

void closer_dispatch(struct closer *c)
{
	struct closing *of, *next;

	pthread_mutex_lock(&c->lock);
	of = c->finished;
	c->finished = NULL;
	pthread_mutex_unlock(&c->lock);
	for (; of; of = next) {
		next = of->next;
		of->done(of);
	}
}

/* One more thread, if there may be one; signals are the control thread's. */
static void closer_start(struct closer *c)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;

	if (c->threads == THREADS_MAX || pthread_attr_init(&attr))
		return;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, &attr, closer_run, c))
		c->threads++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void closer_begin(struct closing *of)
{
	of->next = NULL;
	of->pending = 1;	/* until closer_end() */
}

void closer_add(struct closer *c, int fd, struct closing *of)
{
	struct item *item = malloc(sizeof(*item));

	if (!item) {
		close(fd);
		return;
	}
	*item = (struct item){ .fd = fd, .of = of };
	pthread_mutex_lock(&c->lock);
	if (of)
		of->pending++;
	item->next = c->first;
	c->first = item;
	closer_start(c);
	if (!c->threads) {	/* no thread can be had: here and now */
		c->first = item->next;
		close(fd);
		closing_put(c, of);
		free(item);
	}
	pthread_mutex_unlock(&c->lock);
}

void closer_end(struct closer *c, struct closing *of)
{
	pthread_mutex_lock(&c->lock);
	closing_put(c, of);
	pthread_mutex_unlock(&c->lock);
}
