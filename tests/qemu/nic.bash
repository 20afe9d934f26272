# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# nic.bash - what the tests of NIC drivers share; run by scripts/vm --nic KIND
#
# nic0 is vmq-load's device; nic1, on the same wire, is in namespace `wire`. The
# driver and all of its host side are real, only the hardware is emulated. Output
# is TAP; a check that fails does not end the test.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VMQ_BUILD=${VMQ_BUILD:-$ROOT/build}
NIC=nic0
M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
TESTS=0
FAILED=0
LOG=/run/vmq-load.log

# nic_begin KIND
nic_begin()
{
	if [ "${VMQ_VM:-}" != "$1" ]; then
		echo "Bail out! run this in a guest: scripts/vm --nic $1 $0" >&2
		exit 2
	fi
	echo "# kernel $(uname -r), $(nproc) CPUs"
	ip netns add wire
	ip link set nic1 netns wire
	in_wire sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	in_wire ip link set nic1 up
	ip link set $NIC up
	wait_until has_carrier
}

nic_end()
{
	echo "1..$TESTS"
	[ $FAILED -eq 0 ] || sed 's/^/# vmq-load: /' $LOG
	exit $((FAILED > 0))
}

# check TITLE CMD...: one test; its output, as diagnosis, when it fails
check()
{
	local title=$1
	shift
	TESTS=$((TESTS + 1))
	# Not in a subshell: the service's pid would stay there.
	if "$@" >/run/check 2>&1; then
		echo "ok $TESTS - $title"
	else
		FAILED=$((FAILED + 1))
		echo "not ok $TESTS - $title"
		sed 's/^/# /' /run/check
	fi
}

skip()
{
	TESTS=$((TESTS + 1))
	echo "ok $TESTS - $1 # SKIP $2"
}

# wait_until CMD...: for a minute at most
wait_until()
{
	local end=$((SECONDS + 60))
	while ! "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || { "$@"; return 1; }
		read -rt 0.05 <> <(:) || :
	done
}

in_wire()
{
	ip netns exec wire "$@"
}

ctl()
{
	"$VMQ_BUILD/vmqctl" "$@"
}

# Sending and counting
send()
{
	in_wire "$VMQ_BUILD/prog/frame-send" --iface nic1 "$@"
}

stat_of()
{
	ctl stats -j | jq -r ".queues[] | select(.name == \"$1\") | .stats.$2"
}

# counts QUEUE KEY N
counts()
{
	local n
	n=$(stat_of "$1" "$2")
	[ "$n" = "$3" ] || { echo "$1: $2 is $n, not $3"; ctl stats -j | jq -c .; return 1; }
}

# arrive QUEUE N [FRAME-SEND ARG...]: N frames more are delivered
arrive()
{
	local queue=$1 n=$2 before
	shift 2
	before=$(stat_of "$queue" delivered)
	send --count "$n" --rate 500 "$@" >/dev/null
	wait_until counts "$queue" delivered $((before + n))
}

# The device
has_carrier()
{
	[ "$(cat /sys/class/net/$NIC/carrier)" = 1 ]
}

promiscuous()
{
	[ $(($(cat /sys/class/net/$NIC/flags) & 0x100)) -ne 0 ]
}

# not CMD...: fails
not()
{
	! "$@"
}

feature_is()
{
	ethtool -k $NIC | grep -q "^$1: $2" || { ethtool -k $NIC | grep "^$1"; return 1; }
}

# irqs MARK: a line "QUEUE IRQ CPUS" for each interrupt of nic0 that has MARK and a
# number in its handler's name
irqs()
{
	local dir irq handler
	for dir in /sys/class/net/$NIC/device/msi_irqs /sys/class/net/$NIC/device/../msi_irqs; do
		for irq in "$dir"/*; do
			irq=${irq##*/}
			for handler in "/proc/irq/$irq"/*"$1"[0-9]*; do
				[ ! -d "$handler" ] || echo "${handler##*"$1"} $irq" \
					"$(cat "/proc/irq/$irq/smp_affinity_list")"
			done
		done
	done | sort -n
}

# interrupts MARK: for each of them, how many there were
interrupts()
{
	irqs "$1" | while read -r _ irq _; do
		awk -v n="$irq:" '$1 == n { for (i = 2; $i ~ /^[0-9]+$/; i++) t += $i; print t }' \
			/proc/interrupts
	done
}

# irqs_are MARK TEXT: as they were
irqs_are()
{
	diff <(echo "$2") <(irqs "$1" | awk '{ print $1, $3 }')
}

# irqs_placed MARK QUEUES CPUS: queue r's is on CPU r modulo CPUS, for all queues
irqs_placed()
{
	irqs "$1" | awk -v want="$2" -v cpus="$3" '
		{ print; n++ }
		$3 != $1 % cpus { bad++ }
		END { exit n < want || bad > 0 }'
}

# The service
start_load()
{
	"$VMQ_BUILD/vmq-load" $NIC "$@" >>$LOG 2>&1 </dev/null &
	LOAD=$!
	wait_until ctl show || { sed 's/^/# vmq-load: /' $LOG; return 1; }
}

stop_load()
{
	kill -"${1:-TERM}" $LOAD
	wait $LOAD
}

adapter_is()
{
	local is
	is=$(ctl show -j | jq -r ".adapter.$1")
	[ "$is" = "$2" ] || { echo "$1 is $is, not $2"; return 1; }
}

add_vm()
{
	local name=$1
	shift
	ip netns add "$name"
	ctl queue add "$name" --channel "tap:eth0,netns=$name" "$@"
	ip netns exec "$name" ip link set eth0 up
}

no_xdp()
{
	! ip -d link show $NIC | grep -E 'prog/xdp'
}

said()
{
	grep -q -- "$1" $LOG || { cat $LOG; return 1; }
}

# ---- what holds for every NIC ---------------------------------------------------------

# check_filters: addresses and promiscuous mode; vm1 stays
check_filters()
{
	check "a queue is added" add_vm vm1 --mac $M1
	check "its address is enough: no promiscuous mode" not promiscuous
	check "its frames arrive" arrive vm1 50 --dst $M1
	check "a queue with a VLAN is added" add_vm vm2 --mac $M2 --vlan 100
	check "where the NIC filters VLANs it is promiscuous now" promiscuous
	check "frames of the VLAN arrive" arrive vm2 50 --dst $M2 --vlan 100
	check "frames of the VLAN do not arrive elsewhere" counts vm1 delivered 50
	send --count 20 --dst $M2 --vlan 200 >/dev/null
	check "the queue goes" ctl queue del vm2
	check "and promiscuous mode with it" wait_until not promiscuous
}

# check_life: the link goes, the service dies, all is put back
check_life()
{
	ip link set $NIC down
	ip link set $NIC up
	check "the link comes back" wait_until has_carrier
	check "frames arrive after the link went down" arrive vm1 50 --dst $M1
	stop_load KILL 2>/dev/null
	check "a killed service's interface still works" wait_until has_carrier
	check "the next one takes over" start_load "$@"
	check "with the queues" adapter_is adopted true
	check "and frames arrive" wait_until arrive vm1 50 --dst $M1
	# Last, because who has pinged may ask for an address again at any time.
	in_wire ip addr add 192.0.2.254/24 dev nic1
	ip -n vm1 addr add 192.0.2.1/24 dev eth0
	check "broadcast, unicast and what the VM sends pass" \
		in_wire ping -q -c 20 -i 0.05 -W 5 192.0.2.1
	check "the service ends" stop_load
	check "no XDP program is left" no_xdp
	check "promiscuous mode is off" not promiscuous
	check "the link is there" wait_until has_carrier
}
