# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# hosts.bash - two hosts, joined by a bridge; `load lib/hosts` behind lib/vmq
#
# Host a is vmq0 here, host b is vmq1 in namespace `b`; each has a vmq-load with a
# queue vm1 for $MAC. The other ends of both are in namespace `wire`, in a bridge
# that has the address $PEER.

MAC=52:54:00:00:00:01
PEER=192.0.2.254

# make_bridge: namespace `wire` with the bridge that joins hosts, and the peer's address.
# A bridge that snoops joins a group of its own and says so when it likes (IGMP), to guests too.
make_bridge()
{
	[ -e /run/netns/wire ] || ip netns add wire
	ip -n wire link add br0 address 02:00:00:00:00:01 type bridge mcast_snooping 0
	ip -n wire addr add $PEER/24 dev br0
	quiet br0 wire
}

# vmq_hosts [ARG...]: both hosts, b's service with ARGs; queue vm1 of each has its socket at
# $BATS_TEST_TMPDIR/HOST.sock
vmq_hosts()
{
	make_wire 1
	make_bridge
	ip netns add b
	ip link add vmq1 netns b type veth peer name wire1 netns wire
	quiet vmq1 b
	quiet wire1 wire
	ip -n wire link set wire0 master br0
	ip -n wire link set wire1 master br0
	start_load --tags frame
	# `ip netns exec` gives it a /sys of its own, without a BPF file system.
	# shellcheck disable=SC2016
	ip netns exec b sh -c 'mount -t bpf bpf /sys/fs/bpf && exec "$@"' load "$VMQ_BUILD/vmq-load" vmq1 \
		--tags frame "$@" >"$BATS_TEST_TMPDIR/load-b.log" 2>&1 </dev/null 3>&- &
	remember $! loadb
	wait_until 10 ctl -i vmq1 show
	on a queue add vm1 --mac $MAC --channel "vhost-user:$BATS_TEST_TMPDIR/a.sock"
	on b queue add vm1 --mac $MAC --channel "vhost-user:$BATS_TEST_TMPDIR/b.sock"
}

# on HOST ARG...: vmqctl there
on()
{
	local name=vmq0
	[ "$1" = a ] || name=vmq1
	shift
	ctl -i $name "$@"
}

# all_taken HOST: all that came to its queue was delivered, but for what found no room: a
# guest that did not get the CPU in time
all_taken()
{
	local line
	line=$(on "$1" stats -j | jq -c '.queues[] | select(.name == "vm1") | .stats')
	echo "$1: $line"
	jq -e '.in_flight == 0 and .matched > 0 and
		.matched == .delivered + .dropped.ring_full + .dropped.channel_full' \
		<<<"$line" >/dev/null
}
