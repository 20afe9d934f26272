// SPDX-License-Identifier: GPL-2.0-only
/*
 * requests.c - several requests on one connection, without waiting in between
 *
 *	requests [--freeze PID] SOCKET <<<$'queue.free {"name":"a"}\nqueue.show {"name":"a"}'
 *
 * libvmq asks one thing at a time, so it never meets a queue that is on its way
 * out: a teardown takes a few milliseconds, about as long as starting a program.
 * This tool sends each line of its input, METHOD and parameters as JSON, as soon
 * as it is there; ids are line numbers. What comes back, replies and (after a line
 * "monitor") events, is printed one message a line. It ends when its input has
 * ended and every request is answered, and the connection with it. With --freeze
 * all of the input is sent while the service PID is stopped, so that the service
 * finds the requests lying there and nothing comes between them.
 */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX	(256 * 1024)
#define TIMEOUT_MS	30000

static char text[MESSAGE_MAX + 1];
static long sent, answered;

static int fail(const char *what)
{
	fprintf(stderr, "requests: %s: %s\n", what, strerror(errno));
	return 1;
}

/* One line of input. Return: 0, or 1 with a sentence. */
static int send_line(int fd, char *line)
{
	char *params = line + strcspn(line, " \t\n");
	int n;

	if (*params)
		*params++ = '\0';
	if (!*line)
		return 0;
	params[strcspn(params, "\n")] = '\0';
	n = snprintf(text, sizeof(text),
		     "{\"version\":1,\"id\":%ld,\"method\":\"%s\",\"params\":%s}", ++sent, line,
		     *params ? params : "{}");
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return fail("send");
	return 0;
}

/* One message. Return: 0; 1: the service has closed the connection. */
static int print_message(int fd)
{
	ssize_t n = recv(fd, text, sizeof(text) - 1, 0);
	json_t *m;

	if (n <= 0) {
		errno = n ? errno : ECONNRESET;
		return fail("the service");
	}
	text[n] = '\0';
	puts(text);
	fflush(stdout);
	m = json_loads(text, 0, NULL);
	if (json_object_get(m, "id") && !json_is_true(json_object_get(m, "more")))
		answered++;
	json_decref(m);
	return 0;
}

static int read_all(int fd)
{
	size_t size = 0;
	char *line = NULL;
	int rc = 0;

	while (!rc && getline(&line, &size, stdin) >= 0)
		rc = send_line(fd, line);
	free(line);
	return rc;
}

/* Until the input has ended and all is answered. */
static int converse(int fd, bool more)
{
	struct pollfd p[2] = { { fd, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	setvbuf(stdin, NULL, _IONBF, 0);	/* poll() sees what stdio has not */
	while (!rc && (more || answered < sent)) {
		p[1].fd = more ? STDIN_FILENO : -1;
		rc = poll(p, 2, more ? -1 : TIMEOUT_MS);
		if (rc <= 0) {
			errno = rc ? errno : ETIMEDOUT;
			rc = fail("waiting for an answer");
			break;
		}
		rc = 0;
		if (p[0].revents)
			rc = print_message(fd);
		if (!rc && more && p[1].revents) {
			more = getline(&line, &size, stdin) >= 0;
			if (more)
				rc = send_line(fd, line);
		}
	}
	free(line);
	return rc;
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	bool frozen = argc == 4 && !strcmp(argv[1], "--freeze");
	pid_t pid = frozen ? (pid_t)atoi(argv[2]) : 0;
	int fd, rc = 0;

	if (!frozen && argc != 2) {
		fprintf(stderr, "usage: requests [--freeze PID] SOCKET\n");
		return 2;
	}
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", argv[argc - 1]);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fail(argv[argc - 1]);
	if (frozen) {
		if (kill(pid, SIGSTOP))
			return fail("stopping the service");
		rc = read_all(fd);
		kill(pid, SIGCONT);
	}
	if (!rc)
		rc = converse(fd, !frozen);
	close(fd);
	return rc;
}
