#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demonstration, in a guest of its own or on any machine with the module loaded: a tunnel over
# two uplinks, three things that happen to them, and the same three with WireGuard.
set -uo pipefail
demo=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$demo/../.." && pwd)
. "$top/selftests/lib/topology.sh"
. "$top/selftests/lib/tunnel.sh"
. "$top/selftests/lib/wireguard.sh"

delay_ms=8			# each way
rate=1000000			# bytes per second of the transfer
transfer=8000000		# bytes: outlasts the events

fail() { echo "demo: $*" >&2; exit 1; }

# All that runs while time is measured is in memory before it starts.
state=$(mktemp -d /tmp/jvpn-demo.XXXXXX) || exit
trap 'tunnel_down; topo_down; rm -rf "$state"' EXIT
trap 'exit 130' INT TERM
cp "$top/build/selftests/tcpsum" "$state" || fail "not built: make"
tunnel_prepare "$state" || fail "not built: make"

# three_events NAME CLIENT GATEWAY IN-USE…: traffic between the two inner addresses, and what happens.
# IN-USE is a command that prints the uplink in use.
three_events() {
	local name=$1 client=$2 gateway=$3 stream tcp
	shift 3
	"$state/udpstream" -o "$state/$name.stream" "$topo_client" "$client" "$topo_gateway" "$gateway" 7001 &
	stream=$!
	wait_for 60 [ -e "$state/$name.stream" ] || return
	"$state/tcpsum" -n $transfer -r $rate -x 7 -o "$state/$name.tcp" "$topo_gateway" "$gateway" \
		"$topo_client" "$client" 7002 &
	tcp=$!
	pause 1
	kill -USR1 $stream && uplink_dark wifi && pause 3
	kill -USR1 $stream && uplink_heal wifi && pause 2
	"$@" >"$state/$name.removed"
	kill -USR1 $stream && uplink_delete "$(cat "$state/$name.removed")" && pause 2
	kill -USR1 $stream && kill -TERM $stream
	wait $stream $tcp
}

sessions() { # before|after
	tunnel_session client >"$state/session.client.$1"
	tunnel_session gateway >"$state/session.gateway.$1"
}

warm "$state/tcpsum" python3 wg
modprobe -q wireguard || fail "no WireGuard in this kernel to compare with"
topo_up ${delay_ms}ms || fail "cannot build the namespaces"
tunnel_up || fail "the tunnel does not come up"
sessions before
three_events jvpn "$tunnel_client" "$tunnel_gateway" tunnel_transport
sessions after
tunnel_down || fail "the tunnel does not come down"
topo_down || fail "the namespaces do not go"

topo_up ${delay_ms}ms || fail "cannot build the namespaces"
wireguard_up "$state" || fail "WireGuard does not come up"
three_events wireguard "$wireguard_client" "$wireguard_gateway" echo wifi
topo_down || fail "the namespaces do not go"

echo "$((2 * delay_ms)) ms" >"$state/rtt"
python3 "$demo/report" "$state"
