#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# Requests at random, several clients at once, against a model of what must come of each
# (tests/prog/model.c): answers, states, records in the pinned maps, the way of frames.
#
# scripts/soak runs it longer: VMQ_MODEL (seconds).
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

MODEL=${VMQ_MODEL:-2}

setup()
{
	make_wire 2
}

# The model knows of two workers.
start()
{
	[ "$(nproc)" -ge 2 ] || skip "one CPU"
	start_load --tags frame --cpus 0-1 "$@"
}

# model ARG...: its report is in $output
model()
{
	run timeout $((MODEL * 3 + 60)) "$PROG/model" --seconds "$MODEL" --wire wire0 --netns /run/netns/wire "$@"
	echo "$output"
	[ "$status" -eq 0 ]
	report "model $*: ${lines[*]: -1}"
}

what_is_left()
{
	ctl show -j | jq -c '.adapter | [.queues.used, .filters.used, .frames.free]'
	find "/proc/$(load_pid)/fd" -mindepth 1 | wc -l
	ip -j -d link show type tun | jq -c '[.[].ifname // empty]'
}

@test "whatever is asked, by one or several at once: answers, states, maps and frames are as a model says" {
	start
	"$PROG/model" --seconds 0.3 --clients 2
	before=$(what_is_left)
	model --clients 1
	model --clients 4
	[ "$(what_is_left)" = "$before" ]
}

@test "the same where queues, pairs and buffers are scarce: what is refused changes nothing" {
	start --queues 4 --pairs 6 --frames 512
	model --clients 3 --scarce
	[ "$(ctl show -j | jq -c '.adapter | [.queues.used, .pairs.used, .filters.used]')" = "[0,0,0]" ]
}

@test "kill -9 at any moment: of what was asked all or nothing is there after the restart" {
	start
	"$PROG/model" --restarts --seconds $((MODEL * 2)) --clients 2 --wire wire0 --netns /run/netns/wire \
		>"$BATS_TEST_TMPDIR/model" 2>&1 3>&- &
	pid=$!
	remember $pid model
	while ! gone $pid; do
		read -rt "$((RANDOM % 2)).$((RANDOM % 500 + 400))" <> <(:) || :
		stop_load KILL || :
		start_load --tags frame --cpus 0-1
	done
	rc=0
	wait $pid || rc=$?
	cat "$BATS_TEST_TMPDIR/model"
	[ $rc -eq 0 ]
	report "model, kill -9: $(tail -n 1 "$BATS_TEST_TMPDIR/model")"
	stop_load
	check_nothing_left
}
