/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * server.h - the control socket: peers, messages, replies
 *
 * RUNDIR/NAME.sock, SOCK_SEQPACKET, mode 0660, group `vmq` where there is one.
 * One JSON object per message. A request is
 *
 *   {"version":1, "id":7, "method":"queue.add", "params":{…}}
 *
 * and its reply {"version":1, "id":7, "result":{…}} or
 * {"version":1, "id":7, "error":{"code":"ENOENT","exit":3,"message":"…"}}.
 * A connection that called "monitor" also gets {"version":1, "event":…}. A
 * reply too long for one message comes in parts, a request too long in a memfd.
 * vmq-protocol(7) is the whole of it.
 *
 * A peer is known by SO_PEERCRED. Uid 0 is the administrator; others must be
 * allowed by the socket's mode and act on what is theirs (F-13, F-17, R-12).
 * The socket's group is who may make and change things: a peer that is not in it
 * (the administrator has opened the mode to all) may read, and give back what is
 * its own.
 * Slow or silent peers cost a descriptor and a bounded queue of bytes, never
 * the service's time: all I/O is non-blocking, a peer whose replies pile up is
 * dropped, and at CLIENTS_MAX the longest silent one makes room. Root
 * has some places of its own.
 *
 * All functions run on the control thread, called from the service's epoll loop.
 */
#ifndef VMQ_SERVER_H
#define VMQ_SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/protocol.h"

#define CLIENTS_MAX		256
#define CLIENTS_ROOT		16	/* root's beyond those */

struct server;
struct client;

/* Types of parameters, for checks, help and the manual. */
enum param_type {
	PARAM_STRING, PARAM_INT, PARAM_BOOL, PARAM_STRINGS /* array */, PARAM_INTS,
	PARAM_OBJECT, PARAM_OBJECTS /* array of objects */,
};

struct param {
	const char     *name;	/* NULL ends the table */
	enum param_type type;
	bool		required;
	const char     *help;
};

/*
 * One request. It lives until request_reply() or request_fail(); a handler that
 * cannot answer at once keeps the pointer and answers later. If the client goes
 * first, the request stays valid and its answer is dropped.
 */
struct request {
	const struct method *method;
	json_t	*params;	/* object; borrowed by handlers; checked against the table */
	uid_t	 uid;		/* of the peer */
	pid_t	 pid;
	uint64_t client_id;	/* unique per connection, never reused */
	int	 fds[MESSAGE_FDS_MAX];	/* received by SCM_RIGHTS; closed with the request unless set to -1 */
	int	 n_fds;
	struct vmq_err err;	/* for handlers: sentence of request_fail(r, code) */
	/* server.c's own below */
	struct client *client;
	json_int_t id;
};

/*
 * The socket's group is a policy that may veto what makes and changes things, but
 * never what finishes or gives back: a queue that was allocated can be completed,
 * and who has made something can always clear and free it.
 */
enum method_kind { METHOD_READS, METHOD_CHANGES, METHOD_ENDS };

struct method {
	const char *name;	/* "queue.add"; NULL ends the table */
	/*
	 * Answers with request_reply() or request_fail(), now or later.
	 */
	void (*fn)(void *service, struct request *r);
	const struct param *params;	/* NULL: takes none */
	enum method_kind kind;
	const char *help;
};

/**
 * server_open() - bind and listen
 * @out: the server
 * @path: of the socket; a stale one is removed, a live one is -EBUSY
 * @methods: what it answers, ended by a NULL name
 * @service: passed to handlers
 * @gone: called when a client that made at least one request has left (its
 *        queues are freed by the service, R-18); may be NULL
 * @err: sentence
 */
int server_open(struct server **out, const char *path, const struct method *methods,
		void *service, void (*gone)(void *service, uint64_t client_id),
		struct vmq_err *err);
/*
 * Unlinks the socket and closes all connections; `gone` is not called any more.
 * Requests that are still held stay valid until they are answered.
 */
void server_close(struct server *s);

int server_fd(const struct server *s);	/* an epoll fd of its own; readable: */
void server_dispatch(struct server *s);

/* Takes over @result (an object; "version" is added), sends it, frees @r. */
void request_reply(struct request *r, json_t *result);
/* The same with a descriptor for the peer; @fd stays the caller's. */
void request_reply_fd(struct request *r, json_t *result, int fd);
/* @code: negative errno; the sentence is r->err.text (strerror if empty). */
void request_fail(struct request *r, int code);

/*
 * Send @event (borrowed; an object with "event") to all who called monitor. May
 * be called at any time on the control thread, from handlers and `gone` too.
 */
void server_event(struct server *s, json_t *event);
/* Make the peer of @r a monitor and answer @r, which is freed, with {}. */
void server_monitor(struct server *s, struct request *r);

#endif /* VMQ_SERVER_H */
