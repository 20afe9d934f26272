#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# 900-bench.bats - the benches run; no figure is judged

bats_require_minimum_version 1.5.0

# Every line an object with the keys that README promises, and every bench in it.
@test "scripts/bench --quick gives a figure of each kind" {
	local all
	all=$(basename -as .bash scripts/bench.d/*.bash | paste -sd' ')
	run --separate-stderr timeout --kill-after=10 300 \
		scripts/isolate scripts/bench --inside --quick --json
	echo "${stderr:-}"
	[ "$status" -eq 0 ]
	jq -es 'all(has("bench") and has("case") and has("unit") and has("vmq") and
		has("peers") and has("ratios") and has("rounds") and (.vmq | type == "number")) and
		([.[].bench] | unique | join(" ")) == $all' --arg all "$all" <<<"$output"
}
