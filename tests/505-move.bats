#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# A scripted guest (tests/prog/vhost-move) goes back and forth between two hosts under
# a stream of numbered frames. What QEMU cannot show is counted here: that the dirty
# log is complete, that nothing is written behind the answer, and where each frame is
# that the guest did not get. VMQ_MOVES, VMQ_RATE: more of it.

load lib/vmq
load lib/hosts

MOVES=${VMQ_MOVES:-10}
RATE=${VMQ_RATE:-2000}

setup()
{
	vmq_hosts
}

# sum_of JQ: of both hosts' stats
sum_of()
{
	echo $(($(on a stats -j | jq "$1") + $(on b stats -j | jq "$1")))
}

# settled SENT RECEIVED OTHER: the guest got it, or it reached a host whose queue had
# stopped, or a guest without room, and is counted there
settled()
{
	local carried switched full
	carried=$(sum_of .adapter.uplink.carried)
	switched=$(sum_of '.queues[0].stats.switch_delivered')
	full=$(sum_of '.queues[0].stats.dropped | .ring_full + .channel_full')
	echo "sent $1, received $2 and $3 others, carried $carried, switched $switched, no room for $full"
	[ "$1" -eq $(($2 + carried - (switched - $3) + full)) ]
}

# toured: no guest stood still for a grace period each time, where tours are possible
toured()
{
	grep -q "stopping guests wait for grace periods" "$LOAD_LOG" ||
		[ $(($(on a show -j | jq .adapter.tours) + $(on b show -j | jq .adapter.tours))) -gt 0 ]
}

start_guest()
{
	"$PROG/vhost-move" --a "$BATS_TEST_TMPDIR/a.sock" --b "$BATS_TEST_TMPDIR/b.sock" \
		"$@" >"$BATS_TEST_TMPDIR/guest" 2>&1 3>&- &
	remember $! guest
	wait_until 10 grep -q ready "$BATS_TEST_TMPDIR/guest"
}

@test "the dirty log is complete, and each frame is with the guest or counted (L-4, L-5, L-6)" {
	local guest sent=$((RATE * (MOVES + 2) / 5))
	start_guest --moves "$MOVES" --every 150
	in_ns wire "$PROG/frame-send" --iface br0 --dst $MAC --rate "$RATE" --count "$sent" \
		--size 300 >/dev/null
	wait_until $((20 + MOVES)) grep -q moved "$BATS_TEST_TMPDIR/guest"
	wait_until 5 all_taken a
	wait_until 5 all_taken b
	reap guest
	guest=$(tail -n 1 "$BATS_TEST_TMPDIR/guest")
	echo "$guest"
	jq -e --argjson moves "$MOVES" '.moves == $moves and .pages_missed == 0 and
		.pages_late == 0 and .pages_logged > 0 and .foreign == 0 and .doubled == 0' <<<"$guest"
	wait_until 5 settled "$sent" "$(jq .received <<<"$guest")" "$(jq .other <<<"$guest")"
	toured
	report "moves: $guest, $sent frames sent"
}

@test "a guest without room is not waited for: what it cannot take is counted" {
	local guest
	start_guest --moves 1 --every 1000 --lazy
	in_ns wire "$PROG/frame-send" --iface br0 --dst $MAC --count 200 >/dev/null
	wait_until 20 grep -q moved "$BATS_TEST_TMPDIR/guest"
	on a stats -j | jq -c '.queues[0].stats'
	on a stats -j | jq -e '.queues[0].stats | .matched == 200 and
		.delivered + .switch_delivered == 128 and .delivered + .dropped.channel_full == 200'
	reap guest
	guest=$(tail -n 1 "$BATS_TEST_TMPDIR/guest")
	echo "$guest"
	# the bound of a delivery is 2,000 ms
	jq -e '.received + .other == 128 and .pages_missed == 0 and .pages_late == 0 and .stop_ms < 1500' <<<"$guest"
}

# said MAC TEXT: host b has announced that address so
said()
{
	grep "^[^ ]* $1 > ff:ff:ff:ff:ff:ff, $2" "$BATS_TEST_TMPDIR/rarp"
}

@test "each address of a moved guest is announced, in its VLAN (L-3)" {
	on b filter add vm1 --mac 52:54:00:00:00:02 --vlan 100
	on b filter add vm1 --mac 52:54:00:00:00:03 --vlan any
	"$VMQ_BUILD/vmqctl" -i vmq1 monitor -j >"$BATS_TEST_TMPDIR/events" 3>&- &
	remember $! monitor
	ip netns exec wire tcpdump -l -e -n -i wire1 'ether proto 0x8035 or (vlan and ether proto 0x8035)' \
		>"$BATS_TEST_TMPDIR/rarp" 2>"$BATS_TEST_TMPDIR/tcpdump" 3>&- &
	remember $! tcpdump
	wait_until 10 grep -q listening "$BATS_TEST_TMPDIR/tcpdump"
	start_guest --moves 1 --every 1000
	in_ns wire "$PROG/frame-send" --iface br0 --dst $MAC --count 20 >/dev/null
	wait_until 20 grep -q moved "$BATS_TEST_TMPDIR/guest"
	wait_until 5 said $MAC "ethertype Reverse ARP"
	wait_until 5 said 52:54:00:00:00:02 "ethertype 802.1Q (0x8100), length 64: vlan 100, p 0, ethertype Reverse ARP"
	wait_until 5 said 52:54:00:00:00:03 "ethertype Reverse ARP"
	wait_until 5 jq -es 'any(.what == "announced" and .detail == "3 addresses")' "$BATS_TEST_TMPDIR/events"
	reap guest
	reap monitor || :
	reap tcpdump || :
}
