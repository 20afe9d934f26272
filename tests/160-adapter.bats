#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The interface as an administrator has it: long and alternative names, MTUs, names
# that change, several services beside each other, directories of one's own.
#
# `run --separate-stderr` sets stderr.
# shellcheck disable=SC2154

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	make_wire 2
}

# watch_events: `vmqctl monitor -j` into $EVENTS
watch_events()
{
	EVENTS=$BATS_TEST_TMPDIR/events
	ctl monitor -j >"$EVENTS" 2>/dev/null </dev/null 3>&- &
	remember $! monitor
	# Whether it listens is seen by an event.
	wait_until 5 sees_itself
}

sees_itself()
{
	ctl queue add probe && ctl queue del probe
	grep -q queue-state "$EVENTS"
}

# event WHAT DETAIL
event()
{
	jq -es --arg what "$1" --arg detail "$2" \
		'any(.[]; .event == "adapter" and .what == $what and .detail == $detail)' "$EVENTS"
}

@test "what happens to the interface is told to the monitors" {
	start_load --tags frame
	watch_events
	ip link set $IFACE down
	wait_until 5 event link down
	[ "$(ctl show -j | jq -r .adapter.link)" = down ]
	ip link set $IFACE up
	wait_until 5 event link up
	ip -n wire link set wire0 down
	wait_until 5 event link "no carrier"
	[ "$(ctl show -j | jq -r .adapter.link)" = "no carrier" ]
	ip -n wire link set wire0 up
	ip link set $IFACE address 02:00:00:00:00:77
	wait_until 5 event address 02:00:00:00:00:77
	run -2 --separate-stderr ctl queue add a --mac 02:00:00:00:00:77
	[[ $stderr == *"own address"* ]]
	[ "$(ctl show -j | jq -r .adapter.mac)" = 02:00:00:00:00:77 ]
	ip link set $IFACE mtu 1400
	wait_until 5 event mtu "1500 -> 1400"
	[ "$(ctl show -j | jq .adapter.mtu)" -eq 1400 ]
	ip link del $IFACE
	wait_until 5 event gone "the interface has gone, or moved to another network namespace"
	wait_until 5 gone "$(load_pid)"
	run stop_load
	[ "$status" -eq 3 ]
}

@test "an interface that is renamed is served on, under the service's name" {
	start_load --tags frame
	watch_events
	ip link set $IFACE name other0
	wait_until 5 event name other0
	IFACE=other0
	make_vm vm1 $M1
	start_recv vm1 vm1 eth0 --count 5 --timeout 5
	send_frames --dst $M1 --count 5
	finish_recv vm1
	[ "$(ctl show -j | jq -r .adapter.interface)" = other0 ]
	stop_load
	[ "$(ip -j link show other0 | jq '.[0].xdp.prog.id // 0')" -eq 0 ]
	check_nothing_left
}

@test "MTU: smaller follows, larger than a chunk is warned of" {
	start_load --tags frame
	make_vm vm1 $M1
	ip link set $IFACE mtu 1000
	wait_until 5 mtu_is 1000
	# What is longer than the device takes is refused, not cut.
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --size 1014 --count 3
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --size 1019 --count 2
	wait_until 5 stat_is vm1 tx_too_long 2
	wait_until 5 stat_is vm1 tx_wire 3
	ip link set $IFACE mtu 3000
	wait_until 5 grep -q "MTU 3000.*--chunk 4096" "$LOAD_LOG"
}

mtu_is()
{
	[ "$(ctl show -j | jq .adapter.mtu)" -eq "$1" ]
}

stat_is()
{
	[ "$(stat_of "$1" "$2")" -eq "$3" ]
}

@test "MTU 3000: a 4 KiB chunk is chosen, and 3,000 bytes get through" {
	ip link set $IFACE mtu 3000
	ip -n wire link set wire0 mtu 3000
	start_load --tags frame
	[ "$(ctl show -j | jq .adapter.chunk)" -eq 4096 ]
	make_vm vm1 $M1
	[ "$(ip -n vm1 -j link show eth0 | jq '.[0].mtu')" -eq 3000 ]
	start_recv vm1 vm1 eth0 --count 5 --timeout 5 --seq
	send_frames --dst $M1 --size 3014 --count 5
	finish_recv vm1
	start_recv wire wire wire0 --count 5 --timeout 5 --seq
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --size 3014 --count 5
	finish_recv wire
}

@test "MTU 9000: what does not fit is counted, in the mode that can be had" {
	ip link set $IFACE mtu 9000
	ip -n wire link set wire0 mtu 9000
	start_load --tags frame
	grep -q "MTU 9000.*lower the MTU to 3818" "$LOAD_LOG"
	make_vm vm1 $M1
	[ "$(ip -n vm1 -j link show eth0 | jq '.[0].mtu')" -eq 3822 ]
	send_frames --dst $M1 --size 9014 --count 3
	send_frames --dst $M1 --size 3841 --count 4
	send_frames --dst $M1 --size 3840 --count 5
	wait_until 5 stat_is vm1 dropped.too_big 7
	wait_until 5 stat_is vm1 delivered 5
	wait_until 5 at_rest vm1
}

@test "giants: GRO-size frames of a sender with offloads reach the VM whole through queue 0" {
	in_ns wire ethtool -K wire0 tso on gso on tx on
	ip addr add 192.0.2.1/24 dev $IFACE
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	start_load --tags frame
	make_vm vm1 $M1 192.0.2.11/24 --weight 0
	in_ns vm1 iperf3 -s -1 -B 192.0.2.11 >/dev/null 2>&1 </dev/null 3>&- &
	remember $! server
	wait_until 5 listens vm1
	run -0 in_ns wire iperf3 -c 192.0.2.11 -n 4M -J
	jq -e '.end.sum_received.bytes > 1000000' <<<"$output" || { echo "$output" >&2; false; }
	reap server || true
	[ "$(stat_of vm1 matched)" -eq 0 ]
}

listens()
{
	in_ns "$1" ss -Hltn 'sport = :5201' | grep -q .
}

@test "names of 15 letters, with dots, and alternative names" {
	long=abcdefghij.1234
	ip link set $IFACE down
	ip link set $IFACE name $long
	ip link property add dev $long altname longer-than-15-letters
	ip link property add dev $long altname a-name-that-is-longer-than-31-letters
	ip link set $long up
	IFACE=$long
	start_load --tags frame
	[ -e /sys/fs/bpf/vmq/abcdefghij:1234/filters ]
	make_vm vm1 $M1
	start_recv vm1 vm1 eth0 --count 5 --timeout 5
	send_frames --dst $M1 --count 5
	finish_recv vm1
	stop_load
	ip netns del vm1

	IFACE=longer-than-15-letters
	start_load --tags frame
	[ "$(ctl show -j | jq -r .adapter.interface)" = $long ]
	make_vm vm1 $M1
	start_recv vm1 vm1 eth0 --count 5 --timeout 5
	send_frames --dst $M1 --count 5
	finish_recv vm1
	# The same device by its other name is the same device.
	run -4 timeout 10 "$VMQ_BUILD/vmq-load" $long --tags frame
	stop_load
	ip netns del vm1
	run -2 timeout 10 "$VMQ_BUILD/vmq-load" a-name-that-is-longer-than-31-letters --tags frame
	[[ $output == *"--name"* ]]
	IFACE=a-name-that-is-longer-than-31-letters
	start_load --tags frame --name short
	[ "$(ctl show -j | jq -r .adapter.interface)" = $long ]
	stop_load
	IFACE=$long
	check_nothing_left
}

@test "two services on two interfaces, by name" {
	ip link add vmq1 numrxqueues 2 numtxqueues 2 type veth peer name wire1 netns wire \
		numrxqueues 2 numtxqueues 2
	quiet vmq1
	quiet wire1 wire
	start_load --tags frame
	"$VMQ_BUILD/vmq-load" vmq1 --tags frame --name second >"$BATS_TEST_TMPDIR/second.log" 2>&1 \
		</dev/null 3>&- &
	remember $! second
	wait_until 10 ctl -i second show
	# With two of them -i is needed, and says so.
	run -2 --separate-stderr ctl show
	[[ $stderr == *"second"* && $stderr == *"vmq0"* && $stderr == *"-i"* ]]
	SERVICE=vmq0 make_vm vm1 $M1
	# The same address is another's on another interface.
	SERVICE=second make_vm vm2 $M1
	start_recv vm1 vm1 eth0 --count 3 --timeout 10
	start_recv vm2 vm2 eth0 --count 4 --timeout 10
	send_frames --dst $M1 --count 3
	in_ns wire "$PROG/frame-send" --iface wire1 --dst $M1 --count 4
	finish_recv vm1
	finish_recv vm2
	[ "$(ctl -i second show -j | jq -r '.adapter | "\(.name) \(.interface)"')" = "second vmq1" ]
	reap second
	# The one that is left needs no name.
	ctl show
	"$VMQ_BUILD/vmq-load" --unload --name second vmq1 || [ $? -eq 3 ]
	ip link del vmq1
}

@test "--run-dir, --pin-dir and --name" {
	run=$BATS_TEST_TMPDIR/run
	"$VMQ_BUILD/vmq-load" $IFACE --tags frame --run-dir "$run" --pin-dir /sys/fs/bpf/mine \
		--name x1 >"$BATS_TEST_TMPDIR/log" 2>&1 </dev/null 3>&- &
	remember $! mine
	wait_until 10 ctl --run-dir "$run" show
	[ -S "$run/x1.sock" ]
	[ "$(stat -c %a "$run/x1.sock")" = 660 ]
	[ -e /sys/fs/bpf/mine/x1/filters ]
	run -3 ctl show
	ctl --run-dir "$run" -i x1 queue add web1 --mac $M1
	reap mine KILL || true
	[ -e /sys/fs/bpf/mine/x1/link ]
	"$VMQ_BUILD/vmq-load" --unload $IFACE --run-dir "$run" --pin-dir /sys/fs/bpf/mine --name x1
	[ ! -e /sys/fs/bpf/mine/x1 ]
	[ ! -e "$run/x1.sock" ]
	[ "$(ip -j link show $IFACE | jq '.[0].xdp.prog.id // 0')" -eq 0 ]
}
