# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# classify.bash - nanoseconds of the XDP program, a frame
#
# Against an unconditional redirect.

bench_classify()
{
	program_cost classify
}
