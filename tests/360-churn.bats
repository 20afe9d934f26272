#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# Violence: controllers that get in each other's way, kill -9 at any moment, thousands
# of queues, no memory. Afterwards all is legal, nothing is left and nothing is missing.
#
# scripts/soak runs it longer: VMQ_KILLS, VMQ_CYCLES, VMQ_CHURN (seconds).
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
KILLS=${VMQ_KILLS:-10}
CYCLES=${VMQ_CYCLES:-300}
CHURN=${VMQ_CHURN:-5}
PINS=/sys/fs/bpf/vmq/vmq0

setup()
{
	make_wire 2
	make_guest g1
	start_load --tags frame
}

# traffic MAC...: until the end of the test
traffic()
{
	ip netns exec wire "$PROG/frame-send" --iface wire0 --dst "$1" --count 1000000000 --rate 5000 \
		>/dev/null 2>&1 3>&- &
	remember $! gen
}

web1()
{
	ctl queue add web1 --mac $M1 --channel tap:eth0,netns=g1
	quiet eth0 g1
}

delivers()
{
	[ "$(stat_of web1 delivered)" -gt "${1:-0}" ]
}

records()
{
	bpftool -j map dump pinned "$PINS/$1" | jq length
}

# What is in the pinned maps is what the service says, and each state is one of the table.
consistent()
{
	local queues filters
	queues=$(ctl queue list -j) && filters=$(ctl filter list -j) || return 1
	[ "$(records queues)" -eq "$(jq '.queues | length - 1' <<<"$queues")" ] &&
		[ "$(records filters)" -eq "$(jq '.filters | length' <<<"$filters")" ] &&
		jq -en --argjson q "$queues" --argjson f "$filters" '
			[$q.queues[1:][] | . as $one | ([$f.filters[] | select(.queue == $one.id)] | length) as $n |
				.filters == $n and
				(if $n > 0 then .phase == "set" or .phase == "running"
				 else .phase == "allocated" or .phase == "paused" end)] | all' >/dev/null
}

@test "several controllers at once: every call is answered, and nothing is left of it" {
	traffic 52:54:00:00:0c:01+8
	web1
	free=$(ctl show -j | jq .adapter.frames.free)
	run -0 timeout $((CHURN * 4 + 60)) "$PROG/churn" "$CHURN" 4
	report "churn: ${lines[*]}"
	wait_until 10 only_web1
	consistent
	[ "$(ctl show -j | jq .adapter.frames.free)" -eq "$free" ]
	reap gen || :
	traffic $M1
	wait_until 10 delivers
}

only_web1()
{
	[ "$(ctl show -j | jq -c '.adapter | [.queues.used, .filters.used]')" = "[1,1]" ]
}

taps()
{
	ip -n g1 -j -d link show type tun | jq -r '.[].ifname // empty' | sort
}

# A queue with a TAP that comes and goes, until the service does.
come_and_go()
{
	while ctl queue add t1 --mac 52:54:00:00:00:71 --channel tap:t1,netns=g1 2>/dev/null; do
		ctl queue drain t1 >/dev/null 2>&1 && ctl queue del t1 2>/dev/null || break
	done
}

@test "kill -9 amid churn under traffic: after each restart all is there, legal, and works" {
	web1
	in_ns g1 ip addr add 192.0.2.11/24 dev eth0
	ctl filter add web1 --mac 52:54:00:00:00:77 --vlan 9
	traffic $M1
	for ((i = 1; i <= KILLS; i++)); do
		wait_until 10 delivers
		"$PROG/churn" 60 3 "$i" >/dev/null 2>&1 3>&- &
		remember $! churn
		come_and_go 3>&- &
		remember $! comer
		read -rt "$((RANDOM % 2)).$((RANDOM % 900 + 100))" <> <(:) || :
		before=${EPOCHREALTIME/[.,]/}
		stop_load KILL || :
		start_load --tags frame
		wait_until 20 delivers
		report "kill -9, round $i: without service for $(((${EPOCHREALTIME/[.,]/} - before) / 1000)) ms"
		# Those that were cut off have ended.
		wait "$(<"$BATS_TEST_TMPDIR/pid-churn")" || :
		wait "$(<"$BATS_TEST_TMPDIR/pid-comer")" || :
		consistent || { echo "round $i"; ctl queue list; ctl filter list; return 1; } >&2
		[ "$(ctl show -j | jq .adapter.adopted)" = true ]
		[ "$(queue_state web1)" = running ]
		[ "$(ctl queue show web1 -j | jq .queue.filters)" -eq 2 ]
		in_ns g1 ip addr show eth0 | grep -q 192.0.2.11
		# No TAP that no queue owns, none half made here.
		for tap in $(taps); do
			[ "$tap" = eth0 ] || ctl queue show t1 >/dev/null
		done
		[ -z "$(ip -j -d link show type tun | jq -r '.[].ifname // empty')" ]
		[ "$(find /sys/fs/bpf/vmq -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ]
		[ "$(find /run/vmq -name '*.sock' | wc -l)" -eq 1 ]
		for queue in $(ctl queue list -j | jq -r '.queues[1:][] | select(.name != "web1") | .name'); do
			ctl queue del "$queue"
		done
		for filter in $(ctl filter list -j | jq '.filters[] | select(.queue_name != "web1") | .id'); do
			ctl filter del "$filter"
		done
		[ "$(taps)" = eth0 ]
	done
	ctl queue del web1
	[ "$(ctl show -j | jq -c '.adapter | [.queues.used, .filters.used]')" = "[0,0]" ]
	stop_load
	check_nothing_left
	[ "$(ip -d -j link show $IFACE | jq '.[0].promiscuity')" -eq 0 ]
}

# begun_to_end NAME: as the record is while a queue is made or deleted
begun_to_end()
{
	local key value
	printf -v key '%02x 00 00 00' "$(ctl queue show "$1" -j | jq .queue.id)"
	# shellcheck disable=SC2086 # bytes
	value=$(bpftool -j map lookup pinned $PINS/queues key hex $key |
		jq -r '[.value[] | ltrimstr("0x")] | .[5] = "02" | join(" ")')
	# shellcheck disable=SC2086
	bpftool map update pinned $PINS/queues key hex $key value hex $value
}

@test "kill -9 while a queue is made or deleted: the restart goes on with that, all else stays" {
	web1
	ctl queue set web1 --weight 0	# for the next completion, not for this one
	ctl queue add q --mac 52:54:00:00:00:02,52:54:00:00:00:03 --channel tap:q0,netns=g1
	ctl filter add drop --mac 52:54:00:00:00:04
	begun_to_end q
	before=$(ctl queue show web1 -j)
	stop_load KILL || :
	start_load --tags frame
	[ "$(ctl queue list -j | jq -c '[.queues[].name]')" = '["host","web1"]' ]
	[ "$(ctl queue show web1 -j)" = "$before" ]
	[ "$(ctl filter list -j | jq -c '[.filters[].queue_name]')" = '["web1","drop"]' ]
	[ "$(records filters)" -eq 2 ]
	[ "$(records queues)" -eq 1 ]
	[ "$(taps)" = eth0 ]
	traffic $M1
	wait_until 10 delivers
	run ! grep -q lost "$LOAD_LOG"
}

# address_space: of the service, kB: its heap, what it maps of sockets, maps and files, and
# the rest: stacks. (What it has touched of that also grows as the FIB fills up, by huge
# pages.)
address_space()
{
	awk '/^[0-9a-f]+-[0-9a-f]+ / { of = $6 == "[heap]" ? "heap" : $6 ? "files" : "rest" }
		/^Size:/ { kb[of] += $2 }
		END { print kb["heap"] + 0, kb["files"] + 0, kb["rest"] + 0 }' "/proc/$(load_pid)/smaps"
}

descriptors()
{
	find "/proc/$(load_pid)/fd" -mindepth 1 | wc -l
}

cycles()
{
	run -0 "$PROG/repeat" $(($1 * 4)) \
		queue.add '{"name":"a","macs":["52:54:00:00:0a:01"],"ring":64}' \
		queue.add '{"name":"b","macs":["52:54:00:00:0b:01"],"ring":64,"vlan":"5"}' \
		queue.del '{"name":"a"}' queue.del '{"name":"b"}'
}

@test "many queues come and go: no growth in memory, descriptors or map entries" {
	cycles 20
	read -r heap files rest <<<"$(address_space)"
	fds=$(descriptors) free=$(ctl show -j | jq .adapter.frames.free)
	cycles $((CYCLES / 2))
	read -r heap2 files2 rest2 <<<"$(address_space)"
	report "$CYCLES queues added and freed: $output; heap $heap -> $heap2 kB, maps of files and sockets $files -> $files2 kB, other $rest -> $rest2 kB, descriptors $fds -> $(descriptors)"
	[ "$(descriptors)" -eq "$fds" ]
	# A sanitizer keeps what is freed for a while, and finds leaks by itself.
	if [ $SLOW -eq 1 ]; then
		[ "$heap2" -le $((heap + 512)) ]
		[ "$files2" -eq "$files" ]
		# libc keeps the stacks of the threads that close sockets: 64, of 64 kB with a guard.
		[ "$rest2" -le $((rest + 64 * 68 + 512)) ]
	fi
	[ "$(records queues)" -eq 0 ]
	[ "$(records filters)" -eq 0 ]
	[ "$(ctl show -j | jq .adapter.frames.free)" -eq "$free" ]
}

@test "without memory a request fails with a sentence; the service and its queues go on" {
	[ $SLOW -eq 1 ] || skip "a sanitized program needs address space"
	web1
	traffic $M1
	wait_until 10 delivers
	prlimit --pid "$(load_pid)" --as=$(($(awk '/^VmSize/ { print $2 }' "/proc/$(load_pid)/status") * 1024)):
	failed=
	for i in {1..60}; do
		ctl queue add "q$i" --mac "52:54:00:00:01:$(printf %02x "$i")" >/dev/null 2>"$BATS_TEST_TMPDIR/why" ||
			{ failed=1; break; }
	done
	[ -z "$failed" ] || [ -s "$BATS_TEST_TMPDIR/why" ]
	wait_until 10 delivers "$(stat_of web1 delivered)"
	prlimit --pid "$(load_pid)" --as=unlimited:
	ctl queue add after --mac 52:54:00:00:02:01
	consistent
}

@test "another program detaches us: show says so, a restart serves again" {
	web1
	bpftool link detach pinned $PINS/link
	[ "$(ctl show -j | jq .adapter.attached)" = false ]
	ctl show -j | jq -r .adapter.attached_why | grep -q "detached"
	traffic $M1
	stop_load || :
	start_load --tags frame
	[ "$(ctl show -j | jq .adapter.attached)" = true ]
}

@test "bpffs is unmounted: the service goes on and ends well" {
	web1
	traffic $M1
	umount -l /sys/fs/bpf
	ctl queue add q --mac 52:54:00:00:00:05
	ctl queue del q
	wait_until 10 delivers "$(stat_of web1 delivered)"
	stop_load
	mount -t bpf bpf /sys/fs/bpf
	[ "$(ip -j link show $IFACE | jq '.[0].xdp.prog.id // 0')" -eq 0 ]
}

@test "the MTU changes: frames that fit are served, longer ones are counted" {
	web1
	for mtu in 1400 1500 1700; do
		ip link set $IFACE mtu $mtu
		ip -n wire link set wire0 mtu $mtu
		before=$(stat_of web1 delivered)
		send_frames --dst $M1 --size 1000 --count 20
		wait_until 10 delivers $((before + 19))
	done
}
