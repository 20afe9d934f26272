#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
# bats file_tags=sanitize
#
# vmqctl against a service with canned answers (fixtures/vmqctl.json): what it
# sends, what it prints, how it fails. What is behind the socket is tested elsewhere.
#
# Each @test is a function, PIDS its own; `run` sets stderr_lines.
# shellcheck disable=SC2030,SC2031,SC2154

load lib/vmq

setup()
{
	ANSWERS=$ROOT/tests/fixtures/vmqctl.json
	RUN=$BATS_TEST_TMPDIR/run
	mkdir "$RUN"
	PIDS=()
	fake vmq0
}

teardown()
{
	for pid in "${PIDS[@]}"; do
		kill "$pid" || :
		wait "$pid" || :
	done
}

# fake NAME: a service of that name
fake()
{
	"$PROG/fake-service" "$RUN/$1.sock" "$ANSWERS" 3>&- &
	PIDS+=($!)
	# Not for the socket: it is there before it is listened to.
	wait_until 5 ctl -i "$1" show >/dev/null
}

ctl()
{
	"$VMQ_BUILD/vmqctl" --run-dir "$RUN" "$@"
}

# sends WORDS METHOD PARAMS: the command `vmqctl WORDS` calls METHOD with PARAMS
sends()
{
	# shellcheck disable=SC2086
	run -0 ctl -j $1
	jq -e --arg method "$2" --argjson params "$3" \
		'.version == 1 and .method == $method and .params == $params' <<<"$output"
}

canned()
{
	jq -c --arg method "$1" '{version: 1} + .[$method]' "$ANSWERS"
}

@test "without a command the adapter and its queues are shown" {
	run -0 ctl
	[[ $output == *"Adapter vmq0"* ]]
	[[ $output == *"queues "*" 1 of 1024"* ]]
	[[ $output == *"uptime "*" 1 d 02:03:04"* ]]
	[[ $output == *"per_rx_queue 4096, free 1024, ring 256"* ]]
	[[ $output == *"brand new "*" thing"* ]]
	[[ $output =~ 1\ +web1\ +vm-1\ +running\ +running\ +-\ +100\ +52:54:00:00:00:01,52:54:00:00:00:02\ +1\ +1\ +2\ +up\ +tap:web1,netns=vm1 ]]
	[[ $output =~ 0\ +host\ +-\ +running ]]
	shown=$output
	run -0 ctl show
	[ "$output" = "$shown" ]
}

@test "-j prints what the service sent, with a version" {
	for words in show "queue list" "filter list" stats; do
		# shellcheck disable=SC2086
		run -0 ctl -j $words
		[ "$(jq -c . <<<"$output")" = "$(canned "${words/ /.}")" ]
		# shellcheck disable=SC2086
		run -0 ctl $words --json
		[ "$(jq -c . <<<"$output")" = "$(canned "${words/ /.}")" ]
	done
	run -0 ctl -j queue drain web1
	[ "$output" = '{"version":1,"name":"web1","delivered":12,"discarded":3,"ms":8.1}' ]
}

@test "queue list and queue show are tables for people" {
	run -0 ctl queue
	[[ $output =~ 1\ +web1\ +vm-1\ +dma-stopped\ +stop-dma ]]
	run -0 ctl queue show web1
	[[ $output == *"Queue web1"* ]]
	[[ $output == *"brand new "*" 42"* ]]
	[[ $output == *"trust "*" no"* ]]
	[[ $output =~ 0\ +1\ +1234\ +5\ +6 ]]
	[[ $output =~ 9\ +52:54:00:00:00:01\ +untagged ]]
	[[ $output != *$'\e'* ]]
}

# on_terminal COLUMNS WORD...: vmqctl's output on a terminal as wide as that
on_terminal()
{
	local columns=$1
	shift
	run -0 script -qec "stty cols $columns; '$VMQ_BUILD/vmqctl' --run-dir $RUN $*" /dev/null </dev/null
	output=${output//$'\r'/}
}

@test "on a pipe nothing is cut or wrapped, on a terminal no name or address within" {
	COLUMNS=40 run -0 ctl show
	[[ $output == *" 52:54:00:00:00:01,52:54:00:00:00:02 "*" tap:web1,netns=vm1"* ]]
	COLUMNS=40 run -0 ctl queue show web1
	[[ $output =~ macs\ +52:54:00:00:00:01,52:54:00:00:00:02$'\n' ]]
	on_terminal 250 show
	[[ $output == *" 52:54:00:00:00:01,52:54:00:00:00:02 "*" tap:web1,netns=vm1"* ]]
	on_terminal 60 show
	[[ $output == *" 52:54:00:00:00:01,+1 "*" tap:web1,netn..."* ]]
	[[ $output == *" web1 "* ]]
	on_terminal 40 queue show web1
	[[ $output =~ macs\ +52:54:00:00:00:01,$'\n'\ +52:54:00:00:00:02$'\n' ]]
	on_terminal 20 queue show web1
	[[ $output == *" 52:54:00:00:00:01,"* ]]
}

@test "queue add sends what was given and nothing else" {
	sends "queue add q" queue.add '{"name":"q"}'
	sends "queue add q --mac 52:54:00:00:00:01,52:54:00:00:00:02 --vlan 100 --cpu 0 --pairs 2
		--channel tap:q --trust --gro off --ring 0x40 --weight 5 --vm v" queue.add \
		'{"name":"q","macs":["52:54:00:00:00:01","52:54:00:00:00:02"],"vlan":"100","cpus":[0],
		"pairs":2,"channel":"tap:q","trust":true,"gro":false,"ring":64,"weight":5,"vm":"v"}'
	sends "queue --vlan=any alloc q" queue.alloc '{"name":"q","vlan":"any"}' ||
	sends "queue alloc --vlan=any q" queue.alloc '{"name":"q","vlan":"any"}'
}

@test "R-11 queue set sends only what changes" {
	sends "queue set q --trust off" queue.set '{"name":"q","trust":false}'
	sends "queue set q --gro on" queue.set '{"name":"q","gro":true}'
	sends "queue set q --name p --cpu 0" queue.set '{"name":"q","new_name":"p","cpus":[0]}'
	run -2 ctl queue set q
	[[ $output == *"nothing to change"* ]]
	run -2 ctl queue set q --trust maybe
	[[ $output == *"'on' or 'off', not 'maybe'"* ]]
}

@test "rss set and rss move send what was given" {
	sends "rss set q --off" rss.set '{"name":"q","on":false}'
	sends "rss set q --on --types tcp4,udp4 --table 1,0,1,1 --default 1 --primary 0" rss.set \
		'{"name":"q","on":true,"types":["tcp4","udp4"],"table":[1,0,1,1],"default":1,"primary":0}'
	sends "rss set q --spread 0 --entries 8 --key 00" rss.set \
		'{"name":"q","spread":[0],"entries":8,"key":"00"}'
	sends "rss set q --dynamic on" rss.set '{"name":"q","dynamic":true}'
	sends "rss set q --dynamic off" rss.set '{"name":"q","dynamic":false}'
	run -2 ctl rss set q
	[[ $output == *"nothing to change"* ]]
	run -2 ctl rss set q --on --off
	sends "rss off" rss.switch '{"on":false}'
	sends "rss on" rss.switch '{"on":true}'
	run -2 ctl rss set q --table 0,x
	[[ $output == *"CPU in the table"* ]]
	# what comes back says nothing of how it went
	run -1 --separate-stderr ctl -j rss move q 3=1 --from 0
	jq -e '.params == {"moves": [{"name": "q", "entry": 3, "cpu": 1, "from": 0}]}' <<<"$output"
	run -2 ctl rss move q 3
	[[ $output == *"a move is ENTRY=CPU, not '3'"* ]]
	run -2 ctl rss move q 3=x
	run -2 ctl rss move q x=3
}

@test "the other verbs of queue" {
	sends "queue free q" queue.free '{"name":"q"}'
	sends "queue del q" queue.del '{"name":"q"}'
	sends "queue pause q" queue.pause '{"name":"q"}'
	sends "queue resume q" queue.resume '{"name":"q"}'
	run -0 ctl queue del q
	[ -z "$output" ]
	run -0 ctl queue drain web1 --timeout 50
	[ "$output" = "web1: 12 delivered, 3 discarded, 8.1 ms" ]
	# The service says what is too long; vmqctl is ready to wait for it.
	run -0 ctl queue drain web1 --timeout 2147483647
}

@test "R-8 queue complete tells what became of each" {
	run -5 --separate-stderr ctl queue complete a b c
	[ -z "$output" ]
	[ "$stderr" = $'vmqctl: b: no frames are left\nvmqctl: c: it is complete already' ]
	run -5 --separate-stderr ctl -j queue complete a b c
	[ "$output" = "$(canned queue.complete)" ]
}

@test "queue del asks for several at once" {
	sends "queue del q" queue.del '{"name":"q"}'
	sends "queue del q r s" queue.del '{"names":["q","r","s"]}'
}

@test "filter list, add, move and del by id" {
	run -0 ctl filter
	[[ $output =~ 3\ +52:54:00:00:00:03\ +untagged\ +drop\ +0\ +drop\ +1000 ]]
	sends "filter add host --mac 52:54:00:00:00:05" filter.add \
		'{"queue":"host","macs":["52:54:00:00:00:05"]}'
	sends "filter add drop --mac a,b --vlan any" filter.add \
		'{"queue":"drop","macs":["a","b"],"vlan":"any"}'
	sends "filter move 4 web1" filter.move '{"id":4,"queue":"web1"}'
	run -0 ctl -j filter del 4 5
	[ "$(jq -c .params <<<"$output")" = $'{"id":4}\n{"id":5}' ]
	run -2 ctl filter add web1
	[[ $output == *"needs --mac"* ]]
	run -2 ctl filter del web1
	[[ $output == *"'web1' is no number"* ]]
}

@test "filter del finds a filter by queue, MAC and VLAN" {
	sends "filter del web1 --mac 52:54:00:00:00:01 --vlan any" filter.del '{"id":2}'
	sends "filter del 1 --mac 52:54:00:00:00:01 --vlan 100" filter.del '{"id":1}'
	sends "filter del drop --mac 52:54:00:00:00:03" filter.del '{"id":3}'
	sends "filter del host --mac 52:54:00:00:00:04" filter.del '{"id":4}'
	run -2 ctl filter del web1 --mac 52:54:00:00:00:01
	[[ $output == *"several filters"*"add --vlan"* ]]
	run -3 ctl filter del web1 --mac 52:54:00:00:00:03
	[[ $output == *"queue web1 has no filter for 52:54:00:00:00:03"* ]]
	run -2 ctl filter del web1 --mac 52:54
	[[ $output == *"no MAC address"* ]]
	run -2 ctl filter del web1
	[[ $output == *"--mac"* ]]
}

@test "filter apply sends a file as one change" {
	cat >"$RUN/changes" <<-END
		# a comment
		add web1 52:54:00:00:00:01 100

		del	52:54:00:00:00:02 any	# gone
		move 52:54:00:00:00:03 untagged web2
	END
	changes='{"changes":[{"op":"add","queue":"web1","mac":"52:54:00:00:00:01","vlan":"100"},
		{"op":"del","mac":"52:54:00:00:00:02","vlan":"any"},
		{"op":"move","mac":"52:54:00:00:00:03","vlan":"untagged","queue":"web2"}]}'
	sends "filter apply $RUN/changes" filter.apply "$changes"
	sends "filter apply -" filter.apply "$changes" <"$RUN/changes"
	echo "add web1 52:54:00:00:00:01" >>"$RUN/changes"
	run -2 ctl filter apply "$RUN/changes"
	[[ $output == *"changes:6: a line is 'add QUEUE MAC VLAN'"* ]]
	run -2 ctl filter apply - <<<"frob"
	[[ $output == *"standard input:1: 'frob' is no change"* ]]
	run -3 ctl filter apply "$RUN/none"
	[[ $output == *"cannot open"* ]]
	yes "add web1 52:54:00:00:00:01 100" | head -300000 >"$RUN/changes"
	run -2 ctl filter apply "$RUN/changes"
	[[ $output == *"at most 16777216"* ]]
}

@test "stats shows every counter that is not zero, also new ones" {
	run -0 ctl stats
	[[ $output =~ 1\ +web1\ +running\ +900\ +880\ +2\ +25\ +0\ +11\ +55 ]]
	[[ $output == *"web1: matched_bytes 57600, switch_dropped 1, tx_spoofed 4, dropped.ring_full 15, dropped.too_big 3, dropped.brand_new 7, brand_new.thing 8"* ]]
	[[ $output != *"idle:"* ]]
	[[ $output == *"adapter: frames 1000, unmatched 17, uplink.frames 40"* ]]
}

# watch_ctl WORD...: in the background; killed in teardown
watch_ctl()
{
	: >"$RUN/out"
	"$VMQ_BUILD/vmqctl" --run-dir "$RUN" "$@" >"$RUN/out" 2>"$RUN/err" 3>&- &
	PIDS+=($!)
}

# end_watch: the last one
end_watch()
{
	kill "${PIDS[-1]}"
	wait "${PIDS[-1]}" || :
	unset 'PIDS[-1]'
}

lines_out()
{
	[ "$(wc -l <"$RUN/out")" -ge "$1" ]
}

@test "stats --watch goes on until it is killed" {
	watch_ctl stats web1 --watch 1
	wait_until 10 grep -q "web1: nothing else changed" "$RUN/out"
	end_watch
	watch_ctl -j stats --watch
	wait_until 10 lines_out 2
	run -2 ctl stats --watch=x
	[[ $output == *"interval 'x'"* ]]
}

@test "monitor prints a line per event" {
	watch_ctl monitor
	wait_until 10 grep -q channel "$RUN/out"
	run -0 cat "$RUN/out"
	[[ ${lines[0]} =~ ^[0-9:.]{12}\ queue-state\ queue=1\ name=web1\ state=running\ phase=running$ ]]
	[[ ${lines[1]} == *' channel queue=1 name=web1 what=down detail="no such device"' ]]
	end_watch
	watch_ctl monitor -j
	wait_until 10 grep -q channel "$RUN/out"
	run -0 jq -c 'select(.event == "channel") | [.version, .what]' "$RUN/out"
	[ "$output" = '[1,"down"]' ]
}

@test "monitor ends with an error when the service ends" {
	watch_ctl monitor
	wait_until 10 grep -q channel "$RUN/out"
	kill "${PIDS[0]}"
	rc=0
	wait "${PIDS[1]}" || rc=$?
	[ "$rc" -eq 1 ]
	grep -q "vmqctl: the service vmq0 closed the connection" "$RUN/err"
	wait "${PIDS[0]}"
	PIDS=()
}

@test "exit codes: 1 failed, 2 usage, 3 not found, 4 refused, 5 no resources" {
	run -1 --separate-stderr ctl queue show EPERM
	[ -z "$output" ]
	[ "$stderr" = "vmqctl: this is EPERM  [31m" ]
	run -2 ctl queue show EINVAL
	run -3 ctl queue show ENOENT
	run -4 ctl queue free EBUSY
	run -4 ctl queue free EBADFD
	run -5 ctl queue add ENOBUFS
	run -5 ctl queue add ENOSPC -j
	[[ $output == "vmqctl: "* ]]
}

@test "wrong words get a sentence and exit 2" {
	run -2 ctl frob
	[[ $output == *"no command 'frob'"* ]]
	run -2 ctl queue frob
	[[ $output == *"'queue frob'; there are list, show, add"* ]]
	run -2 ctl queue add
	[[ $output == *"queue add needs NAME; see vmqctl queue add --help"* ]]
	run -2 ctl queue pause a b
	[[ $output == *"too many words for queue pause NAME"* ]]
	run -2 ctl show --vlan 5
	[[ $output == *"unknown option --vlan"* ]]
	run -2 ctl queue add q --vlan
	[[ $output == *"--vlan needs a value"* ]]
	run -2 ctl queue add q --cpu 9999
	[[ $output == *"CPU 9999 does not exist"* ]]
	run -2 ctl queue add q --ring many
	[[ $output == *"'many' is no number"* ]]
	run -2 ctl queue add $'\xff'
	[[ $output == *"not UTF-8"* ]]
}

@test "the service is found, or the sentence names what there is" {
	run -0 ctl -i vmq0 queue list
	run -0 ctl -ivmq0 -j queue list
	run -0 ctl -ji vmq0 --service=vmq0 queue list
	fake vmq1
	run -2 ctl show
	[[ $output == *"several services run in $RUN (vmq0, vmq1); name one of them with -i NAME"* ]]
	run -0 ctl show -i vmq1
	run -3 ctl -i vmq7 show
	[[ $output == *"no service vmq7 runs in $RUN; there is vmq0, vmq1"* ]]
	run -3 "$VMQ_BUILD/vmqctl" --run-dir "$RUN/none"
	[[ $output == *"start one with vmq-load"* ]]
	run -3 "$VMQ_BUILD/vmqctl" --run-dir "$RUN/none" -i vmq7
	run -2 "$VMQ_BUILD/vmqctl" --run-dir "$RUN/$(printf 'a%.0s' {1..120})" -i vmq7
	[[ $output == *"shorter --run-dir"* ]]
	run -3 "$VMQ_BUILD/vmqctl" --run-dir "$RUN/none" -i vmq7
	[[ $output == *"start one with vmq-load"* ]]
	kill -9 "${PIDS[1]}"
	wait "${PIDS[1]}" || :
	PIDS=("${PIDS[0]}")
	run -0 ctl show
	run -1 ctl -i vmq1 show
	[[ $output == *"has died"* ]]
}

@test "help and version need no service" {
	run -0 ctl --version
	[[ $output == "vmqctl "[0-9]* ]]
	run -0 ctl --help
	[[ $output == *"queue complete NAME..."* ]]
	run -0 ctl queue -h
	[[ $output == *"queue drain"* && $output != *"filter list"* ]]
	run -0 ctl queue add --help
	[[ $output == *"--channel SPEC"* ]]
}

# commands of --help, as "noun verb" or "noun"
commands()
{
	ctl --help | sed -n '/^commands:/,/^$/p' | grep -oE '^  [a-z]+( [a-z]+)?' | sed 's/^  //'
}

# all options of all commands, with "--"
options()
{
	{
		ctl --help
		commands | while read -r words; do
			# shellcheck disable=SC2086
			ctl $words --help
		done
	} | grep -o -- '^  *\(-., \)\?--[a-z-]*' | grep -o -- '--[a-z-]*' | sort -u
}

@test "manual and completion know every command and option" {
	[ "$(commands | wc -l)" -eq 27 ]
	[ "$(options | wc -l)" -eq 30 ]
	page=$(sed 's/\\-/-/g' "$ROOT/user/man/vmqctl.8")
	while read -r words; do
		grep -q "^\.B.*$words" <<<"$page" || { echo "no '$words' in vmqctl.8" >&2; false; }
	done < <(commands)
	while read -r option; do
		grep -q -- "$option" <<<"$page" || { echo "no $option in vmqctl.8" >&2; false; }
	done < <(options)

	# shellcheck source=/dev/null
	source "$ROOT/scripts/completion/vmqctl"
	while read -r words; do
		read -r noun verb <<<"$words"
		complete_words vmqctl "${noun:0:2}"
		[[ " ${COMPREPLY[*]} " == *" $noun "* ]]
		[ -z "$verb" ] && continue
		complete_words vmqctl "$noun" "$verb"
		[[ " ${COMPREPLY[*]} " == *" $verb "* ]]
		# shellcheck disable=SC2086
		while read -r option; do
			complete_words vmqctl $words x "$option"
			[[ " ${COMPREPLY[*]} " == *" $option "* ]] ||
				{ echo "no completion of $words $option" >&2; false; }
		done < <(ctl $words --help | grep -o -- '--[a-z-]*')
	done < <(commands)
}

# complete_words WORD...: what completion offers for the last word
complete_words()
{
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	COMPREPLY=()
	_vmqctl
}

@test "completion offers the names of queues, files and words" {
	# shellcheck source=/dev/null
	source "$ROOT/scripts/completion/vmqctl"
	PATH=$VMQ_BUILD:$PATH
	complete_words vmqctl --run-dir "$RUN" queue show w
	[ "${COMPREPLY[*]}" = web1 ]
	complete_words vmqctl --run-dir "$RUN" queue add w
	[ ${#COMPREPLY[@]} -eq 0 ]
	complete_words vmqctl queue import "$ROOT/READ"
	[ "${COMPREPLY[*]}" = "$ROOT/README.md" ]
	complete_words vmqctl rss set web1 --dynamic o
	[ "${COMPREPLY[*]}" = "on off" ]
}

@test "the manual pages have no errors" {
	for page in vmqctl.8 vmq-protocol.7 vmq-vhost-user.7; do
		run -0 --separate-stderr env LC_ALL=C.UTF-8 MANWIDTH=80 \
			groff -man -t -ww -Tutf8 -z "$ROOT/user/man/$page"
		[ -z "$stderr" ]
	done
}
