#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# vmq-load --balance (dynamic VMQ): queues follow the load from CPU to CPU. What moves
# where is tests/unit/balance.c's; here it is measured, done and told.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
SIBLINGS=/sys/devices/system/cpu/cpu1/topology/thread_siblings_list

setup_file()
{
	vmq_setup_file
}

teardown_file()
{
	vmq_teardown_file
}

setup()
{
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	make_wire 2
}

teardown()
{
	[ "$(nproc)" -lt 2 ] || vmq_teardown
	umount "$SIBLINGS" 2>/dev/null || :
}

# add_vm NAME MAC [OPTION...]: namespace, TAP, queue
add_vm()
{
	local name=$1 mac=$2
	shift 2
	make_guest "$name"
	ctl queue add "$name" --mac "$mac" --channel "tap:eth0,netns=$name" "$@"
	quiet eth0 "$name"
}

# cpu_of QUEUE
cpu_of()
{
	ctl queue show "$1" -j | jq .queue.cpus[0]
}

gathered()
{
	[ "$(cpu_of vm1)" -eq "$(cpu_of vm2)" ]
}

apart()
{
	! gathered
}

# start_monitor: events into $EVENTS
start_monitor()
{
	EVENTS=$BATS_TEST_TMPDIR/events
	"$VMQ_BUILD/vmqctl" monitor -j >"$EVENTS" 2>&1 </dev/null 3>&- &
	remember $! monitor
}

# told WHY: an event said so
told()
{
	jq -se --arg why "$1" 'any(.event == "balance" and .why == $why and .from != .to)' \
		"$EVENTS"
}

@test "O-11 queues gather, spread near 80 % of a CPU, and gather again; monitor tells it" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 200
	ctl show -j | jq -e .adapter.balance
	start_monitor
	add_vm vm1 $M1
	add_vm vm2 $M2
	wait_until 15 gathered
	wait_until 5 told gather
	run -1 told spread

	# by its own pid, to be ended
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1,$M2 --seconds 60 \
		>/dev/null 3>&- &
	remember $! gen
	wait_until 30 apart
	wait_until 5 told spread
	reap gen INT || :
	wait_until 30 gathered
	wait_until 10 at_rest vm1
	wait_until 10 at_rest vm2
}

@test "O-11 R-13 queues gather under a low load: nothing is lost or out of order" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 500
	add_vm vm1 $M1
	add_vm vm2 $M2
	apart
	start_recv vm1 vm1 eth0 --count 1600 --timeout 40 --seq
	start_recv vm2 vm2 eth0 --count 1600 --timeout 40 --seq
	for m in $M1 $M2; do
		ip netns exec wire "$PROG/frame-send" --iface wire0 --dst "$m" --count 1600 \
			--rate 200 >/dev/null 3>&- &
		remember $! "send-$m"
	done
	wait_until 20 gathered
	# while frames were coming
	[ "$(stat_of vm1 delivered)" -lt 1600 ]
	[ "$(stat_of vm2 delivered)" -lt 1600 ]
	finish_recv vm1
	finish_recv vm2
}

@test "O-7 a queue whose CPU was asked for stays there; others come to it" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 100
	add_vm vm1 $M1
	add_vm vm2 $M2 --cpu 1
	wait_until 15 gathered
	[ "$(cpu_of vm2)" -eq 1 ]
	# what is asked for, and what is done
	[ "$(ctl rss show vm1 -j | jq -c '.rss | [.primary, .effective.default]')" = '[0,1]' ]
	ctl queue set vm1 --cpu 0
	[ "$(ctl rss show vm1 -j | jq -c '.rss | [.primary, .effective.default]')" = '[0,0]' ]
	ctl rss show vm2
}

@test "a queue with RSS on is not moved, with one pair either; export says what was asked for" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 100
	start_monitor
	add_vm vm1 $M1
	# its table names CPU 1, the second of the set
	ctl queue alloc vm2 --mac $M2
	ctl rss set vm2 --on
	wait_until 15 gathered
	[ "$(cpu_of vm2)" -eq 1 ]
	jq -se 'all(.event != "balance" or .name == "vm1")' "$EVENTS"
	ctl queue export vm1 | jq -e '[.. | .placed? // empty] | length == 0'
	ctl queue set vm1 --cpu 0
	ctl queue export vm1 | jq -e '[.. | .placed? // empty] == [true]'
}

@test "O-12 hyper-thread siblings get no worker with --balance" {
	echo 0-1 >"$BATS_TEST_TMPDIR/siblings"
	mount --bind "$BATS_TEST_TMPDIR/siblings" "$SIBLINGS"
	start_load --tags frame --cpus 0,1 --balance
	[ "$(ctl show -j | jq -c .adapter.cpus)" = '[0]' ]
	grep -q "no workers for 1 of 2 CPUs: they are hyper-thread siblings" "$LOAD_LOG"
	run -2 ctl queue add vm1 --mac $M1 --cpu 1
	[[ $output == *"CPU 1 has no worker here"* ]]
	stop_load
	start_load --tags frame --cpus 0,1
	[ "$(ctl show -j | jq -c '.adapter | [.cpus, .balance]')" = '[[0,1],false]' ]
}

@test "--balance: bad words" {
	run -2 "$VMQ_BUILD/vmq-load" --balance-ms 100 "$IFACE"
	[[ $output == *"--balance-ms without --balance"* ]]
	run -2 "$VMQ_BUILD/vmq-load" --balance --balance-ms 99 "$IFACE"
	[[ $output == *"--balance-ms"* ]]
}
