// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmq.c - libvmq: talk to a running vmq-load
 *
 * One connection, one request at a time, events beside. What the socket gives
 * is sorted here: the reply that is waited for (in parts or whole), events
 * (kept until somebody asks), and the late replies of calls that timed out
 * (thrown away: their ids are known to be old).
 *
 * Nothing but connect(2), which has a timeout of its own, waits in the socket: all
 * else waits in poll(2), so that a service that is stopped in a debugger costs a
 * timeout and not the caller's life.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/err.h"
#include "common/protocol.h"
#include "common/util.h"
#include "vmq/vmq.h"

#define EVENTS_MAX	4096	/* kept in a handle */
#define SUFFIX		".sock"
/* 15 digits come back as they were sent: 8.1, not 8.0999999999999996. */
#define DUMP_FLAGS	(JSON_COMPACT | JSON_REAL_PRECISION(15))

_Static_assert(VMQ_CALL_FDS_MAX == MESSAGE_FDS_MAX, "the public header says it in its own words");

struct event {
	STAILQ_ENTRY(event) link;
	char *text;
};

struct vmq {
	int	   fd;
	int	   timeout_ms;
	char	  *name;
	json_int_t last_id;
	char	  *in;		/* MESSAGE_MAX bytes */
	STAILQ_HEAD(, event) events;
	uint32_t   n_events;
	bool	   lost;	/* events, since the last vmq_next_event() */
	struct vmq_err err;
};

/* A reply on its way: its parts so far, and the descriptor that came along. */
struct reply {
	char  *text;
	size_t len;
	int    fd;
};

const char *vmq_error(const struct vmq *v)
{
	return v ? v->err.text : "out of memory";
}

const char *vmq_name(const struct vmq *v)
{
	return v->name ? v->name : "";
}

int vmq_fd(const struct vmq *v)
{
	return v->fd;
}

void vmq_set_timeout(struct vmq *v, int timeout_ms)
{
	v->timeout_ms = timeout_ms;
}

/* ---- connecting --------------------------------------------------------- */

/* Return: a connected socket, or -errno. */
static int connect_to(struct vmq *v, const char *run_dir, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = VMQ_TIMEOUT_MS / 1000 };
	int fd, n, rc, room = MESSAGE_MAX;

	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s" SUFFIX, run_dir, name);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return vmq_err(&v->err, -ENAMETOOLONG,
			       "the path of the socket, %s/%s" SUFFIX ", is too long; use a "
			       "shorter --run-dir", run_dir, name);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vmq_err_sys(&v->err, -errno, "cannot make a socket");
	/* A request may have MESSAGE_MAX bytes, more than net.core.wmem_default lets pass. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	/* connect(2) waits while the backlog is full, for as long as a send may. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		rc = -errno;
		close(fd);
		if (rc == -ECONNREFUSED)
			return vmq_err(&v->err, rc,
				       "the service %s has died: nobody answers on %s; start vmq-load "
				       "again", name, addr.sun_path);
		if (rc == -EACCES)
			return vmq_err(&v->err, rc,
				       "no permission to use %s; be root or a member of its group",
				       addr.sun_path);
		return vmq_err_sys(&v->err, rc, "cannot connect to %s", addr.sun_path);
	}
	return fd;
}

static int is_socket_name(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return d->d_name[0] != '.' && dot && dot != d->d_name && !strcmp(dot, SUFFIX);
}

/* Names of the sockets in @run_dir, sorted, in *@names; *@n of them. 0 or -errno. */
static int list_names(struct vmq *v, const char *run_dir, struct dirent ***names, int *n)
{
	*n = scandir(run_dir, names, is_socket_name, alphasort);
	if (*n < 0) {
		*n = 0;
		*names = NULL;
		return errno == ENOENT ? 0 : vmq_err_sys(&v->err, -errno, "cannot read %s", run_dir);
	}
	for (int i = 0; i < *n; i++)
		*strrchr((*names)[i]->d_name, '.') = '\0';
	return 0;
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static void append_name(char *list, size_t size, const char *name)
{
	if (*list)
		strncat(list, ", ", size - strlen(list) - 1);
	strncat(list, name, size - strlen(list) - 1);
}

static int set_name(struct vmq *v, const char *name)
{
	v->name = strdup(name);
	return v->name ? 0 : vmq_err(&v->err, -ENOMEM, "out of memory");
}

/*
 * Is what connect_to() said that of a service? Sockets of dead services do not count,
 * nor those of another type (a vhost-user channel's may lie there, too: EPROTOTYPE); one
 * that we may not use does, or `-i` would be needed or not depending on who asks.
 */
static bool counts(int rc)
{
	return rc != -ECONNREFUSED && rc != -ENOENT && rc != -EPROTOTYPE;
}

/* The only service there is. */
static int open_only(struct vmq *v, const char *run_dir)
{
	struct vmq_err first = VMQ_ERR_INIT;
	int n, fd, rc, found = 0;
	struct dirent **names;
	char list[256] = "";

	rc = list_names(v, run_dir, &names, &n);
	if (rc)
		return rc;
	for (int i = 0; i < n; i++) {
		fd = connect_to(v, run_dir, names[i]->d_name);
		if (!counts(fd))
			continue;
		append_name(list, sizeof(list), names[i]->d_name);
		if (found++) {
			if (fd >= 0)
				close(fd);
			continue;
		}
		v->fd = fd < 0 ? -1 : fd;
		rc = fd < 0 ? fd : set_name(v, names[i]->d_name);
		if (rc)
			first = v->err;
	}
	free_names(names, n);
	if (found > 1 && v->fd >= 0) {
		close(v->fd);
		v->fd = -1;
	}
	if (found > 1)
		return vmq_err(&v->err, -EINVAL,
			       "several services run in %s (%s); name one of them", run_dir, list);
	if (!found)
		return vmq_err(&v->err, -ENOENT,
			       "no service runs in %s; start one with vmq-load INTERFACE", run_dir);
	v->err = first;	/* not the sentences about sockets that do not count */
	return rc;
}

static int open_named(struct vmq *v, const char *run_dir, const char *name)
{
	struct dirent **names;
	char list[256] = "";
	int rc, n;

	if (!*name || strchr(name, '/'))
		return vmq_err(&v->err, -EINVAL, "'%.40s' is no name of a service", name);
	rc = connect_to(v, run_dir, name);
	if (rc >= 0) {
		v->fd = rc;
		return set_name(v, name);
	}
	if (rc != -ENOENT)
		return rc;
	list_names(v, run_dir, &names, &n);
	for (int i = 0; i < n; i++) {
		int fd = connect_to(v, run_dir, names[i]->d_name);

		if (counts(fd))
			append_name(list, sizeof(list), names[i]->d_name);
		if (fd >= 0)
			close(fd);
	}
	free_names(names, n);
	return vmq_err(&v->err, rc, "no service %s runs in %s; %s%s", name, run_dir,
		       *list ? "there is " : "start one with vmq-load INTERFACE", list);
}

int vmq_open(struct vmq **out, const char *run_dir, const char *name)
{
	struct vmq *v = calloc(1, sizeof(*v));

	*out = v;
	if (!v)
		return -ENOMEM;
	v->fd = -1;
	v->timeout_ms = VMQ_TIMEOUT_MS;
	STAILQ_INIT(&v->events);
	v->in = malloc(MESSAGE_MAX);
	if (!v->in)
		return vmq_err(&v->err, -ENOMEM, "out of memory");
	if (!run_dir)
		run_dir = VMQ_RUN_DIR;
	return name ? open_named(v, run_dir, name) : open_only(v, run_dir);
}

void vmq_close(struct vmq *v)
{
	struct event *e;

	if (!v)
		return;
	while ((e = STAILQ_FIRST(&v->events))) {
		STAILQ_REMOVE_HEAD(&v->events, link);
		free(e->text);
		free(e);
	}
	if (v->fd >= 0)
		close(v->fd);
	free(v->name);
	free(v->in);
	free(v);
}

/* ---- waiting ------------------------------------------------------------ */

#define FOREVER UINT64_MAX

static uint64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? FOREVER : now_ns() + (uint64_t)timeout_ms * 1000000;
}

/* 0 ready; -ETIMEDOUT; -EINTR. */
static int wait_for(struct vmq *v, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = v->fd, .events = events };
	struct timespec left = { 0 };
	uint64_t now = now_ns();
	int rc;

	if (deadline != FOREVER && deadline > now) {
		left.tv_sec = (time_t)((deadline - now) / 1000000000);
		left.tv_nsec = (long)((deadline - now) % 1000000000);
	}
	rc = ppoll(&p, 1, deadline == FOREVER ? NULL : &left, NULL);
	if (rc < 0)
		return -errno;
	return rc ? 0 : -ETIMEDOUT;
}

static int gone(struct vmq *v)
{
	return vmq_err(&v->err, -ECONNRESET, "the service %s closed the connection", vmq_name(v));
}

/* ---- what comes in ------------------------------------------------------ */

/*
 * Events go into the handle as text. @root is what the text says. When nobody
 * takes them the oldest go, and vmq_next_event() says so.
 */
static void keep_event(struct vmq *v, const json_t *root)
{
	struct event *e = malloc(sizeof(*e));

	if (e)
		e->text = json_dumps(root, DUMP_FLAGS);
	if (!e || !e->text) {
		free(e);
		v->lost = true;
		return;
	}
	STAILQ_INSERT_TAIL(&v->events, e, link);
	if (++v->n_events <= EVENTS_MAX)
		return;
	e = STAILQ_FIRST(&v->events);
	STAILQ_REMOVE_HEAD(&v->events, link);
	v->n_events--;
	v->lost = true;
	free(e->text);
	free(e);
}

/*
 * One message from the socket: 0 with *@root (and *@fd, -1 if none came);
 * -EAGAIN nothing there; -ECONNRESET; -EPROTO.
 */
static int receive(struct vmq *v, json_t **root, int *fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { v->in, MESSAGE_MAX };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *h;
	ssize_t n;

	*fd = -1;
	n = recvmsg(v->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	/*
	 * The service closed before it had read all we sent. What it had to say
	 * is still there: the kernel reports the error first, and only once.
	 */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(v->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n <= 0)
		return gone(v);
	h = CMSG_FIRSTHDR(&msg);
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(h), sizeof(*fd));
	*root = msg.msg_flags & MSG_TRUNC ? NULL : json_loadb(v->in, (size_t)n, 0, NULL);
	if (json_is_object(*root))
		return 0;
	json_decref(*root);
	if (*fd >= 0)
		close(*fd);
	return vmq_err(&v->err, -EPROTO,
		       "the service %s does not speak version %d of the protocol", vmq_name(v),
		       PROTOCOL_VERSION);
}

/* Add a part. Return: 1 it was the last; 0 more to come; -errno. */
static int add_part(struct vmq *v, struct reply *r, const json_t *root, const json_t *part)
{
	size_t n = json_string_length(part);
	char *text = realloc(r->text, r->len + n + 1);

	if (!text)
		return vmq_err(&v->err, -ENOMEM, "out of memory for the reply");
	memcpy(text + r->len, json_string_value(part), n);
	r->text = text;
	r->len += n;
	return json_is_true(json_object_get(root, "more")) ? 0 : 1;
}

/*
 * Look at one message for the reply to request @id. Return: 1 with *@reply, the
 * whole reply; 0 not yet; -errno. An error without an id is about what we sent
 * last, or about the connection.
 */
static int sort_message(struct vmq *v, json_t *root, json_int_t id, struct reply *r,
			json_t **reply)
{
	const json_t *its = json_object_get(root, "id"), *part;
	int rc;

	if (json_object_get(root, "event")) {
		keep_event(v, root);
		return 0;
	}
	if (json_is_integer(its) && json_integer_value(its) != id)
		return 0;
	part = json_object_get(root, "part");
	if (!json_is_string(part)) {
		*reply = json_incref(root);
		return 1;
	}
	rc = add_part(v, r, root, part);
	if (rc <= 0)
		return rc;
	*reply = json_loadb(r->text, r->len, 0, NULL);
	return *reply ? 1 : vmq_err(&v->err, -EPROTO, "the parts of the reply make no JSON");
}

static int wait_reply(struct vmq *v, json_int_t id, struct reply *r, json_t **reply)
{
	uint64_t deadline = deadline_of(v->timeout_ms);
	json_t *root;
	int rc, fd;

	for (;;) {
		rc = receive(v, &root, &fd);
		if (rc == -EAGAIN) {
			rc = wait_for(v, POLLIN, deadline);
			if (rc == -ETIMEDOUT)
				return vmq_err(&v->err, rc, "the service %s did not answer in time",
					       vmq_name(v));
			if (rc && rc != -EINTR)
				return vmq_err_sys(&v->err, rc, "cannot wait for the service");
			continue;
		}
		if (rc)
			return rc;
		rc = sort_message(v, root, id, r, reply);
		if (fd >= 0 && r->fd < 0 && json_is_integer(json_object_get(root, "id")) &&
		    json_integer_value(json_object_get(root, "id")) == id)
			r->fd = fd;
		else if (fd >= 0)
			close(fd);
		json_decref(root);
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

/* ---- calls -------------------------------------------------------------- */

/* The text of a request, for free(). */
static char *request_text(struct vmq *v, json_int_t id, const char *method, const char *params)
{
	json_t *object = NULL, *root = NULL;
	json_error_t why;
	char *text = NULL;

	if (params) {
		object = json_loads(params, JSON_REJECT_DUPLICATES, &why);
		if (!json_is_object(object)) {
			vmq_err(&v->err, -EINVAL, "the parameters of %s are no JSON object: %s",
				method, object ? "it is something else" : why.text);
			goto out;
		}
	}
	root = json_pack("{s:i, s:I, s:s, s:O*}", "version", PROTOCOL_VERSION, "id", id, "method",
			 method, "params", object);
	if (root)
		text = json_dumps(root, DUMP_FLAGS);
	if (!text)
		vmq_err(&v->err, -ENOMEM, "cannot write the request");
out:
	json_decref(object);
	json_decref(root);
	return text;
}

static int send_request(struct vmq *v, const char *text, const int *fds, int n_fds)
{
	union {
		char buf[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	uint64_t deadline = deadline_of(v->timeout_ms);
	int rc;

	if (n_fds) {
		size_t bytes = (size_t)n_fds * sizeof(int);
		struct cmsghdr *h;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(bytes);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(h), fds, bytes);
	}
	while (sendmsg(v->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		/* Closed: why may still be there to read; wait_reply() finds out. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN)
			return vmq_err_sys(&v->err, -errno, "cannot send to the service %s",
					   vmq_name(v));
		rc = wait_for(v, POLLOUT, deadline);
		if (rc == -ETIMEDOUT)
			return vmq_err(&v->err, rc, "the service %s does not take the request",
				       vmq_name(v));
	}
	return 0;
}

/* A long request goes into a memfd: its descriptor, or -errno. *@text becomes the message. */
static int move_to_memfd(struct vmq *v, char **text)
{
	size_t len = strlen(*text), at = 0;
	char *message = NULL;
	ssize_t n;
	int fd;

	if (len > REQUEST_MAX)
		return vmq_err(&v->err, -EMSGSIZE,
			       "the request has %zu bytes, at most %d are possible; ask for less at "
			       "once", len, REQUEST_MAX);
	fd = memfd_create("vmq-request", MFD_CLOEXEC);
	if (fd < 0)
		return vmq_err_sys(&v->err, -errno, "cannot make a memfd for the request");
	while (at < len) {
		n = write(fd, *text + at, len - at);
		if (n <= 0) {
			close(fd);
			return vmq_err_sys(&v->err, -errno, "cannot write the request to a memfd");
		}
		at += (size_t)n;
	}
	if (asprintf(&message, "{\"version\":%d,\"id\":%lld,\"memfd\":%zu}", PROTOCOL_VERSION,
		     (long long)v->last_id, len) < 0) {
		close(fd);
		return vmq_err(&v->err, -ENOMEM, "cannot write the request");
	}
	free(*text);
	*text = message;
	return fd;
}

/* What the reply says: 0 with the result, or the service's error. */
static int read_reply(struct vmq *v, const json_t *reply, char **result)
{
	const json_t *error = json_object_get(reply, "error");
	const char *code, *message;
	char *text;

	if (error) {
		code = json_string_value(json_object_get(error, "code"));
		message = json_string_value(json_object_get(error, "message"));
		return vmq_err(&v->err, vmq_err_from_name(code ? code : ""), "%s",
			       message ? message : "the service refused without a reason");
	}
	if (!json_is_object(json_object_get(reply, "result")))
		return vmq_err(&v->err, -EPROTO, "the reply has neither a result nor an error");
	if (!result)
		return 0;
	text = json_dumps(json_object_get(reply, "result"), DUMP_FLAGS);
	if (!text)
		return vmq_err(&v->err, -ENOMEM, "out of memory for the result");
	*result = text;
	return 0;
}

int vmq_call_fds(struct vmq *v, const char *method, const char *params, const int *fds,
		 int n_fds, char **result, int *fd)
{
	int all[MESSAGE_FDS_MAX], memfd = -1, rc = 0;
	struct reply r = { .fd = -1 };
	json_t *reply = NULL;
	char *text;

	v->err = (struct vmq_err)VMQ_ERR_INIT;
	if (v->fd < 0)
		return vmq_err(&v->err, -ENOTCONN, "there is no connection to a service");
	if (n_fds < 0 || n_fds > MESSAGE_FDS_MAX)
		return vmq_err(&v->err, -EINVAL, "%d descriptors, at most %d go with a request",
			       n_fds, MESSAGE_FDS_MAX);
	text = request_text(v, ++v->last_id, method, params);
	if (!text)
		return v->err.code;
	if (strlen(text) > MESSAGE_MAX) {
		memfd = rc = n_fds < MESSAGE_FDS_MAX ? move_to_memfd(v, &text) :
			     vmq_err(&v->err, -EINVAL, "a long request takes one of %d descriptors: "
				     "pass fewer", MESSAGE_FDS_MAX);
	}
	all[0] = memfd;
	for (int i = 0; i < n_fds && memfd >= 0; i++)
		all[i + 1] = fds[i];
	if (rc >= 0)
		rc = send_request(v, text, memfd < 0 ? fds : all, n_fds + (memfd >= 0));
	if (memfd >= 0)
		close(memfd);
	if (!rc)
		rc = wait_reply(v, v->last_id, &r, &reply);
	if (!rc)
		rc = read_reply(v, reply, result);
	if (!rc && fd) {
		*fd = r.fd;
		r.fd = -1;
	}
	if (r.fd >= 0)
		close(r.fd);
	json_decref(reply);
	free(r.text);
	free(text);
	return rc;
}

int vmq_call(struct vmq *v, const char *method, const char *params, char **result)
{
	return vmq_call_fds(v, method, params, NULL, 0, result, NULL);
}

/* ---- events ------------------------------------------------------------- */

int vmq_monitor(struct vmq *v)
{
	return vmq_call(v, "monitor", NULL, NULL);
}

static int take_event(struct vmq *v, char **event)
{
	struct event *e = STAILQ_FIRST(&v->events);

	if (v->lost) {
		v->lost = false;
		return vmq_err(&v->err, -EOVERFLOW, "events were lost: nobody took them");
	}
	if (!e)
		return 0;
	STAILQ_REMOVE_HEAD(&v->events, link);
	v->n_events--;
	*event = e->text;
	free(e);
	return 1;
}

int vmq_next_event(struct vmq *v, int timeout_ms, char **event)
{
	uint64_t deadline = deadline_of(timeout_ms);
	json_t *root = NULL;
	int rc, fd;

	if (v->fd < 0)
		return vmq_err(&v->err, -ENOTCONN, "there is no connection to a service");
	for (;;) {
		rc = take_event(v, event);
		if (rc)
			return rc;
		rc = receive(v, &root, &fd);
		if (rc == -EAGAIN) {
			rc = wait_for(v, POLLIN, deadline);
			if (rc == -ETIMEDOUT)
				return 0;
			if (rc)
				return vmq_err_sys(&v->err, rc, "cannot wait for events");
			continue;
		}
		if (rc)
			return rc;
		if (json_object_get(root, "event"))
			keep_event(v, root);
		if (fd >= 0)
			close(fd);
		json_decref(root);
	}
}
