// SPDX-License-Identifier: GPL-2.0-only
/*
 * out.c - JSON as text for people: tables and lists of fields
 *
 * Empty cells print as "-", so that `awk '{print $3}'` finds the same column in
 * every row. On a pipe nothing is cut (libsmartcols cuts only on terminals).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
				       (columns[i].number ? SCOLS_FL_RIGHT : 0) |
				       (columns[i].wide ? SCOLS_FL_TRUNC : 0));
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

void out_objects(const json_t *array, const struct column *columns, size_t n)
{
	struct libscols_table *table = out_table(columns, n);
	const json_t *object;
	size_t i;

	if (!table)
		return;
	json_array_foreach(array, i, object) {
		struct libscols_line *line = scols_table_new_line(table, NULL);

		for (size_t k = 0; k < n; k++)
			out_cell(line, k, out_text(json_object_get(object, columns[k].key)));
	}
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

void out_fields(const json_t *object, const char *const *skip)
{
	struct libscols_table *table = scols_new_table();
	const char *key;
	json_t *value;

	if (!table)
		return;
	scols_table_enable_noheadings(table, 1);
	scols_table_new_column(table, "key", 0, 0);
	scols_table_new_column(table, "value", 0, SCOLS_FL_WRAP);
	json_object_foreach((json_t *)object, key, value) {
		char *(*text)(const json_t *v) = out_text;
		struct libscols_line *line;
		char *label = NULL;

		if (in_list(key, skip))
			continue;
		line = scols_table_new_line(table, NULL);
		if (asprintf(&label, "  %s", key) < 0)
			label = NULL;
		for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
			if (strcmp(special[i].key, key))
				continue;
			text = special[i].text;
			free(label);
			if (asprintf(&label, "  %s", special[i].label) < 0)
				label = NULL;
		}
		for (char *c = label; c && *c; c++)
			if (*c == '_')
				*c = ' ';
		out_cell(line, 0, label);
		out_cell(line, 1, text(value));
	}
	out_print(table);
}
