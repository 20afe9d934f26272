// SPDX-License-Identifier: GPL-2.0-only
/*
 * stop-threads.c - some threads of a process stand still for a while
 *
 *	stop-threads PID NAME
 *
 * Stops the threads whose name begins with NAME, says how many, and lets them go
 * on when its input ends. A signal would stop the whole process; ptrace(2) stops
 * one thread, and lets go of it if this program dies.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int is_named(const char *pid, const char *tid, const char *name)
{
	char path[600], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/comm", pid, tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (!fgets(comm, sizeof(comm), f))
		comm[0] = '\0';
	fclose(f);
	return !strncmp(comm, name, strlen(name));
}

static int stop(pid_t tid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	return waitpid(tid, &status, __WALL) == tid ? 0 : -errno;
}

int main(int argc, char **argv)
{
	struct dirent *e;
	char path[64];
	int n = 0, rc;
	DIR *tasks;

	if (argc != 3) {
		fprintf(stderr, "usage: stop-threads PID NAME\n");
		return 2;
	}
	snprintf(path, sizeof(path), "/proc/%.20s/task", argv[1]);
	tasks = opendir(path);
	if (!tasks) {
		fprintf(stderr, "stop-threads: %s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((e = readdir(tasks))) {
		if (e->d_name[0] == '.' || !is_named(argv[1], e->d_name, argv[2]))
			continue;
		rc = stop((pid_t)atoi(e->d_name));
		if (rc) {
			fprintf(stderr, "stop-threads: %s: %s\n", e->d_name, strerror(-rc));
			return 1;
		}
		n++;
	}
	closedir(tasks);
	printf("%d stopped\n", n);
	fflush(stdout);
	while (n && getchar() != EOF)
		;
	return !n;
}
