#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# For how long nothing gets through, traffic running both ways, a standby being warm.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
# shellcheck source=../lib/topology.sh
. "$lib/topology.sh"
# shellcheck source=../lib/tunnel.sh
. "$lib/tunnel.sh"

rounds=3
delay=8ms
rtt_us_max=20000		# the figures are promised up to this round trip
silent_us_max=250000
removed_lost_max=2
removed_us_beyond_rtt=20000

RANDOM=${JVPN_SEED:=$((${EPOCHREALTIME/./} % 32768))}
echo "# seed $JVPN_SEED (JVPN_SEED=$JVPN_SEED repeats it)"
work=$(mktemp -d)
at_exit rm -rf "$work"
at_exit topo_down
at_exit tunnel_down

up_lost='' up_outage_us='' down_lost='' down_outage_us=''

# sample COMMAND…: an event at a random phase of a 1 ms stream both ways. Sets the four above.
sample() {
	up_lost='' up_outage_us='' down_lost='' down_outage_us=''
	tunnel_stream "$work/stream" || return
	pause "0.3$(printf %05d $((RANDOM % 100000)))"
	kill -USR1 "$tunnel_stream" && "$@"
	pause 0.7
	kill -TERM "$tunnel_stream" && wait "$tunnel_stream"
	eval "$("$lib/udpgaps.py" "$work/stream" 1)"
	echo "# $*: up $up_lost lost, $up_outage_us us; down $down_lost lost, $down_outage_us us"
}

at_most() { # NAME GOT MAX
	if [[ $2 =~ ^[0-9]+$ ]] && (($2 <= $3)); then pass "$1"; else fail "$1" "got $2, at most $3"; fi
}

happened() { # NAME: nothing was measured if nothing was lost
	if ((${up_lost:-0} + ${down_lost:-0})); then pass "$1"; else fail "$1" "no packet was lost"; fi
}

plan $((3 + 6 * rounds))
topo_up $delay && tunnel_prepare "$work" && tunnel_up
is "the tunnel comes up" $? 0
# A path without traffic is measured when there is some.
in_client ping -qc 3 -i 0.2 "$tunnel_gateway" >/dev/null
at_most "the round trip is in the range of the figures" "$(tunnel_rtt_us)" $rtt_us_max
for ((round = 1; round <= rounds; round++)); do
	sample uplink_dark wifi
	happened "$round: a silent uplink is felt"
	at_most "$round: a silent uplink: up is back in $((silent_us_max / 1000)) ms" "$up_outage_us" $silent_us_max
	at_most "$round: a silent uplink: down is back in $((silent_us_max / 1000)) ms" "$down_outage_us" $silent_us_max
	uplink_heal wifi
	wait_for 40 tunnel_is_warm wifi || echo "# wifi is not warm"
	rtt=$(tunnel_rtt_us)
	sample uplink_delete lte
	happened "$round: a removed uplink is felt"
	at_most "$round: a removed uplink: packets lost up" "$up_lost" $removed_lost_max
	at_most "$round: a removed uplink: down is back a round trip and $((removed_us_beyond_rtt / 1000)) ms later" \
		"$down_outage_us" $((rtt + removed_us_beyond_rtt))
	uplink_add lte
	wait_for 40 tunnel_is_warm lte || echo "# lte is not warm"
done
tunnel_down
is "nothing is left of it" $? 0
