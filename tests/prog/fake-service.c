// SPDX-License-Identifier: GPL-2.0-only
/*
 * fake-service.c - the control socket with canned answers, to test vmqctl
 *
 *	fake-service DIR/NAME.sock ANSWERS.json
 *
 * The real server with every method of the protocol. A method that ANSWERS has
 * is answered with that; one that changes things gives back what it was asked,
 * {"method":…, "params":…}; a queue named like an errno ("ENOBUFS") fails with
 * it. After `monitor` come the events of ANSWERS' "events". Runs until SIGTERM.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include "control/server.h"

static struct server *server;
static json_t *answers;
static bool announce;

static void answer(void *service, struct request *r)
{
	const char *name = json_string_value(json_object_get(r->params, "name"));
	json_t *canned = json_object_get(answers, r->method->name);
	int code;

	(void)service;
	if (!name)
		name = json_string_value(json_object_get(r->params, "queue"));
	code = name && name[0] == 'E' ? vmq_err_from_name(name) : 0;
	if (code)
		request_fail(r, vmq_err(&r->err, code, "this is %s \033[31m", name));
	else if (canned)
		request_reply(r, json_deep_copy(canned));
	else
		request_reply(r, json_pack("{s:s, s:O}", "method", r->method->name, "params",
					   r->params));
}

static void monitor(void *service, struct request *r)
{
	(void)service;
	server_monitor(server, r);
	announce = true;
}

#define S(n) { .name = n, .type = PARAM_STRING }
#define I(n) { .name = n, .type = PARAM_INT }
#define B(n) { .name = n, .type = PARAM_BOOL }
#define A(n) { .name = n, .type = PARAM_STRINGS }
#define N(n) { .name = n, .type = PARAM_INTS }
#define END { .name = NULL }

static const struct param name_params[] = { S("name"), END };
static const struct param names_params[] = { A("names"), END };
static const struct param del_params[] = { S("name"), A("names"), END };
static const struct param queue_params[] = { S("queue"), END };
static const struct param add_params[] = {
	S("name"), A("macs"), S("vlan"), N("cpus"), I("pairs"),
	S("channel"), B("trust"), B("gro"), I("ring"), I("weight"), S("vm"), S("new_name"), END,
};
static const struct param drain_params[] = { S("name"), I("timeout_ms"), END };
static const struct param on_params[] = { B("on"), END };
static const struct param rss_params[] = {
	S("name"), B("on"), A("types"), S("key"), N("table"), N("spread"), I("entries"),
	I("default"), I("primary"), B("dynamic"), END,
};
static const struct param moves_params[] = { { .name = "moves", .type = PARAM_OBJECTS }, END };
static const struct param filter_params[] = { S("queue"), A("macs"), S("vlan"), END };
static const struct param id_params[] = { I("id"), S("queue"), END };
static const struct param apply_params[] = {
	{ .name = "changes", .type = PARAM_OBJECTS }, END,
};

static const struct method methods[] = {
	{ "show", answer, NULL, false, "" },
	{ "queue.list", answer, NULL, false, "" },
	{ "queue.show", answer, name_params, false, "" },
	{ "queue.add", answer, add_params, true, "" },
	{ "queue.alloc", answer, add_params, true, "" },
	{ "queue.complete", answer, names_params, true, "" },
	{ "queue.set", answer, add_params, true, "" },
	{ "queue.drain", answer, drain_params, true, "" },
	{ "queue.pause", answer, name_params, true, "" },
	{ "queue.resume", answer, name_params, true, "" },
	{ "queue.free", answer, name_params, true, "" },
	{ "queue.del", answer, del_params, true, "" },
	{ "rss.show", answer, name_params, false, "" },
	{ "rss.set", answer, rss_params, true, "" },
	{ "rss.move", answer, moves_params, true, "" },
	{ "rss.switch", answer, on_params, true, "" },
	{ "filter.list", answer, queue_params, false, "" },
	{ "filter.add", answer, filter_params, true, "" },
	{ "filter.del", answer, id_params, true, "" },
	{ "filter.move", answer, id_params, true, "" },
	{ "filter.apply", answer, apply_params, true, "" },
	{ "stats", answer, queue_params, false, "" },
	{ "monitor", monitor, NULL, false, "" },
	{ .name = NULL },
};

static void send_events(void)
{
	json_t *event;
	size_t i;

	announce = false;
	json_array_foreach(json_object_get(answers, "events"), i, event) {
		server_event(server, event);
	}
}

int main(int argc, char **argv)
{
	struct vmq_err err = VMQ_ERR_INIT;
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	sigset_t stop;

	if (argc != 3) {
		fprintf(stderr, "usage: fake-service SOCKET ANSWERS\n");
		return 2;
	}
	answers = json_load_file(argv[2], 0, NULL);
	if (!answers || server_open(&server, argv[1], methods, NULL, NULL, &err)) {
		fprintf(stderr, "fake-service: %s\n", answers ? err.text : "bad answers");
		json_decref(answers);
		return 1;
	}
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	p[0].fd = server_fd(server);
	p[1].fd = signalfd(-1, &stop, SFD_CLOEXEC);
	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		server_dispatch(server);
		if (announce)
			send_events();
	}
	server_close(server);
	json_decref(answers);
	return 0;
}
