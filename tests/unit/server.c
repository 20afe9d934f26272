// SPDX-License-Identifier: GPL-2.0-only
/*
 * server.c - the control socket: what is said through it, by good, bad and hostile clients
 *
 * How many they may be and who may say it is in server_peers.c.
 */
#include <grp.h>
#include <sys/mman.h>

#include "control/socket.h"
#include "server_rig.h"

/* ---- opening ------------------------------------------------------------ */

static void test_open(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	char path[100], longer[200];
	struct server *s = NULL;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct group *group = getgrnam("vmq");
	struct stat st;
	int fd;

	ok(!stat(rig.path, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0660,
	   "the socket has mode 0660");
	is_int(st.st_gid, group ? group->gr_gid : getegid(), "and group vmq, if there is one");

	is_int(server_open(&s, rig.path, rig_methods, NULL, NULL, &err), -EBUSY,
	       "a second service on the same socket is refused");
	ok(strstr(err.text, rig.path), "and told which: %s", err.text);
	rig_idle();

	snprintf(path, sizeof(path), "%s/stale.sock", rig.dir);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	ok(!bind(fd, (struct sockaddr *)&addr, sizeof(addr)) && !close(fd) && !stat(path, &st),
	   "a socket whose service died is there");
	is_int(server_open(&s, path, rig_methods, NULL, NULL, &err), 0, "it is replaced");
	server_close(s);
	ok(stat(path, &st) && errno == ENOENT, "closing removes the socket");

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	is_int(server_open(&s, path, rig_methods, NULL, NULL, &err), -EEXIST,
	       "a file that is no socket is refused: %s", err.text);
	ok(!stat(path, &st), "and left alone");
	unlink(path);

	is_int(server_open(&s, path, rig_methods, NULL, NULL, &err), 0, "a server is opened");
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	server_close(s);
	ok(!unlink(path), "closing leaves a file that is not its own");

	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	is_int(server_open(&s, longer, rig_methods, NULL, NULL, &err), -ENAMETOOLONG,
	       "a path too long for a socket is refused: %s", err.text);
	is_int(server_open(&s, "/nowhere/x.sock", rig_methods, NULL, NULL, &err), -ENOENT,
	       "a directory that is not there is named: %s", err.text);
}

/* ---- requests ----------------------------------------------------------- */

static void test_requests(int fd)
{
	json_t *r;

	r = rig_ask(fd, "{\"version\":1,\"id\":7,\"method\":\"echo\",\"params\":"
		    "{\"name\":\"w\",\"n\":5,\"on\":true,\"macs\":[\"a\"],\"cpus\":[1],"
		    "\"changes\":[{}]}}");
	is_str(at(r, "version"), "1", "a reply has the version");
	is_str(at(r, "id"), "7", "and the id of its request");
	is_str(at(r, "result.name"), "w", "and the result");
	json_decref(r);

	r = rig_ask(fd, " {\"method\":\"who\",\"version\":1,\"id\":-9223372036854775808}\n");
	is_str(at(r, "id"), "-9223372036854775808", "any whole number is an id");
	ok(json_integer_value(json_object_get(json_object_get(r, "result"), "uid")) == getuid() &&
	   json_integer_value(json_object_get(json_object_get(r, "result"), "pid")) == getpid(),
	   "a peer is known by uid and pid");
	json_decref(r);

	r = rig_ask(fd, "{\"version\":1,\"id\":8,\"method\":\"fail\",\"params\":{\"name\":\"x\"}}");
	is_str(at(r, "error.code"), "ENOENT", "an error has a code");
	is_str(at(r, "error.exit"), "3", "an exit code");
	is_str(at(r, "error.message"), "there is no queue x", "and the handler's sentence");
	ok(!json_object_get(r, "result"), "and no result");
	json_decref(r);
}

#define ECHO(params) "{\"version\":1,\"id\":3,\"method\":\"echo\",\"params\":" params "}"

static const struct {
	const char *text, *id, *code, *words;	/* @words: in the sentence */
} bad[] = {
	{ "hello", "null", "EPROTO", "not JSON" },
	{ "{", "null", "EPROTO", "not JSON" },
	{ "[]", "null", "EPROTO", "object" },
	{ "7", "null", "EPROTO", "JSON" },
	{ "{}", "null", "EPROTO", "version" },
	{ "{\"version\":1,\"id\":3,\"method\":\"who\"} x", "null", "EPROTO", "not JSON" },
	{ "{\"version\":1,\"version\":1,\"id\":3,\"method\":\"who\"}", "null", "EPROTO", "duplicate" },
	{ "{\"version\":2,\"id\":3,\"method\":\"who\"}", "3", "EPROTO", "version 2" },
	{ "{\"version\":\"1\",\"id\":3,\"method\":\"who\"}", "3", "EPROTO", "version" },
	{ "{\"id\":3,\"method\":\"who\"}", "3", "EPROTO", "version" },
	{ "{\"version\":1,\"method\":\"who\"}", "null", "EPROTO", "id" },
	{ "{\"version\":1,\"id\":1.5,\"method\":\"who\"}", "null", "EPROTO", "id" },
	{ "{\"version\":1,\"id\":99999999999999999999,\"method\":\"who\"}", "null", "EPROTO", "big" },
	{ "{\"version\":1,\"id\":3}", "3", "EPROTO", "method" },
	{ "{\"version\":1,\"id\":3,\"method\":5}", "3", "EPROTO", "method" },
	{ "{\"version\":1,\"id\":3,\"method\":\"none\"}", "3", "EOPNOTSUPP", "'none'" },
	{ "{\"version\":1,\"id\":3,\"method\":\"who\",\"parms\":{}}", "3", "EPROTO", "'parms'" },
	{ "{\"version\":1,\"id\":3,\"method\":\"who\",\"params\":[]}", "3", "EPROTO", "params" },
	{ "{\"version\":1,\"id\":3,\"method\":\"who\",\"params\":{\"a\":1}}", "3", "EINVAL", "'a'" },
	{ "{\"version\":1,\"id\":3,\"method\":\"echo\"}", "3", "EINVAL", "'name'" },
	{ ECHO("{}"), "3", "EINVAL", "'name'" },
	{ ECHO("{\"name\":1}"), "3", "EINVAL", "'name' of echo must be a string" },
	{ ECHO("{\"name\":null}"), "3", "EINVAL", "'name'" },
	{ ECHO("{\"name\":\"x\",\"size\":1}"), "3", "EINVAL", "'size'; there are name, n, on" },
	{ ECHO("{\"name\":\"x\",\"n\":\"1\"}"), "3", "EINVAL", "'n' of echo must be a whole number" },
	{ ECHO("{\"name\":\"x\",\"n\":1.0}"), "3", "EINVAL", "'n'" },
	{ ECHO("{\"name\":\"x\",\"on\":1}"), "3", "EINVAL", "'on' of echo must be true or false" },
	{ ECHO("{\"name\":\"x\",\"macs\":\"a\"}"), "3", "EINVAL", "'macs' of echo must be a list" },
	{ ECHO("{\"name\":\"x\",\"macs\":[\"a\",1]}"), "3", "EINVAL", "list of strings" },
	{ ECHO("{\"name\":\"x\",\"cpus\":[true]}"), "3", "EINVAL", "list of whole numbers" },
	{ ECHO("{\"name\":\"x\",\"changes\":[[]]}"), "3", "EINVAL", "list of objects" },
	{ ECHO("{\"name\":\"a\\u0000b\"}"), "null", "EPROTO", "not JSON" },
	{ ECHO("{\"name\":\"\xff\xfe\"}"), "null", "EPROTO", "not JSON" },
};

static void test_bad_messages(int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *r = rig_ask(fd, bad[i].text);
		bool good = !strcmp(at(r, "id"), bad[i].id) &&
			    !strcmp(at(r, "error.code"), bad[i].code) &&
			    strstr(at(r, "error.message"), bad[i].words);

		if (!ok(good, "refused: %s", bad[i].text))
			diag("id %s, %s: %s", at(r, "id"), at(r, "error.code"),
			     at(r, "error.message"));
		json_decref(r);
	}
}

/* @n times @c between @head and @tail; for free(). */
static char *repeat(const char *head, char c, size_t n, const char *tail)
{
	char *text = NULL;

	if (asprintf(&text, "%s%*s%s", head, (int)n, "", tail) < 0)
		abort();
	memset(text + strlen(head), c, n);
	return text;
}

static void test_sizes(int fd)
{
	const char *head = "{\"version\":1,\"id\":4,\"method\":\"who\"";
	char *text;
	json_t *r;

	text = repeat("", '[', 200000, "");
	r = rig_ask(fd, text);
	is_str(at(r, "error.code"), "EPROTO", "200,000 brackets: %s", at(r, "error.message"));
	json_decref(r);
	free(text);

	text = repeat("{\"version\":1,\"id\":4,\"method\":\"who\",\"params\":{\"", 'k', 200000,
		      "\":1}}");
	r = rig_ask(fd, text);
	is_str(at(r, "error.code"), "EINVAL", "a key of 200,000 letters: %s",
	       at(r, "error.message"));
	json_decref(r);
	free(text);

	text = repeat(head, ' ', MESSAGE_MAX - strlen(head) - 1, "}");
	is_int(strlen(text), MESSAGE_MAX, "a message of the greatest size");
	r = rig_ask(fd, text);
	is_str(at(r, "id"), "4", "is answered");
	json_decref(r);
	free(text);

	text = repeat(head, ' ', MESSAGE_MAX - strlen(head), "}");
	r = rig_ask(fd, text);
	is_str(at(r, "error.code"), "EMSGSIZE", "one byte more is refused: %s",
	       at(r, "error.message"));
	json_decref(r);
	free(text);

	/* A quoted word is cut in the middle of a letter; the sentence stays UTF-8. */
	r = rig_ask(fd, "{\"version\":1,\"id\":4,\"method\":\"123456789012345678901234567890"
		    "123456789\xc3\xa4\"}");
	is_str(at(r, "error.code"), "EOPNOTSUPP", "a word that is cut within a letter: %s",
	       at(r, "error.message"));
	json_decref(r);
}

static void test_empty(void)
{
	int fd = rig_connect();
	char c;

	rig_send(fd, "", 0, &fd, 1);
	ok(rig_until_readable(fd) && !recv(fd, &c, 1, MSG_DONTWAIT),
	   "an empty message ends the connection");
	close(fd);
}

/* Reads a reply in parts; the text of all for free(). */
static char *recv_parts(int fd, int *n)
{
	char *text = calloc(1, 1), *joined;
	bool more = true;

	for (*n = 0; more; ++*n) {
		json_t *r = rig_recv(fd);
		const char *part = json_string_value(json_object_get(r, "part"));

		if (!part) {
			json_decref(r);
			break;
		}
		if (asprintf(&joined, "%s%s", text, part) < 0)
			break;
		free(text);
		text = joined;
		more = json_is_true(json_object_get(r, "more"));
		json_decref(r);
	}
	return text;
}

static void test_parts(int fd)
{
	const char *big = "{\"version\":1,\"id\":6,\"method\":\"big\",\"params\":{\"n\":500000}}";
	char *text;
	json_t *r;
	int n;

	r = rig_ask(fd, "{\"version\":1,\"id\":5,\"method\":\"big\",\"params\":{\"n\":30000}}");
	is_int(json_string_length(json_object_get(json_object_get(r, "result"), "text")), 30000,
	       "a reply of 60 KiB is one message");
	json_decref(r);

	rig_send(fd, big, strlen(big), NULL, 0);
	text = recv_parts(fd, &n);
	r = json_loads(text, 0, NULL);
	ok(n > 30 && json_string_length(json_object_get(json_object_get(r, "result"), "text")) ==
	   500000, "a reply of 1 MB comes in parts, %d of them", n);
	json_decref(r);
	free(text);
}

/* ---- descriptors -------------------------------------------------------- */

static void test_fds(int fd)
{
	const char *give = "{\"version\":1,\"id\":1,\"method\":\"give\"}";
	const char *take = "{\"version\":1,\"id\":1,\"method\":\"take\"}";
	int fds[2], many[17], passed = -1, before;
	char buf[32];
	json_t *r;

	r = rig_ask(fd, "{\"version\":1,\"id\":1,\"method\":\"who\"}");
	json_decref(r);
	before = unit_fds();
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = fds[1];

	rig_send(fd, take, strlen(take), many, 16);
	r = rig_recv(fd);
	is_str(at(r, "result.fds"), "16", "16 descriptors go with a request");
	is_int(read(fds[0], buf, sizeof(buf)), 16, "and work");
	json_decref(r);

	rig_send(fd, take, strlen(take), many, 17);
	r = rig_recv(fd);
	is_str(at(r, "error.code"), "EINVAL", "17 do not: %s", at(r, "error.message"));
	json_decref(r);

	rig_send(fd, "rubbish", 7, many, 5);
	r = rig_recv(fd);
	is_str(at(r, "error.code"), "EPROTO", "descriptors with a message that is no request");
	json_decref(r);
	close(fds[0]);
	close(fds[1]);
	is_int(unit_fds(), before, "none of them stays open");

	rig_send(fd, give, strlen(give), NULL, 0);
	r = rig_recv_fd(fd, &passed);
	ok(passed >= 0 && write(rig.pipe[1], "y", 1) == 1 && read(passed, buf, 1) == 1,
	   "a descriptor comes with a reply and works");
	json_decref(r);
	if (passed >= 0)
		close(passed);
	is_int(unit_fds(), before, "the server keeps no copy");
}

/* ---- later answers ------------------------------------------------------ */

static void test_deferred(void)
{
	int fd = rig_connect(), answered = 0;
	json_t *r;

	rig.n_held = rig.n_gone = 0;
	rig_send_later(fd, 1);
	rig_send_later(fd, 2);
	rig_idle();
	is_int(rig.n_held, 2, "requests wait with their handler");
	request_reply(rig.held[1], json_object());
	request_fail(rig.held[0], -EBUSY);
	r = rig_recv(fd);
	is_str(at(r, "id"), "2", "answers come in any order");
	json_decref(r);
	r = rig_recv(fd);
	is_str(at(r, "error.message"), strerror(EBUSY), "without a sentence it is the system's");
	json_decref(r);

	rig.n_held = 0;
	for (int i = 0; i < 40; i++)
		rig_send_later(fd, i);
	rig_idle();
	is_int(rig.n_held, 16, "with 16 unanswered a client is not read");
	for (int i = 0; i < rig.n_held; i++) {
		request_reply(rig.held[i], json_object());
		rig_idle();
	}
	is_int(rig.n_held, 40, "answers let the rest in");
	while ((r = recv(fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? rig_recv(fd) : NULL)) {
		answered++;
		json_decref(r);
	}
	is_int(answered, 40, "all 40 are answered");

	rig.n_held = 0;
	rig_send_later(fd, 1);
	rig_idle();
	close(fd);
	rig_idle();
	is_int(rig.n_gone, 1, "R-18 the service learns that a client has left");
	is_int(rig.gone[0], rig.held[0]->client_id, "and which");
	request_reply_fd(rig.held[0], json_object(), rig.pipe[0]);
	ok(true, "the answer to a client that left goes nowhere");

	rig.n_gone = 0;
	fd = rig_connect();
	rig_idle();
	close(fd);
	rig_idle();
	is_int(rig.n_gone, 0, "a client that asked nothing leaves unseen");
}

/* ---- monitors and slow readers ------------------------------------------ */

static void test_monitor(int other)
{
	const char *ask = "{\"version\":1,\"id\":1,\"method\":\"monitor\"}";
	int fd = rig_connect(), slow = rig_connect(), dropped = -1;
	json_t *r;

	json_decref(rig_ask(slow, ask));
	r = rig_ask(fd, ask);
	ok(json_is_object(json_object_get(r, "result")), "monitor is answered");
	json_decref(r);
	rig_announce(1);
	r = rig_recv(fd);
	is_str(at(r, "event"), "queue-state", "an event reaches who called monitor");
	is_str(at(r, "version"), "1", "with the version");
	json_decref(r);
	r = rig_ask(fd, "{\"version\":1,\"id\":2,\"method\":\"who\"}");
	is_str(at(r, "id"), "2", "who can still call methods");
	json_decref(r);
	ok(recv(other, &(char){ 0 }, 1, MSG_DONTWAIT) < 0, "others get no events");

	rig.n_gone = 0;
	for (int i = 2; i < 200000 && dropped < 0; i++) {
		rig_announce(i);
		r = rig_recv(fd);
		if (json_integer_value(json_object_get(r, "queue")) != i)
			dropped = -2;
		json_decref(r);
		rig_idle();
		if (rig.n_gone)
			dropped = i;
	}
	ok(dropped > 1000, "a monitor that reads nothing is dropped, after %d events", dropped);
	rig_announce(7);
	r = rig_recv(fd);
	is_str(at(r, "queue"), "7", "one that reads misses nothing");
	json_decref(r);
	close(slow);
	close(fd);
	rig_idle();
}

static void test_slow_reader(int other)
{
	const char *big = "{\"version\":1,\"id\":1,\"method\":\"big\",\"params\":{\"n\":300000}}";
	int fd = rig_connect(), calls = rig.calls, n;
	char *text;
	json_t *r;

	for (int i = 0; i < 20; i++)
		rig_send(fd, big, strlen(big), NULL, 0);
	rig_idle();
	is_int(rig.calls - calls, 1, "who does not read its reply is not read either");
	r = rig_ask(other, "{\"version\":1,\"id\":2,\"method\":\"who\"}");
	is_str(at(r, "id"), "2", "others are served meanwhile");
	json_decref(r);
	for (int i = 0; i < 20; i++) {
		text = recv_parts(fd, &n);
		free(text);
	}
	is_int(rig.calls - calls, 20, "when it reads it gets all it asked for");
	rig_send_later(fd, 1);
	close(fd);
	rig_idle();
}

/* ---- requests in a memfd ------------------------------------------------- */

/* A request of @text in a memfd, said to have @len bytes. */
static json_t *ask_memfd(int fd, const char *text, long long len)
{
	int m = memfd_create("request", MFD_CLOEXEC);
	char message[128];
	json_t *r;

	snprintf(message, sizeof(message), "{\"version\":1,\"id\":8,\"memfd\":%lld}", len);
	if (write(m, text, strlen(text)) < 0)
		diag("cannot write to a memfd");
	rig_send(fd, message, strlen(message), &m, 1);
	close(m);
	r = rig_recv(fd);
	return r;
}

static void test_memfd(void)
{
	static const char who[] = "{\"version\":1,\"id\":9,\"method\":\"who\"}";
	static const char envelope[] = "{\"version\":1,\"id\":8,\"memfd\":46}";
	static const char both[] = "{\"version\":1,\"id\":8,\"memfd\":9,\"method\":\"who\"}";
	static const struct {
		const char *text;
		long long len;
		const char *id, *code, *title;
	} tests[] = {
		{ who, sizeof(who) - 1, "9", "", "a request in a memfd is answered" },
		{ who, sizeof(who), "8", "EPROTO", "a memfd that is shorter than said" },
		{ who, sizeof(who) - 2, "null", "EPROTO", "a memfd that is longer than said" },
		{ who, 0, "8", "EPROTO", "a memfd of no length" },
		{ who, -1, "8", "EPROTO", "a memfd of a negative length" },
		{ who, REQUEST_MAX + 1, "8", "EMSGSIZE", "a memfd that is too long" },
		{ envelope, sizeof(envelope) - 1, "8", "EPROTO", "a memfd in a memfd" },
		{ "[", 1, "null", "EPROTO", "no JSON in a memfd" },
	};
	int fd = rig_connect(), before, p[2];
	char *text;
	json_t *r;

	json_decref(rig_ask(fd, who));
	before = unit_fds();
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		r = ask_memfd(fd, tests[i].text, tests[i].len);
		ok(!strcmp(at(r, "id"), tests[i].id) && !strcmp(at(r, "error.code"), tests[i].code),
		   "%s: %s", tests[i].title, at(r, "error.message"));
		json_decref(r);
	}
	text = repeat("{\"version\":1,\"id\":9,\"method\":\"who\"", ' ', REQUEST_MAX - 100, "}");
	r = ask_memfd(fd, text, (long long)strlen(text));
	is_str(at(r, "id"), "9", "16 MiB are read");
	json_decref(r);
	free(text);

	r = rig_ask(fd, envelope);
	is_str(at(r, "error.code"), "EPROTO", "without a memfd: %s", at(r, "error.message"));
	json_decref(r);
	r = rig_ask(fd, both);
	is_str(at(r, "error.code"), "EPROTO", "with a method beside it: %s", at(r, "error.message"));
	json_decref(r);
	if (pipe2(p, O_CLOEXEC))
		return;
	rig_send(fd, envelope, strlen(envelope), p, 1);
	r = rig_recv(fd);
	is_str(at(r, "error.code"), "EPROTO", "a pipe is not waited for: %s", at(r, "error.message"));
	json_decref(r);
	close(p[0]);
	close(p[1]);
	rig_idle();
	is_int(unit_fds(), before, "no descriptor is left behind");
	close(fd);
	rig_idle();
}

/* ---- the end ------------------------------------------------------------ */

static void test_close(void)
{
	int fd = rig_connect();
	struct stat st;

	rig_idle();	/* those before us are gone */
	rig.n_held = rig.n_gone = 0;
	rig_send_later(fd, 1);
	rig_idle();
	server_close(rig.server);
	rig.server = NULL;
	is_int(recv(fd, &(char){ 0 }, 1, 0), 0, "closing ends the connections");
	is_int(rig.n_gone, 0, "without telling the service, which does it");
	request_reply(rig.held[0], json_object());
	ok(true, "a request that is still held can be answered");
	ok(stat(rig.path, &st) && errno == ENOENT, "and the socket is gone");
	close(fd);
}

int main(void)
{
	int fd, before = unit_fds();

	rig_start();
	test_open();
	fd = rig_connect();
	test_requests(fd);
	test_bad_messages(fd);
	test_sizes(fd);
	test_empty();
	test_parts(fd);
	test_fds(fd);
	test_deferred();
	test_monitor(fd);
	test_slow_reader(fd);
	ok(rig_alive(fd), "the first client is served as on the first day");
	close(fd);
	rig_idle();
	test_memfd();
	test_close();
	rig_stop();
	is_int(unit_fds(), before, "no descriptor is left open");
	return unit_done();
}
