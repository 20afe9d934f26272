# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# rx.bash - frames per second from the queues' rings, 4,096 filters
#
# The service takes them and throws them away. Against its data path alone behind the smallest XDP program (path), a bare AF_XDP
# receive loop (bare), dpdk-testpmd rxonly (testpmd) and XDP_DROP (drop).
# Then 16 queues while one controller sets and clears 10,000 filters a second, or as many
# as it gets answers, and another adds and frees queues, against none of that (still). They
# and the service's main thread go before worker and generator, so what they take of the
# two CPUs is missing in the rate as well. The same with 200 filters as one change, 50
# times a second.

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

rx_up()
{
	local q
	load_up --queues 256
	for ((q = 0; q < queues; q++)); do
		queue_add "q$q" "02:00:00:01:$(printf '%02x:%02x' $((q >> 8)) $((q & 255)))" none
	done
	rx_requests | "$prog/requests" /run/vmq/$iface.sock >"$tmp/ctl" || die "filter.add failed"
	[ "$("$ctl" filter list -j | jq '.filters | length')" -ge $filters ] ||
		die "filter.add: $(grep -m 1 error "$tmp/ctl")"
}

rx_vmq()
{
	rx_up
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

# ---- while the control plane is busy: frames and calls per second ------------------

# churn_of [PER_SECOND METHOD PARAMS METHOD PARAMS]...: what controllers ask in turn
churn_of()
{
	local ms frames calls asking=()
	ms=$(awk -v s="$seconds" 'BEGIN { print int(s * 1000) + 500 }')
	rx_up
	[ ${#rt[@]} -eq 0 ] || chrt -f -p 20 "$pid"	# its main thread alone: the workers keep theirs
	echo '{}' >"$tmp/calls"
	while [ $# -gt 0 ]; do
		"${rt[@]/10/20}" "$prog/repeat" $(($1 * ms / 1000))/"$ms" "${@:2:4}" >>"$tmp/calls" &
		asking+=($!)
		shift 5
	done
	frames=$(rate taken) || return 1
	[ ${#asking[@]} -eq 0 ] || wait "${asking[@]}" || die "a controller failed"
	calls=$(jq -s 'map(select(.calls) | .calls / .seconds) | add // 0 | round' "$tmp/calls")
	echo "$frames $calls"
}

churn_vmq()
{
	churn_of 10000 filter.add '{"queue":"q0","macs":["52:54:00:00:0f:01"]}' \
			filter.del '{"mac":"52:54:00:00:0f:01"}' \
		100 queue.add '{"name":"guest","macs":["52:54:00:00:0f:02"],"ring":64}' \
			queue.del '{"name":"guest"}'
}

churn_still() { churn_of; }

# batch OP [QUEUE]: 200 filters, as the parameters of one change
batch()
{
	local i list=
	for i in {100..299}; do
		printf -v list '%s,{"op":"%s","mac":"52:54:00:0f:%02x:%02x"%s}' "$list" "$1" \
			$((i / 256)) $((i % 256)) "${2:+,\"queue\":\"$2\"}"
	done
	echo "{\"changes\":[${list#,}]}"
}

batch_vmq()
{
	churn_of 50 filter.apply "$(batch add q0)" filter.apply "$(batch del)" \
		100 queue.add '{"name":"guest","macs":["52:54:00:00:0f:02"],"ring":64}' \
			queue.del '{"name":"guest"}'
}

batch_still() { churn_of; }

bench_rx()
{
	local counts=(1 16 256)
	[ -z "$quick" ] || counts=(1 16)
	for queues in "${counts[@]}"; do
		rx_gen
		compare rx "$queues queues, $filters filters" frames/s rx - vmq path bare testpmd drop
	done
	queues=16
	rx_gen
	compare rx "$queues queues, busy control plane:" "frames/s, calls/s" churn "rate calls" \
		vmq still
	compare rx "$queues queues, busy control plane, filters by 200:" "frames/s, calls/s" batch \
		"rate calls" vmq still
}
