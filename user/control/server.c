// SPDX-License-Identifier: GPL-2.0-only
/*
 * server.c - the control socket: peers, messages, replies
 *
 * One epoll set, one buffer, one thread. What keeps a peer from harming others:
 *
 *   - It is read one message per turn, and not at all while a reply to it waits
 *     or REQUESTS_MAX of its requests are unanswered. What it may pile up is one
 *     reply beyond OUT_MAX, and OUT_TOTAL_MAX for all peers together.
 *   - Sending never waits. Who does not read until the bound is dropped.
 *   - At CLIENTS_MAX, or out of descriptors, the one that has been silent for
 *     longest makes room, if it owns nothing: it has changed nothing, waits for
 *     nothing, watches nothing, and no request of it is waiting to be read.
 *
 * Who leaves is only marked (`dead`) and shut down; memory goes in reap(), at
 * the end of server_dispatch(). So a handler, or an event sent from anywhere,
 * never pulls a client from under a loop, and `gone` runs at one place.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/util.h"
#include "control/message.h"
#include "control/server.h"
#include "control/socket.h"

#define EVENTS		64		/* of one turn */
#define ACCEPTS		64		/* of one turn */
#define REQUESTS_MAX	16		/* unanswered, per client */
#define OUT_MAX		(1024 * 1024)	/* unsent bytes of one client */
#define OUT_TOTAL_MAX	(64 * 1024 * 1024)

/* A message that waits until its peer has read others. */
struct out {
	STAILQ_ENTRY(out) link;
	int	fd;		/* goes along; -1: none */
	size_t	len;
	char	data[];
};

/* The server's side of a request: which of a client's are unanswered. */
struct pending {
	struct request r;
	LIST_ENTRY(pending) link;	/* in r.client->requests */
};

struct client {
	TAILQ_ENTRY(client) link;	/* longest silent first */
	struct server *server;
	int	 fd;
	uint64_t id;
	uid_t	 uid;
	pid_t	 pid;
	bool	 may_change;
	bool	 monitor;
	bool	 asked;		/* made a request: `gone` is told */
	bool	 owns;		/* made one that changes things */
	bool	 dead;		/* shut down; reap() frees it */
	uint32_t watched;	/* epoll events asked for */
	uint32_t n_requests;
	LIST_HEAD(, pending) requests;
	STAILQ_HEAD(, out) out;
	size_t	 out_bytes;
};

struct server {
	char   *path;
	dev_t	dev;		/* of the socket file: another one is not ours to unlink */
	ino_t	ino;
	int	fd, epoll_fd;
	int	spare_fd;	/* given up to refuse a peer when descriptors run out */
	const struct method *methods;
	void   *service;
	void  (*gone)(void *service, uint64_t client_id);
	TAILQ_HEAD(clients, client) clients;
	uint32_t n_clients;	/* without the dead */
	uint64_t last_id;
	size_t	out_bytes;	/* of all clients */
	char   *in;		/* MESSAGE_MAX bytes */
};

/* ---- sending ------------------------------------------------------------ */

static void out_clear(struct client *c)
{
	struct out *o;

	while ((o = STAILQ_FIRST(&c->out))) {
		STAILQ_REMOVE_HEAD(&c->out, link);
		if (o->fd >= 0)
			close(o->fd);
		free(o);
	}
	c->server->out_bytes -= c->out_bytes;
	c->out_bytes = 0;
}

/* Ask epoll for what we would act on; level-triggered, so no more than that. */
static void client_watch(struct client *c)
{
	struct epoll_event ev = { .data.ptr = c };

	if (!c->dead && !STAILQ_EMPTY(&c->out))
		ev.events = EPOLLOUT;
	else if (!c->dead && c->n_requests < REQUESTS_MAX)
		ev.events = EPOLLIN;
	if (ev.events == c->watched)
		return;
	epoll_ctl(c->server->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	c->watched = ev.events;
}

/*
 * The end of a connection, from anywhere. After shutdown(2) epoll reports
 * EPOLLHUP whatever was asked for, so the next server_dispatch() comes by itself.
 */
static void client_drop(struct client *c)
{
	if (c->dead)
		return;
	c->dead = true;
	c->server->n_clients--;
	out_clear(c);
	shutdown(c->fd, SHUT_RDWR);
	client_watch(c);
}

/* All peers together hold too much: the one that holds most goes. */
static void drop_largest(struct server *s)
{
	struct client *c, *largest = NULL;

	TAILQ_FOREACH(c, &s->clients, link)
		if (!c->dead && (!largest || c->out_bytes > largest->out_bytes))
			largest = c;
	if (!largest)
		return;
	log_warn("control: pid %d does not read its replies; connection closed", largest->pid);
	client_drop(largest);
}

static void client_queue(struct client *c, const char *data, size_t len, int fd)
{
	struct server *s = c->server;
	struct out *o;

	o = malloc(sizeof(*o) + len);
	if (!o) {
		client_drop(c);
		return;
	}
	o->len = len;
	o->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	memcpy(o->data, data, len);
	STAILQ_INSERT_TAIL(&c->out, o, link);
	c->out_bytes += len;
	s->out_bytes += len;
	if (fd >= 0 && o->fd < 0)	/* no descriptor left: half a reply is none */
		client_drop(c);
	if (s->out_bytes > OUT_TOTAL_MAX)
		drop_largest(s);
}

static void client_send(struct client *c, const char *data, size_t len, int fd)
{
	int rc = -EAGAIN;

	if (c->dead)
		return;
	if (STAILQ_EMPTY(&c->out))
		rc = socket_send(c->fd, data, len, fd);
	if (rc == -EAGAIN) {
		client_queue(c, data, len, fd);
	} else if (rc) {
		log_debug("control: send to pid %d: %s", c->pid, strerror(-rc));
		client_drop(c);
	}
	client_watch(c);
}

/* What waits, as far as the peer takes it. */
static void client_flush(struct client *c)
{
	struct out *o;

	while ((o = STAILQ_FIRST(&c->out))) {
		int rc = socket_send(c->fd, o->data, o->len, o->fd);

		if (rc == -EAGAIN)
			return;
		if (rc) {
			client_drop(c);
			return;
		}
		STAILQ_REMOVE_HEAD(&c->out, link);
		c->out_bytes -= o->len;
		c->server->out_bytes -= o->len;
		if (o->fd >= 0)
			close(o->fd);
		free(o);
	}
	client_watch(c);
}

static bool client_is_slow(struct client *c)
{
	if (c->out_bytes <= OUT_MAX)
		return false;
	log_warn("control: pid %d does not read its messages; connection closed", c->pid);
	client_drop(c);
	return true;
}

/* A reply (for free(); NULL: no memory), in parts if it is long. */
static void client_reply(struct client *c, json_int_t id, char *text, int fd)
{
	size_t len, n;
	char *part;

	if (!text) {
		client_drop(c);
		return;
	}
	len = strlen(text);
	if (client_is_slow(c))
		goto out;
	if (len <= REPLY_MAX) {
		client_send(c, text, len, fd);
		goto out;
	}
	for (size_t at = 0; at < len && !c->dead; at += n) {
		n = MIN(len - at, (size_t)PART_MAX);
		part = message_part(id, text + at, n, at + n < len);
		if (part)
			client_send(c, part, strlen(part), at ? -1 : fd);
		else
			client_drop(c);
		free(part);
	}
out:
	free(text);
}

/* ---- requests ----------------------------------------------------------- */

static void request_end(struct request *r, char *text, int fd)
{
	struct pending *p = container_of(r, struct pending, r);
	struct client *c = r->client;

	if (c) {
		LIST_REMOVE(p, link);
		c->n_requests--;
		client_reply(c, r->id, text, fd);
		client_watch(c);
	} else {
		free(text);
	}
	socket_close_fds(r->fds, r->n_fds);
	json_decref(r->params);
	free(p);
}

/**
 * request_reply_fd() - answer a request, with a descriptor for the peer
 * @r: the request; freed
 * @result: object; taken over
 * @fd: stays the caller's; -1: none
 */
void request_reply_fd(struct request *r, json_t *result, int fd)
{
	request_end(r, message_result(r->id, result), fd);
}

/**
 * request_reply() - answer a request
 * @r: the request; freed
 * @result: object; taken over
 */
void request_reply(struct request *r, json_t *result)
{
	request_reply_fd(r, result, -1);
}

/**
 * request_fail() - answer a request with an error
 * @r: the request; freed
 * @code: negative errno; the sentence is r->err.text, or the system's
 */
void request_fail(struct request *r, int code)
{
	request_end(r, message_error(true, r->id, code, r->err.text), -1);
}

static const struct method *find_method(const struct server *s, const char *name)
{
	for (const struct method *m = s->methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

/* Everything that can be wrong with a request before its handler looks at it. */
static int check_request(const struct client *c, const struct message *m,
			 const struct method **method, struct vmq_err *err)
{
	*method = find_method(c->server, m->method);
	if (!*method)
		return vmq_err(err, -EOPNOTSUPP, "this service has no method '%.40s'", m->method);
	if ((*method)->kind == METHOD_CHANGES && !c->may_change)
		return vmq_err(err, -EACCES,
			       "%s needs root or a member of the group that owns %s", m->method,
			       c->server->path);
	return message_check(*method, m->params, err);
}

static void client_request(struct client *c, const struct message *m,
			   const struct method *method, const struct socket_message *in)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p) {
		socket_close_fds(in->fds, in->n_fds);
		client_drop(c);
		return;
	}
	p->r.method = method;
	p->r.params = m->params ? json_incref(m->params) : json_object();
	p->r.uid = c->uid;
	p->r.pid = c->pid;
	p->r.client_id = c->id;
	p->r.client = c;
	p->r.id = m->id;
	p->r.n_fds = in->n_fds;
	memcpy(p->r.fds, in->fds, sizeof(in->fds));
	LIST_INSERT_HEAD(&c->requests, p, link);
	c->n_requests++;
	c->asked = true;
	c->owns |= method->kind != METHOD_READS;
	log_debug("control: pid %d uid %u: %s", c->pid, c->uid, method->name);
	method->fn(c->server->service, &p->r);
}

/*
 * The request that a message spoke of. It replaces the message in @m; its memfd is
 * closed, and the descriptors that are left are the request's.
 */
static int client_read_memfd(const struct client *c, struct message *m, struct socket_message *in,
			     struct vmq_err *err)
{
	size_t len = m->memfd;
	char *text;
	int rc;

	if (!c->may_change)
		return vmq_err(err, -EACCES, "a request of more than %d bytes needs root or a member "
			       "of the group that owns %s", MESSAGE_MAX, c->server->path);
	if (!in->n_fds)
		return vmq_err(err, -EPROTO, "no memfd came with the message");
	text = malloc(len);
	if (!text)
		return vmq_err(err, -ENOMEM, "no memory for a request of %zu bytes", len);
	rc = socket_read_memfd(in->fds[0], text, len, err);
	if (rc)
		goto out;
	close(in->fds[0]);
	memmove(in->fds, in->fds + 1, (size_t)--in->n_fds * sizeof(int));
	message_clear(m);
	rc = message_parse(m, text, len, err);
	if (!rc && m->memfd)
		rc = vmq_err(err, -EPROTO, "the request in the memfd is in a memfd again");
out:
	free(text);
	return rc;
}

static void client_read(struct client *c)
{
	struct vmq_err err = VMQ_ERR_INIT;
	const struct method *method = NULL;
	struct server *s = c->server;
	struct socket_message in;
	struct message m = { 0 };
	int rc;

	rc = socket_recv(c->fd, s->in, &in, &err);
	if (rc == -EAGAIN)
		return;
	if (rc && !err.code) {		/* nobody is there to be told */
		socket_close_fds(in.fds, in.n_fds);
		client_drop(c);
		return;
	}
	TAILQ_REMOVE(&s->clients, c, link);
	TAILQ_INSERT_TAIL(&s->clients, c, link);

	if (!rc)
		rc = message_parse(&m, s->in, in.len, &err);
	if (!rc && m.memfd)
		rc = client_read_memfd(c, &m, &in, &err);
	if (!rc)
		rc = check_request(c, &m, &method, &err);
	if (rc) {
		socket_close_fds(in.fds, in.n_fds);
		client_reply(c, m.id, message_error(m.has_id, m.id, rc, err.text), -1);
	} else {
		client_request(c, &m, method, &in);
	}
	client_watch(c);
	message_clear(&m);
}

/* ---- peers come and go -------------------------------------------------- */

static void client_open(struct server *s, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	int room = MESSAGE_MAX;
	struct client *c;

	c = calloc(1, sizeof(*c));
	if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		free(c);
		close(fd);
		return;
	}
	/* An administrator may have made net.core.wmem_default smaller than a reply. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	c->server = s;
	c->fd = fd;
	c->id = ++s->last_id;
	c->uid = peer.uid;
	c->pid = peer.pid;
	c->may_change = socket_peer_may_change(fd, &peer, s->path);
	c->watched = EPOLLIN;
	LIST_INIT(&c->requests);
	STAILQ_INIT(&c->out);
	ev.data.ptr = c;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		free(c);
		close(fd);
		return;
	}
	TAILQ_INSERT_TAIL(&s->clients, c, link);
	s->n_clients++;
}

/* Its requests stay with their handlers; the answers go nowhere. */
static void client_free(struct client *c)
{
	struct server *s = c->server;
	struct pending *p;

	if (!c->dead)
		s->n_clients--;
	out_clear(c);
	while ((p = LIST_FIRST(&c->requests))) {
		LIST_REMOVE(p, link);
		p->r.client = NULL;
	}
	TAILQ_REMOVE(&s->clients, c, link);
	/* close(2) alone would not do if a forked process had the file open too. */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	close(c->fd);
	free(c);
}

/*
 * Free who was dropped and tell the service. `gone` may announce events, which
 * may drop others: start over after each.
 */
static void reap(struct server *s)
{
	struct client *c;

	do {
		/* The analyzer does not follow TAILQ_REMOVE() in client_free(). */
		TAILQ_FOREACH(c, &s->clients, link)
			if (c->dead)	/* NOLINT(clang-analyzer-unix.Malloc) */
				break;
		if (c) {
			uint64_t id = c->id;
			bool tell = c->asked && s->gone;

			client_free(c);
			if (tell)
				s->gone(s->service, id);
		}
	} while (c);
}

static bool make_room(struct server *s)
{
	struct client *c;

	TAILQ_FOREACH(c, &s->clients, link) {
		if (c->dead || c->monitor || c->owns || c->n_requests || c->out_bytes ||
		    socket_has_unread(c->fd))
			continue;
		log_debug("control: silent connection of pid %d closed to make room", c->pid);
		client_drop(c);
		reap(s);
		return true;
	}
	return false;
}

/* Root gets in when users have filled the server: somebody must be able to look. */
static uint32_t room_for(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && !peer.uid)
		return CLIENTS_MAX + CLIENTS_ROOT;
	return CLIENTS_MAX;
}

static void refuse(int fd)
{
	char *text;

	text = message_error(false, 0, -EAGAIN,
			     "too many clients are connected and none of them is idle; try again");
	if (text)
		socket_send(fd, text, strlen(text), -1);
	free(text);
	close(fd);
}

/*
 * No descriptor for the next peer. It must not stay in the backlog, or epoll
 * would wake us for ever: a silent one makes room, or the spare descriptor is
 * used to take it and close it.
 */
static void out_of_fds(struct server *s)
{
	int fd;

	if (make_room(s))
		return;
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(fd);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_clients(struct server *s)
{
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			out_of_fds(s);
		if (fd < 0)
			return;
		if (s->n_clients >= CLIENTS_MAX && !make_room(s) && s->n_clients >= room_for(fd))
			refuse(fd);
		else
			client_open(s, fd);
	}
}

/* ---- the server --------------------------------------------------------- */

int server_open(struct server **out, const char *path, const struct method *methods,
		void *service, void (*gone)(void *service, uint64_t client_id),
		struct vmq_err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct server *s;
	struct stat st;
	int rc;

	s = calloc(1, sizeof(*s));
	if (!s)
		return vmq_err(err, -ENOMEM, "no memory for the control socket");
	s->fd = s->epoll_fd = s->spare_fd = -1;
	s->methods = methods;
	s->service = service;
	s->gone = gone;
	TAILQ_INIT(&s->clients);
	s->path = strdup(path);
	s->in = malloc(MESSAGE_MAX);
	if (!s->path || !s->in) {
		rc = vmq_err(err, -ENOMEM, "no memory for the control socket");
		goto err_close;
	}
	rc = s->fd = socket_listen(path, err);
	if (rc < 0)
		goto err_close;
	if (!lstat(path, &st)) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->fd, &ev)) {
		rc = vmq_err_sys(err, -errno, "cannot watch the control socket");
		goto err_close;
	}
	*out = s;
	return 0;

err_close:
	server_close(s);
	return rc;
}

void server_close(struct server *s)
{
	struct client *c;
	struct stat st;

	if (!s)
		return;
	while ((c = TAILQ_FIRST(&s->clients)))
		client_free(c);
	if (s->ino && !lstat(s->path, &st) && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->fd >= 0)
		close(s->fd);
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	free(s->in);
	free(s->path);
	free(s);
}

/**
 * server_fd() - what the service's epoll loop watches
 * @s: the server
 *
 * Return: a descriptor that is readable when server_dispatch() has work.
 */
int server_fd(const struct server *s)
{
	return s->epoll_fd;
}

/**
 * server_dispatch() - one turn: read a message from each who sent one, send
 *	what waits, let peers in and out; never waits
 * @s: the server
 */
void server_dispatch(struct server *s)
{
	struct epoll_event ev[EVENTS];
	bool arrivals = false;
	int n;

	n = epoll_wait(s->epoll_fd, ev, EVENTS, 0);
	for (int i = 0; i < n; i++) {
		struct client *c = ev[i].data.ptr;

		if (!c) {
			arrivals = true;
			continue;
		}
		if (!c->dead && ev[i].events & EPOLLOUT)
			client_flush(c);
		if (!c->dead && ev[i].events & EPOLLIN)
			client_read(c);
		else if (ev[i].events & (EPOLLHUP | EPOLLERR))
			client_drop(c);
	}
	reap(s);
	if (arrivals)
		accept_clients(s);
}

/**
 * server_event() - tell all monitors
 * @s: the server
 * @event: an object with "event"; borrowed
 */
void server_event(struct server *s, json_t *event)
{
	struct client *c;
	char *text = NULL;

	TAILQ_FOREACH(c, &s->clients, link) {
		if (!c->monitor || c->dead || client_is_slow(c))
			continue;
		if (!text)
			text = message_event(event);
		if (text)
			client_send(c, text, strlen(text), -1);
	}
	free(text);
}

/**
 * server_monitor() - make the peer of a request a monitor
 * @s: the server
 * @r: the request; answered with {} before any event goes out, and freed
 */
void server_monitor(struct server *s, struct request *r)
{
	(void)s;
	if (r->client)
		r->client->monitor = true;
	request_reply(r, json_object());
}
