// SPDX-License-Identifier: GPL-2.0-only
/*
 * vhost_user_socket.c - sockets of the vhost-user channels, and their thread
 *
 * DOC: Theory of operation
 *
 * One thread serves the sockets of all channels, so that no guest can hold up
 * the control thread; it starts with the first channel and ends with the last.
 * Everything of a channel but its rings belongs to this thread. Another thread
 * gets in by call_thread(), which runs a function between two events and
 * returns when it has run; a front end that floods us with messages delays that
 * by a few of them, never for long.
 *
 * A channel that listens takes one connection at a time. One that connects tries
 * again by itself, soon at first and then every few seconds.
 *
 * Messages are read without waiting, piece by piece if a front end sends them
 * so: half a message just stays in its channel.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/foreign.h"
#include "channel/vhost_user.h"
#include "common/log.h"
#include "common/util.h"

#define MESSAGES	16	/* of one channel, before the others have their turn */
#define RETRY_MIN_MS	100u
#define RETRY_MAX_MS	5000u
#define RETRY_LOST_MS	1000u	/* after the front end broke the protocol */
#define SOCKET_MODE	0660

static struct {
	pthread_mutex_t lock;		/* of the next four */
	pthread_cond_t	served;
	void (*fn)(struct vhost_user *vu);
	struct vhost_user *fn_arg;
	int	  users;		/* channels; of the control thread */
	int	  epfd, wake;
	pthread_t thread;
	/* The thread's own. */
	struct vhost_user *list;
	uint32_t  last_id;
} service = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.served = PTHREAD_COND_INITIALIZER,
	.epfd = -1,
	.wake = -1,
};

/* What an epoll event is about: a channel's id, and which of its sockets. */
enum { EVENT_LISTEN, EVENT_CONNECTION };
#define EVENT_WAKE	UINT64_MAX

static uint64_t event_data(const struct vhost_user *vu, int which)
{
	return (uint64_t)vu->id << 1 | (uint64_t)which;
}

static int watch(const struct vhost_user *vu, int fd, int which)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = event_data(vu, which) };

	return epoll_ctl(service.epfd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

/* ---- one connection ------------------------------------------------------------ */

/* Return: false: there was one of no use at all. */
static bool close_fds(struct vhost_user *vu)
{
	bool fine = foreign_close(vu->foreign, vu->fds, vu->n_fds);

	vu->n_fds = 0;
	return fine;
}

static void retry_in(struct vhost_user *vu, uint32_t ms)
{
	vu->retry_ms = ms;
	vu->retry_at = now_ns() + ms * UINT64_C(1000000);
}

/* While a message waits nothing else is read; the end of the connection is seen. */
static void set_waiting(struct vhost_user *vu, bool waiting)
{
	struct epoll_event ev = {
		.events = waiting ? 0 : EPOLLIN, .data.u64 = event_data(vu, EVENT_CONNECTION),
	};

	if (vu->waiting == waiting)
		return;
	vu->waiting = waiting;
	epoll_ctl(service.epfd, EPOLL_CTL_MOD, vu->fd, &ev);
}

/* @reason: what the front end did wrong; NULL: it has gone. */
static void disconnect(struct vhost_user *vu, const char *reason)
{
	epoll_ctl(service.epfd, EPOLL_CTL_DEL, vu->fd, NULL);
	foreign_close_socket(vu->foreign, vu->fd);
	vu->fd = -1;
	vu->have = 0;
	vu->waiting = false;
	close_fds(vu);
	vhost_user_reset(vu);
	/* Nobody waits for the answer; the next front end starts it all again. */
	if (vu->phase == VHOST_USER_STOPPING)
		vu->phase = VHOST_USER_QUIET;
	if (reason) {
		log_warn("%s: the front end was cut off: %s", vu->addr.sun_path, reason);
		vu->up = false;
		if (vu->event)
			vu->event(vu->arg, "lost", reason);
	} else {
		vhost_user_tell(vu, "the front end has gone");
	}
	if (vu->client)
		retry_in(vu, reason ? RETRY_LOST_MS : RETRY_MIN_MS);
}

static void connected(struct vhost_user *vu, int fd)
{
	vu->fd = fd;
	vu->have = 0;
	vu->retry_at = 0;
	vu->retry_ms = 0;
	store_relaxed(&vu->expected, true);
	vhost_user_want_frames(vu);
	if (watch(vu, fd, EVENT_CONNECTION))
		disconnect(vu, "cannot wait for its messages");
	else
		log_debug("%s: a front end has connected", vu->addr.sun_path);
}

static int take_fds(struct vhost_user *vu, struct msghdr *mh, struct vmq_err *err)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t i, n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			vu->fds[vu->n_fds++] = fd;
		}
	}
	if (vu->n_fds > VHOST_USER_FDS || mh->msg_flags & MSG_CTRUNC)
		return vmq_err(err, -EBADF, "more than %d descriptors with one message",
			       VHOST_USER_FDS);
	return 0;
}

/*
 * Read up to @want bytes of the message. Return: 1 it has @want bytes now; 0 the
 * rest is still to come; -EPIPE the front end has gone; -errno with a sentence.
 */
static int receive(struct vhost_user *vu, uint32_t want, struct vmq_err *err)
{
	char control[CMSG_SPACE(VHOST_USER_FDS_SENT * sizeof(int))]
		__attribute__((aligned(__alignof__(struct cmsghdr))));
	int rc;

	while (vu->have < want) {
		struct iovec iov = {
			.iov_base = (char *)&vu->msg + vu->have,
			.iov_len = want - vu->have,
		};
		struct msghdr mh = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t n = recvmsg(vu->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
		rc = take_fds(vu, &mh, err);
		if (rc)
			return rc;
		if (!n)
			return -EPIPE;
		vu->have += (uint32_t)n;
	}
	return 1;
}

/* Return: 1 it was handled; 0 it waits; -errno. */
static int handle(struct vhost_user *vu, struct vmq_err *err)
{
	int rc = vhost_user_handle(vu, err);

	set_waiting(vu, rc == VHOST_USER_WAIT);
	if (vu->waiting)
		return 0;
	vu->have = 0;
	if (!close_fds(vu) && !rc)
		rc = vmq_err(err, -EBADF, "a descriptor that is neither memory nor an eventfd");
	return rc ? rc : 1;
}

/* Return: 1 a message was handled; 0 none is there as a whole, or it waits; -errno. */
static int one_message(struct vhost_user *vu, struct vmq_err *err)
{
	int rc;

	rc = receive(vu, VHOST_USER_HEADER, err);
	if (rc <= 0)
		return rc;
	if (vu->msg.size > VHOST_USER_PAYLOAD)
		return vmq_err(err, -EMSGSIZE, "message %u of %u bytes", vu->msg.request,
			       vu->msg.size);
	rc = receive(vu, VHOST_USER_HEADER + vu->msg.size, err);
	if (rc <= 0)
		return rc;
	return handle(vu, err);
}

static bool has_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static void on_connection(struct vhost_user *vu)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int i, rc = 1;

	if (vu->waiting)
		rc = has_gone(vu->fd) ? -EPIPE : 0;
	for (i = 0; i < MESSAGES && rc > 0; i++)
		rc = one_message(vu, &err);
	if (rc < 0)
		disconnect(vu, rc == -EPIPE ? NULL : err.text);
}

/* The queue of a front end that waits has stopped: do what it wanted. */
static void on_quiet(struct vhost_user *vu)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int rc = handle(vu, &err);

	if (rc < 0)
		disconnect(vu, rc == -EPIPE ? NULL : err.text);
}

/* ---- coming together -------------------------------------------------------------- */

static void set_listening(const struct vhost_user *vu, bool on)
{
	struct epoll_event ev = {
		.events = on ? EPOLLIN : 0, .data.u64 = event_data(vu, EVENT_LISTEN),
	};

	epoll_ctl(service.epfd, EPOLL_CTL_MOD, vu->listen_fd, &ev);
}

static void on_listen(struct vhost_user *vu)
{
	int fd;

	if (foreign_stuck(vu->foreign)) {
		log_warn("%s: what front ends have left cannot be closed, so no other is taken",
			 vu->addr.sun_path);
		set_listening(vu, false);
		retry_in(vu, RETRY_LOST_MS);
		return;
	}
	fd = accept4(vu->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	/* A front end that was restarted may be seen before the end of its old one. */
	if (vu->fd >= 0 && has_gone(vu->fd))
		disconnect(vu, NULL);
	if (vu->fd >= 0) {
		log_warn("%s: a second front end was sent away", vu->addr.sun_path);
		foreign_close_socket(vu->foreign, fd);
		return;
	}
	connected(vu, fd);
}

static void try_again(struct vhost_user *vu)
{
	int fd;

	if (!vu->client) {
		vu->retry_at = 0;
		set_listening(vu, true);
		return;
	}
	fd = foreign_stuck(vu->foreign) ? -1 :
	     socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&vu->addr, sizeof(vu->addr))) {
		connected(vu, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	retry_in(vu, MIN(MAX(vu->retry_ms * 2, RETRY_MIN_MS), RETRY_MAX_MS));
}

/*
 * Remove a socket that nobody listens on, as a crash leaves it behind. Only that:
 * not a file, and not the socket of somebody who is there.
 */
static int remove_stale(const struct vhost_user *vu, struct vmq_err *err)
{
	const char *path = vu->addr.sun_path;
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return vmq_err(err, -EEXIST, "%s exists and is no socket; remove it or choose "
			       "another path", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return vmq_err_sys(err, -errno, "cannot make a socket");
	rc = connect(fd, (struct sockaddr *)&vu->addr, sizeof(vu->addr)) < 0 ? errno : 0;
	close(fd);
	if (rc != ECONNREFUSED)
		return vmq_err(err, -EADDRINUSE, "another program listens on %s; end it or choose "
			       "another path", path);
	if (unlink(path) < 0)
		return vmq_err_sys(err, -errno, "cannot remove the old socket %s", path);
	return 0;
}

static int open_listener(struct vhost_user *vu, struct vmq_err *err)
{
	const char *path = vu->addr.sun_path;
	struct stat st;
	int rc;

	rc = remove_stale(vu, err);
	if (rc)
		return rc;
	vu->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (vu->listen_fd < 0)
		return vmq_err_sys(err, -errno, "cannot make a socket");
	if (bind(vu->listen_fd, (struct sockaddr *)&vu->addr, sizeof(vu->addr)) < 0)
		return vmq_err_sys(err, -errno, "cannot make the socket %s", path);
	/*
	 * Before listen(): until then nobody can connect. Where somebody else may write in the
	 * directory, the path can be a link by now.
	 */
	if (fchmodat(AT_FDCWD, path, SOCKET_MODE, AT_SYMLINK_NOFOLLOW) < 0 ||
	    lstat(path, &st) < 0 || listen(vu->listen_fd, 8) < 0) {
		rc = vmq_err_sys(err, -errno, "cannot listen on %s", path);
		unlink(path);
		return rc;
	}
	vu->socket_dev = st.st_dev;
	vu->socket_ino = st.st_ino;
	return 0;
}

/* The path may be another's by now. */
static void close_listener(struct vhost_user *vu)
{
	struct stat st;

	int fd;

	if (vu->listen_fd < 0)
		return;
	/* Nobody is added behind this. */
	shutdown(vu->listen_fd, SHUT_RDWR);
	while ((fd = accept4(vu->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		foreign_close_socket(vu->foreign, fd);
	close(vu->listen_fd);
	vu->listen_fd = -1;
	if (vu->socket_ino && !lstat(vu->addr.sun_path, &st) && st.st_dev == vu->socket_dev &&
	    st.st_ino == vu->socket_ino)
		unlink(vu->addr.sun_path);
}

/* ---- the thread --------------------------------------------------------------------- */

static void wake_thread(void)
{
	uint64_t one = 1;

	if (write(service.wake, &one, sizeof(one)) < 0)
		one = 0;	/* full, so it is awake already */
}

void vhost_user_fail(struct vhost_user *vu)
{
	store_release(&vu->failed, true);
	wake_thread();
}

void vhost_user_quiet(struct vhost_user *vu)
{
	store_release(&vu->quiet, true);
	wake_thread();
}

static void on_failed(struct vhost_user *vu)
{
	char reason[VRING_REASON + 16] = "";
	int i;

	/* Before the look: a ring that breaks behind it is another reason to look. */
	__atomic_store_n(&vu->failed, false, __ATOMIC_SEQ_CST);
	for (i = 0; i < 2 * vu->pairs && !reason[0]; i++) {
		struct vring *r = &vu->ring[i];

		vring_lock(r);
		if (vring_reason(r))
			snprintf(reason, sizeof(reason), "ring %d: %s", i, vring_reason(r));
		vring_unlock(r);
	}
	if (vu->fd >= 0 && reason[0])
		disconnect(vu, reason);
}

static void dispatch(uint64_t data)
{
	struct vhost_user *vu;

	for (vu = service.list; vu; vu = vu->next)
		if (vu->id == data >> 1)
			break;
	if (!vu)	/* it was closed while the event was on its way */
		return;
	if ((data & 1) == EVENT_LISTEN)
		on_listen(vu);
	else if (vu->fd >= 0)
		on_connection(vu);
}

/* Look at all channels for what is due. Return: ms to the next. */
static int look_round(void)
{
	uint64_t now = now_ns(), first = UINT64_MAX;
	struct vhost_user *vu;

	for (vu = service.list; vu; vu = vu->next) {
		if (load_acquire(&vu->failed))
			on_failed(vu);
		if (vu->waiting && load_acquire(&vu->quiet))
			on_quiet(vu);
		if (vu->announce_left && vu->announce_at <= now)
			vhost_user_announce(vu, now);
		if (vu->announce_left)
			first = MIN(first, vu->announce_at);
		if (vu->retry_at && vu->retry_at <= now)
			try_again(vu);
		if (vu->retry_at)
			first = MIN(first, vu->retry_at);
	}
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)((first - now) / 1000000 + 1);
}

/* Return: false when the last channel has gone. */
static bool serve_call(void)
{
	bool more;

	pthread_mutex_lock(&service.lock);
	if (service.fn) {
		service.fn(service.fn_arg);
		service.fn = NULL;
		pthread_cond_broadcast(&service.served);
	}
	more = service.users > 0;
	pthread_mutex_unlock(&service.lock);
	return more;
}

static void *run(void *arg)
{
	struct epoll_event ev;
	uint64_t times;
	int n;

	(void)arg;
	while (serve_call()) {
		n = epoll_wait(service.epfd, &ev, 1, look_round());
		if (n <= 0)
			continue;
		if (ev.data.u64 != EVENT_WAKE)
			dispatch(ev.data.u64);
		else if (read(service.wake, &times, sizeof(times)) < 0)
			continue;
	}
	return NULL;
}

/* Run @fn in the thread; returns when it has run. */
static void call_thread(void (*fn)(struct vhost_user *vu), struct vhost_user *vu)
{
	pthread_mutex_lock(&service.lock);
	while (service.fn)
		pthread_cond_wait(&service.served, &service.lock);
	service.fn = fn;
	service.fn_arg = vu;
	wake_thread();
	while (service.fn == fn && service.fn_arg == vu)
		pthread_cond_wait(&service.served, &service.lock);
	pthread_mutex_unlock(&service.lock);
}

static void service_close(void)
{
	if (service.epfd >= 0)
		close(service.epfd);
	if (service.wake >= 0)
		close(service.wake);
	service.epfd = service.wake = -1;
}

static int service_open(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = EVENT_WAKE };
	sigset_t all, before;
	int rc;

	service.epfd = epoll_create1(EPOLL_CLOEXEC);
	service.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (service.epfd < 0 || service.wake < 0 ||
	    epoll_ctl(service.epfd, EPOLL_CTL_ADD, service.wake, &ev) < 0) {
		rc = -errno;
		goto err_close;
	}
	/* The thread inherits the mask: signals are the control thread's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&service.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		goto err_close;
	return 0;

err_close:
	service_close();
	return rc;
}

static void thread_add(struct vhost_user *vu)
{
	vu->id = ++service.last_id;
	vu->next = service.list;
	service.list = vu;
	if (vu->client)
		vu->retry_at = now_ns();
	else if (watch(vu, vu->listen_fd, EVENT_LISTEN))
		log_err("%s: cannot wait for connections", vu->addr.sun_path);
}

static void thread_remove(struct vhost_user *vu)
{
	struct vhost_user **at = &service.list;

	while (*at != vu)
		at = &(*at)->next;
	*at = vu->next;
	vu->event = NULL;
	vu->wants = NULL;
	vu->told_moved = NULL;
	if (vu->fd >= 0)
		disconnect(vu, NULL);
}

int vhost_user_attach(struct vhost_user *vu, struct vmq_err *err)
{
	bool first;
	int rc = 0;

	if (!vu->client)
		rc = open_listener(vu, err);
	if (rc)
		goto err_close;
	pthread_mutex_lock(&service.lock);
	first = !service.users++;
	pthread_mutex_unlock(&service.lock);
	rc = first ? service_open() : 0;
	if (rc) {
		service.users = 0;
		rc = vmq_err_sys(err, rc, "cannot start the vhost-user thread");
		goto err_close;
	}
	call_thread(thread_add, vu);
	return 0;

err_close:
	close_listener(vu);
	return rc;
}

void vhost_user_detach(struct vhost_user *vu)
{
	bool last;

	call_thread(thread_remove, vu);
	close_listener(vu);
	pthread_mutex_lock(&service.lock);
	last = !--service.users;
	pthread_mutex_unlock(&service.lock);
	if (!last)
		return;
	wake_thread();
	pthread_join(service.thread, NULL);
	service_close();
}
