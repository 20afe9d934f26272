#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Teardown and live changes under traffic lose nothing. What is compared is what the
# program saw (`frames`): a sender may overrun a veth ring before that.
#
# scripts/soak runs it longer and faster: VMQ_ROUNDS, VMQ_MOVES, VMQ_RATE; what it finds
# goes to VMQ_REPORT.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
ROUNDS=${VMQ_ROUNDS:-20}
MOVES=${VMQ_MOVES:-3000}

setup()
{
	make_wire 2
	# Rings of 4,096 frames: what the worker may lag behind on a busy machine.
	start_load --tags frame --queues 8 --frames 16384
	for n in 1 2; do
		make_guest g$n
		in_ns g$n sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	done
}

# background NAME CMD...
background()
{
	local name=$1
	shift
	"$@" >"$BATS_TEST_TMPDIR/$name.json" 2>&1 3>&- &
	remember $! "$name"
}

# generate SECONDS ARG...: in the background, in `wire`
generate()
{
	local seconds=$1
	shift
	background gen ip netns exec wire "$PROG/live-gen" --iface wire0 --seconds "$seconds" "$@"
}

adapter()
{
	ctl stats -j | jq -c '.adapter | [.frames, .unmatched, .multicast]'
}

# settled: nothing comes any more
settled()
{
	local before
	before=$(adapter)
	[ "$(adapter)" = "$before" ]
}

more_than()
{
	[ "$(stat_of "$1" "$2")" -gt "$3" ]
}

# alloc N [ARG...]: queue vmN on its guest's tap, not yet taking frames
alloc()
{
	local n=$1
	shift
	ctl queue alloc "vm$n" --mac "52:54:00:00:00:0$n" --channel "tap:eth0,netns=g$n" --ring 4096 "$@"
	ip -n "g$n" link set eth0 up
}

add()
{
	alloc "$@"
	ctl filter add "vm$1" --mac "52:54:00:00:00:0$1"
	ctl queue complete "vm$1"
}

# received N: by the guest's own stack
received()
{
	ip -n "g$1" -s -j link show eth0 | jq '.[0].stats64.rx.packets'
}

# guest_agrees N: its stack has got all that was delivered
guest_agrees()
{
	local given
	given=$(ctl stats "vm$1" -j | jq '.queues[0].stats | .delivered + .switch_delivered')
	[ "$(received "$1")" -eq "$given" ]
}

# One round: the queue begins, serves, is drained and freed while frames keep coming.
# frames = delivered + counted on queue 0, to the frame.
round()
{
	local before before2 after q d
	alloc 1 || return 1
	before=$(adapter)
	send_on $M1
	wait_until 10 beyond "$before" 100 &&		# on queue 0
		requests "filter.add {\"queue\":\"vm1\",\"macs\":[\"$M1\"]}" \
			'queue.complete {"names":["vm1"]}' >/dev/null &&
		wait_until 10 more_than vm1 delivered 200 || return 1
	d=$(ctl queue drain vm1 -j)
	q=$(ctl stats vm1 -j | jq -c '.queues[0].stats')
	before2=$(adapter)
	wait_until 10 beyond "$before2" 100 || return 1	# on queue 0 again
	reap gen || :
	wait_until 10 settled || return 1
	wait_until 10 guest_agrees 1 || return 1
	ctl queue free vm1 || return 1
	after=$(adapter)
	jq -en --argjson a "$before" --argjson b "$after" --argjson q "$q" --argjson d "$d" '
		($b[0] - $a[0]) == $q.matched + $q.to_host + ($b[1] - $a[1]) + ($b[2] - $a[2]) and
		$q.matched == $q.delivered and $q.in_flight == 0 and ([$q.dropped[]] | add) == 0 and
		$d.discarded == 0' >/dev/null || {
		echo "round $1: $before $after $q $d" >&2
		return 1
	}
	report "$(jq -rn --argjson a "$before" --argjson b "$after" --argjson q "$q" --argjson d "$d" \
		--arg n "$1" '"teardown round \($n): frames \($b[0] - $a[0]) = delivered \($q.delivered) + " +
		"queue 0 \($b[1] - $a[1]); drain \($d.ms) ms, delivered by it \($d.delivered)"')"
}

# send_on MAC[,MAC]: frames at a rate that the guests sustain, until `reap gen`
send_on()
{
	background gen ip netns exec wire "$PROG/frame-send" --iface wire0 --dst "$1" \
		--count 1000000000 --rate "${VMQ_RATE:-5000}"
}

beyond()
{
	[ "$(adapter_stat frames)" -gt $(($(jq '.[0]' <<<"$1") + $2)) ]
}

@test "L-1 L-5 L-6 S-12 rounds of add, traffic, drain, free: every frame is delivered or counted on queue 0" {
	for ((i = 1; i <= ROUNDS; i++)); do
		round $i || return 1
	done
	[ "$(ctl show -j | jq .adapter.frames.free)" -eq 16384 ]
}

@test "L-2 a stalled VM's queue is freed, and its neighbour loses nothing" {
	add 2
	send_on $M1,$M2
	for i in {1..8}; do
		add 1
		wait_until 10 more_than vm1 matched 200
		ctl queue pause vm1
		ms=$(requests 'queue.del {"name":"vm1"}' | jq '.result.ms | floor')
		report "stalled VM, free $i: $ms ms"
		[ "$ms" -lt $((1000 * SLOW)) ]
	done
	reap gen || :
	wait_until 10 settled
	wait_until 10 at_rest vm2
	[ "$(stat_of vm2 delivered)" -gt 800 ]
	ctl stats vm2
	[ "$(stat_of vm2 delivered)" -eq "$(stat_of vm2 matched)" ]
	wait_until 10 guest_agrees 2
}

# sum KEY: over all queues
sum()
{
	ctl stats -j | jq "[.queues[].stats.$1] | add"
}

@test "F-20 filter move is atomic at full rate: each frame on one of the two queues, none lost or on queue 0" {
	for n in 1 2; do
		add $n
		ctl filter add vm$n --mac "52:54:00:00:0f:0$n"	# stays: the queue keeps running
	done
	before=$(adapter)
	id=$(ctl filter list vm1 -j | jq --arg m $M1 '.filters[] | select(.mac == $m) | .id')
	generate 600 --dst $M1
	wait_until 10 more_than vm1 matched 1000
	run -0 "$PROG/repeat" "$MOVES" filter.move "{\"id\":$id,\"queue\":\"vm2\"}" \
		filter.move "{\"id\":$id,\"queue\":\"vm1\"}"
	report "filter move: $output"
	wait_until 10 more_than vm2 matched 0
	reap gen || :
	wait_until 10 settled
	after=$(adapter)
	wait_until 10 at_rest vm1
	wait_until 10 at_rest vm2
	[ "$(jq -n "${after}[0] - ${before}[0]")" -eq "$(sum matched)" ]
	[ "$(jq -n "${after}[1] - ${before}[1]")" -eq 0 ]
	[ "$(sum to_host)" -eq 0 ]
	[ "$(sum dropped.redirect_failed)" -eq 0 ]
	[ "$(sum dropped.no_buffer)" -eq 0 ]
	report "filter move: frames $(sum matched): vm1 $(stat_of vm1 matched), vm2 $(stat_of vm2 matched), queue 0 none"
}

@test "F-20 a queue that loses its last filter to a move delivers all it has got" {
	add 1
	add 2
	before=$(adapter)
	id=$(ctl filter list vm1 -j | jq '.filters[0].id')
	send_on $M1
	wait_until 10 more_than vm1 matched 100
	run -0 "$PROG/repeat" 10 filter.move "{\"id\":$id,\"queue\":\"vm2\"}" \
		filter.move "{\"id\":$id,\"queue\":\"vm1\"}"
	reap gen || :
	wait_until 10 settled
	wait_until 10 at_rest vm1
	wait_until 10 at_rest vm2
	after=$(adapter)
	[ "$(jq -n "${after}[0] - ${before}[0]")" -eq "$(sum delivered)" ]
	[ "$(stat_of vm2 delivered)" -gt 0 ]
}

@test "filter apply under traffic: all or nothing, no frame on queue 0" {
	for n in 1 2; do
		add $n
		ctl filter add vm$n --mac "52:54:00:00:0f:0$n"
	done
	before=$(adapter)
	generate 600 --dst $M1,$M2 --one-in 4
	wait_until 10 more_than vm1 matched 1000
	swap() {
		jq -nc --arg a "$1" --arg b "$2" --arg m1 $M1 --arg m2 $M2 --arg last "$3" '{changes: [
			{op: "move", mac: $m1, vlan: "untagged", queue: $a},
			{op: "move", mac: $m2, vlan: "untagged", queue: $b},
			{op: "move", mac: $last, vlan: "untagged", queue: $a}]}'
	}
	run -0 "$PROG/repeat" --any $((MOVES / 10)) filter.apply "$(swap vm2 vm1 $M2)" \
		filter.apply "$(swap vm1 vm2 52:54:00:00:99:99)" \
		filter.apply "$(swap vm1 vm2 $M1)" filter.apply "$(swap vm2 vm1 52:54:00:00:99:99)"
	report "filter apply: $output"
	[ "$(jq .failed <<<"$output")" -eq $((MOVES / 20)) ]
	reap gen || :
	wait_until 10 settled
	wait_until 10 at_rest vm1
	wait_until 10 at_rest vm2
	after=$(adapter)
	[ "$(jq -n "${after}[0] - ${before}[0]")" -eq "$(sum matched)" ]
	[ "$(jq -n "${after}[1] - ${before}[1]")" -eq 0 ]
}

@test "R-13 moves between CPUs under traffic lose and reorder nothing" {
	[ "$(nproc)" -ge 2 ] || skip "one CPU"
	add 1 --cpu 0
	before=$(adapter)
	start_recv vm1 g1 eth0 --seq --timeout 120
	send_on $M1
	wait_until 10 more_than vm1 matched 100
	run -0 "$PROG/repeat" $((MOVES / 10)) queue.set '{"name":"vm1","cpus":[1]}' \
		queue.set '{"name":"vm1","cpus":[0]}'
	report "CPU moves: $output"
	reap gen || :
	wait_until 10 settled
	wait_until 10 at_rest vm1
	delivered=$(stat_of vm1 delivered)
	after=$(adapter)
	[ "$delivered" -eq "$(stat_of vm1 matched)" ]
	[ "$(jq -n "${after}[0] - ${before}[0]")" -eq "$delivered" ]
	kill -INT "$(<"$BATS_TEST_TMPDIR/pid-recv-vm1")"
	wait "$(<"$BATS_TEST_TMPDIR/pid-recv-vm1")" || :
	rm -f "$BATS_TEST_TMPDIR/pid-recv-vm1"
	output=$(<"$BATS_TEST_TMPDIR/recv-vm1.json")
	[ "$(jq .reordered <<<"$output")" -eq 0 ]
	[ "$(jq .doubles <<<"$output")" -eq 0 ]
	wait_until 10 guest_agrees 1
	report "CPU moves: $delivered frames, none lost or out of order"
}
