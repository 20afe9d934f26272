#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# Counters outlive the service: after a restart, orderly or not, none is less than
# before, and every frame that the program has ever matched is delivered, dropped with a
# reason, or lost_at_restart.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02

setup()
{
	make_wire 2
	make_guest g1
	make_guest g2
	start_load --tags frame
	for n in 1 2; do
		ctl queue add vm$n --mac 52:54:00:00:00:0$n --channel tap:eth0,netns=g$n --ring 64
		quiet eth0 g$n
	done
}

# traffic RATE: to both queues and to nobody, until `reap gen`
traffic()
{
	ip netns exec wire "$PROG/frame-send" --iface wire0 --dst $M1,$M2,52:54:00:00:00:99 \
		--count 1000000000 --rate "$1" >/dev/null 2>&1 3>&- &
	remember $! gen
}

delivers()
{
	[ "$(stat_of vm1 delivered)" -gt "$1" ]
}

# No counter of $2, but what lies there now, is less than in $1. Workers (cpus) are new.
not_less()
{
	jq -en --argjson a "$1" --argjson b "$2" '
		[$a | paths(numbers)] | map(select((last == "in_flight" or last == "id" or first == "cpus") | not)) |
		map(. as $p | select(($a | getpath($p)) > ($b | getpath($p) // 0)) |
			{path: (map(tostring) | join(".")), was: ($a | getpath($p)),
			 is: ($b | getpath($p))}) | if . == [] then true else halt_error end'
}

# Everything that the program has seen, ever, is somewhere.
all_there()
{
	local stats
	wait_until 10 at_rest vm1 && wait_until 10 at_rest vm2 || return 1
	stats=$(ctl stats -j)
	jq -e '.adapter.frames == (.adapter | .unmatched + .multicast + .malformed + .filtered +
		.rxq_range) + ([.queues[].stats | .matched + .to_host] | add)' <<<"$stats" >/dev/null || {
		echo "$stats" >&2
		return 1
	}
}

settled()
{
	local before
	before=$(adapter_stat frames)
	[ "$(adapter_stat frames)" = "$before" ]
}

@test "kill -9 under traffic: counters go on, and every frame is accounted for" {
	traffic 5000
	for i in {1..4}; do
		wait_until 10 delivers $((i * 200))
		before=$(ctl stats -j)
		# A frame on its way may have been seen twice: go on past that.
		wait_until 10 delivers $((i * 200 + 100))
		stop_load KILL || :
		start_load --tags frame
		not_less "$before" "$(ctl stats -j)"
	done
	wait_until 20 delivers 1000
	reap gen || :
	wait_until 10 settled
	all_there
	# What was lost may have reached the guest, unseen; and of the switch's frames the one
	# that each worker had in hand.
	for n in 1 2; do
		got=$(ip -n g$n -s -j link show eth0 | jq '.[0].stats64.rx.packets')
		ctl stats vm$n -j
		ctl stats vm$n -j | jq -e --argjson got "$got" --argjson hands $((4 * $(nproc))) '
			.queues[0].stats | (.delivered + .switch_delivered) as $sure |
			$got >= $sure and $got <= $sure + .lost_at_restart + $hands'
	done
}

@test "kill -9 of a service whose guest is stalled: what lay in the ring is lost_at_restart" {
	ctl queue pause vm1
	send_frames --dst $M1 --count 300 --rate 3000
	wait_until 10 stat_reaches vm1 matched 300
	# Frames go to two RX queues or one: 64 to 128 of them lie in rings.
	waiting=$(stat_of vm1 in_flight) full=$(stat_of vm1 dropped.ring_full)
	[ $((waiting + full)) -eq 300 ]
	stop_load KILL || :
	start_load --tags frame
	[ "$(stat_of vm1 lost_at_restart)" -eq "$waiting" ]
	[ "$(stat_of vm1 dropped.ring_full)" -eq "$full" ]
	all_there
	# A queue with an old id begins at zero.
	ctl queue del vm1
	ctl queue add vm3 --mac $M1
	[ "$(ctl queue show vm3 -j | jq .queue.id)" -eq 1 ]
	[ "$(stat_of vm3 matched)" -eq 0 ]
	[ "$(stat_of vm3 lost_at_restart)" -eq 0 ]
}

@test "an upgrade (--keep) under traffic: counters go on and nothing is lost_at_restart" {
	stop_load
	start_load --tags frame --keep
	for n in 1 2; do
		ctl queue add vm$n --mac 52:54:00:00:00:0$n --channel tap:eth0,netns=g$n
		quiet eth0 g$n
	done
	traffic 5000
	for i in {1..3}; do
		wait_until 10 delivers $((i * 200))
		before=$(ctl stats -j)
		# A frame on its way may have been seen twice: go on past that.
		wait_until 10 delivers $((i * 200 + 100))
		stop_load
		start_load --tags frame --keep
		not_less "$before" "$(ctl stats -j)"
	done
	wait_until 20 delivers 800
	reap gen || :
	wait_until 10 settled
	all_there
	[ "$(stat_of vm1 lost_at_restart)" -eq 0 ]
	[ "$(stat_of vm2 lost_at_restart)" -eq 0 ]
}
