#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# Another client of vhost-user than QEMU: DPDK's net_virtio_user, a program that is a
# guest by itself. Debian's dpdk-dev has it, which scripts/check installs if it can.

load lib/vmq

M1=52:54:00:00:00:01

setup()
{
	command -v dpdk-testpmd >/dev/null ||
		skip "no dpdk-testpmd (package dpdk-dev)${VMQ_NO_DPDK:+: ${VMQ_NO_DPDK##*$'\n'}}"
	make_wire 2
	start_load --tags frame
	ctl queue add vm1 --mac $M1 --channel "vhost-user:$BATS_TEST_TMPDIR/vm1.sock"
}

# testpmd MODE [WORD...]: as vm1; it forwards when this returns. DEVICE: more options of
# net_virtio_user, from a comma on.
testpmd()
{
	local mode=$1
	shift
	# its end is a line on its input
	mkfifo "$BATS_TEST_TMPDIR/in"
	stdbuf -oL dpdk-testpmd -l 0,1 --no-huge --no-pci --no-telemetry -m 256 \
		--vdev "net_virtio_user0,path=$BATS_TEST_TMPDIR/vm1.sock,mac=$M1,queues=1${DEVICE-}" -- \
		"--forward-mode=$mode" --auto-start --total-num-mbufs=4096 "$@" \
		<>"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	remember $! testpmd
	wait_until 30 grep -q "Press enter" "$BATS_TEST_TMPDIR/out" || {
		cat "$BATS_TEST_TMPDIR/out"
		return 1
	}
}

testpmd_ends()
{
	echo >"$BATS_TEST_TMPDIR/in"
	wait_until 10 gone "$(<"$BATS_TEST_TMPDIR/pid-testpmd")"
}

# counted RX|TX N: what testpmd says at its end
counted()
{
	grep "$1-packets: $2 " "$BATS_TEST_TMPDIR/out"
}

# all_come_back: a testpmd that swaps addresses returns 500 frames, and ends
all_come_back()
{
	start_recv back wire wire0 --count 500 --timeout 20 --dst $WIRE_MAC --seq
	send_frames --src $WIRE_MAC --dst $M1 --count 500 --rate 2000
	finish_recv back
	testpmd_ends
	counted RX 500
	counted TX 500
	[ "$(stat_of vm1 delivered)" -eq 500 ]
	[ "$(stat_of vm1 tx_wire)" -eq 500 ]
}

@test "DPDK's net_virtio_user gets every frame and sends it back" {
	testpmd macswap
	all_come_back
	[ "$(stat_of vm1 tx_frames)" -eq 500 ]
	wait_until 5 at_rest vm1
}

@test "DPDK's net_virtio_user has packed rings, and comes again" {
	local n
	DEVICE=,packed_vq=1,mrg_rxbuf=1 testpmd macswap
	all_come_back
	rm "$BATS_TEST_TMPDIR/in"
	n=$(stat_of vm1 tx_wire)
	# two segments: chains, or tables
	DEVICE=,packed_vq=1 testpmd txonly --txpkts=64,64
	wait_until 20 stat_reaches vm1 tx_wire $((n + 5000))
	testpmd_ends
	[ "$(queue_state vm1)" = running ]
}

@test "DPDK's net_virtio_user sends as fast as it can, and comes again" {
	testpmd txonly
	wait_until 20 stat_reaches vm1 tx_wire 5000
	testpmd_ends
	rm "$BATS_TEST_TMPDIR/in"
	[ "$(queue_state vm1)" = running ]
	n=$(stat_of vm1 tx_wire)
	testpmd txonly
	wait_until 20 stat_reaches vm1 tx_wire $((n + 5000))
	testpmd_ends
}
