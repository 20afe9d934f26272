#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# nic-hash.sh - the hash of a NIC in the place of ours:
# `scripts/vm --kernel 6.12 --nic virtio-rss tests/qemu/nic-hash.sh [PACKETS]`
#
# QEMU's virtio-net computes a real Toeplitz, and virtio_net tells it to XDP since 6.10.
# First each hash is compared with the definition (prog/nic-hash), then the service's
# decisions are.
. "$(dirname "$0")/nic.bash"

nic_begin virtio-rss
# Before a program is there; with rxhash off the driver says so for each frame.
ethtool -K $NIC rxhash on
ip link set $NIC promisc on
"$VMQ_BUILD/prog/nic-hash" --iface $NIC --wire nic1 --netns wire --count "${1:-200}" |
	tee /run/nic-hash.tap | sed 's/^\(not \)\?ok /#   &/; s/^1\.\./# &/'
check "hash by hash, the NIC's is the definition's" \
	eval '! grep "^not ok" /run/nic-hash.tap && grep -q "^1\.\." /run/nic-hash.tap'
ip link set $NIC promisc off

rss_of()
{
	ctl rss show vm1 -j | jq -c ".rss | $1"
}

# hash_is WORD [WHY]
hash_is()
{
	ctl rss show vm1 -j | jq -c .rss.effective | tee /dev/stderr |
		jq -e --arg word "$1" --arg why "${2:-}" \
			'.hash == $word and (.hash_why // "" | contains($why))'
}

# entries_of ARG...: what each entry gains from 320 frames
entries_of()
{
	local before
	before=$(rss_of .frames.entries)
	arrive vm1 320 --dst $M1 "$@" >&2 && jq -nc --argjson a "$before" \
		--argjson b "$(rss_of .frames.entries)" '[range(128) | $b[.] - $a[.]]'
}

# hashed N: so many have been, at least
hashed()
{
	[ "$(rss_of '.frames.entries | add')" -ge "$1" ]
}

# by_nic all|none ARG...: of 320 frames. After a take-over the first may go to the host.
by_nic()
{
	local what=$1 before after
	shift
	before=$(rss_of '.frames | [.nic, (.entries | add)]')
	send --count 320 --rate 500 --dst $M1 "$@" >/dev/null
	wait_until hashed $(($(jq .[1] <<<"$before") + 300)) || return
	after=$(rss_of '.frames | [.nic, (.entries | add)]')
	echo "nic and all: $before, then $after"
	jq -ne --argjson a "$before" --argjson b "$after" --arg what "$what" \
		'$b[0] - $a[0] == if $what == "all" then $b[1] - $a[1] else 0 end'
}

# same_entries ARG...: 32 flows go where they went by software ($by_software)
same_entries()
{
	local now
	now=$(entries_of "$@") && echo "$by_software and $now" && [ "$now" = "$by_software" ]
}

check "the service starts, bound to the NIC" start_load --cpus 0-1 --hash nic
check "it asks the NIC" adapter_is hash nic
check "a queue with two pairs is added" add_vm vm1 --mac $M1 --pairs 2
check "its key is another: software" hash_is software "--key nic"
check "no frame by the NIC" by_nic none --udp 32
check "it takes the NIC's key" ctl rss set vm1 --key nic
check "the NIC hashes" hash_is nic
check "every frame" by_nic all --udp 32

# Where do 32 flows go by software, with the same key?
ethtool -K $NIC rxhash off
check "hashing goes off behind our back: noticed" hash_is software "rxhash on"
by_software=$(entries_of --udp 32)
check "software hashes" by_nic none --udp 32
ethtool -K $NIC rxhash on
check "and on again" hash_is nic
check "the flows go where software sent them" same_entries --udp 32

key=$(rss_of .key | tr -d '"')
colons()
{
	sed 's/../&:/g; s/:$//' <<<"$1"
}
check "another key on the NIC" ethtool -X $NIC hkey "$(colons "${key:2}aa")"
check "is noticed: software" hash_is software "--key nic"
check "the flows stay where they are" same_entries --udp 32
check "by software" by_nic none --udp 32
check "the queue's key on the NIC" ethtool -X $NIC hkey "$(colons "$key")"
check "the NIC hashes again" hash_is nic
check "every frame, where it went before" same_entries --udp 32

# Another type: what the NIC makes of UDP is not what the queue wants
check "addresses only" ctl rss set vm1 --types ipv4,ipv6
check "the NIC has hashed ports: software" by_nic none --udp 32
check "all types" ctl rss set vm1 --types all
if ethtool -N $NIC rx-flow-hash udp4 sd 2>/run/check; then
	check "UDP by addresses on the NIC: not for UDP" \
		eval '[ "$(rss_of ".effective | [.hash, (.nic_types | index(\"udp4\"))]")" = "[\"nic\",null]" ]'
	check "software hashes UDP" same_entries --udp 32
	ethtool -N $NIC rx-flow-hash udp4 sdfn
else
	skip "UDP by addresses on the NIC" "the driver does not do that"
fi
check "queue 0 gets no RSS of its own: the program is bound" not ctl rss set host --on
stop_load KILL 2>/dev/null
check "the next service takes over" start_load --cpus 0-1 --hash nic
check "with the NIC's hash" hash_is nic
check "every frame" by_nic all --udp 32
stop_load KILL 2>/dev/null
check "another without it" start_load --cpus 0-1
check "none by the NIC" by_nic none --udp 32
check "the same flows" same_entries --udp 32
check "the service ends" stop_load
check "no XDP program is left" no_xdp
nic_end
