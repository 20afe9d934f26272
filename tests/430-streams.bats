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

@test "C-3 a guest's stream leaves its stack in large pieces and is cut for the wire" {
	add_vm vm1 $M1 192.0.2.11/24
	mkfifo "$BATS_TEST_TMPDIR/hold"
	transfer vm1 wire 192.0.2.254
	# 20 MB are 13,800 frames of the wire
	[ "$(stat_of vm1 tx_frames)" -ge 13800 ]
	[ "$(device_count vm1 tx)" -le 5000 ]
	[ "$(stat_of vm1 tx_frames)" -eq "$(($(stat_of vm1 tx_wire) + $(stat_of vm1 tx_no_buffer) +
		$(stat_of vm1 tx_wire_error)))" ]
}
