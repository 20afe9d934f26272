# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# switch.bash - frames per second between the wire and a guest, by channel
#
# From the wire (in) and back (out). A tap's guest is a network namespace; the peers
# are a Linux bridge with a veth into such a namespace (bridge), a macvlan in it
# (macvlan) and Open vSwitch's userspace data path, afxdp to a veth into it (ovs). A
# vhost-user guest is tests/prog/vhost-guest, which shares the generator's CPU and comes
# before it; the peer is testpmd from net_af_xdp to net_vhost (testpmd), with the same
# guest. Open vSwitch has vhost-user in its DPDK build alone, and that needs huge pages.

size=64

# ---- tap ------------------------------------------------------------------------

tap_in()
{
	"guest_up_$1" || return 0
	gen=(--iface wire0 --dst "$mac" --size "$size")
	gen_ns=wire
	rate rx_packets vm eth0
}

tap_out()
{
	[ "$1" != macvlan ] || { echo "skip: its driver has no XDP transmit"; return; }
	"guest_up_$1" || return 0
	gen=(--iface eth0 --dst "$wire_mac" --src "$mac" --size "$size")
	gen_ns=vm
	rate rx_packets wire wire0
}

tap_in_vmq() { tap_in vmq; }
tap_in_bridge() { tap_in bridge; }
tap_in_macvlan() { tap_in macvlan; }
tap_in_ovs() { tap_in ovs; }
tap_out_vmq() { tap_out vmq; }
tap_out_bridge() { tap_out bridge; }
tap_out_macvlan() { tap_out macvlan; }
tap_out_ovs() { tap_out ovs; }

# ---- vhost-user: each contender listens at $tmp/vm.sock ----------------------------

vhost_up_vmq()
{
	load_up
	queue_add vm $mac "vhost-user:$tmp/vm.sock"
}

vhost_up_testpmd()
{
	testpmd_up --vdev "net_vhost0,iface=$tmp/vm.sock,queues=1" -- -i --forward-mode=io --disable-link-check \
		--total-num-mbufs=16384
}

# Frames that the guest has counted.
guest_count()
{
	od -An -tu8 -N8 "$tmp/guest.count" | tr -d ' '
}

# The first frame through: then all of the back end's threads have done their part.
guest_reached()
{
	ip netns exec wire "$prog/frame-send" --iface wire0 --dst $mac >/dev/null
	[ "$(guest_count)" -gt 0 ]
}

vhost_in()
{
	"vhost_up_$1" || return 0
	"${rt[@]/10/20}" "$prog/vhost-guest" --socket "$tmp/vm.sock" --cpu $gen_cpu \
		--count "$tmp/guest.count" >"$tmp/guest" 2>&1 </dev/null &
	guest=$!
	within 10 grep -q ready "$tmp/guest" || die "no guest: $(cat "$tmp/guest")"
	within 10 guest_reached || { echo "skip: no frame reaches the guest in 10 s"; return; }
	gen=(--iface wire0 --dst "$mac" --size "$size")
	gen_ns=wire
	rate guest_count
}

guest_sends()
{
	"${rt[@]}" "$prog/vhost-guest" --socket "$tmp/vm.sock" --cpu $gen_cpu --send "$wire_mac" \
		--src "$mac" --size "$size" --seconds "$seconds" | jq -e .seconds
}

vhost_out()
{
	local load=guest_sends
	"vhost_up_$1" || return 0
	rate rx_packets wire wire0 || echo "skip: nobody took a frame from the guest in 5 s"
}

vhost_in_vmq() { vhost_in vmq; }
vhost_in_testpmd() { vhost_in testpmd; }
vhost_out_vmq() { vhost_out vmq; }
vhost_out_testpmd() { vhost_out testpmd; }

bench_switch()
{
	local sizes=(64 512 1500)
	[ -z "$quick" ] || sizes=(64)
	for size in "${sizes[@]}"; do
		compare switch "tap in, $size bytes" frames/s tap_in - vmq bridge macvlan ovs
		compare switch "tap out, $size bytes" frames/s tap_out - vmq bridge macvlan ovs
		compare switch "vhost-user in, $size bytes" frames/s vhost_in - vmq testpmd
		compare switch "vhost-user out, $size bytes" frames/s vhost_out - vmq testpmd
	done
}
