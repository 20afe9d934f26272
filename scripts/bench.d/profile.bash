# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# profile.bash - where a frame's time goes, by perf, as queues grow
#
# The data path alone, as in `scale`. `shares` are the functions that the CPU was found
# in: of the generator and the kernel's receive work, which its CPU does as well, and of
# the worker. Nanoseconds per frame are those of one frame in all, at the rate that gets
# through; perf takes some of it. Without perf (package linux-perf) there is that only.

# shares_of FILE COMMS: the functions as an object, most first
shares_of()
{
	[ -n "$perf" ] || { echo '{}'; return; }
	perf report -i "$1" --comm "$2" --percentage relative --no-children -g none --sort symbol \
		--stdio 2>/dev/null |
		awk '/^ *[0-9.]+%/ { sub("%", "", $1); sub("^bpf_prog_[0-9a-f]*_", "XDP program ", $3)
			print $1, $3 }' |
		jq -Rn '[inputs | capture("^(?<value>[0-9.]+) (?<key>.*)$") | .value |= tonumber]
			| .[:10] | from_entries'
}

# profile_of QUEUES
profile_of()
{
	local fps
	wire_up
	gen=(--iface wire0 --dst "52:54:00:00:00:00+$1")
	gen_ns=wire
	[ -z "$perf" ] || watch=("${rt[@]/10/20}" perf record -q -a -e cpu-clock -F 4000
		-o "$tmp/perf" --)
	fps=$(rate_of "$prog/rx-path" --iface $iface --queues "$1" --rxqs 1 --ring 64 \
		--cpus $use_cpu --poll-us 50)
	watch=()
	wire_down
	# shellcheck disable=SC2016 # jq's variables
	profile='{bench: "profile", case: "\($queues) queues, \($side)", unit: "ns/frame",
		how: "one run of \($seconds) s", pinned: $pinned, vmq: (1e10 / $fps | round / 10),
		peers: {}, ratios: {}, shares: $shares, rounds: [],
		skipped: (if $perf == "" then {perf: "not there (package linux-perf)"} else {} end)}'
	for side in "kernel live-gen,ksoftirqd/$gen_cpu" "worker vmq-cpu$use_cpu"; do
		put --arg queues "$1" --arg side "${side% *}" --arg seconds "$seconds" --arg perf "$perf" \
			--arg pinned "$pinned" --argjson fps "$fps" \
			--argjson shares "$(shares_of "$tmp/perf" "${side#* }")" "$profile"
	done
}

bench_profile()
{
	local counts=(1 16 256 1024) perf side profile queues
	[ -z "$quick" ] || counts=(16)
	perf=$(command -v perf)
	for queues in "${counts[@]}"; do
		profile_of "$queues"
	done
}
