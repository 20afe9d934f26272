// SPDX-License-Identifier: GPL-2.0-only
/*
 * rss.c - vmqctl rss: show, set, move
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "vmq/abi.h"
#include "vmqctl/out.h"
#include "vmqctl/vmqctl.h"

/* ---- show --------------------------------------------------------------- */

static void print_rss(const json_t *rss)
{
	static const char *const skip[] = { "name", "effective", "frames", NULL };
	char *name = out_text(json_object_get(rss, "name"));

	printf("Queue %s, as asked for\n", name);
	free(name);
	out_fields(rss, skip);
	printf("\nIn effect\n");
	out_fields(json_object_get(rss, "effective"), NULL);
	printf("\nFrames\n");
	out_fields(json_object_get(rss, "frames"), NULL);
}

static int rss_show(struct ctl *c, int n, char **word)
{
	(void)n;
	return ctl_show(c, "rss.show", ctl_named(c, word[0]), "rss", print_rss);
}

/* ---- set ---------------------------------------------------------------- */

/*
 * "0,1,1,0": a table, where a CPU may stand often and need not exist: what does
 * not steer yet is kept unchecked.
 */
static int put_table(struct ctl *c, json_t *params, const char *key, const char *word)
{
	json_t *list;
	int rc = 0;

	if (!word)
		return 0;
	list = json_array();
	while (!rc) {
		size_t len = strcspn(word, ",");
		char number[16];
		uint64_t cpu;

		snprintf(number, sizeof(number), "%.*s", (int)MIN(len, sizeof(number) - 1), word);
		rc = parse_number(number, "CPU in the table", 0, UINT16_MAX - 1, &cpu, &c->err);
		if (!rc)
			json_array_append_new(list, json_integer((json_int_t)cpu));
		if (!word[len])
			break;
		word += len + 1;
	}
	if (rc)
		json_decref(list);
	else
		json_object_set_new(params, key, list);
	return rc;
}

static const struct option_param set_params[] = {
	{ OPTION(types), "types", put_list },
	{ OPTION(key), "key", put_string },
	{ OPTION(table), "table", put_table },
	{ OPTION(spread), "spread", put_cpus },
	{ OPTION(entries), "entries", put_number },
	{ OPTION(def), "default", put_number },
	{ OPTION(primary), "primary", put_number },
	{ OPTION(dynamic), "dynamic", put_on_off },
};

static int rss_set(struct ctl *c, int n, char **word)
{
	json_t *params = ctl_options(c, word[0], set_params, ARRAY_SIZE(set_params));
	int rc = params ? 0 : c->err.code;

	(void)n;
	if (!rc && c->opt.on && c->opt.off)
		rc = vmq_err(&c->err, -EINVAL, "--on or --off, not both");
	if (!rc && (c->opt.on || c->opt.off))
		json_object_set_new(params, "on", json_boolean(c->opt.on));
	if (!rc && json_object_size(params) == 1)
		rc = vmq_err(&c->err, -EINVAL, "nothing to change; see vmqctl rss set --help");
	if (!rc)
		return ctl_do(c, "rss.set", params);
	json_decref(params);
	return rc;
}

/* ---- move --------------------------------------------------------------- */

/* "3=1", "default=1", "primary=0" */
static int add_move(struct ctl *c, json_t *moves, const char *queue, const char *word)
{
	size_t len = strcspn(word, "=");
	json_t *entry, *move;
	uint64_t n = 0, cpu;
	char name[16];
	int rc;

	if (!word[len] || !len || len >= sizeof(name))
		return vmq_err(&c->err, -EINVAL, "a move is ENTRY=CPU, not '%.40s'", word);
	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	rc = parse_number(word + len + 1, "CPU", 0, UINT16_MAX - 1, &cpu, &c->err);
	if (rc)
		return rc;
	if (strcmp(name, "default") && strcmp(name, "primary")) {
		rc = parse_number(name, "entry", 0, UINT16_MAX, &n, &c->err);
		if (rc)
			return rc;
		entry = json_integer((json_int_t)n);
	} else {
		entry = json_string(name);
	}
	move = json_pack("{s:s, s:o, s:i}", "name", queue, "entry", entry, "cpu", (int)cpu);
	json_array_append_new(moves, move);
	return put_number(c, move, "from", c->opt.from);
}

/* All moves of a queue are one group and share their outcome. */
static int rss_move(struct ctl *c, int n, char **word)
{
	json_t *params = json_object(), *moves = json_array(), *result;
	const json_t *one;
	int rc = 0;

	json_object_set_new(params, "moves", moves);
	for (int i = 1; i < n && !rc; i++)
		rc = add_move(c, moves, word[0], word[i]);
	if (rc) {
		json_decref(params);
		return rc;
	}
	result = ctl_call(c, "rss.move", params);
	if (!result)
		return c->err.code;
	ctl_json(c, result);
	one = json_array_get(json_object_get(result, "moves"), 0);
	if (!json_is_true(json_object_get(one, "ok"))) {
		const char *code = json_string_value(json_object_get(one, "code"));
		const char *message = json_string_value(json_object_get(one, "message"));

		rc = vmq_err(&c->err, vmq_err_from_name(code ? code : ""), "%s",
			     message ? message : "refused");
	}
	json_decref(result);
	return rc;
}

/* ---- off, on ------------------------------------------------------------ */

static int rss_off(struct ctl *c, int n, char **word)
{
	(void)n;
	(void)word;
	return ctl_do(c, "rss.switch", json_pack("{s:b}", "on", 0));
}

static int rss_on(struct ctl *c, int n, char **word)
{
	(void)n;
	(void)word;
	return ctl_do(c, "rss.switch", json_pack("{s:b}", "on", 1));
}

/* ---- tables ------------------------------------------------------------- */

static const struct opt set_options[] = {
	{ "on", 0, OPT_FLAG, NULL, OPTION(on), "hash frames and spread them over the table" },
	{ "off", 0, OPT_FLAG, NULL, OPTION(off), "all frames to the primary CPU" },
	{ "types", 0, OPT_STRING, "LIST", OPTION(types),
	  "what is hashed: ipv4, tcp4, udp4, ipv6, tcp6, udp6, ipv6ex, ...; 'all' or 'none'" },
	{ "key", 0, OPT_STRING, "HEX", OPTION(key),
	  "80 hexadecimal digits, or 'nic': a copy of the NIC's key" },
	{ "table", 0, OPT_STRING, "CPU[,CPU]", OPTION(table), "CPU of each entry" },
	{ "spread", 0, OPT_STRING, "LIST", OPTION(spread), "CPUs to fill the table with, in turn" },
	{ "entries", 0, OPT_STRING, "N", OPTION(entries), "size of the table (128)" },
	{ "default", 0, OPT_STRING, "CPU", OPTION(def), "CPU of frames that have no hash, while on" },
	{ "primary", 0, OPT_STRING, "CPU", OPTION(primary), "CPU of all frames, while off" },
	{ "dynamic", 0, OPT_STRING, "on|off", OPTION(dynamic),
	  "let the load choose its CPUs (vmq-load -b), or keep it where it is" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

static const struct opt move_options[] = {
	{ "from", 0, OPT_STRING, "CPU", OPTION(from), "only if that is where they are now" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

const struct command rss_commands[] = {
	{ "rss", "show", "NAME", 1, 1, NULL, rss_show, "how a queue's flows are spread over CPUs" },
	{ "rss", "set", "NAME", 1, 1, set_options, rss_set,
	  "change how a queue's flows are spread" },
	{ "rss", "move", "NAME ENTRY=CPU...", 2, -1, move_options, rss_move,
	  "move entries of its table, 'default' or 'primary'" },
	{ "rss", "off", "", 0, 0, NULL, rss_off, "no RSS for any queue: all frames to the primaries" },
	{ "rss", "on", "", 0, 0, NULL, rss_on, "RSS as each queue asks for it" },
	{ .noun = NULL },
};
