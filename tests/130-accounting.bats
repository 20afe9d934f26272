#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Every frame is accounted for: matched = delivered + dropped at rest, and a VM
# that does not take its frames loses only its own.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02

setup()
{
	make_wire 2
	start_load --tags frame
	for n in 1 2; do
		make_guest g$n
		ctl queue add vm$n --mac 52:54:00:00:00:0$n --channel tap:eth0,netns=g$n --ring $((n * n * 512))
		quiet eth0 g$n
	done
}

matched_is()
{
	[ "$(stat_of "$1" matched)" -eq "$2" ]
}

@test "under overload every frame that was matched is delivered or named as dropped" {
	gen_frames --dst $M1,$M2 --seconds 2
	for vm in vm1 vm2; do
		wait_until 5 at_rest $vm
		[ "$(stat_of $vm matched)" -gt 1000 ]
		[ "$(stat_of $vm dropped.redirect_failed)" -eq 0 ]
		[ "$(stat_of $vm dropped.no_buffer)" -eq 0 ]
	done
	frames=$(adapter_stat frames)
	sum=$(ctl stats -j | jq '(.adapter | .unmatched + .multicast + .malformed + .filtered +
		.rxq_range) + ([.queues[].stats | .matched + .to_host] | add)')
	[ "$frames" -eq "$sum" ]
}

@test "a stalled VM drops its own frames only (P-13)" {
	ctl queue pause vm1
	start_recv vm2 g2 eth0 --count 5000 --timeout 20 --seq
	send_frames --dst $M1,$M2 --count 10000 --rate $((SLOW > 3 ? 1500 : 4000))
	finish_recv vm2
	[ "$(stat_of vm2 delivered)" -eq 5000 ]
	[ "$(stat_of vm1 delivered)" -eq 0 ]
	ring=$(ctl queue show vm1 -j | jq .queue.ring)
	[ "$(stat_of vm1 matched)" -eq 5000 ]
	[ "$(stat_of vm1 in_flight)" -ge "$ring" ]
	[ "$(stat_of vm1 in_flight)" -le $((2 * ring)) ]
	[ "$(($(stat_of vm1 in_flight) + $(stat_of vm1 dropped.ring_full)))" -eq 5000 ]
	# What waited is delivered when it goes on.
	waiting=$(stat_of vm1 in_flight)
	ctl queue resume vm1
	wait_until 5 at_rest vm1
	[ "$(stat_of vm1 delivered)" -eq "$waiting" ]
}

@test "a stalled VM does not hold up free (L-2, S-11)" {
	ctl queue pause vm1
	send_frames --dst $M1 --count 1000
	run -0 timeout 5 "$VMQ_BUILD/vmqctl" queue del vm1
	ctl queue add vm3 --mac $M1
	[ "$(ctl queue show vm3 -j | jq .queue.id)" -eq 1 ]
}

@test "frames too long for a chunk are counted, not lost silently" {
	ip -n wire link set wire0 mtu 3000
	ip link set "$IFACE" mtu 3000
	send_frames --dst $M1 --size 1790 --count 3
	send_frames --dst $M1 --size 2500 --count 5
	wait_until 5 matched_is vm1 8
	[ "$(stat_of vm1 dropped.too_big)" -eq 5 ]
	wait_until 5 at_rest vm1
}

@test "frames for nobody, for groups and runts are counted at the adapter" {
	before=$(ctl stats -j | jq -c .adapter)
	send_frames --dst 52:54:00:00:99:99 --count 7
	send_frames --dst 01:00:5e:00:00:01 --count 5
	after=$(ctl stats -j | jq -c .adapter)
	[ "$(jq -n "$after.unmatched - $before.unmatched")" -eq 7 ]
	[ "$(jq -n "$after.multicast - $before.multicast")" -ge 5 ]
}

@test "a drop filter takes frames of any client and delivers none (F-28)" {
	ctl filter add drop --mac 52:54:00:00:00:0d --vlan any
	send_frames --dst 52:54:00:00:00:0d --count 9
	send_frames --dst 52:54:00:00:00:0d --vlan 3 --count 2
	[ "$(adapter_stat filtered)" -eq 11 ]
}

@test "a filter on queue 0 hides one for any VLAN (F-13)" {
	ctl filter add vm1 --mac 52:54:00:00:00:0e --vlan any
	ctl filter add host --mac 52:54:00:00:00:0e --vlan 7
	send_frames --dst 52:54:00:00:00:0e --vlan 7 --count 4
	[ "$(stat_of vm1 matched)" -eq 0 ]
	send_frames --dst 52:54:00:00:00:0e --vlan 8 --count 4
	wait_until 5 matched_is vm1 4
}
