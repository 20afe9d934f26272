#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Faults: the service is ended or killed under traffic, the interface goes away,
# others are in the way.

load lib/vmq

M1=52:54:00:00:00:01
PINS=/sys/fs/bpf/vmq

setup()
{
	make_wire 2
}

# traffic [SECONDS]: frames for M1 in the background
traffic()
{
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --seconds $((${1:-3} * SLOW)) --one-in 16 \
		>"$BATS_TEST_TMPDIR/gen.json" 2>&1 3>&- &
	remember $! gen
}

add_web1()
{
	make_guest g1
	ctl queue add web1 --mac $M1 --channel tap:eth0,netns=g1 "$@"
	quiet eth0 g1
	in_ns g1 ip addr add 192.0.2.11/24 dev eth0
}

grows()
{
	local before now
	before=$("$@")
	now=$("$@")
	[ "$now" -gt "$before" ]
}

xdp_id()
{
	ip -j link show "$IFACE" | jq '.[0].xdp.prog.id // 0'
}

# rx_packets: what the host's own stack got
rx_packets()
{
	cat /sys/class/net/"$IFACE"/statistics/rx_packets
}

@test "SIGTERM and SIGINT under traffic end the service and leave nothing (M-3, R-18)" {
	for signal in TERM INT; do
		start_load --tags frame
		add_web1
		traffic 2
		wait_until 5 grows stat_of web1 matched
		stop_load $signal
		check_nothing_left
		[ "$(xdp_id)" -eq 0 ]
		reap gen || true
		ip netns del g1
	done
}

@test "kill -9 under traffic: frames fall to the host, a restart adopts everything" {
	start_load --tags frame
	add_web1 --cpu 0
	ctl filter add drop --mac 52:54:00:00:00:66
	ctl filter add web1 --mac 52:54:00:00:00:77 --vlan 9
	before=$(ctl filter list -j)
	queues=$(ctl queue list -j)
	traffic 8
	wait_until 5 grows stat_of web1 matched
	program=$(xdp_id)
	stop_load KILL || true
	[ "$(xdp_id)" -eq "$program" ]
	wait_until 5 grows rx_packets
	in_ns g1 ip addr show eth0 | grep -q 192.0.2.11

	start_load --tags frame
	[ "$(ctl show -j | jq .adapter.adopted)" = true ]
	[ "$(ctl filter list -j)" = "$before" ]
	[ "$(ctl queue list -j)" = "$queues" ]
	wait_until 5 grows stat_of web1 matched
	in_ns g1 ip addr show eth0 | grep -q 192.0.2.11
	reap gen || true
	wait_until 5 at_rest web1
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	in_ns wire ping -q -c 3 -i 0.05 -W 2 192.0.2.11
	stop_load
	check_nothing_left
}

@test "--keep leaves program, pins and TAPs for the next run" {
	start_load --tags frame --keep
	add_web1
	stop_load
	[ "$(xdp_id)" -ne 0 ]
	in_ns g1 ip addr show eth0 | grep -q 192.0.2.11
	start_load --tags frame
	[ "$(queue_state web1)" = running ]
	stop_load
	check_nothing_left
}

@test "the interface goes away under traffic: the service says so and ends" {
	start_load --tags frame
	add_web1
	traffic 3
	wait_until 5 grows stat_of web1 matched
	ip link del "$IFACE"
	wait_until 5 gone "$(load_pid)"
	run stop_load
	[ "$status" -eq 3 ]
	grep -q "$IFACE has gone" "$LOAD_LOG"
	reap gen || true
	check_nothing_left
}

@test "the interface moves to another namespace: the same" {
	start_load --tags frame
	ip netns add elsewhere
	ip link set "$IFACE" netns elsewhere
	wait_until 5 gone "$(load_pid)"
	run stop_load
	[ "$status" -eq 3 ]
	check_nothing_left
	[ "$(ip -n elsewhere -j link show "$IFACE" | jq '.[0].xdp.prog.id // 0')" -eq 0 ]
}

@test "link down and up does no harm" {
	start_load --tags frame
	add_web1
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	ip link set "$IFACE" down
	ip link set "$IFACE" up
	in_ns wire ping -q -c 3 -i 0.05 -W 2 192.0.2.11
}

@test "vmq-load --unload removes what a dead service left" {
	start_load --tags frame
	add_web1
	run -4 "$VMQ_BUILD/vmq-load" --unload "$IFACE"
	[[ $output == *"$(load_pid)"* ]]
	stop_load KILL || true
	[ -e $PINS/"$IFACE"/link ]
	"$VMQ_BUILD/vmq-load" --unload "$IFACE"
	[ "$(xdp_id)" -eq 0 ]
	[ ! -e $PINS/"$IFACE" ]
	run ! in_ns g1 ip link show eth0
	check_nothing_left
	run -3 "$VMQ_BUILD/vmq-load" --unload "$IFACE"
}

@test "--unload works when the interface has gone, too" {
	start_load --tags frame
	stop_load KILL || true
	ip link del "$IFACE"
	[ -e $PINS/"$IFACE" ]
	"$VMQ_BUILD/vmq-load" --unload "$IFACE"
	[ ! -e $PINS/"$IFACE" ]
}

@test "pins of an interface that has gone do not stop a new one of that name" {
	start_load --tags frame
	add_web1
	stop_load KILL || true
	ip link del "$IFACE"
	ip netns del wire
	make_wire 2
	start_load --tags frame
	[ "$(ctl show -j | jq .adapter.adopted)" = false ]
	run ! in_ns g1 ip link show eth0
}

@test "a second service on the interface is refused and names the first" {
	start_load --tags frame
	run -4 timeout 10 "$VMQ_BUILD/vmq-load" "$IFACE" --tags frame
	[[ $output == *"$(load_pid)"* ]]
	run -4 timeout 10 "$VMQ_BUILD/vmq-load" "$IFACE" --tags frame --name other
	[[ $output == *"$IFACE"* ]]
	[ "$(ctl -i "$IFACE" show -j | jq .adapter.queues.used)" -eq 0 ]
}

@test "another XDP program on the interface is refused and named" {
	bpftool prog load "$VMQ_BUILD/xdp_verdict.bpf.o" /sys/fs/bpf/other type xdp
	ip link set "$IFACE" xdp pinned /sys/fs/bpf/other
	id=$(xdp_id)
	run -4 timeout 10 "$VMQ_BUILD/vmq-load" "$IFACE" --tags frame
	[[ $output == *"$id"* ]]
	[ "$(xdp_id)" -eq "$id" ]
	rm /sys/fs/bpf/other
	check_nothing_left
}

@test "skb mode works and says so" {
	start_load --mode skb --tags frame
	[ "$(ctl show -j | jq -r .adapter.mode)" = skb ]
	add_web1
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	in_ns wire ping -q -c 3 -i 0.05 -W 2 192.0.2.11
	wait_until 5 stat_reaches web1 delivered 3
}
