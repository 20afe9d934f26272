// SPDX-License-Identifier: GPL-2.0-only
/*
 * filter.c - vmqctl filter: list, show, add, del, move, apply
 *
 * `filter apply` reads changes line by line and sends them as one: all of them
 * are made, or none.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "common/util.h"
#include "vmq/abi.h"
#include "vmqctl/out.h"
#include "vmqctl/vmqctl.h"

static const struct column filter_columns[] = {
	{ "FILTER", "id", true, false },
	{ "MAC", "mac", false, false },
	{ "VLAN", "vlan", true, false },
	{ "ACTION", "action", false, false },
	{ "QUEUE", "queue", true, false },
	{ "NAME", "queue_name", false, false },
	{ "OWNER", "owner", true, false },
};

static void print_filters(const json_t *filters)
{
	out_objects(filters, filter_columns, ARRAY_SIZE(filter_columns));
}

static void print_filter(const json_t *filter)
{
	json_t *list = json_pack("[O]", filter);

	print_filters(list);
	json_decref(list);
}

static int filter_list(struct ctl *c, int n, char **word)
{
	json_t *params = json_object();

	if (put_string(c, params, "queue", n ? word[0] : NULL)) {
		json_decref(params);
		return c->err.code;
	}
	return ctl_show(c, "filter.list", params, "filters", print_filters);
}

static int filter_show(struct ctl *c, int n, char **word)
{
	uint64_t id;
	int rc;

	(void)n;
	rc = parse_number(word[0], "filter", 1, VMQ_FILTERS_MAX, &id, &c->err);
	if (rc)
		return rc;
	return ctl_show(c, "filter.show", json_pack("{s:I}", "id", (json_int_t)id), "filter",
			print_filter);
}

/* The ids are what `del` and `move` take, so they are printed. */
static int filter_add(struct ctl *c, int n, char **word)
{
	json_t *params = json_object();

	(void)n;
	if (!c->opt.mac)
		vmq_err(&c->err, -EINVAL, "filter add needs --mac MAC[,MAC]");
	else if (!put_string(c, params, "queue", word[0]) &&
		 !put_list(c, params, "macs", c->opt.mac))
		put_string(c, params, "vlan", c->opt.vlan);
	if (c->err.code) {
		json_decref(params);
		return c->err.code;
	}
	return ctl_show(c, "filter.add", params, "filters", print_filters);
}

/* ---- del ---------------------------------------------------------------- */

static int del_id(struct ctl *c, const char *word)
{
	uint64_t id;
	int rc;

	rc = parse_number(word, "filter", 1, VMQ_FILTERS_MAX, &id, NULL);
	if (rc)
		return vmq_err(&c->err, rc, "'%.40s' is no number of a filter, 1 to %u; to clear one of "
			       "a queue, name its --mac", word, VMQ_FILTERS_MAX);
	return ctl_do(c, "filter.del", json_pack("{s:I}", "id", (json_int_t)id));
}

static bool is_of_queue(const json_t *filter, const char *queue)
{
	const char *name = json_string_value(json_object_get(filter, "queue_name"));
	const char *action = json_string_value(json_object_get(filter, "action"));
	char id[24];

	if (action && !strcmp(action, "drop"))
		return !strcmp(queue, "drop");
	snprintf(id, sizeof(id), "%lld",
		 (long long)json_integer_value(json_object_get(filter, "queue")));
	return !strcmp(queue, id) || (name && !strcmp(queue, name));
}

static bool is_equal(const json_t *filter, const char *key, const char *word)
{
	const char *value = json_string_value(json_object_get(filter, key));

	return value && !strcmp(value, word);
}

/*
 * The filter of @queue with this MAC and VLAN rule. Without --vlan the MAC must
 * say it alone. Return: its id, or -errno.
 */
static json_int_t find_filter(struct ctl *c, const json_t *filters, const char *queue,
			      const char *mac)
{
	json_int_t id = 0;
	const json_t *f;
	size_t i;

	json_array_foreach(filters, i, f) {
		if (!is_of_queue(f, queue) || !is_equal(f, "mac", mac) ||
		    (c->opt.vlan && !is_equal(f, "vlan", c->opt.vlan)))
			continue;
		if (id)
			return vmq_err(&c->err, -EINVAL,
				       "queue %s has several filters for %s; add --vlan", queue,
				       mac);
		id = json_integer_value(json_object_get(f, "id"));
	}
	if (id)
		return id;
	return vmq_err(&c->err, -ENOENT, "queue %s has no filter for %s%s%s", queue, mac,
		       c->opt.vlan ? " vlan " : "", c->opt.vlan ? c->opt.vlan : "");
}

static int del_of_queue(struct ctl *c, const char *queue)
{
	char text[MAC_STRLEN];
	json_t *result;
	uint8_t mac[6];
	json_int_t id;
	int rc;

	rc = parse_mac(c->opt.mac, mac, &c->err);
	if (rc)
		return rc;
	result = ctl_call(c, "filter.list", json_object());
	if (!result)
		return c->err.code;
	id = find_filter(c, json_object_get(result, "filters"), queue, format_mac(mac, text));
	json_decref(result);
	if (id < 0)
		return (int)id;
	return ctl_do(c, "filter.del", json_pack("{s:I}", "id", id));
}

/* "del ID..." or "del QUEUE --mac MAC [--vlan VLAN]" */
static int filter_del(struct ctl *c, int n, char **word)
{
	int first = 0;

	if (c->opt.mac && n != 1)
		return vmq_err(&c->err, -EINVAL, "with --mac filter del takes one queue");
	if (c->opt.mac)
		return del_of_queue(c, word[0]);
	if (c->opt.vlan)
		return vmq_err(&c->err, -EINVAL, "--vlan alone says no filter; add --mac");
	for (int i = 0; i < n; i++) {
		int rc = del_id(c, word[i]);

		ctl_complain(c);
		first = first ? first : rc;
	}
	return first;
}

static int filter_move(struct ctl *c, int n, char **word)
{
	json_t *params = json_object();
	uint64_t id;

	(void)n;
	if (!parse_number(word[0], "filter", 1, VMQ_FILTERS_MAX, &id, &c->err)) {
		json_object_set_new(params, "id", json_integer((json_int_t)id));
		put_string(c, params, "queue", word[1]);
	}
	if (!c->err.code)
		return ctl_do(c, "filter.move", params);
	json_decref(params);
	return c->err.code;
}

/* ---- apply -------------------------------------------------------------- */

#define FIELDS_MAX 4

/* What a line of the file says, by its first word. */
static const struct {
	const char *op;
	const char *key[FIELDS_MAX + 1];	/* of the words after it; NULL ends them */
	const char *usage;
} changes[] = {
	{ "add", { "queue", "mac", "vlan" }, "add QUEUE MAC VLAN" },
	{ "del", { "mac", "vlan" }, "del MAC VLAN" },
	{ "move", { "mac", "vlan", "queue" }, "move MAC VLAN QUEUE" },
};

/* Words of @line (which is cut up) up to a '#'. Return: how many, at most @max + 1. */
static int split(char *line, char **word, int max)
{
	int n = 0;

	line[strcspn(line, "#\n")] = '\0';
	for (char *p = strtok(line, " \t\r"); p; p = strtok(NULL, " \t\r")) {
		if (n == max)
			return max + 1;
		word[n++] = p;
	}
	return n;
}

/* One change from the words of a line; NULL with a sentence. */
static json_t *read_change(struct ctl *c, char **word, int n)
{
	json_t *change;
	size_t i;
	int k;

	for (i = 0; i < ARRAY_SIZE(changes); i++)
		if (!strcmp(word[0], changes[i].op))
			break;
	if (i == ARRAY_SIZE(changes)) {
		vmq_err(&c->err, -EINVAL, "'%.40s' is no change; there are add, del, move",
			word[0]);
		return NULL;
	}
	change = json_object();
	put_string(c, change, "op", changes[i].op);
	for (k = 0; k < n - 1 && k < FIELDS_MAX && changes[i].key[k]; k++)
		put_string(c, change, changes[i].key[k], word[k + 1]);
	if (k != n - 1 || changes[i].key[k])
		vmq_err(&c->err, -EINVAL, "a line is '%s'", changes[i].usage);
	if (!c->err.code)
		return change;
	json_decref(change);
	return NULL;
}

static int read_changes(struct ctl *c, FILE *f, const char *name, json_t *list)
{
	char *word[FIELDS_MAX], *line = NULL;
	size_t size = 0;
	int number = 0;

	while (!c->err.code && getline(&line, &size, f) >= 0) {
		int n = split(line, word, FIELDS_MAX);
		json_t *change;

		number++;
		if (!n)
			continue;
		change = read_change(c, word, n);
		if (change)
			json_array_append_new(list, change);
		else
			vmq_err_prefix(&c->err, "%s:%d", name, number);
	}
	free(line);
	if (!c->err.code && ferror(f))
		vmq_err_sys(&c->err, -EIO, "cannot read %s", name);
	return c->err.code;
}

static int filter_apply(struct ctl *c, int n, char **word)
{
	const char *name;
	json_t *list;
	FILE *f;
	int rc;

	(void)n;
	f = ctl_input(c, word[0], &name);
	if (!f)
		return c->err.code;
	list = json_array();
	rc = read_changes(c, f, name, list);
	ctl_input_close(f);
	if (rc) {
		json_decref(list);
		return rc;
	}
	return ctl_do(c, "filter.apply", json_pack("{s:o}", "changes", list));
}

/* ---- tables ------------------------------------------------------------- */

static const struct opt add_options[] = {
	{ "mac", 0, OPT_STRING, "MAC[,MAC]", OPTION(mac), "destination addresses" },
	{ "vlan", 0, OPT_STRING, "VLAN", OPTION(vlan),
	  "1 to 4094, 'untagged' or 'any'; default the queue's" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

static const struct opt del_options[] = {
	{ "mac", 0, OPT_STRING, "MAC", OPTION(mac), "the filter of QUEUE for this address" },
	{ "vlan", 0, OPT_STRING, "VLAN", OPTION(vlan), "and this VLAN" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

const struct command filter_commands[] = {
	{ "filter", "list", "[QUEUE]", 0, 1, NULL, filter_list, "filters of a queue, or all" },
	{ "filter", "show", "ID", 1, 1, NULL, filter_show, "one filter" },
	{ "filter", "add", "QUEUE", 1, 1, add_options, filter_add,
	  "set filters; QUEUE may be 'host' or 'drop'" },
	{ "filter", "del", "ID...|QUEUE", 1, -1, del_options, filter_del, "clear filters" },
	{ "filter", "move", "ID QUEUE", 2, 2, NULL, filter_move,
	  "move a filter; no frame is lost" },
	{ "filter", "apply", "FILE", 1, 1, NULL, filter_apply,
	  "many changes as one, from a file or '-'" },
	{ .noun = NULL },
};
