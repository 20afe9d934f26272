#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Which way frames go: indications, CPUs and threads, transmit queues, and what a queue
# that has gone means for them.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02

setup()
{
	make_wire 2
	for n in 1 2; do
		make_guest g$n
	done
}

add()
{
	local n=$1
	shift
	ctl queue add "vm$n" --mac "52:54:00:00:00:0$n" --channel "tap:eth0,netns=g$n" "$@"
	quiet eth0 "g$n"
}

worker_threads()
{
	grep -l '^vmq-cpu' /proc/"$(load_pid)"/task/*/comm | wc -l
}

@test "P-1 P-2 P-5 what a guest is given holds frames of its queue only, in any number at a time" {
	start_load --tags frame
	# Room for all of them, so that a busy machine loses none.
	add 1 --ring 2048
	add 2 --ring 2048
	start_recv vm1 g1 eth0 --seq --count 2000 --timeout 30
	start_recv vm2 g2 eth0 --seq --count 2000 --timeout 30
	send_frames --dst $M1,$M2 --count 4000 --rate 10000
	finish_recv vm1
	[ "$(jq .streams <<<"$output")" -eq 1 ]
	finish_recv vm2
	[ "$(jq .streams <<<"$output")" -eq 1 ]
}

@test "P-8 P-9 only CPUs of the set that was given are used" {
	start_load --tags frame --cpus 0
	[ "$(worker_threads)" -eq 1 ]
	for comm in $(grep -l '^vmq-cpu' /proc/"$(load_pid)"/task/*/comm); do
		[ "$(sed -n 's/^Cpus_allowed_list:\t//p' "${comm%comm}status")" = 0 ]
	done
	run -2 ctl queue add q --mac $M1 --cpu 1
	[[ $output == *"--cpus"* ]]
	ctl queue add q --mac $M1
	[ "$(ctl queue show q -j | jq -c .queue.cpus)" = "[0]" ]
}

@test "P-10 P-11 queues on one CPU share one worker" {
	start_load --tags frame
	before=$(worker_threads)
	for i in {1..9}; do
		ctl queue add "q$i" --mac "52:54:00:00:01:0$i" --cpu 0
	done
	[ "$(worker_threads)" -eq "$before" ]
}

# wire_queue N: frames that arrived on RX queue N of the far end
wire_queue()
{
	in_ns wire ethtool -S wire0 | sed -n "s/^ *rx_queue_$1_xdp_packets: //p"
}

arrived()
{
	[ "$(($(wire_queue 0) + $(wire_queue 1)))" -ge "$1" ]
}

@test "T-1 T-3 what a guest sends leaves on the transmit queue of its queue" {
	start_load --tags frame
	in_ns wire ip link set wire0 xdpdrv object "$VMQ_BUILD/xdp_verdict.bpf.o" program xdp_pass
	[ -n "$(wire_queue 0)" ] || skip "no per-queue counters on veth"
	add 1
	add 2
	for n in 1 2; do
		before0=$(wire_queue 0) before1=$(wire_queue 1)
		in_ns g$n "$PROG/frame-send" --iface eth0 --src 52:54:00:00:00:0$n --dst $WIRE_MAC --count 200 --rate 20000
		wait_until 10 arrived $((before0 + before1 + 200))
		# Queue 1 sends on transmit queue 1, queue 2 on 0 (of two).
		[ "$(wire_queue $((n % 2)))" -eq $((n % 2 ? before1 + 200 : before0 + 200)) ]
	done
}

@test "T-2 L-7 a VM whose queue has stopped sends and receives through queue 0, without an error" {
	start_load --tags frame
	add 1
	ctl queue drain vm1
	start_recv wire wire wire0 --count 100 --timeout 20
	in_ns g1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --count 100 --rate 20000
	finish_recv wire
	[ "$(stat_of vm1 tx_wire)" -eq 100 ]
	[ "$(stat_of vm1 tx_frames)" -eq 100 ]
	start_recv vm1 g1 eth0 --count 100 --timeout 20
	send_frames --dst $M1 --count 100 --rate 20000
	finish_recv vm1
	[ "$(stat_of vm1 switch_delivered)" -eq 100 ]
	[ "$(stat_of vm1 matched)" -eq 0 ]
}

@test "T-5 deleting a queue ends what its VM still has to send" {
	start_load --tags frame
	add 1
	ctl queue pause vm1
	in_ns g1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --count 50
	start_recv wire wire wire0 --timeout 1
	ctl queue del vm1
	# The device and what it held are gone; each frame got its end, none the wire.
	run ! in_ns g1 ip link show eth0
	finish_recv wire
	[ "$(jq .frames <<<"$output")" -eq 0 ]
}

# kinds_in_manual "USAGE, USAGE...": does vmqctl(8) have all the kinds of channel there are?
kinds_in_manual()
{
	local page usage

	page=$(MANWIDTH=200 LC_ALL=C groff -man -Tascii -P-bcou "$ROOT/user/man/vmqctl.8")
	while read -r usage; do
		grep -qF -- "$usage" <<<"$page" || { echo "no '$usage' in vmqctl.8" >&2; return 1; }
	done <<<"${1//, /$'\n'}"
}

@test "M-4 M-5 guests get copies: there is no channel that shares receive memory" {
	start_load --tags frame
	run -2 ctl queue add q --mac $M1 --channel xsk:0
	[[ $output == *"unknown kind of channel"* ]]
	kinds_in_manual "${output##*there are: none, }"
	add 1
	start_recv vm1 g1 eth0 --seq --count 500 --timeout 20
	send_frames --dst $M1 --count 500 --rate 10000
	finish_recv vm1
}

@test "O-3 O-14 a queue's pairs, CPUs, state and filters, and the totals in use, are shown" {
	start_load --tags frame --queues 5
	ctl queue add q --mac $M1 --pairs 2
	ctl queue show q -j | jq -e '.queue | .id == 1 and .pairs == 2 and .state == "running" and
		(.pair_list | length == 2) and (.filter_list | length == 1) and (.cpus | length == 2)'
	ctl show -j | jq -e '.adapter | .queues == {used: 1, max: 5} and
		.filters == {used: 1, max: 65536} and .frames.per_rx_queue > .frames.free'
}

@test "O-10 L-3 queues are kept by who came first; a later VM works on queue 0" {
	start_load --tags frame --queues 8 --frames 256
	ctl queue add q1 --mac 52:54:00:00:01:01 --ring 256
	ctl queue alloc vm1 --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
	ctl filter add vm1 --mac $M1
	run -5 ctl queue complete vm1
	in_ns g1 ip addr add 192.0.2.11/24 dev eth0
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	in_ns wire ping -q -c 3 -i 0.05 -W 5 192.0.2.11
	[ "$(stat_of vm1 matched)" -eq 0 ]
	[ "$(queue_state q1)" = running ]
	# A place becomes free: the same queue takes it.
	ctl queue del q1
	ctl queue complete vm1
	in_ns wire ping -q -c 3 -i 0.05 -W 5 192.0.2.11
	[ "$(stat_of vm1 matched)" -ge 3 ]
}
