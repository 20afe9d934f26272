#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# A queue moves to another service: two hosts (namespaces) on one bridge.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01

# Sender s0 -- br0 -- wire0 | vmq0 (here), and -- wire1 | vmq1 (namespace `host2`). The
# bridge knows where the VM is, so that each frame goes to one host only.
setup()
{
	make_wire 2
	ip netns add host2
	ip -n wire link add wire1 numrxqueues 2 numtxqueues 2 type veth \
		peer name vmq1 netns host2 numrxqueues 2 numtxqueues 2
	quiet wire1 wire
	quiet vmq1 host2
	ip -n wire link add br0 type bridge
	ip -n wire link add s0 type veth peer name s1
	for dev in wire0 wire1 s1; do
		ip -n wire link set $dev master br0
	done
	for dev in br0 s0 s1; do
		quiet $dev wire
	done
	vm_is_behind wire0
	start_load --tags frame
	# In this mount namespace, so that it finds bpffs.
	nsenter --net=/run/netns/host2 "$VMQ_BUILD/vmq-load" vmq1 --tags frame \
		>"$BATS_TEST_TMPDIR/load2.log" 2>&1 </dev/null 3>&- &
	remember $! load2
	wait_until 10 ctl -i vmq1 show
	for ns in g1 g2; do
		make_guest $ns
	done
}

teardown()
{
	local rc=0
	reap load2 || { rc=1; cat "$BATS_TEST_TMPDIR/load2.log"; }
	vmq_teardown && return $rc
}

vm_is_behind()
{
	in_ns wire bridge fdb replace $M1 dev "$1" master static
}

one() { ctl -i vmq0 "$@"; }
two() { ctl -i vmq1 "$@"; }

settings()
{
	ctl -i "$1" queue export "$2" | jq -cS .
}

@test "export and import keep all settings of a queue and its filters" {
	one queue add q --mac $M1,52:54:00:00:00:02 --vlan 100 --vm box --pairs 2 --cpu 0 --trust --gro off \
		--ring 128 --weight 7
	one filter add q --mac 52:54:00:00:00:03 --vlan any
	one rss set q --types tcp4,ipv4 --default 0
	one queue export q | two queue import
	[ "$(settings vmq1 q)" = "$(settings vmq0 q)" ]
	[ "$(two queue show q -j | jq -r .queue.phase)" = running ]
	[ "$(two rss show q -j | jq -cS '.rss | del(.id)')" = "$(one rss show q -j | jq -cS '.rss | del(.id)')" ]
	# Also of one that is not complete, and through a file.
	one queue alloc r --weight 0
	one queue export r >"$BATS_TEST_TMPDIR/r.json"
	two queue import "$BATS_TEST_TMPDIR/r.json"
	[ "$(two queue show r -j | jq -r .queue.phase)" = allocated ]
	[ "$(settings vmq1 r)" = "$(settings vmq0 r)" ]
}

@test "import is all or nothing, and says what is wrong" {
	one queue add q --mac $M1
	one filter add q --mac 52:54:00:00:00:03 --vlan 5
	one queue export q >"$BATS_TEST_TMPDIR/q"
	run -4 one queue import "$BATS_TEST_TMPDIR/q"
	[[ $output == *"queue q exists already"* ]]
	two queue add other
	two filter add other --mac 52:54:00:00:00:03 --vlan 5
	before=$(two queue list -j; two filter list -j)
	run -4 two queue import "$BATS_TEST_TMPDIR/q"
	[[ $output == *"other"* ]]
	for change in '.queue.name = 5' '.queue.filters[0].mac = "52"' '.queue.colour = "red"' \
		'.queue.rss = {}' '.queue.rss.table = [0,0,0]' '.queue.pairs = 1000' '.version = 2' \
		'del(.queue)' '.queue.filters[0].vlan = 5' '.queue.rss.key = "00"' '.queue.channel = "x:"'; do
		jq -c "$change" "$BATS_TEST_TMPDIR/q" >"$BATS_TEST_TMPDIR/bad"
		run two queue import "$BATS_TEST_TMPDIR/bad"
		[ "$status" -ne 0 ]
		[ "${#lines[@]}" -eq 1 ]
	done
	run -3 two queue import "$BATS_TEST_TMPDIR/none"
	[[ $output == *"cannot open"* ]]
	run -2 two queue import <<<"no JSON"
	[ "$(two queue list -j; two filter list -j)" = "$before" ]
}

@test "L-3 import where no buffers or CPUs are left: the VM works on queue 0, requests are kept" {
	one queue add q --mac $M1 --pairs 2 --cpu 1
	reap load2
	nsenter --net=/run/netns/host2 "$VMQ_BUILD/vmq-load" vmq1 --tags frame --queues 2 --frames 64 \
		--cpus 0 >"$BATS_TEST_TMPDIR/load2.log" 2>&1 </dev/null 3>&- &
	remember $! load2
	wait_until 10 ctl -i vmq1 show
	two queue add full --mac 52:54:00:00:00:09
	run -0 two queue import --channel tap:eth0,netns=g2 < <(one queue export q)
	[[ $output == *"stays on queue 0"* ]]
	[ "$(two queue show q -j | jq -r .queue.phase)" = set ]
	[ "$(two queue export q | jq -c .queue.rss)" = "$(one queue export q | jq -c .queue.rss)" ]
	quiet eth0 g2
	vm_is_behind wire1
	start_recv vm g2 eth0 --count 10 --timeout 20
	in_ns wire "$PROG/frame-send" --iface s0 --dst $M1 --count 10
	finish_recv vm
	# promoted when there is room, live: no frame is lost on the way
	ip netns exec wire "$PROG/frame-send" --iface s0 --dst $M1 --count 1000 --rate 1000 \
		>/dev/null 3>&- &
	remember $! send
	two queue del full
	wait_until 5 two_is running
	wait_until 10 gone "$(<"$BATS_TEST_TMPDIR/pid-send")"
	wait_until 5 two_has_all
	run -4 two queue complete q
}

# load_two ARG...: the other host's service anew
load_two()
{
	nsenter --net=/run/netns/host2 "$VMQ_BUILD/vmq-load" vmq1 --tags frame "$@" \
		>>"$BATS_TEST_TMPDIR/load2.log" 2>&1 </dev/null 3>&- &
	remember $! load2
	wait_until 10 ctl -i vmq1 show
}

@test "L-3 import where all queues are in use: the VM works on queue 0, is promoted live, and waits over a kill" {
	one queue add q --mac $M1 --channel tap:eth0,netns=g1
	one queue add r --mac 52:54:00:00:00:02
	one queue alloc s --mac 52:54:00:00:00:03
	reap load2
	load_two --queues 1
	two queue add full --mac 52:54:00:00:00:09
	"$VMQ_BUILD/vmqctl" -i vmq1 monitor -j >"$BATS_TEST_TMPDIR/events" 3>&- &
	remember $! monitor
	run -0 --separate-stderr two queue import --channel tap:eth0,netns=g2 < <(one queue export q)
	[[ $stderr == *"stays on queue 0: all 1 queues are in use"* ]]
	# Its id is beyond the limit, and it counts for none.
	run -0 two queue list
	[[ $output =~ 2\ +q\ +-\ +paused\ +set\ +yes ]]
	[ "$(two queue list -j | jq -c '[.queues[] | [.id, .waits]]')" = '[[0,null],[1,null],[2,true]]' ]
	[ "$(two show -j | jq -c .adapter.queues)" = '{"used":1,"max":1,"waiting":1}' ]
	run -5 two queue complete q
	# What is not to run needs a queue of its own, as always (R-7).
	run -5 --separate-stderr two queue import < <(one queue export s)
	[[ $stderr == *"all 1 queues are in use"* ]]
	run -5 two queue add more
	two queue import < <(one queue export r)
	# A guest there is reached, and still is after a kill.
	quiet eth0 g2
	vm_is_behind wire1
	start_recv vm g2 eth0 --count 10 --timeout 20
	in_ns wire "$PROG/frame-send" --iface s0 --dst $M1 --count 10
	finish_recv vm
	reap monitor || :
	reap load2 KILL || :
	load_two --queues 1
	[ "$(two queue list -j | jq -c '[.queues[] | [.id, .waits]]')" = '[[0,null],[1,null],[2,true],[3,true]]' ]
	"$VMQ_BUILD/vmqctl" -i vmq1 monitor -j >>"$BATS_TEST_TMPDIR/events" 3>&- &
	remember $! monitor
	two queue del full
	wait_until 5 two_is running
	# There was room for one; more room than last time is seen at the start.
	[ "$(two queue show r -j | jq .queue.waits)" = true ]
	wait_until 5 grep -q queue-promoted "$BATS_TEST_TMPDIR/events"
	[ "$(jq -r 'select(.event | test("waits|promoted")) | "\(.event) \(.name)"' "$BATS_TEST_TMPDIR/events")" = \
		"queue-waits q"$'\n'"queue-waits r"$'\n'"queue-promoted q" ]
	start_recv vm g2 eth0 --count 10 --timeout 20
	in_ns wire "$PROG/frame-send" --iface s0 --dst $M1 --count 10
	finish_recv vm
	[ "$(two stats q -j | jq '.queues[0].stats.matched')" -eq 10 ]
	reap monitor || :
	reap load2 KILL || :
	load_two --queues 2
	[ "$(two queue show r -j | jq -c '.queue | [.state, .waits]')" = '["running",null]' ]
}

# Each frame that arrived came through queue 0 or through the queue (whose rings are
# short here).
two_has_all()
{
	two stats -j | tee /dev/stderr | jq -e '.adapter.frames as $arrived | .adapter.uplink as $up |
		.queues[] | select(.name == "q") | .stats | .matched > 0 and .in_flight == 0 and
		.matched == .delivered + .dropped.ring_full and
		$arrived == .matched + .switch_delivered and $up.dropped == 0'
}

two_is()
{
	[ "$(queue_state_of_two)" = "$1" ]
}

queue_state_of_two()
{
	two queue show q -j | jq -r .queue.state
}

tx_dropped()
{
	ip -n wire -s -j link show "$1" | jq '.[0].stats64.tx.dropped'
}

counts()
{
	ctl -i "$1" stats -j | jq -c '.adapter | [.frames, .unmatched]'
}

more_matched()
{
	[ "$(ctl -i "$1" stats q -j | jq '.queues[0].stats.matched')" -gt "$2" ]
}

still()
{
	local before
	before=$(counts vmq0)$(counts vmq1)
	[ "$(counts vmq0)$(counts vmq1)" = "$before" ]
}

more_unmatched()
{
	[ "$(ctl -i "$1" stats -j | jq .adapter.unmatched)" -gt "$2" ]
}

@test "L-1 L-6 a VM moves between hosts under traffic: both queues and both queues 0 add up to what was sent" {
	one queue add q --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
	base0=$(counts vmq0) base1=$(counts vmq1)
	dropped=$(($(tx_dropped s0) + $(tx_dropped wire0) + $(tx_dropped wire1)))
	ip netns exec wire "$PROG/frame-send" --iface s0 --dst $M1 --count 100000000 --rate 4000 \
		>"$BATS_TEST_TMPDIR/sent" 2>&1 3>&- &
	remember $! gen
	wait_until 20 more_matched vmq0 200
	settings=$(one queue export q)
	one queue pause q
	one queue drain q
	from=$(one stats q -j | jq -c '.queues[0].stats')
	wait_until 20 more_unmatched vmq0 "$(jq '.[1] + 100' <<<"$base0")"
	vm_is_behind wire1
	wait_until 20 more_unmatched vmq1 "$(jq '.[1] + 100' <<<"$base1")"
	two queue import --channel tap:eth0,netns=g2 <<<"$settings"
	quiet eth0 g2
	one queue free q
	wait_until 20 more_matched vmq1 200
	reap gen || :
	wait_until 10 still
	to=$(two stats q -j | jq -c '.queues[0].stats')
	now0=$(counts vmq0) now1=$(counts vmq1)
	lost=$(($(tx_dropped s0) + $(tx_dropped wire0) + $(tx_dropped wire1) - dropped))
	sent=$(jq .sent "$BATS_TEST_TMPDIR/sent")
	report "move: sent $sent, lost on the wire $lost, $base0 $now0 $base1 $now1 $from $to"
	jq -en --argjson a0 "$base0" --argjson b0 "$now0" --argjson a1 "$base1" --argjson b1 "$now1" \
		--argjson from "$from" --argjson to "$to" --argjson sent "$sent" --argjson lost "$lost" '
		$sent == $lost + $from.matched + ($b0[1] - $a0[1]) + ($b1[1] - $a1[1]) + $to.matched and
		$from.matched == $from.delivered + ([$from.dropped[]] | add) and $from.in_flight == 0 and
		$to.matched == $to.delivered + ([$to.dropped[]] | add) and $to.in_flight == 0 and
		$from.matched > 0 and $to.matched > 0' >/dev/null
}
