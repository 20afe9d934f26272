#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# The limits: 65,536 filters, 1,024 queues, 1,000 connections that say nothing,
# messages of all sizes; and what they cost.
#
# `run --separate-stderr` sets stderr.
# shellcheck disable=SC2154

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	make_wire 2
	SOCKET=/run/vmq/$IFACE.sock
}

# peak_mib: the most memory that the service has had
peak_mib()
{
	awk '/VmHWM/ { print int($2 / 1024) }' "/proc/$(load_pid)/status"
}

# changes OP...: 65,536 changes of filters, of queues a and b in turn
changes()
{
	awk -v op="$1" 'BEGIN {
		for (i = 0; i < 65536; i++) {
			key = sprintf("52:54:01:%02x:%02x:%02x %d", i / 65536, i / 256 % 256, i % 256,
				      1 + i % 4094)
			if (op == "add")
				print "add", i % 2 ? "b" : "a", key
			else if (op == "move")
				print "move", key, i % 2 ? "a" : "b"
			else
				print "del", key
		}
	}'
}

# reach NAME MATCHED: what queue NAME has matched
matched_is()
{
	[ "$(stat_of "$1" matched)" -eq "$2" ]
}

# key_frames N...: one frame for each of these filters
key_frames()
{
	local i
	for i in "$@"; do
		send_frames --dst "$(printf '52:54:01:%02x:%02x:%02x' $((i / 65536)) $((i / 256 % 256)) \
			$((i % 256)))" --vlan $((1 + i % 4094)) >/dev/null
	done
}

@test "65,536 filters as one change, all of them found; one more is refused (F-7)" {
	start_load --tags frame
	ctl queue add a --vlan any
	ctl queue add b --vlan any
	changes add | ctl filter apply -
	[ "$(ctl show -j | jq -c .adapter.filters)" = '{"used":65536,"max":65536}' ]
	key_frames 0 2 4094 32768 65534
	key_frames 1 65535 40961
	wait_until 5 matched_is a 5
	wait_until 5 matched_is b 3
	run -5 --separate-stderr ctl filter add a --mac 52:54:02:00:00:00 --vlan 5
	[[ $stderr == *"65536 filters are in use"* ]]
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 65536 ]
	[ "$(bpftool map dump pinned /sys/fs/bpf/vmq/$IFACE/filters -j | jq length)" -eq 65536 ]

	# One that fails at the end leaves all as it was.
	run -3 --separate-stderr ctl filter apply - < <(changes move; echo "del 52:54:02:00:00:00 5")
	[[ $stderr == *"change 65537 (del): no such filter"* ]]
	[ "$(ctl queue list -j | jq -c '[.queues[] | .filters]')" = "[0,32768,32768]" ]
	key_frames 0 2
	wait_until 5 matched_is a 7

	changes move | ctl filter apply -
	key_frames 0 2
	wait_until 5 matched_is b 5

	# They are all there again after a crash.
	stop_load KILL || true
	start_load --tags frame
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 65536 ]
	key_frames 0
	wait_until 5 matched_is b 6
	changes del | ctl filter apply -
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 0 ]
	echo "# peak memory $(peak_mib) MiB" >&3
	[ "$SLOW" -gt 1 ] || [ "$(peak_mib)" -lt 300 ]
}

@test "1,024 queues: all run, one more is refused, memory is as shown (R-7, R-8)" {
	start_load --tags frame --queues 1024
	start=$EPOCHSECONDS
	for i in {1..1024}; do
		printf 'queue.add {"name":"q%d","macs":["52:54:00:00:%02x:%02x"]}\n' \
			"$i" $((i / 256)) $((i % 256))
	done >"$BATS_TEST_TMPDIR/calls"
	split -l 200 "$BATS_TEST_TMPDIR/calls" "$BATS_TEST_TMPDIR/calls."
	for file in "$BATS_TEST_TMPDIR"/calls.*; do
		"$PROG/vmq-call" --repeat 1 <"$file"
	done
	echo "# $((EPOCHSECONDS - start)) s for 1,024 queues" >&3
	[ "$(ctl show -j | jq -c .adapter.queues)" = '{"used":1024,"max":1024}' ]
	[ "$(ctl queue list -j | jq '[.queues[] | select(.state == "running")] | length')" -eq 1025 ]
	run -5 --separate-stderr ctl queue add more
	[[ $stderr == *"all 1024 queues are in use"* ]]
	run ! ctl queue show more
	jq -e '.free == 0 and .ring == 64 and .bytes == 2 * 2048 * (.per_rx_queue + 1024 + 512)' \
		< <(ctl show -j | jq .adapter.frames)
	for i in 1 512 1024; do
		send_frames --dst "$(printf '52:54:00:00:%02x:%02x' $((i / 256)) $((i % 256)))" --count 3
		wait_until 5 matched_is q$i 3
		wait_until 5 at_rest q$i
	done
	# Room comes back where a queue was.
	ctl queue del q512
	ctl queue add more
	[ "$(ctl queue show more -j | jq .queue.id)" -eq 512 ]
	# Each of 2,048 sockets is waited for by the kernel: longer than others take.
	start=$EPOCHSECONDS
	kill -TERM "$(load_pid)"
	wait_until 120 gone "$(load_pid)"
	echo "# $((EPOCHSECONDS - start)) s to stop" >&3
	stop_load
}

@test "1,000 connections that say nothing stop nobody" {
	start_load --tags frame
	ctl queue add web1 --mac $M1
	before=$(find "/proc/$(load_pid)/fd" | wc -l)
	"$PROG/silent" "$SOCKET" 1000 >"$BATS_TEST_TMPDIR/silent" 2>&1 </dev/null 3>&- &
	remember $! silent
	wait_until 20 grep -q ready "$BATS_TEST_TMPDIR/silent"
	for i in 1 2 3 4 5; do
		run -0 timeout 10 "$VMQ_BUILD/vmqctl" show
	done
	[ "$(find "/proc/$(load_pid)/fd" | wc -l)" -le $((before + 256 + 16 + 2)) ]
	send_frames --dst $M1 --count 3
	wait_until 5 matched_is web1 3
	reap silent || true
	wait_until 5 fds_at_most $((before + 2))
}

fds_at_most()
{
	[ "$(find "/proc/$(load_pid)/fd" | wc -l)" -le "$1" ]
}

# said CODE: what the service says to standard input
said()
{
	run -0 "$PROG/silent" "$SOCKET" say
	[ "$(jq -r .error.code <<<"$output")" = "$1" ]
	jq -r .error.message <<<"$output"
}

@test "oversized, truncated, nested, empty: the service answers with a sentence and lives on" {
	start_load --tags frame
	head -c 262145 /dev/zero | tr '\0' ' ' | said EMSGSIZE
	head -c 1000000 /dev/zero | tr '\0' '[' | said EMSGSIZE
	head -c 262144 /dev/zero | said EPROTO
	head -c 200000 /dev/zero | tr '\0' '[' | said EPROTO
	head -c 200000 /dev/urandom | said EPROTO
	message='{"version":1,"id":7,"method":"queue.add","params":{"name":"web1","macs":["52:54:00:00:00:01"]}}'
	for n in {1..93}; do
		printf '%s' "${message:0:n}" | said EPROTO >/dev/null
	done
	printf '%s' "${message/version\":1/version\":2}" | said EPROTO
	printf '%s' "${message/queue.add/queue.frob}" | said EOPNOTSUPP
	printf '%s' "${message/macs/mcas}" | said EINVAL
	printf '%s' "${message/52:54/52-54-}" | said EINVAL
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq 0 ]
	run -0 "$PROG/silent" "$SOCKET" say <<<"$message"
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq 1 ]
}

@test "users: not in the group no connection; in it their own queues only" {
	start_load --tags frame
	[ "$(stat -c %a "$SOCKET")" = 660 ]
	chmod 755 /run/vmq
	run -1 --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups "$VMQ_BUILD/vmqctl" show
	[[ $stderr == *"no permission to use $SOCKET; be root or a member of its group"* ]]
	chgrp 4242 "$SOCKET"
	user=(setpriv --reuid 65534 --regid 65534 --groups 4242 "$VMQ_BUILD/vmqctl")
	ctl queue add roots --mac 52:54:00:00:00:0a
	"${user[@]}" queue add mine --mac $M1
	[ "$("${user[@]}" queue list -j | jq -c '[.queues[].name]')" = '["host","mine"]' ]
	for verb in "queue del roots" "queue set roots --cpu 0" "queue pause roots" \
		"filter add roots --mac 52:54:00:00:00:0b"; do
		# shellcheck disable=SC2086
		run -1 --separate-stderr "${user[@]}" $verb
		[[ $stderr == *"belongs to uid 0"* ]]
	done
	# A TAP is made with the service's privilege: in a namespace of root's he has no business.
	ctl queue del mine
	[ "$(ctl queue list -j | jq -c '[.queues[].name]')" = '["host","roots"]' ]
}
