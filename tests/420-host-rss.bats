#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# RSS of queue 0: the host's own frames go by their hash to CPUs. And the switch of
# RSS for all queues, and counters by table entry and CPU. The choice of the CPU is
# tests/unit/toeplitz.c's; $PARITY is explained in 400-rss.bats.

load lib/vmq

HOST=52:54:00:00:00:99
M1=52:54:00:00:00:01

setup()
{
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	make_wire 4
	ip link set $IFACE address $HOST
}

load_up()
{
	start_load --tags frame --cpus 0,1 "$@"
}

# rss_of QUEUE FILTER: of `rss show`
rss_of()
{
	ctl rss show "$1" -j | jq -c ".rss | $2"
}

# handed: frames that went to CPU 0 and to CPU 1, when all have arrived
handed()
{
	rss_of host '[.frames.cpus[].handed]'
}

handed_are()
{
	[ "$(rss_of host '[.frames.cpus[] | .handed, .taken]')" = "[$1,$1,$2,$2]" ] ||
		{ rss_of host .frames; return 1; }
}

# to_host COUNT ARG...: test frames to the host, which takes all of them, in order
to_host()
{
	local count=$1
	shift
	start_recv host - $IFACE --count "$count" --dst $HOST --timeout 10 --seq
	send_frames --dst $HOST --count "$count" "$@"
	finish_recv host
}

@test "O-9 queue 0's flows go to the CPUs of its own table, if asked for" {
	load_up
	[ "$(rss_of host '[.on, .effective.on, .id, .entries]')" = '[false,false,0,1]' ]
	to_host 100 --udp 2
	handed_are 0 0
	ctl rss set host --on --key $PARITY --table 0,1
	[ "$(rss_of 0 '[.on, .name, .effective.table, (.effective.types | length)]')" = '[true,"host",[0,1],9]' ]
	to_host 100 --udp 2
	wait_until 5 handed_are 50 50
	[ "$(rss_of host .frames.entries)" = '[50,50]' ]
	# entries move like any queue's
	ctl rss move host 0=1
	to_host 100 --udp 2
	wait_until 5 handed_are 50 150
	# what cannot be hashed goes to the default
	ctl rss set 0 --default 1
	to_host 30
	wait_until 5 handed_are 50 180
	[ "$(rss_of host '.frames | [.entries, .unhashed]')" = '[[100,100],30]' ]
	[ "$(adapter_stat unmatched)" -eq 330 ]
	# broadcasts stay, and so do frames of queues
	send_frames --count 10
	wait_until 5 eval '[ "$(adapter_stat multicast)" -ge 10 ]'
	handed_are 50 180
	ctl rss set host --off
	[ "$(rss_of host '[.on, .effective.on]')" = '[false,false]' ]
	to_host 100 --udp 2
	handed_are 50 180
	[ "$(adapter_stat frames)" -eq "$(ctl stats -j | jq '.adapter | .unmatched + .multicast')" ]
}

@test "O-9 the host is reached while RSS of queue 0 changes" {
	local pid
	load_up
	ip addr add 192.0.2.1/24 dev $IFACE
	in_ns wire ip addr add 192.0.2.2/24 dev wire0
	cat >"$BATS_TEST_TMPDIR/calls" <<-END
		rss.set {"name":"host","on":true,"spread":[0,1]}
		rss.move {"moves":[{"name":"host","entry":0,"cpu":1},{"name":"host","entry":2,"cpu":1}]}
		rss.set {"name":"host","table":[1,0]}
		rss.switch {"on":false}
		rss.set {"name":"host","key":"$PARITY"}
		rss.switch {"on":true}
		rss.set {"name":"host","on":false}
	END
	"$PROG/vmq-call" --repeat 1000 <"$BATS_TEST_TMPDIR/calls" >/dev/null 3>&- &
	pid=$!
	remember $pid calls
	run -0 in_ns wire ping -q -c 200 -i 0.002 -W 5 192.0.2.1
	[[ $output == *" 0% packet loss"* ]]
	reap calls || :
	ctl rss on
	ctl rss set host --on --spread 0,1
	iperf3 -s -1 >/dev/null 2>&1 3>&- &
	remember $! iperf
	wait_until 5 eval 'ss -ltnH sport = :5201 | grep -q .'
	run -0 in_ns wire iperf3 -J -c 192.0.2.1 -n 20M -P 4
	[ "$(jq .end.sum_received.bytes <<<"$output")" -gt 1000000 ]
	[ "$(rss_of host '[.frames.cpus[].handed] | add > 100')" = true ]
}

@test "O-9 what queue 0 cannot have is refused, and nothing changes" {
	load_up
	before=$(rss_of host 'del(.frames)')
	run -2 ctl rss set host --on --table "0,$(nproc)"
	[[ $output == *"not of --cpus"* ]]
	run -2 ctl rss set host --on --primary 1
	[[ $output == *"no primary"* ]]
	run -2 ctl rss set host --dynamic on
	[[ $output == *"the load does not decide"* ]]
	run -2 ctl rss move host primary=1
	run -2 ctl rss move host 1=0
	[[ $output == *"no 1"* ]]
	run ! ctl rss set host --on --key 00
	[[ $output == *"40 bytes"* ]]
	run -2 ctl rss set host --on --types nothing
	[ "$(rss_of host 'del(.frames)')" = "$before" ]
	stop_load
	# the table is tracked while it is off, and checked when it begins to steer (D-3, D-4)
	load_up --mode skb
	ctl rss set host --table 0,7
	run ! ctl rss set host --on
	[[ $output == *"native mode"* ]]
}

@test "O-9 O-8 a restart keeps RSS of queue 0 and the switch" {
	load_up
	ctl rss set host --on --key $PARITY --table 1,0 --types udp4
	ctl rss off
	before=$(rss_of host 'del(.frames)')
	stop_load KILL || :
	load_up
	[ "$(ctl show -j | jq .adapter.rss)" = false ]
	[ "$(rss_of host 'del(.frames)')" = "$before" ]
	ctl rss on
	[ "$(rss_of host '[.effective.on, .effective.table]')" = '[true,[1,0]]' ]
	stop_load KILL || :
	load_up
	[ "$(ctl show -j | jq .adapter.rss)" = true ]
	to_host 100 --udp 2
	wait_until 5 handed_are 50 50
	stop_load KILL || :
	# frames still go their way, as the dead service left them
	to_host 100 --udp 2
	"$VMQ_BUILD/vmq-load" --unload $IFACE 2>"$BATS_TEST_TMPDIR/unload"
	[ ! -s "$BATS_TEST_TMPDIR/unload" ]
}

# pairs_get A B: what both pairs of vm1 have delivered
pairs_get()
{
	[ "$(ctl queue show vm1 -j | jq -c '[.queue.pair_list[].delivered]')" = "[$1,$2]" ]
}

@test "O-8 RSS of all queues goes off, and comes back as each asks for it" {
	load_up
	make_guest vm1
	ctl queue add vm1 --mac $M1 --channel tap:eth0,netns=vm1 --pairs 2 --cpu 0,1
	quiet eth0 vm1
	ctl rss set vm1 --key $PARITY --table 0,1
	send_frames --dst $M1 --udp 2 --count 100
	wait_until 5 pairs_get 50 50
	ctl rss off
	[ "$(rss_of vm1 '[.on, .effective.on, .effective.default]')" = '[true,false,0]' ]
	[ "$(ctl queue list -j | jq .queues[1].rss)" = false ]
	send_frames --dst $M1 --udp 2 --count 100
	wait_until 5 pairs_get 150 50
	# what is set meanwhile waits; a queue that is new has it off, too
	ctl rss set vm1 --table 1,0
	ctl queue add vm2 --mac 52:54:00:00:00:02 --channel none --pairs 2
	[ "$(rss_of vm2 '[.on, .effective.on]')" = '[true,false]' ]
	run ! ctl rss set vm1 --table "0,$(nproc)"
	ctl rss off
	ctl rss on
	[ "$(rss_of vm1 '[.effective.on, .effective.table]')" = '[true,[1,0]]' ]
	[ "$(rss_of vm2 .effective.on)" = true ]
	send_frames --dst $M1 --udp 2 --count 100
	wait_until 5 at_rest vm1
	wait_until 5 stat_reaches vm1 delivered 300
}

@test "O-4 counters per table entry and per CPU" {
	load_up
	make_guest vm1
	ctl queue add vm1 --mac $M1 --channel tap:eth0,netns=vm1 --pairs 2 --cpu 0,1
	quiet eth0 vm1
	ctl rss set vm1 --key $PARITY --table 0,1,1,1 --default 1
	send_frames --dst $M1 --udp 3 --count 99
	send_frames --dst $M1 --count 7
	wait_until 5 stat_reaches vm1 matched 106
	wait_until 5 at_rest vm1
	[ "$(rss_of vm1 '[(.frames.entries | add), .frames.unhashed]')" = '[99,7]' ]
	ctl rss set vm1 --table 0,1
	[ "$(rss_of vm1 '.frames.entries | length')" -eq 2 ]
	# by CPU: every frame from the wire once, and what the guest sends
	wait_until 5 eval '[ "$(ctl stats -j | jq "[.cpus[].external] | add")" -ge 106 ]'
	[ "$(ctl stats -j | jq -c '[.cpus[] | [.cpu, .queues]]')" = '[[0,1],[1,1]]' ]
	before=$(ctl stats -j | jq '[.cpus[].internal] | add')
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --count 10
	wait_until 5 eval '[ "$(ctl stats -j | jq "[.cpus[].internal] | add")" -eq $((before + 10)) ]'
	ctl stats --cpus
	run -0 ctl stats --cpus
	[[ $output == *EXTERNAL* ]]
	# another queue begins at zero, whoever had its number before
	ctl queue del vm1
	ctl queue add vm3 --mac $M1 --channel none --pairs 2
	[ "$(rss_of vm3 '[(.frames.entries | add), .frames.unhashed]')" = '[0,0]' ]
}
