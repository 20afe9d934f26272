# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# world.bash - what a measurement runs in: the wire, the service, the guests, the load
#
# The world of one measurement is made by wire_up and goes with wire_down. The
# load is tests/prog/live-gen: it makes frames as fast as one CPU can, so all
# rates are throughput under overload.

wire_queues=2

wire_up()
{
	local n=$wire_queues

	ip netns add wire
	ip netns add vm
	ip link add $iface numrxqueues "$n" numtxqueues "$n" type veth \
		peer name wire0 netns wire address $wire_mac numrxqueues "$n" numtxqueues "$n"
	sysctl -qw net.ipv6.conf.$iface.disable_ipv6=1
	ip netns exec wire sysctl -qw net.ipv6.conf.wire0.disable_ipv6=1
	ip netns exec vm sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	ip link set $iface up
	ip -n wire link set wire0 up
}

gone()
{
	! kill -0 "$1" 2>/dev/null
}

# end_of NAME: of the process whose id is in the variable NAME, if any
end_of()
{
	local -n process=$1
	[ -n "$process" ] || return 0
	kill "$process" 2>/dev/null
	within 5 gone "$process" || kill -KILL "$process"
	wait "$process" 2>/dev/null
	process=
}

wire_down()
{
	end_of guest
	end_of pid
	end_of helper
	ip link del $iface 2>/dev/null
	ip link del br0 2>/dev/null
	ip netns del wire
	ip netns del vm
}

# What the generator sends in the measurement at hand, and from which namespace.
gen=()
gen_ns=wire

# The load; its seconds to stdout. `watch`: a command that runs it.
load=generate
watch=()
generate()
{
	"${watch[@]}" ip netns exec "$gen_ns" "${rt[@]}" "$prog/live-gen" --cpu $gen_cpu \
		--seconds "$seconds" "${gen[@]}" | jq -e .seconds
}

per_second()
{
	awk -v n="$1" -v t="$2" 'BEGIN { printf "%.0f\n", n / t }'
}

# rate COUNTER_CMD...: frames per second that the counter counts under the load
rate()
{
	local before after now time tries=100
	before=$("$@") || return 1
	time=$("$load") || return 1
	# What lies in rings is not counted until it is taken: wait for rest.
	now=$("$@")
	until [ "$now" = "${after-}" ]; do
		((tries--)) || die "frames come without end"
		after=$now
		sleep 0.05
		now=$("$@")
	done
	per_second $((after - before)) "$time"
}

# rate_of CMD...: the same of a receiver that tells its frames when it ends; its KiB
# to $memory
rate_of()
{
	local time
	"${rt[@]}" "$@" >"$tmp/receiver" 2>&1 </dev/null &
	pid=$!
	within 10 grep -q ready "$tmp/receiver" || die "$1 did not start: $(cat "$tmp/receiver")"
	time=$(generate) || return 1
	memory=$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")
	kill "$pid"
	wait "$pid"
	pid=
	per_second "$(tail -n 1 "$tmp/receiver" | jq .frames)" "$time"
}

# urgent PATTERN: real-time priority for the threads of $pid with such a name
urgent()
{
	local task
	[ ${#rt[@]} -eq 0 ] || for task in /proc/$pid/task/*; do
		# shellcheck disable=SC2053 # a pattern
		[[ $(<"$task/comm") != $1 ]] || chrt -f -p 10 "${task##*/}"
	done
}

# testpmd_up OPTION...: dpdk-testpmd from $iface on; 9 is its standard input then.
# If that fails: a reason to stdout, and 1. Only the forwarding thread gets
# real-time priority: the main thread waits for others by spinning.
testpmd_up()
{
	command -v dpdk-testpmd >/dev/null || { echo "skip: no dpdk-testpmd (package dpdk-dev)"; return 1; }
	mkfifo "$tmp/in"
	exec 9<>"$tmp/in"
	rm "$tmp/in"
	stdbuf -oL dpdk-testpmd -l $gen_cpu,$use_cpu --no-huge --no-pci --no-telemetry -m 512 \
		--vdev net_af_xdp0,iface=$iface,start_queue=0,queue_count=1 "$@" <&9 >"$tmp/receiver" 2>&1 &
	pid=$!
	echo start >&9
	within 20 grep -q 'packets/burst' "$tmp/receiver" ||
		{ echo "skip: dpdk-testpmd did not start in 20 s"; return 1; }
	urgent "rte-worker-$use_cpu"
}

# load_up [OPTION]...: the service on $iface
load_up()
{
	"${rt[@]}" build/vmq-load $iface --tags frame --cpus $use_cpu --place off "$@" \
		>"$tmp/load" 2>&1 </dev/null &
	pid=$!
	within 10 "$ctl" show || die "vmq-load did not start: $(cat "$tmp/load")"
}

# queue_add NAME MAC CHANNEL
queue_add()
{
	"$ctl" queue add "$1" --mac "$2" --cpu $use_cpu --channel "$3" >"$tmp/ctl" 2>&1 ||
		die "queue add: $(cat "$tmp/ctl")"
}

# Frames that the service took from the rings, whatever became of them.
taken()
{
	"$ctl" stats -j | jq '[.queues[] | select(.id != 0) | .stats |
		.delivered + .dropped.channel_error + .dropped.channel_full] | add'
}

xdp_drops()
{
	ethtool -S $iface | awk '/rx_queue_[0-9]+_xdp_drops:/ { n += $2 } END { print n + 0 }'
}

# rx_packets NETNS IFACE
rx_packets()
{
	ip -n "$1" -s -j link show "$2" | jq '.[0].stats64.rx.packets'
}

# rx_megabits NETNS IFACE
rx_megabits()
{
	ip -n "$1" -s -j link show "$2" | jq '.[0].stats64.rx.bytes * 8 / 1000000 | floor'
}

guest_up_vmq()
{
	load_up "$@"
	queue_add vm $mac tap:eth0,netns=vm
	ip -n vm link set eth0 up
}

# GRO makes a veth take live frames; with threaded NAPI the bridge has the second
# CPU for itself, as vmq's worker has.
on_use_cpu()
{
	ethtool -K "$1" gro on >/dev/null
	echo 1 >"/sys/class/net/$1/threaded" || die "no threaded NAPI"
	for kthread in $(pgrep "^napi/$1-"); do
		taskset -pc $use_cpu "$kthread" >/dev/null
		[ ${#rt[@]} -eq 0 ] || chrt -f -p 10 "$kthread"
	done
}

guest_up_bridge()
{
	ip link add br0 type bridge
	ip link set br0 up
	ip link add "p$$" type veth peer name eth0 netns vm address $mac
	ip link set "p$$" master br0 up
	ip -n vm link set eth0 up
	ip link set $iface master br0
	on_use_cpu $iface
	on_use_cpu "p$$"
	# The bridge learns where the VM and the wire are before the load begins.
	ip netns exec vm "$prog/frame-send" --iface eth0 --src $mac >/dev/null
	ip netns exec wire "$prog/frame-send" --iface wire0 --src $wire_mac >/dev/null
}

guest_up_macvlan()
{
	ip link add link $iface name eth0 netns vm address $mac type macvlan mode bridge
	ip -n vm link set eth0 up
	on_use_cpu $iface
}

ovs()
{
	timeout 10 ovs-vsctl --db="unix:$tmp/ovs/db.sock" "$@" >"$tmp/ovs/ctl.log" 2>&1
}

# ovs_up DAEMON [KEY=VALUE]...: Open vSwitch with a bridge br0 of its userspace data path,
# one PMD thread, and other_config. If that fails: a reason to stdout, and 1.
ovs_up()
{
	local daemon=$1 dir=$tmp/ovs schema=/usr/share/openvswitch/vswitch.ovsschema config
	shift
	command -v "$daemon" >"$tmp/got.ovs" && command -v ovsdb-server >"$tmp/got.ovs" && [ -e $schema ] ||
		{ echo "skip: no ${daemon##*/} (package openvswitch-switch$ovs_package)"; return 1; }
	export OVS_RUNDIR=$dir OVS_LOGDIR=$dir OVS_DBDIR=$dir OVS_SYSCONFDIR=$dir
	rm -rf "$dir"
	mkdir "$dir"
	ovsdb-tool create "$dir/conf.db" $schema
	ovsdb-server "$dir/conf.db" --remote="punix:$dir/db.sock" >"$dir/db.log" 2>&1 </dev/null &
	helper=$!
	within 5 test -S "$dir/db.sock"
	ovs --no-wait init
	for config in "pmd-cpu-mask=$(printf '%x' $((1 << use_cpu)))" "$@"; do
		ovs --no-wait set Open_vSwitch . "other_config:$config"
	done
	"$daemon" "unix:$dir/db.sock" >"$dir/log" 2>&1 </dev/null &
	pid=$!
	ovs add-br br0 -- set bridge br0 datapath_type=netdev
}
ovs_package=

# ovs_has PORT...: the last of them is there; else a reason to stdout, and 1
ovs_has()
{
	local port
	for port; do
		within 10 grep -q "added interface $port" "$tmp/ovs/log" || {
			echo "skip: ovs-vswitchd has no port $port here: $(grep -E 'ERR|WARN' "$tmp/ovs/log" |
				tail -n 1)"
			return 1
		}
	done
	urgent "pmd-c*"
}

# afxdp on $iface and on a veth into the VM's namespace
guest_up_ovs()
{
	local port
	ip link add "p$$" numrxqueues 2 numtxqueues 2 type veth peer name eth0 netns vm \
		address $mac numrxqueues 2 numtxqueues 2
	ip link set "p$$" up
	ip -n vm link set eth0 up
	ip netns exec vm ethtool -K eth0 gro on >/dev/null	# or it takes no frames of XDP
	ovs_up ovs-vswitchd || return 1
	for port in $iface "p$$"; do
		ovs add-port br0 "$port" -- set interface "$port" type=afxdp options:xdp-mode=native
	done
	ovs_has "$iface" "p$$" || return 1
	ip netns exec vm "$prog/frame-send" --iface eth0 --src $mac >/dev/null
	ip netns exec wire "$prog/frame-send" --iface wire0 --src $wire_mac >/dev/null
}

# huge_pages MIB: are so many free? They are the machine's, so nobody is given them here.
# If not: a reason to stdout, and 1.
huge_pages()
{
	awk -v mib="$1" '
	/^HugePages_Total:/ { total = $2 }
	/^HugePages_Free:/ { free = $2 }
	/^Hugepagesize:/ { kib = $2 }
	END {
		if (free * kib >= mib * 1024)
			exit 0
		want = total + int((mib * 1024 + kib - 1) / kib) - free
		print "skip: " mib " MiB of huge pages must be free; echo " want \
			" >/proc/sys/vm/nr_hugepages gives them to the machine, until told otherwise"
		exit 1
	}' /proc/meminfo
}
