#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Pairs of a vhost-user queue: how many the queue has, and how many its guest uses, are
# two choices, and both change while frames flow (tests/prog/pair-guest.c is the guest).
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	make_wire 2
	start_load --tags frame --cpus 0,1
	SOCKET=$BATS_TEST_TMPDIR/vm1.sock
}

# start_guest PAIRS
start_guest()
{
	ANSWERS=$BATS_TEST_TMPDIR/answers
	mkfifo "$BATS_TEST_TMPDIR/words"
	exec 4<>"$BATS_TEST_TMPDIR/words"
	"$PROG/pair-guest" "$SOCKET" "$1" <&4 >"$ANSWERS" 3>&- 4>&- &
	remember $! guest
	said=1
	wait_until 10 answered
}

answered()
{
	[ "$(wc -l <"$ANSWERS")" -ge "$said" ]
}

# tell WORD...: have the guest do it; in $output what it has received
tell()
{
	said=$(($(wc -l <"$ANSWERS") + 1))
	echo "$@" >&4
	wait_until 10 answered
	output=$(tail -n 1 "$ANSWERS" | jq -c .pairs)
}

# arrived N: the guest has received so many in all
arrived()
{
	tell count
	[ "$(jq add <<<"$output")" -eq "$1" ]
}

# settled N: so many have matched, and all of them are in the guest
settled()
{
	stat_reaches vm1 matched "$1" && at_rest vm1 && [ "$(stat_of vm1 delivered)" -eq "$1" ] &&
		arrived "$1"
}

# start_sending N: frames of eight flows, in the background
start_sending()
{
	send_frames --dst $M1 --udp 8 --count "$1" --rate 2000 >"$BATS_TEST_TMPDIR/sent" 3>&- 4>&- &
	remember $! send
	wait_until 10 stat_reaches vm1 matched 1
}

# channel_is STATE: queue show tells it, and queue list
channel_is()
{
	[ "$(ctl -j queue show vm1 | jq -r .queue.channel_state)" = "$1" ] &&
		ctl queue list | grep -E "^ *1 vm1 .* $1 +vhost-user:"
}

@test "a queue tells whether its guest is there" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$SOCKET"
	channel_is down
	start_guest 1
	wait_until 5 channel_is up
	reap guest KILL || :
	wait_until 5 channel_is down

	make_guest vm2
	ctl queue add vm2 --mac 52:54:00:00:00:02 --channel tap:eth0,netns=vm2
	[ "$(ctl -j queue show vm2 | jq -r .queue.channel_state)" = up ]
	ctl queue add vm3 --channel none
	ctl -j queue show vm3 | jq -e '.queue | has("channel_state") | not'
}

@test "Q-16 pairs are taken away and given back under a guest's two rings: nothing is lost" {
	ctl queue add vm1 --mac $M1 --pairs 2 --cpu 0,1 --ring 4096 --channel "vhost-user:$SOCKET"
	ctl rss set vm1 --key $PARITY --table 0,1
	start_guest 2
	start_sending 4000
	printf '%s\n' 'queue.set {"name":"vm1","pairs":1,"cpus":[0]}' \
		'queue.set {"name":"vm1","pairs":2,"cpus":[0,1]}' |
		"$PROG/vmq-call" --repeat 10
	wait_until 20 gone "$(<"$BATS_TEST_TMPDIR/pid-send")"
	wait_until 10 settled 4000 
	# both rings were used
	tell count
	jq -e 'all(. > 0)' <<<"$output"
}

@test "frames of a pair that the guest has switched off go to its first, and wait for room there" {
	ctl queue add vm1 --mac $M1 --pairs 2 --cpu 0,1 --ring 4096 --channel "vhost-user:$SOCKET"
	ctl rss set vm1 --key $PARITY --table 0,1
	start_guest 2
	tell disable 1
	# far more than its ring has room for, at once
	send_frames --dst $M1 --udp 8 --count 400
	wait_until 10 settled 400
	tell count
	[ "$output" = '[400,0]' ]
	tell enable 1
	send_frames --dst $M1 --udp 8 --count 400
	wait_until 10 settled 800
	tell count
	[ "$output" = '[600,200]' ]
	# the first one may be off as well
	tell disable 0
	send_frames --dst $M1 --udp 8 --count 400
	wait_until 10 settled 1200
	tell count
	[ "$output" = '[600,600]' ]
	# back and forth while frames come
	tell enable 0
	start_sending 3000
	for _ in {1..20}; do
		tell disable 1
		tell enable 1
	done
	wait_until 20 gone "$(<"$BATS_TEST_TMPDIR/pid-send")"
	wait_until 10 settled 4200
	# both off: the guest is paused, and what comes is accounted for
	tell disable 0
	tell disable 1
	send_frames --dst $M1 --udp 8 --count 100
	wait_until 10 stat_reaches vm1 switch_dropped 100
	[ "$(stat_of vm1 delivered)" -eq 4200 ]
	[ "$(stat_of vm1 matched)" -eq 4200 ]
	tell enable 0
	tell enable 1
	send_frames --dst $M1 --udp 8 --count 400
	wait_until 10 settled 4600
}

@test "more pairs than the guest has: they share its rings" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$SOCKET"
	start_guest 1
	ctl queue set vm1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --on --key $PARITY --table 0,1
	send_frames --dst $M1 --udp 8 --count 400
	wait_until 10 settled 400
	[ "$(ctl queue show vm1 -j | jq -c '[.queue.pair_list[].delivered]')" = '[200,200]' ]
}
