// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - vmqctl: control a running vmq-load
 *
 * Nouns read and verbs write. The commands are tables (one file per noun); from
 * them come the parser, --help and, checked by a test, manual and completion.
 *
 * Options may stand anywhere. Which command's table applies is known only when
 * the command is, so its words are looked for first, stepping over the global
 * options; then all of the line is parsed with both tables as one.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/util.h"
#include "vmqctl/vmqctl.h"

#ifndef VMQ_VERSION
#define VMQ_VERSION "unknown"
#endif

#define OPTIONS_MAX 32

static const struct opt global_options[] = {
	{ "service", 'i', OPT_STRING, "NAME", OPTION(name),
	  "which one; not needed if only one runs" },
	{ "run-dir", 0, OPT_STRING, "DIR", OPTION(run_dir),
	  "where its socket is (" VMQ_RUN_DIR ")" },
	{ "json", 'j', OPT_FLAG, NULL, OPTION(json), "print JSON" },
	{ "help", 'h', OPT_FLAG, NULL, OPTION(help),
	  "say what there is; after a command, its options" },
	{ "version", 0, OPT_FLAG, NULL, OPTION(version), "print the version" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

static const struct command *const nouns[] = {	/* the first command is the default */
	show_commands, queue_commands, rss_commands, filter_commands, stats_commands,
	monitor_commands,
};

/* ---- finding the command ------------------------------------------------ */

/* How many words of the line a global option takes: 1 or 2; 0: it is none of them. */
static int skip_long(const char *name)
{
	for (const struct opt *o = global_options; o->name; o++) {
		size_t len = strlen(o->name);

		if (strncmp(name, o->name, len))
			continue;
		if (name[len] == '=')
			return 1;
		if (!name[len])
			return o->type == OPT_STRING ? 2 : 1;
	}
	return 0;
}

static int skip_letters(const char *letters)
{
	for (const struct opt *o = global_options; o->name; o++) {
		if (!o->letter || o->letter != letters[0])
			continue;
		if (o->type == OPT_STRING)
			return letters[1] ? 1 : 2;
		return letters[1] ? skip_letters(letters + 1) : 1;
	}
	return 0;
}

static int skip_option(const char *word)
{
	return word[1] == '-' ? skip_long(word + 2) : skip_letters(word + 1);
}

/* The first two words that are no options: noun and verb, NULL if missing. */
static void find_words(int argc, char **argv, const char *found[2])
{
	int n = 0;

	found[0] = found[1] = NULL;
	for (int i = 1; i < argc && n < 2;) {
		int skip = argv[i][0] == '-' ? skip_option(argv[i]) : 0;

		if (argv[i][0] == '-' && !skip)
			return;
		if (!skip)
			found[n++] = argv[i++];
		i += skip;
	}
}

static const struct command *find_noun(const char *noun)
{
	for (size_t i = 0; i < ARRAY_SIZE(nouns); i++)
		if (!strcmp(nouns[i]->noun, noun))
			return nouns[i];
	return NULL;
}

static void list_verbs(const struct command *commands, char *out, size_t size)
{
	out[0] = '\0';
	for (; commands->noun; commands++) {
		size_t n = strlen(out);

		snprintf(out + n, size - n, "%s%s", n ? ", " : "", commands->verb);
	}
}

static const struct command *find_command(const char *noun, const char *verb, struct vmq_err *err)
{
	const struct command *commands = noun ? find_noun(noun) : nouns[0];
	char verbs[128];

	if (!commands) {
		vmq_err(err, -EINVAL, "there is no command '%.40s'; see vmqctl --help", noun);
		return NULL;
	}
	if (!verb || !commands->verb)
		return commands;
	for (const struct command *c = commands; c->noun; c++)
		if (!strcmp(c->verb, verb))
			return c;
	list_verbs(commands, verbs, sizeof(verbs));
	vmq_err(err, -EINVAL, "there is no command '%s %.40s'; there are %s", noun, verb, verbs);
	return NULL;
}

/* ---- help --------------------------------------------------------------- */

static void name_command(const struct command *cmd, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s", cmd->noun, cmd->verb ? " " : "", cmd->verb ? cmd->verb : "");
}

static void help_command(const struct command *cmd)
{
	char name[64];

	name_command(cmd, name, sizeof(name));
	printf("usage: vmqctl %s%s%s%s\n\n%s\n", name, *cmd->args ? " " : "", cmd->args,
	       cmd->options ? " [OPTIONS]" : "", cmd->help);
	if (cmd->options) {
		printf("\noptions:\n");
		opts_help(cmd->options, stdout);
	}
	printf("\nglobal options:\n");
	opts_help(global_options, stdout);
}

static void list_commands(const struct command *cmd)
{
	for (; cmd->noun; cmd++) {
		char name[64], line[128];

		name_command(cmd, name, sizeof(name));
		snprintf(line, sizeof(line), "%s%s%s", name, *cmd->args ? " " : "", cmd->args);
		printf("  %-30s %s\n", line, cmd->help);
	}
}

/* @commands: of one noun; NULL: all. */
static void help_commands(const struct command *commands)
{
	printf("usage: vmqctl [OPTIONS] COMMAND [ARGUMENTS]\n\ncommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(nouns); i++)
		if (!commands || commands == nouns[i])
			list_commands(nouns[i]);
	printf("\noptions:\n");
	opts_help(global_options, stdout);
	printf("\nvmqctl COMMAND --help tells the options of a command.\n");
}

/* ---- parsing ------------------------------------------------------------ */

static void join_tables(const struct opt *more, struct opt *out)
{
	size_t n = 0;

	for (const struct opt *o = global_options; o->name; o++)
		out[n++] = *o;
	for (const struct opt *o = more; o && o->name && n < OPTIONS_MAX - 1; o++)
		out[n++] = *o;
	out[n] = (struct opt){ .name = NULL };
}

/*
 * An option whose argument is in brackets may do without: "--watch" alone
 * becomes "--watch=", and only a number after it is its argument.
 */
static void complete_optional(const struct opt *table, int argc, char **argv, char *bare,
			      size_t size)
{
	for (const struct opt *o = table; o->name; o++) {
		if (!o->arg || o->arg[0] != '[')
			continue;
		snprintf(bare, size, "--%s=", o->name);
		for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
			const char *next = i + 1 < argc ? argv[i + 1] : "";

			if (strncmp(argv[i], bare, strlen(bare) - 1) ||
			    argv[i][strlen(bare) - 1])
				continue;
			if (!*next || next[strspn(next, "0123456789")])
				argv[i] = bare;
		}
	}
}

static int check_words(const struct command *cmd, int n, struct vmq_err *err)
{
	char name[64];

	if (n >= cmd->min && (n <= cmd->max || cmd->max < 0))
		return 0;
	name_command(cmd, name, sizeof(name));
	if (n < cmd->min)
		return vmq_err(err, -EINVAL, "%s needs %s; see vmqctl %s --help", name, cmd->args,
			       name);
	return vmq_err(err, -EINVAL, "too many words for %s%s%s; see vmqctl %s --help", name,
		       *cmd->args ? " " : "", cmd->args, name);
}

/* Find the command and run it: 0 or -errno with c->err. */
static int run(struct ctl *c, int argc, char **argv)
{
	struct opt table[OPTIONS_MAX];
	const struct command *cmd;
	const char *found[2];
	char bare[32];
	int taken, rc;

	find_words(argc, argv, found);
	cmd = find_command(found[0], found[1], &c->err);
	if (!cmd)
		return c->err.code;
	join_tables(cmd->options, table);
	complete_optional(table, argc, argv, bare, sizeof(bare));
	rc = opts_parse(table, &c->opt, &argc, argv, &c->err);
	if (rc)
		return rc;
	if (c->opt.version) {
		printf("vmqctl %s\n", VMQ_VERSION);
		return 0;
	}
	if (c->opt.help) {
		if (!found[0] || (!found[1] && cmd->verb))
			help_commands(found[0] ? cmd : NULL);
		else
			help_command(cmd);
		return 0;
	}
	taken = 1 + !!found[0] + (found[1] && cmd->verb);
	rc = check_words(cmd, argc - taken, &c->err);
	if (rc)
		return rc;
	return cmd->fn(c, argc - taken, argv + taken);
}

int main(int argc, char **argv)
{
	struct ctl c = { .err = VMQ_ERR_INIT };
	int rc;

	setlocale(LC_ALL, "");
	rc = run(&c, argc, argv);
	if (!rc && (fflush(stdout) || ferror(stdout)))
		rc = vmq_err_sys(&c.err, -EIO, "cannot write the output");
	ctl_complain(&c);
	vmq_close(c.vmq);
	return rc ? vmq_err_exit(rc) : 0;
}
