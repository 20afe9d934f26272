// SPDX-License-Identifier: GPL-2.0-only
/*
 * out.c - JSON as text for people: tables and lists of fields
 *
 * Empty cells print as "-", so that `awk '{print $3}'` finds the same column in
 * every row. On a pipe nothing is cut or wrapped. On a terminal a list is cut and
 * wrapped between its elements: half an address looks like another one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/util.h"
#include "vmqctl/out.h"

/* ---- values ------------------------------------------------------------- */

static void text_value(const json_t *v, FILE *out);

/* No escape sequences on the terminal, whatever a name or a detail holds. */
static void text_string(const json_t *v, FILE *out)
{
	for (const char *c = json_string_value(v); *c; c++)
		putc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
}

static void text_integer(const json_t *v, FILE *out)
{
	fprintf(out, "%lld", (long long)json_integer_value(v));
}

static void text_real(const json_t *v, FILE *out)
{
	fprintf(out, "%.1f", json_real_value(v));
}

static void text_true(const json_t *v, FILE *out)
{
	(void)v;
	fputs("yes", out);
}

static void text_false(const json_t *v, FILE *out)
{
	(void)v;
	fputs("no", out);
}

static void text_null(const json_t *v, FILE *out)
{
	(void)v;
	putc('-', out);
}

static void text_array(const json_t *v, FILE *out)
{
	const json_t *element;
	size_t i;

	json_array_foreach(v, i, element) {
		fputs(i ? "," : "", out);
		text_value(element, out);
	}
}

/* {"used":3,"max":1024} is "3 of 1024"; others "key value, key value". */
static void text_object(const json_t *v, FILE *out)
{
	const json_t *used = json_object_get(v, "used"), *max = json_object_get(v, "max");
	const char *key, *comma = "";
	json_t *member;

	if (used && max && json_object_size(v) == 2) {
		text_value(used, out);
		fputs(" of ", out);
		text_value(max, out);
		return;
	}
	json_object_foreach((json_t *)v, key, member) {
		fprintf(out, "%s%s ", comma, key);
		text_value(member, out);
		comma = ", ";
	}
}

static void (*const text_of_type[])(const json_t *v, FILE *out) = {
	[JSON_OBJECT] = text_object, [JSON_ARRAY] = text_array, [JSON_STRING] = text_string,
	[JSON_INTEGER] = text_integer, [JSON_REAL] = text_real, [JSON_TRUE] = text_true,
	[JSON_FALSE] = text_false, [JSON_NULL] = text_null,
};

static void text_value(const json_t *v, FILE *out)
{
	text_of_type[json_typeof(v)](v, out);
}

char *out_text(const json_t *value)
{
	char *text = NULL;
	size_t size;
	FILE *f;

	f = value ? open_memstream(&text, &size) : NULL;
	if (f) {
		text_value(value, f);
		fclose(f);
	}
	if (text && *text)
		return text;
	free(text);
	return strdup("-");
}

/* ---- tables ------------------------------------------------------------- */

struct libscols_table *out_table(const struct column *columns, size_t n)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	for (size_t i = 0; i < n; i++)
		scols_table_new_column(table, columns[i].title, 0,
				       columns[i].number ? SCOLS_FL_RIGHT : 0);
	return table;
}

void out_cell(struct libscols_line *line, size_t i, char *text)
{
	if (line && text)
		scols_line_set_data(line, i, text);
	free(text);
}

void out_print(struct libscols_table *table)
{
	if (!table)
		return;
	scols_print_table(table);
	scols_unref_table(table);
}

/* Characters to a line; no end to it on a pipe. */
static size_t line_width(void)
{
	struct libscols_table *any;
	size_t width = SIZE_MAX;

	any = isatty(STDOUT_FILENO) ? scols_new_table() : NULL;
	if (any && scols_table_get_termwidth(any))
		width = scols_table_get_termwidth(any);
	scols_unref_table(any);
	return width;
}

/* "52:54:00:00:00:01,+3", or "vhost-user:/run/vm..." */
static char *shorten(char *text, const json_t *value, size_t room)
{
	char *first, *shorter = NULL;
	int rc;

	if (!text || strlen(text) <= room)
		return text;
	if (json_array_size(value) == 1)
		return text;
	if (json_is_array(value)) {
		first = out_text(json_array_get(value, 0));
		rc = asprintf(&shorter, "%s,+%zu", first, json_array_size(value) - 1);
		free(first);
	} else {
		rc = asprintf(&shorter, "%.*s...", (int)room - 3, text);
	}
	if (rc < 0)
		return text;
	free(text);
	return shorter;
}

static size_t column_width(struct libscols_table *table, const struct column *columns, size_t k)
{
	size_t i, most = strlen(columns[k].title);

	for (i = 0; i < scols_table_get_nlines(table); i++) {
		struct libscols_line *line = scols_table_get_line(table, i);
		const char *text = scols_cell_get_data(scols_line_get_cell(line, k));

		most = MAX(most, text ? strlen(text) : 0);
	}
	return most;
}

/* @array is what the table shows. */
static void fit_table(struct libscols_table *table, const json_t *array,
		      const struct column *columns, size_t n, size_t width)
{
	size_t k, i, mine, all = n - 1;
	const json_t *object;

	for (k = 0; k < n; k++)
		all += column_width(table, columns, k);
	for (k = 0; k < n && all > width; k++) {
		size_t room = 16;	/* a word and its dots, however narrow it is */

		if (!columns[k].wide)
			continue;
		mine = column_width(table, columns, k);
		if (mine > all - width + room)
			room = mine - (all - width);
		json_array_foreach(array, i, object) {
			const json_t *value = json_object_get(object, columns[k].key);

			out_cell(scols_table_get_line(table, i), k,
				 shorten(out_text(value), value, room));
		}
		all -= mine - MIN(column_width(table, columns, k), mine);
	}
}

void out_objects(const json_t *array, const struct column *columns, size_t n)
{
	struct libscols_table *table = out_table(columns, n);
	size_t i, width = line_width();
	const json_t *object;

	if (!table)
		return;
	json_array_foreach(array, i, object) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		for (size_t k = 0; k < n; k++)
			out_cell(line, k, out_text(json_object_get(object, columns[k].key)));
	}
	if (width != SIZE_MAX)
		fit_table(table, array, columns, n, width);
	out_print(table);
}

/* ---- fields ------------------------------------------------------------- */

static char *uptime(const json_t *v)
{
	long long s = json_integer_value(v);
	char *text;

	if (asprintf(&text, "%lld d %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24,
		     s / 60 % 60, s % 60) < 0)
		return NULL;
	return text;
}

/* Keys that read better in other words. */
static const struct {
	const char *key, *label;
	char *(*text)(const json_t *v);
} special[] = {
	{ "uptime_s", "uptime", uptime },
};

static bool in_list(const char *key, const char *const *list)
{
	for (; list && *list; list++)
		if (!strcmp(*list, key))
			return true;
	return false;
}

/* "per_rx_queue" as people write it. */
static char *label_of(const char *key)
{
	char *label = strdup(key);

	for (char *c = label; c && *c; c++)
		if (*c == '_')
			*c = ' ';
	return label;
}

/* @text from column @at on, wrapped at blanks and behind commas. */
static void print_wrapped(const char *text, size_t at, size_t width)
{
	size_t used = at, len;

	for (; *text; text += len) {
		len = strcspn(text, " ,");
		len += text[len] != '\0';
		/* A blank at the end of a line takes no room. */
		if (used > at && used + len - (text[len - 1] == ' ') > width) {
			printf("\n%*s", (int)at, "");
			used = at;
		}
		printf("%.*s", (int)len, text);
		used += len;
	}
	putchar('\n');
}

void out_fields(const json_t *object, const char *const *skip)
{
	size_t i, widest = 0, width = line_width();
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
		if (!in_list(key, skip))
			widest = MAX(widest, strlen(key));
	json_object_foreach((json_t *)object, key, value) {
		char *(*text_of)(const json_t *v) = out_text;
		char *label, *text;

		if (in_list(key, skip))
			continue;
		label = label_of(key);
		for (i = 0; i < ARRAY_SIZE(special); i++) {
			if (strcmp(special[i].key, key))
				continue;
			text_of = special[i].text;
			free(label);
			label = strdup(special[i].label);
		}
		text = text_of(value);
		printf("  %-*s ", (int)widest, label ? label : key);
		print_wrapped(text ? text : "-", widest + 3, width);
		free(label);
		free(text);
	}
}
