#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# A guest on vhost-user that changes its memory while the service reads it, and the
# others' traffic beside it.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02

setup()
{
	make_wire 2
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	start_load --tags frame
	make_guest vm2
	ctl queue add vm2 --mac $M2 --channel tap:eth0,netns=vm2
	in_ns vm2 ip addr add 192.0.2.12/24 dev eth0
	in_ns vm2 ip link set eth0 up
	ctl queue add vm1 --mac $M1 --vlan untagged --channel vhost-user:/run/vmq/vm1.sock
}

# hostile MODE: tests/prog/hostile-guest as vm1, in the background
hostile()
{
	"$PROG/hostile-guest" /run/vmq/vm1.sock $M1 $M2 "$1" \
		>"$BATS_TEST_TMPDIR/cuts" 2>&1 </dev/null 3>&- &
	remember $! hostile
}

# All that the guest sent is in exactly one counter (it sends no floods).
tx_adds_up()
{
	ctl stats -j | jq -e '.queues[] | select(.name == "vm1") | .stats | .tx_frames ==
		([to_entries[] | select(.key | startswith("tx_")) | .value] | add)
		- .tx_frames - .tx_bytes'
}

cuts()
{
	[ "$(wc -l <"$BATS_TEST_TMPDIR/cuts")" -ge "$1" ]
}

@test "M-7 a guest that changes a frame while it is read sends nothing in another's name" {
	# ends at the first frame with another's address or in a VLAN
	in_ns wire tcpdump -n -i wire0 -c 1 "ether src $M2 and ether proto 0x88b5 or vlan" \
		>"$BATS_TEST_TMPDIR/forged" 2>"$BATS_TEST_TMPDIR/tcpdump" 3>&- &
	remember $! tcpdump
	wait_until 5 grep -q listening "$BATS_TEST_TMPDIR/tcpdump"
	hostile bytes
	for counter in tx_wire tx_spoofed tx_vlan tx_bad_csum; do
		wait_until 20 stat_reaches vm1 $counter 200
	done
	in_ns wire ping -q -c 3 -i 0.1 -W 2 192.0.2.12
	reap hostile || :
	wait_until 5 tx_adds_up
	[ ! -s "$BATS_TEST_TMPDIR/cuts" ]
	run ! gone "$(<"$BATS_TEST_TMPDIR/pid-tcpdump")"
	[ ! -s "$BATS_TEST_TMPDIR/forged" ]
	# nor did anybody learn from it where the other is
	[ "$(stat_of vm2 tx_spoofed)" -eq 0 ]
	in_ns wire ping -q -c 1 -W 2 192.0.2.12
}

@test "M-8 a guest that writes any numbers into its rings loses its connection, and nothing else" {
	ctl monitor -j >"$BATS_TEST_TMPDIR/events" 3>&- &
	remember $! monitor
	hostile rings
	wait_until 30 cuts 20
	wait_until 10 grep -q '"lost"' "$BATS_TEST_TMPDIR/events"
	in_ns wire ping -q -c 5 -i 0.1 -W 2 192.0.2.12
	reap hostile || :
	[ "$(queue_state vm1)" = running ]
	wait_until 5 tx_adds_up
	# and a guest that behaves can have the queue
	n=$(stat_of vm1 tx_wire)
	hostile bytes
	wait_until 10 stat_reaches vm1 tx_wire $((n + 100))
}
