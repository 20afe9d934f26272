#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# vmq-load --balance (dynamic VMQ and VMMQ): queues, and the entries of their tables,
# follow the load from CPU to CPU. What moves where is tests/unit/balance.c's; here it is measured, done and told.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
SIBLINGS=/sys/devices/system/cpu/cpu1/topology/thread_siblings_list

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
	make_vm vm1 $M1
	make_vm vm2 $M2
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

# start_low_load MAC ARG...: a few frames, until end_low_load
start_low_load()
{
	local mac=$1
	shift
	ip netns exec wire "$PROG/frame-send" --iface wire0 --dst "$mac" --count 1000000 \
		--rate 200 "$@" >/dev/null 3>&- &
	remember $! "send-$mac"
}

# end_low_load VM MAC: every frame that matched is in the guest, once; in $output what
# the guest saw
end_low_load()
{
	wait_until 20 stat_reaches "$1" delivered 200
	reap "send-$2" INT || :
	wait_until 10 at_rest "$1"
	finish_recv "$1" || :
	[ "$(jq .frames <<<"$output")" -eq "$(stat_of "$1" matched)" ]
	jq -e '.doubles == 0 and .corrupt == 0' <<<"$output"
}

@test "O-11 R-13 queues gather under a low load: nothing is lost or out of order" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 1000
	make_vm vm1 $M1
	make_vm vm2 $M2
	apart
	start_recv vm1 vm1 eth0 --timeout 90 --idle 3000 --seq
	start_recv vm2 vm2 eth0 --timeout 90 --idle 3000 --seq
	start_low_load $M1
	start_low_load $M2
	wait_until 60 gathered
	end_low_load vm1 $M1
	[ "$(jq .reordered <<<"$output")" -eq 0 ]
	end_low_load vm2 $M2
	[ "$(jq .reordered <<<"$output")" -eq 0 ]
}

@test "O-7 a queue whose CPU was asked for stays there; others come to it" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 100
	make_vm vm1 $M1
	make_vm vm2 $M2 --cpu 1
	wait_until 15 gathered
	[ "$(cpu_of vm2)" -eq 1 ]
	# what is asked for, and what is done
	[ "$(ctl rss show vm1 -j | jq -c '.rss | [.primary, .effective.default]')" = '[0,1]' ]
	ctl queue set vm1 --cpu 0
	[ "$(ctl rss show vm1 -j | jq -c '.rss | [.primary, .effective.default]')" = '[0,0]' ]
	ctl rss show vm2
}

# rss_of QUEUE FILTER: of `rss show`
rss_of()
{
	ctl rss show "$1" -j | jq -c ".rss | $2"
}

# on_cpus QUEUE N: its table and default lead to so many CPUs
on_cpus()
{
	[ "$(rss_of "$1" '.effective | [.table[], .default] | unique | length')" -eq "$2" ]
}

# pairs_used QUEUE FROM...: each pair has delivered more than FROM
pairs_used()
{
	local queue=$1
	shift
	ctl queue show "$queue" -j | jq -e --argjson from "[$(IFS=,; echo "$*")]" \
		'[.queue.pair_list[].delivered] as $now | all(range(2); $now[.] > $from[.])'
}

# busy_on_both QUEUE: entries that have had frames lead to both CPUs
busy_on_both()
{
	[ "$(rss_of "$1" '[.effective.table, .frames.entries] | transpose |
		[.[] | select(.[1] > 0) | .[0]] | unique')" = '[0,1]' ]
}

@test "O-11 the table of a queue gathers on one CPU, spreads under load, and gathers again" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 200
	start_monitor
	make_vm vm1 $M1 --pairs 2
	[ "$(rss_of vm1 '[.on, .dynamic, .effective.dynamic]')" = '[true,true,true]' ]
	asked=$(rss_of vm1 '[.table, .default, .pairs]')
	wait_until 15 on_cpus vm1 1
	wait_until 5 told gather
	run -1 told spread
	jq -se 'any(.event == "balance" and .entries > 0)' "$EVENTS"

	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --udp 32 --seconds 60 \
		>/dev/null 3>&- &
	remember $! gen
	wait_until 30 on_cpus vm1 2
	wait_until 5 told spread
	# both work, while it goes on, and have what is busy between them
	wait_until 20 pairs_used vm1 0 0
	wait_until 30 busy_on_both vm1
	reap gen INT || :
	wait_until 30 on_cpus vm1 1
	wait_until 10 at_rest vm1
	# what was asked for is as it was
	[ "$(rss_of vm1 '[.table, .default, .pairs]')" = "$asked" ]
}

@test "O-11 D-15 a table gathers under a low load: every frame arrives, once" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 1000
	make_vm vm1 $M1 --pairs 2
	on_cpus vm1 2
	start_recv vm1 vm1 eth0 --timeout 90 --idle 3000 --seq
	start_low_load $M1 --udp 16
	wait_until 60 on_cpus vm1 1
	end_low_load vm1 $M1
}

@test "D-17 without --balance a queue that may move stays where it is, and nobody is told" {
	start_load --tags frame --cpus 0,1
	start_monitor
	make_vm vm1 $M1 --pairs 2
	make_vm vm2 $M2
	for vm in vm1 vm2; do
		ctl rss set $vm --dynamic on
		[ "$(rss_of $vm '[.dynamic, .effective.dynamic]')" = '[true,false]' ]
	done
	before=$(rss_of vm1 '.effective | [.table, .default]')
	gen_frames --dst $M1,$M2 --udp 8 --seconds 2 >/dev/null
	[ "$(rss_of vm1 '.effective | [.table, .default]')" = "$before" ]
	[ "$(rss_of vm2 .effective.default)" = "$(rss_of vm2 .primary)" ]
	run -1 grep balance "$EVENTS"
}

@test "what is placed is not moved; moves begin where the entries are; --dynamic gives it back" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 100
	start_monitor
	make_vm vm1 $M1
	# its table names CPU 1, the second of the set
	ctl queue alloc vm2 --mac $M2
	ctl rss set vm2 --on --table 1
	wait_until 15 gathered
	[ "$(cpu_of vm2)" -eq 1 ]
	jq -se 'all(.event != "balance" or .name == "vm1")' "$EVENTS"
	ctl queue export vm1 | jq -e '[.. | .placed? // empty] | length == 0'
	ctl queue set vm1 --cpu 0
	ctl queue export vm1 | jq -e '[.. | .placed? // empty] == [true]'
	[ "$(rss_of vm1 '[.dynamic, .effective.dynamic]')" = '[false,false]' ]
	ctl queue del vm2

	# one entry of a table that has been moved: all others stay where they were put
	ctl queue add vm2 --mac $M2 --pairs 2
	wait_until 15 on_cpus vm2 1
	cpu=$(rss_of vm2 .effective.default)
	run -4 ctl rss move vm2 0=$cpu --from $((1 - cpu))
	ctl rss move vm2 0=$((1 - cpu)) --from "$cpu"
	[ "$(rss_of vm2 '[.dynamic, .default, .table[0], (.table[1:] | unique)]')" = \
		"[false,$cpu,$((1 - cpu)),[$cpu]]" ]
	[ "$(rss_of vm2 .table)" = "$(rss_of vm2 .effective.table)" ]
	ctl rss set vm2 --dynamic on
	wait_until 15 on_cpus vm2 1
	# frozen where it is
	ctl rss set vm2 --dynamic off
	[ "$(rss_of vm2 '[.table, .default]')" = "$(rss_of vm2 '.effective | [.table, .default]')" ]
	run -2 ctl rss set vm2 --dynamic on --default 0
	[[ $output == *"those that are named, or dynamic, not both"* ]]
}

@test "fewer pairs than a moved table needs: back to the one that was asked for" {
	start_load --tags frame --cpus 0,1 --balance --balance-ms 200
	make_vm vm1 $M1 --pairs 2
	ctl rss set vm1 --spread 0 --entries 64 --default 0
	ctl rss set vm1 --dynamic on
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --udp 32 --seconds 60 \
		>/dev/null 3>&- &
	remember $! gen
	wait_until 30 on_cpus vm1 2
	ctl queue set vm1 --pairs 1
	[ "$(rss_of vm1 '.effective | [.pairs, .serving, (.table | unique | length)]')" = '[1,1,1]' ]
	ctl queue set vm1 --pairs 2
	wait_until 30 on_cpus vm1 2
	# another size, and off: what was chosen for the old table is forgotten
	ctl rss set vm1 --entries 128
	ctl rss set vm1 --off
	reap gen INT || :
	ctl rss set vm1 --on
	[ "$(rss_of vm1 '[.dynamic, .effective.dynamic, .effective.on]')" = '[true,true,true]' ]
	wait_until 30 on_cpus vm1 1
	wait_until 10 at_rest vm1
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
