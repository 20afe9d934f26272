# shellcheck shell=bash disable=SC2034,SC2154 # scripts/bench reads this file
# SPDX-License-Identifier: GPL-2.0-only
#
# rss.bash - what a queue with several pairs costs a frame, and what it brings
#
# Nanoseconds of the XDP program with one pair and with four, another flow each run,
# against an unconditional redirect. Then frames per second of 64 flows into a tap,
# and thrown away, with two pairs on two CPUs against one pair. A machine with two
# CPUs has none for the generator alone, and so nothing to gain.

# rss_rate PAIRS CHANNEL
rss_rate()
{
	load_up --cpus "$rss_cpus"
	"$ctl" queue add vm --mac $mac --pairs "$1" --channel "$2" >"$tmp/ctl" 2>&1 ||
		die "queue add: $(cat "$tmp/ctl")"
	gen=(--iface wire0 --dst "$mac" --udp 64)
	gen_ns=wire
	if [ "$2" = none ]; then
		rate taken
	else
		ip -n vm link set eth0 up
		rate rx_packets vm eth0
	fi
}

rss_tap_vmq() { rss_rate 2 tap:eth0,netns=vm; }
rss_tap_one() { rss_rate 1 tap:eth0,netns=vm; }
rss_none_vmq() { rss_rate 2 none; }
rss_none_one() { rss_rate 1 none; }

bench_rss()
{
	local rt=("${rt[@]}") pinned rss_cpus
	program_cost rss --rss
	# A worker on the generator's CPU would wait for it if both were real-time.
	case $(nproc) in
	1) return ;;
	2) rss_cpus=1,0 rt=() pinned="generator and one worker share CPU 0" ;;
	*) rss_cpus=1,2 pinned="generator and NAPI on CPU 0, workers on CPUs 1 and 2" ;;
	esac
	compare rss "2 pairs, tap" frames/s rss_tap - vmq one
	compare rss "2 pairs, thrown away" frames/s rss_none - vmq one
}
