/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.h - the life of a queue, as one table
 *
 * The states and the legal moves between them, NDIS section 4 of the
 * behaviour list (S-1 ... S-13). The table is the only place that knows: the
 * code runs it, the manual prints it, the tests walk it. Pure functions.
 */
#ifndef VMQ_STATE_H
#define VMQ_STATE_H

#include <stdbool.h>

enum queue_state {
	QUEUE_UNDEFINED,
	QUEUE_ALLOCATED,
	QUEUE_SET,
	QUEUE_RUNNING,
	QUEUE_PAUSED,
	QUEUE_STOP_DMA,
	QUEUE_FREEING,
	QUEUE_STATES,
};

enum queue_event {
	QUEUE_EV_ALLOCATE,
	QUEUE_EV_PARAMETERS,	/* query or set */
	QUEUE_EV_SET_FILTER,
	QUEUE_EV_CLEAR,		/* not the last filter */
	QUEUE_EV_CLEAR_LAST,
	QUEUE_EV_ENUM_FILTERS,
	QUEUE_EV_QUERY_FILTER,
	QUEUE_EV_COMPLETE,
	QUEUE_EV_FREE,
	QUEUE_EV_DMA_STOPPED,
	QUEUE_EV_RELEASED,	/* all frames back, all resources freed */
	QUEUE_EVENTS,
};

/* Next state, or -EBADFD where the table has an "x". */
int state_next(enum queue_state from, enum queue_event ev);

const char *state_name(enum queue_state s);	/* "allocated" … */
const char *state_event_name(enum queue_event ev);	/* "set-filter" … */

/* What tools see (S-13): Undefined 0, Running 1, Paused 2, DmaStopped 3. */
int state_operational(enum queue_state s);
const char *state_operational_name(enum queue_state s);

#endif /* VMQ_STATE_H */
