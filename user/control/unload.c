/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * unload.c - what a dead service left besides its pins
 *
 * A channel's device (a TAP) outlives its service on purpose, and only the
 * queue's record tells of it. Once the record goes the device has to go first.
 */
#include <linux/if_ether.h>
#include <stdio.h>
#include <unistd.h>

#include "adapter/place.h"
#include "channel/channel.h"
#include "common/log.h"
#include "control/service.h"

static void no_event(void *arg, const char *what, const char *detail)
{
	(void)arg;
	(void)what;
	(void)detail;
}

/* A channel that is adopted and closed for good takes its device with it. */
int service_discard_channel(const struct vmq_queue_record *rec, void *arg)
{
	struct channel_config cfg = {
		.queue = rec->name,
		.mac = rec->n_macs ? rec->mac[0] : NULL,
		.pairs = rec->channel_pairs,
		.mtu = ETH_MIN_MTU,
		.adopt = true,
		.event = no_event,
	};
	struct vmq_err err = VMQ_ERR_INIT;
	struct channel *ch;

	(void)arg;
	if (!rec->id)		/* queue 0 has none */
		return 0;
	if (channel_open(&ch, rec->channel, &cfg, &err))
		log_warn("queue %s: %s", rec->name, err.text);
	else if (ch)
		ch->ops->close(ch, false);
	return 0;
}

void service_socket_path(const struct attach_config *cfg, char path[SOCKET_PATH_MAX])
{
	snprintf(path, SOCKET_PATH_MAX, "%s/%s.sock", cfg->run_dir, cfg->name);
}

void service_place_note(const struct attach_config *cfg, char path[SOCKET_PATH_MAX])
{
	snprintf(path, SOCKET_PATH_MAX, "%s/%s.place", cfg->run_dir, cfg->name);
}

int service_unload(const struct attach_config *cfg, struct vmq_err *err)
{
	char path[SOCKET_PATH_MAX];
	int rc;

	rc = attach_unload(cfg->name, cfg->pin_dir, cfg->run_dir, cfg->lost, err);
	if (rc)
		return rc;
	service_socket_path(cfg, path);
	unlink(path);
	service_place_note(cfg, path);
	place_undo_noted(path);
	return 0;
}
