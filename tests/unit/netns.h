/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netns.h - a network namespace and a bpffs of a test's own
 *
 * Everything a test makes lives in them and ends with the process. Devices are
 * made with ip(8), started without a shell.
 */
#ifndef VMQ_TEST_NETNS_H
#define VMQ_TEST_NETNS_H

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static char netns_tmp[] = "/tmp/vmq-unit-XXXXXX";	/* a directory for what a test needs */

/* Run a program to its end, silently. Return: its exit status. */
static inline int netns_run(const char *const argv[])
{
	posix_spawn_file_actions_t quiet;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
	if (!posix_spawnp(&pid, argv[0], &quiet, NULL, (char *const *)argv, environ))
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&quiet);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#define RUN(...) netns_run((const char *const[]){ __VA_ARGS__, NULL })

static inline void netns_cleanup(void)
{
	umount2(netns_tmp, MNT_DETACH);
	rmdir(netns_tmp);
}

/* False where the privilege is missing. */
static inline bool netns_enter(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL))
		return false;
	if (!mkdtemp(netns_tmp))
		return false;
	atexit(netns_cleanup);
	return !mount("tmpfs", netns_tmp, "tmpfs", 0, NULL);
}

/* A veth pair, both up, @rx and @tx queues: @a's receive and @b's transmit. */
static inline bool netns_veth(const char *a, const char *b, int rx, int tx)
{
	char nrx[8], ntx[8];

	snprintf(nrx, sizeof(nrx), "%d", rx);
	snprintf(ntx, sizeof(ntx), "%d", tx);
	return !RUN("ip", "link", "add", a, "numrxqueues", nrx, "numtxqueues", nrx, "type", "veth",
		    "peer", "name", b, "numrxqueues", ntx, "numtxqueues", ntx) &&
	       !RUN("ip", "link", "set", a, "up") && !RUN("ip", "link", "set", b, "up");
}

#endif /* VMQ_TEST_NETNS_H */
