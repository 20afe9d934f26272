// SPDX-License-Identifier: GPL-2.0-only
/*
 * channel.c - from a specification to a channel
 *
 * The only place that knows which kinds there are: one table of their function
 * tables.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "channel/channel.h"

const struct channel_ops *const channel_kinds[] = {
	&channel_tap,
	&channel_vhost_user,
	NULL,
};

/* "none, tap:IFNAME[,netns=NAME|PID]" */
static void channel_usages(char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size, "none");

	for (const struct channel_ops *const *k = channel_kinds; *k && at < size; k++)
		at += (size_t)snprintf(text + at, size - at, ", %s", (*k)->usage);
}

int channel_open(struct channel **out, const char *spec,
		 const struct channel_config *cfg, struct vmq_err *err)
{
	size_t word = strcspn(spec, ":");
	char usages[256];

	if (!strcmp(spec, "none")) {
		*out = NULL;
		return 0;
	}
	for (const struct channel_ops *const *k = channel_kinds; *k; k++) {
		if (strlen((*k)->kind) != word || strncmp((*k)->kind, spec, word))
			continue;
		if (!spec[word])
			return vmq_err(err, -EINVAL, "channel '%s' has no arguments; write %s",
				       spec, (*k)->usage);
		return (*k)->open(out, spec + word + 1, cfg, err);
	}
	channel_usages(usages, sizeof(usages));
	return vmq_err(err, -EINVAL, "unknown kind of channel '%.*s'; there are: %s",
		       (int)word, spec, usages);
}
