// SPDX-License-Identifier: GPL-2.0-only
/*
 * lock.c - one service per name
 *
 * An open-file-description lock (fcntl(2), since 3.15): like flock(2) it belongs
 * to the open file and ends with it, but F_OFD_GETLK also tells whether somebody
 * holds it without taking it for a moment, which would make a service that
 * starts just then believe that another one runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapter/lock.h"

static void lock_path(char *path, size_t size, const char *run_dir, const char *name)
{
	snprintf(path, size, "%s/%s.lock", run_dir, name);
}

static int whole_file(int fd, int cmd, struct flock *fl)
{
	*fl = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, cmd, fl) ? -errno : 0;
}

/* What the file says; zeros where it says nothing. */
static void read_lock(int fd, pid_t *pid, uint32_t *rx_vlan)
{
	char text[128];
	ssize_t n;

	*pid = 0;
	*rx_vlan = 0;
	n = pread(fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return;
	text[n] = '\0';
	sscanf(text, "%d rx-vlan-offload %" SCNx32, pid, rx_vlan);
}

/* Is the locked file still the one of that name? Its last holder removes it. */
static bool still_there(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int lock_take(struct service_lock *l, const char *run_dir, const char *name, struct vmq_err *err)
{
	struct flock fl;
	pid_t pid;
	int rc;

	if (mkdir(run_dir, 0755) && errno != EEXIST)
		return vmq_err_sys(err, -errno, "cannot make the directory %s", run_dir);
	lock_path(l->path, sizeof(l->path), run_dir, name);
	for (;;) {
		l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		if (l->fd < 0)
			return vmq_err_sys(err, -errno, "cannot open %s", l->path);
		rc = whole_file(l->fd, F_OFD_SETLK, &fl);
		if (rc || still_there(l->fd, l->path))
			break;
		close(l->fd);
	}
	read_lock(l->fd, &pid, &l->rx_vlan);
	if (rc) {
		close(l->fd);
		l->fd = -1;
		if (rc != -EAGAIN && rc != -EACCES)
			return vmq_err_sys(err, rc, "cannot lock %s", l->path);
		return vmq_err(err, -EBUSY,
			       "a vmq service named %s is running already (pid %d); stop it first, "
			       "or choose another --name and interface", name, pid);
	}
	l->found = pid != 0;
	return lock_write(l) ? vmq_err_sys(err, -EIO, "cannot write %s", l->path) : 0;
}

int lock_write(struct service_lock *l)
{
	char text[128];
	int n;

	n = snprintf(text, sizeof(text), "%d\nrx-vlan-offload 0x%" PRIx32 "\n", getpid(),
		     l->rx_vlan);
	if (pwrite(l->fd, text, (size_t)n, 0) != n || ftruncate(l->fd, n))
		return -EIO;
	return 0;
}

void lock_release(struct service_lock *l, bool remove)
{
	if (l->fd < 0)
		return;
	/* While it is still locked, so that nobody's new file is removed. */
	if (remove)
		unlink(l->path);
	close(l->fd);
	l->fd = -1;
}

pid_t lock_holder(const char *run_dir, const char *name)
{
	char path[256];
	struct flock fl;
	uint32_t rx_vlan;
	pid_t pid = 0;
	int fd, rc;

	lock_path(path, sizeof(path), run_dir, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	rc = whole_file(fd, F_OFD_GETLK, &fl);
	read_lock(fd, &pid, &rx_vlan);
	close(fd);
	if (rc || fl.l_type == F_UNLCK)
		return 0;
	return pid > 0 ? pid : 1;	/* held, but its pid is not written yet */
}
