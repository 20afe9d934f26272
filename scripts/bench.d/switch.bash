# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# switch.bash - frames per second between the wire and a guest, by channel
#
# From the wire (in) and back (out). A tap's guest is a network namespace; the peers
# are a Linux bridge with a veth into such a namespace (bridge), a macvlan in it
# (macvlan) and Open vSwitch's userspace data path, afxdp to a veth into it (ovs). A
# vhost-user guest is tests/prog/vhost-guest, which shares the generator's CPU and comes
# before it; the peers are testpmd from net_af_xdp to net_vhost (testpmd) and Open vSwitch's
# DPDK build, likewise (ovs), with the same guest. The latter is measured while 512 MiB of
# huge pages are free. In virtio-user the guest of both is DPDK's net_virtio_user in
# another testpmd. It spins, so it cannot share a CPU with a generator that does: frames
# come to it at 400,000/s at most, from a sender that sleeps in between. The guest has no
# real-time priority, nor has anybody beside it when frames come to it, so these figures
# count on a machine without other work only.

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

# TCP connections in turn, segments in order, as from a wire: what a guest's stack gets of
# them, joined or not, in Mbit/s of its device's counter. Apart: vmq without joining.
tcp_in()
{
	"guest_up_$1" || return 0
	[ "$2" = on ] || "$ctl" queue set vm --gro off >"$tmp/ctl" 2>&1 || die "queue set: $(cat "$tmp/ctl")"
	gen=(--iface wire0 --dst "$mac" --size 1514 --tcp "$flows")
	gen_ns=wire
	rate rx_megabits vm eth0
}

tcp_in_vmq() { tcp_in vmq on; }
tcp_in_apart() { tcp_in vmq off; }
tcp_in_bridge() { tcp_in bridge on; }

tap_in_vmq() { tap_in vmq; }
tap_in_bridge() { tap_in bridge; }
tap_in_macvlan() { tap_in macvlan; }
tap_in_ovs() { tap_in ovs; }
tap_out_vmq() { tap_out vmq; }
tap_out_bridge() { tap_out bridge; }
tap_out_macvlan() { tap_out macvlan; }
tap_out_ovs() { tap_out ovs; }

# ---- vhost-user: each contender listens at $socket ------------------------------------

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

vhost_up_ovs()
{
	local ovs_package=-dpdk port
	huge_pages 512 || return 1
	ovs_up /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk dpdk-init=true dpdk-socket-mem=512 \
		"dpdk-lcore-mask=$(printf '%x' $((1 << gen_cpu)))" \
		dpdk-extra="--in-memory --no-pci --no-telemetry" || return 1
	ovs add-port br0 wire -- set interface wire type=dpdk ofport_request=1 \
		"options:dpdk-devargs=net_af_xdp0,iface=$iface,start_queue=0,queue_count=1"
	# Our guest connects, so Open vSwitch listens.
	ovs add-port br0 vm -- set interface vm type=dpdkvhostuser ofport_request=2
	ovs_has wire vm || return 1
	# One flow each way, as testpmd has: nothing is learnt, nothing flooded.
	ovs-ofctl del-flows br0
	ovs-ofctl add-flow br0 in_port=1,actions=output:2
	ovs-ofctl add-flow br0 in_port=2,actions=output:1
	socket=$tmp/ovs/vm
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
	local socket=$tmp/vm.sock
	"vhost_up_$1" || return 0
	"${rt[@]/10/20}" "$prog/vhost-guest" --socket "$socket" --cpu $gen_cpu \
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
	"${rt[@]}" "$prog/vhost-guest" --socket "$socket" --cpu $gen_cpu --send "$wire_mac" \
		--src "$mac" --size "$size" --seconds "$seconds" | jq -e .seconds
}

vhost_out()
{
	local load=guest_sends socket=$tmp/vm.sock
	"vhost_up_$1" || return 0
	rate rx_packets wire wire0 || echo "skip: nobody took a frame from the guest in 5 s"
}

vhost_in_vmq() { vhost_in vmq; }
vhost_in_testpmd() { vhost_in testpmd; }
vhost_in_ovs() { vhost_in ovs; }
vhost_out_vmq() { vhost_out vmq; }
vhost_out_testpmd() { vhost_out testpmd; }
vhost_out_ovs() { vhost_out ovs; }

# ---- the same, the guest is testpmd with net_virtio_user ------------------------------

# virtio_up MODE: the guest; 8 is its standard input then
virtio_up()
{
	mkfifo "$tmp/in8"
	exec 8<>"$tmp/in8"
	rm "$tmp/in8"
	stdbuf -oL dpdk-testpmd --lcores "0@$gen_cpu,1@$gen_cpu" --file-prefix=guest --no-huge --no-pci \
		--no-telemetry -m 256 --vdev "net_virtio_user0,path=$tmp/vm.sock,mac=$mac,queues=1" -- \
		-i --forward-mode="$1" --eth-peer=0,$wire_mac --txpkts="$size" --total-num-mbufs=16384 \
		<&8 >"$tmp/guest" 2>&1 &
	guest=$!
	echo start >&8
	within 20 grep -q 'packets/burst' "$tmp/guest" || die "no guest: $(tail -n 3 "$tmp/guest")"
}

told()
{
	[ "$(grep -c 'RX-packets' "$tmp/guest")" -gt "$1" ]
}

# Frames that the guest has counted.
virtio_count()
{
	local before
	before=$(grep -c 'RX-packets' "$tmp/guest")
	echo 'show port stats 0' >&8
	within 10 told "$before" || die "the guest does not answer"
	grep -o 'RX-packets: *[0-9]*' "$tmp/guest" | tail -n 1 | tr -dc 0-9
}

virtio_reached()
{
	ip netns exec wire "$prog/frame-send" --iface wire0 --dst $mac >/dev/null
	[ "$(virtio_count)" -gt 0 ]
}

offers()
{
	ip netns exec wire "${rt[@]}" taskset -c $gen_cpu "$prog/frame-send" --iface wire0 --dst "$mac" \
		--size "$size" --rate 400000 --count "$(awk -v s="$seconds" 'BEGIN { print s * 400000 }')" |
		jq -e .seconds
}

virtio_in()
{
	local load=offers rt=()
	"vhost_up_$1" || return 0
	virtio_up rxonly
	within 10 virtio_reached || { echo "skip: no frame reaches the guest in 10 s"; return; }
	rate virtio_count
}

wire_has()
{
	[ "$(rx_packets wire wire0)" -gt 1000 ]
}

# The guest never rests, so the time between two looks at the wire is taken.
virtio_out()
{
	local before start
	"vhost_up_$1" || return 0
	virtio_up txonly
	within 10 wire_has || { echo "skip: no frame reaches the wire in 10 s"; return; }
	before=$(rx_packets wire wire0) start=${EPOCHREALTIME/[.,]/}
	sleep "$seconds"
	per_second $(($(rx_packets wire wire0) - before)) \
		"$(((${EPOCHREALTIME/[.,]/} - start)))e-6"
}

virtio_in_vmq() { virtio_in vmq; }
virtio_in_testpmd() { virtio_in testpmd; }
virtio_out_vmq() { virtio_out vmq; }
virtio_out_testpmd() { virtio_out testpmd; }

bench_switch()
{
	local sizes=(64 512 1500)
	[ -z "$quick" ] || sizes=(64)
	for flows in 1 8; do
		compare switch "tap in, TCP, $flows in turn" Mbit/s tcp_in - vmq apart bridge
	done
	for size in "${sizes[@]}"; do
		compare switch "tap in, $size bytes" frames/s tap_in - vmq bridge macvlan ovs
		compare switch "tap out, $size bytes" frames/s tap_out - vmq bridge macvlan ovs
		compare switch "vhost-user in, $size bytes" frames/s vhost_in - vmq testpmd ovs
		compare switch "vhost-user out, $size bytes" frames/s vhost_out - vmq testpmd ovs
		# Its start takes seconds, and --quick is to end soon.
		if [ -z "$quick" ] && command -v dpdk-testpmd >"$tmp/got.testpmd"; then
			compare switch "virtio-user in, $size bytes" frames/s virtio_in - vmq testpmd
			compare switch "virtio-user out, $size bytes" frames/s virtio_out - vmq testpmd
		fi
	done
}
