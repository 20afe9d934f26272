#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The main job, end to end: virtual machines (TAPs in namespaces) on a veth wire,
# each with a queue of its own.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
M3=52:54:00:00:00:03

setup()
{
	make_wire 2
	ip addr add 192.0.2.1/24 dev "$IFACE"
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	start_load --tags frame
}

pings()
{
	in_ns "$1" ping -q -c 3 -i 0.05 -W 2 "$2"
}

@test "an untagged VM is reached through its own queue (F-4, P-8)" {
	make_vm vm1 $M1 192.0.2.11/24
	pings wire 192.0.2.11
	pings vm1 192.0.2.254
	wait_until 5 stat_reaches vm1 delivered 6
	wait_until 5 stat_reaches vm1 tx_wire 6
	wait_until 5 at_rest vm1
}

@test "frames of a VLAN reach the queue of that VLAN only, without their tag (F-5, F-9, M-6)" {
	make_vm vm1 $M1 --vlan 100
	start_recv vm1 vm1 eth0 --count 10 --timeout 5
	send_frames --dst $M1 --vlan 100 --count 10
	finish_recv vm1
	[ "$(jq .frames <<<"$output")" -eq 10 ]
	[ "$(jq .untagged <<<"$output")" -eq 10 ]

	start_recv vm1 vm1 eth0 --timeout 1
	send_frames --dst $M1 --vlan 200 --count 10
	send_frames --dst $M1 --count 10
	finish_recv vm1
	[ "$(jq .frames <<<"$output")" -eq 0 ]
	[ "$(stat_of vm1 matched)" -eq 10 ]
}

@test "--vlan any is a trunk: tags stay in the frame (F-6)" {
	make_vm vm1 $M1 --vlan any
	start_recv vm1 vm1 eth0 --count 10 --timeout 5
	send_frames --dst $M1 --vlan 7 --count 10
	finish_recv vm1
	[ "$(jq '.vlans."7"' <<<"$output")" -eq 10 ]
}

@test "what a VM sends on an access VLAN leaves with the tag" {
	make_vm vm1 $M1 --vlan 100
	start_recv wire wire wire0 --count 5 --timeout 5
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst "$WIRE_MAC" --count 5
	finish_recv wire
	[ "$(jq '.vlans."100"' <<<"$output")" -eq 5 ]
}

@test "broadcast reaches every VM of its VLAN and no other (F-26)" {
	make_vm vm1 $M1 --vlan 100
	make_vm vm2 $M2 --vlan 100
	make_vm vm3 $M3
	start_recv vm1 vm1 eth0 --count 5 --timeout 5
	start_recv vm2 vm2 eth0 --count 5 --timeout 5
	start_recv vm3 vm3 eth0 --count 3 --timeout 5
	send_frames --dst ff:ff:ff:ff:ff:ff --vlan 100 --count 5
	send_frames --dst ff:ff:ff:ff:ff:ff --count 3
	finish_recv vm1
	finish_recv vm2
	finish_recv vm3
	wait_until 5 stat_reaches vm3 switch_delivered 3
	wait_until 5 stat_reaches vm1 switch_delivered 5
}

@test "what is for the link itself reaches no VM, and none sends it unless trusted" {
	make_vm vm1 $M1
	make_vm vm2 $M2 --vlan any
	start_recv vm2 vm2 eth0 --timeout 10 --idle 300
	start_recv wire wire wire0 --count 3 --timeout 10
	send_frames --dst 01:80:c2:00:00:00,01:80:c2:00:00:0e,01:80:c2:00:00:10 --count 30
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst 01:80:c2:00:00:0e --count 4
	wait_until 5 link_local_is 4
	ctl queue set vm1 --trust on
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst 01:80:c2:00:00:0e --count 3
	finish_recv wire
	finish_recv vm2
	[ "$(jq .frames <<<"$output")" -eq 10 ]
}

link_local_is()
{
	[ "$(stat_of vm1 tx_link_local)" -eq "$1" ]
}

@test "VM to VM: same VLAN yes, across VLANs no" {
	make_vm vm1 $M1 10.0.0.1/24 --vlan 100
	make_vm vm2 $M2 10.0.0.2/24 --vlan 100
	make_vm vm3 $M3 10.0.0.3/24
	pings vm1 10.0.0.2
	run ! in_ns vm1 ping -q -c 2 -i 0.05 -W 1 10.0.0.3
	wait_until 5 stat_reaches vm1 tx_local 3
	wait_until 5 stat_reaches vm2 switch_delivered 3
}

spoofed_is()
{
	[ "$(stat_of vm1 tx_spoofed)" -eq "$1" ]
}

@test "a forged source address is dropped; --trust lets it pass" {
	make_vm vm1 $M1
	start_recv wire wire wire0 --timeout 1
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M2 --dst "$WIRE_MAC" --count 5
	finish_recv wire
	[ "$(jq .frames <<<"$output")" -eq 0 ]
	wait_until 5 spoofed_is 5
	ctl queue set vm1 --trust on
	start_recv wire wire wire0 --count 5 --timeout 5
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M2 --dst "$WIRE_MAC" --count 5
	finish_recv wire
}

@test "the first frames of a VM are its own already" {
	for n in 1 2 3 4 5 6; do
		ip netns add first$n
		# A TAP that is up announces itself at once, with MLD.
		ctl queue add first$n --mac 52:54:00:00:01:0$n --channel tap:eth0,netns=first$n
	done
	for n in 1 2 3 4 5 6; do
		wait_until 5 sent_something first$n
		[ "$(stat_of first$n tx_spoofed)" -eq 0 ]
	done
}

sent_something()
{
	[ "$(stat_of "$1" tx_frames)" -gt 0 ]
}

@test "the host's own address answers throughout (F-2, F-25)" {
	pings wire 192.0.2.1
	make_vm vm1 $M1 192.0.2.11/24
	pings wire 192.0.2.1
	ctl queue del vm1
	pings wire 192.0.2.1
}

@test "a VM without a queue of its own works on queue 0 (L-3, O-5)" {
	make_vm vm1 $M1 192.0.2.11/24 --weight 0
	[ "$(queue_state vm1)" = paused ]
	pings wire 192.0.2.11
	[ "$(stat_of vm1 matched)" -eq 0 ]
	wait_until 5 stat_reaches vm1 switch_delivered 3
}

@test "order within a queue is kept (P-3)" {
	make_vm vm1 $M1 --ring 2048
	start_recv vm1 vm1 eth0 --count 2000 --timeout 20 --seq
	send_frames --dst $M1 --count 2000 --rate $((10000 / SLOW))
	finish_recv vm1
	[ "$(jq .reordered <<<"$output")" -eq 0 ]
}

@test "show, queue list and stats are JSON with a version (R-15, O-1, O-2)" {
	make_vm vm1 $M1
	for what in show "queue list" stats "filter list" "queue show vm1"; do
		# shellcheck disable=SC2086
		ctl $what -j | jq -e '.version == 1'
		# shellcheck disable=SC2086
		ctl $what
	done
	[ "$(ctl queue list -j | jq -r '.queues[0].name')" = host ]
	[ "$(ctl show -j | jq -r .adapter.mode)" = native ]
}
