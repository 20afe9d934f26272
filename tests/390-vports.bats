#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# A VPort of NDIS is a queue here, and a queue pair a pair: what section 9.1 says of
# VPorts and of the pool of pairs, over the control socket.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02

setup()
{
	make_wire 2
}

phase_of()
{
	ctl queue show "$1" -j | jq -r .queue.phase
}

unmatched_is()
{
	[ "$(adapter_stat unmatched)" -eq "$1" ]
}

# start_monitor: events into $EVENTS
start_monitor()
{
	EVENTS=$BATS_TEST_TMPDIR/events
	"$VMQ_BUILD/vmqctl" monitor -j >"$EVENTS" 2>&1 </dev/null 3>&- &
	remember $! monitor
	wait_until 5 monitored
}

# Something that is told: the monitor listens.
monitored()
{
	ctl queue alloc probe
	ctl queue free probe
	grep -q '"queue-state"' "$EVENTS"
}

# frames_free: of the buffers that rings can be given
frames_free()
{
	ctl show -j | jq .adapter.frames.free
}

@test "Q-1 VPort 0 is active from the start, with no filter of its own, and cannot be deleted alone" {
	start_load --tags frame
	[ "$(ctl queue list -j | jq -c '.queues[0] | [.id, .phase, .filters]')" = '[0,"running",0]' ]
	for verb in del free drain pause; do
		for name in 0 host; do
			run -2 ctl queue $verb $name
			[[ $output == *"queue 0 is the host: it is always there"* ]]
		done
	done
	# nor with others
	ctl queue add q --mac $M1
	run ctl queue del q host
	[ "$status" -ne 0 ]
	[ "$(ctl queue list -j | jq -c '[.queues[] | .name]')" = '["host"]' ]
	send_frames --dst $M1 --count 10
	wait_until 5 unmatched_is 10
}

@test "Q-2 a VPort begins deactivated; activation is for good, until it is deleted" {
	start_load --tags frame
	ctl queue alloc q --mac $M1
	[ "$(phase_of q)" = allocated ]
	run -4 ctl rss move q primary=0
	[[ $output == *"queue q is not active: it is allocated"* ]]
	ctl queue complete q
	active() { ctl rss move q primary=0 && [ "$(ctl show -j | jq .adapter.pairs.used)" -eq 1 ]; }
	active
	# Nothing takes that back: it stays active without filters, drained or paused.
	run -4 ctl queue complete q
	ctl filter add q --mac $M1
	ctl queue drain q
	active
	ctl queue pause q
	active
	ctl queue resume q
	ctl filter add q --mac $M1
	[ "$(phase_of q)" = running ]
	ctl queue del q
	ctl queue alloc q --mac $M1
	[ "$(phase_of q)" = allocated ]
	[ "$(ctl show -j | jq .adapter.pairs.used)" -eq 0 ]
}

@test "Q-3 a VPort passes traffic if it is active and has a filter, and not else" {
	start_load --tags frame
	seen=0
	# ACTIVE FILTER, by the shortest way
	for way in "no no" "no yes" "yes no" "yes yes"; do
		ctl queue alloc q --mac $M1
		[ "${way#* }" = no ] || ctl filter add q --mac $M1
		[ "${way% *}" = no ] || ctl queue complete q
		send_frames --dst $M1 --count 10
		if [ "$way" = "yes yes" ]; then
			wait_until 5 stat_reaches q matched 10
		else
			seen=$((seen + 10))
			wait_until 5 unmatched_is $seen
			[ "$(stat_of q matched)" -eq 0 ]
		fi
		unmatched_is $seen
		ctl queue del q
	done
}

@test "Q-4 delete wants filters cleared or moved; DMA stops once, frames and memory come back" {
	start_load --tags frame
	ctl queue alloc probe
	ctl queue free probe
	start_monitor
	before=$(frames_free)
	ctl queue add a --mac $M1 --ring 64
	ctl queue add b --mac $M2 --ring 64
	wait_until 5 test "$(frames_free)" -eq $((before - 128))
	run -4 ctl queue free a
	[[ $output == *"queue a still has 1 filter"* ]]
	# frames wait in it
	ctl queue pause a
	send_frames --dst $M1 --count 20
	wait_until 5 stat_reaches a matched 20
	ctl filter move "$(ctl filter list a -j | jq .filters[0].id)" b
	[ "$(phase_of a)" = paused ]
	ctl queue free a
	run -3 ctl queue show a
	[ "$(frames_free)" -eq $((before - 64)) ]
	# filter and all, the moved one too
	ctl queue del b
	[ "$(frames_free)" -eq "$before" ]
	for q in a b; do
		wait_until 5 stopped_once $q
	done
}

# stopped_once QUEUE: DMA-stopped was told once, and nothing more than its end after it
stopped_once()
{
	jq -se --arg q "$1" '[.[] | select(.name == $q) | if .event == "queue-state" then .phase
		else .event end] | .[-3:] == ["dma-stopped", "freeing", "undefined"] and
		([.[] | select(. == "dma-stopped")] | length) == 1' "$EVENTS"
}

@test "Q-6 a change touches the members that it names; CPUs are for VM queues, not for the host's" {
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	start_load --tags frame --cpus 0,1
	ctl queue add q --mac $M1 --pairs 2 --cpu 0,1 --vm one --weight 7
	all() { ctl rss show 1 -j | jq -cS .rss && ctl queue show 1 -j |
		jq -cS '.queue | del(.filter_list)'; }
	# changed FILTER CMD...: FILTER says what changes in the two objects
	changed()
	{
		local filter=$1 before
		before=$(all)
		shift
		"$@"
		[ "$(all)" = "$(jq -cS "$filter" <<<"$before")" ]
	}
	changed 'if .vm then .vm = "two" else . end' ctl queue set q --vm two
	changed 'if .weight then .weight = 9 else . end' ctl queue set q --weight 9
	changed 'if .name == "q" then .name = "p" else . end' ctl queue set q --name p
	changed 'if .name == "p" then .name = "q" else . end' ctl queue set p --name q
	changed 'if .key then .types = ["tcp4"] | .effective.types = ["tcp4"] else . end' \
		ctl rss set q --types tcp4
	changed 'if .key then .primary = 1 else . end' ctl rss set q --primary 1
	changed 'if .key then .table[5] = 0 | .effective.table[5] = 0 |
		.effective.pair_of_entry[5] = .effective.pair_of_entry[0] else . end' \
		ctl rss move q 5=0
	for way in "queue set host --cpu 1" "queue set 0 --cpu 1"; do
		# shellcheck disable=SC2086
		run -2 ctl $way
	done
}

@test "Q-8 pairs come from one pool, unevenly; what exceeds it is refused and changes nothing" {
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	run -2 "$VMQ_BUILD/vmq-load" --queues 4 --pairs 3 $IFACE
	[[ $output == *"--pairs 3: each of 4 queues (--queues) needs one"* ]]
	run -2 "$VMQ_BUILD/vmq-load" --pairs 4097 $IFACE

	# 4 pairs: 2 queues of 2, or one of 2 and two of 1
	start_load --tags frame --cpus 0,1 --queues 4 --pairs 4 --frames 4096
	pairs() { ctl show -j | jq -c '.adapter.pairs | [.used, .max]'; }
	ctl queue add a --mac $M1 --pairs 2
	ctl queue add b --mac $M2 --pairs 2
	[ "$(pairs)" = '[4,4]' ]
	run -5 ctl queue add c --mac 52:54:00:00:00:03
	[[ $output == *"queue c needs 1 of the adapter's 4 pairs (--pairs), but 0 are free"* ]]
	run -3 ctl queue show c
	ctl queue set b --cpu 1
	ctl queue set b --pairs 1
	[ "$(pairs)" = '[3,4]' ]
	run -5 ctl queue add c --mac 52:54:00:00:00:03 --pairs 2
	ctl queue add c --mac 52:54:00:00:00:03
	run -5 ctl queue set b --pairs 2
	[ "$(ctl queue list -j | jq -c '[.queues[1:][] | .pairs]')" = '[2,1,1]' ]
	[ "$(pairs)" = '[4,4]' ]
	# a queue that is not complete takes none
	ctl queue alloc d
	[ "$(pairs)" = '[4,4]' ]
	ctl queue del c
	ctl queue set b --pairs 2
	for m in $M1 $M2; do
		send_frames --dst "$m" --udp 8 --count 80
	done
	wait_until 5 stat_reaches a matched 80
	wait_until 5 stat_reaches b matched 80
	ctl show -j | jq -e '.adapter.capabilities | .pairs_max == 4096 and
		.pairs_per_queue == 64 and .rss_entries_max == 128 and .asymmetric_pairs'
}
