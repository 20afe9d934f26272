// SPDX-License-Identifier: GPL-2.0-only
/*
 * state.c - the life of a queue, as one table
 *
 * Rows are what happens, columns the states; a cell is the next state, or NO:
 * refused, and nothing changes (S-2). What a move *does* is the control plane's
 * business (user/control); what is *allowed* is decided here and nowhere else,
 * so "free needs all filters gone" (S-3), "no second complete" (S-6) or "an id
 * that is still freeing cannot be allocated" are cells, not code.
 */
#include <errno.h>

#include "adapter/state.h"

#define NO	(-1)
#define UND	QUEUE_UNDEFINED
#define ALL	QUEUE_ALLOCATED
#define SET	QUEUE_SET
#define RUN	QUEUE_RUNNING
#define PAU	QUEUE_PAUSED
#define STP	QUEUE_STOP_DMA
#define FRE	QUEUE_FREEING

static const struct {
	const char *name;
	short next[QUEUE_STATES];
} events[QUEUE_EVENTS] = {
	/*			  name		     UND  ALL  SET  RUN  PAU  STP  FRE */
	[QUEUE_EV_ALLOCATE]	= { "allocate",	   { ALL, NO,  NO,  NO,  NO,  NO,  NO  } },
	[QUEUE_EV_PARAMETERS]	= { "parameters",  { NO,  ALL, SET, RUN, PAU, NO,  NO  } },
	[QUEUE_EV_SET_FILTER]	= { "set-filter",  { NO,  SET, SET, RUN, RUN, NO,  NO  } },
	[QUEUE_EV_CLEAR]	= { "clear",	   { NO,  NO,  SET, RUN, NO,  NO,  NO  } },
	[QUEUE_EV_CLEAR_LAST]	= { "clear-last",  { NO,  NO,  ALL, PAU, NO,  NO,  NO  } },
	[QUEUE_EV_ENUM_FILTERS]	= { "enumerate-filters", { NO, ALL, SET, RUN, PAU, NO, NO } },
	[QUEUE_EV_QUERY_FILTER]	= { "query-filter", { NO, NO,  SET, RUN, NO,  NO,  NO  } },
	[QUEUE_EV_COMPLETE]	= { "complete",	   { NO,  PAU, RUN, NO,  NO,  NO,  NO  } },
	[QUEUE_EV_FREE]		= { "free",	   { NO,  STP, NO,  NO,  STP, NO,  NO  } },
	[QUEUE_EV_DMA_STOPPED]	= { "dma-stopped", { NO,  NO,  NO,  NO,  NO,  FRE, NO  } },
	[QUEUE_EV_RELEASED]	= { "released",	   { NO,  NO,  NO,  NO,  NO,  NO,  UND } },
};

/* The numbers of NDIS_RECEIVE_QUEUE_OPERATIONAL_STATE. */
enum operational { OP_UNDEFINED, OP_RUNNING, OP_PAUSED, OP_DMA_STOPPED };

static const char *const operational_names[] = {
	[OP_UNDEFINED]	 = "undefined",
	[OP_RUNNING]	 = "running",
	[OP_PAUSED]	 = "paused",
	[OP_DMA_STOPPED] = "dma-stopped",
};

/*
 * A queue in StopDMA still shows as paused: "DMA stopped" is what is announced
 * when nothing can be written any more (S-9), and the queue is Freeing then.
 */
static const struct {
	const char *name;
	enum operational op;
} states[QUEUE_STATES] = {
	[QUEUE_UNDEFINED] = { "undefined", OP_UNDEFINED },
	[QUEUE_ALLOCATED] = { "allocated", OP_PAUSED },
	[QUEUE_SET]	  = { "set",	   OP_PAUSED },
	[QUEUE_RUNNING]	  = { "running",   OP_RUNNING },
	[QUEUE_PAUSED]	  = { "paused",	   OP_PAUSED },
	[QUEUE_STOP_DMA]  = { "stop-dma",  OP_PAUSED },
	[QUEUE_FREEING]	  = { "freeing",   OP_DMA_STOPPED },
};

int state_next(enum queue_state from, enum queue_event ev)
{
	int next;

	if ((unsigned int)from >= QUEUE_STATES || (unsigned int)ev >= QUEUE_EVENTS)
		return -EINVAL;
	next = events[ev].next[from];
	return next == NO ? -EBADFD : next;
}

const char *state_name(enum queue_state s)
{
	return (unsigned int)s < QUEUE_STATES ? states[s].name : "?";
}

const char *state_event_name(enum queue_event ev)
{
	return (unsigned int)ev < QUEUE_EVENTS ? events[ev].name : "?";
}

int state_operational(enum queue_state s)
{
	return (unsigned int)s < QUEUE_STATES ? (int)states[s].op : (int)OP_UNDEFINED;
}

const char *state_operational_name(enum queue_state s)
{
	return operational_names[state_operational(s)];
}
