/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * socket.h - SOCK_SEQPACKET with descriptors and known peers
 *
 * The system calls under server.c, and what the kernel does about them. Holds
 * nothing; descriptors belong to the caller.
 */
#ifndef VMQ_SOCKET_H
#define VMQ_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/protocol.h"

/**
 * socket_listen() - make RUNDIR/NAME.sock, mode 0660, group `vmq` if there is one
 * @path: a stale socket there is replaced
 * @err: sentence
 *
 * Return: the listening descriptor (non-blocking); -EBUSY somebody answers
 * there; -EEXIST it is something else; -errno.
 */
int socket_listen(const char *path, struct vmq_err *err);

/* A message and the descriptors that came with it. */
struct socket_message {
	size_t len;
	int fds[MESSAGE_FDS_MAX];
	int n_fds;
};

/**
 * socket_recv() - take one message, without waiting
 * @fd: connection
 * @buf: room for MESSAGE_MAX bytes
 * @m: filled also for a message that is in error
 * @err: sentence for the peer
 *
 * Return: 0; -EAGAIN nothing there; -ECONNRESET the peer left; -EMSGSIZE the
 * message is too long, -EINVAL it brought too many descriptors: tell the peer.
 */
int socket_recv(int fd, char *buf, struct socket_message *m, struct vmq_err *err);
void socket_close_fds(const int *fds, int n);	/* those that are not -1 */

/*
 * A request of @len bytes from a memfd, into @buf. -EPROTO: it is none (a pipe or
 * a network file could make us wait), or is shorter.
 */
int socket_read_memfd(int fd, char *buf, size_t len, struct vmq_err *err);

/* One message on its way, without waiting. @passed: -1, or goes along. 0 or -errno. */
int socket_send(int fd, const char *data, size_t len, int passed);

/* Has the peer sent something that nobody has read yet? */
bool socket_has_unread(int fd);

/*
 * Who may change things: root, ourselves, and the group of the socket file at
 * @path as it is now (an administrator may chgrp it).
 */
bool socket_peer_may_change(int fd, const struct ucred *peer, const char *path);

#endif /* VMQ_SOCKET_H */
