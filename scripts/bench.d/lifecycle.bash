# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# lifecycle.bash - queues and filters per second, drain, restart, memory per queue
#
# One controller asks and waits for each answer (tests/prog/repeat), unless a case says
# otherwise. `shares` tell where the time went, in percent of it: `own` the service in
# user mode, `kernel` the service in system calls, `rest` all else: grace periods that it
# waits for, the controller, other work on the machine.

# The parts of the run at hand, an object per line.
life=$tmp/life

# cpu_of PID: jiffies in user and in kernel mode
cpu_of()
{
	sed 's/^.*) //' "/proc/$1/stat" | awk '{ print $12, $13 }'
}

# life_run CMD...: CMD prints an object; with the time and the service's CPU time to $life
life_run()
{
	local before after begin seconds
	read -ra before < <(cpu_of "$pid")
	begin=${EPOCHREALTIME/[.,]/}
	"$@" >"$tmp/part" || die "lifecycle: $* failed: $(tail -n 3 "$tmp/part")"
	seconds=$(((${EPOCHREALTIME/[.,]/} - begin)))e-6
	read -ra after < <(cpu_of "$pid")
	[ -s "$tmp/part" ] || echo '{}' >"$tmp/part"
	jq -c --argjson hz "$(getconf CLK_TCK)" --argjson seconds "$seconds" \
		--argjson own $((after[0] - before[0])) --argjson kernel $((after[1] - before[1])) \
		'{seconds: $seconds} + . + {own: ($own / $hz), kernel: ($kernel / $hz)}' \
		"$tmp/part" >>"$life"
}

# life_rounds CMD...: as many as the user wants
life_rounds()
{
	local i
	rm -f "$life"
	for ((i = 0; i < rounds; i++)); do
		life_run "$@"
	done
}

# life_put CASE UNIT VALUE HOW [PEERS]: what $life says; VALUE is a jq expression of a
# part, PEERS an object
life_put()
{
	# shellcheck disable=SC2016 # jq's variables
	put --slurpfile parts "$life" --arg case "$1" --arg unit "$2" --arg how "$4" \
		--argjson peers "${5:-{\}}" '
		def median: sort | if length % 2 == 1 then .[length / 2 | floor]
			else (.[length / 2 - 1] + .[length / 2]) / 2 end;
		def round2: . * 100 | round / 100;
		def share(f): ([$parts[] | f] | add) * 100 / ([$parts[].seconds] | add)
			| [., 100] | min | round;
		([$parts[] | '"$3"'] | median | round2) as $vmq
		| {bench: "lifecycle", case: $case, unit: $unit, how: $how, pinned: "no", vmq: $vmq,
		   peers: $peers, ratios: ($peers | map_values($vmq / . | round2)),
		   shares: {own: share(.own), kernel: share(.kernel),
			    rest: (100 - share(.own + .kernel))},
		   calls: ([$parts[0].turns[]?.method] | unique | map({key: ., value: (. as $m
			| [$parts[].turns[] | select(.method == $m)]
			| {p50_ms: (map(.p50_ms) | median | round2),
			   p99_ms: (map(.p99_ms) | median | round2)})}) | from_entries),
		   rounds: [$parts[] | '"$3"' | round2]}'
}

# Turns per second, of a part that repeat has printed
per_turn='.turns[0].calls / .seconds'

# life_mac K LAST: an address of the many
life_mac()
{
	printf '52:54:%02x:%02x:00:%02x' $(($1 >> 8)) $(($1 & 255)) "$2"
}

# life_queues N FIRST: so many queues without a channel, from q$FIRST on, asked for at once
life_queues()
{
	local q
	for ((q = $2; q < $2 + $1; q++)); do
		printf 'queue.add {"name":"q%d","macs":["%s"],"ring":64}\n' "$q" "$(life_mac "$q" 1)"
	done | life_requests
}

life_requests()
{
	local asked
	asked=$(tee "$tmp/asked" | "$prog/requests" /run/vmq/$iface.sock) ||
		die "lifecycle: no answer"
	! grep -q '"error"' <<<"$asked" || die "lifecycle: $(grep -m 1 '"error"' <<<"$asked")"
}

life_batch()
{
	local q
	life_queues "$1" 5000
	for ((q = 5000; q < 5000 + $1; q++)); do
		printf 'queue.del {"name":"q%d"}\n' "$q"
	done | life_requests
}

# ---- queues and filters -----------------------------------------------------------

life_of_queues()
{
	local n=$1 others=$2 batch=64 of=''
	[ -z "$quick" ] || batch=8
	load_up --queues 1024
	if [ "$others" -gt 0 ]; then
		life_queues "$others" 1
		of=" among $others others"
	fi
	life_rounds "$prog/repeat" $((2 * n)) \
		queue.add "{\"name\":\"q\",\"macs\":[\"$mac\"],\"ring\":64}" queue.del '{"name":"q"}'
	life_put "queue add and free$of" "queues/s" "$per_turn" "$n times, rounds: $rounds"
	life_rounds life_batch $batch
	life_put "queue add and free, $batch at once$of" "queues/s" "$batch / .seconds" \
		"asked for on one connection, rounds: $rounds"
}

# N filters of queue q$1, as one change
life_filters()
{
	local k
	for ((k = 0; k < $2; k++)); do
		echo "add q$1 $(life_mac $k "$1") any"
	done
}

life_of_filters()
{
	local n=$1 others=$2 id of=''
	load_up --queues 8
	queue_add q1 $mac none
	queue_add q2 $wire_mac none
	if [ "$others" -gt 0 ]; then
		life_filters 1 "$others" | "$ctl" filter apply - || die "filter apply"
		of=" among $others others"
	fi
	life_rounds "$prog/repeat" $((2 * n)) \
		filter.add '{"queue":"q1","macs":["52:54:00:00:0f:01"]}' \
		filter.del '{"mac":"52:54:00:00:0f:01"}'
	life_put "filter set and clear$of" "filters/s" "$per_turn" "$n times, rounds: $rounds"
	id=$("$ctl" filter list q1 -j | jq --arg mac $mac '.filters[] | select(.mac == $mac) | .id')
	"$ctl" filter add q1 --mac 52:54:00:00:0f:02 >/dev/null || die "filter add"
	life_rounds "$prog/repeat" "$n" filter.move "{\"id\":$id,\"queue\":\"q2\"}" \
		filter.move "{\"id\":$id,\"queue\":\"q1\"}"
	life_put "filter move$of" "moves/s" ".calls / .seconds" "$n times, rounds: $rounds"
}

life_of_apply()
{
	local n=65000 i
	[ -z "$quick" ] || n=500
	load_up --queues 8
	queue_add q1 $mac none
	life_filters 1 $n >"$tmp/add"
	sed 's/^add q1/del/' "$tmp/add" >"$tmp/del"
	rm -f "$life"
	for ((i = 0; i < rounds; i++)); do
		life_run "$ctl" filter apply "$tmp/add"
		"$ctl" filter apply "$tmp/del" || die "filter apply"
	done
	life_put "filter apply, $n filters as one change" s .seconds "rounds: $rounds"
}

# ---- drain and restart --------------------------------------------------------------

life_of_drain()
{
	local n=$1 barrier gen_pid p
	guest_up_vmq
	queue_add other 52:54:00:00:0f:03 none
	barrier=$("$prog/grace" "$n") || die "no membarrier"
	ip netns exec wire "$prog/frame-send" --iface wire0 --dst $mac --count 1000000000 \
		--rate 20000 >/dev/null &
	gen_pid=$!
	life_rounds "$prog/repeat" $((2 * n)) queue.drain '{"name":"vm"}' \
		filter.add "{\"queue\":\"vm\",\"macs\":[\"$mac\"]}"
	kill $gen_pid
	wait $gen_pid
	for p in p50 p99; do
		life_put "drain $p" ms ".turns[] | select(.method == \"queue.drain\") | .${p}_ms" \
			"20,000 frames/s to a tap, $n times, rounds: $rounds" \
			"$(jq -c "{barrier: .${p}_ms}" <<<"$barrier")"
	done
}

# From the start of a service to the first frame that a guest gets.
life_restart()
{
	rm -f "$tmp/listens"
	ip netns exec vm "$prog/frame-recv" --iface eth0 --dst $mac --count 1 --timeout 60 \
		--ready "$tmp/listens" >/dev/null &
	recv_pid=$!
	within 10 test -e "$tmp/listens" || die "frame-recv did not start"
	build/vmq-load $iface --tags frame --cpus $use_cpu --place off --queues 256 \
		>"$tmp/load" 2>&1 </dev/null &
	pid=$!
	begin=${EPOCHREALTIME/[.,]/}
	wait $recv_pid || die "no frame after a restart: $(cat "$tmp/load")"
	read -ra used < <(cpu_of "$pid")
	jq -nc --argjson us $((${EPOCHREALTIME/[.,]/} - begin)) --argjson hz "$(getconf CLK_TCK)" \
		--argjson own "${used[0]}" --argjson kernel "${used[1]}" \
		'{seconds: ($us / 1e6), own: ($own / $hz), kernel: ($kernel / $hz)}' >>"$life"
	within 10 "$ctl" show || die "vmq-load did not start: $(cat "$tmp/load")"
}

life_of_restart()
{
	local n=$1 i recv_pid used begin gen_pid
	load_up --queues 256
	queue_add vm $mac tap:eth0,netns=vm
	ip -n vm link set eth0 up
	[ "$n" -le 1 ] || life_queues $((n - 1)) 1
	ip netns exec wire "$prog/frame-send" --iface wire0 --dst $mac --count 1000000000 \
		--rate 20000 >/dev/null &
	gen_pid=$!
	rm -f "$life"
	for ((i = 0; i < rounds; i++)); do
		kill -KILL $pid
		wait $pid 2>/dev/null
		life_restart
	done
	kill $gen_pid
	wait $gen_pid
	life_put "restart to traffic, $n queues" ms ".seconds * 1000" "after kill -9, rounds: $rounds"
}

# ---- memory -------------------------------------------------------------------------

life_of_memory()
{
	local n=$1 maps map
	load_up --queues "$n"
	life_queues "$n" 1
	maps=$(for map in /sys/fs/bpf/vmq/$iface/*; do
		bpftool -j map show pinned "$map" 2>/dev/null
	done | jq -s 'map(.bytes_memlock // 0) | add')
	# shellcheck disable=SC2016 # jq's variables
	put --argjson n "$n" --argjson maps "$maps" \
		--argjson rss "$(awk '/VmRSS/ { print $2 }' /proc/$pid/status)" '
		{bench: "lifecycle", case: "memory per queue, \($n) queues", unit: "KiB",
		 how: "of the process, with all buffers; maps: of the kernel, for the program",
		 pinned: "no", vmq: ($rss / $n * 10 | round / 10), peers: {}, ratios: {},
		 maps_kib: ($maps / 1024 / $n * 10 | round / 10), rounds: []}'
}

bench_lifecycle()
{
	local counts=(1 256 1024) others=900 filters=10000 n=100 restarts=(1 256) step
	[ -z "$quick" ] || { counts=(1) others=20 filters=100 n=20 restarts=(1); }

	for step in "queues $n 0" "queues $n $others" "filters $((n * 50)) 0" \
		"filters $((n * 5)) $filters" apply "drain $n" "${restarts[@]/#/restart }" \
		"${counts[@]/#/memory }"; do
		wire_up
		# shellcheck disable=SC2086 # a word and its numbers
		life_of_$step
		wire_down
	done
}
