// SPDX-License-Identifier: GPL-2.0-only
/*
 * monitor.c - vmqctl monitor: what happens, as it happens
 *
 * One line per event, written at once, so that it can be piped. The time is
 * ours; events carry none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmqctl/out.h"
#include "vmqctl/vmqctl.h"

/* "12:00:01.250 queue-state queue=1 name=web1 state=running" */
static void print_event(const char *text)
{
	json_t *event = json_loads(text, 0, NULL), *value;
	struct timespec now;
	const char *key;
	struct tm tm;
	char *word;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	word = out_text(json_object_get(event, "event"));
	printf("%02d:%02d:%02d.%03ld %s", tm.tm_hour, tm.tm_min, tm.tm_sec,
	       now.tv_nsec / 1000000, word);
	free(word);
	json_object_foreach(event, key, value) {
		const char *quote;

		if (!strcmp(key, "event") || !strcmp(key, "version"))
			continue;
		word = out_text(value);
		quote = word && strchr(word, ' ') ? "\"" : "";
		printf(" %s=%s%s%s", key, quote, word, quote);
		free(word);
	}
	putchar('\n');
	json_decref(event);
}

static int monitor(struct ctl *c, int n, char **word)
{
	char *text;
	int rc;

	(void)n;
	(void)word;
	rc = ctl_connect(c);
	if (rc)
		return rc;
	rc = vmq_monitor(c->vmq);
	while (rc >= 0 && !ferror(stdout)) {
		rc = vmq_next_event(c->vmq, -1, &text);
		if (rc == -EOVERFLOW) {
			vmq_err(&c->err, rc, "%s", vmq_error(c->vmq));
			ctl_complain(c);
			rc = 0;
		}
		if (rc <= 0)
			continue;
		if (c->opt.json)
			puts(text);
		else
			print_event(text);
		fflush(stdout);
		free(text);
	}
	return rc < 0 ? vmq_err(&c->err, rc, "%s", vmq_error(c->vmq)) : 0;
}

const struct command monitor_commands[] = {
	{ "monitor", NULL, "", 0, 0, NULL, monitor, "print events as they happen" },
	{ .noun = NULL },
};
