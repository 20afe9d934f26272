/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * out.h - JSON as text for people: tables and lists of fields
 *
 * Keys that vmqctl has never heard of are printed too, by their name, so that a
 * new counter or capability of the service shows without a change here.
 */
#ifndef VMQ_OUT_H
#define VMQ_OUT_H

#include <jansson.h>
#include <libsmartcols/libsmartcols.h>
#include <stdbool.h>

/* A value as one line of text, for free(): "2,3", "yes", "used 1, max 4"; "-" if empty. */
char *out_text(const json_t *value);

struct column {
	const char *title;
	const char *key;	/* for out_objects() */
	bool	    number;	/* to the right */
	/* On a terminal that is too narrow: the first of a list, the beginning of a word. */
	bool	    wide;
};

struct libscols_table *out_table(const struct column *columns, size_t n);
void out_cell(struct libscols_line *line, size_t i, char *text);	/* frees @text */
void out_print(struct libscols_table *table);	/* print and free */

/* One row per object of @array. */
void out_objects(const json_t *array, const struct column *columns, size_t n);

/* "  key  value" for every key of @object but those in @skip (ended by NULL). */
void out_fields(const json_t *object, const char *const *skip);

#endif /* VMQ_OUT_H */
