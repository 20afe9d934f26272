#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Bad input: a clear sentence on stderr, the right exit code, nothing half made.

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	make_wire 2
}

# refused STATUS WORDS CMD...: exit status, words in the one line on stderr, no stdout
refused()
{
	local status=$1 words=$2
	shift 2
	run --separate-stderr -"$status" "$@"
	[ -z "$output" ]
	# shellcheck disable=SC2154
	[ "${#stderr_lines[@]}" -eq 1 ] || [ "$1" = "$VMQ_BUILD/vmq-load" ]
	# shellcheck disable=SC2154
	[[ $stderr == *"$words"* ]] || {
		echo "no '$words' in: $stderr" >&2
		return 1
	}
}

load_cmd()
{
	timeout 10 "$VMQ_BUILD/vmq-load" "$@"
}

@test "vmq-load refuses what it cannot be told" {
	refused 2 "name an interface" load_cmd
	refused 2 "one interface only" load_cmd vmq0 vmq1
	refused 2 "unknown option" load_cmd --nonsense vmq0
	refused 2 "choose from auto, native, skb" load_cmd --mode fast vmq0
	refused 2 "choose from auto, frame, kfunc" load_cmd --tags maybe vmq0
	refused 2 "--queues" load_cmd --queues 0 vmq0
	refused 2 "--queues" load_cmd --queues 1025 vmq0
	refused 2 "--queues" load_cmd --queues many vmq0
	refused 2 "choose 2048 or 4096" load_cmd --chunk 3000 vmq0
	refused 2 "CPU" load_cmd --cpus 4000 vmq0
	refused 2 "CPU" load_cmd --cpus 1-x vmq0
	refused 2 "service name" load_cmd --name a/b vmq0
	refused 2 "shorter --run-dir" load_cmd --run-dir "/run/$(printf 'a%.0s' {1..120})" vmq0
	[ -z "$(find /run -name 'aaaa*')" ]
	load_cmd --help | grep -q -- --unload
	load_cmd --version
}

@test "vmq-load(8) knows every option, vmq(7) every state and counter" {
	page=$(sed 's/\\-/-/g' "$ROOT/user/man/vmq-load.8")
	"$VMQ_BUILD/vmq-load" --help | grep -o -- '--[a-z-]*' | sort -u >"$BATS_TEST_TMPDIR/options"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/options")" -ge 15 ]
	while read -r option; do
		grep -q -- "$option" <<<"$page" || { echo "no $option in vmq-load.8" >&2; false; }
	done <"$BATS_TEST_TMPDIR/options"

	start_load --tags frame
	ctl queue add web1 --mac $M1
	page=$(sed 's/\\-/-/g' "$ROOT/user/man/vmq.7")
	ctl stats -j | jq -r '.queues[0].stats, .adapter | ., .dropped, .uplink | objects | keys[]' \
		>"$BATS_TEST_TMPDIR/words"
	while read -r word; do
		grep -qw "$word" <<<"$page" || { echo "no $word in vmq.7" >&2; false; }
	done <"$BATS_TEST_TMPDIR/words"
	for state in allocated set running paused stop-dma freeing; do
		grep -qx "\.B $state" <<<"$page"
	done
}

# options CMD...: those of its --help that take a value, and those that take none with "="
options_of()
{
	"$@" --help | sed -nE '/^global options:/q
		s/^ +(-., )?(--[a-z-]+) \[.*/\2=/p
		s/^ +(-., )?(--[a-z-]+) [^ ].*/\2/p
		s/^ +(-., )?(--[a-z-]+) .*/\2=1/p'
}

@test "every option is refused a value that it cannot have" {
	start_load --tags frame
	ctl queue add web1 --mac $M1
	ctl queue export web1 >"$BATS_TEST_TMPDIR/exported"
	bad=$'\xff'	# nothing takes what is no UTF-8
	tried=0
	while read -r noun verb _; do
		args=(web1)
		words=("$noun")
		[[ ! $noun =~ ^(queue|rss|filter)$ ]] || words+=("$verb")
		case "$noun $verb" in
		"queue add" | "queue alloc") args=(new) ;;
		"queue import") args=("$BATS_TEST_TMPDIR/exported") ;;
		"rss move") args=(web1 "0=0") ;;
		esac
		while read -r option; do
			case $option in
			*=1) refused 2 "no value" ctl "${words[@]}" "${args[@]}" "$option" ;;
			*=) refused 2 "" ctl "${words[@]}" "${args[@]}" "$option$bad" ;;
			*) refused 2 "" ctl "${words[@]}" "${args[@]}" "$option" "$bad" ;;
			esac
			tried=$((tried + 1))
		done < <(options_of "$VMQ_BUILD/vmqctl" "${words[@]}")
	done < <(ctl --help | sed -nE '/^commands:/,/^$/s/^  ([a-z].*)/\1/p')
	[ $tried -ge 44 ]
	# The service has made nothing of it, and changed nothing.
	[ "$(ctl queue list -j | jq '.queues | length')" -eq 2 ]
	[ "$(ctl queue export web1)" = "$(<"$BATS_TEST_TMPDIR/exported")" ]

	while read -r option; do
		case $option in
		--help* | --version* | --run-dir) continue ;;
		*=1) refused 2 "no value" load_cmd "$option" vmq0 ;;
		*) refused 2 "" load_cmd "$option" "$bad" vmq0 ;;
		esac
	done < <(options_of "$VMQ_BUILD/vmq-load")
}

@test "an unknown interface is named" {
	refused 3 "no interface 'nope'" load_cmd nope
	check_nothing_left
}

@test "an interface without Ethernet frames is refused" {
	ip tuntap add tun0 mode tun
	refused 2 "no Ethernet" load_cmd tun0
	ip link del tun0
	check_nothing_left
}

@test "a missing capability is named" {
	refused 1 "CAP_NET_ADMIN" setpriv --bounding-set -net_admin --inh-caps -all \
		"$VMQ_BUILD/vmq-load" "$IFACE" --tags frame
	refused 1 "CAP_NET_RAW" setpriv --bounding-set -net_raw --inh-caps -all \
		"$VMQ_BUILD/vmq-load" "$IFACE" --tags frame
	check_nothing_left
}

@test "vmqctl without a service says so" {
	refused 3 "vmq-load" ctl show
}

@test "queue add refuses bad words, and makes nothing (R-3, R-6, F-8)" {
	start_load --tags frame --cpus 0
	refused 2 "52:54" ctl queue add a --mac 52:54
	refused 2 "multicast" ctl queue add a --mac 01:00:5e:00:00:01
	refused 2 "not the address of any VM" ctl queue add a --mac 00:00:00:00:00:00
	refused 2 "VLAN" ctl queue add a --mac $M1 --vlan 0
	refused 2 "VLAN" ctl queue add a --mac $M1 --vlan 4095
	refused 2 "VLAN" ctl queue add a --mac $M1 --vlan red
	refused 2 "CPU" ctl queue add a --mac $M1 --cpu 999
	refused 2 "CPU" ctl queue add a --mac $M1 --cpu ""
	refused 2 "name" ctl queue add "a b" --mac $M1
	refused 2 "name" ctl queue add "$(printf 'a%.0s' {1..40})" --mac $M1
	refused 2 "reserved" ctl queue add host --mac $M1
	refused 2 "id" ctl queue add 17 --mac $M1
	refused 2 "twice" ctl queue add a --mac $M1,$M1
	refused 2 "tap" ctl queue add a --mac $M1 --channel pigeon:coop
	refused 2 "tap" ctl queue add a --mac $M1 --channel tap:
	refused 2 "weight" ctl queue add a --mac $M1 --weight 101
	refused 2 "own" ctl queue add a --mac "$(cat /sys/class/net/"$IFACE"/address)"
	refused 2 "option" ctl queue add a --colour red
	run ! ctl queue add a --mac $M1 --channel tap:x0,netns=nowhere
	[ "$(ctl show -j | jq .adapter.queues.used)" -eq 0 ]
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 0 ]
}

@test "names and filters are taken once, and the owner is named (F-23)" {
	start_load --tags frame
	ctl queue add web1 --mac $M1
	refused 4 "web1" ctl queue add web1 --mac 52:54:00:00:00:02
	refused 4 "web1" ctl queue add web2 --mac $M1
	refused 4 "another program listens" ctl queue add web2 --channel "vhost-user:/run/vmq/$IFACE.sock"
	ctl queue list -j | jq -e '.queues | length == 2'
	ctl queue add web2 --mac $M1 --vlan 5
}

@test "unknown queues and filters are not found (F-17)" {
	start_load --tags frame
	refused 3 "nix" ctl queue show nix
	refused 3 "nix" ctl queue del nix
	refused 3 "nix" ctl queue drain nix
	refused 3 "nix" ctl filter add nix --mac $M1
	refused 3 "77" ctl filter del 77
	# a channel's socket beside the service's is no service
	ctl queue add vm1 --channel vhost-user:/run/vmq/vm1.sock
	refused 3 "runs in /run/vmq; there is $IFACE" ctl -i nix show
	[[ $stderr != *vm1* ]]
	refused 2 "queue 0" ctl queue del host
	refused 2 "queue 0" ctl queue del 0
}

@test "more queues than --queues are refused, and room comes back (R-7)" {
	start_load --tags frame --queues 2
	ctl queue add a --mac 52:54:00:00:00:0a
	ctl queue add b --mac 52:54:00:00:00:0b
	refused 5 "--queues" ctl queue add c --mac 52:54:00:00:00:0c
	ctl queue del a
	ctl queue add c --mac 52:54:00:00:00:0c
	[ "$(ctl queue show c -j | jq .queue.id)" -eq 1 ]
}

@test "when frames run out completion fails for that queue alone (R-8)" {
	start_load --tags frame --queues 8 --frames 256
	ctl queue add a --mac 52:54:00:00:00:0a --ring 128
	ctl queue add b --mac 52:54:00:00:00:0b --ring 128
	refused 5 "frames" ctl queue add c --mac 52:54:00:00:00:0c --ring 128
	run ! ctl queue show c
	[ "$(ctl show -j | jq .adapter.filters.used)" -eq 2 ]
	ctl queue alloc c --mac 52:54:00:00:00:0c --ring 128
	ctl queue alloc d --mac 52:54:00:00:00:0d --ring 64
	ctl queue del b
	run --separate-stderr -5 ctl queue complete -j c d nix
	jq -e '[.results[].ok] == [true, false, false] or [.results[].ok] == [true, true, false]' <<<"$output"
}

@test "without known tags only --vlan any is accepted (M-6)" {
	start_load --mode skb
	refused 1 "any" ctl queue add a --mac $M1
	refused 1 "any" ctl queue add a --mac $M1 --vlan 5
	ctl queue add a --mac $M1 --vlan any
	[ "$(ctl show -j | jq .adapter.tags_known)" = false ]
}
