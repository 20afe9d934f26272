// SPDX-License-Identifier: GPL-2.0-only
/*
 * udp-echo.c - in the test guest: send back every datagram to PORT
 *
 * Static, because the guest has no library (busybox has no echo of its own).
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET }, from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char data[2048];

	sin.sin_port = htons((unsigned short)(argc > 1 ? atoi(argv[1]) : 7));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return 1;
	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &len);

		if (n >= 0)
			sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}
