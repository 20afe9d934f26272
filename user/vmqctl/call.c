// SPDX-License-Identifier: GPL-2.0-only
/*
 * call.c - words in, a method called, JSON out
 *
 * Words are checked here only as far as their type goes; what they mean is the
 * service's business, and so is the sentence about it. CPU lists are the
 * exception: the protocol has numbers, "0-3" is a word of the command line.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/parse.h"
#include "vmq/abi.h"
#include "vmqctl/vmqctl.h"

int ctl_connect(struct ctl *c)
{
	int rc;

	if (c->vmq)
		return 0;
	rc = vmq_open(&c->vmq, c->opt.run_dir, c->opt.name);
	if (!rc)
		return 0;
	return vmq_err(&c->err, rc, "%s%s", vmq_error(c->vmq),
		       rc == -EINVAL && !c->opt.name ? " with -i NAME" : "");
}

json_t *ctl_call(struct ctl *c, const char *method, json_t *params)
{
	char *text = NULL, *result = NULL;
	json_t *root = NULL;
	int rc;

	if (params)
		text = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	if (!text && c->err.code)
		return NULL;
	if (!text) {
		vmq_err(&c->err, -ENOMEM, "out of memory");
		return NULL;
	}
	rc = ctl_connect(c);
	if (!rc) {
		rc = vmq_call(c->vmq, method, text, &result);
		if (rc)
			vmq_err(&c->err, rc, "%s", vmq_error(c->vmq));
	}
	if (!rc) {
		root = json_loads(result, 0, NULL);
		if (!root)
			vmq_err(&c->err, -ENOMEM, "out of memory");
	}
	free(result);
	free(text);
	return root;
}

int ctl_show(struct ctl *c, const char *method, json_t *params, const char *key,
	     void (*print)(const json_t *value))
{
	json_t *result = ctl_call(c, method, params);

	if (!result)
		return c->err.code;
	if (!ctl_json(c, result) && print)
		print(json_object_get(result, key));
	json_decref(result);
	return 0;
}

int ctl_do(struct ctl *c, const char *method, json_t *params)
{
	return ctl_show(c, method, params, NULL, NULL);
}

bool ctl_json(const struct ctl *c, const json_t *result)
{
	json_t *root;

	if (!c->opt.json)
		return false;
	root = json_pack("{s:i}", "version", 1);
	if (root && !json_object_update_missing(root, (json_t *)result)) {
		json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
		putchar('\n');
		fflush(stdout);
	}
	json_decref(root);
	return true;
}

json_t *ctl_named(struct ctl *c, const char *word)
{
	json_t *params = json_object();

	if (!put_string(c, params, "name", word))
		return params;
	json_decref(params);
	return NULL;
}

json_t *ctl_options(struct ctl *c, const char *word, const struct option_param *table, size_t n)
{
	json_t *params = ctl_named(c, word);
	int rc = params ? 0 : c->err.code;

	for (size_t i = 0; i < n && !rc; i++) {
		const char *value = *(const char **)((char *)&c->opt + table[i].offset);

		rc = table[i].put(c, params, table[i].key, value);
	}
	if (!rc)
		return params;
	json_decref(params);
	return NULL;
}

int put_string(struct ctl *c, json_t *params, const char *key, const char *word)
{
	if (!word || !json_object_set_new(params, key, json_string(word)))
		return 0;
	return vmq_err(&c->err, -EINVAL, "the value of %s is not UTF-8", key);
}

int put_list(struct ctl *c, json_t *params, const char *key, const char *word)
{
	json_t *list;

	if (!word)
		return 0;
	list = json_array();
	for (;;) {
		size_t len = strcspn(word, ",");

		if (json_array_append_new(list, json_stringn(word, len))) {
			json_decref(list);
			return vmq_err(&c->err, -EINVAL, "the value of %s is not UTF-8", key);
		}
		if (!word[len])
			break;
		word += len + 1;
	}
	json_object_set_new(params, key, list);
	return 0;
}

int put_number(struct ctl *c, json_t *params, const char *key, const char *word)
{
	uint64_t n;
	int rc;

	if (!word)
		return 0;
	/* The service knows the limits, and says them. */
	rc = parse_number(word, key, 0, INT_MAX, &n, NULL);
	if (rc)
		return vmq_err(&c->err, rc, "%s '%.40s' is no number, or too large a one", key, word);
	json_object_set_new(params, key, json_integer((json_int_t)n));
	return 0;
}

int put_cpus(struct ctl *c, json_t *params, const char *key, const char *word)
{
	uint16_t cpu[VMQ_PAIRS_MAX];
	json_t *list;
	int n;

	if (!word)
		return 0;
	n = parse_cpus(word, cpu, VMQ_PAIRS_MAX, &c->err);
	if (n < 0)
		return n;
	list = json_array();
	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_integer(cpu[i]));
	json_object_set_new(params, key, list);
	return 0;
}

int put_on_off(struct ctl *c, json_t *params, const char *key, const char *word)
{
	bool on;

	if (!word)
		return 0;
	on = !strcmp(word, "on");
	if (!on && strcmp(word, "off"))
		return vmq_err(&c->err, -EINVAL, "%s is 'on' or 'off', not '%.40s'", key, word);
	json_object_set_new(params, key, json_boolean(on));
	return 0;
}

FILE *ctl_input(struct ctl *c, const char *word, const char **name)
{
	FILE *f;

	*name = "standard input";
	if (!strcmp(word, "-"))
		return stdin;
	*name = word;
	f = fopen(word, "re");
	if (!f)
		vmq_err_sys(&c->err, -errno, "cannot open %s", word);
	return f;
}

void ctl_input_close(FILE *f)
{
	if (f != stdin)
		fclose(f);
}

void ctl_complain(struct ctl *c)
{
	char line[sizeof(c->err.text)];

	if (!c->err.text[0])
		return;
	snprintf(line, sizeof(line), "%s", c->err.text);
	for (char *p = line; *p; p++)	/* one line, and no escape sequences from afar */
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	fflush(stdout);
	fprintf(stderr, "vmqctl: %s\n", line);
	c->err.text[0] = '\0';
}
