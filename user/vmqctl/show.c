// SPDX-License-Identifier: GPL-2.0-only
/*
 * show.c - the adapter and its queues
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/util.h"
#include "vmqctl/out.h"
#include "vmqctl/queue.h"
#include "vmqctl/vmqctl.h"

static int show(struct ctl *c, int n, char **word)
{
	static const char *const skip[] = { "name", "version", NULL };
	const json_t *adapter;
	json_t *result;
	char *name;

	(void)n;
	(void)word;
	result = ctl_call(c, "show", json_object());
	if (!result)
		return c->err.code;
	if (!ctl_json(c, result)) {
		adapter = json_object_get(result, "adapter");
		name = out_text(json_object_get(adapter, "name"));
		printf("Adapter %s\n", name);
		free(name);
		out_fields(adapter, skip);
		printf("\n");
		queue_table(json_object_get(result, "queues"));
	}
	json_decref(result);
	return 0;
}

const struct command show_commands[] = {
	{ "show", NULL, "", 0, 0, NULL, show, "the adapter and its queues (the default)" },
	{ .noun = NULL },
};
