# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# tap.bash - frames per second between the wire and a tap in a namespace
#
# From the wire (in) and back (out). Against a Linux bridge with a veth into such a namespace (bridge) and a macvlan
# (macvlan).

size=64

tap_in()
{
	"tap_up_$1"
	gen=(--iface wire0 --dst "$mac" --size "$size")
	gen_ns=wire
	rate rx_packets vm eth0
}

tap_out()
{
	[ "$1" != macvlan ] || { echo "skip: its driver has no XDP transmit"; return; }
	"tap_up_$1"
	gen=(--iface eth0 --dst "$wire_mac" --src "$mac" --size "$size")
	gen_ns=vm
	rate rx_packets wire wire0
}

in_vmq() { tap_in vmq; }
in_bridge() { tap_in bridge; }
in_macvlan() { tap_in macvlan; }
out_vmq() { tap_out vmq; }
out_bridge() { tap_out bridge; }
out_macvlan() { tap_out macvlan; }

bench_tap()
{
	local sizes=(64 512 1500)
	[ -z "$quick" ] || sizes=(64)
	for size in "${sizes[@]}"; do
		compare tap "in, $size bytes" frames/s in - vmq bridge macvlan
		compare tap "out, $size bytes" frames/s out - vmq bridge macvlan
	done
}
