#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# Whose is what: users without privilege, connections that end, and the group of the
# socket as the policy that says who may make and change things.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
M3=52:54:00:00:00:03
GROUP=4000			# of the socket

setup()
{
	# Users reach the programs through the file system's root, which may be closed.
	cp "$VMQ_BUILD/vmqctl" "$PROG/requests" /run
	chmod 755 /run /run/vmqctl /run/requests
	make_wire 2
	start_load --tags frame
	chgrp $GROUP /run/vmq/$IFACE.sock
	chmod 666 /run/vmq/$IFACE.sock
}

# user UID WORD...: vmqctl as that user, a member of the socket's group
user()
{
	local uid=$1
	shift
	as_uid "$uid" $GROUP -- /run/vmqctl "$@"
}

# hold NAME UID: a connection of that user; say NAME METHOD-AND-JSON sends on it
hold()
{
	mkfifo "$BATS_TEST_TMPDIR/in-$1"
	: >"$BATS_TEST_TMPDIR/out-$1"
	setpriv --reuid "$2" --regid $GROUP --clear-groups /run/requests /run/vmq/$IFACE.sock \
		<"$BATS_TEST_TMPDIR/in-$1" >"$BATS_TEST_TMPDIR/out-$1" 2>/dev/null 3>&- &
	remember $! "$1"
	exec {HELD}>"$BATS_TEST_TMPDIR/in-$1"
}

say()
{
	local want
	want=$(($(wc -l <"$BATS_TEST_TMPDIR/out-$1") + 1))
	echo "$2" >&"$HELD"
	wait_until 10 has_lines "$BATS_TEST_TMPDIR/out-$1" $want
	output=$(tail -n 1 "$BATS_TEST_TMPDIR/out-$1")
}

has_lines()
{
	[ "$(wc -l <"$1")" -ge "$2" ]
}

names()
{
	ctl queue list -j | jq -r '.queues[1:][].name' | sort | tr '\n' ' '
}

names_are()
{
	[ "$(names)" = "$1" ]
}

@test "R-12 F-13 F-17 a queue and its filters are their maker's" {
	user 1000 queue add mine --mac $M1
	user 1000 filter add mine --mac $M2
	[ "$(ctl queue show mine -j | jq .queue.owner)" -eq 1000 ]
	for words in "queue set mine --weight 5" "queue pause mine" "queue free mine" "queue del mine" \
		"queue drain mine" "queue complete mine" "filter add mine --mac $M3" "filter del 2" \
		"queue show mine" "rss set mine --on"; do
		# shellcheck disable=SC2086
		run -1 user 2000 $words
		[[ $output == *"uid 1000"* ]] || [[ $words == rss* ]]
	done
	ctl queue alloc roots
	run -1 user 1000 filter move 2 roots
	run -1 user 1000 filter add roots --mac $M3
	run -1 user 1000 filter apply - <<<"move $M2 untagged roots"
	run -1 user 2000 filter apply - <<<"del $M2 untagged"
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 2 ]
	user 1000 queue set mine --weight 5
	user 1000 filter del 2
	# Root may do everything, but what it sets on another's queue is its own.
	ctl filter add mine --mac $M3
	run -1 user 1000 filter del 2
	[[ $output == *"set by uid 0"* ]]
	ctl filter del mine --mac $M3
	user 1000 queue del mine
	names_are "roots "
}

@test "a maker with a large uid is named by it" {
	user 4000000000 queue add far --mac $M1
	[ "$(ctl queue show far -j | jq '.queue | .owner, .filter_list[].owner' | uniq)" = 4000000000 ]
	user 4000000000 queue del far
}

@test "F-13 F-28 anybody may set filters on queue 0 and the drop queue, and clear only his own" {
	user 1000 filter add host --mac $M1
	user 1000 filter add drop --mac $M2
	run -1 user 2000 filter del host --mac $M1 || run -3 user 2000 filter del host --mac $M1
	run -0 as_uid 2000 $GROUP -- /run/requests /run/vmq/$IFACE.sock <<<"filter.del {\"mac\":\"$M1\"}"
	[ "$(outcome 1)" = EPERM ]
	user 1000 filter del host --mac $M1
	user 1000 filter del drop --mac $M2
}

@test "R-15 a user sees his own queues and filters, root all of them" {
	user 1000 queue add one --mac $M1 --vm x
	user 2000 queue add two --mac $M2
	ctl queue add three --mac $M3
	[ "$(user 1000 queue list -j | jq -c '[.queues[].name]')" = '["host","one"]' ]
	[ "$(user 2000 queue list -j | jq -c '[.queues[].name]')" = '["host","two"]' ]
	[ "$(user 3000 queue list -j | jq -c '[.queues[].name]')" = '["host"]' ]
	[ "$(user 1000 show -j | jq -c '[.queues[].name]')" = '["host","one"]' ]
	[ "$(user 2000 stats -j | jq -c '[.queues[].name]')" = '["two"]' ]
	[ "$(user 2000 filter list -j | jq -c '[.filters[].mac]')" = "[\"$M2\"]" ]
	run -1 user 2000 filter show 1
	run -1 user 1000 filter list two
	run -1 user 1000 stats two
	[ "$(ctl queue list -j | jq -c '[.queues[].name]')" = '["host","one","two","three"]' ]
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 3 ]
	# Every field of a queue, and those that have no name here.
	for key in id name vm state phase macs vlan pairs cpus channel trust gro paused ring weight filters owner; do
		ctl queue list -j | jq -e --arg k $key 'all(.queues[]; has($k))'
	done
}

@test "R-18 a client that vanishes has its queues freed by the orderly path, others keep theirs" {
	hold client 1000
	say client "queue.add {\"name\":\"a\",\"macs\":[\"$M1\"],\"attached\":true}"
	say client "queue.add {\"name\":\"b\",\"macs\":[\"$M2\"],\"attached\":true}"
	say client "queue.alloc {\"name\":\"c\",\"attached\":true}"
	say client "queue.add {\"name\":\"stays\",\"macs\":[\"$M3\"]}"
	names_are "a b c stays "
	# Another connection of the same user may look, not change (R-12).
	run -1 user 1000 queue pause a
	[[ $output == *"another connection"* ]]
	send_frames --dst $M1,$M2 --count 100
	"$VMQ_BUILD/vmqctl" monitor -j >"$BATS_TEST_TMPDIR/events" 2>&1 3>&- {HELD}>&- &
	remember $! monitor
	wait_until 5 monitors
	reap client KILL || :
	exec {HELD}>&-
	wait_until 5 names_are "stays "
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 1 ]
	wait_until 5 announced 3
	# All is as if it had never been: the addresses can be used again.
	ctl queue add again --mac $M1,$M2
	[ "$(ctl queue show again -j | jq .queue.id)" -eq 1 ]
}

@test "R-18 a queue that ends with its connection does not outlive a service that is killed" {
	make_guest g1
	hold client 0
	say client "queue.add {\"name\":\"a\",\"macs\":[\"$M1\"],\"channel\":\"tap:a0,netns=g1\",\"attached\":true}"
	say client "queue.alloc {\"name\":\"b\",\"macs\":[\"$M2\"],\"attached\":true}"
	say client "queue.add {\"name\":\"stays\",\"macs\":[\"$M3\"]}"
	stop_load KILL || :
	reap client || :
	exec {HELD}>&-
	start_load --tags frame
	names_are "stays "
	[ "$(ctl filter list -j | jq -c '[.filters[].queue_name]')" = '["stays"]' ]
	run ! ip -n g1 link show a0
	ctl queue add again --mac $M1,$M2 --channel tap:a0,netns=g1
}

monitors()
{
	ctl queue pause stays
	ctl queue resume stays
	grep -q queue-resumed "$BATS_TEST_TMPDIR/events"
}

announced()
{
	[ "$(grep -c '"event":"dma-stopped"' "$BATS_TEST_TMPDIR/events")" -eq "$1" ]
}

@test "R-18 a client that vanishes amid a teardown leaves nothing either" {
	for _ in {1..10}; do
		for last in 'queue.drain {"name":"a"}' 'queue.del {"name":"a"}' \
			"filter.del {\"mac\":\"$M1\"}" 'queue.set {"name":"a","pairs":1}'; do
			hold client 0
			echo "queue.add {\"name\":\"a\",\"macs\":[\"$M1\"],\"pairs\":2,\"attached\":true}" >&"$HELD"
			echo "$last" >&"$HELD"
			echo "filter.add {\"queue\":\"a\",\"macs\":[\"$M2\"]}" >&"$HELD"
			[ $((RANDOM % 2)) -eq 0 ] || wait_until 5 has_lines "$BATS_TEST_TMPDIR/out-client" 1
			reap client KILL || :
			exec {HELD}>&-
			rm "$BATS_TEST_TMPDIR/in-client"
			wait_until 5 names_are ""
			[ "$(ctl show -j | jq .adapter.filters.used)" -eq 0 ]
		done
	done
	ctl queue add a --mac $M1
}

@test "R-19 policy may refuse allocate and set-filter; complete, clear and free never" {
	user 1000 queue alloc a --mac $M1
	user 1000 queue alloc b
	user 1000 filter add a --mac $M1
	# The user loses the group. What he has he can finish and give back; no more.
	out() { as_uid 1000 -- /run/vmqctl "$@"; }
	for words in "queue alloc c" "queue add c" "filter add b --mac $M2" "queue set a --weight 1" \
		"queue pause a" "filter move 1 b"; do
		# shellcheck disable=SC2086
		run -1 out $words
		[[ $output == *"needs root or a member of the group"* ]]
	done
	run -1 out filter apply - <<<"del $M1 untagged"
	out queue list
	out queue complete a
	[ "$(queue_state a)" = running ]
	out queue drain a
	[ "$(queue_state a)" = paused ]
	out queue free a
	out queue free b
	names_are ""
	user 1000 queue add a --mac $M1
	out filter del a --mac $M1
	out queue del a
	# A stranger has nothing to give back.
	ctl queue add a --mac $M1
	for words in "queue del a" "queue free a" "filter del 1" "queue complete a" "queue drain a"; do
		# shellcheck disable=SC2086
		run -1 as_uid 3000 -- /run/vmqctl $words
	done
	chmod 660 /run/vmq/$IFACE.sock
	run -1 as_uid 3000 -- /run/vmqctl show
}

@test "queue 0's RSS and the switch for all queues are the administrator's" {
	for words in "rss set host --on" "rss move host 0=0" "rss off"; do
		# shellcheck disable=SC2086
		run -1 user 1000 $words
		[[ $output == *administrator* ]]
	done
	user 1000 rss show host
	[ "$(ctl show -j | jq .adapter.rss)" = true ]
}

@test "R-14 queries are answered without the data path: its threads may all stand still" {
	make_guest g1
	ctl queue add a --mac $M1 --channel tap:eth0,netns=g1
	mkfifo "$BATS_TEST_TMPDIR/go"
	"$PROG/stop-threads" "$(load_pid)" vmq-cpu <"$BATS_TEST_TMPDIR/go" \
		>"$BATS_TEST_TMPDIR/stopped" 3>&- &
	remember $! stopper
	exec {GO}>"$BATS_TEST_TMPDIR/go"
	wait_until 10 grep -q stopped "$BATS_TEST_TMPDIR/stopped"
	for words in show "queue list" "queue show a" "filter list" "filter show 1" "stats" "rss show a"; do
		# shellcheck disable=SC2086
		timeout 5 "$VMQ_BUILD/vmqctl" $words
	done
	# They do stand still: what needs them waits.
	"$VMQ_BUILD/vmqctl" queue pause a 3>&- {GO}>&- &
	remember $! pause
	run ! timeout 1 "$VMQ_BUILD/vmqctl" show
	exec {GO}>&-
	wait "$(<"$BATS_TEST_TMPDIR/pid-pause")"
	[ "$(ctl queue show a -j | jq .queue.paused)" = true ]
}
