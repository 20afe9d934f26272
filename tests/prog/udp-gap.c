// SPDX-License-Identifier: GPL-2.0-only
/*
 * udp-gap.c - a stream of numbered datagrams to an echo, and what came back
 *
 * Sends --rate datagrams a second until SIGTERM or SIGINT, waits for stragglers
 * for a second, and prints one line of JSON: how many were sent and came back,
 * how many of those twice or out of order, and the longest time between two that
 * came back, which is how long the echo was out of reach.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/util.h"
#include "prog.h"

#define LINGER_NS	UINT64_C(1000000000)
#define DATAGRAMS_MAX	(1u << 24)	/* one bit each */

struct options {
	const char *to, *port, *rate;
	bool help;
};

static const struct opt table[] = {
	O("to", 't', "ADDRESS", to, "IPv4 address of the echo"),
	O("port", 'p', "PORT", port, "its port"),
	O("rate", 'r', "N", rate, "datagrams a second (default 200)"),
	F("help", 'h', help, "show this"),
	{ 0 },
};

struct state {
	int fd;
	uint32_t sent, received, doubled, reordered, highest;
	uint64_t last_ns, gap_ns;
};

static uint8_t seen[DATAGRAMS_MAX / 8];

static void send_one(struct state *s)
{
	uint32_t seq = htonl(s->sent);

	if (s->sent < DATAGRAMS_MAX && send(s->fd, &seq, sizeof(seq), MSG_DONTWAIT) > 0)
		s->sent++;
}

static void take(struct state *s, uint32_t seq)
{
	uint64_t now = now_ns();

	if (seq >= s->sent)
		return;
	if (seen[seq / 8] & 1u << seq % 8) {
		s->doubled++;
		return;
	}
	seen[seq / 8] |= (uint8_t)(1u << seq % 8);
	s->reordered += seq < s->highest;
	s->highest = MAX(s->highest, seq);
	if (s->received++)
		s->gap_ns = MAX(s->gap_ns, now - s->last_ns);
	s->last_ns = now;
}

static void receive_all(struct state *s)
{
	uint32_t seq;
	ssize_t n;

	/* An error is ICMP's: the echo is not there for now. */
	while ((n = recv(s->fd, &seq, sizeof(seq), MSG_DONTWAIT)) >= 0 || errno == ECONNREFUSED)
		if (n == (ssize_t)sizeof(seq))
			take(s, ntohl(seq));
}

/* Until @end, with a datagram every @every_ns (0: none). */
static void run(struct state *s, uint64_t end, uint64_t every_ns)
{
	uint64_t next = now_ns(), now;

	while ((now = now_ns()) < end && !(every_ns && stop)) {
		struct pollfd p = { .fd = s->fd, .events = POLLIN };
		uint64_t wait = MIN(end, every_ns ? next : end);

		if (every_ns && now >= next) {
			send_one(s);
			next = MAX(next + every_ns, now);
			continue;
		}
		poll(&p, 1, (int)((wait - now) / 1000000 + 1));
		receive_all(s);
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct vmq_err err = VMQ_ERR_INIT;
	struct options o = { .rate = "200" };
	struct state s = { 0 };
	int i, rc;

	rc = opts_parse(table, &o, &argc, argv, &err);
	if (rc < 0 || o.help || !o.to || !o.port || atoi(o.rate) < 1 ||
	    inet_pton(AF_INET, o.to, &to.sin_addr) != 1) {
		fprintf(stderr, "usage: udp-gap --to ADDRESS --port PORT [--rate N]\n");
		opts_help(table, stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)atoi(o.port));
	s.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s.fd < 0 || connect(s.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("udp-gap");
		return 1;
	}
	for (i = 0; i < 2; i++)
		sigaction(i ? SIGINT : SIGTERM, &sa, NULL);
	run(&s, UINT64_MAX, UINT64_C(1000000000) / (uint64_t)atoi(o.rate));
	run(&s, now_ns() + LINGER_NS, 0);
	printf("{\"sent\":%u,\"received\":%u,\"lost\":%u,\"doubled\":%u,\"reordered\":%u,"
	       "\"gap_ms\":%.1f}\n", s.sent, s.received, s.sent - s.received, s.doubled,
	       s.reordered, (double)s.gap_ns / 1e6);
	close(s.fd);
	return 0;
}
