# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A client with two uplinks, a router it has no say over, and a gateway: sourced by tests and the demo.
#
#      client                          router                          gateway
#   wifi 192.0.2.2/24    ---------- wifi 192.0.2.1/24
#                                   gw   203.0.113.1/24  ---------- wan 203.0.113.2/24
#   lte  198.51.100.2/24 ---------- lte  198.51.100.1/24
#
# The client prefers wifi by metric. The delay sits behind the router, so that an uplink which is
# deleted takes none of the packets with it that had already left by it.

topo_client=jv$$-client
topo_router=jv$$-router
topo_gateway=jv$$-gateway
topo_gateway_addr=203.0.113.2
declare -A topo_client_addr=([wifi]=192.0.2.2 [lte]=198.51.100.2)
declare -A topo_router_addr=([wifi]=192.0.2.1 [lte]=198.51.100.1)
declare -A topo_metric=([wifi]=100 [lte]=200)
exec {topo_never}<> <(:)

in_client() { ip netns exec "$topo_client" "$@"; }
in_router() { ip netns exec "$topo_router" "$@"; }
in_gateway() { ip netns exec "$topo_gateway" "$@"; }

# Let SECONDS pass, as traffic needs; never to wait for something that can be asked for.
pause() { read -rt "$1" -u "$topo_never" || :; }

# wait_for SECONDS COMMAND…: until it succeeds; fails when the time is over.
wait_for() {
	local -i deadline=$((${EPOCHREALTIME/./} + $1 * 1000000 * ${JVPN_SLOW:-1}))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < deadline)) || return 1
		pause 0.02
	done
}

# Read PROGRAMs and their libraries, so that their start waits for no file. Where the clock counts
# instructions, it runs on to the next timer while a file is waited for, and deadlines pass unseen.
warm() {
	local program files=()
	for program; do
		program=$(command -v "$program") || return
		mapfile -t -O ${#files[@]} files < <(echo "$program"; ldd "$program" 2>/dev/null | grep -o '/[^ ]*')
	done
	cat "${files[@]}" >/dev/null
}

# topo_up [DELAY]: build it; DELAY is what a packet takes in each direction, as 8ms.
topo_up() {
	local ns
	warm ip tc nft ping bash sysctl lsns || return
	topo_spaces_before=$(topo_spaces)
	for ns in "$topo_client" "$topo_router" "$topo_gateway"; do
		ip netns add "$ns" || return
		ip -n "$ns" link set lo up || return
	done
	in_router sysctl -qw net.ipv4.ip_forward=1 || return
	ip -n "$topo_router" link add gw type veth peer name wan netns "$topo_gateway" || return
	ip -n "$topo_router" addr add 203.0.113.1/24 dev gw || return
	ip -n "$topo_gateway" addr add "$topo_gateway_addr/24" dev wan || return
	ip -n "$topo_router" link set gw up || return
	ip -n "$topo_gateway" link set wan up || return
	ip -n "$topo_gateway" route add default via 203.0.113.1 || return
	if [ -n "${1:-}" ]; then
		tc -n "$topo_router" qdisc add dev gw root netem delay "$1" limit 10000 || return
		tc -n "$topo_gateway" qdisc add dev wan root netem delay "$1" limit 10000 || return
	fi
	uplink_add wifi || return
	uplink_add lte || return
	in_router nft -f - <<-X || return
		table inet dark {
			chain wifi { }
			chain lte { }
			chain forward {
				type filter hook forward priority 0;
				jump wifi
				jump lte
			}
		}
	X
	wait_for 5 in_client ping -qc 1 -W 1 -I wifi "$topo_gateway_addr" >/dev/null &&
		wait_for 5 in_client ping -qc 1 -W 1 -I lte "$topo_gateway_addr" >/dev/null
}

# What can happen to an uplink. Each takes its name: wifi or lte.
uplink_add() {
	ip -n "$topo_router" link add "$1" type veth peer name "$1" netns "$topo_client" &&
		ip -n "$topo_router" addr add "${topo_router_addr[$1]}/24" dev "$1" &&
		ip -n "$topo_router" link set "$1" up &&
		uplink_address "$1" &&
		ip -n "$topo_client" link set "$1" up &&
		uplink_route "$1"
}

# The link stays up and nothing gets through: the client is told by nobody.
uplink_dark() { in_router nft "add rule inet dark $1 iifname $1 drop; add rule inet dark $1 oifname $1 drop"; }
uplink_heal() { in_router nft flush chain inet dark "$1"; }

uplink_delete() { ip -n "$topo_client" link del "$1"; }
uplink_down() { ip -n "$topo_client" link set "$1" down; }
uplink_up() { ip -n "$topo_client" link set "$1" up && uplink_route "$1"; }
uplink_no_carrier() { ip -n "$topo_router" link set "$1" down; }
uplink_carrier() { ip -n "$topo_router" link set "$1" up; }
uplink_no_address() { ip -n "$topo_client" addr del "${topo_client_addr[$1]}/24" dev "$1"; }
uplink_address() { ip -n "$topo_client" addr add "${topo_client_addr[$1]}/24" dev "$1"; }
uplink_route() { ip -n "$topo_client" route replace default via "${topo_router_addr[$1]}" dev "$1" metric "${topo_metric[$1]}"; }

topo_names() { ip netns list | cut -d' ' -f1 | grep -x "jv$$-.*"; }
topo_spaces() { lsns -nt net -o NS | wc -l; }
# shellcheck disable=SC2317 # run by wait_for
topo_gone() { [ -z "$(topo_names)" ] && (($(topo_spaces) <= topo_spaces_before)); }

# Take it down with every process in it, and prove that nothing is left. Says what is.
topo_down() {
	local ns pids
	for ns in $(topo_names); do
		pids=$(ip netns pids "$ns")
		# shellcheck disable=SC2086 # a list
		[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
		ip netns del "$ns"
	done
	[ -n "${topo_spaces_before:-}" ] || return 0
	wait_for 10 topo_gone && return
	echo "left behind: $(topo_names) $(lsns -nt net -o NS,PID,COMMAND)" >&2
	return 1
}
