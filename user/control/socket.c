// SPDX-License-Identifier: GPL-2.0-only
/*
 * socket.c - SOCK_SEQPACKET with descriptors and known peers
 *
 * SEQPACKET keeps the borders of messages, knows when the peer is gone and
 * carries credentials and descriptors: a stream would need a length in front
 * of each message, a datagram socket knows no connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "control/socket.h"

#define SOCKET_GROUP	"vmq"
#define SOCKET_TYPE	(SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* ---- the listening socket ----------------------------------------------- */

/* A socket file is stale if nobody listens: connect(2) alone knows that. */
static int remove_stale(const char *path, const struct sockaddr_un *addr, struct vmq_err *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st)) {
		if (errno == ENOENT)
			return 0;
		return vmq_err_sys(err, -errno, "cannot look at %s", path);
	}
	if (!S_ISSOCK(st.st_mode))
		return vmq_err(err, -EEXIST,
			       "%s is in the way and is no socket; remove it, or use --run-dir",
			       path);
	fd = socket(AF_UNIX, SOCKET_TYPE, 0);
	if (fd < 0)
		return vmq_err_sys(err, -errno, "cannot make a socket");
	rc = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ? -errno : 0;
	close(fd);
	/* EAGAIN: its backlog is full. EPROTOTYPE: somebody listens, for another type. */
	if (!rc || rc == -EAGAIN || rc == -EPROTOTYPE)
		return vmq_err(err, -EBUSY, "another service already answers on %s", path);
	if (rc != -ECONNREFUSED)
		return vmq_err_sys(err, rc, "cannot tell whether %s is in use", path);
	log_debug("control: removing the socket of a dead service, %s", path);
	if (unlink(path) && errno != ENOENT)
		return vmq_err_sys(err, -errno, "cannot remove the stale socket %s", path);
	return 0;
}

/*
 * bind(2) gives the file the mode of the socket's inode (unix_bind_bsd()), so
 * it is closed to all until its group is as it should be.
 */
static int bind_path(int fd, const char *path, const struct sockaddr_un *addr,
		     struct vmq_err *err)
{
	const struct group *group;

	if (fchmod(fd, 0600) || bind(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return vmq_err_sys(err, -errno, "cannot make the control socket %s", path);
	group = getgrnam(SOCKET_GROUP);
	if (group && lchown(path, (uid_t)-1, group->gr_gid))
		log_warn("control: cannot give %s to group %s: %s; only root can use it", path,
			 SOCKET_GROUP, strerror(errno));
	if (chmod(path, 0660))
		return vmq_err_sys(err, -errno, "cannot set the mode of %s", path);
	if (listen(fd, SOMAXCONN))
		return vmq_err_sys(err, -errno, "cannot listen on %s", path);
	return 0;
}

int socket_listen(const char *path, struct vmq_err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, rc;

	if (strlen(path) >= sizeof(addr.sun_path))
		return vmq_err(err, -ENAMETOOLONG,
			       "the path of the control socket has %zu characters, %zu are "
			       "possible; use a shorter --run-dir or --name", strlen(path),
			       sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	rc = remove_stale(path, &addr, err);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCKET_TYPE, 0);
	if (fd < 0)
		return vmq_err_sys(err, -errno, "cannot make a socket");
	rc = bind_path(fd, path, &addr, err);
	if (rc) {
		close(fd);
		return rc;
	}
	return fd;
}

/* ---- messages ----------------------------------------------------------- */

void socket_close_fds(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* The control buffer has room for MESSAGE_FDS_MAX; the kernel installs no more. */
static void take_fds(struct msghdr *msg, struct socket_message *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		size_t len = h->cmsg_len - CMSG_LEN(0);

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		m->n_fds = (int)(len / sizeof(int));
		memcpy(m->fds, CMSG_DATA(h), (size_t)m->n_fds * sizeof(int));
	}
}

int socket_recv(int fd, char *buf, struct socket_message *m, struct vmq_err *err)
{
	union {
		char buf[CMSG_SPACE(MESSAGE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { buf, MESSAGE_MAX };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	m->len = 0;
	m->n_fds = 0;
	n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	m->len = (size_t)n;
	take_fds(&msg, m);
	if (msg.msg_flags & MSG_TRUNC)
		return vmq_err(err, -EMSGSIZE, "the message is longer than %d bytes", MESSAGE_MAX);
	if (msg.msg_flags & MSG_CTRUNC)
		return vmq_err(err, -EINVAL, "more than %d descriptors came with the message, "
			       "or the receiver has none left", MESSAGE_FDS_MAX);
	/* The peer left; an empty message looks the same and means nothing. */
	return n ? 0 : -ECONNRESET;
}

int socket_read_memfd(int fd, char *buf, size_t len, struct vmq_err *err)
{
	size_t at = 0;
	ssize_t n;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return vmq_err(err, -EPROTO, "the request's descriptor is not a memfd");
	while (at < len) {
		n = pread(fd, buf + at, len - at, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vmq_err_sys(err, -errno, "cannot read the request's memfd");
		if (!n)
			return vmq_err(err, -EPROTO, "the request's memfd ends after %zu of %zu bytes",
				       at, len);
		at += (size_t)n;
	}
	return 0;
}

int socket_send(int fd, const char *data, size_t len, int passed)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (passed >= 0) {
		struct cmsghdr *h;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &passed, sizeof(int));
	}
	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

bool socket_has_unread(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* ---- peers -------------------------------------------------------------- */

/* SO_PEERGROUPS: the supplementary groups the peer had at connect(2), since 4.13. */
static bool peer_in_group(int fd, gid_t gid)
{
	gid_t few[64], *groups = few;
	socklen_t len = sizeof(few);
	bool member = false;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len)) {
		if (errno != ERANGE)	/* else `len` is what it takes */
			return false;
		groups = malloc(len);
		if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
			len = 0;
	}
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		member |= groups[i] == gid;
	if (groups != few)
		free(groups);
	return member;
}

bool socket_peer_may_change(int fd, const struct ucred *peer, const char *path)
{
	struct stat st;

	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	if (stat(path, &st))
		return false;
	return peer->gid == st.st_gid || peer_in_group(fd, st.st_gid);
}
