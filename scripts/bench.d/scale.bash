# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# scale.bash - frames per second and memory as queues and RX queues grow

# More queues, then more RX queues, against one of each in the same turn.
rxqs=1

scale_of()
{
	gen=(--iface wire0 --dst "52:54:00:00:00:00+$1")
	gen_ns=wire
	rate_of "$prog/rx-path" --iface $iface --queues "$1" --rxqs "$2" --ring 64 \
		--cpus $use_cpu --poll-us 50 >"$tmp/scale"
	echo "$(cat "$tmp/scale") $memory"
}

scale_vmq() { scale_of "$queues" "$rxqs"; }
scale_one() { scale_of 1 1; }

bench_scale()
{
	local counts=(4 16 64 256 1024) rx_counts=(2 4 8)
	[ -z "$quick" ] || counts=(16) rx_counts=(2)
	rxqs=1
	for queues in "${counts[@]}"; do
		compare scale "$queues queues:" "frames/s, KiB" scale "rate memory" vmq one
	done
	queues=16
	for rxqs in "${rx_counts[@]}"; do
		wire_queues=$rxqs
		compare scale "$queues queues, $rxqs RX queues:" "frames/s, KiB" scale \
			"rate memory" vmq one
	done
	wire_queues=2
}
