#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# VLAN tags, wherever they are: in the frame, beside it (as from a NIC that takes
# them out), nested, cut short. No virtual machine sees a frame of another VLAN.
#
# The switch port of VLAN 100 (vlan-access) makes accelerated tags with
# bpf_skb_vlan_push(); wire0's tx-vlan-offload decides whether they reach vmq0
# beside the frame (on) or are written into it (off).
#
# `run --separate-stderr` sets stderr.
# shellcheck disable=SC2154

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
BROADCAST=ff:ff:ff:ff:ff:ff

setup()
{
	make_wire 2
	ip netns add lan100
	ip -n wire link add l100 type veth peer name lan0 netns lan100
	quiet l100 wire
	quiet lan0 lan100
	in_ns wire "$PROG/vlan-access" l100 wire0 100
}

# beside: tags reach vmq0 beside the frame
beside()
{
	in_ns wire ethtool -K wire0 txvlan on
}

# send_tagged ARG...: on VLAN 100, with a tag that the kernel carries beside
send_tagged()
{
	in_ns lan100 "$PROG/frame-send" --iface lan0 "$@"
}

# listen NAME...: what each sees from now on
listen()
{
	local vm
	for vm in "$@"; do
		start_recv "$vm" "$vm" eth0 --timeout 20 --print
	done
}

# heard NAME EXPECTED: EXPECTED lines "COUNT:TAGS", in order; TAGS are TPID.VLAN
# from the outermost to the innermost, or "-". Ends NAME's receiver.
heard()
{
	local pid
	pid=$(<"$BATS_TEST_TMPDIR/pid-recv-$1")
	kill -INT "$pid"
	wait "$pid" || :
	rm -f "$BATS_TEST_TMPDIR/pid-recv-$1"
	output=$(jq -sr 'map(select(.tags) | .tags | map("\(.tpid).\(.vlan)") | join("+") |
		if . == "" then "-" else . end) | group_by(.) | map("\(length):\(.[0])") | .[]' \
		"$BATS_TEST_TMPDIR/recv-$1.json")
	[ "$output" = "$2" ] || {
		printf '%s heard\n%s\nand not\n%s\n' "$1" "$output" "$2" >&2
		return 1
	}
}

# has QUEUE COUNTER N
has()
{
	[ "$(stat_of "$1" "$2")" -eq "$3" ]
}

# in_frame: tags of VLAN 100 are sent as part of the frame
in_frame()
{
	send_tagged()
	{
		send_frames --vlan 100 "$@"
	}
}

# send_mixture: tagged and untagged frames to M1 and to all; what an access port of
# VLAN 100, an untagged one and a trunk must see of them. The trunk is M2's.
send_mixture()
{
	send_tagged --dst $M1,$M2,$BROADCAST --count 15
	send_frames --dst $M1,$M2,$BROADCAST --count 9
	send_frames --dst $M1,$M2,$BROADCAST --vlan 200 --count 6
	send_frames --dst $M1,$M2,$BROADCAST --vlan 0 --pcp 5 --count 3
}

settled()
{
	has tagged matched "$1" && has plain matched "$2" && has trunk matched "$3" &&
		has tagged switch_delivered "$4" && has plain switch_delivered "$5" &&
		has trunk switch_delivered "$6"
}

# No VM of VLAN 200 exists, so nobody but the trunk sees that VLAN.
check_mixture()
{
	make_vm tagged $M1 --vlan 100
	make_vm plain $M1 --vlan untagged
	make_vm trunk $M2 --vlan any
	listen tagged plain trunk
	send_mixture
	wait_until 5 settled 5 4 11 5 4 11 || { ctl stats >&2; false; }
	heard tagged "10:-"
	heard plain "8:-"
	heard trunk $'6:-\n2:8100.0\n10:8100.100\n4:8100.200'
}

has_kfunc()
{
	grep -qw bpf_xdp_metadata_rx_vlan_tag /proc/kallsyms
}

@test "tags in the frame: each VM sees its VLAN only (F-4, F-5, F-6, F-9)" {
	start_load --tags frame
	check_mixture
}

@test "tags beside the frame, native: the driver is asked, nobody sees another's VLAN (F-9, M-6)" {
	has_kfunc || skip "needs Linux 6.8, for the VLAN-tag kfunc"
	beside
	start_load --tags auto
	[ "$(ctl show -j | jq -r '.adapter | "\(.mode) \(.tags) \(.tags_known)"')" = "native kfunc true" ]
	check_mixture
}

@test "tags in the frame, native, with the driver asked: the same" {
	has_kfunc || skip "needs Linux 6.8, for the VLAN-tag kfunc"
	start_load --tags kfunc
	check_mixture
}

@test "tags in the frame, skb mode: the same" {
	in_frame
	start_load --mode skb --tags frame
	check_mixture
}

@test "skb mode without known tags refuses VLANs, and takes any" {
	beside
	start_load --mode skb
	[ "$(ctl show -j | jq .adapter.tags_known)" = false ]
	for vlan in 100 untagged; do
		run -1 --separate-stderr ctl queue add a --mac $M1 --vlan $vlan
		[[ $stderr == *"--tags frame"* ]]
	done
	make_vm trunk $M2 --vlan any
	listen trunk
	send_frames --dst $M2 --count 3
	send_frames --dst $M2 --vlan 100 --count 2
	wait_until 5 has trunk delivered 5
	heard trunk $'3:-\n2:8100.100'
	# The kernel gives generic XDP no way to see a tag beside the frame.
	in_ns wire "$PROG/vlan-access" wire0 100
	listen trunk
	send_frames --dst $M2 --count 2
	wait_until 5 has trunk delivered 7
	heard trunk "2:-"
	stop_load
	run -1 --separate-stderr timeout 10 "$VMQ_BUILD/vmq-load" "$IFACE" --mode skb --tags kfunc
	[[ $stderr == *"native mode only"* ]]
}

@test "a VM without a queue of its own sees its VLAN only, wherever the tag is (L-3)" {
	# No frame gets to it by XDP, so it is the same to it how tags are known.
	local tags=auto
	has_kfunc || tags=frame
	for where in on off; do
		in_ns wire ethtool -K wire0 txvlan $where
		start_load --tags $tags
		make_vm tagged $M1 --vlan 100 --weight 0
		make_vm plain $M1 --vlan untagged --weight 0
		make_vm trunk $M2 --vlan any --weight 0
		listen tagged plain trunk
		send_mixture
		wait_until 5 settled 0 0 0 10 8 22
		heard tagged "10:-"
		heard plain "8:-"
		heard trunk $'6:-\n2:8100.0\n10:8100.100\n4:8100.200'
		stop_load
		for vm in tagged plain trunk; do
			ip netns del $vm
		done
	done
}

# Nestings: hex of what follows the addresses, who gets it, and what he sees. The
# magic and the sequence number of a test frame follow.
nestings()
{
	cat <<-END
		88b5				plain	-
		81000000 88b5			plain	-
		8100a000 88b5			plain	-
		81000064 88b5			tagged	-
		8100f064 88b5			tagged	-
		81000064 81000007 88b5		tagged	8100.7
		81000064 88a80007 88b5		tagged	88a8.7
		81000000 81000064 88b5		trunk	8100.0+8100.100
		88a80064 88b5			trunk	88a8.100
		88a80000 88b5			trunk	88a8.0
		88a80064 81000064 88b5		trunk	88a8.100+8100.100
		810000c8 81000064 88b5		trunk	8100.200+8100.100
		81000064 81000007 81000009 88b5	tagged	8100.7+8100.9
		81000fff 88b5			trunk	8100.4095
	END
}

check_nestings()
{
	local tags to sees n=0 mac="52540000 0001 0200 000000fe"
	# M1 is three ports': the trunk takes what is nobody else's.
	make_vm tagged $M1 --vlan 100
	make_vm plain $M1 --vlan untagged
	make_vm trunk $M1 --vlan any
	listen tagged plain trunk
	: >"$BATS_TEST_TMPDIR/expected"
	while IFS=$'\t' read -r tags to sees; do
		[[ $tags == *ffff* ]] && continue
		send_frames --hex "$mac $tags 564d5154 00000000 00000000 0000000$((n++ % 10)) $(printf '00%.0s' {1..30})" >/dev/null
		echo "$to $sees" >>"$BATS_TEST_TMPDIR/expected"
	done < <(nestings | sed 's/\t\t*/\t/g')
	for vm in tagged plain trunk; do
		wait_until 5 has $vm delivered "$(grep -c "^$vm" "$BATS_TEST_TMPDIR/expected")"
		heard $vm "$(sed -n "s/^$vm //p" "$BATS_TEST_TMPDIR/expected" | sort | uniq -c |
			sed 's/^ *\([0-9]*\) /\1:/' | sort -t: -k2)"
	done
	[ "$(adapter_stat unmatched)" -eq 0 ]
}

@test "all nestings of 802.1Q and 802.1ad, native (F-9, M-6)" {
	start_load --tags frame
	check_nestings
}

@test "all nestings of 802.1Q and 802.1ad, native, with the driver asked (F-9, M-6)" {
	has_kfunc || skip "needs Linux 6.8, for the VLAN-tag kfunc"
	start_load --tags kfunc
	check_nestings
}

@test "all nestings of 802.1Q and 802.1ad, skb mode (F-9, M-6)" {
	start_load --mode skb --tags frame
	check_nestings
}

@test "all nestings of 802.1Q and 802.1ad, through queue 0 (L-3)" {
	start_load --tags frame
	check_nestings_switched
}

# The same by the switch: weight 0.
check_nestings_switched()
{
	local tags to sees mac="52540000 0001 0200 000000fe"
	make_vm tagged $M1 --vlan 100 --weight 0
	make_vm plain $M1 --vlan untagged --weight 0
	make_vm trunk $M1 --vlan any --weight 0
	while IFS=$'\t' read -r tags to sees; do
		before=$(stat_of "$to" switch_delivered)
		send_frames --hex "$mac $tags 564d5154 00000000 0000000000000001 $(printf '00%.0s' {1..30})"
		wait_until 5 has "$to" switch_delivered $((before + 1))
	done < <(nestings | sed 's/\t\t*/\t/g')
}

@test "a tag beside the frame and others in it: the one beside is the outermost" {
	has_kfunc || skip "needs Linux 6.8, for the VLAN-tag kfunc"
	beside
	start_load --tags auto
	make_vm tagged $M1 --vlan 100
	make_vm plain $M1 --vlan untagged
	make_vm trunk $M2 --vlan any
	listen tagged plain trunk
	send_tagged --dst $M1,$M2 --vlan 7 --count 4
	send_tagged --dst $M1,$M2 --vlan 7 --inner 9 --count 4
	wait_until 5 has tagged delivered 4
	wait_until 5 has trunk delivered 4
	heard tagged $'2:8100.7\n2:8100.7+8100.9'
	heard trunk $'2:8100.100+8100.7\n2:8100.100+8100.7+8100.9'
	heard plain ""
}

@test "frames cut short within their tags go to the host and are counted" {
	start_load --tags frame
	make_vm tagged $M1 --vlan 100
	make_vm trunk $M2 --vlan any
	n=0
	for mac in 525400000001 525400000002; do
		for rest in 8100 810000 81000064 8100006488 88a8 88a800 \
			81000064 8100006481 810000648100 81000064810000 8100006481000007 88a800648100; do
			before=$(adapter_stat malformed)
			send_frames --hex "$mac 0200000000fe $rest"
			case $rest in
			8100 | 810000 | 81000064 | 8100006488 | 88a8 | 88a800 | \
			8100006481 | 810000648100 | 81000064810000 | 8100006481000007 | 88a800648100)
				wait_until 5 malformed_is $((before + 1))
				n=$((n + 1)) ;;
			esac
		done
	done
	[ "$n" -eq 24 ]
	[ "$(stat_of tagged matched)" -eq 0 ]
	[ "$(stat_of trunk matched)" -eq 0 ]
	# The shortest whole frames: headers only.
	send_frames --hex "525400000001 0200000000fe 81000064 88b5"
	wait_until 5 has tagged delivered 1
	send_frames --hex "525400000002 0200000000fe 88b5"
	wait_until 5 has trunk delivered 1
}

malformed_is()
{
	[ "$(adapter_stat malformed)" -eq "$1" ]
}

@test "what VMs send: a VLAN's VM and an untagged one do not hear each other" {
	has_kfunc || skip "needs Linux 6.8, for the VLAN-tag kfunc"
	beside
	start_load --tags auto
	make_vm tagged $M1 --vlan 100
	make_vm plain $M2 --vlan untagged
	start_recv lan lan100 lan0 --timeout 20 --print
	start_recv wire wire wire0 --timeout 20 --print
	listen tagged plain
	in_ns tagged "$PROG/frame-send" --iface eth0 --src $M1 --dst $BROADCAST,$M2,$WIRE_MAC --count 6
	in_ns plain "$PROG/frame-send" --iface eth0 --src $M2 --dst $BROADCAST,$M1,$WIRE_MAC --count 3
	# No access VM gets at a VLAN by writing tags itself.
	in_ns tagged "$PROG/frame-send" --iface eth0 --src $M1 --dst $BROADCAST --vlan 200 --count 2
	in_ns tagged "$PROG/frame-send" --iface eth0 --src $M1 --dst $BROADCAST --vlan 5 --ad --count 2
	in_ns plain "$PROG/frame-send" --iface eth0 --src $M2 --dst $BROADCAST --vlan 100 --count 2
	wait_until 5 has tagged tx_vlan 4
	wait_until 5 has plain tx_vlan 2
	wait_until 5 has tagged tx_wire 6
	wait_until 5 has plain tx_wire 3
	heard tagged ""
	heard plain ""
	heard lan "6:-"
	heard wire $'3:-\n6:8100.100'
}
