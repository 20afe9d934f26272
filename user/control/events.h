/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * events.h - things that happen: from any thread to the monitors
 *
 * Channels report from whatever thread noticed; the report goes through a pipe
 * (one atomic write) to the control thread, which sends it to the monitors. A
 * full pipe drops the report: events are news, not state.
 */
#ifndef VMQ_EVENTS_H
#define VMQ_EVENTS_H

#include <jansson.h>

#include "control/service.h"

int events_open(struct service *s, struct vmq_err *err);
void events_close(struct service *s);

/* Any thread. @what: "up", "down", "lost"; @detail may be NULL. */
void event_post(struct service *s, uint32_t queue, const char *what, const char *detail);

/* Control thread: s->event_fd[0] is readable. */
void events_dispatch(struct service *s);

/* Send @event and drop it; nothing happens before the server is there. */
void server_event_take(struct server *server, json_t *event);

#endif /* VMQ_EVENTS_H */
