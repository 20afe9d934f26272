#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# TCP streams: fewer and larger frames between vmq and its guests, and on the wire what
# was on the wire before.

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	make_wire 2
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	start_load --tags frame
}

# add_vm NAME MAC ADDRESS [OPTION...]: as make_vm, but its stack keeps its offloads
add_vm()
{
	local name=$1 mac=$2 address=$3
	shift 3
	make_guest "$name"
	ctl queue add "$name" --mac "$mac" --channel "tap:eth0,netns=$name" "$@"
	in_ns "$name" ip addr add "$address" dev eth0
}

listens()
{
	in_ns "$1" ss -Hltn 'sport = :9000' | grep -q .
}

# transfer FROM TO ADDRESS: 20 MB of noise from one namespace to the other, compared
transfer()
{
	local data=$BATS_TEST_TMPDIR/sent got=$BATS_TEST_TMPDIR/got
	head -c 20000000 /dev/urandom >"$data"
	ip netns exec "$2" busybox nc -l -p 9000 >"$got" <>"$BATS_TEST_TMPDIR/hold" 3>&- &
	remember $! nc
	wait_until 5 listens "$2"
	in_ns "$1" busybox nc "$3" 9000 <"$data" >/dev/null
	wait_until 20 gone "$(<"$BATS_TEST_TMPDIR/pid-nc")"
	cmp "$data" "$got"
}

# device_count NETNS KEY: packets that its eth0 has counted, by KEY (rx, tx)
device_count()
{
	ip -n "$1" -s -j link show eth0 | jq ".[0].stats64.$2.packets"
}

# sent_as_counted NAME: each frame that was taken went to the wire, or was counted why not
sent_as_counted()
{
	ctl stats -j | jq -e --arg q "$1" '.queues[] | select(.name == $q) | .stats |
		.tx_frames == .tx_wire + .tx_local + .tx_no_buffer + .tx_wire_error' >/dev/null
}

# given_as_counted NAME: its device has counted as many packets as vmq says it gave
given_as_counted()
{
	local told
	told=$(ctl stats -j | jq --arg q "$1" '.queues[] | select(.name == $q) | .stats |
		.delivered - .joined + .switch_delivered')
	[ "$(device_count "$1" rx)" -eq "$told" ]
}

@test "C-3 a guest's stream leaves its stack in large pieces and is cut for the wire" {
	add_vm vm1 $M1 192.0.2.11/24
	mkfifo "$BATS_TEST_TMPDIR/hold"
	transfer vm1 wire 192.0.2.254
	# 20 MB are 13,800 frames of the wire
	[ "$(stat_of vm1 tx_frames)" -ge 13800 ]
	[ "$(device_count vm1 tx)" -lt "$(stat_of vm1 tx_frames)" ]
	wait_until 5 sent_as_counted vm1
}

@test "C-5 a guest behind a tap gets the segments of a stream joined" {
	add_vm vm1 $M1 192.0.2.11/24
	mkfifo "$BATS_TEST_TMPDIR/hold"
	transfer wire vm1 192.0.2.11
	wait_until 5 at_rest vm1
	# counted as what was on the wire, however it was given
	[ "$(stat_of vm1 delivered)" -ge 13800 ]
	[ "$(stat_of vm1 joined)" -ge 1 ]
	wait_until 5 given_as_counted vm1
}

@test "frames of a tagged VLAN are joined without their tag, and a trunk's with it" {
	add_vm vm1 $M1 192.0.2.11/24 --vlan 100
	add_vm vm2 52:54:00:00:00:02 192.0.2.12/24 --vlan any
	for vm in vm1 vm2; do
		in_ns $vm ethtool -K eth0 gro off >/dev/null
	done
	send_stream --dst $M1 --vlan 100
	send_stream --dst 52:54:00:00:00:02 --vlan 7
	for vm in vm1 vm2; do
		wait_until 5 stat_reaches $vm matched 200
		[ "$(stat_of $vm joined)" -ge 1 ]
		wait_until 5 at_rest $vm
	done
}

# send_stream ARG...: 200 segments of two connections in turn, faster than they are
# taken, so that some lie in the ring together (a veth has room for 256)
send_stream()
{
	gen_frames --tcp 2 --size 1000 --count 200 "$@" >/dev/null
}

@test "C-4 joining is switched while a stream runs; nothing is lost" {
	add_vm vm1 $M1 192.0.2.11/24 --gro off
	mkfifo "$BATS_TEST_TMPDIR/hold"
	(
		while [ ! -e "$BATS_TEST_TMPDIR/done" ]; do
			"$VMQ_BUILD/vmqctl" queue set vm1 --gro on && "$VMQ_BUILD/vmqctl" queue set vm1 --gro off ||
				exit 1
			echo >>"$BATS_TEST_TMPDIR/turns"
		done
	) 3>&- &
	remember $! turns
	transfer wire vm1 192.0.2.11
	touch "$BATS_TEST_TMPDIR/done"
	wait_until 5 gone "$(<"$BATS_TEST_TMPDIR/pid-turns")"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/turns")" -ge 1 ]
	wait_until 5 at_rest vm1
	wait_until 5 given_as_counted vm1
}

@test "C-4 it is off for a queue that said so, over a restart as well" {
	add_vm vm1 $M1 192.0.2.11/24 --gro off
	send_stream --dst $M1
	wait_until 5 stat_reaches vm1 delivered 1
	[ "$(stat_of vm1 joined)" -eq 0 ]
	stop_load KILL || true
	start_load --tags frame
	[ "$(ctl queue show vm1 -j | jq .queue.gro)" = false ]
	before=$(stat_of vm1 delivered)
	send_stream --dst $M1
	wait_until 5 stat_reaches vm1 delivered "$((before + 1))"
	[ "$(stat_of vm1 joined)" -eq 0 ]
	ctl queue set vm1 --gro on
	[ "$(ctl queue show vm1 -j | jq .queue.gro)" = true ]
}

@test "a guest that is a router forwards joined frames, cut again" {
	add_vm vm1 $M1 192.0.2.11/24
	ip netns add inner
	ip link add in0 netns vm1 type veth peer name eth0 netns inner
	in_ns vm1 ethtool -K in0 tx off tso off gso off >/dev/null
	in_ns vm1 ip addr add 198.51.100.1/24 dev in0
	in_ns vm1 ip link set in0 up
	in_ns vm1 sysctl -qw net.ipv4.ip_forward=1
	in_ns inner ip addr add 198.51.100.2/24 dev eth0
	in_ns inner ip link set eth0 up
	in_ns inner ip route add default via 198.51.100.1
	in_ns wire ip route add 198.51.100.0/24 via 192.0.2.11
	mkfifo "$BATS_TEST_TMPDIR/hold"
	transfer wire inner 198.51.100.2
	wait_until 5 at_rest vm1
	[ "$(stat_of vm1 joined)" -ge 1 ]
}
