// SPDX-License-Identifier: GPL-2.0-only
/*
 * foreign.c - close what others have opened, and never wait for them
 *
 * DOC: Theory of operation
 *
 * A front end sends any descriptors that it likes, and with the last of them a file is
 * closed, which can take as long as its owner wants: a file of FUSE is flushed by a
 * program (with each descriptor, fs/fuse/file.c fuse_flush()), a TCP socket lingers for
 * its SO_LINGER. A socket of ours that holds messages which nobody has read closes what
 * came with them, and descriptors that we have no room for are closed at once. So room
 * is made for all that one message can bring (SCM_MAX_FD), and what is neither an
 * eventfd nor shared memory, which have nothing to wait for, is closed by a thread that
 * does nothing else. A channel has few of those at a time: then it takes no more
 * connections, and nobody else notices.
 *
 * What a file is, is asked so that the file system has no say in it: fstat(2) and
 * fstatfs(2) wait for a server, too. The name of an eventfd is the kernel's, and only
 * shmem and hugetlbfs have seals (mm/memfd.c memfd_file_seals_ptr()).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <unistd.h>

#include "channel/foreign.h"
#include "common/util.h"

#define THREADS_MAX	8

struct foreign {
	int refs;		/* the channel, and threads */
};

struct foreign_job {
	struct foreign *f;
	int n;
	int fd[];
};

struct foreign *foreign_new(void)
{
	struct foreign *f = malloc(sizeof(*f));

	if (f)
		f->refs = 1;
	return f;
}

void foreign_put(struct foreign *f)
{
	if (f && !__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		free(f);
}

bool foreign_stuck(const struct foreign *f)
{
	return load_relaxed(&f->refs) > THREADS_MAX;
}

bool foreign_is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], name[sizeof(want) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	return n == (ssize_t)sizeof(want) - 1 && !memcmp(name, want, sizeof(want) - 1);
}

bool foreign_is_memory(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static void *foreign_run(void *arg)
{
	struct foreign_job *job = arg;

	while (job->n)
		close(job->fd[--job->n]);
	foreign_put(job->f);
	free(job);
	return NULL;
}

/* Without memory or a thread it is done here: better late than never. */
static void foreign_close_elsewhere(struct foreign *f, const int *fds, int n)
{
	struct foreign_job *job = malloc(sizeof(*job) + (size_t)n * sizeof(fds[0]));
	pthread_t thread;

	if (!job) {
		while (n)
			close(fds[--n]);
		return;
	}
	*job = (struct foreign_job){ .f = f, .n = n };
	memcpy(job->fd, fds, (size_t)n * sizeof(fds[0]));
	__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
	if (pthread_create(&thread, NULL, foreign_run, job))
		foreign_run(job);
	else
		pthread_detach(thread);
}

bool foreign_close(struct foreign *f, const int *fds, int n)
{
	int other = -1, i;

	for (i = 0; i < n && other < 0; i++)
		if (!foreign_is_eventfd(fds[i]) && !foreign_is_memory(fds[i]))
			other = i;
	/* One that is odd makes all of them odd. */
	if (other >= 0)
		foreign_close_elsewhere(f, fds, n);
	for (i = 0; other < 0 && i < n; i++)
		close(fds[i]);
	return other < 0;
}

void foreign_close_socket(struct foreign *f, int fd)
{
	int unread = 0;

	/* Nothing is added behind this. */
	shutdown(fd, SHUT_RDWR);
	if (ioctl(fd, SIOCINQ, &unread) || unread)
		foreign_close_elsewhere(f, &fd, 1);
	else
		close(fd);
}
