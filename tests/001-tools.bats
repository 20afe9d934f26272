#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# The test tools themselves: what they send arrives, and what they count is so.
# Every later test rests on these.

load lib/vmq

setup() { make_wire 4; }

field()
{
	jq -e ".$1" <<<"$output"
}

@test "frame-send and frame-recv count the same frames, per stream and in order" {
	start_recv a - vmq0 --seq --count 10000
	run -0 send_frames --dst 52:54:00:00:00:01+8 --count 10000 --size 200
	[ "$(field sent)" -eq 10000 ]
	finish_recv a
	[ "$(field frames)" -eq 10000 ]
	[ "$(field bytes)" -eq 2000000 ]
	[ "$(field streams)" -eq 8 ]
	[ "$(field untagged)" -eq 10000 ]
}

@test "frame-recv finds a lost, a doubled and a late frame" {
	start_recv a - vmq0 --seq --count 6
	send_frames --count 2			# 0 1
	send_frames --count 2 --start 4		# 4 5
	send_frames --count 1 --start 2		# 2 is late, 3 is lost
	send_frames --count 1 --start 5		# 5 again
	finish_recv a 1
	[ "$(field lost)" -eq 1 ]
	[ "$(field doubles)" -eq 1 ]
	[ "$(field reordered)" -eq 1 ]
}

@test "frame-recv gives up at its deadline when frames are missing" {
	start_recv a - vmq0 --count 5 --timeout 1
	send_frames --count 4
	finish_recv a 1
	[ "$(field frames)" -eq 4 ]
}

@test "frame-send tags frames with one and two tags, and keeps priority" {
	start_recv a - vmq0 --print --count 3
	send_frames --vlan 100 --pcp 5
	send_frames --vlan 0
	send_frames --vlan 200 --ad --inner 300
	finish_recv a
	run -0 jq -sc '[.[] | select(.tags) | [.tags[] | [.tpid, .vlan, .pcp]]]' <<<"$output"
	[ "$output" = '[[["8100",100,5]],[["8100",0,0]],[["88a8",200,0],["8100",300,0]]]' ]
}

@test "frame-send sends raw bytes as they are" {
	start_recv a - vmq0 --timeout 1
	send_frames --hex "ffffffffffff 0200000000fe 88b6 01" --count 3
	finish_recv a
	[ "$(field frames)" -eq 0 ]
	[ "$(field other)" -eq 3 ]
}

@test "frame-send keeps to its rate" {
	run -0 send_frames --rate 2000 --count 500
	jq -e '.seconds > 0.24 and .seconds < 2' <<<"$output"
}

@test "steer_queue sends every frame on one queue of the wire" {
	ethtool -S vmq0 | grep -q rx_queue_0_xdp_packets || skip "no per-queue counters on veth"
	start_xdp_pass
	for q in 0 3 1; do
		before=$(queue_frames $q)
		steer_queue $q
		send_frames --bypass --count 100
		[ $(($(queue_frames $q) - before)) -eq 100 ]
	done
}

# Any XDP program makes veth count per queue; live frames need one, too.
start_xdp_pass()
{
	ip link set vmq0 xdpdrv object "$VMQ_BUILD/xdp_verdict.bpf.o" program xdp_pass
}

queue_frames()
{
	ethtool -S vmq0 | sed -n "s/^ *rx_queue_$1_xdp_packets: //p"
}

@test "live-gen sends exactly --count frames, whole and in order" {
	start_xdp_pass
	start_recv a - vmq0 --seq --count 50000
	run -0 gen_frames --count 50000 --dst 52:54:00:00:00:01+16 --vlan 7
	[ "$(field sent)" -eq 50000 ]
	finish_recv a
	[ "$(field streams)" -eq 16 ]
	[ "$(field 'vlans["7"]')" -eq 50000 ]
}

@test "live-gen ends after --seconds and sends one frame in --one-in" {
	start_xdp_pass
	run -0 gen_frames --seconds 0.2 --one-in 64
	[ "$(field sent)" -gt 1000 ]
	jq -e '.seconds < 2' <<<"$output"
}

@test "vlan-access tags what goes to the trunk and untags what comes back" {
	ip netns add lan
	ip -n wire link add l0 type veth peer name lan0 netns lan
	quiet l0 wire
	quiet lan0 lan
	in_ns wire "$PROG/vlan-access" l0 wire0 100

	start_recv a - vmq0 --seq --count 100
	in_ns lan "$PROG/frame-send" --iface lan0 --count 100
	finish_recv a
	[ "$(field 'vlans["100"]')" -eq 100 ]

	start_recv b lan lan0 --seq --count 100
	"$PROG/frame-send" --iface vmq0 --count 50 --vlan 101
	"$PROG/frame-send" --iface vmq0 --count 100 --vlan 100
	finish_recv b
	[ "$(field untagged)" -eq 100 ]
}

@test "the tools refuse bad words with a sentence" {
	run -2 send_frames --vlan 4096
	[[ $output == *4096* ]]
	run -2 send_frames --dst 52:54:00
	[[ $output == *52:54:00* ]]
	run -2 "$PROG/frame-recv" --iface nothere0
	[[ $output == *"No such device"* ]]
	run -2 "$PROG/live-gen" --frobnicate
	[[ $output == *frobnicate* ]]
}

@test "scripts tell their usage, and refuse what they do not know" {
	for script in "$ROOT"/scripts/*; do
		[ -f "$script" ] || continue
		run -0 --separate-stderr timeout 10 "$script" --help
		[[ $output == *[uU]"sage: ${script##*/}"* ]]
		run -2 timeout 10 "$script" --nonsense
		[[ $output == *"usage: ${script##*/}"* ]]
	done
	for words in "bench --rounds" "bench --only" "check --filter" "demo --queues" "vm --cpus" "vm --mem"; do
		# shellcheck disable=SC2086
		run -2 timeout 10 "$ROOT"/scripts/$words
		[[ $output == *"needs a value"* ]]
	done
	run -2 "$ROOT/scripts/check" --filter "("
	[[ $output == *"no regular expression"* ]]
	run -2 "$ROOT/scripts/vm" --mem much true
	run -2 "$ROOT/scripts/bench" --rounds few
	run -2 "$ROOT/scripts/demo" --queues 17
}

@test "scripts/vm tells its usage, and its NIC tests where they must run" {
	run -0 "$ROOT/scripts/vm" --help
	[[ $output == *"--kernel SERIES"* ]]
	run -2 "$ROOT/scripts/vm"
	run -2 "$ROOT/scripts/vm" --nic e1000 true
	[[ $output == *"unknown NIC e1000"* ]]
	for nic in igb virtio; do
		VMQ_VM='' run -2 "$ROOT/tests/qemu/$nic.sh"
		[[ $output == *"scripts/vm --nic $nic"* ]]
	done
}
