/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * server_rig.h - a control server with a few methods, and raw clients
 *
 * Server and clients share one process and one thread: a client sends, the rig
 * runs server_dispatch() until the answer is there. Clients that need another
 * uid or many descriptors are forked, and the rig runs while they live.
 */
#ifndef SERVER_RIG_H
#define SERVER_RIG_H

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/util.h"
#include "control/server.h"
#include "unit.h"

#define PATIENCE_NS 10000000000ULL
#define HELD_MAX 64

static struct {
	char dir[64], path[96];
	struct server *server;
	struct request *held[HELD_MAX];	/* of method "later" */
	int n_held;
	bool answer_held;		/* "echo" answers them first */
	uint64_t gone[512];		/* ids of clients that left */
	int n_gone;
	int calls;
	int pipe[2];			/* of method "give" */
} rig;

/* ---- methods ------------------------------------------------------------ */

static void rig_echo(void *service, struct request *r)
{
	(void)service;
	rig.calls++;
	while (rig.answer_held && rig.n_held)
		request_reply(rig.held[--rig.n_held], json_object());
	request_reply(r, json_incref(r->params));
}

static void rig_fail(void *service, struct request *r)
{
	(void)service;
	request_fail(r, vmq_err(&r->err, -ENOENT, "there is no queue %s",
				json_string_value(json_object_get(r->params, "name"))));
}

static void rig_later(void *service, struct request *r)
{
	(void)service;
	if (rig.n_held < HELD_MAX)
		rig.held[rig.n_held++] = r;
	else
		request_fail(r, -ENOSPC);
}

static void rig_who(void *service, struct request *r)
{
	(void)service;
	request_reply(r, json_pack("{s:I, s:I, s:I}", "uid", (json_int_t)r->uid, "pid",
				   (json_int_t)r->pid, "client", (json_int_t)r->client_id));
}

static void rig_big(void *service, struct request *r)
{
	json_int_t n = json_integer_value(json_object_get(r->params, "n"));
	char *text;

	(void)service;
	rig.calls++;
	if (n < 0 || n > 4000000) {
		request_fail(r, -ERANGE);
		return;
	}
	text = malloc((size_t)n + 1);
	memset(text, '"', (size_t)n);	/* the worst: each takes two bytes, four in a part */
	request_reply(r, json_pack("{s:s%}", "text", text, (size_t)n));
	free(text);
}

static void rig_give(void *service, struct request *r)
{
	(void)service;
	request_reply_fd(r, json_object(), rig.pipe[0]);
}

/* Writes into the descriptors that came along. */
static void rig_take(void *service, struct request *r)
{
	ssize_t n = 0;

	(void)service;
	for (int i = 0; i < r->n_fds; i++)
		n += write(r->fds[i], "x", 1);
	request_reply(r, json_pack("{s:i, s:i}", "fds", r->n_fds, "written", (int)n));
}

static void rig_monitor(void *service, struct request *r)
{
	(void)service;
	server_monitor(rig.server, r);
}

#define P(n, t, q) { .name = n, .type = t, .required = q }
static const struct param echo_params[] = {
	P("name", PARAM_STRING, true), P("n", PARAM_INT, false), P("on", PARAM_BOOL, false),
	P("macs", PARAM_STRINGS, false), P("cpus", PARAM_INTS, false),
	P("changes", PARAM_OBJECTS, false), { .name = NULL },
};
static const struct param name_params[] = { P("name", PARAM_STRING, true), { .name = NULL } };
static const struct param n_params[] = { P("n", PARAM_INT, true), { .name = NULL } };

static const struct method rig_methods[] = {
	{ "echo", rig_echo, echo_params, false, "" },
	{ "change", rig_echo, echo_params, true, "" },
	{ "fail", rig_fail, name_params, false, "" },
	{ "later", rig_later, NULL, false, "" },
	{ "who", rig_who, NULL, false, "" },
	{ "big", rig_big, n_params, false, "" },
	{ "give", rig_give, NULL, false, "" },
	{ "take", rig_take, NULL, false, "" },
	{ "monitor", rig_monitor, NULL, false, "" },
	{ .name = NULL },
};

static void rig_gone(void *service, uint64_t client_id)
{
	(void)service;
	if (rig.n_gone < (int)ARRAY_SIZE(rig.gone))
		rig.gone[rig.n_gone++] = client_id;
}

/* ---- the server --------------------------------------------------------- */

static inline void rig_start(void)
{
	struct vmq_err err = VMQ_ERR_INIT;

	snprintf(rig.dir, sizeof(rig.dir), "/tmp/vmq-server-XXXXXX");
	if (!mkdtemp(rig.dir) || chmod(rig.dir, 0755) || pipe2(rig.pipe, O_CLOEXEC)) {
		printf("Bail out! no directory or pipe\n");
		exit(1);
	}
	snprintf(rig.path, sizeof(rig.path), "%s/t.sock", rig.dir);
	if (server_open(&rig.server, rig.path, rig_methods, NULL, rig_gone, &err)) {
		printf("Bail out! server_open: %s\n", err.text);
		exit(1);
	}
}

static inline void rig_stop(void)
{
	server_close(rig.server);
	rig.server = NULL;
	close(rig.pipe[0]);
	close(rig.pipe[1]);
	unlink(rig.path);
	rmdir(rig.dir);
}

/* Run the server until it has nothing to do. */
static inline void rig_idle(void)
{
	struct pollfd p = { .fd = server_fd(rig.server), .events = POLLIN };
	uint64_t deadline = now_ns() + PATIENCE_NS;

	while (poll(&p, 1, 0) > 0 && now_ns() < deadline)
		server_dispatch(rig.server);
}

/* Run the server until @fd is readable; false: it is not, in time. */
static inline bool rig_until_readable(int fd)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN }, { .fd = server_fd(rig.server), .events = POLLIN },
	};
	uint64_t deadline = now_ns() + PATIENCE_NS;

	while (now_ns() < deadline) {
		if (poll(p, 2, 100) > 0 && p[0].revents)
			return true;
		server_dispatch(rig.server);
	}
	return false;
}

/* Run the server until child @pid ends. Return: its exit status, or -1. */
static inline int rig_until_exit(pid_t pid)
{
	struct pollfd p = { .fd = server_fd(rig.server), .events = POLLIN };
	uint64_t deadline = now_ns() + 3 * PATIENCE_NS;
	int status;

	while (now_ns() < deadline) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (poll(&p, 1, 10) > 0)
			server_dispatch(rig.server);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* ---- raw clients -------------------------------------------------------- */

static inline int rig_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), room = 2 * MESSAGE_MAX;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		int rc = -errno;

		close(fd);
		return rc;
	}
	return fd;
}

static inline ssize_t rig_send(int fd, const char *text, size_t len, const int *fds, int n_fds)
{
	char control[CMSG_SPACE(64 * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct iovec iov = { (void *)text, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n_fds) {
		struct cmsghdr *h = (struct cmsghdr *)control;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
		memcpy(CMSG_DATA(h), fds, (size_t)n_fds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* One message as JSON (and a descriptor in *@passed); NULL: none, or the end. */
static inline json_t *rig_recv_fd(int fd, int *passed)
{
	static char buf[MESSAGE_MAX];
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (!rig_until_readable(fd))
		return NULL;
	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return NULL;
	if (passed && CMSG_FIRSTHDR(&msg))
		memcpy(passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return json_loadb(buf, (size_t)n, 0, NULL);
}

static inline json_t *rig_recv(int fd)
{
	return rig_recv_fd(fd, NULL);
}

static inline json_t *rig_ask(int fd, const char *text)
{
	if (rig_send(fd, text, strlen(text), NULL, 0) < 0)
		return NULL;
	return rig_recv(fd);
}

/* A string or number in @root at "a.b", as text; "" if there is none. */
static inline const char *at(json_t *root, const char *path)
{
	static char text[4][256];
	static int turn;
	char *out = text[turn++ % 4], copy[64], *save;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = strtok_r(copy, ".", &save); p; p = strtok_r(NULL, ".", &save))
		root = json_object_get(root, p);
	out[0] = '\0';
	if (json_is_string(root))
		snprintf(out, sizeof(text[0]), "%s", json_string_value(root));
	else if (json_is_integer(root))
		snprintf(out, sizeof(text[0]), "%lld", (long long)json_integer_value(root));
	else if (json_is_null(root))
		snprintf(out, sizeof(text[0]), "null");
	else if (root)
		snprintf(out, sizeof(text[0]), "(other)");
	return out;
}

/* A request that waits with its handler. */
static inline void rig_send_later(int fd, int id)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "{\"version\":1,\"id\":%d,\"method\":\"later\"}", id);

	rig_send(fd, text, (size_t)n, NULL, 0);
}

/* An event to those who called monitor. */
static inline void rig_announce(int i)
{
	json_t *event = json_pack("{s:s, s:i}", "event", "queue-state", "queue", i);

	server_event(rig.server, event);
	json_decref(event);
}

/* Is the client on @fd answered? */
static inline bool rig_alive(int fd)
{
	json_t *r = rig_ask(fd, "{\"version\":1,\"id\":9,\"method\":\"who\"}");
	bool good = !strcmp(at(r, "id"), "9");

	json_decref(r);
	return good;
}

#endif /* SERVER_RIG_H */
