# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# rx.bash - frames per second from the queues' rings, 4,096 filters
#
# The service takes them and throws them away. Against its data path alone behind the smallest XDP program (path), a bare AF_XDP
# receive loop (bare), dpdk-testpmd rxonly (testpmd) and XDP_DROP (drop).

filters=4096
queues=1

# Its queues' filters, as requests to the service; their last two bytes are the slot.
rx_requests()
{
	local k q
	for ((k = 0; k < filters / queues; k++)); do
		for ((q = 0; q < queues; q++)); do
			printf 'filter.add {"queue":"q%d","macs":["52:54:%02x:%02x:%02x:%02x"]}\n' \
				$q $((k >> 8)) $((k & 255)) $((q >> 8)) $((q & 255))
		done
	done
}

# In turn: all queues, then the next address of each.
rx_gen()
{
	local k list=
	for ((k = 0; k < filters / queues; k++)); do
		printf -v list '%s,52:54:%02x:%02x:00:00+%d' "$list" $((k >> 8)) $((k & 255)) \
			"$queues"
	done
	gen=(--iface wire0 --dst "${list#,}")
	gen_ns=wire
}

rx_vmq()
{
	local q
	load_up --queues 256
	for ((q = 0; q < queues; q++)); do
		queue_add "q$q" "02:00:00:01:$(printf '%02x:%02x' $((q >> 8)) $((q & 255)))" none
	done
	rx_requests | "$prog/requests" /run/vmq/$iface.sock >"$tmp/ctl" || die "filter.add failed"
	[ "$("$ctl" filter list -j | jq '.filters | length')" -ge $filters ] ||
		die "filter.add: $(grep -m 1 error "$tmp/ctl")"
	rate taken
}

# The service's data path with a null channel behind xsk-bare's XDP program.
rx_path()
{
	rate_of "$prog/rx-path" --iface $iface --rxqs $wire_queues --cpus $use_cpu --queues "$queues" \
		--poll-us 50
}

rx_bare()
{
	rate_of "$prog/xsk-bare" --iface $iface --queues $wire_queues --cpu $use_cpu --sockets "$queues"
}

# One AF_XDP socket, its own XDP program, and it wants a CPU for its main thread.
rx_testpmd()
{
	local time
	[ "$queues" -eq 1 ] || { echo "skip: has one socket per RX queue"; return; }
	testpmd_up -- -i --forward-mode=rxonly --total-num-mbufs=16384 || return 0
	time=$(generate) || return 1
	printf '%s\n' stop quit >&9
	within 10 gone "$pid" || { echo "skip: dpdk-testpmd did not end in 10 s"; return; }
	pid=
	exec 9>&-
	per_second "$(awk '/RX-packets:/ { print $2; exit }' "$tmp/receiver")" "$time"
}

rx_drop()
{
	ip link set $iface xdpdrv object build/xdp_verdict.bpf.o program xdp_drop || die "xdp_drop"
	rate xdp_drops
}

bench_rx()
{
	local counts=(1 16 256)
	[ -z "$quick" ] || counts=(1 16)
	for queues in "${counts[@]}"; do
		rx_gen
		compare rx "$queues queues, $filters filters" frames/s rx - vmq path bare testpmd drop
	done
}
