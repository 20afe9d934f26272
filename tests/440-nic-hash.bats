#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# vmq-load --hash: who hashes, and why not the NIC. veth has the kfunc and no key, so here
# the NIC never does: what is asked for is refused, or falls back. The decision is
# tests/unit/nic_hash.c's, a NIC that does it tests/qemu/nic-hash.sh's.
#
# `run --separate-stderr` sets stderr.
# shellcheck disable=SC2154

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	make_wire 2
}

# rss_of QUEUE FILTER: of `rss show`
rss_of()
{
	ctl rss show "$1" -j | jq -c ".rss | $2"
}

# hash_is WORD WHY: what the adapter and vm1 say
hash_is()
{
	ctl show -j | jq -e --arg word "$1" --arg why "$2" \
		'.adapter | .hash == $word and (.hash_why | contains($why))'
	ctl rss show vm1 -j | jq -e --arg word "$1" --arg why "$2" \
		'.rss.effective | .hash == $word and (.hash_why | contains($why))'
}

# counted N: so many frames were hashed
counted()
{
	[ "$(rss_of vm1 '.frames.entries | add')" -eq "$1" ]
}

# by_software: the flows of even and odd source ports go where the key says
by_software()
{
	ctl rss set vm1 --key $PARITY --table 0,1
	send_frames --dst $M1 --udp 2 --count 100
	wait_until 5 counted 100
	[ "$(rss_of vm1 '[.frames.nic, .frames.unhashed, .frames.entries]')" = '[0,0,[50,50]]' ]
}

# refused WHY ARG...: vmq-load is, and leaves nothing
refused()
{
	local why=$1
	shift
	run -1 --separate-stderr timeout 10 "$VMQ_BUILD/vmq-load" "$IFACE" --hash nic "$@"
	[[ $stderr == *"--hash nic is not to be had"*"$why"* ]]
	run -1 grep -q xdp <<<"$(ip -d link show "$IFACE")"
}

@test "--hash nic is refused in skb mode, and where the driver tells no key; bad words" {
	refused "native mode only" --mode skb
	local why="tells no hash key"
	grep -qw bpf_xdp_metadata_rx_vlan_tag /proc/kallsyms || why="no VLAN-tag kfunc"
	refused "$why"
	refused "$why" --tags frame
	run -2 --separate-stderr "$VMQ_BUILD/vmq-load" "$IFACE" --hash maybe
	[[ $stderr == *"choose from auto, nic, software"* ]]
}

@test "without being asked nothing is bound to the interface: the hash is ours, rss show says why" {
	start_load --tags frame --cpus 0,1
	make_vm vm1 $M1 --pairs 2
	hash_is software "vmq-load --hash nic does that"
	ctl rss show vm1 | grep -q "hash *software"
	ctl show | grep -q "hash *software"
	by_software
	# nothing is hashed, so nothing is said
	ctl rss set vm1 --off
	[ "$(rss_of vm1 '.effective | has("hash")')" = false ]
	run -1 --separate-stderr ctl rss set vm1 --on --key nic
	[[ $stderr == *"tells no hash key"* ]]
	[ "$(rss_of vm1 .on)" = false ]
	run -1 ctl rss set host --key nic
	stop_load
	start_load --tags frame --cpus 0,1 --hash software
	make_vm vm2 $M1 --pairs 2
	[ "$(rss_of vm2 .effective.hash_why)" = '"vmq-load was started with --hash software"' ]
}

@test "bound for the sake of tags, veth is asked for no hash: it has no key" {
	grep -qw bpf_xdp_metadata_rx_vlan_tag /proc/kallsyms || skip "needs Linux 6.8"
	start_load --tags kfunc --cpus 0,1
	make_vm vm1 $M1 --pairs 2
	hash_is software "tells no hash key"
	by_software
}
