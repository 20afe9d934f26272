// SPDX-License-Identifier: GPL-2.0-only
/*
 * libvmq.c - the public API against a server in a child process
 *
 * The child runs the rig's server; the "later" method answers when the next
 * request comes in, and each "echo" announces an event first.
 */
#include "server_rig.h"
#include "vmq/vmq.h"

static pid_t child;

static void announce(void)
{
	json_t *event = json_pack("{s:s, s:i}", "event", "queue-state", "queue", rig.calls);

	server_event(rig.server, event);
	json_decref(event);
}

/* Until a byte comes, or the end, on @stop. */
static void serve(int stop)
{
	struct pollfd p[2] = {
		{ .fd = server_fd(rig.server), .events = POLLIN }, { .fd = stop, .events = POLLIN },
	};
	int calls = 0;

	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		server_dispatch(rig.server);
		while (calls < rig.calls) {
			announce();
			calls++;
		}
	}
}

/* A service NAME in the rig's directory. Return: what ends it when closed. */
static int start(const char *name)
{
	struct vmq_err err = VMQ_ERR_INIT;
	int stop[2];

	if (pipe2(stop, O_CLOEXEC))
		return -1;
	snprintf(rig.path, sizeof(rig.path), "%s/%s.sock", rig.dir, name);
	if (server_open(&rig.server, rig.path, rig_methods, NULL, NULL, &err)) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	fflush(stdout);
	rig.answer_held = true;
	child = fork();
	if (!child) {
		close(stop[1]);
		serve(stop[0]);
		_exit(0);
	}
	close(stop[0]);
	return stop[1];
}

/* In the parent: our copy of the child's server goes, the socket file stays. */
static void forget_server(void)
{
	char aside[128];

	snprintf(aside, sizeof(aside), "%s.aside", rig.path);
	rename(rig.path, aside);
	server_close(rig.server);
	rename(aside, rig.path);
}

static void test_open(void)
{
	int one, two;
	pid_t first;
	struct vmq *v;

	is_int(vmq_open(&v, rig.dir, NULL), -ENOENT, "no service: %s", vmq_error(v));
	vmq_close(v);
	is_int(vmq_open(&v, "/nowhere", NULL), -ENOENT, "no directory: %s", vmq_error(v));
	is_int(vmq_call(v, "who", NULL, NULL), -ENOTCONN, "a call is refused: %s", vmq_error(v));
	vmq_close(v);

	one = start("eth0");
	first = child;
	forget_server();
	is_int(vmq_open(&v, rig.dir, NULL), 0, "the only service needs no name");
	is_str(vmq_name(v), "eth0", "its name is known");
	vmq_close(v);
	is_int(vmq_open(&v, rig.dir, "eth9"), -ENOENT, "another name: %s", vmq_error(v));
	ok(strstr(vmq_error(v), "there is eth0"), "the sentence names what there is");
	vmq_close(v);
	is_int(vmq_open(&v, rig.dir, "../x"), -EINVAL, "a path is no name: %s", vmq_error(v));
	vmq_close(v);

	two = start("eth1");
	forget_server();
	is_int(vmq_open(&v, rig.dir, NULL), -EINVAL, "two services: %s", vmq_error(v));
	ok(strstr(vmq_error(v), "eth0, eth1"), "the sentence names both");
	is_int(vmq_call(v, "who", NULL, NULL), -ENOTCONN, "and none is talked to");
	vmq_close(v);
	is_int(vmq_open(&v, rig.dir, "eth1"), 0, "one is chosen by name");
	vmq_close(v);

	close(two);
	waitpid(child, NULL, 0);
	is_int(vmq_open(&v, rig.dir, "eth1"), -ECONNREFUSED, "a dead one: %s", vmq_error(v));
	vmq_close(v);
	is_int(vmq_open(&v, rig.dir, NULL), 0, "a dead one does not count");
	is_str(vmq_name(v), "eth0", "the other is taken");
	is_str(vmq_error(v), "", "without a word");
	vmq_close(v);
	close(one);
	waitpid(first, NULL, 0);
	is_int(vmq_open(&v, rig.dir, NULL), -ENOENT, "both dead: %s", vmq_error(v));
	vmq_close(v);
	unlink(rig.path);
	snprintf(rig.path, sizeof(rig.path), "%s/eth0.sock", rig.dir);
	unlink(rig.path);
}

static void test_call(struct vmq *v)
{
	char *result = NULL, *big;
	int fds[2], fd = -1;
	json_t *r;
	char c;

	is_int(vmq_call(v, "echo", "{\"name\":\"x\", \"n\":5}", &result), 0, "a method is called");
	is_str(result, "{\"name\":\"x\",\"n\":5}", "its result comes as text");
	free(result);
	result = NULL;
	is_int(vmq_call(v, "fail", "{\"name\":\"y\"}", &result), -ENOENT, "an error has its errno");
	is_str(vmq_error(v), "there is no queue y", "and its sentence");
	ok(!result, "and no result");
	is_int(vmq_call(v, "echo", "{", NULL), -EINVAL, "bad JSON: %s", vmq_error(v));
	is_int(vmq_call(v, "echo", "[]", NULL), -EINVAL, "no object: %s", vmq_error(v));
	is_int(vmq_call(v, "echo", NULL, NULL), -EINVAL, "what the service says: %s", vmq_error(v));
	is_int(vmq_call(v, "echo", "{\"name\":\"z\"}", NULL), 0, "then a good call");
	is_str(vmq_error(v), "", "leaves no error");

	big = malloc(REQUEST_MAX + 32);
	sprintf(big, "{\"name\":\"%0*d\"}", REQUEST_MAX, 0);
	is_int(vmq_call(v, "echo", big, NULL), -EMSGSIZE, "too long: %s", vmq_error(v));
	sprintf(big, "{\"name\":\"%0*d\"}", MESSAGE_MAX - 100, 0);
	is_int(vmq_call(v, "echo", big, &result), 0, "256 KiB go through and come back");
	is_int(strlen(result), strlen(big), "all of it");
	free(result);
	sprintf(big, "{\"name\":\"%0*d\"}", 4 * MESSAGE_MAX, 0);
	is_int(vmq_call(v, "echo", big, &result), 0, "1 MiB goes in a memfd and comes back");
	is_int(strlen(result), strlen(big), "all of it");
	free(result);
	sprintf(big, "{\"x\":\"%0*d\"}", 2 * MESSAGE_MAX, 0);
	is_int(vmq_call(v, "take", big, &result), -EINVAL, "its errors come as always: %s",
	       vmq_error(v));
	free(big);
	is_int(vmq_call(v, "big", "{\"n\":3000000}", &result), 0, "a long result comes in parts");
	r = json_loads(result, 0, NULL);
	is_int(json_string_length(json_object_get(r, "text")), 3000000, "all of it");
	json_decref(r);
	free(result);

	if (pipe2(fds, O_CLOEXEC))
		return;
	is_int(vmq_call_fds(v, "take", NULL, (int[]){ fds[1], fds[1] }, 2, &result, &fd), 0,
	       "descriptors go with a call");
	is_str(result, "{\"fds\":2,\"written\":2}", "they arrive");
	is_int(fd, -1, "none comes back");
	free(result);
	is_int(vmq_call_fds(v, "give", NULL, NULL, 0, NULL, &fd), 0, "one comes back");
	ok(fd >= 0 && write(rig.pipe[1], "y", 1) == 1 && read(fd, &c, 1) == 1, "and works");
	close(fd);
	is_int(vmq_call(v, "give", NULL, NULL), 0, "one that nobody wants is closed");
	is_int(vmq_call_fds(v, "take", NULL, NULL, 17, NULL, NULL), -EINVAL, "17: %s",
	       vmq_error(v));
	close(fds[0]);
	close(fds[1]);
}

static void test_timeout(struct vmq *v)
{
	char *result;

	vmq_set_timeout(v, 50);
	is_int(vmq_call(v, "later", NULL, NULL), -ETIMEDOUT, "no answer: %s", vmq_error(v));
	vmq_set_timeout(v, 5000);
	is_int(vmq_call(v, "echo", "{\"name\":\"a\"}", &result), 0, "the connection still works");
	is_str(result, "{\"name\":\"a\"}", "and the late answer is not taken for this one's");
	free(result);
}

static void test_events(struct vmq *v)
{
	char *event = NULL;

	is_int(vmq_next_event(v, 0, &event), 0, "no events before monitor");
	is_int(vmq_monitor(v), 0, "monitor");
	is_int(vmq_next_event(v, 20, &event), 0, "none has happened: a timeout");
	is_int(vmq_call(v, "echo", "{\"name\":\"a\"}", NULL), 0, "a call makes one happen");
	is_int(vmq_call(v, "echo", "{\"name\":\"a\"}", NULL), 0, "another call passes it by");
	is_int(vmq_next_event(v, 5000, &event), 1, "the event is kept");
	ok(strstr(event, "\"event\":\"queue-state\"") && strstr(event, "\"version\":1"),
	   "as it came: %s", event);
	free(event);
	is_int(vmq_next_event(v, 5000, &event), 1, "and the next");
	free(event);

	for (int i = 0; i < 5000; i++)
		vmq_call(v, "echo", "{\"name\":\"a\"}", NULL);
	is_int(vmq_next_event(v, 0, &event), -EOVERFLOW, "5,000 that nobody takes: %s",
	       vmq_error(v));
	is_int(vmq_next_event(v, 0, &event), 1, "then it goes on");
	free(event);
}

int main(void)
{
	int before = unit_fds(), stop;
	struct vmq *v;
	char *event;

	snprintf(rig.dir, sizeof(rig.dir), "/tmp/vmq-libvmq-XXXXXX");
	if (!mkdtemp(rig.dir) || pipe2(rig.pipe, O_CLOEXEC))
		return 1;
	is_str(vmq_error(NULL), "out of memory", "the error of no handle");
	vmq_close(NULL);
	test_open();

	stop = start("eth0");
	forget_server();
	is_int(vmq_open(&v, rig.dir, "eth0"), 0, "connected");
	test_call(v);
	test_timeout(v);
	test_events(v);
	close(stop);
	waitpid(child, NULL, 0);
	is_int(vmq_call(v, "who", NULL, NULL), -ECONNRESET, "the service ends: %s", vmq_error(v));
	while (vmq_next_event(v, 0, &event) == 1)
		free(event);
	is_int(vmq_next_event(v, 1000, &event), -ECONNRESET, "no more events either: %s",
	       vmq_error(v));
	vmq_close(v);

	unlink(rig.path);
	rmdir(rig.dir);
	close(rig.pipe[0]);
	close(rig.pipe[1]);
	is_int(unit_fds(), before, "no descriptor is left open");
	return unit_done();
}
