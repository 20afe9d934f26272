# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# classify.bash - nanoseconds of the XDP program, a frame
#
# Against an unconditional redirect.

bench_classify()
{
	# It takes turns and medians by itself; only the shape is made the same.
	"$prog/classify-cost" --json $quick >"$tmp/cost" || die "classify-cost failed"
	for c in $(jq -r 'to_entries[] | select(.value | type == "object") | .key' "$tmp/cost"); do
		[ "$c" != redirect ] || continue
		# shellcheck disable=SC2016 # jq's variables
		put --slurpfile cost "$tmp/cost" --arg case "$c" '$cost[0] as $cost
			| {bench: "classify", case: $case, unit: "ns/frame",
			   how: "median of 5, another filter each run", pinned: "one CPU",
			   vmq: $cost[$case].ns, peers: {redirect: $cost.redirect.ns},
			   ratios: {redirect: $cost[$case].ratio}, rounds: []}'
	done
}
