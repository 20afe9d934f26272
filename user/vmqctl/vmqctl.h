/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmqctl.h - what the files of vmqctl share
 *
 * One file per noun. Each has a table of commands; main.c finds the command,
 * takes its options apart and prints its error. Nothing but the control socket
 * is used, through libvmq.
 */
#ifndef VMQ_VMQCTL_H
#define VMQ_VMQCTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/err.h"
#include "common/opts.h"
#include "vmq/vmq.h"

/* Values of all options; a command's table says which of them it takes. */
struct options {
	const char *name;	/* global: -i */
	const char *run_dir;
	bool json, help, version;

	const char *mac, *vlan, *cpu, *pairs, *channel, *ring, *weight, *vm;
	const char *new_name, *timeout;
	const char *trust;	/* on|off */
	bool	    trusted;	/* the flag of the same name */
	const char *gro;	/* on|off */
	const char *types, *key, *table, *spread, *entries, *def, *primary, *from, *dynamic;
	bool	    on, off, cpus;
	const char *watch;	/* "": the default interval */
};

struct ctl {
	struct options opt;
	struct vmq *vmq;	/* connected by the first call */
	struct vmq_err err;	/* printed by main(), unless it is empty */
};

struct command {
	const char *noun;	/* NULL ends the table */
	const char *verb;	/* NULL: the noun is all. The noun alone means its first command */
	const char *args;	/* for help: "NAME..." */
	int	    min, max;	/* words after the command; max -1: any number */
	const struct opt *options;	/* besides the global ones; NULL: none */
	/* Return: 0, or a negative errno with the sentence in c->err. */
	int (*fn)(struct ctl *c, int n, char **word);
	const char *help;
};

extern const struct command show_commands[], queue_commands[], rss_commands[],
	filter_commands[], stats_commands[], monitor_commands[];

#define OPTION(field) offsetof(struct options, field)

/* ---- call.c -------------------------------------------------------------- */

/* Connect if that is not done. 0 or -errno. */
int ctl_connect(struct ctl *c);

/**
 * ctl_call() - call a method
 * @c: context
 * @method: method
 * @params: object, taken over; NULL: could not be made, and c->err may say why
 *
 * Return: the result, for json_decref(); NULL with c->err set.
 */
json_t *ctl_call(struct ctl *c, const char *method, json_t *params);

/* Call; with -j print the result, otherwise nothing. */
int ctl_do(struct ctl *c, const char *method, json_t *params);

/* Call; with -j print the result, otherwise have @print show its @key. */
int ctl_show(struct ctl *c, const char *method, json_t *params, const char *key,
	     void (*print)(const json_t *value));

/* With -j: print @result with "version" in front and return true. */
bool ctl_json(const struct ctl *c, const json_t *result);

/* Which option becomes which parameter. */
struct option_param {
	size_t offset;
	const char *key;
	int (*put)(struct ctl *c, json_t *params, const char *key, const char *word);
};

/*
 * {"name": @word} and what options say; what was not given is not sent.
 * NULL with c->err set.
 */
json_t *ctl_options(struct ctl *c, const char *word, const struct option_param *table, size_t n);

/* {"name": @word}, the parameters of most methods; NULL with c->err set. */
json_t *ctl_named(struct ctl *c, const char *word);

/*
 * Parameters from words. Each returns 0, or -EINVAL with a sentence. A NULL
 * word sets nothing.
 */
int put_string(struct ctl *c, json_t *params, const char *key, const char *word);
int put_list(struct ctl *c, json_t *params, const char *key, const char *word); /* "a,b" */
int put_number(struct ctl *c, json_t *params, const char *key, const char *word);
int put_cpus(struct ctl *c, json_t *params, const char *key, const char *word);
int put_on_off(struct ctl *c, json_t *params, const char *key, const char *word);

/*
 * The file of a word, for ctl_input_close(); "-" is standard input. @name: what to call
 * it in a sentence. NULL with c->err set.
 */
FILE *ctl_input(struct ctl *c, const char *word, const char **name);
void ctl_input_close(FILE *f);

/* One error that is not the last: print it now, so that the next may follow. */
void ctl_complain(struct ctl *c);

#endif /* VMQ_VMQCTL_H */
