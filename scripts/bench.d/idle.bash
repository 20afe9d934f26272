# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# idle.bash - CPU time and context switches of a service with nothing to do

# Jiffies that the service has used, and how often its threads were switched to.
usage_of()
{
	awk '{ print $14 + $15 }' "/proc/$1/stat"
	awk '/ctxt_switches/ { n += $2 } END { print n }' /proc/"$1"/task/*/status
}

bench_idle()
{
	local n=256 span=5 before after q
	[ -z "$quick" ] || n=8 span=1
	wire_up
	load_up --queues 256
	for ((q = 0; q < n; q++)); do
		queue_add "q$q" "52:54:00:00:$(printf '%02x:%02x' $((q >> 8)) $((q & 255)))" \
			"tap:t$q,netns=vm"
	done
	# Not a wait for something to happen: a span in which nothing may.
	mapfile -t before < <(usage_of $pid)
	sleep $span
	mapfile -t after < <(usage_of $pid)
	wire_down
	# shellcheck disable=SC2016 # jq's variables
	put --argjson n $n --argjson span $span --argjson hz "$(getconf CLK_TCK)" \
		--argjson cpu $((after[0] - before[0])) --argjson switches $((after[1] - before[1])) '
		{bench: "idle", case: "\($n) queues with taps", unit: "wake-ups/s",
		 how: "over \($span) s", pinned: "no", vmq: ($switches / $span),
		 cpu_percent: ($cpu / $hz / $span * 100), peers: {}, ratios: {}, rounds: []}'
}
