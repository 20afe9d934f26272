// SPDX-License-Identifier: GPL-2.0-only
/*
 * server-fuzz.c - 20,000 damaged messages, and the server goes on
 *
 * Good requests are cut, spliced and sprinkled; some carry descriptors, some
 * come in bursts, some from clients that leave at once. Every answer must be a
 * whole one, and in the end nothing may be left over. The seed is fixed, so
 * that a failure happens again; VMQ_FUZZ_SEED=N tries others.
 */
#include "server_rig.h"

#define ROUNDS 20000

static const char *const seeds[] = {	/* in brackets, or compilers miss a comma */
	("{\"version\":1,\"id\":1,\"method\":\"echo\",\"params\":{\"name\":\"web1\",\"n\":3,"
	"\"on\":false,\"macs\":[\"52:54:00:00:00:01\"],\"cpus\":[0,1],\"changes\":[{\"a\":1}]}}"),
	"{\"version\":1,\"id\":2,\"method\":\"fail\",\"params\":{\"name\":\"x\"}}",
	"{\"version\":1,\"id\":3,\"method\":\"who\"}",
	"{\"version\":1,\"id\":4,\"method\":\"take\",\"params\":{}}",
	"{\"version\":1,\"id\":5,\"method\":\"later\"}",
	"{\"version\":1,\"id\":6,\"method\":\"monitor\"}",
	"{\"version\":1,\"id\":7,\"method\":\"big\",\"params\":{\"n\":70}}",
	"{\"version\":1,\"id\":8,\"method\":\"give\"}",
};

static const char *const words[] = {
	"{", "}", "[", "]", "\"", ":", ",", "\\", "\\u0000", "\\ud800", "null", "true", "1e999",
	"-", "99999999999999999999", "\xc3", "\xf0\x9f\x98\x80", "\"params\":", "\"id\":",
	"[[[[[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":",
};

static uint64_t state;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 16) % below);
}

/* Damage the @len bytes of @m, which has room for @max. Return: the new length. */
static size_t damage(char *m, size_t len, size_t max)
{
	const char *word = words[rnd(ARRAY_SIZE(words))];
	size_t at = rnd((uint32_t)len + 1), n = strlen(word);

	switch (rnd(6)) {
	case 0:		/* cut */
		return at;
	case 1:		/* flip a bit */
		if (at < len)
			m[at] ^= (char)(1 << rnd(8));
		return len;
	case 2:		/* any byte */
		if (at < len)
			m[at] = (char)rnd(256);
		return len;
	case 3:		/* put a word in */
		if (len + n > max)
			return len;
		memmove(m + at + n, m + at, len - at);
		memcpy(m + at, word, n);
		return len + n;
	case 4:		/* take a piece out */
		n = rnd(8) + 1;
		n = MIN(n, len - at);
		memmove(m + at, m + at + n, len - at - n);
		return len - n;
	default:	/* double a piece */
		n = rnd(32);
		n = MIN(n, len - at);
		if (len + n > max)
			return len;
		memmove(m + at + n, m + at, len - at);
		return len + n;
	}
}

static int make_message(char *m, size_t max)
{
	const char *seed = seeds[rnd(ARRAY_SIZE(seeds))];
	size_t len = strlen(seed);

	memcpy(m, seed, len);	/* NOLINT(bugprone-not-null-terminated-result): bytes, no string */
	for (uint32_t i = rnd(5); i; i--)
		len = damage(m, len, max);
	return (int)len;
}

/* Everything that has come in: good answers, or false. */
static bool read_all(int fd, int *answers)
{
	char peek;

	while (recv(fd, &peek, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
		int passed = -1;
		json_t *r = rig_recv_fd(fd, &passed);
		bool good = json_is_object(r) &&
			    json_integer_value(json_object_get(r, "version")) == 1 &&
			    (json_is_object(json_object_get(r, "result")) ||
			     json_is_object(json_object_get(r, "error")) ||
			     json_is_string(json_object_get(r, "event")));

		if (passed >= 0)
			close(passed);
		json_decref(r);
		if (!good)
			return false;
		++*answers;
	}
	return true;
}

static void answer_held(void)
{
	while (rig.n_held) {
		struct request *r = rig.held[--rig.n_held];

		if (rnd(2))
			request_reply(r, json_object());
		else
			request_fail(r, -EBUSY);
	}
}

static bool fuzz(int *answers, int *connections)
{
	static char m[8192];
	int fds[20], fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = rig.pipe[1];
	for (int round = 0; round < ROUNDS; round++) {
		int len = make_message(m, sizeof(m));

		if (fd < 0) {
			fd = rig_connect();
			++*connections;
		}
		if (rig_send(fd, m, (size_t)len, fds, rnd(8) ? 0 : (int)rnd(20)) < 0) {
			close(fd);	/* an empty message had ended it */
			fd = -1;
			continue;
		}
		if (rnd(4))
			rig_idle();
		if (!rnd(50))
			answer_held();
		if (!read_all(fd, answers))
			return false;
		if (!rnd(200)) {
			close(fd);
			fd = -1;
		}
	}
	answer_held();
	close(fd);
	rig_idle();
	answer_held();
	return true;
}

int main(void)
{
	const char *seed = getenv("VMQ_FUZZ_SEED");
	int before = unit_fds(), answers = 0, connections = 0, fd;
	json_t *r;

	state = seed ? strtoull(seed, NULL, 0) | 1 : 0x9e3779b97f4a7c15ULL;
	rig_start();
	fcntl(rig.pipe[1], F_SETFL, O_NONBLOCK);	/* "take" fills it */
	ok(fuzz(&answers, &connections), "%d damaged messages get whole answers", ROUNDS);
	ok(answers > ROUNDS / 3, "%d answers on %d connections", answers, connections);

	fd = rig_connect();
	r = rig_ask(fd, seeds[2]);
	is_str(at(r, "id"), "3", "the server goes on");
	json_decref(r);
	close(fd);
	rig_stop();
	is_int(unit_fds(), before, "no descriptor is left open");
	return unit_done();
}
