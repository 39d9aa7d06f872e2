#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Client and gateway from configuration files, everything routed into the tunnel: it does not loop, what
# is near stays near, and nothing of it is there afterwards.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
lib=$(dirname "$(realpath "$0")")/../lib
. "$lib/ktap.sh"
# shellcheck source=../lib/topology.sh
. "$lib/topology.sh"
build=$(realpath "$lib/../../build")

work=$(mktemp -d)
at_exit rm -rf "$work"
at_exit topo_down
declare -A daemon=()

key() { (umask 077 && "$build/jvpn-ip" key gen >"$work/$1.key") && "$build/jvpn-ip" key pub <"$work/$1.key" >"$work/$1.pub"; }

configure() {
	key gateway && key client || return
	"$build/jvpn-ip" key gen >"$work/psk" && chmod 600 "$work/psk" || return
	cat >"$work/gateway.conf" <<-X
		interface jvpn0 {
			private-key = "file:$work/gateway.key"
			listen = "$topo_gateway_addr:443"	# only the configuration can have such a port
			addresses = { 10.77.0.1/24, "fd77::1/64" }
		}
		peer phone {
			public-key = "$(<"$work/client.pub")"
			preshared = "file:$work/psk"
			allowed-ips = { 10.77.0.2/32, "fd77::2/128" }
		}
	X
	cat >"$work/client.conf" <<-X
		interface jvpn0 { private-key = "file:$work/client.key" mtu = 1380 fwmark = 0x77 table = 777 }
		transport wifi { }
		transport lte { preference = 50 metered = true }
		peer home {
			public-key = "$(<"$work/gateway.pub")"
			preshared = "file:$work/psk"
			endpoint = { "$topo_gateway_addr:443" }
			allowed-ips = { 0.0.0.0/0, "::/0" }
			policy = mobile
		}
	X
}

tool() { "in_$1" "$build/jvpn-ip" -S "$work/$1.sock" "${@:2}"; } # client|gateway WORDS
# Not within check: what it remembers would be lost.
start() { # client|gateway
	local space=topo_$1
	ip netns exec "${!space}" "$build/jvpnd" --config "$work/$1.conf" --control-socket "$work/$1.sock" --state-dir "$work/$1.state" \
		--audit "$work/$1.audit" >>"$work/$1.log" 2>&1 &
	daemon[$1]=$!
	wait_for 10 tool "$1" daemon status >/dev/null 2>&1
}
stop() { # SIGNAL client|gateway: sets status
	kill "-$1" "${daemon[$2]}"
	wait "${daemon[$2]}" 2>/dev/null
	status=$?
}
attached() { tool client -br session show | grep -q ATTACHED; }
trouble() { cat "$work"/*.log; tool client -d session show; tool client stats drops; tool gateway stats drops; return 1; }

# way WORDS…: the device of the route that the client takes there.
way() { ip -n "$topo_client" route get "$@" | sed -n 's/.* dev \([^ ]*\).*/\1/p'; }
rules() { ip -n "$topo_client" -"$1" rule show | sed -n 's/^\(3250[0-9]\):.*\(lookup.*\)/\1 \2/p' | sed 's/ *$//'; } # 4|6
wanted_rules='32500 lookup main suppress_prefixlength 0
32501 lookup 777'
near=$(mktemp -u near-XXXX)

plan 19
topo_up 1ms && configure
ip -n "$topo_gateway" addr add 198.18.0.1/32 dev lo && ip -n "$topo_gateway" addr add 2001:db8:1::1/128 dev lo
ip -n "$topo_client" link add "$near" type dummy && ip -n "$topo_client" link set "$near" up &&
	ip -n "$topo_client" addr add 198.18.64.1/24 dev "$near"
settled() { ! ip -n "$topo_client" addr show tentative | grep -q .; }
wait_for 10 settled
before=$(ip -n "$topo_client" addr show; ip -n "$topo_client" route show table all; ip -n "$topo_client" rule; ip -n "$topo_client" -6 rule)

start gateway && start client
is "both start" $? 0
check "the client attaches" eval 'wait_for 20 attached || trouble'
check "what lies behind the gateway is reached, by IPv4" in_client ping -qc 3 -i 0.2 -W 2 198.18.0.1
check "and by IPv6" in_client ping -qc 3 -i 0.2 -W 2 2001:db8:1::1
is "it goes into the tunnel" "$(way 198.18.0.1) $(way 2001:db8:1::1)" "jvpn0 jvpn0"
is "outer packets do not" "$(way "$topo_gateway_addr" mark 0x77)" wifi
is "a network of the client's own does not" "$(way 198.18.64.9)" "$near"
is "two rules for IPv4" "$(rules 4)" "$wanted_rules"
is "two rules for IPv6" "$(rules 6)" "$wanted_rules"
is "the MTU is as configured" "$(ip -n "$topo_client" link show jvpn0 | sed -n 's/.* mtu \([0-9]*\) .*/\1/p')" 1380
check "all of it again after a jump" eval 'tool client session switch peer home transport lte &&
	in_client ping -qc 3 -i 0.2 -W 2 198.18.0.1 && in_client ping -qc 3 -i 0.2 -W 2 2001:db8:1::1'

stop KILL client
start client
is "a killed daemon is followed by another" $? 0
check "which attaches" eval 'wait_for 20 attached || trouble'
is "and finds its rules there" "$(rules 4)" "$wanted_rules"
check "traffic flows" in_client ping -qc 3 -i 0.2 -W 2 198.18.0.1
stop TERM client
is "it ends well" $status 0
# The second daemon found the device there; the first would have removed it.
ip -n "$topo_client" link del jvpn0
is "and leaves the client as it was" "$(ip -n "$topo_client" addr show; ip -n "$topo_client" route show table all
	ip -n "$topo_client" rule; ip -n "$topo_client" -6 rule)" "$before"
stop TERM gateway
is "so does the gateway" $status 0
fail_if "whose device was made by it and is gone" ip -n "$topo_gateway" link show jvpn0
