#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Receive-side scaling per queue (VMMQ): settings, moves, and what frames see. The
# hash itself is tests/unit/toeplitz.c's, the choice of pairs tests/unit/rss_plan.c's.
#
# With $PARITY as the key a flow's hash ends with the last bit of its source port
# (input bit 79 adds key bits 79 to 110, and the only bit set is number 110): of the
# test tools' flows the even ones take entry 0 of a table of two, the odd entry 1.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
VECTOR=6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa
# Rounds of the changes under load, and frames per second meanwhile; scripts/soak has
# 10,000 changes of each kind.
ROUNDS=${VMQ_RSS_ROUNDS:-100}
RATE=${VMQ_RSS_RATE:-20000}

setup()
{
	[ "$(nproc)" -ge 2 ] || skip "needs two CPUs"
	make_wire 4
	start_load --tags frame --cpus 0,1 --frames 65536
}

call()
{
	"$PROG/vmq-call" "$@"
}

# rss_of QUEUE FILTER: of `rss show`
rss_of()
{
	ctl rss show "$1" -j | jq -c ".rss | $2"
}

# pair_on QUEUE CPU: the pair that serves it
pair_on()
{
	ctl queue show "$1" -j | jq --argjson cpu "$2" \
		'.queue.pair_list[] | select(.cpu == $cpu and .receives) | .pair'
}

# delivered QUEUE PAIR [KEY]
delivered()
{
	ctl queue show "$1" -j | jq --argjson p "$2" ".queue.pair_list[\$p].${3:-delivered}"
}

# settled QUEUE N: N frames in all have matched, and nothing is under way. A frame that
# was sent is counted when the kernel's receive side has come to it.
settled()
{
	stat_reaches "$1" matched "$2" && at_rest "$1"
}

# send_and_count QUEUE CPU ARG...: how many of the frames the pair serving CPU got
send_and_count()
{
	local queue=$1 pair before matched
	pair=$(pair_on "$1" "$2")
	before=$(delivered "$queue" "$pair")
	matched=$(stat_of "$queue" matched)
	shift 2
	matched=$((matched + $(send_frames --dst $M1 "$@" | jq .sent)))
	wait_until 5 settled "$queue" $matched
	echo $(($(delivered "$queue" "$pair") - before))
}

@test "queue add --pairs: RSS is on, the guest's TAP has a queue for each pair (O-3)" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	[ "$(rss_of vm1 '[.on, .pairs, .default, .primary, .entries]')" = '[true,2,0,0,128]' ]
	[ "$(rss_of vm1 '.table | [.[0:4], unique]')" = '[[0,1,0,1],[0,1]]' ]
	[ "$(rss_of vm1 '.types | length')" -eq 9 ]
	[ "$(in_ns vm1 ip -j -d link show eth0 | jq .[0].linkinfo.info_data.multi_queue)" = true ]
	[ "$(in_ns vm1 ip -j -d link show eth0 | jq .[0].linkinfo.info_data.numqueues)" = 2 ]
	[ "$(ctl queue list -j | jq -c '.queues[1] | [.pairs, .cpus, .rss]')" = '[2,[0,1],true]' ]
	ctl queue show vm1 -j | jq -e '.queue | .id == 1 and .state == "running" and
		(.pair_list | length) == 2 and (.filter_list | length) == 1'
	ctl rss show vm1
	# another queue's key is another
	make_vm vm2 $M2 --pairs 2
	[ "$(rss_of vm1 .key)" != "$(rss_of vm2 .key)" ]
}

@test "D-1 after allocation RSS is off, one entry; primary, default and it are the first CPU" {
	ctl queue alloc vm1 --mac $M1 --pairs 2 --cpu 1,0
	[ "$(rss_of vm1 '[.on, .entries, .table, .primary, .default]')" = '[false,1,[1],1,1]' ]
	[ "$(rss_of vm1 '.effective | [.on, .serving, .table]')" = '[false,1,[1]]' ]
}

@test "Q-11 Q-7 H-3 MAC, hash, entry, CPU: its pair gets the flow, one pair gets all" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --key $PARITY --table 1,0
	[ "$(send_and_count vm1 1 --udp 1 --count 30)" -eq 30 ]		# even: entry 0
	[ "$(send_and_count vm1 0 --udp 2 --count 100)" -eq 50 ]	# every other one is odd
	# the same of a table four times as long: still the low bits
	ctl rss set vm1 --entries 8
	[ "$(rss_of vm1 .table)" = '[1,0,1,0,1,0,1,0]' ]
	[ "$(send_and_count vm1 0 --udp 2 --count 100)" -eq 50 ]

	ctl queue del vm1
	ip netns del vm1
	make_vm vm1 $M1
	[ "$(send_and_count vm1 "$(rss_of vm1 .primary)" --udp 16 --count 160)" -eq 160 ]
}

@test "flows stay in order and on their pair while the table is unchanged (Q-11)" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1 --ring 4096
	start_recv vm1 vm1 eth0 --count 6400 --timeout 20 --seq
	send_frames --dst $M1 --udp 32 --count 6400 --rate 30000
	finish_recv vm1
	[ "$(jq .streams <<<"$output")" -eq 32 ]
	wait_until 5 settled vm1 6400
	# 200 frames a flow: whole flows only
	[ $(($(delivered vm1 0) % 200)) -eq 0 ]
	[ $(($(delivered vm1 0) + $(delivered vm1 1))) -eq 6400 ]
}

@test "Q-12 D-2 on: frames without a hash go to the default's pair, the primary is nothing" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --default 1 --primary 0 --table 0
	[ "$(send_and_count vm1 1 --count 50)" -eq 50 ]			# no IP at all
	[ "$(send_and_count vm1 0 --udp 8 --count 80)" -eq 80 ]
	ctl rss set vm1 --types tcp4,ipv6				# H-4: UDP is not hashed now
	[ "$(send_and_count vm1 1 --udp 8 --count 80)" -eq 80 ]
}

@test "D-2 D-5 Q-14 off: all frames on the primary's CPU, table and default are left alone" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1 --default 1
	ctl rss set vm1 --off
	[ "$(send_and_count vm1 0 --udp 16 --count 160)" -eq 160 ]
	ctl rss move vm1 primary=1
	[ "$(rss_of vm1 '[.primary, .default, .table]')" = '[1,1,[0,1]]' ]
	[ "$(send_and_count vm1 1 --udp 16 --count 160)" -eq 160 ]
	[ "$(ctl queue show vm1 -j | jq -c '[.queue.pair_list[].cpu]')" = '[1,1]' ]
}

@test "D-3 D-4 what does not steer is kept unchecked, and checked when it begins to" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1
	ctl rss set vm1 --off
	ctl rss move vm1 0=7 default=9
	[ "$(rss_of vm1 '[.table[0], .default]')" = '[7,9]' ]
	before=$(ctl rss show vm1 -j)
	run -2 ctl rss set vm1 --on
	[[ $output == *"entry 0 would be CPU 7, which has no worker here: choose from those of --cpus"* ]]
	ctl rss move vm1 0=1
	run -2 ctl rss set vm1 --on
	[[ $output == *"the default would be CPU 9"* ]]
	ctl rss move vm1 0=7
	[ "$(ctl rss show vm1 -j)" = "$before" ]
	ctl rss move vm1 0=1 default=1
	ctl rss set vm1 --on --key $PARITY
	[ "$(send_and_count vm1 1 --udp 1 --count 30)" -eq 30 ]
	# and the other way round
	ctl rss move vm1 primary=5
	run -2 ctl rss set vm1 --off
	[[ $output == *"the primary would be CPU 5"* ]]
	[ "$(rss_of vm1 '.effective.on')" = true ]
	ctl rss set vm1 --off --primary 0
}

@test "Q-9 D-6 more CPUs than pairs, or CPUs without a worker, are refused" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	run -5 ctl queue set vm1 --pairs 1
	[[ $output == *"would use 2 CPUs, but there is 1 pair"* ]]
	[ "$(ctl queue show vm1 -j | jq .queue.pairs)" -eq 2 ]
	run -2 ctl rss set vm1 --table 0,6
	ctl rss set vm1 --table 0,0
	ctl queue set vm1 --pairs 1
	run -5 ctl rss set vm1 --default 1		# the default counts
	run -5 ctl rss move vm1 1=1
	run -5 ctl rss set vm1 --spread 0-1
	ctl rss set vm1 --off --table 0,1		# kept
	run -5 ctl rss set vm1 --on
	ctl queue set vm1 --pairs 2
	ctl rss set vm1 --on
	run -2 ctl queue set vm1 --cpu 0,1 --pairs 65
	run -2 ctl queue add vm2 --pairs 0
	run -2 ctl queue add vm2 --pairs 1 --cpu 0,1
	[[ $output == *"2 CPUs for 1 pair: give --pairs 2, or fewer CPUs"* ]]
}

@test "no pair of a paused VM is given up with the frames that wait in it" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --key $PARITY --table 0,1
	ctl queue pause vm1
	send_frames --dst $M1 --udp 2 --count 40
	run -4 ctl queue set vm1 --pairs 1 --cpu 0
	[[ $output == *"queue vm1 is paused, and its pairs hold frames"* ]]
	[ "$(rss_of vm1 '[.pairs, .table]')" = '[2,[0,1]]' ]
	ctl queue resume vm1
	ctl queue set vm1 --pairs 1 --cpu 0
	wait_until 5 settled vm1 40
	[ "$(stat_of vm1 delivered)" -eq 40 ]
}

@test "Q-10 queues share CPUs" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	make_vm vm2 $M2 --pairs 2 --cpu 0,1
	start_recv vm1 vm1 eth0 --count 800 --timeout 10 --seq
	start_recv vm2 vm2 eth0 --count 800 --timeout 10 --seq
	send_frames --dst $M1,$M2 --udp 16 --count 1600 --rate 20000
	finish_recv vm1
	finish_recv vm2
}

@test "Q-16 Q-17 fewer: table, pairs, size; more: pairs, size, table; each in its order" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1,0,1
	run -5 ctl queue set vm1 --pairs 1		# pairs before the table
	run -2 ctl rss set vm1 --entries 1		# size before the table
	[[ $output == *"entry 1 (CPU 1) does not repeat entry 0 (CPU 0)"* ]]
	ctl rss set vm1 --table 0,0,0,0
	ctl queue set vm1 --pairs 1
	ctl rss set vm1 --entries 1
	[ "$(rss_of vm1 '[.pairs, .table]')" = '[1,[0]]' ]

	run -5 ctl rss set vm1 --table 0,1		# table before the pairs
	ctl queue set vm1 --pairs 2
	ctl rss set vm1 --entries 2
	ctl rss move vm1 1=1
	ctl rss set vm1 --entries 8
	[ "$(rss_of vm1 '[.pairs, .table]')" = '[2,[0,1,0,1,0,1,0,1]]' ]
	ctl rss set vm1 --entries 2
	[ "$(rss_of vm1 .table)" = '[0,1]' ]
	# both at once, in the order that works
	ctl queue set vm1 --pairs 1 --cpu 1
	ctl queue set vm1 --pairs 2 --cpu 1,0
	[ "$(rss_of vm1 '[.pairs, .table, .primary]')" = '[2,[1,0],1]' ]
}

@test "H-2 H-9 H-10 keys, types, off and on again" {
	make_vm vm1 $M1 --pairs 2
	run -2 ctl rss set vm1 --key ${VECTOR%fa}
	[[ $output == *"a key is 40 bytes, 80 hexadecimal digits; this one has 78"* ]]
	run -2 ctl rss set vm1 --key ${VECTOR}00
	run -2 ctl rss set vm1 --key g${VECTOR#?}
	[[ $output == *"is not hexadecimal"* ]]
	ctl rss set vm1 --key $VECTOR --types tcp4,udp4,ipv4
	[ "$(rss_of vm1 .key)" = "\"$VECTOR\"" ]
	ctl rss set vm1 --types ipv6,udp4
	[ "$(rss_of vm1 .types)" = '["ipv6","udp4"]' ]
	run -2 ctl rss set vm1 --types udp5
	[[ $output == *"no hash type 'udp5'"* ]]
	run -2 ctl rss set vm1 --on --types none
	[ "$(rss_of vm1 .types)" = '["ipv6","udp4"]' ]
	ctl rss set vm1 --types none			# no function: off
	[ "$(rss_of vm1 '[.on, .effective.on]')" = '[false,false]' ]
	ctl rss set vm1 --on
	[ "$(rss_of vm1 '.types | length')" -eq 9 ]
	[ "$(rss_of vm1 .key)" != "\"$VECTOR\"" ]
	ctl rss set vm1 --key $VECTOR
	ctl rss set vm1 --off
	ctl rss set vm1 --on
	[ "$(rss_of vm1 .key)" != "\"$VECTOR\"" ]
}

@test "H-11 the same settings again are no change" {
	make_vm vm1 $M1 --pairs 2
	ctl rss set vm1 --on --key $VECTOR --types all --spread 0,1 --default 0
	sel() { bpftool map lookup pinned /sys/fs/bpf/vmq/$IFACE/rss key 1 0 0 0 -j | jq .formatted.value.sel; }
	before=$(sel)
	ctl rss set vm1 --on --key $VECTOR --types all --spread 0,1 --default 0
	[ "$(sel)" -eq "$before" ]
	ctl rss set vm1 --key $PARITY
	[ "$(sel)" -ne "$before" ]
}

@test "tables of a bad size are refused (H-3)" {
	make_vm vm1 $M1 --pairs 2
	before=$(ctl rss show vm1 -j)
	run -2 ctl rss set vm1 --table 0,1,0
	[[ $output == *"a table has 1, 2, 4, ... 128 entries, not 3"* ]]
	run -2 ctl rss set vm1 --entries 256
	run -2 ctl rss set vm1 --entries 0
	run -2 ctl rss set vm1 --spread 0,1 --entries 1
	[[ $output == *"2 CPUs to spread over 1 entries"* ]]
	run -2 ctl rss set vm1 --table 0,1 --spread 0
	run -2 call rss.set "$(jq -nc '{name: "vm1", table: [range(129) | 0]}')"
	[[ $output == *"not 129"* ]]
	run -2 call rss.set '{"name":"vm1","table":[]}'
	run -2 call rss.set '{"name":"vm1","table":[-1,0]}'
	run -2 call rss.set '{"name":"vm1","default":65535}'
	run -2 call rss.set '{"name":"vm1","entries":-2}'
	run -3 ctl rss show nobody
	run -3 ctl rss set nobody --on
	[ "$(ctl rss show vm1 -j)" = "$before" ]
}

# moves JSON: call rss.move; statuses in $output, one word a move
moves()
{
	output=$(call rss.move "{\"moves\":$1}" | jq -r '[.moves[] | if .ok then "ok" else .code end] | join(" ")')
}

@test "D-9 D-10 D-16 moves: each has a final status" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1,0,1
	ctl queue alloc vm2 --mac $M2
	moves '[{"name":"vm1","entry":0,"cpu":0}]'
	[ "$output" = ok ]				# it is there already
	moves '[{"name":"vm1","entry":4,"cpu":0}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm1","entry":-1,"cpu":0}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm1","entry":"all","cpu":0}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm1","entry":0}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm2","entry":0,"cpu":0}]'
	[ "$output" = EBADFD ]				# not completed
	moves '[{"name":"vm1","entry":0,"cpu":77}]'
	[ "$output" = ERANGE ]
	moves '[{"name":"vm3","entry":0,"cpu":0},{"entry":0,"cpu":0}]'
	[ "$output" = "ENOENT EINVAL" ]
	moves '[{"name":"vm1","entry":65535,"cpu":1},{"name":"vm1","entry":65534,"cpu":1}]'
	[ "$(rss_of vm1 '[.default, .primary, .table]')" = '[1,1,[0,1,0,1]]' ]
	run -2 ctl rss move vm1 9=0
	[[ $output == *"the table of queue vm1 has entries 0 to 3, no 9"* ]]
	run -4 ctl rss move vm2 0=0
	[[ $output == *"queue vm2 is not active: it is allocated"* ]]
	run -2 ctl rss move vm1 0=9
}

@test "D-7 a move is made where the entry is; from elsewhere it is not accepted" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1,0,1
	run -4 ctl rss move vm1 0=1 --from 1
	[[ $output == *"queue vm1: what was to be moved from CPU 1 is on CPU 0 now"* ]]
	ctl rss move vm1 0=1 2=1 --from 0
	[ "$(rss_of vm1 .table)" = '[1,1,1,1]' ]
	# of two who evacuate CPU 1 the second comes too late; a group is refused whole
	ctl rss move vm1 0=0 1=0 --from 1
	run -4 ctl rss move vm1 0=0 3=0 --from 1
	[ "$(rss_of vm1 .table)" = '[0,0,1,1]' ]
	moves '[{"name":"vm1","entry":2,"cpu":0,"from":1},{"name":"vm1","entry":2,"cpu":1,"from":0}]'
	[ "$output" = "ok ok" ]				# one after the other
	moves '[{"name":"vm1","entry":2,"cpu":0,"from":0},{"name":"vm1","entry":3,"cpu":0,"from":1}]'
	[ "$output" = "EBUSY EBUSY" ]
	moves '[{"name":"vm1","entry":0,"cpu":0,"from":0}]'
	[ "$output" = ok ]				# it is there already
	moves '[{"name":"vm1","entry":"default","cpu":1,"from":1},{"name":"vm1","entry":"primary","cpu":1,"from":1}]'
	[ "$output" = "EBUSY EBUSY" ]
	[ "$(rss_of vm1 '[.table, .default, .primary]')" = '[[0,0,1,1],0,0]' ]
	# what is wrong for good comes first
	moves '[{"name":"vm1","entry":9,"cpu":0,"from":1}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm1","entry":0,"cpu":0,"from":"x"}]'
	[ "$output" = EINVAL ]
	moves '[{"name":"vm1","entry":0,"cpu":9,"from":1}]'
	[ "$output" = EBUSY ]				# before the target is looked at
}

@test "D-11 D-12 a group is made as a whole, or not at all, and judged by where it leads" {
	make_vm vm1 $M1 --pairs 1 --cpu 0
	ctl rss set vm1 --on --table 0,0
	# one pair: each step alone would use two CPUs
	run -5 ctl rss move vm1 0=1
	run -5 ctl rss move vm1 0=1 1=1
	[ "$(rss_of vm1 '[.table, .default]')" = '[[0,0],0]' ]
	ctl rss move vm1 0=1 1=1 default=1
	[ "$(rss_of vm1 '[.table, .default]')" = '[[1,1],1]' ]
	moves '[{"name":"vm1","entry":0,"cpu":0},{"name":"vm1","entry":1,"cpu":0},{"name":"vm1","entry":"default","cpu":9}]'
	[ "$output" = "ERANGE ERANGE ERANGE" ]
	[ "$(rss_of vm1 '[.table, .default]')" = '[[1,1],1]' ]
	[ "$(send_and_count vm1 1 --udp 4 --count 40)" -eq 40 ]
}

@test "D-13 D-14 interleaved groups fail or succeed alone; 130 moves and more are taken" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	make_vm vm2 $M2 --pairs 2 --cpu 0,1
	moves '[{"name":"vm1","entry":0,"cpu":1},{"name":"vm2","entry":0,"cpu":1},
		{"name":"vm1","entry":1,"cpu":9},{"name":"vm2","entry":1,"cpu":0},
		{"name":"vm1","entry":2,"cpu":1}]'
	[ "$output" = "ok ok ERANGE ok ok" ]
	[ "$(rss_of vm1 '.table[0:4]')" = '[1,1,1,1]' ]
	[ "$(rss_of vm2 '.table[0:4]')" = '[1,0,0,1]' ]
	moves "$(jq -nc '[range(128) | {name: "vm1", entry: ., cpu: (. % 2)}] +
		[{name: "vm1", entry: "default", cpu: 1}, {name: "vm1", entry: "primary", cpu: 1}]')"
	[ "$(wc -w <<<"$output")" -eq 130 ]
	[ "$(rss_of vm1 '[.table[0:4], .default, .primary]')" = '[[0,1,0,1],1,1]' ]
}

@test "D-8 moves of one entry, one after the other, never wait" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --table 0,1
	for cpu in 1 0; do
		echo "rss.move {\"moves\":[{\"name\":\"vm1\",\"entry\":0,\"cpu\":$cpu}]}"
	done >"$BATS_TEST_TMPDIR/calls"
	# a grace period takes 8 ms at least: a hundred would be 0.8 s
	begin=${EPOCHREALTIME/[.,]/}
	call --repeat 50 <"$BATS_TEST_TMPDIR/calls"
	took=$((${EPOCHREALTIME/[.,]/} - begin))
	echo "100 moves: $took us"
	[ $took -lt $((500000 * SLOW)) ]
}

# answered PAIR N: so many frames of the guest were sent by it
answered()
{
	[ "$(delivered vm1 "$1" tx_frames)" -eq "$2" ]
}

@test "Q-13 what the guest answers on a flow is completed by the pair that flow came on" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --key $PARITY --table 0,1
	# even flow: CPU 0; the TAP remembers which of its queues a flow came on
	send_frames --dst $M1 --udp 1 --count 1
	wait_until 5 settled vm1 1
	pair=$(pair_on vm1 0)
	[ "$(delivered vm1 "$pair")" -eq 1 ]
	before=$(delivered vm1 "$pair" tx_frames)
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --udp 1 --count 20
	wait_until 5 answered "$pair" $((before + 20))
	# the entry moves, and with the flow's next frame its answers do
	ctl rss move vm1 0=1
	send_frames --dst $M1 --udp 1 --count 1
	wait_until 5 settled vm1 2
	pair=$(pair_on vm1 1)
	before=$(delivered vm1 "$pair" tx_frames)
	in_ns vm1 "$PROG/frame-send" --iface eth0 --src $M1 --dst $WIRE_MAC --udp 1 --count 20
	wait_until 5 answered "$pair" $((before + 20))
}

@test "Q-5 a queue is deleted with RSS on; its id serves another at once" {
	make_vm vm1 $M1 --pairs 2 --cpu 0,1
	ctl queue del vm1
	ip netns del vm1
	make_vm vm1 $M1 --pairs 1
	[ "$(rss_of vm1 '[.id, .on, .entries]')" = '[1,false,1]' ]
	[ "$(send_and_count vm1 "$(rss_of vm1 .primary)" --udp 8 --count 80)" -eq 80 ]
}

# under_load CALLS: repeat the calls of the file CALLS $ROUNDS times while frames of
# 32 flows go to vm1 and to vm2. All that matched must be in the guests, once; and
# for vm2 in order, unless the calls are about it as well ("reordered").
under_load()
{
	local pid m1 m2
	start_recv vm1 vm1 eth0 --timeout 3600 --idle 4000 --seq
	start_recv vm2 vm2 eth0 --timeout 3600 --idle 4000 --seq
	ip netns exec wire "$PROG/frame-send" --iface wire0 --dst $M1,$M2 --udp 32 \
		--count 100000000 --rate "$RATE" >/dev/null 2>&1 3>&- &
	pid=$!
	remember $pid sender
	wait_until 5 sent_some
	call --repeat "$ROUNDS" <"$1"
	reap sender || :
	wait_until 5 at_rest vm1
	wait_until 5 at_rest vm2
	finish_recv vm1 || :
	m1=$output
	finish_recv vm2 || :
	m2=$output
	for q in vm1 vm2; do
		ctl stats -j | jq -e --arg q $q '.queues[] | select(.name == $q) | .stats |
			.matched > 100 and .matched == .delivered and .to_host == 0 and
			([.dropped[]] | add) == 0' || { ctl stats; false; }
	done
	[ "$(adapter_stat unmatched)" -eq 0 ]
	[ "$(jq .frames <<<"$m1")" -eq "$(stat_of vm1 delivered)" ]
	[ "$(jq .frames <<<"$m2")" -eq "$(stat_of vm2 delivered)" ]
	[ "$(jq '.doubles + .corrupt' <<<"$m1")" -eq 0 ]
	[ "$(jq '.doubles + .corrupt' <<<"$m2")" -eq 0 ]
	[ -n "${2:-}" ] || [ "$(jq .reordered <<<"$m2")" -eq 0 ]
	report "$BATS_TEST_DESCRIPTION: $ROUNDS rounds of $(wc -l <"$1") changes," \
		"$(jq .frames <<<"$m1") frames of the queue, $(jq .frames <<<"$m2") of its neighbour"
}

sent_some()
{
	[ "$(stat_of vm2 delivered)" -gt 0 ]
}

load_vms()
{
	make_vm vm1 $M1 --pairs 2 --cpu 0,1 --ring 4096
	make_vm vm2 $M2 --pairs 2 --cpu 0,1 --ring 4096
	CALLS=$BATS_TEST_TMPDIR/calls
}

@test "Q-15 D-15 moves and new tables under load lose nothing and touch no other queue" {
	load_vms
	ctl rss set vm1 --table 0,1,0,1
	cat >"$CALLS" <<-END
		rss.move {"moves":[{"name":"vm1","entry":0,"cpu":1},{"name":"vm1","entry":2,"cpu":1}]}
		rss.move {"moves":[{"name":"vm1","entry":0,"cpu":0}]}
		rss.move {"moves":[{"name":"vm1","entry":0,"cpu":1},{"name":"vm1","entry":"default","cpu":1}]}
		rss.move {"moves":[{"name":"vm1","entry":1,"cpu":0},{"name":"vm1","entry":0,"cpu":0},{"name":"vm1","entry":2,"cpu":0},{"name":"vm1","entry":3,"cpu":0},{"name":"vm1","entry":"default","cpu":0}]}
		rss.set {"name":"vm1","table":[0,1,0,1]}
		rss.set {"name":"vm1","table":[1,1,1,1,0,1,0,1]}
		rss.set {"name":"vm1","table":[0,1,0,1]}
	END
	under_load "$CALLS"
}

@test "Q-15 keys, types, on and off under load" {
	load_vms
	cat >"$CALLS" <<-END
		rss.set {"name":"vm1","key":"$VECTOR"}
		rss.set {"name":"vm1","key":"$PARITY","types":["udp4"]}
		rss.set {"name":"vm1","on":false}
		rss.move {"moves":[{"name":"vm1","entry":"primary","cpu":1}]}
		rss.set {"name":"vm1","on":true,"types":["tcp4"]}
		rss.set {"name":"vm1","on":false}
		rss.move {"moves":[{"name":"vm1","entry":"primary","cpu":0}]}
		rss.set {"name":"vm1","on":true,"default":1}
	END
	under_load "$CALLS"
}

@test "O-8 RSS of all queues off and on under load loses nothing" {
	load_vms
	cat >"$CALLS" <<-END
		rss.switch {"on":false}
		rss.switch {"on":true}
	END
	under_load "$CALLS" reordered
}

@test "Q-15 Q-16 pairs given up and taken back under load" {
	load_vms
	cat >"$CALLS" <<-END
		queue.set {"name":"vm1","pairs":1,"cpus":[0]}
		queue.set {"name":"vm1","pairs":2,"cpus":[0,1]}
		queue.set {"name":"vm1","pairs":1,"cpus":[1]}
		queue.set {"name":"vm1","cpus":[0]}
		queue.set {"name":"vm1","pairs":2}
		rss.set {"name":"vm1","spread":[0,1]}
	END
	under_load "$CALLS"
	[ "$(ctl show -j | jq .adapter.frames.free)" -eq $((65536 - 4 * 4096)) ]
}

@test "pairs beyond those of the channel share the guest's queues" {
	make_vm vm1 $M1 --ring 1024
	ctl queue set vm1 --pairs 2 --cpu 0,1
	ctl rss set vm1 --on --key $PARITY --table 0,1
	start_recv vm1 vm1 eth0 --count 400 --timeout 10 --seq
	send_frames --dst $M1 --udp 4 --count 400
	finish_recv vm1
	wait_until 5 settled vm1 400
	[ "$(delivered vm1 0)" -eq 200 ]
	[ "$(delivered vm1 1)" -eq 200 ]
	# a restart, and an end without one, find the TAP as it was made
	stop_load KILL || :
	start_load --tags frame --cpus 0,1 --frames 65536
	start_recv vm1 vm1 eth0 --count 400 --timeout 10 --seq
	send_frames --dst $M1 --udp 4 --count 400
	finish_recv vm1
	stop_load KILL || :
	"$VMQ_BUILD/vmq-load" --unload $IFACE
	run ! in_ns vm1 ip link show eth0
}

@test "O-6 O-7 a restart keeps everything; requests outlive fewer CPUs and come back" {
	make_vm vm1 $M1 --pairs 8 --cpu 0,1
	ctl rss set vm1 --key $PARITY --table 1,0 --types udp4,tcp4 --default 1 --primary 1
	[ "$(rss_of vm1 '[.pairs, .effective.pairs, .effective.on]')" = '[8,2,true]' ]
	before=$(rss_of vm1 'del(.effective, .frames)')
	stop_load KILL || :
	start_load --tags frame --cpus 0,1 --frames 65536
	[ "$(rss_of vm1 'del(.effective, .frames)')" = "$before" ]
	[ "$(rss_of vm1 '.effective | [.on, .table]')" = '[true,[1,0]]' ]
	[ "$(send_and_count vm1 1 --udp 2 --count 100)" -eq 50 ]

	# one CPU: one pair, no hash, and everything asked for is remembered
	stop_load KILL || :
	start_load --tags frame --cpus 0 --frames 65536
	[ "$(rss_of vm1 'del(.effective, .frames)')" = "$before" ]
	[ "$(rss_of vm1 '.effective | [.on, .pairs, .table, .types]')" = '[false,1,[0,0],[]]' ]
	[ "$(ctl queue list -j | jq -c '.queues[1] | [.pairs, .cpus, .rss]')" = '[8,[0],false]' ]
	[ "$(send_and_count vm1 0 --udp 2 --count 100)" -eq 100 ]
	# what is an obstacle already does not hinder other changes
	ctl rss set vm1 --types udp4
	ctl rss set vm1 --types udp4,tcp4

	stop_load KILL || :
	start_load --tags frame --cpus 0,1 --frames 65536
	[ "$(rss_of vm1 'del(.effective, .frames)')" = "$before" ]
	[ "$(rss_of vm1 '.effective | [.on, .pairs, .table]')" = '[true,2,[1,0]]' ]
	[ "$(send_and_count vm1 1 --udp 2 --count 100)" -eq 50 ]
}

@test "more pairs than there are buffers for: refused, nothing changed (R-8)" {
	make_vm vm1 $M1 --ring 4096
	for i in 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		ctl queue add "q$i" --mac "52:54:00:00:01:$(printf %02x "$i")" --ring 4096
	done
	run -5 ctl queue set vm1 --pairs 2
	[[ $output == *"asked for"* ]]
	[ "$(ctl queue show vm1 -j | jq -c '.queue | [.pairs, .cpus]')" = "[1,[$(rss_of vm1 .primary)]]" ]
	[ "$(send_and_count vm1 "$(rss_of vm1 .primary)" --udp 8 --count 80)" -eq 80 ]
	ctl queue del q16
	ctl queue set vm1 --pairs 2 --cpu 0,1
}
