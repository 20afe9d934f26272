#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# A guest of QEMU is moved between two hosts while a stream of numbered datagrams is
# echoed by it and a TCP transfer goes to it. Two hosts are two namespaces, joined by a
# bridge in namespace `wire`, where the other end of both is. The same with QEMU's tap
# and a Linux bridge on each host is the measure. VMQ_MOVES: how often (scripts/migrate).

load lib/vmq
load lib/hosts

GUEST=${VMQ_GUEST:-$VMQ_BUILD/guest}
ADDR=192.0.2.11
MOVES=${VMQ_MOVES:-2}

teardown_file()
{
	[ ! -e "$BATS_FILE_TMPDIR/table" ] || sed 's/^/# /' "$BATS_FILE_TMPDIR/table" >&3
	vmq_teardown_file
}

setup()
{
	[ -e "$GUEST/initrd" ] ||
		skip "no guest: ${VMQ_NO_GUEST:-tests/qemu/make-guest $GUEST makes it}"
	T=$BATS_TEST_TMPDIR
}

# ---- hosts and the guest ------------------------------------------------------------

# tap_hosts: each a namespace with a bridge of an uplink and a tap
tap_hosts()
{
	local host
	make_bridge
	for host in a b; do
		ip netns add $host
		ip link add uplink netns $host type veth peer name wire$host netns wire
		quiet wire$host wire
		ip -n wire link set wire$host master br0
		ip -n $host link add bridge0 type bridge
		ip -n $host tuntap add t0 mode tap
		ip -n $host link set uplink master bridge0
		ip -n $host link set t0 master bridge0
		for dev in uplink t0 bridge0; do quiet $dev $host; done
	done
}

# net_of HOST: options of QEMU; BACKEND says which
net_of()
{
	if [ "$BACKEND" = tap ]; then
		echo "-netdev tap,id=n0,ifname=t0,script=no,downscript=no,vhost=off"
	else
		echo "-chardev socket,id=c0,path=$T/$1.sock -netdev vhost-user,id=n0,chardev=c0"
	fi
}

# start_vm HOST [ARG...]: QEMU there, its monitor at $T/HOST.in and $T/HOST.mon
start_vm()
{
	local host=$1 in=()
	shift
	[ "$BACKEND" = vmq ] || in=(ip netns exec "$host")
	rm -f "$T/$host.in"
	mkfifo "$T/$host.in"
	# shellcheck disable=SC2046
	"${in[@]}" qemu-system-x86_64 -accel tcg -cpu max -m 128 -smp 1 -nodefaults -nographic \
		-object memory-backend-memfd,id=ram,size=128M,share=on -machine pc,memory-backend=ram \
		-kernel "$GUEST/vmlinuz" -initrd "$GUEST/initrd" -append "console=ttyS0 panic=-1 quiet \
vmq.addr=$ADDR/24 vmq.peer=$PEER vmq.echo=7 vmq.recv=9000" \
		-serial "file:$T/$host.log" -monitor stdio $(net_of "$host") \
		-device "virtio-net-pci,netdev=n0,mac=$MAC,romfile=,vectors=0${ANNOUNCE:+,guest_announce=$ANNOUNCE}${PACKED:+,packed=$PACKED}" \
		"$@" <>"$T/$host.in" >"$T/$host.mon" 2>&1 3>&- &
	remember $! "vm-$host"
}

# mon HOST COMMAND: to QEMU's monitor
mon()
{
	echo "$2" >"$T/$1.in"
}

# says FILE TEXT
says()
{
	grep -q "$2" "$1" || { tail -n 5 "$1"; return 1; }
}

# reachable: the guest answers; on a busy machine it takes its time
reachable()
{
	in_ns wire ping -q -c 2 -i 0.2 -W 5 $ADDR
}

# what_is: where the guest was lost
what_is()
{
	local host
	in_ns wire bridge fdb show br br0
	for host in a b; do
		tail -n 5 "$T/$host.log" "$T/$host.mon"
		[ "$BACKEND" = tap ] || on $host stats -j | jq -c .
	done
	[ "$BACKEND" = tap ] || tail -n 20 "$LOAD_LOG" "$T/load-b.log"
} >&2

# move FROM TO: the monitor is blocked while it migrates, so what follows comes after. By
# a socket that all namespaces see, whatever the guest's card is: by TCP the last pages and
# the devices' state took 20 to 60 ms longer.
move()
{
	rm -f "$T/mig.sock"
	start_vm "$2" -incoming "unix:$T/mig.sock"
	wait_until 60 test -S "$T/mig.sock"
	mon "$1" "migrate unix:$T/mig.sock"
	mon "$1" "info migrate"
	mon "$1" "info status"
	# seldom: what looks takes CPUs that QEMU's last pages need
	WAIT_STEP=0.2 wait_until 120 says "$T/$1.mon" "VM status: paused (postmigrate)"
	says "$T/$1.mon" "Migration status: completed"
	sed -n 's/^downtime: \([0-9]*\).*/\1/p' "$T/$1.mon" | tail -n 1 >>"$T/downtime"
	mon "$1" quit
	wait_until 20 gone "$(<"$T/pid-vm-$1")"
	rm -f "$T/pid-vm-$1"
	wait_until 90 reachable || { what_is; return 1; }
}

# ---- the load -----------------------------------------------------------------------

start_streams()
{
	ip netns exec wire "$PROG/udp-gap" --to $ADDR --port 7 --rate 200 >"$T/gap" 2>&1 3>&- &
	remember $! gap
	# A transfer that goes on until the file `enough` is there.
	# shellcheck disable=SC2016
	ip netns exec wire sh -c '
		while [ ! -e "$1/enough" ]; do head -c 16384 /dev/urandom; busybox usleep 50000; done |
			tee "$1/data" | busybox nc '$ADDR' 9000' transfer "$T" >/dev/null 2>&1 </dev/null 3>&- &
	remember $! transfer
}

stop_streams()
{
	touch "$T/enough"
	wait_until 120 gone "$(<"$T/pid-transfer")"
	rm -f "$T/pid-transfer"
	reap gap
	cat "$T/gap"
}

# sum_of COUNTER: of the guest's queue, on both hosts
sum_of()
{
	echo $(($(on a stats vm1 -j | jq ".queues[0].stats | $1") +
		$(on b stats vm1 -j | jq ".queues[0].stats | $1")))
}

# where_lost: frames for the guest that a host had and did not deliver; the rest of what
# was lost went into the bridge between them
where_lost()
{
	[ "$BACKEND" = vmq ] || return 0
	echo ", of all frames for it $(sum_of .switch_dropped) reached a host where it had stopped," \
		"$(sum_of '.dropped.ring_full + .dropped.channel_full') found no room"
}

# migrate_all NAME [ARRIVED]: boot on a, move MOVES times, check the transfer, note a line.
# ARRIVED is run after the first move.
migrate_all()
{
	local from=a to=b i
	start_vm a
	wait_until 120 says "$T/a.log" "guest: ready"
	start_streams
	wait_until 10 test -s "$T/data"
	for ((i = 0; i < MOVES; i++)); do
		move $from $to
		i_from=$from from=$to to=$i_from
		[ $i -gt 0 ] || ${2:-true}
	done
	stop_streams
	wait_until 60 says "$T/$from.log" "guest: received"
	says "$T/$from.log" "guest: received $(sha1sum <"$T/data" | cut -d ' ' -f 1)"
	jq -r --arg name "$1" --arg down "$(sort -n "$T/downtime" | tail -n 1)" --arg moves "$MOVES" \
		--arg bytes "$(stat -c %s "$T/data")" --arg where "$(where_lost)" \
		'"\($name): \($moves) moves, \(.lost) of \(.sent) datagrams lost, \(.doubled) twice, " +
		"longest gap \(.gap_ms) ms, downtime by QEMU up to \($down) ms, \($bytes) bytes by TCP\($where)"' \
		"$T/gap" | tee -a "$BATS_FILE_TMPDIR/table"
	report "$(tail -n 1 "$BATS_FILE_TMPDIR/table")"
}

@test "QEMU's tap and a Linux bridge: the measure" {
	BACKEND=tap
	tap_hosts
	migrate_all "tap and bridge"
}

@test "a guest is moved, announces itself, and no frame of its queues is lost (L-3, L-4)" {
	BACKEND=vmq
	vmq_hosts
	ip netns exec wire tcpdump -l -n -i br0 rarp >"$T/rarp" 2>/dev/null 3>&- &
	remember $! tcpdump
	migrate_all "vmq"
	wait_until 5 all_taken a
	wait_until 5 all_taken b
	# ours: a guest with GUEST_ANNOUNCE gets none from QEMU
	[ "$(wc -l <"$T/rarp")" -ge "$MOVES" ]
	# what a guest returned was its own: nothing it sent was refused
	on a stats -j | jq -e '.queues[0].stats.tx_dropped // {} | add // 0 == 0'
}

# leaves_queue_0: the guest came to a host without a queue for it; now there is one
leaves_queue_0()
{
	on b queue show vm1 -j | jq -e .queue.waits
	on b stats vm1 -j | jq -e '.queues[0].stats | .matched == 0 and .switch_delivered > 0'
	on b queue del full
	wait_until 5 vm_runs_on_b
	wait_until 90 reachable
}

vm_runs_on_b()
{
	[ "$(on b queue show vm1 -j | jq -r .queue.state)" = running ]
}

@test "a guest with packed rings that cannot announce itself is moved to queue 0 of a host that is full (L-3, SEND_RARP)" {
	BACKEND=vmq ANNOUNCE=off PACKED=on
	vmq_hosts --queues 1
	on b queue del vm1
	on b queue add full
	on a queue export vm1 | on b queue import --channel "vhost-user:$T/b.sock"
	migrate_all "vmq, packed, without GUEST_ANNOUNCE" leaves_queue_0
	wait_until 5 all_taken a
	wait_until 5 all_taken b
}
