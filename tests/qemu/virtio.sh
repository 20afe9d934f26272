#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# virtio.sh - vmq on virtio-net with several queue pairs:
# `scripts/vm --nic virtio tests/qemu/virtio.sh`
#
# With an XDP program virtio-net takes a transmit queue for each CPU, and the receive
# queues that go with them: there are more afterwards than before. While the program is
# there it does not let ethtool change the number.
. "$(dirname "$0")/nic.bash"

nic_begin virtio
cpus=$(nproc)
check "VLANs are filtered" feature_is rx-vlan-filter on
joins=$(ethtool -k $NIC | grep -E '^(large-receive-offload|rx-gro-hw):')
was=$(irqs -input. | awk '{ print $1, $3 }')
rx_queues_are()
{
	[ "$(find /sys/class/net/$NIC/queues -name 'rx-*' | wc -l)" = "$1" ]
}
check "there is a queue for each CPU" rx_queues_are "$cpus"

check "the service starts" start_load --cpus 0-1
check "in native mode" adapter_is mode native
check "on the queues that came with the program, too" adapter_is rx_queues $((2 * cpus))
check "there is room for all" adapter_is stride $((2 * cpus))
check "C-4 the NIC joins no frames" not eval "ethtool -k $NIC | grep -E '^(large-receive-offload|rx-gro-hw): on'"
check "tags are in the frame" adapter_is tags frame
check "interrupts are placed" adapter_is placement irq
check "each on its CPU" irqs_placed -input. $((2 * cpus)) 2
check_filters

check "another number of queues is refused" not ethtool -L $NIC combined 1
# interrupted_more COUNTS: since then two queues or more have had their share
interrupted_more()
{
	interrupts -input. | paste - <(echo "$1") |
		awk '{ print } $1 - $2 >= 5 { n++ } END { exit n < 2 }'
}
before=$(interrupts -input.)
check "64 flows arrive" arrive vm1 640 --dst $M1 --udp 64
check "by several queues" interrupted_more "$before"
check_life --cpus 0-1
check "interrupts are where they were" irqs_are -input. "$was"
check "the queues are as before" rx_queues_are "$cpus"
check "C-4 it joins them again as before" \
	[ "$(ethtool -k $NIC | grep -E '^(large-receive-offload|rx-gro-hw):')" = "$joins" ]
nic_end
