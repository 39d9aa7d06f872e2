#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What can be seen on the two uplinks: no counter twice, nothing in the clear, and a jump to a warm
# standby as one request and one answer.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
# shellcheck source=../lib/topology.sh
. "$lib/topology.sh"
# shellcheck source=../lib/tunnel.sh
. "$lib/tunnel.sh"

work=$(mktemp -d)
at_exit rm -rf "$work"
at_exit topo_down
at_exit tunnel_down

# In the router, where an uplink that is deleted or goes down ends as well, but not before.
capture() { # UPLINK
	in_router tcpdump -i "$1" -s 0 -U --immediate-mode -Z root -w "$work/$1.pcap" >"$work/$1.said" 2>&1 &
	wait_for 10 grep -q 'listening on' "$work/$1.said"
}

flush() { in_router pkill -INT tcpdump; wait_for 10 no_tcpdump; }
no_tcpdump() { ! in_router pgrep tcpdump >/dev/null; }

checked() { # ARGUMENTS for capcheck
	"$lib/capcheck" --gateway "$topo_gateway_addr:$tunnel_port" --inner 10.77.0.0/24 "$@" \
		"$work/wifi.pcap" "$work/lte.pcap"
}

traffic() { # SECONDS before, COMMAND…, then as long again
	local before=$1
	shift
	tunnel_stream "$work/stream" -i 5000
	pause "$before"
	"$@"
	wait_for 10 tunnel_is_on lte
	pause "$before"
	kill -TERM "$tunnel_stream" && wait "$tunnel_stream"
}

plan 7
topo_up 2ms && tunnel_prepare "$work"
check "wifi can be captured" capture wifi
check "lte can be captured" capture lte
tunnel_up
is "the tunnel comes up" $? 0
since=$EPOCHREALTIME
traffic 0.5 uplink_dark wifi
flush
check "the traffic moved to lte" tunnel_is_on lte
check "what was sent has the form of PROTOCOL.md, no counter twice" checked
check "a warm jump is a SWITCH with a cookie and its answer, nothing else" checked --warm --control 83,06 --since "$since"
tunnel_down
is "nothing is left of it" $? 0
