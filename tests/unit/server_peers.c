// SPDX-License-Identifier: GPL-2.0-only
/*
 * server_peers.c - the control socket's peers: many of them, silent ones, and who may what
 *
 * What they say to it is in server.c.
 */
#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "server_rig.h"

/* ---- many and silent peers ---------------------------------------------- */

/* A child with @n silent connections; *@hold ends it when closed. */
static pid_t fork_silent(int n, int *hold)
{
	int go[2], ready[2];
	char c;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) || pipe2(ready, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		struct rlimit lim;

		close(go[1]);
		getrlimit(RLIMIT_NOFILE, &lim);
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
		for (int i = 0; i < n; i++)
			if (rig_connect() < 0)
				_exit(1);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(go[0], &c, 1) != 0);
	}
	close(go[0]);
	close(ready[1]);
	*hold = go[1];
	if (!rig_until_readable(ready[0]) || read(ready[0], &c, 1) != 1)
		diag("the child could not make its connections");
	close(ready[0]);
	return pid;
}

static void test_thousand(void)
{
	int owner = rig_connect(), monitor = rig_connect(), waiting = rig_connect();
	int early = rig_connect(), late, hold;
	json_t *r;
	pid_t pid;

	rig.n_held = 0;
	json_decref(rig_ask(owner, "{\"version\":1,\"id\":1,\"method\":\"change\","
				   "\"params\":{\"name\":\"q\"}}"));
	json_decref(rig_ask(monitor, "{\"version\":1,\"id\":1,\"method\":\"monitor\"}"));
	rig_send_later(waiting, 5);
	rig_idle();

	pid = fork_silent(1000, &hold);
	rig_idle();
	late = rig_connect();
	ok(rig_alive(late), "1,000 connections that say nothing keep nobody out");
	ok(recv(early, &(char){ 0 }, 1, MSG_DONTWAIT) == 0, "the longest silent one made room");
	ok(rig_alive(owner), "not one that has changed something");
	rig_announce(3);
	r = rig_recv(monitor);
	is_str(at(r, "queue"), "3", "not a monitor");
	json_decref(r);
	request_reply(rig.held[0], json_object());
	r = rig_recv(waiting);
	is_str(at(r, "id"), "5", "not one that waits for an answer");
	json_decref(r);
	close(hold);
	is_int(rig_until_exit(pid), 0, "they leave");
	rig_idle();
	close(owner);
	close(monitor);
	close(waiting);
	close(early);
	close(late);
	rig_idle();
}

static void test_unread_is_not_silent(void)
{
	const char *who = "{\"version\":1,\"id\":1,\"method\":\"who\"}";
	int fds[CLIENTS_MAX], late, answered = 0;

	for (int i = 0; i < CLIENTS_MAX; i++)
		fds[i] = rig_connect();
	rig_idle();
	/* More requests than one turn reads are there when the newcomer is let in. */
	late = rig_connect();
	for (int i = 0; i < CLIENTS_MAX; i++)
		rig_send(fds[i], who, strlen(who), NULL, 0);
	for (int i = 0; i < CLIENTS_MAX; i++) {
		json_t *r = rig_recv(fds[i]);

		answered += !strcmp(at(r, "id"), "1");
		json_decref(r);
	}
	is_int(answered, CLIENTS_MAX, "who has sent a request is answered, not closed");
	close(late);
	for (int i = 0; i < CLIENTS_MAX; i++)
		close(fds[i]);
	rig_idle();
}

static void test_full(void)
{
	int fds[CLIENTS_MAX], root[CLIENTS_ROOT], late;
	json_t *r;

	if (chmod(rig.path, 0666) || chmod(rig.dir, 0755) || seteuid(1000))
		diag("cannot be another user: %s", strerror(errno));
	for (int i = 0; i < CLIENTS_MAX; i++) {
		fds[i] = rig_connect();
		json_decref(rig_ask(fds[i], "{\"version\":1,\"id\":1,\"method\":\"monitor\"}"));
	}
	late = rig_connect();
	r = rig_recv(late);
	is_str(at(r, "error.code"), "EAGAIN", "with %d monitors of users the next is told: %s",
	       CLIENTS_MAX, at(r, "error.message"));
	json_decref(r);
	close(late);
	if (seteuid(0))
		diag("cannot be root again");
	if (chmod(rig.path, 0660))
		diag("cannot close the socket again");
	for (int i = 0; i < CLIENTS_ROOT; i++) {
		root[i] = rig_connect();
		json_decref(rig_ask(root[i], "{\"version\":1,\"id\":1,\"method\":\"monitor\"}"));
	}
	ok(rig_alive(root[0]) && rig_alive(root[CLIENTS_ROOT - 1]), "root still gets in");
	late = rig_connect();
	r = rig_recv(late);
	is_str(at(r, "error.code"), "EAGAIN", "%d times", CLIENTS_ROOT);
	json_decref(r);
	ok(rig_alive(fds[0]), "and no monitor is closed");
	close(late);
	for (int i = 0; i < CLIENTS_ROOT; i++)
		close(root[i]);
	for (int i = 0; i < CLIENTS_MAX; i++)
		close(fds[i]);
	rig_idle();
	late = rig_connect();
	ok(rig_alive(late), "when they have left there is room");
	close(late);
	rig_idle();
}

/* Descriptors run out: peers are turned away, the loop does not spin. */
static void test_no_fds(void)
{
	struct pollfd p = { .fd = server_fd(rig.server), .events = POLLIN };
	int keep = rig_connect(), hold, turns = 0;
	struct rlimit old, low;
	pid_t pid;

	json_decref(rig_ask(keep, "{\"version\":1,\"id\":1,\"method\":\"monitor\"}"));
	getrlimit(RLIMIT_NOFILE, &old);
	pid = fork_silent(0, &hold);
	low = old;
	low.rlim_cur = (rlim_t)dup(0);	/* the next descriptor is beyond the limit */
	close((int)low.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &low);
	close(hold);
	rig_until_exit(pid);

	pid = fork();
	if (!pid) {
		struct rlimit lim = old;
		int fd;

		setrlimit(RLIMIT_NOFILE, &lim);
		fd = rig_connect();
		/* closed, or told */
		_exit(fd >= 0 && recv(fd, &(char){ 0 }, 1, 0) >= 0 ? 0 : 1);
	}
	is_int(rig_until_exit(pid), 0, "without a descriptor left a peer is turned away");
	while (poll(&p, 1, 0) > 0 && turns < 100) {
		server_dispatch(rig.server);
		turns++;
	}
	ok(turns < 100, "and the server comes to rest");
	setrlimit(RLIMIT_NOFILE, &old);
	ok(rig_alive(keep), "others go on");
	close(keep);
	rig_idle();
}

/* ---- who may what ------------------------------------------------------- */

/* Runs the peer's part as uid 65534. Return: what *@part returned. */
static int as_nobody(gid_t gid, gid_t also, int (*part)(void))
{
	pid_t pid = fork();

	if (!pid) {
		if (setgroups(also ? 1 : 0, &also) || setgid(gid) || setuid(65534))
			_exit(99);
		_exit(part());
	}
	return rig_until_exit(pid);
}

static int child_ask(int fd, const char *text)
{
	char buf[4096] = "";

	if (send(fd, text, strlen(text), 0) < 0 || recv(fd, buf, sizeof(buf) - 1, 0) <= 0)
		return 90;
	return strstr(buf, "EACCES") ? 1 : strstr(buf, "\"result\"") ? 0 : 91;
}

static int part_connect(void)
{
	int fd = rig_connect();

	return fd == -EACCES ? 1 : fd < 0 ? 2 : 0;
}

static int part_read(void)
{
	return child_ask(rig_connect(), "{\"version\":1,\"id\":1,\"method\":\"who\"}");
}

static int part_change(void)
{
	return child_ask(rig_connect(), "{\"version\":1,\"id\":1,\"method\":\"change\","
					"\"params\":{\"name\":\"q\"}}");
}

static int part_memfd(void)
{
	static const char text[] = "{\"version\":1,\"id\":1,\"memfd\":2}";
	int fd = rig_connect(), m = memfd_create("request", MFD_CLOEXEC);
	char buf[4096] = "";

	if (write(m, "{}", 2) != 2 || rig_send(fd, text, strlen(text), &m, 1) < 0 ||
	    recv(fd, buf, sizeof(buf) - 1, 0) <= 0)
		return 90;
	return strstr(buf, "EACCES") ? 1 : 0;
}

static void test_permissions(void)
{
	if (geteuid()) {
		skip("not root", "peers with other uids");
		return;
	}
	is_int(as_nobody(65534, 0, part_connect), 1, "R-19 a stranger cannot connect");
	if (chmod(rig.path, 0666) || chown(rig.path, 0, 65533))
		return;
	is_int(as_nobody(65534, 0, part_read), 0, "with mode 0666 it can, and read");
	is_int(as_nobody(65534, 0, part_change), 1, "R-19 but change nothing");
	is_int(as_nobody(65534, 0, part_memfd), 1, "nor have a memfd read");
	if (chmod(rig.path, 0660))
		return;
	is_int(as_nobody(65533, 0, part_change), 0, "the socket's group may change things");
	is_int(as_nobody(65534, 65533, part_change), 0, "so may its supplementary members");
	if (chown(rig.path, 0, 0))
		return;
	is_int(as_nobody(65533, 0, part_connect), 1, "who is in it no longer may not");
}

int main(void)
{
	int before = unit_fds();

	rig_start();
	test_thousand();
	test_unread_is_not_silent();
	test_full();
	test_no_fds();
	test_permissions();
	rig_stop();
	is_int(unit_fds(), before, "no descriptor is left open");
	return unit_done();
}
