// SPDX-License-Identifier: GPL-2.0-only
/*
 * queue.c - vmqctl queue: list, show, add, set, …
 *
 * Verbs print nothing when all went well, as ip(8) does; `queue drain` alone
 * has something to tell.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "vmqctl/out.h"
#include "vmqctl/queue.h"
#include "vmqctl/vmqctl.h"

/* ---- printing ----------------------------------------------------------- */

static const struct column queue_columns[] = {
	{ "ID", "id", true, false },
	{ "NAME", "name", false, false },
	{ "VM", "vm", false, false },
	{ "STATE", "state", false, false },
	{ "PHASE", "phase", false, false },
	{ "WAITS", "waits", false, false },
	{ "VLAN", "vlan", true, false },
	{ "MACS", "macs", false, true },
	{ "CPUS", "cpus", true, false },
	{ "PAIRS", "pairs", true, false },
	{ "FILTERS", "filters", true, false },
	{ "GUEST", "channel_state", false, false },
	{ "CHANNEL", "channel", false, true },
};

void queue_table(const json_t *queues)
{
	out_objects(queues, queue_columns, ARRAY_SIZE(queue_columns));
}

static const struct column pair_columns[] = {
	{ "PAIR", "pair", true, false },
	{ "CPU", "cpu", true, false },
	{ "DELIVERED", "delivered", true, false },
	{ "SWITCHED", "switched", true, false },
	{ "TX-FRAMES", "tx_frames", true, false },
	{ "RECEIVES", "receives", false, false },
};

static const struct column filter_columns[] = {
	{ "FILTER", "id", true, false },
	{ "MAC", "mac", false, false },
	{ "VLAN", "vlan", true, false },
	{ "OWNER", "owner", true, false },
};

static void print_queue(const json_t *queue)
{
	static const char *const skip[] = { "name", "pair_list", "filter_list", NULL };
	const json_t *pairs = json_object_get(queue, "pair_list");
	const json_t *filters = json_object_get(queue, "filter_list");
	char *name = out_text(json_object_get(queue, "name"));

	printf("Queue %s\n", name);
	free(name);
	out_fields(queue, skip);
	if (json_array_size(pairs)) {
		printf("\n");
		out_objects(pairs, pair_columns, ARRAY_SIZE(pair_columns));
	}
	if (json_array_size(filters)) {
		printf("\n");
		out_objects(filters, filter_columns, ARRAY_SIZE(filter_columns));
	}
}

/* ---- reading ------------------------------------------------------------ */

static int queue_list(struct ctl *c, int n, char **word)
{
	(void)n;
	(void)word;
	return ctl_show(c, "queue.list", json_object(), "queues", queue_table);
}

static int queue_show(struct ctl *c, int n, char **word)
{
	(void)n;
	return ctl_show(c, "queue.show", ctl_named(c, word[0]), "queue", print_queue);
}

/* ---- making and changing ------------------------------------------------ */

static const struct option_param queue_params[] = {
	{ OPTION(mac), "macs", put_list },
	{ OPTION(vlan), "vlan", put_string },
	{ OPTION(cpu), "cpus", put_cpus },
	{ OPTION(pairs), "pairs", put_number },
	{ OPTION(channel), "channel", put_string },
	{ OPTION(trust), "trust", put_on_off },
	{ OPTION(gro), "gro", put_on_off },
	{ OPTION(ring), "ring", put_number },
	{ OPTION(weight), "weight", put_number },
	{ OPTION(vm), "vm", put_string },
	{ OPTION(new_name), "new_name", put_string },
};

static json_t *with_options(struct ctl *c, const char *name)
{
	json_t *params = ctl_options(c, name, queue_params, ARRAY_SIZE(queue_params));

	if (params && c->opt.trusted)
		json_object_set_new(params, "trust", json_true());
	return params;
}

static int queue_add(struct ctl *c, int n, char **word)
{
	(void)n;
	return ctl_do(c, "queue.add", with_options(c, word[0]));
}

static int queue_alloc(struct ctl *c, int n, char **word)
{
	(void)n;
	return ctl_do(c, "queue.alloc", with_options(c, word[0]));
}

static int queue_set(struct ctl *c, int n, char **word)
{
	json_t *params = with_options(c, word[0]);

	(void)n;
	if (!params)
		return c->err.code;
	if (json_object_size(params) > 1)
		return ctl_do(c, "queue.set", params);
	json_decref(params);
	return vmq_err(&c->err, -EINVAL, "nothing to change; see vmqctl queue set --help");
}

/* One line on stderr per queue that failed. Return: the code of the first. */
static int complain_results(struct ctl *c, const json_t *results)
{
	const json_t *one;
	int first = 0;
	size_t i;

	json_array_foreach(results, i, one) {
		const char *code = json_string_value(json_object_get(one, "code"));
		const char *message = json_string_value(json_object_get(one, "message"));
		const char *name = json_string_value(json_object_get(one, "name"));
		int rc;

		if (json_is_true(json_object_get(one, "ok")))
			continue;
		rc = vmq_err(&c->err, vmq_err_from_name(code ? code : ""), "%s: %s",
			     name ? name : "?", message ? message : "refused");
		ctl_complain(c);
		first = first ? first : rc;
	}
	return first;
}

/* A method that takes a list of queues; each has its own outcome. */
static int call_batch(struct ctl *c, const char *method, int n, char **word)
{
	json_t *params = json_object(), *names = json_array(), *result;
	int rc;

	json_object_set_new(params, "names", names);
	for (int i = 0; i < n; i++) {
		if (!json_array_append_new(names, json_string(word[i])))
			continue;
		json_decref(params);
		return vmq_err(&c->err, -EINVAL, "the name of a queue is not UTF-8");
	}
	result = ctl_call(c, method, params);
	if (!result)
		return c->err.code;
	ctl_json(c, result);
	rc = complain_results(c, json_object_get(result, "results"));
	json_decref(result);
	return rc;
}

static int queue_complete(struct ctl *c, int n, char **word)
{
	return call_batch(c, "queue.complete", n, word);
}

static int call_named(struct ctl *c, const char *method, const char *name)
{
	return ctl_do(c, method, ctl_named(c, name));
}

static int queue_free(struct ctl *c, int n, char **word)
{
	(void)n;
	return call_named(c, "queue.free", word[0]);
}

/* All that can be deleted are, whatever became of the others. */
static int queue_del(struct ctl *c, int n, char **word)
{
	return n == 1 ? call_named(c, "queue.del", word[0]) : call_batch(c, "queue.del", n, word);
}

static int queue_drain(struct ctl *c, int n, char **word)
{
	json_t *params = ctl_named(c, word[0]), *result;
	char *delivered, *discarded, *ms;
	json_int_t timeout_ms;
	int rc;

	(void)n;
	if (!params)
		return c->err.code;
	rc = put_number(c, params, "timeout_ms", c->opt.timeout);
	if (!rc)
		rc = ctl_connect(c);
	if (rc) {
		json_decref(params);
		return rc;
	}
	/* The answer comes when the queue is empty, not before. */
	timeout_ms = json_integer_value(json_object_get(params, "timeout_ms"));
	vmq_set_timeout(c->vmq, (int)MIN(timeout_ms, INT_MAX - VMQ_TIMEOUT_MS) + VMQ_TIMEOUT_MS);
	result = ctl_call(c, "queue.drain", params);
	if (!result)
		return c->err.code;
	if (!ctl_json(c, result)) {
		delivered = out_text(json_object_get(result, "delivered"));
		discarded = out_text(json_object_get(result, "discarded"));
		ms = out_text(json_object_get(result, "ms"));
		printf("%s: %s delivered, %s discarded, %s ms\n", word[0], delivered,
		       discarded, ms);
		free(delivered);
		free(discarded);
		free(ms);
	}
	json_decref(result);
	return 0;
}

static int queue_pause(struct ctl *c, int n, char **word)
{
	(void)n;
	return call_named(c, "queue.pause", word[0]);
}

static int queue_resume(struct ctl *c, int n, char **word)
{
	(void)n;
	return call_named(c, "queue.resume", word[0]);
}

/* ---- to another service ---------------------------------------------------- */

/* Always JSON: what it prints is for `queue import`. */
static int queue_export(struct ctl *c, int n, char **word)
{
	(void)n;
	c->opt.json = true;
	return ctl_do(c, "queue.export", ctl_named(c, word[0]));
}

static int queue_import(struct ctl *c, int n, char **word)
{
	json_t *doc, *queue, *params, *result;
	json_error_t why;
	const char *name;
	FILE *f;

	f = ctl_input(c, n ? word[0] : "-", &name);
	if (!f)
		return c->err.code;
	doc = json_loadf(f, 0, &why);
	ctl_input_close(f);
	if (!doc)
		return vmq_err(&c->err, -EINVAL, "no queue can be read from %s: %s", name,
			       why.text);
	queue = json_object_get(doc, "queue");
	if (json_integer_value(json_object_get(doc, "version")) != 1 || !queue) {
		json_decref(doc);
		return vmq_err(&c->err, -EINVAL, "that is nothing that 'vmqctl queue export' has "
			       "written");
	}
	params = json_pack("{s:O}", "queue", queue);
	json_decref(doc);
	if (put_string(c, params, "channel", c->opt.channel)) {
		json_decref(params);
		return c->err.code;
	}
	result = ctl_call(c, "queue.import", params);
	if (!result)
		return c->err.code;
	ctl_json(c, result);
	if (json_object_get(result, "on_queue_0"))
		fprintf(stderr, "vmqctl: it stays on queue 0: %s\n",
			json_string_value(json_object_get(result, "on_queue_0")));
	json_decref(result);
	return 0;
}

/* ---- tables ------------------------------------------------------------- */

#define OPT_END { NULL, 0, OPT_FLAG, NULL, 0, NULL }

static const struct opt add_options[] = {
	{ "mac", 0, OPT_STRING, "MAC[,MAC]", OPTION(mac), "addresses of the VM" },
	{ "vlan", 0, OPT_STRING, "VLAN", OPTION(vlan), "1 to 4094, 'untagged' (default) or 'any'" },
	{ "cpu", 0, OPT_STRING, "LIST", OPTION(cpu), "CPUs of its pairs, like 2 or 0-3" },
	{ "pairs", 0, OPT_STRING, "N", OPTION(pairs),
	  "queue pairs (1); with more its flows are spread over CPUs" },
	{ "channel", 0, OPT_STRING, "SPEC", OPTION(channel),
	  "how the VM gets its frames, like tap:web1" },
	{ "trust", 0, OPT_FLAG, NULL, OPTION(trusted), "do not check what it sends" },
	{ "gro", 0, OPT_STRING, "on|off", OPTION(gro), "join segments of TCP for it; by default on" },
	{ "ring", 0, OPT_STRING, "N", OPTION(ring), "receive buffers; a hint, 0: chosen for you" },
	{ "weight", 0, OPT_STRING, "N", OPTION(weight), "1 to 100; 0: no queue of its own" },
	{ "vm", 0, OPT_STRING, "NAME", OPTION(vm), "name of the virtual machine" },
	OPT_END,
};

static const struct opt set_options[] = {
	{ "cpu", 0, OPT_STRING, "LIST", OPTION(cpu), "CPUs of its pairs" },
	{ "pairs", 0, OPT_STRING, "N", OPTION(pairs), "queue pairs" },
	{ "vlan", 0, OPT_STRING, "VLAN", OPTION(vlan), "1 to 4094, 'untagged' or 'any'" },
	{ "trust", 0, OPT_STRING, "on|off", OPTION(trust), "'on': do not check what it sends" },
	{ "gro", 0, OPT_STRING, "on|off", OPTION(gro), "join segments of TCP for it" },
	{ "name", 0, OPT_STRING, "NEW", OPTION(new_name), "new name" },
	{ "vm", 0, OPT_STRING, "NAME", OPTION(vm), "name of the virtual machine" },
	{ "weight", 0, OPT_STRING, "N", OPTION(weight), "0 to 100" },
	OPT_END,
};

static const struct opt drain_options[] = {
	{ "timeout", 0, OPT_STRING, "MS", OPTION(timeout),
	  "how long to deliver before the rest is discarded" },
	OPT_END,
};

static const struct opt import_options[] = {
	{ "channel", 0, OPT_STRING, "SPEC", OPTION(channel), "another channel than there" },
	OPT_END,
};

const struct command queue_commands[] = {
	{ "queue", "list", "", 0, 0, NULL, queue_list, "all queues" },
	{ "queue", "show", "NAME", 1, 1, NULL, queue_show, "one queue, its pairs and filters" },
	{ "queue", "add", "NAME", 1, 1, add_options, queue_add, "make a queue and start it" },
	{ "queue", "alloc", "NAME", 1, 1, add_options, queue_alloc,
	  "make a queue, do not start it" },
	{ "queue", "complete", "NAME...", 1, -1, NULL, queue_complete,
	  "start queues that were allocated" },
	{ "queue", "set", "NAME", 1, 1, set_options, queue_set, "change a queue" },
	{ "queue", "pause", "NAME", 1, 1, NULL, queue_pause, "the VM stops: deliver nothing" },
	{ "queue", "resume", "NAME", 1, 1, NULL, queue_resume, "the VM goes on" },
	{ "queue", "drain", "NAME", 1, 1, drain_options, queue_drain,
	  "clear its filters, deliver what is on its way" },
	{ "queue", "free", "NAME", 1, 1, NULL, queue_free, "free a queue that has no filters" },
	{ "queue", "del", "NAME...", 1, -1, NULL, queue_del,
	  "clear filters and free, frames on their way first" },
	{ "queue", "export", "NAME", 1, 1, NULL, queue_export,
	  "print its settings, for import elsewhere" },
	{ "queue", "import", "[FILE]", 0, 1, import_options, queue_import,
	  "make a queue from what export has printed" },
	{ .noun = NULL },
};
