#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Filters over the control socket: what can be set, by whom, and that many are one
# change. What they match is unit/classify's and unit/fib's.
#
# shellcheck disable=SC2154 # `run` and the library set output

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
M3=52:54:00:00:00:03

setup()
{
	make_wire 2
	start_load --tags frame
}

filters()
{
	ctl filter list -j | jq -c '[.filters[] | [.id, .queue_name, .mac, .vlan]]'
}

matched_is()
{
	[ "$(stat_of "$1" matched)" -eq "$2" ]
}

@test "queue show host shows queue 0 and its filters" {
	ctl filter add host --mac 52:54:00:00:00:10
	ctl queue show host -j | jq -e '.queue | .name == "host" and .filters == 1 and
		(.filter_list | length) == 1 and .pair_list == []'
	ctl queue show 0 | grep 52:54:00:00:00:10
}

@test "F-7 one rule for the VLAN and at least one address" {
	ctl queue alloc q
	run -2 ctl filter add q --mac $M1 --vlan untagged,5
	run -2 ctl filter add q --mac ""
	run -0 requests 'filter.add {"queue":"q","macs":[]}' \
		"filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"vlan\":\"untagged\",\"flag\":true}" \
		'filter.add {"queue":"q"}'
	for n in 1 2 3; do
		[ "$(outcome $n)" = EINVAL ]
	done
	[ "$(filters)" = "[]" ]
}

@test "F-8 VLAN and untagged filters are refused where tags are not known" {
	stop_load
	start_load --mode skb
	ctl queue alloc q
	run -1 ctl filter add q --mac $M1 --vlan 5
	[[ $output == *"--vlan any"* ]]
	run -1 ctl filter add q --mac $M1 --vlan untagged
	run -1 ctl filter add host --mac $M1 --vlan 5
	ctl filter add q --mac $M1 --vlan any
}

@test "F-10 F-11 F-27 only equal destination addresses and VLANs can be tested; all else is refused" {
	ctl queue alloc q
	run -0 requests "filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"test\":\"mask-equal\"}" \
		"filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"test\":\"not-equal\"}" \
		"filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"header\":\"ipv4\"}" \
		"filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"header\":\"vxlan\"}" \
		"filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"source\":\"$M2\"}"
	for n in 1 2 3 4; do
		[ "$(outcome $n)" = EOPNOTSUPP ]
	done
	[ "$(outcome 5)" = EINVAL ]
	[[ $output == *"test mask-equal is not supported: only equal is"* ]]
	[[ $output == *"header vxlan is not supported: only mac is"* ]]
	[ "$(ctl show -j | jq -c '.adapter.capabilities | [.tests, .headers]')" = '["equal","mac"]' ]
	run -0 requests "filter.add {\"queue\":\"q\",\"macs\":[\"$M1\"],\"test\":\"equal\",\"header\":\"mac\"}"
	[ "$(outcome 1)" = ok ]
}

@test "F-12 F-21 ids count over all queues; filters are listed by queue or all, and shown by id" {
	ctl queue alloc a
	ctl queue alloc b
	ctl filter add a --mac $M1,$M2
	ctl filter add b --mac $M1 --vlan 7
	ctl filter add host --mac $M3
	ctl filter add drop --mac $M3 --vlan any
	[ "$(filters)" = "[[1,\"a\",\"$M1\",\"untagged\"],[2,\"a\",\"$M2\",\"untagged\"],[3,\"b\",\"$M1\",\"7\"],[4,\"host\",\"$M3\",\"untagged\"],[5,\"drop\",\"$M3\",\"any\"]]" ]
	[ "$(ctl filter list a -j | jq -c '[.filters[].id]')" = '[1,2]' ]
	[ "$(ctl filter list b -j | jq -c '[.filters[].id]')" = '[3]' ]
	[ "$(ctl filter show 3 -j | jq -c '.filter | [.id, .queue, .queue_name, .mac, .vlan, .action, .owner]')" = \
		"[3,2,\"b\",\"$M1\",\"7\",\"queue\",0]" ]
	[ "$(ctl filter show 5 -j | jq -r .filter.action)" = drop ]
	[ "$(ctl filter list host -j | jq -c '[.filters[].id]')" = "[4]" ]
	[ "$(ctl filter list drop -j | jq -c '[.filters[].id]')" = "[5]" ]
	[ "$(ctl filter list a -j | jq -c '[.filters[].id]')" = "[1,2]" ]
	ctl filter show 3 | grep -q $M1
	run -2 ctl filter show 0
	run -3 ctl filter show 6
	run -0 requests 'filter.del {"id":0}' 'filter.show {"id":-1}' 'filter.move {"id":0,"queue":"a"}'
	for n in 1 2 3; do
		[ "$(outcome $n)" = ENOENT ]
	done
	# The lowest free id is the next one.
	ctl filter del 2
	[ "$(ctl filter add b --mac $M2 -j | jq .filters[0].id)" -eq 2 ]
}

@test "F-17 an unknown filter is not found" {
	run -3 ctl filter del 12
	[[ $output == *"no filter 12"* ]]
	run -0 requests "filter.del {\"mac\":\"$M1\"}"
	[ "$(outcome 1)" = ENOENT ]
}

@test "F-18 a filter on no queue, or one too many in a list, leaves nothing behind" {
	run -3 ctl filter add nix --mac $M1
	ctl queue alloc a
	ctl queue alloc b
	ctl filter add b --mac $M2
	before=$(filters)
	run -4 ctl filter add a --mac $M1,$M2,$M3
	[[ $output == *"queue b"* ]]
	[ "$(filters)" = "$before" ]
	[ "$(ctl queue show a -j | jq -r .queue.phase)" = allocated ]
	run -2 ctl filter add a --mac "$(printf '52:54:00:00:01:%02x,' {1..17} | sed 's/,$//')"
	[ "$(filters)" = "$before" ]
}

# apply_many FIRST COUNT: filters for addresses counted from FIRST, as one change
apply_many()
{
	seq "$1" $(($1 + $2 - 1)) | awk '{
		printf "add q 52:54:01:%02x:%02x:%02x any\n", $1 / 65536, int($1 / 256) % 256, $1 % 256
	}' | ctl filter apply -
}

@test "F-18 65,536 filters fit; the next one is refused and nothing is lost" {
	ctl queue add q
	for ((n = 0; n < 65536; n += 2048)); do
		apply_many $n 2048
	done
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 65536 ]
	[ "$(ctl queue show q -j | jq .queue.filters)" -eq 65536 ]
	run -5 ctl filter add q --mac $M1
	[[ $output == *"all 65536 filters are in use"* ]]
	run -5 ctl filter apply - <<<"add q $M1 any"
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 65536 ]
	send_frames --dst 52:54:01:00:ff:fe --count 5
	wait_until 10 matched_is q 5
	run -0 timeout 20 "$VMQ_BUILD/vmqctl" queue drain q
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 0 ]
}

@test "F-19 the counters of filters rise on set and fall on clear" {
	count() { ctl show -j | jq -c '[.adapter.filters.used, (.queues[] | select(.name == "q") | .filters)]'; }
	ctl queue alloc q
	[ "$(count)" = "[0,0]" ]
	ctl filter add q --mac $M1,$M2
	[ "$(count)" = "[2,2]" ]
	ctl filter add drop --mac $M3
	[ "$(count)" = "[3,2]" ]
	ctl filter del q --mac $M1
	[ "$(count)" = "[2,1]" ]
	ctl queue alloc r
	ctl filter move "$(ctl filter list q -j | jq .filters[0].id)" r
	[ "$(count)" = "[2,0]" ]
}

@test "F-22 F-1 F-5 several pairs of address and VLAN lead to one queue, each for itself" {
	ctl queue add q --mac $M1 --vlan 100
	ctl filter add q --mac $M2 --vlan 200
	for spec in "$M1 100" "$M2 200" "$M1 200" "$M2 100"; do
		read -r mac vlan <<<"$spec"
		send_frames --dst "$mac" --vlan "$vlan" --count 5
	done
	send_frames --dst $M1 --count 5
	wait_until 5 matched_is q 10
	[ "$(adapter_stat unmatched)" -ge 15 ]
}

@test "F-23 an equal filter on a second queue is refused and names the first" {
	ctl queue alloc a
	ctl queue alloc b
	ctl filter add a --mac $M1 --vlan 3
	run -4 ctl filter add b --mac $M1 --vlan 3
	[[ $output == *"queue a"* ]]
	run -4 ctl filter add host --mac $M1 --vlan 3
	ctl filter add b --mac $M1 --vlan 4
}

@test "F-23 another port's own address is refused, with filter add as with filter apply" {
	ctl queue alloc a --mac $M1
	ctl queue add b --mac $M2
	before=$(filters)
	run -4 ctl filter add b --mac $M3,$M1
	[[ $output == *"$M1 vlan untagged is queue a's already"* ]]
	run -4 ctl filter apply - <<<"add b $M1 untagged"
	[[ $output == *"queue a's already"* ]]
	[ "$(filters)" = "$before" ]
	# To throw its frames away takes no address from anybody.
	ctl filter add drop --mac $M1
	run -4 ctl filter add a --mac $M1
	[[ $output == *"drop filter 2 is already $M1 vlan untagged"* ]]
}

@test "F-25 queue 0 gets only what the host's own packet filter lets pass" {
	ip addr add 192.0.2.1/24 dev $IFACE
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	in_ns wire ip neigh replace 192.0.2.1 lladdr 52:54:00:00:99:99 dev wire0 nud permanent
	run ! in_ns wire ping -q -c 2 -i 0.05 -W 1 192.0.2.1
	in_ns wire ip neigh replace 192.0.2.1 lladdr "$(cat /sys/class/net/$IFACE/address)" dev wire0 nud permanent
	in_ns wire ping -q -c 2 -i 0.05 -W 5 192.0.2.1
}

@test "filter apply is all or nothing, whatever fails, and states follow" {
	ctl queue add a --mac $M1
	ctl queue add b
	ctl queue alloc c
	before=$(filters)
	phases() { ctl queue list -j | jq -c '[.queues[1:][].phase]'; }
	[ "$(phases)" = '["running","paused","allocated"]' ]
	for last in "del $M3 9" "add a $M1 untagged" "move $M3 9 b" "move $M1 untagged nix" "add a 01:00:5e:00:00:01 any"; do
		run ctl filter apply - <<-END
			move $M1 untagged b
			add c $M2 any
			add drop $M3 any
			del $M1 untagged
			$last
		END
		case $last in
		"add a $M1"*) [ "$status" -eq 0 ] ;;	# gone by then: free to be set again
		*)
			[ "$status" -ne 0 ]
			[ "$(filters)" = "$before" ]
			[ "$(phases)" = '["running","paused","allocated"]' ]
			continue
			;;
		esac
		[ "$(phases)" = '["running","paused","set"]' ]
		ctl filter apply - <<-END
			del $M2 any
			del $M3 any
			del $M1 untagged
			add a $M1 untagged
		END
		[ "$(phases)" = '["running","paused","allocated"]' ]
		before=$(filters)
	done
}

@test "changes of many that come at once are made one after the other, and hold up nobody" {
	ctl queue add a --mac $M1
	ctl queue add b
	ctl filter add a --mac $M2 --vlan 5	# neither is ever without a filter, and flushed
	ctl filter add b --mac $M3 --vlan 5
	list=()
	for i in {10..20}; do
		[ "$i" -ne 16 ] || list+=(filter.list)
		list+=("filter.apply $(jq -nc --arg i "$i" --arg mac $M1 '{changes: [
			{op: "add", mac: "52:54:00:00:01:\($i)", vlan: "5", queue: "b"},
			{op: "move", mac: $mac, vlan: "untagged",
			 queue: (if ($i | tonumber) % 2 == 1 then "b" else "a" end)}]}')")
	done
	run -0 at_once "${list[@]}"
	[ "$(jq -s '[.[] | select(.result.changes == 2)] | length' <<<"$output")" -eq 11 ]
	# Each waits for a grace period of its own; the list does not wait for the last of them.
	[ "$(jq -s 'map(.id) | index(7) < index(12)' <<<"$output")" = true ]
	[ "$(ctl filter list -j | jq '.filters | length')" -eq 14 ]
	[ "$(ctl filter list -j | jq -r --arg mac $M1 '.filters[] | select(.mac == $mac) | .queue_name')" = a ]
}

@test "a change of thousands does not keep those waiting who ask while it is read" {
	ctl queue add a --mac $M1
	many=$(jq -nc '{changes: [range(2048) as $i |
		{op: "add", queue: "a", vlan: "\($i + 1)", mac: "52:54:00:01:00:01"}]}')
	run -0 at_once "filter.apply $many" 'filter.list {"queue":"host"}' \
		"filter.apply {\"changes\":[{\"op\":\"del\",\"mac\":\"52:54:00:01:00:01\",\"vlan\":\"7\"}]}"
	# Who comes later with a change of his own does not overtake it.
	[ "$(jq -sc 'map(.id)' <<<"$output")" = "[2,1,3]" ]
	[ "$(jq -sc 'map(.result.changes)' <<<"$output")" = "[null,2048,1]" ]
	[ "$(ctl queue show a -j | jq .queue.filters)" -eq 2048 ]
}
