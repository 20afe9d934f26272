// SPDX-License-Identifier: GPL-2.0-only
/*
 * stats.c - vmqctl stats: where the frames went
 *
 * With --cpus a row per CPU. Otherwise a row per queue with what one looks at first,
 * and below it every other counter that is not zero, by its own name: a counter that
 * is new in the service needs no change here. With --watch the figures are rates, taken from
 * the difference of two answers and the time between them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/parse.h"
#include "common/util.h"
#include "vmqctl/out.h"
#include "vmqctl/vmqctl.h"

/* Figures of one column: a counter, or the sum of a group. */
static const struct {
	const char *title;
	const char *group;	/* NULL: at the top */
	const char *key;	/* NULL: the sum of the group */
	bool now;		/* what lies there now: has no rate */
} figures[] = {
	{ "MATCHED", NULL, "matched", false },
	{ "DELIVERED", NULL, "delivered", false },
	{ "IN-FLIGHT", NULL, "in_flight", true },
	{ "DROPPED", "dropped", NULL, false },
	{ "TO-HOST", NULL, "to_host", false },
	{ "SWITCHED", NULL, "switch_delivered", false },
	{ "TX-FRAMES", NULL, "tx_frames", false },
};

static double sum_of(const json_t *group)
{
	const char *key;
	double sum = 0;
	json_t *value;

	json_object_foreach((json_t *)group, key, value)
		sum += json_number_value(value);
	return sum;
}

static double figure_of(size_t i, const json_t *stats)
{
	const json_t *from = stats;

	if (figures[i].group)
		from = json_object_get(stats, figures[i].group);
	return figures[i].key ? json_number_value(json_object_get(from, figures[i].key))
			      : sum_of(from);
}

static bool is_figure(const char *group, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
		if (!figures[i].key || strcmp(figures[i].key, key))
			continue;
		if (group ? figures[i].group && !strcmp(figures[i].group, group)
			  : !figures[i].group)
			return true;
	}
	return false;
}

/* The queue with the same id in the answer before; NULL: it is new. */
static const json_t *before_of(const json_t *before, const json_t *queue)
{
	json_int_t id = json_integer_value(json_object_get(queue, "id"));
	const json_t *q;
	size_t i;

	json_array_foreach(json_object_get(before, "queues"), i, q)
		if (json_integer_value(json_object_get(q, "id")) == id)
			return q;
	return NULL;
}

static char *number_text(double v)
{
	char *text;

	return asprintf(&text, "%.0f", v) < 0 ? NULL : text;
}

/* @before: the last answer, @seconds ago, for rates; @seconds 0: totals. */
static void print_queues(const json_t *queues, const json_t *before, double seconds)
{
	struct column columns[3 + ARRAY_SIZE(figures)] = {
		{ "ID", "id", true, false }, { "NAME", "name", false, false },
		{ "STATE", "state", false, false },
	};
	struct libscols_table *table;
	const json_t *queue;
	size_t q;

	for (size_t i = 0; i < ARRAY_SIZE(figures); i++)
		columns[3 + i] = (struct column){ figures[i].title, NULL, true, false };
	table = out_table(columns, ARRAY_SIZE(columns));
	if (!table)
		return;
	json_array_foreach(queues, q, queue) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const json_t *old = before_of(before, queue);

		for (size_t i = 0; i < 3; i++)
			out_cell(line, i, out_text(json_object_get(queue, columns[i].key)));
		for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
			double v = figure_of(i, json_object_get(queue, "stats"));

			if (seconds > 0 && !figures[i].now)
				v = (v - figure_of(i, json_object_get(old, "stats"))) / seconds;
			out_cell(line, 3 + i, number_text(v));
		}
	}
	out_print(table);
}

/* ---- the other counters ------------------------------------------------- */

/* " key value" for each counter of @object that changed, or is not zero. */
static bool print_counters(const json_t *object, const char *group, const json_t *before,
			   double seconds, bool any)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		double v = json_number_value(value);

		if (!json_is_number(value) || is_figure(group, key))
			continue;
		if (seconds > 0)
			v = (v - json_number_value(json_object_get(before, key))) / seconds;
		if (v < 0.5 && v > -0.5)
			continue;
		printf("%s%s%s%s %.0f", any ? ", " : " ", group ? group : "", group ? "." : "", key,
		       v);
		any = true;
	}
	return any;
}

static bool counts(const json_t *stats)
{
	const json_t *value;
	const char *key;

	json_object_foreach((json_t *)stats, key, value)
		if (json_is_object(value) ? counts(value) : json_number_value(value) > 0)
			return true;
	return false;
}

/*
 * One line "web1: matched_bytes 61440, dropped.ring_full 12"; none for a queue that
 * has counted nothing yet: there may be a thousand of them.
 */
static void print_rest(const char *name, const json_t *stats, const json_t *before,
		       double seconds)
{
	const char *group;
	json_t *members;
	bool any;

	if (!counts(stats))
		return;
	printf("%s:", name);
	any = print_counters(stats, NULL, before, seconds, false);
	json_object_foreach((json_t *)stats, group, members)
		if (json_is_object(members))
			any = print_counters(members, group, json_object_get(before, group),
					     seconds, any);
	puts(any ? "" : seconds > 0 ? " nothing else changed" : " no other counter is above zero");
}

/* Workers, one per CPU: in the same order in both answers. */
static void print_cpus(const json_t *now, const json_t *before, double seconds)
{
	static const struct column columns[] = {
		{ "CPU", "cpu", true, false }, { "QUEUES", "queues", true, false },
		{ "EXTERNAL", "external", true, false }, { "INTERNAL", "internal", true, false },
		{ "WAKEUPS", "wakeups", true, false },
	};
	struct libscols_table *table = out_table(columns, ARRAY_SIZE(columns));
	const json_t *cpu;
	size_t c;

	if (!table)
		return;
	json_array_foreach(now, c, cpu) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		const json_t *old = json_array_get(before, c);

		for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
			double v = json_number_value(json_object_get(cpu, columns[i].key));

			if (seconds > 0 && i > 1)
				v = (v - json_number_value(json_object_get(old, columns[i].key))) /
				    seconds;
			out_cell(line, i, number_text(v));
		}
	}
	out_print(table);
}

static void print_stats(const json_t *now, const json_t *before, double seconds, bool cpus)
{
	const json_t *queues = json_object_get(now, "queues"), *queue;
	size_t i;

	if (cpus) {
		print_cpus(json_object_get(now, "cpus"), json_object_get(before, "cpus"), seconds);
		return;
	}
	print_queues(queues, before, seconds);
	printf("\n");
	json_array_foreach(queues, i, queue) {
		const json_t *old = before_of(before, queue);
		char *name = out_text(json_object_get(queue, "name"));

		print_rest(name, json_object_get(queue, "stats"), json_object_get(old, "stats"),
			   seconds);
		free(name);
	}
	print_rest("adapter", json_object_get(now, "adapter"), json_object_get(before, "adapter"),
		   seconds);
}

/* ---- the command -------------------------------------------------------- */

static json_t *ask(struct ctl *c, const char *queue)
{
	json_t *params = json_object();

	if (!put_string(c, params, "queue", queue))
		return ctl_call(c, "stats", params);
	json_decref(params);
	return NULL;
}

static double now_s(void)
{
	return (double)now_ns() / 1e9;
}

/* Until killed. With -j each answer as it came, else rates. */
static int watch(struct ctl *c, const char *queue, unsigned int interval)
{
	json_t *before = ask(c, queue), *now;
	double then = now_s(), when;

	if (before)
		ctl_json(c, before);
	while (before && !ferror(stdout)) {
		clock_nanosleep(CLOCK_MONOTONIC, 0,
				&(struct timespec){ .tv_sec = interval }, NULL);
		now = ask(c, queue);
		when = now_s();
		if (now && !ctl_json(c, now)) {
			fputs(isatty(STDOUT_FILENO) ? "\033[H\033[J" : "\n", stdout);
			printf("per second, over %.1f s\n\n", when - then);
			print_stats(now, before, when - then, c->opt.cpus);
			fflush(stdout);
		}
		json_decref(before);
		before = now;
		then = when;
	}
	json_decref(before);
	return c->err.code;
}

static int stats(struct ctl *c, int n, char **word)
{
	const char *queue = n ? word[0] : NULL;
	uint64_t interval = 1;
	json_t *result;

	if (c->opt.watch && *c->opt.watch &&
	    parse_number(c->opt.watch, "interval", 1, 86400, &interval, &c->err))
		return c->err.code;
	if (c->opt.watch)
		return watch(c, queue, (unsigned int)interval);
	result = ask(c, queue);
	if (!result)
		return c->err.code;
	if (!ctl_json(c, result))
		print_stats(result, NULL, 0, c->opt.cpus);
	json_decref(result);
	return 0;
}

static const struct opt stats_options[] = {
	{ "watch", 0, OPT_STRING, "[SECONDS]", OPTION(watch),
	  "print rates, every second or so many" },
	{ "cpus", 0, OPT_FLAG, NULL, OPTION(cpus),
	  "by CPU: queues, frames from the wire and from guests" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

const struct command stats_commands[] = {
	{ "stats", NULL, "[QUEUE]", 0, 1, stats_options, stats, "where the frames went" },
	{ .noun = NULL },
};
