#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# memory.sh - vmq-load under a memory limit of its control group, in a guest:
# `scripts/vm --kernel 6.12 tests/qemu/memory.sh`
#
# Only in a guest, because a mount of control groups shows those of the whole machine.
# The limit is memory.max, as set by MemoryMax= of a unit.
. "$(dirname "$0")/nic.bash"

GROUP=/sys/fs/cgroup/vmq/service
M=52:54:00:00:01
MIB=$((1 << 20))

ip link add nic0 numrxqueues 2 numtxqueues 2 type veth \
	peer name nic1 numrxqueues 2 numtxqueues 2
nic_begin none
mkdir -p $GROUP
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
echo +memory >/sys/fs/cgroup/vmq/cgroup.subtree_control

# shellcheck disable=SC2016 # expanded by the inner shell
in_group=(bash -c 'echo $$ >$0/cgroup.procs; exec "$@"' "$GROUP")

start_load()
{
	"${in_group[@]}" "$VMQ_BUILD/vmq-load" $NIC --tags frame "$@" >>$LOG 2>&1 </dev/null &
	LOAD=$!
	wait_until answers_or_ended
	ctl show >/dev/null
}

answers_or_ended()
{
	ctl show || ! kill -0 $LOAD
}

# limit BYTES
limit()
{
	echo "$1" >$GROUP/memory.max
}

kills()
{
	awk '$1 == "oom_kill" { print $2 }' $GROUP/memory.events
}

# leave MIB: so much is left below the limit; what files take in the cache counts as left
leave()
{
	limit $(($(awk -v used="$(cat $GROUP/memory.current)" '
		$1 == "active_file" || $1 == "inactive_file" { used -= $2 }
		END { print used }' $GROUP/memory.stat) + $1 * MIB))
}

# refused STATUS WORDS CMD...
refused()
{
	local want=$1 words=$2 rc=0 out
	shift 2
	out=$("$@" 2>&1) || rc=$?
	echo "status $rc: $out"
	[ $rc -eq "$want" ] && [[ $out == *"$words"* ]]
}

# add N: a queue with a tap, for which the kernel takes memory, too
add()
{
	ctl queue add "q$1" --mac "$M:$(printf %02x "$1")" --channel "tap:t$1"
}

refused_100()
{
	for _ in {1..100}; do
		! add 3 2>/run/add || return 1
	done
	grep -q memory.max /run/add
}

nothing_killed()
{
	[ "$(kills)" -eq 0 ]
}

# nothing_of N: of a queue that was refused
nothing_of()
{
	! ctl queue show "q$1" 2>/dev/null && ! ip link show "t$1" 2>/dev/null &&
		! ctl filter list -j | grep "$M:$(printf %02x "$1")"
}

# ---- too little to start ------------------------------------------------------------

check "without a limit it starts" start_load
need=$(cat $GROUP/memory.current)
stop_load
limit $((need / 2))
refused_to_start()
{
	refused 5 "memory.max allows control group /vmq/service; raise it" \
		"${in_group[@]}" "$VMQ_BUILD/vmq-load" $NIC --tags frame
}
check "with half the memory it says why it does not, and is not killed" refused_to_start
check "nothing was killed" nothing_killed
check "and no program is left" no_xdp

# ---- too little for another queue --------------------------------------------------------

# It may take more than the first time: huge pages come and go.
limit $((need + 64 * MIB))
check "under a limit that is high enough it starts" start_load
check "a queue is added" add 1
check "another is added" add 2
leave 3
check "with 3 MiB left the next is refused, for memory" refused 5 \
	"MiB are left that memory.max allows control group /vmq/service" add 3
check "with nothing half done" nothing_of 3
check "a hundred times" refused_100
check "those that are there work" arrive q1 50 --dst "$M:01"
check "and are shown" ctl show
leave 9
check "with more memory it is added" add 3
check "and works" arrive q3 50 --dst "$M:03"
check "nothing was killed" nothing_killed

# ---- a limit below what is in use ------------------------------------------------------

# The kernel takes back what it can, then it kills.
limit $((need / 2))
ended()
{
	! kill -0 $LOAD
}
check "a limit below what it uses: the kernel ends the service" wait_until ended
{ wait $LOAD; } 2>/dev/null
check "the kernel says so" not nothing_killed
before=$(cat /sys/class/net/$NIC/statistics/rx_packets)
check "frames go to the host" send --count 20 --dst "$M:01"
host_has()
{
	[ $(($(cat /sys/class/net/$NIC/statistics/rx_packets) - before)) -ge 20 ]
}
check "all of them" wait_until host_has
three_run()
{
	[ "$(ctl show -j | jq '[.queues[] | select(.state == "running" and .id > 0)] | length')" -eq 3 ]
}
check "a restart is refused with a sentence while the limit stands" refused_to_start
limit max
check "and takes over without it" start_load
check "the queues" adapter_is adopted true
check "all of them" three_run
check "and frames arrive" arrive q1 50 --dst "$M:01"
check "the service ends" stop_load
check "no program is left" no_xdp
check "no tap is left" test -z "$(ip -br link show type tun)"
nic_end
