#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Unmodified guests of QEMU on a VM queue, by vhost-user. TCG only: whether KVM
# works says nothing about vmq. The guest is made beforehand, where there is a
# network to download its kernel from.

load lib/vmq

M1=52:54:00:00:00:01
M2=52:54:00:00:00:02
GUEST=${VMQ_GUEST:-$VMQ_BUILD/guest}

setup()
{
	[ -e "$GUEST/initrd" ] ||
		skip "no guest: ${VMQ_NO_GUEST:-tests/qemu/make-guest $GUEST makes it}"
	make_wire 2
	in_ns wire ip addr add 192.0.2.254/24 dev wire0
	start_load --tags frame
}

# start_vm NAME MAC PAIRS WORD...: QEMU with its console in $BATS_TEST_TMPDIR/NAME.log.
# MTU, SOCKET (options of QEMU's socket), NIC (of the device, from a comma on) and MONITOR
# (a fifo for QEMU's monitor to read) may be set before. Interrupts are INTx
# (vectors=0): with MSI-X and TCG Debian's QEMU 7.2 dies in
# msix_set_vector_notifiers() as soon as any vhost device starts.
start_vm()
{
	local name=$1 mac=$2 pairs=$3 queues=''
	shift 3
	[ "$pairs" = 1 ] || queues=,mq=on
	qemu-system-x86_64 -accel tcg -cpu max -m 192 -smp "$pairs" -nodefaults -nographic \
		-object memory-backend-memfd,id=ram,size=192M,share=on -machine pc,memory-backend=ram \
		-kernel "$GUEST/vmlinuz" -initrd "$GUEST/initrd" \
		-append "console=ttyS0 panic=-1 quiet $*" -serial "file:$BATS_TEST_TMPDIR/$name.log" \
		-chardev "socket,id=c0,path=$BATS_TEST_TMPDIR/$name.sock${SOCKET:+,$SOCKET}" \
		-netdev "vhost-user,id=n0,chardev=c0,queues=$pairs" \
		${MONITOR:+-monitor stdio} \
		-device "virtio-net-pci,id=nic0,netdev=n0,mac=$mac,romfile=,vectors=0$queues${MTU:+,host_mtu=$MTU}${NIC-}" \
		>"$BATS_TEST_TMPDIR/$name.err" 2>&1 <>"${MONITOR:-/dev/null}" 3>&- &
	remember $! "$name"
}

# console NAME TEXT [COUNT]: the guest has said it that often
console()
{
	local log=$BATS_TEST_TMPDIR/$1.log
	if [ ! -e "$log" ] || [ "$(grep -c "$2" "$log")" -lt "${3:-1}" ]; then
		tail -n 5 "$log" "$BATS_TEST_TMPDIR/$1.err"
		return 1
	fi
}

@test "C-5 a guest boots, pings, is pinged, takes a file in joined frames and sends one" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	# nc ends the connection at the end of its input: a pipe that never ends
	mkfifo "$BATS_TEST_TMPDIR/hold"
	in_ns wire busybox nc -l -p 9000 >"$BATS_TEST_TMPDIR/data" <>"$BATS_TEST_TMPDIR/hold" 3>&- &
	remember $! nc
	# QEMU tells the guest of an MTU only if it was told itself
	MTU=1500 start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254 vmq.send=9000 \
		vmq.mtu=9000 vmq.recv=9001
	wait_until 120 console vm1 "guest: ping ok"
	in_ns wire ping -q -c 5 -i 0.1 -W 2 192.0.2.11
	wait_until 20 console vm1 "guest: ready"
	head -c 4000000 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	in_ns wire busybox nc 192.0.2.11 9001 <"$BATS_TEST_TMPDIR/file" >/dev/null
	wait_until 60 console vm1 "guest: received $(sha1sum <"$BATS_TEST_TMPDIR/file" | cut -d ' ' -f 1)"
	[ "$(stat_of vm1 joined)" -ge 1 ]
	wait_until 120 console vm1 "guest: sent"
	wait_until 10 gone "$(<"$BATS_TEST_TMPDIR/pid-nc")"
	console vm1 "guest: sent $(sha1sum <"$BATS_TEST_TMPDIR/data" | cut -d ' ' -f 1)"
	console vm1 "guest: mtu 9000 refused"
	[ "$(stat_of vm1 delivered)" -ge 20 ]
	wait_until 5 at_rest vm1
}

@test "the example of vmq-vhost-user(7) works as written" {
	sed '/^\.EX/,/^\.EE/!d; /^\.EE/q' "$ROOT/user/man/vmq-vhost-user.7" |
		sed 's/\\-/-/g; s/\\e$/\\/; /^\./d; s/^qemu/exec qemu/' >"$BATS_TEST_TMPDIR/example"
	cd "$GUEST"
	PATH=$VMQ_BUILD:$PATH sh -eu "$BATS_TEST_TMPDIR/example" \
		>"$BATS_TEST_TMPDIR/vm1.log" 2>"$BATS_TEST_TMPDIR/vm1.err" </dev/null 3>&- &
	remember $! example
	wait_until 120 console vm1 "guest: address $M1 mtu 1500"
	wait_until 20 channel_is up
}

# channel_is WORD: the last that the service said of vm1's channel
channel_is()
{
	grep "queue vm1: channel" "$LOAD_LOG" | tail -n 1 | grep "channel $1"
}

@test "L-3 a guest begins on queue 0, is promoted under traffic, and loses its card" {
	ctl queue add vm1 --mac $M1 --weight 0 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	mkfifo "$BATS_TEST_TMPDIR/monitor"
	MONITOR=$BATS_TEST_TMPDIR/monitor \
		start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
	[ "$(stat_of vm1 matched)" -eq 0 ]
	in_ns wire ping -q -c 40 -i 0.05 -W 2 192.0.2.11 >"$BATS_TEST_TMPDIR/ping" 3>&- &
	remember $! ping
	wait_until 5 stat_reaches vm1 switch_delivered 20
	ctl queue set vm1 --weight 50
	ctl queue complete vm1
	wait_until 20 gone "$(<"$BATS_TEST_TMPDIR/pid-ping")"
	grep "40 received" "$BATS_TEST_TMPDIR/ping"
	# the pings above may have been over by then
	in_ns wire ping -q -c 3 -i 0.1 -W 2 192.0.2.11
	wait_until 5 stat_reaches vm1 matched 3

	echo "device_del nic0" >"$BATS_TEST_TMPDIR/monitor"
	wait_until 30 channel_is down
	[ "$(queue_state vm1)" = running ]
	ctl queue del vm1
	run ! gone "$(<"$BATS_TEST_TMPDIR/pid-vm1")"
}

@test "a guest with two pairs has two queues and works" {
	ctl queue add vm1 --mac $M1 --pairs 2 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	start_vm vm1 $M1 2 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
	console vm1 "queues 2"
}

@test "guests on a VLAN of their own tags reach each other" {
	ctl queue add vm1 --mac $M1 --vlan any --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	ctl queue add vm2 --mac $M2 --vlan any --channel "vhost-user:$BATS_TEST_TMPDIR/vm2.sock"
	start_vm vm2 $M2 1 vmq.addr=192.0.2.12/24 vmq.peer=192.0.2.11 vmq.vlan=7
	start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.12 vmq.vlan=7
	wait_until 120 console vm1 "guest: ping ok"
}

@test "a guest reboots and goes on, with packed rings" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	NIC=,packed=on start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254 \
		vmq.then=reboot
	wait_until 180 console vm1 "guest: ping ok" 2
}

@test "a guest with packed rings pings, outlives the service, gets and sends a file" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	mkfifo "$BATS_TEST_TMPDIR/hold"
	in_ns wire busybox nc -l -p 9000 >"$BATS_TEST_TMPDIR/data" <>"$BATS_TEST_TMPDIR/hold" 3>&- &
	remember $! nc
	NIC=,packed=on SOCKET=reconnect=1 start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 \
		vmq.peer=192.0.2.254 vmq.recv=9001 vmq.send=9000
	wait_until 120 console vm1 "guest: ready"
	console vm1 "guest: ping ok"
	# QEMU knows nothing of how far a packed ring was served
	stop_load KILL || :
	start_load --tags frame
	wait_until 30 in_ns wire ping -q -c 1 -W 1 192.0.2.11
	head -c 500000 /dev/urandom >"$BATS_TEST_TMPDIR/file"
	in_ns wire timeout 120 busybox nc 192.0.2.11 9001 <"$BATS_TEST_TMPDIR/file"
	wait_until 120 console vm1 \
		"guest: received $(sha1sum <"$BATS_TEST_TMPDIR/file" | cut -d ' ' -f 1)"
	wait_until 120 console vm1 "guest: sent"
	wait_until 10 gone "$(<"$BATS_TEST_TMPDIR/pid-nc")"
	console vm1 "guest: sent $(sha1sum <"$BATS_TEST_TMPDIR/data" | cut -d ' ' -f 1)"
}

@test "a guest panics and comes back" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254 vmq.then=panic
	wait_until 180 console vm1 "guest: ping ok" 2
}

@test "the service connects when QEMU listens" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock,client"
	SOCKET=server=on,wait=off start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
}

@test "an MTU beyond what the device carries is refused" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	MTU=9000 start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 40 grep -i mtu "$BATS_TEST_TMPDIR/vm1.err"
}

@test "the service is killed and started again under a running guest" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	SOCKET=reconnect=1 start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
	stop_load KILL || :
	start_load --tags frame
	wait_until 10 in_ns wire ping -q -c 1 -W 1 192.0.2.11
	console vm1 "guest: ping ok"
}

@test "QEMU is killed: the queue stays, and a new one can use it" {
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
	start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
	reap vm1 KILL || :
	[ "$(queue_state vm1)" = running ]
	start_vm vm1 $M1 1 vmq.addr=192.0.2.11/24 vmq.peer=192.0.2.254
	wait_until 120 console vm1 "guest: ping ok"
}
