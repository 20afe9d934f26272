# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# latency.bash - microseconds of a ping to a guest behind a tap
#
# Pings that are 1 ms apart (idle), each sent when the last one has come back, by a
# sender that does not sleep (busy), and 1 ms apart with some 200,000 other frames per
# second (loaded). As vmq comes; always sleeping (sleep); always sleeping, on the CPU
# that receives, the sender's (near); polling through gaps of 100 ms (poll); and a
# bridge with a veth. Each contender prints p50, p99 and p99.9.

pings=1000
gap=0.001
noise=			# one frame in so many of what the generator can do; empty: none

ping_pong()
{
	local noise_pid=
	ip -n wire addr add 192.0.2.1/24 dev wire0
	ip -n vm addr add 192.0.2.2/24 dev eth0
	within 5 ip netns exec wire ping -c 1 -W 1 192.0.2.2 || die "no ping"
	if [ -n "$noise" ]; then
		ip netns exec wire "$prog/live-gen" --cpu $gen_cpu --iface wire0 --dst $mac \
			--one-in "$noise" --seconds 60 >/dev/null &
		noise_pid=$!
	fi
	ip netns exec wire "${rt[@]}" taskset -c $gen_cpu ping -c "$pings" -i "$gap" 192.0.2.2 |
		sed -n 's/.*time=\([0-9.]*\) ms/\1/p' | sort -n | awk '{ v[NR] = $1 * 1000 }
		function at(p) { return v[int((NR - 1) * p) + 1] }
		END { if (!NR) exit 1; print at(.5), at(.99), at(.999) }'
	if [ -n "$noise_pid" ]; then
		kill $noise_pid
		wait $noise_pid || :	# 143 if the kill came before its handler
	fi
}

latency_vmq() { guest_up_vmq; ping_pong; }
latency_sleep() { guest_up_vmq --poll-us 0; ping_pong; }
latency_near() { local use_cpu=$gen_cpu; latency_sleep; }
latency_poll() { guest_up_vmq --poll-us 100000; ping_pong; }
latency_bridge() { guest_up_bridge; ping_pong; }

bench_latency()
{
	[ -z "$quick" ] || pings=50
	for case in idle busy loaded; do
		gap=0.001 noise=
		[ $case != busy ] || gap=0
		[ $case != loaded ] || noise=32
		compare latency $case us latency "p50 p99 p99.9" vmq sleep near poll bridge
	done
}
