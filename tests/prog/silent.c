// SPDX-License-Identifier: GPL-2.0-only
/*
 * silent.c - connections to a control socket that say nothing, or nonsense
 *
 *	silent SOCKET N		hold N connections until killed
 *	silent SOCKET say	send standard input as one message, print the answer
 *
 * A connection that the service closes is opened again, so that there are always N
 * that want in. Prints "ready" when all were opened once. `say` cuts nothing: a
 * message longer than the service takes is sent whole.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE	(8 << 20)

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), size = 2 * MESSAGE;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		perror(path);
		exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static int say(const char *path)
{
	static char buf[MESSAGE];
	size_t len = fread(buf, 1, sizeof(buf), stdin);
	int fd = connect_to(path);
	ssize_t n;

	if (send(fd, buf, len, MSG_NOSIGNAL) < 0) {
		perror("send");
		return 1;
	}
	n = recv(fd, buf, sizeof(buf), 0);
	if (n <= 0)
		return 3;
	printf("%.*s\n", (int)n, buf);
	return 0;
}

int main(int argc, char **argv)
{
	struct pollfd *p;
	int n;

	if (argc != 3) {
		fprintf(stderr, "usage: silent SOCKET N|say\n");
		return 2;
	}
	if (!strcmp(argv[2], "say"))
		return say(argv[1]);
	n = (int)strtol(argv[2], NULL, 10);
	p = n < 1 ? NULL : calloc((size_t)n, sizeof(*p));
	if (!p)
		return 2;
	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){ .fd = connect_to(argv[1]), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	/* Ends when killed, or when the service has gone. */
	while (poll(p, (nfds_t)n, -1) > 0) {
		for (int i = 0; i < n; i++) {
			if (!p[i].revents)
				continue;
			close(p[i].fd);
			p[i].fd = connect_to(argv[1]);
		}
	}
	free(p);
	return 0;
}
