#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# igb.sh - vmq on an Intel 82576: `scripts/vm --nic igb tests/qemu/igb.sh`
#
# It restarts its link when an XDP program comes or goes, extracts VLAN tags,
# filters VLANs without a switch for it, and makes new interrupts when the number of
# its queues changes.
. "$(dirname "$0")/nic.bash"

nic_begin igb
ethtool -L $NIC combined 2
wait_until has_carrier
check "VLAN tags are extracted by the NIC" feature_is rx-vlan-offload on
check "and VLANs filtered" feature_is rx-vlan-filter on
# Up to four queues it has an interrupt for each direction.
was=$(irqs -rx- | awk '{ print $1, $3 }')

check "the service starts" start_load --cpus 0-1
check "in native mode" adapter_is mode native
check "on two queues" adapter_is rx_queues 2
check "tags are in the frame" adapter_is tags frame
check "the link was waited for" has_carrier
check "the loss of the link is said" said "is back after"
check "VLAN extraction is off" feature_is rx-vlan-offload off
check "interrupts are placed" adapter_is placement irq
check "each on its CPU" irqs_placed -rx- 2 2
check_filters

check "fewer queues than have sockets are refused" not ethtool -L $NIC combined 1
check "more queues while it runs" ethtool -L $NIC combined 4
check "have sockets" wait_until adapter_is rx_queues 4
check "and their interrupts on their CPUs" wait_until irqs_placed -rx- 4 2
check "the link comes back" wait_until has_carrier
received()
{
	ethtool -S $NIC | awk "/ rx_queue_$1_packets:/ { print \$2 }"
}
received_more()
{
	[ $(($(received "$1") - $2)) -ge "$3" ]
}
for q in 0 1 2 3; do
	weights=(0 0 0 0)
	weights[q]=1
	if ethtool -X $NIC weight "${weights[@]}" 2>/dev/null; then
		before=$(received $q)
		check "frames arrive by RX queue $q" arrive vm1 40 --dst $M1 --udp 8
		check "which is the one that counted them" received_more $q "$before" 40
	else
		skip "frames arrive by RX queue $q" "this kernel and ethtool set no indirection table"
	fi
done
check_life --cpus 0-1
check "VLAN extraction is on again" feature_is rx-vlan-offload on

# What was switched off is put back under the name that the interface has by then.
check "the service starts once more" start_load --cpus 0-1
check "VLAN extraction is off again" feature_is rx-vlan-offload off
ip link set $NIC name other0
check "and the interface gets another name" wait_until adapter_is interface other0
check "the service ends" stop_load
NIC=other0
check "VLAN extraction is on again under that name" feature_is rx-vlan-offload on
ip link set $NIC name nic0
NIC=nic0
ethtool -X $NIC default
ethtool -L $NIC combined 2
check "interrupts are where they were" irqs_are -rx- "$was"
nic_end
