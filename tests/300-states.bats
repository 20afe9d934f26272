#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# The life of a queue, over the control socket: every cell of the state table, legal
# and illegal, and what each state means for frames.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
F1=52:54:00:00:00:0f
F2=52:54:00:00:00:1f

setup()
{
	make_wire 2
	start_load --tags frame
}

# ---- the table ------------------------------------------------------------------

# Written down from the specification (section 4), not from the code. x: refused.
# Freeing passes within the service's thread: no request can meet it, the events show it.
table()
{
	cat <<-END
		event       undefined allocated set       running paused   stop-dma
		allocate    allocated x         x         x       x        x
		parameters  x         allocated set       running paused   x
		set-filter  x         set       set       running running  x
		clear       x         x         set       running x        x
		clear-last  x         x         allocated paused  x        x
		enumerate   x         allocated set       running paused   x
		query       x         x         set       running x        x
		complete    x         paused    running   x       x        x
		free        x         stop-dma  x         x       stop-dma x
	END
}

# way STATE EVENT: the requests that lead there
way()
{
	local filters="\"$F1\""
	[ "$2" != clear ] || filters="\"$F1\",\"$F2\""
	case $1 in undefined) return ;; esac
	echo "queue.alloc {\"name\":\"q\",\"macs\":[\"$M1\"]}"
	case $1 in set | running) echo "filter.add {\"queue\":\"q\",\"macs\":[$filters]}" ;; esac
	case $1 in running | paused) echo 'queue.complete {"names":["q"]}' ;; esac
	case $1 in stop-dma) echo 'queue.free {"name":"q"}' ;; esac
}

event()
{
	case $1 in
	allocate)   echo "queue.alloc {\"name\":\"q\",\"macs\":[\"$M1\"]}" ;;
	parameters) echo 'queue.set {"name":"q","vm":"other"}' ;;
	set-filter) echo 'filter.add {"queue":"q","macs":["52:54:00:00:00:2f"]}' ;;
	clear*)     echo "filter.del {\"mac\":\"$F1\"}" ;;
	enumerate)  echo 'filter.list {"queue":"q"}' ;;
	query)      echo "filter.show {\"mac\":\"$F1\"}" ;;
	complete)   echo 'queue.complete {"names":["q"]}' ;;
	free)       echo 'queue.free {"name":"q"}' ;;
	esac
}

# phase N: of q, by the Nth request
phase()
{
	result "$1" '[.queues[] | select(.name == "q") | .phase][0] // "undefined"'
}

# cell EVENT STATE NEXT
cell()
{
	local line n look=(queue.list filter.list)
	local -a ask
	while read -r line; do
		ask+=("$line")
	done < <(way "$2" "$1")
	n=${#ask[@]}
	output=$(at_once "${ask[@]}" "${look[@]}" "$(event "$1")" "${look[@]}")
	[ "$(phase $((n + 1)))" = "\"$2\"" ] || return 1
	if [ "$3" = x ]; then
		# Refused, and nothing at all has changed.
		[ "$(outcome $((n + 3)))" != ok ] || return 1
		[ "$(result $((n + 1)))" = "$(result $((n + 4)))" ] || return 1
		[ "$(result $((n + 2)))" = "$(result $((n + 5)))" ] || return 1
	else
		[ "$(outcome $((n + 3)))" = ok ] || return 1
		[ "$(phase $((n + 4)))" = "\"$3\"" ] || return 1
	fi
	! ctl queue show q >/dev/null 2>&1 || ctl queue del q || :
	wait_until 5 has_no_queue
}

has_no_queue()
{
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq 0 ]
}

@test "S-1 S-2 R-16 every cell of the state table: the listed state, or refused and nothing changed" {
	read -ra states < <(table)
	while read -ra row; do
		for ((i = 1; i < ${#row[@]}; i++)); do
			cell "${row[0]}" "${states[i]}" "${row[i]}" || {
				echo "${row[0]} in ${states[i]}, expected ${row[i]}: $output" >&2
				return 1
			}
		done
	done < <(table | tail -n +2)
}

@test "S-2 refusals say what was asked and in which state the queue is" {
	ctl queue alloc q --mac $M1
	ctl queue complete q
	run -4 ctl queue complete q
	[[ $output == *"complete is refused: queue q is paused"* ]]
	ctl filter add q --mac $F1
	run -4 ctl queue free q
	[[ $output == *"still has 1 filter"*"queue del q"* ]]
	run -4 ctl queue complete q
	[[ $output == *"complete is refused: queue q is running"* ]]
	ctl filter del q --mac $F1
	run -4 ctl queue drain q
	[[ $output == *"queue q is paused"* ]]
}

@test "S-3 free is refused while a filter is set, in Set and in Running" {
	ctl queue alloc q --mac $M1
	ctl filter add q --mac $M1
	run -4 ctl queue free q
	[ "$(ctl queue show q -j | jq -r .queue.phase)" = set ]
	ctl queue complete q
	run -4 ctl queue free q
	[ "$(ctl queue show q -j | jq -r .queue.phase)" = running ]
	ctl filter del q --mac $M1
	ctl queue free q
	has_no_queue
}

@test "S-8 free works from Allocated, S-6 complete without filters pauses and the next filter runs" {
	ctl queue alloc q --mac $M1
	ctl queue free q
	has_no_queue
	ctl queue alloc q --mac $M1
	ctl queue complete q
	[ "$(ctl queue show q -j | jq -r .queue.phase)" = paused ]
	ctl filter add q --mac $M1
	[ "$(ctl queue show q -j | jq -r .queue.phase)" = running ]
	send_frames --dst $M1 --count 5
	wait_until 5 matched_is q 5
}

matched_is()
{
	[ "$(stat_of "$1" matched)" -eq "$2" ]
}

# ---- states and frames ------------------------------------------------------------

unmatched_is()
{
	[ "$(adapter_stat unmatched)" -eq "$1" ]
}

@test "S-4 F-14 F-24 frames are given to a queue in Running only; else they go to queue 0" {
	ctl queue alloc q --mac $M1
	seen=$(adapter_stat unmatched)
	for phase in allocated set paused; do
		[ "$(ctl queue show q -j | jq -r .queue.phase)" = $phase ]
		send_frames --dst $M1 --count 10
		seen=$((seen + 10))
		wait_until 5 unmatched_is $seen
		matched_is q 0
		case $phase in
		allocated) ctl filter add q --mac $M1 ;;
		set)	   ctl filter del q --mac $M1; ctl queue complete q ;;
		esac
	done
	ctl filter add q --mac $M1
	send_frames --dst $M1 --count 10
	wait_until 5 matched_is q 10
	unmatched_is $seen
}

@test "F-15 a filter can be set while frames for it arrive" {
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --seconds 30 --one-in 32 \
		>/dev/null 2>&1 3>&- &
	remember $! gen
	ctl queue alloc q
	ctl queue complete q
	for _ in {1..20}; do
		ctl filter add q --mac $M1
		ctl filter del q --mac $M1
	done
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 0 ]
}

@test "F-16 S-5 S-7 clear of the last filter flushes, pauses and is not announced as a DMA stop" {
	make_guest g1
	ctl queue add q --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
	ctl queue pause q
	send_frames --dst $M1 --count 100
	wait_until 5 matched_is q 100
	[ "$(stat_of q in_flight)" -eq 100 ]
	run -0 requests monitor "filter.del {\"mac\":\"$M1\"}" queue.list stats
	[ "$(outcome 2)" = ok ]
	[ "$(jq -c 'select(.event) | [.event, .phase]' <<<"$output")" = '["queue-state","paused"]' ]
	# What had waited for the guest is discarded, not delivered later.
	[ "$(stat_of q in_flight)" -eq 0 ]
	[ "$(stat_of q dropped.discarded)" -eq 100 ]
	ctl queue resume q
	ctl filter add q --mac $M1
	send_frames --dst $M1 --count 7
	wait_until 5 at_rest q
	wait_until 5 matched_is q 107
	[ "$(stat_of q delivered)" -eq 7 ]
}

@test "F-16 under traffic nothing is given to a queue after the clear has returned" {
	make_guest g1
	ctl queue add q --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --seconds $((60 * SLOW)) --one-in 32 \
		>/dev/null 2>&1 3>&- &
	remember $! gen
	for _ in {1..10}; do
		before=$(stat_of q matched)
		wait_until 10 grew matched "$before"
		ctl filter del q --mac $M1
		before=$(ctl stats q -j | jq -c '.queues[0].stats | [.matched, .delivered, .in_flight]')
		passed=$(adapter_stat unmatched)
		wait_until 10 passes "$passed"
		[ "$(ctl stats q -j | jq -c '.queues[0].stats | [.matched, .delivered, .in_flight]')" = "$before" ]
		ctl filter add q --mac $M1
	done
}

grew()
{
	[ "$(stat_of q "$1")" -gt "$2" ]
}

passes()
{
	[ "$(adapter_stat unmatched)" -gt $(($1 + 1000)) ]
}

# ---- free ---------------------------------------------------------------------------

@test "S-9 R-20 free announces DMA-stopped once, and nothing is announced unasked" {
	ctl queue add q --mac $M1
	send_frames --dst $M1 --count 10
	run -0 requests monitor 'queue.del {"name":"q"}'
	[ "$(jq -r 'select(.event) | .event + " " + (.phase // "")' <<<"$output")" = \
		"queue-state paused
queue-state stop-dma
dma-stopped stop-dma
queue-state freeing
queue-state undefined" ]
	# The reply comes after all of them.
	[ "$(tail -n 1 <<<"$output" | jq .id)" -eq 2 ]
}

# redirected SLOT: what the program gave to the sockets of that slot, of all CPUs
redirected()
{
	bpftool -j map lookup pinned /sys/fs/bpf/vmq/$IFACE/slot_stats \
		key hex "$(printf %02x "$1")" 00 00 00 |
		jq '[.formatted.values[].value.redirected] | add'
}

@test "queue del of many: each has its own outcome, and they share grace periods" {
	for i in {1..16}; do
		ctl queue add "d$i" --mac "52:54:00:00:0d:$(printf %02x "$i")"
	done
	before=$(ctl show -j | jq .adapter.barriers)
	run -3 --separate-stderr ctl -j queue del d{1..16} nix d1 host
	[ "$(jq -c '[.results[] | .ok]' <<<"$output" | tr -d ' ')" = \
		"[$(printf 'true,%.0s' {1..16})false,false,false]" ]
	jq -e '.results[:16] | all(.ms > 0)' <<<"$output"
	[ "${#stderr_lines[@]}" -eq 3 ]
	[[ $stderr == *"nix: no queue nix"*"d1: free is refused"*"host: queue 0 is the host"* ]]
	[ $(($(ctl show -j | jq .adapter.barriers) - before)) -le 3 ]
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq 0 ]
	run -2 "$PROG/vmq-call" queue.del '{}'
	[[ $output == *"needs name or names"* ]]
}

@test "S-9 S-10 after the announcement the program writes to the queue's memory no more" {
	ip netns exec wire "$PROG/live-gen" --iface wire0 --dst $M1 --seconds 60 --one-in 16 \
		>/dev/null 2>&1 3>&- &
	remember $! gen
	for _ in {1..5}; do
		ctl queue add q --mac $M1
		wait_until 10 grew matched 1000
		"$VMQ_BUILD/vmqctl" monitor -j >"$BATS_TEST_TMPDIR/events" 2>&1 3>&- &
		remember $! monitor
		wait_until 5 monitors
		ctl queue del q
		count=$(redirected 0)
		[ "$count" -ge 1000 ]
		passed=$(adapter_stat unmatched)
		wait_until 10 passes "$passed"
		[ "$(redirected 0)" -eq "$count" ]
		[ "$(grep -c '"event":"dma-stopped"' "$BATS_TEST_TMPDIR/events")" -eq 1 ]
		reap monitor || :
	done
}

# The monitor's own connection is the one that makes events come: any event shows it.
monitors()
{
	ctl queue pause q
	ctl queue resume q
	grep -q queue-resumed "$BATS_TEST_TMPDIR/events"
}

@test "S-11 S-12 L-5 R-9 memory comes at completion and is back when free answers, whatever was under way" {
	free() { ctl show -j | jq .adapter.frames.free; }
	all=$(free)
	for round in {1..10}; do
		ctl queue alloc q --mac $M1
		[ "$(free)" -eq "$all" ]
		ctl filter add q --mac $M1
		ctl queue complete q
		[ "$(free)" -lt "$all" ]
		ctl queue pause q
		send_frames --dst $M1 --count 300
		[ $((round % 2)) -eq 0 ] || ctl queue set q --pairs 2
		ctl queue del q
		[ "$(free)" -eq "$all" ]
		[ "$(ctl queue add q --mac $M1 -j | jq .queue.id)" -eq 1 ]
		ctl queue del q
	done
	# Each frame went back to FILL once: none was left over, none is missing.
	make_guest g1
	ctl queue add q --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
	gen_frames --dst $M1 --seconds 1
	wait_until 5 at_rest q
	[ "$(stat_of q dropped.no_buffer)" -eq 0 ]
}

@test "R-16 S-12 an id that is still Freeing is not given away; after that it is" {
	stop_load
	start_load --tags frame --queues 1
	ctl queue alloc q
	run -0 at_once 'queue.free {"name":"q"}' 'queue.alloc {"name":"r"}' 'queue.alloc {"name":"q"}'
	[ "$(outcome 1)" = ok ]
	[ "$(outcome 2)" = ENOBUFS ]
	[ "$(outcome 3)" = EEXIST ]
	[ "$(ctl queue alloc r -j | jq .queue.id)" -eq 1 ]
}

@test "S-13 tools see Running, Paused and DmaStopped; Allocated and Set show as Paused" {
	state() { ctl queue show q -j | jq -r .queue.state; }
	ctl queue alloc q --mac $M1
	[ "$(state)" = paused ]
	ctl filter add q --mac $M1
	[ "$(state)" = paused ]
	ctl queue complete q
	[ "$(state)" = running ]
	run -0 requests monitor 'queue.del {"name":"q"}'
	[ "$(jq -r 'select(.phase == "freeing") | .state' <<<"$output")" = dma-stopped ]
	[ "$(jq -r 'select(.phase == "undefined") | .state' <<<"$output")" = undefined ]
	[ "$(ctl queue list -j | jq -r '.queues[0].state')" = running ]
}

@test "many frees at once hold up nobody else: requests after them are answered before them" {
	names=()
	for i in {1..12}; do
		ctl queue add "q$i" --mac "52:54:00:00:01:$(printf %02x "$i")"
		names+=("queue.del {\"name\":\"q$i\"}")
	done
	before=$(ctl show -j | jq .adapter.barriers)
	run -0 at_once "${names[@]}" queue.list 'queue.alloc {"name":"r"}'
	[ "$(jq -s '[.[] | select(.result)] | length' <<<"$output")" -eq 14 ]
	[ "$(head -n 2 <<<"$output" | jq -s 'map(.id) | sort | . == [13, 14]')" = true ]
	has_queues 1
	# The first may be on its way before the others are asked for.
	waited=$(($(ctl show -j | jq .adapter.barriers) - before))
	echo "twelve frees, $waited grace periods" >&2
	[ "$waited" -ge 1 ]
	[ "$waited" -le 4 ]
}

has_queues()
{
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq "$1" ]
}

# ---- the rest of section 2 ------------------------------------------------------------

@test "R-1 queue 0 is there from the start; it cannot be allocated or freed" {
	[ "$(ctl queue list -j | jq -c '.queues | map([.id, .name, .state])')" = '[[0,"host","running"]]' ]
	for verb in alloc add; do
		run -2 ctl queue $verb host
		run -2 ctl queue $verb 0
	done
	for verb in free del drain pause complete; do
		run ctl queue $verb host
		[ "$status" -ne 0 ]
	done
	run -2 ctl queue free 0
	[[ $output == *"queue 0 is the host"* ]]
}

@test "R-2 ids are assigned by the service, are unique and are returned" {
	for i in 1 2 3; do
		[ "$(ctl queue alloc "q$i" -j | jq .queue.id)" -eq $i ]
	done
	ctl queue free q2
	[ "$(ctl queue add q4 --mac $M1 -j | jq .queue.id)" -eq 2 ]
	run -0 requests 'queue.alloc {"name":"q9","id":9}'
	[ "$(outcome 1)" = EINVAL ]
}

@test "R-3 R-5 R-21 only a VM queue on CPUs that are there: no other type, flags or QoS queue" {
	run -0 requests 'queue.alloc {"name":"q","type":2}' 'queue.alloc {"name":"q","flags":4}' \
		'queue.alloc {"name":"q","cpus":[]}' 'queue.alloc {"name":"q","cpus":[4000]}' \
		'queue.alloc {"name":"q","qos":1}' 'queue.alloc {"name":"q","qos":0}'
	for n in 1 2 3 4; do
		[ "$(outcome $n)" = EINVAL ]
	done
	[ "$(outcome 5)" = EOPNOTSUPP ]
	[ "$(outcome 6)" = ok ]
}

@test "R-6 P-14 P-15 lookahead split is refused with a sentence" {
	run -0 requests 'queue.alloc {"name":"q","lookahead":64}'
	[ "$(outcome 1)" = EINVAL ]
	[[ $output == *"lookahead split was withdrawn"* ]]
}

@test "R-4 M-1 M-2 the number of buffers is a hint: rounded, defaulted, and less if there are not enough" {
	stop_load
	start_load --tags frame --queues 8 --frames 384
	ring() { ctl queue show "$1" -j | jq .queue.ring; }
	ctl queue add a --mac $M1 --ring 100
	[ "$(ring a)" -eq 128 ]
	ctl queue add b --mac $F1 --ring 0
	[ "$(ring b)" -eq 64 ]
	ctl queue add c --mac $F2 --ring 256
	[ "$(ring c)" -eq 128 ]
	ctl queue add d --mac 52:54:00:00:00:2f
	[ "$(ctl show -j | jq .adapter.frames.free)" -eq 0 ]
	run -5 ctl queue add e --mac 52:54:00:00:00:3f
	[[ $output == *frames* ]]
	ctl queue del a
	ctl queue add e --mac 52:54:00:00:00:3f --ring 4096
	[ "$(ring e)" -eq 128 ]
}

@test "R-10 completing what is not allocated or is complete fails for that element alone" {
	ctl queue alloc a --mac $M1
	ctl queue alloc b --mac $F1
	ctl queue complete b
	run -0 requests 'queue.complete {"names":["nix","a","b"]}'
	[ "$(result 1 '[.results[] | [.ok, .code]]')" = '[[false,"ENOENT"],[true,null],[false,"EBADFD"]]' ]
}

@test "R-11 set changes what is named and nothing else" {
	ctl queue add q --mac $M1 --cpu 0 --vm one --weight 7
	keys() { ctl queue show q -j | jq -cS '.queue | del(.pair_list)'; }
	before=$(keys)
	ctl queue set q --vm two
	[ "$(keys)" = "$(jq -cS '.vm = "two"' <<<"$before")" ]
	ctl queue set q --weight 9
	[ "$(keys)" = "$(jq -cS '.vm = "two" | .weight = 9' <<<"$before")" ]
	ctl queue set q --trust on
	[ "$(keys)" = "$(jq -cS '.vm = "two" | .weight = 9 | .trust = true' <<<"$before")" ]
	ctl queue set q --gro off
	[ "$(keys)" = "$(jq -cS '.vm = "two" | .weight = 9 | .trust = true | .gro = false' <<<"$before")" ]
	# All or nothing, too.
	run -2 ctl queue set q --vm three --gro on --cpu 999
	[ "$(keys)" = "$(jq -cS '.vm = "two" | .weight = 9 | .trust = true | .gro = false' <<<"$before")" ]
}

@test "R-11 a refused set of a paused queue leaves its pairs as they were" {
	ctl queue add q --mac $M1 --cpu 0
	ctl queue alloc other --mac $M1 --vlan 7
	ctl filter add drop --mac $M1 --vlan 8
	ctl queue pause q
	before=$(ctl queue show q -j)
	run -2 ctl queue set q --pairs 2 --cpu 0,1 --vlan 9999
	for refused in '"cpus":[0,61]' '"cpus":[0,1,0]' '"cpus":[0,1],"vlan":"7"' '"vlan":"8"'; do
		run -0 requests "queue.set {\"name\":\"q\",\"pairs\":2,$refused}"
		[ "$(outcome 1)" != ok ]
		[ "$(ctl queue show q -j)" = "$before" ]
	done
	# Not even as many as it has before the change.
	ctl queue set q --pairs 2
	ctl queue resume q
	run -2 ctl queue set q --pairs 1 --cpu 0,1
	[ "$(ctl queue show q -j | jq .queue.pairs)" -eq 2 ]
}

@test "R-17 what is too long is refused with the length that is possible" {
	long=$(printf 'a%.0s' {1..64})
	run -0 requests "queue.alloc {\"name\":\"$long\"}" "queue.alloc {\"name\":\"q\",\"vm\":\"$long\"}"
	[ "$(outcome 1)" = EMSGSIZE ]
	[ "$(outcome 2)" = EMSGSIZE ]
	[[ $output == *"longer than 31 bytes"* ]]
}

@test "R-22 capabilities are the same whatever is in use" {
	caps() { ctl show -j | jq -cS .adapter.capabilities; }
	before=$(caps)
	[ "$(jq '.queues_max' <<<"$before")" -eq 1024 ]
	stop_load
	start_load --mode skb --queues 4
	[ "$(caps)" = "$before" ]
	[ "$(ctl show -j | jq .adapter.queues.max)" -eq 4 ]
}
