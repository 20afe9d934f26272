// SPDX-License-Identifier: GPL-2.0-only
/*
 * state.c - every cell of the queue's state table
 *
 * The expectation is written independently of user/adapter/state.c: not as a
 * table, but as the list of legal moves, as the state diagram draws them. What
 * is not on the list must be refused.
 */
#include "adapter/state.h"
#include "unit.h"

static const struct move {
	enum queue_event ev;
	enum queue_state from, to;
} moves[] = {
	{ QUEUE_EV_ALLOCATE, QUEUE_UNDEFINED, QUEUE_ALLOCATED },
	/* from Allocated */
	{ QUEUE_EV_PARAMETERS, QUEUE_ALLOCATED, QUEUE_ALLOCATED },
	{ QUEUE_EV_ENUM_FILTERS, QUEUE_ALLOCATED, QUEUE_ALLOCATED },
	{ QUEUE_EV_SET_FILTER, QUEUE_ALLOCATED, QUEUE_SET },
	{ QUEUE_EV_COMPLETE, QUEUE_ALLOCATED, QUEUE_PAUSED },
	{ QUEUE_EV_FREE, QUEUE_ALLOCATED, QUEUE_STOP_DMA },
	/* from Set */
	{ QUEUE_EV_PARAMETERS, QUEUE_SET, QUEUE_SET },
	{ QUEUE_EV_ENUM_FILTERS, QUEUE_SET, QUEUE_SET },
	{ QUEUE_EV_QUERY_FILTER, QUEUE_SET, QUEUE_SET },
	{ QUEUE_EV_SET_FILTER, QUEUE_SET, QUEUE_SET },
	{ QUEUE_EV_CLEAR, QUEUE_SET, QUEUE_SET },
	{ QUEUE_EV_CLEAR_LAST, QUEUE_SET, QUEUE_ALLOCATED },
	{ QUEUE_EV_COMPLETE, QUEUE_SET, QUEUE_RUNNING },
	/* from Running */
	{ QUEUE_EV_PARAMETERS, QUEUE_RUNNING, QUEUE_RUNNING },
	{ QUEUE_EV_ENUM_FILTERS, QUEUE_RUNNING, QUEUE_RUNNING },
	{ QUEUE_EV_QUERY_FILTER, QUEUE_RUNNING, QUEUE_RUNNING },
	{ QUEUE_EV_SET_FILTER, QUEUE_RUNNING, QUEUE_RUNNING },
	{ QUEUE_EV_CLEAR, QUEUE_RUNNING, QUEUE_RUNNING },
	{ QUEUE_EV_CLEAR_LAST, QUEUE_RUNNING, QUEUE_PAUSED },
	/* from Paused */
	{ QUEUE_EV_PARAMETERS, QUEUE_PAUSED, QUEUE_PAUSED },
	{ QUEUE_EV_ENUM_FILTERS, QUEUE_PAUSED, QUEUE_PAUSED },
	{ QUEUE_EV_SET_FILTER, QUEUE_PAUSED, QUEUE_RUNNING },
	{ QUEUE_EV_FREE, QUEUE_PAUSED, QUEUE_STOP_DMA },
	/* teardown */
	{ QUEUE_EV_DMA_STOPPED, QUEUE_STOP_DMA, QUEUE_FREEING },
	{ QUEUE_EV_RELEASED, QUEUE_FREEING, QUEUE_UNDEFINED },
};

static int expected(enum queue_state from, enum queue_event ev)
{
	size_t i;

	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		if (moves[i].from == from && moves[i].ev == ev)
			return moves[i].to;
	}
	return -EBADFD;
}

static void test_cells(void)
{
	int from, ev, want;

	for (ev = 0; ev < QUEUE_EVENTS; ev++) {
		for (from = 0; from < QUEUE_STATES; from++) {
			want = expected(from, ev);
			if (want >= 0)
				is_int(state_next(from, ev), want, "S-1 %s in %s leads to %s",
				       state_event_name(ev), state_name(from), state_name(want));
			else
				is_int(state_next(from, ev), want, "S-2 %s in %s is refused",
				       state_event_name(ev), state_name(from));
		}
	}
}

static void test_paths(void)
{
	int s;

	ok(state_next(QUEUE_SET, QUEUE_EV_FREE) < 0 && state_next(QUEUE_RUNNING, QUEUE_EV_FREE) < 0,
	   "S-3 free is refused while a filter is set");

	s = state_next(QUEUE_ALLOCATED, QUEUE_EV_COMPLETE);
	ok(s == QUEUE_PAUSED && state_next(s, QUEUE_EV_SET_FILTER) == QUEUE_RUNNING,
	   "S-6 complete without filters pauses, the next filter runs");

	s = state_next(QUEUE_ALLOCATED, QUEUE_EV_FREE);
	s = state_next(s, QUEUE_EV_DMA_STOPPED);
	s = state_next(s, QUEUE_EV_RELEASED);
	is_int(s, QUEUE_UNDEFINED, "S-8 a queue that was never completed can be freed");

	is_int(state_next(QUEUE_FREEING, QUEUE_EV_ALLOCATE), -EBADFD,
	       "R-16 an id that is still freeing cannot be allocated");
	is_int(state_next(QUEUE_STATES, QUEUE_EV_FREE), -EINVAL, "no such state");
	is_int(state_next(QUEUE_SET, QUEUE_EVENTS), -EINVAL, "no such event");
}

static void test_operational(void)
{
	static const struct {
		enum queue_state s;
		int number;
		const char *name;
	} shown[] = {
		{ QUEUE_UNDEFINED, 0, "undefined" }, { QUEUE_ALLOCATED, 2, "paused" },
		{ QUEUE_SET, 2, "paused" },	     { QUEUE_RUNNING, 1, "running" },
		{ QUEUE_PAUSED, 2, "paused" },	     { QUEUE_STOP_DMA, 2, "paused" },
		{ QUEUE_FREEING, 3, "dma-stopped" },
	};
	size_t i;

	for (i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		is_int(state_operational(shown[i].s), shown[i].number, "S-13 tools see %s as %d",
		       state_name(shown[i].s), shown[i].number);
		is_str(state_operational_name(shown[i].s), shown[i].name,
		       "S-13 ... and call it %s", shown[i].name);
	}
}

int main(void)
{
	test_cells();
	test_paths();
	test_operational();
	return unit_done();
}
