/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * events.c - channel reports on their way to the monitors
 */
#include "control/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/log.h"
#include "control/queue.h"

struct report {			/* one atomic write: below PIPE_BUF */
	uint32_t queue;
	char	 what[16];
	char	 detail[160];
};

int events_open(struct service *s, struct vmq_err *err)
{
	if (pipe2(s->event_fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		s->event_fd[0] = s->event_fd[1] = -1;
		return vmq_err_sys(err, -errno, "cannot make the event pipe");
	}
	return 0;
}

void events_close(struct service *s)
{
	int i;

	for (i = 0; i < 2; i++)
		if (s->event_fd[i] >= 0)
			close(s->event_fd[i]);
	s->event_fd[0] = s->event_fd[1] = -1;
}

void event_post(struct service *s, uint32_t queue, const char *what, const char *detail)
{
	struct report r = { .queue = queue };

	snprintf(r.what, sizeof(r.what), "%s", what);
	snprintf(r.detail, sizeof(r.detail), "%s", detail ? detail : "");
	if (write(s->event_fd[1], &r, sizeof(r)) != (ssize_t)sizeof(r))
		log_debug("an event of queue %u was dropped: the pipe is full", queue);
}

void events_dispatch(struct service *s)
{
	struct report r;

	while (read(s->event_fd[0], &r, sizeof(r)) == (ssize_t)sizeof(r)) {
		struct queue *q = r.queue <= VMQ_QUEUES_MAX ? s->queue[r.queue] : NULL;

		if (!q)
			continue;
		log_info("queue %s: channel %s%s%s", q->rec.name, r.what, *r.detail ? ": " : "",
			 r.detail);
		server_event_take(s->server,
				  json_pack("{s:s, s:i, s:s, s:s, s:s}", "event", "channel", "queue",
					    (int)q->id, "name", q->rec.name, "what", r.what,
					    "detail", r.detail));
	}
}

void server_event_take(struct server *server, json_t *event)
{
	if (server && event)
		server_event(server, event);
	json_decref(event);
}
